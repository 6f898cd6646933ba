//! Golden letters: what agents see of the letters in `tests/mail`.
//!
//! A case is three files: `NN-name.eml`, the letter; `.expect`, what is seen of it; `.readme`, why
//! it is kept. In an expected line `*` stands for the rest of the line and `?` for one character.
//! Each run leaves `.got` beside them. `UPDATE=1 cargo test --test mail` writes the expectations
//! anew, wildcards and all: commit the change only when you understand it.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use postroom::mail::letter::Letter;
use postroom::mail::mailbox::Mailbox;

#[test]
fn letters_look_as_expected() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mail");
    let mut letters = Vec::new();
    find(&root, &mut letters);
    letters.sort();
    assert!(letters.len() >= 24, "only {} letters found", letters.len());
    let update = std::env::var_os("UPDATE").is_some();
    let mut wrong = Vec::new();
    for path in letters {
        let readme = path.with_extension("readme");
        assert!(readme.exists(), "{} is missing", readme.display());
        let raw = fs::read(&path).expect("the letter can be read");
        let got = outline(&Letter::read(&raw, true));
        fs::write(path.with_extension("got"), &got).expect("the answer can be written");
        let expect = path.with_extension("expect");
        if update {
            fs::write(&expect, &got).expect("the expectation can be written");
        }
        let expected = fs::read_to_string(&expect).unwrap_or_default();
        if !matches(&expected, &got) {
            wrong.push(format!("{}\n{got}", path.display()));
        }
        // A letter of which only the head is at hand must be readable too, wherever it ends.
        for end in (0..raw.len()).step_by(raw.len() / 50 + 1) {
            let _ = Letter::read(raw.get(..end).unwrap_or_default(), false);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn wildcards() {
    for (pattern, line, fits) in [
        ("a", "a", true),
        ("a", "b", false),
        ("a?", "ab", true),
        ("a?", "a", false),
        ("a*", "abc", true),
        ("a*", "a", true),
        ("a", "ab", false),
    ] {
        assert_eq!(line_matches(pattern, line), fits, "{pattern} {line}");
    }
}

fn find(folder: &Path, letters: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder can be read") {
        let path = entry.expect("the entry can be read").path();
        if path.is_dir() {
            find(&path, letters);
        } else if path.extension().is_some_and(|e| e == "eml") {
            letters.push(path);
        }
    }
}

fn matches(expected: &str, got: &str) -> bool {
    let (mut expected, mut got) = (expected.lines(), got.lines());
    loop {
        match (expected.next(), got.next()) {
            (None, None) => return true,
            (Some(pattern), Some(line)) if line_matches(pattern, line) => {}
            _ => return false,
        }
    }
}

fn line_matches(pattern: &str, line: &str) -> bool {
    let mut chars = line.chars();
    for wanted in pattern.chars() {
        match (wanted, chars.next()) {
            ('*', _) => return true,
            ('?', Some(_)) => {}
            (wanted, Some(c)) if wanted == c => {}
            _ => return false,
        }
    }
    chars.next().is_none()
}

fn outline(letter: &Letter) -> String {
    let mut out = String::new();
    let mut line = |name: &str, value: String| {
        if !value.is_empty() {
            let _ = writeln!(out, "{name}: {value}");
        }
    };
    let author = &letter.author;
    line("author", people(author.mailbox.as_slice()));
    if author.identity().is_none() {
        let odd = if author.odd { ", odd" } else { "" };
        line(
            "no identity",
            format!(
                "{} fields, {} mailboxes{odd}",
                author.fields, author.mailboxes
            ),
        );
    }
    line("sender", people(letter.sender.as_slice()));
    line("reply to", people(&letter.reply_to));
    line("to", people(&letter.to));
    line("cc", people(&letter.cc));
    line("subject", letter.subject.clone());
    line(
        "date",
        letter.date.map(|d| d.to_string()).unwrap_or_default(),
    );
    let id = letter.internet_message_id.as_ref();
    line("id", id.map(ToString::to_string).unwrap_or_default());
    for id in &letter.in_reply_to {
        line("answers", id.to_string());
    }
    for id in &letter.references {
        line("ancestor", id.to_string());
    }
    for file in &letter.attachments {
        let inline = if file.inline { ", inline" } else { "" };
        line(
            "file",
            format!(
                "{} ({}, {} bytes{inline})",
                file.name, file.media_type, file.size
            ),
        );
    }
    for notice in &letter.notices {
        line("notice", format!("{notice:?}"));
    }
    if letter.body.from_html {
        line("text", "made from HTML".to_owned());
    }
    let _ = writeln!(out, "----\n{}", letter.body.fresh());
    if !letter.body.quoted().is_empty() {
        let _ = writeln!(out, "---- trimmed\n{}", letter.body.quoted());
    }
    out
}

fn people(mailboxes: &[Mailbox]) -> String {
    let all: Vec<String> = mailboxes
        .iter()
        .map(|m| {
            if m.name.is_empty() {
                m.address.to_string()
            } else {
                format!("{} <{}>", m.name, m.address)
            }
        })
        .collect();
    all.join(", ")
}
