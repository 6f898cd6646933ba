//! Guessing: a client that shows many tokens which do not hold is believed none for a while.
//!
//! What is turned away is the token, not the letter: it is filed as if it had come to the queue's
//! plain address, and the answer to the client is the same, so that nobody learns from it which
//! token was a good one. The letter's other evidence counts as always, because a client may be a
//! large provider's server, from which honest people write as well.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use crate::time::Timestamp;

/// How many tokens that do not hold a client may show within [`WINDOW`]. Honest ones come one by
/// one, after a case's tokens were revoked or a key was retired.
const FAILURES_MAX: u32 = 20;

/// How long failures are counted together, from the first of them.
const WINDOW: Duration = Duration::from_secs(60 * 60);

/// Most clients remembered, a megabyte's worth. Where more are at it, further ones are not
/// counted: what keeps tokens from being guessed are the 72 bits of their MAC.
const CLIENTS_MAX: usize = 10_000;

/// Who showed how many tokens that do not hold.
#[derive(Debug, Default)]
pub struct Guessing {
    clients: BTreeMap<IpAddr, Failures>,
    /// When the table was last rid of what is over.
    swept: Timestamp,
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    since: Timestamp,
    count: u32,
}

impl Guessing {
    /// Whether tokens that this client shows are not looked at.
    #[must_use]
    pub fn is_braked(&self, client: IpAddr, now: Timestamp) -> bool {
        self.clients.get(&source(client)).is_some_and(|failures| {
            now.since(failures.since) < WINDOW && failures.count >= FAILURES_MAX
        })
    }

    /// Counts tokens of a client's that did not hold; tells whether they were its last.
    pub fn failed(&mut self, client: IpAddr, tokens: u32, now: Timestamp) -> bool {
        if now.since(self.swept) >= WINDOW {
            self.swept = now;
            self.clients
                .retain(|_, failures| now.since(failures.since) < WINDOW);
        }
        let client = source(client);
        if tokens == 0 || self.clients.len() >= CLIENTS_MAX && !self.clients.contains_key(&client) {
            return false;
        }
        let new = Failures {
            since: now,
            count: 0,
        };
        let failures = self.clients.entry(client).or_insert(new);
        if now.since(failures.since) >= WINDOW {
            *failures = new;
        }
        let before = failures.count;
        failures.count = before.saturating_add(tokens);
        before < FAILURES_MAX && failures.count >= FAILURES_MAX
    }
}

/// Who a client is taken for. Of IPv6 whoever has one address has the other 2^64 beside it.
fn source(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(address) => {
            let network = u128::from(address) >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from(network))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: u64) -> Timestamp {
        Timestamp::from_millis(1_000_000_000) + Duration::from_secs(minutes * 60)
    }

    #[test]
    fn twenty_in_an_hour() {
        let mut guessing = Guessing::default();
        let ip = |text: &str| -> IpAddr { text.parse().unwrap() };
        // Client, minute, tokens that fail; whether they were the last; whether it is braked.
        for (client, minute, tokens, last, braked) in [
            ("192.0.2.1", 0, 19, false, false),
            ("192.0.2.1", 1, 0, false, false),
            ("192.0.2.2", 1, 1, false, false),
            ("192.0.2.1", 59, 1, true, true),
            ("::ffff:192.0.2.1", 59, 0, false, true),
            ("192.0.2.1", 59, 100, false, true),
            // The hour is over.
            ("192.0.2.1", 60, 0, false, false),
            ("192.0.2.1", 61, 1, false, false),
            ("192.0.2.1", 62, 19, true, true),
            ("2001:db8::1", 62, 10, false, false),
            ("2001:db8::ffff:1", 63, 10, true, true),
            ("2001:db8:0:1::1", 63, 10, false, false),
            ("192.0.2.3", 63, u32::MAX, true, true),
            ("192.0.2.3", 63, u32::MAX, false, true),
        ] {
            let (client, now) = (ip(client), at(minute));
            assert_eq!(
                guessing.failed(client, tokens, now),
                last,
                "{client} {minute}"
            );
            assert_eq!(guessing.is_braked(client, now), braked, "{client} {minute}");
        }
    }

    #[test]
    fn a_crowd_does_not_fill_the_memory() {
        let mut guessing = Guessing::default();
        let client = |n: usize| IpAddr::V4(std::net::Ipv4Addr::from(n as u32));
        for n in 0..CLIENTS_MAX {
            guessing.failed(client(n), 1, at(0));
        }
        assert!(!guessing.failed(client(CLIENTS_MAX), FAILURES_MAX, at(1)));
        assert_eq!(guessing.clients.len(), CLIENTS_MAX);
        assert!(guessing.failed(client(1), FAILURES_MAX, at(1)));
        assert!(guessing.failed(client(CLIENTS_MAX), FAILURES_MAX, at(60)));
        assert!(guessing.clients.len() < 3);
    }
}
