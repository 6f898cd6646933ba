//! Timers, under a clock that jumps to the next of them whenever nobody has anything to do.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use postroom::milter::negotiation::Offer;
use postroom::milter::wire::{Arguments, Command, Plain, Reply};
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, sleep};

use crate::house::Server;

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn the_mta_is_told_that_we_are_working() {
    let server = Server::start(false, |_| {}).await;
    server.hold();
    let mut raw = server.raw().await;
    raw.until_data().await;
    raw.say(&[Command::EndOfHeaders, Command::EndOfMessage(Bytes::new())])
        .await;
    let began = Instant::now();
    for times in 1..=5 {
        raw.expect(&[Plain::Progress]).await;
        assert_eq!(began.elapsed().as_secs(), 10 * times);
    }
    server.release();
    assert!(matches!(
        raw.reply().await,
        Some(Reply::InsertHeader { .. })
    ));
    raw.expect(&[Plain::Accept]).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_said_where_nothing_is_asked() {
    let mut server = Server::start(false, |_| {}).await;
    let mut raw = server.raw().await;
    raw.say(&[Command::Negotiate(Offer::POSTFIX)]).await;
    assert!(matches!(raw.reply().await, Some(Reply::Negotiate(_))));
    // A client may sit for five minutes between two commands, and then some.
    for _ in 0..3 {
        let steps = [
            (
                Command::Mail(Arguments::new([&b"<a@example.org>"[..]])),
                true,
            ),
            (
                Command::Rcpt(Arguments::new([&b"<support@shop.example>"[..]])),
                true,
            ),
            (Command::Data, true),
            (Command::EndOfHeaders, false),
            (Command::Body(Bytes::from_static(b"x")), false),
        ];
        for (command, answered) in steps {
            sleep(6 * MINUTE).await;
            raw.say(&[command]).await;
            if answered {
                raw.expect(&[Plain::Continue]).await;
            }
        }
        sleep(6 * MINUTE).await;
        raw.say(&[Command::EndOfMessage(Bytes::new())]).await;
        assert!(matches!(
            raw.reply().await,
            Some(Reply::InsertHeader { .. })
        ));
        raw.expect(&[Plain::Accept]).await;
        server.shown.recv().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn silence_has_an_end() {
    let server = Server::start(false, |_| {}).await;
    let mut raw = server.raw().await;
    let began = Instant::now();
    raw.say(&[Command::Negotiate(Offer::POSTFIX)]).await;
    assert!(matches!(raw.reply().await, Some(Reply::Negotiate(_))));
    // Half a frame is no sign of life.
    raw.write(&[0, 0, 0]).await;
    assert_eq!(raw.frame().await, None);
    assert_eq!(began.elapsed().as_secs(), 7210);
}

#[tokio::test(start_paused = true)]
async fn who_dawdles_before_the_negotiation_is_left() {
    let mut server = Server::start(false, |_| {}).await;
    let mut raw = server.raw().await;
    let mut offer = BytesMut::new();
    Command::Negotiate(Offer::POSTFIX).encode(&mut offer);
    let began = Instant::now();
    let mut written = 0;
    for byte in &offer {
        if raw.stream.write_all(&[*byte]).await.is_err() {
            break;
        }
        written += 1;
        sleep(Duration::from_secs(9)).await;
    }
    assert_eq!(raw.frame().await, None);
    assert!(written < offer.len());
    assert!(began.elapsed() < MINUTE);
    server.assert_alive().await;
}

#[tokio::test(start_paused = true)]
async fn who_does_not_listen_is_left() {
    let mut server = Server::start(false, |_| {}).await;
    let mut raw = server.raw().await;
    let mut bytes = BytesMut::new();
    Command::Negotiate(Offer::POSTFIX).encode(&mut bytes);
    let began = Instant::now();
    while raw.stream.write_all(&bytes).await.is_ok() {
        bytes.clear();
        for _ in 0..1000 {
            Command::Unknown(Bytes::new()).encode(&mut bytes);
        }
    }
    assert_eq!(began.elapsed().as_secs(), 30);
    server.assert_alive().await;
}
