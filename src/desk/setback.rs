//! A clock that was set back while the gateway was down: times that lie ahead become now, so that
//! nobody waits for yesterday to come again.

use std::time::Duration;

use super::queue::COOLDOWN_MAX;
use super::{Desk, Fact, Interaction, PresenceCause, State, Timer};
use crate::id::{AgentId, InteractionId};
use crate::time::Timestamp;

/// Longest time for which an interaction is kept for one agent.
const KEPT_MAX: Duration = Duration::from_secs(24 * 3600);

/// Brings a time that lies ahead to now, and what was to come some time after it to as long after
/// now.
fn bring(now: Timestamp, since: &mut Timestamp, until: Option<&mut Timestamp>) {
    if *since <= now {
        return;
    }
    if let Some(until) = until {
        *until = now + until.since(*since);
    }
    *since = now;
}

impl Interaction {
    /// Whether something about it is said to have been later than now.
    fn lies_ahead(&self, now: Timestamp) -> bool {
        let since = match &self.state {
            State::WrappingUp { since, .. }
            | State::Active { since, .. }
            | State::Drafting { since, .. }
            | State::Parked { since, .. }
            | State::Held { since, .. } => *since,
            State::Queued
            | State::Offered { .. }
            | State::Closed { .. }
            | State::Filed { .. }
            | State::Cancelled { .. } => self.arrived,
        };
        let kept = (self.preferred.as_ref()).is_some_and(|kept| kept.until > now + KEPT_MAX);
        let past = [self.entered, self.accepted, self.answered];
        let latest = past.into_iter().flatten().fold(since, Timestamp::max);
        latest.max(self.arrived) > now || kept
    }

    /// The same, without times that lie ahead.
    fn mended(&self, now: Timestamp) -> Self {
        let mut mended = self.clone();
        if let Some(kept) = &mut mended.preferred {
            kept.until = kept.until.min(now + KEPT_MAX);
        }
        bring(now, &mut mended.arrived, None);
        for past in [
            &mut mended.entered,
            &mut mended.accepted,
            &mut mended.answered,
        ] {
            *past = past.map(|past| past.min(now));
        }
        match &mut mended.state {
            State::WrappingUp {
                since, deadline, ..
            } => bring(now, since, deadline.as_mut()),
            State::Parked { since, until, .. } => bring(now, since, Some(until)),
            State::Active { since, .. }
            | State::Drafting { since, .. }
            | State::Held { since, .. } => bring(now, since, None),
            State::Queued
            | State::Offered { .. }
            | State::Closed { .. }
            | State::Filed { .. }
            | State::Cancelled { .. } => {}
        }
        mended
    }
}

impl Desk {
    /// Mends all that was written by a clock that was ahead of this one.
    pub(super) fn mend_times(&mut self, now: Timestamp) {
        let ahead: Vec<Interaction> = (self.interactions.values())
            .filter(|found| found.lies_ahead(now))
            .map(|found| found.mended(now))
            .collect();
        for mended in ahead {
            self.mend_interaction(now, mended);
        }
        let agents: Vec<AgentId> = self.agents.keys().cloned().collect();
        for id in agents {
            self.mend_agent(now, &id);
        }
    }

    fn mend_interaction(&mut self, now: Timestamp, mended: Interaction) {
        let id: InteractionId = mended.id;
        self.take_from_line(id);
        match &mended.state {
            State::WrappingUp {
                deadline: Some(deadline),
                ..
            } => self.timers.set(*deadline, Timer::WrapUp(id)),
            State::Parked { until, .. } => self.timers.set(*until, Timer::Parked(id)),
            _ => {}
        }
        let (waits, holder) = (mended.state == State::Queued, mended.state.owner().cloned());
        self.change(id, now, |found| *found = mended);
        if waits {
            self.line_up(now, id);
        }
        if let Some((holder, found)) = holder.zip(self.interactions.get(&id)) {
            let fact = Fact::InteractionUpdated(Box::new(found.clone()));
            self.tell(now, Some(&holder), fact);
        }
    }

    fn mend_agent(&mut self, now: Timestamp, id: &AgentId) {
        let Some(agent) = self.agents.get_mut(id) else {
            return;
        };
        let before = (agent.since, agent.idle_since, agent.cooldown_until);
        bring(now, &mut agent.since, None);
        bring(now, &mut agent.idle_since, None);
        if agent.cooldown_until > now + COOLDOWN_MAX {
            agent.cooldown_until = now;
        }
        if before != (agent.since, agent.idle_since, agent.cooldown_until) {
            self.draft.agents.insert(id.clone());
            self.touch(id, PresenceCause::AgentRequest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_ahead_is_brought_to_now() {
        let at = |seconds| Timestamp::ZERO + Duration::from_secs(seconds);
        for ((since, until), mended) in [
            ((90, 150), (90, 150)),
            ((100, 160), (100, 160)),
            ((101, 161), (100, 160)),
            // A day ahead, and a minute more.
            ((86_500, 86_560), (100, 160)),
        ] {
            let (mut since, mut until) = (at(since), at(until));
            bring(at(100), &mut since, Some(&mut until));
            assert_eq!((since, until), (at(mended.0), at(mended.1)));
        }
    }
}
