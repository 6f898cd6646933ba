//! What supervisors do to agents and to interactions that are not theirs.

use postroom::grpc::pb;
use postroom::grpc::pb::presence_service_client::PresenceServiceClient;
use postroom::grpc::pb::session_event::Payload;
use postroom::grpc::pb::session_service_client::SessionServiceClient;
use postroom::grpc::pb::supervisor_service_client::SupervisorServiceClient;
use postroom::grpc::pb::watch_overview_response::Frame as Board;
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
        requeue_interactions: false,
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

#[tokio::test]
async fn alerts_are_listed_and_the_board_follows() {
    let gateway = Gateway::start().await;
    gateway.agent("anna", &["support"]).await;
    gateway.agent("bert", &["sales"]).await;
    gateway.agent("carl", &["support", "sales"]).await;
    let mut floor = SupervisorServiceClient::new(gateway.local.clone());
    let watch = |queues: &[&str]| pb::WatchOverviewRequest {
        queues: queues.iter().map(|id| format!("queues/{id}")).collect(),
        min_interval: Some(prost_types::Duration::default()),
    };
    let mut board = floor
        .watch_overview(watch(&["sales"]))
        .await
        .unwrap()
        .into_inner();
    let mut next = async || board.message().await.unwrap().unwrap().frame.unwrap();
    let Board::Overview(first) = next().await else {
        panic!("no overview");
    };
    let names = |agents: &[pb::AgentActivity]| -> Vec<String> {
        agents.iter().map(|it| it.agent.clone()).collect()
    };
    assert_eq!(first.queues.len(), 1);
    assert_eq!(names(&first.agents), ["agents/bert", "agents/carl"]);

    // What is changed is sent whole; other queues are nobody's business here.
    gateway.letter("support").await;
    gateway.letter("sales").await;
    let Board::QueueStats(stats) = next().await else {
        panic!("no stats");
    };
    assert_eq!(
        (stats.queue.as_str(), stats.waiting_count),
        ("queues/sales", 1)
    );
    assert!(stats.oldest_enqueue_time.is_some());
    gateway.sign_in("bert").await;
    let bert = loop {
        match next().await {
            Board::AgentActivity(bert) => break bert,
            // One more of its agents is signed in.
            Board::QueueStats(stats) => assert_eq!(stats.queue, "queues/sales"),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(bert.agent, "agents/bert");
    assert_eq!(bert.presence.unwrap().state(), pb::AgentState::WorkOffline);
    // Somebody new is in a picture of the whole.
    gateway.agent("dora", &["sales"]).await;
    let whole = loop {
        match next().await {
            Board::Overview(whole) => break whole,
            Board::QueueStats(_) => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(whole.agents.len(), 3);
    gateway.drain.cancel();
    loop {
        if let Board::Closing(closing) = next().await {
            assert_eq!(closing.reason(), pb::ClosingReason::ServerDraining);
            break;
        }
    }
}

#[tokio::test]
async fn agents_and_alerts_are_listed_in_pages() {
    let gateway = Gateway::start().await;
    for (agent, queue) in [("anna", "support"), ("bert", "sales"), ("carl", "support")] {
        gateway.agent(agent, &[queue]).await;
    }
    let mut floor = SupervisorServiceClient::new(gateway.local.clone());
    let mut found = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = pb::ListAgentActivitiesRequest {
            queue: "queues/support".to_owned(),
            page_size: 1,
            page_token,
        };
        let page = floor
            .list_agent_activities(request)
            .await
            .unwrap()
            .into_inner();
        found.extend(page.agent_activities.into_iter().map(|it| it.agent));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(found, ["agents/anna", "agents/carl"]);
    let unknown = pb::ListAgentActivitiesRequest {
        queue: "queues/none".to_owned(),
        ..pb::ListAgentActivitiesRequest::default()
    };
    let unknown = floor.list_agent_activities(unknown).await;
    refused(unknown, Code::NotFound, "RESOURCE_NOT_FOUND");

    // Anna leaves with work in her hands.
    let anna = gateway.sign_in("anna").await;
    let mut frames = watch(&gateway, &anna).await;
    let available = pb::SetPresenceRequest {
        name: "agents/me/presence".to_owned(),
        state: pb::AgentState::Available.into(),
        ..pb::SetPresenceRequest::default()
    };
    let mut presences = PresenceServiceClient::new(gateway.remote.clone());
    presences.set_presence(by(&anna, available)).await.unwrap();
    gateway.letter("support").await;
    let offer = loop {
        if let (_, Payload::OfferCreated(it)) = event(&mut frames).await {
            break it.offer.unwrap();
        }
    };
    let accept = pb::AcceptOfferRequest {
        name: offer.name,
        ..pb::AcceptOfferRequest::default()
    };
    let mut offers = pb::offer_service_client::OfferServiceClient::new(gateway.remote.clone());
    offers.accept_offer(by(&anna, accept)).await.unwrap();
    let close = pb::CloseSessionRequest {
        name: "sessions/current".to_owned(),
        request_id: String::new(),
        requeue_interactions: false,
    };
    let mut sessions = SessionServiceClient::new(gateway.remote.clone());
    sessions.close_session(by(&anna, close)).await.unwrap();
    let alerts = floor.list_alerts(pb::ListAlertsRequest::default()).await;
    let alerts = alerts.unwrap().into_inner().alerts;
    let [alert] = alerts.as_slice() else {
        panic!("{alerts:?}");
    };
    assert_eq!(alert.kind(), pb::AlertKind::WorkAbandoned);
    assert_eq!(alert.interaction, offer.interaction);
    assert_eq!(alert.agent, "agents/anna");
    let overview = floor.get_overview(pb::GetOverviewRequest {}).await.unwrap();
    assert_eq!(overview.into_inner().overview.unwrap().alerts, alerts);
    let clear = pb::ClearAlertRequest {
        name: alert.name.clone(),
    };
    let stands = floor.clear_alert(clear).await;
    let invalid = "STATE_TRANSITION_INVALID";
    refused(stands, Code::FailedPrecondition, invalid);
    let clear = pb::ClearAlertRequest {
        name: "alerts/none".to_owned(),
    };
    refused(
        floor.clear_alert(clear).await,
        Code::NotFound,
        "RESOURCE_NOT_FOUND",
    );
}
