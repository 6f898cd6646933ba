//! The configuration file: one struct a section, every field explained at the field.
//!
//! Unknown keys are refused, so that a misspelt one does not silently mean its default. Every
//! problem is reported with its line, all at once. `contrib/postroom.toml` is the commented
//! example; the README has the same fields as a table.

use std::fmt;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use crate::desk::{DeclineAction, Mailbox, QueueSettings};
use crate::id::QueueId;
use crate::intake::authenticate::Resolver;
use crate::mail::address::Address;
use crate::milter;

/// The whole file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// This installation.
    pub gateway: Gateway,
    /// Where Postfix shows us mail.
    #[serde(default)]
    pub milter: Milter,
    /// Where agents and administrators connect.
    #[serde(default)]
    pub control: Control,
    /// Where answers are handed to.
    #[serde(default)]
    pub outbound: Outbound,
    /// How senders are proven.
    #[serde(default)]
    pub authentication: Authentication,
    /// How the disk is used.
    #[serde(default)]
    pub store: Store,
    /// The queues, at least one.
    #[serde(default)]
    pub queue: Vec<Queue>,
}

/// This installation.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gateway {
    /// Folder for all that must outlive the process; made if it is not there. On a local file
    /// system that honours fdatasync. No default.
    pub data_dir: PathBuf,
    /// Our name in Authentication-Results, in EHLO and on the right of the Message-IDs that we
    /// make: a domain of yours. No default.
    pub name: Spanned<String>,
}

/// Where Postfix shows us mail.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Milter {
    /// The address that Postfix's `smtpd_milters` names: `unix:PATH` or `inet:HOST:PORT`.
    /// Default: `inet:127.0.0.1:8891`.
    pub listen: Spanned<String>,
    /// Largest message taken, in bytes. Keep it at least 8 KiB below Postfix's
    /// `message_size_limit`, because our header fields count there. Default: `10000000`.
    pub message_bytes_max: u64,
    /// Most connections from Postfix; further ones are told to come back. Keep it at twice
    /// Postfix's process limit. Default: `1000`.
    pub connections_max: usize,
}

impl Default for Milter {
    fn default() -> Self {
        Self {
            listen: unplaced("inet:127.0.0.1:8891"),
            message_bytes_max: 10_000_000,
            connections_max: 1000,
        }
    }
}

/// Where agents and administrators connect.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Control {
    /// UNIX socket of the administrator: whoever is root or the gateway's own user may do
    /// everything there. Default: `control.sock` in the data folder.
    pub socket: Option<PathBuf>,
    /// Address and port of the gRPC server for agents. Default: `127.0.0.1:8892`.
    pub listen: SocketAddr,
    /// File with the server's certificate chain in PEM form. Default: none, which is allowed on a
    /// loopback address only.
    pub tls_certificate: Option<PathBuf>,
    /// File with the certificate's private key in PEM form. Default: none.
    pub tls_key: Option<PathBuf>,
    /// Allows passwords and mail in clear text on other than loopback addresses, for a network
    /// that is trusted or encrypted by other means. Default: `false`.
    pub allow_plaintext: bool,
    /// Lets clients ask for the descriptors, so that tools such as grpcurl work without the proto
    /// files. Default: `true`.
    pub reflection: bool,
}

impl Default for Control {
    fn default() -> Self {
        Self {
            socket: None,
            listen: SocketAddr::from(([127, 0, 0, 1], 8892)),
            tls_certificate: None,
            tls_key: None,
            allow_plaintext: false,
            reflection: true,
        }
    }
}

/// How the connection to the MTA is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Security {
    /// Not at all: for loopback.
    Plain,
    /// STARTTLS after the greeting; without it nothing is sent.
    Starttls,
    /// TLS from the first byte.
    Tls,
}

/// Where answers are handed to.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Outbound {
    /// Host name or address and port of the MTA. Default: `127.0.0.1:25`.
    pub server: Spanned<String>,
    /// `plain`, `starttls` or `tls`. Default: `plain`.
    pub security: Security,
    /// File with the certificates of the authorities to trust, in PEM form. Default: the public
    /// ones.
    pub ca_file: Option<PathBuf>,
    /// Login name for the MTA. Default: none, no login.
    pub username: Option<String>,
    /// File whose first line is the password for the MTA. Default: none.
    pub password_file: Option<PathBuf>,
    /// How many messages are handed over at the same time, 1 to 50. Default: `4`.
    pub at_once: usize,
}

impl Default for Outbound {
    fn default() -> Self {
        Self {
            server: unplaced("127.0.0.1:25"),
            security: Security::Plain,
            ca_file: None,
            username: None,
            password_file: None,
            at_once: 4,
        }
    }
}

/// How senders are proven.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Authentication {
    /// `system` for the machine's name servers, `off` for none (nobody is proven then), or
    /// addresses of name servers with ports, separated by spaces. Default: `system`.
    pub resolver: Spanned<String>,
    /// How long SPF, DKIM and DMARC may take together, in seconds, 1 to 60. What is not known by
    /// then counts as a temporary error of DNS. Default: `8`.
    pub timeout_seconds: u64,
}

impl Default for Authentication {
    fn default() -> Self {
        Self {
            resolver: unplaced("system"),
            timeout_seconds: 8,
        }
    }
}

/// How the disk is used.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Store {
    /// Free space, in MiB, below which no more mail is taken: Postfix tells senders to try later,
    /// and agents can go on. Default: `256`.
    pub free_space_floor_mib: u64,
    /// Size of one journal file, in MiB, 8 to 1024. Default: `64`.
    pub segment_mib: u64,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            free_space_floor_mib: 256,
            segment_mib: 64,
        }
    }
}

/// What becomes of an agent who declines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decline {
    /// Left alone for the queue's cooldown.
    Cooldown,
    /// Set to Work Offline.
    WorkOffline,
}

impl From<Decline> for DeclineAction {
    fn from(action: Decline) -> Self {
        match action {
            Decline::Cooldown => Self::Cooldown,
            Decline::WorkOffline => Self::WorkOffline,
        }
    }
}

/// One queue.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Queue {
    /// Its short name: 2 to 63 of `a-z`, `0-9` and `-`. No default.
    pub id: Spanned<String>,
    /// What people read. Default: the id.
    #[serde(default)]
    pub display_name: String,
    /// Its addresses, at least one. Mail to one of them, with or without `+detail`, lands in this
    /// queue, and its agents may send from it; the first is the default. No default.
    pub addresses: Vec<Spanned<String>>,
    /// How long an offer waits for an answer, in seconds, 5 to 600. Default: `30`.
    #[serde(default = "offer_timeout")]
    pub offer_timeout_seconds: Spanned<u64>,
    /// How long post-processing lasts, in seconds, up to 86400; 0 switches it off. Default: `0`.
    #[serde(default)]
    pub post_processing_seconds: u64,
    /// What a rejected offer does to the agent: `cooldown` or `work_offline`.
    /// Default: `cooldown`.
    #[serde(default = "cooldown")]
    pub rejected_action: Decline,
    /// What too many missed offers do to the agent: `cooldown` or `work_offline`.
    /// Default: `work_offline`.
    #[serde(default = "work_offline")]
    pub missed_action: Decline,
    /// How many offers in a row may be missed before that. Default: `3`.
    #[serde(default = "missed_limit")]
    pub missed_limit: u32,
    /// How long an agent who rejected or missed an offer is left alone, in seconds, up to 3600.
    /// Default: `5`.
    #[serde(default = "cooldown_seconds")]
    pub cooldown_seconds: u64,
    /// How many interactions may wait; further mail is told to come back. Default: `100000`.
    #[serde(default = "waiting_max")]
    pub waiting_max: usize,
}

fn offer_timeout() -> Spanned<u64> {
    Spanned::new(0..0, 30)
}

const fn cooldown() -> Decline {
    Decline::Cooldown
}

const fn work_offline() -> Decline {
    Decline::WorkOffline
}

const fn missed_limit() -> u32 {
    3
}

const fn cooldown_seconds() -> u64 {
    5
}

const fn waiting_max() -> usize {
    100_000
}

fn unplaced(text: &str) -> Spanned<String> {
    Spanned::new(0..0, text.to_owned())
}

/// Something wrong with the file. The administrator's move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The line, from 1; 0 if no single line is to blame.
    pub line: usize,
    /// What is wrong and what would be right.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.line, self.what)
    }
}

/// Largest configuration file, in bytes: room for thousands of queues.
pub const FILE_BYTES_MAX: u64 = 4 << 20;

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    ///
    /// Every problem there is, in the order of the file.
    pub fn load(file: &Path) -> Result<Self, Vec<Problem>> {
        let unreadable = |what: String| vec![Problem { line: 0, what }];
        let size = std::fs::metadata(file)
            .map_err(|error| unreadable(format!("cannot be read: {error}")))?
            .len();
        if size > FILE_BYTES_MAX {
            return Err(unreadable(format!("is larger than {FILE_BYTES_MAX} bytes")));
        }
        let text = std::fs::read_to_string(file)
            .map_err(|error| unreadable(format!("cannot be read: {error}")))?;
        Self::parse(&text)
    }

    /// Reads and checks the text of a file.
    ///
    /// # Errors
    ///
    /// As for [`Self::load`].
    pub fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        let config: Self = toml::from_str(text).map_err(|error| {
            vec![Problem {
                line: error.span().map_or(0, |span| line_of(text, &span)),
                what: error.message().to_owned(),
            }]
        })?;
        let mut check = Check {
            text,
            problems: Vec::new(),
        };
        config.check(&mut check);
        if check.problems.is_empty() {
            Ok(config)
        } else {
            check.problems.sort_by_key(|problem| problem.line);
            Err(check.problems)
        }
    }

    fn check(&self, check: &mut Check<'_>) {
        let name = &self.gateway.name;
        if crate::mail::address::normal_domain(name.get_ref()).is_err() {
            check.blame(name, "gateway.name is not a domain name".to_owned());
        }
        if self
            .milter
            .listen
            .get_ref()
            .parse::<milter::Address>()
            .is_err()
        {
            let what = "milter.listen must be unix:PATH or inet:HOST:PORT".to_owned();
            check.blame(&self.milter.listen, what);
        }
        if self.milter.message_bytes_max < 1024 {
            check.whole("milter.message_bytes_max is less than 1024".to_owned());
        }
        if self.milter.connections_max == 0 {
            check.whole("milter.connections_max must be at least 1".to_owned());
        }
        if self.control.tls_certificate.is_some() != self.control.tls_key.is_some() {
            check.whole("control.tls_certificate and control.tls_key go together".to_owned());
        }
        if self.control.tls_certificate.is_none()
            && !self.control.listen.ip().is_loopback()
            && !self.control.allow_plaintext
        {
            check.whole(format!(
                "control.listen = {} would carry passwords in clear text: set control.tls_certificate and control.tls_key, or control.allow_plaintext = true",
                self.control.listen
            ));
        }
        let server = &self.outbound.server;
        if !server
            .get_ref()
            .rsplit_once(':')
            .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
        {
            check.blame(server, "outbound.server must be HOST:PORT".to_owned());
        }
        if self.outbound.username.is_some() != self.outbound.password_file.is_some() {
            check.whole("outbound.username and outbound.password_file go together".to_owned());
        }
        if self.outbound.username.is_some() && self.outbound.security == Security::Plain {
            check.whole(
                "outbound.username needs outbound.security = \"starttls\" or \"tls\", or the password travels in clear text".to_owned(),
            );
        }
        if !(1..=50).contains(&self.outbound.at_once) {
            check.whole("outbound.at_once must be 1 to 50".to_owned());
        }
        if self.resolver().is_none() {
            let what = "authentication.resolver must be system, off, or addresses with ports such as 127.0.0.1:53".to_owned();
            check.blame(&self.authentication.resolver, what);
        }
        if !(1..=60).contains(&self.authentication.timeout_seconds) {
            check.whole("authentication.timeout_seconds must be 1 to 60".to_owned());
        }
        if !(8..=1024).contains(&self.store.segment_mib) {
            check.whole("store.segment_mib must be 8 to 1024".to_owned());
        }
        if self.queue.is_empty() {
            check.whole("there is no [[queue]]: no mail would be taken".to_owned());
        }
        self.check_queues(check);
    }

    fn check_queues(&self, check: &mut Check<'_>) {
        let mut ids: std::collections::BTreeMap<&str, usize> = std::collections::BTreeMap::new();
        let mut owners: std::collections::BTreeMap<String, &str> =
            std::collections::BTreeMap::new();
        for queue in &self.queue {
            let id = queue.id.get_ref();
            if id.parse::<QueueId>().is_err() {
                let what = format!("queue id {id:?} is not 2 to 63 of a-z, 0-9 and -");
                check.blame(&queue.id, what);
            }
            let line = check.line(&queue.id);
            if let Some(first) = ids.insert(id, line) {
                let what = format!("queue {id} is defined twice, first in line {first}");
                check.blame(&queue.id, what);
            }
            if queue.addresses.is_empty() {
                let what = format!("queue {id} has no addresses, so no mail can reach it");
                check.blame(&queue.id, what);
            }
            for address in &queue.addresses {
                match Address::parse(address.get_ref()) {
                    Ok(parsed) => {
                        if let Some(other) = owners.insert(parsed.normalised(), id) {
                            let what = format!("{parsed} belongs to queue {other} already");
                            check.blame(address, what);
                        }
                    }
                    Err(error) => {
                        let what = format!("{:?} is no address: {error}", address.get_ref());
                        check.blame(address, what);
                    }
                }
            }
            if !(5..=600).contains(queue.offer_timeout_seconds.get_ref()) {
                let what = "offer_timeout_seconds must be 5 to 600".to_owned();
                check.blame(&queue.offer_timeout_seconds, what);
            }
            if queue.post_processing_seconds > 86_400 {
                let what = format!("post_processing_seconds of queue {id} is over 86400");
                check.blame(&queue.id, what);
            }
            if queue.cooldown_seconds > 3600 {
                let what = format!("cooldown_seconds of queue {id} is over 3600");
                check.blame(&queue.id, what);
            }
        }
    }

    /// The name servers to ask; `None` if the text makes no sense.
    #[must_use]
    pub fn resolver(&self) -> Option<Resolver> {
        match self.authentication.resolver.get_ref().as_str() {
            "system" => Some(Resolver::System),
            "off" => Some(Resolver::Off),
            servers => {
                let servers: Result<Vec<SocketAddr>, _> =
                    servers.split_ascii_whitespace().map(str::parse).collect();
                servers
                    .ok()
                    .filter(|servers| !servers.is_empty())
                    .map(Resolver::Servers)
            }
        }
    }

    /// The control socket's path.
    #[must_use]
    pub fn control_socket(&self) -> PathBuf {
        (self.control.socket.clone()).unwrap_or_else(|| self.gateway.data_dir.join("control.sock"))
    }

    /// The queues as the desk wants them. Those that do not pass [`Self::parse`] are left out.
    #[must_use]
    pub fn queues(&self) -> Vec<QueueSettings> {
        self.queue.iter().filter_map(Queue::settings).collect()
    }
}

impl Queue {
    fn settings(&self) -> Option<QueueSettings> {
        let id: QueueId = self.id.get_ref().parse().ok()?;
        let display_name = if self.display_name.is_empty() {
            id.to_string()
        } else {
            self.display_name.clone()
        };
        let mailboxes = self
            .addresses
            .iter()
            .filter_map(|address| Address::parse(address.get_ref()).ok())
            .map(|address| Mailbox {
                address: address.normalised(),
                display_name: display_name.clone(),
            })
            .collect();
        Some(QueueSettings {
            id,
            display_name,
            mailboxes,
            offer_timeout: Duration::from_secs(*self.offer_timeout_seconds.get_ref()),
            post_processing: (self.post_processing_seconds > 0)
                .then(|| Duration::from_secs(self.post_processing_seconds)),
            rejected_action: self.rejected_action.into(),
            missed_action: self.missed_action.into(),
            missed_limit: self.missed_limit.max(1),
            cooldown: Duration::from_secs(self.cooldown_seconds),
            waiting_max: self.waiting_max.max(1),
        })
    }
}

/// Collects problems with their lines.
struct Check<'a> {
    text: &'a str,
    problems: Vec<Problem>,
}

impl Check<'_> {
    fn line<T>(&self, field: &Spanned<T>) -> usize {
        line_of(self.text, &field.span())
    }

    fn blame<T>(&mut self, field: &Spanned<T>, what: String) {
        let line = self.line(field);
        self.problems.push(Problem { line, what });
    }

    /// A problem whose field carries no place: the line of its key is looked up by name.
    fn whole(&mut self, what: String) {
        let key = what.split_whitespace().next().unwrap_or_default();
        let line = key
            .split_once('.')
            .map_or(0, |(_, key)| self.line_of_key(key));
        self.problems.push(Problem { line, what });
    }

    fn line_of_key(&self, key: &str) -> usize {
        self.text
            .lines()
            .position(|line| {
                line.trim_start()
                    .strip_prefix(key)
                    .is_some_and(|rest| rest.trim_start().starts_with('='))
            })
            .map_or(0, |before| before + 1)
    }
}

fn line_of(text: &str, span: &Range<usize>) -> usize {
    let before = text.as_bytes().get(..span.start).unwrap_or_default();
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r#"
[gateway]
data_dir = "/tmp/x"
name = "shop.example"

[[queue]]
id = "support"
addresses = ["Support@Shop.Example"]
"#;

    #[test]
    fn a_small_file_is_enough() {
        let config = Config::parse(SMALL).unwrap();
        let queues = config.queues();
        assert_eq!(queues[0].mailboxes[0].address, "support@shop.example");
        assert_eq!(queues[0].post_processing, None);
        assert_eq!(config.resolver(), Some(Resolver::System));
        assert_eq!(config.control_socket(), Path::new("/tmp/x/control.sock"));
    }

    #[test]
    fn every_problem_has_its_line() {
        let rows = [
            ("[gateway]\ndata_dir = 1\n", "2: "),
            ("[gateway]\nfoo = 1\n", "2: unknown field `foo`"),
            ("[gate]\n", "1: unknown field `gate`"),
            ("x", "1: "),
            (
                &SMALL.replace("shop.example\"\n", "-\"\n"),
                "4: gateway.name",
            ),
            (
                &SMALL.replace("\"support\"", "\"S\""),
                "7: queue id \"S\" is not",
            ),
            (&SMALL.replace("Support@", "Supp ort@"), "8: "),
            (
                &SMALL.replace("[[queue]]", "[milter]\nlisten = \"x\"\n[[queue]]"),
                "7: milter.listen",
            ),
            (
                &SMALL.replace("[[queue]]", "[control]\nlisten = \"0.0.0.0:1\"\n[[queue]]"),
                "7: control.listen = 0.0.0.0:1 would carry passwords",
            ),
            (
                &format!("{SMALL}offer_timeout_seconds = 4\n"),
                "9: offer_timeout_seconds must be",
            ),
            (
                &format!("{SMALL}[[queue]]\nid = \"support\"\naddresses = [\"a@b.c\"]\n"),
                "10: queue support is defined twice, first in line 7",
            ),
            (
                &format!(
                    "{SMALL}[[queue]]\nid = \"sales\"\naddresses = [\"Support@shop.example\"]\n"
                ),
                "11: Support@shop.example belongs to queue support already",
            ),
        ];
        for (text, complaint) in rows {
            let problems = Config::parse(text).unwrap_err();
            assert_eq!(problems.len(), 1, "{text}\n{problems:?}");
            let found = problems[0].to_string();
            assert!(found.starts_with(complaint), "{found}\nnot {complaint}");
        }
    }
}
