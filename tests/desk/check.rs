//! Laws of the desk at rest: what holds between any two commands, for all that it holds.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use postroom::desk::skill::asked;
use postroom::desk::{
    Ageing, Agent, AgentState, CodePolicy, Concern, Event, Fact, Hindrance, Interaction,
    OfferState, Opening, Presence, Queue, ROUNDS_ALERT, Requested, State, Strategy,
};
use postroom::engine::Overview;
use postroom::id::{AgentId, InteractionId, QueueId};
use postroom::mail::token::MainNumber;
use postroom::outbound::message::DeliveryState;
use postroom::time::Timestamp;

use super::told::Client;
use super::{Step, World};

/// What was seen at the last check.
#[derive(Debug, Clone, Default)]
pub(super) struct Stood {
    at: Timestamp,
    /// When the store failed for the last time: nobody could say then what is on their screen.
    failed: Timestamp,
    /// When the desk wanted to be told the time.
    due: Option<Timestamp>,
    /// How much each agent had in hand; unknown after a loss.
    hands: Option<BTreeMap<AgentId, usize>>,
    /// Since when the client of an Available agent has been missing.
    missing: BTreeMap<AgentId, Timestamp>,
    /// Where each interaction waited, under which rule, with which priority, and as what that had
    /// grown.
    grown: BTreeMap<InteractionId, (QueueId, Option<Ageing>, i32, i32)>,
}

impl Stood {
    /// A new process begins with what was written.
    pub(super) fn begin_anew(&mut self) {
        let hands = self.hands.take();
        *self = Self {
            hands,
            ..Self::default()
        };
    }

    /// Some of it never was, because the store failed.
    pub(super) fn fail(&mut self, now: Timestamp) {
        self.forget();
        self.failed = now;
    }

    /// Some of it never was.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}

impl World {
    /// Laws of the desk at rest, after such a step.
    pub(super) fn check(&mut self, now: Timestamp, step: Step) {
        self.check_times(now);
        self.check_places(now);
        self.check_growth(now);
        self.check_alerts();
        self.check_overview(now);
        self.check_agents(now);
        self.check_missing(now);
        self.check_cases();
        self.check_conservation(now, step);
        if self.writes.is_multiple_of(self.pace.explains) {
            self.check_explained(now);
        }
        if self.writes.is_multiple_of(self.pace.restores) {
            self.check_kept(now);
            self.check_feeds();
        }
        self.stood.at = now;
        self.stood.due = self.desk.next_deadline();
    }

    /// Whether the agent could be offered one thing more. An offer that was just made leaves
    /// nothing else in the way; `room` says how much more there must be.
    fn is_ready(&self, agent: &Agent, presence: &Presence, room: usize, now: Timestamp) -> bool {
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
            && presence.interactions.len() + offers + room <= agent.capacity as usize
            && agent.cooldown_until <= now
    }

    /// Whether the agent could be offered something.
    fn offerable(&self, agent: &Agent, presence: &Presence, now: Timestamp) -> bool {
        self.is_ready(agent, presence, 1, now)
    }

    pub(super) fn offerable_agents(&self, now: Timestamp) -> impl Iterator<Item = &Agent> {
        self.desk.agents().values().filter(move |agent| {
            let presence = self.desk.presence(&agent.id).unwrap();
            self.offerable(agent, &presence, now)
        })
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
        let ready: BTreeSet<_> = (self.offerable_agents(now).map(|agent| &agent.id)).collect();
        for found in self.desk.interactions().values() {
            for agent in self.desk.agents().values() {
                let why = self.desk.explain(now, found.id, &agent.id).unwrap();
                let offered = match &found.state {
                    State::Offered { agent: to, .. } => *to == agent.id,
                    _ => false,
                };
                law!(44, why.is_empty() == offered, "{}: {why:?}", agent.id);
                if found.state != State::Queued {
                    continue;
                }
                let says = |of: fn(&Hindrance) -> bool| why.iter().any(of);
                let closed = self.desk.queues()[&found.queue].opening() != Opening::Open;
                let stranger = !agent.queues.contains(&found.queue);
                let declined = found.declined.contains(&agent.id);
                let unable = !self.skilled(agent, found, now);
                let kept = (self.keeper(found, now)).is_some_and(|other| other.id != agent.id);
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
                let so = says(|it| matches!(it, Hindrance::QueueClosed)) == closed
                    && says(|it| matches!(it, Hindrance::NotMember)) == stranger
                    && says(|it| matches!(it, Hindrance::Declined)) == declined
                    && says(|it| matches!(it, Hindrance::Lacks { .. })) == unable
                    && says(|it| matches!(it, Hindrance::KeptFor(..))) == kept
                    && busy != ready.contains(&agent.id);
                law!(44, so, "{} to {}: {why:?}", found.id, agent.id);
            }
        }
    }

    /// Laws of fairness, for offers that were just made: first come, first served; longest idle;
    /// nobody is asked twice.
    pub(super) fn check_offers(&self, now: Timestamp, events: &[Arc<Event>]) {
        let made = |event: &Arc<Event>| matches!(event.fact, Fact::OfferCreated { .. });
        if !events.iter().any(made) {
            return;
        }
        let free: Vec<_> = self.offerable_agents(now).collect();
        for event in events {
            let Fact::OfferCreated { offer, interaction } = &event.fact else {
                continue;
            };
            let to = &self.desk.agents()[&offer.agent];
            let presence = self.desk.presence(&to.id).unwrap();
            let ready = self.is_ready(to, &presence, 0, now);
            law!(7, ready, "{} could not be offered {}", to.id, offer.id);
            let again = interaction.declined.contains(&to.id);
            law!(26, !again, "{} was asked twice", to.id);
            law!(7, to.queues.contains(&offer.queue), "not a member");
            let fits = self.fits(to, interaction, now);
            law!(7, fits, "{} cannot have {}", to.id, offer.interaction);
            let rules = &self.desk.queues()[&offer.queue].settings;
            let due = offer.deadline == now + rules.offer_timeout;
            law!(29, due, "{} ends at {}", offer.id, offer.deadline);
            let strategy = rules.strategy;
            for other in &free {
                let alike = strategy == Strategy::LongestIdle && other.id != to.id;
                if alike && self.fits(other, interaction, now) {
                    let (other, to) = ((other.idle_since, &other.id), (to.idle_since, &to.id));
                    law!(25, to < other, "{other:?} was idle longer than {to:?}");
                }
            }
            let place = |found: &Interaction| (-self.grown(found, now), found.arrived, found.id);
            for id in self.desk.queues()[&offer.queue].waiting() {
                let waits = &self.desk.interactions()[&id];
                let passed = place(waits) < place(interaction);
                let turn = !passed || !self.fits(to, waits, now);
                law!(18, turn, "{} before {id}", interaction.id);
            }
        }
    }

    /// An interaction is in one place, a live offer and an offered interaction are a pair, and the
    /// line is in order.
    fn check_places(&mut self, now: Timestamp) {
        let mut lines: BTreeMap<&QueueId, Vec<(i32, Timestamp, InteractionId)>> = BTreeMap::new();
        let mut held: BTreeMap<&AgentId, Vec<InteractionId>> = BTreeMap::new();
        let mut parked: BTreeMap<&AgentId, Vec<InteractionId>> = BTreeMap::new();
        let mut offered = BTreeMap::new();
        for found in self.desk.interactions().values() {
            let holder = self.told.holders.get(&found.id);
            let theirs = holder == found.state.owner();
            law!(8, theirs, "{} is told to be {holder:?}'s", found.id);
            match &found.state {
                State::Queued => {
                    let place = (-self.grown(found, now), found.arrived, found.id);
                    lines.entry(&found.queue).or_default().push(place);
                }
                State::Offered { offer, agent } => {
                    let offer = self.desk.offers().get(offer);
                    law!(5, offer.is_some(), "{} has lost its offer", found.id);
                    let offer = offer.unwrap();
                    law!(5, offer.state.is_live(), "{} is over", offer.id);
                    let pair = (&offer.agent, offer.interaction) == (agent, found.id);
                    law!(5, pair, "{} is no offer of {}", offer.id, found.id);
                    let queue = &self.desk.queues()[&found.queue];
                    let open = queue.opening() == Opening::Open;
                    law!(7, open, "{} is offered while closed", found.id);
                    offered.insert(offer.id, found.id);
                }
                State::Active { agent, .. }
                | State::WrappingUp { agent, .. }
                | State::Drafting { agent, .. } => held.entry(agent).or_default().push(found.id),
                State::Parked { agent, .. } => parked.entry(agent).or_default().push(found.id),
                State::Held { .. } => {}
                State::Closed { .. } | State::Filed { .. } | State::Cancelled { .. } => {
                    law!(1, false, "{} is over and kept", found.id);
                }
            }
        }
        for (id, queue) in self.desk.queues() {
            let mut line = lines.remove(id).unwrap_or_default();
            line.sort_unstable();
            let stands: Vec<_> = queue.waiting().collect();
            let mut all: Vec<_> = line.iter().map(|(.., id)| *id).collect();
            law!(18, stands == all, "line of {id}: {stands:?}, not {all:?}");
            all.sort_unstable();
            all.dedup();
            law!(1, all.len() == stands.len(), "twice in the line of {id}");
        }
        law!(1, lines.is_empty(), "waiting in no queue: {lines:?}");
        for offer in self.desk.offers().values() {
            let live = offer.state.is_live();
            let pair = live == offered.contains_key(&offer.id);
            law!(5, pair, "{} is for no interaction", offer.id);
            if live {
                let ends = match offer.state {
                    OfferState::Pending => {
                        offer.created.max(self.stood.failed) + self.policy.offer_receipt
                    }
                    _ => offer.deadline + self.policy.late_allowance,
                };
                law!(29, now < ends, "{} goes on", offer.id);
                // The rules may have been others when it was made.
                let timeout = self.desk.queues()[&offer.queue].settings.offer_timeout;
                let timeout = timeout.max(Duration::from_secs(30));
                let seen = offer.created.max(self.stood.failed) + self.policy.offer_receipt;
                let latest = seen + timeout;
                law!(29, offer.deadline <= latest, "{} is long", offer.id);
            }
        }
        let told = self.told.live == offered;
        law!(10, told, "of other offers was told: {:?}", self.told.live);
        let mut hands = BTreeMap::new();
        for id in self.desk.agents().keys() {
            let mut held = held.remove(id).unwrap_or_default();
            let presence = self.desk.presence(id).unwrap();
            held.sort_unstable();
            law!(1, presence.interactions == held, "in the hands of {id}");
            let parked = parked.remove(id).unwrap_or_default();
            law!(1, presence.parked == parked, "parked by {id}");
            let theirs = |offer: &&_| self.desk.offers()[*offer].agent == *id;
            let offers = offered.keys().filter(theirs);
            let first = presence.pending_offer.as_ref() == offers.clone().next();
            law!(5, first, "{id} is shown another offer");
            // Work stays in hand when less is allowed than before; offers do not.
            let capacity = self.desk.agents()[id].capacity as usize;
            let offers = offers.count();
            let fits = offers == 0 || held.len() + offers <= capacity;
            law!(6, fits, "{id} holds {} and is offered {offers}", held.len());
            let before = (self.stood.hands.as_ref())
                .map_or(usize::MAX, |hands| hands.get(id).copied().unwrap_or(0));
            let fits = held.len() <= before.max(capacity);
            law!(6, fits, "{id} holds {}", held.len());
            hands.insert(id.clone(), held.len());
        }
        law!(1, held.is_empty(), "held by nobody: {held:?}");
        law!(1, parked.is_empty(), "parked by nobody: {parked:?}");
        self.stood.hands = Some(hands);
    }

    /// What waits never loses priority by waiting, and gains no more than its queue says.
    fn check_growth(&mut self, now: Timestamp) {
        let mut grown = BTreeMap::new();
        for found in self.desk.interactions().values() {
            if found.state != State::Queued {
                continue;
            }
            let (_, stands) = self.desk.place(found.id).unwrap();
            law!(
                21,
                stands == self.grown(found, now),
                "{} is at {stands}",
                found.id
            );
            let rule = self.desk.queues()[&found.queue].settings.ageing;
            let before = self.stood.grown.get(&found.id);
            let shrunk = before.is_some_and(|(queue, old, own, before)| {
                let same = (queue, old, own) == (&found.queue, &rule, &found.priority);
                same && stands < *before && self.stood.at <= now
            });
            law!(21, !shrunk, "{} fell to {stands}", found.id);
            let place = (found.queue.clone(), rule, found.priority, stands);
            grown.insert(found.id, place);
        }
        self.stood.grown = grown;
    }

    /// Nobody waits since tomorrow, and nothing is put off for longer than its bound.
    fn check_times(&self, now: Timestamp) {
        for found in self.desk.interactions().values() {
            let past = found.arrived <= now;
            law!(34, past, "{} waits since tomorrow", found.id);
            if let State::WrappingUp {
                since, deadline, ..
            } = &found.state
            {
                let longest = now + Duration::from_secs(3600);
                let ends = deadline.is_none_or(|deadline| deadline <= longest);
                law!(34, *since <= now && ends, "{} is put off", found.id);
            }
        }
        for agent in self.desk.agents().values() {
            let past = agent.since <= now && agent.idle_since <= now;
            law!(34, past, "{} is idle since tomorrow", agent.id);
            let ends = agent.cooldown_until <= now + Duration::from_secs(3600);
            law!(34, ends, "{} is left alone for ever", agent.id);
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
            let busy = presence.state == AgentState::Busy;
            law!(31, !busy || active, "{id} is busy with nothing");
            let shown = match &agent.requested {
                Requested::SignedOut => AgentState::SignedOut,
                Requested::WorkOffline(_) | Requested::Available if active => AgentState::Busy,
                Requested::WorkOffline(_) => AgentState::WorkOffline,
                Requested::Available if !presence.interactions.is_empty() => AgentState::WrapUp,
                Requested::Available => AgentState::Available,
            };
            let state = presence.state;
            law!(16, state == shown, "{id} is {state:?}, not {shown:?}");
            let silent = Client::default();
            let client = self.told.clients.get(id).unwrap_or(&silent);
            let all = client.sequence == agent.sequence;
            law!(41, all, "the log of {id} goes on");
            let told = client.shown.unwrap_or(AgentState::SignedOut);
            law!(42, told == shown, "{id} was told {told:?}");
            let holds: BTreeMap<_, _> = (presence.interactions.iter().chain(&presence.parked))
                .map(|id| (*id, self.desk.interactions()[id].clone()))
                .collect();
            let (differs, seen) = difference(&client.holds, &holds);
            law!(42, !differs, "{id} knows another {seen}");
            let offers: BTreeSet<_> = (self.desk.offers().values())
                .filter(|offer| offer.agent == *id && offer.state.is_live())
                .map(|offer| offer.id)
                .collect();
            law!(42, client.offers == offers, "{id} sees other offers");
            for offer in &offers {
                let queue = &self.desk.offers()[offer].queue;
                let here = agent.requested == Requested::Available;
                law!(7, here, "{id} is offered {offer} while away");
                let member = agent.queues.contains(queue);
                law!(7, member, "{id} is offered {offer} as a stranger");
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
                    let ends = holds || (ends && !over);
                    law!(31, ends, "{id} is wrapped up without end");
                    let goes_on = found.extensions > queue.extensions_max;
                    law!(31, !goes_on, "{id} is wrapped up again and again");
                }
            }
        }
    }

    /// Whose client is missing is not Available for longer than the grace.
    fn check_missing(&mut self, now: Timestamp) {
        // What nobody noticed in time begins when it is noticed.
        if self.stood.due.is_some_and(|due| due < now) {
            self.stood.missing.clear();
        }
        let mut missing = BTreeMap::new();
        for agent in self.desk.agents().values() {
            if agent.requested != Requested::Available {
                continue;
            }
            let session = self.session(&agent.id);
            let view = session.and_then(|session| self.desk.session(session, now));
            law!(
                30,
                view.is_some(),
                "{} is available and not there",
                agent.id
            );
            if view.is_some_and(|view| view.in_grace) {
                let since = self.stood.missing.get(&agent.id).copied();
                let since = since.unwrap_or(now);
                let grace = self.policy.reattach + self.policy.grace;
                law!(30, now.since(since) < grace, "{} is missing", agent.id);
                missing.insert(agent.id.clone(), since);
            }
        }
        self.stood.missing = missing;
    }

    /// The overview counts what is there.
    fn check_overview(&self, now: Timestamp) {
        for stats in Overview::of(&self.desk, now).queues {
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
        let told = &self.told.alerts;
        law!(42, *told == alerts, "supervisors were told of {told:?}");
    }

    /// At most one joinable interaction per case and queue, and cases know their interactions.
    fn check_cases(&self) {
        let mut unfinished: BTreeMap<MainNumber, u32> = BTreeMap::new();
        let mut places = BTreeSet::new();
        for found in self.desk.interactions().values() {
            *unfinished.entry(found.case).or_default() += 1;
            let joinable = found.state.is_joinable();
            let place = (found.case, &found.queue);
            let alone = !joinable || places.insert(place);
            law!(3, alone, "{} is not the only one of its case", found.id);
            let known = self.desk.cases()[&found.case].joinable.get(&found.queue);
            let known = (known == Some(&found.id)) == joinable;
            law!(3, known, "{} is unknown to its case", found.id);
        }
        for (number, case) in self.desk.cases() {
            let all = Some(&case.unfinished) == unfinished.get(number);
            law!(1, all, "{number} counts {}", case.unfinished);
            for id in case.joinable.values() {
                let there = (self.desk.interactions().get(id))
                    .is_some_and(|found| found.state.is_joinable());
                law!(3, there, "{number} knows of {id}");
            }
        }
    }

    /// No pair that could be brought together is left waiting.
    fn check_conservation(&self, now: Timestamp, step: Step) {
        for agent in self.offerable_agents(now) {
            for queue in agent
                .queues
                .iter()
                .filter_map(|id| self.desk.queues().get(id))
                .filter(|queue| queue.opening() == Opening::Open)
            {
                for (place, id) in queue.waiting().enumerate() {
                    let waits = &self.desk.interactions()[&id];
                    if self.fits(agent, waits, now) {
                        let agent = &agent.id;
                        law!(27, step != Step::Time, "{id} waits for {agent}");
                        law!(28, step != Step::Trigger, "{id} waits for {agent}");
                        law!(23, place != 0, "{id} is first and waits for {agent}");
                        // What stands before it cannot go to this agent.
                        law!(22, false, "{id} waits behind others for {agent}");
                    }
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
            let opening = opening.unwrap_or(queue.opening());
            law!(2, opening == queue.opening(), "{id} is {opening:?}");
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
            law!(
                19,
                again == line,
                "the line of {id} comes back as {again:?}"
            );
        }
        for id in desk.agents().keys() {
            let same = restored.presence(id) == desk.presence(id);
            law!(2, same, "{id} comes back as somebody else");
        }
    }
}

/// That two tables are equal; if not, where they first differ.
fn same<K: Ord + Debug, V: PartialEq + Debug>(left: &BTreeMap<K, V>, right: &BTreeMap<K, V>) {
    let (differs, seen) = difference(left, right);
    law!(2, !differs, "kept otherwise than held: {seen}");
}

/// Whether two tables differ, and where they first do.
fn difference<K: Ord + Debug, V: PartialEq + Debug>(
    left: &BTreeMap<K, V>,
    right: &BTreeMap<K, V>,
) -> (bool, String) {
    if left == right {
        return (false, String::new());
    }
    let mut keys = left.keys().chain(right.keys());
    let key = keys.find(|key| left.get(key) != right.get(key));
    let seen = key.map(|key| format!("{key:?}: {:?} and {:?}", left.get(key), right.get(key)));
    (true, seen.unwrap_or_default())
}
