//! One connection: reads frames, lets the session handle them, writes what it answers.

use std::fmt;
use std::io;
use std::pin::pin;
use std::sync::Arc;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout, timeout_at};

use super::Shared;
use super::listener::Transport;
use crate::milter::arrival::{Arrival, Receiver, Verdict};
use crate::milter::gather::Gather;
use crate::milter::reply::SmtpReply;
use crate::milter::session::{Action, Close, Finished, Session, busy};
use crate::milter::wire::{Arguments, Command, Frame, Plain, Reply, WireError};

/// How much room is made before each read. A burst of headers fits, and so does half a body piece.
const READ_BYTES: usize = 32 << 10;

/// The same between messages, when commands are short and the connection may stay silent for hours:
/// so much of an idle one's memory is ours.
const IDLE_READ_BYTES: usize = 2 << 10;

/// Replies that are gathered before they are written although more commands are at hand.
const UNWRITTEN_BYTES_MAX: usize = 64 << 10;

/// How a conversation ended.
#[derive(Debug)]
pub(super) enum End {
    /// The session closed it.
    Closed(Close),
    /// The session closed it because of what the MTA said.
    Refused(Close),
    /// The MTA went without a word.
    Eof {
        /// In the middle of a message, which is thereby gone.
        in_message: bool,
    },
    /// What came is not the milter protocol.
    Wire(WireError),
    /// Nothing was negotiated in time.
    Silent,
    /// No frame came for too long.
    Idle,
    /// The MTA does not read what we write.
    Deaf,
    /// The connection broke.
    Io(io::Error),
    /// The server stops.
    Stopped,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(close) | Self::Refused(close) => close.fmt(f),
            Self::Eof { in_message: false } => f.write_str("the peer went"),
            Self::Eof { in_message: true } => f.write_str("the peer went in a message"),
            Self::Wire(error) => error.fmt(f),
            Self::Silent => f.write_str("the peer negotiated nothing in time"),
            Self::Idle => f.write_str("the MTA was silent for too long"),
            Self::Deaf => f.write_str("the MTA does not read our answers"),
            Self::Io(error) => write!(f, "the connection broke: {error}"),
            Self::Stopped => f.write_str("the server stops"),
        }
    }
}

/// What a refusal of ours is about, in the words of Postfix's log.
enum Asked {
    Mail(Arguments),
    Rcpt(Arguments),
    EndOfMessage,
}

impl Asked {
    fn by(command: &Command) -> Option<Self> {
        match command {
            Command::Mail(arguments) => Some(Self::Mail(arguments.clone())),
            Command::Rcpt(arguments) => Some(Self::Rcpt(arguments.clone())),
            Command::EndOfMessage(_) => Some(Self::EndOfMessage),
            _ => None,
        }
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// How much of an address a log line shows: RFC 5321's longest path.
        const SHOWN_BYTES_MAX: usize = 256;

        let (verb, address) = match self {
            Self::Mail(arguments) => ("MAIL", arguments.first()),
            Self::Rcpt(arguments) => ("RCPT", arguments.first()),
            Self::EndOfMessage => return f.write_str("END-OF-MESSAGE"),
        };
        let shown = address.get(..SHOWN_BYTES_MAX).unwrap_or(address);
        write!(f, "{verb} {}", shown.escape_ascii())
    }
}

/// One connection.
pub(super) struct Conversation<'a, S, R> {
    stream: S,
    shared: &'a Shared<R>,
    session: Session,
    /// The right to bring mail, once there was one to have.
    admission: Option<OwnedSemaphorePermit>,
    /// What has arrived and was not yet handled: less than one frame between reads.
    arrived: BytesMut,
    /// Replies not yet written.
    unwritten: BytesMut,
    /// The message that is arriving.
    gather: Option<Gather>,
    /// Who decides about the message that is open, or else about the last one.
    receiver: Arc<R>,
}

impl<'a, S: Transport, R: Receiver> Conversation<'a, S, R> {
    pub(super) fn new(stream: S, shared: &'a Shared<R>) -> Self {
        Self {
            stream,
            shared,
            session: Session::new(),
            admission: Arc::clone(&shared.admission).try_acquire_owned().ok(),
            arrived: BytesMut::new(),
            unwritten: BytesMut::new(),
            gather: None,
            receiver: shared.receiver.get(),
        }
    }

    /// Talks until one side has had enough.
    pub(super) async fn run(mut self) -> End {
        let end = match self.talk().await {
            Ok(never) => match never {},
            Err(end) => end,
        };
        // What was answered before the end is still said; nobody waits for it.
        if !matches!(end, End::Io(_) | End::Deaf) {
            let _ = self.flush().await;
        }
        end
    }

    async fn talk(&mut self) -> Result<std::convert::Infallible, End> {
        let negotiation_over = Instant::now() + self.shared.options.timers.negotiation;
        let mut actions = Vec::new();
        let mut deadline = negotiation_over;
        loop {
            while let Some(frame) = Frame::take(&mut self.arrived).map_err(End::Wire)? {
                let command = Command::decode(frame).map_err(End::Wire)?;
                tracing::trace!(code = %command.code(), "from the MTA");
                if matches!(command, Command::Mail(_)) {
                    self.receiver = self.shared.receiver.get();
                    self.admit();
                }
                let asked = Asked::by(&command);
                (self.session).handle(command, &*self.receiver, &mut actions);
                for action in actions.drain(..) {
                    if let (Action::Reply(Reply::ReplyCode(text)), Some(asked)) = (&action, &asked)
                    {
                        self.log_refusal(asked, text);
                    }
                    self.act(action).await?;
                }
                if self.session.is_negotiated() {
                    deadline = Instant::now() + self.shared.options.timers.idle;
                }
                if self.unwritten.len() > UNWRITTEN_BYTES_MAX {
                    self.flush().await?;
                }
            }
            self.flush().await?;
            self.read(deadline).await?;
        }
    }

    /// Reads what there is. An open message may go on while the server stops, an idle session not.
    async fn read(&mut self, deadline: Instant) -> Result<(), End> {
        let stop = self.shared.stop.clone();
        let idle = self.session.is_idle();
        if idle {
            for buffer in [&mut self.arrived, &mut self.unwritten] {
                if buffer.is_empty() && buffer.capacity() > IDLE_READ_BYTES {
                    *buffer = BytesMut::new();
                }
            }
        }
        let room = if idle { IDLE_READ_BYTES } else { READ_BYTES };
        self.arrived.reserve(room);
        let read = timeout_at(deadline, self.stream.read_buf(&mut self.arrived));
        let read = tokio::select! {
            biased;
            () = stop.cancelled(), if idle => return Err(End::Stopped),
            read = read => read,
        };
        match read {
            Ok(Ok(0)) => Err(End::Eof {
                in_message: !self.session.is_idle(),
            }),
            Ok(Ok(_)) => {
                self.stream.after_read();
                Ok(())
            }
            Ok(Err(error)) => Err(End::Io(error)),
            Err(_) if self.session.is_negotiated() => Err(End::Idle),
            Err(_) => Err(End::Silent),
        }
    }

    /// Sees whether this connection may begin a message now.
    fn admit(&mut self) {
        if self.admission.is_none() {
            self.admission = Arc::clone(&self.shared.admission).try_acquire_owned().ok();
        }
        let reply = if self.shared.stop.is_cancelled() {
            Some(SmtpReply::new(
                451,
                3,
                2,
                "Mail gateway is restarting, try again later",
            ))
        } else if self.admission.is_none() {
            Some(busy())
        } else {
            None
        };
        self.session.shut(reply);
    }

    /// A refusal that the receiver knows nothing of, or that is about no message yet, has its line,
    /// as in Postfix's own log.
    fn log_refusal(&self, asked: &Asked, reply: &[u8]) {
        let queue_id = self.session.mta_queue_id();
        tracing::info!(
            "{}: client={}: reject {asked}: {}",
            queue_id.as_deref().unwrap_or("NOQUEUE"),
            self.session.client(),
            String::from_utf8_lossy(reply)
                .replace("%%", "%")
                .replace("\r\n", " / "),
        );
    }

    async fn act(&mut self, action: Action) -> Result<(), End> {
        match action {
            Action::Reply(reply) => self.say(&reply),
            Action::Begin { leading_space } => {
                self.gather = Some(Gather::new(
                    Arc::clone(&self.shared.spool),
                    self.receiver.message_bytes_max(),
                    leading_space,
                ));
            }
            Action::Header { name, value } => {
                if let Some(gather) = &mut self.gather {
                    gather.header(&name, &value);
                }
            }
            Action::EndOfHeaders => {
                if let Some(gather) = &mut self.gather {
                    gather.end_of_headers();
                }
            }
            Action::Body(piece) => {
                if let Some(gather) = &mut self.gather {
                    gather.body(&piece).await;
                }
            }
            Action::Finish(finished) => {
                let verdict = self.judge(*finished).await?;
                let queue_id = self.session.mta_queue_id();
                let conclusion = self.session.conclude(verdict);
                if conclusion.tags_dropped > 0 {
                    tracing::warn!(
                        mta_queue_id = queue_id,
                        edits = conclusion.tags_dropped,
                        "the MTA does not let us edit headers: the message goes on without tags"
                    );
                }
                if conclusion.recipients_kept > 0 {
                    tracing::warn!(
                        mta_queue_id = queue_id,
                        recipients = conclusion.recipients_kept,
                        "the MTA does not let us remove recipients: it delivers a copy to ours too"
                    );
                }
                for reply in &conclusion.replies {
                    self.say(reply);
                }
                if let Err(end) = self.flush().await {
                    tracing::warn!(
                        mta_queue_id = queue_id,
                        %end,
                        "whether the MTA has heard the verdict is uncertain"
                    );
                    return Err(end);
                }
            }
            Action::Abort => self.gather = None,
            Action::Close(Close::Quit) => return Err(End::Closed(Close::Quit)),
            Action::Close(close) => return Err(End::Refused(close)),
        }
        Ok(())
    }

    /// Waits for the verdict on a complete message and tells the MTA now and then that it is still
    /// being worked on. If the MTA goes meanwhile the work goes on: the message may be committed
    /// already, and the sender's retry will find it.
    async fn judge(&mut self, finished: Finished) -> Result<Verdict, End> {
        let Some(gather) = self.gather.take() else {
            return Ok(Verdict::Refuse(SmtpReply::new(451, 3, 0, "Internal error")));
        };
        self.flush().await?;
        // The memory is held until the verdict.
        let (headers, content, _held) = match gather.finish().await {
            Ok(complete) => complete,
            Err(reply) => {
                self.log_refusal(&Asked::EndOfMessage, &reply.encode());
                return Ok(Verdict::Refuse(reply));
            }
        };
        let receiver = Arc::clone(&self.receiver);
        let mut verdict = pin!(receiver.message(Arrival {
            peer: finished.peer,
            mta_queue_id: finished.mta_queue_id,
            envelope: finished.envelope,
            recipients: finished.recipients,
            foreign_recipients: finished.foreign_recipients,
            headers,
            content,
        }));
        let pause = self.shared.options.timers.progress;
        let mut ticks = interval_at(Instant::now() + pause, pause);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                verdict = &mut verdict => return Ok(verdict),
                _ = ticks.tick() => {
                    self.say(&Reply::Plain(Plain::Progress));
                    let written = tokio::select! {
                        biased;
                        written = self.flush() => written,
                        verdict = &mut verdict => return Ok(verdict),
                    };
                    if let Err(end) = written {
                        verdict.await;
                        return Err(end);
                    }
                }
            }
        }
    }

    fn say(&mut self, reply: &Reply) {
        tracing::trace!(code = %reply.code(), "to the MTA");
        reply.encode(&mut self.unwritten);
    }

    /// Writes all replies at once.
    async fn flush(&mut self) -> Result<(), End> {
        if self.unwritten.is_empty() {
            return Ok(());
        }
        let write = self.stream.write_all_buf(&mut self.unwritten);
        match timeout(self.shared.options.timers.write, write).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(End::Io(error)),
            Err(_) => Err(End::Deaf),
        }
    }
}
