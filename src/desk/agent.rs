//! An agent: a person who handles interactions, what they asked for, and what they are shown as.
//!
//! Only what an agent asked for is kept. What is shown follows from that and from the work in
//! hand, so the two can never disagree.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::routing::{Turns, WEIGHT_DEFAULT};
use super::skill::Skills;
use crate::id::{AgentId, InteractionId, OfferId, QueueId};
use crate::time::Timestamp;

/// What an agent may ask to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Requested {
    /// Not at work.
    SignedOut,
    /// Signed in and offered nothing, for this reason (a code; may be empty).
    WorkOffline(String),
    /// Ready to work.
    Available,
}

/// What an agent is shown as. Derived, never stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum AgentState {
    /// No session, or signed out.
    SignedOut,
    /// Signed in, not to be offered work.
    WorkOffline,
    /// Ready to be offered work.
    Available,
    /// Handling an interaction.
    Busy,
    /// In post-processing.
    WrapUp,
}

/// Why an agent is shown as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PresenceCause {
    /// The agent asked.
    AgentRequest,
    /// A supervisor asked.
    SupervisorRequest,
    /// An offer was accepted.
    Accept,
    /// Handling ended and post-processing began.
    WrapUpStart,
    /// Work in hand was finished.
    WrapUpComplete,
    /// Post-processing ran out of time.
    WrapUpTimeout,
    /// An offer was rejected.
    OfferRejected,
    /// Too many offers were missed.
    OfferMissed,
    /// The client was lost.
    Disconnected,
    /// The agent signed in.
    SignIn,
    /// The agent signed out, or was given up.
    SignOut,
    /// The agent took something out of a queue.
    Pull,
    /// Something that was parked came back into the agent's hands.
    Resume,
}

/// Rights that a credential carries. See the access table in `proto/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Role {
    /// Handles interactions under their own name.
    Agent,
    /// Sees and steers the floor.
    Supervisor,
    /// Configures the gateway.
    Admin,
    /// Sees the floor, not the mail.
    Observer,
}

/// A person who handles interactions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agent {
    /// The slug, which is also the sign-in name.
    pub id: AgentId,
    /// What colleagues and customers read.
    pub display_name: String,
    /// Argon2id hash of the password in PHC form; `None` if the agent signs in by key only.
    pub password: Option<String>,
    /// Whether the agent also steers the floor.
    pub supervisor: bool,
    /// The queues that the agent serves.
    pub queues: BTreeSet<QueueId>,
    /// How many interactions the agent may hold at once, live offers included.
    pub capacity: u32,
    /// What the agent asked for.
    pub requested: Requested,
    /// What the agent asked for while at work, to be taken up when the work ends.
    pub next: Option<Requested>,
    /// Since when the agent is shown as now.
    pub since: Timestamp,
    /// Why the agent is shown as now.
    pub cause: PresenceCause,
    /// Since when the agent has been free of delivered work: who has waited longest goes first.
    pub idle_since: Timestamp,
    /// Offers missed in a row.
    pub misses: u32,
    /// Until when the agent is left alone after a declined offer.
    pub cooldown_until: Timestamp,
    /// Number of the newest entry in the agent's event log; 0 if there is none.
    pub sequence: u64,
    /// When the account was made.
    pub created: Timestamp,
    /// Whether the account may not be used: nobody signs in with it.
    pub disabled: bool,
    /// When the account was removed. Such a record keeps the name readable and the number of the
    /// event log from being given twice.
    pub removed: Option<Timestamp>,
    /// What the agent can do.
    pub skills: Skills,
    /// How much of the agent each queue gets, compared with the others they serve, where that is
    /// not [`WEIGHT_DEFAULT`]: 1 to [`super::WEIGHT_MAX`].
    pub weights: BTreeMap<QueueId, u8>,
    /// Which of the queues comes next.
    pub turns: Turns,
    /// The number of the last offer from each queue whose agents take turns.
    pub rounds: BTreeMap<QueueId, u64>,
    /// Offers rejected in a row.
    pub rejects: u32,
}

/// What an agent is shown as, with the work behind it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// Whose presence.
    pub agent: AgentId,
    /// What is shown.
    pub state: AgentState,
    /// What was asked for.
    pub requested: Requested,
    /// What comes when the work in hand is done.
    pub next: Option<Requested>,
    /// Since when it is shown.
    pub since: Timestamp,
    /// Why it is shown.
    pub cause: PresenceCause,
    /// The live offer, if there is one.
    pub pending_offer: Option<OfferId>,
    /// Interactions being handled, written or wrapped up.
    pub interactions: Vec<InteractionId>,
    /// Interactions that the agent has set aside.
    pub parked: Vec<InteractionId>,
}

/// What the agent holds at this moment. Derived from the interactions, kept beside the agent so
/// that nobody has to count; rebuilt on restore, never stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Load {
    /// Interactions being handled.
    pub(super) active: BTreeSet<InteractionId>,
    /// Interactions in post-processing.
    pub(super) wrapping: BTreeSet<InteractionId>,
    /// Live offers.
    pub(super) offers: BTreeSet<OfferId>,
    /// Mails being written that answer nothing.
    pub(super) drafting: BTreeSet<InteractionId>,
    /// What was set aside. It takes no room.
    pub(super) parked: BTreeSet<InteractionId>,
}

impl Load {
    /// Whether there is nothing in hand. Offers are not in hand.
    pub(super) fn is_empty(&self) -> bool {
        self.in_hand() == 0
    }

    /// What is in the agent's hands, oldest first.
    pub(super) fn held(&self) -> Vec<InteractionId> {
        let all = [&self.active, &self.drafting, &self.wrapping];
        let all: BTreeSet<InteractionId> = all.into_iter().flatten().copied().collect();
        all.into_iter().collect()
    }

    /// How many interactions take room in the agent's hands.
    pub(super) fn in_hand(&self) -> usize {
        self.active.len() + self.drafting.len() + self.wrapping.len()
    }
}

impl Agent {
    /// How much of the agent a queue gets, compared with the others they serve.
    #[must_use]
    pub fn weight(&self, queue: &QueueId) -> u8 {
        self.weights.get(queue).copied().unwrap_or(WEIGHT_DEFAULT)
    }

    /// What the agent is shown as with this load.
    pub(super) fn shown(&self, load: &Load) -> AgentState {
        match &self.requested {
            Requested::SignedOut => AgentState::SignedOut,
            _ if !load.active.is_empty() || !load.drafting.is_empty() => AgentState::Busy,
            Requested::WorkOffline(_) => AgentState::WorkOffline,
            Requested::Available if !load.wrapping.is_empty() => AgentState::WrapUp,
            Requested::Available => AgentState::Available,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(requested: Requested) -> Agent {
        Agent {
            id: "anna".parse().unwrap(),
            display_name: String::new(),
            password: None,
            supervisor: false,
            queues: BTreeSet::new(),
            capacity: 1,
            requested,
            next: None,
            since: Timestamp::ZERO,
            cause: PresenceCause::SignIn,
            idle_since: Timestamp::ZERO,
            misses: 0,
            cooldown_until: Timestamp::ZERO,
            sequence: 0,
            created: Timestamp::ZERO,
            disabled: false,
            removed: None,
            skills: Skills::new(),
            weights: BTreeMap::new(),
            turns: Turns::default(),
            rounds: BTreeMap::new(),
            rejects: 0,
        }
    }

    #[test]
    fn what_is_shown_follows_from_request_and_load() {
        let work = BTreeSet::from([InteractionId::new(Timestamp::ZERO, 1)]);
        let none = BTreeSet::new();
        let offline = || Requested::WorkOffline("lunch".into());
        for (requested, active, wrapping, shown) in [
            (Requested::SignedOut, &none, &none, AgentState::SignedOut),
            (Requested::SignedOut, &work, &none, AgentState::SignedOut),
            (Requested::Available, &none, &none, AgentState::Available),
            (Requested::Available, &work, &none, AgentState::Busy),
            (Requested::Available, &none, &work, AgentState::WrapUp),
            (Requested::Available, &work, &work, AgentState::Busy),
            (offline(), &none, &none, AgentState::WorkOffline),
            (offline(), &work, &none, AgentState::Busy),
            (offline(), &none, &work, AgentState::WorkOffline),
        ] {
            let load = Load {
                active: active.clone(),
                wrapping: wrapping.clone(),
                ..Load::default()
            };
            assert_eq!(agent(requested.clone()).shown(&load), shown);
            // Whether it is a letter's answer or a mail of its own: work is work.
            let load = Load {
                drafting: active.clone(),
                ..load
            };
            let writing = Load {
                active: BTreeSet::new(),
                parked: work.clone(),
                ..load
            };
            assert_eq!(agent(requested).shown(&writing), shown);
        }
    }
}
