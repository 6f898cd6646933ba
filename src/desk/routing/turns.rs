//! Turns: how an agent who serves several queues is shared among them.
//!
//! Stride scheduling: each offer moves the queue's next turn on by a stride that is shorter the
//! more weight the queue has, and the queue whose turn is due first is served. A queue without
//! work earns nothing by that: its turn is never due before the ones that were served meanwhile.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::QueueId;

/// The weight of a queue for an agent where none was set.
pub const WEIGHT_DEFAULT: u8 = 10;

/// Highest weight; the lowest is 1.
pub const WEIGHT_MAX: u8 = 100;

/// The stride of weight 1. Divided by the weight; what is lost in dividing is below a hundredth
/// of a percent.
const STRIDE: u64 = 10_000_000;

/// Whose turn it is next. Kept with the agent, so that a restart changes nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turns {
    /// The turn that was due when something was last offered.
    reached: u64,
    /// When the next turn of a queue is due, where that is not yet reached.
    due: BTreeMap<QueueId, u64>,
}

impl Turns {
    /// When the queue's turn is due, compared with others of the same agent.
    pub(super) fn due(&self, queue: &QueueId) -> u64 {
        (self.due.get(queue)).map_or(self.reached, |due| self.reached.max(*due))
    }

    /// Something was offered from `queue`, while `earliest` was the first turn due among the queues
    /// that had anything for this agent.
    pub(super) fn take(&mut self, queue: &QueueId, weight: u8, earliest: u64) {
        let next = self.due(queue) + STRIDE / u64::from(weight.max(1));
        self.reached = self.reached.max(earliest);
        self.due.insert(queue.clone(), next);
        self.due.retain(|_, due| *due > self.reached);
    }

    /// The agent no longer serves the queue.
    pub(in crate::desk) fn forget(&mut self, queue: &QueueId) {
        self.due.remove(queue);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Serves queues that never run dry, and says how often each was.
    fn served(weights: &[(&str, u8)], offers: usize) -> Vec<usize> {
        let queues: Vec<(QueueId, u8)> = (weights.iter())
            .map(|(id, weight)| (id.parse().unwrap(), *weight))
            .collect();
        let mut turns = Turns::default();
        let mut counts = vec![0; queues.len()];
        for _ in 0..offers {
            let due = |at: &usize| (turns.due(&queues[*at].0), *at);
            let next = (0..queues.len()).min_by_key(due).unwrap();
            let earliest = turns.due(&queues[next].0);
            turns.take(&queues[next].0, queues[next].1, earliest);
            counts[next] += 1;
        }
        counts
    }

    #[test]
    fn equal_queues_differ_by_one_and_others_by_their_weight() {
        for offers in 1..50 {
            let counts = served(&[("aa", 10), ("bb", 10), ("cc", 10)], offers);
            let (least, most) = (counts.iter().min(), counts.iter().max());
            assert!(most.unwrap() - least.unwrap() <= 1, "{counts:?}");
        }
        assert_eq!(served(&[("aa", 30), ("bb", 10)], 400), [300, 100]);
        assert_eq!(served(&[("aa", 100), ("bb", 1)], 1010), [1000, 10]);
    }

    #[test]
    fn a_queue_without_work_saves_nothing_up() {
        let (aa, bb): (QueueId, QueueId) = ("aa".parse().unwrap(), "bb".parse().unwrap());
        let mut turns = Turns::default();
        for _ in 0..100 {
            let earliest = turns.due(&aa);
            turns.take(&aa, 10, earliest);
        }
        // Both have work from here on.
        let mut of_bb = 0;
        for _ in 0..10 {
            let next = if turns.due(&bb) < turns.due(&aa) {
                &bb
            } else {
                &aa
            };
            of_bb += usize::from(next == &bb);
            let earliest = turns.due(&aa).min(turns.due(&bb));
            turns.take(next, 10, earliest);
        }
        assert!((5..=6).contains(&of_bb), "{of_bb}");
    }

    #[test]
    fn what_is_reached_is_not_kept() {
        let queues: Vec<QueueId> = ["aa", "bb", "cc"].map(|id| id.parse().unwrap()).into();
        let mut turns = Turns::default();
        for queue in queues.iter().cycle().take(100) {
            let earliest = queues.iter().map(|queue| turns.due(queue)).min().unwrap();
            turns.take(queue, 10, earliest);
            turns.forget(&queues[2]);
            assert!(turns.due.len() <= 2, "{turns:?}");
        }
    }
}
