//! What happens when a store is opened: which files are believed, what is replayed, what is cut.
//!
//! Everything is read before anything is changed, so a store that refuses to open is as it was.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::file::{Disk, names};
use super::index::{CHANGES_BYTES_MAX, Changes, Entry, Index, body_name};
use super::journal::{self, End, Journal, Position};
use super::local::{BODIES, INCOMING, INDEX, JOURNAL};
use super::segment::{self, FRAMES_BEGIN, SCHEMA, SegmentHeader, StoreId};
use super::snapshot::{self, Checkpoint, SnapshotInfo, VisitPair};
use super::{BodyId, StoreError};

/// A store that did not open. Nothing in the journal was changed.
#[derive(Debug)]
pub enum OpenError {
    /// Another process uses the folder.
    Locked(PathBuf),
    /// A newer program wrote this.
    NewerSchema {
        /// The file that says so.
        path: PathBuf,
        /// Its schema number.
        found: u32,
    },
    /// Bytes that were durable are not there or not the same: the disk's fault, or somebody's who
    /// touched the files.
    Damaged {
        /// The segment.
        path: PathBuf,
        /// Bytes from its beginning.
        offset: u64,
    },
    /// The disk answered with an error.
    Io {
        /// What was being used.
        path: PathBuf,
        /// The answer.
        error: io::Error,
    },
    /// The index could not be made afresh.
    Index(StoreError),
}

impl OpenError {
    pub(crate) fn io(path: &Path, error: io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            error,
        }
    }

    pub(crate) fn damaged(path: &Path, offset: u64) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            offset,
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked(folder) => {
                write!(
                    f,
                    "another process has the store in {} open",
                    folder.display()
                )
            }
            Self::NewerSchema { path, found } => write!(
                f,
                "{} has schema {found}, this program knows up to {SCHEMA}; use the newer program",
                path.display()
            ),
            Self::Damaged { path, offset } => write!(
                f,
                "the journal is damaged at {} offset {offset}, before the synced position; \
                 nothing was changed; restore the store's folder from a backup",
                path.display()
            ),
            Self::Io { path, error } => write!(f, "cannot use {}: {error}", path.display()),
            Self::Index(error) => write!(f, "cannot make the index afresh: {error}"),
        }
    }
}

impl std::error::Error for OpenError {}

impl From<StoreError> for OpenError {
    fn from(error: StoreError) -> Self {
        Self::Index(error)
    }
}

/// What opening a store took.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Whether the store had been closed in order.
    pub clean: bool,
    /// Why the index was made afresh, if it was.
    pub rebuilt: Option<String>,
    /// Batches applied from the journal.
    pub replayed: u64,
    /// Bytes of a write that a crash had torn, never acknowledged, now overwritten with zeros.
    pub torn_bytes: u64,
    /// Files removed that no batch names: messages whose arrival or commit a crash ended.
    pub orphans: u64,
}

/// The parts of a store that is ready.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) store: StoreId,
    pub(crate) journal: Journal,
    pub(crate) index: Index,
    pub(crate) report: Recovery,
}

/// Opens what is in a store's folder, or begins it.
pub(crate) fn recover(
    disk: &Arc<dyn Disk>,
    folder: &Path,
    segment_bytes: u64,
    boot_id: &str,
    new_id: impl FnOnce() -> StoreId,
) -> Result<Recovered, OpenError> {
    let journal_folder = folder.join(JOURNAL);
    let segments = segment::list(&**disk, &journal_folder)?;
    let checkpoint = Checkpoint::read(&**disk, folder)?;
    let (Some(first), Some(last)) = (segments.first().copied(), segments.last().copied()) else {
        if checkpoint.is_some() {
            // A store without its journal is not a new store.
            return Err(OpenError::damaged(&segment::path(&journal_folder, 1), 0));
        }
        return begin(disk, folder, segment_bytes, boot_id, new_id());
    };
    let mut opening = Opening {
        disk,
        folder,
        journal_folder,
        beginning: Position {
            segment: first.number,
            offset: FRAMES_BEGIN,
            sequence: first.first_sequence,
        },
        store: last.store,
        segments,
        promised: checkpoint
            .as_ref()
            .map_or(0, |c| c.position.sequence.saturating_sub(1)),
        boot_id,
        report: Recovery::default(),
    };
    let checkpoint = checkpoint.filter(|checkpoint| checkpoint.store == opening.store);
    let (index, end) = match opening.trusted(checkpoint)? {
        Ok(found) => found,
        Err(why) => opening.rebuilt(why)?,
    };
    opening.finish(segment_bytes, index, end)
}

fn begin(
    disk: &Arc<dyn Disk>,
    folder: &Path,
    segment_bytes: u64,
    boot_id: &str,
    store: StoreId,
) -> Result<Recovered, OpenError> {
    let path = folder.join(JOURNAL);
    let index = fresh_index(&folder.join(INDEX))?;
    let orphans = clear_orphans(&**disk, folder, &index)?;
    let journal = Journal::create(Arc::clone(disk), &path, store, segment_bytes)
        .map_err(|error| OpenError::io(&path, error))?;
    write_checkpoint(&**disk, folder, store, journal.end(), boot_id)?;
    Ok(Recovered {
        store,
        journal,
        index,
        report: Recovery {
            orphans,
            ..Recovery::default()
        },
    })
}

/// A folder with a journal, being opened.
struct Opening<'a> {
    disk: &'a Arc<dyn Disk>,
    folder: &'a Path,
    journal_folder: PathBuf,
    segments: Vec<SegmentHeader>,
    beginning: Position,
    store: StoreId,
    /// Last sequence known to be durable.
    promised: u64,
    boot_id: &'a str,
    report: Recovery,
}

impl Opening<'_> {
    /// Opens the index that is there and brings it up to date; or says why it cannot be trusted.
    fn trusted(
        &mut self,
        checkpoint: Option<Checkpoint>,
    ) -> Result<Result<(Index, End), String>, OpenError> {
        let Some(checkpoint) = checkpoint else {
            return Ok(Err("there is no checkpoint".to_owned()));
        };
        let from = checkpoint.position;
        self.report.clean = checkpoint.clean;
        if !checkpoint.clean && checkpoint.boot_id != self.boot_id {
            return Ok(Err(
                "the machine went down while the store was open".to_owned()
            ));
        }
        let end = self.look(from)?;
        // The mark goes before sled gets to write: from now on its files are as good as this boot.
        write_checkpoint(&**self.disk, self.folder, self.store, from, self.boot_id)?;
        let index = match Index::open(&self.folder.join(INDEX)) {
            Ok(index) => index,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let applied = match index.applied(self.store) {
            Ok(applied) => applied,
            Err(error) => return Ok(Err(error.to_string())),
        };
        // Before the first batch there is nothing to be behind with.
        if applied.unwrap_or(0) + 1 < from.sequence {
            return Ok(Err("the index is older than its checkpoint".to_owned()));
        }
        self.replay(&index, from)?;
        Ok(Ok((index, end)))
    }

    /// Makes the index afresh from the newest snapshot and the journal.
    fn rebuilt(&mut self, why: String) -> Result<(Index, End), OpenError> {
        let snapshot = self.snapshot(&mut |_, _| Ok(()))?;
        let from = snapshot.map_or(self.beginning, |info| info.position);
        if let Some(info) = snapshot {
            self.promised = self.promised.max(info.sequence_end.saturating_sub(1));
        }
        let end = self.look(from)?;
        let index = fresh_index(&self.folder.join(INDEX))?;
        if snapshot.is_some() {
            let mut pending = Pending::new(&index);
            self.snapshot(&mut |key, value| {
                pending.changes.add_raw(key, value);
                pending.added(key.len() + value.len())
            })?;
            // The position is part of what the snapshot says.
            pending
                .changes
                .set_applied(self.store, from.sequence.saturating_sub(1));
            pending.apply()?;
        }
        self.replay(&index, from)?;
        index.flush()?;
        self.report.rebuilt = Some(why);
        Ok((index, end))
    }

    fn snapshot(&self, visit: &mut VisitPair<'_>) -> Result<Option<SnapshotInfo>, OpenError> {
        snapshot::read(&**self.disk, self.folder, self.store, visit)
    }

    /// Finds the end of the journal and any damage before it.
    fn look(&self, from: Position) -> Result<End, OpenError> {
        self.scan(from, &mut |_, _| Ok(()))
    }

    fn replay(&mut self, index: &Index, from: Position) -> Result<(), OpenError> {
        let mut pending = Pending::new(index);
        let mut replayed = 0;
        let store = self.store;
        self.scan(from, &mut |at, frame| {
            pending.changes.add(at, frame);
            pending.changes.set_applied(store, at.sequence);
            replayed += 1;
            pending.added(frame.header.head_bytes())
        })?;
        pending.apply()?;
        self.report.replayed = replayed;
        Ok(())
    }

    fn scan(
        &self,
        from: Position,
        visit: &mut dyn FnMut(Position, &super::frame::Frame<'_>) -> Result<(), OpenError>,
    ) -> Result<End, OpenError> {
        journal::scan(
            &**self.disk,
            &self.journal_folder,
            &self.segments,
            from,
            self.promised,
            visit,
        )
    }

    fn finish(
        mut self,
        segment_bytes: u64,
        index: Index,
        end: End,
    ) -> Result<Recovered, OpenError> {
        journal::settle(&**self.disk, &self.journal_folder, &end)?;
        self.report.torn_bytes = end.zeros.saturating_sub(end.position.offset);
        if !self.report.clean {
            self.report.orphans = clear_orphans(&**self.disk, self.folder, &index)?;
        }
        if self.report.rebuilt.is_some() {
            write_checkpoint(
                &**self.disk,
                self.folder,
                self.store,
                end.position,
                self.boot_id,
            )?;
        }
        let journal = Journal::resume(
            Arc::clone(self.disk),
            &self.journal_folder,
            self.store,
            segment_bytes,
            end.position,
        )?;
        Ok(Recovered {
            store: self.store,
            journal,
            index,
            report: self.report,
        })
    }
}

/// Changes gathered while an index is filled, so that neither one a batch nor all at once.
struct Pending<'a> {
    index: &'a Index,
    changes: Changes,
    bytes: usize,
}

impl<'a> Pending<'a> {
    fn new(index: &'a Index) -> Self {
        Self {
            index,
            changes: Changes::default(),
            bytes: 0,
        }
    }

    fn added(&mut self, bytes: usize) -> Result<(), OpenError> {
        self.bytes += bytes;
        if self.bytes >= CHANGES_BYTES_MAX {
            self.bytes = 0;
            self.index.apply(std::mem::take(&mut self.changes))?;
        }
        Ok(())
    }

    fn apply(self) -> Result<(), OpenError> {
        Ok(self.index.apply(self.changes)?)
    }
}

fn fresh_index(folder: &Path) -> Result<Index, OpenError> {
    Index::remove(folder).map_err(|error| OpenError::io(folder, error))?;
    Ok(Index::open(folder)?)
}

/// Says durably that the index holds what is before a position, as long as the machine stays up.
fn write_checkpoint(
    disk: &dyn Disk,
    folder: &Path,
    store: StoreId,
    position: Position,
    boot_id: &str,
) -> Result<(), OpenError> {
    let checkpoint = Checkpoint {
        store,
        position,
        clean: false,
        boot_id: boot_id.to_owned(),
    };
    checkpoint
        .write(disk, folder)
        .map_err(|error| OpenError::io(folder, error))
}

/// Removes the files that no batch names, and answers how many there were.
fn clear_orphans(disk: &dyn Disk, folder: &Path, index: &Index) -> Result<u64, OpenError> {
    let mut cleared = 0;
    for (kind, adopted) in [(INCOMING, false), (BODIES, true)] {
        let folder = folder.join(kind);
        for name in names(&folder).map_err(|error| OpenError::io(&folder, error))? {
            let named = match body_id(&name).filter(|_| adopted) {
                Some(id) => matches!(index.get(&body_name(id))?, Some(Entry::InFile(_))),
                None => false,
            };
            if !named {
                let path = folder.join(name);
                disk.remove(&path)
                    .map_err(|error| OpenError::io(&path, error))?;
                cleared += 1;
            }
        }
    }
    Ok(cleared)
}

/// The id that a file of `bodies/` is named after.
fn body_id(name: &str) -> Option<BodyId> {
    let value = u128::from_str_radix(name, 16).ok()?;
    let id = BodyId::from_bytes(value.to_be_bytes());
    (id.to_string() == name).then_some(id)
}
