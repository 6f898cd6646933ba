//! The stage of the stories: a world, with names for what is in it, and the commands that a line
//! can give. What the lines are is written in `tests/desk.rs`.

use std::collections::BTreeMap;
use std::time::Duration;

use postroom::desk::skill::{Skills, asked};
use postroom::desk::{
    Actor, AgentChanges, Bulk, BulkAct, CancelCause, Case, Command, Concern, Destination, Effects,
    Handling, HoldReason, HouseRules, NewAgent, Phase, QueueSettings, Refusal, Report, Requested,
    Selection, State, Thread, Work,
};
use postroom::id::{AgentId, InteractionId, MessageId, QueueId, SessionId};
use postroom::mail::report::{Action, RecipientReport};
use postroom::outbound::hearing::Saying;
use postroom::time::Timestamp;

use crate::figures;
use crate::mails::{email, file, forwarded, saved, taken_back};
use crate::names::{self, Names};
use crate::words::*;
use crate::world::{World, answer, clock, handled, mailbox, nine, origin, queue};

/// The world, with names for what is in it.
pub(crate) struct Stage {
    pub(crate) world: World,
    pub(crate) names: Names,
    pub(crate) now: Timestamp,
    queues: Vec<QueueSettings>,
    streams: u64,
    pub(crate) attached: BTreeMap<SessionId, u64>,
    pub(crate) sessions: BTreeMap<AgentId, Vec<SessionId>>,
    /// Between two processes nobody looks at deadlines.
    stopped: bool,
}

impl Stage {
    pub(crate) fn new(world: World) -> Self {
        Self {
            world,
            names: Names::default(),
            now: nine(),
            queues: Vec::new(),
            streams: 0,
            attached: BTreeMap::new(),
            sessions: BTreeMap::new(),
            stopped: false,
        }
    }

    /// Carries out one line, at its time.
    pub(crate) fn line(&mut self, line: &str) -> Result<Vec<String>, String> {
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
            ["a", "round", "begins"] => {
                self.world.begin_round();
                Ok(Vec::new())
            }
            ["it", "is", "written"] => {
                self.world.sync();
                Ok(Vec::new())
            }
            ["the", "power", "fails", "after", count] => {
                self.stopped = true;
                self.world
                    .cut(count.parse().map_err(|_| "after how much?")?);
                Ok(Vec::new())
            }
            ["the", "store", "fails"] => {
                self.stopped = true;
                self.world.fail(self.now);
                Ok(Vec::new())
            }
            ["the", "store", "works", "again"] => {
                self.stopped = false;
                let effects = self.world.tick(self.now);
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
                            selection.until = Some(crate::words::time(time).ok_or("before when?")?);
                        }
                        ["since", time] => {
                            selection.from = Some(crate::words::time(time).ok_or("since when?")?);
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
            ["of", case, "for", queues @ ..] => (
                Thread::Joins(Box::new(self.living(case)?), origin()),
                queues,
            ),
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
        let outbound = self.world.kept.outbound.get(&id).cloned();
        let outbound = outbound.ok_or_else(|| format!("{message} was lost"))?;
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

    /// A case, or the one that it was merged into.
    fn living(&self, name: &str) -> Result<Case, String> {
        Ok(self.world.case(self.case(name)?.number))
    }

    /// A case as the store has it.
    fn case(&self, name: &str) -> Result<Case, String> {
        let number = pick(&self.names.cases, 'c', name)?;
        let case = self.world.kept.cases.get(number).cloned();
        case.ok_or_else(|| format!("{name} was lost"))
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
                let case = self.living(case)?;
                email(session, String::new(), Some(case))
            }
            ["sends", name, rest @ ..] => {
                let id = interaction(name)?;
                let mut mail = answer(session, id, self.own_address(id)?);
                mail.latest_seen = self.read(rest)?;
                Command::SendEmail(Box::new(mail))
            }
            ["attaches", "a", "file", "to", name] => file(session, interaction(name)?, 1000),
            ["writes", "for", name] => {
                let id = interaction(name)?;
                saved(session, id, "Hello", self.world.kept.drafts.get(&id))
            }
            ["takes", "back", name] => taken_back(session, *pick(&self.names.messages, 'm', name)?),
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
    pub(crate) fn show(&mut self) -> Vec<String> {
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
