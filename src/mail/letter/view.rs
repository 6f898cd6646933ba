//! A letter opened on an agent's screen: what [`Letter`] says, and the HTML made safe.
//!
//! Apart from [`Letter`], because it costs more and is wanted when somebody looks, not when a
//! letter arrives.

use super::super::header::Header;
use super::super::html::{self, Html};
use super::super::mime;
use super::attachment::Attachment;
use super::reader::Reader;
use super::{Letter, Notice};

/// A letter and what is shown of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// Fields, text and files.
    pub letter: Letter,
    /// The HTML, if the letter has any.
    pub html: Option<Html>,
}

impl View {
    /// Opens a letter; `whole` as for [`Letter::read`], and the same bounds on work.
    #[must_use]
    pub fn read(raw: &[u8], whole: bool) -> Self {
        let header = Header::parse(raw);
        let walk = mime::walk(raw, &header);
        let mut reader = Reader::new(raw);
        let shown = reader.letter(&walk.root);
        let source = reader.html_source(&shown);
        let mut letter = Letter::finish(&header, &walk, reader, &shown, whole);
        let html = source.map(|source| {
            let files = &mut letter.attachments;
            html::clean(&source, &mut |src| part_meant(files, src))
        });
        if html.as_ref().is_some_and(|html| html.cut) {
            letter.notices.push(Notice::HtmlCut);
        }
        Self { letter, html }
    }
}

/// The part that HTML means by `src`, and the note that it is shown there.
///
/// Of several with one id the first counts, as in most programs; the others stay files. Parts of
/// an attached letter are none of these, because an attached letter is not opened.
fn part_meant(files: &mut [Attachment], src: &str) -> Option<String> {
    let cid = src
        .get(..4)
        .filter(|scheme| scheme.eq_ignore_ascii_case("cid:"))
        .and_then(|_| src.get(4..));
    let cid = cid.map(|cid| percent_decoded(cid.trim_matches(['<', '>'])));
    let file = files
        .iter_mut()
        .find(|file| file.is_meant(src, cid.as_deref()))?;
    file.in_html = true;
    Some(file.id.clone())
}

/// RFC 2392, section 2: in an address, what is not plain of an id is written as `%40`.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let hex = |digit: &u8| {
            char::from(*digit)
                .to_digit(16)
                .and_then(|d| u8::try_from(d).ok())
        };
        match (byte, tail) {
            (b'%', [high, low, after @ ..]) if hex(high).is_some() && hex(low).is_some() => {
                bytes.push(hex(high).unwrap_or_default() << 4 | hex(low).unwrap_or_default());
                rest = after;
            }
            _ => {
                bytes.push(byte);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
