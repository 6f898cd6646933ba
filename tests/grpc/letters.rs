//! What an agent's client is given of a letter with HTML, pictures and files.

use postroom::grpc::pb;
use postroom::grpc::pb::interaction_service_client::InteractionServiceClient;
use tonic::Code;
use tonic::transport::Channel;

use super::gateway::{Gateway, by, refused};

const LETTER: &str = "From: Carla <carla@customer.example>\r
To: support@shop.example\r
Subject: Broken lamp\r
Content-Type: multipart/mixed; boundary=m\r
\r
--m\r
Content-Type: multipart/related; boundary=r\r
\r
--r\r
Content-Type: text/html\r
\r
<p onclick=alert(1)>See <img src=\"cid:lamp%40x\"><img src=\"https://t.example/p.gif\"></p>\r
--r\r
Content-Type: image/png\r
Content-ID: <lamp@x>\r
Content-Transfer-Encoding: base64\r
\r
aGVs\r
bG8=\r
--r--\r
--m\r
Content-Type: application/x-msdownload; name=bill.pdf.exe\r
Content-Transfer-Encoding: quoted-printable\r
\r
a=3Db=\r
c\r
--m\r
Content-Type: application/pdf; name=empty.pdf\r
\r
\r
--m--\r
";

async fn file(
    interactions: &mut InteractionServiceClient<Channel>,
    token: &str,
    message: &str,
    part: &str,
) -> (pb::Attachment, Vec<u8>) {
    let download = pb::DownloadAttachmentRequest {
        name: message.to_owned(),
        part_id: part.to_owned(),
        offset_bytes: 0,
    };
    let mut chunks = (interactions.download_attachment(by(token, download)).await)
        .unwrap()
        .into_inner();
    let first = chunks.message().await.unwrap().unwrap();
    let about = first.attachment.unwrap();
    let mut bytes = first.data.to_vec();
    while let Some(chunk) = chunks.message().await.unwrap() {
        assert!(chunk.attachment.is_none());
        assert_eq!(chunk.offset_bytes, bytes.len() as i64);
        bytes.extend(chunk.data);
    }
    (about, bytes)
}

#[tokio::test]
async fn a_letter_is_shown_and_its_files_are_fetched() {
    let gateway = Gateway::start().await;
    gateway.agent("anna", &["support"]).await;
    gateway.agent("bert", &["sales"]).await;
    let token = gateway.sign_in("anna").await;
    gateway.arrives("support", LETTER.as_bytes().to_vec()).await;
    let mut interactions = InteractionServiceClient::new(gateway.remote.clone());
    let list = pb::ListInteractionsRequest::default();
    let listed = (interactions.list_interactions(by(&token, list)).await)
        .unwrap()
        .into_inner();
    let name = listed.interactions[0].latest_message.clone();
    let read = pb::GetMessageRequest {
        name: name.clone(),
        view: pb::MessageView::Full.into(),
    };
    let message = (interactions.get_message(by(&token, read)).await)
        .unwrap()
        .into_inner()
        .message
        .unwrap();
    assert_eq!(message.text_body, "See");
    assert_eq!(
        message.html_body.trim(),
        "<p>See <img src=\"attachment:1.2\"><img data-blocked-src=\"https://t.example/p.gif\"></p>"
    );
    assert_eq!(message.blocked_image_count, 1);
    assert!(message.notices.is_empty() && !message.attachments_truncated);
    let files: Vec<(&str, &str, &str, bool, bool)> = (message.attachments.iter())
        .map(|file| {
            (
                file.part_id.as_str(),
                file.file_name.as_str(),
                file.safe_content_type.as_str(),
                file.in_html_body,
                file.may_run,
            )
        })
        .collect();
    assert_eq!(
        files,
        [
            ("1.2", "picture.png", "image/png", true, false),
            ("2", "bill.pdf.exe", "application/octet-stream", false, true),
            ("3", "empty.pdf", "application/pdf", false, false),
        ]
    );

    let (about, picture) = file(&mut interactions, &token, &name, "1.2").await;
    assert_eq!(
        (about.content_id.as_str(), picture),
        ("lamp@x", b"hello".to_vec())
    );
    let (_, bill) = file(&mut interactions, &token, &name, "2").await;
    assert_eq!(bill, b"a=bc");
    // By the name that it has, and from the middle on.
    let (about, bill) =
        super::files::downloaded(&gateway, &token, &format!("{name}/attachments/2"), 2)
            .await
            .unwrap();
    assert_eq!((about.part_id.as_str(), bill.as_slice()), ("2", &b"bc"[..]));
    assert_eq!(about.name, format!("{name}/attachments/2"));
    let (about, empty) = file(&mut interactions, &token, &name, "3").await;
    assert_eq!((about.file_name.as_str(), empty.len()), ("empty.pdf", 0));

    for part in ["1.1", "9", "", "nonsense"] {
        let download = pb::DownloadAttachmentRequest {
            name: name.clone(),
            part_id: part.to_owned(),
            offset_bytes: 0,
        };
        let result = interactions.download_attachment(by(&token, download)).await;
        let (code, reason) = match part {
            "" => (Code::InvalidArgument, "FIELD_INVALID"),
            _ => (Code::NotFound, "RESOURCE_NOT_FOUND"),
        };
        refused(result, code, reason);
    }
    let stranger = gateway.sign_in("bert").await;
    let download = pb::DownloadAttachmentRequest {
        name,
        part_id: "2".to_owned(),
        offset_bytes: 0,
    };
    let result = (interactions.download_attachment(by(&stranger, download))).await;
    refused(result, Code::PermissionDenied, "NOT_QUEUE_MEMBER");
}

#[tokio::test]
async fn a_large_file_comes_in_pieces() {
    let gateway = Gateway::start().await;
    gateway.agent("anna", &["support"]).await;
    let token = gateway.sign_in("anna").await;
    let wrapped = "QUJDREVGR0hJSktM".repeat(60_000);
    let letter = format!(
        "From: carla@customer.example\r\nContent-Type: application/zip; name=a.zip\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n{wrapped}\r\n"
    );
    gateway.arrives("support", letter.into_bytes()).await;
    let mut interactions = InteractionServiceClient::new(gateway.remote.clone());
    let list = pb::ListInteractionsRequest::default();
    let listed = (interactions.list_interactions(by(&token, list)).await)
        .unwrap()
        .into_inner();
    let name = listed.interactions[0].latest_message.clone();
    let (about, bytes) = file(&mut interactions, &token, &name, "1").await;
    assert_eq!(about.size_bytes, bytes.len() as i64);
    assert_eq!(bytes, b"ABCDEFGHIJKL".repeat(60_000));
}
