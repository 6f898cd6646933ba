//! A store that keeps a commit waiting at a test's word.

use std::path::Path;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

use postroom::store::{
    Batch, BodyId, BodyReader, CommitError, Health, Memory, Pair, Store, StoreError,
};

/// A store whose next commit waits for a word.
#[derive(Debug, Default)]
pub(crate) struct Gated {
    pub(crate) inner: Memory,
    gate: Mutex<Option<(Sender<()>, Receiver<()>)>>,
}

impl Gated {
    /// Closes the gate: the first end hears of the commit that waits, the second lets it go on.
    pub(crate) fn close(&self) -> (Receiver<()>, Sender<()>) {
        let (arrived, arrival) = channel();
        let (opener, opened) = channel();
        *self.gate.lock().unwrap() = Some((arrived, opened));
        (arrival, opener)
    }
}

impl Store for Gated {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.get(key)
    }

    fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Pair>, StoreError> {
        self.inner.scan(prefix, after, limit)
    }

    fn scan_back(
        &self,
        prefix: &[u8],
        before: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Pair>, StoreError> {
        self.inner.scan_back(prefix, before, limit)
    }

    fn commit(&self, group: Vec<Batch>) -> Result<(), CommitError> {
        let gate = self.gate.lock().unwrap().take();
        if let Some((arrived, opened)) = gate {
            arrived.send(()).unwrap();
            opened.recv().unwrap();
        }
        self.inner.commit(group)
    }

    fn body_reader(&self, id: BodyId) -> Result<Option<BodyReader>, StoreError> {
        self.inner.body_reader(id)
    }

    fn health(&self) -> Health {
        self.inner.health()
    }

    fn incoming(&self) -> &Path {
        self.inner.incoming()
    }

    fn uploads(&self) -> &Path {
        self.inner.uploads()
    }
}
