//! A case: the lasting record that ties interactions of one matter together.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::message::Correspondent;
use crate::id::{AgentId, InteractionId, QueueId};
use crate::mail::token::MainNumber;
use crate::time::Timestamp;

/// The lasting record of one matter. The desk holds a case while one of its interactions is
/// unfinished; after that it rests in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// The number that people see and type.
    pub number: MainNumber,
    /// Subject of its first letter.
    pub subject: String,
    /// The customer. Never changed by mail.
    pub customer: Correspondent,
    /// The queue that opened it.
    pub queue: QueueId,
    /// When it was opened.
    pub created: Timestamp,
    /// When it last changed.
    pub changed: Timestamp,
    /// Bound into every token of the case; raising it revokes them all.
    pub generation: u32,
    /// A case that this one goes on from without being a part of it.
    pub follow_up_of: Option<MainNumber>,
    /// Who handled it last.
    pub last_agent: Option<AgentId>,
    /// The interaction that a further letter joins, per queue: at most one.
    pub joinable: BTreeMap<QueueId, InteractionId>,
    /// How many interactions are not closed. The case is closed when there is none.
    pub unfinished: u32,
    /// How many letters it holds, both directions.
    pub message_count: u32,
}

impl Case {
    /// Whether work on it goes on.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.unfinished > 0
    }
}
