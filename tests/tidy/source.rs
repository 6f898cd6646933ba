//! Rust source, read just well enough to know which paths a file names.
//!
//! `use` trees are expanded, names they bring in are followed where they are used, and `self`,
//! `super` and `crate` are made absolute. Unit tests, strings and comments do not count. Macros
//! are read as plain text, which finds the paths inside them too.

use std::collections::BTreeMap;
use std::path::Path;

/// One path that a file names, made absolute: `crate::desk::Desk`, `std::fs::read`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Named {
    /// Its line, from 1.
    pub(super) line: usize,
    /// The path, with `::` between its segments.
    pub(super) path: String,
}

/// A file of source, cut up.
#[derive(Debug)]
pub(super) struct Source {
    /// Its own module path below `crate`, such as `milter::wire`; empty for the crate's root.
    pub(super) module: String,
    tokens: Vec<Token>,
    comments: Vec<(usize, String)>,
}

#[derive(Debug, Clone)]
struct Token {
    line: usize,
    text: String,
}

impl Source {
    /// Reads `text` as the file at `path`, which is relative to `src/`.
    pub(super) fn read(path: &Path, text: &str) -> Self {
        let (tokens, comments) = cut(text);
        Self {
            module: module_of(path),
            tokens: without_unit_tests(tokens),
            comments,
        }
    }

    /// All comments, with their lines.
    pub(super) fn comments(&self) -> &[(usize, String)] {
        &self.comments
    }

    /// The lines on which these tokens stand one behind the other.
    pub(super) fn lines_with(&self, sequence: &[&str]) -> Vec<usize> {
        self.tokens
            .windows(sequence.len())
            .filter(|window| window.iter().zip(sequence).all(|(t, s)| t.text == *s))
            .map(|window| window[0].line)
            .collect()
    }

    /// Every path the file names, in its `use` lines and in its code.
    pub(super) fn paths(&self) -> Vec<Named> {
        let mut imported = BTreeMap::new();
        let mut named = Vec::new();
        let mut inline = Vec::new();
        let mut at = 0;
        while let Some(token) = self.tokens.get(at) {
            if token.text == "use" {
                let line = token.line;
                at += 1;
                for (path, alias) in self.use_tree(&mut at, "") {
                    let path = self.absolute(&path);
                    imported.insert(alias, path.clone());
                    named.push(Named { line, path });
                }
            } else if is_word(&token.text) {
                let (line, mut path) = (token.line, token.text.clone());
                at += 1;
                while self.text(at) == "::" && is_word(self.text(at + 1)) {
                    path = format!("{path}::{}", self.text(at + 1));
                    at += 2;
                }
                inline.push(Named { line, path });
            } else {
                at += 1;
            }
        }
        for Named { line, path } in inline {
            let (first, rest) = path.split_once("::").unwrap_or((&path, ""));
            let path = match imported.get(first) {
                Some(full) if rest.is_empty() => full.clone(),
                Some(full) => format!("{full}::{rest}"),
                None if rest.is_empty() => continue,
                None => self.absolute(&path),
            };
            named.push(Named { line, path });
        }
        named.sort();
        named.dedup();
        named
    }

    fn text(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |token| &token.text)
    }

    /// One branch of a `use` tree from `at` on: full paths, each with the name it goes by here.
    fn use_tree(&self, at: &mut usize, before: &str) -> Vec<(String, String)> {
        let mut path = before.to_owned();
        let mut last = before.rsplit("::").next().unwrap_or_default().to_owned();
        loop {
            match self.text(*at) {
                "{" => {
                    *at += 1;
                    let mut all = Vec::new();
                    while !matches!(self.text(*at), "}" | "") {
                        all.extend(self.use_tree(at, &path));
                        if self.text(*at) == "," {
                            *at += 1;
                        }
                    }
                    *at += 1;
                    return all;
                }
                "as" => {
                    let alias = self.text(*at + 1).to_owned();
                    *at += 2;
                    return vec![(path, alias)];
                }
                "::" => *at += 1,
                "self" if !path.is_empty() => *at += 1,
                word if is_word(word) || word == "*" => {
                    last = word.to_owned();
                    path = if path.is_empty() {
                        last.clone()
                    } else {
                        format!("{path}::{last}")
                    };
                    *at += 1;
                }
                _ => return vec![(path, last)],
            }
        }
    }

    fn absolute(&self, path: &str) -> String {
        let mut base: Vec<&str> = self.module.split("::").filter(|s| !s.is_empty()).collect();
        let mut rest = path;
        let mut relative = false;
        loop {
            let (first, after) = rest.split_once("::").unwrap_or((rest, ""));
            match first {
                "crate" | "postroom" if !relative => base.clear(),
                "self" => {}
                "super" => {
                    base.pop();
                }
                _ => break,
            }
            relative = true;
            rest = after;
        }
        if relative {
            base.insert(0, "crate");
            base.extend(rest.split("::").filter(|s| !s.is_empty()));
            base.join("::")
        } else {
            path.to_owned()
        }
    }
}

/// Whether `path` is `prefix` or lies below it.
pub(super) fn is_below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn module_of(path: &Path) -> String {
    let mut parts: Vec<String> = path
        .with_extension("")
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .collect();
    if let Some("mod" | "lib" | "main") = parts.last().map(String::as_str) {
        parts.pop();
    }
    parts.join("::")
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Drops every item that stands behind `#[cfg(test)]`: what a test imports is its own business.
fn without_unit_tests(tokens: Vec<Token>) -> Vec<Token> {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let here = &tokens[at..];
        if here.len() > MARK.len() && MARK.iter().zip(here).all(|(mark, t)| t.text == *mark) {
            at += item_length(&tokens[at + MARK.len()..]) + MARK.len();
        } else {
            kept.push(tokens[at].clone());
            at += 1;
        }
    }
    kept
}

/// How many tokens an item has: to its semicolon, or to the brace that closes it.
fn item_length(tokens: &[Token]) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        match token.text.as_str() {
            "{" | "(" | "[" => depth += 1,
            ")" | "]" => depth = depth.saturating_sub(1),
            "}" => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            ";" if depth == 0 => return at + 1,
            _ => {}
        }
    }
    tokens.len()
}

/// Cuts text into tokens and comments. Literals become nothing: they name no path.
fn cut(text: &str) -> (Vec<Token>, Vec<(usize, String)>) {
    let mut tokens = Vec::new();
    let mut comments = Vec::new();
    let mut rest = text;
    let mut line = 1;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            let length = rest.find('\n').unwrap_or(rest.len());
            comments.push((line, rest[..length].to_owned()));
            length
        } else if rest.starts_with("/*") {
            let length = block_comment(rest);
            comments.push((line, rest[..length].to_owned()));
            length
        } else if let Some(length) = string(rest).or_else(|| character(rest)) {
            length
        } else if is_word(rest) {
            let length = rest
                .find(|c: char| !c.is_alphanumeric() && c != '_')
                .unwrap_or(rest.len());
            tokens.push(Token {
                line,
                text: rest[..length].to_owned(),
            });
            length
        } else {
            let length = if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            if !first.is_whitespace() {
                tokens.push(Token {
                    line,
                    text: rest[..length].to_owned(),
                });
            }
            length
        };
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    (tokens, comments)
}

fn block_comment(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        let here = &text.as_bytes()[at..];
        if here.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if here.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

/// The length of the string literal that `text` begins with, plain or raw, of text or bytes.
fn string(text: &str) -> Option<usize> {
    let letters = text.len() - text.trim_start_matches(['b', 'c']).len();
    let (prefix, body) = text.split_at(letters.min(1));
    if let Some(raw) = body.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        let inner = raw[hashes..].strip_prefix('"')?;
        let end = format!("\"{}", "#".repeat(hashes));
        let length = inner.find(&end).map_or(inner.len(), |at| at + end.len());
        return Some(prefix.len() + 1 + hashes + 1 + length);
    }
    let inner = body.strip_prefix('"')?;
    let mut escaped = false;
    let end = inner.bytes().position(|byte| {
        let over = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        over
    });
    Some(prefix.len() + 1 + end.map_or(inner.len(), |at| at + 1))
}

/// The length of the character literal that `text` begins with; lifetimes are none.
fn character(text: &str) -> Option<usize> {
    let body = text.strip_prefix('b').unwrap_or(text);
    let inner = body.strip_prefix('\'')?;
    let end = if inner.starts_with('\\') {
        2 + inner.get(2..)?.find('\'')?
    } else {
        inner.chars().next()?.len_utf8()
    };
    inner
        .get(end..)?
        .starts_with('\'')
        .then_some(text.len() - inner.len() + end + 1)
}
