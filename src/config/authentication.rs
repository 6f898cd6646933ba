//! The `[authentication]` section: how senders are proven, and in what time.

use std::net::SocketAddr;

use serde::Deserialize;
use toml::Spanned;

use super::check::Check;
use super::unplaced;
use crate::intake::authenticate::Resolver;
use crate::mail::address::normal_domain;

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
    /// Whether mail is turned away if its sender's domain asks for that and disowns it (DMARC,
    /// `p=reject`). If not, it is held. Default: `true`.
    pub dmarc_reject: bool,
    /// Domains of lists and forwarders that spoil proofs on the way, such as `lists.example`. Mail
    /// that provably comes through them is not turned away for that, and what they say of its
    /// sender under an intact ARC seal lifts it to trust C. Default: none.
    pub trusted_forwarders: Vec<Spanned<String>>,
    /// Names in which filters before Postroom write Authentication-Results. What they found is
    /// believed, and nothing is asked again. Such a filter must remove fields in its name that come
    /// from outside. Default: none.
    pub trusted_results: Vec<Spanned<String>>,
}

impl Default for Authentication {
    fn default() -> Self {
        Self {
            resolver: unplaced("system"),
            timeout_seconds: 8,
            dmarc_reject: true,
            trusted_forwarders: Vec::new(),
            trusted_results: Vec::new(),
        }
    }
}

impl Authentication {
    pub(super) fn check(&self, name: &str, check: &mut Check<'_>) {
        if self.resolver().is_none() {
            let what = "authentication.resolver must be system, off, or addresses with ports such as 127.0.0.1:53".to_owned();
            check.blame(&self.resolver, what);
        }
        if !(1..=60).contains(&self.timeout_seconds) {
            check.whole("authentication.timeout_seconds must be 1 to 60".to_owned());
        }
        for (key, domains) in [
            ("trusted_forwarders", &self.trusted_forwarders),
            ("trusted_results", &self.trusted_results),
        ] {
            for domain in domains {
                if normal_domain(domain.get_ref()).is_err() {
                    let what = format!("authentication.{key} holds domains such as mx.example");
                    check.blame(domain, what);
                }
            }
        }
        for domain in &self.trusted_results {
            if domain.get_ref().eq_ignore_ascii_case(name) {
                let what = "authentication.trusted_results has gateway.name, in which Postroom writes itself: give the filter another name".to_owned();
                check.blame(domain, what);
            }
        }
    }

    /// The forwarders, in normal form. Those that do not pass [`super::Config::parse`] are left
    /// out.
    #[must_use]
    pub fn forwarders(&self) -> Vec<String> {
        normal(&self.trusted_forwarders)
    }

    /// The filters that are believed, in normal form, as above.
    #[must_use]
    pub fn filters(&self) -> Vec<String> {
        normal(&self.trusted_results)
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

fn normal(domains: &[Spanned<String>]) -> Vec<String> {
    let domains = domains.iter();
    domains
        .filter_map(|domain| normal_domain(domain.get_ref()).ok())
        .collect()
}
