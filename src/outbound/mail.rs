//! A mail before it is composed, and its way into the engine's hands.

use super::letterhead::Letterhead;
use super::original::{self, Original, blocking};
use super::recipients::Recipients;
use super::reply::{Identity, ReplyError, Words, correspondent};
use crate::content::Content;
use crate::desk::{Case, Command, Correspondent, Interaction, Outgoing};
use crate::engine::{Done, Handle, RequestKey};
use crate::id::{InteractionId, MessageId, SessionId};
use crate::mail::compose::{ComposeError, Composed, Draft, File, Forwarded, Parent, Quote};
use crate::mail::mailbox::Mailbox;
use crate::mail::token::MainNumber;
use crate::time::Timestamp;

/// What part of a letter that is answered stands below the answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Quoted {
    /// Nothing.
    #[default]
    Nothing,
    /// What its author wrote, without what they had quoted and without their signature.
    Fresh,
    /// All of it.
    Whole,
}

/// What a mail has to do with a letter that came before.
#[derive(Debug)]
pub(super) enum Standing {
    /// It answers none.
    Alone,
    /// It answers this one.
    Answers(Box<Original>, Quoted),
    /// It passes this one on.
    PassesOn(Box<Original>),
}

/// A mail before it is composed.
#[derive(Debug)]
pub(super) struct Mail {
    /// Who writes it, as what, and what they had read.
    pub(super) whose: (SessionId, InteractionId, Option<MessageId>),
    pub(super) letterhead: Letterhead,
    pub(super) recipients: Recipients,
    pub(super) identity: Identity,
    pub(super) subject: String,
    /// The number that its case shows in subjects.
    pub(super) number: Option<MainNumber>,
    /// The number that must not be in the subject.
    pub(super) untag: Option<MainNumber>,
    pub(super) words: Words,
    pub(super) standing: Standing,
    /// Who wrote the original if that does not say, and when it came.
    pub(super) customer: Mailbox,
    pub(super) arrived: Timestamp,
    pub(super) date: Timestamp,
}

impl Mail {
    /// Composes it and has it stored together with what follows. Composing is done beside the
    /// runtime: files are megabytes to be encoded.
    pub(super) async fn hand_in(
        self,
        handle: &Handle,
        command: fn(Box<Outgoing>) -> Command,
        request: Option<RequestKey>,
    ) -> Result<Done, ReplyError> {
        let (composed, mail) = blocking(move || (self.compose(), self)).await?;
        let composed = composed.map_err(ReplyError::Compose)?;
        let outgoing = mail.outgoing(&composed)?;
        let body = Content::Memory(composed.bytes.into());
        let command = command(Box::new(outgoing));
        Ok(handle.command_with_body(command, body, request).await?)
    }

    fn compose(&self) -> Result<Composed, ComposeError> {
        let original = match &self.standing {
            Standing::Alone => None,
            Standing::Answers(original, _) | Standing::PassesOn(original) => Some(original),
        };
        let date = original
            .and_then(|original| original.letter().date)
            .unwrap_or(self.arrived);
        let attribution = original.map_or_else(String::new, |original| {
            self.letterhead
                .attribution(original.letter(), date, &self.customer)
        });
        let html = original.and_then(|original| original.read.html.as_ref());
        let quote = match &self.standing {
            Standing::Answers(original, Quoted::Whole) => Some(Quote {
                attribution: &attribution,
                text: original.letter().body.text(),
                html,
            }),
            Standing::Answers(original, Quoted::Fresh) => Some(Quote {
                attribution: &attribution,
                text: original.letter().body.fresh(),
                html: None,
            }),
            Standing::Answers(_, Quoted::Nothing) | Standing::PassesOn(_) | Standing::Alone => None,
        };
        let parent = match &self.standing {
            Standing::Answers(original, _) => Some(Parent {
                subject: &original.letter().subject,
                internet_message_id: original.letter().internet_message_id.as_ref(),
                references: &original.letter().references,
                quote,
            }),
            Standing::PassesOn(_) | Standing::Alone => None,
        };
        let (author, to, cc) = original.map_or_else(Default::default, |original| {
            let letter = original.letter();
            let author = letter.author.mailbox.as_ref().unwrap_or(&self.customer);
            (
                list(std::slice::from_ref(author)),
                list(&letter.to),
                list(&letter.cc),
            )
        });
        let forwarded = match &self.standing {
            Standing::PassesOn(original) => Some(Forwarded {
                author: &author,
                date,
                ahead_seconds: self.letterhead.ahead_seconds(date),
                to: &to,
                cc: &cc,
                subject: &original.letter().subject,
                text: original.letter().body.text(),
                html,
                whole: original.whole.as_deref(),
            }),
            Standing::Answers(..) | Standing::Alone => None,
        };
        // What is not quoted as HTML shows no pictures.
        let shows = quote.is_some_and(|quote| quote.html.is_some())
            || forwarded.is_some_and(|letter| letter.html.is_some() && letter.whole.is_none());
        let pictures: Vec<File<'_>> =
            original
                .filter(|_| shows)
                .map_or_else(Vec::new, |original| {
                    original
                        .read
                        .pictures
                        .iter()
                        .map(original::picture)
                        .collect()
                });
        let files: Vec<File<'_>> = original.map_or_else(Vec::new, |original| {
            original.files.iter().map(original::Carried::file).collect()
        });
        Draft {
            from: &self.letterhead.from,
            to: &self.recipients.to,
            cc: &self.recipients.cc,
            reply_to: self.identity.reply_to.as_ref(),
            subject: &self.subject,
            tag: self.number.and_then(|number| self.letterhead.tag(number)),
            untag: self.untag,
            text: &self.words.text,
            html: self.words.html.as_deref(),
            pictures: &pictures,
            files: &files,
            parent,
            forwarded,
            date: self.date,
            internet_message_id: &self.identity.id,
            loop_mark: &self.identity.loop_mark,
            automatic: false,
        }
        .compose()
    }

    /// What the desk is told: the first recipient is the one whom the tokens are for.
    fn outgoing(&self, composed: &Composed) -> Result<Outgoing, ReplyError> {
        let mut people: Vec<Correspondent> =
            (self.recipients.everybody()).map(correspondent).collect();
        if people.is_empty() {
            return Err(ReplyError::NoRecipient);
        }
        let to = people.remove(0);
        let (session, interaction, latest_seen) = self.whose;
        Ok(Outgoing {
            session,
            interaction,
            from: correspondent(&self.letterhead.from),
            to,
            slot: self.identity.slot,
            others: people,
            envelope_sender: self.letterhead.home.normalised(),
            internet_message_id: self.identity.id.as_str().to_owned(),
            subject: composed.subject.clone(),
            size: composed.bytes.len() as u64,
            latest_seen,
        })
    }
}

/// Mailboxes as a forwarded letter's heading shows them.
fn list(mailboxes: &[Mailbox]) -> String {
    let all: Vec<String> = (mailboxes.iter())
        .map(|mailbox| match mailbox.name.as_str() {
            "" => mailbox.address.to_string(),
            name => format!("{name} <{}>", mailbox.address),
        })
        .collect();
    all.join(", ")
}

/// The number that a case's mail has to keep out of its subject: that of the case before it.
pub(super) fn left_behind(case: &Case) -> Option<MainNumber> {
    case.follow_up_of
}

/// The customer of an interaction, if they left an address that can be written to.
pub(super) fn customer(interaction: &Interaction) -> Result<Mailbox, ReplyError> {
    let address = (interaction.customer.address.parse()).map_err(|_| ReplyError::NoRecipient)?;
    Ok(Mailbox {
        name: interaction.customer.display_name.clone(),
        address,
    })
}
