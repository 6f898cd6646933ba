//! A small file system of a test's own, which it can fill up.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A mounted one. Dropping it takes it away.
#[derive(Debug)]
pub(crate) struct Disk {
    folder: PathBuf,
}

impl Disk {
    /// Puts one of `mib` MiB in place of an empty folder; `None`, said on standard error, where
    /// nothing can be mounted, as in most containers.
    pub(crate) fn mount(folder: &Path, mib: u64) -> Option<Self> {
        fs::create_dir_all(folder).unwrap();
        let mounted = Command::new("mount")
            .args([
                "-t",
                "tmpfs",
                "-o",
                &format!("size={mib}m,mode=755"),
                "tmpfs",
            ])
            .arg(folder)
            .output()
            .unwrap();
        if mounted.status.success() {
            return Some(Self {
                folder: folder.to_owned(),
            });
        }
        let why = String::from_utf8_lossy(&mounted.stderr).into_owned();
        let _ = writeln!(io::stderr(), "skipped: no disk to fill up: {why}");
        None
    }

    /// Leaves not one byte.
    pub(crate) fn fill(&self) {
        let mut filler = fs::File::create(self.filler()).unwrap();
        let mut piece = vec![0; 64 << 10];
        while !piece.is_empty() {
            match filler.write(&piece) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                    piece.truncate(piece.len() / 2);
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// There is room again.
    pub(crate) fn empty(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.folder.join("filler")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: whoever still has a file open there goes with it.
        let _ = Command::new("umount").arg("-l").arg(&self.folder).status();
    }
}
