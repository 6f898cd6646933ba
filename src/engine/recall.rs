//! Recall: what the store remembers that decides about a command, looked up before the desk sees
//! it.

use super::found::Found;
use super::group::Group;
use super::{EngineError, Fingerprint, Runner};
use crate::desk::{Case, Command, Filing, Ingest, MERGES_MAX, Origin, Thread};
use crate::mail::message_id::InternetMessageId;
use crate::mail::token::MainNumber;
use crate::outbound::message::Outcome;
use crate::time::Timestamp;

impl Runner {
    /// Gives a letter what the index knows under its own keys, and the record that its report is
    /// about; takes away its acknowledgement if its author has had one or is not written to.
    pub(super) fn recall(
        &self,
        now: Timestamp,
        letter: &mut Ingest,
        group: &Group<'_>,
    ) -> Result<(), EngineError> {
        // The same letter for a further queue has its own keys in the index.
        if !matches!(letter.thread, Thread::Joins(_, Origin::SameLetter)) {
            remember(letter, group)?;
        }
        if let Some(report) = &mut letter.report
            && self.desk.spool().get(report.message).is_none()
        {
            report.settled = group.outbound(report.message)?.map(Box::new);
        }
        if let Some(acknowledgement) = &letter.acknowledgement {
            let address = acknowledgement.to.address.normalised();
            let told = group.acknowledged(&acknowledgement.queue, &address)?;
            let suppressed = group.suppressed(&address)?;
            if told.is_some_and(|told| told.until > now)
                || suppressed.is_some_and(|suppressed| suppressed.until > now)
            {
                letter.acknowledgement = None;
            }
        }
        Ok(())
    }

    /// Where a letter went that has been here before. Only the queues that are new to it are left
    /// among its targets, and what is filed for them belongs to the case that it has.
    pub(super) fn filed_before(
        &self,
        letter: &mut Ingest,
        fingerprints: &[Fingerprint],
        group: &Group<'_>,
    ) -> Result<Vec<Filing>, EngineError> {
        let Some(filings) = known(fingerprints, group)? else {
            return Ok(Vec::new());
        };
        letter
            .targets
            .retain(|target| filings.iter().all(|known| known.queue != target.queue));
        if let Some(first) = filings.first()
            && let Some(case) = self.case(first.case, group)?
        {
            letter.thread = Thread::Joins(Box::new(case), Origin::SameLetter);
            // It opens no case.
            letter.acknowledgement = None;
        }
        Ok(filings)
    }

    /// Gives the end of a submission what the message was sent for, if the desk holds that no
    /// more: a refused one is worked on again.
    pub(super) fn recall_sent_for(
        &self,
        command: &mut Command,
        group: &Group<'_>,
    ) -> Result<(), EngineError> {
        let (message, taken, sent_for) = match command {
            Command::FinishSubmission {
                message,
                outcome,
                sent_for,
            } => {
                let taken = matches!(outcome, Outcome::Accepted { .. } | Outcome::Lost(_));
                (message, taken, sent_for)
            }
            Command::CancelSend {
                message, sent_for, ..
            } => (message, false, sent_for),
            _ => return Ok(()),
        };
        let Some(outbound) = self.desk.spool().get(*message) else {
            return Ok(());
        };
        let held = self.desk.interactions().contains_key(&outbound.interaction);
        if held || taken || outbound.agent.is_none() {
            return Ok(());
        }
        if let Some(mut closed) = group.interaction(outbound.interaction)?
            && let Some(case) = self.current_case(closed.case, group)?
        {
            closed.case = case.number;
            *sent_for = Some(Box::new((closed, case)));
        }
        Ok(())
    }

    /// A case as it is now, or the one that it was merged into.
    fn current_case(
        &self,
        number: MainNumber,
        group: &Group<'_>,
    ) -> Result<Option<Case>, EngineError> {
        let mut case = self.case(number, group)?;
        for _ in 0..MERGES_MAX {
            let Some(into) = case.as_ref().and_then(|case| case.merged_into) else {
                break;
            };
            case = self.case(into, group)?;
        }
        Ok(case)
    }

    /// A case as it is now, open or not.
    fn case(&self, number: MainNumber, group: &Group<'_>) -> Result<Option<Case>, EngineError> {
        match self.desk.cases().get(&number) {
            Some(case) => Ok(Some(case.clone())),
            None => group.case(number),
        }
    }

    /// A command brings its cases as they were read before. They may have gone on since: what
    /// counts is the case as it is now, and the one it was merged into.
    pub(super) fn refresh_cases(
        &self,
        command: &mut Command,
        group: &Group<'_>,
    ) -> Result<(), EngineError> {
        let refresh = |case: &mut Case| {
            if let Some(current) = self.case(case.number, group)? {
                *case = current;
            }
            Ok::<(), EngineError>(())
        };
        match command {
            Command::Ingest(letter) => {
                if let Thread::Joins(case, _) = &mut letter.thread {
                    refresh(case)?;
                    for _ in 0..MERGES_MAX {
                        let Some(into) = case.merged_into else { break };
                        case.number = into;
                        refresh(case)?;
                    }
                }
            }
            Command::MergeCase { case, into } => {
                refresh(case)?;
                refresh(into)?;
            }
            Command::RevokeTokens { case } | Command::AddNote { case, .. } => refresh(case)?,
            Command::StartEmail(email) => {
                if let Some(case) = &mut email.case
                    && let Some(current) = self.current_case(case.number, group)?
                {
                    **case = current;
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Looks under a letter's own keys. Here and not in intake, because almost every letter has them
/// and the way to the store and back would be most of its cost there.
fn remember(letter: &mut Ingest, group: &Group<'_>) -> Result<(), EngineError> {
    let (reused, topic) = Found::under(group.store, letter.keys)?;
    let id = InternetMessageId::parse(&letter.internet_message_id);
    let reused = id.ok().filter(|_| reused);
    letter.dossier.recall(reused, topic, &letter.subject);
    Ok(())
}

/// Where a letter went that has been here before.
fn known(
    fingerprints: &[Fingerprint],
    group: &Group<'_>,
) -> Result<Option<Vec<Filing>>, EngineError> {
    for fingerprint in fingerprints {
        let filings = group.delivered(&fingerprint.digest)?;
        if !filings.is_empty() {
            return Ok(Some(filings));
        }
    }
    Ok(None)
}
