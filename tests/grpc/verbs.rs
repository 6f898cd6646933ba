//! Verbs that hand work on, set it aside or end it, over the wire.

use std::time::Duration;

use postroom::grpc::pb;
use postroom::grpc::pb::interaction_service_client::InteractionServiceClient;
use postroom::grpc::pb::offer_service_client::OfferServiceClient;
use tonic::Code;

use super::gateway::{Gateway, by, refused};
use super::refusals::at_work;

/// Accepts the offer that waits for an agent, and names what was offered.
pub(super) async fn accept(gateway: &Gateway, token: &str) -> String {
    let mut offers = OfferServiceClient::new(gateway.remote.clone());
    let list = by(token, pb::ListOffersRequest::default());
    let listed = offers.list_offers(list).await.unwrap().into_inner();
    let accept = pb::AcceptOfferRequest {
        name: listed.offers[0].name.clone(),
        ..pb::AcceptOfferRequest::default()
    };
    let accepted = offers.accept_offer(by(token, accept)).await.unwrap();
    accepted.into_inner().interaction.unwrap().name
}

#[tokio::test]
async fn a_transfer_leaves_its_wrap_up_behind() {
    let gateway = Gateway::start().await;
    gateway.agent("anna", &["support"]).await;
    let (anna, _stream) = at_work(&gateway, "anna").await;
    gateway.letter("support").await;
    let name = accept(&gateway, &anna).await;
    let mut interactions = InteractionServiceClient::new(gateway.remote.clone());
    let transfer = |queue: &str| pb::TransferInteractionRequest {
        name: name.clone(),
        queue: queue.to_owned(),
        note: "wants a price".to_owned(),
        request_id: "t".to_owned(),
        etag: String::new(),
    };
    refused(
        (interactions.transfer_interaction(by(&anna, transfer("queues/support")))).await,
        Code::FailedPrecondition,
        "TRANSFER_TARGET_INVALID",
    );
    refused(
        (interactions.transfer_interaction(by(&anna, transfer("queues/nowhere")))).await,
        Code::NotFound,
        "RESOURCE_NOT_FOUND",
    );
    let transferred = interactions
        .transfer_interaction(by(&anna, transfer("queues/sales")))
        .await
        .unwrap()
        .into_inner();
    let again = interactions
        .transfer_interaction(by(&anna, transfer("queues/sales")))
        .await
        .unwrap();
    assert_eq!(again.metadata().get("postroom-replayed").unwrap(), "1");
    assert_eq!(again.into_inner(), transferred);
    let moved = transferred.interaction.unwrap();
    assert_eq!(moved.state(), pb::InteractionState::Queued);
    assert_eq!(
        (
            moved.queue.as_str(),
            moved.transfer_count,
            moved.note.as_str()
        ),
        ("queues/sales", 1, "wants a price")
    );
    assert_eq!(moved.mailbox, "sales@shop.example");

    // The agent's half, with the letters of the other to look at.
    let presence = transferred.presence.unwrap();
    let half = presence.active_interactions[0].clone();
    let get = pb::GetInteractionRequest { name: half.clone() };
    let got = interactions.get_interaction(by(&anna, get)).await.unwrap();
    let got = got.into_inner().interaction.unwrap();
    assert_eq!(got.outcome(), pb::InteractionOutcome::Transferred);
    assert_eq!(
        (got.follows.as_str(), got.queue.as_str()),
        (&*name, "queues/support")
    );
    let list = pb::ListMessagesRequest {
        parent: half.clone(),
        ..pb::ListMessagesRequest::default()
    };
    let listed = interactions.list_messages(by(&anna, list)).await.unwrap();
    let listed = listed.into_inner().messages;
    assert_eq!(listed.len(), 1);
    let read = pb::GetMessageRequest {
        name: listed[0].name.clone(),
        view: pb::MessageView::Full.into(),
    };
    interactions.get_message(by(&anna, read)).await.unwrap();
    let complete = pb::CompleteWrapUpRequest {
        name: half,
        ..pb::CompleteWrapUpRequest::default()
    };
    let done = interactions
        .complete_wrap_up(by(&anna, complete))
        .await
        .unwrap();
    assert_eq!(
        done.into_inner().presence.unwrap().state(),
        pb::AgentState::Available
    );
}

#[tokio::test]
async fn work_is_set_aside_taken_up_and_given_back() {
    let gateway = Gateway::start().await;
    gateway.agent("anna", &["support"]).await;
    let (anna, _stream) = at_work(&gateway, "anna").await;
    gateway.letter("support").await;
    let name = accept(&gateway, &anna).await;
    let mut interactions = InteractionServiceClient::new(gateway.remote.clone());
    let park = |seconds: u64| pb::ParkInteractionRequest {
        name: name.clone(),
        park_duration: Some(Duration::from_secs(seconds).try_into().unwrap()),
        ..pb::ParkInteractionRequest::default()
    };
    for wrong in [0, 59, 90 * 24 * 3600 + 1] {
        refused(
            interactions.park_interaction(by(&anna, park(wrong))).await,
            Code::InvalidArgument,
            "FIELD_INVALID",
        );
    }
    let parked = interactions
        .park_interaction(by(&anna, park(600)))
        .await
        .unwrap()
        .into_inner();
    let presence = parked.presence.unwrap();
    assert_eq!(presence.state(), pb::AgentState::Available);
    assert_eq!(presence.parked_interactions, std::slice::from_ref(&name));
    let found = parked.interaction.unwrap();
    assert_eq!(found.state(), pb::InteractionState::Parked);
    assert!(found.park_expire_time.is_some());

    let resume = pb::ResumeInteractionRequest {
        name: name.clone(),
        ..pb::ResumeInteractionRequest::default()
    };
    let resumed = interactions
        .resume_interaction(by(&anna, resume.clone()))
        .await
        .unwrap();
    let resumed = resumed.into_inner().interaction.unwrap();
    assert_eq!(resumed.state(), pb::InteractionState::Active);
    refused(
        interactions.resume_interaction(by(&anna, resume)).await,
        Code::FailedPrecondition,
        "INTERACTION_STATE_INVALID",
    );

    let pull = |queue: &str, name: &str| pb::PullInteractionRequest {
        queue: queue.to_owned(),
        name: name.to_owned(),
        ..pb::PullInteractionRequest::default()
    };
    for (queue, code, reason) in [
        ("", Code::InvalidArgument, "FIELD_INVALID"),
        ("queues/nowhere", Code::NotFound, "RESOURCE_NOT_FOUND"),
        ("queues/sales", Code::PermissionDenied, "NOT_QUEUE_MEMBER"),
        (
            "queues/support",
            Code::FailedPrecondition,
            "FEATURE_DISABLED",
        ),
    ] {
        let pulled = interactions
            .pull_interaction(by(&anna, pull(queue, "")))
            .await;
        refused(pulled, code, reason);
    }

    let cancel = |cause: pb::CancelCause| pb::CancelInteractionRequest {
        name: name.clone(),
        cause: cause.into(),
        ..pb::CancelInteractionRequest::default()
    };
    for wrong in [
        pb::CancelCause::Unspecified,
        pb::CancelCause::DraftDiscarded,
    ] {
        refused(
            interactions
                .cancel_interaction(by(&anna, cancel(wrong)))
                .await,
            Code::InvalidArgument,
            "FIELD_INVALID",
        );
    }
    let requeue = pb::RequeueInteractionRequest {
        name: name.clone(),
        ..pb::RequeueInteractionRequest::default()
    };
    let back = interactions
        .requeue_interaction(by(&anna, requeue))
        .await
        .unwrap();
    let back = back.into_inner().interaction.unwrap();
    assert_eq!(back.state(), pb::InteractionState::Queued);
    refused(
        interactions
            .cancel_interaction(by(&anna, cancel(pb::CancelCause::Spam)))
            .await,
        Code::PermissionDenied,
        "NOT_INTERACTION_OWNER",
    );

    gateway.letter("support").await;
    let other = accept(&gateway, &anna).await;
    let cancel = pb::CancelInteractionRequest {
        name: other,
        ..cancel(pb::CancelCause::Spam)
    };
    let cancelled = interactions
        .cancel_interaction(by(&anna, cancel))
        .await
        .unwrap();
    let cancelled = cancelled.into_inner().interaction.unwrap();
    assert_eq!(cancelled.state(), pb::InteractionState::Cancelled);
    assert_eq!(cancelled.cancel_cause(), pb::CancelCause::Spam);
}
