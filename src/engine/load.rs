//! Loading: the desk's records read out of the store at a start.

use std::fmt;

use crate::desk::{Counters, Records};
use crate::mail::token::{KEY_BYTES, KEYS_MAX, Keyring};
use crate::store::record::{self, ApiKey, Article, RecordError, Secret, Stored};
use crate::store::{Batch, CommitError, Store, StoreError, keys};

/// How many pairs are read at a time.
const PAGE: usize = 1000;

/// How many drafts are read at a time: they can be long.
const DRAFTS_PAGE: usize = 20;

/// Why a start failed. Nothing was changed.
#[derive(Debug)]
pub enum StartError {
    /// The store could not be read.
    Store(StoreError),
    /// A record could not be read.
    Record(RecordError),
    /// A mark names a record that is not there. Only damage or a bug of ours can do this.
    Missing(String),
    /// The first records of a new store could not be written.
    Commit(CommitError),
    /// The machine gave no randomness for the keys of a new store.
    Randomness,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => write!(f, "the store cannot be read: {error}"),
            Self::Record(error) => error.fmt(f),
            Self::Missing(what) => write!(f, "the store names {what}, which is not there"),
            Self::Commit(error) => write!(f, "the store cannot be written: {error}"),
            Self::Randomness => f.write_str("the machine gives no random numbers"),
        }
    }
}

impl std::error::Error for StartError {}

impl From<StoreError> for StartError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<RecordError> for StartError {
    fn from(error: RecordError) -> Self {
        Self::Record(error)
    }
}

/// Calls `each` with every pair below a prefix.
fn for_each(
    store: &dyn Store,
    prefix: &[u8],
    each: impl FnMut(&[u8], &[u8]) -> Result<(), StartError>,
) -> Result<(), StartError> {
    for_each_in(store, prefix, PAGE, each)
}

/// The same, with so many pairs in memory at once.
fn for_each_in(
    store: &dyn Store,
    prefix: &[u8],
    page_size: usize,
    mut each: impl FnMut(&[u8], &[u8]) -> Result<(), StartError>,
) -> Result<(), StartError> {
    let mut after: Option<Vec<u8>> = None;
    loop {
        let page = store.scan(prefix, after.as_deref(), page_size)?;
        for (key, value) in &page {
            each(key, value)?;
        }
        if page.len() < page_size {
            return Ok(());
        }
        after = page.into_iter().next_back().map(|(key, _)| key);
    }
}

fn all<T: Stored>(store: &dyn Store, prefix: &[u8]) -> Result<Vec<T>, StartError> {
    let mut found = Vec::new();
    for_each(store, prefix, |_, value| {
        found.push(record::decode(value)?);
        Ok(())
    })?;
    Ok(found)
}

/// The record of a key that a mark names.
fn named<T: Stored>(store: &dyn Store, key: &[u8]) -> Result<T, StartError> {
    let value = store
        .get(key)?
        .ok_or_else(|| StartError::Missing(format!("the {} {}", T::NOUN, key.escape_ascii())))?;
    Ok(record::decode(&value)?)
}

/// The records that the desk holds.
pub(super) fn records(store: &dyn Store) -> Result<Records, StartError> {
    let mut records = Records {
        counters: store
            .get(keys::COUNTERS)?
            .map(|value| record::decode::<Counters>(&value))
            .transpose()?,
        agents: all(store, keys::AGENTS)?,
        sessions: all(store, keys::SESSIONS)?,
        offers: all(store, keys::OFFERS)?,
        pauses: all(store, keys::PAUSES)?,
        uploads: all(store, keys::UPLOADS)?,
        ..Records::default()
    };
    for_each(store, keys::OPEN, |mark, _| {
        if let Some(id) = keys::opened(mark) {
            records
                .interactions
                .push(named(store, &keys::interaction(id))?);
        }
        Ok(())
    })?;
    let mut cases: Vec<_> = records.interactions.iter().map(|open| open.case).collect();
    cases.sort_unstable();
    cases.dedup();
    for number in cases {
        records.cases.push(named(store, &keys::case(number))?);
    }
    for_each_in(store, keys::DRAFTS, DRAFTS_PAGE, |key, _| {
        records.drafts.extend(keys::drafted(key));
        Ok(())
    })?;
    for_each(store, keys::SPOOL, |mark, _| {
        if let Some(id) = keys::spooled(mark) {
            records.outbound.push(named(store, &keys::outbound(id))?);
        }
        Ok(())
    })?;
    Ok(records)
}

/// All API keys.
pub(super) fn api_keys(store: &dyn Store) -> Result<Vec<ApiKey>, StartError> {
    all(store, keys::KEYS)
}

/// All articles.
pub(super) fn articles(store: &dyn Store) -> Result<Vec<Article>, StartError> {
    all(store, keys::ARTICLES)
}

/// What an installation keeps to itself, made at its first start.
pub(super) struct Secrets {
    /// From which session tokens are derived.
    pub(super) session: Vec<u8>,
    /// With which tokens are signed.
    pub(super) mail: Keyring,
    /// Names the event logs of this store.
    pub(super) log_id: String,
}

/// Bytes of key material: as long as the digest of the HMAC it is for.
const SECRET_BYTES: usize = KEY_BYTES;

/// Reads the secrets, or makes them in a new store.
pub(super) fn secrets(store: &dyn Store) -> Result<Secrets, StartError> {
    let mut batch = Batch::default();
    batch.set_essential();
    let session = secret(store, &mut batch, keys::secret("session"))?;
    let first = secret(store, &mut batch, keys::secret(&mail_key(FIRST_MAIL_KEY)))?;
    let log = secret(store, &mut batch, keys::LOG.to_vec())?;
    if !batch.is_empty() {
        store.commit(vec![batch]).map_err(StartError::Commit)?;
    }
    let log_id = data_encoding::HEXLOWER.encode(log.get(..8).unwrap_or(&log));
    // Events of an older form are not replayed: to clients it is another log.
    let log_id = format!("{log_id}-{}", record::EVENTS);
    Ok(Secrets {
        session,
        mail: mail_keys(store, first)?,
        log_id,
    })
}

/// The id of the key that a new store signs tokens with.
const FIRST_MAIL_KEY: u8 = 1;

/// Names a key that tokens are signed with.
pub(super) fn mail_key(id: u8) -> String {
    format!("mail-{id}")
}

/// Names the one that signs now; there is none before the first rotation.
pub(super) const CURRENT_MAIL_KEY: &str = "mail-current";

/// All keys that tokens were signed with and that still count.
fn mail_keys(store: &dyn Store, first: Vec<u8>) -> Result<Keyring, StartError> {
    let read = |name: &str| -> Result<Option<Vec<u8>>, StartError> {
        let value = store.get(&keys::secret(name))?;
        let secret = value.map(|value| record::decode::<Secret>(&value));
        Ok(secret.transpose()?.map(|secret| secret.0))
    };
    let whole = |secret: Vec<u8>| -> Result<[u8; SECRET_BYTES], StartError> {
        (secret.try_into()).map_err(|_| StartError::Missing("a whole signing key".to_owned()))
    };
    let mut ring = vec![(FIRST_MAIL_KEY, whole(first)?)];
    for id in (0..KEYS_MAX as u8).filter(|id| *id != FIRST_MAIL_KEY) {
        if let Some(secret) = read(&mail_key(id))? {
            ring.push((id, whole(secret)?));
        }
    }
    let current = read(CURRENT_MAIL_KEY)?.and_then(|id| id.first().copied());
    Keyring::new(current.unwrap_or(FIRST_MAIL_KEY), ring)
        .map_err(|error| StartError::Missing(format!("a usable set of signing keys: {error}")))
}

fn secret(store: &dyn Store, batch: &mut Batch, key: Vec<u8>) -> Result<Vec<u8>, StartError> {
    if let Some(value) = store.get(&key)? {
        return Ok(record::decode::<Secret>(&value)?.0);
    }
    let bytes = new_secret().ok_or(StartError::Randomness)?.to_vec();
    batch.put(key, record::encode(&Secret(bytes.clone())));
    Ok(bytes)
}

/// Fresh key material; `None` if the machine has no randomness.
pub(super) fn new_secret() -> Option<[u8; SECRET_BYTES]> {
    let mut bytes = [0; SECRET_BYTES];
    let random = ring::rand::SystemRandom::new();
    ring::rand::SecureRandom::fill(&random, &mut bytes).ok()?;
    Some(bytes)
}
