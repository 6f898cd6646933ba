//! Clues: what in a letter may name a case, and under what the index finds it.
//!
//! What they are worth, and what they may do, is decided in `threading`.

use std::fmt;

use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use super::address::Address;
use super::letter::Letter;
use super::message_id::InternetMessageId;
use super::subject;
use super::token::{AddressClaim, Claim, MainNumber};

/// Bytes of `Thread-Index` that all letters of one Outlook conversation share ([MS-OXOMSG],
/// 2.2.1.3): a header of 22 bytes, before five more for each answer.
pub const THREAD_INDEX_BYTES: usize = 22;

/// Where in a letter a clue stood, strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Place {
    /// In the address that it was sent to.
    Recipient,
    /// In `In-Reply-To`: what the letter answers.
    InReplyTo,
    /// In `References`: an ancestor.
    References,
    /// In `Thread-Index`: Outlook's own way to name a conversation.
    ThreadIndex,
    /// In the subject: a number in brackets.
    Subject,
    /// The subject as a whole, with the sender: only ever a hint, found when the letter is filed.
    Topic,
}

/// Something in a letter that may name a case. Worth nothing until it was looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clue {
    /// Where it stood.
    pub place: Place,
    /// As it stood there, for people.
    pub text: String,
    /// What it claims.
    pub hint: Hint,
}

/// What a clue claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hint {
    /// An address of ours with a token; the mailbox without the token.
    Address(AddressClaim, Address),
    /// An id that looks like one that we signed.
    Signed(Claim),
    /// Something that the index may know.
    Key(ClueKey),
    /// A number that could be a case's.
    Number(MainNumber),
}

impl Hint {
    /// The case that it names by itself, without the index.
    #[must_use]
    pub const fn case(&self) -> Option<MainNumber> {
        match self {
            Self::Address(claim, _) => Some(claim.case()),
            Self::Signed(claim) => Some(claim.case()),
            Self::Number(number) => Some(*number),
            Self::Key(_) => None,
        }
    }
}

/// Under what the index finds the cases of a clue: a digest, so that its length is bounded and
/// nobody reads ids or subjects out of the index.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClueKey([u8; 16]);

impl ClueKey {
    /// The key of a Message-ID.
    #[must_use]
    pub fn id(id: &InternetMessageId) -> Self {
        Self::of("id", &[id.as_str().as_bytes()])
    }

    /// The key of an Outlook conversation.
    #[must_use]
    pub fn thread_index(head: &[u8; THREAD_INDEX_BYTES]) -> Self {
        Self::of("thread-index", &[head])
    }

    /// The key of what one sender writes under one subject.
    #[must_use]
    pub fn topic(sender: &Address, subject: &str) -> Self {
        let subject = subject::topic(subject);
        Self::of(
            "topic",
            &[sender.normalised().as_bytes(), subject.as_bytes()],
        )
    }

    fn of(kind: &str, parts: &[&[u8]]) -> Self {
        let mut context = Context::new(&SHA256);
        for part in [kind.as_bytes()].iter().chain(parts) {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut key = [0; 16];
        for (place, byte) in key.iter_mut().zip(context.finish().as_ref()) {
            *place = *byte;
        }
        Self(key)
    }

    /// The bytes that the store's key is made of.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }
}

impl fmt::Debug for ClueKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClueKey")
    }
}

/// The clues of a letter, strongest first: recipients in their order, signed ids and known ids of
/// `In-Reply-To`, then those of `References` from right to left, then what can be guessed.
///
/// `recipients` are the addresses of ours that it was sent to: with their detail, and without.
/// How many ids are considered is bounded where they are read.
#[must_use]
pub fn clues(letter: &Letter, recipients: &[(Address, Address)]) -> Vec<Clue> {
    let mut clues = Vec::new();
    for (full, mailbox) in recipients {
        if let Some(claim) = AddressClaim::parse(full) {
            clues.push(Clue {
                place: Place::Recipient,
                text: full.to_string(),
                hint: Hint::Address(claim, mailbox.clone()),
            });
        }
    }
    let answered = letter.in_reply_to.iter().map(|id| (id, Place::InReplyTo));
    let ancestors = (letter.references.iter().rev()).map(|id| (id, Place::References));
    let mut ids: Vec<(&InternetMessageId, Place)> = Vec::new();
    for (id, place) in answered.chain(ancestors) {
        if ids.iter().all(|(seen, _)| *seen != id) {
            ids.push((id, place));
        }
    }
    let clue = |id: &InternetMessageId, place, hint| Clue {
        place,
        text: id.to_string(),
        hint,
    };
    // A token is worth more than an id that is merely known, wherever it stands.
    let signed = ids.iter().filter_map(|(id, place)| {
        let claim = Claim::parse(id)?;
        Some(clue(id, *place, Hint::Signed(claim)))
    });
    clues.extend(signed);
    let known = ids.iter().filter(|(id, _)| Claim::parse(id).is_none());
    clues.extend(known.map(|(id, place)| clue(id, *place, Hint::Key(ClueKey::id(id)))));
    if let Some(head) = &letter.thread_index {
        clues.push(Clue {
            place: Place::ThreadIndex,
            text: "the conversation of Thread-Index".to_owned(),
            hint: Hint::Key(ClueKey::thread_index(head)),
        });
    }
    clues.extend(
        subject::main_numbers(&letter.subject)
            .into_iter()
            .map(|number| Clue {
                place: Place::Subject,
                text: number.to_string(),
                hint: Hint::Number(number),
            }),
    );
    clues
}

/// Under what later letters may name a letter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OwnKeys {
    /// Its Message-ID.
    pub id: Option<ClueKey>,
    /// Outlook's conversation.
    pub conversation: Option<ClueKey>,
    /// Its author and subject.
    pub topic: Option<ClueKey>,
}

impl OwnKeys {
    /// Those of a letter.
    #[must_use]
    pub fn of(letter: &Letter) -> Self {
        let author = letter.author.person();
        Self {
            id: letter.internet_message_id.as_ref().map(ClueKey::id),
            conversation: letter.thread_index.as_ref().map(ClueKey::thread_index),
            topic: author
                .filter(|_| !subject::topic(&letter.subject).is_empty())
                .map(|author| ClueKey::topic(author, &letter.subject)),
        }
    }

    /// All that there are.
    pub fn all(self) -> impl Iterator<Item = ClueKey> {
        [self.id, self.conversation, self.topic]
            .into_iter()
            .flatten()
    }
}
