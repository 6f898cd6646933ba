//! Intake: what happens between the end of a message and the answer to Postfix.
//!
//! Limits, then who sent it, then which case it continues, then the engine, which answers when
//! the letter is on disk. Everything before that is bounded in time, so that a retry by the client
//! finds nothing half done; from the hand-over to the engine on there is no way back.

pub mod authenticate;
pub mod explain;
pub mod fingerprint;
pub mod guessing;
pub mod judge;
mod kind;
pub mod patience;
pub mod policy;
pub mod reservation;
pub mod responsibility;
pub mod routes;
pub mod ruled;
pub mod rules;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use authenticate::Authenticator;
use bytes::Bytes;
use guessing::Guessing;
use judge::Judgement;
use patience::Patience;
use policy::Policy;
use reservation::{Reservation, Reservations};
use responsibility::{Mode, MtaCopy, mta_copy};
use routes::Routes;
use ruled::lower_case;
use rules::{Action, Facts};
use tokio::sync::Semaphore;

use crate::content::Content;
use crate::desk::{Filing, Ingest, Refusal};
use crate::engine::{EngineError, Fingerprint, Handle};
use crate::id::QueueId;
use crate::mail::address::Address;
use crate::mail::dossier::Remark;
use crate::mail::lookalike::OurDomains;
use crate::mail::loop_mark::{self, LoopMark};
use crate::mail::message_id::InternetMessageId;
use crate::mail::results;
use crate::mail::token::DELIMITER;
use crate::mail::trust::{Authentication, Ruling, Standing};
use crate::milter::{
    Arrival, Edit, Envelope, FieldName, Header, Receiver, Recipient, RecipientVerdict, SmtpReply,
    Tag, Verdict, deletions, plan_tags,
};

/// The queues that a message was filed in.
pub const QUEUE_FIELD: FieldName = FieldName::new("X-Postroom-Queue");
/// The MainNumber of its case.
pub const CASE_FIELD: FieldName = FieldName::new("X-Postroom-Case");
/// The interactions that it belongs to, in the order of the queues.
pub const INTERACTION_FIELD: FieldName = FieldName::new("X-Postroom-Interaction");

/// Our header fields: copies of them in what comes from outside are forged.
pub const OUR_FIELDS: [FieldName; 3] = [QUEUE_FIELD, CASE_FIELD, INTERACTION_FIELD];

/// The mark of letters of ours: copies that we did not write are forged.
pub const LOOP_FIELD: FieldName = FieldName::new(loop_mark::LOOP_FIELD);

/// What the checks of the sender gave, for filters and mail programs after us (RFC 8601).
pub const RESULTS_FIELD: FieldName = FieldName::new("Authentication-Results");

/// How long a message may take until it is handed to the engine. The client at the other end waits
/// ten minutes by RFC 5321 (4.5.3.2.6), and much less in practice; a slow answer makes duplicates.
pub const BUDGET: Duration = Duration::from_secs(60);

/// How many large letters are read back at the same time: that is work for a disk and a processor,
/// and there is a bound to how many help.
const READERS: usize = 4;

/// Takes mail for the queues.
#[derive(Debug)]
pub struct Intake {
    name: String,
    handle: Handle,
    routes: Routes,
    standing: Standing,
    policy: Policy,
    authenticator: Authenticator,
    message_bytes_max: u64,
    memory: Arc<Memory>,
}

/// What intake knows of the letters before and beside this one. A changed configuration forgets
/// nothing of it; a restart does.
#[derive(Debug)]
struct Memory {
    patience: Mutex<Patience>,
    guessing: Mutex<Guessing>,
    readers: Arc<Semaphore>,
    reservations: Reservations,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            patience: Mutex::default(),
            guessing: Mutex::default(),
            readers: Arc::new(Semaphore::new(READERS)),
            reservations: Reservations::default(),
        }
    }
}

impl Memory {
    fn patience(&self) -> MutexGuard<'_, Patience> {
        self.patience.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn guessing(&self) -> MutexGuard<'_, Guessing> {
        self.guessing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A letter on its way to the engine.
struct Prepared {
    ingest: Ingest,
    fingerprints: Vec<Fingerprint>,
    /// Keeps a second delivery of the same letter waiting until this one is through.
    reservation: Reservation,
}

impl Intake {
    /// Puts the intake together. `name` is a domain of ours, in which the results of checking
    /// senders are told.
    #[must_use]
    pub fn new(
        name: String,
        handle: Handle,
        routes: Routes,
        policy: Policy,
        authenticator: Authenticator,
        message_bytes_max: u64,
    ) -> Self {
        Self {
            standing: Standing {
                ours: OurDomains::new(routes.domains()),
                forwarders: policy.forwarders.clone(),
            },
            name,
            handle,
            routes,
            policy,
            authenticator,
            message_bytes_max,
            memory: Arc::default(),
        }
    }

    /// Takes over what a predecessor with another configuration knows: the letters that are in
    /// work or were sent back, who guesses tokens, and, if the same servers are asked, the
    /// answers of the DNS.
    #[must_use]
    pub fn succeeding(mut self, predecessor: &Self) -> Self {
        self.memory = Arc::clone(&predecessor.memory);
        self.authenticator.succeed(&predecessor.authenticator);
        self
    }

    /// Everything up to the hand-over to the engine.
    async fn prepare(&self, arrival: &Arrival) -> Result<Prepared, SmtpReply> {
        judge::limits(arrival)?;
        let (letter, fingerprints) = self.read(arrival).await?;
        let Some(reservation) = self.memory.reservations.take(&fingerprints).await else {
            let again = "this message is being received already, try again";
            return Err(SmtpReply::new(451, 3, 2, again));
        };
        let Judgement {
            ingest,
            ruling,
            refusal,
        } = self.judge(arrival, letter, None).await?;
        if let Some(reply) = refusal {
            return Err(reply);
        }
        self.obey(ruling, &fingerprints)?;
        self.count_guesses(arrival, &ingest.dossier.remarks);
        Ok(Prepared {
            ingest,
            fingerprints,
            reservation,
        })
    }

    /// What the sender's domain wants done with the letter, or the DNS's silence.
    fn obey(&self, ruling: Ruling, fingerprints: &[Fingerprint]) -> Result<(), SmtpReply> {
        match ruling {
            Ruling::Take | Ruling::Hold => Ok(()),
            Ruling::Refuse => Err(disowned()),
            Ruling::Later => {
                let now = self.handle.now();
                let mut patience = self.memory.patience();
                let waits = fingerprints
                    .iter()
                    .all(|fingerprint| patience.has(fingerprint.digest, now));
                if waits { Err(later()) } else { Ok(()) }
            }
        }
    }

    /// Counts the tokens that did not hold against the client that showed them.
    fn count_guesses(&self, arrival: &Arrival, remarks: &[Remark]) {
        let failed = remarks
            .iter()
            .filter(|remark| matches!(remark, Remark::BadToken(_)))
            .count();
        let (Some(client), Ok(failed)) = (arrival.peer.ip, u32::try_from(failed)) else {
            return;
        };
        let now = self.handle.now();
        if self.memory.guessing().failed(client, failed, now) {
            tracing::warn!(%client, "a client guesses tokens, and those that it shows are not looked at for an hour");
        }
    }

    /// The changes that the MTA is asked for: forged fields out, ours in.
    fn edits(
        &self,
        headers: &[Header],
        id: Option<&InternetMessageId>,
        tags: &[Tag],
        results: &Authentication,
    ) -> Vec<Edit> {
        let mut edits = deletions(headers, RESULTS_FIELD, |header| {
            results::speaks_for(&header.value, &self.name)
        });
        let keyring = self.handle.keyring();
        edits.extend(deletions(headers, LOOP_FIELD, |header| {
            id.is_none_or(|id| !LoopMark::is_ours(&keyring, &header.value, id))
        }));
        edits.extend(plan_tags(headers, &OUR_FIELDS, tags));
        // Without a resolver nothing was checked, and there is nothing to tell.
        if *results != Authentication::default()
            && let Ok(tag) = Tag::new(RESULTS_FIELD, &results::value(&self.name, results))
        {
            edits.push(tag.trace());
        }
        edits
    }

    /// Why a recipient of ours is refused before the content is sent, if it is: its queue is
    /// closed or full, or a rule that looks at the envelope alone says so.
    fn refusal(
        &self,
        envelope: &Envelope,
        recipient: &Recipient,
        queue: &QueueId,
    ) -> Option<SmtpReply> {
        if !self.policy.door(queue).enabled {
            return Some(SmtpReply::new(550, 2, 1, "this address takes no mail"));
        }
        let facts = Facts {
            queue,
            envelope_sender: &lower_case(&envelope.sender),
            recipients: &[lower_case(&recipient.address)],
            letter: None,
        };
        let rule = self.policy.rules.ask(&facts, |_, _| {});
        if let Some(Action::Refuse(reply)) = rule.map(|rule| &rule.action) {
            return Some(reply.clone());
        }
        // What was sent to an address with a detail may be an answer to us, which joins what is
        // there already: only the end of the message can tell.
        let plain = Address::parse_bytes(&recipient.address)
            .is_ok_and(|address| address.split_detail(DELIMITER).1.is_none());
        (plain && self.handle.is_full(queue)).then(full)
    }

    /// Whether the MTA's copy tells of queue and case. One copy goes to all: what others may not
    /// know cannot stand in it.
    const fn tells(&self, arrival: &Arrival) -> bool {
        arrival.foreign_recipients == 0 || self.policy.tag_foreign
    }

    /// What the MTA does with its copy. Recipients are looked at by the queue that they wrote to,
    /// wherever a rule may have moved the letter.
    fn mta_copy(&self, arrival: &Arrival) -> MtaCopy {
        let mode = |recipient: &Recipient| {
            let route = self.routes.find(&recipient.address);
            route.map_or(Mode::Tag, |route| self.policy.door(&route.queue).mode)
        };
        let ours: Vec<(&Recipient, Mode)> = (arrival.recipients.iter())
            .map(|recipient| (recipient, mode(recipient)))
            .collect();
        mta_copy(&ours, arrival.foreign_recipients)
    }
}

impl Receiver for Intake {
    fn message_bytes_max(&self) -> u64 {
        self.message_bytes_max
    }

    fn sender(&self, _: &Envelope) -> Result<(), SmtpReply> {
        if self.handle.takes_mail() {
            Ok(())
        } else {
            Err(SmtpReply::new(452, 3, 1, "out of storage, try again later"))
        }
    }

    fn recipient(&self, envelope: &Envelope, recipient: &Recipient) -> RecipientVerdict {
        match self.routes.find(&recipient.address) {
            Some(route) => match self.refusal(envelope, recipient, &route.queue) {
                Some(reply) => RecipientVerdict::Refuse(reply),
                None => RecipientVerdict::Ours,
            },
            None if self.policy.is_nobody(&recipient.address) => {
                RecipientVerdict::Refuse(SmtpReply::new(550, 1, 1, "no such address here"))
            }
            None => RecipientVerdict::Foreign,
        }
    }

    async fn message(&self, mut arrival: Arrival) -> Verdict {
        let began = self.handle.now();
        let prepared = tokio::time::timeout(BUDGET, self.prepare(&arrival)).await;
        let Prepared {
            ingest,
            fingerprints,
            reservation,
        } = match prepared {
            Ok(Ok(prepared)) => prepared,
            Ok(Err(reply)) => return refuse(&arrival, reply),
            Err(_) => return refuse(&arrival, SmtpReply::new(451, 3, 0, "took too long")),
        };
        let handed = self.handle.now();
        let trust = ingest.trust;
        let results = ingest.dossier.authentication.clone();
        let kind = ingest.dossier.kind.kind;
        let id = InternetMessageId::parse(&ingest.internet_message_id).ok();
        let content = std::mem::replace(&mut arrival.content, Content::Memory(Bytes::new()));
        let size = content.len();
        let filed = self.handle.ingest(ingest, content, fingerprints).await;
        // From here on the store knows the letter.
        drop(reservation);
        let (filings, again) = match filed {
            Ok(filed) => filed,
            Err(error) => return refuse(&arrival, answer(&error)),
        };
        let done = self.handle.now();
        let names = |name: fn(&Filing) -> String| {
            let names: Vec<String> = filings.iter().map(name).collect();
            names.join(", ")
        };
        let case = (filings.first()).map_or_else(String::new, |filing| filing.case.to_string());
        let copy = self.mta_copy(&arrival);
        let verdict = match &copy {
            MtaCopy::Dropped => "discard",
            MtaCopy::Delivered { removals } if removals.is_empty() => "accept",
            MtaCopy::Delivered { .. } => "split",
        };
        let queues = names(|filing| filing.queue.to_string());
        let interactions = names(|filing| filing.interaction.to_string());
        tracing::info!(
            "{}: case={case} queue={queues} from=<{}> nrcpt={}/{} size={size} trust={trust:?} kind={kind} verdict={verdict} dup={} t={}ms(store {}ms)",
            arrival.mta_queue_id.as_deref().unwrap_or("NOQUEUE"),
            printable(&arrival.envelope.sender),
            arrival.recipients.len(),
            arrival.foreign_recipients,
            u8::from(again),
            done.since(began).as_millis(),
            done.since(handed).as_millis(),
        );
        let fields = [
            (QUEUE_FIELD, queues),
            (CASE_FIELD, case),
            (INTERACTION_FIELD, interactions),
        ];
        let told = self.tells(&arrival);
        let tags: Vec<Tag> = fields
            .into_iter()
            .filter(|_| told)
            .filter_map(|(name, value)| Tag::new(name, &value).ok())
            .collect();
        let MtaCopy::Delivered { removals } = copy else {
            return Verdict::Discard;
        };
        let mut edits = removals;
        edits.extend(self.edits(&arrival.headers, id.as_ref(), &tags, &results));
        Verdict::Accept { edits }
    }
}

/// Its domain's DMARC policy turns the letter away.
fn disowned() -> SmtpReply {
    let why = "the sender's domain says that this is not its mail (DMARC)";
    SmtpReply::new(550, 7, 26, why)
}

/// The DNS may answer when the letter comes again.
fn later() -> SmtpReply {
    let why = "the sender cannot be checked now, try again later";
    SmtpReply::new(451, 7, 0, why)
}

/// The queue has as much waiting as it may have.
fn full() -> SmtpReply {
    let why = "too many messages wait here, try again later";
    SmtpReply::new(452, 3, 1, why)
}

fn printable(bytes: &[u8]) -> impl std::fmt::Display + '_ {
    bytes.escape_ascii()
}

fn refuse(arrival: &Arrival, reply: SmtpReply) -> Verdict {
    tracing::info!(
        "{}: from=<{}> verdict=refuse reply=\"{}\"",
        arrival.mta_queue_id.as_deref().unwrap_or("NOQUEUE"),
        printable(&arrival.envelope.sender),
        reply.lines().join(" / "),
    );
    Verdict::Refuse(reply)
}

/// What the client is told when the engine did not take a letter. All of it passes: the letter
/// waits at its sender.
fn answer(error: &EngineError) -> SmtpReply {
    match error {
        EngineError::Refused(Refusal::QueueFull(_)) => full(),
        EngineError::Unavailable(_) => SmtpReply::new(452, 3, 1, "out of storage, try again later"),
        EngineError::Overloaded | EngineError::Stopping => {
            SmtpReply::new(451, 3, 2, "busy, try again")
        }
        EngineError::Refused(_)
        | EngineError::RequestIdReused
        | EngineError::AnswerLost
        | EngineError::Unknown(_) => {
            tracing::error!(%error, "a letter was not taken");
            SmtpReply::new(451, 3, 0, "temporary failure")
        }
    }
}
