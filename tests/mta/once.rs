//! Whatever dies, and whenever: a letter is filed once, and none is missing that a client was told
//! is taken.
//!
//! The tap holds a frame between Postfix and Postroom while one of them is killed; then the client
//! tries again, as all senders do.

use std::net::Ipv4Addr;
use std::sync::Arc;

use rustix::process::Signal;
use tokio::net::UdpSocket;
use tokio::sync::watch;

use super::site::{ANNA, SUPPORT, Site, bytes, letter};
use crate::support::delivered::tags;
use crate::support::postfix::{self, Postfix};
use crate::support::smtp::Smtp;
use crate::support::tap::Side;

/// Every kind of frame of a letter on its way, and the last of those that come several times.
const FRAMES: [(Side, u8, usize); 22] = [
    (Side::Mta, b'O', 0),
    (Side::Filter, b'O', 0),
    (Side::Mta, b'D', 0),
    (Side::Mta, b'C', 0),
    (Side::Mta, b'H', 0),
    (Side::Mta, b'M', 0),
    (Side::Filter, b'c', 0),
    (Side::Mta, b'R', 0),
    (Side::Filter, b'c', 1),
    (Side::Mta, b'T', 0),
    (Side::Filter, b'c', 2),
    (Side::Mta, b'L', 0),
    (Side::Mta, b'L', 4),
    (Side::Mta, b'N', 0),
    (Side::Mta, b'B', 0),
    (Side::Mta, b'E', 0),
    (Side::Filter, b'i', 0),
    (Side::Filter, b'i', 1),
    (Side::Filter, b'i', 2),
    (Side::Filter, b'a', 0),
    (Side::Mta, b'A', 0),
    (Side::Mta, b'Q', 0),
];

#[tokio::test(flavor = "multi_thread")]
async fn postroom_dies_at_every_frame() {
    if !postfix::is_here() {
        return;
    }
    let mut site = Site::open(|_| {}).await;
    let port = site.postfix.smtp.number();
    let ids: Vec<String> = (0..FRAMES.len()).map(|place| place.to_string()).collect();
    let mut promised = 0;
    for ((side, code, before), id) in FRAMES.into_iter().zip(&ids) {
        let stopped = site.tap.hold(side, code, before);
        let attempt = site.attempt(port, id);
        let held = stopped.come().await;
        site.kill();
        drop(held);
        let reply = attempt.await.unwrap();
        let place = format!("{side:?} {} {before}: {reply:?}", char::from(code));
        site.start().await;
        let waits = matches!(&reply, Some(reply) if reply.code / 100 == 4);
        let taken = matches!(&reply, Some(reply) if reply.code == 250);
        // Only what comes after the verdict can follow a yes.
        assert_eq!(taken, matches!(code, b'A' | b'Q'), "{place}");
        assert!(taken || waits, "{place}");
        if taken {
            promised += 1;
            let filed = site.filed().await;
            assert!(
                filed.iter().any(|filed| filed.id.starts_with(id)),
                "{place}"
            );
            site.next().await;
        }
        site.again(id).await;
    }
    assert_eq!(promised, 2);
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    site.expect_filed(&ids).await;
    assert!(site.gateway.take().unwrap().stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn postfix_dies_around_the_verdict() {
    if !postfix::is_here() {
        return;
    }
    let site = Site::open(|_| {}).await;
    let port = site.postfix.smtp.number();

    // Its cleanup, before it has read the verdict.
    let stopped = site.tap.hold(Side::Filter, b'i', 0);
    let attempt = site.attempt(port, "unread");
    let held = stopped.come().await;
    site.postfix.signal("cleanup", Signal::KILL);
    held.pass();
    assert_eq!(attempt.await.unwrap().unwrap().code / 100, 4);
    let unread = site.again("unread").await;

    // The same, and for us all went well: the verdict lies unread in the socket.
    let stopped = site.tap.hold(Side::Filter, b'i', 0);
    let last = site.tap.hold(Side::Filter, b'a', 0);
    let attempt = site.attempt(port, "frozen");
    let held = stopped.come().await;
    site.postfix.signal("cleanup", Signal::STOP);
    held.pass();
    last.come().await.pass();
    site.postfix.signal("cleanup", Signal::KILL);
    assert_eq!(attempt.await.unwrap().unwrap().code / 100, 4);
    let frozen = site.again("frozen").await;

    // Its smtpd. Its cleanup goes on by itself.
    let stopped = site.tap.hold(Side::Filter, b'a', 0);
    let attempt = site.attempt(port, "smtpd");
    let held = stopped.come().await;
    site.postfix.signal("smtpd", Signal::KILL);
    held.pass();
    assert_eq!(attempt.await.unwrap(), None);
    let smtpd = tags(&site.next().await);
    assert_eq!(site.again("smtpd").await, smtpd);

    // All of it, at once.
    let stopped = site.tap.hold(Side::Filter, b'a', 0);
    let attempt = site.attempt(port, "all");
    let held = stopped.come().await;
    site.postfix.kill();
    held.pass();
    assert_eq!(attempt.await.unwrap(), None);
    site.postfix.start();
    let all = site.again("all").await;

    // The client is gone before there is a verdict.
    let stopped = site.tap.hold(Side::Filter, b'i', 0);
    let mut client = site.client().await;
    assert_eq!(client.offer(ANNA, &[SUPPORT]).await.code, 354);
    client.put_message(&bytes(&letter("client", ""))).await;
    let held = stopped.come().await;
    drop(client);
    held.pass();
    let gone = tags(&site.next().await);
    assert_eq!(site.again("client").await, gone);

    // What Postfix cannot understand costs the SMTP session its filter, and nothing else.
    let stopped = site.tap.hold(Side::Filter, b'i', 0);
    let mut client = site.client().await;
    let message = bytes(&letter("garbage", ""));
    let ((), reply) = tokio::join!(
        async { stopped.come().await.replace(b"\0\0\0\x02!!") },
        client.send(ANNA, &[SUPPORT], &message)
    );
    assert_eq!(reply.code, 451, "{reply:?}");
    assert_eq!(client.send(ANNA, &[SUPPORT], &message).await.code, 451);
    let garbage = site.again("garbage").await;

    site.expect_filed(&["unread", "frozen", "smtpd", "all", "client", "garbage"])
        .await;
    assert!(site.log().matches(" dup=1 ").count() >= 6);
    let filed = site.filed().await;
    let mut told: Vec<String> = [unread, frozen, smtpd, all, gone, garbage]
        .map(|tags| tags.interaction)
        .to_vec();
    let mut kept: Vec<String> = filed.into_iter().map(|filed| filed.interaction).collect();
    told.sort();
    kept.sort();
    assert_eq!(told, kept);
}

/// A name server that is in no hurry: it answers nothing before it is told to, and then that it
/// has failed.
struct Slow {
    address: String,
    asked: watch::Receiver<usize>,
    released: watch::Sender<bool>,
}

impl Slow {
    async fn start() -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = socket.local_addr().unwrap().to_string();
        let (count, asked) = watch::channel(0);
        let (released, release) = watch::channel(false);
        let socket = Arc::new(socket);
        tokio::spawn(async move {
            let mut query = [0; 512];
            loop {
                let (size, client) = socket.recv_from(&mut query).await.unwrap();
                count.send_modify(|count| *count += 1);
                let mut answer = query[..size].to_vec();
                // QR, and RCODE 2: server failure (RFC 1035, 4.1.1).
                answer[2] |= 0x80;
                answer[3] = 2;
                let (socket, mut release) = (Arc::clone(&socket), release.clone());
                tokio::spawn(async move {
                    release.wait_for(|released| *released).await.unwrap();
                    socket.send_to(&answer, client).await.unwrap();
                });
            }
        });
        Self {
            address,
            asked,
            released,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_bring_the_same_letter_at_once() {
    if !postfix::is_here() {
        return;
    }
    let mut dns = Slow::start().await;
    let address = dns.address.clone();
    let site = Site::open(|plan| plan.settings.resolver = address).await;
    let second = Postfix::new();
    second.configure(&site.tap.address(), site.sink.addr());
    second.start();

    let ends = [0, 1].map(|before| site.tap.hold(Side::Mta, b'E', before));
    let verdict = site.tap.hold(Side::Filter, b'a', 0);
    let attempts = [
        site.attempt(site.postfix.smtp.number(), "both"),
        site.attempt(second.smtp.number(), "both"),
    ];
    let [one, other] = ends;
    one.come().await.pass();
    dns.asked.wait_for(|asked| *asked > 0).await.unwrap();
    // The first waits for its name server; the second waits for the first.
    other.come().await.pass();
    dns.released.send_replace(true);
    verdict.come().await.pass();
    for attempt in attempts {
        assert_eq!(attempt.await.unwrap().unwrap().code, 250);
    }
    let (one, other) = (tags(&site.next().await), tags(&site.next().await));
    assert_eq!(one, other);
    site.expect_filed(&["both"]).await;
    assert_eq!(site.log().matches(" dup=1 ").count(), 1);

    // Many at once, over both.
    let ports = [site.postfix.smtp.number(), second.smtp.number()];
    let many: Vec<_> = (0..8)
        .map(|place| site.attempt(ports[place % 2], "many"))
        .collect();
    for attempt in many {
        assert_eq!(attempt.await.unwrap().unwrap().code, 250);
    }
    site.expect_filed(&["both", "many"]).await;
    assert_eq!(site.log().matches(" dup=1 ").count(), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_the_same_letter_and_what_is_not() {
    if !postfix::is_here() {
        return;
    }
    let mut outside = 0;
    let site = Site::open(|plan| {
        outside = plan.postfix.door(&["local_header_rewrite_clients ="]);
    })
    .await;
    let to = [SUPPORT];

    // The same bytes to another queue: more work in the same case.
    let first = site.again("one").await;
    let sales = ["sales@shop.example"];
    let other_queue = tags(&site.deliver(ANNA, &sales, &letter("one", "")).await);
    assert_eq!(other_queue.case, first.case);
    assert_ne!(other_queue.interaction, first.interaction);

    // Signed anew, and by way of another relay.
    let attempt = |time| {
        letter(
            "relayed",
            &format!(
                "Received: from relay{time}.customer.example by mail.customer.example; {time}\n\
                 DKIM-Signature: v=1; d=customer.example; t={time}; b=x{time}\n\
                 ARC-Seal: i=1; t={time}; b=x{time}\nX-Attempt: {time}\n"
            ),
        )
    };
    let relayed = tags(&site.deliver(ANNA, &to, &attempt(1)).await);
    let again = tags(&site.deliver(ANNA, &to, &attempt(2)).await);
    assert_eq!(again, relayed);

    // The same Message-ID over other words: somebody else may have seen the id.
    let other = letter("one", "").replace("Where is it?", "Forget it.");
    let other = tags(&site.deliver(ANNA, &to, &other).await);
    assert_ne!(other.interaction, first.interaction);

    // Postfix gives its own machine's letters a name and a date, at each attempt another.
    let nameless = format!("From: {ANNA}\nTo: {SUPPORT}\nSubject: nameless\n\nDisk is full.\n");
    let stopped = site.tap.hold(Side::Filter, b'i', 0);
    let mut client = site.client().await;
    let message = bytes(&nameless);
    let ((), reply) = tokio::join!(
        async {
            let held = stopped.come().await;
            site.postfix.signal("cleanup", Signal::KILL);
            held.pass();
        },
        client.send(ANNA, &to, &message)
    );
    assert_eq!(reply.code / 100, 4);
    let local = tags(&site.deliver(ANNA, &to, &nameless).await);
    assert_eq!(tags(&site.deliver(ANNA, &to, &nameless).await), local);
    // From elsewhere it is somebody else's, and has no name.
    let mut client = Smtp::connect_with(outside, b"").await;
    client.say("XCLIENT ADDR=192.0.2.9").await;
    client.say("EHLO client.example").await;
    assert_eq!(client.send(ANNA, &to, &message).await.code, 250);
    let elsewhere = tags(&site.next().await);
    assert_ne!(elsewhere.interaction, local.interaction);
    assert_eq!(client.send(ANNA, &to, &message).await.code, 250);
    assert_eq!(tags(&site.next().await), elsewhere);

    let filed = site.filed().await;
    let count = |wanted: &str| filed.iter().filter(|filed| filed.id == wanted).count();
    assert_eq!(count("one@customer.example"), 3, "{filed:#?}");
    assert_eq!(count("relayed@customer.example"), 1);
    let nameless = filed.iter().filter(|filed| filed.subject == "nameless");
    assert_eq!(nameless.count(), 2);
    assert_eq!(filed.len(), 6);
}
