//! The nouns of the stories: letters, answers, queues, and the moment at which all of them begin.

use std::collections::BTreeSet;
use std::time::Duration;

use postroom::desk::{
    Command, Correspondent, Handling, Ingest, Origin, Outgoing, QueueSettings, Target, Thread,
};
use postroom::id::{InteractionId, QueueId, SessionId};
use postroom::mail::clue::OwnKeys;
use postroom::mail::trust::Trust;
use postroom::time::Timestamp;

/// A letter for some queues, to be worked on in some way.
pub(crate) fn handled(queues: &[QueueId], thread: Thread, handling: Handling) -> Command {
    let targets = queues
        .iter()
        .map(|queue| Target {
            queue: queue.clone(),
            mailbox: mailbox(queue),
        })
        .collect();
    Command::Ingest(Box::new(Ingest {
        targets,
        customer: customer(),
        envelope_sender: customer().address,
        internet_message_id: "letter@customer.example".into(),
        subject: "A question".into(),
        size: 100,
        trust: Trust::A,
        trust_reason: "dmarc=pass".into(),
        mta_queue_id: "4ABC".into(),
        thread,
        handling,
        copied: BTreeSet::new(),
        keys: OwnKeys::default(),
        dossier: Box::default(),
        report: None,
        acknowledgement: None,
    }))
}

/// A letter's origin, where it does not matter.
pub(crate) fn origin() -> Origin {
    Origin::SameLetter
}

/// An answer from the queue's own address.
pub(crate) fn answer(session: SessionId, interaction: InteractionId, from: String) -> Outgoing {
    Outgoing {
        session,
        interaction,
        from: Correspondent {
            address: from,
            display_name: String::new(),
        },
        to: customer(),
        slot: 0,
        others: Vec::new(),
        envelope_sender: "bounce@shop.example".into(),
        internet_message_id: "answer@shop.example".into(),
        subject: "Re: A question".into(),
        size: 200,
        latest_seen: None,
    }
}

pub(crate) fn mailbox(queue: &QueueId) -> String {
    format!("{queue}@shop.example")
}

fn customer() -> Correspondent {
    Correspondent {
        address: "carla@customer.example".into(),
        display_name: "Carla".into(),
    }
}

/// A queue with one mailbox.
pub(crate) fn queue(id: &str) -> QueueSettings {
    let mut queue = QueueSettings::new(id.parse().unwrap());
    queue.mailboxes.push(postroom::desk::Mailbox {
        address: mailbox(&queue.id),
        display_name: String::new(),
    });
    queue
}

/// Monday, nine o'clock.
pub(crate) fn nine() -> Timestamp {
    Timestamp::ZERO + Duration::from_secs(20_000 * 86_400 + 9 * 3600)
}

/// The hour, minute and second of a time, with milliseconds where there are any.
pub(crate) fn clock(at: Timestamp) -> String {
    let seconds = at.as_secs() % 86_400;
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let millis = at.as_millis() % 1000;
    let fraction = if millis == 0 {
        String::new()
    } else {
        format!(".{millis:03}")
    };
    format!("{hour:02}:{minute:02}:{second:02}{fraction}")
}
