//! A file in a letter: its bytes, and a name and type that cannot say more than they are.

use super::body::wrapped;
use super::enclosure;
use super::fields::{encoded_words, field};
use crate::mail::text::clean_file_name;

/// A file that goes along, or a picture within the HTML.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct File<'a> {
    /// What it is called; written as a name that is safe to save.
    pub name: &'a str,
    /// `type/subtype`. What is none, or would be read as more than a file, is sent as plain bytes.
    pub media_type: &'a str,
    /// What HTML calls it, without brackets, if it belongs there.
    pub content_id: Option<&'a str>,
    /// The file.
    pub bytes: &'a [u8],
}

impl File<'_> {
    /// Whether it is a whole letter, which may not be wrapped (RFC 2046, section 5.2.1).
    pub(super) fn is_letter(&self) -> bool {
        self.media_type.eq_ignore_ascii_case("message/rfc822") && self.content_id.is_none()
    }
}

/// Longest type that is written, in bytes.
const TYPE_BYTES_MAX: usize = 100;

/// How many bytes of a name stand in one line at most, each of them as `%xx`.
const NAME_BYTES_A_LINE: usize = 18;

/// Writes the fields that describe a file, and the file.
pub(super) fn write(out: &mut Vec<u8>, file: &File<'_>) {
    if file.is_letter() {
        enclosure::write_named(out, file.bytes, file.name);
        return;
    }
    head(out, plain_type(file.media_type), file.name, file.content_id);
    wrapped(out, file.bytes);
}

/// Writes the fields that describe a file, save the one of its wrapping.
pub(super) fn head(out: &mut Vec<u8>, media_type: &str, name: &str, content_id: Option<&str>) {
    let name = clean_file_name(name);
    // Outlook looks for the name here, and reads encoded words there, which RFC 2047 forbids.
    let (here, there) = if is_plain(&name) {
        (format!("\"{name}\""), format!(";\r\n filename=\"{name}\""))
    } else {
        (format!("\"{}\"", encoded_words(&name)), extended(&name))
    };
    field(
        out,
        "Content-Type",
        &format!("{media_type};\r\n name={here}"),
    );
    let place = if content_id.is_some() {
        "inline"
    } else {
        "attachment"
    };
    field(out, "Content-Disposition", &format!("{place}{there}"));
    if let Some(id) = content_id {
        field(out, "Content-ID", &format!("<{id}>"));
    }
}

/// A type as it may stand in a field, in lower case.
fn plain_type(media_type: &str) -> &str {
    let token = |text: &str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b);
        !text.is_empty() && text.bytes().all(plain)
    };
    let whole = media_type.split_once('/').filter(|(kind, subtype)| {
        // Such a part would have to be unwrapped to be what it says (RFC 2046, section 5).
        let container = ["multipart", "message"]
            .iter()
            .any(|c| kind.eq_ignore_ascii_case(c));
        token(kind) && token(subtype) && !container
    });
    match whole {
        Some(_) if media_type.len() <= TYPE_BYTES_MAX => media_type,
        Some(_) | None => "application/octet-stream",
    }
}

/// Whether a name can be written between quotes as it is.
fn is_plain(name: &str) -> bool {
    let plain = |b: u8| b == b' ' || (b.is_ascii_graphic() && b != b'"' && b != b'\\');
    name.bytes().all(plain) && name.len() <= 60 && !name.contains("=?")
}

/// A name in other than ASCII letters, or a long one, as RFC 2231 writes it: in pieces.
fn extended(name: &str) -> String {
    let mut out = String::new();
    for (at, piece) in name.as_bytes().chunks(NAME_BYTES_A_LINE).enumerate() {
        let charset = if at == 0 { "utf-8''" } else { "" };
        out.push_str(&format!(";\r\n filename*{at}*={charset}"));
        for byte in piece {
            if byte.is_ascii_alphanumeric() || b".-_".contains(byte) {
                out.push(char::from(*byte));
            } else {
                out.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_that_may_be_written() {
        for (media_type, written) in [
            ("image/png", "image/png"),
            ("application/vnd.ms-excel", "application/vnd.ms-excel"),
            ("", "application/octet-stream"),
            ("image", "application/octet-stream"),
            ("a/b\r\nBcc: x", "application/octet-stream"),
            ("text/html; charset=x", "application/octet-stream"),
            ("multipart/mixed", "application/octet-stream"),
            ("Message/Partial", "application/octet-stream"),
        ] {
            assert_eq!(plain_type(media_type), written);
        }
        let long = format!("a/{}", "b".repeat(TYPE_BYTES_MAX));
        assert_eq!(plain_type(&long), "application/octet-stream");
    }

    #[test]
    fn names_that_cannot_leave_their_field() {
        for (name, written) in [
            ("a.pdf", "filename=\"a.pdf\""),
            ("a\"b.pdf", "filename=\"a_b.pdf\""),
            ("a.pdf\r\nBcc: x", "filename=\"a.pdf Bcc_ x\""),
            ("../../x", "filename=\"x\""),
            ("März.pdf", "filename*0*=utf-8''M%C3%A4rz.pdf"),
            ("=?utf-8?q?x?=", "filename=\"=_utf-8_q_x_=\""),
        ] {
            let mut out = Vec::new();
            head(&mut out, "text/plain", name, None);
            let out = String::from_utf8(out).unwrap();
            assert!(out.contains(written), "{out}");
            assert!(!out.replace("\r\n", "").contains(['\r', '\n']), "{out}");
            assert_eq!(
                out.matches("\r\n").count() - out.matches("\r\n ").count(),
                2
            );
        }
    }
}
