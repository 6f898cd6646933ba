//! Seats: where idle agents stand among others, so that nobody has to look for them.

use super::super::Desk;
use super::super::skill::Needs;
use super::line::ANYBODY;
use super::strategy::Rank;
use crate::id::{AgentId, QueueId};
use crate::time::Timestamp;

/// Where an agent who can be offered something stands: in which queues, with which classes of
/// them, and where there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::desk) struct Seat {
    at: Vec<(QueueId, usize, Rank)>,
}

impl Seat {
    /// The places by queue, together.
    pub(super) fn by_queue(&self) -> impl Iterator<Item = &[(QueueId, usize, Rank)]> {
        self.at.chunk_by(|(queue, ..), (next, ..)| queue == next)
    }

    /// The places in one queue.
    pub(super) fn of_queue<'a>(&'a self, queue: &QueueId) -> &'a [(QueueId, usize, Rank)] {
        let mut all = self.by_queue();
        all.find(|places| places.first().is_some_and(|(id, ..)| id == queue))
            .unwrap_or_default()
    }
}

impl Desk {
    /// Gives the agent a seat or takes it away, as is right now.
    pub(in crate::desk) fn refresh_idle(&mut self, now: Timestamp, id: &AgentId) {
        self.stand_by(now, id);
        let seat = self.seat_of(now, id);
        if self.seats.get(id) == seat.as_ref() {
            return;
        }
        for (queue, class, rank) in self.seats.remove(id).unwrap_or_default().at {
            let class = (self.queues.get_mut(&queue)).and_then(|queue| queue.line.class_mut(class));
            class.map(|class| class.idle.remove(&(rank, id.clone())));
        }
        let Some(seat) = seat else {
            return;
        };
        for (queue, class, rank) in &seat.at {
            let class = (self.queues.get_mut(queue)).and_then(|queue| queue.line.class_mut(*class));
            class.map(|class| class.idle.insert((*rank, id.clone())));
        }
        self.seats.insert(id.clone(), seat);
        self.draft.changed.agent(id);
    }

    /// Where an agent is to stand; `None` if nothing can be offered to them.
    fn seat_of(&self, now: Timestamp, id: &AgentId) -> Option<Seat> {
        let agent = self.agents.get(id)?;
        let load = self.loads.get(id)?;
        if !self.hindered(now, agent).is_empty() {
            return None;
        }
        let mut seat = Seat::default();
        for (id, queue) in (agent.queues.iter()).filter_map(|id| self.queues.get_key_value(id)) {
            for (number, class) in queue.line.classes() {
                if class.needs.met_by(&agent.skills) {
                    let strategy = queue.settings.strategy;
                    let rank = strategy.rank(agent, load, id, &class.needs);
                    seat.at.push((id.clone(), *number, rank));
                }
            }
        }
        Some(seat)
    }

    /// Makes a class in a queue, with the idle agents who can do what it asks for.
    pub(super) fn found_class(&mut self, id: &QueueId, needs: Needs) -> usize {
        let Some(queue) = self.queues.get_mut(id) else {
            return ANYBODY;
        };
        let number = queue.line.found(needs);
        let all = (queue.line.class(ANYBODY)).map_or_else(Vec::new, |class| {
            class.idle.iter().map(|(_, agent)| agent.clone()).collect()
        });
        let Some(class) = queue.line.class_mut(number) else {
            return ANYBODY;
        };
        for id in all {
            let Some((agent, load)) = self.agents.get(&id).zip(self.loads.get(&id)) else {
                continue;
            };
            if !class.needs.met_by(&agent.skills) {
                continue;
            }
            let (name, strategy) = (&queue.settings.id, queue.settings.strategy);
            let rank = strategy.rank(agent, load, name, &class.needs);
            class.idle.insert((rank, id.clone()));
            if let Some(seat) = self.seats.get_mut(&id) {
                let behind = seat
                    .at
                    .partition_point(|(queue, at, _)| (queue, *at) < (name, number));
                seat.at.insert(behind, (name.clone(), number, rank));
            }
        }
        number
    }
}
