//! A case: the lasting record that ties interactions of one matter together.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

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
    /// Whom we wrote to besides the customer. The slot of each in tokens is its place here plus
    /// one; the customer's is 0. At most [`PEOPLE_MAX`].
    pub correspondents: Vec<Correspondent>,
    /// Normalised addresses that stood beside ours in To and Cc of its proven letters: they were
    /// given its Message-IDs by the customer. At most [`PEOPLE_MAX`].
    pub copied: BTreeSet<String>,
    /// The case it was merged into: whatever continues it belongs there.
    pub merged_into: Option<MainNumber>,
    /// When its last interaction was closed; `None` while work on it goes on.
    pub closed: Option<Timestamp>,
    /// When it was opened again within the last day, oldest first; at most
    /// [`REOPENINGS_MAX`].
    pub reopenings: Vec<Reopening>,
    /// Its newest interaction, from which the others are found.
    pub newest: Option<InteractionId>,
    /// Cases that became a part of it; at most [`super::PARTS_MAX`].
    pub parts: Vec<MainNumber>,
}

/// One time that a letter opened a closed case again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reopening {
    /// When.
    pub at: Timestamp,
    /// Whether a program had written the letter.
    pub by_machine: bool,
}

/// How many mergers are followed from a case to the one it is a part of now.
pub const MERGES_MAX: usize = 8;

/// Most people that a case remembers of each kind: a family, a department, not a mailing list.
pub const PEOPLE_MAX: usize = 50;

/// How often a case is opened again within [`REOPENINGS_WITHIN`]; what comes then is held. More
/// is a loop, or a quarrel that wants a supervisor.
pub const REOPENINGS_MAX: usize = 6;

/// How often of these by programs: two of them answering each other open a case for ever.
pub const REOPENINGS_BY_MACHINES_MAX: usize = 2;

/// For how long a reopening counts.
pub const REOPENINGS_WITHIN: Duration = Duration::from_secs(24 * 3600);

impl Case {
    /// Whether work on it goes on.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.unfinished > 0
    }

    /// The slot of a person in the tokens of this case: the customer's, that of somebody to whom
    /// we wrote before, or the next free one.
    #[must_use]
    pub fn slot(&self, address: &str) -> u16 {
        // Whoever is written to first in a case that we opened is its customer.
        if self.customer.address == address || self.message_count == 0 {
            return 0;
        }
        let known = self
            .correspondents
            .iter()
            .position(|other| other.address == address);
        let place = known.unwrap_or(self.correspondents.len());
        u16::try_from(place + 1).unwrap_or(u16::MAX)
    }

    /// Gives the next free slot to a person, if that is what [`Self::slot`] said.
    pub(super) fn seat(&mut self, slot: u16, person: &Correspondent) {
        let next = usize::from(slot) == self.correspondents.len() + 1;
        // A person without a seat is recognised by what the store knows, and by no token.
        if next && self.correspondents.len() < PEOPLE_MAX {
            self.correspondents.push(person.clone());
        }
    }

    /// Notes that a letter opens the case again, unless that has happened too often.
    pub(super) fn reopen(&mut self, now: Timestamp, by_machine: bool) -> bool {
        self.reopenings
            .retain(|before| now.since(before.at) < REOPENINGS_WITHIN);
        let machines = self.reopenings.iter().filter(|before| before.by_machine);
        let too_often = self.reopenings.len() >= REOPENINGS_MAX
            || (by_machine && machines.count() >= REOPENINGS_BY_MACHINES_MAX);
        if !too_often {
            self.reopenings.push(Reopening {
                at: now,
                by_machine,
            });
        }
        !too_often
    }
}
