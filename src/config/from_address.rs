//! The `[[from_address]]`es: what agents may send from beside their queues' own addresses.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::check::Check;
use super::queue::Queue;
use crate::desk;
use crate::id::{AgentId, QueueId};
use crate::mail::address::Address;
use crate::mail::mailbox::NAME_CHARS_MAX;

/// Most of them: one for each agent of a large house.
const FROM_ADDRESSES_MAX: usize = 5000;

/// One address.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FromAddress {
    /// The address. Answers to what is sent from it, and reports about that, come to an address of
    /// the queue; mail to itself is none of Postroom's. No default.
    pub address: Spanned<String>,
    /// The name beside it in From; `{agent}` stands for the agent's. Default: `from_name` of the
    /// queue.
    pub display_name: Option<Spanned<String>>,
    /// The ids of the queues for whose mail it is, at least one; what agents begin from it is the
    /// first's that they serve. No default.
    pub queues: Vec<Spanned<String>>,
    /// The ids of the agents who may send from it. Default: none are named, and all who serve the
    /// queues may.
    #[serde(default)]
    pub agents: Vec<Spanned<String>>,
}

impl FromAddress {
    pub(super) fn known(&self) -> Option<desk::FromAddress> {
        let name = self.display_name.as_ref();
        let queues = self.queues.iter().map(|id| id.get_ref().parse().ok());
        let agents = self.agents.iter().map(|id| id.get_ref().parse().ok());
        Some(desk::FromAddress {
            mailbox: desk::Mailbox {
                address: Address::parse(self.address.get_ref()).ok()?.normalised(),
                display_name: name.map_or_else(String::new, |name| name.get_ref().clone()),
            },
            queues: queues.collect::<Option<Vec<QueueId>>>()?,
            agents: agents.collect::<Option<_>>()?,
        })
    }
}

/// Checks that each is one address of nobody else's, for queues that there are.
pub(super) fn check_all(all: &[FromAddress], queues: &[Queue], check: &mut Check<'_>) {
    let mut lines: BTreeMap<String, usize> = BTreeMap::new();
    for from in all {
        match Address::parse(from.address.get_ref()) {
            Ok(address) => check_owner(from, &address.normalised(), queues, &mut lines, check),
            Err(error) => {
                let what = format!("{:?} is no address: {error}", from.address.get_ref());
                check.blame(&from.address, what);
            }
        }
        if let Some(name) = &from.display_name {
            check_name("display_name", name, check);
        }
        if from.queues.is_empty() {
            let what = format!("{} is for no queue", from.address.get_ref());
            check.blame(&from.address, what);
        }
        for queue in &from.queues {
            if !queues
                .iter()
                .any(|known| known.id.get_ref() == queue.get_ref())
            {
                check.blame(queue, format!("there is no queue {}", queue.get_ref()));
            }
        }
        for agent in &from.agents {
            if agent.get_ref().parse::<AgentId>().is_err() {
                let what = format!(
                    "agent id {:?} is not 2 to 63 of a-z, 0-9 and -",
                    agent.get_ref()
                );
                check.blame(agent, what);
            }
        }
    }
    if let Some(last) = all.get(FROM_ADDRESSES_MAX) {
        let what = format!("there are more than {FROM_ADDRESSES_MAX} from_addresses");
        check.blame(&last.address, what);
    }
}

/// Checks that it is no queue's, which would have it anyway, and stands here once.
fn check_owner(
    from: &FromAddress,
    address: &str,
    queues: &[Queue],
    lines: &mut BTreeMap<String, usize>,
    check: &mut Check<'_>,
) {
    let owns = |queue: &&Queue| {
        let mut own = queue.addresses.iter();
        own.any(|own| Address::parse(own.get_ref()).is_ok_and(|own| own.normalised() == address))
    };
    if let Some(queue) = queues.iter().find(owns) {
        let what = format!("{address} is an address of queue {}", queue.id.get_ref());
        check.blame(&from.address, what);
    }
    let line = check.line(&from.address);
    if let Some(first) = lines.insert(address.to_owned(), line) {
        let what = format!("{address} is defined twice, first in line {first}");
        check.blame(&from.address, what);
    }
}

/// Checks a name as it stands in From.
pub(super) fn check_name(key: &str, name: &Spanned<String>, check: &mut Check<'_>) {
    let text = name.get_ref();
    let bad = text.trim().is_empty() || text.contains(char::is_control);
    if bad || text.chars().count() > NAME_CHARS_MAX {
        let what = format!("{key} must be one line of 1 to {NAME_CHARS_MAX} characters");
        check.blame(name, what);
    }
}
