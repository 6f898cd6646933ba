//! Small days, told in lines and replayed.
//!
//! `10 anna available`, `10 anna offline missed`, `10 anna busy compose`: what she is shown as.
//! `20 m1 support`, with `for bert`, `asks german` or `first 5` behind it: work arrives.
//! `25 anna accepts m1 after 5`, `rejects`, `misses`: how she answered an offer.
//! `25 anna takes m1`, and `resumes`, `parks`, `handles`, `ends`, `requeues`, `cancels`, and
//! `transfers m1 sales`: how the work went on.

use std::fmt::Write as _;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::desk::service::Goal;
use crate::desk::{AgentState, CodePolicy, DeclineAction, Overflow, PresenceCause};
use crate::id::{AgentId, InteractionId, QueueId};
use crate::mail::token::MainNumber;
use crate::time::Timestamp;

/// A day begins at this second and has ten thousand.
const BEGIN: u64 = 1_800_000_000;
const LENGTH: u64 = 10_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(BEGIN.checked_add_signed(seconds).unwrap() * 1000)
}

fn second(at: Timestamp) -> i64 {
    (at.as_millis() / 1000) as i64 - BEGIN as i64
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// `m7` is the seventh; where there is a letter behind, it is another piece of the same case.
fn work(name: &str) -> (InteractionId, MainNumber) {
    let number = name.trim_start_matches('m');
    let case = number.trim_end_matches(char::is_alphabetic);
    let piece = number.len() - case.len();
    let case: u64 = case.parse().unwrap();
    let id = InteractionId::new(at(0), case * 10 + piece as u64);
    (id, MainNumber::new(case).unwrap())
}

fn queues() -> Vec<QueueSettings> {
    let ids = ["support", "sales"];
    ids.map(|id| QueueSettings::new(id.parse().unwrap())).into()
}

fn rules(change: impl FnOnce(&mut QueueSettings)) -> Rules {
    let mut queues = queues();
    change(&mut queues[0]);
    Rules {
        queues,
        house: HouseRules::default(),
    }
}

/// A day with anna and bert, who serve both queues unless said otherwise.
fn day(text: &str) -> Recording {
    let mut recording = Recording::new(at(0), at(LENGTH as i64)).unwrap();
    for id in ["anna", "bert"] {
        let queues = queues().into_iter().map(|queue| (queue.id, 10)).collect();
        let member = Member {
            id: id.parse().unwrap(),
            queues,
            skills: [("german".to_owned(), 5)]
                .into_iter()
                .filter(|_| id == "bert")
                .collect(),
            capacity: 1,
            state: AgentState::SignedOut,
            since: None,
        };
        recording.add(Row::Member(member)).unwrap();
    }
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        recording.add(row(line)).unwrap();
    }
    recording.finish()
}

fn row(line: &str) -> Row {
    let words: Vec<&str> = line.split_whitespace().collect();
    let time = at(words[0].parse().unwrap());
    if words[1].starts_with('m') {
        let (id, case) = work(words[1]);
        let after = |word| {
            words
                .iter()
                .position(|it| *it == word)
                .map(|at| words[at + 1])
        };
        return Row::Arrival(Arrival {
            id,
            queue: words[2].parse().unwrap(),
            case,
            at: time,
            priority: after("first").map_or(0, |text| text.parse().unwrap()),
            skills: after("asks").into_iter().map(str::to_owned).collect(),
            preferred: after("for").map(|text| text.parse().unwrap()),
            accepted: after("accepted").map(|text| at(text.parse().unwrap())),
            answered: after("answered").map(|text| at(text.parse().unwrap())),
            closed: after("closed").map(|text| at(text.parse().unwrap())),
        });
    }
    let agent: AgentId = words[1].parse().unwrap();
    let state = match words[2] {
        "available" => Some(AgentState::Available),
        "offline" => Some(AgentState::WorkOffline),
        "busy" => Some(AgentState::Busy),
        "wraps" => Some(AgentState::WrapUp),
        _ => None,
    };
    if let Some(state) = state {
        let cause = match words.get(3) {
            Some(&"missed") => PresenceCause::OfferMissed,
            Some(&"compose") => PresenceCause::Compose,
            _ => PresenceCause::AgentRequest,
        };
        return Row::Moved(Moved {
            agent,
            at: time,
            state,
            cause,
        });
    }
    let (interaction, _) = work(words[3]);
    let how = match words[2] {
        "accepts" => Some(How::Accepted),
        "rejects" => Some(How::Rejected),
        "misses" => Some(How::Missed),
        _ => None,
    };
    if let Some(how) = how {
        return Row::Answered(Answered {
            agent,
            interaction,
            after: words
                .get(5)
                .map_or(Duration::ZERO, |text| seconds(text.parse().unwrap())),
            how,
        });
    }
    let what = match words[2] {
        "takes" => What::Taken,
        "resumes" => What::Resumed,
        "parks" => What::Parked,
        "handles" => What::Handled,
        "ends" => What::Ended,
        "requeues" => What::Requeued,
        "cancels" => What::Cancelled,
        "transfers" => What::Transferred(words[4].parse().unwrap()),
        other => panic!("{other}"),
    };
    Row::Step(Step {
        agent,
        interaction,
        at: time,
        what,
    })
}

fn play(recording: &Recording, rules: &Rules) -> Played {
    recording.replay(rules, &mut |_| {}).unwrap()
}

/// Replays a day and compares when each piece of work was accepted and closed.
fn check(text: &str, rules: &Rules, expected: &str) {
    let recording = day(text);
    let played = play(&recording, rules);
    let mut told = String::new();
    for (id, course) in &played.courses {
        let case = recording.arrivals()[id].case.serial();
        let piece = id.to_bytes()[15] as u64 - case * 10;
        let _ = write!(told, "m{case}{}", &"abc"[..piece as usize]);
        for (word, at) in [("accepted", course.accepted), ("closed", course.closed)] {
            if let Some(at) = at {
                let _ = write!(told, " {word} {}", second(at));
            }
        }
        told.push('\n');
    }
    let expected: Vec<&str> = expected
        .lines()
        .map(str::trim)
        .filter(|it| !it.is_empty())
        .collect();
    assert_eq!(told.lines().collect::<Vec<_>>(), expected, "{text}");
}

#[test]
fn a_day_goes_as_it_went() {
    check(
        "
        100 anna available
        200 m1 support
        210 m2 support
        205 anna accepts m1 after 5
        205 anna takes m1
        265 anna ends m1
        270 anna accepts m2 after 5
        270 anna takes m2
        300 anna ends m2
        400 anna offline
        500 m3 support
        ",
        &rules(|_| {}),
        "
        m1 accepted 205 closed 265
        m2 accepted 270 closed 300
        m3
        ",
    );
}

#[test]
fn anothers_work_takes_ones_own_median() {
    // Bert usually takes twenty seconds; the hundred of m1 were anna's, and she is not there.
    check(
        "
        0 bert available
        10 bert accepts m2 after 1
        10 bert takes m2
        30 bert ends m2
        11 anna takes m1
        111 anna ends m1
        100 m1 support
        200 m2 support
        300 m3 support
        ",
        &rules(|_| {}),
        "
        m1 accepted 101 closed 121
        m2 accepted 201 closed 221
        m3 accepted 301 closed 321
        ",
    );
}

#[test]
fn who_declined_declines_again_and_once() {
    let text = "
        0 anna available
        0 anna rejects m1
        0 anna accepts m1 after 2
        0 anna misses m2
        10 anna takes m1
        20 anna ends m1
        100 m1 support
        1000 m2 support
        ";
    // Rejected at 102, rested for a minute. Missed at 1032, and the same again.
    let gentle = rules(|queue| queue.missed_action = DeclineAction::Cooldown);
    check(
        text,
        &gentle,
        "
        m1 accepted 164 closed 174
        m2 accepted 1094 closed 1104
        ",
    );
    // Set to Work Offline, she comes back as late as one does.
    let strict = rules(|queue| queue.missed_limit = 1);
    check(
        text,
        &strict,
        "
        m1 accepted 164 closed 174
        m2 accepted 1334 closed 1344
        ",
    );
}

#[test]
fn what_a_policy_did_to_those_who_declined_is_the_next_ones_choice() {
    let text = "
        0 anna available
        200 anna offline missed
        1200 anna available
        0 anna misses m1
        10 anna takes m2
        20 anna ends m2
        10 anna accepts m2 after 1
        100 m1 support
        300 m2 support
        ";
    let gentle = rules(|queue| queue.missed_action = DeclineAction::Cooldown);
    check(
        text,
        &gentle,
        "m1 accepted 193 closed 203\nm2 accepted 301 closed 311",
    );
    // The thousand seconds that she was away count from when she missed it here.
    let strict = rules(|queue| queue.missed_limit = 1);
    check(
        text,
        &strict,
        "m1 accepted 1133 closed 1143\nm2 accepted 1144 closed 1154",
    );
}

#[test]
fn mails_of_ones_own_are_no_time_for_offers() {
    check(
        "
        0 anna available
        100 anna busy compose
        300 anna wraps
        400 anna available
        500 anna busy
        600 anna available
        0 anna accepts m9 after 1
        10 anna takes m9
        20 anna ends m9
        150 m1 support
        350 m2 support
        550 m3 support
        ",
        &rules(|_| {}),
        "
        m1 accepted 401 closed 411
        m2 accepted 412 closed 422
        m3 accepted 551 closed 561
        ",
    );
}

#[test]
fn work_goes_where_it_went() {
    let text = "
        0 anna available
        0 anna accepts m1 after 1
        101 anna takes m1
        111 anna transfers m1 sales
        111 anna handles m1
        131 anna ends m1
        200 bert takes m1
        300 bert ends m1
        100 m1 support
        400 m2 support
        410 anna takes m2
        420 anna requeues m2
        430 anna takes m2
        450 anna parks m2
        550 anna resumes m2
        560 anna ends m2
        600 m3 support
        601 anna takes m3
        605 anna cancels m3
        ";
    // Without post-processing. What was bert's takes her usual 10 seconds; m2 comes back to her
    // when nobody else wants it for a minute, for the thirty seconds without the time it lay aside.
    check(
        text,
        &rules(|_| {}),
        "
        m1 accepted 101 closed 122
        m2 accepted 401 closed 502
        m3 accepted 601
        ",
    );
    // With it, she takes her twenty seconds for the rest as well.
    let wraps = rules(|queue| queue.post_processing = Some(seconds(60)));
    check(
        text,
        &wraps,
        "
        m1 accepted 101 closed 142
        m2 accepted 401 closed 522
        m3 accepted 601
        ",
    );
    let strict = Rules {
        queues: queues()
            .into_iter()
            .map(|mut queue| {
                queue.accepts_transfers = false;
                queue
            })
            .collect(),
        house: HouseRules::default(),
    };
    assert_eq!(play(&day(text), &strict).kept, 1);
}

#[test]
fn post_processing_nobody_has_seen_takes_all_its_time() {
    let text = "
        0 anna available
        0 anna accepts m1 after 1
        10 anna takes m1
        20 anna ends m1
        100 m1 support
        ";
    let timed = rules(|queue| queue.post_processing = Some(seconds(60)));
    check(text, &timed, "m1 accepted 101 closed 171");
    let held = rules(|queue| queue.codes = CodePolicy::Hold);
    check(text, &held, "m1 accepted 101 closed 111");
}

/// Anna reacts after one second and takes ten, bert after three and takes thirty.
const HABITS: &str = "
    0 anna accepts m90 after 1
    10 anna takes m90
    20 anna ends m90
    0 bert accepts m91 after 3
    10 bert takes m91
    40 bert ends m91
    ";

#[test]
fn regulars_skills_and_priorities_count() {
    let text = format!(
        "{HABITS}
        0 anna available
        0 bert available
        100 m1 support for bert
        150 m2 support asks german
        "
    );
    // Of two who are idle for equally long the first goes first; only bert has any German.
    check(
        &text,
        &rules(|_| {}),
        "
        m1 accepted 101 closed 111
        m2 accepted 153 closed 183
        ",
    );
    check(
        &text,
        &rules(|queue| queue.preferred_agent = seconds(60)),
        "
        m1 accepted 103 closed 133
        m2 accepted 153 closed 183
        ",
    );
    let text = format!(
        "{HABITS}
        100 m1 support
        100 m2 support first 5
        100 m3 support asks german
        200 anna available
        "
    );
    check(
        &text,
        &rules(|_| {}),
        "
        m1 accepted 212 closed 222
        m2 accepted 201 closed 211
        m3
        ",
    );
}

#[test]
fn whoever_handled_a_case_here_is_its_regular() {
    let text = format!(
        "{HABITS}
        0 anna available
        0 bert available
        100 m1 support
        200 m1a support
        "
    );
    // Bert has been idle for longer by then.
    check(
        &text,
        &rules(|_| {}),
        "
        m1 accepted 101 closed 111
        m1a accepted 203 closed 233
        ",
    );
    check(
        &text,
        &rules(|queue| queue.preferred_agent = seconds(600)),
        "
        m1 accepted 101 closed 111
        m1a accepted 201 closed 211
        ",
    );
}

#[test]
fn what_waited_before_is_worked_on_and_not_counted() {
    let recording = day("
        -500 m1 support
        100 m2 support
        0 anna available
        0 anna accepts m1 after 1
        10 anna takes m1
        20 anna ends m1
        ");
    let rules = rules(|queue| queue.service.accept = Some(seconds(60)));
    let played = play(&recording, &rules);
    assert_eq!(played.courses[&work("m1").0].accepted.map(second), Some(1));
    let figures = recording.figures(&rules, &played);
    let support = &figures[&Some("support".parse().unwrap())];
    assert_eq!((support.received, support.accepted), (1, 1));
    assert_eq!(support.longest, Some(seconds(1)));
}

#[test]
fn a_full_queue_sends_mail_back_for_a_while() {
    let text = "
        0 anna accepts m1 after 1
        10 anna takes m1
        20 anna ends m1
        100 m1 support
        101 m2 support
        200 anna available
        ";
    let narrow = rules(|queue| queue.waiting_max = 1);
    check(
        text,
        &narrow,
        "m1 accepted 201 closed 211\nm2 accepted 402 closed 412",
    );
    assert_eq!(play(&day(text), &narrow).turned_away, 1);
}

#[test]
fn overflow_is_told_of_the_queue_of_arrival() {
    let recording = day("
        100 m1 support
        ");
    let mut rules = rules(|queue| {
        queue.overflow = Some(Overflow {
            to: "sales".parse().unwrap(),
            after: seconds(60),
        });
        queue.service.accept = Some(seconds(100));
    });
    rules.queues[1].service.accept = Some(seconds(1));
    let played = play(&recording, &rules);
    let figures = recording.figures(&rules, &played);
    let keys: Vec<_> = figures.keys().cloned().collect();
    assert_eq!(keys, [None, Some("support".parse().unwrap())]);
    let level = figures[&None].levels[&Goal::Accept];
    // Nobody came: it is late, and waits up to the end.
    assert_eq!((level.in_time, level.reached, level.due), (0, 0, 1));
    assert_eq!(figures[&None].longest, Some(seconds(LENGTH - 100)));
}

#[test]
fn figures_are_those_of_the_least_wait_that_so_many_kept() {
    let mut text = String::new();
    for number in 1..=10 {
        let accepted = 100 + number * 10;
        let _ = writeln!(
            text,
            "100 m{number} support accepted {accepted} answered {accepted}"
        );
    }
    let _ = writeln!(
        text,
        "9990 m11 support\n5000 m12 sales accepted 20000 closed 20000"
    );
    let recording = day(&text);
    let mut rules = rules(|queue| {
        queue.service.accept = Some(seconds(50));
        queue.service.answer = Some(seconds(50));
    });
    rules.queues[1].service.accept = Some(seconds(60));
    let figures = recording.figures(&rules, &recording.as_recorded());
    let support = &figures[&Some("support".parse().unwrap())];
    assert_eq!((support.received, support.accepted), (11, 10));
    // The last has waited for ten seconds so far.
    assert_eq!(support.median, Some(seconds(50)));
    assert_eq!(support.most, Some(seconds(90)));
    assert_eq!(support.longest, Some(seconds(100)));
    let level = support.levels[&Goal::Accept];
    assert_eq!((level.in_time, level.reached, level.due), (5, 10, 10));
    assert_eq!(level.within, Some(seconds(50)));
    assert_eq!(support.levels.get(&Goal::Close), None);
    // Accepted after the end is not accepted, and the two promises differ.
    let all = &figures[&None];
    assert_eq!((all.received, all.accepted, all.closed), (12, 10, 0));
    let level = all.levels[&Goal::Accept];
    assert_eq!((level.within, level.due), (None, 11));
}

#[test]
fn what_makes_no_sense_is_refused() {
    assert_eq!(Recording::new(at(1), at(1)).unwrap_err(), Broken::Reversed);
    let mut recording = Recording::new(at(0), at(1)).unwrap();
    for line in ["0 carl available", "0 carl takes m1", "0 carl misses m1"] {
        let stranger = Broken::Stranger("carl".parse().unwrap());
        assert_eq!(recording.add(row(line)), Err(stranger), "{line}");
    }
    let gone = day("0 m1 repairs\n0 anna takes m1\n1 anna transfers m1 returns");
    let missing: Vec<String> = (gone.missing(&rules(|_| {})).iter())
        .map(QueueId::to_string)
        .collect();
    assert_eq!(missing, ["repairs", "returns"]);
    assert!(gone.replay(&rules(|_| {}), &mut |_| {}).is_err());
}

/// Rows of a day, in no order that makes sense.
fn rows() -> impl Strategy<Value = Vec<String>> {
    let time = 0..LENGTH;
    let agent = prop_oneof!["anna", "bert"];
    let number = 1..30_u64;
    let work = (
        time.clone(),
        number.clone(),
        prop_oneof!["support", "sales"],
    )
        .prop_map(|(at, number, queue)| {
            format!("{at} m{number} {queue} asks german:{}", number % 3 + 1)
        });
    let state = prop_oneof![
        "available",
        "offline",
        "busy compose",
        "busy",
        "offline missed"
    ];
    let moved = (time.clone(), agent.clone(), state)
        .prop_map(|(at, who, state)| format!("{at} {who} {state}"));
    let verb = prop_oneof![
        "takes", "ends", "handles", "requeues", "parks", "resumes", "cancels", "rejects", "misses",
        "accepts"
    ];
    let step = (time, agent, verb, number).prop_map(|(at, who, verb, number)| {
        format!("{at} {who} {verb} m{number} after {}", number)
    });
    let row = prop_oneof![3 => work, 2 => moved, 4 => step];
    proptest::collection::vec(row, 0..60).prop_map(|mut rows| {
        rows.sort_by_key(|row| row.split(' ').next().unwrap().parse::<u64>().unwrap());
        rows
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The same day under the same rules differs in nothing, and is a day that can be.
    #[test]
    fn the_same_policy_makes_no_difference(rows in rows(), wrap in 0..3_u64) {
        let recording = day(&rows.join("\n"));
        let rules = rules(|queue| {
            queue.post_processing = (wrap > 0).then(|| seconds(wrap * 10));
            queue.service.accept = Some(seconds(100));
            queue.overflow = Some(Overflow { to: "sales".parse().unwrap(), after: seconds(300) });
        });
        let (first, again) = (play(&recording, &rules), play(&recording, &rules));
        prop_assert_eq!(&first, &again);
        let figures = recording.figures(&rules, &first);
        prop_assert_eq!(&figures, &recording.figures(&rules, &again));
        for (id, course) in &first.courses {
            let came = recording.arrivals()[id].at;
            prop_assert!(course.accepted.is_none_or(|at| came <= at && at < at_end()));
            prop_assert!(course.closed.is_none_or(|at| course.accepted.is_some_and(|taken| taken <= at)));
        }
        let received: usize = figures.iter().filter(|(queue, _)| queue.is_some()).map(|(_, it)| it.received).sum();
        prop_assert_eq!(received, recording.arrivals().len());
    }
}

fn at_end() -> Timestamp {
    at(LENGTH as i64)
}
