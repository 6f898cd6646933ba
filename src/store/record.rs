//! Stored forms of records: a version and the fields, compactly.
//!
//! The forms are postcard's, which writes fields in their order without names. Forms change at
//! their end only: a new field is the last, its zero (none, empty, 0, the first variant) means what
//! was meant before there was it, and the record's `VERSION` rises. An older form is then read as
//! if zeros followed. What cannot change like that has its old forms in `previous`.
//!
//! Events and answers hold whole records, and are of use for a day or two. Older ones are not read:
//! [`EVENTS`] is a part of the name of the event logs, so clients begin with a snapshot, and an
//! answer in older words is known to have been given, and no more.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::previous::{MessageV1, OutboundV1};
use crate::desk::{
    Agent, AgentFigure, Answer, Case, Counters, Event, FeedEntry, Filing, Interaction, Message,
    Offer, Pause, QueueFigure, SavedDraft, Session, Upload,
};
use crate::id::{AgentId, ArticleId, KeyId, QueueId};
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

    /// Reads an older version, 1 or later; `None` if the bytes are none.
    #[must_use]
    fn migrate(_version: u8, fields: &[u8]) -> Option<Self> {
        grown(fields)
    }
}

/// How many bytes of zeros may be missing at the end of an older form: more than the fields of all
/// versions together that were added to any record.
const GROWTH_BYTES: usize = 256;

/// Reads fields as if zeros followed.
fn grown<T: DeserializeOwned>(fields: &[u8]) -> Option<T> {
    let mut padded = Vec::with_capacity(fields.len() + GROWTH_BYTES);
    padded.extend_from_slice(fields);
    padded.resize(fields.len() + GROWTH_BYTES, 0);
    let (record, rest) = postcard::take_from_bytes(&padded).ok()?;
    // All that was written has been read.
    (rest.len() <= GROWTH_BYTES).then_some(record)
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

/// How much room a record is given to begin with, in bytes.
const RECORD_BYTES: usize = 512;

/// The stored form.
///
/// # Panics
///
/// Never: postcard fails on sequences of unknown length only, and no record holds one.
#[must_use]
pub fn encode<T: Stored>(record: &T) -> Vec<u8> {
    // Most records fit, and none is copied while it grows through the small sizes.
    let mut bytes = Vec::with_capacity(RECORD_BYTES);
    bytes.push(T::VERSION);
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
    } else if (1..T::VERSION).contains(&version) {
        T::migrate(version, fields)
    } else {
        None
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

/// An article of the knowledge base: an answer that agents give again and again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Article {
    /// Its id.
    pub id: ArticleId,
    /// What it is about, in one line.
    pub title: String,
    /// The text, with placeholders as they were written.
    pub text: String,
    /// The same as HTML that may be sent, with placeholders; may be empty.
    pub html: String,
    /// Words that it is found by besides.
    pub tags: BTreeSet<String>,
    /// The queues whose agents see it; all if there is none.
    pub queues: BTreeSet<QueueId>,
    /// Its language as a tag of BCP 47, such as `de-AT`; empty if it does not matter.
    pub locale: String,
    /// Rises by one with each change: the etag.
    pub version: u64,
    /// When it last changed.
    pub changed: Timestamp,
}

/// What a request id was answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// SHA-256 of the request, to tell a repetition from a reuse.
    pub digest: [u8; 32],
    /// The answer; `None` if an older version of Postroom gave it, in words of its own.
    pub answer: Option<Answer>,
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

/// The version of events, and of all that is in them.
pub const EVENTS: u8 = 4;

macro_rules! stored {
    ($($record:ty => $noun:literal $version:literal),* $(,)?) => {
        $(impl Stored for $record {
            const NOUN: &'static str = $noun;
            const VERSION: u8 = $version;
        })*
    };
}

stored! {
    Counters => "set of counters" 1,
    Agent => "agent" 2,
    ApiKey => "key" 1,
    Article => "article" 1,
    Session => "session" 2,
    Offer => "offer" 2,
    Pause => "pause" 1,
    QueueFigure => "figure of a queue" 1,
    AgentFigure => "figure of an agent" 1,
    Interaction => "interaction" 4,
    Delivery => "delivery" 1,
    Dossier => "dossier" 1,
    FeedEntry => "feed entry" 1,
    Acknowledged => "acknowledgement" 1,
    Suppression => "suppressed address" 1,
    Secret => "secret" 1,
    Upload => "attachment" 1,
    SavedDraft => "draft" 1,
}

impl Stored for Case {
    const NOUN: &'static str = "case";
    const VERSION: u8 = 4;

    fn migrate(version: u8, fields: &[u8]) -> Option<Self> {
        let mut case: Self = grown(fields)?;
        if version == 1 && case.unfinished == 0 {
            case.closed = Some(case.changed);
        }
        Some(case)
    }
}

impl Stored for Message {
    const NOUN: &'static str = "message";
    const VERSION: u8 = 3;

    fn migrate(version: u8, fields: &[u8]) -> Option<Self> {
        match version {
            1 => postcard::from_bytes::<MessageV1>(fields)
                .ok()
                .map(Self::from),
            _ => grown(fields),
        }
    }
}

impl Stored for Outbound {
    const NOUN: &'static str = "outbound message";
    const VERSION: u8 = 3;

    fn migrate(version: u8, fields: &[u8]) -> Option<Self> {
        match version {
            1 => (postcard::from_bytes::<OutboundV1>(fields).ok()).map(Self::from),
            _ => grown(fields),
        }
    }
}

impl Stored for Event {
    const NOUN: &'static str = "event";
    const VERSION: u8 = EVENTS;

    fn migrate(_version: u8, _fields: &[u8]) -> Option<Self> {
        None
    }
}

impl Stored for Answered {
    const NOUN: &'static str = "answered request";
    const VERSION: u8 = EVENTS;

    fn migrate(_version: u8, fields: &[u8]) -> Option<Self> {
        let (digest, _) = fields.split_first_chunk()?;
        Some(Self {
            digest: *digest,
            answer: None,
        })
    }
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
    fn an_older_form_is_read_as_if_zeros_followed() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Grown(u32, String, Option<u32>, Vec<String>, u64, bool);
        let old = postcard::to_stdvec(&(7_u32, "seven")).unwrap();
        let new = Grown(7, "seven".to_owned(), None, Vec::new(), 0, false);
        assert_eq!(grown(&old), Some(new));
        // With something behind it that nobody reads.
        assert_eq!(grown::<u32>(&[7, 1]), None);
    }

    #[test]
    fn an_older_answer_is_known_to_have_been_given() {
        let old = [&[2][..], &[9; 32], &[200, 1, 2]].concat();
        let read = decode::<Answered>(&old).unwrap();
        assert_eq!((read.digest, read.answer), ([9; 32], None));
        assert!(decode::<Event>(&[2, 1, 2, 3]).is_err());
    }

    #[test]
    fn anything_else_is_an_error() {
        for bytes in [&b""[..], b"\x01", b"\x02\x00\x00\x00", b"\xff"] {
            assert!(decode::<Counters>(bytes).is_err(), "{bytes:?}");
        }
    }
}
