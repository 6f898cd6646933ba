//! The store in a folder of this machine: the journal for the promise, the index for the reads, and
//! between them a backlog of what the index does not have yet.
//!
//! ```text
//! <folder>/lock            held while the store is open
//! <folder>/journal/        segments: the truth
//! <folder>/bodies/         messages too large for a segment, named by frames of the journal
//! <folder>/incoming/       messages that are still arriving
//! <folder>/uploads/        files that agents attach to what they write
//! <folder>/index/          sled; can be made afresh
//! <folder>/checkpoint      from where on the index needs the journal
//! <folder>/snapshot        the index, checksummed, with its position in the journal
//! ```

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use ring::rand::{SecureRandom as _, SystemRandom};

use super::applier::{Applier, Backlog};
use super::file::{Disk, FolderLock, RealDisk};
use super::frame::Frame;
use super::index::{
    Entry, Index, Place, Span, body_name, each_change, key_name, sync_files, unnamed,
};
use super::journal::{AppendError, Journal, Position, Spare};
use super::keeper::{Keeper, Signal};
use super::overlay::{Change, Direction};
use super::recovery::{OpenError, Recovery, recover};
use super::segment::{self, StoreId};
use super::snapshot::Checkpoint;
use super::{
    Batch, BodyId, BodyReader, CommitError, Health, Pair, Store, StoreError, Unavailable,
    read_whole,
};
use crate::content::Content;

pub(crate) const JOURNAL: &str = "journal";
pub(crate) const BODIES: &str = "bodies";
pub(crate) const INCOMING: &str = "incoming";
pub(crate) const UPLOADS: &str = "uploads";
pub(crate) const INDEX: &str = "index";

/// Smallest segment, in bytes.
const SEGMENT_BYTES_MIN: u64 = 64 << 10;

/// How much may be written before the free space is looked at again, in bytes.
const FREE_SPACE_STEP_BYTES: u64 = 1 << 20;

/// Where and how a store is kept.
#[derive(Debug, Clone)]
pub struct LocalConfig {
    /// The store's own folder; made if it is not there.
    pub dir: PathBuf,
    /// Below this much free space, in bytes, only essential batches are taken. 256 MiB.
    pub free_space_floor_bytes: u64,
    /// Size of a segment of the journal, in bytes: 64 MiB, at least 64 KiB. Two are prepared.
    pub segment_bytes: u64,
    /// How much journal is written between two checkpoints, in bytes: 32 MiB. A start after a kill
    /// replays about as much.
    pub checkpoint_bytes: u64,
    /// How much journal is written between two snapshots, in bytes: 64 MiB, but at least the size
    /// of the last snapshot. A start after a power cut replays about as much.
    pub snapshot_bytes: u64,
    /// Tells whether the machine was rebooted. `None` asks the kernel.
    pub boot_id: Option<String>,
}

impl LocalConfig {
    /// The defaults for a folder.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            free_space_floor_bytes: 256 << 20,
            segment_bytes: 64 << 20,
            checkpoint_bytes: 32 << 20,
            snapshot_bytes: 64 << 20,
            boot_id: None,
        }
    }
}

/// A store in a folder. [`Self::close`] it for a quick next start; dropping it is like a kill.
#[derive(Debug)]
pub struct Local {
    inner: Arc<Inner>,
    keeper: Option<Keeper>,
    applier: Option<Applier>,
}

impl Local {
    /// Opens the store of a folder, with whatever a crash left to be mended.
    ///
    /// # Errors
    /// The operator's to mend; see [`OpenError`].
    pub fn open(config: LocalConfig) -> Result<(Self, Recovery), OpenError> {
        let (mut local, report) = Self::open_on(Arc::new(RealDisk), config)?;
        let failed = |error| OpenError::io(&local.inner.config.dir, error);
        let applier = Applier::start(Arc::clone(&local.inner)).map_err(failed)?;
        let keeper = Keeper::start(Arc::clone(&local.inner)).map_err(failed)?;
        local.applier = Some(applier);
        local.keeper = Some(keeper);
        Ok((local, report))
    }

    /// Opens on any disk, without keeper and applier: nothing happens but what the caller does.
    pub(super) fn open_on(
        disk: Arc<dyn Disk>,
        mut config: LocalConfig,
    ) -> Result<(Self, Recovery), OpenError> {
        config.segment_bytes = config.segment_bytes.max(SEGMENT_BYTES_MIN);
        let dir = &config.dir;
        for folder in ["", JOURNAL, BODIES, INCOMING, UPLOADS].map(|name| dir.join(name)) {
            let mut builder = fs::DirBuilder::new();
            builder.recursive(true).mode(0o700);
            let made = builder.create(&folder);
            made.map_err(|error| OpenError::io(&folder, error))?;
        }
        let lock_path = dir.join("lock");
        let lock = FolderLock::take(&lock_path)
            .map_err(|error| OpenError::io(&lock_path, error))?
            .ok_or_else(|| OpenError::Locked(dir.clone()))?;
        disk.sync_folder(dir)
            .map_err(|error| OpenError::io(dir, error))?;

        let boot_id = match &config.boot_id {
            Some(boot_id) => boot_id.clone(),
            None => kernel_boot_id()?,
        };
        let mut new_id = StoreId::default();
        SystemRandom::new()
            .fill(&mut new_id)
            .map_err(|_| OpenError::io(dir, io::Error::other("no randomness to be had")))?;
        let recovered = recover(&disk, dir, config.segment_bytes, &boot_id, || new_id)?;
        let end = recovered.journal.end();
        let inner = Arc::new(Inner {
            store: recovered.store,
            spare: recovered.journal.spare(),
            signal: Signal::default(),
            incoming: dir.join(INCOMING),
            uploads: dir.join(UPLOADS),
            journal_bytes: AtomicU64::new(end.bytes(config.segment_bytes)),
            writer: Mutex::new(Writer {
                journal: recovered.journal,
                unkept_bytes: 0,
                unlooked_bytes: None,
            }),
            dead: Mutex::default(),
            backlog: Backlog::new(end),
            index: RwLock::new(Some(recovered.index)),
            boot_id,
            disk,
            config,
            _lock: lock,
        });
        Ok((
            Self {
                inner,
                keeper: None,
                applier: None,
            },
            recovered.report,
        ))
    }

    /// What the keeper does when it is woken.
    #[cfg(test)]
    pub(super) fn keep(&self) {
        super::keeper::keep(&self.inner, true);
    }

    /// What the applier does when it is woken.
    #[cfg(test)]
    pub(super) fn apply(&self) -> Result<(), StoreError> {
        self.inner.apply().map(drop)
    }

    /// Lets the index fail, or panic, after so many more changes.
    #[cfg(test)]
    pub(super) fn break_index(&self, after: usize, panics: bool) {
        let set = |index: &Index| {
            index.fuse.set(after, panics);
            Ok(())
        };
        self.inner.with_index(set).unwrap();
    }

    #[cfg(test)]
    pub(super) fn checkpoint(&self) -> Result<(), StoreError> {
        super::keeper::checkpoint(&self.inner)
    }

    /// A snapshot now, however little has changed.
    #[cfg(test)]
    pub(super) fn snapshot(&self) -> Result<(), StoreError> {
        super::keeper::write_snapshot(&self.inner)
    }

    /// Closes the store with a mark that spares the next start the replay. Commits and reads that
    /// come later are refused.
    ///
    /// # Errors
    /// The mark could not be made: the next start takes longer, and nothing is lost.
    pub fn close(&self) -> Result<(), StoreError> {
        self.stop_threads();
        let writer = self.inner.writer();
        let was_dead = self.inner.dead().replace("it is closed".to_owned());
        // Nothing is committed any more; what was is yet to reach the index.
        let applied = was_dead.is_none().then(|| self.inner.apply());
        let index = self
            .inner
            .index
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let (Some(index), Some(applied)) = (index, applied) else {
            return Ok(());
        };
        let end = applied?;
        debug_assert_eq!(end, writer.journal.end(), "all of the journal is applied");
        index.mark_applied(self.inner.store, end.sequence - 1)?;
        index.flush()?;
        // Sled writes when it is dropped, too.
        drop(index);
        sync_files(&self.inner.config.dir.join(INDEX))?;
        self.inner.write_checkpoint(end, true)?;
        Ok(())
    }

    fn stop_threads(&self) {
        self.inner.signal.stop();
        if let Some(keeper) = &self.keeper {
            keeper.join();
        }
        if let Some(applier) = &self.applier {
            applier.stop();
        }
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.stop_threads();
    }
}

/// What the store, its keeper and its applier share.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) config: LocalConfig,
    pub(crate) store: StoreId,
    pub(crate) spare: Spare,
    pub(crate) signal: Signal,
    boot_id: String,
    incoming: PathBuf,
    uploads: PathBuf,
    writer: Mutex<Writer>,
    /// Why nothing more is taken. Apart from the writer, so that asking does not wait for a sync.
    dead: Mutex<Option<String>>,
    journal_bytes: AtomicU64,
    backlog: Backlog,
    /// `None` once closed.
    index: RwLock<Option<Index>>,
    /// Last, so that everything else is dropped while it is held.
    _lock: FolderLock,
}

#[derive(Debug)]
struct Writer {
    journal: Journal,
    /// Written since the keeper was last told.
    unkept_bytes: u64,
    /// Written since the free space was last looked at, or `None` to look at once.
    unlooked_bytes: Option<u64>,
}

impl Inner {
    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn dead(&self) -> MutexGuard<'_, Option<String>> {
        self.dead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The position up to which everything is durable.
    pub(crate) fn end(&self) -> Position {
        self.writer().journal.end()
    }

    /// Runs something on the open index.
    pub(crate) fn with_index<T>(
        &self,
        run: impl FnOnce(&Index) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        run(index.as_ref().ok_or(StoreError::Closed)?)
    }

    /// Moves what was committed into the index, and answers the position before which the index has
    /// everything. A failure leaves the store dead: nothing is lost, the journal has it, but what
    /// waits could only grow.
    pub(crate) fn apply(&self) -> Result<Position, StoreError> {
        let applied = self.with_index(|index| self.backlog.apply(index));
        applied.inspect_err(|error| self.die_of_index(error))
    }

    fn die_of_index(&self, error: &StoreError) {
        // To be closed is not to have failed.
        if !matches!(error, StoreError::Closed) {
            self.dead().get_or_insert_with(|| error.to_string());
        }
    }

    /// The newest entry of a name in the index.
    fn entry(&self, name: &[u8]) -> Result<Option<Entry>, StoreError> {
        self.with_index(|index| self.backlog.get(index, name))
    }

    /// Says durably that the index holds what is before a position.
    pub(crate) fn write_checkpoint(&self, position: Position, clean: bool) -> io::Result<()> {
        let checkpoint = Checkpoint {
            store: self.store,
            position,
            clean,
            boot_id: self.boot_id.clone(),
        };
        checkpoint.write(&*self.disk, &self.config.dir)
    }

    fn body_path(&self, id: BodyId) -> PathBuf {
        self.config.dir.join(BODIES).join(id.to_string())
    }

    /// Refuses a group for which there should be more space. A system call only now and then:
    /// within a segment a commit takes no space.
    fn check_space(&self, writer: &mut Writer, group: &[Batch]) -> Result<(), Unavailable> {
        let looked = writer
            .unlooked_bytes
            .is_some_and(|bytes| bytes < FREE_SPACE_STEP_BYTES);
        let takes_space = group
            .iter()
            .flat_map(|batch| &batch.bodies)
            .any(|(_, content)| matches!(content, Content::File(_)));
        if (looked && !takes_space) || group.iter().all(|batch| batch.essential) {
            return Ok(());
        }
        writer.unlooked_bytes = None;
        let free_bytes = self
            .disk
            .free_bytes(&self.config.dir)
            .map_err(Unavailable::Disk)?;
        let floor_bytes = self.config.free_space_floor_bytes;
        if free_bytes < floor_bytes {
            return Err(Unavailable::BelowFloor {
                free_bytes,
                floor_bytes,
            });
        }
        writer.unlooked_bytes = Some(0);
        Ok(())
    }

    /// Makes the files of a group durable below `bodies/`, before any frame names them.
    fn adopt(&self, group: &[Batch]) -> io::Result<()> {
        let mut any = false;
        for (id, content) in group.iter().flat_map(|batch| &batch.bodies) {
            if let Content::File(spooled) = content {
                let file = self.disk.open(spooled.path())?;
                if file.len()? != content.len() {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidInput,
                        "a spooled message is not as long as it should be",
                    ));
                }
                file.sync()?;
                self.disk.rename(spooled.path(), &self.body_path(*id))?;
                any = true;
            }
        }
        if any {
            self.disk.sync_folder(&self.config.dir.join(BODIES))?;
        }
        Ok(())
    }

    /// Removes what [`Self::adopt`] has moved for a group that is not in the journal after all.
    fn disown(&self, group: &[Batch]) {
        for (id, content) in group.iter().flat_map(|batch| &batch.bodies) {
            if let Content::File(_) = content {
                // What stays is an orphan: it takes space and does no other harm.
                let _ = self.disk.remove(&self.body_path(*id));
            }
        }
    }

    /// Leaves the store dead, in doubt about what was being written.
    fn die(&self, why: String) -> CommitError {
        self.dead().get_or_insert_with(|| why.clone());
        CommitError::Unknown(why)
    }

    /// Opens the segment in which something is.
    fn reader(&self, place: Place) -> Result<BodyReader, StoreError> {
        let path = segment::path(&self.config.dir.join(JOURNAL), place.segment);
        let file = self.disk.open(&path)?;
        Ok(BodyReader::file(
            file,
            place.offset,
            place.len,
            Some(place.crc),
        ))
    }

    fn value(&self, entry: Entry) -> Result<Vec<u8>, StoreError> {
        match entry {
            Entry::Here(bytes) => Ok(bytes),
            Entry::InJournal(place) => read_whole(self.reader(place)?, || {
                format!("a value in segment {} at {}", place.segment, place.offset)
            }),
            Entry::InFile(_) => Err(StoreError::Damaged("a key's entry in the index".to_owned())),
        }
    }

    fn page(
        &self,
        span: &Span,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<Pair>, StoreError> {
        self.with_index(|index| self.backlog.page(index, span, direction, limit))?
            .into_iter()
            .map(|(name, entry)| Ok((unnamed(name), self.value(entry)?)))
            .collect()
    }
}

impl Store for Local {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let entry = self.inner.entry(&key_name(key))?;
        entry.map(|entry| self.inner.value(entry)).transpose()
    }

    fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Pair>, StoreError> {
        let span = Span::after(prefix, after);
        self.inner.page(&span, Direction::Forward, limit)
    }

    fn scan_back(
        &self,
        prefix: &[u8],
        before: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Pair>, StoreError> {
        let span = Span::before(prefix, before);
        self.inner.page(&span, Direction::Back, limit)
    }

    fn commit(&self, mut group: Vec<Batch>) -> Result<(), CommitError> {
        let inner = &*self.inner;
        let mut writer = inner.writer();
        if let Some(why) = &*inner.dead() {
            return Err(CommitError::Unavailable(Unavailable::Dead(why.clone())));
        }
        group.retain(|batch| !batch.is_empty());
        if group.is_empty() {
            return Ok(());
        }
        if let Err(error) = inner.with_index(|index| inner.backlog.make_room(index)) {
            inner.die_of_index(&error);
            return Err(CommitError::Unavailable(Unavailable::Dead(
                error.to_string(),
            )));
        }
        let unavailable = |why| {
            inner.disown(&group);
            Err(CommitError::Unavailable(why))
        };
        if let Err(why) = inner.check_space(&mut writer, &group) {
            return Err(CommitError::Unavailable(why));
        }
        if let Err(error) = inner.adopt(&group) {
            return unavailable(Unavailable::Disk(error));
        }
        let segment_before = writer.journal.end().segment;
        let begin = match writer.journal.append(&group) {
            Ok(begin) => begin,
            Err(AppendError::TooLarge) => return unavailable(Unavailable::TooLarge),
            Err(AppendError::Unwritten(error)) => {
                writer.unlooked_bytes = None;
                return unavailable(Unavailable::Disk(error));
            }
            Err(AppendError::Unknown(error)) => {
                return Err(inner.die(format!("the journal's disk failed: {error}")));
            }
        };
        for content in group.into_iter().flat_map(|batch| batch.bodies) {
            if let (_, Content::File(spooled)) = content {
                spooled.adopt();
            }
        }
        let changes = changes(begin, writer.journal.appended());
        if inner.backlog.add(changes, writer.journal.end())
            && let Some(applier) = &self.applier
        {
            applier.wake();
        }

        let bytes = writer.journal.appended().len() as u64;
        inner.journal_bytes.fetch_add(bytes, Ordering::Relaxed);
        writer.unkept_bytes += bytes;
        writer.unlooked_bytes = writer.unlooked_bytes.map(|unlooked| unlooked + bytes);
        let checkpoint = writer.unkept_bytes >= inner.config.checkpoint_bytes;
        if checkpoint {
            writer.unkept_bytes = 0;
        }
        if checkpoint || writer.journal.end().segment != segment_before {
            inner.signal.wake(checkpoint);
        }
        Ok(())
    }

    fn body_reader(&self, id: BodyId) -> Result<Option<BodyReader>, StoreError> {
        let reader = match self.inner.entry(&body_name(id))? {
            None => return Ok(None),
            Some(Entry::Here(bytes)) => BodyReader::memory(bytes.into()),
            Some(Entry::InJournal(place)) => self.inner.reader(place)?,
            Some(Entry::InFile(len)) => {
                let file = self.inner.disk.open(&self.inner.body_path(id))?;
                BodyReader::file(file, 0, len, None)
            }
        };
        Ok(Some(reader))
    }

    fn health(&self) -> Health {
        let inner = &*self.inner;
        let free_bytes = inner.disk.free_bytes(&inner.config.dir).unwrap_or(0);
        Health {
            free_bytes,
            below_floor: free_bytes < inner.config.free_space_floor_bytes,
            dead: inner.dead().clone(),
            journal_bytes: inner.journal_bytes.load(Ordering::Relaxed),
        }
    }

    fn incoming(&self) -> &Path {
        &self.inner.incoming
    }

    fn uploads(&self) -> &Path {
        &self.inner.uploads
    }
}

/// What a group that was just written means for the index.
fn changes(begin: Position, frames: &[u8]) -> Vec<(Vec<u8>, Change<Entry>)> {
    let mut changes = Vec::new();
    let mut at = begin;
    let mut rest = frames;
    while let Some(frame) = Frame::read(rest) {
        each_change(at, &frame, |name, change| changes.push((name, change)));
        let bytes = frame.header.frame_bytes();
        at.offset += bytes as u64;
        at.sequence += 1;
        rest = rest.get(bytes..).unwrap_or_default();
    }
    changes
}

/// What the kernel calls the time since the machine booted.
fn kernel_boot_id() -> Result<String, OpenError> {
    let path = Path::new("/proc/sys/kernel/random/boot_id");
    let text = fs::read_to_string(path).map_err(|error| OpenError::io(path, error))?;
    Ok(text.trim().to_owned())
}
