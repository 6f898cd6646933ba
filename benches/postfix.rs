//! Postroom behind a real Postfix, beside two filters on libmilter: one that accepts everything,
//! and one that adds two header fields and syncs a file for each message (`benches/filter.c`).
//!
//! Only ratios of one run say something; all figures are medians of rounds in which every filter
//! has its turn, so that what else the machine does falls on all of them. Postfix hands what it
//! took to its discard service. Without root, Postfix, a C compiler or libmilter this says so and
//! ends.

#![expect(
    clippy::unwrap_used,
    reason = "a measurement that cannot go on is to end"
)]
#![expect(clippy::print_stdout, reason = "the figures are what it is for")]
#![expect(clippy::print_stderr, reason = "where it fails it shows the logs")]

#[path = "../tests/support/gateway.rs"]
#[expect(dead_code, reason = "tests use the rest")]
mod gateway;
#[path = "../tests/support/port.rs"]
mod port;
#[path = "../tests/support/postfix.rs"]
#[expect(dead_code, reason = "tests use the rest")]
mod postfix;
#[path = "../tests/support/smtp.rs"]
#[expect(dead_code, reason = "tests use the rest")]
mod smtp;

use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use gateway::{Gateway, Settings};
use postfix::Postfix;
use smtp::Smtp;

/// How often every filter has its turn.
const ROUNDS: usize = 5;

/// SMTP sessions at once; each sends its letters one after the other.
const SESSIONS: usize = 10;

/// Letters of one session in one round.
const LETTERS: usize = 40;

/// Body of a letter in bytes.
const BODY_BYTES: usize = 8 << 10;

/// The same without Postfix, where turns differ less.
const BARE_ROUNDS: usize = 3;

/// Letters of one turn without Postfix.
const BARE_LETTERS: usize = 2000;

const QUEUE: &str = "support@shop.example";

/// One way through Postfix.
struct Way {
    name: &'static str,
    port: u16,
    to: &'static str,
    /// The filter's process.
    process: Option<u32>,
    turns: Vec<Turn>,
}

/// What one turn showed.
struct Turn {
    /// Letters a second.
    rate: f64,
    /// From the final dot to the reply, sorted, in milliseconds.
    waits: Vec<f64>,
    /// Processor time of the filter for one letter, in milliseconds.
    cpu: f64,
}

impl Way {
    fn median(&self, figure: impl Fn(&Turn) -> f64) -> f64 {
        median(self.turns.iter().map(figure).collect())
    }
}

/// A filter in C. Dropping it ends it.
struct Filter(Child);

impl Filter {
    async fn start(program: &Path, kind: &str, socket: &Path, folder: Option<&Path>) -> Self {
        let mut command = Command::new(program);
        command.arg(kind).arg(address(socket)).args(folder);
        let filter = Self(command.stdin(Stdio::null()).spawn().unwrap());
        while UnixStream::connect(socket).await.is_err() {
            sleep(Duration::from_millis(10)).await;
        }
        filter
    }
}

impl Drop for Filter {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn address(socket: &Path) -> String {
    format!("unix:{}", socket.display())
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Nearest rank.
fn percentile(sorted: &[f64], percent: usize) -> f64 {
    sorted[(sorted.len() * percent).div_ceil(100).max(1) - 1]
}

#[expect(clippy::cast_precision_loss, reason = "counts are small")]
fn number(count: usize) -> f64 {
    count as f64
}

/// Processor time that a process has used, in milliseconds (proc(5): utime and stime in ticks, of
/// which Linux shows a hundred a second).
fn cpu_millis(process: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let ticks = fields.split(' ').skip(11).take(2);
    ticks
        .map(|ticks| ticks.parse::<f64>().unwrap())
        .sum::<f64>()
        * 10.0
}

/// The filters in C, if they can be made here.
fn compile(folder: &Path) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/filter.c");
    let program = folder.join("filter");
    let status = Command::new("cc")
        .args(["-O2", "-o"])
        .args([&program, &source])
        .args(["-lmilter", "-lpthread"])
        .status();
    status
        .is_ok_and(|status| status.success())
        .then_some(program)
}

/// One session that sends its letters, and what it waited for each reply.
async fn session(port: u16, to: &'static str, mark: String) -> Vec<f64> {
    let mut client = Smtp::connect(port).await;
    let line = "The quick brown fox jumps over the lazy dog, and asks where it is.\r\n";
    let body = line.repeat(BODY_BYTES / line.len());
    let mut waits = Vec::with_capacity(LETTERS);
    for place in 0..LETTERS {
        let letter = format!(
            "From: Bench <bench@customer.example>\r\nTo: {to}\r\nSubject: Bench\r\n\
             Message-ID: <{mark}.{place}@customer.example>\r\n\
             Date: Mon, 5 Oct 2026 10:00:00 +0000\r\n\r\n{body}"
        );
        let reply = client.offer("bench@customer.example", &[to]).await;
        assert_eq!(reply.code, 354, "{reply:?}");
        let end = Instant::now();
        client.put_message(letter.as_bytes()).await;
        let reply = client.reply().await;
        assert_eq!(reply.code, 250, "{reply:?}");
        waits.push(end.elapsed().as_secs_f64() * 1000.0);
    }
    client.say("QUIT").await;
    waits
}

async fn turn(way: &Way, round: usize) -> Turn {
    let used = way.process.map(cpu_millis);
    let began = Instant::now();
    let mut sessions = JoinSet::new();
    for place in 0..SESSIONS {
        let name = way.name.replace([' ', ','], "-");
        sessions.spawn(session(way.port, way.to, format!("{name}.{round}.{place}")));
    }
    let mut waits: Vec<f64> = sessions.join_all().await.concat();
    let seconds = began.elapsed().as_secs_f64();
    waits.sort_by(f64::total_cmp);
    let letters = number(waits.len());
    let used = way.process.zip(used);
    Turn {
        rate: letters / seconds,
        cpu: used.map_or(0.0, |(process, before)| {
            (cpu_millis(process) - before) / letters
        }),
        waits,
    }
}

async fn through_postfix(ways: &mut [Way]) {
    // The first round fills caches and starts processes, and is not counted.
    for round in 0..=ROUNDS {
        for way in ways.iter_mut() {
            let turn = turn(way, round).await;
            if round > 0 {
                way.turns.push(turn);
            }
        }
    }
    let noop = ways.iter().find(|way| way.name == "noop").unwrap();
    let rate = noop.median(|turn| turn.rate);
    let slowest = noop.median(|turn| percentile(&turn.waits, 99));
    println!(
        "Through Postfix, {SESSIONS} sessions, {BODY_BYTES} bytes; waits from the final dot to 250\n\n\
         {:<22} {:>9} {:>8} {:>8} {:>8} {:>10} {:>10}",
        "filter", "letters/s", "of noop", "p50 ms", "p99 ms", "p99/noop", "CPU ms"
    );
    for way in &*ways {
        let (mine, p99) = (
            way.median(|turn| turn.rate),
            way.median(|turn| percentile(&turn.waits, 99)),
        );
        println!(
            "{:<22} {mine:>9.0} {:>8.2} {:>8.2} {p99:>8.2} {:>10.2} {:>10.2}",
            way.name,
            mine / rate,
            way.median(|turn| percentile(&turn.waits, 50)),
            p99 / slowest,
            way.median(|turn| turn.cpu),
        );
    }
}

/// One turn without Postfix: letters a second, and the 50th and 99th percentile of the time from
/// the end of a letter to the verdict, in milliseconds.
fn bare(socket: &Path, connections: usize) -> [f64; 3] {
    let output = Command::new(env!("CARGO_BIN_EXE_postroom"))
        .args(["bench", "milter", "--json", "--rcpt", QUEUE, "--milter"])
        .arg(address(socket))
        .args(["--connections", &connections.to_string()])
        .args(["--messages", &BARE_LETTERS.to_string()])
        .args(["--size", &BODY_BYTES.to_string()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let waits = &report["verdict_milliseconds"];
    [&report["messages_per_second"], &waits["p50"], &waits["p99"]]
        .map(|figure| figure.as_f64().unwrap())
}

fn without_postfix(filters: &[(&'static str, &Path)]) {
    println!(
        "\nThe filter alone, kept connections, {BODY_BYTES} bytes; from the end of the body to the verdict\n\n\
         {:<22} {:>12} {:>9} {:>8} {:>9} {:>8} {:>8}",
        "filter", "connections", "letters/s", "of noop", "of fsync", "p50 ms", "p99 ms"
    );
    for connections in [1, 10, 50] {
        let mut turns: Vec<Vec<[f64; 3]>> = vec![Vec::new(); filters.len()];
        for _ in 0..BARE_ROUNDS {
            for ((_, socket), turns) in filters.iter().zip(&mut turns) {
                turns.push(bare(socket, connections));
            }
        }
        let figure = |place: usize, which: usize| {
            median(turns[place].iter().map(|turn| turn[which]).collect())
        };
        for (place, (name, _)) in filters.iter().enumerate() {
            let rate = figure(place, 0);
            println!(
                "{name:<22} {connections:>12} {rate:>9.0} {:>8.2} {:>9.2} {:>8.2} {:>8.2}",
                rate / figure(0, 0),
                rate / figure(1, 0),
                figure(place, 1),
                figure(place, 2),
            );
        }
    }
}

#[tokio::main]
async fn main() {
    // As with the other benches, a word chooses by name.
    let words: Vec<String> = std::env::args().skip(1).collect();
    let mut words = words
        .iter()
        .filter(|word| !word.starts_with('-'))
        .peekable();
    if words.peek().is_some() && !words.any(|word| "postfix".contains(word.as_str())) {
        return;
    }
    if !postfix::is_here() {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    // Postfix's processes reach the sockets in it.
    fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
    let Some(program) = compile(folder) else {
        println!("skipped: the filters in C need cc and libmilter-dev");
        return;
    };
    let socket = |name: &str| folder.join(name);
    let kept = folder.join("kept");
    fs::create_dir(&kept).unwrap();
    let noop = Filter::start(&program, "noop", &socket("noop"), None).await;
    let fsync = Filter::start(&program, "fsync", &socket("fsync"), Some(&kept)).await;

    let settings = |name: &str| {
        let mut settings = Settings::new(&folder.join(name));
        settings.log = "postroom=info";
        settings
    };
    let (mut unix, tcp) = (settings("unix"), settings("tcp"));
    unix.milter_socket = Some(socket("postroom"));
    let (over_unix, over_tcp) = (Gateway::start(&unix).await, Gateway::start(&tcp).await);
    fs::set_permissions(socket("postroom"), Permissions::from_mode(0o666)).unwrap();

    let mut postfix = Postfix::new();
    postfix.service("discard unix - - n - - discard", &[]);
    let quick = "relay_transport = discard:\nin_flow_delay = 0\n";
    postfix.main_cf.push_str(quick);
    let mut door = |filter: &str| postfix.door(&[&format!("smtpd_milters = {filter}")]);
    let doors = [
        String::new(),
        address(&socket("noop")),
        address(&socket("fsync")),
        address(&socket("postroom")),
        tcp.milter().to_string(),
    ];
    let [none, to_noop, to_fsync, to_unix, to_tcp] = doors.map(|filter| door(&filter));
    let way = |name, port, to, process| Way {
        name,
        port,
        to,
        process,
        turns: Vec::new(),
    };
    let mut ways = [
        way("none", none, QUEUE, None),
        way("noop", to_noop, QUEUE, Some(noop.0.id())),
        way("fsync", to_fsync, QUEUE, Some(fsync.0.id())),
        way("postroom", to_unix, QUEUE, Some(over_unix.child.id())),
        way("postroom, TCP", to_tcp, QUEUE, Some(over_tcp.child.id())),
        way(
            "postroom, no queue",
            to_unix,
            "joe@shop.example",
            Some(over_unix.child.id()),
        ),
    ];
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 9));
    postfix.configure(&tcp.milter(), nowhere);
    postfix.start();
    through_postfix(&mut ways).await;
    postfix.stop();
    without_postfix(&[
        ("noop", &socket("noop")),
        ("fsync", &socket("fsync")),
        ("postroom", &socket("postroom")),
    ]);
    println!(
        "\nLoad of the machine at the end: {}",
        fs::read_to_string("/proc/loadavg").unwrap().trim()
    );
}
