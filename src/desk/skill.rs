//! Skills: what agents can do and how well, and what a piece of work asks for.

use std::collections::{BTreeMap, BTreeSet};

/// What an agent can do, and how well: 1 to [`LEVEL_MAX`]. At most [`SKILLS_MAX`].
pub type Skills = BTreeMap<String, u8>;

/// The best that one can be.
pub const LEVEL_MAX: u8 = 10;

/// Most skills of one agent: more describe nobody.
pub const SKILLS_MAX: usize = 50;

/// Longest name of a skill, in bytes.
const NAME_BYTES_MAX: usize = 63;

/// Whether a text can name a skill: 2 to 63 of `a-z`, `0-9` and `-`, as queues are named.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let fits = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    (2..=NAME_BYTES_MAX).contains(&text.len()) && text.as_bytes().iter().all(fits)
}

/// Reads what a rule asks for: a skill, or a skill with the least level: `german`, `german:3`.
#[must_use]
pub fn asked(text: &str) -> Option<(&str, u8)> {
    let (name, level) = match text.split_once(':') {
        Some((name, level)) => (name, level.parse().ok()?),
        None => (text, 1),
    };
    (is_name(name) && (1..=LEVEL_MAX).contains(&level)).then_some((name, level))
}

/// What a piece of work asks for at this moment. A skill of which nothing is asked any more stays
/// in it with level 0: whoever is best still goes first where that counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Needs(BTreeMap<String, u8>);

impl Needs {
    /// What is asked for after so many levels were given up. Of one skill asked for twice, the
    /// higher level counts.
    pub(super) fn after(skills: &BTreeSet<String>, given_up: u64) -> Self {
        let mut needs = BTreeMap::new();
        for (name, level) in skills.iter().filter_map(|text| asked(text)) {
            let level = u64::from(level).saturating_sub(given_up);
            let level = u8::try_from(level).unwrap_or(LEVEL_MAX);
            let known: &mut u8 = needs.entry(name.to_owned()).or_default();
            *known = level.max(*known);
        }
        Self(needs)
    }

    /// Whether there is a level that can still be given up.
    pub(super) fn can_relax(&self) -> bool {
        self.0.values().any(|level| *level > 0)
    }

    /// What an agent with these skills lacks: the skill, the level asked for, and their own.
    pub(super) fn lacks<'a>(
        &'a self,
        skills: &'a Skills,
    ) -> impl Iterator<Item = (&'a str, u8, u8)> {
        self.0.iter().filter_map(|(name, asked)| {
            let own = skills.get(name).copied().unwrap_or(0);
            (own < *asked).then_some((name.as_str(), *asked, own))
        })
    }

    /// Whether an agent with these skills can do it.
    pub(super) fn met_by(&self, skills: &Skills) -> bool {
        self.lacks(skills).next().is_none()
    }

    /// How good an agent is at it: the sum of their levels in what is asked for.
    pub(super) fn grade(&self, skills: &Skills) -> u64 {
        let levels = self.0.keys().filter_map(|name| skills.get(name));
        levels.map(|level| u64::from(*level)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skills(text: &str) -> Skills {
        (text.split_whitespace().filter_map(asked))
            .map(|(name, level)| (name.to_owned(), level))
            .collect()
    }

    #[test]
    fn who_can_do_what_for_how_long() {
        for (needs, given_up, can, lacks, grade) in [
            ("", 0, "", "", 0),
            ("german", 0, "german", "", 1),
            ("german", 0, "law:9", "german 1>0", 0),
            ("german:3 law", 0, "german:2 law:5", "german 3>2", 7),
            ("german:3 law", 1, "german:2 law:5", "", 7),
            ("german:3 german:5", 0, "german:4", "german 5>4", 4),
            ("german:10", 9, "", "german 1>0", 0),
            ("german:10", 10, "", "", 0),
            ("german:10", u64::MAX, "german:7", "", 7),
            ("unreadable:eleven", 0, "", "", 0),
        ] {
            let asked: BTreeSet<String> = needs.split_whitespace().map(str::to_owned).collect();
            let needs = Needs::after(&asked, given_up);
            let can = skills(can);
            let told: Vec<String> = (needs.lacks(&can))
                .map(|(name, asked, own)| format!("{name} {asked}>{own}"))
                .collect();
            assert_eq!(told.join(", "), lacks, "{asked:?} after {given_up}");
            assert_eq!(needs.met_by(&can), lacks.is_empty());
            assert_eq!(needs.grade(&can), grade, "{asked:?}");
        }
    }

    #[test]
    fn what_can_be_asked_for() {
        for (text, read) in [
            ("german", Some(("german", 1))),
            ("german:1", Some(("german", 1))),
            ("german:10", Some(("german", 10))),
            ("g:1", None),
            ("german:0", None),
            ("german:11", None),
            ("german:", None),
            ("german:-1", None),
            ("german:3:4", None),
            ("German", None),
            ("", None),
        ] {
            assert_eq!(asked(text), read, "{text}");
        }
    }
}
