//! A letter opened on an agent's screen: what [`Letter`] says, and the HTML made safe.
//!
//! Apart from [`Letter`], because it costs more and is wanted when somebody looks, not when a
//! letter arrives.

use super::super::calendar::{self, Event};
use super::super::decode;
use super::super::header::Header;
use super::super::html::{self, Html};
use super::super::mime;
use super::super::tnef;
use super::attachment::{Attachment, Inner};
use super::opaque;
use super::reader::Reader;
use super::{Letter, Notice, Protection};

/// Largest file that is opened to see what is in it, in bytes once unwrapped.
const OPENED_BYTES_MAX: usize = 48 << 20;

/// A letter and what is shown of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// Fields, text and files.
    pub letter: Letter,
    /// The HTML, if the letter has any.
    pub html: Option<Html>,
    /// The event, if the letter is an invitation or the answer to one.
    pub event: Option<Event>,
}

impl View {
    /// Opens a letter; `whole` as for [`Letter::read`], and the same bounds on work.
    #[must_use]
    pub fn read(raw: &[u8], whole: bool) -> Self {
        let mut view = Self::outside(raw, whole, true);
        view.open_winmail(raw);
        view.open_signature(raw);
        let mut files = view.letter.attachments.iter();
        view.event = files
            .find(|file| is_calendar(file))
            .and_then(|file| calendar::read(&decode::charset(None, &unwrapped(raw, file)?)));
        view
    }

    /// What is shown without looking into files. `reachable` says that its parts can be asked for,
    /// so that HTML may point to them.
    fn outside(raw: &[u8], whole: bool, reachable: bool) -> Self {
        let header = Header::parse(raw);
        let walk = mime::walk(raw, &header);
        let mut reader = Reader::new(raw);
        let shown = reader.letter(&walk.root);
        let source = reader.html_source(&shown);
        let mut letter = Letter::finish(&header, &walk, reader, &shown, whole);
        let html = source.map(|source| {
            let files = &mut letter.attachments;
            html::clean(&source, &mut |src| {
                reachable.then(|| part_meant(files, src)).flatten()
            })
        });
        if html.as_ref().is_some_and(|html| html.cut) {
            letter.notices.push(Notice::HtmlCut);
        }
        Self {
            letter,
            html,
            event: None,
        }
    }

    /// Lists what is in a `winmail.dat`, and shows its text if the letter has none.
    fn open_winmail(&mut self, raw: &[u8]) {
        let mut files = self.letter.attachments.iter_mut();
        let Some(file) = files.find(|file| is_winmail(file)) else {
            return;
        };
        let Some(contents) = unwrapped(raw, file).and_then(|bytes| tnef::read(&bytes)) else {
            return;
        };
        file.contents = (contents.files.into_iter())
            .map(|(name, size)| Inner { name, size })
            .collect();
        if let Some(text) = contents.text
            && self.letter.body.text().is_empty()
        {
            self.letter.show(&text);
        }
    }

    /// Shows the letter within an S/MIME signature. One level: a letter that is signed twice stays
    /// a file.
    fn open_signature(&mut self, raw: &[u8]) {
        if !self.letter.protections.contains(&Protection::SmimeOpaque) {
            return;
        }
        let mut files = self.letter.attachments.iter_mut();
        let Some(file) = files.find(|file| file.media_type.ends_with("pkcs7-mime")) else {
            return;
        };
        let Some(inner) = unwrapped(raw, file).and_then(|bytes| opaque::content(&bytes)) else {
            return;
        };
        let inside = Self::outside(&inner, true, false);
        let files = inside.letter.attachments.into_iter();
        file.contents = files
            .map(|file| Inner {
                name: file.name,
                size: file.size,
            })
            .collect();
        if self.letter.body.text().is_empty() {
            self.letter.show(inside.letter.body.text());
            self.letter.body.from_html = inside.letter.body.from_html;
            self.html = inside.html;
        }
    }
}

fn is_calendar(file: &Attachment) -> bool {
    matches!(
        file.media_type.as_str(),
        "text/calendar" | "application/ics"
    )
}

fn is_winmail(file: &Attachment) -> bool {
    matches!(
        file.media_type.as_str(),
        "application/ms-tnef" | "application/vnd.ms-tnef"
    ) || file.name.eq_ignore_ascii_case("winmail.dat")
}

/// The bytes of a file, unless it is too large to be opened.
fn unwrapped(raw: &[u8], file: &Attachment) -> Option<Vec<u8>> {
    let wrapped = raw.get(file.range.clone())?;
    (file.size <= OPENED_BYTES_MAX as u64).then(|| file.encoding.decode(wrapped))
}

/// The part that HTML means by `src`, and the note that it is shown there.
///
/// Of several with one id the first counts, as in most programs; the others stay files. Parts of
/// an attached letter are none of these, because an attached letter is not opened.
pub(super) fn part_meant(files: &mut [Attachment], src: &str) -> Option<String> {
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
