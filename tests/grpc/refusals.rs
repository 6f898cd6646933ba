//! What is refused, with which code and for which reason.

use postroom::grpc::pb;
use postroom::grpc::pb::interaction_service_client::InteractionServiceClient;
use postroom::grpc::pb::offer_service_client::OfferServiceClient;
use postroom::grpc::pb::presence_service_client::PresenceServiceClient;
use postroom::grpc::pb::session_service_client::SessionServiceClient;
use tonic::Code;
use tonic_types::StatusExt as _;

use super::gateway::{Gateway, by, refused, sign_in};

/// An agent at work: signed in, watching and Available.
pub(super) async fn at_work(
    gateway: &Gateway,
    id: &str,
) -> (String, tonic::Streaming<pb::WatchSessionResponse>) {
    let token = gateway.sign_in(id).await;
    let watch = pb::WatchSessionRequest {
        name: "sessions/current".to_owned(),
        ..pb::WatchSessionRequest::default()
    };
    let stream = SessionServiceClient::new(gateway.remote.clone())
        .watch_session(by(&token, watch))
        .await
        .unwrap()
        .into_inner();
    let ready = pb::SetPresenceRequest {
        name: "agents/me/presence".to_owned(),
        state: pb::AgentState::Available.into(),
        ..pb::SetPresenceRequest::default()
    };
    PresenceServiceClient::new(gateway.remote.clone())
        .set_presence(by(&token, ready))
        .await
        .unwrap();
    (token, stream)
}

#[tokio::test]
async fn offers_and_interactions_of_others() {
    let gateway = Gateway::start().await;
    gateway.agent("anna", &["support"]).await;
    gateway.agent("bert", &["sales"]).await;
    let (anna, _stream) = at_work(&gateway, "anna").await;
    let bert = gateway.sign_in("bert").await;
    gateway.letter("support").await;
    let mut offers = OfferServiceClient::new(gateway.remote.clone());
    let mut interactions = InteractionServiceClient::new(gateway.remote.clone());

    let list = pb::ListOffersRequest::default();
    let listed = offers
        .list_offers(by(&anna, list))
        .await
        .unwrap()
        .into_inner();
    let offer = listed.offers[0].name.clone();
    let interaction = listed.offers[0].interaction.clone();
    let accept = |id: &str| pb::AcceptOfferRequest {
        name: offer.clone(),
        request_id: id.to_owned(),
    };
    let metadata = refused(
        offers.accept_offer(by(&bert, accept(""))).await,
        Code::PermissionDenied,
        "NOT_OFFER_TARGET",
    );
    assert_eq!(metadata, [("resource".to_owned(), offer.clone())]);
    let get = pb::GetOfferRequest {
        name: offer.clone(),
    };
    refused(
        offers.get_offer(by(&bert, get)).await,
        Code::PermissionDenied,
        "NOT_OFFER_TARGET",
    );
    let get = pb::GetInteractionRequest {
        name: interaction.clone(),
    };
    refused(
        interactions.get_interaction(by(&bert, get.clone())).await,
        Code::PermissionDenied,
        "NOT_QUEUE_MEMBER",
    );

    let other = |kind: &str| format!("{kind}/00000000000000000000000001");
    let unknown = pb::AcceptOfferRequest {
        name: other("offers"),
        request_id: String::new(),
    };
    refused(
        offers.accept_offer(by(&anna, unknown)).await,
        Code::NotFound,
        "RESOURCE_NOT_FOUND",
    );
    let unknown = pb::GetInteractionRequest {
        name: other("interactions"),
    };
    refused(
        interactions.get_interaction(by(&anna, unknown)).await,
        Code::NotFound,
        "RESOURCE_NOT_FOUND",
    );

    offers.accept_offer(by(&anna, accept("a"))).await.unwrap();
    let reject = |id: &str| pb::RejectOfferRequest {
        name: offer.clone(),
        request_id: id.to_owned(),
        ..pb::RejectOfferRequest::default()
    };
    refused(
        offers.reject_offer(by(&anna, reject(""))).await,
        Code::FailedPrecondition,
        "OFFER_RESOLVED",
    );
    // The id belongs to this very request: another offer under it is a mistake of the client's.
    let mistaken = pb::AcceptOfferRequest {
        name: other("offers"),
        request_id: "a".to_owned(),
    };
    refused(
        offers.accept_offer(by(&anna, mistaken)).await,
        Code::InvalidArgument,
        "REQUEST_ID_REUSED",
    );

    let end = pb::EndInteractionRequest {
        name: interaction.clone(),
        ..pb::EndInteractionRequest::default()
    };
    refused(
        interactions.end_interaction(by(&bert, end)).await,
        Code::PermissionDenied,
        "NOT_INTERACTION_OWNER",
    );
    let early = pb::CompleteWrapUpRequest {
        name: interaction.clone(),
        ..pb::CompleteWrapUpRequest::default()
    };
    refused(
        interactions.complete_wrap_up(by(&anna, early)).await,
        Code::FailedPrecondition,
        "INTERACTION_STATE_INVALID",
    );
    let reply = pb::SendReplyRequest {
        name: interaction.clone(),
        from_address: "boss@shop.example".to_owned(),
        text_body: "hello".to_owned(),
        request_id: "r".to_owned(),
        ..pb::SendReplyRequest::default()
    };
    refused(
        interactions.send_reply(by(&anna, reply)).await,
        Code::PermissionDenied,
        "FROM_ADDRESS_NOT_ALLOWED",
    );
}

#[tokio::test]
async fn a_rescinded_offer_says_so() {
    let gateway = Gateway::start().await;
    gateway.agent("anna", &["support"]).await;
    let (anna, _stream) = at_work(&gateway, "anna").await;
    gateway.letter("support").await;
    let mut offers = OfferServiceClient::new(gateway.remote.clone());
    let list = pb::ListOffersRequest::default();
    let listed = offers
        .list_offers(by(&anna, list))
        .await
        .unwrap()
        .into_inner();
    let offline = pb::SetPresenceRequest {
        name: "agents/anna/presence".to_owned(),
        state: pb::AgentState::WorkOffline.into(),
        ..pb::SetPresenceRequest::default()
    };
    PresenceServiceClient::new(gateway.remote.clone())
        .set_presence(by(&anna, offline))
        .await
        .unwrap();
    let accept = pb::AcceptOfferRequest {
        name: listed.offers[0].name.clone(),
        request_id: String::new(),
    };
    refused(
        offers.accept_offer(by(&anna, accept)).await,
        Code::FailedPrecondition,
        "OFFER_RESCINDED",
    );
}

#[tokio::test]
async fn every_violation_of_a_form_is_named() {
    let gateway = Gateway::start().await;
    gateway.agent("anna", &["support"]).await;
    let anna = gateway.sign_in("anna").await;
    let mut interactions = InteractionServiceClient::new(gateway.remote.clone());
    let reply = pb::SendReplyRequest {
        name: "interactions/none".to_owned(),
        text_body: " \n".to_owned(),
        subject: "two\nlines".to_owned(),
        latest_seen_message: "messages/1".to_owned(),
        ..pb::SendReplyRequest::default()
    };
    let status = interactions.send_reply(by(&anna, reply)).await.unwrap_err();
    let mut fields: Vec<String> = (status.get_details_bad_request().unwrap().field_violations)
        .into_iter()
        .map(|found| found.field)
        .collect();
    fields.sort();
    assert_eq!(
        fields,
        [
            "latest_seen_message",
            "name",
            "request_id",
            "subject",
            "text_body"
        ]
    );
    refused(Err::<(), _>(status), Code::InvalidArgument, "FIELD_INVALID");

    let busy = pb::SetPresenceRequest {
        name: "agents/me/presence".to_owned(),
        state: pb::AgentState::Busy.into(),
        ..pb::SetPresenceRequest::default()
    };
    refused(
        PresenceServiceClient::new(gateway.remote.clone())
            .set_presence(by(&anna, busy))
            .await,
        Code::InvalidArgument,
        "FIELD_INVALID",
    );
}

#[tokio::test]
async fn sessions_and_their_ends() {
    let gateway = Gateway::start().await;
    gateway.agent("anna", &["support"]).await;
    let mut sessions = SessionServiceClient::new(gateway.remote.clone());
    let wrong = pb::OpenSessionRequest {
        password: "wrong".to_owned(),
        ..sign_in("anna")
    };
    for request in [wrong, sign_in("nobody"), sign_in("No such login!")] {
        refused(
            sessions.open_session(request).await,
            Code::Unauthenticated,
            "CREDENTIAL_INVALID",
        );
    }
    refused(
        sessions
            .open_session(pb::OpenSessionRequest::default())
            .await,
        Code::Unauthenticated,
        "CREDENTIAL_MISSING",
    );
    let (old, _stream) = at_work(&gateway, "anna").await;
    refused(
        sessions.open_session(sign_in("anna")).await,
        Code::FailedPrecondition,
        "SESSION_ACTIVE_ELSEWHERE",
    );
    let takeover = pb::OpenSessionRequest {
        takeover: true,
        ..sign_in("anna")
    };
    let new = sessions.open_session(takeover).await.unwrap().into_inner();
    let renew = pb::RenewSessionRequest {
        name: "sessions/current".to_owned(),
        ack_sequence: Some(1 << 40),
    };
    refused(
        sessions.renew_session(by(&old, renew.clone())).await,
        Code::Unauthenticated,
        "SESSION_CLOSED",
    );
    let metadata = refused(
        sessions.renew_session(by(&new.session_token, renew)).await,
        Code::OutOfRange,
        "SEQUENCE_AHEAD",
    );
    assert_eq!(metadata[0].0, "latest_sequence");
}

#[tokio::test]
async fn guessing_passwords_is_slowed_down() {
    let gateway = Gateway::start().await;
    gateway.agent("anna", &[]).await;
    let mut sessions = SessionServiceClient::new(gateway.remote.clone());
    let wrong = pb::OpenSessionRequest {
        password: "wrong".to_owned(),
        ..sign_in("anna")
    };
    for attempt in 0.. {
        assert!(attempt < 50, "nobody slows this down");
        let status = sessions.open_session(wrong.clone()).await.unwrap_err();
        if status.code() == Code::ResourceExhausted {
            assert!(status.get_details_retry_info().is_some());
            refused(
                Err::<(), _>(status),
                Code::ResourceExhausted,
                "RATE_LIMITED",
            );
            break;
        }
    }
}

#[tokio::test]
async fn accounts_and_cases() {
    let gateway = Gateway::start().await;
    gateway.agent("anna", &["support"]).await;
    let mut agents = pb::agent_service_client::AgentServiceClient::new(gateway.local.clone());
    let create = |id: &str, queue: &str| pb::CreateAgentRequest {
        agent_id: id.to_owned(),
        agent: Some(pb::Agent {
            queues: vec![queue.to_owned()],
            ..pb::Agent::default()
        }),
        request_id: String::new(),
    };
    for (request, code, reason) in [
        (
            create("anna", "queues/support"),
            Code::AlreadyExists,
            "RESOURCE_EXISTS",
        ),
        (
            create("bert", "queues/none"),
            Code::NotFound,
            "RESOURCE_NOT_FOUND",
        ),
        (
            create("Bert", "queues/support"),
            Code::InvalidArgument,
            "FIELD_INVALID",
        ),
        (
            create("me", "queues/support"),
            Code::InvalidArgument,
            "FIELD_INVALID",
        ),
        (
            create("bert", "support"),
            Code::InvalidArgument,
            "FIELD_INVALID",
        ),
    ] {
        refused(agents.create_agent(request).await, code, reason);
    }
    let password = |current: &str| pb::SetAgentPasswordRequest {
        name: "agents/me".to_owned(),
        current_password: current.to_owned(),
        new_password: "a new password".to_owned(),
    };
    let anna = gateway.sign_in("anna").await;
    let mut agents = pb::agent_service_client::AgentServiceClient::new(gateway.remote.clone());
    refused(
        agents
            .set_agent_password(by(&anna, password("wrong")))
            .await,
        Code::Unauthenticated,
        "CREDENTIAL_INVALID",
    );
    agents
        .set_agent_password(by(&anna, password(super::gateway::PASSWORD)))
        .await
        .unwrap();

    let mut cases = pb::case_service_client::CaseServiceClient::new(gateway.remote.clone());
    let number = postroom::mail::token::MainNumber::new(77).unwrap();
    let lookup = pb::LookupCaseRequest {
        main_number: number.to_string(),
    };
    refused(
        cases.lookup_case(by(&anna, lookup)).await,
        Code::NotFound,
        "MAIN_NUMBER_UNKNOWN",
    );
    let mistyped = pb::LookupCaseRequest {
        main_number: "12x".to_owned(),
    };
    refused(
        cases.lookup_case(by(&anna, mistyped)).await,
        Code::InvalidArgument,
        "FIELD_INVALID",
    );
    let mut system = pb::system_service_client::SystemServiceClient::new(gateway.local.clone());
    let retry = pb::RetryDeliveryRequest {
        message: "interactions/00000000000000000000000001/messages/00000000000000000000000002"
            .to_owned(),
        request_id: String::new(),
    };
    refused(
        system.retry_delivery(retry).await,
        Code::NotFound,
        "RESOURCE_NOT_FOUND",
    );
}

/// A queue that wants a code, and an agent in post-processing there.
#[tokio::test]
async fn post_processing_and_its_codes() {
    use postroom::desk::{CodePolicy, HouseRules, QueueSettings, ReasonKind};
    let gateway = Gateway::start().await;
    let mut support = QueueSettings::new("support".parse().unwrap());
    support.post_processing = Some(std::time::Duration::from_secs(600));
    support.codes = CodePolicy::Required;
    support.extensions_max = 1;
    let mut sales = QueueSettings::new("sales".parse().unwrap());
    sales.may_reject = false;
    sales.codes = CodePolicy::Hold;
    let mut house = HouseRules::default();
    for (kind, code) in [
        (ReasonKind::WrapUp, "sold"),
        (ReasonKind::Offline, "lunch"),
        (ReasonKind::WrapUp, "lost"),
    ] {
        house
            .reasons
            .insert((kind, code.to_owned()), code.to_uppercase());
    }
    (gateway
        .handle
        .reconfigure(vec![support, sales], house)
        .await)
        .unwrap();
    gateway.agent("anna", &["support", "sales"]).await;
    let (anna, _stream) = at_work(&gateway, "anna").await;
    let mut agents = pb::agent_service_client::AgentServiceClient::new(gateway.remote.clone());
    let mut pages = Vec::new();
    let mut token = String::new();
    loop {
        let ask = pb::ListReasonsRequest {
            page_size: 2,
            page_token: token,
        };
        let page = agents
            .list_reasons(by(&anna, ask))
            .await
            .unwrap()
            .into_inner();
        pages.push(
            (page.reasons.iter())
                .map(|reason| {
                    (
                        reason.kind(),
                        reason.code.clone(),
                        reason.display_name.clone(),
                    )
                })
                .collect::<Vec<_>>(),
        );
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    let row = |kind, code: &str| (kind, code.to_owned(), code.to_uppercase());
    let first = vec![
        row(pb::ReasonKind::Offline, "lunch"),
        row(pb::ReasonKind::WrapUp, "lost"),
    ];
    assert_eq!(pages, [first, vec![row(pb::ReasonKind::WrapUp, "sold")]]);
    let mut presences = PresenceServiceClient::new(gateway.remote.clone());
    let tea = pb::SetPresenceRequest {
        name: "agents/me/presence".to_owned(),
        state: pb::AgentState::WorkOffline.into(),
        reason_code: "tea".to_owned(),
        request_id: String::new(),
    };
    let status = presences.set_presence(by(&anna, tea)).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let fields = status.get_details_bad_request().unwrap().field_violations;
    assert_eq!(fields[0].field, "reason_code");

    let mut offers = OfferServiceClient::new(gateway.remote.clone());
    let mut interactions = InteractionServiceClient::new(gateway.remote.clone());
    let list = pb::ListOffersRequest::default();
    for queue in ["support", "sales"] {
        gateway.letter(queue).await;
        let offer = (offers.list_offers(by(&anna, list.clone())).await.unwrap())
            .into_inner()
            .offers
            .remove(0);
        if queue == "sales" {
            let reject = pb::RejectOfferRequest {
                name: offer.name.clone(),
                ..pb::RejectOfferRequest::default()
            };
            refused(
                offers.reject_offer(by(&anna, reject)).await,
                Code::FailedPrecondition,
                "FEATURE_DISABLED",
            );
        }
        let accept = pb::AcceptOfferRequest {
            name: offer.name,
            ..pb::AcceptOfferRequest::default()
        };
        offers.accept_offer(by(&anna, accept)).await.unwrap();
        let name = offer.interaction;
        let end = pb::EndInteractionRequest {
            name: name.clone(),
            ..pb::EndInteractionRequest::default()
        };
        interactions.end_interaction(by(&anna, end)).await.unwrap();
        let extend = pb::ExtendWrapUpRequest {
            name: name.clone(),
            request_id: String::new(),
        };
        if queue == "support" {
            let longer = interactions.extend_wrap_up(by(&anna, extend.clone())).await;
            let longer = longer.unwrap().into_inner().interaction.unwrap();
            assert_eq!(longer.wrap_up.unwrap().extension_count, 1);
        }
        let reason = match queue {
            "support" => "WRAP_UP_LIMIT_REACHED",
            _ => "WRAP_UP_DISABLED",
        };
        refused(
            interactions.extend_wrap_up(by(&anna, extend)).await,
            Code::FailedPrecondition,
            reason,
        );
        let complete = |code: Option<&str>| pb::CompleteWrapUpRequest {
            name: name.clone(),
            disposition_code: code.map(str::to_owned),
            ..pb::CompleteWrapUpRequest::default()
        };
        refused(
            interactions
                .complete_wrap_up(by(&anna, complete(None)))
                .await,
            Code::FailedPrecondition,
            "WRAP_UP_CODE_REQUIRED",
        );
        refused(
            interactions
                .complete_wrap_up(by(&anna, complete(Some("given"))))
                .await,
            Code::InvalidArgument,
            "FIELD_INVALID",
        );
        let done = interactions
            .complete_wrap_up(by(&anna, complete(Some("sold"))))
            .await;
        let done = done.unwrap().into_inner().interaction.unwrap();
        assert_eq!(done.state(), pb::InteractionState::Closed);
        assert_eq!(done.wrap_up.unwrap().disposition_code, "sold");
    }
}
