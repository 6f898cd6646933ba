//! What Postfix's configuration and ours make of each other: each sentence names what would go
//! wrong, and the parameter.

use std::path::Path;

use postroom::config::Config;
use postroom::milter::Address;

use super::postfix::{Filter, Postfix, Service, filters};

/// Bytes of header fields that we may add to a letter, which count in Postfix's limit too.
const HEADER_BYTES: u64 = 8 << 10;

/// How long the end of a message may take with us, in seconds, before Postfix gives up on us.
const CONTENT_SECONDS: u64 = 120;

/// Services that Postfix's own example calls so take mail from people of the house.
const SUBMISSION: [&str; 5] = ["submission", "submissions", "smtps", "587", "465"];

/// All advice there is, the most important first.
pub(super) fn of(config: &Config, postfix: &Postfix) -> Vec<String> {
    let Ok(ours) = config.milter.listen.get_ref().parse::<Address>() else {
        return Vec::new();
    };
    let advisor = Advisor {
        config,
        postfix,
        ours,
    };
    let mut advice = Vec::new();
    advisor.place(&mut advice);
    advisor.limits(&mut advice);
    advisor.ways_round(&mut advice);
    advisor.socket(&mut advice);
    advisor.details(&mut advice);
    advice
}

struct Advisor<'a> {
    config: &'a Config,
    postfix: &'a Postfix,
    ours: Address,
}

impl Advisor<'_> {
    /// The services that show us mail, each with its list of filters.
    fn doors(&self) -> Vec<(&Service, Vec<Filter>)> {
        let smtpd = (self.postfix.services.iter()).filter(|service| service.program == "smtpd");
        smtpd
            .map(|service| {
                (
                    service,
                    filters(self.postfix.seen_by(service, "smtpd_milters")),
                )
            })
            .filter(|(_, filters)| filters.iter().any(|filter| self.is_us(filter)))
            .collect()
    }

    fn is_us(&self, filter: &Filter) -> bool {
        self.postfix.means(&filter.place, &self.ours)
    }

    /// Whether we are named, who stands behind us, and what happens while we are away.
    fn place(&self, advice: &mut Vec<String>) {
        let doors = self.doors();
        if doors.is_empty() {
            advice.push(format!(
                "no smtpd of Postfix shows mail to this gateway: smtpd_milters = {} is neither in \
                 main.cf nor at a service of master.cf",
                self.ours
            ));
            return;
        }
        for (service, filters) in doors {
            let name = &service.name;
            let behind = (filters.iter().rev())
                .take_while(|filter| !self.is_us(filter))
                .last();
            if let Some(behind) = behind {
                advice.push(format!(
                    "{name}: the filter {} stands behind this gateway in smtpd_milters: what it \
                     refuses is somebody's work already",
                    behind.place
                ));
            }
            let own = filters.iter().find(|filter| self.is_us(filter));
            let setting = |key: &str, general: &str| {
                let own = own.and_then(|filter| filter.settings.get(key).cloned());
                own.unwrap_or_else(|| self.postfix.seen_by(service, general).to_owned())
            };
            let harm = match setting("default_action", "milter_default_action").as_str() {
                "accept" => "mail passes by unseen while the gateway is away",
                "reject" => "mail is refused for good while the gateway is away",
                "quarantine" => {
                    "mail is put on hold while the gateway is away, and nobody is shown it when it \
                     is released (postsuper -H); postsuper -r shows it to non_smtpd_milters only"
                }
                _ => "",
            };
            if !harm.is_empty() {
                advice.push(format!(
                    "{name}: milter_default_action is not tempfail: {harm}"
                ));
            }
            let timeout = setting("content_timeout", "milter_content_timeout");
            if seconds(&timeout).is_some_and(|seconds| seconds < CONTENT_SECONDS) {
                advice.push(format!(
                    "{name}: milter_content_timeout = {timeout} is less than {CONTENT_SECONDS}s: \
                     Postfix may give up on a letter that is being written down, and take it twice"
                ));
            }
        }
    }

    fn limits(&self, advice: &mut Vec<String>) {
        let ours = self.config.milter.message_bytes_max;
        match self.postfix.get("message_size_limit").parse::<u64>() {
            // 0 means no limit at all.
            Ok(limit @ 1..) if ours.saturating_add(HEADER_BYTES) > limit => advice.push(format!(
                "milter.message_bytes_max = {ours} is less than 8 KiB below Postfix's \
                 message_size_limit = {limit}: a letter just below that limit bounces once our \
                 header fields are in it"
            )),
            _ => {}
        }
    }

    /// How mail gets past us, comes twice, or comes from the house.
    fn ways_round(&self, advice: &mut Vec<String>) {
        let outbound = self.config.outbound.server.get_ref();
        for (service, _) in self.doors() {
            let name = &service.name;
            let filter = self.postfix.seen_by(service, "content_filter");
            if !filter.is_empty() {
                advice.push(format!(
                    "{name}: content_filter = {filter} brings letters back: the smtpd that takes \
                     them needs smtpd_milters= or receive_override_options=no_milters"
                ));
            }
            let proxy = self.postfix.seen_by(service, "smtpd_proxy_filter");
            if !proxy.is_empty() {
                advice.push(format!(
                    "{name}: with smtpd_proxy_filter = {proxy} filters are shown no content, and \
                     every letter is refused: name the gateway at the smtpd behind the proxy"
                ));
            }
            if SUBMISSION.contains(&name.rsplit(':').next().unwrap_or(name)) {
                advice.push(format!(
                    "{name}: mail that the house submits is shown to this gateway too: give the \
                     service smtpd_milters= if it is not to become cases"
                ));
            }
            let same_door =
                name == outbound || (name == "smtp" && outbound.rsplit(':').next() == Some("25"));
            let shown_again =
                !(self.postfix.seen_by(service, "receive_override_options")).contains("no_milters");
            if same_door && shown_again {
                advice.push(format!(
                    "{name}: outbound.server = {outbound} hands answers to a service that shows \
                     them to this gateway again: give answers a service of their own with \
                     smtpd_milters="
                ));
            }
        }
        let classes = self.postfix.get("internal_mail_filter_classes");
        if !classes.is_empty() {
            advice.push(format!(
                "internal_mail_filter_classes = {classes} shows Postfix's own bounces and notices \
                 to filters: they can come back as cases"
            ));
        }
    }

    /// Whether Postfix's processes can reach our socket.
    fn socket(&self, advice: &mut Vec<String>) {
        let Address::Unix(path) = &self.ours else {
            return;
        };
        let folder = self.postfix.queue_folder();
        if path.starts_with(&folder) {
            return;
        }
        let caged: Vec<&str> = (self.postfix.services.iter())
            .filter(|service| service.chroot)
            .map(|service| service.name.as_str())
            .collect();
        if !caged.is_empty() {
            advice.push(format!(
                "{} run in a chroot and see nothing outside of {}: put the socket below it, such as \
                 milter.listen = \"unix:{}\", or switch the chroot off in master.cf",
                caged.join(", "),
                folder.display(),
                folder
                    .join("postroom")
                    .join(path.file_name().unwrap_or_else(|| Path::new("milter.sock").as_os_str()))
                    .display()
            ));
        }
    }

    fn details(&self, advice: &mut Vec<String>) {
        let get = |name| self.postfix.get(name);
        if get("enable_long_queue_ids") == "no" {
            advice.push(
                "enable_long_queue_ids = no: queue ids are used again within seconds, and log lines \
                 of two letters look like one"
                    .to_owned(),
            );
        }
        if !get("recipient_delimiter").contains('+') {
            advice.push(
                "recipient_delimiter has no +: Postfix does not know addresses such as \
                 support+detail@, by which replies find their cases"
                    .to_owned(),
            );
        }
        let checks = get("milter_header_checks");
        if !checks.is_empty() {
            advice.push(format!(
                "milter_header_checks = {checks} is asked about the header fields that we add: a \
                 HOLD, DISCARD or REJECT there hits letters that are filed already"
            ));
        }
        if matches!(get("milter_protocol"), "2" | "3" | "4") {
            advice.push(format!(
                "milter_protocol = {}: with 6 the gateway is shown header fields exactly, as DKIM \
                 needs them, and waits less",
                get("milter_protocol")
            ));
        }
    }
}

/// Reads a time of Postfix's: `300s`, `5m`, `1h`, or seconds without a unit.
fn seconds(time: &str) -> Option<u64> {
    let digits = time.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match time.get(digits.len()..)? {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "[gateway]\ndata_dir = \"d\"\nname = \"shop.example\"\n\
        [outbound]\nserver = \"127.0.0.1:10026\"\n\
        [[queue]]\nid = \"support\"\naddresses = [\"a@shop.example\"]\n";

    const MAIN: &str = "queue_directory = /var/spool/postfix\n\
        smtpd_milters = inet:127.0.0.1:8891\nmilter_default_action = tempfail\n\
        milter_protocol = 6\nmilter_content_timeout = 300s\nmilter_header_checks =\n\
        message_size_limit = 20000000\ncontent_filter =\nsmtpd_proxy_filter =\n\
        enable_long_queue_ids = yes\nrecipient_delimiter = +\n\
        internal_mail_filter_classes =\nreceive_override_options =\n";

    const MASTER: &str = "smtp inet n - y - - smtpd\n127.0.0.1:10026 inet n - y - - smtpd\n\
        cleanup unix n - y - 0 cleanup\n";

    const OVERRIDES: &str = "127.0.0.1:10026/inet/smtpd_milters =\n";

    fn advice(ours: &str, main: &str, master: &str, overrides: &str) -> Vec<String> {
        let config = Config::parse(ours).unwrap();
        of(&config, &Postfix::read(main, master, overrides))
    }

    #[test]
    fn what_the_readme_says_needs_no_advice() {
        assert_eq!(advice(OURS, MAIN, MASTER, OVERRIDES), [""; 0]);
        // Postfix 3.11 disconnects the client while we are away, which loses nothing either.
        let main = MAIN.replace("tempfail", "shutdown");
        assert_eq!(advice(OURS, &main, MASTER, OVERRIDES), [""; 0]);
        let main = MAIN.replace("20000000", "0");
        assert_eq!(advice(OURS, &main, MASTER, OVERRIDES), [""; 0]);
    }

    #[test]
    fn each_mistake_in_main_cf_is_told() {
        for (good, bad, told) in [
            (
                "inet:127.0.0.1:8891",
                "inet:127.0.0.1:8892",
                "no smtpd of Postfix shows",
            ),
            ("= inet:127", "= inet:10.0.0.1:1, inet:127", ""),
            (
                ":8891",
                ":8891, inet:127.0.0.1:11332, unix:x",
                "smtp: the filter inet:127.0.0.1:11332 stands behind",
            ),
            (
                "tempfail",
                "accept",
                "smtp: milter_default_action is not tempfail: mail passes",
            ),
            (
                "tempfail",
                "reject",
                "smtp: milter_default_action is not tempfail: mail is refused",
            ),
            (
                "tempfail",
                "quarantine",
                "smtp: milter_default_action is not tempfail: mail is put",
            ),
            (
                "inet:127.0.0.1:8891",
                "{ inet:127.0.0.1:8891, default_action=accept }",
                "smtp: milter_default_action is not tempfail",
            ),
            ("300s", "1m", "smtp: milter_content_timeout = 1m is less"),
            ("300s", "2m", ""),
            (
                "20000000",
                "10008191",
                "milter.message_bytes_max = 10000000 is less than 8 KiB",
            ),
            ("20000000", "10008192", ""),
            (
                "content_filter =",
                "content_filter = smtp:[x]:1",
                "smtp: content_filter = smtp:[x]:1",
            ),
            (
                "proxy_filter =",
                "proxy_filter = x:1",
                "smtp: with smtpd_proxy_filter = x:1",
            ),
            ("ids = yes", "ids = no", "enable_long_queue_ids = no"),
            (
                "recipient_delimiter = +",
                "recipient_delimiter =",
                "recipient_delimiter has no +",
            ),
            ("recipient_delimiter = +", "recipient_delimiter = -+", ""),
            (
                "header_checks =",
                "header_checks = regexp:x",
                "milter_header_checks = regexp:x",
            ),
            ("protocol = 6", "protocol = 2", "milter_protocol = 2"),
            (
                "classes =",
                "classes = bounce",
                "internal_mail_filter_classes = bounce",
            ),
        ] {
            let main = MAIN.replace(good, bad);
            assert_ne!(main, MAIN, "{good}");
            let found = advice(OURS, &main, MASTER, OVERRIDES);
            if told.is_empty() {
                assert_eq!(found, [""; 0], "{bad}");
            } else {
                assert_eq!(found.len(), 1, "{bad}: {found:?}");
                assert!(found[0].starts_with(told), "{bad}: {found:?}");
            }
        }
    }

    #[test]
    fn each_mistake_in_master_cf_is_told() {
        let door = "127.0.0.1:10026: outbound.server = 127.0.0.1:10026 hands answers";
        assert!(advice(OURS, MAIN, MASTER, "")[0].starts_with(door));
        let no_milters = "127.0.0.1:10026/inet/receive_override_options = no_milters\n";
        assert_eq!(advice(OURS, MAIN, MASTER, no_milters), [""; 0]);
        let master = format!("{MASTER}submission inet n - y - - smtpd\n");
        let found = advice(OURS, MAIN, &master, OVERRIDES);
        assert!(
            found[0].starts_with("submission: mail that the house submits"),
            "{found:?}"
        );
        let closed = format!("{OVERRIDES}submission/inet/smtpd_milters =\n");
        assert_eq!(advice(OURS, MAIN, &master, &closed), [""; 0]);
        // Named at a service only.
        let main = MAIN.replace("= inet:127.0.0.1:8891", "=");
        let named = "smtp/inet/smtpd_milters = inet:localhost:8891\n";
        assert_eq!(advice(OURS, &main, MASTER, named), [""; 0]);
    }

    #[test]
    fn a_caged_postfix_reaches_only_its_own_folder() {
        let listen = |path: &str| format!("[milter]\nlisten = \"unix:{path}\"\n{OURS}");
        let inside = listen("/var/spool/postfix/postroom/m.sock");
        let main = MAIN.replace("inet:127.0.0.1:8891", "unix:postroom/m.sock");
        assert_eq!(advice(&inside, &main, MASTER, OVERRIDES), [""; 0]);
        let outside = listen("/run/postroom/m.sock");
        let main = MAIN.replace("inet:127.0.0.1:8891", "unix:/run/postroom/m.sock");
        let found = advice(&outside, &main, MASTER, OVERRIDES);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].contains("\"unix:/var/spool/postfix/postroom/m.sock\""),
            "{found:?}"
        );
        let free = MASTER.replace(" y ", " n ");
        assert_eq!(advice(&outside, &main, &free, OVERRIDES), [""; 0]);
    }

    #[test]
    fn times_of_postfix() {
        for (text, expected) in [
            ("300s", Some(300)),
            ("300", Some(300)),
            ("5m", Some(300)),
            ("1h", Some(3600)),
            ("", None),
            ("1x", None),
            ("s", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }
}
