//! Frames of the milter protocol: bytes to commands and replies, and back.
//!
//! In which order they may come is the business of `session`; what both sides agree on at the
//! start is in `negotiation`. The protocol has no RFC: it is what Sendmail's libmilter
//! (`include/libmilter/mfdef.h`) and Postfix (`src/milter/milter8.c`) do. A frame is a 32-bit
//! big-endian length, then that many bytes: one code and its data.

mod codes;

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::negotiation::{Answer, Offer};
pub use codes::{CommandCode, ReplyCode};

/// Most bytes that may follow a code, as libmilter has it (`MILTER_CHUNK_SIZE`). Larger sizes
/// exist only between parties that agreed on one of Sendmail's MDS bits, and we never do.
pub const DATA_BYTES_MAX: usize = 65535;

/// Largest length word: the code and its data.
pub const FRAME_BYTES_MAX: usize = DATA_BYTES_MAX + 1;

/// Size of the length word.
const LENGTH_BYTES: usize = 4;

/// Bytes that are no frame, command or reply of the protocol. The peer's fault; what can be done
/// is to close, because nobody knows where the next frame starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WireError {
    /// A length of zero: there is no frame without a code.
    Empty,
    /// A longer frame than was agreed on. Usually somebody speaks another protocol: the first
    /// four letters of an HTTP request make such a length.
    TooLong {
        /// The length word.
        announced: u32,
    },
    /// A code that is in no table.
    UnknownCode(u8),
    /// The data ended too early, or a text did not end in NUL.
    Malformed {
        /// The peer's name for the frame.
        name: &'static str,
    },
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the peer sent a frame of length 0"),
            Self::TooLong { announced } => write!(
                f,
                "the peer announced a frame of {announced} bytes, {FRAME_BYTES_MAX} are allowed: \
                 is it another protocol?"
            ),
            Self::UnknownCode(code) => {
                write!(f, "the peer sent an unknown code {:?}", char::from(*code))
            }
            Self::Malformed { name } => write!(f, "the peer sent a malformed {name}"),
        }
    }
}

impl std::error::Error for WireError {}

/// One frame: a code and its data, still without meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The byte after the length word.
    pub code: u8,
    /// What follows it; shares the memory of the buffer it was taken from.
    pub data: Bytes,
}

impl Frame {
    /// Takes the next frame off the front of what has arrived; `None` while it is incomplete. The
    /// length is checked as soon as it is there, so a hostile one never makes anybody wait or
    /// allocate.
    pub fn take(arrived: &mut BytesMut) -> Result<Option<Self>, WireError> {
        let Some(word) = arrived.first_chunk::<LENGTH_BYTES>() else {
            return Ok(None);
        };
        let announced = u32::from_be_bytes(*word);
        let len = announced as usize;
        if len == 0 {
            return Err(WireError::Empty);
        }
        if len > FRAME_BYTES_MAX {
            return Err(WireError::TooLong { announced });
        }
        if arrived.len() < LENGTH_BYTES + len {
            return Ok(None);
        }
        arrived.advance(LENGTH_BYTES);
        let mut data = arrived.split_to(len).freeze();
        let code = data.get_u8();
        Ok(Some(Self { code, data }))
    }
}

/// Writes one frame. Callers keep the data within [`DATA_BYTES_MAX`].
fn put_frame(out: &mut BytesMut, code: u8, parts: &[&[u8]]) {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    debug_assert!(len <= DATA_BYTES_MAX, "{len} bytes in one frame");
    out.reserve(LENGTH_BYTES + 1 + len);
    out.put_u32(u32::try_from(len + 1).unwrap_or(u32::MAX));
    out.put_u8(code);
    for part in parts {
        out.put_slice(part);
    }
}

const NUL: &[u8] = &[0];

/// Takes a text that ends in NUL off the front.
fn take_text(data: &mut Bytes) -> Option<Bytes> {
    let len = data.iter().position(|&byte| byte == 0)?;
    let text = data.split_to(len);
    data.advance(1);
    Some(text)
}

/// Texts that end in NUL, one after another, as MAIL and RCPT carry them: the address first, then
/// each ESMTP parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arguments(Bytes);

impl Arguments {
    /// Joins texts; each is cut at a NUL of its own.
    pub fn new<'a>(texts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut joined = BytesMut::new();
        for text in texts {
            joined.extend(text.iter().take_while(|&&byte| byte != 0));
            joined.put_u8(0);
        }
        Self(joined.freeze())
    }

    fn decode(data: Bytes) -> Option<Self> {
        (data.last() == Some(&0)).then_some(Self(data))
    }

    /// The first text: the address as the client typed it.
    #[must_use]
    pub fn first(&self) -> &[u8] {
        self.iter().next().unwrap_or_default()
    }

    /// Size on the wire in bytes.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// All texts.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let texts = self.0.strip_suffix(NUL).unwrap_or(&self.0);
        texts.split(|&byte| byte == 0)
    }
}

/// Where an SMTP client connected from, as SMFIC_CONNECT says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Family {
    /// `4`, `6` or `L`: a port and the address as text, which may be anything, including
    /// `unknown` when Postfix was told so by XCLIENT.
    Known {
        /// `4`, `6` or `L`.
        letter: u8,
        /// The client's port; 0 when unknown.
        port: u16,
        /// The address as the MTA wrote it.
        text: Bytes,
    },
    /// `U`, or a letter nobody knows: nothing is said about the address.
    Unknown,
}

impl Family {
    /// The address, if it is one. Sendmail writes `IPv6:` before one of version 6, zones are
    /// dropped, and an IPv4 address in IPv6 clothes is shown as what it is.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        let Self::Known { letter, text, .. } = self else {
            return None;
        };
        if !matches!(letter, b'4' | b'6') {
            return None;
        }
        parse_ip(text)
    }

    /// How Postfix would announce a client at this address.
    #[must_use]
    pub fn of(ip: IpAddr, port: u16) -> Self {
        Self::Known {
            letter: if ip.is_ipv4() { b'4' } else { b'6' },
            port,
            text: Bytes::from(ip.to_string()),
        }
    }
}

/// Reads an IP address as MTAs write it in commands and macros.
pub(crate) fn parse_ip(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let text = match text.split_at_checked(5) {
        Some((tag, rest)) if tag.eq_ignore_ascii_case("IPv6:") => rest,
        _ => text,
    };
    let text = text
        .split_once('%')
        .map_or(text, |(address, _zone)| address);
    match text.parse::<IpAddr>().ok()? {
        IpAddr::V4(ip) => Some(IpAddr::V4(ip)),
        IpAddr::V6(ip) => Some(unmapped(ip)),
    }
}

fn unmapped(ip: Ipv6Addr) -> IpAddr {
    ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4)
}

/// What the MTA says, read but not yet obeyed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Options are offered.
    Negotiate(Offer),
    /// Macros: the command they belong to, then name and value in turn. Both may be missing.
    Macros {
        /// The byte of the command they belong to, 0 if there was none.
        command: u8,
        /// Texts that end in NUL.
        pairs: Bytes,
    },
    /// An SMTP client connected.
    Connect {
        /// Its name, or its address in brackets.
        host: Bytes,
        /// Its address.
        family: Family,
    },
    /// The name it gave at HELO or EHLO.
    Helo(Bytes),
    /// The sender and its parameters.
    Mail(Arguments),
    /// One recipient and its parameters.
    Rcpt(Arguments),
    /// DATA.
    Data,
    /// An unknown SMTP command.
    Unknown(Bytes),
    /// One header field.
    Header {
        /// What stood before the colon.
        name: Bytes,
        /// What stood after it; folds are LF and white space.
        value: Bytes,
    },
    /// The end of the header fields.
    EndOfHeaders,
    /// A piece of the body.
    Body(Bytes),
    /// The end of the message; Sendmail's description lets it carry a last piece of the body.
    EndOfMessage(Bytes),
    /// The end of the transaction.
    Abort,
    /// Another client follows.
    QuitNewConnection,
    /// The end of the connection.
    Quit,
}

impl Command {
    /// The code of this command.
    #[must_use]
    pub const fn code(&self) -> CommandCode {
        match self {
            Self::Negotiate(_) => CommandCode::Negotiate,
            Self::Macros { .. } => CommandCode::Macros,
            Self::Connect { .. } => CommandCode::Connect,
            Self::Helo(_) => CommandCode::Helo,
            Self::Mail(_) => CommandCode::Mail,
            Self::Rcpt(_) => CommandCode::Rcpt,
            Self::Data => CommandCode::Data,
            Self::Unknown(_) => CommandCode::Unknown,
            Self::Header { .. } => CommandCode::Header,
            Self::EndOfHeaders => CommandCode::EndOfHeaders,
            Self::Body(_) => CommandCode::Body,
            Self::EndOfMessage(_) => CommandCode::EndOfMessage,
            Self::Abort => CommandCode::Abort,
            Self::QuitNewConnection => CommandCode::QuitNewConnection,
            Self::Quit => CommandCode::Quit,
        }
    }

    /// Reads a command. Like libmilter, data after the last text that a command needs is ignored,
    /// but texts must end in NUL.
    pub fn decode(frame: Frame) -> Result<Self, WireError> {
        let Frame { code, mut data } = frame;
        let code = CommandCode::from_byte(code).ok_or(WireError::UnknownCode(code))?;
        let malformed = WireError::Malformed { name: code.name() };
        let command = match code {
            CommandCode::Negotiate => Offer::decode(&data).map(Self::Negotiate),
            CommandCode::Macros => {
                let command = if data.is_empty() { 0 } else { data.get_u8() };
                Some(Self::Macros {
                    command,
                    pairs: data,
                })
            }
            CommandCode::Connect => decode_connect(data),
            CommandCode::Helo => take_text(&mut data).map(Self::Helo),
            CommandCode::Mail => Arguments::decode(data).map(Self::Mail),
            CommandCode::Rcpt => Arguments::decode(data).map(Self::Rcpt),
            CommandCode::Data => Some(Self::Data),
            CommandCode::Unknown => take_text(&mut data).map(Self::Unknown),
            CommandCode::Header => take_text(&mut data).and_then(|name| {
                let value = take_text(&mut data)?;
                Some(Self::Header { name, value })
            }),
            CommandCode::EndOfHeaders => Some(Self::EndOfHeaders),
            CommandCode::Body => Some(Self::Body(data)),
            CommandCode::EndOfMessage => Some(Self::EndOfMessage(data)),
            CommandCode::Abort => Some(Self::Abort),
            CommandCode::QuitNewConnection => Some(Self::QuitNewConnection),
            CommandCode::Quit => Some(Self::Quit),
        };
        command.ok_or(malformed)
    }

    /// Writes the command as one frame.
    pub fn encode(&self, out: &mut BytesMut) {
        let code = self.code().byte();
        match self {
            Self::Negotiate(offer) => put_frame(out, code, &[&offer.encode()]),
            Self::Macros { command, pairs } => put_frame(out, code, &[&[*command], pairs]),
            Self::Connect { host, family } => match family {
                Family::Known { letter, port, text } => put_frame(
                    out,
                    code,
                    &[host, NUL, &[*letter], &port.to_be_bytes(), text, NUL],
                ),
                Family::Unknown => put_frame(out, code, &[host, NUL, b"U"]),
            },
            Self::Mail(arguments) | Self::Rcpt(arguments) => {
                put_frame(out, code, &[&arguments.0]);
            }
            Self::Helo(text) | Self::Unknown(text) => put_frame(out, code, &[text, NUL]),
            Self::Header { name, value } => put_frame(out, code, &[name, NUL, value, NUL]),
            Self::Body(piece) | Self::EndOfMessage(piece) => put_frame(out, code, &[piece]),
            Self::Data
            | Self::EndOfHeaders
            | Self::Abort
            | Self::QuitNewConnection
            | Self::Quit => put_frame(out, code, &[]),
        }
    }
}

fn decode_connect(mut data: Bytes) -> Option<Command> {
    let host = take_text(&mut data)?;
    let letter = data.try_get_u8().ok()?;
    let family = match letter {
        b'4' | b'6' | b'L' => {
            let port = data.try_get_u16().ok()?;
            let text = take_text(&mut data)?;
            Family::Known { letter, port, text }
        }
        _ => Family::Unknown,
    };
    Some(Command::Connect { host, family })
}

/// What the filter answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Options are chosen.
    Negotiate(Answer),
    /// A reply without data.
    Plain(Plain),
    /// An SMTP reply, per cent signs doubled, without the NUL.
    ReplyCode(Bytes),
    /// Append a header field.
    AddHeader {
        /// Name of the field.
        name: Bytes,
        /// Value of the field.
        value: Bytes,
    },
    /// Insert a header field.
    InsertHeader {
        /// 0 is above Postfix's own Received field, 1 directly below it.
        index: u32,
        /// Name of the field.
        name: Bytes,
        /// Value of the field.
        value: Bytes,
    },
    /// Change a header field; an empty value deletes it.
    ChangeHeader {
        /// Which of the fields with this name, from 1.
        index: u32,
        /// Name of the field.
        name: Bytes,
        /// Value of the field.
        value: Bytes,
    },
    /// A piece of the body that replaces the old one.
    ReplaceBody(Bytes),
    /// Add a recipient.
    AddRcpt(Bytes),
    /// Add a recipient with ESMTP arguments.
    AddRcptPar(Arguments),
    /// Remove a recipient, named exactly as RCPT named it.
    DelRcpt(Bytes),
    /// Change the envelope sender.
    ChangeFrom(Arguments),
    /// Keep in the MTA's hold queue.
    Quarantine(Bytes),
}

/// The replies without data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plain {
    /// Go on.
    Continue,
    /// No more about this message. At RCPT this ends the whole message, not one recipient.
    Accept,
    /// Pretend success and drop.
    Discard,
    /// 5xx.
    Reject,
    /// 4xx.
    Tempfail,
    /// No more events of this type.
    Skip,
    /// Still working: restarts the MTA's timer.
    Progress,
    /// Fail the connection; never sent by us.
    ConnectionFail,
    /// Answer 421 and close; never sent by us.
    Shutdown,
}

impl Plain {
    const fn code(self) -> ReplyCode {
        match self {
            Self::Continue => ReplyCode::Continue,
            Self::Accept => ReplyCode::Accept,
            Self::Discard => ReplyCode::Discard,
            Self::Reject => ReplyCode::Reject,
            Self::Tempfail => ReplyCode::Tempfail,
            Self::Skip => ReplyCode::Skip,
            Self::Progress => ReplyCode::Progress,
            Self::ConnectionFail => ReplyCode::ConnectionFail,
            Self::Shutdown => ReplyCode::Shutdown,
        }
    }
}

impl Reply {
    /// The code of this reply.
    #[must_use]
    pub const fn code(&self) -> ReplyCode {
        match self {
            Self::Negotiate(_) => ReplyCode::Negotiate,
            Self::Plain(plain) => plain.code(),
            Self::ReplyCode(_) => ReplyCode::ReplyCode,
            Self::AddHeader { .. } => ReplyCode::AddHeader,
            Self::InsertHeader { .. } => ReplyCode::InsertHeader,
            Self::ChangeHeader { .. } => ReplyCode::ChangeHeader,
            Self::ReplaceBody(_) => ReplyCode::ReplaceBody,
            Self::AddRcpt(_) => ReplyCode::AddRcpt,
            Self::AddRcptPar(_) => ReplyCode::AddRcptPar,
            Self::DelRcpt(_) => ReplyCode::DelRcpt,
            Self::ChangeFrom(_) => ReplyCode::ChangeFrom,
            Self::Quarantine(_) => ReplyCode::Quarantine,
        }
    }

    /// Reads a reply, as strictly as the pickiest MTA: a NUL that is missing or has something
    /// after it is an error.
    pub fn decode(frame: Frame) -> Result<Self, WireError> {
        let Frame { code, mut data } = frame;
        let code = ReplyCode::from_byte(code).ok_or(WireError::UnknownCode(code))?;
        let malformed = WireError::Malformed { name: code.name() };
        let plain = |plain| Some(Self::Plain(plain));
        let reply = match code {
            ReplyCode::Negotiate => {
                return Answer::decode(data).map(Self::Negotiate).ok_or(malformed);
            }
            ReplyCode::ReplaceBody => return Ok(Self::ReplaceBody(data)),
            ReplyCode::AddRcptPar => {
                return Arguments::decode(data)
                    .map(Self::AddRcptPar)
                    .ok_or(malformed);
            }
            ReplyCode::ChangeFrom => {
                return Arguments::decode(data)
                    .map(Self::ChangeFrom)
                    .ok_or(malformed);
            }
            ReplyCode::Continue => plain(Plain::Continue),
            ReplyCode::Accept => plain(Plain::Accept),
            ReplyCode::Discard => plain(Plain::Discard),
            ReplyCode::Reject => plain(Plain::Reject),
            ReplyCode::Tempfail => plain(Plain::Tempfail),
            ReplyCode::Skip => plain(Plain::Skip),
            ReplyCode::Progress => plain(Plain::Progress),
            ReplyCode::ConnectionFail => plain(Plain::ConnectionFail),
            ReplyCode::Shutdown => plain(Plain::Shutdown),
            ReplyCode::ReplyCode => take_text(&mut data).map(Self::ReplyCode),
            ReplyCode::AddRcpt => take_text(&mut data).map(Self::AddRcpt),
            ReplyCode::DelRcpt => take_text(&mut data).map(Self::DelRcpt),
            ReplyCode::Quarantine => take_text(&mut data).map(Self::Quarantine),
            ReplyCode::AddHeader => {
                take_field(&mut data).map(|(name, value)| Self::AddHeader { name, value })
            }
            ReplyCode::InsertHeader => data.try_get_u32().ok().and_then(|index| {
                let (name, value) = take_field(&mut data)?;
                Some(Self::InsertHeader { index, name, value })
            }),
            ReplyCode::ChangeHeader => data.try_get_u32().ok().and_then(|index| {
                let (name, value) = take_field(&mut data)?;
                Some(Self::ChangeHeader { index, name, value })
            }),
        };
        if !data.is_empty() {
            return Err(malformed);
        }
        reply.ok_or(malformed)
    }

    /// Writes the reply as one frame.
    pub fn encode(&self, out: &mut BytesMut) {
        let code = self.code().byte();
        match self {
            Self::Negotiate(answer) => put_frame(out, code, &[&answer.encode()]),
            Self::Plain(_) => put_frame(out, code, &[]),
            Self::ReplyCode(text)
            | Self::AddRcpt(text)
            | Self::DelRcpt(text)
            | Self::Quarantine(text) => put_frame(out, code, &[text, NUL]),
            Self::AddHeader { name, value } => put_frame(out, code, &[name, NUL, value, NUL]),
            Self::InsertHeader { index, name, value }
            | Self::ChangeHeader { index, name, value } => {
                put_frame(out, code, &[&index.to_be_bytes(), name, NUL, value, NUL]);
            }
            Self::ReplaceBody(piece) => put_frame(out, code, &[piece]),
            Self::AddRcptPar(arguments) | Self::ChangeFrom(arguments) => {
                put_frame(out, code, &[&arguments.0]);
            }
        }
    }
}

fn take_field(data: &mut Bytes) -> Option<(Bytes, Bytes)> {
    let name = take_text(data)?;
    let value = take_text(data)?;
    Some((name, value))
}

#[cfg(test)]
mod tests;
