//! Filing: a letter finds its case and becomes work, or joins work that is there.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::{
    Case, Change, Correspondent, Desk, Direction, Fact, Filing, Ingest, Interaction, Message,
    Pending, Refusal, State, Target, Thread,
};
use crate::id::{InteractionId, MessageId};
use crate::mail::token::MainNumber;
use crate::time::Timestamp;

impl Desk {
    /// Files one letter: one message, one interaction in each queue it was addressed to, all in
    /// one case.
    pub(super) fn ingest(&mut self, now: Timestamp, letter: Ingest) -> Result<Pending, Refusal> {
        let known = match &letter.thread {
            Thread::Joins(case, _) => Some(self.cases.get(&case.number).unwrap_or(case)),
            Thread::New(_) | Thread::Linked(..) => None,
        };
        for target in &letter.targets {
            let Some(queue) = self.queues.get(&target.queue) else {
                return Err(Refusal::QueueUnknown(target.queue.clone()));
            };
            let joins = known.is_some_and(|case| case.joinable.contains_key(&target.queue));
            if !joins && queue.waiting_count() >= queue.settings.waiting_max {
                return Err(Refusal::QueueFull(target.queue.clone()));
            }
        }
        let Some(number) = self.take_up_case(now, &letter) else {
            return Err(Refusal::StateTransition("no more case numbers are left"));
        };
        let sequence = self.next_sequence();
        let message = MessageId::new(now, sequence);
        let mut filings = Vec::with_capacity(letter.targets.len());
        for target in &letter.targets {
            let joined = (self.cases.get(&number))
                .and_then(|case| case.joinable.get(&target.queue))
                .copied();
            let interaction = match joined {
                Some(interaction) => {
                    self.change(interaction, now, |found| {
                        found.latest_inbound = message;
                        found.message_count += 1;
                        found.trust = found.trust.max(letter.trust);
                    });
                    interaction
                }
                None => self.enqueue(now, &letter, target, number, message),
            };
            filings.push(Filing {
                queue: target.queue.clone(),
                case: number,
                interaction,
                message,
                joined: joined.is_some(),
            });
        }
        if let Some(case) = self.cases.get_mut(&number) {
            case.message_count += 1;
            case.changed = now;
            self.draft.cases.insert(number);
        }
        let record = record(now, letter, number, message, &filings);
        for filing in filings.iter().filter(|filing| filing.joined) {
            let Some(found) = self.interactions.get(&filing.interaction) else {
                continue;
            };
            let holder = found.state.holder().cloned();
            let fact = Fact::MessageReceived {
                interaction: Box::new(found.clone()),
                message: Box::new(record.clone()),
            };
            self.tell(now, holder.as_ref(), fact);
        }
        self.draft.changes.push(Change::Message(Box::new(record)));
        self.draft.body = Some(message);
        Ok(Pending::Filed(filings))
    }

    /// The case of a letter: the one it continues, or a new one.
    fn take_up_case(&mut self, now: Timestamp, letter: &Ingest) -> Option<MainNumber> {
        let follow_up_of = match &letter.thread {
            Thread::Joins(case, _) => {
                let number = case.number;
                self.cases.entry(number).or_insert_with(|| (**case).clone());
                return Some(number);
            }
            Thread::Linked(number, _) => Some(*number),
            Thread::New(_) => None,
        };
        let number = MainNumber::new(self.counters.case + 1)?;
        self.counters.case += 1;
        self.draft.counted = true;
        let queue = letter.targets.first()?.queue.clone();
        self.cases.insert(
            number,
            Case {
                number,
                subject: letter.subject.clone(),
                customer: letter.customer.clone(),
                queue,
                created: now,
                changed: now,
                generation: 0,
                follow_up_of,
                last_agent: None,
                joinable: BTreeMap::new(),
                unfinished: 0,
                message_count: 0,
            },
        );
        Some(number)
    }

    /// Puts a new interaction into the line of a queue.
    fn enqueue(
        &mut self,
        now: Timestamp,
        letter: &Ingest,
        target: &Target,
        number: MainNumber,
        message: MessageId,
    ) -> InteractionId {
        let sequence = self.next_sequence();
        let id = InteractionId::new(now, sequence);
        let interaction = Interaction {
            id,
            queue: target.queue.clone(),
            case: number,
            subject: letter.subject.clone(),
            customer: letter.customer.clone(),
            trust: letter.trust,
            mailbox: target.mailbox.clone(),
            arrived: now,
            priority: 0,
            state: State::Queued,
            outcome: None,
            latest_inbound: message,
            message_count: 1,
            offer_count: 0,
            declined: BTreeSet::new(),
            notes: String::new(),
            disposition: String::new(),
            version: 1,
            changed: now,
        };
        if let Some(queue) = self.queues.get_mut(&target.queue) {
            queue.waiting.insert((Reverse(0), now, id));
        }
        if let Some(case) = self.cases.get_mut(&number) {
            case.joinable.insert(target.queue.clone(), id);
            case.unfinished += 1;
        }
        let fact = Fact::InteractionQueued(Box::new(interaction.clone()));
        self.interactions.insert(id, interaction);
        self.draft.interactions.insert(id);
        self.tell(now, None, fact);
        id
    }
}

/// The letter as the case keeps it.
fn record(
    now: Timestamp,
    letter: Ingest,
    case: MainNumber,
    id: MessageId,
    filings: &[Filing],
) -> Message {
    let origin = match letter.thread {
        Thread::New(origin) | Thread::Linked(_, origin) | Thread::Joins(_, origin) => origin,
    };
    Message {
        id,
        case,
        direction: Direction::Inbound,
        internet_message_id: letter.internet_message_id,
        sender: Correspondent {
            address: letter.customer.address,
            display_name: letter.customer.display_name,
        },
        envelope_sender: letter.envelope_sender,
        recipients: (letter.targets.into_iter().map(|target| target.mailbox)).collect(),
        subject: letter.subject,
        time: now,
        size: letter.size,
        trust: letter.trust,
        trust_reason: letter.trust_reason,
        origin,
        mta_queue_id: letter.mta_queue_id,
        agent: None,
        interactions: filings.iter().map(|filing| filing.interaction).collect(),
    }
}
