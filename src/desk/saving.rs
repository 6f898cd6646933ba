//! Saving: what an agent has written so far is kept, so that it outlives their client.

use super::handling::Needed;
use super::wording::DRAFT_BYTES_MAX;
use super::{Change, Desk, Pending, Refusal, SavedDraft, WordingChanges};
use crate::id::{InteractionId, SessionId};
use crate::time::Timestamp;

impl Desk {
    /// Keeps what is written. Whoever writes last wins, unless they say on what version theirs is
    /// based. What changes nothing writes nothing.
    ///
    /// The desk does not hold the text: `known` is what the store has.
    pub(super) fn save_draft(
        &mut self,
        now: Timestamp,
        (session, id): (SessionId, InteractionId),
        changes: WordingChanges,
        based_on: Option<u64>,
        known: Option<SavedDraft>,
    ) -> Result<Pending, Refusal> {
        let (agent, _) = self.held(session, id, Needed::Writing)?;
        let version = known.as_ref().map_or(0, |known| known.version);
        if based_on.is_some_and(|based_on| based_on != version) {
            return Err(Refusal::DraftChanged(id, version));
        }
        let before = known.as_ref().map(|known| known.wording.clone());
        let wording = changes.onto(before.clone().unwrap_or_default());
        if wording.bytes() > DRAFT_BYTES_MAX {
            return Err(Refusal::TooLong("draft", DRAFT_BYTES_MAX));
        }
        self.heard(now, session);
        if let Some(known) = known
            && before.as_ref() == Some(&wording)
        {
            return Ok(Pending::Draft(Box::new(known)));
        }
        let draft = Box::new(SavedDraft {
            interaction: id,
            agent,
            version: version + 1,
            saved: now,
            wording,
        });
        self.saved.insert(id);
        self.draft.changes.push(Change::Draft(draft.clone()));
        Ok(Pending::Draft(draft))
    }
}
