//! The file operations under the store: a narrow seam with the real disk behind it. The tests put a
//! disk behind it that loses power, fills up and fails to sync.
//!
//! Paths below the store's folder only; who may use that folder is `lock`'s business, what the
//! bytes mean is the journal's.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::{FallocateFlags, FlockOperation};

/// Bytes moved at a time where a whole file or segment is read, filled or copied.
pub(crate) const CHUNK_BYTES: usize = 1 << 20;

/// Letters are private: files are made for the owner only.
const FILE_MODE: u32 = 0o600;

/// What the store asks of a file system.
///
/// Nothing is durable before [`DiskFile::sync`], and no name is before [`Disk::sync_folder`].
pub(crate) trait Disk: fmt::Debug + Send + Sync {
    /// Makes an empty file, in place of any that has the name, and fills `reserve` bytes of it with
    /// zeros, so that writing there later takes no space and changes no metadata.
    fn create(&self, path: &Path, reserve: u64) -> io::Result<Box<dyn DiskFile>>;

    /// Opens a file for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Renames a file within the file system, in place of any that has the new name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a folder durable.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;

    /// Bytes that an ordinary user may still write to the file system of this folder.
    fn free_bytes(&self, folder: &Path) -> io::Result<u64>;
}

/// One open file.
pub(crate) trait DiskFile: fmt::Debug + Send + Sync {
    /// Reads up to the length of `buffer`; less only at the end of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes everything, in one system call where the kernel takes it in one.
    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()>;

    /// Makes the content durable. After an error it is unknown what is on the disk, and a second
    /// call may claim success for pages that the kernel has meanwhile dropped: never repeat it.
    fn sync(&self) -> io::Result<()>;

    /// Length in bytes, with what is reserved.
    fn len(&self) -> io::Result<u64>;
}

/// The operating system's file system.
#[derive(Debug)]
pub(crate) struct RealDisk;

impl Disk for RealDisk {
    fn create(&self, path: &Path, reserve: u64) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(FILE_MODE)
            .open(path)?;
        if reserve > 0 {
            match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, reserve) {
                Ok(()) => {}
                // NFS and some others cannot reserve; the zeros below take the space as well.
                Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {}
                Err(error) => return Err(error.into()),
            }
        }
        // Reserved space alone is not enough: the first write to a reserved block changes the
        // file's extents, and each sync then waits for the file system's own journal. Blocks that
        // were written once sync half again as fast.
        let file = RealFile(file);
        write_zeros(&file, 0, reserve)?;
        Ok(Box::new(file))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(Box::new(RealFile(file)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }

    fn free_bytes(&self, folder: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(folder)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

#[derive(Debug)]
struct RealFile(File);

impl DiskFile for RealFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.0.read_at(rest, offset + done as u64) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(data, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}

/// Holds the store's folder for one process; released when dropped, and by the kernel when the
/// process dies in whatever way.
#[derive(Debug)]
pub(crate) struct FolderLock(#[expect(dead_code, reason = "held, never read")] File);

impl FolderLock {
    /// Takes the lock, or `None` if another process has it.
    pub(crate) fn take(path: &Path) -> io::Result<Option<Self>> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(FILE_MODE)
            .open(path)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self(file))),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// Overwrites a range with zeros.
pub(crate) fn write_zeros(file: &dyn DiskFile, from: u64, to: u64) -> io::Result<()> {
    let zeros = vec![0; CHUNK_BYTES.min(to.saturating_sub(from) as usize)];
    let mut offset = from;
    while offset < to {
        let count = zeros.len().min((to - offset) as usize);
        file.write_at(zeros.get(..count).unwrap_or_default(), offset)?;
        offset += count as u64;
    }
    Ok(())
}

/// Names in a folder, sorted; what is not text cannot be ours and is left out.
pub(crate) fn names(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        if let Ok(name) = entry?.file_name().into_string() {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Replaces a small file as a whole: after a crash either the old content is there or the new.
pub(crate) fn replace(disk: &dyn Disk, path: &Path, content: &[u8]) -> io::Result<()> {
    let new = path.with_extension("tmp");
    let file = disk.create(&new, 0)?;
    file.write_at(content, 0)?;
    file.sync()?;
    disk.rename(&new, path)?;
    disk.sync_folder(path.parent().unwrap_or(path))
}
