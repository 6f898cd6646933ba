//! Watching: the frames of an event stream, from what the engine tells to what a client reads.
//!
//! A stream ends in one of three ways: the client goes, the connection goes, or we close it with a
//! last frame that says why and what to do. It never just stops.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::sync::mpsc;
use tonic::{Code, Status};

use super::access::{self, Principal};
use super::errors::Failure;
use super::pb::{ClosingReason, ErrorReason, ReconnectAction, StreamClosing, StreamHeartbeat};
use super::{Shared, convert, errors, events};
use crate::desk::Event;
use crate::engine::WatchFrame;
use crate::id::QueueId;

/// How often a stream without events shows a sign of life: below every common 60 s cut-off of
/// proxies.
pub const HEARTBEAT: Duration = Duration::from_secs(15);

/// How long a frame may wait for a client that does not read before the stream is given up.
const PATIENCE: Duration = Duration::from_secs(30);

/// Longest wait that a client is told before it comes back, spread so that a restart is not
/// followed by a stampede.
const RETRY_SPREAD_MILLIS: u64 = 3000;

/// Frames on their way to the connection. What waits beyond these waits in the engine's channel,
/// whose bound decides who is slow.
pub(super) const FRAMES_AHEAD: usize = 16;

/// Open streams of one caller.
const STREAMS_PER_CALLER: usize = 3;

/// Open streams of all callers.
const STREAMS_MAX: usize = 2000;

/// The open streams, counted.
#[derive(Default)]
pub(super) struct Streams {
    callers: Mutex<Callers>,
}

#[derive(Default)]
struct Callers {
    all: usize,
    each: BTreeMap<String, usize>,
}

/// One counted stream; dropping it frees the place.
pub(super) struct Permit {
    streams: Arc<Streams>,
    caller: String,
}

impl Streams {
    /// A place for one more stream of this caller.
    pub(super) fn admit(self: &Arc<Self>, caller: &Principal) -> Result<Permit, Status> {
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        let own = callers.each.get(&caller.subject).copied().unwrap_or(0);
        for (open, limit) in [(own, STREAMS_PER_CALLER), (callers.all, STREAMS_MAX)] {
            if open >= limit {
                let message = format!("there are {open} open streams, of {limit} at most");
                let many = ErrorReason::TooManyStreams;
                return Err(Failure::new(Code::ResourceExhausted, many, message)
                    .with("limit", limit)
                    .into());
            }
        }
        callers.all += 1;
        callers.each.insert(caller.subject.clone(), own + 1);
        Ok(Permit {
            streams: Arc::clone(self),
            caller: caller.subject.clone(),
        })
    }

    /// How many there are.
    pub(super) fn open(&self) -> usize {
        self.callers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .all
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut callers = (self.streams.callers.lock()).unwrap_or_else(PoisonError::into_inner);
        callers.all = callers.all.saturating_sub(1);
        if let Some(own) = callers.each.get_mut(&self.caller) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                callers.each.remove(&self.caller);
            }
        }
    }
}

/// How one kind of stream words the frames that all have.
pub(super) trait Frames {
    /// The response message.
    type Frame;
    /// A sign of life.
    fn heartbeat(heartbeat: StreamHeartbeat) -> Self::Frame;
    /// The end.
    fn closing(closing: StreamClosing) -> Self::Frame;
}

/// How a stream of events words them.
pub(super) trait Wording: Frames {
    /// The number of an event in this stream.
    fn number(event: &Event) -> u64;
    /// An event.
    fn event(event: &Event, queue_display_name: String) -> Self::Frame;
}

/// The client has gone, or does not read: there is nobody to tell anything.
pub(super) struct Gone;

/// One stream at work.
pub(super) struct Feed<W: Frames> {
    shared: Arc<Shared>,
    caller: Arc<Principal>,
    out: mpsc::Sender<Result<W::Frame, Status>>,
    latest: u64,
    /// Names of queues for people. Forgotten at each heartbeat, since a reload may change them.
    names: BTreeMap<QueueId, String>,
    _permit: Permit,
}

impl<W: Frames> Feed<W> {
    /// A stream that begins after the event `latest`.
    pub(super) fn new(
        shared: Arc<Shared>,
        caller: Arc<Principal>,
        out: mpsc::Sender<Result<W::Frame, Status>>,
        latest: u64,
        permit: Permit,
    ) -> Self {
        Self {
            shared,
            caller,
            out,
            latest,
            names: BTreeMap::new(),
            _permit: permit,
        }
    }

    /// Sends a frame, if somebody reads.
    pub(super) async fn send(&self, frame: W::Frame) -> Result<(), Gone> {
        tokio::time::timeout(PATIENCE, self.out.send(Ok(frame)))
            .await
            .map_err(|_| Gone)?
            .map_err(|_| Gone)
    }

    /// The reader is gone.
    pub(super) async fn closed(&self) {
        self.out.closed().await;
    }

    /// Sends a sign of life.
    pub(super) async fn beat(&self) -> Result<(), Gone> {
        let heartbeat = StreamHeartbeat {
            latest_sequence: convert::long(self.latest),
            server_time: Some(convert::time(self.shared.handle.now())),
        };
        self.send(W::heartbeat(heartbeat)).await
    }

    /// Notes the newest event that the client has seen the effect of.
    pub(super) fn saw(&mut self, revision: u64) {
        self.latest = revision;
    }

    /// Ends the stream with a word.
    pub(super) async fn close(self, reason: ClosingReason, action: ReconnectAction) {
        let delay = match action {
            ReconnectAction::Resume => spread(),
            ReconnectAction::Unspecified | ReconnectAction::Stop | ReconnectAction::Reopen => {
                Duration::ZERO
            }
        };
        let closing = StreamClosing {
            reason: reason.into(),
            action: action.into(),
            retry_delay: Some(convert::duration(delay)),
            latest_sequence: convert::long(self.latest),
        };
        // A reader who is gone needs no word.
        let _ = self.send(W::closing(closing)).await;
    }

    /// A session's token dies with the session, of which the engine tells; a key may be revoked or
    /// expire while its stream is open.
    pub(super) fn credential_is_good(&self) -> bool {
        let handle = &self.shared.handle;
        self.caller.key.is_none_or(|id| {
            (handle.keys().api_key(id)).is_some_and(|key| access::key_is_good(&key, handle))
        })
    }
}

impl<W: Wording> Feed<W> {
    /// Sends an event.
    pub(super) async fn tell(&mut self, event: &Event) -> Result<(), Gone> {
        let name = match events::queue_shown(event) {
            Some(queue) => self.queue_display_name(queue).await,
            None => String::new(),
        };
        self.latest = W::number(event);
        self.send(W::event(event, name)).await
    }

    async fn queue_display_name(&mut self, queue: &QueueId) -> String {
        if let Some(known) = self.names.get(queue) {
            return known.clone();
        }
        let name = self.shared.queue_display_name(queue).await;
        // An engine that is stopping knows no names; its id is still the queue's.
        let name = name.unwrap_or_else(|_| queue.to_string());
        self.names.insert(queue.clone(), name.clone());
        name
    }

    /// Tells what happens until the stream ends.
    pub(super) async fn follow(mut self, frames: &mut mpsc::Receiver<WatchFrame>) {
        let drain = self.shared.drain.clone();
        let (reason, action) = loop {
            let told = tokio::select! {
                biased;
                () = self.out.closed() => return,
                () = drain.cancelled() => {
                    break (ClosingReason::ServerDraining, ReconnectAction::Resume);
                }
                frame = frames.recv() => match frame {
                    Some(WatchFrame::Event(_)) if !self.credential_is_good() => break EXPIRED,
                    Some(WatchFrame::Event(event)) => self.tell(&event).await,
                    Some(WatchFrame::Ended(cause)) => break events::end_cause(cause),
                    Some(WatchFrame::Lagged) => {
                        break (ClosingReason::SlowConsumer, ReconnectAction::Resume);
                    }
                    // The engine has stopped.
                    None => break (ClosingReason::ServerDraining, ReconnectAction::Resume),
                },
                () = tokio::time::sleep(HEARTBEAT) => {
                    if !self.credential_is_good() {
                        break EXPIRED;
                    }
                    self.names.clear();
                    self.beat().await
                }
            };
            if told.is_err() {
                return;
            }
        };
        self.close(reason, action).await;
    }
}

pub(super) const EXPIRED: (ClosingReason, ReconnectAction) =
    (ClosingReason::CredentialExpired, ReconnectAction::Stop);

fn spread() -> Duration {
    let mut bytes = [0; 2];
    // Without randomness everybody waits as long.
    let _ = SystemRandom::new().fill(&mut bytes);
    let share = u64::from(u16::from_be_bytes(bytes));
    Duration::from_millis(RETRY_SPREAD_MILLIS * share / u64::from(u16::MAX))
}

/// Refuses new streams and sessions once the gateway is stopping.
pub(super) fn unless_draining(shared: &Shared) -> Result<(), Status> {
    if shared.drain.is_cancelled() {
        return Err(errors::draining());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_counted_and_freed() {
        let streams = Arc::new(Streams::default());
        let anna = Principal::local(1);
        let held: Vec<Permit> = (0..STREAMS_PER_CALLER)
            .map(|_| streams.admit(&anna).unwrap())
            .collect();
        let status = streams.admit(&anna).err().unwrap();
        assert_eq!(status.code(), Code::ResourceExhausted);
        let other = streams.admit(&Principal::local(2)).unwrap();
        assert_eq!(streams.open(), STREAMS_PER_CALLER + 1);
        drop(held);
        drop(other);
        assert_eq!(streams.open(), 0);
        assert!(streams.admit(&anna).is_ok());
    }
}
