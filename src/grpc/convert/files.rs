//! Files on the wire: those of messages, and those that agents upload.

use bytes::Bytes;

use super::{long, pb, time};
use crate::desk::Upload;
use crate::id::{AttachmentId, InteractionId};
use crate::mail::letter::{Attachment, may_run, safe_type};

pub(in crate::grpc) fn attachment_name(interaction: InteractionId, file: AttachmentId) -> String {
    format!("interactions/{interaction}/attachments/{file}")
}

/// A file of a message of this name.
pub(in crate::grpc) fn attachment(message: &str, file: &Attachment) -> pb::Attachment {
    pb::Attachment {
        file_name: file.name.clone(),
        content_type: file.media_type.clone(),
        size_bytes: long(file.size),
        inline: file.inline,
        part_id: file.id.clone(),
        content_id: file.content_id.clone().unwrap_or_default(),
        in_html_body: file.in_html,
        safe_content_type: file.safe_type().to_owned(),
        may_run: file.may_run(),
        contents: (file.contents.iter())
            .map(|inner| pb::InnerFile {
                file_name: inner.name.clone(),
                size_bytes: long(inner.size),
            })
            .collect(),
        name: format!("{message}/attachments/{}", file.id),
        received_bytes: long(file.size),
        sha256: Bytes::new(),
        state: pb::AttachmentState::Ready.into(),
        create_time: None,
    }
}

/// A file that is or was being uploaded, with how much of it is here.
pub(in crate::grpc) fn upload(file: &Upload, received: u64) -> pb::Attachment {
    let state = match file.ready {
        true => pb::AttachmentState::Ready,
        false => pb::AttachmentState::Uploading,
    };
    let digest = file.digest.as_ref();
    pb::Attachment {
        file_name: file.file_name.clone(),
        content_type: file.content_type.clone(),
        size_bytes: long(file.size),
        inline: file.inline,
        part_id: String::new(),
        content_id: file.content_id.clone(),
        in_html_body: false,
        safe_content_type: safe_type(&file.content_type).to_owned(),
        may_run: may_run(&file.file_name),
        contents: Vec::new(),
        name: attachment_name(file.interaction, file.id),
        received_bytes: long(received),
        sha256: digest.map_or_else(Bytes::new, |digest| Bytes::copy_from_slice(digest)),
        state: state.into(),
        create_time: Some(time(file.created)),
    }
}
