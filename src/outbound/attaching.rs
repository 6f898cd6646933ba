//! Attaching: files that go along with what an agent writes, without being held in memory.

use super::reply::ReplyError;
use crate::content::Content;
use crate::engine::{AssembleError, Handle, Source};
use crate::mail::compose::{Attached, Composed};
use crate::mail::message_id::InternetMessageId;

/// Largest mail that is sent, in bytes: more than nearly every server takes. What ours takes it says
/// itself.
pub const MESSAGE_BYTES_MAX: u64 = 50 << 20;

/// A file that goes along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enclosed {
    /// What is said of it.
    pub about: Attached,
    /// Where its bytes are.
    pub source: Source,
}

/// The bytes of a letter with what goes along.
pub(super) async fn with_files(
    handle: &Handle,
    id: &InternetMessageId,
    letter: Composed,
    files: Vec<Enclosed>,
) -> Result<Content, ReplyError> {
    if files.is_empty() {
        return Ok(Content::Memory(letter.bytes.into()));
    }
    let (about, sources): (Vec<_>, Vec<_>) = (files.into_iter())
        .map(|file| (file.about, file.source))
        .unzip();
    let pieces = letter.attach(id, &about);
    let assembled = handle.assemble(pieces, sources, MESSAGE_BYTES_MAX).await;
    assembled.map_err(|error| match error {
        AssembleError::Engine(error) => ReplyError::Engine(error),
        AssembleError::TooLarge(max) => ReplyError::TooLarge(max),
    })
}
