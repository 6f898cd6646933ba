//! The configuration file: one struct and one file a section, every field explained at the field.
//!
//! Unknown keys are refused, so that a misspelt one does not silently mean its default. Every
//! problem is reported with its line, all at once. `contrib/postroom.toml` is the commented
//! example; the README has the same fields as a table.

mod agents;
mod authentication;
mod check;
mod control;
mod dkim;
mod from_address;
mod gateway;
mod hours;
mod milter;

mod outbound;
mod queue;
mod rule;
mod store;

use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

pub use agents::{Agents, Reason};
pub use authentication::Authentication;
pub use check::Problem;
use check::{Check, line_of};
pub use control::Control;
pub use dkim::Dkim;
pub use from_address::FromAddress;
pub use gateway::Gateway;
pub use hours::Hours;
pub use milter::Milter;
pub use outbound::{Outbound, Security};
pub use queue::{Decline, Queue};
pub use rule::Rule;
pub use store::Store;

use crate::desk::{HouseRules, QueueSettings};
use crate::intake::policy::Policy;
use crate::mail::address::normal_domain;

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
    /// Keys with which messages that leave are signed (DKIM). Without one for a message's author,
    /// signing is left to the MTA.
    #[serde(default)]
    pub dkim: Vec<Dkim>,
    /// How senders are proven.
    #[serde(default)]
    pub authentication: Authentication,
    /// How the disk is used.
    #[serde(default)]
    pub store: Store,
    /// The queues, at least one.
    #[serde(default)]
    pub queue: Vec<Queue>,
    /// Addresses that agents may send from beside those of their queues.
    #[serde(default)]
    pub from_address: Vec<FromAddress>,
    /// Opening hours that queues may name.
    #[serde(default)]
    pub hours: Vec<Hours>,
    /// What holds for every agent.
    #[serde(default)]
    pub agents: Agents,
    /// The reasons that agents give.
    #[serde(default)]
    pub reason: Vec<Reason>,
    /// What shall be done with some letters. The first that matches decides, and the others are
    /// not asked; a letter that none matches is filed as usual.
    #[serde(default)]
    pub rule: Vec<Rule>,
}

fn unplaced(text: &str) -> Spanned<String> {
    Spanned::new(0..0, text.to_owned())
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
        self.gateway.check(check);
        self.milter.check(check);
        self.control.check(check);
        self.outbound.check(check);
        dkim::check_all(&self.dkim, check);
        self.authentication
            .check(self.gateway.name.get_ref(), check);
        self.store.check(check);
        if self.queue.is_empty() {
            check.whole("there is no [[queue]]: no mail would be taken".to_owned());
        }
        hours::check_all(&self.hours, check);
        for queue in &self.queue {
            queue.check_hours(&self.hours, check);
        }
        queue::check_all(&self.queue, self.outbound.signed_addresses, check);
        from_address::check_all(&self.from_address, &self.queue, check);
        agents::check_reasons(&self.reason, check);
        self.check_rules(check);
    }

    /// What differs in another configuration and cannot be taken over without a restart: keys, and
    /// sections of which it holds for every key.
    #[must_use]
    pub fn fixed(&self, other: &Self) -> Vec<&'static str> {
        let keys = [
            (
                "gateway.data_dir",
                self.gateway.data_dir == other.gateway.data_dir,
            ),
            ("gateway.name", self.gateway.name == other.gateway.name),
            ("milter.listen", self.milter.listen == other.milter.listen),
            (
                "milter.connections_max",
                self.milter.connections_max == other.milter.connections_max,
            ),
            ("[control]", self.control == other.control),
            ("[outbound]", self.outbound == other.outbound),
            ("[[dkim]]", self.dkim == other.dkim),
            ("[store]", self.store == other.store),
        ];
        let differ = keys.into_iter().filter(|(_, same)| !same);
        differ.map(|(key, _)| key).collect()
    }

    /// The control socket's path.
    #[must_use]
    pub fn control_socket(&self) -> PathBuf {
        (self.control.socket.clone()).unwrap_or_else(|| self.gateway.data_dir.join("control.sock"))
    }

    /// What is set about mail coming in. What does not pass [`Self::parse`] is left out.
    #[must_use]
    pub fn policy(&self) -> Policy {
        let domains = self.gateway.queue_domains.iter();
        Policy {
            doors: self.queue.iter().filter_map(Queue::door).collect(),
            queue_domains: domains
                .filter_map(|domain| normal_domain(domain.get_ref()).ok())
                .collect(),
            rules: self.rules(),
            tag_foreign: self.gateway.tag_foreign,
            forwarders: self.authentication.forwarders(),
            takes_disowned: !self.authentication.dmarc_reject,
        }
    }

    /// What holds for every agent, as the desk wants it.
    #[must_use]
    pub fn house(&self) -> HouseRules {
        let zone = self.gateway.zone();
        agents::house(&self.agents, &self.reason, &self.from_address, zone)
    }

    /// The queues as the desk wants them. Those that do not pass [`Self::parse`] are left out.
    #[must_use]
    pub fn queues(&self) -> Vec<QueueSettings> {
        let hours = hours::known(&self.hours);
        let queues = self.queue.iter();
        queues.filter_map(|queue| queue.settings(&hours)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::authenticate::Resolver;

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
        assert_eq!(config.authentication.resolver(), Some(Resolver::System));
        assert_eq!(config.control_socket(), Path::new("/tmp/x/control.sock"));
    }

    #[test]
    fn every_problem_has_its_line() {
        let from = |fields: &str| format!("{SMALL}[[from_address]]\n{fields}\n");
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
                &format!("{SMALL}undo_seconds = 121\n"),
                "9: undo_seconds is over 120",
            ),
            (
                &format!("{SMALL}preferred_agent_seconds = 86401\n"),
                "9: preferred_agent_seconds is over 86400",
            ),
            (
                &format!("{SMALL}skill_relax_seconds = 604801\n"),
                "9: skill_relax_seconds is over 604800",
            ),
            (
                &format!("{SMALL}ageing_seconds = 604801\n"),
                "9: ageing_seconds is over 604800",
            ),
            (
                &format!("{SMALL}ageing_max = 0\n"),
                "9: ageing_max must be 1 to 200",
            ),
            (
                &format!("{SMALL}ageing_max = 201\n"),
                "9: ageing_max must be 1 to 200",
            ),
            (
                &format!("{SMALL}strategy = \"random\"\n"),
                "9: unknown variant `random`",
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
            (
                &SMALL.replace("Support@Shop", "the-whole-of-customer-support@Shop"),
                "8: the-whole-of-customer-support@shop.example leaves no room for a token",
            ),
            (
                &format!("{SMALL}attribution = \"On {{weekday}}\"\n"),
                "9: attribution has braces around other than",
            ),
            (
                &format!("{SMALL}from_name = \" \"\n"),
                "9: from_name must be one line of",
            ),
            (
                &format!("{SMALL}subject_tag = \"a]b\"\n"),
                "9: subject_tag must be",
            ),
            (
                &from("address = \"x\"\nqueues = [\"support\"]"),
                "10: \"x\" is no address",
            ),
            (
                &from("address = \"jörg@shop.example\"\nqueues = [\"support\"]"),
                "10: jörg@shop.example has letters other than ASCII",
            ),
            (
                &from("address = \"support@shop.example\"\nqueues = [\"support\"]"),
                "10: support@shop.example is an address of queue support",
            ),
            (
                &from("address = \"a@shop.example\"\nqueues = []"),
                "10: a@shop.example is for no queue",
            ),
            (
                &from("address = \"a@shop.example\"\nqueues = [\"sales\"]"),
                "11: there is no queue sales",
            ),
            (
                &from("address = \"a@shop.example\"\nqueues = [\"support\"]\nagents = [\"A\"]"),
                "12: agent id \"A\" is not",
            ),
            (
                &from("address = \"a@shop.example\"\nqueues = [\"support\"]\ndisplay_name = \"\""),
                "12: display_name must be",
            ),
            (
                &from(
                    "address = \"a@shop.example\"\nqueues = [\"support\"]\n[[from_address]]\n\
                     address = \"A@shop.example\"\nqueues = [\"support\"]",
                ),
                "13: a@shop.example is defined twice, first in line 10",
            ),
            (
                &format!("{SMALL}follow_up_days = 3\n"),
                "9: queue support: follow_up_days must not be less than reopen_days",
            ),
            (
                &format!("{SMALL}wrap_up_codes = \"required\"\n"),
                "9: queue support: wrap_up_codes = \"required\" leaves no time",
            ),
            (
                &format!("{SMALL}wrap_up_extensions = 1\n"),
                "9: queue support: there is no post-processing to extend",
            ),
            (
                &format!("{SMALL}cooldown_max_seconds = 4\n"),
                "9: queue support: cooldown_max_seconds must be",
            ),
            (
                &format!("{SMALL}rejected_limit = 0\n"),
                "9: queue support: rejected_limit must be",
            ),
            (
                &format!("{SMALL}[[reason]]\ncode = \"a b\"\nkind = \"reject\"\n"),
                "10: reason \"a b\" is not",
            ),
            (
                &format!("{SMALL}[[reason]]\ncode = \"missed\"\nkind = \"offline\"\n"),
                "10: offline reason missed is Postroom's own",
            ),
            (
                &format!("{SMALL}[[reason]]\ncode = \"tea\"\nkind = \"break\"\n"),
                "11: unknown variant",
            ),
            (
                &format!("{SMALL}[[reason]]\ncode = \"tea\"\nkind = \"offline\"\nlabel = \" \"\n"),
                "12: label must be",
            ),
            (
                &format!(
                    "{SMALL}{0}{0}",
                    "[[reason]]\ncode = \"tea\"\nkind = \"offline\"\n"
                ),
                "13: offline reason tea is defined twice, first in line 10",
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
