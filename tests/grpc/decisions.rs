//! What supervisors and administrators decide about letters and cases.

use postroom::desk::{Handling, HoldReason, Work};
use postroom::grpc::pb;
use postroom::grpc::pb::case_service_client::CaseServiceClient;
use postroom::grpc::pb::interaction_service_client::InteractionServiceClient;
use postroom::grpc::pb::supervisor_service_client::SupervisorServiceClient;
use postroom::grpc::pb::system_service_client::SystemServiceClient;
use tonic::Code;

use super::gateway::{Gateway, by, refused};

fn held() -> Handling {
    Handling {
        work: Work::Held {
            reason: HoldReason::Rule("strangers".to_owned()),
            aside: None,
        },
        ..Handling::default()
    }
}

async fn list_held(
    supervisor: &mut SupervisorServiceClient<tonic::transport::Channel>,
    queue: &str,
) -> Vec<pb::Interaction> {
    let request = pb::ListHeldInteractionsRequest {
        queue: queue.to_owned(),
        ..pb::ListHeldInteractionsRequest::default()
    };
    let page = supervisor.list_held_interactions(request).await.unwrap();
    page.into_inner().interactions
}

#[tokio::test]
async fn a_held_letter_is_released_or_dismissed_and_nobody_else_sees_it() {
    let gateway = Gateway::start().await;
    gateway.agent("anna", &["support"]).await;
    let token = gateway.sign_in("anna").await;
    let mut supervisor = SupervisorServiceClient::new(gateway.local.clone());
    for _ in 0..2 {
        gateway
            .arrives_as("support", b"Subject: x\r\n\r\n".to_vec(), held())
            .await;
    }
    let found = list_held(&mut supervisor, "queues/support").await;
    let [first, second] = found.as_slice() else {
        panic!("{found:?}");
    };
    assert_eq!(first.state(), pb::InteractionState::Held);
    assert_eq!(first.hold_reason, "rule strangers holds it");
    assert!(list_held(&mut supervisor, "queues/sales").await.is_empty());
    let nowhere = pb::ListHeldInteractionsRequest {
        queue: "queues/nowhere".to_owned(),
        ..pb::ListHeldInteractionsRequest::default()
    };
    let unknown = supervisor.list_held_interactions(nowhere).await;
    refused(unknown, Code::NotFound, "RESOURCE_NOT_FOUND");

    let mut anna = InteractionServiceClient::new(gateway.remote.clone());
    let look = by(
        &token,
        pb::GetInteractionRequest {
            name: first.name.clone(),
        },
    );
    let hidden = anna.get_interaction(look).await;
    refused(hidden, Code::NotFound, "RESOURCE_NOT_FOUND");

    let release = pb::ReleaseInteractionRequest {
        name: first.name.clone(),
        request_id: "release-1".to_owned(),
    };
    for _ in 0..2 {
        let released = supervisor
            .release_interaction(release.clone())
            .await
            .unwrap();
        let released = released.into_inner().interaction.unwrap();
        assert_eq!(released.state(), pb::InteractionState::Queued);
    }
    let dismiss = pb::DismissInteractionRequest {
        name: second.name.clone(),
        request_id: String::new(),
    };
    let filed = supervisor
        .dismiss_interaction(dismiss.clone())
        .await
        .unwrap();
    let filed = filed.into_inner().interaction.unwrap();
    assert_eq!(filed.state(), pb::InteractionState::Filed);
    let again = supervisor.dismiss_interaction(dismiss).await;
    refused(again, Code::NotFound, "RESOURCE_NOT_FOUND");
    let late = pb::ReleaseInteractionRequest {
        name: first.name.clone(),
        request_id: String::new(),
    };
    let late = supervisor.release_interaction(late).await;
    refused(late, Code::FailedPrecondition, "INTERACTION_STATE_INVALID");
    assert!(list_held(&mut supervisor, "").await.is_empty());
}

#[tokio::test]
async fn a_reader_sees_why_a_letter_is_where_it_is() {
    let gateway = Gateway::start().await;
    gateway.letter("sales").await;
    let mut reader = InteractionServiceClient::new(gateway.local.clone());
    let all = reader
        .list_interactions(pb::ListInteractionsRequest::default())
        .await;
    let all = all.unwrap().into_inner().interactions;
    let name = all[0].latest_message.clone();
    let asked = pb::GetDossierRequest { name: name.clone() };
    let dossier = reader.get_dossier(asked).await.unwrap().into_inner();
    let dossier = dossier.dossier.unwrap();
    assert_eq!(dossier.message, name);
    assert_eq!(dossier.sender_trust(), pb::SenderTrust::Proven);
    let methods: Vec<_> = dossier.checks.iter().map(|check| &*check.method).collect();
    assert_eq!(methods, ["spf", "arc", "dmarc"]);
    let threading = dossier.threading.unwrap();
    assert_eq!(threading.decision(), pb::ThreadingDecision::New);
    let nothing = pb::GetDossierRequest {
        name: format!("{}0000000000000000000000000", &name[..name.len() - 25]),
    };
    let nothing = reader.get_dossier(nothing).await;
    refused(nothing, Code::NotFound, "RESOURCE_NOT_FOUND");
}

#[tokio::test]
async fn cases_are_merged_once_and_their_tokens_revoked() {
    let gateway = Gateway::start().await;
    gateway.letter("sales").await;
    gateway.letter("support").await;
    let mut reader = InteractionServiceClient::new(gateway.local.clone());
    let all = reader
        .list_interactions(pb::ListInteractionsRequest::default())
        .await;
    let cases: Vec<String> = (all.unwrap().into_inner().interactions.into_iter())
        .map(|found| found.case)
        .collect();
    let mut service = CaseServiceClient::new(gateway.local.clone());
    let merge = |name: &str, into: &str, request_id: &str| pb::MergeCaseRequest {
        name: name.to_owned(),
        into: into.to_owned(),
        request_id: request_id.to_owned(),
    };
    let merged = merge(&cases[1], &cases[0], "merge-1");
    for _ in 0..2 {
        let into = service
            .merge_case(merged.clone())
            .await
            .unwrap()
            .into_inner();
        assert_eq!(into.case.unwrap().name, cases[0]);
    }
    let part = pb::GetCaseRequest {
        name: cases[1].clone(),
    };
    let part = service
        .get_case(part)
        .await
        .unwrap()
        .into_inner()
        .case
        .unwrap();
    assert_eq!(part.merged_into, cases[0]);
    for (name, into) in [(&cases[1], &cases[0]), (&cases[0], &cases[0])] {
        let wrong = service.merge_case(merge(name, into, "")).await;
        let reason = "STATE_TRANSITION_INVALID";
        refused(wrong, Code::FailedPrecondition, reason);
    }
    let nothing = service.merge_case(merge(&cases[0], "cases/5724", "")).await;
    refused(nothing, Code::NotFound, "RESOURCE_NOT_FOUND");

    let revoke = pb::RevokeCaseTokensRequest {
        name: cases[0].clone(),
        request_id: String::new(),
    };
    let revoked = service
        .revoke_case_tokens(revoke)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(revoked.case.unwrap().name, cases[0]);

    let mut system = SystemServiceClient::new(gateway.local.clone());
    for id in [2, 3] {
        let rotated = system.rotate_token_key(pb::RotateTokenKeyRequest {}).await;
        assert_eq!(rotated.unwrap().into_inner().key_id, id);
    }
}
