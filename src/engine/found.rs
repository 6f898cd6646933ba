//! Found: the cases that a letter's clues name, as the store has them.

use std::collections::BTreeMap;

use super::EngineError;
use super::group::unreadable;
use super::handle::get;
use crate::desk::{Case, Direction, MERGES_MAX, Message};
use crate::mail::clue::OwnKeys;
use crate::mail::message_id::InternetMessageId;
use crate::mail::threading::{CASES_MAX, CASES_PER_KEY_MAX, ClueKey, Hint};
use crate::mail::token::MainNumber;
use crate::store::{Store, keys};

/// The cases that clues name.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// Cases by number, with all that they were merged into.
    pub cases: BTreeMap<MainNumber, Case>,
    /// What the index has under a key.
    pub keys: BTreeMap<ClueKey, Vec<MainNumber>>,
}

impl Found {
    /// Looks all of them up, strongest first; at most [`CASES_MAX`] cases.
    pub(super) fn look_up(store: &dyn Store, clues: &[Hint]) -> Result<Self, EngineError> {
        let mut found = Self::default();
        let mut looked = 0;
        for clue in clues {
            let numbers = match clue {
                Hint::Key(key) => found.follow(store, *key)?,
                Hint::Address(..) | Hint::Signed(_) | Hint::Number(_) => {
                    clue.case().into_iter().collect()
                }
            };
            for number in numbers {
                if looked < CASES_MAX && !found.cases.contains_key(&number) {
                    looked += 1;
                    found.fetch(store, number)?;
                }
            }
        }
        Ok(found)
    }

    /// The case that letters to this one join: itself, or the one it is a part of.
    #[must_use]
    pub fn target(&self, number: MainNumber) -> Option<&Case> {
        let mut case = self.cases.get(&number)?;
        for _ in 0..MERGES_MAX {
            match case.merged_into {
                None => return Some(case),
                Some(into) => case = self.cases.get(&into)?,
            }
        }
        None
    }

    /// The letter of ours with this Message-ID.
    pub(super) fn own_message(
        store: &dyn Store,
        id: &InternetMessageId,
    ) -> Result<Option<Message>, EngineError> {
        let page = store
            .scan(&keys::clues(ClueKey::id(id)), None, CASES_PER_KEY_MAX)
            .map_err(unreadable)?;
        for message in page.iter().filter_map(|(key, _)| keys::clue_message(key)) {
            let found: Option<Message> = get(store, &keys::message(message))?;
            if let Some(found) = found
                && found.direction == Direction::Outbound
                && found.internet_message_id == id.as_str()
            {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// What the index has under a letter's own keys: whether a letter had its Message-ID before,
    /// and the case of the newest one of its topic.
    pub(super) fn under(
        store: &dyn Store,
        own: OwnKeys,
    ) -> Result<(bool, Option<MainNumber>), EngineError> {
        let newest = |key: Option<ClueKey>| {
            let Some(key) = key else { return Ok(None) };
            let page = store.scan_back(&keys::clues(key), None, 1);
            let page = page.map_err(unreadable)?;
            Ok::<_, EngineError>(page.first().and_then(|(_, value)| keys::clue_case(value)))
        };
        Ok((newest(own.id)?.is_some(), newest(own.topic)?))
    }

    fn follow(&mut self, store: &dyn Store, key: ClueKey) -> Result<Vec<MainNumber>, EngineError> {
        if let Some(known) = self.keys.get(&key) {
            return Ok(known.clone());
        }
        let page = store
            .scan(&keys::clues(key), None, CASES_PER_KEY_MAX)
            .map_err(unreadable)?;
        let mut cases = Vec::new();
        for case in page.iter().filter_map(|(_, value)| keys::clue_case(value)) {
            if !cases.contains(&case) {
                cases.push(case);
            }
        }
        self.keys.insert(key, cases.clone());
        Ok(cases)
    }

    /// Reads a case and what it was merged into.
    fn fetch(&mut self, store: &dyn Store, number: MainNumber) -> Result<(), EngineError> {
        let mut next = Some(number);
        for _ in 0..MERGES_MAX {
            let Some(number) = next.filter(|number| !self.cases.contains_key(number)) else {
                return Ok(());
            };
            let Some(case) = get::<Case>(store, &keys::case(number))? else {
                return Ok(());
            };
            next = case.merged_into;
            self.cases.insert(number, case);
        }
        Ok(())
    }
}
