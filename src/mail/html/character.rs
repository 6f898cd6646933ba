//! Character references: `&amp;`, `&#228;`, `&#xe4;`.

use mail_parser::decoders::html::add_html_token;

use crate::mail::decode;

/// Longest reference that is looked for, in bytes. The longest name has 31 letters.
const REFERENCE_BYTES_MAX: usize = 34;

/// Old names that browsers also read without a semicolon.
const BARE: [(&str, char); 5] = [
    ("amp", '&'),
    ("gt", '>'),
    ("lt", '<'),
    ("nbsp", '\u{a0}'),
    ("quot", '"'),
];

/// The text with its references resolved; what is none stays.
pub(super) fn resolve(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        rest = from.get(reference(from, &mut out)..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

/// Appends what the reference at the beginning stands for; how many bytes it takes up.
fn reference(text: &str, out: &mut String) -> usize {
    let inner = text.get(1..).unwrap_or_default();
    let name_len = inner
        .bytes()
        .take(REFERENCE_BYTES_MAX)
        .take_while(|b| b.is_ascii_alphanumeric() || *b == b'#')
        .count();
    let name = inner.get(..name_len).unwrap_or_default();
    let ended = inner.as_bytes().get(name_len) == Some(&b';');
    let len = 1 + name_len + usize::from(ended);
    if let Some(number) = name.strip_prefix('#') {
        let digits = number.strip_prefix(['x', 'X']);
        let code = match digits {
            Some(digits) => u32::from_str_radix(digits, 16),
            None => number.parse(),
        };
        if let Ok(code) = code {
            out.push_str(&by_code(code));
            return len;
        }
    } else if ended && !name.is_empty() {
        let token = text.get(..len).unwrap_or_default();
        add_html_token(out, token.as_bytes(), false);
        return len;
    } else if let Some((bare, c)) = BARE.iter().find(|(bare, _)| name.starts_with(bare)) {
        out.push(*c);
        return 1 + bare.len();
    }
    out.push('&');
    1
}

/// The character of a number. Browsers read 128 to 159 as Windows-1252, which is what was meant.
fn by_code(code: u32) -> String {
    match (code, u8::try_from(code)) {
        (0, _) => char::REPLACEMENT_CHARACTER.to_string(),
        (128..=159, Ok(byte)) => decode::charset(Some("windows-1252"), &[byte]),
        _ => char::from_u32(code)
            .unwrap_or(char::REPLACEMENT_CHARACTER)
            .to_string(),
    }
}

/// Appends text so that it stands for itself in HTML, also within a quoted value.
pub(super) fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\0' => {}
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references() {
        for (text, resolved) in [
            ("plain", "plain"),
            ("a &amp; b &lt;c&gt;", "a & b <c>"),
            ("&auml;&#228;&#xE4;&#XE4", "ääää"),
            ("&#146;", "\u{2019}"),
            ("&#0;&#xd800;&#x110000;", "\u{fffd}\u{fffd}\u{fffd}"),
            ("&#99999999999;", "&#99999999999;"),
            ("&nosuch; & &", "&nosuch; & &"),
            ("&nbspx&ampx", "\u{a0}x&x"),
            ("&#;&#x;", "&#;&#x;"),
            ("&ä;", "&ä;"),
        ] {
            assert_eq!(resolve(text), resolved, "{text}");
        }
    }

    #[test]
    fn escaped_text_is_text() {
        let mut out = String::new();
        escape("<a b=\"c\">&\0", &mut out);
        assert_eq!(out, "&lt;a b=&quot;c&quot;&gt;&amp;");
        assert_eq!(resolve(&out), "<a b=\"c\">&");
    }
}
