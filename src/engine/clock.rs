//! The clock: wall time at the start, and from there on only forward, near the machine's.
//!
//! Between two looks as much time passes as the monotonic clock says. If the machine's clock was
//! corrected meanwhile, ours follows slowly, a tenth faster or slower, so that an agent's seconds
//! stay seconds. Only a large step forward, as after a machine was asleep, is taken at once.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::time::Timestamp;

/// A step forward that is larger than this is no correction: nobody was there meanwhile.
const LEAP: Duration = Duration::from_secs(60);

/// A clock that was set back by more than this is not followed: at a tenth it would take half a
/// day. The next start does.
const SETBACK_MAX: Duration = Duration::from_secs(3600);

/// Tells the time. It is never earlier than it was told before, so no wait is negative.
#[derive(Debug)]
pub(super) struct Clock {
    last: Mutex<Last>,
}

/// The last look at the clocks.
#[derive(Debug)]
struct Last {
    /// What was told, since 1970.
    told: Duration,
    /// When, by the monotonic clock.
    at: Instant,
    /// Whether there was a leap of which nobody has asked yet.
    leapt: bool,
    /// Whether a clock that is too far behind has been complained of.
    complained: bool,
}

/// What a look at both clocks comes to.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// On to this time.
    On(Duration),
    /// On to this time, with a leap.
    Leap(Duration),
    /// On to this time, although the machine's clock is far behind it.
    Alone(Duration),
}

impl Step {
    /// From the time told last, the time that has passed since, and the machine's clock.
    fn of(told: Duration, passed: Duration, wall: Duration) -> Self {
        let expected = told.saturating_add(passed);
        let ahead = wall.saturating_sub(expected);
        let behind = expected.saturating_sub(wall);
        if ahead > LEAP {
            Self::Leap(wall)
        } else if behind > SETBACK_MAX {
            Self::Alone(expected)
        } else {
            let most = passed / 10;
            Self::On(expected.saturating_add(ahead.min(most)) - behind.min(most))
        }
    }
}

/// The machine's clocks.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that asks the machine for the time"
)]
fn look() -> (Duration, Instant) {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH);
    (wall.unwrap_or_default(), Instant::now())
}

impl Clock {
    /// Starts the clock.
    pub(super) fn start() -> Self {
        let (told, at) = look();
        let last = Last {
            told,
            at,
            leapt: false,
            complained: false,
        };
        Self {
            last: Mutex::new(last),
        }
    }

    /// The time now.
    pub(super) fn now(&self) -> Timestamp {
        // A panic while the lock is held leaves an older look, which is as good.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let (wall, at) = look();
        let passed = at.saturating_duration_since(last.at);
        last.told = match Step::of(last.told, passed, wall) {
            Step::On(told) => {
                last.complained = false;
                told
            }
            Step::Leap(told) => {
                let seconds = told.saturating_sub(last.told).as_secs();
                tracing::warn!(seconds, "the machine's clock leapt forward");
                last.leapt = true;
                told
            }
            Step::Alone(told) => {
                if !last.complained {
                    let seconds = told.saturating_sub(wall).as_secs();
                    tracing::warn!(
                        seconds,
                        "the machine's clock was set back too far to follow; restart Postroom if it is right now"
                    );
                    last.complained = true;
                }
                told
            }
        };
        last.at = at;
        Timestamp::ZERO + last.told
    }

    /// Whether there was a leap forward since the last time that this was asked.
    pub(super) fn leapt(&self) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut last.leapt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_clock_is_followed_without_going_back() {
        let ms = Duration::from_millis;
        for (passed, wall, step) in [
            // In step.
            (1000, 1_001_000, Step::On(ms(1_001_000))),
            (0, 1_000_000, Step::On(ms(1_000_000))),
            // A little ahead, and caught up with.
            (1000, 1_001_050, Step::On(ms(1_001_050))),
            (1000, 1_005_000, Step::On(ms(1_001_100))),
            (1000, 1_061_000, Step::On(ms(1_001_100))),
            // A little behind, or an hour.
            (1000, 1_000_950, Step::On(ms(1_000_950))),
            (1000, 990_000, Step::On(ms(1_000_900))),
            (0, 990_000, Step::On(ms(1_000_000))),
            // After a sleep.
            (1000, 1_061_001, Step::Leap(ms(1_061_001))),
            (0, 90_000_000, Step::Leap(ms(90_000_000))),
        ] {
            assert_eq!(Step::of(ms(1_000_000), ms(passed), ms(wall)), step);
        }
        let (day, hour) = (Duration::from_secs(86_400), Duration::from_secs(3600));
        let told = day * 20_000;
        assert_eq!(
            Step::of(told, hour, told - day),
            Step::Alone(told + hour),
            "a day back"
        );
        assert_eq!(Step::of(told, ms(0), told - hour), Step::On(told));
        let edge = told - hour - ms(1);
        assert_eq!(Step::of(told, ms(0), edge), Step::Alone(told));
    }

    #[test]
    fn the_time_goes_forward() {
        let clock = Clock::start();
        let times: Vec<_> = (0..1000).map(|_| clock.now()).collect();
        assert!(times.is_sorted());
        assert!(!clock.leapt());
    }
}
