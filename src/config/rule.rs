//! A `[[rule]]`: what shall be done with some letters, and what is wrong with the rules.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Deserialize;
use toml::Spanned;

use super::Config;
use super::check::Check;
use crate::desk::{PRIORITY_MAX, skill};
use crate::id::QueueId;
use crate::intake::rules::{self, Action, AddressPattern, Conditions, FieldPattern, Orders};
use crate::mail::address::Address;
use crate::mail::automatic::Kind;
use crate::mail::trust::Trust;
use crate::milter::SmtpReply;

/// Most rules. Each is asked for each letter until one matches, and a person has to understand
/// them all.
const RULES_MAX: usize = 500;

/// Most patterns of one condition. Longer lists belong into Postfix's tables, which are indexed.
const PATTERNS_MAX: usize = 200;

/// Longest name in characters: it stands in log lines.
const NAME_CHARS_MAX: usize = 60;

/// Most skills that a rule asks for; an agent has to have all of them.
const SKILLS_MAX: usize = 8;

/// Longest text of a refusal in characters: the client shows it in one line.
const REFUSAL_CHARS_MAX: usize = 200;

/// One rule.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// What logs call it; each rule has its own. No default.
    pub name: Spanned<String>,
    /// The queue that was written to. Default: any.
    #[serde(default)]
    pub queue: Option<Spanned<String>>,
    /// MAIL FROM is one of these: `anna@shop.example`, `shop.example` for the domain,
    /// `.shop.example` for all below it, `<>` for no address; `*` stands for any text.
    /// Default: any.
    #[serde(default)]
    pub envelope_sender: Vec<Spanned<String>>,
    /// The address that was written to, its `+detail` included, is one of these, as above.
    /// Default: any.
    #[serde(default)]
    pub recipient: Vec<Spanned<String>>,
    /// The address in From is one of these, as above. It can be forged: ask for
    /// `trust_at_least` too where that matters. Default: any.
    #[serde(default)]
    pub sender: Vec<Spanned<String>>,
    /// The sender is believed as far as this or further: `A`, `B`, `C` or `D`. Default: any.
    #[serde(default)]
    pub trust_at_least: Option<Spanned<Trust>>,
    /// The sender is believed no further than this. Default: any.
    #[serde(default)]
    pub trust_at_most: Option<Spanned<Trust>>,
    /// The letter's kind is one of these: `human`, `own-loop`, `delivery-report`,
    /// `disposition-notification`, `feedback-report`, `bounce-like`, `auto-reply`,
    /// `auto-generated`, `bulk`, `no-reply`, `probable-absence`, `null-sender`. Default: any.
    #[serde(default)]
    pub kind: Vec<Spanned<String>>,
    /// The letter has more bytes than this. Default: any.
    #[serde(default)]
    pub larger_than: Option<Spanned<u64>>,
    /// The letter has fewer bytes than this. Default: any.
    #[serde(default)]
    pub smaller_than: Option<Spanned<u64>>,
    /// For each of these, `Name: pattern`, the letter has a field of that name whose value, as
    /// people read it, is like the pattern, with `*` for any text. Default: none.
    #[serde(default)]
    pub header: Vec<Spanned<String>>,
    /// Files the letter in this queue instead. Default: none.
    #[serde(default)]
    pub move_to: Option<Spanned<String>>,
    /// The letter's place among those that wait, -100 to 100: higher is sooner. Default: 0.
    #[serde(default)]
    pub priority: Option<Spanned<i32>>,
    /// What the letter's agent shall be able to do, such as `german`, or with the least level of
    /// 1 to 10, `german:3`; nobody else is offered it. Default: none.
    #[serde(default)]
    pub skills: Vec<Spanned<String>>,
    /// Keeps the letter and shows it to nobody until a person releases it. Default: `false`.
    #[serde(default)]
    pub hold: bool,
    /// Refuses the letter with this reply, such as `550 5.7.1 Not wanted here`. Default: none.
    #[serde(default)]
    pub refuse: Option<Spanned<String>>,
    /// Files the letter as usual and asks no further rule. Default: `false`.
    #[serde(default)]
    pub pass: bool,
}

impl Rule {
    /// The rule as intake asks it; what is wrong with it goes to `report`.
    fn read(&self, report: &mut dyn FnMut(&dyn Place, String)) -> rules::Rule {
        let mut addresses = |key: &str, texts: &[Spanned<String>]| {
            patterns(key, texts, report, AddressPattern::parse)
        };
        let envelope_sender = addresses("envelope_sender", &self.envelope_sender);
        let recipient = addresses("recipient", &self.recipient);
        let sender = addresses("sender", &self.sender);
        let header = patterns("header", &self.header, report, FieldPattern::parse);
        let kind = patterns("kind", &self.kind, report, |name| {
            let found = Kind::ALL.into_iter().find(|kind| kind.name() == name);
            found.ok_or("there is no such kind")
        });
        let mut queue = |key: &str, id: &Option<Spanned<String>>| -> Option<QueueId> {
            let id = id.as_ref()?;
            let parsed = id.get_ref().parse().ok();
            if parsed.is_none() {
                report(id, format!("{key} = {:?} is no queue's id", id.get_ref()));
            }
            parsed
        };
        let conditions = Conditions {
            queue: queue("queue", &self.queue),
            envelope_sender,
            recipient,
            sender,
            trust_at_least: self.trust_at_least.as_ref().map(|trust| *trust.get_ref()),
            trust_at_most: self.trust_at_most.as_ref().map(|trust| *trust.get_ref()),
            kind,
            larger_than: self.larger_than.as_ref().map(|size| *size.get_ref()),
            smaller_than: self.smaller_than.as_ref().map(|size| *size.get_ref()),
            header,
        };
        let orders = Orders {
            queue: queue("move_to", &self.move_to),
            priority: self.priority.as_ref().map(|priority| *priority.get_ref()),
            skills: (self.skills.iter())
                .map(|skill| skill.get_ref().clone())
                .collect(),
            hold: self.hold,
        };
        let refusal = self.refuse.as_ref().and_then(|text| {
            let refusal = refusal(text.get_ref());
            if refusal.is_none() {
                let what = format!(
                    "refuse = {:?} is no refusal: it has to be a code of 4xx (but 421) or 5xx, an \
                     enhanced code of the same class and a text of up to {REFUSAL_CHARS_MAX} \
                     printable ASCII characters, such as 550 5.7.1 Not wanted here",
                    text.get_ref()
                );
                report(text, what);
            }
            refusal
        });
        let action = match refusal {
            Some(reply) => Action::Refuse(reply),
            None if orders == Orders::default() => Action::Pass,
            None => Action::File(orders),
        };
        rules::Rule {
            name: self.name.get_ref().clone(),
            conditions,
            action,
        }
    }

    /// What is wrong with this rule by itself.
    fn check(&self, config: &Config, check: &mut Check<'_>) {
        let name = self.name.get_ref();
        let printable = name.chars().all(|c| matches!(c, ' '..='~'));
        if name.trim().is_empty() || name.chars().count() > NAME_CHARS_MAX || !printable {
            let what =
                format!("name {name:?} is not 1 to {NAME_CHARS_MAX} characters of printable ASCII");
            check.blame(&self.name, what);
        }
        self.check_conditions(name, config, check);
        self.check_action(name, config, check);
    }

    fn check_conditions(&self, name: &str, config: &Config, check: &mut Check<'_>) {
        if let Some(queue) = &self.queue
            && !config.has_queue(queue.get_ref())
        {
            check.blame(queue, format!("queue {:?} is not defined", queue.get_ref()));
        }
        // Better trust comes first in the order.
        if let (Some(least), Some(most)) = (&self.trust_at_least, &self.trust_at_most)
            && least.get_ref() < most.get_ref()
        {
            let what = format!(
                "rule {name} can never match: nobody is believed at least as far as {:?} and at most as far as {:?}",
                least.get_ref(),
                most.get_ref()
            );
            check.blame(least, what);
        }
        if let (Some(larger), Some(smaller)) = (&self.larger_than, &self.smaller_than)
            && larger.get_ref().saturating_add(1) >= *smaller.get_ref()
        {
            let what = format!("rule {name} can never match: no size is between its two");
            check.blame(larger, what);
        }
        if let Some(larger) = &self.larger_than
            && *larger.get_ref() >= config.milter.message_bytes_max
        {
            let what = format!(
                "rule {name} can never match: larger letters than milter.message_bytes_max = {} are not taken",
                config.milter.message_bytes_max
            );
            check.blame(larger, what);
        }
        for text in &self.recipient {
            let Ok(pattern) = AddressPattern::parse(text.get_ref()) else {
                continue;
            };
            let Some(owner) = pattern.single().map(|address| config.owner(address)) else {
                continue;
            };
            let wanted = self.queue.as_ref().map(|queue| queue.get_ref().as_str());
            if owner.is_none() || (wanted.is_some() && wanted != owner) {
                let what = format!("{pattern} is no address of the queue, so it never matches");
                check.blame(text, what);
            }
        }
    }

    fn check_action(&self, name: &str, config: &Config, check: &mut Check<'_>) {
        let files = self.move_to.is_some()
            || self.priority.is_some()
            || !self.skills.is_empty()
            || self.hold;
        match [files, self.refuse.is_some(), self.pass] {
            [false, false, false] => {
                let what = format!(
                    "rule {name} does nothing: give it move_to, priority, skills, hold, refuse or pass"
                );
                check.blame(&self.name, what);
            }
            [true, false, false] | [false, true, false] | [false, false, true] => {}
            _ => {
                let what = format!(
                    "rule {name} contradicts itself: a letter is filed differently, refused or passed"
                );
                check.blame(&self.name, what);
            }
        }
        if let Some(target) = &self.move_to {
            let id = target.get_ref();
            if !config.has_queue(id) {
                check.blame(target, format!("queue {id:?} is not defined"));
            } else if self.queue.as_ref().is_some_and(|own| own.get_ref() == id) {
                let what = format!("rule {name} moves letters to the queue that they are in");
                check.blame(target, what);
            } else if !config.takes_mail(id) {
                let what = format!("queue {id} is not enabled, so nothing can be moved there");
                check.blame(target, what);
            }
        }
        if let Some(priority) = &self.priority
            && priority.get_ref().abs() > PRIORITY_MAX
        {
            let what = format!("priority must be -{PRIORITY_MAX} to {PRIORITY_MAX}");
            check.blame(priority, what);
        }
        for skill in &self.skills {
            if skill::asked(skill.get_ref()).is_none() {
                let what = format!(
                    "skill {:?} is not 2 to 63 of a-z, 0-9 and -, with a level of 1 to {} behind a colon if there is one",
                    skill.get_ref(),
                    skill::LEVEL_MAX
                );
                check.blame(skill, what);
            }
        }
        if self.skills.len() > SKILLS_MAX {
            let what = format!("rule {name} asks for more than {SKILLS_MAX} skills");
            check.blame(&self.name, what);
        }
    }

    /// A rule that prefers letters by what anybody can write.
    fn trusts_blindly(&self) -> bool {
        let prefers = self
            .priority
            .as_ref()
            .is_some_and(|priority| *priority.get_ref() > 0);
        !self.sender.is_empty() && self.trust_at_least.is_none() && prefers
    }
}

/// What has a place in the file.
trait Place {
    fn blame(&self, check: &mut Check<'_>, what: String);
}

impl<T> Place for Spanned<T> {
    fn blame(&self, check: &mut Check<'_>, what: String) {
        check.blame(self, what);
    }
}

fn patterns<T, E: fmt::Display>(
    key: &str,
    texts: &[Spanned<String>],
    report: &mut dyn FnMut(&dyn Place, String),
    parse: impl Fn(&str) -> Result<T, E>,
) -> Vec<T> {
    if let Some(first_too_many) = texts.get(PATTERNS_MAX) {
        report(
            first_too_many,
            format!("{key} has more than {PATTERNS_MAX} patterns"),
        );
    }
    let mut read = Vec::new();
    for text in texts {
        match parse(text.get_ref()) {
            Ok(pattern) => read.push(pattern),
            Err(error) => report(text, format!("{key} = {:?}: {error}", text.get_ref())),
        }
    }
    read
}

/// Reads `550 5.7.1 Not wanted here`.
fn refusal(text: &str) -> Option<SmtpReply> {
    let (code, rest) = text.split_once(' ')?;
    let (enhanced, words) = rest.split_once(' ')?;
    let code = (code.len() == 3).then(|| code.parse::<u16>().ok())??;
    let digits = |part: &str| {
        let plain = (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| part.parse::<u16>().ok())?
    };
    let mut parts = enhanced.split('.').map(digits);
    let (class, subject, detail) = (parts.next()??, parts.next()??, parts.next()??);
    let printable = words.chars().all(|c| matches!(c, ' '..='~'));
    let sound = (400..=599).contains(&code)
        && code != 421
        && class == code / 100
        && parts.next().is_none()
        && !words.trim().is_empty()
        && words.len() <= REFUSAL_CHARS_MAX
        && printable;
    sound.then(|| SmtpReply::new(code, subject, detail, words.trim().to_owned()))
}

impl Config {
    /// The rules as intake asks them. What does not pass [`Self::parse`] is left out.
    #[must_use]
    pub fn rules(&self) -> rules::Rules {
        let rules = self.rule.iter().map(|rule| rule.read(&mut |_, _| {}));
        rules::Rules::new(rules.collect())
    }

    /// Names of rules that prefer letters by a sender that nobody has proven.
    #[must_use]
    pub fn blind_rules(&self) -> Vec<&str> {
        let blind = self.rule.iter().filter(|rule| rule.trusts_blindly());
        blind.map(|rule| rule.name.get_ref().as_str()).collect()
    }

    /// Whether there is such a queue. One whose id cannot be read may be it: that is a problem of
    /// its own, and one is enough.
    fn has_queue(&self, id: &str) -> bool {
        let mut queues = self.queue.iter().map(|queue| queue.id.get_ref());
        queues.any(|own| own == id || own.parse::<QueueId>().is_err())
    }

    fn takes_mail(&self, id: &str) -> bool {
        let mut queues = self.queue.iter();
        queues.all(|queue| queue.id.get_ref() != id || queue.enabled)
    }

    /// The queue that an address of a pattern belongs to, with or without its detail.
    fn owner(&self, address: &str) -> Option<&str> {
        let address = Address::parse(address).ok()?;
        let (plain, _) = address.split_detail('+');
        let queue = self.queue.iter().find(|queue| {
            (queue.addresses.iter())
                .filter_map(|own| Address::parse(own.get_ref()).ok())
                .any(|own| own == address || own == plain)
        })?;
        Some(queue.id.get_ref())
    }

    pub(super) fn check_rules(&self, check: &mut Check<'_>) {
        if self.rule.len() > RULES_MAX {
            check.whole(format!("there are more than {RULES_MAX} rules"));
            return;
        }
        let mut names: BTreeMap<&str, usize> = BTreeMap::new();
        let mut before: Vec<(rules::Rule, &Rule)> = Vec::new();
        let mut covered: BTreeSet<&str> = BTreeSet::new();
        for rule in &self.rule {
            let name = rule.name.get_ref().as_str();
            let line = check.line(&rule.name);
            if let Some(first) = names.insert(name, line) {
                let what = format!("rule {name} is defined twice, first in line {first}");
                check.blame(&rule.name, what);
            }
            rule.check(self, check);
            let problems = check.problems.len();
            let read = rule.read(&mut |place, what| place.blame(check, what));
            // A pattern that could not be read would make a rule look wider than it is meant.
            if check.problems.len() > problems {
                continue;
            }
            let cover =
                (before.iter()).find(|(earlier, _)| earlier.conditions.cover(&read.conditions));
            if let Some((_, earlier)) = cover
                && covered.insert(name)
            {
                let what = format!(
                    "rule {name} is never reached: whatever it matches is matched by rule {} in line {} before it",
                    earlier.name.get_ref(),
                    check.line(&earlier.name)
                );
                check.blame(&rule.name, what);
            }
            before.push((read, rule));
        }
    }
}

#[cfg(test)]
mod tests;
