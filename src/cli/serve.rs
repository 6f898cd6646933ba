//! `postroom serve`: runs the gateway until it is told to stop.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use postroom::config::{Config, Problem};
use postroom::gateway::{self, Inherited, Running};
use postroom::telemetry;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::notify::Notify;

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

SIGHUP reads the file again: queues, addresses, limits and how senders are proven change with the
next message; what needs a restart is said. A file with a problem changes nothing.
SIGTERM and SIGINT end it in order: messages under way get their verdict first.
Sockets from systemd named milter and control are used in place of the configured ones.
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
            blame(&serve.config, &problems);
            return ExitCode::from(CONFIG);
        }
    };
    let inherited = match Inherited::from_env() {
        Ok(inherited) => inherited,
        Err(error) => {
            tracing::error!("{error}");
            return ExitCode::from(UNAVAILABLE);
        }
    };
    // Two threads are enough: work that takes a processor goes to the blocking pool, and what
    // waits for the disk to the engine.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(serve_until_told(&serve.config, &config, inherited)),
        Err(error) => {
            tracing::error!("the runtime cannot be started: {error}");
            ExitCode::from(OS_ERROR)
        }
    }
}

/// The signals that we obey.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

/// What a signal asks for.
enum Told {
    Reload,
    Stop,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told::Stop,
            _ = self.interrupt.recv() => Told::Stop,
            _ = self.hangup.recv() => Told::Reload,
        }
    }
}

async fn serve_until_told(file: &Path, config: &Config, inherited: Inherited) -> ExitCode {
    let notify = Notify::from_env();
    let mut signals = match Signals::new() {
        Ok(signals) => signals,
        Err(error) => {
            tracing::error!("signals cannot be received: {error}");
            return ExitCode::from(OS_ERROR);
        }
    };
    let mut running = match gateway::start_on(config, None, inherited).await {
        Ok(running) => running,
        Err(error) => {
            tracing::error!("{error}");
            return ExitCode::from(UNAVAILABLE);
        }
    };
    notify.ready();
    loop {
        tokio::select! {
            why = running.failed() => {
                tracing::error!("{why}");
                return ExitCode::from(UNAVAILABLE);
            }
            told = signals.next() => match told {
                Told::Stop => break,
                Told::Reload => {
                    notify.reloading();
                    reload(&running, file).await;
                    notify.ready();
                }
            },
        }
    }
    tracing::info!("stopping");
    notify.stopping();
    match running.stop().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            tracing::warn!("{why}");
            ExitCode::from(UNAVAILABLE)
        }
    }
}

/// Takes over what the file says now, or says why not.
async fn reload(running: &Running, file: &Path) {
    let config = match Config::load(file) {
        Ok(config) => config,
        Err(problems) => {
            blame(file, &problems);
            tracing::error!("the configuration stays as it was");
            return;
        }
    };
    match running.reload(&config).await {
        Ok(fixed) => {
            for key in fixed {
                tracing::warn!("{}: {key} differs, and takes a restart", file.display());
            }
            tracing::info!("{} is in force from the next message on", file.display());
        }
        Err(error) => {
            tracing::error!("{}: {error}", file.display());
            tracing::error!("the configuration stays as it was");
        }
    }
}

fn blame(file: &Path, problems: &[Problem]) {
    for problem in problems {
        tracing::error!("{}", problem.in_file(file));
    }
}
