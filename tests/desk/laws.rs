//! Laws over random commands at random times, sensible and otherwise.
//!
//! The laws themselves are the world's: it checks them after each step. Here it is led into
//! corners.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use postroom::desk::skill;
use postroom::desk::{
    self, AfterWork, Ageing, AgentChanges, AgentState, Bulk, BulkAct, CancelCause, CodePolicy,
    Command, DeclineAction, Destination, Handling, HoldReason, Hours, HouseRules, NewAgent,
    OfferClock, Overflow, Phase, Policy, QueueSettings, Requested, Selection, Span, State, Thread,
    Work,
};
use postroom::id::{AgentId, AttachmentId, InteractionId, MessageId, OfferId, QueueId};
use postroom::outbound::message::{Diagnostic, Outcome};
use postroom::time::Timestamp;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::mails::{email, file, forwarded, saved, taken_back};
use crate::words::nobody;
use crate::world::{World, answer, handled, mailbox, origin, queue};

/// Something happens.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Wait(Duration),
    Mail {
        queues: Vec<usize>,
        thread: Option<(Index, bool)>,
        worth: Worth,
        priority: i32,
        skills: Vec<usize>,
    },
    Release(Index),
    Dismiss(Index),
    Raise(Index, i32),
    Teach(usize, Vec<usize>),
    Share(usize, desk::Strategy),
    Merge(Index, Index),
    Agent(usize, Act),
    Member(usize, usize, bool),
    Account(usize, Account),
    Pause(usize, bool),
    Forced(usize, Option<Wish>),
    Notice(usize),
    Reassign(Index, usize, bool),
    Bulk(Box<Bulk>),
    Clear,
    Submission(Index, Report),
    Configure(bool),
    Hold(bool),
    House(bool, bool),
    Restart,
    /// With a clock that was set on or back while nobody looked.
    RestartAt(Duration, bool),
    /// The machine was asleep for so long.
    Leap(Duration),
}

/// What an administrator does to an account.
#[derive(Debug, Clone, Copy)]
pub(super) enum Account {
    Hold(u32),
    Disable(bool),
    Remove,
    Create,
}

/// What an agent's client does.
#[derive(Debug, Clone)]
pub(super) enum Act {
    SignIn { takeover: bool, wish: Option<Wish> },
    Attach,
    Detach,
    Renew,
    SignOut,
    Want(Wish),
    See(Which),
    Accept(Which),
    Reject(Which, Option<Wish>),
    Reply(Which),
    End(Which),
    Save(Which, bool),
    Extend(Which),
    Complete(Which, Option<Wish>),
    Transfer(Which, usize),
    Requeue(Which),
    Cancel(Which),
    Pull(Option<usize>, Which),
    Park(Which, u64),
    Resume(Which),
    Forward(Which),
    Begin(usize, Option<Index>),
    Send(Which),
    Discard(Which),
    TakeBack(Index),
    Upload(Which),
    Draft(Which, u8),
    Drop(Index),
}

/// Whether a letter is work.
#[derive(Debug, Clone, Copy)]
pub(super) enum Worth {
    Wanted,
    Machine,
    Held,
    Quiet,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Wish {
    Available,
    Offline,
}

/// The agent's own offer or work, or any there ever was.
#[derive(Debug, Clone)]
pub(super) enum Which {
    Own,
    Any(Index),
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Report {
    HandedOver,
    Accepted,
    Deferred,
    Refused,
    Lost,
    Again,
}

const AGENTS: usize = 3;
const QUEUES: usize = 2;

/// What letters ask for, and agents can do.
const SKILLS: [&str; 3] = ["german", "german:3", "law:2"];

fn wish() -> impl Strategy<Value = Wish> {
    prop_oneof![3 => Just(Wish::Available), 1 => Just(Wish::Offline)]
}

fn which() -> impl Strategy<Value = Which> {
    prop_oneof![5 => Just(Which::Own), 1 => any::<Index>().prop_map(Which::Any)]
}

fn act() -> impl Strategy<Value = Act> {
    let next = || proptest::option::of(wish());
    prop_oneof![
        3 => (any::<bool>(), next()).prop_map(|(takeover, wish)| Act::SignIn { takeover, wish }),
        4 => Just(Act::Attach),
        1 => Just(Act::Detach),
        2 => Just(Act::Renew),
        1 => Just(Act::SignOut),
        4 => wish().prop_map(Act::Want),
        5 => which().prop_map(Act::See),
        5 => which().prop_map(Act::Accept),
        3 => (which(), next()).prop_map(|(which, next)| Act::Reject(which, next)),
        3 => which().prop_map(Act::Reply),
        3 => which().prop_map(Act::End),
        2 => (which(), any::<bool>()).prop_map(|(which, coded)| Act::Save(which, coded)),
        1 => which().prop_map(Act::Extend),
        2 => (which(), next()).prop_map(|(which, next)| Act::Complete(which, next)),
        2 => (which(), 0..QUEUES).prop_map(|(which, queue)| Act::Transfer(which, queue)),
        1 => which().prop_map(Act::Requeue),
        1 => which().prop_map(Act::Cancel),
        2 => (proptest::option::of(0..QUEUES), which())
            .prop_map(|(queue, which)| Act::Pull(queue, which)),
        2 => (which(), 0..200_u64).prop_map(|(which, time)| Act::Park(which, time)),
        2 => which().prop_map(Act::Resume),
        1 => which().prop_map(Act::Forward),
        2 => (0..QUEUES, proptest::option::of(any::<Index>()))
            .prop_map(|(queue, case)| Act::Begin(queue, case)),
        2 => which().prop_map(Act::Send),
        1 => which().prop_map(Act::Discard),
        2 => any::<Index>().prop_map(Act::TakeBack),
        2 => which().prop_map(Act::Upload),
        2 => (which(), 0..3_u8).prop_map(|(which, text)| Act::Draft(which, text)),
        1 => any::<Index>().prop_map(Act::Drop),
    ]
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    // Waits that fall on deadlines, just before them, and far behind them.
    let wait = prop_oneof![
        4 => 0..4000_u64,
        4 => prop::sample::select(vec![2999, 3000, 5000, 30_000, 31_999, 32_000, 60_000, 300_000]),
        1 => 0..5_000_000_u64,
    ];
    let report = prop::sample::select(vec![
        Report::HandedOver,
        Report::Accepted,
        Report::Deferred,
        Report::Refused,
        Report::Lost,
        Report::Again,
    ]);
    let queues = prop::sample::subsequence((0..QUEUES).collect::<Vec<_>>(), 1..=QUEUES);
    let thread = proptest::option::of(any::<(Index, bool)>());
    let skills = || {
        let all: Vec<_> = (0..SKILLS.len()).collect();
        prop_oneof![2 => Just(Vec::new()), 1 => prop::sample::subsequence(all, 0..=2)]
    };
    let strategy = prop::sample::select(vec![
        desk::Strategy::LongestIdle,
        desk::Strategy::RoundRobin,
        desk::Strategy::MostSkilled,
        desk::Strategy::LeastLoaded,
    ]);
    let worth = prop_oneof![
        6 => Just(Worth::Wanted),
        1 => Just(Worth::Machine),
        1 => Just(Worth::Held),
        1 => Just(Worth::Quiet),
    ];
    let account = prop_oneof![
        3 => (0..4_u32).prop_map(Account::Hold),
        1 => any::<bool>().prop_map(Account::Disable),
        1 => Just(Account::Remove),
        2 => Just(Account::Create),
    ];
    prop_oneof![
        6 => wait.prop_map(|wait| Step::Wait(Duration::from_millis(wait))),
        4 => (queues, thread, worth, -1..2, skills()).prop_map(
            |(queues, thread, worth, priority, skills)| Step::Mail {
                queues,
                thread,
                worth,
                priority,
                skills,
            }
        ),
        1 => (any::<Index>(), -1..2).prop_map(|(which, to)| Step::Raise(which, to)),
        1 => (0..AGENTS, skills()).prop_map(|(agent, skills)| Step::Teach(agent, skills)),
        1 => (0..QUEUES, strategy).prop_map(|(queue, to)| Step::Share(queue, to)),
        1 => any::<Index>().prop_map(Step::Release),
        1 => any::<Index>().prop_map(Step::Dismiss),
        1 => any::<(Index, Index)>().prop_map(|(case, into)| Step::Merge(case, into)),
        20 => (0..AGENTS, act()).prop_map(|(agent, act)| Step::Agent(agent, act)),
        1 => (0..AGENTS, 0..QUEUES, any::<bool>()).prop_map(|(a, q, j)| Step::Member(a, q, j)),
        2 => (0..AGENTS, account).prop_map(|(agent, account)| Step::Account(agent, account)),
        1 => (0..QUEUES, any::<bool>()).prop_map(|(queue, on)| Step::Pause(queue, on)),
        1 => (0..AGENTS, proptest::option::of(wish())).prop_map(|(a, wish)| Step::Forced(a, wish)),
        1 => (0..QUEUES).prop_map(Step::Notice),
        1 => Just(Step::Clear),
        2 => any::<(Index, bool)>().prop_flat_map(|(which, queue)| {
            (0..QUEUES).prop_map(move |to| Step::Reassign(which, to, queue))
        }),
        1 => bulk().prop_map(|bulk| Step::Bulk(Box::new(bulk))),
        2 => (any::<Index>(), report).prop_map(|(which, report)| Step::Submission(which, report)),
        1 => any::<bool>().prop_map(Step::Configure),
        1 => any::<bool>().prop_map(Step::Hold),
        1 => any::<(bool, bool)>().prop_map(|(all, back)| Step::House(all, back)),
        1 => Just(Step::Restart),
        1 => (0..90_000_u64, any::<bool>())
            .prop_map(|(shift, back)| Step::RestartAt(Duration::from_secs(shift), back)),
        1 => (60..90_000_u64).prop_map(|asleep| Step::Leap(Duration::from_secs(asleep))),
    ]
}

/// An act on many, of those that something is often true of.
fn bulk() -> impl Strategy<Value = Bulk> {
    let queue = || prop_oneof![Just("sales"), Just("support")].prop_map(|id| id.parse().unwrap());
    let act = prop_oneof![
        queue().prop_map(BulkAct::Move),
        Just(BulkAct::Requeue),
        Just(BulkAct::Dismiss),
        Just(BulkAct::Release),
        (-1..2).prop_map(BulkAct::Prioritise),
    ];
    let phases = vec![
        Phase::Held,
        Phase::Queued,
        Phase::Offered,
        Phase::Active,
        Phase::Parked,
    ];
    let phases = prop::sample::subsequence(phases, 0..=3);
    (act, proptest::option::of(queue()), phases).prop_map(|(act, queue, phases)| Bulk {
        selection: Selection {
            queue,
            phases: phases.into_iter().collect(),
            ..Selection::default()
        },
        act,
        note: String::new(),
    })
}

/// A world with three agents and two queues, one of them strict, and a clock.
pub(super) struct Play {
    pub(super) world: World,
    pub(super) now: Timestamp,
    agents: Vec<AgentId>,
    pub(super) queues: Vec<QueueSettings>,
    streams: u64,
    /// Every word that was said, to be compared with a second telling.
    said: Vec<String>,
}

impl Play {
    fn new() -> Self {
        let mut strict = queue("sales");
        strict.rejected_action = DeclineAction::WorkOffline;
        strict.missed_limit = 1;
        strict.offer_timeout = Duration::from_millis(500);
        strict.hours = Some(Arc::new(always()));
        let mut gentle = queue("support");
        gentle.service.accept = Some(Duration::from_secs(20));
        gentle.service.answer = Some(Duration::from_secs(60));
        gentle.service.close = Some(Duration::from_secs(90));
        gentle.overflow = Some(Overflow {
            to: strict.id.clone(),
            after: Duration::from_secs(45),
        });
        gentle.post_processing = Some(Duration::from_secs(60));
        gentle.waiting_max = 4;
        gentle.preferred_agent = Duration::from_secs(45);
        gentle.undo = Duration::from_secs(20);
        gentle.skill_relax = Some(Duration::from_secs(20));
        gentle.ageing = Some(Ageing {
            every: Duration::from_secs(7),
            max: 2,
        });
        gentle.pull = true;
        gentle.codes = CodePolicy::Required;
        gentle.takes_back = true;
        gentle.offer_clock = OfferClock::Shown;
        gentle.cooldown_max = Duration::from_secs(60);
        let mut play = Self {
            world: World::new(Policy {
                house: house(),
                ..Policy::default()
            }),
            now: eve(),
            agents: Vec::new(),
            queues: vec![strict, gentle],
            streams: 0,
            said: Vec::new(),
        };
        play.give(Command::SetQueues(play.queues.clone()));
        for name in ["anna", "bert", "cleo"] {
            let id: AgentId = name.parse().unwrap();
            play.agents.push(id.clone());
            let served = play.queues.iter().map(|queue| queue.id.clone());
            play.give(Command::CreateAgent(NewAgent {
                id: id.clone(),
                display_name: String::new(),
                password: None,
                supervisor: false,
                capacity: 1,
                queues: served.skip(usize::from(name == "cleo")).collect(),
            }));
            play.give(Command::OpenSession {
                agent: id,
                takeover: false,
                initial: Some(Requested::Available),
                lease: Some(Duration::from_secs(300)),
                client: String::new(),
            });
            play.agent(play.agents.len() - 1, &Act::Attach);
        }
        play
    }

    fn give(&mut self, command: Command) {
        let done = self.world.handle(self.now, command);
        self.said.push(format!("{done:?}"));
    }

    fn step(&mut self, step: &Step) {
        let effects = match step {
            Step::Leap(asleep) => {
                self.now = self.now + *asleep;
                self.world.leap(self.now)
            }
            Step::RestartAt(shift, back) => {
                self.now = match back {
                    true => self.now - *shift,
                    false => self.now + *shift,
                };
                self.world.restart(self.now)
            }
            Step::Wait(wait) => {
                self.now = self.now + *wait;
                self.world.tick(self.now)
            }
            // As the engine does it: what is due comes first.
            _ => self.world.tick(self.now),
        };
        self.said.push(format!("{effects:?}"));
        match step {
            Step::Wait(_) | Step::Leap(_) | Step::RestartAt(..) => {}
            Step::Mail {
                queues,
                thread,
                worth,
                priority,
                skills,
            } => {
                let handling = Handling {
                    priority: *priority,
                    skills: skills.iter().map(|at| SKILLS[*at].to_owned()).collect(),
                    ..Handling::default()
                };
                self.mail(queues, thread.as_ref(), *worth, handling);
            }
            Step::Raise(which, priority) => {
                if let Some(interaction) = self.any_interaction(which) {
                    self.give(Command::Prioritise {
                        interaction,
                        priority: *priority,
                    });
                }
            }
            Step::Teach(agent, skills) => {
                let skills = skills.iter().filter_map(|at| skill::asked(SKILLS[*at]));
                let changes = AgentChanges {
                    skills: Some(
                        skills
                            .map(|(name, level)| (name.to_owned(), level))
                            .collect(),
                    ),
                    ..AgentChanges::default()
                };
                let agent = self.agents[*agent].clone();
                self.give(Command::UpdateAgent { agent, changes });
            }
            Step::Share(queue, strategy) => {
                self.queues[*queue].strategy = *strategy;
                self.give(Command::SetQueues(self.queues.clone()));
            }
            Step::Release(which) => {
                if let Some(interaction) = self.any_interaction(which) {
                    self.give(Command::Release { interaction });
                }
            }
            Step::Dismiss(which) => {
                if let Some(interaction) = self.any_interaction(which) {
                    self.give(Command::Dismiss { interaction });
                }
            }
            Step::Merge(case, into) => {
                let cases: Vec<_> = self.world.kept.cases.values().cloned().collect();
                if !cases.is_empty() {
                    let (case, into) = (case.get(&cases).clone(), into.get(&cases).clone());
                    let (case, into) = (Box::new(case), Box::new(into));
                    self.give(Command::MergeCase { case, into });
                }
            }
            Step::Agent(agent, act) => self.agent(*agent, act),
            Step::Member(agent, queue, joins) => {
                let agent = self.agents[*agent].clone();
                let queue = self.queues[*queue].id.clone();
                self.give(if *joins {
                    let weight = None;
                    Command::JoinQueue {
                        agent,
                        queue,
                        weight,
                    }
                } else {
                    Command::LeaveQueue { agent, queue }
                });
            }
            Step::Account(agent, account) => self.account(*agent, *account),
            Step::Pause(queue, on) => {
                let queue = self.queues[*queue].id.clone();
                self.give(if *on {
                    let reason = String::new();
                    Command::PauseQueue { queue, reason }
                } else {
                    Command::ResumeQueue { queue }
                });
            }
            Step::Forced(agent, wish) => {
                let agent = self.agents[*agent].clone();
                self.give(match wish {
                    Some(wish) => Command::ForcePresence {
                        agent,
                        state: asked(*wish),
                        note: String::new(),
                    },
                    None => Command::ForceSignOut {
                        requeue: false,
                        session: self.world.session(&agent).unwrap_or(nobody()),
                    },
                });
            }
            Step::Reassign(which, to, queue) => {
                let destination = if *queue {
                    Destination::Queue(self.queues[*to].id.clone())
                } else {
                    Destination::Agent(self.agents[*to].clone())
                };
                if let Some(interaction) = self.any_interaction(which) {
                    self.give(Command::Reassign {
                        interaction,
                        to: destination,
                        note: String::new(),
                    });
                }
            }
            Step::Bulk(bulk) => self.give(Command::Bulk(bulk.clone())),
            Step::Clear => {
                let first = self.world.desk.alerts().next();
                if let Some(concern) = first.map(|alert| alert.concern.clone()) {
                    self.give(Command::ClearAlert(concern));
                }
            }
            Step::Notice(queue) => self.give(Command::PostNotice {
                agents: BTreeSet::new(),
                queues: BTreeSet::from([self.queues[*queue].id.clone()]),
                text: "hello".into(),
            }),
            Step::Submission(which, report) => self.submission(which, *report),
            Step::Configure(short) => {
                let mut queues = self.queues.clone();
                if *short {
                    queues.pop();
                }
                self.give(Command::SetQueues(queues));
            }
            Step::Hold(holds) => {
                for queue in &mut self.queues {
                    if queue.codes != CodePolicy::Optional {
                        queue.codes = if *holds {
                            CodePolicy::Hold
                        } else {
                            CodePolicy::Required
                        };
                    }
                }
                self.give(Command::SetQueues(self.queues.clone()));
            }
            Step::House(all, back) => self.give(Command::SetHouseRules(HouseRules {
                after_work: if *back {
                    AfterWork::Return
                } else {
                    AfterWork::Available
                },
                wrap_up_holds_all: *all,
                ..house()
            })),
            Step::Restart => {
                let effects = self.world.restart(self.now);
                self.said.push(format!("{effects:?}"));
            }
        }
    }

    fn account(&mut self, number: usize, account: Account) {
        let agent = self.agents[number].clone();
        let changed = |changes| Command::UpdateAgent {
            agent: agent.clone(),
            changes,
        };
        self.give(match account {
            Account::Hold(capacity) => changed(AgentChanges {
                capacity: Some(capacity),
                ..AgentChanges::default()
            }),
            Account::Disable(disabled) => changed(AgentChanges {
                disabled: Some(disabled),
                ..AgentChanges::default()
            }),
            Account::Remove => Command::DeleteAgent { agent },
            Account::Create => Command::CreateAgent(NewAgent {
                id: agent,
                display_name: String::new(),
                password: None,
                supervisor: false,
                capacity: 1,
                queues: self.queues.iter().map(|queue| queue.id.clone()).collect(),
            }),
        });
    }

    fn any_interaction(&self, which: &Index) -> Option<InteractionId> {
        let known: Vec<_> = self.world.kept.interactions.keys().copied().collect();
        (!known.is_empty()).then(|| *which.get(&known))
    }

    fn mail(
        &mut self,
        queues: &[usize],
        thread: Option<&(Index, bool)>,
        worth: Worth,
        handling: Handling,
    ) {
        let queues: Vec<QueueId> = queues
            .iter()
            .map(|at| self.queues[*at].id.clone())
            .collect();
        let cases: Vec<_> = self.world.kept.cases.values().cloned().collect();
        let thread = match thread {
            Some((at, joins)) if !cases.is_empty() => {
                let mut case = at.get(&cases).clone();
                // As the engine does it.
                while let Some(into) = case.merged_into {
                    case = self.world.kept.cases[&into].clone();
                }
                if *joins {
                    Thread::Joins(Box::new(case), origin())
                } else {
                    Thread::Linked(case.number, origin())
                }
            }
            _ => Thread::New(origin()),
        };
        let work = match worth {
            Worth::Wanted | Worth::Machine => Work::Wanted,
            Worth::Held => Work::Held {
                reason: HoldReason::Distrusted,
                aside: None,
            },
            Worth::Quiet => Work::Quiet,
        };
        let handling = Handling {
            work,
            by_machine: matches!(worth, Worth::Machine),
            ..handling
        };
        self.give(handled(&queues, thread, handling));
    }

    fn submission(&mut self, which: &Index, report: Report) {
        let known: Vec<_> = self.world.kept.outbound.keys().copied().collect();
        if known.is_empty() {
            return;
        }
        let message = *which.get(&known);
        let outcome = match report {
            Report::HandedOver => return self.give(Command::HandOver { message }),
            Report::Again => {
                return self.give(Command::RetryDelivery {
                    message,
                    settled: None,
                });
            }
            Report::Accepted => Outcome::Accepted {
                reply: Diagnostic::ours("taken"),
                queue_id: None,
                refused: Vec::new(),
            },
            Report::Deferred => Outcome::Temporary(Diagnostic::ours("later")),
            Report::Refused => Outcome::Permanent {
                diagnostic: Diagnostic::ours("never"),
                refused: Vec::new(),
            },
            Report::Lost => Outcome::Lost(Diagnostic::ours("silence")),
        };
        self.give(Command::FinishSubmission {
            message,
            outcome,
            sent_for: None,
        });
    }

    fn offer(&self, agent: &AgentId, which: &Which) -> OfferId {
        let all: Vec<OfferId> = self.world.desk.offers().keys().copied().collect();
        let own = (self.world.desk.presence(agent)).and_then(|presence| presence.pending_offer);
        match which {
            Which::Own => own,
            Which::Any(at) => (!all.is_empty()).then(|| *at.get(&all)),
        }
        .unwrap_or(OfferId::new(Timestamp::ZERO, 0))
    }

    fn work(&self, agent: &AgentId, which: &Which) -> InteractionId {
        let all: Vec<InteractionId> = self.world.kept.interactions.keys().copied().collect();
        let own = (self.world.desk.presence(agent)).map_or_else(Vec::new, |presence| {
            [presence.interactions, presence.parked].concat()
        });
        match which {
            Which::Own => own.first().copied(),
            Which::Any(at) => (!all.is_empty()).then(|| *at.get(&all)),
        }
        .unwrap_or(InteractionId::new(Timestamp::ZERO, 0))
    }

    fn own_address(&self, id: InteractionId) -> String {
        (self.world.kept.interactions.get(&id))
            .map_or_else(String::new, |found| mailbox(&found.queue))
    }

    fn agent(&mut self, number: usize, act: &Act) {
        let agent = self.agents[number].clone();
        let session = (self.world.session(&agent)).unwrap_or(nobody());
        let command = match act {
            Act::SignIn { takeover, wish } => Command::OpenSession {
                agent,
                takeover: *takeover,
                initial: wish.map(asked),
                lease: None,
                client: String::new(),
            },
            Act::Attach => {
                self.streams += 1;
                let stream = self.streams;
                Command::AttachStream { session, stream }
            }
            Act::Detach => {
                let stream = self.streams;
                Command::DetachStream { session, stream }
            }
            Act::Renew => Command::RenewSession {
                session,
                acked: None,
            },
            Act::SignOut => Command::CloseSession {
                session,
                requeue: false,
            },
            Act::Want(wish) => Command::SetPresence {
                session,
                state: asked(*wish),
            },
            Act::See(which) => Command::AcknowledgeOffer {
                session,
                offer: self.offer(&agent, which),
            },
            Act::Accept(which) => Command::AcceptOffer {
                session,
                offer: self.offer(&agent, which),
            },
            Act::Reject(which, next) => Command::RejectOffer {
                session,
                offer: self.offer(&agent, which),
                reason: String::new(),
                next: next.map(asked),
            },
            Act::Reply(which) => {
                let id = self.work(&agent, which);
                let own = (self.world.kept.interactions.get(&id))
                    .map_or_else(String::new, |found| mailbox(&found.queue));
                Command::Reply(Box::new(answer(session, id, own)))
            }
            Act::Forward(which) => {
                let id = self.work(&agent, which);
                let mut mail = forwarded(session, id, self.own_address(id));
                if let Some(found) = self.world.kept.interactions.get(&id) {
                    mail.slot = self.world.kept.cases[&found.case].slot(&mail.to.address);
                }
                Command::Forward(Box::new(mail))
            }
            Act::Begin(queue, case) => {
                let known: Vec<_> = self.world.kept.cases.keys().copied().collect();
                let case = case.filter(|_| !known.is_empty());
                let case = case.map(|case| self.world.case(*case.get(&known)));
                email(session, mailbox(&self.queues[*queue].id), case)
            }
            Act::Send(which) => {
                let id = self.work(&agent, which);
                let mut mail = answer(session, id, self.own_address(id));
                // What came meanwhile has been read.
                mail.latest_seen =
                    (self.world.kept.interactions.get(&id)).map(|found| found.latest_inbound);
                Command::SendEmail(Box::new(mail))
            }
            Act::Draft(which, text) => {
                let id = self.work(&agent, which);
                let known = self.world.kept.drafts.get(&id);
                saved(session, id, &"x".repeat((*text).into()), known)
            }
            Act::Upload(which) => file(session, self.work(&agent, which), 1000),
            Act::Drop(which) => {
                let files: Vec<_> = self.world.kept.uploads.values().collect();
                let file = (!files.is_empty()).then(|| which.get(&files));
                Command::DropUpload {
                    session,
                    interaction: file
                        .map_or(InteractionId::new(self.now, 0), |file| file.interaction),
                    upload: file.map_or(AttachmentId::new(self.now, 0), |file| file.id),
                }
            }
            Act::TakeBack(which) => {
                let own = (self.world.kept.outbound.values()).filter(|outbound| {
                    outbound.agent.as_ref() == Some(&agent) && !outbound.state.is_settled()
                });
                let mut known: Vec<_> = own.map(|outbound| outbound.id).collect();
                if known.is_empty() {
                    known.extend(self.world.kept.outbound.keys());
                }
                let none = MessageId::new(self.now, 0);
                let id = (!known.is_empty()).then(|| *which.get(&known));
                taken_back(session, id.unwrap_or(none))
            }
            Act::Discard(which) => Command::DiscardEmail {
                session,
                interaction: self.work(&agent, which),
            },
            Act::End(which) => Command::EndInteraction {
                session,
                interaction: self.work(&agent, which),
                note: String::new(),
            },
            Act::Save(which, coded) => Command::SaveWrapUp {
                session,
                interaction: self.work(&agent, which),
                notes: Some("noted".into()),
                disposition: coded.then(|| "sold".into()),
            },
            Act::Extend(which) => Command::ExtendWrapUp {
                session,
                interaction: self.work(&agent, which),
            },
            Act::Transfer(which, queue) => Command::Transfer {
                session,
                interaction: self.work(&agent, which),
                queue: self.queues[*queue].id.clone(),
                note: "for you".into(),
            },
            Act::Requeue(which) => Command::Requeue {
                session,
                interaction: self.work(&agent, which),
                note: String::new(),
            },
            Act::Cancel(which) => Command::Cancel {
                session,
                interaction: self.work(&agent, which),
                cause: CancelCause::Duplicate,
                note: String::new(),
            },
            Act::Pull(queue, which) => Command::Pull {
                session,
                queue: queue.map(|queue| self.queues[queue].id.clone()),
                interaction: match (queue, which) {
                    (Some(_), Which::Own) => None,
                    _ => Some(self.work(&agent, which)),
                },
            },
            Act::Park(which, time) => Command::Park {
                session,
                interaction: self.work(&agent, which),
                time: Duration::from_secs(*time),
                note: String::new(),
            },
            Act::Resume(which) => Command::Resume {
                session,
                interaction: self.work(&agent, which),
            },
            Act::Complete(which, next) => Command::CompleteWrapUp {
                session,
                interaction: self.work(&agent, which),
                notes: None,
                disposition: None,
                next: next.map(asked),
            },
        };
        self.give(command);
    }
}

/// Twenty minutes before midnight in Berlin, and three hours before its clocks go back.
fn eve() -> Timestamp {
    Timestamp::ZERO + Duration::from_secs(20_022 * 86_400 + 21 * 3600 + 2400)
}

/// Days of agents are Berlin's, whose clocks are about to go back.
fn house() -> HouseRules {
    HouseRules {
        zone: "Europe/Berlin".parse().unwrap(),
        ..HouseRules::default()
    }
}

/// Open at all times, with the days of New York.
fn always() -> Hours {
    let day = || vec![Span::new(0, 1440).unwrap()];
    let zone = "America/New_York".parse().unwrap();
    Hours::new(zone, std::array::from_fn(|_| day()), BTreeMap::new())
}

fn asked(wish: Wish) -> Requested {
    match wish {
        Wish::Available => Requested::Available,
        Wish::Offline => Requested::WorkOffline("lunch".into()),
    }
}

pub(super) fn play(steps: &[Step]) -> Play {
    let mut play = Play::new();
    for step in steps {
        play.step(step);
    }
    play
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_laws_hold(steps in prop::collection::vec(step(), 1..120)) {
        play(&steps);
    }

    /// The same commands at the same times have the same effects, byte for byte.
    #[test]
    fn the_desk_repeats_itself(steps in prop::collection::vec(step(), 1..60)) {
        prop_assert!(play(&steps).said == play(&steps).said);
    }

    /// Left alone, everything comes to rest: offers end, sessions are given up, post-processing
    /// is over, and no deadline is left but those of the spool.
    #[test]
    fn left_alone_the_desk_comes_to_rest(steps in prop::collection::vec(step(), 1..60)) {
        let mut left = play(&steps);
        for _ in 0..10_000 {
            let Some(due) = left.world.desk.next_deadline() else { break };
            left.now = left.now.max(due);
            left.world.tick(left.now);
            let gone = left.now + Duration::from_secs(4 * 3600) < due;
            if gone || left.now > eve() + Duration::from_secs(40 * 86_400) { break }
        }
        for agent in &left.agents {
            let shown = left.world.desk.presence(agent).map(|presence| presence.state);
            prop_assert!(shown.is_none_or(|shown| shown == AgentState::SignedOut));
        }
        for found in left.world.desk.interactions().values() {
            let rests = match &found.state {
                State::Queued
                | State::Active { .. }
                | State::Held { .. }
                | State::Drafting { .. } => true,
                // Only of those who asked for more time, or whose queue waits for a code.
                State::WrappingUp { deadline, .. } => {
                    let queue = &left.world.desk.queues()[&found.queue].settings;
                    deadline.is_none() || queue.codes == CodePolicy::Hold
                }
                State::Offered { .. }
                | State::Closed { .. }
                | State::Filed { .. }
                | State::Parked { .. }
                | State::Cancelled { .. } => false,
            };
            prop_assert!(rests, "{} is {}", found.id, found.state.name());
        }
    }
}
