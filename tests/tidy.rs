//! The house rules: who may import whom, and that what is written about the code is true.
//!
//! `rooms` holds the import rules against the source, `prose` and `commands` the documents, `licences`
//! the dependencies. What stands here is what is said of every file.

#![expect(clippy::unwrap_used, reason = "a test's helpers are part of the test")]

#[path = "tidy/commands.rs"]
mod commands;
#[path = "tidy/licences.rs"]
mod licences;
#[path = "tidy/prose.rs"]
mod prose;
#[path = "tidy/rooms.rs"]
mod rooms;
#[path = "tidy/source.rs"]
mod source;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use source::Source;

/// What belongs to tools. In a worktree, `.git` is a file.
const NOT_OURS: &[&str] = &[".git", "target", "node_modules"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The text of a file that must be there.
fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All files below a folder, relative to it, in order.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(next) = waiting.pop() {
        for entry in fs::read_dir(&next).unwrap().map(Result::unwrap) {
            let name = entry.file_name();
            let kind = entry.file_type().unwrap();
            if NOT_OURS.iter().any(|not| name == *not) {
                continue;
            }
            if kind.is_dir() {
                waiting.push(entry.path());
            } else if kind.is_file() {
                found.push(entry.path().strip_prefix(folder).unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

/// Every source file of the crate, by its path below `src/`.
fn sources() -> Vec<(PathBuf, Source)> {
    let folder = root().join("src");
    files(&folder)
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| {
            let text = fs::read_to_string(folder.join(&path)).unwrap();
            let source = Source::read(&path, &text);
            (path, source)
        })
        .collect()
}

/// The lines of `Cargo.toml` that name a dependency.
fn dependency_lines() -> Vec<String> {
    let mut inside = false;
    let mut found = Vec::new();
    for line in text("Cargo.toml").lines() {
        if line.starts_with('[') {
            inside = line.ends_with("dependencies]");
        } else if inside && line.contains(" = ") && !line.starts_with('#') {
            found.push(line.to_owned());
        }
    }
    found
}

/// The dependencies as source names them: `mail_auth`.
fn dependencies() -> Vec<String> {
    dependency_lines()
        .iter()
        .filter_map(|line| line.split_once(" = "))
        .map(|(name, _)| name.replace('-', "_"))
        .collect()
}

#[test]
fn every_dependency_says_why_it_is_there() {
    let lines = dependency_lines();
    assert!(lines.len() > 20, "{lines:?}");
    for line in lines {
        let reason = line.rsplit_once(" # ").map(|(_, reason)| reason.trim());
        assert!(
            reason.is_some_and(|reason| !reason.is_empty()),
            "no reason given: {line}"
        );
    }
}

#[test]
fn every_source_file_begins_with_a_sentence() {
    let mut report = String::new();
    for (path, source) in sources() {
        let mut head = String::new();
        for (at, (line, comment)) in source.comments().iter().enumerate() {
            match comment.strip_prefix("//! ") {
                Some(words) if *line == at + 1 => head.extend([words, " "]),
                _ => break,
            }
        }
        let sentence = head.starts_with(|c: char| c.is_uppercase() || c == '`')
            && (head.contains(". ") || head.contains(": "))
            && head.split_whitespace().count() > 2;
        if !sentence {
            let _ = writeln!(report, "src/{}: begins with {head:?}", path.display());
        }
    }
    assert!(report.is_empty(), "\n{report}");
}

#[test]
fn nothing_is_left_lying_about() {
    let mut report = String::new();
    for folder in ["src", "tests", "benches"] {
        for path in files(&root().join(folder)) {
            if path.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let written = fs::read_to_string(root().join(folder).join(&path)).unwrap();
            for (line, what) in leftovers(&written) {
                let _ = writeln!(report, "{folder}/{}:{line}: {what}", path.display());
            }
        }
    }
    assert!(report.is_empty(), "\n{report}");
}

/// Markers of unfinished work, and exceptions without a reason.
fn leftovers(written: &str) -> Vec<(usize, String)> {
    let source = Source::read(Path::new("any.rs"), written);
    let mut found = Vec::new();
    for sequence in [["dbg", "!"], ["todo", "!"], ["unimplemented", "!"]] {
        for line in source.lines_with(&sequence) {
            found.push((line, sequence.concat()));
        }
    }
    for mark in [["#", "["], ["!", "["]] {
        for line in source.lines_with(&[mark[0], mark[1], "allow"]) {
            found.push((line, "allow; write expect with a reason".to_owned()));
        }
    }
    for (line, comment) in source.comments() {
        for word in comment.split(|c: char| !c.is_alphanumeric()) {
            let unfinished = match word {
                "TODO" | "XXX" | "HACK" => true,
                // Known wrong behaviour may be asserted as it is, if a sentence says what is wrong.
                "FIXME" => !comment.contains("FIXME: ") || comment.split(' ').count() < 6,
                _ => false,
            };
            if unfinished {
                found.push((*line, comment.clone()));
            }
        }
    }
    found
}

#[test]
fn a_planted_leftover_is_found() {
    let (todo, fixme) = (concat!("TO", "DO"), concat!("FIX", "ME"));
    for planted in [
        format!("// {todo} later"),
        format!("/* {todo} */"),
        format!("fn f() {{}} // {fixme}"),
        "fn f() { dbg!(1) }".to_owned(),
        "fn f() { todo!() }".to_owned(),
        "#[allow(dead_code)]".to_owned(),
        "#![allow(dead_code)]".to_owned(),
    ] {
        assert_eq!(leftovers(&planted).len(), 1, "{planted}");
    }
    let known = format!("// {fixme}: Outlook's empty Re: is counted as a subject here.");
    assert_eq!(leftovers(&known), []);
    assert_eq!(leftovers(&format!("const A: &str = \"{todo}\";")), []);
}

#[test]
fn no_file_knows_the_machine_it_was_written_on() {
    // Put together here, or this file would be the first to be found.
    let needles = [
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/"),
        concat!("/ho", "me/"),
        concat!("shared/", "design"),
    ];
    let mut report = String::new();
    for path in files(root()) {
        // Letters of strangers may say what they like, and the lock file is Cargo's.
        if path.ends_with("Cargo.lock") || path.extension().is_some_and(|e| e == "eml") {
            continue;
        }
        let Ok(written) = fs::read_to_string(root().join(&path)) else {
            continue;
        };
        for (at, line) in written.lines().enumerate() {
            for needle in needles.iter().filter(|needle| line.contains(**needle)) {
                let _ = writeln!(report, "{}:{}: {needle}", path.display(), at + 1);
            }
        }
    }
    assert!(report.is_empty(), "\n{report}");
}
