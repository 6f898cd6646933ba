//! Who is offered what, as supervisors and administrators see and steer it.

use postroom::desk::Handling;
use postroom::grpc::pb;
use postroom::grpc::pb::agent_service_client::AgentServiceClient;
use postroom::grpc::pb::queue_service_client::QueueServiceClient;
use postroom::grpc::pb::supervisor_service_client::SupervisorServiceClient;
use tonic::Code;

use super::gateway::{Gateway, refused};

fn skill(name: &str, level: i32) -> pb::Skill {
    pb::Skill {
        name: name.to_owned(),
        level,
    }
}

fn taught(skills: Vec<pb::Skill>) -> pb::UpdateAgentRequest {
    pb::UpdateAgentRequest {
        agent: Some(pb::Agent {
            name: "agents/anna".to_owned(),
            skills,
            ..pb::Agent::default()
        }),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["skills".to_owned()],
        }),
        request_id: String::new(),
    }
}

#[tokio::test]
async fn a_letter_says_why_it_waits_and_is_moved() {
    let gateway = Gateway::start().await;
    gateway.agent("anna", &["support"]).await;
    gateway.agent("bert", &["sales"]).await;
    let handling = |skills: &[&str]| Handling {
        skills: skills.iter().map(|skill| (*skill).to_owned()).collect(),
        ..Handling::default()
    };
    let raw = || b"Subject: x\r\n\r\n".to_vec();
    gateway.arrives_as("support", raw(), handling(&[])).await;
    gateway
        .arrives_as("support", raw(), handling(&["german:3"]))
        .await;
    let mut supervisor = SupervisorServiceClient::new(gateway.local.clone());
    let list = pb::ListWaitingInteractionsRequest {
        queue: "queues/support".to_owned(),
        ..pb::ListWaitingInteractionsRequest::default()
    };
    let waiting = supervisor.list_waiting_interactions(list.clone()).await;
    let waiting = waiting.unwrap().into_inner().waiting_interactions;
    let name = waiting[1].interaction.clone();

    let explain = |agent: &str| pb::ExplainInteractionRequest {
        name: name.clone(),
        agent: agent.to_owned(),
        ..pb::ExplainInteractionRequest::default()
    };
    let all = supervisor.explain_interaction(explain("")).await.unwrap();
    let all = all.into_inner();
    assert_eq!((all.position, all.effective_priority), (2, 0));
    let [anna] = all.agents.as_slice() else {
        panic!("{all:?}");
    };
    assert_eq!(anna.agent, "agents/anna");
    let reasons: Vec<_> = anna.exclusions.iter().map(|found| found.reason()).collect();
    let (skill_missing, signed_out) = (
        pb::ExclusionReason::SkillMissing,
        pb::ExclusionReason::SignedOut,
    );
    assert_eq!(reasons, [skill_missing, signed_out]);
    assert_eq!(
        anna.exclusions[0].text,
        "has german at level 0, and 3 is asked for"
    );
    let bert = supervisor.explain_interaction(explain("agents/bert")).await;
    let bert = bert.unwrap().into_inner().agents;
    let stranger = |found: &pb::Exclusion| found.reason() == pb::ExclusionReason::NotMember;
    assert!(bert[0].exclusions.iter().any(stranger), "{bert:?}");
    refused(
        supervisor
            .explain_interaction(explain("agents/nobody"))
            .await,
        Code::NotFound,
        "RESOURCE_NOT_FOUND",
    );
    refused(
        supervisor.explain_interaction(explain("anna")).await,
        Code::InvalidArgument,
        "FIELD_INVALID",
    );

    let raise = |priority| pb::SetInteractionPriorityRequest {
        name: name.clone(),
        priority,
        request_id: String::new(),
    };
    let raised = supervisor.set_interaction_priority(raise(7)).await.unwrap();
    assert_eq!(raised.into_inner().interaction.unwrap().priority, 7);
    let waiting = supervisor.list_waiting_interactions(list).await.unwrap();
    let waiting = waiting.into_inner().waiting_interactions;
    assert_eq!(waiting[0].interaction, name);
    assert_eq!(waiting[0].effective_priority, 7);
    for priority in [-101, 101, i32::MIN, i32::MAX] {
        refused(
            supervisor.set_interaction_priority(raise(priority)).await,
            Code::InvalidArgument,
            "FIELD_INVALID",
        );
    }
}

#[tokio::test]
async fn agents_are_taught_and_shared_among_queues() {
    let gateway = Gateway::start().await;
    gateway.agent("anna", &["support"]).await;
    let mut agents = AgentServiceClient::new(gateway.local.clone());
    let know = vec![skill("german", 3), skill("law", 10)];
    let updated = agents.update_agent(taught(know.clone())).await.unwrap();
    assert_eq!(updated.into_inner().agent.unwrap().skills, know);
    for wrong in [
        skill("german", 0),
        skill("german", 11),
        skill("german", -1),
        skill("German", 1),
        skill("", 1),
    ] {
        refused(
            agents.update_agent(taught(vec![wrong])).await,
            Code::InvalidArgument,
            "FIELD_INVALID",
        );
    }
    let many = (0..51).map(|number| skill(&format!("s-{number}"), 1));
    refused(
        agents.update_agent(taught(many.collect())).await,
        Code::InvalidArgument,
        "FIELD_INVALID",
    );

    let mut queues = QueueServiceClient::new(gateway.local.clone());
    let join = |weight| pb::CreateMembershipRequest {
        parent: "queues/sales".to_owned(),
        membership: Some(pb::Membership {
            agent: "agents/anna".to_owned(),
            weight,
            ..pb::Membership::default()
        }),
    };
    for (weight, becomes) in [(0, 10), (100, 100), (0, 100), (1, 1)] {
        let made = queues.create_membership(join(weight)).await.unwrap();
        assert_eq!(made.into_inner().membership.unwrap().weight, becomes);
    }
    for weight in [-1, 101, 256] {
        refused(
            queues.create_membership(join(weight)).await,
            Code::InvalidArgument,
            "FIELD_INVALID",
        );
    }
    let list = pb::ListMembershipsRequest {
        parent: "queues/sales".to_owned(),
        ..pb::ListMembershipsRequest::default()
    };
    let members = queues.list_memberships(list).await.unwrap().into_inner();
    assert_eq!(members.memberships[0].weight, 1);
}
