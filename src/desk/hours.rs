//! Opening hours: when a queue offers what waits in it, and how much of a wait counts.
//!
//! A week of ranges in one time zone, and days that differ from it. Everything follows from the
//! arguments; who looks when is `opening`'s.

use std::collections::BTreeMap;
use std::time::Duration;

use super::zone::{DAY_MINUTES, Day, Zone};
use crate::time::Timestamp;

/// A part of a day, in minutes after midnight: from the first, up to the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    from: u16,
    to: u16,
}

impl Span {
    /// `None` if it ends before it begins, lasts no time, or goes beyond the day.
    #[must_use]
    pub const fn new(from: u16, to: u16) -> Option<Self> {
        if from < to && to <= DAY_MINUTES {
            Some(Self { from, to })
        } else {
            None
        }
    }

    /// Whether the two have a minute in common.
    #[must_use]
    pub const fn overlaps(self, other: Self) -> bool {
        self.from < other.to && other.from < self.to
    }
}

/// When a queue is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hours {
    zone: Zone,
    week: [Vec<Span>; 7],
    special: BTreeMap<Day, Vec<Span>>,
}

/// How many days ahead is looked for a change: more than a year, so that what opens once a year is
/// found. Who finds none looks again then.
const DAYS_AHEAD: u32 = 400;

/// After what time the hours are looked at again if no change is near.
pub(super) const LOOK_AGAIN: Duration = Duration::from_secs(DAYS_AHEAD as u64 * 86_400);

impl Hours {
    /// Hours of a week, Monday first, and of days that are not like the week; a day without spans
    /// is closed.
    #[must_use]
    pub fn new(
        zone: Zone,
        mut week: [Vec<Span>; 7],
        mut special: BTreeMap<Day, Vec<Span>>,
    ) -> Self {
        for spans in week.iter_mut().chain(special.values_mut()) {
            spans.sort_unstable();
        }
        Self {
            zone,
            week,
            special,
        }
    }

    /// The time zone.
    #[must_use]
    pub const fn zone(&self) -> &Zone {
        &self.zone
    }

    /// Whether it is open. At the moment of closing it no longer is.
    #[must_use]
    pub fn is_open(&self, at: Timestamp) -> bool {
        let day = self.zone.day(at);
        // The neighbours too: a clock can go back over midnight.
        [day.before(), day, day.next()]
            .into_iter()
            .any(|day| (self.spans(day)).any(|(from, to)| from <= at && at < to))
    }

    /// When it next opens, or closes if it is open; `None` if not within the next year.
    #[must_use]
    pub fn next_change(&self, at: Timestamp) -> Option<Timestamp> {
        let mut spans = self.after(at).filter(|(_, to)| *to > at);
        let (from, mut end) = spans.next()?;
        if from > at {
            return Some(from);
        }
        for (from, to) in spans {
            if from > end {
                return Some(end);
            }
            end = end.max(to);
        }
        // Open for as long as anybody looks, if the last day reaches up to its end.
        let last = self.zone.begin(self.zone.day(at).next());
        (end < last + LOOK_AGAIN - Duration::from_secs(2 * 86_400)).then_some(end)
    }

    /// How much of a time it is open.
    #[must_use]
    pub fn open_between(&self, from: Timestamp, to: Timestamp) -> Duration {
        let (mut day, last) = (self.zone.day(from).before(), self.zone.day(to).next());
        let mut sum = Duration::ZERO;
        while day <= last {
            for (opens, closes) in self.spans(day) {
                sum += closes.min(to).since(opens.max(from));
            }
            if day == Day::MAX {
                break;
            }
            day = day.next();
        }
        sum
    }

    /// When it will have been open for so long; `None` if not within the next year.
    #[must_use]
    pub fn when_open_for(&self, from: Timestamp, time: Duration) -> Option<Timestamp> {
        let mut left = time;
        for (opens, closes) in self.after(from) {
            let begin = opens.max(from);
            let part = closes.since(begin);
            if part >= left && closes > begin {
                return Some(begin + left);
            }
            left = left.saturating_sub(part);
        }
        None
    }

    /// The open spans of the days around a moment and after it, in order.
    fn after(&self, at: Timestamp) -> impl Iterator<Item = (Timestamp, Timestamp)> + '_ {
        let first = self.zone.day(at).before().number();
        let days = (first..first + DAYS_AHEAD).map(Day::from_number);
        days.flat_map(|day| self.spans(day))
    }

    /// The open spans of a day, as moments.
    fn spans(&self, day: Day) -> impl Iterator<Item = (Timestamp, Timestamp)> + '_ {
        let usual = self.week.get(day.weekday()).map(Vec::as_slice);
        let spans = (self.special.get(&day).map(Vec::as_slice)).or(usual);
        let spans = spans.unwrap_or_default().iter();
        spans
            .map(move |span| (self.zone.at(day, span.from), self.zone.at(day, span.to)))
            // What the clock skips lasts no time.
            .filter(|(from, to)| from < to)
    }
}

#[cfg(test)]
mod tests;
