//! The commands of the program, one file each. They print; they decide nothing.

mod agent;
mod bench;
mod check;
mod demo;
mod dkim;
mod door;
mod failure;
mod figures;
mod inject;
mod key;
mod mta;
mod notify;
mod page;
mod replay;
mod serve;
mod watch;

use std::future::Future;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use failure::{Exit, Failure};
use page::Page;

/// A mail gateway for contact centres that sits beside Postfix.
///
/// Postfix shows it each letter over the milter protocol; agents are offered the mail and answer it
/// over gRPC.
#[derive(Debug, Parser)]
#[command(
    name = "postroom",
    version,
    propagate_version = true,
    after_help = "\
Example:
  postroom demo
  postroom check --config /etc/postroom/postroom.toml
  postroom serve --config /etc/postroom/postroom.toml

`postroom COMMAND --help` explains a command and shows how it is used.
Exit codes: 0 done, 64 wrong arguments, 65 refused, 69 not reachable or not granted, 70 our own
mistake, 74 file or output trouble, 75 refused for now, 78 wrong configuration."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Demo),
    Serve(serve::Serve),
    Check(check::Check),
    Inject(inject::Inject),
    Watch(watch::Watch),
    Figures(figures::Figures),
    Replay(replay::Replay),
    Agent(agent::Agent),
    Key(key::Key),
    Dkim(dkim::Dkim),
    Bench(bench::Bench),
}

/// Runs the command that the arguments name.
pub(crate) fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are errors in clap's eyes, and go to standard output.
            let exit = if error.use_stderr() {
                ExitCode::from(Exit::Usage as u8)
            } else {
                ExitCode::SUCCESS
            };
            let _ = error.print();
            return exit;
        }
    };
    let page = Page::new();
    let ended = match arguments.command {
        Command::Serve(serve) => return serve::run(&serve),
        Command::Demo(demo) => wait_for(demo::run(demo, page)),
        Command::Check(check) => check::run(&check, page),
        Command::Inject(inject) => wait_for(inject::run(inject, page)),
        Command::Watch(watch) => wait_for(watch::run(watch, page)),
        Command::Figures(figures) => wait_for(figures::run(figures, page)),
        Command::Replay(replay) => wait_for(replay::run(replay, page)),
        Command::Agent(agent) => wait_for(agent::run(agent, page)),
        Command::Key(key) => wait_for(key::run(key, page)),
        Command::Dkim(dkim) => dkim::run(&dkim, page),
        Command::Bench(bench) => wait_for(bench::run(bench, page)),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.is_silent() {
                // If standard error is gone too, the exit code has to speak alone.
                let _ = writeln!(io::stderr(), "{failure}");
            }
            ExitCode::from(failure.exit as u8)
        }
    }
}

/// Runs a command that talks to others.
fn wait_for(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Software, format!("no runtime: {error}")))?;
    let ended = runtime.block_on(command);
    // What a failed command left running in the background must not hold up its exit.
    runtime.shutdown_background();
    ended
}
