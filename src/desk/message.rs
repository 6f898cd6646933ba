//! A message: one mail, immutable, as the case keeps it beside the bytes in the store.

use serde::{Deserialize, Serialize};

use crate::id::{AgentId, InteractionId, MessageId};
use crate::mail::token::MainNumber;
use crate::mail::trust::Trust;
use crate::time::Timestamp;

/// Somebody's address with the name they gave themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Correspondent {
    /// The address, normalised; empty if there is none that could be used.
    pub address: String,
    /// The name as shown; may be empty.
    pub display_name: String,
}

/// Which way a message went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Direction {
    /// From outside.
    Inbound,
    /// From us.
    Outbound,
}

/// How a message came to belong to its case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// It was composed here, for this case.
    Composed,
    /// The same letter had come for another queue before; both are one case.
    SameLetter,
    /// It arrived; what was found out about it is in its dossier.
    Arrived,
    /// It was written here because a letter opened this case.
    Acknowledgement,
}

/// What is known about a message without opening it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Its id, under which the store keeps its bytes.
    pub id: MessageId,
    /// The case it belongs to.
    pub case: MainNumber,
    /// Which way it went.
    pub direction: Direction,
    /// The header `Message-ID` without brackets; empty if the letter had none.
    pub internet_message_id: String,
    /// Who wrote it.
    pub sender: Correspondent,
    /// The envelope sender; empty for the null sender.
    pub envelope_sender: String,
    /// Envelope recipients that concern us (inbound) or to whom it went (outbound).
    pub recipients: Vec<String>,
    /// Its subject, decoded.
    pub subject: String,
    /// When it was received, or composed.
    pub time: Timestamp,
    /// Its size in bytes.
    pub size: u64,
    /// How well it is proven that the sender wrote it.
    pub trust: Trust,
    /// What spoke for that: the results of SPF, DKIM and DMARC in words.
    pub trust_reason: String,
    /// Why it belongs to its case rather than to a new one.
    pub origin: Origin,
    /// The MTA's queue id at arrival: evidence, not a key.
    pub mta_queue_id: String,
    /// Who sent it, for an outbound message.
    pub agent: Option<AgentId>,
    /// The interactions that it is a part of.
    pub interactions: Vec<InteractionId>,
}
