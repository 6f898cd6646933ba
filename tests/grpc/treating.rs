//! One supervisor moves much work.

use postroom::grpc::pb;
use postroom::grpc::pb::interaction_service_client::InteractionServiceClient;
use postroom::grpc::pb::reassign_interaction_request::Target;
use postroom::grpc::pb::session_service_client::SessionServiceClient;
use postroom::grpc::pb::supervisor_service_client::SupervisorServiceClient;
use postroom::grpc::pb::treat_interactions_request::Act;
use tonic::Code;

use super::gateway::{Gateway, by, refused};

fn of(queue: &str) -> Option<pb::InteractionSelection> {
    Some(pb::InteractionSelection {
        queue: format!("queues/{queue}"),
        ..pb::InteractionSelection::default()
    })
}

fn treat(
    selection: Option<pb::InteractionSelection>,
    act: Option<Act>,
) -> pb::TreatInteractionsRequest {
    pb::TreatInteractionsRequest {
        selection,
        act,
        ..pb::TreatInteractionsRequest::default()
    }
}

async fn waiting(gateway: &Gateway, queue: &str) -> Vec<String> {
    let request = pb::ListWaitingInteractionsRequest {
        queue: format!("queues/{queue}"),
        ..pb::ListWaitingInteractionsRequest::default()
    };
    let mut floor = SupervisorServiceClient::new(gateway.local.clone());
    let page = floor.list_waiting_interactions(request).await.unwrap();
    let found = page.into_inner().waiting_interactions.into_iter();
    found.map(|it| it.interaction).collect()
}

#[tokio::test]
async fn a_queue_is_moved_as_it_was_rehearsed() {
    let gateway = Gateway::start().await;
    for _ in 0..3 {
        gateway.letter("support").await;
    }
    gateway.letter("sales").await;
    let old = waiting(&gateway, "support").await;
    let (lead, _) = gateway.key(&[pb::Role::Supervisor], "").await;
    let mut floor = SupervisorServiceClient::new(gateway.remote.clone());

    let act = || Some(Act::MoveToQueue("queues/sales".to_owned()));
    let rehearsal = pb::TreatInteractionsRequest {
        validate_only: true,
        ..treat(of("support"), act())
    };
    let seen = floor.treat_interactions(by(&lead, rehearsal)).await;
    let seen = seen.unwrap().into_inner();
    assert_eq!(waiting(&gateway, "support").await, old, "only rehearsed");

    // Done to what was seen, and once, however often it is asked for.
    let named = pb::InteractionSelection {
        interactions: (seen.treated_interactions.iter())
            .map(|it| it.interaction.clone())
            .collect(),
        ..pb::InteractionSelection::default()
    };
    let request = pb::TreatInteractionsRequest {
        request_id: "0d5a".to_owned(),
        note: "all hands in sales".to_owned(),
        ..treat(Some(named), act())
    };
    for replayed in [false, true] {
        let done = floor.treat_interactions(by(&lead, request.clone())).await;
        let done = done.unwrap();
        assert_eq!(done.metadata().contains_key("postroom-replayed"), replayed);
        assert_eq!(*done.get_ref(), seen);
    }
    assert_eq!(seen.remaining_count, 0);
    let moved: Vec<_> = (seen.treated_interactions.iter())
        .map(|it| (it.interaction.clone(), it.obstacle()))
        .collect();
    let done = |name: &String| (name.clone(), pb::ErrorReason::Unspecified);
    assert_eq!(moved, old.iter().map(done).collect::<Vec<_>>());
    assert!(waiting(&gateway, "support").await.is_empty());
    let new = waiting(&gateway, "sales").await;
    assert_eq!(new[..3], old, "they kept their age");

    // What cannot be done is said of each, and the rest is done.
    let both = pb::InteractionSelection {
        interactions: vec![
            new[3].clone(),
            "interactions/00000000000000000000000000".to_owned(),
        ],
        ..pb::InteractionSelection::default()
    };
    let done = floor
        .treat_interactions(by(&lead, treat(Some(both), Some(Act::Dismiss(true)))))
        .await;
    let done = done.unwrap().into_inner().treated_interactions;
    let mut outcomes: Vec<_> = done.iter().map(|it| it.obstacle()).collect();
    outcomes.sort();
    assert_eq!(
        outcomes,
        [
            pb::ErrorReason::Unspecified,
            pb::ErrorReason::ResourceNotFound
        ]
    );
    assert_eq!(waiting(&gateway, "sales").await, old);
}

#[tokio::test]
async fn an_act_on_many_is_refused_whole() {
    let gateway = Gateway::start().await;
    gateway.agent("anna", &["support"]).await;
    let anna = gateway.sign_in("anna").await;
    gateway.letter("support").await;
    let (lead, _) = gateway.key(&[pb::Role::Supervisor], "").await;
    let mut floor = SupervisorServiceClient::new(gateway.remote.clone());
    let invalid = (Code::InvalidArgument, "FIELD_INVALID");
    let unknown = (Code::NotFound, "RESOURCE_NOT_FOUND");
    let nothing = pb::InteractionSelection::default;
    let dismiss = || Some(Act::Dismiss(true));
    let many = pb::InteractionSelection {
        interactions: vec!["interactions/00000000000000000000000000".to_owned(); 501],
        ..nothing()
    };
    let closed = pb::InteractionSelection {
        states: vec![pb::InteractionState::Closed.into()],
        ..nothing()
    };
    let whom = pb::InteractionSelection {
        sender: "@".to_owned(),
        ..nothing()
    };
    let early = pb::InteractionSelection {
        from_time: Some(prost_types::Timestamp {
            seconds: -1,
            nanos: 0,
        }),
        ..nothing()
    };
    let cases = [
        ("no selection", treat(None, dismiss()), invalid),
        ("everything", treat(Some(nothing()), dismiss()), invalid),
        ("no act", treat(of("support"), None), invalid),
        (
            "not this",
            treat(of("support"), Some(Act::Requeue(false))),
            invalid,
        ),
        (
            "too high",
            treat(of("support"), Some(Act::Priority(101))),
            invalid,
        ),
        ("501", treat(Some(many), dismiss()), invalid),
        ("closed", treat(Some(closed), dismiss()), invalid),
        ("nobody", treat(Some(whom), dismiss()), invalid),
        ("before 1970", treat(Some(early), dismiss()), invalid),
        ("of no queue", treat(of("none"), dismiss()), unknown),
        (
            "to no queue",
            treat(
                of("support"),
                Some(Act::MoveToQueue("queues/none".to_owned())),
            ),
            unknown,
        ),
    ];
    for (what, request, (code, reason)) in cases {
        for validate_only in [true, false] {
            let request = pb::TreatInteractionsRequest {
                validate_only,
                ..request.clone()
            };
            let got = floor.treat_interactions(by(&lead, request)).await;
            assert!(got.is_err(), "{what}");
            refused(got, code, reason);
        }
    }
    let other = floor
        .treat_interactions(by(&anna, treat(of("support"), dismiss())))
        .await;
    refused(other, Code::PermissionDenied, "ROLE_REQUIRED");
    assert_eq!(waiting(&gateway, "support").await.len(), 1);
}

#[tokio::test]
async fn one_interaction_goes_to_a_queue_or_into_hands() {
    let gateway = Gateway::start().await;
    gateway.agent("anna", &["support"]).await;
    gateway.letter("support").await;
    let name = waiting(&gateway, "support").await.remove(0);
    let (lead, _) = gateway.key(&[pb::Role::Supervisor], "").await;
    let mut floor = SupervisorServiceClient::new(gateway.remote.clone());
    let request = |target| pb::ReassignInteractionRequest {
        name: name.clone(),
        target,
        ..pb::ReassignInteractionRequest::default()
    };
    let to_anna = || Some(Target::Agent("agents/anna".to_owned()));
    let away = floor
        .reassign_interaction(by(&lead, request(to_anna())))
        .await;
    refused(away, Code::FailedPrecondition, "AGENT_UNAVAILABLE");
    let nowhere = floor.reassign_interaction(by(&lead, request(None))).await;
    refused(nowhere, Code::InvalidArgument, "FIELD_INVALID");

    let queue = Some(Target::Queue("queues/sales".to_owned()));
    let moved = floor.reassign_interaction(by(&lead, request(queue))).await;
    let moved = moved.unwrap().into_inner().interaction.unwrap();
    assert_eq!(
        (moved.queue.as_str(), moved.state()),
        ("queues/sales", pb::InteractionState::Queued)
    );
    gateway.sign_in("anna").await;
    let given = floor
        .reassign_interaction(by(&lead, request(to_anna())))
        .await;
    let given = given.unwrap().into_inner().interaction.unwrap();
    assert_eq!(
        (given.agent.as_str(), given.state()),
        ("agents/anna", pb::InteractionState::Active)
    );
    let again = floor
        .reassign_interaction(by(&lead, request(to_anna())))
        .await;
    refused(again, Code::FailedPrecondition, "TRANSFER_TARGET_INVALID");
}

#[tokio::test]
async fn what_changed_meanwhile_is_not_ended_and_work_can_be_laid_down() {
    let gateway = Gateway::start().await;
    gateway.agent("anna", &["sales"]).await;
    gateway.letter("sales").await;
    let name = waiting(&gateway, "sales").await.remove(0);
    let anna = gateway.sign_in("anna").await;
    let (lead, _) = gateway.key(&[pb::Role::Supervisor], "").await;
    let mut floor = SupervisorServiceClient::new(gateway.remote.clone());
    let give = |etag: &str| pb::ReassignInteractionRequest {
        name: name.clone(),
        target: Some(Target::Agent("agents/anna".to_owned())),
        etag: etag.to_owned(),
        ..pb::ReassignInteractionRequest::default()
    };
    let strange = floor.reassign_interaction(by(&lead, give("7"))).await;
    refused(strange, Code::InvalidArgument, "FIELD_INVALID");
    let stale = floor.reassign_interaction(by(&lead, give("\"99\""))).await;
    let now = refused(stale, Code::Aborted, "ETAG_MISMATCH");
    let etag = &now.iter().find(|(key, _)| key == "etag").unwrap().1;
    let given = floor.reassign_interaction(by(&lead, give(etag))).await;
    let given = given.unwrap().into_inner().interaction.unwrap();
    assert_ne!(given.etag, *etag);

    let mut work = InteractionServiceClient::new(gateway.remote.clone());
    let end = |etag: &str| pb::EndInteractionRequest {
        name: name.clone(),
        etag: etag.to_owned(),
        ..pb::EndInteractionRequest::default()
    };
    let stale = work.end_interaction(by(&anna, end(etag))).await;
    refused(stale, Code::Aborted, "ETAG_MISMATCH");

    let close = pb::CloseSessionRequest {
        name: "sessions/current".to_owned(),
        requeue_interactions: true,
        ..pb::CloseSessionRequest::default()
    };
    let mut sessions = SessionServiceClient::new(gateway.remote.clone());
    sessions.close_session(by(&anna, close)).await.unwrap();
    assert_eq!(
        waiting(&gateway, "sales").await,
        std::slice::from_ref(&name)
    );
    // A dead session is told so, whatever it knew.
    let dead = work.end_interaction(by(&anna, end(etag))).await;
    refused(dead, Code::Unauthenticated, "SESSION_CLOSED");
}
