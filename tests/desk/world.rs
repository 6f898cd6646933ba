//! A desk with what was written of it, and the laws that hold between commands.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::time::Duration;

use postroom::desk::skill::asked;
use postroom::desk::{
    Actor, Agent, AgentState, Answer, Case, Change, CodePolicy, Command, Concern, Correspondent,
    Counters, Desk, Effects, Event, Fact, Handling, Hindrance, Ingest, Interaction, Message, Offer,
    Opening, Origin, Outgoing, Pause, Policy, Presence, Queue, QueueSettings, ROUNDS_ALERT,
    Records, Refusal, Requested, Session, State, Strategy, Target, Thread, Upload,
};
use postroom::engine::Overview;
use postroom::id::{AgentId, AttachmentId, InteractionId, MessageId, OfferId, QueueId, SessionId};
use postroom::mail::clue::OwnKeys;
use postroom::mail::token::MainNumber;
use postroom::mail::trust::Trust;
use postroom::outbound::message::{DeliveryState, Outbound};
use postroom::time::Timestamp;

/// What a store would have: each record as it was last written.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kept {
    pub(crate) counters: Option<Counters>,
    pub(crate) agents: BTreeMap<AgentId, Agent>,
    pub(crate) sessions: BTreeMap<SessionId, Session>,
    pub(crate) offers: BTreeMap<OfferId, Offer>,
    pub(crate) interactions: BTreeMap<InteractionId, Interaction>,
    pub(crate) cases: BTreeMap<MainNumber, Case>,
    pub(crate) messages: BTreeMap<MessageId, Message>,
    pub(crate) outbound: BTreeMap<MessageId, Outbound>,
    pub(crate) pauses: BTreeMap<QueueId, Pause>,
    pub(crate) uploads: BTreeMap<AttachmentId, Upload>,
}

impl Kept {
    fn write(&mut self, change: &Change) {
        match change.clone() {
            Change::Counters(counters) => self.counters = Some(counters),
            Change::Agent(agent) => {
                self.agents.insert(agent.id.clone(), *agent);
            }
            Change::Session(session) => {
                self.sessions.insert(session.id, session);
            }
            Change::SessionEnded(id) => {
                self.sessions.remove(&id);
            }
            Change::Offer(offer) => {
                let before = self.offers.insert(offer.id, offer.clone());
                if let Some(before) = before.filter(|before| !before.state.is_live()) {
                    assert_eq!(before, offer, "a final offer changed");
                }
            }
            Change::OfferForgotten(id) => {
                self.offers.remove(&id);
            }
            Change::Interaction(new) => {
                let before = self.interactions.insert(new.id, (*new).clone());
                if let Some(before) = before {
                    assert!(before.version < new.version, "{} has an old etag", new.id);
                    let mended = new.arrived < before.arrived && new.arrived == new.changed;
                    let kept = before.arrived == new.arrived;
                    assert!(kept || mended, "an arrival was forgotten");
                    let closed = before.state.is_final();
                    assert!(!closed, "{} was closed and changed", new.id);
                }
            }
            Change::Case(case) => {
                self.cases.insert(case.number, *case);
            }
            Change::Message(message) => {
                let before = self.messages.insert(message.id, *message);
                assert!(before.is_none(), "a message was written twice");
            }
            Change::Dossier(..)
            | Change::Clue(..)
            | Change::Acknowledged { .. }
            | Change::Suppressed(_) => {}
            Change::Outbound(outbound) => {
                self.outbound.insert(outbound.id, *outbound);
            }
            Change::Upload(upload) => {
                self.uploads.insert(upload.id, *upload);
            }
            Change::UploadDropped(_, id) => {
                let dropped = self.uploads.remove(&id);
                assert!(dropped.is_some(), "a file was dropped twice");
            }
            Change::QueuePaused(pause) => {
                self.pauses.insert(pause.queue.clone(), pause);
            }
            Change::QueueResumed(queue) => {
                self.pauses.remove(&queue);
            }
            Change::Logged(..) | Change::LogTrimmed(..) => {}
        }
    }

    /// What a start would read.
    fn records(&self) -> Records {
        let open = |found: &&Interaction| !found.state.is_final();
        let interactions: Vec<_> = self.interactions.values().filter(open).cloned().collect();
        let numbers: BTreeSet<_> = interactions.iter().map(|found| found.case).collect();
        Records {
            counters: self.counters,
            agents: self.agents.values().cloned().collect(),
            sessions: self.sessions.values().cloned().collect(),
            offers: self.offers.values().cloned().collect(),
            interactions,
            pauses: self.pauses.values().cloned().collect(),
            uploads: self.uploads.values().cloned().collect(),
            cases: numbers.iter().map(|n| self.cases[n].clone()).collect(),
            outbound: (self.outbound.values())
                .filter(|outbound| !outbound.state.is_settled())
                .cloned()
                .collect(),
        }
    }
}

/// What an agent's client knows from the events it was told, and from nothing else.
#[derive(Debug, Clone, Default)]
struct Client {
    sequence: u64,
    shown: Option<AgentState>,
    offers: BTreeSet<OfferId>,
    holds: BTreeMap<InteractionId, Interaction>,
}

impl Client {
    fn hear(&mut self, sequence: u64, fact: &Fact) {
        assert_eq!(self.sequence + 1, sequence, "a gap in an agent's log");
        self.sequence = sequence;
        match fact {
            Fact::PresenceChanged { presence, previous } => {
                let before = self.shown.replace(presence.state);
                assert_eq!(before.unwrap_or(AgentState::SignedOut), *previous);
            }
            Fact::OfferCreated { offer, .. } => {
                assert!(self.offers.insert(offer.id), "an offer was created twice");
            }
            Fact::OfferResolved { offer, .. } => {
                assert!(self.offers.remove(&offer.id), "{} ended twice", offer.id);
            }
            Fact::InteractionAssigned { interaction, .. }
            | Fact::InteractionUpdated(interaction)
            | Fact::MessageReceived { interaction, .. }
            | Fact::WrapUpStarted(interaction) => {
                self.holds.insert(interaction.id, (**interaction).clone());
            }
            Fact::InteractionUnassigned { interaction, .. } => {
                assert!(self.holds.remove(&interaction.id).is_some());
            }
            Fact::WrapUpEnded { interaction, .. } | Fact::InteractionClosed(interaction) => {
                // Of a transfer without post-processing only the end is told.
                let known = self.holds.remove(&interaction.id).is_some();
                assert!(known || interaction.follows.is_some());
            }
            Fact::InteractionQueued(_)
            | Fact::InteractionHeld(_)
            | Fact::InteractionFiled(_)
            | Fact::DeliveryUpdated(_)
            | Fact::AgentUpdated(_)
            | Fact::QueueChanged { .. }
            | Fact::PresenceForced { .. }
            | Fact::NoticePosted { .. }
            | Fact::AlertRaised(_)
            | Fact::AlertCleared(_)
            | Fact::InteractionOverflowed { .. }
            | Fact::TargetNear { .. }
            | Fact::MembershipChanged { .. } => {}
        }
    }
}

/// After how many writes the desk is put together anew and compared: it takes longer than all
/// other laws together.
const KEPT_EVERY: u64 = 5;

/// A desk with what was written of it.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) desk: Desk,
    pub(crate) kept: Kept,
    policy: Policy,
    queues: Vec<QueueSettings>,
    revision: u64,
    /// The alerts that supervisors were told of, refused replies left out.
    alerts: BTreeSet<Concern>,
    clients: BTreeMap<AgentId, Client>,
    writes: u64,
}

impl World {
    pub(crate) fn new(policy: Policy) -> Self {
        Self {
            desk: Desk::new(policy.clone()),
            kept: Kept::default(),
            policy,
            queues: Vec::new(),
            revision: 0,
            alerts: BTreeSet::new(),
            clients: BTreeMap::new(),
            writes: 0,
        }
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
        let rehearsed = match &command {
            Command::Bulk(bulk) => Some(self.desk.rehearse(bulk)),
            _ => None,
        };
        let before = self.desk.clone();
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
                self.write(now, &effects);
                Ok(effects)
            }
            Err(refusal) => {
                assert!(self.desk == before, "refused, and changed: {refusal}");
                Err(refusal)
            }
        }
    }

    /// What the engine looks up for the desk.
    fn recall(&self, command: &mut Command) {
        if let Command::FinishSubmission {
            message, sent_for, ..
        } = command
            && let Some(outbound) = self.desk.spool().get(*message)
            && !(self.desk.interactions()).contains_key(&outbound.interaction)
        {
            let mut closed = self.kept.interactions[&outbound.interaction].clone();
            let case = self.case(closed.case);
            closed.case = case.number;
            *sent_for = Some(Box::new((closed, case)));
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
        self.write(now, &effects);
        let next = self.desk.next_deadline();
        assert!(next.is_none_or(|next| next > now), "{next:?} after {now}");
        let again = self.desk.tick(now);
        assert_eq!(again, Effects::default(), "a second tick did something");
        effects
    }

    /// The process ends and starts anew from what was written.
    pub(crate) fn restart(&mut self, now: Timestamp) -> Effects {
        self.desk = self.restored(now);
        // Whoever watches begins with an overview.
        self.alerts = (self.desk.alerts())
            .map(|alert| alert.concern.clone())
            .collect();
        let effects = self.desk.start(now);
        self.write(now, &effects);
        effects
    }

    /// The machine was asleep, and the clock leaps.
    pub(crate) fn leap(&mut self, now: Timestamp) -> Effects {
        let misses =
            |desk: &Desk| -> u32 { desk.agents().values().map(|agent| agent.misses).sum() };
        let before = misses(&self.desk);
        let effects = self.desk.leap(now);
        assert_eq!(
            misses(&self.desk),
            before,
            "blamed for what happened asleep"
        );
        self.write(now, &effects);
        effects
    }

    fn restored(&self, now: Timestamp) -> Desk {
        let (policy, queues) = (self.policy.clone(), self.queues.clone());
        Desk::restore(policy, queues, self.kept.records(), now)
    }

    fn write(&mut self, now: Timestamp, effects: &Effects) {
        self.writes += 1;
        for change in &effects.changes {
            self.kept.write(change);
        }
        for upload in self.kept.uploads.values() {
            let state = &self.kept.interactions[&upload.interaction].state;
            assert!(!state.is_final(), "a file outlives its interaction");
        }
        for event in &effects.events {
            match &event.fact {
                Fact::AlertRaised(alert) | Fact::AlertCleared(alert) if alert.concern.is_over() => {
                }
                Fact::AlertRaised(alert) => {
                    // After a restart it is told again that nobody knows of a message.
                    self.alerts.insert(alert.concern.clone());
                }
                Fact::AlertCleared(alert) => assert!(self.alerts.remove(&alert.concern)),
                _ => {}
            }
            self.revision += 1;
            assert_eq!(event.revision, self.revision, "a gap in the revisions");
            if let Some((agent, sequence)) = &event.agent {
                let client = self.clients.entry(agent.clone()).or_default();
                client.hear(*sequence, &event.fact);
            }
        }
        for change in &effects.changes {
            if let Change::Agent(agent) = change
                && agent.removed.is_some()
            {
                // Whoever bears the name next begins above all old numbers.
                let sequence = agent.sequence + self.policy.log_entries + 1;
                let next = Client {
                    sequence,
                    ..Client::default()
                };
                let left = self.clients.insert(agent.id.clone(), next);
                let left = left.unwrap_or_default();
                assert!(left.holds.is_empty() && left.offers.is_empty());
            }
        }
        self.check_offers(now, &effects.events);
        self.check(now);
    }

    /// Whether the agent could be offered something.
    fn offerable(&self, agent: &Agent, presence: &Presence, now: Timestamp) -> bool {
        let listens = (self.desk.sessions())
            .filter(|session| session.agent == agent.id)
            .filter_map(|session| self.desk.session(session.id, now))
            .any(|view| !view.in_grace);
        let offers = (self.desk.offers().values())
            .filter(|offer| offer.agent == agent.id && offer.state.is_live())
            .count();
        let holds_all = self.policy.house.wrap_up_holds_all;
        let wrapping = presence.interactions.iter().any(|id| {
            let state = &self.desk.interactions()[id].state;
            matches!(state, State::Drafting { .. })
                || holds_all && matches!(state, State::WrappingUp { .. })
        });
        listens
            && agent.requested == Requested::Available
            && !matches!(agent.next, Some(Requested::WorkOffline(_)))
            && !wrapping
            && presence.interactions.len() + offers < agent.capacity as usize
            && agent.cooldown_until <= now
    }

    fn offerable_agents(&self, now: Timestamp) -> Vec<&Agent> {
        (self.desk.agents().values())
            .filter(|agent| {
                let presence = self.desk.presence(&agent.id).unwrap();
                self.offerable(agent, &presence, now)
            })
            .collect()
    }

    /// Priority with what waiting has added to it.
    fn grown(&self, found: &Interaction, now: Timestamp) -> i32 {
        let steps = (self.desk.queues()[&found.queue].settings.ageing).map_or(0, |ageing| {
            let whole = now.since(found.arrived).as_millis() / ageing.every.as_millis();
            whole.min(u128::from(ageing.max))
        });
        found.priority + i32::try_from(steps).unwrap()
    }

    /// Whether an agent can do what is asked for by now.
    fn skilled(&self, agent: &Agent, found: &Interaction, now: Timestamp) -> bool {
        let relax = self.desk.queues()[&found.queue].settings.skill_relax;
        let given_up = relax.map_or(0, |relax| {
            now.since(found.arrived).as_millis() / relax.as_millis()
        });
        found.skills.iter().all(|text| {
            let (name, level) = asked(text).unwrap();
            let own = agent.skills.get(name).copied().unwrap_or(0);
            u128::from(own) + given_up >= u128::from(level)
        })
    }

    /// For whom an interaction is kept.
    fn keeper(&self, found: &Interaction, now: Timestamp) -> Option<&Agent> {
        let preferred = found.preferred.as_ref()?;
        let agent = self.desk.agents().get(&preferred.agent)?;
        let holds = now < preferred.until
            && self.session(&agent.id).is_some()
            && agent.queues.contains(&found.queue)
            && self.skilled(agent, found, now)
            && !found.declined.contains(&agent.id);
        holds.then_some(agent)
    }

    /// Whether nothing about a pair forbids to bring the two together.
    fn fits(&self, agent: &Agent, found: &Interaction, now: Timestamp) -> bool {
        agent.queues.contains(&found.queue)
            && !found.declined.contains(&agent.id)
            && self.skilled(agent, found, now)
            && (self.keeper(found, now)).is_none_or(|keeper| keeper.id == agent.id)
    }

    /// What explaining says is what is so: nobody has nothing in the way who is not being
    /// offered it, and what is about the pair is said exactly if it is so.
    fn check_explained(&self, now: Timestamp) {
        for found in self.desk.interactions().values() {
            for agent in self.desk.agents().values() {
                let why = self.desk.explain(now, found.id, &agent.id).unwrap();
                let offered = match &found.state {
                    State::Offered { agent: to, .. } => *to == agent.id,
                    _ => false,
                };
                assert_eq!(why.is_empty(), offered, "{}: {why:?}", agent.id);
                if found.state != State::Queued {
                    continue;
                }
                let says = |of: fn(&Hindrance) -> bool| why.iter().any(of);
                let closed = self.desk.queues()[&found.queue].opening() != Opening::Open;
                assert_eq!(says(|it| matches!(it, Hindrance::QueueClosed)), closed);
                let stranger = !agent.queues.contains(&found.queue);
                assert_eq!(says(|it| matches!(it, Hindrance::NotMember)), stranger);
                let closed = self.desk.queues()[&found.queue].opening() != Opening::Open;
                assert_eq!(says(|it| matches!(it, Hindrance::QueueClosed)), closed);
                let declined = found.declined.contains(&agent.id);
                assert_eq!(says(|it| matches!(it, Hindrance::Declined)), declined);
                let unable = !self.skilled(agent, found, now);
                assert_eq!(says(|it| matches!(it, Hindrance::Lacks { .. })), unable);
                let kept = (self.keeper(found, now)).is_some_and(|other| other.id != agent.id);
                assert_eq!(says(|it| matches!(it, Hindrance::KeptFor(..))), kept);
                let presence = self.desk.presence(&agent.id).unwrap();
                let busy = why.iter().any(|it| {
                    !matches!(
                        it,
                        Hindrance::QueueClosed
                            | Hindrance::NotMember
                            | Hindrance::Declined
                            | Hindrance::Lacks { .. }
                            | Hindrance::KeptFor(..)
                    )
                });
                assert_eq!(busy, !self.offerable(agent, &presence, now), "{why:?}");
            }
        }
    }

    /// Laws of fairness, for offers that were just made: first come, first served; longest idle;
    /// nobody is asked twice.
    fn check_offers(&self, now: Timestamp, events: &[Event]) {
        let free = self.offerable_agents(now);
        for event in events {
            let Fact::OfferCreated { offer, interaction } = &event.fact else {
                continue;
            };
            let to = &self.desk.agents()[&offer.agent];
            assert!(!interaction.declined.contains(&to.id), "asked twice");
            assert!(to.queues.contains(&offer.queue), "not a member");
            assert!(self.fits(to, interaction, now), "{} cannot have it", to.id);
            let strategy = self.desk.queues()[&offer.queue].settings.strategy;
            for other in &free {
                let alike = strategy == Strategy::LongestIdle && other.id != to.id;
                if alike && self.fits(other, interaction, now) {
                    let (other, to) = ((other.idle_since, &other.id), (to.idle_since, &to.id));
                    assert!(to < other, "{other:?} was idle longer than {to:?}");
                }
            }
            let place = |found: &Interaction| (-self.grown(found, now), found.arrived, found.id);
            for id in self.desk.queues()[&offer.queue].waiting() {
                let waits = &self.desk.interactions()[&id];
                let passed = place(waits) < place(interaction);
                assert!(!passed || !self.fits(to, waits, now), "out of turn");
            }
        }
    }

    /// Laws of the desk at rest.
    pub(crate) fn check(&self, now: Timestamp) {
        self.check_times(now);
        self.check_places(now);
        self.check_alerts();
        self.check_overview(now);
        self.check_agents(now);
        self.check_cases();
        self.check_conservation(now);
        self.check_explained(now);
        if self.writes.is_multiple_of(KEPT_EVERY) {
            self.check_kept(now);
        }
    }

    /// An interaction is in one place, a live offer and an offered interaction are a pair, and the
    /// line is in order.
    fn check_places(&self, now: Timestamp) {
        let mut lines: BTreeMap<&QueueId, Vec<(i32, Timestamp, InteractionId)>> = BTreeMap::new();
        let mut held: BTreeMap<&AgentId, Vec<InteractionId>> = BTreeMap::new();
        let mut parked: BTreeMap<&AgentId, Vec<InteractionId>> = BTreeMap::new();
        let mut active: BTreeMap<&AgentId, usize> = BTreeMap::new();
        let mut offered = BTreeSet::new();
        for found in self.desk.interactions().values() {
            match &found.state {
                State::Queued => {
                    let place = (-self.grown(found, now), found.arrived, found.id);
                    lines.entry(&found.queue).or_default().push(place);
                }
                State::Offered { offer, agent } => {
                    let offer = &self.desk.offers()[offer];
                    assert!(offer.state.is_live(), "{} is over", offer.id);
                    let queue = &self.desk.queues()[&found.queue];
                    assert_eq!(queue.opening(), Opening::Open, "offered while closed");
                    assert_eq!((&offer.agent, offer.interaction), (agent, found.id));
                    offered.insert(offer.id);
                }
                State::Active { agent, .. }
                | State::WrappingUp { agent, .. }
                | State::Drafting { agent, .. } => {
                    if !matches!(found.state, State::WrappingUp { .. }) {
                        *active.entry(agent).or_default() += 1_usize;
                    }
                    held.entry(agent).or_default().push(found.id);
                }
                State::Parked { agent, .. } => parked.entry(agent).or_default().push(found.id),
                State::Held { .. } => {}
                State::Closed { .. } | State::Filed { .. } | State::Cancelled { .. } => {
                    panic!("{} is over and kept", found.id)
                }
            }
        }
        for (id, queue) in self.desk.queues() {
            let mut line = lines.remove(id).unwrap_or_default();
            line.sort_unstable();
            let line: Vec<_> = line.into_iter().map(|(_, _, id)| id).collect();
            assert_eq!(queue.waiting().collect::<Vec<_>>(), line, "line of {id}");
        }
        assert!(lines.is_empty(), "waiting in no queue: {lines:?}");
        let live: BTreeSet<_> = (self.desk.offers().values())
            .filter(|offer| offer.state.is_live())
            .map(|offer| offer.id)
            .collect();
        assert_eq!(live, offered, "live offers and offered interactions");
        for id in self.desk.agents().keys() {
            let mut held = held.remove(id).unwrap_or_default();
            let presence = self.desk.presence(id).unwrap();
            held.sort_unstable();
            assert_eq!(presence.interactions, held, "in the hands of {id}");
            let parked = parked.remove(id).unwrap_or_default();
            assert_eq!(presence.parked, parked, "parked by {id}");
            let offers = offered
                .iter()
                .filter(|offer| self.desk.offers()[offer].agent == *id);
            assert_eq!(presence.pending_offer.as_ref(), offers.clone().next());
            // Work stays in hand when less is allowed than before; offers do not.
            let capacity = self.desk.agents()[id].capacity as usize;
            let offers = offers.count();
            let fits = offers == 0 || active.get(id).unwrap_or(&0) + offers <= capacity;
            assert!(fits, "{id} has too much");
        }
        assert!(held.is_empty(), "held by nobody: {held:?}");
    }

    /// Nobody waits since tomorrow, and nothing is put off for longer than its bound.
    fn check_times(&self, now: Timestamp) {
        for found in self.desk.interactions().values() {
            assert!(found.arrived <= now, "{} waits since tomorrow", found.id);
            if let State::WrappingUp {
                since, deadline, ..
            } = &found.state
            {
                assert!(*since <= now);
                let longest = Duration::from_secs(3600);
                assert!(deadline.is_none_or(|deadline| deadline <= now + longest));
            }
        }
        for agent in self.desk.agents().values() {
            assert!(agent.since <= now && agent.idle_since <= now);
            assert!(agent.cooldown_until <= now + Duration::from_secs(3600));
        }
    }

    /// What is shown follows from the facts, and is what was last told.
    fn check_agents(&self, now: Timestamp) {
        for (id, agent) in self.desk.agents() {
            let presence = self.desk.presence(id).unwrap();
            let active = presence.interactions.iter().any(|id| {
                let state = &self.desk.interactions()[id].state;
                matches!(state, State::Active { .. } | State::Drafting { .. })
            });
            let shown = match &agent.requested {
                Requested::SignedOut => AgentState::SignedOut,
                Requested::WorkOffline(_) | Requested::Available if active => AgentState::Busy,
                Requested::WorkOffline(_) => AgentState::WorkOffline,
                Requested::Available if !presence.interactions.is_empty() => AgentState::WrapUp,
                Requested::Available => AgentState::Available,
            };
            assert_eq!(presence.state, shown, "{id}");
            let silent = Client::default();
            let client = self.clients.get(id).unwrap_or(&silent);
            assert_eq!(client.sequence, agent.sequence, "log of {id}");
            let told = client.shown.unwrap_or(AgentState::SignedOut);
            assert_eq!(told, shown, "{id} was told otherwise");
            let holds: BTreeMap<_, _> = (presence.interactions.iter().chain(&presence.parked))
                .map(|id| (*id, self.desk.interactions()[id].clone()))
                .collect();
            same(&client.holds, &holds);
            let offers: BTreeSet<_> = (self.desk.offers().values())
                .filter(|offer| offer.agent == *id && offer.state.is_live())
                .map(|offer| offer.id)
                .collect();
            assert_eq!(client.offers, offers, "{id} sees other offers");
            for offer in &offers {
                let queue = &self.desk.offers()[offer].queue;
                assert_eq!(agent.requested, Requested::Available, "offered while away");
                assert!(agent.queues.contains(queue), "offered to a stranger");
            }
            // Nobody is in post-processing for ever, unless the queue waits for a code.
            for id in &presence.interactions {
                let found = &self.desk.interactions()[id];
                if let State::WrappingUp { deadline, .. } = &found.state {
                    let queue = &self.desk.queues()[&found.queue].settings;
                    let ends = match deadline {
                        Some(deadline) => *deadline > now || found.disposition.is_empty(),
                        None => shown != AgentState::WrapUp,
                    };
                    let holds = queue.codes == CodePolicy::Hold;
                    let over = deadline.is_some_and(|deadline| deadline <= now);
                    assert!(holds || (ends && !over), "{id} is wrapped up without end");
                    assert!(found.extensions <= queue.extensions_max, "{id} goes on");
                }
            }
        }
    }

    /// The overview counts what is there.
    fn check_overview(&self, now: Timestamp) {
        let overview = Overview::of(&self.desk, now);
        for stats in overview.queues {
            let all = self.desk.interactions().values();
            let here: Vec<&Interaction> = all.filter(|it| it.queue == stats.queue).collect();
            let count = |is: fn(&State) -> bool| {
                here.iter().filter(|found| is(&found.state)).count() as u32
            };
            assert_eq!(stats.waiting, count(|it| matches!(it, State::Queued)));
            assert_eq!(
                stats.offered,
                count(|it| matches!(it, State::Offered { .. }))
            );
            assert_eq!(stats.active, count(|it| matches!(it, State::Active { .. })));
            let wrapping_up = count(|it| matches!(it, State::WrappingUp { .. }));
            assert_eq!(stats.wrapping_up, wrapping_up);
            assert_eq!(stats.held, count(|it| matches!(it, State::Held { .. })));
            let waiting = here.iter().filter(|found| found.state == State::Queued);
            assert_eq!(stats.oldest, waiting.map(|found| found.arrived).min());
        }
    }

    /// What supervisors are alarmed by is so, and they know of all that is.
    fn check_alerts(&self) {
        let mut due = BTreeSet::new();
        for (id, queue) in self.desk.queues() {
            due.extend(queue.is_full().then(|| Concern::QueueFull(id.clone())));
        }
        for found in self.desk.interactions().values() {
            let waits = matches!(found.state, State::Queued | State::Offered { .. });
            if waits && found.rounds_declined >= ROUNDS_ALERT {
                due.insert(Concern::EverybodyDeclined(found.id));
            }
            let holder = (found.state.holder()).map(|agent| &self.desk.agents()[agent]);
            if holder.is_some_and(|agent| agent.requested == Requested::SignedOut) {
                due.insert(Concern::WorkAbandoned(found.id));
            }
        }
        for outbound in self.desk.spool().iter() {
            if outbound.state == DeliveryState::Unconfirmed {
                due.insert(Concern::DeliveryUnconfirmed(outbound.id));
            }
        }
        let alerts: BTreeSet<_> = (self.desk.alerts())
            .map(|alert| alert.concern.clone())
            .filter(|concern| !concern.is_over())
            .collect();
        assert_eq!(alerts, due, "alerts");
        assert_eq!(self.alerts, alerts, "supervisors were told of other alerts");
    }

    /// At most one joinable interaction per case and queue, and cases know their interactions.
    fn check_cases(&self) {
        let mut unfinished: BTreeMap<MainNumber, u32> = BTreeMap::new();
        for found in self.desk.interactions().values() {
            *unfinished.entry(found.case).or_default() += 1;
            let joinable = self.desk.cases()[&found.case].joinable.get(&found.queue);
            assert_eq!(joinable == Some(&found.id), found.state.is_joinable());
        }
        for (number, case) in self.desk.cases() {
            assert_eq!(Some(&case.unfinished), unfinished.get(number));
            for id in case.joinable.values() {
                assert!(self.desk.interactions()[id].state.is_joinable());
            }
        }
    }

    /// No pair that could be brought together is left waiting.
    fn check_conservation(&self, now: Timestamp) {
        for agent in self.offerable_agents(now) {
            for queue in agent
                .queues
                .iter()
                .filter_map(|id| self.desk.queues().get(id))
                .filter(|queue| queue.opening() == Opening::Open)
            {
                for id in queue.waiting() {
                    let waits = &self.desk.interactions()[&id];
                    let pair = self.fits(agent, waits, now);
                    assert!(!pair, "{id} waits although {} is idle", agent.id);
                }
            }
        }
    }

    /// What was written is what the desk holds, and a desk made of it is the same but for what is
    /// known of clients.
    fn check_kept(&self, now: Timestamp) {
        let (desk, kept) = (&self.desk, &self.kept);
        assert_eq!(kept.counters.unwrap_or_default(), desk.counters());
        let agents: BTreeMap<_, _> = (kept.agents.iter())
            .filter(|(_, agent)| agent.removed.is_none())
            .map(|(id, agent)| (id.clone(), agent.clone()))
            .collect();
        same(&agents, desk.agents());
        same(&kept.offers, desk.offers());
        let sessions: BTreeMap<_, _> = (desk.sessions())
            .map(|session| (session.id, session.clone()))
            .collect();
        same(&kept.sessions, &sessions);
        let restored = self.restored(now);
        same(restored.interactions(), desk.interactions());
        same(restored.cases(), desk.cases());
        for (id, queue) in desk.queues() {
            let opening = restored.queues().get(id).map(Queue::opening);
            assert_eq!(opening.unwrap_or(queue.opening()), queue.opening(), "{id}");
            let again = restored
                .queues()
                .get(id)
                .map(|queue| queue.waiting().collect());
            let line: Vec<_> = queue.waiting().collect();
            let mut again: Vec<_> = again.unwrap_or(line.clone());
            if !self.queues.iter().any(|rules| rules.id == *id) {
                // It comes back with other rules, by which the order is another.
                again.sort_by_key(|id| line.iter().position(|other| other == id));
            }
            assert_eq!(again, line);
        }
        for id in desk.agents().keys() {
            assert_eq!(restored.presence(id), desk.presence(id));
        }
    }

    /// The newest open session of an agent.
    pub(crate) fn session(&self, agent: &AgentId) -> Option<SessionId> {
        (self.desk.sessions())
            .filter(|session| session.agent == *agent)
            .map(|session| session.id)
            .max()
    }
}

/// That two tables are equal; if not, where they first differ.
fn same<K: Ord + Debug, V: PartialEq + Debug>(left: &BTreeMap<K, V>, right: &BTreeMap<K, V>) {
    for key in left.keys().chain(right.keys()) {
        assert_eq!(left.get(key), right.get(key), "at {key:?}");
    }
}

/// A letter for some queues.
pub(crate) fn letter(queues: &[QueueId], thread: Thread) -> Command {
    handled(queues, thread, Handling::default())
}

/// A letter for some queues, to be worked on in some way.
pub(crate) fn handled(queues: &[QueueId], thread: Thread, handling: Handling) -> Command {
    let targets = queues
        .iter()
        .map(|queue| Target {
            queue: queue.clone(),
            mailbox: mailbox(queue),
        })
        .collect();
    Command::Ingest(Box::new(Ingest {
        targets,
        customer: customer(),
        envelope_sender: customer().address,
        internet_message_id: "letter@customer.example".into(),
        subject: "A question".into(),
        size: 100,
        trust: Trust::A,
        trust_reason: "dmarc=pass".into(),
        mta_queue_id: "4ABC".into(),
        thread,
        handling,
        copied: BTreeSet::new(),
        keys: OwnKeys::default(),
        dossier: Box::default(),
        report: None,
        acknowledgement: None,
    }))
}

/// A letter's origin, where it does not matter.
pub(crate) fn origin() -> Origin {
    Origin::SameLetter
}

/// An answer from the queue's own address.
pub(crate) fn answer(session: SessionId, interaction: InteractionId, from: String) -> Outgoing {
    Outgoing {
        session,
        interaction,
        from: Correspondent {
            address: from,
            display_name: String::new(),
        },
        to: customer(),
        slot: 0,
        others: Vec::new(),
        envelope_sender: "bounce@shop.example".into(),
        internet_message_id: "answer@shop.example".into(),
        subject: "Re: A question".into(),
        size: 200,
        latest_seen: None,
    }
}

pub(crate) fn mailbox(queue: &QueueId) -> String {
    format!("{queue}@shop.example")
}

fn customer() -> Correspondent {
    Correspondent {
        address: "carla@customer.example".into(),
        display_name: "Carla".into(),
    }
}

/// A queue with one mailbox.
pub(crate) fn queue(id: &str) -> QueueSettings {
    let mut queue = QueueSettings::new(id.parse().unwrap());
    queue.mailboxes.push(postroom::desk::Mailbox {
        address: mailbox(&queue.id),
        display_name: String::new(),
    });
    queue
}

/// Monday, nine o'clock.
pub(crate) fn nine() -> Timestamp {
    Timestamp::ZERO + Duration::from_secs(20_000 * 86_400 + 9 * 3600)
}

/// The hour, minute and second of a time, with milliseconds where there are any.
pub(crate) fn clock(at: Timestamp) -> String {
    let seconds = at.as_secs() % 86_400;
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let millis = at.as_millis() % 1000;
    let fraction = if millis == 0 {
        String::new()
    } else {
        format!(".{millis:03}")
    };
    format!("{hour:02}:{minute:02}:{second:02}{fraction}")
}
