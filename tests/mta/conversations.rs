//! Conversations, each of which runs twice: through a real Postfix, and with a scripted one.
//!
//! `C: ` is a line that the client says, or a line of a message after DATA; `\xNN` in it is a byte.
//! `S: ` is how the reply to all lines before must begin. `> queue SUBJECT` is a letter that is
//! filed in the end, and `= FROM -> TO, TO [queues]` a copy that Postfix delivers, with the queues
//! of its tag or `[]` if there is none. Both runs must store the same bytes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};
use postroom::milter::client::{Duplex, Letter};
use postroom::milter::negotiation::{Offer, Steps};
use postroom::milter::wire::{Arguments, Command, DATA_BYTES_MAX, Family, Frame, Plain, Reply};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::site::Site;
use crate::support::delivered::fields;
use crate::support::floor::{self, Filed};
use crate::support::gateway::{Gateway, Settings};
use crate::support::postfix;
use crate::support::smtp::Smtp;

/// Queues of every mode, and one that is closed.
const QUEUES: &str = r#"
[[queue]]
id = "quiet"
addresses = ["quiet@shop.example"]
mode = "consume"
[[queue]]
id = "apart"
addresses = ["apart@shop.example"]
mode = "split"
[[queue]]
id = "post"
addresses = ["postmaster@mx.shop.example"]
[[queue]]
id = "books"
addresses = ["books@xn--bcher-kva.shop.example"]
[[queue]]
id = "closed"
addresses = ["closed@shop.example"]
enabled = false
"#;

/// One conversation.
#[derive(Debug, Default)]
struct Case {
    name: String,
    steps: Vec<Step>,
    filed: Vec<String>,
    copies: Vec<String>,
}

#[derive(Debug)]
enum Step {
    Client(Vec<u8>),
    Server(String),
}

/// Text with `\xNN` as bytes.
fn unescape(text: &str) -> Vec<u8> {
    let mut parts = text.split("\\x");
    let mut bytes = parts.next().unwrap().as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    bytes
}

fn parse(path: &Path) -> Case {
    let mut case = Case {
        name: path.file_name().unwrap().to_string_lossy().into_owned(),
        ..Case::default()
    };
    for line in std::fs::read_to_string(path).unwrap().lines() {
        let (mark, rest) = line.split_at_checked(2).unwrap_or((line, ""));
        let rest = rest.strip_prefix(' ').unwrap_or(rest);
        match mark {
            "C:" => case.steps.push(Step::Client(unescape(rest))),
            "S:" => case.steps.push(Step::Server(rest.to_owned())),
            "> " => case.filed.push(rest.to_owned()),
            "= " => case.copies.push(rest.to_owned()),
            "# " => {}
            _ => panic!("{}: what is {line:?}?", case.name),
        }
    }
    case.filed.sort();
    case.copies.sort();
    case
}

fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mta");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "testcase"))
        .collect();
    paths.sort();
    paths.iter().map(|path| parse(path)).collect()
}

/// What is filed in one gateway, and was not before.
struct Ledger<'a> {
    socket: &'a Path,
    known: BTreeSet<Filed>,
}

impl<'a> Ledger<'a> {
    fn new(socket: &'a Path) -> Self {
        Self {
            socket,
            known: BTreeSet::new(),
        }
    }

    /// New letters, as a case names them, each with its bytes.
    async fn news(&mut self) -> Vec<(String, String)> {
        let mut news = Vec::new();
        for filed in floor::letters(self.socket).await {
            if self.known.insert(filed.clone()) {
                let bytes = floor::stored(self.socket, &filed).await;
                let named = format!("{} {}", filed.queue, filed.subject);
                news.push((named, bytes.escape_ascii().to_string()));
            }
        }
        news.sort();
        news
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_ways() {
    if !postfix::is_here() {
        return;
    }
    let site = Site::open(|plan| {
        plan.settings.more = QUEUES;
        plan.settings.message_bytes_max = 30_000;
        plan.postfix.main_cf.push_str(
            "message_size_limit = 40000\nhopcount_limit = 100\n\
             local_header_rewrite_clients =\n",
        );
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let mut settings = Settings::new(folder.path());
    settings.more = QUEUES;
    settings.message_bytes_max = 30_000;
    let alone = Gateway::start(&settings).await;
    let (here, there) = (site.settings.socket(), settings.socket());
    let (mut real, mut scripted) = (Ledger::new(&here), Ledger::new(&there));
    let cases = cases();
    assert!(!cases.is_empty());
    for case in &cases {
        let name = &case.name;
        through_postfix(&site, case).await;
        let mut copies = Vec::new();
        for _ in &case.copies {
            let mail = site.next().await;
            let tag = fields(&mail.bytes, "X-Postroom-Queue").join("; ");
            copies.push(copy(&mail.from, &mail.to, &tag));
        }
        copies.sort();
        assert_eq!(copies, case.copies, "{name} through Postfix");
        let filed = real.news().await;

        let mut mta = Mta::connect(&settings).await;
        mta.play(case).await;
        mta.copies.sort();
        assert_eq!(mta.copies, case.copies, "{name} with a script");
        assert_eq!(scripted.news().await, filed, "{name}: the two differ");
        let filed: Vec<String> = filed.into_iter().map(|(named, _)| named).collect();
        assert_eq!(filed, case.filed, "{name}");
    }
    let copies: usize = cases.iter().map(|case| case.copies.len()).sum();
    assert_eq!(site.sink.received().len(), copies, "more came out");
    assert!(alone.stop().success());
}

fn copy(from: &str, to: &[String], queues: &str) -> String {
    let mut to = to.to_vec();
    to.sort();
    // Postfix delivers once to whoever is named twice.
    to.dedup();
    format!("<{from}> -> {} [{queues}]", to.join(", "))
}

async fn through_postfix(site: &Site, case: &Case) {
    let mut client = Smtp::connect_with(site.postfix.smtp.number(), b"").await;
    let reply = client
        .say("XCLIENT ADDR=192.0.2.7 NAME=client.example")
        .await;
    assert_eq!(reply.code, 220);
    for step in &case.steps {
        match step {
            Step::Client(line) => client.put(&[line, &b"\r\n"[..]].concat()).await,
            Step::Server(wanted) => {
                let reply = client.reply().await;
                let reply = format!("{} {}", reply.code, reply.text);
                let place = format!("{}: {wanted:?}", case.name);
                assert!(
                    reply.starts_with(wanted),
                    "{place} is {reply}\n{}",
                    site.postfix.log()
                );
            }
        }
    }
}

/// An address without its brackets, and without the relays that RFC 5321 (appendix C) lets a client
/// name in front of it.
fn unrouted(argument: &str) -> &str {
    let bare = argument.trim_matches(['<', '>']);
    match bare.split_once(':') {
        Some((route, address)) if route.starts_with('@') => address,
        _ => bare,
    }
}

/// An MTA that shows a filter what Postfix would show it.
struct Mta {
    stream: Box<dyn Duplex>,
    arrived: BytesMut,
    /// What follows: a command, or a line of a message.
    in_data: bool,
    sender: Option<String>,
    /// Recipients that were not refused, as they were typed.
    recipients: Vec<String>,
    released: bool,
    message: Vec<u8>,
    queue_ids: usize,
    replies: Vec<String>,
    copies: Vec<String>,
}

impl Mta {
    async fn connect(settings: &Settings) -> Self {
        let address = settings.milter().to_string();
        let address = address.trim_start_matches("inet:");
        let stream = TcpStream::connect(address).await.unwrap();
        let mut mta = Self {
            stream: Box::new(stream),
            arrived: BytesMut::new(),
            in_data: false,
            sender: None,
            recipients: Vec::new(),
            released: false,
            message: Vec::new(),
            queue_ids: 0,
            replies: Vec::new(),
            copies: Vec::new(),
        };
        mta.tell(&Command::Negotiate(Offer::POSTFIX)).await;
        let Reply::Negotiate(answer) = mta.reply().await else {
            panic!("no answer to the offer");
        };
        // Replies are due to MAIL, RCPT, DATA and the end.
        assert_eq!(answer.steps, Steps::WANTED);
        mta.macros(b'C', "j\0mx.shop.example\0v\0Postfix 3.7.11\0")
            .await;
        mta.tell(&Command::Connect {
            host: Bytes::from_static(b"client.example"),
            family: Family::of([192, 0, 2, 7].into(), 1025),
        })
        .await;
        mta
    }

    async fn play(&mut self, case: &Case) {
        for step in &case.steps {
            match step {
                Step::Client(line) if self.in_data => self.line(line).await,
                Step::Client(line) => {
                    self.command(&String::from_utf8(line.clone()).unwrap())
                        .await
                }
                Step::Server(wanted) => {
                    let reply = self.replies.remove(0);
                    let place = format!("{}: {wanted:?}", case.name);
                    assert!(reply.starts_with(wanted), "{place} is {reply}");
                }
            }
        }
        assert!(self.replies.is_empty(), "{}: {:?}", case.name, self.replies);
        // Postfix says so once more when a client goes.
        self.tell(&Command::Abort).await;
        self.tell(&Command::Quit).await;
        assert_eq!(self.stream.read_buf(&mut self.arrived).await.unwrap(), 0);
    }

    async fn command(&mut self, line: &str) {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let reply = match verb {
            "EHLO" | "HELO" => {
                self.tell(&Command::Helo(Bytes::copy_from_slice(rest.as_bytes())))
                    .await;
                if self.sender.is_some() {
                    self.forget().await;
                    self.tell(&Command::Abort).await;
                }
                "250 mx.shop.example".to_owned()
            }
            "MAIL" if self.sender.is_some() => "503 5.5.1 Error: nested MAIL command".to_owned(),
            "MAIL" => {
                let arguments = rest.strip_prefix("FROM:").unwrap();
                // A quoted address may have spaces in it.
                let end = arguments.rfind('>').unwrap() + 1;
                let (sender, parameters) = arguments.split_at(end);
                let texts = std::iter::once(sender).chain(parameters.split_whitespace());
                self.tell(&Command::Mail(Arguments::new(texts.map(str::as_bytes))))
                    .await;
                let reply = self.answer("250 2.1.0 Ok").await;
                if reply.starts_with('2') {
                    self.sender = Some(unrouted(sender).to_owned());
                }
                reply
            }
            "RCPT" if self.sender.is_none() => "503 5.5.1 Error: need MAIL command".to_owned(),
            "RCPT" => {
                let typed = rest.strip_prefix("TO:").unwrap();
                let bare = unrouted(typed);
                let (local, domain) = bare.rsplit_once('@').unwrap_or((bare, "mx.shop.example"));
                let id = match self.recipients.len() {
                    0 => String::new(),
                    _ => format!("i\0{}\0", self.queue_ids),
                };
                let understood = format!("{local}@{}", domain.to_lowercase());
                self.macros(b'R', &format!("{id}{{rcpt_addr}}\0{understood}\0"))
                    .await;
                self.tell(&Command::Rcpt(Arguments::new([typed.as_bytes()])))
                    .await;
                let reply = self.answer("250 2.1.5 Ok").await;
                if reply.starts_with('2') {
                    self.recipients.push(format!("{local}@{domain}"));
                }
                reply
            }
            "DATA" if self.recipients.is_empty() => {
                "554 5.5.1 Error: no valid recipients".to_owned()
            }
            "DATA" => {
                self.queue_ids += 1;
                self.macros(b'T', &format!("i\0{}\0", self.queue_ids)).await;
                self.tell(&Command::Data).await;
                self.released = self.reply().await == Reply::Plain(Plain::Accept);
                self.in_data = true;
                "354 End data with <CR><LF>.<CR><LF>".to_owned()
            }
            "RSET" => {
                self.forget().await;
                "250 2.0.0 Ok".to_owned()
            }
            "NOOP" => "250 2.0.0 Ok".to_owned(),
            "QUIT" => "221 2.0.0 Bye".to_owned(),
            // We said that we do not want to hear of unknown commands.
            _ => "500 5.5.2 Error: command not recognized".to_owned(),
        };
        self.replies.push(reply);
    }

    async fn forget(&mut self) {
        self.tell(&Command::Abort).await;
        self.sender = None;
        self.recipients.clear();
        self.message.clear();
        self.released = false;
    }

    async fn line(&mut self, line: &[u8]) {
        if line != b"." {
            let line = line.strip_prefix(b".").unwrap_or(line);
            self.message.extend_from_slice(line);
            self.message.extend_from_slice(b"\r\n");
            return;
        }
        self.in_data = false;
        let (reply, queues) = if self.released {
            (Some("250 2.0.0 Ok: queued".to_owned()), Some(String::new()))
        } else {
            self.content().await
        };
        let from = self.sender.take().unwrap();
        if let Some(queues) = queues {
            self.copies.push(copy(&from, &self.recipients, &queues));
        }
        self.replies.extend(reply);
        self.forget().await;
    }

    /// Shows a message; what the client is told, and the queues in the tag of what is delivered.
    async fn content(&mut self) -> (Option<String>, Option<String>) {
        let letter = Letter::parse(&Bytes::from(std::mem::take(&mut self.message)));
        for header in &letter.headers {
            let value: Vec<u8> = header
                .value
                .iter()
                .copied()
                .filter(|&byte| byte != b'\r')
                .collect();
            let (name, value) = (header.name.clone(), value.into());
            self.tell(&Command::Header { name, value }).await;
        }
        self.tell(&Command::EndOfHeaders).await;
        for piece in letter.body.chunks(DATA_BYTES_MAX) {
            self.tell(&Command::Body(Bytes::copy_from_slice(piece)))
                .await;
        }
        self.macros(b'E', &format!("i\0{}\0", self.queue_ids)).await;
        self.tell(&Command::EndOfMessage(Bytes::new())).await;
        let mut queues = String::new();
        loop {
            let taken = Some("250 2.0.0 Ok: queued".to_owned());
            match self.reply().await {
                Reply::InsertHeader { name, value, .. } => {
                    if name == "X-Postroom-Queue" {
                        queues = String::from_utf8_lossy(&value).trim().to_owned();
                    }
                }
                Reply::DelRcpt(argument) => {
                    let argument = String::from_utf8_lossy(&argument);
                    let bare = unrouted(&argument);
                    self.recipients.retain(|recipient| recipient != bare);
                }
                Reply::Plain(Plain::Accept) => return (taken, Some(queues)),
                Reply::Plain(Plain::Discard) => return (taken, None),
                Reply::ReplyCode(text) => {
                    return (Some(String::from_utf8_lossy(&text).into_owned()), None);
                }
                Reply::ChangeHeader { .. } | Reply::Plain(Plain::Progress) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// The reply to a command of the envelope: `yes` unless the filter minds.
    async fn answer(&mut self, yes: &str) -> String {
        match self.reply().await {
            Reply::Plain(Plain::Continue) => yes.to_owned(),
            Reply::ReplyCode(text) => String::from_utf8_lossy(&text).replace("%%", "%"),
            other => panic!("{other:?}"),
        }
    }

    async fn macros(&mut self, command: u8, pairs: &str) {
        let pairs = Bytes::copy_from_slice(pairs.as_bytes());
        self.tell(&Command::Macros { command, pairs }).await;
    }

    async fn tell(&mut self, command: &Command) {
        let mut bytes = BytesMut::new();
        command.encode(&mut bytes);
        self.stream.write_all(&bytes).await.unwrap();
    }

    async fn reply(&mut self) -> Reply {
        loop {
            if let Some(frame) = Frame::take(&mut self.arrived).unwrap() {
                return Reply::decode(frame).unwrap();
            }
            let size = self.stream.read_buf(&mut self.arrived).await.unwrap();
            assert_ne!(size, 0, "the filter is gone");
        }
    }
}
