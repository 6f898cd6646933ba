//! A Postfix of the test's own: its configuration, queue and log in a scratch folder, its ports
//! whatever was free, everything it delivers handed to the test's sink.
//!
//! What it is told about Postroom is what README.md tells operators, with the addresses changed.

use std::fs;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use postroom::config;
use postroom::milter::Address;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::port::Port;

/// Set where a missing Postfix is a failure.
const REQUIRED: &str = "POSTROOM_REQUIRE_POSTFIX";

/// A Postfix. Dropping it stops it.
#[derive(Debug)]
pub(crate) struct Postfix {
    /// Where mail from outside comes in, past Postroom.
    pub(crate) smtp: Port,
    /// Where Postroom hands over its answers.
    pub(crate) submission: Port,
    /// Lines for main.cf besides. The last of several for one parameter counts.
    pub(crate) main_cf: String,
    /// Lines for master.cf besides.
    pub(crate) master_cf: String,
    /// Ports of the services in those lines.
    doors: Vec<Port>,
    folder: tempfile::TempDir,
}

/// Whether the tests with Postfix can run; says on standard error why they do not, even where the
/// test runner captures what tests print.
pub(crate) fn is_here() -> bool {
    let why = if !rustix::process::geteuid().is_root() {
        "only root can start Postfix"
    } else if !Path::new("/usr/sbin/postfix").exists() {
        "Postfix is not installed"
    } else {
        return true;
    };
    assert!(
        std::env::var_os(REQUIRED).is_none_or(|value| value != "1"),
        "{why}, and {REQUIRED} is set"
    );
    let _ = writeln!(io::stderr(), "skipped: {why}");
    false
}

impl Postfix {
    /// One with its ports and its folder, not yet running.
    pub(crate) fn new() -> Self {
        Self {
            smtp: Port::take(),
            submission: Port::take(),
            main_cf: String::new(),
            master_cf: String::new(),
            doors: Vec::new(),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// Another SMTP server, with these parameters of its own; its port.
    pub(crate) fn door(&mut self, parameters: &[&str]) -> u16 {
        let port = Port::take();
        let number = port.number();
        self.doors.push(port);
        self.service(
            &format!("127.0.0.1:{number} inet n - n - - smtpd"),
            parameters,
        );
        number
    }

    /// Another service, with these parameters of its own.
    pub(crate) fn service(&mut self, line: &str, parameters: &[&str]) {
        self.master_cf.push_str(line);
        for parameter in parameters {
            self.master_cf
                .push_str(&format!("\n  -o {{ {parameter} }}"));
        }
        self.master_cf.push('\n');
    }

    /// Its folder, which its processes can read.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes its configuration, with Postroom as its filter and `sink` as the next host for all
    /// mail.
    pub(crate) fn configure(&self, milter: &Address, sink: SocketAddr) {
        let dir = self.folder.path();
        // Postfix's processes go through here under another user.
        fs::set_permissions(dir, PermissionsExt::from_mode(0o755)).unwrap();
        for name in ["etc", "queue", "data"] {
            // A test may have put a disk of its own there.
            fs::create_dir_all(dir.join(name)).unwrap();
        }
        chown(dir.join("data"), Some(postfix_user()), None).unwrap();
        fs::write(dir.join("etc/main.cf"), self.whole_main_cf(milter, sink)).unwrap();
        fs::write(dir.join("etc/master.cf"), self.whole_master_cf()).unwrap();
    }

    /// The files of its mail queue in these folders of it.
    pub(crate) fn queued(&self, folders: &[&str]) -> Vec<PathBuf> {
        let queue = self.folder.path().join("queue");
        let mut waiting: Vec<PathBuf> = folders.iter().map(|name| queue.join(name)).collect();
        let mut files = Vec::new();
        while let Some(path) = waiting.pop() {
            // What goes away while we look is not there any more.
            match fs::read_dir(&path) {
                Ok(entries) => waiting.extend(entries.flatten().map(|entry| entry.path())),
                Err(error) if error.kind() == io::ErrorKind::NotADirectory => files.push(path),
                Err(_) => {}
            }
        }
        files
    }

    /// One of its commands, such as `postsuper`, with what it is to read; what it wrote.
    pub(crate) fn command(&self, program: &str, arguments: &[&str], input: &[u8]) -> String {
        let mut child = Command::new(Path::new("/usr/sbin").join(program))
            .args(arguments)
            .env("MAIL_CONFIG", self.folder.path().join("etc"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        let problem = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{program}: {problem}\n{}",
            self.log()
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Its processes of this name, each a child of its master.
    pub(crate) fn processes(&self, name: &str) -> Vec<Pid> {
        let master = self.master().unwrap();
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").unwrap() {
            // What ends while we look is none of them any more.
            let Ok(stat) = fs::read_to_string(entry.unwrap().path().join("stat")) else {
                continue;
            };
            // `pid (name) state parent …`
            let (pid, rest) = stat.split_once(" (").unwrap();
            let (this, rest) = rest.rsplit_once(") ").unwrap();
            let parent = rest.split(' ').nth(1).unwrap();
            if this == name && parent == master.as_raw_nonzero().to_string() {
                found.extend(Pid::from_raw(pid.parse().unwrap()));
            }
        }
        found
    }

    /// Sends a signal to all processes of this name; there must be one at least.
    pub(crate) fn signal(&self, name: &str, signal: Signal) {
        let processes = self.processes(name);
        assert!(!processes.is_empty(), "no {name} runs:\n{}", self.log());
        for process in processes {
            // It may end by itself meanwhile.
            let _ = kill_process(process, signal);
        }
    }

    /// Starts it; returns when it listens.
    pub(crate) fn start(&self) {
        if let Err(problem) = self.run("start") {
            panic!("Postfix does not start: {problem}\n{}", self.log());
        }
    }

    /// Stops it; what is in its queue stays there.
    pub(crate) fn stop(&self) {
        // Fails if it is not running, which is as good.
        let _ = self.run("stop");
        // The file with the process id outlives the process.
        if self.run("status").is_ok()
            && let Some(master) = self.master()
        {
            // Its children are in its process group.
            let _ = kill_process_group(master, Signal::KILL);
        }
    }

    /// All its processes are gone when this returns; nothing was written in order.
    pub(crate) fn kill(&self) {
        let master = self.master().unwrap();
        kill_process_group(master, Signal::KILL).unwrap();
        // The master's lock goes with it, and `status` asks for the lock.
        while self.run("status").is_ok() {
            std::thread::yield_now();
        }
    }

    /// What it logged so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    fn whole_main_cf(&self, milter: &Address, sink: SocketAddr) -> String {
        let dir = self.folder.path().display();
        let log = self.log_file();
        let log = log.display();
        let SocketAddr::V4(sink) = sink else {
            panic!("the sink is not at 127.0.0.1");
        };
        let (host, port) = (sink.ip(), sink.port());
        format!(
            "{ours}\n\
             compatibility_level = 3.6\n\
             queue_directory = {dir}/queue\n\
             data_directory = {dir}/data\n\
             maillog_file = {log}\n\
             maillog_file_prefixes = {dir}\n\
             inet_interfaces = 127.0.0.1\n\
             inet_protocols = ipv4\n\
             myhostname = mx.shop.example\n\
             mydestination =\n\
             relay_domains = shop.example\n\
             alias_maps =\n\
             local_recipient_maps =\n\
             relayhost = [{host}]:{port}\n\
             relay_transport = smtp:[{host}]:{port}\n\
             mynetworks = 127.0.0.0/8\n\
             smtpd_peername_lookup = no\n\
             smtpd_authorized_xclient_hosts = 127.0.0.1\n\
             smtp_dns_support_level = disabled\n\
             smtp_tls_security_level = none\n\
             service_throttle_time = 1s\n\
             notify_classes =\n\
             {more}",
            ours = filter_lines(milter),
            more = self.main_cf,
        )
    }

    fn whole_master_cf(&self) -> String {
        let (smtp, submission) = (self.smtp.number(), self.submission.number());
        let lines = readme("master.cf");
        let (address, rest) = lines.split_once(' ').unwrap();
        assert!(address.starts_with("127.0.0.1:"), "{address}");
        let more = &self.master_cf;
        format!(
            "127.0.0.1:{smtp} inet n - n - - smtpd\n127.0.0.1:{submission} {rest}{SERVICES}{more}"
        )
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("maillog")
    }

    fn master(&self) -> Option<Pid> {
        let file = self.folder.path().join("queue/pid/master.pid");
        let pid = fs::read_to_string(file).ok()?;
        Pid::from_raw(pid.trim().parse().ok()?)
    }

    fn run(&self, what: &str) -> Result<(), String> {
        let Output { status, stderr, .. } = Command::new("/usr/sbin/postfix")
            .arg("-c")
            .arg(self.folder.path().join("etc"))
            .arg(what)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .output()
            .map_err(|error| error.to_string())?;
        if status.success() {
            Ok(())
        } else {
            Err(String::from_utf8_lossy(&stderr).into_owned())
        }
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        self.stop();
        if std::thread::panicking() {
            eprintln!("Postfix's log:\n{}", self.log());
        }
    }
}

/// What README.md tells operators to write into main.cf, with our socket in place of theirs.
fn filter_lines(milter: &Address) -> String {
    let lines = readme("main.cf");
    assert!(lines.contains("milter_default_action = tempfail\n"));
    let theirs = format!(
        "smtpd_milters = {}",
        config::Milter::default().listen.get_ref()
    );
    assert!(lines.contains(&theirs), "{lines}");
    lines.replace(&theirs, &format!("smtpd_milters = {milter}"))
}

/// The lines of README.md that are meant for one of Postfix's files.
fn readme(file: &str) -> String {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = fs::read_to_string(readme).unwrap();
    let (_, after) = readme.split_once(&format!("\n```{file}\n")).unwrap();
    let (lines, _) = after.split_once("```").unwrap();
    lines.to_owned()
}

/// The user under which Postfix's processes run.
fn postfix_user() -> u32 {
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let line = users.lines().find(|line| line.starts_with("postfix:"));
    line.unwrap().split(':').nth(2).unwrap().parse().unwrap()
}

/// What mail from SMTP to SMTP needs besides.
const SERVICES: &str = "\
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
";
