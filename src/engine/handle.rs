//! The handle: what callers hold of the engine. Cheap to clone; never blocks the runtime.

use std::fmt;
use std::io::Read;
use std::path::Path;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use ring::digest;
use tokio::sync::{Mutex, mpsc, oneshot};

use super::keys::{ApiKey, Keys};
use super::watch::WatchFrame;
use super::{EngineError, Shared, Verdict};
use crate::content::Content;
use crate::desk::{
    Agent, Answer, Case, Command, Desk, Event, Filing, Ingest, Interaction, Message, Offer,
    Presence, Role, SessionView, State,
};
use crate::id::{AgentId, InteractionId, KeyId, MessageId, OfferId, QueueId, SessionId};
use crate::mail::token::MainNumber;
use crate::outbound::driver::{Job, Spooler};
use crate::outbound::message::{Diagnostic, Outbound, Outcome};
use crate::outbound::submit::NotMarked;
use crate::store::record::{self, Stored};
use crate::store::{BodyId, BodyReader, Health, Store, keys};
use crate::time::Timestamp;

/// Bytes of a body that a reader of heads may ask for.
pub const HEAD_BYTES_MAX: usize = 4 << 20;

/// Under what a caller wants a request to be carried out once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestKey {
    /// Who asks.
    pub principal: String,
    /// For what.
    pub rpc: &'static str,
    /// The id that the caller chose.
    pub id: String,
    /// SHA-256 of the request without its id.
    pub digest: [u8; 32],
}

impl RequestKey {
    /// Under what it is stored: a digest, so that its length is bounded.
    pub(super) fn key(&self) -> [u8; 32] {
        let mut context = digest::Context::new(&digest::SHA256);
        for part in [&self.principal, self.rpc, &self.id] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        let mut key = [0; 32];
        key.copy_from_slice(context.finish().as_ref());
        key
    }
}

/// What a command answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// The answer.
    pub answer: Answer,
    /// Whether it was given before, and nothing was done this time.
    pub replayed: bool,
}

/// A key to be made.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// What it is for.
    pub display_name: String,
    /// What it may.
    pub roles: Vec<Role>,
    /// The agent that it signs in as.
    pub agent: Option<AgentId>,
    /// When it stops being good.
    pub expires: Option<Timestamp>,
    /// SHA-256 of its secret.
    pub digest: [u8; 32],
}

/// A look at the desk: run by the engine, answered when the round is durable.
type Look = Box<dyn FnOnce(&Desk, Timestamp) -> Verdict + Send>;

/// What the engine can be called for.
pub(super) enum Call {
    Command {
        command: Box<Command>,
        body: Option<Content>,
        request: Option<RequestKey>,
        fingerprint: Option<[u8; 32]>,
        reply: oneshot::Sender<Result<Done, EngineError>>,
    },
    Look(Look),
    WatchSession {
        session: SessionId,
        reply: oneshot::Sender<Result<SessionWatch, EngineError>>,
    },
    WatchDesk {
        reply: oneshot::Sender<Result<DeskWatch, EngineError>>,
    },
    CreateKey {
        new: NewKey,
        reply: oneshot::Sender<Result<ApiKey, EngineError>>,
    },
    RevokeKey {
        id: KeyId,
        reply: oneshot::Sender<Result<Option<ApiKey>, EngineError>>,
    },
    /// Something outside the channel changed.
    Nudge,
    Stop,
}

/// What callers hold of the engine.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
    calls: SyncSender<Call>,
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

impl Handle {
    pub(super) const fn new(shared: Arc<Shared>, calls: SyncSender<Call>) -> Self {
        Self { shared, calls }
    }

    fn send(&self, call: Call) -> Result<(), EngineError> {
        self.calls.try_send(call).map_err(|error| match error {
            TrySendError::Full(_) => EngineError::Overloaded,
            TrySendError::Disconnected(_) => EngineError::Stopping,
        })
    }

    async fn ask<T>(
        &self,
        call: impl FnOnce(oneshot::Sender<Result<T, EngineError>>) -> Call,
    ) -> Result<T, EngineError> {
        let (reply, answer) = oneshot::channel();
        self.send(call(reply))?;
        answer.await.unwrap_or(Err(EngineError::Stopping))
    }

    /// Carries out a command; answered when its effects are durable.
    ///
    /// # Errors
    ///
    /// [`EngineError`]; only [`EngineError::Unknown`] leaves open whether something changed.
    pub async fn command(
        &self,
        command: Command,
        request: Option<RequestKey>,
    ) -> Result<Done, EngineError> {
        self.ask(|reply| Call::Command {
            command: Box::new(command),
            body: None,
            request,
            fingerprint: None,
            reply,
        })
        .await
    }

    /// Carries out a command that makes a message of these bytes.
    ///
    /// # Errors
    ///
    /// As for [`Self::command`].
    pub async fn command_with_body(
        &self,
        command: Command,
        body: Content,
        request: Option<RequestKey>,
    ) -> Result<Done, EngineError> {
        self.ask(|reply| Call::Command {
            command: Box::new(command),
            body: Some(body),
            request,
            fingerprint: None,
            reply,
        })
        .await
    }

    /// Files a letter, once for each queue however often it is sent: `fingerprint` tells it from
    /// all others. Answers where it is, and whether all of that was known before.
    ///
    /// # Errors
    ///
    /// As for [`Self::command`].
    pub async fn ingest(
        &self,
        letter: Ingest,
        body: Content,
        fingerprint: [u8; 32],
    ) -> Result<(Vec<Filing>, bool), EngineError> {
        let done = self
            .ask(|reply| Call::Command {
                command: Box::new(Command::Ingest(Box::new(letter))),
                body: Some(body),
                request: None,
                fingerprint: Some(fingerprint),
                reply,
            })
            .await?;
        match done.answer {
            Answer::Filed(filings) => Ok((filings, done.replayed)),
            _ => Ok((Vec::new(), done.replayed)),
        }
    }

    /// Looks at the desk as it is after all that was asked before.
    ///
    /// # Errors
    ///
    /// [`EngineError`]; what was seen is kept back if it could not be written.
    pub async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Desk, Timestamp) -> T + Send + 'static,
    ) -> Result<T, EngineError> {
        self.ask(|reply| {
            Call::Look(Box::new(move |desk, now| {
                let seen = look(desk, now);
                super::answer_after(Ok(seen), reply)
            }))
        })
        .await
    }

    /// The time, as the engine reads it.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    /// Whether mail can be taken: the store can write and has room.
    #[must_use]
    pub fn takes_mail(&self) -> bool {
        self.shared
            .taking_mail
            .load(std::sync::atomic::Ordering::Relaxed)
    }

    /// How the store is doing. Asks the disk: not for the mail's path.
    ///
    /// # Errors
    ///
    /// [`EngineError::Stopping`].
    pub async fn health(&self) -> Result<Health, EngineError> {
        self.read(|store| Ok(store.health())).await
    }

    /// The folder for messages too large to be held in memory while they arrive.
    #[must_use]
    pub fn incoming(&self) -> &Path {
        self.shared.store.incoming()
    }

    /// Who may come in.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.shared.keys
    }

    /// Names the event logs of this store: another store has another name.
    #[must_use]
    pub fn log_id(&self) -> &str {
        &self.shared.log_id
    }

    /// The key with which case tokens are signed.
    #[must_use]
    pub fn mail_secret(&self) -> &[u8] {
        &self.shared.mail_secret
    }

    /// Stops the engine after what has been asked before. Waits for its turn if need be.
    pub fn stop(&self) {
        // An engine that has stopped already needs no word.
        let _ = self.calls.send(Call::Stop);
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn Store) -> Result<T, EngineError> + Send + 'static,
    ) -> Result<T, EngineError> {
        let shared = Arc::clone(&self.shared);
        tokio::task::spawn_blocking(move || read(&*shared.store))
            .await
            .unwrap_or(Err(EngineError::Stopping))
    }

    async fn record<T: Stored + Send + 'static>(
        &self,
        key: Vec<u8>,
    ) -> Result<Option<T>, EngineError> {
        self.read(move |store| get(store, &key)).await
    }

    /// An interaction, closed ones included.
    ///
    /// # Errors
    ///
    /// [`EngineError::Unavailable`] if the store cannot be read.
    pub async fn interaction(&self, id: InteractionId) -> Result<Option<Interaction>, EngineError> {
        self.record(keys::interaction(id)).await
    }

    /// An offer that is live or ended not long ago.
    ///
    /// # Errors
    ///
    /// As for [`Self::interaction`].
    pub async fn offer(&self, id: OfferId) -> Result<Option<Offer>, EngineError> {
        self.record(keys::offer(id)).await
    }

    /// A case.
    ///
    /// # Errors
    ///
    /// As for [`Self::interaction`].
    pub async fn case(&self, number: MainNumber) -> Result<Option<Case>, EngineError> {
        self.record(keys::case(number)).await
    }

    /// A message.
    ///
    /// # Errors
    ///
    /// As for [`Self::interaction`].
    pub async fn message(&self, id: MessageId) -> Result<Option<Message>, EngineError> {
        self.record(keys::message(id)).await
    }

    /// An outbound message.
    ///
    /// # Errors
    ///
    /// As for [`Self::interaction`].
    pub async fn outbound(&self, id: MessageId) -> Result<Option<Outbound>, EngineError> {
        self.record(keys::outbound(id)).await
    }

    /// A page of an interaction's messages, oldest first.
    ///
    /// # Errors
    ///
    /// As for [`Self::interaction`].
    pub async fn messages(
        &self,
        interaction: InteractionId,
        after: Option<MessageId>,
        limit: usize,
    ) -> Result<Vec<Message>, EngineError> {
        self.read(move |store| {
            let after = after.map(|after| keys::thread(interaction, after));
            let prefix = keys::thread_of(interaction);
            let page = store
                .scan(&prefix, after.as_deref(), limit)
                .map_err(super::group::unreadable)?;
            let mut messages = Vec::with_capacity(page.len());
            for (mark, _) in page {
                if let Some(id) = keys::threaded(interaction, &mark) {
                    messages.extend(get(store, &keys::message(id))?);
                }
            }
            Ok(messages)
        })
        .await
    }

    /// The beginning of a message's bytes, at most [`HEAD_BYTES_MAX`] of them.
    ///
    /// # Errors
    ///
    /// As for [`Self::interaction`].
    pub async fn body_head(
        &self,
        id: MessageId,
        bytes_max: usize,
    ) -> Result<Option<Bytes>, EngineError> {
        self.body_chunk(id, 0, bytes_max).await
    }

    /// A piece of a message's bytes; empty at the end.
    ///
    /// # Errors
    ///
    /// As for [`Self::interaction`].
    pub async fn body_chunk(
        &self,
        id: MessageId,
        offset: u64,
        bytes_max: usize,
    ) -> Result<Option<Bytes>, EngineError> {
        self.read(move |store| chunk(store, id, offset, bytes_max))
            .await
    }

    /// Entries of an agent's event log after one number up to another. The caller bounds the
    /// difference.
    ///
    /// # Errors
    ///
    /// As for [`Self::interaction`].
    pub async fn events(
        &self,
        agent: AgentId,
        after: u64,
        up_to: u64,
    ) -> Result<Vec<Event>, EngineError> {
        let limit = usize::try_from(up_to.saturating_sub(after)).unwrap_or(usize::MAX);
        self.read(move |store| {
            let begin = keys::event(&agent, after);
            store
                .scan(&keys::events(&agent), Some(&begin), limit)
                .map_err(super::group::unreadable)?
                .iter()
                .map(|(_, value)| record::decode(value).map_err(unreadable))
                .collect()
        })
        .await
    }

    /// Attaches the stream of a session. The state and the point from which frames follow are
    /// taken in one step, so nothing falls between them.
    ///
    /// # Errors
    ///
    /// [`crate::desk::Refusal::SessionClosed`], and as for [`Self::command`].
    pub async fn watch_session(&self, session: SessionId) -> Result<SessionWatch, EngineError> {
        let mut watch = self
            .ask(|reply| Call::WatchSession { session, reply })
            .await?;
        watch.calls = Some(self.calls.clone());
        Ok(watch)
    }

    /// Watches everything, from now on.
    ///
    /// # Errors
    ///
    /// As for [`Self::look`].
    pub async fn watch_desk(&self) -> Result<DeskWatch, EngineError> {
        self.ask(|reply| Call::WatchDesk { reply }).await
    }

    /// Makes an API key.
    ///
    /// # Errors
    ///
    /// [`crate::desk::Refusal::AgentUnknown`], and as for [`Self::command`].
    pub async fn create_key(&self, new: NewKey) -> Result<ApiKey, EngineError> {
        self.ask(|reply| Call::CreateKey { new, reply }).await
    }

    /// Ends an API key; `None` if there is none. Doing it again changes nothing.
    ///
    /// # Errors
    ///
    /// As for [`Self::command`].
    pub async fn revoke_key(&self, id: KeyId) -> Result<Option<ApiKey>, EngineError> {
        self.ask(|reply| Call::RevokeKey { id, reply }).await
    }
}

fn unreadable(error: record::RecordError) -> EngineError {
    EngineError::Unavailable(error.to_string())
}

fn get<T: Stored>(store: &dyn Store, key: &[u8]) -> Result<Option<T>, EngineError> {
    let value = store.get(key).map_err(super::group::unreadable)?;
    value
        .map(|value| record::decode(&value).map_err(unreadable))
        .transpose()
}

fn chunk(
    store: &dyn Store,
    id: MessageId,
    offset: u64,
    bytes_max: usize,
) -> Result<Option<Bytes>, EngineError> {
    let id = BodyId::from_bytes(id.to_bytes());
    let reader = store.body_reader(id).map_err(super::group::unreadable)?;
    let Some(mut reader) = reader else {
        return Ok(None);
    };
    let rest = reader.len().saturating_sub(offset);
    let size = usize::try_from(rest).unwrap_or(usize::MAX);
    let size = size.min(bytes_max).min(HEAD_BYTES_MAX);
    let mut bytes = vec![0; size];
    reader
        .skip_to(offset)
        .and_then(|()| reader.read_exact(&mut bytes))
        .map_err(|error| EngineError::Unavailable(error.to_string()))?;
    Ok(Some(bytes.into()))
}

/// How much of a body is read at a time, in bytes.
const PIECE: usize = 64 << 10;

/// A body of the store for readers on the runtime: the disk is read on the blocking pool, at most
/// a few pieces ahead.
fn stream(mut body: BodyReader) -> impl tokio::io::AsyncRead + Send + Unpin {
    let (pieces, reader) = mpsc::channel::<std::io::Result<Bytes>>(2);
    tokio::task::spawn_blocking(move || {
        loop {
            let mut piece = vec![0; PIECE];
            let piece = body.read(&mut piece).map(|size| {
                piece.truncate(size);
                Bytes::from(piece)
            });
            let last = !matches!(&piece, Ok(piece) if !piece.is_empty());
            // A reader who went away wants no more.
            if pieces.blocking_send(piece).is_err() || last {
                return;
            }
        }
    });
    tokio_util::io::StreamReader::new(tokio_stream::wrappers::ReceiverStream::new(reader))
}

/// An agent's whole state as of one point in the log.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The session.
    pub session: SessionView,
    /// The presence.
    pub presence: Presence,
    /// Live offers with what they are about.
    pub offers: Vec<(Offer, Interaction)>,
    /// Interactions in the agent's hands.
    pub interactions: Vec<Interaction>,
    /// The queues that the agent serves.
    pub queues: Vec<QueueId>,
    /// The number of the newest event that this contains.
    pub sequence: u64,
    /// The number of the oldest event that can still be replayed.
    pub oldest: u64,
}

impl Snapshot {
    pub(super) fn of(
        desk: &Desk,
        session: SessionId,
        id: &AgentId,
        log_entries: u64,
        now: Timestamp,
    ) -> Option<Self> {
        let agent = desk.agents().get(id)?;
        let presence = desk.presence(id)?;
        let offers = (presence.pending_offer.iter())
            .filter_map(|offer| {
                let offer = desk.offers().get(offer)?;
                let interaction = desk.interactions().get(&offer.interaction)?;
                Some((offer.clone(), interaction.clone()))
            })
            .collect();
        let interactions = (presence.interactions.iter())
            .filter_map(|id| desk.interactions().get(id).cloned())
            .collect();
        Some(Self {
            session: desk.session(session, now)?,
            presence,
            offers,
            interactions,
            queues: agent.queues.iter().cloned().collect(),
            sequence: agent.sequence,
            oldest: agent.sequence.saturating_sub(log_entries) + 1,
        })
    }
}

/// The attached stream of a session. Dropping it detaches the stream.
pub struct SessionWatch {
    /// Where it begins.
    pub snapshot: Snapshot,
    /// What follows.
    pub frames: mpsc::Receiver<WatchFrame>,
    shared: Arc<Shared>,
    session: SessionId,
    stream: u64,
    calls: Option<SyncSender<Call>>,
}

impl fmt::Debug for SessionWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionWatch")
            .field("session", &self.session)
            .field("stream", &self.stream)
            .finish_non_exhaustive()
    }
}

impl SessionWatch {
    pub(super) const fn new(
        shared: Arc<Shared>,
        session: SessionId,
        stream: u64,
        snapshot: Snapshot,
        frames: mpsc::Receiver<WatchFrame>,
    ) -> Self {
        Self {
            snapshot,
            frames,
            shared,
            session,
            stream,
            calls: None,
        }
    }
}

impl Drop for SessionWatch {
    fn drop(&mut self) {
        let gone = (self.session, self.stream);
        self.shared
            .gone
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(gone);
        if let Some(calls) = &self.calls {
            // A full channel means that the engine is about to look anyway.
            let _ = calls.try_send(Call::Nudge);
        }
    }
}

/// What a supervisor sees first.
#[derive(Debug, Clone)]
pub struct Overview {
    /// Each queue with its numbers.
    pub queues: Vec<QueueStats>,
    /// Each agent with their presence.
    pub agents: Vec<(Agent, Presence)>,
    /// The newest event that this contains.
    pub revision: u64,
    /// When it was taken.
    pub time: Timestamp,
}

/// Live numbers of one queue.
#[derive(Debug, Clone)]
pub struct QueueStats {
    /// Which.
    pub queue: QueueId,
    /// What people call it.
    pub display_name: String,
    /// How many wait.
    pub waiting: u32,
    /// How many are offered.
    pub offered: u32,
    /// How many are being handled.
    pub active: u32,
    /// How many are being wrapped up.
    pub wrapping_up: u32,
    /// When the one who waits longest came.
    pub oldest: Option<Timestamp>,
}

impl Overview {
    /// Takes one.
    #[must_use]
    pub fn of(desk: &Desk, now: Timestamp) -> Self {
        let mut queues: std::collections::BTreeMap<&QueueId, QueueStats> = desk
            .queues()
            .iter()
            .map(|(id, queue)| {
                let stats = QueueStats {
                    queue: id.clone(),
                    display_name: queue.settings.display_name.clone(),
                    waiting: 0,
                    offered: 0,
                    active: 0,
                    wrapping_up: 0,
                    oldest: None,
                };
                (id, stats)
            })
            .collect();
        for interaction in desk.interactions().values() {
            let Some(stats) = queues.get_mut(&interaction.queue) else {
                continue;
            };
            match interaction.state {
                State::Queued => {
                    stats.waiting += 1;
                    let oldest = stats.oldest.unwrap_or(interaction.arrived);
                    stats.oldest = Some(oldest.min(interaction.arrived));
                }
                State::Offered { .. } => stats.offered += 1,
                State::Active { .. } => stats.active += 1,
                State::WrappingUp { .. } => stats.wrapping_up += 1,
                State::Closed { .. } => {}
            }
        }
        Self {
            queues: queues.into_values().collect(),
            agents: desk
                .agents()
                .values()
                .filter_map(|agent| Some((agent.clone(), desk.presence(&agent.id)?)))
                .collect(),
            revision: desk.counters().revision,
            time: now,
        }
    }
}

/// Watches everything. Dropping it ends that.
#[derive(Debug)]
pub struct DeskWatch {
    /// Where it begins.
    pub overview: Overview,
    /// What follows.
    pub frames: mpsc::Receiver<WatchFrame>,
}

/// How long to wait before the end of a submission is reported again that could not be written.
const FINISH_PAUSE: std::time::Duration = std::time::Duration::from_secs(1);

/// Outbound messages whose turn it is, for the submitter.
#[derive(Debug)]
pub struct Submissions {
    handle: Handle,
    waiting: Mutex<mpsc::UnboundedReceiver<Outbound>>,
}

impl Submissions {
    pub(super) fn new(handle: Handle, waiting: mpsc::UnboundedReceiver<Outbound>) -> Self {
        Self {
            handle,
            waiting: Mutex::new(waiting),
        }
    }
}

impl Spooler for Submissions {
    async fn next(&self) -> Option<Job> {
        loop {
            let outbound = self.waiting.lock().await.recv().await?;
            let id = outbound.id;
            let body = self
                .handle
                .read(move |store| {
                    store
                        .body_reader(BodyId::from_bytes(id.to_bytes()))
                        .map_err(super::group::unreadable)
                })
                .await;
            let outcome = match body {
                Ok(Some(body)) => {
                    let body = Box::new(stream(body));
                    return Some(Job { outbound, body });
                }
                Ok(None) => Outcome::Permanent {
                    diagnostic: Diagnostic::ours("its bytes are not in the store"),
                    refused: Vec::new(),
                },
                Err(error) => Outcome::Temporary(Diagnostic::ours(&error.to_string())),
            };
            self.finished(id, outcome).await;
        }
    }

    async fn handed_over(&self, id: MessageId) -> Result<(), NotMarked> {
        let marked = self
            .handle
            .command(Command::HandOver { message: id }, None)
            .await;
        match marked {
            Ok(_) => Ok(()),
            Err(error) => {
                tracing::warn!(message_id = %id, %error, "a message was held back");
                Err(NotMarked)
            }
        }
    }

    async fn finished(&self, id: MessageId, outcome: Outcome) {
        // What the MTA said is said once: it is held until it can be written.
        loop {
            let finish = Command::FinishSubmission {
                message: id,
                outcome: outcome.clone(),
            };
            match self.handle.command(finish, None).await {
                Ok(_) => return,
                Err(error @ (EngineError::Unavailable(_) | EngineError::Overloaded)) => {
                    tracing::warn!(message_id = %id, %error, "the end of a submission waits");
                    tokio::time::sleep(FINISH_PAUSE).await;
                }
                Err(error) => {
                    tracing::warn!(message_id = %id, %error, "the end of a submission was not stored");
                    return;
                }
            }
        }
    }
}
