//! The view of a stored message: who wrote, about what, the text, the files. Read anew from the
//! bytes each time; the bytes are the truth.
//!
//! Reading never fails. What cannot be read is left out and a notice says so, because a broken
//! letter is still a letter that somebody must answer.

mod attachment;
mod opaque;
mod protection;
mod quotable;
mod reader;
mod view;

use mail_parser::DateTime;

use super::address::Address;
use super::clue::THREAD_INDEX_BYTES;
use super::decode;
use super::header::Header;
use super::mailbox::{self, Mailbox};
use super::message_id::{InternetMessageId, rightmost_ids};
use super::mime::{self, Walk};
use super::quotation::{self, Hints};
use super::rewritten;
use super::signature;
use super::subject;
use super::text::{LINE_CHARS_MAX, clean_body, clean_line, prefix};
use crate::time::Timestamp;
use reader::{Reader, Shown};

pub use attachment::{Attachment, Inner, may_run, safe_type};
pub use protection::Protection;
pub use quotable::{Picture, Quotable};
pub use view::View;

/// Largest text that is shown, in bytes of UTF-8. Longer texts are logs, not letters.
pub const TEXT_BYTES_MAX: usize = 1 << 20;

/// What stands for a subject where there is none.
pub const NO_SUBJECT: &str = "(no subject)";

/// Most fields of one name whose values are joined: several `References` are wrong but seen.
const FIELDS_JOINED_MAX: usize = 8;

/// A letter as people and rules see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// What the From fields say.
    pub author: Author,
    /// Who submitted it on the author's behalf (`Sender`), if somebody else did.
    pub sender: Option<Mailbox>,
    /// Where the author wants answers (`Reply-To`). Not an identity.
    pub reply_to: Vec<Mailbox>,
    /// Who passed it on (`Resent-From`), the last one if there are several. Not an identity.
    pub resent_from: Option<Mailbox>,
    /// The visible recipients.
    pub to: Vec<Mailbox>,
    /// The visible copies.
    pub cc: Vec<Mailbox>,
    /// One clean line, never empty: [`NO_SUBJECT`] stands for none.
    pub subject: String,
    /// When the author claims to have written it. Orders nothing.
    pub date: Option<Timestamp>,
    /// Its `Message-ID`, if it has one that can be used.
    pub internet_message_id: Option<InternetMessageId>,
    /// What it answers.
    pub in_reply_to: Vec<InternetMessageId>,
    /// Its ancestors, oldest first, at most the [`super::message_id::IDS_MAX`] newest.
    pub references: Vec<InternetMessageId>,
    /// What all letters of an Outlook conversation share, from `Thread-Index`.
    pub thread_index: Option<[u8; THREAD_INDEX_BYTES]>,
    /// The text.
    pub body: Body,
    /// The files, in the order of the letter.
    pub attachments: Vec<Attachment>,
    /// How it is signed or encrypted, each once.
    pub protections: Vec<Protection>,
    /// What was left out, each once.
    pub notices: Vec<Notice>,
}

/// What the From fields of a letter say, counted as a suspicious reader would.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Author {
    /// How many From fields there are; one is honest.
    pub fields: usize,
    /// How many entries they have together; one is honest.
    pub mailboxes: usize,
    /// Whether readers might disagree on what they say; see [`mailbox::MailboxList::odd`].
    pub odd: bool,
    /// The first usable mailbox, for display. An identity only if the rest is honest.
    pub mailbox: Option<Mailbox>,
    /// Who wrote, if From is honest and a list's, and the list says so; see [`rewritten::author`].
    pub written_by: Option<Mailbox>,
}

impl Author {
    /// The address, if there is exactly one and no doubt which.
    #[must_use]
    pub fn identity(&self) -> Option<&Address> {
        match &self.mailbox {
            Some(mailbox) if self.fields == 1 && self.mailboxes == 1 && !self.odd => {
                Some(&mailbox.address)
            }
            _ => None,
        }
    }

    /// Who wrote: by what a list says if it put itself into From, or else by From.
    #[must_use]
    pub fn person(&self) -> Option<&Address> {
        let identity = self.identity()?;
        let written_by = self.written_by.as_ref();
        Some(written_by.map_or(identity, |mailbox| &mailbox.address))
    }

    /// Whom an answer is for: who wrote according to a list, or else whom From shows first.
    #[must_use]
    pub fn correspondent(&self) -> Option<&Mailbox> {
        self.written_by.as_ref().or(self.mailbox.as_ref())
    }
}

/// The text of a letter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Body {
    text: String,
    signature_at: Option<usize>,
    quoted_at: Option<usize>,
    /// Whether it forwards another letter, which then stands in the text.
    pub forwards: bool,
    /// Whether the text was made from HTML.
    pub from_html: bool,
    /// Whether the text was longer than [`TEXT_BYTES_MAX`].
    pub truncated: bool,
}

impl Body {
    /// All of it; lines end in a line feed.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What the author wrote now, without the signature. All of it if nothing is quoted or the
    /// quotation is not certain.
    #[must_use]
    pub fn fresh(&self) -> &str {
        self.piece(0, self.signature_at.unwrap_or(self.fresh_end()))
            .trim_end()
    }

    /// The signature under what the author wrote now; empty if there is none.
    #[must_use]
    pub fn signature(&self) -> &str {
        self.signature_at
            .map_or("", |at| self.piece(at, self.fresh_end()).trim_end())
    }

    /// The trimmed part: what was there before. Empty if nothing was trimmed.
    #[must_use]
    pub fn quoted(&self) -> &str {
        self.piece(self.fresh_end(), self.text.len())
    }

    fn fresh_end(&self) -> usize {
        self.quoted_at.unwrap_or(self.text.len())
    }

    fn piece(&self, begin: usize, end: usize) -> &str {
        self.text.get(begin..end).unwrap_or_default()
    }

    /// Finds what was there before, and the signature above it.
    fn divide(&mut self, hints: Hints) {
        let quotation = quotation::find(&self.text, hints);
        self.forwards = quotation.forwards || hints.forward;
        self.quoted_at = quotation.begins;
        if !quotation.forwards {
            self.signature_at = signature::begins(self.piece(0, self.fresh_end()));
        }
    }
}

/// What reading left out, or doubts. The bytes still have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Notice {
    /// Only the beginning of a large letter was read: files may be missing from the list.
    HeadOnly,
    /// The header block is larger than what is read.
    HeaderCut,
    /// Parts are nested deeper than what is walked.
    TooDeep,
    /// There are more parts than are walked.
    TooManyParts,
    /// The text is longer than what is shown.
    TextCut,
    /// The HTML is larger than what is shown, or has more tags or links.
    HtmlCut,
    /// A part claims a transfer encoding that nobody knows; it is shown as it came.
    OddEncoding,
}

impl Letter {
    /// Reads a letter; `whole` says whether `raw` is all of it or only its beginning.
    ///
    /// The work is linear in the size of `raw` times the small bound on nesting. For more than a
    /// few hundred kilobytes, do it where blocking is allowed.
    #[must_use]
    pub fn read(raw: &[u8], whole: bool) -> Self {
        let header = Header::parse(raw);
        let walk = mime::walk(raw, &header);
        let mut reader = Reader::new(raw);
        let shown = reader.letter(&walk.root);
        Self::finish(&header, &walk, reader, &shown, whole)
    }

    /// Puts together what was read of the header, the parts and the texts.
    fn finish(
        header: &Header<'_>,
        walk: &Walk,
        reader: Reader<'_>,
        shown: &[Shown<'_>],
        whole: bool,
    ) -> Self {
        let mut body = reader.body(shown);
        let letter = Self::of(header);
        body.divide(letter.hints());
        let notices = [
            (!whole, Notice::HeadOnly),
            (header.is_cut(), Notice::HeaderCut),
            (walk.too_deep, Notice::TooDeep),
            (walk.too_many, Notice::TooManyParts),
            (body.truncated, Notice::TextCut),
            (reader.odd_encoding, Notice::OddEncoding),
        ];
        let mut protections = reader.protections;
        protections.sort_unstable();
        protections.dedup();
        Self {
            body,
            attachments: reader.attachments,
            protections,
            notices: notices
                .into_iter()
                .filter_map(|(holds, notice)| holds.then_some(notice))
                .collect(),
            ..letter
        }
    }

    fn hints(&self) -> Hints {
        Hints {
            answer: !self.in_reply_to.is_empty() || !self.references.is_empty(),
            forward: subject::is_forward(&self.subject),
        }
    }

    /// Shows this text, which was found in a file.
    fn show(&mut self, text: &str) {
        let text = clean_body(text);
        let shown = prefix(&text, TEXT_BYTES_MAX);
        self.body = Body {
            truncated: shown.len() < text.len(),
            text: shown.to_owned(),
            ..Body::default()
        };
        self.body.divide(self.hints());
    }

    /// Reads the header fields, which is all that decides where a letter goes; text, files and
    /// notices stay empty. Work for a fraction of a millisecond, whatever the letter's size.
    #[must_use]
    pub fn read_header(raw: &[u8]) -> Self {
        Self::of(&Header::parse(raw))
    }

    fn of(header: &Header<'_>) -> Self {
        Self {
            author: author(header),
            sender: mailboxes(header, "Sender").into_iter().next(),
            reply_to: mailboxes(header, "Reply-To"),
            resent_from: mailboxes(header, "Resent-From").into_iter().next(),
            to: mailboxes(header, "To"),
            cc: mailboxes(header, "Cc"),
            subject: subject_line(header),
            date: date(header),
            internet_message_id: header
                .text("Message-ID")
                .and_then(|text| rightmost_ids(&text).into_iter().next()),
            in_reply_to: ids(header, "In-Reply-To"),
            references: ids(header, "References"),
            thread_index: thread_index(header),
            body: Body::default(),
            attachments: Vec::new(),
            protections: Vec::new(),
            notices: Vec::new(),
        }
    }
}

fn author(header: &Header<'_>) -> Author {
    let mut author = Author::default();
    for value in header.all("From") {
        author.fields += 1;
        // More fields than this make no difference to what is decided.
        if author.fields > FIELDS_JOINED_MAX {
            continue;
        }
        let list = mailbox::parse_list(value);
        author.mailboxes += list.count;
        author.odd |= list.odd;
        if author.mailbox.is_none() {
            author.mailbox = list.mailboxes.into_iter().next();
        }
    }
    if author.identity().is_some() {
        let from = author.mailbox.as_ref();
        author.written_by = from.and_then(|from| rewritten::author(header, from));
    }
    author
}

fn mailboxes(header: &Header<'_>, name: &str) -> Vec<Mailbox> {
    let mut all: Vec<Mailbox> = header
        .all(name)
        .take(FIELDS_JOINED_MAX)
        .flat_map(|value| mailbox::parse_list(value).mailboxes)
        .collect();
    all.truncate(mailbox::MAILBOXES_MAX);
    all
}

fn subject_line(header: &Header<'_>) -> String {
    let raw = header.text("Subject").unwrap_or_default();
    let line = clean_line(&decode::encoded_words(&raw), LINE_CHARS_MAX);
    if line.is_empty() {
        NO_SUBJECT.to_owned()
    } else {
        line
    }
}

/// The claimed date, if it is one and not before 1970.
fn date(header: &Header<'_>) -> Option<Timestamp> {
    let text = header.text("Date")?;
    let date = DateTime::parse_rfc822(prefix(&text, 128))?;
    if !date.is_valid() {
        return None;
    }
    let seconds = u64::try_from(date.to_timestamp()).ok()?;
    Some(Timestamp::from_millis(seconds.saturating_mul(1000)))
}

fn ids(header: &Header<'_>, name: &str) -> Vec<InternetMessageId> {
    let mut joined = String::new();
    for value in header.all(name).take(FIELDS_JOINED_MAX) {
        joined.push_str(&decode::unfold_end(value));
        joined.push(' ');
    }
    rightmost_ids(&joined)
}

/// The head of `Thread-Index`, which is base64.
fn thread_index(header: &Header<'_>) -> Option<[u8; THREAD_INDEX_BYTES]> {
    // 22 bytes end inside the eighth group of four characters.
    const CHARS: usize = THREAD_INDEX_BYTES.div_ceil(3) * 4;
    let text = header.text("Thread-Index")?;
    let head = text.trim().get(..CHARS)?;
    let bytes = data_encoding::BASE64.decode(head.as_bytes()).ok()?;
    bytes.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_header_alone_says_where_a_letter_goes() {
        let raw = b"From: Ada <a@x.example>\r\nSubject: =?utf-8?q?f=C3=BCr?= dich\r\n\
            Message-ID: <1@x>\r\nIn-Reply-To: <0@x>\r\n\r\nhello\r\n";
        let (whole, header) = (Letter::read(raw, true), Letter::read_header(raw));
        assert_eq!(whole.body.text().trim(), "hello");
        assert_eq!(header.body.text(), "");
        let body = whole.body.clone();
        assert_eq!(Letter { body, ..header }, whole);
    }

    #[test]
    fn an_empty_letter_is_a_letter() {
        let letter = Letter::read(b"", true);
        assert_eq!(letter.subject, NO_SUBJECT);
        assert_eq!(letter.author, Author::default());
        assert_eq!(letter.body.text(), "");
        assert!(letter.notices.is_empty());
    }

    #[test]
    fn long_texts_are_cut_and_said_so() {
        let raw = format!("From: a@x.example\r\n\r\n{}", "ä".repeat(TEXT_BYTES_MAX));
        let letter = Letter::read(raw.as_bytes(), true);
        assert!(letter.body.text().len() <= TEXT_BYTES_MAX);
        assert_eq!(letter.notices, [Notice::TextCut]);
    }

    #[test]
    fn files_of_one_name_are_told_apart() {
        let part = "--b\r\nContent-Type: image/png; name=a.png\r\n\r\nx\r\n";
        let raw = format!(
            "Content-Type: multipart/mixed; boundary=b\r\n\r\n{}--b--\r\n",
            part.repeat(3)
        );
        let letter = Letter::read(raw.as_bytes(), true);
        let names: Vec<&str> = letter.attachments.iter().map(|a| a.name.as_str()).collect();
        assert_eq!(names, ["a.png", "a-2.png", "a-3.png"]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_letter(raw in prop::collection::vec(any::<u8>(), 0..600), whole: bool) {
            let letter = Letter::read(&raw, whole);
            prop_assert!(!letter.subject.is_empty());
        }

        #[test]
        fn any_pieces_of_letters_are_a_letter(pieces in prop::collection::vec(prop::sample::select(vec![
            "From: ", "a@x.example", "<", ">", "\r\n", "\n", " ", "--b", "--", "Content-Type: ",
            "multipart/mixed", "multipart/alternative", "; boundary=b", "text/html", "; charset=utf-7",
            "Content-Transfer-Encoding: ", "base64", "quoted-printable", "=C3", "=", "=?utf-8?q?=C3?=",
            "Content-Disposition: attachment; filename*0*=", "utf-8''%C3", "\"", "\\", "(", "message/rfc822",
            "References: ", "<i@x>", "Subject: ", "\0", "ä", "Date: ", "Mon, 32 Foo 99999 25:61:61 +9999",
        ]), 0..60)) {
            let raw = pieces.concat();
            let letter = Letter::read(raw.as_bytes(), true);
            prop_assert!(letter.body.fresh().len() <= letter.body.text().len());
            prop_assert!(!letter.subject.contains(['\r', '\n', '\0']));
        }
    }
}
