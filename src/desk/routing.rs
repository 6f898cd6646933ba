//! Routing: who is offered what next.
//!
//! First come, first served, and the agent who has been idle longest. Strictly work-conserving:
//! after every command, no eligible pair is left waiting.

use std::cmp::Reverse;

use super::queue::Place;
use super::{Desk, Fact, Offer, OfferState, State, Timer};
use crate::id::{AgentId, InteractionId, OfferId, QueueId};
use crate::time::Timestamp;

/// An interaction and the agent to whom it goes next.
struct Pair {
    interaction: InteractionId,
    agent: AgentId,
}

impl Desk {
    /// Makes offers until no eligible pair is left.
    pub(super) fn route(&mut self, now: Timestamp) {
        while let Some(pair) = self.next_pair() {
            self.make_offer(now, pair);
        }
    }

    /// The pair that goes first: over all queues the interaction that stands first in line and has
    /// somebody to go to, with the agent who has been idle longest.
    fn next_pair(&self) -> Option<Pair> {
        self.idle
            .iter()
            .filter(|(_, agents)| !agents.is_empty())
            .filter_map(|(queue, _)| self.first_in(queue))
            .min_by_key(|(place, _)| *place)
            .map(|((_, _, interaction), agent)| Pair { interaction, agent })
    }

    /// The first in line of one queue that some idle agent has not declined.
    fn first_in(&self, queue: &QueueId) -> Option<(Place, AgentId)> {
        let idle = self.idle.get(queue)?;
        self.queues.get(queue)?.waiting.iter().find_map(|place| {
            let declined = &self.interactions.get(&place.2)?.declined;
            let (_, agent) = idle.iter().find(|(_, agent)| !declined.contains(agent))?;
            Some((*place, agent.clone()))
        })
    }

    fn make_offer(&mut self, now: Timestamp, pair: Pair) {
        let sequence = self.next_sequence();
        let id = OfferId::new(now, sequence);
        let Some(interaction) = self.interactions.get_mut(&pair.interaction) else {
            return;
        };
        let Some(queue) = self.queues.get_mut(&interaction.queue) else {
            return;
        };
        queue.waiting.remove(&(
            Reverse(interaction.priority),
            interaction.arrived,
            interaction.id,
        ));
        let deadline = now + queue.settings.offer_timeout;
        interaction.enter(
            State::Offered {
                offer: id,
                agent: pair.agent.clone(),
            },
            now,
        );
        interaction.version += 1;
        interaction.offer_count += 1;
        let offer = Offer {
            id,
            interaction: interaction.id,
            queue: interaction.queue.clone(),
            agent: pair.agent.clone(),
            state: OfferState::Pending,
            created: now,
            deadline,
            resolved: None,
        };
        let fact = Fact::OfferCreated {
            offer: offer.clone(),
            interaction: Box::new(interaction.clone()),
        };
        self.draft.interactions.insert(pair.interaction);
        self.draft.offers.insert(id);
        self.offers.insert(id, offer);
        self.timers
            .set(now + self.policy.offer_receipt, Timer::OfferReceipt(id));
        self.timers.set(
            deadline + self.policy.late_allowance,
            Timer::OfferExpiry(id),
        );
        if let Some(load) = self.loads.get_mut(&pair.agent) {
            load.offers.insert(id);
        }
        self.refresh_idle(now, &pair.agent);
        self.tell(now, Some(&pair.agent), fact);
    }

    /// An interaction that somebody declined came back into the line. Whoever has not declined it
    /// may have it at once; the others when it has stood there for a while.
    pub(super) fn rest(&mut self, now: Timestamp, id: InteractionId) {
        let until = now + self.policy.declined_pause;
        self.resting.insert(id, until);
        self.timers.set(until, Timer::Declined(id));
    }

    /// The pause of a declined interaction is over, unless it came back again meanwhile: it goes
    /// round again.
    pub(super) fn declined_due(&mut self, now: Timestamp, id: InteractionId) {
        if self.resting.get(&id).is_none_or(|until| *until > now) {
            return;
        }
        self.resting.remove(&id);
        let waits = (self.interactions.get(&id))
            .is_some_and(|found| found.state == State::Queued && !found.declined.is_empty());
        if waits {
            self.change(id, now, |interaction| interaction.declined.clear());
        }
    }

    /// Puts the agent into the idle lists or takes them out, as is right now.
    pub(super) fn refresh_idle(&mut self, now: Timestamp, id: &AgentId) {
        if let Some((since, queues)) = self.idle_entry.remove(id) {
            let entry = (since, id.clone());
            for queue in queues {
                if let Some(idle) = self.idle.get_mut(&queue) {
                    idle.remove(&entry);
                }
            }
        }
        let Some((agent, load)) = self.agents.get(id).zip(self.loads.get(id)) else {
            return;
        };
        let listens = (self.session_of.get(id))
            .and_then(|session| self.sessions.get(session))
            .is_some_and(|(_, link)| link.listens(now));
        if !listens || !agent.offerable(load, now) {
            return;
        }
        let queues: Vec<QueueId> = agent.queues.iter().cloned().collect();
        for queue in &queues {
            self.idle
                .entry(queue.clone())
                .or_default()
                .insert((agent.idle_since, id.clone()));
        }
        self.idle_entry
            .insert(id.clone(), (agent.idle_since, queues));
    }
}
