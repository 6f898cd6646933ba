//! Figures: of queues and agents, by day, for supervisors and on the board.

use std::collections::BTreeSet;

use postroom::grpc::pb;
use postroom::grpc::pb::supervisor_service_client::SupervisorServiceClient;
use tonic::Code;
use tonic::transport::Channel;

use super::gateway::{Gateway, by, refused};

type Supervisor = SupervisorServiceClient<Channel>;

/// What the board says of a queue today.
async fn today(supervisor: &mut Supervisor, queue: &str) -> pb::QueueFigures {
    let overview = (supervisor.get_overview(pb::GetOverviewRequest {}).await).unwrap();
    let queues = overview.into_inner().overview.unwrap().queues;
    let mut queues = queues.into_iter();
    let stats = queues.find(|stats| stats.queue == queue).unwrap();
    stats.today.unwrap()
}

fn of_queues(date: &str) -> pb::ListQueueFiguresRequest {
    pb::ListQueueFiguresRequest {
        from_date: date.to_owned(),
        ..pb::ListQueueFiguresRequest::default()
    }
}

#[tokio::test]
async fn what_is_done_is_counted_and_listed_in_pages() {
    let gateway = Gateway::start().await;
    gateway.agent("anna", &["support"]).await;
    let mut supervisor = SupervisorServiceClient::new(gateway.local.clone());
    for queue in ["support", "support", "sales"] {
        gateway.letter(queue).await;
    }
    let arrived = today(&mut supervisor, "queues/support").await;
    assert_eq!((arrived.received_count, arrived.abandoned_count), (2, 0));
    let waiting = pb::ListWaitingInteractionsRequest {
        queue: "queues/support".to_owned(),
        ..pb::ListWaitingInteractionsRequest::default()
    };
    let waiting = supervisor.list_waiting_interactions(waiting).await.unwrap();
    let name = waiting
        .into_inner()
        .waiting_interactions
        .remove(0)
        .interaction;
    let dismiss = pb::DismissInteractionRequest {
        name,
        request_id: String::new(),
    };
    supervisor.dismiss_interaction(dismiss).await.unwrap();
    let left = today(&mut supervisor, "queues/support").await;
    assert_eq!((left.received_count, left.abandoned_count), (2, 1));

    let mut seen = Vec::new();
    let mut asked = pb::ListQueueFiguresRequest {
        page_size: 1,
        ..of_queues(&left.date)
    };
    loop {
        let page = supervisor.list_queue_figures(asked.clone()).await.unwrap();
        let page = page.into_inner();
        assert!(page.queue_figures.len() <= 1);
        seen.extend(page.queue_figures);
        if page.next_page_token.is_empty() {
            break;
        }
        asked.page_token = page.next_page_token;
    }
    let sales = today(&mut supervisor, "queues/sales").await;
    assert_eq!(seen, [sales, left.clone()]);
    let one = pb::ListQueueFiguresRequest {
        queue: "queues/support".to_owned(),
        ..of_queues(&left.date)
    };
    let one = supervisor.list_queue_figures(one).await.unwrap();
    let one = one.into_inner().queue_figures;
    assert_eq!(one.as_slice(), std::slice::from_ref(&left));
    let other_list = pb::ListQueueFiguresRequest {
        queue: "queues/support".to_owned(),
        ..asked
    };
    let crossed = supervisor.list_queue_figures(other_list).await;
    refused(crossed, Code::InvalidArgument, "PAGE_TOKEN_INVALID");
    let before = supervisor.list_queue_figures(of_queues("2001-01-01")).await;
    assert!(before.unwrap().into_inner().queue_figures.is_empty());
}

#[tokio::test]
async fn agents_take_and_are_counted_for_those_who_may_see_it() {
    let gateway = Gateway::start().await;
    gateway.agent("anna", &["support"]).await;
    gateway.agent("bert", &["support"]).await;
    let token = gateway.sign_in("anna").await;
    let mut supervisor = SupervisorServiceClient::new(gateway.local.clone());
    gateway.letter("support").await;
    let waiting = pb::ListWaitingInteractionsRequest {
        queue: "queues/support".to_owned(),
        ..pb::ListWaitingInteractionsRequest::default()
    };
    let waiting = supervisor.list_waiting_interactions(waiting).await.unwrap();
    let name = waiting
        .into_inner()
        .waiting_interactions
        .remove(0)
        .interaction;
    let target = pb::reassign_interaction_request::Target::Agent("agents/anna".to_owned());
    let give = pb::ReassignInteractionRequest {
        name,
        target: Some(target),
        ..pb::ReassignInteractionRequest::default()
    };
    supervisor.reassign_interaction(give).await.unwrap();
    let queue = today(&mut supervisor, "queues/support").await;
    assert_eq!((queue.received_count, queue.accepted_count), (1, 1));

    let (key, _) = gateway.key(&[pb::Role::Observer], "").await;
    let mut remote = SupervisorServiceClient::new(gateway.remote.clone());
    let asked = pb::ListAgentFiguresRequest {
        from_date: queue.date.clone(),
        ..pb::ListAgentFiguresRequest::default()
    };
    let seen = remote.list_agent_figures(by(&key, asked.clone())).await;
    let seen = seen.unwrap().into_inner().agent_figures;
    let agents: BTreeSet<_> = (seen.iter())
        .map(|figures| (figures.agent.as_str(), figures.accepted_count))
        .collect();
    assert_eq!(agents, BTreeSet::from([("agents/anna", 1)]));
    let own = remote.list_agent_figures(by(&token, asked.clone())).await;
    refused(own, Code::PermissionDenied, "ROLE_REQUIRED");
    let own = remote
        .list_queue_figures(by(&token, of_queues(&queue.date)))
        .await;
    refused(own, Code::PermissionDenied, "ROLE_REQUIRED");

    for (agent, from, to) in [
        ("anna", queue.date.as_str(), ""),
        ("", "", ""),
        ("", "25.11.2026", ""),
        ("", "2026-11-25", "2026-11-24"),
        ("", "2026-01-01", "2026-12-31"),
    ] {
        let asked = pb::ListAgentFiguresRequest {
            agent: agent.to_owned(),
            from_date: from.to_owned(),
            to_date: to.to_owned(),
            ..asked.clone()
        };
        let wrong = supervisor.list_agent_figures(asked).await;
        refused(wrong, Code::InvalidArgument, "FIELD_INVALID");
    }
}
