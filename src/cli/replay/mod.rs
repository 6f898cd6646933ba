//! `postroom replay`: what was recorded happens once more under another distribution policy.

mod rows;
mod table;

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use jiff::civil::Date;
use jiff::tz::TimeZone;
use postroom::config::Config;
use postroom::grpc::pb::download_recording_response::Frame;
use postroom::grpc::pb::supervisor_service_client::SupervisorServiceClient;
use postroom::grpc::{json, pb};
use postroom::replay::{Played, Recording, Rules};
use postroom::time::Timestamp;

use super::check;
use super::door::{self, OptionalDoor};
use super::failure::{Exit, Failure};
use super::page::Page;
use rows::Rows;
use table::Comparison;

/// Longest line of a recording, in bytes: an agent who serves every queue there may be takes less.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// What a line of a recording is.
const FRAME: &str = "DownloadRecordingResponse";

/// See how mail would have waited under another distribution policy.
///
/// What arrived since a day, and what agents did about it, happens once more in simulation: under the
/// policy that runs, and under another. Nothing in the gateway changes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  postroom replay --from 2026-11-16 --policy new.toml --config /etc/postroom/postroom.toml
  postroom replay --from 2026-11-16 --until 2026-11-21 --policy new.toml \\
      --config /etc/postroom/postroom.toml --save week.recording
  postroom replay --recording week.recording --before old.toml --policy new.toml --json

Both policies are configuration files, of which the queues, their hours and [agents] count. A policy
must have every queue that the recording has.

The table has four columns: what was recorded, what the simulation makes of it before and after the
change, and the difference between these two. How far the first two agree says how far to trust the
others. Work counts for the queue in which it arrived; what nobody accepted waits until the end. In
time means within what the queue promises, in its open hours: a part of what was accepted, answered
or closed, and a part of what was due.

It is assumed that a policy changes nobody's habits. Agents come and go as recorded, answer offers
after their median time, and decline what they declined. Who gets the work that they had takes as
long as recorded; whoever gets another's takes their own median. Agents have the queues, skills and
capacity that they have today. What agents pulled is offered instead, and supervisors' moves are not
repeated. What an agent held at the beginning is left out. The gateway keeps the last 10,000 events
of each agent, about a thousand pieces of work; agents are absent before that, and a note says so.

DATE is a day, from its midnight in UTC, or a time such as 2026-11-16T08:00:00+01:00.
A recording is one JSON object a line, a postroom.v1.DownloadRecordingResponse each. It names agents and
cases, no customers. To get it, a key needs the role supervisor.")]
pub(super) struct Replay {
    /// From when on.
    #[arg(long, value_name = "DATE", value_parser = date, required_unless_present = "recording")]
    from: Option<Timestamp>,
    /// Up to when; up to now if not given.
    #[arg(long, value_name = "DATE", value_parser = date)]
    until: Option<Timestamp>,
    /// The configuration file with the other policy.
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// The configuration file with the policy that runs; that of --config if not given.
    #[arg(long, value_name = "FILE")]
    before: Option<PathBuf>,
    /// Replay this recording and ask no gateway.
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["from", "until", "save", "server", "socket", "key_file"]
    )]
    recording: Option<PathBuf>,
    /// Write the recording to this file, for --recording.
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    door: OptionalDoor,
}

pub(super) async fn run(replay: Replay, page: Page) -> Result<(), Failure> {
    let running = replay.before.as_deref().or_else(|| replay.door.config());
    let running = running.ok_or_else(|| {
        Failure::new(Exit::Usage, "which policy runs now?")
            .advise("Name its configuration file with --before FILE, or --config FILE.")
    })?;
    let before = rules(&check::load(running, page)?);
    let after = rules(&check::load(&replay.policy, page)?);
    let recording = match &replay.recording {
        Some(file) => read(file)?,
        None => fetch(&replay, page).await?,
    };
    for (rules, file) in [(&before, running), (&after, &replay.policy)] {
        fits(&recording, rules, file)?;
    }
    if recording.arrivals().is_empty() {
        let (from, until) = (recording.from(), recording.until());
        let what = format!("nothing arrived between {from} and {until}");
        return Err(Failure::new(Exit::Refused, what).advise("Begin earlier with --from DATE."));
    }
    for (agent, since) in
        (recording.members().iter()).filter_map(|(id, member)| Some((id, member.since?)))
    {
        page.note(format!(
            "note: what is recorded of {agent} begins at {since}; before that they count as absent"
        ))?;
    }
    let played_before = play(&recording, &before, "before")?;
    let played_after = play(&recording, &after, "after")?;
    for (played, when) in [(&played_before, "before"), (&played_after, "after")] {
        remark(page, played, when)?;
    }
    let recorded = recording.as_recorded();
    let comparison = Comparison::new(
        &recording,
        &after,
        [
            recording.figures(&before, &recorded),
            recording.figures(&before, &played_before),
            recording.figures(&after, &played_after),
        ],
    );
    if replay.json {
        return page.line(comparison.json().to_string());
    }
    for line in comparison.lines(page) {
        page.line(line)?;
    }
    Ok(())
}

/// A day or a time.
fn date(text: &str) -> Result<Timestamp, String> {
    let day = || -> Option<jiff::Timestamp> {
        let day: Date = text.parse().ok().filter(|_| text.len() == DAY_CHARS)?;
        TimeZone::UTC.to_timestamp(day.at(0, 0, 0, 0)).ok()
    };
    let at = text.parse().ok().or_else(day);
    at.and_then(|at: jiff::Timestamp| u64::try_from(at.as_millisecond()).ok())
        .map(Timestamp::from_millis)
        .ok_or_else(|| "write a day as 2026-11-16, or a time as 2026-11-16T08:00:00Z".to_owned())
}

/// How long a day is in writing.
const DAY_CHARS: usize = "2026-11-16".len();

fn rules(config: &Config) -> Rules {
    Rules {
        queues: config.queues(),
        house: config.house(),
    }
}

/// Refuses a policy that lacks a queue.
fn fits(recording: &Recording, rules: &Rules, file: &Path) -> Result<(), Failure> {
    let missing = recording.missing(rules);
    if missing.is_empty() {
        return Ok(());
    }
    let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
    let what = format!(
        "{} has no queue {}, where work was recorded",
        file.display(),
        missing.join(", ")
    );
    Err(Failure::new(Exit::Config, what)
        .advise("Keep the queue in the file; `overflow_to` can pass on what arrives in it."))
}

/// Asks the gateway.
async fn fetch(replay: &Replay, page: Page) -> Result<Recording, Failure> {
    let asked = pb::DownloadRecordingRequest {
        start_time: replay.from.map(wire),
        end_time: replay.until.map(wire),
    };
    let mut supervisors = SupervisorServiceClient::new(replay.door.door().open(page).await?);
    let stream = supervisors.download_recording(asked).await;
    let mut frames = stream
        .map_err(|status| door::refused(&status))?
        .into_inner();
    let mut save = match &replay.save {
        Some(file) => {
            let opened = File::create(file).map_err(|error| Failure::file(file.display(), &error));
            Some((file, io::BufWriter::new(opened?)))
        }
        None => None,
    };
    let mut rows = Rows::default();
    let mut count = 0_u64;
    while let Some(frame) = (frames.message().await).map_err(|status| door::refused(&status))? {
        if let Some((file, out)) = &mut save {
            let line = json::line(FRAME, &frame)
                .map_err(|error| Failure::new(Exit::Software, error.to_string()))?;
            writeln!(out, "{line}").map_err(|error| Failure::file(file.display(), &error))?;
        }
        add(&mut rows, frame.frame).map_err(|what| Failure::new(Exit::Software, what))?;
        count += 1;
        if count.is_multiple_of(FRAMES_BETWEEN_REPORTS) {
            report(&format!("reading the recording: {count} lines"));
        }
    }
    report("");
    if let Some((file, out)) = &mut save {
        out.flush()
            .map_err(|error| Failure::file(file.display(), &error))?;
    }
    rows.finish()
        .map_err(|what| Failure::new(Exit::Software, what))
}

/// How many frames there are between two words about the progress.
const FRAMES_BETWEEN_REPORTS: u64 = 10_000;

/// Reads a file.
fn read(file: &Path) -> Result<Recording, Failure> {
    let unreadable = |error: &io::Error| Failure::file(file.display(), error);
    let mut source = BufReader::new(File::open(file).map_err(|error| unreadable(&error))?);
    let mut rows = Rows::default();
    let mut line = String::new();
    let mut number = 0_u64;
    loop {
        line.clear();
        let mut limited = io::Read::take(&mut source, LINE_BYTES_MAX);
        let read = limited
            .read_line(&mut line)
            .map_err(|error| unreadable(&error))?;
        if read == 0 {
            break;
        }
        number += 1;
        let wrong = |what: String| {
            Failure::new(
                Exit::Refused,
                format!("{}:{number}: {what}", file.display()),
            )
            .advise("A recording is what --save of this version writes.")
        };
        if !line.ends_with('\n') {
            return Err(wrong("the line is cut off or too long".to_owned()));
        }
        let frame: pb::DownloadRecordingResponse =
            json::read(FRAME, &line).map_err(|error| wrong(error.to_string()))?;
        add(&mut rows, frame.frame).map_err(wrong)?;
    }
    rows.finish()
        .map_err(|what| Failure::new(Exit::Refused, format!("{}: {what}", file.display())))
}

/// What is newer than this program is for its successors.
fn add(rows: &mut Rows, frame: Option<Frame>) -> Result<(), String> {
    frame.map_or(Ok(()), |frame| rows.add(frame))
}

fn wire(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(time.as_millis() % 1000).unwrap_or_default() * 1_000_000,
    }
}

fn play(recording: &Recording, rules: &Rules, when: &str) -> Result<Played, Failure> {
    let whole = recording.until().since(recording.from()).as_secs().max(1);
    let mut told = None;
    let played = recording.replay(rules, &mut |now| {
        let done = now.since(recording.from()).as_secs() * 100 / whole;
        if told.replace(done) != Some(done) {
            report(&format!("replaying, {when}: {done} %"));
        }
    });
    report("");
    played
        .map_err(|refusal| Failure::new(Exit::Software, format!("the replay broke off: {refusal}")))
}

/// A word about the progress, for a person who waits; it takes the place of the one before.
fn report(text: &str) {
    let mut out = io::stderr().lock();
    if out.is_terminal() {
        // Whoever closed standard error does not want to know.
        let _ = write!(out, "\r\x1b[K{text}");
        let _ = out.flush();
    }
}

/// What a reader of the table should know.
fn remark(page: Page, played: &Played, when: &str) -> Result<(), Failure> {
    if played.turned_away > 0 {
        page.note(format!(
            "note: {when}, mail was told to come back {} times, because its queue was full",
            played.turned_away
        ))?;
    }
    if played.kept > 0 {
        page.note(format!(
            "note: {when}, {} transfers were refused; that work was ended where it was",
            played.kept
        ))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_a_day_or_a_time() {
        for (text, read) in [
            ("2026-11-16", Ok("2026-11-16T00:00:00.000Z")),
            ("2026-11-16T08:00:00Z", Ok("2026-11-16T08:00:00.000Z")),
            (
                "2026-11-16T08:00:00.5+01:00",
                Ok("2026-11-16T07:00:00.500Z"),
            ),
            ("2026-11-31", Err(())),
            ("2026-11-16T08:00:00", Err(())),
            ("1969-12-31", Err(())),
            ("yesterday", Err(())),
            ("", Err(())),
        ] {
            let found = date(text).map(|at| at.to_string()).map_err(drop);
            assert_eq!(found, read.map(str::to_owned), "{text}");
        }
    }
}
