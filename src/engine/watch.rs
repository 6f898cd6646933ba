//! Watchers: who is told what happened, once it is durable.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use crate::desk::{EndCause, Event, Fact};
use crate::id::{AgentId, InteractionId, SessionId};
use crate::mail::token::MainNumber;

/// Frames that are kept for a slow reader. One that falls further behind is cut off and resumes
/// from the log; nothing is dropped silently.
pub const FRAMES_MAX: usize = 256;

/// What a watcher is told.
#[derive(Debug, Clone)]
pub enum WatchFrame {
    /// Something happened.
    Event(Arc<Event>),
    /// The desk ended the stream; nothing follows.
    Ended(EndCause),
    /// The reader was too slow; nothing follows.
    Lagged,
}

/// One reader. A place is held back for the last frame, which says why there are no more.
#[derive(Debug)]
struct Watcher {
    frames: mpsc::Sender<WatchFrame>,
    /// The revision of what the reader saw first: events up to it are a part of that.
    seen: u64,
}

impl Watcher {
    fn new(seen: u64) -> (Self, mpsc::Receiver<WatchFrame>) {
        let (frames, receiver) = mpsc::channel(FRAMES_MAX + 1);
        (Self { frames, seen }, receiver)
    }

    /// Whether the watcher is to be kept.
    fn tell(&self, event: &Arc<Event>) -> bool {
        if event.revision <= self.seen {
            return true;
        }
        if self.frames.capacity() > 1 {
            return self
                .frames
                .try_send(WatchFrame::Event(Arc::clone(event)))
                .is_ok();
        }
        self.end(WatchFrame::Lagged);
        false
    }

    fn end(&self, frame: WatchFrame) {
        // The place is held back; it fails only if the reader is gone already.
        let _ = self.frames.try_send(frame);
    }
}

/// The reader of an agent's own stream.
#[derive(Debug)]
struct AgentWatcher {
    session: SessionId,
    stream: u64,
    watcher: Watcher,
}

/// The reader of a case's feed, who is told that there is something to read, and reads it from the
/// store.
#[derive(Debug)]
struct CaseWatcher {
    case: MainNumber,
    /// Interactions of the case: what is told of their mail on its way names no case.
    interactions: BTreeSet<InteractionId>,
    news: watch::Sender<()>,
}

impl CaseWatcher {
    /// Whether an event is about the case.
    fn concerns(&mut self, fact: &Fact) -> bool {
        if let Some(found) = fact.work() {
            return found.case == self.case && {
                self.interactions.insert(found.id);
                true
            };
        }
        match fact {
            Fact::DeliveryUpdated(outbound) => self.interactions.contains(&outbound.interaction),
            Fact::NoteAdded { case, .. } => *case == self.case,
            Fact::CasesMerged { case, into } => *case == self.case || *into == self.case,
            _ => false,
        }
    }
}

/// All readers.
#[derive(Debug, Default)]
pub(super) struct Watchers {
    /// At most one per agent, as an agent has at most one session.
    agents: BTreeMap<AgentId, AgentWatcher>,
    desk: Vec<Watcher>,
    cases: Vec<CaseWatcher>,
    streams: u64,
}

impl Watchers {
    /// The number of the next stream.
    pub(super) fn next_stream(&mut self) -> u64 {
        self.streams += 1;
        self.streams
    }

    /// The streams that are there.
    pub(super) fn attached(&self) -> BTreeMap<SessionId, u64> {
        (self.agents.values())
            .map(|known| (known.session, known.stream))
            .collect()
    }

    /// Adds the reader of an agent, who has seen all up to a revision; an older one is
    /// superseded.
    pub(super) fn add_session(
        &mut self,
        session: SessionId,
        stream: u64,
        agent: AgentId,
        seen: u64,
    ) -> mpsc::Receiver<WatchFrame> {
        let (watcher, receiver) = Watcher::new(seen);
        let new = AgentWatcher {
            session,
            stream,
            watcher,
        };
        if let Some(old) = self.agents.insert(agent, new) {
            old.watcher.end(WatchFrame::Ended(EndCause::Superseded));
        }
        receiver
    }

    /// Adds a reader of everything, who has seen all up to a revision.
    pub(super) fn add_desk(&mut self, seen: u64) -> mpsc::Receiver<WatchFrame> {
        let (watcher, receiver) = Watcher::new(seen);
        self.desk.push(watcher);
        receiver
    }

    /// Adds a reader of the feed of a case who knows of these interactions of it.
    pub(super) fn add_case(
        &mut self,
        case: MainNumber,
        interactions: BTreeSet<InteractionId>,
    ) -> watch::Receiver<()> {
        let (news, receiver) = watch::channel(());
        self.cases.push(CaseWatcher {
            case,
            interactions,
            news,
        });
        receiver
    }

    /// Forgets the reader of a session, if it is still this stream.
    pub(super) fn remove(&mut self, session: SessionId, stream: u64) {
        self.agents
            .retain(|_, known| (known.session, known.stream) != (session, stream));
    }

    /// Ends the stream of a session.
    pub(super) fn end(&mut self, session: SessionId, cause: EndCause) {
        self.agents.retain(|_, known| {
            let stays = known.session != session;
            if !stays {
                known.watcher.end(WatchFrame::Ended(cause));
            }
            stays
        });
    }

    /// Tells everybody whom it concerns.
    pub(super) fn tell(&mut self, event: &Arc<Event>) {
        if let Some((agent, _)) = &event.agent
            && let Some(known) = self.agents.get(agent)
            && !known.watcher.tell(event)
        {
            self.agents.remove(agent);
        }
        self.desk.retain(|watcher| watcher.tell(event));
        self.cases.retain_mut(|watcher| {
            // Who has gone hears nothing, and is forgotten.
            watcher.news.receiver_count() > 0
                && (!watcher.concerns(&event.fact) || watcher.news.send(()).is_ok())
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desk::Actor;
    use crate::id::QueueId;
    use crate::time::Timestamp;

    fn event(agent: &str, revision: u64) -> Arc<Event> {
        let queue: QueueId = "support".parse().unwrap();
        Arc::new(Event {
            revision,
            time: Timestamp::ZERO,
            agent: Some((agent.parse().unwrap(), revision)),
            fact: Fact::MembershipChanged {
                queue,
                removed: false,
            },
            actor: Actor::System,
        })
    }

    #[test]
    fn a_slow_reader_is_cut_off_and_told() {
        let mut watchers = Watchers::default();
        let session = SessionId::new(Timestamp::ZERO, 1);
        let mut slow = watchers.add_session(session, 1, "anna".parse().unwrap(), 0);
        for revision in 1..=FRAMES_MAX as u64 + 10 {
            watchers.tell(&event("anna", revision));
        }
        let mut told = 1;
        loop {
            match slow.try_recv().unwrap() {
                WatchFrame::Event(event) => assert_eq!(event.revision, told),
                WatchFrame::Lagged => break,
                WatchFrame::Ended(cause) => panic!("{cause:?}"),
            }
            told += 1;
        }
        assert_eq!(told, FRAMES_MAX as u64 + 1);
        assert!(slow.try_recv().is_err());
    }

    #[test]
    fn agents_see_their_own_and_a_newer_stream_supersedes() {
        let mut watchers = Watchers::default();
        let session = SessionId::new(Timestamp::ZERO, 1);
        let mut old = watchers.add_session(session, 1, "anna".parse().unwrap(), 0);
        watchers.tell(&event("bert", 1));
        let mut new = watchers.add_session(session, 2, "anna".parse().unwrap(), 1);
        watchers.remove(session, 1);
        watchers.tell(&event("anna", 2));
        assert!(matches!(
            old.try_recv(),
            Ok(WatchFrame::Ended(EndCause::Superseded))
        ));
        assert!(matches!(new.try_recv(), Ok(WatchFrame::Event(event)) if event.revision == 2));
    }
}
