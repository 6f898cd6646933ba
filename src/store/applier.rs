//! The applier: a thread beside the writer that moves what was committed into the index. The writer
//! waits for it only when too much has piled up, a reader never longer than a turn of layers takes.
//!
//! It does not run at each commit: many changes at a time cost less than one by one, and what is
//! put and soon deleted costs almost nothing.

use std::io;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::{Builder, JoinHandle};

use super::StoreError;
use super::index::{Entry, Index, Span};
use super::journal::Position;
use super::local::Inner;
use super::overlay::{Change, Direction, Overlay, deleted, lay_over};

/// From how many waiting changes on they are moved. With the largest values that the index takes
/// that is half of what may wait, so that the writer can go on meanwhile.
const ENTRIES_DUE: usize = 512;

/// What is committed and not yet in the index, shared by writer, applier and readers.
///
/// A key is always read at its newest, and a page as of one moment: no group is seen in part.
#[derive(Debug)]
pub(crate) struct Backlog {
    overlay: Mutex<Overlay<Entry>>,
    /// Held while a layer is moved: one at a time.
    moving: Mutex<()>,
    /// Held by those who read a page, and by the one who begins to move the next layer: until the
    /// page is read, the index changes only where the layer that moves hides it.
    reading: RwLock<()>,
}

impl Backlog {
    /// Nothing waits: the index has everything before `applied`.
    pub(crate) fn new(applied: Position) -> Self {
        Self {
            overlay: Mutex::new(Overlay::new(applied)),
            moving: Mutex::default(),
            reading: RwLock::default(),
        }
    }

    fn overlay(&self) -> MutexGuard<'_, Overlay<Entry>> {
        self.overlay.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds what was just made durable, up to `end`, and answers whether the applier should run.
    /// Readers see all of it at once.
    pub(crate) fn add(&self, changes: Vec<(Vec<u8>, Change<Entry>)>, end: Position) -> bool {
        let mut overlay = self.overlay();
        overlay.add(changes, end);
        overlay.fresh() >= ENTRIES_DUE
    }

    /// Waits until more may be added, which may take moving a layer here.
    pub(crate) fn make_room(&self, index: &Index) -> Result<(), StoreError> {
        if !self.overlay().is_full() {
            return Ok(());
        }
        let moving = self.moving.lock().unwrap_or_else(PoisonError::into_inner);
        // The applier may have made room while we waited for it.
        if self.overlay().is_full() {
            self.step(index)?;
        }
        drop(moving);
        Ok(())
    }

    /// Moves everything into the index that was committed before the call, and answers the position
    /// before which the index has everything.
    pub(crate) fn apply(&self, index: &Index) -> Result<Position, StoreError> {
        let moving = self.moving.lock().unwrap_or_else(PoisonError::into_inner);
        self.step(index)?;
        let applied = self.overlay().applied();
        drop(moving);
        Ok(applied)
    }

    /// Moves one layer. After an error it stays: the index may have some of it.
    fn step(&self, index: &Index) -> Result<(), StoreError> {
        let nobody = self.reading.write().unwrap_or_else(PoisonError::into_inner);
        let layer = self.overlay().turn();
        drop(nobody);
        index.settle(&layer)?;
        self.overlay().settled();
        Ok(())
    }

    /// The newest entry of a name in the index.
    pub(crate) fn get(&self, index: &Index, name: &[u8]) -> Result<Option<Entry>, StoreError> {
        let change = self.overlay().get(name).cloned();
        // In this order: what has left the overlay meanwhile is in the index.
        change.map_or_else(|| index.get(name), Ok)
    }

    /// Up to `limit` entries of a span by their names, all as of one moment.
    pub(crate) fn page(
        &self,
        index: &Index,
        span: &Span,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Entry)>, StoreError> {
        let reading = self.reading.read().unwrap_or_else(PoisonError::into_inner);
        let changes = self.overlay().page(span.range(), direction, limit);
        let wanted = limit.saturating_add(deleted(&changes));
        let below = index.page(span, direction, wanted)?;
        drop(reading);
        Ok(lay_over(changes, below, direction, limit))
    }
}

/// The running thread.
#[derive(Debug)]
pub(crate) struct Applier {
    running: Mutex<Option<(SyncSender<()>, JoinHandle<()>)>>,
}

impl Applier {
    /// Starts the thread for a store.
    pub(crate) fn start(store: Arc<Inner>) -> io::Result<Self> {
        // One word that there is something to do is as good as many.
        let (wake, woken) = sync_channel(1);
        let thread = Builder::new()
            .name("store-applier".to_owned())
            .spawn(move || {
                while woken.recv().is_ok() {
                    if let Err(error) = store.apply() {
                        tracing::error!(%error, "the store takes nothing more");
                        break;
                    }
                }
            })?;
        Ok(Self {
            running: Mutex::new(Some((wake, thread))),
        })
    }

    /// Tells the thread that there is something to do.
    pub(crate) fn wake(&self) {
        if let Some((wake, _)) = &*self.running.lock().unwrap_or_else(PoisonError::into_inner) {
            // Full: it has been told. Closed: it has ended with the store dead.
            let _ = wake.try_send(());
        }
    }

    /// Ends the thread, after what it is moving now.
    pub(crate) fn stop(&self) {
        let running = self
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some((wake, thread)) = running {
            drop(wake);
            if thread.join().is_err() {
                tracing::error!("the store's applier panicked");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_bounded_and_moved_to_make_room() {
        let folder = tempfile::tempdir().unwrap();
        let index = Index::open(folder.path()).unwrap();
        let backlog = Backlog::new(Position::default());
        let end = |sequence| Position {
            sequence,
            ..Position::default()
        };
        let mut sequence = 0u64;
        while !backlog.overlay().is_full() {
            backlog.make_room(&index).unwrap();
            assert_eq!(backlog.overlay().applied(), end(0));
            sequence += 1;
            let value = Entry::Here(vec![7; 4000]);
            let name = sequence.to_be_bytes().to_vec();
            let due = backlog.add(vec![(name, Some(value))], end(sequence));
            assert_eq!(due, sequence >= ENTRIES_DUE as u64);
        }
        backlog.make_room(&index).unwrap();
        assert!(!backlog.overlay().is_full());
        assert_eq!(backlog.overlay().applied(), end(sequence));
        let name = sequence.to_be_bytes();
        let found = index.get(&name).unwrap();
        assert_eq!(found, Some(Entry::Here(vec![7; 4000])));
        assert_eq!(backlog.get(&index, &name).unwrap(), found);
    }
}
