//! Plain text from HTML, for previews and for letters that are nothing else.

use mail_parser::decoders::html::html_to_text;

/// Elements that begin and end on a line of their own. The library breaks lines at `br` and the
/// end of `p` only, which runs the words of most programs' letters together.
const BLOCKS: [&str; 24] = [
    "address",
    "article",
    "blockquote",
    "center",
    "dd",
    "div",
    "dl",
    "dt",
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
    "pre",
    "section",
    "table",
    "tr",
    "ul",
];

/// The text of a piece of HTML: a line for each block, a dash before each item of a list, never
/// more than one empty line. Linear in its size; the result is text, whatever it looks like.
#[must_use]
pub fn to_text(html: &str) -> String {
    let mut marked = String::with_capacity(html.len() + html.len() / 8);
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        let (before, tag) = rest.split_at(at);
        marked.push_str(before);
        marked.push_str(mark(tag));
        marked.push('<');
        rest = tag.get(1..).unwrap_or_default();
    }
    marked.push_str(rest);
    let text = html_to_text(&marked);
    let mut out = String::with_capacity(text.len());
    let mut blanks = 0;
    for line in text.lines().map(str::trim) {
        if line.is_empty() {
            blanks += 1;
            continue;
        }
        if !out.is_empty() {
            out.push_str(if blanks > 1 { "\n\n" } else { "\n" });
        }
        blanks = 0;
        out.push_str(line);
    }
    out
}

/// What to put before a tag so that its text gets a line of its own.
fn mark(tag: &str) -> &'static str {
    let inner = tag.get(1..).unwrap_or_default();
    let (closing, inner) = match inner.strip_prefix('/') {
        Some(inner) => (true, inner),
        None => (false, inner),
    };
    let end = inner
        .bytes()
        .take(12)
        .take_while(u8::is_ascii_alphanumeric)
        .count();
    let (name, after) = inner.split_at(end);
    let is = |known: &&str| name.eq_ignore_ascii_case(known);
    if is(&"li") && !closing {
        return "<br>- ";
    }
    // The library overlooks a `br` with attributes.
    let odd_break = is(&"br") && after.starts_with(|c: char| c.is_ascii_whitespace());
    let cell = closing && (is(&"td") || is(&"th"));
    if odd_break || BLOCKS.iter().any(is) {
        "<br>"
    } else if cell {
        " "
    } else {
        ""
    }
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
            ("<ul><li>one</li><li>two</li></ul>end", "- one\n- two\nend"),
            ("<tr><td>a</td><td>b</td></tr><tr><td>c</td></tr>", "a b\nc"),
            (
                "<style>p{}</style><script>x()</script>a &amp; b &lt;c&gt;",
                "a & b <c>",
            ),
            ("<!-- <div>hidden</div> -->shown", "shown"),
            ("<div><div><div>deep</div></div></div>", "deep"),
            ("1 < 2", "1"),
            ("<", ""),
            ("<ü>x", "x"),
            ("</", ""),
        ] {
            assert_eq!(to_text(html), text, "{html}");
        }
    }
}
