//! `postroom demo`: the whole gateway on this machine, for a minute, with a story to watch.

mod desk;
mod scratch;
mod stage;
mod story;
mod teller;

use postroom::telemetry;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::failure::{Exit, Failure};
use super::page::{Ink, Page};
use stage::Stage;
use teller::Teller;

/// Start a gateway in a scratch folder and show how mail goes through it.
///
/// Three letters come in as Postfix would bring them, an agent answers one over gRPC, and a small
/// SMTP server receives the answer. Everything is on loopback, on free ports, and gone afterwards.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  postroom demo
  postroom demo --once

Without --once the gateway stays up after the story, until ctrl-c, and the commands to try next are
printed with its addresses. With --once the exit code tells whether every step went well.
POSTROOM_LOG=info shows the gateway's own log lines in between.")]
pub(super) struct Demo {
    /// End after the story.
    #[arg(long)]
    once: bool,
}

pub(super) async fn run(demo: Demo, page: Page) -> Result<(), Failure> {
    if std::env::var_os("POSTROOM_LOG").is_some() {
        telemetry::start();
    }
    let mut told_to_end = told_to_end()?;
    let mut teller = Teller::new(page);
    let title = "A customer writes, an agent answers, the customer writes again.";
    page.line(page.ink(Ink::Strong, title))?;
    let mut stage = tokio::select! {
        stage = teller.step("The gateway starts", Stage::build()) => stage?,
        _ = told_to_end.recv() => return Err(Failure::silent(Exit::Unavailable)),
    };
    let ended = tokio::select! {
        ended = play(&mut stage, &mut teller, demo.once, page) => ended,
        _ = told_to_end.recv() => {
            if demo.once {
                Err(Failure::silent(Exit::Unavailable))
            } else {
                Ok(())
            }
        }
    };
    // However it ended, the gateway is stopped in order before its folder goes.
    let struck = teller.step("The gateway stops", stage.strike()).await;
    ended.and(struck)
}

/// The story, and then the time in which people try things, which has no end of its own.
async fn play(
    stage: &mut Stage,
    teller: &mut Teller,
    once: bool,
    page: Page,
) -> Result<(), Failure> {
    let running = &stage.running;
    teller.detail("Postfix", &running.milter.to_string())?;
    teller.detail("agents", &running.control.to_string())?;
    teller.detail(
        "administrator",
        &format!("unix:{}", running.socket.display()),
    )?;
    teller.detail("answers go to", &stage.sink.addr().to_string())?;
    story::tell(stage, teller).await?;
    if once {
        return Ok(());
    }
    try_next(stage, page)?;
    let why = stage.running.failed().await;
    Err(Failure::new(Exit::Unavailable, why))
}

/// A word on ctrl-c and on SIGTERM: the scratch folder has to go either way.
fn told_to_end() -> Result<mpsc::Receiver<()>, Failure> {
    let (word, told) = mpsc::channel(1);
    for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
        let mut signals = signal(kind).map_err(|error| Failure::file("signals", &error))?;
        let word = word.clone();
        tokio::spawn(async move {
            signals.recv().await;
            // A second word, or one that nobody waits for any more, says nothing new.
            let _ = word.try_send(());
        });
    }
    Ok(told)
}

/// What a curious person may do now.
fn try_next(stage: &Stage, page: Page) -> Result<(), Failure> {
    let running = &stage.running;
    // As it was called, which works in another terminal too if it is in the same folder.
    let program = std::env::args()
        .next()
        .unwrap_or_else(|| "postroom".to_owned());
    let socket = running.socket.display();
    let letter = stage.letter.display();
    page.line("")?;
    page.line(page.ink(
        Ink::Strong,
        "The gateway stays up until ctrl-c. In another terminal:",
    ))?;
    for (what, command) in [
        (
            "see the desk",
            format!("{program} watch --server unix:{socket}"),
        ),
        (
            "be the MTA",
            format!(
                "{program} inject --milter {} --from karl@boehm.example --rcpt sales@shop.example {letter}",
                running.milter
            ),
        ),
        (
            "make an agent",
            format!("{program} agent add otto --name Otto --queue sales --server unix:{socket}"),
        ),
        (
            "load it",
            format!(
                "{program} bench milter --milter {} --rcpt sales@shop.example",
                running.milter
            ),
        ),
        (
            "sign in",
            format!(
                "grpcurl -plaintext -d '{{\"login\":\"{}\",\"password\":\"{}\"}}' {} postroom.v1.SessionService/OpenSession",
                stage::LOGIN,
                stage::PASSWORD,
                running.control
            ),
        ),
        (
            "list the API",
            format!("grpcurl -plaintext {} list", running.control),
        ),
        (
            "or with buf",
            format!(
                "buf curl --http2-prior-knowledge --protocol grpc --list-methods http://{}",
                running.control
            ),
        ),
    ] {
        page.line(format!("  {:<14} {command}", page.ink(Ink::Faint, what)))?;
    }
    Ok(())
}
