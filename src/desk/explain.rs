//! Explaining: why an interaction is not being offered to an agent.
//!
//! The same questions decide as when offers are made, so the list of hindrances is empty exactly
//! for those who are offered it.

use std::fmt;

use super::agent::Load;
use super::routing::Standing;
use super::{Agent, AgentState, Desk, HouseRules, Interaction, Requested, State};
use crate::id::{AgentId, InteractionId};
use crate::time::Timestamp;

/// One thing that stands between an interaction and an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hindrance {
    /// The interaction waits for nobody: the name of its state.
    NotWaiting(&'static str),
    /// It is offered to somebody else at this moment.
    OfferedTo(AgentId),
    /// Nothing is offered from its queue now.
    QueueClosed,
    /// It is kept for somebody else until then.
    KeptFor(AgentId, Timestamp),
    /// The agent does not serve its queue.
    NotMember,
    /// The agent declined it in this round.
    Declined,
    /// The agent is not good enough at something.
    Lacks {
        /// At what.
        skill: String,
        /// The level that is asked for at this moment.
        asked: u8,
        /// The agent's level; 0 if they cannot do it at all.
        own: u8,
    },
    /// The agent is not at work.
    SignedOut,
    /// The agent asked not to be offered work, for this reason (a code; may be empty).
    WorkOffline(String),
    /// The agent's client is not there, or does not answer.
    ClientMissing,
    /// The agent is in post-processing.
    WrappingUp,
    /// The agent is writing a new email.
    Writing,
    /// The agent holds as much as they may, live offers included.
    AtCapacity {
        /// How much they hold.
        held: usize,
        /// How much they may.
        capacity: u32,
    },
    /// The agent declined something and is left alone until then.
    CoolingDown(Timestamp),
}

impl fmt::Display for Hindrance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotWaiting(state) => write!(f, "it is {state} and waits for nobody"),
            Self::OfferedTo(agent) => write!(f, "it is being offered to {agent}"),
            Self::QueueClosed => f.write_str("its queue is closed"),
            Self::KeptFor(agent, until) => write!(f, "it is kept for {agent} until {until}"),
            Self::NotMember => f.write_str("does not serve its queue"),
            Self::Declined => f.write_str("declined it in this round"),
            Self::Lacks { skill, asked, own } => {
                write!(f, "has {skill} at level {own}, and {asked} is asked for")
            }
            Self::SignedOut => f.write_str("is signed out"),
            Self::WorkOffline(reason) if reason.is_empty() => f.write_str("is offline"),
            Self::WorkOffline(reason) => write!(f, "is offline: {reason}"),
            Self::ClientMissing => f.write_str("is signed in, and the client does not answer"),
            Self::Writing => f.write_str("is writing a new email"),
            Self::WrappingUp => f.write_str("is in post-processing"),
            Self::AtCapacity { held, capacity } => write!(f, "holds {held} of {capacity}"),
            Self::CoolingDown(until) => write!(f, "is left alone until {until}"),
        }
    }
}

impl Agent {
    /// What about the agent forbids an offer of anything. Whether the client listens is the
    /// session's to say.
    pub(super) fn hindrances(
        &self,
        load: &Load,
        rules: &HouseRules,
        now: Timestamp,
    ) -> Vec<Hindrance> {
        let mut found = Vec::new();
        match &self.requested {
            Requested::SignedOut => found.push(Hindrance::SignedOut),
            Requested::WorkOffline(reason) => found.push(Hindrance::WorkOffline(reason.clone())),
            Requested::Available => {}
        }
        // Whoever is to be offline after this work would never get there if more came.
        if let (Requested::Available, Some(Requested::WorkOffline(reason))) =
            (&self.requested, &self.next)
        {
            found.push(Hindrance::WorkOffline(reason.clone()));
        }
        if !load.wrapping.is_empty() && rules.wrap_up_holds_all {
            found.push(Hindrance::WrappingUp);
        }
        if !load.drafting.is_empty() {
            found.push(Hindrance::Writing);
        }
        let held = load.active.len() + load.wrapping.len() + load.offers.len();
        let capacity = self.capacity;
        if held >= capacity as usize {
            found.push(Hindrance::AtCapacity { held, capacity });
        }
        if self.cooldown_until > now {
            found.push(Hindrance::CoolingDown(self.cooldown_until));
        }
        found
    }
}

impl Desk {
    /// What forbids to offer an agent anything at this moment.
    pub(super) fn hindered(&self, now: Timestamp, agent: &Agent) -> Vec<Hindrance> {
        let Some(load) = self.loads.get(&agent.id) else {
            return vec![Hindrance::SignedOut];
        };
        let mut found = agent.hindrances(load, &self.policy.house, now);
        let listens = (self.session_of.get(&agent.id))
            .and_then(|session| self.sessions.get(session))
            .is_some_and(|(_, link)| link.listens(now));
        if !listens && agent.shown(load) != AgentState::SignedOut {
            found.push(Hindrance::ClientMissing);
        }
        found
    }

    /// Why an interaction is not being offered to an agent; empty if it is. `None` if there is no
    /// such open interaction or no such agent.
    #[must_use]
    pub fn explain(
        &self,
        now: Timestamp,
        id: InteractionId,
        agent: &AgentId,
    ) -> Option<Vec<Hindrance>> {
        let found = self.interactions.get(&id)?;
        let agent = self.agents.get(agent)?;
        match &found.state {
            State::Queued => {}
            State::Offered { agent: to, .. } if *to == agent.id => return Some(Vec::new()),
            State::Offered { agent: to, .. } => {
                return Some(vec![Hindrance::OfferedTo(to.clone())]);
            }
            state => return Some(vec![Hindrance::NotWaiting(state.name())]),
        }
        let mut all = self.mismatches(now, found, agent);
        all.extend(self.hindered(now, agent));
        Some(all)
    }

    /// What forbids this very pair, whatever the agent does otherwise.
    fn mismatches(&self, now: Timestamp, found: &Interaction, agent: &Agent) -> Vec<Hindrance> {
        let mut all = Vec::new();
        let Some(queue) = self.queues.get(&found.queue) else {
            return vec![Hindrance::QueueClosed];
        };
        if !queue.offers_open() {
            all.push(Hindrance::QueueClosed);
        }
        let needs = found.outlook(&queue.settings, now).needs;
        if let Some(other) = self.kept_for(found, &needs, now)
            && *other != agent.id
            && let Some(preferred) = &found.preferred
        {
            all.push(Hindrance::KeptFor(other.clone(), preferred.until));
        }
        if !agent.queues.contains(&found.queue) {
            all.push(Hindrance::NotMember);
        }
        if found.declined.contains(&agent.id) {
            all.push(Hindrance::Declined);
        }
        all.extend(needs.lacks(&agent.skills).map(|(skill, asked, own)| {
            let skill = skill.to_owned();
            Hindrance::Lacks { skill, asked, own }
        }));
        all
    }

    /// Where a waiting interaction stands in the line of its queue, counted from 1, and its
    /// priority as far as it has grown by now.
    #[must_use]
    pub fn place(&self, id: InteractionId) -> Option<(usize, i32)> {
        let place = self.standings.get(&id).map(Standing::place)?;
        let queue = self.queues.get(&self.interactions.get(&id)?.queue)?;
        let before = queue.line.places().range(..place).count();
        Some((before + 1, place.0.0))
    }
}
