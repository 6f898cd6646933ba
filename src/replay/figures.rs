//! Figures: how long what arrived had to wait, and which promises were kept.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Rules;
use super::floor::{Course, Played};
use super::recording::{Arrival, Recording};
use crate::desk::QueueSettings;
use crate::desk::service::Goal;
use crate::id::QueueId;
use crate::time::Timestamp;

/// How far a promise was kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Level {
    /// How soon it was to be; `None` if not the same for all.
    pub within: Option<Duration>,
    /// How many reached it in time.
    pub in_time: usize,
    /// How many reached it.
    pub reached: usize,
    /// How many reached it or are late. The others have time left.
    pub due: usize,
}

/// What the arrivals of one queue, or of all, had to expect.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Figures {
    /// How many arrived.
    pub received: usize,
    /// How many were accepted.
    pub accepted: usize,
    /// How many were closed.
    pub closed: usize,
    /// How long half of them waited at most; what was not accepted, up to the end.
    pub median: Option<Duration>,
    /// How long nine in ten waited at most.
    pub most: Option<Duration>,
    /// The longest wait.
    pub longest: Option<Duration>,
    /// What was promised.
    pub levels: BTreeMap<Goal, Level>,
    waits: Vec<Duration>,
}

impl Figures {
    fn count(
        &mut self,
        arrival: &Arrival,
        course: Course,
        settings: Option<&QueueSettings>,
        until: Timestamp,
    ) {
        self.received += 1;
        self.accepted += usize::from(course.accepted.is_some());
        self.closed += usize::from(course.closed.is_some());
        let end = course.accepted.unwrap_or(until);
        self.waits.push(end.since(arrival.at));
        for goal in Goal::ALL {
            let reached = match goal {
                Goal::Accept => course.accepted,
                Goal::Answer => course.answered,
                Goal::Close => course.closed,
            };
            let within = settings.and_then(|settings| settings.service.within(goal));
            let Some((settings, within)) = settings.zip(within) else {
                continue;
            };
            let first = !self.levels.contains_key(&goal);
            let level = self.levels.entry(goal).or_default();
            level.within = Some(within).filter(|within| first || level.within == Some(*within));
            // What is promised for later than in a year is not late.
            let end = (settings.when_waited(arrival.at, within)).unwrap_or(Timestamp::MAX);
            match reached {
                Some(at) => {
                    level.reached += 1;
                    level.due += 1;
                    level.in_time += usize::from(at <= end);
                }
                None => level.due += usize::from(end < until),
            }
        }
    }

    fn settle(&mut self) {
        let mut waits = std::mem::take(&mut self.waits);
        waits.sort_unstable();
        // The least wait that so many of a hundred did not exceed.
        let least = |percent: usize| {
            let rank = (waits.len() * percent).div_ceil(100);
            waits.get(rank.checked_sub(1)?).copied()
        };
        self.median = least(50);
        self.most = least(90);
        self.longest = waits.last().copied();
    }
}

impl Recording {
    /// What became of each arrival when it was recorded.
    #[must_use]
    pub fn as_recorded(&self) -> Played {
        let before = |at: Option<Timestamp>| at.filter(|at| *at < self.until);
        let courses = self.arrivals.values().map(|arrival| {
            let course = Course {
                accepted: before(arrival.accepted),
                answered: before(arrival.answered),
                closed: before(arrival.closed),
            };
            (arrival.id, course)
        });
        Played {
            courses: courses.collect(),
            ..Played::default()
        }
    }

    /// The figures by the queue in which each piece of work arrived, and of all queues under
    /// `None`. What had arrived before the recording began is not counted.
    #[must_use]
    pub fn figures(&self, rules: &Rules, played: &Played) -> BTreeMap<Option<QueueId>, Figures> {
        let settings: BTreeMap<&QueueId, &QueueSettings> = (rules.queues.iter())
            .map(|queue| (&queue.id, queue))
            .collect();
        let mut all: BTreeMap<Option<QueueId>, Figures> = BTreeMap::new();
        for arrival in self.received() {
            let course = played.courses.get(&arrival.id).copied().unwrap_or_default();
            let settings = settings.get(&arrival.queue).copied();
            for key in [None, Some(arrival.queue.clone())] {
                let figures = all.entry(key).or_default();
                figures.count(arrival, course, settings, self.until);
            }
        }
        for figures in all.values_mut() {
            figures.settle();
        }
        all
    }
}
