//! The conversation with the MTA: Postfix shows us each message before it says yes to the client.
//!
//! What the mail means and where it goes is decided behind [`Receiver`]; nothing in here knows
//! queues or cases. Words follow the peer's: commands and replies carry the names that Sendmail's
//! and Postfix's headers give them.
//!
//! Reading order: [`arrival`] is what the rest of the house sees, [`reply`] and [`edit`] what it
//! may answer, [`wire`] and [`negotiation`] the bytes, [`session`] the order of things, [`server`]
//! the sockets. [`client`] is the MTA's side of the same conversation, for tests and tools.

pub mod address;
pub mod arrival;
pub mod edit;
pub mod reply;

pub mod negotiation;
pub mod wire;

pub mod macros;
pub mod session;

mod gather;
pub mod server;

pub mod client;

pub use address::Address;
pub use arrival::{
    Arrival, Envelope, Header, Peer, Receiver, Recipient, RecipientVerdict, Verdict,
};
pub use edit::{Edit, FieldName, FieldValue, Tag, deletions, plan_tags, removals};
pub use reply::SmtpReply;
pub use server::{Current, Listener, Options, serve};
