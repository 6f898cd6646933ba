//! Verbs on an interaction that put no mail on the wire: handing on, setting aside, ending.

use std::time::Duration;

use tonic::{Request, Response, Status};

use super::access::caller;
use super::form::Form;
use super::{Shared, convert, errors, pb, respond};
use crate::desk::{Answer, CODE_BYTES_MAX, CancelCause, Command, NOTE_BYTES_MAX, PARK_BOUNDS};
use crate::engine::{Done, RequestKey};
use crate::id::{InteractionId, MessageId, QueueId};

/// What a verb on an interaction is answered by.
pub(super) struct Verb {
    pub(super) id: InteractionId,
    pub(super) interaction: Option<pb::Interaction>,
    pub(super) presence: Option<pb::Presence>,
    pub(super) message: Option<MessageId>,
    pub(super) event_sequence: i64,
    pub(super) replayed: bool,
}

impl Verb {
    pub(super) fn of(done: Done) -> Result<Self, Status> {
        let Answer::Interaction {
            interaction,
            presence,
            message,
            sequence,
        } = done.answer
        else {
            return Err(errors::internal(
                "a verb was not answered by an interaction",
            ));
        };
        Ok(Self {
            id: interaction.id,
            interaction: Some(convert::interaction(&interaction)),
            presence: Some(convert::presence(&presence)),
            message,
            event_sequence: convert::long(sequence),
            replayed: done.replayed,
        })
    }
}

/// What every verb here is answered with.
macro_rules! answer {
    ($verb:ident, $response:ident) => {
        Ok(respond(
            pb::$response {
                interaction: $verb.interaction,
                presence: $verb.presence,
                event_sequence: $verb.event_sequence,
            },
            $verb.replayed,
        ))
    };
}

/// The command, to be done if the interaction is as the caller knows it.
pub(super) fn if_unchanged(
    command: Command,
    interaction: InteractionId,
    etag: Option<u64>,
) -> Command {
    match etag {
        Some(version) => Command::IfUnchanged {
            interaction,
            version,
            command: Box::new(command),
        },
        None => command,
    }
}

impl Shared {
    pub(super) async fn verb(
        &self,
        command: Command,
        key: Option<RequestKey>,
    ) -> Result<Verb, Status> {
        let done = (self.handle.command(command, key).await).map_err(errors::engine)?;
        Verb::of(done)
    }

    pub(super) async fn end_interaction(
        &self,
        request: Request<pb::EndInteractionRequest>,
    ) -> Result<Response<pb::EndInteractionResponse>, Status> {
        let caller = caller(&request)?;
        let session = caller.session("EndInteraction")?;
        let mut asked = request.into_inner();
        let id = std::mem::take(&mut asked.request_id);
        let mut form = Form::new();
        let interaction = form.name("name", &asked.name, "interactions");
        let key = form.request(&caller.subject, "EndInteraction", id, &asked);
        let etag = form.etag(&asked.etag);
        let note = form.text("note", asked.note, NOTE_BYTES_MAX);
        let (interaction, key, etag, note) = form.done((interaction, key, etag, note))?;
        let command = Command::EndInteraction {
            session,
            interaction,
            note,
        };
        let command = if_unchanged(command, interaction, etag);
        let verb = self.verb(command, key).await?;
        answer!(verb, EndInteractionResponse)
    }

    pub(super) async fn transfer_interaction(
        &self,
        request: Request<pb::TransferInteractionRequest>,
    ) -> Result<Response<pb::TransferInteractionResponse>, Status> {
        let caller = caller(&request)?;
        let session = caller.session("TransferInteraction")?;
        let mut asked = request.into_inner();
        let id = std::mem::take(&mut asked.request_id);
        let mut form = Form::new();
        let interaction = form.name("name", &asked.name, "interactions");
        let queue = form.name("queue", &asked.queue, "queues");
        let key = form.request(&caller.subject, "TransferInteraction", id, &asked);
        let etag = form.etag(&asked.etag);
        let note = form.text("note", asked.note, NOTE_BYTES_MAX);
        let (interaction, queue, key, etag, note) =
            form.done((interaction, queue, key, etag, note))?;
        let command = Command::Transfer {
            session,
            interaction,
            queue,
            note,
        };
        let command = if_unchanged(command, interaction, etag);
        let verb = self.verb(command, key).await?;
        answer!(verb, TransferInteractionResponse)
    }

    pub(super) async fn requeue_interaction(
        &self,
        request: Request<pb::RequeueInteractionRequest>,
    ) -> Result<Response<pb::RequeueInteractionResponse>, Status> {
        let caller = caller(&request)?;
        let session = caller.session("RequeueInteraction")?;
        let mut asked = request.into_inner();
        let id = std::mem::take(&mut asked.request_id);
        let mut form = Form::new();
        let interaction = form.name("name", &asked.name, "interactions");
        let key = form.request(&caller.subject, "RequeueInteraction", id, &asked);
        let etag = form.etag(&asked.etag);
        let note = form.text("note", asked.note, NOTE_BYTES_MAX);
        let (interaction, key, etag, note) = form.done((interaction, key, etag, note))?;
        let command = Command::Requeue {
            session,
            interaction,
            note,
        };
        let command = if_unchanged(command, interaction, etag);
        let verb = self.verb(command, key).await?;
        answer!(verb, RequeueInteractionResponse)
    }

    pub(super) async fn cancel_interaction(
        &self,
        request: Request<pb::CancelInteractionRequest>,
    ) -> Result<Response<pb::CancelInteractionResponse>, Status> {
        let caller = caller(&request)?;
        let session = caller.session("CancelInteraction")?;
        let mut asked = request.into_inner();
        let id = std::mem::take(&mut asked.request_id);
        let mut form = Form::new();
        let interaction = form.name("name", &asked.name, "interactions");
        let key = form.request(&caller.subject, "CancelInteraction", id, &asked);
        let cause = match pb::CancelCause::try_from(asked.cause) {
            Ok(pb::CancelCause::Duplicate) => Some(CancelCause::Duplicate),
            Ok(pb::CancelCause::Spam) => Some(CancelCause::Spam),
            Ok(pb::CancelCause::Unspecified | pb::CancelCause::DraftDiscarded) | Err(_) => {
                form.wrong("cause", "must be DUPLICATE or SPAM");
                None
            }
        };
        let etag = form.etag(&asked.etag);
        let note = form.text("note", asked.note, NOTE_BYTES_MAX);
        let (interaction, key, cause, etag, note) =
            form.done((interaction, key, cause, etag, note))?;
        let command = Command::Cancel {
            session,
            interaction,
            cause,
            note,
        };
        let command = if_unchanged(command, interaction, etag);
        let verb = self.verb(command, key).await?;
        answer!(verb, CancelInteractionResponse)
    }

    pub(super) async fn pull_interaction(
        &self,
        request: Request<pb::PullInteractionRequest>,
    ) -> Result<Response<pb::PullInteractionResponse>, Status> {
        let caller = caller(&request)?;
        let session = caller.session("PullInteraction")?;
        let mut asked = request.into_inner();
        let id = std::mem::take(&mut asked.request_id);
        let mut form = Form::new();
        if asked.queue.is_empty() && asked.name.is_empty() {
            form.wrong("queue", "is required without a name");
        }
        let queue = form.maybe_name::<QueueId>("queue", &asked.queue, "queues");
        let interaction = form.maybe_name("name", &asked.name, "interactions");
        let key = form.request(&caller.subject, "PullInteraction", id, &asked);
        let (queue, interaction, key) = form.done((queue, interaction, key))?;
        let command = Command::Pull {
            session,
            queue,
            interaction,
        };
        let verb = self.verb(command, key).await?;
        answer!(verb, PullInteractionResponse)
    }

    pub(super) async fn park_interaction(
        &self,
        request: Request<pb::ParkInteractionRequest>,
    ) -> Result<Response<pb::ParkInteractionResponse>, Status> {
        let caller = caller(&request)?;
        let session = caller.session("ParkInteraction")?;
        let mut asked = request.into_inner();
        let id = std::mem::take(&mut asked.request_id);
        let mut form = Form::new();
        let interaction = form.name("name", &asked.name, "interactions");
        let key = form.request(&caller.subject, "ParkInteraction", id, &asked);
        let (shortest, longest) = PARK_BOUNDS;
        let time = (asked.park_duration)
            .and_then(|time| Duration::try_from(time).ok())
            .filter(|time| (shortest..=longest).contains(time));
        if time.is_none() {
            form.wrong("park_duration", "must be 1 minute to 90 days");
        }
        let etag = form.etag(&asked.etag);
        let note = form.text("note", asked.note, NOTE_BYTES_MAX);
        let (interaction, key, time, etag, note) =
            form.done((interaction, key, time, etag, note))?;
        let command = Command::Park {
            session,
            interaction,
            time,
            note,
        };
        let command = if_unchanged(command, interaction, etag);
        let verb = self.verb(command, key).await?;
        answer!(verb, ParkInteractionResponse)
    }

    pub(super) async fn resume_interaction(
        &self,
        request: Request<pb::ResumeInteractionRequest>,
    ) -> Result<Response<pb::ResumeInteractionResponse>, Status> {
        let caller = caller(&request)?;
        let session = caller.session("ResumeInteraction")?;
        let mut asked = request.into_inner();
        let id = std::mem::take(&mut asked.request_id);
        let mut form = Form::new();
        let interaction = form.name("name", &asked.name, "interactions");
        let key = form.request(&caller.subject, "ResumeInteraction", id, &asked);
        let (interaction, key) = form.done((interaction, key))?;
        let command = Command::Resume {
            session,
            interaction,
        };
        let verb = self.verb(command, key).await?;
        answer!(verb, ResumeInteractionResponse)
    }

    pub(super) async fn save_wrap_up(
        &self,
        request: Request<pb::SaveWrapUpRequest>,
    ) -> Result<Response<pb::SaveWrapUpResponse>, Status> {
        let session = caller(&request)?.session("SaveWrapUp")?;
        let asked = request.into_inner();
        let mut form = Form::new();
        let interaction = form.name("name", &asked.name, "interactions");
        let notes = form.maybe_text("notes", asked.notes, NOTE_BYTES_MAX);
        let code = asked.disposition_code;
        let disposition = form.maybe_text("disposition_code", code, CODE_BYTES_MAX);
        let (interaction, notes, disposition) = form.done((interaction, notes, disposition))?;
        let command = Command::SaveWrapUp {
            session,
            interaction,
            notes,
            disposition,
        };
        let verb = self.verb(command, None).await?;
        Ok(Response::new(pb::SaveWrapUpResponse {
            interaction: verb.interaction,
        }))
    }

    pub(super) async fn extend_wrap_up(
        &self,
        request: Request<pb::ExtendWrapUpRequest>,
    ) -> Result<Response<pb::ExtendWrapUpResponse>, Status> {
        let caller = caller(&request)?;
        let session = caller.session("ExtendWrapUp")?;
        let mut asked = request.into_inner();
        let id = std::mem::take(&mut asked.request_id);
        let mut form = Form::new();
        let interaction = form.name("name", &asked.name, "interactions");
        let key = form.request(&caller.subject, "ExtendWrapUp", id, &asked);
        let (interaction, key) = form.done((interaction, key))?;
        let command = Command::ExtendWrapUp {
            session,
            interaction,
        };
        let verb = self.verb(command, key).await?;
        let response = pb::ExtendWrapUpResponse {
            interaction: verb.interaction,
            event_sequence: verb.event_sequence,
        };
        Ok(respond(response, verb.replayed))
    }

    pub(super) async fn complete_wrap_up(
        &self,
        request: Request<pb::CompleteWrapUpRequest>,
    ) -> Result<Response<pb::CompleteWrapUpResponse>, Status> {
        let caller = caller(&request)?;
        let session = caller.session("CompleteWrapUp")?;
        let mut asked = request.into_inner();
        let id = std::mem::take(&mut asked.request_id);
        let mut form = Form::new();
        let interaction = form.name("name", &asked.name, "interactions");
        let key = form.request(&caller.subject, "CompleteWrapUp", id, &asked);
        let next = form.requested("next_state", asked.next_state, String::new());
        let notes = form.maybe_text("notes", asked.notes, NOTE_BYTES_MAX);
        let code = asked.disposition_code;
        let disposition = form.maybe_text("disposition_code", code, CODE_BYTES_MAX);
        let (interaction, key, next, notes, disposition) =
            form.done((interaction, key, next, notes, disposition))?;
        let command = Command::CompleteWrapUp {
            session,
            interaction,
            notes,
            disposition,
            next,
        };
        let verb = self.verb(command, key).await?;
        answer!(verb, CompleteWrapUpResponse)
    }
}
