//! The house rules: what holds for every agent, as the administrator set it.

use std::collections::BTreeMap;

use super::{FromAddress, Refusal};

/// What an agent becomes when work ends and nothing else was asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AfterWork {
    /// Available.
    #[default]
    Available,
    /// What they were before, so that somebody who began to write while Work Offline is not thrown
    /// into the line.
    Return,
}

/// What a reason code is a reason for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReasonKind {
    /// For going Work Offline.
    Offline,
    /// For rejecting an offer.
    Reject,
    /// How an interaction is classified in post-processing.
    WrapUp,
}

impl ReasonKind {
    /// The codes of this kind that the desk gives by itself, and nobody else.
    #[must_use]
    pub const fn own_codes(self) -> &'static [&'static str] {
        match self {
            Self::Offline => &[DISCONNECTED, REJECTED, MISSED],
            Self::Reject => &[],
            Self::WrapUp => &[TIMED_OUT],
        }
    }

    /// The kind as people read it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::Reject => "reject",
            Self::WrapUp => "wrap-up",
        }
    }
}

/// The reason code of an agent whose client went missing.
pub(super) const DISCONNECTED: &str = "disconnected";
/// The reason code of an agent who rejected an offer, or several.
pub(super) const REJECTED: &str = "rejected";
/// The reason code of an agent who missed too many offers.
pub(super) const MISSED: &str = "missed";
/// The code of an interaction whose agent gave none in time.
pub(super) const TIMED_OUT: &str = "timed-out";

/// What holds for every agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HouseRules {
    /// What an agent becomes when work ends.
    pub after_work: AfterWork,
    /// Whether an agent in post-processing is offered nothing, whatever their capacity. If not,
    /// each interaction that is being wrapped up takes one place of it.
    pub wrap_up_holds_all: bool,
    /// The reason codes with what people read. Of a kind of which there are none, any code is
    /// taken.
    pub reasons: BTreeMap<(ReasonKind, String), String>,
    /// What may be sent from beside the queues' own addresses.
    pub from_addresses: Vec<FromAddress>,
}

impl Default for HouseRules {
    fn default() -> Self {
        Self {
            after_work: AfterWork::default(),
            wrap_up_holds_all: true,
            reasons: BTreeMap::new(),
            from_addresses: Vec::new(),
        }
    }
}

impl HouseRules {
    /// Refuses a code of an agent's that is none of its kind. No code at all is always allowed
    /// here.
    pub(super) fn admit(
        &self,
        field: &'static str,
        kind: ReasonKind,
        code: &str,
    ) -> Result<(), Refusal> {
        if code.is_empty() {
            return Ok(());
        }
        let own = kind.own_codes().contains(&code);
        let known = |code: &str| self.reasons.contains_key(&(kind, code.to_owned()));
        let any = !self.reasons.keys().any(|(of, _)| *of == kind);
        if own || !(any || known(code)) {
            return Err(Refusal::CodeUnknown(field, kind, code.to_owned()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_one_of_its_kind() {
        use ReasonKind::{Offline, Reject, WrapUp};
        let any = HouseRules::default();
        let mut some = HouseRules::default();
        for (kind, code) in [(Offline, "lunch"), (WrapUp, "sold")] {
            some.reasons.insert((kind, code.to_owned()), String::new());
        }
        for (rules, kind, code, admitted) in [
            (&any, Offline, "lunch", true),
            (&any, Offline, "", true),
            (&any, Offline, "disconnected", false),
            (&any, Offline, "missed", false),
            (&any, Reject, "missed", true),
            (&any, WrapUp, "timed-out", false),
            (&some, Offline, "lunch", true),
            (&some, Offline, "", true),
            (&some, Offline, "tea", false),
            (&some, Offline, "sold", false),
            (&some, Offline, "rejected", false),
            (&some, WrapUp, "sold", true),
            (&some, WrapUp, "lunch", false),
            // Of this kind there are none.
            (&some, Reject, "anything", true),
        ] {
            let found = rules.admit("reason_code", kind, code);
            assert_eq!(found.is_ok(), admitted, "{kind:?} {code}");
        }
    }
}
