//! What the commands share that play the MTA: letters made ready, and what a filter said in words.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use postroom::milter::Address;
use postroom::milter::client::{Client, ClientError, Duplex, Letter, Mail, Outcome, Said};
use postroom::milter::negotiation::Offer;

use super::failure::{Exit, Failure};

/// Largest letter that is shown, in bytes: more than any gateway takes.
pub(super) const LETTER_BYTES_MAX: u64 = 64 << 20;

/// What became of a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// The gateway has it, and the MTA delivers its own copy.
    Accepted,
    /// None of the gateway's business: delivered without it.
    Released,
    /// The gateway has it, and the MTA drops its copy.
    Discarded,
    /// 4xx.
    TryLater,
    /// 5xx.
    Refused,
}

impl Fate {
    pub(super) fn of(outcome: &Outcome) -> Self {
        match Self::of_word(&outcome.verdict) {
            Self::Accepted if outcome.released_at_data => Self::Released,
            fate => fate,
        }
    }

    /// What one word of the filter means.
    pub(super) fn of_word(said: &Said) -> Self {
        match said {
            Said::Continue | Said::Accept | Said::Skip => Self::Accepted,
            Said::Discard => Self::Discarded,
            Said::Tempfail => Self::TryLater,
            Said::Reject => Self::Refused,
            Said::Reply(text) if text.starts_with('4') => Self::TryLater,
            Said::Reply(_) => Self::Refused,
        }
    }

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Released => "released",
            Self::Discarded => "discarded",
            Self::TryLater => "tempfail",
            Self::Refused => "refused",
        }
    }

    /// The exit code, if it is not a success.
    pub(super) const fn exit(self) -> Option<Exit> {
        match self {
            Self::Accepted | Self::Released | Self::Discarded => None,
            Self::TryLater => Some(Exit::TryLater),
            Self::Refused => Some(Exit::Refused),
        }
    }
}

/// The SMTP reply that the client would be told.
pub(super) fn reply(said: &Said) -> Option<&str> {
    match said {
        Said::Reply(text) => Some(text),
        Said::Reject => Some("550 5.7.1 Command rejected"),
        Said::Tempfail => Some("451 4.7.1 Service unavailable - try again later"),
        Said::Continue | Said::Accept | Said::Discard | Said::Skip => None,
    }
}

/// A letter with the line ends of SMTP, as Postfix makes them before a filter sees anything.
pub(super) fn letter(text: &[u8]) -> Letter {
    let mut message = BytesMut::with_capacity(text.len() + 64);
    let mut last = 0;
    for &byte in text {
        if byte == b'\n' && last != b'\r' {
            message.put_u8(b'\r');
        }
        message.put_u8(byte);
        last = byte;
    }
    Letter::parse(&message.freeze())
}

/// A message in an envelope.
pub(super) fn mail(from: &str, recipients: &[String], queue_id: String, letter: Letter) -> Mail {
    let path = |address: &str| Bytes::from(format!("<{}>", bare(address)));
    Mail {
        sender: path(from),
        parameters: Vec::new(),
        recipients: recipients.iter().map(|address| path(address)).collect(),
        queue_id,
        letter,
    }
}

fn bare(address: &str) -> &str {
    let address = address.trim();
    address
        .strip_prefix('<')
        .and_then(|address| address.strip_suffix('>'))
        .unwrap_or(address)
}

/// Connects to a gateway as Postfix does.
pub(super) async fn connect(address: &Address) -> Result<Client<Box<dyn Duplex>>, Failure> {
    Client::connect(address, Offer::POSTFIX)
        .await
        .map_err(|error| unreachable(address, &error))
}

/// A conversation with a gateway that failed.
pub(super) fn unreachable(address: &Address, error: &ClientError) -> Failure {
    Failure::new(Exit::Unavailable, format!("{address}: {error}")).advise(
        "Is the gateway running? `milter.listen` in its configuration is the address to name here.",
    )
}

/// Milliseconds with three digits behind the point.
pub(super) fn millis(time: Duration) -> f64 {
    f64::from(u32::try_from(time.as_micros()).unwrap_or(u32::MAX)) / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_get_the_line_ends_of_smtp() {
        for text in [
            "A: b\n\nc\nd\n",
            "A: b\r\n\r\nc\r\nd\r\n",
            "A: b\n\r\nc\r\nd\n",
        ] {
            let letter = letter(text.as_bytes());
            assert_eq!(letter.to_bytes(), "A: b\r\n\r\nc\r\nd\r\n", "{text:?}");
        }
    }

    #[test]
    fn words_become_fates() {
        for (said, fate) in [
            (Said::Continue, Fate::Accepted),
            (Said::Accept, Fate::Accepted),
            (Said::Discard, Fate::Discarded),
            (Said::Reject, Fate::Refused),
            (Said::Tempfail, Fate::TryLater),
            (Said::Reply("451 4.3.0 Later".into()), Fate::TryLater),
            (Said::Reply("554 5.6.0 No".into()), Fate::Refused),
        ] {
            assert_eq!(Fate::of_word(&said), fate, "{said:?}");
            assert_eq!(reply(&said).is_some(), fate.exit().is_some(), "{said:?}");
        }
    }

    #[test]
    fn brackets_are_ours_to_add() {
        for address in ["a@b.example", "<a@b.example>", " a@b.example "] {
            let mail = mail(address, &[], String::new(), Letter::default());
            assert_eq!(mail.sender, "<a@b.example>");
        }
        assert_eq!(mail("", &[], String::new(), Letter::default()).sender, "<>");
    }
}
