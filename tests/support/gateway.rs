//! `postroom serve` as a process of its own: started with a configuration of the test's, heard
//! through its log, stopped or killed at the test's word and in any case when the test ends.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use postroom::milter::Address;
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::watch;

use super::port::Port;

/// How long the program may take to say that it listens. It is reached only when it never will.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the program says when it can be reached.
const READY: &str = "listening for Postfix on ";

/// What the configuration of one gateway says, the same at every start.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Where its data are.
    pub(crate) data_dir: PathBuf,
    /// Where it listens for Postfix, unless there is a socket.
    milter: Port,
    /// The UNIX socket for Postfix.
    pub(crate) milter_socket: Option<PathBuf>,
    /// What it logs, as `POSTROOM_LOG` has it.
    pub(crate) log: &'static str,
    /// Where it listens for agents.
    control: Port,
    /// The largest message it takes.
    pub(crate) message_bytes_max: u64,
    /// Most connections from Postfix.
    pub(crate) connections_max: usize,
    /// The MTA that takes its answers, as `HOST:PORT`.
    pub(crate) outbound: String,
    /// More lines on how it is reached.
    pub(crate) outbound_more: String,
    /// The name servers it asks.
    pub(crate) resolver: String,
    /// More lines on how senders are proven.
    pub(crate) authentication: String,
    /// Its queues: name, addresses.
    pub(crate) queues: Vec<(&'static str, Vec<&'static str>)>,
    /// What its configuration says besides.
    pub(crate) more: &'static str,
}

impl Settings {
    /// Two queues at shop.example, data under `dir`, no name servers, and an MTA that is not there.
    pub(crate) fn new(dir: &Path) -> Self {
        Self {
            data_dir: dir.join("data"),
            milter: Port::take(),
            milter_socket: None,
            log: "postroom=debug",
            control: Port::take(),
            message_bytes_max: 10_000_000,
            connections_max: 1000,
            outbound: "127.0.0.1:1".to_owned(),
            outbound_more: String::new(),
            resolver: "off".to_owned(),
            authentication: String::new(),
            queues: vec![
                ("support", vec!["support@shop.example"]),
                ("sales", vec!["sales@shop.example"]),
            ],
            more: "",
        }
    }

    /// Where Postfix finds the gateway.
    pub(crate) fn milter(&self) -> Address {
        if let Some(socket) = &self.milter_socket {
            return Address::Unix(socket.clone());
        }
        Address::Inet {
            host: "127.0.0.1".to_owned(),
            port: self.milter.number(),
        }
    }

    /// Where agents find it.
    pub(crate) fn control(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.control.number()))
    }

    /// Where the administrator finds it.
    pub(crate) fn socket(&self) -> PathBuf {
        self.data_dir.join("control.sock")
    }

    /// The configuration file.
    pub(crate) fn to_toml(&self) -> String {
        let mut text = format!(
            "[gateway]\n\
             data_dir = {data_dir:?}\n\
             name = \"shop.example\"\n\
             [milter]\n\
             listen = \"{milter}\"\n\
             message_bytes_max = {bytes_max}\n\
             connections_max = {connections_max}\n\
             [control]\n\
             listen = \"127.0.0.1:{control}\"\n\
             [outbound]\n\
             server = \"{outbound}\"\n\
             {outbound_more}\
             [authentication]\n\
             resolver = \"{resolver}\"\n\
             {authentication}\
             [store]\n\
             free_space_floor_mib = 1\n\
             segment_mib = 16\n",
            data_dir = self.data_dir,
            milter = self.milter(),
            control = self.control.number(),
            bytes_max = self.message_bytes_max,
            connections_max = self.connections_max,
            outbound = self.outbound,
            outbound_more = self.outbound_more,
            resolver = self.resolver,
            authentication = self.authentication,
        );
        for (id, addresses) in &self.queues {
            let _ = write!(
                text,
                "[[queue]]\nid = \"{id}\"\naddresses = {addresses:?}\npost_processing_seconds = 0\n"
            );
        }
        text + self.more
    }
}

/// What the program has logged so far.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn push(&self, line: String) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push(line);
    }

    fn text(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.join("\n")
    }
}

/// The running program. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Gateway {
    /// Its process.
    pub(crate) child: Child,
    log: Log,
}

impl Gateway {
    /// Starts the program, and waits until it listens.
    pub(crate) async fn start(settings: &Settings) -> Self {
        std::fs::create_dir_all(&settings.data_dir).unwrap();
        let file = settings.data_dir.join("postroom.toml");
        std::fs::write(&file, settings.to_toml()).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_postroom"))
            .args(["serve", "--config"])
            .arg(&file)
            .env("POSTROOM_LOG", settings.log)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Log::default();
        let (heard, mut ready) = watch::channel(false);
        let stderr = child.stderr.take().unwrap();
        let lines = log.clone();
        std::thread::spawn(move || listen(stderr, &lines, &heard));
        let gateway = Self { child, log };
        // The sender goes away with the program, which ends the wait as well.
        let said = tokio::time::timeout(PATIENCE, ready.wait_for(|ready| *ready)).await;
        assert!(matches!(said, Ok(Ok(_))), "the gateway did not start");
        gateway
    }

    /// Everything it logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.text()
    }

    /// Its process is gone when this returns; nothing was written in order.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Stops it in order.
    pub(crate) fn stop(mut self) -> ExitStatus {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        self.child.wait().unwrap()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the gateway's log:\n{}", self.log());
        }
    }
}

/// Reads the log to its end, and tells when the program can be reached.
fn listen(stderr: ChildStderr, log: &Log, heard: &watch::Sender<bool>) {
    for line in BufReader::new(stderr).lines() {
        let Ok(line) = line else { return };
        let ready = line.contains(READY);
        log.push(line);
        if ready {
            heard.send_replace(true);
        }
    }
}
