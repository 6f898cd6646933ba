//! An interaction: one piece of work, from arrival to closing, and the states it goes through.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::message::{Correspondent, Direction};
use super::routing::Preferred;
use crate::id::{AgentId, InteractionId, MessageId, OfferId, QueueId};
use crate::mail::token::MainNumber;
use crate::mail::trust::Trust;
use crate::time::Timestamp;

/// Where an interaction is in its life. What is true in one state only lives in that state.
/// Stored: variants are added at the end only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Waiting in its queue.
    Queued,
    /// Held out to one agent; it keeps its place in the line.
    Offered {
        /// The one live offer.
        offer: OfferId,
        /// To whom.
        agent: AgentId,
    },
    /// In an agent's hands.
    Active {
        /// Whose.
        agent: AgentId,
        /// Since when.
        since: Timestamp,
    },
    /// Handled; the agent finishes.
    WrappingUp {
        /// Who.
        agent: AgentId,
        /// Since when.
        since: Timestamp,
        /// When post-processing ends by itself; `None` once the agent asked for more time by
        /// going Work Offline.
        deadline: Option<Timestamp>,
    },
    /// Done.
    Closed {
        /// Who handled it.
        agent: AgentId,
        /// When.
        at: Timestamp,
    },
    /// Kept back from everybody until a supervisor releases it or files it away.
    Held {
        /// Since when.
        since: Timestamp,
        /// Why.
        reason: HoldReason,
        /// The case that its letter speaks of without having a right to; shown once released.
        aside: Option<MainNumber>,
    },
    /// Kept without having been anybody's work: a notice of absence, a report, or a letter that a
    /// supervisor filed away.
    Filed {
        /// When.
        at: Timestamp,
    },
    /// A mail that its agent began and has not sent yet.
    Drafting {
        /// Whose.
        agent: AgentId,
        /// Since when.
        since: Timestamp,
    },
    /// Set aside by its agent. It takes no room in their hands and comes back by itself: at its
    /// time, or with the customer's next letter.
    Parked {
        /// Whose it stays.
        agent: AgentId,
        /// Since when.
        since: Timestamp,
        /// When it comes back.
        until: Timestamp,
    },
    /// It needed no handling, or none any more.
    Cancelled {
        /// In whose hands it was.
        agent: Option<AgentId>,
        /// When.
        at: Timestamp,
        /// Why.
        cause: CancelCause,
    },
}

/// Why an interaction needed no handling. Stored: variants are added at the end only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CancelCause {
    /// The same matter is being dealt with elsewhere.
    Duplicate,
    /// Nobody wants an answer to it.
    Spam,
    /// The mail that was begun was not sent.
    DraftDiscarded,
}

/// Why a letter is kept back. Stored: variants are added at the end only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum HoldReason {
    /// It names a case, and something speaks against its sender.
    Distrusted,
    /// Its sender's domain asks for suspicion (DMARC, `p=quarantine`).
    Quarantined,
    /// A rule of the administrator's says so: the rule's name.
    Rule(String),
    /// Its case was opened again too often within a day.
    Reopened,
}

impl HoldReason {
    /// In words for people.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Distrusted => "it speaks of a case, and its sender is doubtful".to_owned(),
            Self::Quarantined => {
                "the sender's domain says that this is not its mail and asks to hold it (DMARC)"
                    .to_owned()
            }
            Self::Rule(name) => format!("rule {name} holds it"),
            Self::Reopened => "its case was opened again too often within a day".to_owned(),
        }
    }
}

impl State {
    /// The agent in whose hands it is: handling, writing or wrapping up.
    #[must_use]
    pub const fn holder(&self) -> Option<&AgentId> {
        match self {
            Self::Active { agent, .. }
            | Self::WrappingUp { agent, .. }
            | Self::Drafting { agent, .. } => Some(agent),
            Self::Queued
            | Self::Offered { .. }
            | Self::Closed { .. }
            | Self::Held { .. }
            | Self::Filed { .. }
            | Self::Parked { .. }
            | Self::Cancelled { .. } => None,
        }
    }

    /// The agent whose it is: in hand, or parked.
    #[must_use]
    pub const fn owner(&self) -> Option<&AgentId> {
        match self {
            Self::Parked { agent, .. } => Some(agent),
            _ => self.holder(),
        }
    }

    /// The state's name as the log prints it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Offered { .. } => "offered",
            Self::Active { .. } => "active",
            Self::WrappingUp { .. } => "wrapping up",
            Self::Closed { .. } => "closed",
            Self::Held { .. } => "held",
            Self::Filed { .. } => "filed",
            Self::Drafting { .. } => "drafting",
            Self::Parked { .. } => "parked",
            Self::Cancelled { .. } => "cancelled",
        }
    }

    /// Whether nothing can happen to it any more.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Closed { .. } | Self::Filed { .. } | Self::Cancelled { .. }
        )
    }

    /// Whether a further letter of the case joins it instead of opening a new one.
    #[must_use]
    pub const fn is_joinable(&self) -> bool {
        matches!(
            self,
            Self::Queued | Self::Offered { .. } | Self::Active { .. } | Self::Parked { .. }
        )
    }

    /// The pairs that exist. Everything else is a bug of ours.
    const fn may_enter(&self, to: &Self) -> bool {
        matches!(
            (self, to),
            (
                Self::Queued,
                Self::Offered { .. } | Self::Active { .. } | Self::Filed { .. }
            ) | (
                Self::Offered { .. } | Self::Parked { .. },
                Self::Queued | Self::Active { .. }
            ) | (
                Self::Active { .. },
                Self::WrappingUp { .. } | Self::Closed { .. } | Self::Queued | Self::Parked { .. }
            ) | (
                Self::Active { .. } | Self::Parked { .. },
                Self::Cancelled { .. }
            ) | (
                Self::WrappingUp { .. },
                Self::WrappingUp { .. }
                    | Self::Closed { .. }
                    | Self::Active { .. }
                    | Self::Drafting { .. }
            ) | (
                Self::Drafting { .. },
                Self::WrappingUp { .. } | Self::Closed { .. } | Self::Cancelled { .. }
            ) | (Self::Held { .. }, Self::Queued | Self::Filed { .. })
        )
    }
}

/// How an interaction was dealt with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The customer was answered.
    Replied,
    /// It was ended without an answer.
    Ended,
    /// It was given to another queue: what is left here is the agent's post-processing.
    Transferred,
    /// It was passed on to people outside.
    Forwarded,
    /// The mail that its agent began was sent.
    Sent,
}

/// The id of no message: of what nobody outside has written to.
pub const NO_MESSAGE: MessageId = MessageId::from_bytes([0; 16]);

/// One piece of work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interaction {
    /// Its id.
    pub id: InteractionId,
    /// The queue it belongs to.
    pub queue: QueueId,
    /// The case it belongs to.
    pub case: MainNumber,
    /// Subject of the letter that began it.
    pub subject: String,
    /// Who wrote.
    pub customer: Correspondent,
    /// How well it is proven that they wrote it.
    pub trust: Trust,
    /// The address of ours they wrote to: the default From of an answer.
    pub mailbox: String,
    /// When it arrived. Its place in the line, kept through every return to it.
    pub arrived: Timestamp,
    /// Higher goes first; 0 unless somebody raised it.
    pub priority: i32,
    /// Where it is in its life.
    pub state: State,
    /// How it was dealt with, once it was.
    pub outcome: Option<Outcome>,
    /// The newest letter from outside; [`NO_MESSAGE`] if there is none.
    pub latest_inbound: MessageId,
    /// How many letters it holds, both directions.
    pub message_count: u32,
    /// How often it was offered.
    pub offer_count: u32,
    /// Agents who rejected or missed it in this round.
    pub declined: BTreeSet<AgentId>,
    /// What the agent wrote down in post-processing.
    pub notes: String,
    /// How the agent classified it.
    pub disposition: String,
    /// Rises by one with each change: the etag.
    pub version: u64,
    /// When it last changed.
    pub changed: Timestamp,
    /// What its agent should be able to do, as a rule of the administrator's says.
    pub skills: BTreeSet<String>,
    /// For whom it is kept, if they are there; nobody else is offered it.
    pub preferred: Option<Preferred>,
    /// How often it was given to another queue.
    pub transfers: u32,
    /// The interaction that this one goes on from; that one's messages are this one's too.
    pub follows: Option<InteractionId>,
    /// How often its post-processing was extended.
    pub extensions: u32,
    /// Who wrote first: somebody outside, or an agent.
    pub direction: Direction,
    /// The newest letter when it came into its agent's hands: what is newer they may not have
    /// read.
    pub known: Option<MessageId>,
    /// How often it stood in line until it was held against nobody any more that they had declined
    /// it; 0 again once somebody takes it.
    pub rounds_declined: u32,
    /// When it came into its queue, if it came from another; else when it arrived.
    pub entered: Option<Timestamp>,
    /// When an agent first accepted it.
    pub accepted: Option<Timestamp>,
    /// When the customer was first answered.
    pub answered: Option<Timestamp>,
    /// Which warnings about what is promised were given: a bit each.
    pub warned: u8,
    /// The interaction that was the newest of its case before it.
    pub previous: Option<InteractionId>,
    /// The queue in which it arrived, if it has gone to another since.
    pub first_queue: Option<QueueId>,
}

impl Interaction {
    /// The one door through which the state changes.
    ///
    /// # Panics
    ///
    /// In debug builds, when the pair does not exist: that can only be a bug of ours.
    pub(super) fn enter(&mut self, to: State, now: Timestamp) {
        debug_assert!(
            self.state.may_enter(&to),
            "{}: {} -> {}",
            self.id,
            self.state.name(),
            to.name()
        );
        if matches!(to, State::Active { .. }) {
            self.accepted.get_or_insert(now);
        }
        self.state = to;
        self.changed = now;
    }

    /// Makes it another queue's, and keeps in mind where it arrived.
    pub(super) fn enter_queue(&mut self, queue: QueueId) {
        let left = std::mem::replace(&mut self.queue, queue);
        self.first_queue.get_or_insert(left);
    }

    /// Leaves a note for whoever has it next. No note leaves the last one.
    pub(super) fn note(&mut self, note: String) {
        if !note.is_empty() {
            self.notes = note;
        }
    }
}
