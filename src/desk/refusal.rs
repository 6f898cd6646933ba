//! Refusals: commands that did not apply. Whatever the reason, nothing has changed.

use std::fmt;

use super::PRIORITY_MAX;
use super::house::ReasonKind;
use super::offer::OfferState;
use super::supervising::NOTICE_READERS_MAX;
use super::uploading::UPLOADS_MAX;
use crate::id::{AgentId, AttachmentId, InteractionId, MessageId, OfferId, QueueId};
use crate::mail::token::MainNumber;

/// Why a command did not apply. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The session was closed, taken over or given up. The client signs in again.
    SessionClosed,
    /// The agent is signed in elsewhere and no takeover was asked for.
    SessionActiveElsewhere,
    /// There is no such agent.
    AgentUnknown(AgentId),
    /// There is one already.
    AgentExists(AgentId),
    /// There is no such queue.
    QueueUnknown(QueueId),
    /// So many interactions wait in the queue that no more are taken; the sender tries again.
    QueueFull(QueueId),
    /// The queue cannot go while so many of its interactions are not closed. The operator's move.
    QueueInUse(QueueId, usize),
    /// There is no such offer, or not any more.
    OfferUnknown(OfferId),
    /// The offer was made to somebody else.
    NotOfferTarget(OfferId),
    /// The offer is over; the state says how it ended.
    OfferOver(OfferId, OfferState),
    /// There is no such interaction that is not closed.
    InteractionUnknown(InteractionId),
    /// The interaction is in somebody else's hands, or in nobody's.
    NotOwner(InteractionId),
    /// The interaction is in a state from which this cannot be done.
    InteractionState {
        /// Which.
        interaction: InteractionId,
        /// The state it is in.
        state: &'static str,
        /// The state it would have to be in.
        needed: &'static str,
    },
    /// The agent cannot be that now.
    StateTransition(&'static str),
    /// The From address is not one of the queue's.
    FromNotAllowed(String),
    /// A newer letter has come since the agent began to write.
    NewerMessage(MessageId),
    /// An acknowledgement of an event that has not been yet: a bug of the client's.
    SequenceAhead {
        /// What the client says.
        acked: u64,
        /// What there is.
        latest: u64,
    },
    /// So many messages wait for the MTA that no more are taken. The operator's move.
    SpoolFull,
    /// There is no such outbound message waiting for anything.
    OutboundUnknown(MessageId),
    /// The outbound message is in a state from which this cannot be done.
    OutboundState(MessageId),
    /// The two cases cannot become one.
    Merge(&'static str),
    /// The priority is more than [`super::PRIORITY_MAX`] from 0.
    Priority(i32),
    /// There is no such case, or it was merged into another.
    CaseUnknown(MainNumber),
    /// A text is longer than its bound.
    TooLong(&'static str, usize),
    /// The interaction cannot be given to that queue. The caller chooses another.
    TransferTarget(&'static str),
    /// The agent does not serve the queue. A supervisor's move.
    NotMember(QueueId),
    /// Agents of the queue take what they are offered. The administrator's move.
    PullOff(QueueId),
    /// Nothing waits in the queue.
    QueueEmpty(QueueId),
    /// The agent has as much in hand as they may. The caller finishes something first.
    AtCapacity(AgentId),
    /// A number is below or above its bounds.
    OutOfRange(&'static str, u64, u64),
    /// The account may not be used. The administrator's move.
    AgentDisabled(AgentId),
    /// The code in this field is none of the administrator's reasons of this kind.
    CodeUnknown(&'static str, ReasonKind, String),
    /// Post-processing of this interaction does not end without a code.
    WrapUpCodeMissing(InteractionId),
    /// The post-processing time of this interaction has been extended as often as its queue allows.
    ExtensionsSpent(InteractionId, u32),
    /// Post-processing of this interaction does not run out, so there is nothing to extend.
    WrapUpUntimed(InteractionId),
    /// Offers of this queue are not for rejecting.
    RejectingNotAllowed(QueueId),
    /// There is no such alert, or not any more.
    AlertUnknown(String),
    /// The agent is not signed in. The agent's move.
    AgentSignedOut(AgentId),
    /// The agent's client has been missing for longer than the grace. The agent's move.
    AgentMissing(AgentId),
    /// The interaction is not as the caller knows it: this is its version now. The caller looks again.
    Changed(InteractionId, u64),
    /// An act on many interactions names nothing that they have in common. The caller narrows it down.
    SelectsEverything,
    /// The draft has another version than the caller thinks. The caller reads it again.
    DraftChanged(InteractionId, u64),
    /// The interaction has no such file.
    UploadUnknown(InteractionId, AttachmentId),
    /// More than so many bytes for this. The caller's move: a smaller file, or one less.
    UploadTooLarge(&'static str, u64),
    /// The interaction has as many files as it may. The caller's move: one less.
    TooManyUploads,
    /// A notice would reach so many agents that it is not posted; name fewer queues.
    TooManyReaders(usize),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SessionClosed => f.write_str("the session is over; sign in again"),
            Self::SessionActiveElsewhere => f.write_str(
                "the agent is signed in elsewhere; ask for takeover to end that session",
            ),
            Self::AgentUnknown(agent) => write!(f, "there is no agent {agent}"),
            Self::AgentExists(agent) => write!(f, "agent {agent} exists already"),
            Self::QueueUnknown(queue) => write!(f, "there is no queue {queue}"),
            Self::QueueFull(queue) => write!(f, "queue {queue} is full"),
            Self::QueueInUse(queue, open) => write!(
                f,
                "queue {queue} has {open} open interactions; transfer or close them before it goes"
            ),
            Self::OfferUnknown(offer) => write!(f, "there is no offer {offer}"),
            Self::NotOfferTarget(offer) => write!(f, "offer {offer} was made to another agent"),
            Self::OfferOver(offer, state) => {
                let how = match state {
                    OfferState::Pending | OfferState::Shown => "live",
                    OfferState::Accepted => "accepted",
                    OfferState::Rejected(_) => "rejected",
                    OfferState::Missed => "missed: the time to answer is over",
                    OfferState::Undelivered => "taken back: its display was never confirmed",
                    OfferState::Rescinded(_) => "taken back by the desk",
                };
                write!(f, "offer {offer} was {how}")
            }
            Self::InteractionUnknown(id) => write!(f, "there is no open interaction {id}"),
            Self::NotOwner(id) => write!(f, "interaction {id} is not in your hands"),
            Self::InteractionState {
                interaction,
                state,
                needed,
            } => write!(
                f,
                "interaction {interaction} is {state}; it must be {needed}"
            ),
            Self::StateTransition(why) => f.write_str(why),
            Self::FromNotAllowed(address) => {
                write!(
                    f,
                    "{address:?} is not an address that this queue sends from"
                )
            }
            Self::NewerMessage(message) => write!(
                f,
                "a newer letter ({message}) has come; read it and send again with it as latest_seen_message"
            ),
            Self::SequenceAhead { acked, latest } => {
                write!(
                    f,
                    "event {acked} has not happened yet; the latest is {latest}"
                )
            }
            Self::SpoolFull => {
                f.write_str("the mail server takes nothing and the spool is full; try later")
            }
            Self::OutboundUnknown(id) => write!(f, "no outbound message {id} is waiting"),
            Self::OutboundState(id) => {
                write!(f, "outbound message {id} is not in a state for that")
            }
            Self::Merge(why) => f.write_str(why),
            Self::Priority(priority) => write!(
                f,
                "priority {priority} is not -{PRIORITY_MAX} to {PRIORITY_MAX}"
            ),
            Self::CaseUnknown(number) => write!(f, "there is no case {number}"),
            Self::TooLong(what, max) => write!(f, "{what} is longer than {max} bytes"),
            Self::TransferTarget(why) => f.write_str(why),
            Self::NotMember(queue) => write!(f, "the agent does not serve queue {queue}"),
            Self::PullOff(queue) => {
                write!(f, "queue {queue} offers its work and lets nobody pull it")
            }
            Self::QueueEmpty(queue) => write!(f, "nothing waits in queue {queue}"),
            Self::AtCapacity(agent) => write!(
                f,
                "agent {agent} has as much in hand as they may; finish something first"
            ),
            Self::OutOfRange(what, min, max) => write!(f, "{what} must be {min} to {max}"),
            Self::CodeUnknown(_, kind, code) => write!(
                f,
                "{code:?} is no {} code that an agent may give; ListReasons has them",
                kind.name()
            ),
            Self::WrapUpCodeMissing(id) => {
                write!(f, "wrap-up of interaction {id} needs a disposition code")
            }
            Self::ExtensionsSpent(id, most) => write!(
                f,
                "wrap-up of interaction {id} was extended {most} times, which is all that its queue allows"
            ),
            Self::WrapUpUntimed(id) => {
                write!(f, "wrap-up of interaction {id} does not run out by itself")
            }
            Self::RejectingNotAllowed(queue) => {
                write!(f, "offers of queue {queue} cannot be rejected")
            }
            Self::AgentDisabled(agent) => write!(
                f,
                "agent {agent} is disabled; an administrator can enable the account"
            ),
            Self::AlertUnknown(name) => write!(f, "there is no alert {name}"),
            Self::AgentSignedOut(agent) => write!(f, "agent {agent} is not signed in"),
            Self::AgentMissing(agent) => write!(f, "the client of agent {agent} is not there"),
            Self::Changed(id, _) => {
                write!(
                    f,
                    "interaction {id} has changed; read it again and decide anew"
                )
            }
            Self::SelectsEverything => f.write_str(
                "selects everything there is; name a queue, an agent, a sender, a time or a state",
            ),
            Self::DraftChanged(id, _) => {
                write!(
                    f,
                    "the draft of interaction {id} was changed meanwhile; read it again"
                )
            }
            Self::UploadUnknown(interaction, id) => {
                write!(f, "interaction {interaction} has no attachment {id}")
            }
            Self::UploadTooLarge(what, max) => write!(f, "{what} may have {max} bytes at most"),
            Self::TooManyUploads => {
                write!(f, "an interaction has {UPLOADS_MAX} attachments at most")
            }
            Self::TooManyReaders(readers) => write!(
                f,
                "{readers} agents would read it, of {NOTICE_READERS_MAX} at most; name fewer of them"
            ),
        }
    }
}

impl std::error::Error for Refusal {}
