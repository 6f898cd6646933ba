//! The desk decides who is offered what, and what follows.
//!
//! It is a machine without hands: it is told the time and a command, and answers with effects or
//! a refusal. It knows no disk, no socket, no clock and no chance, so the same commands at the
//! same times give the same effects, byte for byte. What it holds is what is open: queues,
//! agents, sessions, offers, unfinished interactions with their cases, and the spool.
//!
//! Each noun has a file; the verbs stand with the noun that they move.

pub mod actor;
pub mod agent;
pub mod bulk;
pub mod case;
pub mod command;
pub mod effect;
pub mod explain;
pub mod feed;
pub mod figures;
pub mod from_address;
pub mod hours;
pub mod interaction;
pub mod message;
pub mod offer;
pub mod queue;
pub mod refusal;
pub mod service;
pub mod session;
pub mod skill;
pub mod upload;
pub mod wording;
pub mod zone;

mod accounts;
mod acknowledging;
mod alerts;
mod concluding;
mod counting;
mod delivery;
mod drafting;
mod filing;
mod floor;
mod handling;
mod hands;
mod holding;
mod house;
mod merging;
mod offering;
mod opening;
mod overflowing;
mod parking;
mod policy;
mod presence;
mod prioritising;
mod pulling;
mod reassigning;
mod reporting;
mod restore;
mod routing;
mod saving;
mod sending;
mod setback;
mod signing;
mod supervising;
mod timers;
mod transferring;
mod uploading;
mod wrapping;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub use accounts::CAPACITY_MAX;
pub use actor::Actor;
pub use agent::{Agent, AgentState, Presence, PresenceCause, Requested, Role};
pub use alerts::{Alert, Concern, ROUNDS_ALERT};
pub use bulk::{BULK_MAX, Bulk, BulkAct, Obstacle, Phase, Selection, Treated};
pub use case::{Case, MERGES_MAX, PEOPLE_MAX, Reopening};
pub use command::{
    AgentChanges, Command, Destination, Email, Filing, Handling, Ingest, NewAgent, Outgoing,
    Target, Thread, Work,
};
pub use effect::{
    Answer, AssignCause, Change, Counters, Effects, Event, Fact, UnassignReason, WrapUpOutcome,
};
pub use explain::Hindrance;
pub use feed::{FeedEntry, Happening, PARTS_MAX};
pub use figures::{AgentFigure, QueueFigure, Tally};
pub use from_address::FromAddress;
pub use hours::{Hours, Span};
pub use house::{AfterWork, HouseRules, ReasonKind};
pub use interaction::{CancelCause, HoldReason, Interaction, NO_MESSAGE, Outcome, State};
pub use message::{Correspondent, Direction, Message, Origin};
pub use offer::{Offer, OfferState, RescindCause};
pub use opening::{Opening, Pause};
pub use overflowing::Overflow;
pub use parking::{PARK_BOUNDS, PARKED_MAX};
pub use policy::Policy;
pub use prioritising::PRIORITY_MAX;
pub use queue::{
    COOLDOWN_MAX, CodePolicy, DeclineAction, Mailbox, OfferClock, Queue, QueueSettings,
};
pub use refusal::Refusal;
pub use reporting::Report;
pub use restore::Records;
pub use routing::{Ageing, Place, Preferred, Strategy, Turns, WEIGHT_DEFAULT, WEIGHT_MAX};
pub use service::{Goal, Service};
pub use session::{EndCause, Session, SessionView};
pub use supervising::{NOTICE_BYTES_MAX, NOTICE_READERS_MAX};
pub use upload::{NewUpload, Upload};
pub use uploading::{AGENT_UPLOADS_BYTES_MAX, UPLOADS_BYTES_MAX, UPLOADS_MAX};
pub use wording::{DraftFile, DraftKind, SavedDraft, Wording, WordingChanges};
pub use zone::{Day, Zone};

use acknowledging::Budget;
use agent::Load;
use concluding::{Draft, Pending};
use counting::Before;
use overflowing::Overdue;
use routing::{Seat, Standing};
use session::Link;
use timers::{Timer, Timers};

use crate::id::{AgentId, AttachmentId, InteractionId, OfferId, QueueId, SessionId};
use crate::mail::token::MainNumber;
use crate::outbound::message::Outbound;
use crate::outbound::spool::Spool;
use crate::time::Timestamp;

/// Shortest and longest lease that a client may ask for.
pub const LEASE_BOUNDS: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(300));

/// Longest code or short text of an agent's, in bytes: reason codes, dispositions, client names.
pub const CODE_BYTES_MAX: usize = 128;

/// Longest note, in bytes.
pub const NOTE_BYTES_MAX: usize = 16 << 10;

/// The desk. See the module.
#[derive(Debug, Clone, PartialEq)]
pub struct Desk {
    policy: Policy,
    counters: Counters,
    queues: BTreeMap<QueueId, Queue>,
    agents: BTreeMap<AgentId, Agent>,
    /// Agents who were removed.
    former: BTreeMap<AgentId, Agent>,
    sessions: BTreeMap<SessionId, (Session, Link)>,
    offers: BTreeMap<OfferId, Offer>,
    interactions: BTreeMap<InteractionId, Interaction>,
    cases: BTreeMap<MainNumber, Case>,
    spool: Spool,
    /// For what a draft is saved. The desk does not hold what it says.
    saved: BTreeSet<InteractionId>,
    /// The files that agents upload for what they write.
    uploads: BTreeMap<InteractionId, BTreeMap<AttachmentId, Upload>>,
    timers: Timers,

    // Derived from the above, kept so that nobody has to search.
    loads: BTreeMap<AgentId, Load>,
    session_of: BTreeMap<AgentId, SessionId>,
    /// Mails being written, by their cases.
    drafts: BTreeSet<(MainNumber, InteractionId)>,
    shown: BTreeMap<AgentId, AgentState>,
    /// Where each waiting interaction stands in the line of its queue.
    standings: BTreeMap<InteractionId, Standing>,
    /// Waiting interactions that are or may come to be kept for an agent.
    preferring: BTreeMap<AgentId, BTreeSet<InteractionId>>,
    /// Where each agent stands who could be offered something now.
    seats: BTreeMap<AgentId, Seat>,
    /// Interactions that somebody declined, and until when they rest before it is held against
    /// nobody any more.
    resting: BTreeMap<InteractionId, Timestamp>,

    /// What waits too long and could not go to another queue yet.
    overdue: Overdue,

    /// What supervisors should look at.
    alerts: BTreeMap<Concern, Alert>,

    /// How many acknowledgements went out of late.
    budget: Budget,

    /// Outbound records between [`Desk::restore`] and [`Desk::start`].
    restored_spool: Vec<Outbound>,
    draft: Draft,
}

impl Desk {
    /// An empty desk. A desk with a past is made by [`Desk::restore`].
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        let spool = Spool::new(policy.submissions);
        Self {
            policy,
            counters: Counters::default(),
            queues: BTreeMap::new(),
            agents: BTreeMap::new(),
            former: BTreeMap::new(),
            sessions: BTreeMap::new(),
            offers: BTreeMap::new(),
            interactions: BTreeMap::new(),
            cases: BTreeMap::new(),
            spool,
            saved: BTreeSet::new(),
            uploads: BTreeMap::new(),
            timers: Timers::default(),
            loads: BTreeMap::new(),
            session_of: BTreeMap::new(),
            drafts: BTreeSet::new(),
            shown: BTreeMap::new(),
            standings: BTreeMap::new(),
            preferring: BTreeMap::new(),
            seats: BTreeMap::new(),
            resting: BTreeMap::new(),
            overdue: Overdue::default(),
            alerts: BTreeMap::new(),
            budget: Budget::default(),
            restored_spool: Vec::new(),
            draft: Draft::default(),
        }
    }

    /// Does what the command asks, or says why not. What an agent's session asks for is its
    /// agent's act, the rest the gateway's own.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] means that nothing changed.
    pub fn handle(&mut self, now: Timestamp, command: Command) -> Result<Effects, Refusal> {
        let session = command.session().and_then(|id| self.sessions.get(&id));
        let by = session.map_or(Actor::System, |(session, _)| {
            Actor::Agent(session.agent.clone())
        });
        self.handle_by(now, by, command)
    }

    /// As [`Self::handle`], as the act of somebody, who is named in what is told of it.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] means that nothing changed.
    pub fn handle_by(
        &mut self,
        now: Timestamp,
        by: Actor,
        command: Command,
    ) -> Result<Effects, Refusal> {
        let command = self.unchanged(command)?;
        self.draft.actor = by;
        let pending = match command {
            // One condition a command; within another it would be about something else.
            Command::IfUnchanged { .. } => Err(Refusal::StateTransition(
                "a command has one condition at most",
            )),
            Command::SetQueues(queues) => self.set_queues(now, queues),
            Command::SetHouseRules(rules) => self.set_house_rules(now, rules),
            Command::CreateAgent(new) => self.create_agent(now, new),
            Command::UpdateAgent { agent, changes } => self.update_agent(now, &agent, changes),
            Command::DeleteAgent { agent } => self.delete_agent(now, &agent),
            Command::PauseQueue { queue, reason } => self.pause_queue(now, &queue, reason),
            Command::ResumeQueue { queue } => self.resume_queue(now, &queue),
            Command::SetPassword { agent, password } => self.set_password(&agent, password),
            Command::JoinQueue {
                agent,
                queue,
                weight,
            } => self.join_queue(now, &agent, &queue, weight),
            Command::LeaveQueue { agent, queue } => self.leave_queue(now, &agent, &queue),
            Command::OpenSession {
                agent,
                takeover,
                initial,
                lease,
                client,
            } => self.open_session(now, &agent, takeover, initial, lease, client),
            Command::RenewSession { session, acked } => self.renew_session(now, session, acked),
            Command::CloseSession { session, requeue } => self.close_session(now, session, requeue),
            Command::AttachStream { session, stream } => self.attach_stream(now, session, stream),
            Command::DetachStream { session, stream } => self.detach_stream(now, session, stream),
            Command::SetPresence { session, state } => self.set_presence(now, session, state),
            Command::AcknowledgeOffer { session, offer } => {
                self.acknowledge_offer(now, session, offer)
            }
            Command::AcceptOffer { session, offer } => self.accept_offer(now, session, offer),
            Command::RejectOffer {
                session,
                offer,
                reason,
                next,
            } => self.reject_offer(now, session, offer, reason, next),
            Command::Reply(mail) => self.reply(now, *mail),
            Command::Forward(mail) => self.forward(now, *mail),
            Command::StartEmail(email) => self.start_email(now, *email),
            Command::SendEmail(mail) => self.send_email(now, *mail),
            Command::DiscardEmail {
                session,
                interaction,
            } => self.discard_email(now, session, interaction),
            Command::SaveDraft {
                session,
                interaction,
                changes,
                based_on,
                known,
            } => {
                let known = known.map(|known| *known);
                self.save_draft(now, (session, interaction), *changes, based_on, known)
            }
            Command::AnnounceUpload {
                session,
                interaction,
                new,
            } => self.announce_upload(now, session, interaction, *new),
            Command::FinishUpload {
                session,
                interaction,
                upload,
                digest,
            } => self.finish_upload(now, session, (interaction, upload), digest),
            Command::DropUpload {
                session,
                interaction,
                upload,
            } => self.drop_upload(now, session, interaction, upload),
            Command::EndInteraction {
                session,
                interaction,
                note,
            } => self.end_interaction(now, session, interaction, note),
            Command::Transfer {
                session,
                interaction,
                queue,
                note,
            } => self.transfer(now, session, interaction, queue, note),
            Command::Requeue {
                session,
                interaction,
                note,
            } => self.requeue(now, session, interaction, note),
            Command::Cancel {
                session,
                interaction,
                cause,
                note,
            } => self.cancel(now, session, interaction, cause, note),
            Command::Pull {
                session,
                queue,
                interaction,
            } => self.pull(now, session, queue, interaction),
            Command::Park {
                session,
                interaction,
                time,
                note,
            } => self.park(now, session, interaction, time, note),
            Command::Resume {
                session,
                interaction,
            } => self.resume(now, session, interaction),
            Command::SaveWrapUp {
                session,
                interaction,
                notes,
                disposition,
            } => self.save_wrap_up(now, session, interaction, notes, disposition),
            Command::ExtendWrapUp {
                session,
                interaction,
            } => self.extend_wrap_up(now, session, interaction),
            Command::CompleteWrapUp {
                session,
                interaction,
                notes,
                disposition,
                next,
            } => self.complete_wrap_up(now, session, interaction, (notes, disposition), next),
            Command::Ingest(ingest) => self.ingest(now, *ingest),
            Command::Release { interaction } => self.release(now, interaction),
            Command::Dismiss { interaction } => self.dismiss(now, interaction),
            Command::Prioritise {
                interaction,
                priority,
            } => self.prioritise(now, interaction, priority),
            Command::MergeCase { case, into } => self.merge_case(now, *case, *into),
            Command::RevokeTokens { case } => self.revoke_tokens(now, *case),
            Command::HandOver { message } => self.hand_over(now, message),
            Command::FinishSubmission {
                message,
                outcome,
                sent_for,
            } => self.finish_submission(now, message, outcome, sent_for),
            Command::CancelSend {
                session,
                message,
                sent_for,
            } => self.cancel_send(now, session, message, sent_for),
            Command::RetryDelivery { message, settled } => {
                self.retry_delivery(now, message, settled)
            }
            Command::Reassign {
                interaction,
                to,
                note,
            } => self.reassign(now, interaction, to, note),
            Command::AddNote { case, text } => self.add_note(now, &case, text),
            Command::Bulk(bulk) => self.bulk(now, &bulk),
            Command::ClearAlert(concern) => self.clear_alert(now, &concern),
            Command::ForcePresence { agent, state, note } => {
                self.force_presence(now, agent, state, note)
            }
            Command::ForceSignOut { session, requeue } => {
                self.force_sign_out(now, session, requeue)
            }
            Command::PostNotice {
                agents,
                queues,
                text,
            } => self.post_notice(now, &agents, &queues, &text),
        };
        let pending = pending.inspect_err(|_| self.draft.actor = Actor::System)?;
        Ok(self.conclude(now, Some(pending)))
    }

    /// Does all that has come due. Afterwards [`Self::next_deadline`] is later than `now`.
    pub fn tick(&mut self, now: Timestamp) -> Effects {
        loop {
            while let Some(timer) = self.timers.pop(now) {
                match timer {
                    Timer::OfferReceipt(offer) => self.receipt_due(now, offer),
                    Timer::OfferExpiry(offer) => self.expiry_due(now, offer),
                    Timer::OfferForgotten(offer) => self.forget_offer(offer),
                    Timer::Reattach(session) => self.reattach_due(now, session),
                    Timer::Lease(session) => self.lease_due(now, session),
                    Timer::Grace(session) => self.grace_due(now, session),
                    Timer::SignOut(session) => self.sign_out_due(now, session),
                    Timer::WrapUp(interaction) => self.wrap_up_due(now, interaction),
                    Timer::Cooldown(agent) => self.touch(&agent, PresenceCause::AgentRequest),
                    Timer::Overflow(interaction) => self.overflow_due(now, interaction),
                    Timer::Service(interaction) => self.service_due(now, interaction),
                    Timer::Hours(queue) => self.hours_due(now, &queue),
                    Timer::Declined(interaction) => self.declined_due(now, interaction),
                    Timer::Parked(interaction) => self.parked_due(now, interaction),
                    Timer::Standing(interaction) => self.standing_due(now, interaction),
                }
            }
            // What goes on to another queue may be late there at once.
            self.pass_on_overdue(now);
            if self.timers.next().is_none_or(|next| next > now) {
                break;
            }
        }
        self.conclude(now, None)
    }

    /// When [`Self::tick`] will next have something to do.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        match (self.timers.next(), self.spool.next_deadline()) {
            (Some(timer), Some(spool)) => Some(timer.min(spool)),
            (timer, spool) => timer.or(spool),
        }
    }

    // What others may look at.

    /// The queues by id.
    #[must_use]
    pub const fn queues(&self) -> &BTreeMap<QueueId, Queue> {
        &self.queues
    }

    /// What holds for every agent.
    #[must_use]
    pub const fn house(&self) -> &HouseRules {
        &self.policy.house
    }

    /// The agents by id.
    #[must_use]
    pub const fn agents(&self) -> &BTreeMap<AgentId, Agent> {
        &self.agents
    }

    /// Interactions that are not closed, by id.
    #[must_use]
    pub const fn interactions(&self) -> &BTreeMap<InteractionId, Interaction> {
        &self.interactions
    }

    /// Live offers and those that ended not long ago, by id.
    #[must_use]
    pub const fn offers(&self) -> &BTreeMap<OfferId, Offer> {
        &self.offers
    }

    /// Cases with an unfinished interaction, by number.
    #[must_use]
    pub const fn cases(&self) -> &BTreeMap<MainNumber, Case> {
        &self.cases
    }

    /// The spool.
    #[must_use]
    pub const fn spool(&self) -> &Spool {
        &self.spool
    }

    /// The numbers given out so far.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// Open sessions by id.
    pub fn sessions(&self) -> impl Iterator<Item = &Session> {
        self.sessions.values().map(|(session, _)| session)
    }

    /// One session, as clients see it.
    #[must_use]
    pub fn session(&self, id: SessionId, now: Timestamp) -> Option<SessionView> {
        let (session, link) = self.sessions.get(&id)?;
        Some(SessionView {
            session: session.clone(),
            in_grace: !link.listens(now),
            stream_attached: link.stream.is_some(),
            lease_until: link.lease_until,
            acked: link.acked,
        })
    }

    /// What an agent is shown as, with the work behind it.
    #[must_use]
    pub fn presence(&self, id: &AgentId) -> Option<Presence> {
        let agent = self.agents.get(id)?;
        let load = self.loads.get(id)?;
        Some(Presence {
            agent: id.clone(),
            state: agent.shown(load),
            requested: agent.requested.clone(),
            next: agent.next.clone(),
            since: agent.since,
            cause: agent.cause,
            pending_offer: load.offers.first().copied(),
            interactions: load.held(),
            parked: load.parked.iter().copied().collect(),
        })
    }

    /// What is offered to agents, in their hands, or being wrapped up by them.
    pub fn with_agents(&self) -> impl Iterator<Item = &Interaction> {
        let offered = |load: &'_ Load| {
            let offers = load.offers.iter();
            let about = offers.filter_map(|id| Some(self.offers.get(id)?.interaction));
            about.collect::<Vec<_>>()
        };
        let ids = self.loads.values().flat_map(move |load| {
            let held = load
                .active
                .iter()
                .chain(&load.wrapping)
                .chain(&load.drafting);
            offered(load).into_iter().chain(held.copied())
        });
        ids.filter_map(|id| self.interactions.get(&id))
    }

    // Small tools of the verbs.

    /// A number for an id that the engine gives out; written with the next effects.
    pub fn take_sequence(&mut self) -> u64 {
        self.next_sequence()
    }

    fn next_sequence(&mut self) -> u64 {
        self.draft.counted = true;
        self.counters.sequence += 1;
        self.counters.sequence
    }

    /// Notes that an agent's presence or eligibility may have changed. The last cause
    /// stands: verbs name theirs after the steps that they are made of.
    fn touch(&mut self, agent: &AgentId, cause: PresenceCause) {
        self.draft.touched.insert(agent.clone(), cause);
    }

    /// Tells a fact; it goes into the log of the agent, if it concerns one.
    fn tell(&mut self, now: Timestamp, agent: Option<&AgentId>, fact: Fact) {
        self.draft.counted = true;
        self.counters.revision += 1;
        let agent = agent.and_then(|id| {
            let agent = self.agents.get_mut(id)?;
            agent.sequence += 1;
            self.draft.agents.insert(id.clone());
            Some((id.clone(), agent.sequence))
        });
        self.draft.events.push(Event {
            revision: self.counters.revision,
            time: now,
            agent,
            fact,
            actor: self.draft.actor.clone(),
        });
    }

    /// Changes an interaction and notes that it changed.
    fn change(&mut self, id: InteractionId, now: Timestamp, change: impl FnOnce(&mut Interaction)) {
        if let Some(interaction) = self.interactions.get_mut(&id) {
            (self.draft.befores.entry(id)).or_insert_with(|| Before::of(interaction));
            change(interaction);
            interaction.version += 1;
            interaction.changed = now;
            self.draft.interactions.insert(id);
        }
    }
}

/// Refuses a text of a client's that is longer than its bound.
fn bounded(what: &'static str, text: &str, max: usize) -> Result<(), Refusal> {
    if text.len() > max {
        return Err(Refusal::TooLong(what, max));
    }
    Ok(())
}
