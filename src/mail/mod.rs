//! Mail as text and structure: everything that can be said about a letter without a socket, a
//! clock or a store.
//!
//! Reading is lenient, because a broken letter is still a letter that somebody must answer;
//! writing is strict, because what leaves carries the operator's name. Nothing here panics on
//! any input, and every size is bounded at the place that reads it.

pub mod address;
pub mod mailbox;
pub mod main_number;
pub mod message_id;
pub mod return_path;
pub mod token;

pub mod automatic;
pub mod clue;
pub mod dossier;
pub mod letter;
pub mod loop_mark;
pub mod report;
pub mod rewritten;
pub mod threading;

pub mod bystander;
pub mod findings;
pub mod lookalike;
pub mod results;
pub mod trust;

pub mod acknowledgement;
pub mod attribution;
pub mod compose;
pub mod dkim;
pub mod placeholder;
pub mod subject;

pub mod canonical;
pub mod header;
pub mod html;
pub mod mime;
pub mod quotation;
pub mod signature;

pub mod calendar;
pub mod tnef;

pub mod decode;
pub mod text;

mod bounce;
mod phrases;
