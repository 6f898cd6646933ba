//! Prioritising: a supervisor moves what waits up or down.

use super::{Desk, Fact, Pending, Refusal, State};
use crate::id::InteractionId;
use crate::time::Timestamp;

/// Highest and lowest priority are this far from 0.
pub const PRIORITY_MAX: i32 = 100;

impl Desk {
    /// Gives an interaction that is in nobody's hands another priority.
    pub(super) fn prioritise(
        &mut self,
        now: Timestamp,
        id: InteractionId,
        priority: i32,
    ) -> Result<Pending, Refusal> {
        if !(-PRIORITY_MAX..=PRIORITY_MAX).contains(&priority) {
            return Err(Refusal::Priority(priority));
        }
        let waits = self.prioritisable(id)?;
        if waits {
            self.unstand(id);
        }
        self.change(id, now, |found| found.priority = priority);
        if waits {
            self.stand(now, id);
        }
        if let Some(found) = self.interactions.get(&id) {
            let fact = Fact::InteractionUpdated(Box::new(found.clone()));
            self.tell(now, None, fact);
        }
        Ok(Pending::Work(id))
    }

    /// Refuses what is in an agent's hands or done; whether it stands in line now.
    pub(super) fn prioritisable(&self, id: InteractionId) -> Result<bool, Refusal> {
        let found = (self.interactions.get(&id)).ok_or(Refusal::InteractionUnknown(id))?;
        match found.state {
            State::Queued => Ok(true),
            // It counts when it comes into line.
            State::Offered { .. } | State::Held { .. } => Ok(false),
            State::Active { .. }
            | State::Drafting { .. }
            | State::Parked { .. }
            | State::WrappingUp { .. }
            | State::Cancelled { .. }
            | State::Closed { .. }
            | State::Filed { .. } => Err(Refusal::InteractionState {
                interaction: id,
                state: found.state.name(),
                needed: "held, queued or offered",
            }),
        }
    }
}
