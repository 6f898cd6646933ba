//! `AttachmentService`: files that agents attach to what they write.

use std::sync::Arc;

use tonic::{Code, Request, Response, Status};

use super::access::{Principal, caller};
use super::errors::Failure;
use super::form::Form;
use super::page::{self, Page};
use super::pb::attachment_service_server::AttachmentService;
use super::{Shared, convert, errors, pb, respond};
use crate::desk::upload::{CONTENT_ID_BYTES_MAX, is_content_id, is_content_type};
use crate::desk::{Answer, Command, Interaction, NewUpload, Role, State, Upload};
use crate::engine::CHUNK_BYTES_MAX;
use crate::id::{AttachmentId, InteractionId};

/// Longest name of a file as a client may send it, in bytes. What is kept of it is shorter.
const FILE_NAME_BYTES_MAX: usize = 1024;

pub(super) struct Attachments(pub(super) Arc<Shared>);

impl Form {
    fn new_upload(&mut self, asked: &mut pb::CreateAttachmentRequest) -> Option<NewUpload> {
        let name = std::mem::take(&mut asked.file_name);
        let name = self.text("file_name", name, FILE_NAME_BYTES_MAX);
        if name.as_ref().is_some_and(String::is_empty) {
            self.wrong("file_name", "is empty");
        }
        if !is_content_type(&asked.content_type) {
            self.wrong("content_type", "must be type/subtype, without parameters");
        }
        let size = self
            .sequence("size_bytes", Some(asked.size_bytes))
            .flatten();
        let digest: Option<[u8; 32]> = asked.sha256.as_ref().try_into().ok();
        if digest.is_none() && !asked.sha256.is_empty() {
            self.wrong("sha256", "must have 32 bytes");
        }
        if !is_content_id(&asked.content_id) {
            self.wrong(
                "content_id",
                format!("must be at most {CONTENT_ID_BYTES_MAX} letters, digits and .-_+@"),
            );
        }
        if asked.inline && asked.content_id.is_empty() {
            self.wrong("content_id", "is needed for a file that is shown inline");
        }
        Some(NewUpload {
            file_name: name?,
            content_type: std::mem::take(&mut asked.content_type),
            size: size?,
            digest,
            inline: asked.inline,
            content_id: std::mem::take(&mut asked.content_id),
        })
    }
}

impl Shared {
    /// The interaction, if what is written for it is the caller's to read: they own it, or steer the
    /// floor.
    pub(super) async fn written_by(
        &self,
        caller: &Principal,
        id: InteractionId,
    ) -> Result<Interaction, Status> {
        let resource = format!("interactions/{id}");
        let found = (self.handle.interaction(id).await)
            .map_err(errors::engine)?
            .ok_or_else(|| errors::not_found(&resource))?;
        let supervises = caller.is(Role::Supervisor);
        let owns = caller.agent.is_some() && found.state.owner() == caller.agent.as_ref();
        if matches!(found.state, State::Held { .. }) && !supervises {
            return Err(errors::not_found(resource));
        }
        if owns || supervises {
            return Ok(found);
        }
        let reason = pb::ErrorReason::NotInteractionOwner;
        let message = format!("{resource} is not in your hands");
        Err(Failure::new(Code::PermissionDenied, reason, message)
            .with("resource", resource)
            .into())
    }

    /// A file, if the caller may read what is written for its interaction.
    pub(super) async fn uploaded(
        &self,
        caller: &Principal,
        (interaction, id): (InteractionId, AttachmentId),
    ) -> Result<Upload, Status> {
        self.written_by(caller, interaction).await?;
        let found = (self.handle)
            .look(move |desk, _| desk.upload(interaction, id).cloned())
            .await
            .map_err(errors::engine)?;
        found.ok_or_else(|| errors::not_found(convert::attachment_name(interaction, id)))
    }

    /// Files with how much of each is here.
    async fn as_they_are(&self, files: &[Upload]) -> Result<Vec<pb::Attachment>, Status> {
        let ids = files.iter().map(|file| file.id).collect();
        let received = self.handle.received(ids).await.map_err(errors::engine)?;
        let both = files.iter().zip(received);
        Ok(both
            .map(|(file, here)| convert::upload(file, here))
            .collect())
    }
}

#[tonic::async_trait]
impl AttachmentService for Attachments {
    async fn create_attachment(
        &self,
        request: Request<pb::CreateAttachmentRequest>,
    ) -> Result<Response<pb::CreateAttachmentResponse>, Status> {
        let caller = caller(&request)?;
        let session = caller.session("CreateAttachment")?;
        let mut asked = request.into_inner();
        let id = std::mem::take(&mut asked.request_id);
        let mut form = Form::new();
        let interaction = form.name("parent", &asked.parent, "interactions");
        let key = form.request(&caller.subject, "CreateAttachment", id, &asked);
        let new = form.new_upload(&mut asked);
        let (interaction, key, new) = form.done((interaction, key, new))?;
        let command = Command::AnnounceUpload {
            session,
            interaction,
            new: Box::new(new),
        };
        let done = (self.0.handle.command(command, key).await).map_err(errors::engine)?;
        let Answer::Upload(upload) = done.answer else {
            return Err(errors::internal("a file was not answered by a file"));
        };
        let files = self.0.as_they_are(&[*upload]).await?;
        let response = pb::CreateAttachmentResponse {
            attachment: files.into_iter().next(),
            max_chunk_bytes: convert::count(CHUNK_BYTES_MAX),
        };
        Ok(respond(response, done.replayed))
    }

    async fn write_attachment_chunk(
        &self,
        request: Request<pb::WriteAttachmentChunkRequest>,
    ) -> Result<Response<pb::WriteAttachmentChunkResponse>, Status> {
        let caller = caller(&request)?;
        let session = caller.session("WriteAttachmentChunk")?;
        let asked = request.into_inner();
        let mut form = Form::new();
        let name = form.upload("name", &asked.name);
        let offset = form
            .sequence("offset_bytes", Some(asked.offset_bytes))
            .flatten();
        if asked.data.len() > CHUNK_BYTES_MAX {
            form.wrong("data", format!("longer than {CHUNK_BYTES_MAX} bytes"));
        }
        if asked.data.is_empty() && !asked.finish {
            form.wrong("data", "is empty");
        }
        let (name, offset) = form.done((name, offset))?;
        let chunk = (offset, asked.data);
        let written = self
            .0
            .handle
            .write_upload(session, name, chunk, asked.finish);
        let (upload, received) = written.await.map_err(errors::upload)?;
        Ok(Response::new(pb::WriteAttachmentChunkResponse {
            attachment: Some(convert::upload(&upload, received)),
        }))
    }

    async fn get_attachment(
        &self,
        request: Request<pb::GetAttachmentRequest>,
    ) -> Result<Response<pb::GetAttachmentResponse>, Status> {
        let caller = caller(&request)?;
        let mut form = Form::new();
        let name = form.upload("name", &request.get_ref().name);
        let found = self.0.uploaded(&caller, form.done(name)?).await?;
        let files = self.0.as_they_are(&[found]).await?;
        Ok(Response::new(pb::GetAttachmentResponse {
            attachment: files.into_iter().next(),
        }))
    }

    async fn list_attachments(
        &self,
        request: Request<pb::ListAttachmentsRequest>,
    ) -> Result<Response<pb::ListAttachmentsResponse>, Status> {
        let caller = caller(&request)?;
        let asked = request.into_inner();
        let mut form = Form::new();
        let id = form.name("parent", &asked.parent, "interactions");
        let (size, token) = (asked.page_size, asked.page_token.as_str());
        let list = "ListAttachments";
        let page = Page::read(&mut form, &caller, list, &asked.parent, size, token)?;
        let id = form.done(id)?;
        let after = page.after(page::id_bytes)?.map(AttachmentId::from_bytes);
        self.0.written_by(&caller, id).await?;
        let size = page.size;
        let mut files: Vec<Upload> = (self.0.handle)
            .look(move |desk, _| {
                let rest = desk.uploads(id).filter(|file| Some(file.id) > after);
                rest.take(size + 1).cloned().collect()
            })
            .await
            .map_err(errors::engine)?;
        let next_page_token = page.cut(&mut files, |file: &Upload| file.id.to_bytes().to_vec());
        Ok(Response::new(pb::ListAttachmentsResponse {
            attachments: self.0.as_they_are(&files).await?,
            next_page_token,
        }))
    }

    async fn delete_attachment(
        &self,
        request: Request<pb::DeleteAttachmentRequest>,
    ) -> Result<Response<pb::DeleteAttachmentResponse>, Status> {
        let caller = caller(&request)?;
        let session = caller.session("DeleteAttachment")?;
        let mut form = Form::new();
        let name = form.upload("name", &request.get_ref().name);
        let (interaction, upload) = form.done(name)?;
        let command = Command::DropUpload {
            session,
            interaction,
            upload,
        };
        (self.0.handle.command(command, None).await).map_err(errors::engine)?;
        Ok(Response::new(pb::DeleteAttachmentResponse {}))
    }
}
