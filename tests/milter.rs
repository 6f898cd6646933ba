//! The milter server over real sockets, against scripted MTAs.
//!
//! `tests/milter/*.testcase` are conversations, each of which runs step by step, in one write, and
//! byte by byte, on a UNIX socket and on TCP. What needs a file, a limit, a timer or a stop is
//! written out in a file of its own.

#![expect(clippy::unwrap_used, reason = "a test's helpers are part of the test")]
#![expect(clippy::print_stderr, reason = "a test that is skipped says so")]

#[path = "milter/house.rs"]
mod house;
#[path = "milter/limits.rs"]
mod limits;
#[path = "milter/miltertest.rs"]
mod miltertest;
#[path = "milter/script.rs"]
mod script;
#[path = "milter/stops.rs"]
mod stops;
#[path = "milter/time.rs"]
mod time;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use postroom::milter::client::{Caller, Client, Letter, Said};
use postroom::milter::negotiation::{Offer, Steps};
use postroom::milter::wire::{Command, Plain};
use tokio::sync::Semaphore;

use house::{House, Server, mail};
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
