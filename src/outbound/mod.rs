//! Outbound mail.
pub mod message;
pub mod spool;
