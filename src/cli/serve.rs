//! `postroom serve`: runs the gateway until it is told to stop.

use std::path::PathBuf;
use std::process::ExitCode;

use postroom::config::Config;
use postroom::{gateway, telemetry};
use tokio::signal::unix::{SignalKind, signal};

/// sysexits.h: a service is unavailable.
const UNAVAILABLE: u8 = 69;
/// sysexits.h: the operating system said no.
const OS_ERROR: u8 = 71;
/// sysexits.h: the configuration is wrong.
const CONFIG: u8 = 78;

/// Run the gateway in the foreground.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  postroom serve --config /etc/postroom/postroom.toml

SIGTERM and SIGINT end it in order: messages under way get their verdict first.
Log lines go to standard error; POSTROOM_LOG=debug shows more of them.")]
pub(crate) struct Serve {
    /// The configuration file; see `postroom check`.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// Runs until a signal or a failure.
pub(crate) fn run(serve: &Serve) -> ExitCode {
    telemetry::start();
    let config = match Config::load(&serve.config) {
        Ok(config) => config,
        Err(problems) => {
            for problem in problems {
                tracing::error!("{}:{problem}", serve.config.display());
            }
            return ExitCode::from(CONFIG);
        }
    };
    // Two threads are enough: work that takes a processor goes to the blocking pool, and what
    // waits for the disk to the engine.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(serve_until_told(&config)),
        Err(error) => {
            tracing::error!("the runtime cannot be started: {error}");
            ExitCode::from(OS_ERROR)
        }
    }
}

async fn serve_until_told(config: &Config) -> ExitCode {
    let signals = signal(SignalKind::terminate()).and_then(|terminate| {
        let interrupt = signal(SignalKind::interrupt())?;
        Ok((terminate, interrupt))
    });
    let (mut terminate, mut interrupt) = match signals {
        Ok(signals) => signals,
        Err(error) => {
            tracing::error!("signals cannot be received: {error}");
            return ExitCode::from(OS_ERROR);
        }
    };
    let mut running = match gateway::start(config, None).await {
        Ok(running) => running,
        Err(error) => {
            tracing::error!("{error}");
            return ExitCode::from(UNAVAILABLE);
        }
    };
    tokio::select! {
        why = running.failed() => {
            tracing::error!("{why}");
            return ExitCode::from(UNAVAILABLE);
        }
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping");
    match running.stop().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            tracing::warn!("{why}");
            ExitCode::from(UNAVAILABLE)
        }
    }
}
