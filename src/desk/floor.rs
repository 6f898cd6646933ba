//! The floor: which queues there are and who serves them.

use std::collections::BTreeMap;

use super::{
    Change, Desk, Fact, HouseRules, Opening, Pending, PresenceCause, Queue, QueueSettings, Refusal,
    RescindCause, WEIGHT_MAX,
};
use crate::id::{AgentId, InteractionId, QueueId};
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
        let openings: BTreeMap<QueueId, Opening> = (self.queues.iter())
            .map(|(id, queue)| (id.clone(), queue.opening()))
            .collect();
        let mut before = std::mem::take(&mut self.queues);
        for settings in configured {
            let queue = match before.remove(&settings.id) {
                Some(known) => Queue { settings, ..known },
                None => Queue::new(settings),
            };
            self.queues.insert(queue.settings.id.clone(), queue);
        }
        let served = |id: &QueueId| self.agents.values().any(|agent| agent.queues.contains(id));
        let (kept, gone): (BTreeMap<QueueId, Queue>, BTreeMap<_, _>) =
            before.into_iter().partition(|(id, _)| served(id));
        self.queues.extend(kept);
        self.stand_all(now);
        // What is open waits by the new rules, and is promised what they promise.
        let open: Vec<InteractionId> = self.interactions.keys().copied().collect();
        for id in open {
            self.watch_overflow(now, id);
            self.watch_service(now, id);
        }
        let paused = gone.values().filter_map(|queue| queue.pause());
        (self.draft.changes).extend(paused.map(|pause| Change::QueueResumed(pause.queue.clone())));
        let queues: Vec<QueueId> = self.queues.keys().cloned().collect();
        for id in queues {
            self.look_at_hours(now, &id);
            let before = openings.get(&id).copied().unwrap_or(Opening::Open);
            self.opening_changed(now, &id, before);
        }
        self.reconsider_all();
        let agents: Vec<AgentId> = self.agents.keys().cloned().collect();
        for agent in agents {
            self.resume_wrap_ups(now, &agent);
            self.refresh_idle(now, &agent);
        }
        let queues: Vec<QueueId> = self.queues.keys().cloned().collect();
        for queue in queues {
            self.review_queue(now, &queue);
        }
        Ok(Pending::Done)
    }

    /// Takes over the rules that hold for every agent.
    pub(super) fn set_house_rules(
        &mut self,
        now: Timestamp,
        rules: HouseRules,
    ) -> Result<Pending, Refusal> {
        self.policy.house = rules;
        let agents: Vec<AgentId> = self.agents.keys().cloned().collect();
        for agent in agents {
            self.refresh_idle(now, &agent);
        }
        self.reconsider_all();
        Ok(Pending::Done)
    }

    pub(super) fn join_queue(
        &mut self,
        now: Timestamp,
        id: &AgentId,
        queue: &QueueId,
        weight: Option<u8>,
    ) -> Result<Pending, Refusal> {
        if !self.queues.contains_key(queue) {
            return Err(Refusal::QueueUnknown(queue.clone()));
        }
        if weight.is_some_and(|weight| !(1..=WEIGHT_MAX).contains(&weight)) {
            return Err(Refusal::OutOfRange(
                "membership.weight",
                1,
                WEIGHT_MAX.into(),
            ));
        }
        let agent = (self.agents.get_mut(id)).ok_or_else(|| Refusal::AgentUnknown(id.clone()))?;
        if let Some(weight) = weight
            && agent.weight(queue) != weight
        {
            agent.weights.insert(queue.clone(), weight);
            self.draft.agents.insert(id.clone());
        }
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
