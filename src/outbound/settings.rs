//! Settings of a submission: where the MTA is, how the connection is protected, how long to wait.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mail_send::smtp::tls::build_tls_connector;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use crate::mail::token::Keyring;

/// Where the MTA is and how to talk to it.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Name or address of the MTA.
    pub host: String,
    /// Its port: 25 for a Postfix next door, 587 or 465 for one elsewhere.
    pub port: u16,
    /// How the connection is protected.
    pub security: Security,
    /// With what to authenticate, if the MTA wants that.
    pub login: Option<Login>,
    /// Our name in EHLO: a domain, or an address literal.
    pub ehlo_name: String,
    /// How long to wait for what.
    pub timeouts: Timeouts,
    /// How many submissions may run at once.
    pub at_once: usize,
    /// The keys that return paths are signed with; without them, reports come to the plain address
    /// of the queue and prove nothing by that.
    pub keyring: Option<Arc<Keyring>>,
}

impl Default for Settings {
    /// Postfix on the same machine, in plain text.
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: 25,
            security: Security::Plain,
            login: None,
            ehlo_name: "localhost".to_owned(),
            timeouts: Timeouts::default(),
            at_once: 4,
            keyring: None,
        }
    }
}

/// How the connection to the MTA is protected.
#[derive(Debug, Clone)]
pub enum Security {
    /// Not at all, which is for the loopback interface.
    Plain,
    /// STARTTLS; an MTA that does not offer it gets nothing.
    StartTls(Tls),
    /// TLS from the first byte.
    Implicit(Tls),
}

/// Whom to believe to be the MTA.
#[derive(Debug, Clone)]
pub struct Tls {
    pub(super) config: Arc<ClientConfig>,
    pub(super) server_name: String,
}

impl Tls {
    /// Believes a certificate for `server_name` that the operating system trusts.
    ///
    /// # Errors
    /// [`TlsError`] if the system's trust cannot be used.
    pub fn with_system_roots(server_name: &str) -> Result<Self, TlsError> {
        let connector = build_tls_connector(false).map_err(TlsError)?;
        Ok(Self {
            config: Arc::clone(connector.config()),
            server_name: server_name.to_owned(),
        })
    }

    /// Believes a certificate for `server_name` that one of those in the PEM file `ca_file` signed.
    ///
    /// # Errors
    /// [`TlsError`] if the file cannot be read or holds no usable certificate.
    pub fn with_ca_file(server_name: &str, ca_file: &Path) -> Result<Self, TlsError> {
        let explain = |what: &dyn fmt::Display| TlsError(format!("{}: {what}", ca_file.display()));
        let mut roots = RootCertStore::empty();
        for certificate in
            CertificateDer::pem_file_iter(ca_file).map_err(|error| explain(&error))?
        {
            let certificate = certificate.map_err(|error| explain(&error))?;
            roots.add(certificate).map_err(|error| explain(&error))?;
        }
        if roots.is_empty() {
            return Err(explain(&"no certificate in it"));
        }
        let config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            config: Arc::new(config),
            server_name: server_name.to_owned(),
        })
    }
}

/// TLS cannot be set up as configured. The operator's move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsError(String);

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TLS to the MTA cannot be set up: {}", self.0)
    }
}

impl std::error::Error for TlsError {}

/// User name and password for the MTA.
#[derive(Clone)]
pub struct Login {
    /// The user name.
    pub username: String,
    /// The password.
    pub password: String,
}

impl fmt::Debug for Login {
    /// Without the password, because settings are logged.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// How long each stage of a submission may take. Shorter than the minutes of RFC 5321, 4.5.3.2,
/// because the MTA is ours; only the final dot keeps the ten minutes of 4.5.3.2.6, because giving
/// up there leaves a message in doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For the connection, and again for the TLS handshake.
    pub connect: Duration,
    /// For the greeting.
    pub greeting: Duration,
    /// For each answer to EHLO, AUTH, MAIL and RCPT.
    pub command: Duration,
    /// For the answer to DATA, and for each piece of the message to be read and written.
    pub data: Duration,
    /// For the answer to the final dot.
    pub end: Duration,
    /// For the answer to QUIT, when everything is decided.
    pub quit: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            greeting: Duration::from_secs(30),
            command: Duration::from_secs(30),
            data: Duration::from_secs(120),
            end: Duration::from_secs(600),
            quit: Duration::from_secs(2),
        }
    }
}
