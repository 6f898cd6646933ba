//! Files that agents attach, over the wire: pieces, resuming, and what is refused.

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use postroom::grpc::pb;
use postroom::grpc::pb::attachment_service_client::AttachmentServiceClient;
use postroom::grpc::pb::interaction_service_client::InteractionServiceClient;
use tonic::{Code, Status};

use super::gateway::{Gateway, by, refused};
use super::refusals::at_work;
use super::verbs::accept;

type Files = AttachmentServiceClient<tonic::transport::Channel>;

pub(super) fn files(gateway: &Gateway) -> Files {
    AttachmentServiceClient::new(gateway.remote.clone())
}

/// A file of these bytes, to be announced for an interaction.
pub(super) fn announced(parent: &str, name: &str, bytes: &[u8]) -> pb::CreateAttachmentRequest {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    pb::CreateAttachmentRequest {
        parent: parent.to_owned(),
        file_name: name.to_owned(),
        content_type: "application/pdf".to_owned(),
        size_bytes: bytes.len().try_into().unwrap(),
        sha256: digest.as_ref().to_vec().into(),
        ..pb::CreateAttachmentRequest::default()
    }
}

pub(super) fn chunk(name: &str, offset: usize, data: &[u8]) -> pb::WriteAttachmentChunkRequest {
    pb::WriteAttachmentChunkRequest {
        name: name.to_owned(),
        offset_bytes: offset.try_into().unwrap(),
        data: data.to_vec().into(),
        finish: false,
    }
}

/// Announces a file and sends all of it, in chunks of a quarter of a mebibyte.
pub(super) async fn uploaded(
    gateway: &Gateway,
    token: &str,
    asked: pb::CreateAttachmentRequest,
    bytes: &[u8],
) -> pb::Attachment {
    let mut files = files(gateway);
    let created = files.create_attachment(by(token, asked)).await.unwrap();
    let name = created.into_inner().attachment.unwrap().name;
    let mut offset = 0;
    loop {
        let piece = &bytes[offset..bytes.len().min(offset + (256 << 10))];
        let mut asked = chunk(&name, offset, piece);
        offset += piece.len();
        asked.finish = offset == bytes.len();
        let last = asked.finish;
        let written = files
            .write_attachment_chunk(by(token, asked))
            .await
            .unwrap();
        if last {
            return written.into_inner().attachment.unwrap();
        }
    }
}

/// The bytes of a file from an offset on, and what is said of it.
pub(super) async fn downloaded(
    gateway: &Gateway,
    token: &str,
    name: &str,
    offset: usize,
) -> Result<(pb::Attachment, Vec<u8>), Status> {
    let mut interactions = InteractionServiceClient::new(gateway.remote.clone());
    let asked = pb::DownloadAttachmentRequest {
        name: name.to_owned(),
        part_id: String::new(),
        offset_bytes: offset.try_into().unwrap(),
    };
    let chunks = interactions.download_attachment(by(token, asked)).await?;
    let mut chunks = chunks.into_inner();
    let (mut about, mut bytes) = (None, Vec::new());
    while let Some(chunk) = chunks.message().await? {
        assert_eq!(
            usize::try_from(chunk.offset_bytes).unwrap(),
            offset + bytes.len()
        );
        about = about.or(chunk.attachment);
        bytes.extend_from_slice(&chunk.data);
    }
    Ok((about.unwrap(), bytes))
}

/// Where the gateway keeps the files.
fn folder(gateway: &Gateway) -> PathBuf {
    let entries = std::fs::read_dir(gateway.socket.parent().unwrap()).unwrap();
    let mut paths = entries.map(|entry| entry.unwrap().path());
    paths
        .find(|path| {
            path.file_name()
                .unwrap()
                .to_string_lossy()
                .starts_with("uploads-")
        })
        .unwrap()
}

#[tokio::test]
async fn a_file_comes_in_pieces() {
    let gateway = Gateway::start().await;
    gateway.agent("anna", &["support"]).await;
    let (anna, _stream) = at_work(&gateway, "anna").await;
    gateway.letter("support").await;
    let interaction = accept(&gateway, &anna).await;
    let mut files = files(&gateway);
    let bytes: Vec<u8> = (0..700_000_u32)
        .map(|n| (n.wrapping_mul(n) >> 7) as u8)
        .collect();

    let asked = pb::CreateAttachmentRequest {
        request_id: "c".to_owned(),
        ..announced(
            &interaction,
            "../../etc/inv\u{202e}fdp\r\nBcc: x.exe",
            &bytes,
        )
    };
    let created = files.create_attachment(by(&anna, asked.clone())).await;
    let created = created.unwrap().into_inner();
    assert_eq!(created.max_chunk_bytes, 1 << 20);
    let file = created.attachment.clone().unwrap();
    assert_eq!(file.file_name, "invfdp Bcc_ x.exe");
    assert!(file.may_run);
    assert_eq!(
        (file.state(), file.received_bytes, file.size_bytes),
        (pb::AttachmentState::Uploading, 0, 700_000)
    );
    let again = files.create_attachment(by(&anna, asked)).await.unwrap();
    assert_eq!(again.metadata().get("postroom-replayed").unwrap(), "1");
    assert_eq!(again.into_inner(), created);

    let name = file.name;
    let (first, rest) = bytes.split_at(300_000);
    let written = files
        .write_attachment_chunk(by(&anna, chunk(&name, 0, first)))
        .await;
    let written = written.unwrap().into_inner().attachment.unwrap();
    assert_eq!(written.received_bytes, 300_000);
    // A gap, other bytes, too many: nothing of it counts.
    let mut other = first.to_vec();
    other[1000] ^= 1;
    for (asked, code, reason) in [
        (
            chunk(&name, 300_001, &rest[1..]),
            Code::FailedPrecondition,
            "UPLOAD_OFFSET_MISMATCH",
        ),
        (
            chunk(&name, 0, &other),
            Code::FailedPrecondition,
            "UPLOAD_OFFSET_MISMATCH",
        ),
        (
            chunk(&name, 300_000, &[rest, b"x"].concat()),
            Code::ResourceExhausted,
            "ATTACHMENT_TOO_LARGE",
        ),
        (
            chunk(&name, 300_000, &vec![0; (1 << 20) + 1]),
            Code::InvalidArgument,
            "FIELD_INVALID",
        ),
        (chunk(&name, 0, b""), Code::InvalidArgument, "FIELD_INVALID"),
        (
            pb::WriteAttachmentChunkRequest {
                finish: true,
                ..chunk(&name, 300_000, &rest[..10])
            },
            Code::FailedPrecondition,
            "UPLOAD_OFFSET_MISMATCH",
        ),
    ] {
        let metadata = refused(
            files.write_attachment_chunk(by(&anna, asked)).await,
            code,
            reason,
        );
        if reason == "UPLOAD_OFFSET_MISMATCH" {
            assert_eq!(metadata[0].0, "received_bytes");
        }
    }
    refused(
        downloaded(&gateway, &anna, &name, 0).await,
        Code::FailedPrecondition,
        "ATTACHMENT_NOT_READY",
    );
    // After a break: where was I?
    let get = pb::GetAttachmentRequest { name: name.clone() };
    let found = files.get_attachment(by(&anna, get)).await.unwrap();
    let here = found.into_inner().attachment.unwrap().received_bytes;
    assert_eq!(here, 300_010);
    let last = pb::WriteAttachmentChunkRequest {
        finish: true,
        ..chunk(&name, 300_000, rest)
    };
    for _ in 0..2 {
        let written = files
            .write_attachment_chunk(by(&anna, last.clone()))
            .await
            .unwrap();
        let file = written.into_inner().attachment.unwrap();
        assert_eq!(file.state(), pb::AttachmentState::Ready);
        assert_eq!(file.received_bytes, 700_000);
    }
    let (about, read) = downloaded(&gateway, &anna, &name, 0).await.unwrap();
    assert_eq!(about.name, name);
    assert!(read == bytes);
    let (_, read) = downloaded(&gateway, &anna, &name, 699_990).await.unwrap();
    assert_eq!(read, bytes[699_990..]);

    let list = pb::ListAttachmentsRequest {
        parent: interaction.clone(),
        ..pb::ListAttachmentsRequest::default()
    };
    let listed = files.list_attachments(by(&anna, list.clone())).await;
    assert_eq!(listed.unwrap().into_inner().attachments, [about]);
    let delete = pb::DeleteAttachmentRequest { name: name.clone() };
    let deleted = files.delete_attachment(by(&anna, delete.clone())).await;
    deleted.unwrap();
    refused(
        files.delete_attachment(by(&anna, delete)).await,
        Code::NotFound,
        "RESOURCE_NOT_FOUND",
    );
    let listed = files.list_attachments(by(&anna, list)).await.unwrap();
    assert_eq!(listed.into_inner().attachments, []);
}

#[tokio::test]
async fn a_file_that_is_not_what_was_announced() {
    let gateway = Gateway::start().await;
    gateway.agent("anna", &["support"]).await;
    let (anna, _stream) = at_work(&gateway, "anna").await;
    gateway.letter("support").await;
    let interaction = accept(&gateway, &anna).await;
    let mut files = files(&gateway);
    let asked = announced(&interaction, "a.pdf", b"what it should be");
    let created = files.create_attachment(by(&anna, asked)).await.unwrap();
    let name = created.into_inner().attachment.unwrap().name;
    let all = |data: &[u8]| pb::WriteAttachmentChunkRequest {
        finish: true,
        ..chunk(&name, 0, data)
    };
    let wrong = files
        .write_attachment_chunk(by(&anna, all(b"what it is, oh no")))
        .await;
    refused(wrong, Code::InvalidArgument, "DIGEST_MISMATCH");
    let get = pb::GetAttachmentRequest { name: name.clone() };
    let found = files.get_attachment(by(&anna, get)).await.unwrap();
    assert_eq!(found.into_inner().attachment.unwrap().received_bytes, 0);
    let right = files
        .write_attachment_chunk(by(&anna, all(b"what it should be")))
        .await;
    let right = right.unwrap().into_inner().attachment.unwrap();
    assert_eq!(right.state(), pb::AttachmentState::Ready);

    // Without a digest one is computed, and an empty file is a file.
    let asked = pb::CreateAttachmentRequest {
        sha256: Vec::new().into(),
        content_type: String::new(),
        ..announced(&interaction, "empty", b"")
    };
    let empty = uploaded(&gateway, &anna, asked, b"").await;
    let digest = ring::digest::digest(&ring::digest::SHA256, b"");
    assert_eq!(empty.sha256, digest.as_ref());
    assert_eq!(empty.content_type, "application/octet-stream");
    let (_, read) = downloaded(&gateway, &anna, &empty.name, 0).await.unwrap();
    assert_eq!(read, b"");
}

#[tokio::test]
async fn a_disk_that_is_full_for_a_while() {
    let gateway = Gateway::start().await;
    gateway.agent("anna", &["support"]).await;
    let (anna, _stream) = at_work(&gateway, "anna").await;
    gateway.letter("support").await;
    let interaction = accept(&gateway, &anna).await;
    let mut files = files(&gateway);
    // The folder is made with the first file.
    uploaded(&gateway, &anna, announced(&interaction, "a", b"a"), b"a").await;
    let asked = announced(&interaction, "b.pdf", b"0123456789");
    let created = files.create_attachment(by(&anna, asked)).await.unwrap();
    let name = created.into_inner().attachment.unwrap().name;
    let path = folder(&gateway).join(name.rsplit('/').next().unwrap());
    symlink("/dev/full", &path).unwrap();
    let full = files
        .write_attachment_chunk(by(&anna, chunk(&name, 0, b"01234")))
        .await;
    refused(full, Code::Unavailable, "STORE_UNAVAILABLE");
    let get = pb::GetAttachmentRequest { name: name.clone() };
    let found = files.get_attachment(by(&anna, get)).await.unwrap();
    let found = found.into_inner().attachment.unwrap();
    assert_eq!(
        (found.state(), found.received_bytes),
        (pb::AttachmentState::Uploading, 0)
    );
    std::fs::remove_file(&path).unwrap();
    let rest = pb::WriteAttachmentChunkRequest {
        finish: true,
        ..chunk(&name, 0, b"0123456789")
    };
    let written = files.write_attachment_chunk(by(&anna, rest)).await.unwrap();
    let written = written.into_inner().attachment.unwrap();
    assert_eq!(written.state(), pb::AttachmentState::Ready);
}

#[tokio::test]
async fn files_are_for_those_who_write() {
    let gateway = Gateway::start().await;
    for agent in ["anna", "bert"] {
        gateway.agent(agent, &["support"]).await;
    }
    let (anna, _stream) = at_work(&gateway, "anna").await;
    gateway.letter("support").await;
    let interaction = accept(&gateway, &anna).await;
    let bert = gateway.sign_in("bert").await;
    let (lead, _) = gateway.key(&[pb::Role::Supervisor], "").await;
    let mut files = files(&gateway);
    let file = uploaded(
        &gateway,
        &anna,
        announced(&interaction, "a.pdf", b"a"),
        b"a",
    )
    .await;

    let create = |change: &dyn Fn(&mut pb::CreateAttachmentRequest)| {
        let mut asked = announced(&interaction, "a.pdf", b"a");
        change(&mut asked);
        asked
    };
    for (asked, code, reason) in [
        (
            create(&|asked| asked.size_bytes = (25 << 20) + 1),
            Code::ResourceExhausted,
            "ATTACHMENT_TOO_LARGE",
        ),
        (
            create(&|asked| asked.size_bytes = -1),
            Code::InvalidArgument,
            "FIELD_INVALID",
        ),
        (
            create(&|asked| asked.file_name = String::new()),
            Code::InvalidArgument,
            "FIELD_INVALID",
        ),
        (
            create(&|asked| asked.file_name = "x".repeat(1025)),
            Code::InvalidArgument,
            "FIELD_INVALID",
        ),
        (
            create(&|asked| asked.content_type = "text/plain\r\nBcc: x@y.example".to_owned()),
            Code::InvalidArgument,
            "FIELD_INVALID",
        ),
        (
            create(&|asked| asked.content_id = "a>\r\nBcc: x".to_owned()),
            Code::InvalidArgument,
            "FIELD_INVALID",
        ),
        (
            create(&|asked| asked.inline = true),
            Code::InvalidArgument,
            "FIELD_INVALID",
        ),
        (
            create(&|asked| asked.sha256 = vec![1; 31].into()),
            Code::InvalidArgument,
            "FIELD_INVALID",
        ),
        (
            create(&|asked| asked.parent = "interactions/../x".to_owned()),
            Code::InvalidArgument,
            "FIELD_INVALID",
        ),
    ] {
        let created = files.create_attachment(by(&anna, asked)).await;
        refused(created, code, reason);
    }

    // A colleague of the same queue neither adds, reads nor takes away; a supervisor reads.
    let theirs = Code::PermissionDenied;
    let not_owner = "NOT_INTERACTION_OWNER";
    let created = files.create_attachment(by(&bert, create(&|_| ()))).await;
    refused(created, theirs, not_owner);
    let written = files
        .write_attachment_chunk(by(&bert, chunk(&file.name, 0, b"a")))
        .await;
    refused(written, theirs, not_owner);
    let get = pb::GetAttachmentRequest {
        name: file.name.clone(),
    };
    refused(
        files.get_attachment(by(&bert, get.clone())).await,
        theirs,
        not_owner,
    );
    refused(
        downloaded(&gateway, &bert, &file.name, 0).await,
        theirs,
        not_owner,
    );
    let delete = pb::DeleteAttachmentRequest {
        name: file.name.clone(),
    };
    refused(
        files.delete_attachment(by(&bert, delete)).await,
        theirs,
        not_owner,
    );
    files.get_attachment(by(&lead, get.clone())).await.unwrap();
    let (_, read) = downloaded(&gateway, &lead, &file.name, 0).await.unwrap();
    assert_eq!(read, b"a");

    // So many bytes and so many files for one interaction.
    let large = || create(&|asked| asked.size_bytes = 25 << 20);
    for _ in 0..3 {
        files.create_attachment(by(&anna, large())).await.unwrap();
    }
    let created = files.create_attachment(by(&anna, large())).await;
    refused(created, Code::ResourceExhausted, "ATTACHMENT_TOO_LARGE");
    for _ in 4..50 {
        let created = files.create_attachment(by(&anna, create(&|_| ()))).await;
        created.unwrap();
    }
    let created = files.create_attachment(by(&anna, create(&|_| ()))).await;
    refused(created, Code::ResourceExhausted, "ATTACHMENT_TOO_LARGE");
    let list = |page_token: String| pb::ListAttachmentsRequest {
        parent: interaction.clone(),
        page_size: 30,
        page_token,
    };
    let listed = files.list_attachments(by(&anna, list(String::new()))).await;
    let listed = listed.unwrap().into_inner();
    let rest = files
        .list_attachments(by(&anna, list(listed.next_page_token)))
        .await;
    let rest = rest.unwrap().into_inner();
    let found: Vec<_> = [listed.attachments, rest.attachments].concat();
    assert_eq!((found.len(), rest.next_page_token.as_str()), (50, ""));
    assert!(found.windows(2).all(|two| two[0].name < two[1].name));

    // With the interaction its files end.
    let mut interactions = InteractionServiceClient::new(gateway.remote.clone());
    let cancel = pb::CancelInteractionRequest {
        name: interaction.clone(),
        cause: pb::CancelCause::Spam.into(),
        ..pb::CancelInteractionRequest::default()
    };
    interactions
        .cancel_interaction(by(&anna, cancel))
        .await
        .unwrap();
    refused(
        files.get_attachment(by(&lead, get)).await,
        Code::NotFound,
        "RESOURCE_NOT_FOUND",
    );
    let written = files
        .write_attachment_chunk(by(&anna, chunk(&file.name, 0, b"a")))
        .await;
    refused(written, Code::NotFound, "RESOURCE_NOT_FOUND");
}
