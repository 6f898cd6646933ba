//! `postroom figures`: what was done in queues and by agents, day by day, as a table.

use postroom::grpc::pb;
use postroom::grpc::pb::supervisor_service_client::SupervisorServiceClient;

use super::door::{self, Door};
use super::failure::Failure;
use super::page::{Ink, Page, plain};

/// Figures in one page of the list.
const PAGE_SIZE: i32 = 500;

/// Show what was done in queues or by agents, day by day.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  postroom figures --from 2026-11-01 --to 2026-11-30 --config /etc/postroom/postroom.toml
  postroom figures --from 2026-11-25 --agent anna --json --config /etc/postroom/postroom.toml

Days are those of the queue's hours, or of gateway.time_zone. The two percentages of a goal are the
service level of what reached it, and of all that was due, which counts what was put away too late.")]
pub(super) struct Figures {
    /// The first day, such as 2026-11-25.
    #[arg(long, value_name = "DATE")]
    from: String,
    /// The last day, at most 92 days in all; the first by default.
    #[arg(long, value_name = "DATE")]
    to: Option<String>,
    /// Only this queue.
    #[arg(long, value_name = "Q", conflicts_with_all = ["agent", "agents"])]
    queue: Option<String>,
    /// This agent, instead of queues.
    #[arg(long, value_name = "A", conflicts_with = "agents")]
    agent: Option<String>,
    /// All agents, instead of queues.
    #[arg(long)]
    agents: bool,
    /// Print one JSON object a line of the table.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    door: Door,
}

pub(super) async fn run(asked: Figures, page: Page) -> Result<(), Failure> {
    if asked.agents || asked.agent.is_some() {
        return agents(asked, page).await;
    }
    let mut supervisor = SupervisorServiceClient::new(asked.door.open(page).await?);
    let mut request = pb::ListQueueFiguresRequest {
        queue: (asked.queue).map_or_else(String::new, |queue| format!("queues/{queue}")),
        from_date: asked.from,
        to_date: asked.to.unwrap_or_default(),
        page_size: PAGE_SIZE,
        page_token: String::new(),
    };
    let mut rows = vec![QUEUE_HEADS.map(str::to_owned)];
    loop {
        let listed = supervisor.list_queue_figures(request.clone()).await;
        let listed = listed
            .map_err(|status| door::refused(&status))?
            .into_inner();
        for figures in &listed.queue_figures {
            if asked.json {
                door::print(page, "QueueFigures", figures)?;
            } else {
                rows.push(queue_row(figures));
            }
        }
        if listed.next_page_token.is_empty() {
            return table(page, &rows);
        }
        request.page_token = listed.next_page_token;
    }
}

async fn agents(asked: Figures, page: Page) -> Result<(), Failure> {
    let mut supervisor = SupervisorServiceClient::new(asked.door.open(page).await?);
    let mut request = pb::ListAgentFiguresRequest {
        agent: (asked.agent).map_or_else(String::new, |agent| format!("agents/{agent}")),
        from_date: asked.from,
        to_date: asked.to.unwrap_or_default(),
        page_size: PAGE_SIZE,
        page_token: String::new(),
    };
    let mut rows = vec![AGENT_HEADS.map(str::to_owned)];
    loop {
        let listed = supervisor.list_agent_figures(request.clone()).await;
        let listed = listed
            .map_err(|status| door::refused(&status))?
            .into_inner();
        for figures in &listed.agent_figures {
            if asked.json {
                door::print(page, "AgentFigures", figures)?;
            } else {
                rows.push(agent_row(figures));
            }
        }
        if listed.next_page_token.is_empty() {
            return table(page, &rows);
        }
        request.page_token = listed.next_page_token;
    }
}

const QUEUE_HEADS: [&str; 18] = [
    "date",
    "queue",
    "received",
    "accepted",
    "answered",
    "closed",
    "abandoned",
    "dropped",
    "sent",
    "rejected",
    "missed",
    "in",
    "out",
    "mean wait",
    "longest",
    "mean handling",
    "post-processing",
    "accept / answer / close in time",
];

fn queue_row(figures: &pb::QueueFigures) -> [String; 18] {
    let levels: Vec<String> = [
        pb::ServiceGoal::Accept,
        pb::ServiceGoal::Answer,
        pb::ServiceGoal::Close,
    ]
    .into_iter()
    .map(|goal| {
        let mut levels = figures.service_levels.iter();
        levels.find(|level| level.goal() == goal).map_or_else(
            || "-".to_owned(),
            |level| {
                let reached = percent(level.percent_of_reached);
                format!("{reached} {} %", percent(level.percent_of_due))
            },
        )
    })
    .collect();
    let finished = figures.closed_count.saturating_add(figures.sent_count);
    [
        plain(&figures.date),
        slug(&figures.queue, "queues/"),
        figures.received_count.to_string(),
        figures.accepted_count.to_string(),
        figures.answered_count.to_string(),
        figures.closed_count.to_string(),
        figures.abandoned_count.to_string(),
        figures.dropped_count.to_string(),
        figures.sent_count.to_string(),
        figures.rejected_count.to_string(),
        figures.missed_count.to_string(),
        figures.moved_in_count.to_string(),
        figures.moved_out_count.to_string(),
        mean(figures.total_wait_duration.as_ref(), figures.accepted_count),
        time(figures.longest_wait_duration.as_ref()),
        mean(figures.handle_duration.as_ref(), finished),
        time(figures.wrap_up_duration.as_ref()),
        levels.join(" / "),
    ]
}

const AGENT_HEADS: [&str; 13] = [
    "date",
    "agent",
    "accepted",
    "handled",
    "answered",
    "sent",
    "rejected",
    "missed",
    "mean handling",
    "available",
    "busy",
    "post-processing",
    "work offline",
];

fn agent_row(figures: &pb::AgentFigures) -> [String; 13] {
    [
        plain(&figures.date),
        slug(&figures.agent, "agents/"),
        figures.accepted_count.to_string(),
        figures.handled_count.to_string(),
        figures.answered_count.to_string(),
        figures.sent_count.to_string(),
        figures.rejected_count.to_string(),
        figures.missed_count.to_string(),
        mean(figures.handle_duration.as_ref(), figures.handled_count),
        time(figures.available_duration.as_ref()),
        time(figures.busy_duration.as_ref()),
        time(figures.post_processing_duration.as_ref()),
        time(figures.work_offline_duration.as_ref()),
    ]
}

fn slug(name: &str, of: &str) -> String {
    plain(name.strip_prefix(of).unwrap_or(name))
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "-".to_owned(), |share| format!("{share:.0}"))
}

fn seconds(duration: Option<&prost_types::Duration>) -> i64 {
    duration.map_or(0, |duration| duration.seconds)
}

/// As `1:02:03`, or `2:03` below an hour.
fn clock(seconds: i64) -> String {
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

fn time(duration: Option<&prost_types::Duration>) -> String {
    clock(seconds(duration))
}

/// What each had of it; nothing if there was none.
fn mean(duration: Option<&prost_types::Duration>, of: i64) -> String {
    seconds(duration)
        .checked_div(of)
        .map_or_else(|| "-".to_owned(), clock)
}

/// The rows below each other: the first two columns and the last begin at the left, numbers end at
/// the right.
fn table<const N: usize>(page: Page, rows: &[[String; N]]) -> Result<(), Failure> {
    if rows.len() < 2 {
        return Ok(());
    }
    let mut widths = [0; N];
    for (width, column) in widths.iter_mut().zip(0..) {
        let cells = rows.iter().filter_map(|row| row.get(column));
        *width = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
    }
    for (number, row) in rows.iter().enumerate() {
        let cells: Vec<String> = (row.iter().zip(widths).enumerate())
            .map(|(column, (cell, width))| match column {
                0 | 1 | 17 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            })
            .collect();
        let line = cells.join("  ");
        let line = line.trim_end();
        page.line(match number {
            0 => page.ink(Ink::Strong, line),
            _ => line.to_owned(),
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_means() {
        let lasting = |seconds| prost_types::Duration { seconds, nanos: 0 };
        assert_eq!(time(None), "0:00");
        assert_eq!(time(Some(&lasting(65))), "1:05");
        assert_eq!(time(Some(&lasting(3600 + 65))), "1:01:05");
        assert_eq!(mean(Some(&lasting(65)), 0), "-");
        assert_eq!(mean(Some(&lasting(65)), 2), "0:32");
    }

    #[test]
    fn both_levels_of_each_goal() {
        let figures = pb::QueueFigures {
            queue: "queues/support".to_owned(),
            date: "2026-11-25".to_owned(),
            received_count: 4,
            service_levels: vec![pb::ServiceLevel {
                goal: pb::ServiceGoal::Answer.into(),
                met_count: 1,
                late_count: 0,
                lost_count: 2,
                percent_of_reached: Some(100.0),
                percent_of_due: Some(100.0 / 3.0),
            }],
            ..pb::QueueFigures::default()
        };
        let row = queue_row(&figures);
        assert_eq!(row[1..3], ["support", "4"]);
        assert_eq!(row[17], "- / 100 33 % / -");
    }
}
