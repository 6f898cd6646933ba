//! stub
use serde::{Deserialize, Serialize};
/// Trust
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[expect(missing_docs)]
pub enum Trust { A, B, C, D }
