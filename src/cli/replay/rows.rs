//! The rows of a recording, as they travel, made into those that are replayed.

use std::str::FromStr;

use postroom::desk::{AgentState, PresenceCause};
use postroom::grpc::pb;
use postroom::grpc::pb::download_recording_response::Frame;
use postroom::mail::token::MainNumber;
use postroom::replay::{Answered, Arrival, How, Member, Moved, Recording, Row, Step, What};
use postroom::time::Timestamp;

/// A recording in the making.
#[derive(Debug, Default)]
pub(super) struct Rows {
    recording: Option<Recording>,
}

impl Rows {
    /// Adds a frame, or says what is wrong with it.
    pub(super) fn add(&mut self, frame: Frame) -> Result<(), String> {
        let row = match frame {
            Frame::Range(range) => {
                let from = time("startTime", range.start_time)?;
                let until = time("endTime", range.end_time)?;
                if self.recording.is_some() {
                    return Err("a second range".to_owned());
                }
                let recording = Recording::new(from, until);
                self.recording = Some(recording.map_err(|error| error.to_string())?);
                return Ok(());
            }
            Frame::Member(member) => Row::Member(self::member(member)?),
            Frame::Presence(moved) => Row::Moved(Moved {
                agent: name("agent", &moved.agent, "agents/")?,
                at: time("changeTime", moved.change_time)?,
                state: state(moved.state())?,
                cause: cause(moved.cause()),
            }),
            Frame::Offer(offer) => {
                let made = time("createTime", offer.create_time)?;
                let how = match offer.state() {
                    pb::OfferState::Accepted => How::Accepted,
                    pb::OfferState::Rejected => How::Rejected,
                    pb::OfferState::Missed => How::Missed,
                    other => return Err(format!("an offer that is {}", other.as_str_name())),
                };
                Row::Answered(Answered {
                    agent: name("agent", &offer.agent, "agents/")?,
                    interaction: name("interaction", &offer.interaction, "interactions/")?,
                    after: time("resolveTime", offer.resolve_time)?.since(made),
                    how,
                })
            }
            Frame::Step(step) => Row::Step(Step {
                agent: name("agent", &step.agent, "agents/")?,
                interaction: name("interaction", &step.interaction, "interactions/")?,
                at: time("stepTime", step.step_time)?,
                what: what(&step)?,
            }),
            Frame::Arrival(arrival) => Row::Arrival(self::arrival(arrival)?),
        };
        let recording = self.recording.as_mut();
        let recording = recording.ok_or_else(|| "the range is missing before it".to_owned())?;
        recording.add(row).map_err(|error| error.to_string())
    }

    /// The whole.
    pub(super) fn finish(self) -> Result<Recording, String> {
        let recording = self.recording.map(Recording::finish);
        recording.ok_or_else(|| "there is nothing in it".to_owned())
    }
}

fn time(field: &str, time: Option<prost_types::Timestamp>) -> Result<Timestamp, String> {
    let millis = time.and_then(|time| {
        let seconds = u64::try_from(time.seconds).ok()?.checked_mul(1000)?;
        seconds.checked_add(u64::try_from(time.nanos / 1_000_000).ok()?)
    });
    let millis = millis.ok_or_else(|| format!("{field} is missing or no time"))?;
    Ok(Timestamp::from_millis(millis))
}

fn maybe_time(
    field: &str,
    at: Option<prost_types::Timestamp>,
) -> Result<Option<Timestamp>, String> {
    at.map(|at| time(field, Some(at))).transpose()
}

fn name<T: FromStr>(field: &str, text: &str, of: &str) -> Result<T, String> {
    let id = text.strip_prefix(of).and_then(|id| id.parse().ok());
    id.ok_or_else(|| format!("{field} is not {of}{{id}}"))
}

fn state(state: pb::AgentState) -> Result<AgentState, String> {
    match state {
        pb::AgentState::Unspecified => Err("state is missing".to_owned()),
        pb::AgentState::SignedOut => Ok(AgentState::SignedOut),
        pb::AgentState::WorkOffline => Ok(AgentState::WorkOffline),
        pb::AgentState::Available => Ok(AgentState::Available),
        pb::AgentState::Busy => Ok(AgentState::Busy),
        pb::AgentState::WrapUp => Ok(AgentState::WrapUp),
    }
}

/// Only a few causes matter; a newer one is none of them.
const fn cause(cause: pb::PresenceCause) -> PresenceCause {
    match cause {
        pb::PresenceCause::OfferRejected => PresenceCause::OfferRejected,
        pb::PresenceCause::OfferMissed => PresenceCause::OfferMissed,
        pb::PresenceCause::Compose => PresenceCause::Compose,
        pb::PresenceCause::Unspecified
        | pb::PresenceCause::AgentRequest
        | pb::PresenceCause::SupervisorRequest
        | pb::PresenceCause::Accept
        | pb::PresenceCause::WrapUpStart
        | pb::PresenceCause::WrapUpComplete
        | pb::PresenceCause::WrapUpTimeout
        | pb::PresenceCause::Disconnected
        | pb::PresenceCause::SignIn
        | pb::PresenceCause::SignOut
        | pb::PresenceCause::Pull
        | pb::PresenceCause::Resume => PresenceCause::AgentRequest,
    }
}

fn member(member: pb::RecordedMember) -> Result<Member, String> {
    let state = state(member.state())?;
    let queues = member.memberships.iter().map(|membership| {
        let weight = u8::try_from(membership.weight)
            .ok()
            .filter(|weight| *weight > 0);
        let weight = weight.ok_or_else(|| "weight is not 1 to 100".to_owned())?;
        Ok((name("queue", &membership.queue, "queues/")?, weight))
    });
    let skills = member.skills.iter().map(|skill| {
        let level = u8::try_from(skill.level);
        let level = level.map_err(|_| "level is not 1 to 10".to_owned())?;
        Ok((skill.name.clone(), level))
    });
    Ok(Member {
        id: name("agent", &member.agent, "agents/")?,
        queues: queues.collect::<Result<_, String>>()?,
        skills: skills.collect::<Result<_, String>>()?,
        capacity: u32::try_from(member.capacity).map_err(|_| "capacity is less than 0")?,
        state,
        since: maybe_time("sinceTime", member.since_time)?,
    })
}

fn what(step: &pb::RecordedStep) -> Result<What, String> {
    Ok(match step.step() {
        pb::WorkStep::Unspecified => return Err("step is missing".to_owned()),
        pb::WorkStep::Taken => What::Taken,
        pb::WorkStep::Resumed => What::Resumed,
        pb::WorkStep::Parked => What::Parked,
        pb::WorkStep::Handled => What::Handled,
        pb::WorkStep::Closed => What::Ended,
        pb::WorkStep::Transferred => What::Transferred(name("queue", &step.queue, "queues/")?),
        pb::WorkStep::Requeued => What::Requeued,
        pb::WorkStep::Cancelled => What::Cancelled,
    })
}

fn arrival(arrival: pb::RecordedArrival) -> Result<Arrival, String> {
    let preferred = Some(arrival.preferred_agent).filter(|name| !name.is_empty());
    let preferred = preferred.map(|agent| name("preferredAgent", &agent, "agents/"));
    let case: MainNumber = name("case", &arrival.case, "cases/")?;
    Ok(Arrival {
        id: name("interaction", &arrival.interaction, "interactions/")?,
        queue: name("queue", &arrival.queue, "queues/")?,
        case,
        at: time("arriveTime", arrival.arrive_time)?,
        priority: arrival.priority,
        skills: arrival.skills.into_iter().collect(),
        preferred: preferred.transpose()?,
        accepted: maybe_time("acceptTime", arrival.accept_time)?,
        answered: maybe_time("answerTime", arrival.answer_time)?,
        closed: maybe_time("closeTime", arrival.close_time)?,
    })
}
