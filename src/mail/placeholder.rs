//! Placeholders: `{{customer.name}}` and the like in prepared texts, and what is put in their place.
//!
//! A text is read once from front to back, and what was put in is not read again: a value that
//! looks like a placeholder stays what it is.

use std::collections::{BTreeMap, BTreeSet};

use super::html;
use super::text::clean_line;

/// Longest name of a placeholder, in bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// Longest value, in characters: more than a name or a subject has.
pub const VALUE_CHARS_MAX: usize = 1024;

/// Longest text that filling in may make, in bytes: as much as a saved draft takes.
pub const FILLED_BYTES_MAX: usize = 256 << 10;

/// What a text is, which decides how values are written into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Plain text.
    Text,
    /// HTML, where a value stands for itself.
    Html,
}

/// The text with all values in it would be longer than [`FILLED_BYTES_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLong;

/// Whether a placeholder may have this name: 1 to 64 of `a-z`, `0-9`, `.`, `_` and `-`.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let fits = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'_' | b'-')
    };
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(fits)
}

/// A text in its pieces: what stands before a placeholder, and its name.
struct Pieces<'a>(&'a str);

impl<'a> Iterator for Pieces<'a> {
    type Item = (&'a str, Option<&'a str>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let whole = self.0;
        let mut from = 0;
        while let Some(at) = whole.get(from..).and_then(|rest| rest.find("{{")) {
            let begin = from + at + 2;
            if let Some((name, end)) = named(whole, begin) {
                self.0 = whole.get(end..).unwrap_or_default();
                return Some((whole.get(..begin - 2).unwrap_or_default(), Some(name)));
            }
            // Of three braces the last two may still begin one.
            from = begin - 1;
        }
        self.0 = "";
        Some((whole, None))
    }
}

/// The name that begins here, with spaces around it, and where its braces end. Looks no further
/// than a name can reach, so that a text of braces is read in linear time.
fn named(text: &str, begin: usize) -> Option<(&str, usize)> {
    let reach = (begin + NAME_BYTES_MAX + 4).min(text.len());
    let length = (text.as_bytes().get(begin..reach)?)
        .windows(2)
        .position(|two| two == b"}}")?;
    let name = text.get(begin..begin + length)?.trim_matches(' ');
    is_name(name).then_some((name, begin + length + 2))
}

/// The names of all placeholders in a text.
#[must_use]
pub fn names(text: &str) -> BTreeSet<String> {
    let names = Pieces(text).filter_map(|(_, name)| name);
    names.map(str::to_owned).collect()
}

/// Puts values in the place of placeholders. Those without a value stay as they are and are added
/// to `missing`. Values are made one line, because some of them are a customer's words.
///
/// # Errors
///
/// [`TooLong`].
pub fn fill(
    text: &str,
    form: Form,
    values: &BTreeMap<String, String>,
    missing: &mut BTreeSet<String>,
) -> Result<String, TooLong> {
    let mut filled = String::with_capacity(text.len());
    for (before, name) in Pieces(text) {
        filled.push_str(before);
        let Some(name) = name else { continue };
        match values.get(name) {
            Some(value) => {
                let value = clean_line(value, VALUE_CHARS_MAX);
                match form {
                    Form::Text => filled.push_str(&value),
                    Form::Html => html::escape(&value, &mut filled),
                }
            }
            None => {
                missing.insert(name.to_owned());
                for part in ["{{", name, "}}"] {
                    filled.push_str(part);
                }
            }
        }
        if filled.len() > FILLED_BYTES_MAX {
            return Err(TooLong);
        }
    }
    if filled.len() > FILLED_BYTES_MAX {
        return Err(TooLong);
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str, form: Form) -> (String, Vec<String>) {
        let values = [
            ("customer.name", "Carla <\"Vo&\">"),
            ("case.number", "1234567"),
            ("sly", "{{case.number}}"),
            ("lines", "one\r\nBcc: two"),
        ];
        let values = values.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut missing = BTreeSet::new();
        let filled = fill(text, form, &values.into(), &mut missing).unwrap();
        (filled, missing.into_iter().collect())
    }

    #[test]
    fn what_comes_of_a_text() {
        for (text, expected, missing) in [
            ("", "", &[][..]),
            ("Dear {{customer.name}},", "Dear Carla <\"Vo&\">,", &[]),
            ("{{ case.number }}{{case.number}}", "12345671234567", &[]),
            ("{{{case.number}}}", "{1234567}", &[]),
            (
                "{{order.date}} {{x}}",
                "{{order.date}} {{x}}",
                &["order.date", "x"],
            ),
            ("{{ x }}", "{{x}}", &["x"]),
            ("{{sly}}", "{{case.number}}", &[]),
            ("{{lines}}", "one Bcc: two", &[]),
            (
                "{{}} {{a b}} {{A}} {{case.number} }",
                "{{}} {{a b}} {{A}} {{case.number} }",
                &[],
            ),
            ("{{{{case.number", "{{{{case.number", &[]),
            ("{{é}}{{case.number}}", "{{é}}1234567", &[]),
        ] {
            let (filled, left) = filled(text, Form::Text);
            assert_eq!(
                (filled.as_str(), left.as_slice()),
                (
                    expected,
                    missing
                        .iter()
                        .map(|name| (*name).to_owned())
                        .collect::<Vec<_>>()
                        .as_slice()
                ),
                "{text}"
            );
        }
    }

    #[test]
    fn a_value_in_html_stands_for_itself() {
        let (filled, _) = filled(
            "<p title=\"{{customer.name}}\">{{customer.name}}</p>",
            Form::Html,
        );
        let inside = filled
            .strip_prefix("<p title=\"")
            .unwrap()
            .strip_suffix("</p>")
            .unwrap();
        assert!(
            !inside.contains('<') && inside.matches('"').count() == 1,
            "{filled}"
        );
        assert!(inside.contains("Carla &lt;"), "{filled}");
    }

    #[test]
    fn names_are_found_once() {
        let found = names("{{b}} {{a}} {{ b }} {{nothing");
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["a", "b"]);
        assert!(!is_name(&"a".repeat(NAME_BYTES_MAX + 1)) && is_name(&"a".repeat(NAME_BYTES_MAX)));
    }

    #[test]
    fn nothing_grows_without_end() {
        let values = [("a".to_owned(), "x".repeat(VALUE_CHARS_MAX))];
        let values = values.into();
        let mut missing = BTreeSet::new();
        let fits = FILLED_BYTES_MAX / VALUE_CHARS_MAX;
        let filled = fill(&"{{a}}".repeat(fits), Form::Text, &values, &mut missing);
        assert_eq!(filled.unwrap().len(), FILLED_BYTES_MAX);
        let filled = fill(&"{{a}}".repeat(fits + 1), Form::Text, &values, &mut missing);
        assert_eq!(filled, Err(TooLong));
    }
}
