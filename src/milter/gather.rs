//! A message while it arrives: in one growing buffer, and in a file once it is large.
//!
//! What cannot be taken (too large, disk full) is remembered and said at the end of the message,
//! because with the agreed options there is no earlier moment at which the MTA listens.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{BufMut, Bytes, BytesMut};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::arrival::Header;
use super::reply::SmtpReply;
use super::session::{busy, too_big};
use crate::content::{Content, MEMORY_BYTES_MAX, SpooledFile};

/// Largest header block in bytes. Real ones stay far below; the whole block must fit into the
/// head of the message that is kept in memory.
pub(crate) const HEADER_BYTES_MAX: usize = 128 << 10;

/// Most header fields of one message.
pub(crate) const HEADERS_MAX: usize = 2000;

/// How much of a large message is collected before it is written to its file.
const WRITE_BYTES: usize = 128 << 10;

/// In what pieces memory is given out.
const MEMORY_UNIT: usize = 4 << 10;

/// Where messages in flight may be: how much of them in memory, and the folder for large ones.
#[derive(Debug)]
pub(crate) struct Spool {
    folder: PathBuf,
    sequence: AtomicU64,
    memory: Arc<Semaphore>,
}

/// Memory that a message holds until its verdict.
pub(crate) type Held = Option<OwnedSemaphorePermit>;

impl Spool {
    /// `memory_bytes_max` is for all messages together.
    pub(crate) fn new(folder: PathBuf, memory_bytes_max: usize) -> Self {
        let units = (memory_bytes_max / MEMORY_UNIT).min(Semaphore::MAX_PERMITS);
        Self {
            folder,
            sequence: AtomicU64::new(0),
            memory: Arc::new(Semaphore::new(units)),
        }
    }

    /// Makes a file that nobody else has. What an earlier process with our id left behind is
    /// skipped, a bounded number of times.
    fn create(&self) -> io::Result<(File, PathBuf)> {
        const ATTEMPTS_MAX: usize = 1000;
        for _ in 0..ATTEMPTS_MAX {
            let sequence = self.sequence.fetch_add(1, Ordering::Relaxed);
            let name = format!("incoming-{}-{sequence}", std::process::id());
            let path = self.folder.join(name);
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                file => return Ok((file?, path)),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }
}

/// One message while it arrives.
#[derive(Debug)]
pub(crate) struct Gather {
    spool: Arc<Spool>,
    message_bytes_max: u64,
    /// Whether header values bring the white space after the colon themselves.
    leading_space: bool,
    /// The whole message while it is small.
    buffer: BytesMut,
    /// Where in the buffer each header field is: start, colon, end.
    fields: Vec<(usize, usize, usize)>,
    headers_ended: bool,
    /// Size of what has arrived.
    len: u64,
    /// Where the rest of a large message goes.
    spill: Option<Spill>,
    /// The memory that all this may take.
    held: Held,
    /// Why the message will be refused.
    failure: Option<SmtpReply>,
}

/// The file of a large message. The guard removes the file when the message is dropped.
#[derive(Debug)]
struct Spill {
    file: Option<File>,
    guard: SpooledFile,
    head: Bytes,
    /// What the head takes in memory.
    head_capacity: usize,
    pending: BytesMut,
}

impl Gather {
    pub(crate) fn new(spool: Arc<Spool>, message_bytes_max: u64, leading_space: bool) -> Self {
        Self {
            spool,
            message_bytes_max,
            leading_space,
            buffer: BytesMut::new(),
            fields: Vec::new(),
            headers_ended: false,
            len: 0,
            spill: None,
            held: None,
            failure: None,
        }
    }

    /// Adds a header field as it stood in the message: name, colon, value, with folds and the end
    /// of the line as CR LF. With LEADSPC this is what a DKIM signer saw; without it one space is
    /// put where the MTA took one away.
    pub(crate) fn header(&mut self, name: &[u8], value: &[u8]) {
        if self.failure.is_some() || self.headers_ended {
            return;
        }
        let start = self.buffer.len();
        // Each byte can become two at most.
        if self.fields.len() >= HEADERS_MAX
            || start + name.len() + 2 * value.len() > 2 * HEADER_BYTES_MAX
        {
            return self.fail(header_too_large());
        }
        self.buffer.put_slice(name);
        let colon = self.buffer.len();
        self.buffer.put_u8(b':');
        if !self.leading_space {
            self.buffer.put_u8(b' ');
        }
        put_crlf(&mut self.buffer, value);
        let end = self.buffer.len();
        self.buffer.put_slice(b"\r\n");
        if self.buffer.len() > HEADER_BYTES_MAX {
            return self.fail(header_too_large());
        }
        self.fields.push((start, colon, end));
        self.grown();
    }

    /// Ends the header block; what follows is body.
    pub(crate) fn end_of_headers(&mut self) {
        if self.failure.is_none() && !self.headers_ended {
            self.headers_ended = true;
            self.buffer.put_slice(b"\r\n");
            self.grown();
        }
    }

    /// Adds a piece of the body, which may have been cut anywhere.
    pub(crate) async fn body(&mut self, piece: &[u8]) {
        if self.failure.is_some() {
            return;
        }
        self.len += piece.len() as u64;
        if self.len > self.message_bytes_max {
            return self.fail(too_big());
        }
        match self.put(piece).await {
            Ok(()) => self.hold(),
            Err(error) => self.fail(no_room(&self.spool, &error)),
        }
    }

    /// The complete message with the memory it holds, or what the client is to be told instead.
    pub(crate) async fn finish(mut self) -> Result<(Vec<Header>, Content, Held), SmtpReply> {
        self.end_of_headers();
        if let Some(reply) = self.failure {
            return Err(reply);
        }
        let content = match self.spill.take() {
            None => Content::Memory(self.buffer.freeze()),
            Some(mut spill) => {
                if let Err(error) = spill.write().await {
                    return Err(no_room(&self.spool, &error));
                }
                let path = spill.guard.path().to_owned();
                spill.guard.adopt();
                Content::File(SpooledFile::new(path, self.len, spill.head))
            }
        };
        let head = content.head();
        let headers = self
            .fields
            .iter()
            .map(|&(start, colon, end)| Header {
                name: head.slice(start..colon),
                value: head.slice(colon + 1..end),
            })
            .collect();
        Ok((headers, content, self.held))
    }

    /// Notes the size after the header block grew.
    fn grown(&mut self) {
        self.len = self.buffer.len() as u64;
        if self.len > self.message_bytes_max {
            return self.fail(too_big());
        }
        self.hold();
    }

    /// Takes as much of the common memory as is in use here. Where there is none left the message
    /// is given up, so that others get theirs.
    fn hold(&mut self) {
        let spilled = |spill: &Spill| spill.head_capacity + spill.pending.capacity();
        let used = self.buffer.capacity() + self.spill.as_ref().map_or(0, spilled);
        let held = self
            .held
            .as_ref()
            .map_or(0, OwnedSemaphorePermit::num_permits);
        let Some(more) = used.div_ceil(MEMORY_UNIT).checked_sub(held) else {
            return;
        };
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        match Arc::clone(&self.spool.memory).try_acquire_many_owned(more) {
            Ok(more) => match &mut self.held {
                Some(held) => held.merge(more),
                None => self.held = Some(more),
            },
            Err(_) => self.fail(busy()),
        }
    }

    /// Gives back all that was gathered; the refusal is said at the end.
    fn fail(&mut self, reply: SmtpReply) {
        self.failure = Some(reply);
        self.buffer = BytesMut::new();
        self.fields = Vec::new();
        self.spill = None;
        self.held = None;
    }

    async fn put(&mut self, piece: &[u8]) -> io::Result<()> {
        if self.spill.is_none() {
            let room = MEMORY_BYTES_MAX - self.buffer.len();
            let (fits, rest) = piece.split_at(piece.len().min(room));
            self.buffer.put_slice(fits);
            if rest.is_empty() {
                return Ok(());
            }
            let head_capacity = self.buffer.capacity();
            let head = std::mem::take(&mut self.buffer).freeze();
            let spill = Spill::create(&self.spool, head, head_capacity).await?;
            let spill = self.spill.insert(spill);
            spill.pending.put_slice(rest);
        } else if let Some(spill) = &mut self.spill {
            spill.pending.put_slice(piece);
            if spill.pending.len() >= WRITE_BYTES {
                spill.write().await?;
            }
        }
        Ok(())
    }
}

impl Spill {
    /// Makes the file and writes the head of the message into it.
    async fn create(spool: &Arc<Spool>, head: Bytes, head_capacity: usize) -> io::Result<Self> {
        let spool = Arc::clone(spool);
        let start = head.clone();
        let (file, guard) = blocking(move || {
            let (mut file, path) = spool.create()?;
            let guard = SpooledFile::new(path, 0, Bytes::new());
            file.write_all(&start)?;
            Ok((file, guard))
        })
        .await?;
        Ok(Self {
            file: Some(file),
            guard,
            head,
            head_capacity,
            pending: BytesMut::with_capacity(WRITE_BYTES),
        })
    }

    /// Writes what is pending.
    async fn write(&mut self) -> io::Result<()> {
        let mut pending = std::mem::take(&mut self.pending);
        let mut file = self.file.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let (file, pending) = blocking(move || {
            file.write_all(&pending)?;
            pending.clear();
            Ok((file, pending))
        })
        .await?;
        self.file = Some(file);
        self.pending = pending;
        Ok(())
    }
}

/// Runs disk work where it holds up no session.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(io::Error::other(error)),
    }
}

/// Writes a value with each bare LF as CR LF.
fn put_crlf(out: &mut BytesMut, value: &[u8]) {
    let mut last = 0;
    for &byte in value {
        if byte == b'\n' && last != b'\r' {
            out.put_u8(b'\r');
        }
        out.put_u8(byte);
        last = byte;
    }
}

fn header_too_large() -> SmtpReply {
    SmtpReply::new(552, 3, 4, "Message header too large")
}

/// The disk does not take the message: the operator learns why, the client only that it may try
/// again.
fn no_room(spool: &Spool, error: &io::Error) -> SmtpReply {
    let folder = spool.folder.display();
    tracing::error!(%folder, %error, "cannot write a large message to its file");
    SmtpReply::new(452, 3, 1, "Insufficient system storage")
}

#[cfg(test)]
mod tests;
