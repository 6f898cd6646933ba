//! The keeper: a thread that does beside the writer what would make it wait. It prepares the next
//! segment, writes checkpoints and now and then a snapshot.
//!
//! What it fails to do makes the next start longer or the writer wait; nothing is lost.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};

use super::StoreError;
use super::journal::prepare_spare;
use super::local::{Inner, JOURNAL};
use super::segment::FRAMES_BEGIN;
use super::snapshot;

/// How the writer tells the keeper that there is something to do.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    woken: bool,
    checkpoint: bool,
    stop: bool,
}

impl Signal {
    /// A segment was begun, or enough was written for another checkpoint.
    pub(crate) fn wake(&self, checkpoint: bool) {
        let mut state = self.state();
        state.woken = true;
        state.checkpoint |= checkpoint;
        self.changed.notify_one();
    }

    /// The store is about to close.
    pub(crate) fn stop(&self) {
        self.state().stop = true;
        self.changed.notify_one();
    }

    fn stopped(&self) -> bool {
        self.state().stop
    }

    /// Waits for the next call, and answers whether a checkpoint is due, or `None` at the end.
    fn next(&self) -> Option<bool> {
        let mut state = self.state();
        while !state.woken && !state.stop {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.woken = false;
        let checkpoint = std::mem::take(&mut state.checkpoint);
        (!state.stop).then_some(checkpoint)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The running thread.
#[derive(Debug)]
pub(crate) struct Keeper {
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Keeper {
    /// Starts the thread for a store.
    pub(crate) fn start(store: Arc<Inner>) -> io::Result<Self> {
        store.signal.wake(false);
        let thread = Builder::new()
            .name("store-keeper".to_owned())
            .spawn(move || {
                while let Some(checkpoint) = store.signal.next() {
                    keep(&store, checkpoint);
                }
            })?;
        Ok(Self {
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Waits for the thread, which was told to stop.
    pub(crate) fn join(&self) {
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the store's keeper panicked");
        }
    }
}

/// Does what is due.
pub(super) fn keep(store: &Inner, checkpoint_due: bool) {
    let journal = store.config.dir.join(JOURNAL);
    let bytes = store.config.segment_bytes;
    if let Err(error) = prepare_spare(&*store.disk, &journal, bytes, &store.spare) {
        tracing::warn!(%error, "cannot prepare the journal's next segment");
    }
    if !checkpoint_due {
        return;
    }
    if let Err(error) = checkpoint(store) {
        tracing::warn!(%error, "cannot write a checkpoint of the index");
    } else if let Err(error) = snapshot(store, store.config.snapshot_bytes) {
        tracing::warn!(%error, "cannot write a snapshot of the index");
    }
}

/// Writes a checkpoint of what is in the index now.
///
/// Sled's files are not synced here: until the store is closed only a start on the same boot will
/// look at them, and that finds them in the kernel's memory.
pub(super) fn checkpoint(store: &Inner) -> Result<(), StoreError> {
    let position = store.apply()?;
    store.with_index(|index| {
        index.mark_applied(store.store, position.sequence - 1)?;
        index.flush()
    })?;
    Ok(store.write_checkpoint(position, false)?)
}

/// Writes a snapshot if at least `every_bytes` of journal came after the last one, and at least as
/// much as it was large: then the snapshots together never write more than the journal does.
pub(super) fn snapshot(store: &Inner, every_bytes: u64) -> Result<(), StoreError> {
    let folder = &store.config.dir;
    let segment_bytes = store.config.segment_bytes;
    let position = store.end();
    let (from, size) = snapshot::glance(&*store.disk, folder)
        .map_or((FRAMES_BEGIN, 0), |(last, size)| {
            (last.bytes(segment_bytes), size)
        });
    let grown = position.bytes(segment_bytes).saturating_sub(from);
    if grown < every_bytes.max(size) {
        return Ok(());
    }
    write_snapshot(store)
}

/// Writes a snapshot of what is in the index now.
pub(super) fn write_snapshot(store: &Inner) -> Result<(), StoreError> {
    let position = store.apply()?;
    let pairs = store.with_index(|index| Ok(index.raw()))?;
    let sequence_end = || store.end().sequence;
    let stop = || store.signal.stopped();
    snapshot::write(
        &*store.disk,
        &store.config.dir,
        store.store,
        position,
        pairs,
        sequence_end,
        stop,
    )
}
