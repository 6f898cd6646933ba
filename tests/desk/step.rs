//! Laws of a step: what a command may do, and what it may not, whatever else follows from it.

use std::collections::BTreeSet;

use postroom::desk::{
    Answer, Change, Command, Correspondent, Desk, Direction, Effects, Fact, OfferState, Refusal,
    State, UnassignReason,
};
use postroom::id::{AgentId, InteractionId, OfferId, QueueId, SessionId};
use postroom::mail::token::MainNumber;
use postroom::time::Timestamp;

use super::{Step, World};

/// What there was before a command, as far as it is to be compared with what followed.
pub(super) struct Asked {
    command: Kind,
    /// Whether it comes from a session, or a stream, that is not there any more.
    stale: bool,
    /// The offer that it answers, if that was over before.
    over: Option<OfferId>,
    /// An agent's own mail moves them nowhere among those who are idle: where they stand.
    idle: Option<(AgentId, Timestamp)>,
    /// How many interactions there ever were.
    ever: usize,
    /// The session whose stream comes with this, or goes.
    stream: Option<(SessionId, Option<u64>)>,
}

enum Kind {
    Filing(Vec<QueueId>),
    Accept(Box<Command>),
    Transfer(InteractionId, QueueId, Timestamp),
    Forward(MainNumber, Correspondent),
    Compose(AgentId),
    Remove(AgentId, String),
    /// What it sends may come back as new work.
    Report,
    /// What may make somebody eligible.
    Trigger,
    Other,
}

impl Asked {
    /// Whether it is to be refused, or to do nothing.
    pub(super) const fn is_late(&self) -> bool {
        self.stale || self.over.is_some()
    }

    pub(super) const fn step(&self) -> Step {
        match self.command {
            Kind::Trigger => Step::Trigger,
            _ => Step::Other,
        }
    }

    pub(super) fn check_refused(&self, same: bool, refusal: &Refusal) {
        law!(12, same || !self.stale, "too late, and changed: {refusal}");
        let over = self.over.is_some();
        law!(
            9,
            same || !over,
            "the offer is over, and changed: {refusal}"
        );
        let transfer = matches!(self.command, Kind::Transfer(..));
        law!(
            13,
            same || !transfer,
            "not transferred, and changed: {refusal}"
        );
        let compose = matches!(self.command, Kind::Compose(_));
        law!(15, same || !compose, "not begun, and changed: {refusal}");
        assert!(same, "refused, and changed: {refusal}");
    }
}

impl World {
    pub(super) fn asked(&self, command: &Command) -> Asked {
        let session = command.session();
        let by = session.and_then(|id| {
            let mut open = self.desk.sessions();
            open.find(|session| session.id == id)
                .map(|session| session.agent.clone())
        });
        let older = match command {
            Command::DetachStream { session, stream } => self.streams.get(session) != Some(stream),
            _ => false,
        };
        let over = match command {
            Command::AcknowledgeOffer { offer, .. }
            | Command::AcceptOffer { offer, .. }
            | Command::RejectOffer { offer, .. } => (self.desk.offers().get(offer))
                .filter(|offer| !offer.state.is_live())
                .map(|offer| offer.id),
            _ => None,
        };
        let own = match command {
            Command::StartEmail(_) | Command::SendEmail(_) | Command::DiscardEmail { .. } => true,
            Command::CompleteWrapUp { interaction, .. } => {
                let found = self.desk.interactions().get(interaction);
                found.is_some_and(|found| found.direction == Direction::Outbound)
            }
            _ => false,
        };
        let idle = (by.as_ref().filter(|_| own))
            .and_then(|agent| self.desk.agents().get(agent))
            .map(|agent| (agent.id.clone(), agent.idle_since));
        Asked {
            command: self.kind(command, by),
            stale: older || session.is_some_and(|_| self.is_stale(command)),
            over,
            idle,
            ever: self.kept.interactions.len(),
            stream: match command {
                Command::AttachStream { session, stream } => Some((*session, Some(*stream))),
                Command::DetachStream { session, .. } if !older => Some((*session, None)),
                _ => None,
            },
        }
    }

    fn is_stale(&self, command: &Command) -> bool {
        let session = command.session();
        !self.desk.sessions().any(|open| Some(open.id) == session)
    }

    fn kind(&self, command: &Command, by: Option<AgentId>) -> Kind {
        match command {
            Command::Ingest(letter) => {
                let targets = letter.targets.iter().map(|target| target.queue.clone());
                Kind::Filing(targets.collect())
            }
            Command::AcceptOffer { .. } => Kind::Accept(Box::new(command.clone())),
            Command::Transfer {
                interaction, queue, ..
            } => {
                let found = self.desk.interactions().get(interaction);
                let arrived = found.map_or(Timestamp::ZERO, |found| found.arrived);
                Kind::Transfer(*interaction, queue.clone(), arrived)
            }
            Command::Forward(mail) => {
                let found = self.desk.interactions().get(&mail.interaction);
                found
                    .and_then(|found| self.desk.cases().get(&found.case))
                    .map_or(Kind::Other, |case| {
                        Kind::Forward(case.number, case.customer.clone())
                    })
            }
            Command::StartEmail(_) => by.map_or(Kind::Other, Kind::Compose),
            Command::DeleteAgent { agent } => {
                let found = self.desk.agents().get(agent);
                let name = found.map_or_else(String::new, |agent| agent.display_name.clone());
                Kind::Remove(agent.clone(), name)
            }
            Command::FinishSubmission { .. } | Command::CancelSend { .. } => Kind::Report,
            Command::SetPresence { .. }
            | Command::JoinQueue { .. }
            | Command::AttachStream { .. }
            | Command::RenewSession { .. }
            | Command::CompleteWrapUp { .. }
            | Command::ResumeQueue { .. }
            | Command::SetQueues(_) => Kind::Trigger,
            _ => Kind::Other,
        }
    }

    /// Nothing comes into being but what the command says, and nothing twice.
    pub(super) fn check_births(&self, asked: &Asked, effects: &Effects) {
        let mut born = BTreeSet::new();
        for change in &effects.changes {
            if let Change::Interaction(found) = change
                && !self.kept.interactions.contains_key(&found.id)
            {
                born.insert(found.id);
            }
        }
        let opened: BTreeSet<_> = match &effects.answer {
            Some(Answer::Filed(filings)) => (filings.iter())
                .filter(|filing| !filing.joined)
                .map(|filing| filing.interaction)
                .collect(),
            _ => BTreeSet::new(),
        };
        let due = match &asked.command {
            Kind::Filing(_) => opened == born,
            Kind::Transfer(..) | Kind::Compose(_) => born.len() == 1,
            Kind::Report => born.len() <= 1,
            _ => born.is_empty(),
        };
        law!(1, due, "born: {born:?}");
        let letters = effects.changes.iter().filter(|change| {
            matches!(change, Change::Message(message) if message.direction == Direction::Inbound)
        });
        let filed = usize::from(matches!(asked.command, Kind::Filing(_)));
        law!(3, letters.count() == filed, "letters that nobody sent");
    }

    /// What is written is what may be written.
    pub(super) fn check_written(&self, effects: &Effects) {
        for change in &effects.changes {
            match change {
                Change::Message(message) => {
                    let by_agent =
                        message.direction == Direction::Outbound && message.agent.is_some();
                    if !by_agent {
                        continue;
                    }
                    let found = message.interactions.first();
                    let found = found.and_then(|id| self.kept.interactions.get(id));
                    let queue = found.and_then(|found| self.desk.queues().get(&found.queue));
                    let from = &message.sender.address;
                    let own = queue.is_some_and(|queue| queue.settings.mailbox(from).is_some());
                    let mut house = self.policy.house.from_addresses.iter();
                    let own = own
                        || house.any(|other| {
                            let here =
                                found.is_some_and(|found| other.queues.contains(&found.queue));
                            here && other.mailbox.address.eq_ignore_ascii_case(from)
                        });
                    law!(38, own, "{} is sent from {from}", message.id);
                    let shared = found.is_some_and(|found| found.case == message.case);
                    law!(40, shared, "{} is in another case", message.id);
                }
                Change::Agent(agent) => {
                    let before = self.kept.agents.get(&agent.id);
                    let missed = before.is_some_and(|before| agent.misses > before.misses);
                    let blame = |state: &OfferState| matches!(state, OfferState::Missed);
                    let due = !missed || ended(effects, &agent.id, None, blame);
                    law!(35, due, "{} missed nothing", agent.id);
                }
                Change::Interaction(found) => {
                    let Some(before) = self.kept.interactions.get(&found.id) else {
                        continue;
                    };
                    for agent in found.declined.difference(&before.declined) {
                        let blame = |state: &OfferState| {
                            matches!(state, OfferState::Missed | OfferState::Rejected(_))
                        };
                        let due = ended(effects, agent, Some(found.id), blame)
                            || given_back(effects, agent, found.id);
                        law!(35, due, "{agent} did not decline {}", found.id);
                    }
                }
                _ => {}
            }
        }
    }

    /// Drafts and files go with what they were for.
    pub(super) fn check_uploads(&self) {
        let files = self.kept.uploads.values().map(|upload| &upload.interaction);
        for id in files.chain(self.kept.drafts.keys()) {
            let state = &self.kept.interactions[id].state;
            assert!(
                !state.is_final(),
                "what was written outlives its interaction"
            );
        }
    }

    /// What a command did, beside what holds after any.
    pub(super) fn check_step(
        &mut self,
        now: Timestamp,
        asked: Asked,
        before: Option<&Desk>,
        effects: &Effects,
    ) {
        self.check_late(&asked, before, effects);
        if let Some((agent, since)) = &asked.idle {
            let idle = self.desk.agents().get(agent).map(|agent| agent.idle_since);
            let kept = idle.is_none_or(|idle| idle == *since);
            law!(25, kept, "own mail moved {agent}");
        }
        match &asked.command {
            Kind::Filing(targets) => self.check_filed(targets, effects),
            Kind::Accept(command) => {
                let mut twin = self.desk.clone();
                let again = twin.handle(now, (**command).clone());
                let again = again.unwrap_or_default();
                law!(11, again.answer == effects.answer, "the same click twice");
                let idle = again.changes.is_empty() && again.events.is_empty();
                law!(11, idle, "the same click did something twice");
            }
            Kind::Transfer(id, to, arrived) => {
                let found = &self.desk.interactions()[id];
                law!(13, found.queue == *to, "{id} is in {}", found.queue);
                let waits = matches!(found.state, State::Queued | State::Offered { .. });
                law!(13, waits, "{id} is {}", found.state.name());
                law!(19, found.arrived == *arrived, "{id} lost its age");
                let lines = self.desk.queues().values();
                let lines = lines.filter(|queue| queue.waiting().any(|waits| waits == *id));
                law!(13, lines.count() <= 1, "{id} waits twice");
                let takes = self.desk.queues()[to].settings.accepts_transfers;
                law!(13, takes, "{to} takes no transfers");
            }
            Kind::Forward(number, customer) => {
                let case = &self.kept.cases[number];
                law!(14, case.customer == *customer, "{number} is another's now");
            }
            Kind::Compose(agent) => {
                let presence = self.desk.presence(agent).unwrap();
                let alone = presence.pending_offer.is_none();
                law!(17, alone, "{agent} writes and is offered something");
                let free = self.offerable_agents(now).any(|other| other.id == *agent);
                law!(17, !free, "{agent} writes and is free");
            }
            Kind::Remove(agent, name) => {
                let left = &self.kept.agents[agent];
                let readable = left.removed.is_some() && left.display_name == *name;
                law!(45, readable, "{agent} is forgotten");
                let ever = self.kept.interactions.len();
                law!(45, ever == asked.ever, "{ever} interactions");
            }
            Kind::Report | Kind::Trigger | Kind::Other => {}
        }
        match asked.stream {
            Some((session, Some(stream))) => {
                self.streams.insert(session, stream);
            }
            Some((session, None)) => {
                self.streams.remove(&session);
            }
            None => {}
        }
        for (session, _) in &effects.ended {
            self.streams.remove(session);
        }
    }

    /// What came too late did nothing.
    fn check_late(&self, asked: &Asked, before: Option<&Desk>, effects: &Effects) {
        let idle = effects.changes.is_empty() && effects.events.is_empty();
        let same = idle && before.is_none_or(|before| self.desk == *before);
        law!(12, same || !asked.stale, "an old session did something");
        if let Some(offer) = asked.over {
            law!(9, same, "{offer} was over and did something");
        }
    }

    /// A letter for several queues is an interaction each, in one case.
    fn check_filed(&self, targets: &[QueueId], effects: &Effects) {
        let Some(Answer::Filed(filings)) = &effects.answer else {
            panic!("a letter is filed");
        };
        let queues: Vec<_> = filings.iter().map(|filing| filing.queue.clone()).collect();
        law!(40, queues == targets, "filed in {queues:?}");
        let all: BTreeSet<_> = filings.iter().map(|filing| filing.interaction).collect();
        law!(40, all.len() == targets.len(), "two queues share work");
        let cases: BTreeSet<_> = filings.iter().map(|filing| filing.case).collect();
        let messages: BTreeSet<_> = filings.iter().map(|filing| filing.message).collect();
        law!(40, cases.len() == 1, "two queues, two cases");
        law!(3, messages.len() == 1, "one letter, two records");
    }
}

/// Whether an offer to this agent ended so.
fn ended(
    effects: &Effects,
    agent: &AgentId,
    about: Option<InteractionId>,
    how: impl Fn(&OfferState) -> bool,
) -> bool {
    effects.events.iter().any(|event| match &event.fact {
        Fact::OfferResolved { offer, .. } => {
            let this = about.is_none_or(|about| about == offer.interaction);
            this && offer.agent == *agent && how(&offer.state)
        }
        _ => false,
    })
}

/// Whether the agent gave this back.
fn given_back(effects: &Effects, agent: &AgentId, id: InteractionId) -> bool {
    effects.events.iter().any(|event| match &event.fact {
        Fact::InteractionUnassigned {
            interaction,
            reason,
        } => {
            let theirs = event.agent.as_ref().is_some_and(|(told, _)| told == agent);
            theirs && interaction.id == id && *reason == UnassignReason::Requeued
        }
        _ => false,
    })
}
