//! `postroom serve` as a process: its log heard line by line, its words to the service manager, the
//! sockets and signals that it gets.

use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use postroom::milter::Address;
use rustix::process::{Pid, Signal, kill_process};
use tokio::net::UnixDatagram;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// How long anything may take. It is reached only when it never will be.
const PATIENCE: Duration = Duration::from_secs(60);

/// A configuration on ports that the machine chooses, with one queue unless more are written.
pub(crate) fn config(folder: &Path, more: &str) -> String {
    let data = folder.join("data");
    format!(
        "[gateway]\ndata_dir = {data:?}\nname = \"shop.example\"\n\
         [milter]\nlisten = \"inet:127.0.0.1:0\"\n\
         [control]\nlisten = \"127.0.0.1:0\"\n\
         [store]\nfree_space_floor_mib = 1\nsegment_mib = 8\n\
         {more}\n\
         [[queue]]\nid = \"support\"\naddresses = [\"support@shop.example\"]\n"
    )
}

/// The running program. Dropping it kills it.
pub(crate) struct Process {
    child: Child,
    lines: mpsc::UnboundedReceiver<String>,
    heard: Vec<String>,
    manager: UnixDatagram,
    file: PathBuf,
}

impl Process {
    /// Starts it with sockets from a service manager, by name, and waits until it is ready.
    pub(crate) async fn start(folder: &Path, config: &str, sockets: Vec<(&str, OwnedFd)>) -> Self {
        let mut process = Self::spawn(folder, config, sockets);
        process.told("READY=1").await;
        process
    }

    /// Starts it.
    pub(crate) fn spawn(folder: &Path, config: &str, sockets: Vec<(&str, OwnedFd)>) -> Self {
        let file = folder.join("postroom.toml");
        std::fs::write(&file, config).unwrap();
        let path = folder.join("manager.sock");
        let manager = UnixDatagram::bind(&path).unwrap();
        let names: Vec<&str> = sockets.iter().map(|(name, _)| *name).collect();
        let names = names.join(":");
        let count = sockets.len();
        let mut sockets = sockets.into_iter().map(|(_, socket)| Stdio::from(socket));
        // The shell moves the sockets to where a service manager puts them; its number becomes the
        // program's.
        let script =
            "exec 3<&0 4<&1 0</dev/null 1>/dev/null; export LISTEN_PID=$$; exec \"$0\" \"$@\"";
        let mut command = Command::new("sh");
        command
            .args(["-c", script, env!("CARGO_BIN_EXE_postroom"), "serve"])
            .arg("--config")
            .arg(&file)
            .env("NOTIFY_SOCKET", &path)
            .stdin(sockets.next().unwrap_or_else(Stdio::null))
            .stdout(sockets.next().unwrap_or_else(Stdio::null))
            .stderr(Stdio::piped());
        if count > 0 {
            command.env("LISTEN_FDS", count.to_string());
            command.env("LISTEN_FDNAMES", names);
        }
        let mut child = command.spawn().unwrap();
        let stderr = child.stderr.take().unwrap();
        let (log, lines) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let _ = log.send(line);
            }
        });
        Self {
            child,
            lines,
            heard: Vec::new(),
            manager,
            file,
        }
    }

    /// The next line of the log with these words in it.
    pub(crate) async fn hear(&mut self, words: &str) -> String {
        loop {
            let line = timeout(PATIENCE, self.lines.recv()).await;
            let Ok(Some(line)) = line else {
                panic!("never said {words:?}, but:\n{}", self.heard.join("\n"));
            };
            self.heard.push(line.clone());
            if line.contains(words) {
                return line;
            }
        }
    }

    /// Where it listens for Postfix, as the log has it.
    pub(crate) async fn milter(&mut self) -> Address {
        let line = self.hear("listening for Postfix on ").await;
        let (_, rest) = line.split_once("listening for Postfix on ").unwrap();
        rest.split_once(',').unwrap().0.parse().unwrap()
    }

    /// The next word to the service manager must be this one.
    pub(crate) async fn told(&mut self, word: &str) {
        let mut bytes = [0; 100];
        let told = timeout(PATIENCE, self.manager.recv(&mut bytes)).await;
        let Ok(told) = told else {
            panic!("the service manager waits for {word}");
        };
        assert_eq!(bytes[..told.unwrap()].escape_ascii().to_string(), word);
    }

    /// Changes the file and says so; done when the program says that it is.
    pub(crate) async fn reload(&mut self, config: &str) {
        std::fs::write(&self.file, config).unwrap();
        self.signal(Signal::HUP);
        self.told("RELOADING=1").await;
        self.told("READY=1").await;
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end.
    pub(crate) async fn ended(mut self) -> ExitStatus {
        // Whoever waits for a line that never comes sees the end of the log instead.
        while timeout(PATIENCE, self.lines.recv())
            .await
            .unwrap()
            .is_some()
        {}
        self.child.wait().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
