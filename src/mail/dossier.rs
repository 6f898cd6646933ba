//! The dossier of a letter: all that was found out about it when it came, and why it was handled
//! as it was. Kept with the letter, so that a person can ask later.

use serde::{Deserialize, Serialize};

use super::address::Address;
use super::automatic::Classification;
use super::message_id::InternetMessageId;
use super::threading::Threading;
use super::token::MainNumber;
use super::trust::Authentication;
use crate::id::QueueId;

/// All that was found out about one letter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dossier {
    /// What SPF, DKIM and DMARC gave.
    pub authentication: Authentication,
    /// What kind of letter it is, and why.
    pub kind: Classification,
    /// Which case it continues, and why.
    pub threading: Threading,
    /// What else is worth knowing, in the order in which it was noticed.
    pub remarks: Vec<Remark>,
}

impl Dossier {
    /// Adds what the index knew under the letter's own keys: whether another letter had its
    /// Message-ID, and of which case its author wrote under the same subject.
    pub fn recall(
        &mut self,
        reused: Option<InternetMessageId>,
        topic: Option<MainNumber>,
        subject: &str,
    ) {
        self.remarks.extend(reused.map(Remark::IdReused));
        if let Some(case) = topic {
            self.threading.hint(case, subject);
        }
    }
}

/// Something about a letter that agents or administrators want to know. Stored: variants are added
/// at the end only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Remark {
    /// Another letter came under the same Message-ID before.
    IdReused(InternetMessageId),
    /// The queue's address stands neither in To nor in Cc: it was reached by a blind copy or a
    /// redirection.
    BlindCopy,
    /// An address that it was sent to carries a token of ours that does not hold.
    BadToken(String),
    /// The author is proved and wants answers at this address.
    AnswersElsewhere(Address),
    /// This address sent it, as its header says, on the author's behalf (`Sender`).
    OnBehalf(Address),
    /// This address passed it on, as its header says (`Resent-From`).
    PassedOn(Address),
    /// A rule of the administrator's decided about it.
    Ruled {
        /// For the queue that was written to.
        queue: QueueId,
        /// The rule's name.
        rule: String,
        /// What it does, in words.
        action: String,
    },
    /// An address that it was sent to carries a token, which was not looked at, because its
    /// client had shown too many that did not hold.
    TokenIgnored(String),
}

impl Remark {
    /// In words for people.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::IdReused(id) => format!("another letter came under the same Message-ID {id}"),
            Self::BlindCopy => {
                "the queue's address stands neither in To nor in Cc (Bcc, or redirected)".to_owned()
            }
            Self::BadToken(address) => format!(
                "the token in {address} does not hold: it was changed, revoked, or made for another queue"
            ),
            Self::AnswersElsewhere(address) => format!("the sender wants answers at {address}"),
            Self::TokenIgnored(address) => format!(
                "the token in {address} was not looked at: too many that do not hold came from the same client"
            ),
            Self::OnBehalf(address) => format!("{address} sent it on the sender's behalf"),
            Self::PassedOn(address) => format!("{address} passed it on"),
            Self::Ruled {
                queue,
                rule,
                action,
            } => format!("rule {rule} for queue {queue}: {action}"),
        }
    }
}
