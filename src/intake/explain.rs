//! Explaining: what would become of a letter, and why. The same code decides as for a letter that
//! the MTA shows; but nothing is filed, answered or remembered.

use bytes::Bytes;

use super::responsibility::MtaCopy;
use super::rules::Outcome;
use super::{Intake, judge, ruled};
use crate::content::Content;
use crate::desk::{Ingest, Work};
use crate::mail::dossier::{Dossier, Remark};
use crate::mail::message_id::InternetMessageId;
use crate::mail::results;
use crate::mail::threading::{Decision, Evidence, Threading};
use crate::mail::trust::Ruling;
use crate::milter::client::Letter as Shown;
use crate::milter::{
    Arrival, Envelope, Peer, Receiver as _, Recipient, RecipientVerdict, SmtpReply,
};

/// A letter with all that an MTA would tell of it.
#[derive(Debug, Clone, Default)]
pub struct Trial {
    /// The bytes, with the line ends of SMTP.
    pub raw: Bytes,
    /// MAIL FROM, without brackets; empty for the null sender.
    pub sender: String,
    /// RCPT TO, without brackets.
    pub recipients: Vec<String>,
    /// The SMTP client.
    pub peer: Peer,
}

/// One thing that was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// About what: one word.
    pub topic: &'static str,
    /// What was decided.
    pub decision: String,
    /// Why, a line each; empty where it follows from what was said before.
    pub reasons: Vec<String>,
}

/// All that was decided, in the order in which it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Explanation {
    /// Each decision.
    pub said: Vec<Said>,
    /// What the MTA would be told: one word, and the reply if it is a refusal.
    pub verdict: String,
}

impl Explanation {
    fn say(&mut self, topic: &'static str, decision: impl Into<String>, reasons: Vec<String>) {
        self.said.push(Said {
            topic,
            decision: decision.into(),
            reasons,
        });
    }

    fn refuse(mut self, reply: &SmtpReply) -> Self {
        self.verdict = format!("refuse: {}", reply.lines().join(" / "));
        self
    }
}

impl Intake {
    /// Explains what would become of a letter.
    pub async fn explain(&self, trial: Trial) -> Explanation {
        let mut told = Explanation::default();
        let size = trial.raw.len() as u64;
        let limit = self.message_bytes_max;
        let envelope = Envelope {
            sender: Bytes::from(trial.sender.clone()),
            ..Envelope::default()
        };
        if let Err(reply) = self.sender(&envelope) {
            told.say("store", "takes no mail", vec![reply.to_string()]);
            return told.refuse(&reply);
        }
        let mut arrival = Arrival {
            peer: trial.peer,
            mta_queue_id: None,
            envelope,
            recipients: Vec::new(),
            foreign_recipients: 0,
            headers: Shown::parse(&trial.raw).headers,
            content: Content::Memory(trial.raw),
        };
        let refused = self.explain_recipients(&trial.recipients, &mut arrival, &mut told);
        if arrival.recipients.is_empty() {
            return match refused {
                Some(reply) if arrival.foreign_recipients == 0 => told.refuse(&reply),
                _ => {
                    told.verdict = "release: no recipient is a queue's".to_owned();
                    told
                }
            };
        }
        if size > limit {
            let reply = crate::milter::session::too_big();
            let why = format!("{size} bytes are more than milter.message_bytes_max = {limit}");
            told.say("limits", "too large", vec![why]);
            return told.refuse(&reply);
        }
        if let Err(reply) = judge::limits(&arrival) {
            told.say("limits", "refused", vec![reply.to_string()]);
            return told.refuse(&reply);
        }
        told.say(
            "limits",
            format!("kept: {size} of {limit} bytes"),
            Vec::new(),
        );
        let mut tried = Vec::new();
        let judged = match self.read(&arrival).await {
            Ok((letter, _)) => self.judge(&arrival, letter, Some(&mut tried)).await,
            Err(reply) => Err(reply),
        };
        let judge::Judgement {
            mut ingest,
            ruling,
            refusal,
        } = match judged {
            Ok(judgement) => judgement,
            Err(reply) => {
                told.say("store", "could not be asked", vec![reply.to_string()]);
                return told.refuse(&reply);
            }
        };
        if let Ok((reused, topic)) = self.handle.under(ingest.keys).await {
            let id = InternetMessageId::parse(&ingest.internet_message_id);
            let reused = id.ok().filter(|_| reused);
            ingest.dossier.recall(reused, topic, &ingest.subject);
        }
        self.explain_sender(&ingest, ruling, &mut told);
        explain_kind(&ingest.dossier, &mut told);
        explain_rules(tried, &mut told);
        explain_place(&ingest.dossier.threading, &mut told);
        let remarks = ingest.dossier.remarks.iter();
        let remarks: Vec<String> = remarks.map(Remark::words).collect();
        if !remarks.is_empty() {
            told.say("remarks", remarks.len().to_string(), remarks);
        }
        if let Some(reply) = &refusal {
            return told.refuse(reply);
        }
        match ruling {
            Ruling::Refuse => return told.refuse(&super::disowned()),
            // A letter that has come back for an hour is taken; a trial comes for the first time.
            Ruling::Later => return told.refuse(&super::later()),
            Ruling::Take | Ruling::Hold => {}
        }
        explain_work(&ingest, &mut told);
        self.explain_copy(&arrival, &mut told);
        told
    }

    fn explain_recipients(
        &self,
        recipients: &[String],
        arrival: &mut Arrival,
        told: &mut Explanation,
    ) -> Option<SmtpReply> {
        let mut refused = None;
        for address in recipients {
            let recipient = Recipient {
                argument: Bytes::from(format!("<{address}>")),
                address: Bytes::from(address.clone()),
            };
            let (decision, reason) = match self.recipient(&arrival.envelope, &recipient) {
                RecipientVerdict::Ours => {
                    let route = self.routes.find(&recipient.address);
                    let to = route.map_or_else(String::new, |route| {
                        let mode = self.policy.door(&route.queue).mode;
                        format!(
                            "queue {}, address {}, mode {mode:?}",
                            route.queue, route.mailbox
                        )
                    });
                    arrival.recipients.push(recipient);
                    ("a queue's".to_owned(), to.to_lowercase())
                }
                RecipientVerdict::Foreign => {
                    arrival.foreign_recipients += 1;
                    let why = "no queue has this address: it is left to the MTA";
                    ("somebody else's".to_owned(), why.to_owned())
                }
                RecipientVerdict::Refuse(reply) => {
                    let why = ruled::why_refused(self, &arrival.envelope, &recipient);
                    let decision = format!("refused: {reply}");
                    refused.get_or_insert(reply);
                    (decision, why)
                }
            };
            told.say("recipient", format!("{address}: {decision}"), vec![reason]);
        }
        refused
    }

    fn explain_sender(&self, ingest: &Ingest, ruling: Ruling, told: &mut Explanation) {
        let results = results::value(&self.name, &ingest.dossier.authentication);
        let author = &ingest.customer.address;
        let shown = if author.is_empty() {
            "no usable address in From".to_owned()
        } else {
            format!("From is {author}")
        };
        told.say("sender", shown, vec![results]);
        let reason = vec![ingest.trust_reason.clone()];
        told.say("trust", format!("{:?}", ingest.trust), reason);
        let wanted = match ruling {
            Ruling::Take => return,
            Ruling::Hold => "the sender's domain asks to hold what it disowns",
            Ruling::Refuse => "the sender's domain asks to refuse what it disowns",
            Ruling::Later => "the DNS does not say now whether the sender is proven",
        };
        told.say("policy", wanted, Vec::new());
    }

    fn explain_copy(&self, arrival: &Arrival, told: &mut Explanation) {
        match self.mta_copy(arrival) {
            MtaCopy::Dropped => {
                let why = "every recipient's queue takes letters over".to_owned();
                told.say("copy", "the MTA drops its copy", vec![why]);
                told.verdict = "discard".to_owned();
            }
            MtaCopy::Delivered { removals } => {
                let decision = match removals.len() {
                    0 => "the MTA delivers its copy to all recipients".to_owned(),
                    some => format!("the MTA delivers its copy, without {some} recipients"),
                };
                let tags = if self.tells(arrival) {
                    "it gets queue, case and interaction as header fields"
                } else {
                    "it goes to others than the queues as well, and tells them nothing"
                };
                told.say("copy", decision, vec![tags.to_owned()]);
                told.verdict = "accept".to_owned();
            }
        }
    }
}

fn explain_kind(dossier: &Dossier, told: &mut Explanation) {
    let kind = &dossier.kind;
    let mut reasons: Vec<String> = (kind.matches.iter())
        .map(|found| match found.kind {
            Some(kind) => format!("{kind}: {}", found.evidence),
            None => found.evidence.clone(),
        })
        .collect();
    if kind.do_not_answer {
        reasons.push("no program may answer it".to_owned());
    }
    told.say("kind", kind.kind.name(), reasons);
}

fn explain_rules(tried: Vec<ruled::Tried>, told: &mut Explanation) {
    for tried in tried {
        let decision = match tried.outcome {
            Outcome::Matched => format!("{} matches: {}", tried.rule, tried.action),
            Outcome::Missed(_) => format!("{} does not match", tried.rule),
            Outcome::Undecided => format!("{} cannot be asked yet", tried.rule),
        };
        let mut reasons = vec![format!("queue {}", tried.queue)];
        reasons.extend(tried.why);
        told.say("rule", decision, reasons);
    }
}

fn explain_place(threading: &Threading, told: &mut Explanation) {
    let found = |evidence: &Evidence| {
        format!(
            "{:?} in {:?}: {}",
            evidence.proof, evidence.place, evidence.text
        )
    };
    let (decision, mut reasons) = match &threading.decision {
        Decision::New => ("a new case".to_owned(), Vec::new()),
        Decision::Join {
            evidence,
            role,
            verified,
            reopens,
        } => {
            let how = if *reopens { "reopens" } else { "joins" };
            let proven = if *verified { "proven" } else { "not proven" };
            (
                format!("{how} case {}", evidence.case),
                vec![
                    found(evidence),
                    format!("the author is {proven}, in the role {role:?}"),
                ],
            )
        }
        Decision::Follow { evidence, apart } => (
            format!("a new case, linked to {}", evidence.case),
            vec![found(evidence), format!("gate: {apart:?}")],
        ),
        Decision::Hold { evidence, apart } => (
            format!("held, beside case {}", evidence.case),
            vec![found(evidence), format!("gate: {apart:?}")],
        ),
        Decision::Hinted { evidence, apart } => (
            format!("a new case, with a hint at {}", evidence.case),
            vec![found(evidence), format!("gate: {apart:?}")],
        ),
    };
    let conflicts = threading.conflicts.iter();
    reasons
        .extend(conflicts.map(|other| format!("speaks of {} too: {}", other.case, found(other))));
    told.say("case", decision, reasons);
}

fn explain_work(ingest: &Ingest, told: &mut Explanation) {
    let handling = &ingest.handling;
    let queues: Vec<&str> = (ingest.targets.iter())
        .map(|target| target.queue.as_str())
        .collect();
    let queues = queues.join(", ");
    let (decision, mut reasons) = match &handling.work {
        Work::Wanted => (format!("waits in {queues}"), Vec::new()),
        Work::Held { reason, .. } => (format!("held in {queues}"), vec![reason.words()]),
        Work::Quiet => (
            "kept with its case, and offered to nobody".to_owned(),
            Vec::new(),
        ),
    };
    if handling.priority != 0 {
        reasons.push(format!("priority {}", handling.priority));
    }
    if !handling.skills.is_empty() {
        let skills: Vec<&str> = handling.skills.iter().map(String::as_str).collect();
        reasons.push(format!("skills {}", skills.join(", ")));
    }
    if ingest.acknowledgement.is_some() {
        reasons.push("an acknowledgement may be sent, within its budget".to_owned());
    }
    told.say("work", decision, reasons);
}
