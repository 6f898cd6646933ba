//! How long a letter is sent back because the DNS did not say whether its sender is proved.
//!
//! A sender that is told to come back does so within minutes, and the DNS has mostly recovered by
//! then. After an hour the letter is taken unproved: a domain whose name servers are broken must
//! not keep its customers out for good.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::time::Timestamp;

/// How long a letter is sent back.
const PATIENCE: Duration = Duration::from_secs(60 * 60);

/// How long a letter is remembered. Senders that wait long between two attempts wait four hours;
/// RFC 5321, section 4.5.4.1, has them try for days.
const MEMORY: Duration = Duration::from_secs(24 * 60 * 60);

/// Most letters remembered, a megabyte's worth. Where more are on their way, further ones are
/// taken unproved at once.
const LETTERS_MAX: usize = 10_000;

/// The letters that were sent back, by fingerprint. A restart forgets them, and their hour begins
/// anew.
#[derive(Debug, Default)]
pub struct Patience {
    first_seen: BTreeMap<[u8; 32], Timestamp>,
    /// When the table was last rid of what is too old.
    swept: Timestamp,
}

impl Patience {
    /// Whether a letter that would be better known later is sent back now.
    pub fn has(&mut self, fingerprint: [u8; 32], now: Timestamp) -> bool {
        if now.since(self.swept) >= PATIENCE {
            self.swept = now;
            self.first_seen
                .retain(|_, first| now.since(*first) < MEMORY);
        }
        match self.first_seen.get(&fingerprint) {
            Some(first) => now.since(*first) < PATIENCE,
            None if self.first_seen.len() >= LETTERS_MAX => false,
            None => {
                self.first_seen.insert(fingerprint, now);
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: u64) -> Timestamp {
        Timestamp::from_millis(1_000_000_000) + Duration::from_secs(minutes * 60)
    }

    #[test]
    fn an_hour_and_no_more() {
        let mut patience = Patience::default();
        let (one, two) = ([1; 32], [2; 32]);
        for (letter, minutes, has) in [
            (one, 0, true),
            (one, 15, true),
            (two, 59, true),
            (one, 59, true),
            (one, 60, false),
            (two, 90, true),
            // Whoever comes back late finds the door open.
            (one, 23 * 60, false),
            (two, 23 * 60, false),
            // A day later nobody remembers.
            (one, 25 * 60, true),
        ] {
            assert_eq!(patience.has(letter, at(minutes)), has, "{minutes}");
        }
    }

    #[test]
    fn a_flood_does_not_fill_the_memory() {
        let mut patience = Patience::default();
        let letter = |n: usize| {
            let mut fingerprint = [0; 32];
            fingerprint[..8].copy_from_slice(&n.to_be_bytes());
            fingerprint
        };
        for n in 0..LETTERS_MAX {
            assert!(patience.has(letter(n), at(0)));
        }
        assert!(!patience.has(letter(LETTERS_MAX), at(1)));
        assert_eq!(patience.first_seen.len(), LETTERS_MAX);
        assert!(patience.has(letter(LETTERS_MAX), at(24 * 60)));
    }
}
