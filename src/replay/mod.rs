//! Replaying: what was recorded of some days happens once more under another distribution policy,
//! in simulation.
//!
//! A [`Recording`] says what arrived, who was at work and how the work went; [`Recording::replay`]
//! lets a desk of its own live through it in virtual time under some [`Rules`], and what became of
//! each arrival is told in [`Figures`]. Agents keep their habits whatever the rules are. The same
//! recording under the same rules gives the same figures.

mod figures;
mod floor;
mod habits;
mod recording;

pub use figures::{Figures, Level};
pub use floor::{Course, Played};
pub use recording::{Answered, Arrival, Broken, How, Member, Moved, Recording, Row, Step, What};

use crate::desk::{HouseRules, QueueSettings};

/// A distribution policy: what a configuration says of queues and of all agents.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The queues.
    pub queues: Vec<QueueSettings>,
    /// What holds for every agent.
    pub house: HouseRules,
}

#[cfg(test)]
mod tests;
