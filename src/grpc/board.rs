//! The board: what queues and agents are like now, for those who look on, and the alerts.
//!
//! A board shows values and not events. Each changed value is sent whole, at most once an interval,
//! so a slow reader misses what was in between and never how it is in the end.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Response, Status};

use super::access::Principal;
use super::form::Form;
use super::page::Page;
use super::pb::watch_overview_response::Frame;
use super::pb::{ClosingReason, ReconnectAction};
use super::watch::{self, EXPIRED, Feed, Frames, Gone, HEARTBEAT};
use super::{Shared, convert, errors, pb, respond};
use crate::desk::{Actor, Agent, Alert, Answer, Command, Presence};
use crate::engine::{EngineError, Handle, Overview};
use crate::id::{AgentId, QueueId, SessionId};

/// How often a board is looked at, unless the client asks for something else.
const INTERVAL_DEFAULT: Duration = Duration::from_secs(1);

/// The shortest and the longest interval: people see no more, and clients give up waiting later.
const INTERVAL_BOUNDS: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(60));

/// Queues that a stream may be narrowed to.
const QUEUES_MAX: usize = 500;

/// The newest picture of the floor, taken once for all who look on.
#[derive(Default)]
pub(super) struct Board {
    newest: Mutex<Option<Arc<Overview>>>,
}

impl Board {
    /// The floor as it is, or was a moment ago.
    async fn newest(&self, handle: &Handle) -> Result<Arc<Overview>, EngineError> {
        let mut newest = self.newest.lock().await;
        let known = newest.clone();
        let (shortest, _) = INTERVAL_BOUNDS;
        let fresh = handle
            .look(move |desk, now| {
                // Of a new account no event tells.
                let stands = known.is_some_and(|known| {
                    let same = known.revision == desk.counters().revision
                        && known.agents.len() == desk.agents().len()
                        && known.queues.len() == desk.queues().len();
                    same || now < known.time + shortest
                });
                (!stands).then(|| Overview::of(desk, now))
            })
            .await?;
        if let Some(fresh) = fresh {
            let fresh = handle.with_figures(fresh).await?;
            *newest = Some(Arc::new(fresh));
        }
        newest.clone().ok_or(EngineError::Stopping)
    }
}

/// What one stream shows of the floor.
#[derive(PartialEq)]
struct Shown {
    queues: Vec<pb::QueueStats>,
    agents: Vec<pb::AgentActivity>,
}

impl Shown {
    fn of(overview: &Overview, only: &BTreeSet<QueueId>) -> Self {
        let all = only.is_empty();
        Self {
            queues: (overview.queues.iter())
                .filter(|stats| all || only.contains(&stats.queue))
                .map(|stats| convert::queue_stats(stats, overview))
                .collect(),
            agents: (overview.agents.iter())
                .filter(|(agent, _)| all || !agent.queues.is_disjoint(only))
                .map(|(agent, shown)| convert::agent_activity(agent, shown))
                .collect(),
        }
    }

    /// Whether it is about the same queues and agents.
    fn lists_as(&self, other: &Self) -> bool {
        let queues = |shown: &Self| (shown.queues.iter()).map(|it| it.queue.clone()).collect();
        let agents = |shown: &Self| (shown.agents.iter()).map(|it| it.agent.clone()).collect();
        let same: fn(Vec<String>, Vec<String>) -> bool = |left, right| left == right;
        same(queues(self), queues(other)) && same(agents(self), agents(other))
    }

    /// The frames that make a reader of `before` see this.
    fn since(self, before: &Self, overview: &Overview) -> (Self, Vec<Frame>) {
        if !self.lists_as(before) {
            let whole = self.whole(overview);
            return (self, vec![Frame::Overview(whole)]);
        }
        let mut frames = Vec::new();
        for (now, then) in self.queues.iter().zip(&before.queues) {
            // That time passes is no change: the reader has a clock.
            let aged = pb::QueueStats {
                oldest_wait_duration: then.oldest_wait_duration,
                ..now.clone()
            };
            if aged != *then || now.oldest_enqueue_time != then.oldest_enqueue_time {
                frames.push(Frame::QueueStats(now.clone()));
            }
        }
        for (now, then) in self.agents.iter().zip(&before.agents) {
            if now != then {
                frames.push(Frame::AgentActivity(now.clone()));
            }
        }
        (self, frames)
    }

    fn whole(&self, overview: &Overview) -> pb::Overview {
        pb::Overview {
            queues: self.queues.clone(),
            agents: self.agents.clone(),
            revision: convert::long(overview.revision),
            sample_time: Some(convert::time(overview.time)),
            alerts: Vec::new(),
        }
    }
}

struct Onlooker;

impl Frames for Onlooker {
    type Frame = pb::WatchOverviewResponse;

    fn heartbeat(heartbeat: pb::StreamHeartbeat) -> Self::Frame {
        frame(Frame::Heartbeat(heartbeat))
    }

    fn closing(closing: pb::StreamClosing) -> Self::Frame {
        frame(Frame::Closing(closing))
    }
}

const fn frame(frame: Frame) -> pb::WatchOverviewResponse {
    pb::WatchOverviewResponse { frame: Some(frame) }
}

pub(super) type OverviewStream = ReceiverStream<Result<pb::WatchOverviewResponse, Status>>;

pub(super) async fn watch_overview(
    shared: &Arc<Shared>,
    caller: Arc<Principal>,
    asked: pb::WatchOverviewRequest,
) -> Result<Response<OverviewStream>, Status> {
    watch::unless_draining(shared)?;
    let mut form = Form::new();
    let only = form.names::<QueueId>("queues", &asked.queues, "queues", QUEUES_MAX);
    let interval = match asked.min_interval.map(Duration::try_from) {
        None => Some(INTERVAL_DEFAULT),
        Some(Ok(interval)) => Some(interval),
        Some(Err(_)) => {
            form.wrong("min_interval", "must not be negative");
            None
        }
    };
    let (only, interval) = form.done((only, interval))?;
    let (shortest, longest) = INTERVAL_BOUNDS;
    let interval = interval.clamp(shortest, longest);
    let permit = shared.streams.admit(&caller)?;
    let overview = (shared.board.newest(&shared.handle).await).map_err(errors::engine)?;
    if let Some(unknown) =
        (only.iter()).find(|id| !(overview.queues.iter()).any(|stats| stats.queue == **id))
    {
        return Err(errors::not_found(convert::queue_name(unknown)));
    }
    let (out, frames) = mpsc::channel(watch::FRAMES_AHEAD);
    let gone = out.clone();
    let session = caller.session;
    let feed: Feed<Onlooker> =
        Feed::new(Arc::clone(shared), caller, out, overview.revision, permit);
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        tokio::select! {
            () = gone.closed() => {}
            () = follow(&shared, feed, session, overview, (&only, interval)) => {}
        }
    });
    Ok(Response::new(ReceiverStream::new(frames)))
}

/// Shows the floor until the stream ends.
async fn follow(
    shared: &Shared,
    mut feed: Feed<Onlooker>,
    session: Option<SessionId>,
    first: Arc<Overview>,
    (only, interval): (&BTreeSet<QueueId>, Duration),
) {
    let mut shown = Shown::of(&first, only);
    let mut seen = Arc::clone(&first);
    if (feed.send(frame(Frame::Overview(shown.whole(&first)))).await).is_err() {
        return;
    }
    let mut silent = Duration::ZERO;
    let draining = (ClosingReason::ServerDraining, ReconnectAction::Resume);
    let (reason, action) = loop {
        tokio::select! {
            biased;
            () = shared.drain.cancelled() => break draining,
            () = tokio::time::sleep(interval) => {}
        }
        // Of the end of a session the engine tells only that session's own stream.
        let keys = shared.handle.keys();
        let signed_in = session.is_none_or(|id| keys.agent_of_session(id).is_some());
        if !signed_in || !feed.credential_is_good() {
            break EXPIRED;
        }
        let Ok(overview) = shared.board.newest(&shared.handle).await else {
            break draining;
        };
        let mut frames = Vec::new();
        if !Arc::ptr_eq(&overview, &seen) {
            feed.saw(overview.revision);
            (shown, frames) = Shown::of(&overview, only).since(&shown, &overview);
            seen = overview;
        }
        silent = if frames.is_empty() {
            silent + interval
        } else {
            Duration::ZERO
        };
        let told = if silent >= HEARTBEAT {
            silent = Duration::ZERO;
            feed.beat().await
        } else {
            tell(&feed, frames).await
        };
        if told.is_err() {
            return;
        }
    };
    feed.close(reason, action).await;
}

async fn tell(feed: &Feed<Onlooker>, frames: Vec<Frame>) -> Result<(), Gone> {
    for found in frames {
        feed.send(frame(found)).await?;
    }
    Ok(())
}

pub(super) async fn list_agent_activities(
    shared: &Shared,
    caller: &Principal,
    asked: pb::ListAgentActivitiesRequest,
) -> Result<Response<pb::ListAgentActivitiesResponse>, Status> {
    let mut form = Form::new();
    let queue = form.maybe_name::<QueueId>("queue", &asked.queue, "queues");
    let (size, token) = (asked.page_size, asked.page_token.as_str());
    let list = "ListAgentActivities";
    let page = Page::read(&mut form, caller, list, &asked.queue, size, token)?;
    let queue = form.done(queue)?;
    let after = page.after(|bytes| std::str::from_utf8(bytes).ok()?.parse::<AgentId>().ok())?;
    let size = page.size;
    let mut agents: Vec<(Agent, Presence)> = (shared.handle)
        .look(move |desk, _| {
            if (queue.as_ref()).is_some_and(|id| !desk.queues().contains_key(id)) {
                return None;
            }
            let begin = after.map_or(Bound::Unbounded, Bound::Excluded);
            let page = (desk.agents().range((begin, Bound::Unbounded)))
                .filter(|(_, agent)| {
                    (queue.as_ref()).is_none_or(|queue| agent.queues.contains(queue))
                })
                .filter_map(|(id, agent)| Some((agent.clone(), desk.presence(id)?)))
                .take(size + 1);
            Some(page.collect())
        })
        .await
        .map_err(errors::engine)?
        .ok_or_else(|| errors::not_found(asked.queue))?;
    let next_page_token = page.cut(&mut agents, |(agent, _)| agent.id.as_str().into());
    Ok(Response::new(pb::ListAgentActivitiesResponse {
        agent_activities: (agents.iter())
            .map(|(agent, shown)| convert::agent_activity(agent, shown))
            .collect(),
        next_page_token,
    }))
}

pub(super) async fn list_alerts(
    shared: &Shared,
    caller: &Principal,
    asked: pb::ListAlertsRequest,
) -> Result<Response<pb::ListAlertsResponse>, Status> {
    let mut form = Form::new();
    let (size, token) = (asked.page_size, asked.page_token.as_str());
    let page = Page::read(&mut form, caller, "ListAlerts", "", size, token)?;
    form.done(Some(()))?;
    let after = page.after(|bytes| String::from_utf8(bytes.to_vec()).ok())?;
    let size = page.size;
    let mut alerts: Vec<Alert> = (shared.handle)
        .look(move |desk, _| {
            // In the order of their names, which tokens hold.
            let mut named: Vec<(String, &Alert)> = (desk.alerts())
                .map(|alert| (alert.concern.to_string(), alert))
                .filter(|(name, _)| after.as_ref().is_none_or(|after| name > after))
                .collect();
            named.sort_by(|left, right| left.0.cmp(&right.0));
            named.truncate(size + 1);
            named.into_iter().map(|(_, alert)| alert.clone()).collect()
        })
        .await
        .map_err(errors::engine)?;
    let next_page_token = page.cut(&mut alerts, |alert| alert.concern.to_string().into());
    Ok(Response::new(pb::ListAlertsResponse {
        alerts: alerts.iter().map(convert::alert).collect(),
        next_page_token,
    }))
}

pub(super) async fn clear_alert(
    shared: &Shared,
    by: Actor,
    asked: pb::ClearAlertRequest,
) -> Result<Response<pb::ClearAlertResponse>, Status> {
    let name = asked.name.strip_prefix("alerts/").map(str::to_owned);
    let Some(name) = name else {
        return Err(errors::field_invalid("name", "must be alerts/{id}"));
    };
    let concern = (shared.handle)
        .look(move |desk, _| {
            let mut alerts = desk.alerts();
            let named = alerts.find(|alert| alert.concern.to_string() == name);
            named.map(|alert| alert.concern.clone())
        })
        .await
        .map_err(errors::engine)?
        .ok_or_else(|| errors::not_found(asked.name))?;
    let done = (shared
        .handle
        .command_by(by, Command::ClearAlert(concern), None)
        .await)
        .map_err(errors::engine)?;
    debug_assert_eq!(done.answer, Answer::Done);
    Ok(respond(pb::ClearAlertResponse {}, done.replayed))
}
