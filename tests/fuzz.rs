//! The fuzz targets on their corpus and on seeded mutations of it: the same bytes in every run.
//!
//! `script/fuzz` looks further, guided by coverage, for as long as somebody lets it. What it finds
//! becomes a file of the corpus. `FUZZ_ROUNDS` sets how many mutations are tried here.

#![expect(clippy::unwrap_used, reason = "a test's helpers are part of the test")]

#[path = "../fuzz/targets.rs"]
mod targets;

use std::path::{Path, PathBuf};

/// The corpus below these folders, in order.
fn corpus(folders: &[&str]) -> Vec<Vec<u8>> {
    let mut waiting: Vec<PathBuf> = folders
        .iter()
        .map(|folder| Path::new(env!("CARGO_MANIFEST_DIR")).join(folder))
        .collect();
    let mut paths = Vec::new();
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).unwrap();
            waiting.extend(entries.map(|entry| entry.unwrap().path()));
        } else if path.extension().is_none_or(|extension| extension == "eml") {
            paths.push(path);
        }
    }
    paths.sort();
    assert!(paths.len() > 3, "{folders:?}: {paths:?}");
    paths
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect()
}

/// A generator of Marsaglia's: small, and the same everywhere.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).unwrap()
    }
}

/// Changes bytes as libFuzzer's simplest mutators do.
fn mutate(chance: &mut Chance, bytes: &mut Vec<u8>, other: &[u8], words: &[&[u8]]) {
    let at = chance.below(bytes.len() + 1);
    match chance.below(7) {
        0 if at < bytes.len() => bytes[at] ^= 1 << chance.below(8),
        1 if at < bytes.len() => bytes[at] = chance.next().to_be_bytes()[0],
        2 if at < bytes.len() => {
            let end = (at + 1 + chance.below(16)).min(bytes.len());
            bytes.drain(at..end);
        }
        3 => {
            let from = chance.below(other.len());
            let end = (from + chance.below(64)).min(other.len());
            bytes.splice(at..at, other[from..end].iter().copied());
        }
        4 => {
            let word = words[chance.below(words.len())];
            bytes.splice(at..at, word.iter().copied());
        }
        5 => {
            let end = (at + chance.below(200)).min(bytes.len());
            let again = bytes[at..end].to_vec();
            bytes.splice(at..at, again);
        }
        _ => bytes.truncate(at),
    }
}

/// Runs a target on the corpus, and on as many mutations of it.
fn run(target: fn(&[u8]), corpus: &[Vec<u8>], words: &[&[u8]], rounds: usize, bytes_max: usize) {
    for bytes in corpus {
        target(bytes);
    }
    let rounds = std::env::var("FUZZ_ROUNDS").map_or(rounds, |text| text.parse().unwrap());
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    for _ in 0..rounds {
        let mut bytes = corpus[chance.below(corpus.len())].clone();
        let other = &corpus[chance.below(corpus.len())];
        for _ in 0..=chance.below(8) {
            mutate(&mut chance, &mut bytes, other, words);
        }
        bytes.truncate(bytes_max);
        target(&bytes);
    }
}

#[test]
fn frames() {
    let words: [&[u8]; 5] = [
        b"\0\0\0\x01",
        b"\0\x01\0\0",
        b"\xff\xff\xff\xff",
        b"\0\0\0\x02D",
        b"\0",
    ];
    run(
        targets::frames,
        &corpus(&["fuzz/corpus/frames"]),
        &words,
        100_000,
        4096,
    );
}

#[test]
fn session() {
    // Codes by their places in the target's table, each with its length and data.
    let words: [&[u8]; 8] = [
        b"\x03\x06<a@x>\0",
        b"\x04\x06<s@x>\0",
        b"\x05\0",
        b"\x08\0",
        b"\x09\x01x",
        b"\x0a\0",
        b"\x0b\0",
        b"\x0d\0",
    ];
    run(
        targets::session,
        &corpus(&["fuzz/corpus/session"]),
        &words,
        100_000,
        4096,
    );
}

#[test]
fn letters() {
    let words: [&[u8]; 8] = [
        b"\r\nContent-Type: multipart/mixed; boundary=x\r\n",
        b"\r\n--x\r\n",
        b"Content-Transfer-Encoding: base64\r\n",
        b"=?utf-8?q?=00?=",
        b"<blockquote>",
        b"\r\n> ",
        b"\r\n\r\n",
        b"\xff",
    ];
    run(
        targets::letters,
        &corpus(&["tests/mail"]),
        &words,
        500,
        32 << 10,
    );
}
