//! Parking: work is set aside until a time, or until the customer writes again.

use std::time::Duration;

use super::handling::Needed;
use super::{
    AssignCause, Desk, Fact, NOTE_BYTES_MAX, Pending, Preferred, PresenceCause, Refusal,
    RescindCause, State, Timer, UnassignReason, bounded,
};
use crate::id::{AgentId, InteractionId, SessionId};
use crate::time::Timestamp;

/// Shortest and longest time for which something can be parked. Nothing is parked for ever: what
/// nobody is reminded of is lost.
pub const PARK_BOUNDS: (Duration, Duration) =
    (Duration::from_secs(60), Duration::from_secs(90 * 24 * 3600));

/// Most interactions that one agent may have parked: more are a queue of their own, which nobody
/// else can see.
pub const PARKED_MAX: usize = 100;

impl Desk {
    pub(super) fn park(
        &mut self,
        now: Timestamp,
        session: SessionId,
        id: InteractionId,
        time: Duration,
        note: String,
    ) -> Result<Pending, Refusal> {
        bounded("note", &note, NOTE_BYTES_MAX)?;
        let (agent, _) = self.held(session, id, Needed::Active)?;
        let parked = self.loads.get(&agent).map_or(0, |load| load.parked.len());
        if parked >= PARKED_MAX {
            return Err(Refusal::StateTransition(
                "the agent has parked as much as they may; resume or requeue something first",
            ));
        }
        let (shortest, longest) = PARK_BOUNDS;
        let until = now + time.clamp(shortest, longest);
        self.heard(now, session);
        self.let_go(&agent, id);
        if let Some(load) = self.loads.get_mut(&agent) {
            load.parked.insert(id);
        }
        self.timers.set(until, Timer::Parked(id));
        self.change(id, now, |found| {
            let parked = State::Parked {
                agent: agent.clone(),
                since: now,
                until,
            };
            found.enter(parked, now);
            found.note(note);
        });
        if let Some(found) = self.interactions.get(&id) {
            let fact = Fact::InteractionUpdated(Box::new(found.clone()));
            self.tell(now, Some(&agent), fact);
        }
        self.put_down(now, &agent, false);
        Ok(Pending::Interaction(id, agent, None))
    }

    pub(super) fn resume(
        &mut self,
        now: Timestamp,
        session: SessionId,
        id: InteractionId,
    ) -> Result<Pending, Refusal> {
        let (agent, _) = self.held(session, id, Needed::Parked)?;
        self.room(&agent)?;
        self.heard(now, session);
        self.make_room(now, &agent, RescindCause::StateChanged);
        self.let_go(&agent, id);
        self.assign(now, &agent, id, AssignCause::Resumed);
        self.touch(&agent, PresenceCause::Resume);
        Ok(Pending::Interaction(id, agent, None))
    }

    /// The time of a parked interaction has come, unless it was taken up before.
    pub(super) fn parked_due(&mut self, now: Timestamp, id: InteractionId) {
        let due = (self.interactions.get(&id)).is_some_and(
            |found| matches!(found.state, State::Parked { until, .. } if until <= now),
        );
        if due {
            self.unpark(now, id);
        }
    }

    /// Keeps an interaction for an agent who has had it, for as long as its queue does that.
    pub(super) fn keep_for(&mut self, now: Timestamp, agent: &AgentId, id: InteractionId) {
        let keep = (self.interactions.get(&id))
            .and_then(|found| self.queues.get(&found.queue))
            .and_then(|queue| queue.settings.kept_until(now));
        let preferred = keep.map(|until| Preferred {
            agent: agent.clone(),
            until,
        });
        self.change(id, now, |found| found.preferred = preferred);
    }

    /// A parked interaction comes back: into its agent's hands if they are free, else into the
    /// line of its queue. Anything else is left as it is.
    pub(super) fn unpark(&mut self, now: Timestamp, id: InteractionId) {
        let Some(State::Parked { agent, .. }) =
            self.interactions.get(&id).map(|found| found.state.clone())
        else {
            return;
        };
        if self.is_free(now, &agent) {
            self.let_go(&agent, id);
            self.assign(now, &agent, id, AssignCause::Resumed);
        } else {
            self.keep_for(now, &agent, id);
            self.give_back(now, &agent, id, UnassignReason::Requeued);
        }
        self.touch(&agent, PresenceCause::Resume);
    }
}
