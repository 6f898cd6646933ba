//! The current receiver: who decides about the next message. It can be replaced while sessions are
//! open, so that a changed configuration drops no mail.

use std::sync::{Arc, PoisonError, RwLock};

/// Holds the receiver of the next message. A message that is open keeps the one that it began with.
#[derive(Debug)]
pub struct Current<R>(RwLock<Arc<R>>);

impl<R> Current<R> {
    /// Begins with this one.
    #[must_use]
    pub const fn new(receiver: Arc<R>) -> Self {
        Self(RwLock::new(receiver))
    }

    /// Who decides about a message that begins now.
    #[must_use]
    pub fn get(&self) -> Arc<R> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Messages that begin from now on are decided on by another.
    pub fn replace(&self, receiver: Arc<R>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = receiver;
    }
}
