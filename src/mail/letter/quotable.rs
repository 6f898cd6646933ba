//! A letter to be quoted in another: what [`Letter`] says, its HTML made fit to be sent on, and the
//! pictures that this HTML shows.

use super::super::header::Header;
use super::super::html::{self, Outgoing};
use super::super::mime;
use super::Letter;
use super::reader::Reader;
use super::view::part_meant;

/// Most HTML that is quoted, in bytes of its source; of longer letters the text is.
const HTML_BYTES_MAX: usize = 256 << 10;

/// Most pictures that go along with a quotation: a signature's logos and some screenshots.
const PICTURES_MAX: usize = 20;

/// How large these may be together, in bytes once unwrapped.
const PICTURES_BYTES_MAX: usize = 2 << 20;

/// Kinds of pictures in which nothing runs.
const KINDS: [&str; 6] = [
    "image/bmp",
    "image/gif",
    "image/jpeg",
    "image/jpg",
    "image/png",
    "image/webp",
];

/// A letter to be quoted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quotable {
    /// Fields, text and files.
    pub letter: Letter,
    /// Its HTML, with `cid:` and the id of one of [`Self::pictures`] as `src`. `None` if it has
    /// none, or too much.
    pub html: Option<Outgoing>,
    /// The pictures that the HTML shows.
    pub pictures: Vec<Picture>,
}

/// A picture that goes along with a quotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// What HTML calls it, without brackets.
    pub content_id: String,
    /// A safe name.
    pub name: String,
    /// `image/…`.
    pub media_type: String,
    /// The picture, unwrapped.
    pub bytes: Vec<u8>,
}

impl Quotable {
    /// Opens a letter; `whole` as for [`Letter::read`], and the same bounds on work. The pictures
    /// are given ids that end in `suffix`, which is to be unique, ASCII and no more than what a
    /// Message-ID holds.
    #[must_use]
    pub fn read(raw: &[u8], whole: bool, suffix: &str) -> Self {
        let header = Header::parse(raw);
        let walk = mime::walk(raw, &header);
        let mut reader = Reader::new(raw);
        let shown = reader.letter(&walk.root);
        let source = reader.html_source(&shown);
        let mut letter = Letter::finish(&header, &walk, reader, &shown, whole);
        let mut pictures: Vec<Picture> = Vec::new();
        let source = source.filter(|source| source.len() <= HTML_BYTES_MAX);
        let html = source.map(|source| {
            let files = &mut letter.attachments;
            html::outgoing(&source, false, &mut |src| {
                let part = part_meant(files, src)?;
                let content_id = format!("{part}.{suffix}");
                if pictures.iter().any(|known| known.content_id == content_id) {
                    return Some(content_id);
                }
                let file = files.iter().find(|file| file.id == part)?;
                let taken: usize = pictures.iter().map(|known| known.bytes.len()).sum();
                let fits = pictures.len() < PICTURES_MAX
                    && KINDS.contains(&file.media_type.as_str())
                    && file.size as usize <= PICTURES_BYTES_MAX - taken.min(PICTURES_BYTES_MAX)
                    // What ends with the head may be cut.
                    && (whole || file.range.end < raw.len());
                if !fits {
                    return None;
                }
                pictures.push(Picture {
                    content_id: content_id.clone(),
                    name: file.name.clone(),
                    media_type: file.media_type.clone(),
                    bytes: file.encoding.decode(raw.get(file.range.clone())?),
                });
                Some(content_id)
            })
        });
        Self {
            letter,
            html: html.filter(|html| !html.cut),
            pictures,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A letter with a picture that its HTML shows, and a file that it does not.
    const RAW: &str = "From: Ada <a@x.example>\r\nMIME-Version: 1.0\r\n\
        Content-Type: multipart/related; boundary=b\r\n\r\n\
        --b\r\nContent-Type: text/html\r\n\r\n\
        <p onclick=x>Look: <img src=\"cid:one\"><img src=\"cid:one\"><img src=\"cid:two\">\
        <img src=\"https://t.example/p.gif\"></p>\r\n\
        --b\r\nContent-Type: image/png; name=a.png\r\nContent-ID: <one>\r\n\
        Content-Transfer-Encoding: base64\r\n\r\niVBORw==\r\n\
        --b\r\nContent-Type: image/svg+xml; name=b.svg\r\nContent-ID: <two>\r\n\r\n<svg/>\r\n\
        --b--\r\n";

    #[test]
    fn pictures_go_along_once_and_programs_do_not() {
        let read = Quotable::read(RAW.as_bytes(), true, "r.x@mid");
        let html = read.html.unwrap();
        assert_eq!(
            html.as_str().trim(),
            "<p>Look: <img src=\"cid:2.r.x@mid\"><img src=\"cid:2.r.x@mid\"></p>"
        );
        assert_eq!(read.pictures.len(), 1);
        assert_eq!(read.pictures[0].bytes, b"\x89PNG");
        assert_eq!(
            read.letter,
            Letter::read(RAW.as_bytes(), true).shown_in_html("2")
        );
    }

    #[test]
    fn a_picture_that_may_be_cut_stays_behind() {
        let end = RAW.find("--b\r\nContent-Type: image/svg").unwrap();
        let read = Quotable::read(&RAW.as_bytes()[..end - 6], false, "r.x@mid");
        assert!(read.pictures.is_empty());
        assert!(!read.html.unwrap().as_str().contains("cid:"));
    }

    impl Letter {
        /// The same with a note that HTML shows some file.
        fn shown_in_html(mut self, part: &str) -> Self {
            for file in &mut self.attachments {
                file.in_html |= file.id == part || file.id == "3";
            }
            self
        }
    }

    #[test]
    fn much_html_is_quoted_as_text() {
        let raw = format!(
            "Content-Type: text/html\r\n\r\n<p>a</p>{}",
            " ".repeat(HTML_BYTES_MAX)
        );
        let read = Quotable::read(raw.as_bytes(), true, "x");
        assert_eq!(read.html, None);
        assert_eq!(read.letter.body.text(), "a");
    }
}
