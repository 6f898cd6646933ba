//! A frame: one batch as bytes in the journal. Where frames lie is decided in `journal`.
//!
//! Little-endian throughout. A frame is a header of 32 bytes, the metadata, the bodies one after
//! the other, and zeros up to a multiple of eight:
//!
//! ```text
//!  0  magic             4
//!  4  checksum          4   CRC-32 of the journal's seed, then of the header from here, then of the metadata
//!  8  metadata length   4
//! 12  bodies length     4
//! 16  sequence          8   one more than that of the frame before
//! 24  synced            8   the last sequence that was known durable when this frame was written
//! 32  puts, deletes, bodies: their counts, 4 each; then
//!     a put             key length 4, value length 4, key, value
//!     a delete          key length 4, key
//!     a body            id 16, kind 1 (0 here, 1 in a file of its own), length 8, CRC-32 4
//! ```
//!
//! The metadata holds each body's own checksum, so the two together cover every byte once. The seed
//! is the journal's random id: a letter that carries a forged frame is not taken for one.

use crc32fast::Hasher;

use super::{Batch, BodyId};
use crate::content::Content;

pub(crate) const MAGIC: [u8; 4] = *b"PRfr";

/// Bytes of a frame before its metadata.
pub(crate) const HEADER_BYTES: usize = 32;

/// Where frames begin: multiples of this.
pub(crate) const ALIGNMENT: usize = 8;

/// Largest frame, in bytes: far above any batch the desk makes, and what a reader must be ready to
/// hold in memory.
pub(crate) const FRAME_BYTES_MAX: usize = 64 << 20;

const BODY_HERE: u8 = 0;
const BODY_IN_FILE: u8 = 1;

/// What a frame's first bytes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    checksum: u32,
    meta_bytes: usize,
    bodies_bytes: usize,
    pub(crate) sequence: u64,
    pub(crate) synced: u64,
}

impl Header {
    /// Reads a header; `None` if there is none here or it claims more than a frame may hold.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut input = Input(bytes);
        if input.array::<4>()? != MAGIC {
            return None;
        }
        let header = Self {
            checksum: input.u32()?,
            meta_bytes: input.u32()? as usize,
            bodies_bytes: input.u32()? as usize,
            sequence: input.u64()?,
            synced: input.u64()?,
        };
        (header.frame_bytes() <= FRAME_BYTES_MAX).then_some(header)
    }

    /// Length of the whole frame, padding included.
    pub(crate) const fn frame_bytes(&self) -> usize {
        (HEADER_BYTES + self.meta_bytes + self.bodies_bytes).next_multiple_of(ALIGNMENT)
    }

    /// Length of the header and the metadata: what [`Self::vouches_for`] wants to see.
    pub(crate) const fn head_bytes(&self) -> usize {
        HEADER_BYTES + self.meta_bytes
    }

    /// Whether header and metadata are as they were written. The bodies are not looked at.
    pub(crate) fn vouches_for(&self, seed: &Hasher, frame: &[u8]) -> bool {
        frame
            .get(8..self.head_bytes())
            .is_some_and(|covered| checksum(seed, covered) == self.checksum)
    }
}

/// A value or a body inside a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part<'a> {
    pub(crate) bytes: &'a [u8],
    /// Bytes from the beginning of the frame.
    pub(crate) offset: usize,
}

/// A body that a frame names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrameBody<'a> {
    Here { part: Part<'a>, crc: u32 },
    InFile { len: u64 },
}

/// The whole content of a frame that is as it was written.
#[derive(Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) header: Header,
    pub(crate) puts: Vec<(&'a [u8], Part<'a>)>,
    pub(crate) deletes: Vec<&'a [u8]>,
    pub(crate) bodies: Vec<(BodyId, FrameBody<'a>)>,
}

impl<'a> Frame<'a> {
    /// Reads and checks the frame at the beginning of `bytes`, every byte of it.
    pub(crate) fn parse(seed: &Hasher, bytes: &'a [u8]) -> Option<Self> {
        if !Header::parse(bytes)?.vouches_for(seed, bytes) {
            return None;
        }
        let frame = Self::read(bytes)?;
        let whole = frame.bodies.iter().all(|(_, body)| match body {
            FrameBody::Here { part, crc } => crc32fast::hash(part.bytes) == *crc,
            FrameBody::InFile { .. } => true,
        });
        whole.then_some(frame)
    }

    /// Reads a frame that this process has just made: no checksum is computed again.
    pub(crate) fn read(bytes: &'a [u8]) -> Option<Self> {
        let header = Header::parse(bytes)?;
        let mut input = Input(bytes.get(HEADER_BYTES..header.head_bytes())?);
        let mut bodies_left = Input(
            bytes
                .get(header.head_bytes()..)?
                .get(..header.bodies_bytes)?,
        );
        let offset_of = |left: &[u8], end: usize| end - left.len();
        let meta_end = header.head_bytes();
        let bodies_end = meta_end + header.bodies_bytes;

        let (puts, deletes, bodies) = (input.u32()?, input.u32()?, input.u32()?);
        let mut frame = Self {
            header,
            puts: Vec::new(),
            deletes: Vec::new(),
            bodies: Vec::new(),
        };
        for _ in 0..puts {
            let (key_len, value_len) = (input.u32()?, input.u32()?);
            let key = input.take(key_len as usize)?;
            let offset = offset_of(input.0, meta_end);
            let bytes = input.take(value_len as usize)?;
            frame.puts.push((key, Part { bytes, offset }));
        }
        for _ in 0..deletes {
            let key_len = input.u32()?;
            frame.deletes.push(input.take(key_len as usize)?);
        }
        for _ in 0..bodies {
            let id = BodyId::from_bytes(input.array()?);
            let kind = input.array::<1>()?;
            let (len, crc) = (input.u64()?, input.u32()?);
            let body = match kind {
                [BODY_HERE] => {
                    let offset = offset_of(bodies_left.0, bodies_end);
                    let bytes = bodies_left.take(usize::try_from(len).ok()?)?;
                    let part = Part { bytes, offset };
                    FrameBody::Here { part, crc }
                }
                [BODY_IN_FILE] => FrameBody::InFile { len },
                _ => return None,
            };
            frame.bodies.push((id, body));
        }
        Some(frame)
    }
}

/// Appends a batch to `out`, which begins at a place where a frame may begin. `false` if the batch
/// is larger than [`FRAME_BYTES_MAX`]; `out` is then as it was.
pub(crate) fn append(
    seed: &Hasher,
    sequence: u64,
    synced: u64,
    batch: &Batch,
    out: &mut Vec<u8>,
) -> bool {
    let begin = out.len();
    if frame_bytes(batch) > FRAME_BYTES_MAX {
        return false;
    }
    out.reserve(frame_bytes(batch));
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[0; HEADER_BYTES - 4]);

    for count in [batch.puts.len(), batch.deletes.len(), batch.bodies.len()] {
        put_len(out, count);
    }
    for (key, value) in &batch.puts {
        put_len(out, key.len());
        put_len(out, value.len());
        out.extend_from_slice(key);
        out.extend_from_slice(value);
    }
    for key in &batch.deletes {
        put_len(out, key.len());
        out.extend_from_slice(key);
    }
    for (id, content) in &batch.bodies {
        let (kind, crc) = match content {
            Content::Memory(bytes) => (BODY_HERE, crc32fast::hash(bytes)),
            Content::File(_) => (BODY_IN_FILE, 0),
        };
        out.extend_from_slice(&id.to_bytes());
        out.push(kind);
        out.extend_from_slice(&content.len().to_le_bytes());
        out.extend_from_slice(&crc.to_le_bytes());
    }
    let meta_end = out.len();
    for (_, content) in &batch.bodies {
        if let Content::Memory(bytes) = content {
            out.extend_from_slice(bytes);
        }
    }
    let bodies_bytes = out.len() - meta_end;
    out.resize(out.len().next_multiple_of(ALIGNMENT), 0);

    let mut header = Vec::with_capacity(HEADER_BYTES - 8);
    put_len(&mut header, meta_end - begin - HEADER_BYTES);
    put_len(&mut header, bodies_bytes);
    header.extend_from_slice(&sequence.to_le_bytes());
    header.extend_from_slice(&synced.to_le_bytes());
    fill(out, begin + 8, &header);
    let checksum = checksum(seed, out.get(begin + 8..meta_end).unwrap_or_default());
    fill(out, begin + 4, &checksum.to_le_bytes());
    true
}

/// Size a batch has as a frame, in bytes.
fn frame_bytes(batch: &Batch) -> usize {
    let puts = batch
        .puts
        .iter()
        .map(|(key, value)| 8 + key.len() + value.len());
    let deletes = batch.deletes.iter().map(|key| 4 + key.len());
    let bodies = batch.bodies.iter().map(|(_, content)| match content {
        Content::Memory(bytes) => 29 + bytes.len(),
        Content::File(_) => 29,
    });
    let content: usize = puts.chain(deletes).chain(bodies).sum();
    (HEADER_BYTES + 12 + content).next_multiple_of(ALIGNMENT)
}

fn checksum(seed: &Hasher, covered: &[u8]) -> u32 {
    let mut hasher = seed.clone();
    hasher.update(covered);
    hasher.finalize()
}

/// Writes a length, which [`FRAME_BYTES_MAX`] keeps within 32 bits.
fn put_len(out: &mut Vec<u8>, len: usize) {
    out.extend_from_slice(&(len as u32).to_le_bytes());
}

fn fill(out: &mut [u8], offset: usize, bytes: &[u8]) {
    if let Some(place) = out.get_mut(offset..offset + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

/// Bytes still to be read; everything answers `None` when there are too few.
pub(crate) struct Input<'a>(pub(crate) &'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    fn batch(puts: &[(&[u8], &[u8])], deletes: &[&[u8]], bodies: &[&[u8]]) -> Batch {
        let mut batch = Batch::default();
        for (key, value) in puts {
            batch.put(key.to_vec(), value.to_vec());
        }
        for key in deletes {
            batch.delete(key.to_vec());
        }
        for (place, body) in bodies.iter().enumerate() {
            let content = Content::Memory(Bytes::copy_from_slice(body));
            batch.body(BodyId::from_bytes([place as u8; 16]), content);
        }
        batch
    }

    #[test]
    fn known_bytes() {
        let mut out = Vec::new();
        let batch = batch(&[(b"k", b"vv")], &[b"d"], &[b"body"]);
        assert!(append(&Hasher::new(), 7, 5, &batch, &mut out));
        let text: Vec<String> = out.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            text.join(" "),
            "50 52 66 72 39 88 ac 2d 39 00 00 00 04 00 00 00 \
             07 00 00 00 00 00 00 00 05 00 00 00 00 00 00 00 \
             01 00 00 00 01 00 00 00 01 00 00 00 01 00 00 00 \
             02 00 00 00 6b 76 76 01 00 00 00 64 00 00 00 00 \
             00 00 00 00 00 00 00 00 00 00 00 00 00 04 00 00 \
             00 00 00 00 00 b2 0b a8 db 62 6f 64 79 00 00 00"
        );
    }

    proptest! {
        #[test]
        fn reading_is_the_inverse_of_writing(
            puts in prop::collection::vec((any::<Vec<u8>>(), any::<Vec<u8>>()), 0..4),
            deletes in prop::collection::vec(any::<Vec<u8>>(), 0..4),
            bodies in prop::collection::vec(any::<Vec<u8>>(), 0..4),
            flip in any::<prop::sample::Index>(),
        ) {
            let seed = Hasher::new_with_initial(9);
            let puts: Vec<(&[u8], &[u8])> = puts.iter().map(|(k, v)| (&k[..], &v[..])).collect();
            let deletes: Vec<&[u8]> = deletes.iter().map(|k| &k[..]).collect();
            let bodies: Vec<&[u8]> = bodies.iter().map(|b| &b[..]).collect();
            let mut out = Vec::new();
            prop_assert!(append(&seed, 3, 2, &batch(&puts, &deletes, &bodies), &mut out));
            let frame = Frame::parse(&seed, &out).expect("what was just written");
            prop_assert_eq!(frame.header.frame_bytes(), out.len());
            prop_assert_eq!((frame.header.sequence, frame.header.synced), (3, 2));
            let read: Vec<(&[u8], &[u8])> = frame.puts.iter().map(|(k, v)| (*k, v.bytes)).collect();
            prop_assert_eq!(read, puts);
            prop_assert_eq!(&frame.deletes, &deletes);
            for ((_, body), expected) in frame.bodies.iter().zip(&bodies) {
                let FrameBody::Here { part, .. } = body else { panic!("no files here") };
                prop_assert_eq!(part.bytes, *expected);
                prop_assert_eq!(&out[part.offset..part.offset + part.bytes.len()], *expected);
            }
            for (_, value) in &frame.puts {
                prop_assert_eq!(&out[value.offset..value.offset + value.bytes.len()], value.bytes);
            }

            // Another journal's frame is none of ours, and no changed byte goes unseen.
            prop_assert!(Frame::parse(&Hasher::new(), &out).is_none());
            let body_end = out.len() - frame_padding(&frame);
            let place = flip.index(body_end);
            out[place] ^= 0x10;
            prop_assert!(Frame::parse(&seed, &out).is_none());
        }

        #[test]
        fn garbage_is_no_frame(mut bytes in any::<Vec<u8>>(), magic in any::<bool>()) {
            if magic && bytes.len() >= 4 {
                bytes[..4].copy_from_slice(&MAGIC);
            }
            prop_assert!(Frame::parse(&Hasher::new(), &bytes).is_none());
        }
    }

    fn frame_padding(frame: &Frame<'_>) -> usize {
        let header = frame.header;
        header.frame_bytes() - header.head_bytes() - header.bodies_bytes
    }
}
