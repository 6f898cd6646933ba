//! `PresenceService`: what agents ask to be and are shown as.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::access::{self, Principal, caller};
use super::form::Form;
use super::pb::presence_service_server::PresenceService;
use super::{Shared, convert, errors, pb, respond};
use crate::desk::{Answer, CODE_BYTES_MAX, Command, NOTICE_BYTES_MAX, Role};
use crate::id::AgentId;

pub(super) struct Presences(pub(super) Arc<Shared>);

/// The agent of `agents/{id}/presence`.
fn named(form: &mut Form, text: &str, caller: &Principal) -> Option<AgentId> {
    match text.strip_suffix("/presence") {
        Some(agent) => form.agent("name", agent, caller),
        None => {
            form.wrong("name", "must be agents/{id}/presence");
            None
        }
    }
}

#[tonic::async_trait]
impl PresenceService for Presences {
    async fn get_presence(
        &self,
        request: Request<pb::GetPresenceRequest>,
    ) -> Result<Response<pb::GetPresenceResponse>, Status> {
        let caller = caller(&request)?;
        let mut form = Form::new();
        let agent = named(&mut form, &request.get_ref().name, &caller);
        let agent = form.done(agent)?;
        if caller.agent.as_ref() != Some(&agent) && !caller.is(Role::Supervisor) {
            return Err(access::role_required("GetPresence", "SUPERVISOR"));
        }
        let id = agent.clone();
        let presence = (self.0.handle.look(move |desk, _| desk.presence(&id)).await)
            .map_err(errors::engine)?
            .ok_or_else(|| errors::not_found(format!("agents/{agent}")))?;
        Ok(Response::new(pb::GetPresenceResponse {
            presence: Some(convert::presence(&presence)),
        }))
    }

    async fn set_presence(
        &self,
        request: Request<pb::SetPresenceRequest>,
    ) -> Result<Response<pb::SetPresenceResponse>, Status> {
        let caller = caller(&request)?;
        let mut asked = request.into_inner();
        let id = std::mem::take(&mut asked.request_id);
        let mut form = Form::new();
        let agent = named(&mut form, &asked.name, &caller);
        let reason = form.text("reason_code", asked.reason_code.clone(), CODE_BYTES_MAX);
        let state = form.requested("state", asked.state, reason.unwrap_or_default());
        if state == Some(None) {
            form.wrong("state", "must be AVAILABLE or WORK_OFFLINE");
        }
        let key = form.request(&caller.subject, "SetPresence", id, &asked);
        let note = form.text("note", asked.note, NOTICE_BYTES_MAX);
        let (agent, state, key, note) = form.done((agent, state.flatten(), key, note))?;
        let done = match caller.session {
            Some(session) if caller.agent.as_ref() == Some(&agent) => {
                let command = Command::SetPresence { session, state };
                self.0.handle.command(command, key).await
            }
            _ if caller.is(Role::Supervisor) => {
                let command = Command::ForcePresence { agent, state, note };
                self.0.handle.command_by(caller.actor(), command, key).await
            }
            _ if caller.agent.as_ref() == Some(&agent) => {
                return Err(access::session_required("SetPresence"));
            }
            _ => return Err(access::role_required("SetPresence", "SUPERVISOR")),
        };
        let done = done.map_err(errors::engine)?;
        let Answer::Presence {
            presence,
            deferred,
            sequence,
        } = done.answer
        else {
            return Err(errors::internal(
                "SetPresence was not answered by a presence",
            ));
        };
        let response = pb::SetPresenceResponse {
            presence: Some(convert::presence(&presence)),
            deferred,
            event_sequence: convert::long(sequence),
        };
        Ok(respond(response, done.replayed))
    }
}
