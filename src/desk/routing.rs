//! Routing: who is offered what next.
//!
//! First come, first served, and the agent who has been idle longest. Strictly work-conserving:
//! after every command, no eligible pair is left waiting.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::queue::Place;
use super::{Desk, Fact, Offer, OfferState, State, Timer};
use crate::id::{AgentId, InteractionId, OfferId, QueueId};
use crate::time::Timestamp;

/// An interaction and the agent to whom it goes next.
struct Pair {
    interaction: InteractionId,
    agent: AgentId,
}

/// What a command did that can make a pair eligible. After each command none is left, so nothing
/// else needs to be looked at.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Changed {
    /// Those who came into a line, or may be offered to more agents than before.
    places: BTreeSet<Place>,
    /// Agents who may be offered something, or something else.
    agents: BTreeSet<AgentId>,
    /// Queues that changed as a whole.
    queues: BTreeSet<QueueId>,
}

/// When more agents than this have changed at once, their queues are asked in their stead: each
/// agent asks for itself before each offer.
const AGENTS_ASKED: usize = 8;

impl Desk {
    /// Puts an interaction that has entered [`State::Queued`] into the line of its queue. With
    /// [`Self::take_from_line`] the one door: a verb that changes what its place depends on takes
    /// it out first.
    pub(super) fn line_up(&mut self, now: Timestamp, id: InteractionId) {
        let Some(found) = self.interactions.get(&id) else {
            return;
        };
        let place = (Reverse(found.priority), found.arrived, found.id);
        let declined = !found.declined.is_empty();
        if let Some(queue) = self.queues.get_mut(&found.queue) {
            queue.waiting.insert(place);
            self.draft.changed.places.insert(place);
        }
        if declined {
            self.rest(now, id);
        }
    }

    /// Takes an interaction out of the line of its queue.
    pub(super) fn take_from_line(&mut self, id: InteractionId) {
        self.resting.remove(&id);
        let Some(found) = self.interactions.get(&id) else {
            return;
        };
        let place = (Reverse(found.priority), found.arrived, found.id);
        if let Some(queue) = self.queues.get_mut(&found.queue) {
            queue.waiting.remove(&place);
        }
        self.draft.changed.places.remove(&place);
    }

    /// Something about the whole queue has changed, such as that it was opened: whoever waits in
    /// it may find somebody now.
    pub(super) fn reconsider(&mut self, queue: &QueueId) {
        self.draft.changed.queues.insert(queue.clone());
    }

    /// As [`Self::reconsider`], for all queues.
    pub(super) fn reconsider_all(&mut self) {
        let queues: Vec<QueueId> = self.queues.keys().cloned().collect();
        for queue in queues {
            self.reconsider(&queue);
        }
    }

    /// Makes offers until no eligible pair is left.
    pub(super) fn route(&mut self, now: Timestamp) {
        while let Some(pair) = self.next_pair() {
            self.make_offer(now, pair);
        }
    }

    /// The pair that goes first: over all that has changed the interaction that stands first in
    /// line and has somebody to go to, with the agent who has been idle longest. What can make no
    /// pair is no longer looked at.
    fn next_pair(&mut self) -> Option<Pair> {
        let mut changed = std::mem::take(&mut self.draft.changed);
        if changed.agents.len() > AGENTS_ASKED {
            for agent in std::mem::take(&mut changed.agents) {
                let seat = self.idle_entry.get(&agent);
                (changed.queues).extend(seat.into_iter().flat_map(|(_, queues)| queues.clone()));
            }
        }
        let mut first: Option<Place> = None;
        let mut offer = |place: Option<Place>| {
            let found = place.is_some();
            first = first.into_iter().chain(place).min();
            found
        };
        while let Some(place) = changed.places.first() {
            if offer(self.taker(place).map(|_| *place)) {
                break;
            }
            changed.places.pop_first();
        }
        (changed.queues).retain(|queue| offer(self.first_in(queue)));
        (changed.agents).retain(|agent| offer(self.first_for(agent)));
        self.draft.changed = changed;
        let mut place = first?;
        loop {
            // Whom the strategy names may have been free for something that stands before it.
            let agent = self.taker(&place)?;
            let queue = &self.interactions.get(&place.2)?.queue;
            let before = self.first_of(&agent, queue)?;
            if before == place {
                let interaction = place.2;
                return Some(Pair { interaction, agent });
            }
            place = before;
        }
    }

    /// The agent to whom an interaction goes that stands in line: idle, and has not declined it.
    fn taker(&self, place: &Place) -> Option<AgentId> {
        let found = self.interactions.get(&place.2)?;
        let waits = self.queues.get(&found.queue)?.waiting.contains(place);
        let mut idle = self.idle.get(&found.queue)?.iter();
        idle.find(|(_, agent)| waits && !found.declined.contains(agent))
            .map(|(_, agent)| agent.clone())
    }

    /// The first in line of a queue that some idle agent has not declined.
    fn first_in(&self, queue: &QueueId) -> Option<Place> {
        let idle = self.idle.get(queue).filter(|idle| !idle.is_empty())?;
        let mut waiting = self.queues.get(queue)?.waiting.iter();
        waiting
            .find(|place| {
                (self.interactions.get(&place.2))
                    .is_some_and(|found| idle.iter().any(|(_, id)| !found.declined.contains(id)))
            })
            .copied()
    }

    /// What an agent would be offered, over all queues that they serve.
    fn first_for(&self, agent: &AgentId) -> Option<Place> {
        let (_, queues) = self.idle_entry.get(agent)?;
        let firsts = queues
            .iter()
            .filter_map(|queue| self.first_of(agent, queue));
        firsts.min()
    }

    /// The first in line of a queue that an agent has not declined.
    fn first_of(&self, agent: &AgentId, queue: &QueueId) -> Option<Place> {
        let mut waiting = self.queues.get(queue)?.waiting.iter();
        waiting
            .find(|place| {
                (self.interactions.get(&place.2))
                    .is_some_and(|found| !found.declined.contains(agent))
            })
            .copied()
    }

    fn make_offer(&mut self, now: Timestamp, pair: Pair) {
        let sequence = self.next_sequence();
        let id = OfferId::new(now, sequence);
        self.take_from_line(pair.interaction);
        let Some(interaction) = self.interactions.get_mut(&pair.interaction) else {
            return;
        };
        let Some(queue) = self.queues.get(&interaction.queue) else {
            return;
        };
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
        // Who has room for more is asked again.
        self.draft.changed.agents.insert(pair.agent.clone());
        self.tell(now, Some(&pair.agent), fact);
    }

    /// An interaction that somebody declined came back into the line. Whoever has not declined it
    /// may have it at once; the others when it has stood there for a while.
    fn rest(&mut self, now: Timestamp, id: InteractionId) {
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
            self.take_from_line(id);
            self.change(id, now, |interaction| interaction.declined.clear());
            self.line_up(now, id);
        }
    }

    /// Puts the agent into the idle lists or takes them out, as is right now.
    pub(super) fn refresh_idle(&mut self, now: Timestamp, id: &AgentId) {
        let before = self.idle_entry.remove(id);
        if let Some((since, queues)) = &before {
            let entry = (*since, id.clone());
            for queue in queues {
                if let Some(idle) = self.idle.get_mut(queue) {
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
        if !listens || !agent.offerable(load, &self.policy.house, now) {
            return;
        }
        let queues: Vec<QueueId> = agent.queues.iter().cloned().collect();
        for queue in &queues {
            self.idle
                .entry(queue.clone())
                .or_default()
                .insert((agent.idle_since, id.clone()));
        }
        let seat = (agent.idle_since, queues);
        if before.as_ref() != Some(&seat) {
            self.draft.changed.agents.insert(id.clone());
        }
        self.idle_entry.insert(id.clone(), seat);
    }
}
