//! Concluding: what a command has done is brought to rest and becomes its effects.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use super::counting::Before;
use super::routing::Changed;
use super::{
    Actor, AgentState, Answer, Case, Change, Desk, Effects, EndCause, Event, FeedEntry, Filing,
    Interaction, PresenceCause, SavedDraft, Treated, Upload,
};
use crate::id::{AgentId, InteractionId, MessageId, OfferId, SessionId};
use crate::mail::token::MainNumber;
use crate::outbound::message::Outbound;
use crate::time::Timestamp;

/// What a command has done so far, while it is being handled. Empty between commands.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Draft {
    /// Who caused what is being done.
    pub(super) actor: Actor,
    pub(super) counted: bool,
    pub(super) agents: BTreeSet<AgentId>,
    /// Agents to be removed when all has been told, and which entries of their logs go with them.
    pub(super) removed: BTreeSet<AgentId>,
    pub(super) trimmed: BTreeMap<AgentId, Range<u64>>,
    /// Agents whose presence or eligibility may have changed, and what would be the cause.
    pub(super) touched: BTreeMap<AgentId, PresenceCause>,
    /// What may have made a pair eligible.
    pub(super) changed: Changed,
    pub(super) sessions: BTreeSet<SessionId>,
    /// As what agents were shown until now, and since when.
    pub(super) shown: Vec<(AgentId, AgentState, Timestamp)>,
    pub(super) offers: BTreeSet<OfferId>,
    pub(super) interactions: BTreeSet<InteractionId>,
    /// What the interactions that changed were like before the first change.
    pub(super) befores: BTreeMap<InteractionId, Before>,
    /// Interactions closed by this command: no longer held, still to be written.
    pub(super) closed: BTreeMap<InteractionId, Interaction>,
    pub(super) cases: BTreeSet<MainNumber>,
    /// Cases whose last interaction was closed by this command.
    pub(super) rested: BTreeMap<MainNumber, Case>,
    pub(super) changes: Vec<Change>,
    pub(super) events: Vec<Event>,
    pub(super) ended: Vec<(SessionId, EndCause)>,
    pub(super) body: Option<MessageId>,
    pub(super) written: Vec<(MessageId, Vec<u8>)>,
}

/// An answer in the making: what it shows is looked up when all has settled.
pub(super) enum Pending {
    Done,
    Filed(Vec<Filing>),
    Agent(AgentId),
    Session(SessionId, AgentId),
    Presence(AgentId, bool),
    Offer(OfferId, AgentId),
    Interaction(InteractionId, AgentId, Option<MessageId>),
    Outbound(Box<Outbound>),
    Work(InteractionId),
    Case(Box<Case>),
    Told(usize),
    Treated(Vec<Treated>, usize),
    Noted(MainNumber),
    Upload(Box<Upload>),
    Draft(Box<SavedDraft>),
}

impl Desk {
    /// Brings everything that follows to rest and hands it out.
    pub(super) fn conclude(&mut self, now: Timestamp, pending: Option<Pending>) -> Effects {
        self.settle_presence(now);
        // Who is next in line is nobody's choice.
        self.draft.actor = Actor::System;
        self.pass_on_overdue(now);
        self.route(now);
        self.watch_overdue(now);
        self.review_alerts(now);
        let submissions = self
            .spool
            .due(now)
            .into_iter()
            .filter_map(|id| self.spool.get(id).cloned())
            .collect();
        let answer = pending.map(|pending| self.answer(now, pending));
        self.dismiss_removed();
        let closed: Vec<InteractionId> = self.draft.closed.keys().copied().collect();
        for id in closed {
            self.clear_away(id);
        }
        let draft = std::mem::take(&mut self.draft);
        let counted = self.count(now, &draft);
        let mut changes = draft.changes;
        for id in &draft.sessions {
            changes.push(match self.sessions.get(id) {
                Some((session, _)) => Change::Session(session.clone()),
                None => Change::SessionEnded(*id),
            });
        }
        changes.extend(
            (draft.agents.iter())
                .filter_map(|id| self.agents.get(id).or_else(|| self.former.get(id)))
                .map(|agent| Change::Agent(Box::new(agent.clone()))),
        );
        changes.extend(
            (draft.offers.iter().filter_map(|id| self.offers.get(id)))
                .map(|offer| Change::Offer(offer.clone())),
        );
        changes.extend(
            (draft
                .interactions
                .iter()
                .filter_map(|id| self.interactions.get(id)))
            .chain(draft.closed.values())
            .map(|interaction| Change::Interaction(Box::new(interaction.clone()))),
        );
        changes.extend(
            (draft.cases.iter().filter_map(|id| self.cases.get(id)))
                .chain(draft.rested.values())
                .map(|case| Change::Case(Box::new(case.clone()))),
        );
        for (agent, numbers) in draft.trimmed {
            let gone = numbers.map(|number| Change::LogTrimmed(agent.clone(), number + 1));
            changes.extend(gone);
        }
        // An event is told, written and shown, and is the same each time.
        let events: Vec<Arc<Event>> = draft.events.into_iter().map(Arc::new).collect();
        for event in &events {
            // Nobody will read the log of an agent who has just been removed.
            let told = (event.agent.as_ref()).filter(|(agent, _)| self.agents.contains_key(agent));
            let Some((agent, sequence)) = told else {
                continue;
            };
            changes.push(Change::Logged(agent.clone(), *sequence, Arc::clone(event)));
            if let Some(old) = sequence.checked_sub(self.policy.log_entries)
                && old > 0
            {
                changes.push(Change::LogTrimmed(agent.clone(), old));
            }
        }
        let fed = events.iter().filter_map(|event| FeedEntry::of(event));
        changes.extend(fed.map(|entry| Change::Fed(Box::new(entry))));
        changes.extend(counted.changes());
        if draft.counted {
            changes.push(Change::Counters(self.counters));
        }
        Effects {
            answer,
            changes,
            body: draft.body,
            written: draft.written,
            events,
            ended: draft.ended,
            submissions,
        }
    }

    fn answer(&self, now: Timestamp, pending: Pending) -> Answer {
        let sequence = |agent: &AgentId| self.agents.get(agent).map_or(0, |agent| agent.sequence);
        let answer = match pending {
            Pending::Done => Some(Answer::Done),
            Pending::Filed(filings) => Some(Answer::Filed(filings)),
            Pending::Agent(agent) => self
                .agents
                .get(&agent)
                .map(|agent| Answer::Agent(Box::new(agent.clone()))),
            Pending::Session(session, agent) => self
                .session(session, now)
                .map(|view| Answer::Session(Box::new(view), sequence(&agent))),
            Pending::Presence(agent, deferred) => {
                self.presence(&agent).map(|presence| Answer::Presence {
                    presence,
                    deferred,
                    sequence: sequence(&agent),
                })
            }
            Pending::Offer(offer, agent) => self.offers.get(&offer).and_then(|offer| {
                Some(Answer::Offer {
                    offer: offer.clone(),
                    interaction: Box::new(self.found(offer.interaction)?.clone()),
                    presence: self.presence(&agent)?,
                    sequence: sequence(&agent),
                })
            }),
            Pending::Interaction(interaction, agent, message) => {
                self.found(interaction).and_then(|interaction| {
                    Some(Answer::Interaction {
                        interaction: Box::new(interaction.clone()),
                        presence: self.presence(&agent)?,
                        message,
                        sequence: sequence(&agent),
                    })
                })
            }
            Pending::Outbound(outbound) => Some(Answer::Outbound(outbound)),
            Pending::Work(id) => {
                (self.found(id)).map(|found| Answer::Work(Box::new(found.clone())))
            }
            Pending::Case(case) => Some(Answer::Case(case)),
            Pending::Told(readers) => Some(Answer::Told(readers)),
            Pending::Noted(case) => self.noted(case),
            Pending::Treated(treated, more) => Some(Answer::Treated(treated, more)),
            Pending::Upload(upload) => Some(Answer::Upload(upload)),
            Pending::Draft(draft) => Some(Answer::Draft(draft)),
        };
        answer.unwrap_or(Answer::Done)
    }

    /// The entry of the note that this command added to a case.
    fn noted(&self, case: MainNumber) -> Option<Answer> {
        let mut added = self.draft.events.iter().rev().filter_map(FeedEntry::of);
        let entry = added.find(|entry| entry.case == case && entry.interaction.is_none())?;
        Some(Answer::Noted(Box::new(entry)))
    }

    /// An interaction that is open or was closed by this very command.
    fn found(&self, id: InteractionId) -> Option<&Interaction> {
        (self.interactions.get(&id)).or_else(|| self.draft.closed.get(&id))
    }
}
