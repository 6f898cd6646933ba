//! The parts of a letter: where each begins and ends, what it says it is.
//!
//! Walks the structure itself instead of letting the MIME library do it, because that one has no
//! cap on depth or number of parts and opens letters within letters. Nothing is decoded here; a
//! part is a range of the letter's bytes. An attached letter is one part, a file.

use std::ops::Range;

use mail_parser::parsers::MessageStream;
use mail_parser::{ContentType, HeaderValue};
use serde::{Deserialize, Serialize};

use super::decode::{self, TransferEncoding};
use super::header::Header;

/// Deepest nesting of multiparts that is walked. Forwarded and signed letters with inline
/// pictures reach five; what lies deeper is kept as one file.
pub const DEPTH_MAX: usize = 10;

/// Most parts that are walked; a letter with a hundred photographs is still whole.
pub const PARTS_MAX: usize = 250;

/// Longest field value looked at for a media type or disposition, in bytes. Room for a file name
/// of 5 KB in pieces.
const VALUE_BYTES_MAX: usize = 16 << 10;

/// Longest boundary, in bytes. RFC 2046, section 5.1.1, allows 70.
const BOUNDARY_BYTES_MAX: usize = 200;

/// Longest identifier of a part, in bytes: the longest line of RFC 5322, section 2.1.1.
const IDENTIFIER_BYTES_MAX: usize = 998;

/// Whether a part wants to be shown or saved (RFC 2183).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Disposition {
    /// It does not say.
    Unsaid,
    /// Shown in its place.
    Inline,
    /// Saved as a file; also what an unknown disposition means (RFC 2183, section 2.8).
    Attachment,
}

/// One entity: the letter itself, or a part of it at any depth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// `type/subtype` in lower case; `text/plain` when nothing is said.
    pub media_type: String,
    /// The charset as labelled.
    pub charset: Option<String>,
    /// Whether text is `format=flowed` (RFC 3676), and if so whether with `delsp=yes`.
    pub flowed: Option<bool>,
    /// The file name as the sender wrote it, decoded; unsafe to use.
    pub name: Option<String>,
    /// What the sender says it is (RFC 2045, section 8), decoded.
    pub description: Option<String>,
    /// What pictures in HTML call it (RFC 2392), without brackets.
    pub content_id: Option<String>,
    /// What HTML may call it instead (RFC 2557).
    pub location: Option<String>,
    /// What the part wants to be done with it.
    pub disposition: Disposition,
    /// How the body is wrapped.
    pub encoding: TransferEncoding,
    /// Whether it claims a wrapping that nobody knows; it is taken as it is.
    pub odd_encoding: bool,
    /// Where it is in the letter: `2.1` is the first part of the second (RFC 3501, section 6.4.5).
    pub id: String,
    /// The bytes of the body within the letter, still wrapped.
    pub body: Range<usize>,
    /// The parts of a multipart, in their order.
    pub children: Vec<Self>,
    content_type: Option<ContentType<'static>>,
}

impl Part {
    /// A parameter of the media type, decoded.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<String> {
        attribute(self.content_type.as_ref(), name)
    }

    /// Whether the part is readable text of this subtype and not meant as a file.
    #[must_use]
    pub fn is_shown_text(&self, subtype: &str) -> bool {
        self.disposition != Disposition::Attachment
            && self.name.is_none()
            && self.media_type.strip_prefix("text/") == Some(subtype)
    }
}

/// The walked letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walk {
    /// The letter as the outermost part.
    pub root: Part,
    /// Whether something lay deeper than [`DEPTH_MAX`]; it is one part, a file.
    pub too_deep: bool,
    /// Whether there were more than [`PARTS_MAX`] parts; the rest is left out.
    pub too_many: bool,
}

/// Walks a letter, or as much as there is of it. Each nesting level reads its bytes once, so the
/// work is bounded by [`DEPTH_MAX`] times the size.
#[must_use]
pub fn walk(raw: &[u8], header: &Header<'_>) -> Walk {
    let mut walker = Walker {
        raw,
        budget: PARTS_MAX,
        too_deep: false,
        too_many: false,
    };
    let body = header.body_start()..raw.len();
    let root = walker.part(header, body, "text/plain", 0, String::new());
    Walk {
        root,
        too_deep: walker.too_deep,
        too_many: walker.too_many,
    }
}

struct Walker<'a> {
    raw: &'a [u8],
    budget: usize,
    too_deep: bool,
    too_many: bool,
}

impl Walker<'_> {
    fn part(
        &mut self,
        header: &Header<'_>,
        body: Range<usize>,
        default_type: &str,
        depth: usize,
        id: String,
    ) -> Part {
        let content_type = structured(header, "Content-Type");
        let disposition = structured(header, "Content-Disposition");
        let encoding = header.text("Content-Transfer-Encoding").unwrap_or_default();
        let media_type = media_type(content_type.as_ref(), default_type);
        let boundary = attribute(content_type.as_ref(), "boundary")
            .filter(|b| media_type.starts_with("multipart/") && b.len() <= BOUNDARY_BYTES_MAX);
        let mut part = Part {
            charset: attribute(content_type.as_ref(), "charset"),
            flowed: attribute(content_type.as_ref(), "format")
                .filter(|format| format.eq_ignore_ascii_case("flowed"))
                .map(|_| {
                    attribute(content_type.as_ref(), "delsp")
                        .is_some_and(|delsp| delsp.eq_ignore_ascii_case("yes"))
                }),
            name: file_name(disposition.as_ref(), content_type.as_ref()),
            description: (header.text("Content-Description"))
                .map(|text| decode::encoded_words(&text)),
            content_id: identifier(header, "Content-ID"),
            location: identifier(header, "Content-Location"),
            disposition: match &disposition {
                None => Disposition::Unsaid,
                Some(d) if d.ctype().is_empty() || d.ctype().eq_ignore_ascii_case("inline") => {
                    Disposition::Inline
                }
                Some(_) => Disposition::Attachment,
            },
            encoding: TransferEncoding::parse(&encoding),
            odd_encoding: !TransferEncoding::is_known(&encoding),
            id,
            media_type,
            body,
            children: Vec::new(),
            content_type,
        };
        if part.id.is_empty() && boundary.is_none() {
            part.id.push('1');
        }
        if let Some(boundary) = boundary {
            if depth < DEPTH_MAX {
                self.children(&mut part, boundary.as_bytes(), depth);
            } else {
                self.too_deep = true;
                return part;
            }
        }
        if part.children.is_empty() && part.media_type.starts_with("multipart/") {
            // A multipart without parts is text that somebody mislabelled: better shown than lost.
            "text/plain".clone_into(&mut part.media_type);
            if part.id.is_empty() {
                part.id.push('1');
            }
        }
        part
    }

    fn children(&mut self, part: &mut Part, boundary: &[u8], depth: usize) {
        let raw = self.raw;
        let child_type = if part.media_type == "multipart/digest" {
            "message/rfc822"
        } else {
            "text/plain"
        };
        let mut start = None;
        let mut offset = part.body.start;
        let body = raw.get(part.body.clone()).unwrap_or_default();
        for line in body.split_inclusive(|&b| b == b'\n') {
            let next = offset + line.len();
            if let Some(last) = delimiter(line, boundary) {
                if let Some(start) = start.take() {
                    self.child(
                        part,
                        start..line_start(raw, start, offset),
                        child_type,
                        depth,
                    );
                }
                if last {
                    return;
                }
                if self.budget == 0 {
                    self.too_many = true;
                    return;
                }
                start = Some(next);
            }
            offset = next;
        }
        // No closing delimiter: the letter was cut, or its sender cannot count.
        if let Some(start) = start {
            self.child(part, start..offset, child_type, depth);
        }
    }

    fn child(&mut self, part: &mut Part, range: Range<usize>, child_type: &str, depth: usize) {
        if self.budget == 0 {
            self.too_many = true;
            return;
        }
        self.budget -= 1;
        let entity = self.raw.get(range.clone()).unwrap_or_default();
        let header = Header::parse(entity);
        let body = range.start + header.body_start()..range.end;
        let number = part.children.len() + 1;
        let id = if part.id.is_empty() {
            number.to_string()
        } else {
            format!("{}.{number}", part.id)
        };
        let child = self.part(&header, body, child_type, depth + 1, id);
        part.children.push(child);
    }
}

/// Whether a line delimits parts, and if so whether it is the closing one. The whole line must be
/// the boundary, so that one boundary may be the prefix of another; blanks may follow (RFC 2046,
/// section 5.1.1).
fn delimiter(line: &[u8], boundary: &[u8]) -> Option<bool> {
    let rest = line.strip_prefix(b"--")?.strip_prefix(boundary)?;
    match rest.trim_ascii() {
        b"" => Some(false),
        b"--" => Some(true),
        _ => None,
    }
}

/// The line end before a delimiter belongs to the delimiter, not to the part.
fn line_start(raw: &[u8], start: usize, delimiter: usize) -> usize {
    let part = raw.get(start..delimiter).unwrap_or_default();
    let part = part.strip_suffix(b"\n").unwrap_or(part);
    let part = part.strip_suffix(b"\r").unwrap_or(part);
    start + part.len()
}

/// A field with parameters (RFC 2045, section 5.1; RFC 2231), as the MIME library reads it.
pub(super) fn structured(header: &Header<'_>, name: &str) -> Option<ContentType<'static>> {
    let value = header.all(name).next()?;
    let value = value.get(..VALUE_BYTES_MAX).unwrap_or(value);
    let mut text = decode::unfold(value);
    text.push('\n');
    let read = MessageStream::new(text.as_bytes()).parse_content_type();
    match read.into_owned() {
        HeaderValue::ContentType(content_type) => Some(content_type),
        _ => None,
    }
}

/// A parameter, decoded: RFC 2231, and what programs do instead, RFC 2047 within quotes.
fn attribute(field: Option<&ContentType<'_>>, name: &str) -> Option<String> {
    let value = field?.attribute(name)?;
    let value = decode::encoded_words(value);
    (!value.trim().is_empty()).then_some(value)
}

/// The name of a file, from the field that should have it or from one of those that do.
fn file_name(
    disposition: Option<&ContentType<'_>>,
    content_type: Option<&ContentType<'_>>,
) -> Option<String> {
    attribute(disposition, "filename")
        .or_else(|| attribute(content_type, "name"))
        .or_else(|| attribute(disposition, "name"))
        .or_else(|| attribute(content_type, "filename"))
}

/// The value of a field that names a part, without brackets and of no more length than is needed.
fn identifier(header: &Header<'_>, name: &str) -> Option<String> {
    let value = header.text(name)?;
    let value = value.trim().trim_start_matches('<').trim_end_matches('>');
    (!value.is_empty() && value.len() <= IDENTIFIER_BYTES_MAX).then(|| value.to_owned())
}

pub(super) fn media_type(content_type: Option<&ContentType<'_>>, default_type: &str) -> String {
    let Some(content_type) = content_type else {
        return default_type.to_owned();
    };
    let token = |text: &str| {
        !text.is_empty()
            && text.len() <= 127
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
    };
    // RFC 2045, section 5.2: what cannot be read is plain text.
    match content_type.subtype() {
        Some(subtype) if token(content_type.ctype()) && token(subtype) => {
            format!("{}/{subtype}", content_type.ctype()).to_ascii_lowercase()
        }
        _ if content_type.ctype().eq_ignore_ascii_case("text") => "text/plain".to_owned(),
        _ => default_type.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outline(part: &Part, raw: &str, out: &mut String) {
        if part.children.is_empty() {
            let body = raw.get(part.body.clone()).unwrap_or("(cut)");
            out.push_str(&format!("{}={body:?} ", part.media_type));
        } else {
            out.push_str(&format!("{}( ", part.media_type));
            for child in &part.children {
                outline(child, raw, out);
            }
            out.push_str(") ");
        }
    }

    fn check(raw: &str, expected: &str) {
        let walk = walk(raw.as_bytes(), &Header::parse(raw.as_bytes()));
        let mut out = String::new();
        outline(&walk.root, raw, &mut out);
        assert_eq!(out.trim_end(), expected, "{raw:?}");
    }

    #[test]
    fn structures() {
        check("A: 1\n\nhello", r#"text/plain="hello""#);
        check("Content-Type: TEXT/HTML\n\n<p>", r#"text/html="<p>""#);
        check("Content-Type: text\n\nx", r#"text/plain="x""#);
        check("Content-Type: \n\nx", r#"text/plain="x""#);
        let mixed = "Content-Type: multipart/mixed; boundary=b\n\n";
        check(
            &format!(
                "{mixed}preamble\n--b\n\none\n--b \t\nContent-Type: image/png\n\ntwo\n--b--\nepilogue\n--b\n\nx"
            ),
            r#"multipart/mixed( text/plain="one" image/png="two" )"#,
        );
        check(
            &format!("{mixed}--b\n\none\n--bb\n--b--"),
            r#"multipart/mixed( text/plain="one\n--bb" )"#,
        );
        check(
            &format!("{mixed}--b\n\nno end"),
            r#"multipart/mixed( text/plain="no end" )"#,
        );
        check(&format!("{mixed}no parts"), r#"text/plain="no parts""#);
        check(
            "Content-Type: multipart/mixed\n\nno boundary",
            r#"text/plain="no boundary""#,
        );
        check(
            "Content-Type: multipart/digest; boundary=\"d 1\"\n\n--d 1\n\nSubject: x\n\ny\n--d 1--\n",
            r#"multipart/digest( message/rfc822="Subject: x\n\ny" )"#,
        );
        // The outer boundary ends an inner multipart that forgot its own end.
        check(
            &format!(
                "{mixed}--b\nContent-Type: multipart/alternative; boundary=c\n\n--c\n\none\n--b\n\ntwo\n--b--\n"
            ),
            r#"multipart/mixed( multipart/alternative( text/plain="one" ) text/plain="two" )"#,
        );
    }

    #[test]
    fn names() {
        for (fields, name) in [
            (
                "Content-Disposition: attachment; filename=a.txt",
                Some("a.txt"),
            ),
            (
                "Content-Disposition: attachment; filename=\"a b.txt\"",
                Some("a b.txt"),
            ),
            ("Content-Type: text/plain; name=a.txt", Some("a.txt")),
            (
                "Content-Disposition: attachment; filename*=utf-8''M%C3%A4rz.txt",
                Some("März.txt"),
            ),
            (
                "Content-Disposition: attachment;\n filename*0*=utf-8''M%C3%A4;\n filename*1=rz.txt",
                Some("März.txt"),
            ),
            (
                "Content-Type: a/b; name=\"=?utf-8?q?M=C3=A4rz?=\"",
                Some("März"),
            ),
            (
                "Content-Disposition: attachment; filename=\"Mär\"",
                Some("Mär"),
            ),
            ("Content-Disposition: ;filename=x", None),
            ("Content-Disposition:", None),
            ("Content-Disposition: attachment; filename=", None),
        ] {
            let raw = format!("{fields}\n\nx");
            let walk = walk(raw.as_bytes(), &Header::parse(raw.as_bytes()));
            assert_eq!(walk.root.name.as_deref(), name, "{fields}");
        }
    }

    #[test]
    fn bombs() {
        let mut deep = String::new();
        for level in 0..200 {
            deep.push_str(&format!(
                "Content-Type: multipart/mixed; boundary=b{level}\n\n--b{level}\n"
            ));
        }
        let walked = walk(deep.as_bytes(), &Header::parse(deep.as_bytes()));
        assert!(walked.too_deep && !walked.too_many);

        let wide = format!(
            "Content-Type: multipart/mixed; boundary=b\n\n{}",
            "--b\n\n".repeat(50_000)
        );
        let walked = walk(wide.as_bytes(), &Header::parse(wide.as_bytes()));
        assert!(walked.too_many);
        assert_eq!(walked.root.children.len(), PARTS_MAX);
    }
}
