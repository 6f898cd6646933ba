//! Recordings: what the store still has of a time that is over.

use super::handle::unreadable;
use super::{EngineError, Handle};
use crate::desk::{Event, Interaction};
use crate::id::{AgentId, InteractionId};
use crate::store::{Store, keys, record};
use crate::time::Timestamp;

/// Where the log of an agent stands in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogPlace {
    /// The number of the last entry from before; what follows it is in the log.
    pub before: u64,
    /// When the log begins, if what it said of the time before is gone.
    pub begins: Option<Timestamp>,
}

impl Handle {
    /// Where the entries of an agent's log from a point in time on begin, of those up to number
    /// `newest`. Reads a handful of them, however long the log is.
    ///
    /// # Errors
    ///
    /// As for [`Self::interaction`].
    pub async fn log_place(
        &self,
        agent: AgentId,
        from: Timestamp,
        newest: u64,
    ) -> Result<LogPlace, EngineError> {
        self.read(move |store| {
            // The entries at and below `low` are from before, those above `high` are not. What is
            // gone, or was written by an older version, is from before.
            let (mut low, mut high) = (0, newest);
            while low < high {
                let middle = low + (high - low).div_ceil(2);
                match event(store, &agent, middle)? {
                    Some(event) if event.time >= from => high = middle - 1,
                    Some(_) | None => low = middle,
                }
            }
            let is_cut = low > 0 && event(store, &agent, low)?.is_none();
            let first = event(store, &agent, low + 1)?;
            Ok(LogPlace {
                before: low,
                begins: first.filter(|_| is_cut).map(|first| first.time),
            })
        })
        .await
    }

    /// Interactions by the time of their making, closed ones included: those behind one id, at
    /// most so many.
    ///
    /// # Errors
    ///
    /// As for [`Self::interaction`].
    pub async fn interactions_after(
        &self,
        after: InteractionId,
        limit: usize,
    ) -> Result<Vec<Interaction>, EngineError> {
        self.read(move |store| {
            let begin = keys::interaction(after);
            let page = store.scan(keys::INTERACTIONS, Some(&begin), limit);
            (page.map_err(super::group::unreadable)?.iter())
                .map(|(_, value)| record::decode(value).map_err(unreadable))
                .collect()
        })
        .await
    }
}

/// An entry that is there and can be read.
fn event(store: &dyn Store, agent: &AgentId, number: u64) -> Result<Option<Event>, EngineError> {
    let value = store.get(&keys::event(agent, number));
    let value = value.map_err(super::group::unreadable)?;
    Ok(value.and_then(|value| record::decode(&value).ok()))
}
