//! Identifiers: one newtype a noun, so that an offer can never be accepted as an interaction.
//!
//! Ids made by the server are 128 bits, shown as 26 characters of lower-case base 32 that sort in
//! the order of their making. Ids chosen by people (queues, agents, articles) are short slugs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// Crockford's alphabet: no `i`, `l`, `o`, `u`, so an id read aloud survives the telephone.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Length of a server-made id as text: 26 characters of five bits hold 128 bits.
const TEXT_LEN: usize = 26;

/// Longest slug that a person may choose, in characters.
pub const SLUG_LEN_MAX: usize = 63;

/// Shortest slug that a person may choose, in characters.
pub const SLUG_LEN_MIN: usize = 2;

/// A text that is no identifier of the kind asked for. Nothing was looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdError {
    /// What was asked for, such as `offer id`.
    pub kind: &'static str,
}

impl fmt::Display for IdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a well-formed {}", self.kind)
    }
}

impl std::error::Error for IdError {}

fn write_base32(value: u128, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut text = [0u8; TEXT_LEN];
    for (place, byte) in text.iter_mut().rev().enumerate() {
        let digit = (value >> (place * 5)) & 31;
        *byte = ALPHABET[digit as usize];
    }
    f.write_str(std::str::from_utf8(&text).unwrap_or_default())
}

fn parse_base32(text: &str) -> Option<u128> {
    if text.len() != TEXT_LEN {
        return None;
    }
    let mut value: u128 = 0;
    for (place, byte) in text.bytes().enumerate() {
        let digit = ALPHABET.iter().position(|&known| known == byte)? as u128;
        // 26 × 5 is 130 bits: the first character may carry three.
        if place == 0 && digit > 7 {
            return None;
        }
        value = (value << 5) | digit;
    }
    Some(value)
}

macro_rules! made_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(u128);

        impl $name {
            /// Puts an id together from the time of its making and a number never given out before.
            #[must_use]
            pub const fn new(now: Timestamp, sequence: u64) -> Self {
                // 48 bits of milliseconds last until the year 10889.
                let millis = (now.as_millis() & 0xffff_ffff_ffff) as u128;
                Self((millis << 80) | sequence as u128)
            }

            /// The 16 bytes that keys are made of; they sort as the ids do.
            #[must_use]
            pub const fn to_bytes(self) -> [u8; 16] {
                self.0.to_be_bytes()
            }

            /// The inverse of [`Self::to_bytes`].
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(u128::from_be_bytes(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_base32(self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                parse_base32(text).map(Self).ok_or(IdError { kind: $kind })
            }
        }
    };
}

made_id!(
    /// One piece of work, from arrival to closing.
    InteractionId,
    "interaction id"
);
made_id!(
    /// One attempt to hand one interaction to one agent.
    OfferId,
    "offer id"
);
made_id!(
    /// One mail, immutable, received or sent. Not the header `Message-ID`.
    MessageId,
    "message id"
);
made_id!(
    /// One entry of a case's feed.
    EntryId,
    "entry id"
);
made_id!(
    /// One file that an agent uploads.
    AttachmentId,
    "attachment id"
);
made_id!(
    /// One signed-in agent client.
    SessionId,
    "session id"
);
made_id!(
    /// One API key.
    KeyId,
    "key id"
);

macro_rules! chosen_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// The slug itself.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                if is_slug(text) {
                    Ok(Self(text.into()))
                } else {
                    Err(IdError { kind: $kind })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.as_str().to_owned()
            }
        }
    };
}

chosen_id!(
    /// A queue's slug, chosen by the administrator: 2 to 63 of `a-z`, `0-9` and `-`.
    QueueId,
    "queue id (2 to 63 of a-z, 0-9 and -)"
);
chosen_id!(
    /// An agent's slug, chosen by the administrator: 2 to 63 of `a-z`, `0-9` and `-`.
    AgentId,
    "agent id (2 to 63 of a-z, 0-9 and -)"
);
chosen_id!(
    /// An article's slug, chosen by who writes it: 2 to 63 of `a-z`, `0-9` and `-`.
    ArticleId,
    "article id (2 to 63 of a-z, 0-9 and -)"
);

/// Whether a text may name a queue, an agent or an article: it goes into header fields, keys and file names,
/// so the alphabet is narrow and the ends are letters or digits.
fn is_slug(text: &str) -> bool {
    (SLUG_LEN_MIN..=SLUG_LEN_MAX).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_bytes_come_back() {
        for (millis, sequence) in [(0, 0), (1, 1), (1_795_000_000_000, u64::MAX)] {
            let id = OfferId::new(Timestamp::from_millis(millis), sequence);
            assert_eq!(id.to_string().len(), TEXT_LEN);
            assert_eq!(id.to_string().parse(), Ok(id));
            assert_eq!(OfferId::from_bytes(id.to_bytes()), id);
        }
    }

    #[test]
    fn text_sorts_as_the_ids_do() {
        let earlier = MessageId::new(Timestamp::from_millis(5), 9);
        let later = MessageId::new(Timestamp::from_millis(6), 1);
        assert!(earlier < later);
        assert!(earlier.to_string() < later.to_string());
    }

    #[test]
    fn only_well_formed_texts_are_ids() {
        for text in [
            "",
            "0",
            "8zzzzzzzzzzzzzzzzzzzzzzzzz",
            "0000000000000000000000000u",
            "0000000000000000000000000\u{e9}",
            "00000000000000000000000000000000000000000000",
        ] {
            assert!(text.parse::<InteractionId>().is_err(), "{text:?}");
        }
        assert!(
            "7zzzzzzzzzzzzzzzzzzzzzzzzz"
                .parse::<InteractionId>()
                .is_ok()
        );
    }

    #[test]
    fn slugs() {
        for good in ["support", "sales-eu", "q1", "a1"] {
            assert!(good.parse::<QueueId>().is_ok(), "{good}");
        }
        for bad in ["", "a", "-a", "a-", "Support", "a b", "a\r\nb", "a/b", "ü1"] {
            assert!(bad.parse::<AgentId>().is_err(), "{bad}");
        }
    }
}
