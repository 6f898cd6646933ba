//! A mail address: parsed, normalised, compared and printed. The name shown beside it belongs to
//! `mailbox`.
//!
//! What is refused here can never reach an SMTP command or a header field: line ends, NUL and
//! every other control character, unquoted specials, and domains that no resolver could look up.
//! The null sender `<>` is no address; callers hold an `Option`.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::text::is_deceptive;

/// Longest local part in bytes (RFC 5321, section 4.5.3.1.1).
pub const LOCAL_BYTES_MAX: usize = 64;

/// Longest domain in bytes (RFC 5321, section 4.5.3.1.2).
pub const DOMAIN_BYTES_MAX: usize = 255;

/// Longest text looked at as an address, in bytes: a source route (RFC 5321, appendix C) may
/// precede the longest address.
const TEXT_BYTES_MAX: usize = 2048;

/// One address, `local@domain`.
///
/// The domain is in the form in which it is looked up: lower case, no trailing dot, A-labels
/// (RFC 5890) for anything international. The local part keeps its spelling without quotes.
/// Two addresses are equal when they name the same mailbox as the world uses them: letter case
/// of ASCII does not count, although RFC 5321 would let a server tell `Anna` from `anna`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address {
    local: Box<str>,
    domain: Box<str>,
}

impl Address {
    /// Reads an address, with or without angle brackets, a source route (which is dropped) or a
    /// quoted local part. White space around it does not count.
    ///
    /// # Errors
    ///
    /// Anything that is not exactly one usable address; see [`AddressError`].
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(AddressError::TooLong);
        }
        // Before trimming, so that "a@b\r\n" from a client is refused and not mended.
        if text.chars().any(|c| c.is_control() && c != '\t') {
            return Err(AddressError::Control);
        }
        if text.chars().any(is_deceptive) {
            return Err(AddressError::Deceptive);
        }
        let text = text.trim();
        let text = match text.strip_prefix('<') {
            Some(inner) => inner.strip_suffix('>').ok_or(AddressError::Syntax)?.trim(),
            None => text,
        };
        if text.is_empty() {
            return Err(AddressError::Empty);
        }
        // RFC 5321, section 4.1.2: a server accepts `@relay,@relay:local@domain` and ignores the
        // relays.
        let text = match text.strip_prefix('@') {
            Some(route) => route.split_once(':').ok_or(AddressError::Syntax)?.1,
            None => text,
        };
        let (local, domain) = if text.starts_with('"') {
            unquote(text)?
        } else {
            let (local, domain) = text.rsplit_once('@').ok_or(AddressError::NoDomain)?;
            if local.is_empty() || !local.chars().all(is_local_char) {
                return Err(AddressError::Syntax);
            }
            (local.to_owned(), domain)
        };
        Self::from_parts(&local, domain)
    }

    /// Reads an address from bytes off the wire, which must be UTF-8 (RFC 6531).
    ///
    /// # Errors
    ///
    /// As [`Self::parse`].
    pub fn parse_bytes(bytes: &[u8]) -> Result<Self, AddressError> {
        std::str::from_utf8(bytes)
            .map_err(|_| AddressError::Syntax)
            .and_then(Self::parse)
    }

    /// Puts an address together from a local part without quotes and a domain.
    ///
    /// # Errors
    ///
    /// Either part may be empty, too long or hold what it must not.
    pub fn from_parts(local: &str, domain: &str) -> Result<Self, AddressError> {
        if local.is_empty() {
            return Err(AddressError::Empty);
        }
        if local.len() > LOCAL_BYTES_MAX {
            return Err(AddressError::TooLong);
        }
        if local.chars().any(char::is_control) {
            return Err(AddressError::Control);
        }
        if local.chars().any(is_deceptive) {
            return Err(AddressError::Deceptive);
        }
        Ok(Self {
            local: local.into(),
            domain: normal_domain(domain)?.into(),
        })
    }

    /// The part before the `@`, without quotes.
    #[must_use]
    pub fn local(&self) -> &str {
        &self.local
    }

    /// The domain: lower case, A-labels, no trailing dot.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The text that is equal for equal addresses: what keys and signatures are made of.
    #[must_use]
    pub fn normalised(&self) -> String {
        format!("{}@{}", self.local.to_ascii_lowercase(), self.domain)
    }

    /// Whether submission needs SMTPUTF8 (RFC 6531). Domains never do: they are A-labels here.
    #[must_use]
    pub fn needs_smtputf8(&self) -> bool {
        !self.local.is_ascii()
    }

    /// Splits `name+detail@domain` at the first delimiter, as Postfix does with
    /// `recipient_delimiter`: the address without the detail, and the detail. An address that
    /// begins with the delimiter has no detail.
    #[must_use]
    pub fn split_detail(&self, delimiter: char) -> (Self, Option<&str>) {
        match self.local.split_once(delimiter) {
            Some((name, detail)) if !name.is_empty() => (
                Self {
                    local: name.into(),
                    domain: self.domain.clone(),
                },
                Some(detail),
            ),
            _ => (self.clone(), None),
        }
    }

    fn cmp_key(&self) -> (&str, impl Iterator<Item = u8> + '_) {
        (
            &self.domain,
            self.local.bytes().map(|b| b.to_ascii_lowercase()),
        )
    }
}

impl PartialEq for Address {
    fn eq(&self, other: &Self) -> bool {
        self.domain == other.domain && self.local.eq_ignore_ascii_case(&other.local)
    }
}

impl Eq for Address {}

impl Hash for Address {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let (domain, local) = self.cmp_key();
        domain.hash(state);
        for byte in local {
            byte.hash(state);
        }
    }
}

impl Ord for Address {
    /// By domain, then by local part, so that a scan finds a company's addresses together.
    fn cmp(&self, other: &Self) -> Ordering {
        let (domain, local) = self.cmp_key();
        let (other_domain, other_local) = other.cmp_key();
        domain
            .cmp(other_domain)
            .then_with(|| local.cmp(other_local))
    }
}

impl PartialOrd for Address {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Address {
    /// As it stands in an SMTP command between the brackets; quoted where it must be.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_dot_string(&self.local) {
            write!(f, "{}@{}", self.local, self.domain)
        } else {
            f.write_str("\"")?;
            for c in self.local.chars() {
                if matches!(c, '"' | '\\') {
                    f.write_str("\\")?;
                }
                write!(f, "{c}")?;
            }
            write!(f, "\"@{}", self.domain)
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Address {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        Self::parse(&text)
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.to_string()
    }
}

/// Why a text is no address. Whoever wrote it must write another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressError {
    /// There is nothing, or nothing before the `@`.
    Empty,
    /// There is no `@` with a domain behind it.
    NoDomain,
    /// The local part is longer than 64 bytes or the domain longer than 255.
    TooLong,
    /// A line end, NUL or another control character: an attempt to write header fields or SMTP
    /// commands through an address.
    Control,
    /// A character that reorders or hides its neighbours.
    Deceptive,
    /// Anything else that RFC 5321 has no reading for.
    Syntax,
    /// The domain is no name that could be looked up.
    Domain,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the address is empty",
            Self::NoDomain => "the address has no domain",
            Self::TooLong => "the address is too long (64 bytes before the @, 255 behind it)",
            Self::Control => "the address holds a control character",
            Self::Deceptive => "the address holds an invisible or reordering character",
            Self::Syntax => "not a mail address",
            Self::Domain => "the domain of the address is not well-formed",
        })
    }
}

impl std::error::Error for AddressError {}

/// Normalises a domain: A-labels, lower case, no trailing dot; an address literal in brackets
/// (RFC 5321, section 4.1.3) stays one.
///
/// # Errors
///
/// When it is empty, longer than [`DOMAIN_BYTES_MAX`], or not made of labels of 1 to 63 letters,
/// digits, hyphens and (as seen in the wild) underscores.
pub fn normal_domain(domain: &str) -> Result<String, AddressError> {
    if domain.is_empty() {
        return Err(AddressError::NoDomain);
    }
    // A U-label may be longer than its A-label in bytes, but never by that much.
    if domain.len() > DOMAIN_BYTES_MAX * 4 {
        return Err(AddressError::TooLong);
    }
    if let Some(inner) = domain.strip_prefix('[') {
        let inner = inner.strip_suffix(']').ok_or(AddressError::Domain)?;
        let plain = inner
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b':' | b'-'));
        if inner.is_empty() || !plain {
            return Err(AddressError::Domain);
        }
        return if domain.len() <= DOMAIN_BYTES_MAX {
            Ok(domain.to_ascii_lowercase())
        } else {
            Err(AddressError::TooLong)
        };
    }
    let domain = domain.strip_suffix('.').unwrap_or(domain);
    let ascii = if domain.is_ascii() {
        domain.to_ascii_lowercase()
    } else {
        idna::domain_to_ascii(domain).map_err(|_| AddressError::Domain)?
    };
    if ascii.len() > DOMAIN_BYTES_MAX {
        return Err(AddressError::TooLong);
    }
    let well_formed = ascii.split('.').all(|label| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    });
    if well_formed {
        Ok(ascii)
    } else {
        Err(AddressError::Domain)
    }
}

/// Whether one domain is the other or lies below it: `a.example.org` is within `example.org`.
/// Both are expected in normal form.
#[must_use]
pub fn is_within(domain: &str, parent: &str) -> bool {
    domain == parent
        || domain
            .strip_suffix(parent)
            .is_some_and(|rest| rest.ends_with('.'))
}

/// Reads `"quoted"@domain` into the text between the quotes and the domain.
fn unquote(text: &str) -> Result<(String, &str), AddressError> {
    let mut local = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((_, c)) = chars.next() {
        match c {
            '\\' => local.push(chars.next().ok_or(AddressError::Syntax)?.1),
            '"' => {
                let rest = chars.next();
                return match rest {
                    Some((at, '@')) => Ok((local, text.get(at + 1..).unwrap_or_default())),
                    _ => Err(AddressError::NoDomain),
                };
            }
            c => local.push(c),
        }
    }
    Err(AddressError::Syntax)
}

/// What may stand in a local part without quotes: `atext` (RFC 5322, section 3.2.3), dots, and
/// UTF-8 (RFC 6532). Dots in odd places are let through, because some telephone companies gave
/// out such addresses; they are printed in quotes.
fn is_local_char(c: char) -> bool {
    is_atext(c) || c == '.'
}

/// `atext` of RFC 5322, section 3.2.3, with the extension of RFC 6532; blanks of other scripts are
/// blanks all the same.
#[must_use]
pub fn is_atext(c: char) -> bool {
    matches!(
        c,
        'a'..='z' | 'A'..='Z' | '0'..='9'
            | '!' | '#' | '$' | '%' | '&' | '\'' | '*' | '+' | '-' | '/' | '=' | '?' | '^' | '_'
            | '`' | '{' | '|' | '}' | '~' | '\u{a0}'..
    ) && !c.is_whitespace()
}

fn is_dot_string(local: &str) -> bool {
    local
        .split('.')
        .all(|atom| !atom.is_empty() && atom.chars().all(is_atext))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads() {
        for (text, printed) in [
            ("anna@shop.example", "anna@shop.example"),
            ("  <Anna.Berg@SHOP.Example.>  ", "Anna.Berg@shop.example"),
            ("<@relay.example,@b:anna@shop.example>", "anna@shop.example"),
            ("@relay.example:anna@shop.example", "anna@shop.example"),
            ("\"anna berg\"@shop.example", "\"anna berg\"@shop.example"),
            ("\"anna\"@shop.example", "anna@shop.example"),
            (r#""a\"b\\c@d"@shop.example"#, r#""a\"b\\c@d"@shop.example"#),
            ("anna..berg.@phone.example", "\"anna..berg.\"@phone.example"),
            ("support+r23@shop.example", "support+r23@shop.example"),
            ("anna@b\u{fc}cher.example", "anna@xn--bcher-kva.example"),
            ("anna@xn--bcher-kva.example", "anna@xn--bcher-kva.example"),
            ("j\u{f6}rg@shop.example", "j\u{f6}rg@shop.example"),
            ("root@localhost", "root@localhost"),
            ("root@[192.0.2.1]", "root@[192.0.2.1]"),
            ("root@[IPv6:2001:db8::1]", "root@[ipv6:2001:db8::1]"),
            ("a_b@under_score.example", "a_b@under_score.example"),
            ("\"\u{a0}\"@shop.example", "\"\u{a0}\"@shop.example"),
        ] {
            let address = Address::parse(text).expect(text);
            assert_eq!(address.to_string(), printed);
            assert_eq!(Address::parse(printed), Ok(address));
        }
    }

    #[test]
    fn refuses() {
        use AddressError::*;
        for (text, why) in [
            ("", Empty),
            ("<>", Empty),
            ("  ", Empty),
            ("@shop.example", Syntax),
            ("anna", NoDomain),
            ("anna@", NoDomain),
            ("\"\"@shop.example", Empty),
            ("anna@shop.example\r\nRCPT TO:<x@y>", Control),
            ("anna@shop.example\n", Control),
            ("an\0na@shop.example", Control),
            ("\"an\r\nna\"@shop.example", Control),
            ("an\u{85}na@shop.example", Control),
            ("an\u{202e}na@shop.example", Deceptive),
            ("anna berg@shop.example", Syntax),
            ("anna@shop.example, b@shop.example", Syntax),
            ("<anna@shop.example", Syntax),
            ("anna@shop.example>", Domain),
            ("<a@b><c@d>", Syntax),
            ("(comment)anna@shop.example", Syntax),
            ("\"anna@shop.example", Syntax),
            ("\"anna\"shop.example", NoDomain),
            ("\"anna\\", Syntax),
            ("anna@shop..example", Domain),
            ("anna@-shop.example", Domain),
            ("anna@sh op.example", Domain),
            ("anna@[192.0.2.1", Domain),
            ("anna@[]", Domain),
            ("anna@[<>]", Domain),
            ("a@b@c", Syntax),
        ] {
            assert_eq!(Address::parse(text), Err(why), "{text:?}");
        }
        assert_eq!(Address::parse_bytes(b"a\xff@b.example"), Err(Syntax));
    }

    #[test]
    fn bounds() {
        let local = "l".repeat(LOCAL_BYTES_MAX);
        assert!(Address::parse(&format!("{local}@x.example")).is_ok());
        assert_eq!(
            Address::parse(&format!("{local}l@x.example")),
            Err(AddressError::TooLong)
        );
        let label = "d".repeat(63);
        let domain = format!("{label}.{label}.{label}.{label}");
        assert_eq!(domain.len(), DOMAIN_BYTES_MAX);
        assert!(Address::parse(&format!("a@{domain}")).is_ok());
        assert_eq!(
            Address::parse(&format!("a@{label}.{domain}")),
            Err(AddressError::TooLong)
        );
        assert_eq!(
            Address::parse(&format!("a@{label}d.example")),
            Err(AddressError::Domain)
        );
        let flood = "<".repeat(1 << 20);
        assert_eq!(Address::parse(&flood), Err(AddressError::TooLong));
    }

    #[test]
    fn equal_means_the_same_mailbox() {
        let anna = Address::parse("Anna@Shop.Example").unwrap();
        let small = Address::parse("anna@shop.example.").unwrap();
        assert_eq!(anna, small);
        assert_eq!(anna.cmp(&small), Ordering::Equal);
        assert_eq!(anna.normalised(), small.normalised());
        assert_ne!(anna, Address::parse("anna@shop2.example").unwrap());
    }

    #[test]
    fn details() {
        for (text, name, detail) in [
            ("sales@x.example", "sales@x.example", None),
            ("sales+news@x.example", "sales@x.example", Some("news")),
            ("sales+a+b@x.example", "sales@x.example", Some("a+b")),
            ("sales+@x.example", "sales@x.example", Some("")),
            ("+news@x.example", "+news@x.example", None),
        ] {
            let address = Address::parse(text).unwrap();
            let (base, got) = address.split_detail('+');
            assert_eq!((base.to_string().as_str(), got), (name, detail));
        }
    }

    #[test]
    fn domains_below_domains() {
        assert!(is_within("shop.example", "shop.example"));
        assert!(is_within("mail.shop.example", "shop.example"));
        assert!(!is_within("evilshop.example", "shop.example"));
        assert!(!is_within("example", "shop.example"));
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_the_same(local in "\\PC{1,20}", domain in "[a-z]{1,9}(\\.[a-z0-9]{1,9}){0,3}") {
            if let Ok(address) = Address::from_parts(&local, &domain) {
                let printed = address.to_string();
                prop_assert!(!printed.contains(['\r', '\n', '\0']));
                let read = Address::parse(&printed).expect("what we print we read");
                prop_assert_eq!(read.local(), address.local());
                prop_assert_eq!(read, address);
            }
        }

        #[test]
        fn any_text_is_an_address_or_an_error(text in "[ -~\\t\\r\\n\u{e4}<>@\"\\\\]{0,40}") {
            if let Ok(address) = Address::parse(&text) {
                prop_assert_eq!(Address::parse(&address.to_string()), Ok(address));
            }
        }
    }
}
