//! The bytes of one message: in memory while small, in a file of its own once large.
//!
//! The milter fills one while a message arrives, the engine hands it to the store with the batch
//! that names it, and the store adopts the file instead of copying it.

use std::path::{Path, PathBuf};

use bytes::Bytes;

/// Largest message that is kept in memory while it is in flight, in bytes. Larger ones go to a
/// file while they arrive, so that a hundred 25 MiB messages do not cost 2.5 GiB.
pub const MEMORY_BYTES_MAX: usize = 256 << 10;

/// The whole message as it will be stored: header block, empty line, body; lines end in CR LF as
/// far as the MTA ended them so.
#[derive(Debug)]
pub enum Content {
    /// A small message, at most [`MEMORY_BYTES_MAX`].
    Memory(Bytes),
    /// A large message.
    File(SpooledFile),
}

impl Content {
    /// Size of the whole message in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File(file) => file.len,
        }
    }

    /// Whether there is not a single byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The beginning of the message: all of a small one, the first [`MEMORY_BYTES_MAX`] bytes of a
    /// large one. The header block is bounded well below that, so it is always whole.
    #[must_use]
    pub const fn head(&self) -> &Bytes {
        match self {
            Self::Memory(bytes) => bytes,
            Self::File(file) => &file.head,
        }
    }
}

/// A large message in a file below the store's own folder. Dropped without being adopted, it
/// removes the file: an aborted message leaves nothing behind.
#[derive(Debug)]
pub struct SpooledFile {
    path: PathBuf,
    len: u64,
    head: Bytes,
    adopted: bool,
}

impl SpooledFile {
    /// Takes charge of a complete file of `len` bytes whose beginning is `head`.
    #[must_use]
    pub const fn new(path: PathBuf, len: u64, head: Bytes) -> Self {
        Self {
            path,
            len,
            head,
            adopted: false,
        }
    }

    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The store has moved the file away and answers for it from now on.
    pub fn adopt(mut self) {
        self.adopted = true;
    }
}

impl Drop for SpooledFile {
    fn drop(&mut self) {
        if !self.adopted {
            // A file that cannot be removed is an orphan, which the store clears at its next start.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
