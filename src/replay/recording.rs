//! A recording: what arrived, who was at work, and how each piece of work went.
//!
//! It is put together row by row, as a gateway or a file gives them: each agent's rows in the order
//! in which they happened, the agents and the arrivals in any.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::time::Duration;

use super::habits::Habits;
use crate::desk::skill::Skills;
use crate::desk::{AgentState, PresenceCause};
use crate::id::{AgentId, InteractionId, QueueId};
use crate::mail::token::MainNumber;
use crate::time::Timestamp;

/// One thing that was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Row {
    /// An agent, before all else about them.
    Member(Member),
    /// An agent was shown as something else.
    Moved(Moved),
    /// An offer was answered, or not.
    Answered(Answered),
    /// A piece of work went on.
    Step(Step),
    /// A piece of work arrived.
    Arrival(Arrival),
}

/// An agent: as they are now, and as they were shown when the recording began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub id: AgentId,
    /// The queues they serve, with how much of them each gets.
    pub queues: BTreeMap<QueueId, u8>,
    /// What they can do.
    pub skills: Skills,
    /// How many interactions they may hold at once.
    pub capacity: u32,
    /// What they were shown as at the beginning, or when what is recorded of them begins.
    pub state: AgentState,
    /// From when on there is anything about them; `None` if that is no later than the beginning.
    /// Before that they are taken for absent.
    pub since: Option<Timestamp>,
}

/// An agent was shown as something else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// Who.
    pub agent: AgentId,
    /// When.
    pub at: Timestamp,
    /// As what.
    pub state: AgentState,
    /// Why.
    pub cause: PresenceCause,
}

/// How an offer was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// It was taken.
    Accepted,
    /// It was turned down.
    Rejected,
    /// It was on the screen, and nobody answered.
    Missed,
}

/// An offer that was answered, or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// By whom.
    pub agent: AgentId,
    /// What was offered.
    pub interaction: InteractionId,
    /// How long after it was made.
    pub after: Duration,
    /// How.
    pub how: How,
}

/// A piece of work went on in an agent's hands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// In whose.
    pub agent: AgentId,
    /// Which.
    pub interaction: InteractionId,
    /// When.
    pub at: Timestamp,
    /// How.
    pub what: What,
}

/// How a piece of work went on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// It came into the agent's hands.
    Taken,
    /// It came back into them.
    Resumed,
    /// It was set aside.
    Parked,
    /// It was handled, and post-processing began.
    Handled,
    /// It was finished.
    Ended,
    /// It was given to this queue.
    Transferred(QueueId),
    /// It was given back.
    Requeued,
    /// It needed no handling.
    Cancelled,
}

/// A piece of work that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// Which.
    pub id: InteractionId,
    /// In which queue.
    pub queue: QueueId,
    /// In which case.
    pub case: MainNumber,
    /// When.
    pub at: Timestamp,
    /// Higher goes first.
    pub priority: i32,
    /// What its agent should be able to do.
    pub skills: BTreeSet<String>,
    /// For whom it was kept.
    pub preferred: Option<AgentId>,
    /// When an agent first accepted it.
    pub accepted: Option<Timestamp>,
    /// When the customer was first answered.
    pub answered: Option<Timestamp>,
    /// When it was closed.
    pub closed: Option<Timestamp>,
}

/// What is in the way of understanding a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Broken {
    /// Something is told of an agent who was not introduced.
    Stranger(AgentId),
    /// It ends before it begins.
    Reversed,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stranger(agent) => {
                write!(f, "it speaks of agent {agent} before introducing them")
            }
            Self::Reversed => f.write_str("it ends before it begins"),
        }
    }
}

impl std::error::Error for Broken {}

/// How a piece of work left an agent's hands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// Not before the recording ended.
    Open,
    /// It was done.
    Done,
    /// It was given to this queue.
    Transferred(QueueId),
    /// It was given back.
    Requeued,
    /// It needed no handling.
    Cancelled,
}

/// The time of a piece of work in one agent's hands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Leg {
    pub(super) agent: AgentId,
    begun: Timestamp,
    /// Since when it is in hand, while it is.
    held: Option<Timestamp>,
    /// How long it was in hand, without the times when it was set aside.
    pub(super) handled: Duration,
    pub(super) end: End,
    wrapping: Option<Timestamp>,
    /// How long post-processing took, if there was any.
    pub(super) wrapped: Option<Duration>,
}

impl Leg {
    fn new(agent: AgentId, at: Timestamp) -> Self {
        Self {
            agent,
            begun: at,
            held: Some(at),
            handled: Duration::ZERO,
            end: End::Open,
            wrapping: None,
            wrapped: None,
        }
    }

    fn let_go(&mut self, at: Timestamp, end: End) {
        if let Some(held) = self.held.take() {
            self.handled += at.since(held);
            self.end = end;
        }
    }
}

/// What was recorded between two points in time.
#[derive(Debug, Clone)]
pub struct Recording {
    pub(super) from: Timestamp,
    pub(super) until: Timestamp,
    pub(super) members: BTreeMap<AgentId, Member>,
    /// When each agent came and went, and whether they are there from then on.
    pub(super) shifts: BTreeMap<AgentId, Vec<(Timestamp, bool)>>,
    pub(super) arrivals: BTreeMap<InteractionId, Arrival>,
    pub(super) legs: BTreeMap<InteractionId, Vec<Leg>>,
    /// What each agent declined, and how, in this order.
    pub(super) declined: BTreeMap<(AgentId, InteractionId), VecDeque<How>>,
    pub(super) habits: Habits,
    /// Since when each agent is kept away because they declined.
    banned: BTreeMap<AgentId, Timestamp>,
}

impl Recording {
    /// An empty one.
    ///
    /// # Errors
    ///
    /// [`Broken::Reversed`] unless `from` is before `until`.
    pub fn new(from: Timestamp, until: Timestamp) -> Result<Self, Broken> {
        if from >= until {
            return Err(Broken::Reversed);
        }
        Ok(Self {
            from,
            until,
            members: BTreeMap::new(),
            shifts: BTreeMap::new(),
            arrivals: BTreeMap::new(),
            legs: BTreeMap::new(),
            declined: BTreeMap::new(),
            habits: Habits::default(),
            banned: BTreeMap::new(),
        })
    }

    /// When it begins.
    #[must_use]
    pub const fn from(&self) -> Timestamp {
        self.from
    }

    /// When it ends.
    #[must_use]
    pub const fn until(&self) -> Timestamp {
        self.until
    }

    /// The agents.
    #[must_use]
    pub const fn members(&self) -> &BTreeMap<AgentId, Member> {
        &self.members
    }

    /// What arrived, with what had arrived before and was still there.
    #[must_use]
    pub const fn arrivals(&self) -> &BTreeMap<InteractionId, Arrival> {
        &self.arrivals
    }

    /// What arrived while it ran.
    pub(super) fn received(&self) -> impl Iterator<Item = &Arrival> {
        (self.arrivals.values()).filter(|found| (self.from..self.until).contains(&found.at))
    }

    /// Adds a row.
    ///
    /// # Errors
    ///
    /// [`Broken::Stranger`]; nothing was added.
    pub fn add(&mut self, row: Row) -> Result<(), Broken> {
        match row {
            Row::Member(member) => {
                let there = is_there(member.state, PresenceCause::SignIn, true);
                let since = member.since.map(|since| (since, there));
                let mut shifts = vec![(self.from, there && since.is_none())];
                shifts.extend(since);
                self.shifts.entry(member.id.clone()).or_insert(shifts);
                self.members.entry(member.id.clone()).or_insert(member);
            }
            Row::Moved(moved) => self.shift(moved)?,
            Row::Answered(answered) => {
                self.known(&answered.agent)?;
                if answered.how == How::Accepted {
                    let after = answered.after;
                    (self.habits.reactions).add(&answered.agent, after);
                } else {
                    let about = (answered.agent, answered.interaction);
                    let declined = self.declined.entry(about).or_default();
                    declined.push_back(answered.how);
                }
            }
            Row::Step(step) => {
                self.known(&step.agent)?;
                self.go_on(step);
            }
            Row::Arrival(arrival) => {
                self.arrivals.entry(arrival.id).or_insert(arrival);
            }
        }
        Ok(())
    }

    fn known(&self, agent: &AgentId) -> Result<(), Broken> {
        if self.members.contains_key(agent) {
            return Ok(());
        }
        Err(Broken::Stranger(agent.clone()))
    }

    fn shift(&mut self, moved: Moved) -> Result<(), Broken> {
        let Some(shifts) = self.shifts.get_mut(&moved.agent) else {
            return Err(Broken::Stranger(moved.agent));
        };
        let before = shifts.last().is_some_and(|(_, there)| *there);
        let there = is_there(moved.state, moved.cause, before);
        if is_ban(moved.state, moved.cause) {
            self.banned.insert(moved.agent.clone(), moved.at);
        } else if moved.state == AgentState::Available
            && let Some(since) = self.banned.remove(&moved.agent)
        {
            (self.habits.returns).add(&moved.agent, moved.at.since(since));
        }
        if there != before {
            shifts.push((moved.at, there));
        }
        Ok(())
    }

    fn go_on(&mut self, step: Step) {
        let legs = self.legs.entry(step.interaction).or_default();
        let own = legs.iter_mut().rfind(|leg| leg.agent == step.agent);
        let Some(leg) = own.filter(|_| step.what != What::Taken) else {
            // What was in hand before the recording began is not known how it began.
            if matches!(step.what, What::Taken | What::Resumed) {
                legs.push(Leg::new(step.agent, step.at));
            }
            return;
        };
        match step.what {
            What::Taken => {}
            What::Resumed => leg.held = Some(step.at),
            What::Parked => leg.let_go(step.at, End::Open),
            What::Handled => {
                leg.let_go(step.at, End::Done);
                leg.wrapping = Some(step.at);
            }
            What::Ended => {
                leg.let_go(step.at, End::Done);
                if let Some(since) = leg.wrapping.take() {
                    leg.wrapped = Some(step.at.since(since));
                }
            }
            What::Transferred(queue) => leg.let_go(step.at, End::Transferred(queue)),
            What::Requeued => leg.let_go(step.at, End::Requeued),
            What::Cancelled => leg.let_go(step.at, End::Cancelled),
        }
    }

    /// Learns the habits of the agents. After the last row, and before the first replay.
    #[must_use]
    pub fn finish(mut self) -> Self {
        for legs in self.legs.values_mut() {
            // Each agent's rows come one after the other, so those of two agents are out of order.
            legs.sort_by(|left, right| (left.begun, &left.agent).cmp(&(right.begun, &right.agent)));
            for leg in legs.iter_mut() {
                leg.let_go(self.until, End::Open);
                if leg.end != End::Open {
                    self.habits.handling.add(&leg.agent, leg.handled);
                }
                if let Some(wrapped) = leg.wrapped {
                    self.habits.wrapping.add(&leg.agent, wrapped);
                }
            }
        }
        self.habits.settle();
        self
    }
}

/// Whether an agent was there to be offered work. While they wrote a mail of their own they were
/// not; what a policy did to those who declined is for the next policy to do again, or not.
const fn is_there(state: AgentState, cause: PresenceCause, before: bool) -> bool {
    match (state, cause) {
        (AgentState::Available, _) => true,
        (AgentState::Busy, PresenceCause::Compose) => false,
        (AgentState::Busy, _) => true,
        (AgentState::WrapUp, _) => before,
        (state, cause) if is_ban(state, cause) => before,
        (AgentState::WorkOffline | AgentState::SignedOut, _) => false,
    }
}

const fn is_ban(state: AgentState, cause: PresenceCause) -> bool {
    matches!(state, AgentState::WorkOffline)
        && matches!(
            cause,
            PresenceCause::OfferMissed | PresenceCause::OfferRejected
        )
}
