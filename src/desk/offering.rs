//! Offers at work: shown, accepted, rejected, missed, taken back.

use super::house::{MISSED, REJECTED};
use super::{
    AssignCause, CODE_BYTES_MAX, DeclineAction, Desk, Fact, OfferClock, OfferState, Pending,
    PresenceCause, ReasonKind, Refusal, Requested, RescindCause, State, Timer, bounded,
};
use crate::id::{AgentId, InteractionId, OfferId, SessionId};
use crate::time::Timestamp;

impl Desk {
    /// The live offers of an agent.
    pub(super) fn live_offers(&self, agent: &AgentId) -> Vec<OfferId> {
        (self.loads.get(agent)).map_or_else(Vec::new, |load| load.offers.iter().copied().collect())
    }

    /// Who asks, if the offer was made to them.
    fn offer_target(&self, session: SessionId, id: OfferId) -> Result<AgentId, Refusal> {
        let agent = self.fence(session)?;
        let offer = self.offers.get(&id).ok_or(Refusal::OfferUnknown(id))?;
        if offer.agent != agent {
            return Err(Refusal::NotOfferTarget(id));
        }
        Ok(agent)
    }

    /// As [`Self::offer_target`], if the offer can still be answered.
    fn answerable(
        &self,
        now: Timestamp,
        session: SessionId,
        id: OfferId,
    ) -> Result<AgentId, Refusal> {
        let agent = self.offer_target(session, id)?;
        let offer = self.offers.get(&id).ok_or(Refusal::OfferUnknown(id))?;
        if !offer.state.is_live() {
            return Err(Refusal::OfferOver(id, offer.state.clone()));
        }
        if now > offer.deadline + self.policy.late_allowance {
            return Err(Refusal::OfferOver(id, OfferState::Missed));
        }
        Ok(agent)
    }

    pub(super) fn acknowledge_offer(
        &mut self,
        now: Timestamp,
        session: SessionId,
        id: OfferId,
    ) -> Result<Pending, Refusal> {
        let agent = self.answerable(now, session, id)?;
        if let Some(offer) = self.offers.get_mut(&id)
            && offer.state == OfferState::Pending
        {
            offer.state = OfferState::Shown;
            self.draft.offers.insert(id);
            let clock = (self.queues.get(&offer.queue)).map(|queue| &queue.settings);
            if let Some(queue) = clock.filter(|queue| queue.offer_clock == OfferClock::Shown) {
                offer.deadline = now + queue.offer_timeout;
                let over = offer.deadline + self.policy.late_allowance;
                self.timers.set(over, Timer::OfferExpiry(id));
            }
        }
        self.heard(now, session);
        Ok(Pending::Offer(id, agent))
    }

    pub(super) fn accept_offer(
        &mut self,
        now: Timestamp,
        session: SessionId,
        id: OfferId,
    ) -> Result<Pending, Refusal> {
        let target = self.offer_target(session, id)?;
        if let Some(offer) = self.offers.get(&id)
            && offer.state == OfferState::Accepted
        {
            // The same click again, perhaps because the first answer was lost.
            let holds = (self.interactions.get(&offer.interaction))
                .is_some_and(|found| found.state.holder() == Some(&target));
            if holds {
                return Ok(Pending::Interaction(offer.interaction, target, None));
            }
        }
        let agent = self.answerable(now, session, id)?;
        let Some(interaction) = self.resolve(now, id, OfferState::Accepted) else {
            return Err(Refusal::OfferUnknown(id));
        };
        if let Some(agent) = self.agents.get_mut(&agent) {
            agent.misses = 0;
            agent.rejects = 0;
            self.draft.agents.insert(agent.id.clone());
        }
        self.assign(now, &agent, interaction, AssignCause::Accepted);
        self.heard(now, session);
        self.touch(&agent, PresenceCause::Accept);
        Ok(Pending::Interaction(interaction, agent, None))
    }

    pub(super) fn reject_offer(
        &mut self,
        now: Timestamp,
        session: SessionId,
        id: OfferId,
        reason: String,
        next: Option<Requested>,
    ) -> Result<Pending, Refusal> {
        bounded("reason_code", &reason, CODE_BYTES_MAX)?;
        let house = &self.policy.house;
        house.admit("reason_code", ReasonKind::Reject, &reason)?;
        match &next {
            Some(Requested::SignedOut) => {
                return Err(Refusal::StateTransition(
                    "close the session to sign the agent out",
                ));
            }
            // One code may say why for both.
            Some(Requested::WorkOffline(code)) if *code != reason => {
                self.offline_code("reason_code", code)?;
            }
            Some(Requested::WorkOffline(_) | Requested::Available) | None => {}
        }
        let agent = self.answerable(now, session, id)?;
        let queue = (self.offers.get(&id))
            .and_then(|offer| self.queues.get(&offer.queue))
            .map(|queue| queue.settings.clone());
        if let Some(queue) = queue.as_ref().filter(|queue| !queue.may_reject) {
            return Err(Refusal::RejectingNotAllowed(queue.id.clone()));
        }
        self.decline(now, id, OfferState::Rejected(reason));
        let rejects = match self.agents.get_mut(&agent) {
            Some(agent) => {
                agent.rejects = agent.rejects.saturating_add(1);
                self.draft.agents.insert(agent.id.clone());
                agent.rejects
            }
            None => 0,
        };
        let offline = match (next, &queue) {
            (Some(Requested::WorkOffline(code)), _) => Some(code),
            (None, Some(queue))
                if queue.rejected_action == DeclineAction::WorkOffline
                    && rejects >= queue.rejected_limit =>
            {
                Some(REJECTED.to_owned())
            }
            _ => None,
        };
        match offline {
            Some(code) => self.send_offline(now, &agent, code),
            None => {
                let cooldown = queue.map(|queue| queue.cooldown_after(rejects));
                self.pause(now, &agent, cooldown.unwrap_or_default());
            }
        }
        self.heard(now, session);
        self.touch(&agent, PresenceCause::OfferRejected);
        Ok(Pending::Offer(id, agent))
    }

    /// The client should have confirmed the display by now. If it has not, somebody is connected
    /// and nobody listens: the offer goes elsewhere, and the session is in grace.
    pub(super) fn receipt_due(&mut self, now: Timestamp, id: OfferId) {
        let Some(offer) = self.offers.get(&id) else {
            return;
        };
        if offer.state != OfferState::Pending {
            return;
        }
        let agent = offer.agent.clone();
        self.put_back(now, id, OfferState::Undelivered);
        if let Some(session) = self.session_of.get(&agent).copied() {
            if let Some((_, link)) = self.sessions.get_mut(&session) {
                link.deaf = true;
            }
            self.enter_grace(now, session, RescindCause::SessionLost);
        }
    }

    /// The agent should have answered by now.
    pub(super) fn expiry_due(&mut self, now: Timestamp, id: OfferId) {
        let Some(offer) = self.offers.get(&id) else {
            return;
        };
        if !offer.state.is_live() || now < offer.deadline + self.policy.late_allowance {
            return;
        }
        if offer.state == OfferState::Pending {
            // What was never on the screen is not held against anybody, however short the time
            // to answer is.
            self.receipt_due(now, id);
            return;
        }
        let agent = offer.agent.clone();
        let Some(queue) = self.queues.get(&offer.queue) else {
            return;
        };
        let queue = queue.settings.clone();
        self.decline(now, id, OfferState::Missed);
        let misses = match self.agents.get_mut(&agent) {
            Some(agent) => {
                agent.misses = agent.misses.saturating_add(1);
                self.draft.agents.insert(agent.id.clone());
                agent.misses
            }
            None => 0,
        };
        if misses >= queue.missed_limit && queue.missed_action == DeclineAction::WorkOffline {
            self.send_offline(now, &agent, MISSED.to_owned());
        } else {
            self.pause(now, &agent, queue.cooldown_after(misses));
        }
        self.touch(&agent, PresenceCause::OfferMissed);
    }

    /// An agent who declined is offline from now on, and begins anew when they come back.
    fn send_offline(&mut self, now: Timestamp, id: &AgentId, code: String) {
        self.rescind_all(now, id, RescindCause::StateChanged);
        if let Some(agent) = self.agents.get_mut(id) {
            agent.requested = Requested::WorkOffline(code);
            agent.misses = 0;
            agent.rejects = 0;
            self.draft.agents.insert(id.clone());
        }
    }

    /// Puts the interaction back into line, and notes that this agent does not want it now.
    fn decline(&mut self, now: Timestamp, id: OfferId, state: OfferState) {
        if let Some(offer) = self.offers.get(&id) {
            let (interaction, agent) = (offer.interaction, offer.agent.clone());
            if let Some(queue) = self.queues.get(&offer.queue) {
                let (by, missed) = ((&agent, &self.policy.zone), state == OfferState::Missed);
                (self.draft.figures).declined(now, by, &queue.settings, missed);
            }
            self.change(interaction, now, |found| {
                found.declined.insert(agent);
            });
        }
        self.put_back(now, id, state);
    }

    /// Takes an offer back. Never held against the agent.
    pub(super) fn rescind(&mut self, now: Timestamp, id: OfferId, cause: RescindCause) {
        self.put_back(now, id, OfferState::Rescinded(cause));
    }

    /// Takes all offers of an agent back.
    pub(super) fn rescind_all(&mut self, now: Timestamp, agent: &AgentId, cause: RescindCause) {
        for offer in self.live_offers(agent) {
            self.rescind(now, offer, cause);
        }
    }

    /// Ends an offer without an owner: the interaction goes back to its old place in line.
    fn put_back(&mut self, now: Timestamp, id: OfferId, state: OfferState) {
        let Some(interaction) = self.resolve(now, id, state) else {
            return;
        };
        self.change(interaction, now, |found| found.enter(State::Queued, now));
        self.line_up(now, interaction);
        if let Some(found) = self.interactions.get(&interaction) {
            let fact = Fact::InteractionQueued(Box::new(found.clone()));
            self.tell(now, None, fact);
        }
    }

    /// Moves an offer into a final state and answers what it was about. The caller moves the
    /// interaction in the same breath, so that a live offer and an offered interaction are
    /// always a pair.
    fn resolve(&mut self, now: Timestamp, id: OfferId, state: OfferState) -> Option<InteractionId> {
        let offer = self
            .offers
            .get_mut(&id)
            .filter(|offer| offer.state.is_live())?;
        offer.state = state;
        offer.resolved = Some(now);
        let offer = offer.clone();
        self.draft.offers.insert(id);
        self.timers
            .set(now + self.policy.offer_memory, Timer::OfferForgotten(id));
        if let Some(load) = self.loads.get_mut(&offer.agent) {
            load.offers.remove(&id);
        }
        self.touch(&offer.agent, PresenceCause::AgentRequest);
        let interaction = self.interactions.get(&offer.interaction)?.clone();
        let agent = offer.agent.clone();
        let about = offer.interaction;
        let fact = Fact::OfferResolved {
            offer,
            interaction: Box::new(interaction),
        };
        self.tell(now, Some(&agent), fact);
        Some(about)
    }

    /// Forgets an offer whose end nobody will ask for any more.
    pub(super) fn forget_offer(&mut self, id: OfferId) {
        if self
            .offers
            .get(&id)
            .is_some_and(|offer| !offer.state.is_live())
        {
            self.offers.remove(&id);
            self.draft.changes.push(super::Change::OfferForgotten(id));
        }
    }
}
