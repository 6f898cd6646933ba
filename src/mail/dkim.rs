//! Signatures that we put on letters (DKIM, RFC 6376): the field, and the bytes that are signed.
//!
//! Header and body are in the relaxed form. Ours because a library that signs wants the whole
//! letter in memory; here the body is digested on its way.

use super::header::Header;
use crate::time::Timestamp;

/// Fields that are signed, in the order of the `h=` tag. RFC 6376, section 5.4.1.
const SIGNED: [&str; 15] = [
    "From",
    "Reply-To",
    "Subject",
    "Date",
    "To",
    "Cc",
    "Message-ID",
    "In-Reply-To",
    "References",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
    "Auto-Submitted",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
];

/// Of these a further one breaks the signature: a second From or Subject is a favourite trick
/// (RFC 6376, section 8.15).
const SEALED: [&str; 6] = ["From", "Reply-To", "Subject", "Date", "To", "Cc"];

/// Longest line of the field before it is folded, in bytes (RFC 5322, section 2.1.1).
const LINE_BYTES: usize = 76;

/// With what is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// RSA with SHA-256.
    Rsa,
    /// Ed25519, RFC 8463.
    Ed25519,
}

impl Algorithm {
    /// The `a=` tag.
    #[must_use]
    pub const fn tag(self) -> &'static str {
        match self {
            Self::Rsa => "rsa-sha256",
            Self::Ed25519 => "ed25519-sha256",
        }
    }
}

/// A signature field without its signature, and the bytes over which that is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsigned {
    field: String,
    bytes: Vec<u8>,
}

impl Unsigned {
    /// Prepares the signature of a letter.
    ///
    /// `body_digest` is the SHA-256 of the body in its relaxed form
    /// ([`super::canonical::Canonical`]). Domain and selector must be host names: they are written
    /// as they are.
    #[must_use]
    pub fn new(
        header: &Header<'_>,
        body_digest: &[u8; 32],
        (domain, selector): (&str, &str),
        algorithm: Algorithm,
        at: Timestamp,
    ) -> Self {
        let mut bytes = Vec::new();
        let mut names = Vec::new();
        for name in SIGNED {
            let values: Vec<&[u8]> = header.all(name).collect();
            // The last one stands first (RFC 6376, section 5.4.2).
            for value in values.iter().rev() {
                relaxed(name, value, &mut bytes);
                bytes.extend_from_slice(b"\r\n");
            }
            let sealed = usize::from(SEALED.contains(&name));
            names.extend(std::iter::repeat_n(name, values.len() + sealed));
        }
        let digest = data_encoding::BASE64.encode(body_digest);
        let mut field = Folded::new("DKIM-Signature:");
        field.put(" v=1;");
        field.put(&format!(" a={};", algorithm.tag()));
        field.put(" c=relaxed/relaxed;");
        field.put(&format!(" d={domain};"));
        field.put(&format!(" s={selector};"));
        field.put(&format!(" t={};", at.as_secs()));
        for (place, name) in names.iter().enumerate() {
            let begin = if place == 0 { " h=" } else { "" };
            let end = if place + 1 == names.len() { ";" } else { ":" };
            field.put(&format!("{begin}{name}{end}"));
        }
        field.put(&format!(" bh={digest};"));
        field.put(" b=");
        let field = field.text;
        let (name, value) = field.split_once(':').unwrap_or_default();
        relaxed(name, value.as_bytes(), &mut bytes);
        Self { field, bytes }
    }

    /// What is to be signed: for RSA these bytes, for Ed25519 their SHA-256 (RFC 8463, section 3).
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The whole field with the signature in it, its line end included.
    #[must_use]
    pub fn signed(self, signature: &[u8]) -> String {
        let mut field = Folded::going_on(self.field);
        let signature = data_encoding::BASE64.encode(signature);
        for piece in signature.as_bytes().chunks(LINE_BYTES - 8) {
            field.put(&String::from_utf8_lossy(piece));
        }
        field.text + "\r\n"
    }
}

/// A field on its way, folded before it gets too long.
struct Folded {
    text: String,
    column: usize,
}

impl Folded {
    fn new(begin: &str) -> Self {
        Self::going_on(begin.to_owned())
    }

    fn going_on(text: String) -> Self {
        let column = text
            .rsplit_once('\n')
            .map_or(text.len(), |(_, last)| last.len());
        Self { text, column }
    }

    /// Puts a piece that stays in one line; what it begins with may turn into a fold.
    fn put(&mut self, piece: &str) {
        if self.column + piece.len() > LINE_BYTES {
            let piece = piece.trim_start();
            self.text.push_str("\r\n\t");
            self.text.push_str(piece);
            self.column = 1 + piece.len();
        } else {
            self.text.push_str(piece);
            self.column += piece.len();
        }
    }
}

/// A field in the relaxed form, without its line end (RFC 6376, section 3.4.2).
fn relaxed(name: &str, value: &[u8], out: &mut Vec<u8>) {
    out.extend(name.bytes().map(|byte| byte.to_ascii_lowercase()));
    out.push(b':');
    let words = value
        .split(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
        .filter(|word| !word.is_empty());
    for (place, word) in words.enumerate() {
        if place > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unsigned(letter: &str) -> Unsigned {
        let header = Header::parse(letter.as_bytes());
        let at = Timestamp::from_millis(1_700_000_000_999);
        Unsigned::new(
            &header,
            &[7; 32],
            ("shop.example", "2026a"),
            Algorithm::Rsa,
            at,
        )
    }

    #[test]
    fn the_field_and_what_is_signed() {
        let made = unsigned(
            "Received: by us\r\nFROM:  Shop \r\n\t <help@shop.example> \r\nSubject: a\r\n  b\r\n\r\ntext",
        );
        let bytes = String::from_utf8(made.bytes().to_vec()).unwrap();
        assert_eq!(
            bytes,
            "from:Shop <help@shop.example>\r\nsubject:a b\r\n\
             dkim-signature:v=1; a=rsa-sha256; c=relaxed/relaxed; d=shop.example; s=2026a; \
             t=1700000000; h=From:From:Reply-To:Subject:Subject:Date:To:Cc; \
             bh=BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=; b="
        );
        let field = made.signed(&[1; 256]);
        assert!(field.starts_with("DKIM-Signature: v=1;") && field.ends_with("\r\n"));
        assert!(
            field.lines().all(|line| line.len() <= LINE_BYTES),
            "{field}"
        );
    }

    #[test]
    fn of_several_fields_the_last_stands_first() {
        let made = unsigned("From: a@x\r\nTo: 1\r\nTo: 2\r\n\r\n");
        let bytes = String::from_utf8(made.bytes().to_vec()).unwrap();
        assert!(
            bytes.starts_with("from:a@x\r\nto:2\r\nto:1\r\ndkim"),
            "{bytes}"
        );
        assert!(bytes.contains("To:To:To:Cc"), "{bytes}");
    }

    #[test]
    fn a_long_list_of_names_is_folded_where_white_space_counts_for_nothing() {
        let all: String = SIGNED.iter().map(|name| format!("{name}: 1\r\n")).collect();
        let made = unsigned(&(all + "\r\n"));
        let field = made.signed(&[1; 64]);
        assert!(
            field.lines().all(|line| line.len() <= LINE_BYTES),
            "{field}"
        );
        assert!(field.contains("MIME-Version:"), "{field}");
    }
}
