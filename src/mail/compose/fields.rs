//! Header fields: names beside addresses, ancestors, and words in other than ASCII letters.

use data_encoding::BASE64;

use super::{Parent, REFERENCES_KEPT};
use crate::mail::address::is_atext;
use crate::mail::mailbox::Mailbox;
use crate::mail::message_id::InternetMessageId;
use crate::mail::text::prefix;

/// Writes one field.
pub(super) fn field(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
}

/// `In-Reply-To` and `References` as RFC 5322, section 3.6.4, builds them.
pub(super) fn ancestry(out: &mut Vec<u8>, parent: &Parent<'_>) {
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

/// Writes a field of mailboxes, one a line; nothing if there are none.
pub(super) fn mailboxes(out: &mut Vec<u8>, name: &str, mailboxes: &[Mailbox]) {
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

/// Base 64, in words of at most 75 characters that each hold whole characters. They break before
/// blanks where they can, because some readers, Python's for one, show a blank between two.
pub(super) fn encoded_words(text: &str) -> String {
    const BYTES_A_WORD: usize = 45;
    let mut words = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let mut piece = prefix(rest, BYTES_A_WORD);
        if piece.len() < rest.len()
            && let Some(blank) = piece.rfind(' ').filter(|at| *at > 0)
        {
            piece = piece.get(..blank).unwrap_or(piece);
        }
        words.push(format!("=?utf-8?B?{}?=", BASE64.encode(piece.as_bytes())));
        rest = rest.get(piece.len()..).unwrap_or_default();
    }
    words.join("\r\n ")
}
