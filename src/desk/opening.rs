//! Opening and closing: whether a queue offers what waits in it, by the clock and by a
//! supervisor's word.
//!
//! A closed queue takes mail as before. What waits in it keeps its place and its age.

use serde::{Deserialize, Serialize};

use super::hours::LOOK_AGAIN;
use super::{Change, Desk, Fact, NOTE_BYTES_MAX, Pending, Refusal, RescindCause, Timer, bounded};
use crate::id::{AgentId, OfferId, QueueId};
use crate::time::Timestamp;

/// Whether a queue offers what waits in it. Stored: variants are added at the end only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Opening {
    /// It does.
    Open,
    /// It does not, because its hours say so.
    Closed,
    /// It does not, because a supervisor paused it.
    Paused,
}

/// That a queue was paused. The record is there for as long as the pause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// The queue.
    pub queue: QueueId,
    /// Since when.
    pub since: Timestamp,
    /// Why, in a supervisor's words; may be empty.
    pub reason: String,
}

impl Desk {
    /// Offers nothing from a queue until it is resumed. Live offers from it are taken back. Asked
    /// for again, it changes the reason.
    pub(super) fn pause_queue(
        &mut self,
        now: Timestamp,
        id: &QueueId,
        reason: String,
    ) -> Result<Pending, Refusal> {
        bounded("reason", &reason, NOTE_BYTES_MAX)?;
        let queue = (self.queues.get_mut(id)).ok_or_else(|| Refusal::QueueUnknown(id.clone()))?;
        let before = queue.opening();
        let since = queue.paused.as_ref().map_or(now, |pause| pause.since);
        let queue_id = id.clone();
        let pause = Pause {
            queue: queue_id,
            since,
            reason,
        };
        if queue.paused.as_ref() != Some(&pause) {
            queue.paused = Some(pause.clone());
            self.draft.changes.push(Change::QueuePaused(pause));
        }
        self.opening_changed(now, id, before);
        Ok(Pending::Done)
    }

    /// Ends a pause; the hours say whether the queue is open. Without a pause nothing changes.
    pub(super) fn resume_queue(
        &mut self,
        now: Timestamp,
        id: &QueueId,
    ) -> Result<Pending, Refusal> {
        let queue = (self.queues.get_mut(id)).ok_or_else(|| Refusal::QueueUnknown(id.clone()))?;
        let before = queue.opening();
        if queue.paused.take().is_some() {
            self.draft.changes.push(Change::QueueResumed(id.clone()));
        }
        self.opening_changed(now, id, before);
        Ok(Pending::Done)
    }

    /// It may be time for a queue to open or to close.
    pub(super) fn hours_due(&mut self, now: Timestamp, id: &QueueId) {
        let Some(before) = self.queues.get(id).map(super::Queue::opening) else {
            return;
        };
        self.look_at_hours(now, id);
        self.opening_changed(now, id, before);
    }

    /// Reads off the hours whether the queue is open, and when that changes.
    pub(super) fn look_at_hours(&mut self, now: Timestamp, id: &QueueId) {
        let Some(queue) = self.queues.get_mut(id) else {
            return;
        };
        let Some(hours) = &queue.settings.hours else {
            queue.open = true;
            queue.next_change = None;
            return;
        };
        queue.open = hours.is_open(now);
        queue.next_change = hours.next_change(now);
        let look = queue.next_change.unwrap_or(now + LOOK_AGAIN);
        self.timers.set(look, Timer::Hours(id.clone()));
    }

    /// What follows if a queue opened or closed: its agents may be offered what waits in it, or
    /// no longer.
    pub(super) fn opening_changed(&mut self, now: Timestamp, id: &QueueId, before: Opening) {
        let Some(opening) = (self.queues.get(id)).map(super::Queue::opening) else {
            return;
        };
        if opening == before {
            return;
        }
        if opening != Opening::Open {
            let live: Vec<OfferId> = (self.offers.values())
                .filter(|offer| offer.state.is_live() && offer.queue == *id)
                .map(|offer| offer.id)
                .collect();
            for offer in live {
                self.rescind(now, offer, RescindCause::QueueClosed);
            }
        }
        let served: Vec<AgentId> = (self.agents.values())
            .filter(|agent| agent.queues.contains(id))
            .map(|agent| agent.id.clone())
            .collect();
        for agent in served {
            self.refresh_idle(now, &agent);
        }
        self.reconsider(id);
        let queue = id.clone();
        self.tell(now, None, Fact::QueueChanged { queue, opening });
    }
}
