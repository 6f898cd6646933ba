//! The store: what must outlive the process. [`Local`] keeps it in a folder of this machine,
//! [`Memory`] keeps it for as long as a test lasts.
//!
//! This file is the seam and knows neither. Keys and values are opaque here; their layouts are the
//! engine's business. Everything blocks: the one writer is a plain thread, and readers come from
//! threads that may wait for a disk.

use std::fmt;
use std::io::{self, Read};
use std::path::Path;

use bytes::Bytes;

use crate::content::Content;

pub mod keys;
pub mod local;
pub mod memory;
mod previous;
pub mod proof;
pub mod record;

mod applier;
mod file;
mod frame;
mod index;
mod journal;
mod keeper;
mod overlay;
mod recovery;
mod segment;
mod snapshot;

#[cfg(test)]
mod faulty;
#[cfg(test)]
mod story;
#[cfg(test)]
mod tests;

pub use local::{Local, LocalConfig};
pub use memory::Memory;
pub use recovery::{OpenError, Recovery};

/// A key with its value.
pub type Pair = (Vec<u8>, Vec<u8>);

/// Names a body. Never given out twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BodyId([u8; 16]);

impl BodyId {
    /// Makes an id of the bytes of whatever the body belongs to, such as a message id's.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The inverse of [`Self::from_bytes`].
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }
}

impl fmt::Display for BodyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for BodyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Changes that become durable together or not at all. Where one key is both put and deleted, the
/// delete wins; of two puts the later wins.
#[derive(Debug, Default)]
pub struct Batch {
    puts: Vec<Pair>,
    deletes: Vec<Vec<u8>>,
    bodies: Vec<(BodyId, Content)>,
    essential: bool,
}

impl Batch {
    /// Sets a key to a value.
    pub fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.puts.push((key, value));
    }

    /// Takes a key away, if it is there.
    pub fn delete(&mut self, key: Vec<u8>) {
        self.deletes.push(key);
    }

    /// Keeps a body. A body in a file is moved, not copied: afterwards the store answers for it.
    pub fn body(&mut self, id: BodyId, content: Content) {
        self.bodies.push((id, content));
    }

    /// Lets this batch use the space below the free-space floor: for what agents do with the mail
    /// that is already here, not for more mail.
    pub const fn set_essential(&mut self) {
        self.essential = true;
    }

    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.puts.is_empty() && self.deletes.is_empty() && self.bodies.is_empty()
    }
}

/// What must outlive the process. The engine is the only caller of [`Self::commit`]; anyone may
/// read, from any thread that may block.
pub trait Store: Send + Sync + fmt::Debug {
    /// The value of a key.
    ///
    /// # Errors
    /// The disk's or ours; nothing the caller can mend.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// A page of at most `limit` pairs whose keys begin with `prefix`, in the order of the keys.
    /// For the next page give the last key of this one as `after`; a short page is the last.
    /// A page is of one moment: of no group it has a part. Pages are read one by one, so a scan of
    /// several may see a commit fall between them.
    ///
    /// # Errors
    /// As for [`Self::get`].
    fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Pair>, StoreError>;

    /// The same from the end backwards; `before` is the last key of the page before.
    ///
    /// # Errors
    /// As for [`Self::get`].
    fn scan_back(
        &self,
        prefix: &[u8],
        before: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Pair>, StoreError>;

    /// Writes a group of batches, in order, and makes it durable with one sync. When this returns
    /// `Ok`, every batch survives a power cut and every reader sees it. After an error a crash
    /// leaves each batch whole or absent.
    ///
    /// # Errors
    /// [`CommitError::Unavailable`]: nothing was written, and the same may succeed later.
    /// [`CommitError::Unknown`]: any of the batches may be there after a restart, which the
    /// store now needs.
    fn commit(&self, group: Vec<Batch>) -> Result<(), CommitError>;

    /// A whole body in memory; for those that are known to be small, see [`Self::body_reader`].
    ///
    /// # Errors
    /// As for [`Self::get`], and [`StoreError::Damaged`] if the bytes are not those written.
    fn body(&self, id: BodyId) -> Result<Option<Bytes>, StoreError> {
        let Some(reader) = self.body_reader(id)? else {
            return Ok(None);
        };
        if let Some(bytes) = reader.whole() {
            return Ok(Some(bytes));
        }
        read_whole(reader, || format!("body {id}")).map(|bytes| Some(bytes.into()))
    }

    /// A body as a stream.
    ///
    /// # Errors
    /// As for [`Self::get`].
    fn body_reader(&self, id: BodyId) -> Result<Option<BodyReader>, StoreError>;

    /// How the store is doing.
    fn health(&self) -> Health;

    /// The folder for messages too large to be held in memory while they arrive. On the same file
    /// system as the store, emptied at each start.
    fn incoming(&self) -> &Path;

    /// The folder for files that agents attach to what they write. Kept over starts: the engine
    /// knows which of them are still wanted.
    fn uploads(&self) -> &Path;
}

/// Where a body's bytes come from.
enum Source {
    Memory(Bytes),
    File(Box<dyn file::DiskFile>),
}

/// A body as a stream of [`Self::len`] bytes. Ends with [`io::ErrorKind::InvalidData`] if what was
/// read is not what was written.
pub struct BodyReader {
    source: Source,
    /// Where the body begins in its source.
    begin: u64,
    len: u64,
    done: u64,
    crc: Option<u32>,
    hasher: crc32fast::Hasher,
}

impl BodyReader {
    fn memory(bytes: Bytes) -> Self {
        let len = bytes.len() as u64;
        Self::new(Source::Memory(bytes), 0, len, None)
    }

    fn file(file: Box<dyn file::DiskFile>, begin: u64, len: u64, crc: Option<u32>) -> Self {
        Self::new(Source::File(file), begin, len, crc)
    }

    fn new(source: Source, begin: u64, len: u64, crc: Option<u32>) -> Self {
        Self {
            source,
            begin,
            len,
            done: 0,
            crc,
            hasher: crc32fast::Hasher::new(),
        }
    }

    /// Size of the whole body in bytes.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether the body has not a single byte.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Goes on from another place. The whole is then no longer compared with what was written.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] beyond the end.
    pub fn skip_to(&mut self, offset: u64) -> io::Result<()> {
        if offset > self.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if offset != self.done {
            self.crc = None;
            self.done = offset;
        }
        Ok(())
    }

    /// The whole body, if it is in memory anyway.
    fn whole(&self) -> Option<Bytes> {
        match &self.source {
            Source::Memory(bytes) => Some(bytes.clone()),
            Source::File(_) => None,
        }
    }
}

impl fmt::Debug for BodyReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodyReader")
            .field("len", &self.len)
            .field("done", &self.done)
            .finish_non_exhaustive()
    }
}

impl Read for BodyReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.len - self.done;
        let want = buffer
            .len()
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        let Some(buffer) = buffer.get_mut(..want).filter(|buffer| !buffer.is_empty()) else {
            return Ok(0);
        };
        let count = match &self.source {
            Source::Memory(bytes) => {
                let from = usize::try_from(self.done).unwrap_or(usize::MAX);
                bytes.get(from..).unwrap_or_default().read(buffer)?
            }
            Source::File(file) => file.read_at(buffer, self.begin + self.done)?,
        };
        let read = buffer.get(..count).unwrap_or_default();
        self.hasher.update(read);
        self.done += count as u64;
        let short = count == 0;
        let differs = self.done == self.len
            && self
                .crc
                .is_some_and(|crc| self.hasher.clone().finalize() != crc);
        if short || differs {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a stored body is damaged",
            ));
        }
        Ok(count)
    }
}

/// Reads all of a stream; `what` names it if it is damaged.
fn read_whole(
    mut reader: BodyReader,
    what: impl FnOnce() -> String,
) -> Result<Vec<u8>, StoreError> {
    let mut bytes = Vec::with_capacity(usize::try_from(reader.len()).unwrap_or(0));
    match reader.read_to_end(&mut bytes) {
        Ok(_) => Ok(bytes),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            Err(StoreError::Damaged(what()))
        }
        Err(error) => Err(StoreError::Io(error)),
    }
}

/// How the store is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Bytes that may still be written to the file system.
    pub free_bytes: u64,
    /// Whether [`Self::free_bytes`] is below the configured floor: only essential batches are taken.
    pub below_floor: bool,
    /// Why nothing more is taken until a restart, if so.
    pub dead: Option<String>,
    /// Bytes written to the journal, with what is left empty at the ends of its segments.
    pub journal_bytes: u64,
}

impl Health {
    /// Whether an ordinary batch would be taken now.
    #[must_use]
    pub const fn takes_mail(&self) -> bool {
        self.dead.is_none() && !self.below_floor
    }
}

/// A read that failed. Ours or the disk's to mend, never the caller's.
#[derive(Debug)]
pub enum StoreError {
    /// The disk answered with an error.
    Io(io::Error),
    /// The index answered with an error.
    Index(String),
    /// What was read is not what was written; the text says what it was.
    Damaged(String),
    /// The store was closed before: a fault in the order of our own shutdown.
    Closed,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "the store cannot read its disk: {error}"),
            Self::Index(error) => write!(f, "the store's index failed: {error}"),
            Self::Damaged(what) => write!(f, "damaged in the store: {what}"),
            Self::Closed => f.write_str("the store is closed"),
        }
    }
}

impl std::error::Error for StoreError {}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A commit that did not succeed.
#[derive(Debug)]
pub enum CommitError {
    /// Nothing was written. The peer may try again later; the text is for the operator.
    Unavailable(Unavailable),
    /// Any batch of the group may be found after a restart, which is the only way on: the store
    /// takes nothing more. The text is for the operator.
    Unknown(String),
}

impl fmt::Display for CommitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(why) => write!(f, "nothing was stored: {why}"),
            Self::Unknown(why) => write!(f, "unknown what was stored, restart needed: {why}"),
        }
    }
}

impl std::error::Error for CommitError {}

/// Why nothing was written.
#[derive(Debug)]
pub enum Unavailable {
    /// Less space is free than the operator wants to keep; both in bytes.
    BelowFloor {
        /// What is free.
        free_bytes: u64,
        /// What should be.
        floor_bytes: u64,
    },
    /// The disk refused the bytes, most often because it is full.
    Disk(io::Error),
    /// A batch is larger than a frame of the journal may be; our own fault.
    TooLarge,
    /// An earlier failure left the store in doubt; it waits for a restart.
    Dead(String),
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BelowFloor {
                free_bytes,
                floor_bytes,
            } => write!(
                f,
                "{free_bytes} bytes are free, below the floor of {floor_bytes}"
            ),
            Self::Disk(error) => write!(f, "the disk refused: {error}"),
            Self::TooLarge => f.write_str("a batch is larger than a frame may be"),
            Self::Dead(why) => write!(f, "the store needs a restart: {why}"),
        }
    }
}
