//! The page that a command writes on: standard output, with colours if a person is looking.

use std::env;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};

use clap::builder::styling::{AnsiColor, Style};

use super::failure::{Exit, Failure};

/// What a word means, which decides its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ink {
    /// It went well, or is new.
    Good,
    /// It went wrong, or is gone.
    Bad,
    /// It may want a look.
    Care,
    /// A heading.
    Strong,
    /// Less important than what stands around it.
    Faint,
}

/// Standard output.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Page {
    coloured: bool,
}

impl Page {
    /// Colours only on a terminal that has them, and never against <https://no-color.org>.
    pub(crate) fn new() -> Self {
        let unwanted = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = env::var_os("TERM").is_some_and(|value| value == "dumb");
        Self {
            coloured: io::stdout().is_terminal() && !unwanted && !dumb,
        }
    }

    /// A page without colours.
    #[cfg(test)]
    pub(crate) const fn blank() -> Self {
        Self { coloured: false }
    }

    /// Writes one line. A reader who has gone, as `head` goes, ends the command in silence.
    pub(crate) fn line(self, text: impl AsRef<str>) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        writeln!(out, "{}", text.as_ref()).map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::silent(Exit::Io),
            _ => Failure::file("standard output", &error),
        })
    }

    /// Writes one line to standard error: for people, beside a result that a script reads.
    pub(crate) fn note(self, text: impl AsRef<str>) -> Result<(), Failure> {
        writeln!(io::stderr(), "{}", text.as_ref())
            .map_err(|error| Failure::file("standard error", &error))
    }

    /// The text in its colour, if this page has colours.
    pub(crate) fn ink(self, ink: Ink, text: &str) -> String {
        if !self.coloured {
            return text.to_owned();
        }
        let style = match ink {
            Ink::Good => Style::new().fg_color(Some(AnsiColor::Green.into())),
            Ink::Bad => Style::new().fg_color(Some(AnsiColor::Red.into())),
            Ink::Care => Style::new().fg_color(Some(AnsiColor::Yellow.into())),
            Ink::Strong => Style::new().bold(),
            Ink::Faint => Style::new().dimmed(),
        };
        format!("{style}{text}{style:#}")
    }
}

/// A text from outside, harmless on a terminal: control characters are shown and not obeyed, or a
/// subject could clear the screen or write what we never said.
pub(crate) fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() || is_invisible(character) {
            let _ = write!(shown, "{}", character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// Marks that turn the direction of the text after them.
const fn is_invisible(character: char) -> bool {
    matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn letters_do_not_command_the_terminal() {
        for (text, shown) in [
            ("Grüße, 你好", "Grüße, 你好"),
            ("\u{1b}[2J", "\\u{1b}[2J"),
            ("a\r\nb", "a\\u{d}\\u{a}b"),
            ("exe.\u{202e}gpj", "exe.\\u{202e}gpj"),
        ] {
            assert_eq!(plain(text), shown);
        }
    }
}
