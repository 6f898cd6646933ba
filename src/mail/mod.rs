//! Mail as text and structure.
pub mod threading;
pub mod token;
pub mod trust;
