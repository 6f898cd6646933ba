//! Sending: what agents write leaves their hands, as an answer, a forwarded letter or a mail of
//! its own.

use std::collections::BTreeSet;
use std::time::Duration;

use super::handling::Needed;
use super::{
    AssignCause, Case, Change, Desk, Direction, Fact, Interaction, Message, Origin, Outcome,
    Outgoing, Pending, PresenceCause, Refusal, State,
};
use crate::id::{AgentId, InteractionId, MessageId};
use crate::mail::message_id::InternetMessageId;
use crate::mail::threading::ClueKey;
use crate::mail::token::MainNumber;
use crate::mail::trust::Trust;
use crate::outbound::message::{Envelope, Outbound};
use crate::time::Timestamp;

impl Desk {
    /// Answers the customer.
    pub(super) fn reply(&mut self, now: Timestamp, mail: Outgoing) -> Result<Pending, Refusal> {
        self.send(now, mail, Needed::Active, Outcome::Replied)
    }

    /// Passes a letter on to people outside. The case stays the customer's; what those people
    /// answer belongs to it.
    pub(super) fn forward(&mut self, now: Timestamp, mail: Outgoing) -> Result<Pending, Refusal> {
        self.send(now, mail, Needed::Active, Outcome::Forwarded)
    }

    /// Sends a mail that its agent began.
    pub(super) fn send_email(
        &mut self,
        now: Timestamp,
        mail: Outgoing,
    ) -> Result<Pending, Refusal> {
        self.send(now, mail, Needed::Drafting, Outcome::Sent)
    }

    fn send(
        &mut self,
        now: Timestamp,
        mail: Outgoing,
        needed: Needed,
        outcome: Outcome,
    ) -> Result<Pending, Refusal> {
        let (agent, found) = self.held(mail.session, mail.interaction, needed)?;
        // Rights may have changed since the mail was composed.
        if (self.from_mailbox(&found.queue, &agent, &mail.from.address)).is_none() {
            return Err(Refusal::FromNotAllowed(mail.from.address));
        }
        // Whoever does not say what they have read has read what was there when they began.
        let seen = mail.latest_seen.or(found.known);
        if seen.is_some_and(|seen| seen < found.latest_inbound) {
            return Err(Refusal::NewerMessage(found.latest_inbound));
        }
        if self.spool.is_full() {
            return Err(Refusal::SpoolFull);
        }
        let (id, number) = (found.id, found.case);
        let seated =
            (self.cases.get(&number)).is_none_or(|case| case.slot(&mail.to.address) == mail.slot);
        if !seated {
            return Err(Refusal::StateTransition(
                "somebody else was written to in this case meanwhile; send again",
            ));
        }
        let session = mail.session;
        let undo = (self.queues.get(&found.queue)).map_or(Duration::ZERO, |at| at.settings.undo);
        let (message, outbound) = self.post(now, &agent, number, &mail, undo)?;
        self.change(id, now, |found| {
            found.message_count += 1;
            found.outcome = Some(outcome);
            if outcome == Outcome::Replied {
                found.answered.get_or_insert(now);
            }
            if outcome == Outcome::Sent {
                found.customer = mail.to.clone();
                found.subject.clone_from(&mail.subject);
            }
        });
        self.write_to(number, &agent, mail);
        self.heard(now, session);
        self.tell(now, Some(&agent), Fact::DeliveryUpdated(Box::new(outbound)));
        self.handled(now, &agent, id);
        Ok(Pending::Interaction(id, agent, Some(message)))
    }

    /// Puts a mail into the spool, with its record and what later letters may name it by. For the
    /// time `undo` it is not tried.
    fn post(
        &mut self,
        now: Timestamp,
        agent: &AgentId,
        case: MainNumber,
        mail: &Outgoing,
        undo: Duration,
    ) -> Result<(MessageId, Outbound), Refusal> {
        let sequence = self.next_sequence();
        let message = MessageId::new(now, sequence);
        let recipients: Vec<String> = [&mail.to]
            .into_iter()
            .chain(&mail.others)
            .map(|person| person.address.clone())
            .collect();
        let record = Message {
            id: message,
            case,
            direction: Direction::Outbound,
            internet_message_id: mail.internet_message_id.clone(),
            sender: mail.from.clone(),
            envelope_sender: mail.envelope_sender.clone(),
            recipients: recipients.clone(),
            subject: mail.subject.clone(),
            time: now,
            size: mail.size,
            trust: Trust::A,
            trust_reason: "composed here".to_owned(),
            origin: Origin::Composed,
            mta_queue_id: String::new(),
            agent: Some(agent.clone()),
            interactions: vec![mail.interaction],
        };
        let outbound = Outbound::new(
            message,
            mail.interaction,
            Some(agent.clone()),
            mail.internet_message_id.clone(),
            Envelope {
                mail_from: mail.envelope_sender.clone(),
                recipients,
            },
            mail.size,
            now,
        )
        .hold(undo);
        if self.spool.insert(outbound.clone()).is_err() {
            return Err(Refusal::SpoolFull);
        }
        if let Ok(id) = InternetMessageId::parse(&record.internet_message_id) {
            let clue = Change::Clue(ClueKey::id(&id), case, message);
            self.draft.changes.push(clue);
        }
        self.draft.changes.push(Change::Message(Box::new(record)));
        self.draft
            .changes
            .push(Change::Outbound(Box::new(outbound.clone())));
        self.draft.body = Some(message);
        Ok((message, outbound))
    }

    /// Notes in the case who was written to. The first letter of a case that an agent opened says
    /// who its customer is.
    fn write_to(&mut self, number: MainNumber, agent: &AgentId, mail: Outgoing) {
        let Some(case) = self.cases.get_mut(&number) else {
            return;
        };
        if case.message_count == 0 {
            case.customer = mail.to;
            case.subject = mail.subject;
        } else {
            case.seat(mail.slot, &mail.to);
        }
        case.message_count += 1;
        case.last_agent = Some(agent.clone());
        for other in mail.others {
            case.seat(case.slot(&other.address), &other);
        }
    }

    /// Puts what was sent back into the hands of the agent who is still wrapping it up: it did not
    /// go out, or came back. Anything else is left as it is.
    pub(super) fn take_back(&mut self, now: Timestamp, agent: &AgentId, id: InteractionId) {
        let Some(found) = self.interactions.get(&id) else {
            return;
        };
        let drafted = found.outcome == Some(Outcome::Sent);
        let occupied = (self.cases.get(&found.case))
            .is_some_and(|case| case.joinable.contains_key(&found.queue));
        let wrapping = matches!(found.state, State::WrappingUp { .. });
        if !wrapping || found.state.holder() != Some(agent) || (occupied && !drafted) {
            return;
        }
        let (number, queue) = (found.case, found.queue.clone());
        let state = if drafted {
            let agent = agent.clone();
            State::Drafting { agent, since: now }
        } else {
            let agent = agent.clone();
            State::Active { agent, since: now }
        };
        self.change(id, now, |found| {
            found.enter(state, now);
            if found.outcome == Some(Outcome::Replied) {
                found.answered = None;
            }
            found.outcome = None;
            found.known = Some(found.latest_inbound);
        });
        self.watch_service(now, id);
        if let Some(load) = self.loads.get_mut(agent) {
            load.wrapping.remove(&id);
            if drafted {
                load.drafting.insert(id);
            } else {
                load.active.insert(id);
            }
        }
        if drafted {
            self.drafts.insert((number, id));
        } else if let Some(case) = self.cases.get_mut(&number) {
            case.joinable.insert(queue, id);
            self.draft.cases.insert(number);
        }
        if let Some(found) = self.interactions.get(&id) {
            let fact = Fact::InteractionAssigned {
                interaction: Box::new(found.clone()),
                cause: AssignCause::Returned,
            };
            self.tell(now, Some(agent), fact);
        }
        self.touch(agent, PresenceCause::Resume);
    }

    /// Makes new work of what was sent and did not go out, for the agent who sent it if they can
    /// take it. `closed` is the interaction as the store knows it.
    pub(super) fn send_round_again(
        &mut self,
        now: Timestamp,
        agent: &AgentId,
        closed: Interaction,
        case: Case,
    ) {
        let number = case.number;
        if !self.queues.contains_key(&closed.queue) {
            return;
        }
        let sequence = self.next_sequence();
        let id = InteractionId::new(now, sequence);
        let case = self.cases.entry(number).or_insert(case);
        // Whoever takes that up sees what became of the answer.
        if case.joinable.contains_key(&closed.queue) {
            return;
        }
        case.joinable.insert(closed.queue.clone(), id);
        case.unfinished += 1;
        case.closed = None;
        case.changed = now;
        self.draft.cases.insert(number);
        let again = Interaction {
            id,
            case: number,
            state: State::Queued,
            arrived: now,
            priority: closed.priority.max(RETURNED_PRIORITY),
            outcome: None,
            message_count: 0,
            offer_count: 0,
            declined: BTreeSet::new(),
            disposition: String::new(),
            version: 1,
            changed: now,
            transfers: 0,
            extensions: 0,
            rounds_declined: 0,
            entered: None,
            accepted: None,
            answered: None,
            warned: 0,
            first_queue: None,
            follows: Some(closed.id),
            previous: self.newest_of(closed.case, id),
            direction: Direction::Inbound,
            ..closed
        };
        self.interactions.insert(id, again);
        self.draft.interactions.insert(id);
        self.keep_for(now, agent, id);
        self.line_up(now, id);
        if let Some(found) = self.interactions.get(&id) {
            let fact = Fact::InteractionQueued(Box::new(found.clone()));
            self.tell(now, None, fact);
        }
    }
}

/// The least priority of work that came back: the customer has waited once already.
pub(super) const RETURNED_PRIORITY: i32 = 10;
