//! Post-processing: the time after an interaction in which its agent writes down what came of it.

use super::handling::Needed;
use super::house::TIMED_OUT;
use super::{
    CODE_BYTES_MAX, CodePolicy, Desk, Fact, Interaction, NOTE_BYTES_MAX, Pending, PresenceCause,
    ReasonKind, Refusal, Requested, State, Timer, WrapUpOutcome, bounded,
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
        self.wrap_up_code(disposition.as_deref())?;
        let (agent, _) = self.held(session, id, Needed::WrappingUp)?;
        self.write_down(now, id, notes, disposition);
        self.heard(now, session);
        if self.is_held_up(now, id) {
            // Its time was over and only the code was missing.
            self.wrapped_up(now, &agent, id, WrapUpOutcome::Completed, None);
            self.touch(&agent, PresenceCause::WrapUpComplete);
        } else if let Some(found) = self.interactions.get(&id) {
            let fact = Fact::InteractionUpdated(Box::new(found.clone()));
            self.tell(now, Some(&agent), fact);
        }
        Ok(Pending::Interaction(id, agent, None))
    }

    /// Refuses what is no code for an interaction.
    fn wrap_up_code(&self, code: Option<&str>) -> Result<(), Refusal> {
        let code = code.unwrap_or("");
        bounded("disposition_code", code, CODE_BYTES_MAX)?;
        (self.policy.house).admit("disposition_code", ReasonKind::WrapUp, code)
    }

    /// What the queue of an interaction says about codes.
    fn code_policy(&self, found: &Interaction) -> CodePolicy {
        let queue = self.queues.get(&found.queue);
        queue.map_or_else(CodePolicy::default, |queue| queue.settings.codes)
    }

    /// Whether the time of an interaction in post-processing is over, and it has its code.
    fn is_held_up(&self, now: Timestamp, id: InteractionId) -> bool {
        self.interactions.get(&id).is_some_and(|found| {
            let over = matches!(
                &found.state,
                State::WrappingUp { deadline: Some(deadline), .. } if *deadline <= now
            );
            over && !found.disposition.is_empty()
        })
    }

    /// Gives the agent more time, as often as the queue allows.
    pub(super) fn extend_wrap_up(
        &mut self,
        now: Timestamp,
        session: SessionId,
        id: InteractionId,
    ) -> Result<Pending, Refusal> {
        let (agent, found) = self.held(session, id, Needed::WrappingUp)?;
        let State::WrappingUp {
            deadline: Some(deadline),
            ..
        } = &found.state
        else {
            return Err(Refusal::WrapUpUntimed(id));
        };
        let queue = (self.queues.get(&found.queue))
            .ok_or_else(|| Refusal::QueueUnknown(found.queue.clone()))?;
        let most = queue.settings.extensions_max;
        if found.extensions >= most {
            return Err(Refusal::ExtensionsSpent(id, most));
        }
        let until = (*deadline).max(now) + queue.settings.extension;
        if let Some(found) = self.interactions.get_mut(&id) {
            found.extensions += 1;
        }
        self.timers.set(until, Timer::WrapUp(id));
        self.set_wrap_up(now, id, Some(until));
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
        self.wrap_up_code(disposition.as_deref())?;
        if next == Some(Requested::SignedOut) {
            return Err(Refusal::StateTransition(
                "close the session to sign the agent out",
            ));
        }
        if let Some(Requested::WorkOffline(code)) = &next {
            self.offline_code("reason_code", code)?;
        }
        let (agent, found) = self.held(session, id, Needed::WrappingUp)?;
        let code = disposition.as_deref().unwrap_or(&found.disposition);
        if code.is_empty() && self.code_policy(found) != CodePolicy::Optional {
            return Err(Refusal::WrapUpCodeMissing(id));
        }
        self.write_down(now, id, notes, disposition);
        self.heard(now, session);
        self.wrapped_up(now, &agent, id, WrapUpOutcome::Completed, next);
        self.touch(&agent, PresenceCause::WrapUpComplete);
        Ok(Pending::Interaction(id, agent, None))
    }

    /// Post-processing runs out, unless the agent asked for more time or it began anew, or the queue
    /// waits for a code.
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
        if found.disposition.is_empty() {
            match self.code_policy(found) {
                CodePolicy::Hold => return,
                CodePolicy::Required => self.write_down(now, id, None, Some(TIMED_OUT.to_owned())),
                CodePolicy::Optional => {}
            }
        }
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
        if let Some(closed) = self.close(now, agent, id) {
            let interaction = Box::new(closed);
            let fact = Fact::WrapUpEnded {
                interaction,
                outcome,
            };
            self.tell(now, Some(agent), fact);
        }
        self.settle(now, agent, next);
    }
}
