//! `postroom key`: makes, lists and revokes API keys.

use clap::ValueEnum;
use postroom::grpc::client::Credited;
use postroom::grpc::pb;
use postroom::grpc::pb::credential_service_client::CredentialServiceClient;
use postroom::grpc::pb::system_service_client::SystemServiceClient;
use postroom::time::Timestamp;

use super::door::{self, Door};
use super::failure::Failure;
use super::page::{Ink, Page, plain};

/// Keys in one page of the list.
const PAGE_SIZE: i32 = 500;

const SECONDS_A_DAY: i64 = 24 * 60 * 60;

/// Make, list and revoke API keys.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  postroom key create --name wallboard --role observer --config /etc/postroom/postroom.toml
  postroom key list --config /etc/postroom/postroom.toml")]
pub(super) struct Key {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, clap::Subcommand)]
enum Act {
    Create(Create),
    List(List),
    Revoke(Revoke),
}

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Role {
    /// Signs in one agent, named by --agent
    Agent,
    /// Sees and steers the floor
    Supervisor,
    /// Makes agents, keys and memberships
    Admin,
    /// Sees numbers, no mail and no customers
    Observer,
}

impl From<Role> for pb::Role {
    fn from(role: Role) -> Self {
        match role {
            Role::Agent => Self::Agent,
            Role::Supervisor => Self::Supervisor,
            Role::Admin => Self::Admin,
            Role::Observer => Self::Observer,
        }
    }
}

/// Make a key and print its secret, which is shown this once.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  postroom key create --name wallboard --role observer --expires-days 365 \\
      --config /etc/postroom/postroom.toml
  postroom key create --name 'desk of mira' --role agent --agent mira \\
      --config /etc/postroom/postroom.toml > mira.key

The secret goes to standard output and nothing else does; what the key is goes to standard error.")]
struct Create {
    /// What the key is for.
    #[arg(long, value_name = "N")]
    name: String,
    /// What it may do; may be repeated.
    #[arg(long, value_name = "R", required = true)]
    role: Vec<Role>,
    /// The agent that it signs in.
    #[arg(long, value_name = "A")]
    agent: Option<String>,
    /// After so many days it is refused; it does not expire by default.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    expires_days: Option<u32>,
    /// Print one JSON object with the key and its secret.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    door: Door,
}

/// List all keys without their secrets.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  postroom key list --config /etc/postroom/postroom.toml")]
struct List {
    /// Print one JSON object a key.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    door: Door,
}

/// End a key at once. May be repeated at will.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  postroom key revoke 06f3kq8v1s2rj5w9c4h7m0x3ny --config /etc/postroom/postroom.toml")]
struct Revoke {
    /// The key's id, as `postroom key list` shows it.
    id: String,
    #[command(flatten)]
    door: Door,
}

pub(super) async fn run(key: Key, page: Page) -> Result<(), Failure> {
    match key.act {
        Act::Create(asked) => create(asked, page).await,
        Act::List(asked) => list(&asked, page).await,
        Act::Revoke(asked) => revoke(&asked, page).await,
    }
}

async fn create(asked: Create, page: Page) -> Result<(), Failure> {
    let channel = asked.door.open(page).await?;
    let expire_time = match asked.expires_days {
        Some(days) => Some(in_days(days, &channel).await?),
        None => None,
    };
    let mut credentials = CredentialServiceClient::new(channel);
    let request = pb::CreateApiKeyRequest {
        display_name: asked.name,
        roles: asked
            .role
            .into_iter()
            .map(|role| pb::Role::from(role).into())
            .collect(),
        agent: asked
            .agent
            .map_or_else(String::new, |agent| format!("agents/{agent}")),
        expire_time,
    };
    let made = credentials.create_api_key(request).await;
    let made = made.map_err(|status| door::refused(&status))?.into_inner();
    if asked.json {
        return door::print(page, "CreateApiKeyResponse", &made);
    }
    let key = door::present(made.api_key, "the key")?;
    page.note(line(page, &key))?;
    page.line(made.secret)
}

async fn list(asked: &List, page: Page) -> Result<(), Failure> {
    let mut credentials = CredentialServiceClient::new(asked.door.open(page).await?);
    let mut request = pb::ListApiKeysRequest {
        page_size: PAGE_SIZE,
        page_token: String::new(),
    };
    loop {
        let listed = credentials.list_api_keys(request.clone()).await;
        let listed = listed
            .map_err(|status| door::refused(&status))?
            .into_inner();
        for key in &listed.api_keys {
            if asked.json {
                door::print(page, "ApiKey", key)?;
            } else {
                page.line(line(page, key))?;
            }
        }
        if listed.next_page_token.is_empty() {
            return Ok(());
        }
        request.page_token = listed.next_page_token;
    }
}

async fn revoke(asked: &Revoke, page: Page) -> Result<(), Failure> {
    let mut credentials = CredentialServiceClient::new(asked.door.open(page).await?);
    let id = asked.id.strip_prefix("apiKeys/").unwrap_or(&asked.id);
    let request = pb::RevokeApiKeyRequest {
        name: format!("apiKeys/{id}"),
    };
    let revoked = credentials.revoke_api_key(request).await;
    let revoked = revoked
        .map_err(|status| door::refused(&status))?
        .into_inner();
    page.line(line(page, &door::present(revoked.api_key, "the key")?))
}

/// A key in one line.
fn line(page: Page, key: &pb::ApiKey) -> String {
    let mut roles: Vec<String> = key
        .roles()
        .map(|role| {
            role.as_str_name()
                .trim_start_matches("ROLE_")
                .to_ascii_lowercase()
        })
        .collect();
    if !key.agent.is_empty() {
        roles.push(key.agent.clone());
    }
    let end = match (&key.revoke_time, &key.expire_time) {
        (Some(time), _) => page.ink(Ink::Bad, &format!("  revoked {}", stamp(time))),
        (None, Some(time)) => format!("  expires {}", stamp(time)),
        (None, None) => String::new(),
    };
    format!(
        "{}  {}  {}{end}",
        key.name.strip_prefix("apiKeys/").unwrap_or(&key.name),
        roles.join(","),
        plain(&key.display_name)
    )
}

/// A time of the gateway's as people read it.
fn stamp(time: &prost_types::Timestamp) -> String {
    let seconds = u64::try_from(time.seconds).unwrap_or_default();
    let text = Timestamp::from_millis(seconds.saturating_mul(1000)).to_string();
    text.split('T').next().unwrap_or_default().to_owned()
}

/// The time in so many days, by the clock of the gateway, which will compare it.
async fn in_days(days: u32, channel: &Credited) -> Result<prost_types::Timestamp, Failure> {
    let mut system = SystemServiceClient::new(channel.clone());
    let asked = system.get_system_info(pb::GetSystemInfoRequest {}).await;
    let info = asked.map_err(|status| door::refused(&status))?.into_inner();
    let mut time = door::present(info.server_time, "its time")?;
    time.seconds = time.seconds.saturating_add(i64::from(days) * SECONDS_A_DAY);
    Ok(time)
}
