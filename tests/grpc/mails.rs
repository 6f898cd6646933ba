//! Mails that agents begin, and letters that they pass on, over the wire.

use postroom::grpc::pb;
use postroom::grpc::pb::interaction_service_client::InteractionServiceClient;
use tonic::Code;

use super::gateway::{Gateway, by, queues, refused};
use super::refusals::at_work;
use super::verbs::accept;

pub(super) fn address(address: &str) -> pb::EmailAddress {
    pb::EmailAddress {
        address: address.to_owned(),
        display_name: String::new(),
    }
}

/// The bytes of a message.
pub(super) async fn bytes(gateway: &Gateway, token: &str, name: &str) -> String {
    let mut interactions = InteractionServiceClient::new(gateway.remote.clone());
    let download = pb::DownloadMessageRequest {
        name: name.to_owned(),
        offset_bytes: 0,
    };
    let mut chunks = interactions
        .download_message(by(token, download))
        .await
        .unwrap()
        .into_inner();
    let mut whole = Vec::new();
    while let Some(chunk) = chunks.message().await.unwrap() {
        whole.extend_from_slice(&chunk.data);
    }
    String::from_utf8(whole).unwrap()
}

#[tokio::test]
async fn a_mail_is_begun_and_sent() {
    let gateway = Gateway::start().await;
    gateway.agent("anna", &["support"]).await;
    let (anna, _stream) = at_work(&gateway, "anna").await;
    let mut interactions = InteractionServiceClient::new(gateway.remote.clone());
    let start = |from: &str, number: &str| pb::StartEmailRequest {
        from_address: from.to_owned(),
        to: Some(address("carla@customer.example")),
        subject: "Your lamp".to_owned(),
        main_number: number.to_owned(),
        request_id: String::new(),
    };
    for (from, number, code, reason) in [
        ("", "", Code::InvalidArgument, "FIELD_INVALID"),
        (
            "boss@shop.example",
            "",
            Code::PermissionDenied,
            "FROM_ADDRESS_NOT_ALLOWED",
        ),
        (
            "sales@shop.example",
            "",
            Code::PermissionDenied,
            "FROM_ADDRESS_NOT_ALLOWED",
        ),
        ("", "12", Code::InvalidArgument, "FIELD_INVALID"),
        ("", "5724", Code::NotFound, "MAIN_NUMBER_UNKNOWN"),
    ] {
        let started = interactions
            .start_email(by(&anna, start(from, number)))
            .await;
        refused(started, code, reason);
    }
    let started = start("support@shop.example", "");
    let started = interactions
        .start_email(by(&anna, started))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(started.presence.unwrap().state(), pb::AgentState::Busy);
    let draft = started.interaction.unwrap();
    assert_eq!(draft.state(), pb::InteractionState::Drafting);
    assert_eq!(draft.direction(), pb::MessageDirection::Outbound);
    assert_eq!(
        (draft.latest_message.as_str(), draft.message_count),
        ("", 0)
    );
    let again = interactions
        .start_email(by(&anna, start("support@shop.example", "")))
        .await;
    refused(again, Code::FailedPrecondition, "AGENT_AT_CAPACITY");

    let send = |to: &[&str], id: &str| pb::SendEmailRequest {
        name: draft.name.clone(),
        to: to.iter().map(|to| address(to)).collect(),
        bcc: vec![address("archive@shop.test")],
        text_body: "It is on its way.".to_owned(),
        request_id: id.to_owned(),
        ..pb::SendEmailRequest::default()
    };
    for (to, id, code, reason) in [
        (&[][..], "", Code::InvalidArgument, "FIELD_INVALID"),
        (&["no address"], "s", Code::InvalidArgument, "FIELD_INVALID"),
        (
            &["sales@shop.example"],
            "s",
            Code::InvalidArgument,
            "RECIPIENT_INVALID",
        ),
    ] {
        refused(
            interactions.send_email(by(&anna, send(to, id))).await,
            code,
            reason,
        );
    }
    let sent = interactions
        .send_email(by(&anna, send(&[], "s")))
        .await
        .unwrap()
        .into_inner();
    let again = interactions
        .send_email(by(&anna, send(&[], "s")))
        .await
        .unwrap();
    assert_eq!(again.metadata().get("postroom-replayed").unwrap(), "1");
    let found = sent.interaction.unwrap();
    assert_eq!(found.state(), pb::InteractionState::WrappingUp);
    assert_eq!(found.outcome(), pb::InteractionOutcome::Sent);
    assert_eq!(found.customer.unwrap().address, "carla@customer.example");
    let message = sent.message.unwrap();
    assert_eq!(
        message.recipients,
        ["carla@customer.example", "archive@shop.test"]
    );
    let written = bytes(&gateway, &anna, &message.name).await;
    assert!(written.contains("\r\nSubject: Your lamp\r\n"), "{written}");
    assert!(!written.contains("archive@shop.test"), "{written}");

    // A follow-up, and it is dropped.
    let complete = pb::CompleteWrapUpRequest {
        name: found.name,
        ..pb::CompleteWrapUpRequest::default()
    };
    interactions
        .complete_wrap_up(by(&anna, complete))
        .await
        .unwrap();
    let started = interactions
        .start_email(by(&anna, start("", &found.main_number)))
        .await;
    let started = started.unwrap().into_inner();
    let case = started.case.unwrap();
    assert_eq!(case.main_number, found.main_number);
    assert_eq!(case.customer.unwrap().address, "carla@customer.example");
    let started = started.interaction.unwrap();
    assert_eq!(started.main_number, found.main_number);
    let discard = pb::DiscardEmailRequest {
        name: started.name,
        request_id: String::new(),
    };
    let dropped = interactions
        .discard_email(by(&anna, discard.clone()))
        .await
        .unwrap();
    let dropped = dropped.into_inner();
    assert_eq!(dropped.presence.unwrap().state(), pb::AgentState::Available);
    let dropped = dropped.interaction.unwrap();
    assert_eq!(dropped.state(), pb::InteractionState::Cancelled);
    assert_eq!(dropped.cancel_cause(), pb::CancelCause::DraftDiscarded);
    refused(
        interactions.discard_email(by(&anna, discard)).await,
        Code::NotFound,
        "RESOURCE_NOT_FOUND",
    );
    // Nor can a stranger to the queue write in the case.
    gateway.agent("bert", &["sales"]).await;
    let bert = gateway.sign_in("bert").await;
    refused(
        interactions
            .start_email(by(&bert, start("", &found.main_number)))
            .await,
        Code::PermissionDenied,
        "NOT_QUEUE_MEMBER",
    );
}

#[tokio::test]
async fn a_mail_is_taken_back_in_time() {
    let gateway = Gateway::start().await;
    let mut queues = queues();
    queues[0].undo = std::time::Duration::from_secs(600);
    let rules = postroom::desk::HouseRules::default();
    gateway.handle.reconfigure(queues, rules).await.unwrap();
    gateway.agent("anna", &["support", "sales"]).await;
    gateway.agent("bert", &["support"]).await;
    let (anna, _stream) = at_work(&gateway, "anna").await;
    let bert = gateway.sign_in("bert").await;
    let mut interactions = InteractionServiceClient::new(gateway.remote.clone());
    let mut sent = Vec::new();
    // The second queue has no such time.
    for from in ["support@shop.example", "sales@shop.example"] {
        let start = pb::StartEmailRequest {
            from_address: from.to_owned(),
            to: Some(address("carla@customer.example")),
            subject: "Your lamp".to_owned(),
            ..pb::StartEmailRequest::default()
        };
        let started = interactions.start_email(by(&anna, start)).await.unwrap();
        let name = started.into_inner().interaction.unwrap().name;
        let send = pb::SendEmailRequest {
            name: name.clone(),
            text_body: "It is on its way.".to_owned(),
            request_id: from.to_owned(),
            ..pb::SendEmailRequest::default()
        };
        let answer = interactions.send_email(by(&anna, send)).await.unwrap();
        let message = answer.into_inner().message.unwrap();
        assert_eq!(message.delivery.unwrap().state(), pb::DeliveryState::Ready);
        sent.push(message.name);
        let complete = pb::CompleteWrapUpRequest {
            name,
            ..pb::CompleteWrapUpRequest::default()
        };
        if from.starts_with("support") {
            let completed = interactions.complete_wrap_up(by(&anna, complete)).await;
            completed.unwrap();
        }
    }
    let cancel = |message: &str, id: &str| pb::CancelSendRequest {
        message: message.to_owned(),
        request_id: id.to_owned(),
    };
    let nothing = "interactions/00000000000000000000000001/messages/00000000000000000000000002";
    for (who, message, code, reason) in [
        (&anna, "m1", Code::InvalidArgument, "FIELD_INVALID"),
        (&anna, nothing, Code::NotFound, "RESOURCE_NOT_FOUND"),
        (
            &bert,
            &sent[0],
            Code::PermissionDenied,
            "NOT_INTERACTION_OWNER",
        ),
        (
            &anna,
            &sent[1],
            Code::FailedPrecondition,
            "STATE_TRANSITION_INVALID",
        ),
    ] {
        let cancelled = interactions.cancel_send(by(who, cancel(message, ""))).await;
        refused(cancelled, code, reason);
    }
    for replayed in [false, true] {
        let cancelled = interactions
            .cancel_send(by(&anna, cancel(&sent[0], "c")))
            .await;
        let cancelled = cancelled.unwrap();
        let again = cancelled.metadata().get("postroom-replayed").is_some();
        assert_eq!(again, replayed);
        let delivery = cancelled.into_inner().delivery.unwrap();
        assert_eq!(delivery.state(), pb::DeliveryState::Cancelled);
    }
    refused(
        interactions
            .cancel_send(by(&anna, cancel(&sent[0], "")))
            .await,
        Code::FailedPrecondition,
        "STATE_TRANSITION_INVALID",
    );
    let mut system = pb::system_service_client::SystemServiceClient::new(gateway.local.clone());
    let retry = pb::RetryDeliveryRequest {
        message: sent[0].clone(),
        request_id: String::new(),
    };
    refused(
        system.retry_delivery(retry).await,
        Code::FailedPrecondition,
        "STATE_TRANSITION_INVALID",
    );
}

#[tokio::test]
async fn a_letter_is_passed_on() {
    let gateway = Gateway::start().await;
    gateway.agent("anna", &["support"]).await;
    let (anna, _stream) = at_work(&gateway, "anna").await;
    let letter = String::from_utf8(gateway.letter("support").await).unwrap();
    let name = accept(&gateway, &anna).await;
    let mut interactions = InteractionServiceClient::new(gateway.remote.clone());
    let forward = |to: &[&str]| pb::ForwardInteractionRequest {
        name: name.clone(),
        to: to.iter().map(|to| address(to)).collect(),
        text_body: "Can you help?".to_owned(),
        form: pb::ForwardForm::Enclosed.into(),
        request_id: "f".to_owned(),
        ..pb::ForwardInteractionRequest::default()
    };
    for (to, reason) in [
        (&[][..], "FIELD_INVALID"),
        (&["sales@shop.example"], "RECIPIENT_INVALID"),
    ] {
        let forwarded = interactions
            .forward_interaction(by(&anna, forward(to)))
            .await;
        refused(forwarded, Code::InvalidArgument, reason);
    }
    let to = ["expert@elsewhere.example", "other@elsewhere.example"];
    let sent = interactions
        .forward_interaction(by(&anna, forward(&to)))
        .await;
    let sent = sent.unwrap().into_inner();
    let found = sent.interaction.unwrap();
    assert_eq!(found.outcome(), pb::InteractionOutcome::Forwarded);
    assert_eq!(found.customer.unwrap().address, "carla@customer.example");
    let message = sent.message.unwrap();
    assert_eq!(message.recipients, to);
    let written = bytes(&gateway, &anna, &message.name).await;
    assert!(
        written.contains("\r\nSubject: Fwd: Broken lamp 0\r\n"),
        "{written}"
    );
    assert!(written.contains("Can you help?"), "{written}");
    // The letter itself, as it came, and read again as a file.
    assert!(written.contains(&letter), "{written}");
    let read = pb::GetMessageRequest {
        name: message.name,
        view: pb::MessageView::Full.into(),
    };
    let read = interactions
        .get_message(by(&anna, read))
        .await
        .unwrap()
        .into_inner();
    let files = read.message.unwrap().attachments;
    assert_eq!(files.len(), 1);
    assert_eq!(files[0].content_type, "message/rfc822");
}
