//! The index: where each key's value and each body is. The only file that names sled, whose files
//! are never trusted with anything that the journal does not have.
//!
//! One tree. A first byte keeps three kinds of keys apart: `b` bodies, `k` the keys of the store's
//! users, `s` a sequence up to which frames were applied. A value is marked by its first byte too: it
//! is in the index, or at a place in the journal, or in a file of its own.

use std::fs;
use std::io;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use super::file::{CHUNK_BYTES, names};
use super::frame::{Frame, FrameBody, Input};
use super::journal::Position;
use super::overlay::{Change, Direction, Layer, Weigh};
use super::segment::StoreId;
use super::{BodyId, Pair, StoreError};

/// Largest value that is kept in the index, in bytes; sled is at its best with small ones.
const VALUE_BYTES_MAX: usize = 4 << 10;

/// Smallest body that stays in the journal, in bytes: below, the pointer saves nothing.
const BODY_BYTES_MIN: usize = 2 << 10;

/// What sled may keep in memory, in bytes. The kernel's page cache does the rest.
const CACHE_BYTES: u64 = 8 << 20;

const KIND_BODY: u8 = b'b';
const KIND_KEY: u8 = b'k';
const APPLIED: &[u8] = b"s";

const VALUE_HERE: u8 = 0;
const VALUE_IN_JOURNAL: u8 = 1;
const VALUE_IN_FILE: u8 = 2;

/// Where bytes are in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) segment: u64,
    pub(crate) offset: u64,
    pub(crate) len: u64,
    pub(crate) crc: u32,
}

/// What the index holds for a key or a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    Here(Vec<u8>),
    InJournal(Place),
    /// In a file of this length, named after the body's id.
    InFile(u64),
}

impl Entry {
    fn encode(&self) -> Vec<u8> {
        match self {
            Self::Here(bytes) => here(bytes),
            Self::InJournal(place) => {
                let mut out = vec![VALUE_IN_JOURNAL];
                for number in [place.segment, place.offset, place.len] {
                    out.extend_from_slice(&number.to_le_bytes());
                }
                out.extend_from_slice(&place.crc.to_le_bytes());
                out
            }
            Self::InFile(len) => {
                let mut out = vec![VALUE_IN_FILE];
                out.extend_from_slice(&len.to_le_bytes());
                out
            }
        }
    }

    fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let read = || {
            let (kind, rest) = bytes.split_first()?;
            let mut input = Input(rest);
            match *kind {
                VALUE_HERE => Some(Self::Here(rest.to_vec())),
                VALUE_IN_JOURNAL => Some(Self::InJournal(Place {
                    segment: input.u64()?,
                    offset: input.u64()?,
                    len: input.u64()?,
                    crc: input.u32()?,
                })),
                VALUE_IN_FILE => Some(Self::InFile(input.u64()?)),
                _ => None,
            }
        };
        read().ok_or_else(|| StoreError::Damaged("an entry of the index".to_owned()))
    }
}

impl Weigh for Entry {
    fn bytes(&self) -> usize {
        match self {
            Self::Here(bytes) => bytes.len(),
            Self::InJournal(_) | Self::InFile(_) => 0,
        }
    }
}

/// The keys of the store's users that begin with a prefix, or a part of them, as the index has them.
#[derive(Debug, Clone)]
pub(crate) struct Span(Range<Vec<u8>>);

impl Span {
    /// From the key behind `after` on.
    pub(crate) fn after(prefix: &[u8], after: Option<&[u8]>) -> Self {
        let mut span = Self::all(prefix);
        if let Some(key) = after {
            let mut begin = key_name(key);
            // The least key above.
            begin.push(0);
            let begin = begin.max(std::mem::take(&mut span.0.start));
            span.0.start = begin.min(span.0.end.clone());
        }
        span
    }

    /// Up to the key before `before`.
    pub(crate) fn before(prefix: &[u8], before: Option<&[u8]>) -> Self {
        let mut span = Self::all(prefix);
        if let Some(key) = before {
            let end = key_name(key).min(std::mem::take(&mut span.0.end));
            span.0.end = end.max(span.0.start.clone());
        }
        span
    }

    fn all(prefix: &[u8]) -> Self {
        let begin = key_name(prefix);
        let end = successor(&begin);
        Self(begin..end)
    }

    /// The names in the index, the end excluded. Never ends before it begins.
    pub(crate) fn range(&self) -> &Range<Vec<u8>> {
        &self.0
    }
}

/// What a frame at a position says about each key, in order. The same at a commit and at a replay,
/// so that the index is a function of the journal.
pub(crate) fn each_change(
    at: Position,
    frame: &Frame<'_>,
    mut visit: impl FnMut(Vec<u8>, Change<Entry>),
) {
    let place = |offset: usize, bytes: &[u8], crc: u32| {
        Entry::InJournal(Place {
            segment: at.segment,
            offset: at.offset + offset as u64,
            len: bytes.len() as u64,
            crc,
        })
    };
    for (key, value) in &frame.puts {
        let entry = if value.bytes.len() <= VALUE_BYTES_MAX {
            Entry::Here(value.bytes.to_vec())
        } else {
            place(value.offset, value.bytes, crc32fast::hash(value.bytes))
        };
        visit(key_name(key), Some(entry));
    }
    for key in &frame.deletes {
        visit(key_name(key), None);
    }
    for (id, body) in &frame.bodies {
        let entry = match body {
            FrameBody::Here { part, .. } if part.bytes.len() < BODY_BYTES_MIN => {
                Entry::Here(part.bytes.to_vec())
            }
            FrameBody::Here { part, crc } => place(part.offset, part.bytes, *crc),
            FrameBody::InFile { len } => Entry::InFile(*len),
        };
        visit(body_name(*id), Some(entry));
    }
}

/// Changes to the index that readers see all at once.
#[derive(Debug, Default)]
pub(crate) struct Changes(sled::Batch);

impl Changes {
    /// Adds what a frame at a position says.
    pub(crate) fn add(&mut self, at: Position, frame: &Frame<'_>) {
        each_change(at, frame, |name, change| match change {
            Some(entry) => self.0.insert(name, entry.encode()),
            None => self.0.remove(name),
        });
    }

    /// Adds a pair as a snapshot holds it.
    pub(crate) fn add_raw(&mut self, key: &[u8], value: &[u8]) {
        self.0.insert(key, value);
    }

    /// Says up to where the journal is in the index once these changes are.
    pub(crate) fn set_applied(&mut self, store: StoreId, sequence: u64) {
        let mut value = store.to_vec();
        value.extend_from_slice(&sequence.to_le_bytes());
        self.0.insert(APPLIED, value);
    }
}

/// The open index.
#[derive(Debug)]
pub(crate) struct Index {
    db: sled::Db,
    #[cfg(test)]
    pub(crate) fuse: super::faulty::Fuse,
}

/// How often, and how long apart, sled's lock is tried: two seconds together.
const LOCK_TRIES: u32 = 100;
const LOCK_WAIT: Duration = Duration::from_millis(20);

/// Opens sled, waiting for its lock. The store's own lock is ours already, so whoever holds this
/// one is a thread of a sled that was dropped in this process and is about to end.
fn open_unlocked(config: &sled::Config) -> sled::Result<sled::Db> {
    for _ in 1..LOCK_TRIES {
        match config.open() {
            Err(error) if error.to_string().contains("could not acquire lock") => {
                std::thread::park_timeout(LOCK_WAIT);
            }
            opened => return opened,
        }
    }
    config.open()
}

impl Index {
    /// Opens the index in a folder, or makes an empty one.
    pub(crate) fn open(folder: &Path) -> Result<Self, StoreError> {
        // A snapshot that sled had not finished makes its next open fail (upstream 1527, 1533).
        if folder.is_dir() {
            for name in names(folder)? {
                if name.starts_with("snap.") && name.ends_with(".generating") {
                    fs::remove_file(folder.join(name))?;
                }
            }
        }
        let config = sled::Config::new()
            .path(folder)
            .cache_capacity(CACHE_BYTES)
            .flush_every_ms(None);
        // On files it does not like sled panics; in a thread of its own that is one more error.
        let opened = std::thread::spawn(move || open_unlocked(&config)).join();
        match opened {
            Ok(Ok(db)) => Ok(Self {
                db,
                #[cfg(test)]
                fuse: super::faulty::Fuse::default(),
            }),
            Ok(Err(error)) => Err(failed(error)),
            Err(_) => Err(StoreError::Index("it panicked while it opened".to_owned())),
        }
    }

    /// Removes an index that is closed, if there is one.
    pub(crate) fn remove(folder: &Path) -> io::Result<()> {
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Applies changes, all at once for every reader. Nothing is durable.
    pub(crate) fn apply(&self, changes: Changes) -> Result<(), StoreError> {
        self.db.apply_batch(changes.0).map_err(failed)
    }

    /// Writes a layer of the overlay, change by change, which may be cut short anywhere: readers
    /// look at the overlay first, and after a crash the journal is replayed over whatever is here.
    pub(crate) fn settle(&self, layer: &Layer<Entry>) -> Result<(), StoreError> {
        let write = || {
            for (name, change) in layer {
                #[cfg(test)]
                self.fuse.burn()?;
                match change {
                    Some(entry) => self.db.insert(name, entry.encode()),
                    None => self.db.remove(name),
                }
                .map_err(failed)?;
            }
            Ok(())
        };
        // Sled panics where it finds its own files wrong; to us that is one more error.
        catch_unwind(AssertUnwindSafe(write))
            .unwrap_or_else(|_| Err(StoreError::Index("it panicked".to_owned())))
    }

    /// Leaves word for a later start that everything up to this sequence has been applied. Not
    /// done at each commit: it would be a fourth of the work.
    pub(crate) fn mark_applied(&self, store: StoreId, sequence: u64) -> Result<(), StoreError> {
        let mut changes = Changes::default();
        changes.set_applied(store, sequence);
        self.apply(changes)
    }

    /// The sequence up to which everything is known to be applied, if this index belongs to that store.
    pub(crate) fn applied(&self, store: StoreId) -> Result<Option<u64>, StoreError> {
        let value = self.db.get(APPLIED).map_err(failed)?;
        Ok(value.and_then(|value| {
            let mut input = Input(&value);
            (input.array()? == store).then_some(())?;
            input.u64()
        }))
    }

    /// The entry of a name, which [`key_name`] or [`body_name`] has made.
    pub(crate) fn get(&self, name: &[u8]) -> Result<Option<Entry>, StoreError> {
        let value = self.db.get(name).map_err(failed)?;
        value.map(|value| Entry::decode(&value)).transpose()
    }

    /// Up to `limit` entries of a span, by their names.
    pub(crate) fn page(
        &self,
        span: &Span,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Entry)>, StoreError> {
        let range = self.db.range(span.range().clone());
        let entry = |pair: sled::Result<(sled::IVec, sled::IVec)>| {
            let (name, value) = pair.map_err(failed)?;
            Ok((name.to_vec(), Entry::decode(&value)?))
        };
        match direction {
            Direction::Forward => range.take(limit).map(entry).collect(),
            Direction::Back => range.rev().take(limit).map(entry).collect(),
        }
    }

    /// Every pair as it is in the index, while others go on changing it.
    pub(crate) fn raw(&self) -> impl Iterator<Item = Result<Pair, StoreError>> + use<> {
        self.db
            .iter()
            .filter(|pair| !matches!(pair, Ok((key, _)) if key == APPLIED))
            .map(|pair| {
                let (key, value) = pair.map_err(failed)?;
                Ok((key.to_vec(), value.to_vec()))
            })
    }

    /// Hands what sled still holds back to the kernel. Survives the process, not a power cut.
    pub(crate) fn flush(&self) -> Result<(), StoreError> {
        self.db.flush().map(|_| ()).map_err(failed)
    }
}

/// Makes the files of a closed index durable, which sled's own flush does not (upstream 1452).
pub(crate) fn sync_files(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_files(&entry.path())?;
        } else {
            fs::File::open(entry.path())?.sync_data()?;
        }
    }
    fs::File::open(folder)?.sync_all()
}

/// Most bytes that should go into one set of changes while an index is rebuilt.
pub(crate) const CHANGES_BYTES_MAX: usize = CHUNK_BYTES;

fn here(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 + bytes.len());
    out.push(VALUE_HERE);
    out.extend_from_slice(bytes);
    out
}

/// What the index calls a key.
pub(crate) fn key_name(key: &[u8]) -> Vec<u8> {
    named(KIND_KEY, key)
}

/// What the index calls a body.
pub(crate) fn body_name(id: BodyId) -> Vec<u8> {
    named(KIND_BODY, &id.to_bytes())
}

fn named(kind: u8, key: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 + key.len());
    out.push(kind);
    out.extend_from_slice(key);
    out
}

/// The key that [`key_name`] made a name of.
pub(crate) fn unnamed(mut name: Vec<u8>) -> Vec<u8> {
    name.drain(..name.len().min(1));
    name
}

/// The least key above all that begin with `prefix`, which does not consist of 0xff alone: its
/// first byte is a kind.
fn successor(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            break;
        }
    }
    end
}

fn failed(error: sled::Error) -> StoreError {
    StoreError::Index(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_back() {
        let place = Place {
            segment: 1,
            offset: 2,
            len: 3,
            crc: 4,
        };
        for entry in [
            Entry::Here(vec![]),
            Entry::Here(vec![1, 2]),
            Entry::InJournal(place),
            Entry::InFile(9),
        ] {
            assert_eq!(Entry::decode(&entry.encode()).unwrap(), entry);
        }
        for bytes in [&[][..], &[9], &[VALUE_IN_JOURNAL, 1], &[VALUE_IN_FILE]] {
            assert!(Entry::decode(bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn spans_stay_within_their_prefix() {
        let after = |key: &[u8]| Span::after(b"b", Some(key)).0;
        assert_eq!(Span::after(b"b", None).0, b"kb".to_vec()..b"kc".to_vec());
        assert_eq!(after(b"a").start, b"kb");
        assert_eq!(after(b"b1").start, b"kb1\0");
        assert_eq!(after(b"c"), b"kc".to_vec()..b"kc".to_vec());
        let before = |key: &[u8]| Span::before(b"b", Some(key)).0;
        assert_eq!(before(b"a"), b"kb".to_vec()..b"kb".to_vec());
        assert_eq!(before(b"b1").end, b"kb1");
        assert_eq!(before(b"c").end, b"kc");
    }

    #[test]
    fn successors() {
        assert_eq!(successor(b"ka"), b"kb");
        assert_eq!(successor(b"k\xff\xff"), b"l");
    }
}
