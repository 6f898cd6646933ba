//! Logs: one place that decides how lines look and which are printed.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Prints log lines to standard error from now on: plain for a journal, coloured for a terminal.
/// `POSTROOM_LOG` chooses what is printed, such as `postroom=debug`; the default is `info`.
pub fn start() {
    let filter = EnvFilter::try_from_env("POSTROOM_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let started = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .try_init();
    if started.is_err() {
        tracing::debug!("logs had been started already");
    }
}
