//! Access: who is calling, and whether they may call this.
//!
//! One layer before all services. It knows each RPC's rule from the table that the build made of
//! `proto/`, and puts the [`Principal`] into the request for the handler. What a caller may see of
//! a resource is the handler's business; that they may call at all is settled here, before
//! anything is looked up.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use http::request::Parts;
use http::{HeaderValue, Request, Response, header};
use tonic::body::Body;
use tonic::transport::server::UdsConnectInfo;
use tonic::{Code, Status};
use tower::{Layer, Service};

use super::errors::{self, Failure};
use super::pb::ErrorReason;
use super::token;
use crate::desk::{Actor, Refusal, Role};
use crate::engine::Handle;
use crate::engine::keys::ApiKey;
use crate::id::{AgentId, KeyId, SessionId};

/// Longest credential that is looked at, in bytes.
const CREDENTIAL_BYTES_MAX: usize = 512;

/// The response header that names the call in the log.
pub const CALL_HEADER: &str = "postroom-request";

/// Services without rules of their own: their answers are no secret.
const OPEN_SERVICES: [&str; 3] = [
    "/grpc.health.v1.Health/",
    "/grpc.reflection.v1.ServerReflection/",
    "/grpc.reflection.v1alpha.ServerReflection/",
];

/// One entry of an RPC's access rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Allowed {
    Public,
    Any,
    Agent,
    Supervisor,
    Admin,
    Observer,
}

/// Paths in the alphabet's order with what their rule allows, made by `build.rs`.
const RULES: &[(&str, &[Allowed])] = include!(concat!(env!("OUT_DIR"), "/access.rs"));

impl Allowed {
    const fn role(self) -> Option<Role> {
        match self {
            Self::Public | Self::Any => None,
            Self::Agent => Some(Role::Agent),
            Self::Supervisor => Some(Role::Supervisor),
            Self::Admin => Some(Role::Admin),
            Self::Observer => Some(Role::Observer),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Public => "PUBLIC",
            Self::Any => "ANY",
            Self::Agent => "AGENT",
            Self::Supervisor => "SUPERVISOR",
            Self::Admin => "ADMIN",
            Self::Observer => "OBSERVER",
        }
    }
}

fn rule(path: &str) -> Option<&'static [Allowed]> {
    let row = RULES.binary_search_by_key(&path, |(known, _)| known).ok()?;
    RULES.get(row).map(|(_, allowed)| *allowed)
}

/// Who is calling.
#[derive(Debug, Clone)]
pub(super) struct Principal {
    /// The name under which acts are recorded and request ids are kept; empty for nobody.
    pub(super) subject: String,
    /// The roles of the credential.
    pub(super) roles: Vec<Role>,
    /// The agent for whom the caller acts.
    pub(super) agent: Option<AgentId>,
    /// The session whose token was used.
    pub(super) session: Option<SessionId>,
    /// The key that was used.
    pub(super) key: Option<KeyId>,
}

impl Principal {
    /// A caller without a credential.
    const fn nobody() -> Self {
        Self {
            subject: String::new(),
            roles: Vec::new(),
            agent: None,
            session: None,
            key: None,
        }
    }

    /// A caller on the control socket: the gateway's own user, or root.
    pub(super) fn local(uid: u32) -> Self {
        Self {
            subject: format!("local/{uid}"),
            roles: vec![Role::Supervisor, Role::Admin, Role::Observer],
            ..Self::nobody()
        }
    }

    fn of_key(key: &ApiKey) -> Self {
        Self {
            subject: format!("apiKeys/{}", key.id),
            roles: key.roles.clone(),
            agent: key.agent.clone(),
            session: None,
            key: Some(key.id),
        }
    }

    fn of_session(session: SessionId, agent: AgentId, supervisor: bool) -> Self {
        let mut roles = vec![Role::Agent];
        if supervisor {
            roles.push(Role::Supervisor);
        }
        Self {
            subject: format!("agents/{agent}"),
            roles,
            agent: Some(agent),
            session: Some(session),
            key: None,
        }
    }

    /// As whom the caller's acts upon others are recorded.
    pub(super) fn actor(&self) -> Actor {
        match &self.agent {
            _ if self.is(Role::Supervisor) => Actor::Supervisor(self.subject.clone()),
            _ if self.is(Role::Admin) => Actor::Administrator(self.subject.clone()),
            Some(agent) => Actor::Agent(agent.clone()),
            None => Actor::System,
        }
    }

    /// Whether the caller has this role.
    pub(super) fn is(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    fn may_call(&self, allowed: &[Allowed]) -> bool {
        allowed.iter().any(|entry| match entry {
            Allowed::Public => true,
            Allowed::Any => !self.subject.is_empty(),
            Allowed::Agent | Allowed::Supervisor | Allowed::Admin | Allowed::Observer => {
                entry.role().is_some_and(|role| self.is(role))
            }
        })
    }

    /// The session that a call of an agent's is made in.
    pub(super) fn session(&self, rpc: &'static str) -> Result<SessionId, Status> {
        self.session.ok_or_else(|| session_required(rpc))
    }
}

/// Refuses a caller who acts for an agent without a session of theirs.
pub(super) fn session_required(rpc: &str) -> Status {
    let message = "this call acts for an agent: open a session and send its token";
    let required = ErrorReason::SessionRequired;
    Failure::new(Code::PermissionDenied, required, message)
        .with("rpc", rpc)
        .into()
}

/// Refuses a caller who would need a further role for what they ask.
pub(super) fn role_required(rpc: &str, roles: &str) -> Status {
    let message = format!("{rpc} needs one of the roles {roles}");
    Failure::new(Code::PermissionDenied, ErrorReason::RoleRequired, message)
        .with("rpc", rpc)
        .with("required_roles", roles)
        .into()
}

/// Who is calling, as the layer found out.
pub(super) fn caller<T>(request: &tonic::Request<T>) -> Result<Arc<Principal>, Status> {
    request
        .extensions()
        .get::<Arc<Principal>>()
        .cloned()
        .ok_or_else(|| errors::internal("a request came past the access layer"))
}

/// Whether a key is good at this time.
pub(super) fn key_is_good(key: &ApiKey, handle: &Handle) -> bool {
    key.revoked.is_none() && key.expires.is_none_or(|expires| expires > handle.now())
}

/// The layer before all services.
#[derive(Clone)]
pub(super) struct AccessLayer {
    gate: Arc<Gate>,
}

struct Gate {
    handle: Handle,
    own_uid: u32,
    /// The part of a call's name that differs from one start of the gateway to the next.
    start: u32,
    calls: AtomicU64,
}

impl AccessLayer {
    pub(super) fn new(handle: Handle) -> Self {
        let gate = Gate {
            own_uid: rustix::process::geteuid().as_raw(),
            start: u32::try_from(handle.now().as_secs() & u64::from(u32::MAX)).unwrap_or_default(),
            handle,
            calls: AtomicU64::new(0),
        };
        Self {
            gate: Arc::new(gate),
        }
    }
}

impl<S> Layer<S> for AccessLayer {
    type Service = Access<S>;

    fn layer(&self, inner: S) -> Access<S> {
        Access {
            inner,
            gate: Arc::clone(&self.gate),
        }
    }
}

/// See [`AccessLayer`].
#[derive(Clone)]
pub(super) struct Access<S> {
    inner: S,
    gate: Arc<Gate>,
}

impl<S> Service<Request<Body>> for Access<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future =
        std::pin::Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // The one that said it was ready serves this call; its clone has the next one to itself.
        let ready = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, ready);
        let gate = Arc::clone(&self.gate);
        Box::pin(async move {
            let call = gate.next_call();
            let (mut head, body) = request.into_parts();
            let mut response = match gate.admit(&head, &call).await {
                Ok(principal) => {
                    head.extensions.insert(Arc::new(principal));
                    inner.call(Request::from_parts(head, body)).await?
                }
                Err(status) => status.into_http(),
            };
            if let Ok(call) = HeaderValue::from_str(&call) {
                response.headers_mut().insert(CALL_HEADER, call);
            }
            Ok(response)
        })
    }
}

impl Gate {
    fn next_call(&self) -> String {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        format!("{:08x}-{number:x}", self.start)
    }

    /// Who is calling, if they may call this.
    async fn admit(&self, request: &Parts, call: &str) -> Result<Principal, Status> {
        let path = request.uri.path();
        if OPEN_SERVICES.iter().any(|open| path.starts_with(open)) {
            return Ok(Principal::nobody());
        }
        let Some(allowed) = rule(path) else {
            return Err(Status::unimplemented("there is no such RPC"));
        };
        let result = self.identify(request, allowed).await;
        let result = result.and_then(|principal| {
            if principal.may_call(allowed) {
                return Ok(principal);
            }
            if principal.subject.is_empty() {
                let message = "send a credential: authorization: Bearer <session token or API key>";
                let missing = ErrorReason::CredentialMissing;
                return Err(Failure::new(Code::Unauthenticated, missing, message).into());
            }
            let roles: Vec<&str> = allowed.iter().map(|entry| entry.name()).collect();
            Err(role_required(path, &roles.join(",")))
        });
        match &result {
            Ok(principal) => {
                tracing::debug!(call, rpc = path, caller = principal.subject, "call");
            }
            Err(status) => {
                tracing::info!(call, rpc = path, code = ?status.code(), why = status.message(), "call turned away");
            }
        }
        result
    }

    /// The first way in that is there decides: a bad credential is never passed over.
    async fn identify(&self, request: &Parts, allowed: &[Allowed]) -> Result<Principal, Status> {
        if let Some(value) = request.headers.get(header::AUTHORIZATION) {
            let credential = value
                .to_str()
                .ok()
                .filter(|text| text.len() <= CREDENTIAL_BYTES_MAX)
                .and_then(|text| text.split_once(' '))
                .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
                .map(|(_, credential)| credential.trim())
                .ok_or_else(credential_invalid)?;
            return if credential.starts_with(token::API_KEY_PREFIX) {
                self.by_key(credential)
            } else {
                self.by_session(credential, allowed).await
            };
        }
        let peer = request
            .extensions
            .get::<UdsConnectInfo>()
            .and_then(|info| info.peer_cred)
            .map(|peer| peer.uid());
        match peer {
            Some(uid) if uid == self.own_uid || uid == 0 => Ok(Principal::local(uid)),
            Some(_) | None => Ok(Principal::nobody()),
        }
    }

    fn by_key(&self, credential: &str) -> Result<Principal, Status> {
        let (id, secret) = token::parse(credential).ok_or_else(credential_invalid)?;
        let key = (self.handle.keys().api_key(id))
            .filter(|key| secret.matches(&key.digest) && key.revoked.is_none())
            .ok_or_else(credential_invalid)?;
        if key_is_good(&key, &self.handle) {
            return Ok(Principal::of_key(&key));
        }
        let message = "the API key has expired";
        let expired = ErrorReason::CredentialExpired;
        Err(Failure::new(Code::Unauthenticated, expired, message).into())
    }

    async fn by_session(&self, credential: &str, allowed: &[Allowed]) -> Result<Principal, Status> {
        let keys = self.handle.keys();
        let session = (keys.session_of_token(credential)).ok_or_else(credential_invalid)?;
        let Some(agent) = keys.agent_of_session(session) else {
            return Err(errors::engine(Refusal::SessionClosed.into()));
        };
        // The account is looked at only where it matters: a look waits for its turn at the desk.
        let matters = |entry: &Allowed| matches!(entry, Allowed::Any | Allowed::Supervisor);
        let supervisor = if allowed.iter().any(matters) {
            let id = agent.clone();
            self.handle
                .look(move |desk, _| desk.agents().get(&id).is_some_and(|agent| agent.supervisor))
                .await
                .map_err(errors::engine)?
        } else {
            false
        };
        Ok(Principal::of_session(session, agent, supervisor))
    }
}

/// The credential is malformed, unknown or revoked: which of these is nobody's business.
pub(super) fn credential_invalid() -> Status {
    let message = "the credential is not valid";
    let invalid = ErrorReason::CredentialInvalid;
    Failure::new(Code::Unauthenticated, invalid, message).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_found_by_its_path() {
        assert!(RULES.len() > 30);
        for (path, allowed) in RULES {
            assert_eq!(rule(path), Some(*allowed), "{path}");
            assert!(!allowed.is_empty(), "{path}");
        }
        for unknown in [
            "",
            "/",
            "/postroom.v1.SessionService/",
            "/postroom.v1.X/OpenSession",
        ] {
            assert_eq!(rule(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn roles_open_what_names_them() {
        let nobody = Principal::nobody();
        let local = Principal::local(0);
        let session = SessionId::new(crate::time::Timestamp::ZERO, 1);
        let agent = Principal::of_session(session, "anna".parse().unwrap(), false);
        let lead = Principal::of_session(session, "bert".parse().unwrap(), true);
        for (allowed, who) in [
            (Allowed::Public, [true, true, true, true]),
            (Allowed::Any, [false, true, true, true]),
            (Allowed::Agent, [false, false, true, true]),
            (Allowed::Supervisor, [false, true, false, true]),
            (Allowed::Admin, [false, true, false, false]),
            (Allowed::Observer, [false, true, false, false]),
        ] {
            let found = [&nobody, &local, &agent, &lead].map(|who| who.may_call(&[allowed]));
            assert_eq!(found, who, "{allowed:?}");
        }
    }
}
