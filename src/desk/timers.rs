//! Deadlines: when the desk must look again, and at what.
//!
//! A timer names the very thing it was set for. When that thing has moved on by the time the
//! timer comes due, it finds nothing to do; so no timer is ever cancelled.

use std::collections::BTreeSet;

use crate::id::{AgentId, InteractionId, OfferId, QueueId, SessionId};
use crate::time::Timestamp;

/// What is to be looked at when a deadline comes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// The client should have said by now that the offer is on the screen.
    OfferReceipt(OfferId),
    /// The agent should have answered by now, allowance included.
    OfferExpiry(OfferId),
    /// A resolved offer need no longer be remembered.
    OfferForgotten(OfferId),
    /// The stream should have come back by now.
    Reattach(SessionId),
    /// The lease ends, unless it was renewed meanwhile.
    Lease(SessionId),
    /// The grace after a lost session ends: the agent is shown as offline.
    Grace(SessionId),
    /// The session is given up.
    SignOut(SessionId),
    /// Post-processing ends.
    WrapUp(InteractionId),
    /// The agent may be offered work again after a rejected or missed offer.
    Cooldown(AgentId),
    /// The interaction has rested since it was declined; it may go round again.
    Declined(InteractionId),
    /// A parked interaction comes back.
    Parked(InteractionId),
    /// The place of a waiting interaction changes by itself.
    Standing(InteractionId),
    /// What was promised about the interaction may be near its end.
    Service(InteractionId),
    /// The interaction may have waited too long for its queue.
    Overflow(InteractionId),
    /// A queue may open or close.
    Hours(QueueId),
}

/// All deadlines, earliest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Timers {
    due: BTreeSet<(Timestamp, Timer)>,
}

impl Timers {
    /// Sets one more deadline. The same pair set twice is one deadline.
    pub(super) fn set(&mut self, at: Timestamp, timer: Timer) {
        self.due.insert((at, timer));
    }

    /// The earliest deadline.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Takes out the earliest timer that is due at `now`.
    pub(super) fn pop(&mut self, now: Timestamp) -> Option<Timer> {
        if self.next()? > now {
            return None;
        }
        self.due.pop_first().map(|(_, timer)| timer)
    }
}
