//! Bytes on their way to a client: whole messages, and files out of them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::Sender;
use tonic::Status;

use super::watch::Permit;
use super::{CHUNK_BYTES, Shared, convert, errors, pb};
use crate::desk::{Message, Upload};
use crate::mail::decode::Unwrapper;
use crate::mail::letter::Attachment;

/// How long a chunk may wait for a client that does not read.
const PATIENCE: Duration = Duration::from_secs(60);

/// Sends a message in chunks, until its end or until nobody reads any more.
pub(super) async fn message(
    shared: Arc<Shared>,
    message: Message,
    mut offset: u64,
    out: Sender<Result<pb::DownloadMessageResponse, Status>>,
    permit: Permit,
) {
    loop {
        let chunk = piece(&shared, &message, offset, CHUNK_BYTES).await;
        let last = chunk.as_ref().map_or(true, |chunk| {
            chunk.is_empty() || offset + chunk.len() as u64 >= message.size
        });
        let begin = offset;
        let response = chunk.map(|data| {
            offset += data.len() as u64;
            pb::DownloadMessageResponse {
                size_bytes: convert::long(message.size),
                offset_bytes: convert::long(begin),
                data,
            }
        });
        if !send(&out, response).await || last {
            break;
        }
    }
    drop(permit);
}

/// Sends a file in chunks, unwrapped piece by piece, until its end or until nobody reads any more.
/// The first chunk comes even if the file is empty. Whoever begins within the file pays for what is
/// unwrapped before.
pub(super) async fn attachment(
    shared: Arc<Shared>,
    (message, name): (Message, String),
    (file, mut skipped): (Attachment, u64),
    out: Sender<Result<pb::DownloadAttachmentResponse, Status>>,
    permit: Permit,
) {
    let mut unwrapper = Some(Unwrapper::new(file.encoding));
    let mut about = Some(convert::attachment(&name, &file));
    let (mut from, end) = (file.range.start, file.range.end);
    let mut offset = skipped;
    while let Some(mut open) = unwrapper.take() {
        // Unwrapping never makes more of it.
        let wanted = CHUNK_BYTES.min(end.saturating_sub(from));
        let chunk = piece(&shared, &message, from as u64, wanted).await;
        let response = chunk.map(|wrapped| {
            from += wrapped.len();
            let mut data = if wrapped.is_empty() {
                open.finish()
            } else {
                let data = open.push(&wrapped);
                unwrapper = Some(open);
                data
            };
            let before = usize::try_from(skipped)
                .unwrap_or(usize::MAX)
                .min(data.len());
            data.drain(..before);
            skipped -= before as u64;
            let begin = offset;
            offset += data.len() as u64;
            pb::DownloadAttachmentResponse {
                attachment: about.take(),
                offset_bytes: convert::long(begin),
                data: data.into(),
            }
        });
        if !send(&out, response).await {
            break;
        }
    }
    drop(permit);
}

/// Sends an uploaded file in chunks, until its end or until nobody reads any more. The first chunk
/// comes even if there is nothing in it.
pub(super) async fn upload(
    shared: Arc<Shared>,
    file: Upload,
    mut offset: u64,
    out: Sender<Result<pb::DownloadAttachmentResponse, Status>>,
    permit: Permit,
) {
    let mut about = Some(convert::upload(&file, file.size));
    loop {
        let chunk = shared
            .handle
            .upload_chunk(file.id, offset, CHUNK_BYTES)
            .await;
        let last = (chunk.as_ref()).map_or(true, |data| {
            data.is_empty() || offset + data.len() as u64 >= file.size
        });
        let begin = offset;
        let response = chunk.map_err(errors::engine).map(|data| {
            offset += data.len() as u64;
            pb::DownloadAttachmentResponse {
                attachment: about.take(),
                offset_bytes: convert::long(begin),
                data,
            }
        });
        if !send(&out, response).await || last {
            break;
        }
    }
    drop(permit);
}

/// Some bytes of a message; none at its end.
async fn piece(
    shared: &Shared,
    message: &Message,
    offset: u64,
    bytes_max: usize,
) -> Result<bytes::Bytes, Status> {
    match shared
        .handle
        .body_chunk(message.id, offset, bytes_max)
        .await
    {
        Ok(Some(chunk)) => Ok(chunk),
        Ok(None) => Err(errors::internal("a message has no bytes")),
        Err(error) => Err(errors::engine(error)),
    }
}

/// Whether the client took it and may want more.
pub(super) async fn send<T>(out: &Sender<Result<T, Status>>, response: Result<T, Status>) -> bool {
    let failed = response.is_err();
    let sent = tokio::time::timeout(PATIENCE, out.send(response)).await;
    matches!(sent, Ok(Ok(()))) && !failed
}
