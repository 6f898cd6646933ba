//! Text from strangers, made fit to stand in a list, a log line or a file name.
//!
//! What is shown in full, the body, keeps its lines; see [`clean_body`].

/// Longest single line of foreign text that is shown: names, subjects, file names; in characters.
/// Longer than any honest subject, short enough that a thousand of them fit one reply.
pub const LINE_CHARS_MAX: usize = 500;

/// Most combining marks kept on one character. Vietnamese and Hebrew need two or three; towers of
/// them ("zalgo") cover the lines above.
const COMBINING_MARKS_MAX: usize = 4;

/// Whether a character reorders or hides its neighbours: the bidirectional controls of Unicode
/// (UAX #9), which make `gpj.exe` look like `exe.jpg`, and invisible joints that make two equal
/// looking words differ. Zero-width joiner and non-joiner stay: Persian and emoji need them.
#[must_use]
pub const fn is_deceptive(c: char) -> bool {
    matches!(
        c,
        '\u{061c}'
            | '\u{200b}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

/// Whether a character is drawn over its predecessor; the blocks that are abused for towers.
const fn is_combining(c: char) -> bool {
    matches!(
        c,
        '\u{0300}'..='\u{036f}'
            | '\u{0483}'..='\u{0489}'
            | '\u{1ab0}'..='\u{1aff}'
            | '\u{1dc0}'..='\u{1dff}'
            | '\u{20d0}'..='\u{20ff}'
            | '\u{fe20}'..='\u{fe2f}'
    )
}

/// One line: control and deceptive characters dropped, white space folded to single blanks, at
/// most `chars_max` characters, the last of which is an ellipsis if something was cut.
#[must_use]
pub fn clean_line(text: &str, chars_max: usize) -> String {
    let mut out = String::with_capacity(text.len().min(chars_max.saturating_mul(4)));
    let mut count = 0;
    let mut marks = 0;
    let mut blank = false;
    for c in text.chars() {
        if c.is_whitespace() {
            blank = true;
            continue;
        }
        if c.is_control() || is_deceptive(c) {
            continue;
        }
        marks = if is_combining(c) { marks + 1 } else { 0 };
        if marks > COMBINING_MARKS_MAX {
            continue;
        }
        let wanted = if blank && count > 0 { 2 } else { 1 };
        if count + wanted > chars_max {
            // Room for the ellipsis is made by giving up the last character.
            while count >= chars_max && out.pop().is_some() {
                count -= 1;
            }
            if chars_max > 0 {
                out.push('…');
            }
            break;
        }
        if wanted == 2 {
            out.push(' ');
        }
        blank = false;
        out.push(c);
        count += wanted;
    }
    out
}

/// Many lines: every line ending becomes a line feed, control characters other than tab go, and
/// trailing blank lines with them. Bidirectional controls stay, because prose may need them.
#[must_use]
pub fn clean_body(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\r' => {
                if chars.peek() == Some(&'\n') {
                    chars.next();
                }
                out.push('\n');
            }
            '\n' | '\t' => out.push(c),
            '\u{feff}' => {}
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out.truncate(out.trim_end().len());
    out
}

/// The longest prefix of at most `bytes_max` bytes that ends between two characters.
#[must_use]
pub fn prefix(text: &str, bytes_max: usize) -> &str {
    let mut end = bytes_max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// Longest file name handed to an agent's machine, in bytes; the bound of common file systems is
/// 255, and browsers append a counter.
pub const FILE_NAME_BYTES_MAX: usize = 200;

/// A file name that names a file in the folder it is saved to and nothing else: no path, no
/// device name of Windows, no leading dot, none of the characters that shells or file systems
/// treat apart. `unnamed` if nothing is left. The end of a long name survives, because the
/// extension is what policies look at.
#[must_use]
pub fn clean_file_name(name: &str) -> String {
    let base = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let line = clean_line(base, FILE_NAME_BYTES_MAX * 4);
    let mut safe: String = line
        .chars()
        .map(|c| match c {
            '<' | '>' | ':' | '"' | '|' | '?' | '*' | '%' | '`' | '$' => '_',
            c => c,
        })
        .collect();
    safe.truncate(safe.trim_end_matches(['.', ' ']).len());
    let start = safe.len() - safe.trim_start_matches(['.', ' ', '-', '~']).len();
    safe.drain(..start);
    if safe.len() > FILE_NAME_BYTES_MAX {
        let mut cut = safe.len() - FILE_NAME_BYTES_MAX;
        while !safe.is_char_boundary(cut) {
            cut += 1;
        }
        safe.drain(..cut);
    }
    if safe.is_empty() {
        return "unnamed".to_owned();
    }
    let stem = safe.split('.').next().unwrap_or_default();
    if is_device(stem) {
        safe.insert(0, '_');
    }
    safe
}

/// What stands behind the last dot of a file name; empty if there is none.
#[must_use]
pub fn extension(name: &str) -> &str {
    name.rsplit_once('.')
        .filter(|(stem, _)| !stem.is_empty())
        .map_or("", |(_, extension)| extension)
}

/// The names that Windows opens as devices in every folder, whatever the extension.
fn is_device(stem: &str) -> bool {
    let stem = stem.trim_end().to_ascii_lowercase();
    matches!(stem.as_str(), "con" | "prn" | "aux" | "nul")
        || (stem.len() == 4
            && (stem.starts_with("com") || stem.starts_with("lpt"))
            && stem.ends_with(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        for (text, max, clean) in [
            ("", 10, ""),
            ("  a \t\r\n b  ", 10, "a b"),
            ("a\0b\u{7}c", 10, "abc"),
            ("abc\u{202e}gpj.exe", 20, "abcgpj.exe"),
            ("abcdef", 6, "abcdef"),
            ("abcdefg", 6, "abcde…"),
            ("abcde fg", 6, "abcde…"),
            ("äöüß", 3, "äö…"),
            (
                "z\u{300}\u{300}\u{300}\u{300}\u{300}\u{300}",
                20,
                "z\u{300}\u{300}\u{300}\u{300}",
            ),
            ("👩\u{200d}💻", 9, "👩\u{200d}💻"),
            ("abc", 0, ""),
        ] {
            let got = clean_line(text, max);
            assert_eq!(got, clean, "{text:?}");
            assert!(got.chars().count() <= max);
        }
    }

    #[test]
    fn bodies() {
        for (text, clean) in [
            ("a\r\nb\rc\nd\r\n\r\n", "a\nb\nc\nd"),
            ("\u{feff}hello\0\tworld\u{1b}[1m", "hello\tworld[1m"),
            ("   indented\n", "   indented"),
        ] {
            assert_eq!(clean_body(text), clean);
        }
    }

    #[test]
    fn prefixes_end_between_characters() {
        assert_eq!(prefix("aä", 1), "a");
        assert_eq!(prefix("aä", 2), "a");
        assert_eq!(prefix("aä", 3), "aä");
        assert_eq!(prefix("a", 9), "a");
    }

    #[test]
    fn file_names() {
        for (name, clean) in [
            ("report.pdf", "report.pdf"),
            ("../../etc/passwd", "passwd"),
            ("..\\..\\boot.ini", "boot.ini"),
            ("%2F..%2Fx", "_2F.._2Fx"),
            ("con.txt", "_con.txt"),
            ("LPT1", "_LPT1"),
            ("company.txt", "company.txt"),
            ("", "unnamed"),
            ("...", "unnamed"),
            (".bashrc", "bashrc"),
            ("-rf", "rf"),
            ("a\0b\r\nc.txt", "ab c.txt"),
            ("invoice\u{202e}fdp.exe", "invoicefdp.exe"),
            ("Rechnung März.pdf. ", "Rechnung März.pdf"),
        ] {
            assert_eq!(clean_file_name(name), clean, "{name:?}");
        }
        let long = format!("{}.exe", "ä".repeat(5000));
        let clean = clean_file_name(&long);
        assert!(clean.len() <= FILE_NAME_BYTES_MAX + 1);
    }
}
