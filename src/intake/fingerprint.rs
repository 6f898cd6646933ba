//! The fingerprint of a letter: the same whenever its sender tries again, and of no other letter.
//!
//! Made of the envelope sender, of header fields that a sender does not rewrite between attempts,
//! and of the body. Trace fields, signatures and the MTA's queue id change from attempt to attempt
//! and are left out. Recipients are left out too: a sender may split them over transactions.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use ring::digest::{Context, SHA256};

use crate::milter::Header;

/// The header fields that are looked at, in lower case.
const FIELDS: [&str; 10] = [
    "from",
    "to",
    "cc",
    "date",
    "subject",
    "message-id",
    "in-reply-to",
    "references",
    "reply-to",
    "content-type",
];

/// The fingerprint of a letter whose content is `head`, or in a file if it is large.
///
/// # Errors
///
/// If the file cannot be read.
pub fn of(
    sender: &[u8],
    headers: &[Header],
    head: &[u8],
    file: Option<&Path>,
) -> io::Result<[u8; 32]> {
    let mut context = Context::new(&SHA256);
    add(&mut context, &sender.to_ascii_lowercase());
    for field in FIELDS {
        for header in headers {
            if header.name.eq_ignore_ascii_case(field.as_bytes()) {
                add(&mut context, field.as_bytes());
                add(&mut context, &unfolded(&header.value));
            }
        }
    }
    let body_at = body_offset(head);
    match file {
        None => context.update(head.get(body_at..).unwrap_or_default()),
        Some(path) => add_file(&mut context, path, body_at as u64)?,
    }
    let mut fingerprint = [0; 32];
    fingerprint.copy_from_slice(context.finish().as_ref());
    Ok(fingerprint)
}

/// Adds a text with its length, so that two texts never run together.
fn add(context: &mut Context, text: &[u8]) {
    context.update(&(text.len() as u64).to_be_bytes());
    context.update(text);
}

fn add_file(context: &mut Context, path: &Path, body_at: u64) -> io::Result<()> {
    let mut reader = BufReader::new(File::open(path)?);
    io::copy(&mut reader.by_ref().take(body_at), &mut io::sink())?;
    let mut piece = vec![0; 64 << 10];
    loop {
        match reader.read(&mut piece)? {
            0 => return Ok(()),
            size => context.update(piece.get(..size).unwrap_or_default()),
        }
    }
}

/// Relays fold where they like: runs of white space count as one space.
fn unfolded(value: &[u8]) -> Vec<u8> {
    let words = value
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty());
    let mut line = Vec::with_capacity(value.len());
    for word in words {
        if !line.is_empty() {
            line.push(b' ');
        }
        line.extend_from_slice(word);
    }
    line
}

/// Where the body begins: after the first empty line.
fn body_offset(head: &[u8]) -> usize {
    if head.starts_with(b"\r\n") {
        return 2;
    }
    head.windows(4)
        .position(|four| four == b"\r\n\r\n")
        .map_or(head.len(), |place| place + 4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn headers(fields: &[(&'static str, &'static str)]) -> Vec<Header> {
        fields
            .iter()
            .map(|(name, value)| Header {
                name: Bytes::from_static(name.as_bytes()),
                value: Bytes::from_static(value.as_bytes()),
            })
            .collect()
    }

    const LETTER: [(&str, &str); 3] = [
        ("Received", " from a"),
        ("Subject", " one two"),
        ("Message-ID", " <1@x>"),
    ];

    fn print(fields: &[(&'static str, &'static str)], head: &[u8]) -> [u8; 32] {
        of(b"a@b", &headers(fields), head, None).unwrap()
    }

    #[test]
    fn a_second_attempt_has_the_same() {
        let first = print(&LETTER, b"Received: from a\r\n\r\nhello");
        let again = [
            ("DKIM-Signature", " t=2"),
            ("Received", " from b"),
            ("message-id", "<1@x>"),
            ("SUBJECT", " one\n\ttwo"),
        ];
        assert_eq!(print(&again, b"Received: from b\r\n\r\nhello"), first);
    }

    #[test]
    fn another_letter_has_another() {
        let first = print(&LETTER, b"X: y\r\n\r\nhello");
        assert_ne!(print(&LETTER, b"X: y\r\n\r\nhello!"), first);
        let other_subject = [("Subject", " one  three"), ("Message-ID", " <1@x>")];
        assert_ne!(print(&other_subject, b"X: y\r\n\r\nhello"), first);
        let other_sender = of(b"c@b", &headers(&LETTER), b"X: y\r\n\r\nhello", None).unwrap();
        assert_ne!(other_sender, first);
    }

    #[test]
    fn a_large_letter_has_the_same_from_its_file() {
        let whole = b"X: y\r\n\r\nhello from afar";
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("letter");
        std::fs::write(&path, whole).unwrap();
        let head = &whole[..10];
        let from_file = of(b"a@b", &headers(&LETTER), head, Some(&path)).unwrap();
        assert_eq!(from_file, print(&LETTER, whole));
    }
}
