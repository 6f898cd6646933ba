//! The feed of a case as it is read: its letters and its entries, in one order.

use std::collections::{BTreeMap, BTreeSet};

use super::group::unreadable;
use super::handle::get;
use super::{EngineError, Handle};
use crate::desk::{Case, FeedEntry, Interaction, Message};
use crate::id::{EntryId, InteractionId, MessageId};
use crate::mail::token::MainNumber;
use crate::store::{Store, keys, record};

/// Most letters and entries that a feed shows: the newest. More than anybody reads; what is older is
/// read by interaction.
const FEED_MAX: usize = 10_000;

/// Most interactions of a case whose letters its feed shows: the newest.
const INTERACTIONS_MAX: usize = 2000;

/// A place in a feed: milliseconds, whether it is an entry, and the id. Of the same moment, letters
/// come first.
pub type FeedPlace = (u64, bool, [u8; 16]);

/// One item of a feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeedItem {
    /// A letter, and the interaction in which it was found.
    Letter(Box<Message>, InteractionId),
    /// Something else.
    Entry(Box<FeedEntry>),
}

/// Which part of a feed.
#[derive(Debug, Clone, Copy)]
pub struct FeedPage {
    /// Behind this place; from the beginning if there is none.
    pub after: Option<FeedPlace>,
    /// Newest first.
    pub newest_first: bool,
    /// How many items at most.
    pub limit: usize,
}

/// What stands in a feed, by its place: an entry's bytes, or the interaction of a letter.
enum Found {
    Letter(InteractionId),
    Entry(Vec<u8>),
}

impl Handle {
    /// A part of the feed of a case, those of the cases that are parts of it included; and the
    /// interactions of the case, newest first.
    ///
    /// # Errors
    ///
    /// [`EngineError::Unavailable`] if the store cannot be read.
    pub async fn feed(
        &self,
        number: MainNumber,
        page: FeedPage,
    ) -> Result<(Vec<(FeedPlace, FeedItem)>, Vec<InteractionId>), EngineError> {
        self.read(move |store| {
            let (found, interactions) = gather(store, number)?;
            Ok((cut(store, found, page)?, interactions))
        })
        .await
    }
}

/// All that is in a feed, and the interactions that it was found by.
fn gather(
    store: &dyn Store,
    number: MainNumber,
) -> Result<(BTreeMap<FeedPlace, Found>, Vec<InteractionId>), EngineError> {
    let mut found = BTreeMap::new();
    let mut seen: BTreeSet<InteractionId> = BTreeSet::new();
    let mut interactions = Vec::new();
    let Some(case) = get::<Case>(store, &keys::case(number))? else {
        return Ok((found, interactions));
    };
    let parts: Vec<MainNumber> = case.parts.clone();
    let mut cases = vec![case];
    for part in parts {
        cases.extend(get::<Case>(store, &keys::case(part))?);
    }
    for case in cases {
        let prefix = keys::feed_of(case.number);
        let entries = store.scan(&prefix, None, FEED_MAX).map_err(unreadable)?;
        for (key, value) in entries {
            if let Some(id) = keys::fed(case.number, &key) {
                found.insert(entry_place(id), Found::Entry(value));
            }
        }
        let mut next = case.newest;
        while let Some(id) = next
            && seen.len() < INTERACTIONS_MAX
            && seen.insert(id)
        {
            interactions.push(id);
            let marks = store
                .scan(&keys::thread_of(id), None, FEED_MAX)
                .map_err(unreadable)?;
            for (mark, _) in marks {
                if let Some(message) = keys::threaded(id, &mark) {
                    // In two queues it is one letter.
                    (found.entry(letter_place(message))).or_insert(Found::Letter(id));
                }
            }
            next = get::<Interaction>(store, &keys::interaction(id))?
                .and_then(|interaction| interaction.previous);
        }
    }
    while found.len() > FEED_MAX {
        found.pop_first();
    }
    Ok((found, interactions))
}

fn cut(
    store: &dyn Store,
    mut found: BTreeMap<FeedPlace, Found>,
    page: FeedPage,
) -> Result<Vec<(FeedPlace, FeedItem)>, EngineError> {
    let mut items = Vec::new();
    while items.len() < page.limit {
        let next = if page.newest_first {
            found.pop_last()
        } else {
            found.pop_first()
        };
        let Some((place, found)) = next else { break };
        let before = |after: FeedPlace| match page.newest_first {
            true => place >= after,
            false => place <= after,
        };
        if page.after.is_some_and(before) {
            continue;
        }
        let item = match found {
            Found::Entry(bytes) => record::decode(&bytes)
                .map(|entry| Some(FeedItem::Entry(Box::new(entry))))
                .map_err(super::handle::unreadable)?,
            Found::Letter(interaction) => {
                let id = MessageId::from_bytes(place.2);
                get::<Message>(store, &keys::message(id))?
                    .map(|letter| FeedItem::Letter(Box::new(letter), interaction))
            }
        };
        items.extend(item.map(|item| (place, item)));
    }
    Ok(items)
}

fn millis(id: [u8; 16]) -> u64 {
    // The 48 upper bits of an id are its time.
    u64::from_be_bytes([0, 0, id[0], id[1], id[2], id[3], id[4], id[5]])
}

fn letter_place(id: MessageId) -> FeedPlace {
    (millis(id.to_bytes()), false, id.to_bytes())
}

fn entry_place(id: EntryId) -> FeedPlace {
    (millis(id.to_bytes()), true, id.to_bytes())
}
