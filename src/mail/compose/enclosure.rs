//! Enclosures: a whole letter within another, as a file beside the text.

use mail_builder::encoders::base64::Base64Encoder;

use super::{body, field};
use crate::mail::message_id::InternetMessageId;

/// Longest line that may travel unwrapped, in bytes without its end: RFC 5321, 4.5.3.1.6.
const LINE_BYTES_MAX: usize = 998;

/// The name of the enclosed letter's file.
const FILE_NAME: &str = "message.eml";

/// Writes the fields that describe the body, and the body: the text, then the letter.
pub(super) fn with_letter(
    out: &mut Vec<u8>,
    text: &str,
    letter: &[u8],
    internet_message_id: &InternetMessageId,
) {
    // The id is new and random, so no letter that is older can hold it.
    let unique = internet_message_id.as_str().bytes();
    let unique = unique.filter(u8::is_ascii_alphanumeric).take(48);
    let boundary = format!("=_{}", unique.map(char::from).collect::<String>());
    let form = Form::of(letter);
    let kind = format!("multipart/mixed;\r\n boundary=\"{boundary}\"");
    field(out, "Content-Type", &kind);
    if form == Form::EightBit {
        field(out, "Content-Transfer-Encoding", "8bit");
    }
    out.extend_from_slice(format!("\r\n--{boundary}\r\n").as_bytes());
    body(out, text);
    out.extend_from_slice(format!("\r\n--{boundary}\r\n").as_bytes());
    let (kind, encoding) = match form {
        Form::SevenBit => ("message/rfc822", "7bit"),
        Form::EightBit => ("message/rfc822", "8bit"),
        Form::Wrapped => ("application/octet-stream", "base64"),
    };
    field(
        out,
        "Content-Type",
        &format!("{kind}; name=\"{FILE_NAME}\""),
    );
    field(out, "Content-Transfer-Encoding", encoding);
    let place = format!("attachment; filename=\"{FILE_NAME}\"");
    field(out, "Content-Disposition", &place);
    out.extend_from_slice(b"\r\n");
    if form == Form::Wrapped {
        Base64Encoder::new().wrap_lines().encode_into(letter, out);
    } else {
        out.extend_from_slice(letter);
    }
    out.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
}

/// How a letter can travel within another. A `message/rfc822` may not be wrapped (RFC 2046,
/// section 5.2.1), so one that needs it goes as any file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    SevenBit,
    EightBit,
    Wrapped,
}

impl Form {
    fn of(letter: &[u8]) -> Self {
        let tame = letter.split(|byte| *byte == b'\n').all(|line| {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            line.len() <= LINE_BYTES_MAX && !line.contains(&b'\r') && !line.contains(&0)
        });
        let ends = letter.iter().filter(|byte| **byte == b'\n').count();
        let whole_ends = letter.windows(2).filter(|pair| *pair == b"\r\n").count();
        if !tame || ends != whole_ends {
            Self::Wrapped
        } else if letter.is_ascii() {
            Self::SevenBit
        } else {
            Self::EightBit
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_must_be_wrapped() {
        let long = [b"a: b\r\n\r\n".to_vec(), vec![b'x'; 999]].concat();
        for (letter, form) in [
            (&b"a: b\r\n\r\ntext\r\n"[..], Form::SevenBit),
            ("a: b\r\n\r\ngrün\r\n".as_bytes(), Form::EightBit),
            (b"a: b\n\ntext\n", Form::Wrapped),
            (b"a: b\r\n\r\nte\rxt\r\n", Form::Wrapped),
            (b"a: b\r\n\r\nte\0xt\r\n", Form::Wrapped),
            (&long, Form::Wrapped),
        ] {
            assert_eq!(Form::of(letter), form, "{}", letter.escape_ascii());
        }
    }
}
