//! What is in the store when all is over, against what was promised.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use postroom::desk::interaction::{Outcome, State};
use postroom::desk::message::Direction;
use postroom::desk::{Interaction, Message};
use postroom::id::{InteractionId, MessageId};
use postroom::outbound::{DeliveryState, Outbound};
use postroom::store::record::{self, Stored};
use postroom::store::{BodyId, Local, LocalConfig, Store, keys};

use super::arrived::Arrived;
use super::desk::{Desk, Finish};
use super::post::Post;
use crate::support::gateway::Settings;

/// Figures for people.
#[derive(Debug, Default)]
pub(crate) struct Found {
    letters: usize,
    accepted: usize,
    ended: usize,
    replied: usize,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            letters,
            accepted,
            ended,
            replied,
        } = self;
        write!(
            f,
            "{letters} letters taken, {accepted} accepted by agents, {ended} ended, \
             {replied} answered; lost 0, doubled 0"
        )
    }
}

/// Opens the store and compares.
pub(crate) fn check(
    settings: &Settings,
    post: &Post,
    desks: &[Arc<Desk>],
    arrived: &Arrived,
) -> Found {
    let (store, _) = Local::open(LocalConfig::new(settings.data_dir.join("store"))).unwrap();
    let interactions: BTreeMap<String, Interaction> = all(
        &store,
        &prefix(&keys::interaction(InteractionId::from_bytes([0; 16]))),
    )
    .into_iter()
    .map(|found: Interaction| (found.id.to_string(), found))
    .collect();
    let messages: Vec<Message> = all(
        &store,
        &prefix(&keys::message(MessageId::from_bytes([0; 16]))),
    );
    let mut found = Found::default();
    letters(&store, post, &interactions, &messages, &mut found);
    for desk in desks {
        commands(&store, desk, &interactions, &messages, arrived, &mut found);
    }
    store.close().unwrap();
    found
}

/// Every letter that was answered with yes is in the interactions that the answer named, and in
/// no others, as it was sent.
fn letters(
    store: &Local,
    post: &Post,
    interactions: &BTreeMap<String, Interaction>,
    messages: &[Message],
    found: &mut Found,
) {
    let mut by_id: BTreeMap<&str, Vec<&Message>> = BTreeMap::new();
    for message in messages {
        if message.direction == Direction::Inbound {
            by_id
                .entry(&message.internet_message_id)
                .or_default()
                .push(message);
        }
    }
    let mut expected = 0;
    for sent in post.sent() {
        let promised = sent
            .filed
            .unwrap_or_else(|| panic!("{} has no answer", sent.id));
        let kept = by_id.remove(sent.id.as_str()).unwrap_or_default();
        let [message] = kept.as_slice() else {
            panic!("{} is there {} times", sent.id, kept.len());
        };
        let filed: Vec<_> = message
            .interactions
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(filed, promised, "{}", sent.id);
        let queues: Vec<_> = filed
            .iter()
            .map(|name| interactions[name].queue.as_str())
            .collect();
        assert_eq!(queues, sent.queues, "{}", sent.id);
        let body = store
            .body(BodyId::from_bytes(message.id.to_bytes()))
            .unwrap();
        assert!(body == Some(sent.bytes), "{} is not what was sent", sent.id);
        expected += filed.len();
        found.letters += 1;
    }
    assert_eq!(by_id, BTreeMap::new(), "letters that nobody sent");
    assert_eq!(
        interactions.len(),
        expected,
        "interactions without a letter"
    );
}

/// Every command that was confirmed has had its effect, once.
fn commands(
    store: &Local,
    desk: &Desk,
    interactions: &BTreeMap<String, Interaction>,
    messages: &[Message],
    arrived: &Arrived,
    found: &mut Found,
) {
    let interaction = |name: &str| &interactions[name.trim_start_matches("interactions/")];
    let finished = desk.finished();
    for name in desk.accepted() {
        found.accepted += 1;
        // In the last round everything in hand was finished.
        assert!(finished.contains_key(&name), "{name} was taken away");
    }
    for (name, how) in finished {
        let kept = interaction(&name);
        let by = match &kept.state {
            State::Closed { agent, .. } => agent.as_str(),
            other => panic!("{name} is {}", other.name()),
        };
        assert_eq!(by, desk.agent, "{name}");
        let answers: Vec<_> = messages
            .iter()
            .filter(|message| message.direction == Direction::Outbound)
            .filter(|message| message.interactions.contains(&kept.id))
            .collect();
        match how {
            Finish::Ended => {
                found.ended += 1;
                assert_eq!(kept.outcome, Some(Outcome::Ended), "{name}");
                assert!(answers.is_empty(), "{name} was ended, and has answers");
            }
            Finish::Replied(id) => {
                found.replied += 1;
                assert_eq!(kept.outcome, Some(Outcome::Replied), "{name}");
                let [answer] = answers.as_slice() else {
                    panic!("{name} has {} answers", answers.len());
                };
                assert_eq!(answer.internet_message_id, id, "{name}");
                let outbound = store.get(&keys::outbound(answer.id)).unwrap().unwrap();
                let outbound: Outbound = record::decode(&outbound).unwrap();
                submitted(&outbound, arrived);
            }
        }
    }
}

/// An answer reached the MTA as often as its record says: once if it was confirmed, and never
/// twice.
fn submitted(outbound: &Outbound, arrived: &Arrived) {
    let id = outbound.internet_message_id.trim_matches(['<', '>']);
    match (outbound.state, arrived.copies(id)) {
        (DeliveryState::Confirmed, 1) | (DeliveryState::Unconfirmed, 0 | 1) => {}
        (DeliveryState::Ready | DeliveryState::Deferred, 0) => {}
        (state, copies) => panic!("{state:?} and there {copies} times: {outbound:?}"),
    }
}

/// What keys of this kind begin with, before the id.
fn prefix(key: &[u8]) -> Vec<u8> {
    key[..key.len() - 16].to_vec()
}

/// All records whose keys begin so.
fn all<T: Stored>(store: &Local, prefix: &[u8]) -> Vec<T> {
    const PAGE: usize = 500;
    let mut records = Vec::new();
    let mut after: Option<Vec<u8>> = None;
    loop {
        let page = store.scan(prefix, after.as_deref(), PAGE).unwrap();
        records.extend(page.iter().map(|(_, value)| record::decode(value).unwrap()));
        if page.len() < PAGE {
            return records;
        }
        after = page.last().map(|(key, _)| key.clone());
    }
}
