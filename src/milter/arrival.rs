//! What the rest of the house sees of the conversation: envelope, recipients, the message, and the
//! trait through which it decides.
//!
//! Nothing here knows the milter protocol, so that another front end could ask the same questions.

use std::future::Future;
use std::net::IpAddr;

use bytes::Bytes;

use super::edit::Edit;
use super::reply::SmtpReply;
use crate::content::Content;

/// Who decides about mail. Implemented by intake; by a puppet in tests.
pub trait Receiver: Send + Sync + 'static {
    /// Largest message in bytes, header block included. Larger ones are refused with 552 5.3.4, at
    /// MAIL if the client announces the size and at the end of the message otherwise.
    fn message_bytes_max(&self) -> u64;

    /// At MAIL: whether a message may be begun at all. Must not block; the client waits.
    fn sender(&self, envelope: &Envelope) -> Result<(), SmtpReply>;

    /// At RCPT: whose the recipient is. Must not block; the client waits. Refused recipients that
    /// the MTA only tells us about never get here.
    fn recipient(&self, envelope: &Envelope, recipient: &Recipient) -> RecipientVerdict;

    /// After the end of a message with at least one recipient of ours. The MTA waits and is told
    /// every ten seconds that we are working, so the implementation must bound the time itself.
    ///
    /// Once begun it runs to its end even if the MTA has gone meanwhile; only a stop that has
    /// waited long enough drops it.
    fn message(&self, arrival: Arrival) -> impl Future<Output = Verdict> + Send;
}

/// Whose a recipient is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecipientVerdict {
    /// One of ours: the message's content is wanted.
    Ours,
    /// Somebody else's: the MTA delivers it without us. A message with only such recipients is
    /// released before its content is sent to us.
    Foreign,
    /// The client is told no, for this recipient only.
    Refuse(SmtpReply),
}

/// What is answered at the end of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The MTA delivers the message, with these changes. Changes that it does not offer to make
    /// are left out, with a line in the log: it then delivers more than was wanted, never less.
    Accept {
        /// In the order in which the MTA shall make them.
        edits: Vec<Edit>,
    },
    /// The client is told no, and nothing of the message is kept.
    Refuse(SmtpReply),
    /// The client is told yes, and the MTA drops its copy: only ours is left.
    Discard,
}

/// The sender as SMTP gave it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Envelope {
    /// The address without its angle brackets and without the relays that a client may name in
    /// front of it; empty for the null sender, which Postfix writes as `<>` for mail from outside
    /// and as nothing for its own.
    pub sender: Bytes,
    /// ESMTP parameters as they came, such as `SIZE=1000`; at most [`PARAMETERS_MAX`].
    pub parameters: Vec<Bytes>,
    /// The announced size in bytes (RFC 1870).
    pub size: Option<u64>,
}

/// Most ESMTP parameters that are kept; there are about ten in all of the RFCs.
pub const PARAMETERS_MAX: usize = 32;

impl Envelope {
    /// Reads the texts of MAIL: the address, then parameters.
    pub(crate) fn parse<'a>(mut texts: impl Iterator<Item = &'a [u8]>) -> Self {
        let sender = Bytes::copy_from_slice(bare(texts.next().unwrap_or_default()));
        let parameters: Vec<Bytes> = texts
            .take(PARAMETERS_MAX)
            .map(Bytes::copy_from_slice)
            .collect();
        let size = parameters
            .iter()
            .find_map(|parameter| parse_size(parameter));
        Self {
            sender,
            parameters,
            size,
        }
    }
}

fn parse_size(parameter: &[u8]) -> Option<u64> {
    let (key, value) = parameter.split_at_checked(5)?;
    if !key.eq_ignore_ascii_case(b"SIZE=") {
        return None;
    }
    let digits = std::str::from_utf8(value).ok()?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // RFC 1870 allows twenty digits, which are more than fit: too large is too large.
    Some(digits.parse().unwrap_or(u64::MAX))
}

/// One recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// Exactly what RCPT said, brackets included: the MTA removes recipients by this text only. But
    /// without relays in front of the address, if there were any: Postfix knows the address alone.
    pub argument: Bytes,
    /// The address to route by, without brackets: the MTA's cleaned-up form if it told us one,
    /// otherwise what the client typed.
    pub address: Bytes,
}

impl Recipient {
    /// A recipient as typed, and as the MTA understood it.
    pub(crate) fn new(argument: &[u8], understood: Option<&[u8]>) -> Self {
        let bare = bare(argument);
        let address = understood
            .filter(|address| !address.is_empty())
            .unwrap_or(bare);
        let is_routed = argument.len() > bare.len() + "<>".len();
        let argument = if is_routed { bare } else { argument };
        Self {
            argument: Bytes::copy_from_slice(argument),
            address: Bytes::copy_from_slice(address),
        }
    }
}

/// The address in the argument of MAIL or RCPT. `@relay,@relay:` in front of it is from the days
/// when senders knew the way, and is to be ignored (RFC 5321, appendix C).
fn bare(argument: &[u8]) -> &[u8] {
    let address = argument
        .strip_prefix(b"<")
        .and_then(|address| address.strip_suffix(b">"))
        .unwrap_or(argument);
    if address.starts_with(b"@")
        && let Some(end) = address.iter().position(|&byte| byte == b':')
    {
        return address.get(end + 1..).unwrap_or_default();
    }
    address
}

/// The SMTP client, and what the MTA knows about it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Peer {
    /// Its name as the MTA found it, or its address in brackets; not to be resolved again.
    pub host: Bytes,
    /// Its address; `None` if the MTA does not know or there is none.
    pub ip: Option<IpAddr>,
    /// What it called itself, if it did. Mail submitted on the MTA's own machine has none.
    pub helo: Option<Bytes>,
    /// The TLS version, such as `TLSv1.3`, if the connection is encrypted.
    pub tls: Option<String>,
    /// The login name, only ever from the MTA: nothing in a message can claim it.
    pub authenticated: Option<String>,
    /// Which of the MTA's services it spoke to.
    pub daemon_name: Option<String>,
    /// The MTA's own host name.
    pub mta_name: Option<String>,
}

/// One field of a received header block. Order and duplicates are as they came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// What stands before the colon.
    pub name: Bytes,
    /// Everything after the colon, folds included, without the last line end.
    pub value: Bytes,
}

/// A complete message with at least one recipient of ours.
#[derive(Debug)]
pub struct Arrival {
    /// Where it came from.
    pub peer: Peer,
    /// The MTA's queue id. It is reused, so it names a message only together with a time.
    pub mta_queue_id: Option<String>,
    /// The sender.
    pub envelope: Envelope,
    /// The recipients that are ours, in order, duplicates kept; never empty.
    pub recipients: Vec<Recipient>,
    /// How many others there are.
    pub foreign_recipients: usize,
    /// The header fields, which share memory with the head of `content`.
    pub headers: Vec<Header>,
    /// The whole message.
    pub content: Content,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senders_come_in_many_clothes() {
        type Row = (&'static [&'static [u8]], &'static [u8], Option<u64>);
        let rows: [Row; 13] = [
            (&[b"<a@b>"], b"a@b", None),
            (&[b"<@c,@d:a@b>"], b"a@b", None),
            (&[b"@c:\"x:y\"@b"], b"\"x:y\"@b", None),
            (&[b"<@c>"], b"@c", None),
            (&[b"<\"@c:d\"@b>"], b"\"@c:d\"@b", None),
            (&[b"a@b"], b"a@b", None),
            (&[b"<>"], b"", None),
            (&[b""], b"", None),
            (&[], b"", None),
            (&[b"<"], b"<", None),
            (&[b"<a@b>", b"BODY=8BITMIME", b"size=77"], b"a@b", Some(77)),
            (&[b"<a@b>", b"SIZE=x", b"SIZ"], b"a@b", None),
            (
                &[b"<a@b>", b"SIZE=99999999999999999999"],
                b"a@b",
                Some(u64::MAX),
            ),
        ];
        for (texts, sender, size) in rows {
            let envelope = Envelope::parse(texts.iter().copied());
            assert_eq!(envelope.sender, sender, "{texts:?}");
            assert_eq!(envelope.size, size, "{texts:?}");
        }
    }
}
