//! Signing in and out, and what happens to a client that goes missing.

use std::collections::BTreeSet;
use std::time::Duration;

use super::house::DISCONNECTED;
use super::session::Link;
use super::{
    CODE_BYTES_MAX, Desk, EndCause, LEASE_BOUNDS, Pending, PresenceCause, Refusal, Requested,
    RescindCause, Session, Timer, UnassignReason, bounded,
};
use crate::id::{AgentId, SessionId};
use crate::time::Timestamp;

impl Desk {
    /// The agent behind a session that may command something. This is the fencing: the token of a
    /// session that was taken over or given up leads nowhere.
    pub(super) fn fence(&self, id: SessionId) -> Result<AgentId, Refusal> {
        match self.sessions.get(&id) {
            Some((session, _)) => Ok(session.agent.clone()),
            None => Err(Refusal::SessionClosed),
        }
    }

    /// A sign of life from the client, which every command of its agent is. Called once nothing
    /// can refuse the command any more.
    pub(super) fn heard(&mut self, now: Timestamp, id: SessionId) {
        let Some((session, link)) = self.sessions.get_mut(&id) else {
            return;
        };
        if link.lease_until <= now {
            // The chain of lease timers ended when the lease did.
            self.timers.set(now + session.lease, Timer::Lease(id));
        }
        link.lease_until = now + session.lease;
        if link.stream.is_some() && (link.deaf || link.grace_since.is_some()) {
            link.deaf = false;
            link.grace_since = None;
            let agent = session.agent.clone();
            self.touch(&agent, PresenceCause::AgentRequest);
        }
    }

    pub(super) fn open_session(
        &mut self,
        now: Timestamp,
        id: &AgentId,
        takeover: bool,
        initial: Option<Requested>,
        lease: Option<Duration>,
        client: String,
    ) -> Result<Pending, Refusal> {
        bounded("client_info", &client, CODE_BYTES_MAX)?;
        if let Some(Requested::WorkOffline(code)) = &initial {
            self.offline_code("reason_code", code)?;
        }
        match self.agents.get(id) {
            None => return Err(Refusal::AgentUnknown(id.clone())),
            Some(agent) if agent.disabled => return Err(Refusal::AgentDisabled(id.clone())),
            Some(_) => {}
        }
        let old = self.session_of.get(id).copied();
        let old_listens = old
            .and_then(|old| self.sessions.get(&old))
            .is_some_and(|(_, link)| link.listens(now));
        if old_listens && !takeover {
            return Err(Refusal::SessionActiveElsewhere);
        }
        if let Some(old) = old {
            // The offer on the old screen is no longer on any.
            self.rescind_all(now, id, RescindCause::SessionLost);
            self.drop_session(old, EndCause::TakenOver);
        }
        let (shortest, longest) = LEASE_BOUNDS;
        let lease = lease.unwrap_or(self.policy.lease).clamp(shortest, longest);
        let sequence = self.next_sequence();
        let session = Session {
            id: SessionId::new(now, sequence),
            agent: id.clone(),
            created: now,
            lease,
            client,
        };
        let session_id = session.id;
        self.admit(now, session);
        self.draft.sessions.insert(session_id);
        if let Some(agent) = self.agents.get_mut(id) {
            let fresh = agent.requested == Requested::SignedOut;
            if fresh || initial == Some(Requested::Available) {
                // Who comes back to where they were has been idle for as long as before.
                if agent.requested != Requested::Available {
                    agent.idle_since = now;
                }
                agent.requested = match initial {
                    Some(Requested::Available) => Requested::Available,
                    Some(offline @ Requested::WorkOffline(_)) => offline,
                    Some(Requested::SignedOut) | None => Requested::WorkOffline(String::new()),
                };
                agent.next = None;
                self.draft.agents.insert(id.clone());
                if agent.requested == Requested::Available {
                    self.restart_wrap_ups(now, id);
                }
            }
        }
        self.touch(id, PresenceCause::SignIn);
        Ok(Pending::Session(session_id, id.clone()))
    }

    /// Takes a session in, in grace until its stream comes.
    pub(super) fn admit(&mut self, now: Timestamp, session: Session) {
        let id = session.id;
        self.timers.set(now + session.lease, Timer::Lease(id));
        self.timers.set(now + self.policy.grace, Timer::Grace(id));
        self.timers
            .set(now + self.policy.sign_out, Timer::SignOut(id));
        self.session_of.insert(session.agent.clone(), id);
        let link = Link::new(now, session.lease);
        self.sessions.insert(id, (session, link));
    }

    pub(super) fn renew_session(
        &mut self,
        now: Timestamp,
        id: SessionId,
        acked: Option<u64>,
    ) -> Result<Pending, Refusal> {
        let agent = self.fence(id)?;
        let latest = self.agents.get(&agent).map_or(0, |agent| agent.sequence);
        if let Some(acked) = acked.filter(|acked| *acked > latest) {
            return Err(Refusal::SequenceAhead { acked, latest });
        }
        if let Some((_, link)) = self.sessions.get_mut(&id) {
            link.acked = link.acked.max(acked.unwrap_or(0));
        }
        self.heard(now, id);
        Ok(Pending::Session(id, agent))
    }

    pub(super) fn close_session(
        &mut self,
        now: Timestamp,
        id: SessionId,
        requeue: bool,
    ) -> Result<Pending, Refusal> {
        let agent = self.fence(id)?;
        self.sign_out(now, id, EndCause::SignedOut);
        if requeue {
            self.lay_down(now, &agent, |_| true);
        }
        Ok(Pending::Presence(agent, false))
    }

    /// Ends a session and signs its agent out. Work in hand stays in hand.
    pub(super) fn sign_out(&mut self, now: Timestamp, id: SessionId, cause: EndCause) {
        let Ok(agent) = self.fence(id) else {
            return;
        };
        self.rescind_all(now, &agent, RescindCause::StateChanged);
        self.drop_session(id, cause);
        if let Some(agent) = self.agents.get_mut(&agent) {
            agent.requested = Requested::SignedOut;
            agent.next = None;
            self.draft.agents.insert(agent.id.clone());
        }
        self.touch(&agent, PresenceCause::SignOut);
    }

    fn drop_session(&mut self, id: SessionId, cause: EndCause) {
        if let Some((session, _)) = self.sessions.remove(&id) {
            self.session_of.remove(&session.agent);
            self.draft.sessions.insert(id);
            self.draft.ended.push((id, cause));
        }
    }

    pub(super) fn attach_stream(
        &mut self,
        now: Timestamp,
        id: SessionId,
        stream: u64,
    ) -> Result<Pending, Refusal> {
        let agent = self.fence(id)?;
        if let Some((_, link)) = self.sessions.get_mut(&id) {
            link.stream = Some(stream);
            link.detached = None;
            link.deaf = false;
            link.grace_since = None;
        }
        self.heard(now, id);
        self.touch(&agent, PresenceCause::SignIn);
        Ok(Pending::Session(id, agent))
    }

    pub(super) fn detach_stream(
        &mut self,
        now: Timestamp,
        id: SessionId,
        stream: u64,
    ) -> Result<Pending, Refusal> {
        let agent = self.fence(id)?;
        if let Some((_, link)) = self.sessions.get_mut(&id)
            && link.stream == Some(stream)
        {
            link.stream = None;
            link.detached = Some(now);
            self.timers
                .set(now + self.policy.reattach, Timer::Reattach(id));
            self.touch(&agent, PresenceCause::Disconnected);
        }
        Ok(Pending::Done)
    }

    /// The stream should be back by now.
    pub(super) fn reattach_due(&mut self, now: Timestamp, id: SessionId) {
        let gone = self.sessions.get(&id).is_some_and(|(_, link)| {
            (link.detached).is_some_and(|since| since + self.policy.reattach <= now)
        });
        if gone {
            self.enter_grace(now, id, RescindCause::StreamLost);
        }
    }

    /// The lease ends, or was renewed and ends later.
    pub(super) fn lease_due(&mut self, now: Timestamp, id: SessionId) {
        let Some((_, link)) = self.sessions.get(&id) else {
            return;
        };
        if link.lease_until > now {
            self.timers.set(link.lease_until, Timer::Lease(id));
        } else {
            self.enter_grace(now, id, RescindCause::SessionLost);
        }
    }

    /// The session is missing from now on: nothing is offered to it, and nothing is held against
    /// its agent.
    pub(super) fn enter_grace(&mut self, now: Timestamp, id: SessionId, cause: RescindCause) {
        let Some((session, link)) = self.sessions.get_mut(&id) else {
            return;
        };
        let agent = session.agent.clone();
        if link.grace_since.is_none() {
            link.grace_since = Some(now);
            self.timers.set(now + self.policy.grace, Timer::Grace(id));
            self.timers
                .set(now + self.policy.sign_out, Timer::SignOut(id));
        }
        self.rescind_all(now, &agent, cause);
        self.touch(&agent, PresenceCause::Disconnected);
    }

    /// The agent is Available from now on, perhaps by the word of a client that does not listen: the
    /// timer of its grace may have come and gone.
    pub(super) fn watch_grace(&mut self, now: Timestamp, agent: &AgentId) {
        if let Some(session) = self.session_of.get(agent).copied()
            && self.missing_for(now, session, Duration::ZERO)
        {
            let over = now + self.policy.grace;
            self.timers.set(over, Timer::Grace(session));
        }
    }

    /// The agent is shown as offline: nobody has been there for the whole grace.
    pub(super) fn grace_due(&mut self, now: Timestamp, id: SessionId) {
        if !self.missing_for(now, id, self.policy.grace) {
            return;
        }
        let Ok(id) = self.fence(id) else {
            return;
        };
        if let Some(agent) = self.agents.get_mut(&id)
            && agent.requested == Requested::Available
        {
            agent.requested = Requested::WorkOffline(DISCONNECTED.to_owned());
            self.draft.agents.insert(id.clone());
            self.touch(&id, PresenceCause::Disconnected);
        }
    }

    /// The session is given up.
    pub(super) fn sign_out_due(&mut self, now: Timestamp, id: SessionId) {
        if self.missing_for(now, id, self.policy.sign_out) {
            let agent = self.fence(id);
            self.sign_out(now, id, EndCause::LeaseExpired);
            if let Ok(agent) = agent {
                self.take_work_back(now, &agent);
            }
        }
    }

    /// What is in the hands of an agent who was given up goes back to those queues that do not wait
    /// for them.
    fn take_work_back(&mut self, now: Timestamp, agent: &AgentId) {
        self.lay_down(now, agent, |queue| queue.settings.takes_back);
    }

    /// What is in an agent's hands goes back into the lines of these queues.
    pub(super) fn lay_down(
        &mut self,
        now: Timestamp,
        agent: &AgentId,
        into: impl Fn(&super::Queue) -> bool,
    ) {
        let active = (self.loads.get(agent)).map_or_else(BTreeSet::new, |load| load.active.clone());
        for id in active {
            let queue =
                (self.interactions.get(&id)).and_then(|found| self.queues.get(&found.queue));
            if queue.is_some_and(&into) {
                self.give_back(now, agent, id, UnassignReason::Requeued);
            }
        }
    }

    pub(super) fn missing_for(&self, now: Timestamp, id: SessionId, wait: Duration) -> bool {
        self.sessions
            .get(&id)
            .and_then(|(_, link)| link.grace_since)
            .is_some_and(|since| since + wait <= now)
    }
}
