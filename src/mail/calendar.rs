//! Invitations: what an iCalendar file (RFC 5545, RFC 5546) says of its first event.
//!
//! Only what a person wants to know before opening the file. Times stay as written, with the name
//! of their zone: what a zone's name means changes from year to year, and the calendar program
//! knows.

use super::text::clean_line;

/// Most of a file that is read, in bytes. An event with a hundred guests has 20 KB.
const CALENDAR_BYTES_MAX: usize = 256 << 10;

/// Longest value that is shown, in characters.
const VALUE_CHARS_MAX: usize = 300;

/// What an invitation is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Event {
    /// What is asked or told (RFC 5546, section 1.4), in upper case: `REQUEST`, `REPLY`, `CANCEL`
    /// and so on; empty if the file does not say.
    pub method: String,
    /// What the event is called.
    pub summary: String,
    /// Who invites: the address, with the name in front if there is one.
    pub organizer: String,
    /// Where it takes place.
    pub location: String,
    /// When it begins: `2026-11-23T09:00:00`, with a `Z` if in UTC, or only the date.
    pub start: String,
    /// When it ends, in the same form; empty if the file says how long it lasts instead.
    pub end: String,
    /// The zone in which the times are meant, as the file names it; empty for UTC and for times
    /// that are the same everywhere.
    pub time_zone: String,
    /// Whether it comes again.
    pub repeats: bool,
    /// In a `REPLY`, what the guest answers, in upper case: `ACCEPTED`, `DECLINED`, `TENTATIVE`.
    pub answer: String,
}

/// Reads the first event of a calendar; `None` if there is none. Linear in the text.
#[must_use]
pub fn read(text: &str) -> Option<Event> {
    let text = super::text::prefix(text, CALENDAR_BYTES_MAX);
    let mut event = Event::default();
    let mut path: Vec<String> = Vec::new();
    let mut found = false;
    for line in unfolded(text) {
        let Some(property) = Property::read(&line) else {
            continue;
        };
        match property.name.as_str() {
            // Deeper than an alarm within an event within a calendar nothing is defined.
            "BEGIN" if path.len() < 8 => path.push(property.value.trim().to_ascii_uppercase()),
            "END" => {
                let ended = property.value.trim().to_ascii_uppercase();
                if ended == "VEVENT" && found {
                    break;
                }
                if path.last() == Some(&ended) {
                    path.pop();
                }
            }
            "METHOD" => event.method = word(&property.value),
            _ if path.last().is_some_and(|inner| inner == "VEVENT") => {
                found = true;
                event.take(&property);
            }
            _ => {}
        }
    }
    found.then_some(event)
}

impl Event {
    fn take(&mut self, property: &Property<'_>) {
        let text = || clean_line(&unescaped(&property.value), VALUE_CHARS_MAX);
        match property.name.as_str() {
            "SUMMARY" if self.summary.is_empty() => self.summary = text(),
            "LOCATION" if self.location.is_empty() => self.location = text(),
            "ORGANIZER" if self.organizer.is_empty() => self.organizer = person(property),
            "DTSTART" if self.start.is_empty() => {
                self.start = moment(&property.value);
                self.time_zone = clean_line(&property.parameter("TZID"), 64);
            }
            "DTEND" if self.end.is_empty() => self.end = moment(&property.value),
            "RRULE" | "RDATE" => self.repeats = true,
            "ATTENDEE" if self.method == "REPLY" && self.answer.is_empty() => {
                self.answer = word(&property.parameter("PARTSTAT"));
            }
            _ => {}
        }
    }
}

/// One line of content (RFC 5545, section 3.1).
struct Property<'a> {
    name: String,
    parameters: &'a str,
    value: String,
}

impl<'a> Property<'a> {
    fn read(line: &'a str) -> Option<Self> {
        let mut quoted = false;
        let colon = line.find(|c| {
            quoted ^= c == '"';
            c == ':' && !quoted
        })?;
        let (head, value) = line.split_at(colon);
        let (name, parameters) = head.split_once(';').unwrap_or((head, ""));
        Some(Self {
            name: name.trim().to_ascii_uppercase(),
            parameters,
            value: value.get(1..).unwrap_or_default().to_owned(),
        })
    }

    /// The value of a parameter without its quotes; empty if it is not there.
    fn parameter(&self, name: &str) -> String {
        let mut quoted = false;
        let mut all = self.parameters.split(|c| {
            quoted ^= c == '"';
            c == ';' && !quoted
        });
        all.find_map(|parameter| {
            let (found, value) = parameter.split_once('=')?;
            let is = found.trim().eq_ignore_ascii_case(name);
            is.then(|| value.trim_matches('"').to_owned())
        })
        .unwrap_or_default()
    }
}

/// The lines, with those joined that were folded.
fn unfolded(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for raw in text.split('\n') {
        let raw = raw.strip_suffix('\r').unwrap_or(raw);
        match (raw.strip_prefix([' ', '\t']), lines.last_mut()) {
            (Some(rest), Some(line)) => line.push_str(rest),
            _ => lines.push(raw.to_owned()),
        }
    }
    lines
}

/// RFC 5545, section 3.3.11.
fn unescaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n' | 'N') => out.push(' '),
                Some(escaped) => out.push(escaped),
                None => {}
            },
            c => out.push(c),
        }
    }
    out
}

fn person(property: &Property<'_>) -> String {
    let value = property.value.trim();
    let address = match value.get(..7) {
        Some(scheme) if scheme.eq_ignore_ascii_case("mailto:") => value.get(7..).unwrap_or(value),
        _ => value,
    };
    let name = property.parameter("CN");
    let both = if name.is_empty() || name == address {
        address.to_owned()
    } else {
        format!("{name} <{address}>")
    };
    clean_line(&both, VALUE_CHARS_MAX)
}

/// A keyword: letters, digits and dashes, not many.
fn word(value: &str) -> String {
    let plain = value.trim().chars();
    plain
        .take_while(|c| c.is_ascii_alphanumeric() || *c == '-')
        .take(32)
        .map(|c| c.to_ascii_uppercase())
        .collect()
}

/// `20261123T090000Z` as `2026-11-23T09:00:00Z`; empty if it is nothing like it.
fn moment(value: &str) -> String {
    let value = value.trim();
    let (date, time) = value.split_once(['T', 't']).unwrap_or((value, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let piece =
        |text: &str, from: usize, to: usize| text.get(from..to).unwrap_or_default().to_owned();
    if date.len() != 8 || !digits(date) {
        return String::new();
    }
    let day = [piece(date, 0, 4), piece(date, 4, 6), piece(date, 6, 8)].join("-");
    let (clock, zone) = match time.strip_suffix(['Z', 'z']) {
        Some(clock) => (clock, "Z"),
        None => (time, ""),
    };
    if clock.len() != 6 || !digits(clock) {
        return day;
    }
    let clock = [piece(clock, 0, 2), piece(clock, 2, 4), piece(clock, 4, 6)].join(":");
    format!("{day}T{clock}{zone}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invitation() {
        let event = read(
            "BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nBEGIN:VTIMEZONE\r\nBEGIN:STANDARD\r\n\
             DTSTART:19701025T030000\r\nEND:STANDARD\r\nEND:VTIMEZONE\r\nBEGIN:VEVENT\r\n\
             ORGANIZER;CN=\"Berg; Anna\":mailto:anna@customer.example\r\n\
             SUMMARY;LANGUAGE=de:Abnahme\\, zweiter\r\n  Teil\r\n\
             DTSTART;TZID=Europe/Berlin:20261123T090000\r\n\
             DTEND;TZID=Europe/Berlin:20261123T100000\r\nRRULE:FREQ=WEEKLY\r\n\
             BEGIN:VALARM\r\nSUMMARY:not this\r\nEND:VALARM\r\nLOCATION:Halle 3\\nTor 1\r\n\
             END:VEVENT\r\nBEGIN:VEVENT\r\nSUMMARY:second\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n",
        );
        let expected = Event {
            method: "REQUEST".to_owned(),
            summary: "Abnahme, zweiter Teil".to_owned(),
            organizer: "Berg; Anna <anna@customer.example>".to_owned(),
            location: "Halle 3 Tor 1".to_owned(),
            start: "2026-11-23T09:00:00".to_owned(),
            end: "2026-11-23T10:00:00".to_owned(),
            time_zone: "Europe/Berlin".to_owned(),
            repeats: true,
            answer: String::new(),
        };
        assert_eq!(event, Some(expected));
    }

    #[test]
    fn an_answer() {
        let event = read(
            "METHOD:REPLY\nBEGIN:VEVENT\nATTENDEE;PARTSTAT=declined:mailto:a@x.example\nEND:VEVENT",
        )
        .unwrap();
        assert_eq!(
            (event.method.as_str(), event.answer.as_str()),
            ("REPLY", "DECLINED")
        );
    }

    #[test]
    fn moments() {
        for (value, shown) in [
            ("20261123T090000Z", "2026-11-23T09:00:00Z"),
            ("20261123T090000", "2026-11-23T09:00:00"),
            ("20261123", "2026-11-23"),
            ("20261123T9", "2026-11-23"),
            ("tomorrow", ""),
            ("2026112ä", ""),
            ("", ""),
        ] {
            assert_eq!(moment(value), shown, "{value}");
        }
    }

    #[test]
    fn junk() {
        for text in [
            "",
            "BEGIN:VEVENT",
            "BEGIN",
            ":",
            "\"",
            "BEGIN:VCALENDAR\nEND:VCALENDAR",
        ] {
            assert_eq!(read(text), None, "{text:?}");
        }
        let _ = read(&"BEGIN:VEVENT\n".repeat(50_000));
        let _ = read(&" folded\n".repeat(50_000));
    }
}
