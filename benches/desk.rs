//! How long the desk takes to decide who gets what, with short and long lines, few and many
//! agents; and what it costs to put a decision into records.

#![expect(clippy::unwrap_used, reason = "a bench that cannot begin is to stop")]
#![expect(missing_docs, reason = "criterion's macro writes a public function")]

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use postroom::desk::{
    Answer, Change, Command, Correspondent, Desk, Effects, Handling, Ingest, NewAgent, Origin,
    Policy, QueueSettings, Requested, Target, Thread,
};
use postroom::id::{AgentId, InteractionId, OfferId, QueueId, SessionId};
use postroom::mail::clue::OwnKeys;
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
        let queues = [busy(), nobodys()].map(|id| {
            let mut queue = QueueSettings::new(id);
            queue.waiting_max = usize::MAX;
            queue.cooldown = Duration::ZERO;
            queue
        });
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
        Change::Outbound(outbound) => record::encode(&**outbound).len(),
        Change::Logged(_, _, event) => record::encode(&**event).len(),
        Change::Suppressed(suppression) => record::encode(&**suppression).len(),
        Change::Clue(..)
        | Change::Acknowledged { .. }
        | Change::SessionEnded(_)
        | Change::OfferForgotten(_)
        | Change::LogTrimmed(..)
        | Change::QueuePaused(_)
        | Change::QueueFigured(..)
        | Change::AgentFigured(..)
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

criterion_group!(benches, arrival, available, declined, records);
criterion_main!(benches);
