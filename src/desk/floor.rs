//! The floor: which queues there are and who serves them.

use std::collections::BTreeMap;

use super::agent::Load;
use super::routing::Turns;
use super::skill::Skills;
use super::{
    Agent, Desk, Fact, NewAgent, Pending, PresenceCause, Queue, QueueSettings, Refusal, Requested,
    RescindCause, bounded,
};
use crate::id::{AgentId, QueueId};
use crate::time::Timestamp;

/// Longest display name, in bytes.
pub(super) const NAME_BYTES_MAX: usize = 256;

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
        Ok(Pending::Done)
    }

    pub(super) fn create_agent(
        &mut self,
        now: Timestamp,
        new: NewAgent,
    ) -> Result<Pending, Refusal> {
        if self.agents.contains_key(&new.id) {
            return Err(Refusal::AgentExists(new.id));
        }
        bounded("display_name", &new.display_name, NAME_BYTES_MAX)?;
        if let Some(unknown) = new.queues.iter().find(|id| !self.queues.contains_key(*id)) {
            return Err(Refusal::QueueUnknown(unknown.clone()));
        }
        let agent = Agent {
            id: new.id.clone(),
            display_name: new.display_name,
            password: new.password,
            supervisor: new.supervisor,
            queues: new.queues.into_iter().collect(),
            capacity: 1,
            requested: Requested::SignedOut,
            next: None,
            since: now,
            cause: PresenceCause::SignOut,
            idle_since: now,
            misses: 0,
            cooldown_until: Timestamp::ZERO,
            sequence: 0,
            created: now,
            skills: Skills::new(),
            weights: BTreeMap::new(),
            turns: Turns::default(),
            rounds: BTreeMap::new(),
        };
        self.shown
            .insert(new.id.clone(), agent.shown(&Load::default()));
        self.loads.insert(new.id.clone(), Load::default());
        self.agents.insert(new.id.clone(), agent);
        self.draft.agents.insert(new.id.clone());
        Ok(Pending::Agent(new.id))
    }

    pub(super) fn set_password(
        &mut self,
        id: &AgentId,
        password: String,
    ) -> Result<Pending, Refusal> {
        let agent = (self.agents.get_mut(id)).ok_or_else(|| Refusal::AgentUnknown(id.clone()))?;
        agent.password = Some(password);
        self.draft.agents.insert(id.clone());
        Ok(Pending::Agent(id.clone()))
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
