//! One MTA connection as a state machine: commands in, actions out.
//!
//! It reads no socket and keeps no content; `server` does both. How a verdict is put into replies is
//! in `conclusion`. It is tolerant where libmilter is:
//! every stage may be missing, MAIL resets, ABORT is idempotent and never answered, because a
//! filter that closes its connection costs the SMTP client a 451 for all further mail.

mod conclusion;

use std::fmt;
use std::net::IpAddr;

use bytes::Bytes;

use super::arrival::{Envelope, Peer, Receiver, Recipient, RecipientVerdict, Verdict};
use super::macros::Macros;
use super::negotiation::{Agreed, Offer, Steps};
use super::reply::SmtpReply;
use super::wire::{Arguments, Command, CommandCode, Family, Plain, Reply, parse_ip};
pub use conclusion::Conclusion;

/// Most recipients of ours in one message, as Postfix's `smtpd_recipient_limit` has it by default.
pub const RECIPIENTS_MAX: usize = 1000;

/// Longest address of MAIL or RCPT that is looked at, in bytes, and longest name of a client that is
/// kept: Postfix cuts SMTP commands at its `line_length_limit` of 2048.
pub const NAME_BYTES_MAX: usize = 2048;

/// What the server has to do, in this order.
#[derive(Debug)]
pub enum Action {
    /// Send a reply.
    Reply(Reply),
    /// A message for us begins: gather what follows.
    Begin {
        /// Whether header values come with the white space after the colon.
        leading_space: bool,
    },
    /// One header field of it.
    Header {
        /// What stands before the colon.
        name: Bytes,
        /// What stands after it.
        value: Bytes,
    },
    /// The header block is complete.
    EndOfHeaders,
    /// A piece of the body.
    Body(Bytes),
    /// The message is complete. Nothing more may be handled until [`Session::conclude`].
    Finish(Box<Finished>),
    /// Forget what was gathered.
    Abort,
    /// Close the connection.
    Close(Close),
}

/// A complete message, but for its content.
#[derive(Debug)]
pub struct Finished {
    /// Where it came from.
    pub peer: Peer,
    /// The MTA's queue id.
    pub mta_queue_id: Option<String>,
    /// The sender.
    pub envelope: Envelope,
    /// The recipients that are ours.
    pub recipients: Vec<Recipient>,
    /// How many others there are.
    pub foreign_recipients: usize,
}

/// Why a session closes its connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Close {
    /// The MTA said so.
    Quit,
    /// The MTA offers a version that we do not serve.
    Version(u32),
    /// Something else came before the negotiation.
    NotNegotiated(CommandCode),
    /// A negotiation, or a header field after the end of the headers, in the middle of a message.
    OutOfOrder(CommandCode),
}

impl fmt::Display for Close {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Quit => f.write_str("the MTA ended the session"),
            Self::Version(version) => {
                write!(f, "the MTA speaks version {version}, we speak 2 to 6")
            }
            Self::NotNegotiated(code) => write!(f, "{code} came before SMFIC_OPTNEG"),
            Self::OutOfOrder(code) => write!(f, "{code} came inside a message"),
        }
    }
}

/// The state of one connection.
#[derive(Debug, Default)]
pub struct Session {
    /// Why no message may be begun at present, if so: too many sessions, or the server stops.
    shut: Option<SmtpReply>,
    agreed: Option<Agreed>,
    macros: Macros,
    host: Bytes,
    ip: Option<IpAddr>,
    /// The client connected from port 0, that is from nowhere.
    is_portless: bool,
    helo: Option<Bytes>,
    phase: Phase,
}

/// Where the session is in a message.
#[derive(Debug, Default)]
enum Phase {
    /// No message is open.
    #[default]
    Idle,
    /// MAIL came.
    Envelope(Box<Transaction>),
    /// Content is being gathered.
    Content {
        transaction: Box<Transaction>,
        headers_ended: bool,
    },
    /// The verdict is awaited.
    Judging {
        /// What RCPT said of each recipient of ours.
        arguments: Vec<Bytes>,
        /// How many others there are.
        foreign: usize,
    },
    /// No recipient is ours: the MTA was told, or will be at the next chance, to go on without us.
    Released,
    /// Refused, and the MTA shows us the message nevertheless.
    Refused(SmtpReply),
}

/// A message before its content.
#[derive(Debug)]
struct Transaction {
    envelope: Envelope,
    /// Submitted with sendmail(1): there is a queue file before the first recipient, and there was
    /// no connection, for which Postfix shows port 0 and its own machine's HELO, older versions
    /// none. Behind Postfix an SMTP client's mail has no queue file yet at MAIL, behind Sendmail it
    /// has.
    submitted_locally: bool,
    recipients: Vec<Recipient>,
    foreign_recipients: usize,
    /// A refusal that must wait for the end of the message.
    refusal: Option<SmtpReply>,
}

impl Session {
    /// A session with an MTA that has not said anything yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Decides what new messages are told at MAIL before the receiver is asked.
    pub fn shut(&mut self, reply: Option<SmtpReply>) {
        self.shut = reply;
    }

    /// Whether options have been agreed on.
    #[must_use]
    pub const fn is_negotiated(&self) -> bool {
        self.agreed.is_some()
    }

    /// Whether no message is open that could still be taken, so that closing now harms no mail.
    /// Postfix sends no abort after a message that was released, however long its client stays.
    #[must_use]
    pub const fn is_idle(&self) -> bool {
        matches!(
            self.phase,
            Phase::Idle | Phase::Released | Phase::Refused(_)
        )
    }

    /// The MTA's queue id, once there is one.
    #[must_use]
    pub fn mta_queue_id(&self) -> Option<String> {
        self.text("i")
    }

    /// The client as log lines name it: its name and its address.
    pub fn client(&self) -> impl fmt::Display {
        let ip = self
            .ip
            .map_or_else(|| "unknown".to_owned(), |ip| ip.to_string());
        format!("{}[{ip}]", self.host.escape_ascii())
    }

    /// What was agreed on.
    #[must_use]
    pub const fn agreed(&self) -> Option<&Agreed> {
        self.agreed.as_ref()
    }

    /// Obeys one command. The receiver has to be the same from MAIL to the end of the message.
    pub fn handle(
        &mut self,
        command: Command,
        receiver: &impl Receiver,
        actions: &mut Vec<Action>,
    ) {
        let code = command.code();
        let Some(agreed) = self.agreed else {
            match command {
                Command::Negotiate(offer) => self.negotiate(&offer, actions),
                Command::Quit => actions.push(Action::Close(Close::Quit)),
                _ => actions.push(Action::Close(Close::NotNegotiated(code))),
            }
            return;
        };
        match command {
            Command::Negotiate(offer) => {
                if matches!(self.phase, Phase::Idle) {
                    self.negotiate(&offer, actions);
                } else {
                    actions.push(Action::Close(Close::OutOfOrder(code)));
                }
            }
            Command::Macros { command, pairs } => self.macros.store(command, &pairs),
            Command::Connect { host, family } => {
                self.connect(&host, &family, actions);
                answer(agreed, Steps::NR_CONN, Plain::Continue, actions);
            }
            Command::Helo(name) => {
                // A new greeting ends a transaction; the MTA's ABORT comes after this command.
                self.drop_message(actions);
                self.helo = Some(kept_name(&name));
                answer(agreed, Steps::NR_HELO, Plain::Continue, actions);
            }
            Command::Mail(arguments) => {
                self.drop_message(actions);
                self.macros.begin_message();
                let reply = self.mail(&arguments, receiver);
                actions.push(Action::Reply(reply));
            }
            Command::Rcpt(arguments) => {
                let reply = self.rcpt(&arguments, receiver);
                actions.push(Action::Reply(reply));
            }
            Command::Data if self.will_be_hidden(agreed) => {
                let reply = hidden_content();
                actions.push(Action::Reply(refusal(&reply)));
                self.phase = Phase::Refused(reply);
            }
            Command::Data => {
                let plain = self.content_wanted();
                answer(agreed, Steps::NR_DATA, plain, actions);
            }
            // Says nothing about a message, so nothing changes.
            Command::Unknown(_) => answer(agreed, Steps::NR_UNKN, Plain::Continue, actions),
            Command::Header { name, value } => {
                let plain = self.content_wanted();
                self.begin_content(agreed, actions);
                match &self.phase {
                    Phase::Content { headers_ended, .. } if *headers_ended => {
                        actions.push(Action::Close(Close::OutOfOrder(code)));
                        return;
                    }
                    Phase::Content { .. } => actions.push(Action::Header { name, value }),
                    Phase::Idle
                    | Phase::Envelope(_)
                    | Phase::Judging { .. }
                    | Phase::Released
                    | Phase::Refused(_) => {}
                }
                answer(agreed, Steps::NR_HDR, plain, actions);
            }
            Command::EndOfHeaders => {
                let plain = self.content_wanted();
                self.begin_content(agreed, actions);
                self.end_headers(actions);
                answer(agreed, Steps::NR_EOH, plain, actions);
            }
            Command::Body(piece) => {
                let plain = self.content_wanted();
                self.begin_content(agreed, actions);
                self.body(piece, actions);
                answer(agreed, Steps::NR_BODY, plain, actions);
            }
            Command::EndOfMessage(piece) => self.end_of_message(agreed, piece, actions),
            Command::Abort => {
                self.drop_message(actions);
                self.macros.end_message();
            }
            Command::QuitNewConnection => {
                self.drop_message(actions);
                self.macros.clear();
                self.host = Bytes::new();
                self.ip = None;
                self.is_portless = false;
                self.helo = None;
            }
            Command::Quit => {
                self.drop_message(actions);
                actions.push(Action::Close(Close::Quit));
            }
        }
        self.macros.consume(code);
    }

    /// Says the verdict on the message that [`Action::Finish`] handed out. All of it belongs into
    /// one write: Postfix keeps edits even if the verdict never comes.
    pub fn conclude(&mut self, verdict: Verdict) -> Conclusion {
        let recipients = match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Judging { arguments, foreign } => conclusion::Recipients { arguments, foreign },
            Phase::Idle
            | Phase::Envelope(_)
            | Phase::Content { .. }
            | Phase::Released
            | Phase::Refused(_) => conclusion::Recipients::default(),
        };
        self.macros.end_message();
        conclusion::conclude(verdict, self.agreed.as_ref(), &recipients)
    }

    fn negotiate(&mut self, offer: &Offer, actions: &mut Vec<Action>) {
        match offer.agree() {
            Some(agreed) => {
                actions.push(Action::Reply(Reply::Negotiate(agreed.answer())));
                self.agreed = Some(agreed);
            }
            None => actions.push(Action::Close(Close::Version(offer.version))),
        }
    }

    fn connect(&mut self, host: &Bytes, family: &Family, actions: &mut Vec<Action>) {
        self.drop_message(actions);
        self.host = kept_name(host);
        self.ip = family.ip();
        self.is_portless = matches!(family, Family::Known { port: 0, .. });
        self.helo = None;
    }

    /// Forgets an open message. Nothing of it is told to anybody: what Postfix calls an abort it
    /// sends after successful messages too.
    fn drop_message(&mut self, actions: &mut Vec<Action>) {
        let phase = std::mem::replace(&mut self.phase, Phase::Idle);
        if matches!(phase, Phase::Content { .. }) {
            actions.push(Action::Abort);
        }
    }

    fn mail(&mut self, arguments: &Arguments, receiver: &impl Receiver) -> Reply {
        let envelope = Envelope::parse(arguments.iter());
        let queue_id = self.macros.get_fresh(CommandCode::Mail, "i");
        let unconnected = self.is_portless || self.helo.is_none();
        let submitted_locally = unconnected && queue_id.is_some();
        let decision = match (&self.shut, envelope.size) {
            (Some(reply), _) => Err(reply.clone()),
            (None, _) if envelope.sender.len() > NAME_BYTES_MAX => {
                Err(SmtpReply::new(501, 1, 7, "Sender address too long"))
            }
            (None, Some(size)) if size > receiver.message_bytes_max() => Err(too_big()),
            (None, _) => receiver.sender(&envelope),
        };
        match decision {
            Ok(()) => {
                self.phase = Phase::Envelope(Box::new(Transaction {
                    envelope,
                    submitted_locally,
                    recipients: Vec::new(),
                    foreign_recipients: 0,
                    refusal: None,
                }));
                Reply::Plain(Plain::Continue)
            }
            Err(reply) => {
                let wire = refusal(&reply);
                self.phase = Phase::Refused(reply);
                wire
            }
        }
    }

    fn rcpt(&mut self, arguments: &Arguments, receiver: &impl Receiver) -> Reply {
        let transaction = match &mut self.phase {
            Phase::Envelope(transaction) => transaction,
            Phase::Refused(reply) => return refusal(reply),
            Phase::Idle | Phase::Content { .. } | Phase::Judging { .. } | Phase::Released => {
                return Reply::Plain(Plain::Continue);
            }
        };
        // The MTA has refused this one itself and only tells us (RCPT_REJ).
        let mailer = self.macros.get_fresh(CommandCode::Rcpt, "rcpt_mailer");
        if mailer == Some(b"error") {
            return Reply::Plain(Plain::Continue);
        }
        let understood = self.macros.get_fresh(CommandCode::Rcpt, "rcpt_addr");
        let recipient = Recipient::new(arguments.first(), understood);
        let too_long = recipient.argument.len().max(recipient.address.len()) > NAME_BYTES_MAX;
        let verdict = if too_long {
            let reply = SmtpReply::new(501, 1, 3, "Recipient address too long");
            RecipientVerdict::Refuse(reply)
        } else {
            receiver.recipient(&transaction.envelope, &recipient)
        };
        let reply = match verdict {
            // "Accept" here would end the whole message, not this recipient: always go on.
            RecipientVerdict::Foreign => {
                transaction.foreign_recipients += 1;
                return Reply::Plain(Plain::Continue);
            }
            RecipientVerdict::Ours if transaction.recipients.len() < RECIPIENTS_MAX => {
                transaction.recipients.push(recipient);
                return Reply::Plain(Plain::Continue);
            }
            RecipientVerdict::Ours => SmtpReply::new(452, 5, 3, "Too many recipients"),
            RecipientVerdict::Refuse(reply) => reply,
        };
        if transaction.submitted_locally {
            // Postfix takes a refused recipient of sendmail(1) for a broken configuration and
            // tries again for ever; at the end of the message a refusal is a bounce.
            transaction.refusal.get_or_insert(reply);
            return Reply::Plain(Plain::Continue);
        }
        refusal(&reply)
    }

    /// Whether a message for us would pass by unseen. With `smtpd_proxy_filter` Postfix shows a
    /// filter neither content nor end, only the commands. It has no queue file then, thus no queue
    /// id, which it otherwise has from the first recipient on.
    fn will_be_hidden(&self, agreed: Agreed) -> bool {
        let ours = match &self.phase {
            Phase::Envelope(transaction) => !transaction.recipients.is_empty(),
            Phase::Idle
            | Phase::Content { .. }
            | Phase::Judging { .. }
            | Phase::Released
            | Phase::Refused(_) => false,
        };
        let postfix = |version: &[u8]| version.starts_with(b"Postfix");
        ours && !agreed.steps.contains(Steps::NR_DATA)
            && self.macros.get("v").is_some_and(postfix)
            && self.macros.get("i").is_none()
    }

    /// What to answer to a command about content, if an answer is due: to go on without us if no
    /// recipient is ours, and to go on with us otherwise.
    fn content_wanted(&mut self) -> Plain {
        if let Phase::Envelope(transaction) = &self.phase
            && transaction.recipients.is_empty()
            && transaction.refusal.is_none()
        {
            self.phase = Phase::Released;
        }
        match self.phase {
            Phase::Released => Plain::Accept,
            Phase::Idle
            | Phase::Envelope(_)
            | Phase::Content { .. }
            | Phase::Judging { .. }
            | Phase::Refused(_) => Plain::Continue,
        }
    }

    /// The first piece of content has come; MTAs of old versions never say DATA.
    fn begin_content(&mut self, agreed: Agreed, actions: &mut Vec<Action>) {
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Envelope(mut transaction) => {
                if let Some(reply) = transaction.refusal.take() {
                    self.phase = Phase::Refused(reply);
                } else {
                    actions.push(Action::Begin {
                        leading_space: agreed.steps.contains(Steps::HDR_LEADSPC),
                    });
                    self.phase = Phase::Content {
                        transaction,
                        headers_ended: false,
                    };
                }
            }
            phase => self.phase = phase,
        }
    }

    fn end_headers(&mut self, actions: &mut Vec<Action>) {
        if let Phase::Content { headers_ended, .. } = &mut self.phase
            && !std::mem::replace(headers_ended, true)
        {
            actions.push(Action::EndOfHeaders);
        }
    }

    fn body(&mut self, piece: Bytes, actions: &mut Vec<Action>) {
        self.end_headers(actions);
        if matches!(self.phase, Phase::Content { .. }) {
            actions.push(Action::Body(piece));
        }
    }

    fn end_of_message(&mut self, agreed: Agreed, piece: Bytes, actions: &mut Vec<Action>) {
        self.content_wanted();
        if !piece.is_empty() {
            self.begin_content(agreed, actions);
            self.body(piece, actions);
        }
        self.end_headers(actions);
        let reply = match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Content { transaction, .. } => {
                let recipients = transaction.recipients.iter();
                self.phase = Phase::Judging {
                    arguments: recipients.map(|one| one.argument.clone()).collect(),
                    foreign: transaction.foreign_recipients,
                };
                actions.push(Action::Finish(Box::new(self.finished(*transaction))));
                return;
            }
            Phase::Envelope(transaction) => {
                // A message without a single byte: behind a before-queue proxy filter the MTA has
                // no content to show. To take it would be to lose it.
                let reply = transaction.refusal.unwrap_or_else(no_content);
                refusal(&reply)
            }
            Phase::Refused(reply) => refusal(&reply),
            Phase::Idle | Phase::Judging { .. } | Phase::Released => Reply::Plain(Plain::Accept),
        };
        self.macros.end_message();
        actions.push(Action::Reply(reply));
    }

    fn finished(&self, transaction: Transaction) -> Finished {
        let ip = self
            .ip
            .or_else(|| self.macros.get("client_addr").and_then(parse_ip));
        Finished {
            peer: Peer {
                host: self.host.clone(),
                ip,
                helo: self.helo.clone(),
                tls: self.text("tls_version"),
                authenticated: self.text("auth_authen"),
                daemon_name: self.text("daemon_name"),
                mta_name: self.text("j"),
            },
            mta_queue_id: self.mta_queue_id(),
            envelope: transaction.envelope,
            recipients: transaction.recipients,
            foreign_recipients: transaction.foreign_recipients,
        }
    }

    /// A macro as text; an empty one counts as missing.
    fn text(&self, name: &str) -> Option<String> {
        let value = self.macros.get(name).filter(|value| !value.is_empty())?;
        Some(String::from_utf8_lossy(value).into_owned())
    }
}

/// Replies unless it was agreed that this command is not answered. One reply too many or too few
/// would shift every later one, so this is the only door.
fn answer(agreed: Agreed, no_reply: Steps, plain: Plain, actions: &mut Vec<Action>) {
    if !agreed.steps.contains(no_reply) {
        actions.push(Action::Reply(Reply::Plain(plain)));
    }
}

fn refusal(reply: &SmtpReply) -> Reply {
    Reply::ReplyCode(reply.encode())
}

/// The message is larger than we take.
pub(crate) fn too_big() -> SmtpReply {
    SmtpReply::new(552, 3, 4, "Message too big")
}

fn hidden_content() -> SmtpReply {
    let why = "Message content is hidden from the mail gateway by smtpd_proxy_filter";
    SmtpReply::new(451, 3, 5, why)
}

/// There is no room at present for one more message.
pub(super) fn busy() -> SmtpReply {
    SmtpReply::new(451, 3, 2, "Mail gateway is busy, try again later")
}

/// What is kept of a name that a client or its MTA gave; copied, so that it does not keep the read
/// buffer alive.
fn kept_name(name: &[u8]) -> Bytes {
    Bytes::copy_from_slice(name.get(..NAME_BYTES_MAX).unwrap_or(name))
}

fn no_content() -> SmtpReply {
    SmtpReply::new(451, 3, 5, "No message content was received")
}

#[cfg(test)]
mod tests;
