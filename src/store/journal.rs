//! The journal: frames one after the other in segments of prepared space; the truth on disk.
//! What the frames mean for readers is decided in `index`, what to do after a crash in `recovery`.
//!
//! A group of frames is one write and one sync, and lies whole in one segment. Each frame tells up
//! to which sequence everything was durable when it was written, so that a reader can tell a torn
//! end (frames nobody was promised) from damage (frames somebody was).

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crc32fast::Hasher;

use super::Batch;
use super::file::{CHUNK_BYTES, Disk, DiskFile, write_zeros};
use super::frame::{self, ALIGNMENT, Frame, HEADER_BYTES, Header};
use super::recovery::OpenError;
use super::segment::{self, FRAMES_BEGIN, SegmentHeader, StoreId};

/// Capacity the write buffer keeps between two groups, in bytes.
const BUFFER_BYTES_KEPT: usize = 1 << 20;

/// A place between two frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Position {
    /// Number of the segment.
    pub(crate) segment: u64,
    /// Bytes from the segment's beginning.
    pub(crate) offset: u64,
    /// Sequence of the frame that begins here.
    pub(crate) sequence: u64,
}

impl Position {
    /// Bytes of the journal before this position, taking every segment to be of the usual size.
    pub(crate) const fn bytes(&self, segment_bytes: u64) -> u64 {
        self.segment.saturating_sub(1) * segment_bytes + self.offset
    }
}

/// A group that could not be appended.
#[derive(Debug)]
pub(crate) enum AppendError {
    /// A batch is larger than a frame may be; nothing was written.
    TooLarge,
    /// Nothing of it is in the journal, and the journal goes on.
    Unwritten(io::Error),
    /// It may be in the journal; nothing may be appended after it.
    Unknown(io::Error),
}

/// The prepared file that will be the next segment, if there is one.
pub(crate) type Spare = Arc<Mutex<Option<Box<dyn DiskFile>>>>;

/// The end of the journal, where frames are appended.
pub(crate) struct Journal {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    store: StoreId,
    seed: Hasher,
    segment_bytes: u64,
    file: Box<dyn DiskFile>,
    file_bytes: u64,
    end: Position,
    buffer: Vec<u8>,
    spare: Spare,
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal")
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}

impl Journal {
    /// Begins a journal in an empty folder.
    pub(crate) fn create(
        disk: Arc<dyn Disk>,
        folder: &Path,
        store: StoreId,
        segment_bytes: u64,
    ) -> io::Result<Self> {
        let header = SegmentHeader {
            store,
            number: 1,
            first_sequence: 1,
        };
        let file = new_file(&*disk, folder, segment_bytes)?;
        publish(&*disk, folder, &*file, header)?;
        disk.sync_folder(folder)?;
        let end = Position {
            segment: 1,
            offset: FRAMES_BEGIN,
            sequence: 1,
        };
        Self::at(disk, folder, store, segment_bytes, file, end)
    }

    /// Goes on where a scan found the end. Everything before it must be durable, everything after
    /// it zero: see [`settle`].
    pub(crate) fn resume(
        disk: Arc<dyn Disk>,
        folder: &Path,
        store: StoreId,
        segment_bytes: u64,
        end: Position,
    ) -> Result<Self, OpenError> {
        let (file, _) = segment::open(&*disk, folder, end.segment)?;
        Self::at(disk, folder, store, segment_bytes, file, end)
            .map_err(|error| OpenError::io(&segment::path(folder, end.segment), error))
    }

    fn at(
        disk: Arc<dyn Disk>,
        folder: &Path,
        store: StoreId,
        segment_bytes: u64,
        file: Box<dyn DiskFile>,
        end: Position,
    ) -> io::Result<Self> {
        Ok(Self {
            disk,
            folder: folder.to_owned(),
            store,
            seed: seed(store),
            segment_bytes,
            file_bytes: file.len()?,
            file,
            end,
            buffer: Vec::new(),
            spare: Spare::default(),
        })
    }

    /// Where the next frame goes; everything before is durable.
    pub(crate) const fn end(&self) -> Position {
        self.end
    }

    /// Where [`prepare_spare`] may leave the next segment.
    pub(crate) fn spare(&self) -> Spare {
        Arc::clone(&self.spare)
    }

    /// Appends a group, a frame a batch, and makes it durable with one write and one sync. Answers
    /// where it begins; its frames are [`Self::appended`].
    pub(crate) fn append(&mut self, group: &[Batch]) -> Result<Position, AppendError> {
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER_BYTES_KEPT);
        let mut sequence = self.end.sequence;
        let synced = sequence - 1;
        for batch in group {
            if !frame::append(&self.seed, sequence, synced, batch, &mut self.buffer) {
                return Err(AppendError::TooLarge);
            }
            sequence += 1;
        }
        if self.end.offset + self.buffer.len() as u64 > self.file_bytes {
            self.roll()?;
        }
        let begin = self.end;
        let end = begin.offset + self.buffer.len() as u64;
        if let Err(error) = self.file.write_at(&self.buffer, begin.offset) {
            // A part may be there, whole frames even, and must not come to life behind what is
            // written here next. The zeros are synced for the same reason: of two unsynced writes
            // to one place, a power cut may leave some blocks of each.
            return match write_zeros(&*self.file, begin.offset, end).and_then(|()| self.file.sync())
            {
                Ok(()) => Err(AppendError::Unwritten(error)),
                Err(second) => Err(AppendError::Unknown(second)),
            };
        }
        self.file.sync().map_err(AppendError::Unknown)?;
        self.end.offset = end;
        self.end.sequence = sequence;
        Ok(begin)
    }

    /// The frames of the last group, as they are on disk.
    pub(crate) fn appended(&self) -> &[u8] {
        &self.buffer
    }

    /// Goes on in a new segment, large enough for what is in the buffer.
    fn roll(&mut self) -> Result<(), AppendError> {
        let header = SegmentHeader {
            store: self.store,
            number: self.end.segment + 1,
            first_sequence: self.end.sequence,
        };
        let bytes = self
            .segment_bytes
            .max(FRAMES_BEGIN + self.buffer.len() as u64);
        // Locked until the file has its name: a spare made meanwhile would be the same file.
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let prepared = spare
            .take()
            .filter(|file| file.len().is_ok_and(|len| len >= bytes));
        let made = match prepared {
            Some(file) => Ok(file),
            None => new_file(&*self.disk, &self.folder, bytes),
        };
        let made = made.and_then(|file| {
            publish(&*self.disk, &self.folder, &*file, header)?;
            Ok(file)
        });
        let file = match made {
            Ok(file) => file,
            Err(error) => {
                // Gives back the space, of which there may be too little.
                let _ = self.disk.remove(&unpublished(&self.folder));
                return Err(AppendError::Unwritten(error));
            }
        };
        drop(spare);
        // From here on the name may be there after a crash or not. A second attempt could not
        // tell, so there is none.
        self.disk
            .sync_folder(&self.folder)
            .map_err(AppendError::Unknown)?;
        self.file_bytes = file.len().map_err(AppendError::Unknown)?;
        self.file = file;
        self.end.segment = header.number;
        self.end.offset = FRAMES_BEGIN;
        Ok(())
    }
}

/// Prepares the file for the next segment, so that the one who appends does not have to wait for
/// it. An error leaves that to him.
pub(crate) fn prepare_spare(
    disk: &dyn Disk,
    folder: &Path,
    segment_bytes: u64,
    spare: &Spare,
) -> io::Result<()> {
    // Locked throughout: a segment that is full meanwhile waits for the file that is being made.
    let mut place = spare.lock().unwrap_or_else(PoisonError::into_inner);
    if place.is_none() {
        *place = Some(new_file(disk, folder, segment_bytes)?);
    }
    Ok(())
}

/// Makes a file of zeros for a segment, not yet under its name.
fn new_file(disk: &dyn Disk, folder: &Path, bytes: u64) -> io::Result<Box<dyn DiskFile>> {
    let path = unpublished(folder);
    let made = disk.create(&path, bytes).and_then(|file| {
        file.sync()?;
        Ok(file)
    });
    if made.is_err() {
        let _ = disk.remove(&path);
    }
    made
}

fn publish(
    disk: &dyn Disk,
    folder: &Path,
    file: &dyn DiskFile,
    header: SegmentHeader,
) -> io::Result<()> {
    file.write_at(&header.encode(), 0)?;
    file.sync()?;
    disk.rename(&unpublished(folder), &segment::path(folder, header.number))
}

fn unpublished(folder: &Path) -> PathBuf {
    folder.join("next.tmp")
}

/// What the checksums of this store's frames begin with.
pub(crate) fn seed(store: StoreId) -> Hasher {
    let mut hasher = Hasher::new();
    hasher.update(&store);
    hasher
}

/// What a scan found at the end of the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct End {
    /// Behind the last whole frame.
    pub(crate) position: Position,
    /// Where the last group begins: nothing after the frames before it tells that it is durable.
    pub(crate) unsettled: u64,
    /// Offset in the last segment behind which everything is zero.
    pub(crate) zeros: u64,
}

/// Reads all frames from a position to the end. `promised` is the last sequence that is known to be
/// durable from elsewhere. Changes nothing.
pub(crate) fn scan(
    disk: &dyn Disk,
    folder: &Path,
    segments: &[SegmentHeader],
    from: Position,
    promised: u64,
    visit: &mut dyn FnMut(Position, &Frame<'_>) -> Result<(), OpenError>,
) -> Result<End, OpenError> {
    let mut at = from;
    let mut group = from;
    let mut rest = segments
        .iter()
        .filter(|header| header.number >= from.segment)
        .peekable();
    while let Some(header) = rest.next() {
        let path = segment::path(folder, header.number);
        let (file, _) = segment::open(disk, folder, header.number)?;
        if header.number != from.segment {
            at.segment = header.number;
            at.offset = FRAMES_BEGIN;
        }
        let seed = seed(header.store);
        let mut window = Window::new(&*file).map_err(|error| OpenError::io(&path, error))?;
        while let Some(bytes) = window
            .frame(at, &seed)
            .map_err(|error| OpenError::io(&path, error))?
        {
            let Some(frame) = Frame::parse(&seed, bytes) else {
                break;
            };
            if frame.header.synced + 1 == frame.header.sequence {
                group = at;
            }
            visit(at, &frame)?;
            at.offset += frame.header.frame_bytes() as u64;
            at.sequence += 1;
        }
        if let Some(next) = rest.peek() {
            // A segment is left behind only when all in it is durable.
            if next.first_sequence != at.sequence {
                return Err(OpenError::damaged(&path, at.offset));
            }
            continue;
        }
        let beyond = window
            .look_beyond(at, &seed)
            .map_err(|error| OpenError::io(&path, error))?;
        if beyond.promised.max(promised) >= at.sequence {
            return Err(OpenError::damaged(&path, at.offset));
        }
        let unsettled = if group.segment == at.segment {
            group.offset
        } else {
            at.offset
        };
        return Ok(End {
            position: at,
            unsettled,
            zeros: beyond.zeros,
        });
    }
    Err(OpenError::damaged(&segment::path(folder, from.segment), 0))
}

/// Makes the end of the journal fit to be appended to: what was torn is overwritten with zeros, and
/// the last group, which may so far be in the kernel's memory only, is written again and synced.
pub(crate) fn settle(disk: &dyn Disk, folder: &Path, end: &End) -> Result<(), OpenError> {
    let path = segment::path(folder, end.position.segment);
    let (file, _) = segment::open(disk, folder, end.position.segment)?;
    let rewrite = || -> io::Result<()> {
        let mut offset = end.unsettled;
        let mut buffer = vec![0; CHUNK_BYTES];
        while offset < end.position.offset {
            let left = end.position.offset - offset;
            let want = buffer
                .len()
                .min(usize::try_from(left).unwrap_or(usize::MAX));
            let count = file.read_at(buffer.get_mut(..want).unwrap_or_default(), offset)?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            file.write_at(buffer.get(..count).unwrap_or_default(), offset)?;
            offset += count as u64;
        }
        write_zeros(&*file, end.position.offset, end.zeros)?;
        file.sync()
    };
    rewrite().map_err(|error| OpenError::io(&path, error))
}

/// What lies behind the last whole frame of the last segment.
struct Beyond {
    /// The last sequence that a frame found there calls durable.
    promised: u64,
    /// Offset behind which everything is zero.
    zeros: u64,
}

/// A segment read in large pieces.
struct Window<'a> {
    file: &'a dyn DiskFile,
    file_bytes: u64,
    begin: u64,
    bytes: Vec<u8>,
}

impl<'a> Window<'a> {
    fn new(file: &'a dyn DiskFile) -> io::Result<Self> {
        Ok(Self {
            file,
            file_bytes: file.len()?,
            begin: 0,
            bytes: Vec::new(),
        })
    }

    /// `count` bytes, or fewer at the end of the segment.
    fn get(&mut self, offset: u64, count: usize) -> io::Result<&[u8]> {
        let left = usize::try_from(self.file_bytes.saturating_sub(offset)).unwrap_or(usize::MAX);
        let count = count.min(left);
        let have = self.begin..self.begin + self.bytes.len() as u64;
        if offset < have.start || offset + count as u64 > have.end {
            self.bytes.resize(count.max(CHUNK_BYTES).min(left), 0);
            let read = self.file.read_at(&mut self.bytes, offset)?;
            self.bytes.truncate(read);
            self.begin = offset;
        }
        let from = usize::try_from(offset - self.begin).unwrap_or(usize::MAX);
        let bytes = self.bytes.get(from..).unwrap_or_default();
        Ok(bytes.get(..count).unwrap_or(bytes))
    }

    /// The bytes of what claims to be the expected frame, as yet unchecked.
    fn frame(&mut self, at: Position, seed: &Hasher) -> io::Result<Option<&[u8]>> {
        let Some(header) = Header::parse(self.get(at.offset, HEADER_BYTES)?) else {
            return Ok(None);
        };
        let expected = header.sequence == at.sequence;
        // Before the length of the bodies is believed, the metadata must be right.
        if !expected || !header.vouches_for(seed, self.get(at.offset, header.head_bytes())?) {
            return Ok(None);
        }
        self.get(at.offset, header.frame_bytes()).map(Some)
    }

    /// Looks through the rest of the segment for frames that were written later.
    fn look_beyond(&mut self, at: Position, seed: &Hasher) -> io::Result<Beyond> {
        let mut beyond = Beyond {
            promised: 0,
            zeros: at.offset,
        };
        let mut offset = at.offset;
        while offset < self.file_bytes {
            let chunk = self.get(offset, CHUNK_BYTES)?;
            let count = chunk.len() as u64;
            if count == 0 {
                break;
            }
            let mut found = Vec::new();
            if let Some(last) = chunk.iter().rposition(|byte| *byte != 0) {
                beyond.zeros = offset + last as u64 + 1;
                for (place, piece) in chunk.chunks(ALIGNMENT).enumerate() {
                    if piece.starts_with(&frame::MAGIC) {
                        found.push(offset + (place * ALIGNMENT) as u64);
                    }
                }
            }
            for place in found {
                let Some(header) = Header::parse(self.get(place, HEADER_BYTES)?) else {
                    continue;
                };
                if header.sequence > at.sequence
                    && header.vouches_for(seed, self.get(place, header.head_bytes())?)
                {
                    beyond.promised = beyond.promised.max(header.synced);
                }
            }
            offset += count;
        }
        Ok(beyond)
    }
}
