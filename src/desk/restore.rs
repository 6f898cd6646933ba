//! Restoring: the desk as it was when its last effects were written, and what a restart changes.

use std::cmp::Reverse;

use super::agent::Load;
use super::{
    Agent, Case, Counters, Desk, Effects, Interaction, Offer, Policy,
    Queue, QueueSettings, RescindCause, Session, State, Timer,
};
use crate::outbound::message::Outbound;
use crate::outbound::spool::Spool;
use crate::time::Timestamp;

/// All records that the desk holds, as the store has them.
#[derive(Debug, Default)]
pub struct Records {
    /// The counters; missing in a new store.
    pub counters: Option<Counters>,
    /// All agents.
    pub agents: Vec<Agent>,
    /// All open sessions.
    pub sessions: Vec<Session>,
    /// All remembered offers.
    pub offers: Vec<Offer>,
    /// All interactions that are not closed.
    pub interactions: Vec<Interaction>,
    /// The cases of these interactions.
    pub cases: Vec<Case>,
    /// All outbound messages that are not settled.
    pub outbound: Vec<Outbound>,
}

impl Desk {
    /// The inverse of writing changes, and what follows from having been away: live offers are
    /// taken back, sessions get their whole grace from now on, deadlines that passed are due.
    #[must_use]
    pub fn restore(
        policy: Policy,
        queues: Vec<QueueSettings>,
        records: Records,
        now: Timestamp,
    ) -> (Self, Effects) {
        let mut desk = Self::new(policy);
        desk.counters = records.counters.unwrap_or_default();
        for agent in records.agents {
            desk.loads.insert(agent.id.clone(), Load::default());
            if agent.cooldown_until > now {
                desk.timers
                    .set(agent.cooldown_until, Timer::Cooldown(agent.id.clone()));
            }
            desk.agents.insert(agent.id.clone(), agent);
        }
        for case in records.cases {
            desk.cases.insert(case.number, case);
        }
        for settings in queues {
            desk.queues.insert(settings.id.clone(), Queue::new(settings));
        }
        for interaction in records.interactions {
            desk.restore_interaction(now, interaction);
        }
        for (id, agent) in &desk.agents {
            let load = desk.loads.get(id).cloned().unwrap_or_default();
            desk.shown.insert(id.clone(), agent.shown(&load));
        }
        for session in records.sessions {
            desk.admit(now, session);
        }
        for offer in records.offers {
            let id = offer.id;
            let live = offer.state.is_live();
            let agent = offer.agent.clone();
            let forgotten = offer.resolved.unwrap_or(now).min(now) + desk.policy.offer_memory;
            desk.offers.insert(id, offer);
            if live {
                if let Some(load) = desk.loads.get_mut(&agent) {
                    load.offers.insert(id);
                }
                desk.rescind(now, id, RescindCause::Restart);
            } else {
                desk.timers.set(forgotten, Timer::OfferForgotten(id));
            }
        }
        let (spool, changes) = Spool::restore(records.outbound, now, desk.policy.submissions);
        desk.spool = spool;
        for change in changes {
            desk.delivery_changed(now, change);
        }
        let effects = desk.tick(now);
        (desk, effects)
    }

    fn restore_interaction(&mut self, now: Timestamp, mut interaction: Interaction) {
        let id = interaction.id;
        // Mail is never dropped because a queue was deleted from the configuration: the queue
        // comes back with default rules for as long as something is in it.
        let queue = (self.queues)
            .entry(interaction.queue.clone())
            .or_insert_with(|| Queue::new(QueueSettings::new(interaction.queue.clone())));
        match &mut interaction.state {
            State::Queued => {
                let place = (Reverse(interaction.priority), interaction.arrived, id);
                queue.waiting.insert(place);
            }
            State::Active { agent, .. } => {
                if let Some(load) = self.loads.get_mut(agent) {
                    load.active.insert(id);
                }
            }
            State::WrappingUp {
                agent, deadline, ..
            } => {
                if let Some(load) = self.loads.get_mut(agent) {
                    load.wrapping.insert(id);
                }
                if let Some(deadline) = deadline {
                    // A clock that was set back must not hold the agent for years.
                    let longest = queue.settings.post_processing.unwrap_or_default();
                    *deadline = (*deadline).min(now + longest);
                    self.timers.set(*deadline, Timer::WrapUp(id));
                }
            }
            State::Offered { .. } | State::Closed { .. } => {}
        }
        self.interactions.insert(id, interaction);
    }
}
