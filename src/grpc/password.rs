//! Passwords: hashed with Argon2id, slowly and few at a time, so that guessing stays dear and
//! sign-ins cannot starve the calls of those who are at work.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use argon2::Argon2;
use argon2::password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString};
use ring::digest::{Context, SHA256};
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::sync::Semaphore;
use tonic::{Code, Status};

use super::errors::{self, Failure};
use super::pb::ErrorReason;
use crate::time::Timestamp;

/// Shortest password that may be set, in bytes, as NIST SP 800-63B asks for.
pub(super) const PASSWORD_BYTES_MIN: usize = 8;

/// Longest password that is looked at, in bytes.
pub(super) const PASSWORD_BYTES_MAX: usize = 1024;

/// Hashes that are computed at the same time: each takes 19 MiB and some tens of milliseconds.
const AT_ONCE: usize = 2;

/// Callers who may wait for their turn; more are told to come back.
const WAITING_MAX: usize = 64;

/// Attempts for one login that may follow each other without a pause.
const BURST: u32 = 10;

/// How long an attempt counts.
const REFILL: Duration = Duration::from_secs(6);

/// Number of places in which attempts are counted. A fixed number, so that invented logins cost
/// no memory; two logins rarely share a place, and then they share their allowance.
const PLACES: usize = 4096;

const SALT_BYTES: usize = 16;

/// See the module.
pub(super) struct Passwords {
    turns: Arc<Semaphore>,
    waiting: Semaphore,
    seed: [u8; 16],
    places: Mutex<Vec<Place>>,
    /// The hash that a password is compared with if there is no such agent, so that the answer
    /// takes as long as for one that there is.
    decoy: Option<String>,
}

#[derive(Clone, Copy)]
struct Place {
    used: u32,
    since: Timestamp,
}

impl Passwords {
    pub(super) fn new() -> Self {
        let mut seed = [0; 16];
        // Without randomness the places are merely known; hashing itself will say what is wrong.
        let _ = SystemRandom::new().fill(&mut seed);
        let place = Place {
            used: 0,
            since: Timestamp::ZERO,
        };
        Self {
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            waiting: Semaphore::new(WAITING_MAX),
            seed,
            places: Mutex::new(vec![place; PLACES]),
            decoy: hash_now("decoy"),
        }
    }

    /// Whether the password is the one of which this is the hash.
    pub(super) async fn verify(
        &self,
        login: &str,
        password: String,
        stored: Option<String>,
        now: Timestamp,
    ) -> Result<bool, Status> {
        self.count(login, now)?;
        let known = stored.is_some();
        let Some(stored) = stored.or_else(|| self.decoy.clone()) else {
            return Ok(false);
        };
        let same = self.work(move || verify_now(&password, &stored)).await?;
        Ok(same && known)
    }

    /// The hash of a new password, in PHC form.
    pub(super) async fn hash(&self, password: String) -> Result<String, Status> {
        self.work(move || hash_now(&password))
            .await?
            .ok_or_else(|| errors::internal("a password could not be hashed"))
    }

    /// Computes off the threads that serve calls, when it is this caller's turn.
    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Status> {
        let _waiting = (self.waiting.try_acquire()).map_err(|_| limited(REFILL))?;
        let turn = (Arc::clone(&self.turns).acquire_owned().await)
            .map_err(|_| errors::internal("the turns of password hashing are gone"))?;
        tokio::task::spawn_blocking(move || {
            let done = work();
            drop(turn);
            done
        })
        .await
        .map_err(|_| errors::internal("password hashing panicked"))
    }

    /// Counts an attempt, or says when to come back.
    fn count(&self, login: &str, now: Timestamp) -> Result<(), Status> {
        let mut context = Context::new(&SHA256);
        context.update(&self.seed);
        context.update(login.as_bytes());
        let place = (context.finish().as_ref().iter().take(4))
            .fold(0, |sum, byte| (sum << 8) | usize::from(*byte));
        let mut places = self
            .places
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        let Some(place) = places.get_mut(place % PLACES) else {
            return Ok(());
        };
        let refilled = now.since(place.since).as_millis() / REFILL.as_millis();
        if refilled > 0 {
            place.used = (place.used).saturating_sub(u32::try_from(refilled).unwrap_or(u32::MAX));
            place.since = now;
        }
        if place.used >= BURST {
            return Err(limited(REFILL.saturating_sub(now.since(place.since))));
        }
        place.used += 1;
        Ok(())
    }
}

fn limited(wait: Duration) -> Status {
    let message = "too many sign-in attempts; wait before the next one";
    let limited = ErrorReason::RateLimited;
    Failure::new(Code::ResourceExhausted, limited, message)
        .retry(wait)
        .into()
}

fn hash_now(password: &str) -> Option<String> {
    let mut salt = [0; SALT_BYTES];
    SystemRandom::new().fill(&mut salt).ok()?;
    let salt = SaltString::encode_b64(&salt).ok()?;
    let hash = Argon2::default()
        .hash_password(password.as_bytes(), &salt)
        .ok()?;
    Some(hash.to_string())
}

fn verify_now(password: &str, stored: &str) -> bool {
    PasswordHash::new(stored).is_ok_and(|stored| {
        Argon2::default()
            .verify_password(password.as_bytes(), &stored)
            .is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_fits_its_own_hash_only() {
        let passwords = Passwords::new();
        let hash = passwords.hash("correct horse".to_owned()).await.unwrap();
        assert!(hash.starts_with("$argon2id$"), "{hash}");
        for (given, stored, same) in [
            ("correct horse", Some(hash.clone()), true),
            ("correct house", Some(hash), false),
            ("decoy", None, false),
            ("anything", Some("not a hash".to_owned()), false),
        ] {
            let found = passwords.verify("anna", given.to_owned(), stored, Timestamp::ZERO);
            assert_eq!(found.await.unwrap(), same, "{given}");
        }
    }

    #[test]
    fn guessing_has_to_pause() {
        let passwords = Passwords::new();
        let noon = Timestamp::from_millis(1_000_000);
        for _ in 0..BURST {
            assert!(passwords.count("anna", noon).is_ok());
        }
        let status = passwords.count("anna", noon).unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert!(passwords.count("anna", noon + REFILL).is_ok());
        assert!(passwords.count("anna", noon + REFILL).is_err());
        // One of them may share a place with anna, but hardly all.
        let others = ["bert", "carl", "dora", "emil", "fina", "gero"];
        let free = |login: &str| passwords.count(login, noon).is_ok();
        assert!(others.into_iter().any(free));
    }
}
