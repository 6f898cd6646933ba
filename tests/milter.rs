//! The milter server over real sockets, against scripted MTAs.
//!
//! `tests/milter/*.testcase` are conversations, each of which runs step by step, in one write, and
//! byte by byte, on a UNIX socket and on TCP. What needs a file, a limit, a timer or a stop is
//! written out here.

#![expect(clippy::unwrap_used, reason = "a test's helpers are part of the test")]

#[path = "milter/house.rs"]
mod house;
#[path = "milter/script.rs"]
mod script;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use postroom::milter::client::{Caller, Client, ClientError, Letter, Said};
use postroom::milter::negotiation::{Offer, Steps};
use postroom::milter::server::{BindError, Drained};
use postroom::milter::wire::{Arguments, Command, FRAME_BYTES_MAX, Plain, Reply};
use postroom::milter::{Address, Listener};
use tokio::io::AsyncWriteExt;
use tokio::sync::Semaphore;

use house::{House, MESSAGE_BYTES_MAX, Server, body, mail};
use script::{Pace, parse, play};

#[tokio::test]
async fn conversations() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/milter");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "testcase"))
        .collect();
    paths.sort();
    assert!(!paths.is_empty());
    for path in paths {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let steps = parse(&std::fs::read_to_string(&path).unwrap());
        for tcp in [false, true] {
            for pace in [Pace::StepByStep, Pace::AtOnce, Pace::ByteByByte] {
                play(&name, &steps, tcp, pace).await;
            }
        }
    }
}

#[tokio::test]
async fn the_end_may_come_anywhere() {
    let mut server = Server::start(false, |_| {}).await;
    let mut conversation = BytesMut::new();
    for command in [
        Command::Negotiate(Offer::POSTFIX),
        Command::Mail(Arguments::new([&b"<a@example.org>"[..]])),
        Command::Rcpt(Arguments::new([&b"<support@shop.example>"[..]])),
        Command::Data,
        Command::Header {
            name: Bytes::from_static(b"Subject"),
            value: Bytes::from_static(b" x"),
        },
        Command::EndOfHeaders,
        Command::Body(Bytes::from_static(b"text")),
        Command::EndOfMessage(Bytes::new()),
    ] {
        command.encode(&mut conversation);
    }
    for cut in 0..conversation.len() {
        let mut raw = server.raw().await;
        raw.write(&conversation[..cut]).await;
        let _ = raw.stream.shutdown().await;
        while raw.frame().await.is_some() {}
    }
    server.assert_alive().await;
}

#[tokio::test]
async fn the_largest_frame_is_taken_and_a_larger_one_is_not() {
    let mut server = Server::start(false, |_| {}).await;
    let mut raw = server.raw().await;
    raw.until_data().await;
    raw.say(&[
        Command::EndOfHeaders,
        Command::Body(body(FRAME_BYTES_MAX - 1)),
        Command::EndOfMessage(Bytes::new()),
    ])
    .await;
    assert!(matches!(
        raw.reply().await,
        Some(Reply::InsertHeader { .. })
    ));
    raw.expect(&[Plain::Accept]).await;
    let (_, content) = server.shown.recv().await.unwrap();
    assert_eq!(content.len(), 2 + FRAME_BYTES_MAX - 1);
    raw.write(&[0, 1, 0, 1, b'B']).await;
    assert_eq!(raw.frame().await, None);
    server.assert_alive().await;
}

#[tokio::test]
async fn each_answer_belongs_to_its_message() {
    let mut server = Server::start(false, |_| {}).await;
    let mut client = server.client().await;
    assert_eq!(
        client.open(Caller::default()).await.unwrap(),
        Said::Continue
    );
    for round in 0..100 {
        let (recipient, subject, verdict) = match round % 4 {
            0 => ("<support@shop.example>", "accept", Said::Accept),
            1 => (
                "<support@shop.example>",
                "reject",
                Said::Reply("554 5.6.0 No".into()),
            ),
            2 => (
                "<nobody@shop.example>",
                "accept",
                Said::Reply("550 5.1.1 100% unknown here".into()),
            ),
            _ => ("<other@example.net>", "accept", Said::Accept),
        };
        let outcome = client.send(&mail(recipient, subject)).await.unwrap();
        assert_eq!(outcome.verdict, verdict, "round {round}");
        assert_eq!(outcome.released_at_data, round % 4 == 3, "round {round}");
        assert_eq!(
            outcome.edits.len(),
            usize::from(round % 4 == 0),
            "round {round}"
        );
        if round % 4 < 2 {
            let (_, content) = server.shown.recv().await.unwrap();
            assert!(content.starts_with(format!("Subject: {subject}\r\n").as_bytes()));
        }
    }
    client.quit().await.unwrap();
}

#[tokio::test]
async fn tags_are_on_top_of_what_came_and_forged_ones_are_gone() {
    let mut server = Server::start(true, |_| {}).await;
    for steps in [Steps::POSTFIX, Steps::POSTFIX.without(Steps::HDR_LEADSPC)] {
        let offer = Offer {
            steps,
            ..Offer::POSTFIX
        };
        let mut client = Client::connect(&server.address, offer).await.unwrap();
        client.open(Caller::default()).await.unwrap();
        let forged = "x-tag: 1\r\n".repeat(200);
        let letter = format!("{forged}Subject: a\r\n b\r\n{forged}DKIM-Signature: c\r\n\r\ntext");
        let mut mail = mail("<support@shop.example>", "");
        mail.letter = Letter::parse(&Bytes::from(letter.clone()));
        let outcome = client.send(&mail).await.unwrap();
        assert_eq!(
            outcome.apply(&mail.letter).to_bytes(),
            "X-Tag: t1\r\nSubject: a\r\n b\r\nDKIM-Signature: c\r\n\r\ntext"
        );
        let (_, content) = server.shown.recv().await.unwrap();
        assert_eq!(content, letter.as_bytes());
    }
}

#[tokio::test]
async fn a_message_is_decided_on_by_whoever_was_there_at_its_mail() {
    let mut server = Server::start(false, |_| {}).await;
    let (shown_to, mut shown_later) = tokio::sync::mpsc::unbounded_channel();
    let later = Arc::new(House {
        shown: shown_to,
        verdicts: Semaphore::new(1),
    });
    let mut raw = server.raw().await;
    raw.until_data().await;
    server.receiver.replace(later);
    let end = [Command::EndOfHeaders, Command::EndOfMessage(Bytes::new())];
    raw.say(&end).await;
    assert!(raw.reply().await.is_some());
    raw.expect(&[Plain::Accept]).await;
    assert!(server.shown.try_recv().is_ok());
    assert!(shown_later.try_recv().is_err());

    // The next one on the same connection, without an abort in between.
    raw.until_data_again().await;
    raw.say(&end).await;
    assert!(raw.reply().await.is_some());
    raw.expect(&[Plain::Accept]).await;
    assert!(server.shown.try_recv().is_err());
    assert!(shown_later.try_recv().is_ok());
}

#[tokio::test]
async fn the_others_still_get_a_message_that_is_split() {
    let mut server = Server::start(false, |_| {}).await;
    let mut client = server.client().await;
    client.open(Caller::default()).await.unwrap();
    let mut mail = mail("<Support@shop.example>", "split");
    for more in [
        "<other@example.net>",
        "<nobody@shop.example>",
        "sales@shop.example",
    ] {
        mail.recipients.push(Bytes::from_static(more.as_bytes()));
    }
    let outcome = client.send(&mail).await.unwrap();
    assert_eq!(outcome.verdict, Said::Accept);
    let left: Vec<_> = outcome.delivered_to(&mail).collect();
    assert_eq!(left, ["<other@example.net>"]);
    server.shown.recv().await.unwrap();
}

#[tokio::test]
async fn each_missing_no_reply_bit_is_obeyed() {
    let mut server = Server::start(false, |_| {}).await;
    for bit in 0..=20 {
        let offer = Offer {
            steps: Steps::POSTFIX.without(Steps(1 << bit)),
            ..Offer::POSTFIX
        };
        for version in [2, 3, 4, 6] {
            let offer = Offer { version, ..offer };
            let mut client = Client::connect(&server.address, offer).await.unwrap();
            client.open(Caller::default()).await.unwrap();
            for _ in 0..2 {
                let mail = mail("<support@shop.example>", "x");
                let outcome = client.send(&mail).await.unwrap();
                assert_eq!(outcome.verdict, Said::Accept, "{offer}");
                let (_, content) = server.shown.recv().await.unwrap();
                assert_eq!(content, mail.letter.to_bytes(), "{offer}");
            }
        }
    }
}

#[tokio::test]
async fn large_messages_have_a_file_while_they_are_in_flight() {
    let mut server = Server::start(false, |_| {}).await;
    let mut mail = mail("<support@shop.example>", "large");
    mail.letter.body = body(1_500_000);

    // Aborted: gone without a trace. The refused recipient is answered after that.
    let mut raw = server.raw().await;
    raw.until_data().await;
    let mut commands = vec![Command::EndOfHeaders];
    commands.extend((0..10).map(|_| Command::Body(body(65535))));
    // An unknown command is answered when all before it is done.
    commands.push(Command::Unknown(Bytes::from_static(b"XYZZ")));
    raw.say(&commands).await;
    raw.expect(&[Plain::Continue]).await;
    assert_eq!(server.spooled(), 1);
    raw.say(&[Command::Abort, Command::Unknown(Bytes::new())])
        .await;
    raw.expect(&[Plain::Continue]).await;
    assert_eq!(server.spooled(), 0);

    // Cut off: the same.
    raw.until_data_again().await;
    raw.say(&commands).await;
    raw.expect(&[Plain::Continue]).await;
    assert_eq!(server.spooled(), 1);
    raw.stream.shutdown().await.unwrap();
    assert_eq!(raw.frame().await, None);
    assert_eq!(server.spooled(), 0);

    // Complete: all of it is shown.
    let mut client = server.client().await;
    client.open(Caller::default()).await.unwrap();
    let outcome = client.send(&mail).await.unwrap();
    assert_eq!(outcome.verdict, Said::Accept);
    let (_, content) = server.shown.recv().await.unwrap();
    assert!(content == mail.letter.to_bytes());
    assert_eq!(server.spooled(), 0);
}

#[tokio::test]
async fn what_is_too_large_is_refused_at_the_end() {
    let mut server = Server::start(false, |_| {}).await;
    let mut client = server.client().await;
    client.open(Caller::default()).await.unwrap();

    let mut mail = mail("<support@shop.example>", "x");
    mail.letter.body = body(usize::try_from(MESSAGE_BYTES_MAX).unwrap());
    let outcome = client.send(&mail).await.unwrap();
    assert_eq!(
        outcome.verdict,
        Said::Reply("552 5.3.4 Message too big".into())
    );
    assert_eq!(server.spooled(), 0);

    mail.letter = Letter::parse(&Bytes::from(format!(
        "Long: {}\r\n\r\n",
        "x".repeat(60_000)
    )));
    let outcome = client.send(&mail).await.unwrap();
    assert_eq!(outcome.verdict, Said::Accept);
    assert_eq!(server.shown.recv().await.unwrap().1, mail.letter.to_bytes());

    mail.letter = Letter::parse(&Bytes::from("A: b\r\n".repeat(5000) + "\r\n"));
    let outcome = client.send(&mail).await.unwrap();
    assert_eq!(
        outcome.verdict,
        Said::Reply("552 5.3.4 Message header too large".into())
    );
    server.assert_alive().await;
}

#[tokio::test]
async fn connections_over_the_cap_are_told_at_mail() {
    let mut server = Server::start(false, |options| options.connections_max = 1).await;
    let mut first = server.client().await;
    first.open(Caller::default()).await.unwrap();
    let mut second = server.client().await;
    second.open(Caller::default()).await.unwrap();
    let mail = mail("<support@shop.example>", "x");
    let outcome = second.send(&mail).await.unwrap();
    assert_eq!(
        outcome.verdict,
        Said::Reply("451 4.3.2 Mail gateway is busy, try again later".into())
    );
    assert_eq!(first.send(&mail).await.unwrap().verdict, Said::Accept);

    // A place that becomes free is taken at the next message.
    first.quit().await.unwrap();
    loop {
        let outcome = second.send(&mail).await.unwrap();
        if outcome.verdict == Said::Accept {
            break;
        }
        tokio::task::yield_now().await;
    }
    server.shown.recv().await.unwrap();
}

#[tokio::test]
async fn the_mta_is_told_that_we_are_working() {
    let mut server = Server::start(false, |options| {
        options.timers.progress = Duration::from_millis(1);
    })
    .await;
    server.hold();
    let mut raw = server.raw().await;
    raw.until_data().await;
    raw.say(&[Command::EndOfHeaders, Command::EndOfMessage(Bytes::new())])
        .await;
    server.shown.recv().await.unwrap();
    raw.expect(&[Plain::Progress; 3]).await;
    server.release();
    loop {
        match raw.reply().await.unwrap() {
            Reply::Plain(Plain::Progress) => {}
            Reply::InsertHeader { .. } => break,
            other => panic!("{other:?}"),
        }
    }
    raw.expect(&[Plain::Accept]).await;
}

#[tokio::test]
async fn silence_has_an_end() {
    let server = Server::start(true, |options| {
        options.timers.negotiation = Duration::from_millis(1);
        options.timers.idle = Duration::from_millis(1);
    })
    .await;
    // Half a frame does not help.
    let mut raw = server.raw().await;
    raw.write(&[0, 0, 0]).await;
    assert_eq!(raw.frame().await, None);

    let server = Server::start(true, |options| {
        options.timers.idle = Duration::from_millis(1);
    })
    .await;
    let mut raw = server.raw().await;
    raw.say(&[Command::Negotiate(Offer::POSTFIX)]).await;
    assert!(matches!(raw.reply().await, Some(Reply::Negotiate(_))));
    assert_eq!(raw.frame().await, None);
}

#[tokio::test]
async fn a_stop_waits_for_open_messages_only() {
    let mut server = Server::start(false, |_| {}).await;
    server.hold();
    let mut idle = server.client().await;
    idle.open(Caller::default()).await.unwrap();
    let mut busy = server.raw().await;
    busy.until_data().await;
    busy.say(&[Command::EndOfHeaders, Command::EndOfMessage(Bytes::new())])
        .await;
    server.shown.recv().await.unwrap();

    server.stop.cancel();
    let gone = idle.send(&mail("<support@shop.example>", "x")).await;
    assert!(matches!(
        gone,
        Err(ClientError::Closed | ClientError::Io(_))
    ));
    server.release();
    assert!(matches!(
        busy.reply().await,
        Some(Reply::InsertHeader { .. })
    ));
    busy.expect(&[Plain::Accept]).await;
    assert_eq!(busy.frame().await, None);
    assert_eq!(server.running.await.unwrap(), Drained { cut: 0 });
    let Address::Unix(path) = &server.address else {
        panic!("{}", server.address);
    };
    assert!(!path.exists(), "the socket's file is gone");
}

#[tokio::test]
async fn a_stop_does_not_wait_for_ever() {
    let mut server = Server::start(false, |options| {
        options.drain = Duration::from_millis(1);
    })
    .await;
    server.hold();
    let mut busy = server.raw().await;
    busy.until_data().await;
    busy.say(&[Command::EndOfHeaders, Command::EndOfMessage(Bytes::new())])
        .await;
    server.shown.recv().await.unwrap();
    server.stop.cancel();
    assert_eq!(busy.frame().await, None);
    assert_eq!(server.running.await.unwrap(), Drained { cut: 1 });
}

#[tokio::test]
async fn sockets_left_behind_are_replaced_and_live_ones_are_not() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let address = Address::Unix(path.clone());

    // What a crash leaves: the file without a listener.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let listener = Listener::bind_with_mode(&address, 0o600).await.unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let second = Listener::bind(&address).await.unwrap_err();
    assert!(matches!(second, BindError::InUse(_)), "{second}");
    assert!(path.exists());

    drop(listener);
    assert!(!path.exists());
    std::fs::write(&path, "a letter").unwrap();
    let third = Listener::bind(&address).await.unwrap_err();
    assert!(matches!(third, BindError::NotASocket(_)), "{third}");
    assert!(path.exists());
}

#[tokio::test]
async fn who_has_said_all_still_gets_the_verdict() {
    for tcp in [false, true] {
        let mut server = Server::start(tcp, |_| {}).await;
        let mut raw = server.raw().await;
        raw.until_data().await;
        raw.say(&[Command::EndOfHeaders, Command::EndOfMessage(Bytes::new())])
            .await;
        raw.stream.shutdown().await.unwrap();
        assert!(matches!(
            raw.reply().await,
            Some(Reply::InsertHeader { .. })
        ));
        raw.expect(&[Plain::Accept]).await;
        assert_eq!(raw.frame().await, None);
        server.shown.recv().await.unwrap();
    }
}

#[tokio::test]
async fn who_does_not_listen_is_left() {
    let mut server = Server::start(false, |options| {
        options.timers.write = Duration::from_millis(1);
    })
    .await;
    let mut raw = server.raw().await;
    let mut bytes = BytesMut::new();
    Command::Negotiate(Offer::POSTFIX).encode(&mut bytes);
    while raw.stream.write_all(&bytes).await.is_ok() {
        bytes.clear();
        for _ in 0..1000 {
            Command::Unknown(Bytes::new()).encode(&mut bytes);
        }
    }
    server.assert_alive().await;
}

#[tokio::test]
async fn health_checks_leave_nothing_behind() {
    let mut server = Server::start(true, |options| options.connections_max = 2).await;
    for _ in 0..500 {
        drop(server.raw().await);
    }
    server.assert_alive().await;
}
