//! Opening hours around weekends, holidays and changes of the clock, and the laws of counting them.

use proptest::prelude::*;

use super::*;

/// `09:00-17:00`.
fn span(text: &str) -> Span {
    let minutes = |text: &str| {
        let (hour, minute) = text.split_once(':').unwrap();
        hour.parse::<u16>().unwrap() * 60 + minute.parse::<u16>().unwrap()
    };
    let (from, to) = text.split_once('-').unwrap();
    Span::new(minutes(from), minutes(to)).unwrap()
}

fn spans(text: &str) -> Vec<Span> {
    text.split_whitespace().map(span).collect()
}

/// Monday to Friday and Saturday, with Christmas closed and the day before it short.
fn office(zone: &str) -> Hours {
    let weekday = || spans("13:30-18:00 09:00-12:30");
    let week = [
        weekday(),
        weekday(),
        weekday(),
        weekday(),
        weekday(),
        spans("10:00-14:00"),
        Vec::new(),
    ];
    let special = BTreeMap::from([
        ("2026-12-24".parse().unwrap(), spans("09:00-12:00")),
        ("2026-12-25".parse().unwrap(), Vec::new()),
        ("2026-12-27".parse().unwrap(), spans("00:00-24:00")),
    ]);
    Hours::new(zone.parse().unwrap(), week, special)
}

/// Open every day at the same time.
fn daily(zone: &str, text: &str) -> Hours {
    let week = std::array::from_fn(|_| spans(text));
    Hours::new(zone.parse().unwrap(), week, BTreeMap::new())
}

/// `2026-03-29 00:59` in UTC.
fn utc(text: &str) -> Timestamp {
    let (day, time) = text.split_once(' ').unwrap();
    let (hour, minute) = time.split_once(':').unwrap();
    let minutes = hour.parse::<u64>().unwrap() * 60 + minute.parse::<u64>().unwrap();
    Zone::default().begin(day.parse().unwrap()) + Duration::from_secs(minutes * 60)
}

#[test]
fn when_it_is_open() {
    let office = office("Europe/Berlin");
    for (at, open, change) in [
        // A Monday in winter: one hour ahead of UTC.
        ("2026-11-23 07:59", false, "2026-11-23 08:00"),
        ("2026-11-23 08:00", true, "2026-11-23 11:30"),
        ("2026-11-23 11:30", false, "2026-11-23 12:30"),
        ("2026-11-23 16:59", true, "2026-11-23 17:00"),
        // Saturday and Sunday.
        ("2026-11-28 09:00", true, "2026-11-28 13:00"),
        ("2026-11-28 13:00", false, "2026-11-30 08:00"),
        ("2026-11-29 12:00", false, "2026-11-30 08:00"),
        // The days around Christmas.
        ("2026-12-24 10:00", true, "2026-12-24 11:00"),
        ("2026-12-24 11:00", false, "2026-12-26 09:00"),
        ("2026-12-25 12:00", false, "2026-12-26 09:00"),
        ("2026-12-26 23:00", true, "2026-12-27 23:00"),
        // A Monday in summer: two hours ahead.
        ("2026-07-06 06:59", false, "2026-07-06 07:00"),
        ("2026-07-06 07:00", true, "2026-07-06 10:30"),
        // Over the change of the clock, from Saturday to Monday.
        ("2026-03-28 13:30", false, "2026-03-30 07:00"),
        ("2026-10-24 13:30", false, "2026-10-26 08:00"),
    ] {
        let moment = utc(at);
        assert_eq!(office.is_open(moment), open, "{at}");
        assert_eq!(office.next_change(moment), Some(utc(change)), "{at}");
    }
}

#[test]
fn how_long_it_is_open() {
    let hour = |hours: f64| Duration::from_secs_f64(hours * 3600.0);
    for (hours, from, to, open) in [
        (office("UTC"), "2026-11-23 00:00", "2026-11-24 00:00", 8.0),
        (office("UTC"), "2026-11-23 00:00", "2026-11-30 00:00", 44.0),
        (office("UTC"), "2026-11-23 10:00", "2026-11-23 14:00", 3.0),
        (office("UTC"), "2026-11-29 00:00", "2026-11-30 09:00", 0.0),
        (office("UTC"), "2026-11-23 14:00", "2026-11-23 10:00", 0.0),
        (office("UTC"), "2026-12-24 00:00", "2026-12-28 00:00", 31.0),
        // The night in which an hour is missing, and the one that has it twice.
        (
            daily("Europe/Berlin", "00:00-24:00"),
            "2026-03-28 23:00",
            "2026-03-29 22:00",
            23.0,
        ),
        (
            daily("Europe/Berlin", "01:00-04:00"),
            "2026-03-28 23:00",
            "2026-03-29 22:00",
            2.0,
        ),
        (
            daily("Europe/Berlin", "02:15-02:45"),
            "2026-03-28 23:00",
            "2026-03-29 22:00",
            0.0,
        ),
        (
            daily("Europe/Berlin", "01:00-04:00"),
            "2026-10-24 22:00",
            "2026-10-25 23:00",
            4.0,
        ),
        (
            daily("Europe/Berlin", "02:30-03:00"),
            "2026-10-24 22:00",
            "2026-10-25 23:00",
            1.5,
        ),
        (
            daily("Europe/Berlin", "01:00-02:30"),
            "2026-10-24 22:00",
            "2026-10-25 23:00",
            1.5,
        ),
    ] {
        let found = hours.open_between(utc(from), utc(to));
        assert_eq!(found, hour(open), "{from} to {to} in {hours:?}");
    }
}

#[test]
fn when_it_will_have_been_open_for_so_long() {
    let office = office("UTC");
    for (from, minutes, at) in [
        ("2026-11-23 09:00", 60, Some("2026-11-23 10:00")),
        ("2026-11-23 08:00", 60, Some("2026-11-23 10:00")),
        ("2026-11-23 12:00", 60, Some("2026-11-23 14:00")),
        // The last minute before closing is still of that day.
        ("2026-11-23 17:00", 60, Some("2026-11-23 18:00")),
        ("2026-11-23 17:00", 61, Some("2026-11-24 09:01")),
        ("2026-11-28 13:00", 120, Some("2026-11-30 10:00")),
        ("2026-11-29 13:00", 0, Some("2026-11-30 09:00")),
        ("2026-11-23 09:00", 600 * 24 * 60, None),
    ] {
        let found = office.when_open_for(utc(from), Duration::from_secs(minutes * 60));
        assert_eq!(found, at.map(utc), "{minutes} from {from}");
    }
}

#[test]
fn what_never_changes_is_looked_at_again() {
    let always = daily("Europe/Berlin", "00:00-12:00 12:00-24:00");
    let at = utc("2026-11-23 09:00");
    assert!(always.is_open(at));
    assert_eq!(always.next_change(at), None);
    let never = daily("UTC", "");
    assert!(!never.is_open(at));
    assert_eq!(never.next_change(at), None);
    assert_eq!(never.when_open_for(at, Duration::from_secs(1)), None);
    for hours in [always, never] {
        assert_eq!(hours.next_change(Timestamp::MAX), None);
        assert_eq!(
            hours.open_between(Timestamp::MAX, Timestamp::MAX),
            Duration::ZERO
        );
    }
}

#[test]
fn spans_that_are_none() {
    for (from, to) in [(600, 600), (601, 600), (0, 1441), (1440, 1440)] {
        assert_eq!(Span::new(from, to), None, "{from} {to}");
    }
    assert!(span("09:00-12:00").overlaps(span("11:59-13:00")));
    assert!(!span("09:00-12:00").overlaps(span("12:00-13:00")));
}

fn some_hours() -> impl Strategy<Value = Hours> {
    let zones = prop::sample::select(vec![
        "UTC",
        "Europe/Berlin",
        "America/Havana",
        "Australia/Lord_Howe",
        "Asia/Kathmandu",
        "Pacific/Apia",
    ]);
    let day = prop::collection::btree_set(0..=DAY_MINUTES, 0..6).prop_map(|marks| {
        let marks: Vec<u16> = marks.into_iter().collect();
        (marks.chunks_exact(2))
            .filter_map(|pair| Span::new(pair[0], pair[1]))
            .collect::<Vec<_>>()
    });
    (zones, prop::array::uniform7(day))
        .prop_map(|(zone, week)| Hours::new(zone.parse().unwrap(), week, BTreeMap::new()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Law: open time is additive over adjacent intervals, and no more than the time itself.
    #[test]
    fn open_time_adds_up(hours in some_hours(), begin in 0_u64..3 * 8766, parts in [0_u64..5000, 0..5000]) {
        let hour = |count: u64| Duration::from_secs(count * 3600);
        // From 2024 on, to the minute, so that changes of the clock fall anywhere.
        let a = Timestamp::from_millis(1_704_067_200_000) + hour(begin);
        let b = a + Duration::from_secs(parts[0] * 60);
        let c = b + Duration::from_secs(parts[1] * 60);
        let (first, second) = (hours.open_between(a, b), hours.open_between(b, c));
        prop_assert_eq!(first + second, hours.open_between(a, c));
        prop_assert!(first <= b.since(a));
    }

    /// Law: between two changes it is as at their beginning, and then it is not.
    #[test]
    fn changes_are_changes(hours in some_hours(), begin in 0_u64..3 * 525_960) {
        let mut at = Timestamp::from_millis(1_704_067_200_000) + Duration::from_secs(begin * 60);
        for _ in 0..4 {
            let Some(next) = hours.next_change(at) else { break };
            prop_assert!(next > at);
            let open = hours.is_open(at);
            prop_assert_eq!(hours.is_open(next), !open);
            prop_assert_eq!(hours.is_open(next - Duration::from_millis(1)), open);
            let time = next.since(at);
            prop_assert_eq!(hours.open_between(at, next), if open { time } else { Duration::ZERO });
            at = next;
        }
    }

    /// Law: the moment after so much open time is found by counting it.
    #[test]
    fn counting_finds_the_moment(hours in some_hours(), begin in 0_u64..525_960, minutes in 1_u64..3000) {
        let at = Timestamp::from_millis(1_704_067_200_000) + Duration::from_secs(begin * 60);
        let time = Duration::from_secs(minutes * 60);
        if let Some(then) = hours.when_open_for(at, time) {
            prop_assert_eq!(hours.open_between(at, then), time);
            prop_assert!(hours.open_between(at, then - Duration::from_millis(1)) < time);
        }
    }
}
