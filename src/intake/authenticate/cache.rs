//! Answers of the DNS, kept as the verifier reads them: a record is parsed once in its lifetime,
//! not once a letter.
//!
//! The resolver below has a cache of its own, of messages, which also remembers what does not
//! exist; this one saves the way there and the parsing.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use mail_auth::common::parse::TxtRecordParser;
use mail_auth::common::verify::DomainKey;
use mail_auth::dmarc::Dmarc;
use mail_auth::hickory_resolver::proto::op::ResponseCode;
use mail_auth::spf::Spf;
use mail_auth::{DnsError, DnssecStatus, Error, MX, Parameters, RecordSet, ResolverCache, Txt};

/// How many sets of text records are kept. With [`WAYS`] answers each, that is the mail of about a
/// thousand sending domains, which have a policy, an SPF record and a key or two. A stranger who
/// serves records of the largest size of the DNS, 64 KiB, can make it hold 256 MiB and no more.
const TEXT_SETS: usize = 1024;

/// How many sets of each other kind are kept; few SPF records ask for them.
const OTHER_SETS: usize = 256;

/// How many answers a set holds. The one that expires first makes room.
const WAYS: usize = 4;

/// Most directives of an SPF record that is kept, and most addresses or names of another answer:
/// larger ones are asked for each time.
const RECORDS_MAX: usize = 256;

/// Answers, by kind.
pub(super) struct Cache {
    txt: Sets<Box<str>, Txt>,
    mx: Sets<Box<str>, RecordSet<MX>>,
    ptr: Sets<IpAddr, RecordSet<Box<str>>>,
    ipv4: Sets<Box<str>, RecordSet<Ipv4Addr>>,
    ipv6: Sets<Box<str>, RecordSet<Ipv6Addr>>,
}

impl Cache {
    pub(super) fn new() -> Self {
        Self {
            txt: Sets::new(TEXT_SETS),
            mx: Sets::new(OTHER_SETS),
            ptr: Sets::new(OTHER_SETS),
            ipv4: Sets::new(OTHER_SETS),
            ipv6: Sets::new(OTHER_SETS),
        }
    }
}

/// Where the verifier looks before it asks the network.
pub(super) enum Known {
    /// Earlier answers.
    Cache(Cache),
    /// All there is: what is not in this list does not exist, and nothing is ever asked.
    Fixed(Vec<(String, Txt)>),
}

impl Known {
    /// What is known at a time; one reading of the clock serves a letter.
    pub(super) fn at(&self, now: Instant) -> View<'_> {
        View { known: self, now }
    }

    /// A list of text records, each read as what its name says it is.
    pub(super) fn fixed(records: &[(String, String)]) -> Self {
        Self::Fixed(records.iter().map(record).collect())
    }
}

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

/// What is known, as the verifier wants to be shown it.
pub(super) struct View<'a> {
    known: &'a Known,
    now: Instant,
}

impl View<'_> {
    pub(super) fn with<P>(&self, params: P) -> Parameters<'_, P, Self, Self, Self, Self, Self> {
        Parameters::new(params)
            .with_txt_cache(self)
            .with_mx_cache(self)
            .with_ptr_cache(self)
            .with_ipv4_cache(self)
            .with_ipv6_cache(self)
    }
}

impl ResolverCache<Box<str>, Txt> for View<'_> {
    fn get<Q>(&self, name: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        match self.known {
            Known::Cache(cache) => cache.txt.get(name, self.now),
            Known::Fixed(records) => {
                let found = records.iter().find(|(known, _)| {
                    let known: Box<str> = known.as_str().into();
                    <Box<str> as Borrow<Q>>::borrow(&known) == name
                });
                let code = ResponseCode::NXDomain;
                let missing = || Txt::Error(Error::Dns(DnsError::RecordNotFound(code)));
                Some(found.map_or_else(missing, |(_, record)| record.clone()))
            }
        }
    }

    fn remove<Q>(&self, _: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        None
    }

    fn insert(&self, name: Box<str>, answer: Txt, until: Instant) {
        let large = matches!(&answer, Txt::Spf(spf) if spf.directives.len() > RECORDS_MAX);
        if let Known::Cache(cache) = self.known
            && !large
        {
            cache.txt.insert(name, answer, until, self.now);
        }
    }
}

/// Fixed lists hold text only: every other question is answered with nothing.
macro_rules! record_sets {
    ($kind:ident, $key:ty, $record:ty) => {
        impl ResolverCache<$key, RecordSet<$record>> for View<'_> {
            fn get<Q>(&self, name: &Q) -> Option<RecordSet<$record>>
            where
                $key: Borrow<Q>,
                Q: Hash + Eq + ?Sized,
            {
                match self.known {
                    Known::Cache(cache) => cache.$kind.get(name, self.now),
                    Known::Fixed(_) => Some(RecordSet {
                        rrset: Arc::new([]),
                        dnssec_status: DnssecStatus::Indeterminate,
                    }),
                }
            }

            fn remove<Q>(&self, _: &Q) -> Option<RecordSet<$record>>
            where
                $key: Borrow<Q>,
                Q: Hash + Eq + ?Sized,
            {
                None
            }

            fn insert(&self, name: $key, answer: RecordSet<$record>, until: Instant) {
                if let Known::Cache(cache) = self.known
                    && answer.rrset.len() <= RECORDS_MAX
                {
                    cache.$kind.insert(name, answer, until, self.now);
                }
            }
        }
    };
}

record_sets!(mx, Box<str>, MX);
record_sets!(ipv4, Box<str>, Ipv4Addr);
record_sets!(ipv6, Box<str>, Ipv6Addr);
record_sets!(ptr, IpAddr, Box<str>);

/// A table that cannot grow: a name has its place in one small set, and pushes out another of that
/// set if it is full. Nobody outside knows which names share a set.
struct Sets<K, V> {
    sets: Box<[Set<K, V>]>,
    hasher: RandomState,
}

type Set<K, V> = Mutex<Vec<Slot<K, V>>>;

struct Slot<K, V> {
    name: K,
    answer: V,
    until: Instant,
}

impl<K: Hash + Eq, V: Clone> Sets<K, V> {
    fn new(count: usize) -> Self {
        Self {
            sets: (0..count).map(|_| Mutex::new(Vec::new())).collect(),
            hasher: RandomState::new(),
        }
    }

    fn set<Q: Hash + ?Sized>(&self, name: &Q) -> Option<MutexGuard<'_, Vec<Slot<K, V>>>> {
        let count = u64::try_from(self.sets.len()).unwrap_or(u64::MAX);
        let place = self.hasher.hash_one(name).checked_rem(count)?;
        let set = self.sets.get(usize::try_from(place).ok()?)?;
        Some(set.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn get<Q>(&self, name: &Q, now: Instant) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let set = self.set(name)?;
        set.iter()
            .find(|slot| slot.until > now && slot.name.borrow() == name)
            .map(|slot| slot.answer.clone())
    }

    fn insert(&self, name: K, answer: V, until: Instant, now: Instant) {
        let Some(mut set) = self.set(&name) else {
            return;
        };
        set.retain(|slot| slot.until > now && slot.name != name);
        if set.len() >= WAYS {
            let first = set.iter().enumerate().min_by_key(|(_, slot)| slot.until);
            if let Some((place, _)) = first {
                set.swap_remove(place);
            }
        }
        if until > now {
            set.push(Slot {
                name,
                answer,
                until,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> Instant {
        tokio::time::Instant::now().into_std() + Duration::from_secs(seconds)
    }

    #[test]
    fn answers_live_as_long_as_they_say() {
        let (now, later) = (at(0), at(100));
        let sets: Sets<Box<str>, u32> = Sets::new(1);
        sets.insert("a.".into(), 1, now + Duration::from_secs(10), now);
        sets.insert("b.".into(), 2, now, now);
        assert_eq!(sets.get("a.", now), Some(1));
        assert_eq!(sets.get("b.", now), None);
        assert_eq!(sets.get("a.", now + Duration::from_secs(10)), None);
        sets.insert("a.".into(), 3, later, now);
        assert_eq!(sets.get("a.", now), Some(3));
    }

    #[test]
    fn a_full_set_gives_up_what_expires_first() {
        let now = at(0);
        let sets: Sets<Box<str>, usize> = Sets::new(1);
        for n in 0..1000 {
            let until = now + Duration::from_secs(1000 - u64::try_from(n).unwrap());
            sets.insert(format!("{n}.").into(), n, until, now);
        }
        let kept = (0..1000).filter(|n| sets.get(format!("{n}.").as_str(), now).is_some());
        assert_eq!(kept.collect::<Vec<_>>(), [0, 1, 2, 999]);
    }
}
