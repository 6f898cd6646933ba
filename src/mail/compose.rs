//! Letters of ours: bytes from a draft.
//!
//! Strict where reading is lenient. Whatever could end a header field or an address is refused
//! before a byte is written, so that nothing a client sends can reach another recipient, another
//! field or an SMTP command.

use std::fmt;

use data_encoding::BASE64;
use mail_builder::encoders::base64::Base64Encoder;
use mail_builder::encoders::quoted_printable::QuotedPrintableEncoder;
use mail_builder::headers::Header as _;
use mail_builder::headers::date::Date;
use mail_builder::headers::text::Text;

use super::address::is_atext;
use super::letter::TEXT_BYTES_MAX;
use super::loop_mark::{LOOP_FIELD, LoopMark};
use super::mailbox::{Mailbox, NAME_CHARS_MAX};
use super::message_id::InternetMessageId;
use super::subject::{forward_subject, has_number, reply_subject};
use super::text::{LINE_CHARS_MAX, clean_line, prefix};
use super::token::MainNumber;
use crate::time::Timestamp;

pub use attached::{Attached, Piece};

/// Most recipients of one letter, To and Cc together. Enough for a family of companies; a list
/// is not what a contact centre answers.
pub const RECIPIENTS_MAX: usize = 50;

/// Most bytes of the original that are quoted below a reply.
pub const QUOTE_BYTES_MAX: usize = 64 << 10;

/// How many of the newest ancestors `References` keeps beside the very first. Trees survive a
/// cut in the middle, and the field stays far below what relays refuse.
const REFERENCES_KEPT: usize = 20;

/// Longest line of a body that is sent as it is, in bytes. RFC 5322, section 2.1.1, allows 998
/// and asks for 78; between the two, relays begin to break lines.
const PLAIN_LINE_BYTES_MAX: usize = 200;

/// Longest word for the number tag, in characters.
const TAG_CHARS_MAX: usize = 30;

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
    /// The text, in lines however they end.
    pub text: &'a str,
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

/// A letter that is passed on: quoted below the text, and enclosed if its bytes are here.
#[derive(Debug, Clone, Copy)]
pub struct Forwarded<'a> {
    /// Who wrote it.
    pub author: &'a str,
    /// When it was written.
    pub date: Timestamp,
    /// Its subject.
    pub subject: &'a str,
    /// Its text; the first [`QUOTE_BYTES_MAX`] bytes are quoted.
    pub text: &'a str,
    /// All of it, to be enclosed with its files.
    pub whole: Option<&'a [u8]>,
}

/// An original to be quoted.
#[derive(Debug, Clone, Copy)]
pub struct Quote<'a> {
    /// What its author is called.
    pub author: &'a str,
    /// When it was written.
    pub date: Timestamp,
    /// Its text; the first [`QUOTE_BYTES_MAX`] bytes are quoted.
    pub text: &'a str,
}

/// A letter, ready to be submitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Composed {
    /// Header and body; every line ends in CR LF and none is longer than 998 bytes.
    pub bytes: Vec<u8>,
    /// Where the fields that describe the body begin, which are the last.
    pub body_start: usize,
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
        })
    }
}

impl std::error::Error for ComposeError {}

impl Draft<'_> {
    /// Writes the letter: plain text in UTF-8, wrapped if it must be.
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
        field(&mut out, "Date", &rfc5322_date(self.date));
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
        let body_start = out.len();
        match self.forwarded.as_ref().and_then(|letter| letter.whole) {
            Some(letter) => {
                let id = self.internet_message_id;
                enclosure::with_letter(&mut out, &self.full_text(), letter, id);
            }
            None => body(&mut out, &self.full_text()),
        }
        Ok(Composed {
            bytes: out,
            body_start,
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

    fn full_subject(&self) -> String {
        let own = clean_line(self.subject, LINE_CHARS_MAX);
        let mut subject = match &self.parent {
            Some(parent) if own.is_empty() => reply_subject(parent.subject),
            Some(_) | None => own,
        };
        if let Some(forwarded) = self.forwarded.filter(|_| subject.is_empty()) {
            subject = forward_subject(forwarded.subject);
        }
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

    fn full_text(&self) -> String {
        let mut text = self.text.replace("\r\n", "\n").replace('\r', "\n");
        text.truncate(text.trim_end().len());
        text.push('\n');
        if let Some(quote) = self.parent.as_ref().and_then(|parent| parent.quote) {
            text.push('\n');
            text.push_str(&quoted(&quote));
        }
        if let Some(forwarded) = &self.forwarded {
            text.push('\n');
            text.push_str(&passed_on(forwarded));
        }
        text
    }
}

fn quoted(quote: &Quote<'_>) -> String {
    let author = clean_line(quote.author, NAME_CHARS_MAX);
    let mut out = format!("On {}, {author} wrote:\n", rfc5322_date(quote.date));
    let kept = prefix(quote.text, QUOTE_BYTES_MAX);
    for line in kept.lines() {
        let line: String = line
            .chars()
            .filter(|c| !c.is_control() || *c == '\t')
            .collect();
        out.push('>');
        if !line.is_empty() && !line.starts_with('>') {
            out.push(' ');
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    if kept.len() < quote.text.len() {
        out.push_str("> […]\n");
    }
    out
}

/// A forwarded letter's text, with what its header said, as most mail programs show it.
fn passed_on(letter: &Forwarded<'_>) -> String {
    let mut out = String::from("---------- Forwarded message ----------\n");
    let author = clean_line(letter.author, LINE_CHARS_MAX);
    let subject = clean_line(letter.subject, LINE_CHARS_MAX);
    let date = rfc5322_date(letter.date);
    out.push_str(&format!(
        "From: {author}\nDate: {date}\nSubject: {subject}\n\n"
    ));
    let kept = prefix(letter.text, QUOTE_BYTES_MAX);
    for line in kept.lines() {
        out.extend(line.chars().filter(|c| !c.is_control() || *c == '\t'));
        out.push('\n');
    }
    if kept.len() < letter.text.len() {
        out.push_str("[…]\n");
    }
    out
}

/// A date of RFC 5322, section 3.3, in UTC.
fn rfc5322_date(date: Timestamp) -> String {
    // The last second of the year 9999: the form has four digits for the year.
    const SECONDS_MAX: u64 = 253_402_300_799;
    let seconds = date.as_secs().min(SECONDS_MAX);
    Date::new(i64::try_from(seconds).unwrap_or_default()).to_rfc822()
}

fn field(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
}

/// `In-Reply-To` and `References` as RFC 5322, section 3.6.4, builds them.
fn ancestry(out: &mut Vec<u8>, parent: &Parent<'_>) {
    if let Some(id) = parent.internet_message_id {
        field(out, "In-Reply-To", &id.to_string());
    }
    let mut ids: Vec<&InternetMessageId> = parent.references.iter().collect();
    if let Some(id) = parent.internet_message_id {
        ids.retain(|known| *known != id);
        ids.push(id);
    }
    if ids.len() > REFERENCES_KEPT + 1 {
        ids.drain(1..ids.len() - REFERENCES_KEPT);
    }
    if !ids.is_empty() {
        // An id a line: they are long, and folding elsewhere would break them.
        let lines: Vec<String> = ids.iter().map(ToString::to_string).collect();
        field(out, "References", &lines.join("\r\n "));
    }
}

fn mailboxes(out: &mut Vec<u8>, name: &str, mailboxes: &[Mailbox]) {
    if mailboxes.is_empty() {
        return;
    }
    let all: Vec<String> = mailboxes
        .iter()
        .map(|mailbox| {
            if mailbox.name.trim().is_empty() {
                mailbox.address.to_string()
            } else {
                format!("{} <{}>", phrase(mailbox.name.trim()), mailbox.address)
            }
        })
        .collect();
    field(out, name, &all.join(",\r\n "));
}

/// A name as it may stand before an address (RFC 5322, section 3.2.5): bare, quoted, or in
/// encoded words (RFC 2047, section 5). Ours rather than the library's, which writes the address
/// together with it.
fn phrase(name: &str) -> String {
    // A reader may decode what looks encoded even between quotes.
    if !name.is_ascii() || name.contains("=?") {
        return encoded_words(name);
    }
    if name.chars().all(|c| is_atext(c) || c == ' ') {
        return name.to_owned();
    }
    let mut out = String::from("\"");
    for c in name.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

/// Base 64, in words of at most 75 characters that each hold whole characters.
fn encoded_words(text: &str) -> String {
    const BYTES_A_WORD: usize = 45;
    let mut words = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let piece = prefix(rest, BYTES_A_WORD);
        words.push(format!("=?utf-8?B?{}?=", BASE64.encode(piece.as_bytes())));
        rest = rest.get(piece.len()..).unwrap_or_default();
    }
    words.join("\r\n ")
}

/// The fields that describe the body, and the body: as it is if every relay will leave it alone,
/// else in whichever wrapping is shorter to read.
fn body(out: &mut Vec<u8>, text: &str) {
    let text = text.replace('\n', "\r\n");
    let tame = text.is_ascii()
        && text.split("\r\n").all(|line| {
            line.len() <= PLAIN_LINE_BYTES_MAX
                && !line.ends_with([' ', '\t'])
                // What an mbox on the way would mangle (RFC 4155, appendix A).
                && !line.starts_with("From ")
        });
    field(out, "Content-Type", "text/plain; charset=utf-8");
    if tame {
        field(out, "Content-Transfer-Encoding", "7bit");
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(text.as_bytes());
        return;
    }
    // Quoted-printable triples each byte that is not ASCII, base 64 adds a third to all.
    let foreign = text.bytes().filter(|b| !b.is_ascii()).count();
    if foreign * 6 <= text.len() {
        field(out, "Content-Transfer-Encoding", "quoted-printable");
        out.extend_from_slice(b"\r\n");
        QuotedPrintableEncoder::new()
            .preserve_line_breaks()
            .encode_into(text.as_bytes(), out);
    } else {
        field(out, "Content-Transfer-Encoding", "base64");
        out.extend_from_slice(b"\r\n");
        Base64Encoder::new()
            .wrap_lines()
            .encode_into(text.as_bytes(), out);
    }
    if !out.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
}

mod attached;
mod enclosure;

#[cfg(test)]
mod tests;
