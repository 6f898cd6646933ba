//! stub
use serde::{Deserialize, Serialize};
/// Evidence
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs)]
pub enum Evidence { None, Composed }
