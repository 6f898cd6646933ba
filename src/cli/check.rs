//! `postroom check`: reads the configuration file and says what is wrong with it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use postroom::config::Config;
use postroom::intake::authenticate::Resolver;

use super::failure::{Exit, Failure};
use super::page::{Ink, Page};

/// Bytes of header fields that we may add to a letter, which count in Postfix's limit too.
const HEADER_BYTES: u64 = 8 << 10;

/// Check a configuration file.
///
/// Prints one line for each problem, `FILE:LINE: what`, and ends with 78 if there is one.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  postroom check --config /etc/postroom/postroom.toml

Nothing is started, connected to or written. If Postfix is on this machine, its message_size_limit
is compared with ours.")]
pub(super) struct Check {
    /// The configuration file; contrib/postroom.toml is the commented example.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

pub(super) fn run(check: &Check, page: Page) -> Result<(), Failure> {
    let config = load(&check.config, page)?;
    let queues = config.queues();
    let addresses: usize = queues.iter().map(|queue| queue.mailboxes.len()).sum();
    page.line(format!(
        "{}: {}, {} and {}",
        check.config.display(),
        page.ink(Ink::Good, "good"),
        count(queues.len(), "queue"),
        count(addresses, "address")
    ))?;
    for hint in hints(&config) {
        page.line(format!("{}: {hint}", page.ink(Ink::Care, "hint")))?;
    }
    Ok(())
}

/// Reads a configuration; its problems go to the page.
pub(super) fn load(file: &Path, page: Page) -> Result<Config, Failure> {
    Config::load(file).or_else(|problems| {
        for problem in problems {
            let place = match problem.line {
                0 => file.display().to_string(),
                line => format!("{}:{line}", file.display()),
            };
            page.line(format!("{}: {}", page.ink(Ink::Bad, &place), problem.what))?;
        }
        Err(Failure::silent(Exit::Config))
    })
}

/// What is allowed, and perhaps not meant.
fn hints(config: &Config) -> Vec<String> {
    let mut hints = vec![format!(
        "Postfix finds this gateway with smtpd_milters = {} in main.cf",
        config.milter.listen.get_ref()
    )];
    if config.authentication.resolver() == Some(Resolver::Off) {
        hints.push("authentication.resolver is off: no sender is ever proven".to_owned());
    }
    let ours = config.milter.message_bytes_max;
    match postfix_size_limit() {
        // 0 means no limit at all.
        Some(limit @ 1..) if ours.saturating_add(HEADER_BYTES) > limit => hints.push(format!(
            "milter.message_bytes_max = {ours} is less than 8 KiB below Postfix's \
             message_size_limit = {limit}: a letter just below that limit bounces once our header \
             fields are in it"
        )),
        _ => {}
    }
    hints
}

/// What Postfix on this machine says, if there is one.
fn postfix_size_limit() -> Option<u64> {
    let told = Command::new("postconf")
        .args(["-h", "message_size_limit"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    String::from_utf8(told.stdout).ok()?.trim().parse().ok()
}

/// A number with its noun.
fn count(number: usize, noun: &str) -> String {
    match (number, noun.strip_suffix('s')) {
        (1, _) => format!("1 {noun}"),
        (_, Some(_)) => format!("{number} {noun}es"),
        (_, None) => format!("{number} {noun}s"),
    }
}
