//! The files of a letter, as they may be listed and saved.

use std::ops::Range;

use super::super::decode::TransferEncoding;
use super::super::mime::{self, Disposition, Part};
use super::super::text::{clean_file_name, extension};

/// A file in a letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Its place in the letter: `2.1` is the first part of the second.
    pub id: String,
    /// A safe name, unique within the letter.
    pub name: String,
    /// `type/subtype` as the sender claims it.
    pub media_type: String,
    /// Size once unwrapped, in bytes; an upper bound for quoted-printable, and a lower one when
    /// only the head of the letter was read.
    pub size: u64,
    /// Whether it is meant to be shown within the text, as pictures are.
    pub inline: bool,
    /// Whether the HTML of the letter shows it.
    pub in_html: bool,
    /// What the HTML calls it (RFC 2392), without brackets.
    pub content_id: Option<String>,
    /// Where the wrapped bytes are within the letter.
    pub range: Range<usize>,
    /// How they are wrapped.
    pub encoding: TransferEncoding,
    /// What is in it, as far as it was opened: the files of a `winmail.dat`, or of a letter within
    /// its S/MIME signature.
    pub contents: Vec<Inner>,
    /// The name as the sender wrote it, and the place that HTML may call it by (RFC 2557).
    pub(super) called: Vec<String>,
}

/// A file within a file. It is listed, and saved with the file it is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inner {
    /// A safe name.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
}

/// Types that programs open without running anything in them.
const HARMLESS: [&str; 22] = [
    "application/gzip",
    "application/pdf",
    "application/zip",
    "audio/mp4",
    "audio/mpeg",
    "audio/ogg",
    "audio/wav",
    "image/bmp",
    "image/gif",
    "image/heic",
    "image/jpeg",
    "image/png",
    "image/tiff",
    "image/webp",
    "message/rfc822",
    "text/calendar",
    "text/csv",
    "text/plain",
    "text/vcard",
    "video/mp4",
    "video/quicktime",
    "video/webm",
];

/// What a type is called when nothing is to be done with it but saving.
const BYTES: &str = "application/octet-stream";

/// Endings of names that some machine runs when they are opened, directly or with macros.
const PROGRAMS: [&str; 66] = [
    "ade", "adp", "apk", "app", "appx", "bat", "cab", "chm", "cmd", "com", "cpl", "dll", "dmg",
    "docm", "dotm", "exe", "hlp", "hta", "htm", "html", "img", "inf", "ins", "iso", "isp", "jar",
    "js", "jse", "lnk", "mde", "mht", "msc", "msi", "msix", "msp", "mst", "one", "pif", "potm",
    "ppam", "ppsm", "pptm", "ps1", "psc1", "reg", "scf", "scr", "sct", "sh", "shb", "shtml", "svg",
    "sys", "url", "vb", "vbe", "vbs", "vhd", "vhdx", "wsc", "wsf", "wsh", "xhtml", "xlam", "xlsm",
    "xltm",
];

impl Attachment {
    pub(super) fn of(part: &Part, raw: &[u8], related: bool) -> Self {
        let wrapped = raw.get(part.body.clone()).unwrap_or_default();
        let called = part.name.iter().chain(&part.location).cloned();
        Self {
            id: part.id.clone(),
            name: clean_file_name(name(part)),
            media_type: part.media_type.clone(),
            size: part.encoding.decoded_len(wrapped) as u64,
            inline: part.disposition == Disposition::Inline || related,
            in_html: false,
            content_id: part.content_id.clone(),
            range: part.body.clone(),
            encoding: part.encoding,
            contents: Vec::new(),
            called: called.collect(),
        }
    }

    /// The type under which it may be handed to a browser or a viewer: the claimed one if nothing
    /// runs in files of that type, else plain bytes.
    #[must_use]
    pub fn safe_type(&self) -> &'static str {
        safe_type(&self.media_type)
    }

    /// Whether opening it may run a program, by the end of its name; or that of a file in it.
    #[must_use]
    pub fn may_run(&self) -> bool {
        may_run(&self.name) || self.contents.iter().any(|inner| may_run(&inner.name))
    }

    /// Whether HTML means this file when it says `src`, of which `cid` is the part behind `cid:`.
    pub(super) fn is_meant(&self, src: &str, cid: Option<&str>) -> bool {
        match cid {
            Some(cid) => self.content_id.as_deref() == Some(cid),
            None => self.called.iter().any(|name| name == src),
        }
    }
}

/// The type under which a file may be handed to a browser or a viewer: the claimed one, in lower
/// case, if nothing runs in files of that type, else plain bytes.
#[must_use]
pub fn safe_type(claimed: &str) -> &'static str {
    let mut all = HARMLESS.into_iter();
    all.find(|known| claimed == *known).unwrap_or(BYTES)
}

/// Whether opening a file of this name may run a program.
#[must_use]
pub fn may_run(name: &str) -> bool {
    let extension = extension(name).to_ascii_lowercase();
    PROGRAMS.contains(&extension.as_str())
}

/// A second `report.pdf` becomes `report-2.pdf`. Letter case does not tell names apart, because
/// on many machines it does not tell files apart.
pub(super) fn tell_apart(name: String, files: &[Attachment]) -> String {
    let taken = |name: &str| {
        let lower = name.to_lowercase();
        files.iter().any(|file| file.name.to_lowercase() == lower)
    };
    if !taken(&name) {
        return name;
    }
    let (stem, extension) = match name.rfind('.') {
        Some(at) if at > 0 => name.split_at(at),
        _ => (name.as_str(), ""),
    };
    // No more than parts are walked, so one of these is free.
    (2..=mime::PARTS_MAX + 1)
        .map(|n| format!("{stem}-{n}{extension}"))
        .find(|candidate| !taken(candidate))
        .unwrap_or(name)
}

/// The best name that a part has for itself.
fn name(part: &Part) -> &str {
    let looks_like_one = |text: &&str| {
        let extension = extension(text);
        (1..=5).contains(&extension.len()) && extension.bytes().all(|b| b.is_ascii_alphanumeric())
    };
    (part.name.as_deref())
        .or_else(|| part.description.as_deref().filter(looks_like_one))
        .or_else(|| part.location.as_deref().filter(looks_like_one))
        .unwrap_or_else(|| fallback(part))
}

/// The name of a file that has none.
fn fallback(part: &Part) -> &'static str {
    match part.media_type.as_str() {
        "message/rfc822" | "message/global" => "letter.eml",
        "message/delivery-status" | "message/global-delivery-status" => "delivery-report.txt",
        "message/disposition-notification" => "receipt.txt",
        "message/partial" | "message/external-body" => "reference.txt",
        "text/rfc822-headers" | "message/rfc822-headers" => "header.txt",
        "text/calendar" => "invitation.ics",
        "text/html" => "text.html",
        "text/plain" => "text.txt",
        "text/rtf" | "application/rtf" => "text.rtf",
        "image/jpeg" => "picture.jpg",
        "image/png" => "picture.png",
        "image/gif" => "picture.gif",
        "application/pdf" => "document.pdf",
        "application/ms-tnef" => "winmail.dat",
        "application/pkcs7-mime" | "application/x-pkcs7-mime" => "smime.p7m",
        "application/pkcs7-signature" | "application/x-pkcs7-signature" => "smime.p7s",
        "application/pgp-signature" => "signature.asc",
        "application/pgp-encrypted" => "version.asc",
        _ => "unnamed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::letter::Letter;

    fn one(fields: &str) -> Attachment {
        let raw = format!(
            "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n{fields}\r\n\r\nx\r\n--b--\r\n"
        );
        let letter = Letter::read(raw.as_bytes(), true);
        letter.attachments.first().expect("a file").clone()
    }

    #[test]
    fn what_may_run_is_seen_through_its_disguise() {
        for (fields, name, runs) in [
            (
                "Content-Disposition: attachment; filename=a.pdf",
                "a.pdf",
                false,
            ),
            (
                "Content-Disposition: attachment; filename=a.EXE",
                "a.EXE",
                true,
            ),
            (
                "Content-Disposition: attachment; filename=a.pdf.exe",
                "a.pdf.exe",
                true,
            ),
            (
                "Content-Disposition: attachment; filename=\"a.exe. \"",
                "a.exe",
                true,
            ),
            (
                "Content-Disposition: attachment; filename*0*=utf-8''a%2ee; filename*1=xe",
                "a.exe",
                true,
            ),
            (
                "Content-Type: a/b; name=\"=?utf-8?q?a=2Eexe?=\"\r\nContent-Disposition: attachment",
                "a.exe",
                true,
            ),
            (
                "Content-Disposition: attachment; filename=\"a\u{202e}fdp.exe\"",
                "afdp.exe",
                true,
            ),
            (
                "Content-Disposition: attachment; filename=exe",
                "exe",
                false,
            ),
        ] {
            let file = one(fields);
            assert_eq!(
                (file.name.as_str(), file.may_run()),
                (name, runs),
                "{fields}"
            );
        }
    }

    #[test]
    fn claimed_types_are_not_believed() {
        for (claimed, safe) in [
            ("application/pdf", "application/pdf"),
            ("IMAGE/PNG", "image/png"),
            ("image/svg+xml", BYTES),
            ("text/javascript", BYTES),
            ("application/xhtml+xml", BYTES),
            ("nonsense", BYTES),
        ] {
            let file = one(&format!(
                "Content-Type: {claimed}; name=a\r\nContent-Disposition: attachment"
            ));
            let expected = if claimed == "nonsense" {
                "text/plain"
            } else {
                safe
            };
            assert_eq!(file.safe_type(), expected, "{claimed}");
        }
    }
}
