//! Short names for what the desk made, and what it said in sentences: `i1`, `o1`, `m1`, `c1`.

use std::collections::BTreeMap;

use postroom::desk::{
    Actor, AgentState, Answer, AssignCause, Change, Concern, Effects, EndCause, Event, Fact,
    Filing, Goal, OfferState, Opening, Presence, PresenceCause, Requested, RescindCause, State,
    Treated, UnassignReason, WrapUpOutcome,
};
use postroom::id::{InteractionId, MessageId, OfferId};
use postroom::mail::token::MainNumber;

use crate::world::clock;

/// Names in the order in which things were first spoken of.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names {
    texts: BTreeMap<String, String>,
    pub(crate) interactions: Vec<InteractionId>,
    pub(crate) offers: Vec<OfferId>,
    pub(crate) messages: Vec<MessageId>,
    pub(crate) cases: Vec<MainNumber>,
}

fn named<T: PartialEq + ToString>(
    known: &mut Vec<T>,
    texts: &mut BTreeMap<String, String>,
    letter: char,
    id: T,
) -> String {
    let place = known.iter().position(|other| *other == id);
    let number = place.map_or(known.len(), |place| place) + 1;
    let name = format!("{letter}{number}");
    if place.is_none() {
        texts.insert(id.to_string(), name.clone());
        known.push(id);
    }
    name
}

impl Names {
    pub(crate) fn interaction(&mut self, id: InteractionId) -> String {
        named(&mut self.interactions, &mut self.texts, 'i', id)
    }

    pub(crate) fn offer(&mut self, id: OfferId) -> String {
        named(&mut self.offers, &mut self.texts, 'o', id)
    }

    pub(crate) fn message(&mut self, id: MessageId) -> String {
        named(&mut self.messages, &mut self.texts, 'm', id)
    }

    pub(crate) fn case(&mut self, number: MainNumber) -> String {
        named(&mut self.cases, &mut self.texts, 'c', number)
    }

    /// A text of the desk's with its ids replaced.
    pub(crate) fn short(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (id, name) in self.texts.iter().filter(|(id, _)| id.len() > 20) {
            text = text.replace(id, name);
        }
        text
    }

    /// All that followed, a line each.
    pub(crate) fn lines(&mut self, effects: &Effects) -> Vec<String> {
        let mut lines = Vec::new();
        for change in &effects.changes {
            // The only change that nobody else is told of.
            if let Change::Offer(offer) = change
                && offer.state == OfferState::Shown
            {
                lines.push(format!("{} shown", self.offer(offer.id)));
            }
        }
        if let Some(Answer::Filed(filings)) = &effects.answer {
            lines.extend(filings.iter().map(|filing| self.filing(filing)));
        }
        if let Some(Answer::Treated(treated, more)) = &effects.answer {
            lines.extend(self.treated(treated, *more));
        }
        if let Some(Answer::Presence { deferred: true, .. }) = &effects.answer {
            lines.push("kept for later".into());
        }
        for event in &effects.events {
            let told = self.event(event);
            lines.push(match &event.actor {
                Actor::Supervisor(who) => format!("{told}, by {who}"),
                Actor::Administrator(who) => format!("{told}, by administrator {who}"),
                Actor::System | Actor::Agent(_) => told,
            });
        }
        for (_, cause) in &effects.ended {
            let cause = match cause {
                EndCause::Superseded => "superseded",
                EndCause::TakenOver => "taken over",
                EndCause::SignedOut => "signed out",
                EndCause::LeaseExpired => "lease expired",
                EndCause::Barred => "account closed",
                EndCause::ClosedByOthers => "closed by others",
            };
            lines.push(format!("a session ends: {cause}"));
        }
        for outbound in &effects.submissions {
            let name = self.message(outbound.id);
            lines.push(format!("{name} goes to the submitter"));
        }
        lines
    }

    /// What became of each interaction of an act on many.
    pub(crate) fn treated(&mut self, treated: &[Treated], more: usize) -> Vec<String> {
        let mut lines = Vec::new();
        for one in treated {
            let name = self.interaction(one.interaction);
            let became = match &one.obstacle {
                None => "yes".to_owned(),
                Some(obstacle) => format!("no: {}", self.short(obstacle.words())),
            };
            lines.push(format!("{name} {became}"));
        }
        lines.push(format!("{more} more"));
        lines
    }

    fn concern(&mut self, concern: &Concern) -> String {
        match concern {
            Concern::QueueFull(queue) => format!("{queue} is full"),
            Concern::EverybodyDeclined(id) => format!("{} is declined", self.interaction(*id)),
            Concern::WorkAbandoned(id) => format!("{} is abandoned", self.interaction(*id)),
            Concern::DeliveryUnconfirmed(id) => format!("{} is in doubt", self.message(*id)),
            Concern::DeliveryRefused(id) => format!("{} is refused", self.message(*id)),
            Concern::DeliveryReturned(id) => format!("{} came back", self.message(*id)),
        }
    }

    fn filing(&mut self, filing: &Filing) -> String {
        let message = self.message(filing.message);
        let case = self.case(filing.case);
        let interaction = self.interaction(filing.interaction);
        let how = if filing.joined { "joins" } else { "is" };
        format!("{message} {how} {interaction} of {case}")
    }

    fn event(&mut self, event: &Event) -> String {
        match &event.fact {
            Fact::InteractionQueued(found) => {
                format!("{} queued {}", self.interaction(found.id), found.queue)
            }
            Fact::PresenceChanged { presence, previous } => format!(
                "{} {} -> {} ({})",
                presence.agent,
                state(*previous),
                shown(presence),
                cause(presence.cause)
            ),
            Fact::OfferCreated { offer, interaction } => format!(
                "{} pending: {} to {} until {}",
                self.offer(offer.id),
                self.interaction(interaction.id),
                offer.agent,
                clock(offer.deadline)
            ),
            Fact::OfferResolved { offer, .. } => {
                let name = self.offer(offer.id);
                let how = match &offer.state {
                    OfferState::Pending | OfferState::Shown => "live".to_owned(),
                    OfferState::Accepted => "accepted".to_owned(),
                    OfferState::Rejected(why) if why.is_empty() => "rejected".to_owned(),
                    OfferState::Rejected(why) => format!("rejected: {why}"),
                    OfferState::Missed => "missed".to_owned(),
                    OfferState::Undelivered => "undelivered".to_owned(),
                    OfferState::Rescinded(cause) => format!("rescinded: {}", rescinded(*cause)),
                };
                format!("{name} {how}")
            }
            Fact::InteractionAssigned { interaction, cause } => {
                let how = match cause {
                    AssignCause::Accepted => String::new(),
                    AssignCause::Pulled => ": pulled".to_owned(),
                    AssignCause::Resumed => ": resumed".to_owned(),
                    AssignCause::Returned => ": returned".to_owned(),
                    AssignCause::Started => {
                        format!(": started in {}", self.case(interaction.case))
                    }
                    AssignCause::Reassigned => ": reassigned".to_owned(),
                };
                let to = interaction.state.holder().map(ToString::to_string);
                let to = to.unwrap_or_default();
                format!("{} assigned to {to}{how}", self.interaction(interaction.id))
            }
            Fact::InteractionUpdated(found) => match &found.state {
                State::Parked { agent, until, .. } => {
                    let name = self.interaction(found.id);
                    format!("{name} parked by {agent} until {}", clock(*until))
                }
                _ => format!("{} updated", self.interaction(found.id)),
            },
            Fact::MessageReceived {
                interaction,
                message,
            } => {
                let told = match &event.agent {
                    Some((agent, _)) => format!("{agent} is told"),
                    None => "nobody to tell".to_owned(),
                };
                let (message, about) = (message.id, interaction.id);
                let message = self.message(message);
                format!("{message} received in {}; {told}", self.interaction(about))
            }
            Fact::DeliveryUpdated(outbound) => {
                format!("{} is {}", self.message(outbound.id), outbound.state)
            }
            Fact::InteractionUnassigned {
                interaction,
                reason,
            } => {
                let why = match reason {
                    UnassignReason::Transferred => "transferred",
                    UnassignReason::Requeued => "back in line",
                    UnassignReason::Cancelled => "cancelled",
                    UnassignReason::Reassigned => "reassigned",
                };
                format!("{} let go: {why}", self.interaction(interaction.id))
            }
            Fact::WrapUpStarted(found) => {
                let until = match &found.state {
                    State::WrappingUp {
                        deadline: Some(deadline),
                        ..
                    } => format!("until {}", clock(*deadline)),
                    _ => "without end".to_owned(),
                };
                format!("{} wrapping up {until}", self.interaction(found.id))
            }
            Fact::WrapUpEnded {
                interaction,
                outcome,
            } => {
                let how = match outcome {
                    WrapUpOutcome::Completed => "completed",
                    WrapUpOutcome::TimedOut => "timed out",
                    WrapUpOutcome::Cancelled => "cancelled",
                };
                format!("{} closed: {how}", self.interaction(interaction.id))
            }
            Fact::InteractionClosed(found) => {
                format!("{} closed", self.interaction(found.id))
            }
            Fact::InteractionHeld(found) => {
                let State::Held { reason, .. } = &found.state else {
                    panic!("{} is not held", found.id)
                };
                let name = self.interaction(found.id);
                format!("{name} held in {}: {}", found.queue, reason.words())
            }
            Fact::InteractionOverflowed { interaction, from } => format!(
                "{} goes on from {from} to {}",
                self.interaction(interaction.id),
                interaction.queue
            ),
            Fact::TargetNear {
                interaction,
                goal,
                due,
                missed,
            } => {
                let goal = match goal {
                    Goal::Accept => "accepted",
                    Goal::Answer => "answered",
                    Goal::Close => "closed",
                };
                let how = if *missed { "was" } else { "is" };
                let name = self.interaction(interaction.id);
                format!("{name} {how} to be {goal} by {}", clock(*due))
            }
            Fact::QueueChanged { queue, opening } => {
                let how = match opening {
                    Opening::Open => "open",
                    Opening::Closed => "closed",
                    Opening::Paused => "paused",
                };
                format!("{queue} is {how}")
            }
            Fact::InteractionFiled(found) => {
                format!("{} filed in {}", self.interaction(found.id), found.queue)
            }
            Fact::AgentUpdated(agent) => {
                let state = if agent.disabled { ", disabled" } else { "" };
                let can: Vec<String> = (agent.skills.iter())
                    .map(|(skill, level)| format!(" {skill}:{level}"))
                    .collect();
                let can = if can.is_empty() {
                    String::new()
                } else {
                    format!(", can{}", can.concat())
                };
                format!("{} may hold {}{can}{state}", agent.id, agent.capacity)
            }
            Fact::PresenceForced {
                state,
                deferred,
                note,
            } => {
                let state = match state {
                    Requested::Available => "available",
                    Requested::WorkOffline(_) => "work offline",
                    Requested::SignedOut => "signed out",
                };
                let later = if *deferred { ", later" } else { "" };
                let note = if note.is_empty() {
                    String::new()
                } else {
                    format!(" ({note})")
                };
                format!("{} is set {state}{later}{note}", concerned(event))
            }
            Fact::AlertRaised(alert) => format!("alert: {}", self.concern(&alert.concern)),
            Fact::AlertCleared(alert) => {
                format!("alert over: {}", self.concern(&alert.concern))
            }
            Fact::NoticePosted { text } => format!("{} is told: {text}", concerned(event)),
            Fact::MembershipChanged { queue, removed } => {
                let agent = concerned(event);
                let verb = if *removed { "leaves" } else { "joins" };
                format!("{agent} {verb} {queue}")
            }
        }
    }
}

fn concerned(event: &Event) -> String {
    let agent = event.agent.as_ref().map(|(agent, _)| agent.to_string());
    agent.unwrap_or_default()
}

pub(crate) fn state(state: AgentState) -> &'static str {
    match state {
        AgentState::SignedOut => "signed out",
        AgentState::WorkOffline => "work offline",
        AgentState::Available => "available",
        AgentState::Busy => "busy",
        AgentState::WrapUp => "wrap-up",
    }
}

/// What an agent is shown as, with the reason if there is one.
pub(crate) fn shown(presence: &Presence) -> String {
    match (&presence.requested, presence.state) {
        (Requested::WorkOffline(why), AgentState::WorkOffline) if !why.is_empty() => {
            format!("work offline ({why})")
        }
        (_, shown) => state(shown).to_owned(),
    }
}

fn cause(cause: PresenceCause) -> &'static str {
    match cause {
        PresenceCause::AgentRequest => "agent",
        PresenceCause::SupervisorRequest => "supervisor",
        PresenceCause::Accept => "accepted",
        PresenceCause::WrapUpStart => "wrap-up began",
        PresenceCause::WrapUpComplete => "work done",
        PresenceCause::WrapUpTimeout => "wrap-up timed out",
        PresenceCause::OfferRejected => "offer rejected",
        PresenceCause::OfferMissed => "offer missed",
        PresenceCause::Disconnected => "disconnected",
        PresenceCause::SignIn => "sign-in",
        PresenceCause::SignOut => "sign-out",
        PresenceCause::Pull => "pulled",
        PresenceCause::Resume => "resumed",
        PresenceCause::Compose => "writes",
    }
}

fn rescinded(cause: RescindCause) -> &'static str {
    match cause {
        RescindCause::StreamLost => "stream lost",
        RescindCause::SessionLost => "session lost",
        RescindCause::StateChanged => "state changed",
        RescindCause::MembershipEnded => "membership ended",
        RescindCause::Restart => "restart",
        RescindCause::Composing => "composing",
        RescindCause::Supervisor => "supervisor",
        RescindCause::QueueClosed => "queue closed",
    }
}
