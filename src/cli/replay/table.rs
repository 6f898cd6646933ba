//! The table: what was recorded, what the simulation makes of it before and after, and the
//! difference.

use std::collections::BTreeMap;
use std::time::Duration;

use postroom::desk::Goal;
use postroom::id::QueueId;
use postroom::replay::{Figures, Level, Recording, Rules};
use serde_json::{Value, json};

use crate::cli::page::{Ink, Page};

/// What was recorded, before, and after.
type Columns = [Figures; 3];

/// The figures of all queues.
pub(super) struct Comparison {
    times: [String; 2],
    queues: BTreeMap<QueueId, Columns>,
    all: Columns,
}

/// One cell.
#[derive(Clone, Copy)]
enum Cell {
    Count(usize),
    Wait(Option<Duration>),
    /// So many of so many.
    Part(usize, usize),
}

/// A line of the table: its name, its cells, and whether less is better; `None` if neither is.
type Line = (String, [Cell; 3], Option<bool>);

impl Comparison {
    /// Every queue of the rules has its part, and what came in another as well.
    pub(super) fn new(
        recording: &Recording,
        after: &Rules,
        mut columns: [BTreeMap<Option<QueueId>, Figures>; 3],
    ) -> Self {
        let mut take = |key: Option<&QueueId>| -> Columns {
            let key = key.cloned();
            columns
                .each_mut()
                .map(|column| column.remove(&key).unwrap_or_default())
        };
        let all = take(None);
        let queues = after.queues.iter().map(|queue| &queue.id);
        Self {
            times: [recording.from(), recording.until()].map(|at| at.to_string()),
            queues: queues.map(|id| (id.clone(), take(Some(id)))).collect(),
            all,
        }
    }

    /// The table in lines.
    pub(super) fn lines(&self, page: Page) -> Vec<String> {
        let [from, until] = &self.times;
        let mut lines = vec![format!("{from} to {until}")];
        let mut part = |title: &str, columns: &Columns| {
            lines.push(String::new());
            let head = format!("{title:<LABEL$}");
            let head = page.ink(Ink::Strong, &head);
            lines.push(format!(
                "{head}{:>CELL$}{:>CELL$}{:>CELL$}{:>CELL$}",
                "recorded", "before", "after", "difference"
            ));
            for (label, cells, better) in table(columns) {
                let shown = cells.map(|cell| format!("{:>CELL$}", cell.to_string()));
                let [_, before, after] = cells;
                let change = format!("{:>CELL$}", difference(before, after));
                let ink = match (before.grows_to(after), better) {
                    (Some(grown), Some(less)) if grown != less => Ink::Good,
                    (Some(_), Some(_)) => Ink::Bad,
                    _ => Ink::Faint,
                };
                let line = format!(
                    "  {label:<WITHIN$}{}{}",
                    shown.concat(),
                    page.ink(ink, &change)
                );
                lines.push(line.trim_end().to_owned());
            }
        };
        for (queue, columns) in &self.queues {
            part(&queue.to_string(), columns);
        }
        if self.queues.len() > 1 {
            part("all queues", &self.all);
        }
        lines
    }

    /// The same for scripts; times in seconds.
    pub(super) fn json(&self) -> Value {
        let [from, until] = &self.times;
        let columns = |[recorded, before, after]: &Columns| {
            json!({
                "recorded": figures(recorded),
                "before": figures(before),
                "after": figures(after),
            })
        };
        let queues: serde_json::Map<String, Value> = (self.queues.iter())
            .map(|(queue, found)| (queue.to_string(), columns(found)))
            .collect();
        json!({ "from": from, "until": until, "queues": queues, "all": columns(&self.all) })
    }
}

/// The width of a name of a queue or a line, of the latter without its indent, and of a cell.
const LABEL: usize = 36;
const WITHIN: usize = LABEL - 2;
const CELL: usize = 12;

fn table(columns: &Columns) -> Vec<Line> {
    let counts = |of: fn(&Figures) -> usize| columns.each_ref().map(|it| Cell::Count(of(it)));
    let waits =
        |of: fn(&Figures) -> Option<Duration>| columns.each_ref().map(|it| Cell::Wait(of(it)));
    let mut lines = vec![
        ("received".to_owned(), counts(|it| it.received), None),
        ("accepted".to_owned(), counts(|it| it.accepted), Some(false)),
        ("closed".to_owned(), counts(|it| it.closed), Some(false)),
        ("wait, median".to_owned(), waits(|it| it.median), Some(true)),
        (
            "wait of nine in ten".to_owned(),
            waits(|it| it.most),
            Some(true),
        ),
        (
            "wait, longest".to_owned(),
            waits(|it| it.longest),
            Some(true),
        ),
    ];
    for goal in Goal::ALL {
        let levels = columns.each_ref().map(|it| it.levels.get(&goal).copied());
        if levels.iter().all(Option::is_none) {
            continue;
        }
        let levels = levels.map(Option::unwrap_or_default);
        let word = word(goal);
        let of = |whole: fn(&Level) -> usize| {
            levels
                .each_ref()
                .map(|level| Cell::Part(level.in_time, whole(level)))
        };
        let reached = of(|level| level.reached);
        lines.push((format!("{word} in time, of {word}"), reached, Some(false)));
        let due = of(|level| level.due);
        lines.push((format!("{word} in time, of due"), due, Some(false)));
    }
    lines
}

const fn word(goal: Goal) -> &'static str {
    match goal {
        Goal::Accept => "accepted",
        Goal::Answer => "answered",
        Goal::Close => "closed",
    }
}

impl Cell {
    /// Whether it is more in the other; `None` if it is the same or cannot be said.
    fn grows_to(self, other: Self) -> Option<bool> {
        let order = match (self, other) {
            (Self::Count(left), Self::Count(right)) => left.cmp(&right),
            (Self::Wait(Some(left)), Self::Wait(Some(right))) => seconds(left).cmp(&seconds(right)),
            (Self::Part(..), Self::Part(..)) => tenths(self)?.cmp(&tenths(other)?),
            _ => return None,
        };
        (order != std::cmp::Ordering::Equal).then_some(order == std::cmp::Ordering::Less)
    }
}

impl std::fmt::Display for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self, tenths(*self)) {
            (Self::Count(count), _) => count.fmt(f),
            (Self::Wait(Some(wait)), _) => f.write_str(&clock(seconds(*wait))),
            (Self::Part(..), Some(tenths)) => write!(f, "{}.{} %", tenths / 10, tenths % 10),
            (Self::Wait(None), _) | (Self::Part(..), None) => f.write_str("-"),
        }
    }
}

/// Tenths of a per cent.
fn tenths(cell: Cell) -> Option<i64> {
    let Cell::Part(part, whole) = cell else {
        return None;
    };
    let rounded = (part * 2000).checked_add(whole)?.checked_div(whole * 2)?;
    i64::try_from(rounded).ok()
}

/// Whole seconds, rounded.
fn seconds(time: Duration) -> i64 {
    i64::try_from((time.as_millis() + 500) / 1000).unwrap_or(i64::MAX)
}

/// Hours, minutes and seconds.
fn clock(seconds: i64) -> String {
    format!(
        "{}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

fn difference(before: Cell, after: Cell) -> String {
    let (sign, text) = match (before, after) {
        (Cell::Count(left), Cell::Count(right)) => {
            (left.cmp(&right), left.abs_diff(right).to_string())
        }
        (Cell::Wait(Some(left)), Cell::Wait(Some(right))) => {
            let (left, right) = (seconds(left), seconds(right));
            (left.cmp(&right), clock((right - left).abs()))
        }
        (Cell::Part(..), Cell::Part(..)) => match tenths(before).zip(tenths(after)) {
            Some((left, right)) => {
                let apart = left.abs_diff(right);
                (left.cmp(&right), format!("{}.{}", apart / 10, apart % 10))
            }
            None => return String::new(),
        },
        _ => return String::new(),
    };
    match sign {
        std::cmp::Ordering::Less => format!("+{text}"),
        std::cmp::Ordering::Equal => String::new(),
        std::cmp::Ordering::Greater => format!("-{text}"),
    }
}

fn figures(found: &Figures) -> Value {
    let time = |time: Option<Duration>| time.map(|time| time.as_secs_f64());
    let levels: serde_json::Map<String, Value> = (found.levels.iter())
        .map(|(goal, level)| {
            let part = |whole: usize| match whole {
                0 => Value::Null,
                _ => json!(level.in_time as f64 / whole as f64),
            };
            let value = json!({
                "within": time(level.within),
                "inTime": level.in_time,
                "reached": level.reached,
                "due": level.due,
                "ofReached": part(level.reached),
                "ofDue": part(level.due),
            });
            (word(*goal).to_owned(), value)
        })
        .collect();
    json!({
        "received": found.received,
        "accepted": found.accepted,
        "closed": found.closed,
        "waitMedian": time(found.median),
        "waitNineInTen": time(found.most),
        "waitLongest": time(found.longest),
        "levels": levels,
    })
}
