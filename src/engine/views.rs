//! Views: what watchers and supervisors are shown of the desk at one moment.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, PoisonError};

use tokio::sync::mpsc;

use super::Shared;
use super::handle::Call;
use super::watch::WatchFrame;
use crate::desk::{
    Agent, Alert, Day, Desk, Interaction, Offer, Presence, QueueFigure, SessionView, State,
};
use crate::id::{AgentId, InteractionId, QueueId, SessionId};
use crate::time::Timestamp;

/// An agent's whole state as of one point in the log.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The session.
    pub session: SessionView,
    /// The presence.
    pub presence: Presence,
    /// Live offers with what they are about.
    pub offers: Vec<(Offer, Interaction)>,
    /// Interactions in the agent's hands, and those that they parked.
    pub interactions: Vec<Interaction>,
    /// The queues that the agent serves.
    pub queues: Vec<QueueId>,
    /// The number of the newest event that this contains.
    pub sequence: u64,
    /// The number of the oldest event that can still be replayed.
    pub oldest: u64,
}

impl Snapshot {
    pub(super) fn of(
        desk: &Desk,
        session: SessionId,
        id: &AgentId,
        log_entries: u64,
        now: Timestamp,
    ) -> Option<Self> {
        let agent = desk.agents().get(id)?;
        let presence = desk.presence(id)?;
        let offers = (presence.pending_offer.iter())
            .filter_map(|offer| {
                let offer = desk.offers().get(offer)?;
                let interaction = desk.interactions().get(&offer.interaction)?;
                Some((offer.clone(), interaction.clone()))
            })
            .collect();
        let interactions = (presence.interactions.iter().chain(&presence.parked))
            .filter_map(|id| desk.interactions().get(id).cloned())
            .collect();
        Some(Self {
            session: desk.session(session, now)?,
            presence,
            offers,
            interactions,
            queues: agent.queues.iter().cloned().collect(),
            sequence: agent.sequence,
            oldest: agent.sequence.saturating_sub(log_entries) + 1,
        })
    }
}

/// The attached stream of a session. Dropping it detaches the stream.
pub struct SessionWatch {
    /// Where it begins.
    pub snapshot: Snapshot,
    /// What follows.
    pub frames: mpsc::Receiver<WatchFrame>,
    shared: Arc<Shared>,
    session: SessionId,
    stream: u64,
    pub(super) calls: Option<SyncSender<Call>>,
}

impl fmt::Debug for SessionWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionWatch")
            .field("session", &self.session)
            .field("stream", &self.stream)
            .finish_non_exhaustive()
    }
}

impl SessionWatch {
    pub(super) const fn new(
        shared: Arc<Shared>,
        session: SessionId,
        stream: u64,
        snapshot: Snapshot,
        frames: mpsc::Receiver<WatchFrame>,
    ) -> Self {
        Self {
            snapshot,
            frames,
            shared,
            session,
            stream,
            calls: None,
        }
    }
}

impl Drop for SessionWatch {
    fn drop(&mut self) {
        let gone = (self.session, self.stream);
        self.shared
            .gone
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(gone);
        if let Some(calls) = &self.calls {
            // A full channel means that the engine is about to look anyway.
            let _ = calls.try_send(Call::Nudge);
        }
    }
}

/// What a supervisor sees first.
#[derive(Debug, Clone)]
pub struct Overview {
    /// Each queue with its numbers.
    pub queues: Vec<QueueStats>,
    /// Each agent with their presence.
    pub agents: Vec<(Agent, Presence)>,
    /// The alerts that stand.
    pub alerts: Vec<Alert>,
    /// The newest event that this contains.
    pub revision: u64,
    /// When it was taken.
    pub time: Timestamp,
}

/// Live numbers of one queue.
#[derive(Debug, Clone)]
pub struct QueueStats {
    /// Which.
    pub queue: QueueId,
    /// What people call it.
    pub display_name: String,
    /// How many wait.
    pub waiting: u32,
    /// How many are offered.
    pub offered: u32,
    /// How many are being handled.
    pub active: u32,
    /// How many are being wrapped up.
    pub wrapping_up: u32,
    /// How many are held back.
    pub held: u32,
    /// When the one who waits longest came.
    pub oldest: Option<Timestamp>,
    /// Which day it is in the queue's time zone.
    pub day: Day,
    /// What was done on that day so far. Without what the store has of it until
    /// [`super::Handle::overview`] adds that.
    pub today: QueueFigure,
}

impl Overview {
    /// Takes one. That takes time for what is with agents and what came today, and none for what has
    /// waited longer.
    #[must_use]
    pub fn of(desk: &Desk, now: Timestamp) -> Self {
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let mut queues: BTreeMap<&QueueId, (QueueStats, Timestamp)> = desk
            .queues()
            .iter()
            .map(|(id, queue)| {
                let zone = desk.zone(id);
                let day = zone.day(now);
                let stats = QueueStats {
                    queue: id.clone(),
                    display_name: queue.settings.display_name.clone(),
                    waiting: count(queue.waiting_count()),
                    offered: 0,
                    active: 0,
                    wrapping_up: 0,
                    held: count(queue.held_count()),
                    oldest: queue.oldest(),
                    day,
                    today: QueueFigure::default(),
                };
                (id, (stats, zone.begin(day)))
            })
            .collect();
        let midnights = queues.values().map(|(_, midnight)| *midnight);
        if let Some(first) = midnights.min() {
            // Ids sort by the time of arrival.
            let came = desk.interactions().range(InteractionId::new(first, 0)..);
            for (_, interaction) in came.filter(|(_, found)| found.is_untouched()) {
                if let Some((stats, midnight)) = queues.get_mut(&interaction.queue)
                    && interaction.arrived >= *midnight
                {
                    stats.today.received += 1;
                }
            }
        }
        for interaction in desk.with_agents() {
            let Some((stats, _)) = queues.get_mut(&interaction.queue) else {
                continue;
            };
            match interaction.state {
                State::Offered { .. } => stats.offered += 1,
                State::Active { .. } => stats.active += 1,
                State::WrappingUp { .. } => stats.wrapping_up += 1,
                State::Queued
                | State::Held { .. }
                | State::Drafting { .. }
                | State::Parked { .. }
                | State::Closed { .. }
                | State::Filed { .. }
                | State::Cancelled { .. } => {}
            }
        }
        Self {
            queues: queues.into_values().map(|(stats, _)| stats).collect(),
            agents: desk
                .agents()
                .values()
                .filter_map(|agent| Some((agent.clone(), desk.presence(&agent.id)?)))
                .collect(),
            alerts: desk.alerts().cloned().collect(),
            revision: desk.counters().revision,
            time: now,
        }
    }
}

/// Watches everything. Dropping it ends that.
#[derive(Debug)]
pub struct DeskWatch {
    /// Where it begins.
    pub overview: Overview,
    /// What follows.
    pub frames: mpsc::Receiver<WatchFrame>,
}
