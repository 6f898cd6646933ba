//! Signatures and encryption: recognised, passed on as they came, and verified by nobody here.

use super::super::mime::Part;

/// How a letter or a part of it is protected. Nothing says that a signature is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protection {
    /// Signed with S/MIME, the signature beside the text (RFC 8551, section 3.5.3).
    SmimeSigned,
    /// Signed with S/MIME, the text within the signature (RFC 8551, section 3.5.2).
    SmimeOpaque,
    /// Encrypted with S/MIME (RFC 8551, sections 3.3 and 3.4).
    SmimeEncrypted,
    /// Signed with OpenPGP (RFC 3156, section 5), or as text (RFC 9580, section 7).
    PgpSigned,
    /// Encrypted with OpenPGP (RFC 3156, section 4), or as text.
    PgpEncrypted,
}

/// What a part is by its type.
pub(super) fn of(part: &Part) -> Option<Protection> {
    let protocol = || {
        part.parameter("protocol")
            .unwrap_or_default()
            .to_lowercase()
    };
    match part.media_type.as_str() {
        "multipart/signed" if protocol().contains("pgp") => Some(Protection::PgpSigned),
        "multipart/signed" if protocol().contains("pkcs7") => Some(Protection::SmimeSigned),
        "multipart/encrypted" => Some(Protection::PgpEncrypted),
        "application/pkcs7-mime" | "application/x-pkcs7-mime" => {
            let kind = part.parameter("smime-type").unwrap_or_default();
            Some(if kind.eq_ignore_ascii_case("signed-data") {
                Protection::SmimeOpaque
            } else if kind.eq_ignore_ascii_case("certs-only") {
                return None;
            } else {
                Protection::SmimeEncrypted
            })
        }
        _ => None,
    }
}

/// What a text is by its frame: PGP from before MIME.
pub(super) fn in_text(text: &str) -> Option<Protection> {
    let begins = |line: &str| text.starts_with(line) || text.contains(&format!("\n{line}"));
    if begins("-----BEGIN PGP MESSAGE-----") {
        Some(Protection::PgpEncrypted)
    } else if begins("-----BEGIN PGP SIGNED MESSAGE-----") {
        Some(Protection::PgpSigned)
    } else {
        None
    }
}
