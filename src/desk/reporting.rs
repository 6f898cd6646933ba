//! Reporting: a proven report about a letter of ours, and what follows from it for its case.

use std::time::Duration;

use super::{Change, Concern, Desk, Fact, Ingest, Work};
use crate::id::MessageId;
use crate::outbound::hearing::{Heard, Saying, Suppression};
use crate::outbound::message::Outbound;
use crate::time::Timestamp;

/// How long an address is not written to after letters to it came back for good. Mailboxes are
/// made anew, and an agent who knows better may write all the same.
const SUPPRESSED_FOR: Duration = Duration::from_secs(60 * 24 * 3600);

/// A report that is proven to be about a message of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The message.
    pub message: MessageId,
    /// The place of the recipient whose return path the report came to.
    pub recipient: Option<u8>,
    /// What it says.
    pub saying: Saying,
    /// The message's record, if the spool does not hold it; the engine sees to that.
    pub settled: Option<Box<Outbound>>,
}

impl Desk {
    /// What a report changes, as a record that nothing holds yet; and whether the letter that
    /// brought it is work: once for each recipient that was not reached.
    pub(super) fn weigh(&self, letter: &mut Ingest) -> Option<(Outbound, Heard)> {
        let report = letter.report.as_ref()?;
        let held = self.spool.get(report.message);
        let mut outbound = held.or(report.settled.as_deref())?.clone();
        let heard = outbound.hear(report.recipient, &report.saying);
        // That an acknowledgement was not delivered is nobody's loss.
        letter.handling.work = if heard.failed && outbound.agent.is_some() {
            Work::Wanted
        } else {
            Work::Quiet
        };
        Some((outbound, heard))
    }

    /// Writes down what a report changed, and tells whoever sent the message.
    pub(super) fn note_report(&mut self, now: Timestamp, outbound: Outbound, heard: Heard) {
        for (address, diagnostic) in heard.dead {
            let suppression = Suppression {
                address,
                message: outbound.id,
                diagnostic,
                since: now,
                until: now + SUPPRESSED_FOR,
            };
            (self.draft.changes).push(Change::Suppressed(Box::new(suppression)));
        }
        // That an acknowledgement came back is nobody's loss.
        if heard.failed && outbound.agent.is_some() {
            self.raise_about(now, Concern::DeliveryReturned(outbound.id), &outbound);
        }
        if heard.changed {
            self.spool.amend(&outbound);
            let outbound = Box::new(outbound);
            self.draft.changes.push(Change::Outbound(outbound.clone()));
            let agent = outbound.agent.clone();
            self.tell(now, agent.as_ref(), Fact::DeliveryUpdated(outbound));
        }
    }
}
