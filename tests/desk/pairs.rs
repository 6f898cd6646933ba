//! Each state of an interaction, its offer and its agent, with each command: no cell of the
//! machine is undecided.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use postroom::desk::{
    AgentChanges, Bulk, BulkAct, CancelCause, Command, Destination, Handling, OfferState, Outgoing,
    Policy, Refusal, Requested, Selection, State, Thread,
};
use postroom::id::{AttachmentId, InteractionId, MessageId, OfferId, QueueId};
use postroom::time::Timestamp;

use super::names;
use crate::mails::{email, file, forwarded, saved, taken_back};
use crate::stage::Stage;
use crate::words::reject;
use crate::world::{World, answer, handled, mailbox, origin};

/// How each state is come by, all by or around anna.
const STATES: [(&str, &str); 31] = [
    ("queued", "anna wants offline; mail for support"),
    ("pending", "mail for support"),
    ("shown", "mail for support; anna sees o1"),
    ("rejected", "mail for support; anna rejects o1"),
    (
        "missed",
        "mail for support; anna sees o1; 09:00:32 time passes",
    ),
    ("undelivered", "mail for support; 09:00:03 time passes"),
    ("rescinded", "mail for support; anna wants offline"),
    (
        "stream lost",
        "mail for support; anna sees o1; anna detaches",
    ),
    ("active", "mail for support; anna accepts o1"),
    (
        "active, tea next",
        "mail for support; anna accepts o1; anna wants offline tea",
    ),
    (
        "wrapping up",
        "mail for support; anna accepts o1; anna ends i1",
    ),
    (
        "overtime",
        "mail for support; anna accepts o1; anna ends i1; anna wants offline",
    ),
    (
        "code wanted",
        "queue support wrap-up=60 codes=required; mail for support; anna accepts o1; anna ends i1",
    ),
    (
        "held up",
        "queue support wrap-up=60 codes=hold; mail for support; anna accepts o1; anna ends i1; \
         09:01:05 anna renews",
    ),
    (
        "closed",
        "mail for support; anna accepts o1; anna ends i1; anna completes i1",
    ),
    (
        "bert's offer",
        "anna wants offline; bert starts; mail for support; bert sees o1",
    ),
    (
        "bert's work",
        "anna wants offline; bert starts; mail for support; bert accepts o1",
    ),
    ("signed out", "anna signs out; mail for support"),
    ("held", "held mail for support"),
    ("filed", "quiet mail for support"),
    (
        "queue paused",
        "mail for support; pause queue support lunch",
    ),
    (
        "paused over work",
        "mail for support; anna accepts o1; pause queue support lunch",
    ),
    (
        "parked",
        "mail for support; anna accepts o1; anna parks i1 for 600",
    ),
    (
        "transferred",
        "mail for support; anna accepts o1; anna transfers i1 to sales",
    ),
    (
        "cancelled",
        "mail for support; anna accepts o1; anna cancels i1",
    ),
    (
        "with a file",
        "mail for support; anna accepts o1; anna attaches a file to i1",
    ),
    (
        "half written",
        "mail for support; anna accepts o1; anna writes for i1",
    ),
    ("drafting", "anna begins a mail from support@shop.example"),
    (
        "sent",
        "anna begins a mail from support@shop.example; anna sends i1",
    ),
    (
        "sent, in time",
        "queue support wrap-up=60 pull=on undo=30; anna begins a mail from support@shop.example; \
         anna sends i1",
    ),
    (
        "replied, in time",
        "queue support wrap-up=60 pull=on undo=30; mail for support; anna accepts o1; \
         anna replies i1",
    ),
];

const COMMANDS: [&str; 46] = [
    "see",
    "accept",
    "reject",
    "reject, tea",
    "reply",
    "end",
    "save",
    "extend",
    "complete",
    "complete, tea",
    "available",
    "offline",
    "sign in",
    "take over",
    "detach",
    "sign out",
    "leave",
    "letter",
    "release",
    "dismiss",
    "raise",
    "transfer",
    "requeue",
    "cancel",
    "pull",
    "park",
    "resume",
    "disable",
    "remove",
    "forward",
    "begin",
    "send",
    "take back",
    "discard",
    "write",
    "attach",
    "file ready",
    "drop file",
    "pause queue",
    "resume queue",
    "set available",
    "set offline",
    "signed out",
    "move",
    "give",
    "together",
];

/// State, command, and what follows: a refusal, or the interaction, the offer and anna.
const TABLE: &str = include_str!("pairs.table");

#[test]
fn no_pair_is_undecided() {
    let decided: BTreeMap<(&str, &str), &str> = TABLE
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let mut cells = line.split('|').map(str::trim);
            let mut cell = || cells.next().unwrap_or_default();
            ((cell(), cell()), cell())
        })
        .collect();
    let mut wrong = String::new();
    for (state, story) in STATES {
        for command in COMMANDS {
            let got = outcome(story, command);
            let row = decided.get(&(state, command));
            if row != Some(&got.as_str()) {
                let was = row.unwrap_or(&"undecided");
                let _ = writeln!(wrong, "{state:16} | {command:13} | {got}   (was: {was})");
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    assert_eq!(
        decided.len(),
        STATES.len() * COMMANDS.len(),
        "rows for nothing"
    );
}

fn outcome(story: &str, command: &str) -> String {
    let mut stage = Stage::new(World::new(Policy::default()));
    let scene = "09:00:00 queue support wrap-up=60 pull=on; queue sales; agent anna serves support; \
                 agent bert serves support; anna starts";
    for line in scene.split("; ").chain(story.split("; ")) {
        stage
            .line(line)
            .unwrap_or_else(|why| panic!("{line}: {why}"));
    }
    let command = asked(&stage, command);
    match stage.world.handle(stage.now, command) {
        Ok(_) => standing(&stage),
        Err(refusal) => format!("refused: {}", kind(&refusal)),
    }
}

fn asked(stage: &Stage, command: &str) -> Command {
    let anna = "anna".parse().unwrap();
    let support: QueueId = "support".parse().unwrap();
    let session = (stage.sessions[&anna].last().copied()).unwrap();
    let interaction = (stage.names.interactions.first().copied())
        .unwrap_or(InteractionId::new(Timestamp::ZERO, 0));
    let offer = (stage.names.offers.first().copied()).unwrap_or(OfferId::new(Timestamp::ZERO, 0));
    let upload = (stage.world.kept.uploads.keys().next().copied())
        .unwrap_or(AttachmentId::new(Timestamp::ZERO, 0));
    let tea = Requested::WorkOffline("tea".into());
    let complete = |next| Command::CompleteWrapUp {
        session,
        interaction,
        notes: None,
        disposition: None,
        next,
    };
    let forced = |state| Command::ForcePresence {
        agent: "anna".parse().unwrap(),
        state,
        note: String::new(),
    };
    let open = |takeover| Command::OpenSession {
        agent: "anna".parse().unwrap(),
        takeover,
        initial: None,
        lease: None,
        client: String::new(),
    };
    match command {
        "see" => Command::AcknowledgeOffer { session, offer },
        "accept" => Command::AcceptOffer { session, offer },
        "reject" => reject(session, offer, "", None),
        "reject, tea" => reject(session, offer, "", Some(tea)),
        "reply" => Command::Reply(Box::new(answer(session, interaction, mailbox(&support)))),
        "end" => Command::EndInteraction {
            session,
            interaction,
            note: String::new(),
        },
        "save" => Command::SaveWrapUp {
            session,
            interaction,
            notes: None,
            disposition: Some("sold".into()),
        },
        "extend" => Command::ExtendWrapUp {
            session,
            interaction,
        },
        "complete" => complete(None),
        "complete, tea" => complete(Some(tea)),
        "available" => Command::SetPresence {
            session,
            state: Requested::Available,
        },
        "offline" => Command::SetPresence {
            session,
            state: tea,
        },
        "sign in" => open(false),
        "take over" => open(true),
        "detach" => Command::DetachStream {
            session,
            stream: stage.attached[&session],
        },
        "sign out" => Command::CloseSession {
            session,
            requeue: false,
        },
        "leave" => Command::LeaveQueue {
            agent: anna,
            queue: support,
        },
        "transfer" => Command::Transfer {
            session,
            interaction,
            queue: "sales".parse().unwrap(),
            note: String::new(),
        },
        "requeue" => Command::Requeue {
            session,
            interaction,
            note: String::new(),
        },
        "cancel" => Command::Cancel {
            session,
            interaction,
            cause: CancelCause::Spam,
            note: String::new(),
        },
        "pull" => Command::Pull {
            session,
            queue: None,
            interaction: Some(interaction),
        },
        "park" => Command::Park {
            session,
            interaction,
            time: Duration::from_secs(600),
            note: String::new(),
        },
        "resume" => Command::Resume {
            session,
            interaction,
        },
        "disable" => Command::UpdateAgent {
            agent: anna,
            changes: AgentChanges {
                disabled: Some(true),
                ..AgentChanges::default()
            },
        },
        "remove" => Command::DeleteAgent { agent: anna },
        "forward" => {
            let mail = forwarded(session, interaction, mailbox(&support));
            Command::Forward(Box::new(Outgoing { slot: 1, ..mail }))
        }
        "begin" => email(session, mailbox(&support), None),
        "send" => Command::SendEmail(Box::new(answer(session, interaction, mailbox(&support)))),
        "take back" => {
            let sent = stage.world.kept.outbound.keys().next().copied();
            taken_back(session, sent.unwrap_or(MessageId::new(Timestamp::ZERO, 0)))
        }
        "discard" => Command::DiscardEmail {
            session,
            interaction,
        },
        "write" => {
            let known = stage.world.kept.drafts.get(&interaction);
            saved(session, interaction, "Dear Carla,", known)
        }
        "attach" => file(session, interaction, 1000),
        "file ready" => Command::FinishUpload {
            session,
            interaction,
            upload,
            digest: [7; 32],
        },
        "drop file" => Command::DropUpload {
            session,
            interaction,
            upload,
        },
        "pause queue" => Command::PauseQueue {
            queue: support,
            reason: String::new(),
        },
        "resume queue" => Command::ResumeQueue { queue: support },
        "release" => Command::Release { interaction },
        "dismiss" => Command::Dismiss { interaction },
        "raise" => Command::Prioritise {
            interaction,
            priority: 5,
        },
        "move" => Command::Reassign {
            interaction,
            to: Destination::Queue("sales".parse().unwrap()),
            note: String::new(),
        },
        "give" => Command::Reassign {
            interaction,
            to: Destination::Agent(anna),
            note: String::new(),
        },
        "together" => Command::Bulk(Box::new(Bulk {
            selection: Selection {
                named: BTreeSet::from([interaction]),
                ..Selection::default()
            },
            act: BulkAct::Requeue,
            note: String::new(),
        })),
        "set available" => forced(Requested::Available),
        "set offline" => forced(tea),
        "signed out" => Command::ForceSignOut {
            session,
            requeue: false,
        },
        "letter" => {
            let case = stage.world.kept.cases.values().next().cloned();
            let thread = Thread::Joins(Box::new(case.unwrap()), origin());
            handled(&[support], thread, Handling::default())
        }
        _ => panic!("no command {command}"),
    }
}

/// The first interaction, its newest offer, and anna.
fn standing(stage: &Stage) -> String {
    let kept = &stage.world.kept;
    let found = kept.interactions.values().next();
    let interaction = found.map_or("none", |found| match &found.state {
        State::WrappingUp { deadline: None, .. } => "overtime",
        state => state.name(),
    });
    let offer = kept.offers.values().next_back();
    let offer = offer.map_or("none", |offer| match offer.state {
        OfferState::Pending => "pending",
        OfferState::Shown => "shown",
        OfferState::Accepted => "accepted",
        OfferState::Rejected(_) => "rejected",
        OfferState::Missed => "missed",
        OfferState::Undelivered => "undelivered",
        OfferState::Rescinded(_) => "rescinded",
    });
    let more = match kept.interactions.len() {
        0 | 1 => String::new(),
        count => format!(", {} new", count - 1),
    };
    let files: String = (stage.world.kept.uploads.values())
        .map(|file| {
            if file.ready {
                ", file"
            } else {
                ", part of a file"
            }
        })
        .collect();
    let files = match kept.drafts.values().next() {
        Some(draft) => format!("{files}, draft {}", draft.version),
        None => files,
    };
    let Some(anna) = stage.world.desk.presence(&"anna".parse().unwrap()) else {
        return format!("{interaction}{more}{files}; {offer}; gone");
    };
    let next = match &anna.next {
        None => "",
        Some(Requested::Available) => ", available next",
        Some(Requested::WorkOffline(_) | Requested::SignedOut) => ", offline next",
    };
    format!(
        "{interaction}{more}{files}; {offer}; {}{next}",
        names::state(anna.state)
    )
}

fn kind(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::SessionClosed => "session over",
        Refusal::SessionActiveElsewhere => "active elsewhere",
        Refusal::OfferUnknown(_) => "no such offer",
        Refusal::NotOfferTarget(_) => "somebody else's offer",
        Refusal::OfferOver(..) => "offer over",
        Refusal::InteractionUnknown(_) => "no such interaction",
        Refusal::NotOwner(_) => "not in your hands",
        Refusal::InteractionState { .. } => "wrong state",
        Refusal::UploadUnknown(..) => "no such file",
        Refusal::NotMember(_) => "not a member",
        Refusal::TransferTarget(_) => "no such target",
        Refusal::AtCapacity(_) => "hands full",
        Refusal::WrapUpCodeMissing(_) => "code missing",
        Refusal::WrapUpUntimed(_) => "no time to extend",
        Refusal::AgentSignedOut(_) => "agent signed out",
        Refusal::StateTransition(_) => "not now",
        _ => "otherwise",
    }
}
