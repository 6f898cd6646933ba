//! `postroom demo`: the whole gateway on this machine, for a minute, with a story to watch.

mod desk;
mod scratch;
mod stage;
mod story;
mod teller;

use postroom::telemetry;

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
    // Ctrl-c during the story ends it in order as well: the scratch folder has to go.
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(interrupted);
    let mut teller = Teller::new(page);
    page.line(page.ink(
        Ink::Strong,
        "A customer writes, an agent answers, the customer writes again.",
    ))?;
    let mut stage = tokio::select! {
        stage = teller.step("The gateway starts", Stage::build()) => stage?,
        _ = &mut interrupted => return Err(Failure::silent(Exit::Unavailable)),
    };
    teller.detail("Postfix", &stage.running.milter.to_string())?;
    teller.detail("agents", &stage.running.control.to_string())?;
    teller.detail(
        "administrator",
        &format!("unix:{}", stage.running.socket.display()),
    )?;
    teller.detail("answers go to", &stage.sink.addr().to_string())?;
    let told = tokio::select! {
        told = story::tell(&stage, &mut teller) => told,
        _ = &mut interrupted => Err(Failure::silent(Exit::Unavailable)),
    };
    if told.is_ok() && !demo.once {
        try_next(&stage, page)?;
        tokio::select! {
            why = stage.running.failed() => {
                return Err(Failure::new(Exit::Unavailable, why));
            }
            _ = &mut interrupted => {}
        }
    }
    told?;
    teller.step("The gateway stops", stage.strike()).await
}

/// What a curious person may do now.
fn try_next(stage: &Stage, page: Page) -> Result<(), Failure> {
    let running = &stage.running;
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
            format!("postroom watch --server unix:{socket}"),
        ),
        (
            "be the MTA",
            format!(
                "postroom inject --milter {} --from karl@boehm.example --rcpt sales@shop.example {letter}",
                running.milter
            ),
        ),
        (
            "make an agent",
            format!("postroom agent add otto --name Otto --queue sales --server unix:{socket}"),
        ),
        (
            "load it",
            format!(
                "postroom bench milter --milter {} --rcpt sales@shop.example",
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
