//! `TreatInteractions`: one act of a supervisor's on many interactions, and its rehearsal.

use std::collections::BTreeSet;

use tonic::{Response, Status};

use super::access::Principal;
use super::form::Form;
use super::pb::treat_interactions_request::Act;
use super::{Shared, convert, errors, pb, respond};
use crate::desk::{
    Answer, BULK_MAX, Bulk, BulkAct, Command, NOTE_BYTES_MAX, Obstacle, PRIORITY_MAX, Phase,
    Selection, Treated,
};
use crate::mail::address::{Address, normal_domain};

pub(super) async fn treat(
    shared: &Shared,
    caller: &Principal,
    mut asked: pb::TreatInteractionsRequest,
) -> Result<Response<pb::TreatInteractionsResponse>, Status> {
    let id = std::mem::take(&mut asked.request_id);
    let rehearsal = asked.validate_only;
    let mut form = Form::new();
    let key = form.request(&caller.subject, "TreatInteractions", id, &asked);
    let selection = match asked.selection {
        Some(selection) => read_selection(&mut form, caller, selection),
        None => {
            form.wrong("selection", "is required");
            None
        }
    };
    let act = read_act(&mut form, asked.act);
    let note = form.text("note", asked.note, NOTE_BYTES_MAX);
    let (key, selection, act, note) = form.done((key, selection, act, note))?;
    let bulk = Bulk {
        selection,
        act,
        note,
    };
    if rehearsal {
        let rehearsed = (shared.handle)
            .look(move |desk, _| desk.rehearse(&bulk))
            .await
            .map_err(errors::engine)?;
        let (treated, more) = rehearsed.map_err(errors::refused)?;
        return Ok(respond(written(&treated, more), false));
    }
    let command = Command::Bulk(Box::new(bulk));
    let done = shared.handle.command_by(caller.actor(), command, key).await;
    let done = done.map_err(errors::engine)?;
    let Answer::Treated(treated, more) = done.answer else {
        return Err(errors::internal(
            "TreatInteractions was not answered by what became of them",
        ));
    };
    Ok(respond(written(&treated, more), done.replayed))
}

fn read_selection(
    form: &mut Form,
    caller: &Principal,
    asked: pb::InteractionSelection,
) -> Option<Selection> {
    let named = form.names(
        "selection.interactions",
        &asked.interactions,
        "interactions",
        BULK_MAX,
    );
    let queue = form.maybe_name("selection.queue", &asked.queue, "queues");
    let agent = if asked.agent.is_empty() {
        Some(None)
    } else {
        form.agent("selection.agent", &asked.agent, caller)
            .map(Some)
    };
    let phases = read_phases(form, &asked.states);
    let sender = read_sender(form, &asked.sender);
    let from = form.maybe_time("selection.from_time", asked.from_time);
    let until = form.maybe_time("selection.until_time", asked.until_time);
    Some(Selection {
        named: named?,
        queue: queue?,
        phases: phases?,
        agent: agent?,
        sender: sender?,
        from: from?,
        until: until?,
    })
}

fn read_phases(form: &mut Form, states: &[i32]) -> Option<BTreeSet<Phase>> {
    let phases = states.iter().map(|state| {
        Some(match pb::InteractionState::try_from(*state).ok()? {
            pb::InteractionState::Held => Phase::Held,
            pb::InteractionState::Queued => Phase::Queued,
            pb::InteractionState::Offered => Phase::Offered,
            pb::InteractionState::Active => Phase::Active,
            pb::InteractionState::Parked => Phase::Parked,
            pb::InteractionState::Unspecified
            | pb::InteractionState::WrappingUp
            | pb::InteractionState::Closed
            | pb::InteractionState::Filed
            | pb::InteractionState::Drafting
            | pb::InteractionState::Cancelled => return None,
        })
    });
    let phases = phases.collect::<Option<BTreeSet<_>>>();
    if phases.is_none() {
        form.wrong(
            "selection.states",
            "must be HELD, QUEUED, OFFERED, ACTIVE or PARKED",
        );
    }
    phases
}

/// An address or a domain, in the form in which correspondents are kept.
fn read_sender(form: &mut Form, sender: &str) -> Option<Option<String>> {
    if sender.is_empty() {
        return Some(None);
    }
    let normal = match sender.strip_prefix('@') {
        Some(domain) => normal_domain(domain).map(|domain| format!("@{domain}")),
        None => Address::parse(sender).map(|address| address.normalised()),
    };
    match normal {
        Ok(normal) => Some(Some(normal)),
        Err(error) => {
            form.wrong("selection.sender", error);
            None
        }
    }
}

fn read_act(form: &mut Form, act: Option<Act>) -> Option<BulkAct> {
    let act = match act {
        Some(Act::MoveToQueue(queue)) => {
            return (form.name("move_to_queue", &queue, "queues")).map(BulkAct::Move);
        }
        Some(Act::Priority(priority)) => {
            if !(-PRIORITY_MAX..=PRIORITY_MAX).contains(&priority) {
                let bounds = format!("must be -{PRIORITY_MAX} to {PRIORITY_MAX}");
                form.wrong("priority", bounds);
            }
            Some(BulkAct::Prioritise(priority))
        }
        Some(Act::Requeue(true)) => Some(BulkAct::Requeue),
        Some(Act::Dismiss(true)) => Some(BulkAct::Dismiss),
        Some(Act::Release(true)) => Some(BulkAct::Release),
        Some(Act::Requeue(false) | Act::Dismiss(false) | Act::Release(false)) | None => None,
    };
    if act.is_none() {
        form.wrong(
            "act",
            "is required: a queue, a priority, or one of the others as true",
        );
    }
    act
}

fn written(treated: &[Treated], more: usize) -> pb::TreatInteractionsResponse {
    pb::TreatInteractionsResponse {
        treated_interactions: treated.iter().map(one).collect(),
        remaining_count: convert::count(more),
    }
}

fn one(treated: &Treated) -> pb::TreatedInteraction {
    let reason = match treated.obstacle {
        None => pb::ErrorReason::Unspecified,
        Some(Obstacle::Gone) => pb::ErrorReason::ResourceNotFound,
        Some(Obstacle::State(_)) => pb::ErrorReason::InteractionStateInvalid,
        Some(Obstacle::Target(_)) => pb::ErrorReason::TransferTargetInvalid,
        Some(Obstacle::Order(_)) => pb::ErrorReason::StateTransitionInvalid,
    };
    let words = treated.obstacle.as_ref().map(Obstacle::words);
    pb::TreatedInteraction {
        interaction: format!("interactions/{}", treated.interaction),
        obstacle: reason.into(),
        obstacle_text: words.unwrap_or_default().to_owned(),
    }
}
