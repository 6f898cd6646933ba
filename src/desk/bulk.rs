//! Bulk: one act of a supervisor's on many interactions, and its rehearsal.
//!
//! A rehearsal says of each what the act would do, and does nothing; done at the same moment the act
//! does exactly that.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{
    Desk, Destination, Interaction, NOTE_BYTES_MAX, PRIORITY_MAX, Pending, Refusal, State, bounded,
};
use crate::id::{AgentId, InteractionId, QueueId};
use crate::mail::token::MainNumber;
use crate::time::Timestamp;

/// Most interactions that one act changes: as many as one group of the journal holds with ease.
pub const BULK_MAX: usize = 500;

/// One act on many interactions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bulk {
    /// On which.
    pub selection: Selection,
    /// What.
    pub act: BulkAct,
    /// Left with each interaction that is moved or requeued; none leaves what is there.
    pub note: String,
}

/// What is done to each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BulkAct {
    /// It goes to this queue, at the place of its arrival.
    Move(QueueId),
    /// It goes back into the line of its own queue.
    Requeue,
    /// It is filed as nobody's work.
    Dismiss,
    /// Held, it goes into its queue.
    Release,
    /// It gets another priority.
    Prioritise(i32),
}

/// Which interactions an act is about: those that fit all that is given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// These, and no others, whatever their phase; [`BULK_MAX`] at most. Empty for all that are in one
    /// of the phases.
    pub named: BTreeSet<InteractionId>,
    /// In this queue.
    pub queue: Option<QueueId>,
    /// In one of these phases; empty for any.
    pub phases: BTreeSet<Phase>,
    /// In the hands of this agent, or parked by them.
    pub agent: Option<AgentId>,
    /// From this address in its normal form, or from this domain if it begins with `@`.
    pub sender: Option<String>,
    /// Arrived at this time or later.
    pub from: Option<Timestamp>,
    /// Arrived earlier than this.
    pub until: Option<Timestamp>,
}

/// What an act can find an interaction as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Kept back from everybody.
    Held,
    /// Waiting.
    Queued,
    /// Held out to an agent.
    Offered,
    /// In an agent's hands.
    Active,
    /// Set aside by an agent.
    Parked,
}

impl Phase {
    const fn of(state: &State) -> Option<Self> {
        match state {
            State::Held { .. } => Some(Self::Held),
            State::Queued => Some(Self::Queued),
            State::Offered { .. } => Some(Self::Offered),
            State::Active { .. } => Some(Self::Active),
            State::Parked { .. } => Some(Self::Parked),
            State::WrappingUp { .. }
            | State::Drafting { .. }
            | State::Closed { .. }
            | State::Filed { .. }
            | State::Cancelled { .. } => None,
        }
    }
}

/// What became of one interaction, or would become of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Treated {
    /// Which.
    pub interaction: InteractionId,
    /// Why nothing was done to it; none if the act was done.
    pub obstacle: Option<Obstacle>,
}

/// Why an act was not done to one interaction. Stored: variants are added at the end only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Obstacle {
    /// It is not open, or never was.
    Gone,
    /// It is in a state from which this cannot be done; in words.
    State(String),
    /// It cannot go there; in words.
    Target(String),
    /// Something else must be done first; in words.
    Order(String),
}

impl Obstacle {
    fn of(refusal: &Refusal) -> Self {
        let words = refusal.to_string();
        match refusal {
            Refusal::InteractionUnknown(_) => Self::Gone,
            Refusal::InteractionState { .. } => Self::State(words),
            Refusal::TransferTarget(_) => Self::Target(words),
            _ => Self::Order(words),
        }
    }

    /// In words for people.
    #[must_use]
    pub fn words(&self) -> &str {
        match self {
            Self::Gone => "there is no such open interaction",
            Self::State(words) | Self::Target(words) | Self::Order(words) => words,
        }
    }
}

impl Selection {
    /// Whether nothing narrows it down: everything there is, which nobody means.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    fn fits(&self, found: &Interaction) -> bool {
        let phase = Phase::of(&found.state);
        let named = !self.named.is_empty();
        (self.queue.as_ref()).is_none_or(|queue| found.queue == *queue)
            && match phase {
                None => named && self.phases.is_empty(),
                Some(phase) => self.phases.is_empty() || self.phases.contains(&phase),
            }
            && (self.agent.as_ref()).is_none_or(|agent| found.state.owner() == Some(agent))
            && (self.sender.as_ref()).is_none_or(|sender| wrote(found, sender))
            && self.from.is_none_or(|from| found.arrived >= from)
            && self.until.is_none_or(|until| found.arrived < until)
    }
}

fn wrote(found: &Interaction, sender: &str) -> bool {
    let address = found.customer.address.as_str();
    if sender.starts_with('@') {
        (address.rsplit_once('@')).is_some_and(|(_, domain)| domain == &sender[1..])
    } else {
        address == sender
    }
}

impl Desk {
    /// The interactions that a selection is about, oldest first, [`BULK_MAX`] at most, and how many
    /// more there are. What is named and unknown is among them.
    fn selected(&self, selection: &Selection) -> (Vec<InteractionId>, usize) {
        if !selection.named.is_empty() {
            let fits = |id: &&InteractionId| {
                (self.interactions.get(id)).is_none_or(|found| selection.fits(found))
            };
            let named = (selection.named.iter().filter(fits)).copied();
            return (named.take(BULK_MAX).collect(), 0);
        }
        let mut fitting = (self.interactions.values())
            .filter(|found| selection.fits(found))
            .map(|found| found.id);
        let first = fitting.by_ref().take(BULK_MAX).collect();
        (first, fitting.count())
    }

    /// What the act would do to each, and how many more interactions fit than one act changes.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] if the act as a whole would be refused.
    pub fn rehearse(&self, bulk: &Bulk) -> Result<(Vec<Treated>, usize), Refusal> {
        self.may_act(bulk)?;
        let (ids, more) = self.selected(&bulk.selection);
        // Cases that the act has already brought an interaction of into a queue's line.
        let mut entered: BTreeSet<(MainNumber, QueueId)> = BTreeSet::new();
        let treated = (ids.into_iter())
            .map(|interaction| {
                let may = self.may_be_treated(interaction, &bulk.act, &mut entered);
                Treated {
                    interaction,
                    obstacle: may.err().as_ref().map(Obstacle::of),
                }
            })
            .collect();
        Ok((treated, more))
    }

    /// Does the act to each interaction that it can be done to, and says what became of each.
    pub(super) fn bulk(&mut self, now: Timestamp, bulk: &Bulk) -> Result<Pending, Refusal> {
        self.may_act(bulk)?;
        let (ids, more) = self.selected(&bulk.selection);
        let mut treated = Vec::with_capacity(ids.len());
        for id in ids {
            let done = match &bulk.act {
                BulkAct::Move(queue) => {
                    let to = Destination::Queue(queue.clone());
                    self.reassign(now, id, to, bulk.note.clone())
                }
                BulkAct::Requeue => match self.interactions.get(&id) {
                    Some(found) => {
                        let to = Destination::Queue(found.queue.clone());
                        self.reassign(now, id, to, bulk.note.clone())
                    }
                    None => Err(Refusal::InteractionUnknown(id)),
                },
                BulkAct::Dismiss => self.dismiss(now, id),
                BulkAct::Release => self.release(now, id),
                BulkAct::Prioritise(priority) => self.prioritise(now, id, *priority),
            };
            treated.push(Treated {
                interaction: id,
                obstacle: done.err().as_ref().map(Obstacle::of),
            });
        }
        Ok(Pending::Treated(treated, more))
    }

    /// Refuses an act that is wrong whatever it is about.
    fn may_act(&self, bulk: &Bulk) -> Result<(), Refusal> {
        bounded("note", &bulk.note, NOTE_BYTES_MAX)?;
        if bulk.selection.is_everything() {
            return Err(Refusal::SelectsEverything);
        }
        for queue in [bulk.selection.queue.as_ref(), bulk.act.target()] {
            let known = queue.is_none_or(|queue| self.queues.contains_key(queue));
            if let (false, Some(queue)) = (known, queue) {
                return Err(Refusal::QueueUnknown(queue.clone()));
            }
        }
        match bulk.act {
            BulkAct::Prioritise(priority) if priority.abs() > PRIORITY_MAX => {
                Err(Refusal::Priority(priority))
            }
            _ => Ok(()),
        }
    }

    fn may_be_treated(
        &self,
        id: InteractionId,
        act: &BulkAct,
        entered: &mut BTreeSet<(MainNumber, QueueId)>,
    ) -> Result<(), Refusal> {
        let found = (self.interactions.get(&id)).ok_or(Refusal::InteractionUnknown(id))?;
        match act {
            BulkAct::Move(queue) => {
                self.movable(id)?;
                self.may_move_to(id, queue)?;
                if found.queue != *queue && !entered.insert((found.case, queue.clone())) {
                    return Err(Self::occupied());
                }
                Ok(())
            }
            BulkAct::Requeue => {
                self.movable(id)?;
                self.may_move_to(id, &found.queue)
            }
            BulkAct::Dismiss => self.dismissible(id),
            BulkAct::Release => {
                self.releasable(id)?;
                if !entered.insert((found.case, found.queue.clone())) {
                    return Err(Self::overlaid());
                }
                Ok(())
            }
            BulkAct::Prioritise(_) => self.prioritisable(id).map(|_| ()),
        }
    }
}

impl BulkAct {
    const fn target(&self) -> Option<&QueueId> {
        match self {
            Self::Move(queue) => Some(queue),
            Self::Requeue | Self::Dismiss | Self::Release | Self::Prioritise(_) => None,
        }
    }
}
