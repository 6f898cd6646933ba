//! Overflowing: what nobody could take in time waits in another queue from then on.
//!
//! The wait is counted in the open hours of the queue. Only a queue that is open, has room and
//! does not work on the case takes more; until it does, the interaction stays, and goes as soon as
//! it can.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Desk, Fact, Opening, State, Timer};
use crate::id::{InteractionId, QueueId};
use crate::mail::token::MainNumber;
use crate::time::Timestamp;

/// Where a queue sends what waits too long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overflow {
    /// Which queue takes it.
    pub to: QueueId,
    /// After how long a wait.
    pub after: Duration,
}

/// What has waited too long and cannot go yet. Derived, never stored; may name what has been taken
/// meanwhile.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Overdue {
    /// By the queue that is closed or has no room.
    by_queue: BTreeMap<QueueId, BTreeSet<InteractionId>>,
    /// By the case that the other queue works on.
    by_case: BTreeMap<MainNumber, BTreeSet<InteractionId>>,
}

/// The smallest step of time.
const MOMENT: Duration = Duration::from_millis(1);

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
        } else if !self.has_room(&to) {
            self.overdue.by_queue.entry(to).or_default().insert(id);
        } else if let Some(case) = self.works_on_case(&to, id) {
            self.overdue.by_case.entry(case).or_default().insert(id);
        } else {
            self.overflow(now, id, &to);
        }
    }

    /// Passes on what was overdue, where this command has made that possible.
    pub(super) fn pass_on_overdue(&mut self, now: Timestamp) {
        if !self.overdue.by_case.is_empty() {
            let draft = &self.draft;
            let changed: Vec<MainNumber> = draft
                .cases
                .iter()
                .chain(draft.rested.keys())
                .copied()
                .collect();
            for number in changed {
                for id in self.overdue.by_case.remove(&number).unwrap_or_default() {
                    self.overflow_due(now, id);
                }
            }
        }
        let queues: Vec<QueueId> = self.overdue.by_queue.keys().cloned().collect();
        for queue in queues {
            while self.has_room(&queue) {
                let Some(waiting) = self.overdue.by_queue.get_mut(&queue) else {
                    break;
                };
                match waiting.pop_first() {
                    Some(id) => self.overflow_due(now, id),
                    None => {
                        self.overdue.by_queue.remove(&queue);
                    }
                }
            }
        }
    }

    /// Sees to it that the room is used which offers have made: a moment later, since what has just been
    /// offered was offered in its turn.
    pub(super) fn watch_overdue(&mut self, now: Timestamp) {
        for (queue, waiting) in &self.overdue.by_queue {
            if let Some(id) = waiting.first()
                && self.has_room(queue)
            {
                self.timers.set(now + MOMENT, Timer::Overflow(*id));
            }
        }
    }

    fn has_room(&self, to: &QueueId) -> bool {
        (self.queues.get(to))
            .is_some_and(|queue| queue.opening() == Opening::Open && !queue.is_full())
    }

    /// The case of an interaction, if a queue works on it.
    fn works_on_case(&self, to: &QueueId, id: InteractionId) -> Option<MainNumber> {
        let number = self.interactions.get(&id)?.case;
        let works = self.cases.get(&number)?.joinable.contains_key(to);
        works.then_some(number)
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
            found.enter_queue(to.clone());
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
