//! A desk with what was written of it, checked by the laws after every step.
//!
//! The laws of the desk at rest are in `check`, those of a step in `step`, those of records in
//! `kept`, of events in `told` and of figures in `recount`. Each names its number in `laws.table`. Random commands (`laws`)
//! and the simulation (`tests/sim.rs`) lead it into corners.

use std::collections::BTreeMap;

use postroom::desk::{
    Actor, Answer, Case, Command, Desk, Effects, HouseRules, Policy, QueueSettings, Refusal,
};
use postroom::id::{AgentId, SessionId};
use postroom::mail::token::MainNumber;
use postroom::time::Timestamp;

/// Fails with the number of the law that does not hold.
macro_rules! law {
    ($number:literal, $holds:expr, $($why:tt)+) => {
        assert!($holds, "law {}: {}", $number, format_args!($($why)+))
    };
}
pub(crate) use law;

mod check;
mod feeds;
mod kept;
mod make;
mod recount;
mod step;
mod told;

use check::Stood;
pub(crate) use kept::Kept;
pub(crate) use make::*;
use recount::Recount;
use told::Told;

/// How often the costly looks are taken: each so many writes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// A refused command is compared with a copy of the desk.
    pub(crate) copies: u64,
    /// The desk is put together anew from what was written, and compared.
    pub(crate) restores: u64,
    /// Every pair of interaction and agent is explained.
    pub(crate) explains: u64,
}

impl Pace {
    /// All but restoring, which takes longer than everything else together.
    pub(crate) const THOROUGH: Self = Self {
        copies: 1,
        restores: 5,
        explains: 1,
    };
}

/// What came before a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Only time passed, or the desk began anew.
    Time,
    /// A command that may make somebody eligible, such as to become Available.
    Trigger,
    /// Any other command.
    Other,
}

/// A desk with what was written of it.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) desk: Desk,
    pub(crate) kept: Kept,
    policy: Policy,
    queues: Vec<QueueSettings>,
    told: Told,
    recount: Recount,
    /// What was seen at the last check, to be compared with the next.
    stood: Stood,
    /// The newest stream of each session.
    streams: BTreeMap<SessionId, u64>,
    /// What has been decided and not been written yet, if it shall not be written at once.
    round: Option<Box<Round>>,
    pace: Pace,
    writes: u64,
}

/// What was durable before a round, and what followed in it.
#[derive(Debug, Clone)]
struct Round {
    kept: Kept,
    told: Told,
    recount: Recount,
    settings: (HouseRules, Vec<QueueSettings>),
    streams: BTreeMap<SessionId, u64>,
    effects: Vec<Effects>,
}

impl World {
    pub(crate) fn new(policy: Policy) -> Self {
        Self {
            desk: Desk::new(policy.clone()),
            kept: Kept::default(),
            policy,
            queues: Vec::new(),
            told: Told::default(),
            recount: Recount::default(),
            stood: Stood::default(),
            streams: BTreeMap::new(),
            round: None,
            pace: Pace::THOROUGH,
            writes: 0,
        }
    }

    pub(crate) fn at_pace(self, pace: Pace) -> Self {
        Self { pace, ..self }
    }

    /// Lets the desk handle a command and writes what follows.
    ///
    /// Law: a refused command leaves the desk equal to what it was.
    pub(crate) fn handle(&mut self, now: Timestamp, command: Command) -> Result<Effects, Refusal> {
        self.handle_by(now, None, command)
    }

    /// As [`Self::handle`], as somebody's act.
    pub(crate) fn handle_by(
        &mut self,
        now: Timestamp,
        by: Option<Actor>,
        mut command: Command,
    ) -> Result<Effects, Refusal> {
        self.recall(&mut command);
        let configured = match &command {
            Command::SetQueues(queues) => Some(queues.clone()),
            _ => None,
        };
        let house = match &command {
            Command::SetHouseRules(house) => Some(house.clone()),
            _ => None,
        };
        let asked = self.asked(&command);
        let copied = asked.is_late() || self.writes.is_multiple_of(self.pace.copies);
        let rehearsed = match &command {
            Command::Bulk(bulk) => Some(self.desk.rehearse(bulk)),
            _ => None,
        };
        let before = copied.then(|| self.desk.clone());
        let done = match by {
            Some(by) => self.desk.handle_by(now, by, command),
            None => self.desk.handle(now, command),
        };
        if let Some(rehearsed) = rehearsed {
            let did = done.clone().map(|effects| match effects.answer {
                Some(Answer::Treated(treated, more)) => (treated, more),
                other => panic!("an act on many was answered by {other:?}"),
            });
            assert_eq!(did, rehearsed, "not as rehearsed");
        }
        match done {
            Ok(effects) => {
                self.policy.house = house.unwrap_or_else(|| self.policy.house.clone());
                self.queues = configured.unwrap_or_else(|| std::mem::take(&mut self.queues));
                self.check_births(&asked, &effects);
                self.write(now, asked.step(), &effects);
                self.check_step(now, asked, before.as_ref(), &effects);
                Ok(effects)
            }
            Err(refusal) => {
                self.writes += 1;
                if let Some(before) = before {
                    asked.check_refused(self.desk == before, &refusal);
                }
                Err(refusal)
            }
        }
    }

    /// What the engine looks up for the desk.
    fn recall(&self, command: &mut Command) {
        match command {
            Command::FinishSubmission {
                message, sent_for, ..
            }
            | Command::CancelSend {
                message, sent_for, ..
            } => {
                if let Some(outbound) = self.desk.spool().get(*message)
                    && !(self.desk.interactions()).contains_key(&outbound.interaction)
                {
                    let mut closed = self.kept.interactions[&outbound.interaction].clone();
                    let case = self.case(closed.case);
                    closed.case = case.number;
                    *sent_for = Some(Box::new((closed, case)));
                }
            }
            Command::RetryDelivery { message, settled }
                if self.desk.spool().get(*message).is_none() =>
            {
                *settled = self.kept.outbound.get(message).cloned().map(Box::new);
            }
            _ => {}
        }
    }

    /// A case as it was last written, or the one that it was merged into.
    pub(crate) fn case(&self, number: MainNumber) -> Case {
        let case = &self.kept.cases[&number];
        case.merged_into
            .map_or_else(|| case.clone(), |into| self.case(into))
    }

    /// Lets time come.
    ///
    /// Laws: afterwards the next deadline is later; a second look finds nothing to do.
    pub(crate) fn tick(&mut self, now: Timestamp) -> Effects {
        let effects = self.desk.tick(now);
        self.write(now, Step::Time, &effects);
        let next = self.desk.next_deadline();
        let later = next.is_none_or(|next| next > now);
        law!(33, later, "{next:?} is due after {now}");
        let again = self.desk.tick(now);
        let idle = again == Effects::default();
        law!(33, idle, "a second tick did something: {again:?}");
        effects
    }

    /// The process ends and starts anew from what was written.
    pub(crate) fn restart(&mut self, now: Timestamp) -> Effects {
        self.round = None;
        self.streams.clear();
        self.stood.begin_anew();
        self.told.begin_anew();
        self.desk = self.restored(now);
        // Whoever watches begins with an overview.
        let alerts = self.desk.alerts().map(|alert| alert.concern.clone());
        self.told.look_again(alerts.collect());
        let effects = self.desk.start(now);
        self.write(now, Step::Time, &effects);
        effects
    }

    /// The machine was asleep, and the clock leaps.
    pub(crate) fn leap(&mut self, now: Timestamp) -> Effects {
        let misses =
            |desk: &Desk| -> u32 { desk.agents().values().map(|agent| agent.misses).sum() };
        let before = misses(&self.desk);
        let effects = self.desk.leap(now);
        let blamed = misses(&self.desk) != before;
        law!(35, !blamed, "blamed for what happened asleep");
        self.write(now, Step::Time, &effects);
        effects
    }

    fn restored(&self, now: Timestamp) -> Desk {
        let (policy, queues) = (self.policy.clone(), self.queues.clone());
        Desk::restore(policy, queues, self.kept.records(), now)
    }

    /// From here on nothing is durable before [`Self::sync`].
    pub(crate) fn begin_round(&mut self) {
        self.round = Some(Box::new(Round {
            kept: self.kept.clone(),
            told: self.told.clone(),
            recount: self.recount.clone(),
            settings: (self.policy.house.clone(), self.queues.clone()),
            streams: self.streams.clone(),
            effects: Vec::new(),
        }));
    }

    /// The round is durable.
    pub(crate) fn sync(&mut self) {
        self.round = None;
    }

    /// The power fails before the round is durable: the first `left` of its writes are on the
    /// disk, and nobody was told of any. What is left wants [`Self::restart`].
    pub(crate) fn cut(&mut self, left: usize) {
        let Some(round) = self.round.take() else {
            return;
        };
        self.stood.forget();
        (self.kept, self.told, self.recount) = (round.kept, round.told, round.recount);
        (self.policy.house, self.queues) = round.settings;
        self.streams = round.streams;
        for effects in round.effects.iter().take(left) {
            self.record(effects);
        }
    }

    /// The store says that nothing of the round was written: the desk is put together anew, and
    /// keeps what it knows of its clients, and of the messages that the submitter is busy with.
    pub(crate) fn fail(&mut self, now: Timestamp) {
        let known = self.streams.clone();
        self.cut(0);
        // Of a session whose end could not be written, the stream from before is there.
        for session in self.desk.sessions() {
            self.streams.remove(&session.id);
        }
        self.streams.extend(known);
        (self.streams).retain(|id, _| self.kept.sessions.contains_key(id));
        let mut desk = self.restored(now);
        desk.take_over(now, &self.desk, &self.streams, &self.told.flying);
        self.desk = desk;
        self.stood.fail(now);
    }

    fn record(&mut self, effects: &Effects) {
        for change in &effects.changes {
            self.kept.write(change);
        }
        (self.told).hear(effects, &self.kept, self.policy.log_entries);
        self.recount.hear(effects, &self.desk);
    }

    fn write(&mut self, now: Timestamp, step: Step, effects: &Effects) {
        self.writes += 1;
        self.check_written(effects);
        self.record(effects);
        self.recount.check(&self.kept.figures, &self.desk);
        if let Some(round) = &mut self.round {
            round.effects.push(effects.clone());
        }
        self.check_uploads();
        self.check_offers(now, &effects.events);
        self.check(now, step);
    }

    /// The newest open session of an agent.
    pub(crate) fn session(&self, agent: &AgentId) -> Option<SessionId> {
        (self.desk.sessions())
            .filter(|session| session.agent == *agent)
            .map(|session| session.id)
            .max()
    }
}
