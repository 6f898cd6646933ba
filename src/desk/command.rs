//! Commands: all that can be asked of the desk.
//!
//! Commands of agents name the session they come from. A session that was closed or taken over
//! can no longer command anything: that is the fencing.

use std::collections::BTreeSet;
use std::time::Duration;

use super::agent::Requested;
use super::alerts::Concern;
use super::bulk::Bulk;
use super::case::Case;
use super::house::HouseRules;
use super::interaction::{CancelCause, HoldReason, Interaction};
use super::message::{Correspondent, Origin};
use super::queue::QueueSettings;
use super::reporting::Report;
use super::skill::Skills;
use super::upload::NewUpload;
use super::wording::{SavedDraft, WordingChanges};
use crate::id::{AgentId, AttachmentId, InteractionId, MessageId, OfferId, QueueId, SessionId};
use crate::mail::acknowledgement::Acknowledgement;
use crate::mail::clue::OwnKeys;
use crate::mail::dossier::Dossier;
use crate::mail::token::MainNumber;
use crate::mail::trust::Trust;
use crate::outbound::message::{Outbound, Outcome as SubmissionOutcome};

/// All that can be asked of the desk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Replaces the queues by those of the configuration, unless one would go in which something
    /// is open.
    SetQueues(Vec<QueueSettings>),
    /// Offers nothing from a queue until it is resumed; mail still arrives in it.
    PauseQueue {
        /// Which.
        queue: QueueId,
        /// Why; may be empty.
        reason: String,
    },
    /// Ends a pause.
    ResumeQueue {
        /// Which.
        queue: QueueId,
    },
    /// Replaces the rules that hold for every agent.
    SetHouseRules(HouseRules),
    /// Makes an agent's account.
    CreateAgent(NewAgent),
    /// Changes an agent's account.
    UpdateAgent {
        /// Whose.
        agent: AgentId,
        /// What.
        changes: AgentChanges,
    },
    /// Removes an agent. Work in hand goes back to its queue.
    DeleteAgent {
        /// Whom.
        agent: AgentId,
    },
    /// Changes an agent's password hash.
    SetPassword {
        /// Whose.
        agent: AgentId,
        /// Argon2id in PHC form.
        password: String,
    },
    /// The agent serves the queue from now on.
    JoinQueue {
        /// Who.
        agent: AgentId,
        /// Which.
        queue: QueueId,
        /// How much of the agent it gets, compared with their other queues: 1 to
        /// [`super::WEIGHT_MAX`]. Left as it is if not given.
        weight: Option<u8>,
    },
    /// The agent no longer serves the queue. Work in hand stays.
    LeaveQueue {
        /// Who.
        agent: AgentId,
        /// Which.
        queue: QueueId,
    },
    /// Signs an agent in.
    OpenSession {
        /// Who.
        agent: AgentId,
        /// Ends a live session elsewhere instead of being refused.
        takeover: bool,
        /// What to be after sign-in; kept as it is if the agent is already at work.
        initial: Option<Requested>,
        /// How long the session lives without a sign of life, within the desk's bounds.
        lease: Option<Duration>,
        /// What the client calls itself.
        client: String,
    },
    /// A sign of life. Nothing is written.
    RenewSession {
        /// The session.
        session: SessionId,
        /// The newest event that the client has stored.
        acked: Option<u64>,
    },
    /// Signs the agent out.
    CloseSession {
        /// The session.
        session: SessionId,
        /// Whether what is in the agent's hands goes back into line.
        requeue: bool,
    },
    /// The client's stream is there. Nothing is written but what follows from it.
    AttachStream {
        /// The session.
        session: SessionId,
        /// The number that the engine gave this stream.
        stream: u64,
    },
    /// The client's stream is gone.
    DetachStream {
        /// The session.
        session: SessionId,
        /// Which stream: an older one than the attached has no say.
        stream: u64,
    },
    /// Asks for Available or Work Offline.
    SetPresence {
        /// Who asks.
        session: SessionId,
        /// For what.
        state: Requested,
    },
    /// Display receipt: the offer is on the screen.
    AcknowledgeOffer {
        /// Who says so.
        session: SessionId,
        /// Which offer.
        offer: OfferId,
    },
    /// Takes the offered interaction.
    AcceptOffer {
        /// Who.
        session: SessionId,
        /// Which offer.
        offer: OfferId,
    },
    /// Declines the offered interaction.
    RejectOffer {
        /// Who.
        session: SessionId,
        /// Which offer.
        offer: OfferId,
        /// Why: a code, may be empty.
        reason: String,
        /// What to be afterwards; the queue's rule if not given.
        next: Option<Requested>,
    },
    /// Answers the customer.
    Reply(Box<Outgoing>),
    /// Passes a letter on to people outside.
    Forward(Box<Outgoing>),
    /// Begins a mail that answers none.
    StartEmail(Box<Email>),
    /// Sends a mail that was begun.
    SendEmail(Box<Outgoing>),
    /// Takes back what the agent has sent, while it waits for its first attempt.
    CancelSend {
        /// Who.
        session: SessionId,
        /// What.
        message: MessageId,
        /// What it was sent for with its case, if that is closed: it is worked on again. Filled in
        /// by the engine.
        sent_for: Option<Box<(Interaction, Case)>>,
    },
    /// Drops a mail that was begun.
    DiscardEmail {
        /// Who.
        session: SessionId,
        /// Which.
        interaction: InteractionId,
    },
    /// Keeps what is written so far.
    SaveDraft {
        /// Who.
        session: SessionId,
        /// For what.
        interaction: InteractionId,
        /// What.
        changes: Box<WordingChanges>,
        /// The version that it is based on; whatever is there is overwritten if not given.
        based_on: Option<u64>,
        /// What is there. Filled in by the engine.
        known: Option<Box<SavedDraft>>,
    },
    /// Makes room for a file that is to be attached.
    AnnounceUpload {
        /// Who.
        session: SessionId,
        /// To what.
        interaction: InteractionId,
        /// The file.
        new: Box<NewUpload>,
    },
    /// A file is all there.
    FinishUpload {
        /// Who.
        session: SessionId,
        /// Whose file.
        interaction: InteractionId,
        /// Which.
        upload: AttachmentId,
        /// SHA-256 of its bytes, which are durable.
        digest: [u8; 32],
    },
    /// Takes a file away.
    DropUpload {
        /// Who.
        session: SessionId,
        /// Whose file.
        interaction: InteractionId,
        /// Which.
        upload: AttachmentId,
    },
    /// Ends the interaction without an answer.
    EndInteraction {
        /// Who.
        session: SessionId,
        /// Which.
        interaction: InteractionId,
        /// A note for the case.
        note: String,
    },
    /// Gives the interaction to another queue.
    Transfer {
        /// Who.
        session: SessionId,
        /// Which.
        interaction: InteractionId,
        /// To which queue.
        queue: QueueId,
        /// A note for whoever takes it up there.
        note: String,
    },
    /// Gives the interaction back to its own queue.
    Requeue {
        /// Who.
        session: SessionId,
        /// Which.
        interaction: InteractionId,
        /// A note for whoever takes it up.
        note: String,
    },
    /// Puts an end to an interaction that needs no handling.
    Cancel {
        /// Who.
        session: SessionId,
        /// Which.
        interaction: InteractionId,
        /// Why.
        cause: CancelCause,
        /// A note for the case.
        note: String,
    },
    /// Takes an interaction out of the line of a queue.
    Pull {
        /// Who.
        session: SessionId,
        /// Out of which queue; the interaction's if not given.
        queue: Option<QueueId>,
        /// Which; the first that the agent has not declined if not given. One of the two is.
        interaction: Option<InteractionId>,
    },
    /// Sets an interaction aside.
    Park {
        /// Who.
        session: SessionId,
        /// Which.
        interaction: InteractionId,
        /// For how long at most, within [`super::PARK_BOUNDS`].
        time: Duration,
        /// A note for when it comes back.
        note: String,
    },
    /// Takes a parked interaction up again.
    Resume {
        /// Who.
        session: SessionId,
        /// Which.
        interaction: InteractionId,
    },
    /// Saves notes and disposition during post-processing.
    SaveWrapUp {
        /// Who.
        session: SessionId,
        /// Which.
        interaction: InteractionId,
        /// New notes; kept as they are if not given.
        notes: Option<String>,
        /// New disposition; kept as it is if not given.
        disposition: Option<String>,
    },
    /// Asks for more post-processing time, as far as the queue allows.
    ExtendWrapUp {
        /// Who.
        session: SessionId,
        /// Which.
        interaction: InteractionId,
    },
    /// Finishes post-processing.
    CompleteWrapUp {
        /// Who.
        session: SessionId,
        /// Which.
        interaction: InteractionId,
        /// New notes; kept as they are if not given.
        notes: Option<String>,
        /// New disposition; kept as it is if not given.
        disposition: Option<String>,
        /// What to be afterwards; Available if not given.
        next: Option<Requested>,
    },
    /// Files a letter that arrived.
    Ingest(Box<Ingest>),
    /// Puts a held interaction into its queue.
    Release {
        /// Which.
        interaction: InteractionId,
    },
    /// Files a held or waiting interaction away as nobody's work.
    Dismiss {
        /// Which.
        interaction: InteractionId,
    },
    /// Moves a held, waiting or offered interaction up or down in the line of its queue.
    Prioritise {
        /// Which.
        interaction: InteractionId,
        /// Higher goes first; at most [`super::PRIORITY_MAX`] from 0.
        priority: i32,
    },
    /// Makes one case a part of another: whatever continues it belongs there from now on.
    MergeCase {
        /// Which; here as the store knows it. Filled in by the engine.
        case: Box<Case>,
        /// Into which.
        into: Box<Case>,
    },
    /// Makes all tokens of a case worthless, such as after one was misused.
    RevokeTokens {
        /// Of which case; here as the store knows it. Filled in by the engine.
        case: Box<Case>,
    },
    /// The content of an outbound message is about to go to the MTA: from here on a lost answer
    /// means that nobody knows.
    HandOver {
        /// Which.
        message: MessageId,
    },
    /// An attempt to submit ended.
    FinishSubmission {
        /// Which.
        message: MessageId,
        /// How.
        outcome: SubmissionOutcome,
        /// What it was sent for with its case, if that is closed: it is worked on again if the
        /// message is refused. Filled in by the engine.
        sent_for: Option<Box<(Interaction, Case)>>,
    },
    /// Submits a message again that was refused or whose fate is unknown.
    RetryDelivery {
        /// Which.
        message: MessageId,
        /// Its record, if it was refused for good and has left the spool. Filled in by the engine.
        settled: Option<Box<Outbound>>,
    },
    /// Moves open work to a queue or into an agent's hands, whoever has it.
    Reassign {
        /// Which.
        interaction: InteractionId,
        /// Where to.
        to: Destination,
        /// A note for whoever gets it; may be empty.
        note: String,
    },
    /// Writes something down about a case, for colleagues.
    AddNote {
        /// Which. Its record, of which the engine sees to it that it is the newest.
        case: Box<Case>,
        /// What.
        text: String,
    },
    /// Does a command if the interaction is as its caller knows it: at this version.
    IfUnchanged {
        /// Which.
        interaction: InteractionId,
        /// Its version.
        version: u64,
        /// What is done to it.
        command: Box<Self>,
    },
    /// Does one thing to many interactions, to each that it can be done to.
    Bulk(Box<Bulk>),
    /// Clears an alert that does not clear itself.
    ClearAlert(Concern),
    /// Asks for Available or Work Offline in an agent's stead.
    ForcePresence {
        /// Whose.
        agent: AgentId,
        /// For what.
        state: Requested,
        /// A word to the agent; may be empty.
        note: String,
    },
    /// Signs an agent out in their stead.
    ForceSignOut {
        /// The session.
        session: SessionId,
        /// Whether what is in the agent's hands goes back into line.
        requeue: bool,
    },
    /// Shows a note to agents who are signed in.
    PostNotice {
        /// To these.
        agents: BTreeSet<AgentId>,
        /// And to those who serve one of these; to everybody if both are empty.
        queues: BTreeSet<QueueId>,
        /// What it says.
        text: String,
    },
}

impl Command {
    /// The session in which an agent asks for this; none where the asker is not an agent about
    /// their own work.
    #[must_use]
    pub const fn session(&self) -> Option<SessionId> {
        match self {
            Self::IfUnchanged { command, .. } => command.session(),
            Self::RenewSession { session, .. }
            | Self::CloseSession { session, .. }
            | Self::AttachStream { session, .. }
            | Self::DetachStream { session, .. }
            | Self::SetPresence { session, .. }
            | Self::AcknowledgeOffer { session, .. }
            | Self::AcceptOffer { session, .. }
            | Self::RejectOffer { session, .. }
            | Self::EndInteraction { session, .. }
            | Self::Transfer { session, .. }
            | Self::Requeue { session, .. }
            | Self::Cancel { session, .. }
            | Self::Pull { session, .. }
            | Self::Park { session, .. }
            | Self::Resume { session, .. }
            | Self::CancelSend { session, .. }
            | Self::DiscardEmail { session, .. }
            | Self::SaveDraft { session, .. }
            | Self::AnnounceUpload { session, .. }
            | Self::FinishUpload { session, .. }
            | Self::DropUpload { session, .. }
            | Self::SaveWrapUp { session, .. }
            | Self::ExtendWrapUp { session, .. }
            | Self::CompleteWrapUp { session, .. } => Some(*session),
            Self::Reply(mail) | Self::Forward(mail) | Self::SendEmail(mail) => Some(mail.session),
            Self::StartEmail(email) => Some(email.session),
            Self::SetQueues(_)
            | Self::PauseQueue { .. }
            | Self::ResumeQueue { .. }
            | Self::SetHouseRules(_)
            | Self::Prioritise { .. }
            | Self::CreateAgent(_)
            | Self::SetPassword { .. }
            | Self::JoinQueue { .. }
            | Self::LeaveQueue { .. }
            | Self::OpenSession { .. }
            | Self::Ingest(_)
            | Self::Release { .. }
            | Self::Dismiss { .. }
            | Self::MergeCase { .. }
            | Self::RevokeTokens { .. }
            | Self::HandOver { .. }
            | Self::FinishSubmission { .. }
            | Self::RetryDelivery { .. }
            | Self::UpdateAgent { .. }
            | Self::DeleteAgent { .. }
            | Self::Reassign { .. }
            | Self::Bulk(_)
            | Self::AddNote { .. }
            | Self::ClearAlert(_)
            | Self::ForcePresence { .. }
            | Self::ForceSignOut { .. }
            | Self::PostNotice { .. } => None,
        }
    }
}

/// Where a supervisor moves work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// Into the line of this queue, at the place of its arrival.
    Queue(QueueId),
    /// Into the hands of this agent.
    Agent(AgentId),
}

/// An account to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAgent {
    /// The slug, also the sign-in name.
    pub id: AgentId,
    /// What colleagues and customers read.
    pub display_name: String,
    /// Argon2id in PHC form; none for an agent who signs in by key.
    pub password: Option<String>,
    /// Whether the agent also steers the floor.
    pub supervisor: bool,
    /// The queues to serve.
    pub queues: Vec<QueueId>,
    /// How many interactions the agent may hold at once, 1 to [`super::CAPACITY_MAX`].
    pub capacity: u32,
}

/// What is to change about an account; what is not given stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AgentChanges {
    /// What colleagues and customers read.
    pub display_name: Option<String>,
    /// Whether the agent also steers the floor.
    pub supervisor: Option<bool>,
    /// How many interactions the agent may hold at once, 1 to [`super::CAPACITY_MAX`].
    pub capacity: Option<u32>,
    /// Whether the account may not be used. An open session ends at once, its work stays in hand.
    pub disabled: Option<bool>,
    /// What the agent can do, in full.
    pub skills: Option<Skills>,
}

/// A mail of an agent's, already composed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Who writes.
    pub session: SessionId,
    /// What is answered, passed on, or was begun.
    pub interaction: InteractionId,
    /// The address chosen as From; must be one of the queue's.
    pub from: Correspondent,
    /// To whom: the one whom its tokens are for.
    pub to: Correspondent,
    /// The slot that they were made for: see [`Case::slot`].
    pub slot: u16,
    /// Everybody else to whom it goes.
    pub others: Vec<Correspondent>,
    /// The envelope sender.
    pub envelope_sender: String,
    /// The signed `Message-ID` without brackets, fixed for every attempt.
    pub internet_message_id: String,
    /// Its subject.
    pub subject: String,
    /// Size of the composed message in bytes.
    pub size: u64,
    /// The newest letter that the agent had seen when writing; what there was when it came into
    /// their hands if not given. If a newer one has come, the mail is refused so that the agent
    /// can read it first.
    pub latest_seen: Option<MessageId>,
}

/// A mail to be begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Email {
    /// Who begins it.
    pub session: SessionId,
    /// The address to send from; empty for the first of the case's queue.
    pub from: String,
    /// To whom, so far as that is known yet.
    pub to: Correspondent,
    /// The subject; the case's if empty.
    pub subject: String,
    /// The case that it belongs to, here as the store knows it; none opens one.
    pub case: Option<Box<Case>>,
}

/// A letter that arrived, read and judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ingest {
    /// Where it goes: one interaction each. Never empty; each queue at most once.
    pub targets: Vec<Target>,
    /// Who wrote, as the letter says.
    pub customer: Correspondent,
    /// Envelope sender; empty for the null sender.
    pub envelope_sender: String,
    /// The header `Message-ID` without brackets; may be empty.
    pub internet_message_id: String,
    /// Its subject, decoded and bounded.
    pub subject: String,
    /// Its size in bytes.
    pub size: u64,
    /// How well it is proven who wrote.
    pub trust: Trust,
    /// What spoke for that, in words.
    pub trust_reason: String,
    /// Postfix's queue id.
    pub mta_queue_id: String,
    /// The case it continues, if it continues one.
    pub thread: Thread,
    /// Whether and how it is to be worked on.
    pub handling: Handling,
    /// Normalised addresses beside ours in To and Cc, if the sender is proven: they are given our
    /// Message-IDs by whoever answers all.
    pub copied: BTreeSet<String>,
    /// Under what later letters of the matter may name this one.
    pub keys: OwnKeys,
    /// All that was found out about it.
    pub dossier: Box<Dossier>,
    /// What it reports about a letter of ours, if that is proven. Then the report decides whether
    /// it is work.
    pub report: Option<Box<Report>>,
    /// What its author is told if it opens a case.
    pub acknowledgement: Option<Box<Acknowledgement>>,
}

/// Whether and how a letter is to be worked on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Handling {
    /// Whether.
    pub work: Work,
    /// Higher is offered first.
    pub priority: i32,
    /// What its agent should be able to do.
    pub skills: BTreeSet<String>,
    /// Whether a program wrote it: such letters open a closed case less often.
    pub by_machine: bool,
    /// Whether it opens no closed case at all, but is filed with it.
    pub keeps_closed: bool,
}

/// Whether a letter is anybody's work.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Work {
    /// It is offered.
    #[default]
    Wanted,
    /// It is kept back until a supervisor decides.
    Held {
        /// Why.
        reason: HoldReason,
        /// The case that it speaks of without having a right to.
        aside: Option<MainNumber>,
    },
    /// It is kept with its case and offered to nobody.
    Quiet,
}

/// One queue that a letter was addressed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The queue.
    pub queue: QueueId,
    /// The address of ours that was written to.
    pub mailbox: String,
}

/// What intake found out about the case of a letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Thread {
    /// It opens a new case.
    New(Origin),
    /// It opens a new case that goes on from this one.
    Linked(MainNumber, Origin),
    /// It belongs to this case, here as the store knows it.
    Joins(Box<Case>, Origin),
}

/// What the desk made of a letter, per queue.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Filing {
    /// The queue.
    pub queue: QueueId,
    /// The case's number.
    pub case: MainNumber,
    /// The interaction.
    pub interaction: InteractionId,
    /// The stored message.
    pub message: MessageId,
    /// Whether it joined an interaction that was already open.
    pub joined: bool,
}
