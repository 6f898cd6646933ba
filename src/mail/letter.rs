//! The view of a stored message: who wrote, about what, the text, the files. Read anew from the
//! bytes each time; the bytes are the truth.
//!
//! Reading never fails. What cannot be read is left out and a notice says so, because a broken
//! letter is still a letter that somebody must answer.

use std::ops::Range;

use mail_parser::DateTime;
use serde::{Deserialize, Serialize};

use super::address::Address;
use super::clue::THREAD_INDEX_BYTES;
use super::decode::{self, TransferEncoding};
use super::header::Header;
use super::html;
use super::mailbox::{self, Mailbox};
use super::message_id::{InternetMessageId, rightmost_ids};
use super::mime::{self, Disposition, Part};
use super::quotation;
use super::text::{LINE_CHARS_MAX, clean_body, clean_file_name, clean_line, prefix};
use crate::time::Timestamp;

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
}

/// The text of a letter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Body {
    text: String,
    quoted_at: Option<usize>,
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

    /// What the author wrote now. All of it if nothing is quoted or the quotation is not certain.
    #[must_use]
    pub fn fresh(&self) -> &str {
        let end = self.quoted_at.unwrap_or(self.text.len());
        self.text.get(..end).unwrap_or(&self.text).trim_end()
    }

    /// The trimmed part: what was there before. Empty if nothing was trimmed.
    #[must_use]
    pub fn quoted(&self) -> &str {
        self.quoted_at
            .and_then(|at| self.text.get(at..))
            .unwrap_or_default()
    }
}

/// A file in a letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// A safe name, unique within the letter.
    pub name: String,
    /// `type/subtype` as the sender claims it.
    pub media_type: String,
    /// Size once unwrapped, in bytes; an upper bound for quoted-printable, and a lower one when
    /// only the head of the letter was read.
    pub size: u64,
    /// Whether it is meant to be shown within the text, as pictures are.
    pub inline: bool,
    /// Where the wrapped bytes are within the letter.
    pub range: Range<usize>,
    /// How they are wrapped.
    pub encoding: TransferEncoding,
}

/// What reading left out. The bytes still have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
        let mut reader = Reader {
            raw,
            attachments: Vec::new(),
        };
        let shown = reader.read(&walk.root, false);
        let body = body(&shown);
        let notices = [
            (!whole, Notice::HeadOnly),
            (header.is_cut(), Notice::HeaderCut),
            (walk.too_deep, Notice::TooDeep),
            (walk.too_many, Notice::TooManyParts),
            (body.truncated, Notice::TextCut),
        ];
        Self {
            body,
            attachments: reader.attachments,
            notices: notices
                .into_iter()
                .filter_map(|(holds, notice)| holds.then_some(notice))
                .collect(),
            ..Self::of(&header)
        }
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
            to: mailboxes(header, "To"),
            cc: mailboxes(header, "Cc"),
            subject: subject(header),
            date: date(header),
            internet_message_id: header
                .text("Message-ID")
                .and_then(|text| rightmost_ids(&text).into_iter().next()),
            in_reply_to: ids(header, "In-Reply-To"),
            references: ids(header, "References"),
            thread_index: thread_index(header),
            body: Body::default(),
            attachments: Vec::new(),
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

fn subject(header: &Header<'_>) -> String {
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

/// Text that is shown, still in its own form.
enum Shown {
    Plain(String),
    Html(String),
}

impl Shown {
    fn is_blank(&self) -> bool {
        match self {
            Self::Plain(text) | Self::Html(text) => text.trim().is_empty(),
        }
    }
}

struct Reader<'a> {
    raw: &'a [u8],
    attachments: Vec<Attachment>,
}

impl Reader<'_> {
    /// What of a part is shown, in order; files are put on the list on the way. `related` says
    /// that the part belongs to the text beside it (RFC 2387).
    fn read(&mut self, part: &Part, related: bool) -> Vec<Shown> {
        match part.media_type.as_str() {
            "multipart/alternative" => self.best(&part.children),
            "multipart/related" => {
                let mut shown = Vec::new();
                for (at, child) in part.children.iter().enumerate() {
                    shown.extend(self.read(child, at > 0));
                }
                shown
            }
            _ if !part.children.is_empty() => {
                let children = part.children.iter();
                children.flat_map(|child| self.read(child, false)).collect()
            }
            _ if part.is_shown_text("plain") && !related => vec![Shown::Plain(self.text(part))],
            _ if part.is_shown_text("html") && !related => vec![Shown::Html(self.text(part))],
            _ => {
                self.attach(part, related);
                Vec::new()
            }
        }
    }

    /// Of several renditions of the same, plain text if it says anything, else HTML. Renditions
    /// nobody here reads (calendar, AMP) are files.
    fn best(&mut self, children: &[Part]) -> Vec<Shown> {
        let mut html = Vec::new();
        let mut plain = Vec::new();
        for child in children {
            let shown = self.read(child, false);
            let says = |s: &Shown| !s.is_blank();
            let place = if shown.iter().any(|s| matches!(s, Shown::Html(_)) && says(s)) {
                &mut html
            } else {
                &mut plain
            };
            if place.is_empty() && shown.iter().any(says) {
                *place = shown;
            }
        }
        if plain.is_empty() { html } else { plain }
    }

    fn text(&self, part: &Part) -> String {
        let wrapped = self.raw.get(part.body.clone()).unwrap_or_default();
        // Wrapping triples a text at most; what is cut here would be cut below.
        let wrapped = wrapped.get(..TEXT_BYTES_MAX * 3 + 3).unwrap_or(wrapped);
        let text = decode::charset(part.charset.as_deref(), &part.encoding.decode(wrapped));
        match part.flowed {
            Some(delsp) => decode::unflow(&text, delsp),
            None => text,
        }
    }

    fn attach(&mut self, part: &Part, related: bool) {
        let wrapped = self.raw.get(part.body.clone()).unwrap_or_default();
        let fallback = match part.media_type.as_str() {
            "message/rfc822" | "message/global" => "letter.eml",
            "text/calendar" => "invitation.ics",
            "text/html" => "text.html",
            "text/plain" => "text.txt",
            _ => "unnamed",
        };
        let name = clean_file_name(part.name.as_deref().unwrap_or(fallback));
        self.attachments.push(Attachment {
            name: self.unique(name),
            media_type: part.media_type.clone(),
            size: part.encoding.decoded_len(wrapped) as u64,
            inline: part.disposition == Disposition::Inline || related,
            range: part.body.clone(),
            encoding: part.encoding,
        });
    }

    /// A second `report.pdf` becomes `report-2.pdf`. Letter case does not tell names apart,
    /// because on many machines it does not tell files apart.
    fn unique(&self, name: String) -> String {
        let taken = |name: &str| {
            let lower = name.to_lowercase();
            self.attachments
                .iter()
                .any(|a| a.name.to_lowercase() == lower)
        };
        if !taken(&name) {
            return name;
        }
        let (stem, extension) = match name.rfind('.') {
            Some(at) if at > 0 => name.split_at(at),
            _ => (name.as_str(), ""),
        };
        // No more than parts are walked, so one of these is free.
        (2..=mime::PARTS_MAX + 1)
            .map(|n| format!("{stem}-{n}{extension}"))
            .find(|candidate| !taken(candidate))
            .unwrap_or(name)
    }
}

fn body(shown: &[Shown]) -> Body {
    let mut text = String::new();
    let mut from_html = false;
    let mut truncated = false;
    for piece in shown.iter().filter(|piece| !piece.is_blank()) {
        let room = TEXT_BYTES_MAX.saturating_sub(text.len());
        if room == 0 {
            truncated = true;
            break;
        }
        if !text.is_empty() {
            text.push_str("\n\n");
        }
        let plain = match piece {
            Shown::Plain(plain) => clean_body(plain),
            Shown::Html(source) => {
                from_html = true;
                truncated |= source.len() > TEXT_BYTES_MAX;
                clean_body(&html::to_text(prefix(source, TEXT_BYTES_MAX)))
            }
        };
        truncated |= plain.len() > room;
        text.push_str(prefix(&plain, room));
    }
    Body {
        quoted_at: quotation::begins(&text),
        text,
        from_html,
        truncated,
    }
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
