//! `DownloadRecording`: what the store still has of a time that is over, in frames.

use std::ops::Bound;
use std::sync::Arc;

use tokio::sync::mpsc::{self, Sender};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Response, Status};

use super::access::Principal;
use super::form::Form;
use super::pb::WorkStep;
use super::pb::download_recording_response::Frame;
use super::watch::{self, Permit};
use super::{Shared, convert, download, errors, pb};
use crate::desk::{
    Agent, AgentState, AssignCause, Direction, Event, Fact, Interaction, OfferState, State,
    UnassignReason,
};
use crate::id::InteractionId;
use crate::time::Timestamp;

/// Records that are read at a time.
const PAGE: usize = 500;

/// Frames that may wait for a slow reader.
const FRAMES_AHEAD: usize = 64;

pub(super) type RecordingStream = ReceiverStream<Result<pb::DownloadRecordingResponse, Status>>;

pub(super) fn stream(
    shared: &Arc<Shared>,
    caller: &Principal,
    asked: pb::DownloadRecordingRequest,
) -> Result<Response<RecordingStream>, Status> {
    watch::unless_draining(shared)?;
    let now = shared.handle.now();
    let mut form = Form::new();
    let from = moment(&mut form, "start_time", asked.start_time);
    if from == Some(None) {
        form.wrong("start_time", "is missing");
    }
    let until = moment(&mut form, "end_time", asked.end_time);
    let (from, until) = form.done((from.flatten(), until))?;
    let until = until.unwrap_or(now).min(now);
    if from >= until {
        let what = "must be before end_time, and over";
        return Err(errors::field_invalid("start_time", what));
    }
    let permit = shared.streams.admit(caller)?;
    let (out, frames) = mpsc::channel(FRAMES_AHEAD);
    let telling = Telling {
        shared: Arc::clone(shared),
        from,
        until,
        out,
    };
    tokio::spawn(telling.tell(permit));
    Ok(Response::new(ReceiverStream::new(frames)))
}

/// A time that was given, if it is one.
fn moment(
    form: &mut Form,
    field: &str,
    asked: Option<prost_types::Timestamp>,
) -> Option<Option<Timestamp>> {
    let Some(asked) = asked else {
        return Some(None);
    };
    let seconds = u64::try_from(asked.seconds).ok();
    let millis = u64::try_from(asked.nanos)
        .ok()
        .map(|nanos| nanos / 1_000_000);
    let at = seconds
        .zip(millis)
        .and_then(|(seconds, millis)| seconds.checked_mul(1000)?.checked_add(millis));
    if at.is_none() {
        form.wrong(field, "is no time after 1970");
    }
    at.map(|millis| Some(Timestamp::from_millis(millis)))
}

/// Why the telling ended early.
enum Stop {
    /// Nobody listens.
    Gone,
    /// It cannot go on.
    Failed(Status),
}

impl From<crate::engine::EngineError> for Stop {
    fn from(error: crate::engine::EngineError) -> Self {
        Self::Failed(errors::engine(error))
    }
}

struct Telling {
    shared: Arc<Shared>,
    from: Timestamp,
    until: Timestamp,
    out: Sender<Result<pb::DownloadRecordingResponse, Status>>,
}

impl Telling {
    async fn tell(self, permit: Permit) {
        match self.all().await {
            Ok(()) | Err(Stop::Gone) => {}
            Err(Stop::Failed(status)) => {
                download::send(&self.out, Err(status)).await;
            }
        }
        drop(permit);
    }

    async fn send(&self, frame: Frame) -> Result<(), Stop> {
        let frame = pb::DownloadRecordingResponse { frame: Some(frame) };
        match download::send(&self.out, Ok(frame)).await {
            true => Ok(()),
            false => Err(Stop::Gone),
        }
    }

    /// Goes on unless the gateway stops.
    fn still(&self) -> Result<(), Stop> {
        watch::unless_draining(&self.shared).map_err(Stop::Failed)
    }

    async fn all(&self) -> Result<(), Stop> {
        let range = pb::RecordedRange {
            start_time: Some(convert::time(self.from)),
            end_time: Some(convert::time(self.until)),
        };
        self.send(Frame::Range(range)).await?;
        let agents = self.shared.handle.look(|desk, _| {
            let shown = |agent: &Agent| {
                let shown = desk.presence(&agent.id).map(|presence| presence.state);
                shown.unwrap_or(AgentState::SignedOut)
            };
            let agents = desk.agents().values();
            let agents = agents.map(|agent| (agent.clone(), shown(agent)));
            agents.collect::<Vec<_>>()
        });
        for (agent, shown) in agents.await? {
            self.agent(&agent, shown).await?;
        }
        self.arrivals().await
    }

    /// What an agent did.
    async fn agent(&self, agent: &Agent, now: AgentState) -> Result<(), Stop> {
        let place = (self.shared.handle)
            .log_place(agent.id.clone(), self.from, agent.sequence)
            .await?;
        let mut state = now;
        let mut after = place.before;
        'first: while let Some((events, last)) = self.events(agent, after).await? {
            for event in events {
                if let Fact::PresenceChanged { previous, .. } = event.fact {
                    state = previous;
                    break 'first;
                }
            }
            after = last;
        }
        self.send(Frame::Member(member(agent, state, place.begins)))
            .await?;
        let mut after = place.before;
        while let Some((events, last)) = self.events(agent, after).await? {
            for event in &events {
                if event.time >= self.until {
                    return Ok(());
                }
                for frame in told(event, self.from) {
                    self.send(frame).await?;
                }
            }
            after = last;
        }
        Ok(())
    }

    /// A page of an agent's log, and the number of its last entry.
    async fn events(&self, agent: &Agent, after: u64) -> Result<Option<(Vec<Event>, u64)>, Stop> {
        self.still()?;
        if after >= agent.sequence {
            return Ok(None);
        }
        let up_to = agent.sequence.min(after + PAGE as u64);
        let events = (self.shared.handle)
            .events(agent.id.clone(), after, up_to)
            .await?;
        let last = events.last().and_then(|event| event.agent.as_ref());
        let last = last.map(|(_, number)| *number);
        Ok(last.map(|last| (events, last)))
    }

    /// What still waits since before, and what arrived.
    async fn arrivals(&self) -> Result<(), Stop> {
        let first = InteractionId::new(self.from, 0);
        let mut after = InteractionId::from_bytes([0; 16]);
        loop {
            self.still()?;
            let waiting = self.shared.handle.look(move |desk, _| {
                let range = (Bound::Excluded(after), Bound::Excluded(first));
                let page = desk.interactions().range(range).take(PAGE);
                page.map(|(_, found)| found.clone()).collect::<Vec<_>>()
            });
            let page = waiting.await?;
            let Some(last) = page.last() else {
                break;
            };
            after = last.id;
            for found in &page {
                if matches!(found.state, State::Queued | State::Offered { .. }) {
                    self.arrival(found).await?;
                }
            }
            if after >= first {
                break;
            }
        }
        // What was made in the very first moment counts.
        let mut after = before(first);
        loop {
            self.still()?;
            let page = self.shared.handle.interactions_after(after, PAGE).await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = last.id;
            for found in &page {
                if found.arrived >= self.until {
                    return Ok(());
                }
                self.arrival(found).await?;
            }
        }
    }

    async fn arrival(&self, found: &Interaction) -> Result<(), Stop> {
        match arrival(found) {
            Some(arrival) => self.send(Frame::Arrival(arrival)).await,
            None => Ok(()),
        }
    }
}

/// The id before one that is not the first.
fn before(id: InteractionId) -> InteractionId {
    let number = u128::from_be_bytes(id.to_bytes()).saturating_sub(1);
    InteractionId::from_bytes(number.to_be_bytes())
}

fn member(agent: &Agent, state: AgentState, since: Option<Timestamp>) -> pb::RecordedMember {
    let memberships = agent.queues.iter();
    let memberships = memberships.map(|queue| convert::weighed(queue, agent));
    pb::RecordedMember {
        agent: convert::agent_name(&agent.id),
        memberships: memberships.collect(),
        skills: convert::agent(agent).skills,
        capacity: convert::count(agent.capacity),
        state: convert::agent_state(state).into(),
        since_time: since.map(convert::time),
    }
}

/// What a recording has of an event. Work that came from before it began is told of as well.
fn told(event: &Event, from: Timestamp) -> Vec<Frame> {
    let Some((agent, _)) = &event.agent else {
        return Vec::new();
    };
    let agent = convert::agent_name(agent);
    let time = Some(convert::time(event.time));
    let about = match &event.fact {
        Fact::PresenceChanged { presence, .. } => {
            return vec![Frame::Presence(pb::RecordedPresence {
                agent,
                change_time: time,
                state: convert::agent_state(presence.state).into(),
                cause: convert::presence_cause(presence.cause).into(),
            })];
        }
        Fact::OfferResolved { interaction, .. }
        | Fact::InteractionAssigned { interaction, .. }
        | Fact::InteractionUpdated(interaction)
        | Fact::WrapUpStarted(interaction)
        | Fact::WrapUpEnded { interaction, .. }
        | Fact::InteractionClosed(interaction)
        | Fact::InteractionUnassigned { interaction, .. } => interaction,
        _ => return Vec::new(),
    };
    // What agents write to people who had not written is no work that waits.
    if about.direction == Direction::Outbound {
        return Vec::new();
    }
    let whole = about.follows.filter(|_| about.is_half());
    let interaction = format!("interactions/{}", whole.unwrap_or(about.id));
    let mut queue = String::new();
    let frame = if let Fact::OfferResolved { offer, .. } = &event.fact {
        let answered = matches!(
            offer.state,
            OfferState::Accepted | OfferState::Rejected(_) | OfferState::Missed
        );
        answered.then(|| {
            Frame::Offer(pb::RecordedOffer {
                agent,
                interaction,
                create_time: Some(convert::time(offer.created)),
                resolve_time: time,
                state: convert::offer_state(&offer.state).into(),
            })
        })
    } else {
        step(&event.fact, about, &mut queue).map(|step| {
            Frame::Step(pb::RecordedStep {
                agent,
                interaction,
                step_time: time,
                step: step.into(),
                queue,
            })
        })
    };
    let older = (about.arrived < from).then(|| arrival(about)).flatten();
    let older = older.map(Frame::Arrival).filter(|_| frame.is_some());
    older.into_iter().chain(frame).collect()
}

/// How work went on.
fn step(fact: &Fact, about: &Interaction, queue: &mut String) -> Option<WorkStep> {
    match fact {
        Fact::InteractionAssigned { cause, .. } => match cause {
            AssignCause::Accepted | AssignCause::Pulled | AssignCause::Reassigned => {
                Some(WorkStep::Taken)
            }
            AssignCause::Resumed | AssignCause::Returned => Some(WorkStep::Resumed),
            AssignCause::Started => None,
        },
        Fact::InteractionUpdated(_) => {
            matches!(about.state, State::Parked { .. }).then_some(WorkStep::Parked)
        }
        Fact::WrapUpStarted(_) => Some(WorkStep::Handled),
        Fact::WrapUpEnded { .. } | Fact::InteractionClosed(_) => Some(WorkStep::Closed),
        Fact::InteractionUnassigned { reason, .. } => Some(match reason {
            UnassignReason::Transferred => {
                *queue = convert::queue_name(&about.queue);
                WorkStep::Transferred
            }
            UnassignReason::Requeued | UnassignReason::Reassigned => WorkStep::Requeued,
            UnassignReason::Cancelled => WorkStep::Cancelled,
        }),
        _ => None,
    }
}

/// An interaction as it arrived; `None` if it never was work for an agent.
fn arrival(found: &Interaction) -> Option<pb::RecordedArrival> {
    let idle = matches!(
        found.state,
        State::Held { .. } | State::Filed { .. } | State::Cancelled { agent: None, .. }
    );
    if idle || found.is_half() || found.direction == Direction::Outbound {
        return None;
    }
    let closed = match found.state {
        State::Closed { at, .. } => Some(at),
        _ => None,
    };
    let queue = found.first_queue.as_ref().unwrap_or(&found.queue);
    let preferred = found.preferred.as_ref();
    Some(pb::RecordedArrival {
        interaction: format!("interactions/{}", found.id),
        queue: convert::queue_name(queue),
        case: format!("cases/{}", found.case),
        arrive_time: Some(convert::time(found.arrived)),
        priority: found.priority,
        skills: found.skills.iter().cloned().collect(),
        preferred_agent: preferred
            .map_or_else(String::new, |kept| convert::agent_name(&kept.agent)),
        accept_time: found.accepted.map(convert::time),
        answer_time: found.answered.map(convert::time),
        close_time: closed.map(convert::time),
    })
}
