//! Pulling: an agent takes work out of a line without having been offered it. A privilege that
//! queues give.

use super::{AssignCause, Desk, Pending, PresenceCause, Refusal, RescindCause, State};
use crate::id::{AgentId, InteractionId, QueueId, SessionId};
use crate::time::Timestamp;

impl Desk {
    pub(super) fn pull(
        &mut self,
        now: Timestamp,
        session: SessionId,
        queue: Option<QueueId>,
        wanted: Option<InteractionId>,
    ) -> Result<Pending, Refusal> {
        let agent = self.fence(session)?;
        let named = match wanted {
            Some(id) => {
                let found = self.interactions.get(&id);
                // What is held from everybody is not there for agents.
                let found = found.filter(|found| !matches!(found.state, State::Held { .. }));
                Some(found.ok_or(Refusal::InteractionUnknown(id))?)
            }
            None => None,
        };
        let queue = match (queue, named) {
            (Some(queue), Some(named)) if named.queue != queue => {
                return Err(Refusal::InteractionUnknown(named.id));
            }
            (Some(queue), _) => queue,
            (None, Some(named)) => named.queue.clone(),
            (None, None) => {
                return Err(Refusal::StateTransition("name a queue or an interaction"));
            }
        };
        let Some(rules) = self.queues.get(&queue).map(|queue| &queue.settings) else {
            return Err(Refusal::QueueUnknown(queue));
        };
        let serves = (self.agents.get(&agent)).is_some_and(|agent| agent.queues.contains(&queue));
        if !serves {
            return Err(Refusal::NotMember(queue));
        }
        if !rules.pull {
            return Err(Refusal::PullOff(queue));
        }
        if let Some(named) = named.filter(|named| named.state != State::Queued) {
            return Err(Refusal::InteractionState {
                interaction: named.id,
                state: named.state.name(),
                needed: "queued",
            });
        }
        self.room(&agent)?;
        let Some(id) = wanted.or_else(|| self.next_to_pull(&agent, &queue)) else {
            return Err(Refusal::QueueEmpty(queue));
        };
        self.heard(now, session);
        self.make_room(now, &agent, RescindCause::StateChanged);
        self.take_from_line(id);
        self.assign(now, &agent, id, AssignCause::Pulled);
        self.touch(&agent, PresenceCause::Pull);
        Ok(Pending::Interaction(id, agent, None))
    }

    /// The first in line that the agent has not turned down, else the first.
    fn next_to_pull(&self, agent: &AgentId, queue: &QueueId) -> Option<InteractionId> {
        let queue = self.queues.get(queue)?;
        let fresh = queue.waiting().find(|id| {
            (self.interactions.get(id)).is_some_and(|found| !found.declined.contains(agent))
        });
        fresh.or_else(|| queue.waiting().next())
    }
}
