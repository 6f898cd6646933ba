//! Enclosures: a whole letter within another, as a file beside the text.

use std::borrow::Cow;

use super::body::wrapped;
use super::fields::field;
use super::file;
use crate::mail::header::Header;

/// Longest line that may travel unwrapped, in bytes without its end: RFC 5321, 4.5.3.1.6.
const LINE_BYTES_MAX: usize = 998;

/// The name of the enclosed letter's file.
const FILE_NAME: &str = "message.eml";

/// How the fields begin that are for our own house.
const OWN_FIELDS: &str = "x-postroom-";

/// Writes the fields that describe a letter within a letter, and the letter.
pub(super) fn write(out: &mut Vec<u8>, letter: &[u8]) {
    write_named(out, &without_own_fields(letter), FILE_NAME);
}

/// The same for a letter that is a file with a name.
pub(super) fn write_named(out: &mut Vec<u8>, letter: &[u8], name: &str) {
    let (kind, encoding) = match Form::of(letter) {
        Form::SevenBit => ("message/rfc822", "7bit"),
        Form::EightBit => ("message/rfc822", "8bit"),
        Form::Wrapped => {
            file::head(out, "application/octet-stream", name, None);
            wrapped(out, letter);
            return;
        }
    };
    file::head(out, kind, name, None);
    field(out, "Content-Transfer-Encoding", encoding);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(letter);
}

/// A letter without what is written into headers for programs of this house: case, queue, loop.
fn without_own_fields(letter: &[u8]) -> Cow<'_, [u8]> {
    let header = Header::parse(letter);
    let own = |name: &str| {
        let begin = name.get(..OWN_FIELDS.len());
        begin.is_some_and(|begin| begin.eq_ignore_ascii_case(OWN_FIELDS))
    };
    if !header.fields().iter().any(|field| own(field.name)) {
        return Cow::Borrowed(letter);
    }
    let (head, body) = letter.split_at(header.body_start().min(letter.len()));
    let mut kept = Vec::with_capacity(letter.len());
    let mut skipping = false;
    for line in head.split_inclusive(|byte| *byte == b'\n') {
        if !line.starts_with(b" ") && !line.starts_with(b"\t") {
            let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
            skipping = std::str::from_utf8(name).is_ok_and(|name| own(name.trim()));
        }
        if !skipping {
            kept.extend_from_slice(line);
        }
    }
    kept.extend_from_slice(body);
    Cow::Owned(kept)
}

/// How a letter can travel within another. A `message/rfc822` may not be wrapped (RFC 2046,
/// section 5.2.1), so one that needs it goes as any file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    SevenBit,
    EightBit,
    Wrapped,
}

impl Form {
    pub(super) fn of(letter: &[u8]) -> Self {
        let tame = letter.split(|byte| *byte == b'\n').all(|line| {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            line.len() <= LINE_BYTES_MAX && !line.contains(&b'\r') && !line.contains(&0)
        });
        let ends = letter.iter().filter(|byte| **byte == b'\n').count();
        let whole_ends = letter.windows(2).filter(|pair| *pair == b"\r\n").count();
        if !tame || ends != whole_ends {
            Self::Wrapped
        } else if letter.is_ascii() {
            Self::SevenBit
        } else {
            Self::EightBit
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_must_be_wrapped() {
        let long = [b"a: b\r\n\r\n".to_vec(), vec![b'x'; 999]].concat();
        for (letter, form) in [
            (&b"a: b\r\n\r\ntext\r\n"[..], Form::SevenBit),
            ("a: b\r\n\r\ngrün\r\n".as_bytes(), Form::EightBit),
            (b"a: b\n\ntext\n", Form::Wrapped),
            (b"a: b\r\n\r\nte\rxt\r\n", Form::Wrapped),
            (b"a: b\r\n\r\nte\0xt\r\n", Form::Wrapped),
            (&long, Form::Wrapped),
        ] {
            assert_eq!(Form::of(letter), form, "{}", letter.escape_ascii());
        }
    }

    #[test]
    fn fields_of_our_house_stay_in_it() {
        let letter = b"X-Postroom-Case: 5724\r\nFrom: a@x\r\nx-postroom-loop: a\r\n b\r\n\
            Subject: X-Postroom-Case\r\n\r\nX-Postroom-Case: 1\r\n";
        let kept: &[u8] = b"From: a@x\r\nSubject: X-Postroom-Case\r\n\r\nX-Postroom-Case: 1\r\n";
        assert_eq!(without_own_fields(letter), kept);
        assert!(matches!(without_own_fields(kept), Cow::Borrowed(_)));
    }
}
