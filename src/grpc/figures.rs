//! Figures of queues and agents, day by day, in pages.

use std::ops::RangeInclusive;
use std::str::FromStr;

use tonic::{Response, Status};

use super::access::Principal;
use super::form::Form;
use super::page::{self, Page};
use super::{Shared, convert, errors, pb};
use crate::desk::Day;
use crate::engine::figures::{Asked, DAYS_MAX};
use crate::id::{AgentId, QueueId};

pub(super) async fn of_queues(
    shared: &Shared,
    caller: &Principal,
    asked: pb::ListQueueFiguresRequest,
) -> Result<Response<pb::ListQueueFiguresResponse>, Status> {
    let mut form = Form::new();
    let of = form.maybe_name::<QueueId>("queue", &asked.queue, "queues");
    let days = days(&mut form, &asked.from_date, &asked.to_date);
    let filter = [&*asked.queue, &*asked.from_date, &*asked.to_date].join(" ");
    let (size, token) = (asked.page_size, asked.page_token.as_str());
    let page = Page::read(&mut form, caller, "ListQueueFigures", &filter, size, token)?;
    let (of, days) = form.done((of, days))?;
    let after = page.after(read_position)?;
    let limit = page.size + 1;
    let asked = Asked {
        days,
        of,
        after,
        limit,
    };
    let mut found = (shared.handle.queue_figures(asked).await).map_err(errors::engine)?;
    let next_page_token = page.cut(&mut found, |(day, of, _)| position(*day, of.as_str()));
    Ok(Response::new(pb::ListQueueFiguresResponse {
        queue_figures: (found.iter())
            .map(|(day, of, figure)| convert::queue_figures(*day, of, figure))
            .collect(),
        next_page_token,
    }))
}

pub(super) async fn of_agents(
    shared: &Shared,
    caller: &Principal,
    asked: pb::ListAgentFiguresRequest,
) -> Result<Response<pb::ListAgentFiguresResponse>, Status> {
    let mut form = Form::new();
    let of = form.maybe_name::<AgentId>("agent", &asked.agent, "agents");
    let days = days(&mut form, &asked.from_date, &asked.to_date);
    let filter = [&*asked.agent, &*asked.from_date, &*asked.to_date].join(" ");
    let (size, token) = (asked.page_size, asked.page_token.as_str());
    let page = Page::read(&mut form, caller, "ListAgentFigures", &filter, size, token)?;
    let (of, days) = form.done((of, days))?;
    let after = page.after(read_position)?;
    let limit = page.size + 1;
    let asked = Asked {
        days,
        of,
        after,
        limit,
    };
    let mut found = (shared.handle.agent_figures(asked).await).map_err(errors::engine)?;
    let next_page_token = page.cut(&mut found, |(day, of, _)| position(*day, of.as_str()));
    Ok(Response::new(pb::ListAgentFiguresResponse {
        agent_figures: (found.iter())
            .map(|(day, of, figure)| convert::agent_figures(*day, of, figure))
            .collect(),
        next_page_token,
    }))
}

/// The days from one to another, or the one.
fn days(form: &mut Form, from: &str, to: &str) -> Option<RangeInclusive<Day>> {
    let mut read = |field: &str, text: &str| {
        let day = text.parse::<Day>().ok();
        if day.is_none() {
            form.wrong(field, "must be a day such as 2026-12-25");
        }
        day
    };
    let first = read("from_date", from);
    let last = match to {
        "" => first,
        _ => read("to_date", to),
    };
    let (first, last) = first.zip(last)?;
    if last < first || last.number() - first.number() >= DAYS_MAX {
        let what = format!("must not be before from_date, nor make more than {DAYS_MAX} days");
        form.wrong("to_date", what);
        return None;
    }
    Some(first..=last)
}

fn position(day: Day, slug: &str) -> Vec<u8> {
    [&day.number().to_be_bytes(), slug.as_bytes()].concat()
}

fn read_position<T: FromStr>(bytes: &[u8]) -> Option<(Day, T)> {
    let (day, slug) = bytes.split_first_chunk::<4>()?;
    let day = Day::from_number(u32::from_be_bytes(*day));
    Some((day, page::text(slug)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_few_and_in_order() {
        for (from, to, read) in [
            ("2026-11-25", "", Some(1)),
            ("2026-11-25", "2026-11-25", Some(1)),
            ("2026-02-28", "2026-03-01", Some(2)),
            ("2026-01-01", "2026-04-02", Some(92)),
            ("2026-01-01", "2026-04-03", None),
            ("2026-11-25", "2026-11-24", None),
            ("", "2026-11-25", None),
            ("2026-11-25", "today", None),
            ("1970-01-01", "9999-12-30", None),
        ] {
            let mut form = Form::new();
            let found = days(&mut form, from, to);
            let count = found
                .as_ref()
                .map(|days| days.end().number() - days.start().number() + 1);
            assert_eq!(count, read, "{from} {to}");
            assert_eq!(form.done(found).is_ok(), read.is_some());
        }
    }

    #[test]
    fn a_position_comes_back_from_its_token() {
        let day: Day = "2026-11-25".parse().unwrap();
        let anna: AgentId = "anna".parse().unwrap();
        assert_eq!(read_position(&position(day, "anna")), Some((day, anna)));
        assert_eq!(read_position::<AgentId>(b"an"), None);
        assert_eq!(read_position::<AgentId>(&position(day, "")), None);
    }
}
