//! An OpenDKIM of the test's own, a filter beside Postroom: its configuration in a scratch folder,
//! its port whatever was free, its keys those that everybody knows.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tokio::net::TcpStream;

use super::port::Port;
use super::signed::KEY;

/// Set where a missing OpenDKIM is a failure, as a missing Postfix is.
const REQUIRED: &str = "POSTROOM_REQUIRE_POSTFIX";

const PROGRAM: &str = "/usr/sbin/opendkim";

/// The secret half of that key, as OpenDKIM reads it.
const SECRET_PEM: &str = "-----BEGIN PRIVATE KEY-----\n\
    MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n\
    -----END PRIVATE KEY-----\n";

/// A running OpenDKIM. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct OpenDkim {
    child: Child,
    port: Port,
    folder: tempfile::TempDir,
}

/// Whether the tests with OpenDKIM can run; says on standard error why they do not.
pub(crate) fn is_here() -> bool {
    if Path::new(PROGRAM).exists() {
        return true;
    }
    assert!(
        std::env::var_os(REQUIRED).is_none_or(|value| value != "1"),
        "OpenDKIM is not installed, and {REQUIRED} is set"
    );
    let _ = writeln!(io::stderr(), "skipped: OpenDKIM is not installed");
    false
}

impl OpenDkim {
    /// One that checks letters, and knows the keys of these domains. It writes results in the name
    /// of `scan.shop.example` and removes those that claim that name.
    pub(crate) async fn checking(domains: &[&str]) -> Self {
        Self::start(
            domains,
            "Mode v\n\
             AuthservID scan.shop.example\n\
             RemoveARAll yes\n\
             RemoveARFrom scan.shop.example\n\
             AlwaysAddARHeader yes\n",
        )
        .await
    }

    /// One that signs the letters of a domain, in this canonical form.
    pub(crate) async fn signing(domain: &str, form: &str) -> Self {
        Self::start(
            &[],
            &format!("Mode s\nDomain {domain}\nSelector s\nCanonicalization {form}\n"),
        )
        .await
    }

    async fn start(domains: &[&str], more: &str) -> Self {
        let (folder, port) = (tempfile::tempdir().unwrap(), Port::take());
        let file = |name: &str| folder.path().join(name);
        let keys: String = (domains.iter())
            .map(|domain| format!("s._domainkey.{domain} v=DKIM1; k=ed25519; p={KEY}\n"))
            .collect();
        fs::write(file("public"), keys).unwrap();
        fs::write(file("secret"), SECRET_PEM).unwrap();
        let configuration = format!(
            "Socket inet:{port}@127.0.0.1\n\
             Syslog no\n\
             Background no\n\
             RequireSafeKeys no\n\
             SignatureAlgorithm ed25519-sha256\n\
             KeyFile {secret}\n\
             TestPublicKeys {public}\n\
             {more}",
            port = port.number(),
            secret = file("secret").display(),
            public = file("public").display(),
        );
        fs::write(file("conf"), configuration).unwrap();
        let child = Command::new(PROGRAM)
            .args(["-f", "-x"])
            .arg(file("conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(file("log")).unwrap())
            .spawn()
            .unwrap();
        let mut started = Self {
            child,
            port,
            folder,
        };
        while TcpStream::connect(("127.0.0.1", started.port.number()))
            .await
            .is_err()
        {
            let over = started.child.try_wait().unwrap();
            assert!(over.is_none(), "OpenDKIM does not start: {}", started.log());
            tokio::task::yield_now().await;
        }
        started
    }

    /// As `smtpd_milters` names it.
    pub(crate) fn address(&self) -> String {
        format!("inet:127.0.0.1:{}", self.port.number())
    }

    /// What it complained about.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for OpenDkim {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
