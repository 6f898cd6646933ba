//! What a store would have of a desk: each record as it was last written, and which changes of a
//! record no desk may make.

use std::collections::{BTreeMap, BTreeSet};

use postroom::desk::{
    Agent, Case, Change, Counters, Event, FeedEntry, Interaction, Message, Offer, OfferState,
    Pause, Records, SavedDraft, Session, Upload,
};
use postroom::id::{
    AgentId, AttachmentId, EntryId, InteractionId, MessageId, OfferId, QueueId, SessionId,
};
use postroom::mail::token::MainNumber;
use postroom::outbound::message::Outbound;

use super::recount::Figures;

/// What a store would have: each record as it was last written.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kept {
    pub(crate) counters: Option<Counters>,
    pub(crate) agents: BTreeMap<AgentId, Agent>,
    pub(crate) sessions: BTreeMap<SessionId, Session>,
    pub(crate) offers: BTreeMap<OfferId, Offer>,
    pub(crate) interactions: BTreeMap<InteractionId, Interaction>,
    pub(crate) cases: BTreeMap<MainNumber, Case>,
    pub(crate) messages: BTreeMap<MessageId, Message>,
    pub(crate) outbound: BTreeMap<MessageId, Outbound>,
    pub(crate) pauses: BTreeMap<QueueId, Pause>,
    pub(crate) feed: BTreeMap<EntryId, FeedEntry>,
    pub(crate) uploads: BTreeMap<AttachmentId, Upload>,
    pub(crate) figures: Figures,
    pub(crate) drafts: BTreeMap<InteractionId, SavedDraft>,
    /// The event logs of agents.
    pub(crate) logs: BTreeMap<AgentId, BTreeMap<u64, Event>>,
}

impl Kept {
    pub(super) fn write(&mut self, change: &Change) {
        match change.clone() {
            Change::Counters(counters) => self.counters = Some(counters),
            Change::Agent(agent) => {
                self.agents.insert(agent.id.clone(), *agent);
            }
            Change::Session(session) => {
                self.sessions.insert(session.id, session);
            }
            Change::SessionEnded(id) => {
                self.sessions.remove(&id);
            }
            Change::Offer(offer) => self.write_offer(offer),
            Change::OfferForgotten(id) => {
                let forgotten = self.offers.remove(&id);
                let live = forgotten.is_some_and(|offer| offer.state.is_live());
                law!(5, !live, "a live offer was forgotten");
            }
            Change::Interaction(new) => self.write_interaction(*new),
            Change::Case(case) => {
                self.cases.insert(case.number, *case);
            }
            Change::Message(message) => {
                let before = self.messages.insert(message.id, *message);
                law!(3, before.is_none(), "a message was written twice");
            }
            Change::Fed(entry) => {
                let before = self.feed.insert(entry.id, *entry);
                law!(41, before.is_none(), "an entry of a feed was written twice");
            }
            Change::Dossier(..)
            | Change::Clue(..)
            | Change::Acknowledged { .. }
            | Change::Suppressed(_) => {}
            Change::Outbound(outbound) => {
                self.outbound.insert(outbound.id, *outbound);
            }
            Change::Draft(draft) => {
                let version = draft.version;
                let before = self.drafts.insert(draft.interaction, *draft);
                let before = before.map_or(0, |before| before.version);
                assert_eq!(version, before + 1, "a draft has an old etag");
            }
            Change::DraftDropped(id) => {
                let dropped = self.drafts.remove(&id);
                assert!(dropped.is_some(), "a draft was dropped twice");
            }
            Change::Upload(upload) => {
                self.uploads.insert(upload.id, *upload);
            }
            Change::UploadDropped(_, id) => {
                let dropped = self.uploads.remove(&id);
                assert!(dropped.is_some(), "a file was dropped twice");
            }
            Change::QueueFigured(..) | Change::AgentFigured(..) => self.figures.write(change),
            Change::QueuePaused(pause) => {
                self.pauses.insert(pause.queue.clone(), pause);
            }
            Change::QueueResumed(queue) => {
                self.pauses.remove(&queue);
            }
            Change::Logged(agent, number, event) => {
                let log = self.logs.entry(agent).or_default();
                let before = log.insert(number, (*event).clone());
                law!(41, before.is_none(), "an entry of a log was written twice");
            }
            Change::LogTrimmed(agent, number) => {
                self.logs.entry(agent).or_default().remove(&number);
            }
        }
    }

    fn write_offer(&mut self, offer: Offer) {
        let Some(before) = self.offers.insert(offer.id, offer.clone()) else {
            return;
        };
        let (was, is) = (&before.state, &offer.state);
        law!(9, was.is_live() || before == offer, "{} changed", offer.id);
        let unseen = *was == OfferState::Pending && *is == OfferState::Missed;
        law!(35, !unseen, "{} was missed unseen", offer.id);
        let seen = *was == OfferState::Shown && *is == OfferState::Undelivered;
        law!(35, !seen, "{} was seen and undelivered", offer.id);
    }

    fn write_interaction(&mut self, new: Interaction) {
        let Some(before) = self.interactions.insert(new.id, new.clone()) else {
            return;
        };
        let newer = before.version < new.version;
        law!(41, newer, "{} has an old etag", new.id);
        let mended = new.arrived < before.arrived && new.arrived == new.changed;
        let kept = before.arrived == new.arrived;
        law!(19, kept || mended, "an arrival was forgotten");
        let closed = before.state.is_final();
        law!(33, !closed, "{} was closed and changed", new.id);
    }

    /// What a start would read.
    pub(super) fn records(&self) -> Records {
        let open = |found: &&Interaction| !found.state.is_final();
        let interactions: Vec<_> = self.interactions.values().filter(open).cloned().collect();
        let numbers: BTreeSet<_> = interactions.iter().map(|found| found.case).collect();
        Records {
            counters: self.counters,
            agents: self.agents.values().cloned().collect(),
            sessions: self.sessions.values().cloned().collect(),
            offers: self.offers.values().cloned().collect(),
            interactions,
            pauses: self.pauses.values().cloned().collect(),
            drafts: self.drafts.keys().copied().collect(),
            uploads: self.uploads.values().cloned().collect(),
            cases: numbers.iter().map(|n| self.cases[n].clone()).collect(),
            outbound: (self.outbound.values())
                .filter(|outbound| !outbound.state.is_settled())
                .cloned()
                .collect(),
        }
    }
}
