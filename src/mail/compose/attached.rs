//! Attached files: a composed letter with files beside it, as pieces that are put together elsewhere,
//! because the files are not in memory.

use super::Composed;
use super::fields::field;
use super::file::{head, plain_type};
use crate::mail::message_id::InternetMessageId;

/// A file to be attached. What is not fit for a header field is refused where it is announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    /// Its name, safe to save under.
    pub name: String,
    /// `type/subtype`.
    pub content_type: String,
    /// What HTML calls it, if it is shown within the text.
    pub content_id: Option<String>,
}

/// A piece of a letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// These bytes.
    Bytes(Vec<u8>),
    /// The file of this number, in lines of base 64 that end in CR LF.
    File(usize),
}

impl Composed {
    /// The letter with files: those that its HTML may show with it, the rest behind it.
    #[must_use]
    pub fn attach(self, id: &InternetMessageId, files: &[Attached]) -> Vec<Piece> {
        let mut head = self.bytes;
        let body = head.split_off(self.body_start.min(head.len()));
        let inner_type = content_type(&body);
        // Beside a text that cannot show them, pictures would not be seen at all.
        let html = inner_type != "text/plain";
        // What was composed says so itself, and what is around it must say it too (RFC 2045, 6.4).
        let eight_bit = !body.is_ascii();
        let mut pieces = Pieces {
            done: Vec::new(),
            open: head,
        };
        let (shown, beside): (Vec<_>, Vec<_>) =
            (files.iter().enumerate()).partition(|(_, file)| file.content_id.is_some() && html);
        let mixed = boundary(id, 'm');
        if !beside.is_empty() {
            pieces.begin("multipart/mixed", &mixed, eight_bit);
        }
        let related = boundary(id, 'r');
        if shown.is_empty() {
            pieces.open.extend_from_slice(&body);
        } else {
            let kind = format!("multipart/related;\r\n type=\"{inner_type}\"");
            pieces.begin(&kind, &related, eight_bit);
            pieces.open.extend_from_slice(&body);
            pieces.files(&related, &shown);
        }
        pieces.files(&mixed, &beside);
        pieces.cut();
        pieces.done
    }
}

struct Pieces {
    done: Vec<Piece>,
    open: Vec<u8>,
}

impl Pieces {
    /// The fields of a part that holds others, and the line before the first of them.
    fn begin(&mut self, kind: &str, boundary: &str, eight_bit: bool) {
        let kind = format!("{kind};\r\n boundary=\"{boundary}\"");
        field(&mut self.open, "Content-Type", &kind);
        if eight_bit {
            field(&mut self.open, "Content-Transfer-Encoding", "8bit");
        }
        self.open
            .extend_from_slice(format!("\r\n--{boundary}\r\n").as_bytes());
    }

    /// Files, each as a part, and the end of what holds them; nothing if there are none.
    fn files(&mut self, boundary: &str, files: &[(usize, &Attached)]) {
        if files.is_empty() {
            return;
        }
        for (at, file) in files {
            self.open
                .extend_from_slice(format!("\r\n--{boundary}\r\n").as_bytes());
            let (kind, id) = (plain_type(&file.content_type), file.content_id.as_deref());
            head(&mut self.open, kind, &file.name, id);
            field(&mut self.open, "Content-Transfer-Encoding", "base64");
            self.open.extend_from_slice(b"\r\n");
            self.cut();
            self.done.push(Piece::File(*at));
        }
        self.open
            .extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    }

    fn cut(&mut self) {
        let open = std::mem::take(&mut self.open);
        if !open.is_empty() {
            self.done.push(Piece::Bytes(open));
        }
    }
}

/// The type in the fields before a body, without its parameters.
fn content_type(body: &[u8]) -> String {
    let fields = body.get(..body.len().min(200)).unwrap_or_default();
    let fields = String::from_utf8_lossy(fields);
    let value = fields
        .strip_prefix("Content-Type: ")
        .unwrap_or("text/plain");
    value
        .split([';', '\r'])
        .next()
        .unwrap_or("text/plain")
        .to_owned()
}

/// A line that is in no part: the id is new and random.
fn boundary(id: &InternetMessageId, kind: char) -> String {
    let unique = id.as_str().bytes().filter(u8::is_ascii_alphanumeric);
    let unique: String = unique.take(48).map(char::from).collect();
    format!("=_{kind}{unique}")
}

#[cfg(test)]
mod tests {
    use data_encoding::BASE64_MIME;

    use super::*;
    use crate::mail::letter::Letter;

    fn file(name: &str, content_type: &str, content_id: Option<&str>) -> Attached {
        Attached {
            name: name.to_owned(),
            content_type: content_type.to_owned(),
            content_id: content_id.map(str::to_owned),
        }
    }

    /// A letter with files, each of which holds its own number.
    fn written(body: &str, files: &[Attached]) -> String {
        let head = "From: anna@shop.example\r\nMIME-Version: 1.0\r\n";
        let letter = Composed {
            bytes: [head, body].concat().into_bytes(),
            body_start: head.len(),
            subject: String::new(),
            needs_smtputf8: false,
        };
        let id = InternetMessageId::parse("0a1b2c3d@shop.example").unwrap();
        let mut out = Vec::new();
        for piece in letter.attach(&id, files) {
            match piece {
                Piece::Bytes(bytes) => out.extend_from_slice(&bytes),
                Piece::File(at) => {
                    let lines = BASE64_MIME.encode(format!("file {at}").as_bytes());
                    out.extend_from_slice(lines.as_bytes());
                }
            }
        }
        String::from_utf8(out).unwrap()
    }

    const TEXT: &str = "Content-Type: text/plain; charset=utf-8\r\n\
                        Content-Transfer-Encoding: 7bit\r\n\r\nHello.\r\n";

    #[test]
    fn files_are_read_as_they_were_named() {
        let long = format!("{}.pdf", "Anlage ".repeat(25).trim_end());
        let names = ["lamp.pdf", "Rechnung März.pdf", "a b=c;d'e.txt", &long];
        let files = names.map(|name| file(name, "application/pdf", None));
        let letter = written(TEXT, &files);
        assert!(
            letter.split("\r\n").all(|line| line.len() <= 78),
            "{letter}"
        );
        let read = Letter::read(letter.as_bytes(), true);
        assert_eq!(read.body.text().trim(), "Hello.");
        let found: Vec<&str> = read
            .attachments
            .iter()
            .map(|file| file.name.as_str())
            .collect();
        assert_eq!(found, names);
        let sizes: Vec<u64> = read.attachments.iter().map(|file| file.size).collect();
        assert_eq!(sizes, [6, 6, 6, 6]);
    }

    #[test]
    fn pictures_stand_with_the_text_that_shows_them() {
        let files = [
            file("a.pdf", "application/pdf", None),
            file("logo.png", "image/png", Some("logo@shop")),
        ];
        let body = "Content-Type: multipart/alternative; boundary=a\r\n\r\n--a\r\n\
                    Content-Type: text/html\r\n\r\n<p>Hello.</p><img src=\"cid:logo@shop\">\r\n--a--\r\n";
        let letter = written(body, &files);
        let order: Vec<usize> = [
            "multipart/mixed",
            "multipart/related",
            "Hello.",
            "<logo@shop>",
        ]
        .iter()
        .chain(&["a.pdf"])
        .map(|text| letter.find(text).unwrap())
        .collect();
        assert!(order.is_sorted(), "{letter}");
        assert!(
            letter.contains(" type=\"multipart/alternative\";\r\n"),
            "{letter}"
        );
        let read = Letter::read(letter.as_bytes(), true);
        let found: Vec<_> = (read.attachments.iter())
            .map(|file| (file.name.as_str(), file.inline, file.content_id.as_deref()))
            .collect();
        assert_eq!(
            found,
            [
                ("logo.png", true, Some("logo@shop")),
                ("a.pdf", false, None)
            ]
        );
        // Only pictures: nothing is mixed.
        assert!(!written(body, &files[1..]).contains("mixed"));
        assert!(!written(TEXT, &files[1..]).contains("related"));
    }

    #[test]
    fn what_may_not_be_wrapped_goes_as_bytes() {
        let files = [
            file("a.eml", "message/rfc822", None),
            file("b", "multipart/mixed", None),
        ];
        let letter = written(TEXT, &files);
        assert_eq!(letter.matches("application/octet-stream").count(), 2);
        assert!(!letter.contains("message/rfc822"));
        assert!(!letter.contains("8bit"));
        // What is around says what is within.
        let eight = TEXT.replace("7bit", "8bit").replace("Hello", "Grüße");
        assert_eq!(written(&eight, &files).matches("8bit").count(), 2);
    }
}
