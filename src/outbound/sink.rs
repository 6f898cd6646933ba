//! A small SMTP server that keeps what it is sent and misbehaves on request.
//! It stands in for Postfix in the demo and in tests; it relays nothing and checks nobody.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::io::{
    AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader,
};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Largest message the sink takes, in bytes, announced with SIZE.
pub const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// Messages kept for [`Sink::received`] and [`Sink::next`]; older ones are forgotten.
pub const MESSAGES_MAX: usize = 1000;

/// Bytes of all messages kept; older ones are forgotten. Several times [`MESSAGE_BYTES_MAX`], so
/// the newest is always there.
pub const RECEIVED_BYTES_MAX: usize = 256 << 20;

/// Command lines kept for [`Sink::commands`]; older ones are forgotten.
pub const COMMANDS_MAX: usize = 10_000;

/// Longest command line in bytes. RFC 5321, 4.5.3.1.4 asks for 512; extensions make it longer.
const LINE_BYTES_MAX: usize = 4096;

/// Most recipients of one message, the default of Postfix's `smtpd_recipient_limit`.
const RECIPIENTS_MAX: usize = 1000;

/// Most connections at once; more wait in the kernel's backlog.
const CONNECTIONS_MAX: usize = 64;

/// One message that the sink took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// The name under which it was queued, as the reply told it.
    pub queue_id: String,
    /// Sender of the envelope; empty is the null sender.
    pub from: String,
    /// Recipients of the envelope that were not refused.
    pub to: Vec<String>,
    /// The message with doubled dots undone; the final dot is not part of it.
    pub bytes: Bytes,
}

/// A point in an SMTP conversation at which the sink can be told what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Instead of the greeting.
    Greeting,
    /// Instead of the answer to EHLO or HELO.
    Ehlo,
    /// Instead of the answer to AUTH.
    Auth,
    /// Instead of the answer to MAIL.
    Mail,
    /// Instead of the answer to RCPT.
    Rcpt,
    /// Instead of the answer to DATA.
    Data,
    /// After the first line of a message.
    Content,
    /// Instead of the answer to the final dot.
    End,
}

/// What the sink does at a [`Stage`].
#[derive(Debug, Clone)]
pub enum Act {
    /// What it does when nothing was scripted: goes on.
    Go,
    /// Sends these bytes as they are, which should end in CR LF; the command counts as accepted if
    /// they begin with `2` or `3`. At [`Stage::Content`] the bytes are sent and the rest is read.
    Say(String),
    /// Closes the connection without a word. At [`Stage::End`] the message is not taken.
    HangUp,
    /// At [`Stage::End`]: takes the message and closes the connection without a word. Elsewhere
    /// the same as [`Act::HangUp`].
    TakeAndHangUp,
    /// Wakes `reached`, then waits for `go` before it goes on. With a `go` that nobody notifies it
    /// is a server that hangs.
    Wait {
        /// Told when the stage is reached.
        reached: Arc<Notify>,
        /// Waited for.
        go: Arc<Notify>,
    },
}

/// The server. It stops, with all its connections, when this is dropped.
#[derive(Debug)]
pub struct Sink {
    addr: SocketAddr,
    shared: Arc<Shared>,
    _stop: DropGuard,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct State {
    script: BTreeMap<Stage, VecDeque<Act>>,
    received: VecDeque<Mail>,
    received_bytes: usize,
    commands: VecDeque<String>,
    /// Messages taken so far, kept or not.
    taken: usize,
    /// Messages that [`Sink::next`] has given out or can no longer give out.
    given: usize,
}

impl State {
    fn next(&mut self) -> Option<Mail> {
        let oldest = self.taken - self.received.len();
        let wanted = self.given.max(oldest);
        let mail = self.received.get(wanted - oldest).cloned()?;
        self.given = wanted + 1;
        Some(mail)
    }
}

impl Sink {
    /// Listens on `addr`; port 0 lets the system choose one, which [`Self::addr`] then tells.
    ///
    /// # Errors
    /// What `bind` says.
    pub async fn start(addr: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(addr).await?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let stop = CancellationToken::new();
        tokio::spawn(listen(listener, Arc::clone(&shared), stop.clone()));
        Ok(Self {
            addr,
            shared,
            _stop: stop.drop_guard(),
        })
    }

    /// Where it listens.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Adds what to do when `stage` is reached next, after what was added for it before. Each act
    /// is done once; when none is left the sink is well-behaved again.
    pub fn script(&self, stage: Stage, act: Act) {
        self.shared
            .lock()
            .script
            .entry(stage)
            .or_default()
            .push_back(act);
    }

    /// The next message that was not given out yet; waits for one. May be dropped while it waits.
    pub async fn next(&self) -> Mail {
        loop {
            let arrived = self.shared.arrived.notified();
            if let Some(mail) = self.shared.lock().next() {
                return mail;
            }
            arrived.await;
        }
    }

    /// All messages taken so far in the order of their taking, as far as they are kept.
    #[must_use]
    pub fn received(&self) -> Vec<Mail> {
        self.shared.lock().received.iter().cloned().collect()
    }

    /// All command lines of all connections so far, without CR LF, as far as they are kept.
    #[must_use]
    pub fn commands(&self) -> Vec<String> {
        self.shared.lock().commands.iter().cloned().collect()
    }

    /// Talks to whoever is at the other end of `stream`, until one of the two hangs up. For tests
    /// in which the clock is paused and a real socket would be too slow.
    pub async fn serve<T: AsyncRead + AsyncWrite + Unpin>(&self, stream: T) {
        // How a connection ended is nobody's concern here: what was taken is in the record.
        let _ = Conversation::new(stream, &self.shared).hold().await;
    }
}

impl Shared {
    /// A panic elsewhere leaves the record as it was, and a record is all it is.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn act(&self, stage: Stage) -> Act {
        self.lock()
            .script
            .get_mut(&stage)
            .and_then(VecDeque::pop_front)
            .unwrap_or(Act::Go)
    }

    fn note(&self, command: &str) {
        let mut state = self.lock();
        if state.commands.len() >= COMMANDS_MAX {
            state.commands.pop_front();
        }
        state.commands.push_back(command.to_owned());
    }

    /// Takes a message and tells its queue id, which looks like one of Postfix's long ones.
    fn take(&self, from: String, to: Vec<String>, bytes: Bytes) -> String {
        let mut state = self.lock();
        state.taken += 1;
        let queue_id = format!("4Sink{:06}z", state.taken);
        state.received_bytes += bytes.len();
        state.received.push_back(Mail {
            queue_id: queue_id.clone(),
            from,
            to,
            bytes,
        });
        while state.received.len() > MESSAGES_MAX || state.received_bytes > RECEIVED_BYTES_MAX {
            let Some(oldest) = state.received.pop_front() else {
                break;
            };
            state.received_bytes -= oldest.bytes.len();
        }
        drop(state);
        self.arrived.notify_waiters();
        queue_id
    }
}

async fn listen(listener: TcpListener, shared: Arc<Shared>, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => {
                // An accept that failed concerns that one client, who has gone.
                if let Ok((stream, _)) = accepted {
                    let shared = Arc::clone(&shared);
                    connections.spawn(async move {
                        let _ = Conversation::new(stream, &shared).hold().await;
                    });
                }
            }
        }
    }
}

/// Whether the conversation goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    GoOn,
    HangUp,
}

/// What a script made of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Played {
    /// Nothing: the usual answer is due.
    Usual,
    /// An answer was sent that accepts the command.
    Accepted,
    /// An answer was sent that refuses it.
    Refused,
    /// The connection is to be closed; at the end of a message it may be taken first.
    HangUp { take: bool },
}

struct Conversation<'a, T> {
    stream: BufReader<T>,
    shared: &'a Shared,
    from: Option<String>,
    to: Vec<String>,
}

impl<'a, T: AsyncRead + AsyncWrite + Unpin> Conversation<'a, T> {
    fn new(stream: T, shared: &'a Shared) -> Self {
        Self {
            stream: BufReader::new(stream),
            shared,
            from: None,
            to: Vec::new(),
        }
    }

    async fn hold(mut self) -> io::Result<()> {
        match self.play(Stage::Greeting).await? {
            Played::Usual => self.say("220 sink.invalid ESMTP Postroom sink\r\n").await?,
            Played::Accepted | Played::Refused => {}
            Played::HangUp { .. } => return Ok(()),
        }
        let mut line = Vec::new();
        loop {
            line.clear();
            read_line(&mut self.stream, LINE_BYTES_MAX, &mut line).await?;
            if !line.ends_with(b"\n") {
                // The client has gone, or its line has no end.
                return Ok(());
            }
            let text = String::from_utf8_lossy(&line);
            let command = text.trim_end_matches(['\r', '\n']);
            self.shared.note(command);
            if self.answer(command).await? == Then::HangUp {
                return Ok(());
            }
        }
    }

    async fn answer(&mut self, command: &str) -> io::Result<Then> {
        let verb = command.split(' ').next().unwrap_or_default();
        match verb.to_ascii_uppercase().as_str() {
            "EHLO" => {
                let usual = format!(
                    "250-sink.invalid\r\n250-PIPELINING\r\n250-SIZE {MESSAGE_BYTES_MAX}\r\n\
                     250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250-DSN\r\n250 SMTPUTF8\r\n"
                );
                self.reset();
                self.step(Stage::Ehlo, &usual).await.map(|(then, _)| then)
            }
            "HELO" => {
                self.reset();
                let (then, _) = self.step(Stage::Ehlo, "250 sink.invalid\r\n").await?;
                Ok(then)
            }
            "AUTH" => {
                let usual = "235 2.7.0 Authentication successful\r\n";
                self.step(Stage::Auth, usual).await.map(|(then, _)| then)
            }
            "MAIL" => {
                let Some(address) = path(command) else {
                    return self
                        .go_on("501 5.5.4 Syntax: MAIL FROM:<address>\r\n")
                        .await;
                };
                let (then, accepted) = self.step(Stage::Mail, "250 2.1.0 Ok\r\n").await?;
                if accepted {
                    self.from = Some(address);
                    self.to.clear();
                }
                Ok(then)
            }
            "RCPT" => {
                let Some(address) = path(command) else {
                    return self.go_on("501 5.5.4 Syntax: RCPT TO:<address>\r\n").await;
                };
                if self.from.is_none() {
                    return self.go_on("503 5.5.1 Error: need MAIL command\r\n").await;
                }
                if self.to.len() >= RECIPIENTS_MAX {
                    return self.go_on("452 4.5.3 Error: too many recipients\r\n").await;
                }
                let (then, accepted) = self.step(Stage::Rcpt, "250 2.1.5 Ok\r\n").await?;
                if accepted {
                    self.to.push(address);
                }
                Ok(then)
            }
            "DATA" => {
                if self.to.is_empty() {
                    return self.go_on("554 5.5.1 Error: no valid recipients\r\n").await;
                }
                let usual = "354 End data with <CR><LF>.<CR><LF>\r\n";
                let (then, accepted) = self.step(Stage::Data, usual).await?;
                if then == Then::GoOn && accepted {
                    self.content().await
                } else {
                    Ok(then)
                }
            }
            "RSET" => {
                self.reset();
                self.go_on("250 2.0.0 Ok\r\n").await
            }
            "NOOP" => self.go_on("250 2.0.0 Ok\r\n").await,
            "QUIT" => {
                self.say("221 2.0.0 Bye\r\n").await?;
                Ok(Then::HangUp)
            }
            _ => {
                self.go_on("502 5.5.2 Error: command not recognized\r\n")
                    .await
            }
        }
    }

    /// Reads a message up to its final dot, and takes it.
    async fn content(&mut self) -> io::Result<Then> {
        let mut message = Vec::new();
        let mut line_start = true;
        let mut after_cr = false;
        let mut first = true;
        let mut too_large = false;
        let mut line = Vec::new();
        loop {
            line.clear();
            read_line(&mut self.stream, LINE_BYTES_MAX, &mut line).await?;
            if line.is_empty() {
                return Ok(Then::HangUp);
            }
            if line_start && line == b".\r\n" {
                break;
            }
            // RFC 5321, 4.5.2. Only CR LF ends a line: a bare LF is content.
            let kept = match line.strip_prefix(b".") {
                Some(rest) if line_start => rest,
                _ => line.as_slice(),
            };
            if message.len() + kept.len() > MESSAGE_BYTES_MAX {
                too_large = true;
            } else {
                message.extend_from_slice(kept);
            }
            // A long line comes in pieces, and one may end between CR and LF.
            line_start = line.ends_with(b"\r\n") || (after_cr && line == b"\n");
            after_cr = line.ends_with(b"\r");
            if first {
                first = false;
                if let Played::HangUp { .. } = self.play(Stage::Content).await? {
                    return Ok(Then::HangUp);
                }
            }
        }
        let from = self.from.take().unwrap_or_default();
        let to = std::mem::take(&mut self.to);
        if too_large {
            return self.go_on("552 5.3.4 Error: message too large\r\n").await;
        }
        let bytes = Bytes::from(message);
        match self.play(Stage::End).await? {
            Played::Usual => {
                let queue_id = self.shared.take(from, to, bytes);
                self.go_on(&format!("250 2.0.0 Ok: queued as {queue_id}\r\n"))
                    .await
            }
            Played::Accepted => {
                self.shared.take(from, to, bytes);
                Ok(Then::GoOn)
            }
            Played::Refused => Ok(Then::GoOn),
            Played::HangUp { take } => {
                if take {
                    self.shared.take(from, to, bytes);
                }
                Ok(Then::HangUp)
            }
        }
    }

    /// Answers a command as scripted, or as usual; tells whether that accepted it.
    async fn step(&mut self, stage: Stage, usual: &str) -> io::Result<(Then, bool)> {
        Ok(match self.play(stage).await? {
            Played::Usual => {
                self.say(usual).await?;
                (Then::GoOn, true)
            }
            Played::Accepted => (Then::GoOn, true),
            Played::Refused => (Then::GoOn, false),
            Played::HangUp { .. } => (Then::HangUp, false),
        })
    }

    /// Does what the script has for a stage, if it has anything.
    async fn play(&mut self, stage: Stage) -> io::Result<Played> {
        match self.shared.act(stage) {
            Act::Go => Ok(Played::Usual),
            Act::Say(reply) => {
                self.say(&reply).await?;
                Ok(if reply.starts_with(['2', '3']) {
                    Played::Accepted
                } else {
                    Played::Refused
                })
            }
            Act::HangUp => Ok(Played::HangUp { take: false }),
            Act::TakeAndHangUp => Ok(Played::HangUp { take: true }),
            Act::Wait { reached, go } => {
                reached.notify_one();
                go.notified().await;
                Ok(Played::Usual)
            }
        }
    }

    fn reset(&mut self) {
        self.from = None;
        self.to.clear();
    }

    async fn go_on(&mut self, reply: &str) -> io::Result<Then> {
        self.say(reply).await?;
        Ok(Then::GoOn)
    }

    async fn say(&mut self, reply: &str) -> io::Result<()> {
        self.stream.write_all(reply.as_bytes()).await?;
        self.stream.flush().await
    }
}

/// Reads up to and with the next LF, or `bytes_max` bytes of a longer line.
async fn read_line<R: AsyncBufRead + Unpin>(
    stream: &mut R,
    bytes_max: usize,
    line: &mut Vec<u8>,
) -> io::Result<()> {
    stream
        .take(bytes_max as u64)
        .read_until(b'\n', line)
        .await
        .map(|_| ())
}

/// The address between the angle brackets of MAIL or RCPT.
fn path(command: &str) -> Option<String> {
    let (_, rest) = command.split_once('<')?;
    let (address, _) = rest.split_once('>')?;
    Some(address.to_owned())
}
