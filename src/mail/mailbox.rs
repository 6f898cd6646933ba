//! A mailbox: an address and the name shown beside it; and the lists of them in header fields.
//!
//! A name is decoration. Whatever it claims, only the address counts.

use serde::{Deserialize, Serialize};

use super::address::Address;
use super::decode;
use super::text::{clean_line, is_deceptive};

/// Longest name kept, in characters.
pub const NAME_CHARS_MAX: usize = 120;

/// Most mailboxes kept of one field; more are counted.
pub const MAILBOXES_MAX: usize = 100;

/// An address with the name shown beside it, which may be empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mailbox {
    /// The name: one clean line, at most [`NAME_CHARS_MAX`] characters when it was read.
    pub name: String,
    /// The address.
    pub address: Address,
}

impl Mailbox {
    /// The name if there is one, else the address: what people call it.
    #[must_use]
    pub fn label(&self) -> String {
        if self.name.is_empty() {
            self.address.to_string()
        } else {
            self.name.clone()
        }
    }
}

impl From<Address> for Mailbox {
    fn from(address: Address) -> Self {
        Self {
            name: String::new(),
            address,
        }
    }
}

/// What one address field said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MailboxList {
    /// The mailboxes with a usable address, in their order, at most [`MAILBOXES_MAX`].
    pub mailboxes: Vec<Mailbox>,
    /// How many entries the field had, usable or not.
    pub count: usize,
    /// Whether two readers might disagree on what the field says: addresses in comments, text
    /// after the address, a route, NUL, an entry without an address. Harmless in To; in From it
    /// is a trick.
    pub odd: bool,
}

/// Reads an address list (RFC 5322, sections 3.4 and 4.4), groups included: their members count,
/// their names do not. Linear in the field, whose length `decode::unfold` bounds.
#[must_use]
pub fn parse_list(value: &[u8]) -> MailboxList {
    let text = decode::unfold(value);
    let mut list = MailboxList::default();
    let mut entry = Entry::default();
    let mut state = State::Phrase;
    let mut depth = 0usize;
    let mut escaped = false;
    for c in text.chars() {
        if c.is_control() && c != '\t' || is_deceptive(c) {
            list.odd = true;
        }
        if escaped {
            escaped = false;
            entry.push(state, c);
            continue;
        }
        match (state, c) {
            (State::Quote | State::Comment, '\\') => {
                escaped = true;
                if state == State::Quote {
                    entry.bare.push(c);
                }
            }
            (State::Quote, '"') => {
                entry.bare.push(c);
                state = State::Phrase;
            }
            (State::Comment, '(') => depth += 1,
            (State::Comment, ')') => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    state = State::Phrase;
                }
            }
            (State::Angle | State::Spare, '>') => state = State::Phrase,
            (State::Phrase, '"') => {
                entry.bare.push(c);
                state = State::Quote;
            }
            (State::Phrase, '(') => {
                depth = 1;
                state = State::Comment;
            }
            (State::Phrase, '<') => {
                if entry.angle.is_some() {
                    list.odd = true;
                    state = State::Spare;
                } else {
                    entry.angle = Some(String::new());
                    state = State::Angle;
                }
            }
            (State::Phrase, ',' | ';') => list.finish(std::mem::take(&mut entry)),
            // The name of a group ends here. A colon inside an address literal does not.
            (State::Phrase, ':') if !entry.bare.contains('[') => {
                if entry.bare.contains('@') {
                    list.odd = true;
                }
                entry = Entry::default();
            }
            _ => entry.push(state, c),
        }
    }
    if state != State::Phrase {
        list.odd = true;
    }
    list.finish(entry);
    list
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Phrase,
    Quote,
    Comment,
    Angle,
    /// Within a second pair of brackets, which counts for nothing.
    Spare,
}

/// What stands between two commas.
#[derive(Debug, Default)]
struct Entry {
    /// The phrase without quotes.
    name: String,
    /// The phrase as written: an address if there are no brackets.
    bare: String,
    comment: String,
    angle: Option<String>,
    /// There was text behind the closing bracket.
    trailing: bool,
}

impl Entry {
    fn push(&mut self, state: State, c: char) {
        match state {
            State::Phrase | State::Quote => {
                if self.angle.is_some() && !c.is_whitespace() {
                    self.trailing = true;
                }
                self.name.push(c);
                self.bare.push(c);
            }
            State::Comment => self.comment.push(c),
            State::Angle => {
                if let Some(angle) = &mut self.angle {
                    angle.push(c);
                }
            }
            State::Spare => {}
        }
    }
}

impl MailboxList {
    fn finish(&mut self, entry: Entry) {
        let blank = entry.angle.is_none()
            && entry.bare.trim().is_empty()
            && entry.comment.trim().is_empty();
        if blank {
            return;
        }
        self.count += 1;
        self.odd |= entry.trailing || entry.comment.contains(['@', '<']);
        let (address, name) = match &entry.angle {
            Some(angle) => {
                // `"a@b" <c@d>` is a name; `a@b <c@d>` is two readings.
                let bare_at = entry.bare.contains('@') && !entry.bare.contains('"');
                self.odd |= bare_at || angle.trim_start().starts_with('@');
                (Address::parse(angle), &entry.name)
            }
            None => (Address::parse(&entry.bare), &entry.comment),
        };
        let Ok(address) = address else {
            self.odd = true;
            return;
        };
        if self.mailboxes.len() < MAILBOXES_MAX {
            self.mailboxes.push(Mailbox {
                name: clean_line(&decode::encoded_words(name), NAME_CHARS_MAX),
                address,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: &str, mailboxes: &str, count: usize, odd: bool) {
        let list = parse_list(value.as_bytes());
        let got: Vec<String> = list
            .mailboxes
            .iter()
            .map(|m| format!("{}|{}", m.name, m.address))
            .collect();
        assert_eq!(
            (got.join(" ").as_str(), list.count, list.odd),
            (mailboxes, count, odd),
            "{value:?}"
        );
    }

    #[test]
    fn honest_lists() {
        check("", "", 0, false);
        check("a@x.example", "|a@x.example", 1, false);
        check("Anna Berg <a@x.example>", "Anna Berg|a@x.example", 1, false);
        check(
            "\"Berg, Anna\" <a@x.example>",
            "Berg, Anna|a@x.example",
            1,
            false,
        );
        check("a@x.example (Anna)", "Anna|a@x.example", 1, false);
        check(
            "a@x.example, <b@x.example>,",
            "|a@x.example |b@x.example",
            2,
            false,
        );
        check(
            "=?utf-8?q?J=C3=B6rg?= <j@x.example>",
            "Jörg|j@x.example",
            1,
            false,
        );
        check(
            "\"=?utf-8?q?J=C3=B6rg?=\" <j@x.example>",
            "Jörg|j@x.example",
            1,
            false,
        );
        check(
            "team: a@x.example, b@x.example;",
            "|a@x.example |b@x.example",
            2,
            false,
        );
        check("undisclosed-recipients:;", "", 0, false);
        check(
            "\"boss@our.example\" <x@evil.example>",
            "boss@our.example|x@evil.example",
            1,
            false,
        );
        check("\"a b\"@x.example", "|\"a b\"@x.example", 1, false);
        check(
            "root@[IPv6:2001:db8::1]",
            "|root@[ipv6:2001:db8::1]",
            1,
            false,
        );
        check(
            "Anna \"Ann\\\"a\" <a@x.example>",
            "Anna Ann\"a|a@x.example",
            1,
            false,
        );
    }

    #[test]
    fn tricks() {
        check(
            "<a@good.example>(<b@evil.example>)",
            "|a@good.example",
            1,
            true,
        );
        check(
            "<a@good.example> <b@evil.example>",
            "|a@good.example",
            1,
            true,
        );
        check(
            "a@good.example <b@evil.example>",
            "a@good.example|b@evil.example",
            1,
            true,
        );
        check("<@relay.example:a@x.example>", "|a@x.example", 1, true);
        check("<a@x.example> b", "b|a@x.example", 1, true);
        check("an\0na <a@x.example>", "anna|a@x.example", 1, true);
        check("=?utf-8?q?a=40x.example?=", "", 1, true);
        check("=?utf-8?q?Anna_=3Ca=40x.example=3E?=", "", 1, true);
        check("Anna", "", 1, true);
        check("<>", "", 1, true);
        check("Anna <a@x.example", "Anna|a@x.example", 1, true);
        check("\"Anna <a@x.example>", "", 1, true);
        check("a@x.example: b@x.example;", "|b@x.example", 1, true);
    }

    #[test]
    fn bounds() {
        let many = "a@x.example,".repeat(4000);
        let list = parse_list(many.as_bytes());
        assert_eq!((list.mailboxes.len(), list.count), (MAILBOXES_MAX, 4000));
        let deep = "(".repeat(1 << 20);
        assert!(parse_list(deep.as_bytes()).odd);
    }
}
