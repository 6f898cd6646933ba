//! `QueueService`: queues as configured, and who serves them.

use std::ops::Bound;
use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::access::caller;
use super::form::Form;
use super::page::{self, Page};
use super::pb::queue_service_server::QueueService;
use super::{Shared, convert, errors, pb};
use crate::desk::Command;
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

    async fn create_membership(
        &self,
        request: Request<pb::CreateMembershipRequest>,
    ) -> Result<Response<pb::CreateMembershipResponse>, Status> {
        let caller = caller(&request)?;
        let asked = request.into_inner();
        let mut form = Form::new();
        let queue = form.name::<QueueId>("parent", &asked.parent, "queues");
        let agent = asked.membership.unwrap_or_default().agent;
        let agent = form.agent("membership.agent", &agent, &caller);
        let (queue, agent) = form.done((queue, agent))?;
        let membership = convert::membership(&queue, &agent);
        let command = Command::JoinQueue { agent, queue };
        (self
            .0
            .handle
            .command_by(caller.actor(), command, None)
            .await)
            .map_err(errors::engine)?;
        Ok(Response::new(pb::CreateMembershipResponse {
            membership: Some(membership),
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
        let (size, of) = (page.size, queue.clone());
        let mut members = (self.0.handle)
            .look(move |desk, _| {
                let begin = after.map_or(Bound::Unbounded, Bound::Excluded);
                (desk.agents().range((begin, Bound::Unbounded)))
                    .filter(|(_, agent)| agent.queues.contains(&of))
                    .map(|(id, _)| id.clone())
                    .take(size + 1)
                    .collect::<Vec<_>>()
            })
            .await
            .map_err(errors::engine)?;
        let next_page_token = page.cut(&mut members, |id| id.as_str().as_bytes().to_vec());
        Ok(Response::new(pb::ListMembershipsResponse {
            memberships: (members.iter())
                .map(|agent| convert::membership(&queue, agent))
                .collect(),
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
