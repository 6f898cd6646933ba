//! Uploads: the bytes of the files that agents attach, while they come in and when they are read.
//!
//! Each file lies in a folder of the store under its own id, and is only ever appended to. A chunk
//! is durable before it is answered, so what the file holds is what the client need not send again.
//! Which files there are is the desk's business; here is no decision.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use ring::digest::{Context, SHA256};
use tokio::sync::Semaphore;

use super::{EngineError, Handle};
use crate::desk::{Answer, Command, Refusal, Upload};
use crate::id::{AttachmentId, InteractionId, SessionId};

/// Largest chunk of an upload, in bytes. Requests are 4 MiB at most, and many small chunks cost
/// little more than few large ones.
pub const CHUNK_BYTES_MAX: usize = 1 << 20;

/// How many chunks are in work at once. Each is in memory, and waits for the disk; whoever comes
/// beyond that comes again.
const CHUNKS_AT_ONCE: usize = 32;

/// How much of a file is read at a time, in bytes.
const PIECE_BYTES: usize = 128 << 10;

/// Files for the owner only, as all of the store.
const FILE_MODE: u32 = 0o600;

/// How many files can be written to at the same time, at most.
const LOCKS: usize = 64;

/// Why a chunk was not taken. The file is as it was, except after [`Self::Digest`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UploadError {
    /// The engine or the desk said no; a disk that does not take the bytes is
    /// [`EngineError::Unavailable`].
    Engine(EngineError),
    /// The chunk does not go on from what is there, or is not what is there. The caller's move: go
    /// on from so many bytes.
    Offset(u64),
    /// The chunk goes beyond the announced size, in bytes.
    TooLarge(u64),
    /// All is there and is not what was announced. The bytes are gone: the caller begins again.
    Digest,
    /// So many chunks are in work that this one was not taken; try again.
    Busy,
}

impl fmt::Display for UploadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Engine(error) => error.fmt(f),
            Self::Offset(received) => write!(
                f,
                "{received} bytes of the file are here; go on from there with what follows them"
            ),
            Self::TooLarge(size) => write!(f, "the file was announced with {size} bytes"),
            Self::Digest => f.write_str(
                "the file is not what its SHA-256 announced; its bytes were dropped, send it again",
            ),
            Self::Busy => f.write_str("too many files are being sent; try again"),
        }
    }
}

impl std::error::Error for UploadError {}

impl From<EngineError> for UploadError {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

/// The files.
#[derive(Debug)]
pub(super) struct Files {
    folder: PathBuf,
    /// One of them is held by whoever writes to a file.
    locks: [Mutex<()>; LOCKS],
    places: Semaphore,
    /// To the thread that removes what nobody needs: a large file takes its time.
    dropped: Option<Sender<AttachmentId>>,
}

impl Files {
    /// The files of a folder. Those that nobody knows are removed: a crash came between a record's
    /// end and its file's.
    pub(super) fn open<'a>(folder: &Path, known: impl Iterator<Item = &'a Upload>) -> Self {
        let known: BTreeSet<String> = known.map(|upload| upload.id.to_string()).collect();
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if name.to_str().is_none_or(|name| !known.contains(name)) {
                remove(&entry.path());
            }
        }
        let (dropped, ids) = channel::<AttachmentId>();
        let place = folder.to_owned();
        let remover = std::thread::Builder::new()
            .name("uploads".to_owned())
            .spawn(move || {
                for id in ids {
                    remove(&place.join(id.to_string()));
                }
            });
        Self {
            folder: folder.to_owned(),
            locks: std::array::from_fn(|_| Mutex::default()),
            places: Semaphore::new(CHUNKS_AT_ONCE),
            // Without the thread they lie there until the next start.
            dropped: remover.is_ok().then_some(dropped),
        }
    }

    fn path(&self, id: AttachmentId) -> PathBuf {
        self.folder.join(id.to_string())
    }

    fn lock(&self, id: AttachmentId) -> MutexGuard<'_, ()> {
        let at = usize::from(id.to_bytes()[15]) % LOCKS;
        let lock = self.locks.get(at).unwrap_or(&self.locks[0]);
        lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes files soon.
    pub(super) fn drop_all(&self, ids: Vec<AttachmentId>) {
        if let Some(dropped) = &self.dropped {
            for id in ids {
                // The thread ends with the last sender, not before.
                let _ = dropped.send(id);
            }
        }
    }

    /// How much of a file is there, and durable.
    fn received(&self, id: AttachmentId) -> io::Result<u64> {
        match fs::metadata(self.path(id)) {
            Ok(metadata) => Ok(metadata.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Adds a chunk, as far as it is not there yet. Answers how much is there then, and whether the
    /// file is new.
    fn write(
        &self,
        upload: &Upload,
        offset: u64,
        chunk: &[u8],
    ) -> Result<(u64, bool), UploadError> {
        let _lock = self.lock(upload.id);
        let received = self.received(upload.id).map_err(unwritten)?;
        if offset > received {
            return Err(UploadError::Offset(received));
        }
        let end = offset.saturating_add(chunk.len() as u64);
        if end > upload.size {
            return Err(UploadError::TooLarge(upload.size));
        }
        let known = usize::try_from(received - offset).unwrap_or(usize::MAX);
        let (repeated, new) = chunk.split_at(known.min(chunk.len()));
        let (file, is_new) = self.open_file(upload.id).map_err(unwritten)?;
        let mut there = vec![0; repeated.len()];
        file.read_exact_at(&mut there, offset).map_err(unwritten)?;
        if there != repeated {
            return Err(UploadError::Offset(received));
        }
        if !new.is_empty() {
            let written = file.write_all_at(new, received);
            if let Err(error) = written.and_then(|()| file.sync_data()) {
                // What was written of the chunk does not count: it may not be durable.
                let _ = file.set_len(received);
                return Err(unwritten(error));
            }
        }
        Ok((received + new.len() as u64, is_new))
    }

    /// Opens a file for writing, and says whether it is new. Then it is there for good.
    fn open_file(&self, id: AttachmentId) -> io::Result<(File, bool)> {
        let path = self.path(id);
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(FILE_MODE);
        match options.open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            opened => return Ok((opened?, false)),
        }
        fs::create_dir_all(&self.folder)?;
        let file = options.create(true).truncate(false).open(&path)?;
        File::open(&self.folder)?.sync_all()?;
        Ok((file, true))
    }

    /// Compares a file with what was announced, and answers its digest.
    fn check(&self, upload: &Upload) -> Result<[u8; 32], UploadError> {
        let _lock = self.lock(upload.id);
        let received = self.received(upload.id).map_err(unwritten)?;
        if received != upload.size {
            return Err(UploadError::Offset(received));
        }
        let (mut file, _) = self.open_file(upload.id).map_err(unwritten)?;
        let mut context = Context::new(&SHA256);
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let count = file.read(&mut piece).map_err(unwritten)?;
            match piece.get(..count) {
                Some(read) if count > 0 => context.update(read),
                _ => break,
            }
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(context.finish().as_ref());
        if upload.digest.is_some_and(|announced| announced != digest) {
            file.set_len(0).map_err(unwritten)?;
            return Err(UploadError::Digest);
        }
        Ok(digest)
    }

    /// Opens a file for reading; all of it is there.
    pub(super) fn reader(&self, id: AttachmentId) -> io::Result<File> {
        File::open(self.path(id))
    }
}

impl Handle {
    /// Adds a chunk to a file, on behalf of the agent who writes; a chunk that is there already is
    /// taken as well. With `finish` the file is complete, and compared with what was announced.
    /// Answers the file and how much of it is durable.
    ///
    /// # Errors
    ///
    /// [`UploadError`].
    pub async fn write_upload(
        &self,
        session: SessionId,
        (interaction, id): (InteractionId, AttachmentId),
        (offset, chunk): (u64, Bytes),
        finish: bool,
    ) -> Result<(Upload, u64), UploadError> {
        let places = self.files().places.try_acquire();
        let _place = places.map_err(|_| UploadError::Busy)?;
        let found = self
            .look(move |desk, _| desk.upload_for(session, interaction, id).cloned())
            .await?;
        let upload = found.map_err(EngineError::from)?;
        let more = !upload.ready && !chunk.is_empty();
        if more && !self.takes_mail() {
            let why = "there is no room for more files".to_owned();
            return Err(EngineError::Unavailable(why).into());
        }
        let asked = upload.clone();
        let (received, is_new) = self
            .with_files(move |files| files.write(&asked, offset, &chunk))
            .await??;
        if is_new {
            // Had it been taken away meanwhile, its file would have come back for good.
            let kept = self.look(move |desk, _| desk.upload(interaction, id).is_some());
            if !kept.await? {
                self.files().drop_all(vec![id]);
                return Err(EngineError::from(Refusal::UploadUnknown(interaction, id)).into());
            }
        }
        if !finish || upload.ready {
            return Ok((upload, received));
        }
        let asked = upload.clone();
        let digest = self.with_files(move |files| files.check(&asked)).await??;
        let finished = Command::FinishUpload {
            session,
            interaction,
            upload: id,
            digest,
        };
        match self.command(finished, None).await?.answer {
            Answer::Upload(upload) => Ok((*upload, received)),
            _ => Ok((upload, received)),
        }
    }

    /// How much of each of these files is there, in bytes.
    ///
    /// # Errors
    ///
    /// [`EngineError::Unavailable`] if the disk does not answer.
    pub async fn received(&self, uploads: Vec<AttachmentId>) -> Result<Vec<u64>, EngineError> {
        self.with_files(move |files| {
            let received = uploads.into_iter().map(|id| files.received(id));
            received.collect::<io::Result<_>>().map_err(unreadable)
        })
        .await?
    }

    /// A piece of a complete file; empty at the end.
    ///
    /// # Errors
    ///
    /// As for [`Self::received`].
    pub async fn upload_chunk(
        &self,
        id: AttachmentId,
        offset: u64,
        bytes_max: usize,
    ) -> Result<Bytes, EngineError> {
        self.with_files(move |files| {
            let read = || {
                let file = files.reader(id)?;
                let mut bytes = vec![0; bytes_max.min(CHUNK_BYTES_MAX)];
                let mut filled = 0;
                while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
                    match file.read_at(rest, offset + filled as u64)? {
                        0 => break,
                        count => filled += count,
                    }
                }
                bytes.truncate(filled);
                Ok(bytes.into())
            };
            read().map_err(unreadable)
        })
        .await?
    }

    /// Works on files where blocking is allowed.
    async fn with_files<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Files) -> T + Send + 'static,
    ) -> Result<T, EngineError> {
        let shared = self.shared();
        let done = tokio::task::spawn_blocking(move || work(&shared.files)).await;
        done.map_err(|_| EngineError::Stopping)
    }
}

fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, path = %path.display(), "an upload that nobody needs stays");
    }
}

fn unreadable(error: io::Error) -> EngineError {
    EngineError::Unavailable(format!("an upload cannot be read: {error}"))
}

/// The disk does not take the bytes, most often because it is full.
fn unwritten(error: io::Error) -> UploadError {
    EngineError::Unavailable(format!("an upload cannot be kept: {error}")).into()
}

#[cfg(test)]
mod tests;
