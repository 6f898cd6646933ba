//! Where a letter comes from, as far as the DNS can tell: SPF, DKIM and DMARC, within a deadline.
//!
//! Translates between the verifier and `mail::trust`, which alone says what the results mean.

use std::borrow::Borrow;
use std::fmt;
use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use mail_auth::common::parse::TxtRecordParser;
use mail_auth::common::verify::DomainKey;
use mail_auth::dmarc::Dmarc;
use mail_auth::dmarc::verify::DmarcParameters;
use mail_auth::hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts,
};
use mail_auth::hickory_resolver::proto::op::ResponseCode;
use mail_auth::spf::Spf;
use mail_auth::spf::verify::SpfParameters;
use mail_auth::{
    AuthenticatedMessage, DkimOutput, DkimResult, DmarcResult, DnsError, Error, MX,
    MessageAuthenticator, Parameters, RecordSet, ResolverCache, SpfOutput, SpfResult, Txt,
};
use tokio::time::{Instant, timeout_at};

use crate::mail::address::{Address, normal_domain};
use crate::mail::header::Header;
use crate::mail::letter::Author;
use crate::mail::trust::{Authentication, Checked, Policy, Verdict};

/// Time for all look-ups of one letter unless the operator says otherwise. The MTA waits for our
/// answer to the end of data 300 seconds by default (Postfix, `milter_content_timeout`); a
/// sender's patience and our connections are worth more than a slow name server's answer.
pub const DEADLINE: Duration = Duration::from_secs(8);

/// Largest letter whose signatures are checked, in bytes: hashing it takes a few milliseconds,
/// which one task may keep a thread for.
pub const SIGNED_BYTES_MAX: usize = 1 << 20;

/// Most signatures that are checked. Mailing lists and relays add one each; RFC 6376, section
/// 6.1, lets verifiers stop somewhere.
const SIGNATURES_MAX: usize = 8;

/// Who answers DNS questions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolver {
    /// Nobody: nothing is checked, every sender is unproved.
    Off,
    /// The servers of the system's `resolv.conf`.
    System,
    /// These servers, over UDP and TCP.
    Servers(Vec<SocketAddr>),
    /// These TXT records and no others, without a network: name and text. For demonstrations and
    /// tests.
    Fixed(Vec<(String, String)>),
}

/// What the MTA says of a letter's way to us.
#[derive(Debug, Clone, Copy)]
pub struct Route<'a> {
    /// The client's address; `None` if the letter did not come by the network.
    pub client: Option<IpAddr>,
    /// The name the client greeted with.
    pub helo: &'a str,
    /// The envelope sender; `None` for the null sender.
    pub mail_from: Option<&'a Address>,
}

/// Checks letters.
pub struct Authenticator {
    dns: Option<Dns>,
    host_name: String,
    deadline: Duration,
}

struct Dns {
    verifier: MessageAuthenticator,
    zone: Zone,
}

impl Authenticator {
    /// Prepares to ask `resolver`; asks nothing yet. `host_name` is ours, for SPF's macros.
    ///
    /// # Errors
    ///
    /// When the system's configuration cannot be read; the operator must mend it or name servers.
    pub fn new(
        resolver: &Resolver,
        host_name: &str,
        deadline: Duration,
    ) -> Result<Self, ResolverError> {
        let unusable = |error: &dyn fmt::Display| ResolverError(error.to_string());
        let dns = match resolver {
            Resolver::Off => None,
            Resolver::System => Some(Dns {
                verifier: MessageAuthenticator::new_system_conf().map_err(|e| unusable(&e))?,
                zone: Zone(None),
            }),
            Resolver::Servers(servers) => Some(Dns {
                verifier: verifier(servers.iter().copied().map(server).collect())
                    .map_err(|e| unusable(&e))?,
                zone: Zone(None),
            }),
            Resolver::Fixed(records) => Some(Dns {
                verifier: verifier(Vec::new()).map_err(|e| unusable(&e))?,
                zone: Zone(Some(records.iter().map(record).collect())),
            }),
        };
        Ok(Self {
            dns,
            host_name: host_name.to_owned(),
            deadline,
        })
    }

    /// Checks one letter. `raw` is the letter as it came, `whole` whether it is all of it; the
    /// signatures of part of a letter, or of one above [`SIGNED_BYTES_MAX`], are not checked.
    ///
    /// Never takes longer than the deadline: what has no answer by then is a temporary error.
    /// Where From is not one clear address ([`Author::identity`]), DMARC is not asked, because
    /// there is no domain to ask for; such a letter is distrusted anyway.
    pub async fn authenticate(
        &self,
        route: Route<'_>,
        author: &Author,
        raw: &[u8],
        whole: bool,
    ) -> Authentication {
        let Some(dns) = &self.dns else {
            return Authentication::default();
        };
        let end = Instant::now() + self.deadline;
        let signed = Signed::read(raw, whole);
        let (spf, dkim) = tokio::join!(
            timeout_at(end, dns.spf(route, &self.host_name)),
            timeout_at(end, dns.dkim(&signed)),
        );
        let spf = spf.unwrap_or_else(|_| Some(late_spf(route)));
        let late = dkim.is_err();
        let dkim = dkim.unwrap_or_default();
        let mut found = Authentication {
            spf: spf.as_ref().map(spf_checked).unwrap_or_default(),
            spf_of_helo: route.mail_from.is_none(),
            dkim: dkim.iter().map(dkim_checked).collect(),
            ..Authentication::default()
        };
        if late {
            found.dkim.push(Checked {
                verdict: Verdict::TempError,
                domain: String::new(),
            });
        }
        if let Some(from) = author.identity() {
            let dmarc = if late {
                None
            } else {
                let spf = spf.unwrap_or_default();
                let asked = dns.dmarc(raw, from, &dkim, &spf, spf_domain(route));
                timeout_at(end, asked).await.ok()
            };
            let (verdict, policy) = match dmarc.unwrap_or((Verdict::TempError, Policy::None)) {
                // A signature that nobody looked at might have saved it.
                (Verdict::Fail, _) if matches!(signed, Signed::Unchecked) => {
                    (Verdict::NotChecked, Policy::None)
                }
                answered => answered,
            };
            found.dmarc = Checked {
                verdict,
                domain: from.domain().to_owned(),
            };
            found.policy = policy;
        }
        found
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator")
            .field("checks", &self.dns.is_some())
            .field("host_name", &self.host_name)
            .field("deadline", &self.deadline)
            .finish()
    }
}

/// The resolver cannot be set up. The operator's to mend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolverError(String);

impl fmt::Display for ResolverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the DNS resolver cannot be set up: {}", self.0)
    }
}

impl std::error::Error for ResolverError {}

impl Dns {
    async fn spf(&self, route: Route<'_>, host_name: &str) -> Option<SpfOutput> {
        let ip = route.client?;
        // What a client greets with may be anything; no name, no question.
        let helo = normal_domain(route.helo).unwrap_or_default();
        let sender = route.mail_from.map(Address::normalised);
        let params = match &sender {
            Some(sender) => SpfParameters::verify_mail_from(ip, &helo, host_name, sender),
            None if helo.is_empty() || helo.starts_with('[') => return Some(SpfOutput::default()),
            None => SpfParameters::verify_ehlo(ip, &helo, host_name),
        };
        let output = self.verifier.verify_spf(self.zone.with(params)).await;
        Some(output)
    }

    async fn dkim<'a>(&'a self, signed: &'a Signed<'a>) -> Vec<DkimOutput<'a>> {
        match signed {
            Signed::Letter(letter) => {
                let letter = letter.as_ref();
                self.verifier.verify_dkim(self.zone.with(letter)).await
            }
            Signed::Not | Signed::Unchecked => Vec::new(),
        }
    }

    async fn dmarc(
        &self,
        raw: &[u8],
        from: &Address,
        dkim: &[DkimOutput<'_>],
        spf: &SpfOutput,
        mail_from_domain: &str,
    ) -> (Verdict, Policy) {
        // The verifier would read From in its own way, and two readings are what forgers live
        // on: it is told ours.
        let message = AuthenticatedMessage {
            from: vec![from.to_string()],
            raw_message: raw,
            ..AuthenticatedMessage::default()
        };
        let params = DmarcParameters {
            message: &message,
            dkim_output: dkim,
            dkim2_output: None,
            rfc5321_mail_from_domain: mail_from_domain,
            spf_output: spf,
        };
        let output = self.verifier.verify_dmarc(self.zone.with(params)).await;
        let policy = match output.policy() {
            mail_auth::dmarc::Policy::None | mail_auth::dmarc::Policy::Unspecified => Policy::None,
            mail_auth::dmarc::Policy::Quarantine => Policy::Quarantine,
            mail_auth::dmarc::Policy::Reject => Policy::Reject,
        };
        let verdict = match output.result() {
            DmarcResult::Pass => Verdict::Pass,
            DmarcResult::Fail(_) => Verdict::Fail,
            DmarcResult::TempError(_) => Verdict::TempError,
            DmarcResult::PermError(_) => Verdict::PermError,
            DmarcResult::None => Verdict::None,
        };
        (verdict, policy)
    }
}

/// A letter with regard to its signatures.
enum Signed<'a> {
    /// It has none.
    Not,
    /// It has some, and is too large to check them.
    Unchecked,
    /// As the verifier reads it.
    Letter(Box<AuthenticatedMessage<'a>>),
}

impl<'a> Signed<'a> {
    fn read(raw: &'a [u8], whole: bool) -> Self {
        let fields = Header::parse(raw);
        if fields.all("DKIM-Signature").next().is_none() && !fields.is_cut() {
            return Self::Not;
        }
        if !whole || raw.len() > SIGNED_BYTES_MAX {
            return Self::Unchecked;
        }
        match AuthenticatedMessage::parse(raw) {
            Some(mut letter) => {
                letter.dkim_headers.truncate(SIGNATURES_MAX);
                letter.errors.truncate(SIGNATURES_MAX);
                Self::Letter(Box::new(letter))
            }
            None => Self::Not,
        }
    }
}

fn verifier(servers: Vec<NameServerConfig>) -> Result<MessageAuthenticator, impl fmt::Display> {
    let config = ResolverConfig::from_name_servers(servers);
    MessageAuthenticator::new(config, ResolverOpts::default())
}

fn server(address: SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()]
        .into_iter()
        .map(|mut connection| {
            connection.port = address.port();
            connection
        })
        .collect();
    NameServerConfig::new(address.ip(), true, connections)
}

/// The domain that SPF is about.
fn spf_domain<'a>(route: Route<'a>) -> &'a str {
    route.mail_from.map_or(route.helo, Address::domain)
}

fn late_spf(route: Route<'_>) -> SpfOutput {
    SpfOutput::new(spf_domain(route).to_owned()).with_result(SpfResult::TempError)
}

fn spf_checked(output: &SpfOutput) -> Checked {
    Checked {
        verdict: match output.result() {
            SpfResult::Pass => Verdict::Pass,
            SpfResult::Fail => Verdict::Fail,
            SpfResult::SoftFail => Verdict::SoftFail,
            SpfResult::Neutral => Verdict::Neutral,
            SpfResult::TempError => Verdict::TempError,
            SpfResult::PermError => Verdict::PermError,
            SpfResult::None => Verdict::None,
        },
        domain: normal_domain(output.domain()).unwrap_or_default(),
    }
}

fn dkim_checked(output: &DkimOutput<'_>) -> Checked {
    Checked {
        verdict: match output.result() {
            DkimResult::Pass => Verdict::Pass,
            // The verifier calls a signature that does not match the letter neutral.
            DkimResult::Neutral(_) | DkimResult::Fail(_) => Verdict::Fail,
            DkimResult::PermError(_) => Verdict::PermError,
            DkimResult::TempError(_) => Verdict::TempError,
            DkimResult::None => Verdict::None,
        },
        domain: output
            .signature()
            .and_then(|signature| normal_domain(&signature.d).ok())
            .unwrap_or_default(),
    }
}

/// Fixed answers in place of the DNS; `None` lets every question through to the resolver.
///
/// The verifier asks a cache before the network, and this is the cache: with fixed records it
/// has an answer to everything, and "there is no such name" to most.
struct Zone(Option<Vec<(String, Txt)>>);

impl Zone {
    fn with<'a, P>(&'a self, params: P) -> Parameters<'a, P, Self, Self, Self, Self, Self> {
        Parameters::new(params)
            .with_txt_cache(self)
            .with_mx_cache(self)
            .with_ptr_cache(self)
            .with_ipv4_cache(self)
            .with_ipv6_cache(self)
    }
}

/// Reads one record as what its name says it is.
fn record((name, text): &(String, String)) -> (String, Txt) {
    let name = format!("{}.", name.trim_end_matches('.').to_ascii_lowercase());
    let text = text.as_bytes();
    let parsed = if name.starts_with("_dmarc.") {
        Dmarc::parse(text).map(|r| Txt::Dmarc(Arc::new(r)))
    } else if name.contains("._domainkey.") {
        DomainKey::parse(text).map(|r| Txt::DomainKey(Arc::new(r)))
    } else {
        Spf::parse(text).map(|r| Txt::Spf(Arc::new(r)))
    };
    (name, parsed.unwrap_or_else(Txt::Error))
}

impl ResolverCache<Box<str>, Txt> for Zone {
    fn get<Q>(&self, name: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let records = self.0.as_ref()?;
        let found = records.iter().find(|(known, _)| {
            let known: Box<str> = known.as_str().into();
            <Box<str> as Borrow<Q>>::borrow(&known) == name
        });
        let missing = || Txt::Error(Error::Dns(DnsError::RecordNotFound(ResponseCode::NXDomain)));
        Some(found.map_or_else(missing, |(_, record)| record.clone()))
    }

    fn remove<Q>(&self, _: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        None
    }

    fn insert(&self, _: Box<str>, _: Txt, _: std::time::Instant) {}
}

/// Fixed zones hold text only: every other question is answered with nothing.
macro_rules! nothing {
    ($key:ty, $record:ty) => {
        impl ResolverCache<$key, RecordSet<$record>> for Zone {
            fn get<Q>(&self, _: &Q) -> Option<RecordSet<$record>>
            where
                $key: Borrow<Q>,
                Q: Hash + Eq + ?Sized,
            {
                self.0.as_ref().map(|_| RecordSet {
                    rrset: Arc::new([]),
                    dnssec_status: mail_auth::DnssecStatus::Indeterminate,
                })
            }

            fn remove<Q>(&self, _: &Q) -> Option<RecordSet<$record>>
            where
                $key: Borrow<Q>,
                Q: Hash + Eq + ?Sized,
            {
                None
            }

            fn insert(&self, _: $key, _: RecordSet<$record>, _: std::time::Instant) {}
        }
    };
}

nothing!(Box<str>, MX);
nothing!(Box<str>, Ipv4Addr);
nothing!(Box<str>, Ipv6Addr);
nothing!(IpAddr, Box<str>);

#[cfg(test)]
mod tests {
    use mail_auth::common::crypto::Ed25519Key;
    use mail_auth::common::headers::HeaderWriter;
    use mail_auth::dkim::DkimSigner;
    use mail_parser::decoders::base64::base64_decode;

    use super::*;
    use crate::mail::letter::Letter;

    /// The key pair of RFC 8463, appendix A.
    const SECRET: &str = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";
    const PUBLIC: &str = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";

    const LETTER: &str = "From: Anna <anna@x.example>\r\nTo: s@our.example\r\n\
                          Subject: Order\r\n\r\nWhere is it?\r\n";

    fn sign(letter: &str) -> String {
        let secret = base64_decode(SECRET.as_bytes()).unwrap();
        let public = base64_decode(PUBLIC.as_bytes()).unwrap();
        let key = Ed25519Key::from_seed_and_public_key(&secret, &public).unwrap();
        let signature = DkimSigner::from_key(key)
            .domain("x.example")
            .selector("s")
            .headers(["From", "To", "Subject"])
            .sign(letter.as_bytes())
            .unwrap();
        format!("{}{letter}", signature.to_header())
    }

    fn zone(dmarc: Option<&str>) -> Resolver {
        let mut records = vec![
            (
                "x.example".to_owned(),
                "v=spf1 ip4:192.0.2.1 -all".to_owned(),
            ),
            (
                "mx.x.example".to_owned(),
                "v=spf1 ip4:192.0.2.1 -all".to_owned(),
            ),
            (
                "s._domainkey.x.example".to_owned(),
                format!("v=DKIM1; k=ed25519; p={PUBLIC}"),
            ),
        ];
        records.extend(dmarc.map(|text| ("_dmarc.x.example".to_owned(), text.to_owned())));
        Resolver::Fixed(records)
    }

    async fn check(
        resolver: &Resolver,
        client: Option<&str>,
        mail_from: Option<&str>,
        letter: &str,
        whole: bool,
    ) -> String {
        let authenticator = Authenticator::new(resolver, "mx.our.example", DEADLINE).unwrap();
        let author = Letter::read(letter.as_bytes(), whole).author;
        let mail_from = mail_from.map(|text| Address::parse(text).unwrap());
        let route = Route {
            client: client.map(|ip| ip.parse().unwrap()),
            helo: "mx.x.example",
            mail_from: mail_from.as_ref(),
        };
        let found = authenticator
            .authenticate(route, &author, letter.as_bytes(), whole)
            .await;
        let dkim: Vec<&str> = found.dkim.iter().map(|c| c.verdict.word()).collect();
        format!(
            "spf={:?} {} dkim={} dmarc={:?} {:?}",
            found.spf.verdict,
            found.spf.domain,
            dkim.join(","),
            found.dmarc.verdict,
            found.policy
        )
    }

    #[tokio::test]
    async fn what_the_records_say() {
        let reject = zone(Some("v=DMARC1; p=reject"));
        let silent = zone(None);
        let (good, bad) = (Some("192.0.2.1"), Some("192.0.2.9"));
        let (anna, other) = (Some("anna@x.example"), Some("list@y.example"));
        let signed = sign(LETTER);
        let changed = signed.replace("Where is it?", "Send me money.");
        let two = LETTER.replace("Anna <anna@x.example>", "anna@x.example, eve@y.example");
        for (resolver, client, mail_from, letter, expected) in [
            (
                &reject,
                good,
                anna,
                LETTER,
                "spf=Pass x.example dkim= dmarc=Pass Reject",
            ),
            (
                &reject,
                bad,
                anna,
                LETTER,
                "spf=Fail x.example dkim= dmarc=Fail Reject",
            ),
            (
                &reject,
                bad,
                other,
                &signed,
                "spf=None y.example dkim=pass dmarc=Pass Reject",
            ),
            (
                &reject,
                bad,
                other,
                &changed,
                "spf=None y.example dkim=fail dmarc=Fail Reject",
            ),
            (
                &reject,
                good,
                None,
                LETTER,
                "spf=Pass mx.x.example dkim= dmarc=Pass Reject",
            ),
            (
                &reject,
                None,
                anna,
                &signed,
                "spf=NotChecked  dkim=pass dmarc=Pass Reject",
            ),
            (
                &reject,
                good,
                anna,
                &two,
                "spf=Pass x.example dkim= dmarc=NotChecked None",
            ),
            (
                &silent,
                good,
                anna,
                &signed,
                "spf=Pass x.example dkim=pass dmarc=None None",
            ),
            (
                &Resolver::Off,
                good,
                anna,
                &signed,
                "spf=NotChecked  dkim= dmarc=NotChecked None",
            ),
        ] {
            let got = check(resolver, client, mail_from, letter, true).await;
            assert_eq!(got, expected, "{client:?} {mail_from:?} {letter}");
        }
    }

    #[tokio::test]
    async fn part_of_a_letter_is_not_condemned() {
        let reject = zone(Some("v=DMARC1; p=reject"));
        let bad = Some("192.0.2.9");
        let got = check(&reject, bad, None, &sign(LETTER), false).await;
        assert_eq!(got, "spf=Fail mx.x.example dkim= dmarc=NotChecked None");
        // Without a signature there is nothing that the rest could prove.
        let got = check(&reject, bad, None, LETTER, false).await;
        assert_eq!(got, "spf=Fail mx.x.example dkim= dmarc=Fail Reject");
    }

    #[tokio::test]
    async fn junk_signatures_do_not_save_a_forgery() {
        let reject = zone(Some("v=DMARC1; p=reject"));
        let junk =
            "DKIM-Signature: v=1; a=rsa-sha256; d=x.example; s=s; h=from; bh=AA==; b=AA==\r\n";
        let letter = format!("{}{LETTER}", junk.repeat(100));
        let got = check(&reject, Some("192.0.2.9"), None, &letter, true).await;
        assert!(got.ends_with("dmarc=Fail Reject"), "{got}");
        assert!(got.len() < 200, "{got}");
    }

    #[tokio::test]
    async fn silence_is_a_temporary_error() {
        let nobody = Resolver::Servers(vec!["127.0.0.1:9".parse().unwrap()]);
        let authenticator = Authenticator::new(&nobody, "mx.our.example", Duration::ZERO).unwrap();
        let letter = sign(LETTER);
        let author = Letter::read(letter.as_bytes(), true).author;
        let from = Address::parse("anna@x.example").unwrap();
        let route = Route {
            client: Some("192.0.2.1".parse().unwrap()),
            helo: "mx.x.example",
            mail_from: Some(&from),
        };
        // Intake runs on other threads than the listener's: what it awaits must be able to move.
        fn movable<T: Send>(future: T) -> T {
            future
        }
        let found =
            movable(authenticator.authenticate(route, &author, letter.as_bytes(), true)).await;
        assert_eq!(found.spf.verdict, Verdict::TempError);
        assert_eq!(
            found.dkim.first().map(|c| c.verdict),
            Some(Verdict::TempError)
        );
        assert!(found.is_temporary());
    }

    #[tokio::test]
    async fn hostile_routes_ask_nothing_odd() {
        let reject = zone(Some("v=DMARC1; p=reject"));
        let authenticator = Authenticator::new(&reject, "mx.our.example", DEADLINE).unwrap();
        for helo in ["", "[192.0.2.1]", "a\r\nb", "..", &"x.".repeat(5000)] {
            let route = Route {
                client: Some("192.0.2.1".parse().unwrap()),
                helo,
                mail_from: None,
            };
            let found = authenticator
                .authenticate(route, &Author::default(), b"", true)
                .await;
            assert_eq!(found.spf.verdict, Verdict::None, "{helo:?}");
        }
    }
}
