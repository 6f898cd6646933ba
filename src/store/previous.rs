//! Stored forms as older versions wrote them, and how they are read today.
//!
//! A form stands here as it was, field by field, and says nothing of what it meant then.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::desk::AgentState;
use crate::desk::{
    Agent, Answer, AssignCause, Case, Correspondent, Direction, Event, Fact, Filing, Interaction,
    Message, Offer, Origin, Outcome, Presence, SessionView, State, WrapUpOutcome,
};
use crate::id::{AgentId, InteractionId, MessageId, QueueId};
use crate::mail::message_id::InternetMessageId;
use crate::mail::token::MainNumber;
use crate::mail::trust::Trust;
use crate::outbound::message::{DeliveryState, Diagnostic, Outbound, OutboundRecipient};
use crate::time::Timestamp;

/// Version 1 of an interaction: it had no skills.
#[derive(Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
pub(super) struct InteractionV1 {
    id: InteractionId,
    queue: QueueId,
    case: MainNumber,
    subject: String,
    customer: Correspondent,
    trust: Trust,
    mailbox: String,
    arrived: Timestamp,
    priority: i32,
    state: State,
    outcome: Option<Outcome>,
    latest_inbound: MessageId,
    message_count: u32,
    offer_count: u32,
    declined: BTreeSet<AgentId>,
    notes: String,
    disposition: String,
    version: u64,
    changed: Timestamp,
}

impl From<InteractionV1> for Interaction {
    fn from(old: InteractionV1) -> Self {
        Self {
            id: old.id,
            queue: old.queue,
            case: old.case,
            subject: old.subject,
            customer: old.customer,
            trust: old.trust,
            mailbox: old.mailbox,
            arrived: old.arrived,
            priority: old.priority,
            state: old.state,
            outcome: old.outcome,
            latest_inbound: old.latest_inbound,
            message_count: old.message_count,
            offer_count: old.offer_count,
            declined: old.declined,
            notes: old.notes,
            disposition: old.disposition,
            version: old.version,
            changed: old.changed,
            skills: BTreeSet::new(),
        }
    }
}

/// Version 1 of a case: it knew its customer only, and could not be merged.
#[derive(Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
pub(super) struct CaseV1 {
    number: MainNumber,
    subject: String,
    customer: Correspondent,
    queue: QueueId,
    created: Timestamp,
    changed: Timestamp,
    generation: u32,
    follow_up_of: Option<MainNumber>,
    last_agent: Option<AgentId>,
    joinable: BTreeMap<QueueId, InteractionId>,
    unfinished: u32,
    message_count: u32,
}

impl From<CaseV1> for Case {
    fn from(old: CaseV1) -> Self {
        Self {
            number: old.number,
            subject: old.subject,
            customer: old.customer,
            queue: old.queue,
            created: old.created,
            changed: old.changed,
            generation: old.generation,
            follow_up_of: old.follow_up_of,
            last_agent: old.last_agent,
            joinable: old.joinable,
            unfinished: old.unfinished,
            message_count: old.message_count,
            correspondents: Vec::new(),
            copied: BTreeSet::new(),
            merged_into: None,
            closed: (old.unfinished == 0).then_some(old.changed),
            reopenings: Vec::new(),
        }
    }
}

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

/// Version 1 of what a request was answered.
#[derive(Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
pub(super) struct AnsweredV1 {
    digest: [u8; 32],
    answer: AnswerV1,
}

#[derive(Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
enum AnswerV1 {
    Done,
    Filed(Vec<Filing>),
    Agent(Box<Agent>),
    Session(Box<SessionView>, u64),
    Presence {
        presence: Presence,
        deferred: bool,
        sequence: u64,
    },
    Offer {
        offer: Offer,
        interaction: Box<InteractionV1>,
        presence: Presence,
        sequence: u64,
    },
    Interaction {
        interaction: Box<InteractionV1>,
        presence: Presence,
        message: Option<MessageId>,
        sequence: u64,
    },
    Outbound(Box<OutboundV1>),
}

impl From<AnsweredV1> for super::record::Answered {
    fn from(old: AnsweredV1) -> Self {
        Self {
            digest: old.digest,
            answer: match old.answer {
                AnswerV1::Done => Answer::Done,
                AnswerV1::Filed(filings) => Answer::Filed(filings),
                AnswerV1::Agent(agent) => Answer::Agent(agent),
                AnswerV1::Session(session, sequence) => Answer::Session(session, sequence),
                AnswerV1::Presence {
                    presence,
                    deferred,
                    sequence,
                } => Answer::Presence {
                    presence,
                    deferred,
                    sequence,
                },
                AnswerV1::Offer {
                    offer,
                    interaction,
                    presence,
                    sequence,
                } => Answer::Offer {
                    offer,
                    interaction: renewed(interaction),
                    presence,
                    sequence,
                },
                AnswerV1::Interaction {
                    interaction,
                    presence,
                    message,
                    sequence,
                } => Answer::Interaction {
                    interaction: renewed(interaction),
                    presence,
                    message,
                    sequence,
                },
                AnswerV1::Outbound(outbound) => Answer::Outbound(renewed(outbound)),
            },
        }
    }
}

/// Version 1 of an entry of an agent's event log.
#[derive(Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
pub(super) struct EventV1 {
    revision: u64,
    time: Timestamp,
    agent: Option<(AgentId, u64)>,
    fact: FactV1,
}

#[derive(Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
enum FactV1 {
    InteractionQueued(Box<InteractionV1>),
    PresenceChanged {
        presence: Presence,
        previous: AgentState,
    },
    OfferCreated {
        offer: Offer,
        interaction: Box<InteractionV1>,
    },
    OfferResolved {
        offer: Offer,
        interaction: Box<InteractionV1>,
    },
    InteractionAssigned {
        interaction: Box<InteractionV1>,
        cause: AssignCause,
    },
    InteractionUpdated(Box<InteractionV1>),
    MessageReceived {
        interaction: Box<InteractionV1>,
        message: Box<MessageV1>,
    },
    DeliveryUpdated(Box<OutboundV1>),
    WrapUpStarted(Box<InteractionV1>),
    WrapUpEnded {
        interaction: Box<InteractionV1>,
        outcome: WrapUpOutcome,
    },
    InteractionClosed(Box<InteractionV1>),
    MembershipChanged {
        queue: QueueId,
        removed: bool,
    },
}

impl From<EventV1> for Event {
    fn from(old: EventV1) -> Self {
        Self {
            revision: old.revision,
            time: old.time,
            agent: old.agent,
            fact: match old.fact {
                FactV1::InteractionQueued(found) => Fact::InteractionQueued(renewed(found)),
                FactV1::PresenceChanged { presence, previous } => {
                    Fact::PresenceChanged { presence, previous }
                }
                FactV1::OfferCreated { offer, interaction } => Fact::OfferCreated {
                    offer,
                    interaction: renewed(interaction),
                },
                FactV1::OfferResolved { offer, interaction } => Fact::OfferResolved {
                    offer,
                    interaction: renewed(interaction),
                },
                FactV1::InteractionAssigned { interaction, cause } => Fact::InteractionAssigned {
                    interaction: renewed(interaction),
                    cause,
                },
                FactV1::InteractionUpdated(found) => Fact::InteractionUpdated(renewed(found)),
                FactV1::MessageReceived {
                    interaction,
                    message,
                } => Fact::MessageReceived {
                    interaction: renewed(interaction),
                    message: renewed(message),
                },
                FactV1::DeliveryUpdated(outbound) => Fact::DeliveryUpdated(renewed(outbound)),
                FactV1::WrapUpStarted(found) => Fact::WrapUpStarted(renewed(found)),
                FactV1::WrapUpEnded {
                    interaction,
                    outcome,
                } => Fact::WrapUpEnded {
                    interaction: renewed(interaction),
                    outcome,
                },
                FactV1::InteractionClosed(found) => Fact::InteractionClosed(renewed(found)),
                FactV1::MembershipChanged { queue, removed } => {
                    Fact::MembershipChanged { queue, removed }
                }
            },
        }
    }
}

#[expect(
    clippy::boxed_local,
    reason = "events and answers hold their records in boxes"
)]
fn renewed<Old, New: From<Old>>(old: Box<Old>) -> Box<New> {
    Box::new(New::from(*old))
}

#[cfg(test)]
mod tests {
    use serde::Serialize;

    use super::evidence::{DecisionV1, EvidenceV1, PlaceV1, RoleV1, ThreadingV1};
    use super::*;
    use crate::store::record::{self, Answered, Stored};

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

    fn interaction() -> InteractionV1 {
        InteractionV1 {
            id: InteractionId::from_bytes([1; 16]),
            queue: "support".parse().unwrap(),
            case: MainNumber::new(7).unwrap(),
            subject: "My order".to_owned(),
            customer: anna(),
            trust: Trust::B,
            mailbox: "support@shop.example".to_owned(),
            arrived: Timestamp::from_millis(1000),
            priority: -1,
            state: State::Queued,
            outcome: Some(Outcome::Ended),
            latest_inbound: MessageId::from_bytes([2; 16]),
            message_count: 3,
            offer_count: 4,
            declined: BTreeSet::from(["bert".parse().unwrap()]),
            notes: "called back".to_owned(),
            disposition: "sold".to_owned(),
            version: 5,
            changed: Timestamp::from_millis(2000),
        }
    }

    fn case(unfinished: u32) -> CaseV1 {
        CaseV1 {
            number: MainNumber::new(7).unwrap(),
            subject: "My order".to_owned(),
            customer: anna(),
            queue: "support".parse().unwrap(),
            created: Timestamp::from_millis(1000),
            changed: Timestamp::from_millis(2000),
            generation: 1,
            follow_up_of: MainNumber::new(3),
            last_agent: Some("anna".parse().unwrap()),
            joinable: BTreeMap::new(),
            unfinished,
            message_count: 3,
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
        assert_eq!(bytes, stored(&case(0)));
        let read: Case = record::decode(&bytes).unwrap();
        assert_eq!(read.closed, Some(read.changed));
    }

    #[test]
    fn every_record_of_version_1_is_read() {
        let found: Interaction = record::decode(&stored(&interaction())).unwrap();
        assert_eq!((found.priority, found.version), (-1, 5));
        assert_eq!(found.changed, Timestamp::from_millis(2000));
        assert!(found.skills.is_empty());
        assert_eq!(
            record::decode::<Interaction>(&record::encode(&found)),
            Ok(found.clone())
        );

        let open: Case = record::decode(&stored(&case(1))).unwrap();
        assert_eq!((open.closed, open.message_count), (None, 3));

        let read: Message = record::decode(&stored(&message())).unwrap();
        assert_eq!(read.origin, Origin::Arrived);
        assert_eq!(read.interactions, [found.id]);

        let event = EventV1 {
            revision: 9,
            time: Timestamp::from_millis(3000),
            agent: Some(("anna".parse().unwrap(), 4)),
            fact: FactV1::MessageReceived {
                interaction: Box::new(interaction()),
                message: Box::new(message()),
            },
        };
        let event: Event = record::decode(&stored(&event)).unwrap();
        let fact = Fact::MessageReceived {
            interaction: Box::new(found),
            message: Box::new(read),
        };
        assert_eq!((event.revision, event.fact), (9, fact));

        let answered = AnsweredV1 {
            digest: [3; 32],
            answer: AnswerV1::Filed(Vec::new()),
        };
        let answered: Answered = record::decode(&stored(&answered)).unwrap();
        assert_eq!(answered.answer, Answer::Filed(Vec::new()));
        assert!(Answered::migrate(3, &[]).is_none());
    }
}
