//! HTML that can be shown: nothing in it runs, fetches or leaves its place.
//!
//! Two steps that do not trust one another. The first writes the letter anew with known tags,
//! each of them closed, and decides about pictures and links; it bounds what the second gets. The
//! second is ammonia: it reads the result as a browser does and keeps what is on its own list.

use std::borrow::Cow;
use std::sync::LazyLock;

use super::character;
use super::fold::{self, Fold};
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

/// Largest picture that may stand in the HTML itself (RFC 2397), in bytes.
const DATA_BYTES_MAX: usize = 256 << 10;

/// Longest value of any other attribute, in bytes.
const VALUE_BYTES_MAX: usize = 4 << 10;

/// Elements that are shown.
const SHOWN: [&str; 66] = [
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
const ATTRIBUTES: [&str; 19] = [
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

/// Where a link may lead.
const LINK_SCHEMES: [&str; 4] = ["http", "https", "mailto", "tel"];

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
    let read = prefix(source, SOURCE_BYTES_MAX);
    let mut writer = Writer {
        out: String::with_capacity(read.len().min(HTML_BYTES_MAX)),
        open: Vec::new(),
        dropped: 0,
        tags: 0,
        links: 0,
        html: Html {
            cut: read.len() < source.len(),
            ..Html::default()
        },
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
    writer.close_down_to(0);
    Html {
        text: JUDGE.clean(&writer.out).to_string(),
        ..writer.html
    }
}

/// What decides in the end. It repeats the lists above, and trusts nothing that the first step
/// decided about addresses.
static JUDGE: LazyLock<ammonia::Builder<'static>> = LazyLock::new(|| {
    let mut judge = ammonia::Builder::empty();
    judge
        .add_tags(SHOWN)
        .add_generic_attributes(ATTRIBUTES)
        .add_generic_attributes(["style", "data-fold"])
        .add_tag_attributes("a", ["href"])
        .add_tag_attributes("img", ["src", "alt", "data-blocked-src"])
        .add_url_schemes(LINK_SCHEMES)
        .add_url_schemes(["attachment", "data"])
        .add_clean_content_tags(["script", "style", "title"])
        .url_relative(ammonia::UrlRelative::Deny)
        .link_rel(Some("noopener noreferrer nofollow"))
        .attribute_filter(|element, attribute, value| match (element, attribute) {
            ("a", "href") => is_link(value).then_some(Cow::Borrowed(value)),
            ("img", "src") => (is_part(value) || is_picture(value)).then_some(Cow::Borrowed(value)),
            (_, "href" | "src") => None,
            (_, "style") => Some(style::filter(value).into()),
            _ => Some(Cow::Borrowed(value)),
        });
    judge
});

/// Whether an address is one that people may follow.
fn is_link(address: &str) -> bool {
    let scheme = address.split_once(':').map(|(scheme, _)| scheme);
    scheme.is_some_and(|scheme| {
        (LINK_SCHEMES.iter()).any(|allowed| scheme.eq_ignore_ascii_case(allowed))
    })
}

/// Whether an address is a part of the letter.
fn is_part(address: &str) -> bool {
    address
        .strip_prefix("attachment:")
        .is_some_and(|id| id.bytes().all(|b| b.is_ascii_digit() || b == b'.'))
}

/// Whether an address is itself a picture, of a kind in which nothing runs (RFC 2397).
fn is_picture(address: &str) -> bool {
    const KINDS: [&str; 6] = ["png", "jpeg", "jpg", "gif", "webp", "bmp"];
    let Some((kind, data)) = address.split_once(',') else {
        return false;
    };
    let kind = kind.to_ascii_lowercase();
    address.len() <= DATA_BYTES_MAX
        && (kind.strip_prefix("data:image/"))
            .and_then(|kind| kind.strip_suffix(";base64"))
            .is_some_and(|kind| KINDS.contains(&kind))
        && data
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'='))
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
    /// Opening tags that were left out because of their depth.
    dropped: usize,
    tags: usize,
    links: usize,
    html: Html,
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
        match fold::of(tag) {
            // All that follows in the same element belongs to the quotation.
            Some(Fold::QuoteFromHere) => {
                self.out.push_str("<div data-fold=\"quote\">");
                self.open.push(FOLD);
            }
            Some(Fold::Quote) => marks = " data-fold=\"quote\"",
            Some(Fold::Signature) => marks = " data-fold=\"signature\"",
            None => {}
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
    }
}

fn shown(name: &str) -> Option<&'static str> {
    let mut all = SHOWN.into_iter();
    all.find(|known| name.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn safe(html: &str) -> Html {
        clean(html, &mut |src| {
            (src == "cid:logo").then(|| "1.2".to_owned())
        })
    }

    #[test]
    fn what_is_shown() {
        for (html, shown) in [
            ("plain & &lt;b&gt; <3", "plain &amp; &lt;b&gt; &lt;3"),
            ("<p>a<p>b", "<p>a</p><p>b</p>"),
            ("<b><i>a</b>b</i>", "<b><i>a</i></b>b"),
            ("<ul><li>a<li>b</ul>", "<ul><li>a</li><li>b</li></ul>"),
            (
                "<table><tr><td>a<td>b<tr><td>c</table>",
                "<table><tbody><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></tbody></table>",
            ),
            ("<div class=x id=y data-z=1>a</div>", "<div>a</div>"),
            (
                "<font color=red style='color:#f00;position:fixed'>a</font>",
                "<font color=\"red\" style=\"color:#f00\">a</font>",
            ),
            (
                "<a href='https://x.example/?a=1&amp;b=2' target=_top>x</a>",
                "<a href=\"https://x.example/?a=1&amp;b=2\" rel=\"noopener noreferrer nofollow\">x</a>",
            ),
            (
                "<IMG SRC=cid:logo ALT=Logo>",
                "<img src=\"attachment:1.2\" alt=\"Logo\">",
            ),
            ("<img src=cid:other alt=x>", "<img alt=\"x\">"),
            (
                "<img src='https://t.example/p.gif'>",
                "<img data-blocked-src=\"https://t.example/p.gif\">",
            ),
            (
                "<img src='data:image/png;base64,AAAA'>",
                "<img src=\"data:image/png;base64,AAAA\">",
            ),
            (
                "<blockquote>indented</blockquote>",
                "<blockquote>indented</blockquote>",
            ),
            (
                "new<blockquote type=cite>old</blockquote>",
                "new<blockquote data-fold=\"quote\">old</blockquote>",
            ),
            (
                "<div>new<hr id=appendonsend>From: x</div>end",
                "<div>new<div data-fold=\"quote\"><hr>From: x</div></div>end",
            ),
            (
                "<div class='gmail_signature x'>Anna</div>",
                "<div data-fold=\"signature\">Anna</div>",
            ),
            ("<o:p>a</o:p><center>b</center>", "a<center>b</center>"),
        ] {
            assert_eq!(safe(html).text, shown, "{html}");
        }
    }

    /// Nothing that runs, fetches, or leaves its place, however it is written.
    #[test]
    fn what_is_not() {
        for html in [
            "<script>alert(1)</script>",
            "<SCRIPT SRC=//x.example/x></SCRIPT>",
            "<script>",
            "<img src=x onerror=alert(1)>",
            "<img/src=x/onerror=alert(1)>",
            "<body onload=alert(1)>",
            "<a href=javascript:alert(1)>x</a>",
            "<a href=' java\tscript:alert(1)'>x</a>",
            "<a href='jav&#x0A;ascript&colon;alert(1)'>x</a>",
            "<a href='&#1;javascript:alert(1)'>x</a>",
            "<a href='vbscript:x'>x</a>",
            "<a href='data:text/html,<script>alert(1)</script>'>x</a>",
            "<a href='//evil.example'>x</a>",
            "<img src='data:image/svg+xml;base64,PHN2Zz4='>",
            "<img src='data:text/html;base64,PHN2Zz4='>",
            "<svg onload=alert(1)></svg>",
            "<svg><script>alert(1)</script></svg>",
            "<svg/onload=alert(1)>",
            "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
            "<svg></p><style><a id=\"</style><img src=1 onerror=alert(1)>\">",
            "<form><math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
            "<noscript><p title=\"</noscript><img src=x onerror=alert(1)>\">",
            "<textarea><p title=\"</textarea><img src=x onerror=alert(1)>\">",
            "<title><p title=\"</title><img src=x onerror=alert(1)>\">",
            "<xmp><p title=\"</xmp><img src=x onerror=alert(1)>\">",
            "<!--><img src=x onerror=alert(1)>-->",
            "<!-- --!><img src=x onerror=alert(1)> -->",
            "<![CDATA[<img src=x onerror=alert(1)>]]>",
            "<base href=//evil.example><meta http-equiv=refresh content='0;url=//evil.example'>",
            "<link rel=stylesheet href=//evil.example/x.css>",
            "<form action=//evil.example><input name=q><button>x</button></form>",
            "<iframe src=//evil.example></iframe><frame src=//evil.example>",
            "<object data=//evil.example></object><embed src=//evil.example>",
            "<video src=//evil.example autoplay></video><audio src=//evil.example></audio>",
            "<style>@import '//evil.example';</style>",
            "<div style='background:url(//evil.example)'>x</div>",
            "<div style='position:fixed;top:0;left:0;width:100%'>x</div>",
            "<div style='margin-top:-900px'>x</div>",
            "<table background=//evil.example><tr><td>x</table>",
            "<img src=//evil.example/p.gif srcset='//evil.example/q.gif 2x'>",
            "<img dynsrc=javascript:alert(1) lowsrc=javascript:alert(1)>",
            "<p title='\"><img src=x onerror=alert(1)>'>x</p>",
            "<a title='`' href='https://x.example' style='x:expression(alert(1))'>x</a>",
            "<img src='attachment:1\" onerror=\"alert(1)'>",
            "<details open ontoggle=alert(1)>x</details>",
            "<input autofocus onfocus=alert(1)>",
            "<template><script>alert(1)</script></template>",
            "<svg><foreignObject><iframe src=javascript:alert(1)></iframe></foreignObject></svg>",
        ] {
            let shown = safe(html).text;
            // What stands in quotes is text; what is left are the tags.
            let mut bare = String::new();
            for (at, piece) in shown.split('"').enumerate() {
                if at % 2 == 0 {
                    bare.push_str(piece);
                } else {
                    assert!(!piece.contains("javascript"), "{html} gave {shown}");
                }
            }
            let tags: String = (bare.split('<').skip(1))
                .filter_map(|tag| tag.split('>').next())
                .collect::<Vec<_>>()
                .join(" ");
            for bad in [
                "script",
                " on",
                "svg",
                "math",
                "style=position",
                "iframe",
                "frame",
                "object",
                "embed",
                "form",
                "input",
                "button",
                "base",
                "meta",
                "link",
                "video",
                "audio",
                "textarea",
                "template",
                "title>",
                "noscript",
                "xmp",
                "srcset",
                "background",
                "details",
                " id=",
                " class=",
            ] {
                assert!(!tags.contains(bad), "{bad}: {html} gave {shown}");
            }
            for bad in [
                " src=\"//",
                " src=\"http",
                "href=\"//",
                "url(",
                "position:",
                "margin-top",
            ] {
                assert!(!shown.contains(bad), "{bad}: {html} gave {shown}");
            }
        }
    }

    #[test]
    fn pictures_are_counted() {
        let html = safe(
            "<img src=//x.example/a><img src=http://x.example/b><td background=http://x.example/c>\
             <p style='background:url(http://x.example/d)'><img src=cid:none><img src=cid:logo>",
        );
        assert_eq!((html.blocked_images, html.missing_images), (4, 1));
    }

    #[test]
    fn amounts() {
        let links = format!(
            "{}end",
            "<a href=http://x.example>x</a>".repeat(LINKS_MAX + 1)
        );
        let html = safe(&links);
        assert!(
            html.cut
                && html
                    .text
                    .ends_with("<a rel=\"noopener noreferrer nofollow\">x</a>end")
        );
        let tags = safe(&"<p>x</p>".repeat(TAGS_MAX + 1));
        assert!(tags.cut && tags.text.len() < 20 * TAGS_MAX);
        let deep = safe(&format!(
            "{}x{}y",
            "<div>".repeat(5000),
            "</div>".repeat(5000)
        ));
        assert!(!deep.cut && deep.text.contains('x') && deep.text.ends_with('y'));
        assert_eq!(deep.text.matches("<div>").count(), DEPTH_MAX);
        let long = safe(&"x".repeat(SOURCE_BYTES_MAX + 1));
        assert!(long.cut);
    }
}
