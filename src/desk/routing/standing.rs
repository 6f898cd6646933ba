//! Standing: the place of a waiting interaction at a moment, and when it changes by itself.

use std::cmp::Reverse;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::skill::Needs;
use super::super::{Desk, Interaction, QueueSettings, Timer};
use super::line::{Spot, Standing};
use crate::id::{AgentId, InteractionId};
use crate::time::Timestamp;

/// How priorities grow with waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ageing {
    /// After how long one more is added. Not zero.
    pub every: Duration,
    /// How much is added at most.
    pub max: u32,
}

/// An agent for whom an interaction is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preferred {
    /// Who.
    pub agent: AgentId,
    /// Until when nobody else is offered it.
    pub until: Timestamp,
}

/// What the place of an interaction depends on, at one moment.
pub(in crate::desk) struct Outlook {
    /// Its priority with what was added for waiting.
    pub(in crate::desk) priority: i32,
    /// What is still asked for.
    pub(in crate::desk) needs: Needs,
    /// When any of this changes by itself.
    changes: Option<Timestamp>,
}

/// How many whole steps fit into a time, and how long it takes until the next one is full.
fn steps(waited: Duration, step: Duration) -> (u64, Duration) {
    let (waited, step) = (waited.as_millis(), step.as_millis().max(1));
    let left = step - waited % step;
    let whole = u64::try_from(waited / step).unwrap_or(u64::MAX);
    let left = u64::try_from(left).unwrap_or(u64::MAX);
    (whole, Duration::from_millis(left))
}

impl Interaction {
    /// What its place in the line depends on at this moment.
    pub(in crate::desk) fn outlook(&self, rules: &QueueSettings, now: Timestamp) -> Outlook {
        let waited = now.since(self.arrived);
        // Before a clock that was set back has caught up, time stands still.
        let now = now.max(self.arrived);
        let mut changes = self.preferred.as_ref().map(|preferred| preferred.until);
        changes = changes.filter(|until| *until > now);
        let mut soon = |at: Timestamp| {
            changes = Some(changes.map_or(at, |known| known.min(at)));
        };
        let mut added = 0;
        if let Some(ageing) = rules.ageing {
            let (whole, left) = steps(waited, ageing.every);
            added = u32::try_from(whole).unwrap_or(u32::MAX).min(ageing.max);
            if added < ageing.max {
                soon(now + left);
            }
        }
        let mut given_up = 0;
        if let Some(relax) = rules.skill_relax {
            let (whole, left) = steps(waited, relax);
            given_up = whole;
            if Needs::after(&self.skills, whole).can_relax() {
                soon(now + left);
            }
        }
        Outlook {
            priority: self.priority.saturating_add_unsigned(added),
            needs: Needs::after(&self.skills, given_up),
            changes,
        }
    }
}

impl Desk {
    /// The agent for whom an interaction is kept at this moment: they are signed in, serve its
    /// queue, can do it and have not declined it.
    pub(in crate::desk) fn kept_for<'a>(
        &self,
        found: &'a Interaction,
        needs: &Needs,
        now: Timestamp,
    ) -> Option<&'a AgentId> {
        let preferred = found.preferred.as_ref()?;
        let agent = self.agents.get(&preferred.agent)?;
        let holds = preferred.until > now
            && self.session_of.contains_key(&agent.id)
            && agent.queues.contains(&found.queue)
            && needs.met_by(&agent.skills)
            && !found.declined.contains(&agent.id);
        holds.then_some(&preferred.agent)
    }

    /// Puts an interaction into the line of its queue, where it stands as of now.
    pub(in crate::desk) fn stand(&mut self, now: Timestamp, id: InteractionId) {
        let Some(found) = self.interactions.get(&id) else {
            return;
        };
        let Some(queue) = self.queues.get(&found.queue) else {
            return;
        };
        let outlook = found.outlook(&queue.settings, now);
        let spot = match self.kept_for(found, &outlook.needs, now) {
            Some(agent) => Spot::Kept(agent.clone()),
            None => Spot::Class(match queue.line.number(&outlook.needs) {
                Some(number) => number,
                None => {
                    let queue = found.queue.clone();
                    self.found_class(&queue, outlook.needs)
                }
            }),
        };
        let Some(found) = self.interactions.get(&id) else {
            return;
        };
        if let Some(at) = outlook.changes {
            self.timers.set(at, Timer::Standing(id));
        }
        if let Some(preferred) = (found.preferred.as_ref()).filter(|known| known.until > now) {
            let waiting = self.preferring.entry(preferred.agent.clone()).or_default();
            waiting.insert(id);
        }
        let standing = Standing {
            place: (Reverse(outlook.priority), found.arrived, id),
            spot,
        };
        if let Some(queue) = self.queues.get_mut(&found.queue) {
            queue.line.insert(&standing);
            self.draft.changed.place(standing.place);
            self.standings.insert(id, standing);
        }
    }

    /// Takes an interaction from where it stands, if it stands anywhere.
    pub(in crate::desk) fn unstand(&mut self, id: InteractionId) {
        let (Some(standing), Some(found)) =
            (self.standings.remove(&id), self.interactions.get(&id))
        else {
            return;
        };
        self.draft.changed.gone(&standing.place);
        if let Some(queue) = self.queues.get_mut(&found.queue) {
            queue.line.remove(&standing);
        }
        if let Some(preferred) = &found.preferred
            && let Some(waiting) = self.preferring.get_mut(&preferred.agent)
        {
            waiting.remove(&id);
            if waiting.is_empty() {
                self.preferring.remove(&preferred.agent);
            }
        }
    }

    /// Where an interaction stands may have changed: it has aged, asks for less, or is no longer
    /// kept for one agent.
    pub(in crate::desk) fn standing_due(&mut self, now: Timestamp, id: InteractionId) {
        if self.standings.contains_key(&id) {
            self.unstand(id);
            self.stand(now, id);
        }
    }

    /// What is kept for an agent is so only while they are there and can do it.
    pub(super) fn stand_by(&mut self, now: Timestamp, agent: &AgentId) {
        let waiting = self.preferring.get(agent).cloned().unwrap_or_default();
        for id in waiting {
            let kept = matches!(
                self.standings.get(&id),
                Some(Standing {
                    spot: Spot::Kept(_),
                    ..
                })
            );
            let Some(found) = self.interactions.get(&id) else {
                continue;
            };
            let holds = (self.queues.get(&found.queue)).is_some_and(|queue| {
                let needs = found.outlook(&queue.settings, now).needs;
                self.kept_for(found, &needs, now).is_some()
            });
            if kept != holds {
                self.standing_due(now, id);
            }
        }
    }

    /// Everybody who waits is put where they stand by the rules as they are now.
    pub(in crate::desk) fn stand_all(&mut self, now: Timestamp) {
        let waiting: Vec<InteractionId> = self.standings.keys().copied().collect();
        for id in waiting {
            self.standing_due(now, id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_whole_and_end() {
        let seconds = Duration::from_secs;
        for (waited, step, whole, left) in [
            (0, 10, 0, 10),
            (9, 10, 0, 1),
            (10, 10, 1, 10),
            (25, 10, 2, 5),
        ] {
            let expected = (whole, seconds(left));
            assert_eq!(steps(seconds(waited), seconds(step)), expected);
        }
        let (whole, left) = steps(Duration::from_millis(5), Duration::ZERO);
        assert_eq!((whole, left), (5, Duration::from_millis(1)));
    }
}
