//! Figures counted anew, from the facts that were told and from nothing that the desk has added
//! up: law 43. Only the rules of queues, which no fact tells, are looked up.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use postroom::desk::{
    AgentFigure, AgentState, AssignCause, Change, Day, Desk, Direction, Effects, Fact, Goal,
    Interaction, OfferState, Outcome, QueueFigure, State, UnassignReason, Zone,
};
use postroom::id::{AgentId, InteractionId, QueueId};
use postroom::time::Timestamp;

/// The figures by day.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Figures {
    pub(crate) queues: BTreeMap<(Day, QueueId), QueueFigure>,
    pub(crate) agents: BTreeMap<(Day, AgentId), AgentFigure>,
}

impl Figures {
    /// Adds what the desk says is to be added.
    pub(crate) fn write(&mut self, change: &Change) {
        match change.clone() {
            Change::QueueFigured(day, queue, more) => {
                assert_ne!(*more, QueueFigure::default(), "nothing was added");
                *self.queues.entry((day, queue)).or_default() += *more;
            }
            Change::AgentFigured(day, agent, more) => {
                assert_ne!(*more, AgentFigure::default(), "nothing was added");
                *self.agents.entry((day, agent)).or_default() += *more;
            }
            _ => {}
        }
    }
}

/// All that was told so far, added up.
#[derive(Debug, Clone, Default)]
pub(crate) struct Recount {
    sums: Figures,
    /// In which queue an interaction was when it was last heard of.
    queues: BTreeMap<InteractionId, QueueId>,
    /// Interactions that stood in a line, and those to which something happened there.
    lined: BTreeSet<InteractionId>,
    touched: BTreeSet<InteractionId>,
    accepted: BTreeSet<InteractionId>,
    answered: BTreeSet<InteractionId>,
    /// In whose hands, out of which queue, since when.
    hands: BTreeMap<InteractionId, (AgentId, QueueId, Timestamp)>,
    wraps: BTreeMap<InteractionId, (AgentId, QueueId, Timestamp)>,
    /// Since when agents are shown as they are.
    since: BTreeMap<AgentId, Timestamp>,
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap()
}

impl Recount {
    /// Hears what followed from a command.
    pub(crate) fn hear(&mut self, effects: &Effects, desk: &Desk) {
        for event in &effects.events {
            self.fact(event.time, &event.fact, desk);
        }
        for change in &effects.changes {
            let Change::Agent(agent) = change else {
                continue;
            };
            if let Some(since) = self.since.insert(agent.id.clone(), agent.since) {
                // A clock that was ahead is not believed; nothing else is forgotten.
                let kept = agent.since <= since;
                law!(43, kept, "a time of {} is lost", agent.id);
            }
            if agent.removed.is_some() {
                self.since.remove(&agent.id);
            }
        }
    }

    /// That it comes to the same.
    pub(crate) fn check(&self, written: &Figures, desk: &Desk) {
        let mut sums = self.sums.clone();
        sums.queues.retain(|_, sum| *sum != QueueFigure::default());
        sums.agents.retain(|_, sum| *sum != AgentFigure::default());
        let same = *written == sums;
        law!(43, same, "written: {written:?}, counted anew: {sums:?}");
        let all = Day::from_number(0)..=Day::MAX;
        let waits: u64 = desk.untouched(&all).values().sum();
        let received: u64 = written.queues.values().map(|sum| sum.received).sum();
        let lined = self.lined.len() as u64;
        let all = received + waits == lined;
        law!(43, all, "{lined} arrived, {received} counted, {waits} wait");
    }

    fn queue(&mut self, at: Timestamp, id: &QueueId, desk: &Desk) -> &mut QueueFigure {
        let day = desk.zone(id).day(at);
        self.sums.queues.entry((day, id.clone())).or_default()
    }

    fn agent(&mut self, at: Timestamp, id: &AgentId, desk: &Desk) -> &mut AgentFigure {
        let day = desk.house().zone.day(at);
        self.sums.agents.entry((day, id.clone())).or_default()
    }

    fn fact(&mut self, now: Timestamp, fact: &Fact, desk: &Desk) {
        match fact {
            Fact::PresenceChanged { presence, previous } => {
                let since = self.since.insert(presence.agent.clone(), now);
                self.shown(&presence.agent, *previous, since.unwrap_or(now), now, desk);
            }
            Fact::OfferResolved { offer, .. } => match offer.state {
                OfferState::Rejected(_) => {
                    self.queue(now, &offer.queue, desk).rejected += 1;
                    self.agent(now, &offer.agent, desk).rejected += 1;
                }
                OfferState::Missed => {
                    self.queue(now, &offer.queue, desk).missed += 1;
                    self.agent(now, &offer.agent, desk).missed += 1;
                }
                _ => {}
            },
            Fact::InteractionQueued(found) => {
                self.lined.insert(found.id);
                self.moved(now, found, desk);
            }
            Fact::InteractionOverflowed { interaction, from } => {
                assert_eq!(self.queues.get(&interaction.id), Some(from));
                self.moved(now, interaction, desk);
            }
            Fact::InteractionAssigned { interaction, cause } => {
                self.assigned(now, interaction, *cause, desk);
            }
            Fact::InteractionUpdated(found) => match &found.state {
                State::Parked { .. } => self.left_hands(now, found, desk),
                State::Active { since, .. } | State::Drafting { since, .. } => {
                    if let Some((.., begin)) = self.hands.get_mut(&found.id) {
                        *begin = *since;
                    }
                }
                State::WrappingUp { since, .. } => {
                    if let Some((.., begin)) = self.wraps.get_mut(&found.id) {
                        *begin = *since;
                    }
                }
                _ => {}
            },
            Fact::InteractionUnassigned {
                interaction,
                reason,
            } => {
                self.left_hands(now, interaction, desk);
                self.moved(now, interaction, desk);
                if *reason == UnassignReason::Cancelled {
                    self.put_away(now, interaction, desk);
                }
            }
            Fact::WrapUpStarted(found) => {
                self.finished(now, found, desk);
                let agent = found.state.holder().unwrap().clone();
                let wrap = (agent, found.queue.clone(), now);
                self.wraps.insert(found.id, wrap);
            }
            Fact::InteractionClosed(found) => {
                self.finished(now, found, desk);
                self.closed(now, found, desk);
            }
            Fact::WrapUpEnded { interaction, .. } => {
                self.wrapped(now, interaction.id, desk);
                self.closed(now, interaction, desk);
            }
            Fact::InteractionFiled(found) if self.lined.contains(&found.id) => {
                self.put_away(now, found, desk);
            }
            _ => {}
        }
    }

    /// The time that an agent was shown as something, cut where the calendar on the wall changes.
    fn shown(
        &mut self,
        id: &AgentId,
        state: AgentState,
        from: Timestamp,
        to: Timestamp,
        desk: &Desk,
    ) {
        let zone = desk.house().zone.clone();
        let mut begin = from;
        while begin < to && state != AgentState::SignedOut {
            let end = next_day(&zone, begin).min(to);
            let time = millis(end.since(begin));
            let figure = self.agent(begin, id, desk);
            match state {
                AgentState::SignedOut => {}
                AgentState::Available => figure.available_ms += time,
                AgentState::Busy => figure.busy_ms += time,
                AgentState::WrapUp => figure.wrap_up_ms += time,
                AgentState::WorkOffline => figure.offline_ms += time,
            }
            begin = end;
        }
    }

    /// Something happens to it for the first time: now it counts as received.
    fn touch(&mut self, found: &Interaction, queue: &QueueId, desk: &Desk) {
        if self.lined.contains(&found.id) && self.touched.insert(found.id) {
            self.queue(found.arrived, queue, desk).received += 1;
        }
    }

    fn moved(&mut self, now: Timestamp, found: &Interaction, desk: &Desk) {
        let before = self.queues.insert(found.id, found.queue.clone());
        if let Some(from) = before.filter(|from| *from != found.queue) {
            self.touch(found, &from, desk);
            self.queue(now, &from, desk).moved_out += 1;
            self.queue(now, &found.queue, desk).moved_in += 1;
        }
    }

    fn assigned(&mut self, now: Timestamp, found: &Interaction, cause: AssignCause, desk: &Desk) {
        let agent = found.state.holder().unwrap().clone();
        self.wrapped(now, found.id, desk);
        self.touch(found, &found.queue, desk);
        let hand = (agent.clone(), found.queue.clone(), now);
        assert!(self.hands.insert(found.id, hand).is_none(), "in two hands");
        if found.answered.is_none() {
            self.answered.remove(&found.id);
        }
        match cause {
            AssignCause::Accepted | AssignCause::Pulled | AssignCause::Reassigned => {
                self.agent(now, &agent, desk).accepted += 1;
            }
            AssignCause::Resumed | AssignCause::Started | AssignCause::Returned => {}
        }
        if found.direction == Direction::Inbound && self.accepted.insert(found.id) {
            let rules = &desk.queues()[&found.queue].settings;
            let waited = millis(rules.waited(found.arrived, now));
            let queue = self.queue(now, &found.queue, desk);
            queue.accepted += 1;
            queue.waited_ms += waited;
            queue.wait_max_ms = queue.wait_max_ms.max(waited);
            self.goal(now, found, Goal::Accept, true, desk);
        }
    }

    fn left_hands(&mut self, now: Timestamp, found: &Interaction, desk: &Desk) {
        if let Some((agent, queue, since)) = self.hands.remove(&found.id) {
            let time = millis(now.since(since));
            self.queue(now, &queue, desk).handled_ms += time;
            self.agent(now, &agent, desk).handled_ms += time;
        }
    }

    fn finished(&mut self, now: Timestamp, found: &Interaction, desk: &Desk) {
        let hand = self.hands.get(&found.id).map(|(agent, ..)| agent.clone());
        self.left_hands(now, found, desk);
        let Some(agent) = hand else {
            assert_eq!(found.outcome, Some(Outcome::Transferred));
            return;
        };
        self.agent(now, &agent, desk).handled += 1;
        if found.outcome == Some(Outcome::Sent) {
            self.agent(now, &agent, desk).sent += 1;
            self.queue(now, &found.queue, desk).sent += 1;
        }
        if found.answered.is_some() && self.answered.insert(found.id) {
            self.agent(now, &agent, desk).answered += 1;
            self.queue(now, &found.queue, desk).answered += 1;
            self.goal(now, found, Goal::Answer, true, desk);
        }
    }

    fn wrapped(&mut self, now: Timestamp, id: InteractionId, desk: &Desk) {
        if let Some((agent, queue, since)) = self.wraps.remove(&id) {
            let time = millis(now.since(since));
            self.queue(now, &queue, desk).wrapped_ms += time;
            self.agent(now, &agent, desk).wrapped_ms += time;
        }
    }

    fn closed(&mut self, now: Timestamp, found: &Interaction, desk: &Desk) {
        if found.outcome == Some(Outcome::Transferred) || found.direction == Direction::Outbound {
            return;
        }
        self.queue(now, &found.queue, desk).closed += 1;
        self.goal(now, found, Goal::Close, true, desk);
        if !self.answered.contains(&found.id) {
            self.goal(now, found, Goal::Answer, false, desk);
        }
    }

    fn put_away(&mut self, now: Timestamp, found: &Interaction, desk: &Desk) {
        if found.direction == Direction::Outbound {
            return;
        }
        self.touch(found, &found.queue, desk);
        let accepted = self.accepted.contains(&found.id);
        let queue = self.queue(now, &found.queue, desk);
        if accepted {
            queue.dropped += 1;
        } else {
            queue.abandoned += 1;
            self.goal(now, found, Goal::Accept, false, desk);
        }
        if !self.answered.contains(&found.id) {
            self.goal(now, found, Goal::Answer, false, desk);
        }
        self.goal(now, found, Goal::Close, false, desk);
    }

    fn goal(&mut self, now: Timestamp, found: &Interaction, goal: Goal, met: bool, desk: &Desk) {
        let rules = &desk.queues()[&found.queue].settings;
        let Some((_, due)) = rules.promised(found, goal) else {
            return;
        };
        let queue = self.queue(now, &found.queue, desk);
        let tally = match goal {
            Goal::Accept => &mut queue.accept,
            Goal::Answer => &mut queue.answer,
            Goal::Close => &mut queue.close,
        };
        match (met, now <= due) {
            (true, true) => tally.met += 1,
            (true, false) => tally.late += 1,
            (false, false) => tally.lost += 1,
            (false, true) => {}
        }
    }
}

/// When the calendar next shows another day.
fn next_day(zone: &Zone, at: Timestamp) -> Timestamp {
    let today = zone.day(at);
    let (mut low, mut high) = (
        at.as_millis(),
        (at + Duration::from_secs(86_400)).as_millis(),
    );
    if zone.day(Timestamp::from_millis(high)) == today {
        // A day of 25 hours.
        high += 3_600_000;
    }
    while low + 1 < high {
        let middle = low + (high - low) / 2;
        if zone.day(Timestamp::from_millis(middle)) == today {
            low = middle;
        } else {
            high = middle;
        }
    }
    Timestamp::from_millis(high)
}
