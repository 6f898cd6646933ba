//! `postroom inject`: plays the MTA and shows letters to a running gateway.

mod explain;

use std::fs::File;
use std::io::{self, Read};
use std::net::IpAddr;
use std::time::Duration;

use postroom::milter::Address;
use postroom::milter::client::{Caller, Outcome, Said};
use postroom::milter::wire::Reply;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::door::OptionalDoor;
use super::failure::{Exit, Failure};
use super::mta::{self, Fate};
use super::page::{Ink, Page, plain};

/// Show letters to a running gateway as Postfix would.
///
/// Prints what the gateway answers to each: the verdict, the header fields it adds and removes,
/// the SMTP reply of a refusal, and the milliseconds from MAIL to the verdict.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  postroom inject --milter inet:127.0.0.1:8891 \\
      --from ada@example.org --rcpt support@shop.example letter.eml
  postroom inject --milter unix:/run/postroom/milter.sock --client 192.0.2.7 \\
      --from ada@example.org --rcpt support@shop.example --json - < letter.eml
  postroom inject --explain --config /etc/postroom/postroom.toml \\
      --from ada@example.org --rcpt support@shop.example letter.eml

A letter that is taken is real: it is queued and offered to agents. With --explain nothing is
delivered or changed, whatever the verdict, and the letter may have up to 4 MiB.
Exit codes: 0 all taken or released, 65 one was refused, 75 one shall come again later, 69 the
gateway cannot be reached.")]
pub(super) struct Inject {
    /// The gateway's milter address, as smtpd_milters has it: unix:PATH or inet:HOST:PORT.
    #[arg(long, value_name = "ADDR", required_unless_present = "explain")]
    milter: Option<Address>,
    /// Deliver nothing: print every decision that the gateway would take, with its reasons. Asks
    /// the control plane, which --config, --socket or --server names.
    #[arg(long, conflicts_with = "milter")]
    explain: bool,
    #[command(flatten)]
    door: OptionalDoor,
    /// The envelope sender; empty is the null sender of bounces.
    #[arg(long, value_name = "A")]
    from: String,
    /// An envelope recipient; may be repeated.
    #[arg(long, value_name = "B", required = true)]
    rcpt: Vec<String>,
    /// What the SMTP client calls itself.
    #[arg(long, value_name = "NAME", default_value = "client.example")]
    helo: String,
    /// The SMTP client's address, which SPF looks at.
    #[arg(long, value_name = "IP", default_value = "192.0.2.7")]
    client: IpAddr,
    /// Print one JSON object a letter.
    #[arg(long)]
    json: bool,
    /// Letters as files; `-` is standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
}

pub(super) async fn run(inject: Inject, page: Page) -> Result<(), Failure> {
    let letters: Vec<(String, Vec<u8>)> = inject
        .files
        .iter()
        .map(|file| Ok((file.clone(), read(file)?)))
        .collect::<Result<_, Failure>>()?;
    let Some(address) = &inject.milter else {
        return explain::run(&inject, &letters, page).await;
    };
    let failed = |error| mta::unreachable(address, &error);
    let mut client = mta::connect(address).await?;
    let caller = Caller {
        host: inject.helo.clone(),
        ip: Some(inject.client),
        helo: Some(inject.helo.clone()),
        ..Caller::default()
    };
    let greeting = client.open(caller).await.map_err(failed)?;
    if let Some(exit) = Fate::of_word(&greeting).exit() {
        let reply = plain(mta::reply(&greeting).unwrap_or_default());
        return Err(Failure::new(
            exit,
            format!("{address} refuses this client: {reply}"),
        ));
    }
    let mut exits = Vec::new();
    for (place, (file, text)) in letters.iter().enumerate() {
        let queue_id = format!("4Inject{:06}z", place + 1);
        let mail = mta::mail(&inject.from, &inject.rcpt, queue_id, mta::letter(text));
        let begun = Instant::now();
        let outcome = client.send(&mail).await.map_err(failed)?;
        let took = begun.elapsed();
        if inject.json {
            page.line(as_json(file, &inject.rcpt, &outcome, took).to_string())?;
        } else {
            show(page, file, &inject.rcpt, &outcome, took)?;
        }
        let words = outcome.recipients.iter().chain([&outcome.verdict]);
        exits.extend(words.filter_map(|said| Fate::of_word(said).exit()));
    }
    client.quit().await.map_err(failed)?;
    // A refusal for good outweighs one for now.
    match [Exit::Refused, Exit::TryLater]
        .into_iter()
        .find(|exit| exits.contains(exit))
    {
        Some(exit) => Err(Failure::silent(exit)),
        None => Ok(()),
    }
}

fn read(file: &str) -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    let source: io::Result<Box<dyn Read>> = match file {
        "-" => Ok(Box::new(io::stdin())),
        path => File::open(path).map(|file| Box::new(file) as Box<dyn Read>),
    };
    let size = source
        .and_then(|source| {
            source
                .take(mta::LETTER_BYTES_MAX + 1)
                .read_to_end(&mut text)
        })
        .map_err(|error| Failure::file(file, &error))?;
    if size as u64 > mta::LETTER_BYTES_MAX {
        let what = format!("{file}: larger than {} bytes", mta::LETTER_BYTES_MAX);
        return Err(Failure::new(Exit::Io, what));
    }
    Ok(text)
}

/// A change in words: its sign, and the field.
fn edit(edit: &Reply) -> (char, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match edit {
        Reply::InsertHeader { name, value, .. } | Reply::AddHeader { name, value } => {
            ('+', format!("{}: {}", text(name), text(value).trim_start()))
        }
        Reply::ChangeHeader { index, name, value } if value.is_empty() => {
            ('-', format!("{} (number {index})", text(name)))
        }
        Reply::ChangeHeader { index, name, value } => {
            let value = text(value);
            (
                '~',
                format!("{} (number {index}): {}", text(name), value.trim_start()),
            )
        }
        other => ('~', other.code().to_string()),
    }
}

fn show(
    page: Page,
    file: &str,
    recipients: &[String],
    outcome: &Outcome,
    took: Duration,
) -> Result<(), Failure> {
    let fate = Fate::of(outcome);
    let ink = match fate.exit() {
        None => Ink::Good,
        Some(Exit::TryLater) => Ink::Care,
        Some(_) => Ink::Bad,
    };
    page.line(format!(
        "{file}: {} in {:.1} ms",
        page.ink(ink, fate.word()),
        mta::millis(took)
    ))?;
    for (recipient, said) in recipients.iter().zip(&outcome.recipients) {
        if let Some(reply) = mta::reply(said) {
            page.line(format!(
                "  {recipient}: {}",
                page.ink(Ink::Bad, &plain(reply))
            ))?;
        }
    }
    let refused_before = outcome.recipients.contains(&outcome.verdict);
    if let (Some(reply), false) = (mta::reply(&outcome.verdict), refused_before) {
        for line in reply.lines() {
            page.line(format!("  {}", page.ink(ink, &plain(line))))?;
        }
    }
    for change in &outcome.edits {
        let (sign, field) = edit(change);
        let ink = if sign == '-' { Ink::Bad } else { Ink::Good };
        for (place, line) in field.lines().enumerate() {
            let sign = if place == 0 { sign } else { ' ' };
            page.line(format!(
                "  {}",
                page.ink(ink, &format!("{sign} {}", plain(line)))
            ))?;
        }
    }
    Ok(())
}

fn as_json(file: &str, recipients: &[String], outcome: &Outcome, took: Duration) -> Value {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let word = |said: &Said| Fate::of_word(said).word();
    let recipients: Vec<Value> = recipients
        .iter()
        .zip(&outcome.recipients)
        .map(|(address, said)| {
            json!({"address": address, "verdict": word(said), "reply": mta::reply(said)})
        })
        .collect();
    let edits: Vec<Value> = outcome
        .edits
        .iter()
        .map(|edit| match edit {
            Reply::InsertHeader { name, value, .. } | Reply::AddHeader { name, value } => {
                json!({"action": "add", "name": text(name), "value": text(value).trim_start()})
            }
            Reply::ChangeHeader { index, name, value } if value.is_empty() => {
                json!({"action": "remove", "name": text(name), "index": index})
            }
            Reply::ChangeHeader { index, name, value } => json!({
                "action": "change",
                "name": text(name),
                "index": index,
                "value": text(value).trim_start(),
            }),
            other => json!({"action": other.code().to_string()}),
        })
        .collect();
    json!({
        "file": file,
        "verdict": Fate::of(outcome).word(),
        "reply": mta::reply(&outcome.verdict),
        "recipients": recipients,
        "edits": edits,
        "milliseconds": mta::millis(took),
    })
}
