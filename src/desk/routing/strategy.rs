//! Strategies: in which order the idle agents of a queue are asked.

use super::super::Agent;
use super::super::agent::Load;
use super::super::skill::Needs;
use crate::id::QueueId;
use crate::time::Timestamp;

/// Who goes first among those who could take an interaction. Whatever it says, of two who are
/// alike the one who has been idle longest does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Strategy {
    /// Who has been free of delivered work for longest.
    #[default]
    LongestIdle,
    /// Who was offered something from this queue least recently.
    RoundRobin,
    /// Who is best at what is asked for; who asks for nothing is anybody's.
    MostSkilled,
    /// Who has the smallest part of their capacity in use.
    LeastLoaded,
}

/// The place of an idle agent among others: lower is asked first.
pub(super) type Rank = (u64, Timestamp);

/// Parts into which a capacity is divided, to compare agents of different ones.
const PARTS: u64 = 1_000_000;

impl Strategy {
    /// Where an agent stands among those who can do what `needs` asks for.
    pub(super) fn rank(self, agent: &Agent, load: &Load, queue: &QueueId, needs: &Needs) -> Rank {
        let first = match self {
            Self::LongestIdle => 0,
            Self::RoundRobin => agent.rounds.get(queue).copied().unwrap_or(0),
            Self::MostSkilled => u64::MAX - needs.grade(&agent.skills),
            Self::LeastLoaded => {
                let used = (load.active.len() + load.wrapping.len() + load.offers.len()) as u64;
                used * PARTS / u64::from(agent.capacity.max(1))
            }
        };
        (first, agent.idle_since)
    }
}
