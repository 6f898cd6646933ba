//! A Postfix of the test's own: its configuration, queue and log in a scratch folder, its ports
//! whatever was free, everything it delivers handed to the test's sink.
//!
//! What it is told about Postroom is what README.md tells operators, with the addresses changed.

use std::fs;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use postroom::milter::Address;
use rustix::process::{Pid, Signal, kill_process_group};

/// Set where a missing Postfix is a failure.
const REQUIRED: &str = "POSTROOM_REQUIRE_POSTFIX";

/// How often other ports are tried when somebody was faster.
const ATTEMPTS: usize = 5;

/// A running Postfix. Dropping it stops it.
#[derive(Debug)]
pub(crate) struct Postfix {
    /// Where mail from outside comes in, past Postroom.
    pub(crate) smtp: u16,
    /// Where Postroom hands over its answers.
    pub(crate) submission: u16,
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
    /// Starts Postfix with Postroom as its filter and `sink` as the next host for all mail.
    pub(crate) fn start(milter: &Address, sink: SocketAddr) -> Self {
        let mut problem = String::new();
        for _ in 0..ATTEMPTS {
            let postfix = Self {
                smtp: free_port(),
                submission: free_port(),
                folder: tempfile::tempdir().unwrap(),
            };
            postfix.write(milter, sink);
            match postfix.run("start") {
                Ok(()) => return postfix,
                Err(why) => problem = format!("{why}\n{}", postfix.log()),
            }
        }
        panic!("Postfix does not start: {problem}");
    }

    /// What it logged so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// Stops it, and keeps its ports and its queue for [`Self::start_again`].
    pub(crate) fn stop(&mut self) {
        let _ = self.run("stop");
        // Its children are in its process group.
        if let Some(master) = self.master() {
            let _ = kill_process_group(master, Signal::KILL);
        }
    }

    /// Starts it again where it was.
    pub(crate) fn start_again(&mut self) {
        self.run("start").unwrap();
    }

    fn write(&self, milter: &Address, sink: SocketAddr) {
        let dir = self.folder.path();
        // Postfix's processes go through here under another user.
        fs::set_permissions(dir, PermissionsExt::from_mode(0o755)).unwrap();
        for name in ["etc", "queue", "data"] {
            fs::create_dir(dir.join(name)).unwrap();
        }
        chown(dir.join("data"), Some(postfix_user()), None).unwrap();
        fs::write(dir.join("etc/main.cf"), self.main_cf(milter, sink)).unwrap();
        let master = MASTER_CF
            .replace("SMTP_PORT", &self.smtp.to_string())
            .replace("SUBMISSION_PORT", &self.submission.to_string());
        fs::write(dir.join("etc/master.cf"), master).unwrap();
    }

    fn main_cf(&self, milter: &Address, sink: SocketAddr) -> String {
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
             smtp_tls_security_level = none\n",
            ours = filter_lines(milter),
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
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = fs::read_to_string(readme).unwrap();
    let (_, after) = readme.split_once("```main.cf\n").unwrap();
    let (lines, _) = after.split_once("```").unwrap();
    assert!(lines.contains("milter_default_action = tempfail"));
    let parameter = |line: &&str| line.starts_with("smtpd_milters = ");
    let named = lines.lines().find(parameter).unwrap();
    lines.replace(named, &format!("smtpd_milters = {milter}"))
}

/// The user under which Postfix's processes run.
fn postfix_user() -> u32 {
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let line = users.lines().find(|line| line.starts_with("postfix:"));
    line.unwrap().split(':').nth(2).unwrap().parse().unwrap()
}

/// A port that nobody had a moment ago.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// The services that mail from SMTP to SMTP needs.
const MASTER_CF: &str = "\
127.0.0.1:SMTP_PORT inet n - n - - smtpd
127.0.0.1:SUBMISSION_PORT inet n - n - - smtpd -o smtpd_milters=
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
