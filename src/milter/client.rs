//! The MTA's side of the conversation, as Postfix plays it: for `inject`, the demo, the bench and
//! tests.
//!
//! It is as picky as Postfix about what a filter may say and when, so that a slip of ours shows
//! here and not in somebody's mail.

mod letter;

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::address::Address;
use super::negotiation::{Actions, Answer, Offer, Steps, VERSION_DATA};
use super::wire::{
    Arguments, Command, CommandCode, DATA_BYTES_MAX, Family, Frame, Plain, Reply, WireError,
};
pub use letter::Letter;

/// How long one reply may take; Postfix's `milter_content_timeout`. Progress starts it again.
const REPLY_TIMEOUT: Duration = Duration::from_secs(300);

/// Commands without a reply are gathered up to this size before they are written.
const UNWRITTEN_BYTES_MAX: usize = 64 << 10;

/// Most edits that are taken for one message.
const EDITS_MAX: usize = 10_000;

/// A byte stream to a filter, of any kind.
pub trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

/// Why a conversation with a filter failed. Postfix would answer 451 for the rest of the session.
#[derive(Debug)]
pub enum ClientError {
    /// The connection could not be made or broke.
    Io(io::Error),
    /// The filter closed the connection where a reply was due.
    Closed,
    /// No reply came in time.
    Timeout,
    /// The filter sent something that is no reply.
    Wire(WireError),
    /// The filter sent a reply that does not belong there.
    Protocol(String),
    /// A header field or an address is too long for a frame. The caller's move.
    TooLong(CommandCode),
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "the connection to the filter failed: {error}"),
            Self::Closed => f.write_str("the filter closed the connection"),
            Self::Timeout => f.write_str("the filter did not answer in time"),
            Self::Wire(error) => error.fmt(f),
            Self::Protocol(what) => write!(f, "the filter broke the protocol: {what}"),
            Self::TooLong(code) => write!(f, "the data of {code} does not fit into a frame"),
        }
    }
}

impl std::error::Error for ClientError {}

impl From<io::Error> for ClientError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The SMTP client that the MTA pretends to have.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Its name.
    pub host: String,
    /// Its address; `None` shows an unknown one.
    pub ip: Option<IpAddr>,
    /// What it says at HELO; `None` for mail submitted with sendmail(1).
    pub helo: Option<String>,
    /// The TLS version.
    pub tls: Option<String>,
    /// Its login name.
    pub authenticated: Option<String>,
    /// The MTA's service.
    pub daemon_name: String,
    /// The MTA's own name.
    pub mta_name: String,
}

impl Default for Caller {
    fn default() -> Self {
        Self {
            host: "client.example".into(),
            ip: Some(IpAddr::from([192, 0, 2, 7])),
            helo: Some("client.example".into()),
            tls: None,
            authenticated: None,
            daemon_name: "smtpd".into(),
            mta_name: "mx.example".into(),
        }
    }
}

/// One message to be shown to the filter.
#[derive(Debug, Clone)]
pub struct Mail {
    /// The sender as MAIL has it, such as `<anna@example.org>`.
    pub sender: Bytes,
    /// ESMTP parameters of MAIL.
    pub parameters: Vec<Bytes>,
    /// The recipients as RCPT has them.
    pub recipients: Vec<Bytes>,
    /// The queue id; known to the filter from the second recipient on.
    pub queue_id: String,
    /// The message.
    pub letter: Letter,
}

/// What the filter said to one command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// Go on.
    Continue,
    /// Take it, and show no more.
    Accept,
    /// Drop it and say yes.
    Discard,
    /// 5xx.
    Reject,
    /// 4xx.
    Tempfail,
    /// No more of these.
    Skip,
    /// This very SMTP reply, per cent signs single.
    Reply(String),
}

/// What became of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What was said to each recipient that the filter was asked about.
    pub recipients: Vec<Said>,
    /// The filter wanted no more before it saw any content.
    pub released_at_data: bool,
    /// The changes that the filter asked for, in order.
    pub edits: Vec<Reply>,
    /// The last word.
    pub verdict: Said,
    /// How often the filter said that it was still working.
    pub progress: usize,
    /// Whether values in edits bring their own leading space.
    leading_space: bool,
}

impl Outcome {
    /// The message as the MTA would deliver it after the edits.
    #[must_use]
    pub fn apply(&self, letter: &Letter) -> Letter {
        letter.edited(&self.edits, self.leading_space)
    }

    /// To whom the MTA would deliver it: the recipients that were neither refused nor removed.
    /// Postfix finds one to be removed by what RCPT said, letter by letter, brackets or not.
    pub fn delivered_to<'a>(&self, mail: &'a Mail) -> impl Iterator<Item = &'a Bytes> {
        let bare = |path: &Bytes| {
            let path = path.strip_prefix(b"<").unwrap_or(path);
            Bytes::copy_from_slice(path.strip_suffix(b">").unwrap_or(path))
        };
        let removed: Vec<Bytes> = (self.edits.iter())
            .filter_map(|edit| match edit {
                Reply::DelRcpt(argument) => Some(bare(argument)),
                _ => None,
            })
            .collect();
        (mail.recipients.iter().zip(&self.recipients))
            .filter(|(_, said)| matches!(said, Said::Continue | Said::Skip))
            .map(|(recipient, _)| recipient)
            .filter(move |recipient| !removed.contains(&bare(recipient)))
    }

    fn new(leading_space: bool) -> Self {
        Self {
            recipients: Vec::new(),
            released_at_data: false,
            edits: Vec::new(),
            verdict: Said::Continue,
            progress: 0,
            leading_space,
        }
    }
}

/// A connection to a filter, after the negotiation.
#[derive(Debug)]
pub struct Client<S> {
    stream: S,
    answer: Answer,
    caller: Caller,
    arrived: BytesMut,
    unwritten: BytesMut,
}

impl Client<Box<dyn Duplex>> {
    /// Connects and negotiates.
    pub async fn connect(address: &Address, offer: Offer) -> Result<Self, ClientError> {
        let stream: Box<dyn Duplex> = match address {
            Address::Unix(path) => Box::new(UnixStream::connect(path).await?),
            Address::Inet { host, port } => {
                Box::new(TcpStream::connect((host.as_str(), *port)).await?)
            }
        };
        Self::negotiate(stream, offer).await
    }
}

impl<S: Duplex> Client<S> {
    /// Negotiates on a stream that is already there.
    pub async fn negotiate(stream: S, offer: Offer) -> Result<Self, ClientError> {
        let mut client = Self {
            stream,
            answer: Answer {
                version: offer.version,
                actions: Actions::default(),
                steps: Steps::default(),
                symbols: Vec::new(),
            },
            caller: Caller::default(),
            arrived: BytesMut::new(),
            unwritten: BytesMut::new(),
        };
        client.put(&Command::Negotiate(offer))?;
        let answer = match client.reply().await? {
            Reply::Negotiate(answer) => answer,
            other => return Err(misplaced(&other, CommandCode::Negotiate)),
        };
        if answer.version > offer.version
            || !offer.actions.contains(answer.actions)
            || !offer.steps.contains(answer.steps)
        {
            return Err(ClientError::Protocol(format!(
                "it asks for version {} {} {} and was offered {offer}",
                answer.version, answer.actions, answer.steps
            )));
        }
        client.answer = answer;
        Ok(client)
    }

    /// What the filter answered to the offer.
    #[must_use]
    pub const fn answer(&self) -> &Answer {
        &self.answer
    }

    /// Shows an SMTP client: connect and HELO. Once a connection.
    pub async fn open(&mut self, caller: Caller) -> Result<Said, ClientError> {
        let host = text(&caller.host);
        let family = caller.ip.map_or(Family::Unknown, |ip| Family::of(ip, 1025));
        let helo = caller.helo.as_deref().map(text);
        self.caller = caller;
        let mut outcome = self.outcome();
        let connect = Command::Connect { host, family };
        let mut said = self.tell(&connect, &[], &mut outcome).await?;
        if let (Said::Continue, Some(helo)) = (&said, helo) {
            said = self.tell(&Command::Helo(helo), &[], &mut outcome).await?;
        }
        self.flush().await?;
        Ok(said)
    }

    /// Shows one message as Postfix does, with the abort that Postfix sends after each.
    pub async fn send(&mut self, mail: &Mail) -> Result<Outcome, ClientError> {
        let mut outcome = self.outcome();
        outcome.verdict = self.transaction(mail, &mut outcome).await?;
        self.put(&Command::Abort)?;
        self.flush().await?;
        Ok(outcome)
    }

    /// Ends the connection in order.
    pub async fn quit(mut self) -> Result<(), ClientError> {
        self.put(&Command::Quit)?;
        self.flush().await?;
        self.stream.shutdown().await?;
        Ok(())
    }

    /// Everything up to the last word.
    async fn transaction(
        &mut self,
        mail: &Mail,
        outcome: &mut Outcome,
    ) -> Result<Said, ClientError> {
        let texts = std::iter::once(&mail.sender).chain(&mail.parameters);
        let sender = Command::Mail(Arguments::new(texts.map(|text| &text[..])));
        let said = self.tell(&sender, &[], outcome).await?;
        if said != Said::Continue {
            return Ok(said);
        }
        let queue_id = ("i", mail.queue_id.as_str());
        let mut refusal = None;
        let mut taken = 0_usize;
        for argument in &mail.recipients {
            let address = String::from_utf8_lossy(argument);
            let address = address.trim_start_matches('<').trim_end_matches('>');
            let macros = [queue_id, ("{rcpt_addr}", address)];
            // The queue file is opened for the first recipient that is taken.
            let known = macros.get(usize::from(taken == 0)..).unwrap_or_default();
            let rcpt = Command::Rcpt(Arguments::new([&argument[..]]));
            let said = self.tell(&rcpt, known, outcome).await?;
            outcome.recipients.push(said.clone());
            match said {
                Said::Accept | Said::Discard => return Ok(said),
                Said::Continue | Said::Skip => taken += 1,
                Said::Reject | Said::Tempfail | Said::Reply(_) => refusal = Some(said),
            }
        }
        if let (0, Some(refusal)) = (taken, refusal) {
            return Ok(refusal);
        }
        if self.answer.version >= VERSION_DATA {
            let said = self.tell(&Command::Data, &[queue_id], outcome).await?;
            if said != Said::Continue {
                outcome.released_at_data = said == Said::Accept;
                return Ok(said);
            }
        }
        self.content(&mail.letter, queue_id, outcome).await
    }

    async fn content(
        &mut self,
        letter: &Letter,
        queue_id: (&str, &str),
        outcome: &mut Outcome,
    ) -> Result<Said, ClientError> {
        let leading_space = self.answer.steps.contains(Steps::HDR_LEADSPC);
        let headers = letter.on_the_wire(leading_space);
        let headers = headers.map(|(name, value)| Command::Header { name, value });
        let pieces = (0..letter.body.len()).step_by(DATA_BYTES_MAX).map(|start| {
            let end = letter.body.len().min(start + DATA_BYTES_MAX);
            Command::Body(letter.body.slice(start..end))
        });
        let end = Command::EndOfMessage(Bytes::new());
        let commands = headers
            .chain([Command::EndOfHeaders])
            .chain(pieces)
            .chain([end]);
        let mut skipped = None;
        let mut said = Said::Continue;
        for command in commands {
            if skipped == Some(command.code()) {
                continue;
            }
            said = self.tell(&command, &[queue_id], outcome).await?;
            match said {
                Said::Continue => {}
                Said::Skip => skipped = Some(command.code()),
                Said::Accept | Said::Discard | Said::Reject | Said::Tempfail | Said::Reply(_) => {
                    break;
                }
            }
        }
        Ok(said)
    }

    /// Sends macros and a command, unless the filter does not want it, and waits for what it says,
    /// unless that was agreed away.
    async fn tell(
        &mut self,
        command: &Command,
        macros: &[(&str, &str)],
        outcome: &mut Outcome,
    ) -> Result<Said, ClientError> {
        let code = command.code();
        let (unwanted, unanswered) = bits(code);
        // Postfix sends the macros even for commands that it leaves out.
        self.put_macros(code, macros)?;
        if unwanted.0 != 0 && self.answer.steps.contains(unwanted) {
            return Ok(Said::Continue);
        }
        self.put(command)?;
        if unanswered.0 != 0 && self.answer.steps.contains(unanswered) {
            if self.unwritten.len() > UNWRITTEN_BYTES_MAX {
                self.flush().await?;
            }
            return Ok(Said::Continue);
        }
        loop {
            let reply = self.reply().await?;
            match said(&reply)? {
                Some(said) => return Ok(said),
                None if reply == Reply::Plain(Plain::Progress) => outcome.progress += 1,
                None if code != CommandCode::EndOfMessage => return Err(misplaced(&reply, code)),
                None if !self.answer.actions.contains(needed(&reply)) => {
                    return Err(ClientError::Protocol(format!(
                        "{} was not agreed on",
                        reply.code()
                    )));
                }
                None if outcome.edits.len() >= EDITS_MAX => {
                    return Err(ClientError::Protocol("too many edits".into()));
                }
                None => outcome.edits.push(reply),
            }
        }
    }

    fn outcome(&self) -> Outcome {
        Outcome::new(self.answer.steps.contains(Steps::HDR_LEADSPC))
    }

    fn put_macros(&mut self, code: CommandCode, more: &[(&str, &str)]) -> Result<(), ClientError> {
        let caller = &self.caller;
        let ip = caller.ip.map_or("unknown".into(), |ip| ip.to_string());
        let own = match code {
            CommandCode::Connect => vec![
                ("j", Some(caller.mta_name.as_str())),
                ("{daemon_name}", Some(&caller.daemon_name)),
                ("{client_addr}", Some(&ip)),
                ("{client_name}", Some(&caller.host)),
            ],
            CommandCode::Helo => vec![("{tls_version}", caller.tls.as_deref())],
            CommandCode::Mail => vec![("{auth_authen}", caller.authenticated.as_deref())],
            _ => Vec::new(),
        };
        let own = own
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)));
        let mut pairs = BytesMut::new();
        for (name, value) in own.chain(more.iter().copied()) {
            pairs.put_slice(name.as_bytes());
            pairs.put_u8(0);
            pairs.extend(value.bytes().filter(|&byte| byte != 0));
            pairs.put_u8(0);
        }
        self.put(&Command::Macros {
            command: code.byte(),
            pairs: pairs.freeze(),
        })
    }

    /// Queues a command for writing.
    fn put(&mut self, command: &Command) -> Result<(), ClientError> {
        let len = match command {
            Command::Macros { pairs, .. } => pairs.len() + 1,
            Command::Mail(arguments) | Command::Rcpt(arguments) => arguments.len(),
            Command::Header { name, value } => name.len() + value.len() + 2,
            Command::Helo(text) | Command::Connect { host: text, .. } => text.len() + 64,
            _ => 0,
        };
        if len > DATA_BYTES_MAX {
            return Err(ClientError::TooLong(command.code()));
        }
        command.encode(&mut self.unwritten);
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), ClientError> {
        self.stream.write_all_buf(&mut self.unwritten).await?;
        Ok(())
    }

    async fn reply(&mut self) -> Result<Reply, ClientError> {
        self.flush().await?;
        loop {
            if let Some(frame) = Frame::take(&mut self.arrived).map_err(ClientError::Wire)? {
                return Reply::decode(frame).map_err(ClientError::Wire);
            }
            let read = self.stream.read_buf(&mut self.arrived);
            match timeout(REPLY_TIMEOUT, read).await {
                Ok(Ok(0)) => return Err(ClientError::Closed),
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(error.into()),
                Err(_) => return Err(ClientError::Timeout),
            }
        }
    }
}

/// The bits with which a filter says that it does not want a command, or will not answer it; zero
/// where there is none.
const fn bits(code: CommandCode) -> (Steps, Steps) {
    match code {
        CommandCode::Connect => (Steps::NOCONNECT, Steps::NR_CONN),
        CommandCode::Helo => (Steps::NOHELO, Steps::NR_HELO),
        CommandCode::Mail => (Steps::NOMAIL, Steps::NR_MAIL),
        CommandCode::Rcpt => (Steps::NORCPT, Steps::NR_RCPT),
        CommandCode::Data => (Steps::NODATA, Steps::NR_DATA),
        CommandCode::Unknown => (Steps::NOUNKNOWN, Steps::NR_UNKN),
        CommandCode::Header => (Steps::NOHDRS, Steps::NR_HDR),
        CommandCode::EndOfHeaders => (Steps::NOEOH, Steps::NR_EOH),
        CommandCode::Body => (Steps::NOBODY, Steps::NR_BODY),
        CommandCode::Negotiate
        | CommandCode::Macros
        | CommandCode::EndOfMessage
        | CommandCode::Abort
        | CommandCode::QuitNewConnection
        | CommandCode::Quit => (Steps(0), Steps(0)),
    }
}

/// The action that a reply needs to be agreed on.
const fn needed(reply: &Reply) -> Actions {
    match reply {
        Reply::AddHeader { .. } | Reply::InsertHeader { .. } => Actions::ADDHDRS,
        Reply::ChangeHeader { .. } => Actions::CHGHDRS,
        Reply::ReplaceBody(_) => Actions::CHGBODY,
        Reply::AddRcpt(_) => Actions::ADDRCPT,
        Reply::AddRcptPar(_) => Actions::ADDRCPT_PAR,
        Reply::DelRcpt(_) => Actions::DELRCPT,
        Reply::ChangeFrom(_) => Actions::CHGFROM,
        Reply::Quarantine(_) => Actions::QUARANTINE,
        Reply::Negotiate(_) | Reply::Plain(_) | Reply::ReplyCode(_) => Actions(0),
    }
}

/// The word that a reply is, or `None` if it is progress or an edit.
fn said(reply: &Reply) -> Result<Option<Said>, ClientError> {
    let said = match reply {
        Reply::Plain(Plain::Continue) => Said::Continue,
        Reply::Plain(Plain::Accept) => Said::Accept,
        Reply::Plain(Plain::Discard) => Said::Discard,
        Reply::Plain(Plain::Reject) => Said::Reject,
        Reply::Plain(Plain::Tempfail) => Said::Tempfail,
        Reply::Plain(Plain::Skip) => Said::Skip,
        Reply::ReplyCode(text) => return reply_text(text).map(|text| Some(Said::Reply(text))),
        Reply::Plain(Plain::ConnectionFail | Plain::Shutdown) | Reply::Negotiate(_) => {
            return Err(ClientError::Protocol(format!("it says {}", reply.code())));
        }
        Reply::Plain(Plain::Progress)
        | Reply::AddHeader { .. }
        | Reply::InsertHeader { .. }
        | Reply::ChangeHeader { .. }
        | Reply::ReplaceBody(_)
        | Reply::AddRcpt(_)
        | Reply::AddRcptPar(_)
        | Reply::DelRcpt(_)
        | Reply::ChangeFrom(_)
        | Reply::Quarantine(_) => return Ok(None),
    };
    Ok(Some(said))
}

/// Checks a reply's text as current Postfix does: each line with the same code of class 4 or 5,
/// CR LF between them, per cent signs doubled.
fn reply_text(text: &[u8]) -> Result<String, ClientError> {
    let bad = || ClientError::Protocol(format!("SMFIR_REPLYCODE {:?}", text.escape_ascii()));
    let text = std::str::from_utf8(text).map_err(|_| bad())?;
    let code = text.get(..3).ok_or_else(bad)?;
    let is_code = code.bytes().all(|byte| byte.is_ascii_digit());
    if !is_code || !matches!(code.as_bytes().first(), Some(b'4' | b'5')) {
        return Err(bad());
    }
    let lines: Vec<&str> = text.split("\r\n").collect();
    for (place, line) in lines.iter().enumerate() {
        let separator = if place + 1 == lines.len() { " " } else { "-" };
        let rest = line
            .strip_prefix(code)
            .and_then(|rest| rest.strip_prefix(separator));
        let printable = line.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        if rest.is_none() || !printable || line.replace("%%", "").contains('%') {
            return Err(bad());
        }
    }
    Ok(text.replace("%%", "%"))
}

fn misplaced(reply: &Reply, command: CommandCode) -> ClientError {
    ClientError::Protocol(format!("{} in answer to {command}", reply.code()))
}

fn text(text: &str) -> Bytes {
    Bytes::from(text.replace('\0', ""))
}
