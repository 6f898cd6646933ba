//! The `[outbound]` section: where answers are handed to, and how.

use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use super::check::Check;
use super::unplaced;

/// How the connection to the MTA is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Security {
    /// Not at all: for loopback.
    Plain,
    /// STARTTLS after the greeting; without it nothing is sent.
    Starttls,
    /// TLS from the first byte.
    Tls,
}

/// Where answers are handed to.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Outbound {
    /// Host name or address and port of the MTA. Default: `127.0.0.1:25`.
    pub server: Spanned<String>,
    /// `plain`, `starttls` or `tls`. Default: `plain`.
    pub security: Security,
    /// File with the certificates of the authorities to trust, in PEM form. Default: the public
    /// ones.
    pub ca_file: Option<PathBuf>,
    /// Login name for the MTA. Default: none, no login.
    pub username: Option<String>,
    /// File whose first line is the password for the MTA. Default: none.
    pub password_file: Option<PathBuf>,
    /// How many messages are handed over at the same time, 1 to 50. Default: `4`.
    pub at_once: usize,
    /// Whether the addresses that customers answer to, and that delivery reports come back to,
    /// carry a signed token, as in `support+r…@shop.example`: that finds the case without a look
    /// into the letter, and a report proves what it is about. Needs `recipient_delimiter = +` in
    /// Postfix's `main.cf`. Default: `true`.
    pub signed_addresses: bool,
    /// Largest file that an agent may attach, in bytes, 1 to 1 GiB. In a mail it takes a third more,
    /// and Postfix's `message_size_limit` is `10240000` unless it was raised. Default: `26214400`.
    pub attachment_bytes_max: u64,
}

impl Default for Outbound {
    fn default() -> Self {
        Self {
            server: unplaced("127.0.0.1:25"),
            security: Security::Plain,
            ca_file: None,
            username: None,
            password_file: None,
            at_once: 4,
            signed_addresses: true,
            attachment_bytes_max: 25 << 20,
        }
    }
}

impl Outbound {
    pub(super) fn check(&self, check: &mut Check<'_>) {
        let server = &self.server;
        if !server
            .get_ref()
            .rsplit_once(':')
            .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
        {
            check.blame(server, "outbound.server must be HOST:PORT".to_owned());
        }
        if self.username.is_some() != self.password_file.is_some() {
            check.whole("outbound.username and outbound.password_file go together".to_owned());
        }
        if self.username.is_some() && self.security == Security::Plain {
            check.whole(
                "outbound.username needs outbound.security = \"starttls\" or \"tls\", or the password travels in clear text".to_owned(),
            );
        }
        if !(1..=1 << 30).contains(&self.attachment_bytes_max) {
            check.whole("outbound.attachment_bytes_max must be 1 to 1073741824".to_owned());
        }
        if !(1..=50).contains(&self.at_once) {
            check.whole("outbound.at_once must be 1 to 50".to_owned());
        }
    }
}
