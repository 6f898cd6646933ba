//! Effects: what follows from a command, as data, in the order of its release.
//!
//! Changes are written first, as one batch. Only when they are on disk are the answer given, the
//! events told and the submitter woken.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::actor::Actor;
use super::agent::{Agent, AgentState, Presence, Requested};
use super::alerts::Alert;
use super::bulk::Treated;
use super::case::Case;
use super::command::Filing;
use super::feed::FeedEntry;
use super::figures::{AgentFigure, QueueFigure};
use super::interaction::Interaction;
use super::message::Message;
use super::offer::Offer;
use super::opening::{Opening, Pause};
use super::service::Goal;
use super::session::{EndCause, Session, SessionView};
use super::upload::Upload;
use super::wording::SavedDraft;
use super::zone::Day;
use crate::id::{AgentId, AttachmentId, InteractionId, MessageId, OfferId, QueueId, SessionId};
use crate::mail::dossier::Dossier;
use crate::mail::threading::ClueKey;
use crate::mail::token::MainNumber;
use crate::outbound::hearing::Suppression;
use crate::outbound::message::Outbound;
use crate::time::Timestamp;

/// All that follows from one command or one tick.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Effects {
    /// What the caller is told. `None` for a tick.
    pub answer: Option<Answer>,
    /// Whole records to be written, as one batch.
    pub changes: Vec<Change>,
    /// The message whose bytes belong to this batch.
    pub body: Option<MessageId>,
    /// Messages that the desk wrote itself, with their bytes.
    pub written: Vec<(MessageId, Vec<u8>)>,
    /// Facts to be told to watchers, in order.
    pub events: Vec<Arc<Event>>,
    /// Sessions whose stream is to be ended.
    pub ended: Vec<(SessionId, EndCause)>,
    /// Outbound messages whose turn it is, for the submitter.
    pub submissions: Vec<Outbound>,
}

/// What a command answers. Stored: variants are added at the end only. It is kept with the effect when the request carries an id, so that a
/// repeated request is answered in the same words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// It is done; there is nothing to say.
    Done,
    /// What became of a letter.
    Filed(Vec<Filing>),
    /// The agent's account.
    Agent(Box<Agent>),
    /// The session, and the number of the newest event of its agent.
    Session(Box<SessionView>, u64),
    /// The agent's presence.
    Presence {
        /// It.
        presence: Presence,
        /// Whether the request is kept until the work in hand is done.
        deferred: bool,
        /// The number of the newest event of the agent: it contains this change.
        sequence: u64,
    },
    /// An offer.
    Offer {
        /// It.
        offer: Offer,
        /// The interaction that it is about.
        interaction: Box<Interaction>,
        /// The agent's presence.
        presence: Presence,
        /// The number of the newest event of the agent.
        sequence: u64,
    },
    /// An interaction after a verb.
    Interaction {
        /// It.
        interaction: Box<Interaction>,
        /// The agent's presence.
        presence: Presence,
        /// The message that the verb made.
        message: Option<MessageId>,
        /// The number of the newest event of the agent.
        sequence: u64,
    },
    /// An outbound message.
    Outbound(Box<Outbound>),
    /// An interaction that is in no agent's hands.
    Work(Box<Interaction>),
    /// A case.
    Case(Box<Case>),
    /// How many agents were told.
    Told(usize),
    /// What became of each interaction of an act on many, and how many more fit it.
    Treated(Vec<Treated>, usize),
    /// A note in the feed of a case.
    Noted(Box<FeedEntry>),
    /// A file that is being attached.
    Upload(Box<Upload>),
    /// What an agent has written so far.
    Draft(Box<SavedDraft>),
}

/// A record to be written or removed, or what is to be added to one.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// The desk's counters.
    Counters(Counters),
    /// An agent.
    Agent(Box<Agent>),
    /// A session.
    Session(Session),
    /// A session is over.
    SessionEnded(SessionId),
    /// An offer.
    Offer(Offer),
    /// An offer need no longer be remembered.
    OfferForgotten(OfferId),
    /// An interaction.
    Interaction(Box<Interaction>),
    /// A case.
    Case(Box<Case>),
    /// A message.
    Message(Box<Message>),
    /// What was found out about a message.
    Dossier(MessageId, Box<Dossier>),
    /// A key of the index under which later letters may name this message's case.
    Clue(ClueKey, MainNumber, MessageId),
    /// An outbound message.
    Outbound(Box<Outbound>),
    /// One more entry in an agent's event log.
    Logged(AgentId, u64, Arc<Event>),
    /// An entry of an agent's event log is older than anybody resumes from.
    LogTrimmed(AgentId, u64),
    /// A sender was told by a queue that a letter has arrived.
    Acknowledged {
        /// The queue.
        queue: QueueId,
        /// The sender, normalised.
        address: String,
        /// Until when that is not repeated.
        until: Timestamp,
    },
    /// An address that is not written to for a while.
    Suppressed(Box<Suppression>),
    /// More for the figures of a queue on a day.
    QueueFigured(Day, QueueId, Box<QueueFigure>),
    /// More for the figures of an agent on a day.
    AgentFigured(Day, AgentId, Box<AgentFigure>),
    /// What an agent has written so far.
    Draft(Box<SavedDraft>),
    /// What was written for this is of no more use.
    DraftDropped(InteractionId),
    /// A file that is being attached.
    Upload(Box<Upload>),
    /// A file is of no more use: its record goes, and then its bytes.
    UploadDropped(InteractionId, AttachmentId),
    /// A queue is paused.
    QueuePaused(Pause),
    /// A queue is paused no longer.
    QueueResumed(QueueId),
    /// An entry in the feed of a case.
    Fed(Box<FeedEntry>),
}

/// Numbers that the desk gives out and never gives out twice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// The last number that went into an id.
    pub sequence: u64,
    /// The revision of the last event.
    pub revision: u64,
    /// The serial of the last case.
    pub case: u64,
}

/// One fact that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Dense over all events of the gateway.
    pub revision: u64,
    /// When.
    pub time: Timestamp,
    /// The agent in whose log it stands, and its number there, dense from 1. `None` for facts
    /// that concern no one agent.
    pub agent: Option<(AgentId, u64)>,
    /// What happened.
    pub fact: Fact,
    /// Who caused it.
    pub actor: Actor,
}

/// Why an agent came to own an interaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AssignCause {
    /// The agent accepted an offer.
    Accepted,
    /// The agent took it out of its queue.
    Pulled,
    /// It had been parked.
    Resumed,
    /// The agent began it.
    Started,
    /// What the agent had sent did not go out, or came back.
    Returned,
    /// A supervisor gave it to the agent.
    Reassigned,
}

/// How post-processing ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum WrapUpOutcome {
    /// The agent finished.
    Completed,
    /// Time ran out.
    TimedOut,
    /// The agent was removed.
    Cancelled,
}

/// Why an agent no longer owns an interaction. Stored: variants are added at the end only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum UnassignReason {
    /// It went back to its place in line.
    Requeued,
    /// It was given to another queue.
    Transferred,
    /// It needed no handling.
    Cancelled,
    /// A supervisor took it away.
    Reassigned,
}

/// What happened. Each carries the whole record as it is now. Stored: variants are added at the
/// end only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fact {
    /// A letter waits in a queue: a new interaction, or one that came back to its place.
    InteractionQueued(Box<Interaction>),
    /// The agent is shown as something else.
    PresenceChanged {
        /// As what.
        presence: Presence,
        /// And before.
        previous: AgentState,
    },
    /// The agent has a new offer.
    OfferCreated {
        /// The offer.
        offer: Offer,
        /// What is offered.
        interaction: Box<Interaction>,
    },
    /// The offer reached a final state.
    OfferResolved {
        /// The offer.
        offer: Offer,
        /// What was offered.
        interaction: Box<Interaction>,
    },
    /// The agent owns the interaction from now on.
    InteractionAssigned {
        /// Which.
        interaction: Box<Interaction>,
        /// Why.
        cause: AssignCause,
    },
    /// An interaction that the agent owns has changed.
    InteractionUpdated(Box<Interaction>),
    /// A further letter came for an interaction that the agent owns.
    MessageReceived {
        /// Which interaction.
        interaction: Box<Interaction>,
        /// The letter.
        message: Box<Message>,
    },
    /// An outbound message went on.
    DeliveryUpdated(Box<Outbound>),
    /// Post-processing began.
    WrapUpStarted(Box<Interaction>),
    /// Post-processing ended, and the interaction with it.
    WrapUpEnded {
        /// Which.
        interaction: Box<Interaction>,
        /// How.
        outcome: WrapUpOutcome,
    },
    /// The interaction was closed without post-processing.
    InteractionClosed(Box<Interaction>),
    /// The agent joined or left a queue.
    MembershipChanged {
        /// Which queue.
        queue: QueueId,
        /// Whether it was left.
        removed: bool,
    },
    /// A letter is held until a supervisor decides.
    InteractionHeld(Box<Interaction>),
    /// The interaction was filed as nobody's work.
    InteractionFiled(Box<Interaction>),
    /// The agent no longer owns the interaction.
    InteractionUnassigned {
        /// Which, as it is now.
        interaction: Box<Interaction>,
        /// Why.
        reason: UnassignReason,
    },
    /// The agent's account changed. The password hash is left out.
    AgentUpdated(Box<Agent>),
    /// A waiting interaction went on to another queue, in which it waits now.
    InteractionOverflowed {
        /// Which.
        interaction: Box<Interaction>,
        /// The queue that it waited in.
        from: QueueId,
    },
    /// Something promised about an interaction is near its end, or was not kept.
    TargetNear {
        /// Which.
        interaction: Box<Interaction>,
        /// What was promised.
        goal: Goal,
        /// Until when.
        due: Timestamp,
        /// Whether that has passed.
        missed: bool,
    },
    /// A queue opened, closed, or was paused.
    QueueChanged {
        /// Which.
        queue: QueueId,
        /// What it is now.
        opening: Opening,
    },
    /// Somebody else set what the agent asks to be.
    PresenceForced {
        /// To what.
        state: Requested,
        /// Whether it is kept until the work in hand is done.
        deferred: bool,
        /// A word to the agent; may be empty.
        note: String,
    },
    /// Supervisors should look at something.
    AlertRaised(Alert),
    /// They need not look any more.
    AlertCleared(Alert),
    /// A note to the agent.
    NoticePosted {
        /// What it says.
        text: String,
    },
    /// Somebody wrote something down about a case.
    NoteAdded {
        /// Which.
        case: MainNumber,
        /// What.
        text: String,
    },
    /// A case became a part of another.
    CasesMerged {
        /// Which.
        case: MainNumber,
        /// The other.
        into: MainNumber,
    },
}

impl Fact {
    /// The interaction that it is about, as it is now.
    #[must_use]
    pub const fn work(&self) -> Option<&Interaction> {
        match self {
            Self::InteractionQueued(found)
            | Self::InteractionUpdated(found)
            | Self::WrapUpStarted(found)
            | Self::InteractionClosed(found)
            | Self::InteractionHeld(found)
            | Self::InteractionFiled(found) => Some(found),
            Self::OfferCreated { interaction, .. }
            | Self::OfferResolved { interaction, .. }
            | Self::InteractionAssigned { interaction, .. }
            | Self::MessageReceived { interaction, .. }
            | Self::WrapUpEnded { interaction, .. }
            | Self::InteractionUnassigned { interaction, .. }
            | Self::InteractionOverflowed { interaction, .. }
            | Self::TargetNear { interaction, .. } => Some(interaction),
            Self::PresenceChanged { .. }
            | Self::DeliveryUpdated(_)
            | Self::MembershipChanged { .. }
            | Self::AgentUpdated(_)
            | Self::QueueChanged { .. }
            | Self::PresenceForced { .. }
            | Self::AlertRaised(_)
            | Self::AlertCleared(_)
            | Self::NoticePosted { .. }
            | Self::NoteAdded { .. }
            | Self::CasesMerged { .. } => None,
        }
    }

    /// The fact's name as the log and `postroom watch` print it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::InteractionQueued(_) => "interaction queued",
            Self::PresenceChanged { .. } => "presence changed",
            Self::OfferCreated { .. } => "offer created",
            Self::OfferResolved { .. } => "offer resolved",
            Self::InteractionAssigned { .. } => "interaction assigned",
            Self::InteractionUpdated(_) => "interaction updated",
            Self::MessageReceived { .. } => "message received",
            Self::DeliveryUpdated(_) => "delivery updated",
            Self::WrapUpStarted(_) => "wrap-up started",
            Self::WrapUpEnded { .. } => "wrap-up ended",
            Self::InteractionClosed(_) => "interaction closed",
            Self::MembershipChanged { .. } => "membership changed",
            Self::InteractionHeld(_) => "interaction held",
            Self::InteractionFiled(_) => "interaction filed",
            Self::InteractionUnassigned { .. } => "interaction unassigned",
            Self::AgentUpdated(_) => "agent updated",
            Self::InteractionOverflowed { .. } => "interaction overflowed",
            Self::TargetNear { missed: false, .. } => "target near",
            Self::TargetNear { missed: true, .. } => "target missed",
            Self::QueueChanged { .. } => "queue changed",
            Self::PresenceForced { .. } => "presence forced",
            Self::AlertRaised(_) => "alert raised",
            Self::AlertCleared(_) => "alert cleared",
            Self::NoticePosted { .. } => "notice posted",
            Self::NoteAdded { .. } => "note added",
            Self::CasesMerged { .. } => "cases merged",
        }
    }
}
