//! Counting: what a command has changed becomes what it adds to the figures of the day.
//!
//! Everything follows from the records as they were written before and as they are written now,
//! from offers that ended and from what agents were shown as, so counting anew from what was
//! written gives the same. A letter that only arrives adds nothing.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::concluding::Draft;
use super::figures::{Additions, millis};
use super::{
    AgentFigure, Day, Desk, Direction, Goal, Interaction, OfferState, Outcome, QueueSettings,
    State, Zone,
};
use crate::id::{AgentId, QueueId};
use crate::time::Timestamp;

/// What of an interaction says what its next change counts as.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Before {
    queue: QueueId,
    state: State,
    arrived: Timestamp,
    moved: bool,
    accepted: bool,
    answered: bool,
}

impl Before {
    /// Of an interaction as it is.
    pub(super) fn of(found: &Interaction) -> Self {
        Self {
            queue: found.queue.clone(),
            state: found.state.clone(),
            arrived: found.arrived,
            moved: found.entered.is_some(),
            accepted: found.accepted.is_some(),
            answered: found.answered.is_some(),
        }
    }
}

/// Whether nothing has happened to it yet that counts.
const fn is_untouched(state: &State, moved: bool, accepted: bool) -> bool {
    matches!(state, State::Queued | State::Offered { .. }) && !moved && !accepted
}

impl State {
    /// In whose hands it is being handled or written, and since when.
    const fn in_hand(&self) -> Option<(&AgentId, Timestamp)> {
        match self {
            Self::Active { agent, since } | Self::Drafting { agent, since } => {
                Some((agent, *since))
            }
            Self::Queued
            | Self::Offered { .. }
            | Self::WrappingUp { .. }
            | Self::Closed { .. }
            | Self::Held { .. }
            | Self::Filed { .. }
            | Self::Parked { .. }
            | Self::Cancelled { .. } => None,
        }
    }

    /// Who is wrapping it up, and since when.
    const fn in_wrap_up(&self) -> Option<(&AgentId, Timestamp)> {
        match self {
            Self::WrappingUp { agent, since, .. } => Some((agent, *since)),
            _ => None,
        }
    }
}

impl Interaction {
    /// Whether it has arrived and nothing has happened to it yet that counts.
    #[must_use]
    pub const fn is_untouched(&self) -> bool {
        is_untouched(&self.state, self.entered.is_some(), self.accepted.is_some())
    }
}

impl Desk {
    /// The time zone in which the days of a queue are counted.
    #[must_use]
    pub fn zone(&self, queue: &QueueId) -> &Zone {
        let hours = (self.queues.get(queue)).and_then(|queue| queue.settings.hours.as_ref());
        hours.map_or(&self.policy.house.zone, |hours| hours.zone())
    }

    /// What a command adds to the figures.
    pub(super) fn count(&self, now: Timestamp, draft: &Draft) -> Additions {
        let mut sums = Additions::default();
        let zone = &self.policy.house.zone;
        let agents_day = zone.day(now);
        for (id, before) in &draft.befores {
            let after = (self.interactions.get(id)).or_else(|| draft.closed.get(id));
            if let Some(after) = after {
                self.count_change(&mut sums, now, before, after);
            }
        }
        for offer in draft.offers.iter().filter_map(|id| self.offers.get(id)) {
            let day = self.zone(&offer.queue).day(now);
            match offer.state {
                OfferState::Rejected(_) => {
                    sums.queue(day, &offer.queue).rejected += 1;
                    sums.agent(agents_day, &offer.agent).rejected += 1;
                }
                OfferState::Missed => {
                    sums.queue(day, &offer.queue).missed += 1;
                    sums.agent(agents_day, &offer.agent).missed += 1;
                }
                OfferState::Pending
                | OfferState::Shown
                | OfferState::Accepted
                | OfferState::Undelivered
                | OfferState::Rescinded(_) => {}
            }
        }
        for (agent, state, since) in &draft.shown {
            sums.shown(agent, *state, (*since, now), zone);
        }
        sums
    }

    fn count_change(
        &self,
        sums: &mut Additions,
        now: Timestamp,
        before: &Before,
        after: &Interaction,
    ) {
        let agents_day = self.policy.house.zone.day(now);
        let left_day = self.zone(&before.queue).day(now);
        let day = self.zone(&after.queue).day(now);
        let rules = self.queues.get(&after.queue).map(|queue| &queue.settings);
        if before.state.in_wrap_up() != after.state.in_wrap_up()
            && let Some((agent, since)) = before.state.in_wrap_up()
        {
            let time = millis(now.since(since));
            sums.queue(left_day, &before.queue).wrapped_ms += time;
            sums.agent(agents_day, agent).wrapped_ms += time;
        }
        if after.is_half() {
            // The rest of it counts with the half that goes on.
            return;
        }
        if before.state.in_hand() != after.state.in_hand()
            && let Some((agent, since)) = before.state.in_hand()
        {
            let time = millis(now.since(since));
            sums.queue(left_day, &before.queue).handled_ms += time;
            let figure = sums.agent(agents_day, agent);
            figure.handled_ms += time;
            let finished = matches!(after.state, State::WrappingUp { .. } | State::Closed { .. });
            figure.handled += u64::from(finished);
            if finished && after.outcome == Some(Outcome::Sent) {
                figure.sent += 1;
                sums.queue(day, &after.queue).sent += 1;
            }
        }
        if after.direction == Direction::Outbound {
            return;
        }
        if let State::Active { agent, .. } = &after.state
            && before.state.owner() != Some(agent)
        {
            sums.agent(agents_day, agent).accepted += 1;
        }
        if is_untouched(&before.state, before.moved, before.accepted) && !after.is_untouched() {
            let arrived = self.zone(&before.queue).day(before.arrived);
            sums.queue(arrived, &before.queue).received += 1;
        }
        if before.queue != after.queue {
            sums.queue(left_day, &before.queue).moved_out += 1;
            sums.queue(day, &after.queue).moved_in += 1;
        }
        if !before.accepted && after.accepted.is_some() {
            let waited = rules.map(|rules| millis(rules.waited(after.arrived, now)));
            let waited = waited.unwrap_or_default();
            let queue = sums.queue(day, &after.queue);
            queue.accepted += 1;
            queue.waited_ms = queue.waited_ms.saturating_add(waited);
            queue.wait_max_ms = queue.wait_max_ms.max(waited);
        }
        if !before.answered && after.answered.is_some() {
            sums.queue(day, &after.queue).answered += 1;
            if let Some(agent) = before.state.holder() {
                sums.agent(agents_day, agent).answered += 1;
            }
        }
        let ends = after.state.is_final() && !before.state.is_final();
        let was_work = !matches!(before.state, State::Held { .. });
        if ends && was_work {
            let queue = sums.queue(day, &after.queue);
            match (&after.state, after.accepted) {
                (State::Closed { .. }, _) => queue.closed += 1,
                (_, Some(_)) => queue.dropped += 1,
                (_, None) => queue.abandoned += 1,
            }
        }
        if let Some(rules) = rules.filter(|_| was_work) {
            count_goals(sums, now, (before, after), (day, rules));
        }
    }

    /// Work that arrived on these days and to which nothing has happened yet that counts: what is
    /// still to be added to [`super::QueueFigure::received`].
    #[must_use]
    pub fn untouched(&self, days: &RangeInclusive<Day>) -> BTreeMap<(Day, QueueId), u64> {
        let mut found: BTreeMap<(Day, QueueId), u64> = BTreeMap::new();
        // No zone is further from UTC than a day.
        let utc = Zone::default();
        let (first, last) = (days.start().before(), days.end().next().next());
        let (first, last) = (utc.begin(first), utc.begin(last));
        for waits in self.interactions.values() {
            if !waits.is_untouched() || !(first..=last).contains(&waits.arrived) {
                continue;
            }
            let day = self.zone(&waits.queue).day(waits.arrived);
            if days.contains(&day) {
                *found.entry((day, waits.queue.clone())).or_default() += 1;
            }
        }
        found
    }

    /// What agents have been shown as since that last changed: what is still to be added to their
    /// figures.
    #[must_use]
    pub fn running(&self, now: Timestamp) -> BTreeMap<(Day, AgentId), AgentFigure> {
        let mut sums = Additions::default();
        for (id, agent) in &self.agents {
            if let Some(state) = self.shown.get(id) {
                sums.shown(id, *state, (agent.since, now), &self.policy.house.zone);
            }
        }
        sums.into_agents()
    }
}

/// What was promised and is now reached, in time or not, or can no longer be.
fn count_goals(
    sums: &mut Additions,
    now: Timestamp,
    (before, after): (&Before, &Interaction),
    (day, rules): (Day, &QueueSettings),
) {
    let ends = after.state.is_final() && !before.state.is_final();
    for goal in Goal::ALL {
        let had = match goal {
            Goal::Accept => before.accepted,
            Goal::Answer => before.answered,
            Goal::Close => before.state.is_final(),
        };
        let reached = after.reached(goal).is_some();
        if had || !(reached || ends) {
            continue;
        }
        let Some((_, due)) = rules.promised(after, goal) else {
            continue;
        };
        let late = due < now;
        let tally = sums.queue(day, &after.queue).tally_mut(goal);
        match (reached, late) {
            (true, false) => tally.met += 1,
            (true, true) => tally.late += 1,
            (false, true) => tally.lost += 1,
            (false, false) => {}
        }
    }
}
