//! Conversion of queues and accounts, and of what supervisors see of both.

use std::collections::BTreeSet;

use super::{
    address, agent_name, count, duration, long, message_name, presence, queue_name, roles, time,
};
use crate::desk::{
    Agent, AgentState, Alert, CodePolicy, Concern, Goal, Interaction, Mailbox, Opening, Place,
    Presence, Queue, ReasonKind,
};
use crate::engine::keys::ApiKey;
use crate::engine::{Overview, QueueStats};
use crate::grpc::pb;
use crate::id::{AgentId, QueueId};
use crate::time::Timestamp;

pub(in crate::grpc) const fn service_goal(goal: Goal) -> pb::ServiceGoal {
    match goal {
        Goal::Accept => pb::ServiceGoal::Accept,
        Goal::Answer => pb::ServiceGoal::Answer,
        Goal::Close => pb::ServiceGoal::Close,
    }
}

pub(in crate::grpc) const fn queue_state(opening: Opening) -> pb::QueueState {
    match opening {
        Opening::Open => pb::QueueState::Open,
        Opening::Closed => pb::QueueState::Closed,
        Opening::Paused => pb::QueueState::Paused,
    }
}

pub(in crate::grpc) fn queue(queue: &Queue) -> pb::Queue {
    let settings = &queue.settings;
    pb::Queue {
        name: queue_name(&settings.id),
        display_name: settings.display_name.clone(),
        offer_timeout: Some(duration(settings.offer_timeout)),
        post_processing_enabled: settings.post_processing.is_some(),
        post_processing_timeout: settings.post_processing.map(duration),
        default_from_address: (settings.mailboxes.first())
            .map_or_else(String::new, |mailbox| mailbox.address.clone()),
        waiting_count: count(queue.waiting_count()),
        state: queue_state(queue.opening()).into(),
        time_zone: (settings.hours.as_ref())
            .map_or_else(String::new, |hours| hours.zone().name().to_owned()),
        next_change_time: queue.next_change().map(time),
        pause_time: queue.pause().map(|pause| time(pause.since)),
        overflow_queue: (settings.overflow.as_ref())
            .map_or_else(String::new, |overflow| queue_name(&overflow.to)),
        overflow_delay: (settings.overflow.as_ref()).map(|overflow| duration(overflow.after)),
        pause_reason: (queue.pause()).map_or_else(String::new, |pause| pause.reason.clone()),
        transfer_allowed: settings.accepts_transfers,
        pull_allowed: settings.pull,
        disposition_required: settings.codes != CodePolicy::Optional,
        max_wrap_up_extensions: count(settings.extensions_max),
        reject_allowed: settings.may_reject,
    }
}

pub(in crate::grpc) fn reason(kind: ReasonKind, code: &str, label: &str) -> pb::Reason {
    let kind = match kind {
        ReasonKind::Offline => pb::ReasonKind::Offline,
        ReasonKind::Reject => pb::ReasonKind::Reject,
        ReasonKind::WrapUp => pb::ReasonKind::WrapUp,
    };
    pb::Reason {
        code: code.to_owned(),
        kind: kind.into(),
        display_name: label.to_owned(),
    }
}

pub(in crate::grpc) fn from_address(
    queue: &QueueId,
    place: usize,
    (mailbox, agents): (Mailbox, BTreeSet<AgentId>),
) -> pb::FromAddress {
    pb::FromAddress {
        address: mailbox.address,
        display_name: mailbox.display_name,
        queue: queue_name(queue),
        default_for_queue: place == 0,
        agents: agents.iter().map(agent_name).collect(),
    }
}

/// A membership as agents are told of it.
pub(in crate::grpc) fn membership(queue: &QueueId, agent: &AgentId) -> pb::Membership {
    pb::Membership {
        name: format!("queues/{queue}/members/{agent}"),
        queue: queue_name(queue),
        agent: agent_name(agent),
        weight: 0,
    }
}

/// A membership with its weight.
pub(in crate::grpc) fn weighed(queue: &QueueId, agent: &Agent) -> pb::Membership {
    pb::Membership {
        weight: agent.weight(queue).into(),
        ..membership(queue, &agent.id)
    }
}

pub(in crate::grpc) fn agent(agent: &Agent) -> pb::Agent {
    pb::Agent {
        name: agent_name(&agent.id),
        display_name: agent.display_name.clone(),
        supervisor: agent.supervisor,
        queues: agent.queues.iter().map(queue_name).collect(),
        capacity: count(agent.capacity),
        password_set: agent.password.is_some(),
        create_time: Some(time(agent.created)),
        disabled: agent.disabled,
        skills: (agent.skills.iter())
            .map(|(name, level)| pb::Skill {
                name: name.clone(),
                level: i32::from(*level),
            })
            .collect(),
    }
}

pub(in crate::grpc) fn api_key(key: &ApiKey) -> pb::ApiKey {
    pb::ApiKey {
        name: format!("apiKeys/{}", key.id),
        display_name: key.display_name.clone(),
        roles: roles(&key.roles),
        agent: key.agent.as_ref().map(agent_name).unwrap_or_default(),
        create_time: Some(time(key.created)),
        expire_time: key.expires.map(time),
        revoke_time: key.revoked.map(time),
    }
}

pub(in crate::grpc) fn queue_stats(stats: &QueueStats, overview: &Overview) -> pb::QueueStats {
    let now = overview.time;
    let members = |counts: &dyn Fn(&Presence) -> bool| {
        (overview.agents.iter())
            .filter(|(agent, shown)| agent.queues.contains(&stats.queue) && counts(shown))
            .count()
    };
    pb::QueueStats {
        queue: queue_name(&stats.queue),
        display_name: stats.display_name.clone(),
        waiting_count: count(stats.waiting),
        offered_count: count(stats.offered),
        active_count: count(stats.active),
        wrapping_up_count: count(stats.wrapping_up),
        oldest_enqueue_time: stats.oldest.map(time),
        oldest_wait_duration: stats.oldest.map(|oldest| duration(now.since(oldest))),
        available_agent_count: count(members(&|shown| shown.state == AgentState::Available)),
        staffed_agent_count: count(members(&|shown| shown.state != AgentState::SignedOut)),
        held_count: count(stats.held),
    }
}

pub(in crate::grpc) fn agent_activity(agent: &Agent, shown: &Presence) -> pb::AgentActivity {
    pb::AgentActivity {
        agent: agent_name(&agent.id),
        display_name: agent.display_name.clone(),
        presence: Some(presence(shown)),
        queues: agent.queues.iter().map(queue_name).collect(),
        capacity: count(agent.capacity),
    }
}

pub(in crate::grpc) fn alert(alert: &Alert) -> pb::Alert {
    let interaction = alert.interaction;
    let (kind, message) = match &alert.concern {
        Concern::QueueFull(_) => (pb::AlertKind::QueueFull, None),
        Concern::EverybodyDeclined(_) => (pb::AlertKind::EverybodyDeclined, None),
        Concern::WorkAbandoned(_) => (pb::AlertKind::WorkAbandoned, None),
        Concern::DeliveryUnconfirmed(message) => {
            (pb::AlertKind::DeliveryUnconfirmed, Some(*message))
        }
        Concern::DeliveryRefused(message) => (pb::AlertKind::DeliveryRefused, Some(*message)),
        Concern::DeliveryReturned(message) => (pb::AlertKind::DeliveryReturned, Some(*message)),
    };
    pb::Alert {
        name: format!("alerts/{}", alert.concern),
        kind: kind.into(),
        raise_time: Some(time(alert.since)),
        queue: alert.queue.as_ref().map(queue_name).unwrap_or_default(),
        interaction: interaction.map_or_else(String::new, |id| format!("interactions/{id}")),
        agent: alert.agent.as_ref().map(agent_name).unwrap_or_default(),
        message: (interaction.zip(message)).map_or_else(String::new, |(interaction, message)| {
            message_name(interaction, message)
        }),
    }
}

pub(in crate::grpc) fn overview(overview: &Overview) -> pb::Overview {
    pb::Overview {
        queues: (overview.queues.iter())
            .map(|stats| queue_stats(stats, overview))
            .collect(),
        agents: (overview.agents.iter())
            .map(|(agent, shown)| agent_activity(agent, shown))
            .collect(),
        revision: long(overview.revision),
        sample_time: Some(time(overview.time)),
        alerts: overview.alerts.iter().map(alert).collect(),
    }
}

pub(in crate::grpc) fn waiting(
    found: &Interaction,
    place: Place,
    now: Timestamp,
) -> pb::WaitingInteraction {
    pb::WaitingInteraction {
        interaction: format!("interactions/{}", found.id),
        subject: found.subject.clone(),
        customer: Some(address(&found.customer)),
        enqueue_time: Some(time(found.arrived)),
        waiting_duration: Some(duration(now.since(found.arrived))),
        priority: found.priority,
        offer_count: count(found.offer_count),
        effective_priority: place.0.0,
    }
}
