//! Post-processing: the time after an interaction in which its agent writes down what came of it.

use super::handling::Needed;
use super::{
    CODE_BYTES_MAX, Desk, Direction, Fact, NOTE_BYTES_MAX, Pending, PresenceCause, Refusal,
    Requested, State, WrapUpOutcome, bounded,
};
use crate::id::{AgentId, InteractionId, SessionId};
use crate::time::Timestamp;

impl Desk {
    fn write_down(
        &mut self,
        now: Timestamp,
        id: InteractionId,
        notes: Option<String>,
        disposition: Option<String>,
    ) {
        self.change(id, now, |found| {
            found.notes = notes.unwrap_or_else(|| std::mem::take(&mut found.notes));
            found.disposition =
                disposition.unwrap_or_else(|| std::mem::take(&mut found.disposition));
        });
    }

    pub(super) fn save_wrap_up(
        &mut self,
        now: Timestamp,
        session: SessionId,
        id: InteractionId,
        notes: Option<String>,
        disposition: Option<String>,
    ) -> Result<Pending, Refusal> {
        bounded("notes", notes.as_deref().unwrap_or(""), NOTE_BYTES_MAX)?;
        let code = disposition.as_deref().unwrap_or("");
        bounded("disposition_code", code, CODE_BYTES_MAX)?;
        let (agent, _) = self.held(session, id, Needed::WrappingUp)?;
        self.write_down(now, id, notes, disposition);
        if let Some(found) = self.interactions.get(&id) {
            let fact = Fact::InteractionUpdated(Box::new(found.clone()));
            self.tell(now, Some(&agent), fact);
        }
        self.heard(now, session);
        Ok(Pending::Interaction(id, agent, None))
    }

    pub(super) fn complete_wrap_up(
        &mut self,
        now: Timestamp,
        session: SessionId,
        id: InteractionId,
        (notes, disposition): (Option<String>, Option<String>),
        next: Option<Requested>,
    ) -> Result<Pending, Refusal> {
        bounded("notes", notes.as_deref().unwrap_or(""), NOTE_BYTES_MAX)?;
        let code = disposition.as_deref().unwrap_or("");
        bounded("disposition_code", code, CODE_BYTES_MAX)?;
        if next == Some(Requested::SignedOut) {
            return Err(Refusal::StateTransition(
                "close the session to sign the agent out",
            ));
        }
        let (agent, _) = self.held(session, id, Needed::WrappingUp)?;
        self.write_down(now, id, notes, disposition);
        self.heard(now, session);
        self.wrapped_up(now, &agent, id, WrapUpOutcome::Completed, next);
        self.touch(&agent, PresenceCause::WrapUpComplete);
        Ok(Pending::Interaction(id, agent, None))
    }

    /// Post-processing runs out, unless the agent asked for more time or it began anew.
    pub(super) fn wrap_up_due(&mut self, now: Timestamp, id: InteractionId) {
        let Some(found) = self.interactions.get(&id) else {
            return;
        };
        let State::WrappingUp {
            agent,
            deadline: Some(deadline),
            ..
        } = &found.state
        else {
            return;
        };
        if *deadline > now {
            return;
        }
        let agent = agent.clone();
        self.wrapped_up(now, &agent, id, WrapUpOutcome::TimedOut, None);
        self.touch(&agent, PresenceCause::WrapUpTimeout);
    }

    fn wrapped_up(
        &mut self,
        now: Timestamp,
        agent: &AgentId,
        id: InteractionId,
        outcome: WrapUpOutcome,
        next: Option<Requested>,
    ) {
        let direction = (self.interactions.get(&id)).map_or(Direction::Inbound, |it| it.direction);
        if let Some(closed) = self.close(now, agent, id) {
            let interaction = Box::new(closed);
            let fact = Fact::WrapUpEnded {
                interaction,
                outcome,
            };
            self.tell(now, Some(agent), fact);
        }
        self.settle_after(now, agent, next, direction);
    }
}
