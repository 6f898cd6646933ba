//! `postroom dkim`: makes keys that sign what is sent, and says what the DNS needs.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use clap::ValueEnum;
use postroom::outbound::dkim::{Key, KeyError, generate_ed25519, generate_rsa};

use super::failure::{Exit, Failure};
use super::page::Page;

/// Longest string in a TXT record, in bytes (RFC 1035, section 3.3).
const STRING_BYTES: usize = 255;

/// Make DKIM keys, and say what the DNS needs.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  postroom dkim generate --domain shop.example --selector 2026a --out /etc/postroom/2026a.pem
  postroom dkim record --domain shop.example --selector 2026a --key /etc/postroom/2026a.pem

Put the record into the DNS first; when it is there everywhere, put the key into the configuration
and restart. To change keys, take a new selector, and leave the old record for a week.")]
pub(super) struct Dkim {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, clap::Subcommand)]
enum Act {
    Generate(Generate),
    Record(Record),
}

/// What a key signs with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Algorithm {
    /// RSA with 2048 bits, which every receiver can verify
    Rsa,
    /// Ed25519, which is small; some receivers only know RSA, so use both
    Ed25519,
}

/// Make a key, and print its record and what goes into the configuration.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  postroom dkim generate --domain shop.example --selector 2026a --out /etc/postroom/2026a.pem")]
struct Generate {
    /// The domain in the From addresses that it signs for.
    #[arg(long)]
    domain: String,
    /// The key's name in the DNS, such as the year and a letter.
    #[arg(long)]
    selector: String,
    /// What it signs with.
    #[arg(long, value_enum, default_value = "rsa")]
    algorithm: Algorithm,
    /// The file to write the private key to; it must not be there yet.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Print the record of a key that is there.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  postroom dkim record --domain shop.example --selector 2026a --key /etc/postroom/2026a.pem")]
struct Record {
    /// The domain in the From addresses that it signs for.
    #[arg(long)]
    domain: String,
    /// The key's name in the DNS.
    #[arg(long)]
    selector: String,
    /// The file with the private key.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
}

pub(super) fn run(dkim: &Dkim, page: Page) -> Result<(), Failure> {
    match &dkim.act {
        Act::Generate(asked) => generate(asked, page),
        Act::Record(asked) => {
            let pem = std::fs::read(&asked.key)
                .map_err(|error| Failure::file(asked.key.display(), &error))?;
            let key = Key::from_pem(&asked.domain, &asked.selector, &pem).map_err(unusable)?;
            page.line(zone_line(&key)?)
        }
    }
}

fn generate(asked: &Generate, page: Page) -> Result<(), Failure> {
    let pem = match asked.algorithm {
        Algorithm::Rsa => generate_rsa(),
        Algorithm::Ed25519 => generate_ed25519(),
    };
    let pem = pem.map_err(|error| Failure::new(Exit::Software, error.to_string()))?;
    let key = Key::from_pem(&asked.domain, &asked.selector, pem.as_bytes()).map_err(unusable)?;
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&asked.out)
        .and_then(|mut file| {
            file.write_all(pem.as_bytes())?;
            file.sync_all()
        })
        .map_err(|error| Failure::file(asked.out.display(), &error))?;
    page.line(format!("{} has the private key.", asked.out.display()))?;
    page.line("\nInto the DNS:\n")?;
    page.line(zone_line(&key)?)?;
    page.line("\nInto the configuration, when the DNS has it:\n")?;
    page.line(format!(
        "[[dkim]]\ndomain = \"{}\"\nselector = \"{}\"\nkey_file = {:?}",
        key.domain(),
        key.selector(),
        asked.out
    ))
}

/// The record as zone files have it, in strings that are not too long.
fn zone_line(key: &Key) -> Result<String, Failure> {
    let record = key.record().map_err(unusable)?;
    let strings: Vec<String> = record
        .as_bytes()
        .chunks(STRING_BYTES)
        .map(|piece| format!("\"{}\"", String::from_utf8_lossy(piece)))
        .collect();
    let strings = match strings.as_slice() {
        [one] => one.clone(),
        several => format!("( {} )", several.join(" ")),
    };
    Ok(format!("{}. IN TXT {strings}", key.record_name()))
}

fn unusable(error: KeyError) -> Failure {
    Failure::new(Exit::Usage, error.to_string())
}
