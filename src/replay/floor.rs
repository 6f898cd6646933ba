//! The floor of a replay: a desk of its own, and agents who do what they did, in virtual time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Rules;
use super::recording::{Arrival, End, How, Leg, Recording};
use crate::desk::{
    AgentChanges, AgentState, Answer, CancelCause, Case, Command, Correspondent, Desk, Effects,
    Fact, Handling, HouseRules, Ingest, Interaction, NewAgent, Origin, Policy, PresenceCause,
    Refusal, Requested, State, Target, Thread,
};
use crate::id::{AgentId, InteractionId, OfferId, QueueId, SessionId};
use crate::mail::clue::OwnKeys;
use crate::mail::token::MainNumber;
use crate::mail::trust::Trust;
use crate::time::Timestamp;

/// What became of an arrival.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Course {
    /// When an agent first accepted it.
    pub accepted: Option<Timestamp>,
    /// When the customer was answered.
    pub answered: Option<Timestamp>,
    /// When it was closed.
    pub closed: Option<Timestamp>,
}

/// What became of a recording.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Played {
    /// Of each arrival.
    pub courses: BTreeMap<InteractionId, Course>,
    /// How often mail was told to come back, because its queue was full.
    pub turned_away: usize,
    /// How often a transfer was refused, so that the work was ended instead.
    pub kept: usize,
}

/// How soon a sender tries again who was told to come back.
const RETRY: Duration = Duration::from_secs(300);

/// What is taken for a habit that was never seen of anybody.
const REACTION: Duration = Duration::from_secs(5);
const HANDLING: Duration = Duration::from_secs(300);
const RETURN: Duration = Duration::from_secs(300);

/// How long the client of an agent stays without a sign of life: it is always there.
const LEASE: Duration = Duration::from_secs(100 * 365 * 86_400);

/// How many steps are taken between two reports of the progress.
const STEPS_BETWEEN_REPORTS: usize = 4096;

impl Recording {
    /// The queues in which something arrived, or to which it was given, and that these rules do
    /// not have.
    #[must_use]
    pub fn missing(&self, rules: &Rules) -> BTreeSet<QueueId> {
        let known: BTreeSet<&QueueId> = rules.queues.iter().map(|queue| &queue.id).collect();
        let given = (self.legs.values().flatten()).filter_map(|leg| match &leg.end {
            End::Transferred(queue) => Some(queue),
            End::Open | End::Done | End::Requeued | End::Cancelled => None,
        });
        let all = self
            .arrivals
            .values()
            .map(|found| &found.queue)
            .chain(given);
        all.filter(|queue| !known.contains(*queue))
            .cloned()
            .collect()
    }

    /// What becomes of it under these rules. `progress` is told now and then up to when all has
    /// happened.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] if the rules make no desk; [`Self::missing`] names the usual cause.
    pub fn replay(
        &self,
        rules: &Rules,
        progress: &mut dyn FnMut(Timestamp),
    ) -> Result<Played, Refusal> {
        let mut floor = Floor::new(self, rules)?;
        let mut steps = 0_usize;
        while floor.step()? {
            steps += 1;
            if steps.is_multiple_of(STEPS_BETWEEN_REPORTS) {
                progress(floor.now);
            }
        }
        Ok(floor.played)
    }
}

/// What happens next.
#[derive(Debug, Clone)]
enum Next {
    Arrives(InteractionId),
    Comes(AgentId),
    Goes(AgentId),
    /// The desk had set the agent to Work Offline, and they are back.
    Returns(AgentId),
    /// An offer is on the agent's screen.
    Sees(OfferId),
    Accepts(OfferId),
    Rejects(OfferId),
    /// An agent is through with what is in hand.
    Ends(InteractionId),
    WrapsUp(InteractionId),
}

struct Floor<'a> {
    recording: &'a Recording,
    desk: Desk,
    now: Timestamp,
    agenda: BTreeMap<(Timestamp, u64), Next>,
    numbers: u64,
    sessions: BTreeMap<AgentId, SessionId>,
    /// Who is at work, whatever the desk made of them.
    present: BTreeSet<AgentId>,
    /// Which arrival an interaction of this desk is.
    arrival_of: BTreeMap<InteractionId, InteractionId>,
    /// How many of its legs are behind each arrival.
    legs_done: BTreeMap<InteractionId, usize>,
    /// Who handled each case last.
    regulars: BTreeMap<MainNumber, AgentId>,
    /// How much of what each agent declined they have declined here.
    declined: BTreeMap<(AgentId, InteractionId), usize>,
    played: Played,
}

impl<'a> Floor<'a> {
    fn new(recording: &'a Recording, rules: &Rules) -> Result<Self, Refusal> {
        let first = recording.arrivals.values().map(|arrival| arrival.at).min();
        let policy = Policy {
            lease: LEASE,
            house: HouseRules {
                // What agents give as reasons is not replayed.
                reasons: BTreeMap::new(),
                ..rules.house.clone()
            },
            ..Policy::default()
        };
        let mut floor = Self {
            recording,
            desk: Desk::new(policy),
            now: first.map_or(recording.from, |first| first.min(recording.from)),
            agenda: BTreeMap::new(),
            numbers: 0,
            sessions: BTreeMap::new(),
            present: BTreeSet::new(),
            arrival_of: BTreeMap::new(),
            legs_done: BTreeMap::new(),
            regulars: BTreeMap::new(),
            declined: BTreeMap::new(),
            played: Played::default(),
        };
        floor.give(Command::SetQueues(rules.queues.clone()))?;
        for member in recording.members.values() {
            floor.hire(member)?;
        }
        // Agents come before what arrives in the same moment.
        for (agent, shifts) in &recording.shifts {
            for (at, there) in shifts {
                let next = match there {
                    true => Next::Comes(agent.clone()),
                    false => Next::Goes(agent.clone()),
                };
                floor.plan(*at, next);
            }
        }
        for arrival in recording.arrivals.values() {
            floor.plan(arrival.at, Next::Arrives(arrival.id));
            (floor.played.courses).insert(arrival.id, Course::default());
        }
        Ok(floor)
    }

    fn hire(&mut self, member: &super::Member) -> Result<(), Refusal> {
        let agent = &member.id;
        let served = (member.queues.iter())
            .filter(|(queue, _)| self.desk.queues().contains_key(*queue))
            .map(|(queue, weight)| (queue.clone(), *weight))
            .collect::<Vec<_>>();
        self.give(Command::CreateAgent(NewAgent {
            id: agent.clone(),
            display_name: String::new(),
            password: None,
            supervisor: false,
            queues: Vec::new(),
            capacity: member.capacity,
        }))?;
        for (queue, weight) in served {
            let agent = agent.clone();
            let weight = Some(weight);
            self.give(Command::JoinQueue {
                agent,
                queue,
                weight,
            })?;
        }
        let changes = AgentChanges {
            skills: Some(member.skills.clone()),
            ..AgentChanges::default()
        };
        let update = Command::UpdateAgent {
            agent: agent.clone(),
            changes,
        };
        self.give(update)?;
        let opened = self.give(Command::OpenSession {
            agent: agent.clone(),
            takeover: false,
            initial: None,
            lease: None,
            client: String::new(),
        })?;
        if let Some(Answer::Session(view, _)) = opened {
            let session = view.session.id;
            self.sessions.insert(agent.clone(), session);
            self.give(Command::AttachStream { session, stream: 1 })?;
        }
        Ok(())
    }

    fn plan(&mut self, at: Timestamp, next: Next) {
        self.numbers += 1;
        self.agenda.insert((at.max(self.now), self.numbers), next);
    }

    /// Gives a command at this moment and lets the agents see what follows.
    fn give(&mut self, command: Command) -> Result<Option<Answer>, Refusal> {
        let effects = self.desk.handle(self.now, command)?;
        let answer = effects.answer.clone();
        self.follow(effects);
        Ok(answer)
    }

    /// As [`Self::give`], where a refusal means that the moment has passed.
    fn try_give(&mut self, command: Command) -> bool {
        self.give(command).is_ok()
    }

    /// Does what comes next. `false` if there is nothing more before the end.
    fn step(&mut self) -> Result<bool, Refusal> {
        let planned = self.agenda.first_key_value().map(|((at, _), _)| *at);
        let due = self.desk.next_deadline();
        let Some(next) = planned.into_iter().chain(due).min() else {
            return Ok(false);
        };
        if next >= self.recording.until {
            return Ok(false);
        }
        self.now = self.now.max(next);
        if due.is_some_and(|due| due <= self.now) {
            let effects = self.desk.tick(self.now);
            self.follow(effects);
            return Ok(true);
        }
        if let Some((_, next)) = self.agenda.pop_first() {
            self.act(next)?;
        }
        Ok(true)
    }

    fn act(&mut self, next: Next) -> Result<(), Refusal> {
        match next {
            Next::Arrives(id) => return self.arrive(id),
            Next::Comes(agent) => {
                self.present.insert(agent.clone());
                self.ask(&agent, Requested::Available);
            }
            Next::Goes(agent) => {
                self.present.remove(&agent);
                self.ask(&agent, Requested::WorkOffline(String::new()));
            }
            Next::Returns(agent) => {
                if self.present.contains(&agent) {
                    self.ask(&agent, Requested::Available);
                }
            }
            Next::Sees(offer) => self.see(offer),
            Next::Accepts(offer) => {
                if let Some(session) = self.asked(offer) {
                    self.try_give(Command::AcceptOffer { session, offer });
                }
            }
            Next::Rejects(offer) => {
                if let Some(session) = self.asked(offer) {
                    self.try_give(Command::RejectOffer {
                        session,
                        offer,
                        reason: String::new(),
                        next: None,
                    });
                }
            }
            Next::Ends(id) => self.end(id),
            Next::WrapsUp(interaction) => {
                let found = self.desk.interactions().get(&interaction);
                let wraps = found.filter(|it| matches!(it.state, State::WrappingUp { .. }));
                let holder = wraps.and_then(|found| found.state.holder());
                if let Some(session) = holder.and_then(|agent| self.sessions.get(agent)).copied() {
                    self.try_give(Command::CompleteWrapUp {
                        session,
                        interaction,
                        notes: None,
                        disposition: Some(CODE.to_owned()),
                        next: None,
                    });
                }
            }
        }
        Ok(())
    }

    fn ask(&mut self, agent: &AgentId, state: Requested) {
        if let Some(session) = self.sessions.get(agent).copied() {
            self.try_give(Command::SetPresence { session, state });
        }
    }

    /// The session of the agent to whom an offer was made, if it is still live.
    fn asked(&self, offer: OfferId) -> Option<SessionId> {
        let offer = self.desk.offers().get(&offer)?;
        let session = self.sessions.get(&offer.agent).copied();
        session.filter(|_| offer.state.is_live())
    }

    fn arrive(&mut self, id: InteractionId) -> Result<(), Refusal> {
        let Some(arrival) = self.recording.arrivals.get(&id) else {
            return Ok(());
        };
        let regular = self.regulars.get(&arrival.case);
        let regular = regular.or(arrival.preferred.as_ref()).cloned();
        let Some(thread) = thread(self.now, arrival, regular, self.arrival_of.len()) else {
            return Ok(());
        };
        match self.give(letter(arrival, thread)) {
            Ok(Some(Answer::Filed(filings))) => {
                for filing in filings {
                    self.arrival_of.insert(filing.interaction, id);
                }
                Ok(())
            }
            Ok(_) => Ok(()),
            Err(Refusal::QueueFull(_)) => {
                self.played.turned_away += 1;
                self.plan(self.now + RETRY, Next::Arrives(id));
                Ok(())
            }
            Err(refusal) => Err(refusal),
        }
    }

    /// Plans what agents do about what they are told.
    fn follow(&mut self, effects: Effects) {
        for event in effects.events {
            match &event.fact {
                Fact::OfferCreated { offer, .. } => self.plan(self.now, Next::Sees(offer.id)),
                Fact::InteractionAssigned { interaction, .. } => self.take(interaction),
                Fact::WrapUpStarted(found) => self.write_down(found),
                Fact::InteractionClosed(interaction) | Fact::WrapUpEnded { interaction, .. } => {
                    let arrival = self.arrival_of.get(&interaction.id);
                    let course = arrival.and_then(|id| self.played.courses.get_mut(id));
                    if let Some(course) = course.filter(|_| !interaction.is_half()) {
                        course.closed = Some(self.now);
                    }
                }
                Fact::PresenceChanged { presence, .. } => {
                    let banned = presence.state == AgentState::WorkOffline
                        && matches!(
                            presence.cause,
                            PresenceCause::OfferMissed | PresenceCause::OfferRejected
                        );
                    if banned && self.present.contains(&presence.agent) {
                        let habit = self.recording.habits.returns.of(&presence.agent);
                        let back = self.now + habit.unwrap_or(RETURN);
                        self.plan(back, Next::Returns(presence.agent.clone()));
                    }
                }
                _ => {}
            }
        }
    }

    /// An offer is on the screen: the agent takes it, or does with it what they did before.
    fn see(&mut self, id: OfferId) {
        let Some((session, offer)) = self.asked(id).zip(self.desk.offers().get(&id)) else {
            return;
        };
        let agent = offer.agent.clone();
        let arrival = self.arrival_of.get(&offer.interaction).copied();
        self.try_give(Command::AcknowledgeOffer { session, offer: id });
        let mut how = How::Accepted;
        if let Some(arrival) = arrival {
            let about = (agent.clone(), arrival);
            if let Some(answers) = self.recording.declined.get(&about) {
                let given = self.declined.entry(about).or_default();
                if let Some(answer) = answers.get(*given) {
                    how = *answer;
                    *given += 1;
                }
            }
        }
        let reaction = self.recording.habits.reactions.of(&agent);
        let at = self.now + reaction.unwrap_or(REACTION);
        match how {
            How::Accepted => self.plan(at, Next::Accepts(id)),
            How::Rejected => self.plan(at, Next::Rejects(id)),
            How::Missed => {}
        }
    }

    /// The leg of the recording that an arrival is on.
    fn leg(&self, arrival: InteractionId) -> Option<&'a Leg> {
        let done = self.legs_done.get(&arrival).copied().unwrap_or_default();
        self.recording.legs.get(&arrival)?.get(done)
    }

    /// Work came into an agent's hands: for as long as it was in theirs, or as their work usually
    /// is if somebody else had it.
    fn take(&mut self, found: &Interaction) {
        let Some(agent) = found.state.holder().cloned() else {
            return;
        };
        let Some(arrival) = self.arrival_of.get(&found.id).copied() else {
            return;
        };
        if let Some(course) = self.played.courses.get_mut(&arrival) {
            course.accepted.get_or_insert(self.now);
        }
        if let Some(recorded) = self.recording.arrivals.get(&arrival) {
            self.regulars.insert(recorded.case, agent.clone());
        }
        let leg = self.leg(arrival);
        let habit = self.recording.habits.handling.of(&agent);
        let time = match leg {
            Some(leg) if leg.agent == agent => leg.handled,
            Some(leg) => habit.unwrap_or(leg.handled),
            None => habit.unwrap_or(HANDLING),
        };
        self.plan(self.now + time, Next::Ends(found.id));
    }

    /// Post-processing began. Who was never seen to write anything down takes all the time there
    /// is.
    fn write_down(&mut self, found: &Interaction) {
        let State::WrappingUp {
            agent, deadline, ..
        } = &found.state
        else {
            return;
        };
        let whole = found
            .follows
            .filter(|_| found.is_half())
            .unwrap_or(found.id);
        let arrival = self.arrival_of.get(&whole).copied();
        let done = arrival.and_then(|id| {
            let past = self.legs_done.get(&id)?.checked_sub(1)?;
            self.recording.legs.get(&id)?.get(past)
        });
        let own = done.filter(|leg| leg.agent == *agent);
        let time = own.and_then(|leg| leg.wrapped);
        let time = time.or_else(|| self.recording.habits.wrapping.of(agent));
        let at = match (time, deadline) {
            (Some(time), _) => self.now + time,
            (None, Some(deadline)) => *deadline,
            (None, None) => self.now,
        };
        self.plan(at, Next::WrapsUp(found.id));
    }

    /// What was in hand goes where it went.
    fn end(&mut self, interaction: InteractionId) {
        let found = self.desk.interactions().get(&interaction);
        let active = found.filter(|found| matches!(found.state, State::Active { .. }));
        let holder = active.and_then(|found| found.state.holder());
        let Some(session) = holder.and_then(|agent| self.sessions.get(agent)).copied() else {
            return;
        };
        let Some(arrival) = self.arrival_of.get(&interaction).copied() else {
            return;
        };
        let end = self.leg(arrival).map_or(End::Done, |leg| leg.end.clone());
        *self.legs_done.entry(arrival).or_default() += 1;
        let note = String::new();
        let command = match end {
            End::Transferred(queue) => Command::Transfer {
                session,
                interaction,
                queue,
                note,
            },
            End::Requeued => Command::Requeue {
                session,
                interaction,
                note,
            },
            End::Cancelled => Command::Cancel {
                session,
                interaction,
                cause: CancelCause::Duplicate,
                note,
            },
            End::Open | End::Done => {
                self.finish(session, interaction, arrival);
                return;
            }
        };
        if !self.try_give(command) {
            self.played.kept += 1;
            self.finish(session, interaction, arrival);
        }
    }

    fn finish(&mut self, session: SessionId, interaction: InteractionId, arrival: InteractionId) {
        let recorded = self.recording.arrivals.get(&arrival);
        let course = self.played.courses.get_mut(&arrival);
        if let Some(course) = course.filter(|_| recorded.is_some_and(|it| it.answered.is_some())) {
            course.answered.get_or_insert(self.now);
        }
        self.try_give(Command::EndInteraction {
            session,
            interaction,
            note: String::new(),
        });
    }
}

/// With what work is classified where that is asked for.
const CODE: &str = "replayed";

/// Each arrival has a case of its own, so that it joins no other work and comes to the agent who
/// knows the matter; `None` if there are no more numbers.
fn thread(
    now: Timestamp,
    arrival: &Arrival,
    regular: Option<AgentId>,
    number: usize,
) -> Option<Thread> {
    // Far above the numbers that a desk gives out by itself.
    let serial = MainNumber::SERIAL_MAX / 2 + number as u64;
    let case = Case {
        newest: None,
        parts: Vec::new(),
        number: MainNumber::new(serial)?,
        subject: String::new(),
        customer: Correspondent::default(),
        queue: arrival.queue.clone(),
        created: now,
        changed: now,
        generation: 0,
        follow_up_of: None,
        last_agent: regular,
        joinable: BTreeMap::new(),
        unfinished: 0,
        message_count: 0,
        correspondents: Vec::new(),
        copied: BTreeSet::new(),
        merged_into: None,
        closed: Some(now),
        reopenings: Vec::new(),
    };
    Some(Thread::Joins(Box::new(case), Origin::Arrived))
}

fn letter(arrival: &Arrival, thread: Thread) -> Command {
    Command::Ingest(Box::new(Ingest {
        targets: vec![Target {
            queue: arrival.queue.clone(),
            mailbox: String::new(),
        }],
        customer: Correspondent::default(),
        envelope_sender: String::new(),
        internet_message_id: String::new(),
        subject: String::new(),
        size: 0,
        trust: Trust::A,
        trust_reason: String::new(),
        mta_queue_id: String::new(),
        thread,
        handling: Handling {
            priority: arrival.priority,
            skills: arrival.skills.clone(),
            ..Handling::default()
        },
        copied: BTreeSet::new(),
        keys: OwnKeys::default(),
        dossier: Box::default(),
        report: None,
        acknowledgement: None,
    }))
}
