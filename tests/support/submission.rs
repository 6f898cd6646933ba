//! Doors of the test's Postfix for programs that hand in mail: TLS with certificates of the test's
//! own, and the users in a database of Cyrus SASL's (`sasldb`).

use std::fs::{self, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};

use super::postfix::Postfix;

/// Set where a missing program is a failure, as a missing Postfix is.
const REQUIRED: &str = "POSTROOM_REQUIRE_POSTFIX";

const PROGRAM: &str = "/usr/sbin/saslpasswd2";

/// The only user.
pub(crate) const USER: &str = "postroom";

/// The user's password.
pub(crate) const PASSWORD: &str = "open sesame";

const REALM: &str = "shop.example";

/// Whether users can be made; says on standard error why not.
pub(crate) fn is_here() -> bool {
    if Path::new(PROGRAM).exists() {
        return true;
    }
    assert!(
        std::env::var_os(REQUIRED).is_none_or(|value| value != "1"),
        "{PROGRAM} is not installed, and {REQUIRED} is set"
    );
    let _ = writeln!(io::stderr(), "skipped: {PROGRAM} is not installed");
    false
}

/// What a door's certificate is like.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Certificate {
    Good,
    /// Of a time that is over.
    Expired,
    /// For another server.
    Misnamed,
    /// By an authority that nobody here knows.
    Foreign,
}

/// An authority, and what its doors have in common.
pub(crate) struct Submission {
    folder: PathBuf,
    authority: Authority,
}

struct Authority {
    params: CertificateParams,
    key: KeyPair,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self {
            params,
            key: KeyPair::generate().unwrap(),
        }
    }

    fn pem(&self) -> String {
        self.params.self_signed(&self.key).unwrap().pem()
    }

    /// A key with its certificate, as `smtpd_tls_chain_files` wants them.
    fn issue(&self, certificate: Certificate) -> String {
        let name = match certificate {
            Certificate::Misnamed => "mx.elsewhere.example",
            Certificate::Good | Certificate::Expired | Certificate::Foreign => "127.0.0.1",
        };
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        if matches!(certificate, Certificate::Expired) {
            params.not_before = date_time_ymd(2019, 1, 1);
            params.not_after = date_time_ymd(2020, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        let issuer = Issuer::from_params(&self.params, &self.key);
        let issued = params.signed_by(&key, &issuer).unwrap();
        key.serialize_pem() + &issued.pem()
    }
}

impl Submission {
    /// In this Postfix, which is not configured yet.
    pub(crate) fn new(postfix: &mut Postfix) -> Self {
        let folder = postfix.folder().to_owned();
        let authority = Authority::new("ours");
        fs::create_dir_all(folder.join("etc/sasl")).unwrap();
        fs::write(folder.join("ca.pem"), authority.pem()).unwrap();
        let users = folder.join("users");
        let configuration = format!(
            "pwcheck_method: auxprop\nauxprop_plugin: sasldb\nmech_list: PLAIN\n\
             sasldb_path: {}\n",
            users.display()
        );
        fs::write(folder.join("etc/sasl/smtpd.conf"), configuration).unwrap();
        let mut made = Command::new(PROGRAM)
            .args(["-p", "-c", "-u", REALM, "-f"])
            .arg(&users)
            .arg(USER)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = made.stdin.take().unwrap();
        stdin.write_all(PASSWORD.as_bytes()).unwrap();
        drop(stdin);
        assert!(made.wait().unwrap().success());
        // Postfix's servers read it under another user.
        fs::set_permissions(&users, Permissions::from_mode(0o644)).unwrap();
        // Without it there is no TLS.
        postfix.service("tlsmgr unix - - n 1000? 1 tlsmgr", &[]);
        Self { folder, authority }
    }

    /// A door that takes mail over TLS and from that user only; its port.
    pub(crate) fn door(
        &self,
        postfix: &mut Postfix,
        implicit: bool,
        certificate: Certificate,
    ) -> u16 {
        let authority = match certificate {
            Certificate::Foreign => &Authority::new("somebody"),
            Certificate::Good | Certificate::Expired | Certificate::Misnamed => &self.authority,
        };
        let chain = self.folder.join(format!("{certificate:?}{implicit}.pem"));
        fs::write(&chain, authority.issue(certificate)).unwrap();
        let sasl = self.folder.join("etc/sasl");
        postfix.door(&[
            "smtpd_tls_security_level = encrypt",
            &format!(
                "smtpd_tls_wrappermode = {}",
                if implicit { "yes" } else { "no" }
            ),
            &format!("smtpd_tls_chain_files = {}", chain.display()),
            "smtpd_tls_auth_only = yes",
            "smtpd_sasl_auth_enable = yes",
            "smtpd_sasl_type = cyrus",
            "smtpd_sasl_path = smtpd",
            &format!("cyrus_sasl_config_path = {}", sasl.display()),
            &format!("smtpd_sasl_local_domain = {REALM}"),
            "smtpd_relay_restrictions = permit_sasl_authenticated, reject",
            "smtpd_milters =",
        ])
    }

    /// What `[outbound]` says besides for such a door. The password is written down for it.
    pub(crate) fn settings(&self, implicit: bool, password: &str) -> String {
        let file = self.folder.join("password");
        fs::write(&file, format!("{password}\n")).unwrap();
        format!(
            "security = \"{}\"\nca_file = {:?}\nusername = \"{USER}\"\npassword_file = {file:?}\n",
            if implicit { "tls" } else { "starttls" },
            self.folder.join("ca.pem"),
        )
    }
}
