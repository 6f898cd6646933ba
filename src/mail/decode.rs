//! From bytes to text: charsets, transfer encodings and the encoded words of header fields.
//!
//! Labels lie and data is cut short, so nothing here fails: what cannot be decoded as it says is
//! decoded as it most probably is, and at worst shows a replacement character.

use mail_parser::decoders::base64::base64_decode;
use mail_parser::decoders::charsets::map::charset_decoder;
use serde::{Deserialize, Serialize};

/// How a body is wrapped for transport (RFC 2045, section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TransferEncoding {
    /// As it is: 7bit, 8bit, binary, and whatever else a program claims.
    Identity,
    /// Three bytes in four letters.
    Base64,
    /// `=C3=A4` for what is not plain.
    QuotedPrintable,
}

impl TransferEncoding {
    /// Reads the value of a `Content-Transfer-Encoding` field. Unknown ones are taken as
    /// identity, because showing something beats showing nothing.
    #[must_use]
    pub fn parse(value: &str) -> Self {
        let token = Self::token(value);
        if token.eq_ignore_ascii_case("base64") {
            Self::Base64
        } else if token.eq_ignore_ascii_case("quoted-printable") {
            Self::QuotedPrintable
        } else {
            Self::Identity
        }
    }

    /// Whether a value is one of RFC 2045, section 6.1, or missing.
    #[must_use]
    pub fn is_known(value: &str) -> bool {
        let known = ["", "7bit", "8bit", "binary", "base64", "quoted-printable"];
        let token = Self::token(value);
        known.iter().any(|known| token.eq_ignore_ascii_case(known))
    }

    fn token(value: &str) -> &str {
        let mut pieces = value.trim().split([';', ' ', '\t', '(']);
        pieces.next().unwrap_or_default()
    }

    /// Unwraps a body. Bytes outside the encoding's alphabet are skipped or kept, never fatal.
    #[must_use]
    pub fn decode(self, body: &[u8]) -> Vec<u8> {
        match self {
            Self::Identity => body.to_vec(),
            Self::Base64 => base64_decode(body).unwrap_or_else(|| base64_lenient(body)),
            Self::QuotedPrintable => quoted_printable(body, false),
        }
    }

    /// Size of the body once unwrapped, in bytes, without unwrapping it; for quoted-printable an
    /// upper bound.
    #[must_use]
    pub fn decoded_len(self, body: &[u8]) -> usize {
        match self {
            Self::Identity | Self::QuotedPrintable => body.len(),
            Self::Base64 => body.iter().filter(|&&b| is_base64(b)).count() * 3 / 4,
        }
    }
}

/// Unwraps a body that comes in pieces, so that a large file is never in memory as a whole.
#[derive(Debug)]
pub struct Unwrapper {
    encoding: TransferEncoding,
    /// What cannot be decoded before more comes: less than four letters of base 64, or the
    /// beginning of a line of quoted-printable.
    pending: Vec<u8>,
}

impl Unwrapper {
    /// Longest line of quoted-printable that is waited for, in bytes; RFC 2045 allows 76. Of a
    /// longer one, blanks at the end of a piece are lost.
    const LINE_BYTES_MAX: usize = 64 << 10;

    /// For a body that is wrapped like this.
    #[must_use]
    pub const fn new(encoding: TransferEncoding) -> Self {
        Self {
            encoding,
            pending: Vec::new(),
        }
    }

    /// Takes the next piece; what can be said so far.
    #[must_use]
    pub fn push(&mut self, piece: &[u8]) -> Vec<u8> {
        match self.encoding {
            TransferEncoding::Identity => piece.to_vec(),
            TransferEncoding::Base64 => {
                let mut out = Vec::with_capacity(piece.len() / 4 * 3 + 3);
                for &byte in piece {
                    if is_base64(byte) {
                        self.pending.push(byte);
                    }
                    if self.pending.len() == 4 || byte == b'=' {
                        self.flush_letters(&mut out);
                    }
                }
                out
            }
            TransferEncoding::QuotedPrintable => {
                self.pending.extend_from_slice(piece);
                let line_end = self.pending.iter().rposition(|&b| b == b'\n');
                let end = match line_end {
                    Some(at) => at + 1,
                    None if self.pending.len() < Self::LINE_BYTES_MAX => return Vec::new(),
                    // Not in the middle of `=C3`.
                    None => (self.pending.iter().rev().take(3))
                        .position(|&b| b == b'=')
                        .map_or(self.pending.len(), |from_end| {
                            self.pending.len() - from_end - 1
                        }),
                };
                let rest = self.pending.split_off(end);
                let whole = std::mem::replace(&mut self.pending, rest);
                quoted_printable(&whole, false)
            }
        }
    }

    /// What is left when nothing more comes.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        match self.encoding {
            TransferEncoding::Identity => Vec::new(),
            TransferEncoding::Base64 => {
                let mut out = Vec::new();
                self.flush_letters(&mut out);
                out
            }
            TransferEncoding::QuotedPrintable => quoted_printable(&self.pending, false),
        }
    }

    /// Decodes the pending letters, of which there are at most four. One alone holds six bits,
    /// which are no byte.
    fn flush_letters(&mut self, out: &mut Vec<u8>) {
        let mut bits = 0u32;
        for letter in &self.pending {
            bits = bits << 6 | sextet(*letter);
        }
        let letters = self.pending.len();
        bits <<= 6 * (4 - letters.min(4));
        let [_, bytes @ ..] = bits.to_be_bytes();
        out.extend(bytes.iter().take(letters.saturating_sub(1)));
        self.pending.clear();
    }
}

/// The six bits of a letter of base 64 (RFC 4648, section 4).
fn sextet(letter: u8) -> u32 {
    u32::from(match letter {
        b'A'..=b'Z' => letter - b'A',
        b'a'..=b'z' => letter - b'a' + 26,
        b'0'..=b'9' => letter - b'0' + 52,
        b'+' => 62,
        _ => 63,
    })
}

const fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/')
}

/// What can be saved of base 64 with foreign bytes in it: RFC 2045, section 6.8, tells readers to
/// ignore them.
fn base64_lenient(body: &[u8]) -> Vec<u8> {
    let mut letters: Vec<u8> = body.iter().copied().filter(|&b| is_base64(b)).collect();
    // A single letter at the end holds six bits, which are no byte.
    if letters.len() % 4 == 1 {
        letters.pop();
    }
    base64_decode(&letters).unwrap_or_default()
}

/// Quoted-printable as RFC 2045, section 6.7, asks of careful readers: an `=` that starts nothing
/// stands for itself, and blanks before a line end are dropped. In encoded words (`words`), an
/// underscore is a blank (RFC 2047, section 4.2).
fn quoted_printable(body: &[u8], words: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    for line in body.split_inclusive(|&b| b == b'\n') {
        let content = line.trim_ascii_end();
        let ending = if line.ends_with(b"\r\n") {
            &b"\r\n"[..]
        } else if line.ends_with(b"\n") {
            &b"\n"[..]
        } else {
            &b""[..]
        };
        let mut rest = if words { line } else { content };
        let mut soft = false;
        while let Some((&byte, tail)) = rest.split_first() {
            rest = tail;
            match (byte, tail) {
                (b'=', []) => soft = true,
                (b'=', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                    (Some(high), Some(low)) => {
                        out.push(high << 4 | low);
                        rest = after;
                    }
                    _ => out.push(byte),
                },
                (b'_', _) if words => out.push(b' '),
                _ => out.push(byte),
            }
        }
        if !soft && !words {
            out.extend_from_slice(ending);
        }
    }
    out
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|d| u8::try_from(d).ok())
}

/// Turns bytes into text by the charset they claim; without a claim, or with one nobody knows, by
/// what they look like: ISO-2022-JP if its escapes are there, UTF-8 if it is valid, else
/// Windows-1252, in which every byte is some character.
#[must_use]
pub fn charset(label: Option<&str>, bytes: &[u8]) -> String {
    let label = label.map(|l| l.trim_matches([' ', '\t', '"', '\'']).to_ascii_lowercase());
    let label = match label.as_deref() {
        None | Some("" | "unknown" | "unknown-8bit" | "default" | "_iso-2022-jp$esc") => None,
        // Labels of the wild that the table lacks.
        Some("utf8" | "utf-8mb4" | "unicode-1-1-utf-8" | "us-ascii" | "ascii") => Some("utf-8"),
        Some("cp-1252" | "x-user-defined" | "ansi") => Some("windows-1252"),
        Some("ks_c_5601-1987" | "ms949" | "x-windows-949") => Some("euc-kr"),
        Some("gb2312" | "x-gbk") => Some("gb18030"),
        Some("iso-8859-8-i") => Some("iso-8859-8"),
        Some("x-sjis" | "ms932" | "cp932" | "windows-31j") => Some("shift_jis"),
        Some(other) => Some(other),
    };
    // UTF-8 that is not valid is almost always Windows-1252 under a wrong label.
    if matches!(label, None | Some("utf-8")) {
        return guess(bytes);
    }
    match label.and_then(|l| charset_decoder(l.as_bytes())) {
        Some(decode) => decode(bytes),
        None => guess(bytes),
    }
}

fn guess(bytes: &[u8]) -> String {
    let escapes = [&b"\x1b$B"[..], b"\x1b$@", b"\x1b(J", b"\x1b(I"];
    let japanese = bytes.is_ascii() && bytes.windows(3).any(|window| escapes.contains(&window));
    if japanese && let Some(decode) = charset_decoder(b"iso-2022-jp") {
        return decode(bytes);
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        // Cut in the middle of the last character, after others that were whole: still UTF-8.
        Err(error)
            if error.error_len().is_none()
                && !bytes
                    .get(..error.valid_up_to())
                    .is_some_and(<[u8]>::is_ascii) =>
        {
            String::from_utf8_lossy(bytes).into_owned()
        }
        Err(_) => match charset_decoder(b"windows-1252") {
            Some(decode) => decode(bytes),
            None => String::from_utf8_lossy(bytes).into_owned(),
        },
    }
}

/// Most bytes of one header field value that are decoded.
const VALUE_BYTES_MAX: usize = 64 << 10;

/// The value of a header field as one line of text, its encoded words still encoded: unfolded
/// (RFC 5322, section 2.2.3), 8-bit bytes read as UTF-8 (RFC 6532) or as guessed.
#[must_use]
pub fn unfold(value: &[u8]) -> String {
    let value = value.get(..VALUE_BYTES_MAX).unwrap_or(value);
    let mut text = guess(value);
    text.retain(|c| !matches!(c, '\r' | '\n'));
    text.trim_matches([' ', '\t']).to_owned()
}

/// As [`unfold`], but of a value too long to be decoded whole the end is kept: in lists of
/// ancestors the newest stand last.
#[must_use]
pub fn unfold_end(value: &[u8]) -> String {
    let start = value.len().saturating_sub(VALUE_BYTES_MAX);
    unfold(value.get(start..).unwrap_or(value))
}

/// Joins the lines of `format=flowed` text (RFC 3676) that belong to one paragraph: a line that
/// ends in a blank continues on the next, if that is quoted as deep. With `delsp` the blank goes.
#[must_use]
pub fn unflow(text: &str, delsp: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut flowing: Option<usize> = None;
    for line in text.lines() {
        let content = line.trim_start_matches('>');
        let depth = line.len() - content.len();
        // Section 4.4: one blank before the text is stuffing.
        let content = content.strip_prefix(' ').unwrap_or(content);
        // Section 4.3: the signature's separator does not flow.
        let signature = content == "-- ";
        if flowing != Some(depth) || signature {
            if !out.is_empty() {
                out.push('\n');
            }
            out.extend(std::iter::repeat_n('>', depth));
            if depth > 0 && !content.is_empty() {
                out.push(' ');
            }
        }
        let flows = content.ends_with(' ') && !signature;
        out.push_str(match content.strip_suffix(' ') {
            Some(cut) if flows && delsp => cut,
            _ => content,
        });
        flowing = flows.then_some(depth);
    }
    out
}

/// Replaces the encoded words of a text (RFC 2047) by what they stand for.
///
/// White space between two encoded words is dropped (section 6.2). The bytes of neighbours with
/// the same charset are joined before they are decoded: programs cut characters in two, although
/// section 5 forbids it. Words without a blank around them are decoded too, as all readers do.
#[must_use]
pub fn encoded_words(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut pending: Option<(&str, Vec<u8>)> = None;
    let mut rest = text;
    while let Some(at) = rest.find("=?") {
        let (before, from) = rest.split_at(at);
        let Some((word, after)) = EncodedWord::parse(from) else {
            flush(&mut out, &mut pending);
            out.push_str(before);
            out.push_str("=?");
            rest = from.get(2..).unwrap_or_default();
            continue;
        };
        let adjacent = pending.is_some() && before.chars().all(char::is_whitespace);
        if !adjacent {
            flush(&mut out, &mut pending);
            out.push_str(before);
        }
        match &mut pending {
            Some((charset, bytes)) if charset.eq_ignore_ascii_case(word.charset) => {
                bytes.extend_from_slice(&word.bytes);
            }
            _ => {
                flush(&mut out, &mut pending);
                pending = Some((word.charset, word.bytes));
            }
        }
        rest = after;
    }
    flush(&mut out, &mut pending);
    out.push_str(rest);
    out
}

fn flush(out: &mut String, pending: &mut Option<(&str, Vec<u8>)>) {
    if let Some((label, bytes)) = pending.take() {
        out.push_str(&charset(Some(label), &bytes));
    }
}

/// One `=?charset?encoding?text?=`.
struct EncodedWord<'a> {
    charset: &'a str,
    bytes: Vec<u8>,
}

impl<'a> EncodedWord<'a> {
    /// Longest encoded word read, in bytes. RFC 2047 allows 75; programs write whole subjects.
    const BYTES_MAX: usize = 4096;

    /// Reads the word that `text` begins with, and what follows it.
    fn parse(text: &'a str) -> Option<(Self, &'a str)> {
        let inner = text.strip_prefix("=?")?;
        let window = super::text::prefix(inner, Self::BYTES_MAX);
        let (label, window) = window.split_once('?')?;
        let (encoding, window) = window.split_once('?')?;
        let (content, _) = window.split_once("?=")?;
        // RFC 2231, section 5: a language may follow the charset.
        let label_only = label.split('*').next().unwrap_or_default();
        if label_only.is_empty() || label.contains(char::is_whitespace) {
            return None;
        }
        let bytes = if encoding.eq_ignore_ascii_case("b") {
            TransferEncoding::Base64.decode(content.as_bytes())
        } else if encoding.eq_ignore_ascii_case("q") {
            quoted_printable(content.as_bytes(), true)
        } else {
            return None;
        };
        let len = label.len() + 1 + encoding.len() + 1 + content.len() + 2;
        let word = Self {
            charset: label_only,
            bytes,
        };
        Some((word, inner.get(len..)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        for (text, decoded) in [
            ("plain", "plain"),
            ("=?utf-8?q?Gr=C3=BC=C3=9Fe_an?= alle", "Grüße an alle"),
            ("=?UTF-8?B?R3LDvMOfZQ==?=", "Grüße"),
            ("=?utf-8?q?a?= =?utf-8?q?b?=", "ab"),
            ("=?utf-8?q?a?=\t =?iso-8859-1?q?=FC?= c", "aü c"),
            ("=?utf-8?q?a?= x =?utf-8?q?b?=", "a x b"),
            ("=?iso-8859-1*de?q?=FC?=", "ü"),
            // One character cut in two.
            ("=?utf-8?q?Gr=C3?= =?utf-8?q?=BC=C3=9Fe?=", "Grüße"),
            ("=?utf-8?b?R3LD?= =?utf-8?b?vMOfZQ==?=", "Grüße"),
            ("=?iso-2022-jp?b?GyRCJDMkcyRLJEEkTxsoQg==?=", "こんにちは"),
            ("=?utf-8?q?a b?=", "a b"),
            ("=?utf-8?x?a?=", "=?utf-8?x?a?="),
            ("=?utf-8?q?a", "=?utf-8?q?a"),
            ("=?=?=?", "=?=?=?"),
            ("1 =? 2", "1 =? 2"),
            ("=?nonsense?q?a=FC?=", "aü"),
        ] {
            assert_eq!(encoded_words(text), decoded, "{text:?}");
        }
    }

    #[test]
    fn charsets() {
        for (label, bytes, text) in [
            (None, &b"plain"[..], "plain"),
            (None, "ä".as_bytes(), "ä"),
            (None, b"\xe4", "ä"),
            (None, b"\xc3\xa4\xc3", "ä\u{fffd}"),
            (Some("utf-8"), b"\xe4", "ä"),
            (Some("utf8"), "ä".as_bytes(), "ä"),
            (Some("us-ascii"), "ä".as_bytes(), "ä"),
            (Some("cp-1252"), b"\x80", "€"),
            (Some("x-user-defined"), b"\xe4", "ä"),
            (Some("iso-8859-8-i"), b"\xf9\xec\xe5\xed", "שלום"),
            (Some("ks_c_5601-1987"), b"\xb0\xa1", "가"),
            (Some("gb2312"), b"\xe9\x46", "镕"),
            (Some("ISO-2022-JP"), b"\x1b$B$3\x1b(B", "こ"),
            (None, b"\x1b$B$3\x1b(B", "こ"),
            (Some("\"koi8-r\""), b"\xc1", "а"),
            (Some("no-such-charset"), b"\xe4", "ä"),
        ] {
            assert_eq!(charset(label, bytes), text, "{label:?} {bytes:?}");
        }
    }

    #[test]
    fn transfer_encodings() {
        use TransferEncoding::*;
        for (encoding, body, decoded) in [
            (Identity, &b"a=3D"[..], &b"a=3D"[..]),
            (Base64, b"aGVs\r\nbG8=", b"hello"),
            (Base64, b"aGVs*bG8", b"hello"),
            (Base64, b"aGVs-bG8-!", b"hello"),
            (Base64, b"", b""),
            (QuotedPrintable, b"a=3Db=\r\nc  \r\nd", b"a=bc\r\nd"),
            (QuotedPrintable, b"50 = 50 == 100=", b"50 = 50 == 100"),
            (QuotedPrintable, b"a=C3=A4=zz", b"a\xc3\xa4=zz"),
            (QuotedPrintable, b"=", b""),
            (QuotedPrintable, b"=A", b"=A"),
        ] {
            assert_eq!(encoding.decode(body), decoded, "{body:?}");
        }
        for (value, encoding) in [
            ("BASE64", Base64),
            (" quoted-printable (really)", QuotedPrintable),
            ("8-bit", Identity),
            ("text/html", Identity),
        ] {
            assert_eq!(TransferEncoding::parse(value), encoding);
        }
        assert_eq!(Base64.decoded_len(b"aGVs\r\nbG8="), 5);
    }

    #[test]
    fn pieces_unwrap_like_the_whole() {
        use TransferEncoding::*;
        for (encoding, body, decoded) in [
            (Identity, &b"a=3D"[..], &b"a=3D"[..]),
            (Base64, b"aGVs\r\nbG8=", b"hello"),
            (Base64, b"aGVs*bG8", b"hello"),
            (Base64, b"aA==aGVs", b"hhel"),
            (Base64, b"aGVsb", b"hel"),
            (Base64, b"+/+/", b"\xfb\xff\xbf"),
            (QuotedPrintable, b"a=3Db=\r\nc  \r\nd=C3", b"a=bc\r\nd\xc3"),
            (QuotedPrintable, b"=", b""),
        ] {
            for size in 1..=body.len() {
                let mut unwrapper = Unwrapper::new(encoding);
                let mut got = Vec::new();
                for piece in body.chunks(size) {
                    got.extend(unwrapper.push(piece));
                }
                got.extend(unwrapper.finish());
                assert_eq!(got, decoded, "{body:?} in pieces of {size}");
            }
        }
        let mut unwrapper = Unwrapper::new(QuotedPrintable);
        let mut got = Vec::new();
        for piece in b"=C3=A4x".repeat(100_000).chunks(1000) {
            got.extend(unwrapper.push(piece));
            assert!(unwrapper.pending.len() <= Unwrapper::LINE_BYTES_MAX);
        }
        got.extend(unwrapper.finish());
        assert_eq!(got, "äx".repeat(100_000).as_bytes());
    }

    #[test]
    fn flowed_text_joins() {
        for (text, delsp, joined) in [
            ("one \ntwo\nthree", false, "one two\nthree"),
            ("one \ntwo", true, "onetwo"),
            ("> a \n> b\nc", false, "> a b\nc"),
            ("> a \n>> b", false, "> a \n>> b"),
            (" >not quoted", false, ">not quoted"),
            ("bye\n-- \nAnna", false, "bye\n-- \nAnna"),
            ("a\n\nb", false, "a\n\nb"),
        ] {
            assert_eq!(unflow(text, delsp), joined, "{text:?}");
        }
    }

    #[test]
    fn values_unfold() {
        assert_eq!(unfold(b" a\r\n\tb \r\n"), "a\tb");
        assert_eq!(unfold(b"caf\xe9"), "caf\u{e9}");
    }
}
