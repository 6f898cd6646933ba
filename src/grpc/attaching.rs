//! Attaching on the wire: names of files, uploaded or in messages, become files that go along.

use tonic::Status;

use super::access::Principal;
use super::form::{FileName, Form};
use super::{Shared, convert, errors};
use crate::desk::UPLOADS_MAX;
use crate::desk::upload::is_content_type;
use crate::engine::{EngineError, Source};
use crate::id::{InteractionId, MessageId, SessionId};
use crate::mail::compose::Attached;
use crate::outbound::attaching::Enclosed;

impl Form {
    /// Names of files, no more than an interaction has.
    pub(super) fn files(&mut self, field: &str, names: &[String]) -> Option<Vec<FileName>> {
        if names.len() > UPLOADS_MAX {
            self.wrong(field, format!("are more than {UPLOADS_MAX}"));
            return None;
        }
        let mut files = Vec::with_capacity(names.len());
        for (at, name) in names.iter().enumerate() {
            files.push(self.file(&format!("{field}[{at}]"), name)?);
        }
        Some(files)
    }
}

impl Shared {
    /// The files that go along with what is sent for an interaction.
    pub(super) async fn enclosed(
        &self,
        caller: &Principal,
        (session, interaction): (SessionId, InteractionId),
        names: Vec<FileName>,
    ) -> Result<Vec<Enclosed>, Status> {
        let mut files = Vec::with_capacity(names.len());
        for (at, name) in names.into_iter().enumerate() {
            files.push(match name {
                FileName::Upload(of, id) if of == interaction => {
                    let found = (self.handle)
                        .look(move |desk, _| desk.upload_for(session, of, id).cloned())
                        .await
                        .map_err(errors::engine)?;
                    let file =
                        found.map_err(|refusal| errors::engine(EngineError::from(refusal)))?;
                    if !file.ready {
                        return Err(errors::not_ready(convert::attachment_name(of, id)));
                    }
                    Enclosed {
                        about: Attached {
                            name: file.file_name,
                            content_type: file.content_type,
                            content_id: Some(file.content_id).filter(|_| file.inline),
                        },
                        source: Source::Upload(id),
                    }
                }
                FileName::Upload(..) => {
                    let field = format!("attachments[{at}]");
                    let why = "was uploaded for another interaction; upload it for this one";
                    return Err(errors::field_invalid(&field, why));
                }
                FileName::Part(of, id, part) => self.part(caller, (of, part), id).await?,
            });
        }
        Ok(files)
    }

    /// A file of a message that the caller may read.
    async fn part(
        &self,
        caller: &Principal,
        (interaction, part): (InteractionId, String),
        id: MessageId,
    ) -> Result<Enclosed, Status> {
        let message = self.readable_message(caller, (interaction, id)).await?;
        let view = self.opener.open(&self.handle, &message).await?;
        let found = (view.letter.attachments.into_iter()).find(|file| file.id == part);
        let file = found.ok_or_else(|| {
            let message = convert::message_name(interaction, id);
            errors::not_found(format!("{message}/attachments/{part}"))
        })?;
        let mut content_type = file.media_type;
        content_type.make_ascii_lowercase();
        if content_type.is_empty() || !is_content_type(&content_type) {
            "application/octet-stream".clone_into(&mut content_type);
        }
        Ok(Enclosed {
            about: Attached {
                name: file.name,
                content_type,
                content_id: None,
            },
            source: Source::Part {
                message: id,
                range: file.range.start as u64..file.range.end as u64,
                encoding: file.encoding,
            },
        })
    }
}
