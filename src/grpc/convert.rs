//! Conversion: the desk's records as protobuf messages. Dull on purpose.
//!
//! Here is what concerns mail and who handles it; `floor` has queues, accounts and what supervisors
//! see.

mod files;
mod floor;

use std::time::Duration;

pub(super) use files::{attachment, attachment_name, upload};
pub(super) use floor::{
    agent, agent_activity, agent_figures, alert, api_key, from_address, membership, overview,
    queue, queue_figures, queue_state, queue_stats, reason, service_goal, waiting, weighed,
};

use super::pb;
use crate::desk::{
    AgentState, AssignCause, CancelCause, Case, Correspondent, Direction, Interaction, Message,
    NO_MESSAGE, Offer, OfferState, Outcome, Presence, PresenceCause, Requested, RescindCause, Role,
    SessionView, State, UnassignReason, WrapUpOutcome,
};
use crate::id::{AgentId, InteractionId, MessageId, QueueId};
use crate::mail::letter::{Notice, Protection, View};
use crate::mail::mailbox::Mailbox;
use crate::mail::token::MainNumber;
use crate::mail::trust::Trust;
use crate::outbound::message::{DeliveryState, Outbound};
use crate::time::Timestamp;

// Scalars. Numbers that do not fit stand at the end of their range: none of ours comes near it.

pub(super) fn time(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(time.as_millis() % 1000).unwrap_or_default() * 1_000_000,
    }
}

pub(super) fn duration(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or_default(),
    }
}

pub(super) fn long(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn count(number: impl TryInto<i32>) -> i32 {
    number.try_into().unwrap_or(i32::MAX)
}

/// The etag of what is at this version.
pub(super) fn etag(version: u64) -> String {
    format!("\"{version}\"")
}

// Names.

pub(super) fn message_name(interaction: InteractionId, message: MessageId) -> String {
    format!("interactions/{interaction}/messages/{message}")
}

pub(super) fn case_name(case: MainNumber) -> String {
    format!("cases/{case}")
}

pub(super) fn agent_name(agent: &AgentId) -> String {
    format!("agents/{agent}")
}

pub(super) fn queue_name(queue: &QueueId) -> String {
    format!("queues/{queue}")
}

// Enums.

pub(super) fn requested(requested: &Requested) -> pb::AgentState {
    match requested {
        Requested::SignedOut => pb::AgentState::SignedOut,
        Requested::WorkOffline(_) => pb::AgentState::WorkOffline,
        Requested::Available => pb::AgentState::Available,
    }
}

/// Why the agent is offline; empty in other states.
pub(super) fn reason_code(requested: &Requested) -> String {
    match requested {
        Requested::WorkOffline(reason) => reason.clone(),
        Requested::SignedOut | Requested::Available => String::new(),
    }
}

pub(super) const fn agent_state(state: AgentState) -> pb::AgentState {
    match state {
        AgentState::SignedOut => pb::AgentState::SignedOut,
        AgentState::WorkOffline => pb::AgentState::WorkOffline,
        AgentState::Available => pb::AgentState::Available,
        AgentState::Busy => pb::AgentState::Busy,
        AgentState::WrapUp => pb::AgentState::WrapUp,
    }
}

pub(super) const fn presence_cause(cause: PresenceCause) -> pb::PresenceCause {
    match cause {
        PresenceCause::AgentRequest => pb::PresenceCause::AgentRequest,
        PresenceCause::SupervisorRequest => pb::PresenceCause::SupervisorRequest,
        PresenceCause::Accept => pb::PresenceCause::Accept,
        PresenceCause::WrapUpStart => pb::PresenceCause::WrapUpStart,
        PresenceCause::WrapUpComplete => pb::PresenceCause::WrapUpComplete,
        PresenceCause::WrapUpTimeout => pb::PresenceCause::WrapUpTimeout,
        PresenceCause::OfferRejected => pb::PresenceCause::OfferRejected,
        PresenceCause::OfferMissed => pb::PresenceCause::OfferMissed,
        PresenceCause::Disconnected => pb::PresenceCause::Disconnected,
        PresenceCause::SignIn => pb::PresenceCause::SignIn,
        PresenceCause::SignOut => pb::PresenceCause::SignOut,
        PresenceCause::Pull => pb::PresenceCause::Pull,
        PresenceCause::Resume => pb::PresenceCause::Resume,
        PresenceCause::Compose => pb::PresenceCause::Compose,
    }
}

pub(super) const fn offer_state(state: &OfferState) -> pb::OfferState {
    match state {
        OfferState::Pending => pb::OfferState::Pending,
        OfferState::Shown => pb::OfferState::Shown,
        OfferState::Accepted => pb::OfferState::Accepted,
        OfferState::Rejected(_) => pb::OfferState::Rejected,
        OfferState::Missed => pb::OfferState::Missed,
        OfferState::Undelivered => pb::OfferState::Undelivered,
        OfferState::Rescinded(_) => pb::OfferState::Rescinded,
    }
}

pub(super) const fn rescind_cause(cause: RescindCause) -> pb::OfferRescindCause {
    match cause {
        RescindCause::StreamLost => pb::OfferRescindCause::StreamLost,
        RescindCause::SessionLost => pb::OfferRescindCause::SessionLost,
        RescindCause::StateChanged => pb::OfferRescindCause::StateChanged,
        RescindCause::MembershipEnded => pb::OfferRescindCause::MembershipEnded,
        RescindCause::Restart => pb::OfferRescindCause::Restart,
        RescindCause::Composing => pb::OfferRescindCause::Composing,
        RescindCause::Supervisor => pb::OfferRescindCause::Supervisor,
        RescindCause::QueueClosed => pb::OfferRescindCause::QueueClosed,
    }
}

pub(super) const fn outcome(outcome: Option<Outcome>) -> pb::InteractionOutcome {
    match outcome {
        None => pb::InteractionOutcome::Unspecified,
        Some(Outcome::Replied) => pb::InteractionOutcome::Replied,
        Some(Outcome::Ended) => pb::InteractionOutcome::Ended,
        Some(Outcome::Transferred) => pb::InteractionOutcome::Transferred,
        Some(Outcome::Forwarded) => pb::InteractionOutcome::Forwarded,
        Some(Outcome::Sent) => pb::InteractionOutcome::Sent,
    }
}

pub(super) const fn assign_cause(cause: AssignCause) -> pb::AssignCause {
    match cause {
        AssignCause::Accepted => pb::AssignCause::Accepted,
        AssignCause::Pulled => pb::AssignCause::Pulled,
        AssignCause::Resumed => pb::AssignCause::Resumed,
        AssignCause::Started => pb::AssignCause::Started,
        AssignCause::Returned => pb::AssignCause::Returned,
        AssignCause::Reassigned => pb::AssignCause::Reassigned,
    }
}

pub(super) const fn unassign_reason(reason: UnassignReason) -> pb::UnassignReason {
    match reason {
        UnassignReason::Transferred => pb::UnassignReason::Transferred,
        UnassignReason::Requeued => pb::UnassignReason::Requeued,
        UnassignReason::Cancelled => pb::UnassignReason::Cancelled,
        UnassignReason::Reassigned => pb::UnassignReason::Reassigned,
    }
}

pub(super) const fn wrap_up_outcome(outcome: WrapUpOutcome) -> pb::WrapUpOutcome {
    match outcome {
        WrapUpOutcome::Completed => pb::WrapUpOutcome::Completed,
        WrapUpOutcome::TimedOut => pb::WrapUpOutcome::TimedOut,
        WrapUpOutcome::Cancelled => pb::WrapUpOutcome::Cancelled,
    }
}

pub(super) const fn cancel_cause(cause: CancelCause) -> pb::CancelCause {
    match cause {
        CancelCause::Duplicate => pb::CancelCause::Duplicate,
        CancelCause::Spam => pb::CancelCause::Spam,
        CancelCause::DraftDiscarded => pb::CancelCause::DraftDiscarded,
    }
}

const fn delivery_state(state: DeliveryState) -> pb::DeliveryState {
    match state {
        DeliveryState::Ready => pb::DeliveryState::Ready,
        DeliveryState::HandedOver => pb::DeliveryState::HandedOver,
        DeliveryState::Confirmed => pb::DeliveryState::Confirmed,
        DeliveryState::Deferred => pb::DeliveryState::Deferred,
        DeliveryState::Unconfirmed => pb::DeliveryState::Unconfirmed,
        DeliveryState::Refused => pb::DeliveryState::Refused,
        DeliveryState::Cancelled => pb::DeliveryState::Cancelled,
    }
}

const fn role(role: Role) -> pb::Role {
    match role {
        Role::Agent => pb::Role::Agent,
        Role::Supervisor => pb::Role::Supervisor,
        Role::Admin => pb::Role::Admin,
        Role::Observer => pb::Role::Observer,
    }
}

pub(super) fn roles(roles: &[Role]) -> Vec<i32> {
    roles.iter().map(|found| role(*found).into()).collect()
}

// Records.

fn address(correspondent: &Correspondent) -> pb::EmailAddress {
    pb::EmailAddress {
        address: correspondent.address.clone(),
        display_name: correspondent.display_name.clone(),
    }
}

pub(super) fn session(view: &SessionView) -> pb::Session {
    let state = if view.in_grace {
        pb::SessionState::Grace
    } else {
        pb::SessionState::Live
    };
    pb::Session {
        name: format!("sessions/{}", view.session.id),
        agent: agent_name(&view.session.agent),
        state: state.into(),
        create_time: Some(time(view.session.created)),
        lease_expire_time: Some(time(view.lease_until)),
        lease_duration: Some(duration(view.session.lease)),
        client_info: view.session.client.clone(),
        stream_attached: view.stream_attached,
        acked_sequence: long(view.acked),
    }
}

pub(super) fn presence(presence: &Presence) -> pb::Presence {
    let next = presence.next.as_ref();
    pb::Presence {
        name: format!("agents/{}/presence", presence.agent),
        agent: agent_name(&presence.agent),
        state: agent_state(presence.state).into(),
        requested_state: requested(&presence.requested).into(),
        next_state: next.map_or(pb::AgentState::Unspecified, requested).into(),
        state_time: Some(time(presence.since)),
        cause: presence_cause(presence.cause).into(),
        reason_code: reason_code(&presence.requested),
        pending_offer: (presence.pending_offer)
            .map_or_else(String::new, |offer| format!("offers/{offer}")),
        active_interactions: (presence.interactions.iter())
            .map(|id| format!("interactions/{id}"))
            .collect(),
        parked_interactions: (presence.parked.iter())
            .map(|id| format!("interactions/{id}"))
            .collect(),
    }
}

/// An offer with what it is about. The queue's name for people is the caller's to find.
pub(super) fn offer(
    offer: &Offer,
    interaction: &Interaction,
    queue_display_name: String,
    now: Timestamp,
) -> pb::Offer {
    let cause = match &offer.state {
        OfferState::Rescinded(cause) => rescind_cause(*cause),
        OfferState::Pending
        | OfferState::Shown
        | OfferState::Accepted
        | OfferState::Rejected(_)
        | OfferState::Missed
        | OfferState::Undelivered => pb::OfferRescindCause::Unspecified,
    };
    let reason_code = match &offer.state {
        OfferState::Rejected(reason) => reason.clone(),
        OfferState::Pending
        | OfferState::Shown
        | OfferState::Accepted
        | OfferState::Missed
        | OfferState::Undelivered
        | OfferState::Rescinded(_) => String::new(),
    };
    pb::Offer {
        name: format!("offers/{}", offer.id),
        interaction: format!("interactions/{}", offer.interaction),
        queue: queue_name(&offer.queue),
        queue_display_name,
        agent: agent_name(&offer.agent),
        state: offer_state(&offer.state).into(),
        customer: Some(address(&interaction.customer)),
        subject: interaction.subject.clone(),
        enqueue_time: Some(time(interaction.arrived)),
        waiting_duration: Some(duration(now.since(interaction.arrived))),
        create_time: Some(time(offer.created)),
        expire_time: Some(time(offer.deadline)),
        rescind_cause: cause.into(),
        reason_code,
        sender_trust: sender_trust(interaction.trust).into(),
    }
}

/// What depends on the state of an interaction.
#[derive(Default)]
struct Stand {
    state: pb::InteractionState,
    agent: String,
    accept_time: Option<prost_types::Timestamp>,
    complete_time: Option<prost_types::Timestamp>,
    wrap_up: Option<pb::WrapUp>,
    hold_reason: String,
    park_expire_time: Option<prost_types::Timestamp>,
    cancel_cause: pb::CancelCause,
}

impl Stand {
    fn of(interaction: &Interaction) -> Self {
        let wrap_up = |start, end| pb::WrapUp {
            start_time: start,
            expire_time: end,
            notes: interaction.notes.clone(),
            disposition_code: interaction.disposition.clone(),
            extension_count: count(interaction.extensions),
        };
        match &interaction.state {
            State::Queued => Self {
                state: pb::InteractionState::Queued,
                ..Self::default()
            },
            State::Offered { agent, .. } => Self {
                state: pb::InteractionState::Offered,
                agent: agent_name(agent),
                ..Self::default()
            },
            State::Active { agent, since } => Self {
                state: pb::InteractionState::Active,
                agent: agent_name(agent),
                accept_time: Some(time(*since)),
                ..Self::default()
            },
            State::WrappingUp {
                agent,
                since,
                deadline,
            } => Self {
                state: pb::InteractionState::WrappingUp,
                agent: agent_name(agent),
                wrap_up: Some(wrap_up(Some(time(*since)), deadline.map(time))),
                ..Self::default()
            },
            State::Closed { agent, at } => Self {
                state: pb::InteractionState::Closed,
                agent: agent_name(agent),
                complete_time: Some(time(*at)),
                wrap_up: Some(wrap_up(None, None)),
                ..Self::default()
            },
            State::Held { reason, .. } => Self {
                state: pb::InteractionState::Held,
                hold_reason: reason.words(),
                ..Self::default()
            },
            State::Filed { at } => Self {
                state: pb::InteractionState::Filed,
                complete_time: Some(time(*at)),
                ..Self::default()
            },
            State::Drafting { agent, since } => Self {
                state: pb::InteractionState::Drafting,
                agent: agent_name(agent),
                accept_time: Some(time(*since)),
                ..Self::default()
            },
            State::Parked { agent, until, .. } => Self {
                state: pb::InteractionState::Parked,
                agent: agent_name(agent),
                park_expire_time: Some(time(*until)),
                ..Self::default()
            },
            State::Cancelled { agent, at, cause } => Self {
                state: pb::InteractionState::Cancelled,
                agent: agent.as_ref().map(agent_name).unwrap_or_default(),
                complete_time: Some(time(*at)),
                cancel_cause: cancel_cause(*cause),
                ..Self::default()
            },
        }
    }
}

pub(super) fn interaction(interaction: &Interaction) -> pb::Interaction {
    let stand = Stand::of(interaction);
    pb::Interaction {
        name: format!("interactions/{}", interaction.id),
        state: stand.state.into(),
        outcome: outcome(interaction.outcome).into(),
        queue: queue_name(&interaction.queue),
        agent: stand.agent,
        case: case_name(interaction.case),
        main_number: interaction.case.to_string(),
        subject: interaction.subject.clone(),
        customer: Some(address(&interaction.customer)),
        mailbox: interaction.mailbox.clone(),
        enqueue_time: Some(time(interaction.arrived)),
        accept_time: stand.accept_time,
        complete_time: stand.complete_time,
        priority: interaction.priority,
        message_count: count(interaction.message_count),
        latest_message: Some(interaction.latest_inbound)
            .filter(|latest| *latest != NO_MESSAGE)
            .map_or_else(String::new, |latest| message_name(interaction.id, latest)),
        wrap_up: stand.wrap_up,
        offer_count: count(interaction.offer_count),
        etag: etag(interaction.version),
        update_time: Some(time(interaction.changed)),
        sender_trust: sender_trust(interaction.trust).into(),
        skills: interaction.skills.iter().cloned().collect(),
        hold_reason: stand.hold_reason,
        preferred_agent: (interaction.preferred.as_ref())
            .map(|preferred| agent_name(&preferred.agent))
            .unwrap_or_default(),
        preferred_until_time: (interaction.preferred.as_ref())
            .map(|preferred| time(preferred.until)),
        transfer_count: count(interaction.transfers),
        follows: (interaction.follows).map_or_else(String::new, |id| format!("interactions/{id}")),
        note: interaction.notes.clone(),
        park_expire_time: stand.park_expire_time,
        cancel_cause: stand.cancel_cause.into(),
        direction: direction(interaction.direction).into(),
    }
}

pub(super) const fn sender_trust(trust: Trust) -> pb::SenderTrust {
    match trust {
        Trust::A => pb::SenderTrust::Proven,
        Trust::B => pb::SenderTrust::Likely,
        Trust::C => pb::SenderTrust::Unproven,
        Trust::D => pb::SenderTrust::Doubtful,
    }
}

const fn direction(direction: Direction) -> pb::MessageDirection {
    match direction {
        Direction::Inbound => pb::MessageDirection::Inbound,
        Direction::Outbound => pb::MessageDirection::Outbound,
    }
}

/// A message in the basic view, as a part of this interaction.
pub(super) fn message(
    message: &Message,
    interaction: InteractionId,
    delivery: Option<pb::Delivery>,
) -> pb::Message {
    pb::Message {
        name: message_name(interaction, message.id),
        interaction: format!("interactions/{interaction}"),
        direction: direction(message.direction).into(),
        sender: Some(address(&message.sender)),
        recipients: message.recipients.clone(),
        subject: message.subject.clone(),
        receive_time: Some(time(message.time)),
        internet_message_id: message.internet_message_id.clone(),
        size_bytes: long(message.size),
        delivery,
        sender_trust: sender_trust(message.trust).into(),
        sender_trust_reason: message.trust_reason.clone(),
        ..pb::Message::default()
    }
}

const fn notice(notice: Notice) -> pb::MessageNotice {
    match notice {
        Notice::HeadOnly => pb::MessageNotice::HeadOnly,
        Notice::HeaderCut => pb::MessageNotice::HeaderCut,
        Notice::TooDeep => pb::MessageNotice::TooDeep,
        Notice::TooManyParts => pb::MessageNotice::TooManyParts,
        Notice::TextCut => pb::MessageNotice::TextCut,
        Notice::HtmlCut => pb::MessageNotice::HtmlCut,
        Notice::OddEncoding => pb::MessageNotice::OddEncoding,
    }
}

const fn protection(protection: Protection) -> pb::MessageProtection {
    match protection {
        Protection::SmimeSigned => pb::MessageProtection::SmimeSigned,
        Protection::SmimeOpaque => pb::MessageProtection::SmimeOpaque,
        Protection::SmimeEncrypted => pb::MessageProtection::SmimeEncrypted,
        Protection::PgpSigned => pb::MessageProtection::PgpSigned,
        Protection::PgpEncrypted => pb::MessageProtection::PgpEncrypted,
    }
}

/// Adds what only the bytes of the message say.
pub(super) fn read_into(message: &mut pb::Message, view: View) {
    let addresses = |mailboxes: &[Mailbox]| {
        (mailboxes.iter())
            .map(|mailbox| pb::EmailAddress {
                address: mailbox.address.to_string(),
                display_name: mailbox.name.clone(),
            })
            .collect()
    };
    let letter = view.letter;
    message.to = addresses(&letter.to);
    message.cc = addresses(&letter.cc);
    message.text_body = letter.body.fresh().to_owned();
    message.signature_text = letter.body.signature().to_owned();
    message.trimmed_text = letter.body.quoted().to_owned();
    message.body_truncated = letter.body.truncated;
    message.forwards = letter.body.forwards;
    message.attachments = (letter.attachments.iter())
        .map(|file| attachment(&message.name, file))
        .collect();
    message.attachments_truncated = letter.notices.iter().any(|notice| match notice {
        Notice::HeadOnly | Notice::TooDeep | Notice::TooManyParts => true,
        Notice::HeaderCut | Notice::TextCut | Notice::HtmlCut | Notice::OddEncoding => false,
    });
    message.notices = (letter.notices.iter())
        .map(|found| notice(*found).into())
        .collect();
    message.protections = (letter.protections.iter())
        .map(|found| protection(*found).into())
        .collect();
    message.calendar_event = view.event.map(|event| pb::CalendarEvent {
        method: event.method,
        summary: event.summary,
        organizer: event.organizer,
        location: event.location,
        start: event.start,
        end: event.end,
        time_zone: event.time_zone,
        repeats: event.repeats,
        answer: event.answer,
    });
    if let Some(html) = view.html {
        message.blocked_image_count = count(html.blocked_images);
        message.html_body = html.text;
    }
}

pub(super) fn delivery(outbound: &Outbound) -> pb::Delivery {
    let said = outbound.last_diagnostic.as_ref();
    pb::Delivery {
        state: delivery_state(outbound.state).into(),
        attempt_count: count(outbound.attempts),
        next_attempt_time: outbound.next_attempt.map(time),
        remote_queue_id: outbound.remote_queue_id.clone().unwrap_or_default(),
        enhanced_status_code: said
            .and_then(|said| said.enhanced)
            .map_or_else(String::new, |[class, subject, detail]| {
                format!("{class}.{subject}.{detail}")
            }),
        diagnostic: said.map(ToString::to_string).unwrap_or_default(),
    }
}

pub(super) fn case(case: &Case) -> pb::Case {
    let state = if case.is_open() {
        pb::CaseState::Open
    } else {
        pb::CaseState::Closed
    };
    pb::Case {
        name: case_name(case.number),
        main_number: case.number.to_string(),
        subject: case.subject.clone(),
        state: state.into(),
        customer: Some(address(&case.customer)),
        queue: queue_name(&case.queue),
        agent: case.last_agent.as_ref().map(agent_name).unwrap_or_default(),
        follow_up_of: (case.follow_up_of).map_or_else(String::new, case_name),
        message_count: count(case.message_count),
        create_time: Some(time(case.created)),
        update_time: Some(time(case.changed)),
        merged_into: case.merged_into.map_or_else(String::new, case_name),
    }
}
