//! Figures: what was done in a day, in a queue and by an agent. What adds to them is decided in
//! `counting`.

use std::collections::BTreeMap;
use std::ops::AddAssign;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::zone::{Day, Zone};
use super::{AgentState, Change, Goal};
use crate::id::{AgentId, QueueId};
use crate::time::Timestamp;

/// How often something promised was kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Reached in time.
    pub met: u64,
    /// Reached too late.
    pub late: u64,
    /// Never reached: its time was over when it was put away, or closed without.
    pub lost: u64,
}

impl Tally {
    /// The share that was met of what reached the goal, in per cent; what was put away does not
    /// count. `None` if nothing reached it.
    #[must_use]
    pub fn of_reached(&self) -> Option<f64> {
        share(self.met, self.met.saturating_add(self.late))
    }

    /// The share that was met of all that came to the end of its time or reached the goal before:
    /// what was put away after the threshold counts against it, what was put away before does not
    /// count. `None` if there was none.
    #[must_use]
    pub fn of_due(&self) -> Option<f64> {
        let reached = self.met.saturating_add(self.late);
        share(self.met, reached.saturating_add(self.lost))
    }
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 * 100.0 / whole as f64)
}

/// A day of a queue, in the time zone of its hours, or of the gateway if it has none. What happens
/// counts in the queue in which it happens, on the day on which it happens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueFigure {
    /// Work that arrived on that day. Kept from when it is first accepted, moved or put away, so
    /// that a letter that arrives writes nothing; what still waits is added by
    /// [`super::Desk::untouched`].
    pub received: u64,
    /// Accepted for the first time by anybody.
    pub accepted: u64,
    /// Answered for the first time. An answer that came back and is given again counts again.
    pub answered: u64,
    /// Closed. What an agent began counts in [`Self::sent`] only.
    pub closed: u64,
    /// Put away, cancelled or dismissed, without having been accepted.
    pub abandoned: u64,
    /// Put away after it was accepted.
    pub dropped: u64,
    /// Mails that agents began and sent.
    pub sent: u64,
    /// Offers that were rejected.
    pub rejected: u64,
    /// Offers that were missed.
    pub missed: u64,
    /// What came from other queues: transferred, moved by a supervisor, or overflowed.
    pub moved_in: u64,
    /// What went to other queues in these ways.
    pub moved_out: u64,
    /// Waits from arrival to the first acceptance, in the open hours of the accepting queue,
    /// together; in milliseconds.
    pub waited_ms: u64,
    /// The longest of these waits, in milliseconds.
    pub wait_max_ms: u64,
    /// Time in agents' hands, on the day on which it left them, in milliseconds.
    pub handled_ms: u64,
    /// Post-processing, on the day on which it ended, in milliseconds.
    pub wrapped_ms: u64,
    /// Acceptance in time.
    pub accept: Tally,
    /// Answers in time.
    pub answer: Tally,
    /// Closing in time.
    pub close: Tally,
}

impl QueueFigure {
    /// How often a goal was reached in time. Zeros where nothing is promised.
    #[must_use]
    pub const fn tally(&self, goal: Goal) -> Tally {
        match goal {
            Goal::Accept => self.accept,
            Goal::Answer => self.answer,
            Goal::Close => self.close,
        }
    }

    pub(super) const fn tally_mut(&mut self, goal: Goal) -> &mut Tally {
        match goal {
            Goal::Accept => &mut self.accept,
            Goal::Answer => &mut self.answer,
            Goal::Close => &mut self.close,
        }
    }
}

/// A day of an agent, in the time zone of the gateway.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentFigure {
    /// Work that the agent took: accepted, pulled, or given to them by a supervisor.
    pub accepted: u64,
    /// Work that the agent finished handling: replied, forwarded, sent or ended.
    pub handled: u64,
    /// Work that the agent was the first to answer.
    pub answered: u64,
    /// Mails that the agent began and sent.
    pub sent: u64,
    /// Offers that the agent rejected.
    pub rejected: u64,
    /// Offers that the agent missed.
    pub missed: u64,
    /// Time of work in the agent's hands, on the day on which it left them, in milliseconds;
    /// several at once count each.
    pub handled_ms: u64,
    /// Post-processing, on the day on which it ended, in milliseconds; likewise.
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

impl AgentFigure {
    /// The time in which the agent was shown as something; `None` for signed out, which nobody
    /// counts.
    pub(super) const fn shown_mut(&mut self, state: AgentState) -> Option<&mut u64> {
        match state {
            AgentState::SignedOut => None,
            AgentState::Available => Some(&mut self.available_ms),
            AgentState::Busy => Some(&mut self.busy_ms),
            AgentState::WrapUp => Some(&mut self.wrap_up_ms),
            AgentState::WorkOffline => Some(&mut self.offline_ms),
        }
    }
}

/// Adds field by field; a sum that would be too large stays the largest there is.
macro_rules! adds_up {
    ($figure:ty: $($sum:ident)*; $($max:ident)*; $($nested:ident)*) => {
        impl AddAssign for $figure {
            fn add_assign(&mut self, more: Self) {
                $(self.$sum = self.$sum.saturating_add(more.$sum);)*
                $(self.$max = self.$max.max(more.$max);)*
                $(self.$nested += more.$nested;)*
            }
        }
    };
}

adds_up!(Tally: met late lost;;);
adds_up!(
    QueueFigure: received accepted answered closed abandoned dropped sent rejected missed moved_in
        moved_out waited_ms handled_ms wrapped_ms; wait_max_ms; accept answer close
);
adds_up!(
    AgentFigure: accepted handled answered sent rejected missed handled_ms wrapped_ms available_ms
        busy_ms wrap_up_ms offline_ms;;
);

/// What is to be added, by the day and by whose it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Additions {
    queues: BTreeMap<(Day, QueueId), QueueFigure>,
    agents: BTreeMap<(Day, AgentId), AgentFigure>,
}

impl Additions {
    pub(super) fn queue(&mut self, day: Day, id: &QueueId) -> &mut QueueFigure {
        self.queues.entry((day, id.clone())).or_default()
    }

    pub(super) fn agent(&mut self, day: Day, id: &AgentId) -> &mut AgentFigure {
        self.agents.entry((day, id.clone())).or_default()
    }

    /// An agent was shown as something for a time, which is shared out among its days.
    pub(super) fn shown(
        &mut self,
        id: &AgentId,
        state: AgentState,
        (from, to): (Timestamp, Timestamp),
        zone: &Zone,
    ) {
        if state == AgentState::SignedOut {
            return;
        }
        for (day, time) in by_day(zone, from, to) {
            if let Some(sum) = self.agent(day, id).shown_mut(state) {
                *sum = sum.saturating_add(millis(time));
            }
        }
    }

    /// As what is written. What adds nothing is left out.
    pub(super) fn changes(self) -> impl Iterator<Item = Change> {
        let queues = (self.queues.into_iter())
            .filter(|(_, more)| *more != QueueFigure::default())
            .map(|((day, id), more)| Change::QueueFigured(day, id, Box::new(more)));
        let agents = (self.agents.into_iter())
            .filter(|(_, more)| *more != AgentFigure::default())
            .map(|((day, id), more)| Change::AgentFigured(day, id, Box::new(more)));
        queues.chain(agents)
    }

    /// The agents' part.
    pub(super) fn into_agents(self) -> BTreeMap<(Day, AgentId), AgentFigure> {
        self.agents
    }
}

/// Longest time that is shared out among its days; of a longer one the last part. Days before it
/// are not kept by default, and nobody was there to see them.
const SHARED_MAX: Duration = Duration::from_secs(400 * 86_400);

/// The parts of a time that lie in each day, in order. A day begins when the clock first shows its
/// midnight, and ends when it first shows the next.
fn by_day(
    zone: &Zone,
    from: Timestamp,
    to: Timestamp,
) -> impl Iterator<Item = (Day, Duration)> + '_ {
    let mut begin = from.max(to - SHARED_MAX);
    std::iter::from_fn(move || {
        if begin >= to {
            return None;
        }
        let mut day = zone.day(begin);
        if zone.begin(day.next()) <= begin {
            // A clock that goes back over midnight shows the day before once more.
            day = day.next();
        }
        let end = zone.begin(day.next()).min(to);
        // After the last day there is nothing to tell apart.
        let end = if end > begin { end } else { to };
        let part = (day, end.since(begin));
        begin = end;
        Some(part)
    })
}

pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        let moment: jiff::Timestamp = text.parse().unwrap();
        Timestamp::from_millis(moment.as_millisecond().unsigned_abs())
    }

    #[test]
    fn both_formulas() {
        for ((met, late, lost), reached, due) in [
            ((0, 0, 0), None, None),
            ((4, 0, 0), Some(100.0), Some(100.0)),
            ((3, 1, 0), Some(75.0), Some(75.0)),
            // What was put away too late counts in the second only.
            ((3, 1, 2), Some(75.0), Some(50.0)),
            ((0, 0, 5), None, Some(0.0)),
            ((0, 2, 0), Some(0.0), Some(0.0)),
            (
                (1, u64::MAX, u64::MAX),
                Some(100.0 / u64::MAX as f64),
                Some(100.0 / u64::MAX as f64),
            ),
        ] {
            let tally = Tally { met, late, lost };
            assert_eq!((tally.of_reached(), tally.of_due()), (reached, due));
        }
    }

    #[test]
    fn figures_add_up_and_the_longest_wait_stays_one() {
        let one = QueueFigure {
            received: 1,
            waited_ms: 5,
            wait_max_ms: 5,
            close: Tally {
                met: 1,
                late: 2,
                lost: u64::MAX,
            },
            ..QueueFigure::default()
        };
        let mut sum = one;
        sum += QueueFigure {
            wait_max_ms: 3,
            waited_ms: 3,
            ..one
        };
        assert_eq!((sum.received, sum.waited_ms, sum.wait_max_ms), (2, 8, 5));
        assert_eq!((sum.close.late, sum.close.lost), (4, u64::MAX));
    }

    #[test]
    fn a_time_is_shared_out_among_its_days() {
        for (zone, from, to, parts) in [
            (
                "UTC",
                "2026-11-25T12:00:00Z",
                "2026-11-25T12:00:00Z",
                &[][..],
            ),
            ("UTC", "2026-11-25T12:00:00Z", "2026-11-24T12:00:00Z", &[]),
            (
                "UTC",
                "2026-11-25T12:00:00Z",
                "2026-11-25T13:00:00Z",
                &[("2026-11-25", 3600)],
            ),
            (
                "UTC",
                "2026-11-25T23:00:00Z",
                "2026-11-27T00:00:01Z",
                &[
                    ("2026-11-25", 3600),
                    ("2026-11-26", 86_400),
                    ("2026-11-27", 1),
                ],
            ),
            // The hour that is left out in spring, and the one that comes twice in autumn.
            (
                "Europe/Berlin",
                "2026-03-28T22:30:00Z",
                "2026-03-29T22:30:00Z",
                &[
                    ("2026-03-28", 1800),
                    ("2026-03-29", 23 * 3600),
                    ("2026-03-30", 1800),
                ],
            ),
            (
                "Europe/Berlin",
                "2026-10-24T22:00:00Z",
                "2026-10-25T23:00:00Z",
                &[("2026-10-25", 25 * 3600)],
            ),
            // A whole day that was left out.
            (
                "Pacific/Apia",
                "2011-12-30T09:00:00Z",
                "2011-12-30T11:00:00Z",
                &[("2011-12-29", 3600), ("2011-12-31", 3600)],
            ),
            // Back over midnight: 00:01 became 23:01 again.
            (
                "America/St_Johns",
                "2010-11-07T02:00:00Z",
                "2010-11-07T04:00:00Z",
                &[("2010-11-06", 1800), ("2010-11-07", 5400)],
            ),
        ] {
            let zone: Zone = zone.parse().unwrap();
            let found: Vec<_> = by_day(&zone, at(from), at(to))
                .map(|(day, time)| (day.to_string(), time.as_secs()))
                .collect();
            let found: Vec<_> = found
                .iter()
                .map(|(day, time)| (day.as_str(), *time))
                .collect();
            assert_eq!(found, parts, "{from} {to}");
        }
    }

    /// However a time is cut, its parts have the same days together.
    #[test]
    fn shares_are_additive() {
        let first = at("2010-11-05T00:00:00Z");
        for zone in [
            "UTC",
            "America/St_Johns",
            "Pacific/Apia",
            "America/Sao_Paulo",
        ] {
            let zone: Zone = zone.parse().unwrap();
            let share = |from, to| {
                let mut days: BTreeMap<Day, Duration> = BTreeMap::new();
                by_day(&zone, from, to)
                    .for_each(|(day, time)| *days.entry(day).or_default() += time);
                days
            };
            for cut in 0..500_u64 {
                let mid = first + Duration::from_secs(cut * 677);
                let end = first + Duration::from_secs(500 * 677);
                let mut parts = share(first, mid);
                share(mid, end)
                    .into_iter()
                    .for_each(|(day, time)| *parts.entry(day).or_default() += time);
                assert_eq!(parts, share(first, end), "{mid}");
            }
        }
    }

    #[test]
    fn absurd_times_end() {
        for zone in ["UTC", "Pacific/Kiritimati", "Asia/Kathmandu"] {
            let zone: Zone = zone.parse().unwrap();
            for to in [
                Timestamp::MAX,
                Timestamp::ZERO + Duration::from_secs(1 << 40),
            ] {
                let parts = by_day(&zone, Timestamp::ZERO, to).count();
                assert!(parts <= 402, "{parts}");
            }
        }
    }
}
