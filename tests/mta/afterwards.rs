//! After our yes: Postfix dies, has no room, or minds after all. The letter is filed already, so the
//! client tries again and finds it.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;

use super::site::{ANNA, SUPPORT, Site, bytes, letter, message_id};
use crate::support::delivered::{fields, tags};
use crate::support::disk::Disk;
use crate::support::filter::Filter;
use crate::support::postfix;
use crate::support::smtp::Smtp;
use crate::support::tap::{Side, Tap};

/// How long Postfix may take to be done with what it has. It is reached only when it never is.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where Postfix keeps mail that it has not given up or delivered.
const QUEUES: [&str; 6] = [
    "maildrop", "incoming", "active", "deferred", "hold", "corrupt",
];

#[tokio::test(flavor = "multi_thread")]
async fn postfix_dies_after_the_verdict() {
    if !postfix::is_here() {
        return;
    }
    let other = Filter::start().await;
    let next = Tap::start(&other.address().parse().unwrap()).await;
    let mut behind = 0;
    let site = Site::open(|plan| {
        let milters = format!("smtpd_milters = {}, {}", plan.postroom, next.address());
        behind = plan.postfix.door(&[&milters]);
    })
    .await;

    // Our verdict is read, because the next filter is asked; the queue file is not yet on disk.
    let stopped = next.hold(Side::Mta, b'E', 0);
    let attempt = site.attempt(behind, "read");
    let held = stopped.come().await;
    site.expect_filed(&["read"]).await;
    site.postfix.signal("cleanup", Signal::KILL);
    drop(held);
    assert_eq!(attempt.await.unwrap().unwrap().code / 100, 4);
    assert!(site.sink.received().is_empty());
    let read = site.again("read").await;

    // Its cleanup, as soon as the queue file says that it is complete (cleanup makes it executable):
    // before or after the client's server has heard so.
    let ids: Vec<String> = (0..6).map(|place| format!("complete{place}")).collect();
    let port = site.postfix.smtp.number();
    for id in &ids {
        let known = site.postfix.queued(&QUEUES);
        let stopped = site.tap.hold(Side::Filter, b'a', 0);
        let attempt = site.attempt(port, id);
        let held = stopped.come().await;
        held.pass();
        let is_new = |file: &PathBuf| !known.iter().any(|old| old.file_name() == file.file_name());
        while !complete(&site, &["incoming", "active"]).iter().any(is_new) && !attempt.is_finished()
        {
            tokio::task::yield_now().await;
        }
        site.postfix.signal("cleanup", Signal::KILL);
        let reply = attempt.await.unwrap().unwrap();
        assert!(reply.code == 250 || reply.code / 100 == 4, "{reply:?}");
        let mut client = site.client().await;
        let message = bytes(&letter(id, ""));
        let reply = client.send(ANNA, &[SUPPORT], &message).await;
        assert_eq!(reply.code, 250, "{reply:?}");
    }

    // Postfix may have delivered each of them twice; we know of one.
    nothing_is_left(&site).await;
    let filed = site.filed().await;
    for id in ids.iter().map(String::as_str).chain(["read"]) {
        let ours = (filed.iter()).find(|filed| message_id(id).contains(&filed.id));
        let mails = site.sink.received();
        let copies = mails
            .iter()
            .filter(|mail| fields(&mail.bytes, "Message-ID") == [message_id(id)]);
        let told: Vec<_> = copies.map(|mail| tags(mail).interaction).collect();
        let kept = &ours.unwrap().interaction;
        assert!((1..=2).contains(&told.len()), "{id}: {told:?}");
        assert!(told.iter().all(|told| told == kept), "{id}: {told:?}");
    }
    assert!(
        filed
            .iter()
            .any(|filed| filed.interaction == read.interaction)
    );
    let mut all: Vec<&str> = ids.iter().map(String::as_str).collect();
    all.push("read");
    site.expect_filed(&all).await;
}

/// The files of these folders that are whole messages: what a killed process leaves behind is not
/// executable.
fn complete(site: &Site, folders: &[&str]) -> Vec<PathBuf> {
    let mode = |file: &PathBuf| file.metadata().map_or(0, |meta| meta.permissions().mode());
    let mut files = site.postfix.queued(folders);
    files.retain(|file| mode(file) & 0o100 != 0);
    files
}

/// Waits until Postfix has nothing more to do.
async fn nothing_is_left(site: &Site) {
    let done = tokio::time::timeout(PATIENCE, async {
        while !complete(site, &QUEUES).is_empty() {
            tokio::task::yield_now().await;
        }
    });
    assert!(done.await.is_ok(), "{}", site.postfix.log());
}

/// The size of the file of the one message that is arriving.
fn file_size(site: &Site) -> usize {
    let files = site.postfix.queued(&["incoming"]);
    let [file] = files.as_slice() else {
        panic!("{files:?}");
    };
    usize::try_from(file.metadata().unwrap().len()).unwrap()
}

/// A letter of Anna's with a body that is larger by so many bytes, by hundreds.
fn padded(id: &str, by: usize) -> Vec<u8> {
    let mut message = bytes(&letter(id, ""));
    // A line is as long in Postfix's file: a mark, its length and no line end.
    message.extend_from_slice((".".repeat(98) + "\r\n").repeat(by / 100).as_bytes());
    message
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mail_queue_is_full_when_we_are_done() {
    if !postfix::is_here() {
        return;
    }
    let mut disk = None;
    let site = Site::open(|plan| {
        disk = Disk::mount(&plan.postfix.folder().join("queue"), 40);
    })
    .await;
    let Some(disk) = disk else {
        return;
    };
    // One letter tells how large its file is; the next is as much larger as there is room in the
    // last page, so that our fields do not fit.
    let size = measure(&site, site.postfix.smtp.number()).await;
    let message = padded("other", PAGE - size % PAGE);
    let stopped = site.tap.hold(Side::Filter, b'i', 0);
    let mut client = site.client().await;
    let ((), reply) = tokio::join!(
        async {
            let held = stopped.come().await;
            assert!(PAGE - file_size(&site) % PAGE < 200);
            disk.fill();
            held.pass();
        },
        client.send(ANNA, &[SUPPORT], &message)
    );
    assert_eq!(reply.code / 100, 4, "{reply:?}\n{}", site.postfix.log());
    site.expect_filed(&["first", "other"]).await;
    disk.empty();
    // Its smtpd has hung up.
    let mut client = site.client().await;
    let reply = client.send(ANNA, &[SUPPORT], &message).await;
    assert_eq!(reply.code, 250, "{reply:?}");
    assert_eq!(tags(&site.next().await).queue, "support");
    site.expect_filed(&["first", "other"]).await;
    assert_eq!(site.log().matches(" dup=1 ").count(), 1);
}

/// How large the file of a letter is before our fields come to it; the letter is delivered.
async fn measure(site: &Site, port: u16) -> usize {
    let stopped = site.tap.hold(Side::Filter, b'i', 0);
    let attempt = site.attempt(port, "first");
    let held = stopped.come().await;
    let size = file_size(site);
    held.pass();
    assert_eq!(attempt.await.unwrap().unwrap().code, 250);
    site.next().await;
    size
}

/// Of the file system.
const PAGE: usize = 4096;

/// Largest message of the gateway in the test of sizes, and of a Postfix that leaves no room.
const OURS_MAX: usize = 20_000;

#[tokio::test(flavor = "multi_thread")]
async fn postfix_minds_what_we_have_filed() {
    if !postfix::is_here() {
        return;
    }
    let mut tight = 0;
    let site = Site::open(|plan| {
        plan.settings.message_bytes_max = OURS_MAX as u64;
        plan.settings.more = "[[queue]]\nid = \"quiet\"\naddresses = [\"quiet@shop.example\"]\n\
                              mode = \"consume\"\n\
                              [[queue]]\nid = \"closed\"\naddresses = [\"closed@shop.example\"]\n\
                              enabled = false\n";
        let milters = format!("non_smtpd_milters = {}\n", plan.postroom);
        plan.postfix.main_cf.push_str(&milters);
        let limit = format!("message_size_limit = {OURS_MAX}");
        let cleanup = "tight unix n - n - 0 cleanup";
        plan.postfix.service(cleanup, &[&limit]);
        tight = plan.postfix.door(&["cleanup_service_name = tight", &limit]);
    })
    .await;

    // Our fields are the ones too many: the client is told no although it is filed, however often
    // it tries. With a letter that we alone keep there are no fields.
    let size = measure(&site, tight).await;
    let full = |id| padded(id, OURS_MAX - size);
    let mut client = Smtp::connect(tight).await;
    for _ in 0..2 {
        let reply = client.send(ANNA, &[SUPPORT], &full("other")).await;
        assert_eq!(reply.code, 552, "{reply:?}");
    }
    let quiet = ["quiet@shop.example"];
    let reply = client.send(ANNA, &quiet, &full("quiet")).await;
    assert_eq!(reply.code, 250, "{reply:?}");
    assert_eq!(site.log().matches(" dup=1 ").count(), 1);
    nothing_is_left(&site).await;
    assert_eq!(site.sink.received().len(), 1);

    // sendmail(1) to an address that is refused: the sender is told, and nothing is tried again.
    let arguments = ["-f", ANNA, "closed@shop.example"];
    let text = letter("closed", "");
    (site.postfix).command("sendmail", &arguments, text.as_bytes());
    let bounce = site.next().await;
    assert_eq!(
        (bounce.from.as_str(), &bounce.to[..]),
        ("", &[ANNA.to_owned()][..])
    );
    let said = String::from_utf8_lossy(&bounce.bytes).into_owned();
    assert!(said.contains("this address takes no mail"), "{said}");
    nothing_is_left(&site).await;
    assert_eq!(site.sink.received().len(), 2);
    site.expect_filed(&["first", "other", "quiet"]).await;
}
