//! Mail on its way out: what is to be submitted, when it is tried, and the hand-over to the MTA.
//! What a message says is composed in `mail`; how it fares beyond the MTA is told by bounces.

pub mod message;
pub mod spool;

pub mod hearing;

pub mod transparency;

pub mod mailing;
pub mod recipients;
pub mod reply;

mod letterhead;
mod mail;
mod original;

pub use mail::Quoted;
pub use original::Files;

pub mod dkim;
pub mod driver;
pub mod settings;
pub mod submit;

pub mod sink;

pub use driver::{Job, Spooler, run};
pub use message::{
    DeliveryState, Diagnostic, Envelope, Outbound, OutboundRecipient, Outcome, RecipientRefusal,
    RecipientState, TransitionError,
};
pub use settings::{Login, Security, Settings, Timeouts, Tls, TlsError};
pub use spool::{Change, Spool, SpoolError};
pub use submit::{Body, NotMarked};
