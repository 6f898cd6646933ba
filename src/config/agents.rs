//! The `[agents]` section and the `[[reason]]`s: what holds for every agent, whatever the queue.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::check::Check;
use super::from_address::FromAddress;
use crate::desk::{AfterWork, HouseRules, ReasonKind};

/// Longest code, in bytes.
const CODE_BYTES_MAX: usize = 64;

/// Longest label, in bytes.
const LABEL_BYTES_MAX: usize = 256;

/// Most reasons: more than anybody finds something in.
const REASONS_MAX: usize = 500;

/// What holds for every agent.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Agents {
    /// What agents become when work ends and they asked for nothing else: `available`, or `return`
    /// for what they were before, so that whoever began to write while Work Offline stays there.
    /// Default: `available`.
    pub after_work: After,
    /// Whether agents in post-processing are offered nothing, however much they may hold. If not,
    /// each letter in post-processing takes one place of their capacity. Default: `true`.
    pub wrap_up_holds_all: bool,
}

/// What agents become when work ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum After {
    /// Available.
    Available,
    /// What they were before.
    Return,
}

impl Default for Agents {
    fn default() -> Self {
        Self {
            after_work: After::Available,
            wrap_up_holds_all: true,
        }
    }
}

/// One reason that agents give.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// What programs, events and figures call it: 1 to 64 of `a-z`, `0-9`, `-` and `_`. No default.
    pub code: Spanned<String>,
    /// What it is a reason for: `offline` for going Work Offline, `reject` for rejecting an offer,
    /// `wrap_up` for what came of a letter. Once there is one of a kind, agents give no others of
    /// that kind. No default.
    pub kind: Kind,
    /// What people read. Default: the code.
    pub label: Option<Spanned<String>>,
}

/// What a reason is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Going Work Offline.
    Offline,
    /// Rejecting an offer.
    Reject,
    /// Classifying an interaction.
    WrapUp,
}

impl From<Kind> for ReasonKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Offline => Self::Offline,
            Kind::Reject => Self::Reject,
            Kind::WrapUp => Self::WrapUp,
        }
    }
}

/// The rules as the desk wants them.
pub(super) fn house(
    agents: &Agents,
    reasons: &[Reason],
    from_addresses: &[FromAddress],
) -> HouseRules {
    HouseRules {
        after_work: match agents.after_work {
            After::Available => AfterWork::Available,
            After::Return => AfterWork::Return,
        },
        wrap_up_holds_all: agents.wrap_up_holds_all,
        reasons: (reasons.iter())
            .map(|reason| {
                let code = reason.code.get_ref();
                let label = reason.label.as_ref().map_or(code, Spanned::get_ref);
                ((reason.kind.into(), code.clone()), label.clone())
            })
            .collect(),
        from_addresses: from_addresses
            .iter()
            .filter_map(FromAddress::known)
            .collect(),
    }
}

/// Checks that reasons can be told apart, and that none is one of the desk's own.
pub(super) fn check_reasons(reasons: &[Reason], check: &mut Check<'_>) {
    let mut lines: BTreeMap<(ReasonKind, &str), usize> = BTreeMap::new();
    for reason in reasons {
        let (kind, code) = (ReasonKind::from(reason.kind), reason.code.get_ref());
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        if code.is_empty() || code.len() > CODE_BYTES_MAX || !code.chars().all(fits) {
            let what = format!("reason {code:?} is not 1 to {CODE_BYTES_MAX} of a-z, 0-9, - and _");
            check.blame(&reason.code, what);
        }
        if kind.own_codes().contains(&code.as_str()) {
            let what = format!("{} reason {code} is Postroom's own", kind.name());
            check.blame(&reason.code, what);
        }
        let line = check.line(&reason.code);
        if let Some(first) = lines.insert((kind, code), line) {
            let what = format!(
                "{} reason {code} is defined twice, first in line {first}",
                kind.name()
            );
            check.blame(&reason.code, what);
        }
        let Some(label) = &reason.label else {
            continue;
        };
        let text = label.get_ref();
        let bad = text.trim().is_empty() || text.chars().any(char::is_control);
        if bad || text.len() > LABEL_BYTES_MAX {
            let what = format!("label must be one line of 1 to {LABEL_BYTES_MAX} bytes");
            check.blame(label, what);
        }
    }
    if let Some(last) = reasons.get(REASONS_MAX) {
        let what = format!("there are more than {REASONS_MAX} reasons");
        check.blame(&last.code, what);
    }
}
