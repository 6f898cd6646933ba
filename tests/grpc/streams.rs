//! How streams begin, go on and end.

use postroom::grpc::pb;
use postroom::grpc::pb::session_service_client::SessionServiceClient;
use postroom::grpc::pb::supervisor_service_client::SupervisorServiceClient;
use postroom::grpc::pb::watch_session_response::Frame;
use tonic::{Code, Streaming};

use super::gateway::{Gateway, by, refused};

async fn watch(
    gateway: &Gateway,
    token: &str,
    after: Option<i64>,
    log_id: &str,
) -> Result<(pb::StreamOpened, Streaming<pb::WatchSessionResponse>), tonic::Status> {
    let request = pb::WatchSessionRequest {
        name: "sessions/current".to_owned(),
        after_sequence: after,
        log_id: log_id.to_owned(),
    };
    let mut stream = SessionServiceClient::new(gateway.remote.clone())
        .watch_session(by(token, request))
        .await?
        .into_inner();
    match next(&mut stream).await {
        Frame::Opened(opened) => Ok((opened, stream)),
        frame => panic!("the first frame is opened, not {frame:?}"),
    }
}

async fn next(stream: &mut Streaming<pb::WatchSessionResponse>) -> Frame {
    stream.message().await.unwrap().unwrap().frame.unwrap()
}

/// The last frame, after which the stream is over.
async fn end(stream: &mut Streaming<pb::WatchSessionResponse>) -> pb::StreamClosing {
    loop {
        if let Frame::Closing(closing) = next(stream).await {
            assert!(stream.message().await.unwrap().is_none());
            return closing;
        }
    }
}

/// Makes two events in anna's log.
async fn join_and_leave(gateway: &Gateway) {
    let mut queues = pb::queue_service_client::QueueServiceClient::new(gateway.local.clone());
    let join = pb::CreateMembershipRequest {
        parent: "queues/sales".to_owned(),
        membership: Some(pb::Membership {
            agent: "agents/anna".to_owned(),
            ..pb::Membership::default()
        }),
    };
    let made = queues.create_membership(join).await.unwrap().into_inner();
    let leave = pb::DeleteMembershipRequest {
        name: made.membership.unwrap().name,
    };
    queues.delete_membership(leave).await.unwrap();
}

#[tokio::test]
async fn a_stream_goes_on_where_the_client_was() {
    let gateway = Gateway::start().await;
    gateway.agent("anna", &["support"]).await;
    let token = gateway.sign_in("anna").await;
    let (opened, mut first) = watch(&gateway, &token, None, "").await.unwrap();
    assert_eq!(opened.outcome(), pb::OpenOutcome::Snapshot);
    let Frame::Snapshot(snapshot) = next(&mut first).await else {
        panic!("a snapshot follows");
    };
    let log = opened.log_id;
    let from = snapshot.sequence;
    drop(first);
    join_and_leave(&gateway).await;

    let (opened, mut second) = watch(&gateway, &token, Some(from), &log).await.unwrap();
    assert_eq!(opened.outcome(), pb::OpenOutcome::Replay);
    assert_eq!(opened.latest_sequence, from + 2);
    for (sequence, removed) in [(from + 1, false), (from + 2, true)] {
        let Frame::Event(event) = next(&mut second).await else {
            panic!("events are replayed");
        };
        let Some(pb::session_event::Payload::MembershipChanged(changed)) = event.payload else {
            panic!("{event:?}");
        };
        assert_eq!((event.sequence, changed.removed), (sequence, removed));
    }

    // Another log, and numbers that are not of this one, begin anew.
    let (opened, mut third) = watch(&gateway, &token, Some(from), "other").await.unwrap();
    assert_eq!(opened.outcome(), pb::OpenOutcome::Resync);
    assert!(matches!(next(&mut third).await, Frame::Snapshot(_)));
    // A session has one stream, and the older one is told.
    let closing = end(&mut second).await;
    assert_eq!(closing.reason(), pb::ClosingReason::Superseded);
    assert_eq!(closing.action(), pb::ReconnectAction::Stop);

    let ahead = watch(&gateway, &token, Some(from + 100), &log).await;
    refused(ahead, Code::OutOfRange, "SEQUENCE_AHEAD");
    // The refused stream took nobody's place.
    join_and_leave(&gateway).await;
    assert!(matches!(next(&mut third).await, Frame::Event(_)));
}

#[tokio::test]
async fn a_takeover_ends_the_old_stream() {
    let gateway = Gateway::start().await;
    gateway.agent("anna", &["support"]).await;
    let token = gateway.sign_in("anna").await;
    let (_, mut stream) = watch(&gateway, &token, None, "").await.unwrap();
    let takeover = pb::OpenSessionRequest {
        takeover: true,
        ..super::gateway::sign_in("anna")
    };
    SessionServiceClient::new(gateway.remote.clone())
        .open_session(takeover)
        .await
        .unwrap();
    let closing = end(&mut stream).await;
    assert_eq!(closing.reason(), pb::ClosingReason::TakenOver);
    assert_eq!(closing.action(), pb::ReconnectAction::Stop);
    refused(
        watch(&gateway, &token, None, "").await,
        Code::Unauthenticated,
        "SESSION_CLOSED",
    );
}

#[tokio::test]
async fn the_desk_is_watched_without_a_gap_until_the_key_is_revoked() {
    use pb::watch_desk_response::Frame;
    let gateway = Gateway::start().await;
    gateway.agent("anna", &["support"]).await;
    let (key, name) = gateway.key(&[pb::Role::Supervisor], "").await;
    let mut desk = SupervisorServiceClient::new(gateway.remote.clone());
    let ask = pb::WatchDeskRequest {};
    let mut stream = desk.watch_desk(by(&key, ask)).await.unwrap().into_inner();
    let Some(Frame::Overview(overview)) = stream.message().await.unwrap().unwrap().frame else {
        panic!("the overview comes first");
    };
    gateway.letter("support").await;
    join_and_leave(&gateway).await;
    for revision in overview.revision + 1..=overview.revision + 3 {
        match stream.message().await.unwrap().unwrap().frame.unwrap() {
            Frame::Event(event) => assert_eq!(event.revision, revision),
            frame => panic!("{frame:?}"),
        }
    }
    let revoke = pb::RevokeApiKeyRequest { name };
    pb::credential_service_client::CredentialServiceClient::new(gateway.local.clone())
        .revoke_api_key(revoke)
        .await
        .unwrap();
    join_and_leave(&gateway).await;
    match stream.message().await.unwrap().unwrap().frame.unwrap() {
        Frame::Closing(closing) => {
            assert_eq!(closing.reason(), pb::ClosingReason::CredentialExpired);
        }
        frame => panic!("{frame:?}"),
    }
    assert!(stream.message().await.unwrap().is_none());
}

#[tokio::test]
async fn a_caller_has_a_few_streams_at_a_time() {
    let gateway = Gateway::start().await;
    let (key, _) = gateway.key(&[pb::Role::Supervisor], "").await;
    let mut desk = SupervisorServiceClient::new(gateway.remote.clone());
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(
            desk.watch_desk(by(&key, pb::WatchDeskRequest {}))
                .await
                .unwrap(),
        );
    }
    let metadata = refused(
        desk.watch_desk(by(&key, pb::WatchDeskRequest {})).await,
        Code::ResourceExhausted,
        "TOO_MANY_STREAMS",
    );
    assert_eq!(metadata, [("limit".to_owned(), "3".to_owned())]);
    let mut system = pb::system_service_client::SystemServiceClient::new(gateway.local.clone());
    let status = system
        .get_system_status(pb::GetSystemStatusRequest {})
        .await
        .unwrap();
    let status = status.into_inner();
    assert_eq!(status.stream_count, 3);
    assert!(status.taking_mail);
}

#[tokio::test]
async fn a_stop_tells_every_stream_to_come_back() {
    let gateway = Gateway::start().await;
    gateway.agent("anna", &["support"]).await;
    let token = gateway.sign_in("anna").await;
    let (_, mut stream) = watch(&gateway, &token, None, "").await.unwrap();
    gateway.drain.cancel();
    let closing = end(&mut stream).await;
    assert_eq!(closing.reason(), pb::ClosingReason::ServerDraining);
    assert_eq!(closing.action(), pb::ReconnectAction::Resume);
    assert!(closing.retry_delay.unwrap().seconds <= 3);
    let Gateway { server, .. } = gateway;
    server.await.unwrap();
}
