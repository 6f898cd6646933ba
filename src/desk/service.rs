//! Service levels: how soon a queue promises that its mail is accepted, answered and closed, and
//! the warnings before a promise is broken.
//!
//! All of it is counted in the open hours of the queue, from the arrival. A goal is warned of once
//! and missed once, over restarts too: that it was is kept with the interaction.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Desk, Direction, Fact, Interaction, Outcome, QueueSettings, State, Timer};
use crate::id::InteractionId;
use crate::time::Timestamp;

/// What is promised. Stored: variants are added at the end only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Goal {
    /// That an agent accepts it.
    Accept,
    /// That the customer is answered.
    Answer,
    /// That it is closed.
    Close,
}

impl Goal {
    /// All of them, in the order in which they are reached.
    pub const ALL: [Self; 3] = [Self::Accept, Self::Answer, Self::Close];

    /// What stands in [`Interaction::warned`] for it: that it was warned of, that it was missed.
    const fn marks(self) -> (u8, u8) {
        match self {
            Self::Accept => (1, 2),
            Self::Answer => (4, 8),
            Self::Close => (16, 32),
        }
    }
}

/// What a queue promises.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// How soon an interaction is accepted; `None` if nothing is promised.
    pub accept: Option<Duration>,
    /// How soon it is answered.
    pub answer: Option<Duration>,
    /// How soon it is closed.
    pub close: Option<Duration>,
    /// After how much of the time there is a warning, in per cent.
    pub warn: u8,
}

impl Default for Service {
    fn default() -> Self {
        Self {
            accept: None,
            answer: None,
            close: None,
            warn: 80,
        }
    }
}

impl Service {
    /// How soon a goal is to be reached.
    #[must_use]
    pub const fn within(&self, goal: Goal) -> Option<Duration> {
        match goal {
            Goal::Accept => self.accept,
            Goal::Answer => self.answer,
            Goal::Close => self.close,
        }
    }
}

impl Interaction {
    /// When it reached a goal.
    #[must_use]
    pub const fn reached(&self, goal: Goal) -> Option<Timestamp> {
        match (goal, &self.state) {
            (Goal::Accept, _) => self.accepted,
            (Goal::Answer, _) => self.answered,
            (Goal::Close, State::Closed { at, .. }) => Some(*at),
            (Goal::Close, _) => None,
        }
    }

    /// Whether it is only what its agent still writes down about work that was given away.
    #[must_use]
    pub fn is_half(&self) -> bool {
        self.outcome == Some(Outcome::Transferred)
    }

    /// Whether something can still be late: somebody wrote, it is work, and not all is done.
    fn awaits(&self, goal: Goal) -> bool {
        let work = self.direction == Direction::Inbound
            && !self.state.is_final()
            && !matches!(self.state, State::Held { .. });
        work && !self.is_half() && self.reached(goal).is_none()
    }
}

impl QueueSettings {
    /// When an interaction is to have reached a goal, and when that is warned of; `None` if
    /// nothing is promised, or not within a year.
    #[must_use]
    pub fn promised(&self, found: &Interaction, goal: Goal) -> Option<(Timestamp, Timestamp)> {
        let within = self.service.within(goal)?;
        let due = self.when_waited(found.arrived, within)?;
        let warned = within * u32::from(self.service.warn) / 100;
        Some((self.when_waited(found.arrived, warned)?, due))
    }
}

impl Desk {
    /// Sets the next deadline of what was promised about an interaction.
    pub(super) fn watch_service(&mut self, now: Timestamp, id: InteractionId) {
        let Some(found) = self.interactions.get(&id) else {
            return;
        };
        let next = self.service_steps(found).map(|(at, ..)| at).min();
        if let Some(next) = next {
            self.timers.set(next.max(now), Timer::Service(id));
        }
    }

    /// What is still to be told of an interaction if nothing happens: when, and as which mark.
    fn service_steps<'a>(
        &'a self,
        found: &'a Interaction,
    ) -> impl Iterator<Item = (Timestamp, Goal, Timestamp, u8)> + 'a {
        let settings = self.queues.get(&found.queue).map(|queue| &queue.settings);
        let open = Goal::ALL.into_iter().filter(|goal| found.awaits(*goal));
        let promised = open.filter_map(move |goal| Some((goal, settings?.promised(found, goal)?)));
        let steps = promised.flat_map(|(goal, (warn, due))| {
            let (warned, missed) = goal.marks();
            [(warn, goal, due, warned), (due, goal, due, missed)]
        });
        steps.filter(|(.., mark)| found.warned & mark == 0)
    }

    /// Something promised may be near its end, or broken.
    pub(super) fn service_due(&mut self, now: Timestamp, id: InteractionId) {
        let Some(found) = self.interactions.get(&id) else {
            return;
        };
        let mut told: Vec<_> = (self.service_steps(found))
            .filter(|(at, ..)| *at <= now)
            .collect();
        told.sort_unstable_by_key(|(at, goal, _, mark)| (*at, *goal, *mark));
        if !told.is_empty() {
            let marks = told.iter().fold(0, |marks, (.., mark)| marks | mark);
            self.change(id, now, |found| found.warned |= marks);
        }
        if let Some(found) = self.interactions.get(&id).filter(|_| !told.is_empty()) {
            let interaction = Box::new(found.clone());
            if let Some(owner) = found.state.owner().cloned() {
                let fact = Fact::InteractionUpdated(interaction.clone());
                self.tell(now, Some(&owner), fact);
            }
            for (_, goal, due, mark) in told {
                let interaction = interaction.clone();
                let missed = mark == goal.marks().1;
                let fact = Fact::TargetNear {
                    interaction,
                    goal,
                    due,
                    missed,
                };
                self.tell(now, None, fact);
            }
        }
        self.watch_service(now, id);
    }
}
