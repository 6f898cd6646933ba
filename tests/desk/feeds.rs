//! Laws of feeds: whoever reads a case finds all of it.

use std::collections::BTreeMap;

use postroom::id::InteractionId;
use postroom::mail::token::MainNumber;

use super::World;

impl World {
    /// Every interaction is found from its case, once, and nothing else is: what one queue answers is
    /// seen by the other.
    pub(super) fn check_feeds(&self) {
        let mut found: BTreeMap<InteractionId, MainNumber> = BTreeMap::new();
        for case in self.kept.cases.values() {
            let mut next = case.newest;
            while let Some(id) = next {
                let once = found.insert(id, case.number).is_none();
                law!(40, once, "{id} is found twice");
                next = self.kept.interactions[&id].previous;
            }
        }
        for it in self.kept.interactions.values() {
            let by = found.get(&it.id).copied();
            let its = by == Some(it.case) || by.map(|by| self.root(by)) == Some(self.root(it.case));
            law!(40, its, "{} is found from {by:?}", it.id);
        }
    }

    /// The case that a case is a part of now.
    fn root(&self, mut number: MainNumber) -> MainNumber {
        while let Some(into) = self.kept.cases[&number].merged_into {
            number = into;
        }
        number
    }
}
