//! Overflowing: what nobody could take in time waits in another queue from then on.
//!
//! The wait is counted in the open hours of the queue. Only a queue that is open, has room and
//! does not work on the case takes more; until one does, the interaction stays and is tried again.

use std::time::Duration;

use super::{Desk, Fact, Opening, State, Timer};
use crate::id::{InteractionId, QueueId};
use crate::time::Timestamp;

/// Where a queue sends what waits too long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overflow {
    /// Which queue takes it.
    pub to: QueueId,
    /// After how long a wait.
    pub after: Duration,
}

/// How long after a queue had no room it is asked again.
const RETRY: Duration = Duration::from_secs(60);

impl Desk {
    /// Sets the deadline of an interaction that came into the line of its queue.
    pub(super) fn watch_overflow(&mut self, now: Timestamp, id: InteractionId) {
        if let Some((_, due)) = self.overflow_of(id) {
            self.timers.set(due.max(now), Timer::Overflow(id));
        }
    }

    /// Where a waiting interaction is to go, and when.
    fn overflow_of(&self, id: InteractionId) -> Option<(QueueId, Timestamp)> {
        let found = self.interactions.get(&id)?;
        if found.state != State::Queued {
            return None;
        }
        let settings = &self.queues.get(&found.queue)?.settings;
        let overflow = settings.overflow.as_ref()?;
        let due = settings.when_waited(found.entered.unwrap_or(found.arrived), overflow.after)?;
        Some((overflow.to.clone(), due))
    }

    /// An interaction may have waited too long.
    pub(super) fn overflow_due(&mut self, now: Timestamp, id: InteractionId) {
        let Some((to, due)) = self.overflow_of(id) else {
            return;
        };
        if due > now {
            self.timers.set(due, Timer::Overflow(id));
        } else if self.takes_overflow(&to, id) {
            self.overflow(now, id, &to);
        } else {
            self.timers.set(now + RETRY, Timer::Overflow(id));
        }
    }

    fn takes_overflow(&self, to: &QueueId, id: InteractionId) -> bool {
        let room = (self.queues.get(to))
            .is_some_and(|queue| queue.opening() == Opening::Open && !queue.is_full());
        let works_on_it = (self.interactions.get(&id))
            .and_then(|found| self.cases.get(&found.case))
            .is_some_and(|case| case.joinable.contains_key(to));
        room && !works_on_it
    }

    /// Moves a waiting interaction into the line of another queue, at the place of its arrival.
    fn overflow(&mut self, now: Timestamp, id: InteractionId, to: &QueueId) {
        let Some(from) = self.interactions.get(&id).map(|found| found.queue.clone()) else {
            return;
        };
        let own = (self.queues.get(to)).and_then(|queue| queue.settings.mailboxes.first());
        let mailbox = own.map_or_else(String::new, |own| own.address.clone());
        self.take_from_line(id);
        self.change(id, now, |found| {
            found.queue = to.clone();
            // What it was written to is not what the new queue may answer from.
            found.mailbox = mailbox;
            found.entered = Some(now);
            found.declined.clear();
            found.preferred = None;
        });
        if let Some(found) = self.interactions.get(&id)
            && let Some(case) = self.cases.get_mut(&found.case)
        {
            case.joinable.retain(|_, joined| *joined != id);
            case.joinable.insert(to.clone(), id);
            case.changed = now;
            self.draft.cases.insert(found.case);
        }
        self.line_up(now, id);
        if let Some(found) = self.interactions.get(&id) {
            let interaction = Box::new(found.clone());
            self.tell(now, None, Fact::InteractionOverflowed { interaction, from });
        }
    }
}
