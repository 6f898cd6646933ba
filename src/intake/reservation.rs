//! Reservations: of letters that are the same only one is in work at a time.
//!
//! A sender that gets no answer soon tries again, sometimes while the first attempt is still being
//! looked at. The second waits for the end of the first, and then finds the letter in the store.
//! The store itself would file it once in any case; this spares the name servers, and a sender who
//! does not wait for answers takes no more of us than one who does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::engine::Fingerprint;

/// How long the second waits for the first. After that its sender is told to come back, which
/// costs less than a connection that is kept.
const WAIT: Duration = Duration::from_secs(10);

/// The letters in work: no more than there are connections from MTAs. Each has a token that is
/// cancelled when its work ends.
type InWork = Mutex<BTreeMap<[u8; 32], CancellationToken>>;

/// Who works on which letter.
#[derive(Debug, Default)]
pub struct Reservations(Arc<InWork>);

/// The right to work on a letter, until it is dropped.
#[derive(Debug)]
pub struct Reservation {
    digests: Vec<[u8; 32]>,
    end: CancellationToken,
    in_work: Arc<InWork>,
}

impl Reservations {
    /// Takes the letter with these fingerprints, as soon as nobody else has it; `None` if somebody
    /// keeps it for too long.
    pub async fn take(&self, fingerprints: &[Fingerprint]) -> Option<Reservation> {
        let digests: Vec<_> = fingerprints.iter().map(|print| print.digest).collect();
        let deadline = Instant::now() + WAIT;
        loop {
            match self.try_take(&digests) {
                Ok(reservation) => return Some(reservation),
                Err(first) => timeout_at(deadline, first.cancelled()).await.ok()?,
            }
        }
    }

    /// Takes all or nothing, so that two never wait for each other.
    fn try_take(&self, digests: &[[u8; 32]]) -> Result<Reservation, CancellationToken> {
        let mut in_work = lock(&self.0);
        if let Some(first) = digests.iter().find_map(|digest| in_work.get(digest)) {
            return Err(first.clone());
        }
        let end = CancellationToken::new();
        for digest in digests {
            in_work.insert(*digest, end.clone());
        }
        Ok(Reservation {
            digests: digests.to_vec(),
            end,
            in_work: Arc::clone(&self.0),
        })
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut in_work = lock(&self.in_work);
        for digest in &self.digests {
            in_work.remove(digest);
        }
        drop(in_work);
        self.end.cancel();
    }
}

// A panic while the lock is held leaves a table that is whole: each change is one insertion.
fn lock(in_work: &InWork) -> MutexGuard<'_, BTreeMap<[u8; 32], CancellationToken>> {
    in_work.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn prints(digests: &[u8]) -> Vec<Fingerprint> {
        let print = |digest: &u8| Fingerprint {
            digest: [*digest; 32],
            memory: Duration::ZERO,
        };
        digests.iter().map(print).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_second_waits_for_the_first() {
        let reservations = Arc::new(Reservations::default());
        let first = reservations.take(&prints(&[1, 2])).await.unwrap();
        assert!(reservations.take(&prints(&[3])).await.is_some());
        let second = tokio::spawn({
            let reservations = Arc::clone(&reservations);
            async move { reservations.take(&prints(&[4, 2])).await.is_some() }
        });
        tokio::task::yield_now().await;
        assert!(!second.is_finished());
        drop(first);
        assert!(second.await.unwrap());
        assert!(lock(&reservations.0).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn but_not_for_ever() {
        let reservations = Reservations::default();
        let first = reservations.take(&prints(&[1])).await.unwrap();
        let began = Instant::now();
        assert!(reservations.take(&prints(&[1])).await.is_none());
        assert_eq!(began.elapsed(), WAIT);
        drop(first);
        assert!(reservations.take(&prints(&[1])).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn of_many_one_works_at_a_time() {
        let reservations = Arc::new(Reservations::default());
        let working = Arc::new(AtomicUsize::new(0));
        let mut all = tokio::task::JoinSet::new();
        for place in 0..50 {
            let (reservations, working) = (Arc::clone(&reservations), Arc::clone(&working));
            all.spawn(async move {
                let reservation = reservations.take(&prints(&[place % 2, 7])).await;
                assert_eq!(working.fetch_add(1, Ordering::SeqCst), 0);
                tokio::task::yield_now().await;
                working.fetch_sub(1, Ordering::SeqCst);
                reservation.is_some()
            });
        }
        while let Some(taken) = all.join_next().await {
            assert!(taken.unwrap());
        }
        assert!(lock(&reservations.0).is_empty());
    }
}
