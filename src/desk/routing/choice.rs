//! The choice: which interaction goes to which agent next.
//!
//! Both sides are asked. An interaction goes to the agent whom the strategy of its queue names. An
//! agent is due the first in line of one of their queues: of the one where somebody waits with the
//! highest priority; among equals, of the one whose turn it is; then of the one where somebody has
//! waited longest.

use std::collections::BTreeSet;

use super::super::{Desk, Queue};
use super::line::{Class, Place, Spot};
use crate::id::{AgentId, InteractionId, QueueId};

/// An interaction and the agent to whom it goes next.
pub(super) struct Pair {
    pub(super) interaction: InteractionId,
    pub(super) agent: AgentId,
}

/// What a command did that can make a pair eligible. After each command none is left, so nothing
/// else needs to be looked at.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::desk) struct Changed {
    /// Those who came into a line, or may be offered to more agents than before.
    places: BTreeSet<Place>,
    /// Agents who may be offered something, or something else.
    agents: BTreeSet<AgentId>,
    /// Queues that changed as a whole.
    queues: BTreeSet<QueueId>,
}

impl Changed {
    pub(super) fn place(&mut self, place: Place) {
        self.places.insert(place);
    }

    pub(super) fn gone(&mut self, place: &Place) {
        self.places.remove(place);
    }

    pub(super) fn agent(&mut self, agent: &AgentId) {
        self.agents.insert(agent.clone());
    }

    pub(super) fn queue(&mut self, queue: &QueueId) {
        self.queues.insert(queue.clone());
    }
}

/// When more agents than this have changed at once, their queues are asked in their stead: each
/// agent asks for itself before each offer.
const AGENTS_ASKED: usize = 8;

impl Desk {
    /// The pair that goes first: over all that has changed the interaction that stands first in
    /// line and has somebody to go to. What can make no pair is no longer looked at.
    pub(super) fn next_pair(&mut self) -> Option<Pair> {
        let mut changed = std::mem::take(&mut self.draft.changed);
        if changed.agents.len() > AGENTS_ASKED {
            for agent in std::mem::take(&mut changed.agents) {
                if let Some(agent) = self.agents.get(&agent) {
                    changed.queues.extend(agent.queues.iter().cloned());
                }
            }
        }
        let mut first: Option<Place> = None;
        let mut consider = |place: Option<Place>| {
            first = first.into_iter().chain(place).min();
            place.is_some()
        };
        while let Some(place) = changed.places.first() {
            if consider(self.taker(place).map(|_| *place)) {
                break;
            }
            changed.places.pop_first();
        }
        (changed.queues).retain(|queue| consider(self.first_in(queue)));
        (changed.agents).retain(|agent| consider(self.first_for(agent)));
        self.draft.changed = changed;
        let mut place = first?;
        loop {
            // Whom the strategy names may be free for something that stands before it.
            let agent = self.taker(&place)?;
            let queue = &self.interactions.get(&place.2)?.queue;
            let before = self.first_of(&agent, queue)?;
            if before >= place {
                let interaction = place.2;
                return Some(Pair { interaction, agent });
            }
            place = before;
        }
    }

    /// A queue, if something may be offered from it now.
    fn open_queue(&self, id: &QueueId) -> Option<&Queue> {
        self.queues.get(id).filter(|queue| queue.offers_open())
    }

    /// The agent to whom an interaction that waits is to go.
    fn taker(&self, place: &Place) -> Option<AgentId> {
        let standing = (self.standings.get(&place.2)).filter(|found| found.place == *place)?;
        let found = self.interactions.get(&place.2)?;
        let queue = self.open_queue(&found.queue)?;
        match &standing.spot {
            Spot::Kept(agent) => {
                let seat = self.seats.get(agent)?;
                (!seat.of_queue(&found.queue).is_empty()).then(|| agent.clone())
            }
            Spot::Class(number) => {
                let mut idle = queue.line.class(*number)?.idle.iter();
                idle.find(|(_, agent)| !found.declined.contains(agent))
                    .map(|(_, agent)| agent.clone())
            }
        }
    }

    /// The first in line of a queue that can go to any idle agent.
    fn first_in(&self, queue: &QueueId) -> Option<Place> {
        let line = &self.open_queue(queue)?.line;
        let common = (line.classes().values()).filter_map(|class| self.first_common(class));
        let kept = (line.kept())
            .filter(|(agent, _)| {
                let seat = self.seats.get(agent);
                seat.is_some_and(|seat| !seat.of_queue(queue).is_empty())
            })
            .filter_map(|(_, kept)| kept.first().copied());
        common.chain(kept).min()
    }

    /// The first of a class that some idle agent has not declined.
    fn first_common(&self, class: &Class) -> Option<Place> {
        if class.idle.is_empty() {
            return None;
        }
        let mut waiting = class.waiting.iter();
        waiting
            .find(|place| {
                let found = self.interactions.get(&place.2);
                found.is_some_and(|found| {
                    let mut idle = class.idle.iter();
                    idle.any(|(_, agent)| !found.declined.contains(agent))
                })
            })
            .copied()
    }

    /// What an idle agent is due, over all queues that they serve.
    fn first_for(&self, id: &AgentId) -> Option<Place> {
        let turns = &self.agents.get(id)?.turns;
        let rank = |(queue, place): (&QueueId, Place)| (place.0, turns.due(queue), place);
        let (.., place) = self.firsts(id).map(rank).min()?;
        Some(place)
    }

    /// The first in line for an idle agent, for each queue that has any.
    pub(super) fn firsts<'a>(
        &'a self,
        id: &'a AgentId,
    ) -> impl Iterator<Item = (&'a QueueId, Place)> {
        let queues = self
            .seats
            .get(id)
            .into_iter()
            .flat_map(|seat| seat.by_queue());
        queues.filter_map(|places| {
            let (queue, ..) = places.first()?;
            Some((queue, self.first_of(id, queue)?))
        })
    }

    /// The first in line of a queue for an idle agent. What they declined they pass; everything
    /// else that they cannot have is elsewhere.
    fn first_of(&self, agent: &AgentId, queue: &QueueId) -> Option<Place> {
        let line = &self.open_queue(queue)?.line;
        let places = self.seats.get(agent)?.of_queue(queue);
        let declined = |place: &&Place| {
            let found = self.interactions.get(&place.2);
            found.is_some_and(|found| found.declined.contains(agent))
        };
        let kept = line.kept_for(agent).and_then(|kept| kept.first());
        (places.iter())
            .filter_map(|(_, class, _)| {
                let mut waiting = line.class(*class)?.waiting.iter();
                waiting.find(|place| !declined(place))
            })
            .chain(kept.filter(|_| !places.is_empty()))
            .min()
            .copied()
    }
}
