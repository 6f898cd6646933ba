//! A large file on its way through a gateway: up in pieces, over a kill, into a mail, through SMTP,
//! and read back by a parser that is not ours; and how much memory that takes.

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use mail_parser::{MessageParser, MimeHeaders as _};
use postroom::grpc::pb;
use postroom::grpc::pb::attachment_service_client::AttachmentServiceClient;
use postroom::grpc::pb::interaction_service_client::InteractionServiceClient;
use postroom::outbound::sink::Sink;

use crate::support::agent::{self, Agent};
use crate::support::gateway::{Gateway, Settings};

/// The largest file that is taken by default.
const FILE_BYTES: usize = 25 << 20;

const CHUNK_BYTES: usize = 256 << 10;

/// By how much the gateway's memory may grow while a file passes through it, in bytes: less than
/// the file, and less than its third that base 64 adds.
const GROWTH_BYTES_MAX: usize = 8 << 20;

/// The most memory that a process has had, in bytes.
fn peak(gateway: &Gateway) -> usize {
    let path = format!("/proc/{}/status", gateway.child.id());
    let status = std::fs::read_to_string(path).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    let kib: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib << 10
}

/// Sends a file from where the gateway says, up to an offset.
async fn send(agent: &Agent, name: &str, bytes: &[u8], end: usize) -> pb::Attachment {
    let mut files = AttachmentServiceClient::new(agent.channel.clone());
    let get = pb::GetAttachmentRequest {
        name: name.to_owned(),
    };
    let got = files.get_attachment(agent.by(get)).await.unwrap();
    let mut file = got.into_inner().attachment.unwrap();
    while let Ok(here) = usize::try_from(file.received_bytes)
        && here < end
    {
        let next = end.min(here + CHUNK_BYTES);
        let chunk = pb::WriteAttachmentChunkRequest {
            name: name.to_owned(),
            offset_bytes: file.received_bytes,
            data: bytes[here..next].to_vec().into(),
            finish: next == bytes.len(),
        };
        let written = files.write_attachment_chunk(agent.by(chunk)).await.unwrap();
        file = written.into_inner().attachment.unwrap();
    }
    file
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_goes_through_and_is_never_whole_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = Settings::new(folder.path());
    let sink = Sink::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await;
    let sink = sink.unwrap();
    settings.outbound = sink.addr().to_string();
    let gateway = Gateway::start(&settings).await;
    agent::hire(&settings.socket(), "anna", &["support"]).await;
    let anna = Agent::sign_in(settings.control(), "anna").await.unwrap();
    let mut interactions = InteractionServiceClient::new(anna.channel.clone());
    let start = pb::StartEmailRequest {
        from_address: "support@shop.example".to_owned(),
        to: Some(pb::EmailAddress {
            address: "carla@customer.example".to_owned(),
            display_name: String::new(),
        }),
        subject: "Your lamp".to_owned(),
        ..pb::StartEmailRequest::default()
    };
    let started = interactions.start_email(anna.by(start)).await.unwrap();
    let parent = started.into_inner().interaction.unwrap().name;

    let bytes: Vec<u8> = (0..FILE_BYTES as u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    let digest = ring::digest::digest(&ring::digest::SHA256, &bytes);
    let announce = pb::CreateAttachmentRequest {
        parent: parent.clone(),
        file_name: "Pläne.zip".to_owned(),
        content_type: "application/zip".to_owned(),
        size_bytes: FILE_BYTES.try_into().unwrap(),
        sha256: digest.as_ref().to_vec().into(),
        ..pb::CreateAttachmentRequest::default()
    };
    let mut files = AttachmentServiceClient::new(anna.channel.clone());
    let announced = files.create_attachment(anna.by(announce)).await.unwrap();
    let name = announced.into_inner().attachment.unwrap().name;
    let part = send(&anna, &name, &bytes, 5 * CHUNK_BYTES).await;
    assert_eq!(part.state(), pb::AttachmentState::Uploading);
    drop(anna);
    gateway.kill();

    let gateway = Gateway::start(&settings).await;
    let anna = Agent::sign_in(settings.control(), "anna").await.unwrap();
    assert_eq!(anna.in_hand[0].name, parent);
    let mut interactions = InteractionServiceClient::new(anna.channel.clone());
    let mut files = AttachmentServiceClient::new(anna.channel.clone());
    let get = pb::GetAttachmentRequest { name: name.clone() };
    let here = files.get_attachment(anna.by(get)).await.unwrap();
    let here = here.into_inner().attachment.unwrap().received_bytes;
    assert_eq!(usize::try_from(here).unwrap(), 5 * CHUNK_BYTES);
    let before = peak(&gateway);
    let file = send(&anna, &name, &bytes, FILE_BYTES).await;
    assert_eq!(file.state(), pb::AttachmentState::Ready);
    let uploaded = peak(&gateway);

    let send = pb::SendEmailRequest {
        name: parent,
        text_body: "The plans.".to_owned(),
        attachments: vec![name],
        request_id: "s".to_owned(),
        ..pb::SendEmailRequest::default()
    };
    let sent = interactions.send_email(anna.by(send)).await.unwrap();
    let message = sent.into_inner().message.unwrap();
    let stored = peak(&gateway);
    let mail = tokio::time::timeout(Duration::from_secs(60), sink.next()).await;
    let mail = mail.unwrap();
    let delivered = peak(&gateway);

    let read = MessageParser::new().parse(&mail.bytes[..]).unwrap();
    assert_eq!(read.subject(), Some("Your lamp"));
    assert_eq!(read.body_text(0).unwrap().trim(), "The plans.");
    let parts: Vec<_> = read.attachments().collect();
    assert_eq!(parts.len(), 1);
    assert_eq!(parts[0].attachment_name(), Some("Pläne.zip"));
    assert!(parts[0].contents() == bytes, "another file came out");
    // What the store keeps is what was sent.
    assert_eq!(message.size_bytes, i64::try_from(mail.bytes.len()).unwrap());

    let mib = |bytes: usize| bytes >> 20;
    // Past the runner, which would keep what a test prints to itself.
    let _ = writeln!(
        io::stderr(),
        "peak of the gateway's memory in MiB: {} before, {} uploaded, {} stored, {} delivered",
        mib(before),
        mib(uploaded),
        mib(stored),
        mib(delivered)
    );
    assert!(delivered - before < GROWTH_BYTES_MAX);
    assert!(gateway.stop().success());
}
