//! Transparency: how the bytes of a message stand between DATA and the final dot.
//!
//! RFC 5321, 4.5.2 doubles a dot at the beginning of a line; 2.3.8 forbids a bare CR or LF, which
//! some servers would take for the end of a line and so be smuggled a second message. Works on
//! pieces of any size, so that a large message is never held at once.

/// What the last byte was, as far as the next one needs to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    /// The beginning of a line, or of the message.
    LineStart,
    /// A CR that may be followed by its LF.
    Cr,
    /// Anything else.
    Other,
}

/// Turns a message into what is sent after DATA, piece by piece.
#[derive(Debug)]
pub struct Transparency {
    last: Last,
}

impl Default for Transparency {
    fn default() -> Self {
        Self {
            last: Last::LineStart,
        }
    }
}

impl Transparency {
    /// Appends the next piece of the message to `out`: dots at line beginnings doubled, a bare CR
    /// or LF made CR LF. At most twice as long as the piece, and one byte.
    pub fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        out.reserve(piece.len() + 16);
        for &byte in piece {
            match (self.last, byte) {
                (Last::Cr, b'\n') => {
                    out.push(b'\n');
                    self.last = Last::LineStart;
                    continue;
                }
                (Last::Cr, _) => {
                    // The CR stood alone.
                    out.push(b'\n');
                    self.last = Last::LineStart;
                }
                (Last::LineStart | Last::Other, _) => {}
            }
            match byte {
                b'\r' => {
                    out.push(b'\r');
                    self.last = Last::Cr;
                }
                b'\n' => {
                    out.extend_from_slice(b"\r\n");
                    self.last = Last::LineStart;
                }
                b'.' if self.last == Last::LineStart => {
                    out.extend_from_slice(b"..");
                    self.last = Last::Other;
                }
                _ => {
                    out.push(byte);
                    self.last = Last::Other;
                }
            }
        }
    }

    /// Ends the last line if the message did not. Only the final dot is missing then.
    pub fn finish(self, out: &mut Vec<u8>) {
        match self.last {
            Last::LineStart => {}
            Last::Cr => out.push(b'\n'),
            Last::Other => out.extend_from_slice(b"\r\n"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encode(pieces: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut transparency = Transparency::default();
        for piece in pieces {
            transparency.push(piece, &mut out);
        }
        transparency.finish(&mut out);
        out
    }

    #[test]
    fn known_bytes() {
        for (message, sent) in [
            ("", ""),
            ("a", "a\r\n"),
            ("a\r\n", "a\r\n"),
            (".", "..\r\n"),
            (".\r\n", "..\r\n"),
            ("a\r\n.\r\nb\r\n", "a\r\n..\r\nb\r\n"),
            ("a\r\n..b\r\n", "a\r\n...b\r\n"),
            ("a.b\r\n", "a.b\r\n"),
            ("a\n.\nb\n", "a\r\n..\r\nb\r\n"),
            ("a\r.\rb", "a\r\n..\r\nb\r\n"),
            ("a\n.\r\nMAIL FROM:<>", "a\r\n..\r\nMAIL FROM:<>\r\n"),
            ("\r", "\r\n"),
            ("\r\r\n", "\r\n\r\n"),
            ("\n\r", "\r\n\r\n"),
        ] {
            let found = encode(&[message.as_bytes()]);
            assert_eq!(String::from_utf8(found).unwrap(), sent, "{message:?}");
        }
    }

    /// The receiver's half, written from RFC 5321, 4.5.2 alone.
    fn decode(sent: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut line_start = true;
        for (place, &byte) in sent.iter().enumerate() {
            if !(line_start && byte == b'.') {
                out.push(byte);
            }
            line_start = sent[..=place].ends_with(b"\r\n");
        }
        out
    }

    fn awkward() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![
            Just(b'.'),
            Just(b'\r'),
            Just(b'\n'),
            Just(b'a'),
            any::<u8>()
        ];
        proptest::collection::vec(byte, 0..64)
    }

    proptest! {
        #[test]
        fn lines_come_back(lines in proptest::collection::vec(awkward(), 0..8)) {
            let mut message = Vec::new();
            for line in lines {
                message.extend(line.into_iter().filter(|byte| !b"\r\n".contains(byte)));
                message.extend_from_slice(b"\r\n");
            }
            prop_assert_eq!(decode(&encode(&[&message])), message);
        }

        #[test]
        fn where_the_pieces_end_does_not_matter(message in awkward(), cut in 0usize..64) {
            let cut = cut.min(message.len());
            let (left, right) = message.split_at(cut);
            prop_assert_eq!(encode(&[left, right]), encode(&[&message]));
        }

        #[test]
        fn nothing_looks_like_an_end(message in awkward()) {
            let mut sent = b"\r\n".to_vec();
            sent.extend(encode(&[&message]));
            for end in [&b"\n.\r"[..], b"\n.\n", b"\r.\r", b"\r.\n"] {
                prop_assert!(!sent.windows(end.len()).any(|window| window == end));
            }
            prop_assert!(sent.ends_with(b"\r\n"));
        }
    }
}
