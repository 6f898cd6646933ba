//! Postroom, a mail gateway for contact centres that sits beside Postfix.
//!
//! The modules, in the order in which a stranger would want to read them.

pub mod id;
pub mod time;

pub mod config;

pub mod desk;
pub mod mail;
pub mod outbound;

pub mod replay;

pub mod content;
pub mod store;

pub mod engine;

pub mod intake;
pub mod milter;

pub mod gateway;
pub mod grpc;
pub mod telemetry;
