//! What those outside were told, and what they know from that: agents' clients, supervisors, and
//! whoever keeps count of who has what.

use std::collections::{BTreeMap, BTreeSet};

use postroom::desk::{AgentState, AssignCause, Change, Concern, Effects, Event, Fact, Interaction};
use postroom::id::{AgentId, InteractionId, MessageId, OfferId};
use postroom::outbound::message::DeliveryState;

use super::kept::Kept;

/// What an agent's client knows from the events it was told, and from nothing else.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Client {
    pub(super) sequence: u64,
    pub(super) shown: Option<AgentState>,
    pub(super) offers: BTreeSet<OfferId>,
    pub(super) holds: BTreeMap<InteractionId, Interaction>,
}

impl Client {
    fn hear(&mut self, sequence: u64, fact: &Fact) {
        law!(41, self.sequence + 1 == sequence, "a gap in an agent's log");
        self.sequence = sequence;
        match fact {
            Fact::PresenceChanged { presence, previous } => {
                let before = self.shown.replace(presence.state);
                let known = before.unwrap_or(AgentState::SignedOut) == *previous;
                law!(42, known, "{} was not {previous:?} before", presence.agent);
            }
            Fact::OfferCreated { offer, .. } => {
                law!(
                    42,
                    self.offers.insert(offer.id),
                    "an offer was created twice"
                );
            }
            Fact::OfferResolved { offer, .. } => {
                law!(
                    42,
                    self.offers.remove(&offer.id),
                    "{} ended twice",
                    offer.id
                );
            }
            Fact::InteractionAssigned { interaction, .. }
            | Fact::InteractionUpdated(interaction)
            | Fact::MessageReceived { interaction, .. }
            | Fact::WrapUpStarted(interaction) => {
                self.holds.insert(interaction.id, (**interaction).clone());
            }
            Fact::InteractionUnassigned { interaction, .. } => {
                let known = self.holds.remove(&interaction.id).is_some();
                law!(42, known, "{} was not known", interaction.id);
            }
            Fact::WrapUpEnded { interaction, .. } | Fact::InteractionClosed(interaction) => {
                // Of a transfer without post-processing only the end is told.
                let known = self.holds.remove(&interaction.id).is_some();
                let half = interaction.follows.is_some();
                law!(42, known || half, "{} was not known", interaction.id);
            }
            Fact::InteractionQueued(_)
            | Fact::InteractionHeld(_)
            | Fact::InteractionFiled(_)
            | Fact::DeliveryUpdated(_)
            | Fact::AgentUpdated(_)
            | Fact::QueueChanged { .. }
            | Fact::PresenceForced { .. }
            | Fact::NoticePosted { .. }
            | Fact::AlertRaised(_)
            | Fact::AlertCleared(_)
            | Fact::InteractionOverflowed { .. }
            | Fact::TargetNear { .. }
            | Fact::NoteAdded { .. }
            | Fact::CasesMerged { .. }
            | Fact::MembershipChanged { .. } => {}
        }
    }
}

/// How often a client that was away looks into its log: each so many writes.
const AWAY: u64 = 7;

/// What was told so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Told {
    /// The alerts that supervisors were told of, without those of what is over already.
    pub(super) alerts: BTreeSet<Concern>,
    pub(super) clients: BTreeMap<AgentId, Client>,
    /// The same, for clients whose stream breaks all the time: they read what they missed.
    away: BTreeMap<AgentId, Client>,
    /// Whose each interaction is, by the events that moved it.
    pub(super) holders: BTreeMap<InteractionId, AgentId>,
    /// Offers that were made and have not ended, with what they are about.
    pub(super) live: BTreeMap<OfferId, InteractionId>,
    /// What the submitter is busy with.
    pub(super) flying: BTreeSet<MessageId>,
    revision: u64,
    writes: u64,
}

impl Told {
    /// Takes in what is released after a write.
    pub(super) fn hear(&mut self, effects: &Effects, kept: &Kept, log_entries: u64) {
        for event in &effects.events {
            self.revision += 1;
            let dense = event.revision == self.revision;
            law!(41, dense, "a gap in the revisions: {}", event.revision);
            self.count(event);
            self.alarm(&event.fact);
            if let Some((agent, sequence)) = &event.agent {
                let client = self.clients.entry(agent.clone()).or_default();
                client.hear(*sequence, &event.fact);
            }
        }
        for change in &effects.changes {
            if let Change::Agent(agent) = change
                && agent.removed.is_some()
            {
                // Whoever bears the name next begins above all old numbers.
                let sequence = agent.sequence + log_entries + 1;
                let next = Client {
                    sequence,
                    ..Client::default()
                };
                self.away.insert(agent.id.clone(), next.clone());
                let left = self.clients.insert(agent.id.clone(), next);
                let left = left.unwrap_or_default();
                let gone = left.holds.is_empty() && left.offers.is_empty();
                law!(45, gone, "{} left with something", agent.id);
            }
        }
        for change in &effects.changes {
            if let Change::Outbound(outbound) = change
                && !matches!(
                    outbound.state,
                    DeliveryState::Ready | DeliveryState::HandedOver
                )
            {
                let tried = self.flying.remove(&outbound.id);
                let cancelled = outbound.state == DeliveryState::Cancelled;
                law!(36, !tried || !cancelled, "{} was on its way", outbound.id);
            }
        }
        for begun in &effects.submissions {
            let state = kept.outbound[&begun.id].state;
            let cancelled = state == DeliveryState::Cancelled;
            law!(36, !cancelled, "{} was taken back, and goes out", begun.id);
        }
        let begun = effects.submissions.iter().map(|outbound| outbound.id);
        self.flying.extend(begun);
        self.writes += 1;
        if self.writes.is_multiple_of(AWAY) {
            self.catch_up(kept);
        }
    }

    /// Clients that were away read what they missed, and know the same as those that were there.
    fn catch_up(&mut self, kept: &Kept) {
        for (agent, here) in &self.clients {
            let away = self.away.entry(agent.clone()).or_default();
            let missed = away.sequence + 1..;
            let log = kept.logs.get(agent).map(|log| log.range(missed));
            for (number, event) in log.into_iter().flatten() {
                away.hear(*number, &event.fact);
            }
            law!(42, away == here, "{agent} reads otherwise than was told");
        }
    }

    /// Whoever was at work for the process that ended is gone.
    pub(super) fn begin_anew(&mut self) {
        self.flying.clear();
    }

    /// After a restart supervisors begin with an overview.
    pub(super) fn look_again(&mut self, alerts: BTreeSet<Concern>) {
        self.alerts = alerts;
    }

    fn alarm(&mut self, fact: &Fact) {
        match fact {
            Fact::AlertRaised(alert) | Fact::AlertCleared(alert) if alert.concern.is_over() => {}
            Fact::AlertRaised(alert) => {
                // After a restart it is told again that nobody knows of a message.
                self.alerts.insert(alert.concern.clone());
            }
            Fact::AlertCleared(alert) => {
                law!(42, self.alerts.remove(&alert.concern), "nobody was alarmed");
            }
            _ => {}
        }
    }

    /// Follows each interaction and offer through the events that move it.
    fn count(&mut self, event: &Event) {
        match &event.fact {
            Fact::OfferCreated { offer, .. } => {
                let twice = self.live.values().any(|about| *about == offer.interaction);
                law!(4, !twice, "{} has two offers", offer.interaction);
                let known = self.live.insert(offer.id, offer.interaction);
                law!(10, known.is_none(), "{} began twice", offer.id);
            }
            Fact::OfferResolved { offer, .. } => {
                let live = self.live.remove(&offer.id).is_some();
                law!(10, live, "{} ended twice", offer.id);
                law!(10, !offer.state.is_live(), "{} did not end", offer.id);
            }
            Fact::InteractionAssigned { interaction, cause } => {
                let to = interaction.state.holder().cloned().unwrap();
                let from = self.holders.insert(interaction.id, to.clone());
                // What was parked, or being wrapped up, was its agent's all the time.
                let kept = matches!(cause, AssignCause::Resumed | AssignCause::Returned);
                let from = from.filter(|from| !(kept && *from == to));
                law!(8, from.is_none(), "{} has two agents", interaction.id);
            }
            Fact::WrapUpStarted(found) => {
                let by = found.state.holder().cloned().unwrap();
                let from = self.holders.insert(found.id, by.clone());
                let kept = from
                    .as_ref()
                    .map_or(found.follows.is_some(), |from| *from == by);
                law!(8, kept, "{} is wrapped up by a stranger", found.id);
            }
            Fact::InteractionUnassigned { interaction, .. } => {
                let from = self.holders.remove(&interaction.id);
                let told = event.agent.as_ref().map(|(agent, _)| agent);
                law!(
                    8,
                    from.as_ref() == told,
                    "{} was not theirs",
                    interaction.id
                );
            }
            Fact::WrapUpEnded { interaction, .. } | Fact::InteractionClosed(interaction) => {
                let from = self.holders.remove(&interaction.id);
                let told = event.agent.as_ref().map(|(agent, _)| agent);
                let half = from.is_none() && interaction.follows.is_some();
                let theirs = half || from.as_ref() == told;
                law!(8, theirs, "{} was not theirs", interaction.id);
            }
            Fact::InteractionQueued(found)
            | Fact::InteractionHeld(found)
            | Fact::InteractionFiled(found) => {
                let free = !self.holders.contains_key(&found.id);
                law!(8, free, "{} waits and is in somebody's hands", found.id);
            }
            _ => {}
        }
    }
}
