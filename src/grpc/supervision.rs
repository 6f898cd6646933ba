//! `SupervisorService`: the live view of the floor.

use std::ops::Bound;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::access::caller;
use super::form::Form;
use super::page::Page;
use super::pb::supervisor_service_server::SupervisorService;
use super::pb::watch_desk_response::Frame;
use super::watch::{self, Feed, Frames, Wording};
use super::{
    Shared, board, bulk, convert, errors, events, explain, figures, pb, recording, respond,
    steering,
};
use crate::desk::{Actor, Answer, Command, Event, PRIORITY_MAX, Place, State};
use crate::engine::RequestKey;
use crate::id::{InteractionId, QueueId};
use crate::time::Timestamp;

pub(super) struct Supervision(pub(super) Arc<Shared>);

/// A place in a page token: the next page goes on behind it even if whoever stood there has left.
fn write_place((priority, arrived, id): Place) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(28);
    bytes.extend(priority.0.to_be_bytes());
    bytes.extend(arrived.as_millis().to_be_bytes());
    bytes.extend(id.to_bytes());
    bytes
}

fn read_place(bytes: &[u8]) -> Option<Place> {
    let (priority, rest) = bytes.split_first_chunk::<4>()?;
    let (arrived, id) = rest.split_first_chunk::<8>()?;
    Some((
        std::cmp::Reverse(i32::from_be_bytes(*priority)),
        Timestamp::from_millis(u64::from_be_bytes(*arrived)),
        InteractionId::from_bytes(id.try_into().ok()?),
    ))
}

impl Supervision {
    /// Decides about an interaction in nobody's hands, and says whether that had been done before.
    async fn decide(
        &self,
        by: Actor,
        command: Command,
        key: Option<RequestKey>,
    ) -> Result<(pb::Interaction, bool), Status> {
        let done = (self.0.handle.command_by(by, command, key).await).map_err(errors::engine)?;
        let Answer::Work(found) = done.answer else {
            return Err(errors::internal(
                "a decision was not answered by an interaction",
            ));
        };
        Ok((convert::interaction(&found), done.replayed))
    }
}

#[tonic::async_trait]
impl SupervisorService for Supervision {
    async fn get_overview(
        &self,
        _request: Request<pb::GetOverviewRequest>,
    ) -> Result<Response<pb::GetOverviewResponse>, Status> {
        let overview = (self.0.handle.overview().await).map_err(errors::engine)?;
        Ok(Response::new(pb::GetOverviewResponse {
            overview: Some(convert::overview(&overview)),
        }))
    }

    type WatchDeskStream = ReceiverStream<Result<pb::WatchDeskResponse, Status>>;

    async fn watch_desk(
        &self,
        request: Request<pb::WatchDeskRequest>,
    ) -> Result<Response<Self::WatchDeskStream>, Status> {
        watch::unless_draining(&self.0)?;
        let caller = caller(&request)?;
        let permit = self.0.streams.admit(&caller)?;
        let mut watched = (self.0.handle.watch_desk().await).map_err(errors::engine)?;
        let (out, frames) = mpsc::channel(watch::FRAMES_AHEAD);
        let shared = Arc::clone(&self.0);
        let latest = watched.overview.revision;
        let feed: Feed<Desk> = Feed::new(shared, caller, out, latest, permit);
        tokio::spawn(async move {
            let overview = frame(Frame::Overview(convert::overview(&watched.overview)));
            if feed.send(overview).await.is_ok() {
                feed.follow(&mut watched.frames).await;
            }
        });
        Ok(Response::new(ReceiverStream::new(frames)))
    }

    async fn list_waiting_interactions(
        &self,
        request: Request<pb::ListWaitingInteractionsRequest>,
    ) -> Result<Response<pb::ListWaitingInteractionsResponse>, Status> {
        let caller = caller(&request)?;
        let asked = request.into_inner();
        let mut form = Form::new();
        let queue = form.name::<QueueId>("queue", &asked.queue, "queues");
        let (size, token) = (asked.page_size, asked.page_token.as_str());
        let list = "ListWaitingInteractions";
        let page = Page::read(&mut form, &caller, list, &asked.queue, size, token)?;
        let queue = form.done(queue)?;
        let after = page.after(read_place)?;
        let (size, id) = (page.size, queue.clone());
        let mut waiting = (self.0.handle)
            .look(move |desk, now| {
                let queue = desk.queues().get(&id)?;
                let line = (queue.waiting_after(after))
                    .filter_map(|place| Some((place, desk.interactions().get(&place.2)?)))
                    .map(|(place, found)| (place, convert::waiting(found, place, now)))
                    .take(size + 1)
                    .collect::<Vec<_>>();
                Some(line)
            })
            .await
            .map_err(errors::engine)?
            .ok_or_else(|| errors::not_found(convert::queue_name(&queue)))?;
        let next_page_token = page.cut(&mut waiting, |(place, _)| write_place(*place));
        Ok(Response::new(pb::ListWaitingInteractionsResponse {
            waiting_interactions: waiting.into_iter().map(|(_, found)| found).collect(),
            next_page_token,
        }))
    }

    async fn list_held_interactions(
        &self,
        request: Request<pb::ListHeldInteractionsRequest>,
    ) -> Result<Response<pb::ListHeldInteractionsResponse>, Status> {
        let caller = caller(&request)?;
        let asked = request.into_inner();
        let mut form = Form::new();
        let queue = form.maybe_name::<QueueId>("queue", &asked.queue, "queues");
        let (size, token) = (asked.page_size, asked.page_token.as_str());
        let list = "ListHeldInteractions";
        let page = Page::read(&mut form, &caller, list, &asked.queue, size, token)?;
        let queue = form.done(queue)?;
        let after = page.after(|bytes| Some(InteractionId::from_bytes(bytes.try_into().ok()?)))?;
        let (size, id) = (page.size, queue.clone());
        let mut held = (self.0.handle)
            .look(move |desk, _| {
                if id
                    .as_ref()
                    .is_some_and(|id| !desk.queues().contains_key(id))
                {
                    return None;
                }
                let begin = after.map_or(Bound::Unbounded, Bound::Excluded);
                let held = (desk.interactions().range((begin, Bound::Unbounded)))
                    .filter(|(_, found)| matches!(found.state, State::Held { .. }))
                    .filter(|(_, found)| id.as_ref().is_none_or(|id| found.queue == *id))
                    .map(|(_, found)| found.clone())
                    .take(size + 1)
                    .collect::<Vec<_>>();
                Some(held)
            })
            .await
            .map_err(errors::engine)?
            .ok_or_else(|| errors::not_found(asked.queue))?;
        let next_page_token = page.cut(&mut held, |found| found.id.to_bytes().to_vec());
        Ok(Response::new(pb::ListHeldInteractionsResponse {
            interactions: held.iter().map(convert::interaction).collect(),
            next_page_token,
        }))
    }

    async fn release_interaction(
        &self,
        request: Request<pb::ReleaseInteractionRequest>,
    ) -> Result<Response<pb::ReleaseInteractionResponse>, Status> {
        let caller = caller(&request)?;
        let mut asked = request.into_inner();
        let id = std::mem::take(&mut asked.request_id);
        let mut form = Form::new();
        let interaction = form.name("name", &asked.name, "interactions");
        let key = form.request(&caller.subject, "ReleaseInteraction", id, &asked);
        let (interaction, key) = form.done((interaction, key))?;
        let (found, replayed) = self
            .decide(caller.actor(), Command::Release { interaction }, key)
            .await?;
        let interaction = Some(found);
        Ok(respond(
            pb::ReleaseInteractionResponse { interaction },
            replayed,
        ))
    }

    async fn dismiss_interaction(
        &self,
        request: Request<pb::DismissInteractionRequest>,
    ) -> Result<Response<pb::DismissInteractionResponse>, Status> {
        let caller = caller(&request)?;
        let mut asked = request.into_inner();
        let id = std::mem::take(&mut asked.request_id);
        let mut form = Form::new();
        let interaction = form.name("name", &asked.name, "interactions");
        let key = form.request(&caller.subject, "DismissInteraction", id, &asked);
        let (interaction, key) = form.done((interaction, key))?;
        let (found, replayed) = self
            .decide(caller.actor(), Command::Dismiss { interaction }, key)
            .await?;
        let interaction = Some(found);
        Ok(respond(
            pb::DismissInteractionResponse { interaction },
            replayed,
        ))
    }

    type WatchOverviewStream = board::OverviewStream;

    async fn watch_overview(
        &self,
        request: Request<pb::WatchOverviewRequest>,
    ) -> Result<Response<Self::WatchOverviewStream>, Status> {
        let caller = caller(&request)?;
        board::watch_overview(&self.0, caller, request.into_inner()).await
    }

    async fn list_agent_activities(
        &self,
        request: Request<pb::ListAgentActivitiesRequest>,
    ) -> Result<Response<pb::ListAgentActivitiesResponse>, Status> {
        let caller = caller(&request)?;
        board::list_agent_activities(&self.0, &caller, request.into_inner()).await
    }

    async fn list_alerts(
        &self,
        request: Request<pb::ListAlertsRequest>,
    ) -> Result<Response<pb::ListAlertsResponse>, Status> {
        let caller = caller(&request)?;
        board::list_alerts(&self.0, &caller, request.into_inner()).await
    }

    async fn clear_alert(
        &self,
        request: Request<pb::ClearAlertRequest>,
    ) -> Result<Response<pb::ClearAlertResponse>, Status> {
        let caller = caller(&request)?;
        board::clear_alert(&self.0, caller.actor(), request.into_inner()).await
    }

    async fn list_queue_figures(
        &self,
        request: Request<pb::ListQueueFiguresRequest>,
    ) -> Result<Response<pb::ListQueueFiguresResponse>, Status> {
        let caller = caller(&request)?;
        figures::of_queues(&self.0, &caller, request.into_inner()).await
    }

    async fn list_agent_figures(
        &self,
        request: Request<pb::ListAgentFiguresRequest>,
    ) -> Result<Response<pb::ListAgentFiguresResponse>, Status> {
        let caller = caller(&request)?;
        figures::of_agents(&self.0, &caller, request.into_inner()).await
    }

    async fn set_interaction_priority(
        &self,
        request: Request<pb::SetInteractionPriorityRequest>,
    ) -> Result<Response<pb::SetInteractionPriorityResponse>, Status> {
        let caller = caller(&request)?;
        let mut asked = request.into_inner();
        let id = std::mem::take(&mut asked.request_id);
        let mut form = Form::new();
        let interaction = form.name("name", &asked.name, "interactions");
        let priority = asked.priority;
        if !(-PRIORITY_MAX..=PRIORITY_MAX).contains(&priority) {
            form.wrong(
                "priority",
                format!("must be -{PRIORITY_MAX} to {PRIORITY_MAX}"),
            );
        }
        let key = form.request(&caller.subject, "SetInteractionPriority", id, &asked);
        let (interaction, key) = form.done((interaction, key))?;
        let command = Command::Prioritise {
            interaction,
            priority,
        };
        let (found, replayed) = self.decide(caller.actor(), command, key).await?;
        let interaction = Some(found);
        Ok(respond(
            pb::SetInteractionPriorityResponse { interaction },
            replayed,
        ))
    }

    async fn explain_interaction(
        &self,
        request: Request<pb::ExplainInteractionRequest>,
    ) -> Result<Response<pb::ExplainInteractionResponse>, Status> {
        let caller = caller(&request)?;
        explain::interaction(&self.0, &caller, request.into_inner()).await
    }

    async fn reassign_interaction(
        &self,
        request: Request<pb::ReassignInteractionRequest>,
    ) -> Result<Response<pb::ReassignInteractionResponse>, Status> {
        let caller = caller(&request)?;
        let mut asked = request.into_inner();
        let (key, command) = steering::reassignment(&caller, &mut asked)?;
        let (found, replayed) = self.decide(caller.actor(), command, key).await?;
        let interaction = Some(found);
        Ok(respond(
            pb::ReassignInteractionResponse { interaction },
            replayed,
        ))
    }

    async fn treat_interactions(
        &self,
        request: Request<pb::TreatInteractionsRequest>,
    ) -> Result<Response<pb::TreatInteractionsResponse>, Status> {
        let caller = caller(&request)?;
        bulk::treat(&self.0, &caller, request.into_inner()).await
    }

    async fn post_notice(
        &self,
        request: Request<pb::PostNoticeRequest>,
    ) -> Result<Response<pb::PostNoticeResponse>, Status> {
        let caller = caller(&request)?;
        steering::post_notice(&self.0, &caller, request.into_inner()).await
    }

    type DownloadRecordingStream = recording::RecordingStream;

    async fn download_recording(
        &self,
        request: Request<pb::DownloadRecordingRequest>,
    ) -> Result<Response<Self::DownloadRecordingStream>, Status> {
        let caller = caller(&request)?;
        recording::stream(&self.0, &caller, request.into_inner())
    }
}

struct Desk;

impl Frames for Desk {
    type Frame = pb::WatchDeskResponse;

    fn heartbeat(heartbeat: pb::StreamHeartbeat) -> Self::Frame {
        frame(Frame::Heartbeat(heartbeat))
    }

    fn closing(closing: pb::StreamClosing) -> Self::Frame {
        frame(Frame::Closing(closing))
    }
}

impl Wording for Desk {
    fn number(event: &Event) -> u64 {
        event.revision
    }

    fn event(event: &Event, queue_display_name: String) -> Self::Frame {
        frame(Frame::Event(events::desk_event(event, queue_display_name)))
    }
}

const fn frame(frame: Frame) -> pb::WatchDeskResponse {
    pb::WatchDeskResponse { frame: Some(frame) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_comes_back_from_its_token() {
        let now = Timestamp::from_millis(1_700_000_000_000);
        for priority in [i32::MIN, -1, 0, 7] {
            let place = (std::cmp::Reverse(priority), now, InteractionId::new(now, 9));
            assert_eq!(read_place(&write_place(place)), Some(place));
        }
        assert_eq!(read_place(b""), None);
        assert_eq!(read_place(&[0; 27]), None);
        assert_eq!(read_place(&[0; 29]), None);
    }
}
