//! Mails that go out with files, over the wire.

use postroom::grpc::pb;
use postroom::grpc::pb::interaction_service_client::InteractionServiceClient;
use tonic::Code;

use super::files::{announced, downloaded, files, uploaded};
use super::gateway::{Gateway, by, refused};
use super::refusals::at_work;
use super::verbs::accept;

const LETTER: &str = "From: Carla <carla@customer.example>\r\n\
To: support@shop.example\r\n\
Subject: Broken lamp\r\n\
Message-ID: <lamp@customer.example>\r\n\
MIME-Version: 1.0\r\n\
Content-Type: multipart/mixed; boundary=m\r\n\
\r\n\
--m\r\n\
Content-Type: text/plain\r\n\
\r\n\
My lamp is broken.\r\n\
--m\r\n\
Content-Type: application/pdf; name=bill.pdf\r\n\
Content-Disposition: attachment; filename=bill.pdf\r\n\
Content-Transfer-Encoding: base64\r\n\
\r\n\
VGhlIGJpbGw=\r\n\
--m--\r\n";

fn reply(name: &str, attachments: &[&str], id: &str) -> pb::SendReplyRequest {
    pb::SendReplyRequest {
        name: name.to_owned(),
        html_body: "<p>Here you are.</p><img src=\"cid:logo\"><img src=\"cid:other\">".to_owned(),
        attachments: attachments.iter().map(|name| (*name).to_owned()).collect(),
        request_id: id.to_owned(),
        ..pb::SendReplyRequest::default()
    }
}

/// Names and bytes of the files of a message.
async fn sent_files(gateway: &Gateway, token: &str, message: &str) -> Vec<(String, Vec<u8>)> {
    let mut interactions = InteractionServiceClient::new(gateway.remote.clone());
    let read = pb::GetMessageRequest {
        name: message.to_owned(),
        view: pb::MessageView::Full.into(),
    };
    let read = interactions.get_message(by(token, read)).await.unwrap();
    let mut found = Vec::new();
    for file in read.into_inner().message.unwrap().attachments {
        let (about, bytes) = downloaded(gateway, token, &file.name, 0).await.unwrap();
        assert_eq!(
            (&about.name, &about.file_name),
            (&file.name, &file.file_name)
        );
        // Shown where it was meant to be, and not listed beside.
        assert_eq!(
            file.in_html_body,
            file.file_name == "logo.png",
            "{}",
            file.file_name
        );
        found.push((file.file_name, bytes));
    }
    found
}

#[tokio::test]
async fn a_reply_takes_files_along() {
    let gateway = Gateway::start().await;
    // A queue without post-processing: with the answer all is over.
    gateway.agent("anna", &["sales"]).await;
    gateway.agent("bert", &["sales"]).await;
    let (anna, _stream) = at_work(&gateway, "anna").await;
    gateway.arrives("sales", LETTER.as_bytes().to_vec()).await;
    let name = accept(&gateway, &anna).await;
    let (bert, _stream) = at_work(&gateway, "bert").await;
    gateway.letter("sales").await;
    let foreign = accept(&gateway, &bert).await;
    let mut interactions = InteractionServiceClient::new(gateway.remote.clone());
    let mut files = files(&gateway);

    // Large enough that the mail is no longer in memory, and no text.
    let bytes: Vec<u8> = (0..900_000_u32)
        .map(|n| (n.wrapping_mul(n) >> 5) as u8)
        .collect();
    let asked = announced(&name, "Größe.pdf", &bytes);
    let large = uploaded(&gateway, &anna, asked, &bytes).await;
    let logo = pb::CreateAttachmentRequest {
        inline: true,
        content_id: "logo".to_owned(),
        content_type: "image/png".to_owned(),
        ..announced(&name, "logo.png", b"PNG")
    };
    let logo = uploaded(&gateway, &anna, logo, b"PNG").await;
    let part = files
        .create_attachment(by(&anna, announced(&name, "part.pdf", b"not yet here")))
        .await;
    let part = part.unwrap().into_inner().attachment.unwrap().name;
    let theirs = uploaded(&gateway, &bert, announced(&foreign, "a", b"a"), b"a").await;
    let list = pb::ListMessagesRequest {
        parent: name.clone(),
        ..pb::ListMessagesRequest::default()
    };
    let listed = interactions.list_messages(by(&anna, list)).await.unwrap();
    let letter = listed.into_inner().messages[0].name.clone();
    let bill = format!("{letter}/attachments/2");

    let many = vec![bill.as_str(); 51];
    for (attachments, code, reason) in [
        (
            &[part.as_str()][..],
            Code::FailedPrecondition,
            "ATTACHMENT_NOT_READY",
        ),
        (&[&theirs.name], Code::InvalidArgument, "FIELD_INVALID"),
        (&[""], Code::InvalidArgument, "FIELD_INVALID"),
        (
            &["interactions/x/attachments/../y"],
            Code::InvalidArgument,
            "FIELD_INVALID",
        ),
        (&many, Code::InvalidArgument, "FIELD_INVALID"),
        (
            &[&format!("{letter}/attachments/9")],
            Code::NotFound,
            "RESOURCE_NOT_FOUND",
        ),
        (
            &[&format!(
                "{name}/attachments/{}",
                theirs.name.rsplit('/').next().unwrap()
            )],
            Code::NotFound,
            "RESOURCE_NOT_FOUND",
        ),
    ] {
        let sent = interactions
            .send_reply(by(&anna, reply(&name, attachments, "s")))
            .await;
        refused(sent, code, reason);
    }

    let asked = reply(&name, &[&large.name, &logo.name, &bill], "s");
    let sent = interactions.send_reply(by(&anna, asked.clone())).await;
    let sent = sent.unwrap().into_inner();
    let found = sent.interaction.clone().unwrap();
    assert_eq!(found.state(), pb::InteractionState::Closed);
    let message = sent.message.clone().unwrap();
    let expected = [
        ("logo.png".to_owned(), b"PNG".to_vec()),
        ("Größe.pdf".to_owned(), bytes),
        ("bill.pdf".to_owned(), b"The bill".to_vec()),
    ];
    let read = sent_files(&gateway, &anna, &message.name).await;
    assert!(
        read == expected,
        "{:?}",
        read.iter().map(|file| &file.0).collect::<Vec<_>>()
    );
    // The interaction is closed and its files are gone, and still the answer is the same.
    let get = pb::GetAttachmentRequest { name: large.name };
    refused(
        files.get_attachment(by(&anna, get)).await,
        Code::PermissionDenied,
        "NOT_INTERACTION_OWNER",
    );
    let again = interactions.send_reply(by(&anna, asked)).await.unwrap();
    assert_eq!(again.metadata().get("postroom-replayed").unwrap(), "1");
    assert_eq!(again.into_inner(), sent);
}

#[tokio::test]
async fn a_mail_has_a_largest_size() {
    let gateway = Gateway::start().await;
    gateway.agent("anna", &["support"]).await;
    let (anna, _stream) = at_work(&gateway, "anna").await;
    gateway.letter("support").await;
    let name = accept(&gateway, &anna).await;
    let mut interactions = InteractionServiceClient::new(gateway.remote.clone());
    let bytes = vec![7; 20 << 20];
    let file = uploaded(&gateway, &anna, announced(&name, "a.zip", &bytes), &bytes).await;
    // Twice it makes 54 MiB.
    let sent = interactions
        .send_reply(by(&anna, reply(&name, &[&file.name, &file.name], "s")))
        .await;
    refused(sent, Code::ResourceExhausted, "MESSAGE_TOO_LARGE");
    let sent = interactions
        .send_reply(by(&anna, reply(&name, &[&file.name], "s")))
        .await;
    let message = sent.unwrap().into_inner().message.unwrap();
    let read = sent_files(&gateway, &anna, &message.name).await;
    assert!(read == [("a.zip".to_owned(), bytes)]);
}
