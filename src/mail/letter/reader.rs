//! What of a letter's parts is shown and what is a file.

use super::super::decode;
use super::super::html;
use super::super::mime::{Disposition, Part};
use super::super::text::{clean_body, prefix};
use super::attachment::{Attachment, tell_apart};
use super::protection::{self, Protection};
use super::{Body, TEXT_BYTES_MAX};

/// Longest plain text that may be nothing but the advice to read the HTML beside it, in bytes.
const ADVICE_BYTES_MAX: usize = 400;

/// Text that is shown, in one or both of its renditions.
#[derive(Debug, Default)]
pub(super) struct Shown<'a> {
    plain: Option<String>,
    html: Vec<&'a Part>,
}

pub(super) struct Reader<'a> {
    raw: &'a [u8],
    pub(super) attachments: Vec<Attachment>,
    pub(super) protections: Vec<Protection>,
    /// Whether some part claims a wrapping that nobody knows.
    pub(super) odd_encoding: bool,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(raw: &'a [u8]) -> Self {
        Self {
            raw,
            attachments: Vec::new(),
            protections: Vec::new(),
            odd_encoding: false,
        }
    }

    /// What the whole letter shows. A letter that is a single text shows it, even if the text has
    /// a name.
    pub(super) fn letter(&mut self, root: &'a Part) -> Vec<Shown<'a>> {
        let single = root.children.is_empty() && root.disposition != Disposition::Attachment;
        match root.media_type.as_str() {
            "text/plain" if single => self.plain(root),
            "text/html" if single => self.html(root),
            _ => self.read(root, false),
        }
    }

    /// What of a part is shown, in order; files are put on the list on the way. `related` says
    /// that the part belongs to the text beside it (RFC 2387).
    fn read(&mut self, part: &'a Part, related: bool) -> Vec<Shown<'a>> {
        if let Some(protection) = protection::of(part) {
            self.protections.push(protection);
        }
        match part.media_type.as_str() {
            "multipart/alternative" => self.best(&part.children),
            "multipart/related" => {
                let mut shown = Vec::new();
                for (at, child) in part.children.iter().enumerate() {
                    shown.extend(self.read(child, at > 0));
                }
                shown
            }
            _ if !part.children.is_empty() => {
                let children = part.children.iter();
                children.flat_map(|child| self.read(child, false)).collect()
            }
            _ if part.is_shown_text("plain") && !related => self.plain(part),
            _ if part.is_shown_text("html") && !related => self.html(part),
            _ => {
                self.odd_encoding |= part.odd_encoding;
                let mut file = Attachment::of(part, self.raw, related);
                file.name = tell_apart(file.name, &self.attachments);
                self.attachments.push(file);
                Vec::new()
            }
        }
    }

    fn plain(&mut self, part: &'a Part) -> Vec<Shown<'a>> {
        self.odd_encoding |= part.odd_encoding;
        let text = self.text(part);
        self.protections.extend(protection::in_text(&text));
        vec![Shown {
            plain: Some(text),
            html: Vec::new(),
        }]
    }

    fn html(&mut self, part: &'a Part) -> Vec<Shown<'a>> {
        self.odd_encoding |= part.odd_encoding;
        vec![Shown {
            plain: None,
            html: vec![part],
        }]
    }

    /// Renditions of the same: the first plain one and the first HTML one that say anything.
    /// Renditions nobody here reads are files, but for those that are HTML once more, for clocks
    /// or for pages that run (AMP).
    fn best(&mut self, children: &'a [Part]) -> Vec<Shown<'a>> {
        let mut html: Vec<Shown<'a>> = Vec::new();
        let mut plain: Vec<Shown<'a>> = Vec::new();
        for child in children {
            if matches!(
                child.media_type.as_str(),
                "text/x-amp-html" | "text/watch-html"
            ) {
                continue;
            }
            let shown = self.read(child, false);
            let rich = shown
                .iter()
                .any(|s| s.html.iter().any(|part| self.says(part)));
            let place = if rich { &mut html } else { &mut plain };
            if place.is_empty() && shown.iter().any(|s| rich || s.says()) {
                *place = shown;
            }
        }
        if html.is_empty() {
            return plain;
        }
        let text: Vec<String> = plain.into_iter().filter_map(|s| s.plain).collect();
        let text = Some(text.join("\n\n")).filter(|text| !text.is_empty());
        let size: usize = (html.iter())
            .flat_map(|s| &s.html)
            .map(|part| part.body.len())
            .sum();
        match text {
            Some(text) if !is_advice(&text, size) => {
                // Of HTML in pieces, with files between them, the plain text says it all once.
                let parts = html.into_iter().flat_map(|shown| shown.html);
                vec![Shown {
                    plain: Some(text),
                    html: parts.collect(),
                }]
            }
            _ => html,
        }
    }

    /// Whether a part holds anything but blanks.
    fn says(&self, part: &Part) -> bool {
        let body = self.raw.get(part.body.clone()).unwrap_or_default();
        !body.trim_ascii().is_empty()
    }

    /// The text of a part, decoded.
    pub(super) fn text(&self, part: &Part) -> String {
        let wrapped = self.raw.get(part.body.clone()).unwrap_or_default();
        // Wrapping triples a text at most; what is cut here would be cut below.
        let wrapped = wrapped.get(..TEXT_BYTES_MAX * 3 + 3).unwrap_or(wrapped);
        let text = decode::charset(part.charset.as_deref(), &part.encoding.decode(wrapped));
        match part.flowed {
            Some(delsp) => decode::unflow(&text, delsp),
            None => text,
        }
    }

    /// The text to read, from whichever rendition has it.
    pub(super) fn body(&self, shown: &[Shown<'a>]) -> Body {
        let mut body = Body::default();
        for piece in shown {
            let room = TEXT_BYTES_MAX.saturating_sub(body.text.len());
            let plain = match &piece.plain {
                Some(plain) => clean_body(plain),
                None => {
                    let mut text = String::new();
                    for part in &piece.html {
                        let source = self.text(part);
                        body.truncated |= source.len() > TEXT_BYTES_MAX;
                        text.push_str(&html::to_text(prefix(&source, TEXT_BYTES_MAX)));
                    }
                    clean_body(&text)
                }
            };
            if plain.trim().is_empty() {
                continue;
            }
            body.from_html |= piece.plain.is_none();
            if room == 0 {
                body.truncated = true;
                break;
            }
            if !body.text.is_empty() {
                body.text.push_str("\n\n");
            }
            body.truncated |= plain.len() > room;
            body.text.push_str(prefix(&plain, room));
        }
        body
    }

    /// The HTML to show, as it came; `None` if no part is HTML. Plain text between pieces of HTML
    /// is put in.
    pub(super) fn html_source(&self, shown: &[Shown<'a>]) -> Option<String> {
        if shown.iter().all(|piece| piece.html.is_empty()) {
            return None;
        }
        let mut source = String::new();
        for piece in shown {
            if source.len() > html::SOURCE_BYTES_MAX {
                break;
            }
            for part in &piece.html {
                source.push_str(&self.text(part));
                source.push('\n');
            }
            if let (Some(plain), true) = (&piece.plain, piece.html.is_empty()) {
                source.push_str("<div style=\"white-space:pre-wrap\">");
                source.push_str(&plain.replace('&', "&amp;").replace('<', "&lt;"));
                source.push_str("</div>\n");
            }
        }
        Some(source)
    }
}

impl Shown<'_> {
    fn says(&self) -> bool {
        self.plain
            .as_ref()
            .is_some_and(|text| !text.trim().is_empty())
    }
}

/// Whether a text says nothing but that the HTML beside it should be read.
fn is_advice(text: &str, html_bytes: usize) -> bool {
    text.len() <= ADVICE_BYTES_MAX
        && html_bytes > 2 * text.len()
        && text.to_lowercase().contains("html")
}
