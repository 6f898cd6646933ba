//! The line above a quoted original, "On DATE, NAME wrote:", in the words of the queue's customers.
//!
//! The words are the operator's; the blanks in them are filled here. Dates are shown as the clocks
//! of the queue's zone show them.

use super::mailbox::{Mailbox, NAME_CHARS_MAX};
use super::text::{LINE_CHARS_MAX, clean_line};
use crate::time::{Timestamp, civil};

/// The line of a queue that has none of its own.
pub const DEFAULT: &str = "On {date}, {name} wrote:";

/// Longest line before its blanks are filled, in bytes.
pub const TEMPLATE_BYTES_MAX: usize = 200;

/// The blanks: who wrote, their address, the date and time of RFC 5322, and its pieces as numbers.
const BLANKS: [&str; 7] = [
    "{name}",
    "{address}",
    "{date}",
    "{day}",
    "{month}",
    "{year}",
    "{time}",
];

/// The last second of the year 9999: dates have four digits for the year.
const SECONDS_MAX: u64 = 253_402_300_799;

const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// What is wrong with a line.
///
/// # Errors
///
/// Words for the operator, whose move it is.
pub fn check(template: &str) -> Result<(), String> {
    if template.trim().is_empty() || template.len() > TEMPLATE_BYTES_MAX {
        return Err(format!(
            "must be one line of 1 to {TEMPLATE_BYTES_MAX} bytes"
        ));
    }
    if template.chars().any(char::is_control) {
        return Err("must be one line without control characters".to_owned());
    }
    let mut words = template.to_owned();
    for blank in BLANKS {
        words = words.replace(blank, "");
    }
    if words.contains(['{', '}']) {
        return Err(format!(
            "has braces around other than {}",
            BLANKS.join(", ")
        ));
    }
    Ok(())
}

/// The line above a letter of `author`'s, on a clock that is `ahead_seconds` ahead of UTC.
#[must_use]
pub fn line(template: &str, author: &Mailbox, date: Timestamp, ahead_seconds: i32) -> String {
    let moment = Moment::of(date, ahead_seconds);
    let mut out = String::new();
    let mut rest = template;
    // In one pass, so that a name with braces in it is a name.
    while let Some(at) = rest.find('{') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let blank = BLANKS.into_iter().find(|blank| from.starts_with(blank));
        match blank {
            Some("{name}") => out.push_str(&clean_line(&author.label(), NAME_CHARS_MAX)),
            Some("{address}") => out.push_str(&author.address.to_string()),
            Some("{date}") => out.push_str(&moment.rfc5322()),
            Some("{day}") => out.push_str(&format!("{:02}", moment.day)),
            Some("{month}") => out.push_str(&format!("{:02}", moment.month)),
            Some("{year}") => out.push_str(&format!("{:04}", moment.year)),
            Some("{time}") => out.push_str(&format!("{:02}:{:02}", moment.hour, moment.minute)),
            Some(_) | None => out.push('{'),
        }
        rest = from.get(blank.map_or(1, str::len)..).unwrap_or_default();
    }
    out.push_str(rest);
    clean_line(&out, LINE_CHARS_MAX)
}

/// A date and time of RFC 5322, section 3.3, on a clock that is `ahead_seconds` ahead of UTC.
#[must_use]
pub fn rfc5322_date(date: Timestamp, ahead_seconds: i32) -> String {
    Moment::of(date, ahead_seconds).rfc5322()
}

/// What a clock shows.
struct Moment {
    weekday: &'static str,
    year: u64,
    month: u64,
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
    /// How far it is ahead of UTC, in minutes; zones have had no seconds since 1972.
    ahead_minutes: i32,
}

impl Moment {
    fn of(date: Timestamp, ahead_seconds: i32) -> Self {
        let ahead_minutes = ahead_seconds / 60;
        let shown = (date.as_secs().min(SECONDS_MAX))
            .saturating_add_signed(i64::from(ahead_minutes) * 60)
            .min(SECONDS_MAX);
        let (days, seconds) = (shown / 86_400, shown % 86_400);
        let (year, month, day) = civil(days);
        let weekday = usize::try_from(days % 7).unwrap_or_default();
        Self {
            weekday: WEEKDAYS.get(weekday).copied().unwrap_or_default(),
            year,
            month,
            day,
            hour: seconds / 3600,
            minute: seconds / 60 % 60,
            second: seconds % 60,
            ahead_minutes,
        }
    }

    fn rfc5322(&self) -> String {
        let month = usize::try_from(self.month).unwrap_or_default();
        let month = MONTHS
            .get(month.saturating_sub(1))
            .copied()
            .unwrap_or_default();
        let sign = if self.ahead_minutes < 0 { '-' } else { '+' };
        let ahead = self.ahead_minutes.unsigned_abs();
        format!(
            "{}, {} {month} {:04} {:02}:{:02}:{:02} {sign}{:02}{:02}",
            self.weekday,
            self.day,
            self.year,
            self.hour,
            self.minute,
            self.second,
            ahead / 60,
            ahead % 60,
        )
    }
}

#[cfg(test)]
mod tests {
    use mail_parser::DateTime;
    use proptest::prelude::*;

    use super::*;

    fn anna(name: &str) -> Mailbox {
        Mailbox {
            name: name.to_owned(),
            address: "anna@customer.example".parse().unwrap(),
        }
    }

    #[test]
    fn lines() {
        let date = Timestamp::from_millis(1_794_990_000_000);
        for (template, ahead, line_is) in [
            (
                DEFAULT,
                0,
                "On Wed, 18 Nov 2026 08:20:00 +0000, Anna wrote:",
            ),
            (
                "Am {day}.{month}.{year} um {time} schrieb {name} <{address}>:",
                3600,
                "Am 18.11.2026 um 09:20 schrieb Anna <anna@customer.example>:",
            ),
            ("{date}", -34_200, "Tue, 17 Nov 2026 22:50:00 -0930"),
            ("{nobody} {", 0, "{nobody} {"),
        ] {
            assert_eq!(line(template, &anna("Anna"), date, ahead), line_is);
        }
        assert_eq!(
            line("{name}:", &anna(""), date, 0),
            "anna@customer.example:"
        );
        assert_eq!(
            line("{name}:", &anna("{date}\r\nBcc: x"), date, 0),
            "{date} Bcc: x:"
        );
        assert_eq!(
            line("{date}", &anna("A"), Timestamp::MAX, 3600),
            "Fri, 31 Dec 9999 23:59:59 +0100"
        );
        assert_eq!(
            line("{date}", &anna("A"), Timestamp::ZERO, -3600),
            "Thu, 1 Jan 1970 00:00:00 -0100"
        );
    }

    #[test]
    fn what_an_operator_may_write() {
        for (template, good) in [
            (DEFAULT, true),
            ("{name} a écrit le {day}/{month}/{year} :", true),
            ("", false),
            ("On {weekday} {name} wrote:", false),
            ("{name", false),
            ("a\nb", false),
        ] {
            assert_eq!(check(template).is_ok(), good, "{template:?}");
        }
        assert!(check(&"x".repeat(TEMPLATE_BYTES_MAX + 1)).is_err());
    }

    proptest! {
        #[test]
        fn dates_read_back(seconds in 50_400..SECONDS_MAX - 50_400, ahead in -840..=840_i32) {
            let date = Timestamp::from_millis(seconds * 1000);
            let written = rfc5322_date(date, ahead * 60);
            let read = DateTime::parse_rfc822(&written).unwrap();
            prop_assert_eq!(u64::try_from(read.to_timestamp()).unwrap(), seconds);
        }
    }
}
