//! Golden letters: what agents see of the letters in `tests/mail`.
//!
//! A case is three files: `NN-name.eml`, the letter; `.expect`, what is seen of it; `.readme`, why
//! it is kept. In an expected line `*` stands for the rest of the line and `?` for one character.
//! Each run leaves `.got` beside them. `UPDATE=1 cargo test --test mail` writes the expectations
//! anew, wildcards and all: commit the change only when you understand it.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use postroom::mail::address::Address;
use postroom::mail::automatic::{Facts, Kind, Match, classify};
use postroom::mail::header::Header;
use postroom::mail::letter::{Letter, View};
use postroom::mail::mailbox::Mailbox;
use postroom::mail::report::{Report, Said};
use postroom::mail::token::{KEY_BYTES, Keyring};

#[path = "mail/giants.rs"]
mod giants;
#[path = "mail/mutations.rs"]
mod mutations;

#[test]
fn letters_look_as_expected() {
    let letters = letters();
    assert!(letters.len() >= 115, "only {} letters found", letters.len());
    let update = std::env::var_os("UPDATE").is_some();
    let mut wrong = Vec::new();
    for path in letters {
        let readme = path.with_extension("readme");
        assert!(readme.exists(), "{} is missing", readme.display());
        let raw = fs::read(&path).expect("the letter can be read");
        let mut got = outline(&View::read(&raw, true));
        if path.parent().is_some_and(|folder| folder.ends_with("auto")) {
            got.push_str(&kind(&raw));
        }
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
        for end in (0..raw.len()).step_by(raw.len() / 30 + 1) {
            let _ = View::read(raw.get(..end).unwrap_or_default(), false);
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

/// The letters of all folders, in order.
fn letters() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mail");
    let mut letters = Vec::new();
    find(&root, &mut letters);
    letters.sort();
    letters
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

fn outline(view: &View) -> String {
    let letter = &view.letter;
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
        let said = [
            (file.inline, ", inline"),
            (file.in_html, ", in the HTML"),
            (file.may_run(), ", may run"),
        ];
        let said: String = (said.iter())
            .filter_map(|(holds, what)| holds.then_some(*what))
            .collect();
        line(
            "file",
            format!(
                "{} {} ({}, {} bytes{said})",
                file.id, file.name, file.media_type, file.size
            ),
        );
        for inner in &file.contents {
            line("  in it", format!("{} ({} bytes)", inner.name, inner.size));
        }
    }
    for protection in &letter.protections {
        line("protection", format!("{protection:?}"));
    }
    for notice in &letter.notices {
        line("notice", format!("{notice:?}"));
    }
    if letter.body.from_html {
        line("text", "made from HTML".to_owned());
    }
    if let Some(event) = &view.event {
        line(
            "event",
            format!(
                "{} {} | {} to {} {} | {} | {} {}",
                event.method,
                event.summary,
                event.start,
                event.end,
                event.time_zone,
                event.location,
                event.organizer,
                event.answer,
            ),
        );
    }
    if letter.body.forwards {
        line("text", "forwards another letter".to_owned());
    }
    if let Some(html) = &view.html {
        let pictures = [
            (html.blocked_images, "blocked"),
            (html.missing_images, "missing"),
        ];
        for (count, how) in pictures.into_iter().filter(|(count, _)| *count > 0) {
            line("pictures", format!("{count} {how}"));
        }
    }
    let _ = writeln!(out, "----\n{}", letter.body.fresh());
    if !letter.body.signature().is_empty() {
        let _ = writeln!(out, "---- signature\n{}", letter.body.signature());
    }
    if !letter.body.quoted().is_empty() {
        let _ = writeln!(out, "---- trimmed\n{}", letter.body.quoted());
    }
    if let Some(html) = &view.html {
        let _ = writeln!(out, "---- html\n{}", html.text.trim());
    }
    out
}

/// What kind of letter it is, why, and what it reports. Its Return-Path is the envelope sender.
fn kind(raw: &[u8]) -> String {
    let header = Header::parse(raw);
    let keyring = Keyring::new(0, [(0, [7; KEY_BYTES])]).expect("a ring of one key");
    let sender = header.text("Return-Path").unwrap_or_default();
    let facts = Facts {
        keyring: &keyring,
        host: "mx.shop.example",
        envelope_sender: sender.trim_matches(['<', '>']).as_bytes(),
        to_return_path: false,
        from_queue: false,
        own_message_id: false,
    };
    let body = raw.get(header.body_start()..).unwrap_or_default();
    let found = classify(&Letter::read_header(raw), &header, body, &facts);
    let mut out = format!("---- {}", found.kind);
    if found.do_not_answer {
        out.push_str(", not to be answered");
    }
    if found.no_receipts {
        out.push_str(", no receipts");
    }
    out.push('\n');
    for Match { kind, evidence } in &found.matches {
        let kind = kind.map_or("-", Kind::name);
        let _ = writeln!(out, "{kind}: {evidence}");
    }
    if let Some(report) = Report::read(raw).filter(|_| found.kind.is_report()) {
        report_lines(&report, &mut out);
    }
    out
}

fn report_lines(report: &Report, out: &mut String) {
    let name = |address: &Option<Address>| {
        (address.as_ref()).map_or("somebody".to_owned(), ToString::to_string)
    };
    match &report.said {
        Said::Delivery(recipients) => {
            for found in recipients {
                let (whom, action, severity) =
                    (name(&found.address), found.action, found.severity());
                let _ = writeln!(out, "report: {whom} {action:?}, {severity:?}: {found}");
            }
        }
        Said::Disposition {
            what,
            automatic,
            recipient,
        } => {
            let by = if *automatic { "a program" } else { "a person" };
            let _ = writeln!(out, "report: {} {what} by {by}", name(recipient));
        }
        Said::Complaint { what, recipient } => {
            let _ = writeln!(out, "report: {} complains: {what}", name(recipient));
        }
    }
    if let Some(id) = &report.envelope_id {
        let _ = writeln!(out, "about envelope: {id}");
    }
    if let Some(id) = &report.internet_message_id {
        let _ = writeln!(out, "about: {id}");
    }
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
