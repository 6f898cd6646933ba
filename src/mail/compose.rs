//! Letters of ours: bytes from a draft.
//!
//! Strict where reading is lenient. Whatever could end a header field or an address is refused
//! before a byte is written, so that nothing a client sends can reach another recipient, another
//! field or an SMTP command.

use std::fmt;

use mail_builder::headers::Header as _;
use mail_builder::headers::text::Text;

use super::attribution::rfc5322_date;
use super::html::{self, Outgoing};
use super::letter::TEXT_BYTES_MAX;
use super::loop_mark::{LOOP_FIELD, LoopMark};
use super::mailbox::{Mailbox, NAME_CHARS_MAX};
use super::message_id::InternetMessageId;
use super::subject::{forward_subject, has_number, reply_subject, without_number};
use super::text::{LINE_CHARS_MAX, clean_line};
use super::token::MainNumber;
use crate::time::Timestamp;
use body::Content;
use fields::{ancestry, field, mailboxes};
pub use file::File;

/// Most recipients of one letter, To and Cc together. Enough for a family of companies; a list
/// is not what a contact centre answers.
pub const RECIPIENTS_MAX: usize = 50;

/// Most bytes of the original that are quoted below a reply.
pub const QUOTE_BYTES_MAX: usize = 64 << 10;

/// How many of the newest ancestors `References` keeps beside the very first. Trees survive a
/// cut in the middle, and the field stays far below what relays refuse.
const REFERENCES_KEPT: usize = 20;

/// Longest word for the number tag, in characters.
pub const TAG_CHARS_MAX: usize = 30;

/// A letter to be written.
#[derive(Debug, Clone)]
pub struct Draft<'a> {
    /// Who writes: an address of ours that the operator allows, checked by the caller.
    pub from: &'a Mailbox,
    /// The recipients; at least one.
    pub to: &'a [Mailbox],
    /// The visible copies.
    pub cc: &'a [Mailbox],
    /// Where answers shall go, if not to `from`.
    pub reply_to: Option<&'a Mailbox>,
    /// The subject as the agent wants it. An empty one becomes the parent's with `Re:`, or
    /// nothing.
    pub subject: &'a str,
    /// The number to be shown in the subject, if the operator wants it there.
    pub tag: Option<Tag<'a>>,
    /// A number that must not be in it: of a case that this one follows, or of any if the letter
    /// goes to people who are not to know it. Given with its brackets, it is taken out.
    pub untag: Option<MainNumber>,
    /// The text, in lines however they end. If it says nothing and there is HTML, it is made of
    /// that.
    pub text: &'a str,
    /// The same as HTML, if the letter is to have both; whatever is not safe in it is left out.
    /// Of the pictures it may show those that travel with it, by `cid:`, and those from elsewhere.
    pub html: Option<&'a str>,
    /// Pictures that the HTML, or that of a quotation, shows. Sent only with HTML.
    pub pictures: &'a [File<'a>],
    /// Files that go along.
    pub files: &'a [File<'a>],
    /// What it answers, if it is a reply.
    pub parent: Option<Parent<'a>>,
    /// What it passes on, if it forwards a letter.
    pub forwarded: Option<Forwarded<'a>>,
    /// When it is written.
    pub date: Timestamp,
    /// The id it will be known by; see [`super::token::mint`].
    pub internet_message_id: &'a InternetMessageId,
    /// The mark by which we know it when it comes back.
    pub loop_mark: &'a LoopMark,
    /// Whether a program writes it: it says so, and asks for no answer from programs (RFC 3834,
    /// section 5; Microsoft's programs listen to a field of their own).
    pub automatic: bool,
}

/// The `[Case 57245]` in a subject.
#[derive(Debug, Clone, Copy)]
pub struct Tag<'a> {
    /// The word before the number, in the customer's language.
    pub word: &'a str,
    /// The number.
    pub number: MainNumber,
}

/// The letter that is answered.
#[derive(Debug, Clone, Copy)]
pub struct Parent<'a> {
    /// Its subject.
    pub subject: &'a str,
    /// Its id, if it had one.
    pub internet_message_id: Option<&'a InternetMessageId>,
    /// Its ancestors, oldest first.
    pub references: &'a [InternetMessageId],
    /// The original below the reply, if it is wanted there.
    pub quote: Option<Quote<'a>>,
}

/// A letter that is passed on.
#[derive(Debug, Clone, Copy)]
pub struct Forwarded<'a> {
    /// Who wrote it.
    pub author: &'a str,
    /// When it was written.
    pub date: Timestamp,
    /// By how much the clock that shows this is ahead of UTC.
    pub ahead_seconds: i32,
    /// To whom it was written.
    pub to: &'a str,
    /// Who got a copy.
    pub cc: &'a str,
    /// Its subject.
    pub subject: &'a str,
    /// Its text; the first [`QUOTE_BYTES_MAX`] bytes are quoted.
    pub text: &'a str,
    /// Its HTML, quoted instead where the letter has HTML.
    pub html: Option<&'a Outgoing>,
    /// All of it, to be enclosed with its files instead of being quoted.
    pub whole: Option<&'a [u8]>,
}

/// An original to be quoted.
#[derive(Debug, Clone, Copy)]
pub struct Quote<'a> {
    /// The line above it; see [`super::attribution::line`].
    pub attribution: &'a str,
    /// Its text; the first [`QUOTE_BYTES_MAX`] bytes are quoted.
    pub text: &'a str,
    /// Its HTML, quoted instead where the letter has HTML.
    pub html: Option<&'a Outgoing>,
}

/// A letter, ready to be submitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Composed {
    /// Header and body; every line ends in CR LF and none is longer than 998 bytes.
    pub bytes: Vec<u8>,
    /// The subject as it was written.
    pub subject: String,
    /// Whether an address can only be written with SMTPUTF8 (RFC 6531). A relay that does not
    /// offer it cannot carry the letter.
    pub needs_smtputf8: bool,
}

/// Why a draft is no letter. Nothing was written; whoever made the draft must change it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ComposeError {
    /// There is no recipient.
    NoRecipient,
    /// There are more than [`RECIPIENTS_MAX`] recipients.
    TooManyRecipients,
    /// A line end, NUL or another control character where there must be none.
    Control(Field),
    /// Too long.
    TooLong(Field),
}

/// The piece of a draft that an error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// A name beside an address.
    Name,
    /// The subject.
    Subject,
    /// The word before the number.
    Tag,
    /// The text.
    Text,
    /// The HTML.
    Html,
    /// The letter that is passed on.
    Original,
}

impl fmt::Display for ComposeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRecipient => f.write_str("a letter needs a recipient"),
            Self::TooManyRecipients => {
                write!(f, "a letter goes to {RECIPIENTS_MAX} recipients at most")
            }
            Self::Control(field) => write!(f, "the {field} holds a control character"),
            Self::TooLong(field) => write!(f, "the {field} is too long"),
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "name",
            Self::Subject => "subject",
            Self::Tag => "word of the number tag",
            Self::Text => "text",
            Self::Html => "HTML",
            Self::Original => "letter that is passed on",
        })
    }
}

impl std::error::Error for ComposeError {}

impl Draft<'_> {
    /// Writes the letter: plain text in UTF-8, beside it the HTML if there is any, the pictures of
    /// that and the files.
    ///
    /// # Errors
    ///
    /// See [`ComposeError`].
    pub fn compose(&self) -> Result<Composed, ComposeError> {
        self.check()?;
        let subject = self.full_subject();
        let mut out = Vec::with_capacity(self.text.len() * 2 + 1024);
        mailboxes(&mut out, "From", std::slice::from_ref(self.from));
        mailboxes(&mut out, "To", self.to);
        mailboxes(&mut out, "Cc", self.cc);
        mailboxes(
            &mut out,
            "Reply-To",
            self.reply_to.map_or(&[], std::slice::from_ref),
        );
        out.extend_from_slice(b"Subject: ");
        Text::new(subject.as_str()).write_header(&mut out, "Subject: ".len());
        field(&mut out, "Date", &rfc5322_date(self.date, 0));
        field(
            &mut out,
            "Message-ID",
            &self.internet_message_id.to_string(),
        );
        if let Some(parent) = &self.parent {
            ancestry(&mut out, parent);
        }
        field(&mut out, LOOP_FIELD, &self.loop_mark.to_string());
        if self.automatic {
            field(&mut out, "Auto-Submitted", "auto-replied");
            field(&mut out, "X-Auto-Response-Suppress", "All");
        }
        field(&mut out, "MIME-Version", "1.0");
        let html = self
            .html
            .map(|source| self.clean_html(source))
            .transpose()?;
        let text = self.full_text(html.as_ref());
        let html = html.map(|html| self.full_html(&html));
        let content = Content {
            text: &text,
            html: html.as_deref(),
            pictures: self.pictures,
            letter: self.forwarded.as_ref().and_then(|letter| letter.whole),
            files: self.files,
        };
        body::write(&mut out, &content, self.internet_message_id);
        Ok(Composed {
            bytes: out,
            subject,
            needs_smtputf8: self.everybody().any(|m| m.address.needs_smtputf8()),
        })
    }

    fn everybody(&self) -> impl Iterator<Item = &Mailbox> {
        [self.from].into_iter().chain(self.to).chain(self.cc)
    }

    fn check(&self) -> Result<(), ComposeError> {
        if self.to.is_empty() {
            return Err(ComposeError::NoRecipient);
        }
        if self.to.len() + self.cc.len() > RECIPIENTS_MAX {
            return Err(ComposeError::TooManyRecipients);
        }
        let line = |text: &str, chars_max: usize, field| {
            if text.chars().any(char::is_control) {
                Err(ComposeError::Control(field))
            } else if text.chars().count() > chars_max {
                Err(ComposeError::TooLong(field))
            } else {
                Ok(())
            }
        };
        for mailbox in self.everybody() {
            line(&mailbox.name, NAME_CHARS_MAX, Field::Name)?;
        }
        line(self.subject, LINE_CHARS_MAX, Field::Subject)?;
        if let Some(tag) = &self.tag {
            line(tag.word, TAG_CHARS_MAX, Field::Tag)?;
        }
        if self.text.len() > TEXT_BYTES_MAX {
            return Err(ComposeError::TooLong(Field::Text));
        }
        let forbidden = |c: char| c.is_control() && !matches!(c, '\r' | '\n' | '\t');
        if self.text.contains(forbidden) {
            return Err(ComposeError::Control(Field::Text));
        }
        Ok(())
    }

    /// The HTML that is written above any quotation.
    fn clean_html(&self, source: &str) -> Result<Outgoing, ComposeError> {
        let html = html::outgoing(source, true, &mut |src| {
            let id = src.strip_prefix("cid:")?;
            let known = self.pictures.iter().any(|file| file.content_id == Some(id));
            known.then(|| id.to_owned())
        });
        // What somebody wrote is sent whole or not at all.
        if html.cut {
            return Err(ComposeError::TooLong(Field::Html));
        }
        Ok(html)
    }

    fn full_subject(&self) -> String {
        let own = clean_line(self.subject, LINE_CHARS_MAX);
        let mut subject = match &self.parent {
            Some(parent) if own.is_empty() => reply_subject(parent.subject),
            Some(_) | None => own,
        };
        if let Some(forwarded) = self.forwarded.filter(|_| subject.is_empty()) {
            subject = forward_subject(forwarded.subject);
        }
        subject = self.untagged(&subject);
        if let Some(tag) = &self.tag {
            let number = tag.number.to_string();
            if !has_number(&subject, &number) {
                if !subject.is_empty() {
                    subject.push(' ');
                }
                subject.push_str(&format!("[{} {number}]", tag.word));
            }
        }
        subject
    }

    /// A subject without the number that must not be in it.
    fn untagged(&self, subject: &str) -> String {
        match self.untag {
            Some(number) => without_number(subject, &number.to_string()),
            None => subject.to_owned(),
        }
    }

    fn full_text(&self, html: Option<&Outgoing>) -> String {
        let mut text = match html {
            Some(html) if self.text.trim().is_empty() => html::to_text(html.as_str()),
            Some(_) | None => self.text.replace("\r\n", "\n").replace('\r', "\n"),
        };
        text.truncate(text.trim_end().len());
        text.push('\n');
        if let Some(quote) = self.parent.as_ref().and_then(|parent| parent.quote) {
            text.push('\n');
            quoting::quote_text(&mut text, &quote);
        }
        if let Some(forwarded) = self.quoted_forward() {
            text.push('\n');
            quoting::forward_text(&mut text, forwarded, &self.untagged(forwarded.subject));
        }
        text
    }

    fn full_html(&self, own: &Outgoing) -> String {
        let mut html = own.as_str().trim_end().to_owned();
        if let Some(quote) = self.parent.as_ref().and_then(|parent| parent.quote) {
            quoting::quote_html(&mut html, &quote);
        }
        if let Some(forwarded) = self.quoted_forward() {
            quoting::forward_html(&mut html, forwarded, &self.untagged(forwarded.subject));
        }
        html
    }

    /// The letter that is passed on, unless it is enclosed as it is.
    fn quoted_forward(&self) -> Option<&Forwarded<'_>> {
        (self.forwarded.as_ref()).filter(|letter| letter.whole.is_none())
    }
}

mod body;
mod enclosure;
mod fields;
mod file;
mod quoting;

#[cfg(test)]
mod tests;
