//! The sockets: accepts MTAs, feeds their bytes to a session each, does what the session says.
//!
//! What is said is decided in `session`; here are time, memory, connections and the orderly stop.

mod conversation;
mod current;
mod listener;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::arrival::Receiver;
use super::gather::Spool;
use conversation::{Conversation, End};
pub use current::Current;
use listener::Stream;
pub use listener::{BindError, Listener, SOCKET_MODE};

/// What an operator may choose about the milter server.
#[derive(Debug, Clone)]
pub struct Options {
    /// Folder for the files of large messages, on the file system of the store, which adopts them.
    pub spool: PathBuf,
    /// How many connections may bring mail at once. Each Postfix smtpd process holds one, and one
    /// more while it submits a bounce, so this has to be at least twice Postfix's process limit
    /// (100 by default). As many again are let in and answered 451 4.3.2 at MAIL: to close them
    /// would break the whole SMTP session. Beyond that the system's backlog waits.
    pub connections_max: usize,
    /// How much memory the messages in flight may take together, in bytes. A large one takes half a
    /// MiB while it arrives, whatever its size, because the rest of it is in a file. What finds no
    /// room is refused with 451 4.3.2 at its end.
    pub memory_bytes_max: usize,
    /// How long a stop waits for messages to reach their verdict.
    pub drain: Duration,
    /// The conversation's timers.
    pub timers: Timers,
}

impl Options {
    /// The defaults, with the one thing that has none.
    #[must_use]
    pub fn new(spool: impl Into<PathBuf>) -> Self {
        Self {
            spool: spool.into(),
            connections_max: 1000,
            memory_bytes_max: 256 << 20,
            drain: Duration::from_secs(60),
            timers: Timers::default(),
        }
    }
}

/// The conversation's timers.
#[derive(Debug, Clone, Copy)]
pub struct Timers {
    /// From the start of a connection to agreed options; Postfix's `milter_connect_timeout`.
    pub negotiation: Duration,
    /// Between complete frames. An SMTP client may sit for five minutes between two commands, and
    /// keep its connection for hundreds of messages; libmilter's habit is 7210 s.
    pub idle: Duration,
    /// For the MTA to take what we write.
    pub write: Duration,
    /// Between two signs of life while a verdict is awaited. Must stay well below Postfix's
    /// `milter_content_timeout`, and below what any client in front of it bears.
    pub progress: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            negotiation: Duration::from_secs(30),
            idle: Duration::from_secs(7210),
            write: Duration::from_secs(30),
            progress: Duration::from_secs(10),
        }
    }
}

/// What a stop left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Sessions that were cut when [`Options::drain`] was over; their clients were told 451.
    pub cut: usize,
}

impl fmt::Display for Drained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cut {
            0 => f.write_str("all milter sessions ended in order"),
            cut => write!(f, "{cut} milter sessions had to be cut"),
        }
    }
}

/// What all connections share.
struct Shared<R> {
    receiver: Arc<Current<R>>,
    spool: Arc<Spool>,
    options: Options,
    /// Connections that may bring mail.
    admission: Arc<Semaphore>,
    /// Connections that may be open at all.
    presence: Arc<Semaphore>,
    stop: CancellationToken,
    noise: Noise,
}

/// Serves MTAs on all listeners until `stop` is cancelled. Each message is decided on by whoever
/// was the receiver at its MAIL. After the stop it accepts nobody any more, lets
/// open messages reach their verdict, closes idle sessions, and returns when the last one is gone
/// or [`Options::drain`] is over.
pub async fn serve<R: Receiver>(
    listeners: Vec<Listener>,
    receiver: Arc<Current<R>>,
    options: Options,
    stop: CancellationToken,
) -> Drained {
    let connections_max = options.connections_max.clamp(1, Semaphore::MAX_PERMITS / 2);
    let drain = options.drain;
    let shared = Arc::new(Shared {
        receiver,
        spool: Arc::new(Spool::new(options.spool.clone(), options.memory_bytes_max)),
        options,
        admission: Arc::new(Semaphore::new(connections_max)),
        presence: Arc::new(Semaphore::new(2 * connections_max)),
        stop: stop.clone(),
        noise: Noise::default(),
    });
    let mut acceptors = JoinSet::new();
    for listener in listeners {
        acceptors.spawn(accept(listener, Arc::clone(&shared), stop.clone(), drain));
    }
    let mut cut = 0;
    while let Some(ended) = acceptors.join_next().await {
        match ended {
            Ok(sessions) => cut += sessions,
            Err(error) => tracing::error!(%error, "a milter listener died; this is a bug"),
        }
    }
    Drained { cut }
}

/// Accepts connections of one listener until the stop, then waits for them. Returns how many had
/// to be cut.
async fn accept<R: Receiver>(
    listener: Listener,
    shared: Arc<Shared<R>>,
    stop: CancellationToken,
    drain: Duration,
) -> usize {
    /// How long to wait when the system has no descriptor left for a connection.
    const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

    let mut sessions = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(ended) = sessions.join_next(), if !sessions.is_empty() => {
                report(ended);
                continue;
            }
            accepted = next_connection(&listener, &shared) => accepted,
        };
        match accepted {
            Ok((stream, presence)) => {
                sessions.spawn(converse(stream, presence, Arc::clone(&shared)));
            }
            Err(error) => {
                shared
                    .noise
                    .say(&format_args!("no connection accepted: {error}"));
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
            }
        }
    }
    drop(listener);
    let all_ended = async {
        while let Some(ended) = sessions.join_next().await {
            report(ended);
        }
    };
    if tokio::time::timeout(drain, all_ended).await.is_ok() {
        return 0;
    }
    let cut = sessions.len();
    sessions.shutdown().await;
    cut
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && !error.is_cancelled()
    {
        tracing::error!(%error, "a milter session died; this is a bug");
    }
}

/// Waits for a place first and for a connection then, so that the backlog holds what we cannot.
async fn next_connection<R>(
    listener: &Listener,
    shared: &Shared<R>,
) -> io::Result<(Stream, OwnedSemaphorePermit)> {
    let presence = Arc::clone(&shared.presence)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    Ok((listener.accept().await?, presence))
}

async fn converse<R: Receiver>(
    stream: Stream,
    _presence: OwnedSemaphorePermit,
    shared: Arc<Shared<R>>,
) {
    let remote = stream.to_string();
    let end = match stream {
        Stream::Unix(stream) => Conversation::new(stream, &shared).run().await,
        Stream::Tcp(stream, _) => Conversation::new(stream, &shared).run().await,
    };
    match &end {
        // Health checks connect and go, killed clients take their smtpd with them.
        End::Closed(_) | End::Stopped | End::Eof { .. } => {
            tracing::debug!(remote, %end, "session over");
        }
        End::Wire(_) | End::Silent | End::Refused(_) | End::Io(_) => {
            shared.noise.say(&format_args!("{remote}: {end}"));
        }
        End::Idle => tracing::info!(remote, %end, "session over"),
        End::Deaf => tracing::warn!(remote, %end, "session over"),
    }
}

/// Probes of all kinds come to an open port. They are reported, but not each.
#[derive(Debug, Default)]
struct Noise {
    last: std::sync::Mutex<(Option<Instant>, u64)>,
}

impl Noise {
    /// How often at most a line is written.
    const PAUSE: Duration = Duration::from_secs(10);

    fn say(&self, what: &dyn fmt::Display) {
        let now = Instant::now();
        let Ok(mut last) = self.last.lock() else {
            return;
        };
        let (at, unsaid) = &mut *last;
        if at.is_some_and(|at| now.duration_since(at) < Self::PAUSE) {
            *unsaid += 1;
            return;
        }
        tracing::info!(unsaid = *unsaid, "{what}");
        *last = (Some(now), 0);
    }
}
