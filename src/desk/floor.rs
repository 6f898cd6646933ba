//! The floor: which queues there are and who serves them.

use std::collections::BTreeMap;

use super::{Desk, Fact, Pending, PresenceCause, Queue, QueueSettings, Refusal, RescindCause};
use crate::id::{AgentId, QueueId};
use crate::time::Timestamp;

impl Desk {
    /// Takes over the queues of the configuration. A queue in which something is open cannot go;
    /// one that only has agents stays with its old rules until they have left it.
    pub(super) fn set_queues(
        &mut self,
        now: Timestamp,
        configured: Vec<QueueSettings>,
    ) -> Result<Pending, Refusal> {
        let stays = |id: &QueueId| configured.iter().any(|settings| settings.id == *id);
        for id in self.queues.keys().filter(|id| !stays(id)) {
            let open = (self.interactions.values())
                .filter(|open| open.queue == *id)
                .count();
            if open > 0 {
                return Err(Refusal::QueueInUse(id.clone(), open));
            }
        }
        let mut before = std::mem::take(&mut self.queues);
        for settings in configured {
            let queue = match before.remove(&settings.id) {
                Some(known) => Queue { settings, ..known },
                None => Queue::new(settings),
            };
            self.queues.insert(queue.settings.id.clone(), queue);
        }
        let served = |id: &QueueId| self.agents.values().any(|agent| agent.queues.contains(id));
        let kept: BTreeMap<QueueId, Queue> =
            before.into_iter().filter(|(id, _)| served(id)).collect();
        self.queues.extend(kept);
        self.stand_all(now);
        self.reconsider_all();
        let agents: Vec<AgentId> = self.agents.keys().cloned().collect();
        for agent in agents {
            self.refresh_idle(now, &agent);
        }
        let queues: Vec<QueueId> = self.queues.keys().cloned().collect();
        for queue in queues {
            self.review_queue(now, &queue);
        }
        Ok(Pending::Done)
    }

    pub(super) fn join_queue(
        &mut self,
        now: Timestamp,
        id: &AgentId,
        queue: &QueueId,
    ) -> Result<Pending, Refusal> {
        if !self.queues.contains_key(queue) {
            return Err(Refusal::QueueUnknown(queue.clone()));
        }
        let agent = (self.agents.get_mut(id)).ok_or_else(|| Refusal::AgentUnknown(id.clone()))?;
        if agent.queues.insert(queue.clone()) {
            let fact = Fact::MembershipChanged {
                queue: queue.clone(),
                removed: false,
            };
            self.tell(now, Some(id), fact);
            self.touch(id, PresenceCause::SupervisorRequest);
        }
        Ok(Pending::Agent(id.clone()))
    }

    pub(super) fn leave_queue(
        &mut self,
        now: Timestamp,
        id: &AgentId,
        queue: &QueueId,
    ) -> Result<Pending, Refusal> {
        let agent = (self.agents.get_mut(id)).ok_or_else(|| Refusal::AgentUnknown(id.clone()))?;
        if agent.queues.remove(queue) {
            agent.weights.remove(queue);
            agent.turns.forget(queue);
            agent.rounds.remove(queue);
            let fact = Fact::MembershipChanged {
                queue: queue.clone(),
                removed: true,
            };
            self.tell(now, Some(id), fact);
            self.touch(id, PresenceCause::SupervisorRequest);
            let offers = self.live_offers(id);
            for offer in offers {
                if self
                    .offers
                    .get(&offer)
                    .is_some_and(|offer| offer.queue == *queue)
                {
                    self.rescind(now, offer, RescindCause::MembershipEnded);
                }
            }
        }
        Ok(Pending::Agent(id.clone()))
    }
}
