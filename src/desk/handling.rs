//! Handling: what an agent holds, and how it is finished.

use super::{
    Case, CodePolicy, Command, Desk, Fact, Interaction, NOTE_BYTES_MAX, Outcome, Pending,
    PresenceCause, Refusal, State, Timer, bounded,
};
use crate::id::{AgentId, InteractionId, SessionId};
use crate::mail::token::MainNumber;
use crate::time::Timestamp;

/// Which state a verb needs its interaction to be in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Needed {
    Active,
    WrappingUp,
    Parked,
    Drafting,
    /// Something is being written: Active or Drafting.
    Writing,
}

impl Desk {
    /// The agent who asks and the interaction, if it is in that agent's hands and in that state.
    pub(super) fn held(
        &self,
        session: SessionId,
        id: InteractionId,
        needed: Needed,
    ) -> Result<(AgentId, &Interaction), Refusal> {
        let agent = self.fence(session)?;
        let found = (self.interactions.get(&id)).ok_or(Refusal::InteractionUnknown(id))?;
        if found.state.owner() != Some(&agent) {
            return Err(Refusal::NotOwner(id));
        }
        let fits = match needed {
            Needed::Active => matches!(found.state, State::Active { .. }),
            Needed::WrappingUp => matches!(found.state, State::WrappingUp { .. }),
            Needed::Parked => matches!(found.state, State::Parked { .. }),
            Needed::Drafting => matches!(found.state, State::Drafting { .. }),
            Needed::Writing => {
                matches!(found.state, State::Active { .. } | State::Drafting { .. })
            }
        };
        if !fits {
            return Err(Refusal::InteractionState {
                interaction: id,
                state: found.state.name(),
                needed: match needed {
                    Needed::Active => "active",
                    Needed::WrappingUp => "wrapping up",
                    Needed::Parked => "parked",
                    Needed::Drafting => "drafting",
                    Needed::Writing => "active or drafting",
                },
            });
        }
        Ok((agent, found))
    }

    /// The command without its condition, if that holds.
    pub(super) fn unchanged(&self, command: Command) -> Result<Command, Refusal> {
        let Command::IfUnchanged {
            interaction,
            version,
            command,
        } = command
        else {
            return Ok(command);
        };
        if let Some(session) = command.session() {
            self.fence(session)?;
        }
        let found = (self.interactions.get(&interaction))
            .ok_or(Refusal::InteractionUnknown(interaction))?;
        if found.version != version {
            return Err(Refusal::Changed(interaction, found.version));
        }
        Ok(*command)
    }

    pub(super) fn end_interaction(
        &mut self,
        now: Timestamp,
        session: SessionId,
        id: InteractionId,
        note: String,
    ) -> Result<Pending, Refusal> {
        bounded("note", &note, NOTE_BYTES_MAX)?;
        let (agent, _) = self.held(session, id, Needed::Active)?;
        self.change(id, now, |found| {
            found.outcome = Some(Outcome::Ended);
            found.notes = note;
        });
        self.heard(now, session);
        self.handled(now, &agent, id);
        Ok(Pending::Interaction(id, agent, None))
    }

    /// Handling is over: post-processing begins if the queue has it, otherwise all is done.
    pub(super) fn handled(&mut self, now: Timestamp, agent: &AgentId, id: InteractionId) {
        let Some(found) = self.interactions.get(&id) else {
            return;
        };
        let (number, queue, direction) = (found.case, found.queue.clone(), found.direction);
        if let Some(case) = self.cases.get_mut(&number) {
            // A further letter from now on is new work, not a part of what was just answered.
            case.joinable.retain(|_, joined| *joined != id);
            case.changed = now;
            self.draft.cases.insert(number);
        }
        self.let_go(agent, id);
        let rules = self.queues.get(&queue).map(|queue| &queue.settings);
        let time = rules.and_then(|rules| rules.post_processing);
        let holds = rules.is_some_and(|rules| rules.codes == CodePolicy::Hold);
        if time.is_none() && !holds {
            if let Some(closed) = self.close(now, agent, id) {
                let fact = Fact::InteractionClosed(Box::new(closed));
                self.tell(now, Some(agent), fact);
            }
            self.settle_after(now, agent, None, direction);
            self.touch(agent, PresenceCause::WrapUpComplete);
            return;
        }
        if let Some(load) = self.loads.get_mut(agent) {
            load.wrapping.insert(id);
        }
        let deadline = time.map(|time| now + time);
        if let Some(deadline) = deadline {
            self.timers.set(deadline, Timer::WrapUp(id));
        }
        self.change(id, now, |found| {
            let wrapping_up = State::WrappingUp {
                agent: agent.clone(),
                since: now,
                deadline,
            };
            found.enter(wrapping_up, now);
        });
        if let Some(found) = self.interactions.get(&id) {
            let fact = Fact::WrapUpStarted(Box::new(found.clone()));
            self.tell(now, Some(agent), fact);
        }
        self.touch(agent, PresenceCause::WrapUpStart);
    }

    /// Closes an interaction and lets its case rest if it was the last.
    pub(super) fn close(
        &mut self,
        now: Timestamp,
        agent: &AgentId,
        id: InteractionId,
    ) -> Option<Interaction> {
        self.change(id, now, |found| {
            let agent = agent.clone();
            found.enter(State::Closed { agent, at: now }, now);
        });
        let closed = self.interactions.remove(&id)?;
        self.draft.interactions.remove(&id);
        self.draft.closed.insert(id, closed.clone());
        if let Some(load) = self.loads.get_mut(agent) {
            load.wrapping.remove(&id);
        }
        self.finished(now, closed.case);
        Some(closed)
    }

    /// One interaction of the case is closed. The case rests if it was the last.
    pub(super) fn finished(&mut self, now: Timestamp, number: MainNumber) {
        let Some(case) = self.cases.get_mut(&number) else {
            return;
        };
        case.unfinished = case.unfinished.saturating_sub(1);
        case.changed = now;
        self.draft.cases.insert(number);
        if !case.is_open() {
            case.closed = Some(now);
            self.lay_to_rest(number);
        }
    }

    /// The desk no longer holds the case: nothing of it is open.
    pub(super) fn lay_to_rest(&mut self, number: MainNumber) {
        self.draft.cases.remove(&number);
        let rested: Option<Case> = self.cases.remove(&number);
        (self.draft.rested).extend(rested.map(|case| (case.number, case)));
    }
}
