//! Stories of the desk, as transcripts, and the laws that hold in all of them.
//!
//! A file of `tests/desk` tells one story. Its first lines say why it is told; then come blocks of
//! commands, four dashes, and what followed. `UPDATE=1 cargo test --test desk` writes the answers
//! anew. Commit a rewritten answer only when you understand why it changed: the runner believes
//! whatever the desk says.
//!
//! The desk is told the time before each command, as the engine does it; what a deadline brought
//! about stands behind its time. Names are given in the order of appearance: interactions `i1`,
//! offers `o1`, messages `m1`, cases `c1`. Each command begins with a time of day, or stands in
//! the same second as the one before:
//!
//! | command | example |
//! |---|---|
//! | how a queue is shared out | `queue support strategy=most_skilled preferred=60 relax=60 ageing=60/5` |
//! | what an agent can do, in full | `anna can german:3 law` |
//! | a queue, with rules | `queue support offer=30 wrap-up=60 rejected=offline missed=cooldown limit=2 cooldown=5 max=100 pull=on transfers=off`, `queue support open=09:00-12:00+13:00-17:00 overflow=sales:60`, `queue support accept=60 answer=300 close=600 warn=50` |
//! | more of its rules | `queue support clock=shown codes=hold extensions=2 extension=30 rejects=3 cooldown-max=60 reject=no takes-back=yes` |
//! | rules for every agent | `house after-work=return wrap-up=slot reason=offline:lunch reason=wrap-up:sold` |
//! | an account | `agent anna serves support sales` |
//! | sign-in, stream, Available | `anna starts` |
//! | sign-in | `anna signs in`, `anna signs in as available`, `anna takes over` |
//! | stream | `anna attaches`, `anna detaches`, `anna renews` |
//! | sign-out | `anna signs out` |
//! | presence | `anna wants available`, `anna wants offline lunch` |
//! | offers | `anna sees o1`, `anna accepts o1`, `anna rejects o1 not-mine`, `anna rejects o1 then offline tea`, `anna rejects o1 then available` |
//! | answers | `anna replies i1`, `anna replies i1 from x@y.example`, `anna replies i1 having read m1` |
//! | ends | `anna ends i1` |
//! | mails of her own | `anna forwards i1`, `anna begins a mail from x@y.example`, `anna begins a mail of c1`, `anna sends i1`, `anna sends i1 having read m1`, `anna discards i1`, `anna attaches a file to i1`, `anna writes for i1` |
//! | hands on | `anna transfers i1 to sales`, `anna requeues i1`, `anna cancels i1` |
//! | helps herself | `anna pulls from support`, `anna pulls i1` |
//! | sets aside | `anna parks i1 for 600`, `anna resumes i1` |
//! | post-processing | `anna saves i1 sold`, `anna extends i1`, `anna completes i1`, `anna completes i1 as sold`, `anna completes i1 then offline tea` |
//! | an older session of hers | `anna's old session accepts o1` |
//! | an account | `anna may hold 3`, `anna is disabled`, `anna is enabled`, `anna is removed` |
//! | membership | `anna joins sales`, `anna joins sales with 20`, `anna leaves sales` |
//! | mail | `mail for support`, `mail for support sales`, `mail of c1 for support`, `mail after c1 for support` |
//! | mail that is no work yet, or none | `held mail for support`, `quiet mail of c1 for support`, `machine's mail of c1 for support` |
//! | mail with a rule's orders | `mail needing german:3 law for support`, `mail at 5 for support` |
//! | why somebody is not offered something | `why not i1 to anna` |
//! | a supervisor | `i1 is moved to 5`, `i1 is released`, `i1 is dismissed`, `c1 is merged into c2`, `tokens of c1 are revoked` |
//! | a queue is paused | `pause queue support lunch`, `resume queue support` |
//! | a supervisor of agents | `supervisor lea sets anna available`, `supervisor lea sets anna offline lunch: eat something`, `supervisor lea signs anna out`, `… out and takes all`, `supervisor lea tells anna: hello`, `… tells all of support sales: hello`, `… tells everybody: hello` |
//! | the submitter | `m2 handed over`, `m2 accepted`, `m2 deferred`, `m2 refused`, `m2 lost`, `m2 again`; a report, `m2 bounces` |
//! | a supervisor of work | `supervisor lea gives i1 to anna`, `supervisor lea moves i1 to queue sales` |
//! | a supervisor of much work, and what it would be | `supervisor lea together move all in support now queued since 09:00:10 to sales`, `supervisor lea would dismiss all from @customer.example` |
//! | alerts | `alert about m2 is cleared` |
//! | the process ends, and a new one begins | `stop`, `restart` |
//! | the machine falls asleep, and wakes | `stop`, `wakes` |
//! | nothing | `time passes` |
//! | a note | `supervisor lea notes c1: calls back tomorrow` |
//! | a look | `show`, `feed of c1` |
//! | the figures of the day that are not zero, times in seconds | `figures` |
//! | the time zone of the figures | `house zone=Europe/Berlin` |

#![expect(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

#[path = "desk/deadlines.rs"]
mod deadlines;
#[path = "desk/fairness.rs"]
mod fairness;
#[path = "desk/figures.rs"]
mod figures;
#[path = "desk/laws.rs"]
mod laws;
#[path = "desk/mails.rs"]
mod mails;
#[path = "desk/names.rs"]
mod names;
#[path = "desk/pairs.rs"]
mod pairs;
#[path = "desk/policy.rs"]
mod policy;
#[path = "desk/table.rs"]
mod table;
#[path = "desk/world.rs"]
mod world;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mails::{email, file, forwarded, saved};
use names::Names;
use postroom::desk::skill::{Skills, asked};
use postroom::desk::{
    Actor, AfterWork, Ageing, AgentChanges, Bulk, BulkAct, CancelCause, Case, CodePolicy, Command,
    Concern, DeclineAction, Destination, Effects, Handling, HoldReason, Hours, HouseRules,
    NewAgent, OfferClock, Overflow, Phase, Policy, QueueSettings, ReasonKind, Refusal, Report,
    Requested, Selection, Span, State, Strategy, Thread, Work, Zone,
};
use postroom::id::{AgentId, InteractionId, MessageId, OfferId, QueueId, SessionId};
use postroom::mail::report::{Action, RecipientReport};
use postroom::outbound::hearing::Saying;
use postroom::outbound::message::{Diagnostic, Outcome};
use postroom::time::Timestamp;
use world::{World, answer, clock, handled, mailbox, nine, origin, queue};

#[test]
fn stories() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/desk");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "txt"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no stories");
    let update = std::env::var_os("UPDATE").is_some();
    let mut differ = Vec::new();
    for path in files {
        let told = std::fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let got = Stage::new().play(&told, &name);
        if got == told {
            continue;
        }
        if update {
            std::fs::write(&path, &got).unwrap();
        } else {
            differ.push(format!("{name}: {}", first_difference(&told, &got)));
        }
    }
    assert!(differ.is_empty(), "\n{}", differ.join("\n"));
}

fn first_difference(told: &str, got: &str) -> String {
    let lines = told.lines().chain([""]).zip(got.lines().chain([""]));
    lines
        .enumerate()
        .find(|(_, (told, got))| told != got)
        .map_or_else(
            || "one is longer".into(),
            |(number, (told, got))| {
                format!(
                    "line {}\n  in the file: {told}\n  now:         {got}",
                    number + 1
                )
            },
        )
}

/// The world, with names for what is in it.
struct Stage {
    world: World,
    names: Names,
    now: Timestamp,
    queues: Vec<QueueSettings>,
    streams: u64,
    attached: BTreeMap<SessionId, u64>,
    sessions: BTreeMap<AgentId, Vec<SessionId>>,
    /// Between two processes nobody looks at deadlines.
    stopped: bool,
}

impl Stage {
    fn new() -> Self {
        Self {
            world: World::new(Policy::default()),
            names: Names::default(),
            now: nine(),
            queues: Vec::new(),
            streams: 0,
            attached: BTreeMap::new(),
            sessions: BTreeMap::new(),
            stopped: false,
        }
    }

    /// Plays a file and answers it with what really followed.
    fn play(&mut self, told: &str, name: &str) -> String {
        let mut out = String::new();
        let mut answering = false;
        let mut lines: Vec<String> = Vec::new();
        for (number, line) in told.lines().enumerate() {
            if answering && !line.is_empty() {
                continue;
            }
            if line == "----" {
                answering = true;
                out.push_str("----\n");
                if lines.is_empty() {
                    lines.push("nothing".into());
                }
                for line in lines.drain(..) {
                    let _ = writeln!(out, "{line}");
                }
                continue;
            }
            answering = false;
            let _ = writeln!(out, "{line}");
            if !line.is_empty() && !line.starts_with('#') {
                let at = || format!("{name}:{}: {line}", number + 1);
                lines.extend(
                    self.line(line)
                        .unwrap_or_else(|why| panic!("{}: {why}", at())),
                );
            }
        }
        out
    }

    /// Carries out one line, at its time.
    fn line(&mut self, line: &str) -> Result<Vec<String>, String> {
        let mut lines = Vec::new();
        let command = match line
            .split_once(' ')
            .and_then(|(at, rest)| Some((time(at)?, rest)))
        {
            Some((at, rest)) => {
                lines.extend(self.pass(at));
                rest
            }
            None => line,
        };
        lines.extend(self.command(command)?);
        Ok(lines)
    }

    /// Lets time pass up to a moment, deadline by deadline.
    fn pass(&mut self, until: Timestamp) -> Vec<String> {
        let mut lines = Vec::new();
        if self.stopped {
            self.now = until;
            return lines;
        }
        while let Some(due) = self.world.desk.next_deadline().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            let effects = self.world.tick(self.now);
            let at = clock(self.now);
            lines.extend((self.names.lines(&effects).iter()).map(|line| format!("{at} {line}")));
        }
        self.now = until;
        lines
    }

    fn command(&mut self, line: &str) -> Result<Vec<String>, String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["time", "passes"] => Ok(Vec::new()),
            ["show"] => Ok(self.show()),
            ["figures"] => Ok(figures::lines(&self.world, self.now)),
            ["stop"] => {
                self.stopped = true;
                Ok(Vec::new())
            }
            ["wakes"] => {
                self.stopped = false;
                let effects = self.world.leap(self.now);
                Ok(self.names.lines(&effects))
            }
            ["restart"] => {
                self.stopped = false;
                let effects = self.world.restart(self.now);
                self.attached.clear();
                Ok(self.names.lines(&effects))
            }
            ["queue", id, rules @ ..] => {
                let queue = rules
                    .iter()
                    .try_fold(queue(id), |queue, rule| set(queue, rule))?;
                self.queues.retain(|known| known.id != queue.id);
                self.queues.push(queue);
                let queues = self.queues.clone();
                Ok(self.give(Command::SetQueues(queues)))
            }
            ["house", rules @ ..] => {
                let house = HouseRules::default();
                let house = rules
                    .iter()
                    .try_fold(house, |house, rule| decree(house, rule))?;
                Ok(self.give(Command::SetHouseRules(house)))
            }
            ["agent", id, "serves", queues @ ..] => Ok(self.give(Command::CreateAgent(NewAgent {
                id: slug(id)?,
                display_name: String::new(),
                password: None,
                supervisor: false,
                capacity: 1,
                queues: queues.iter().map(|id| queue(id).id).collect(),
            }))),
            ["mail", "needing", rest @ ..] => {
                let ends = rest.iter().position(|word| *word == "for");
                let (skills, rest) = rest.split_at(ends.ok_or("mail for whom?")?);
                let skills = skills.iter().map(|skill| (*skill).to_owned()).collect();
                self.mail(
                    rest,
                    Handling {
                        skills,
                        ..Handling::default()
                    },
                )
            }
            ["mail", "at", priority, rest @ ..] => {
                let priority = priority.parse().map_err(|_| "at which priority?")?;
                self.mail(
                    rest,
                    Handling {
                        priority,
                        ..Handling::default()
                    },
                )
            }
            ["mail", rest @ ..] => self.mail(rest, Handling::default()),
            [name, "is", "moved", "to", priority] => {
                let interaction = *pick(&self.names.interactions, 'i', name)?;
                let priority = priority.parse().map_err(|_| "to which priority?")?;
                Ok(self.give(Command::Prioritise {
                    interaction,
                    priority,
                }))
            }
            ["why", "not", name, "to", agent] => {
                let interaction = *pick(&self.names.interactions, 'i', name)?;
                let desk = &self.world.desk;
                let why = desk.explain(self.now, interaction, &slug(agent)?);
                Ok((why.ok_or("no such pair")?.iter())
                    .map(|hindrance| format!("{agent}: {hindrance}"))
                    .collect())
            }
            [agent, "can", skills @ ..] => {
                let skills = skills.iter().map(|text| {
                    let (name, level) = asked(text).ok_or("no such skill")?;
                    Ok((name.to_owned(), level))
                });
                let changes = AgentChanges {
                    skills: Some(skills.collect::<Result<Skills, String>>()?),
                    ..AgentChanges::default()
                };
                let agent = slug(agent)?;
                Ok(self.give(Command::UpdateAgent { agent, changes }))
            }
            ["held", "mail", rest @ ..] => {
                let work = Work::Held {
                    reason: HoldReason::Rule("suspicious".into()),
                    aside: None,
                };
                self.mail(
                    rest,
                    Handling {
                        work,
                        ..Handling::default()
                    },
                )
            }
            ["quiet", "mail", rest @ ..] => {
                let work = Work::Quiet;
                self.mail(
                    rest,
                    Handling {
                        work,
                        ..Handling::default()
                    },
                )
            }
            ["machine's", "mail", rest @ ..] => {
                let by_machine = true;
                self.mail(
                    rest,
                    Handling {
                        by_machine,
                        ..Handling::default()
                    },
                )
            }
            ["pause", "queue", id, why @ ..] => Ok(self.give(Command::PauseQueue {
                queue: slug(id)?,
                reason: why.join(" "),
            })),
            ["resume", "queue", id] => Ok(self.give(Command::ResumeQueue { queue: slug(id)? })),
            ["alert", "about", name, "is", "cleared"] => {
                let message = *pick(&self.names.messages, 'm', name)?;
                Ok(self.give(Command::ClearAlert(Concern::DeliveryRefused(message))))
            }
            [name, "is", "released"] => {
                let interaction = *pick(&self.names.interactions, 'i', name)?;
                Ok(self.give(Command::Release { interaction }))
            }
            [name, "is", "dismissed"] => {
                let interaction = *pick(&self.names.interactions, 'i', name)?;
                Ok(self.give(Command::Dismiss { interaction }))
            }
            [name, "is", "merged", "into", other] => {
                let (case, into) = (Box::new(self.case(name)?), Box::new(self.case(other)?));
                Ok(self.give(Command::MergeCase { case, into }))
            }
            ["feed", "of", name] => self.feed(name),
            ["tokens", "of", name, "are", "revoked"] => {
                let case = Box::new(self.case(name)?);
                Ok(self.give(Command::RevokeTokens { case }))
            }
            [message, "bounces"] => self.bounce(message),
            [message, rest @ ..] if message.starts_with('m') && number(message, 'm').is_some() => {
                let message = *pick(&self.names.messages, 'm', message)?;
                let command = submission(message, rest)?;
                Ok(self.give(command))
            }
            [agent, "may", "hold", count] => {
                let capacity = Some(count.parse().map_err(|_| "how many?")?);
                let changes = AgentChanges {
                    capacity,
                    ..AgentChanges::default()
                };
                Ok(self.give(Command::UpdateAgent {
                    agent: slug(agent)?,
                    changes,
                }))
            }
            [agent, "is", how @ ("disabled" | "enabled")] => {
                let changes = AgentChanges {
                    disabled: Some(*how == "disabled"),
                    ..AgentChanges::default()
                };
                Ok(self.give(Command::UpdateAgent {
                    agent: slug(agent)?,
                    changes,
                }))
            }
            [agent, "is", "removed"] => {
                let agent = slug(agent)?;
                Ok(self.give(Command::DeleteAgent { agent }))
            }
            ["supervisor", lea, ..] => self.supervisor(lea, line),
            [agent, "joins", queue, weight @ ..] => Ok(self.give(Command::JoinQueue {
                agent: slug(agent)?,
                queue: slug(queue)?,
                weight: match weight {
                    [] => None,
                    ["with", weight] => Some(weight.parse().map_err(|_| "how much?")?),
                    _ => return Err("with how much?".into()),
                },
            })),
            [agent, "leaves", queue] => Ok(self.give(Command::LeaveQueue {
                agent: slug(agent)?,
                queue: slug(queue)?,
            })),
            [agent, "starts"] => {
                let mut lines = self.sign_in(agent, false, Some(Requested::Available))?;
                lines.extend(self.attach(agent)?);
                Ok(lines)
            }
            [agent, "signs", "in"] => self.sign_in(agent, false, None),
            [agent, "signs", "in", "as", "available"] => {
                self.sign_in(agent, false, Some(Requested::Available))
            }
            [agent, "takes", "over"] => self.sign_in(agent, true, None),
            [agent, "attaches"] => self.attach(agent),
            [agent, "old", "session", verb @ ..] | [agent, verb @ ..] => {
                let old = words.get(1) == Some(&"old");
                let id: AgentId = slug(agent.trim_end_matches("'s"))?;
                let sessions = self.sessions.get(&id).cloned().unwrap_or_default();
                let mut newest = sessions.iter().rev();
                let session = newest.nth(usize::from(old)).ok_or("no such session")?;
                let command = self.verb(*session, verb)?;
                Ok(self.give(command))
            }
            [] => Err("nothing to do".into()),
        }
    }

    /// What somebody who is no agent does to those who are.
    fn supervisor(&mut self, lea: &str, line: &str) -> Result<Vec<String>, String> {
        let (line, note) = line.split_once(": ").unwrap_or((line, ""));
        let note = note.to_owned();
        let words: Vec<&str> = line.split_whitespace().collect();
        let command = match &words[2..] {
            ["sets", agent, wish @ ..] => Command::ForcePresence {
                agent: slug(agent)?,
                state: requested(wish)?,
                note,
            },
            ["signs", agent, "out", more @ ..] => {
                let sessions = self.sessions.get(&slug(agent)?);
                let session = sessions.and_then(|sessions| sessions.last().copied());
                let session = session.unwrap_or(nobody());
                Command::ForceSignOut {
                    session,
                    requeue: more == ["and", "takes", "all"],
                }
            }
            ["notes", name] => Command::AddNote {
                case: Box::new(self.case(name)?),
                text: note,
            },
            ["moves", name, "to", "queue", queue] => Command::Reassign {
                interaction: *pick(&self.names.interactions, 'i', name)?,
                to: Destination::Queue(slug(queue)?),
                note,
            },
            ["gives", name, "to", agent] => Command::Reassign {
                interaction: *pick(&self.names.interactions, 'i', name)?,
                to: Destination::Agent(slug(agent)?),
                note,
            },
            ["would", act @ ..] => {
                let bulk = self.bulk(act, note)?;
                return Ok(match self.world.desk.rehearse(&bulk) {
                    Ok((treated, more)) => self.names.treated(&treated, more),
                    Err(refusal) => vec![format!("refused: {refusal}")],
                });
            }
            ["together", act @ ..] => Command::Bulk(Box::new(self.bulk(act, note)?)),
            ["tells", "everybody"] => notice(&[], &[], note)?,
            ["tells", "all", "of", queues @ ..] => notice(&[], queues, note)?,
            ["tells", agents @ ..] => notice(agents, &[], note)?,
            _ => return Err("supervisors do not do that".into()),
        };
        Ok(self.give_by(Actor::Supervisor(lea.to_owned()), command))
    }

    /// One act on many, and which: `dismiss all in support`, `move i1 i2 to sales`.
    fn bulk(&self, words: &[&str], note: String) -> Result<Bulk, String> {
        let (act, words) = match words {
            ["dismiss", which @ ..] => (BulkAct::Dismiss, which),
            ["release", which @ ..] => (BulkAct::Release, which),
            ["requeue", which @ ..] => (BulkAct::Requeue, which),
            ["move", which @ .., "to", queue] => (BulkAct::Move(slug(queue)?), which),
            ["raise", which @ .., "to", number] => {
                let priority = number.parse().map_err(|_| "to what?")?;
                (BulkAct::Prioritise(priority), which)
            }
            _ => return Err("do what to many?".into()),
        };
        let mut selection = Selection::default();
        match words {
            ["all", which @ ..] => {
                for pair in which.chunks(2) {
                    match pair {
                        ["in", queue] => selection.queue = Some(slug(queue)?),
                        ["of", agent] => selection.agent = Some(slug(agent)?),
                        ["from", sender] => selection.sender = Some((*sender).to_owned()),
                        ["before", time] => {
                            selection.until = Some(self::time(time).ok_or("before when?")?);
                        }
                        ["since", time] => {
                            selection.from = Some(self::time(time).ok_or("since when?")?);
                        }
                        ["now", phase] => {
                            selection.phases.insert(match *phase {
                                "held" => Phase::Held,
                                "queued" => Phase::Queued,
                                "offered" => Phase::Offered,
                                "active" => Phase::Active,
                                "parked" => Phase::Parked,
                                _ => return Err("now what?".into()),
                            });
                        }
                        _ => return Err("all of what?".into()),
                    }
                }
            }
            named => {
                for name in named {
                    let id = *pick(&self.names.interactions, 'i', name)?;
                    selection.named.insert(id);
                }
            }
        }
        Ok(Bulk {
            selection,
            act,
            note,
        })
    }

    /// A letter: `for QUEUE…`, `of CASE for QUEUE…` or `after CASE for QUEUE…`.
    fn mail(&mut self, words: &[&str], handling: Handling) -> Result<Vec<String>, String> {
        let (thread, queues) = match words {
            ["for", queues @ ..] => (Thread::New(origin()), queues),
            ["of", case, "for", queues @ ..] => {
                (Thread::Joins(Box::new(self.case(case)?), origin()), queues)
            }
            ["after", case, "for", queues @ ..] => {
                (Thread::Linked(self.case(case)?.number, origin()), queues)
            }
            _ => return Err("mail for whom?".into()),
        };
        let queues: Result<Vec<QueueId>, String> = queues.iter().map(|id| slug(id)).collect();
        Ok(self.give(handled(&queues?, thread, handling)))
    }

    /// A proven report that a mail of ours did not arrive.
    fn bounce(&mut self, message: &str) -> Result<Vec<String>, String> {
        let id = *pick(&self.names.messages, 'm', message)?;
        let outbound = self.world.kept.outbound[&id].clone();
        let sent_for = self.world.kept.interactions[&outbound.interaction].clone();
        let case = Box::new(self.world.case(sent_for.case));
        let queues = [sent_for.queue];
        let letter = handled(&queues, Thread::Joins(case, origin()), Handling::default());
        let Command::Ingest(mut letter) = letter else {
            return Err("a letter is ingested".into());
        };
        letter.report = Some(Box::new(Report {
            message: id,
            recipient: Some(0),
            saying: Saying::Delivery(vec![RecipientReport {
                address: None,
                action: Action::Failed,
                status: Some([5, 2, 2]),
                code: None,
                diagnostic: "mailbox full".into(),
            }]),
            settled: Some(Box::new(outbound)),
        }));
        Ok(self.give(Command::Ingest(letter)))
    }

    /// A case as the store has it.
    fn case(&self, name: &str) -> Result<Case, String> {
        let number = pick(&self.names.cases, 'c', name)?;
        Ok(self.world.kept.cases[number].clone())
    }

    fn sign_in(
        &mut self,
        agent: &str,
        takeover: bool,
        initial: Option<Requested>,
    ) -> Result<Vec<String>, String> {
        let agent: AgentId = slug(agent)?;
        let lines = self.give(Command::OpenSession {
            agent: agent.clone(),
            takeover,
            initial,
            // Long enough for a story in which nobody mentions it.
            lease: Some(Duration::from_secs(300)),
            client: String::new(),
        });
        let session = self.world.session(&agent);
        let known = self.sessions.entry(agent).or_default();
        known.extend(session.filter(|session| known.last() != Some(session)));
        Ok(lines)
    }

    fn attach(&mut self, agent: &str) -> Result<Vec<String>, String> {
        let agent: AgentId = slug(agent)?;
        let session = (self.world.session(&agent)).unwrap_or(nobody());
        self.streams += 1;
        self.attached.insert(session, self.streams);
        let stream = self.streams;
        Ok(self.give(Command::AttachStream { session, stream }))
    }

    /// What an agent does within a session.
    fn verb(&self, session: SessionId, words: &[&str]) -> Result<Command, String> {
        let offer = |name: &str| pick(&self.names.offers, 'o', name).copied();
        let interaction = |name: &str| pick(&self.names.interactions, 'i', name).copied();
        Ok(match words {
            ["renews"] => Command::RenewSession {
                session,
                acked: None,
            },
            ["signs", "out"] => Command::CloseSession {
                session,
                requeue: false,
            },
            ["signs", "out", "and", "lays", "down"] => Command::CloseSession {
                session,
                requeue: true,
            },
            ["detaches"] => Command::DetachStream {
                session,
                stream: *self.attached.get(&session).unwrap_or(&0),
            },
            ["wants", state @ ..] => Command::SetPresence {
                session,
                state: requested(state)?,
            },
            ["sees", name] => Command::AcknowledgeOffer {
                session,
                offer: offer(name)?,
            },
            ["accepts", name] => Command::AcceptOffer {
                session,
                offer: offer(name)?,
            },
            ["rejects", name, "then", next @ ..] => {
                reject(session, offer(name)?, "", Some(requested(next)?))
            }
            ["rejects", name, reason] => reject(session, offer(name)?, reason, None),
            ["rejects", name] => reject(session, offer(name)?, "", None),
            ["replies", name] => self.reply(session, interaction(name)?, None, None)?,
            ["replies", name, "from", address] => {
                self.reply(session, interaction(name)?, Some(address), None)?
            }
            ["replies", name, "having", "read", message] => {
                let seen = *pick(&self.names.messages, 'm', message)?;
                self.reply(session, interaction(name)?, None, Some(seen))?
            }
            ["forwards", name, rest @ ..] => {
                let id = interaction(name)?;
                let mut mail = forwarded(session, id, self.own_address(id)?);
                mail.slot = self.slot(id, &mail.to.address);
                mail.latest_seen = self.read(rest)?;
                Command::Forward(Box::new(mail))
            }
            ["begins", "a", "mail", "from", address] => email(session, (*address).to_owned(), None),
            ["begins", "a", "mail", "of", case] => {
                let case = self.case(case)?;
                email(session, String::new(), Some(case))
            }
            ["sends", name, rest @ ..] => {
                let id = interaction(name)?;
                let mut mail = answer(session, id, self.own_address(id)?);
                mail.latest_seen = self.read(rest)?;
                Command::SendEmail(Box::new(mail))
            }
            ["writes", "for", name] => {
                let id = interaction(name)?;
                saved(session, id, "Hello", self.world.kept.drafts.get(&id))
            }
            ["attaches", "a", "file", "to", name] => file(session, interaction(name)?, 1000),
            ["discards", name] => Command::DiscardEmail {
                session,
                interaction: interaction(name)?,
            },
            ["ends", name] => Command::EndInteraction {
                session,
                interaction: interaction(name)?,
                note: String::new(),
            },
            ["transfers", name, "to", queue] => Command::Transfer {
                session,
                interaction: interaction(name)?,
                queue: slug(queue)?,
                note: String::new(),
            },
            ["requeues", name] => Command::Requeue {
                session,
                interaction: interaction(name)?,
                note: String::new(),
            },
            ["cancels", name] => Command::Cancel {
                session,
                interaction: interaction(name)?,
                cause: CancelCause::Spam,
                note: String::new(),
            },
            ["pulls", "from", queue] => Command::Pull {
                session,
                queue: Some(slug(queue)?),
                interaction: None,
            },
            ["pulls", name] => Command::Pull {
                session,
                queue: None,
                interaction: Some(interaction(name)?),
            },
            ["parks", name, "for", seconds] => Command::Park {
                session,
                interaction: interaction(name)?,
                time: Duration::from_secs(seconds.parse().map_err(|_| "how long?")?),
                note: String::new(),
            },
            ["resumes", name] => Command::Resume {
                session,
                interaction: interaction(name)?,
            },
            ["saves", name, code] => Command::SaveWrapUp {
                session,
                interaction: interaction(name)?,
                notes: None,
                disposition: Some((*code).to_owned()),
            },
            ["extends", name] => Command::ExtendWrapUp {
                session,
                interaction: interaction(name)?,
            },
            ["completes", name, rest @ ..] => Command::CompleteWrapUp {
                session,
                interaction: interaction(name)?,
                notes: None,
                disposition: match rest {
                    ["as", code] => Some((*code).to_owned()),
                    _ => None,
                },
                next: match rest {
                    [] | ["as", _] => None,
                    ["then", next @ ..] => Some(requested(next)?),
                    _ => return Err("then what?".into()),
                },
            },
            _ => return Err("no such command".into()),
        })
    }

    fn reply(
        &self,
        session: SessionId,
        id: InteractionId,
        from: Option<&str>,
        seen: Option<MessageId>,
    ) -> Result<Command, String> {
        let found = (self.world.kept.interactions.get(&id)).ok_or("no such interaction")?;
        let own = || mailbox(&found.queue);
        let mut reply = answer(session, id, from.map_or_else(own, str::to_owned));
        reply.latest_seen = seen;
        Ok(Command::Reply(Box::new(reply)))
    }

    /// The address of its queue that an interaction is answered from.
    fn own_address(&self, id: InteractionId) -> Result<String, String> {
        let found = self.world.kept.interactions.get(&id);
        found
            .map(|found| mailbox(&found.queue))
            .ok_or("no such interaction".into())
    }

    /// The slot of somebody in the case of an interaction.
    fn slot(&self, id: InteractionId, address: &str) -> u16 {
        let case = self.world.kept.interactions[&id].case;
        self.world.kept.cases[&case].slot(address)
    }

    /// `having read m1`, or nothing.
    fn read(&self, words: &[&str]) -> Result<Option<MessageId>, String> {
        match words {
            [] => Ok(None),
            ["having", "read", message] => {
                pick(&self.names.messages, 'm', message).copied().map(Some)
            }
            _ => Err("having read what?".into()),
        }
    }

    fn give(&mut self, command: Command) -> Vec<String> {
        let done = self.world.handle(self.now, command);
        self.said(done)
    }

    fn give_by(&mut self, by: Actor, command: Command) -> Vec<String> {
        let done = self.world.handle_by(self.now, Some(by), command);
        self.said(done)
    }

    fn said(&mut self, done: Result<Effects, Refusal>) -> Vec<String> {
        match done {
            Ok(effects) => self.names.lines(&effects),
            Err(refusal) => vec![format!(
                "refused: {}",
                self.names.short(&refusal.to_string())
            )],
        }
    }

    /// What the feed of a case has besides mail.
    fn feed(&mut self, name: &str) -> Result<Vec<String>, String> {
        let case = self.case(name)?;
        let mut lines = Vec::new();
        for entry in self.world.kept.feed.values().cloned().collect::<Vec<_>>() {
            if entry.case == case.number || case.parts.contains(&entry.case) {
                let about = entry.interaction.map(|id| self.names.interaction(id));
                let about = about.unwrap_or_else(|| "the case".into());
                let what = format!("{:?}", entry.happening);
                lines.push(format!("{} {about}: {what}", clock(entry.time)));
            }
        }
        Ok(lines)
    }

    /// The desk as it is.
    fn show(&mut self) -> Vec<String> {
        let desk = self.world.desk.clone();
        let mut lines = Vec::new();
        for (id, queue) in desk.queues() {
            let line: Vec<String> = queue
                .waiting()
                .map(|id| self.names.interaction(id))
                .collect();
            let line = if line.is_empty() {
                "nobody".into()
            } else {
                line.join(" ")
            };
            lines.push(format!("{id}: {line} waiting"));
        }
        for found in desk.interactions().values() {
            if !matches!(found.state, State::Queued) {
                let name = self.names.interaction(found.id);
                lines.push(format!("{name}: {}", found.state.name()));
            }
        }
        for id in desk.agents().keys() {
            let presence = desk.presence(id).unwrap();
            lines.push(format!("{id}: {}", names::shown(&presence)));
        }
        lines
    }
}

/// A session that never was.
fn nobody() -> SessionId {
    SessionId::new(Timestamp::ZERO, 0)
}

fn notice(agents: &[&str], queues: &[&str], text: String) -> Result<Command, String> {
    Ok(Command::PostNotice {
        agents: (agents.iter().map(|id| slug(id))).collect::<Result<_, _>>()?,
        queues: (queues.iter().map(|id| slug(id))).collect::<Result<_, _>>()?,
        text,
    })
}

fn reject(session: SessionId, offer: OfferId, why: &str, next: Option<Requested>) -> Command {
    Command::RejectOffer {
        session,
        offer,
        reason: why.to_owned(),
        next,
    }
}

/// A time of day on the one day of all stories.
fn time(word: &str) -> Option<Timestamp> {
    let (time, fraction) = word.split_once('.').unwrap_or((word, "0"));
    let parts: Vec<u64> = time
        .split(':')
        .map(str::parse)
        .collect::<Result<_, _>>()
        .ok()?;
    let [hour, minute, second] = parts.as_slice() else {
        return None;
    };
    let midnight = nine() - Duration::from_secs(9 * 3600);
    let millis = fraction.parse().ok()?;
    let seconds = hour * 3600 + minute * 60 + second;
    Some(midnight + Duration::from_secs(seconds) + Duration::from_millis(millis))
}

fn number(word: &str, letter: char) -> Option<usize> {
    word.strip_prefix(letter)?.parse().ok()
}

/// The thing that a short name means.
fn pick<'a, T>(known: &'a [T], letter: char, word: &str) -> Result<&'a T, String> {
    number(word, letter)
        .and_then(|number| known.get(number.checked_sub(1)?))
        .ok_or_else(|| format!("no {word} yet"))
}

fn slug<T: std::str::FromStr>(word: &str) -> Result<T, String> {
    word.parse().map_err(|_| format!("{word} is no slug"))
}

fn requested(words: &[&str]) -> Result<Requested, String> {
    match words {
        ["available"] => Ok(Requested::Available),
        ["offline"] => Ok(Requested::WorkOffline(String::new())),
        ["offline", why] => Ok(Requested::WorkOffline((*why).to_owned())),
        _ => Err("available, or offline with a reason".into()),
    }
}

/// A queue with one rule changed; times in seconds.
fn set(mut queue: QueueSettings, rule: &str) -> Result<QueueSettings, String> {
    let (name, value) = rule.split_once('=').ok_or("a rule has a value")?;
    let count = || value.parse::<u64>().map_err(|_| "not a number");
    let action = || match value {
        "offline" => Ok(DeclineAction::WorkOffline),
        "cooldown" => Ok(DeclineAction::Cooldown),
        _ => Err("offline or cooldown"),
    };
    match name {
        "offer" => queue.offer_timeout = Duration::from_secs(count()?),
        "wrap-up" => queue.post_processing = Some(Duration::from_secs(count()?)),
        "rejected" => queue.rejected_action = action()?,
        "missed" => queue.missed_action = action()?,
        "limit" => queue.missed_limit = u32::try_from(count()?).map_err(|_| "too many")?,
        "cooldown" => queue.cooldown = Duration::from_secs(count()?),
        "strategy" => {
            queue.strategy = match value {
                "longest_idle" => Strategy::LongestIdle,
                "round_robin" => Strategy::RoundRobin,
                "most_skilled" => Strategy::MostSkilled,
                "least_loaded" => Strategy::LeastLoaded,
                _ => return Err("no such strategy".into()),
            }
        }
        "preferred" => queue.preferred_agent = Duration::from_secs(count()?),
        "relax" => queue.skill_relax = Some(Duration::from_secs(count()?)),
        "ageing" => {
            let (every, max) = value.split_once('/').ok_or("ageing=EVERY/MAX")?;
            queue.ageing = Some(Ageing {
                every: Duration::from_secs(every.parse().map_err(|_| "not a number")?),
                max: max.parse().map_err(|_| "not a number")?,
            });
        }
        "overflow" => {
            let (to, after) = value.split_once(':').ok_or("to where, and when?")?;
            let after = after.parse().map_err(|_| "not a number")?;
            queue.overflow = Some(Overflow {
                to: slug(to)?,
                after: Duration::from_secs(after),
            });
        }
        "accept" => queue.service.accept = Some(Duration::from_secs(count()?)),
        "answer" => queue.service.answer = Some(Duration::from_secs(count()?)),
        "close" => queue.service.close = Some(Duration::from_secs(count()?)),
        "warn" => queue.service.warn = value.parse().map_err(|_| "not a number")?,
        "open" => queue.hours = Some(daily(value)?),
        "pull" => queue.pull = value == "on",
        "transfers" => queue.accepts_transfers = value == "on",
        "cooldown-max" => queue.cooldown_max = Duration::from_secs(count()?),
        "rejects" => queue.rejected_limit = u32::try_from(count()?).map_err(|_| "too many")?,
        "reject" => queue.may_reject = value == "yes",
        "clock" if value == "shown" => queue.offer_clock = OfferClock::Shown,
        "codes" if value == "required" => queue.codes = CodePolicy::Required,
        "codes" if value == "hold" => queue.codes = CodePolicy::Hold,
        "extensions" => queue.extensions_max = u32::try_from(count()?).map_err(|_| "too many")?,
        "extension" => queue.extension = Duration::from_secs(count()?),
        "takes-back" => queue.takes_back = value == "yes",
        "max" => queue.waiting_max = usize::try_from(count()?).map_err(|_| "too many")?,
        _ => return Err(format!("no rule {name}")),
    }
    Ok(queue)
}

/// Hours that are the same on each day, in UTC: `09:00-12:00+13:00-17:00`.
fn daily(ranges: &str) -> Result<Arc<Hours>, String> {
    let minutes = |text: &str| {
        let (hour, minute) = text.split_once(':')?;
        Some(hour.parse::<u16>().ok()? * 60 + minute.parse::<u16>().ok()?)
    };
    let span = |range: &str| {
        let (from, to) = range.split_once('-')?;
        Span::new(minutes(from)?, minutes(to)?)
    };
    let spans: Option<Vec<Span>> = ranges.split('+').map(span).collect();
    let spans = spans.ok_or("no hours")?;
    let week = std::array::from_fn(|_| spans.clone());
    Ok(Arc::new(Hours::new(Zone::default(), week, BTreeMap::new())))
}

/// The rules for every agent with one changed.
fn decree(mut house: HouseRules, rule: &str) -> Result<HouseRules, String> {
    match rule.split_once('=').ok_or("a rule has a value")? {
        ("zone", zone) => house.zone = slug(zone)?,
        ("after-work", "return") => house.after_work = AfterWork::Return,
        ("wrap-up", "slot") => house.wrap_up_holds_all = false,
        ("reason", reason) => {
            let (kind, code) = reason.split_once(':').ok_or("kind:code")?;
            let kind = match kind {
                "offline" => ReasonKind::Offline,
                "reject" => ReasonKind::Reject,
                "wrap-up" => ReasonKind::WrapUp,
                _ => return Err(format!("no kind {kind}")),
            };
            house.reasons.insert((kind, code.to_owned()), String::new());
        }
        _ => return Err(format!("no rule {rule}")),
    }
    Ok(house)
}

/// What the submitter reports.
fn submission(message: MessageId, words: &[&str]) -> Result<Command, String> {
    let said = || Diagnostic::ours("said the MTA");
    let outcome = match words {
        ["handed", "over"] => return Ok(Command::HandOver { message }),
        ["again"] => {
            return Ok(Command::RetryDelivery {
                message,
                settled: None,
            });
        }
        ["accepted"] => Outcome::Accepted {
            reply: said(),
            queue_id: Some("4XYZ".into()),
            refused: Vec::new(),
        },
        ["deferred"] => Outcome::Temporary(said()),
        ["refused"] => Outcome::Permanent {
            diagnostic: said(),
            refused: Vec::new(),
        },
        ["lost"] => Outcome::Lost(said()),
        _ => return Err("no such report".into()),
    };
    Ok(Command::FinishSubmission {
        message,
        outcome,
        sent_for: None,
    })
}
