//! The `[milter]` section: where Postfix shows us mail, and how much of it.

use serde::Deserialize;
use toml::Spanned;

use super::check::Check;
use super::unplaced;
use crate::milter;

/// Where Postfix shows us mail.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Milter {
    /// The address that Postfix's `smtpd_milters` names: `unix:PATH` or `inet:HOST:PORT`.
    /// Default: `inet:127.0.0.1:8891`.
    pub listen: Spanned<String>,
    /// Largest message taken, in bytes. Keep it at least 8 KiB below Postfix's
    /// `message_size_limit`, because our header fields count there. Default: `10000000`.
    pub message_bytes_max: u64,
    /// Most connections from Postfix; further ones are told to come back. Keep it at twice
    /// Postfix's process limit. Default: `1000`.
    pub connections_max: usize,
}

impl Default for Milter {
    fn default() -> Self {
        Self {
            listen: unplaced("inet:127.0.0.1:8891"),
            message_bytes_max: 10_000_000,
            connections_max: 1000,
        }
    }
}

impl Milter {
    pub(super) fn check(&self, check: &mut Check<'_>) {
        if self.listen.get_ref().parse::<milter::Address>().is_err() {
            let what = "milter.listen must be unix:PATH or inet:HOST:PORT".to_owned();
            check.blame(&self.listen, what);
        }
        if self.message_bytes_max < 1024 {
            check.whole("milter.message_bytes_max is less than 1024".to_owned());
        }
        if self.connections_max == 0 {
            check.whole("milter.connections_max must be at least 1".to_owned());
        }
    }
}
