//! Reports about letters of ours: what mail servers, mail programs and providers write back.
//!
//! Delivery reports (RFC 3464, RFC 6533), notices of reading (RFC 8098) and complaints (RFC 5965)
//! are multipart/report (RFC 6522): a text for people, a part for programs, and the letter or its
//! header. Read gently, as reports are written carelessly, and believed by nobody here: whoever
//! knows how reports look can write one. What proves a report is its caller's to find.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::address::Address;
use super::bounce;
use super::decode::{self, TransferEncoding};
use super::header::{Field, Header};
use super::message_id::{InternetMessageId, rightmost_ids};
use super::mime::{self, Part};
use super::text::clean_line;

/// Most recipients that are read from one report: as many as one letter of ours can have.
pub const RECIPIENTS_MAX: usize = 50;

/// Longest diagnostic that is kept, in characters: the longest reply line of RFC 5321, section
/// 4.5.3.1.5.
pub const DIAGNOSTIC_CHARS_MAX: usize = 512;

/// Largest part for programs that is read, in bytes. Each recipient takes some 300.
const STATUS_BYTES_MAX: usize = 64 << 10;

/// Longest envelope id (RFC 3461, section 4.4).
const ENVELOPE_ID_BYTES_MAX: usize = 100;

/// What a report says, and about which letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What it says.
    pub said: Said,
    /// The envelope id that the letter was submitted with (`ENVID` of RFC 3461).
    pub envelope_id: Option<String>,
    /// The letter's Message-ID.
    pub internet_message_id: Option<InternetMessageId>,
}

/// What a report says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// What became of the letter on its way, for each recipient that is named.
    Delivery(Vec<RecipientReport>),
    /// What became of it in the recipient's mail program.
    Disposition {
        /// The word: `displayed`, `deleted`, `dispatched`, `processed`.
        what: String,
        /// Whether a program decided that, not a person.
        automatic: bool,
        /// Whose program it is.
        recipient: Option<Address>,
    },
    /// Somebody complained about it.
    Complaint {
        /// The kind, mostly `abuse`.
        what: String,
        /// Who, if the provider says so.
        recipient: Option<Address>,
    },
}

/// What became of a letter for one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipientReport {
    /// The recipient as we wrote it, if the report says so, else as the last server knew it.
    pub address: Option<Address>,
    /// What happened.
    pub action: Action,
    /// The status code of RFC 3463.
    pub status: Option<[u16; 3]>,
    /// The SMTP reply code, if one was told.
    pub code: Option<u16>,
    /// The words of whoever refused it; one clean line.
    pub diagnostic: String,
}

/// What happened to a letter for one recipient (RFC 3464, section 2.3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// It was not delivered and will not be.
    Failed,
    /// It was not delivered yet.
    Delayed,
    /// It is in the mailbox.
    Delivered,
    /// It went where no reports come from.
    Relayed,
    /// It went on to several addresses.
    Expanded,
}

/// How final a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Severity {
    /// There is no such mailbox: nothing will ever arrive there.
    Hard,
    /// A full mailbox, or a server that could not be reached: another letter may arrive.
    Soft,
    /// This letter was too large.
    Size,
    /// The other side does not want mail from us. Says nothing about the mailbox.
    Policy,
    /// Nothing that is understood.
    Unknown,
}

impl RecipientReport {
    /// How final the failure is, as far as its codes say.
    ///
    /// Only codes that leave no doubt are hard: an address that is called dead by mistake is a
    /// customer who is not answered.
    #[must_use]
    pub fn severity(&self) -> Severity {
        match (self.status, self.code) {
            // Exchange Online says this of mailboxes that it does not have; by RFC 3463 it would
            // mean that no server answered.
            (Some([5, 4, 1]), _) => {
                let text = self.diagnostic.to_ascii_lowercase();
                if text.contains("recipient address rejected") || text.contains("no such") {
                    Severity::Hard
                } else {
                    Severity::Soft
                }
            }
            (Some([5, 1, 1 | 2 | 3 | 10]), _) => Severity::Hard,
            (Some([5, 2, 3] | [5, 3, 4]), _) => Severity::Size,
            (Some([4, _, _] | [5, 2, 2]), _) => Severity::Soft,
            (Some([5, 7, _]), _) => Severity::Policy,
            // A status of 5.0.0 only repeats that it failed.
            (None | Some([_, 0, 0]), Some(400..=499)) => Severity::Soft,
            (None | Some([_, 0, 0]), Some(552)) => Severity::Size,
            _ => Severity::Unknown,
        }
    }
}

impl fmt::Display for RecipientReport {
    /// As a server would say it: `550 5.1.1 no such user`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(code) = self.code {
            write!(f, "{code} ")?;
        }
        if let Some([class, subject, detail]) = self.status {
            write!(f, "{class}.{subject}.{detail} ")?;
        }
        f.write_str(&self.diagnostic)
    }
}

impl Report {
    /// Reads a report, or as much of it as is at hand; `None` if there is nothing in it that a
    /// program could read.
    ///
    /// The work is linear in the size of `raw` times the small bound on nesting.
    #[must_use]
    pub fn read(raw: &[u8]) -> Option<Self> {
        let header = Header::parse(raw);
        let walk = mime::walk(raw, &header);
        let mut reader = Reader {
            raw,
            report: None,
            enclosed: None,
        };
        reader.part(&walk.root);
        let Reader {
            report, enclosed, ..
        } = reader;
        let mut report = match report {
            Some(report) => report,
            None => bounce::read(&header, raw.get(header.body_start()..)?)?,
        };
        report.internet_message_id = report.internet_message_id.or(enclosed);
        Some(report)
    }
}

/// The id of an enclosed letter, or of its header.
pub(super) fn enclosed_id(entity: &[u8]) -> Option<InternetMessageId> {
    let text = Header::parse(entity).text("Message-ID")?;
    rightmost_ids(&text).into_iter().next()
}

struct Reader<'a> {
    raw: &'a [u8],
    report: Option<Report>,
    enclosed: Option<InternetMessageId>,
}

impl Reader<'_> {
    fn part(&mut self, part: &Part) {
        for child in &part.children {
            self.part(child);
        }
        let read = match part.media_type.as_str() {
            "message/delivery-status" | "message/global-delivery-status" => delivery,
            "message/disposition-notification" | "message/global-disposition-notification" => {
                disposition
            }
            "message/feedback-report" => complaint,
            "message/rfc822"
            | "message/global"
            | "text/rfc822-headers"
            | "message/global-headers" => {
                if self.enclosed.is_none() {
                    self.enclosed = enclosed_id(&self.body(part));
                }
                return;
            }
            _ => return,
        };
        if self.report.is_none() {
            self.report = read(&Fields::read(&self.body(part)));
        }
    }

    /// The part, unwrapped. RFC 3464 forbids wrapping, RFC 6533 allows it, and many do it.
    fn body(&self, part: &Part) -> Vec<u8> {
        let body = self.raw.get(part.body.clone()).unwrap_or_default();
        let body = body.get(..STATUS_BYTES_MAX).unwrap_or(body);
        match part.encoding {
            TransferEncoding::Identity => body.to_vec(),
            wrapped => wrapped.decode(body),
        }
    }
}

/// The fields of a part for programs: name in lower case, value unfolded, and whether a blank
/// line stood before it.
struct Fields(Vec<(String, String, bool)>);

impl Fields {
    /// Blocks of fields with blank lines between them, as many of either as there are. What is no
    /// field is skipped.
    fn read(part: &[u8]) -> Self {
        let mut fields = Vec::new();
        let mut rest = part;
        while !rest.is_empty() {
            let block = Header::parse(rest);
            let mut first = true;
            for Field { name, value } in block.fields() {
                fields.push((name.to_ascii_lowercase(), decode::unfold(value), first));
                first = false;
            }
            // A line that is no field begins the body; it is stepped over.
            let consumed = match block.body_start() {
                0 => rest
                    .iter()
                    .position(|&b| b == b'\n')
                    .map_or(rest.len(), |end| end + 1),
                start => start,
            };
            rest = rest.get(consumed..).unwrap_or_default();
        }
        Self(fields)
    }

    fn first(&self, name: &str) -> Option<&str> {
        let mut found = self.0.iter().filter(|(known, ..)| known == name);
        found.next().map(|(_, value, _)| value.as_str())
    }

    fn envelope_id(&self) -> Option<String> {
        let id = self.first("original-envelope-id")?.trim();
        let plain = !id.is_empty()
            && id.len() <= ENVELOPE_ID_BYTES_MAX
            && id.bytes().all(|b| b.is_ascii_graphic());
        plain.then(|| id.to_owned())
    }

    fn internet_message_id(&self) -> Option<InternetMessageId> {
        let text = self.first("original-message-id")?;
        rightmost_ids(text).into_iter().next()
    }

    fn report(&self, said: Said) -> Report {
        Report {
            said,
            envelope_id: self.envelope_id(),
            internet_message_id: self.internet_message_id(),
        }
    }
}

/// One recipient, as it comes together.
#[derive(Default)]
struct Draft {
    original: Option<String>,
    last: Option<String>,
    action: Option<String>,
    status: Option<String>,
    diagnostic: Option<String>,
}

impl Draft {
    /// The place of a field, if it is one of a recipient's.
    fn place(&mut self, name: &str) -> Option<&mut Option<String>> {
        Some(match name {
            "original-recipient" => &mut self.original,
            "final-recipient" => &mut self.last,
            "action" => &mut self.action,
            "status" => &mut self.status,
            "diagnostic-code" => &mut self.diagnostic,
            _ => return None,
        })
    }

    const fn is_complete(&self) -> bool {
        self.last.is_some() && self.action.is_some() && self.status.is_some()
    }

    fn finish(self) -> Option<RecipientReport> {
        let typed = |value: Option<String>| value.as_deref().and_then(typed_address);
        let (kind, text) = (self.diagnostic.as_deref()).map_or(("", ""), split_type);
        let (code, quoted) = smtp_codes(text);
        let smtp = kind.is_empty() || kind.eq_ignore_ascii_case("smtp");
        let status = (self.status.as_deref().and_then(status_code))
            // Some gateways know nothing but that it failed; the server they quote knew more.
            .filter(|status| !matches!(status, [_, 0, 0]) || quoted.is_none())
            .or(quoted);
        let action = self.action.as_deref().unwrap_or_default();
        let action = match action.split([' ', '(', ';']).next().unwrap_or_default() {
            word if word.eq_ignore_ascii_case("failed") => Action::Failed,
            word if word.eq_ignore_ascii_case("delayed") => Action::Delayed,
            word if word.eq_ignore_ascii_case("delivered") => Action::Delivered,
            word if word.eq_ignore_ascii_case("relayed") => Action::Relayed,
            word if word.eq_ignore_ascii_case("expanded") => Action::Expanded,
            // Without the word the status says it.
            _ => match status? {
                [2, ..] => Action::Delivered,
                [4, ..] => Action::Delayed,
                _ => Action::Failed,
            },
        };
        Some(RecipientReport {
            address: typed(self.original).or_else(|| typed(self.last)),
            action,
            status,
            code: code.filter(|_| smtp),
            diagnostic: clean_line(&without_codes(text), DIAGNOSTIC_CHARS_MAX),
        })
    }
}

/// A delivery status. RFC 3464 has one block for the letter and one for each recipient; blank
/// lines are missing, doubled and put inside blocks in practice, so a recipient also begins where
/// a field comes again.
fn delivery(fields: &Fields) -> Option<Report> {
    let mut drafts: Vec<Draft> = Vec::new();
    let mut open = Draft::default();
    for (name, value, after_blank) in &fields.0 {
        let ended = *after_blank && open.is_complete();
        let Some(place) = open.place(name) else {
            continue;
        };
        if place.is_some() || ended {
            if drafts.len() >= RECIPIENTS_MAX {
                break;
            }
            drafts.push(std::mem::take(&mut open));
        }
        if let Some(place) = open.place(name) {
            *place = Some(value.clone());
        }
    }
    if drafts.len() < RECIPIENTS_MAX {
        drafts.push(open);
    }
    let recipients: Vec<_> = drafts.into_iter().filter_map(Draft::finish).collect();
    if recipients.is_empty() {
        return None;
    }
    Some(fields.report(Said::Delivery(recipients)))
}

fn disposition(fields: &Fields) -> Option<Report> {
    // `manual-action/MDN-sent-manually; displayed`, with modifiers after a slash.
    let value = fields.first("disposition")?.to_ascii_lowercase();
    let (mode, what) = value.split_once(';').unwrap_or(("", &value));
    let what = what.split(['/', ',']).next().unwrap_or_default();
    let recipient = (fields.first("original-recipient").and_then(typed_address))
        .or_else(|| fields.first("final-recipient").and_then(typed_address));
    Some(fields.report(Said::Disposition {
        what: clean_line(what, 40),
        automatic: mode.contains("automatic-action"),
        recipient,
    }))
}

fn complaint(fields: &Fields) -> Option<Report> {
    let what = fields.first("feedback-type")?.to_ascii_lowercase();
    let recipient =
        (fields.first("original-rcpt-to")).and_then(|address| Address::parse(address.trim()).ok());
    Some(fields.report(Said::Complaint {
        what: clean_line(&what, 40),
        recipient,
    }))
}

/// The part of a value before its first `;`, and the rest; without one, all of it is the rest.
fn split_type(value: &str) -> (&str, &str) {
    let (kind, rest) = value.split_once(';').unwrap_or(("", value));
    (kind.trim(), rest.trim())
}

/// An address with its type before it: `rfc822; anna@customer.example` (RFC 3464, section 2.1.2)
/// or `utf-8; …` with characters written as `\x{E4}` (RFC 6533, section 3).
fn typed_address(value: &str) -> Option<Address> {
    let (_, text) = split_type(value);
    if !text.contains("\\x{") {
        return Address::parse(text).ok();
    }
    let mut out = String::with_capacity(text.len());
    let mut pieces = text.split("\\x{");
    out.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        let (digits, rest) = piece.split_once('}')?;
        out.push(char::from_u32(u32::from_str_radix(digits, 16).ok()?)?);
        out.push_str(rest);
    }
    Address::parse(&out).ok()
}

/// A status code at the beginning of a text (RFC 3463, section 2); a comment may follow.
pub(super) fn status_code(text: &str) -> Option<[u16; 3]> {
    let token = text
        .trim_start()
        .split(|c: char| !c.is_ascii_digit() && c != '.')
        .next()?;
    let mut numbers = token.trim_end_matches('.').split('.');
    let mut number = || {
        let digits = numbers.next()?;
        (1..=3)
            .contains(&digits.len())
            .then(|| digits.parse::<u16>().ok())?
    };
    let status = [number()?, number()?, number()?];
    let known = matches!(status, [2 | 4 | 5, ..]) && numbers.next().is_none();
    known.then_some(status)
}

/// The reply code and the status code that a server's words hold, wherever they begin: servers
/// are quoted behind their names.
pub(super) fn smtp_codes(text: &str) -> (Option<u16>, Option<[u16; 3]>) {
    let mut code = None;
    for word in text.split_ascii_whitespace().take(100) {
        let word =
            word.trim_matches(|c: char| matches!(c, '(' | ')' | '#' | '<' | '>' | ':' | ','));
        if let Some(status) = status_code(word).filter(|_| word.len() >= 5) {
            return (code, Some(status));
        }
        let (digits, rest) = word.split_at_checked(3).unwrap_or((word, ""));
        if code.is_none()
            && let Ok(number @ 200..=599) = digits.parse::<u16>()
        {
            match rest.strip_prefix(['-', ' ']) {
                None if rest.is_empty() => code = Some(number),
                Some(rest) => {
                    code = Some(number);
                    if let Some(status) = status_code(rest) {
                        return (code, Some(status));
                    }
                }
                None => {}
            }
        }
    }
    (code, None)
}

/// A server's words without the codes that they begin with.
fn without_codes(text: &str) -> String {
    let mut rest = text.trim_start();
    if let Some((word, after)) = rest.split_once([' ', '-'])
        && word.len() == 3
        && word.bytes().all(|b| b.is_ascii_digit())
    {
        rest = after.trim_start();
    }
    if let Some((word, after)) = rest.split_once(' ')
        && status_code(word).is_some()
    {
        rest = after.trim_start();
    }
    rest.to_owned()
}

#[cfg(test)]
mod tests;
