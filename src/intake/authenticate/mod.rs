//! Where a letter comes from, as far as the DNS can tell: SPF, DKIM, ARC and DMARC, within a
//! deadline. Or as far as a filter before us says, if the operator believes it.
//!
//! Translates between the verifier and `mail::trust`, which alone says what the results mean.

mod cache;
mod dns;
mod signed;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dns::Dns;
use signed::Signed;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use crate::mail::address::Address;
use crate::mail::findings;
use crate::mail::header::Header;
use crate::mail::letter::Author;
use crate::mail::trust::{Authentication, Chain, Checked, Policy, Signature, Verdict};

/// Time for all look-ups of one letter unless the operator says otherwise. The MTA waits for our
/// answer to the end of data 300 seconds by default (Postfix, `milter_content_timeout`); a
/// sender's patience and our connections are worth more than a slow name server's answer.
pub const DEADLINE: Duration = Duration::from_secs(8);

/// How many large letters are read back for their signatures at the same time: that is work for a
/// disk and a processor, and there is a bound to how many help.
const READERS: usize = 4;

/// The fields at the top of a letter among which results of a filter before us may stand, end
/// where the first of these does: it is as old as the letter's way to our MTA.
const OLDER_FIELDS: [&str; 5] = [
    "Received",
    "Return-Path",
    "DKIM-Signature",
    "From",
    "ARC-Seal",
];

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
    dns: Option<Arc<Dns>>,
    host_name: String,
    deadline: Duration,
    believed: Vec<String>,
    readers: Semaphore,
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
        Ok(Self {
            dns: Dns::new(resolver)?.map(Arc::new),
            host_name: host_name.to_owned(),
            deadline,
            believed: Vec::new(),
            readers: Semaphore::new(READERS),
        })
    }

    /// Believes these filters before us, by the names in which they write Authentication-Results,
    /// instead of checking what they have checked.
    #[must_use]
    pub fn believing(mut self, authserv_ids: Vec<String>) -> Self {
        self.believed = authserv_ids;
        self
    }

    /// Takes over the answers that a predecessor has, if it asked the same servers in the same way.
    pub fn succeed(&mut self, predecessor: &Self) {
        if let (Some(dns), Some(before)) = (&mut self.dns, &predecessor.dns)
            && dns.asks_as(before)
        {
            *dns = Arc::clone(before);
        }
    }

    /// Checks one letter. `head` is the letter as it came; of a large one, its beginning, and all
    /// of it is in `file`.
    ///
    /// Never takes longer than the deadline: what has no answer by then is a temporary error.
    /// Where From is not one clear address ([`Author::identity`]), DMARC is not asked, because
    /// there is no domain to ask for; such a letter is distrusted anyway.
    pub async fn authenticate(
        &self,
        route: Route<'_>,
        author: &Author,
        head: &[u8],
        file: Option<&Path>,
    ) -> Authentication {
        if let Some(said) = self.reported(author, head) {
            return said;
        }
        let Some(dns) = &self.dns else {
            return Authentication::default();
        };
        let start = Instant::now();
        let end = start + self.deadline;
        // A quarter of the time is DMARC's: a slow key of anybody's must not keep us from asking
        // what From's domain thinks of letters whose signatures do not hold.
        let most = start + self.deadline * 3 / 4;
        let known = dns.known_at(start.into_std());
        let signed = match file {
            Some(_) => {
                let _permit = self.readers.acquire().await;
                Signed::read(head, file).await
            }
            None => Signed::read(head, None).await,
        };
        let (spf, dkim, arc) = tokio::join!(
            dns.spf(&known, route, &self.host_name, most),
            dns.dkim(&known, &signed, most),
            dns.arc(&known, &signed, most),
        );
        let mut found = Authentication {
            spf: spf.as_ref().map(dns::spf_checked).unwrap_or_default(),
            spf_of_helo: route.mail_from.is_none(),
            dkim: dkim.iter().map(dns::dkim_checked).collect(),
            arc,
            ..Authentication::default()
        };
        if let Signed::Letter { unreadable, .. } = &signed {
            let unreadable = std::iter::repeat_n(unreadable_signature(), *unreadable);
            found.dkim.extend(unreadable);
        }
        if let Some(from) = author.identity() {
            let spf = spf.unwrap_or_default();
            let mail_from_domain = dns::spf_domain(route);
            let asked = dns.dmarc(&known, from, &dkim, &spf, mail_from_domain);
            let asked = timeout_at(end, asked).await;
            let (verdict, policy) = match asked.unwrap_or((Verdict::TempError, Policy::None)) {
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

    /// What a believed filter before us found.
    ///
    /// Its fields stand above all that the letter brought along. Fields in its name that come
    /// from outside are for the filter to remove (RFC 8601, section 5); of what is left, only the
    /// fields of the filter that wrote last count.
    fn reported(&self, author: &Author, head: &[u8]) -> Option<Authentication> {
        if self.believed.is_empty() {
            return None;
        }
        let header = Header::parse(head);
        let values: Vec<&[u8]> = (header.fields().iter())
            .take_while(|field| {
                let mut older = OLDER_FIELDS.iter();
                older.all(|name| !field.name.eq_ignore_ascii_case(name))
            })
            .filter(|field| field.name.eq_ignore_ascii_case("Authentication-Results"))
            .map(|field| field.value)
            .collect();
        let first = values.first()?;
        let mut said = (self.believed.iter())
            .find(|id| crate::mail::results::speaks_for(first, id))
            .and_then(|id| findings::read(values.iter().copied(), id))?;
        // A filter that read From in another way has proved another's domain.
        let from = author.identity().map(Address::domain);
        if from != Some(said.dmarc.domain.as_str()) {
            said.dmarc = Checked::default();
            said.policy = Policy::None;
        }
        // Whether a chain holds is known, but not who its members are.
        said.arc = Chain {
            verdict: said.arc.verdict,
            seals: Vec::new(),
        };
        Some(said)
    }
}

fn unreadable_signature() -> Signature {
    Signature {
        verdict: Verdict::PermError,
        ..Signature::default()
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator")
            .field("checks", &self.dns.is_some())
            .field("host_name", &self.host_name)
            .field("deadline", &self.deadline)
            .field("believed", &self.believed)
            .finish_non_exhaustive()
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

#[cfg(test)]
mod tests;
