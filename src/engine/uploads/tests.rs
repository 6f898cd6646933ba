//! Chunks, resuming, a full disk and what a start keeps.

use std::os::unix::fs::symlink;

use super::*;
use crate::time::Timestamp;

fn upload(number: u64, size: u64) -> Upload {
    Upload {
        id: AttachmentId::new(Timestamp::ZERO, number),
        interaction: InteractionId::new(Timestamp::ZERO, 0),
        agent: "anna".parse().unwrap(),
        file_name: "lamp.pdf".to_owned(),
        content_type: "application/pdf".to_owned(),
        size,
        digest: None,
        inline: false,
        content_id: String::new(),
        created: Timestamp::ZERO,
        ready: false,
    }
}

fn files(folder: &Path, known: &[Upload]) -> Files {
    Files::open(folder, known.iter())
}

#[test]
fn chunks_go_on_where_the_file_ends() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path(), &[]);
    let file = upload(1, 10);
    for (offset, chunk, outcome) in [
        // Not from the middle, and nothing beyond the end.
        (1, &b"x"[..], Err(UploadError::Offset(0))),
        (0, b"0123", Ok((4, true))),
        (4, b"456", Ok((7, false))),
        // Repeated, in part repeated, empty.
        (0, b"0123", Ok((7, false))),
        (5, b"5678", Ok((9, false))),
        (3, b"", Ok((9, false))),
        // Something else than what is there.
        (4, b"4x6", Err(UploadError::Offset(9))),
        (4, b"4x67890", Err(UploadError::TooLarge(10))),
        (8, b"x9", Err(UploadError::Offset(9))),
        (10, b"a", Err(UploadError::Offset(9))),
        (u64::MAX, b"a", Err(UploadError::Offset(9))),
        (9, b"9a", Err(UploadError::TooLarge(10))),
    ] {
        assert_eq!(files.write(&file, offset, chunk), outcome, "{offset}");
    }
    assert_eq!(files.check(&file), Err(UploadError::Offset(9)));
    files.write(&file, 9, b"9").unwrap();
    let digest = ring::digest::digest(&SHA256, b"0123456789");
    assert_eq!(files.check(&file).unwrap(), digest.as_ref());
}

#[test]
fn what_is_not_what_was_announced_begins_again() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path(), &[]);
    let mut file = upload(1, 2);
    file.digest = Some([7; 32]);
    files.write(&file, 0, b"ab").unwrap();
    assert_eq!(files.check(&file), Err(UploadError::Digest));
    assert_eq!(files.received(file.id).unwrap(), 0);
    assert_eq!(files.write(&file, 0, b"cd").unwrap(), (2, false));
}

#[test]
fn a_full_disk_takes_nothing_of_a_chunk() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path(), &[]);
    let file = upload(1, 10);
    // A file on a disk that is always full.
    symlink("/dev/full", files.path(file.id)).unwrap();
    let written = files.write(&file, 0, b"0123");
    assert!(
        matches!(
            written,
            Err(UploadError::Engine(EngineError::Unavailable(_)))
        ),
        "{written:?}"
    );
    assert_eq!(files.received(file.id).unwrap(), 0);
    // There is room again.
    fs::remove_file(files.path(file.id)).unwrap();
    assert_eq!(files.write(&file, 0, b"0123").unwrap(), (4, true));
}

#[test]
fn a_start_keeps_what_is_known_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (kept, lost, empty) = (upload(1, 10), upload(2, 10), upload(3, 0));
    {
        let files = files(folder.path(), &[]);
        files.write(&kept, 0, b"0123").unwrap();
        files.write(&lost, 0, b"0123").unwrap();
        files.write(&empty, 0, b"").unwrap();
    }
    fs::write(folder.path().join("something else"), "x").unwrap();
    let files = files(folder.path(), &[kept.clone(), empty.clone()]);
    let names = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(names, 2);
    assert_eq!(files.received(kept.id).unwrap(), 4);
    assert_eq!(files.received(lost.id).unwrap(), 0);
    assert!(files.check(&empty).is_ok());
}
