//! `AgentService`: agents' accounts.

use std::ops::Bound;
use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::access::{self, caller};
use super::form::Form;
use super::page::{self, Page};
use super::password::{PASSWORD_BYTES_MAX, PASSWORD_BYTES_MIN};
use super::pb::agent_service_server::AgentService;
use super::{DISPLAY_NAME_BYTES_MAX, Shared, convert, errors, pb, respond};
use crate::desk::{Answer, Command, NewAgent, Role};
use crate::id::{AgentId, QueueId};

/// Queues that a new agent may be given at once.
const QUEUES_MAX: usize = 500;

pub(super) struct Agents(pub(super) Arc<Shared>);

#[tonic::async_trait]
impl AgentService for Agents {
    async fn create_agent(
        &self,
        request: Request<pb::CreateAgentRequest>,
    ) -> Result<Response<pb::CreateAgentResponse>, Status> {
        let caller = caller(&request)?;
        let mut asked = request.into_inner();
        let id = std::mem::take(&mut asked.request_id);
        let mut form = Form::new();
        let key = form.request(&caller.subject, "CreateAgent", id, &asked);
        let agent_id: Option<AgentId> = match asked.agent_id.parse() {
            Ok(id) => Some(id),
            Err(error) => {
                form.wrong("agent_id", error);
                None
            }
        };
        if agent_id.as_ref().is_some_and(|id| id.as_str() == "me") {
            form.wrong("agent_id", "me is the caller's own name");
        }
        let mut agent = asked.agent.unwrap_or_default();
        if agent.display_name.is_empty() {
            agent.display_name.clone_from(&asked.agent_id);
        }
        let name = form.text(
            "agent.display_name",
            agent.display_name,
            DISPLAY_NAME_BYTES_MAX,
        );
        if agent.queues.len() > QUEUES_MAX {
            form.wrong("agent.queues", format!("more than {QUEUES_MAX}"));
        }
        let queues = (agent.queues.iter().take(QUEUES_MAX))
            .map(|queue| form.name::<QueueId>("agent.queues", queue, "queues"))
            .collect::<Option<Vec<_>>>();
        let (key, agent_id, display_name, queues) = form.done((key, agent_id, name, queues))?;
        let command = Command::CreateAgent(NewAgent {
            id: agent_id,
            display_name,
            password: None,
            supervisor: agent.supervisor,
            queues,
        });
        let done = (self.0.handle.command(command, key).await).map_err(errors::engine)?;
        let Answer::Agent(agent) = done.answer else {
            return Err(errors::internal("CreateAgent was not answered by an agent"));
        };
        let response = pb::CreateAgentResponse {
            agent: Some(convert::agent(&agent)),
        };
        Ok(respond(response, done.replayed))
    }

    async fn get_agent(
        &self,
        request: Request<pb::GetAgentRequest>,
    ) -> Result<Response<pb::GetAgentResponse>, Status> {
        let caller = caller(&request)?;
        let mut form = Form::new();
        let id = form.agent("name", &request.get_ref().name, &caller);
        let id = form.done(id)?;
        let found = id.clone();
        let agent = (self.0.handle)
            .look(move |desk, _| desk.agents().get(&found).map(convert::agent))
            .await
            .map_err(errors::engine)?
            .ok_or_else(|| errors::not_found(format!("agents/{id}")))?;
        Ok(Response::new(pb::GetAgentResponse { agent: Some(agent) }))
    }

    async fn list_agents(
        &self,
        request: Request<pb::ListAgentsRequest>,
    ) -> Result<Response<pb::ListAgentsResponse>, Status> {
        let caller = caller(&request)?;
        let asked = request.into_inner();
        let mut form = Form::new();
        let (size, token) = (asked.page_size, asked.page_token.as_str());
        let page = Page::read(&mut form, &caller, "ListAgents", "", size, token)?;
        form.done(Some(()))?;
        let after = page.after(page::text::<AgentId>)?;
        let size = page.size;
        let mut agents = (self.0.handle)
            .look(move |desk, _| {
                let begin = after.map_or(Bound::Unbounded, Bound::Excluded);
                (desk.agents().range((begin, Bound::Unbounded)))
                    .map(|(id, agent)| (id.clone(), convert::agent(agent)))
                    .take(size + 1)
                    .collect::<Vec<_>>()
            })
            .await
            .map_err(errors::engine)?;
        let next_page_token = page.cut(&mut agents, |(id, _)| id.as_str().as_bytes().to_vec());
        Ok(Response::new(pb::ListAgentsResponse {
            agents: agents.into_iter().map(|(_, agent)| agent).collect(),
            next_page_token,
        }))
    }

    async fn set_agent_password(
        &self,
        request: Request<pb::SetAgentPasswordRequest>,
    ) -> Result<Response<pb::SetAgentPasswordResponse>, Status> {
        let caller = caller(&request)?;
        let asked = request.into_inner();
        let mut form = Form::new();
        let agent = form.agent("name", &asked.name, &caller);
        let current = asked.current_password;
        let current = form.text("current_password", current, PASSWORD_BYTES_MAX);
        if asked.new_password.len() < PASSWORD_BYTES_MIN {
            let short = format!("shorter than {PASSWORD_BYTES_MIN} bytes");
            form.wrong("new_password", short);
        }
        let new = form.text("new_password", asked.new_password, PASSWORD_BYTES_MAX);
        let (agent, current, new) = form.done((agent, current, new))?;
        let admin = caller.is(Role::Admin);
        if !admin && caller.agent.as_ref() != Some(&agent) {
            return Err(access::role_required("SetAgentPassword", "ADMIN"));
        }
        let stored = (self.0.password_of(agent.clone()).await?)
            .ok_or_else(|| errors::not_found(format!("agents/{agent}")))?;
        if !admin {
            let now = self.0.handle.now();
            let proven = (self.0.passwords)
                .verify(agent.as_str(), current, stored, now)
                .await?;
            if !proven {
                return Err(access::credential_invalid());
            }
        }
        let password = self.0.passwords.hash(new).await?;
        let command = Command::SetPassword { agent, password };
        (self.0.handle.command(command, None).await).map_err(errors::engine)?;
        Ok(Response::new(pb::SetAgentPasswordResponse {}))
    }
}
