//! Delivery: what the submitter reports of outbound messages, told to their agents; what was
//! refused comes back as work, and so does what its agent takes back in time.

use super::{Case, Change, Desk, Fact, Interaction, Pending, Refusal};
use crate::id::{AgentId, InteractionId, MessageId, SessionId};
use crate::outbound::message::{DeliveryState, Outbound, Outcome};
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
        sent_for: Option<Box<(Interaction, Case)>>,
    ) -> Result<Pending, Refusal> {
        let change = (self.spool.finish(id, outcome, now)).map_err(|error| refusal(id, error))?;
        let refused = change.outbound.state == DeliveryState::Refused;
        let (agent, interaction) = (change.outbound.agent.clone(), change.outbound.interaction);
        let pending = self.delivery_changed(now, change);
        if let Some(agent) = agent.filter(|_| refused) {
            self.work_again(now, &agent, interaction, sent_for);
        }
        Ok(pending)
    }

    /// Takes back what an agent has sent, while it waits for its first attempt. What it was sent
    /// for is work again.
    pub(super) fn cancel_send(
        &mut self,
        now: Timestamp,
        session: SessionId,
        id: MessageId,
        sent_for: Option<Box<(Interaction, Case)>>,
    ) -> Result<Pending, Refusal> {
        let agent = self.fence(session)?;
        let found = self.spool.get(id).ok_or(TOO_LATE)?;
        let interaction = found.interaction;
        if found.agent.as_ref() != Some(&agent) {
            return Err(Refusal::NotOwner(interaction));
        }
        let change = self.spool.cancel(id, now).map_err(|_| TOO_LATE)?;
        self.heard(now, session);
        let pending = self.delivery_changed(now, change);
        self.work_again(now, &agent, interaction, sent_for);
        Ok(pending)
    }

    /// Brings back what a message was sent for that does not go out. `sent_for` is it if it is
    /// closed.
    fn work_again(
        &mut self,
        now: Timestamp,
        agent: &AgentId,
        interaction: InteractionId,
        sent_for: Option<Box<(Interaction, Case)>>,
    ) {
        match sent_for.map(|sent_for| *sent_for) {
            Some((closed, case)) if !self.interactions.contains_key(&interaction) => {
                self.send_round_again(now, agent, closed, case);
            }
            _ => self.take_back(now, agent, interaction),
        }
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

/// There is nothing left to be taken back: the message may be with the MTA, or is settled.
const TOO_LATE: Refusal = Refusal::StateTransition(
    "that mail does not wait to be sent any more; it cannot be taken back",
);

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
