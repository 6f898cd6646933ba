//! Sizes, numbers and memory, and connections that break.

use bytes::{Bytes, BytesMut};
use postroom::milter::Address;
use postroom::milter::client::{Caller, Letter, Said};
use postroom::milter::negotiation::Offer;
use postroom::milter::wire::{Arguments, Command, FRAME_BYTES_MAX, Plain, Reply};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::house::{MESSAGE_BYTES_MAX, Raw, Server, body, mail};

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
async fn health_checks_leave_nothing_behind() {
    let mut server = Server::start(false, |options| options.connections_max = 2).await;
    for _ in 0..10_000 {
        drop(server.raw().await);
    }
    server.assert_alive().await;
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
async fn memory_is_shared_and_comes_back() {
    // Room for two large messages, or for a hundred small ones.
    let mut server = Server::start(false, |options| options.memory_bytes_max = 1 << 20).await;
    let mut large = Vec::new();
    for _ in 0..10 {
        let mut raw = server.raw().await;
        raw.until_data().await;
        let mut commands = vec![Command::EndOfHeaders];
        commands.extend((0..8).map(|_| Command::Body(body(65535))));
        // Answered when all before it is done.
        commands.push(Command::Unknown(Bytes::new()));
        raw.say(&commands).await;
        raw.expect(&[Plain::Continue]).await;
        large.push(raw);
    }
    let mut taken = 0;
    for mut raw in large {
        raw.say(&[Command::EndOfMessage(Bytes::new())]).await;
        match raw.reply().await.unwrap() {
            Reply::InsertHeader { .. } => {
                raw.expect(&[Plain::Accept]).await;
                server.shown.recv().await.unwrap();
                taken += 1;
            }
            Reply::ReplyCode(text) => {
                assert_eq!(text, "451 4.3.2 Mail gateway is busy, try again later");
            }
            other => panic!("{other:?}"),
        }
    }
    assert!((1..10).contains(&taken), "{taken} of 10 were taken");
    assert_eq!(server.spooled(), 0);
    let mut client = server.client().await;
    client.open(Caller::default()).await.unwrap();
    for _ in 0..10 {
        let mut mail = mail("<support@shop.example>", "large");
        mail.letter.body = body(600_000);
        assert_eq!(client.send(&mail).await.unwrap().verdict, Said::Accept);
        server.shown.recv().await.unwrap();
    }
}

#[tokio::test]
async fn a_reset_while_the_verdict_is_awaited_stops_nobody_else() {
    let mut server = Server::start(true, |_| {}).await;
    let Address::Inet { host, port } = server.address.clone() else {
        panic!("{}", server.address);
    };
    server.hold();
    let stream = TcpStream::connect((host.as_str(), port)).await.unwrap();
    stream.set_zero_linger().unwrap();
    let mut raw = Raw {
        stream: Box::new(stream),
        arrived: BytesMut::new(),
    };
    raw.until_data().await;
    raw.say(&[Command::EndOfHeaders, Command::EndOfMessage(Bytes::new())])
        .await;
    // The message is being judged, and may be kept already: it is judged to its end.
    server.shown.recv().await.unwrap();
    drop(raw);
    server.release();
    server.release();
    server.assert_alive().await;
}

#[tokio::test]
async fn noise_after_a_good_beginning_harms_nobody() {
    let mut server = Server::start(false, |_| {}).await;
    // A generator of Marsaglia's, so that a failure comes again.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut noise = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for _ in 0..2000 {
        let mut raw = server.raw().await;
        let mut bytes = BytesMut::new();
        Command::Negotiate(Offer::POSTFIX).encode(&mut bytes);
        for _ in 0..noise() % 8 {
            // Frames whose lengths are right, of codes that mostly exist.
            let len = noise() % 40;
            bytes.extend_from_slice(&u32::try_from(len + 1).unwrap().to_be_bytes());
            bytes.extend_from_slice(&[b"OCHMRTULNBEADKQ?"[usize::try_from(noise() % 16).unwrap()]]);
            bytes.extend((0..len).map(|_| noise().to_be_bytes()[0]));
        }
        raw.write(&bytes).await;
        let _ = raw.stream.shutdown().await;
        let mut answers = Vec::new();
        let _ = raw.stream.read_to_end(&mut answers).await;
    }
    while server.shown.try_recv().is_ok() {}
    server.assert_alive().await;
}
