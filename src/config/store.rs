//! The `[store]` section: how the disk is used, and how much of it is left free.

use serde::Deserialize;

use super::check::Check;

/// How the disk is used.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Store {
    /// Free space, in MiB, below which no more mail is taken: Postfix tells senders to try later,
    /// and agents can go on. Default: `256`.
    pub free_space_floor_mib: u64,
    /// Size of one journal file, in MiB, 8 to 1024. Default: `64`.
    pub segment_mib: u64,
    /// For how many days the daily figures of queues and agents are kept, 1 to 3660. Default:
    /// `400`.
    pub figure_days: u32,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            free_space_floor_mib: 256,
            segment_mib: 64,
            figure_days: 400,
        }
    }
}

impl Store {
    pub(super) fn check(&self, check: &mut Check<'_>) {
        if !(8..=1024).contains(&self.segment_mib) {
            check.whole("store.segment_mib must be 8 to 1024".to_owned());
        }
        if !(1..=3660).contains(&self.figure_days) {
            check.whole("store.figure_days must be 1 to 3660".to_owned());
        }
    }
}
