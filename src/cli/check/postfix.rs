//! What Postfix on this machine says of its configuration, read through its own `postconf`.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use postroom::milter::Address;

/// How long `postconf` may take. It reads two files; what it takes longer for is a name service
/// that does not answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Most bytes that are read of an answer: large configurations have a tenth.
const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// The parameters that are asked for.
const PARAMETERS: [&str; 14] = [
    "mail_version",
    "queue_directory",
    "smtpd_milters",
    "milter_default_action",
    "milter_protocol",
    "milter_content_timeout",
    "milter_header_checks",
    "message_size_limit",
    "content_filter",
    "smtpd_proxy_filter",
    "enable_long_queue_ids",
    "recipient_delimiter",
    "internal_mail_filter_classes",
    "receive_override_options",
];

/// Postfix's configuration, as far as it concerns a filter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Postfix {
    /// Parameters of main.cf, with their references resolved.
    pub(super) parameters: BTreeMap<String, String>,
    /// The services of master.cf that take mail or clean it up.
    pub(super) services: Vec<Service>,
}

/// A service of master.cf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Service {
    /// Such as `smtp` or `127.0.0.1:10026`.
    pub(super) name: String,
    /// The program: `smtpd` or `cleanup`.
    pub(super) program: String,
    /// Whether it sees nothing but the queue folder.
    pub(super) chroot: bool,
    /// Parameters that it sets for itself.
    pub(super) overrides: BTreeMap<String, String>,
}

/// A filter as a list of filters names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Filter {
    /// Where it listens, as it is written.
    pub(super) place: String,
    /// Settings of its own.
    pub(super) settings: BTreeMap<String, String>,
}

impl Postfix {
    /// Asks `postconf`.
    ///
    /// # Errors
    ///
    /// It is not there, fails or takes too long.
    pub(super) fn ask() -> io::Result<Self> {
        let mut parameters = vec!["-x"];
        parameters.extend(PARAMETERS);
        let parameters = answer(&parameters)?;
        if parameters.trim().is_empty() {
            return Err(io::Error::other("it said nothing"));
        }
        Ok(Self::read(
            &parameters,
            &answer(&["-M"])?,
            &answer(&["-x", "-P"])?,
        ))
    }

    /// Reads the answers: parameters, services, and the services' own parameters.
    pub(super) fn read(parameters: &str, services: &str, overrides: &str) -> Self {
        let mut services: Vec<(String, Service)> = services.lines().filter_map(service).collect();
        for (key, value) in overrides.lines().filter_map(assignment) {
            let Some((owner, parameter)) = key.rsplit_once('/') else {
                continue;
            };
            for (id, service) in &mut services {
                if id == owner {
                    (service.overrides).insert(parameter.to_owned(), value.to_owned());
                }
            }
        }
        let parameters = parameters.lines().filter_map(assignment);
        Self {
            parameters: parameters
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            services: services.into_iter().map(|(_, service)| service).collect(),
        }
    }

    /// A parameter of main.cf; empty if it is not known.
    pub(super) fn get(&self, name: &str) -> &str {
        self.parameters.get(name).map_or("", String::as_str)
    }

    /// A parameter as a service sees it.
    pub(super) fn seen_by<'a>(&'a self, service: &'a Service, name: &str) -> &'a str {
        (service.overrides.get(name)).map_or_else(|| self.get(name), String::as_str)
    }

    /// Whether a filter's place is this address of ours. Postfix looks for relative socket names
    /// below its queue folder.
    pub(super) fn means(&self, place: &str, ours: &Address) -> bool {
        match (place.parse(), ours) {
            (Ok(Address::Unix(path)), Address::Unix(own)) => {
                path == *own || self.queue_folder().join(path) == *own
            }
            (
                Ok(Address::Inet { host, port }),
                Address::Inet {
                    host: own_host,
                    port: own_port,
                },
            ) => {
                let local = |host: &str| matches!(host, "localhost" | "127.0.0.1" | "::1");
                let any = |host: &str| matches!(host, "0.0.0.0" | "::");
                port == *own_port
                    && (host == *own_host || any(own_host) || (local(&host) && local(own_host)))
            }
            _ => false,
        }
    }

    /// The folder below which chrooted services see files.
    pub(super) fn queue_folder(&self) -> PathBuf {
        match self.get("queue_directory") {
            "" => Path::new("/var/spool/postfix").to_owned(),
            folder => Path::new(folder).to_owned(),
        }
    }
}

/// Reads a list of filters: places between commas and blanks, or `{ place, key=value, … }`.
pub(super) fn filters(list: &str) -> Vec<Filter> {
    let mut found = Vec::new();
    let mut rest = list.trim_start();
    while !rest.is_empty() {
        let (words, after) = match rest.strip_prefix('{') {
            Some(inside) => inside.split_once('}').unwrap_or((inside, "")),
            None => rest.split_once([',', ' ', '\t']).unwrap_or((rest, "")),
        };
        let mut words = words
            .split([',', ' ', '\t'])
            .filter(|word| !word.is_empty());
        if let Some(place) = words.next() {
            // Blanks around the equals sign are allowed.
            let settings = words.collect::<Vec<&str>>().join(" ").replace(" = ", "=");
            let settings = (settings.split(' ').filter_map(|word| word.split_once('=')))
                .map(|(key, value)| (key.to_owned(), value.to_owned()));
            found.push(Filter {
                place: place.to_owned(),
                settings: settings.collect(),
            });
        }
        rest = after.trim_start_matches([',', ' ', '\t']);
    }
    found
}

/// Reads `name = value`.
fn assignment(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once('=')?;
    Some((name.trim(), value.trim()))
}

/// Reads a line of master.cf: name, type, private, unprivileged, chroot, wakeup, processes, command.
fn service(line: &str) -> Option<(String, Service)> {
    let mut words = line.split_ascii_whitespace();
    let (name, kind) = (words.next()?, words.next()?);
    let chroot = words.nth(2)? == "y";
    let program = words.nth(2)?;
    if !matches!(program, "smtpd" | "cleanup") {
        return None;
    }
    let service = Service {
        name: name.to_owned(),
        program: program.to_owned(),
        chroot,
        overrides: BTreeMap::new(),
    };
    Some((format!("{name}/{kind}"), service))
}

/// What `postconf` answers, within bounds of time and size.
fn answer(arguments: &[&str]) -> io::Result<String> {
    let mut child = Command::new("postconf")
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let (told, waits) = mpsc::channel();
    if let Some(output) = child.stdout.take() {
        std::thread::spawn(move || {
            let mut text = Vec::new();
            let read = output.take(ANSWER_BYTES_MAX).read_to_end(&mut text);
            // Nobody waits any more if that took too long.
            let _ = told.send(read.map(|_| text));
        });
    }
    let text = waits.recv_timeout(PATIENCE).unwrap_or_else(|_| {
        let error = format!("no answer within {} seconds", PATIENCE.as_secs());
        Err(io::Error::new(io::ErrorKind::TimedOut, error))
    });
    // Whatever it still has to say is not wanted; it may have ended already.
    let _ = child.kill();
    let _ = child.wait();
    Ok(String::from_utf8_lossy(&text?).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_filters() {
        let shown = |list: &str| -> Vec<String> {
            let filters = filters(list).into_iter();
            let settings = |filter: &Filter| -> Vec<String> {
                let settings = filter.settings.iter();
                settings
                    .map(|(key, value)| format!(" {key}={value}"))
                    .collect()
            };
            filters
                .map(|filter| format!("{}{}", filter.place, settings(&filter).concat()))
                .collect()
        };
        for (list, expected) in [
            ("", vec![]),
            ("inet:a:1", vec!["inet:a:1"]),
            ("inet:a:1, unix:b c:d", vec!["inet:a:1", "unix:b", "c:d"]),
            (
                "{ unix:p/m.sock, default_action=accept, content_timeout = 9s }, inet:a:1",
                vec![
                    "unix:p/m.sock content_timeout=9s default_action=accept",
                    "inet:a:1",
                ],
            ),
            ("{inet:a:1}{inet:b:1}", vec!["inet:a:1", "inet:b:1"]),
            ("{ }, ,", vec![]),
            ("{ inet:a:1", vec!["inet:a:1"]),
        ] {
            assert_eq!(shown(list), expected, "{list}");
        }
    }

    #[test]
    fn answers_are_read() {
        let postfix = Postfix::read(
            "smtpd_milters = inet:a:1, inet:b:1\ncontent_filter =\nnonsense\n",
            "smtp       inet  n  -  y  -  -  smtpd -o smtpd_milters=unix:a\n\
             qmgr unix n - n 300 1 qmgr\n127.0.0.1:10026 inet n - - - - smtpd\n\
             cleanup unix n - y - 0 cleanup\nshort unix\n",
            "smtp/inet/smtpd_milters = unix:a\n127.0.0.1:10026/inet/smtpd_milters =\nodd = 1\n",
        );
        assert_eq!(postfix.get("smtpd_milters"), "inet:a:1, inet:b:1");
        assert_eq!(
            (postfix.get("content_filter"), postfix.get("other")),
            ("", "")
        );
        let seen: Vec<String> = (postfix.services.iter())
            .map(|service| {
                let milters = postfix.seen_by(service, "smtpd_milters");
                let Service {
                    name,
                    program,
                    chroot,
                    ..
                } = service;
                format!("{name} {program} {chroot} {milters}")
            })
            .collect();
        assert_eq!(
            seen,
            [
                "smtp smtpd true unix:a",
                "127.0.0.1:10026 smtpd false ",
                "cleanup cleanup true inet:a:1, inet:b:1",
            ]
        );
    }

    #[test]
    fn a_place_has_several_spellings() {
        let postfix = Postfix::read("queue_directory = /q", "", "");
        for (place, ours, same) in [
            ("inet:127.0.0.1:1", "inet:127.0.0.1:1", true),
            ("inet:localhost:1", "inet:127.0.0.1:1", true),
            ("inet:1@localhost", "inet:0.0.0.0:1", true),
            ("inet:127.0.0.1:2", "inet:127.0.0.1:1", false),
            ("inet:10.0.0.1:1", "inet:127.0.0.1:1", false),
            ("unix:p/m.sock", "unix:/q/p/m.sock", true),
            ("unix:/q/p/m.sock", "unix:/q/p/m.sock", true),
            ("unix:/run/m.sock", "unix:/q/p/m.sock", false),
            ("unix:p", "inet:127.0.0.1:1", false),
            ("nonsense", "inet:127.0.0.1:1", false),
        ] {
            let ours: Address = ours.parse().unwrap();
            assert_eq!(postfix.means(place, &ours), same, "{place} {ours}");
        }
    }
}
