//! Routing: who is offered what next.
//!
//! Strictly work-conserving: after every command, no eligible pair is left waiting. The line of a queue
//! has an order that is whole: the highest priority first, as far as it has grown; then who came first.

mod choice;
mod line;
mod seats;
mod standing;
mod strategy;
mod turns;

use super::{Desk, Fact, Offer, OfferState, State, Timer};
use crate::id::{InteractionId, OfferId, QueueId};
use crate::time::Timestamp;

pub(super) use choice::Changed;
use choice::Pair;
pub use line::Place;
pub(super) use line::{Line, Standing};
pub(super) use seats::Seat;
pub use standing::{Ageing, Preferred};
pub use strategy::Strategy;
pub use turns::{Turns, WEIGHT_DEFAULT, WEIGHT_MAX};

impl Desk {
    /// Puts an interaction that has entered [`State::Queued`] into the line of its queue. With
    /// [`Self::take_from_line`] the one door: a verb that changes what its place depends on takes
    /// it out first.
    pub(super) fn line_up(&mut self, now: Timestamp, id: InteractionId) {
        self.stand(now, id);
        self.watch_overflow(now, id);
        self.watch_service(now, id);
        let declined = self.interactions.get(&id).map(|found| &found.declined);
        if declined.is_some_and(|declined| !declined.is_empty()) {
            self.rest(now, id);
        }
    }

    /// Takes an interaction out of the line of its queue.
    pub(super) fn take_from_line(&mut self, id: InteractionId) {
        self.resting.remove(&id);
        self.unstand(id);
    }

    /// Something about the whole queue has changed, such as that it was opened: whoever waits in
    /// it may find somebody now.
    pub(super) fn reconsider(&mut self, queue: &QueueId) {
        self.draft.changed.queue(queue);
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

    fn make_offer(&mut self, now: Timestamp, pair: Pair) {
        let sequence = self.next_sequence();
        let id = OfferId::new(now, sequence);
        self.take_turn(&pair, sequence);
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
        self.draft.changed.agent(&pair.agent);
        self.tell(now, Some(&pair.agent), fact);
    }

    /// Notes with the agent from which queue they are offered something, as far as that matters.
    fn take_turn(&mut self, pair: &Pair, sequence: u64) {
        let Some(found) = self.interactions.get(&pair.interaction) else {
            return;
        };
        let earliest = (self.agents.get(&pair.agent))
            .filter(|agent| agent.queues.len() > 1)
            .and_then(|agent| {
                let due = self
                    .firsts(&agent.id)
                    .map(|(queue, _)| agent.turns.due(queue));
                due.min()
            });
        let (queue, rules) = (&found.queue, self.queues.get(&found.queue));
        let Some(agent) = self.agents.get_mut(&pair.agent) else {
            return;
        };
        if let Some(earliest) = earliest {
            let weight = agent.weight(queue);
            agent.turns.take(queue, weight, earliest);
        }
        if rules.is_some_and(|queue| queue.settings.strategy == Strategy::RoundRobin) {
            agent.rounds.insert(queue.clone(), sequence);
        }
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
            self.change(id, now, |interaction| {
                interaction.declined.clear();
                interaction.rounds_declined = interaction.rounds_declined.saturating_add(1);
            });
            self.line_up(now, id);
        }
    }
}
