//! From authentication results to a trust level: how far a letter's From is believed.
//!
//! The results are our own types, so that this table can be read, and tested, without a resolver.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::address::{Address, is_within};
use super::letter::Author;

/// How far the From of a letter is believed, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Trust {
    /// The author's domain says how to tell its mail from forgeries, and this is its mail.
    A,
    /// The domain says nothing, but it did sign or send this letter.
    B,
    /// Nothing speaks for the author and nothing against.
    C,
    /// Something speaks against: a failed check, or a From that is no single clear address.
    D,
}

/// What SPF (RFC 7208), DKIM (RFC 6376) or DMARC (RFC 9989) made of a letter.
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
}

/// A verdict and the domain it is about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// The verdict.
    pub verdict: Verdict,
    /// The domain that passed or failed, in normal form; empty if none is known.
    pub domain: String,
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
    pub dkim: Vec<Checked>,
    /// DMARC for the domain of From.
    pub dmarc: Checked,
    /// What the From's domain asks for in case of failure.
    pub policy: Policy,
}

impl Authentication {
    /// Whether a second try later might end better, because the resolver did not answer.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        self.dmarc.verdict == Verdict::TempError
    }
}

/// Why a letter has its trust level; kept with the letter and shown to agents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
    /// There is no From field.
    NoAuthor,
    /// There are several From fields or several authors.
    SeveralAuthors,
    /// The From field can be read in more than one way.
    UnclearAuthor,
    /// From names one of our own domains, and nothing proves it.
    PosesAsUs,
    /// The author's domain says that this is not its mail.
    DmarcFail,
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
            Self::NoAuthor => "the letter names no sender",
            Self::SeveralAuthors => "the letter names several senders",
            Self::UnclearAuthor => "the sender field can be read in more than one way",
            Self::PosesAsUs => "the sender claims one of our addresses without proof",
            Self::DmarcFail => "the sender's domain says that this is not its mail (DMARC)",
        })
    }
}

/// A trust level and its reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assessment {
    /// The level.
    pub trust: Trust,
    /// Why.
    pub reason: Reason,
}

/// Assesses a letter. `our_domains` are those that queues and agents have addresses in, in
/// normal form.
///
/// What the From field looks like is judged first: the verifier skips DMARC when From names
/// several domains, so a forger would only have to name two.
#[must_use]
pub fn assess(
    author: &Author,
    authentication: &Authentication,
    our_domains: &[String],
) -> Assessment {
    let (trust, reason) = match author.identity() {
        None => (Trust::D, blame(author)),
        Some(address) => {
            let (trust, reason) = check(address, authentication);
            let unproved = matches!(trust, Trust::C | Trust::D);
            if unproved && our_domains.iter().any(|ours| ours == address.domain()) {
                (Trust::D, Reason::PosesAsUs)
            } else {
                (trust, reason)
            }
        }
    };
    Assessment { trust, reason }
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

fn check(address: &Address, authentication: &Authentication) -> (Trust, Reason) {
    match authentication.dmarc.verdict {
        Verdict::Pass => return (Trust::A, Reason::Dmarc),
        // A domain that only watches (`p=none`) still says that this is not its mail.
        Verdict::Fail | Verdict::SoftFail => return (Trust::D, Reason::DmarcFail),
        Verdict::TempError => return (Trust::C, Reason::Unanswered),
        Verdict::NotChecked | Verdict::None | Verdict::Neutral | Verdict::PermError => {}
    }
    // A domain vouches for itself and for what lies below it. Not the other way round: without
    // knowing where registries end, `shop.co.uk` must not speak for `co.uk`.
    let vouches = |checked: &Checked| {
        checked.verdict == Verdict::Pass && is_within(address.domain(), &checked.domain)
    };
    if authentication.dkim.iter().any(vouches) {
        return (Trust::B, Reason::AlignedDkim);
    }
    if vouches(&authentication.spf) {
        return (Trust::B, Reason::AlignedSpf);
    }
    let mut all = authentication
        .dkim
        .iter()
        .chain([&authentication.spf, &authentication.dmarc]);
    if all.any(|checked| checked.verdict == Verdict::TempError) {
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

#[cfg(test)]
mod tests {
    use super::super::letter::Letter;
    use super::*;

    fn verdict(word: &str) -> Verdict {
        match word {
            "-" => Verdict::NotChecked,
            "none" => Verdict::None,
            "pass" => Verdict::Pass,
            "softfail" => Verdict::SoftFail,
            "fail" => Verdict::Fail,
            "temperror" => Verdict::TempError,
            "permerror" => Verdict::PermError,
            other => panic!("no verdict {other}"),
        }
    }

    fn checked(text: &str) -> Checked {
        let (word, domain) = text.split_once('@').unwrap_or((text, ""));
        Checked {
            verdict: verdict(word),
            domain: domain.to_owned(),
        }
    }

    fn check(table: &str) {
        for row in table
            .lines()
            .map(str::trim)
            .filter(|row| !row.is_empty())
            .skip(1)
        {
            let mut cells = row
                .split("  ")
                .map(str::trim)
                .filter(|cell| !cell.is_empty());
            let mut cell = || cells.next().unwrap_or_else(|| panic!("short row: {row}"));
            let raw: String = cell()
                .split(" + ")
                .filter(|from| *from != "nothing")
                .map(|from| format!("From: {from}\r\n"))
                .collect();
            let authentication = Authentication {
                spf: checked(cell()),
                spf_of_helo: false,
                dkim: Some(cell())
                    .filter(|c| *c != "-")
                    .map(checked)
                    .into_iter()
                    .collect(),
                dmarc: checked(cell()),
                policy: Policy::None,
            };
            let author = Letter::read(raw.as_bytes(), true).author;
            let got = assess(&author, &authentication, &["our.example".to_owned()]);
            assert_eq!(format!("{:?} {:?}", got.trust, got.reason), cell(), "{row}");
        }
    }

    #[test]
    fn levels() {
        check("
            from                        spf                  dkim                 dmarc      then
            a@x.example                 pass@x.example       pass@x.example       pass       A Dmarc
            a@x.example                 fail@y.example       -                    pass       A Dmarc
            a@x.example                 pass@y.example       pass@x.example       none       B AlignedDkim
            a@mail.x.example            none                 pass@x.example       none       B AlignedDkim
            a@x.example                 pass@x.example       -                    none       B AlignedSpf
            a@x.example                 pass@x.example       fail@x.example       permerror  B AlignedSpf
            a@x.example                 pass@mail.x.example  -                    none       C NotAligned
            a@x.example                 pass@evilx.example   pass@y.example       none       C NotAligned
            a@x.example                 softfail@x.example   -                    none       C NotAligned
            a@x.example                 none                 -                    none       C NotAligned
            a@x.example                 -                    -                    -          C NotChecked
            a@x.example                 temperror@x.example  -                    none       C Unanswered
            a@x.example                 pass@x.example       -                    temperror  C Unanswered
            a@x.example                 none                 temperror@x.example  none       C Unanswered
            a@x.example                 pass@y.example       -                    fail       D DmarcFail
            nothing                     pass@x.example       pass@x.example       pass       D NoAuthor
            team:;                      pass@x.example       -                    none       D NoAuthor
            a@x.example + b@y.example   pass@x.example       pass@x.example       pass       D SeveralAuthors
            a@x.example + a@x.example   pass@x.example       pass@x.example       pass       D SeveralAuthors
            a@x.example, b@x.example    pass@x.example       pass@x.example       pass       D SeveralAuthors
            <a@x.example>(<b@y.example>)  pass@x.example     pass@x.example       pass       D UnclearAuthor
            =?utf-8?q?a=40x.example?=   pass@x.example       -                    pass       D UnclearAuthor
            a@our.example               pass@our.example     -                    pass       A Dmarc
            a@our.example               pass@our.example     -                    none       B AlignedSpf
            a@our.example               none                 -                    none       D PosesAsUs
            a@our.example               -                    -                    -          D PosesAsUs
            a@OUR.example.              none                 -                    fail       D PosesAsUs
        ");
    }

    #[test]
    fn the_best_level_sorts_first() {
        assert!(Trust::A < Trust::B && Trust::B < Trust::C && Trust::C < Trust::D);
    }
}
