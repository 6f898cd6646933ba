//! The control plane: gRPC in, commands and looks at the desk out.
//!
//! Each service has a file, which translates and decides nothing. Who may call what is settled
//! before all of them, in `access`; which agent may see which resource is settled here. The types
//! generated from `proto/` stay in this module.

/// The messages and services of `proto/`, generated.
#[expect(
    unused_qualifications,
    clippy::large_enum_variant,
    reason = "generated; an event is made once a stream and moved on"
)]
pub mod pb {
    tonic::include_proto!("postroom.v1");

    /// The descriptors of all messages and services with their comments, encoded.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/postroom.bin"));
}

pub mod client;
pub mod json;
pub mod server;

mod access;
mod errors;
mod feed;
mod form;
mod page;
mod password;
mod token;

mod convert;
mod download;
mod events;
mod explain;
mod opener;

mod agents;
mod attaching;
mod attachments;
mod board;
mod bulk;
mod cases;
mod credentials;
mod dossier;
mod drafts;
mod figures;
mod from_addresses;
mod interactions;
mod knowledge;
mod offers;
mod presences;
mod queues;
mod recording;
mod sending;
mod sessions;
mod steering;
mod supervision;
mod system;
mod verbs;
mod watch;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tonic::metadata::MetadataValue;
use tonic::{Code, Response, Status};

pub use access::CALL_HEADER;
pub use errors::{DOMAIN, REASON_TRAILER};
pub use watch::HEARTBEAT;

use access::Principal;
use board::Board;
use errors::Failure;
use opener::Opener;
use password::Passwords;
use watch::Streams;

use crate::desk::{Desk, Direction, Message, Queue, Role};
use crate::engine::Handle;
use crate::id::{AgentId, InteractionId, QueueId};
use crate::intake::Intake;
use crate::milter::Current;
use crate::outbound::reply::ReplySettings;

/// Largest request in bytes: what most clients take for granted.
pub const REQUEST_BYTES_MAX: usize = 4 << 20;

/// Largest chunk of a download in bytes.
pub const CHUNK_BYTES: usize = 256 << 10;

/// The response header of a call that was answered before, under the same request id.
pub const REPLAYED_HEADER: &str = "postroom-replayed";

/// Longest display name, in bytes.
const DISPLAY_NAME_BYTES_MAX: usize = 256;

/// What the services have in common.
struct Shared {
    handle: Handle,
    reply: ReplySettings,
    passwords: Passwords,
    streams: Arc<Streams>,
    board: Board,
    opener: Opener,
    intake: Option<Arc<Current<Intake>>>,
    drain: CancellationToken,
}

impl Shared {
    /// Something about a queue.
    async fn queue<T: Send + 'static>(
        &self,
        id: QueueId,
        read: impl FnOnce(&Queue) -> T + Send + 'static,
    ) -> Result<T, Status> {
        let wanted = id.clone();
        (self.handle)
            .look(move |desk, _| desk.queues().get(&wanted).map(read))
            .await
            .map_err(errors::engine)?
            .ok_or_else(|| errors::not_found(convert::queue_name(&id)))
    }

    /// A queue's name for people; its id if it is no longer there.
    async fn queue_display_name(&self, id: &QueueId) -> Result<String, Status> {
        let id = id.clone();
        (self.handle)
            .look(move |desk, _| Self::name_of(desk, &id))
            .await
            .map_err(errors::engine)
    }

    fn name_of(desk: &Desk, id: &QueueId) -> String {
        desk.queues().get(id).map_or_else(
            || id.to_string(),
            |queue| queue.settings.display_name.clone(),
        )
    }

    /// The stored hash of an agent's password; the outer `None` if there is no such agent.
    async fn password_of(&self, id: AgentId) -> Result<Option<Option<String>>, Status> {
        (self.handle)
            .look(move |desk, _| desk.agents().get(&id).map(|agent| agent.password.clone()))
            .await
            .map_err(errors::engine)
    }

    /// Refuses a caller who neither steers the floor nor serves the queue to which this resource
    /// belongs.
    /// A message without its text, with what became of it on its way.
    async fn basic_message(
        &self,
        message: &Message,
        interaction: InteractionId,
    ) -> Result<pb::Message, Status> {
        let outbound = match message.direction {
            Direction::Inbound => None,
            Direction::Outbound => {
                (self.handle.outbound(message.id).await).map_err(errors::engine)?
            }
        };
        let delivery = outbound.as_ref().map(convert::delivery);
        Ok(convert::message(message, interaction, delivery))
    }

    async fn may_read_queue(
        &self,
        caller: &Principal,
        queue: &QueueId,
        resource: String,
    ) -> Result<(), Status> {
        if caller.is(Role::Supervisor) {
            return Ok(());
        }
        let serves = match caller.agent.clone() {
            Some(agent) => {
                let queue = queue.clone();
                (self.handle)
                    .look(move |desk, _| {
                        (desk.agents().get(&agent))
                            .is_some_and(|agent| agent.queues.contains(&queue))
                    })
                    .await
                    .map_err(errors::engine)?
            }
            None => false,
        };
        if serves {
            return Ok(());
        }
        let message = format!("you do not serve the queue of {resource}");
        let member = pb::ErrorReason::NotQueueMember;
        Err(Failure::new(Code::PermissionDenied, member, message)
            .with("resource", resource)
            .into())
    }
}

/// A response, marked if it was given before.
fn respond<T>(message: T, replayed: bool) -> Response<T> {
    let mut response = Response::new(message);
    if replayed {
        response
            .metadata_mut()
            .insert(REPLAYED_HEADER, MetadataValue::from_static("1"));
    }
    response
}
