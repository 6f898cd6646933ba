//! A day at the desk, by seed: agents with temperaments, mail in bursts, an MTA that stalls, and a
//! process that dies between deciding and writing.
//!
//! The laws are the world's, checked after each step; here stand three more: every letter that
//! was said yes to is in exactly one interaction of each of its queues; nothing that was answered
//! is gone after a restart; no message is taken by the MTA twice. And when the mail stops and
//! everybody works, everything gets done.
//!
//! `cargo test --test sim` runs a fixed number of seeds; `SEEDS=10000 cargo test --test sim` more,
//! and `SEED=17 cargo test --test sim` one. A failure prints its seed and its last lines.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

#[path = "desk/names.rs"]
mod names;
#[path = "desk/world.rs"]
mod world;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::Write as _;
use std::time::Duration;

use names::Names;
use postroom::desk::{
    Answer, Command, DeclineAction, Effects, NewAgent, OfferState, Policy, Requested, State, Thread,
};
use postroom::id::{AgentId, MessageId, QueueId};
use postroom::outbound::message::{DeliveryState, Diagnostic, Outcome};
use postroom::time::Timestamp;
use world::{Pace, World, answer, clock, law, letter, mailbox, nine, origin, queue};

/// Seeds of an ordinary run.
const SEEDS: u64 = 200;

/// Steps with mail and mischief, and the most that it may take to finish afterwards.
const STEPS: usize = 200;
const STEPS_TO_FINISH: usize = 20_000;

/// Random commands are checked more thoroughly; here it is the mass that counts.
const PACE: Pace = Pace {
    copies: 4,
    restores: 40,
    explains: 5,
};

/// Lines that a failure prints.
const LINES: usize = 40;

#[test]
fn days_at_the_desk() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let seeds = match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SEEDS").unwrap_or(SEEDS),
    };
    for seed in seeds {
        let mut day = Day::new(seed);
        day.work();
        day.finish();
    }
}

/// SplitMix64: small, and the same everywhere.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> Option<T> {
        let at = self.below(from.len() as u64);
        from.get(usize::try_from(at).ok()?).cloned()
    }

    fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(to - from))
    }
}

/// In how many cases of a hundred an agent does not do what is expected.
#[derive(Clone, Copy)]
struct Temper {
    lets_lapse: u64,
    rejects: u64,
    disconnects: u64,
    goes_offline: u64,
    clicks_twice: u64,
}

const TEMPERS: [Temper; 4] = [
    // Diligent.
    Temper {
        lets_lapse: 0,
        rejects: 0,
        disconnects: 0,
        goes_offline: 2,
        clicks_twice: 5,
    },
    // Absent-minded.
    Temper {
        lets_lapse: 80,
        rejects: 0,
        disconnects: 1,
        goes_offline: 5,
        clicks_twice: 20,
    },
    // Choosy.
    Temper {
        lets_lapse: 5,
        rejects: 60,
        disconnects: 1,
        goes_offline: 10,
        clicks_twice: 5,
    },
    // On a train.
    Temper {
        lets_lapse: 10,
        rejects: 5,
        disconnects: 25,
        goes_offline: 3,
        clicks_twice: 30,
    },
];

/// What happens next, when its time comes.
#[derive(Clone)]
enum Event {
    Agent(usize),
    Mail,
    /// The submitter goes on with a message, unless the process has died since.
    Submit(MessageId, u64),
}

struct Day {
    seed: u64,
    chance: Chance,
    world: World,
    now: Timestamp,
    agenda: BTreeMap<(Timestamp, u64), Event>,
    agents: Vec<(AgentId, Temper)>,
    queues: Vec<QueueId>,
    streams: BTreeMap<AgentId, u64>,
    numbers: u64,
    process: u64,
    /// Whether mail comes and things go wrong.
    busy: bool,
    /// Messages that were said yes to, and those that the MTA has taken.
    promised: BTreeSet<MessageId>,
    taken: BTreeSet<MessageId>,
    names: Names,
    lines: VecDeque<String>,
}

impl Day {
    fn new(seed: u64) -> Self {
        let mut strict = queue("sales");
        strict.rejected_action = DeclineAction::WorkOffline;
        strict.missed_limit = 2;
        let mut gentle = queue("support");
        gentle.post_processing = Some(Duration::from_secs(20));
        let queues = vec![strict, gentle];
        let mut day = Self {
            seed,
            chance: Chance(seed),
            world: World::new(Policy {
                // So that there is less to compare.
                offer_memory: Duration::from_secs(60),
                ..Policy::default()
            })
            .at_pace(PACE),
            now: nine(),
            agenda: BTreeMap::new(),
            agents: Vec::new(),
            queues: queues.iter().map(|queue| queue.id.clone()).collect(),
            streams: BTreeMap::new(),
            numbers: 0,
            process: 0,
            busy: true,
            promised: BTreeSet::new(),
            taken: BTreeSet::new(),
            names: Names::default(),
            lines: VecDeque::new(),
        };
        day.give("queues", Command::SetQueues(queues));
        let served = [vec![0, 1], vec![0, 1], vec![0], vec![1]];
        for (number, name) in ["anna", "bert", "cleo", "dora"].into_iter().enumerate() {
            let id: AgentId = name.parse().unwrap();
            let queues = served[number].iter().map(|at| day.queues[*at].clone());
            let new = NewAgent {
                id: id.clone(),
                display_name: String::new(),
                password: None,
                supervisor: false,
                capacity: 1,
                queues: queues.collect(),
            };
            day.give("agent", Command::CreateAgent(new));
            day.agents.push((id, TEMPERS[number]));
            day.later(Duration::ZERO, Event::Agent(number));
        }
        day.later(Duration::ZERO, Event::Mail);
        day
    }

    fn work(&mut self) {
        for _ in 0..STEPS {
            self.step();
        }
    }

    /// The mail stops and everybody works.
    fn finish(&mut self) {
        self.busy = false;
        for (_, temper) in &mut self.agents {
            *temper = TEMPERS[0];
            temper.goes_offline = 0;
        }
        for _ in 0..STEPS_TO_FINISH {
            if self.world.desk.interactions().is_empty() {
                self.check();
                return;
            }
            self.step();
        }
        let left = self.world.desk.interactions();
        law!(20, left.is_empty(), "not finished: {left:?}");
    }

    fn later(&mut self, wait: Duration, event: Event) {
        self.numbers += 1;
        self.agenda.insert((self.now + wait, self.numbers), event);
    }

    /// Does the next thing and jumps the clock to it.
    fn step(&mut self) {
        let ((at, number), event) = self.agenda.first_key_value().unwrap();
        let (at, number, event) = (*at, *number, event.clone());
        if let Some(due) = self.world.desk.next_deadline().filter(|due| *due <= at) {
            self.now = self.now.max(due);
            let effects = self.world.tick(self.now);
            self.follow("time passes", &effects);
            return;
        }
        self.agenda.remove(&(at, number));
        self.now = self.now.max(at);
        match event {
            Event::Agent(number) => self.agent(number),
            Event::Mail => self.mail(),
            Event::Submit(message, process) if process == self.process => self.submit(message),
            Event::Submit(..) => {}
        }
        if self.numbers.is_multiple_of(16) {
            self.check();
        }
    }

    /// Gives a command, unless the process dies between deciding and writing.
    fn give(&mut self, what: &str, command: Command) -> Option<Effects> {
        if self.busy && self.numbers > 10 && self.chance.below(120) == 0 {
            // Whatever was decided, nobody was told.
            let _ = self.world.desk.handle(self.now, command);
            self.note(&format!("{what}, and the process dies"));
            self.restart();
            return None;
        }
        match self.world.handle(self.now, command) {
            Ok(effects) => {
                self.follow(what, &effects);
                Some(effects)
            }
            Err(refusal) => {
                self.note(&format!("{what}: refused: {refusal}"));
                None
            }
        }
    }

    fn restart(&mut self) {
        self.now = self.now + self.chance.millis(10, 90_000);
        self.process += 1;
        self.streams.clear();
        let effects = self.world.restart(self.now);
        self.follow("restart", &effects);
        // A leap of the clock finds nothing more to take back.
        let effects = self.world.leap(self.now);
        self.follow("and the machine was asleep", &effects);
        self.check();
    }

    /// Writes down what followed, and lets the submitter begin.
    fn follow(&mut self, what: &str, effects: &Effects) {
        self.note(what);
        for line in self.names.lines(effects) {
            self.note(&format!("    {line}"));
        }
        for outbound in &effects.submissions {
            let wait = self.chance.millis(10, 3000);
            self.later(wait, Event::Submit(outbound.id, self.process));
        }
    }

    fn note(&mut self, line: &str) {
        if self.lines.len() == LINES {
            self.lines.pop_front();
        }
        let line = format!("{} {line}", clock(self.now));
        self.lines.push_back(self.names.short(&line));
    }

    fn mail(&mut self) {
        if !self.busy {
            return;
        }
        let burst = if self.chance.percent(15) { 6 } else { 1 };
        for _ in 0..burst {
            let mut queues = self.queues.clone();
            if self.chance.percent(80) {
                queues = self.chance.pick(&queues).into_iter().collect();
            }
            let cases: Vec<_> = self.world.kept.cases.values().cloned().collect();
            let thread = match self.chance.pick(&cases) {
                Some(case) if self.chance.percent(30) => Thread::Joins(Box::new(case), origin()),
                _ => Thread::New(origin()),
            };
            let told = self.give("a letter", letter(&queues, thread));
            if let Some(Answer::Filed(filings)) = told.and_then(|effects| effects.answer) {
                assert_eq!(filings.len(), queues.len());
                self.promised
                    .extend(filings.iter().map(|filing| filing.message));
            }
        }
        let wait = self.chance.millis(500, 30_000);
        self.later(wait, Event::Mail);
    }

    fn submit(&mut self, message: MessageId) {
        if self.chance.percent(20) {
            let outcome = Outcome::Temporary(Diagnostic::ours("busy"));
            self.give(
                "the MTA is busy",
                Command::FinishSubmission {
                    message,
                    outcome,
                    sent_for: None,
                },
            );
            return;
        }
        if self
            .give("hand-over", Command::HandOver { message })
            .is_none()
        {
            return;
        }
        if self.chance.percent(5) {
            let outcome = Outcome::Lost(Diagnostic::ours("silence"));
            self.give(
                "the MTA is silent",
                Command::FinishSubmission {
                    message,
                    outcome,
                    sent_for: None,
                },
            );
            return;
        }
        let once = self.taken.insert(message);
        law!(36, once, "the MTA took {message} twice");
        let outcome = Outcome::Accepted {
            reply: Diagnostic::ours("taken"),
            queue_id: None,
            refused: Vec::new(),
        };
        self.give(
            "the MTA takes it",
            Command::FinishSubmission {
                message,
                outcome,
                sent_for: None,
            },
        );
    }

    fn agent(&mut self, number: usize) {
        let (agent, temper) = self.agents[number].clone();
        let wait = self.chance.millis(200, 9_000);
        self.later(wait, Event::Agent(number));
        let Some(session) = self.world.session(&agent) else {
            let initial = self.chance.percent(70).then_some(Requested::Available);
            let open = Command::OpenSession {
                agent: agent.clone(),
                takeover: self.chance.percent(50),
                initial,
                lease: None,
                client: String::new(),
            };
            self.give(&format!("{agent} signs in"), open);
            return;
        };
        let Some(stream) = self.streams.get(&agent).copied() else {
            if self.chance.percent(40) {
                let stream = self.numbers;
                let attach = Command::AttachStream { session, stream };
                self.streams.insert(agent.clone(), stream);
                if self.give(&format!("{agent} attaches"), attach).is_none() {
                    self.streams.remove(&agent);
                }
            }
            return;
        };
        if self.chance.percent(temper.disconnects) {
            self.streams.remove(&agent);
            let detach = Command::DetachStream { session, stream };
            self.give(&format!("{agent} detaches"), detach);
            return;
        }
        let presence = self.world.desk.presence(&agent).unwrap();
        if self.chance.percent(temper.goes_offline) {
            let state = Requested::WorkOffline("tea".into());
            self.give(
                &format!("{agent} wants offline"),
                Command::SetPresence { session, state },
            );
            return;
        }
        if let Some(offer) = presence.pending_offer {
            let shown = self.world.desk.offers()[&offer].state == OfferState::Shown;
            if !shown {
                let see = Command::AcknowledgeOffer { session, offer };
                self.give(&format!("{agent} sees {offer}"), see);
            }
            // A person takes a moment; the offer may be over by then.
            if self.chance.percent(temper.lets_lapse) {
                return;
            }
            if self.chance.percent(temper.rejects) {
                let reject = Command::RejectOffer {
                    session,
                    offer,
                    reason: "not-mine".into(),
                    next: None,
                };
                self.give(&format!("{agent} rejects {offer}"), reject);
                return;
            }
            let clicks = 1 + u64::from(self.chance.percent(temper.clicks_twice));
            for _ in 0..clicks {
                let accept = Command::AcceptOffer { session, offer };
                self.give(&format!("{agent} accepts {offer}"), accept);
            }
            return;
        }
        if let Some(interaction) = presence.interactions.first().copied() {
            let found = self.world.desk.interactions()[&interaction].clone();
            let (what, command) = match found.state {
                State::Active { .. } if self.chance.percent(70) => {
                    let own = mailbox(&found.queue);
                    let reply = answer(session, interaction, own);
                    ("replies", Command::Reply(Box::new(reply)))
                }
                State::Active { .. } => {
                    let note = String::new();
                    (
                        "ends",
                        Command::EndInteraction {
                            session,
                            interaction,
                            note,
                        },
                    )
                }
                _ if self.busy && self.chance.percent(50) => return,
                _ => {
                    let complete = Command::CompleteWrapUp {
                        session,
                        interaction,
                        notes: None,
                        disposition: None,
                        next: None,
                    };
                    ("completes", complete)
                }
            };
            self.give(&format!("{agent} {what} {interaction}"), command);
            return;
        }
        let ready = presence.requested == Requested::Available;
        let command = if ready || self.chance.percent(60) {
            Command::RenewSession {
                session,
                acked: None,
            }
        } else {
            let state = Requested::Available;
            Command::SetPresence { session, state }
        };
        self.give(&format!("{agent} is there"), command);
    }

    fn check(&self) {
        let kept = &self.world.kept;
        for id in &self.promised {
            let message = kept.messages.get(id);
            law!(2, message.is_some(), "{id} was lost");
            let message = message.unwrap();
            let mut queues = BTreeSet::new();
            for id in &message.interactions {
                let found = kept.interactions.get(id);
                law!(2, found.is_some(), "the work of {} was lost", message.id);
                let alone = queues.insert(&found.unwrap().queue);
                law!(2, alone, "{} is twice in one queue", message.id);
            }
            let all = queues.len() == message.recipients.len();
            law!(2, all, "{} is not in all its queues", message.id);
        }
        for id in &self.taken {
            let state = kept.outbound[id].state;
            let known = matches!(
                state,
                DeliveryState::HandedOver | DeliveryState::Confirmed | DeliveryState::Unconfirmed
            );
            law!(36, known, "{id} was taken and is {state}");
        }
    }
}

impl Drop for Day {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut out = std::io::stderr().lock();
            let _ = writeln!(out, "seed={}", self.seed);
            for line in &self.lines {
                let _ = writeln!(out, "{line}");
            }
        }
    }
}
