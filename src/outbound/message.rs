//! An outbound message: its record on the way to the MTA, and the one door through which its state
//! changes. When it is tried is decided in `spool`.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::{AgentId, InteractionId, MessageId};
use crate::time::Timestamp;

/// How long a message is tried before it is given back to its agent. Postfix's
/// `maximal_queue_lifetime` has the same default.
pub const LIFETIME: Duration = Duration::from_secs(5 * 24 * 3600);

/// Attempts in which a recipient that is refused for now (4xx) holds back the others as well.
///
/// A message may be taken by the MTA once only, so a recipient cannot be sent its copy later. The
/// first attempts, some four minutes, wait for all; after them it is left behind as refused.
pub const TOGETHER_ATTEMPTS_MAX: u32 = 4;

/// Longest text of a [`Diagnostic`], in bytes: the longest reply line of RFC 5321, 4.5.3.1.5.
pub const DIAGNOSTIC_TEXT_BYTES_MAX: usize = 512;

/// One composed message on its way to the MTA. Its bytes lie in the store under the same id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outbound {
    /// The message, and this record of its way.
    pub id: MessageId,
    /// The piece of work it answers; a refusal brings that back to the agent.
    pub interaction: InteractionId,
    /// Who sent it; `None` for what the gateway sends by itself.
    pub agent: Option<AgentId>,
    /// The header `Message-ID`, fixed when the message was composed and the same in each attempt.
    pub internet_message_id: String,
    /// Sender of the envelope, to which bounces go; empty is the null sender.
    pub mail_from: String,
    /// Recipients of the envelope.
    pub recipients: Vec<OutboundRecipient>,
    /// Size of the message in bytes, as announced to the MTA.
    pub size_bytes: u64,
    /// Where the message is on its way.
    pub state: DeliveryState,
    /// Attempts begun since the message was last made ready.
    pub attempts: u32,
    /// When the agent sent it. Its first attempt may be later: see [`Self::hold`].
    pub created: Timestamp,
    /// When it is tried next; `None` where nothing will be tried without a person's word.
    pub next_attempt: Option<Timestamp>,
    /// After this time a temporary failure is final.
    pub deadline: Timestamp,
    /// What was last heard about it.
    pub last_diagnostic: Option<Diagnostic>,
    /// The MTA's own name for it, such as Postfix's queue id.
    pub remote_queue_id: Option<String>,
}

/// Sender and recipients as SMTP will be given them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// To whom bounces go; empty is the null sender.
    pub mail_from: String,
    /// To whom the message goes.
    pub recipients: Vec<String>,
}

/// One recipient of one message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboundRecipient {
    /// The address, without angle brackets.
    pub address: String,
    /// What the MTA said about it.
    pub state: RecipientState,
}

/// What was said about one recipient: by the MTA, or by whoever had the message after it. Stored:
/// variants are added at the end only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecipientState {
    /// Nothing that lasts: the message was not handed over, or nobody knows whether it was.
    Waiting,
    /// The MTA has taken the message for this recipient.
    Accepted,
    /// The MTA will not take it for this recipient.
    Refused(Diagnostic),
    /// It is in the recipient's mailbox, says a proven report.
    Delivered,
    /// It is still on its way, says a proven report.
    Delayed(Diagnostic),
    /// It came back: it did not reach the recipient and will not, says a proven report.
    Bounced(Diagnostic),
}

/// Where an outbound message is on its way. Stored: variants are added at the end only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum DeliveryState {
    /// Waits for its first attempt, or for one that a person asked for.
    Ready,
    /// All of it but the final dot is with the MTA, and the dot may be.
    HandedOver,
    /// The MTA has said that it took the message.
    Confirmed,
    /// Certainly not taken; will be tried again.
    Deferred,
    /// The answer to the final dot was lost. It may have been taken, so it is never sent again
    /// without a person's word or evidence.
    Unconfirmed,
    /// Certainly not taken, and not tried again.
    Refused,
    /// Taken back by its agent before anything was tried, and never sent.
    Cancelled,
}

impl DeliveryState {
    /// Every state, for tables.
    pub const ALL: [Self; 7] = [
        Self::Ready,
        Self::HandedOver,
        Self::Confirmed,
        Self::Deferred,
        Self::Unconfirmed,
        Self::Refused,
        Self::Cancelled,
    ];

    /// Whether the spool has nothing more to do with such a message.
    #[must_use]
    pub const fn is_settled(self) -> bool {
        match self {
            Self::Confirmed | Self::Refused | Self::Cancelled => true,
            Self::Ready | Self::HandedOver | Self::Deferred | Self::Unconfirmed => false,
        }
    }
}

impl fmt::Display for DeliveryState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ready => "ready",
            Self::HandedOver => "handed over",
            Self::Confirmed => "confirmed",
            Self::Deferred => "deferred",
            Self::Unconfirmed => "unconfirmed",
            Self::Refused => "refused",
            Self::Cancelled => "cancelled",
        })
    }
}

/// What was said about a message: by the MTA in a reply, or by us where there was none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// The reply code, such as 451; 0 where the words are our own.
    pub code: u16,
    /// The enhanced status code of RFC 3463, where there is one.
    pub enhanced: Option<[u8; 3]>,
    /// The words, at most [`DIAGNOSTIC_TEXT_BYTES_MAX`] bytes, without control characters.
    pub text: String,
}

impl Diagnostic {
    /// Makes one, with its text cut and cleaned: it comes from a peer and is shown to people.
    #[must_use]
    pub fn new(code: u16, enhanced: Option<[u8; 3]>, text: &str) -> Self {
        let mut clean = String::with_capacity(text.len().min(DIAGNOSTIC_TEXT_BYTES_MAX));
        for letter in text.trim().chars() {
            let letter = if letter.is_control() { ' ' } else { letter };
            if clean.len() + letter.len_utf8() > DIAGNOSTIC_TEXT_BYTES_MAX {
                break;
            }
            clean.push(letter);
        }
        Self {
            code,
            enhanced,
            text: clean,
        }
    }

    /// Our own words, where the MTA said nothing.
    #[must_use]
    pub fn ours(text: &str) -> Self {
        Self::new(0, None, text)
    }
}

impl fmt::Display for Diagnostic {
    /// As in an SMTP reply: `550 5.1.1 no such user`; without the code where it is our own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.code != 0 {
            write!(f, "{} ", self.code)?;
        }
        if let Some([class, subject, detail]) = self.enhanced {
            write!(f, "{class}.{subject}.{detail} ")?;
        }
        f.write_str(&self.text)
    }
}

/// How one attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The MTA took the message for all recipients but the refused ones.
    Accepted {
        /// Its reply to the final dot.
        reply: Diagnostic,
        /// Its name for the message, if the reply told it.
        queue_id: Option<String>,
        /// Recipients that got nothing and will get nothing.
        refused: Vec<RecipientRefusal>,
    },
    /// Certainly not taken; another attempt may succeed.
    Temporary(Diagnostic),
    /// Certainly not taken; another attempt would fail the same way.
    Permanent {
        /// Why the message as a whole was refused.
        diagnostic: Diagnostic,
        /// What was said about single recipients; the others share `diagnostic`.
        refused: Vec<RecipientRefusal>,
    },
    /// The final dot was sent and its answer was lost: nobody knows.
    Lost(Diagnostic),
}

/// One recipient that the MTA would not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipientRefusal {
    /// The address as the message has it.
    pub address: String,
    /// Why.
    pub diagnostic: Diagnostic,
}

/// What may happen to a message, as far as its state is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// The final dot is about to be sent.
    HandOver,
    /// The MTA took it.
    Accept,
    /// The MTA did not take it now.
    Defer,
    /// The MTA will not take it.
    Refuse,
    /// The answer to the final dot was lost.
    Lose,
    /// A person asks for another attempt.
    Resend,
    /// Its agent takes it back.
    Cancel,
}

/// A change of state that the way of a message does not have. Nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransitionError {
    /// The state in which the message is and stays.
    pub state: DeliveryState,
}

impl fmt::Display for TransitionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "this does not happen to a message that is {}",
            self.state
        )
    }
}

impl std::error::Error for TransitionError {}

impl Outbound {
    /// A message that is ready for its first attempt at once.
    #[must_use]
    pub fn new(
        id: MessageId,
        interaction: InteractionId,
        agent: Option<AgentId>,
        internet_message_id: String,
        envelope: Envelope,
        size_bytes: u64,
        now: Timestamp,
    ) -> Self {
        let recipients = envelope
            .recipients
            .into_iter()
            .map(|address| OutboundRecipient {
                address,
                state: RecipientState::Waiting,
            })
            .collect();
        Self {
            id,
            interaction,
            agent,
            internet_message_id,
            mail_from: envelope.mail_from,
            recipients,
            size_bytes,
            state: DeliveryState::Ready,
            attempts: 0,
            created: now,
            next_attempt: Some(now),
            deadline: now + LIFETIME,
            last_diagnostic: None,
            remote_queue_id: None,
        }
    }

    /// Puts off the first attempt by this long, so that the agent may take the message back.
    #[must_use]
    pub fn hold(mut self, time: Duration) -> Self {
        self.next_attempt = Some(self.created + time);
        self
    }

    /// Whether a recipient that is refused for now is left behind, so that the others need not
    /// wait for it any longer.
    #[must_use]
    pub const fn leaves_stragglers(&self) -> bool {
        self.attempts > TOGETHER_ATTEMPTS_MAX
    }

    /// Makes the message ready anew, with its whole lifetime before it.
    pub(super) fn renew(&mut self, now: Timestamp) -> Result<(), TransitionError> {
        self.enter(Event::Resend)?;
        self.attempts = 0;
        self.next_attempt = Some(now);
        self.deadline = now + LIFETIME;
        for recipient in &mut self.recipients {
            recipient.state = RecipientState::Waiting;
        }
        Ok(())
    }

    /// The one door: changes the state if the way of a message has this step.
    pub(super) fn enter(&mut self, event: Event) -> Result<(), TransitionError> {
        let state = self.state;
        self.state = after(state, event).ok_or(TransitionError { state })?;
        Ok(())
    }
}

/// The whole machine on one page: what follows when `event` happens to a message in `state`.
const fn after(state: DeliveryState, event: Event) -> Option<DeliveryState> {
    use DeliveryState as S;
    match (state, event) {
        (S::Ready | S::Deferred, Event::HandOver) => Some(S::HandedOver),
        (S::Ready | S::Deferred | S::HandedOver, Event::Defer) => Some(S::Deferred),
        (S::Ready | S::Deferred | S::HandedOver, Event::Refuse) => Some(S::Refused),
        // Only what was handed over can have been taken, or be in doubt.
        (S::HandedOver, Event::Accept) => Some(S::Confirmed),
        (S::HandedOver, Event::Lose) => Some(S::Unconfirmed),
        (S::Unconfirmed | S::Refused, Event::Resend) => Some(S::Ready),
        // A deferred message was on its way once; some of it may have been seen.
        (S::Ready, Event::Cancel) => Some(S::Cancelled),
        (S::Confirmed | S::Cancelled, _)
        | (S::Ready | S::Deferred, Event::Accept | Event::Lose | Event::Resend)
        | (S::Deferred | S::Unconfirmed | S::Refused, Event::Cancel)
        | (S::HandedOver, Event::HandOver | Event::Resend | Event::Cancel)
        | (
            S::Unconfirmed,
            Event::HandOver | Event::Accept | Event::Defer | Event::Refuse | Event::Lose,
        )
        | (
            S::Refused,
            Event::HandOver | Event::Accept | Event::Defer | Event::Refuse | Event::Lose,
        ) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENTS: [(&str, Event); 7] = [
        ("hand over", Event::HandOver),
        ("accept", Event::Accept),
        ("defer", Event::Defer),
        ("refuse", Event::Refuse),
        ("lose", Event::Lose),
        ("resend", Event::Resend),
        ("cancel", Event::Cancel),
    ];

    #[test]
    fn every_pair_of_state_and_event() {
        let table = "
            state        | hand over   | accept    | defer    | refuse  | lose        | resend | cancel
            ready        | handed over | -         | deferred | refused | -           | -      | cancelled
            handed over  | -           | confirmed | deferred | refused | unconfirmed | -      | -
            confirmed    | -           | -         | -        | -       | -           | -      | -
            deferred     | handed over | -         | deferred | refused | -           | -      | -
            unconfirmed  | -           | -         | -        | -       | -           | ready  | -
            refused      | -           | -         | -        | -       | -           | ready  | -
            cancelled    | -           | -         | -        | -       | -           | -      | -
        ";
        let mut rows = table
            .lines()
            .filter(|line| !line.trim().is_empty())
            .map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
        let head = rows.next().unwrap();
        assert_eq!(head.len(), EVENTS.len() + 1);
        let mut seen = 0;
        for (row, state) in rows.zip(DeliveryState::ALL) {
            assert_eq!(row[0], state.to_string());
            for ((name, event), (column, expected)) in
                EVENTS.iter().zip(head.iter().zip(&row).skip(1))
            {
                assert_eq!(name, column);
                let found = after(state, *event).map_or("-".to_owned(), |to| to.to_string());
                assert_eq!(found, *expected, "{state} × {name}");
                seen += 1;
            }
        }
        assert_eq!(seen, 49);
    }

    #[test]
    fn a_step_that_is_not_there_changes_nothing() {
        let mut message = crate::outbound::spool::tests::message(1);
        let before = message.clone();
        assert_eq!(
            message.enter(Event::Accept),
            Err(TransitionError {
                state: DeliveryState::Ready
            })
        );
        assert_eq!(message, before);
    }

    #[test]
    fn a_stored_record_comes_back() {
        let mut message = crate::outbound::spool::tests::message(1);
        message.last_diagnostic = Some(Diagnostic::new(451, Some([4, 3, 0]), "later"));
        message.recipients[0].state = RecipientState::Refused(Diagnostic::ours("no"));
        let bytes = postcard::to_stdvec(&message).unwrap();
        assert_eq!(postcard::from_bytes::<Outbound>(&bytes), Ok(message));
    }

    #[test]
    fn what_a_peer_says_is_cut_and_cleaned() {
        let long = "é".repeat(DIAGNOSTIC_TEXT_BYTES_MAX);
        assert_eq!(
            Diagnostic::ours(&long).text.len(),
            DIAGNOSTIC_TEXT_BYTES_MAX
        );
        let said = Diagnostic::new(550, Some([5, 1, 1]), " no\r\nsuch\u{1b}[0m user ");
        assert_eq!(said.to_string(), "550 5.1.1 no  such [0m user");
        assert_eq!(Diagnostic::ours("gone").to_string(), "gone");
    }
}
