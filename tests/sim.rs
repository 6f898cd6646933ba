//! Days at the desk, by seed: agents with temperaments, supervisors who meddle, mail in bursts, an
//! MTA that stalls, and a process that dies between any two effects, before and after the sync.
//!
//! A day is told in the words of `tests/desk.rs`, line by line, and each line is checked by the laws
//! as soon as it is said. Here stand those that need somebody outside: every letter that was said
//! yes to is in exactly one interaction of each of its queues; nothing that was answered is gone after
//! a crash; no message is taken by the MTA twice without a person's word. And when the mail stops and
//! everybody works, everything gets done.
//!
//! `cargo test --test sim` runs a fixed number of seeds; `SEEDS=100000 cargo test --test sim` more,
//! and `SEED=17 cargo test --test sim` one. A failure prints its seed and leaves the day as a story,
//! cut down as far as it still fails, which `STORY=file cargo test --test sim` tells again, and which
//! can be kept in `tests/desk`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

#[path = "days/agents.rs"]
mod agents;
#[path = "days/chance.rs"]
mod chance;
#[path = "days/day.rs"]
mod day;
#[path = "desk/figures.rs"]
mod figures;
#[path = "desk/mails.rs"]
mod mails;
#[path = "days/mta.rs"]
mod mta;
#[path = "desk/names.rs"]
mod names;
#[path = "days/retelling.rs"]
mod retelling;
#[path = "desk/stage.rs"]
mod stage;
#[path = "days/supervisors.rs"]
mod supervisors;
#[path = "desk/words.rs"]
mod words;
#[path = "desk/world.rs"]
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use day::Day;

/// Seeds of an ordinary run.
const SEEDS: u64 = 2000;

#[test]
fn days_at_the_desk() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    if let Some(path) = std::env::var_os("STORY") {
        retelling::tell(path.as_ref());
        return;
    }
    let seeds = match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SEEDS").unwrap_or(SEEDS),
    };
    let next = AtomicU64::new(seeds.start);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let failure = std::thread::scope(|scope| {
        let work = || {
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if !seeds.contains(&seed) {
                    return None;
                }
                let mut day = Day::new(seed);
                let done = catch_unwind(AssertUnwindSafe(|| {
                    day.begin();
                    day.work();
                    day.finish();
                }));
                if done.is_err() {
                    // The others need not go on.
                    next.store(seeds.end, Ordering::Relaxed);
                    return Some((seed, day.story));
                }
            }
        };
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let ended = all.into_iter().map(|thread| thread.join().unwrap());
        ended.flatten().min_by_key(|(seed, _)| *seed)
    });
    if let Some((seed, story)) = failure {
        panic!("{}", retelling::report(seed, &story));
    }
}
