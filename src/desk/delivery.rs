//! Delivery: what the submitter reports of outbound messages, told to their agents.

use super::{Change, Desk, Fact, Pending, Refusal};
use crate::id::MessageId;
use crate::outbound::message::{Outbound, Outcome};
use crate::outbound::spool::{self, SpoolError};
use crate::time::Timestamp;

impl Desk {
    pub(super) fn hand_over(&mut self, now: Timestamp, id: MessageId) -> Result<Pending, Refusal> {
        let change = (self.spool.handed_over(id)).map_err(|error| refusal(id, error))?;
        Ok(self.delivery_changed(now, change))
    }

    pub(super) fn finish_submission(
        &mut self,
        now: Timestamp,
        id: MessageId,
        outcome: Outcome,
    ) -> Result<Pending, Refusal> {
        let change = (self.spool.finish(id, outcome, now)).map_err(|error| refusal(id, error))?;
        Ok(self.delivery_changed(now, change))
    }

    pub(super) fn retry_delivery(
        &mut self,
        now: Timestamp,
        id: MessageId,
        settled: Option<Box<Outbound>>,
    ) -> Result<Pending, Refusal> {
        let change = match settled {
            Some(outbound) => self.spool.readmit(*outbound, now),
            None => self.spool.resend(id, now),
        };
        let change = change.map_err(|error| refusal(id, error))?;
        Ok(self.delivery_changed(now, change))
    }

    pub(super) fn delivery_changed(&mut self, now: Timestamp, change: spool::Change) -> Pending {
        let outbound = Box::new(change.outbound);
        self.review_delivery(now, &outbound);
        self.draft.changes.push(Change::Outbound(outbound.clone()));
        let agent = outbound.agent.clone();
        self.tell(now, agent.as_ref(), Fact::DeliveryUpdated(outbound.clone()));
        Pending::Outbound(outbound)
    }
}

/// Why the spool did not do it, in the desk's words.
fn refusal(id: MessageId, error: SpoolError) -> Refusal {
    match error {
        SpoolError::Full => Refusal::SpoolFull,
        SpoolError::Unknown => Refusal::OutboundUnknown(id),
        SpoolError::Known | SpoolError::NotInFlight | SpoolError::Transition(_) => {
            Refusal::OutboundState(id)
        }
    }
}
