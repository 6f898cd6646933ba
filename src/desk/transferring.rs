//! Transferring: work goes to another queue, and what the agent still has to write down about it
//! stays with them.

use std::collections::BTreeSet;

use super::handling::Needed;
use super::{
    Desk, Interaction, NOTE_BYTES_MAX, Outcome, Pending, Refusal, State, UnassignReason, bounded,
};
use crate::id::{AgentId, InteractionId, QueueId, SessionId};
use crate::time::Timestamp;

impl Desk {
    /// Gives an interaction to another queue. It waits there at the place of its arrival; the
    /// agent's half of it is an interaction of its own, in post-processing.
    pub(super) fn transfer(
        &mut self,
        now: Timestamp,
        session: SessionId,
        id: InteractionId,
        queue: QueueId,
        note: String,
    ) -> Result<Pending, Refusal> {
        bounded("note", &note, NOTE_BYTES_MAX)?;
        let (agent, found) = self.held(session, id, Needed::Active)?;
        if found.queue == queue {
            return Err(Refusal::TransferTarget(
                "the interaction is in that queue already; requeue it to give it back",
            ));
        }
        let Some(target) = self.queues.get(&queue) else {
            return Err(Refusal::QueueUnknown(queue));
        };
        if !target.settings.accepts_transfers {
            return Err(Refusal::TransferTarget("that queue takes no transfers"));
        }
        let occupied =
            (self.cases.get(&found.case)).is_some_and(|case| case.joinable.contains_key(&queue));
        if occupied {
            return Err(Refusal::TransferTarget(
                "that queue is working on the case already; end or cancel this one",
            ));
        }
        let half = found.clone();
        self.heard(now, session);
        self.move_to(now, &agent, id, &queue, note.clone());
        self.wrap_up_half(now, &agent, half, note);
        Ok(Pending::Interaction(id, agent, None))
    }

    /// The customer's half goes into the line of its new queue.
    fn move_to(
        &mut self,
        now: Timestamp,
        agent: &AgentId,
        id: InteractionId,
        queue: &QueueId,
        note: String,
    ) {
        self.resettle(now, id, queue, note);
        self.give_back(now, agent, id, UnassignReason::Transferred);
    }

    /// Makes an interaction that is in no line another queue's.
    pub(super) fn resettle(
        &mut self,
        now: Timestamp,
        id: InteractionId,
        queue: &QueueId,
        note: String,
    ) {
        let mailbox = self.queues.get(queue).and_then(|queue| {
            let own = queue.settings.mailboxes.first();
            own.map(|own| own.address.clone())
        });
        self.change(id, now, |found| {
            found.enter_queue(queue.clone());
            found.entered = Some(now);
            // What it was written to is not what the new queue may answer from.
            found.mailbox = mailbox.unwrap_or_default();
            found.transfers = found.transfers.saturating_add(1);
            found.declined.clear();
            found.preferred = None;
            found.note(note);
        });
        if let Some(found) = self.interactions.get(&id)
            && let Some(case) = self.cases.get_mut(&found.case)
        {
            case.joinable.retain(|_, joined| *joined != id);
            case.joinable.insert(queue.clone(), id);
            case.changed = now;
            self.draft.cases.insert(found.case);
        }
    }

    /// The agent's half: what was in their hands, without the letters, to be wrapped up under the
    /// rules of the queue that they had it from.
    fn wrap_up_half(&mut self, now: Timestamp, agent: &AgentId, half: Interaction, note: String) {
        let sequence = self.next_sequence();
        let id = InteractionId::new(now, sequence);
        let number = half.case;
        let previous = self.newest_of(number, id);
        let half = Interaction {
            id,
            previous,
            follows: Some(half.id),
            outcome: Some(Outcome::Transferred),
            preferred: None,
            message_count: 0,
            offer_count: 0,
            declined: BTreeSet::new(),
            notes: note,
            disposition: String::new(),
            version: 1,
            changed: now,
            ..half
        };
        debug_assert!(matches!(half.state, State::Active { .. }));
        self.interactions.insert(id, half);
        self.draft.interactions.insert(id);
        if let Some(case) = self.cases.get_mut(&number) {
            case.unfinished += 1;
        }
        if let Some(load) = self.loads.get_mut(agent) {
            load.active.insert(id);
        }
        self.handled(now, agent, id);
    }
}
