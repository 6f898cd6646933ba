//! Restoring: the desk as it was when its last effects were written, and what a restart changes.

use std::collections::{BTreeMap, BTreeSet};

use super::agent::Load;
use super::{
    Agent, Case, Change, Counters, Desk, Draft, Effects, Interaction, Offer, Pause, Policy, Queue,
    QueueSettings, RescindCause, Session, State, Timer, Upload,
};
use crate::id::{AgentId, InteractionId, MessageId, OfferId, QueueId, SessionId};
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
    /// The pauses of queues.
    pub pauses: Vec<Pause>,
    /// For what drafts are saved.
    pub drafts: BTreeSet<InteractionId>,
    /// The files that are being attached.
    pub uploads: Vec<Upload>,
}

impl Desk {
    /// The inverse of writing changes: the desk as it was when these were written. Sessions are
    /// in grace, as nothing is known of their clients.
    #[must_use]
    pub fn restore(
        policy: Policy,
        queues: Vec<QueueSettings>,
        records: Records,
        now: Timestamp,
    ) -> Self {
        let mut desk = Self::new(policy);
        desk.counters = records.counters.unwrap_or_default();
        for agent in records.agents {
            if agent.removed.is_some() {
                desk.former.insert(agent.id.clone(), agent);
                continue;
            }
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
            desk.queues
                .insert(settings.id.clone(), Queue::new(settings));
        }
        for session in records.sessions {
            desk.admit(now, session);
        }
        for interaction in records.interactions {
            desk.restore_interaction(now, interaction);
        }
        let mut forgotten = Vec::new();
        for pause in records.pauses {
            match desk.queues.get_mut(&pause.queue) {
                Some(queue) => queue.paused = Some(pause),
                // Should the queue ever come back, it is another one.
                None => forgotten.push(Change::QueueResumed(pause.queue)),
            }
        }
        desk.saved = records.drafts;
        for upload in records.uploads {
            let (interaction, id) = (upload.interaction, upload.id);
            if desk.interactions.contains_key(&interaction) {
                desk.uploads
                    .entry(interaction)
                    .or_default()
                    .insert(id, upload);
            }
        }
        let queues: Vec<QueueId> = desk.queues.keys().cloned().collect();
        for queue in queues {
            desk.look_at_hours(now, &queue);
        }
        for (id, agent) in &desk.agents {
            let load = desk.loads.get(id).cloned().unwrap_or_default();
            desk.shown.insert(id.clone(), agent.shown(&load));
        }
        for offer in records.offers {
            desk.restore_offer(now, offer);
        }
        desk.restored_spool = records.outbound;
        desk.restore_alerts(now);
        // Nobody is there yet to whom anything could go.
        desk.draft = Draft::default();
        desk.draft.changes = forgotten;
        desk
    }

    /// What follows from a start: times that lie ahead are mended, live offers are taken back, submissions that were cut off are
    /// unconfirmed, deadlines that passed are due.
    pub fn start(&mut self, now: Timestamp) -> Effects {
        self.mend_times(now);
        self.rescind_live(now);
        let records = std::mem::take(&mut self.restored_spool);
        let (spool, changes) = Spool::restore(records, now, self.policy.submissions);
        self.spool = spool;
        for change in changes {
            self.delivery_changed(now, change);
        }
        self.review_spool(now);
        self.tick(now)
    }

    /// What follows from a leap of the clock: nobody could answer meanwhile, so live offers are
    /// taken back without blame. All else falls due as it does at a start.
    pub fn leap(&mut self, now: Timestamp) -> Effects {
        self.rescind_live(now);
        self.tick(now)
    }

    fn rescind_live(&mut self, now: Timestamp) {
        let live: Vec<OfferId> = (self.offers.values())
            .filter(|offer| offer.state.is_live())
            .map(|offer| offer.id)
            .collect();
        for offer in live {
            self.rescind(now, offer, RescindCause::Restart);
        }
    }

    /// Takes over from a desk that got ahead of what could be written: the records are the truth,
    /// but what the running process knows of its clients and submissions is true as well.
    /// `attached` are the streams that are there, and `in_flight` the messages that the submitter
    /// is busy with.
    pub fn take_over(
        &mut self,
        now: Timestamp,
        ahead: &Self,
        attached: &BTreeMap<SessionId, u64>,
        in_flight: &BTreeSet<MessageId>,
    ) {
        for (id, (_, link)) in &mut self.sessions {
            match (ahead.sessions.get(id), attached.get(id)) {
                (Some((_, known)), _) => link.clone_from(known),
                // Its end could not be written, so it goes on.
                (None, Some(stream)) => {
                    link.stream = Some(*stream);
                    link.grace_since = None;
                }
                (None, None) => {}
            }
            self.timers.set(link.lease_until, Timer::Lease(*id));
            if let Some(since) = link.detached {
                let back = since + self.policy.reattach;
                self.timers.set(back.max(now), Timer::Reattach(*id));
            }
        }
        self.budget.clone_from(&ahead.budget);
        self.inherit_alerts(now, ahead);
        let records = std::mem::take(&mut self.restored_spool);
        self.spool = Spool::take_over(records, in_flight, now, self.policy.submissions);
        self.reconsider_all();
        let agents: Vec<AgentId> = self.agents.keys().cloned().collect();
        for agent in agents {
            self.refresh_idle(now, &agent);
        }
    }

    fn restore_offer(&mut self, now: Timestamp, offer: Offer) {
        let id = offer.id;
        if offer.state.is_live() {
            if let Some(load) = self.loads.get_mut(&offer.agent) {
                load.offers.insert(id);
            }
            self.timers
                .set(now + self.policy.offer_receipt, Timer::OfferReceipt(id));
            // A clock that was set back must not hold the offer for years.
            let longest = offer.deadline.since(offer.created);
            let deadline = offer.deadline.min(now + longest) + self.policy.late_allowance;
            self.timers.set(deadline, Timer::OfferExpiry(id));
        } else {
            let forgotten = offer.resolved.unwrap_or(now).min(now) + self.policy.offer_memory;
            self.timers.set(forgotten, Timer::OfferForgotten(id));
        }
        self.offers.insert(id, offer);
    }

    fn restore_interaction(&mut self, now: Timestamp, interaction: Interaction) {
        let id = interaction.id;
        // Mail is never dropped because a queue was deleted from the configuration: the queue
        // comes back with default rules for as long as something is in it.
        let queue = (self.queues)
            .entry(interaction.queue.clone())
            .or_insert_with(|| Queue::new(QueueSettings::new(interaction.queue.clone())));
        let waits = interaction.state == State::Queued;
        match &interaction.state {
            State::Held { .. } => queue.held += 1,
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
                    self.timers.set(*deadline, Timer::WrapUp(id));
                }
            }
            State::Drafting { agent, .. } => {
                if let Some(load) = self.loads.get_mut(agent) {
                    load.drafting.insert(id);
                }
                self.drafts.insert((interaction.case, id));
            }
            State::Parked { agent, until, .. } => {
                if let Some(load) = self.loads.get_mut(agent) {
                    load.parked.insert(id);
                }
                self.timers.set(*until, Timer::Parked(id));
            }
            State::Queued
            | State::Offered { .. }
            | State::Closed { .. }
            | State::Filed { .. }
            | State::Cancelled { .. } => {}
        }
        self.interactions.insert(id, interaction);
        if waits {
            self.line_up(now, id);
        } else {
            self.watch_service(now, id);
        }
    }
}
