//! The gateway is killed again and again under load, and nothing it said yes to is lost or done
//! twice.
//!
//! MTAs send letters over several connections and try again what was not answered; agents accept,
//! answer and end. After a random number of answers the process gets SIGKILL, and is started
//! again. `KILLS` sets the number of rounds, `SEED` the random numbers. What a kill does not show
//! is the loss of the page cache; the store's own tests cut the power for that.

#![expect(clippy::unwrap_used, reason = "a test's helpers are part of the test")]
#![expect(clippy::print_stderr, reason = "a test that fails shows the logs")]

mod support {
    pub(crate) mod agent;
    pub(crate) mod gateway;
    pub(crate) mod port;
}

mod rounds {
    pub(crate) mod afterwards;
    pub(crate) mod arrived;
    pub(crate) mod chance;
    pub(crate) mod desk;
    mod files;
    pub(crate) mod moment;
    pub(crate) mod post;
}

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use postroom::outbound::sink::Sink;
use rounds::afterwards;
use rounds::arrived::Arrived;
use rounds::chance::Chance;
use rounds::desk::Desk;
use rounds::moment::{Moment, To};
use rounds::post::Post;
use support::agent;
use support::gateway::{Gateway, Settings};
use tokio::task::JoinSet;

/// Rounds unless `KILLS` says otherwise.
const ROUNDS: u64 = 30;

/// Connections from MTAs.
const CONNECTIONS: usize = 4;

const AGENTS: [&str; 4] = ["bert", "cora", "dora", "emil"];

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_promised_outlives_every_kill() {
    let (rounds, seed) = (number("KILLS", ROUNDS), number("SEED", 1));
    let mut chance = Chance::new(seed);
    let folder = tempfile::tempdir().unwrap();
    let mut settings = Settings::new(folder.path());
    let sink = Sink::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await;
    let sink = sink.unwrap();
    settings.outbound = sink.addr().to_string();
    let settings = Arc::new(settings);
    let post = Arc::new(Post::default());
    let desks = AGENTS.map(|agent| Arc::new(Desk::new(agent)));
    let mut arrived = Arrived::default();
    let mut known_again = 0;

    // The last round is not cut short: what has no answer yet gets one.
    for round in 0..=rounds {
        let gateway = Gateway::start(&settings).await;
        if round == 0 {
            for agent in AGENTS {
                agent::hire(&settings.socket(), agent, &["support", "sales"]).await;
            }
        }
        let last = round == rounds;
        let moment = Arc::new(if last {
            Moment::never()
        } else {
            match chance.up_to(2) {
                1 => Moment::after(chance.up_to(60), To::Mta),
                _ => Moment::after(chance.up_to(12), To::Agent),
            }
        });
        let mut load = JoinSet::new();
        for _ in 0..CONNECTIONS {
            let (settings, post) = (Arc::clone(&settings), Arc::clone(&post));
            let (moment, chance) = (Arc::clone(&moment), chance.split());
            load.spawn(async move { post.carry(&settings.milter(), chance, &moment, last).await });
        }
        for desk in &desks {
            let (settings, desk) = (Arc::clone(&settings), Arc::clone(desk));
            let moment = Arc::clone(&moment);
            load.spawn(async move { desk.work(settings.control(), &moment, last).await });
        }
        if last {
            while let Some(ended) = load.join_next().await {
                ended.unwrap();
            }
            known_again += again(&gateway.log());
            assert!(gateway.stop().success());
        } else {
            tokio::select! {
                () = moment.come() => {}
                // Nobody goes home before the moment has come; whoever does has failed.
                Some(ended) = load.join_next() => ended.unwrap(),
            }
            known_again += again(&gateway.log());
            gateway.kill();
            while let Some(ended) = load.join_next().await {
                ended.unwrap();
            }
        }
        arrived.count(&sink).await;
    }

    let found = afterwards::check(&settings, &post, &desks, &arrived);
    // Past the runner, which would keep what a test prints to itself.
    let _ = writeln!(
        io::stderr(),
        "seed {seed}: {rounds} kills, {found}, {} retried, {known_again} known again",
        post.retried()
    );
}

/// How many letters the gateway recognised as filed before.
fn again(log: &str) -> usize {
    log.matches(" dup=1 ").count()
}
