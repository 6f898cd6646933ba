//! A segment: one file of the journal, with a header that says whose it is. What lies behind the
//! header is `journal`'s business.

use std::path::{Path, PathBuf};

use super::file::{Disk, DiskFile, names};
use super::frame::Input;
use super::recovery::OpenError;

/// Version of everything below the store's folder. An older program refuses a newer number.
pub(crate) const SCHEMA: u32 = 1;

/// Where frames begin in a segment: one block of the disk is the header's.
pub(crate) const FRAMES_BEGIN: u64 = 4096;

/// The journal's random name, in each of its files; keeps the files of two stores apart.
pub(crate) type StoreId = [u8; 16];

const MAGIC: [u8; 8] = *b"PRjournl";

/// What a segment's header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) store: StoreId,
    /// Counts up from 1, without gaps; also the file's name.
    pub(crate) number: u64,
    /// Sequence of the first frame that is here or will be.
    pub(crate) first_sequence: u64,
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&SCHEMA.to_le_bytes());
        bytes.extend_from_slice(&self.store);
        bytes.extend_from_slice(&self.number.to_le_bytes());
        bytes.extend_from_slice(&self.first_sequence.to_le_bytes());
        let crc = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn decode(path: &Path, bytes: &[u8]) -> Result<Self, OpenError> {
        let damaged = || OpenError::damaged(path, 0);
        let mut input = Input(bytes);
        if input.array() != Some(MAGIC) {
            return Err(damaged());
        }
        let schema = input.u32().ok_or_else(damaged)?;
        if schema > SCHEMA {
            // Before the checksum: a newer header may have it elsewhere.
            return Err(OpenError::NewerSchema {
                path: path.to_owned(),
                found: schema,
            });
        }
        let mut read = || {
            let header = Self {
                store: input.array()?,
                number: input.u64()?,
                first_sequence: input.u64()?,
            };
            let covered = bytes.len() - input.0.len();
            let crc = crc32fast::hash(bytes.get(..covered)?);
            (input.u32()? == crc).then_some(header)
        };
        read().ok_or_else(damaged)
    }
}

/// The path of a segment.
pub(crate) fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:012}.segment"))
}

/// Opens a segment and reads its header.
pub(crate) fn open(
    disk: &dyn Disk,
    folder: &Path,
    number: u64,
) -> Result<(Box<dyn DiskFile>, SegmentHeader), OpenError> {
    let path = path(folder, number);
    let file = disk.open(&path).map_err(|e| OpenError::io(&path, e))?;
    let mut bytes = [0; 64];
    file.read_at(&mut bytes, 0)
        .map_err(|e| OpenError::io(&path, e))?;
    let header = SegmentHeader::decode(&path, &bytes)?;
    if header.number != number {
        return Err(OpenError::damaged(&path, 0));
    }
    Ok((file, header))
}

/// The headers of all segments, which must be those of one store and without a gap.
pub(crate) fn list(disk: &dyn Disk, folder: &Path) -> Result<Vec<SegmentHeader>, OpenError> {
    let mut headers: Vec<SegmentHeader> = Vec::new();
    for name in names(folder).map_err(|e| OpenError::io(folder, e))? {
        let Some(number) = name.strip_suffix(".segment").and_then(|n| n.parse().ok()) else {
            continue;
        };
        let (_, header) = open(disk, folder, number)?;
        if let Some(before) = headers.last() {
            let follows = before.store == header.store
                && before.number + 1 == header.number
                && before.first_sequence <= header.first_sequence;
            if !follows {
                return Err(OpenError::damaged(&path(folder, number), 0));
            }
        }
        headers.push(header);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_comes_back_and_damage_is_seen() {
        let header = SegmentHeader {
            store: [7; 16],
            number: 3,
            first_sequence: 99,
        };
        let bytes = header.encode();
        let path = Path::new("x");
        assert_eq!(SegmentHeader::decode(path, &bytes).unwrap(), header);
        for place in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            assert!(SegmentHeader::decode(path, &changed).is_err(), "{place}");
        }
    }

    #[test]
    fn a_newer_schema_is_named_as_such() {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&(SCHEMA + 1).to_le_bytes());
        let error = SegmentHeader::decode(Path::new("x"), &bytes).unwrap_err();
        assert!(matches!(error, OpenError::NewerSchema { .. }), "{error}");
    }
}
