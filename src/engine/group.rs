//! A group: what the commands of one round want written, as one journal write and one sync.

use std::collections::BTreeMap;
use std::ops::AddAssign;
use std::sync::Arc;
use std::time::Duration;

use crate::content::Content;
use crate::desk::{
    Answer, Case, Change, Effects, Event, Filing, HouseRules, Interaction, QueueSettings,
    SavedDraft, State,
};
use crate::id::{ArticleId, AttachmentId, InteractionId, MessageId, QueueId};
use crate::mail::token::{Keyring, MainNumber};
use crate::outbound::hearing::Suppression;
use crate::outbound::message::Outbound;
use crate::store::record::{self, Acknowledged, Answered, ApiKey, Article, Delivery, Stored};
use crate::store::{Batch, BodyId, Store, StoreError, keys};
use crate::time::Timestamp;

use super::EngineError;

/// What becomes visible once the group is durable, in the order of the commands.
#[derive(Default)]
pub(super) struct Released {
    pub(super) events: Vec<Arc<Event>>,
    pub(super) ended: Vec<(crate::id::SessionId, crate::desk::EndCause)>,
    pub(super) submissions: Vec<Outbound>,
    /// Messages that the submitter is done with.
    pub(super) finished: Vec<MessageId>,
    pub(super) keys: Vec<ApiKey>,
    /// Articles as they are now; `None` for one that is gone.
    pub(super) articles: BTreeMap<ArticleId, Option<Article>>,
    pub(super) mail_keys: Option<Arc<Keyring>>,
    pub(super) sessions: Vec<crate::desk::Session>,
    /// The queues of a configuration that was taken over.
    pub(super) queues: Option<Vec<QueueSettings>>,
    /// And the rules for every agent.
    pub(super) house: Option<HouseRules>,
    /// Files that nobody needs any more.
    pub(super) dropped: Vec<AttachmentId>,
}

/// The batches of one round, and what is not yet in the store because of them.
pub(super) struct Group<'a> {
    pub(super) store: &'a dyn Store,
    pub(super) batches: Vec<Batch>,
    /// Values written in this round under keys that a later command of the round may look up.
    fresh: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Keys written in this round that are forgotten one day, by when. All letters of a round are
    /// forgotten at the same time, and one mark for many costs the index a fraction of a mark each.
    due: BTreeMap<Timestamp, Vec<Vec<u8>>>,
    pub(super) released: Released,
}

impl<'a> Group<'a> {
    pub(super) fn new(store: &'a dyn Store) -> Self {
        Self {
            store,
            batches: Vec::new(),
            fresh: BTreeMap::new(),
            due: BTreeMap::new(),
            released: Released::default(),
        }
    }

    /// A record as it will be once the group is durable.
    fn look_up<T: Stored>(&self, key: &[u8]) -> Result<Option<T>, EngineError> {
        let stored;
        let value = match self.fresh.get(key) {
            Some(value) => value,
            None => match self.store.get(key).map_err(unreadable)? {
                Some(value) => {
                    stored = value;
                    &stored
                }
                None => return Ok(None),
            },
        };
        record::decode(value)
            .map(Some)
            .map_err(|error| EngineError::Unavailable(error.to_string()))
    }

    /// What a request id was answered.
    pub(super) fn answered(&self, key: &[u8; 32]) -> Result<Option<Answered>, EngineError> {
        self.look_up(&keys::request(key))
    }

    /// Where a letter went that has been here before.
    pub(super) fn delivered(&self, fingerprint: &[u8; 32]) -> Result<Vec<Filing>, EngineError> {
        let delivery: Option<Delivery> = self.look_up(&keys::delivery(fingerprint))?;
        Ok(delivery.map_or_else(Vec::new, |delivery| delivery.filings))
    }

    /// A case that the desk does not hold.
    pub(super) fn case(&self, number: MainNumber) -> Result<Option<Case>, EngineError> {
        self.look_up(&keys::case(number))
    }

    /// Until when a queue does not tell a sender again that a letter has arrived.
    pub(super) fn acknowledged(
        &self,
        queue: &QueueId,
        address: &str,
    ) -> Result<Option<Acknowledged>, EngineError> {
        self.look_up(&keys::acknowledged(queue, address))
    }

    /// What an agent has written for an interaction.
    pub(super) fn draft(&self, id: InteractionId) -> Result<Option<SavedDraft>, EngineError> {
        self.look_up(&keys::draft(id))
    }

    /// Whether and why an address is not written to.
    pub(super) fn suppressed(&self, address: &str) -> Result<Option<Suppression>, EngineError> {
        self.look_up(&keys::suppressed(address))
    }

    /// An interaction that is closed.
    pub(super) fn interaction(
        &self,
        id: InteractionId,
    ) -> Result<Option<Interaction>, EngineError> {
        self.look_up(&keys::interaction(id))
    }

    /// An outbound message that has left the spool.
    pub(super) fn outbound(&self, id: MessageId) -> Result<Option<Outbound>, EngineError> {
        self.look_up(&keys::outbound(id))
    }

    /// What is to be written, and what becomes visible then.
    pub(super) fn close(self) -> (Vec<Batch>, Released) {
        let mut batches = self.batches;
        if !self.due.is_empty() {
            let mut marks = Batch::default();
            // Whether there must be more space is for the batches that it speaks of to say.
            marks.set_essential();
            for (until, due) in &self.due {
                for keys in due.chunks(MARKED_TOGETHER_MAX) {
                    let mut keys = keys.iter().map(Vec::as_slice);
                    if let Some(first) = keys.next() {
                        marks.put(keys::due(*until, first), keys::due_too(keys));
                    }
                }
            }
            // First: a power cut may take the end of a group, and a mark of what is not there does
            // no harm, while what has no mark would never be forgotten.
            batches.insert(0, marks);
        }
        (batches, self.released)
    }

    /// Takes over what follows from a command.
    pub(super) fn add(&mut self, effects: Effects) -> Additions<'_, 'a> {
        let mut batch = Batch::default();
        for change in effects.changes {
            self.write(&mut batch, change);
        }
        for (id, bytes) in effects.written {
            let id = BodyId::from_bytes(id.to_bytes());
            batch.body(id, Content::Memory(bytes.into()));
        }
        self.released.events.extend(effects.events);
        self.released.ended.extend(effects.ended);
        self.released.submissions.extend(effects.submissions);
        Additions { group: self, batch }
    }

    /// Writes what is forgotten after a time.
    fn remember<T: Stored>(
        &mut self,
        batch: &mut Batch,
        key: Vec<u8>,
        record: &T,
        until: Timestamp,
    ) {
        let value = record::encode(record);
        self.due.entry(until).or_default().push(key.clone());
        self.fresh.insert(key.clone(), value.clone());
        batch.put(key, value);
    }

    /// Adds to figures. The sum is in the batch of what it counts: whichever batches of a round a
    /// power cut leaves, the figures tell of these. One that cannot be read is left as it is.
    fn add_up<T: Stored + AddAssign + Default>(
        &mut self,
        batch: &mut Batch,
        key: Vec<u8>,
        more: T,
    ) {
        let mut sum: T = match self.look_up(&key) {
            Ok(sum) => sum.unwrap_or_default(),
            Err(error) => {
                tracing::warn!(%error, "a figure was not added to");
                return;
            }
        };
        sum += more;
        let value = record::encode(&sum);
        self.fresh.insert(key.clone(), value.clone());
        batch.put(key, value);
    }

    fn write(&mut self, batch: &mut Batch, change: Change) {
        match change {
            Change::Counters(counters) => {
                batch.put(keys::COUNTERS.to_vec(), record::encode(&counters));
            }
            Change::Agent(agent) => batch.put(keys::agent(&agent.id), record::encode(&*agent)),
            Change::Session(session) => {
                batch.put(keys::session(session.id), record::encode(&session));
                self.released.sessions.push(session);
            }
            Change::SessionEnded(id) => batch.delete(keys::session(id)),
            Change::Offer(offer) => batch.put(keys::offer(offer.id), record::encode(&offer)),
            Change::OfferForgotten(id) => batch.delete(keys::offer(id)),
            Change::Interaction(interaction) => {
                let id = interaction.id;
                let (key, value) = (keys::interaction(id), record::encode(&*interaction));
                if matches!(interaction.state, State::Closed { .. }) {
                    // What was sent from it may come back within the round.
                    self.fresh.insert(key.clone(), value.clone());
                }
                batch.put(key, value);
                if interaction.state.is_final() {
                    batch.delete(keys::open(id));
                } else {
                    batch.put(keys::open(id), Vec::new());
                }
            }
            Change::Case(case) => {
                let (key, value) = (keys::case(case.number), record::encode(&*case));
                self.fresh.insert(key.clone(), value.clone());
                batch.put(key, value);
            }
            Change::Message(message) => {
                for interaction in &message.interactions {
                    batch.put(keys::thread(*interaction, message.id), Vec::new());
                }
                batch.put(keys::message(message.id), record::encode(&*message));
            }
            Change::Dossier(id, dossier) => {
                batch.put(keys::dossier(id), record::encode(&*dossier));
            }
            Change::Clue(clue, case, message) => {
                let serial = case.serial().to_be_bytes().to_vec();
                batch.put(keys::clue(clue, message), serial);
            }
            Change::Fed(entry) => {
                let key = keys::feed(entry.case, entry.id);
                batch.put(key, record::encode(&*entry));
            }
            Change::Outbound(outbound) => {
                let id = outbound.id;
                let (key, value) = (keys::outbound(id), record::encode(&*outbound));
                self.fresh.insert(key.clone(), value.clone());
                batch.put(key, value);
                if outbound.state.is_settled() {
                    batch.delete(keys::spool(id));
                } else {
                    batch.put(keys::spool(id), Vec::new());
                }
            }
            Change::Logged(agent, number, event) => {
                batch.put(keys::event(&agent, number), record::encode(&*event));
            }
            Change::LogTrimmed(agent, number) => batch.delete(keys::event(&agent, number)),
            Change::Acknowledged {
                queue,
                address,
                until,
            } => {
                let key = keys::acknowledged(&queue, &address);
                self.remember(batch, key, &Acknowledged { until }, until);
            }
            Change::QueueFigured(day, queue, more) => {
                self.add_up(batch, keys::queue_figure(day, &queue), *more);
            }
            Change::AgentFigured(day, agent, more) => {
                self.add_up(batch, keys::agent_figure(day, &agent), *more);
            }
            Change::Draft(draft) => {
                let (key, value) = (keys::draft(draft.interaction), record::encode(&*draft));
                self.fresh.insert(key.clone(), value.clone());
                batch.put(key, value);
            }
            Change::DraftDropped(id) => batch.delete(keys::draft(id)),
            Change::Upload(upload) => {
                let key = keys::upload(upload.interaction, upload.id);
                batch.put(key, record::encode(&*upload));
            }
            Change::UploadDropped(interaction, id) => {
                batch.delete(keys::upload(interaction, id));
                self.released.dropped.push(id);
            }
            Change::QueuePaused(pause) => {
                batch.put(keys::pause(&pause.queue), record::encode(&pause));
            }
            Change::QueueResumed(queue) => batch.delete(keys::pause(&queue)),
            Change::Suppressed(suppression) => {
                let key = keys::suppressed(&suppression.address);
                // The first stands for its whole time: its mark would end a later one too early.
                let known = self.look_up::<Suppression>(&key).ok().flatten();
                if known.is_none_or(|known| known.until <= suppression.since) {
                    self.remember(batch, key, &*suppression, suppression.until);
                }
            }
        }
    }
}

/// The batch of one command, open for what the engine adds to the desk's changes.
pub(super) struct Additions<'g, 'a> {
    group: &'g mut Group<'a>,
    batch: Batch,
}

impl Additions<'_, '_> {
    /// The bytes of the message that the command made.
    pub(super) fn body(&mut self, id: [u8; 16], content: Content) {
        self.batch.body(BodyId::from_bytes(id), content);
    }

    /// What the request id is answered, for as long as it may be repeated.
    pub(super) fn answered(
        &mut self,
        key: &[u8; 32],
        digest: [u8; 32],
        answer: &Answer,
        until: Timestamp,
    ) {
        let answer = Some(answer.clone());
        self.remember(keys::request(key), &Answered { digest, answer }, until);
    }

    /// Where the letter went, for as long as it may be sent again.
    pub(super) fn delivered(
        &mut self,
        fingerprint: &[u8; 32],
        filings: Vec<Filing>,
        until: Timestamp,
    ) {
        self.remember(keys::delivery(fingerprint), &Delivery { filings }, until);
    }

    /// A new or changed API key.
    pub(super) fn key(&mut self, key: ApiKey) {
        self.batch.put(keys::key(key.id), record::encode(&key));
        self.group.released.keys.push(key);
    }

    fn remember<T: Stored>(&mut self, key: Vec<u8>, record: &T, until: Timestamp) {
        self.group.remember(&mut self.batch, key, record, until);
    }

    /// Closes the batch. More mail may not use the space below the floor; all else may, so that
    /// agents can finish what is here.
    pub(super) fn done(mut self, more_mail: bool) {
        if self.batch.is_empty() {
            return;
        }
        if !more_mail {
            self.batch.set_essential();
        }
        self.group.batches.push(self.batch);
    }
}

/// How many keys one mark tells of at most: more would save little, and make it large for an entry
/// of the index.
const MARKED_TOGETHER_MAX: usize = 16;

/// How many forgotten keys are removed in one round, give or take one mark: a bound, so that a
/// day's worth that falls due at once does not hold up a letter.
const SWEEP: usize = 256;

/// How often forgotten keys are looked for.
pub(super) const SWEEP_INTERVAL: Duration = Duration::from_secs(10);

/// How soon again when there is more of them: a thousand a second go, which is more than a busy
/// gateway remembers in the long run.
pub(super) const SWEEP_PAUSE: Duration = Duration::from_millis(250);

/// Removes what need no longer be remembered, and says whether there may be more.
pub(super) fn sweep(store: &dyn Store, now: Timestamp) -> Result<(Batch, bool), EngineError> {
    let mut batch = Batch::default();
    batch.set_essential();
    let mut forgotten = 0;
    for (mark, value) in store.scan(keys::DUE, None, SWEEP).map_err(unreadable)? {
        match keys::fallen_due(&mark) {
            Some((at, _)) if at > now || forgotten >= SWEEP => break,
            Some((_, key)) => {
                for key in std::iter::once(key).chain(keys::fallen_due_too(&value)) {
                    batch.delete(key.to_vec());
                    forgotten += 1;
                }
            }
            None => {}
        }
        batch.delete(mark);
    }
    Ok((batch, forgotten >= SWEEP))
}

pub(super) fn unreadable(error: StoreError) -> EngineError {
    EngineError::Unavailable(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desk::{Day, QueueFigure};
    use crate::store::Memory;

    #[test]
    fn a_figure_is_in_the_batch_of_what_it_counts() {
        let store = Memory::default();
        let (day, queue): (Day, QueueId) = (Day::from_number(1), "support".parse().unwrap());
        let key = keys::queue_figure(day, &queue);
        let more = |received| {
            let figure = QueueFigure {
                received,
                ..QueueFigure::default()
            };
            Effects {
                changes: vec![Change::QueueFigured(day, queue.clone(), Box::new(figure))],
                ..Effects::default()
            }
        };
        let mut seen = Vec::new();
        for round in [[1, 2], [4, 8]] {
            let mut group = Group::new(&store);
            for received in round {
                group.add(more(received)).done(false);
            }
            for batch in group.close().0 {
                store.commit(vec![batch]).unwrap();
                let value = store.get(&key).unwrap().unwrap();
                seen.push(record::decode::<QueueFigure>(&value).unwrap().received);
            }
        }
        assert_eq!(seen, [1, 3, 7, 15]);
        // What a newer version wrote is not begun anew.
        let mut newer = Batch::default();
        newer.put(key, vec![u8::MAX]);
        store.commit(vec![newer]).unwrap();
        let mut group = Group::new(&store);
        group.add(more(1)).done(false);
        assert!(group.close().0.is_empty());
    }

    #[test]
    fn what_is_forgotten_together_has_few_marks_and_all_of_it_goes() {
        let (store, then) = (Memory::default(), Timestamp::from_millis(5));
        let mut group = Group::new(&store);
        let mut batch = Batch::default();
        for number in 0..304u32 {
            let key = keys::acknowledged(&"support".parse().unwrap(), &number.to_string());
            group.remember(&mut batch, key, &Acknowledged { until: then }, then);
        }
        group.batches.push(batch);
        let (batches, _) = group.close();
        store.commit(batches).unwrap();
        let count = |prefix| store.scan(prefix, None, 1000).unwrap().len();
        let left = || (count(keys::DUE), count(b"acknowledged/"));
        assert_eq!(left(), (19, 304));
        let (early, more) = sweep(&store, Timestamp::from_millis(4)).unwrap();
        assert!(early.is_empty() && !more);
        // So many in one round, and the rest in the next.
        for expected in [((3, 304 - SWEEP), true), ((0, 0), false)] {
            let (batch, more) = sweep(&store, then).unwrap();
            store.commit(vec![batch]).unwrap();
            assert_eq!((left(), more), expected);
        }
    }
}
