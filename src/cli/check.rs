//! `postroom check`: reads the configuration file and says what is wrong with it.

mod advice;
mod postfix;

use std::path::{Path, PathBuf};

use postroom::config::Config;
use postroom::gateway;
use postroom::intake::authenticate::Resolver;

use postfix::Postfix;

use super::failure::{Exit, Failure};
use super::page::{Ink, Page};

/// Check a configuration file.
///
/// Prints one line for each problem, `FILE:LINE: what`, and ends with 78 if there is one.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  postroom check --config /etc/postroom/postroom.toml
  postroom check --config /etc/postroom/postroom.toml --postfix

Nothing is started, connected to or written. A hint is no problem: the exit code stays 0.")]
pub(super) struct Check {
    /// The configuration file; contrib/postroom.toml is the commented example.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Ask postconf for Postfix's configuration on this machine, and say what does not fit ours.
    #[arg(long)]
    postfix: bool,
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
    let mut hints = hints(&config);
    if check.postfix {
        match Postfix::ask() {
            Ok(postfix) => hints.extend(advice::of(&config, &postfix)),
            Err(error) => hints.push(format!("Postfix could not be asked: postconf: {error}")),
        }
    }
    for hint in hints {
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
    if let Some(kind) = gateway::in_memory(config) {
        hints.push(format!(
            "gateway.data_dir = {} is in memory ({kind}): with mode = \"consume\" or \"split\" the \
             gateway will not start on it",
            config.gateway.data_dir.display()
        ));
    }
    if let Err(error) = gateway::dkim_keys(config) {
        hints.push(format!("{error}: as whom Postroom runs it must be readable and a key, or the gateway will not start"));
    }
    for name in config.blind_rules() {
        hints.push(format!(
            "rule {name} prefers letters by their sender, whom anybody can claim to be: with \
             trust_at_least = \"B\" only proven ones"
        ));
    }
    hints
}

/// A number with its noun.
fn count(number: usize, noun: &str) -> String {
    match (number, noun.strip_suffix('s')) {
        (1, _) => format!("1 {noun}"),
        (_, Some(_)) => format!("{number} {noun}es"),
        (_, None) => format!("{number} {noun}s"),
    }
}
