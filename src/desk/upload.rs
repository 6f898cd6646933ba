//! An upload: a file that an agent attaches to what they write, and what may be said of it.
//!
//! Here is what is known about the file; its bytes are the engine's.

use serde::{Deserialize, Serialize};

use crate::id::{AgentId, AttachmentId, InteractionId};
use crate::mail::text::clean_file_name;
use crate::time::Timestamp;

/// Longest content type, in bytes. RFC 6838, section 4.2, allows 127 for each half.
pub const CONTENT_TYPE_BYTES_MAX: usize = 255;

/// Longest content id, in bytes.
pub const CONTENT_ID_BYTES_MAX: usize = 128;

/// A file that an agent uploads. It belongs to its interaction and goes when that ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    /// Its id.
    pub id: AttachmentId,
    /// For what it is uploaded.
    pub interaction: InteractionId,
    /// Who uploads it.
    pub agent: AgentId,
    /// Its name, safe to save under.
    pub file_name: String,
    /// `type/subtype`, in lower case.
    pub content_type: String,
    /// Its size in bytes, as announced.
    pub size: u64,
    /// Its SHA-256: announced, or computed once it was all there.
    pub digest: Option<[u8; 32]>,
    /// Whether it is meant to be shown within the text.
    pub inline: bool,
    /// What HTML calls it, without brackets; may be empty.
    pub content_id: String,
    /// When it was announced.
    pub created: Timestamp,
    /// Whether all of it is there, durable and checked.
    pub ready: bool,
}

/// A file that is announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewUpload {
    /// Its name as the client has it.
    pub file_name: String,
    /// `type/subtype`; empty for plain bytes.
    pub content_type: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256, if the client knows it.
    pub digest: Option<[u8; 32]>,
    /// Whether it is meant to be shown within the text.
    pub inline: bool,
    /// What HTML calls it, without brackets; may be empty.
    pub content_id: String,
}

impl NewUpload {
    /// Makes name and type what may be shown and sent: a name without a path or tricks, a type in
    /// lower case.
    pub(super) fn clean(&mut self) {
        self.file_name = clean_file_name(&self.file_name);
        self.content_type.make_ascii_lowercase();
        if self.content_type.is_empty() {
            self.content_type.push_str(BYTES);
        }
    }
}

/// What a file is that says nothing about itself.
const BYTES: &str = "application/octet-stream";

/// Whether this is `type/subtype` (RFC 6838, section 4.2), without parameters. An empty text is: it
/// says nothing.
#[must_use]
pub fn is_content_type(text: &str) -> bool {
    let is_name = |name: &str| {
        let mut bytes = name.bytes();
        bytes
            .next()
            .is_some_and(|first| first.is_ascii_alphanumeric())
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte))
    };
    text.is_empty()
        || (text.len() <= CONTENT_TYPE_BYTES_MAX
            && (text.split_once('/')).is_some_and(|(kind, sub)| is_name(kind) && is_name(sub)))
}

/// Whether this can name a part (RFC 2392): letters, digits and `.-_+@`, so that it may stand in a
/// header field and in HTML as it is. An empty text can.
#[must_use]
pub fn is_content_id(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_+@".contains(&byte);
    text.len() <= CONTENT_ID_BYTES_MAX && text.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_type_and_what_names_a_part() {
        for good in ["", "text/plain", "image/svg+xml", "Application/PDF", "x/y"] {
            assert!(is_content_type(good), "{good}");
        }
        let long = format!("text/{}", "x".repeat(300));
        for bad in [
            "text",
            "/",
            "text/",
            "/plain",
            "text/plain; charset=x",
            "a/b/c",
            "a b/c",
            "a/b\r\nX: y",
            "a/\u{fc}",
            "-a/b",
            &long,
        ] {
            assert!(!is_content_type(bad), "{bad:?}");
        }
        for good in ["", "logo", "part1.abc@shop.example"] {
            assert!(is_content_id(good), "{good}");
        }
        let long = "x".repeat(CONTENT_ID_BYTES_MAX + 1);
        for bad in ["a b", "<a>", "a\r\nb", "a\"b", "\u{fc}", &long] {
            assert!(!is_content_id(bad), "{bad:?}");
        }
    }

    #[test]
    fn names_and_types_are_cleaned() {
        let mut new = NewUpload {
            file_name: "..\\..\\a\u{202e}fdp\r\n.exe".to_owned(),
            content_type: "IMAGE/Png".to_owned(),
            size: 1,
            digest: None,
            inline: false,
            content_id: String::new(),
        };
        new.clean();
        assert_eq!(new.file_name, "afdp .exe");
        assert_eq!(new.content_type, "image/png");
        new.content_type.clear();
        new.clean();
        assert_eq!(new.content_type, BYTES);
    }
}
