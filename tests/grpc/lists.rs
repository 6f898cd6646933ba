//! Lists: pages, their tokens, and who sees what.

use postroom::grpc::pb;
use postroom::grpc::pb::agent_service_client::AgentServiceClient;
use postroom::grpc::pb::interaction_service_client::InteractionServiceClient;
use postroom::grpc::pb::queue_service_client::QueueServiceClient;
use postroom::grpc::pb::supervisor_service_client::SupervisorServiceClient;
use tonic::Code;

use super::gateway::{Gateway, by, refused};

#[tokio::test]
async fn pages_hold_everything_once() {
    let gateway = Gateway::start().await;
    for id in ["anna", "bert", "carl", "dora", "emil"] {
        gateway.agent(id, &["support"]).await;
    }
    let mut agents = AgentServiceClient::new(gateway.local.clone());
    let mut seen = Vec::new();
    let mut token = String::new();
    loop {
        let request = pb::ListAgentsRequest {
            page_size: 2,
            page_token: token,
        };
        let page = agents.list_agents(request).await.unwrap().into_inner();
        assert!(page.agents.len() <= 2);
        seen.extend(page.agents.into_iter().map(|agent| agent.name));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(
        seen,
        [
            "agents/anna",
            "agents/bert",
            "agents/carl",
            "agents/dora",
            "agents/emil"
        ]
    );

    let first = pb::ListAgentsRequest {
        page_size: 2,
        page_token: String::new(),
    };
    let token = agents
        .list_agents(first)
        .await
        .unwrap()
        .into_inner()
        .next_page_token;
    let mut queues = QueueServiceClient::new(gateway.local.clone());
    let crossed = pb::ListQueuesRequest {
        page_size: 2,
        page_token: token,
    };
    refused(
        queues.list_queues(crossed).await,
        Code::InvalidArgument,
        "PAGE_TOKEN_INVALID",
    );
    let negative = pb::ListQueuesRequest {
        page_size: -1,
        page_token: String::new(),
    };
    refused(
        queues.list_queues(negative).await,
        Code::InvalidArgument,
        "FIELD_INVALID",
    );
}

#[tokio::test]
async fn queues_members_and_addresses() {
    let gateway = Gateway::start().await;
    gateway.agent("anna", &["support"]).await;
    gateway.agent("bert", &["support"]).await;
    let anna = gateway.sign_in("anna").await;
    let mut queues = QueueServiceClient::new(gateway.remote.clone());
    let list = pb::ListQueuesRequest::default();
    let listed = queues
        .list_queues(by(&anna, list))
        .await
        .unwrap()
        .into_inner()
        .queues;
    assert_eq!(listed.len(), 2);
    let get = pb::GetQueueRequest {
        name: "queues/support".to_owned(),
    };
    let support = queues
        .get_queue(by(&anna, get))
        .await
        .unwrap()
        .into_inner()
        .queue
        .unwrap();
    assert_eq!(support, listed[1]);
    assert!(support.post_processing_enabled);
    assert_eq!(support.default_from_address, "support@shop.example");
    let get = pb::GetQueueRequest {
        name: "queues/none".to_owned(),
    };
    refused(
        queues.get_queue(by(&anna, get)).await,
        Code::NotFound,
        "RESOURCE_NOT_FOUND",
    );
    let members = pb::ListMembershipsRequest {
        parent: "queues/support".to_owned(),
        ..pb::ListMembershipsRequest::default()
    };
    let members = queues
        .list_memberships(by(&anna, members))
        .await
        .unwrap()
        .into_inner();
    let members: Vec<String> = members
        .memberships
        .into_iter()
        .map(|found| found.agent)
        .collect();
    assert_eq!(members, ["agents/anna", "agents/bert"]);

    let mut addresses =
        pb::from_address_service_client::FromAddressServiceClient::new(gateway.remote.clone());
    let mut token = String::new();
    for (address, default) in [
        ("support@shop.example", true),
        ("support-eu@shop.example", false),
    ] {
        let request = pb::ListFromAddressesRequest {
            queue: "queues/support".to_owned(),
            page_size: 1,
            page_token: token,
            agent: String::new(),
        };
        let page = addresses
            .list_from_addresses(by(&anna, request))
            .await
            .unwrap()
            .into_inner();
        assert_eq!(page.from_addresses.len(), 1);
        assert_eq!(page.from_addresses[0].address, address);
        assert_eq!(page.from_addresses[0].default_for_queue, default);
        token = page.next_page_token;
    }
    assert!(token.is_empty());
}

#[tokio::test]
async fn agents_see_their_queues_and_supervisors_the_line() {
    let gateway = Gateway::start().await;
    gateway.agent("anna", &["support"]).await;
    let anna = gateway.sign_in("anna").await;
    for queue in ["support", "sales", "support", "support"] {
        gateway.letter(queue).await;
    }
    let mut interactions = InteractionServiceClient::new(gateway.remote.clone());
    let list = pb::ListInteractionsRequest::default();
    let own = interactions
        .list_interactions(by(&anna, list.clone()))
        .await
        .unwrap();
    let own = own.into_inner().interactions;
    assert_eq!(own.len(), 3);
    assert!(own.iter().all(|found| found.queue == "queues/support"));
    let mut everything = InteractionServiceClient::new(gateway.local.clone());
    let all = everything
        .list_interactions(list)
        .await
        .unwrap()
        .into_inner()
        .interactions;
    assert_eq!(all.len(), 4);

    let mut floor = SupervisorServiceClient::new(gateway.local.clone());
    let mut line = Vec::new();
    let mut token = String::new();
    loop {
        let request = pb::ListWaitingInteractionsRequest {
            queue: "queues/support".to_owned(),
            page_size: 1,
            page_token: token,
        };
        let page = floor
            .list_waiting_interactions(request)
            .await
            .unwrap()
            .into_inner();
        line.extend(
            page.waiting_interactions
                .into_iter()
                .map(|found| found.interaction),
        );
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    let arrived: Vec<String> = own.into_iter().map(|found| found.name).collect();
    assert_eq!(line, arrived);

    let mut credentials =
        pb::credential_service_client::CredentialServiceClient::new(gateway.local.clone());
    gateway.key(&[pb::Role::Admin], "").await;
    let list = pb::ListApiKeysRequest::default();
    let keys = credentials
        .list_api_keys(list)
        .await
        .unwrap()
        .into_inner()
        .api_keys;
    assert_eq!(keys.len(), 1);
    let mut system = pb::system_service_client::SystemServiceClient::new(gateway.remote.clone());
    let info = system
        .get_system_info(by(&anna, pb::GetSystemInfoRequest {}))
        .await
        .unwrap();
    assert_eq!(info.into_inner().api_version, "postroom.v1");
}

#[tokio::test]
async fn a_queue_is_paused_and_resumed() {
    let gateway = Gateway::start().await;
    gateway.agent("anna", &["support"]).await;
    let anna = gateway.sign_in("anna").await;
    let mut queues = QueueServiceClient::new(gateway.local.clone());
    let pause = |name: &str, reason: &str| pb::PauseQueueRequest {
        name: name.to_owned(),
        reason: reason.to_owned(),
        request_id: format!("pause-{}", reason.len()),
    };
    for _ in 0..2 {
        let asked = pause("queues/support", "the phones ring");
        let paused = queues.pause_queue(asked).await.unwrap().into_inner();
        let paused = paused.queue.unwrap();
        assert_eq!(paused.state(), pb::QueueState::Paused);
        assert_eq!(paused.pause_reason, "the phones ring");
        assert!(paused.pause_time.is_some());
    }
    let resume = pb::ResumeQueueRequest {
        name: "queues/support".to_owned(),
        request_id: String::new(),
    };
    let resumed = queues.resume_queue(resume).await.unwrap().into_inner();
    let resumed = resumed.queue.unwrap();
    assert_eq!(resumed.state(), pb::QueueState::Open);
    assert_eq!(
        (resumed.pause_time, resumed.pause_reason),
        (None, String::new())
    );

    let unknown = queues.pause_queue(pause("queues/none", "")).await;
    refused(unknown, Code::NotFound, "RESOURCE_NOT_FOUND");
    let long = queues
        .pause_queue(pause("queues/support", &"x".repeat(16_385)))
        .await;
    refused(long, Code::InvalidArgument, "FIELD_INVALID");
    let mut remote = QueueServiceClient::new(gateway.remote.clone());
    let asked = by(&anna, pause("queues/support", "no"));
    let agents_wish = remote.pause_queue(asked).await;
    refused(agents_wish, Code::PermissionDenied, "ROLE_REQUIRED");
}
