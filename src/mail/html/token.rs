//! HTML cut into tags and text, as browsers cut it (WHATWG HTML, section 13.2.5).
//!
//! Comments, declarations and what stands in elements of raw text is left out. Each byte is looked
//! at once.

use super::character;

/// Most attributes that are read of one tag. Programs write a dozen.
const ATTRIBUTES_MAX: usize = 40;

/// Elements whose content is no markup, and nothing to read either.
const RAW_TEXT: [&str; 8] = [
    "iframe", "noembed", "noframes", "script", "style", "textarea", "title", "xmp",
];

/// What HTML consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// Characters, with their references still in them.
    Text(&'a str),
    /// The begin of an element.
    Open(Tag<'a>),
    /// The name in a closing tag.
    Close(&'a str),
}

/// An opening tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tag<'a> {
    /// The name as written, in any letter case.
    pub(super) name: &'a str,
    attributes: &'a str,
}

impl<'a> Tag<'a> {
    /// Whether it ends in a slash, which closes foreign elements at once.
    pub(super) fn is_self_closing(self) -> bool {
        self.attributes.ends_with('/')
    }

    /// The attributes in their order: names as written, values with their references resolved.
    /// Of two with one name browsers keep the first, so does whoever searches from the front.
    pub(super) fn attributes(self) -> impl Iterator<Item = (&'a str, String)> {
        let mut rest = self.attributes;
        std::iter::from_fn(move || attribute(&mut rest)).take(ATTRIBUTES_MAX)
    }

    /// The value of an attribute.
    pub(super) fn attribute(self, name: &str) -> Option<String> {
        self.attributes()
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }
}

/// Cuts HTML into tokens.
#[derive(Debug, Clone)]
pub(super) struct Tokens<'a> {
    rest: &'a str,
}

impl<'a> Tokens<'a> {
    pub(super) const fn of(html: &'a str) -> Self {
        Self { rest: html }
    }

    fn take(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }

    /// The tag that the rest begins with; `None` if what begins there is none, or is left out.
    fn tag(&mut self) -> Option<Token<'a>> {
        let inner = self.rest.get(1..).unwrap_or_default();
        let closing = inner.starts_with('/');
        let inner = inner.strip_prefix('/').unwrap_or(inner);
        let name_len = inner
            .find(|c: char| c.is_ascii_whitespace() || matches!(c, '/' | '>'))
            .unwrap_or(inner.len());
        let (name, after) = inner.split_at_checked(name_len)?;
        let Some(end) = tag_end(after) else {
            // A tag that never ends takes the rest with it, as in browsers.
            self.rest = "";
            return None;
        };
        let attributes = after.get(..end).unwrap_or_default();
        self.rest = after.get(end + 1..).unwrap_or_default();
        if closing {
            return Some(Token::Close(name));
        }
        if RAW_TEXT.iter().any(|raw| name.eq_ignore_ascii_case(raw)) {
            self.rest = after_raw_text(self.rest, name);
        }
        Some(Token::Open(Tag { name, attributes }))
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            if self.rest.is_empty() {
                return None;
            }
            let text = markup(self.rest);
            if text > 0 {
                return Some(Token::Text(self.take(text)));
            }
            let inner = self.rest.get(1..).unwrap_or_default();
            let named = inner.strip_prefix('/').unwrap_or(inner);
            if named.starts_with(|c: char| c.is_ascii_alphabetic()) {
                if let Some(token) = self.tag() {
                    return Some(token);
                }
            } else if let Some(comment) = inner.strip_prefix("!--") {
                self.rest = after_comment(comment);
            } else {
                // `<!doctype>`, `<![if !mso]>`, `<?xml?>` and the like end at the next bracket.
                self.rest = self.rest.split_once('>').map_or("", |(_, after)| after);
            }
        }
    }
}

/// Where the first piece of markup begins: a `<` that begins something, else the end.
fn markup(html: &str) -> usize {
    let mut from = 0;
    while let Some(at) = html.get(from..).and_then(|rest| rest.find('<')) {
        let at = from + at;
        let next = html.as_bytes().get(at + 1);
        let closing = next == Some(&b'/')
            && (html.as_bytes().get(at + 2)).is_some_and(|b| b.is_ascii_alphabetic());
        if closing || next.is_some_and(|b| b.is_ascii_alphabetic() || matches!(b, b'!' | b'?')) {
            return at;
        }
        from = at + 1;
    }
    html.len()
}

/// Where a tag ends, counted from behind its name: at a `>` that is not within a quoted value.
fn tag_end(tag: &str) -> Option<usize> {
    #[derive(PartialEq)]
    enum At {
        Name,
        BeforeValue,
        Bare,
        Quoted(u8),
    }
    let mut state = At::Name;
    for (at, byte) in tag.bytes().enumerate() {
        state = match (state, byte) {
            (At::Quoted(quote), b) if b == quote => At::Name,
            (At::Quoted(quote), _) => At::Quoted(quote),
            (_, b'>') => return Some(at),
            (At::Name, b'=') => At::BeforeValue,
            (At::BeforeValue, b'"' | b'\'') => At::Quoted(byte),
            (At::BeforeValue, b) if b.is_ascii_whitespace() => At::BeforeValue,
            (At::Bare, b) if b.is_ascii_whitespace() => At::Name,
            (At::Bare | At::BeforeValue, _) => At::Bare,
            (At::Name, _) => At::Name,
        };
    }
    None
}

/// Cuts the next attribute off.
fn attribute<'a>(rest: &mut &'a str) -> Option<(&'a str, String)> {
    let skip = |c: char| c.is_ascii_whitespace() || c == '/';
    let from = rest.trim_start_matches(skip);
    // An equals sign in the first place belongs to the name.
    let name_len = from
        .char_indices()
        .find(|(at, c)| skip(*c) || (*c == '=' && *at > 0))
        .map_or(from.len(), |(at, _)| at);
    let (name, after) = from.split_at_checked(name_len)?;
    if name.is_empty() {
        return None;
    }
    let blank = |c: char| c.is_ascii_whitespace();
    let Some(value) = after.trim_start_matches(blank).strip_prefix('=') else {
        *rest = after;
        return Some((name, String::new()));
    };
    let value = value.trim_start_matches(blank);
    let (value, after) = match value.chars().next() {
        Some(quote @ ('"' | '\'')) => {
            let inner = value.get(1..).unwrap_or_default();
            inner.split_once(quote).unwrap_or((inner, ""))
        }
        _ => value.split_at(value.find(blank).unwrap_or(value.len())),
    };
    *rest = after;
    Some((name, character::resolve(value)))
}

/// What follows a comment, or nothing if it never ends.
fn after_comment(comment: &str) -> &str {
    for short in [">", "->"] {
        if let Some(after) = comment.strip_prefix(short) {
            return after;
        }
    }
    let mut from = 0;
    while let Some(at) = comment.get(from..).and_then(|rest| rest.find("--")) {
        let after = comment.get(from + at + 2..).unwrap_or_default();
        if let Some(after) = after.strip_prefix('>').or(after.strip_prefix("!>")) {
            return after;
        }
        from += at + 1;
    }
    ""
}

/// What follows an element of raw text, from its closing tag on.
fn after_raw_text<'a>(html: &'a str, name: &str) -> &'a str {
    let mut from = 0;
    while let Some(at) = html.get(from..).and_then(|rest| rest.find("</")) {
        let inner = html.get(from + at + 2..).unwrap_or_default();
        if inner
            .get(..name.len())
            .is_some_and(|found| found.eq_ignore_ascii_case(name))
            && !inner
                .get(name.len()..)
                .is_some_and(|after| after.starts_with(|c: char| c.is_ascii_alphanumeric()))
        {
            return html.get(from + at..).unwrap_or_default();
        }
        from += at + 2;
    }
    ""
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outline(html: &str) -> String {
        let mut out = Vec::new();
        for token in Tokens::of(html) {
            out.push(match token {
                Token::Text(text) => format!("{text:?}"),
                Token::Close(name) => format!("/{name}"),
                Token::Open(tag) => {
                    let attributes: Vec<String> = tag
                        .attributes()
                        .map(|(name, value)| format!(" {name}={value:?}"))
                        .collect();
                    format!("{}{}", tag.name, attributes.concat())
                }
            });
        }
        out.join(" ")
    }

    #[test]
    fn cuts() {
        for (html, tokens) in [
            ("a<b>c</b>", r#""a" b "c" /b"#),
            ("1 < 2 <3", r#""1 < 2 <3""#),
            ("<", r#""<""#),
            ("</", r#""</""#),
            (
                "<a href=x y='1>2' Z=\"&lt;\">",
                r#"a href="x" y="1>2" Z="<""#,
            ),
            ("<a href = x/>b", r#"a href="x/" "b""#),
            ("<a =b c>", r#"a =b="" c="""#),
            ("<br/>", "br"),
            ("<p title=a\"b>c", r#"p title="a\"b" "c""#),
            ("<!-- <b> -->x<!-->y<!---->z", r#""x" "y" "z""#),
            ("<!doctype html><?xml a?><![if !mso]>x", r#""x""#),
            ("<!--[if mso]><b><![endif]-->x", r#""x""#),
            ("<!-- a --!>x", r#""x""#),
            ("<script>a<b></scriptx></SCRIPT >c", r#"script /SCRIPT "c""#),
            ("<style>never ends", "style"),
            ("a<b never ends", r#""a""#),
            ("a<!-- never ends", r#""a""#),
            ("<ü>x", r#""<ü>x""#),
            ("<o:p>x</o:p>", r#"o:p "x" /o:p"#),
        ] {
            assert_eq!(outline(html), tokens, "{html}");
        }
    }
}
