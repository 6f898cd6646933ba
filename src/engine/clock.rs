//! The clock: wall time at the start, and from there on only forward.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::time::Timestamp;

/// Tells the time. Started once; an adjustment of the machine's clock does not reach a running
/// process, so no wait is ever negative.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    wall: Timestamp,
    started: Instant,
}

impl Clock {
    /// Starts the clock.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that asks the machine for the time"
    )]
    pub(super) fn start() -> Self {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            wall: Timestamp::ZERO + since_epoch,
            started: Instant::now(),
        }
    }

    /// The time now.
    pub(super) fn now(&self) -> Timestamp {
        self.wall + self.started.elapsed()
    }
}
