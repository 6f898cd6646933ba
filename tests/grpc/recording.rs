//! What is recorded, as `DownloadRecording` tells it.

use postroom::grpc::pb;
use postroom::grpc::pb::download_recording_response::Frame;
use postroom::grpc::pb::interaction_service_client::InteractionServiceClient;
use postroom::grpc::pb::supervisor_service_client::SupervisorServiceClient;
use postroom::time::Timestamp;
use tonic::{Code, Status};

use super::gateway::{Gateway, refused};
use super::refusals::at_work;
use super::verbs::accept;
use crate::grpc::gateway::by;

fn wire(time: Timestamp) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp {
        seconds: time.as_secs() as i64,
        nanos: (time.as_millis() % 1000) as i32 * 1_000_000,
    })
}

/// All frames from a time on.
async fn record(gateway: &Gateway, from: Timestamp) -> Result<Vec<Frame>, Status> {
    let mut supervisors = SupervisorServiceClient::new(gateway.local.clone());
    let asked = pb::DownloadRecordingRequest {
        start_time: wire(from),
        end_time: None,
    };
    let mut stream = supervisors.download_recording(asked).await?.into_inner();
    let mut frames = Vec::new();
    while let Some(found) = stream.message().await? {
        frames.extend(found.frame);
    }
    Ok(frames)
}

/// The frames in words, without times and ids.
fn words(frames: &[Frame]) -> Vec<String> {
    let number = |name: &str| {
        let known = frames.iter().filter_map(|frame| match frame {
            Frame::Arrival(arrival) => Some(arrival.interaction.clone()),
            _ => None,
        });
        let mut known: Vec<String> = known.collect();
        known.sort();
        known.dedup();
        known
            .iter()
            .position(|other| other == name)
            .map_or(0, |at| at + 1)
    };
    let words = frames.iter().map(|frame| match frame {
        Frame::Range(_) => "range".to_owned(),
        Frame::Member(it) => {
            let queues: Vec<String> = (it.memberships.iter())
                .map(|served| format!("{} {}", served.queue, served.weight))
                .collect();
            let state = it.state().as_str_name();
            let cut = if it.since_time.is_some() { " cut" } else { "" };
            format!("{} {state} {}{cut}", it.agent, queues.join(" "))
        }
        Frame::Presence(it) => {
            let (state, cause) = (it.state().as_str_name(), it.cause().as_str_name());
            format!("{} {state} {cause}", it.agent)
        }
        Frame::Offer(it) => format!(
            "offer {} {}",
            number(&it.interaction),
            it.state().as_str_name()
        ),
        Frame::Step(it) => {
            let step = it.step().as_str_name();
            format!("step {} {step} {}", number(&it.interaction), it.queue)
        }
        Frame::Arrival(it) => {
            let accepted = it.accept_time.is_some();
            let closed = it.close_time.is_some();
            let number = number(&it.interaction);
            format!(
                "arrival {number} {} accepted {accepted} closed {closed}",
                it.queue
            )
        }
    });
    words
        .map(|line| {
            let short = [
                "AGENT_STATE_",
                "PRESENCE_CAUSE_",
                "OFFER_STATE_",
                "WORK_STEP_",
            ];
            let line = short
                .iter()
                .fold(line, |line, prefix| line.replace(prefix, ""));
            line.trim_end().to_owned()
        })
        .collect()
}

#[tokio::test]
async fn a_day_is_told_as_it_was() {
    let gateway = Gateway::start().await;
    let begin = gateway.handle.now();
    gateway.agent("anna", &["support"]).await;
    gateway.agent("bert", &["sales"]).await;
    let (anna, _stream) = at_work(&gateway, "anna").await;
    gateway.letter("support").await;
    let name = accept(&gateway, &anna).await;
    gateway.letter("sales").await;
    let mut interactions = InteractionServiceClient::new(gateway.remote.clone());
    let transfer = pb::TransferInteractionRequest {
        name,
        queue: "queues/sales".to_owned(),
        ..pb::TransferInteractionRequest::default()
    };
    let transferred = interactions.transfer_interaction(by(&anna, transfer)).await;
    let half = transferred.unwrap().into_inner().presence.unwrap();
    let complete = pb::CompleteWrapUpRequest {
        name: half.active_interactions[0].clone(),
        ..pb::CompleteWrapUpRequest::default()
    };
    (interactions.complete_wrap_up(by(&anna, complete)).await).unwrap();
    gateway.letter("support").await;
    // A millisecond that comes after all of this.
    let done = gateway.handle.now();
    let mut middle = done;
    while middle <= done {
        tokio::task::yield_now().await;
        middle = gateway.handle.now();
    }
    let name = accept(&gateway, &anna).await;
    let end = pb::EndInteractionRequest {
        name,
        ..pb::EndInteractionRequest::default()
    };
    (interactions.end_interaction(by(&anna, end)).await).unwrap();

    let expected = [
        "range",
        "agents/anna SIGNED_OUT queues/support 10",
        "agents/anna WORK_OFFLINE SIGN_IN",
        "agents/anna AVAILABLE AGENT_REQUEST",
        "offer 1 ACCEPTED",
        "step 1 TAKEN",
        "agents/anna BUSY ACCEPT",
        "step 1 TRANSFERRED queues/sales",
        "step 1 HANDLED",
        "agents/anna WRAP_UP WRAP_UP_START",
        "step 1 CLOSED",
        "agents/anna AVAILABLE WRAP_UP_COMPLETE",
        "offer 3 ACCEPTED",
        "step 3 TAKEN",
        "agents/anna BUSY ACCEPT",
        "step 3 HANDLED",
        "agents/anna WRAP_UP WRAP_UP_START",
        "agents/bert SIGNED_OUT queues/sales 10",
        // Where it arrived, not where it went.
        "arrival 1 queues/support accepted true closed false",
        "arrival 2 queues/sales accepted false closed false",
        "arrival 3 queues/support accepted true closed false",
    ];
    assert_eq!(words(&record(&gateway, begin).await.unwrap()), expected);
    // From the middle on: as what she was shown then, and all that was there already.
    let later = words(&record(&gateway, middle).await.unwrap());
    let expected = [
        "range",
        "agents/anna AVAILABLE queues/support 10",
        "arrival 3 queues/support accepted false closed false",
        "offer 3 ACCEPTED",
        "arrival 3 queues/support accepted true closed false",
        "step 3 TAKEN",
        "agents/anna BUSY ACCEPT",
        "arrival 3 queues/support accepted true closed false",
        "step 3 HANDLED",
        "agents/anna WRAP_UP WRAP_UP_START",
        "agents/bert SIGNED_OUT queues/sales 10",
        "arrival 1 queues/support accepted true closed false",
        "arrival 2 queues/sales accepted false closed false",
    ];
    assert_eq!(later, expected);
}

#[tokio::test]
async fn what_is_no_time_is_refused() {
    let gateway = Gateway::start().await;
    let mut supervisors = SupervisorServiceClient::new(gateway.local.clone());
    let now = wire(gateway.handle.now());
    let before = prost_types::Timestamp {
        seconds: -1,
        nanos: 0,
    };
    for (start, end) in [
        (None, None),
        (Some(before), None),
        (wire(Timestamp::MAX), None),
        (now, now),
        (now, Some(before)),
        (
            wire(Timestamp::from_millis(1)),
            wire(Timestamp::from_millis(1)),
        ),
    ] {
        let asked = pb::DownloadRecordingRequest {
            start_time: start,
            end_time: end,
        };
        refused(
            supervisors.download_recording(asked).await,
            Code::InvalidArgument,
            "FIELD_INVALID",
        );
    }
}
