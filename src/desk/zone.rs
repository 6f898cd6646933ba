//! A time zone and its days: what the clock on the wall says at a moment, and the reverse.
//!
//! The rules come with the program and not from the machine, so the same file means the same
//! everywhere. A time of day that the clock skips in spring means the moment of the jump; one that
//! comes twice in autumn means the first.

use std::fmt;
use std::str::FromStr;

use jiff::civil::{DateTime, date};
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};
use serde::{Deserialize, Serialize};

use crate::time::{Timestamp, civil};

/// A day of the calendar, counted from 1970-01-01. Which moments it has depends on the zone.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Day(u32);

impl Day {
    /// The last day that there is: 9999-12-30, from which every zone can look one day ahead.
    pub const MAX: Self = Self(2_932_895);

    /// The day so many days after 1970-01-01, or the last there is.
    #[must_use]
    pub fn from_number(number: u32) -> Self {
        Self(number).min(Self::MAX)
    }

    /// How many days after 1970-01-01 it is.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }

    /// The day after.
    #[must_use]
    pub fn next(self) -> Self {
        Self::from_number(self.0 + 1)
    }

    /// The day before; the first has none and answers itself.
    #[must_use]
    pub const fn before(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    /// The day of the week, 0 for Monday.
    #[must_use]
    pub const fn weekday(self) -> usize {
        // 1970-01-01 was a Thursday.
        (self.0 as usize + 3) % 7
    }
}

impl fmt::Display for Day {
    /// As `2026-12-25`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil(u64::from(self.0));
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

/// A text is no day between 1970 and 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoDay;

impl FromStr for Day {
    type Err = NoDay;

    /// Reads `2026-12-25`, and no other spelling.
    fn from_str(text: &str) -> Result<Self, NoDay> {
        let read: jiff::civil::Date = text.parse().map_err(|_| NoDay)?;
        let since = read.duration_since(date(1970, 1, 1)).as_hours() / 24;
        let day = u32::try_from(since).map_err(|_| NoDay)?;
        let day = Some(Self(day)).filter(|day| *day <= Self::MAX);
        // Other spellings would make two keys of one day.
        day.filter(|day| day.to_string() == text).ok_or(NoDay)
    }
}

/// Minutes of a day: 24 hours.
pub const DAY_MINUTES: u16 = 24 * 60;

/// A time zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone(TimeZone);

/// There is no time zone of that name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoZone;

impl FromStr for Zone {
    type Err = NoZone;

    /// By its name in the tz database, such as `Europe/Berlin` or `UTC`.
    fn from_str(name: &str) -> Result<Self, NoZone> {
        let found = TimeZoneDatabase::bundled().get(name);
        found.map(Self).map_err(|_| NoZone)
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self(TimeZone::UTC)
    }
}

impl Zone {
    /// Its name in the tz database.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// By how many seconds the clock on the wall is ahead of UTC.
    #[must_use]
    pub fn ahead_seconds(&self, at: Timestamp) -> i32 {
        moment(at).map_or(0, |moment| self.0.to_offset(moment).seconds())
    }

    /// The day that the calendar on the wall shows.
    #[must_use]
    pub fn day(&self, at: Timestamp) -> Day {
        let Some(moment) = moment(at) else {
            return Day::MAX;
        };
        let ahead = i64::from(self.0.to_offset(moment).seconds());
        let seconds = moment.as_second().saturating_add(ahead);
        Day::from_number(u32::try_from(seconds.div_euclid(86_400)).unwrap_or(0))
    }

    /// When a day begins.
    #[must_use]
    pub fn begin(&self, day: Day) -> Timestamp {
        self.at(day, 0)
    }

    /// When the clock shows so many minutes after midnight; 1440 is the end of the day.
    #[must_use]
    pub fn at(&self, day: Day, minutes: u16) -> Timestamp {
        let (day, minutes) = if minutes >= DAY_MINUTES {
            (day.next(), 0)
        } else {
            (day, minutes)
        };
        self.found(day, minutes).unwrap_or(Timestamp::MAX)
    }

    fn found(&self, day: Day, minutes: u16) -> Option<Timestamp> {
        let (year, month, day) = civil(u64::from(day.0));
        let wall = DateTime::new(
            i16::try_from(year).ok()?,
            i8::try_from(month).ok()?,
            i8::try_from(day).ok()?,
            i8::try_from(minutes / 60).ok()?,
            i8::try_from(minutes % 60).ok()?,
            0,
            0,
        )
        .ok()?;
        let found = self.0.to_ambiguous_timestamp(wall);
        let skipped = matches!(found.offset(), AmbiguousOffset::Gap { .. });
        let mut moment = found.earlier().ok()?;
        if skipped {
            // This is what the clock would show had it jumped before; the jump is what follows.
            moment = self.0.following(moment).next()?.timestamp();
        }
        let millis = u64::try_from(moment.as_millisecond()).unwrap_or(0);
        Some(Timestamp::from_millis(millis))
    }
}

fn moment(at: Timestamp) -> Option<jiff::Timestamp> {
    let millis = i64::try_from(at.as_millis()).ok()?;
    jiff::Timestamp::from_millisecond(millis).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn zone(name: &str) -> Zone {
        name.parse().unwrap()
    }

    #[test]
    fn days_are_read_in_one_spelling() {
        for text in ["1970-01-01", "2024-02-29", "2026-12-25", "9999-12-30"] {
            assert_eq!(text.parse::<Day>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "2026-12-32",
            "2025-02-29",
            "1969-12-31",
            "9999-12-31",
            "20261225",
            "2026-12-25T00:00",
            "tomorrow",
        ] {
            assert_eq!(text.parse::<Day>(), Err(NoDay), "{text}");
        }
        assert_eq!("2026-11-23".parse::<Day>().unwrap().weekday(), 0);
        assert_eq!("2026-11-29".parse::<Day>().unwrap().weekday(), 6);
    }

    #[test]
    fn zones_are_known_by_name() {
        assert_eq!(zone("europe/berlin").name(), "Europe/Berlin");
        assert_eq!(zone("UTC"), Zone::default());
        for name in ["", "Berlin", "Europe/Atlantis", "+02:00", "/etc/localtime"] {
            assert_eq!(name.parse::<Zone>(), Err(NoZone), "{name}");
        }
    }

    /// When the clock shows something, around the changes of the clock.
    #[test]
    fn the_wall_and_the_world() {
        for (name, day, minutes, moment) in [
            ("UTC", "2026-03-29", 150, "2026-03-29T02:30:00.000Z"),
            ("Europe/Berlin", "2026-01-01", 0, "2025-12-31T23:00:00.000Z"),
            (
                "Europe/Berlin",
                "2026-07-01",
                540,
                "2026-07-01T07:00:00.000Z",
            ),
            // Skipped, from 02:00 to 03:00.
            (
                "Europe/Berlin",
                "2026-03-29",
                119,
                "2026-03-29T00:59:00.000Z",
            ),
            (
                "Europe/Berlin",
                "2026-03-29",
                120,
                "2026-03-29T01:00:00.000Z",
            ),
            (
                "Europe/Berlin",
                "2026-03-29",
                150,
                "2026-03-29T01:00:00.000Z",
            ),
            (
                "Europe/Berlin",
                "2026-03-29",
                180,
                "2026-03-29T01:00:00.000Z",
            ),
            // Twice, from 02:00 to 03:00.
            (
                "Europe/Berlin",
                "2026-10-25",
                150,
                "2026-10-25T00:30:00.000Z",
            ),
            (
                "Europe/Berlin",
                "2026-10-25",
                180,
                "2026-10-25T02:00:00.000Z",
            ),
            (
                "Europe/Berlin",
                "2026-10-25",
                1440,
                "2026-10-25T23:00:00.000Z",
            ),
            // A midnight that was skipped, and a whole day.
            (
                "America/Asuncion",
                "2024-10-06",
                0,
                "2024-10-06T04:00:00.000Z",
            ),
            (
                "Pacific/Apia",
                "2011-12-30",
                600,
                "2011-12-30T10:00:00.000Z",
            ),
            (
                "Asia/Kathmandu",
                "2026-05-05",
                0,
                "2026-05-04T18:15:00.000Z",
            ),
        ] {
            let found = zone(name).at(day.parse().unwrap(), minutes);
            assert_eq!(found.to_string(), moment, "{name} {day} {minutes}");
        }
    }

    #[test]
    fn days_have_the_hours_that_they_have() {
        let berlin = zone("Europe/Berlin");
        for (day, hours) in [("2026-03-29", 23), ("2026-03-30", 24), ("2026-10-25", 25)] {
            let day: Day = day.parse().unwrap();
            let (begin, end) = (berlin.begin(day), berlin.begin(day.next()));
            assert_eq!(end.since(begin), Duration::from_secs(hours * 3600));
            assert_eq!(berlin.day(begin), day);
            assert_eq!(berlin.day(end - Duration::from_millis(1)), day);
        }
    }

    #[test]
    fn absurd_times_are_answered() {
        let zone = zone("Pacific/Kiritimati");
        assert_eq!(zone.day(Timestamp::MAX), Day::MAX);
        let east: Zone = "Asia/Kathmandu".parse().unwrap();
        assert_eq!(east.begin(Day(0)), Timestamp::ZERO);
        assert!(zone.begin(Day::MAX) < zone.begin(Day::MAX.next()) || Day::MAX.next() == Day::MAX);
    }
}
