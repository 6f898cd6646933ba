//! `postroom bench`: loads a running gateway and says how it bore it.

mod milter;
mod stopwatch;

use super::failure::Failure;
use super::page::Page;

/// Load a running gateway and measure it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  postroom bench milter --milter inet:127.0.0.1:8891 --rcpt support@shop.example")]
pub(super) struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    Milter(milter::Milter),
}

pub(super) async fn run(bench: Bench, page: Page) -> Result<(), Failure> {
    match bench.what {
        What::Milter(arguments) => milter::run(arguments, page).await,
    }
}
