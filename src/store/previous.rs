//! Stored forms as older versions wrote them, and how they are read today.
//!
//! Only what has not just grown at its end stands here: a form as it was, field by field, which
//! says nothing of what it meant then.

use serde::Deserialize;

use crate::desk::{Correspondent, Direction, Message, Origin};
use crate::id::{AgentId, InteractionId, MessageId};
use crate::mail::message_id::InternetMessageId;
use crate::mail::token::MainNumber;
use crate::mail::trust::Trust;
use crate::outbound::message::{DeliveryState, Diagnostic, Outbound, OutboundRecipient};
use crate::time::Timestamp;

/// Version 1 of a message: what spoke for its case stood in the message itself.
#[derive(Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
pub(super) struct MessageV1 {
    id: MessageId,
    case: MainNumber,
    direction: Direction,
    internet_message_id: String,
    sender: Correspondent,
    envelope_sender: String,
    recipients: Vec<String>,
    subject: String,
    time: Timestamp,
    size: u64,
    trust: Trust,
    trust_reason: String,
    origin: OriginV1,
    mta_queue_id: String,
    agent: Option<AgentId>,
    interactions: Vec<InteractionId>,
}

/// What spoke for a message's case. Nothing is done with it any more, but it stands before what is
/// still read.
mod evidence {
    #![cfg_attr(not(test), expect(dead_code, reason = "read only to get past it"))]

    use super::{Deserialize, InternetMessageId, MainNumber};

    #[derive(Deserialize)]
    #[cfg_attr(test, derive(serde::Serialize))]
    pub(super) enum OriginV1 {
        Composed,
        SameLetter,
        Threaded(Box<ThreadingV1>),
    }

    #[derive(Deserialize)]
    #[cfg_attr(test, derive(serde::Serialize))]
    pub(super) struct ThreadingV1 {
        pub(super) decision: DecisionV1,
        pub(super) conflicts: Vec<EvidenceV1>,
    }

    #[derive(Deserialize)]
    #[cfg_attr(test, derive(serde::Serialize))]
    pub(super) enum DecisionV1 {
        Join {
            evidence: EvidenceV1,
            role: RoleV1,
            verified: bool,
        },
        NewLinked {
            evidence: EvidenceV1,
            apart: ApartV1,
        },
        New {
            apart: Option<(EvidenceV1, ApartV1)>,
        },
    }

    #[derive(Deserialize)]
    #[cfg_attr(test, derive(serde::Serialize))]
    pub(super) struct EvidenceV1 {
        pub(super) case: MainNumber,
        pub(super) id: InternetMessageId,
        pub(super) place: PlaceV1,
        pub(super) slot: u16,
    }

    #[derive(Deserialize)]
    #[cfg_attr(test, derive(serde::Serialize))]
    pub(super) enum PlaceV1 {
        InReplyTo,
        References,
    }

    #[derive(Deserialize)]
    #[cfg_attr(test, derive(serde::Serialize))]
    pub(super) enum RoleV1 {
        Correspondent,
        ThirdParty,
    }

    #[derive(Deserialize)]
    #[cfg_attr(test, derive(serde::Serialize))]
    pub(super) enum ApartV1 {
        UnknownAuthor,
        Distrusted,
    }
}

use evidence::OriginV1;

impl From<MessageV1> for Message {
    fn from(old: MessageV1) -> Self {
        Self {
            id: old.id,
            case: old.case,
            direction: old.direction,
            internet_message_id: old.internet_message_id,
            sender: old.sender,
            envelope_sender: old.envelope_sender,
            recipients: old.recipients,
            subject: old.subject,
            time: old.time,
            size: old.size,
            trust: old.trust,
            trust_reason: old.trust_reason,
            origin: match old.origin {
                OriginV1::Composed => Origin::Composed,
                OriginV1::SameLetter => Origin::SameLetter,
                OriginV1::Threaded(_) => Origin::Arrived,
            },
            mta_queue_id: old.mta_queue_id,
            agent: old.agent,
            interactions: old.interactions,
        }
    }
}

/// Version 1 of an outbound message: an agent had sent each.
#[derive(Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
pub(super) struct OutboundV1 {
    id: MessageId,
    interaction: InteractionId,
    agent: AgentId,
    internet_message_id: String,
    mail_from: String,
    recipients: Vec<OutboundRecipient>,
    size_bytes: u64,
    state: DeliveryState,
    attempts: u32,
    created: Timestamp,
    next_attempt: Option<Timestamp>,
    deadline: Timestamp,
    last_diagnostic: Option<Diagnostic>,
    remote_queue_id: Option<String>,
}

impl From<OutboundV1> for Outbound {
    fn from(old: OutboundV1) -> Self {
        Self {
            id: old.id,
            interaction: old.interaction,
            agent: Some(old.agent),
            internet_message_id: old.internet_message_id,
            mail_from: old.mail_from,
            recipients: old.recipients,
            size_bytes: old.size_bytes,
            state: old.state,
            attempts: old.attempts,
            created: old.created,
            next_attempt: old.next_attempt,
            deadline: old.deadline,
            last_diagnostic: old.last_diagnostic,
            remote_queue_id: old.remote_queue_id,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::Serialize;

    use super::evidence::{DecisionV1, EvidenceV1, PlaceV1, RoleV1, ThreadingV1};
    use super::*;
    use crate::desk::Case;
    use crate::store::record;

    /// A record as a store of version 1 has it.
    fn stored(fields: &impl Serialize) -> Vec<u8> {
        postcard::to_extend(fields, vec![1]).unwrap()
    }

    fn anna() -> Correspondent {
        Correspondent {
            address: "anna@customer.example".to_owned(),
            display_name: "Anna".to_owned(),
        }
    }

    fn message() -> MessageV1 {
        let evidence = EvidenceV1 {
            case: MainNumber::new(7).unwrap(),
            id: InternetMessageId::parse("r.x@y").unwrap(),
            place: PlaceV1::References,
            slot: 0,
        };
        MessageV1 {
            id: MessageId::from_bytes([2; 16]),
            case: MainNumber::new(7).unwrap(),
            direction: Direction::Inbound,
            internet_message_id: "1@customer.example".to_owned(),
            sender: anna(),
            envelope_sender: "anna@customer.example".to_owned(),
            recipients: vec!["support@shop.example".to_owned()],
            subject: "My order".to_owned(),
            time: Timestamp::from_millis(1000),
            size: 99,
            trust: Trust::B,
            trust_reason: "signed".to_owned(),
            origin: OriginV1::Threaded(Box::new(ThreadingV1 {
                decision: DecisionV1::Join {
                    evidence,
                    role: RoleV1::ThirdParty,
                    verified: true,
                },
                conflicts: Vec::new(),
            })),
            mta_queue_id: "4ABC".to_owned(),
            agent: None,
            interactions: vec![InteractionId::from_bytes([1; 16])],
        }
    }

    /// Bytes that were written by version 1, not by the code beside this test.
    #[test]
    fn a_case_as_it_lies_on_disks() {
        let hex = "0107084d79206f7264657215616e6e6140637573746f6d65722e6578616d706c6504416e6e6107737570706f7274e807d00f01010301\
                   04616e6e61000003";
        let hex: String = hex.split_whitespace().collect();
        let bytes = data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap();
        let read: Case = record::decode(&bytes).unwrap();
        assert_eq!(read.number, MainNumber::new(7).unwrap());
        assert_eq!(read.last_agent, Some("anna".parse().unwrap()));
        assert_eq!(read.changed, Timestamp::from_millis(2000));
        assert_eq!(read.message_count, 3);
        // It had no time of closing, and nobody beside the customer.
        assert_eq!(read.closed, Some(read.changed));
        assert!(read.correspondents.is_empty() && read.reopenings.is_empty());
    }

    #[test]
    fn a_message_of_version_1_is_read() {
        let read: Message = record::decode(&stored(&message())).unwrap();
        assert_eq!(read.origin, Origin::Arrived);
        assert_eq!(read.interactions, [InteractionId::from_bytes([1; 16])]);
    }
}
