//! `postroom watch`: the desk's events as they happen.

use postroom::grpc::pb;
use postroom::grpc::pb::desk_event::Payload;
use postroom::grpc::pb::supervisor_service_client::SupervisorServiceClient;
use postroom::grpc::pb::watch_desk_response::Frame;
use postroom::time::Timestamp;

use super::door::{self, Door};
use super::failure::{Exit, Failure};
use super::page::{Ink, Page, plain};

/// Show what happens on the desk, until ctrl-c.
///
/// First the queues and agents as they are, then one line an event. Events name customers and
/// subjects, so a key needs the role supervisor.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  postroom watch --config /etc/postroom/postroom.toml
  postroom watch --server unix:/var/lib/postroom/control.sock --json | jq .event
  postroom watch --server 127.0.0.1:8892 --key-file supervisor.key

With --json each line is a postroom.v1.WatchDeskResponse in protobuf's JSON form. When the gateway
stops, the command ends with 69.")]
pub(super) struct Watch {
    /// Print one JSON object a frame.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    door: Door,
}

pub(super) async fn run(watch: Watch, page: Page) -> Result<(), Failure> {
    let mut supervisors = SupervisorServiceClient::new(watch.door.open(page).await?);
    let stream = supervisors.watch_desk(pb::WatchDeskRequest {}).await;
    let mut frames = stream
        .map_err(|status| door::refused(&status))?
        .into_inner();
    let lost = |why: &str| Failure::new(Exit::Unavailable, why);
    while let Some(frame) = frames
        .message()
        .await
        .map_err(|status| door::refused(&status))?
    {
        if watch.json {
            door::print(page, "WatchDeskResponse", &frame)?;
        }
        match frame.frame {
            Some(Frame::Closing(closing)) => {
                let reason = word(closing.reason().as_str_name(), "CLOSING_REASON_");
                return Err(lost(&format!("the gateway ends the stream: {reason}")));
            }
            Some(Frame::Overview(overview)) if !watch.json => overview_lines(page, &overview)?,
            Some(Frame::Event(event)) if !watch.json => page.line(event_line(page, &event))?,
            // A sign of life is for programs, and what is newer than us is for our successors.
            Some(Frame::Overview(_) | Frame::Event(_) | Frame::Heartbeat(_)) | None => {}
        }
    }
    Err(lost("the gateway ended the stream"))
}

fn overview_lines(page: Page, overview: &pb::Overview) -> Result<(), Failure> {
    for queue in &overview.queues {
        page.line(format!(
            "{} waiting {}  offered {}  active {}  wrapping up {}  agents {} of {} available",
            page.ink(Ink::Strong, &format!("{:<32}", queue.queue)),
            queue.waiting_count,
            queue.offered_count,
            queue.active_count,
            queue.wrapping_up_count,
            queue.available_agent_count,
            queue.staffed_agent_count,
        ))?;
    }
    for agent in &overview.agents {
        let state = agent
            .presence
            .as_ref()
            .map_or_else(String::new, |presence| state_word(presence.state()));
        let name = page.ink(Ink::Strong, &format!("{:<32}", agent.agent));
        page.line(format!("{name} {state}  {}", plain(&agent.display_name)))?;
    }
    for standing in &overview.alerts {
        let name = page.ink(Ink::Bad, &format!("{:<32}", "ALERT"));
        page.line(format!("{name} {}", alert(Some(standing))))?;
    }
    Ok(())
}

/// An event in one line: when, what, who, which.
fn event_line(page: Page, event: &pb::DeskEvent) -> String {
    let (what, ink, which) = match &event.payload {
        Some(payload) => told(payload),
        None => ("newer than this program", Ink::Faint, String::new()),
    };
    let time = event.event_time.as_ref().map_or_else(String::new, clock);
    format!(
        "{}  {}  {:<20} {which}",
        page.ink(Ink::Faint, &time),
        page.ink(ink, &format!("{what:<20}")),
        event.agent
    )
}

fn told(payload: &Payload) -> (&'static str, Ink, String) {
    let interaction = |record: &Option<pb::Interaction>| match record {
        Some(it) => format!(
            "{} {}",
            case(it),
            customer(it.customer.as_ref(), &it.subject)
        ),
        None => String::new(),
    };
    match payload {
        Payload::PresenceChanged(it) => {
            let now = it
                .presence
                .as_ref()
                .map_or_else(String::new, |now| state_word(now.state()));
            let before = state_word(it.previous_state());
            ("presence changed", Ink::Strong, format!("{before} → {now}"))
        }
        Payload::OfferCreated(it) => ("offer created", Ink::Care, offer(it.offer.as_ref())),
        Payload::OfferResolved(it) => {
            let state = it.offer.as_ref().map_or_else(String::new, |offer| {
                word(offer.state().as_str_name(), "OFFER_STATE_")
            });
            let which = format!("{state}: {}", offer(it.offer.as_ref()));
            ("offer resolved", Ink::Care, which)
        }
        Payload::InteractionAssigned(it) => ("assigned", Ink::Good, interaction(&it.interaction)),
        Payload::InteractionUpdated(it) => ("updated", Ink::Faint, interaction(&it.interaction)),
        Payload::MessageReceived(it) => ("further mail", Ink::Good, interaction(&it.interaction)),
        Payload::DeliveryUpdated(it) => {
            let state = it.delivery.as_ref().map_or_else(String::new, |delivery| {
                let state = word(delivery.state().as_str_name(), "DELIVERY_STATE_");
                format!("{state} {}", plain(&delivery.diagnostic))
            });
            ("delivery", Ink::Good, state)
        }
        Payload::WrapUpStarted(it) => ("wrap-up started", Ink::Care, interaction(&it.interaction)),
        Payload::WrapUpEnded(it) => ("wrap-up ended", Ink::Good, interaction(&it.interaction)),
        Payload::InteractionClosed(it) => ("closed", Ink::Good, interaction(&it.interaction)),
        Payload::MembershipChanged(it) => {
            let queue = it
                .membership
                .as_ref()
                .map_or("", |membership| &membership.queue);
            let how = if it.removed { "left" } else { "joined" };
            ("membership changed", Ink::Faint, format!("{how} {queue}"))
        }
        Payload::InteractionQueued(it) => ("mail waits", Ink::Good, interaction(&it.interaction)),
        Payload::InteractionHeld(it) => ("mail held", Ink::Care, interaction(&it.interaction)),
        Payload::InteractionFiled(it) => ("mail filed", Ink::Faint, interaction(&it.interaction)),
        Payload::InteractionUnassigned(it) => {
            let why = word(it.reason().as_str_name(), "UNASSIGN_REASON_");
            let which = format!("{why}: {}", interaction(&it.interaction));
            ("let go", Ink::Care, which)
        }
        Payload::InteractionOverflowed(it) => {
            ("mail goes on", Ink::Care, interaction(&it.interaction))
        }
        Payload::TargetNear(it) => {
            let how = if it.missed {
                "target missed"
            } else {
                "target near"
            };
            (how, Ink::Care, interaction(&it.interaction))
        }
        Payload::NoteAdded(it) => (
            "note",
            Ink::Good,
            format!("{} {}", it.case, plain(&it.text)),
        ),
        Payload::CasesMerged(it) => {
            let which = format!("{} into {}", it.case, it.into);
            ("cases merged", Ink::Care, which)
        }
        Payload::QueueChanged(it) => {
            let ink = match it.state() {
                pb::QueueState::Open => Ink::Good,
                pb::QueueState::Unspecified | pb::QueueState::Closed | pb::QueueState::Paused => {
                    Ink::Care
                }
            };
            let how = match it.state() {
                pb::QueueState::Open => "queue opened",
                pb::QueueState::Closed => "queue closed",
                pb::QueueState::Paused => "queue paused",
                pb::QueueState::Unspecified => "queue changed",
            };
            (how, ink, it.queue.clone())
        }
        Payload::AgentUpdated(it) => {
            let name = it.agent.as_ref().map_or("", |agent| &agent.display_name);
            ("account changed", Ink::Faint, plain(name))
        }
        Payload::PresenceForced(it) => {
            let later = if it.deferred { ", later" } else { "" };
            let state = state_word(it.state());
            let which = format!("{state}{later} {}", plain(&it.note));
            ("presence forced", Ink::Care, which)
        }
        Payload::AlertRaised(it) => ("ALERT", Ink::Bad, alert(it.alert.as_ref())),
        Payload::AlertCleared(it) => ("alert over", Ink::Good, alert(it.alert.as_ref())),
        Payload::NoticePosted(it) => ("notice", Ink::Care, plain(&it.text)),
    }
}

/// What an alert is about, in the words of its kind.
fn alert(alert: Option<&pb::Alert>) -> String {
    alert.map_or_else(String::new, |it| {
        let kind = word(it.kind().as_str_name(), "ALERT_KIND_");
        let about = [&it.queue, &it.interaction, &it.message, &it.agent];
        let about: Vec<&str> = (about.iter())
            .map(|name| name.as_str())
            .filter(|name| !name.is_empty())
            .collect();
        format!("{kind}: {}", about.join(" "))
    })
}

fn case(interaction: &pb::Interaction) -> String {
    format!("{} {}", interaction.queue, interaction.main_number)
}

fn offer(offer: Option<&pb::Offer>) -> String {
    offer.map_or_else(String::new, |it| {
        format!(
            "{} {}",
            it.queue,
            customer(it.customer.as_ref(), &it.subject)
        )
    })
}

fn customer(customer: Option<&pb::EmailAddress>, subject: &str) -> String {
    let address = customer.map_or("", |customer| &customer.address);
    format!("“{}” from {}", plain(subject), plain(address))
}

/// A value of an enum in the words of its name.
pub(super) fn word(name: &str, prefix: &str) -> String {
    let name = name.strip_prefix(prefix).unwrap_or(name);
    name.to_ascii_lowercase().replace('_', " ")
}

/// An agent's state in words.
pub(super) fn state_word(state: pb::AgentState) -> String {
    word(state.as_str_name(), "AGENT_STATE_")
}

/// The time of day, in UTC.
fn clock(time: &prost_types::Timestamp) -> String {
    let seconds = u64::try_from(time.seconds).unwrap_or_default();
    let millis = u64::try_from(time.nanos).unwrap_or_default() / 1_000_000;
    let text = Timestamp::from_millis(seconds.saturating_mul(1000) + millis).to_string();
    let clock = text.split_once('T').map_or("", |(_, clock)| clock);
    clock.trim_end_matches('Z').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_one_line_each() {
        let event = pb::DeskEvent {
            event_time: Some(prost_types::Timestamp {
                seconds: 1_800_000_000,
                nanos: 7_000_000,
            }),
            agent: "agents/mira".to_owned(),
            payload: Some(Payload::OfferCreated(pb::OfferCreated {
                offer: Some(pb::Offer {
                    queue: "queues/support".to_owned(),
                    subject: "Hi\r\n\u{1b}[2J".to_owned(),
                    customer: Some(pb::EmailAddress {
                        address: "ada@example.org".to_owned(),
                        ..pb::EmailAddress::default()
                    }),
                    ..pb::Offer::default()
                }),
            })),
            ..pb::DeskEvent::default()
        };
        let line = event_line(Page::blank(), &event);
        assert_eq!(
            line,
            "08:00:00.007  offer created         agents/mira          queues/support \
             “Hi\\u{d}\\u{a}\\u{1b}[2J” from ada@example.org"
        );
        assert_eq!(state_word(pb::AgentState::WorkOffline), "work offline");
    }
}
