//! Merging: two cases turn out to be one matter, and the tokens of a case are made worthless.

use super::{Case, Desk, Fact, PARTS_MAX, PEOPLE_MAX, Pending, Refusal};
use crate::id::InteractionId;
use crate::time::Timestamp;

impl Desk {
    /// Makes `case` a part of `into`. Its open work goes along; what is in it stays readable under
    /// its own number, and letters that continue it belong to `into` from now on.
    pub(super) fn merge_case(
        &mut self,
        now: Timestamp,
        case: Case,
        into: Case,
    ) -> Result<Pending, Refusal> {
        let (from, to) = (case.number, into.number);
        if from == to {
            return Err(Refusal::Merge("a case cannot be merged into itself"));
        }
        let case = self.cases.get(&from).unwrap_or(&case);
        let into = self.cases.get(&to).unwrap_or(&into);
        // No chain can become a circle: only what was not merged takes in others.
        if case.merged_into.is_some() || into.merged_into.is_some() {
            return Err(Refusal::Merge(
                "one of the two was merged before; name the case that it is a part of",
            ));
        }
        if (case.joinable.keys()).any(|queue| into.joinable.contains_key(queue)) {
            return Err(Refusal::Merge(
                "both cases have open work in one queue; finish or dismiss one of the two first",
            ));
        }
        let (mut case, mut into) = (case.clone(), into.clone());
        into.joinable.append(&mut case.joinable);
        into.unfinished += std::mem::take(&mut case.unfinished);
        into.message_count = into.message_count.saturating_add(case.message_count);
        let people = [case.customer.clone()].into_iter();
        for person in people.chain(case.correspondents.iter().cloned()) {
            let known = into.customer.address == person.address
                || (into.correspondents.iter()).any(|other| other.address == person.address);
            if !known && !person.address.is_empty() && into.correspondents.len() < PEOPLE_MAX {
                into.correspondents.push(person);
            }
        }
        let room = PEOPLE_MAX.saturating_sub(into.copied.len());
        into.copied.extend(case.copied.iter().take(room).cloned());
        case.merged_into = Some(to);
        let parts = [from].into_iter().chain(case.parts.iter().copied());
        for part in parts {
            if into.parts.len() < PARTS_MAX {
                into.parts.push(part);
            }
        }
        case.changed = now;
        case.closed = case.closed.or(Some(now));
        into.changed = now;
        if into.is_open() {
            into.closed = None;
        }
        let moved: Vec<InteractionId> = (self.interactions.values())
            .filter(|found| found.case == from)
            .map(|found| found.id)
            .collect();
        for id in moved {
            if self.drafts.remove(&(from, id)) {
                self.drafts.insert((to, id));
            }
            self.change(id, now, |found| found.case = to);
            let Some(found) = self.interactions.get(&id) else {
                continue;
            };
            if let Some(owner) = found.state.owner().cloned() {
                let fact = Fact::InteractionUpdated(Box::new(found.clone()));
                self.tell(now, Some(&owner), fact);
            }
        }
        self.keep(case);
        self.keep(into.clone());
        self.tell(
            now,
            None,
            Fact::CasesMerged {
                case: from,
                into: to,
            },
        );
        Ok(Pending::Case(Box::new(into)))
    }

    /// Raises the generation of a case: no token that was made before opens it any more.
    pub(super) fn revoke_tokens(&mut self, now: Timestamp, case: Case) -> Result<Pending, Refusal> {
        let mut case = (self.cases.get(&case.number)).cloned().unwrap_or(case);
        let Some(generation) = case.generation.checked_add(1) else {
            return Err(Refusal::StateTransition(
                "the tokens of this case were revoked too often",
            ));
        };
        case.generation = generation;
        case.changed = now;
        self.keep(case.clone());
        Ok(Pending::Case(Box::new(case)))
    }

    /// Writes a case, and holds it while something of it is open.
    fn keep(&mut self, case: Case) {
        let number = case.number;
        let open = case.is_open();
        self.cases.insert(number, case);
        if open {
            self.draft.cases.insert(number);
        } else {
            self.lay_to_rest(number);
        }
    }
}
