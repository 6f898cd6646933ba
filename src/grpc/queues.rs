//! `QueueService`: queues as configured, and who serves them.

use std::ops::Bound;
use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::access::caller;
use super::form::Form;
use super::page::{self, Page};
use super::pb::queue_service_server::QueueService;
use super::{Shared, convert, errors, pb, respond};
use crate::desk::{Answer, Command, WEIGHT_MAX};
use crate::id::{AgentId, QueueId};

pub(super) struct Queues(pub(super) Arc<Shared>);

#[tonic::async_trait]
impl QueueService for Queues {
    async fn get_queue(
        &self,
        request: Request<pb::GetQueueRequest>,
    ) -> Result<Response<pb::GetQueueResponse>, Status> {
        let mut form = Form::new();
        let id = form.name::<QueueId>("name", &request.get_ref().name, "queues");
        let queue = self.0.queue(form.done(id)?, convert::queue).await?;
        Ok(Response::new(pb::GetQueueResponse { queue: Some(queue) }))
    }

    async fn list_queues(
        &self,
        request: Request<pb::ListQueuesRequest>,
    ) -> Result<Response<pb::ListQueuesResponse>, Status> {
        let caller = caller(&request)?;
        let asked = request.into_inner();
        let mut form = Form::new();
        let (size, token) = (asked.page_size, asked.page_token.as_str());
        let page = Page::read(&mut form, &caller, "ListQueues", "", size, token)?;
        form.done(Some(()))?;
        let after = page.after(page::text::<QueueId>)?;
        let size = page.size;
        let mut queues = (self.0.handle)
            .look(move |desk, _| {
                let begin = after.map_or(Bound::Unbounded, Bound::Excluded);
                (desk.queues().range((begin, Bound::Unbounded)))
                    .map(|(id, queue)| (id.clone(), convert::queue(queue)))
                    .take(size + 1)
                    .collect::<Vec<_>>()
            })
            .await
            .map_err(errors::engine)?;
        let next_page_token = page.cut(&mut queues, |(id, _)| id.as_str().as_bytes().to_vec());
        Ok(Response::new(pb::ListQueuesResponse {
            queues: queues.into_iter().map(|(_, queue)| queue).collect(),
            next_page_token,
        }))
    }

    async fn pause_queue(
        &self,
        request: Request<pb::PauseQueueRequest>,
    ) -> Result<Response<pb::PauseQueueResponse>, Status> {
        let caller = caller(&request)?;
        let mut asked = request.into_inner();
        let id = std::mem::take(&mut asked.request_id);
        let mut form = Form::new();
        let name = form.name::<QueueId>("name", &asked.name, "queues");
        let key = form.request(&caller.subject, "PauseQueue", id, &asked);
        let (queue, key) = form.done((name, key))?;
        let reason = asked.reason;
        let name = queue.clone();
        let command = Command::PauseQueue { queue, reason };
        let done = (self.0.handle.command(command, key).await).map_err(errors::engine)?;
        let queue = Some(self.0.queue(name, convert::queue).await?);
        Ok(respond(pb::PauseQueueResponse { queue }, done.replayed))
    }

    async fn resume_queue(
        &self,
        request: Request<pb::ResumeQueueRequest>,
    ) -> Result<Response<pb::ResumeQueueResponse>, Status> {
        let caller = caller(&request)?;
        let mut asked = request.into_inner();
        let id = std::mem::take(&mut asked.request_id);
        let mut form = Form::new();
        let name = form.name::<QueueId>("name", &asked.name, "queues");
        let key = form.request(&caller.subject, "ResumeQueue", id, &asked);
        let (queue, key) = form.done((name, key))?;
        let name = queue.clone();
        let command = Command::ResumeQueue { queue };
        let done = (self.0.handle.command(command, key).await).map_err(errors::engine)?;
        let queue = Some(self.0.queue(name, convert::queue).await?);
        Ok(respond(pb::ResumeQueueResponse { queue }, done.replayed))
    }

    async fn create_membership(
        &self,
        request: Request<pb::CreateMembershipRequest>,
    ) -> Result<Response<pb::CreateMembershipResponse>, Status> {
        let caller = caller(&request)?;
        let asked = request.into_inner();
        let mut form = Form::new();
        let queue = form.name::<QueueId>("parent", &asked.parent, "queues");
        let asked = asked.membership.unwrap_or_default();
        let agent = form.agent("membership.agent", &asked.agent, &caller);
        let weight = match (asked.weight, u8::try_from(asked.weight)) {
            (0, _) => Some(None),
            (_, Ok(weight)) if weight <= WEIGHT_MAX => Some(Some(weight)),
            _ => {
                form.wrong("membership.weight", format!("must be 1 to {WEIGHT_MAX}"));
                None
            }
        };
        let (queue, agent, weight) = form.done((queue, agent, weight))?;
        let of = queue.clone();
        let command = Command::JoinQueue {
            agent,
            queue,
            weight,
        };
        let done = (self
            .0
            .handle
            .command_by(caller.actor(), command, None)
            .await)
            .map_err(errors::engine)?;
        let Answer::Agent(agent) = done.answer else {
            return Err(errors::internal(
                "CreateMembership was not answered by an agent",
            ));
        };
        Ok(Response::new(pb::CreateMembershipResponse {
            membership: Some(convert::weighed(&of, &agent)),
        }))
    }

    async fn list_memberships(
        &self,
        request: Request<pb::ListMembershipsRequest>,
    ) -> Result<Response<pb::ListMembershipsResponse>, Status> {
        let caller = caller(&request)?;
        let asked = request.into_inner();
        let mut form = Form::new();
        let queue = form.name::<QueueId>("parent", &asked.parent, "queues");
        let (size, token) = (asked.page_size, asked.page_token.as_str());
        let page = Page::read(
            &mut form,
            &caller,
            "ListMemberships",
            &asked.parent,
            size,
            token,
        )?;
        let queue = form.done(queue)?;
        self.0.queue(queue.clone(), |_| ()).await?;
        let after = page.after(page::text::<AgentId>)?;
        let (size, of) = (page.size, queue);
        let mut members = (self.0.handle)
            .look(move |desk, _| {
                let begin = after.map_or(Bound::Unbounded, Bound::Excluded);
                (desk.agents().range((begin, Bound::Unbounded)))
                    .filter(|(_, agent)| agent.queues.contains(&of))
                    .map(|(id, agent)| (id.clone(), convert::weighed(&of, agent)))
                    .take(size + 1)
                    .collect::<Vec<_>>()
            })
            .await
            .map_err(errors::engine)?;
        let next_page_token = page.cut(&mut members, |(id, _)| id.as_str().as_bytes().to_vec());
        Ok(Response::new(pb::ListMembershipsResponse {
            memberships: (members.into_iter().map(|(_, membership)| membership)).collect(),
            next_page_token,
        }))
    }

    async fn delete_membership(
        &self,
        request: Request<pb::DeleteMembershipRequest>,
    ) -> Result<Response<pb::DeleteMembershipResponse>, Status> {
        let caller = caller(&request)?;
        let name = &request.get_ref().name;
        let mut form = Form::new();
        let parts = name
            .strip_prefix("queues/")
            .and_then(|rest| rest.split_once("/members/"))
            .and_then(|(queue, agent)| {
                Some((
                    queue.parse::<QueueId>().ok()?,
                    agent.parse::<AgentId>().ok()?,
                ))
            });
        if parts.is_none() {
            form.wrong("name", "must be queues/{id}/members/{agent id}");
        }
        let (queue, agent) = form.done(parts)?;
        let command = Command::LeaveQueue { agent, queue };
        (self
            .0
            .handle
            .command_by(caller.actor(), command, None)
            .await)
            .map_err(errors::engine)?;
        Ok(Response::new(pb::DeleteMembershipResponse {}))
    }
}
