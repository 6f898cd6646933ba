//! Returned letters in plain text: how qmail and Exim say that they could not deliver.
//!
//! Both are older than the standard form and still in use. What is read is the same as in a
//! report: for whom, why, and which letter.

use super::address::Address;
use super::header::Header;
use super::mailbox;
use super::report::{
    Action, DIAGNOSTIC_CHARS_MAX, RECIPIENTS_MAX, RecipientReport, Report, Said, enclosed_id,
    smtp_codes,
};
use super::text::clean_line;

/// How much of the text is read, in bytes: the words before the copy of the letter, with a
/// paragraph for each recipient.
const TEXT_BYTES_MAX: usize = 32 << 10;

/// How the line begins behind which the copy of the letter stands.
const COPY_MARKS: [&str; 3] = [
    // qmail
    "--- Below this line is a copy of the message",
    // Exim, of whole letters and of headers
    "------ This is a copy of",
    "--- The header of the original message",
];

/// Reads a returned letter from its header and body; `None` if nobody is named in it.
pub(super) fn read(header: &Header<'_>, body: &[u8]) -> Option<Report> {
    let (text, copy) = split(body);
    let text = text.get(..TEXT_BYTES_MAX).unwrap_or(text);
    let text = String::from_utf8_lossy(text);
    let mut recipients = from_paragraphs(&text);
    if recipients.is_empty() {
        recipients = from_header(header, &text);
    }
    if recipients.is_empty() {
        return None;
    }
    Some(Report {
        said: Said::Delivery(recipients),
        envelope_id: None,
        internet_message_id: enclosed_id(copy),
    })
}

/// The words, and the copy of the letter behind them.
fn split(body: &[u8]) -> (&[u8], &[u8]) {
    let mut offset = 0;
    for line in body.split_inclusive(|&b| b == b'\n') {
        let marks = COPY_MARKS
            .iter()
            .any(|mark| line.starts_with(mark.as_bytes()));
        let end = offset + line.len();
        if marks {
            let copy = body.get(end..).unwrap_or_default();
            return (
                body.get(..offset).unwrap_or_default(),
                copy.trim_ascii_start(),
            );
        }
        offset = end;
    }
    (body, &[])
}

/// qmail-send(8): a paragraph for each recipient that begins with `<ADDRESS>:` and ends with a
/// status code in brackets.
fn from_paragraphs(text: &str) -> Vec<RecipientReport> {
    let mut found: Vec<RecipientReport> = Vec::new();
    let mut open: Option<(Address, String)> = None;
    for line in text.lines().map(str::trim).chain([""]) {
        if line.is_empty() {
            found.extend(open.take().map(|(address, words)| failed(address, &words)));
            if found.len() >= RECIPIENTS_MAX {
                break;
            }
        } else if let Some((_, words)) = &mut open {
            words.push(' ');
            words.push_str(line);
        } else if line.starts_with('<')
            && let Some(address) = line.strip_suffix(":")
            && let Ok(address) = Address::parse(address)
        {
            open = Some((address, String::new()));
        }
    }
    found
}

/// Exim names the recipients in `X-Failed-Recipients`, and says why in the paragraph that begins
/// with the address.
fn from_header(header: &Header<'_>, text: &str) -> Vec<RecipientReport> {
    let named = header.all("X-Failed-Recipients");
    named
        .flat_map(|value| mailbox::parse_list(value).mailboxes)
        .take(RECIPIENTS_MAX)
        .map(|mailbox| {
            let name = mailbox.address.to_string();
            let mut lines = text.lines().map(str::trim);
            let words = match lines.by_ref().find(|line| line.eq_ignore_ascii_case(&name)) {
                Some(_) => lines
                    .take_while(|line| !line.is_empty())
                    .collect::<Vec<_>>(),
                None => Vec::new(),
            };
            failed(mailbox.address, &words.join(" "))
        })
        .collect()
}

fn failed(address: Address, words: &str) -> RecipientReport {
    let (code, status) = smtp_codes(words);
    RecipientReport {
        address: Some(address),
        action: Action::Failed,
        status,
        code,
        diagnostic: clean_line(words, DIAGNOSTIC_CHARS_MAX),
    }
}
