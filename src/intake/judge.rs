//! Judging: all that is found out about a letter between its end and the hand-over to the engine.
//!
//! Limits, then the reading, then who sent it, then which case it continues, then whether it is
//! anybody's work. Nothing is changed here, so a letter can be judged for show.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use super::authenticate::Route;
use super::fingerprint::Unfinished;
use super::ruled::Tried;
use super::{Intake, answer};
use crate::content::Content;
use crate::desk::{Correspondent, Ingest, Origin, PEOPLE_MAX, Target, Thread};
use crate::engine::{Fingerprint, Found};
use crate::id::QueueId;
use crate::mail::address::Address;
use crate::mail::automatic::Kind;
use crate::mail::bystander;
use crate::mail::clue::{self, OwnKeys};
use crate::mail::dossier::{Dossier, Remark};
use crate::mail::letter::Letter;
use crate::mail::threading::{
    self, CaseFacts, Circumstances, Clue, Decision, Hint, Known, Standing, Threading,
};
use crate::mail::token::DELIMITER;
use crate::mail::trust::{self, Authentication, Ruling, Trust};
use crate::milter::{Arrival, SmtpReply};

/// More Received fields than this mean that a message goes in circles.
const RECEIVED_MAX: usize = 50;

/// Largest letter that is read on the spot, in bytes. Reading a longer one takes as long as giving
/// it away and taking it back, or longer.
const AT_ONCE_BYTES_MAX: usize = 32 << 10;

/// What was found out about a letter.
#[derive(Debug)]
pub struct Judgement {
    /// The letter as it is to be filed, with its dossier.
    pub ingest: Ingest,
    /// What its sender's domain wants done with it.
    pub ruling: Ruling,
    /// What a rule of the administrator's tells the client instead of taking the letter.
    pub refusal: Option<SmtpReply>,
}

/// A recipient of ours: the address as it was written to, the queue's own, and the queue.
pub(super) struct Reached {
    pub(super) full: Address,
    pub(super) mailbox: Address,
    pub(super) target: Target,
}

impl Intake {
    /// Judges a letter: as it is to be filed, with its dossier. Every rule that is asked goes into
    /// `tried`, if somebody wants to know.
    ///
    /// # Errors
    ///
    /// What the client is told if the letter is not taken.
    pub async fn judge(
        &self,
        arrival: &Arrival,
        letter: Letter,
        tried: Option<&mut Vec<Tried>>,
    ) -> Result<Judgement, SmtpReply> {
        let authentication = self.authenticate(arrival, &letter).await;
        let assessment = trust::assess(&letter.author, &authentication, &self.standing);
        let ruling = trust::ruling(&assessment, &authentication, !self.policy.takes_disowned);
        let mut reached = self.reached(arrival);
        let written_to = Finding {
            letter: &letter,
            reached: &reached,
            trust: assessment.trust,
        };
        let kind = self.kind(arrival, &written_to).await?;
        let ruled = self.ruled(arrival, &written_to, kind.kind, tried);
        self.move_to(&ruled, &mut reached);
        let found = Finding {
            letter: &letter,
            reached: &reached,
            trust: assessment.trust,
        };
        let about = self.about(arrival, kind.kind, &reached).await?;
        let (threading, thread, mut remarks) = self.thread(arrival.peer.ip, &found).await?;
        let thread = match &about {
            Some(about) => Thread::Joins(Box::new(about.case.clone()), Origin::Arrived),
            None if kind.kind == Kind::OwnLoop => Thread::New(Origin::Arrived),
            None => thread,
        };
        if found.is_blind() {
            remarks.push(Remark::BlindCopy);
        }
        let is_ours =
            |address: &Address| (self.routes.find(address.to_string().as_bytes())).is_some();
        remarks.extend(bystander::remarks(&letter, assessment.trust, is_ours));
        remarks.extend(ruled.remarks.iter().cloned());
        let mut handling =
            self.handling(&found, &kind, (&threading.decision, ruling), about.as_ref());
        ruled.apply(&mut handling);
        let acknowledgement = match &thread {
            Thread::New(_) | Thread::Linked(..) => self.acknowledgement(arrival, &found, &kind),
            Thread::Joins(..) => None,
        };
        let (copied, mut keys) = (found.copied(), found.keys());
        if kind.kind == Kind::OwnLoop {
            // Its Message-ID is that of another letter.
            keys = OwnKeys::default();
        }
        let (customer, internet_message_id) = (author(&letter), &letter.internet_message_id);
        let ingest = Ingest {
            targets: targets(&reached),
            customer,
            envelope_sender: String::from_utf8_lossy(&arrival.envelope.sender).into_owned(),
            internet_message_id: (internet_message_id.as_ref())
                .map_or_else(String::new, |id| id.as_str().to_owned()),
            subject: letter.subject,
            size: arrival.content.len(),
            trust: assessment.trust,
            trust_reason: assessment.reason.to_string(),
            mta_queue_id: arrival.mta_queue_id.clone().unwrap_or_default(),
            thread,
            handling,
            copied,
            keys,
            report: about.and_then(|about| about.report).map(Box::new),
            acknowledgement: acknowledgement.map(Box::new),
            dossier: Box::new(Dossier {
                authentication,
                kind,
                threading,
                remarks,
            }),
        };
        Ok(Judgement {
            ingest,
            ruling,
            refusal: ruled.refusal,
        })
    }

    /// Reads the letter's header and identifies the letter. What takes a processor or a disk for a
    /// while is done where that holds up no other session; for a small letter the way there would
    /// take longer than the work.
    pub(super) async fn read(
        &self,
        arrival: &Arrival,
    ) -> Result<(Letter, Vec<Fingerprint>), SmtpReply> {
        let unfinished = Unfinished::new(arrival);
        let head = arrival.content.head().clone();
        let file = match &arrival.content {
            Content::Memory(whole) if whole.len() <= AT_ONCE_BYTES_MAX => {
                return Ok((Letter::read_header(whole), unfinished.finish(whole)));
            }
            Content::Memory(_) => None,
            Content::File(file) => Some(file.path().to_owned()),
        };
        let busy = |_| SmtpReply::new(451, 3, 2, "busy, try again");
        let permit = Arc::clone(&self.memory.readers).acquire_owned().await;
        let permit = permit.map_err(busy)?;
        let read = tokio::task::spawn_blocking(move || {
            let letter = Letter::read_header(&head);
            let fingerprints = match file {
                Some(path) => unfinished.finish_file(&path)?,
                None => unfinished.finish(&head),
            };
            drop(permit);
            Ok((letter, fingerprints))
        });
        let read = read.await;
        read.unwrap_or_else(|error| Err(std::io::Error::other(error)))
            .map_err(|error| {
                tracing::error!(%error, "a large message could not be read back");
                SmtpReply::new(451, 3, 0, "temporary failure")
            })
    }

    async fn authenticate(&self, arrival: &Arrival, letter: &Letter) -> Authentication {
        let helo = arrival.peer.helo.as_deref().unwrap_or_default();
        let helo = String::from_utf8_lossy(helo);
        let mail_from = Address::parse_bytes(&arrival.envelope.sender).ok();
        let route = Route {
            client: arrival.peer.ip,
            helo: &helo,
            mail_from: mail_from.as_ref(),
        };
        let file = match &arrival.content {
            Content::Memory(_) => None,
            Content::File(file) => Some(file.path()),
        };
        let head = arrival.content.head();
        self.authenticator
            .authenticate(route, &letter.author, head, file)
            .await
    }

    /// The recipients that are ours, in their order.
    fn reached(&self, arrival: &Arrival) -> Vec<Reached> {
        let reached = arrival.recipients.iter().filter_map(|recipient| {
            let route = self.routes.find(&recipient.address)?;
            Some(Reached {
                full: Address::parse_bytes(&recipient.address).ok()?,
                mailbox: Address::parse(&route.mailbox).ok()?,
                target: Target {
                    queue: route.queue.clone(),
                    mailbox: route.mailbox.clone(),
                },
            })
        });
        reached.collect()
    }

    /// Finds the case that the letter continues.
    async fn thread(
        &self,
        client: Option<IpAddr>,
        finding: &Finding<'_>,
    ) -> Result<(Threading, Thread, Vec<Remark>), SmtpReply> {
        let letter = finding.letter;
        let recipients: Vec<(Address, Address)> = (finding.reached.iter())
            .map(|reached| (reached.full.clone(), reached.mailbox.clone()))
            .collect();
        let mut clues = clue::clues(letter, &recipients);
        let mut remarks = Vec::new();
        let now = self.handle.now();
        if client.is_some_and(|client| self.memory.guessing().is_braked(client, now)) {
            let tokens = clues.extract_if(.., |clue| matches!(clue.hint, Hint::Address(..)));
            remarks.extend(tokens.map(|clue| Remark::TokenIgnored(clue.text)));
        }
        // Most letters name no case, and then the way to the store and back is saved.
        let found = if clues.is_empty() {
            Found::default()
        } else {
            let hints = clues.iter().map(|clue| clue.hint.clone()).collect();
            (self.handle.look_up(hints).await).map_err(|error| answer(&error))?
        };
        let known = known(&found);
        let keyring = &self.handle.keyring();
        let queues: BTreeSet<QueueId> = (finding.reached.iter())
            .map(|reached| reached.target.queue.clone())
            .collect();
        let first = finding.reached.first();
        let circumstances = Circumstances {
            sender: letter.author.person(),
            trust: finding.trust,
            queues: &queues,
            now,
            windows: first
                .map(|reached| self.routes.windows(&reached.target.queue))
                .unwrap_or_default(),
        };
        let threading = threading::thread(letter, &clues, &known, keyring, circumstances);
        let failed = clues
            .iter()
            .filter(|clue| !threading::holds(clue, &known, keyring));
        remarks.extend(failed.filter_map(bad_token));
        let thread = match &threading.decision {
            Decision::Join { evidence, .. } => match found.target(evidence.case) {
                Some(case) => Thread::Joins(Box::new(case.clone()), Origin::Arrived),
                None => Thread::New(Origin::Arrived),
            },
            Decision::Follow { evidence, .. } => Thread::Linked(evidence.case, Origin::Arrived),
            Decision::Hold { .. } | Decision::Hinted { .. } | Decision::New => {
                Thread::New(Origin::Arrived)
            }
        };
        Ok((threading, thread, remarks))
    }
}

/// What is at hand when a letter's place is looked for.
pub(super) struct Finding<'a> {
    pub(super) letter: &'a Letter,
    pub(super) reached: &'a [Reached],
    pub(super) trust: Trust,
}

impl Finding<'_> {
    /// The visible recipients that are not ours.
    fn others(&self) -> impl Iterator<Item = &Address> {
        let visible = self.letter.to.iter().chain(&self.letter.cc);
        visible.map(|mailbox| &mailbox.address).filter(|address| {
            let (plain, _) = address.split_detail(DELIMITER);
            (self.reached.iter()).all(|reached| reached.mailbox != plain)
        })
    }

    /// Whether no address of ours that it was sent to is visible in it.
    fn is_blind(&self) -> bool {
        let visible = self.letter.to.len() + self.letter.cc.len();
        self.others().count() == visible
    }

    /// Who else was given the letter, if that can be believed.
    fn copied(&self) -> BTreeSet<String> {
        match self.trust {
            Trust::A | Trust::B => {
                let others = self.others().map(Address::normalised);
                others.take(PEOPLE_MAX).collect()
            }
            Trust::C | Trust::D => BTreeSet::new(),
        }
    }

    /// Under what later letters may name this one. Not for doubtful senders: they could lay claim
    /// to other people's Message-IDs.
    fn keys(&self) -> OwnKeys {
        match self.trust {
            Trust::D => OwnKeys::default(),
            Trust::A | Trust::B | Trust::C => OwnKeys::of(self.letter),
        }
    }
}

/// What can be refused without reading.
pub(super) fn limits(arrival: &Arrival) -> Result<(), SmtpReply> {
    let received = (arrival.headers.iter())
        .filter(|header| header.name.eq_ignore_ascii_case(b"Received"))
        .count();
    if received > RECEIVED_MAX {
        return Err(SmtpReply::new(
            554,
            4,
            6,
            "too many hops, the message goes in circles",
        ));
    }
    if arrival.headers.is_empty() && arrival.content.len() <= 2 {
        // A before-queue proxy shows its filters nothing; an empty case would help nobody.
        tracing::error!(
            "a message came without a header and without a body: is the milter on a smtpd with smtpd_proxy_filter?"
        );
        return Err(SmtpReply::new(
            451,
            3,
            5,
            "the message came without content",
        ));
    }
    Ok(())
}

/// The queues that were written to, each once, in the order of the recipients.
fn targets(reached: &[Reached]) -> Vec<Target> {
    let mut targets: Vec<Target> = Vec::new();
    for Reached { target, .. } in reached {
        if targets.iter().all(|known| known.queue != target.queue) {
            targets.push(target.clone());
        }
    }
    targets
}

/// The store's cases as threading wants to know them.
pub(super) fn known(found: &Found) -> Known {
    let address = |person: &Correspondent| Address::parse(&person.address).ok();
    let facts = found.cases.iter().filter_map(|(number, case)| {
        let target = found.target(*number)?;
        let people = |case: &crate::desk::Case| -> Vec<Option<Address>> {
            let others = case.correspondents.iter().map(address);
            [address(&case.customer)]
                .into_iter()
                .chain(others)
                .collect()
        };
        let mut queues: BTreeSet<QueueId> = target.joinable.keys().cloned().collect();
        queues.insert(target.queue.clone());
        let facts = CaseFacts {
            generation: case.generation,
            people: people(case),
            target: Standing {
                number: target.number,
                people: people(target).into_iter().flatten().collect(),
                copied: target.copied.clone(),
                subject: target.subject.clone(),
                queues,
                closed: if target.is_open() {
                    None
                } else {
                    target.closed
                },
                changed: target.changed,
            },
        };
        Some((*number, facts))
    });
    Known {
        cases: facts.collect(),
        keys: found.keys.clone(),
    }
}

/// The remark that a recipient's token deserves that does not hold.
fn bad_token(clue: &Clue) -> Option<Remark> {
    match &clue.hint {
        Hint::Address(..) => Some(Remark::BadToken(clue.text.clone())),
        Hint::Signed(_) | Hint::Key(_) | Hint::Number(_) => None,
    }
}

/// Who wrote, as the letter says. Without a usable address nobody can be answered, and the desk
/// shows what there is.
fn author(letter: &Letter) -> Correspondent {
    letter
        .author
        .correspondent()
        .map_or_else(Correspondent::default, |mailbox| Correspondent {
            address: mailbox.address.normalised(),
            display_name: mailbox.name.clone(),
        })
}
