//! Patterns: how rules say which addresses and field values they mean. There is one special
//! character, `*`, for any text; letter case does not matter.
//!
//! No regular expressions: most of what is wanted is a beginning, an end or a word, and a pattern
//! that takes time to match would take it from every letter.

use std::fmt;

use crate::mail::address::normal_domain;

/// Longest pattern in bytes: room for the longest address.
pub const PATTERN_BYTES_MAX: usize = 320;

/// Longest name of a header field in bytes; the longest registered one has half of that.
const NAME_BYTES_MAX: usize = 80;

/// Why a text is no pattern. The administrator's move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatternError {
    /// Nothing in it.
    Empty,
    /// More than [`PATTERN_BYTES_MAX`] bytes.
    TooLong,
    /// No address has it, so it would never match.
    NoAddress,
    /// A field pattern without a colon.
    NoColon,
    /// What stands before the colon is no name of a header field.
    Name,
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("it is empty"),
            Self::TooLong => write!(f, "it is longer than {PATTERN_BYTES_MAX} bytes"),
            Self::NoAddress => f.write_str(
                "it is no address, no domain, no .domain for those below it, and has no *",
            ),
            Self::NoColon => f.write_str("it has to be a field's name, a colon and a pattern"),
            Self::Name => f.write_str(
                "what stands before the colon is no name of a header field: letters, digits and hyphens",
            ),
        }
    }
}

impl std::error::Error for PatternError {}

/// Text with `*` for any text, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wildcard(String);

impl Wildcard {
    /// Takes a pattern.
    ///
    /// # Errors
    ///
    /// [`PatternError::Empty`], [`PatternError::TooLong`].
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        match text.len() {
            0 => Err(PatternError::Empty),
            1..=PATTERN_BYTES_MAX => Ok(Self(text.to_lowercase())),
            _ => Err(PatternError::TooLong),
        }
    }

    /// Whether the whole of a text in lower case is meant.
    ///
    /// Each piece between two stars is taken where it first comes, so the work is linear in the
    /// text: a later place can only leave less to the pieces after it.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let Some((first, rest)) = self.0.split_once('*') else {
            return text == self.0;
        };
        let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
        let Some(mut text) = text.strip_prefix(first) else {
            return false;
        };
        for piece in middle.split('*') {
            match text.split_once(piece) {
                _ if piece.is_empty() => {}
                Some((_, after)) => text = after,
                None => return false,
            }
        }
        text.ends_with(last)
    }

    fn is_plain(&self) -> bool {
        !self.0.contains('*')
    }
}

impl fmt::Display for Wildcard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which addresses are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddressPattern {
    /// `<>`: no address at all, as bounces have it.
    Null,
    /// `anna@shop.example`, `*@shop.example`: the whole address.
    Address(Wildcard),
    /// `shop.example`, `shop.*`: the domain.
    Domain(Wildcard),
    /// `.shop.example`: every domain below it, and not itself.
    Below(String),
}

impl AddressPattern {
    /// Reads a pattern; international domains may be written as they are read.
    ///
    /// # Errors
    ///
    /// [`PatternError`].
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text == "<>" {
            return Ok(Self::Null);
        }
        let wildcard = Wildcard::parse(text)?;
        let domain = |text: &str| normal_domain(text).map_err(|_| PatternError::NoAddress);
        if let Some((local, after)) = text.rsplit_once('@') {
            if wildcard.is_plain() && local.is_empty() {
                return Err(PatternError::NoAddress);
            }
            if after.contains('*') {
                return Ok(Self::Address(wildcard));
            }
            let whole = format!("{local}@{}", domain(after)?);
            return Ok(Self::Address(Wildcard::parse(&whole)?));
        }
        if let Some(parent) = text.strip_prefix('.') {
            return Ok(Self::Below(format!(".{}", domain(parent)?)));
        }
        if wildcard.is_plain() {
            return Ok(Self::Domain(Wildcard(domain(text)?)));
        }
        Ok(Self::Domain(wildcard))
    }

    /// Whether an address in lower case is meant; empty is the null sender.
    #[must_use]
    pub fn matches(&self, address: &str) -> bool {
        let Some((_, domain)) = address.rsplit_once('@') else {
            // Something that is no address is meant by nothing but its own spelling.
            return match self {
                Self::Null => address.is_empty(),
                Self::Address(whole) => !address.is_empty() && whole.matches(address),
                Self::Domain(_) | Self::Below(_) => false,
            };
        };
        match self {
            Self::Null => false,
            Self::Address(whole) => whole.matches(address),
            Self::Domain(wanted) => wanted.matches(domain),
            Self::Below(parent) => domain.ends_with(parent.as_str()),
        }
    }

    /// The one address that is meant, if it is one.
    #[must_use]
    pub fn single(&self) -> Option<&str> {
        match self {
            Self::Address(whole) if whole.is_plain() => Some(&whole.0),
            Self::Null | Self::Address(_) | Self::Domain(_) | Self::Below(_) => None,
        }
    }
}

impl fmt::Display for AddressPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("<>"),
            Self::Address(wildcard) | Self::Domain(wildcard) => wildcard.fmt(f),
            Self::Below(parent) => f.write_str(parent),
        }
    }
}

/// A field with a value, as a letter has it: `Subject: *refund*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldPattern {
    /// The name in lower case.
    pub name: String,
    /// What its value is like, encoded words decoded and white space around it taken off.
    pub value: Wildcard,
}

impl FieldPattern {
    /// Reads `Name: pattern`.
    ///
    /// # Errors
    ///
    /// [`PatternError`].
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let (name, value) = text.split_once(':').ok_or(PatternError::NoColon)?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(plain) {
            return Err(PatternError::Name);
        }
        Ok(Self {
            name: name.to_ascii_lowercase(),
            value: Wildcard::parse(value.trim())?,
        })
    }
}

impl fmt::Display for FieldPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_text() {
        for (pattern, text, expected) in [
            ("yes", "yes", true),
            ("yes", "yes!", false),
            ("YES", "yes", true),
            ("*", "", true),
            ("*", "anything", true),
            ("**", "anything", true),
            ("a*", "a", true),
            ("a*", "ba", false),
            ("*a", "ba", true),
            ("*a", "ab", false),
            ("*refund*", "a refund, please", true),
            ("*refund*", "a re fund", false),
            // The beginning and the end may not share letters.
            ("ab*ba", "aba", false),
            ("ab*ba", "abba", true),
            ("a*b*c", "a b b c", true),
            ("a*b*c", "a c b", false),
            ("a*bc*bc", "abcbc", true),
            ("a*bc*bc", "abc", false),
            ("*ä*", "zählt", true),
        ] {
            let found = Wildcard::parse(pattern).unwrap().matches(text);
            assert_eq!(found, expected, "{pattern} {text}");
        }
    }

    #[test]
    fn a_long_text_is_read_once() {
        // A matcher that went back at each star would not come to an end.
        let pattern = Wildcard::parse(&"*a".repeat(100)).unwrap();
        assert!(!pattern.matches(&format!("{}b", "a".repeat(1 << 20))));
    }

    #[test]
    fn addresses_are_meant_whole_by_domain_or_from_below() {
        for (pattern, address, expected) in [
            ("anna@shop.example", "anna@shop.example", true),
            ("Anna@Shop.Example.", "anna@shop.example", true),
            ("anna@shop.example", "bert@shop.example", false),
            ("*@shop.example", "bert@shop.example", true),
            ("*+spam@shop.example", "anna+spam@shop.example", true),
            ("shop.example", "anna@shop.example", true),
            ("shop.example", "anna@eu.shop.example", false),
            ("shop.example", "anna@myshop.example", false),
            (".shop.example", "anna@eu.shop.example", true),
            (".shop.example", "anna@shop.example", false),
            (".shop.example", "anna@myshop.example", false),
            ("shop.*", "anna@shop.example", true),
            ("shop.*", "shop.x@other.example", false),
            ("bücher.example", "a@xn--bcher-kva.example", true),
            ("*", "a@b.example", true),
            ("*", "", false),
            ("*@*", "", false),
            ("<>", "", true),
            ("<>", "a@b.example", false),
            ("shop.example", "shop.example", false),
            ("anna@*", "anna@x@shop.example", true),
        ] {
            let found = AddressPattern::parse(pattern).unwrap().matches(address);
            assert_eq!(found, expected, "{pattern} {address}");
        }
        let single = |text| {
            AddressPattern::parse(text)
                .unwrap()
                .single()
                .map(str::to_owned)
        };
        assert_eq!(single("A@shop.example").as_deref(), Some("a@shop.example"));
        assert_eq!(single("*@shop.example"), None);
        assert_eq!(single("shop.example"), None);
    }

    #[test]
    fn what_could_never_match_is_no_pattern() {
        for (text, error) in [
            ("", PatternError::Empty),
            ("@shop.example", PatternError::NoAddress),
            ("anna@-", PatternError::NoAddress),
            ("shop example", PatternError::NoAddress),
            (".", PatternError::NoAddress),
            (&"x".repeat(PATTERN_BYTES_MAX + 1), PatternError::TooLong),
        ] {
            assert_eq!(AddressPattern::parse(text), Err(error), "{text}");
        }
        for (text, error) in [
            ("Subject", PatternError::NoColon),
            (": x", PatternError::Name),
            ("Sub ject: x", PatternError::Name),
            ("Betreff\u{e4}: x", PatternError::Name),
            ("Subject:", PatternError::Empty),
            ("Subject: ", PatternError::Empty),
        ] {
            assert_eq!(FieldPattern::parse(text), Err(error), "{text}");
        }
        let field = FieldPattern::parse("X-Spam-Flag: YES").unwrap();
        assert_eq!(field.to_string(), "x-spam-flag: yes");
    }
}
