//! The spool: all outbound messages not yet taken by the MTA, and when each is tried next.
//! The hand-over itself is done in `submit`; the store keeps what is returned here.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use crate::id::MessageId;
use crate::outbound::message::{
    DeliveryState, Diagnostic, Event, Outbound, Outcome, RecipientRefusal, RecipientState,
    TransitionError,
};
use crate::time::Timestamp;

/// Wait after the first failed attempt, before jitter. The MTA is next door and most often only
/// restarting, so this is far below Postfix's `minimal_backoff_time` of 300 seconds.
pub const RETRY_WAIT_MIN: Duration = Duration::from_secs(15);

/// Longest wait between two attempts, before jitter; near Postfix's `maximal_backoff_time` of 4000
/// seconds.
pub const RETRY_WAIT_MAX: Duration = Duration::from_secs(3600);

/// Most messages that may wait at once. At some kilobytes a record this is the memory of a day in
/// which a large site's MTA was down; beyond it, agents are told that nothing can be sent.
pub const MESSAGES_MAX: usize = 100_000;

/// All outbound messages that are not yet settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spool {
    messages: BTreeMap<MessageId, Outbound>,
    /// Ready and deferred messages in the order of their next attempts.
    waiting: BTreeSet<(Timestamp, MessageId)>,
    /// Messages that some submission is busy with. Not stored: a restart ends all submissions.
    in_flight: BTreeSet<MessageId>,
    at_once: usize,
}

/// A record that has to be stored, and the state that it left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The state before.
    pub from: DeliveryState,
    /// The whole record after.
    pub outbound: Outbound,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} -> {}",
            self.outbound.id, self.from, self.outbound.state
        )
    }
}

/// Why the spool did not do something. Nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpoolError {
    /// [`MESSAGES_MAX`] messages wait. The operator's move: the MTA takes nothing.
    Full,
    /// The spool holds no such message: it is settled, or never was. The caller's move.
    Unknown,
    /// The spool holds this message already. Only our own bug can do this.
    Known,
    /// No submission is busy with this message. Only our own bug can do this.
    NotInFlight,
    /// The message is in a state that this does not apply to. The caller's move for a resend;
    /// otherwise only our own bug can do this.
    Transition(TransitionError),
}

impl fmt::Display for SpoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("the spool is full, because the MTA takes nothing"),
            Self::Unknown => f.write_str("no such message waits in the spool"),
            Self::Known => f.write_str("this message waits in the spool already"),
            Self::NotInFlight => f.write_str("no submission of this message is under way"),
            Self::Transition(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SpoolError {}

impl From<TransitionError> for SpoolError {
    fn from(error: TransitionError) -> Self {
        Self::Transition(error)
    }
}

impl Spool {
    /// An empty spool that lets `at_once` submissions run at the same time, at least one.
    #[must_use]
    pub fn new(at_once: usize) -> Self {
        Self {
            messages: BTreeMap::new(),
            waiting: BTreeSet::new(),
            in_flight: BTreeSet::new(),
            at_once: at_once.max(1),
        }
    }

    /// The spool as it was stored, and the records that the restart changed.
    ///
    /// A message that was handed over when the process ended is unconfirmed: its dot may have been
    /// sent. All others that wait are due when they were, but never later than the longest wait
    /// from now: a clock that was set back must not hold mail for years. Settled ones are skipped.
    #[must_use]
    pub fn restore(records: Vec<Outbound>, now: Timestamp, at_once: usize) -> (Self, Vec<Change>) {
        let mut spool = Self::new(at_once);
        let mut changes = Vec::new();
        for mut outbound in records {
            match outbound.state {
                DeliveryState::Confirmed | DeliveryState::Refused | DeliveryState::Cancelled => {
                    continue;
                }
                DeliveryState::Ready | DeliveryState::Deferred => {
                    let latest = now + longest_wait();
                    let next = outbound.next_attempt.unwrap_or(now).min(latest);
                    outbound.next_attempt = Some(next);
                    spool.waiting.insert((next, outbound.id));
                }
                DeliveryState::HandedOver => {
                    let from = outbound.state;
                    if outbound.enter(Event::Lose).is_ok() {
                        outbound.next_attempt = None;
                        outbound.last_diagnostic = Some(Diagnostic::ours(
                            "the server was restarted before the MTA answered",
                        ));
                        changes.push(Change {
                            from,
                            outbound: outbound.clone(),
                        });
                    }
                }
                DeliveryState::Unconfirmed => {}
            }
            spool.messages.insert(outbound.id, outbound);
        }
        (spool, changes)
    }

    /// The spool as it was stored, within the same process: submissions that are under way go on,
    /// and their messages are begun by nobody else. A second submission of a message could not be
    /// told from the first, and would end it.
    #[must_use]
    pub fn take_over(
        records: Vec<Outbound>,
        in_flight: &BTreeSet<MessageId>,
        now: Timestamp,
        at_once: usize,
    ) -> Self {
        let (flying, rest): (Vec<_>, Vec<_>) = (records.into_iter())
            .filter(|outbound| !outbound.state.is_settled())
            .partition(|outbound| in_flight.contains(&outbound.id));
        // What was handed over is in flight, so nothing is found to be unconfirmed.
        let (mut spool, _) = Self::restore(rest, now, at_once);
        for outbound in flying {
            spool.in_flight.insert(outbound.id);
            spool.messages.insert(outbound.id, outbound);
        }
        spool
    }

    /// Takes in a message that was just sent by an agent. The caller stores the record.
    ///
    /// # Errors
    /// [`SpoolError::Full`], [`SpoolError::Known`], or [`SpoolError::Transition`] if the message
    /// is not ready.
    pub fn insert(&mut self, outbound: Outbound) -> Result<(), SpoolError> {
        if self.is_full() {
            return Err(SpoolError::Full);
        }
        if self.messages.contains_key(&outbound.id) {
            return Err(SpoolError::Known);
        }
        if outbound.state != DeliveryState::Ready {
            let state = outbound.state;
            return Err(TransitionError { state }.into());
        }
        let next = outbound.next_attempt.unwrap_or(outbound.created);
        self.waiting.insert((next, outbound.id));
        self.messages.insert(outbound.id, outbound);
        Ok(())
    }

    /// Takes in a refused message again, on a person's word, with a new lifetime.
    ///
    /// # Errors
    /// As for [`Self::insert`]; [`SpoolError::Transition`] if the message is not refused.
    pub fn readmit(&mut self, outbound: Outbound, now: Timestamp) -> Result<Change, SpoolError> {
        let from = outbound.state;
        let mut renewed = outbound;
        renewed.renew(now)?;
        self.insert(renewed.clone())?;
        Ok(Change {
            from,
            outbound: renewed,
        })
    }

    /// Starts what has come due, as far as there is room: from now on each of these messages is in
    /// flight until [`Self::finish`] is called for it. Earliest first.
    pub fn due(&mut self, now: Timestamp) -> Vec<MessageId> {
        let mut started = Vec::new();
        while self.in_flight.len() < self.at_once {
            let Some(&(next, id)) = self.waiting.first() else {
                break;
            };
            if next > now {
                break;
            }
            self.waiting.remove(&(next, id));
            if let Some(outbound) = self.messages.get_mut(&id) {
                outbound.attempts = outbound.attempts.saturating_add(1);
                self.in_flight.insert(id);
                started.push(id);
            }
        }
        started
    }

    /// When [`Self::due`] will next start something; `None` while there is no room or nothing
    /// waits. After a call of `due` this is later than that call's time.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        if self.in_flight.len() < self.at_once {
            self.waiting.first().map(|&(next, _)| next)
        } else {
            None
        }
    }

    /// The final dot of a message in flight is about to be sent. It may be sent once the returned
    /// record is durable, and not before.
    ///
    /// # Errors
    /// [`SpoolError::NotInFlight`], or [`SpoolError::Transition`] on a second call.
    pub fn handed_over(&mut self, id: MessageId) -> Result<Change, SpoolError> {
        let outbound = self.flying(id)?;
        let from = outbound.state;
        outbound.enter(Event::HandOver)?;
        outbound.next_attempt = None;
        Ok(Change {
            from,
            outbound: outbound.clone(),
        })
    }

    /// Ends an attempt. A settled message leaves the spool; a deferred one waits for its next
    /// attempt; an unconfirmed one stays until somebody decides.
    ///
    /// # Errors
    /// [`SpoolError::NotInFlight`], or [`SpoolError::Transition`] for an answer to a message that
    /// was not handed over.
    pub fn finish(
        &mut self,
        id: MessageId,
        outcome: Outcome,
        now: Timestamp,
    ) -> Result<Change, SpoolError> {
        let outbound = self.flying(id)?;
        let from = outbound.state;
        let said = match outcome {
            Outcome::Accepted {
                reply,
                queue_id,
                refused,
            } => {
                outbound.enter(Event::Accept)?;
                outbound.remote_queue_id = queue_id;
                settle_recipients(outbound, refused, &RecipientState::Accepted);
                reply
            }
            Outcome::Temporary(diagnostic) if now >= outbound.deadline => {
                outbound.enter(Event::Refuse)?;
                let rest = RecipientState::Refused(diagnostic.clone());
                settle_recipients(outbound, Vec::new(), &rest);
                diagnostic
            }
            Outcome::Temporary(diagnostic) => {
                outbound.enter(Event::Defer)?;
                diagnostic
            }
            Outcome::Permanent {
                diagnostic,
                refused,
            } => {
                outbound.enter(Event::Refuse)?;
                let rest = RecipientState::Refused(diagnostic.clone());
                settle_recipients(outbound, refused, &rest);
                diagnostic
            }
            Outcome::Lost(diagnostic) => {
                outbound.enter(Event::Lose)?;
                diagnostic
            }
        };
        outbound.last_diagnostic = Some(said);
        outbound.next_attempt = if outbound.state == DeliveryState::Deferred {
            // The last attempt falls on the deadline, so that it is made.
            let next = now + retry_wait(id, outbound.attempts);
            Some(next.min(outbound.deadline))
        } else {
            None
        };
        let outbound = outbound.clone();
        self.in_flight.remove(&id);
        if outbound.state.is_settled() {
            self.messages.remove(&id);
        } else if let Some(next) = outbound.next_attempt {
            self.waiting.insert((next, id));
        }
        Ok(Change { from, outbound })
    }

    /// Makes an unconfirmed message ready again, on a person's word.
    ///
    /// # Errors
    /// [`SpoolError::Unknown`], or [`SpoolError::Transition`] if the message is not unconfirmed.
    pub fn resend(&mut self, id: MessageId, now: Timestamp) -> Result<Change, SpoolError> {
        let outbound = self.messages.get_mut(&id).ok_or(SpoolError::Unknown)?;
        let from = outbound.state;
        outbound.renew(now)?;
        let outbound = outbound.clone();
        self.waiting.insert((now, id));
        Ok(Change { from, outbound })
    }

    /// Takes a message out that waits for the first attempt there would be, for good: its agent
    /// takes it back.
    ///
    /// # Errors
    /// [`SpoolError::Unknown`], or [`SpoolError::Transition`] once its first attempt is due or a
    /// word was heard of it.
    pub fn cancel(&mut self, id: MessageId, now: Timestamp) -> Result<Change, SpoolError> {
        let begun = self.in_flight.contains(&id);
        let outbound = self.messages.get_mut(&id).ok_or(SpoolError::Unknown)?;
        let from = outbound.state;
        // What is sent again is ready too, but the world may have it from the first time; its
        // record says what was heard then.
        let untried = !begun && outbound.last_diagnostic.is_none();
        let waits = (outbound.next_attempt).filter(|next| untried && *next > now);
        let Some(next) = waits else {
            return Err(TransitionError { state: from }.into());
        };
        outbound.enter(Event::Cancel)?;
        outbound.next_attempt = None;
        outbound.last_diagnostic = Some(Diagnostic::ours("taken back before it was sent"));
        let outbound = outbound.clone();
        self.waiting.remove(&(next, id));
        self.messages.remove(&id);
        Ok(Change { from, outbound })
    }

    /// Puts a record in the place of the one that a report was heard about: what was said of its
    /// recipients differs, and nothing of its way.
    pub fn amend(&mut self, outbound: &Outbound) {
        if let Some(found) = self.messages.get_mut(&outbound.id) {
            found.recipients.clone_from(&outbound.recipients);
            found.last_diagnostic.clone_from(&outbound.last_diagnostic);
        }
    }

    /// One message, as it stands.
    #[must_use]
    pub fn get(&self, id: MessageId) -> Option<&Outbound> {
        self.messages.get(&id)
    }

    /// All messages, oldest id first.
    pub fn iter(&self) -> impl Iterator<Item = &Outbound> {
        self.messages.values()
    }

    /// How many messages are in the spool, in flight or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether nothing is on its way.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Whether [`Self::insert`] would answer [`SpoolError::Full`].
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.messages.len() >= MESSAGES_MAX
    }

    fn flying(&mut self, id: MessageId) -> Result<&mut Outbound, SpoolError> {
        if !self.in_flight.contains(&id) {
            return Err(SpoolError::NotInFlight);
        }
        self.messages.get_mut(&id).ok_or(SpoolError::Unknown)
    }
}

/// Writes down what became of each recipient: its own refusal, or what became of the `rest`.
fn settle_recipients(
    outbound: &mut Outbound,
    refused: Vec<RecipientRefusal>,
    rest: &RecipientState,
) {
    for recipient in &mut outbound.recipients {
        recipient.state = rest.clone();
    }
    for refusal in refused {
        for recipient in &mut outbound.recipients {
            if recipient.address == refusal.address {
                recipient.state = RecipientState::Refused(refusal.diagnostic.clone());
            }
        }
    }
}

/// The wait after a failed attempt, counted from one: doubling from [`RETRY_WAIT_MIN`] to
/// [`RETRY_WAIT_MAX`], and up to a quarter more.
///
/// The extra keeps a thousand messages that failed together from coming back together. It follows
/// from the id and the attempt, so that the same history always gives the same schedule.
#[must_use]
pub fn retry_wait(id: MessageId, attempt: u32) -> Duration {
    let doublings = attempt.saturating_sub(1).min(16);
    let base = RETRY_WAIT_MIN
        .saturating_mul(1 << doublings)
        .min(RETRY_WAIT_MAX);
    let share = scatter(id, attempt) % 1024;
    let quarter_millis = u64::try_from(base.as_millis() / 4).unwrap_or(0);
    base + Duration::from_millis(quarter_millis * share / 1024)
}

/// No wait is longer than this: [`RETRY_WAIT_MAX`] and its quarter.
const fn longest_wait() -> Duration {
    Duration::from_secs(RETRY_WAIT_MAX.as_secs() / 4 * 5)
}

/// Spreads ids that differ in a few bits over all numbers: FNV-1a over the bytes, then the end of
/// MurmurHash3, because FNV leaves the last bytes' bits too close together.
fn scatter(id: MessageId, attempt: u32) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in id.to_bytes().into_iter().chain(attempt.to_be_bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}

#[cfg(test)]
pub(super) mod tests;
