//! The desk's policy: rules that hold for every queue and agent.

use std::time::Duration;

use super::HouseRules;

/// Rules that hold for every queue and agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// How soon the client must say that an offer is on the screen.
    pub offer_receipt: Duration,
    /// How long after its deadline an offer can still be answered: a click in the last second
    /// that was on its way.
    pub late_allowance: Duration,
    /// How long a lost stream may take to come back before offers go elsewhere.
    pub reattach: Duration,
    /// How long a session lives without a sign of life, unless the client asks otherwise.
    pub lease: Duration,
    /// How long a session may be missing before its agent is shown as offline.
    pub grace: Duration,
    /// How long a session may be missing before it is given up.
    pub sign_out: Duration,
    /// How long an interaction that was declined stands in line before those who declined it may
    /// be offered it again.
    pub declined_pause: Duration,
    /// How long an agent who went offline with an offer out is not offered anything.
    pub recall_pause: Duration,
    /// How long the end of an offer is remembered, so that late answers get a reason.
    pub offer_memory: Duration,
    /// How many entries of an agent's event log are kept for resuming.
    pub log_entries: u64,
    /// How many submissions run at the same time.
    pub submissions: usize,
    /// Largest file that an agent may attach, in bytes.
    pub attachment_bytes_max: u64,
    /// What holds for every agent.
    pub house: HouseRules,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            offer_receipt: Duration::from_secs(3),
            late_allowance: Duration::from_secs(2),
            reattach: Duration::from_secs(5),
            lease: Duration::from_secs(30),
            grace: Duration::from_secs(30),
            sign_out: Duration::from_secs(300),
            declined_pause: Duration::from_secs(60),
            recall_pause: Duration::from_secs(5),
            offer_memory: Duration::from_secs(3600),
            log_entries: 10_000,
            submissions: 4,
            attachment_bytes_max: 25 << 20,
            house: HouseRules::default(),
        }
    }
}
