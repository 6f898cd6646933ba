//! `postroom agent`: makes, lists, changes and removes agents, and sets their passwords.

use std::io::{self, IsTerminal};

use postroom::grpc::client::Credited;
use postroom::grpc::pb;
use postroom::grpc::pb::agent_service_client::AgentServiceClient;

use super::door::{self, Door};
use super::failure::{Exit, Failure};
use super::page::{Ink, Page, plain};

/// Agents in one page of the list.
const PAGE_SIZE: i32 = 500;

/// Make, list, change and remove agents, and set their passwords.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  postroom agent add mira --name 'Mira Lund' --queue support --config /etc/postroom/postroom.toml
  postroom agent list --config /etc/postroom/postroom.toml")]
pub(super) struct Agent {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, clap::Subcommand)]
enum Act {
    Add(Add),
    List(List),
    Set(Set),
    Remove(Remove),
    Password(Password),
}

/// Make an agent.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  postroom agent add mira --name 'Mira Lund' --queue support --queue sales \\
      --config /etc/postroom/postroom.toml
  pass show postroom/mira | postroom agent add mira --name 'Mira Lund' --queue support \\
      --password-stdin --server unix:/var/lib/postroom/control.sock

Without --password-stdin the agent cannot sign in until `postroom agent password` sets one, or
`postroom key create --role agent` makes a key.")]
struct Add {
    /// The sign-in name: 2 to 63 of a-z, 0-9 and -.
    slug: String,
    /// What colleagues and customers read.
    #[arg(long, value_name = "N")]
    name: String,
    /// A queue that the agent serves; may be repeated.
    #[arg(long, value_name = "Q", required = true, num_args = 1..)]
    queue: Vec<String>,
    /// The agent also sees and steers the floor.
    #[arg(long)]
    supervisor: bool,
    /// The first line of standard input is the password.
    #[arg(long)]
    password_stdin: bool,
    #[command(flatten)]
    door: Door,
}

/// List all agents.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  postroom agent list --config /etc/postroom/postroom.toml
  postroom agent list --json --socket /var/lib/postroom/control.sock | jq -r .name")]
struct List {
    /// Print one JSON object an agent.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    door: Door,
}

/// Change an agent's account.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  postroom agent set mira --capacity 3 --config /etc/postroom/postroom.toml
  postroom agent set mira --skill german:3 --skill law --config /etc/postroom/postroom.toml
  postroom agent set mira --disabled true --socket /var/lib/postroom/control.sock

A disabled account signs nobody in, and an open session ends at once; work stays in the agent's
hands.")]
struct Set {
    /// The sign-in name.
    slug: String,
    /// What colleagues and customers read.
    #[arg(long, value_name = "N")]
    name: Option<String>,
    /// How many letters the agent may hold at once, 1 to 100.
    #[arg(long, value_name = "N")]
    capacity: Option<i32>,
    /// Whether the agent also sees and steers the floor.
    #[arg(long, value_name = "BOOL")]
    supervisor: Option<bool>,
    /// Whether the account may not be used.
    #[arg(long, value_name = "BOOL")]
    disabled: Option<bool>,
    /// All that the agent can do, as rules have it, and how well, 1 to 10: german:3, or german for
    /// german:1; may be repeated.
    #[arg(long, value_name = "SKILL", value_parser = skill)]
    skill: Vec<pb::Skill>,
    #[command(flatten)]
    door: Door,
}

/// Remove an agent; work in hand goes back to its queue.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  postroom agent remove mira --config /etc/postroom/postroom.toml
  postroom agent remove mira --socket /var/lib/postroom/control.sock

Keys that sign the agent in are revoked. What the agent did stays readable.")]
struct Remove {
    /// The sign-in name.
    slug: String,
    #[command(flatten)]
    door: Door,
}

/// Set an agent's password to the first line of standard input.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  postroom agent password mira --config /etc/postroom/postroom.toml < password
  pass show postroom/mira | postroom agent password mira --config /etc/postroom/postroom.toml

Open sessions stay open.")]
struct Password {
    /// The sign-in name.
    slug: String,
    #[command(flatten)]
    door: Door,
}

type Agents = AgentServiceClient<Credited>;

pub(super) async fn run(agent: Agent, page: Page) -> Result<(), Failure> {
    match agent.act {
        Act::Add(asked) => add(asked, page).await,
        Act::List(asked) => list(&asked, page).await,
        Act::Set(asked) => set(asked, page).await,
        Act::Remove(asked) => {
            let mut agents = AgentServiceClient::new(asked.door.open(page).await?);
            let request = pb::DeleteAgentRequest {
                name: format!("agents/{}", asked.slug),
                request_id: String::new(),
            };
            let removed = agents.delete_agent(request).await;
            removed.map_err(|status| door::refused(&status))?;
            page.line(format!("agents/{}: removed", asked.slug))
        }
        Act::Password(asked) => {
            let password = password()?;
            let mut agents = AgentServiceClient::new(asked.door.open(page).await?);
            set_password(&mut agents, &asked.slug, password).await?;
            page.line(format!("agents/{}: password set", asked.slug))
        }
    }
}

async fn add(asked: Add, page: Page) -> Result<(), Failure> {
    let password = asked.password_stdin.then(password).transpose()?;
    let mut agents = AgentServiceClient::new(asked.door.open(page).await?);
    let request = pb::CreateAgentRequest {
        agent_id: asked.slug.clone(),
        agent: Some(pb::Agent {
            display_name: asked.name,
            supervisor: asked.supervisor,
            queues: asked
                .queue
                .iter()
                .map(|queue| format!("queues/{queue}"))
                .collect(),
            ..pb::Agent::default()
        }),
        request_id: String::new(),
    };
    let created = agents
        .create_agent(request)
        .await
        .map_err(|status| door::refused(&status))?;
    let agent = door::present(created.into_inner().agent, "the agent")?;
    page.line(format!(
        "{}: made, serves {}",
        agent.name,
        agent.queues.join(", ")
    ))?;
    if let Some(password) = password {
        set_password(&mut agents, &asked.slug, password).await?;
        page.line(format!("{}: password set", agent.name))?;
    }
    Ok(())
}

/// Reads a skill with its level.
fn skill(text: &str) -> Result<pb::Skill, &'static str> {
    let read = postroom::desk::skill::asked(text);
    let (name, level) = read.ok_or("write it as german:3, with a level of 1 to 10")?;
    Ok(pb::Skill {
        name: name.to_owned(),
        level: i32::from(level),
    })
}

async fn set(asked: Set, page: Page) -> Result<(), Failure> {
    let given = [
        ("display_name", asked.name.is_some()),
        ("capacity", asked.capacity.is_some()),
        ("supervisor", asked.supervisor.is_some()),
        ("disabled", asked.disabled.is_some()),
        ("skills", !asked.skill.is_empty()),
    ];
    let given = given.iter().filter(|(_, given)| *given);
    let paths: Vec<String> = given.map(|(field, _)| (*field).to_owned()).collect();
    if paths.is_empty() {
        return Err(Failure::new(Exit::Usage, "nothing is to be changed")
            .advise("Name what, such as --capacity 3."));
    }
    let mut agents = AgentServiceClient::new(asked.door.open(page).await?);
    let request = pb::UpdateAgentRequest {
        agent: Some(pb::Agent {
            name: format!("agents/{}", asked.slug),
            display_name: asked.name.unwrap_or_default(),
            capacity: asked.capacity.unwrap_or_default(),
            supervisor: asked.supervisor.unwrap_or_default(),
            disabled: asked.disabled.unwrap_or_default(),
            skills: asked.skill,
            ..pb::Agent::default()
        }),
        update_mask: Some(prost_types::FieldMask { paths }),
        request_id: String::new(),
    };
    let updated = agents.update_agent(request).await;
    let updated = updated.map_err(|status| door::refused(&status))?;
    show(
        page,
        &door::present(updated.into_inner().agent, "the agent")?,
    )
}

async fn set_password(agents: &mut Agents, slug: &str, password: String) -> Result<(), Failure> {
    let request = pb::SetAgentPasswordRequest {
        name: format!("agents/{slug}"),
        new_password: password,
        ..pb::SetAgentPasswordRequest::default()
    };
    let set = agents.set_agent_password(request).await;
    set.map(drop).map_err(|status| door::refused(&status))
}

async fn list(asked: &List, page: Page) -> Result<(), Failure> {
    let mut agents = AgentServiceClient::new(asked.door.open(page).await?);
    let mut request = pb::ListAgentsRequest {
        page_size: PAGE_SIZE,
        page_token: String::new(),
    };
    loop {
        let listed = agents.list_agents(request.clone()).await;
        let listed = listed
            .map_err(|status| door::refused(&status))?
            .into_inner();
        for agent in &listed.agents {
            if asked.json {
                door::print(page, "Agent", agent)?;
            } else {
                show(page, agent)?;
            }
        }
        if listed.next_page_token.is_empty() {
            return Ok(());
        }
        request.page_token = listed.next_page_token;
    }
}

fn show(page: Page, agent: &pb::Agent) -> Result<(), Failure> {
    let queues: Vec<&str> = agent
        .queues
        .iter()
        .map(|queue| queue.strip_prefix("queues/").unwrap_or(queue))
        .collect();
    let supervisor = if agent.supervisor { "  supervisor" } else { "" };
    let disabled = match agent.disabled {
        true => page.ink(Ink::Care, "  disabled"),
        false => String::new(),
    };
    let capacity = match agent.capacity {
        1 => String::new(),
        capacity => format!("  holds {capacity}"),
    };
    let skills: Vec<String> = (agent.skills.iter())
        .map(|skill| format!("  {}:{}", skill.name, skill.level))
        .collect();
    let skills = skills.concat();
    let password = match agent.password_set {
        true => String::new(),
        false => page.ink(Ink::Care, "  no password"),
    };
    page.line(format!(
        "{:<24} {:<24} {}{capacity}{skills}{supervisor}{password}{disabled}",
        agent.name.strip_prefix("agents/").unwrap_or(&agent.name),
        plain(&agent.display_name),
        queues.join(",")
    ))
}

/// The first line of standard input. Not from a terminal, where everybody could read along.
fn password() -> Result<String, Failure> {
    if io::stdin().is_terminal() {
        return Err(
            Failure::new(Exit::Usage, "the password comes from standard input").advise(
                "Send it there: `postroom agent password SLUG … < FILE`, or through a pipe.",
            ),
        );
    }
    door::first_line(io::stdin()).map_err(|error| Failure::file("standard input", &error))
}
