//! Alerts: what supervisors should look at, raised when it begins and cleared when it ends.
//!
//! All but one kind follow from what the desk holds, so they are nowhere stored and come back with
//! it. That a reply was refused for good, or came back, leaves nothing open that would say so; such
//! an alert lives until somebody clears it, or the process ends.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Desk, Fact, Interaction, Pending, Refusal, Requested, State};
use crate::id::{AgentId, InteractionId, MessageId, QueueId};
use crate::outbound::message::{DeliveryState, Outbound};
use crate::time::Timestamp;

/// How often an interaction goes round in vain before supervisors hear of it.
pub const ROUNDS_ALERT: u32 = 2;

/// Alerts about refused and returned replies that are kept: older ones go first. So many at once
/// have one cause, and it is not the single reply's.
const REFUSED_MAX: usize = 1000;

/// What an alert is about. Those of queues come first, and those of replies that failed last: the
/// desk looks for them there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Concern {
    /// So many wait in the queue that it turns mail away.
    QueueFull(QueueId),
    /// Everybody who could take the interaction has declined it, twice round.
    EverybodyDeclined(InteractionId),
    /// The interaction is in the hands of an agent who is signed out.
    WorkAbandoned(InteractionId),
    /// Nobody knows whether the mail server took the message; a person decides.
    DeliveryUnconfirmed(MessageId),
    /// The mail server refused the message for good.
    DeliveryRefused(MessageId),
    /// The mail server took the message, and it came back from somewhere.
    DeliveryReturned(MessageId),
}

impl Concern {
    /// Whether it stands for something that is over, so that nothing but a word clears it.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        matches!(self, Self::DeliveryRefused(_) | Self::DeliveryReturned(_))
    }
}

impl fmt::Display for Concern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::QueueFull(queue) => write!(f, "queue-full-{queue}"),
            Self::EverybodyDeclined(id) => write!(f, "everybody-declined-{id}"),
            Self::WorkAbandoned(id) => write!(f, "work-abandoned-{id}"),
            Self::DeliveryUnconfirmed(id) => write!(f, "delivery-unconfirmed-{id}"),
            Self::DeliveryRefused(id) => write!(f, "delivery-refused-{id}"),
            Self::DeliveryReturned(id) => write!(f, "delivery-returned-{id}"),
        }
    }
}

/// Something that supervisors should look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// What it is about; there is one alert about one thing.
    pub concern: Concern,
    /// Since when.
    pub since: Timestamp,
    /// The queue in which it is.
    pub queue: Option<QueueId>,
    /// The interaction that it is about, or by which the message was written.
    pub interaction: Option<InteractionId>,
    /// The agent whose work or message it is.
    pub agent: Option<AgentId>,
}

impl Desk {
    /// The alerts that stand, by what they are about.
    pub fn alerts(&self) -> impl Iterator<Item = &Alert> {
        self.alerts.values()
    }

    /// Clears an alert that does not clear itself.
    pub(super) fn clear_alert(
        &mut self,
        now: Timestamp,
        concern: &Concern,
    ) -> Result<Pending, Refusal> {
        if !self.alerts.contains_key(concern) {
            return Err(Refusal::AlertUnknown(concern.to_string()));
        }
        if !concern.is_over() {
            return Err(Refusal::StateTransition(
                "the alert stands for as long as its cause does",
            ));
        }
        self.lower(now, concern);
        Ok(Pending::Done)
    }

    /// Raises and clears what follows from the changes of this command.
    pub(super) fn review_alerts(&mut self, now: Timestamp) {
        let mut changed: BTreeSet<InteractionId> = self.draft.interactions.clone();
        for agent in &self.draft.agents {
            if let Some(load) = self.loads.get(agent) {
                changed.extend(
                    load.active
                        .iter()
                        .chain(&load.wrapping)
                        .chain(&load.drafting),
                );
            }
        }
        let mut queues: BTreeSet<QueueId> = BTreeSet::new();
        for id in changed {
            let Some(found) = self.interactions.get(&id) else {
                continue;
            };
            queues.insert(found.queue.clone());
            for (concern, stands) in self.concerns(found) {
                self.set_alert(now, concern, stands);
            }
        }
        let closed: Vec<InteractionId> = self.draft.closed.keys().copied().collect();
        for id in closed {
            self.lower(now, &Concern::EverybodyDeclined(id));
            self.lower(now, &Concern::WorkAbandoned(id));
        }
        // Those of queues stand first, and the others can be many.
        queues.extend(self.alerts.keys().map_while(|concern| match concern {
            Concern::QueueFull(queue) => Some(queue.clone()),
            _ => None,
        }));
        for queue in queues {
            self.review_queue(now, &queue);
        }
    }

    /// Raises or clears the alert of a queue.
    pub(super) fn review_queue(&mut self, now: Timestamp, id: &QueueId) {
        let full = self.queues.get(id).is_some_and(super::Queue::is_full);
        self.set_alert(now, Concern::QueueFull(id.clone()), full);
    }

    /// Raises or clears the alerts of a message that goes out.
    pub(super) fn review_delivery(&mut self, now: Timestamp, outbound: &Outbound) {
        let id = outbound.id;
        let unconfirmed = outbound.state == DeliveryState::Unconfirmed;
        // That an acknowledgement was refused is nobody's loss.
        let refused = outbound.state == DeliveryState::Refused && outbound.agent.is_some();
        for (concern, stands) in [
            (Concern::DeliveryUnconfirmed(id), unconfirmed),
            (Concern::DeliveryRefused(id), refused),
        ] {
            if stands {
                self.raise_about(now, concern, outbound);
            } else {
                self.lower(now, &concern);
            }
        }
    }

    /// Raises an alert about a message that goes out, unless it stands.
    pub(super) fn raise_about(&mut self, now: Timestamp, concern: Concern, outbound: &Outbound) {
        if self.alerts.contains_key(&concern) {
            return;
        }
        let over = concern.is_over();
        self.raise(now, delivery_alert(now, concern, outbound));
        if over {
            self.forget_oldest(now);
        }
    }

    /// Keeps no more alerts about replies that failed than one can look at.
    fn forget_oldest(&mut self, now: Timestamp) {
        let first = Concern::DeliveryRefused(MessageId::from_bytes([0; 16]));
        let kept = self.alerts.range(first..);
        if kept.clone().count() > REFUSED_MAX
            && let Some(oldest) = kept.min_by_key(|(_, alert)| alert.since)
        {
            let oldest = oldest.0.clone();
            self.lower(now, &oldest);
        }
    }

    /// Raises the alerts of a spool that was just taken over.
    pub(super) fn review_spool(&mut self, now: Timestamp) {
        let unconfirmed: Vec<Outbound> = (self.spool.iter())
            .filter(|outbound| outbound.state == DeliveryState::Unconfirmed)
            .cloned()
            .collect();
        for outbound in unconfirmed {
            self.review_delivery(now, &outbound);
        }
    }

    /// Takes over the alerts about messages, which the records of the desk do not show, so far as
    /// what they are about was written. `ahead` may have raised some that nobody was told of.
    pub(super) fn inherit_alerts(&mut self, now: Timestamp, ahead: &Self) {
        let unsettled: BTreeMap<MessageId, &Outbound> = (self.restored_spool.iter())
            .map(|outbound| (outbound.id, outbound))
            .collect();
        let unwritten = |concern: &Concern| match concern {
            Concern::DeliveryRefused(id) => unsettled.contains_key(id),
            _ => false,
        };
        let over = (ahead.alerts.iter())
            .filter(|(concern, _)| concern.is_over() && !unwritten(concern))
            .map(|(concern, alert)| (concern.clone(), alert.clone()));
        let unconfirmed = (unsettled.values())
            .filter(|outbound| outbound.state == DeliveryState::Unconfirmed)
            .map(|outbound| {
                let concern = Concern::DeliveryUnconfirmed(outbound.id);
                let known = ahead.alerts.get(&concern).cloned();
                let alert = known.unwrap_or_else(|| delivery_alert(now, concern.clone(), outbound));
                (concern, alert)
            });
        let all: Vec<(Concern, Alert)> = over.chain(unconfirmed).collect();
        self.alerts.extend(all);
    }

    /// The alerts that follow from what was restored. Nobody is told: they were told before.
    pub(super) fn restore_alerts(&mut self, now: Timestamp) {
        let mut standing = Vec::new();
        for found in self.interactions.values() {
            let concerns = self.concerns(found).into_iter();
            standing.extend(concerns.filter_map(|(concern, stands)| stands.then_some(concern)));
        }
        for (id, queue) in &self.queues {
            standing.extend(queue.is_full().then(|| Concern::QueueFull(id.clone())));
        }
        for concern in standing {
            let alert = self.alert(now, concern.clone());
            self.alerts.insert(concern, alert);
        }
    }

    /// What an open interaction may be a concern for, and whether it is.
    fn concerns(&self, found: &Interaction) -> [(Concern, bool); 2] {
        let waits = matches!(found.state, State::Queued | State::Offered { .. });
        let gone = (found.state.holder())
            .and_then(|agent| self.agents.get(agent))
            .is_some_and(|agent| agent.requested == Requested::SignedOut);
        [
            (
                Concern::EverybodyDeclined(found.id),
                waits && found.rounds_declined >= ROUNDS_ALERT,
            ),
            (Concern::WorkAbandoned(found.id), gone),
        ]
    }

    fn set_alert(&mut self, now: Timestamp, concern: Concern, stands: bool) {
        if !stands {
            self.lower(now, &concern);
        } else if !self.alerts.contains_key(&concern) {
            let alert = self.alert(now, concern);
            self.raise(now, alert);
        }
    }

    /// The alert about something that the desk holds.
    fn alert(&self, now: Timestamp, concern: Concern) -> Alert {
        let (queue, interaction) = match &concern {
            Concern::QueueFull(queue) => (Some(queue.clone()), None),
            Concern::EverybodyDeclined(id) | Concern::WorkAbandoned(id) => (None, Some(*id)),
            Concern::DeliveryUnconfirmed(_)
            | Concern::DeliveryRefused(_)
            | Concern::DeliveryReturned(_) => (None, None),
        };
        let found = interaction.and_then(|id| self.interactions.get(&id));
        Alert {
            since: now,
            queue: queue.or_else(|| found.map(|found| found.queue.clone())),
            interaction,
            agent: found.and_then(|found| found.state.holder().cloned()),
            concern,
        }
    }

    fn raise(&mut self, now: Timestamp, alert: Alert) {
        self.alerts.insert(alert.concern.clone(), alert.clone());
        self.tell(now, None, Fact::AlertRaised(alert));
    }

    fn lower(&mut self, now: Timestamp, concern: &Concern) {
        if let Some(alert) = self.alerts.remove(concern) {
            self.tell(now, None, Fact::AlertCleared(alert));
        }
    }
}

/// The alert about a message.
fn delivery_alert(now: Timestamp, concern: Concern, outbound: &Outbound) -> Alert {
    Alert {
        concern,
        since: now,
        queue: None,
        interaction: Some(outbound.interaction),
        agent: outbound.agent.clone(),
    }
}
