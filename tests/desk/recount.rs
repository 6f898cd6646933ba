//! Figures counted anew from nothing but the events: what the desk has written down must be the
//! same.

use std::collections::BTreeMap;

use postroom::desk::figures::{AgentFigure, QueueFigure};
use postroom::desk::{
    AgentState, Day, Desk, Event, Fact, Goal, Interaction, OfferState, State, Zone,
};
use postroom::id::{AgentId, InteractionId, QueueId};
use postroom::time::Timestamp;

/// All that was heard so far, added up.
#[derive(Debug, Clone, Default)]
pub(crate) struct Recount {
    pub(crate) queues: BTreeMap<(QueueId, Day), QueueFigure>,
    pub(crate) agents: BTreeMap<(AgentId, Day), AgentFigure>,
    last: BTreeMap<InteractionId, Interaction>,
    since: BTreeMap<AgentId, Timestamp>,
}

fn today(at: Timestamp) -> Day {
    Zone::default().day(at)
}

impl Recount {
    fn queue(&mut self, id: &QueueId, at: Timestamp) -> &mut QueueFigure {
        self.queues.entry((id.clone(), today(at))).or_default()
    }

    fn agent(&mut self, id: &AgentId, at: Timestamp) -> &mut AgentFigure {
        self.agents.entry((id.clone(), today(at))).or_default()
    }

    /// Adds what an event tells. The rules of queues, which no event tells, are looked up.
    pub(crate) fn hear(&mut self, event: &Event, desk: &Desk) {
        let now = event.time;
        match &event.fact {
            Fact::PresenceChanged { presence, previous } => {
                let since = self.since.insert(presence.agent.clone(), now);
                let time = now.since(since.unwrap_or(now)).as_millis() as u64;
                let state = *previous;
                if state != AgentState::SignedOut && time > 0 {
                    let figure = self.agent(&presence.agent, now);
                    match state {
                        AgentState::SignedOut => {}
                        AgentState::Available => figure.available_ms += time,
                        AgentState::Busy => figure.busy_ms += time,
                        AgentState::WrapUp => figure.wrap_up_ms += time,
                        AgentState::WorkOffline => figure.offline_ms += time,
                    }
                }
            }
            Fact::OfferResolved { offer, .. } => match offer.state {
                OfferState::Rejected(_) => {
                    self.queue(&offer.queue, now).rejected += 1;
                    self.agent(&offer.agent, now).rejected += 1;
                }
                OfferState::Missed => {
                    self.queue(&offer.queue, now).missed += 1;
                    self.agent(&offer.agent, now).missed += 1;
                }
                _ => {}
            },
            Fact::InteractionQueued(found)
            | Fact::InteractionUpdated(found)
            | Fact::WrapUpStarted(found)
            | Fact::InteractionClosed(found)
            | Fact::InteractionHeld(found)
            | Fact::InteractionFiled(found) => self.interaction(now, found, desk),
            Fact::InteractionAssigned { interaction, .. }
            | Fact::WrapUpEnded { interaction, .. }
            | Fact::InteractionUnassigned { interaction, .. }
            | Fact::MessageReceived { interaction, .. }
            | Fact::InteractionOverflowed { interaction, .. } => {
                self.interaction(now, interaction, desk);
            }
            _ => {}
        }
    }

    fn interaction(&mut self, now: Timestamp, found: &Interaction, desk: &Desk) {
        let Some(before) = self.last.insert(found.id, found.clone()) else {
            return;
        };
        let mut holder = None;
        match (&before.state, &found.state) {
            (was, is) if was == is => {}
            (State::Active { agent, since }, _) => {
                let time = now.since(*since).as_millis() as u64;
                self.queue(&before.queue, now).handled_ms += time;
                self.agent(agent, now).handled_ms += time;
                holder = Some(agent);
            }
            (State::WrappingUp { since, .. }, State::WrappingUp { since: same, .. })
                if since == same => {}
            (State::WrappingUp { agent, since, .. }, _) => {
                let time = now.since(*since).as_millis() as u64;
                self.queue(&before.queue, now).wrapped_ms += time;
                self.agent(agent, now).wrapped_ms += time;
            }
            _ => {}
        }
        let settings = desk.queues().get(&found.queue).map(|queue| &queue.settings);
        let within = |goal| settings.and_then(|settings| settings.service.within(goal));
        let due = |goal| Some(settings?.promised(found, goal)?.1);
        let tally = |queue: &mut QueueFigure, goal: Goal| {
            if within(goal).is_none() {
                return;
            }
            let tally = match goal {
                Goal::Accept => &mut queue.accept,
                Goal::Answer => &mut queue.answer,
                Goal::Close => &mut queue.close,
            };
            if due(goal).is_none_or(|due| now <= due) {
                tally.met += 1;
            } else {
                tally.late += 1;
            }
        };
        if before.accepted.is_none() && found.accepted.is_some() {
            self.queue(&found.queue, found.arrived).received += 1;
            let queue = self.queue(&found.queue, now);
            queue.accepted += 1;
            queue.waited_ms += settings.map_or(0, |rules| {
                rules.waited(found.arrived, now).as_millis() as u64
            });
            tally(queue, Goal::Accept);
            if let Some(agent) = found.state.holder() {
                self.agent(agent, now).accepted += 1;
            }
        }
        if before.answered.is_none() && found.answered.is_some() {
            let queue = self.queue(&found.queue, now);
            queue.answered += 1;
            tally(queue, Goal::Answer);
            if let Some(agent) = holder {
                self.agent(agent, now).answered += 1;
            }
        }
        if found.is_half() || before.state.is_final() || !found.state.is_final() {
            return;
        }
        if let State::Closed { agent, .. } = &found.state {
            let queue = self.queue(&found.queue, now);
            queue.closed += 1;
            tally(queue, Goal::Close);
            self.agent(agent, now).closed += 1;
            return;
        }
        if found.accepted.is_none() {
            self.queue(&found.queue, found.arrived).received += 1;
            self.queue(&found.queue, now).put_away += 1;
        }
        let over = |goal| due(goal).is_some_and(|due: Timestamp| due < now);
        let queue = self.queue(&found.queue, now);
        queue.accept.lost += u64::from(over(Goal::Accept) && found.accepted.is_none());
        queue.answer.lost += u64::from(over(Goal::Answer) && found.answered.is_none());
        queue.close.lost += u64::from(over(Goal::Close));
    }
}
