//! The words of the stories: times, names and rules as they are written there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use postroom::desk::{
    AfterWork, Ageing, CodePolicy, Command, DeclineAction, Hours, HouseRules, OfferClock, Overflow,
    QueueSettings, ReasonKind, Requested, Span, Strategy, Zone,
};
use postroom::id::{MessageId, OfferId, SessionId};
use postroom::outbound::message::{Diagnostic, Outcome};
use postroom::time::Timestamp;

use crate::world::nine;

/// A session that never was.
pub(super) fn nobody() -> SessionId {
    SessionId::new(Timestamp::ZERO, 0)
}

pub(super) fn notice(agents: &[&str], queues: &[&str], text: String) -> Result<Command, String> {
    Ok(Command::PostNotice {
        agents: (agents.iter().map(|id| slug(id))).collect::<Result<_, _>>()?,
        queues: (queues.iter().map(|id| slug(id))).collect::<Result<_, _>>()?,
        text,
    })
}

pub(super) fn reject(
    session: SessionId,
    offer: OfferId,
    why: &str,
    next: Option<Requested>,
) -> Command {
    Command::RejectOffer {
        session,
        offer,
        reason: why.to_owned(),
        next,
    }
}

/// A time of day on the one day of all stories.
pub(super) fn time(word: &str) -> Option<Timestamp> {
    let (time, fraction) = word.split_once('.').unwrap_or((word, "0"));
    let parts: Vec<u64> = time
        .split(':')
        .map(str::parse)
        .collect::<Result<_, _>>()
        .ok()?;
    let [hour, minute, second] = parts.as_slice() else {
        return None;
    };
    let midnight = nine() - Duration::from_secs(9 * 3600);
    let millis = fraction.parse().ok()?;
    let seconds = hour * 3600 + minute * 60 + second;
    Some(midnight + Duration::from_secs(seconds) + Duration::from_millis(millis))
}

pub(super) fn number(word: &str, letter: char) -> Option<usize> {
    word.strip_prefix(letter)?.parse().ok()
}

/// The thing that a short name means.
pub(super) fn pick<'a, T>(known: &'a [T], letter: char, word: &str) -> Result<&'a T, String> {
    number(word, letter)
        .and_then(|number| known.get(number.checked_sub(1)?))
        .ok_or_else(|| format!("no {word} yet"))
}

pub(super) fn slug<T: std::str::FromStr>(word: &str) -> Result<T, String> {
    word.parse().map_err(|_| format!("{word} is no slug"))
}

pub(super) fn requested(words: &[&str]) -> Result<Requested, String> {
    match words {
        ["available"] => Ok(Requested::Available),
        ["offline"] => Ok(Requested::WorkOffline(String::new())),
        ["offline", why] => Ok(Requested::WorkOffline((*why).to_owned())),
        _ => Err("available, or offline with a reason".into()),
    }
}

/// A queue with one rule changed; times in seconds.
pub(super) fn set(mut queue: QueueSettings, rule: &str) -> Result<QueueSettings, String> {
    let (name, value) = rule.split_once('=').ok_or("a rule has a value")?;
    let count = || value.parse::<u64>().map_err(|_| "not a number");
    let action = || match value {
        "offline" => Ok(DeclineAction::WorkOffline),
        "cooldown" => Ok(DeclineAction::Cooldown),
        _ => Err("offline or cooldown"),
    };
    match name {
        "offer" => queue.offer_timeout = Duration::from_secs(count()?),
        "undo" => queue.undo = Duration::from_secs(count()?),
        "wrap-up" => queue.post_processing = Some(Duration::from_secs(count()?)),
        "rejected" => queue.rejected_action = action()?,
        "missed" => queue.missed_action = action()?,
        "limit" => queue.missed_limit = u32::try_from(count()?).map_err(|_| "too many")?,
        "cooldown" => queue.cooldown = Duration::from_secs(count()?),
        "strategy" => {
            queue.strategy = match value {
                "longest_idle" => Strategy::LongestIdle,
                "round_robin" => Strategy::RoundRobin,
                "most_skilled" => Strategy::MostSkilled,
                "least_loaded" => Strategy::LeastLoaded,
                _ => return Err("no such strategy".into()),
            }
        }
        "preferred" => queue.preferred_agent = Duration::from_secs(count()?),
        "relax" => queue.skill_relax = Some(Duration::from_secs(count()?)),
        "ageing" => {
            let (every, max) = value.split_once('/').ok_or("ageing=EVERY/MAX")?;
            queue.ageing = Some(Ageing {
                every: Duration::from_secs(every.parse().map_err(|_| "not a number")?),
                max: max.parse().map_err(|_| "not a number")?,
            });
        }
        "overflow" => {
            let (to, after) = value.split_once(':').ok_or("to where, and when?")?;
            let after = after.parse().map_err(|_| "not a number")?;
            queue.overflow = Some(Overflow {
                to: slug(to)?,
                after: Duration::from_secs(after),
            });
        }
        "accept" => queue.service.accept = Some(Duration::from_secs(count()?)),
        "answer" => queue.service.answer = Some(Duration::from_secs(count()?)),
        "close" => queue.service.close = Some(Duration::from_secs(count()?)),
        "warn" => queue.service.warn = value.parse().map_err(|_| "not a number")?,
        "open" => queue.hours = Some(daily(value)?),
        "pull" => queue.pull = value == "on",
        "transfers" => queue.accepts_transfers = value == "on",
        "cooldown-max" => queue.cooldown_max = Duration::from_secs(count()?),
        "rejects" => queue.rejected_limit = u32::try_from(count()?).map_err(|_| "too many")?,
        "reject" => queue.may_reject = value == "yes",
        "clock" if value == "shown" => queue.offer_clock = OfferClock::Shown,
        "codes" if value == "required" => queue.codes = CodePolicy::Required,
        "codes" if value == "hold" => queue.codes = CodePolicy::Hold,
        "extensions" => queue.extensions_max = u32::try_from(count()?).map_err(|_| "too many")?,
        "extension" => queue.extension = Duration::from_secs(count()?),
        "takes-back" => queue.takes_back = value == "yes",
        "max" => queue.waiting_max = usize::try_from(count()?).map_err(|_| "too many")?,
        _ => return Err(format!("no rule {name}")),
    }
    Ok(queue)
}

/// Hours that are the same on each day, in UTC: `09:00-12:00+13:00-17:00`.
pub(super) fn daily(ranges: &str) -> Result<Arc<Hours>, String> {
    let minutes = |text: &str| {
        let (hour, minute) = text.split_once(':')?;
        Some(hour.parse::<u16>().ok()? * 60 + minute.parse::<u16>().ok()?)
    };
    let span = |range: &str| {
        let (from, to) = range.split_once('-')?;
        Span::new(minutes(from)?, minutes(to)?)
    };
    let spans: Option<Vec<Span>> = ranges.split('+').map(span).collect();
    let spans = spans.ok_or("no hours")?;
    let week = std::array::from_fn(|_| spans.clone());
    Ok(Arc::new(Hours::new(Zone::default(), week, BTreeMap::new())))
}

/// The rules for every agent with one changed.
pub(super) fn decree(mut house: HouseRules, rule: &str) -> Result<HouseRules, String> {
    match rule.split_once('=').ok_or("a rule has a value")? {
        ("zone", zone) => house.zone = slug(zone)?,
        ("after-work", "return") => house.after_work = AfterWork::Return,
        ("wrap-up", "slot") => house.wrap_up_holds_all = false,
        ("reason", reason) => {
            let (kind, code) = reason.split_once(':').ok_or("kind:code")?;
            let kind = match kind {
                "offline" => ReasonKind::Offline,
                "reject" => ReasonKind::Reject,
                "wrap-up" => ReasonKind::WrapUp,
                _ => return Err(format!("no kind {kind}")),
            };
            house.reasons.insert((kind, code.to_owned()), String::new());
        }
        _ => return Err(format!("no rule {rule}")),
    }
    Ok(house)
}

/// What the submitter reports.
pub(super) fn submission(message: MessageId, words: &[&str]) -> Result<Command, String> {
    let said = || Diagnostic::ours("said the MTA");
    let outcome = match words {
        ["handed", "over"] => return Ok(Command::HandOver { message }),
        ["again"] => {
            return Ok(Command::RetryDelivery {
                message,
                settled: None,
            });
        }
        ["accepted"] => Outcome::Accepted {
            reply: said(),
            queue_id: Some("4XYZ".into()),
            refused: Vec::new(),
        },
        ["deferred"] => Outcome::Temporary(said()),
        ["refused"] => Outcome::Permanent {
            diagnostic: said(),
            refused: Vec::new(),
        },
        ["lost"] => Outcome::Lost(said()),
        _ => return Err("no such report".into()),
    };
    Ok(Command::FinishSubmission {
        message,
        outcome,
        sent_for: None,
    })
}
