//! Letters with bytes changed, cut out, doubled and moved: reading them never fails.
//!
//! The changes come from a fixed seed, so a letter that fails once fails always; the message says
//! which it was.

use std::fs;

use postroom::mail::html::HTML_BYTES_MAX;
use postroom::mail::letter::{TEXT_BYTES_MAX, View};

/// Broken letters made of each golden one.
const ROUNDS: u64 = 25;

/// Golden letters larger than this are broken elsewhere: they are about their size.
const LETTER_BYTES_MAX: usize = 20_000;

/// What turns one thing into another when it comes in the wrong place.
const PIECES: [&[u8]; 16] = [
    b"\r\n\r\n",
    b"\n",
    b"\r",
    b"--b\r\n",
    b"--b--",
    b"=?utf-8?b?",
    b"?=",
    b"=",
    b"\0",
    b"\xff",
    b"<",
    b"<!--",
    b"\"",
    b";",
    b"Content-Type: multipart/mixed; boundary=b\r\n",
    b"&#",
];

/// Xorshift: enough chance for breaking letters, and the same on every machine.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % (end.max(1) as u64)).expect("it is below a usize")
    }
}

fn broken(letter: &[u8], chance: &mut Chance) -> Vec<u8> {
    let mut raw = letter.to_vec();
    for _ in 0..=chance.below(6) {
        let at = chance.below(raw.len());
        let end = at + chance.below((raw.len() - at).min(200));
        match chance.below(5) {
            0 => {
                if let Some(byte) = raw.get_mut(at) {
                    *byte = u8::try_from(chance.below(256)).expect("a byte");
                }
            }
            1 => drop(raw.drain(at..end)),
            2 => {
                let piece = PIECES[chance.below(PIECES.len())];
                raw.splice(at..at, piece.iter().copied());
            }
            3 => {
                let again = raw[at..end].to_vec();
                raw.splice(at..at, again);
            }
            _ => {
                let moved: Vec<u8> = raw.drain(at..end).collect();
                let to = chance.below(raw.len());
                raw.splice(to..to, moved);
            }
        }
    }
    raw
}

#[test]
fn broken_letters_are_letters() {
    for (number, path) in super::letters().iter().enumerate() {
        let letter = fs::read(path).expect("the letter can be read");
        if letter.len() > LETTER_BYTES_MAX {
            continue;
        }
        for round in 0..ROUNDS {
            let seed = (number as u64 + 1) * 1_000_003 + round;
            let raw = broken(&letter, &mut Chance(seed));
            let read = std::panic::catch_unwind(|| View::read(&raw, true));
            let Ok(view) = read else {
                panic!("{} with seed {seed} cannot be read", path.display());
            };
            let said = format!("{} with seed {seed}", path.display());
            let letter = &view.letter;
            assert!(!letter.subject.is_empty(), "{said}");
            assert!(letter.body.text().len() <= TEXT_BYTES_MAX, "{said}");
            let shown = [
                letter.body.fresh(),
                letter.body.signature(),
                letter.body.quoted(),
            ];
            let shown: usize = shown.iter().map(|piece| piece.len()).sum();
            assert!(shown <= letter.body.text().len(), "{said}");
            for file in &letter.attachments {
                assert!(file.range.end <= raw.len(), "{said}");
                assert!(
                    !file.name.is_empty() && !file.name.contains(['/', '\\', '\0']),
                    "{said}"
                );
            }
            if let Some(html) = &view.html {
                let html = html.text.to_ascii_lowercase();
                assert!(html.len() <= 2 * HTML_BYTES_MAX, "{said}");
                for bad in [
                    "<script", "<svg", "<iframe", "<style", "<form", "<object", "<base",
                ] {
                    assert!(!html.contains(bad), "{said} shows {bad}");
                }
            }
        }
    }
}
