//! The commands of the program, one file each. They print; they decide nothing.

mod serve;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A mail gateway for contact centres that sits beside Postfix.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Serve),
}

/// Runs the command that the arguments name.
pub(crate) fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Serve(serve) => serve::run(&serve),
    }
}
