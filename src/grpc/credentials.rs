//! `CredentialService`: API keys, and who the caller is.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::access::caller;
use super::form::Form;
use super::page::{self, Page};
use super::pb::credential_service_server::CredentialService;
use super::token::Secret;
use super::{DISPLAY_NAME_BYTES_MAX, Shared, convert, errors, pb};
use crate::desk::Role;
use crate::engine::NewKey;
use crate::id::{AgentId, KeyId};

pub(super) struct Credentials(pub(super) Arc<Shared>);

/// The roles that a key may be given, in their order and once each.
fn granted(form: &mut Form, roles: &[i32], agent: &str) -> Option<Vec<Role>> {
    let mut granted = Vec::new();
    for number in roles {
        match pb::Role::try_from(*number) {
            Ok(pb::Role::Agent) => granted.push(Role::Agent),
            Ok(pb::Role::Supervisor) => granted.push(Role::Supervisor),
            Ok(pb::Role::Admin) => granted.push(Role::Admin),
            Ok(pb::Role::Observer) => granted.push(Role::Observer),
            Ok(pb::Role::Unspecified | pb::Role::Public | pb::Role::Any) | Err(_) => {
                form.wrong("roles", "must be AGENT, SUPERVISOR, ADMIN or OBSERVER");
                return None;
            }
        }
    }
    granted.sort_unstable();
    granted.dedup();
    if granted.is_empty() {
        form.wrong("roles", "must name at least one role");
    }
    if granted.contains(&Role::Agent) == agent.is_empty() {
        form.wrong("agent", "goes with the role AGENT, and only with it");
    }
    Some(granted)
}

#[tonic::async_trait]
impl CredentialService for Credentials {
    async fn get_principal(
        &self,
        request: Request<pb::GetPrincipalRequest>,
    ) -> Result<Response<pb::GetPrincipalResponse>, Status> {
        let caller = caller(&request)?;
        let agent = caller.agent.as_ref();
        let session = caller.session;
        Ok(Response::new(pb::GetPrincipalResponse {
            principal: Some(pb::Principal {
                subject: caller.subject.clone(),
                roles: convert::roles(&caller.roles),
                agent: agent.map_or_else(String::new, |agent| format!("agents/{agent}")),
                session: session.map_or_else(String::new, |session| format!("sessions/{session}")),
            }),
        }))
    }

    async fn create_api_key(
        &self,
        request: Request<pb::CreateApiKeyRequest>,
    ) -> Result<Response<pb::CreateApiKeyResponse>, Status> {
        let asked = request.into_inner();
        let mut form = Form::new();
        if asked.display_name.is_empty() {
            form.wrong("display_name", "is empty: say what the key is for");
        }
        let name = form.text("display_name", asked.display_name, DISPLAY_NAME_BYTES_MAX);
        let roles = granted(&mut form, &asked.roles, &asked.agent);
        let agent = form.maybe_name::<AgentId>("agent", &asked.agent, "agents");
        let expires = form.future("expire_time", asked.expire_time, self.0.handle.now());
        let (display_name, roles, agent, expires) = form.done((name, roles, agent, expires))?;
        let secret = Secret::generate()
            .ok_or_else(|| errors::internal("the machine gives no random numbers"))?;
        let new = NewKey {
            display_name,
            roles,
            agent,
            expires,
            digest: secret.digest(),
        };
        let key = (self.0.handle.create_key(new).await).map_err(errors::engine)?;
        Ok(Response::new(pb::CreateApiKeyResponse {
            secret: secret.to_key(key.id),
            api_key: Some(convert::api_key(&key)),
        }))
    }

    async fn list_api_keys(
        &self,
        request: Request<pb::ListApiKeysRequest>,
    ) -> Result<Response<pb::ListApiKeysResponse>, Status> {
        let caller = caller(&request)?;
        let asked = request.into_inner();
        let mut form = Form::new();
        let (size, token) = (asked.page_size, asked.page_token.as_str());
        let page = Page::read(&mut form, &caller, "ListApiKeys", "", size, token)?;
        form.done(Some(()))?;
        let after = page.after(page::id_bytes)?.map(KeyId::from_bytes);
        let mut keys = self.0.handle.keys().api_keys(after, page.size + 1);
        let next_page_token = page.cut(&mut keys, |key| key.id.to_bytes().to_vec());
        Ok(Response::new(pb::ListApiKeysResponse {
            api_keys: keys.iter().map(convert::api_key).collect(),
            next_page_token,
        }))
    }

    async fn revoke_api_key(
        &self,
        request: Request<pb::RevokeApiKeyRequest>,
    ) -> Result<Response<pb::RevokeApiKeyResponse>, Status> {
        let mut form = Form::new();
        let id = form.name::<KeyId>("name", &request.get_ref().name, "apiKeys");
        let id = form.done(id)?;
        let key = (self.0.handle.revoke_key(id).await)
            .map_err(errors::engine)?
            .ok_or_else(|| errors::not_found(format!("apiKeys/{id}")))?;
        Ok(Response::new(pb::RevokeApiKeyResponse {
            api_key: Some(convert::api_key(&key)),
        }))
    }
}
