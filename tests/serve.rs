//! `postroom serve` under a service manager: reloading, sockets that are handed over, and the end.

#![expect(clippy::unwrap_used, reason = "a test's helpers are part of the test")]

#[path = "serve/process.rs"]
mod process;

use std::path::Path;

use bytes::Bytes;
use postroom::milter::Address;
use postroom::milter::client::{Caller, Client, Duplex, Letter, Mail, Outcome, Said};
use postroom::milter::negotiation::Offer;
use postroom::milter::wire::Reply;
use process::{Process, config};
use rustix::process::Signal;
use tokio::net::UdpSocket;

async fn mta(address: &Address) -> Client<Box<dyn Duplex>> {
    let mut mta = Client::connect(address, Offer::POSTFIX).await.unwrap();
    mta.open(Caller::default()).await.unwrap();
    mta
}

fn mail(number: usize, recipients: &[&str]) -> Mail {
    let letter =
        format!("From: ada@ada.example\r\nMessage-ID: <{number}@ada.example>\r\n\r\nHi\r\n");
    let path = |address: &&str| Bytes::from(format!("<{address}>"));
    Mail {
        sender: Bytes::from_static(b"<ada@ada.example>"),
        parameters: Vec::new(),
        recipients: recipients.iter().map(path).collect(),
        queue_id: format!("4A{number}"),
        letter: Letter::parse(&Bytes::from(letter)),
    }
}

/// The queues that a letter was filed in, as its tag says.
fn queues(outcome: &Outcome) -> Option<String> {
    assert_eq!(outcome.verdict, Said::Accept);
    outcome.edits.iter().find_map(|edit| match edit {
        Reply::InsertHeader { name, value, .. } if name == "X-Postroom-Queue" => {
            Some(String::from_utf8_lossy(value).trim().to_owned())
        }
        _ => None,
    })
}

const OFF: &str = "[authentication]\nresolver = \"off\"\n";

const SALES: &str = "[[queue]]\nid = \"sales\"\naddresses = [\"sales@shop.example\"]\n";

#[tokio::test]
async fn a_changed_configuration_holds_from_the_next_message_on() {
    let folder = tempfile::tempdir().unwrap();
    let before = config(folder.path(), OFF);
    let mut process = Process::start(folder.path(), &before, Vec::new()).await;
    let mut mta = mta(&process.milter().await).await;
    let both = ["support@shop.example", "sales@shop.example"];
    let outcome = mta.send(&mail(1, &both[..1])).await.unwrap();
    assert_eq!(queues(&outcome).as_deref(), Some("support"));
    let outcome = mta.send(&mail(1, &both[1..])).await.unwrap();
    assert!(outcome.released_at_data);

    // Another queue, on the same connection.
    let larger = config(folder.path(), &format!("{OFF}{SALES}"));
    process.reload(&larger).await;
    let outcome = mta.send(&mail(2, &both)).await.unwrap();
    assert_eq!(queues(&outcome).as_deref(), Some("support, sales"));

    // A file that makes no sense changes nothing, and its line is named.
    process.reload(&larger.replace("[store]", "[stoer]")).await;
    process.hear("postroom.toml:8: unknown field `stoer`").await;
    process.hear("the configuration stays as it was").await;
    let outcome = mta.send(&mail(3, &both)).await.unwrap();
    assert_eq!(queues(&outcome).as_deref(), Some("support, sales"));

    // A queue with open work does not go.
    process.reload(&before).await;
    process.hear("queue sales has 2 open interactions").await;
    process.hear("the configuration stays as it was").await;
    let outcome = mta.send(&mail(4, &both)).await.unwrap();
    assert_eq!(queues(&outcome).as_deref(), Some("support, sales"));

    // Limits change; what is bound does not, and that is said.
    let limited = larger
        .replace("[milter]", "[milter]\nmessage_bytes_max = 2000")
        .replace("[control]", "[control]\nreflection = false");
    process.reload(&limited).await;
    process.hear("[control] differs, and takes a restart").await;
    process.hear("is in force from the next message on").await;
    let mut announced = mail(5, &both);
    announced.parameters.push(Bytes::from_static(b"SIZE=2001"));
    let refused = Said::Reply("552 5.3.4 Message too big".into());
    assert_eq!(mta.send(&announced).await.unwrap().verdict, refused);
    let line =
        "NOQUEUE: client=client.example[192.0.2.7]: reject MAIL <ada@ada.example>: 552 5.3.4";
    process.hear(line).await;

    process.signal(Signal::TERM);
    process.told("STOPPING=1").await;
    assert_eq!(process.ended().await.code(), Some(0));
}

#[tokio::test]
async fn sockets_are_told_apart_by_their_names() {
    for milter_first in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("milter.sock");
        let milter = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let agents = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let agents_at = agents.local_addr().unwrap();
        let mut sockets = vec![("milter", milter.into()), ("control", agents.into())];
        if !milter_first {
            sockets.reverse();
        }
        let config = config(folder.path(), OFF);
        let mut process = Process::start(folder.path(), &config, sockets).await;
        let line = process.hear("listening for Postfix on ").await;
        let said = format!("on unix:{}, for agents on {agents_at},", path.display());
        assert!(line.contains(&said), "{line}");
        let mut mta = mta(&Address::Unix(path.clone())).await;
        let outcome = mta.send(&mail(1, &["support@shop.example"])).await.unwrap();
        assert_eq!(queues(&outcome).as_deref(), Some("support"));
        let stream = tokio::net::TcpStream::connect(agents_at).await.unwrap();
        drop((stream, mta));
        process.signal(Signal::TERM);
        assert_eq!(process.ended().await.code(), Some(0));
        assert!(path.exists(), "the socket is the service manager's");
    }
}

#[tokio::test]
async fn a_socket_without_a_name_is_not_guessed_at() {
    let folder = tempfile::tempdir().unwrap();
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let config = config(folder.path(), OFF);
    let sockets = vec![("postroom.socket", socket.into())];
    let mut process = Process::spawn(folder.path(), &config, sockets);
    process.hear("write FileDescriptorName=milter").await;
    assert_eq!(process.ended().await.code(), Some(69));
}

#[tokio::test]
async fn whoever_waits_for_a_verdict_when_the_end_comes_still_gets_it() {
    let folder = tempfile::tempdir().unwrap();
    // A name server that says nothing until it is told to.
    let dns = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let resolver = format!(
        "[authentication]\nresolver = \"{}\"\n",
        dns.local_addr().unwrap()
    );
    let config = config(folder.path(), &resolver);
    let mut process = Process::start(folder.path(), &config, Vec::new()).await;
    let address = process.milter().await;
    let mut idle = mta(&address).await;
    let mut busy = mta(&address).await;
    let verdict = tokio::spawn(async move { busy.send(&mail(1, &["support@shop.example"])).await });
    let mut query = [0; 512];
    let (len, from) = dns.recv_from(&mut query).await.unwrap();

    process.signal(Signal::TERM);
    process.told("STOPPING=1").await;
    assert!(
        idle.send(&mail(2, &["support@shop.example"]))
            .await
            .is_err()
    );
    let answers = tokio::spawn(async move {
        let (mut len, mut from) = (len, from);
        loop {
            // The same question, marked as an answer: there is no such name.
            let answer = query.get_mut(..len).unwrap();
            answer[2] |= 0x80;
            answer[3] = 0x83;
            dns.send_to(answer, from).await.unwrap();
            (len, from) = dns.recv_from(&mut query).await.unwrap();
        }
    });
    let outcome = verdict.await.unwrap().unwrap();
    assert_eq!(queues(&outcome).as_deref(), Some("support"));
    assert_eq!(process.ended().await.code(), Some(0));
    answers.abort();
}

#[tokio::test]
async fn a_milter_socket_that_somebody_answers_at_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("milter.sock");
    let config = |folder: &Path| {
        config(folder, OFF).replace("inet:127.0.0.1:0", &format!("unix:{}", path.display()))
    };
    // What a crash leaves behind is replaced.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let first = Process::start(folder.path(), &config(folder.path()), Vec::new()).await;
    let other = tempfile::tempdir().unwrap();
    let mut second = Process::spawn(other.path(), &config(other.path()), Vec::new());
    second.hear("another process answers there").await;
    assert_eq!(second.ended().await.code(), Some(69));
    mta(&Address::Unix(path.clone())).await;
    first.signal(Signal::TERM);
    assert_eq!(first.ended().await.code(), Some(0));
    assert!(!path.exists());
}
