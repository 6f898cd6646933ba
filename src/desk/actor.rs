//! An actor: who caused what happened, as events tell it.

use serde::{Deserialize, Serialize};

use crate::id::AgentId;

/// Who caused something. Stored: variants are added at the end only.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Actor {
    /// The gateway by itself: a letter came, a deadline passed, somebody was next in line.
    #[default]
    System,
    /// An agent, in their own session.
    Agent(AgentId),
    /// A supervisor: the subject of the credential, such as `agents/lea`.
    Supervisor(String),
    /// An administrator: the subject of the credential, such as `local/0`.
    Administrator(String),
}
