//! `SessionService`: sign-in, the lease, and the stream of an agent's events.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status};

use super::access::{self, Principal, caller};
use super::errors::{self, Failure};
use super::form::Form;
use super::password::PASSWORD_BYTES_MAX;
use super::pb::session_service_server::SessionService;
use super::pb::watch_session_response::Frame;
use super::pb::{self, ErrorReason, OpenOutcome};
use super::watch::{self, Feed, Frames, Gone, HEARTBEAT, Wording};
use super::{Shared, convert, events, respond};
use crate::desk::{Answer, CODE_BYTES_MAX, Command, Event, Refusal, Role};
use crate::engine::{EngineError, SessionWatch, Snapshot};
use crate::id::{AgentId, SessionId};

/// Events read from the log at a time while replaying.
const REPLAY_PAGE: u64 = 500;

/// Longest log id that is looked at, in bytes.
const LOG_ID_BYTES_MAX: usize = 64;

/// Longest sign-in name that is looked at, in bytes.
const LOGIN_BYTES_MAX: usize = 128;

pub(super) struct Sessions(pub(super) Arc<Shared>);

/// Which session a request names: `sessions/current` is the one of the token.
fn named(form: &mut Form, text: &str, caller: &Principal) -> Option<SessionId> {
    match (text, caller.session) {
        ("sessions/current", Some(session)) => Some(session),
        _ => form.name("name", text, "sessions"),
    }
}

impl Sessions {
    /// The session of the token, which is the only one that the caller may name here.
    fn own(
        form: &mut Form,
        text: &str,
        caller: &Principal,
        rpc: &'static str,
    ) -> Result<SessionId, Status> {
        let own = caller.session(rpc)?;
        if named(form, text, caller).is_some_and(|named| named != own) {
            form.wrong("name", "must be the session of the token");
        }
        Ok(own)
    }

    /// Who signs in, and that it is them.
    async fn prove(
        &self,
        caller: &Principal,
        login: String,
        password: String,
    ) -> Result<AgentId, Status> {
        if let (Some(_), Some(agent)) = (caller.key, &caller.agent) {
            return Ok(agent.clone());
        }
        if login.is_empty() {
            let message = "send login and password, or an API key that is bound to an agent";
            let missing = ErrorReason::CredentialMissing;
            return Err(Failure::new(Code::Unauthenticated, missing, message).into());
        }
        // A login that is no agent's id takes as long to refuse as a wrong password.
        let agent = login.parse::<AgentId>().ok();
        let stored = match agent.clone() {
            Some(agent) => self.0.password_of(agent).await?.flatten(),
            None => None,
        };
        let now = self.0.handle.now();
        let proven = (self.0.passwords)
            .verify(&login, password, stored, now)
            .await?;
        agent
            .filter(|_| proven)
            .ok_or_else(access::credential_invalid)
    }
}

#[tonic::async_trait]
impl SessionService for Sessions {
    async fn open_session(
        &self,
        request: Request<pb::OpenSessionRequest>,
    ) -> Result<Response<pb::OpenSessionResponse>, Status> {
        watch::unless_draining(&self.0)?;
        let caller = caller(&request)?;
        let mut asked = request.into_inner();
        let login = std::mem::take(&mut asked.login);
        let password = std::mem::take(&mut asked.password);
        let id = std::mem::take(&mut asked.request_id);
        let mut form = Form::new();
        let login = form.text("login", login, LOGIN_BYTES_MAX);
        let password = form.text("password", password, PASSWORD_BYTES_MAX);
        let client = form.text("client_info", asked.client_info.clone(), CODE_BYTES_MAX);
        let initial = form.requested("initial_state", asked.initial_state, String::new());
        let lease = match asked.lease_duration.map(Duration::try_from) {
            Some(Err(_)) => {
                form.wrong("lease_duration", "must not be negative");
                None
            }
            Some(Ok(lease)) => Some(Some(lease)),
            None => Some(None),
        };
        let (login, password, client, initial, lease) =
            form.done((login, password, client, initial, lease))?;
        let agent = self.prove(&caller, login, password).await?;
        let mut form = Form::new();
        // The password is no part of the digest: what is stored must not help to guess it.
        let key = form.request(&format!("agents/{agent}"), "OpenSession", id, &asked);
        let key = form.done(key)?;
        let command = Command::OpenSession {
            agent,
            takeover: asked.takeover,
            initial,
            lease,
            client,
        };
        let done = (self.0.handle.command(command, key).await).map_err(errors::engine)?;
        let Answer::Session(view, latest) = done.answer else {
            return Err(errors::internal(
                "OpenSession was not answered by a session",
            ));
        };
        let response = pb::OpenSessionResponse {
            session: Some(convert::session(&view)),
            session_token: self.0.handle.keys().session_token(view.session.id),
            log_id: self.0.handle.log_id().to_owned(),
            latest_sequence: convert::long(latest),
            heartbeat_interval: Some(convert::duration(HEARTBEAT)),
        };
        Ok(respond(response, done.replayed))
    }

    async fn renew_session(
        &self,
        request: Request<pb::RenewSessionRequest>,
    ) -> Result<Response<pb::RenewSessionResponse>, Status> {
        let caller = caller(&request)?;
        let asked = request.into_inner();
        let mut form = Form::new();
        let session = Self::own(&mut form, &asked.name, &caller, "RenewSession")?;
        let acked = form.sequence("ack_sequence", asked.ack_sequence);
        let acked = form.done(acked)?;
        let command = Command::RenewSession { session, acked };
        let done = (self.0.handle.command(command, None).await).map_err(errors::engine)?;
        let Answer::Session(view, latest) = done.answer else {
            return Err(errors::internal(
                "RenewSession was not answered by a session",
            ));
        };
        Ok(Response::new(pb::RenewSessionResponse {
            session: Some(convert::session(&view)),
            latest_sequence: convert::long(latest),
        }))
    }

    type WatchSessionStream = ReceiverStream<Result<pb::WatchSessionResponse, Status>>;

    async fn watch_session(
        &self,
        request: Request<pb::WatchSessionRequest>,
    ) -> Result<Response<Self::WatchSessionStream>, Status> {
        watch::unless_draining(&self.0)?;
        let caller = caller(&request)?;
        let asked = request.into_inner();
        let mut form = Form::new();
        let session = Self::own(&mut form, &asked.name, &caller, "WatchSession")?;
        let after = form.sequence("after_sequence", asked.after_sequence);
        let log_id = form.text("log_id", asked.log_id, LOG_ID_BYTES_MAX);
        let (after, log_id) = form.done((after, log_id))?;
        let same_log = log_id == self.0.handle.log_id();
        if let (Some(after), true, Some(agent)) = (after, same_log, caller.agent.clone()) {
            self.not_ahead(agent, after).await?;
        }
        let permit = self.0.streams.admit(&caller)?;
        let watch = (self.0.handle.watch_session(session).await).map_err(errors::engine)?;
        let begin = Begin::decide(after, same_log, &watch.snapshot);
        let (out, frames) = mpsc::channel(watch::FRAMES_AHEAD);
        let latest = match begin {
            Begin::Replay { after } => after,
            Begin::Snapshot | Begin::Resync => watch.snapshot.sequence,
        };
        let feed = Feed::new(Arc::clone(&self.0), caller, out, latest, permit);
        tokio::spawn(run(Arc::clone(&self.0), feed, watch, begin));
        Ok(Response::new(ReceiverStream::new(frames)))
    }

    async fn get_session(
        &self,
        request: Request<pb::GetSessionRequest>,
    ) -> Result<Response<pb::GetSessionResponse>, Status> {
        let caller = caller(&request)?;
        let mut form = Form::new();
        let session = named(&mut form, &request.get_ref().name, &caller);
        let session = form.done(session)?;
        may_see(&caller, session, "GetSession")?;
        let view = (self
            .0
            .handle
            .look(move |desk, now| desk.session(session, now))
            .await)
            .map_err(errors::engine)?
            .ok_or_else(|| errors::not_found(format!("sessions/{session}")))?;
        Ok(Response::new(pb::GetSessionResponse {
            session: Some(convert::session(&view)),
        }))
    }

    async fn close_session(
        &self,
        request: Request<pb::CloseSessionRequest>,
    ) -> Result<Response<pb::CloseSessionResponse>, Status> {
        let caller = caller(&request)?;
        let mut asked = request.into_inner();
        let id = std::mem::take(&mut asked.request_id);
        let mut form = Form::new();
        let session = named(&mut form, &asked.name, &caller);
        let key = form.request(&caller.subject, "CloseSession", id, &asked);
        let (session, key) = form.done((session, key))?;
        may_see(&caller, session, "CloseSession")?;
        let handle = &self.0.handle;
        let requeue = asked.requeue_interactions;
        let done = if caller.session == Some(session) {
            (handle.command(Command::CloseSession { session, requeue }, key)).await
        } else {
            let command = Command::ForceSignOut { session, requeue };
            handle.command_by(caller.actor(), command, key).await
        };
        let done = done.map_err(|error| match error {
            // A supervisor's own credential is fine: it is the other's session that is gone.
            EngineError::Refused(Refusal::SessionClosed) if caller.session != Some(session) => {
                errors::not_found(format!("sessions/{session}"))
            }
            other => errors::engine(other),
        })?;
        let Answer::Presence { presence, .. } = done.answer else {
            return Err(errors::internal(
                "CloseSession was not answered by a presence",
            ));
        };
        let response = pb::CloseSessionResponse {
            presence: Some(convert::presence(&presence)),
        };
        Ok(respond(response, done.replayed))
    }
}

impl Sessions {
    /// Refuses a client that claims to have seen the future, before its stream takes the place of
    /// another.
    async fn not_ahead(&self, agent: AgentId, acked: u64) -> Result<(), Status> {
        let latest = self
            .0
            .handle
            .look(move |desk, _| desk.agents().get(&agent).map_or(0, |agent| agent.sequence))
            .await
            .map_err(errors::engine)?;
        if acked > latest {
            let ahead = Refusal::SequenceAhead { acked, latest };
            return Err(errors::engine(EngineError::Refused(ahead)));
        }
        Ok(())
    }
}

/// An agent's own session, any for a supervisor.
fn may_see(caller: &Principal, session: SessionId, rpc: &str) -> Result<(), Status> {
    if caller.session == Some(session) || caller.is(Role::Supervisor) {
        return Ok(());
    }
    Err(access::role_required(rpc, "SUPERVISOR"))
}

/// How a stream begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Begin {
    Snapshot,
    Replay { after: u64 },
    Resync,
}

impl Begin {
    fn decide(after: Option<u64>, same_log: bool, snapshot: &Snapshot) -> Self {
        match after {
            None => Self::Snapshot,
            Some(after)
                if same_log && after + 1 >= snapshot.oldest && after <= snapshot.sequence =>
            {
                Self::Replay { after }
            }
            Some(_) => Self::Resync,
        }
    }

    const fn outcome(self) -> OpenOutcome {
        match self {
            Self::Snapshot => OpenOutcome::Snapshot,
            Self::Replay { .. } => OpenOutcome::Replay,
            Self::Resync => OpenOutcome::Resync,
        }
    }
}

struct Session;

impl Frames for Session {
    type Frame = pb::WatchSessionResponse;

    fn heartbeat(heartbeat: pb::StreamHeartbeat) -> Self::Frame {
        frame(Frame::Heartbeat(heartbeat))
    }

    fn closing(closing: pb::StreamClosing) -> Self::Frame {
        frame(Frame::Closing(closing))
    }
}

impl Wording for Session {
    fn number(event: &Event) -> u64 {
        event.agent.as_ref().map_or(0, |(_, sequence)| *sequence)
    }

    fn event(event: &Event, queue_display_name: String) -> Self::Frame {
        frame(Frame::Event(events::session_event(
            event,
            queue_display_name,
        )))
    }
}

const fn frame(frame: Frame) -> pb::WatchSessionResponse {
    pb::WatchSessionResponse { frame: Some(frame) }
}

/// The whole life of a stream. The watch is dropped at its end, which detaches the stream.
async fn run(shared: Arc<Shared>, mut feed: Feed<Session>, mut watch: SessionWatch, begin: Begin) {
    let begun = begin_stream(&shared, &mut feed, &watch.snapshot, begin).await;
    match begun {
        Ok(true) => feed.follow(&mut watch.frames).await,
        Ok(false) => {
            feed.close(pb::ClosingReason::SlowConsumer, pb::ReconnectAction::Resume)
                .await;
        }
        Err(Gone) => {}
    }
}

/// Sends what comes before the first new event; `false` if the log was trimmed meanwhile.
async fn begin_stream(
    shared: &Shared,
    feed: &mut Feed<Session>,
    snapshot: &Snapshot,
    begin: Begin,
) -> Result<bool, Gone> {
    feed.send(frame(Frame::Opened(pb::StreamOpened {
        outcome: begin.outcome().into(),
        log_id: shared.handle.log_id().to_owned(),
        latest_sequence: convert::long(snapshot.sequence),
        oldest_sequence: convert::long(snapshot.oldest),
        heartbeat_interval: Some(convert::duration(HEARTBEAT)),
        lease_duration: Some(convert::duration(snapshot.session.session.lease)),
    })))
    .await?;
    match begin {
        Begin::Snapshot | Begin::Resync => {
            let snapshot = snapshot_frame(shared, snapshot).await;
            feed.send(frame(Frame::Snapshot(snapshot))).await?;
            Ok(true)
        }
        Begin::Replay { after } => replay(shared, feed, snapshot, after).await,
    }
}

async fn replay(
    shared: &Shared,
    feed: &mut Feed<Session>,
    snapshot: &Snapshot,
    after: u64,
) -> Result<bool, Gone> {
    let agent = &snapshot.session.session.agent;
    let mut told = after;
    while told < snapshot.sequence {
        let up_to = (told + REPLAY_PAGE).min(snapshot.sequence);
        let Ok(page) = shared.handle.events(agent.clone(), told, up_to).await else {
            return Ok(false);
        };
        if page.is_empty() {
            return Ok(false);
        }
        for event in page {
            if Session::number(&event) != told + 1 {
                return Ok(false);
            }
            told += 1;
            feed.tell(&event).await?;
        }
    }
    Ok(true)
}

async fn snapshot_frame(shared: &Shared, snapshot: &Snapshot) -> pb::SessionSnapshot {
    let now = shared.handle.now();
    let agent = &snapshot.session.session.agent;
    let mut offers = Vec::with_capacity(snapshot.offers.len());
    for (offer, interaction) in &snapshot.offers {
        let name = shared.queue_display_name(&offer.queue).await;
        let name = name.unwrap_or_else(|_| offer.queue.to_string());
        offers.push(convert::offer(offer, interaction, name, now));
    }
    pb::SessionSnapshot {
        sequence: convert::long(snapshot.sequence),
        session: Some(convert::session(&snapshot.session)),
        presence: Some(convert::presence(&snapshot.presence)),
        offers,
        interactions: snapshot
            .interactions
            .iter()
            .map(convert::interaction)
            .collect(),
        memberships: (snapshot.queues.iter())
            .map(|queue| convert::membership(queue, agent))
            .collect(),
    }
}
