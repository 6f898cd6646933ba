//! Checkpoints and snapshots: what keeps the next start short. The journal alone would do.
//!
//! A checkpoint says from where on the journal must be replayed into the index that is there. A
//! snapshot is the index as a checksummed file, for when the index cannot be trusted.

use std::io;
use std::path::{Path, PathBuf};

use crc32fast::Hasher;

use super::Pair;
use super::file::{CHUNK_BYTES, Disk, DiskFile, replace};
use super::frame::{FRAME_BYTES_MAX, Input};
use super::journal::Position;
use super::recovery::OpenError;
use super::segment::{SCHEMA, StoreId};

const CHECKPOINT_MAGIC: [u8; 8] = *b"PRcheckp";
const SNAPSHOT_MAGIC: [u8; 8] = *b"PRsnapsh";

/// Bytes of a snapshot before its pairs: magic, schema, store, position.
const SNAPSHOT_HEAD_BYTES: usize = 8 + 4 + 16 + 24;

/// Where a key's length would be, the end of the pairs.
const SNAPSHOT_END: u32 = u32::MAX;

/// What is done with each pair of a snapshot.
pub(crate) type VisitPair<'a> = dyn FnMut(&[u8], &[u8]) -> Result<(), OpenError> + 'a;

/// Up to where the index holds what the journal does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    pub(crate) store: StoreId,
    pub(crate) position: Position,
    /// Whether the store was closed and the index's files are durable.
    pub(crate) clean: bool,
    /// The kernel's name for the time since it booted: as long as that is the same, what was
    /// written is there, synced or not.
    pub(crate) boot_id: String,
}

impl Checkpoint {
    fn path(folder: &Path) -> PathBuf {
        folder.join("checkpoint")
    }

    /// Replaces the checkpoint of a store's folder, durably.
    pub(crate) fn write(&self, disk: &dyn Disk, folder: &Path) -> io::Result<()> {
        let mut bytes = CHECKPOINT_MAGIC.to_vec();
        bytes.extend_from_slice(&SCHEMA.to_le_bytes());
        bytes.extend_from_slice(&self.store);
        put_position(&mut bytes, self.position);
        bytes.push(u8::from(self.clean));
        bytes.extend_from_slice(self.boot_id.as_bytes());
        let crc = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        replace(disk, &Self::path(folder), &bytes)
    }

    /// Reads the checkpoint of a store's folder. One that is not whole is as good as none: a start
    /// without one takes longer, that is all.
    pub(crate) fn read(disk: &dyn Disk, folder: &Path) -> Result<Option<Self>, OpenError> {
        let path = Self::path(folder);
        let mut bytes = vec![0; 256];
        match disk
            .open(&path)
            .and_then(|file| file.read_at(&mut bytes, 0))
        {
            Ok(count) => bytes.truncate(count),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(OpenError::io(&path, error)),
        }
        let mut input = Input(&bytes);
        if input.array() != Some(CHECKPOINT_MAGIC) {
            return Ok(None);
        }
        match input.u32() {
            Some(schema) if schema > SCHEMA => {
                return Err(OpenError::NewerSchema {
                    path,
                    found: schema,
                });
            }
            _ => {}
        }
        let mut read = || {
            let (covered, crc) = bytes.split_last_chunk()?;
            if crc32fast::hash(covered) != u32::from_le_bytes(*crc) {
                return None;
            }
            let store = input.array()?;
            let position = position(&mut input)?;
            let clean = input.array()? == [1];
            let boot_id = input.take(input.0.len().checked_sub(4)?)?;
            Some(Self {
                store,
                position,
                clean,
                boot_id: String::from_utf8(boot_id.to_vec()).ok()?,
            })
        };
        Ok(read())
    }
}

/// What a whole snapshot says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SnapshotInfo {
    /// From where on the journal must be replayed over it.
    pub(crate) position: Position,
    /// Sequence before which it must not end: the pairs were read while others went on writing, so
    /// some may be newer than the position. Replay makes them agree.
    pub(crate) sequence_end: u64,
}

fn snapshot_path(folder: &Path) -> PathBuf {
    folder.join("snapshot")
}

/// Writes a snapshot beside the one there is and then in its place. `position` must be durable and
/// in the index before `pairs` are read; `sequence_end` is asked once they have been.
/// Ends without a snapshot if `stop` says so.
pub(crate) fn write<E: From<io::Error>>(
    disk: &dyn Disk,
    folder: &Path,
    store: StoreId,
    position: Position,
    pairs: impl Iterator<Item = Result<Pair, E>>,
    sequence_end: impl FnOnce() -> u64,
    stop: impl Fn() -> bool,
) -> Result<(), E> {
    let path = folder.join("snapshot.tmp");
    let file = disk.create(&path, 0)?;
    let mut out = Output {
        file: &*file,
        offset: 0,
        buffer: Vec::with_capacity(CHUNK_BYTES),
        hasher: Hasher::new(),
    };
    out.put(&SNAPSHOT_MAGIC)?;
    out.put(&SCHEMA.to_le_bytes())?;
    out.put(&store)?;
    let mut head = Vec::new();
    put_position(&mut head, position);
    out.put(&head)?;
    for pair in pairs {
        let (key, value) = pair?;
        out.put(&(key.len() as u32).to_le_bytes())?;
        out.put(&(value.len() as u32).to_le_bytes())?;
        out.put(&key)?;
        out.put(&value)?;
        if stop() {
            disk.remove(&path)?;
            return Ok(());
        }
    }
    out.put(&SNAPSHOT_END.to_le_bytes())?;
    out.put(&sequence_end().to_le_bytes())?;
    out.flush()?;
    let crc = out.hasher.clone().finalize();
    out.put(&crc.to_le_bytes())?;
    out.flush()?;
    file.sync()?;
    disk.rename(&path, &snapshot_path(folder))?;
    disk.sync_folder(folder)?;
    Ok(())
}

struct Output<'a> {
    file: &'a dyn DiskFile,
    offset: u64,
    buffer: Vec<u8>,
    hasher: Hasher,
}

impl Output<'_> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= CHUNK_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.hasher.update(&self.buffer);
        self.file.write_at(&self.buffer, self.offset)?;
        self.offset += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

/// The position and the size in bytes of the snapshot that a store's folder seems to have.
pub(crate) fn glance(disk: &dyn Disk, folder: &Path) -> Option<(Position, u64)> {
    let file = disk.open(&snapshot_path(folder)).ok()?;
    let mut head = [0; SNAPSHOT_HEAD_BYTES];
    file.read_at(&mut head, 0).ok()?;
    let mut input = Input(head.get(SNAPSHOT_HEAD_BYTES - 24..)?);
    Some((position(&mut input)?, file.len().ok()?))
}

/// Reads the snapshot of a store's folder, if there is a whole one. Call it once to check and only
/// then again to believe what it hands to `visit`.
pub(crate) fn read(
    disk: &dyn Disk,
    folder: &Path,
    store: StoreId,
    visit: &mut VisitPair<'_>,
) -> Result<Option<SnapshotInfo>, OpenError> {
    let path = snapshot_path(folder);
    let file = match disk.open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(OpenError::io(&path, error)),
    };
    let mut input = FileInput {
        file: &*file,
        offset: 0,
        bytes: Vec::new(),
        used: 0,
        hasher: Hasher::new(),
    };
    let outcome = read_pairs(&mut input, store, visit).map_err(|error| match error {
        ReadError::Io(error) => OpenError::io(&path, error),
        ReadError::Newer(found) => OpenError::NewerSchema {
            path: path.clone(),
            found,
        },
        ReadError::Visit(error) => error,
    })?;
    Ok(outcome.map(|(position, sequence_end)| SnapshotInfo {
        position,
        sequence_end,
    }))
}

enum ReadError {
    Io(io::Error),
    Newer(u32),
    Visit(OpenError),
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn read_pairs(
    input: &mut FileInput<'_>,
    store: StoreId,
    visit: &mut VisitPair<'_>,
) -> Result<Option<(Position, u64)>, ReadError> {
    let Some(head) = input.take(SNAPSHOT_HEAD_BYTES)? else {
        return Ok(None);
    };
    let mut head = Input(head);
    if head.array() != Some(SNAPSHOT_MAGIC) {
        return Ok(None);
    }
    if let Some(schema) = head.u32().filter(|schema| *schema > SCHEMA) {
        return Err(ReadError::Newer(schema));
    }
    if head.array() != Some(store) {
        return Ok(None);
    }
    let Some(position) = position(&mut head) else {
        return Ok(None);
    };
    loop {
        let Some(key_len) = input.u32()? else {
            return Ok(None);
        };
        if key_len == SNAPSHOT_END {
            break;
        }
        let Some(value_len) = input.u32()? else {
            return Ok(None);
        };
        let bytes = key_len as usize + value_len as usize;
        if bytes > FRAME_BYTES_MAX {
            return Ok(None);
        }
        let Some(pair) = input.take(bytes)? else {
            return Ok(None);
        };
        let (key, value) = pair.split_at(key_len as usize);
        visit(key, value).map_err(ReadError::Visit)?;
    }
    let Some(sequence_end) = input.take(8)?.and_then(|bytes| Input(bytes).u64()) else {
        return Ok(None);
    };
    let computed = input.hasher.clone().finalize();
    let whole = input.u32()? == Some(computed);
    Ok(whole.then_some((position, sequence_end)))
}

/// A file read from its beginning, a chunk at a time, with a checksum of all that was taken.
struct FileInput<'a> {
    file: &'a dyn DiskFile,
    /// Where the bytes behind `bytes` are in the file.
    offset: u64,
    bytes: Vec<u8>,
    used: usize,
    hasher: Hasher,
}

impl FileInput<'_> {
    /// The next `count` bytes, or `None` if there are fewer. A length out of a damaged file is
    /// bounded by what the file holds.
    fn take(&mut self, count: usize) -> io::Result<Option<&[u8]>> {
        while self.bytes.len() - self.used < count {
            self.bytes.drain(..self.used);
            self.used = 0;
            let have = self.bytes.len();
            self.bytes.resize(have + CHUNK_BYTES, 0);
            let room = self.bytes.get_mut(have..).unwrap_or_default();
            let read = self.file.read_at(room, self.offset)?;
            self.bytes.truncate(have + read);
            self.offset += read as u64;
            if read == 0 {
                return Ok(None);
            }
        }
        let taken = self.bytes.get(self.used..self.used + count);
        self.hasher.update(taken.unwrap_or_default());
        self.used += count;
        Ok(taken)
    }

    fn u32(&mut self) -> io::Result<Option<u32>> {
        Ok(self.take(4)?.and_then(|bytes| Input(bytes).u32()))
    }
}

fn put_position(out: &mut Vec<u8>, position: Position) {
    for number in [position.segment, position.offset, position.sequence] {
        out.extend_from_slice(&number.to_le_bytes());
    }
}

fn position(input: &mut Input<'_>) -> Option<Position> {
    Some(Position {
        segment: input.u64()?,
        offset: input.u64()?,
        sequence: input.u64()?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::file::RealDisk;
    use super::*;

    const POSITION: Position = Position {
        segment: 1,
        offset: 4096,
        sequence: 8,
    };

    #[test]
    fn a_checkpoint_comes_back_and_a_damaged_one_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = Checkpoint {
            store: [3; 16],
            position: POSITION,
            clean: true,
            boot_id: "boot".to_owned(),
        };
        assert_eq!(Checkpoint::read(&RealDisk, folder.path()).unwrap(), None);
        checkpoint.write(&RealDisk, folder.path()).unwrap();
        let read = Checkpoint::read(&RealDisk, folder.path()).unwrap();
        assert_eq!(read, Some(checkpoint));
        let path = Checkpoint::path(folder.path());
        let bytes = std::fs::read(&path).unwrap();
        for place in 12..bytes.len() {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            std::fs::write(&path, changed).unwrap();
            assert_eq!(Checkpoint::read(&RealDisk, folder.path()).unwrap(), None);
        }
    }

    #[test]
    fn a_snapshot_comes_back_and_a_damaged_one_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let pairs = [(b"a".to_vec(), vec![]), (b"b".to_vec(), vec![7; 70])];
        let given = pairs.clone().into_iter().map(Ok::<_, io::Error>);
        let stop = || false;
        write(
            &RealDisk,
            folder.path(),
            [3; 16],
            POSITION,
            given,
            || 9,
            stop,
        )
        .unwrap();
        let read_all = || {
            let mut got = Vec::new();
            let info = read(&RealDisk, folder.path(), [3; 16], &mut |key, value| {
                got.push((key.to_vec(), value.to_vec()));
                Ok(())
            });
            (info.unwrap(), got)
        };
        let (info, got) = read_all();
        let info = info.unwrap();
        assert_eq!((info.position, info.sequence_end), (POSITION, 9));
        assert_eq!(got, pairs);
        let path = snapshot_path(folder.path());
        let bytes = std::fs::read(&path).unwrap();
        for place in 12..bytes.len() {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            std::fs::write(&path, changed).unwrap();
            assert_eq!(read_all().0, None, "{place}");
        }
    }
}
