//! A whole day: sign-in, an offer, an answer, wrap-up; and the same clicks twice.

use postroom::grpc::pb;
use postroom::grpc::pb::interaction_service_client::InteractionServiceClient;
use postroom::grpc::pb::offer_service_client::OfferServiceClient;
use postroom::grpc::pb::presence_service_client::PresenceServiceClient;
use postroom::grpc::pb::session_event::Payload;
use postroom::grpc::pb::session_service_client::SessionServiceClient;
use postroom::grpc::pb::watch_session_response::Frame;

use super::gateway::{Gateway, by};

/// Reads events up to one, each with the number after the one before.
async fn until(
    stream: &mut tonic::Streaming<pb::WatchSessionResponse>,
    last: &mut i64,
    wanted: impl Fn(&Payload) -> bool,
) -> Payload {
    loop {
        let frame = stream.message().await.unwrap().unwrap().frame.unwrap();
        let Frame::Event(event) = frame else {
            panic!("{frame:?}");
        };
        assert_eq!(event.sequence, *last + 1);
        *last = event.sequence;
        let payload = event.payload.unwrap();
        if wanted(&payload) {
            return payload;
        }
    }
}

#[tokio::test]
async fn an_agent_answers_a_letter() {
    let gateway = Gateway::start().await;
    gateway.agent("anna", &["support"]).await;
    let token = gateway.sign_in("anna").await;
    let mut sessions = SessionServiceClient::new(gateway.remote.clone());
    let mut presences = PresenceServiceClient::new(gateway.remote.clone());
    let mut offers = OfferServiceClient::new(gateway.remote.clone());
    let mut interactions = InteractionServiceClient::new(gateway.remote.clone());

    let watch = pb::WatchSessionRequest {
        name: "sessions/current".to_owned(),
        ..pb::WatchSessionRequest::default()
    };
    let mut stream = sessions
        .watch_session(by(&token, watch))
        .await
        .unwrap()
        .into_inner();
    let Some(Frame::Opened(opened)) = stream.message().await.unwrap().unwrap().frame else {
        panic!("the first frame is opened");
    };
    assert_eq!(opened.outcome(), pb::OpenOutcome::Snapshot);
    let Some(Frame::Snapshot(snapshot)) = stream.message().await.unwrap().unwrap().frame else {
        panic!("then comes the snapshot");
    };
    assert_eq!(
        snapshot.presence.unwrap().state(),
        pb::AgentState::WorkOffline
    );
    assert_eq!(snapshot.memberships.len(), 1);
    let mut last = snapshot.sequence;

    let ready = pb::SetPresenceRequest {
        name: "agents/me/presence".to_owned(),
        state: pb::AgentState::Available.into(),
        ..pb::SetPresenceRequest::default()
    };
    let set = presences
        .set_presence(by(&token, ready))
        .await
        .unwrap()
        .into_inner();
    assert!(!set.deferred);
    assert_eq!(set.presence.unwrap().state(), pb::AgentState::Available);

    let raw = gateway.letter("support").await;
    let created = |payload: &Payload| matches!(payload, Payload::OfferCreated(_));
    let Payload::OfferCreated(created) = until(&mut stream, &mut last, created).await else {
        unreachable!();
    };
    let offer = created.offer.unwrap();
    assert_eq!(offer.queue_display_name, "The support queue");
    assert_eq!(offer.subject, "Broken lamp 0");
    assert_eq!(offer.customer.as_ref().unwrap().display_name, "Carla");
    assert_eq!(offer.state(), pb::OfferState::Pending);

    let name = offer.name.clone();
    let shown = pb::AcknowledgeOfferRequest { name: name.clone() };
    let shown = offers
        .acknowledge_offer(by(&token, shown))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(shown.offer.unwrap().state(), pb::OfferState::Shown);

    let accept = pb::AcceptOfferRequest {
        name: name.clone(),
        request_id: "accept-1".to_owned(),
    };
    let accepted = offers
        .accept_offer(by(&token, accept.clone()))
        .await
        .unwrap();
    assert!(accepted.metadata().get("postroom-replayed").is_none());
    assert!(
        accepted
            .metadata()
            .get(postroom::grpc::CALL_HEADER)
            .is_some()
    );
    let accepted = accepted.into_inner();
    let again = offers.accept_offer(by(&token, accept)).await.unwrap();
    assert_eq!(again.metadata().get("postroom-replayed").unwrap(), "1");
    assert_eq!(again.into_inner(), accepted);
    let interaction = accepted.interaction.unwrap();
    assert_eq!(interaction.state(), pb::InteractionState::Active);
    assert_eq!(accepted.presence.unwrap().state(), pb::AgentState::Busy);
    until(&mut stream, &mut last, |payload| {
        matches!(payload, Payload::InteractionAssigned(_))
    })
    .await;

    let read = pb::GetMessageRequest {
        name: interaction.latest_message.clone(),
        view: pb::MessageView::Full.into(),
    };
    let message = interactions
        .get_message(by(&token, read))
        .await
        .unwrap()
        .into_inner();
    let message = message.message.unwrap();
    assert_eq!(message.text_body, "My lamp is broken.");
    assert_eq!(message.to[0].address, "support@shop.example");

    let download = pb::DownloadMessageRequest {
        name: interaction.latest_message.clone(),
        offset_bytes: 6,
    };
    let mut chunks = (interactions.download_message(by(&token, download)).await)
        .unwrap()
        .into_inner();
    let mut downloaded = Vec::new();
    while let Some(chunk) = chunks.message().await.unwrap() {
        assert_eq!(chunk.size_bytes, raw.len() as i64);
        assert_eq!(chunk.offset_bytes, 6 + downloaded.len() as i64);
        downloaded.extend(chunk.data);
    }
    assert_eq!(downloaded, raw[6..]);

    let reply = pb::SendReplyRequest {
        name: interaction.name.clone(),
        text_body: "We send a new one.".to_owned(),
        include_original: true,
        latest_seen_message: interaction.latest_message.clone(),
        request_id: "reply-1".to_owned(),
        ..pb::SendReplyRequest::default()
    };
    let sent = interactions
        .send_reply(by(&token, reply.clone()))
        .await
        .unwrap()
        .into_inner();
    let again = interactions.send_reply(by(&token, reply)).await.unwrap();
    assert_eq!(again.metadata().get("postroom-replayed").unwrap(), "1");
    assert_eq!(
        again.into_inner().message.unwrap().name,
        sent.message.as_ref().unwrap().name
    );
    let message = sent.message.unwrap();
    assert_eq!(message.direction(), pb::MessageDirection::Outbound);
    assert_eq!(message.recipients, ["carla@customer.example"]);
    assert!(message.delivery.is_some());
    assert_eq!(sent.presence.unwrap().state(), pb::AgentState::WrapUp);
    assert_eq!(
        sent.interaction.unwrap().state(),
        pb::InteractionState::WrappingUp
    );
    let list = pb::ListMessagesRequest {
        parent: interaction.name.clone(),
        ..pb::ListMessagesRequest::default()
    };
    let listed = interactions
        .list_messages(by(&token, list))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(listed.messages.len(), 2);
    assert_eq!(listed.messages[1].name, message.name);

    let save = pb::SaveWrapUpRequest {
        name: interaction.name.clone(),
        notes: Some("new lamp".to_owned()),
        disposition_code: None,
    };
    let saved = interactions
        .save_wrap_up(by(&token, save))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        saved.interaction.unwrap().wrap_up.unwrap().notes,
        "new lamp"
    );
    let complete = pb::CompleteWrapUpRequest {
        name: interaction.name.clone(),
        disposition_code: Some("replaced".to_owned()),
        next_state: pb::AgentState::WorkOffline.into(),
        ..pb::CompleteWrapUpRequest::default()
    };
    let done = interactions
        .complete_wrap_up(by(&token, complete))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(done.presence.unwrap().state(), pb::AgentState::WorkOffline);
    let closed = done.interaction.unwrap();
    assert_eq!(closed.state(), pb::InteractionState::Closed);
    assert_eq!(closed.outcome(), pb::InteractionOutcome::Replied);
    let wrap_up = closed.wrap_up.unwrap();
    assert_eq!(
        (wrap_up.notes.as_str(), wrap_up.disposition_code.as_str()),
        ("new lamp", "replaced")
    );
    until(&mut stream, &mut last, |payload| {
        matches!(payload, Payload::WrapUpEnded(_))
    })
    .await;

    let mut cases = pb::case_service_client::CaseServiceClient::new(gateway.remote.clone());
    let lookup = pb::LookupCaseRequest {
        main_number: closed.main_number,
    };
    let found = cases
        .lookup_case(by(&token, lookup))
        .await
        .unwrap()
        .into_inner();
    let case = found.case.unwrap();
    assert_eq!(case.name, closed.case);
    assert_eq!(case.state(), pb::CaseState::Closed);
    assert_eq!(
        (case.agent.as_str(), case.message_count),
        ("agents/anna", 2)
    );
    let get = pb::GetCaseRequest { name: closed.case };
    assert_eq!(
        cases
            .get_case(by(&token, get))
            .await
            .unwrap()
            .into_inner()
            .case,
        Some(case)
    );

    let close = pb::CloseSessionRequest {
        name: "sessions/current".to_owned(),
        ..pb::CloseSessionRequest::default()
    };
    let left = sessions
        .close_session(by(&token, close))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(left.presence.unwrap().state(), pb::AgentState::SignedOut);
    let end = loop {
        let frame = stream.message().await.unwrap().unwrap().frame;
        if let Some(Frame::Closing(closing)) = frame {
            break closing;
        }
    };
    assert_eq!(end.reason(), pb::ClosingReason::SignedOut);
    assert_eq!(end.action(), pb::ReconnectAction::Stop);
    assert!(stream.message().await.unwrap().is_none());
}

#[tokio::test]
async fn a_rejected_offer_goes_elsewhere_and_an_ended_one_without_wrap_up_closes() {
    let gateway = Gateway::start().await;
    gateway.agent("anna", &["sales"]).await;
    let (key, _) = gateway.key(&[pb::Role::Agent], "agents/anna").await;
    let mut sessions = SessionServiceClient::new(gateway.remote.clone());
    // The key stands for login and password.
    let open = pb::OpenSessionRequest {
        initial_state: pb::AgentState::Available.into(),
        request_id: "open-1".to_owned(),
        ..pb::OpenSessionRequest::default()
    };
    let opened = sessions
        .open_session(by(&key, open.clone()))
        .await
        .unwrap()
        .into_inner();
    let again = sessions
        .open_session(by(&key, open))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(again.session_token, opened.session_token);
    let token = opened.session_token;
    let watch = pb::WatchSessionRequest {
        name: opened.session.unwrap().name,
        ..pb::WatchSessionRequest::default()
    };
    let _stream = sessions.watch_session(by(&token, watch)).await.unwrap();
    gateway.letter("sales").await;

    let mut offers = OfferServiceClient::new(gateway.remote.clone());
    let list = pb::ListOffersRequest::default();
    let listed = offers
        .list_offers(by(&token, list))
        .await
        .unwrap()
        .into_inner()
        .offers;
    assert_eq!(listed.len(), 1);
    let reject = pb::RejectOfferRequest {
        name: listed[0].name.clone(),
        reason_code: "lunch".to_owned(),
        next_state: pb::AgentState::WorkOffline.into(),
        ..pb::RejectOfferRequest::default()
    };
    let rejected = offers
        .reject_offer(by(&token, reject))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        rejected.presence.unwrap().state(),
        pb::AgentState::WorkOffline
    );
    let offer = rejected.offer.unwrap();
    assert_eq!(
        (offer.state(), offer.reason_code.as_str()),
        (pb::OfferState::Rejected, "lunch")
    );
    let get = pb::GetOfferRequest { name: offer.name };
    let seen = offers
        .get_offer(by(&token, get))
        .await
        .unwrap()
        .into_inner()
        .offer
        .unwrap();
    assert_eq!(seen.state(), pb::OfferState::Rejected);

    gateway.agent("bert", &["sales"]).await;
    let token = gateway.sign_in("bert").await;
    let watch = pb::WatchSessionRequest {
        name: "sessions/current".to_owned(),
        ..pb::WatchSessionRequest::default()
    };
    let _other = sessions.watch_session(by(&token, watch)).await.unwrap();
    let mut presences = PresenceServiceClient::new(gateway.remote.clone());
    let ready = pb::SetPresenceRequest {
        name: "agents/bert/presence".to_owned(),
        state: pb::AgentState::Available.into(),
        ..pb::SetPresenceRequest::default()
    };
    presences.set_presence(by(&token, ready)).await.unwrap();
    let list = pb::ListOffersRequest {
        agent: "agents/me".to_owned(),
        ..pb::ListOffersRequest::default()
    };
    let listed = offers
        .list_offers(by(&token, list))
        .await
        .unwrap()
        .into_inner()
        .offers;
    let accept = pb::AcceptOfferRequest {
        name: listed[0].name.clone(),
        request_id: String::new(),
    };
    let taken = offers
        .accept_offer(by(&token, accept))
        .await
        .unwrap()
        .into_inner();
    let mut interactions = InteractionServiceClient::new(gateway.remote.clone());
    let end = pb::EndInteractionRequest {
        name: taken.interaction.unwrap().name,
        note: "spam".to_owned(),
        ..pb::EndInteractionRequest::default()
    };
    let ended = interactions
        .end_interaction(by(&token, end))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(ended.presence.unwrap().state(), pb::AgentState::Available);
    let ended = ended.interaction.unwrap();
    assert_eq!(ended.state(), pb::InteractionState::Closed);
    assert_eq!(ended.outcome(), pb::InteractionOutcome::Ended);
    let get = pb::GetInteractionRequest {
        name: ended.name.clone(),
    };
    let read = interactions
        .get_interaction(by(&token, get))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(read.interaction, Some(ended));
}
