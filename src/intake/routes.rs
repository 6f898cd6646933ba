//! Routes: which queue an address belongs to.

use std::collections::BTreeMap;

use crate::desk::QueueSettings;
use crate::id::QueueId;
use crate::mail::address::Address;
use crate::mail::threading::Windows;
use crate::mail::token::DELIMITER;

/// Where mail to one address goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// The queue.
    pub queue: QueueId,
    /// The queue's address, without a detail.
    pub mailbox: String,
}

/// All addresses of the queues. Letter case does not matter in any part of them, as Postfix does
/// not mind it for local users either.
#[derive(Debug, Clone, Default)]
pub struct Routes {
    by_address: BTreeMap<String, Destination>,
    queues: BTreeMap<QueueId, QueueSettings>,
}

impl Routes {
    /// The routes of a configuration.
    #[must_use]
    pub fn new(queues: &[QueueSettings]) -> Self {
        let mut by_address = BTreeMap::new();
        for queue in queues {
            for mailbox in &queue.mailboxes {
                let destination = Destination {
                    queue: queue.id.clone(),
                    mailbox: mailbox.address.clone(),
                };
                by_address.insert(mailbox.address.to_lowercase(), destination);
            }
        }
        let queues = queues.iter().map(|queue| (queue.id.clone(), queue.clone()));
        Self {
            by_address,
            queues: queues.collect(),
        }
    }

    /// The rules of a queue.
    #[must_use]
    pub fn queue(&self, queue: &QueueId) -> Option<&QueueSettings> {
        self.queues.get(queue)
    }

    /// How long ended cases of a queue can be continued.
    #[must_use]
    pub fn windows(&self, queue: &QueueId) -> Windows {
        self.queue(queue)
            .map_or_else(Windows::default, |queue| queue.windows)
    }

    /// Where mail to this address goes; `None` if it is not ours. The address with its detail is
    /// tried first, so that a queue may have an address with a plus in it.
    #[must_use]
    pub fn find(&self, address: &[u8]) -> Option<&Destination> {
        let address = Address::parse_bytes(address).ok()?;
        let (plain, _) = address.split_detail(DELIMITER);
        [address, plain]
            .iter()
            .find_map(|address| self.by_address.get(&address.normalised().to_lowercase()))
    }

    /// The domains of all addresses, each once.
    #[must_use]
    pub fn domains(&self) -> Vec<String> {
        let mut domains: Vec<String> = self
            .by_address
            .keys()
            .filter_map(|address| address.rsplit_once('@'))
            .map(|(_, domain)| domain.to_owned())
            .collect();
        domains.sort_unstable();
        domains.dedup();
        domains
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desk::Mailbox;

    fn routes() -> Routes {
        let queues = [
            ("support", vec!["support@shop.example", "help@shop.example"]),
            ("plus", vec!["support+plus@shop.example"]),
        ]
        .map(|(id, addresses)| {
            let mut queue = QueueSettings::new(id.parse().unwrap());
            queue.mailboxes = addresses
                .into_iter()
                .map(|address| Mailbox {
                    address: address.to_owned(),
                    display_name: String::new(),
                })
                .collect();
            queue
        });
        Routes::new(&queues)
    }

    #[test]
    fn addresses_find_their_queue() {
        let routes = routes();
        for (address, found) in [
            ("support@shop.example", Some("support")),
            ("SUPPORT@Shop.Example", Some("support")),
            ("help+urgent@shop.example", Some("support")),
            ("support+newsletter@shop.example", Some("support")),
            ("support+plus@shop.example", Some("plus")),
            ("support@shop.example.", Some("support")),
            ("support", None),
            ("", None),
            ("postmaster@shop.example", None),
            ("support@elsewhere.example", None),
            ("\"support\"@shop.example", Some("support")),
        ] {
            let queue = routes
                .find(address.as_bytes())
                .map(|found| found.queue.as_str());
            assert_eq!(queue, found, "{address}");
        }
        assert!(routes.find(b"\xff@shop.example").is_none());
        assert_eq!(routes.domains(), ["shop.example"]);
    }
}
