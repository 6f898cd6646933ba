//! `InteractionService`: reading mail, answering it, and what comes after.

use std::ops::Bound;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::access::{Principal, caller};
use super::form::{FileName, Form, PART_ID_BYTES_MAX};
use super::page::{self, Page};
use super::pb::interaction_service_server::InteractionService;
use super::{Shared, convert, dossier, download, errors, pb};
use crate::desk::{Interaction, Message, Role, State, Upload};
use crate::id::{InteractionId, MessageId, QueueId};

/// Open interactions that are looked through for one page, so that a caller who may read few of
/// many does not hold up the desk.
const LOOKED_THROUGH_MAX: usize = 10_000;

pub(super) struct Interactions(pub(super) Arc<Shared>);

impl Shared {
    /// The interaction, if the caller may read it.
    pub(super) async fn readable(
        &self,
        caller: &Principal,
        id: InteractionId,
    ) -> Result<Interaction, Status> {
        let found = (self.handle.interaction(id).await)
            .map_err(errors::engine)?
            .ok_or_else(|| errors::not_found(format!("interactions/{id}")))?;
        let held = match &found.state {
            State::Active { agent, .. }
            | State::WrappingUp { agent, .. }
            | State::Closed { agent, .. }
            | State::Drafting { agent, .. }
            | State::Parked { agent, .. }
            | State::Offered { agent, .. } => Some(agent) == caller.agent.as_ref(),
            State::Cancelled { agent, .. } => {
                agent.is_some() && agent.as_ref() == caller.agent.as_ref()
            }
            State::Held { .. } => caller.is(Role::Supervisor),
            State::Queued | State::Filed { .. } => false,
        };
        if matches!(found.state, State::Held { .. }) && !held {
            // What is held from everybody is not there for anybody else.
            return Err(errors::not_found(format!("interactions/{id}")));
        }
        if !held {
            let resource = format!("interactions/{id}");
            self.may_read_queue(caller, &found.queue, resource).await?;
        }
        Ok(found)
    }

    /// A message of an interaction, if the caller may read that.
    pub(super) async fn readable_message(
        &self,
        caller: &Principal,
        (interaction, id): (InteractionId, MessageId),
    ) -> Result<Message, Status> {
        let found = self.readable(caller, interaction).await?;
        let its = |of: &InteractionId| *of == interaction || Some(*of) == found.follows;
        (self.handle.message(id).await)
            .map_err(errors::engine)?
            .filter(|message| {
                // Who writes a mail in a case reads what came in it meanwhile.
                let writes = matches!(found.state, State::Drafting { .. });
                message.interactions.iter().any(its) || (writes && message.case == found.case)
            })
            .ok_or_else(|| errors::not_found(convert::message_name(interaction, id)))
    }
}

impl Interactions {
    /// Sends an uploaded file.
    fn download_upload(
        &self,
        caller: &Principal,
        file: Upload,
        offset: u64,
    ) -> Result<Response<ReceiverStream<Result<pb::DownloadAttachmentResponse, Status>>>, Status>
    {
        if !file.ready {
            return Err(errors::not_ready(convert::attachment_name(
                file.interaction,
                file.id,
            )));
        }
        if offset > file.size {
            return Err(errors::field_invalid("offset_bytes", "is beyond the end"));
        }
        let permit = self.0.streams.admit(caller)?;
        let (out, chunks) = mpsc::channel(1);
        let shared = Arc::clone(&self.0);
        tokio::spawn(download::upload(shared, file, offset, out, permit));
        Ok(Response::new(ReceiverStream::new(chunks)))
    }
}

#[tonic::async_trait]
impl InteractionService for Interactions {
    async fn get_interaction(
        &self,
        request: Request<pb::GetInteractionRequest>,
    ) -> Result<Response<pb::GetInteractionResponse>, Status> {
        let caller = caller(&request)?;
        let mut form = Form::new();
        let id = form.name("name", &request.get_ref().name, "interactions");
        let found = self.0.readable(&caller, form.done(id)?).await?;
        Ok(Response::new(pb::GetInteractionResponse {
            interaction: Some(convert::interaction(&found)),
        }))
    }

    async fn list_interactions(
        &self,
        request: Request<pb::ListInteractionsRequest>,
    ) -> Result<Response<pb::ListInteractionsResponse>, Status> {
        let caller = caller(&request)?;
        let asked = request.into_inner();
        let mut form = Form::new();
        let queue = form.maybe_name::<QueueId>("queue", &asked.queue, "queues");
        let (size, token) = (asked.page_size, asked.page_token.as_str());
        let page = Page::read(
            &mut form,
            &caller,
            "ListInteractions",
            &asked.queue,
            size,
            token,
        )?;
        let queue = form.done(queue)?;
        let after = page.after(page::id_bytes)?.map(InteractionId::from_bytes);
        let (size, all, agent) = (page.size, caller.is(Role::Supervisor), caller.agent.clone());
        let (found, last) = (self.0.handle)
            .look(move |desk, _| {
                let agent = agent.as_ref().and_then(|agent| desk.agents().get(agent));
                let readable = |found: &Interaction| {
                    all || agent.is_some_and(|agent| {
                        found.state.owner() == Some(&agent.id)
                            || agent.queues.contains(&found.queue)
                    })
                };
                let begin = after.map_or(Bound::Unbounded, Bound::Excluded);
                let mut found = Vec::new();
                for (looked, (id, interaction)) in desk
                    .interactions()
                    .range((begin, Bound::Unbounded))
                    .enumerate()
                {
                    let wanted = queue
                        .as_ref()
                        .is_none_or(|queue| interaction.queue == *queue);
                    if wanted && readable(interaction) {
                        found.push(convert::interaction(interaction));
                    }
                    if found.len() >= size || looked >= LOOKED_THROUGH_MAX {
                        return (found, Some(*id));
                    }
                }
                (found, None)
            })
            .await
            .map_err(errors::engine)?;
        Ok(Response::new(pb::ListInteractionsResponse {
            interactions: found,
            next_page_token: last.map_or_else(String::new, |last| page.token(&last.to_bytes())),
        }))
    }

    async fn list_messages(
        &self,
        request: Request<pb::ListMessagesRequest>,
    ) -> Result<Response<pb::ListMessagesResponse>, Status> {
        let caller = caller(&request)?;
        let asked = request.into_inner();
        let mut form = Form::new();
        let id = form.name("parent", &asked.parent, "interactions");
        let (size, token) = (asked.page_size, asked.page_token.as_str());
        let page = Page::read(
            &mut form,
            &caller,
            "ListMessages",
            &asked.parent,
            size,
            token,
        )?;
        let id = form.done(id)?;
        let found = self.0.readable(&caller, id).await?;
        let after = page.after(page::id_bytes)?.map(MessageId::from_bytes);
        let mut messages = Vec::new();
        for of in [Some(id), found.follows].into_iter().flatten() {
            let its = self.0.handle.messages(of, after, page.size + 1).await;
            messages.extend(its.map_err(errors::engine)?);
        }
        messages.sort_by_key(|message| message.id);
        messages.dedup_by_key(|message| message.id);
        messages.truncate(page.size + 1);
        let next_page_token = page.cut(&mut messages, |message| message.id.to_bytes().to_vec());
        let mut basic = Vec::with_capacity(messages.len());
        for message in &messages {
            basic.push(self.0.basic_message(message, id).await?);
        }
        Ok(Response::new(pb::ListMessagesResponse {
            messages: basic,
            next_page_token,
        }))
    }

    async fn get_message(
        &self,
        request: Request<pb::GetMessageRequest>,
    ) -> Result<Response<pb::GetMessageResponse>, Status> {
        let caller = caller(&request)?;
        let asked = request.into_inner();
        let mut form = Form::new();
        let name = form.message("name", &asked.name);
        let full = match pb::MessageView::try_from(asked.view) {
            Ok(pb::MessageView::Unspecified | pb::MessageView::Basic) => Some(false),
            Ok(pb::MessageView::Full) => Some(true),
            Err(_) => {
                form.wrong("view", "must be BASIC or FULL");
                None
            }
        };
        let ((interaction, id), full) = form.done((name, full))?;
        let found = self.0.readable_message(&caller, (interaction, id)).await?;
        let mut message = self.0.basic_message(&found, interaction).await?;
        if full {
            let view = self.0.opener.open(&self.0.handle, &found).await?;
            convert::read_into(&mut message, view);
        }
        Ok(Response::new(pb::GetMessageResponse {
            message: Some(message),
        }))
    }

    type DownloadMessageStream = ReceiverStream<Result<pb::DownloadMessageResponse, Status>>;

    async fn download_message(
        &self,
        request: Request<pb::DownloadMessageRequest>,
    ) -> Result<Response<Self::DownloadMessageStream>, Status> {
        let caller = caller(&request)?;
        let asked = request.into_inner();
        let mut form = Form::new();
        let name = form.message("name", &asked.name);
        let offset = form.sequence("offset_bytes", Some(asked.offset_bytes));
        let (name, offset) = form.done((name, offset.flatten()))?;
        let found = self.0.readable_message(&caller, name).await?;
        if offset > found.size {
            return Err(errors::field_invalid("offset_bytes", "is beyond the end"));
        }
        let permit = self.0.streams.admit(&caller)?;
        let (out, chunks) = mpsc::channel(1);
        tokio::spawn(download::message(
            Arc::clone(&self.0),
            found,
            offset,
            out,
            permit,
        ));
        Ok(Response::new(ReceiverStream::new(chunks)))
    }

    type DownloadAttachmentStream = ReceiverStream<Result<pb::DownloadAttachmentResponse, Status>>;

    async fn download_attachment(
        &self,
        request: Request<pb::DownloadAttachmentRequest>,
    ) -> Result<Response<Self::DownloadAttachmentStream>, Status> {
        let caller = caller(&request)?;
        let asked = request.into_inner();
        let mut form = Form::new();
        let name = match asked.part_id.is_empty() {
            true => form.file("name", &asked.name),
            false => {
                let part = form.text("part_id", asked.part_id, PART_ID_BYTES_MAX);
                let message = form.message("name", &asked.name).zip(part);
                message.map(|((interaction, id), part)| FileName::Part(interaction, id, part))
            }
        };
        let offset = form
            .sequence("offset_bytes", Some(asked.offset_bytes))
            .flatten();
        let (name, offset) = form.done((name, offset))?;
        let (found, part) = match name {
            FileName::Upload(interaction, id) => {
                let found = self.0.uploaded(&caller, (interaction, id)).await?;
                return self.download_upload(&caller, found, offset);
            }
            FileName::Part(interaction, id, part) => {
                let found = self.0.readable_message(&caller, (interaction, id)).await?;
                (found, (interaction, part))
            }
        };
        let permit = self.0.streams.admit(&caller)?;
        let view = self.0.opener.open(&self.0.handle, &found).await?;
        let message = convert::message_name(part.0, found.id);
        let file = (view.letter.attachments.into_iter())
            .find(|file| file.id == part.1)
            .ok_or_else(|| errors::not_found(format!("{message}/attachments/{}", part.1)))?;
        let (out, chunks) = mpsc::channel(1);
        tokio::spawn(download::attachment(
            Arc::clone(&self.0),
            (found, message),
            (file, offset),
            out,
            permit,
        ));
        Ok(Response::new(ReceiverStream::new(chunks)))
    }

    async fn get_dossier(
        &self,
        request: Request<pb::GetDossierRequest>,
    ) -> Result<Response<pb::GetDossierResponse>, Status> {
        let caller = caller(&request)?;
        let mut form = Form::new();
        let name = form.message("name", &request.get_ref().name);
        let (interaction, id) = form.done(name)?;
        let message = self.0.readable_message(&caller, (interaction, id)).await?;
        let dossier = (self.0.handle.dossier(id).await)
            .map_err(errors::engine)?
            .ok_or_else(|| errors::not_found(convert::message_name(interaction, id)))?;
        Ok(Response::new(pb::GetDossierResponse {
            dossier: Some(dossier::dossier(&message, interaction, &dossier)),
        }))
    }

    async fn get_draft(
        &self,
        request: Request<pb::GetDraftRequest>,
    ) -> Result<Response<pb::GetDraftResponse>, Status> {
        self.0.get_draft(request).await
    }

    async fn update_draft(
        &self,
        request: Request<pb::UpdateDraftRequest>,
    ) -> Result<Response<pb::UpdateDraftResponse>, Status> {
        self.0.update_draft(request).await
    }

    async fn send_reply(
        &self,
        request: Request<pb::SendReplyRequest>,
    ) -> Result<Response<pb::SendReplyResponse>, Status> {
        self.0.send_reply(request).await
    }

    async fn forward_interaction(
        &self,
        request: Request<pb::ForwardInteractionRequest>,
    ) -> Result<Response<pb::ForwardInteractionResponse>, Status> {
        self.0.forward_interaction(request).await
    }

    async fn start_email(
        &self,
        request: Request<pb::StartEmailRequest>,
    ) -> Result<Response<pb::StartEmailResponse>, Status> {
        self.0.start_email(request).await
    }

    async fn send_email(
        &self,
        request: Request<pb::SendEmailRequest>,
    ) -> Result<Response<pb::SendEmailResponse>, Status> {
        self.0.send_email(request).await
    }

    async fn cancel_send(
        &self,
        request: Request<pb::CancelSendRequest>,
    ) -> Result<Response<pb::CancelSendResponse>, Status> {
        self.0.cancel_send(request).await
    }

    async fn discard_email(
        &self,
        request: Request<pb::DiscardEmailRequest>,
    ) -> Result<Response<pb::DiscardEmailResponse>, Status> {
        self.0.discard_email(request).await
    }

    async fn end_interaction(
        &self,
        request: Request<pb::EndInteractionRequest>,
    ) -> Result<Response<pb::EndInteractionResponse>, Status> {
        self.0.end_interaction(request).await
    }

    async fn transfer_interaction(
        &self,
        request: Request<pb::TransferInteractionRequest>,
    ) -> Result<Response<pb::TransferInteractionResponse>, Status> {
        self.0.transfer_interaction(request).await
    }

    async fn requeue_interaction(
        &self,
        request: Request<pb::RequeueInteractionRequest>,
    ) -> Result<Response<pb::RequeueInteractionResponse>, Status> {
        self.0.requeue_interaction(request).await
    }

    async fn cancel_interaction(
        &self,
        request: Request<pb::CancelInteractionRequest>,
    ) -> Result<Response<pb::CancelInteractionResponse>, Status> {
        self.0.cancel_interaction(request).await
    }

    async fn pull_interaction(
        &self,
        request: Request<pb::PullInteractionRequest>,
    ) -> Result<Response<pb::PullInteractionResponse>, Status> {
        self.0.pull_interaction(request).await
    }

    async fn park_interaction(
        &self,
        request: Request<pb::ParkInteractionRequest>,
    ) -> Result<Response<pb::ParkInteractionResponse>, Status> {
        self.0.park_interaction(request).await
    }

    async fn resume_interaction(
        &self,
        request: Request<pb::ResumeInteractionRequest>,
    ) -> Result<Response<pb::ResumeInteractionResponse>, Status> {
        self.0.resume_interaction(request).await
    }

    async fn save_wrap_up(
        &self,
        request: Request<pb::SaveWrapUpRequest>,
    ) -> Result<Response<pb::SaveWrapUpResponse>, Status> {
        self.0.save_wrap_up(request).await
    }

    async fn extend_wrap_up(
        &self,
        request: Request<pb::ExtendWrapUpRequest>,
    ) -> Result<Response<pb::ExtendWrapUpResponse>, Status> {
        self.0.extend_wrap_up(request).await
    }

    async fn complete_wrap_up(
        &self,
        request: Request<pb::CompleteWrapUpRequest>,
    ) -> Result<Response<pb::CompleteWrapUpResponse>, Status> {
        self.0.complete_wrap_up(request).await
    }
}
