//! Proof: whether a folder keeps what was synced there, as far as that can be asked.
//!
//! Nobody can know what a disk does when its power goes. But a file system in memory keeps
//! nothing, and one that refuses to sync says so: where a letter is ours alone, both are found
//! before the first one is taken.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use rustix::fs::{FsWord, statfs};

/// The file that is written for the proof, and removed again.
const PROOF: &str = "sync-proof";

/// What is written: more than a file system keeps beside a file's name.
const CONTENT: [u8; 4096] = [0x50; 4096];

/// File systems that a power cut empties, by the numbers in statfs(2).
const IN_MEMORY: [(FsWord, &str); 2] = [(0x0102_1994, "tmpfs"), (0x8584_58f6, "ramfs")];

/// Why a folder is not trusted to keep letters that nobody else has.
#[derive(Debug)]
pub enum Doubt {
    /// It is in memory.
    InMemory(&'static str),
    /// It could not be written, synced or read.
    Io(io::Error),
    /// What was read is not what was written.
    Differs,
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InMemory(kind) => write!(f, "it is in memory ({kind})"),
            Self::Io(error) => write!(f, "a file could not be written and synced: {error}"),
            Self::Differs => f.write_str("what is read there is not what was written"),
        }
    }
}

impl std::error::Error for Doubt {}

impl From<io::Error> for Doubt {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Writes, syncs, renames and reads as the store does. Blocks for as long as the disk takes.
///
/// # Errors
///
/// [`Doubt`].
pub fn of_sync(folder: &Path) -> Result<(), Doubt> {
    if let Some(kind) = in_memory(folder)? {
        return Err(Doubt::InMemory(kind));
    }
    let (before, after) = (folder.join(format!("{PROOF}.new")), folder.join(PROOF));
    let mut file = File::create(&before)?;
    file.write_all(&CONTENT)?;
    file.sync_data()?;
    drop(file);
    fs::rename(&before, &after)?;
    File::open(folder)?.sync_all()?;
    let read = fs::read(&after)?;
    fs::remove_file(&after)?;
    if read == CONTENT {
        Ok(())
    } else {
        Err(Doubt::Differs)
    }
}

/// Whether a folder is in memory, and in what.
///
/// # Errors
///
/// It is not there, or cannot be asked.
pub fn in_memory(folder: &Path) -> io::Result<Option<&'static str>> {
    let kind = statfs(folder)?.f_type;
    let found = IN_MEMORY.iter().find(|(number, _)| *number == kind);
    Ok(found.map(|(_, name)| *name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_trusted_and_memory_is_not() {
        let folder = tempfile::tempdir().unwrap();
        if in_memory(folder.path()).unwrap().is_none() {
            of_sync(folder.path()).unwrap();
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
            // A folder in the place of the file cannot be replaced by it.
            fs::create_dir_all(folder.path().join(PROOF).join("x")).unwrap();
            let blocked = of_sync(folder.path()).unwrap_err();
            assert!(matches!(blocked, Doubt::Io(_)), "{blocked}");
        }
        let missing = of_sync(&folder.path().join("none")).unwrap_err();
        assert!(matches!(missing, Doubt::Io(_)), "{missing}");
        // Not every machine has one.
        if let Ok(memory) = tempfile::tempdir_in("/dev/shm")
            && in_memory(memory.path()).unwrap().is_some()
        {
            let doubt = of_sync(memory.path()).unwrap_err();
            assert_eq!(doubt.to_string(), "it is in memory (tmpfs)");
        }
    }
}
