//! An SMTP reply of our own: what the client is told when we turn mail away.

use std::borrow::Cow;
use std::fmt;
use std::fmt::Write as _;

use bytes::Bytes;

/// Longest reply line with its CR LF, in bytes (RFC 5321 section 4.5.3.1.5).
const LINE_BYTES_MAX: usize = 512;

/// Most lines of one reply; more says nothing to anybody.
const LINES_MAX: usize = 8;

/// A refusal, for now (4xx) or for good (5xx), with an enhanced status code of the same class
/// (RFC 3463) and a text of printable ASCII.
///
/// There is no way to build another class: Postfix drops a filter that answers with 2xx or 3xx.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmtpReply {
    code: u16,
    subject: u16,
    detail: u16,
    text: Cow<'static, str>,
}

impl SmtpReply {
    /// Puts a reply together: the basic code, then subject and detail of the enhanced code, whose
    /// class is the first digit of the basic one. A line feed in the text starts another line.
    ///
    /// A code that is no refusal becomes 451, and so does 421, with which Postfix would end the
    /// client's session. What a reply cannot carry in the text becomes a question mark.
    pub fn new(code: u16, subject: u16, detail: u16, text: impl Into<Cow<'static, str>>) -> Self {
        let code = match code {
            421 => 451,
            400..=599 => code,
            _ => 451,
        };
        Self {
            code,
            subject: subject.min(999),
            detail: detail.min(999),
            text: text.into(),
        }
    }

    /// 4xx or 5xx.
    #[must_use]
    pub const fn code(&self) -> u16 {
        self.code
    }

    /// Whether the client may try again.
    #[must_use]
    pub const fn is_temporary(&self) -> bool {
        self.code < 500
    }

    /// The lines as the client sees them, without line ends.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut texts: Vec<&str> = self.text.split('\n').take(LINES_MAX).collect();
        let last = texts.pop().unwrap_or_default();
        let mut lines: Vec<String> = texts.iter().map(|text| self.line('-', text)).collect();
        lines.push(self.line(' ', last));
        lines
    }

    fn line(&self, separator: char, text: &str) -> String {
        let Self {
            code,
            subject,
            detail,
            ..
        } = self;
        let mut line = format!("{code}{separator}{}.{subject}.{detail} ", code / 100);
        let room = LINE_BYTES_MAX - 2 - line.len();
        line.extend(text.chars().take(room).map(|character| match character {
            ' '..='~' => character,
            _ => '?',
        }));
        line
    }

    /// The text of SMFIR_REPLYCODE: lines with CR LF between, per cent signs doubled because the
    /// MTA takes single ones for formatting.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        Bytes::from(self.lines().join("\r\n").replace('%', "%%"))
    }
}

impl fmt::Display for SmtpReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, line) in self.lines().iter().enumerate() {
            if place > 0 {
                f.write_char('\n')?;
            }
            f.write_str(line)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_refusals_can_be_said() {
        for (code, shown) in [
            (250, "451 4.1.1 no"),
            (354, "451 4.1.1 no"),
            (421, "451 4.1.1 no"),
            (450, "450 4.1.1 no"),
            (550, "550 5.1.1 no"),
            (600, "451 4.1.1 no"),
            (0, "451 4.1.1 no"),
        ] {
            assert_eq!(SmtpReply::new(code, 1, 1, "no").to_string(), shown);
        }
    }

    #[test]
    fn texts_are_made_safe_for_the_wire() {
        let rows = [
            ("100% of it", "550 5.7.1 100%% of it"),
            ("a\r\nb", "550-5.7.1 a?\r\n550 5.7.1 b"),
            ("nul\0 und \u{fc}", "550 5.7.1 nul? und ?"),
            ("", "550 5.7.1 "),
        ];
        for (text, wire) in rows {
            assert_eq!(SmtpReply::new(550, 7, 1, text).encode(), wire, "{text:?}");
        }
    }

    #[test]
    fn lines_and_their_number_are_bounded() {
        let reply = SmtpReply::new(
            550,
            7,
            1,
            format!("{}\n{}", "x".repeat(4000), "y\n".repeat(40)),
        );
        let lines = reply.lines();
        assert_eq!(lines.len(), LINES_MAX);
        assert!(lines.iter().all(|line| line.len() + 2 <= LINE_BYTES_MAX));
        assert!(lines.iter().all(|line| line.starts_with("550")));
        let continued = lines.iter().filter(|line| line.starts_with("550-")).count();
        assert_eq!(continued, LINES_MAX - 1);
    }
}
