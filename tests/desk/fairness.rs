//! Laws that only show over many offers: nobody starves, and equal queues get the same.

use std::collections::BTreeMap;
use std::time::Duration;

use postroom::desk::{Ageing, Answer, Command, Handling, NewAgent, Policy, Requested, Thread};
use postroom::id::{AgentId, InteractionId, QueueId, SessionId};
use postroom::time::Timestamp;
use proptest::prelude::*;

use crate::world::{Pace, World, handled, law, nine, origin, queue};

/// What costs much is looked at elsewhere.
const PACE: Pace = Pace {
    copies: 50,
    restores: 50,
    explains: 20,
};

/// A floor whose agents do nothing but work.
struct Floor {
    world: World,
    now: Timestamp,
    sessions: BTreeMap<AgentId, SessionId>,
}

impl Floor {
    fn new(queues: &[&str], agents: &[&str], ageing: Option<Ageing>) -> Self {
        let mut floor = Self {
            world: World::new(Policy::default()).at_pace(PACE),
            now: nine(),
            sessions: BTreeMap::new(),
        };
        let settings = queues.iter().map(|id| {
            let mut queue = queue(id);
            queue.ageing = ageing;
            queue
        });
        let settings: Vec<_> = settings.collect();
        let served: Vec<QueueId> = settings.iter().map(|queue| queue.id.clone()).collect();
        floor.give(Command::SetQueues(settings));
        for (stream, name) in (1..).zip(agents) {
            let id: AgentId = name.parse().unwrap();
            floor.give(Command::CreateAgent(NewAgent {
                id: id.clone(),
                display_name: String::new(),
                password: None,
                supervisor: false,
                capacity: 1,
                queues: served.clone(),
            }));
            floor.give(Command::OpenSession {
                agent: id.clone(),
                takeover: false,
                initial: Some(Requested::Available),
                lease: Some(Duration::from_secs(300)),
                client: String::new(),
            });
            let session = floor.world.session(&id).unwrap();
            floor.give(Command::AttachStream { session, stream });
            floor.sessions.insert(id, session);
        }
        floor
    }

    fn give(&mut self, command: Command) -> Option<Answer> {
        self.world.handle(self.now, command).unwrap().answer
    }

    fn mail(&mut self, queue: &str, priority: i32) -> InteractionId {
        let handling = Handling {
            priority,
            ..Handling::default()
        };
        let letter = handled(&[queue.parse().unwrap()], Thread::New(origin()), handling);
        match self.give(letter) {
            Some(Answer::Filed(filings)) => filings[0].interaction,
            other => panic!("{other:?}"),
        }
    }

    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(due) = (self.world.desk.next_deadline()).filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.world.tick(self.now);
        }
        self.now = until;
    }

    /// The agent takes what they are offered; answers from where it came.
    fn take(&mut self, agent: &AgentId) -> Option<(InteractionId, QueueId)> {
        let session = self.sessions[agent];
        let offer = self.world.desk.presence(agent)?.pending_offer?;
        match self.give(Command::AcceptOffer { session, offer }) {
            Some(Answer::Interaction { interaction, .. }) => {
                Some((interaction.id, interaction.queue))
            }
            other => panic!("{other:?}"),
        }
    }

    /// The agent is done with whatever it is, and there for more.
    fn end(&mut self, agent: &AgentId) {
        let session = self.sessions[agent];
        let held = self.world.desk.presence(agent).unwrap().interactions;
        for interaction in held {
            self.give(Command::EndInteraction {
                session,
                interaction,
                note: String::new(),
            });
        }
        self.give(Command::RenewSession {
            session,
            acked: None,
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// However many letters of a higher priority come, one that waits grows past them, as long as
    /// there is somebody for each: after its growth only those are before it that were so then.
    #[test]
    fn nobody_starves(
        most in 2_u32..5,
        before in 0_u64..4,
        higher in prop::collection::vec(1_i32..5, 120..121),
    ) {
        let work = Duration::from_secs(10);
        let every = work * u32::try_from(before + 1).unwrap();
        let ageing = Ageing { every, max: most };
        let mut floor = Floor::new(&["support"], &["anna"], Some(ageing));
        let anna: AgentId = "anna".parse().unwrap();
        let cap = i32::try_from(most).unwrap();
        let mut higher = higher.iter().map(|priority| 1 + priority % (cap - 1).max(1));
        for priority in higher.by_ref().take(usize::try_from(before + 1).unwrap()) {
            floor.mail("support", priority);
        }
        floor.take(&anna);
        let waits = floor.mail("support", 0);
        let began = floor.now;
        let bound = every * most + work * u32::try_from(before + 2).unwrap();
        for priority in higher {
            floor.pass(work);
            floor.mail("support", priority);
            floor.end(&anna);
            if floor.take(&anna).is_some_and(|(id, _)| id == waits) {
                break;
            }
            let waited = floor.now.since(began);
            law!(20, waited < bound, "{waits} waits for {waited:?}, longer than {bound:?}");
        }
    }

    /// Queues of the same weight that never run dry get the same from each agent who serves them,
    /// give or take one, in whatever order the agents come back.
    #[test]
    fn equal_queues_get_the_same(
        queues in 2_usize..5,
        agents in 1_usize..5,
        letters in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        turns in prop::collection::vec(any::<prop::sample::Index>(), 10..40),
    ) {
        let queues = &["billing", "sales", "support", "travel"][..queues];
        let agents = &["anna", "bert", "cleo", "dora"][..agents];
        let mut floor = Floor::new(queues, agents, None);
        let agents: Vec<AgentId> = agents.iter().map(|id| id.parse().unwrap()).collect();
        for agent in &agents {
            // All of them come back to full queues.
            let session = floor.sessions[agent];
            let state = Requested::WorkOffline(String::new());
            floor.give(Command::SetPresence { session, state });
        }
        for letter in letters {
            let queue: &&str = letter.get(queues);
            floor.mail(queue, 0);
        }
        for queue in queues {
            for _ in 0..=turns.len() / queues.len() + agents.len() {
                floor.mail(queue, 0);
            }
        }
        for agent in &agents {
            let (session, state) = (floor.sessions[agent], Requested::Available);
            floor.give(Command::SetPresence { session, state });
        }
        let mut counts: BTreeMap<&AgentId, BTreeMap<QueueId, usize>> = BTreeMap::new();
        for turn in &turns {
            floor.pass(Duration::from_millis(200));
            let agent = turn.get(&agents);
            let Some((_, queue)) = floor.take(agent) else { continue };
            *counts.entry(agent).or_default().entry(queue).or_default() += 1;
            floor.end(agent);
            let mut all = vec![0; queues.len()];
            for (agent, had) in &counts {
                let of = |queue: &&str| had.get(&queue.parse().unwrap()).copied().unwrap_or(0);
                let each: Vec<usize> = queues.iter().map(of).collect();
                let (least, most) = (each.iter().min().unwrap(), each.iter().max().unwrap());
                law!(24, most - least <= 1, "{agent} was offered {each:?}");
                all.iter_mut().zip(&each).for_each(|(all, each)| *all += each);
            }
            let (least, most) = (all.iter().min().unwrap(), all.iter().max().unwrap());
            law!(24, most - least <= agents.len(), "offered were {all:?}");
        }
    }
}
