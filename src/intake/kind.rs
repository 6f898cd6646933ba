//! Kind: what sort of letter it is, which letter of ours it is about, and what follows for the work
//! and for an acknowledgement.

use super::judge::{Finding, Reached, known};
use super::{Intake, answer};
use crate::desk::{Case, Handling, HoldReason, Report, Work};
use crate::id::MessageId;
use crate::mail::acknowledgement::{Acknowledgement, Circumstances, Signer};
use crate::mail::automatic::{Allowed, Classification, Facts, Kind, classify};
use crate::mail::clue::{Clue, Hint, Place};
use crate::mail::header::Header;
use crate::mail::mailbox::Mailbox;
use crate::mail::message_id::InternetMessageId;
use crate::mail::report::{self, Said, Severity};
use crate::mail::return_path::{EVERYBODY, ReturnPath};
use crate::mail::threading::{self, Decision};
use crate::mail::token::{Claim, DELIMITER, NONCE_BYTES};
use crate::mail::trust::{Ruling, Trust};
use crate::milter::{Arrival, SmtpReply};
use crate::outbound::hearing::Saying;

/// The letter of ours that a letter is proven to be about.
pub(super) struct About {
    /// Its case.
    pub(super) case: Case,
    /// What is reported about it, if that could be read.
    pub(super) report: Option<Report>,
}

impl Intake {
    /// What kind of letter it is.
    pub(super) async fn kind(
        &self,
        arrival: &Arrival,
        finding: &Finding<'_>,
    ) -> Result<Classification, SmtpReply> {
        let letter = finding.letter;
        let head = arrival.content.head();
        let header = Header::parse(head);
        let author = letter.author.mailbox.as_ref();
        let author = author.map(|mailbox| mailbox.address.normalised());
        // Somebody who may write as the queue, from a mail program of their own, is no loop.
        let proven = matches!(finding.trust, Trust::A | Trust::B);
        let from_queue = arrival.peer.authenticated.is_none()
            && !proven
            && (self.routes.find(&arrival.envelope.sender).is_some()
                || author.is_some_and(|author| self.routes.find(author.as_bytes()).is_some()));
        let own_message_id = match &letter.internet_message_id {
            Some(id) => self.is_signed(id).await?,
            None => false,
        };
        let facts = Facts {
            keyring: &self.keyring,
            host: arrival.peer.mta_name.as_deref().unwrap_or_default(),
            envelope_sender: &arrival.envelope.sender,
            to_return_path: self.returned(finding.reached).is_some(),
            from_queue,
            own_message_id,
        };
        let body = head.get(header.body_start()..).unwrap_or_default();
        Ok(classify(letter, &header, body, &facts))
    }

    /// The letter of ours that came back, by the return path that this one was sent to.
    fn returned(&self, reached: &[Reached]) -> Option<ReturnPath> {
        let mut paths = reached.iter();
        paths.find_map(|reached| ReturnPath::verify(&self.keyring, &reached.full))
    }

    /// Whether an id is one that we signed, for a correspondent who still is one.
    async fn is_signed(&self, id: &InternetMessageId) -> Result<bool, SmtpReply> {
        let Some(claim) = Claim::parse(id) else {
            return Ok(false);
        };
        let hint = Hint::Signed(claim);
        let found =
            (self.handle.look_up(vec![hint.clone()]).await).map_err(|error| answer(&error))?;
        let clue = Clue {
            place: Place::InReplyTo,
            text: String::new(),
            hint,
        };
        Ok(threading::holds(&clue, &known(&found), &self.keyring))
    }

    /// Which letter of ours it is about, if that is proven: it was sent to that letter's own return
    /// path, or it is a report that holds that letter's signed Message-ID.
    pub(super) async fn about(
        &self,
        arrival: &Arrival,
        kind: Kind,
        reached: &[Reached],
    ) -> Result<Option<About>, SmtpReply> {
        if kind == Kind::OwnLoop {
            return Ok(None);
        }
        let read = kind
            .is_report()
            .then(|| report::Report::read(arrival.content.head()))
            .flatten();
        let failed = |error| answer(&error);
        let (message, recipient) = match (self.returned(reached), &read) {
            (Some(path), _) => {
                let message = self.handle.message(path.message).await.map_err(failed)?;
                (
                    message,
                    Some(path.recipient).filter(|place| *place != EVERYBODY),
                )
            }
            (None, Some(report)) => match &report.internet_message_id {
                Some(id) if self.is_signed(id).await? => {
                    let message = self.handle.own_message(id.clone()).await.map_err(failed)?;
                    (message, None)
                }
                _ => return Ok(None),
            },
            (None, None) => return Ok(None),
        };
        let Some(message) = message else {
            return Ok(None);
        };
        let Some(case) = self.handle.case(message.case).await.map_err(failed)? else {
            return Ok(None);
        };
        let report = read.and_then(|read| proven(message.id, recipient, read.said));
        Ok(Some(About { case, report }))
    }

    /// Whether and how the letter is to be worked on.
    pub(super) fn handling(
        &self,
        finding: &Finding<'_>,
        classification: &Classification,
        place: (&Decision, Ruling),
        about: Option<&About>,
    ) -> Handling {
        let queues = finding.reached.iter();
        let allowed = queues
            .filter_map(|reached| self.routes.queue(&reached.target.queue))
            .fold(Allowed::default(), |all, queue| Allowed {
                bulk: all.bulk || queue.allowed.bulk,
                auto_reply: all.auto_reply || queue.allowed.auto_reply,
            });
        handling(classification.kind, allowed, place, about)
    }

    /// What the author is told if the letter opens a case; `None` if there is nothing to be said,
    /// or nobody to whom it may be said.
    pub(super) fn acknowledgement(
        &self,
        arrival: &Arrival,
        finding: &Finding<'_>,
        classification: &Classification,
    ) -> Option<Acknowledgement> {
        let letter = finding.letter;
        let visible = |reached: &&Reached| {
            (letter.to.iter().chain(&letter.cc))
                .any(|mailbox| mailbox.address.split_detail(DELIMITER).0 == reached.mailbox)
        };
        let reached = finding.reached.iter().find(visible);
        let author = letter.author.identity();
        let circumstances = Circumstances {
            classification,
            trust: finding.trust,
            envelope_sender: &arrival.envelope.sender,
            author,
            from_queue: author
                .is_some_and(|author| self.routes.find(author.normalised().as_bytes()).is_some()),
            visible: reached.is_some(),
        };
        let address = circumstances.recipient()?.clone();
        let reached = reached?;
        let queue = self.routes.queue(&reached.target.queue)?;
        let template = queue.acknowledgement.clone()?;
        let mut nonce = [0; NONCE_BYTES];
        let random = ring::rand::SystemRandom::new();
        ring::rand::SecureRandom::fill(&random, &mut nonce).ok()?;
        let name = letter
            .author
            .mailbox
            .as_ref()
            .map(|mailbox| mailbox.name.clone());
        Some(Acknowledgement {
            queue: queue.id.clone(),
            from: Mailbox {
                name: queue.display_name.clone(),
                address: reached.mailbox.clone(),
            },
            to: Mailbox {
                name: name.unwrap_or_default(),
                address,
            },
            template,
            in_reply_to: letter.internet_message_id.clone(),
            references: letter.references.clone(),
            nonce,
            signer: Signer {
                keyring: std::sync::Arc::clone(&self.keyring),
                domain: self.name.clone(),
            },
        })
    }
}

/// What a proven report says, as far as it says something about the letter's way.
fn proven(message: MessageId, recipient: Option<u8>, said: Said) -> Option<Report> {
    let saying = match said {
        Said::Delivery(recipients) => {
            for found in &recipients {
                if found.severity() == Severity::Policy {
                    tracing::warn!(%message, diagnostic = %found, "a server refuses mail from here");
                }
            }
            Saying::Delivery(recipients)
        }
        Said::Complaint { .. } => {
            tracing::warn!(%message, "a recipient complains about mail from here");
            Saying::Complaint
        }
        Said::Disposition { .. } => return None,
    };
    Some(Report {
        message,
        recipient,
        saying,
        settled: None,
    })
}

/// Whether and how a letter is to be worked on, as far as its kind, its place and its sender's
/// domain decide that.
fn handling(
    kind: Kind,
    allowed: Allowed,
    (decision, ruling): (&Decision, Ruling),
    about: Option<&About>,
) -> Handling {
    // Other desks mark what people write as bulk. What proves that it is an answer is not filed
    // unseen.
    let answers = kind == Kind::Bulk
        && matches!(decision, Decision::Join { evidence, .. } if evidence.place <= Place::References);
    let work = match about {
        // The report itself decides, when it is written down.
        Some(About {
            report: Some(_), ..
        }) => Work::Quiet,
        Some(_) if kind == Kind::DispositionNotification => Work::Quiet,
        // Something came back that nobody can read but a person.
        Some(_) => Work::Wanted,
        None if !kind.wants_work(allowed) && !answers => Work::Quiet,
        None => match (decision, ruling) {
            (Decision::Hold { evidence, .. }, _) => Work::Held {
                reason: HoldReason::Distrusted,
                aside: Some(evidence.case),
            },
            (_, Ruling::Hold) => Work::Held {
                reason: HoldReason::Quarantined,
                aside: None,
            },
            (_, Ruling::Take | Ruling::Refuse | Ruling::Later) => Work::Wanted,
        },
    };
    Handling {
        work,
        by_machine: !matches!(kind, Kind::Human | Kind::NoReply),
        keeps_closed: about.is_none() && !answers && !kind.may_reopen(),
        ..Handling::default()
    }
}
