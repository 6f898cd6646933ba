//! A disk for tests that loses power, fills up and fails to sync.
//!
//! It writes to the real file system at once and keeps what each unsynced write replaced. A power
//! cut puts back what a random choice says was not yet on the disk: any of the unsynced sectors,
//! and the latest of the changed names.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use super::StoreError;
use super::file::{Disk, DiskFile, RealDisk};

const SECTOR: u64 = 512;

#[derive(Debug, Default)]
pub(crate) struct FaultyDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// What sectors held when they were last synced, by file and place.
    sectors: BTreeMap<(PathBuf, u64), Vec<u8>>,
    /// The same for sectors whose sync failed: the kernel takes them for clean, so that no later
    /// sync writes them, unless they are written to again.
    dropped: BTreeMap<(PathBuf, u64), Vec<u8>>,
    /// Undone names first to last: `Some` puts the old content back, `None` removes.
    names: Vec<Undo>,
    /// Bytes that may still be reserved or written to new places; `None` for no end.
    free: Option<u64>,
    /// Writes that will fail in the middle.
    failing_writes: u32,
    failing_syncs: u32,
    syncs: u64,
}

#[derive(Debug)]
enum Undo {
    /// A name that was not there.
    Created(PathBuf),
    Renamed {
        from: PathBuf,
        to: PathBuf,
        replaced: Option<Vec<u8>>,
    },
    Removed(PathBuf, Vec<u8>),
}

impl Undo {
    fn folder(&self) -> Option<&Path> {
        match self {
            Self::Created(path) | Self::Removed(path, _) | Self::Renamed { to: path, .. } => {
                path.parent()
            }
        }
    }
}

/// Lets an index fail after so many more changes.
#[derive(Debug, Default)]
pub(crate) struct Fuse(Mutex<Option<Burn>>);

#[derive(Debug, Clone, Copy)]
struct Burn {
    left: usize,
    panics: bool,
}

impl Fuse {
    pub(crate) fn set(&self, left: usize, panics: bool) {
        *self.0.lock().unwrap() = Some(Burn { left, panics });
    }

    /// One more change.
    pub(crate) fn burn(&self) -> Result<(), StoreError> {
        let mut fuse = self.0.lock().unwrap();
        let Some(burn) = &mut *fuse else {
            return Ok(());
        };
        if let Some(left) = burn.left.checked_sub(1) {
            burn.left = left;
            return Ok(());
        }
        let panics = burn.panics;
        drop(fuse);
        assert!(!panics, "as the test wanted");
        Err(StoreError::Index("it fails in this test".to_owned()))
    }
}

fn full() -> io::Error {
    io::Error::from(io::ErrorKind::StorageFull)
}

impl FaultyDisk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Leaves this many bytes of space.
    pub(crate) fn set_free(&self, free: Option<u64>) {
        self.state().free = free;
    }

    /// Lets the next writes of files end with an error after half of the bytes.
    pub(crate) fn fail_writes(&self, count: u32) {
        self.state().failing_writes = count;
    }

    pub(crate) fn fail_syncs(&self, count: u32) {
        self.state().failing_syncs = count;
    }

    pub(crate) fn syncs(&self) -> u64 {
        self.state().syncs
    }

    /// Cuts the power. `survives` is asked for each unsynced sector, and once for each unsynced
    /// change of a name, the latest first, until it says yes.
    pub(crate) fn cut(&self, mut survives: impl FnMut() -> bool) {
        let mut state = self.state();
        // By present names: what was written is undone before the names are.
        let mut sectors = std::mem::take(&mut state.sectors);
        sectors.append(&mut state.dropped);
        for ((path, sector), old) in sectors {
            if !survives()
                && let Ok(file) = RealDisk.open(&path)
            {
                file.write_at(&old, sector * SECTOR).unwrap();
            }
        }
        for undo in std::mem::take(&mut state.names).into_iter().rev() {
            if survives() {
                break;
            }
            match undo {
                Undo::Created(path) => drop(fs::remove_file(path)),
                Undo::Removed(path, content) => fs::write(path, content).unwrap(),
                Undo::Renamed { from, to, replaced } => {
                    fs::rename(&to, from).unwrap();
                    if let Some(content) = replaced {
                        fs::write(to, content).unwrap();
                    }
                }
            }
        }
        state.failing_syncs = 0;
        state.failing_writes = 0;
        state.free = None;
    }
}

impl Disk for FaultyDisk {
    fn create(&self, path: &Path, reserve: u64) -> io::Result<Box<dyn DiskFile>> {
        if let Some(free) = &mut self.state().free {
            *free = free.checked_sub(reserve).ok_or_else(full)?;
        }
        let old = fs::read(path).ok();
        let file = RealDisk.create(path, reserve)?;
        let mut state = self.state();
        state.sectors.retain(|(known, _), _| known != path);
        state.names.push(match old {
            Some(content) => Undo::Removed(path.to_owned(), content),
            None => Undo::Created(path.to_owned()),
        });
        Ok(Box::new(FaultyFile {
            file,
            path: Mutex::new(path.to_owned()),
            state: Arc::clone(&self.state),
        }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(FaultyFile {
            file: RealDisk.open(path)?,
            path: Mutex::new(path.to_owned()),
            state: Arc::clone(&self.state),
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let replaced = fs::read(to).ok();
        fs::rename(from, to)?;
        let mut state = self.state();
        let moved: Vec<_> = state
            .sectors
            .keys()
            .filter(|(path, _)| path == from)
            .cloned()
            .collect();
        for key in moved {
            let old = state.sectors.remove(&key).unwrap();
            state.sectors.insert((to.to_owned(), key.1), old);
        }
        state.names.push(Undo::Renamed {
            from: from.to_owned(),
            to: to.to_owned(),
            replaced,
        });
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let content = fs::read(path)?;
        fs::remove_file(path)?;
        self.state()
            .names
            .push(Undo::Removed(path.to_owned(), content));
        Ok(())
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.syncs += 1;
        if let Some(left) = state.failing_syncs.checked_sub(1) {
            state.failing_syncs = left;
            return Err(io::Error::other("a sync failed"));
        }
        // The names of one file system become durable in order.
        if let Some(last) = state.names.iter().rposition(|n| n.folder() == Some(folder)) {
            state.names.drain(..=last);
        }
        Ok(())
    }

    fn free_bytes(&self, folder: &Path) -> io::Result<u64> {
        let free = self.state().free;
        free.map_or_else(|| RealDisk.free_bytes(folder), Ok)
    }
}

/// A file that is known by the name it had when it was opened, or the segment it became.
#[derive(Debug)]
struct FaultyFile {
    file: Box<dyn DiskFile>,
    path: Mutex<PathBuf>,
    state: Arc<Mutex<State>>,
}

impl FaultyFile {
    /// Follows the file through the renames that may be undone.
    fn path(&self, state: &State) -> PathBuf {
        let mut path = self.path.lock().unwrap();
        if !path.exists() {
            for undo in &state.names {
                if let Undo::Renamed { from, to, .. } = undo
                    && *from == *path
                {
                    *path = to.clone();
                }
            }
        }
        path.clone()
    }
}

impl DiskFile for FaultyFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        let path = self.path(&state);
        let (data, fails) = match state.failing_writes.checked_sub(1) {
            Some(left) => {
                state.failing_writes = left;
                (&data[..data.len() / 2], true)
            }
            None => (data, false),
        };
        let end = offset + data.len() as u64;
        for sector in offset / SECTOR..end.div_ceil(SECTOR) {
            let key = (path.clone(), sector);
            let old = state.dropped.remove(&key).unwrap_or_else(|| {
                let mut old = vec![0; SECTOR as usize];
                let count = self.file.read_at(&mut old, sector * SECTOR).unwrap();
                old.truncate(count);
                old
            });
            state.sectors.entry(key).or_insert(old);
        }
        self.file.write_at(data, offset)?;
        if fails { Err(full()) } else { Ok(()) }
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        state.syncs += 1;
        let path = self.path(&state);
        if let Some(left) = state.failing_syncs.checked_sub(1) {
            state.failing_syncs = left;
            let sectors = std::mem::take(&mut state.sectors);
            let (failed, rest): (BTreeMap<_, _>, _) = sectors
                .into_iter()
                .partition(|((known, _), _)| *known == path);
            state.sectors = rest;
            state.dropped.extend(failed);
            return Err(io::Error::other("a sync failed"));
        }
        state.sectors.retain(|(known, _), _| *known != path);
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
}
