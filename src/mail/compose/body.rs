//! The body of a letter: text, both renditions of it, pictures that belong to it, and files beside
//! it, as one tree of parts (RFC 2046).

use mail_builder::encoders::base64::Base64Encoder;
use mail_builder::encoders::quoted_printable::QuotedPrintableEncoder;

use super::enclosure::{self, Form};
use super::fields::field;
use super::file::{self, File};
use crate::mail::message_id::InternetMessageId;

/// Longest line of a body that is sent as it is, in bytes. RFC 5322, section 2.1.1, allows 998
/// and asks for 78; between the two, relays begin to break lines.
const PLAIN_LINE_BYTES_MAX: usize = 200;

/// What travels in a letter.
#[derive(Debug, Clone, Copy)]
pub(super) struct Content<'a> {
    /// The text.
    pub(super) text: &'a str,
    /// The same as HTML: the content of a body element.
    pub(super) html: Option<&'a str>,
    /// Pictures that the HTML shows.
    pub(super) pictures: &'a [File<'a>],
    /// A letter that is enclosed.
    pub(super) letter: Option<&'a [u8]>,
    /// Files beside the text.
    pub(super) files: &'a [File<'a>],
}

/// Writes the fields that describe the body, and the body.
pub(super) fn write(out: &mut Vec<u8>, content: &Content<'_>, id: &InternetMessageId) {
    let boundaries = Boundaries::of(id);
    if content.letter.is_none() && content.files.is_empty() {
        readable(out, content, &boundaries);
        return;
    }
    let letters = content.files.iter().filter(|file| file.is_letter());
    let eight_bit = (content
        .letter
        .into_iter()
        .chain(letters.map(|file| file.bytes)))
    .any(|letter| Form::of(letter) == Form::EightBit);
    let mixed = Multipart::open(out, "mixed", boundaries.at(0), eight_bit);
    mixed.part(out);
    readable(out, content, &boundaries);
    if let Some(letter) = content.letter {
        mixed.part(out);
        enclosure::write(out, letter);
    }
    for file in content.files {
        mixed.part(out);
        file::write(out, file);
    }
    mixed.close(out);
}

/// The text, with its rendition in HTML as the better one behind it.
fn readable(out: &mut Vec<u8>, content: &Content<'_>, boundaries: &Boundaries) {
    let Some(html) = content.html else {
        text(out, "plain", content.text);
        return;
    };
    let page = format!("<!DOCTYPE html>\n<html><body>\n{html}\n</body></html>\n");
    let both = Multipart::open(out, "alternative", boundaries.at(1), false);
    both.part(out);
    text(out, "plain", content.text);
    both.part(out);
    if content.pictures.is_empty() {
        text(out, "html", &page);
    } else {
        let related = "related;\r\n type=\"text/html\"";
        let related = Multipart::open(out, related, boundaries.at(2), false);
        related.part(out);
        text(out, "html", &page);
        for picture in content.pictures {
            related.part(out);
            file::write(out, picture);
        }
        related.close(out);
    }
    both.close(out);
}

/// The boundaries of one letter: none begins like another, and no older letter can hold one.
struct Boundaries(String);

impl Boundaries {
    fn of(id: &InternetMessageId) -> Self {
        // The id is new and random.
        let unique = id.as_str().bytes().filter(u8::is_ascii_alphanumeric);
        Self(unique.take(48).map(char::from).collect())
    }

    fn at(&self, depth: u8) -> String {
        format!("=_{depth}{}", self.0)
    }
}

/// A part that holds others.
struct Multipart(String);

impl Multipart {
    fn open(out: &mut Vec<u8>, subtype: &str, boundary: String, eight_bit: bool) -> Self {
        let kind = format!("multipart/{subtype};\r\n boundary=\"{boundary}\"");
        field(out, "Content-Type", &kind);
        if eight_bit {
            field(out, "Content-Transfer-Encoding", "8bit");
        }
        Self(boundary)
    }

    /// What follows is the next part.
    fn part(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("\r\n--{}\r\n", self.0).as_bytes());
    }

    fn close(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("\r\n--{}--\r\n", self.0).as_bytes());
    }
}

/// A text: as it is if every relay will leave it alone, else in whichever wrapping is shorter to
/// read.
fn text(out: &mut Vec<u8>, subtype: &str, text: &str) {
    let text = text.replace('\n', "\r\n");
    let tame = text.is_ascii()
        && text.split("\r\n").all(|line| {
            line.len() <= PLAIN_LINE_BYTES_MAX
                && !line.ends_with([' ', '\t'])
                // What an mbox on the way would mangle (RFC 4155, appendix A).
                && !line.starts_with("From ")
        });
    let kind = format!("text/{subtype}; charset=utf-8");
    field(out, "Content-Type", &kind);
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
        wrapped(out, text.as_bytes());
    }
    end_line(out);
}

/// The last field and the bytes, in base 64.
pub(super) fn wrapped(out: &mut Vec<u8>, bytes: &[u8]) {
    field(out, "Content-Transfer-Encoding", "base64");
    out.extend_from_slice(b"\r\n");
    Base64Encoder::new().wrap_lines().encode_into(bytes, out);
    end_line(out);
}

fn end_line(out: &mut Vec<u8>) {
    if !out.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
}
