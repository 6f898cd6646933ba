//! What supervisors do to agents and to interactions that are not theirs.

use postroom::grpc::pb;
use postroom::grpc::pb::presence_service_client::PresenceServiceClient;
use postroom::grpc::pb::session_event::Payload;
use postroom::grpc::pb::session_service_client::SessionServiceClient;
use postroom::grpc::pb::supervisor_service_client::SupervisorServiceClient;
use postroom::grpc::pb::watch_session_response::Frame;
use tonic::{Code, Streaming};

use super::gateway::{Gateway, by, refused};

/// The agent's stream, past its beginning.
async fn watch(gateway: &Gateway, token: &str) -> Streaming<pb::WatchSessionResponse> {
    let request = pb::WatchSessionRequest {
        name: "sessions/current".to_owned(),
        ..pb::WatchSessionRequest::default()
    };
    let mut frames = SessionServiceClient::new(gateway.remote.clone())
        .watch_session(by(token, request))
        .await
        .unwrap()
        .into_inner();
    for _ in 0..2 {
        frames.message().await.unwrap().unwrap();
    }
    frames
}

async fn next(frames: &mut Streaming<pb::WatchSessionResponse>) -> Frame {
    frames.message().await.unwrap().unwrap().frame.unwrap()
}

async fn event(frames: &mut Streaming<pb::WatchSessionResponse>) -> (pb::Actor, Payload) {
    match next(frames).await {
        Frame::Event(event) => (event.actor.unwrap(), event.payload.unwrap()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_supervisor_sets_presence_and_signs_out_and_the_agent_is_told() {
    let gateway = Gateway::start().await;
    gateway.agent("anna", &["support"]).await;
    gateway.agent("bert", &["support"]).await;
    let anna = gateway.sign_in("anna").await;
    let mut frames = watch(&gateway, &anna).await;
    let (lead, subject) = gateway.key(&[pb::Role::Supervisor], "").await;
    let mut presences = PresenceServiceClient::new(gateway.remote.clone());
    let set = |name: &str, state: pb::AgentState| pb::SetPresenceRequest {
        name: format!("agents/{name}/presence"),
        state: state.into(),
        note: "please".to_owned(),
        ..pb::SetPresenceRequest::default()
    };
    let available = pb::AgentState::Available;
    let done = presences
        .set_presence(by(&lead, set("anna", available)))
        .await;
    let presence = done.unwrap().into_inner().presence.unwrap();
    assert_eq!(presence.cause(), pb::PresenceCause::SupervisorRequest);
    let (actor, payload) = event(&mut frames).await;
    let by_lead = pb::Actor {
        kind: pb::ActorKind::Supervisor.into(),
        subject,
    };
    assert_eq!(actor, by_lead);
    assert!(
        matches!(&payload, Payload::PresenceForced(it) if it.note == "please"
            && it.state() == available && !it.deferred),
        "{payload:?}"
    );
    let (actor, payload) = event(&mut frames).await;
    assert_eq!(actor, by_lead);
    assert!(
        matches!(payload, Payload::PresenceChanged(_)),
        "{payload:?}"
    );

    let absent = presences
        .set_presence(by(&lead, set("bert", available)))
        .await;
    refused(absent, Code::FailedPrecondition, "AGENT_UNAVAILABLE");
    let unknown = presences
        .set_presence(by(&lead, set("carl", available)))
        .await;
    refused(unknown, Code::NotFound, "RESOURCE_NOT_FOUND");
    let other = presences
        .set_presence(by(&anna, set("bert", available)))
        .await;
    refused(other, Code::PermissionDenied, "ROLE_REQUIRED");
    let (bound, _) = gateway.key(&[pb::Role::Agent], "agents/anna").await;
    let bare = presences
        .set_presence(by(&bound, set("anna", available)))
        .await;
    refused(bare, Code::PermissionDenied, "SESSION_REQUIRED");

    // What the agent does is the agent's act.
    let own = set("anna", pb::AgentState::WorkOffline);
    presences.set_presence(by(&anna, own)).await.unwrap();
    let (actor, _) = event(&mut frames).await;
    assert_eq!(actor.kind(), pb::ActorKind::Agent);
    assert_eq!(actor.subject, "agents/anna");

    let mut sessions = SessionServiceClient::new(gateway.remote.clone());
    let current = pb::GetSessionRequest {
        name: "sessions/current".to_owned(),
    };
    let session = sessions.get_session(by(&anna, current)).await.unwrap();
    let close = pb::CloseSessionRequest {
        name: session.into_inner().session.unwrap().name,
        request_id: String::new(),
    };
    sessions
        .close_session(by(&lead, close.clone()))
        .await
        .unwrap();
    let (actor, _) = event(&mut frames).await;
    assert_eq!(actor, by_lead);
    match next(&mut frames).await {
        Frame::Closing(closing) => {
            assert_eq!(closing.reason(), pb::ClosingReason::ClosedBySupervisor);
            assert_eq!(closing.action(), pb::ReconnectAction::Stop);
        }
        other => panic!("{other:?}"),
    }
    let again = sessions.close_session(by(&lead, close)).await;
    refused(again, Code::NotFound, "RESOURCE_NOT_FOUND");
}

#[tokio::test]
async fn a_notice_reaches_those_who_are_signed_in() {
    let gateway = Gateway::start().await;
    gateway.agent("anna", &["support"]).await;
    gateway.agent("bert", &["sales"]).await;
    gateway.agent("carl", &["support"]).await;
    let anna = gateway.sign_in("anna").await;
    let mut frames = watch(&gateway, &anna).await;
    gateway.sign_in("bert").await;
    let mut floor = SupervisorServiceClient::new(gateway.local.clone());
    let notice = |agents: &[&str], queues: &[&str], text: &str| pb::PostNoticeRequest {
        agents: agents.iter().map(|id| format!("agents/{id}")).collect(),
        queues: queues.iter().map(|id| format!("queues/{id}")).collect(),
        text: text.to_owned(),
        request_id: String::new(),
    };
    for (agents, queues, readers) in [
        (&[][..], &[][..], 2),
        (&["carl"], &[], 0),
        (&["bert"], &["support"], 2),
        (&[], &["sales"], 1),
    ] {
        let told = floor.post_notice(notice(agents, queues, "hello")).await;
        let told = told.unwrap().into_inner();
        assert_eq!(told.recipient_count, readers, "{agents:?} {queues:?}");
    }
    let (actor, payload) = event(&mut frames).await;
    assert_eq!(actor.kind(), pb::ActorKind::Supervisor);
    assert!(matches!(&payload, Payload::NoticePosted(it) if it.text == "hello"));
    let once = pb::PostNoticeRequest {
        request_id: "notice-1".to_owned(),
        ..notice(&["anna"], &[], "once")
    };
    for _ in 0..2 {
        let told = floor.post_notice(once.clone()).await.unwrap().into_inner();
        assert_eq!(told.recipient_count, 1);
    }
    for (agents, queues, text, code, reason) in [
        (
            &["dora"][..],
            &[][..],
            "x",
            Code::NotFound,
            "RESOURCE_NOT_FOUND",
        ),
        (&[], &["none"], "x", Code::NotFound, "RESOURCE_NOT_FOUND"),
        (&[], &[], " ", Code::InvalidArgument, "FIELD_INVALID"),
        (
            &[],
            &[],
            &"x".repeat(2049),
            Code::InvalidArgument,
            "FIELD_INVALID",
        ),
    ] {
        let wrong = floor.post_notice(notice(agents, queues, text)).await;
        refused(wrong, code, reason);
    }
    let mut agent = SupervisorServiceClient::new(gateway.remote.clone());
    let mine = agent
        .post_notice(by(&anna, notice(&[], &[], "hello")))
        .await;
    refused(mine, Code::PermissionDenied, "ROLE_REQUIRED");
}
