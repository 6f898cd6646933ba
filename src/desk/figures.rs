//! Figures: what was done in a day, by a queue and by an agent.
//!
//! They are sums over the changes of interactions and of what agents are shown as, so counting
//! anew from the events gives the same. The desk holds none: it hands out what is to be added. A
//! letter that only arrived adds nothing yet, so filing one costs nothing here: it is counted, for
//! the day on which it came, when it is first accepted or put away.

use std::collections::BTreeMap;
use std::ops::AddAssign;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::service::Goal;
use super::zone::{Day, Zone, by_day};
use super::{AgentState, Change, Interaction, QueueSettings, State};
use crate::id::{AgentId, QueueId};
use crate::time::Timestamp;

/// How often something promised was kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// In time.
    pub met: u64,
    /// Too late.
    pub late: u64,
    /// Never, and the time was over: it was put away before.
    pub lost: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, more: Self) {
        self.met += more.met;
        self.late += more.late;
        self.lost += more.lost;
    }
}

/// A day of a queue, in the time zone of its hours. An interaction counts in the queue that it is
/// in when something happens to it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueFigure {
    /// Interactions that arrived, and were accepted or put away since.
    pub received: u64,
    /// Accepted for the first time.
    pub accepted: u64,
    /// Answered for the first time.
    pub answered: u64,
    /// Closed.
    pub closed: u64,
    /// Put away without having been accepted.
    pub put_away: u64,
    /// Offers that were rejected.
    pub rejected: u64,
    /// Offers that were missed.
    pub missed: u64,
    /// Waits until the first acceptance, in open hours, together; in milliseconds.
    pub waited_ms: u64,
    /// Time in agents' hands, in milliseconds.
    pub handled_ms: u64,
    /// Post-processing, in milliseconds.
    pub wrapped_ms: u64,
    /// Acceptance in time.
    pub accept: Tally,
    /// Answers in time.
    pub answer: Tally,
    /// Closed in time.
    pub close: Tally,
}

impl QueueFigure {
    /// The tally of a goal.
    #[must_use]
    pub const fn tally(&self, goal: Goal) -> Tally {
        match goal {
            Goal::Accept => self.accept,
            Goal::Answer => self.answer,
            Goal::Close => self.close,
        }
    }

    const fn tally_mut(&mut self, goal: Goal) -> &mut Tally {
        match goal {
            Goal::Accept => &mut self.accept,
            Goal::Answer => &mut self.answer,
            Goal::Close => &mut self.close,
        }
    }
}

impl AddAssign for QueueFigure {
    fn add_assign(&mut self, more: Self) {
        self.received += more.received;
        self.accepted += more.accepted;
        self.answered += more.answered;
        self.closed += more.closed;
        self.put_away += more.put_away;
        self.rejected += more.rejected;
        self.missed += more.missed;
        self.waited_ms += more.waited_ms;
        self.handled_ms += more.handled_ms;
        self.wrapped_ms += more.wrapped_ms;
        self.accept += more.accept;
        self.answer += more.answer;
        self.close += more.close;
    }
}

/// A day of an agent, in the time zone of the gateway.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentFigure {
    /// Interactions that came into the agent's hands for the first time of anybody's.
    pub accepted: u64,
    /// Interactions that the agent was the first to answer.
    pub answered: u64,
    /// Interactions that the agent closed.
    pub closed: u64,
    /// Offers that the agent rejected.
    pub rejected: u64,
    /// Offers that the agent missed.
    pub missed: u64,
    /// Time of interactions in the agent's hands, in milliseconds; several at once count each.
    pub handled_ms: u64,
    /// Post-processing of interactions, in milliseconds; likewise.
    pub wrapped_ms: u64,
    /// Shown as Available, in milliseconds.
    pub available_ms: u64,
    /// Shown as Busy, in milliseconds.
    pub busy_ms: u64,
    /// Shown as in post-processing, in milliseconds.
    pub wrap_up_ms: u64,
    /// Shown as Work Offline, in milliseconds.
    pub offline_ms: u64,
}

impl AddAssign for AgentFigure {
    fn add_assign(&mut self, more: Self) {
        self.accepted += more.accepted;
        self.answered += more.answered;
        self.closed += more.closed;
        self.rejected += more.rejected;
        self.missed += more.missed;
        self.handled_ms += more.handled_ms;
        self.wrapped_ms += more.wrapped_ms;
        self.available_ms += more.available_ms;
        self.busy_ms += more.busy_ms;
        self.wrap_up_ms += more.wrap_up_ms;
        self.offline_ms += more.offline_ms;
    }
}

/// What is to be added, by whose day.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Additions {
    /// To days of queues.
    pub queues: BTreeMap<(QueueId, Day), QueueFigure>,
    /// To days of agents.
    pub agents: BTreeMap<(AgentId, Day), AgentFigure>,
}

/// What of an interaction says what a change means for the figures.
#[derive(Debug, Clone)]
pub struct Before {
    queue: QueueId,
    state: State,
    accepted: bool,
    answered: bool,
}

impl Before {
    /// Of an interaction as it is.
    #[must_use]
    pub fn of(found: &Interaction) -> Self {
        Self {
            queue: found.queue.clone(),
            state: found.state.clone(),
            accepted: found.accepted.is_some(),
            answered: found.answered.is_some(),
        }
    }
}

/// Longest time that is told apart by days: whoever was shown as one thing for longer was not there
/// to see it.
const DAYS_MAX: usize = 400;

impl Additions {
    /// As records to be written.
    pub(super) fn changes(self) -> impl Iterator<Item = Change> {
        let queues = (self.queues.into_iter())
            .map(|((queue, day), figure)| Change::QueueFigured(queue, day, Box::new(figure)));
        let agents = (self.agents.into_iter())
            .map(|((agent, day), figure)| Change::AgentFigured(agent, day, Box::new(figure)));
        queues.chain(agents)
    }

    fn queue(&mut self, id: &QueueId, day: Day) -> &mut QueueFigure {
        self.queues.entry((id.clone(), day)).or_default()
    }

    fn agent(&mut self, id: &AgentId, day: Day) -> &mut AgentFigure {
        self.agents.entry((id.clone(), day)).or_default()
    }

    /// An interaction changed. `settings` are its queue's, `zone` is the agents'.
    pub fn interaction(
        &mut self,
        now: Timestamp,
        before: &Before,
        after: &Interaction,
        settings: &QueueSettings,
        zone: &Zone,
    ) {
        let day = settings.zone.day(now);
        let agents_day = zone.day(now);
        self.time_in_hands(now, before, after, (day, agents_day));
        let agent = after.state.holder().or(match &after.state {
            State::Closed { agent, .. } => Some(agent),
            _ => None,
        });
        if !before.accepted && after.accepted.is_some() {
            let arrived = settings.zone.day(after.arrived);
            self.queue(&after.queue, arrived).received += 1;
            let queue = self.queue(&after.queue, day);
            queue.accepted += 1;
            queue.waited_ms += millis(settings.waited(after.arrived, now));
            if let Some(agent) = agent {
                self.agent(agent, agents_day).accepted += 1;
            }
            self.reached(now, after, Goal::Accept, settings);
        }
        if !before.answered && after.answered.is_some() {
            self.queue(&after.queue, day).answered += 1;
            if let Some(agent) = agent {
                self.agent(agent, agents_day).answered += 1;
            }
            self.reached(now, after, Goal::Answer, settings);
        }
        if before.state.is_final() || !after.state.is_final() || after.is_half() {
            return;
        }
        if let State::Closed { agent, .. } = &after.state {
            self.queue(&after.queue, day).closed += 1;
            self.agent(agent, agents_day).closed += 1;
            self.reached(now, after, Goal::Close, settings);
        } else {
            if after.accepted.is_none() {
                let arrived = settings.zone.day(after.arrived);
                self.queue(&after.queue, arrived).received += 1;
                self.queue(&after.queue, day).put_away += 1;
            }
            for goal in Goal::ALL {
                let late = settings
                    .promised(after, goal)
                    .is_some_and(|(_, due)| due < now);
                if late && after.reached(goal).is_none() {
                    self.queue(&after.queue, day).tally_mut(goal).lost += 1;
                }
            }
        }
    }

    /// A goal was reached, in time or not. What is not promised is not counted.
    fn reached(
        &mut self,
        now: Timestamp,
        after: &Interaction,
        goal: Goal,
        settings: &QueueSettings,
    ) {
        if settings.service.within(goal).is_none() {
            return;
        }
        let due = settings.promised(after, goal).map(|(_, due)| due);
        let queue = self.queue(&after.queue, settings.zone.day(now));
        let tally = queue.tally_mut(goal);
        if due.is_none_or(|due| now <= due) {
            tally.met += 1;
        } else {
            tally.late += 1;
        }
    }

    /// What was handled or wrapped up and no longer is.
    fn time_in_hands(
        &mut self,
        now: Timestamp,
        before: &Before,
        after: &Interaction,
        (day, agents_day): (Day, Day),
    ) {
        match (&before.state, &after.state) {
            (State::Active { since, .. }, State::Active { since: same, .. }) if since == same => {}
            (State::Active { agent, since }, _) => {
                let time = millis(now.since(*since));
                self.queue(&before.queue, day).handled_ms += time;
                self.agent(agent, agents_day).handled_ms += time;
            }
            (State::WrappingUp { since, .. }, State::WrappingUp { since: same, .. })
                if since == same => {}
            (State::WrappingUp { agent, since, .. }, _) => {
                let time = millis(now.since(*since));
                self.queue(&before.queue, day).wrapped_ms += time;
                self.agent(agent, agents_day).wrapped_ms += time;
            }
            _ => {}
        }
    }

    /// An offer was rejected, or missed.
    pub fn declined(
        &mut self,
        now: Timestamp,
        (agent, zone): (&AgentId, &Zone),
        settings: &QueueSettings,
        missed: bool,
    ) {
        let (by, of) = (
            self.agents
                .entry((agent.clone(), zone.day(now)))
                .or_default(),
            self.queues
                .entry((settings.id.clone(), settings.zone.day(now)))
                .or_default(),
        );
        if missed {
            by.missed += 1;
            of.missed += 1;
        } else {
            by.rejected += 1;
            of.rejected += 1;
        }
    }

    /// An agent was shown as something for a time. Nobody counts how long they are signed out.
    pub fn shown(
        &mut self,
        (from, to): (Timestamp, Timestamp),
        agent: &AgentId,
        state: AgentState,
        zone: &Zone,
    ) {
        if state == AgentState::SignedOut {
            return;
        }
        for (day, time) in by_day(zone, from, to, DAYS_MAX) {
            let figure = self.agent(agent, day);
            let sum = match state {
                AgentState::SignedOut => continue,
                AgentState::Available => &mut figure.available_ms,
                AgentState::Busy => &mut figure.busy_ms,
                AgentState::WrapUp => &mut figure.wrap_up_ms,
                AgentState::WorkOffline => &mut figure.offline_ms,
            };
            *sum += millis(time);
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
