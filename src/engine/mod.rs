//! The engine: the one owner of the desk, the one writer of the store, the one reader of the
//! clock.
//!
//! A plain thread. It waits for a call or the next deadline, takes along what else is waiting,
//! reads the clock once, lets the desk handle each, writes all changes as one group with one
//! sync, and only then answers callers and tells watchers. The next group gathers in the channel
//! while the last one syncs. So nobody outside ever sees something that a crash could take back;
//! the milter's yes to Postfix is one such answer.

pub mod figures;
pub mod handle;
pub mod keys;
pub mod knowledge;
pub mod submissions;
pub mod views;
pub mod watch;

mod assembling;
mod clock;
mod feed;
mod found;
mod group;
mod load;
mod minting;
mod recall;
mod recording;
mod uploads;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use clock::Clock;
use group::{Group, Released};
use handle::Call;
use keys::Keys;
use knowledge::Knowledge;
use uploads::Files;
use watch::Watchers;

pub use watch::WatchFrame;

pub use assembling::{AssembleError, Source};
pub use feed::{FeedItem, FeedPage, FeedPlace};
pub use found::Found;
pub use handle::{Done, Fingerprint, Handle, NewKey, RequestKey};
pub use load::StartError;
pub use recording::LogPlace;
pub use submissions::Submissions;
pub use uploads::{CHUNK_BYTES_MAX, UploadError};
pub use views::{DeskWatch, Overview, QueueStats, SessionWatch, Snapshot};

use crate::content::Content;
use crate::desk::{Actor, Answer, Command, Desk, Policy, QueueSettings, Refusal};
use crate::id::{MessageId, QueueId, SessionId};
use crate::mail::token::Keyring;
use crate::outbound::dkim;
use crate::outbound::message::Outbound;
use crate::store::{CommitError, Store};
use crate::time::Timestamp;

/// How the engine is set up.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The desk's rules.
    pub policy: Policy,
    /// The queues of the configuration.
    pub queues: Vec<QueueSettings>,
    /// How long the answer to a request id is remembered.
    pub request_memory: Duration,
    /// Whether the addresses that answers and delivery reports come back to carry signed tokens.
    pub signed_addresses: bool,
    /// With what the messages that leave are signed.
    pub dkim: Arc<dkim::Keys>,
    /// For how many days figures are kept.
    pub figure_days: u32,
    /// How long to leave a store alone that could not write, before it is tried again.
    pub store_pause: Duration,
}

impl Settings {
    /// The defaults, for these queues.
    #[must_use]
    pub fn new(queues: Vec<QueueSettings>) -> Self {
        Self {
            policy: Policy::default(),
            queues,
            request_memory: Duration::from_secs(24 * 3600),
            signed_addresses: true,
            dkim: Arc::default(),
            figure_days: 400,
            store_pause: Duration::from_secs(1),
        }
    }
}

/// Calls that wait for the engine. When so many wait, more are turned away at once: a caller who
/// is told to come back is better off than one who is forgotten in a line.
const CALLS_MAX: usize = 4096;

/// Calls handled in one round, so that one group's write stays short.
const ROUND_MAX: usize = 256;

/// Why a call was not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineError {
    /// The desk said no; nothing changed. The caller's move.
    Refused(Refusal),
    /// The request id was used before, for another request. The caller's move.
    RequestIdReused,
    /// The request was carried out before, by an older version whose words are not kept. The
    /// caller's move: read what came of it.
    AnswerLost,
    /// So many calls wait that this one was not taken. Nothing changed; try again.
    Overloaded,
    /// The gateway is stopping. Nothing changed; try again.
    Stopping,
    /// The store cannot be written or read now, such as with a full disk. Nothing changed; the
    /// operator's move.
    Unavailable(String),
    /// The store failed while this was being written: it may be there after the restart.
    Unknown(String),
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(f),
            Self::RequestIdReused => {
                f.write_str("this request_id was used before, for another request")
            }
            Self::AnswerLost => f.write_str(
                "this request was carried out before the gateway was renewed; read what came of it",
            ),
            Self::Overloaded => f.write_str("too many requests wait; try again"),
            Self::Stopping => f.write_str("the gateway is stopping"),
            Self::Unavailable(why) => write!(f, "the store is unavailable: {why}"),
            Self::Unknown(why) => write!(f, "the store failed: {why}"),
        }
    }
}

impl std::error::Error for EngineError {}

impl From<Refusal> for EngineError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// What the engine's thread and its handles share.
#[derive(Debug)]
struct Shared {
    store: Arc<dyn Store>,
    clock: Clock,
    keys: Keys,
    knowledge: Arc<Knowledge>,
    log_id: String,
    /// The keys that tokens are signed with, as of the last sync.
    mail_keys: RwLock<Arc<Keyring>>,
    /// Whether return paths carry tokens.
    signed_addresses: bool,
    /// Whether more mail can be taken.
    taking_mail: AtomicBool,
    /// The queues that take no more mail, as they were after the last round.
    full: RwLock<BTreeSet<QueueId>>,
    /// The files that agents attach.
    files: Files,
    /// Streams that ended since the engine last looked.
    gone: Mutex<Vec<(SessionId, u64)>>,
}

/// A running engine.
#[derive(Debug)]
pub struct Engine {
    thread: JoinHandle<Result<(), String>>,
    shared: Arc<Shared>,
}

impl Engine {
    /// Reads the store, does what a start brings with it, and begins to take calls. Returns what
    /// is due to be submitted as well.
    ///
    /// # Errors
    ///
    /// [`StartError`] if the store cannot be read; nothing was changed.
    pub fn start(
        store: Arc<dyn Store>,
        settings: Settings,
    ) -> Result<(Self, Handle, Submissions), StartError> {
        let clock = Clock::start();
        let secrets = load::secrets(&*store)?;
        let keys = Keys::new(&secrets.session);
        for key in load::api_keys(&*store)? {
            keys.put_key(key);
        }
        let knowledge = Arc::new(Knowledge::new(load::articles(&*store)?));
        let records = load::records(&*store)?;
        let now = clock.now();
        let desk = Desk::restore(
            settings.policy.clone(),
            settings.queues.clone(),
            records,
            now,
        );
        for session in desk.sessions() {
            keys.put_session(session.id, session.agent.clone());
        }
        let takes_mail = store.health().takes_mail();
        let files = Files::open(store.uploads(), desk.all_uploads());
        let shared = Arc::new(Shared {
            store,
            clock,
            keys,
            knowledge,
            log_id: secrets.log_id,
            mail_keys: RwLock::new(Arc::new(secrets.mail)),
            signed_addresses: settings.signed_addresses,
            taking_mail: AtomicBool::new(takes_mail),
            full: RwLock::default(),
            files,
            gone: Mutex::default(),
        });
        let dkim = Arc::clone(&settings.dkim);
        let (calls, waiting) = sync_channel(CALLS_MAX);
        let (submissions, submissions_out) = mpsc::unbounded_channel();
        let runner = Runner {
            shared: Arc::clone(&shared),
            desk,
            settings,
            watchers: Watchers::default(),
            submissions,
            in_flight: BTreeSet::new(),
            store_rests_until: None,
            next_sweep: now,
        };
        let thread = std::thread::Builder::new()
            .name("engine".to_owned())
            .spawn(move || runner.run(&waiting))
            .map_err(|error| StartError::Store(error.into()))?;
        let handle = Handle::new(Arc::clone(&shared), calls);
        let submissions = Submissions::new(handle.clone(), dkim, submissions_out);
        Ok((Self { thread, shared }, handle, submissions))
    }

    /// Waits until the engine has stopped: on [`Handle::stop`], or because the store died.
    ///
    /// # Errors
    ///
    /// Why it had to stop by itself.
    pub fn join(self) -> Result<Arc<dyn Store>, String> {
        match self.thread.join() {
            Ok(ended) => ended.map(|()| Arc::clone(&self.shared.store)),
            Err(_) => Err("the engine panicked, which is a bug".to_owned()),
        }
    }
}

/// What a caller is told once the group is durable.
type Verdict = Box<dyn FnOnce(Result<(), EngineError>) + Send>;

struct Runner {
    shared: Arc<Shared>,
    desk: Desk,
    settings: Settings,
    watchers: Watchers,
    submissions: mpsc::UnboundedSender<Outbound>,
    /// Messages that the submitter has been given and whose attempt has no durable end yet.
    in_flight: BTreeSet<MessageId>,
    /// A store that could not write is left alone until then.
    store_rests_until: Option<Timestamp>,
    next_sweep: Timestamp,
}

/// Whether the engine goes on.
enum Flow {
    On,
    Stop,
}

impl Runner {
    fn run(mut self, calls: &Receiver<Call>) -> Result<(), String> {
        let store = Arc::clone(&self.shared.store);
        let mut group = Group::new(&*store);
        let effects = self.desk.start(self.shared.clock.now());
        group.add(effects).done(false);
        self.write(group, Vec::new())?;
        if self.store_rests_until.is_some() {
            return Err("the store could not be written at the start".to_owned());
        }
        loop {
            let first = match calls.recv_timeout(self.patience()) {
                Ok(call) => Some(call),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            };
            let now = self.shared.clock.now();
            let mut group = Group::new(&*store);
            let mut verdicts = Vec::new();
            self.try_store(now);
            self.forget_streams(now, &mut group);
            if self.store_rests_until.is_none() {
                let leapt = self.shared.clock.leapt();
                let effects = match leapt {
                    true => self.desk.leap(now),
                    false => self.desk.tick(now),
                };
                group.add(effects).done(false);
                self.sweep(now, &mut group);
            }
            let mut flow = Flow::On;
            for call in first.into_iter().chain(calls.try_iter()).take(ROUND_MAX) {
                flow = self.call(now, call, &mut group, &mut verdicts);
                if matches!(flow, Flow::Stop) {
                    break;
                }
            }
            self.write(group, verdicts)?;
            if matches!(flow, Flow::Stop) {
                return Ok(());
            }
        }
    }

    /// Tells shells which queues are full, so that mail can be refused before its content is sent.
    fn tell_full(&self) {
        let full = self
            .desk
            .queues()
            .iter()
            .filter(|(_, queue)| queue.is_full());
        let full: BTreeSet<QueueId> = full.map(|(id, _)| id.clone()).collect();
        let mut told = (self.shared.full.write()).unwrap_or_else(PoisonError::into_inner);
        if *told != full {
            *told = full;
        }
    }

    /// How long to wait for a call before something is due.
    fn patience(&self) -> Duration {
        let now = self.shared.clock.now();
        let due = match self.store_rests_until {
            Some(until) => until,
            None => (self.desk.next_deadline())
                .map_or(self.next_sweep, |deadline| deadline.min(self.next_sweep)),
        };
        // A deadline is met when its millisecond has come, not just before.
        due.since(now) + Duration::from_millis(u64::from(due > now))
    }

    fn sweep(&mut self, now: Timestamp, group: &mut Group<'_>) {
        if self.next_sweep > now {
            return;
        }
        self.next_sweep = now + group::SWEEP_INTERVAL;
        match group::sweep(&*self.shared.store, now) {
            Ok((batch, _)) if batch.is_empty() => {}
            Ok((batch, more)) => {
                group.batches.push(batch);
                if more {
                    self.next_sweep = now + group::SWEEP_PAUSE;
                }
            }
            Err(error) => tracing::warn!(%error, "old entries could not be looked for"),
        }
        match figures::forget(&*self.shared.store, now, self.settings.figure_days) {
            Ok(batch) if batch.is_empty() => {}
            Ok(batch) => group.batches.push(batch),
            Err(error) => tracing::warn!(%error, "old figures could not be looked for"),
        }
        let health = self.shared.store.health();
        self.shared
            .taking_mail
            .store(health.takes_mail(), Ordering::Relaxed);
    }

    /// Streams that ended since the last round.
    fn forget_streams(&mut self, now: Timestamp, group: &mut Group<'_>) {
        let gone = {
            let mut gone = self
                .shared
                .gone
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *gone)
        };
        for (session, stream) in gone {
            self.watchers.remove(session, stream);
            let detach = Command::DetachStream { session, stream };
            if let Ok(effects) = self.desk.handle(now, detach) {
                group.add(effects).done(false);
            }
        }
    }

    fn call(
        &mut self,
        now: Timestamp,
        call: Call,
        group: &mut Group<'_>,
        verdicts: &mut Vec<Verdict>,
    ) -> Flow {
        match call {
            Call::Stop => return Flow::Stop,
            Call::Nudge => {}
            Call::Look(look) => verdicts.push(look(&self.desk, now)),
            Call::Command {
                by,
                command,
                body,
                request,
                fingerprints,
                reply,
            } => {
                let asked = (by, *command);
                let done = self.command(now, asked, body, request, &fingerprints, group);
                verdicts.push(answer_after(done, reply));
            }
            Call::WatchSession { session, reply } => {
                let watch = self.watch_session(now, session, group);
                verdicts.push(answer_after(watch, reply));
            }
            Call::WatchDesk { reply } => {
                let overview = Overview::of(&self.desk, now);
                let frames = self.watchers.add_desk(overview.revision);
                let watch = DeskWatch { overview, frames };
                verdicts.push(answer_after(Ok(watch), reply));
            }
            Call::WatchCase {
                case,
                interactions,
                reply,
            } => {
                let news = self.watchers.add_case(case, interactions);
                verdicts.push(answer_after(Ok(news), reply));
            }
            Call::CreateKey { new, reply } => {
                let key = self.create_key(now, new, group);
                verdicts.push(answer_after(key, reply));
            }
            Call::ChangeArticle { id, change, reply } => {
                let changed = self.change_article(now, id, change, group);
                verdicts.push(answer_after(changed, reply));
            }
            Call::RotateMailKey { reply } => {
                let rotated = self.rotate_mail_key(group);
                verdicts.push(answer_after(rotated, reply));
            }
            Call::RevokeKey { id, reply } => {
                let key = self.revoke_key(now, id, group);
                verdicts.push(answer_after(key, reply));
            }
        }
        Flow::On
    }

    /// Carries out one command, once per request id and once per letter.
    fn command(
        &mut self,
        now: Timestamp,
        (by, mut command): (Option<Actor>, Command),
        body: Option<Content>,
        request: Option<RequestKey>,
        fingerprints: &[Fingerprint],
        group: &mut Group<'_>,
    ) -> Result<Done, EngineError> {
        let request = request.map(|request| (request.key(), request.digest));
        if let Some((key, digest)) = &request
            && let Some(known) = group.answered(key)?
        {
            if known.digest != *digest {
                return Err(EngineError::RequestIdReused);
            }
            return Ok(Done {
                answer: known.answer.ok_or(EngineError::AnswerLost)?,
                replayed: true,
            });
        }
        let mut filed_before = Vec::new();
        if let Command::Ingest(letter) = &mut command {
            filed_before = self.filed_before(letter, fingerprints, group)?;
            if letter.targets.is_empty() {
                return Ok(Done {
                    answer: Answer::Filed(filed_before),
                    replayed: true,
                });
            }
        }
        self.refresh_cases(&mut command, group)?;
        if let Command::Ingest(letter) = &mut command {
            self.recall(now, letter, group)?;
        }
        self.recall_sent_for(&mut command, group)?;
        if let Command::SaveDraft {
            interaction, known, ..
        } = &mut command
        {
            *known = group.draft(*interaction)?.map(Box::new);
        }
        if let Command::RetryDelivery { message, settled } = &mut command
            && self.desk.spool().get(*message).is_none()
        {
            *settled = group.outbound(*message)?.map(Box::new);
        }
        if let Some(until) = self.store_rests_until
            && !matches!(command, Command::RenewSession { .. })
        {
            let wait = until.since(now);
            return Err(EngineError::Unavailable(format!(
                "the last write failed; next try in {} ms",
                wait.as_millis()
            )));
        }
        let more_mail = matches!(command, Command::Ingest(_));
        let finished = match &command {
            Command::FinishSubmission { message, .. } => Some(*message),
            _ => None,
        };
        let queues = match &command {
            Command::SetQueues(queues) => Some(queues.clone()),
            _ => None,
        };
        let house = match &command {
            Command::SetHouseRules(house) => Some(house.clone()),
            _ => None,
        };
        let orphaned = match &command {
            Command::DeleteAgent { agent } => self.keys_of(agent, group),
            _ => Vec::new(),
        };
        let mut effects = match by {
            Some(by) => self.desk.handle_by(now, by, command),
            None => self.desk.handle(now, command),
        }?;
        let mut answer = effects.answer.take().unwrap_or(Answer::Done);
        let message = effects.body;
        group.released.finished.extend(finished);
        group.released.queues = queues.or(group.released.queues.take());
        group.released.house = house.or(group.released.house.take());
        let mut additions = group.add(effects);
        if let (Some(message), Some(body)) = (message, body) {
            additions.body(message.to_bytes(), body);
        }
        for mut key in orphaned {
            key.revoked = Some(now);
            additions.key(key);
        }
        if let Answer::Filed(filings) = &mut answer {
            filings.splice(0..0, filed_before);
            for fingerprint in fingerprints {
                let until = now + fingerprint.memory;
                additions.delivered(&fingerprint.digest, filings.clone(), until);
            }
        }
        if let Some((key, digest)) = &request {
            let until = now + self.settings.request_memory;
            additions.answered(key, *digest, &answer, until);
        }
        additions.done(more_mail);
        Ok(Done {
            answer,
            replayed: false,
        })
    }

    fn watch_session(
        &mut self,
        now: Timestamp,
        session: SessionId,
        group: &mut Group<'_>,
    ) -> Result<SessionWatch, EngineError> {
        let stream = self.watchers.next_stream();
        let effects = (self.desk).handle(now, Command::AttachStream { session, stream })?;
        let agent = match &effects.answer {
            Some(Answer::Session(view, _)) => view.session.agent.clone(),
            _ => return Err(Refusal::SessionClosed.into()),
        };
        // Events of the attachment itself are in the snapshot already.
        let snapshot = Snapshot::of(
            &self.desk,
            session,
            &agent,
            self.settings.policy.log_entries,
            now,
        )
        .ok_or(Refusal::SessionClosed)?;
        group.add(effects).done(false);
        let seen = self.desk.counters().revision;
        let frames = (self.watchers).add_session(session, stream, agent, seen);
        Ok(SessionWatch::new(
            Arc::clone(&self.shared),
            session,
            stream,
            snapshot,
            frames,
        ))
    }

    /// Makes the group durable and lets out what follows from it, or takes everything back.
    fn write(&mut self, group: Group<'_>, verdicts: Vec<Verdict>) -> Result<(), String> {
        let (batches, released) = group.close();
        let written = if batches.is_empty() {
            Ok(())
        } else {
            self.shared.store.commit(batches)
        };
        match written {
            Ok(()) => {
                // Whoever is told of a session or a key must be able to use it at once.
                let Released {
                    events,
                    ended,
                    submissions,
                    finished,
                    keys,
                    articles,
                    sessions,
                    queues,
                    house,
                    mail_keys,
                    dropped,
                } = released;
                if let Some(ring) = mail_keys {
                    self.shared.set_mail_keys(ring);
                }
                if let Some(queues) = queues {
                    self.settings.queues = queues;
                }
                if let Some(house) = house {
                    self.settings.policy.house = house;
                }
                for key in keys {
                    self.shared.keys.put_key(key);
                }
                self.shared.knowledge.change(articles);
                for session in sessions {
                    self.shared.keys.put_session(session.id, session.agent);
                }
                for (session, _) in &ended {
                    self.shared.keys.drop_session(*session);
                }
                // Nor may anybody whose letter filled a queue find it with room.
                self.tell_full();
                for verdict in verdicts {
                    verdict(Ok(()));
                }
                self.shared.files.drop_all(dropped);
                for event in events {
                    log(&event);
                    self.watchers.tell(&event);
                }
                for (session, cause) in ended {
                    self.watchers.end(session, cause);
                }
                for id in finished {
                    self.in_flight.remove(&id);
                }
                for outbound in submissions {
                    self.in_flight.insert(outbound.id);
                    // Nobody takes them when the program stops; the next start will.
                    let _ = self.submissions.send(outbound);
                }
                Ok(())
            }
            Err(CommitError::Unavailable(why)) => {
                let error = EngineError::Unavailable(why.to_string());
                tracing::error!(%error, "nothing was written; mail stays at its sender");
                for verdict in verdicts {
                    verdict(Err(error.clone()));
                }
                self.take_back()
            }
            Err(CommitError::Unknown(why)) => {
                let error = EngineError::Unknown(why.to_string());
                for verdict in verdicts {
                    verdict(Err(error.clone()));
                }
                Err(format!(
                    "the store failed while writing ({why}); stopping, so that the next start reads what is really there"
                ))
            }
        }
    }

    /// The desk got ahead of what could be written: it is put together anew from what is stored.
    fn take_back(&mut self) -> Result<(), String> {
        let now = self.shared.clock.now();
        let records = load::records(&*self.shared.store)
            .map_err(|error| format!("the store failed: {error}"))?;
        let mut desk = Desk::restore(
            self.settings.policy.clone(),
            self.settings.queues.clone(),
            records,
            now,
        );
        let attached = self.watchers.attached();
        desk.take_over(now, &self.desk, &attached, &self.in_flight);
        self.desk = desk;
        self.tell_full();
        self.store_rests_until = Some(now + self.settings.store_pause);
        self.shared.taking_mail.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Sees whether a store that could not write can write again.
    fn try_store(&mut self, now: Timestamp) {
        if self.store_rests_until.is_some_and(|until| until <= now) {
            let health = self.shared.store.health();
            self.store_rests_until = None;
            self.shared
                .taking_mail
                .store(health.takes_mail(), Ordering::Relaxed);
        }
    }
}

/// Answers once the group is durable; a refusal needs no disk, but keeps its place in the order.
fn answer_after<T: Send + 'static>(
    done: Result<T, EngineError>,
    reply: oneshot::Sender<Result<T, EngineError>>,
) -> Verdict {
    Box::new(move |written| {
        // A caller who went away misses the answer and nothing else.
        let _ = reply.send(match (done, written) {
            (Ok(done), Ok(())) => Ok(done),
            (Ok(_), Err(error)) => Err(error),
            (Err(error), _) => Err(error),
        });
    })
}

/// One line per event in the log.
fn log(event: &crate::desk::Event) {
    let agent = event.agent.as_ref().map(|(agent, _)| agent.as_str());
    tracing::debug!(
        revision = event.revision,
        agent,
        fact = event.fact.name(),
        "event"
    );
}
