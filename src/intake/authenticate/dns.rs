//! The verifier's side: questions to the DNS, and its results in our words.

use std::fmt;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use mail_auth::dmarc::verify::DmarcParameters;
use mail_auth::hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts,
};
use mail_auth::hickory_resolver::system_conf::read_system_conf;
use mail_auth::spf::verify::SpfParameters;
use mail_auth::{
    AuthenticatedMessage, DkimOutput, DkimResult, DmarcResult, DnsError, Error,
    MessageAuthenticator, SpfOutput, SpfResult, dkim,
};
use tokio::time::{Instant, timeout_at};

use super::cache::{Cache, Known, View};
use super::signed::{Sealed, Signed};
use super::{Resolver, ResolverError, Route};
use crate::mail::address::{Address, normal_domain};
use crate::mail::findings;
use crate::mail::trust::{Chain, Checked, Policy, Seal, Signature, Verdict};

/// How many messages of the DNS the resolver keeps, most of them about what does not exist.
const MESSAGES_MAX: u64 = 2048;

/// How long one server may take before the question is asked again. Resolvers that answer at all
/// do so within a second or two.
const SERVER_TIMEOUT: Duration = Duration::from_secs(3);

/// Longest time for which "there is no such name" is believed, whatever its server says: somebody
/// may be publishing a key right now.
const ABSENT_MAX: Duration = Duration::from_secs(15 * 60);

/// A resolver and what it has told us.
pub(super) struct Dns {
    verifier: MessageAuthenticator,
    known: Known,
    /// Whom it asks and how; to be compared, because the resolver's own types cannot be.
    asks: String,
}

impl Dns {
    pub(super) fn new(resolver: &Resolver) -> Result<Option<Self>, ResolverError> {
        let unusable = |error: &dyn fmt::Display| ResolverError(error.to_string());
        let (config, options, known) = match resolver {
            Resolver::Off => return Ok(None),
            Resolver::System => {
                let (config, options) = read_system_conf().map_err(|e| unusable(&e))?;
                (config, options, Known::Cache(Cache::new()))
            }
            Resolver::Servers(servers) => {
                let servers = servers.iter().copied().map(server).collect();
                let config = ResolverConfig::from_name_servers(servers);
                (config, ResolverOpts::default(), Known::Cache(Cache::new()))
            }
            Resolver::Fixed(records) => {
                let config = ResolverConfig::from_name_servers(Vec::new());
                (config, ResolverOpts::default(), Known::fixed(records))
            }
        };
        let mut options = options;
        options.cache_size = MESSAGES_MAX;
        options.timeout = SERVER_TIMEOUT;
        options.negative_max_ttl = Some(ABSENT_MAX);
        let asks = format!("{config:?} {options:?}");
        let verifier = MessageAuthenticator::new(config, options).map_err(|e| unusable(&e))?;
        Ok(Some(Self {
            verifier,
            known,
            asks,
        }))
    }

    /// Whether another one's answers are as good as its own.
    pub(super) fn asks_as(&self, other: &Self) -> bool {
        matches!(
            (&self.known, &other.known),
            (Known::Cache(_), Known::Cache(_))
        ) && self.asks == other.asks
    }

    pub(super) fn known_at(&self, now: std::time::Instant) -> View<'_> {
        self.known.at(now)
    }

    /// SPF; `None` if there is no address to check.
    pub(super) async fn spf(
        &self,
        known: &View<'_>,
        route: Route<'_>,
        host_name: &str,
        end: Instant,
    ) -> Option<SpfOutput> {
        let ip = route.client?;
        // What a client greets with may be anything; no name, no question.
        let helo = normal_domain(route.helo).unwrap_or_default();
        let sender = route.mail_from.map(Address::normalised);
        let params = match &sender {
            Some(sender) => SpfParameters::verify_mail_from(ip, &helo, host_name, sender),
            None if helo.is_empty() || helo.starts_with('[') => return Some(SpfOutput::default()),
            None => SpfParameters::verify_ehlo(ip, &helo, host_name),
        };
        let asked = self.verifier.verify_spf(known.with(params));
        let late =
            |_| SpfOutput::new(spf_domain(route).to_owned()).with_result(SpfResult::TempError);
        Some(timeout_at(end, asked).await.unwrap_or_else(late))
    }

    /// DKIM: an output a signature, all checked at the same time. A signature that leaves From out
    /// says nothing of who wrote (RFC 6376, section 5.4), whether it holds or not.
    pub(super) async fn dkim<'a>(
        &'a self,
        known: &'a View<'_>,
        signed: &'a Signed<'_>,
        end: Instant,
    ) -> Vec<DkimOutput<'a>> {
        let Signed::Letter { each, .. } = signed else {
            return Vec::new();
        };
        all(each.iter().map(|letter| self.signature(known, letter, end)))
            .await
            .into_iter()
            .flatten()
            .collect()
    }

    async fn signature<'a>(
        &'a self,
        known: &'a View<'_>,
        letter: &'a AuthenticatedMessage<'_>,
        end: Instant,
    ) -> Option<DkimOutput<'a>> {
        let signature: &dkim::Signature = &letter.dkim_headers.first()?.header;
        if !signature
            .h
            .iter()
            .any(|name| name.eq_ignore_ascii_case("From"))
        {
            let unfit = DkimOutput::perm_err(Error::NoHeadersFound);
            return Some(unfit.with_signature(signature));
        }
        let asked = self.verifier.verify_dkim(known.with(letter));
        match timeout_at(end, asked).await {
            Ok(outputs) => outputs.into_iter().next(),
            Err(_) => {
                let late = Error::Dns(DnsError::Resolver("no answer in time".to_owned()));
                Some(DkimOutput::temp_err(late).with_signature(signature))
            }
        }
    }

    /// ARC.
    pub(super) async fn arc(&self, known: &View<'_>, signed: &Signed<'_>, end: Instant) -> Chain {
        let letter = match signed {
            Signed::Letter {
                chain: Sealed::Letter(letter),
                ..
            } => letter,
            Signed::Letter {
                chain: Sealed::Unfit,
                ..
            } => {
                return Chain {
                    verdict: Verdict::Fail,
                    seals: Vec::new(),
                };
            }
            Signed::Letter {
                chain: Sealed::Not, ..
            }
            | Signed::Not => {
                return Chain {
                    verdict: Verdict::None,
                    seals: Vec::new(),
                };
            }
            Signed::Unchecked => return Chain::default(),
        };
        let asked = self.verifier.verify_arc(known.with(letter.as_ref()));
        let Ok(output) = timeout_at(end, asked).await else {
            return Chain {
                verdict: Verdict::TempError,
                seals: Vec::new(),
            };
        };
        // The last member signs the letter as it sends it; without From in it that is nothing.
        let covers_from = output.sets().last().is_some_and(|set| {
            let mut names = set.signature.header.h.iter();
            names.any(|name| name.eq_ignore_ascii_case("From"))
        });
        let verdict = match dkim_verdict(output.result()) {
            Verdict::Pass if !covers_from => Verdict::Fail,
            verdict => verdict,
        };
        let holds = verdict == Verdict::Pass;
        let seals = (output.sets().iter().rev())
            .filter(|_| holds)
            .map(|set| Seal {
                domain: normal_domain(&set.seal.header.d).unwrap_or_default(),
                proved: findings::proved(set.results.value),
            })
            .collect();
        Chain { verdict, seals }
    }

    /// DMARC for From's domain, and what that asks for.
    pub(super) async fn dmarc(
        &self,
        known: &View<'_>,
        from: &Address,
        dkim: &[DkimOutput<'_>],
        spf: &SpfOutput,
        mail_from_domain: &str,
    ) -> (Verdict, Policy) {
        // The verifier would read From in its own way, and two readings are what forgers live
        // on: it is told ours.
        let message = AuthenticatedMessage {
            from: vec![from.to_string()],
            ..AuthenticatedMessage::default()
        };
        let params = DmarcParameters {
            message: &message,
            dkim_output: dkim,
            dkim2_output: None,
            rfc5321_mail_from_domain: mail_from_domain,
            spf_output: spf,
        };
        let output = self.verifier.verify_dmarc(known.with(params)).await;
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
pub(super) fn spf_domain<'a>(route: Route<'a>) -> &'a str {
    route.mail_from.map_or(route.helo, Address::domain)
}

pub(super) fn spf_checked(output: &SpfOutput) -> Checked {
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

pub(super) fn dkim_checked(output: &DkimOutput<'_>) -> Signature {
    let signature = output.signature();
    Signature {
        verdict: dkim_verdict(output.result()),
        domain: signature
            .and_then(|signature| normal_domain(&signature.d).ok())
            .unwrap_or_default(),
        selector: signature
            .and_then(|signature| findings::selector(&signature.s))
            .unwrap_or_default(),
    }
}

fn dkim_verdict(result: &DkimResult) -> Verdict {
    match result {
        DkimResult::Pass => Verdict::Pass,
        // The verifier calls a signature that does not match the letter neutral.
        DkimResult::Neutral(_) | DkimResult::Fail(_) => Verdict::Fail,
        DkimResult::PermError(_) => Verdict::PermError,
        DkimResult::TempError(_) => Verdict::TempError,
        DkimResult::None => Verdict::None,
    }
}

/// Awaits all of them at the same time, in this task; their results are in their order.
async fn all<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut running: Vec<Either<F>> = futures.map(|f| Either::Running(Box::pin(f))).collect();
    poll_fn(|context| {
        let mut over = true;
        for either in &mut running {
            if let Either::Running(future) = either {
                match future.as_mut().poll(context) {
                    Poll::Ready(output) => *either = Either::Over(output),
                    Poll::Pending => over = false,
                }
            }
        }
        if over { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    let outputs = running.into_iter();
    outputs
        .filter_map(|either| match either {
            Either::Running(_) => None,
            Either::Over(output) => Some(output),
        })
        .collect()
}

enum Either<F: Future> {
    Running(Pin<Box<F>>),
    Over(F::Output),
}
