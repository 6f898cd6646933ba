//! A line: those who wait in one queue, and the idle agents who serve it.
//!
//! Who waits stands in order twice: in the whole line, and among those who ask for the same. An idle agent
//! stands with each such class that they can do. So a class knows at once which of its
//! interactions is first and which agent goes first, however many there are of either, and there
//! are few classes: they come from the rules of the administrator.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::super::skill::Needs;
use super::strategy::Rank;
use crate::id::{AgentId, InteractionId};
use crate::time::Timestamp;

/// A place in the line: higher priority first, as far as it has grown by now; then who came
/// first, then the id.
pub type Place = (Reverse<i32>, Timestamp, InteractionId);

/// Where an interaction stands in the line of its queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::desk) struct Standing {
    pub(super) place: Place,
    pub(super) spot: Spot,
}

impl Standing {
    /// Its place in the line.
    pub(in crate::desk) const fn place(&self) -> Place {
        self.place
    }
}

/// Among whom it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Spot {
    /// Among those who ask for the same.
    Class(usize),
    /// Among those kept for this agent.
    Kept(AgentId),
}

/// Those who ask for the same, and who could do it now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Class {
    pub(super) needs: Needs,
    pub(super) waiting: BTreeSet<Place>,
    pub(super) idle: BTreeSet<(Rank, AgentId)>,
}

/// As many classes are kept for the next of their kind when nobody of theirs waits: to find the
/// idle agents of a class anew, all have to be looked at.
const CLASSES_KEPT: usize = 64;

/// The class of those who ask for nothing. Always there: all idle agents stand with it.
pub(super) const ANYBODY: usize = 0;

/// The line of one queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::desk) struct Line {
    places: BTreeSet<Place>,
    classes: BTreeMap<usize, Class>,
    numbers: BTreeMap<Needs, usize>,
    /// Those who are kept for one agent.
    kept: BTreeMap<AgentId, BTreeSet<Place>>,
    /// How many classes there ever were.
    numbered: usize,
}

impl Line {
    pub(in crate::desk) fn new() -> Self {
        Self {
            places: BTreeSet::new(),
            classes: BTreeMap::from([(ANYBODY, Class::default())]),
            numbers: BTreeMap::from([(Needs::default(), ANYBODY)]),
            kept: BTreeMap::new(),
            numbered: 1,
        }
    }

    /// All who wait, in order.
    pub(in crate::desk) const fn places(&self) -> &BTreeSet<Place> {
        &self.places
    }

    /// The classes by number.
    pub(super) const fn classes(&self) -> &BTreeMap<usize, Class> {
        &self.classes
    }

    /// Those who ask for the same as others with this number do.
    pub(super) fn class(&self, number: usize) -> Option<&Class> {
        self.classes.get(&number)
    }

    /// The same, to put idle agents in or take them out.
    pub(super) fn class_mut(&mut self, number: usize) -> Option<&mut Class> {
        self.classes.get_mut(&number)
    }

    /// The number of the class with these needs, if there is one.
    pub(super) fn number(&self, needs: &Needs) -> Option<usize> {
        self.numbers.get(needs).copied()
    }

    /// Makes a class, without idle agents.
    pub(super) fn found(&mut self, needs: Needs) -> usize {
        let number = self.numbered;
        self.numbered += 1;
        self.numbers.insert(needs.clone(), number);
        let class = Class {
            needs,
            ..Class::default()
        };
        self.classes.insert(number, class);
        number
    }

    /// Those kept for an agent, in order.
    pub(super) fn kept_for(&self, agent: &AgentId) -> Option<&BTreeSet<Place>> {
        self.kept.get(agent)
    }

    /// Agents for whom something is kept.
    pub(super) fn kept(&self) -> impl Iterator<Item = (&AgentId, &BTreeSet<Place>)> {
        self.kept.iter()
    }

    pub(super) fn insert(&mut self, standing: &Standing) {
        self.places.insert(standing.place);
        match &standing.spot {
            Spot::Class(number) => {
                if let Some(class) = self.classes.get_mut(number) {
                    class.waiting.insert(standing.place);
                }
            }
            Spot::Kept(agent) => {
                let kept = self.kept.entry(agent.clone()).or_default();
                kept.insert(standing.place);
            }
        }
    }

    pub(super) fn remove(&mut self, standing: &Standing) {
        self.places.remove(&standing.place);
        match &standing.spot {
            Spot::Class(number) => {
                let Some(class) = self.classes.get_mut(number) else {
                    return;
                };
                class.waiting.remove(&standing.place);
                let spare = class.waiting.is_empty() && *number != ANYBODY;
                if spare && self.classes.len() > CLASSES_KEPT {
                    let gone = self.classes.remove(number);
                    gone.map(|class| self.numbers.remove(&class.needs));
                }
            }
            Spot::Kept(agent) => {
                if let Some(kept) = self.kept.get_mut(agent) {
                    kept.remove(&standing.place);
                    if kept.is_empty() {
                        self.kept.remove(agent);
                    }
                }
            }
        }
    }
}
