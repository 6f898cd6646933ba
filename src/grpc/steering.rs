//! Steering: what supervisors do to agents and interactions that are not theirs.

use tonic::{Response, Status};

use super::access::Principal;
use super::form::Form;
use super::pb::reassign_interaction_request::Target;
use super::verbs::if_unchanged;
use super::{Shared, convert, errors, pb, respond};
use crate::desk::{
    Answer, Command, Destination, NOTE_BYTES_MAX, NOTICE_BYTES_MAX, NOTICE_READERS_MAX,
};
use crate::engine::RequestKey;

/// The command that moves an interaction.
pub(super) fn reassignment(
    caller: &Principal,
    asked: &mut pb::ReassignInteractionRequest,
) -> Result<(Option<RequestKey>, Command), Status> {
    let id = std::mem::take(&mut asked.request_id);
    let mut form = Form::new();
    let key = form.request(&caller.subject, "ReassignInteraction", id, asked);
    let interaction = form.name("name", &asked.name, "interactions");
    let to = match &asked.target {
        Some(Target::Queue(queue)) => form.name("queue", queue, "queues").map(Destination::Queue),
        Some(Target::Agent(agent)) => form.agent("agent", agent, caller).map(Destination::Agent),
        None => {
            form.wrong("target", "is required: a queue or an agent");
            None
        }
    };
    let note = form.text("note", std::mem::take(&mut asked.note), NOTE_BYTES_MAX);
    let etag = form.etag(&asked.etag);
    let (key, interaction, to, note, etag) = form.done((key, interaction, to, note, etag))?;
    let command = Command::Reassign {
        interaction,
        to,
        note,
    };
    let command = if_unchanged(command, interaction, etag);
    Ok((key, command))
}

pub(super) async fn post_notice(
    shared: &Shared,
    caller: &Principal,
    mut asked: pb::PostNoticeRequest,
) -> Result<Response<pb::PostNoticeResponse>, Status> {
    let id = std::mem::take(&mut asked.request_id);
    let mut form = Form::new();
    let key = form.request(&caller.subject, "PostNotice", id, &asked);
    let agents = form.names("agents", &asked.agents, "agents", NOTICE_READERS_MAX);
    let queues = form.names("queues", &asked.queues, "queues", NOTICE_READERS_MAX);
    let text = form.text("text", asked.text, NOTICE_BYTES_MAX);
    if text.as_ref().is_some_and(|text| text.trim().is_empty()) {
        form.wrong("text", "is empty");
    }
    let (key, agents, queues, text) = form.done((key, agents, queues, text))?;
    let command = Command::PostNotice {
        agents,
        queues,
        text,
    };
    let done = shared.handle.command_by(caller.actor(), command, key).await;
    let done = done.map_err(errors::engine)?;
    let Answer::Told(readers) = done.answer else {
        return Err(errors::internal("PostNotice was not answered by a number"));
    };
    let recipient_count = convert::count(readers);
    Ok(respond(
        pb::PostNoticeResponse { recipient_count },
        done.replayed,
    ))
}
