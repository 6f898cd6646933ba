//! The body of a letter as signatures count it (RFC 6376, section 3.4), piece by piece.
//!
//! Ours rather than the verifier's: that one takes lines of white space at the end of a body for
//! text under the relaxed rules, so that honest signatures fail; and it wants the whole body in
//! memory.

/// How many bytes are gathered before they are handed on.
const PIECE_BYTES: usize = 4 << 10;

/// A body on its way through one of the two canonical forms.
#[derive(Debug)]
pub struct Canonical {
    relaxed: bool,
    /// Line ends that count only if text follows.
    line_ends: u64,
    /// White space in a line that counts only if text follows in the same line.
    blank: bool,
    /// The last byte was a carriage return.
    cr: bool,
    /// There was text.
    text: bool,
    out: Vec<u8>,
}

impl Canonical {
    /// Begins with a body; `relaxed` says which form it is brought into, the other is `simple`.
    #[must_use]
    pub fn new(relaxed: bool) -> Self {
        Self {
            relaxed,
            line_ends: 0,
            blank: false,
            cr: false,
            text: false,
            out: Vec::with_capacity(PIECE_BYTES),
        }
    }

    /// Takes the next piece, and hands what is certain to `sink`. A line feed alone ends a line as
    /// CR LF does; a carriage return alone is text.
    pub fn feed(&mut self, piece: &[u8], sink: &mut impl FnMut(&[u8])) {
        for &byte in piece {
            if self.cr {
                self.cr = false;
                if byte != b'\n' {
                    self.put(b'\r', sink);
                }
            }
            match byte {
                b'\r' => self.cr = true,
                b'\n' => {
                    self.line_ends += 1;
                    self.blank = false;
                }
                b' ' | b'\t' if self.relaxed => self.blank = true,
                byte => self.put(byte, sink),
            }
        }
    }

    /// Hands on what is left. Empty lines at the end do not count; a body without a single line is
    /// one line end in the simple form, and nothing in the relaxed one.
    pub fn finish(mut self, sink: &mut impl FnMut(&[u8])) {
        if self.cr {
            self.put(b'\r', sink);
        }
        if self.text || !self.relaxed {
            self.out.extend_from_slice(b"\r\n");
        }
        sink(&self.out);
    }

    fn put(&mut self, byte: u8, sink: &mut impl FnMut(&[u8])) {
        while self.line_ends > 0 {
            self.line_ends -= 1;
            self.out.extend_from_slice(b"\r\n");
            self.flush_full(sink);
        }
        if self.blank {
            self.blank = false;
            self.out.push(b' ');
        }
        self.text = true;
        self.out.push(byte);
        self.flush_full(sink);
    }

    fn flush_full(&mut self, sink: &mut impl FnMut(&[u8])) {
        if self.out.len() >= PIECE_BYTES - 2 {
            sink(&self.out);
            self.out.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(relaxed: bool, pieces: &[&[u8]]) -> String {
        let mut got = Vec::new();
        let mut sink = |bytes: &[u8]| got.extend_from_slice(bytes);
        let mut body = Canonical::new(relaxed);
        for piece in pieces {
            body.feed(piece, &mut sink);
        }
        body.finish(&mut sink);
        String::from_utf8(got).unwrap()
    }

    #[test]
    fn both_forms() {
        for (body, simple, relaxed) in [
            ("", "\r\n", ""),
            ("\r\n\r\n", "\r\n", ""),
            (" \r\n\t\r\n", " \r\n\t\r\n", ""),
            // RFC 6376, section 3.4.5.
            (
                " C \r\nD \t E\r\n\r\n\r\n",
                " C \r\nD \t E\r\n",
                " C\r\nD E\r\n",
            ),
            ("text", "text\r\n", "text\r\n"),
            ("text\r\n", "text\r\n", "text\r\n"),
            ("text\r\n \r\n", "text\r\n \r\n", "text\r\n"),
            (
                "text\r\n \t\r\n\r\n  ",
                "text\r\n \t\r\n\r\n  \r\n",
                "text\r\n",
            ),
            ("a\r\n \r\nb", "a\r\n \r\nb\r\n", "a\r\n\r\nb\r\n"),
            ("a\nb\n\n", "a\r\nb\r\n", "a\r\nb\r\n"),
            ("a\rb\r", "a\rb\r\r\n", "a\rb\r\r\n"),
            ("\r\n\r\na", "\r\n\r\na\r\n", "\r\n\r\na\r\n"),
        ] {
            for (form, expected) in [(false, simple), (true, relaxed)] {
                let whole = canonical(form, &[body.as_bytes()]);
                assert_eq!(whole, expected, "{form} {body:?}");
                let bytes: Vec<&[u8]> = body.as_bytes().chunks(1).collect();
                assert_eq!(canonical(form, &bytes), expected, "{form} {body:?}");
            }
        }
    }

    #[test]
    fn long_bodies_pass_in_pieces() {
        let body = "\r\n".repeat(10_000) + &"x \r\n".repeat(10_000);
        let relaxed = canonical(true, &[body.as_bytes()]);
        assert_eq!(relaxed, "\r\n".repeat(10_000) + &"x\r\n".repeat(10_000));
    }
}
