//! Acknowledging: a letter that opens a case is answered at once, as far as the budgets allow.
//!
//! Whether anything in the letter speaks against that is decided before; here it is counted. Two
//! desks that acknowledge each other's acknowledgements, or a crowd of forged senders, get a few
//! letters and then none.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::{Change, Correspondent, Desk, Direction, Fact, Filing, Message, Origin};
use crate::id::MessageId;
use crate::mail::acknowledgement::Acknowledgement;
use crate::mail::threading::ClueKey;
use crate::mail::trust::Trust;
use crate::outbound::message::{Envelope, Outbound};
use crate::time::Timestamp;

/// For how long a sender gets no second acknowledgement of a queue's.
const ACKNOWLEDGED_FOR: Duration = Duration::from_secs(24 * 3600);

/// Most acknowledgements to one domain within [`COUNTED_FOR`].
const DOMAIN_MAX: usize = 20;

/// Most acknowledgements to everybody within [`COUNTED_FOR`]. A hundred agents do not close more
/// letters in that time, so more are an attack or a broken program.
const EVERYBODY_MAX: usize = 1000;

/// The time in which acknowledgements are counted together.
const COUNTED_FOR: Duration = Duration::from_secs(3600);

/// What was sent within the last hour. Not stored: a restart may let twice as many out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Budget {
    everybody: VecDeque<Timestamp>,
    domains: BTreeMap<String, VecDeque<Timestamp>>,
}

impl Budget {
    /// Takes one acknowledgement to a domain out of the budget, if there is one left.
    fn take(&mut self, domain: &str, now: Timestamp) -> bool {
        let forget = |times: &mut VecDeque<Timestamp>| {
            while (times.front()).is_some_and(|time| now.since(*time) >= COUNTED_FOR) {
                times.pop_front();
            }
        };
        forget(&mut self.everybody);
        if self.everybody.len() >= EVERYBODY_MAX {
            return false;
        }
        // As many domains as there are acknowledgements, so this is bounded as well.
        self.domains.retain(|_, times| {
            forget(times);
            !times.is_empty()
        });
        let times = self.domains.entry(domain.to_owned()).or_default();
        if times.len() >= DOMAIN_MAX {
            return false;
        }
        times.push_back(now);
        self.everybody.push_back(now);
        true
    }
}

impl Desk {
    /// Writes the acknowledgement of a letter that has just opened a case, and puts it into the
    /// spool: it is stored in the same batch as the letter. Without a budget, or with a full
    /// spool, there is none, and the letter is none the worse for it.
    pub(super) fn acknowledge(
        &mut self,
        now: Timestamp,
        acknowledgement: &Acknowledgement,
        filing: &Filing,
    ) {
        let to = &acknowledgement.to;
        let (case, interaction) = (filing.case, filing.interaction);
        if self.spool.is_full() || !self.budget.take(to.address.domain(), now) {
            return;
        }
        let Some((id, composed)) = acknowledgement.write(case, now) else {
            return;
        };
        let sequence = self.next_sequence();
        let message = MessageId::new(now, sequence);
        let size = composed.bytes.len() as u64;
        let outbound = Outbound::new(
            message,
            interaction,
            None,
            id.as_str().to_owned(),
            Envelope {
                // Nobody shall answer it, not even to say that it could not be delivered.
                mail_from: String::new(),
                recipients: vec![to.address.normalised()],
            },
            size,
            now,
        );
        if self.spool.insert(outbound.clone()).is_err() {
            return;
        }
        let record = Message {
            id: message,
            case,
            direction: Direction::Outbound,
            internet_message_id: id.as_str().to_owned(),
            sender: Correspondent {
                address: acknowledgement.from.address.normalised(),
                display_name: acknowledgement.from.name.clone(),
            },
            envelope_sender: String::new(),
            recipients: vec![to.address.normalised()],
            subject: composed.subject,
            time: now,
            size,
            trust: Trust::A,
            trust_reason: "composed here".to_owned(),
            origin: Origin::Acknowledgement,
            mta_queue_id: String::new(),
            agent: None,
            interactions: vec![interaction],
        };
        self.change(interaction, now, |found| found.message_count += 1);
        if let Some(case) = self.cases.get_mut(&case) {
            case.message_count += 1;
        }
        self.draft.changes.extend([
            Change::Message(Box::new(record)),
            Change::Outbound(Box::new(outbound.clone())),
            Change::Clue(ClueKey::id(&id), case, message),
            Change::Acknowledged {
                queue: filing.queue.clone(),
                address: to.address.normalised(),
                until: now + ACKNOWLEDGED_FOR,
            },
        ]);
        self.draft.written.push((message, composed.bytes));
        self.tell(now, None, Fact::DeliveryUpdated(Box::new(outbound)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(1_795_000_000_000 + seconds * 1000)
    }

    #[test]
    fn budgets_fill_up_again() {
        let mut budget = Budget::default();
        for second in 0..DOMAIN_MAX as u64 {
            assert!(budget.take("a.example", at(second)));
        }
        assert!(!budget.take("a.example", at(100)));
        assert!(budget.take("b.example", at(100)));
        assert!(!budget.take("a.example", at(3599)));
        assert!(budget.take("a.example", at(3600)), "the first is forgotten");
        assert!(!budget.take("a.example", at(3600)));
        assert!(budget.take("a.example", at(9000)));
        assert_eq!(budget.domains.len(), 1, "what is empty is not kept");
    }

    #[test]
    fn many_domains_share_one_budget() {
        let mut budget = Budget::default();
        for number in 0..EVERYBODY_MAX {
            assert!(budget.take(&format!("d{number}.example"), at(1)));
        }
        assert!(!budget.take("another.example", at(2)));
        assert_eq!(budget.domains.len(), EVERYBODY_MAX);
        assert!(budget.take("another.example", at(3601)));
    }
}
