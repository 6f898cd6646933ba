//! A session: one signed-in agent client, and whether it is there to be offered work.
//!
//! A session is live while its stream is attached, its lease runs and it answers for its offers.
//! Losing any of these puts it into grace, from which it returns or is given up.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::{AgentId, SessionId};
use crate::time::Timestamp;

/// One signed-in agent client. What is kept of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Its id, from which its token is derived.
    pub id: SessionId,
    /// Who signed in.
    pub agent: AgentId,
    /// When.
    pub created: Timestamp,
    /// How long it lives without a sign of life from the client.
    pub lease: Duration,
    /// What the client calls itself, such as `desk/1.4`; may be empty.
    pub client: String,
}

/// Why a stream or a session was ended by the desk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EndCause {
    /// A newer stream of the same session took its place.
    Superseded,
    /// The agent signed in elsewhere.
    TakenOver,
    /// The agent signed out.
    SignedOut,
    /// The client was gone for too long.
    LeaseExpired,
    /// The account was disabled or removed.
    Barred,
    /// A supervisor signed the agent out.
    ClosedByOthers,
}

/// Whether a session may be offered work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionPhase {
    /// It listens.
    Live,
    /// It is missing, and may come back.
    Grace,
}

/// What is true of a session only while the process runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    /// The number of the attached stream.
    pub(super) stream: Option<u64>,
    /// Until when the client's last sign of life counts.
    pub(super) lease_until: Timestamp,
    /// An offer went without receipt: somebody is connected and nobody listens.
    pub(super) deaf: bool,
    /// When the stream was lost, while it is not back.
    pub(super) detached: Option<Timestamp>,
    /// Since when the session is in grace.
    pub(super) grace_since: Option<Timestamp>,
    /// The newest event that the client says it has stored.
    pub(super) acked: u64,
}

impl Link {
    /// A session as it is right after sign-in or a restart: in grace, until its stream comes.
    pub(super) fn new(now: Timestamp, lease: Duration) -> Self {
        Self {
            stream: None,
            lease_until: now + lease,
            deaf: false,
            detached: None,
            grace_since: Some(now),
            acked: 0,
        }
    }

    /// Whether the client listens at this moment.
    pub(super) fn listens(&self, now: Timestamp) -> bool {
        self.stream.is_some() && !self.deaf && self.lease_until > now
    }
}

/// A session as clients see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionView {
    /// What is kept of it.
    pub session: Session,
    /// Whether it is in grace.
    pub in_grace: bool,
    /// Whether a stream is attached.
    pub stream_attached: bool,
    /// When the lease ends unless it is renewed.
    pub lease_until: Timestamp,
    /// The newest event that the client says it has stored.
    pub acked: u64,
}
