//! The teller of the story: numbered steps with their times, and aligned details below them.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::cli::failure::{Exit, Failure};
use crate::cli::mta::millis;
use crate::cli::page::{Ink, Page, plain};

/// How long a step may take. Each is a matter of milliseconds; more means that something hangs.
const STEP_TIME_MAX: Duration = Duration::from_secs(5);

/// Width of a step's title.
const TITLE_WIDTH: usize = 52;

pub(super) struct Teller {
    page: Page,
    number: usize,
}

impl Teller {
    pub(super) const fn new(page: Page) -> Self {
        Self { page, number: 0 }
    }

    /// Does something, and says what and how long it took.
    pub(super) async fn step<T>(
        &mut self,
        title: &str,
        act: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let begun = Instant::now();
        let done = timeout(STEP_TIME_MAX, act).await.map_err(|_| {
            let seconds = STEP_TIME_MAX.as_secs();
            Failure::new(
                Exit::Software,
                format!("{title}: not done after {seconds} s"),
            )
            .advise("POSTROOM_LOG=debug postroom demo --once shows what the gateway does.")
        })??;
        self.number += 1;
        let title = format!("{title:<TITLE_WIDTH$}");
        self.page.line(format!(
            "{:>2}  {}{:>8.1} ms",
            self.number,
            self.page.ink(Ink::Good, &title),
            millis(begun.elapsed())
        ))?;
        Ok(done)
    }

    /// A detail of the step before. What comes from a letter is made harmless here.
    pub(super) fn detail(&self, what: &str, text: &str) -> Result<(), Failure> {
        let what = format!("{what:<24}");
        self.page.line(format!(
            "      {} {}",
            self.page.ink(Ink::Faint, &what),
            plain(text)
        ))
    }
}
