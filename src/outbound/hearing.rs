//! Hearing: what a proven report says about a message of ours, written into its record.
//!
//! Whether the report is proven is decided before. A report can only say what became of a message
//! that the MTA took; where it stands in the spool is not its business.

use serde::{Deserialize, Serialize};

use super::message::{Diagnostic, Outbound, RecipientState};
use crate::id::MessageId;
use crate::mail::report::{Action, RecipientReport, Severity};
use crate::time::Timestamp;

/// What a report says about a message of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Saying {
    /// What became of it for some recipients.
    Delivery(Vec<RecipientReport>),
    /// A recipient complained about it.
    Complaint,
}

/// What was new in a report.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Heard {
    /// Whether anything in the record changed.
    pub changed: bool,
    /// Whether it was not known yet that the message did not reach one of these recipients.
    pub failed: bool,
    /// Recipients that shall not be written to for a while, and why.
    pub dead: Vec<(String, Diagnostic)>,
}

/// An address that is not written to without a person's word, because letters to it came back for
/// good or its owner complained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suppression {
    /// The address, normalised.
    pub address: String,
    /// The message that came back.
    pub message: MessageId,
    /// What was said.
    pub diagnostic: Diagnostic,
    /// Since when.
    pub since: Timestamp,
    /// Until when.
    pub until: Timestamp,
}

impl Outbound {
    /// Takes a report to heart. `recipient` is the place of the recipient whose return path it came
    /// to; without one, recipients are told by their addresses.
    pub fn hear(&mut self, recipient: Option<u8>, saying: &Saying) -> Heard {
        let mut heard = Heard::default();
        let place = recipient.map(usize::from);
        match saying {
            Saying::Delivery(reports) => {
                for report in reports {
                    let Some(place) = place.or_else(|| self.place_of(report)) else {
                        continue;
                    };
                    self.hear_of(place, report, &mut heard);
                }
            }
            Saying::Complaint => {
                let complaint = Diagnostic::ours("the recipient called the message spam");
                // Only one recipient can be meant, and only a return path of its own says which.
                let whom = place.or_else(|| (self.recipients.len() == 1).then_some(0));
                if let Some(found) = whom.and_then(|place| self.recipients.get(place)) {
                    heard.dead.push((found.address.clone(), complaint));
                }
            }
        }
        heard
    }

    /// Which recipient a report is about; the only one if it names none that is known, because
    /// addresses are rewritten on the way.
    fn place_of(&self, report: &RecipientReport) -> Option<usize> {
        let named = report.address.as_ref().and_then(|address| {
            let address = address.to_string();
            (self.recipients.iter())
                .position(|recipient| recipient.address.eq_ignore_ascii_case(&address))
        });
        named.or_else(|| (self.recipients.len() == 1).then_some(0))
    }

    fn hear_of(&mut self, place: usize, report: &RecipientReport, heard: &mut Heard) {
        let Some(recipient) = self.recipients.get_mut(place) else {
            return;
        };
        let diagnostic = diagnostic(report);
        let next = match (&recipient.state, report.action) {
            // What the MTA refused never left, and what failed stays failed.
            (RecipientState::Refused(_) | RecipientState::Bounced(_), _)
            // Where it went on to is not where it arrived.
            | (_, Action::Relayed | Action::Expanded)
            | (RecipientState::Delivered, Action::Delayed) => return,
            (_, Action::Failed) => RecipientState::Bounced(diagnostic.clone()),
            (_, Action::Delayed) => RecipientState::Delayed(diagnostic.clone()),
            (_, Action::Delivered) => RecipientState::Delivered,
        };
        if recipient.state == next {
            return;
        }
        if report.action == Action::Failed {
            heard.failed = true;
            if report.severity() == Severity::Hard {
                (heard.dead).push((recipient.address.clone(), diagnostic.clone()));
            }
        }
        heard.changed = true;
        recipient.state = next;
        self.last_diagnostic = Some(diagnostic);
    }
}

fn diagnostic(report: &RecipientReport) -> Diagnostic {
    // Codes such as 5.7.509 do not fit; the words have them.
    let enhanced = report.status.and_then(|[class, subject, detail]| {
        let small = |number| u8::try_from(number).ok();
        Some([small(class)?, small(subject)?, small(detail)?])
    });
    match (report.status, enhanced) {
        (Some(_), None) => Diagnostic::ours(&report.to_string()),
        _ => Diagnostic::new(report.code.unwrap_or(0), enhanced, &report.diagnostic),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::address::Address;
    use crate::outbound::message::OutboundRecipient;

    fn outbound(recipients: &[&str]) -> Outbound {
        let mut outbound = crate::outbound::spool::tests::message(1);
        outbound.recipients = (recipients.iter())
            .map(|address| OutboundRecipient {
                address: (*address).to_owned(),
                state: RecipientState::Accepted,
            })
            .collect();
        outbound
    }

    fn report(address: &str, action: Action, status: [u16; 3]) -> RecipientReport {
        RecipientReport {
            address: Address::parse(address).ok(),
            action,
            status: Some(status),
            code: None,
            diagnostic: "said so".to_owned(),
        }
    }

    fn states(outbound: &Outbound) -> String {
        let states = outbound.recipients.iter().map(|found| match &found.state {
            RecipientState::Waiting => "waiting".to_owned(),
            RecipientState::Accepted => "accepted".to_owned(),
            RecipientState::Refused(_) => "refused".to_owned(),
            RecipientState::Delivered => "delivered".to_owned(),
            RecipientState::Delayed(said) => format!("delayed ({said})"),
            RecipientState::Bounced(said) => format!("bounced ({said})"),
        });
        states.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn one_thing_after_the_other() {
        use Action::*;
        let mut outbound = outbound(&["anna@b.example"]);
        for (action, status, after, failed, dead) in [
            (Relayed, [2, 0, 0], "accepted", false, 0),
            (Delayed, [4, 4, 1], "delayed (4.4.1 said so)", false, 0),
            (Delayed, [4, 4, 1], "delayed (4.4.1 said so)", false, 0),
            (Delivered, [2, 0, 0], "delivered", false, 0),
            (Delayed, [4, 4, 1], "delivered", false, 0),
            (Failed, [5, 1, 1], "bounced (5.1.1 said so)", true, 1),
            (Failed, [5, 2, 2], "bounced (5.1.1 said so)", false, 0),
            (Delivered, [2, 0, 0], "bounced (5.1.1 said so)", false, 0),
        ] {
            let before = states(&outbound);
            let saying = Saying::Delivery(vec![report("anna@b.example", action, status)]);
            let heard = outbound.hear(Some(0), &saying);
            assert_eq!(states(&outbound), after);
            assert_eq!(heard.changed, before != after, "{action:?} after {before}");
            assert_eq!(
                (heard.failed, heard.dead.len()),
                (failed, dead),
                "{action:?}"
            );
        }
    }

    #[test]
    fn only_hard_failures_are_remembered_against_an_address() {
        for (status, dead) in [
            ([5, 1, 1], true),
            ([5, 2, 2], false),
            ([5, 3, 4], false),
            ([5, 7, 1], false),
            ([5, 0, 0], false),
        ] {
            let mut outbound = outbound(&["anna@b.example"]);
            let saying = Saying::Delivery(vec![report("x@y.example", Action::Failed, status)]);
            let heard = outbound.hear(None, &saying);
            assert!(heard.failed);
            assert_eq!(!heard.dead.is_empty(), dead, "{status:?}");
        }
    }

    #[test]
    fn whose_recipient_is_meant() {
        let failed = |address| report(address, Action::Failed, [5, 7, 509]);
        let bounced = "bounced (5.7.509 said so)";
        for (recipients, place, named, expected) in [
            (
                &["a@b.example", "c@b.example"][..],
                None,
                "C@B.example",
                format!("accepted, {bounced}"),
            ),
            (
                &["a@b.example", "c@b.example"],
                None,
                "d@b.example",
                "accepted, accepted".to_owned(),
            ),
            (
                &["a@b.example", "c@b.example"],
                Some(0),
                "d@b.example",
                format!("{bounced}, accepted"),
            ),
            (
                &["a@b.example"],
                None,
                "inner@b.example",
                bounced.to_owned(),
            ),
            (
                &["a@b.example"],
                Some(9),
                "a@b.example",
                "accepted".to_owned(),
            ),
        ] {
            let mut outbound = outbound(recipients);
            outbound.hear(place, &Saying::Delivery(vec![failed(named)]));
            assert_eq!(states(&outbound), expected);
        }
    }

    #[test]
    fn what_was_refused_stays_refused() {
        let mut outbound = outbound(&["a@b.example"]);
        outbound.recipients[0].state = RecipientState::Refused(Diagnostic::ours("no"));
        let saying = Saying::Delivery(vec![report("a@b.example", Action::Failed, [5, 1, 1])]);
        assert_eq!(outbound.hear(None, &saying), Heard::default());
    }

    #[test]
    fn complaints_change_no_state() {
        let mut one = outbound(&["a@b.example"]);
        let heard = one.hear(None, &Saying::Complaint);
        assert_eq!((heard.changed, heard.dead.len()), (false, 1));
        let mut two = outbound(&["a@b.example", "c@b.example"]);
        assert_eq!(two.hear(None, &Saying::Complaint), Heard::default());
        let heard = two.hear(Some(1), &Saying::Complaint);
        assert_eq!(heard.dead[0].0, "c@b.example");
    }
}
