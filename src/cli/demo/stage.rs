//! What the story needs around it: a gateway with a sample configuration, and a server that takes
//! its answers.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use postroom::config::Config;
use postroom::gateway::{self, Running};
use postroom::intake::authenticate::Resolver;
use postroom::outbound::sink::Sink;

use super::scratch::Scratch;
use crate::cli::failure::{Exit, Failure};

/// The sample agent's sign-in name.
pub(super) const LOGIN: &str = "mira";

/// The sample agent's password; it opens nothing but a scratch folder on loopback.
pub(super) const PASSWORD: &str = "analytical engine";

/// A letter for whoever wants to play the MTA afterwards.
pub(super) const SALES_LETTER: &str = include_str!("offer.eml");

/// What the world's name servers would say: one customer's domain vouches for its mail and asks
/// that forgeries be turned away, the other's says nothing.
const RECORDS: [(&str, &str); 2] = [
    ("lovelace.example", "v=spf1 ip4:192.0.2.7 -all"),
    ("_dmarc.lovelace.example", "v=DMARC1; p=reject"),
];

/// The stage. Struck in order by [`Stage::strike`].
pub(super) struct Stage {
    /// The gateway.
    pub(super) running: Running,
    /// The server that takes its answers.
    pub(super) sink: Sink,
    /// A letter as a file.
    pub(super) letter: PathBuf,
    /// Last, so that it goes when nothing is in it any more.
    _scratch: Scratch,
}

impl Stage {
    pub(super) async fn build() -> Result<Self, Failure> {
        let io = |error: std::io::Error| Failure::file(std::env::temp_dir().display(), &error);
        let scratch = Scratch::new().map_err(io)?;
        let letter = scratch.path().join("offer.eml");
        std::fs::write(&letter, SALES_LETTER).map_err(io)?;
        let sink = Sink::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
            .await
            .map_err(|error| Failure::file("127.0.0.1", &error))?;
        let config = configuration(&scratch, sink.addr())?;
        let records = RECORDS.map(|(name, text)| (name.to_owned(), text.to_owned()));
        let running = gateway::start(&config, Some(Resolver::Fixed(records.to_vec())))
            .await
            .map_err(|error| Failure::new(Exit::Unavailable, error.to_string()))?;
        Ok(Self {
            running,
            sink,
            letter,
            _scratch: scratch,
        })
    }

    /// Stops everything and removes the folder.
    pub(super) async fn strike(self) -> Result<(), Failure> {
        let stopped = self.running.stop().await;
        stopped.map_err(|why| Failure::new(Exit::Software, why))
    }
}

fn configuration(scratch: &Scratch, sink: SocketAddr) -> Result<Config, Failure> {
    // A path in TOML's basic strings wants its backslashes and quotes escaped, as JSON does.
    let folder = serde_json::Value::from(scratch.path().join("data").to_string_lossy());
    let text = format!(
        r#"
        [gateway]
        data_dir = {folder}
        name = "mail.shop.example"

        [milter]
        listen = "inet:127.0.0.1:0"

        [control]
        listen = "127.0.0.1:0"

        [outbound]
        server = "{sink}"

        [store]
        free_space_floor_mib = 16
        segment_mib = 8

        [[queue]]
        id = "support"
        display_name = "Customer support"
        addresses = ["support@shop.example", "help@shop.example"]
        post_processing_seconds = 60

        [[queue]]
        id = "sales"
        display_name = "Sales"
        addresses = ["sales@shop.example"]
        "#
    );
    Config::parse(&text).map_err(|problems| {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        Failure::new(
            Exit::Software,
            format!("the sample configuration: {}", problems.join("; ")),
        )
    })
}
