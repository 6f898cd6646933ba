//! Accounts: agents made, changed, disabled and removed, and what becomes of their work.

use std::collections::BTreeMap;

use super::agent::Load;
use super::routing::Turns;
use super::skill::{LEVEL_MAX, SKILLS_MAX, Skills, is_name};
use super::{
    Agent, AgentChanges, Desk, EndCause, Fact, NewAgent, Pending, PresenceCause, Refusal,
    Requested, RescindCause, UnassignReason, WrapUpOutcome, bounded,
};
use crate::id::AgentId;
use crate::time::Timestamp;

/// Longest display name, in bytes.
const NAME_BYTES_MAX: usize = 256;

/// How many interactions an agent may be allowed to hold at once: more than anybody keeps apart.
pub const CAPACITY_MAX: u32 = 100;

impl Desk {
    /// Makes an account. The id of one that was removed may be given again; the numbers of its event
    /// log begin so far above the old ones that no client can resume across the gap.
    pub(super) fn create_agent(
        &mut self,
        now: Timestamp,
        new: NewAgent,
    ) -> Result<Pending, Refusal> {
        if self.agents.contains_key(&new.id) {
            return Err(Refusal::AgentExists(new.id));
        }
        bounded("display_name", &new.display_name, NAME_BYTES_MAX)?;
        capacity_fits(new.capacity)?;
        if let Some(unknown) = new.queues.iter().find(|id| !self.queues.contains_key(*id)) {
            return Err(Refusal::QueueUnknown(unknown.clone()));
        }
        let former = self.former.remove(&new.id);
        let agent = Agent {
            id: new.id.clone(),
            display_name: new.display_name,
            password: new.password,
            supervisor: new.supervisor,
            queues: new.queues.into_iter().collect(),
            capacity: new.capacity,
            requested: Requested::SignedOut,
            next: None,
            since: now,
            cause: PresenceCause::SignOut,
            idle_since: now,
            misses: 0,
            cooldown_until: Timestamp::ZERO,
            sequence: former.map_or(0, |former| former.sequence + self.policy.log_entries + 1),
            created: now,
            disabled: false,
            removed: None,
            skills: Skills::new(),
            weights: BTreeMap::new(),
            turns: Turns::default(),
            rounds: BTreeMap::new(),
            rejects: 0,
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

    /// Changes what is given, and tells the agent.
    pub(super) fn update_agent(
        &mut self,
        now: Timestamp,
        id: &AgentId,
        changes: AgentChanges,
    ) -> Result<Pending, Refusal> {
        let agent = (self.agents.get_mut(id)).ok_or_else(|| Refusal::AgentUnknown(id.clone()))?;
        if let Some(name) = &changes.display_name {
            bounded("display_name", name, NAME_BYTES_MAX)?;
        }
        capacity_fits(changes.capacity.unwrap_or(agent.capacity))?;
        skills_fit(changes.skills.as_ref().unwrap_or(&agent.skills))?;
        let before = agent.clone();
        agent.display_name = (changes.display_name).unwrap_or_else(|| before.display_name.clone());
        agent.supervisor = changes.supervisor.unwrap_or(before.supervisor);
        agent.capacity = changes.capacity.unwrap_or(before.capacity);
        agent.disabled = changes.disabled.unwrap_or(before.disabled);
        agent.skills = (changes.skills).unwrap_or_else(|| before.skills.clone());
        if *agent == before {
            return Ok(Pending::Agent(id.clone()));
        }
        let barred = agent.disabled && !before.disabled;
        // The password hash is nobody's business who reads events.
        let shown = Agent {
            password: None,
            ..agent.clone()
        };
        self.tell(now, Some(id), Fact::AgentUpdated(Box::new(shown)));
        self.take_back_surplus(now, id);
        match self.session_of.get(id).copied() {
            Some(session) if barred => self.sign_out(now, session, EndCause::Barred),
            _ => self.touch(id, PresenceCause::SupervisorRequest),
        }
        Ok(Pending::Agent(id.clone()))
    }

    /// Takes the newest offers back that no longer fit the agent's capacity. Work in hand stays.
    fn take_back_surplus(&mut self, now: Timestamp, id: &AgentId) {
        let Some((agent, load)) = self.agents.get(id).zip(self.loads.get(id)) else {
            return;
        };
        let room = (agent.capacity as usize).saturating_sub(load.active.len());
        let surplus: Vec<_> = load.offers.iter().copied().skip(room).collect();
        for offer in surplus {
            self.rescind(now, offer, RescindCause::StateChanged);
        }
    }

    /// Removes an agent: offers go elsewhere, work in hand goes back to its place in line,
    /// post-processing ends. What the agent did stays readable under the same name.
    pub(super) fn delete_agent(
        &mut self,
        now: Timestamp,
        id: &AgentId,
    ) -> Result<Pending, Refusal> {
        let load = (self.loads.get(id)).ok_or_else(|| Refusal::AgentUnknown(id.clone()))?;
        let owned = load.active.union(&load.parked).copied().collect::<Vec<_>>();
        let wrapping = load.wrapping.clone();
        self.rescind_all(now, id, RescindCause::StateChanged);
        for interaction in owned {
            self.give_back(now, id, interaction, UnassignReason::Requeued);
        }
        for interaction in wrapping {
            if let Some(closed) = self.close(now, id, interaction) {
                let fact = Fact::WrapUpEnded {
                    interaction: Box::new(closed),
                    outcome: WrapUpOutcome::Cancelled,
                };
                self.tell(now, Some(id), fact);
            }
        }
        if let Some(session) = self.session_of.get(id).copied() {
            self.sign_out(now, session, EndCause::Barred);
        }
        if let Some(agent) = self.agents.get_mut(id) {
            agent.requested = Requested::SignedOut;
            agent.next = None;
            agent.queues.clear();
            agent.password = None;
            agent.removed = Some(now);
            self.draft.agents.insert(id.clone());
        }
        self.touch(id, PresenceCause::SignOut);
        self.draft.removed.insert(id.clone());
        Ok(Pending::Done)
    }

    /// Removed agents leave the floor once all that followed has been told. Their logs go too:
    /// nobody can read them any more.
    pub(super) fn dismiss_removed(&mut self) {
        for id in std::mem::take(&mut self.draft.removed) {
            self.loads.remove(&id);
            self.shown.remove(&id);
            let Some(agent) = self.agents.remove(&id) else {
                continue;
            };
            let oldest = agent.sequence.saturating_sub(self.policy.log_entries);
            self.draft
                .trimmed
                .insert(id.clone(), oldest..agent.sequence);
            self.former.insert(id, agent);
        }
    }
}

/// Refuses a capacity that nobody has.
const fn capacity_fits(capacity: u32) -> Result<(), Refusal> {
    if capacity == 0 || capacity > CAPACITY_MAX {
        return Err(Refusal::OutOfRange("capacity", 1, CAPACITY_MAX as u64));
    }
    Ok(())
}

/// Refuses skills that say nothing.
fn skills_fit(skills: &Skills) -> Result<(), Refusal> {
    if skills.len() > SKILLS_MAX {
        return Err(Refusal::OutOfRange("agent.skills", 0, SKILLS_MAX as u64));
    }
    let fits = |(name, level): (&String, &u8)| is_name(name) && (1..=LEVEL_MAX).contains(level);
    if !skills.iter().all(fits) {
        return Err(Refusal::OutOfRange("agent.skills", 1, LEVEL_MAX.into()));
    }
    Ok(())
}
