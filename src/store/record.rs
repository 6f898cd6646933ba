//! Stored forms of records: a version and the fields, compactly.
//!
//! The forms are postcard's, which writes fields in their order without names. So a record's form
//! changes only together with its version, and the old form stays readable: its `VERSION` rises,
//! and `migrate` reads the ones before.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::previous::{AnsweredV1, CaseV1, EventV1, InteractionV1, MessageV1, OutboundV1};
use crate::desk::{
    Agent, Answer, Case, Counters, Event, Filing, Interaction, Message, Offer, Session,
};
use crate::id::{AgentId, KeyId};
use crate::mail::dossier::Dossier;
use crate::outbound::hearing::Suppression;
use crate::outbound::message::Outbound;
use crate::time::Timestamp;

/// A record with a stored form.
pub trait Stored: Serialize + DeserializeOwned {
    /// The noun, for complaints.
    const NOUN: &'static str;
    /// The version that is written.
    const VERSION: u8 = 1;

    /// Reads an older version; `None` if there never was one of that number.
    #[must_use]
    fn migrate(_version: u8, _fields: &[u8]) -> Option<Self> {
        None
    }
}

/// A record that cannot be read: written by a newer Postroom, or damaged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordError {
    noun: &'static str,
    version: Option<u8>,
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.version {
            Some(version) => write!(
                f,
                "a stored {} of version {version} cannot be read: it was written by another version of Postroom, or is damaged",
                self.noun
            ),
            None => write!(f, "a stored {} is empty", self.noun),
        }
    }
}

impl std::error::Error for RecordError {}

/// The stored form.
///
/// # Panics
///
/// Never: postcard fails on sequences of unknown length only, and no record holds one.
#[must_use]
pub fn encode<T: Stored>(record: &T) -> Vec<u8> {
    let bytes = vec![T::VERSION];
    #[expect(clippy::expect_used, reason = "see Panics")]
    postcard::to_extend(record, bytes).expect("records have stored forms")
}

/// The inverse of [`encode`], for this version and the ones before.
///
/// # Errors
///
/// [`RecordError`] if the bytes are no such record.
pub fn decode<T: Stored>(bytes: &[u8]) -> Result<T, RecordError> {
    let (&version, fields) = bytes.split_first().ok_or(RecordError {
        noun: T::NOUN,
        version: None,
    })?;
    let record = if version == T::VERSION {
        postcard::from_bytes(fields).ok()
    } else {
        T::migrate(version, fields)
    };
    record.ok_or(RecordError {
        noun: T::NOUN,
        version: Some(version),
    })
}

/// A stored API key. The secret itself is not kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    /// Its id, a part of the key's text.
    pub id: KeyId,
    /// What it is for.
    pub display_name: String,
    /// What it may.
    pub roles: Vec<crate::desk::Role>,
    /// The agent that it signs in as.
    pub agent: Option<AgentId>,
    /// SHA-256 of the secret: it is random and long, so a fast hash is right.
    pub digest: [u8; 32],
    /// When it was made.
    pub created: Timestamp,
    /// When it stops being good.
    pub expires: Option<Timestamp>,
    /// When it was revoked.
    pub revoked: Option<Timestamp>,
}

/// What a request id was answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// SHA-256 of the request, to tell a repetition from a reuse.
    pub digest: [u8; 32],
    /// The answer.
    pub answer: Answer,
}

/// What became of a letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Where it is, per queue.
    pub filings: Vec<Filing>,
}

/// That a sender was told by a queue that a letter has arrived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    /// Until when that is not repeated.
    pub until: Timestamp,
}

/// Key material, or another short secret of this installation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret(pub Vec<u8>);

macro_rules! stored {
    ($($record:ty => $noun:literal),* $(,)?) => {
        $(impl Stored for $record {
            const NOUN: &'static str = $noun;
        })*
    };
}

/// Records in their second version, with the form of the first.
macro_rules! renewed {
    ($($record:ty, $first:ty => $noun:literal),* $(,)?) => {
        $(impl Stored for $record {
            const NOUN: &'static str = $noun;
            const VERSION: u8 = 2;

            fn migrate(version: u8, fields: &[u8]) -> Option<Self> {
                match version {
                    1 => postcard::from_bytes::<$first>(fields).ok().map(Self::from),
                    _ => None,
                }
            }
        })*
    };
}

stored! {
    Counters => "set of counters",
    Agent => "agent",
    ApiKey => "key",
    Session => "session",
    Offer => "offer",
    Delivery => "delivery",
    Dossier => "dossier",
    Acknowledged => "acknowledgement",
    Suppression => "suppressed address",
    Secret => "secret",
}

renewed! {
    Interaction, InteractionV1 => "interaction",
    Case, CaseV1 => "case",
    Message, MessageV1 => "message",
    Outbound, OutboundV1 => "outbound message",
    Event, EventV1 => "event",
    Answered, AnsweredV1 => "answered request",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let counters = Counters {
            sequence: 1,
            revision: 300,
            case: u64::MAX,
        };
        assert_eq!(decode(&encode(&counters)), Ok(counters));
    }

    /// The bytes of version 1, as they are on people's disks: this test fails when a form changes
    /// without its version.
    #[test]
    fn version_one_as_it_was_written() {
        let counters = Counters {
            sequence: 1,
            revision: 300,
            case: 7,
        };
        assert_eq!(encode(&counters), [1, 1, 0xac, 0x02, 7]);
    }

    #[test]
    fn anything_else_is_an_error() {
        for bytes in [&b""[..], b"\x01", b"\x02\x00\x00\x00", b"\xff"] {
            assert!(decode::<Counters>(bytes).is_err(), "{bytes:?}");
        }
    }
}
