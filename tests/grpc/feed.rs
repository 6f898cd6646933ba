//! The feed of a case: in pages both ways, as it happens, and for those who may read it.

use postroom::desk::Command;
use postroom::grpc::pb;
use postroom::grpc::pb::case_service_client::CaseServiceClient;
use postroom::grpc::pb::feed_entry::Item;
use postroom::grpc::pb::interaction_service_client::InteractionServiceClient;
use postroom::grpc::pb::watch_case_response::Frame;
use postroom::outbound::message::{Diagnostic, Outcome};
use tonic::{Code, Streaming};

use super::gateway::{Gateway, by, refused};
use super::refusals::at_work;
use super::verbs::accept;

/// Anna has the case of a letter; her token, her stream, and the work.
async fn accepted(
    gateway: &Gateway,
) -> (String, Streaming<pb::WatchSessionResponse>, pb::Interaction) {
    gateway.agent("anna", &["sales"]).await;
    let (anna, stream) = at_work(gateway, "anna").await;
    gateway.letter("sales").await;
    let name = accept(gateway, &anna).await;
    let get = pb::GetInteractionRequest { name };
    let mut work = InteractionServiceClient::new(gateway.remote.clone());
    let found = work.get_interaction(by(&anna, get)).await.unwrap();
    (anna, stream, found.into_inner().interaction.unwrap())
}

fn kind(entry: &pb::FeedEntry) -> &'static str {
    match entry.item.as_ref().unwrap() {
        Item::Message(mail) if mail.delivery.is_some() => "sent",
        Item::Message(_) => "letter",
        Item::Note(_) => "note",
        Item::Assigned(_) => "assigned",
        Item::Closed(_) => "closed",
        _ => "other",
    }
}

async fn next(frames: &mut Streaming<pb::WatchCaseResponse>) -> pb::FeedEntry {
    match frames.message().await.unwrap().unwrap().frame.unwrap() {
        Frame::FeedEntry(entry) => entry,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_feed_tells_all_in_order_and_goes_on_by_itself() {
    let gateway = Gateway::start().await;
    let (anna, _stream, work) = accepted(&gateway).await;
    let mut cases = CaseServiceClient::new(gateway.remote.clone());
    let watch = pb::WatchCaseRequest {
        name: work.case.clone(),
        after: String::new(),
    };
    let frames = cases.watch_case(by(&anna, watch)).await.unwrap();
    let mut frames = frames.into_inner();
    assert_eq!(kind(&next(&mut frames).await), "letter");
    assert_eq!(kind(&next(&mut frames).await), "assigned");

    let note = pb::AddNoteRequest {
        parent: work.case.clone(),
        text: "wants a blue one".to_owned(),
        request_id: "note".to_owned(),
    };
    for _ in 0..2 {
        let added = cases.add_note(by(&anna, note.clone())).await.unwrap();
        let added = added.into_inner().feed_entry.unwrap();
        assert_eq!(added.actor.unwrap().subject, "agents/anna");
    }
    let told = next(&mut frames).await;
    let Some(Item::Note(note)) = &told.item else {
        panic!("{told:?}");
    };
    assert_eq!(note.text, "wants a blue one");

    // A reply goes out: its entry is sent again as it goes on.
    let reply = pb::SendReplyRequest {
        name: work.name.clone(),
        text_body: "Here it is.".to_owned(),
        request_id: "reply".to_owned(),
        ..pb::SendReplyRequest::default()
    };
    InteractionServiceClient::new(gateway.remote.clone())
        .send_reply(by(&anna, reply))
        .await
        .unwrap();
    let sent = next(&mut frames).await;
    assert_eq!(kind(&sent), "sent");
    assert_eq!(kind(&next(&mut frames).await), "closed");
    let Some(Item::Message(mail)) = &sent.item else {
        panic!("{sent:?}");
    };
    let message = mail.name.rsplit('/').next().unwrap().parse().unwrap();
    let taken = Outcome::Accepted {
        reply: Diagnostic::new(250, None, "queued as 4XYZ"),
        queue_id: Some("4XYZ".to_owned()),
        refused: Vec::new(),
    };
    for command in [
        Command::HandOver { message },
        Command::FinishSubmission {
            message,
            outcome: taken,
            sent_for: None,
        },
    ] {
        gateway.handle.command(command, None).await.unwrap();
    }
    let again = loop {
        let again = next(&mut frames).await;
        let Some(Item::Message(mail)) = &again.item else {
            panic!("{again:?}");
        };
        if mail.delivery.as_ref().unwrap().state() == pb::DeliveryState::Confirmed {
            break again;
        }
    };
    assert_eq!(again.name, sent.name);

    // In pages, from either end, it is the same.
    let whole = ["letter", "assigned", "note", "sent", "closed"];
    for newest_first in [false, true] {
        let mut found = Vec::new();
        let mut page_token = String::new();
        loop {
            let list = pb::ListFeedEntriesRequest {
                parent: work.case.clone(),
                newest_first,
                page_size: 2,
                page_token,
            };
            let page = cases.list_feed_entries(by(&anna, list)).await.unwrap();
            let page = page.into_inner();
            assert!(page.feed_entries.len() <= 2);
            found.extend(page.feed_entries);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        if newest_first {
            found.reverse();
        }
        assert_eq!(found.iter().map(kind).collect::<Vec<_>>(), whole);
        assert!(found.iter().map(|entry| &entry.name).is_sorted());
    }
    gateway.drain.cancel();
    let last = frames.message().await.unwrap().unwrap().frame.unwrap();
    assert!(matches!(last, Frame::Closing(_)), "{last:?}");
}

#[tokio::test]
async fn a_feed_is_for_those_who_serve_its_queue() {
    let gateway = Gateway::start().await;
    let (anna, _stream, work) = accepted(&gateway).await;
    gateway.agent("bert", &["support"]).await;
    let bert = gateway.sign_in("bert").await;
    let mut cases = CaseServiceClient::new(gateway.remote.clone());
    let list = |parent: &str| pb::ListFeedEntriesRequest {
        parent: parent.to_owned(),
        ..pb::ListFeedEntriesRequest::default()
    };
    let note = |parent: &str, text: &str| pb::AddNoteRequest {
        parent: parent.to_owned(),
        text: text.to_owned(),
        ..pb::AddNoteRequest::default()
    };
    let strange = cases.list_feed_entries(by(&bert, list(&work.case))).await;
    refused(strange, Code::PermissionDenied, "NOT_QUEUE_MEMBER");
    let strange = cases.add_note(by(&bert, note(&work.case, "me too"))).await;
    refused(strange, Code::PermissionDenied, "NOT_QUEUE_MEMBER");
    let strange = pb::WatchCaseRequest {
        name: work.case.clone(),
        after: String::new(),
    };
    let strange = cases.watch_case(by(&bert, strange)).await;
    refused(strange, Code::PermissionDenied, "NOT_QUEUE_MEMBER");

    let mistyped = cases.list_feed_entries(by(&anna, list("cases/14"))).await;
    refused(mistyped, Code::InvalidArgument, "FIELD_INVALID");
    let empty = cases.add_note(by(&anna, note(&work.case, " \n"))).await;
    refused(empty, Code::InvalidArgument, "FIELD_INVALID");
    let long = "x".repeat((16 << 10) + 1);
    let long = cases.add_note(by(&anna, note(&work.case, &long))).await;
    refused(long, Code::InvalidArgument, "FIELD_INVALID");
    let elsewhere = pb::WatchCaseRequest {
        name: work.case.clone(),
        after: "cases/13/entries/1".to_owned(),
    };
    let elsewhere = cases.watch_case(by(&anna, elsewhere)).await;
    refused(elsewhere, Code::InvalidArgument, "FIELD_INVALID");
}
