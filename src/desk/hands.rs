//! Hands: how an interaction comes into an agent's hands, and how it leaves them unfinished.
//!
//! What is finished leaves them in `handling`.

use super::{
    AssignCause, CancelCause, Desk, Fact, NOTE_BYTES_MAX, Pending, PresenceCause, Refusal,
    RescindCause, State, UnassignReason, bounded,
};
use crate::id::{AgentId, InteractionId, SessionId};
use crate::time::Timestamp;

impl Desk {
    /// Puts an interaction into an agent's hands that is in nobody's. The caller sees to it that
    /// there is room, and names the cause of the agent's presence.
    pub(super) fn assign(
        &mut self,
        now: Timestamp,
        agent: &AgentId,
        id: InteractionId,
        cause: AssignCause,
    ) {
        self.change(id, now, |found| {
            let agent = agent.clone();
            found.enter(State::Active { agent, since: now }, now);
            found.declined.clear();
        });
        if let Some(load) = self.loads.get_mut(agent) {
            load.active.insert(id);
        }
        let Some(found) = self.interactions.get(&id) else {
            return;
        };
        if let Some(case) = self.cases.get_mut(&found.case) {
            case.last_agent = Some(agent.clone());
            case.changed = now;
            self.draft.cases.insert(case.number);
        }
        let interaction = Box::new(found.clone());
        let fact = Fact::InteractionAssigned { interaction, cause };
        self.tell(now, Some(agent), fact);
    }

    /// Whether an agent may take something up by their own choice.
    pub(super) fn room(&self, id: &AgentId) -> Result<(), Refusal> {
        let full = (self.agents.get(id).zip(self.loads.get(id)))
            .is_none_or(|(agent, load)| load.in_hand() >= agent.capacity as usize);
        if full {
            return Err(Refusal::AtCapacity(id.clone()));
        }
        Ok(())
    }

    /// Takes live offers back if there would be no room for them beside one more interaction.
    pub(super) fn make_room(&mut self, now: Timestamp, id: &AgentId, cause: RescindCause) {
        let over = (self.agents.get(id).zip(self.loads.get(id))).is_some_and(|(agent, load)| {
            load.in_hand() + load.offers.len() >= agent.capacity as usize
        });
        if over {
            self.rescind_all(now, id, cause);
        }
    }

    /// Whether something may be put into an agent's hands without asking: nothing forbids an
    /// offer, and the client listens.
    pub(super) fn is_free(&self, now: Timestamp, id: &AgentId) -> bool {
        (self.agents.get(id)).is_some_and(|agent| self.hindered(now, agent).is_empty())
    }

    /// Takes an interaction out of its agent's hands, parked or not.
    pub(super) fn let_go(&mut self, agent: &AgentId, id: InteractionId) {
        if let Some(load) = self.loads.get_mut(agent) {
            load.active.remove(&id);
            load.drafting.remove(&id);
            load.parked.remove(&id);
        }
    }

    /// Takes an interaction from its agent and puts it into the line of its queue, at the place of
    /// its arrival.
    pub(super) fn give_back(
        &mut self,
        now: Timestamp,
        agent: &AgentId,
        id: InteractionId,
        reason: UnassignReason,
    ) {
        self.let_go(agent, id);
        self.change(id, now, |found| found.enter(State::Queued, now));
        let Some(found) = self.interactions.get(&id) else {
            return;
        };
        let interaction = Box::new(found.clone());
        let fact = Fact::InteractionUnassigned {
            interaction: interaction.clone(),
            reason,
        };
        self.tell(now, Some(agent), fact);
        self.line_up(now, id);
        self.tell(now, None, Fact::InteractionQueued(interaction));
    }

    /// The agent goes on as after any work. What was parked was not at work.
    pub(super) fn put_down(&mut self, now: Timestamp, agent: &AgentId, was_parked: bool) {
        if !was_parked {
            self.settle(now, agent, None);
        }
        self.touch(agent, PresenceCause::WrapUpComplete);
    }

    /// Gives an interaction back to its queue. Its agent has had it, so others come first.
    pub(super) fn requeue(
        &mut self,
        now: Timestamp,
        session: SessionId,
        id: InteractionId,
        note: String,
    ) -> Result<Pending, Refusal> {
        bounded("note", &note, NOTE_BYTES_MAX)?;
        let (agent, was_parked) = self.owned(session, id)?;
        self.heard(now, session);
        self.change(id, now, |found| {
            found.declined.insert(agent.clone());
            found.note(note);
        });
        self.give_back(now, &agent, id, UnassignReason::Requeued);
        self.put_down(now, &agent, was_parked);
        Ok(Pending::Interaction(id, agent, None))
    }

    /// Puts an end to an interaction that needs no handling. There is no post-processing.
    pub(super) fn cancel(
        &mut self,
        now: Timestamp,
        session: SessionId,
        id: InteractionId,
        cause: CancelCause,
        note: String,
    ) -> Result<Pending, Refusal> {
        bounded("note", &note, NOTE_BYTES_MAX)?;
        let (agent, was_parked) = self.owned(session, id)?;
        self.heard(now, session);
        self.let_go(&agent, id);
        self.change(id, now, |found| found.note(note));
        self.call_off(now, Some(&agent), id, cause);
        self.put_down(now, &agent, was_parked);
        Ok(Pending::Interaction(id, agent, None))
    }

    /// Cancels an interaction that is in no line and in nobody's hands any more.
    pub(super) fn call_off(
        &mut self,
        now: Timestamp,
        agent: Option<&AgentId>,
        id: InteractionId,
        cause: CancelCause,
    ) {
        self.change(id, now, |found| {
            let cancelled = State::Cancelled {
                agent: agent.cloned(),
                at: now,
                cause,
            };
            found.enter(cancelled, now);
        });
        self.draft.interactions.remove(&id);
        let Some(found) = self.interactions.remove(&id) else {
            return;
        };
        if let Some(case) = self.cases.get_mut(&found.case)
            && case.joinable.get(&found.queue) == Some(&id)
        {
            case.joinable.remove(&found.queue);
        }
        let number = found.case;
        let fact = Fact::InteractionUnassigned {
            interaction: Box::new(found.clone()),
            reason: UnassignReason::Cancelled,
        };
        self.draft.closed.insert(id, found);
        self.tell(now, agent, fact);
        self.finished(now, number);
    }

    /// Who asks, if the interaction is theirs to give away: being handled, or parked; and whether
    /// it is parked.
    fn owned(&self, session: SessionId, id: InteractionId) -> Result<(AgentId, bool), Refusal> {
        let agent = self.fence(session)?;
        let found = (self.interactions.get(&id)).ok_or(Refusal::InteractionUnknown(id))?;
        if found.state.owner() != Some(&agent) {
            return Err(Refusal::NotOwner(id));
        }
        match found.state {
            State::Active { .. } => Ok((agent, false)),
            State::Parked { .. } => Ok((agent, true)),
            _ => Err(Refusal::InteractionState {
                interaction: id,
                state: found.state.name(),
                needed: "active or parked",
            }),
        }
    }
}
