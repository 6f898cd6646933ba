//! Holding: letters that are kept back from everybody until a supervisor decides.

use super::{Case, Desk, Fact, Pending, Refusal, State};
use crate::id::InteractionId;
use crate::mail::token::MainNumber;
use crate::time::Timestamp;

impl Desk {
    /// Puts a held interaction into its queue, at the place of its arrival. If its letter spoke of
    /// a case without having a right to, its own case is linked to that one from now on.
    pub(super) fn release(
        &mut self,
        now: Timestamp,
        id: InteractionId,
    ) -> Result<Pending, Refusal> {
        let aside = self.releasable(id)?;
        let found = (self.interactions.get(&id)).ok_or(Refusal::InteractionUnknown(id))?;
        let number = found.case;
        let queue = found.queue.clone();
        self.change(id, now, |found| found.enter(State::Queued, now));
        if let Some(queue) = self.queues.get_mut(&queue) {
            queue.held = queue.held.saturating_sub(1);
        }
        self.line_up(now, id);
        if let Some(case) = self.cases.get_mut(&number) {
            case.joinable.insert(queue, id);
            case.follow_up_of = case.follow_up_of.or(aside);
            case.changed = now;
            self.draft.cases.insert(number);
        }
        if let Some(found) = self.interactions.get(&id) {
            let fact = Fact::InteractionQueued(Box::new(found.clone()));
            self.tell(now, None, fact);
        }
        Ok(Pending::Work(id))
    }

    /// Refuses what is not held or cannot stand in line; the case that its letter speaks of.
    pub(super) fn releasable(&self, id: InteractionId) -> Result<Option<MainNumber>, Refusal> {
        let found = (self.interactions.get(&id)).ok_or(Refusal::InteractionUnknown(id))?;
        let State::Held { aside, .. } = found.state else {
            return Err(Refusal::InteractionState {
                interaction: id,
                state: found.state.name(),
                needed: "held",
            });
        };
        let occupied = |case: &Case| case.joinable.contains_key(&found.queue);
        if self.cases.get(&found.case).is_some_and(occupied) {
            return Err(Self::overlaid());
        }
        Ok(aside)
    }

    /// Its queue has other work of the same case.
    pub(super) const fn overlaid() -> Refusal {
        Refusal::StateTransition(
            "another letter of its case is being worked on in that queue; finish or dismiss it first",
        )
    }

    /// Refuses what is not open, or is being finished or written.
    pub(super) fn dismissible(&self, id: InteractionId) -> Result<(), Refusal> {
        let found = (self.interactions.get(&id)).ok_or(Refusal::InteractionUnknown(id))?;
        match found.state {
            State::Held { .. }
            | State::Queued
            | State::Offered { .. }
            | State::Active { .. }
            | State::Parked { .. } => Ok(()),
            State::WrappingUp { .. }
            | State::Closed { .. }
            | State::Filed { .. }
            | State::Drafting { .. }
            | State::Cancelled { .. } => Err(Refusal::InteractionState {
                interaction: id,
                state: found.state.name(),
                needed: "held, queued, offered, active or parked",
            }),
        }
    }

    /// Files an interaction away that nobody shall work on, whoever has it.
    pub(super) fn dismiss(
        &mut self,
        now: Timestamp,
        id: InteractionId,
    ) -> Result<Pending, Refusal> {
        self.dismissible(id)?;
        let found = (self.interactions.get(&id)).ok_or(Refusal::InteractionUnknown(id))?;
        let (number, name) = (found.case, found.queue.clone());
        if matches!(found.state, State::Held { .. }) {
            if let Some(queue) = self.queues.get_mut(&name) {
                queue.held = queue.held.saturating_sub(1);
            }
        } else {
            self.bring_back(now, id);
            self.take_from_line(id);
        }
        self.change(id, now, |found| found.enter(State::Filed { at: now }, now));
        if let Some(case) = self.cases.get_mut(&number)
            && case.joinable.get(&name) == Some(&id)
        {
            case.joinable.remove(&name);
        }
        self.draft.interactions.remove(&id);
        if let Some(filed) = self.interactions.remove(&id) {
            let fact = Fact::InteractionFiled(Box::new(filed.clone()));
            self.draft.closed.insert(id, filed);
            self.tell(now, None, fact);
        }
        self.finished(now, number);
        Ok(Pending::Work(id))
    }
}
