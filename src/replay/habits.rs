//! Habits: how long agents take for what they do, as medians.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::id::AgentId;

/// How long agents take for one thing.
#[derive(Debug, Clone, Default)]
pub(super) struct Habit {
    seen: BTreeMap<AgentId, Vec<Duration>>,
    own: BTreeMap<AgentId, Duration>,
    everybody: Option<Duration>,
}

impl Habit {
    pub(super) fn add(&mut self, agent: &AgentId, time: Duration) {
        self.seen.entry(agent.clone()).or_default().push(time);
    }

    fn settle(&mut self) {
        let mut all = Vec::new();
        for (agent, mut times) in std::mem::take(&mut self.seen) {
            all.extend_from_slice(&times);
            self.own
                .extend(median(&mut times).map(|time| (agent, time)));
        }
        self.everybody = median(&mut all);
    }

    /// The agent's median, or everybody's if it was never seen of them.
    pub(super) fn of(&self, agent: &AgentId) -> Option<Duration> {
        self.own.get(agent).copied().or(self.everybody)
    }
}

/// How long agents take.
#[derive(Debug, Clone, Default)]
pub(super) struct Habits {
    /// To accept an offer.
    pub(super) reactions: Habit,
    /// To handle a piece of work.
    pub(super) handling: Habit,
    /// To write down what came of it.
    pub(super) wrapping: Habit,
    /// To come back after they were set to Work Offline for declining.
    pub(super) returns: Habit,
}

impl Habits {
    pub(super) fn settle(&mut self) {
        self.reactions.settle();
        self.handling.settle();
        self.wrapping.settle();
        self.returns.settle();
    }
}

/// The lower of the two in the middle, if there is no one middle; `None` of nothing.
fn median(times: &mut [Duration]) -> Option<Duration> {
    times.sort_unstable();
    times.get(times.len().checked_sub(1)? / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_habit_is_the_agents_own_or_everybodys() {
        let (anna, bert, carl) = (
            "anna".parse().unwrap(),
            "bert".parse().unwrap(),
            "carl".parse().unwrap(),
        );
        let mut habit = Habit::default();
        for (agent, seconds) in [(&anna, 9), (&anna, 1), (&anna, 2), (&bert, 40), (&bert, 30)] {
            habit.add(agent, Duration::from_secs(seconds));
        }
        assert_eq!(Habit::default().of(&anna), None);
        habit.settle();
        for (agent, seconds) in [(&anna, 2), (&bert, 30), (&carl, 9)] {
            assert_eq!(
                habit.of(agent),
                Some(Duration::from_secs(seconds)),
                "{agent}"
            );
        }
    }
}
