//! Presence at work: what agents ask to be, and what they come to be shown as.

use std::time::Duration;

use super::house::DISCONNECTED;
use super::{
    AfterWork, AgentState, CODE_BYTES_MAX, CodePolicy, Desk, Fact, Pending, PresenceCause,
    ReasonKind, Refusal, Requested, RescindCause, State, Timer, bounded,
};
use crate::id::{AgentId, InteractionId, SessionId};
use crate::time::Timestamp;

impl Desk {
    /// Refuses what is no reason for going Work Offline.
    pub(super) fn offline_code(&self, field: &'static str, code: &str) -> Result<(), Refusal> {
        bounded(field, code, CODE_BYTES_MAX)?;
        self.policy.house.admit(field, ReasonKind::Offline, code)
    }

    pub(super) fn set_presence(
        &mut self,
        now: Timestamp,
        session: SessionId,
        state: Requested,
    ) -> Result<Pending, Refusal> {
        let id = self.fence(session)?;
        match &state {
            Requested::SignedOut => {
                return Err(Refusal::StateTransition(
                    "close the session to sign the agent out",
                ));
            }
            Requested::WorkOffline(code) => self.offline_code("reason_code", code)?,
            Requested::Available => {}
        }
        let deferred = self.ask_presence(now, &id, state)?;
        self.touch(&id, PresenceCause::AgentRequest);
        self.heard(now, session);
        Ok(Pending::Presence(id, deferred))
    }

    /// The agent asks to be this, or somebody asks in their stead. Answers whether it is kept
    /// until the work in hand is done.
    pub(super) fn ask_presence(
        &mut self,
        now: Timestamp,
        id: &AgentId,
        state: Requested,
    ) -> Result<bool, Refusal> {
        let Some((agent, load)) = self.agents.get_mut(id).zip(self.loads.get(id)) else {
            return Err(Refusal::AgentUnknown(id.clone()));
        };
        let shown = agent.shown(load);
        let wrapping: Vec<InteractionId> = load.wrapping.iter().copied().collect();
        self.draft.agents.insert(id.clone());
        let deferred = match (shown, &state) {
            // Work comes first; the latest wish counts when it is done.
            (AgentState::Busy, _) | (AgentState::WrapUp, Requested::Available) => {
                let leaves = matches!(state, Requested::WorkOffline(_));
                agent.next = Some(state);
                if leaves {
                    self.rescind_all(now, id, RescindCause::StateChanged);
                }
                true
            }
            (AgentState::WrapUp, _) => {
                agent.requested = state;
                agent.next = None;
                self.rescind_all(now, id, RescindCause::StateChanged);
                for interaction in wrapping {
                    self.set_wrap_up(now, interaction, None);
                }
                false
            }
            (_, Requested::Available) => {
                if agent.requested != state {
                    agent.idle_since = now;
                }
                agent.requested = state;
                agent.next = None;
                self.watch_grace(now, id);
                self.restart_wrap_ups(now, id);
                false
            }
            (_, _) => {
                agent.requested = state;
                agent.next = None;
                if !self.live_offers(id).is_empty() {
                    self.pause(now, id, self.policy.recall_pause);
                    self.rescind_all(now, id, RescindCause::StateChanged);
                }
                false
            }
        };
        Ok(deferred)
    }

    /// The time for post-processing begins anew, for an agent who had asked for more of it.
    pub(super) fn restart_wrap_ups(&mut self, now: Timestamp, agent: &AgentId) {
        let wrapping = self.loads.get(agent).map(|load| load.wrapping.clone());
        for id in wrapping.into_iter().flatten() {
            let Some(found) = (self.interactions.get(&id))
                .filter(|found| matches!(found.state, State::WrappingUp { deadline: None, .. }))
            else {
                continue;
            };
            let Some(queue) = self.queues.get(&found.queue) else {
                continue;
            };
            let time = match queue.settings.post_processing {
                Some(time) => time,
                None if queue.settings.codes == CodePolicy::Hold => continue,
                // Switched off in the meantime: what is left of it ends at once.
                None => Duration::ZERO,
            };
            self.timers.set(now + time, Timer::WrapUp(id));
            self.set_wrap_up(now, id, Some(now + time));
        }
    }

    /// Post-processing that only waited for a code goes on as the new rules of its queue say.
    pub(super) fn resume_wrap_ups(&mut self, now: Timestamp, id: &AgentId) {
        let Some((agent, load)) = self.agents.get(id).zip(self.loads.get(id)) else {
            return;
        };
        let wrapping = load.wrapping.clone();
        if agent.requested == Requested::Available {
            self.restart_wrap_ups(now, id);
        }
        for interaction in wrapping {
            self.wrap_up_due(now, interaction);
        }
    }

    pub(super) fn set_wrap_up(
        &mut self,
        now: Timestamp,
        id: InteractionId,
        until: Option<Timestamp>,
    ) {
        self.change(id, now, |found| {
            if let State::WrappingUp { deadline, .. } = &mut found.state {
                *deadline = until;
            }
        });
        if let Some(found) = self.interactions.get(&id) {
            let holder = found.state.holder().cloned();
            let fact = Fact::InteractionUpdated(Box::new(found.clone()));
            self.tell(now, holder.as_ref(), fact);
        }
    }

    /// Leaves the agent alone for a while.
    pub(super) fn pause(&mut self, now: Timestamp, id: &AgentId, wait: Duration) {
        if let Some(agent) = self.agents.get_mut(id) {
            agent.cooldown_until = agent.cooldown_until.max(now + wait);
            self.timers
                .set(agent.cooldown_until, Timer::Cooldown(id.clone()));
            self.draft.agents.insert(id.clone());
        }
    }

    /// Work in hand ended: if it was the last, the agent becomes what was asked for, or what the
    /// house rules say.
    pub(super) fn settle(&mut self, now: Timestamp, id: &AgentId, wish: Option<Requested>) {
        // Nobody is made available who has not been there for the whole grace: its timer has come
        // and gone.
        let missing = (self.session_of.get(id))
            .is_none_or(|session| self.missing_for(now, *session, self.policy.grace));
        let Some((agent, load)) = self.agents.get_mut(id).zip(self.loads.get(id)) else {
            return;
        };
        self.draft.agents.insert(id.clone());
        if let Some(wish) = wish {
            agent.next = Some(wish);
        }
        if !load.is_empty() || agent.requested == Requested::SignedOut {
            return;
        }
        agent.idle_since = now;
        // Being shown as missing was nobody's wish: whoever is back was Available before.
        let wished = agent.requested != Requested::WorkOffline(DISCONNECTED.to_owned());
        agent.requested = match (agent.next.take(), self.policy.house.after_work) {
            (Some(next), _) => next,
            (None, AfterWork::Return) if wished => agent.requested.clone(),
            (None, AfterWork::Return | AfterWork::Available) => Requested::Available,
        };
        if missing && agent.requested == Requested::Available {
            agent.requested = Requested::WorkOffline(DISCONNECTED.to_owned());
        }
        if agent.requested != Requested::Available {
            self.rescind_all(now, id, RescindCause::StateChanged);
        }
    }

    /// Compares what each touched agent is shown as with what they were shown as before, tells the
    /// difference, and brings the idle lists up to date.
    pub(super) fn settle_presence(&mut self, now: Timestamp) {
        for (id, cause) in std::mem::take(&mut self.draft.touched) {
            self.refresh_idle(now, &id);
            let Some((agent, load)) = self.agents.get_mut(&id).zip(self.loads.get(&id)) else {
                continue;
            };
            let shown = agent.shown(load);
            let previous = self.shown.insert(id.clone(), shown);
            if previous == Some(shown) {
                continue;
            }
            agent.since = now;
            agent.cause = cause;
            self.draft.agents.insert(id.clone());
            if let Some((presence, previous)) = self.presence(&id).zip(previous) {
                let fact = Fact::PresenceChanged { presence, previous };
                self.tell(now, Some(&id), fact);
            }
        }
    }
}
