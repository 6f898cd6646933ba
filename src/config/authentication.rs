//! The `[authentication]` section: how senders are proven, and in what time.

use std::net::SocketAddr;

use serde::Deserialize;
use toml::Spanned;

use super::check::Check;
use super::unplaced;
use crate::intake::authenticate::Resolver;

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

impl Authentication {
    pub(super) fn check(&self, check: &mut Check<'_>) {
        if self.resolver().is_none() {
            let what = "authentication.resolver must be system, off, or addresses with ports such as 127.0.0.1:53".to_owned();
            check.blame(&self.resolver, what);
        }
        if !(1..=60).contains(&self.timeout_seconds) {
            check.whole("authentication.timeout_seconds must be 1 to 60".to_owned());
        }
    }

    /// The name servers to ask; `None` if the text makes no sense.
    #[must_use]
    pub fn resolver(&self) -> Option<Resolver> {
        match self.resolver.get_ref().as_str() {
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
}
