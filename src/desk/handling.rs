//! Handling: an agent answers or ends what they hold.

use super::{
    Case, Change, CodePolicy, Desk, Direction, Fact, Interaction, Message, NOTE_BYTES_MAX, Origin,
    Outcome, Pending, PresenceCause, Refusal, Reply, State, Timer, bounded,
};
use crate::id::{AgentId, InteractionId, MessageId, SessionId};
use crate::mail::message_id::InternetMessageId;
use crate::mail::threading::ClueKey;
use crate::mail::token::MainNumber;
use crate::mail::trust::Trust;
use crate::outbound::message::{Envelope, Outbound};
use crate::time::Timestamp;

/// Which state a verb needs its interaction to be in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Needed {
    Active,
    WrappingUp,
    Parked,
}

impl Desk {
    /// The agent who asks and the interaction, if it is in that agent's hands and in that state.
    pub(super) fn held(
        &self,
        session: SessionId,
        id: InteractionId,
        needed: Needed,
    ) -> Result<(AgentId, &Interaction), Refusal> {
        let agent = self.fence(session)?;
        let found = (self.interactions.get(&id)).ok_or(Refusal::InteractionUnknown(id))?;
        if found.state.owner() != Some(&agent) {
            return Err(Refusal::NotOwner(id));
        }
        let fits = match needed {
            Needed::Active => matches!(found.state, State::Active { .. }),
            Needed::WrappingUp => matches!(found.state, State::WrappingUp { .. }),
            Needed::Parked => matches!(found.state, State::Parked { .. }),
        };
        if !fits {
            return Err(Refusal::InteractionState {
                interaction: id,
                state: found.state.name(),
                needed: match needed {
                    Needed::Active => "active",
                    Needed::WrappingUp => "wrapping up",
                    Needed::Parked => "parked",
                },
            });
        }
        Ok((agent, found))
    }

    pub(super) fn reply(&mut self, now: Timestamp, reply: Reply) -> Result<Pending, Refusal> {
        let (agent, found) = self.held(reply.session, reply.interaction, Needed::Active)?;
        let allowed = (self.queues.get(&found.queue))
            .is_some_and(|queue| queue.settings.mailbox(&reply.from.address).is_some());
        if !allowed {
            return Err(Refusal::FromNotAllowed(reply.from.address));
        }
        if reply
            .latest_seen
            .is_some_and(|seen| seen < found.latest_inbound)
        {
            return Err(Refusal::NewerMessage(found.latest_inbound));
        }
        if self.spool.is_full() {
            return Err(Refusal::SpoolFull);
        }
        let (id, case) = (found.id, found.case);
        let seated =
            (self.cases.get(&case)).is_none_or(|case| case.slot(&reply.to.address) == reply.slot);
        if !seated {
            return Err(Refusal::StateTransition(
                "somebody else was written to in this case meanwhile; send again",
            ));
        }
        let sequence = self.next_sequence();
        let message = MessageId::new(now, sequence);
        let record = Message {
            id: message,
            case,
            direction: Direction::Outbound,
            internet_message_id: reply.internet_message_id.clone(),
            sender: reply.from,
            envelope_sender: reply.envelope_sender.clone(),
            recipients: vec![reply.to.address.clone()],
            subject: reply.subject,
            time: now,
            size: reply.size,
            trust: Trust::A,
            trust_reason: "composed here".to_owned(),
            origin: Origin::Composed,
            mta_queue_id: String::new(),
            agent: Some(agent.clone()),
            interactions: vec![id],
        };
        let outbound = Outbound::new(
            message,
            id,
            Some(agent.clone()),
            reply.internet_message_id,
            Envelope {
                mail_from: reply.envelope_sender,
                recipients: vec![reply.to.address.clone()],
            },
            reply.size,
            now,
        );
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
        self.change(id, now, |found| {
            found.message_count += 1;
            found.outcome = Some(Outcome::Replied);
            found.answered.get_or_insert(now);
        });
        if let Some(case) = self.cases.get_mut(&case) {
            case.message_count += 1;
            case.seat(reply.slot, &reply.to);
        }
        self.heard(now, reply.session);
        self.tell(now, Some(&agent), Fact::DeliveryUpdated(Box::new(outbound)));
        self.handled(now, &agent, id);
        Ok(Pending::Interaction(id, agent, Some(message)))
    }

    pub(super) fn end_interaction(
        &mut self,
        now: Timestamp,
        session: SessionId,
        id: InteractionId,
        note: String,
    ) -> Result<Pending, Refusal> {
        bounded("note", &note, NOTE_BYTES_MAX)?;
        let (agent, _) = self.held(session, id, Needed::Active)?;
        self.change(id, now, |found| {
            found.outcome = Some(Outcome::Ended);
            found.notes = note;
        });
        self.heard(now, session);
        self.handled(now, &agent, id);
        Ok(Pending::Interaction(id, agent, None))
    }

    /// Handling is over: post-processing begins if the queue has it, otherwise all is done.
    pub(super) fn handled(&mut self, now: Timestamp, agent: &AgentId, id: InteractionId) {
        let Some(found) = self.interactions.get(&id) else {
            return;
        };
        let (number, queue) = (found.case, found.queue.clone());
        if let Some(case) = self.cases.get_mut(&number) {
            // A further letter from now on is new work, not a part of what was just answered.
            case.joinable.remove(&queue);
            case.changed = now;
            self.draft.cases.insert(number);
        }
        if let Some(load) = self.loads.get_mut(agent) {
            load.active.remove(&id);
        }
        let rules = self.queues.get(&queue).map(|queue| &queue.settings);
        let time = rules.and_then(|rules| rules.post_processing);
        let holds = rules.is_some_and(|rules| rules.codes == CodePolicy::Hold);
        if time.is_none() && !holds {
            if let Some(closed) = self.close(now, agent, id) {
                let fact = Fact::InteractionClosed(Box::new(closed));
                self.tell(now, Some(agent), fact);
            }
            self.settle(now, agent, None);
            self.touch(agent, PresenceCause::WrapUpComplete);
            return;
        }
        if let Some(load) = self.loads.get_mut(agent) {
            load.wrapping.insert(id);
        }
        let deadline = time.map(|time| now + time);
        if let Some(deadline) = deadline {
            self.timers.set(deadline, Timer::WrapUp(id));
        }
        self.change(id, now, |found| {
            let wrapping_up = State::WrappingUp {
                agent: agent.clone(),
                since: now,
                deadline,
            };
            found.enter(wrapping_up, now);
        });
        if let Some(found) = self.interactions.get(&id) {
            let fact = Fact::WrapUpStarted(Box::new(found.clone()));
            self.tell(now, Some(agent), fact);
        }
        self.touch(agent, PresenceCause::WrapUpStart);
    }

    /// Closes an interaction and lets its case rest if it was the last.
    pub(super) fn close(
        &mut self,
        now: Timestamp,
        agent: &AgentId,
        id: InteractionId,
    ) -> Option<Interaction> {
        self.change(id, now, |found| {
            let agent = agent.clone();
            found.enter(State::Closed { agent, at: now }, now);
        });
        let closed = self.interactions.remove(&id)?;
        self.draft.interactions.remove(&id);
        self.draft.closed.insert(id, closed.clone());
        if let Some(load) = self.loads.get_mut(agent) {
            load.wrapping.remove(&id);
        }
        self.finished(now, closed.case);
        Some(closed)
    }

    /// One interaction of the case is closed. The case rests if it was the last.
    pub(super) fn finished(&mut self, now: Timestamp, number: MainNumber) {
        let Some(case) = self.cases.get_mut(&number) else {
            return;
        };
        case.unfinished = case.unfinished.saturating_sub(1);
        case.changed = now;
        self.draft.cases.insert(number);
        if !case.is_open() {
            case.closed = Some(now);
            self.lay_to_rest(number);
        }
    }

    /// The desk no longer holds the case: nothing of it is open.
    pub(super) fn lay_to_rest(&mut self, number: MainNumber) {
        self.draft.cases.remove(&number);
        let rested: Option<Case> = self.cases.remove(&number);
        (self.draft.rested).extend(rested.map(|case| (case.number, case)));
    }
}
