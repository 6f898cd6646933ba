//! The moment of the kill: after a number of answers to MTAs or to agents.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// To whom an answer was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum To {
    /// An MTA.
    Mta,
    /// An agent.
    Agent,
}

/// Counts answers down.
#[derive(Debug)]
pub(crate) struct Moment {
    counted: To,
    left: AtomicU64,
    come: Notify,
}

impl Moment {
    /// After so many answers to one kind of client; the others work on meanwhile.
    pub(crate) fn after(answers: u64, counted: To) -> Self {
        Self {
            counted,
            left: AtomicU64::new(answers),
            come: Notify::new(),
        }
    }

    /// No kill.
    pub(crate) fn never() -> Self {
        Self::after(u64::MAX, To::Mta)
    }

    /// One more answer.
    pub(crate) fn answered(&self, to: To) {
        if to != self.counted {
            return;
        }
        let counted = |left: u64| left.checked_sub(1);
        let before = self
            .left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, counted);
        if before == Ok(1) {
            self.come.notify_one();
        }
    }

    /// Waits for it.
    pub(crate) async fn come(&self) {
        self.come.notified().await;
    }

    /// A connection broke. Before the moment that is a failure of the gateway's.
    #[track_caller]
    pub(crate) fn expect_come(&self, why: &dyn std::fmt::Display) {
        let left = self.left.load(Ordering::SeqCst);
        assert_eq!(left, 0, "broke before the kill: {why}");
    }
}
