//! Responsibility: who keeps a letter once we have it, and what the MTA does with its own copy.
//!
//! The MTA has one copy for all recipients. It can be let go on as it is, go on without some
//! recipients, or be dropped. Dropped it may only be where every recipient's mail is ours alone;
//! and it never goes on without any recipient, because Postfix then drops it without a word.

use serde::Deserialize;

use crate::milter::edit::removals;
use crate::milter::{Edit, Recipient};

/// What becomes of the MTA's copy for the addresses of a queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The MTA delivers its copy: two hold the letter.
    #[default]
    Tag,
    /// The MTA drops its copy if nobody else is to get it, and otherwise delivers it to all.
    Consume,
    /// The MTA delivers its copy to the others only, and drops it if there are none.
    Split,
}

impl Mode {
    /// Whether letters can be with us alone: then what we have written has to last.
    #[must_use]
    pub const fn takes_over(self) -> bool {
        match self {
            Self::Tag => false,
            Self::Consume | Self::Split => true,
        }
    }
}

/// What the MTA does with its copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MtaCopy {
    /// It is dropped. No change may be asked for: header fields would count in the MTA's size
    /// limit, and the client would be refused what we have taken.
    Dropped,
    /// It is delivered to the recipients that remain; at least one does.
    Delivered {
        /// Removes the others.
        removals: Vec<Edit>,
    },
}

/// Decides about the MTA's copy: from the recipients that are ours with the modes of their queues,
/// and the number of the others.
#[must_use]
pub fn mta_copy(ours: &[(&Recipient, Mode)], others: usize) -> MtaCopy {
    if others == 0 && ours.iter().all(|(_, mode)| mode.takes_over()) && !ours.is_empty() {
        return MtaCopy::Dropped;
    }
    let split = ours.iter().filter(|(_, mode)| *mode == Mode::Split);
    let split: Vec<Recipient> = split.map(|(recipient, _)| (*recipient).clone()).collect();
    MtaCopy::Delivered {
        removals: removals(&split),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_copy_is_dropped_only_where_all_of_it_is_ours() {
        // Recipients: t, c and s are addresses of queues in tag, consume and split mode, x others.
        for (recipients, expected) in [
            ("t", "delivered"),
            ("c", "dropped"),
            ("s", "dropped"),
            ("cs", "dropped"),
            ("sss", "dropped"),
            ("x", "delivered"),
            ("tx", "delivered"),
            ("cx", "delivered"),
            ("sx", "delivered without 0"),
            ("ct", "delivered"),
            ("st", "delivered without 0"),
            ("csx", "delivered without 1"),
            ("sts", "delivered without 0 2"),
            ("", "delivered"),
        ] {
            let typed: Vec<Recipient> = (0..recipients.len())
                .map(|place| Recipient {
                    argument: format!("<{place}>").into(),
                    address: format!("a{place}@shop.example").into(),
                })
                .collect();
            let mode = |letter| match letter {
                't' => Some(Mode::Tag),
                'c' => Some(Mode::Consume),
                's' => Some(Mode::Split),
                _ => None,
            };
            let ours: Vec<(&Recipient, Mode)> = (typed.iter().zip(recipients.chars()))
                .filter_map(|(recipient, letter)| Some((recipient, mode(letter)?)))
                .collect();
            let others = recipients.len() - ours.len();
            let found = match mta_copy(&ours, others) {
                MtaCopy::Dropped => "dropped".to_owned(),
                MtaCopy::Delivered { removals } => {
                    assert!(
                        removals.len() < recipients.len() || recipients.is_empty(),
                        "nobody would be left: {recipients}"
                    );
                    let removed = removals.iter().map(|edit| match edit {
                        Edit::RemoveRecipient { argument } => {
                            String::from_utf8_lossy(argument).replace(['<', '>'], "")
                        }
                        Edit::DeleteHeader { .. } | Edit::InsertHeader { .. } => panic!("{edit:?}"),
                    });
                    let removed: Vec<String> = removed.collect();
                    match removed.as_slice() {
                        [] => "delivered".to_owned(),
                        removed => format!("delivered without {}", removed.join(" ")),
                    }
                }
            };
            assert_eq!(found, expected, "{recipients}");
        }
    }
}
