//! Submissions to a server that does everything wrong, once each.

use std::io::Cursor;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use tokio::io::duplex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::*;
use crate::outbound::message::TOGETHER_ATTEMPTS_MAX;
use crate::outbound::settings::{Login, Timeouts, Tls};
use crate::outbound::sink::{Act, Sink, Stage};
use crate::outbound::spool::tests::message;

const LETTER: &[u8] = b"Subject: hello\r\n\r\n.\r\nDear customer\r\n..\r\n";

async fn sink() -> Sink {
    Sink::start("127.0.0.1:0".parse().unwrap()).await.unwrap()
}

fn settings(sink: &Sink) -> Settings {
    Settings {
        host: sink.addr().ip().to_string(),
        port: sink.addr().port(),
        ..Settings::default()
    }
}

fn body(bytes: &[u8]) -> Body {
    Box::new(Cursor::new(Bytes::copy_from_slice(bytes)))
}

/// Submits over a socket; tells the outcome and whether the hand-over was marked.
async fn send(sink: &Sink, outbound: &Outbound, bytes: &[u8]) -> (Outcome, bool) {
    let marked = AtomicBool::new(false);
    let outcome = submit(&settings(sink), outbound, body(bytes), || async {
        marked.store(true, Ordering::SeqCst);
        Ok(())
    })
    .await;
    (outcome, marked.into_inner())
}

/// Submits through memory, where a paused clock moves only when both sides wait.
async fn send_in_memory(sink: &Sink, bytes: &[u8]) -> (Outcome, bool) {
    let settings = Settings::default();
    let marked = AtomicBool::new(false);
    let (ours, theirs) = duplex(1024);
    let submission = async {
        let mut client = SmtpClient {
            stream: ours,
            timeout: settings.timeouts.connect,
        };
        let submitted = async {
            greeting(&mut client, &settings).await?;
            converse(client, &settings, &message(1), body(bytes), || async {
                marked.store(true, Ordering::SeqCst);
                Ok(())
            })
            .await
        };
        submitted.await.unwrap_or_else(Outcome::from)
    };
    tokio::select! {
        outcome = submission => (outcome, marked.load(Ordering::SeqCst)),
        () = async {
            sink.serve(theirs).await;
            std::future::pending().await
        } => unreachable!(),
    }
}

fn name(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Accepted { .. } => "accepted",
        Outcome::Temporary(_) => "temporary",
        Outcome::Permanent { .. } => "permanent",
        Outcome::Lost(_) => "lost",
    }
}

fn say(reply: &str) -> Act {
    Act::Say(format!("{reply}\r\n"))
}

#[tokio::test]
async fn a_message_arrives_as_it_was() {
    let sink = sink().await;
    let (outcome, marked) = send(&sink, &message(1), LETTER).await;
    let mail = sink.next().await;
    assert_eq!(mail.from, "b+token@shop.example");
    assert_eq!(mail.to, ["a@x.example", "b@x.example", "c@x.example"]);
    assert_eq!(mail.bytes, LETTER);
    assert!(marked);
    let text = format!("Ok: queued as {}", mail.queue_id);
    assert_eq!(
        outcome,
        Outcome::Accepted {
            reply: Diagnostic::new(250, Some([2, 0, 0]), &text),
            queue_id: Some(mail.queue_id),
            refused: Vec::new(),
        }
    );
    assert_eq!(
        sink.commands(),
        [
            "EHLO localhost".to_owned(),
            format!(
                "MAIL FROM:<b+token@shop.example> SIZE=1000 BODY=8BITMIME RET=HDRS ENVID={}",
                message(1).id
            ),
            "RCPT TO:<a@x.example> NOTIFY=FAILURE,DELAY ORCPT=rfc822;a@x.example".to_owned(),
            "RCPT TO:<b@x.example> NOTIFY=FAILURE,DELAY ORCPT=rfc822;b@x.example".to_owned(),
            "RCPT TO:<c@x.example> NOTIFY=FAILURE,DELAY ORCPT=rfc822;c@x.example".to_owned(),
            "DATA".to_owned(),
            "QUIT".to_owned(),
        ]
    );
}

#[tokio::test]
async fn every_failure_at_every_stage() {
    use Stage::{Data, Ehlo, End, Greeting, Mail, Rcpt};
    for (stage, act, outcome, marked, taken) in [
        (Greeting, say("554 5.3.2 no service"), "temporary", false, 0),
        (Greeting, say("421 4.3.2 busy"), "temporary", false, 0),
        (Greeting, say("+OK POP3 ready"), "temporary", false, 0),
        (Greeting, Act::HangUp, "temporary", false, 0),
        (Ehlo, say("550 5.7.1 who are you"), "temporary", false, 0),
        (Ehlo, say("421 4.3.2 busy"), "temporary", false, 0),
        (Ehlo, say("250-sink\r\n999 what"), "temporary", false, 0),
        (Ehlo, Act::HangUp, "temporary", false, 0),
        (Mail, say("451 4.3.0 later"), "temporary", false, 0),
        (
            Mail,
            say("452-4.3.1 no\r\n452 4.3.1 space"),
            "temporary",
            false,
            0,
        ),
        (Mail, say("550 5.1.8 no such sender"), "permanent", false, 0),
        (Mail, say("354 what"), "temporary", false, 0),
        (Mail, say("garbage"), "temporary", false, 0),
        (Mail, Act::HangUp, "temporary", false, 0),
        (Rcpt, say("451 4.3.0 later"), "temporary", false, 0),
        (Rcpt, say("421 4.3.2 going down"), "temporary", false, 0),
        (Rcpt, Act::HangUp, "temporary", false, 0),
        (Data, say("451 4.3.0 later"), "temporary", false, 0),
        (Data, say("554 5.5.1 no"), "permanent", false, 0),
        (Data, say("\u{1}\u{2}"), "temporary", false, 0),
        (Data, Act::HangUp, "temporary", false, 0),
        (End, say("451 4.7.1 greylisted"), "temporary", true, 0),
        (
            End,
            say("452-4.3.1 full\r\n452 4.3.1 disk"),
            "temporary",
            true,
            0,
        ),
        (End, say("554 5.7.1 spam"), "permanent", true, 0),
        (End, say("garbage"), "lost", true, 0),
        (End, say("354 go on"), "lost", true, 1),
        (End, Act::HangUp, "lost", true, 0),
        (End, Act::TakeAndHangUp, "lost", true, 1),
        (
            End,
            say("250-2.0.0 taken\r\n250 2.0.0 really"),
            "accepted",
            true,
            1,
        ),
    ] {
        let label = format!("{stage:?} {act:?}");
        let sink = sink().await;
        sink.script(stage, act);
        let (found, was_marked) = send(&sink, &message(1), LETTER).await;
        assert_eq!(name(&found), outcome, "{label}: {found:?}");
        assert_eq!(was_marked, marked, "{label}");
        assert_eq!(sink.received().len(), taken, "{label}");
    }
}

#[tokio::test]
async fn nobody_there() {
    let sink = sink().await;
    let settings = settings(&sink);
    drop(sink);
    // The listener goes when its task is next run.
    let outcome = loop {
        let outcome = submit(&settings, &message(1), body(LETTER), || async {
            Err(NotMarked)
        })
        .await;
        let Outcome::Temporary(diagnostic) = &outcome else {
            panic!("{outcome:?}");
        };
        if diagnostic.text.starts_with("the MTA cannot be reached") {
            break outcome;
        }
    };
    assert_eq!(name(&outcome), "temporary");
}

#[tokio::test]
async fn a_connection_lost_in_the_middle_is_no_doubt() {
    let sink = sink().await;
    sink.script(Stage::Content, Act::HangUp);
    let large = b"Lorem ipsum dolor sit amet.\r\n".repeat(10_000);
    let (outcome, marked) = send_in_memory(&sink, &large).await;
    assert_eq!(name(&outcome), "temporary", "{outcome:?}");
    assert!(!marked);
}

#[tokio::test]
async fn without_the_mark_there_is_no_dot() {
    let sink = sink().await;
    let outcome = submit(&settings(&sink), &message(1), body(LETTER), || async {
        Err(NotMarked)
    })
    .await;
    assert_eq!(name(&outcome), "temporary");
    // The same sink takes the next attempt, and that one only.
    send(&sink, &message(1), LETTER).await;
    assert_eq!(sink.next().await.bytes, LETTER);
    assert_eq!(sink.received().len(), 1);
}

#[tokio::test]
async fn a_body_that_cannot_be_read_is_not_sent() {
    struct Broken;
    impl AsyncRead for Broken {
        fn poll_read(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            _: &mut tokio::io::ReadBuf<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            std::task::Poll::Ready(Err(std::io::Error::other("bad sector")))
        }
    }
    let sink = sink().await;
    let broken: Body = Box::new(Cursor::new(LETTER).chain(Broken));
    let outcome = submit(&settings(&sink), &message(1), broken, || async { Ok(()) }).await;
    let Outcome::Temporary(diagnostic) = outcome else {
        panic!("{outcome:?}");
    };
    assert!(diagnostic.text.contains("bad sector"), "{diagnostic}");
    assert_eq!(sink.received(), []);
}

#[tokio::test]
async fn one_recipient_of_three() {
    for (reply, attempts, outcome, to) in [
        ("550 5.1.1 no such user", 1, "accepted", "a c"),
        // Held back together at first, then left behind.
        (
            "450 4.2.0 greylisted",
            TOGETHER_ATTEMPTS_MAX,
            "temporary",
            "",
        ),
        (
            "450 4.2.0 greylisted",
            TOGETHER_ATTEMPTS_MAX + 1,
            "accepted",
            "a c",
        ),
    ] {
        let sink = sink().await;
        sink.script(Stage::Rcpt, Act::Go);
        sink.script(Stage::Rcpt, say(reply));
        let mut message = message(1);
        message.attempts = attempts;
        let (found, _) = send(&sink, &message, LETTER).await;
        assert_eq!(name(&found), outcome, "{reply}");
        let got: Vec<_> = sink
            .received()
            .into_iter()
            .flat_map(|mail| mail.to)
            .collect();
        let got = got.join(" ").replace("@x.example", "");
        assert_eq!(got, to, "{reply}");
        if let Outcome::Accepted { refused, .. } = found {
            let [refusal] = refused.as_slice() else {
                panic!("{refused:?}");
            };
            assert_eq!(refusal.address, "b@x.example");
            assert_eq!(refusal.diagnostic.to_string(), reply);
        }
    }
}

#[tokio::test]
async fn no_recipient_of_three() {
    for (replies, outcome) in [
        (["550 5.1.1 a", "550 5.1.1 b", "550 5.1.1 c"], "permanent"),
        (["450 4.2.0 a", "450 4.2.0 b", "450 4.2.0 c"], "temporary"),
        (["550 5.1.1 a", "450 4.2.0 b", "550 5.1.1 c"], "temporary"),
    ] {
        let sink = sink().await;
        for reply in replies {
            sink.script(Stage::Rcpt, say(reply));
        }
        let mut message = message(1);
        message.attempts = TOGETHER_ATTEMPTS_MAX + 1;
        let (found, marked) = send(&sink, &message, LETTER).await;
        assert_eq!(name(&found), outcome, "{replies:?}");
        assert!(!marked);
        if let Outcome::Permanent { refused, .. } = found {
            let said: Vec<_> = refused
                .iter()
                .map(|one| one.diagnostic.to_string())
                .collect();
            assert_eq!(said, replies);
        }
        assert!(!sink.commands().contains(&"DATA".to_owned()));
    }
}

#[tokio::test]
async fn what_cannot_be_an_address_never_reaches_the_mta() {
    let evil = [
        "a@x.example>\r\nRCPT TO:<evil@x.example",
        "a\n@x.example",
        "a\0@x.example",
        "a b@x.example",
        "a\u{85}@x.example",
        "<a@x.example>",
        "a@x.example> NOTIFY=NEVER",
        "a",
        "@x.example",
        "a@",
        "",
        &format!("{}@x.example", "a".repeat(ADDRESS_BYTES_MAX)),
    ];
    for address in evil {
        let sink = sink().await;
        let mut message = message(1);
        message.recipients[0].address = address.to_owned();
        let (outcome, _) = send(&sink, &message, LETTER).await;
        let Outcome::Accepted { refused, .. } = outcome else {
            panic!("{address:?}: {outcome:?}");
        };
        assert_eq!(refused.len(), 1, "{address:?}");
        assert_eq!(refused[0].diagnostic.enhanced, Some([5, 1, 3]));
        assert_eq!(sink.next().await.to, ["b@x.example", "c@x.example"]);
        assert_eq!(sink.commands().len(), 6, "{:?}", sink.commands());

        if !address.is_empty() {
            message.mail_from = address.to_owned();
            let (outcome, _) = send(&sink, &message, LETTER).await;
            assert_eq!(name(&outcome), "permanent", "{address:?}");
            assert_eq!(sink.commands().len(), 7, "{:?}", sink.commands());
        }
    }
}

#[tokio::test]
async fn letters_beyond_ascii_need_smtputf8() {
    let mut message = message(1);
    message.recipients[1].address = "jürgen@x.example".to_owned();

    let able = sink().await;
    let (outcome, _) = send(&able, &message, LETTER).await;
    assert_eq!(name(&outcome), "accepted");
    assert_eq!(able.next().await.to[1], "jürgen@x.example");
    assert!(able.commands()[1].contains(" SMTPUTF8"));
    assert_eq!(
        able.commands()[3],
        "RCPT TO:<jürgen@x.example> NOTIFY=FAILURE,DELAY"
    );

    let unable = sink().await;
    unable.script(Stage::Ehlo, say("250 sink"));
    let (outcome, _) = send(&unable, &message, LETTER).await;
    let Outcome::Accepted { refused, .. } = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(refused[0].diagnostic.enhanced, Some([5, 6, 7]));
    // With nothing offered, nothing is asked for.
    assert_eq!(unable.commands()[1], "MAIL FROM:<b+token@shop.example>");
    assert_eq!(unable.commands()[2], "RCPT TO:<a@x.example>");
}

#[tokio::test]
async fn too_large_is_said_before_anything_is_sent() {
    for (size, outcome, commands) in [
        ("250 SIZE 999", "permanent", 1),
        ("250 SIZE 1000", "accepted", 7),
        ("250 SIZE 0", "accepted", 7),
        ("250 SIZE", "accepted", 7),
    ] {
        let sink = sink().await;
        sink.script(Stage::Ehlo, say(&format!("250-sink\r\n{size}")));
        let (found, _) = send(&sink, &message(1), LETTER).await;
        assert_eq!(name(&found), outcome, "{size}");
        assert_eq!(
            sink.commands().len(),
            commands,
            "{size}: {:?}",
            sink.commands()
        );
    }
}

#[tokio::test]
async fn a_password_is_sent_where_it_may_be() {
    let sink = sink().await;
    let mut settings = settings(&sink);
    settings.login = Some(Login {
        username: "postroom".to_owned(),
        password: "open sesame".to_owned(),
    });
    assert!(!format!("{settings:?}").contains("sesame"));

    sink.script(Stage::Ehlo, say("250-sink\r\n250 AUTH PLAIN"));
    let outcome = submit(&settings, &message(1), body(LETTER), || async { Ok(()) }).await;
    assert_eq!(name(&outcome), "accepted");
    assert_eq!(
        sink.commands()[1],
        "AUTH PLAIN AHBvc3Ryb29tAG9wZW4gc2VzYW1l"
    );

    sink.script(Stage::Ehlo, say("250-sink\r\n250 AUTH PLAIN"));
    sink.script(Stage::Auth, say("535 5.7.8 wrong"));
    let outcome = submit(&settings, &message(1), body(LETTER), || async { Ok(()) }).await;
    assert_eq!(
        outcome,
        Outcome::Temporary(Diagnostic::new(535, Some([5, 7, 8]), "wrong"))
    );

    // Not offered: nothing is sent without it.
    let outcome = submit(&settings, &message(1), body(LETTER), || async { Ok(()) }).await;
    assert_eq!(name(&outcome), "temporary");
    assert_eq!(sink.received().len(), 1);
}

#[tokio::test]
async fn an_ehlo_name_is_no_place_for_commands() {
    let sink = sink().await;
    for name in ["", "a b", "a\r\nQUIT", "ü"] {
        let settings = Settings {
            ehlo_name: name.to_owned(),
            ..settings(&sink)
        };
        let outcome = submit(&settings, &message(1), body(LETTER), || async { Ok(()) }).await;
        assert!(matches!(outcome, Outcome::Temporary(_)), "{name:?}");
    }
    assert_eq!(sink.commands(), Vec::<String>::new());
}

/// A certificate for `mta.example` that signs itself, and the file that makes it trusted.
fn certificate() -> (tokio_rustls::TlsAcceptor, tempfile::NamedTempFile) {
    let names = vec!["mta.example".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), made.cert.pem()).unwrap();
    (Arc::new(config).into(), file)
}

#[tokio::test]
async fn tls_reaches_the_server_that_was_meant_and_no_other() {
    let (acceptor, file) = certificate();
    let (_, other_file) = certificate();
    for (starttls, server_name, file, outcome) in [
        (false, "mta.example", &file, "accepted"),
        (true, "mta.example", &file, "accepted"),
        (false, "other.example", &file, "temporary"),
        (true, "other.example", &file, "temporary"),
        (false, "mta.example", &other_file, "temporary"),
        (true, "mta.example", &other_file, "temporary"),
    ] {
        let label = format!("STARTTLS {starttls}, {server_name}");
        let sink = sink().await;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tls = Tls::with_ca_file(server_name, file.path()).unwrap();
        let settings = Settings {
            port: listener.local_addr().unwrap().port(),
            security: if starttls {
                Security::StartTls(tls)
            } else {
                Security::Implicit(tls)
            },
            ..Settings::default()
        };
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            if starttls {
                let mut heard = [0; 16];
                stream.write_all(b"220 mta.example\r\n").await.unwrap();
                stream.read_exact(&mut heard).await.unwrap();
                assert_eq!(&heard, b"EHLO localhost\r\n");
                stream
                    .write_all(b"250-mta.example\r\n250 STARTTLS\r\n")
                    .await
                    .unwrap();
                stream.read_exact(&mut heard[..10]).await.unwrap();
                assert_eq!(&heard[..10], b"STARTTLS\r\n");
                stream.write_all(b"220 2.0.0 Ready\r\n").await.unwrap();
                // There is no second greeting.
                sink.script(Stage::Greeting, Act::Say(String::new()));
            }
            if let Ok(stream) = acceptor.accept(stream).await {
                sink.serve(stream).await;
            }
        };
        let outbound = message(1);
        let submission = submit(&settings, &outbound, body(LETTER), || async { Ok(()) });
        let (found, ()) = tokio::join!(submission, server);
        assert_eq!(name(&found), outcome, "{label}: {found:?}");
        let taken = usize::from(outcome == "accepted");
        assert_eq!(sink.received().len(), taken, "{label}");
    }
}

#[tokio::test]
async fn without_starttls_nothing_is_sent_in_the_clear() {
    let (_, file) = certificate();
    let tls = Tls::with_ca_file("mta.example", file.path()).unwrap();
    for reply in ["250 sink", "250-sink\r\n250 STARTTLS"] {
        // The sink does not know STARTTLS, so offering it ends in a refusal.
        let sink = sink().await;
        sink.script(Stage::Ehlo, say(reply));
        let settings = Settings {
            security: Security::StartTls(tls.clone()),
            ..settings(&sink)
        };
        let outcome = submit(&settings, &message(1), body(LETTER), || async { Ok(()) }).await;
        assert_eq!(name(&outcome), "temporary", "{reply}");
        let sent = sink.commands();
        assert!(
            !sent.iter().any(|line| line.starts_with("MAIL")),
            "{sent:?}"
        );
    }
}

#[test]
fn a_file_without_certificates_is_no_trust() {
    let empty = tempfile::NamedTempFile::new().unwrap();
    for path in [empty.path(), std::path::Path::new("/nonexistent/ca.pem")] {
        let error = Tls::with_ca_file("mta.example", path).unwrap_err();
        assert!(error.to_string().contains(&path.display().to_string()));
    }
}

#[tokio::test(start_paused = true)]
async fn each_stage_has_its_own_patience() {
    let timeouts = Timeouts::default();
    for (stage, patience, outcome) in [
        (Stage::Greeting, timeouts.greeting, "temporary"),
        (Stage::Ehlo, timeouts.command, "temporary"),
        (Stage::Mail, timeouts.command, "temporary"),
        (Stage::Rcpt, timeouts.command, "temporary"),
        (Stage::Data, timeouts.data, "temporary"),
        (Stage::Content, timeouts.data, "temporary"),
        (Stage::End, timeouts.end, "lost"),
    ] {
        let sink = sink().await;
        sink.script(
            stage,
            Act::Wait {
                reached: Arc::new(Notify::new()),
                go: Arc::new(Notify::new()),
            },
        );
        let large = b"Lorem ipsum dolor sit amet.\r\n".repeat(10_000);
        let begin = Instant::now();
        let (found, marked) = send_in_memory(&sink, &large).await;
        assert_eq!(name(&found), outcome, "{stage:?}");
        assert_eq!(marked, outcome == "lost", "{stage:?}");
        // QUIT may be waited for as well; timers tick in milliseconds.
        let taken = begin.elapsed();
        let few = Duration::from_millis(20);
        assert!(
            taken >= patience && taken < patience + timeouts.quit + few,
            "{stage:?} {taken:?}"
        );
    }
}

#[test]
fn queue_ids() {
    for (text, id) in [
        ("Ok: queued as 4ZbC3x1Xyz2k", Some("4ZbC3x1Xyz2k")),
        ("Ok: queued as 3F2A91C0\nmore", Some("3F2A91C0")),
        ("Ok: queued as ", None),
        ("Ok: queued as <script>", None),
        ("Ok", None),
    ] {
        assert_eq!(queue_id(text).as_deref(), id, "{text:?}");
    }
    let long = format!("queued as {}", "A".repeat(1000));
    assert_eq!(queue_id(&long).unwrap().len(), QUEUE_ID_BYTES_MAX);
}

#[test]
fn an_original_recipient_is_written_as_xtext() {
    let offered = EhloResponse {
        capabilities: EXT_DSN,
        ..EhloResponse::default()
    };
    assert_eq!(
        rcpt_command("a+b=c@x.example", true, &offered),
        "RCPT TO:<a+b=c@x.example> NOTIFY=FAILURE,DELAY ORCPT=rfc822;a+2Bb+3Dc@x.example\r\n"
    );
}

/// Lines that are awkward for transparency, long ones among them.
fn lines() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        Just(Vec::new()),
        Just(b".".to_vec()),
        Just(b"..".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..20),
        (1000usize..9000).prop_map(|len| vec![b'.'; len]),
    ];
    proptest::collection::vec(line, 0..20).prop_map(|lines| {
        let mut message = Vec::new();
        for line in lines {
            message.extend(line.into_iter().filter(|byte| !b"\r\n".contains(byte)));
            message.extend_from_slice(b"\r\n");
        }
        message
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_the_lines_they_come_back(message in lines(), cut in any::<proptest::sample::Index>()) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let sink = sink().await;
            let (left, right) = message.split_at(cut.index(message.len() + 1));
            let left = Cursor::new(left.to_vec());
            let pieces: Body = Box::new(left.chain(Cursor::new(right.to_vec())));
            let outbound = crate::outbound::spool::tests::message(1);
            let outcome = submit(&settings(&sink), &outbound, pieces, || async { Ok(()) }).await;
            prop_assert_eq!(name(&outcome), "accepted");
            prop_assert_eq!(sink.next().await.bytes, message);
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn a_dot_on_the_border_of_two_reads() {
    for before in PIECE_BYTES - 3..PIECE_BYTES + 2 {
        let mut letter = vec![b'a'; before - 2];
        letter.extend_from_slice(b"\r\n.\r\n.b\r\n");
        let sink = sink().await;
        send(&sink, &message(1), &letter).await;
        assert_eq!(sink.next().await.bytes, letter, "{before}");
    }
}
