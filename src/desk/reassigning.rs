//! Reassigning: a supervisor moves work, whoever has it.

use super::{
    AssignCause, Desk, Destination, Fact, NOTE_BYTES_MAX, Pending, PresenceCause, Refusal,
    RescindCause, State, UnassignReason, bounded,
};
use crate::id::{AgentId, InteractionId, QueueId};
use crate::time::Timestamp;

impl Desk {
    /// Moves an interaction to one queue or into the hands of one agent. It keeps the time of its
    /// arrival. Whoever had it goes on as after any work, and an offer of it is taken back.
    pub(super) fn reassign(
        &mut self,
        now: Timestamp,
        id: InteractionId,
        to: Destination,
        note: String,
    ) -> Result<Pending, Refusal> {
        bounded("note", &note, NOTE_BYTES_MAX)?;
        self.movable(id)?;
        match to {
            Destination::Queue(queue) => {
                self.may_move_to(id, &queue)?;
                self.bring_back(now, id);
                let elsewhere = (self.interactions.get(&id)).is_some_and(|it| it.queue != queue);
                if elsewhere {
                    self.take_from_line(id);
                    self.resettle(now, id, &queue, note);
                    self.line_up(now, id);
                    if let Some(found) = self.interactions.get(&id) {
                        let fact = Fact::InteractionQueued(Box::new(found.clone()));
                        self.tell(now, None, fact);
                    }
                } else {
                    self.change(id, now, |found| found.note(note));
                }
            }
            Destination::Agent(agent) => {
                self.may_be_given(now, id, &agent)?;
                self.bring_back(now, id);
                self.make_room(now, &agent, RescindCause::Supervisor);
                self.take_from_line(id);
                self.change(id, now, |found| found.note(note));
                self.assign(now, &agent, id, AssignCause::Reassigned);
                self.touch(&agent, PresenceCause::SupervisorRequest);
            }
        }
        Ok(Pending::Work(id))
    }

    /// Refuses what is not open work, or is being finished.
    pub(super) fn movable(&self, id: InteractionId) -> Result<(), Refusal> {
        let found = (self.interactions.get(&id)).ok_or(Refusal::InteractionUnknown(id))?;
        match found.state {
            State::Queued | State::Offered { .. } | State::Active { .. } | State::Parked { .. } => {
                Ok(())
            }
            State::WrappingUp { .. }
            | State::Closed { .. }
            | State::Held { .. }
            | State::Filed { .. }
            | State::Drafting { .. }
            | State::Cancelled { .. } => Err(Refusal::InteractionState {
                interaction: id,
                state: found.state.name(),
                needed: "queued, offered, active or parked",
            }),
        }
    }

    /// Brings a movable interaction into the line of its queue, from wherever it is.
    pub(super) fn bring_back(&mut self, now: Timestamp, id: InteractionId) {
        let Some(found) = self.interactions.get(&id) else {
            return;
        };
        if let State::Offered { offer, .. } = found.state {
            self.rescind(now, offer, RescindCause::Supervisor);
        } else if let Some(agent) = found.state.owner().cloned() {
            let was_parked = matches!(found.state, State::Parked { .. });
            self.give_back(now, &agent, id, UnassignReason::Reassigned);
            self.put_down(now, &agent, was_parked);
        }
    }

    /// That queue has work of the same case.
    pub(super) const fn occupied() -> Refusal {
        Refusal::TransferTarget(
            "that queue is working on the case already; end or dismiss one of the two",
        )
    }

    pub(super) fn may_move_to(&self, id: InteractionId, queue: &QueueId) -> Result<(), Refusal> {
        let found = (self.interactions.get(&id)).ok_or(Refusal::InteractionUnknown(id))?;
        if !self.queues.contains_key(queue) {
            return Err(Refusal::QueueUnknown(queue.clone()));
        }
        if found.queue == *queue {
            if found.state == State::Queued {
                return Err(Refusal::TransferTarget(
                    "the interaction waits in that queue already",
                ));
            }
            return Ok(());
        }
        let occupied =
            (self.cases.get(&found.case)).is_some_and(|case| case.joinable.contains_key(queue));
        if occupied {
            return Err(Self::occupied());
        }
        Ok(())
    }

    fn may_be_given(
        &self,
        now: Timestamp,
        id: InteractionId,
        agent: &AgentId,
    ) -> Result<(), Refusal> {
        let found = (self.interactions.get(&id)).ok_or(Refusal::InteractionUnknown(id))?;
        if !self.agents.contains_key(agent) {
            return Err(Refusal::AgentUnknown(agent.clone()));
        }
        let Some(session) = self.session_of.get(agent) else {
            return Err(Refusal::AgentSignedOut(agent.clone()));
        };
        if self.missing_for(now, *session, self.policy.grace) {
            return Err(Refusal::AgentMissing(agent.clone()));
        }
        if found.state.owner() == Some(agent) {
            return Err(Refusal::TransferTarget("that agent has it already"));
        }
        self.room(agent)
    }
}
