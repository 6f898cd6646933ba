//! Opening letters: their bytes from the store, read where blocking is allowed.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tonic::Status;

use super::errors;
use crate::desk::Message;
use crate::engine::Handle;
use crate::engine::handle::HEAD_BYTES_MAX;
use crate::mail::letter::View;

/// Most bytes of a letter that are read to show it. Postfix takes 10 MB by default, large providers
/// 25 to 50 MB; of a larger letter the beginning is shown.
const OPENED_BYTES_MAX: usize = 64 << 20;

/// Most letters of more than [`HEAD_BYTES_MAX`] that are open at once; they bound the memory that
/// reading takes to twice [`OPENED_BYTES_MAX`].
const LARGE_MAX: usize = 2;

/// Opens letters for clients.
#[derive(Debug)]
pub(super) struct Opener {
    large: Arc<Semaphore>,
}

impl Opener {
    pub(super) fn new() -> Self {
        Self {
            large: Arc::new(Semaphore::new(LARGE_MAX)),
        }
    }

    /// What is shown of a stored letter.
    pub(super) async fn open(&self, handle: &Handle, message: &Message) -> Result<View, Status> {
        let size = usize::try_from(message.size).unwrap_or(usize::MAX);
        let permit = if size > HEAD_BYTES_MAX {
            let waited = Arc::clone(&self.large).acquire_owned().await;
            Some(waited.map_err(|_| errors::internal("nobody opens letters any more"))?)
        } else {
            None
        };
        let mut raw: Vec<u8> = Vec::with_capacity(size.min(OPENED_BYTES_MAX));
        loop {
            let wanted = HEAD_BYTES_MAX.min(OPENED_BYTES_MAX - raw.len());
            let chunk = (handle
                .body_chunk(message.id, raw.len() as u64, wanted)
                .await)
                .map_err(errors::engine)?
                .ok_or_else(|| errors::internal("a message has no bytes"))?;
            raw.extend_from_slice(&chunk);
            if chunk.is_empty() || raw.len() >= size.min(OPENED_BYTES_MAX) {
                break;
            }
        }
        let whole = raw.len() >= size;
        let opened = tokio::task::spawn_blocking(move || {
            let view = View::read(&raw, whole);
            drop(permit);
            view
        });
        (opened.await).map_err(|_| errors::internal("reading a letter panicked"))
    }
}
