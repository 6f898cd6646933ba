//! Figures as they are read: what was written of each day, and what goes on now. Days that are too
//! old are forgotten here too.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::{AddAssign, RangeInclusive};
use std::str::FromStr;

use super::group::unreadable;
use super::handle::get;
use super::{EngineError, Handle, Overview};
use crate::desk::{AgentFigure, Day, Desk, QueueFigure, Zone};
use crate::id::{AgentId, QueueId};
use crate::store::record::{self, Stored};
use crate::store::{Batch, Store, keys};
use crate::time::Timestamp;

/// Most days of which figures are asked for at once: no quarter of a year has more.
pub const DAYS_MAX: u32 = 92;

/// Days that are forgotten in one round at most.
const FORGOTTEN_MAX: usize = 32;

/// Which figures are wanted.
#[derive(Debug, Clone)]
pub struct Asked<T> {
    /// Of which days; of more than [`DAYS_MAX`] of them, the first.
    pub days: RangeInclusive<Day>,
    /// Of whom; `None` for all.
    pub of: Option<T>,
    /// What stands before the first one.
    pub after: Option<(Day, T)>,
    /// How many at most.
    pub limit: usize,
}

/// Figures of a kind, by day and by whose they are.
type Figures<T, F> = BTreeMap<(Day, T), F>;

impl Handle {
    /// Figures of queues, in the order of their days. What waits untouched is counted as received.
    ///
    /// # Errors
    ///
    /// As for [`Self::look`], and [`EngineError::Unavailable`] if the store cannot be read.
    pub async fn queue_figures(
        &self,
        asked: Asked<QueueId>,
    ) -> Result<Vec<(Day, QueueId, QueueFigure)>, EngineError> {
        let days = asked.days.clone();
        let waits = self.look(move |desk, _| desk.untouched(&days)).await?;
        let waits = waits.into_iter().map(|(of, received)| {
            let figure = QueueFigure {
                received,
                ..QueueFigure::default()
            };
            (of, figure)
        });
        let waits = waits.collect();
        self.read(move |store| page(store, keys::QUEUE_FIGURES, &asked, waits))
            .await
    }

    /// Figures of agents, in the order of their days. What an agent is shown as is counted up to
    /// now.
    ///
    /// # Errors
    ///
    /// As for [`Self::queue_figures`].
    pub async fn agent_figures(
        &self,
        asked: Asked<AgentId>,
    ) -> Result<Vec<(Day, AgentId, AgentFigure)>, EngineError> {
        let running = self.look(Desk::running).await?;
        self.read(move |store| page(store, keys::AGENT_FIGURES, &asked, running))
            .await
    }

    /// The floor, with the figures of the day.
    ///
    /// # Errors
    ///
    /// As for [`Self::queue_figures`].
    pub async fn overview(&self) -> Result<Overview, EngineError> {
        let overview = self.look(Overview::of).await?;
        self.with_figures(overview).await
    }

    /// Adds what was written of the day to what waits.
    pub(crate) async fn with_figures(
        &self,
        mut overview: Overview,
    ) -> Result<Overview, EngineError> {
        self.read(move |store| {
            for stats in &mut overview.queues {
                let key = keys::queue_figure(stats.day, &stats.queue);
                stats.today += get(store, &key)?.unwrap_or_default();
            }
            Ok(overview)
        })
        .await
    }
}

/// A page of figures: what was written, with what goes on.
fn page<T, F>(
    store: &dyn Store,
    prefix: &[u8],
    asked: &Asked<T>,
    going_on: Figures<T, F>,
) -> Result<Vec<(Day, T, F)>, EngineError>
where
    T: FromStr + Clone + Ord + Display,
    F: Stored + AddAssign + Default,
{
    let first = *asked.days.start();
    let last = (*asked.days.end()).min(Day::from_number(first.number() + DAYS_MAX - 1));
    let mut found: Figures<T, F> = BTreeMap::new();
    if let Some(of) = &asked.of {
        for number in first.number()..=last.number() {
            let day = Day::from_number(number);
            if let Some(figure) = get(store, &keys::figure(prefix, day, &of.to_string()))? {
                found.insert((day, of.clone()), figure);
            }
        }
    } else {
        let begin = (asked.after.as_ref()).map_or_else(
            || keys::figure(prefix, first, ""),
            |(day, of)| keys::figure(prefix, *day, &of.to_string()),
        );
        let pairs = store.scan(prefix, Some(&begin), asked.limit);
        for (key, value) in pairs.map_err(unreadable)? {
            let Some((day, of)) = keys::figured(prefix, &key) else {
                continue;
            };
            if let Ok(of) = of.parse() {
                let figure = record::decode(&value).map_err(super::handle::unreadable)?;
                found.insert((day, of), figure);
            }
        }
    }
    for (of, more) in going_on {
        if asked.of.as_ref().is_none_or(|only| *only == of.1) {
            *found.entry(of).or_default() += more;
        }
    }
    let days = first..=last;
    let wanted = found.into_iter().filter(|(of, _)| {
        days.contains(&of.0) && asked.after.as_ref().is_none_or(|after| of > after)
    });
    let page = wanted.map(|((day, of), figure)| (day, of, figure));
    Ok(page.take(asked.limit).collect())
}

/// Removes figures of days that are no longer kept, oldest first.
pub(super) fn forget(store: &dyn Store, now: Timestamp, days: u32) -> Result<Batch, EngineError> {
    let mut batch = Batch::default();
    batch.set_essential();
    let today = Zone::default().day(now).number();
    let oldest = Day::from_number(today.saturating_sub(days));
    for prefix in [keys::QUEUE_FIGURES, keys::AGENT_FIGURES] {
        let pairs = store
            .scan(prefix, None, FORGOTTEN_MAX)
            .map_err(unreadable)?;
        let gone = pairs
            .into_iter()
            .map(|(key, _)| key)
            .take_while(|key| keys::figured(prefix, key).is_some_and(|(day, _)| day < oldest));
        gone.for_each(|key| batch.delete(key));
    }
    Ok(batch)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::store::Memory;

    fn day(number: u32) -> Day {
        Day::from_number(number)
    }

    fn figure(received: u64) -> QueueFigure {
        QueueFigure {
            received,
            ..QueueFigure::default()
        }
    }

    /// Three queues on the days 10 to 19, each with the day's number received.
    fn kept() -> Memory {
        let store = Memory::default();
        let mut batch = Batch::default();
        for number in 10..20 {
            for queue in ["sales", "support", "zoo"] {
                let key = keys::queue_figure(day(number), &queue.parse().unwrap());
                batch.put(key, record::encode(&figure(number.into())));
            }
        }
        store.commit(vec![batch]).unwrap();
        store
    }

    #[test]
    fn pages_hold_every_day_once_in_order() {
        let store = kept();
        // One on a day of its own, one beside others, one added to, and two outside.
        let waits: Figures<QueueId, QueueFigure> = [
            ((day(9), "zoo"), 1),
            ((day(12), "aaa"), 1),
            ((day(13), "zoo"), 5),
            ((day(14), "aaa"), 7),
            ((day(15), "zoo"), 1),
        ]
        .into_iter()
        .map(|((day, queue), waits)| ((day, queue.parse().unwrap()), figure(waits)))
        .collect();
        for limit in 1..12 {
            let mut asked = Asked {
                days: day(12)..=day(14),
                of: None,
                after: None,
                limit,
            };
            let mut seen = Vec::new();
            for _ in 0..20 {
                let page = page(&store, keys::QUEUE_FIGURES, &asked, waits.clone()).unwrap();
                seen.extend(
                    page.iter()
                        .map(|(day, of, sum)| format!("{} {of} {}", day.number(), sum.received)),
                );
                let Some((day, of, _)) = page.last() else {
                    break;
                };
                asked.after = Some((*day, of.clone()));
            }
            let expected = [
                "12 aaa 1",
                "12 sales 12",
                "12 support 12",
                "12 zoo 12",
                "13 sales 13",
                "13 support 13",
                "13 zoo 18",
                "14 aaa 7",
                "14 sales 14",
                "14 support 14",
                "14 zoo 14",
            ];
            assert_eq!(seen, expected, "pages of {limit}");
        }
        let asked = Asked {
            days: day(13)..=day(500),
            of: Some("zoo".parse().unwrap()),
            after: Some((day(17), "zoo".parse().unwrap())),
            limit: 9,
        };
        let page = page(&store, keys::QUEUE_FIGURES, &asked, waits).unwrap();
        let seen: Vec<u32> = page.iter().map(|(day, ..)| day.number()).collect();
        assert_eq!(seen, [18, 19]);
    }

    #[test]
    fn days_are_kept_for_so_long() {
        let store = kept();
        let at = |number: u64| Timestamp::ZERO + Duration::from_secs(number * 86_400 + 5);
        let left = || store.scan(keys::QUEUE_FIGURES, None, 99).unwrap().len();
        for (now, days, expected) in [
            (19, 9, 30),
            (20, 9, 27),
            (20, 9, 27),
            // Before there were days enough.
            (3, 400, 27),
            (18, 1, 9),
            (900, 1, 0),
        ] {
            store
                .commit(vec![forget(&store, at(now), days).unwrap()])
                .unwrap();
            assert_eq!(left(), expected, "on day {now}, kept for {days}");
        }
    }
}
