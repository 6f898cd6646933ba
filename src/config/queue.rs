//! A `[[queue]]`: its fields, and what the desk makes of them.

mod check;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub(super) use check::check_all;
use serde::Deserialize;
use toml::Spanned;

use crate::desk::{
    self, Ageing, CodePolicy, DeclineAction, Mailbox, OfferClock, Overflow, QueueSettings, Service,
    Strategy,
};
use crate::id::QueueId;
use crate::intake::policy::Door;
use crate::intake::responsibility::Mode;
use crate::mail::acknowledgement::Template;
use crate::mail::address::Address;
use crate::mail::attribution;
use crate::mail::automatic::Allowed;
use crate::mail::threading::Windows;

/// What becomes of an agent who declines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decline {
    /// Left alone for the queue's cooldown.
    Cooldown,
    /// Set to Work Offline.
    WorkOffline,
}

impl From<Decline> for DeclineAction {
    fn from(action: Decline) -> Self {
        match action {
            Decline::Cooldown => Self::Cooldown,
            Decline::WorkOffline => Self::WorkOffline,
        }
    }
}

/// Whether post-processing needs a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Codes {
    /// No.
    Optional,
    /// Agents cannot finish without; `timed-out` is written when time runs out.
    Required,
    /// It does not end before.
    Hold,
}

/// From when the time to answer an offer counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Clock {
    /// From when it was made.
    Made,
    /// From when it was on the screen.
    Shown,
}

/// What becomes of the work of an agent who is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Abandoned {
    /// It waits for them.
    Keep,
    /// It goes back to its old place in line.
    Requeue,
}

/// One queue.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Queue {
    /// Its short name: 2 to 63 of `a-z`, `0-9` and `-`. No default.
    pub id: Spanned<String>,
    /// What people read. Default: the id.
    #[serde(default)]
    pub display_name: String,
    /// Its addresses, at least one. Mail to one of them, with or without `+detail`, lands in this
    /// queue, and its agents may send from it; the first is the default. No default.
    pub addresses: Vec<Spanned<String>>,
    /// The name beside them in From; `{agent}` stands for the agent's. Default: what people read.
    pub from_name: Option<Spanned<String>>,
    /// The line above a quoted letter. `{name}`, `{address}`, `{date}`, `{day}`, `{month}`, `{year}`
    /// and `{time}` stand for who wrote it and when, in the time zone of its `hours`, or UTC.
    /// Default: in English, `On {date}, {name} wrote:`.
    pub attribution: Option<Spanned<String>>,
    /// The word before the case's number in the subject of what agents write to customers: `Case`
    /// for `[Case 57245]`. Default: none, the number stays out of subjects.
    pub subject_tag: Option<Spanned<String>>,
    /// Whether it takes mail. If not, its addresses are refused with 550 5.2.1, and what is in it
    /// is worked off. Default: `true`.
    #[serde(default = "enabled")]
    pub enabled: bool,
    /// What Postfix does with its own copy: `tag`, `consume` or `split`; see above.
    /// Default: `tag`.
    #[serde(default)]
    pub mode: Mode,
    /// How long an offer waits for an answer, in seconds, 5 to 600. Default: `30`.
    #[serde(default = "offer_timeout")]
    pub offer_timeout_seconds: Spanned<u64>,
    /// From when that time counts: `made`, or `shown` for from when the offer is on the screen.
    /// Default: `made`.
    #[serde(default = "made")]
    pub offer_clock: Clock,
    /// How long post-processing lasts, in seconds, up to 86400; 0 switches it off. Default: `0`.
    #[serde(default)]
    pub post_processing_seconds: u64,
    /// Whether post-processing needs a code: `optional`; `required`, so that agents cannot finish
    /// without and `timed-out` is written when time runs out; or `hold`, so that it does not end
    /// before. Default: `optional`.
    #[serde(default = "optional")]
    pub wrap_up_codes: Spanned<Codes>,
    /// How often agents may ask for more post-processing time, up to 100. Default: `3`, or
    /// none without post-processing.
    pub wrap_up_extensions: Option<Spanned<u32>>,
    /// How much they get each time, in seconds, 1 to 86400. Default: `60`.
    #[serde(default = "extension_seconds")]
    pub wrap_up_extension_seconds: Spanned<u64>,
    /// What becomes of the work of an agent who is missing for so long that the session is given up:
    /// `keep` waits for them, `requeue` puts it back to its old place in line. Default: `keep`.
    #[serde(default = "keep")]
    pub abandoned_work: Abandoned,
    /// Whether agents may reject offers. Default: `true`.
    #[serde(default = "enabled")]
    pub reject_allowed: bool,
    /// What rejected offers do to the agent: `cooldown` or `work_offline`. Default: `cooldown`.
    #[serde(default = "cooldown")]
    pub rejected_action: Decline,
    /// How many offers in a row may be rejected before that; until then it is the cooldown.
    /// Default: `1`.
    #[serde(default = "rejected_limit")]
    pub rejected_limit: Spanned<u32>,
    /// What too many missed offers do to the agent: `cooldown` or `work_offline`.
    /// Default: `work_offline`.
    #[serde(default = "work_offline")]
    pub missed_action: Decline,
    /// How many offers in a row may be missed before that; until then it is the cooldown.
    /// Default: `3`.
    #[serde(default = "missed_limit")]
    pub missed_limit: Spanned<u32>,
    /// How long an agent who rejected or missed an offer is left alone, in seconds, up to 3600.
    /// Default: `5`.
    #[serde(default = "cooldown_seconds")]
    pub cooldown_seconds: u64,
    /// How long that may become, in seconds, up to 3600: it doubles with each further offer in a row
    /// that is rejected, or missed. Default: `cooldown_seconds`, so it stays the same.
    pub cooldown_max_seconds: Option<Spanned<u64>>,
    /// How many interactions may wait; further mail is told to come back. Default: `100000`.
    #[serde(default = "waiting_max")]
    pub waiting_max: usize,
    /// Lets letters of lists and newsletters be offered to agents. Otherwise they are filed, and
    /// offered only if they continue a case. Default: `false`.
    #[serde(default)]
    pub allow_bulk: bool,
    /// Lets automatic answers, such as absence notes, open a case if they continue none. Otherwise
    /// they are filed. Default: `false`.
    #[serde(default)]
    pub auto_reply_opens_case: bool,
    /// Subject of the acknowledgement that people are sent when their letter opens a case;
    /// `{number}` stands for the case's number. Together with `acknowledgement_text`.
    /// Default: none, nothing is sent.
    pub acknowledgement_subject: Option<Spanned<String>>,
    /// Text of that acknowledgement, with `{number}` likewise. Default: none.
    pub acknowledgement_text: Option<Spanned<String>>,
    /// For how many days after its end a letter opens the same case again. Default: `14`.
    #[serde(default = "reopen_days")]
    pub reopen_days: u32,
    /// For how many days after its end a letter opens a new case that is linked to the old one;
    /// not less than `reopen_days`. Later ones are linked to nothing. Default: `90`.
    #[serde(default = "follow_up_days")]
    pub follow_up_days: Spanned<u32>,
    /// Whether agents of other queues may transfer their work to it. Default: `true`.
    #[serde(default = "accepts_transfers")]
    pub accepts_transfers: bool,
    /// Whether its agents may take work out of it that they were not offered (`PullInteraction`).
    /// Default: `false`.
    #[serde(default)]
    pub pull: bool,
    /// Who goes first among idle agents who can do it: `longest_idle`, `round_robin` (least
    /// recently offered something from here), `most_skilled` (best at what a rule asks for) or
    /// `least_loaded` (smallest part of the capacity in use). Among equals: longest idle.
    /// Default: `longest_idle`.
    #[serde(default)]
    pub strategy: Choice,
    /// How long a letter in a known case is kept for the agent who handled that case last, while
    /// they are signed in, serve the queue and have not declined it, in seconds of open hours, up to
    /// 86400.
    /// Default: `0`, not at all.
    #[serde(default = "never")]
    pub preferred_agent_seconds: Spanned<u64>,
    /// For how many seconds what agents send from here waits before it is tried, so that they may
    /// take it back, up to 120. Default: `0`, sent at once.
    #[serde(default = "never")]
    pub undo_seconds: Spanned<u64>,
    /// After how many seconds each skill that a rule asks for is asked for at one level less, and
    /// so on until it is not asked for, up to 604800. Default: `0`, never.
    #[serde(default = "never")]
    pub skill_relax_seconds: Spanned<u64>,
    /// After how many seconds of waiting the priority grows by one, and so on, up to 604800.
    /// Without it high priorities can hold up low ones for ever. Default: `0`, never.
    #[serde(default = "never")]
    pub ageing_seconds: Spanned<u64>,
    /// How much the priority grows at most, 1 to 200. Default: `10`.
    #[serde(default = "ageing_max")]
    pub ageing_max: Spanned<u32>,
    /// The queue in which what waits too long goes on waiting, with its age; it is that queue's from
    /// then on. Together with `overflow_after_seconds`. Default: none.
    pub overflow_to: Option<Spanned<String>>,
    /// How long something waits before that, in seconds of its open hours, up to 604800; not while
    /// the other queue is closed or full. Default: `0`, never.
    #[serde(default = "never")]
    pub overflow_after_seconds: Spanned<u64>,
    /// How soon its mail is to be accepted, in seconds of its open hours, up to 2592000. What is
    /// near that or over it is told on `WatchDesk`. Default: `0`, nothing is promised.
    #[serde(default = "never")]
    pub accept_within_seconds: Spanned<u64>,
    /// How soon it is to be answered, likewise. Default: `0`, nothing is promised.
    #[serde(default = "never")]
    pub answer_within_seconds: Spanned<u64>,
    /// How soon it is to be closed, likewise. Default: `0`, nothing is promised.
    #[serde(default = "never")]
    pub close_within_seconds: Spanned<u64>,
    /// After how much of the time there is a warning, in per cent, 1 to 99. Default: `80`.
    #[serde(default = "eighty")]
    pub warn_percent: Spanned<u8>,
    /// The `[[hours]]` in which it offers what waits in it. Mail is taken at any time.
    /// Default: none, it is always open.
    pub hours: Option<Spanned<String>>,
}

const fn accepts_transfers() -> bool {
    true
}

/// Who goes first among idle agents.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Choice {
    /// Who has been idle longest.
    #[default]
    LongestIdle,
    /// Who was asked least recently.
    RoundRobin,
    /// Who is best at what is asked for.
    MostSkilled,
    /// Who has the smallest part of their capacity in use.
    LeastLoaded,
}

impl From<Choice> for Strategy {
    fn from(choice: Choice) -> Self {
        match choice {
            Choice::LongestIdle => Self::LongestIdle,
            Choice::RoundRobin => Self::RoundRobin,
            Choice::MostSkilled => Self::MostSkilled,
            Choice::LeastLoaded => Self::LeastLoaded,
        }
    }
}

const fn enabled() -> bool {
    true
}

fn offer_timeout() -> Spanned<u64> {
    Spanned::new(0..0, 30)
}

const fn cooldown() -> Decline {
    Decline::Cooldown
}

const fn work_offline() -> Decline {
    Decline::WorkOffline
}

const fn made() -> Clock {
    Clock::Made
}

fn optional() -> Spanned<Codes> {
    Spanned::new(0..0, Codes::Optional)
}

fn extension_seconds() -> Spanned<u64> {
    Spanned::new(0..0, 60)
}

const fn keep() -> Abandoned {
    Abandoned::Keep
}

fn rejected_limit() -> Spanned<u32> {
    Spanned::new(0..0, 1)
}

fn missed_limit() -> Spanned<u32> {
    Spanned::new(0..0, 3)
}

/// How often post-processing may be extended, if nothing is said.
const EXTENSIONS: u32 = 3;

const fn cooldown_seconds() -> u64 {
    5
}

const fn waiting_max() -> usize {
    100_000
}

const fn reopen_days() -> u32 {
    14
}

fn follow_up_days() -> Spanned<u32> {
    Spanned::new(0..0, 90)
}

fn never() -> Spanned<u64> {
    Spanned::new(0..0, 0)
}

fn eighty() -> Spanned<u8> {
    Spanned::new(0..0, 80)
}

fn ageing_max() -> Spanned<u32> {
    Spanned::new(0..0, 10)
}

/// A time in seconds of which zero means none.
fn unless_zero(seconds: &Spanned<u64>) -> Option<Duration> {
    Some(*seconds.get_ref())
        .filter(|seconds| *seconds > 0)
        .map(Duration::from_secs)
}

const fn days(count: u32) -> Duration {
    Duration::from_secs(count as u64 * 24 * 3600)
}

impl Queue {
    pub(super) fn settings(
        &self,
        hours: &BTreeMap<String, Arc<desk::Hours>>,
    ) -> Option<QueueSettings> {
        let hours = match &self.hours {
            Some(name) => Some(Arc::clone(hours.get(name.get_ref())?)),
            None => None,
        };
        let id: QueueId = self.id.get_ref().parse().ok()?;
        let display_name = if self.display_name.is_empty() {
            id.to_string()
        } else {
            self.display_name.clone()
        };
        let mailboxes = self
            .addresses
            .iter()
            .filter_map(|address| Address::parse(address.get_ref()).ok())
            .map(|address| Mailbox {
                address: address.normalised(),
                display_name: display_name.clone(),
            })
            .collect();
        Some(QueueSettings {
            id,
            display_name,
            mailboxes,
            from_name: self.from_name.as_ref().map(|name| name.get_ref().clone()),
            attribution: (self.attribution.as_ref()).map_or_else(
                || attribution::DEFAULT.to_owned(),
                |line| line.get_ref().clone(),
            ),
            tag: self.subject_tag.as_ref().map(|word| word.get_ref().clone()),
            offer_timeout: Duration::from_secs(*self.offer_timeout_seconds.get_ref()),
            post_processing: (self.post_processing_seconds > 0)
                .then(|| Duration::from_secs(self.post_processing_seconds)),
            rejected_action: self.rejected_action.into(),
            missed_action: self.missed_action.into(),
            missed_limit: (*self.missed_limit.get_ref()).max(1),
            cooldown: Duration::from_secs(self.cooldown_seconds),
            cooldown_max: Duration::from_secs(
                (self.cooldown_max_seconds.as_ref())
                    .map_or(self.cooldown_seconds, |most| *most.get_ref()),
            ),
            may_reject: self.reject_allowed,
            rejected_limit: (*self.rejected_limit.get_ref()).max(1),
            offer_clock: match self.offer_clock {
                Clock::Made => OfferClock::Made,
                Clock::Shown => OfferClock::Shown,
            },
            codes: match self.wrap_up_codes.get_ref() {
                Codes::Optional => CodePolicy::Optional,
                Codes::Required => CodePolicy::Required,
                Codes::Hold => CodePolicy::Hold,
            },
            extensions_max: (self.wrap_up_extensions.as_ref())
                .map_or(EXTENSIONS, |most| *most.get_ref()),
            extension: Duration::from_secs(*self.wrap_up_extension_seconds.get_ref()),
            takes_back: self.abandoned_work == Abandoned::Requeue,
            waiting_max: self.waiting_max.max(1),
            allowed: Allowed {
                bulk: self.allow_bulk,
                auto_reply: self.auto_reply_opens_case,
            },
            acknowledgement: self.acknowledgement(),
            windows: Windows {
                reopen: days(self.reopen_days),
                follow_up: days(*self.follow_up_days.get_ref()),
            },
            accepts_transfers: self.accepts_transfers,
            pull: self.pull,
            strategy: self.strategy.into(),
            preferred_agent: Duration::from_secs(*self.preferred_agent_seconds.get_ref()),
            undo: Duration::from_secs(*self.undo_seconds.get_ref()),
            skill_relax: unless_zero(&self.skill_relax_seconds),
            ageing: unless_zero(&self.ageing_seconds).map(|every| Ageing {
                every,
                max: *self.ageing_max.get_ref(),
            }),
            overflow: match &self.overflow_to {
                Some(to) => Some(Overflow {
                    to: to.get_ref().parse().ok()?,
                    after: Duration::from_secs(*self.overflow_after_seconds.get_ref()),
                }),
                None => None,
            },
            service: Service {
                accept: unless_zero(&self.accept_within_seconds),
                answer: unless_zero(&self.answer_within_seconds),
                close: unless_zero(&self.close_within_seconds),
                warn: *self.warn_percent.get_ref(),
            },
            hours,
        })
    }

    fn acknowledgement(&self) -> Option<Template> {
        Some(Template {
            subject: self.acknowledgement_subject.as_ref()?.get_ref().clone(),
            text: self.acknowledgement_text.as_ref()?.get_ref().clone(),
        })
    }
}

impl Queue {
    /// What intake has to know about the queue's door.
    pub(super) fn door(&self) -> Option<(QueueId, Door)> {
        let id = self.id.get_ref().parse().ok()?;
        let door = Door {
            enabled: self.enabled,
            mode: self.mode,
        };
        Some((id, door))
    }
}
