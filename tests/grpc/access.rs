//! Who comes in, and who may call what.

use postroom::grpc::pb;
use postroom::grpc::pb::agent_service_client::AgentServiceClient;
use postroom::grpc::pb::credential_service_client::CredentialServiceClient;
use postroom::grpc::pb::presence_service_client::PresenceServiceClient;
use postroom::grpc::server::{self, Certificate};
use tonic::transport::{ClientTlsConfig, Endpoint};
use tonic::{Code, Request};

use super::gateway::{Gateway, by, refused};

#[tokio::test]
async fn credentials() {
    let gateway = Gateway::start().await;
    gateway.agent("anna", &["support"]).await;
    let mut credentials = CredentialServiceClient::new(gateway.remote.clone());
    let ask = pb::GetPrincipalRequest {};

    refused(
        credentials.get_principal(ask).await,
        Code::Unauthenticated,
        "CREDENTIAL_MISSING",
    );
    let (key, name) = gateway.key(&[pb::Role::Observer], "").await;
    let token = gateway.sign_in("anna").await;
    for bad in [
        "",
        "x",
        "prk_",
        "prs_",
        &key[..key.len() - 1],
        &token[..token.len() - 1],
    ] {
        refused(
            credentials.get_principal(by(bad, ask)).await,
            Code::Unauthenticated,
            "CREDENTIAL_INVALID",
        );
    }
    let mut basic = Request::new(ask);
    basic
        .metadata_mut()
        .insert("authorization", "Basic eDp5".parse().unwrap());
    refused(
        credentials.get_principal(basic).await,
        Code::Unauthenticated,
        "CREDENTIAL_INVALID",
    );

    let who = |response: tonic::Response<pb::GetPrincipalResponse>| {
        let who = response.into_inner().principal.unwrap();
        (who.subject, who.roles, who.agent)
    };
    let anna = who(credentials.get_principal(by(&token, ask)).await.unwrap());
    let agent = "agents/anna".to_owned();
    assert_eq!(anna, (agent.clone(), vec![pb::Role::Agent.into()], agent));
    let observer = who(credentials.get_principal(by(&key, ask)).await.unwrap());
    assert_eq!(observer.0, name);
    assert_eq!(observer.1, vec![i32::from(pb::Role::Observer)]);
    let mut local = CredentialServiceClient::new(gateway.local.clone());
    let admin = who(local.get_principal(ask).await.unwrap());
    assert!(admin.0.starts_with("local/"), "{}", admin.0);
    assert!(admin.1.contains(&pb::Role::Admin.into()));
    // A bad credential is never passed over, not even on the control socket.
    refused(
        local.get_principal(by("x", ask)).await,
        Code::Unauthenticated,
        "CREDENTIAL_INVALID",
    );

    let revoke = pb::RevokeApiKeyRequest { name };
    local.revoke_api_key(revoke).await.unwrap();
    refused(
        credentials.get_principal(by(&key, ask)).await,
        Code::Unauthenticated,
        "CREDENTIAL_INVALID",
    );
}

#[tokio::test]
async fn roles() {
    let gateway = Gateway::start().await;
    gateway.agent("anna", &["support"]).await;
    gateway.agent("bert", &["support"]).await;
    let anna = gateway.sign_in("anna").await;
    let (observer, _) = gateway.key(&[pb::Role::Observer], "").await;
    let (bound, _) = gateway.key(&[pb::Role::Agent], "agents/anna").await;
    let mut agents = AgentServiceClient::new(gateway.remote.clone());
    let mut presences = PresenceServiceClient::new(gateway.remote.clone());

    // Permission comes before existence: whoever may not ask learns nothing.
    let get = pb::GetAgentRequest {
        name: "agents/nobody".to_owned(),
    };
    for credential in [&anna, &observer] {
        let metadata = refused(
            agents.get_agent(by(credential, get.clone())).await,
            Code::PermissionDenied,
            "ROLE_REQUIRED",
        );
        let roles = ("required_roles".to_owned(), "SUPERVISOR,ADMIN".to_owned());
        assert!(metadata.contains(&roles), "{metadata:?}");
    }
    let other = pb::GetPresenceRequest {
        name: "agents/bert/presence".to_owned(),
    };
    refused(
        presences.get_presence(by(&anna, other)).await,
        Code::PermissionDenied,
        "ROLE_REQUIRED",
    );
    let password = pb::SetAgentPasswordRequest {
        name: "agents/bert".to_owned(),
        new_password: "a new password".to_owned(),
        ..pb::SetAgentPasswordRequest::default()
    };
    refused(
        agents.set_agent_password(by(&anna, password)).await,
        Code::PermissionDenied,
        "ROLE_REQUIRED",
    );
    // A key that is bound to an agent opens sessions; it does not work in their place.
    let ready = pb::SetPresenceRequest {
        name: "agents/me/presence".to_owned(),
        state: pb::AgentState::Available.into(),
        ..pb::SetPresenceRequest::default()
    };
    refused(
        presences.set_presence(by(&bound, ready)).await,
        Code::PermissionDenied,
        "SESSION_REQUIRED",
    );
    let mut supervisor =
        pb::supervisor_service_client::SupervisorServiceClient::new(gateway.remote.clone());
    let overview = supervisor
        .get_overview(by(&observer, pb::GetOverviewRequest {}))
        .await
        .unwrap()
        .into_inner()
        .overview
        .unwrap();
    assert_eq!(overview.agents.len(), 2);
    let support = overview
        .queues
        .iter()
        .find(|queue| queue.queue == "queues/support")
        .unwrap();
    assert_eq!(
        (support.staffed_agent_count, support.available_agent_count),
        (1, 0)
    );
    refused(
        supervisor
            .watch_desk(by(&observer, pb::WatchDeskRequest {}))
            .await,
        Code::PermissionDenied,
        "ROLE_REQUIRED",
    );
}

#[tokio::test]
async fn supervisors_see_everybody() {
    let gateway = Gateway::start().await;
    gateway.agent("anna", &["support"]).await;
    let mut agents = AgentServiceClient::new(gateway.local.clone());
    let lead = pb::CreateAgentRequest {
        agent_id: "lead".to_owned(),
        agent: Some(pb::Agent {
            supervisor: true,
            ..pb::Agent::default()
        }),
        request_id: String::new(),
    };
    agents.create_agent(lead).await.unwrap();
    let (key, _) = gateway.key(&[pb::Role::Agent], "agents/lead").await;
    let mut sessions =
        pb::session_service_client::SessionServiceClient::new(gateway.remote.clone());
    let open = pb::OpenSessionRequest::default();
    let lead = sessions
        .open_session(by(&key, open))
        .await
        .unwrap()
        .into_inner()
        .session_token;
    let anna = gateway.sign_in("anna").await;
    let current = |name: &str| pb::GetSessionRequest {
        name: name.to_owned(),
    };
    let own = sessions
        .get_session(by(&anna, current("sessions/current")))
        .await
        .unwrap();
    let session = own.into_inner().session.unwrap();
    assert_eq!(session.state(), pb::SessionState::Grace);
    let seen = sessions
        .get_session(by(&lead, current(&session.name)))
        .await
        .unwrap();
    assert_eq!(seen.into_inner().session.unwrap().agent, "agents/anna");
    let close = pb::CloseSessionRequest {
        name: session.name,
        request_id: String::new(),
        requeue_interactions: false,
    };
    sessions
        .close_session(by(&lead, close.clone()))
        .await
        .unwrap();
    refused(
        sessions.close_session(by(&lead, close)).await,
        Code::NotFound,
        "RESOURCE_NOT_FOUND",
    );
}

#[tokio::test]
async fn accounts_are_changed_disabled_and_removed() {
    let gateway = Gateway::start().await;
    gateway.agent("anna", &["support"]).await;
    let mut agents = AgentServiceClient::new(gateway.local.clone());
    let mut sessions =
        pb::session_service_client::SessionServiceClient::new(gateway.remote.clone());
    let update = |paths: &[&str], agent: pb::Agent| pb::UpdateAgentRequest {
        agent: Some(pb::Agent {
            name: "agents/anna".to_owned(),
            ..agent
        }),
        update_mask: Some(prost_types::FieldMask {
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        }),
        request_id: String::new(),
    };
    let asked = pb::Agent {
        display_name: "Anna".to_owned(),
        supervisor: true,
        capacity: 3,
        ..pb::Agent::default()
    };
    // Only what the mask names.
    let changed = agents
        .update_agent(update(&["display_name", "capacity"], asked.clone()))
        .await
        .unwrap();
    let changed = changed.into_inner().agent.unwrap();
    let seen = (changed.display_name.as_str(), changed.supervisor);
    assert_eq!((seen, changed.capacity), (("Anna", false), 3));
    for (paths, capacity) in [
        (&["capacity"][..], 0),
        (&["capacity"], 101),
        (&["capacity"], -1),
        (&["queues"], 1),
    ] {
        let agent = pb::Agent {
            capacity,
            ..asked.clone()
        };
        refused(
            agents.update_agent(update(paths, agent)).await,
            Code::InvalidArgument,
            "FIELD_INVALID",
        );
    }

    let token = gateway.sign_in("anna").await;
    let current = pb::GetSessionRequest {
        name: "sessions/current".to_owned(),
    };
    for disabled in [true, false] {
        let agent = pb::Agent {
            disabled,
            ..pb::Agent::default()
        };
        let changed = agents.update_agent(update(&["disabled"], agent)).await;
        let changed = changed.unwrap().into_inner().agent.unwrap();
        assert_eq!(changed.disabled, disabled);
        if disabled {
            refused(
                sessions.get_session(by(&token, current.clone())).await,
                Code::Unauthenticated,
                "SESSION_CLOSED",
            );
            refused(
                sessions.open_session(super::gateway::sign_in("anna")).await,
                Code::PermissionDenied,
                "AGENT_DISABLED",
            );
        }
    }

    let (key, _) = gateway.key(&[pb::Role::Agent], "agents/anna").await;
    let token = gateway.sign_in("anna").await;
    let delete = pb::DeleteAgentRequest {
        name: "agents/anna".to_owned(),
        request_id: "a".to_owned(),
    };
    agents.delete_agent(delete.clone()).await.unwrap();
    // The same request again is answered as before; another finds nobody.
    agents.delete_agent(delete.clone()).await.unwrap();
    let again = pb::DeleteAgentRequest {
        request_id: String::new(),
        ..delete
    };
    refused(
        agents.delete_agent(again).await,
        Code::NotFound,
        "RESOURCE_NOT_FOUND",
    );
    refused(
        sessions.get_session(by(&token, current)).await,
        Code::Unauthenticated,
        "SESSION_CLOSED",
    );
    let with_key = by(&key, pb::OpenSessionRequest::default());
    refused(
        sessions.open_session(with_key).await,
        Code::Unauthenticated,
        "CREDENTIAL_INVALID",
    );
    let password = sessions.open_session(super::gateway::sign_in("anna")).await;
    refused(password, Code::Unauthenticated, "CREDENTIAL_INVALID");
    // The name can be given again, and nothing of the old account comes with it.
    gateway.agent("anna", &["support"]).await;
    refused(
        sessions
            .open_session(by(&key, pb::OpenSessionRequest::default()))
            .await,
        Code::Unauthenticated,
        "CREDENTIAL_INVALID",
    );
}

#[tokio::test]
async fn health_and_reflection_ask_for_nothing_and_unknown_paths_are_refused() {
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_client::HealthClient;
    let gateway = Gateway::start().await;
    let check = HealthCheckRequest {
        service: "postroom.v1.SessionService".to_owned(),
    };
    let health = HealthClient::new(gateway.remote.clone())
        .check(check)
        .await
        .unwrap();
    assert_eq!(health.into_inner().status, 1);

    let mut client = tonic::client::Grpc::new(gateway.local.clone());
    client.ready().await.unwrap();
    let path = http::uri::PathAndQuery::from_static("/postroom.v1.SessionService/Nothing");
    let codec =
        tonic_prost::ProstCodec::<pb::GetSystemInfoRequest, pb::GetSystemInfoResponse>::default();
    let nothing = client
        .unary(Request::new(pb::GetSystemInfoRequest {}), path, codec)
        .await;
    assert_eq!(nothing.unwrap_err().code(), Code::Unimplemented);
}

#[tokio::test]
async fn a_certificate_makes_it_tls() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = Certificate {
        chain: made.cert.pem().into_bytes(),
        key: made.signing_key.serialize_pem().into_bytes(),
    };
    let trusted = tonic::transport::Certificate::from_pem(made.cert.pem());
    let gateway = Gateway::start_with(Some(certificate), |address| async move {
        let tls = ClientTlsConfig::new()
            .ca_certificate(trusted)
            .domain_name("localhost");
        Endpoint::try_from(format!("https://{address}"))
            .unwrap()
            .tls_config(tls)
            .unwrap()
            .connect()
            .await
            .unwrap()
    })
    .await;
    gateway.agent("anna", &["support"]).await;
    assert!(gateway.sign_in("anna").await.starts_with("prs_"));
}

#[tokio::test]
async fn the_control_socket_is_its_owners_and_is_not_taken_away() {
    use std::os::unix::fs::PermissionsExt as _;
    let gateway = Gateway::start().await;
    let mode = std::fs::metadata(&gateway.socket)
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let taken = server::bind_control_socket(&gateway.socket).unwrap_err();
    assert_eq!(taken.kind(), std::io::ErrorKind::AddrInUse);

    // One that nobody answers on was left behind by a gateway that is gone.
    let dir = tempfile::tempdir().unwrap();
    let stale = dir.path().join("control.sock");
    drop(tokio::net::UnixListener::bind(&stale).unwrap());
    assert!(server::bind_control_socket(&stale).is_ok());
}
