//! `postroom bench milter`: many letters over many connections, and how long each verdict took.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use postroom::milter::Address;
use postroom::milter::client::{Caller, Client, Duplex, Letter};
use postroom::milter::negotiation::Offer;
use serde_json::json;
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::super::failure::{Exit, Failure};
use super::super::mta::{self, Fate, millis};
use super::super::page::{Ink, Page, plain};
use super::stopwatch::Stopwatch;

/// A line of the body; it repeats up to the size that was asked for.
const LINE: &str = "The quick brown fox jumps over the lazy dog, and asks where the order is.\r\n";

/// Load the milter socket.
///
/// Sends letters over several connections at once and prints the throughput, and the time from the
/// end of a letter's body to the verdict: what a sender waits for us.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  postroom bench milter --milter inet:127.0.0.1:8891 --rcpt support@shop.example \\
      --connections 8 --messages 2000 --size 20000

Every letter that is taken is stored and waits in a queue: use a gateway made for it. With
authentication.resolver = \"off\" its name servers are left out of the measurement.
Exit codes: 0 all taken, 65 or 75 if one was not, 69 the gateway cannot be reached.")]
pub(super) struct Milter {
    /// The gateway's milter address, as smtpd_milters has it: unix:PATH or inet:HOST:PORT.
    #[arg(long, value_name = "ADDR")]
    milter: Address,
    /// The envelope recipient of every letter.
    #[arg(long, value_name = "A")]
    rcpt: String,
    /// How many connections at once.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1000))]
    connections: u32,
    /// How many letters in all.
    #[arg(long, value_name = "M", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    messages: u32,
    /// Size of a letter's body in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(0..=67_108_864))]
    size: u32,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// What one connection saw.
#[derive(Debug, Default)]
struct Seen {
    verdicts: Vec<Duration>,
    refused: usize,
    put_off: usize,
    first_refusal: Option<String>,
}

/// What all connections share.
struct Load {
    address: Address,
    rcpt: String,
    body: Bytes,
    messages: usize,
    /// Letters begun so far. Whichever connection is free takes the next, so that a slow one does
    /// not prolong the run.
    begun: AtomicUsize,
    /// Tells this run's Message-IDs from those of the run before, which the gateway may remember.
    run: u32,
}

pub(super) async fn run(arguments: Milter, page: Page) -> Result<(), Failure> {
    let size = arguments.size as usize;
    let load = Arc::new(Load {
        address: arguments.milter.clone(),
        rcpt: arguments.rcpt,
        body: Bytes::from(
            LINE.as_bytes()
                .iter()
                .copied()
                .cycle()
                .take(size)
                .collect::<Vec<u8>>(),
        ),
        messages: arguments.messages as usize,
        begun: AtomicUsize::new(0),
        run: std::process::id(),
    });
    let begun = Instant::now();
    let mut connections = JoinSet::new();
    for _ in 0..arguments.connections {
        connections.spawn(connection(Arc::clone(&load)));
    }
    let mut all = Seen::default();
    while let Some(ended) = connections.join_next().await {
        let seen = ended.map_err(|error| Failure::new(Exit::Software, error.to_string()))??;
        all.verdicts.extend(seen.verdicts);
        all.refused += seen.refused;
        all.put_off += seen.put_off;
        all.first_refusal = all.first_refusal.or(seen.first_refusal);
    }
    let took = begun.elapsed();
    all.verdicts.sort_unstable();
    report(&all, took, &arguments.milter, arguments.json, page)?;
    match (all.refused, all.put_off) {
        (0, 0) => Ok(()),
        (0, _) => Err(Failure::silent(Exit::TryLater)),
        _ => Err(Failure::silent(Exit::Refused)),
    }
}

async fn connection(load: Arc<Load>) -> Result<Seen, Failure> {
    let failed = |error| mta::unreachable(&load.address, &error);
    let stream: Box<dyn Duplex> = match &load.address {
        Address::Unix(path) => Box::new(
            UnixStream::connect(path)
                .await
                .map_err(|error| failed(error.into()))?,
        ),
        Address::Inet { host, port } => {
            let stream = TcpStream::connect((host.as_str(), *port)).await;
            let stream = stream.map_err(|error| failed(error.into()))?;
            stream
                .set_nodelay(true)
                .map_err(|error| failed(error.into()))?;
            Box::new(stream)
        }
    };
    let (stream, reading) = Stopwatch::around(stream);
    let mut client = Client::negotiate(stream, Offer::POSTFIX)
        .await
        .map_err(failed)?;
    client.open(Caller::default()).await.map_err(failed)?;
    let mut seen = Seen::default();
    let recipients = [load.rcpt.clone()];
    loop {
        let number = load.begun.fetch_add(1, Ordering::Relaxed);
        if number >= load.messages {
            break;
        }
        let queue_id = format!("4Bench{number:08}z");
        let letter = load.letter(number);
        let mail = mta::mail("bench@client.example", &recipients, queue_id, letter);
        let outcome = client.send(&mail).await.map_err(failed)?;
        seen.verdicts.push(reading.last());
        match Fate::of(&outcome) {
            Fate::Accepted | Fate::Discarded | Fate::Released => continue,
            Fate::TryLater => seen.put_off += 1,
            Fate::Refused => seen.refused += 1,
        }
        seen.first_refusal =
            (seen.first_refusal).or_else(|| mta::reply(&outcome.verdict).map(str::to_owned));
    }
    client.quit().await.map_err(failed)?;
    Ok(seen)
}

impl Load {
    fn letter(&self, number: usize) -> Letter {
        let head = format!(
            "From: Bench <bench@client.example>\r\nTo: {}\r\nSubject: Bench {number}\r\n\
             Message-ID: <{}.{number}@bench.client.example>\r\n\r\n",
            self.rcpt, self.run
        );
        Letter {
            body: self.body.clone(),
            ..Letter::parse(&Bytes::from(head))
        }
    }
}

fn report(
    seen: &Seen,
    took: Duration,
    address: &Address,
    json: bool,
    page: Page,
) -> Result<(), Failure> {
    let messages = seen.verdicts.len();
    #[expect(
        clippy::cast_precision_loss,
        reason = "counts of letters are far below 2^52"
    )]
    let rate = messages as f64 / took.as_secs_f64().max(0.001);
    let [p50, p99, longest] = [50, 99, 100].map(|percent| percentile(&seen.verdicts, percent));
    if json {
        let report = json!({
            "milter": address.to_string(),
            "messages": messages,
            "refused": seen.refused,
            "tempfail": seen.put_off,
            "seconds": took.as_secs_f64(),
            "messages_per_second": rate,
            "verdict_milliseconds": {
                "p50": millis(p50),
                "p99": millis(p99),
                "max": millis(longest),
            },
        });
        return page.line(report.to_string());
    }
    page.line(format!(
        "{}  {messages} letters in {:.2} s: {rate:.0} a second",
        page.ink(Ink::Strong, "throughput"),
        took.as_secs_f64()
    ))?;
    page.line(format!(
        "{}     p50 {:.2} ms   p99 {:.2} ms   max {:.2} ms   (end of body to verdict)",
        page.ink(Ink::Strong, "verdict"),
        millis(p50),
        millis(p99),
        millis(longest)
    ))?;
    if let Some(reply) = &seen.first_refusal {
        page.line(format!(
            "{}     {} for good, {} for now; the first: {}",
            page.ink(Ink::Bad, "refused"),
            seen.refused,
            seen.put_off,
            plain(reply)
        ))?;
    }
    Ok(())
}

/// The smallest time that so many per cent do not exceed; zero if there is none.
fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let times: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        for (percent, millis) in [(0, 1), (50, 100), (99, 198), (100, 200)] {
            assert_eq!(percentile(&times, percent), Duration::from_millis(millis));
        }
        assert_eq!(percentile(&[], 50), Duration::ZERO);
        assert_eq!(percentile(&times[..1], 99), times[0]);
    }
}
