//! Explaining on the wire: who could be offered an interaction, and what stands in the way.

use std::ops::Bound;

use tonic::{Response, Status};

use super::access::Principal;
use super::form::Form;
use super::page::{self, Page};
use super::{Shared, convert, errors, pb};
use crate::desk::Hindrance;
use crate::id::{AgentId, InteractionId};

/// Explains an interaction for one agent, or for those who serve its queue.
pub(super) async fn interaction(
    shared: &Shared,
    caller: &Principal,
    asked: pb::ExplainInteractionRequest,
) -> Result<Response<pb::ExplainInteractionResponse>, Status> {
    let mut form = Form::new();
    let name = form.name::<InteractionId>("name", &asked.name, "interactions");
    let agent = form.maybe_name::<AgentId>("agent", &asked.agent, "agents");
    let (size, token) = (asked.page_size, asked.page_token.as_str());
    let list = "ExplainInteraction";
    let page = Page::read(&mut form, caller, list, &asked.name, size, token)?;
    let (id, one) = form.done((name, agent))?;
    let after = page.after(page::text::<AgentId>)?;
    let (size, only) = (page.size, one.clone());
    let explained = (shared.handle)
        .look(move |desk, now| {
            let found = desk.interactions().get(&id)?;
            let begin = after.map_or(Bound::Unbounded, Bound::Excluded);
            let agents: Vec<_> = (desk.agents().range((begin, Bound::Unbounded)))
                .filter(|(agent, account)| match &only {
                    Some(only) => *agent == only,
                    None => account.queues.contains(&found.queue),
                })
                .filter_map(|(agent, _)| Some((agent.clone(), desk.explain(now, id, agent)?)))
                .take(size + 1)
                .collect();
            let known = (only.as_ref()).is_none_or(|only| desk.agents().contains_key(only));
            Some((agents, desk.place(id), known))
        })
        .await
        .map_err(errors::engine)?;
    let (mut agents, place, known) = explained.ok_or_else(|| errors::not_found(asked.name))?;
    if let (Some(one), false) = (one, known) {
        return Err(errors::not_found(convert::agent_name(&one)));
    }
    let next_page_token = page.cut(&mut agents, |(id, _)| id.as_str().as_bytes().to_vec());
    let (position, priority) = place.unwrap_or_default();
    Ok(Response::new(pb::ExplainInteractionResponse {
        position: i32::try_from(position).unwrap_or(i32::MAX),
        effective_priority: priority,
        agents: (agents.into_iter())
            .map(|(agent, hindrances)| pb::ConsideredAgent {
                agent: convert::agent_name(&agent),
                exclusions: hindrances.iter().map(exclusion).collect(),
            })
            .collect(),
        next_page_token,
    }))
}

fn exclusion(hindrance: &Hindrance) -> pb::Exclusion {
    use pb::ExclusionReason as R;
    let (reason, until) = match hindrance {
        Hindrance::NotWaiting(_) => (R::NotWaiting, None),
        Hindrance::OfferedTo(_) => (R::OfferedToAnother, None),
        Hindrance::QueueClosed => (R::QueueClosed, None),
        Hindrance::KeptFor(_, until) => (R::KeptForAnother, Some(*until)),
        Hindrance::NotMember => (R::NotMember, None),
        Hindrance::Declined => (R::Declined, None),
        Hindrance::Lacks { .. } => (R::SkillMissing, None),
        Hindrance::SignedOut => (R::SignedOut, None),
        Hindrance::WorkOffline(_) => (R::WorkOffline, None),
        Hindrance::ClientMissing => (R::ClientMissing, None),
        Hindrance::Writing => (R::Writing, None),
        Hindrance::WrappingUp => (R::WrappingUp, None),
        Hindrance::AtCapacity { .. } => (R::AtCapacity, None),
        Hindrance::CoolingDown(until) => (R::CoolingDown, Some(*until)),
    };
    pb::Exclusion {
        reason: reason.into(),
        text: hindrance.to_string(),
        until_time: until.map(convert::time),
    }
}
