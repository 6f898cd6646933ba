//! Plain text from HTML, for previews and for letters that are nothing else.

use super::character;
use super::fold;
use super::token::{Tag, Token};
use super::visible::Visible;

/// Elements that begin and end on a line of their own.
const BLOCKS: [&str; 29] = [
    "address",
    "article",
    "aside",
    "blockquote",
    "body",
    "caption",
    "center",
    "dd",
    "div",
    "dl",
    "dt",
    "figure",
    "footer",
    "form",
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
    "tr",
    "ul",
];

/// Longest address of a link that is shown behind its words, in bytes. Longer ones count clicks.
const LINK_BYTES_MAX: usize = 200;

/// Deepest quotation that is marked line by line.
const QUOTES_MAX: usize = 10;

/// The text of a piece of HTML: a line for each block, a dash before each item of a list, the
/// address behind a link, `>` before each line of a quotation; never more than one empty line.
/// Linear in its size; the result is text, whatever it looks like.
#[must_use]
pub fn to_text(html: &str) -> String {
    let mut writer = Writer::default();
    for token in Visible::of(html) {
        match token {
            Token::Text(text) => writer.text(text),
            Token::Open(tag) => writer.open(tag),
            Token::Close(name) => writer.close(name),
        }
    }
    writer.out
}

#[derive(Default)]
struct Writer {
    out: String,
    /// Line ends to write before the next character; two of them make an empty line.
    breaks: usize,
    /// A blank to write before the next character of the line.
    blank: bool,
    /// The line holds nothing so far but blanks that count, as in `<p>&nbsp;</p>`.
    spaced: bool,
    /// Something was written since the last line end.
    filled: bool,
    /// The next line is the first of an item.
    item: bool,
    /// For each open blockquote, whether it quotes.
    quotes: Vec<bool>,
    /// How many of them do.
    depth: usize,
    /// Preformatted elements that are open.
    preformatted: usize,
    /// The address of the open link, and where its words begin.
    link: Option<(String, usize)>,
}

impl Writer {
    fn open(&mut self, tag: Tag<'_>) {
        let is = |name: &str| tag.name.eq_ignore_ascii_case(name);
        if is("br") {
            self.line_break();
        } else if is("li") {
            self.boundary();
            self.item = true;
        } else if is("a") {
            self.link = tag.attribute("href").and_then(|href| {
                let href = href.trim();
                let shown = ["http://", "https://", "mailto:", "tel:"]
                    .iter()
                    .any(|scheme| {
                        href.get(..scheme.len())
                            .is_some_and(|s| s.eq_ignore_ascii_case(scheme))
                    });
                (shown && href.len() <= LINK_BYTES_MAX && !href.contains(char::is_whitespace))
                    .then(|| (href.to_owned(), self.out.len()))
            });
        } else if is("img") {
            if let Some(alt) = tag.attribute("alt").filter(|alt| !alt.trim().is_empty()) {
                self.words(&format!("[{}]", alt.trim()));
            }
        } else if is("blockquote") {
            self.boundary();
            let quotes = fold::is_cited(tag);
            self.depth += usize::from(quotes);
            self.quotes.push(quotes);
        } else if is_block(tag.name) {
            self.boundary();
            if is("pre") {
                self.preformatted += 1;
            }
        }
    }

    fn close(&mut self, name: &str) {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        if is("br") {
            self.line_break();
        } else if is("td") || is("th") {
            self.blank |= self.filled;
        } else if is("a") {
            self.end_link();
        } else if is("blockquote") {
            self.boundary();
            if self.quotes.pop() == Some(true) {
                self.depth -= 1;
            }
        } else if is("li") || is_block(name) {
            self.boundary();
            if is("pre") {
                self.preformatted = self.preformatted.saturating_sub(1);
            }
        }
    }

    fn end_link(&mut self) {
        let Some((href, begin)) = self.link.take() else {
            return;
        };
        let words = self.out.get(begin..).unwrap_or_default();
        let bare = |text: &str| {
            let text = text.trim().trim_end_matches('/').to_lowercase();
            let schemes = ["https://", "http://", "mailto:", "tel:"];
            let scheme = schemes.into_iter().find(|scheme| text.starts_with(scheme));
            text.trim_start_matches(scheme.unwrap_or_default())
                .to_owned()
        };
        if !words.trim().is_empty() && !words.contains(&href) && bare(words) != bare(&href) {
            self.words(&format!(" <{href}>"));
        }
    }

    fn text(&mut self, text: &str) {
        let text = character::resolve(text);
        if self.preformatted == 0 {
            self.words(&text);
            return;
        }
        for (at, line) in text.split('\n').enumerate() {
            if at > 0 {
                self.line_break();
            }
            let line = line.trim_end_matches('\r');
            if !line.is_empty() {
                self.begin();
                self.out.push_str(line);
            }
        }
    }

    /// Words of running text: white space counts as one blank.
    fn words(&mut self, text: &str) {
        for c in text.chars() {
            if matches!(c, ' ' | '\t' | '\r' | '\n' | '\u{c}') {
                self.blank |= self.filled;
            } else if c == '\u{a0}' {
                self.spaced = true;
                self.blank |= self.filled;
            } else {
                self.begin();
                self.out.push(c);
            }
        }
    }

    /// Writes what has to stand before the next character.
    fn begin(&mut self) {
        if !self.out.is_empty() && self.breaks > 0 {
            self.out.push('\n');
            if self.breaks > 1 {
                let mark = self.mark();
                self.out.push_str(mark.trim_end());
                self.out.push('\n');
            }
        }
        if !self.filled {
            let mark = self.mark();
            self.out.push_str(&mark);
            if std::mem::take(&mut self.item) {
                self.out.push_str("- ");
            }
        }
        if self.blank && self.filled {
            self.out.push(' ');
        }
        (self.breaks, self.blank, self.filled) = (0, false, true);
    }

    /// What a line of a quotation begins with.
    fn mark(&self) -> String {
        let mut mark = ">".repeat(self.depth.min(QUOTES_MAX));
        if self.depth > 0 {
            mark.push(' ');
        }
        mark
    }

    /// The line ends here, if there is one.
    fn boundary(&mut self) {
        if self.filled {
            self.breaks = 1;
        } else if self.spaced {
            self.breaks = 2;
        }
        (self.filled, self.blank, self.spaced) = (false, false, false);
    }

    /// The line ends here, and may be empty.
    fn line_break(&mut self) {
        self.breaks = if self.filled { 1 } else { self.breaks + 1 }.min(2);
        (self.filled, self.blank, self.spaced) = (false, false, false);
    }
}

fn is_block(name: &str) -> bool {
    BLOCKS.iter().any(|known| name.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        for (html, text) in [
            ("", ""),
            ("plain", "plain"),
            ("<p>one</p><p>two</p>", "one\ntwo"),
            (
                "<div>one</div><DIV class=x>two</DIV>three",
                "one\ntwo\nthree",
            ),
            ("a<br>b<br/>c<br clear=all>d", "a\nb\nc\nd"),
            ("a<br><br><br>b", "a\n\nb"),
            ("<div>a</div><div><br></div><div>b</div>", "a\n\nb"),
            ("<p>a</p><p><o:p>&nbsp;</o:p></p><p>b</p>", "a\n\nb"),
            ("<br><p>&nbsp;</p>a", "a"),
            ("<ul><li>one</li><li>two</li></ul>end", "- one\n- two\nend"),
            ("<ul><li> <p>one</p>\n<li>two</ul>", "- one\n- two"),
            ("<tr><td>a</td><td>b</td></tr><tr><td>c</td></tr>", "a b\nc"),
            (
                "<style>p{}</style><script>x()</script>a &amp; b &lt;c&gt;",
                "a & b <c>",
            ),
            ("<!-- <div>hidden</div> -->shown", "shown"),
            ("<div><div><div>deep</div></div></div>", "deep"),
            ("1 < 2", "1 < 2"),
            ("a  b\n c", "a b c"),
            ("<b>a</b> <i>b</i>", "a b"),
            ("<pre>a\n  b\n\nc</pre>d", "a\n  b\n\nc\nd"),
            (
                "<a href='https://x.example/y'>here</a> z",
                "here <https://x.example/y> z",
            ),
            ("<a href='https://x.example/'>x.example</a>", "x.example"),
            (
                "<a href='mailto:a@x.example'>a@x.example</a>",
                "a@x.example",
            ),
            ("<a href='javascript:x'>here</a>", "here"),
            ("<img src=x alt='Our logo'><img src=y>", "[Our logo]"),
            (
                "yes<blockquote type=cite>no<br><br>none<blockquote type=cite>never</blockquote></blockquote>end",
                "yes\n> no\n>\n> none\n>> never\nend",
            ),
            ("a<blockquote>indented</blockquote>", "a\nindented"),
            ("a<svg><text>b</text></svg>c<svg/>d", "acd"),
            ("a<template>b<template></template></template>c", "ac"),
            ("a<svg>the end is missing", "athe end is missing"),
            ("</blockquote></pre></a></td>x", "x"),
        ] {
            assert_eq!(to_text(html), text, "{html}");
        }
    }

    #[test]
    fn floods_end() {
        for piece in [
            "<div>",
            "<svg>",
            "<",
            "<!--",
            "</p>",
            "<a href=http://x.example/>",
            "&",
            "<blockquote type=cite>x",
        ] {
            let _ = to_text(&piece.repeat(100_000));
        }
    }
}
