//! The milter server over real sockets, against scripted MTAs.
//!
//! `tests/milter/*.testcase` are conversations. `> L name\0 value\0` is a frame that the MTA
//! sends, `> RAW bytes` is not framed; `< c` is a frame that must come back, `< EOF` the end of the
//! connection; `= address bytes` is what the receiver must have been shown. `O` takes version,
//! actions and steps as hexadecimal numbers. Each runs step by step, in one write, and byte by
//! byte, on a UNIX socket and on TCP.

#![expect(clippy::unwrap_used, reason = "a test's helpers are part of the test")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use postroom::content::Content;
use postroom::milter::client::{Caller, Client, ClientError, Duplex, Letter, Mail, Said};
use postroom::milter::negotiation::{Offer, Steps};
use postroom::milter::server::{BindError, Drained};
use postroom::milter::wire::{Arguments, Command, FRAME_BYTES_MAX, Frame, Plain, Reply};
use postroom::milter::{
    Address, Arrival, Envelope, FieldName, Listener, Options, Receiver, Recipient,
    RecipientVerdict, SmtpReply, Tag, Verdict, plan_tags, serve,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const TAG: FieldName = FieldName::new("X-Tag");

/// The largest message that the test servers take.
const MESSAGE_BYTES_MAX: u64 = 2_000_000;

/// A receiver that tells the test what it was shown, and answers as the subject wants.
struct House {
    shown: mpsc::UnboundedSender<(String, Vec<u8>)>,
    /// Verdicts that may be given; a test that wants to wait in between starts with none.
    verdicts: Semaphore,
}

impl Receiver for House {
    fn sender(&self, envelope: &Envelope) -> Result<(), SmtpReply> {
        if envelope.sender.starts_with(b"banned@") {
            return Err(SmtpReply::new(550, 7, 1, "Not from you"));
        }
        Ok(())
    }

    fn recipient(&self, _: &Envelope, recipient: &Recipient) -> RecipientVerdict {
        match &recipient.address[..] {
            b"nobody@shop.example" => {
                RecipientVerdict::Refuse(SmtpReply::new(550, 1, 1, "100% unknown here"))
            }
            address if address.ends_with(b"@shop.example") => RecipientVerdict::Ours,
            _ => RecipientVerdict::Foreign,
        }
    }

    async fn message(&self, arrival: Arrival) -> Verdict {
        let addresses: Vec<_> = arrival
            .recipients
            .iter()
            .map(|recipient| String::from_utf8_lossy(&recipient.address).into_owned())
            .collect();
        let bytes = match &arrival.content {
            Content::Memory(bytes) => bytes.to_vec(),
            Content::File(file) => std::fs::read(file.path()).unwrap(),
        };
        assert_eq!(bytes.len() as u64, arrival.content.len());
        self.shown.send((addresses.join(","), bytes)).unwrap();
        self.verdicts.acquire().await.unwrap().forget();
        let subject = arrival
            .headers
            .iter()
            .find(|header| header.name == "Subject");
        match subject.map(|header| &header.value[..]) {
            Some(b" reject") => Verdict::Refuse(SmtpReply::new(554, 6, 0, "No")),
            Some(b" discard") => Verdict::Discard,
            _ => Verdict::Accept {
                edits: plan_tags(&arrival.headers, &[TAG], &[Tag::new(TAG, "t1").unwrap()]),
            },
        }
    }
}

/// A running server and what the test holds of it.
struct Server {
    address: Address,
    house: Arc<House>,
    shown: mpsc::UnboundedReceiver<(String, Vec<u8>)>,
    stop: CancellationToken,
    running: JoinHandle<Drained>,
    folder: tempfile::TempDir,
}

impl Server {
    async fn start(tcp: bool, change: impl FnOnce(&mut Options)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = if tcp {
            "inet:127.0.0.1:0".parse().unwrap()
        } else {
            Address::Unix(folder.path().join("socket"))
        };
        let listener = Listener::bind(&address).await.unwrap();
        let address = listener.address().clone();
        let spool = folder.path().join("spool");
        std::fs::create_dir(&spool).unwrap();
        let mut options = Options::new(spool);
        options.message_bytes_max = MESSAGE_BYTES_MAX;
        change(&mut options);
        let (shown_to, shown) = mpsc::unbounded_channel();
        let house = Arc::new(House {
            shown: shown_to,
            verdicts: Semaphore::new(100_000),
        });
        let stop = CancellationToken::new();
        let running = tokio::spawn(serve(
            vec![listener],
            Arc::clone(&house),
            options,
            stop.clone(),
        ));
        Self {
            address,
            house,
            shown,
            stop,
            running,
            folder,
        }
    }

    /// From now on each verdict waits for the test's word.
    fn hold(&self) {
        self.house.verdicts.forget_permits(100_000);
    }

    fn release(&self) {
        self.house.verdicts.add_permits(1);
    }

    fn spooled(&self) -> usize {
        std::fs::read_dir(self.folder.path().join("spool"))
            .unwrap()
            .count()
    }

    async fn raw(&self) -> Raw {
        let stream: Box<dyn Duplex> = match &self.address {
            Address::Unix(path) => Box::new(UnixStream::connect(path).await.unwrap()),
            Address::Inet { host, port } => {
                let stream = TcpStream::connect((host.as_str(), *port)).await.unwrap();
                stream.set_nodelay(true).unwrap();
                Box::new(stream)
            }
        };
        Raw {
            stream,
            arrived: BytesMut::new(),
        }
    }

    async fn client(&self) -> Client<Box<dyn Duplex>> {
        Client::connect(&self.address, Offer::POSTFIX)
            .await
            .unwrap()
    }

    /// The server still does its work.
    async fn assert_alive(&mut self) {
        let mut client = self.client().await;
        client.open(Caller::default()).await.unwrap();
        let outcome = client.send(&mail("<support@shop.example>", "alive")).await;
        assert_eq!(outcome.unwrap().verdict, Said::Accept);
        assert!(self.shown.recv().await.is_some());
        assert!(
            self.shown.try_recv().is_err(),
            "an unfinished message was shown"
        );
    }
}

/// A connection on which anything can be said.
struct Raw {
    stream: Box<dyn Duplex>,
    arrived: BytesMut,
}

impl Raw {
    async fn write(&mut self, bytes: &[u8]) {
        // A server that has already closed is the business of the next read.
        let _ = self.stream.write_all(bytes).await;
    }

    async fn say(&mut self, commands: &[Command]) {
        let mut bytes = BytesMut::new();
        for command in commands {
            command.encode(&mut bytes);
        }
        self.write(&bytes).await;
    }

    /// The next frame as bytes without the length; `None` at the end.
    async fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = Frame::take(&mut self.arrived).unwrap() {
                return Some(frame);
            }
            // What a server had not read when it closed makes TCP reset the connection.
            match self.stream.read_buf(&mut self.arrived).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    async fn reply(&mut self) -> Option<Reply> {
        Some(Reply::decode(self.frame().await?).unwrap())
    }

    async fn expect(&mut self, plains: &[Plain]) {
        for &plain in plains {
            assert_eq!(self.reply().await, Some(Reply::Plain(plain)));
        }
    }

    /// Negotiates and gets a message for a queue as far as DATA.
    async fn until_data(&mut self) {
        self.say(&[
            Command::Negotiate(Offer::POSTFIX),
            Command::Mail(Arguments::new([&b"<a@example.org>"[..]])),
            Command::Rcpt(Arguments::new([&b"<support@shop.example>"[..]])),
            Command::Data,
        ])
        .await;
        assert!(matches!(self.reply().await, Some(Reply::Negotiate(_))));
        self.expect(&[Plain::Continue; 3]).await;
    }
}

fn mail(recipient: &str, subject: &str) -> Mail {
    let letter = format!("Subject: {subject}\r\nFrom: a@example.org\r\n\r\ntext\r\n");
    Mail {
        sender: Bytes::from_static(b"<a@example.org>"),
        parameters: Vec::new(),
        recipients: vec![Bytes::copy_from_slice(recipient.as_bytes())],
        queue_id: "4ZbC1x".into(),
        letter: Letter::parse(&Bytes::from(letter)),
    }
}

fn body(len: usize) -> Bytes {
    Bytes::from(vec![b'x'; len])
}

// Scripted conversations.

enum Step {
    Send(Vec<u8>),
    Expect(Frame),
    Eof,
    Shown(String, Vec<u8>),
}

/// Text with `\0`, `\r`, `\n`, `\t` and `\xNN` as bytes.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = match (first, tail) {
            (b'\\', [b'x', high, low, tail @ ..]) => {
                let digits = [*high, *low];
                let digits = std::str::from_utf8(&digits).unwrap();
                bytes.push(u8::from_str_radix(digits, 16).unwrap());
                tail
            }
            (b'\\', [letter, tail @ ..]) => {
                bytes.push(match letter {
                    b'0' => 0,
                    b'r' => b'\r',
                    b'n' => b'\n',
                    b't' => b'\t',
                    other => panic!("unknown escape {other}"),
                });
                tail
            }
            _ => {
                bytes.push(*first);
                tail
            }
        };
    }
    bytes
}

fn frame(text: &str) -> Frame {
    let (code, data) = text.split_at(1);
    let data = data.strip_prefix(' ').unwrap_or(data);
    let data = if code == "O" {
        let words = data
            .split(' ')
            .map(|word| u32::from_str_radix(word, 16).unwrap());
        words.flat_map(u32::to_be_bytes).collect()
    } else {
        unescape(data)
    };
    Frame {
        code: code.as_bytes()[0],
        data: Bytes::from(data),
    }
}

fn parse(script: &str) -> Vec<Step> {
    let lines = script.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| match line.split_at(2) {
            ("> ", raw) if raw.starts_with("RAW ") => Step::Send(unescape(&raw[4..])),
            ("> ", text) => {
                let frame = frame(text);
                let mut bytes = BytesMut::new();
                bytes.put_u32(u32::try_from(frame.data.len() + 1).unwrap());
                bytes.put_u8(frame.code);
                bytes.put_slice(&frame.data);
                Step::Send(bytes.to_vec())
            }
            ("< ", "EOF") => Step::Eof,
            ("< ", text) => Step::Expect(frame(text)),
            ("= ", text) => {
                let (address, content) = text.split_once(' ').unwrap();
                Step::Shown(address.into(), unescape(content))
            }
            _ => panic!("what is {line:?}?"),
        })
        .collect()
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Pace {
    StepByStep,
    AtOnce,
    ByteByByte,
}

async fn play(name: &str, steps: &[Step], tcp: bool, pace: Pace) {
    let mut server = Server::start(tcp, |_| {}).await;
    let mut raw = server.raw().await;
    let sent = steps.iter().filter_map(|step| match step {
        Step::Send(bytes) => Some(&bytes[..]),
        _ => None,
    });
    let all: Vec<u8> = sent.flatten().copied().collect();
    match pace {
        Pace::StepByStep => {}
        Pace::AtOnce => raw.write(&all).await,
        Pace::ByteByByte => {
            for byte in &all {
                raw.write(&[*byte]).await;
                tokio::task::yield_now().await;
            }
        }
    }
    for (place, step) in steps.iter().enumerate() {
        let place = format!("{name} {pace:?} tcp={tcp}, step {}", place + 1);
        match step {
            Step::Send(bytes) if pace == Pace::StepByStep => raw.write(bytes).await,
            Step::Send(_) => {}
            Step::Expect(expected) => {
                let frame = raw.frame().await.expect(&place);
                if expected.code == b'O' {
                    assert_eq!(frame.data[..12], expected.data[..], "{place}");
                    let lists = expected.data[6] & 1 == 1;
                    assert_eq!(frame.data.len() > 12, lists, "{place}");
                } else {
                    assert_eq!(frame, *expected, "{place}");
                }
            }
            Step::Eof => assert_eq!(raw.frame().await, None, "{place}"),
            Step::Shown(address, content) => {
                let shown = server.shown.recv().await.unwrap();
                assert_eq!(shown.0, *address, "{place}");
                assert_eq!(
                    shown.1.escape_ascii().to_string(),
                    content.escape_ascii().to_string(),
                    "{place}"
                );
            }
        }
    }
    // Nothing is said that was not expected: the MTA's end of the stream ends ours.
    let _ = raw.stream.shutdown().await;
    assert_eq!(
        raw.frame().await,
        None,
        "{name} {pace:?} tcp={tcp}: one reply too many"
    );
    server.assert_alive().await;
}

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

impl Raw {
    async fn until_data_again(&mut self) {
        self.say(&[
            Command::Mail(Arguments::new([&b"<a@example.org>"[..]])),
            Command::Rcpt(Arguments::new([&b"<support@shop.example>"[..]])),
            Command::Data,
        ])
        .await;
        self.expect(&[Plain::Continue; 3]).await;
    }
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
