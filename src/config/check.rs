//! Problems, and the lines they stand in.

use std::fmt;
use std::ops::Range;
use std::path::Path;

use toml::Spanned;

/// Something wrong with the file. The administrator's move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The line, from 1; 0 if no single line is to blame.
    pub line: usize,
    /// What is wrong and what would be right.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.line, self.what)
    }
}

impl Problem {
    /// The problem with its file and line in front, as compilers write it.
    #[must_use]
    pub fn in_file(&self, file: &Path) -> String {
        match self.line {
            0 => format!("{}: {}", file.display(), self.what),
            line => format!("{}:{line}: {}", file.display(), self.what),
        }
    }
}

/// Collects problems with their lines.
pub(super) struct Check<'a> {
    pub(super) text: &'a str,
    pub(super) problems: Vec<Problem>,
}

impl Check<'_> {
    pub(super) fn line<T>(&self, field: &Spanned<T>) -> usize {
        line_of(self.text, &field.span())
    }

    pub(super) fn blame<T>(&mut self, field: &Spanned<T>, what: String) {
        let line = self.line(field);
        self.problems.push(Problem { line, what });
    }

    /// A problem whose field carries no place: the line of its key is looked up by name.
    pub(super) fn whole(&mut self, what: String) {
        let key = what.split_whitespace().next().unwrap_or_default();
        let line = key
            .split_once('.')
            .map_or(0, |(_, key)| self.line_of_key(key));
        self.problems.push(Problem { line, what });
    }

    fn line_of_key(&self, key: &str) -> usize {
        self.text
            .lines()
            .position(|line| {
                line.trim_start()
                    .strip_prefix(key)
                    .is_some_and(|rest| rest.trim_start().starts_with('='))
            })
            .map_or(0, |before| before + 1)
    }
}

pub(super) fn line_of(text: &str, span: &Range<usize>) -> usize {
    let before = text.as_bytes().get(..span.start).unwrap_or_default();
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}
