//! Drafts over the wire: saved, found again by whoever goes on, and sent.

use postroom::grpc::pb;
use postroom::grpc::pb::interaction_service_client::InteractionServiceClient;
use prost_types::FieldMask;
use tonic::Code;

use super::files::{announced, uploaded};
use super::gateway::{Gateway, by, refused, sign_in};
use super::refusals::at_work;
use super::verbs::accept;

fn person(address: &str) -> pb::EmailAddress {
    pb::EmailAddress {
        address: address.to_owned(),
        display_name: String::new(),
    }
}

fn update(draft: &pb::Draft, paths: &[&str]) -> pb::UpdateDraftRequest {
    pb::UpdateDraftRequest {
        draft: Some(draft.clone()),
        update_mask: Some(FieldMask {
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        }),
    }
}

#[tokio::test]
async fn a_draft_has_versions_and_outlives_its_client() {
    let gateway = Gateway::start().await;
    for agent in ["anna", "bert"] {
        gateway.agent(agent, &["support"]).await;
    }
    let (anna, _stream) = at_work(&gateway, "anna").await;
    gateway.letter("support").await;
    let interaction = accept(&gateway, &anna).await;
    let mut interactions = InteractionServiceClient::new(gateway.remote.clone());
    let name = format!("{interaction}/draft");
    let get = pb::GetDraftRequest { name: name.clone() };
    refused(
        interactions.get_draft(by(&anna, get.clone())).await,
        Code::NotFound,
        "RESOURCE_NOT_FOUND",
    );

    let mut draft = pb::Draft {
        name: name.clone(),
        text_body: "Dear Carla,".to_owned(),
        // Half an address: people save what is not finished.
        to: vec![person("carla@")],
        etag: "\"0\"".to_owned(),
        ..pb::Draft::default()
    };
    let saved = interactions
        .update_draft(by(&anna, update(&draft, &[])))
        .await;
    let saved = saved.unwrap().into_inner().draft.unwrap();
    assert_eq!(
        (saved.etag.as_str(), saved.agent.as_str()),
        ("\"1\"", "agents/anna")
    );
    assert_eq!((saved.kind(), &saved.to), (pb::DraftKind::Reply, &draft.to));
    // On what is there no longer nothing can be based; without an etag the last one wins.
    let stale = interactions
        .update_draft(by(&anna, update(&draft, &[])))
        .await;
    let metadata = refused(stale, Code::Aborted, "ETAG_MISMATCH");
    assert!(metadata.contains(&("etag".to_owned(), "\"1\"".to_owned())));
    draft.etag = String::new();
    draft.subject = "Your lamp".to_owned();
    draft.text_body = String::new();
    let saved = interactions
        .update_draft(by(&anna, update(&draft, &["subject"])))
        .await;
    let saved = saved.unwrap().into_inner().draft.unwrap();
    assert_eq!(
        (
            saved.etag.as_str(),
            saved.subject.as_str(),
            saved.text_body.as_str()
        ),
        ("\"2\"", "Your lamp", "Dear Carla,")
    );
    // What changes nothing is no new version.
    let again = interactions
        .update_draft(by(&anna, update(&draft, &["subject"])))
        .await;
    assert_eq!(again.unwrap().into_inner().draft.unwrap(), saved);

    let with = |change: &dyn Fn(&mut pb::Draft)| {
        let mut changed = draft.clone();
        change(&mut changed);
        update(&changed, &[])
    };
    for asked in [
        with(&|draft| draft.text_body = "x".repeat((256 << 10) + 1)),
        // Each fits, and both together do not.
        with(&|draft| {
            draft.text_body = "x".repeat(200 << 10);
            draft.html_body = "x".repeat(100 << 10);
        }),
        with(&|draft| draft.name = interaction.clone()),
        with(&|draft| draft.etag = "2".to_owned()),
        with(&|draft| draft.kind = 77),
        with(&|draft| draft.to = vec![person("a@b.example"); 51]),
        with(&|draft| draft.attachments = vec!["a.pdf".to_owned()]),
        update(&draft, &["agent"]),
    ] {
        let updated = interactions.update_draft(by(&anna, asked)).await;
        refused(updated, Code::InvalidArgument, "FIELD_INVALID");
    }
    let bert = gateway.sign_in("bert").await;
    refused(
        interactions.get_draft(by(&bert, get.clone())).await,
        Code::PermissionDenied,
        "NOT_INTERACTION_OWNER",
    );
    let updated = interactions
        .update_draft(by(&bert, update(&draft, &[])))
        .await;
    refused(updated, Code::PermissionDenied, "NOT_INTERACTION_OWNER");
    let (lead, _) = gateway.key(&[pb::Role::Supervisor], "").await;
    let seen = interactions.get_draft(by(&lead, get.clone())).await;
    assert_eq!(seen.unwrap().into_inner().draft.unwrap(), saved);

    // The client is lost, and another takes over.
    let open = pb::OpenSessionRequest {
        takeover: true,
        ..sign_in("anna")
    };
    let mut sessions =
        pb::session_service_client::SessionServiceClient::new(gateway.remote.clone());
    let anna_again = sessions.open_session(open).await.unwrap();
    let anna_again = anna_again.into_inner().session_token;
    let late = interactions
        .update_draft(by(&anna, update(&draft, &[])))
        .await;
    refused(late, Code::Unauthenticated, "SESSION_CLOSED");
    let found = interactions.get_draft(by(&anna_again, get.clone())).await;
    assert_eq!(found.unwrap().into_inner().draft.unwrap(), saved);

    // Given back and taken up by a colleague, it goes along.
    let requeue = pb::RequeueInteractionRequest {
        name: interaction.clone(),
        ..pb::RequeueInteractionRequest::default()
    };
    let requeued = interactions
        .requeue_interaction(by(&anna_again, requeue))
        .await;
    requeued.unwrap();
    refused(
        interactions.get_draft(by(&anna_again, get.clone())).await,
        Code::PermissionDenied,
        "NOT_INTERACTION_OWNER",
    );
    drop(bert);
    let bert = gateway_takes_over(&gateway, "bert").await;
    assert_eq!(accept(&gateway, &bert.0).await, interaction);
    let found = interactions.get_draft(by(&bert.0, get.clone())).await;
    assert_eq!(found.unwrap().into_inner().draft.unwrap(), saved);

    // With the interaction it ends.
    let cancel = pb::CancelInteractionRequest {
        name: interaction,
        cause: pb::CancelCause::Spam.into(),
        ..pb::CancelInteractionRequest::default()
    };
    let cancelled = interactions.cancel_interaction(by(&bert.0, cancel)).await;
    cancelled.unwrap();
    refused(
        interactions.get_draft(by(&lead, get)).await,
        Code::NotFound,
        "RESOURCE_NOT_FOUND",
    );
}

/// Signs in in place of whoever is signed in, watches, and is Available.
async fn gateway_takes_over(
    gateway: &Gateway,
    id: &str,
) -> (String, tonic::Streaming<pb::WatchSessionResponse>) {
    let mut sessions =
        pb::session_service_client::SessionServiceClient::new(gateway.remote.clone());
    let open = pb::OpenSessionRequest {
        takeover: true,
        initial_state: pb::AgentState::Available.into(),
        ..sign_in(id)
    };
    let token = sessions
        .open_session(open)
        .await
        .unwrap()
        .into_inner()
        .session_token;
    let watch = pb::WatchSessionRequest {
        name: "sessions/current".to_owned(),
        ..pb::WatchSessionRequest::default()
    };
    let stream = sessions.watch_session(by(&token, watch)).await.unwrap();
    (token, stream.into_inner())
}

#[tokio::test]
async fn what_was_saved_is_sent_where_a_request_says_nothing() {
    let gateway = Gateway::start().await;
    gateway.agent("anna", &["sales"]).await;
    let (anna, _stream) = at_work(&gateway, "anna").await;
    gateway.letter("sales").await;
    let interaction = accept(&gateway, &anna).await;
    let mut interactions = InteractionServiceClient::new(gateway.remote.clone());
    let send = |text: &str| pb::SendReplyRequest {
        name: interaction.clone(),
        text_body: text.to_owned(),
        request_id: "s".to_owned(),
        ..pb::SendReplyRequest::default()
    };
    // There is nothing to say yet.
    let sent = interactions.send_reply(by(&anna, send(""))).await;
    refused(sent, Code::InvalidArgument, "FIELD_INVALID");
    let file = uploaded(
        &gateway,
        &anna,
        announced(&interaction, "a.pdf", b"a"),
        b"a",
    )
    .await;
    let draft = pb::Draft {
        name: format!("{interaction}/draft"),
        from_address: "sales-eu@shop.example".to_owned(),
        cc: vec![person("boss@customer.example")],
        subject: "About the lamp".to_owned(),
        text_body: "It will be mended.".to_owned(),
        attachments: vec![file.name],
        ..pb::Draft::default()
    };
    let saved = interactions
        .update_draft(by(&anna, update(&draft, &[])))
        .await;
    let saved = saved.unwrap().into_inner().draft.unwrap();
    assert_eq!(saved.attachments, draft.attachments);
    let sent = interactions.send_reply(by(&anna, send(" "))).await;
    let sent = sent.unwrap().into_inner();
    let message = sent.message.clone().unwrap();
    assert_eq!(
        message.recipients,
        ["carla@customer.example", "boss@customer.example"]
    );
    let read = pb::GetMessageRequest {
        name: message.name,
        view: pb::MessageView::Full.into(),
    };
    let read = interactions.get_message(by(&anna, read)).await.unwrap();
    let read = read.into_inner().message.unwrap();
    assert_eq!(read.text_body.trim(), "It will be mended.");
    assert_eq!(read.sender.unwrap().address, "sales-eu@shop.example");
    assert!(
        read.subject.starts_with("About the lamp"),
        "{}",
        read.subject
    );
    assert_eq!(read.attachments[0].file_name, "a.pdf");
    // The interaction is closed, the draft is gone, and the answer is the same.
    let again = interactions.send_reply(by(&anna, send(" "))).await;
    let again = again.unwrap();
    assert_eq!(again.metadata().get("postroom-replayed").unwrap(), "1");
    assert_eq!(again.into_inner(), sent);
}
