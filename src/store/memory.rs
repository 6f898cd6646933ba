//! A store that lasts as long as the process: for tests of what stands on the seam.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::{Batch, BodyId, BodyReader, CommitError, Health, Pair, Store, StoreError, Unavailable};
use crate::content::Content;

/// A store in memory. Nothing survives it.
#[derive(Debug)]
pub struct Memory {
    incoming: PathBuf,
    uploads: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    pairs: BTreeMap<Vec<u8>, Vec<u8>>,
    bodies: BTreeMap<BodyId, Bytes>,
    failure: Option<CommitError>,
    dead: Option<String>,
}

impl Default for Memory {
    fn default() -> Self {
        Self::new(std::env::temp_dir())
    }
}

impl Memory {
    /// An empty store; large messages may be written to `incoming` while they
    /// arrive, and uploads to a folder in it.
    #[must_use]
    pub fn new(incoming: PathBuf) -> Self {
        // Whoever shares the folder has uploads of their own.
        static STORES: AtomicU64 = AtomicU64::new(0);
        let number = STORES.fetch_add(1, Ordering::Relaxed);
        let name = format!("uploads-{}-{number}", std::process::id());
        Self {
            uploads: incoming.join(name),
            incoming,
            state: Mutex::default(),
        }
    }

    /// Lets the next commit end with this error; nothing of it is kept. After
    /// [`CommitError::Unknown`] the store is as dead as a real one.
    pub fn fail_next_commit(&self, error: CommitError) {
        self.state().failure = Some(error);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for Memory {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.state().pairs.get(key).cloned())
    }

    fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Pair>, StoreError> {
        let begin = match after {
            Some(key) if key >= prefix => Bound::Excluded(key),
            _ => Bound::Included(prefix),
        };
        let state = self.state();
        let pairs = state.pairs.range::<[u8], _>((begin, Bound::Unbounded));
        Ok(pairs
            .take_while(|(key, _)| key.starts_with(prefix))
            .take(limit)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect())
    }

    fn scan_back(
        &self,
        prefix: &[u8],
        before: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Pair>, StoreError> {
        let end = before.map_or(Bound::Unbounded, Bound::Excluded);
        let state = self.state();
        let pairs = state.pairs.range::<[u8], _>((Bound::Unbounded, end));
        Ok(pairs
            .rev()
            .skip_while(|(key, _)| !key.starts_with(prefix) && key.as_slice() > prefix)
            .take_while(|(key, _)| key.starts_with(prefix))
            .take(limit)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect())
    }

    fn commit(&self, group: Vec<Batch>) -> Result<(), CommitError> {
        let mut state = self.state();
        if let Some(why) = &state.dead {
            return Err(CommitError::Unavailable(Unavailable::Dead(why.clone())));
        }
        if let Some(error) = state.failure.take() {
            if let CommitError::Unknown(why) = &error {
                state.dead = Some(why.clone());
            }
            return Err(error);
        }
        // Everything that can fail comes first: a group is kept as a whole.
        let mut bodies = Vec::new();
        for (id, content) in group.iter().flat_map(|batch| &batch.bodies) {
            let bytes = match content {
                Content::Memory(bytes) => bytes.clone(),
                Content::File(file) => fs::read(file.path())
                    .map_err(|error| CommitError::Unavailable(Unavailable::Disk(error)))?
                    .into(),
            };
            bodies.push((*id, bytes));
        }
        state.bodies.extend(bodies);
        for batch in group {
            state.pairs.extend(batch.puts);
            for key in &batch.deletes {
                state.pairs.remove(key);
            }
        }
        Ok(())
    }

    fn body_reader(&self, id: BodyId) -> Result<Option<BodyReader>, StoreError> {
        Ok(self
            .state()
            .bodies
            .get(&id)
            .cloned()
            .map(BodyReader::memory))
    }

    fn health(&self) -> Health {
        Health {
            free_bytes: u64::MAX,
            below_floor: false,
            dead: self.state().dead.clone(),
            journal_bytes: 0,
        }
    }

    fn incoming(&self) -> &Path {
        &self.incoming
    }

    fn uploads(&self) -> &Path {
        &self.uploads
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // There is one only if anything was uploaded.
        let _ = fs::remove_dir_all(&self.uploads);
    }
}
