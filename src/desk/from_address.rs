//! From-addresses: what an agent may send from, and under which name.
//!
//! A queue's own addresses are its agents'; further ones, for some queues or some agents, are the
//! house's. What holds is asked when a mail is written and again when it is committed.

use std::collections::BTreeSet;

use super::{Agent, Desk, Mailbox};
use crate::id::{AgentId, QueueId};
use crate::mail::mailbox::NAME_CHARS_MAX;
use crate::mail::text::clean_line;

/// What stands in a name for that of the agent who writes.
pub const AGENT: &str = "{agent}";

/// An address to send from beside those of the queues. Mail to it is nobody's here: answers and
/// reports go to an address of the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FromAddress {
    /// The address, and the name beside it; [`AGENT`] stands for the agent's. The queue's name if
    /// that is empty.
    pub mailbox: Mailbox,
    /// For whose mail it is; the first is what a mail is begun for.
    pub queues: Vec<QueueId>,
    /// Who may use it; everybody who serves one of the queues if empty.
    pub agents: BTreeSet<AgentId>,
}

impl Desk {
    /// The mailbox that an agent sends from, if they may use this address for that queue. Letter
    /// case does not matter.
    #[must_use]
    pub fn from_mailbox(&self, queue: &QueueId, agent: &AgentId, address: &str) -> Option<Mailbox> {
        let all = self.from_mailboxes(queue, Some(agent)).into_iter();
        let mut all = all.map(|(mailbox, _)| mailbox);
        all.find(|mailbox| mailbox.address.eq_ignore_ascii_case(address))
    }

    /// What may be sent from for a queue: by one agent, with the names as customers will read
    /// them, or by anybody. The queue's own come first, then the others with who may use them.
    #[must_use]
    pub fn from_mailboxes(
        &self,
        queue: &QueueId,
        agent: Option<&AgentId>,
    ) -> Vec<(Mailbox, BTreeSet<AgentId>)> {
        let Some(settings) = self.queues.get(queue).map(|queue| &queue.settings) else {
            return Vec::new();
        };
        let writer = agent.and_then(|agent| self.agents.get(agent));
        let own = settings.mailboxes.iter().map(|mailbox| {
            let name = settings.from_name.as_deref();
            (
                mailbox,
                name.unwrap_or(&mailbox.display_name),
                BTreeSet::new(),
            )
        });
        let house = (self.policy.house.from_addresses.iter())
            .filter(|from| from.queues.contains(queue))
            .filter(|from| {
                let anybody = from.agents.is_empty() || agent.is_none();
                anybody || agent.is_some_and(|agent| from.agents.contains(agent))
            })
            .map(|from| {
                let name = match from.mailbox.display_name.as_str() {
                    "" => settings
                        .from_name
                        .as_deref()
                        .unwrap_or(&settings.display_name),
                    name => name,
                };
                (&from.mailbox, name, from.agents.clone())
            });
        own.chain(house)
            .map(|(mailbox, name, agents)| {
                let mailbox = Mailbox {
                    address: mailbox.address.clone(),
                    display_name: writer.map_or_else(|| name.to_owned(), |by| signed(name, by)),
                };
                (mailbox, agents)
            })
            .collect()
    }
}

/// A name with the agent's in it.
fn signed(name: &str, agent: &Agent) -> String {
    let own = if agent.display_name.trim().is_empty() {
        agent.id.to_string()
    } else {
        agent.display_name.clone()
    };
    clean_line(&name.replace(AGENT, &own), NAME_CHARS_MAX)
}
