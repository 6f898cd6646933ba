//! The `postroom` program: arguments, then configuration, then run, then an exit code.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
