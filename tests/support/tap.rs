//! A tap on the line between Postfix and Postroom: it sees every frame, holds one back at a test's
//! word, and keeps an account of what Postroom said.
//!
//! While a frame is held, whoever sent it believes that it is on its way and whoever waits for it
//! believes that the other is thinking. That is the moment to kill one of them.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use postroom::milter::Address;
use postroom::milter::wire::Frame;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// How long a frame may take to come. It is reached only when it never will.
const PATIENCE: Duration = Duration::from_secs(60);

/// Who sends a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// Postfix.
    Mta,
    /// Postroom.
    Filter,
}

/// One frame that went by.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// Which connection, from 0.
    pub(crate) connection: usize,
    /// Who sent it.
    pub(crate) side: Side,
    /// It.
    pub(crate) frame: Frame,
}

/// A frame that does not go on before the test says so. Dropping it breaks the line.
#[derive(Debug)]
pub(crate) struct Held(oneshot::Sender<Next>);

#[derive(Debug)]
enum Next {
    Pass,
    Replace(Bytes),
}

impl Held {
    /// Lets it go on, wherever the one who waited for it is by now.
    pub(crate) fn pass(self) {
        // A line that broke meanwhile carries nothing.
        let _ = self.0.send(Next::Pass);
    }

    /// Lets other bytes go on in its place.
    pub(crate) fn replace(self, bytes: &'static [u8]) {
        let _ = self.0.send(Next::Replace(Bytes::from_static(bytes)));
    }
}

/// A place to stop at: the frame of this code from this side, after so many like it, on a
/// connection that is newer than the wish.
#[derive(Debug)]
struct Stop {
    since: usize,
    side: Side,
    code: u8,
    before: usize,
    reached: oneshot::Sender<Held>,
}

#[derive(Debug, Default)]
struct State {
    connections: usize,
    seen: Vec<Seen>,
    stops: Vec<Stop>,
}

/// The tap.
#[derive(Debug)]
pub(crate) struct Tap {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    running: JoinHandle<()>,
}

impl Tap {
    /// One on the way to this filter, which need not run yet.
    pub(crate) async fn start(filter: &Address) -> Self {
        let Address::Inet { host, port } = filter.clone() else {
            panic!("the filter is not at a port");
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let lines = Arc::clone(&state);
        let running = tokio::spawn(async move {
            loop {
                let (mta, _) = listener.accept().await.unwrap();
                let Ok(filter) = TcpStream::connect((host.as_str(), port)).await else {
                    // Nobody there: the MTA finds a closed door.
                    continue;
                };
                tokio::spawn(join(mta, filter, Arc::clone(&lines)));
            }
        });
        Self {
            address,
            state,
            running,
        }
    }

    /// Where Postfix finds it.
    pub(crate) fn address(&self) -> Address {
        Address::Inet {
            host: self.address.ip().to_string(),
            port: self.address.port(),
        }
    }

    /// Stops the next frame of this kind, after `before` others of it. Only connections count
    /// that begin from now on: the last words of older ones may come late.
    pub(crate) fn hold(&self, side: Side, code: u8, before: usize) -> Stopped {
        let (reached, stopped) = oneshot::channel();
        let mut state = self.state();
        let since = state.connections;
        state.stops.push(Stop {
            since,
            side,
            code,
            before,
            reached,
        });
        Stopped(stopped)
    }

    /// How many connections there were.
    pub(crate) fn connections(&self) -> usize {
        self.state().connections
    }

    /// What went by so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state().seen.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// A frame that is waited for.
pub(crate) struct Stopped(oneshot::Receiver<Held>);

impl Stopped {
    /// Waits until it has come.
    pub(crate) async fn come(self) -> Held {
        match timeout(PATIENCE, self.0).await {
            Ok(Ok(held)) => held,
            _ => panic!("the frame did not come"),
        }
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.running.abort();
        if !std::thread::panicking() {
            check(&self.seen());
        }
    }
}

/// What Postroom may say: one verdict for each end of a message, changes only before it, nothing
/// that Postfix takes for a lost message or for the end of a session, and no discard where it
/// would drop more than the recipient that was asked about.
fn check(seen: &[Seen]) {
    let connections = seen.iter().map(|seen| seen.connection).max();
    for connection in 0..connections.map_or(0, |last| last + 1) {
        let mut at_end = false;
        let mut heard = String::new();
        for Seen { side, frame, .. } in seen.iter().filter(|seen| seen.connection == connection) {
            let code = char::from(frame.code);
            heard.push(code);
            match (side, code) {
                (Side::Mta, 'E') => {
                    assert!(!at_end, "two ends and no verdict: {heard}");
                    at_end = true;
                }
                (Side::Mta, _) => {}
                (Side::Filter, 'a' | 'd' | 'r' | 't' | 'y' | 'c') if at_end => at_end = false,
                (Side::Filter, 'h' | 'i' | 'm' | 'b' | '+' | '-' | 'e' | 'q' | 'p') => {
                    assert!(at_end, "{code} where it does not belong: {heard}");
                }
                (Side::Filter, 'O' | 'c' | 'y' | 't' | 'r' | 'a') => {}
                (Side::Filter, _) => panic!("{code} must never be said: {heard}"),
            }
        }
    }
}

/// Joins two ends until one of them is gone.
async fn join(mta: TcpStream, filter: TcpStream, state: Arc<Mutex<State>>) {
    mta.set_nodelay(true).unwrap();
    filter.set_nodelay(true).unwrap();
    let connection = {
        let mut state = lock(&state);
        state.connections += 1;
        state.connections - 1
    };
    let broken = CancellationToken::new();
    let line = |side| Line {
        connection,
        side,
        state: Arc::clone(&state),
        broken: broken.clone(),
    };
    let (from_mta, to_mta) = mta.into_split();
    let (from_filter, to_filter) = filter.into_split();
    let both = async {
        tokio::join!(
            line(Side::Mta).carry(from_mta, to_filter),
            line(Side::Filter).carry(from_filter, to_mta)
        )
    };
    tokio::select! {
        _ = both => {}
        () = broken.cancelled() => {}
    }
}

/// One direction.
struct Line {
    connection: usize,
    side: Side,
    state: Arc<Mutex<State>>,
    broken: CancellationToken,
}

impl Line {
    async fn carry(self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
        let mut arrived = BytesMut::new();
        loop {
            while let Some(frame) = Frame::take(&mut arrived).unwrap() {
                let mut bytes = BytesMut::new();
                bytes.put_u32(u32::try_from(frame.data.len() + 1).unwrap());
                bytes.put_u8(frame.code);
                bytes.put_slice(&frame.data);
                let mut bytes = bytes.freeze();
                let stopped = self.stop_at(&frame);
                if let Some(next) = stopped {
                    match next.await {
                        Ok(Next::Pass) => {}
                        Ok(Next::Replace(other)) => bytes = other,
                        Err(_) => {
                            self.broken.cancel();
                            return;
                        }
                    }
                }
                // Whoever does not listen any more misses it.
                if to.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            match from.read_buf(&mut arrived).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
    }

    /// Notes a frame; what to wait for if it is one to be held.
    fn stop_at(&self, frame: &Frame) -> Option<oneshot::Receiver<Next>> {
        let mut state = lock(&self.state);
        state.seen.push(Seen {
            connection: self.connection,
            side: self.side,
            frame: frame.clone(),
        });
        let mut reached = None;
        for (place, stop) in state.stops.iter_mut().enumerate() {
            if (stop.side, stop.code) != (self.side, frame.code) || stop.since > self.connection {
                continue;
            }
            match stop.before.checked_sub(1) {
                Some(before) => stop.before = before,
                None => reached = reached.or(Some(place)),
            }
        }
        let stop = state.stops.remove(reached?);
        let (go, next) = oneshot::channel();
        // A test that does not wait for it any more does not want it held.
        stop.reached.send(Held(go)).ok()?;
        Some(next)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
