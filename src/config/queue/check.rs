//! What each queue of the configuration must keep, and all of them together.

use std::collections::BTreeMap;

use super::{Codes, Queue};
use crate::config::check::Check;
use crate::config::from_address::check_name;
use crate::config::hours::Hours;
use crate::desk::COOLDOWN_MAX;
use crate::id::QueueId;
use crate::mail::acknowledgement::{SUBJECT_CHARS_MAX, TEXT_BYTES_MAX};
use crate::mail::address::Address;
use crate::mail::attribution;
use crate::mail::compose::TAG_CHARS_MAX;
use crate::mail::token::MAILBOX_BYTES_MAX;

impl Queue {
    pub(in crate::config) fn check_hours(&self, known: &[Hours], check: &mut Check<'_>) {
        if let Some(name) = &self.hours
            && !known
                .iter()
                .any(|hours| hours.id.get_ref() == name.get_ref())
        {
            let what = format!(
                "queue {}: there are no [[hours]] {}",
                self.id.get_ref(),
                name.get_ref()
            );
            check.blame(name, what);
        }
    }
}

/// Checks each queue, and that no two of them claim the same id or address.
pub(in crate::config) fn check_all(
    queues: &[Queue],
    signed_addresses: bool,
    check: &mut Check<'_>,
) {
    check_overflow(queues, check);
    let mut ids: BTreeMap<&str, usize> = BTreeMap::new();
    let mut owners: BTreeMap<String, &str> = BTreeMap::new();
    for queue in queues {
        let id = queue.id.get_ref();
        if id.parse::<QueueId>().is_err() {
            let what = format!("queue id {id:?} is not 2 to 63 of a-z, 0-9 and -");
            check.blame(&queue.id, what);
        }
        let line = check.line(&queue.id);
        if let Some(first) = ids.insert(id, line) {
            let what = format!("queue {id} is defined twice, first in line {first}");
            check.blame(&queue.id, what);
        }
        if *queue.follow_up_days.get_ref() < queue.reopen_days {
            let what = format!("queue {id}: follow_up_days must not be less than reopen_days");
            check.blame(&queue.follow_up_days, what);
        }
        if queue.addresses.is_empty() {
            let what = format!("queue {id} has no addresses, so no mail can reach it");
            check.blame(&queue.id, what);
        }
        for address in &queue.addresses {
            match Address::parse(address.get_ref()) {
                Ok(parsed) => {
                    if signed_addresses && parsed.local().len() > MAILBOX_BYTES_MAX {
                        let what = format!(
                            "{parsed} leaves no room for a token: shorten the part before the @ to {MAILBOX_BYTES_MAX} bytes, or set outbound.signed_addresses = false"
                        );
                        check.blame(address, what);
                    }
                    if let Some(other) = owners.insert(parsed.normalised(), id) {
                        let what = format!("{parsed} belongs to queue {other} already");
                        check.blame(address, what);
                    }
                }
                Err(error) => {
                    let what = format!("{:?} is no address: {error}", address.get_ref());
                    check.blame(address, what);
                }
            }
        }
        if !(5..=600).contains(queue.offer_timeout_seconds.get_ref()) {
            let what = "offer_timeout_seconds must be 5 to 600".to_owned();
            check.blame(&queue.offer_timeout_seconds, what);
        }
        if queue.post_processing_seconds > 86_400 {
            let what = format!("post_processing_seconds of queue {id} is over 86400");
            check.blame(&queue.id, what);
        }
        if queue.cooldown_seconds > COOLDOWN_MAX.as_secs() {
            let what = format!("cooldown_seconds of queue {id} is over 3600");
            check.blame(&queue.id, what);
        }
        check_writing(queue, check);
        check_post_processing(queue, check);
        check_penalties(queue, check);
        check_acknowledgement(queue, check);
        check_order(queue, check);
        check_service(queue, check);
    }
}

/// Checks how its agents write.
fn check_writing(queue: &Queue, check: &mut Check<'_>) {
    if let Some(name) = &queue.from_name {
        check_name("from_name", name, check);
    }
    if let Some(line) = &queue.attribution
        && let Err(what) = attribution::check(line.get_ref())
    {
        check.blame(line, format!("attribution {what}"));
    }
    if let Some(word) = &queue.subject_tag {
        let text = word.get_ref();
        let bad = |c: char| c.is_control() || c == '[' || c == ']';
        if text.trim().is_empty() || text.contains(bad) || text.chars().count() > TAG_CHARS_MAX {
            let what =
                format!("subject_tag must be 1 to {TAG_CHARS_MAX} characters without brackets");
            check.blame(word, what);
        }
    }
}

/// Longest time after which an order of waiting changes by itself, in seconds: a week.
const ORDER_SECONDS_MAX: u64 = 7 * 86_400;

/// Longest time that is promised, in seconds of open hours: thirty days.
const PROMISE_SECONDS_MAX: u64 = 30 * 86_400;

/// Checks what is promised: nobody can answer before accepting, nor close before answering.
fn check_service(queue: &Queue, check: &mut Check<'_>) {
    let promised = [
        ("accept_within_seconds", &queue.accept_within_seconds),
        ("answer_within_seconds", &queue.answer_within_seconds),
        ("close_within_seconds", &queue.close_within_seconds),
    ];
    let mut before: Option<(&str, u64)> = None;
    for (key, value) in promised {
        let seconds = *value.get_ref();
        if seconds > PROMISE_SECONDS_MAX {
            check.blame(value, format!("{key} is over {PROMISE_SECONDS_MAX}"));
        }
        if seconds == 0 {
            continue;
        }
        if let Some((earlier, least)) = before.filter(|(_, least)| seconds < *least) {
            check.blame(value, format!("{key} is less than {earlier}, {least}"));
        }
        before = Some((key, seconds));
    }
    if !(1..=99).contains(queue.warn_percent.get_ref()) {
        check.blame(
            &queue.warn_percent,
            "warn_percent must be 1 to 99".to_owned(),
        );
    }
}

/// Checks where each queue overflows to, and that nothing goes round.
fn check_overflow(queues: &[Queue], check: &mut Check<'_>) {
    let named = |id: &str| queues.iter().find(|queue| queue.id.get_ref() == id);
    let next = |queue: &Queue| named(queue.overflow_to.as_ref()?.get_ref());
    for queue in queues {
        let id = queue.id.get_ref();
        let after = &queue.overflow_after_seconds;
        if *after.get_ref() > ORDER_SECONDS_MAX {
            let what = format!("overflow_after_seconds is over {ORDER_SECONDS_MAX}");
            check.blame(after, what);
        }
        let Some(to) = &queue.overflow_to else {
            if *after.get_ref() > 0 {
                let what = "overflow_after_seconds says when, and overflow_to is missing";
                check.blame(after, what.to_owned());
            }
            continue;
        };
        if *after.get_ref() == 0 {
            let what = format!("queue {id}: overflow_to needs overflow_after_seconds");
            check.blame(to, what);
        }
        let Some(target) = named(to.get_ref()) else {
            let what = format!(
                "queue {id} overflows to {}, which is no queue",
                to.get_ref()
            );
            check.blame(to, what);
            continue;
        };
        if !target.enabled {
            let what = format!(
                "queue {id} overflows to {}, which is not enabled",
                to.get_ref()
            );
            check.blame(to, what);
        }
        // Whoever comes back to this queue within as many steps as there are queues goes round.
        let mut way = vec![id.as_str()];
        let mut at = Some(target);
        while let Some(found) = at.filter(|_| way.len() <= queues.len()) {
            way.push(found.id.get_ref());
            if found.id.get_ref() == id {
                let what = format!("what overflows goes round: {}", way.join(" to "));
                check.blame(to, what);
                break;
            }
            at = next(found);
        }
    }
}

/// Longest time to take mail back in: customers wait for it each time.
const UNDO_SECONDS_MAX: u64 = 120;

/// Checks how long things wait, and in what order.
fn check_order(queue: &Queue, check: &mut Check<'_>) {
    for (key, value, max) in [
        (
            "preferred_agent_seconds",
            &queue.preferred_agent_seconds,
            86_400,
        ),
        ("undo_seconds", &queue.undo_seconds, UNDO_SECONDS_MAX),
        (
            "skill_relax_seconds",
            &queue.skill_relax_seconds,
            ORDER_SECONDS_MAX,
        ),
        ("ageing_seconds", &queue.ageing_seconds, ORDER_SECONDS_MAX),
    ] {
        if *value.get_ref() > max {
            check.blame(value, format!("{key} is over {max}"));
        }
    }
    if !(1..=200).contains(queue.ageing_max.get_ref()) {
        check.blame(&queue.ageing_max, "ageing_max must be 1 to 200".to_owned());
    }
}

/// Checks that what is asked of post-processing can be had.
fn check_post_processing(queue: &Queue, check: &mut Check<'_>) {
    let id = queue.id.get_ref();
    let none = queue.post_processing_seconds == 0;
    if none && *queue.wrap_up_codes.get_ref() == Codes::Required {
        let what = format!(
            "queue {id}: wrap_up_codes = \"required\" leaves no time to give one: set post_processing_seconds, or \"hold\""
        );
        check.blame(&queue.wrap_up_codes, what);
    }
    if let Some(most) = &queue.wrap_up_extensions {
        if none && *most.get_ref() > 0 {
            let what = format!("queue {id}: there is no post-processing to extend");
            check.blame(most, what);
        }
        if *most.get_ref() > 100 {
            let what = format!("queue {id}: wrap_up_extensions is over 100");
            check.blame(most, what);
        }
    }
    if !(1..=86_400).contains(queue.wrap_up_extension_seconds.get_ref()) {
        let what = format!("queue {id}: wrap_up_extension_seconds must be 1 to 86400");
        check.blame(&queue.wrap_up_extension_seconds, what);
    }
}

/// Checks that limits can be reached, and that a cooldown does not shrink.
fn check_penalties(queue: &Queue, check: &mut Check<'_>) {
    let id = queue.id.get_ref();
    for (key, limit) in [
        ("rejected_limit", &queue.rejected_limit),
        ("missed_limit", &queue.missed_limit),
    ] {
        if *limit.get_ref() == 0 {
            check.blame(limit, format!("queue {id}: {key} must be at least 1"));
        }
    }
    if let Some(most) = &queue.cooldown_max_seconds
        && !(queue.cooldown_seconds..=COOLDOWN_MAX.as_secs()).contains(most.get_ref())
    {
        let what = format!(
            "queue {id}: cooldown_max_seconds must be cooldown_seconds, which is {}, to 3600",
            queue.cooldown_seconds
        );
        check.blame(most, what);
    }
}

/// Checks that an acknowledgement is whole, and that it can be written into a letter.
fn check_acknowledgement(queue: &Queue, check: &mut Check<'_>) {
    let (subject, text) = match (&queue.acknowledgement_subject, &queue.acknowledgement_text) {
        (None, None) => return,
        (Some(subject), Some(text)) => (subject, text),
        (Some(alone), None) | (None, Some(alone)) => {
            let what =
                "acknowledgement_subject and acknowledgement_text belong together".to_owned();
            check.blame(alone, what);
            return;
        }
    };
    let line = subject.get_ref();
    if line.trim().is_empty()
        || line.chars().count() > SUBJECT_CHARS_MAX
        || line.chars().any(char::is_control)
    {
        let what = format!(
            "acknowledgement_subject must be one line of 1 to {SUBJECT_CHARS_MAX} characters"
        );
        check.blame(subject, what);
    }
    let body = text.get_ref();
    if body.trim().is_empty()
        || body.len() > TEXT_BYTES_MAX
        || body.contains(|c: char| c.is_control() && !matches!(c, '\r' | '\n' | '\t'))
    {
        let what = format!("acknowledgement_text must be 1 to {TEXT_BYTES_MAX} bytes of text");
        check.blame(text, what);
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    /// A file of the queues `qa`, `qb` and `qc`, each with lines of its own; the first's begin in
    /// line 7.
    fn file(rules: [&str; 3]) -> String {
        let mut text = "[gateway]\ndata_dir = \"/tmp/x\"\nname = \"shop.example\"\n".to_owned();
        for (id, rules) in ["qa", "qb", "qc"].into_iter().zip(rules) {
            text +=
                &format!("[[queue]]\nid = \"{id}\"\naddresses = [\"{id}@shop.example\"]\n{rules}");
        }
        text
    }

    fn to(queue: &str) -> String {
        format!("overflow_to = \"{queue}\"\noverflow_after_seconds = 600\n")
    }

    #[test]
    fn promises_are_possible() {
        for (rules, complaint) in [
            (
                "accept_within_seconds = 2592001\n",
                "7: accept_within_seconds is over 2592000",
            ),
            (
                "accept_within_seconds = 60\nclose_within_seconds = 59\n",
                "8: close_within_seconds is less than accept_within_seconds, 60",
            ),
            ("warn_percent = 100\n", "7: warn_percent must be 1 to 99"),
        ] {
            let problems = Config::parse(&file([rules, "", ""])).unwrap_err();
            assert_eq!(problems[0].to_string(), complaint);
            assert_eq!(problems.len(), 1, "{rules}");
        }
        let rules = "accept_within_seconds = 60\nanswer_within_seconds = 60\n";
        let queues = Config::parse(&file([rules, "", ""])).unwrap().queues();
        assert_eq!(queues[0].service.answer, queues[0].service.accept);
    }

    #[test]
    fn what_overflows_ends_somewhere() {
        let chain = Config::parse(&file([&to("qb"), &to("qc"), ""]))
            .unwrap()
            .queues();
        assert_eq!(chain[0].overflow.as_ref().unwrap().to.as_str(), "qb");
        assert_eq!(chain[2].overflow, None);
        for (rules, complaints) in [
            (
                [&*to("qa"), "", ""],
                vec!["7: what overflows goes round: qa to qa"],
            ),
            (
                [&to("qb"), &to("qa"), ""],
                vec![
                    "7: what overflows goes round: qa to qb to qa",
                    "12: what overflows goes round: qb to qa to qb",
                ],
            ),
            (
                [&to("qb"), &to("qc"), &to("qb")],
                vec![
                    "12: what overflows goes round: qb to qc to qb",
                    "17: what overflows goes round: qc to qb to qc",
                ],
            ),
            (
                [&to("qx"), "", ""],
                vec!["7: queue qa overflows to qx, which is no queue"],
            ),
            (
                [&to("qb"), "enabled = false\n", ""],
                vec!["7: queue qa overflows to qb, which is not enabled"],
            ),
            (
                ["overflow_to = \"qb\"\n", "", ""],
                vec!["7: queue qa: overflow_to needs overflow_after_seconds"],
            ),
            (
                ["overflow_after_seconds = 9\n", "", ""],
                vec!["7: overflow_after_seconds says when, and overflow_to is missing"],
            ),
            (
                [
                    "overflow_to = \"qb\"\noverflow_after_seconds = 604801\n",
                    "",
                    "",
                ],
                vec!["8: overflow_after_seconds is over 604800"],
            ),
        ] {
            let problems = Config::parse(&file(rules)).unwrap_err();
            let found: Vec<String> = problems.iter().map(ToString::to_string).collect();
            assert_eq!(found, complaints, "{rules:?}");
        }
    }
}
