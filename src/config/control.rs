//! The `[control]` section: where agents and administrators connect.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

use super::check::Check;

/// Where agents and administrators connect.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Control {
    /// UNIX socket of the administrator: whoever is root or the gateway's own user may do
    /// everything there. Default: `control.sock` in the data folder.
    pub socket: Option<PathBuf>,
    /// Address and port of the gRPC server for agents. Default: `127.0.0.1:8892`.
    pub listen: SocketAddr,
    /// File with the server's certificate chain in PEM form. Default: none, which is allowed on a
    /// loopback address only.
    pub tls_certificate: Option<PathBuf>,
    /// File with the certificate's private key in PEM form. Default: none.
    pub tls_key: Option<PathBuf>,
    /// Allows passwords and mail in clear text on other than loopback addresses, for a network
    /// that is trusted or encrypted by other means. Default: `false`.
    pub allow_plaintext: bool,
    /// Lets clients ask for the descriptors, so that tools such as grpcurl work without the proto
    /// files. Default: `true`.
    pub reflection: bool,
}

impl Default for Control {
    fn default() -> Self {
        Self {
            socket: None,
            listen: SocketAddr::from(([127, 0, 0, 1], 8892)),
            tls_certificate: None,
            tls_key: None,
            allow_plaintext: false,
            reflection: true,
        }
    }
}

impl Control {
    pub(super) fn check(&self, check: &mut Check<'_>) {
        if self.tls_certificate.is_some() != self.tls_key.is_some() {
            check.whole("control.tls_certificate and control.tls_key go together".to_owned());
        }
        if let Some(what) = self.in_clear_text(self.listen) {
            check.whole(what);
        }
    }

    /// What is wrong with listening at this address, if passwords would travel in clear text.
    pub(crate) fn in_clear_text(&self, address: SocketAddr) -> Option<String> {
        let safe =
            self.tls_certificate.is_some() || address.ip().is_loopback() || self.allow_plaintext;
        (!safe).then(|| format!(
            "control.listen = {address} would carry passwords in clear text: set control.tls_certificate and control.tls_key, or control.allow_plaintext = true"
        ))
    }
}
