//! intake
pub mod authenticate;
