//! The original: the letter that is answered or passed on, read from the store as far as a mail
//! needs it.

use tokio::sync::Semaphore;

use super::reply::ReplyError;
use crate::desk::NO_MESSAGE;
use crate::engine::{EngineError, Handle};
use crate::id::MessageId;
use crate::mail::compose::{ComposeError, Field, File};
use crate::mail::letter::{Letter, Picture, Quotable};
use crate::mail::message_id::InternetMessageId;

/// How much of the original is read to quote from, in bytes.
const HEAD_BYTES_MAX: usize = 1 << 20;

/// Largest letter that is passed on with its files, in bytes: with its text, what most servers
/// take.
const WHOLE_BYTES_MAX: u64 = 20 << 20;

/// How many letters are passed on with their files at the same time; others wait. With what is
/// made of it each takes some sixty megabytes.
const WHOLE_MAX: usize = 4;

static WHOLE: Semaphore = Semaphore::const_new(WHOLE_MAX);

/// How much of a letter is read at a time, in bytes.
const PIECE_BYTES: usize = 1 << 20;

/// What of the original goes along.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Files {
    /// Nothing but what is quoted.
    #[default]
    None,
    /// All of its files.
    All,
    /// These, by the ids of their parts.
    Parts(Vec<String>),
}

/// A letter that is answered or passed on.
#[derive(Debug)]
pub(super) struct Original {
    pub(super) read: Quotable,
    /// Its bytes, if it is enclosed.
    pub(super) whole: Option<Vec<u8>>,
    /// The files that go along.
    pub(super) files: Vec<Carried>,
    /// Held until the mail is stored: only so many of these are in memory at once.
    _place: Option<tokio::sync::SemaphorePermit<'static>>,
}

/// A file of the original.
#[derive(Debug)]
pub(super) struct Carried {
    name: String,
    media_type: String,
    bytes: Vec<u8>,
}

impl Carried {
    pub(super) fn file(&self) -> File<'_> {
        File {
            name: &self.name,
            media_type: &self.media_type,
            content_id: None,
            bytes: &self.bytes,
        }
    }
}

/// A picture as it is written into a mail.
pub(super) fn picture(picture: &Picture) -> File<'_> {
    File {
        name: &picture.name,
        media_type: &picture.media_type,
        content_id: Some(&picture.content_id),
        bytes: &picture.bytes,
    }
}

impl Original {
    /// Reads a letter to quote from it; one that there is none of reads as empty. `id` is that of
    /// the mail in which it will be quoted.
    pub(super) async fn quoted(
        handle: &Handle,
        letter: MessageId,
        id: &InternetMessageId,
    ) -> Result<Self, ReplyError> {
        let mut head = Vec::new();
        let mut size = 0;
        if letter != NO_MESSAGE {
            size = handle
                .message(letter)
                .await?
                .map_or(0, |record| record.size);
            let found = handle.body_head(letter, HEAD_BYTES_MAX).await?;
            head = found.unwrap_or_default().to_vec();
        }
        let (whole, suffix) = (size <= head.len() as u64, id.as_str().to_owned());
        let read = blocking(move || Quotable::read(&head, whole, &suffix)).await?;
        Ok(Self {
            read,
            whole: None,
            files: Vec::new(),
            _place: None,
        })
    }

    /// Reads a letter whole, with the files that go along, or to be enclosed as it is. Pictures
    /// that are quoted with HTML are no files beside it; without `html` they are.
    pub(super) async fn whole(
        handle: &Handle,
        letter: MessageId,
        id: &InternetMessageId,
        enclose: bool,
        files: Files,
        html: bool,
    ) -> Result<Self, ReplyError> {
        let place = WHOLE.acquire().await.ok();
        let bytes = bytes(handle, letter).await?;
        let suffix = id.as_str().to_owned();
        let taken = blocking(move || -> Result<_, ReplyError> {
            let read = Quotable::read(&bytes, true, &suffix);
            let files = carried(&read, &bytes, &files, &suffix, html)?;
            Ok((read, files, enclose.then_some(bytes)))
        });
        let (read, files, whole) = taken.await??;
        Ok(Self {
            read,
            whole,
            files,
            _place: place,
        })
    }

    /// What it says.
    pub(super) const fn letter(&self) -> &Letter {
        &self.read.letter
    }
}

/// The files of a letter that were asked for, unwrapped.
fn carried(
    read: &Quotable,
    bytes: &[u8],
    files: &Files,
    suffix: &str,
    html: bool,
) -> Result<Vec<Carried>, ReplyError> {
    let quoted = |part: &str| {
        let id = format!("{part}.{suffix}");
        html && read.pictures.iter().any(|picture| picture.content_id == id)
    };
    let all = read.letter.attachments.iter();
    let wanted: Vec<_> = match files {
        Files::None => Vec::new(),
        Files::All => all.filter(|file| !quoted(&file.id)).collect(),
        Files::Parts(parts) => {
            for part in parts {
                if !read.letter.attachments.iter().any(|file| file.id == *part) {
                    return Err(ReplyError::NoSuchPart(part.clone()));
                }
            }
            all.filter(|file| parts.contains(&file.id)).collect()
        }
    };
    let unwrapped = wanted.into_iter().map(|file| Carried {
        name: file.name.clone(),
        media_type: file.media_type.clone(),
        bytes: (file.encoding).decode(bytes.get(file.range.clone()).unwrap_or_default()),
    });
    Ok(unwrapped.collect())
}

/// Does something that takes long beside the runtime.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ReplyError> {
    let stopping = |_| ReplyError::Engine(EngineError::Stopping);
    tokio::task::spawn_blocking(work).await.map_err(stopping)
}

/// A stored letter, whole.
async fn bytes(handle: &Handle, id: MessageId) -> Result<Vec<u8>, ReplyError> {
    let too_large = || ReplyError::Compose(ComposeError::TooLong(Field::Original));
    let size = handle.message(id).await?.map_or(0, |record| record.size);
    if size > WHOLE_BYTES_MAX {
        return Err(too_large());
    }
    let mut whole = Vec::new();
    loop {
        let piece = handle
            .body_chunk(id, whole.len() as u64, PIECE_BYTES)
            .await?;
        let piece = piece.ok_or(ReplyError::Engine(EngineError::Unavailable(
            "the letter is not there".to_owned(),
        )))?;
        if piece.is_empty() {
            return Ok(whole);
        }
        if (whole.len() + piece.len()) as u64 > WHOLE_BYTES_MAX {
            return Err(too_large());
        }
        whole.extend_from_slice(&piece);
    }
}
