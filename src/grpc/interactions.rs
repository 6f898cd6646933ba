//! `InteractionService`: reading mail, answering it, and what comes after.

use std::ops::Bound;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::access::{Principal, caller};
use super::form::Form;
use super::page::{self, Page};
use super::pb::interaction_service_server::InteractionService;
use super::verbs::Verb;
use super::{Shared, convert, dossier, download, errors, pb, respond};
use crate::desk::{Direction, Interaction, Message, Role, State};
use crate::id::{InteractionId, MessageId, QueueId};
use crate::outbound::reply::{self, ReplyDraft};

/// Longest text of a reply, in bytes.
const TEXT_BYTES_MAX: usize = 1 << 20;

/// Longest subject of a reply, in bytes: the longest line of RFC 5322, 2.1.1.
const SUBJECT_BYTES_MAX: usize = 998;

/// Longest address, in bytes: RFC 5321, 4.5.3.1.3.
const ADDRESS_BYTES_MAX: usize = 254;

/// Open interactions that are looked through for one page, so that a caller who may read few of
/// many does not hold up the desk.
const LOOKED_THROUGH_MAX: usize = 10_000;

/// Longest id of a part, in bytes: ten numbers of three digits, and some.
const PART_ID_BYTES_MAX: usize = 64;

pub(super) struct Interactions(pub(super) Arc<Shared>);

impl Interactions {
    /// The interaction, if the caller may read it.
    async fn readable(&self, caller: &Principal, id: InteractionId) -> Result<Interaction, Status> {
        let found = (self.0.handle.interaction(id).await)
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
            self.0
                .may_read_queue(caller, &found.queue, resource)
                .await?;
        }
        Ok(found)
    }

    /// A message of an interaction, if the caller may read that.
    async fn readable_message(
        &self,
        caller: &Principal,
        (interaction, id): (InteractionId, MessageId),
    ) -> Result<Message, Status> {
        let found = self.readable(caller, interaction).await?;
        let its = |of: &InteractionId| *of == interaction || Some(*of) == found.follows;
        (self.0.handle.message(id).await)
            .map_err(errors::engine)?
            .filter(|message| message.interactions.iter().any(its))
            .ok_or_else(|| errors::not_found(convert::message_name(interaction, id)))
    }

    async fn basic(
        &self,
        message: &Message,
        interaction: InteractionId,
    ) -> Result<pb::Message, Status> {
        let outbound = match message.direction {
            Direction::Inbound => None,
            Direction::Outbound => {
                (self.0.handle.outbound(message.id).await).map_err(errors::engine)?
            }
        };
        let delivery = outbound.as_ref().map(convert::delivery);
        Ok(convert::message(message, interaction, delivery))
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
        let found = self.readable(&caller, form.done(id)?).await?;
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
        let found = self.readable(&caller, id).await?;
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
            basic.push(self.basic(message, id).await?);
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
        let found = self.readable_message(&caller, (interaction, id)).await?;
        let mut message = self.basic(&found, interaction).await?;
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
        let found = self.readable_message(&caller, name).await?;
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
        let name = form.message("name", &asked.name);
        let part = form.text("part_id", asked.part_id, PART_ID_BYTES_MAX);
        let (name, part) = form.done((name, part))?;
        let found = self.readable_message(&caller, name).await?;
        let permit = self.0.streams.admit(&caller)?;
        let view = self.0.opener.open(&self.0.handle, &found).await?;
        let file = (view.letter.attachments.into_iter())
            .find(|file| file.id == part)
            .ok_or_else(|| {
                let message = convert::message_name(name.0, name.1);
                errors::not_found(format!("{message}, part {part}"))
            })?;
        let (out, chunks) = mpsc::channel(1);
        tokio::spawn(download::attachment(
            Arc::clone(&self.0),
            found,
            file,
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
        let message = self.readable_message(&caller, (interaction, id)).await?;
        let dossier = (self.0.handle.dossier(id).await)
            .map_err(errors::engine)?
            .ok_or_else(|| errors::not_found(convert::message_name(interaction, id)))?;
        Ok(Response::new(pb::GetDossierResponse {
            dossier: Some(dossier::dossier(&message, interaction, &dossier)),
        }))
    }

    async fn send_reply(
        &self,
        request: Request<pb::SendReplyRequest>,
    ) -> Result<Response<pb::SendReplyResponse>, Status> {
        let caller = caller(&request)?;
        let session = caller.session("SendReply")?;
        let mut asked = request.into_inner();
        let id = std::mem::take(&mut asked.request_id);
        let mut form = Form::new();
        let interaction = form.name("name", &asked.name, "interactions");
        let key = match form.request(&caller.subject, "SendReply", id, &asked) {
            Some(None) => {
                form.wrong("request_id", "is required: a reply must not be sent twice");
                None
            }
            key => key,
        };
        let from = form.text("from_address", asked.from_address, ADDRESS_BYTES_MAX);
        let text = form.text("text_body", asked.text_body, TEXT_BYTES_MAX);
        if text.as_ref().is_some_and(|text| text.trim().is_empty()) {
            form.wrong("text_body", "is empty");
        }
        let subject = form.text("subject", asked.subject, SUBJECT_BYTES_MAX);
        if subject
            .as_ref()
            .is_some_and(|subject| subject.contains(char::is_control))
        {
            form.wrong("subject", "must be one line without control characters");
        }
        let latest_seen = if asked.latest_seen_message.is_empty() {
            Some(None)
        } else {
            form.message("latest_seen_message", &asked.latest_seen_message)
                .map(|(_, message)| Some(message))
        };
        let (interaction, key, from, text, subject, latest_seen) =
            form.done((interaction, key, from, text, subject, latest_seen))?;
        let draft = ReplyDraft {
            session,
            interaction,
            from,
            subject: Some(subject).filter(|subject| !subject.is_empty()),
            text,
            include_original: asked.include_original,
            latest_seen,
        };
        let done = reply::send(&self.0.handle, &self.0.reply, draft, key)
            .await
            .map_err(errors::reply)?;
        let verb = Verb::of(done)?;
        let sent = verb
            .message
            .ok_or_else(|| errors::internal("a reply made no message"))?;
        let message = (self.0.handle.message(sent).await)
            .map_err(errors::engine)?
            .ok_or_else(|| errors::internal("a reply was not stored"))?;
        let response = pb::SendReplyResponse {
            message: Some(self.basic(&message, verb.id).await?),
            interaction: verb.interaction,
            presence: verb.presence,
            event_sequence: verb.event_sequence,
        };
        Ok(respond(response, verb.replayed))
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
