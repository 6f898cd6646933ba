//! Filing: a letter finds its case and becomes work, or joins work that is there.

use std::collections::{BTreeMap, BTreeSet};

use super::sending::RETURNED_PRIORITY;
use super::{
    Case, Change, Correspondent, Desk, Direction, Fact, Filing, HoldReason, Ingest, Interaction,
    Message, PEOPLE_MAX, Pending, Preferred, Refusal, State, Target, Thread, Work,
};
use crate::id::{InteractionId, MessageId, QueueId};
use crate::mail::clue::OwnKeys;
use crate::mail::token::MainNumber;
use crate::time::Timestamp;

impl Desk {
    /// Files one letter: one message, one interaction in each queue it was addressed to, all in
    /// one case.
    pub(super) fn ingest(
        &mut self,
        now: Timestamp,
        mut letter: Ingest,
    ) -> Result<Pending, Refusal> {
        keep_apart(&mut letter);
        let weighed = self.weigh(&mut letter);
        let known = match &letter.thread {
            Thread::Joins(case, _) => Some(self.cases.get(&case.number).unwrap_or(case)),
            Thread::New(_) | Thread::Linked(..) => None,
        };
        for target in &letter.targets {
            let Some(queue) = self.queues.get(&target.queue) else {
                return Err(Refusal::QueueUnknown(target.queue.clone()));
            };
            let joins = known.is_some_and(|case| case.joinable.contains_key(&target.queue));
            if !joins && letter.handling.work != Work::Quiet && queue.is_full() {
                return Err(Refusal::QueueFull(target.queue.clone()));
            }
        }
        let continues = matches!(letter.thread, Thread::Joins(..));
        let Some(number) = self.take_up_case(now, &mut letter) else {
            return Err(Refusal::StateTransition("no more case numbers are left"));
        };
        if let Some((outbound, heard)) = &weighed
            && heard.failed
        {
            letter.handling.priority = letter.handling.priority.max(RETURNED_PRIORITY);
            let answered = (self.interactions.get(&outbound.interaction))
                .is_some_and(|found| found.direction == Direction::Inbound);
            if let Some(agent) = outbound.agent.clone().filter(|_| answered) {
                self.take_back(now, &agent, outbound.interaction);
            }
        }
        let sequence = self.next_sequence();
        let message = MessageId::new(now, sequence);
        let mut filings = Vec::with_capacity(letter.targets.len());
        for target in &letter.targets {
            let joined = (self.cases.get(&number))
                .and_then(|case| case.joinable.get(&target.queue))
                .copied();
            let interaction = match joined {
                Some(interaction) => {
                    let counts = letter.handling.work == Work::Wanted;
                    self.change(interaction, now, |found| {
                        found.message_count += 1;
                        // What nobody needs to answer is not what an answer must have seen.
                        if counts {
                            found.latest_inbound = message;
                            found.trust = found.trust.max(letter.trust);
                        }
                    });
                    interaction
                }
                None => self.open(now, &letter, target, number, message),
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
            let room = PEOPLE_MAX.saturating_sub(case.copied.len());
            case.copied.extend(letter.copied.iter().take(room).cloned());
            if case.is_open() {
                case.closed = None;
                self.draft.cases.insert(number);
            } else {
                case.closed.get_or_insert(now);
                self.lay_to_rest(number);
            }
        }
        if let Some((outbound, heard)) = weighed {
            self.note_report(now, outbound, heard);
        }
        if let Some(acknowledgement) = letter.acknowledgement.take()
            && !continues
            && letter.handling.work == Work::Wanted
            && let Some(filing) =
                (filings.iter()).find(|filing| filing.queue == acknowledgement.queue)
        {
            self.acknowledge(now, &acknowledgement, filing);
        }
        let wanted = letter.handling.work == Work::Wanted;
        let keys = letter.keys.all();
        (self.draft.changes).extend(keys.map(|key| Change::Clue(key, number, message)));
        let dossier = std::mem::take(&mut letter.dossier);
        self.draft.changes.push(Change::Dossier(message, dossier));
        let record = record(now, letter, number, message, &filings);
        for filing in filings.iter().filter(|filing| filing.joined) {
            let Some(found) = self.interactions.get(&filing.interaction) else {
                continue;
            };
            let owner = found.state.owner().cloned();
            let fact = Fact::MessageReceived {
                interaction: Box::new(found.clone()),
                message: Box::new(record.clone()),
            };
            self.tell(now, owner.as_ref(), fact);
            if wanted {
                self.unpark(now, filing.interaction);
            }
        }
        if wanted {
            self.tell_writers(now, number, &record);
        }
        self.draft.changes.push(Change::Message(Box::new(record)));
        self.draft.body = Some(message);
        Ok(Pending::Filed(filings))
    }

    /// Whoever is writing a mail in the case should read the letter before they send it.
    fn tell_writers(&mut self, now: Timestamp, number: MainNumber, letter: &Message) {
        let first = InteractionId::from_bytes([0; 16]);
        let last = InteractionId::from_bytes([u8::MAX; 16]);
        let drafts: Vec<InteractionId> = (self.drafts.range((number, first)..=(number, last)))
            .map(|(_, id)| *id)
            .collect();
        for id in drafts {
            self.change(id, now, |found| found.latest_inbound = letter.id);
            let Some(found) = self.interactions.get(&id) else {
                continue;
            };
            let writer = found.state.holder().cloned();
            let fact = Fact::MessageReceived {
                interaction: Box::new(found.clone()),
                message: Box::new(letter.clone()),
            };
            self.tell(now, writer.as_ref(), fact);
        }
    }

    /// The case of a letter: the one it continues, or a new one. A letter that would open a closed
    /// case once too often is held.
    fn take_up_case(&mut self, now: Timestamp, letter: &mut Ingest) -> Option<MainNumber> {
        let follow_up_of = match &letter.thread {
            Thread::Joins(case, _) => {
                let number = case.number;
                let case = (self.cases.entry(number)).or_insert_with(|| (**case).clone());
                if !case.is_open() && letter.handling.keeps_closed {
                    letter.handling.work = Work::Quiet;
                }
                let reopens = !case.is_open() && letter.handling.work == Work::Wanted;
                if !reopens || case.reopen(now, letter.handling.by_machine) {
                    return Some(number);
                }
                self.cases.remove(&number);
                letter.handling.work = Work::Held {
                    reason: HoldReason::Reopened,
                    aside: Some(number),
                };
                None
            }
            Thread::Linked(number, _) => Some(*number),
            Thread::New(_) => None,
        };
        let queue = letter.targets.first()?.queue.clone();
        let (subject, customer) = (letter.subject.clone(), letter.customer.clone());
        self.open_case(now, subject, customer, queue, follow_up_of)
    }

    /// Opens a case; `None` if there are no more numbers.
    pub(super) fn open_case(
        &mut self,
        now: Timestamp,
        subject: String,
        customer: Correspondent,
        queue: QueueId,
        follow_up_of: Option<MainNumber>,
    ) -> Option<MainNumber> {
        let number = MainNumber::new(self.counters.case + 1)?;
        self.counters.case += 1;
        self.draft.counted = true;
        self.cases.insert(
            number,
            Case {
                newest: None,
                parts: Vec::new(),
                number,
                subject,
                customer,
                queue,
                created: now,
                changed: now,
                generation: 0,
                follow_up_of,
                last_agent: None,
                joinable: BTreeMap::new(),
                unfinished: 0,
                message_count: 0,
                correspondents: Vec::new(),
                copied: BTreeSet::new(),
                merged_into: None,
                closed: None,
                reopenings: Vec::new(),
            },
        );
        Some(number)
    }

    /// Makes a new interaction: in the line of its queue, held back, or filed at once.
    fn open(
        &mut self,
        now: Timestamp,
        letter: &Ingest,
        target: &Target,
        number: MainNumber,
        message: MessageId,
    ) -> InteractionId {
        let sequence = self.next_sequence();
        let id = InteractionId::new(now, sequence);
        // A server reports, but nobody can answer it: the work is the customer's.
        let customer = (self.cases.get(&number))
            .filter(|_| letter.report.is_some())
            .map_or_else(|| letter.customer.clone(), |case| case.customer.clone());
        let keep =
            (self.queues.get(&target.queue)).and_then(|queue| queue.settings.kept_until(now));
        let last = (self.cases.get(&number)).and_then(|case| case.last_agent.clone());
        let preferred = (keep.zip(last)).map(|(until, agent)| Preferred { agent, until });
        let previous = self.newest_of(number, id);
        let interaction = Interaction {
            id,
            queue: target.queue.clone(),
            case: number,
            subject: letter.subject.clone(),
            customer,
            trust: letter.trust,
            mailbox: target.mailbox.clone(),
            arrived: now,
            priority: letter.handling.priority,
            state: match &letter.handling.work {
                Work::Wanted => State::Queued,
                Work::Held { reason, aside } => State::Held {
                    since: now,
                    reason: reason.clone(),
                    aside: *aside,
                },
                Work::Quiet => State::Filed { at: now },
            },
            outcome: None,
            latest_inbound: message,
            message_count: 1,
            offer_count: 0,
            declined: BTreeSet::new(),
            notes: String::new(),
            disposition: String::new(),
            version: 1,
            changed: now,
            skills: letter.handling.skills.clone(),
            preferred,
            transfers: 0,
            follows: None,
            extensions: 0,
            direction: Direction::Inbound,
            known: None,
            rounds_declined: 0,
            entered: None,
            accepted: None,
            answered: None,
            warned: 0,
            previous,
            first_queue: None,
        };
        let queue = self.queues.get_mut(&target.queue);
        let case = self.cases.get_mut(&number);
        let fact = match &interaction.state {
            State::Held { .. } => {
                if let Some(queue) = queue {
                    queue.held += 1;
                }
                if let Some(case) = case {
                    case.unfinished += 1;
                }
                Fact::InteractionHeld(Box::new(interaction.clone()))
            }
            State::Filed { .. } => {
                let fact = Fact::InteractionFiled(Box::new(interaction.clone()));
                self.draft.closed.insert(id, interaction);
                self.tell(now, None, fact);
                return id;
            }
            State::Queued
            | State::Offered { .. }
            | State::Active { .. }
            | State::WrappingUp { .. }
            | State::Closed { .. }
            | State::Drafting { .. }
            | State::Parked { .. }
            | State::Cancelled { .. } => {
                if let Some(case) = case {
                    case.joinable.insert(target.queue.clone(), id);
                    case.unfinished += 1;
                }
                Fact::InteractionQueued(Box::new(interaction.clone()))
            }
        };
        let waits = interaction.state == State::Queued;
        self.interactions.insert(id, interaction);
        self.draft.interactions.insert(id);
        if waits {
            self.line_up(now, id);
        }
        self.tell(now, None, fact);
        id
    }
}

/// A letter that is held joins no case before somebody has released it.
fn keep_apart(letter: &mut Ingest) {
    if let Work::Held { aside, .. } = &mut letter.handling.work {
        match &letter.thread {
            Thread::Joins(case, origin) => {
                aside.get_or_insert(case.number);
                letter.thread = Thread::New(origin.clone());
            }
            Thread::Linked(number, origin) => {
                aside.get_or_insert(*number);
                letter.thread = Thread::New(origin.clone());
            }
            Thread::New(_) => {}
        }
        // Nobody shall get at it by naming it.
        letter.keys = OwnKeys::default();
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
