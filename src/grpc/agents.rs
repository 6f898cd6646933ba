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
use crate::desk::skill::{LEVEL_MAX, SKILLS_MAX, Skills, is_name};
use crate::desk::{AgentChanges, Answer, CAPACITY_MAX, Command, NewAgent, Role};
use crate::id::{AgentId, QueueId};

/// Queues that a new agent may be given at once.
const QUEUES_MAX: usize = 500;

/// What an update mask may name.
const MASKED: [&str; 5] = [
    "display_name",
    "supervisor",
    "capacity",
    "disabled",
    "skills",
];

/// How many interactions an agent may hold at once.
fn capacity(form: &mut Form, asked: i32) -> Option<u32> {
    let capacity = u32::try_from(asked).ok();
    let capacity = capacity.filter(|capacity| (1..=CAPACITY_MAX).contains(capacity));
    if capacity.is_none() {
        form.wrong("agent.capacity", format!("must be 1 to {CAPACITY_MAX}"));
    }
    capacity
}

/// What an agent can do, and how well.
fn skills(form: &mut Form, asked: Vec<pb::Skill>) -> Option<Skills> {
    let fits = |skill: pb::Skill| {
        let level = u8::try_from(skill.level).ok();
        let level = level.filter(|level| (1..=LEVEL_MAX).contains(level))?;
        is_name(&skill.name).then_some((skill.name, level))
    };
    let skills: Option<Skills> = (asked.len() <= SKILLS_MAX)
        .then(|| asked.into_iter().map(fits).collect())
        .flatten();
    if skills.is_none() {
        let rule = "names of 2 to 63 of a-z, 0-9 and -, with levels";
        form.wrong(
            "agent.skills",
            format!("at most {SKILLS_MAX}: {rule} 1 to {LEVEL_MAX}"),
        );
    }
    skills
}

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
        let capacity = match agent.capacity {
            0 => Some(1),
            asked => capacity(&mut form, asked),
        };
        let (key, agent_id, display_name, queues, capacity) =
            form.done((key, agent_id, name, queues, capacity))?;
        let command = Command::CreateAgent(NewAgent {
            id: agent_id,
            display_name,
            password: None,
            supervisor: agent.supervisor,
            queues,
            capacity,
        });
        let done = (self.0.handle.command_by(caller.actor(), command, key).await)
            .map_err(errors::engine)?;
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

    async fn update_agent(
        &self,
        request: Request<pb::UpdateAgentRequest>,
    ) -> Result<Response<pb::UpdateAgentResponse>, Status> {
        let caller = caller(&request)?;
        let mut asked = request.into_inner();
        let id = std::mem::take(&mut asked.request_id);
        let mut form = Form::new();
        let key = form.request(&caller.subject, "UpdateAgent", id, &asked);
        let to = asked.agent.unwrap_or_default();
        let agent = form.agent("agent.name", &to.name, &caller);
        let fields = form.mask(asked.update_mask, &MASKED);
        let given = |field| fields.contains(&field);
        let name = given("display_name").then(|| {
            form.text(
                "agent.display_name",
                to.display_name,
                DISPLAY_NAME_BYTES_MAX,
            )
        });
        let capacity = given("capacity").then(|| capacity(&mut form, to.capacity));
        let skills = given("skills").then(|| skills(&mut form, to.skills));
        let (agent, key) = form.done((agent, key))?;
        let changes = AgentChanges {
            display_name: name.flatten(),
            supervisor: given("supervisor").then_some(to.supervisor),
            capacity: capacity.flatten(),
            disabled: given("disabled").then_some(to.disabled),
            skills: skills.flatten(),
        };
        let command = Command::UpdateAgent { agent, changes };
        let done = (self.0.handle.command_by(caller.actor(), command, key).await)
            .map_err(errors::engine)?;
        let Answer::Agent(agent) = done.answer else {
            return Err(errors::internal("UpdateAgent was not answered by an agent"));
        };
        let response = pb::UpdateAgentResponse {
            agent: Some(convert::agent(&agent)),
        };
        Ok(respond(response, done.replayed))
    }

    async fn delete_agent(
        &self,
        request: Request<pb::DeleteAgentRequest>,
    ) -> Result<Response<pb::DeleteAgentResponse>, Status> {
        let caller = caller(&request)?;
        let mut asked = request.into_inner();
        let id = std::mem::take(&mut asked.request_id);
        let mut form = Form::new();
        let agent = form.agent("name", &asked.name, &caller);
        let key = form.request(&caller.subject, "DeleteAgent", id, &asked);
        let (agent, key) = form.done((agent, key))?;
        let command = Command::DeleteAgent { agent };
        let done = (self.0.handle.command_by(caller.actor(), command, key).await)
            .map_err(errors::engine)?;
        Ok(respond(pb::DeleteAgentResponse {}, done.replayed))
    }

    async fn list_reasons(
        &self,
        request: Request<pb::ListReasonsRequest>,
    ) -> Result<Response<pb::ListReasonsResponse>, Status> {
        let caller = caller(&request)?;
        let asked = request.into_inner();
        let mut form = Form::new();
        let (size, token) = (asked.page_size, asked.page_token.as_str());
        let page = Page::read(&mut form, &caller, "ListReasons", "", size, token)?;
        form.done(Some(()))?;
        // The list is short: a token holds how many have been shown.
        let shown = page
            .after(|position| Some(usize::from(u16::from_be_bytes(position.try_into().ok()?))))?;
        let (skipped, size) = (shown.unwrap_or(0), page.size);
        let mut reasons = (self.0.handle)
            .look(move |desk, _| {
                (desk.house().reasons.iter().enumerate())
                    .map(|(at, ((kind, code), label))| (at, convert::reason(*kind, code, label)))
                    .skip(skipped)
                    .take(size + 1)
                    .collect::<Vec<_>>()
            })
            .await
            .map_err(errors::engine)?;
        let next_page_token = page.cut(&mut reasons, |(at, _)| {
            let shown = u16::try_from(at + 1).unwrap_or(u16::MAX);
            shown.to_be_bytes().to_vec()
        });
        Ok(Response::new(pb::ListReasonsResponse {
            reasons: reasons.into_iter().map(|(_, reason)| reason).collect(),
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
        (self
            .0
            .handle
            .command_by(caller.actor(), command, None)
            .await)
            .map_err(errors::engine)?;
        Ok(Response::new(pb::SetAgentPasswordResponse {}))
    }
}
