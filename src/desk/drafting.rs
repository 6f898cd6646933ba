//! Drafting: mails that agents begin by themselves, in a new case or in one that they name.

use std::collections::BTreeSet;

use super::handling::Needed;
use super::interaction::NO_MESSAGE;
use super::{
    AssignCause, CancelCause, Desk, Direction, Email, Fact, Interaction, Pending, PresenceCause,
    Refusal, RescindCause, State,
};
use crate::id::{AgentId, InteractionId, QueueId, SessionId};
use crate::mail::trust::Trust;
use crate::time::Timestamp;

impl Desk {
    /// Begins a mail: its agent is Busy at once. A case that it opens has its number from now on,
    /// and its customer once the mail is sent.
    pub(super) fn start_email(&mut self, now: Timestamp, email: Email) -> Result<Pending, Refusal> {
        let agent = self.fence(email.session)?;
        let (queue, mailbox) = self.sends_from(&agent, &email)?;
        self.room(&agent)?;
        let Email {
            session,
            to,
            subject,
            case,
            ..
        } = email;
        let (number, customer, subject) = match case {
            Some(case) => {
                let number = case.number;
                let case = self.cases.entry(number).or_insert(*case);
                case.closed = None;
                let whom = if to.address.is_empty() {
                    case.customer.clone()
                } else {
                    to
                };
                let subject = if subject.is_empty() {
                    case.subject.clone()
                } else {
                    subject
                };
                (number, whom, subject)
            }
            None => {
                let opened = self.open_case(now, subject.clone(), to.clone(), queue.clone(), None);
                let Some(number) = opened else {
                    return Err(Refusal::StateTransition("no more case numbers are left"));
                };
                (number, to, subject)
            }
        };
        self.heard(now, session);
        self.rescind_all(now, &agent, RescindCause::Composing);
        let sequence = self.next_sequence();
        let id = InteractionId::new(now, sequence);
        let interaction = Interaction {
            id,
            queue,
            case: number,
            subject,
            customer,
            trust: Trust::A,
            mailbox,
            arrived: now,
            priority: 0,
            state: State::Drafting {
                agent: agent.clone(),
                since: now,
            },
            outcome: None,
            latest_inbound: NO_MESSAGE,
            message_count: 0,
            offer_count: 0,
            declined: BTreeSet::new(),
            notes: String::new(),
            disposition: String::new(),
            version: 1,
            changed: now,
            skills: BTreeSet::new(),
            preferred: None,
            transfers: 0,
            follows: None,
            direction: Direction::Outbound,
            extensions: 0,
            known: Some(NO_MESSAGE),
            entered: None,
            accepted: None,
            answered: None,
            warned: 0,
            rounds_declined: 0,
        };
        let fact = Fact::InteractionAssigned {
            interaction: Box::new(interaction.clone()),
            cause: AssignCause::Started,
        };
        self.interactions.insert(id, interaction);
        self.draft.interactions.insert(id);
        self.drafts.insert((number, id));
        if let Some(case) = self.cases.get_mut(&number) {
            case.unfinished += 1;
            case.changed = now;
            self.draft.cases.insert(number);
        }
        if let Some(load) = self.loads.get_mut(&agent) {
            load.drafting.insert(id);
        }
        self.tell(now, Some(&agent), fact);
        self.touch(&agent, PresenceCause::Compose);
        Ok(Pending::Interaction(id, agent, None))
    }

    /// The queue that a mail is sent for, and the address that it is sent from: one of a queue
    /// that the agent serves. A follow-up goes to a case of such a queue.
    fn sends_from(&self, agent: &AgentId, email: &Email) -> Result<(QueueId, String), Refusal> {
        let served = (self.agents.get(agent)).map(|agent| &agent.queues);
        let serves = |queue: &QueueId| served.is_some_and(|served| served.contains(queue));
        if let Some(case) = &email.case
            && !serves(&case.queue)
        {
            return Err(Refusal::NotMember(case.queue.clone()));
        }
        if let Some(case) = &email.case
            && email.from.is_empty()
        {
            let first =
                (self.queues.get(&case.queue)).and_then(|queue| queue.settings.mailboxes.first());
            let first = first.ok_or_else(|| Refusal::FromNotAllowed(email.from.clone()))?;
            return Ok((case.queue.clone(), first.address.clone()));
        }
        // An address of the house's names its queues in their order; one of a queue's is its.
        let house = (self.policy.house.from_addresses.iter())
            .filter(|from| from.mailbox.address.eq_ignore_ascii_case(&email.from))
            .flat_map(|from| &from.queues);
        let case = email.case.as_ref().map(|case| &case.queue);
        let mut queues =
            (case.into_iter().chain(house).chain(self.queues.keys())).filter(|queue| serves(queue));
        let found = queues.find_map(|queue| {
            let mailbox = self.from_mailbox(queue, agent, &email.from)?;
            Some((queue.clone(), mailbox.address))
        });
        found.ok_or_else(|| Refusal::FromNotAllowed(email.from.clone()))
    }

    /// Drops a mail that was begun and not sent.
    pub(super) fn discard_email(
        &mut self,
        now: Timestamp,
        session: SessionId,
        id: InteractionId,
    ) -> Result<Pending, Refusal> {
        let (agent, _) = self.held(session, id, Needed::Drafting)?;
        self.heard(now, session);
        self.let_go(&agent, id);
        self.call_off(now, Some(&agent), id, CancelCause::DraftDiscarded);
        self.settle_after(now, &agent, None, Direction::Outbound);
        self.touch(&agent, PresenceCause::WrapUpComplete);
        Ok(Pending::Interaction(id, agent, None))
    }
}
