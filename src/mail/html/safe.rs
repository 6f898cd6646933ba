//! HTML that can be shown: nothing in it runs, fetches or leaves its place.
//!
//! Two steps that do not trust one another. The first writes the letter anew with known tags,
//! each of them closed, and decides about pictures and links; it bounds what the second gets. The
//! second is ammonia: it reads the result as a browser does and keeps what is on its own list.

use super::character;
use super::fold::{self, Fold};
use super::judge::{self, is_link, is_picture};
use super::style;
use super::token::{Tag, Token};
use super::visible::Visible;
use crate::mail::text::prefix;

/// Most HTML that is read, in bytes. Newsletters have 100 KB; what is longer is a report.
pub const SOURCE_BYTES_MAX: usize = 2 << 20;

/// Largest HTML that is shown, in bytes; with a text as long it fits what clients take for granted
/// as the size of one answer, 4 MiB.
pub const HTML_BYTES_MAX: usize = 1 << 20;

/// Most tags that are shown. Tables of a few thousand rows have as many.
pub const TAGS_MAX: usize = 50_000;

/// Most links that are kept.
pub const LINKS_MAX: usize = 5000;

/// Deepest nesting that is kept; what lies deeper is shown flat. Newsletters reach forty, and
/// letters that were quoted often sixty.
pub const DEPTH_MAX: usize = 100;

/// Longest value of any other attribute, in bytes.
const VALUE_BYTES_MAX: usize = 4 << 10;

/// Elements that are shown.
pub(super) const SHOWN: [&str; 66] = [
    "a",
    "abbr",
    "address",
    "article",
    "aside",
    "b",
    "bdi",
    "bdo",
    "big",
    "blockquote",
    "br",
    "caption",
    "center",
    "cite",
    "code",
    "col",
    "colgroup",
    "dd",
    "del",
    "div",
    "dl",
    "dt",
    "em",
    "figcaption",
    "figure",
    "font",
    "footer",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "hr",
    "i",
    "img",
    "ins",
    "kbd",
    "li",
    "mark",
    "ol",
    "p",
    "pre",
    "q",
    "s",
    "samp",
    "section",
    "small",
    "span",
    "strike",
    "strong",
    "sub",
    "sup",
    "table",
    "tbody",
    "td",
    "tfoot",
    "th",
    "thead",
    "tr",
    "tt",
    "u",
    "ul",
    "var",
    "wbr",
];

/// Elements without content.
const VOID: [&str; 5] = ["br", "col", "hr", "img", "wbr"];

/// Elements that end an open paragraph.
const ENDS_PARAGRAPH: [&str; 23] = [
    "address",
    "article",
    "aside",
    "blockquote",
    "center",
    "div",
    "dl",
    "figure",
    "footer",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "hr",
    "ol",
    "p",
    "pre",
    "section",
    "table",
    "ul",
];

/// The element that is put around a quotation without one. No closing tag of the letter ends it
/// but that of an element around it.
const FOLD: &str = "";

/// Elements beyond which no closing tag reaches.
const BARRIERS: [&str; 4] = ["caption", "table", "td", "th"];

/// Attributes that every element may have, beside `style`.
pub(super) const ATTRIBUTES: [&str; 19] = [
    "align",
    "bgcolor",
    "border",
    "cellpadding",
    "cellspacing",
    "color",
    "colspan",
    "dir",
    "face",
    "height",
    "lang",
    "nowrap",
    "rowspan",
    "size",
    "span",
    "start",
    "title",
    "valign",
    "width",
];

/// HTML made safe, and what was done to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Html {
    /// The HTML: the content of a body element.
    ///
    /// Pictures of the letter have `attachment:` and the id of their part as `src`. Pictures from
    /// elsewhere have none; their address stands in `data-blocked-src`. What was there before has
    /// `data-fold="quote"`, a signature `data-fold="signature"`.
    pub text: String,
    /// How many pictures would have been fetched from elsewhere.
    pub blocked_images: usize,
    /// How many pictures point to a part that the letter does not have.
    pub missing_images: usize,
    /// Whether something was left out because of its amount.
    pub cut: bool,
}

/// Makes HTML safe. `resolve` is asked for the part of the letter that a `src` means, and answers
/// with the part's id.
///
/// The work is linear in the source, of which at most [`SOURCE_BYTES_MAX`] are read.
#[must_use]
pub fn clean(source: &str, resolve: &mut dyn FnMut(&str) -> Option<String>) -> Html {
    rewrite(source, Purpose::Show, resolve)
}

/// HTML that may leave: as safe as what is shown, with pictures and quotations as other programs
/// know them. Only [`outgoing`] makes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outgoing {
    pub(super) text: String,
    /// Whether something was left out because of its amount.
    pub cut: bool,
}

impl Outgoing {
    /// The content of a body element.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// Makes HTML fit to be sent: pictures from elsewhere stay so if they may, and nobody fetches
/// them; `resolve` is asked for the picture that any other `src` means, and answers with the id
/// that it has in the letter to be sent. The same bounds as for [`clean`].
#[must_use]
pub fn outgoing(
    source: &str,
    remote_pictures: bool,
    resolve: &mut dyn FnMut(&str) -> Option<String>,
) -> Outgoing {
    let html = rewrite(source, Purpose::Send { remote_pictures }, resolve);
    Outgoing {
        text: html.text,
        cut: html.cut,
    }
}

/// What HTML is made safe for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// For an agent's screen.
    Show,
    /// For somebody else's mail program.
    Send { remote_pictures: bool },
}

fn rewrite(
    source: &str,
    purpose: Purpose,
    resolve: &mut dyn FnMut(&str) -> Option<String>,
) -> Html {
    let read = prefix(source, SOURCE_BYTES_MAX);
    let mut writer = Writer {
        out: String::with_capacity(read.len().min(HTML_BYTES_MAX)),
        open: Vec::new(),
        fold_behind: None,
        dropped: 0,
        tags: 0,
        links: 0,
        html: Html {
            cut: read.len() < source.len(),
            ..Html::default()
        },
        purpose,
        resolve,
    };
    for token in Visible::of(read) {
        if writer.tags > TAGS_MAX || writer.out.len() > HTML_BYTES_MAX {
            writer.html.cut = true;
            break;
        }
        match token {
            Token::Text(text) => writer.text(text),
            Token::Open(tag) => writer.open(tag),
            Token::Close(name) => writer.close(name),
        }
    }
    writer.fold_behind = None;
    writer.close_down_to(0);
    let text = match purpose {
        Purpose::Show => judge::shown(&writer.out),
        Purpose::Send { .. } => judge::leaving(&writer.out),
    };
    Html {
        text,
        ..writer.html
    }
}

/// Whether an address leads out of the letter.
fn is_remote(address: &str) -> bool {
    let lower = prefix(address, 8).to_ascii_lowercase();
    ["http:", "https:", "//", "ftp:", "file:", "\\\\"]
        .iter()
        .any(|begin| lower.starts_with(begin))
}

struct Writer<'a> {
    out: String,
    /// The open elements, outermost first.
    open: Vec<&'static str>,
    /// Where the element is open behind which quoted history goes on.
    fold_behind: Option<usize>,
    /// Opening tags that were left out because of their depth.
    dropped: usize,
    tags: usize,
    links: usize,
    html: Html,
    purpose: Purpose,
    resolve: &'a mut dyn FnMut(&str) -> Option<String>,
}

impl Writer<'_> {
    /// Text as it is, its references with it; what might be read as a tag is none.
    fn text(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '<' => self.out.push_str("&lt;"),
                '>' => self.out.push_str("&gt;"),
                '\0' => {}
                c => self.out.push(c),
            }
        }
    }

    fn open(&mut self, tag: Tag<'_>) {
        self.tags += 1;
        for (name, value) in tag.attributes() {
            let background = name.eq_ignore_ascii_case("background") && is_remote(&value);
            if background || (name.eq_ignore_ascii_case("style") && style::fetches(&value)) {
                self.html.blocked_images += 1;
            }
        }
        let Some(name) = shown(tag.name) else {
            return;
        };
        self.end_implied(name);
        let void = VOID.contains(&name);
        if !void && self.open.len() >= DEPTH_MAX {
            self.dropped += 1;
            return;
        }
        let mut marks = "";
        let shows = self.purpose == Purpose::Show;
        match fold::of(tag) {
            Some(Fold::Quote) if !shows && name == "blockquote" => marks = " type=\"cite\"",
            // What is folded on the screen is for the recipient's program to find out.
            Some(_) if !shows => {}
            // Outlook may put nothing but the fields into an element of their own.
            Some(Fold::QuoteFromHere) if self.out.ends_with("<div>") => {
                self.fold_behind = self.open.len().checked_sub(1);
                marks = " data-fold=\"quote\"";
            }
            Some(Fold::QuoteFromHere) => self.open_fold(),
            Some(Fold::Quote) => marks = " data-fold=\"quote\"",
            Some(Fold::Signature) => marks = " data-fold=\"signature\"",
            None => {}
        }
        if let ("img", Purpose::Send { remote_pictures }) = (name, self.purpose) {
            self.send_picture(tag, remote_pictures);
            return;
        }
        self.out.push('<');
        self.out.push_str(name);
        self.out.push_str(marks);
        self.attributes(name, tag);
        self.out.push('>');
        if !void {
            self.open.push(name);
        }
    }

    /// All that follows in the same element belongs to the quotation.
    fn open_fold(&mut self) {
        if !self.open.contains(&FOLD) {
            self.out.push_str("<div data-fold=\"quote\">");
            self.open.push(FOLD);
        }
    }

    fn attributes(&mut self, element: &'static str, tag: Tag<'_>) {
        for (name, value) in tag.attributes() {
            let name = name.to_ascii_lowercase();
            match (element, name.as_str()) {
                ("img", "src") => self.picture(&value),
                _ if value.len() > VALUE_BYTES_MAX => {}
                ("a", "href") => self.link(&value),
                (_, "style") => {
                    let kept = style::filter(&value);
                    if !kept.is_empty() {
                        self.attribute("style", &kept);
                    }
                }
                ("img", "alt") => self.attribute("alt", &value),
                (_, name) => {
                    if let Some(known) = ATTRIBUTES.into_iter().find(|known| *known == name) {
                        self.attribute(known, &value);
                    }
                }
            }
        }
    }

    fn link(&mut self, value: &str) {
        // Browsers skip control characters and blanks in addresses, so do the tricks.
        let address: String = (value.chars())
            .filter(|c| !c.is_control() && !c.is_whitespace())
            .collect();
        if !is_link(&address) {
            return;
        }
        self.links += 1;
        if self.links > LINKS_MAX {
            self.html.cut = true;
            return;
        }
        self.attribute("href", &address);
    }

    fn picture(&mut self, value: &str) {
        let address = value.trim();
        if address.is_empty() {
        } else if is_remote(address) {
            self.html.blocked_images += 1;
            if address.len() <= VALUE_BYTES_MAX {
                self.attribute("data-blocked-src", address);
            }
        } else if is_picture(address) {
            self.attribute("src", address);
        } else if let Some(id) = (self.resolve)(prefix(address, VALUE_BYTES_MAX)) {
            self.attribute("src", &format!("attachment:{id}"));
        } else {
            self.html.missing_images += 1;
        }
    }

    /// A picture of a letter that is sent; what it is called in words if it cannot be shown, because
    /// an empty one is drawn as broken.
    fn send_picture(&mut self, tag: Tag<'_>, remote: bool) {
        let src = tag.attribute("src").unwrap_or_default();
        let src = src.trim();
        let found = if is_remote(src) {
            (remote && src.len() <= VALUE_BYTES_MAX).then(|| src.to_owned())
        } else if is_picture(src) {
            Some(src.to_owned())
        } else {
            (self.resolve)(prefix(src, VALUE_BYTES_MAX)).map(|id| format!("cid:{id}"))
        };
        let Some(found) = found else {
            if let Some(alt) = tag.attribute("alt") {
                character::escape(prefix(&alt, VALUE_BYTES_MAX), &mut self.out);
            }
            return;
        };
        self.out.push_str("<img");
        self.attribute("src", &found);
        for (name, value) in tag.attributes() {
            let name = name.to_ascii_lowercase();
            match name.as_str() {
                _ if value.len() > VALUE_BYTES_MAX => {}
                "style" => self.attribute("style", &style::filter(&value)),
                "alt" | "width" | "height" | "title" => self.attribute(&name, &value),
                _ => {}
            }
        }
        self.out.push('>');
    }

    fn attribute(&mut self, name: &str, value: &str) {
        self.out.push(' ');
        self.out.push_str(name);
        self.out.push_str("=\"");
        character::escape(value, &mut self.out);
        self.out.push('"');
    }

    /// Ends what the author did not close because browsers know that it ends here.
    fn end_implied(&mut self, opening: &str) {
        let (ended, within): (&[&str], &[&str]) = match opening {
            "li" => (&["li"], &["ul", "ol", "table", "td", "th"]),
            "dt" | "dd" => (&["dt", "dd"], &["dl", "table", "td", "th"]),
            "td" | "th" => (&["td", "th", "caption"], &["tr", "table"]),
            "tr" => (&["tr", "caption", "colgroup"], &["table"]),
            "thead" | "tbody" | "tfoot" => (
                &["thead", "tbody", "tfoot", "caption", "colgroup"],
                &["table"],
            ),
            "a" => (&["a"], &BARRIERS),
            _ if ENDS_PARAGRAPH.contains(&opening) => (&["p"], &BARRIERS),
            _ => return,
        };
        let begin = (self.open.iter())
            .rposition(|name| within.contains(name))
            .map_or(0, |at| at + 1);
        let above = self.open.get(begin..).unwrap_or_default();
        if let Some(at) = above.iter().position(|name| ended.contains(name)) {
            self.close_down_to(begin + at);
        }
    }

    fn close(&mut self, name: &str) {
        if name.eq_ignore_ascii_case("br") {
            self.out.push_str("<br>");
            return;
        }
        let Some(name) = shown(name).filter(|name| !VOID.contains(name)) else {
            return;
        };
        if self.dropped > 0 {
            self.dropped -= 1;
            return;
        }
        let table = matches!(
            name,
            "caption" | "colgroup" | "table" | "tbody" | "td" | "tfoot" | "th" | "thead" | "tr"
        );
        for (at, open) in self.open.iter().enumerate().rev() {
            if *open == name {
                self.close_down_to(at);
                return;
            }
            if *open == "table" || (!table && BARRIERS.contains(open)) {
                return;
            }
        }
    }

    fn close_down_to(&mut self, depth: usize) {
        while self.open.len() > depth
            && let Some(name) = self.open.pop()
        {
            self.out.push_str("</");
            self.out.push_str(if name == FOLD { "div" } else { name });
            self.out.push('>');
        }
        if self.fold_behind.is_some_and(|at| at >= depth) && self.fold_behind.take() == Some(depth)
        {
            self.open_fold();
        }
    }
}

fn shown(name: &str) -> Option<&'static str> {
    let mut all = SHOWN.into_iter();
    all.find(|known| name.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests;
