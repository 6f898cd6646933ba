//! A saved draft: what an agent has written and not sent, kept with its interaction.

use serde::{Deserialize, Serialize};

use super::message::Correspondent;
use crate::id::{AgentId, AttachmentId, InteractionId, MessageId};
use crate::time::Timestamp;

/// Largest saved draft, in bytes: a hundred pages. It is written anew each time that it changes.
pub const DRAFT_BYTES_MAX: usize = 256 << 10;

/// What an agent is writing. Stored: variants are added at the end only.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DraftKind {
    /// An answer to the customer.
    #[default]
    Reply,
    /// An answer to everybody.
    ReplyAll,
    /// A letter passed on.
    Forward,
    /// A mail that answers none.
    New,
}

/// A file that goes along.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DraftFile {
    /// Uploaded for the same interaction.
    Upload(AttachmentId),
    /// A part of a message of an interaction.
    Part(InteractionId, MessageId, String),
}

/// What an agent has written so far. All of it may be empty, and none of it has been checked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wording {
    /// As what.
    pub kind: DraftKind,
    /// The address chosen as From.
    pub from: String,
    /// To whom.
    pub to: Vec<Correspondent>,
    /// The visible copies.
    pub cc: Vec<Correspondent>,
    /// The copies that nobody sees.
    pub bcc: Vec<Correspondent>,
    /// The subject.
    pub subject: String,
    /// The text.
    pub text: String,
    /// The same as HTML.
    pub html: String,
    /// Whether the original is quoted below it.
    pub include_original: bool,
    /// What goes along.
    pub files: Vec<DraftFile>,
}

impl Wording {
    /// About how much of the store it takes, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let people = [&self.to, &self.cc, &self.bcc].into_iter().flatten();
        let people = people.map(|person| person.address.len() + person.display_name.len());
        let files = self.files.iter().map(|file| match file {
            DraftFile::Upload(_) => 16,
            DraftFile::Part(_, _, part) => 32 + part.len(),
        });
        let texts = [&self.from, &self.subject, &self.text, &self.html];
        let texts = texts.map(String::len).into_iter();
        people.chain(files).chain(texts).sum()
    }
}

/// What is to change about what is written; what is not given stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WordingChanges {
    /// As what.
    pub kind: Option<DraftKind>,
    /// The address chosen as From.
    pub from: Option<String>,
    /// To whom.
    pub to: Option<Vec<Correspondent>>,
    /// The visible copies.
    pub cc: Option<Vec<Correspondent>>,
    /// The copies that nobody sees.
    pub bcc: Option<Vec<Correspondent>>,
    /// The subject.
    pub subject: Option<String>,
    /// The text.
    pub text: Option<String>,
    /// The same as HTML.
    pub html: Option<String>,
    /// Whether the original is quoted below it.
    pub include_original: Option<bool>,
    /// What goes along.
    pub files: Option<Vec<DraftFile>>,
}

impl WordingChanges {
    /// What is written when these are taken over.
    pub(super) fn onto(self, known: Wording) -> Wording {
        Wording {
            kind: self.kind.unwrap_or(known.kind),
            from: self.from.unwrap_or(known.from),
            to: self.to.unwrap_or(known.to),
            cc: self.cc.unwrap_or(known.cc),
            bcc: self.bcc.unwrap_or(known.bcc),
            subject: self.subject.unwrap_or(known.subject),
            text: self.text.unwrap_or(known.text),
            html: self.html.unwrap_or(known.html),
            include_original: self.include_original.unwrap_or(known.include_original),
            files: self.files.unwrap_or(known.files),
        }
    }
}

/// A draft as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedDraft {
    /// What it is written for.
    pub interaction: InteractionId,
    /// Who saved it last.
    pub agent: AgentId,
    /// Rises by one with each change: the etag. The first is 1.
    pub version: u64,
    /// When it was saved.
    pub saved: Timestamp,
    /// What it says.
    pub wording: Wording,
}
