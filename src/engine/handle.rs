//! The handle: what callers hold of the engine. Cheap to clone; never blocks the runtime.

use std::collections::BTreeSet;
use std::fmt;
use std::io::Read;
use std::path::Path;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use ring::digest;
use tokio::sync::{oneshot, watch};

use super::found::Found;
use super::keys::{ApiKey, Keys};
use super::knowledge::{Article, ArticleChange, ArticleRefusal, Knowledge};
use super::uploads::Files;
use super::views::{DeskWatch, SessionWatch};
use super::{EngineError, Shared, Verdict};
use crate::content::Content;
use crate::desk::{
    Actor, Answer, Case, Command, Desk, Event, Filing, HouseRules, Ingest, Interaction, Message,
    Offer, QueueSettings, Role, SavedDraft,
};
use crate::id::{AgentId, ArticleId, InteractionId, KeyId, MessageId, OfferId, QueueId, SessionId};
use crate::mail::clue::OwnKeys;
use crate::mail::dossier::Dossier;
use crate::mail::message_id::InternetMessageId;
use crate::mail::threading::Hint;
use crate::mail::token::{Keyring, MainNumber};
use crate::outbound::message::Outbound;
use crate::store::record::{self, Answered, Stored};
use crate::store::{BodyId, Health, Store, keys};
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

/// By what a letter is known when its sender tries again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint {
    /// Digest of what is the same at each attempt.
    pub digest: [u8; 32],
    /// How long it is remembered.
    pub memory: Duration,
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
        /// Whose act it is, if not that of the session in it.
        by: Option<Actor>,
        command: Box<Command>,
        body: Option<Content>,
        request: Option<RequestKey>,
        fingerprints: Vec<Fingerprint>,
        reply: oneshot::Sender<Result<Done, EngineError>>,
    },
    Look(Look),
    WatchSession {
        session: SessionId,
        reply: oneshot::Sender<Result<SessionWatch, EngineError>>,
    },
    WatchCase {
        case: MainNumber,
        interactions: BTreeSet<InteractionId>,
        reply: oneshot::Sender<Result<watch::Receiver<()>, EngineError>>,
    },
    WatchDesk {
        reply: oneshot::Sender<Result<DeskWatch, EngineError>>,
    },
    CreateKey {
        new: NewKey,
        reply: oneshot::Sender<Result<ApiKey, EngineError>>,
    },
    ChangeArticle {
        id: ArticleId,
        change: ArticleChange,
        reply: oneshot::Sender<Result<Result<Article, ArticleRefusal>, EngineError>>,
    },
    RotateMailKey {
        reply: oneshot::Sender<Result<u8, EngineError>>,
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

    pub(super) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    pub(super) fn files(&self) -> &Files {
        &self.shared.files
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
            by: None,
            command: Box::new(command),
            body: None,
            request,
            fingerprints: Vec::new(),
            reply,
        })
        .await
    }

    /// As [`Self::command`], as the act of somebody who is not the agent of a session in it.
    ///
    /// # Errors
    ///
    /// As for [`Self::command`].
    pub async fn command_by(
        &self,
        by: Actor,
        command: Command,
        request: Option<RequestKey>,
    ) -> Result<Done, EngineError> {
        self.ask(|reply| Call::Command {
            by: Some(by),
            command: Box::new(command),
            body: None,
            request,
            fingerprints: Vec::new(),
            reply,
        })
        .await
    }

    /// What a request was answered before, if it was.
    ///
    /// # Errors
    ///
    /// As for [`Self::command`] with that request.
    pub async fn replay(&self, request: &RequestKey) -> Result<Option<Done>, EngineError> {
        let known: Option<Answered> = self.record(keys::request(&request.key())).await?;
        let Some(known) = known else { return Ok(None) };
        if known.digest != request.digest {
            return Err(EngineError::RequestIdReused);
        }
        let answer = known.answer.ok_or(EngineError::AnswerLost)?;
        Ok(Some(Done {
            answer,
            replayed: true,
        }))
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
            by: None,
            command: Box::new(command),
            body: Some(body),
            request,
            fingerprints: Vec::new(),
            reply,
        })
        .await
    }

    /// Files a letter, once for each queue however often it is sent: it is known again by any of
    /// its fingerprints. Answers where it is, and whether all of that was known before.
    ///
    /// # Errors
    ///
    /// As for [`Self::command`].
    pub async fn ingest(
        &self,
        letter: Ingest,
        body: Content,
        fingerprints: Vec<Fingerprint>,
    ) -> Result<(Vec<Filing>, bool), EngineError> {
        let done = self
            .ask(|reply| Call::Command {
                by: None,
                command: Box::new(Command::Ingest(Box::new(letter))),
                body: Some(body),
                request: None,
                fingerprints,
                reply,
            })
            .await?;
        match done.answer {
            Answer::Filed(filings) => Ok((filings, done.replayed)),
            _ => Ok((Vec::new(), done.replayed)),
        }
    }

    /// Takes over the queues of a changed configuration, and then what holds for every agent.
    ///
    /// # Errors
    ///
    /// [`crate::desk::Refusal::QueueInUse`] if one would go in which something is open, and as for
    /// [`Self::command`]. Whatever the error, the queues are as they were.
    pub async fn reconfigure(
        &self,
        queues: Vec<QueueSettings>,
        house: HouseRules,
    ) -> Result<(), EngineError> {
        self.command(Command::SetQueues(queues), None).await?;
        let done = self.command(Command::SetHouseRules(house), None).await;
        done.map(drop)
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

    /// Whether a queue takes no more mail, as it was a moment ago: good enough to save a client
    /// the trouble of sending. What is refused for sure, the desk refuses.
    #[must_use]
    pub fn is_full(&self, queue: &QueueId) -> bool {
        let full = self.shared.full.read();
        full.unwrap_or_else(PoisonError::into_inner).contains(queue)
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

    /// The knowledge base, as of the last sync.
    #[must_use]
    pub fn knowledge(&self) -> Arc<Knowledge> {
        Arc::clone(&self.shared.knowledge)
    }

    /// Names the event logs of this store: another store has another name.
    #[must_use]
    pub fn log_id(&self) -> &str {
        &self.shared.log_id
    }

    /// The keys that tokens are signed with, as of the last sync.
    #[must_use]
    pub fn keyring(&self) -> Arc<Keyring> {
        self.shared.mail_keys()
    }

    /// Whether the addresses that answers and delivery reports come back to carry signed tokens.
    #[must_use]
    pub fn signs_addresses(&self) -> bool {
        self.shared.signed_addresses
    }

    /// Stops the engine after what has been asked before. Waits for its turn if need be.
    pub fn stop(&self) {
        // An engine that has stopped already needs no word.
        let _ = self.calls.send(Call::Stop);
    }

    pub(super) async fn read<T: Send + 'static>(
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

    /// What an agent has written for an interaction and not sent.
    ///
    /// # Errors
    ///
    /// As for [`Self::interaction`].
    pub async fn draft(&self, id: InteractionId) -> Result<Option<SavedDraft>, EngineError> {
        self.record(keys::draft(id)).await
    }

    /// A message.
    ///
    /// # Errors
    ///
    /// As for [`Self::interaction`].
    pub async fn message(&self, id: MessageId) -> Result<Option<Message>, EngineError> {
        self.record(keys::message(id)).await
    }

    /// The letter of ours with this Message-ID.
    ///
    /// # Errors
    ///
    /// As for [`Self::interaction`].
    pub async fn own_message(&self, id: InternetMessageId) -> Result<Option<Message>, EngineError> {
        self.read(move |store| Found::own_message(store, &id)).await
    }

    /// What was found out about a message when it came; `None` for our own, and for those from
    /// before that was kept.
    ///
    /// # Errors
    ///
    /// As for [`Self::interaction`].
    pub async fn dossier(&self, id: MessageId) -> Result<Option<Dossier>, EngineError> {
        self.record(keys::dossier(id)).await
    }

    /// What the index has under a letter's own keys: whether a letter had its Message-ID before,
    /// and the case of the newest one of its topic. A letter that is filed learns that in the
    /// engine; this is for showing it.
    ///
    /// # Errors
    ///
    /// As for [`Self::interaction`].
    pub async fn under(&self, own: OwnKeys) -> Result<(bool, Option<MainNumber>), EngineError> {
        self.read(move |store| Found::under(store, own)).await
    }

    /// All that is known of what a letter's clues name: one visit to the store.
    ///
    /// # Errors
    ///
    /// As for [`Self::interaction`].
    pub async fn look_up(&self, clues: Vec<Hint>) -> Result<Found, EngineError> {
        self.read(move |store| Found::look_up(store, &clues)).await
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
        let watch = self.ask(|reply| Call::WatchDesk { reply }).await?;
        Ok(DeskWatch {
            overview: self.with_figures(watch.overview).await?,
            frames: watch.frames,
        })
    }

    /// Hears that there is news in the feed of a case of which these interactions are known; what it
    /// is, is read by [`Self::feed`].
    ///
    /// # Errors
    ///
    /// As for [`Self::look`].
    pub async fn watch_case(
        &self,
        case: MainNumber,
        interactions: BTreeSet<InteractionId>,
    ) -> Result<watch::Receiver<()>, EngineError> {
        self.ask(|reply| Call::WatchCase {
            case,
            interactions,
            reply,
        })
        .await
    }

    /// Makes an API key.
    ///
    /// # Errors
    ///
    /// [`crate::desk::Refusal::AgentUnknown`], and as for [`Self::command`].
    pub async fn create_key(&self, new: NewKey) -> Result<ApiKey, EngineError> {
        self.ask(|reply| Call::CreateKey { new, reply }).await
    }

    /// Makes, changes or removes an article, and answers it as it is then, or was.
    ///
    /// # Errors
    ///
    /// An [`ArticleRefusal`] within, which leaves everything as it was;
    /// [`crate::desk::Refusal::QueueUnknown`], and as for [`Self::command`].
    pub async fn change_article(
        &self,
        id: ArticleId,
        change: ArticleChange,
    ) -> Result<Result<Article, ArticleRefusal>, EngineError> {
        self.ask(|reply| Call::ChangeArticle { id, change, reply })
            .await
    }

    /// Makes a new key that tokens are signed with, and answers its id.
    ///
    /// # Errors
    ///
    /// As for [`Self::command`].
    pub async fn rotate_mail_key(&self) -> Result<u8, EngineError> {
        self.ask(|reply| Call::RotateMailKey { reply }).await
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

pub(super) fn unreadable(error: record::RecordError) -> EngineError {
    EngineError::Unavailable(error.to_string())
}

pub(super) fn get<T: Stored>(store: &dyn Store, key: &[u8]) -> Result<Option<T>, EngineError> {
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
