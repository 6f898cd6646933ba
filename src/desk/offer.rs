//! An offer: one interaction held out to one agent for a limited time. Who gets it is decided in
//! `routing`.

use serde::{Deserialize, Serialize};

use crate::id::{AgentId, InteractionId, OfferId, QueueId};
use crate::time::Timestamp;

/// Why the desk took an offer back. Never held against the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RescindCause {
    /// The agent's stream was gone for longer than the re-attach time.
    StreamLost,
    /// The lease ran out.
    SessionLost,
    /// The agent's status left Available.
    StateChanged,
    /// The agent no longer serves the queue.
    MembershipEnded,
    /// The gateway was started anew, or the machine was asleep.
    Restart,
    /// The queue was paused, or its hours ended.
    QueueClosed,
    /// The agent began a mail.
    Composing,
    /// A supervisor moved the interaction, or gave the agent another.
    Supervisor,
}

/// Where an offer is in its life. All but the first two are final.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OfferState {
    /// Sent; the client has not yet said that it is on the screen.
    Pending,
    /// On the agent's screen.
    Shown,
    /// The agent took it.
    Accepted,
    /// The agent turned it down, for this reason (a code; may be empty).
    Rejected(String),
    /// It was on the screen and nobody answered.
    Missed,
    /// The client never said that it was on the screen.
    Undelivered,
    /// The desk took it back.
    Rescinded(RescindCause),
}

impl OfferState {
    /// Whether the offer still waits for an answer.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        matches!(self, Self::Pending | Self::Shown)
    }
}

/// One attempt to hand one interaction to one agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// Its id.
    pub id: OfferId,
    /// What is offered.
    pub interaction: InteractionId,
    /// The queue it was offered from.
    pub queue: QueueId,
    /// To whom.
    pub agent: AgentId,
    /// Where it is in its life.
    pub state: OfferState,
    /// When it was made.
    pub created: Timestamp,
    /// Until when it may be answered, as the client shows it. The desk waits a little longer, so
    /// that a click in the last second counts.
    pub deadline: Timestamp,
    /// When it reached a final state.
    pub resolved: Option<Timestamp>,
}
