//! stub
use serde::{Deserialize, Serialize};
/// Number
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MainNumber(u64);
impl MainNumber {
    /// new
    pub const fn new(n: u64) -> Option<Self> { Some(Self(n)) }
    /// serial
    pub const fn serial(self) -> u64 { self.0 }
}
