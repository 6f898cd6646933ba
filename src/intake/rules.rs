//! Rules: what the administrator wants done with some letters.
//!
//! The rules stand in an order. The first that matches decides and the rest are not asked; a
//! letter that none matches is filed as usual. A rule asks about the envelope, which is known at
//! RCPT already, and about the letter, which is known at the end of the message: what can be
//! refused by the envelope alone is refused before the content is sent.
//!
//! Pure: the same facts give the same answer, and nothing is looked up. The work is linear in the
//! number of rules and in the length of what they look at, both bounded.

mod pattern;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

pub use pattern::{AddressPattern, FieldPattern, PATTERN_BYTES_MAX, PatternError, Wildcard};

use crate::id::QueueId;
use crate::mail::automatic::Kind;
use crate::mail::decode;
use crate::mail::text::prefix;
use crate::mail::trust::Trust;
use crate::milter::{Header, SmtpReply};

/// How much of a field's value is looked at, in bytes of UTF-8. What people write in header fields
/// is shorter, and what programs write has its word at the beginning.
pub const VALUE_BYTES_MAX: usize = 4096;

/// How many fields of one name are looked at: letters that travelled far have that many of the
/// names that filters add.
pub const FIELDS_MAX: usize = 32;

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// What logs and explanations call it.
    pub name: String,
    /// All of these must hold.
    pub conditions: Conditions,
    /// What is done then.
    pub action: Action,
}

/// What a rule asks for. A condition that is not set, or has no patterns, always holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conditions {
    /// The queue that was written to.
    pub queue: Option<QueueId>,
    /// The MAIL FROM address, one of these.
    pub envelope_sender: Vec<AddressPattern>,
    /// One of the RCPT addresses of the queue, one of these.
    pub recipient: Vec<AddressPattern>,
    /// The address in From, one of these.
    pub sender: Vec<AddressPattern>,
    /// The sender is believed as far as this or further.
    pub trust_at_least: Option<Trust>,
    /// The sender is believed no further than this.
    pub trust_at_most: Option<Trust>,
    /// The letter's kind is one of these.
    pub kind: Vec<Kind>,
    /// The letter has more bytes.
    pub larger_than: Option<u64>,
    /// The letter has fewer bytes.
    pub smaller_than: Option<u64>,
    /// The letter has a field as each of these says.
    pub header: Vec<FieldPattern>,
}

/// What a rule does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// The letter is filed as usual, and no further rule is asked.
    Pass,
    /// The letter is filed differently.
    File(Orders),
    /// The client is told no.
    Refuse(SmtpReply),
}

/// How a letter is filed differently. Nothing is meant where nothing is said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Orders {
    /// It goes to this queue instead.
    pub queue: Option<QueueId>,
    /// Its place among those that wait: higher is sooner, 0 is usual.
    pub priority: Option<i32>,
    /// What its agent shall be able to do.
    pub skills: Vec<String>,
    /// It is kept and shown to nobody until a person releases it.
    pub hold: bool,
}

/// What a rule can ask for, in the order in which it asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// [`Conditions::queue`].
    Queue,
    /// [`Conditions::envelope_sender`].
    EnvelopeSender,
    /// [`Conditions::recipient`].
    Recipient,
    /// [`Conditions::sender`].
    Sender,
    /// [`Conditions::trust_at_least`].
    TrustAtLeast,
    /// [`Conditions::trust_at_most`].
    TrustAtMost,
    /// [`Conditions::kind`].
    Kind,
    /// [`Conditions::larger_than`].
    LargerThan,
    /// [`Conditions::smaller_than`].
    SmallerThan,
    /// One of [`Conditions::header`], by its place.
    Header(usize),
}

impl fmt::Display for Condition {
    /// The key in the configuration.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Queue => "queue",
            Self::EnvelopeSender => "envelope_sender",
            Self::Recipient => "recipient",
            Self::Sender => "sender",
            Self::TrustAtLeast => "trust_at_least",
            Self::TrustAtMost => "trust_at_most",
            Self::Kind => "kind",
            Self::LargerThan => "larger_than",
            Self::SmallerThan => "smaller_than",
            Self::Header(_) => "header",
        })
    }
}

/// What became of one rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All conditions hold: it decides.
    Matched,
    /// This condition is the first that does not hold.
    Missed(Condition),
    /// At RCPT: it holds so far and asks about the letter. No rule after it can be asked.
    Undecided,
}

/// What is known about a letter for one queue.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    /// The queue that was written to.
    pub queue: &'a QueueId,
    /// The MAIL FROM address in lower case; empty for the null sender.
    pub envelope_sender: &'a str,
    /// The RCPT addresses of the queue, in lower case.
    pub recipients: &'a [String],
    /// The letter; nothing at RCPT.
    pub letter: Option<&'a LetterFacts<'a>>,
}

/// What is known at the end of the message.
#[derive(Debug, Clone)]
pub struct LetterFacts<'a> {
    /// The address in From in lower case, as agents see it; empty if there is none.
    pub sender: &'a str,
    /// How far the sender is believed.
    pub trust: Trust,
    /// What kind of letter it is.
    pub kind: Kind,
    /// The letter's size in bytes.
    pub size: u64,
    /// Its fields, as far as rules ask for them: see [`Rules::fields`].
    pub fields: &'a Fields,
}

/// Fields by name in lower case: decoded, on one line, in lower case.
pub type Fields = BTreeMap<String, Vec<String>>;

/// All rules, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    rules: Vec<Rule>,
    names: BTreeSet<String>,
}

impl Rules {
    /// Takes the rules in the order in which they shall be asked.
    #[must_use]
    pub fn new(rules: Vec<Rule>) -> Self {
        let fields = rules.iter().flat_map(|rule| &rule.conditions.header);
        let names = fields.map(|field| field.name.clone()).collect();
        Self { rules, names }
    }

    /// Whether there is nothing to ask.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Reads the fields that rules ask for, out of all that a letter has.
    #[must_use]
    pub fn fields(&self, headers: &[Header]) -> Fields {
        let mut fields = Fields::new();
        if self.names.is_empty() {
            return fields;
        }
        for header in headers {
            let name = String::from_utf8_lossy(header.name.trim_ascii_end()).to_ascii_lowercase();
            if !self.names.contains(&name) {
                continue;
            }
            let values = fields.entry(name).or_default();
            if values.len() < FIELDS_MAX {
                // Encoded, a text takes up to four times its room.
                let raw = header.value.get(..4 * VALUE_BYTES_MAX);
                let text = decode::unfold(raw.unwrap_or(&header.value));
                let text = decode::encoded_words(&text).to_lowercase();
                values.push(prefix(text.trim(), VALUE_BYTES_MAX).to_owned());
            }
        }
        fields
    }

    /// Finds the rule that decides; `see` is shown what became of each rule that was asked.
    pub fn ask(&self, facts: &Facts<'_>, mut see: impl FnMut(&Rule, Outcome)) -> Option<&Rule> {
        for rule in &self.rules {
            let outcome = rule.conditions.ask(facts);
            see(rule, outcome);
            match outcome {
                Outcome::Matched => return Some(rule),
                Outcome::Missed(_) => {}
                Outcome::Undecided => return None,
            }
        }
        None
    }
}

impl Conditions {
    fn ask(&self, facts: &Facts<'_>) -> Outcome {
        match self.miss_envelope(facts) {
            Some(condition) => return Outcome::Missed(condition),
            None if !self.asks_about_letter() => return Outcome::Matched,
            None => {}
        }
        match facts.letter {
            None => Outcome::Undecided,
            Some(letter) => match self.miss_letter(letter) {
                Some(condition) => Outcome::Missed(condition),
                None => Outcome::Matched,
            },
        }
    }

    fn miss_envelope(&self, facts: &Facts<'_>) -> Option<Condition> {
        let any = |patterns: &[AddressPattern], address: &str| {
            patterns.is_empty() || patterns.iter().any(|pattern| pattern.matches(address))
        };
        let recipients = facts.recipients;
        let holds = [
            (
                Condition::Queue,
                self.queue.as_ref().is_none_or(|queue| queue == facts.queue),
            ),
            (
                Condition::EnvelopeSender,
                any(&self.envelope_sender, facts.envelope_sender),
            ),
            (
                Condition::Recipient,
                self.recipient.is_empty()
                    || recipients
                        .iter()
                        .any(|address| any(&self.recipient, address)),
            ),
        ];
        missed(&holds)
    }

    fn miss_letter(&self, letter: &LetterFacts<'_>) -> Option<Condition> {
        // Better trust comes first in the order.
        let holds = [
            (
                Condition::Sender,
                self.sender.is_empty()
                    || (self.sender.iter()).any(|pattern| pattern.matches(letter.sender)),
            ),
            (
                Condition::TrustAtLeast,
                self.trust_at_least
                    .is_none_or(|least| letter.trust <= least),
            ),
            (
                Condition::TrustAtMost,
                self.trust_at_most.is_none_or(|most| letter.trust >= most),
            ),
            (
                Condition::Kind,
                self.kind.is_empty() || self.kind.contains(&letter.kind),
            ),
            (
                Condition::LargerThan,
                self.larger_than.is_none_or(|size| letter.size > size),
            ),
            (
                Condition::SmallerThan,
                self.smaller_than.is_none_or(|size| letter.size < size),
            ),
        ];
        missed(&holds).or_else(|| {
            let lacks = |field: &FieldPattern| {
                let values = letter.fields.get(&field.name);
                !values.is_some_and(|values| values.iter().any(|value| field.value.matches(value)))
            };
            (self.header.iter().position(lacks)).map(Condition::Header)
        })
    }

    fn asks_about_letter(&self) -> bool {
        !(self.sender.is_empty()
            && self.trust_at_least.is_none()
            && self.trust_at_most.is_none()
            && self.kind.is_empty()
            && self.larger_than.is_none()
            && self.smaller_than.is_none()
            && self.header.is_empty())
    }

    /// Whether whatever matches `later` surely matches this: then `later` is never reached behind
    /// it. Patterns are compared as they are written.
    #[must_use]
    pub fn cover(&self, later: &Self) -> bool {
        fn one_of<T: PartialEq>(wide: &[T], narrow: &[T]) -> bool {
            wide.is_empty()
                || (!narrow.is_empty() && narrow.iter().all(|pattern| wide.contains(pattern)))
        }
        fn bound<T>(wide: Option<T>, narrow: Option<T>, within: impl Fn(T, T) -> bool) -> bool {
            match (wide, narrow) {
                (None, _) => true,
                (Some(wide), Some(narrow)) => within(narrow, wide),
                (Some(_), None) => false,
            }
        }
        (self.queue.is_none() || self.queue == later.queue)
            && one_of(&self.envelope_sender, &later.envelope_sender)
            && one_of(&self.recipient, &later.recipient)
            && one_of(&self.sender, &later.sender)
            && one_of(&self.kind, &later.kind)
            && bound(self.trust_at_least, later.trust_at_least, |n, w| n <= w)
            && bound(self.trust_at_most, later.trust_at_most, |n, w| n >= w)
            && bound(self.larger_than, later.larger_than, |n, w| n >= w)
            && bound(self.smaller_than, later.smaller_than, |n, w| n <= w)
            && (self.header.iter()).all(|field| later.header.contains(field))
    }

    /// What is asked for by a condition, and what the letter has instead: for people who wonder
    /// why a rule did not match.
    #[must_use]
    pub fn why(&self, missed: Condition, facts: &Facts<'_>) -> String {
        let listed = |patterns: &[AddressPattern]| {
            let patterns: Vec<String> = patterns.iter().map(ToString::to_string).collect();
            patterns.join(", ")
        };
        let trust =
            |trust: Option<Trust>| trust.map_or_else(String::new, |trust| format!("{trust:?}"));
        let size = |size: Option<u64>| size.unwrap_or_default().to_string();
        let wanted = match missed {
            Condition::Queue => self
                .queue
                .as_ref()
                .map_or_else(String::new, ToString::to_string),
            Condition::EnvelopeSender => listed(&self.envelope_sender),
            Condition::Recipient => listed(&self.recipient),
            Condition::Sender => listed(&self.sender),
            Condition::TrustAtLeast => trust(self.trust_at_least),
            Condition::TrustAtMost => trust(self.trust_at_most),
            Condition::Kind => {
                let names: Vec<&str> = self.kind.iter().map(|kind| kind.name()).collect();
                names.join(", ")
            }
            Condition::LargerThan => size(self.larger_than),
            Condition::SmallerThan => size(self.smaller_than),
            Condition::Header(place) => {
                (self.header.get(place)).map_or_else(String::new, ToString::to_string)
            }
        };
        let had = match (missed, facts.letter) {
            (Condition::Queue, _) => facts.queue.to_string(),
            (Condition::EnvelopeSender, _) if facts.envelope_sender.is_empty() => "<>".to_owned(),
            (Condition::EnvelopeSender, _) => facts.envelope_sender.to_owned(),
            (Condition::Recipient, _) => facts.recipients.join(", "),
            (_, None) => "not yet known".to_owned(),
            (Condition::Sender, Some(letter)) if letter.sender.is_empty() => {
                "no usable address".to_owned()
            }
            (Condition::Sender, Some(letter)) => letter.sender.to_owned(),
            (Condition::TrustAtLeast | Condition::TrustAtMost, Some(letter)) => {
                format!("{:?}", letter.trust)
            }
            (Condition::Kind, Some(letter)) => letter.kind.name().to_owned(),
            (Condition::LargerThan | Condition::SmallerThan, Some(letter)) => {
                letter.size.to_string()
            }
            (Condition::Header(place), Some(letter)) => {
                let name = self.header.get(place).map(|field| field.name.as_str());
                let values = name.and_then(|name| letter.fields.get(name));
                match values.and_then(|values| values.first()) {
                    Some(value) => format!("{:?}", prefix(value, SHOWN_BYTES_MAX)),
                    None => "no such field".to_owned(),
                }
            }
        };
        format!("{missed} = {wanted}: the letter has {had}")
    }
}

/// How much of a field's value is shown to people, in bytes.
const SHOWN_BYTES_MAX: usize = 100;

/// The first condition that does not hold.
fn missed(holds: &[(Condition, bool)]) -> Option<Condition> {
    let missed = holds.iter().find(|(_, holds)| !holds);
    missed.map(|(condition, _)| *condition)
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pass => f.write_str("pass"),
            Self::Refuse(reply) => write!(f, "refuse: {}", reply.lines().join(" / ")),
            Self::File(orders) => {
                let mut words = Vec::new();
                if let Some(queue) = &orders.queue {
                    words.push(format!("move to {queue}"));
                }
                if let Some(priority) = orders.priority {
                    words.push(format!("priority {priority}"));
                }
                if !orders.skills.is_empty() {
                    words.push(format!("skills {}", orders.skills.join(", ")));
                }
                if orders.hold {
                    words.push("hold".to_owned());
                }
                f.write_str(&words.join("; "))
            }
        }
    }
}

#[cfg(test)]
mod tests;
