//! What the administrator's rules make of one letter: each queue that was written to asks them.

use super::Intake;
use super::judge::{Finding, Reached};
use super::rules::{Action, Facts, LetterFacts, Outcome};
use crate::desk::{Handling, HoldReason, Work};
use crate::id::QueueId;
use crate::mail::address::Address;
use crate::mail::automatic::Kind;
use crate::mail::dossier::Remark;
use crate::milter::{Arrival, Envelope, Recipient, SmtpReply};

/// What became of one rule for one queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// The queue that was written to.
    pub queue: QueueId,
    /// The rule.
    pub rule: String,
    /// Whether it matched.
    pub outcome: Outcome,
    /// What it does, in words.
    pub action: String,
    /// What it asks for and the letter has not, if it did not match.
    pub why: Option<String>,
}

/// All that rules want done with a letter.
#[derive(Debug, Default)]
pub(super) struct Ruled {
    /// The letter is refused.
    pub(super) refusal: Option<SmtpReply>,
    /// Where each of the recipients goes instead, in their order.
    moves: Vec<Option<QueueId>>,
    /// The highest priority that a rule gives.
    priority: Option<i32>,
    skills: Vec<String>,
    /// The rule that holds the letter.
    held: Option<String>,
    /// What is kept of that with the letter.
    pub(super) remarks: Vec<Remark>,
}

impl Intake {
    /// Asks the rules, once for each queue that was written to. Each that was asked goes into
    /// `tried`, if somebody wants to know.
    pub(super) fn ruled(
        &self,
        arrival: &Arrival,
        finding: &Finding<'_>,
        kind: Kind,
        mut tried: Option<&mut Vec<Tried>>,
    ) -> Ruled {
        let mut ruled = Ruled::default();
        let rules = &self.policy.rules;
        if rules.is_empty() {
            return ruled;
        }
        let author = finding.letter.author.mailbox.as_ref();
        let sender = author.map(|mailbox| mailbox.address.normalised().to_lowercase());
        let fields = rules.fields(&arrival.headers);
        let letter = LetterFacts {
            sender: sender.as_deref().unwrap_or_default(),
            trust: finding.trust,
            kind,
            size: arrival.content.len(),
            fields: &fields,
        };
        let envelope_sender = lower_case(&arrival.envelope.sender);
        let mut asked: Vec<(QueueId, Option<QueueId>)> = Vec::new();
        for reached in finding.reached {
            let queue = &reached.target.queue;
            if let Some((_, moved)) = asked.iter().find(|(known, _)| known == queue) {
                ruled.moves.push(moved.clone());
                continue;
            }
            let recipients: Vec<String> = (finding.reached.iter())
                .filter(|other| other.target.queue == *queue)
                .map(|other| other.full.normalised().to_lowercase())
                .collect();
            let facts = Facts {
                queue,
                envelope_sender: &envelope_sender,
                recipients: &recipients,
                letter: Some(&letter),
            };
            let found = rules.ask(&facts, |rule, outcome| {
                let Some(tried) = &mut tried else { return };
                tried.push(Tried {
                    queue: queue.clone(),
                    rule: rule.name.clone(),
                    outcome,
                    action: rule.action.to_string(),
                    why: match outcome {
                        Outcome::Missed(missed) => Some(rule.conditions.why(missed, &facts)),
                        Outcome::Matched | Outcome::Undecided => None,
                    },
                });
            });
            let mut moved = None;
            if let Some(rule) = found {
                ruled.remarks.push(Remark::Ruled {
                    queue: queue.clone(),
                    rule: rule.name.clone(),
                    action: rule.action.to_string(),
                });
                match &rule.action {
                    Action::Pass => {}
                    Action::Refuse(reply) => {
                        ruled.refusal.get_or_insert_with(|| reply.clone());
                    }
                    Action::File(orders) => {
                        moved.clone_from(&orders.queue);
                        ruled.priority = ruled.priority.max(orders.priority);
                        ruled.skills.extend(orders.skills.iter().cloned());
                        if orders.hold {
                            ruled.held.get_or_insert_with(|| rule.name.clone());
                        }
                    }
                }
            }
            asked.push((queue.clone(), moved.clone()));
            ruled.moves.push(moved);
        }
        ruled
    }

    /// Puts recipients into the queues that rules want. The address becomes the new queue's own:
    /// its agents may write from no other.
    pub(super) fn move_to(&self, ruled: &Ruled, reached: &mut [Reached]) {
        for (reached, moved) in reached.iter_mut().zip(&ruled.moves) {
            let Some(queue) = moved.as_ref().and_then(|id| self.routes.queue(id)) else {
                continue;
            };
            let Some(mailbox) = queue.mailboxes.first() else {
                continue;
            };
            reached.target.queue = queue.id.clone();
            reached.target.mailbox.clone_from(&mailbox.address);
        }
    }
}

impl Ruled {
    /// Changes how the letter is worked on. What is nobody's work stays so, and what is held for
    /// another reason keeps that.
    pub(super) fn apply(&self, handling: &mut Handling) {
        if let Some(priority) = self.priority {
            handling.priority = priority;
        }
        handling.skills.extend(self.skills.iter().cloned());
        if let Some(rule) = &self.held
            && handling.work == Work::Wanted
        {
            handling.work = Work::Held {
                reason: HoldReason::Rule(rule.clone()),
                aside: None,
            };
        }
    }
}

/// Why a recipient is refused before the content: in words, for people who try a letter.
pub(super) fn why_refused(intake: &Intake, envelope: &Envelope, recipient: &Recipient) -> String {
    let Some(route) = intake.routes.find(&recipient.address) else {
        return "gateway.queue_domains: no queue has this address".to_owned();
    };
    let queue = &route.queue;
    if !intake.policy.door(queue).enabled {
        return format!("queue {queue} is not enabled");
    }
    let facts = Facts {
        queue,
        envelope_sender: &lower_case(&envelope.sender),
        recipients: &[lower_case(&recipient.address)],
        letter: None,
    };
    match intake.policy.rules.ask(&facts, |_, _| {}) {
        Some(rule) => format!("rule {}", rule.name),
        None => format!("queue {queue} is full"),
    }
}

/// An address of the envelope as rules compare it. What is no address stays what it is.
pub(super) fn lower_case(address: &[u8]) -> String {
    match Address::parse_bytes(address) {
        Ok(address) => address.normalised().to_lowercase(),
        Err(_) => String::from_utf8_lossy(address).to_lowercase(),
    }
}
