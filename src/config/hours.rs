//! `[[hours]]`: opening hours that queues may name, and what is wrong with them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;

use super::check::Check;
use crate::desk::{self, Day, Span, Zone};

/// Most special days and holidays of one calendar: decades of them.
const DAYS_MAX: usize = 1000;

/// Most ranges of one day.
const RANGES_MAX: usize = 20;

/// Opening hours.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hours {
    /// The name by which queues speak of them. No default.
    pub id: Spanned<String>,
    /// The time zone that the times are meant in, such as `Europe/Berlin`. No default.
    pub time_zone: Spanned<String>,
    /// When Monday is open: ranges such as `"09:00-17:30"`, up to `24:00`. Default: closed.
    #[serde(default)]
    pub monday: Vec<Spanned<String>>,
    /// Likewise. Default: closed.
    #[serde(default)]
    pub tuesday: Vec<Spanned<String>>,
    /// Likewise. Default: closed.
    #[serde(default)]
    pub wednesday: Vec<Spanned<String>>,
    /// Likewise. Default: closed.
    #[serde(default)]
    pub thursday: Vec<Spanned<String>>,
    /// Likewise. Default: closed.
    #[serde(default)]
    pub friday: Vec<Spanned<String>>,
    /// Likewise. Default: closed.
    #[serde(default)]
    pub saturday: Vec<Spanned<String>>,
    /// Likewise. Default: closed.
    #[serde(default)]
    pub sunday: Vec<Spanned<String>>,
    /// Days that are closed whatever the week says, such as `"2026-12-25"`. Default: none.
    #[serde(default)]
    pub holidays: Vec<Spanned<String>>,
    /// Days with ranges of their own, such as `{ "2026-12-24" = ["09:00-12:00"] }`.
    /// Default: none.
    #[serde(default)]
    pub special_days: BTreeMap<Spanned<String>, Vec<Spanned<String>>>,
}

impl Hours {
    fn week(&self) -> [&[Spanned<String>]; 7] {
        [
            &self.monday,
            &self.tuesday,
            &self.wednesday,
            &self.thursday,
            &self.friday,
            &self.saturday,
            &self.sunday,
        ]
    }

    /// The hours as the desk wants them; `None` if they do not pass the check.
    fn calendar(&self) -> Option<desk::Hours> {
        let zone: Zone = self.time_zone.get_ref().parse().ok()?;
        let spans = |ranges: &[Spanned<String>]| -> Option<Vec<Span>> {
            (ranges.iter()).map(|range| span(range.get_ref())).collect()
        };
        let mut week: [Vec<Span>; 7] = Default::default();
        for (day, ranges) in week.iter_mut().zip(self.week()) {
            *day = spans(ranges)?;
        }
        let mut special = BTreeMap::new();
        for day in &self.holidays {
            special.insert(day.get_ref().parse().ok()?, Vec::new());
        }
        for (day, ranges) in &self.special_days {
            special.insert(day.get_ref().parse().ok()?, spans(ranges)?);
        }
        Some(desk::Hours::new(zone, week, special))
    }

    fn check(&self, check: &mut Check<'_>) {
        let id = self.id.get_ref();
        let zone = self.time_zone.get_ref();
        if zone.parse::<Zone>().is_err() {
            let what = format!(
                "there is no time zone {zone:?}; use a name of the tz database such as Europe/Berlin"
            );
            check.blame(&self.time_zone, what);
        }
        for ranges in self.week() {
            check_ranges(ranges, check);
        }
        if self.holidays.len() + self.special_days.len() > DAYS_MAX {
            let what = format!("hours {id} have more than {DAYS_MAX} holidays and special days");
            check.blame(&self.id, what);
        }
        let mut days: BTreeMap<Day, usize> = BTreeMap::new();
        for day in self.holidays.iter().chain(self.special_days.keys()) {
            let text = day.get_ref();
            let Ok(read) = text.parse::<Day>() else {
                check.blame(day, format!("{text:?} is no day such as 2026-12-25"));
                continue;
            };
            let line = check.line(day);
            if let Some(first) = days.insert(read, line) {
                let what = format!("{text} is given twice, also in line {first}");
                check.blame(day, what);
            }
        }
        for ranges in self.special_days.values() {
            check_ranges(ranges, check);
        }
        let opens = (self.week().into_iter().any(|ranges| !ranges.is_empty()))
            || self.special_days.values().any(|ranges| !ranges.is_empty());
        if !opens {
            check.blame(&self.id, format!("hours {id} never open"));
        }
    }
}

/// The hours by name, as the desk wants them. Those that do not pass the check are left out.
pub(super) fn known(all: &[Hours]) -> BTreeMap<String, Arc<desk::Hours>> {
    all.iter()
        .filter_map(|hours| Some((hours.id.get_ref().clone(), Arc::new(hours.calendar()?))))
        .collect()
}

/// Checks all hours, and that no two have the same name.
pub(super) fn check_all(all: &[Hours], check: &mut Check<'_>) {
    let mut ids: BTreeMap<&str, usize> = BTreeMap::new();
    for hours in all {
        let id = hours.id.get_ref();
        let line = check.line(&hours.id);
        if let Some(first) = ids.insert(id, line) {
            let what = format!("hours {id} are defined twice, first in line {first}");
            check.blame(&hours.id, what);
        }
        hours.check(check);
    }
}

/// Checks the ranges of one day.
fn check_ranges(ranges: &[Spanned<String>], check: &mut Check<'_>) {
    if let Some(over) = ranges.get(RANGES_MAX) {
        check.blame(over, format!("a day has more than {RANGES_MAX} ranges"));
        return;
    }
    let mut before: Vec<(Span, &str)> = Vec::new();
    for range in ranges {
        let text = range.get_ref();
        let Some(read) = span(text) else {
            let what = format!(
                "{text:?} is no range such as \"09:00-17:30\"; over midnight it takes one up to 24:00 and one on the next day"
            );
            check.blame(range, what);
            continue;
        };
        if let Some((_, other)) = before.iter().find(|(other, _)| other.overlaps(read)) {
            check.blame(range, format!("{text} overlaps {other}"));
        }
        before.push((read, text));
    }
}

/// Reads `09:00-17:30`.
fn span(text: &str) -> Option<Span> {
    let (from, to) = text.split_once('-')?;
    Span::new(minutes(from.trim())?, minutes(to.trim())?)
}

/// Reads `09:00`, as minutes after midnight.
fn minutes(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let number = |text: &str, most: u16| {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse::<u16>().ok().filter(|_| digits)?;
        (number <= most).then_some(number)
    };
    Some(number(hour, 24)? * 60 + number(minute, 59)?)
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    /// A file with these lines of hours, which begin in line 9, and a queue that names them.
    fn file(hours: &str) -> String {
        format!(
            "[gateway]\ndata_dir = \"/tmp/x\"\nname = \"shop.example\"\n\n[[queue]]\nid = \"support\"\naddresses = [\"support@shop.example\"]\nhours = \"office\"\n{hours}"
        )
    }

    #[test]
    fn hours_are_the_queues() {
        let text = file(
            "[[hours]]\nid = \"office\"\ntime_zone = \"Europe/Berlin\"\nmonday = [\"13:30-18:00\", \"09:00-12:30\"]\nsunday = [\"00:00-24:00\"]\nholidays = [\"2026-12-25\"]\nspecial_days = { \"2026-12-24\" = [\"09:00-12:00\"], \"2026-12-31\" = [] }\n",
        );
        let queues = Config::parse(&text).unwrap().queues();
        let hours = queues[0].hours.as_ref().unwrap();
        assert_eq!(hours.zone().name(), "Europe/Berlin");
    }

    #[test]
    fn what_contradicts_itself_has_its_line() {
        let office = "[[hours]]\nid = \"office\"\ntime_zone = \"UTC\"\n";
        let rows = [
            ("", "8: queue support: there are no [[hours]] office"),
            (office, "10: hours office never open"),
            (
                &format!("{office}holidays = [\"2026-12-25\"]\n"),
                "10: hours office never open",
            ),
            (
                &format!("{office}monday = [\"09:00-12:00\"]\nopens = 9\n"),
                "13: unknown field `opens`",
            ),
            (
                "[[hours]]\nid = \"office\"\ntime_zone = \"Mars/Olympus\"\nmonday = [\"09:00-12:00\"]\n",
                "11: there is no time zone \"Mars/Olympus\"",
            ),
            (
                &format!("{office}monday = [\"09:00-12:00\", \"11:30-13:00\"]\n"),
                "12: 11:30-13:00 overlaps 09:00-12:00",
            ),
            (
                &format!("{office}friday = [\n  \"09:00-12:00\",\n  \"22:00-06:00\",\n]\n"),
                "14: \"22:00-06:00\" is no range",
            ),
            (
                &format!("{office}friday = [\"9-17\"]\n"),
                "12: \"9-17\" is no range",
            ),
            (
                &format!("{office}friday = [\"09:00-24:01\"]\n"),
                "12: \"09:00-24:01\" is no range",
            ),
            (
                &format!("{office}friday = [\"09:00-17:00\"]\nholidays = [\"25.12.2026\"]\n"),
                "13: \"25.12.2026\" is no day",
            ),
            (
                &format!(
                    "{office}holidays = [\"2026-12-25\"]\n[hours.special_days]\n\"2026-12-25\" = [\"09:00-12:00\"]\n"
                ),
                "14: 2026-12-25 is given twice, also in line 12",
            ),
            (
                &format!(
                    "{office}[hours.special_days]\n\"2026-12-25\" = [\"09:00-12:00\", \"10:00-11:00\"]\n"
                ),
                "13: 10:00-11:00 overlaps 09:00-12:00",
            ),
            (
                &format!(
                    "{office}friday = [\"09:00-17:00\"]\n{office}friday = [\"09:00-17:00\"]\n"
                ),
                "14: hours office are defined twice, first in line 10",
            ),
        ];
        for (hours, complaint) in rows {
            let problems = Config::parse(&file(hours)).unwrap_err();
            assert_eq!(problems.len(), 1, "{hours}\n{problems:?}");
            let found = problems[0].to_string();
            assert!(found.starts_with(complaint), "{found}\nnot {complaint}");
        }
    }
}
