//! Assembling: a letter is put together from its text and from files that are never in memory as a
//! whole, on the way into the store.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use data_encoding::BASE64_MIME;
use tokio::sync::Semaphore;

use super::uploads::Files;
use super::{EngineError, Handle};
use crate::content::{Content, MEMORY_BYTES_MAX, SpooledFile};
use crate::id::{AttachmentId, MessageId};
use crate::mail::compose::Piece;
use crate::mail::decode::{TransferEncoding, Unwrapper};
use crate::store::{BodyId, Store};

/// How many letters with files are put together at the same time; others wait. Each keeps a disk
/// busy, and takes less than a mebibyte of memory.
const AT_ONCE: usize = 4;

static PLACES: Semaphore = Semaphore::const_new(AT_ONCE);

/// How much of a file is read at a time, in bytes.
const PIECE_BYTES: usize = 64 << 10;

/// Bytes of a file in one line of base 64 (RFC 2045, section 6.8: 76 characters).
const LINE_BYTES: usize = 57;

/// Where the bytes of an attached file are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Uploaded, and complete.
    Upload(AttachmentId),
    /// In a stored letter: these bytes of it, wrapped like this.
    Part {
        /// Which letter.
        message: MessageId,
        /// Where in it.
        range: Range<u64>,
        /// How they are wrapped.
        encoding: TransferEncoding,
    },
}

/// Why a letter was not put together. Nothing is left of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AssembleError {
    /// The disk did not take it, or a file could not be read.
    Engine(EngineError),
    /// It is larger than so many bytes. The caller's move.
    TooLarge(u64),
}

impl Handle {
    /// Puts a letter together, of at most so many bytes.
    ///
    /// # Errors
    ///
    /// [`AssembleError`].
    pub async fn assemble(
        &self,
        pieces: Vec<Piece>,
        sources: Vec<Source>,
        bytes_max: u64,
    ) -> Result<Content, AssembleError> {
        // The semaphore is never closed.
        let _place = PLACES.acquire().await.ok();
        let shared = self.shared();
        let work = move || {
            let mut letter = Letter::new(shared.store.incoming().to_owned(), bytes_max);
            for piece in pieces {
                match piece {
                    Piece::Bytes(bytes) => letter.write(&bytes)?,
                    Piece::File(at) => {
                        let source = sources.get(at).ok_or(io::ErrorKind::NotFound)?;
                        let mut lines = Lines::default();
                        read(&*shared.store, &shared.files, source, &mut |bytes| {
                            letter.write(lines.push(bytes).as_bytes())
                        })?;
                        letter.write(lines.finish().as_bytes())?;
                    }
                }
            }
            letter.finish()
        };
        let assembled = tokio::task::spawn_blocking(work).await;
        let assembled = assembled.map_err(|_| AssembleError::Engine(EngineError::Stopping))?;
        assembled.map_err(|error| match error.kind() {
            io::ErrorKind::FileTooLarge => AssembleError::TooLarge(bytes_max),
            _ => AssembleError::Engine(EngineError::Unavailable(format!(
                "a mail with files cannot be put together: {error}"
            ))),
        })
    }
}

/// Reads a file from its beginning to its end, piece by piece.
fn read(
    store: &dyn Store,
    files: &Files,
    source: &Source,
    each: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut piece = vec![0; PIECE_BYTES];
    let mut pieces = |reader: &mut dyn Read, each: &mut dyn FnMut(&[u8]) -> io::Result<()>| {
        loop {
            match reader.read(&mut piece)? {
                0 => return Ok(()),
                count => each(piece.get(..count).unwrap_or_default())?,
            }
        }
    };
    match source {
        Source::Upload(id) => pieces(&mut files.reader(*id)?, each),
        Source::Part {
            message,
            range,
            encoding,
        } => {
            let id = BodyId::from_bytes(message.to_bytes());
            let found = store.body_reader(id).map_err(io::Error::other)?;
            let mut body = found.ok_or(io::ErrorKind::NotFound)?;
            body.skip_to(range.start)?;
            let mut wrapped = body.take(range.end.saturating_sub(range.start));
            let mut unwrapper = Unwrapper::new(*encoding);
            pieces(&mut wrapped, &mut |bytes| each(&unwrapper.push(bytes)))?;
            each(&unwrapper.finish())
        }
    }
}

/// Bytes on their way into lines of base 64.
#[derive(Default)]
struct Lines {
    /// What does not fill a line yet.
    rest: Vec<u8>,
}

impl Lines {
    /// The lines that are full now.
    fn push(&mut self, bytes: &[u8]) -> String {
        self.rest.extend_from_slice(bytes);
        let full = self.rest.len() - self.rest.len() % LINE_BYTES;
        let lines = BASE64_MIME.encode(self.rest.get(..full).unwrap_or_default());
        self.rest.drain(..full);
        lines
    }

    /// The last line, if anything is left.
    fn finish(self) -> String {
        BASE64_MIME.encode(&self.rest)
    }
}

/// A letter while it is put together: in memory while it is small, else in a file.
struct Letter {
    folder: PathBuf,
    bytes_max: u64,
    len: u64,
    head: Vec<u8>,
    file: Option<(File, SpooledFile)>,
}

impl Letter {
    const fn new(folder: PathBuf, bytes_max: u64) -> Self {
        Self {
            folder,
            bytes_max,
            len: 0,
            head: Vec::new(),
            file: None,
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.len += bytes.len() as u64;
        if self.len > self.bytes_max {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let room = MEMORY_BYTES_MAX - self.head.len();
        let (fits, rest) = bytes.split_at(bytes.len().min(room));
        self.head.extend_from_slice(fits);
        if rest.is_empty() {
            return Ok(());
        }
        if self.file.is_none() {
            let (mut file, guard) = self.create()?;
            file.write_all(&self.head)?;
            self.file = Some((file, guard));
        }
        match &mut self.file {
            Some((file, _)) => file.write_all(rest),
            None => Ok(()),
        }
    }

    /// Makes a file that nobody else has. Dropped before the store has taken it, it is removed.
    fn create(&self) -> io::Result<(File, SpooledFile)> {
        static LETTERS: AtomicU64 = AtomicU64::new(0);
        const FILE_MODE: u32 = 0o600;
        loop {
            let number = LETTERS.fetch_add(1, Ordering::Relaxed);
            let name = format!("outgoing-{}-{number}", std::process::id());
            let path = self.folder.join(name);
            let mut options = OpenOptions::new();
            match options
                .write(true)
                .create_new(true)
                .mode(FILE_MODE)
                .open(&path)
            {
                // An earlier process had our id; the numbers do not end.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                file => return Ok((file?, SpooledFile::new(path, 0, Bytes::new()))),
            }
        }
    }

    fn finish(self) -> io::Result<Content> {
        let head = Bytes::from(self.head);
        let Some((_, guard)) = self.file else {
            return Ok(Content::Memory(head));
        };
        let path = guard.path().to_owned();
        guard.adopt();
        Ok(Content::File(SpooledFile::new(path, self.len, head)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_full_wherever_the_bytes_are_cut() {
        let bytes: Vec<u8> = (0..1000_u32).map(|n| (n * 7) as u8).collect();
        let whole = BASE64_MIME.encode(&bytes);
        for cut in [1, 56, 57, 58, 300, 999, 1000] {
            let mut lines = Lines::default();
            let mut out = String::new();
            for piece in bytes.chunks(cut) {
                out.push_str(&lines.push(piece));
                assert!(lines.rest.len() < LINE_BYTES);
            }
            out.push_str(&lines.finish());
            assert_eq!(out, whole, "{cut}");
        }
        assert!(whole.lines().all(|line| line.len() <= 76));
    }

    #[test]
    fn a_letter_goes_to_a_file_once_it_is_large_and_no_further_than_it_may() {
        let folder = tempfile::tempdir().unwrap();
        let letter = |pieces: &[usize], max: u64| {
            let mut letter = Letter::new(folder.path().to_owned(), max);
            for (at, count) in pieces.iter().enumerate() {
                letter.write(&vec![at as u8; *count])?;
            }
            letter.finish()
        };
        let small = letter(&[MEMORY_BYTES_MAX - 1, 1], u64::MAX).unwrap();
        assert!(matches!(small, Content::Memory(_)));
        for pieces in [
            &[MEMORY_BYTES_MAX + 1, 5][..],
            &[10, MEMORY_BYTES_MAX, 5],
            &[MEMORY_BYTES_MAX, 1, 9],
        ] {
            let Content::File(file) = letter(pieces, u64::MAX).unwrap() else {
                panic!("in memory: {pieces:?}");
            };
            let written = std::fs::read(file.path()).unwrap();
            let all: Vec<u8> = (pieces.iter().enumerate())
                .flat_map(|(at, count)| vec![at as u8; *count])
                .collect();
            assert!(written == all, "{pieces:?}");
            let content = Content::File(file);
            assert_eq!(content.len(), all.len() as u64);
            assert_eq!(content.head().len(), MEMORY_BYTES_MAX);
        }
        let error = letter(&[MEMORY_BYTES_MAX, 2], MEMORY_BYTES_MAX as u64 + 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        // Nothing of it is left.
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
