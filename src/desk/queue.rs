//! A queue: the ordered waiting place of interactions, and the rules that its administrator set.

use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use super::hours::Hours;
use super::opening::{Opening, Pause};
use super::overflowing::Overflow;
use super::routing::{Ageing, Line, Place, Strategy};
use super::service::Service;
use crate::id::{InteractionId, QueueId};
use crate::mail::acknowledgement::Template;
use crate::mail::attribution;
use crate::mail::automatic::Allowed;
use crate::mail::threading::Windows;
use crate::time::Timestamp;

/// What becomes of an agent who let an offer pass or turned one down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeclineAction {
    /// The agent stays Available and is offered nothing for the queue's cooldown.
    Cooldown,
    /// The agent is set to Work Offline.
    WorkOffline,
}

/// Longest time for which an agent who declined may be left alone.
pub const COOLDOWN_MAX: Duration = Duration::from_secs(3600);

/// Whether an interaction is to be classified before post-processing ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CodePolicy {
    /// Not necessarily.
    #[default]
    Optional,
    /// By its agent, who cannot finish without; when time runs out, `timed-out` is written.
    Required,
    /// By its agent, and post-processing does not end before.
    Hold,
}

/// From when the time to answer an offer counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OfferClock {
    /// From when it was made.
    #[default]
    Made,
    /// From when it was on the screen.
    Shown,
}

/// An address of ours: mail to it lands in one queue, and agents of that queue may send from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mailbox {
    /// The address, normalised.
    pub address: String,
    /// The name shown beside it in From; may be empty.
    pub display_name: String,
}

/// The rules of one queue, as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueSettings {
    /// The queue's slug.
    pub id: QueueId,
    /// What people read, such as `Customer support`.
    pub display_name: String,
    /// Its addresses; the first is the default From address.
    pub mailboxes: Vec<Mailbox>,
    /// The name beside them in what agents send, instead of each mailbox's own;
    /// [`super::from_address::AGENT`] stands for the agent's.
    pub from_name: Option<String>,
    /// How a quoted original is introduced; see [`crate::mail::attribution`].
    pub attribution: String,
    /// The word before a case's number in the subject of what agents send; `None` leaves the
    /// number out.
    pub tag: Option<String>,
    /// How long an offer waits for an answer.
    pub offer_timeout: Duration,
    /// How long post-processing lasts; `None` switches it off.
    pub post_processing: Option<Duration>,
    /// What a rejected offer does to the agent.
    pub rejected_action: DeclineAction,
    /// What the missed offer that reaches [`Self::missed_limit`] does to the agent.
    pub missed_action: DeclineAction,
    /// How many offers in a row an agent may miss before [`Self::missed_action`] applies.
    pub missed_limit: u32,
    /// How long an agent who rejected or missed is left alone.
    pub cooldown: Duration,
    /// As how long that grows: it doubles with each further offer in a row that is rejected, or
    /// missed. Not less than [`Self::cooldown`].
    pub cooldown_max: Duration,
    /// Whether its offers may be rejected.
    pub may_reject: bool,
    /// How many offers in a row an agent may reject before [`Self::rejected_action`] applies.
    pub rejected_limit: u32,
    /// From when the time to answer counts.
    pub offer_clock: OfferClock,
    /// Whether post-processing needs a code.
    pub codes: CodePolicy,
    /// How often post-processing may be extended.
    pub extensions_max: u32,
    /// By how much each time.
    pub extension: Duration,
    /// Whether the work of an agent who is given up goes back to the line, instead of waiting for
    /// them.
    pub takes_back: bool,
    /// How many interactions may wait; at this many the queue turns new mail away with a
    /// temporary answer, so that it waits at its sender.
    pub waiting_max: usize,
    /// What is work here although no person wrote it.
    pub allowed: Allowed,
    /// What people are told when their letter opens a case.
    pub acknowledgement: Option<Template>,
    /// How long after its end a case of the queue can be continued.
    pub windows: Windows,
    /// Whether agents of other queues may give their work to it.
    pub accepts_transfers: bool,
    /// Whether its agents may take work out of it without being offered any.
    pub pull: bool,
    /// Who goes first among its idle agents.
    pub strategy: Strategy,
    /// How long a letter in a known case is kept for the agent who handled that case last; zero
    /// switches it off.
    pub preferred_agent: Duration,
    /// After how long each skill is asked for at one level less; `None` if never.
    pub skill_relax: Option<Duration>,
    /// How priorities grow with waiting, if they do.
    pub ageing: Option<Ageing>,
    /// What it promises.
    pub service: Service,
    /// Where it sends what waits too long; `None` for nowhere.
    pub overflow: Option<Overflow>,
    /// For how long what its agents send may be taken back before it is tried.
    pub undo: Duration,
    /// When it offers what waits in it; `None` for always.
    pub hours: Option<Arc<Hours>>,
}

impl QueueSettings {
    /// A queue with the defaults of the configuration reference.
    #[must_use]
    pub fn new(id: QueueId) -> Self {
        Self {
            display_name: id.to_string(),
            id,
            mailboxes: Vec::new(),
            from_name: None,
            attribution: attribution::DEFAULT.to_owned(),
            tag: None,
            offer_timeout: Duration::from_secs(30),
            post_processing: None,
            rejected_action: DeclineAction::Cooldown,
            missed_action: DeclineAction::WorkOffline,
            missed_limit: 3,
            cooldown: Duration::from_secs(5),
            cooldown_max: Duration::from_secs(5),
            may_reject: true,
            rejected_limit: 1,
            offer_clock: OfferClock::default(),
            codes: CodePolicy::default(),
            extensions_max: 3,
            extension: Duration::from_secs(60),
            takes_back: false,
            waiting_max: 100_000,
            allowed: Allowed::default(),
            acknowledgement: None,
            windows: Windows::default(),
            accepts_transfers: true,
            pull: false,
            strategy: Strategy::default(),
            preferred_agent: Duration::ZERO,
            skill_relax: None,
            ageing: None,
            service: Service::default(),
            overflow: None,
            undo: Duration::ZERO,
            hours: None,
        }
    }

    /// How long an agent is left alone after so many declined offers in a row.
    pub(super) fn cooldown_after(&self, declined: u32) -> Duration {
        // Ten doublings are more than any bound allows.
        let doublings = declined.saturating_sub(1).min(10);
        (self.cooldown * (1 << doublings)).min(self.cooldown_max.max(self.cooldown))
    }

    /// Until when what is new is kept for the agent who knows the case; none if it is not. A queue
    /// that does not open again keeps it by the clock.
    #[must_use]
    pub fn kept_until(&self, now: Timestamp) -> Option<Timestamp> {
        let keep = self.preferred_agent;
        (!keep.is_zero()).then(|| self.when_waited(now, keep).unwrap_or(now + keep))
    }

    /// When something will have waited so long in its open hours; `None` if not within a year.
    #[must_use]
    pub fn when_waited(&self, from: Timestamp, time: Duration) -> Option<Timestamp> {
        match &self.hours {
            Some(hours) => hours.when_open_for(from, time),
            None => Some(from + time),
        }
    }

    /// How long something has waited, in its open hours.
    #[must_use]
    pub fn waited(&self, from: Timestamp, to: Timestamp) -> Duration {
        match &self.hours {
            Some(hours) => hours.open_between(from, to),
            None => to.since(from),
        }
    }

    /// The mailbox with this address, if agents may send from it. Letter case does not matter.
    #[must_use]
    pub fn mailbox(&self, address: &str) -> Option<&Mailbox> {
        (self.mailboxes.iter()).find(|own| own.address.eq_ignore_ascii_case(address))
    }
}

/// A queue at work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    /// Its rules.
    pub settings: QueueSettings,
    /// Those who wait, and the idle agents who serve it.
    pub(super) line: Line,
    /// How many are held back.
    pub(super) held: usize,
    /// Whether its hours have it open.
    pub(super) open: bool,
    /// When its hours change that, if they do within a year.
    pub(super) next_change: Option<Timestamp>,
    /// That a supervisor paused it.
    pub(super) paused: Option<Pause>,
}

impl Queue {
    pub(super) fn new(settings: QueueSettings) -> Self {
        Self {
            settings,
            line: Line::new(),
            held: 0,
            open: true,
            next_change: None,
            paused: None,
        }
    }

    /// Whether it offers what waits in it.
    #[must_use]
    pub const fn opening(&self) -> Opening {
        match (&self.paused, self.open) {
            (Some(_), _) => Opening::Paused,
            (None, true) => Opening::Open,
            (None, false) => Opening::Closed,
        }
    }

    /// The pause, while it is paused.
    #[must_use]
    pub const fn pause(&self) -> Option<&Pause> {
        self.paused.as_ref()
    }

    /// When its hours next open or close it; `None` if never, or not within a year.
    #[must_use]
    pub const fn next_change(&self) -> Option<Timestamp> {
        self.next_change
    }

    /// Whether anything may be offered from it now.
    pub(super) const fn offers_open(&self) -> bool {
        matches!(self.opening(), Opening::Open)
    }

    /// How many interactions wait without being offered to anybody.
    #[must_use]
    pub fn waiting_count(&self) -> usize {
        self.line.places().len()
    }

    /// How many interactions are held back.
    #[must_use]
    pub const fn held_count(&self) -> usize {
        self.held
    }

    /// When the one came who has waited longest. Looks at the first of each priority only.
    #[must_use]
    pub fn oldest(&self) -> Option<Timestamp> {
        let places = self.line.places();
        let mut first = places.first();
        let mut oldest: Option<Timestamp> = None;
        while let Some((priority, arrived, _)) = first {
            oldest = Some(oldest.map_or(*arrived, |known| known.min(*arrived)));
            let last = (*priority, Timestamp::MAX, LAST);
            let behind = (Bound::Excluded(last), Bound::Unbounded);
            first = places.range(behind).next();
        }
        oldest
    }

    /// Whether it takes no more mail: as many wait, held ones included, as the rules allow.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.waiting_count() + self.held >= self.settings.waiting_max
    }

    /// Those who wait, in the order in which they are to be offered.
    pub fn waiting(&self) -> impl Iterator<Item = InteractionId> + '_ {
        self.line.places().iter().map(|(_, _, id)| *id)
    }

    /// Those who wait behind a place, or all, in the order in which they are to be offered.
    pub fn waiting_after(&self, after: Option<Place>) -> impl Iterator<Item = Place> + '_ {
        let begin = after.map_or(Bound::Unbounded, Bound::Excluded);
        (self.line.places().range((begin, Bound::Unbounded))).copied()
    }
}

/// The last id there can be.
const LAST: InteractionId = InteractionId::from_bytes([u8::MAX; 16]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cooldown_doubles_up_to_its_bound() {
        let seconds = Duration::from_secs;
        let mut queue = QueueSettings::new("support".parse().unwrap());
        queue.cooldown = seconds(5);
        for (max, declined, cooldown) in [
            (5, 1, 5),
            (5, 9, 5),
            (60, 0, 5),
            (60, 1, 5),
            (60, 2, 10),
            (60, 3, 20),
            (60, 5, 60),
            (60, u32::MAX, 60),
            // Less than the first is no bound.
            (1, 3, 5),
        ] {
            queue.cooldown_max = seconds(max);
            let found = queue.cooldown_after(declined);
            assert_eq!(found, seconds(cooldown), "{max} {declined}");
        }
    }
}
