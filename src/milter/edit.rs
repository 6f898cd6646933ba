//! Changes to a message that we ask of the MTA: our own header fields in, forged ones out, and
//! recipients whose mail is only ours.

use std::fmt;

use bytes::Bytes;

use super::arrival::{Header, Recipient};

/// Preferred longest line of a header field, in characters without the line end (RFC 5322
/// section 2.1.1).
const LINE_LEN_PREFERRED: usize = 78;

/// Longest value of a tag in bytes; no line of it can come near the 998 that RFC 5322 forbids to
/// pass, because a value without a space to fold at is no longer than this.
pub const VALUE_BYTES_MAX: usize = 900;

/// One change, in the order of the protocol's own two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// Deletes one field.
    DeleteHeader {
        /// Name of the field; case does not matter.
        name: FieldName,
        /// Which of the fields with this name, from 1, as they stand when the edit is made.
        index: u32,
    },
    /// Inserts a field.
    InsertHeader {
        /// How many fields shall stand above it, the MTA's own Received counted.
        index: u32,
        /// Name of the field.
        name: FieldName,
        /// Its value, folded.
        value: FieldValue,
    },
    /// Removes a recipient from the MTA's copy: its mail is ours alone. Where all recipients would
    /// go, the session discards the copy instead, because Postfix drops a message without
    /// recipients silently.
    RemoveRecipient {
        /// [`Recipient::argument`]: the MTA compares with what RCPT said, letter by letter.
        argument: Bytes,
    },
}

/// The name of a header field of ours. The MTA does not check names, and one with a space in it
/// would end the header block: so they are fixed when the program is compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FieldName(&'static str);

impl FieldName {
    /// Checks a name. Meant for constants, where a bad one stops the build.
    ///
    /// # Panics
    ///
    /// If it is empty or has other characters than letters, digits and hyphens.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        let bytes = name.as_bytes();
        assert!(!bytes.is_empty(), "a header field needs a name");
        let mut place = 0;
        while place < bytes.len() {
            assert!(
                bytes[place].is_ascii_alphanumeric() || bytes[place] == b'-',
                "header field names are letters, digits and hyphens"
            );
            place += 1;
        }
        Self(name)
    }

    /// The name itself.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for FieldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// The value of a header field of ours: printable ASCII, not empty (an empty one would mean a
/// deletion), folded with LF and a space where it is long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldValue(String);

/// A text that cannot be the value of a header field. Our own fault: what comes from outside is
/// encoded before it gets here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueError {
    /// Nothing but spaces.
    Empty,
    /// More than [`VALUE_BYTES_MAX`] bytes.
    TooLong,
    /// Something else than printable ASCII.
    NotPrintable,
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "a header value of ours is empty",
            Self::TooLong => "a header value of ours is too long",
            Self::NotPrintable => "a header value of ours is not printable ASCII",
        })
    }
}

impl std::error::Error for ValueError {}

impl FieldValue {
    /// The value as it goes to the MTA: folds are LF and a space. (CR LF would leave a stray CR
    /// in Postfix's queue file.)
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One header field of ours, on its way into a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    name: FieldName,
    value: FieldValue,
}

impl Tag {
    /// Checks the text and folds it at its spaces, so that lines stay within 78 characters where
    /// there are spaces to fold at.
    pub fn new(name: FieldName, text: &str) -> Result<Self, ValueError> {
        if text.len() > VALUE_BYTES_MAX {
            return Err(ValueError::TooLong);
        }
        if !text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Err(ValueError::NotPrintable);
        }
        let mut value = String::with_capacity(text.len());
        let mut column = name.as_str().len() + 1;
        for word in text.split_ascii_whitespace() {
            if column + 1 + word.len() > LINE_LEN_PREFERRED && !value.is_empty() {
                value.push_str("\n ");
                column = 1;
            } else {
                if !value.is_empty() {
                    value.push(' ');
                }
                column += 1;
            }
            value.push_str(word);
            column += word.len();
        }
        if value.is_empty() {
            return Err(ValueError::Empty);
        }
        Ok(Self {
            name,
            value: FieldValue(value),
        })
    }
}

/// Plans how our fields get into a message and forged ones out of it: every received field whose
/// name is in `ours` goes, whatever its letter case, then the tags are put in.
///
/// Deletions come first, because afterwards they would hit our own; and of one name the last copy
/// first, because Postfix renumbers at once: deleting copies 1, 2, 3 in this order would leave the
/// second alive.
///
/// The tags go in at index 1, directly below the Received field that Postfix adds and does not
/// show us, on top of all that came from outside. Index 0, above that field, would be the place
/// for a trace of the receiving host itself, such as Authentication-Results. Of several fields
/// inserted at one index the last ends up on top, so they are sent in reverse order.
#[must_use]
pub fn plan_tags(received: &[Header], ours: &[FieldName], tags: &[Tag]) -> Vec<Edit> {
    let mut edits = Vec::new();
    for &name in ours {
        edits.extend(deletions(received, name, |_| true));
    }
    edits.extend(tags.iter().rev().map(|tag| tag.insert(1)));
    edits
}

/// Plans which of the received fields of one name go: those that `forged` points at, the last
/// first, for the reason given at [`plan_tags`].
#[must_use]
pub fn deletions(
    received: &[Header],
    name: FieldName,
    forged: impl Fn(&Header) -> bool,
) -> Vec<Edit> {
    let copies = received
        .iter()
        .filter(|header| header.name.eq_ignore_ascii_case(name.as_str().as_bytes()));
    let mut deletions: Vec<Edit> = (1..)
        .zip(copies)
        .filter(|(_, header)| forged(header))
        .map(|(index, _)| Edit::DeleteHeader { name, index })
        .collect();
    deletions.reverse();
    deletions
}

/// Plans that the MTA delivers nothing to these recipients. One that was named twice is removed
/// once, which removes both.
#[must_use]
pub fn removals(recipients: &[Recipient]) -> Vec<Edit> {
    let mut arguments: Vec<&Bytes> = Vec::new();
    for recipient in recipients {
        if !arguments.contains(&&recipient.argument) {
            arguments.push(&recipient.argument);
        }
    }
    let remove = |argument: &Bytes| Edit::RemoveRecipient {
        argument: argument.clone(),
    };
    arguments.into_iter().map(remove).collect()
}

impl Tag {
    /// Plans the tag as a trace of the receiving host: at index 0, above the MTA's own Received
    /// field (RFC 8601, section 4.1). The last of the edits of a message.
    #[must_use]
    pub fn trace(&self) -> Edit {
        self.insert(0)
    }

    fn insert(&self, index: u32) -> Edit {
        Edit::InsertHeader {
            index,
            name: self.name,
            value: self.value.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CASE: FieldName = FieldName::new("X-Postroom-Case");
    const QUEUE: FieldName = FieldName::new("X-Postroom-Queue");

    fn header(name: &'static str) -> Header {
        Header {
            name: Bytes::from_static(name.as_bytes()),
            value: Bytes::from_static(b" x"),
        }
    }

    #[test]
    fn forged_fields_go_first_and_last_copy_first() {
        let received = [
            header("x-postroom-case"),
            header("From"),
            header("X-POSTROOM-CASE"),
            header("X-Postroom-Queue"),
            header("X-Postroom-Case"),
            header("X-Postroom-Cases"),
        ];
        let tags = [
            Tag::new(CASE, "c1").unwrap(),
            Tag::new(QUEUE, "support").unwrap(),
        ];
        let edits = plan_tags(&received, &[CASE, QUEUE], &tags);
        let shown: Vec<String> = edits
            .iter()
            .map(|edit| match edit {
                Edit::DeleteHeader { name, index } => format!("-{name}#{index}"),
                Edit::InsertHeader { index, name, value } => {
                    format!("+{name}@{index}={}", value.as_str())
                }
                Edit::RemoveRecipient { argument } => format!("{argument:?}"),
            })
            .collect();
        assert_eq!(
            shown,
            [
                "-X-Postroom-Case#3",
                "-X-Postroom-Case#2",
                "-X-Postroom-Case#1",
                "-X-Postroom-Queue#1",
                "+X-Postroom-Queue@1=support",
                "+X-Postroom-Case@1=c1",
            ]
        );
    }

    #[test]
    fn only_what_is_forged_goes_and_the_last_first() {
        let received: Vec<Header> = ["x", "ours", "x", "ours"]
            .iter()
            .map(|value| Header {
                name: Bytes::from_static(b"x-postroom-CASE"),
                value: Bytes::from_static(value.as_bytes()),
            })
            .collect();
        let gone = deletions(&received, CASE, |header| header.value == "ours");
        let at = |index| Edit::DeleteHeader { name: CASE, index };
        assert_eq!(gone, [at(4), at(2)]);
    }

    #[test]
    fn recipients_are_removed_as_they_were_typed_and_once() {
        let typed = ["<a@x>", "<A@x>", "a@x", "<a@x>"];
        let recipients = typed.map(|argument| Recipient::new(argument.as_bytes(), Some(b"a@x")));
        let removed = |argument: &'static str| Edit::RemoveRecipient {
            argument: Bytes::from_static(argument.as_bytes()),
        };
        assert_eq!(
            removals(&recipients),
            [removed("<a@x>"), removed("<A@x>"), removed("a@x")]
        );
    }

    #[test]
    fn values_are_printable_and_folded() {
        assert_eq!(Tag::new(CASE, " "), Err(ValueError::Empty));
        assert_eq!(Tag::new(CASE, "a\nb"), Err(ValueError::NotPrintable));
        assert_eq!(Tag::new(CASE, "a\tb"), Err(ValueError::NotPrintable));
        assert_eq!(Tag::new(CASE, "\u{e9}"), Err(ValueError::NotPrintable));
        assert_eq!(
            Tag::new(CASE, &"x".repeat(VALUE_BYTES_MAX + 1)),
            Err(ValueError::TooLong)
        );
        let long = Tag::new(CASE, &"word ".repeat(100)).unwrap();
        let field = format!("{}: {}", long.name, long.value.as_str());
        assert!(field.lines().count() > 1);
        assert!(field.lines().all(|line| line.len() <= LINE_LEN_PREFERRED));
        assert!(field.lines().skip(1).all(|line| line.starts_with(' ')));
        assert_eq!(
            long.value.as_str().replace("\n ", " "),
            "word ".repeat(100).trim()
        );
    }
}
