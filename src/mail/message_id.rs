//! The `Message-ID` of a letter, which everywhere is called `internet_message_id` to keep it from
//! our own ids; and the lists of them that replies carry.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest id that is kept, in bytes. With brackets and field name it must fit the 998 of one
/// line (RFC 5322, section 2.1.1), because folding inside an id would change it.
pub const ID_BYTES_MAX: usize = 900;

/// Most ids of one field that are considered, from the right: the newest ancestors stand last
/// (RFC 5322, section 3.6.4), and a letter with thousands must not cost thousands of look-ups.
pub const IDS_MAX: usize = 30;

/// An id without its angle brackets. Never empty; holds no white space, no brackets and no
/// control characters, so that it can be written into a header field as it is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InternetMessageId(Box<str>);

impl InternetMessageId {
    /// Takes an id with or without its brackets. An `@` is not required: many programs write
    /// none, and their letters are answered too.
    ///
    /// # Errors
    ///
    /// When it is empty, too long, or holds what would end it.
    pub fn parse(text: &str) -> Result<Self, InternetMessageIdError> {
        let text = text.trim_matches([' ', '\t']);
        let inner = match text.strip_prefix('<') {
            Some(rest) => rest.strip_suffix('>').ok_or(InternetMessageIdError)?,
            None => text,
        };
        let clean = (1..=ID_BYTES_MAX).contains(&inner.len())
            && !inner
                .chars()
                .any(|c| c.is_whitespace() || c.is_control() || matches!(c, '<' | '>'));
        if clean {
            Ok(Self(inner.into()))
        } else {
            Err(InternetMessageIdError)
        }
    }

    /// The id without brackets: what keys are made of.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InternetMessageId {
    /// With brackets, as it stands in a header field.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", self.0)
    }
}

impl fmt::Debug for InternetMessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for InternetMessageId {
    type Err = InternetMessageIdError;

    fn from_str(text: &str) -> Result<Self, InternetMessageIdError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for InternetMessageId {
    type Error = InternetMessageIdError;

    fn try_from(text: String) -> Result<Self, InternetMessageIdError> {
        Self::parse(&text)
    }
}

impl From<InternetMessageId> for String {
    /// Without brackets.
    fn from(id: InternetMessageId) -> Self {
        id.0.into()
    }
}

/// A text that is no message id. Whoever wrote it must write another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InternetMessageIdError;

impl fmt::Display for InternetMessageIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a message id (1 to 900 bytes without white space or angle brackets)")
    }
}

impl std::error::Error for InternetMessageIdError {}

/// The ids of a `References` or `In-Reply-To` field, in their order, at most the [`IDS_MAX`] that
/// stand furthest right, each once.
///
/// Lenient as RFC 5322 asks of readers (section 4.5.4): ids may be folded, separated by commas,
/// surrounded by comments and phrases, or stand without brackets. What has no `@` counts only
/// between brackets, so that words of a phrase are no ids. The work is linear in the field and
/// ends once enough ids are found.
#[must_use]
pub fn rightmost_ids(field: &str) -> Vec<InternetMessageId> {
    let mut ids: Vec<InternetMessageId> = Vec::new();
    let mut rest = field;
    // Whether a bracket may still open further left. Searching again for each stray `>` after it
    // was once in vain would be quadratic.
    let mut opens = true;
    while ids.len() < IDS_MAX && !rest.is_empty() {
        rest = rest.trim_end_matches(is_separator);
        let token;
        if let Some(before) = rest.strip_suffix('>') {
            let found = if opens { before.rfind('<') } else { None };
            let Some(open) = found else {
                opens = false;
                rest = before;
                continue;
            };
            token = before.get(open + 1..).unwrap_or_default();
            rest = rest.get(..open).unwrap_or_default();
        } else {
            let start = rest
                .char_indices()
                .rfind(|&(_, c)| is_separator(c) || c == '>')
                .map_or(0, |(at, c)| at + c.len_utf8());
            let word = rest.get(start..).unwrap_or_default();
            rest = rest.get(..start).unwrap_or_default();
            token = word.trim_start_matches('<');
            if !token.contains('@') {
                continue;
            }
        }
        // A relay that folds inside the brackets has put white space there; no honest id has any.
        let joined: String = token.chars().filter(|c| !c.is_whitespace()).collect();
        if let Ok(id) = InternetMessageId::parse(&joined)
            && !ids.contains(&id)
        {
            ids.push(id);
        }
    }
    ids.reverse();
    ids
}

fn is_separator(c: char) -> bool {
    c.is_whitespace() || c.is_control() || matches!(c, ',' | ';' | '(' | ')' | '"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_one() {
        for (text, inner) in [
            ("<a@b>", Some("a@b")),
            ("a@b", Some("a@b")),
            (" <a@b> ", Some("a@b")),
            ("<no-at>", Some("no-at")),
            ("", None),
            ("<>", None),
            ("<a@b", None),
            ("a b", None),
            ("<a@b>\r\nBcc: x@y", None),
            ("a\0b@c", None),
            ("<a<b>", None),
        ] {
            let id = InternetMessageId::parse(text).ok();
            assert_eq!(
                id.as_ref().map(InternetMessageId::as_str),
                inner,
                "{text:?}"
            );
        }
        assert!(InternetMessageId::parse(&"x".repeat(ID_BYTES_MAX)).is_ok());
        assert!(InternetMessageId::parse(&"x".repeat(ID_BYTES_MAX + 1)).is_err());
    }

    #[test]
    fn reads_lists() {
        for (field, ids) in [
            ("", ""),
            ("<a@b> <c@d>", "a@b c@d"),
            ("<a@b><c@d>", "a@b c@d"),
            ("<a@b>,\r\n\t<c@d>", "a@b c@d"),
            ("a@b c@d", "a@b c@d"),
            ("Your message of \"Monday\" <a@b> (Anna's) c@d", "a@b c@d"),
            ("<a@\r\n b>", "a@b"),
            ("<a@b> <a@b> <c@d> <a@b>", "c@d a@b"),
            ("<a@b", "a@b"),
            ("a@b>", "a@b"),
            ("<no-at> word", "no-at"),
            (">>>><<<", ""),
        ] {
            let got: Vec<String> = rightmost_ids(field).into_iter().map(Into::into).collect();
            assert_eq!(got.join(" "), ids, "{field:?}");
        }
    }

    #[test]
    fn thousands_cost_little() {
        let field: String = (0..4000).map(|n| format!("<{n}@x>\r\n ")).collect();
        let ids = rightmost_ids(&field);
        assert_eq!(ids.len(), IDS_MAX);
        assert_eq!(ids.last().unwrap().as_str(), "3999@x");
        assert_eq!(ids.first().unwrap().as_str(), "3970@x");
        // Nothing but closing brackets: each step must not search the whole field again.
        assert!(rightmost_ids(&"a>".repeat(200_000)).is_empty());
    }
}
