//! How long the desk takes to decide who gets what, with short and long lines, few and many
//! agents; what it costs to put a decision into records; and how large a desk is and how long it
//! takes to start with a long line.

#![expect(clippy::unwrap_used, reason = "a bench that cannot begin is to stop")]
#![expect(missing_docs, reason = "criterion's macro writes a public function")]

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use postroom::desk::{
    Ageing, AgentChanges, Answer, Change, Command, Correspondent, Counters, Desk, Effects,
    Handling, Ingest, NewAgent, Origin, Policy, QueueSettings, Records, Requested, Strategy,
    Target, Thread,
};
use postroom::engine::Overview;
use postroom::id::{AgentId, InteractionId, OfferId, QueueId, SessionId};
use postroom::mail::clue::OwnKeys;
use postroom::mail::token::MainNumber;
use postroom::mail::trust::Trust;
use postroom::store::record;
use postroom::time::Timestamp;

/// A desk at one moment that does not pass: nothing but the commands counts.
struct Floor {
    desk: Desk,
    sessions: Vec<(AgentId, SessionId)>,
}

const NOW: Timestamp = Timestamp::from_millis(1_795_000_000_000);

fn busy() -> QueueId {
    "busy".parse().unwrap()
}

fn nobodys() -> QueueId {
    "nobodys".parse().unwrap()
}

impl Floor {
    /// So many agents serve `busy`; so many letters wait in `line`.
    fn new(agents: usize, available: bool, line: &QueueId, waiting: usize) -> Self {
        let policy = Policy {
            recall_pause: Duration::ZERO,
            // Time does not pass here, so nothing would ever be forgotten.
            offer_memory: Duration::ZERO,
            ..Policy::default()
        };
        let mut floor = Self {
            desk: Desk::new(policy),
            sessions: Vec::new(),
        };
        let queues = queues();
        floor.give(Command::SetQueues(queues.into()));
        for number in 0..agents {
            let agent: AgentId = format!("agent-{number}").parse().unwrap();
            floor.give(Command::CreateAgent(NewAgent {
                id: agent.clone(),
                display_name: String::new(),
                password: None,
                supervisor: false,
                capacity: 1,
                queues: vec![busy()],
            }));
            let opened = floor.give(Command::OpenSession {
                agent: agent.clone(),
                takeover: false,
                initial: available.then_some(Requested::Available),
                lease: None,
                client: String::new(),
            });
            let Some(Answer::Session(view, _)) = opened.answer else {
                continue;
            };
            let session = view.session.id;
            floor.give(Command::AttachStream { session, stream: 1 });
            floor.sessions.push((agent, session));
        }
        for _ in 0..waiting {
            floor.give(letter(line));
        }
        floor
    }

    /// So many agents, each with skills, serve `busy`, where so many letters wait that ask for
    /// some. All that changes by waiting is switched on.
    fn skilled(agents: usize, waiting: usize) -> Self {
        let mut floor = Self::new(agents, false, &busy(), 0);
        for (number, (agent, _)) in floor.sessions.clone().into_iter().enumerate() {
            let skills = (SKILLS.iter().enumerate())
                .filter(|(at, _)| (number + at) % 3 > 0)
                .map(|(at, skill)| ((*skill).to_owned(), 1 + ((number + at) % 10) as u8))
                .collect();
            let changes = AgentChanges {
                skills: Some(skills),
                ..AgentChanges::default()
            };
            floor.give(Command::UpdateAgent { agent, changes });
        }
        for number in 0..waiting {
            floor.give(asking(number));
        }
        floor
    }

    fn give(&mut self, command: Command) -> Effects {
        self.desk.handle(NOW, command).unwrap()
    }

    /// The one live offer, and who has it.
    fn offer(&self) -> Option<(OfferId, InteractionId, SessionId)> {
        let offer = (self.desk.offers().values()).rfind(|offer| offer.state.is_live())?;
        let (_, session) = (self.sessions.iter()).find(|(agent, _)| *agent == offer.agent)?;
        Some((offer.id, offer.interaction, *session))
    }

    /// Takes and ends what is offered, so that the agent is free again.
    fn work(&mut self) {
        if let Some((offer, _, session)) = self.offer() {
            self.give(Command::AcceptOffer { session, offer });
        }
        self.finish();
    }

    /// Ends what is in hand.
    fn finish(&mut self) {
        let held = (self.desk.interactions().values())
            .rfind(|found| found.state.holder().is_some())
            .and_then(|found| Some((found.id, found.state.holder()?.clone())));
        if let Some((interaction, agent)) = held {
            let (_, session) = (self.sessions.iter())
                .find(|(other, _)| *other == agent)
                .cloned()
                .unwrap();
            self.give(Command::EndInteraction {
                session,
                interaction,
                note: String::new(),
            });
        }
        self.desk.tick(NOW);
    }
}

/// The rules of both queues.
fn queues() -> [QueueSettings; 2] {
    [busy(), nobodys()].map(|id| {
        let mut queue = QueueSettings::new(id);
        queue.waiting_max = usize::MAX;
        queue.cooldown = Duration::ZERO;
        queue.strategy = Strategy::MostSkilled;
        queue.preferred_agent = Duration::from_secs(60);
        queue.skill_relax = Some(Duration::from_secs(600));
        queue.ageing = Some(Ageing {
            every: Duration::from_secs(600),
            max: 10,
        });
        queue
    })
}

const SKILLS: [&str; 4] = ["german", "french", "law", "returns"];

/// A letter that asks for something, as the rules of an administrator would have it.
fn asking(number: usize) -> Command {
    let mut command = letter(&busy());
    if let Command::Ingest(letter) = &mut command {
        let skill = SKILLS[number % SKILLS.len()];
        letter.handling.skills = match number / SKILLS.len() % 3 {
            0 => BTreeSet::new(),
            1 => BTreeSet::from([skill.to_owned()]),
            _ => BTreeSet::from([format!("{skill}:3"), "law:2".to_owned()]),
        };
        letter.handling.priority = (number % 3) as i32;
    }
    command
}

fn letter(queue: &QueueId) -> Command {
    let customer = Correspondent {
        address: "carla@customer.example".into(),
        display_name: "Carla".into(),
    };
    Command::Ingest(Box::new(Ingest {
        targets: vec![Target {
            queue: queue.clone(),
            mailbox: "busy@shop.example".into(),
        }],
        envelope_sender: customer.address.clone(),
        customer,
        internet_message_id: "letter@customer.example".into(),
        subject: "A question about an order".into(),
        size: 4000,
        trust: Trust::A,
        trust_reason: "dmarc=pass".into(),
        mta_queue_id: "4ABC".into(),
        thread: Thread::New(Origin::SameLetter),
        handling: Handling::default(),
        copied: BTreeSet::new(),
        keys: OwnKeys::default(),
        dossier: Box::default(),
        report: None,
        acknowledgement: None,
    }))
}

/// A letter arrives and is offered to one of so many idle agents, while others wait in a line
/// that nobody serves.
fn arrival(c: &mut Criterion) {
    let mut group = c.benchmark_group("letter arrives");
    for (waiting, agents) in [(0, 1), (1000, 1), (100_000, 1), (0, 5000), (100_000, 5000)] {
        let floor = RefCell::new(Floor::new(agents, true, &nobodys(), waiting));
        let name = BenchmarkId::new(format!("{agents} agents"), format!("{waiting} waiting"));
        group.bench_function(name, |b| {
            b.iter_batched(
                || {
                    floor.borrow_mut().work();
                    letter(&busy())
                },
                |letter| floor.borrow_mut().give(letter),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

/// One agent of so many becomes Available in front of a line.
fn available(c: &mut Criterion) {
    let mut group = c.benchmark_group("agent becomes available");
    for (waiting, agents) in [(1, 1), (1000, 1), (100_000, 1), (100_000, 5000)] {
        let floor = RefCell::new(Floor::new(agents, false, &busy(), waiting));
        let (_, session) = floor.borrow().sessions[0].clone();
        let want = |state| Command::SetPresence { session, state };
        let name = BenchmarkId::new(format!("{agents} agents"), format!("{waiting} waiting"));
        group.bench_function(name, |b| {
            b.iter_batched(
                || {
                    let offline = Requested::WorkOffline(String::new());
                    floor.borrow_mut().give(want(offline));
                    want(Requested::Available)
                },
                |command| floor.borrow_mut().give(command),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

/// What of that is the decision: the same with nobody in line for whom there would be an offer.
fn idle(c: &mut Criterion) {
    let mut group = c.benchmark_group("agent becomes available");
    let floor = RefCell::new(Floor::new(1, false, &nobodys(), 100_000));
    let (_, session) = floor.borrow().sessions[0].clone();
    let want = |state| Command::SetPresence { session, state };
    group.bench_function(BenchmarkId::new("1 agents", "nothing for them"), |b| {
        b.iter_batched(
            || {
                let offline = Requested::WorkOffline(String::new());
                floor.borrow_mut().give(want(offline));
                want(Requested::Available)
            },
            |command| floor.borrow_mut().give(command),
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

/// The overview that boards and supervisors are shown, with so many in line.
fn overview(c: &mut Criterion) {
    let mut group = c.benchmark_group("overview");
    for (waiting, agents) in [(1000, 100), (100_000, 100), (100_000, 5000)] {
        let floor = Floor::skilled(agents, waiting);
        let name = BenchmarkId::new(format!("{agents} agents"), format!("{waiting} waiting"));
        group.bench_function(name, |b| {
            b.iter_with_large_drop(|| Overview::of(&floor.desk, NOW));
        });
    }
    group.finish();
}

/// One agent of 5,000 becomes Available in front of a line of which each letter asks for
/// something: how that grows with the line.
fn growth(c: &mut Criterion) {
    let mut group = c.benchmark_group("growth/agent becomes available");
    for waiting in [1000, 3000, 10_000, 30_000, 100_000] {
        let floor = RefCell::new(Floor::skilled(5000, waiting));
        let (_, session) = floor.borrow().sessions[7].clone();
        let want = |state| Command::SetPresence { session, state };
        group.bench_function(BenchmarkId::from_parameter(waiting), |b| {
            b.iter_batched(
                || {
                    let offline = Requested::WorkOffline(String::new());
                    let mut floor = floor.borrow_mut();
                    floor.give(want(offline));
                    floor.desk.tick(NOW);
                    want(Requested::Available)
                },
                |command| floor.borrow_mut().give(command),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

/// What a store would have of a desk, encoded.
#[derive(Default)]
struct Kept {
    counters: Option<Counters>,
    agents: BTreeMap<AgentId, Vec<u8>>,
    sessions: BTreeMap<SessionId, Vec<u8>>,
    interactions: BTreeMap<InteractionId, Vec<u8>>,
    cases: BTreeMap<MainNumber, Vec<u8>>,
}

impl Kept {
    fn of(desk: &Desk) -> Self {
        Self {
            counters: Some(desk.counters()),
            agents: (desk.agents().iter())
                .map(|(id, agent)| (id.clone(), record::encode(agent)))
                .collect(),
            sessions: (desk.sessions())
                .map(|session| (session.id, record::encode(session)))
                .collect(),
            interactions: (desk.interactions().iter())
                .map(|(id, found)| (*id, record::encode(found)))
                .collect(),
            cases: (desk.cases().iter())
                .map(|(number, case)| (*number, record::encode(case)))
                .collect(),
        }
    }

    /// A desk made of it.
    fn start(&self) -> Desk {
        fn all<K, T: record::Stored>(kept: &BTreeMap<K, Vec<u8>>) -> Vec<T> {
            (kept.values())
                .map(|bytes| record::decode(bytes).unwrap())
                .collect()
        }
        let records = Records {
            counters: self.counters,
            agents: all(&self.agents),
            sessions: all(&self.sessions),
            interactions: all(&self.interactions),
            cases: all(&self.cases),
            ..Records::default()
        };
        let mut desk = Desk::restore(Policy::default(), queues().into(), records, NOW);
        desk.start(NOW);
        desk
    }
}

/// What this process holds in memory, in MiB, where the system says so.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib / 1024)
}

/// How long a start takes with 100,000 waiting and 5,000 agents, from the stored records on; and
/// how large the desk is then.
#[expect(
    clippy::print_stdout,
    reason = "sizes are no times, so criterion has no place for them"
)]
fn start(c: &mut Criterion) {
    // First of all, while no memory that was given back can be taken again.
    let before = resident();
    let floor = Floor::skilled(5000, 100_000);
    if let (Some(before), Some(after)) = (before, resident()) {
        let grown = after.saturating_sub(before);
        println!("size/100000 waiting, 5000 agents: {grown} MiB");
    }
    let kept = Kept::of(&floor.desk);
    drop(floor);
    let mut group = c.benchmark_group("start");
    group.sample_size(10);
    group.bench_function("100000 waiting, 5000 agents", |b| {
        b.iter_with_large_drop(|| kept.start());
    });
    group.finish();
}

/// A letter arrives behind a thousand that the only idle agent has just declined.
fn declined(c: &mut Criterion) {
    let floor = RefCell::new(Floor::new(1, true, &busy(), 0));
    for _ in 0..1000 {
        let mut floor = floor.borrow_mut();
        floor.give(letter(&busy()));
        if let Some((offer, _, session)) = floor.offer() {
            floor.give(Command::RejectOffer {
                session,
                offer,
                reason: String::new(),
                next: None,
            });
        }
    }
    c.bench_function("letter arrives/behind 1000 declined", |b| {
        b.iter_batched(
            || {
                floor.borrow_mut().work();
                letter(&busy())
            },
            |letter| floor.borrow_mut().give(letter),
            BatchSize::PerIteration,
        );
    });
}

/// What the engine writes of the effects, without the keys.
fn encode(effects: &Effects) -> usize {
    let size = |change: &Change| match change {
        Change::Counters(counters) => record::encode(counters).len(),
        Change::Agent(agent) => record::encode(&**agent).len(),
        Change::Session(session) => record::encode(session).len(),
        Change::Offer(offer) => record::encode(offer).len(),
        Change::Interaction(interaction) => record::encode(&**interaction).len(),
        Change::Case(case) => record::encode(&**case).len(),
        Change::Message(message) => record::encode(&**message).len(),
        Change::Dossier(_, dossier) => record::encode(&**dossier).len(),
        Change::Fed(entry) => record::encode(&**entry).len(),
        Change::Outbound(outbound) => record::encode(&**outbound).len(),
        Change::Logged(_, _, event) => record::encode(&**event).len(),
        Change::Suppressed(suppression) => record::encode(&**suppression).len(),
        Change::QueueFigured(_, _, figure) => record::encode(&**figure).len(),
        Change::AgentFigured(_, _, figure) => record::encode(&**figure).len(),
        Change::Clue(..)
        | Change::Acknowledged { .. }
        | Change::SessionEnded(_)
        | Change::OfferForgotten(_)
        | Change::LogTrimmed(..)
        | Change::QueuePaused(_)
        | Change::Draft(_)
        | Change::DraftDropped(_)
        | Change::Upload(_)
        | Change::UploadDropped(..)
        | Change::QueueResumed(_) => 0,
    };
    effects.changes.iter().map(size).sum()
}

/// A letter, and an accepted offer, through the desk and into records.
fn records(c: &mut Criterion) {
    let floor = RefCell::new(Floor::new(1, true, &busy(), 0));
    c.bench_function("into records/letter", |b| {
        b.iter_batched(
            || {
                floor.borrow_mut().work();
                letter(&busy())
            },
            |letter| encode(&floor.borrow_mut().give(black_box(letter))),
            BatchSize::PerIteration,
        );
    });
    c.bench_function("into records/accept", |b| {
        b.iter_batched(
            || {
                let mut floor = floor.borrow_mut();
                floor.finish();
                floor.give(letter(&busy()));
                let (offer, _, session) = floor.offer().unwrap();
                Command::AcceptOffer { session, offer }
            },
            |accept| encode(&floor.borrow_mut().give(black_box(accept))),
            BatchSize::PerIteration,
        );
    });
}

criterion_group!(
    benches, start, growth, idle, available, arrival, declined, records, overview
);
criterion_main!(benches);
