//! Events as clients are told them: the payloads of both streams, and why a stream ended.

use super::convert::{
    agent, agent_name, agent_state, alert, assign_cause, case_name, delivery, interaction, long,
    membership, message, message_name, offer, presence, queue_name, queue_state, reason_code,
    requested, service_goal, time, unassign_reason, wrap_up_outcome,
};
use super::pb;
use crate::desk::{Actor, EndCause, Event, Fact, Interaction, Offer};
use crate::id::QueueId;

/// The queue whose name for people an event shows, if it shows one.
pub(super) fn queue_shown(event: &Event) -> Option<&QueueId> {
    match &event.fact {
        Fact::OfferCreated { offer, .. } | Fact::OfferResolved { offer, .. } => Some(&offer.queue),
        Fact::InteractionQueued(_)
        | Fact::PresenceChanged { .. }
        | Fact::InteractionAssigned { .. }
        | Fact::InteractionUpdated(_)
        | Fact::MessageReceived { .. }
        | Fact::DeliveryUpdated(_)
        | Fact::WrapUpStarted(_)
        | Fact::WrapUpEnded { .. }
        | Fact::InteractionClosed(_)
        | Fact::MembershipChanged { .. }
        | Fact::InteractionHeld(_)
        | Fact::InteractionFiled(_)
        | Fact::InteractionUnassigned { .. }
        | Fact::AgentUpdated(_)
        | Fact::AlertRaised(_)
        | Fact::AlertCleared(_)
        | Fact::InteractionOverflowed { .. }
        | Fact::TargetNear { .. }
        | Fact::QueueChanged { .. } => None,
        Fact::PresenceForced { .. }
        | Fact::NoticePosted { .. }
        | Fact::NoteAdded { .. }
        | Fact::CasesMerged { .. } => None,
    }
}

/// An event of the desk. Times of waiting are those of the event, so that a replay says what the
/// first telling said.
pub(super) fn desk_event(event: &Event, queue_display_name: String) -> pb::DeskEvent {
    pb::DeskEvent {
        revision: long(event.revision),
        event_time: Some(time(event.time)),
        agent: event
            .agent
            .as_ref()
            .map(|(agent, _)| agent_name(agent))
            .unwrap_or_default(),
        actor: Some(actor(&event.actor)),
        payload: payload(event, queue_display_name),
    }
}

pub(super) fn actor(actor: &Actor) -> pb::Actor {
    let (kind, subject) = match actor {
        Actor::System => (pb::ActorKind::System, String::new()),
        Actor::Agent(agent) => (pb::ActorKind::Agent, agent_name(agent)),
        Actor::Supervisor(subject) => (pb::ActorKind::Supervisor, subject.clone()),
        Actor::Administrator(subject) => (pb::ActorKind::Administrator, subject.clone()),
    };
    pb::Actor {
        kind: kind.into(),
        subject,
    }
}

fn payload(event: &Event, queue_display_name: String) -> Option<pb::desk_event::Payload> {
    use pb::desk_event::Payload as P;
    let offered = |made: &Offer, found: &Interaction| {
        Some(offer(made, found, queue_display_name.clone(), event.time))
    };
    let whole = |found: &Interaction| Some(interaction(found));
    Some(match &event.fact {
        Fact::InteractionQueued(found) => P::InteractionQueued(pb::InteractionQueued {
            interaction: whole(found),
        }),
        Fact::PresenceChanged {
            presence: shown,
            previous,
        } => P::PresenceChanged(pb::PresenceChanged {
            presence: Some(presence(shown)),
            previous_state: agent_state(*previous).into(),
        }),
        Fact::OfferCreated { offer, interaction } => P::OfferCreated(pb::OfferCreated {
            offer: offered(offer, interaction),
        }),
        Fact::OfferResolved { offer, interaction } => P::OfferResolved(pb::OfferResolved {
            offer: offered(offer, interaction),
        }),
        Fact::InteractionAssigned { interaction, cause } => {
            P::InteractionAssigned(pb::InteractionAssigned {
                interaction: whole(interaction),
                cause: assign_cause(*cause).into(),
            })
        }
        Fact::InteractionUpdated(found) => P::InteractionUpdated(pb::InteractionUpdated {
            interaction: whole(found),
        }),
        Fact::MessageReceived {
            interaction,
            message: received,
        } => P::MessageReceived(pb::MessageReceived {
            interaction: whole(interaction),
            message: Some(message(received, interaction.id, None)),
        }),
        Fact::DeliveryUpdated(outbound) => P::DeliveryUpdated(pb::DeliveryUpdated {
            message: message_name(outbound.interaction, outbound.id),
            delivery: Some(delivery(outbound)),
        }),
        Fact::WrapUpStarted(found) => P::WrapUpStarted(pb::WrapUpStarted {
            interaction: whole(found),
        }),
        Fact::WrapUpEnded {
            interaction,
            outcome,
        } => P::WrapUpEnded(pb::WrapUpEnded {
            interaction: whole(interaction),
            outcome: wrap_up_outcome(*outcome).into(),
        }),
        Fact::InteractionClosed(found) => P::InteractionClosed(pb::InteractionClosed {
            interaction: whole(found),
        }),
        Fact::MembershipChanged { queue, removed } => {
            let (agent, _) = event.agent.as_ref()?;
            P::MembershipChanged(pb::MembershipChanged {
                membership: Some(membership(queue, agent)),
                removed: *removed,
            })
        }
        Fact::InteractionHeld(found) => P::InteractionHeld(pb::InteractionHeld {
            interaction: whole(found),
        }),
        Fact::InteractionFiled(found) => P::InteractionFiled(pb::InteractionFiled {
            interaction: whole(found),
        }),
        Fact::InteractionUnassigned {
            interaction,
            reason,
        } => P::InteractionUnassigned(pb::InteractionUnassigned {
            interaction: whole(interaction),
            reason: unassign_reason(*reason).into(),
        }),
        Fact::AgentUpdated(changed) => P::AgentUpdated(pb::AgentUpdated {
            agent: Some(agent(changed)),
        }),
        Fact::InteractionOverflowed { interaction, from } => {
            P::InteractionOverflowed(pb::InteractionOverflowed {
                interaction: whole(interaction),
                from_queue: queue_name(from),
            })
        }
        Fact::TargetNear {
            interaction,
            goal,
            due,
            missed,
        } => P::TargetNear(pb::TargetNear {
            interaction: whole(interaction),
            goal: service_goal(*goal).into(),
            due_time: Some(time(*due)),
            missed: *missed,
        }),
        Fact::QueueChanged { queue, opening } => P::QueueChanged(pb::QueueChanged {
            queue: queue_name(queue),
            state: queue_state(*opening).into(),
        }),
        Fact::PresenceForced {
            state,
            deferred,
            note,
        } => P::PresenceForced(pb::PresenceForced {
            state: requested(state).into(),
            reason_code: reason_code(state),
            deferred: *deferred,
            note: note.clone(),
        }),
        Fact::AlertRaised(raised) => P::AlertRaised(pb::AlertRaised {
            alert: Some(alert(raised)),
        }),
        Fact::AlertCleared(cleared) => P::AlertCleared(pb::AlertCleared {
            alert: Some(alert(cleared)),
        }),
        Fact::NoteAdded { case, text } => P::NoteAdded(pb::NoteAdded {
            case: case_name(*case),
            text: text.clone(),
        }),
        Fact::CasesMerged { case, into } => P::CasesMerged(pb::CasesMerged {
            case: case_name(*case),
            into: case_name(*into),
        }),
        Fact::NoticePosted { text } => P::NoticePosted(pb::NoticePosted { text: text.clone() }),
    })
}

/// An entry of an agent's log.
pub(super) fn session_event(event: &Event, queue_display_name: String) -> pb::SessionEvent {
    use pb::desk_event::Payload as D;
    use pb::session_event::Payload as S;
    let payload = payload(event, queue_display_name).and_then(|payload| {
        Some(match payload {
            D::PresenceChanged(found) => S::PresenceChanged(found),
            D::OfferCreated(found) => S::OfferCreated(found),
            D::OfferResolved(found) => S::OfferResolved(found),
            D::InteractionAssigned(found) => S::InteractionAssigned(found),
            D::InteractionUpdated(found) => S::InteractionUpdated(found),
            D::MessageReceived(found) => S::MessageReceived(found),
            D::DeliveryUpdated(found) => S::DeliveryUpdated(found),
            D::WrapUpStarted(found) => S::WrapUpStarted(found),
            D::WrapUpEnded(found) => S::WrapUpEnded(found),
            D::InteractionClosed(found) => S::InteractionClosed(found),
            D::MembershipChanged(found) => S::MembershipChanged(found),
            D::InteractionUnassigned(found) => S::InteractionUnassigned(found),
            D::AgentUpdated(found) => S::AgentUpdated(found),
            D::PresenceForced(found) => S::PresenceForced(found),
            D::NoticePosted(found) => S::NoticePosted(found),
            // These concern no one agent, so they are in nobody's log.
            D::InteractionQueued(_)
            | D::InteractionHeld(_)
            | D::InteractionFiled(_)
            | D::AlertRaised(_)
            | D::AlertCleared(_)
            | D::InteractionOverflowed(_)
            | D::TargetNear(_)
            | D::QueueChanged(_)
            | D::NoteAdded(_)
            | D::CasesMerged(_) => return None,
        })
    });
    pb::SessionEvent {
        sequence: event
            .agent
            .as_ref()
            .map_or(0, |(_, sequence)| long(*sequence)),
        event_time: Some(time(event.time)),
        actor: Some(actor(&event.actor)),
        payload,
    }
}

/// Why a stream ended, and what the client does next.
pub(super) const fn end_cause(cause: EndCause) -> (pb::ClosingReason, pb::ReconnectAction) {
    use pb::{ClosingReason as C, ReconnectAction as A};
    match cause {
        EndCause::Superseded => (C::Superseded, A::Stop),
        EndCause::TakenOver => (C::TakenOver, A::Stop),
        EndCause::SignedOut => (C::SignedOut, A::Stop),
        EndCause::LeaseExpired => (C::LeaseExpired, A::Reopen),
        EndCause::Barred => (C::AccountClosed, A::Stop),
        EndCause::ClosedByOthers => (C::ClosedBySupervisor, A::Stop),
    }
}
