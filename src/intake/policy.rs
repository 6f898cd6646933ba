//! Policy: what the administrator has set about mail coming in, beside where it goes.

use std::collections::{BTreeMap, BTreeSet};

use super::responsibility::Mode;
use super::rules::Rules;
use crate::id::QueueId;
use crate::mail::address::Address;

/// What holds for one queue's door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Door {
    /// Whether mail is taken.
    pub enabled: bool,
    /// What becomes of the MTA's copy.
    pub mode: Mode,
}

impl Default for Door {
    fn default() -> Self {
        Self {
            enabled: true,
            mode: Mode::Tag,
        }
    }
}

/// All that was set.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// The queues whose doors are not as usual.
    pub doors: BTreeMap<QueueId, Door>,
    /// Domains, in lower case, in which every address is a queue's.
    pub queue_domains: BTreeSet<String>,
    /// What is done with some letters.
    pub rules: Rules,
    /// Whether the MTA's copy tells of queue and case even if others than the queues get it.
    pub tag_foreign: bool,
    /// Domains of forwarders that may spoil proofs, in normal form.
    pub forwarders: Vec<String>,
    /// Whether letters are taken that their sender's domain disowns and wants rejected.
    pub takes_disowned: bool,
}

impl Policy {
    /// The queue's door.
    #[must_use]
    pub fn door(&self, queue: &QueueId) -> Door {
        self.doors.get(queue).copied().unwrap_or_default()
    }

    /// Whether an address that is no queue's is nobody's: its domain is all ours. `postmaster` has
    /// to be reachable in every domain (RFC 5321, section 4.5.1) and is left to the MTA.
    #[must_use]
    pub fn is_nobody(&self, address: &[u8]) -> bool {
        !self.queue_domains.is_empty()
            && Address::parse_bytes(address).is_ok_and(|address| {
                self.queue_domains.contains(address.domain())
                    && !address.local().eq_ignore_ascii_case("postmaster")
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_a_domain_of_queues_who_is_no_queue_is_nobody() {
        let policy = Policy {
            queue_domains: BTreeSet::from(["shop.example".to_owned()]),
            ..Policy::default()
        };
        for (address, nobody) in [
            ("joe@shop.example", true),
            ("Joe+x@SHOP.example.", true),
            ("joe@eu.shop.example", false),
            ("joe@elsewhere.example", false),
            ("PostMaster@shop.example", false),
            ("postmaster", false),
            ("joe", false),
            ("", false),
        ] {
            assert_eq!(policy.is_nobody(address.as_bytes()), nobody, "{address}");
        }
        assert!(!policy.is_nobody(b"\xff@shop.example"));
        assert!(!Policy::default().is_nobody(b"joe@shop.example"));
    }
}
