//! The feed of a case: what happened to it besides mail, as people read it later.
//!
//! An entry follows from an event, so nothing can happen and be missing here. Letters have no entry:
//! they are found through the interactions of the case, each of which knows the one before it, and a
//! letter that arrives costs the feed nothing.

use serde::{Deserialize, Serialize};

use super::{
    Actor, AssignCause, CancelCause, Case, Desk, Event, Fact, Interaction, NOTE_BYTES_MAX, Outcome,
    Pending, Refusal, State, UnassignReason, WrapUpOutcome, bounded,
};
use crate::id::{AgentId, EntryId, InteractionId, QueueId};
use crate::mail::token::MainNumber;
use crate::time::Timestamp;

/// Most cases that a case keeps in mind as parts of it. Their feeds are read with its own.
pub const PARTS_MAX: usize = 50;

/// One entry of a case's feed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedEntry {
    /// Its id, made of the time and the number of the event that it follows from.
    pub id: EntryId,
    /// The case.
    pub case: MainNumber,
    /// The interaction that it is about, if it is about one.
    pub interaction: Option<InteractionId>,
    /// When.
    pub time: Timestamp,
    /// Who caused it.
    pub actor: Actor,
    /// What happened.
    pub happening: Happening,
}

/// What happened to a case. Stored: variants are added at the end only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Happening {
    /// Somebody wrote something down for colleagues.
    Note(String),
    /// An agent has it from now on.
    Assigned {
        /// Who.
        agent: AgentId,
        /// Why.
        cause: AssignCause,
    },
    /// An agent has it no longer.
    Unassigned {
        /// Who had it.
        agent: Option<AgentId>,
        /// Why.
        reason: UnassignReason,
        /// The queue in which it is now.
        queue: QueueId,
        /// Why it needed no handling, if that is why.
        cancelled: Option<CancelCause>,
    },
    /// An agent set it aside.
    Parked {
        /// Who.
        agent: AgentId,
        /// Until when.
        until: Timestamp,
    },
    /// A person put it into the line of a queue.
    Queued(QueueId),
    /// It waited too long, and went on to another queue.
    Overflowed {
        /// From where.
        from: QueueId,
        /// To where.
        to: QueueId,
    },
    /// It is done.
    Closed {
        /// How it was dealt with.
        outcome: Option<Outcome>,
        /// How its agent classified it.
        disposition: String,
        /// What its agent wrote down about it.
        notes: String,
        /// How post-processing ended, if there was any.
        wrap_up: Option<WrapUpOutcome>,
    },
    /// A person filed it as nobody's work.
    Filed,
    /// Another case became a part of this one.
    Merged(MainNumber),
}

impl FeedEntry {
    /// The entry that follows from an event, if it belongs into the feed of a case.
    #[must_use]
    pub fn of(event: &Event) -> Option<Self> {
        let (case, interaction, happening) = match &event.fact {
            Fact::NoteAdded { case, text } => (*case, None, Happening::Note(text.clone())),
            Fact::CasesMerged { case, into } => (*into, None, Happening::Merged(*case)),
            fact => {
                let (found, happening) = about_work(event, fact)?;
                (found.case, Some(found.id), happening)
            }
        };
        Some(Self {
            id: EntryId::new(event.time, event.revision),
            case,
            interaction,
            time: event.time,
            actor: event.actor.clone(),
            happening,
        })
    }
}

fn about_work<'a>(event: &Event, fact: &'a Fact) -> Option<(&'a Interaction, Happening)> {
    // What the gateway does by itself with a letter that has just come is told by the letter.
    let by_person = event.actor != Actor::System;
    Some(match fact {
        Fact::InteractionAssigned { interaction, cause } => {
            let agent = interaction.state.owner()?.clone();
            let cause = *cause;
            (interaction, Happening::Assigned { agent, cause })
        }
        Fact::InteractionUnassigned {
            interaction,
            reason,
        } => {
            let cancelled = match interaction.state {
                State::Cancelled { cause, .. } => Some(cause),
                _ => None,
            };
            let happening = Happening::Unassigned {
                agent: event.agent.as_ref().map(|(agent, _)| agent.clone()),
                reason: *reason,
                queue: interaction.queue.clone(),
                cancelled,
            };
            (interaction, happening)
        }
        Fact::InteractionUpdated(found) => match &found.state {
            State::Parked {
                agent,
                since,
                until,
            } if *since == event.time => {
                let (agent, until) = (agent.clone(), *until);
                (found, Happening::Parked { agent, until })
            }
            _ => return None,
        },
        // Not what was only held out to somebody and is back at its place.
        Fact::InteractionQueued(found)
            if by_person && (found.entered == Some(event.time) || found.offer_count == 0) =>
        {
            match event.actor {
                // That an agent gave it away is told already.
                Actor::Agent(_) => return None,
                _ => (found, Happening::Queued(found.queue.clone())),
            }
        }
        Fact::InteractionOverflowed { interaction, from } => {
            let (from, to) = (from.clone(), interaction.queue.clone());
            (interaction, Happening::Overflowed { from, to })
        }
        Fact::WrapUpEnded {
            interaction,
            outcome,
        } => (interaction, closed(interaction, Some(*outcome))),
        Fact::InteractionClosed(found) => (found, closed(found, None)),
        Fact::InteractionFiled(found) if by_person => (found, Happening::Filed),
        _ => return None,
    })
}

fn closed(found: &Interaction, wrap_up: Option<WrapUpOutcome>) -> Happening {
    Happening::Closed {
        outcome: found.outcome,
        disposition: found.disposition.clone(),
        notes: found.notes.clone(),
        wrap_up,
    }
}

impl Desk {
    /// Writes something down for colleagues. No customer sees it.
    pub(super) fn add_note(
        &mut self,
        now: Timestamp,
        case: &Case,
        text: String,
    ) -> Result<Pending, Refusal> {
        bounded("text", &text, NOTE_BYTES_MAX)?;
        let case = self.cases.get(&case.number).unwrap_or(case);
        if case.merged_into.is_some() {
            return Err(Refusal::CaseUnknown(case.number));
        }
        let case = case.number;
        self.tell(now, None, Fact::NoteAdded { case, text });
        Ok(Pending::Noted(case))
    }

    /// Makes an interaction the newest of its case; the one before it.
    pub(super) fn newest_of(
        &mut self,
        number: MainNumber,
        id: InteractionId,
    ) -> Option<InteractionId> {
        let case = self.cases.get_mut(&number)?;
        self.draft.cases.insert(number);
        case.newest.replace(id)
    }
}
