//! From authentication results to a trust level: how far a letter's From is believed.
//!
//! The results are our own types, so that this table can be read, and tested, without a resolver.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::address::{Address, is_within};
use super::letter::Author;
use super::lookalike::{self, OurDomains};

/// How far the From of a letter is believed, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Trust {
    /// The author's domain says how to tell its mail from forgeries, and this is its mail.
    A,
    /// The domain says nothing, but it did sign or send this letter.
    B,
    /// Nothing speaks for the author and nothing against, or only somebody else does.
    C,
    /// Something speaks against: a failed check, or a From that is no single clear address.
    D,
}

/// What SPF (RFC 7208), DKIM (RFC 6376), ARC (RFC 8617) or DMARC (RFC 9989) made of a letter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Verdict {
    /// Nobody looked: there is no resolver, or too little of the letter.
    #[default]
    NotChecked,
    /// There is nothing to check: no record, no signature.
    None,
    /// It holds.
    Pass,
    /// It is explicitly undecided.
    Neutral,
    /// It fails, says the domain, but not for sure.
    SoftFail,
    /// It does not hold.
    Fail,
    /// The resolver did not answer (in time); another try may.
    TempError,
    /// The domain's record or the letter's signature cannot be read.
    PermError,
}

impl Verdict {
    /// The word of RFC 8601, section 2.7; what was not checked is `none` there.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::NotChecked | Self::None => "none",
            Self::Pass => "pass",
            Self::Neutral => "neutral",
            Self::SoftFail => "softfail",
            Self::Fail => "fail",
            Self::TempError => "temperror",
            Self::PermError => "permerror",
        }
    }

    /// The verdict that a word of RFC 8601 names, in any letter case. `policy`, a signature that
    /// holds and is not to the checker's liking, is a failure; words that nobody defined, the
    /// historic `hardfail` apart, decide nothing.
    #[must_use]
    pub fn of_word(word: &str) -> Self {
        match word.to_ascii_lowercase().as_str() {
            "none" => Self::None,
            "pass" => Self::Pass,
            "softfail" => Self::SoftFail,
            "fail" | "hardfail" | "policy" => Self::Fail,
            "temperror" => Self::TempError,
            "permerror" => Self::PermError,
            _ => Self::Neutral,
        }
    }
}

/// A verdict and the domain it is about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// The verdict.
    pub verdict: Verdict,
    /// The domain that passed or failed, in normal form; empty if none is known.
    pub domain: String,
}

/// A DKIM signature and what became of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// The verdict.
    pub verdict: Verdict,
    /// Who signed (`d=`), in normal form; empty if that cannot be read.
    pub domain: String,
    /// Which key (`s=`), of letters, digits, dots, hyphens and underscores; empty if it cannot be
    /// read.
    pub selector: String,
}

/// A chain of forwarders, each of whom says what it found and vouches for those before (RFC 8617).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// Whether the chain is unbroken and the letter as its last member sent it on.
    pub verdict: Verdict,
    /// Its members, the last one first. Empty unless the chain holds.
    pub seals: Vec<Seal>,
}

/// What one forwarder says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    /// Who says it, in normal form.
    pub domain: String,
    /// The domains that were proved when the letter got there: From's under DMARC, and those of
    /// signatures.
    pub proved: Vec<String>,
}

/// What a domain asks receivers to do with letters that fail DMARC.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Policy {
    /// Nothing, or there is no record.
    #[default]
    None,
    /// Be suspicious.
    Quarantine,
    /// Turn them away.
    Reject,
}

/// All that was found out about where a letter comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authentication {
    /// SPF for the envelope sender, or for the HELO name if the sender is null.
    pub spf: Checked,
    /// Whether SPF was checked for the HELO name.
    pub spf_of_helo: bool,
    /// DKIM, a verdict a signature, in the order of the letter.
    pub dkim: Vec<Signature>,
    /// ARC.
    pub arc: Chain,
    /// DMARC for the domain of From.
    pub dmarc: Checked,
    /// What the From's domain asks for in case of failure.
    pub policy: Policy,
    /// The name of the filter before us whose word this is; empty if we looked ourselves.
    pub said_by: String,
}

/// Why a letter has its trust level; its text is kept with the letter and shown to agents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// DMARC passed.
    Dmarc,
    /// There is no DMARC record, but a signature of the author's domain holds.
    AlignedDkim,
    /// There is no DMARC record, but the author's domain sent it.
    AlignedSpf,
    /// Nothing was checked.
    NotChecked,
    /// The resolver did not answer.
    Unanswered,
    /// Neither a signature nor the path speaks for the author's domain.
    NotAligned,
    /// A forwarder that the operator lists saw proof, and its seal is intact. It is named.
    Vouched(String),
    /// A list or group put its own address into From; who wrote is what it says. It is named.
    Rewritten(String),
    /// There is no From field.
    NoAuthor,
    /// There are several From fields or several authors.
    SeveralAuthors,
    /// The From field can be read in more than one way.
    UnclearAuthor,
    /// The address mixes alphabets so that it can be taken for another.
    MixedAlphabets,
    /// The domain can be taken for one of ours, which is named.
    LooksLikeUs(String),
    /// From names one of our own domains, and nothing proves it.
    PosesAsUs,
    /// The author's domain says that this is not its mail.
    DmarcFail,
    /// The same, but it came by way of a forwarder that the operator lists. It is named.
    DmarcFailForwarded(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dmarc => "the sender's domain vouches for this letter (DMARC)",
            Self::AlignedDkim => "signed by the sender's domain (DKIM)",
            Self::AlignedSpf => "sent by the sender's domain (SPF)",
            Self::NotChecked => "the sender was not checked",
            Self::Unanswered => "the sender could not be checked: no answer from the DNS",
            Self::NotAligned => "nothing proves who the sender is",
            Self::Vouched(by) => {
                return write!(f, "{by} forwarded it and says that the sender was proved (ARC)");
            }
            Self::Rewritten(by) => {
                return write!(f, "sent on by {by}, which names the sender without proof");
            }
            Self::NoAuthor => "the letter names no sender",
            Self::SeveralAuthors => "the letter names several senders",
            Self::UnclearAuthor => "the sender field can be read in more than one way",
            Self::MixedAlphabets => "the sender's address mixes alphabets to look like another",
            Self::LooksLikeUs(ours) => {
                return write!(f, "the sender's domain is made to look like {ours}");
            }
            Self::PosesAsUs => "the sender claims one of our addresses without proof",
            Self::DmarcFail => "the sender's domain says that this is not its mail (DMARC)",
            Self::DmarcFailForwarded(by) => {
                return write!(
                    f,
                    "the sender's domain says that this is not its mail (DMARC), but it came through {by}"
                );
            }
        })
    }
}

/// A trust level and its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assessment {
    /// The level.
    pub trust: Trust,
    /// Why.
    pub reason: Reason,
}

/// What the operator says about domains.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    /// The domains that queues and agents have addresses in.
    pub ours: OurDomains,
    /// Forwarders whose breaking of proofs is forgiven, as domains in normal form; what lies below
    /// them counts as they do.
    pub forwarders: Vec<String>,
}

/// Assesses a letter.
///
/// What the From field looks like is judged first: the verifier skips DMARC when From names
/// several domains, so a forger would only have to name two.
#[must_use]
pub fn assess(author: &Author, authentication: &Authentication, standing: &Standing) -> Assessment {
    let (trust, reason) = match author.identity() {
        None => (Trust::D, blame(author)),
        Some(address) => weigh(author, address, authentication, standing),
    };
    Assessment { trust, reason }
}

fn weigh(
    author: &Author,
    address: &Address,
    authentication: &Authentication,
    standing: &Standing,
) -> (Trust, Reason) {
    let person = author.written_by.as_ref().map(|mailbox| &mailbox.address);
    for shown in [Some(address), person].into_iter().flatten() {
        if lookalike::mixes_alphabets(shown) {
            return (Trust::D, Reason::MixedAlphabets);
        }
        if let Some(ours) = standing.ours.resembled_by(shown.domain()) {
            return (Trust::D, Reason::LooksLikeUs(ours.to_owned()));
        }
    }
    let (trust, reason) = check(address, authentication, standing);
    let unproved = matches!(trust, Trust::C | Trust::D);
    let poses = |address: &Address| standing.ours.contain(address.domain());
    if unproved && poses(address) || person.is_some_and(poses) {
        return (Trust::D, Reason::PosesAsUs);
    }
    match (trust, person) {
        (Trust::A | Trust::B | Trust::C, Some(_)) => {
            (Trust::C, Reason::Rewritten(address.domain().to_owned()))
        }
        _ => (trust, reason),
    }
}

fn blame(author: &Author) -> Reason {
    if author.fields > 1 || author.mailboxes > 1 {
        Reason::SeveralAuthors
    } else if author.fields == 0 || author.mailboxes == 0 {
        Reason::NoAuthor
    } else {
        Reason::UnclearAuthor
    }
}

fn check(
    address: &Address,
    authentication: &Authentication,
    standing: &Standing,
) -> (Trust, Reason) {
    match authentication.dmarc.verdict {
        Verdict::Pass => return (Trust::A, Reason::Dmarc),
        // A domain that only watches (`p=none`) still says that this is not its mail.
        Verdict::Fail | Verdict::SoftFail => {
            return match (
                voucher(address, authentication, standing),
                forwarder(authentication, standing),
            ) {
                (Some(by), _) => (Trust::C, Reason::Vouched(by.to_owned())),
                (None, Some(by)) => (Trust::D, Reason::DmarcFailForwarded(by.to_owned())),
                (None, None) => (Trust::D, Reason::DmarcFail),
            };
        }
        Verdict::TempError => return (Trust::C, Reason::Unanswered),
        Verdict::NotChecked | Verdict::None | Verdict::Neutral | Verdict::PermError => {}
    }
    // A domain vouches for itself and for what lies below it. Not the other way round: without
    // knowing where registries end, `shop.co.uk` must not speak for `co.uk`.
    let vouches = |verdict: Verdict, domain: &str| {
        verdict == Verdict::Pass && is_within(address.domain(), domain)
    };
    let signed = |signature: &Signature| vouches(signature.verdict, &signature.domain);
    if authentication.dkim.iter().any(signed) {
        return (Trust::B, Reason::AlignedDkim);
    }
    if vouches(authentication.spf.verdict, &authentication.spf.domain) {
        return (Trust::B, Reason::AlignedSpf);
    }
    if let Some(by) = voucher(address, authentication, standing) {
        return (Trust::C, Reason::Vouched(by.to_owned()));
    }
    let mut all = (authentication
        .dkim
        .iter()
        .map(|signature| signature.verdict))
    .chain([authentication.spf.verdict]);
    if all.any(|verdict| verdict == Verdict::TempError) {
        return (Trust::C, Reason::Unanswered);
    }
    let unchecked = authentication.dkim.is_empty()
        && authentication.spf.verdict == Verdict::NotChecked
        && authentication.dmarc.verdict == Verdict::NotChecked;
    if unchecked {
        (Trust::C, Reason::NotChecked)
    } else {
        (Trust::C, Reason::NotAligned)
    }
}

/// The listed forwarder that saw the author's domain proved. Its own seal and every later one must
/// be of listed forwarders: whoever came after could have changed the letter and sealed that.
fn voucher<'a>(
    address: &Address,
    authentication: &'a Authentication,
    standing: &Standing,
) -> Option<&'a str> {
    if authentication.arc.verdict != Verdict::Pass {
        return None;
    }
    (authentication.arc.seals.iter())
        .take_while(|seal| is_listed(&seal.domain, standing))
        .find(|seal| {
            let mut proved = seal.proved.iter();
            proved.any(|domain| is_within(address.domain(), domain))
        })
        .map(|seal| seal.domain.as_str())
}

/// The listed forwarder that the letter provably came from: by its seal, its signature, or an
/// envelope of its own.
fn forwarder<'a>(authentication: &'a Authentication, standing: &Standing) -> Option<&'a str> {
    let arc = &authentication.arc;
    let sealed = (arc.seals.first())
        .filter(|_| arc.verdict == Verdict::Pass)
        .map(|seal| &seal.domain);
    let signed = (authentication.dkim.iter())
        .filter(|signature| signature.verdict == Verdict::Pass)
        .map(|signature| &signature.domain);
    let spf = &authentication.spf;
    let sent = (spf.verdict == Verdict::Pass).then_some(&spf.domain);
    (sealed.into_iter().chain(signed).chain(sent))
        .find(|domain| is_listed(domain, standing))
        .map(String::as_str)
}

fn is_listed(domain: &str, standing: &Standing) -> bool {
    let mut listed = standing.forwarders.iter();
    listed.any(|forwarder| is_within(domain, forwarder))
}

/// What the results alone want done with a letter, whatever queue it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ruling {
    /// Take it.
    Take,
    /// Take it, and let a person look before it is anybody's work.
    Hold,
    /// Turn it away for good.
    Refuse,
    /// Let the sender come back: the DNS may answer then.
    Later,
}

/// What becomes of a letter. `rejects` says whether the operator lets other domains' policies turn
/// letters away; if not, such letters are held.
#[must_use]
pub fn ruling(assessment: &Assessment, authentication: &Authentication, rejects: bool) -> Ruling {
    let forgiven = matches!(
        assessment.reason,
        Reason::Vouched(_) | Reason::DmarcFailForwarded(_)
    );
    match (authentication.dmarc.verdict, authentication.policy) {
        (Verdict::Fail, Policy::Reject | Policy::Quarantine) if forgiven => Ruling::Take,
        (Verdict::Fail, Policy::Reject) if rejects => Ruling::Refuse,
        (Verdict::Fail, Policy::Reject | Policy::Quarantine) => Ruling::Hold,
        (Verdict::TempError, _) if assessment.trust == Trust::C => Ruling::Later,
        _ => Ruling::Take,
    }
}

#[cfg(test)]
mod tests;
