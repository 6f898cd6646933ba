//! The sample agent's client: what a desktop for agents does, over the same gRPC.

use std::net::SocketAddr;
use std::path::Path;

use postroom::grpc::client::{Credential, Credited, Place};
use postroom::grpc::pb;
use postroom::grpc::pb::agent_service_client::AgentServiceClient;
use postroom::grpc::pb::from_address_service_client::FromAddressServiceClient;
use postroom::grpc::pb::interaction_service_client::InteractionServiceClient;
use postroom::grpc::pb::offer_service_client::OfferServiceClient;
use postroom::grpc::pb::presence_service_client::PresenceServiceClient;
use postroom::grpc::pb::session_event::Payload;
use postroom::grpc::pb::session_service_client::SessionServiceClient;
use postroom::grpc::pb::watch_session_response::Frame;
use tonic::service::interceptor::InterceptedService;
use tonic::{Response, Status, Streaming};

use super::stage::{LOGIN, PASSWORD};
use crate::cli::door::{self, present};
use crate::cli::failure::{Exit, Failure};

/// The id of the one request that must not be carried out twice; any UUID will do.
const REPLY_REQUEST: &str = "6f1c2a3e-3d4b-4c5d-8e6f-0123456789ab";

/// The agent at work.
pub(super) struct Desk {
    channel: Credited,
    stream: Streaming<pb::WatchSessionResponse>,
}

fn done<T>(answer: Result<Response<T>, Status>) -> Result<T, Failure> {
    answer
        .map(Response::into_inner)
        .map_err(|status| door::refused(&status))
}

/// Makes the agent, as an administrator on the control socket.
pub(super) async fn create_agent(socket: &Path) -> Result<pb::Agent, Failure> {
    let channel = door::connect(&Place::Socket(socket.to_owned())).await?;
    let mut agents = AgentServiceClient::new(channel);
    let create = pb::CreateAgentRequest {
        agent_id: LOGIN.to_owned(),
        agent: Some(pb::Agent {
            display_name: "Mira Lund".to_owned(),
            queues: vec!["queues/support".to_owned()],
            ..pb::Agent::default()
        }),
        request_id: String::new(),
    };
    let created = done(agents.create_agent(create).await)?;
    let agent = present(created.agent, "the agent")?;
    let password = pb::SetAgentPasswordRequest {
        name: agent.name.clone(),
        new_password: PASSWORD.to_owned(),
        ..pb::SetAgentPasswordRequest::default()
    };
    done(agents.set_agent_password(password).await)?;
    Ok(agent)
}

impl Desk {
    /// Signs in and attaches the stream.
    pub(super) async fn sign_in(address: SocketAddr) -> Result<Self, Failure> {
        let channel = door::connect(&Place::Host(address.to_string())).await?;
        let open = pb::OpenSessionRequest {
            login: LOGIN.to_owned(),
            password: PASSWORD.to_owned(),
            client_info: concat!("postroom-demo/", env!("CARGO_PKG_VERSION")).to_owned(),
            ..pb::OpenSessionRequest::default()
        };
        let opened = SessionServiceClient::new(channel.clone())
            .open_session(open)
            .await;
        let opened = done(opened)?;
        let credential = present(Credential::bearer(&opened.session_token), "a usable token")?;
        let channel = InterceptedService::new(channel, credential);
        let watch = pb::WatchSessionRequest {
            name: "sessions/current".to_owned(),
            ..pb::WatchSessionRequest::default()
        };
        let stream = SessionServiceClient::new(channel.clone())
            .watch_session(watch)
            .await;
        let mut desk = Self {
            stream: done(stream)?,
            channel,
        };
        // The snapshot says that the stream is attached: from here on the agent can be offered mail.
        desk.frame(|frame| matches!(frame, Frame::Snapshot(_)).then_some(()))
            .await?;
        Ok(desk)
    }

    /// The first frame to come of which `pick` makes something.
    async fn frame<T>(&mut self, pick: impl Fn(Frame) -> Option<T>) -> Result<T, Failure> {
        loop {
            let next = self
                .stream
                .message()
                .await
                .map_err(|status| door::refused(&status))?;
            let ended = || Failure::new(Exit::Software, "the gateway ended the agent's stream");
            if let Some(found) = next.ok_or_else(ended)?.frame.and_then(&pick) {
                return Ok(found);
            }
        }
    }

    /// The first event to come of which `pick` makes something.
    async fn event<T>(&mut self, pick: impl Fn(Payload) -> Option<T>) -> Result<T, Failure> {
        self.frame(|frame| match frame {
            Frame::Event(event) => event.payload.and_then(&pick),
            Frame::Opened(_) | Frame::Snapshot(_) | Frame::Heartbeat(_) | Frame::Closing(_) => None,
        })
        .await
    }

    pub(super) async fn become_available(&mut self) -> Result<pb::Presence, Failure> {
        let set = pb::SetPresenceRequest {
            name: "agents/me/presence".to_owned(),
            state: pb::AgentState::Available.into(),
            ..pb::SetPresenceRequest::default()
        };
        let answer = PresenceServiceClient::new(self.channel.clone())
            .set_presence(set)
            .await;
        present(done(answer)?.presence, "the presence")
    }

    /// The next offer, confirmed as being on the screen.
    pub(super) async fn offer(&mut self) -> Result<pb::Offer, Failure> {
        let offer = self
            .event(|payload| match payload {
                Payload::OfferCreated(created) => created.offer,
                _ => None,
            })
            .await?;
        let acknowledge = pb::AcknowledgeOfferRequest { name: offer.name };
        let mut offers = OfferServiceClient::new(self.channel.clone());
        let answer = offers.acknowledge_offer(acknowledge).await;
        present(done(answer)?.offer, "the offer")
    }

    pub(super) async fn accept(
        &mut self,
        offer: &pb::Offer,
    ) -> Result<(pb::Interaction, pb::Presence), Failure> {
        let accept = pb::AcceptOfferRequest {
            name: offer.name.clone(),
            request_id: String::new(),
        };
        let answer = OfferServiceClient::new(self.channel.clone())
            .accept_offer(accept)
            .await;
        let accepted = done(answer)?;
        Ok((
            present(accepted.interaction, "the interaction")?,
            present(accepted.presence, "the presence")?,
        ))
    }

    /// The newest letter of an interaction with its text.
    pub(super) async fn read(&mut self, it: &pb::Interaction) -> Result<pb::Message, Failure> {
        let get = pb::GetMessageRequest {
            name: it.latest_message.clone(),
            view: pb::MessageView::Full.into(),
        };
        let answer = InteractionServiceClient::new(self.channel.clone())
            .get_message(get)
            .await;
        present(done(answer)?.message, "the message")
    }

    /// The addresses that the agent may send from in this queue.
    pub(super) async fn senders(&mut self, queue: &str) -> Result<Vec<String>, Failure> {
        let list = pb::ListFromAddressesRequest {
            queue: queue.to_owned(),
            ..pb::ListFromAddressesRequest::default()
        };
        let mut addresses = FromAddressServiceClient::new(self.channel.clone());
        let listed = done(addresses.list_from_addresses(list).await)?;
        Ok(listed
            .from_addresses
            .into_iter()
            .map(|from| from.address)
            .collect())
    }

    pub(super) async fn reply(
        &mut self,
        it: &pb::Interaction,
        from: &str,
        text: &str,
    ) -> Result<pb::SendReplyResponse, Failure> {
        let reply = pb::SendReplyRequest {
            name: it.name.clone(),
            from_address: from.to_owned(),
            text_body: text.to_owned(),
            include_original: true,
            latest_seen_message: it.latest_message.clone(),
            request_id: REPLY_REQUEST.to_owned(),
            ..pb::SendReplyRequest::default()
        };
        done(
            InteractionServiceClient::new(self.channel.clone())
                .send_reply(reply)
                .await,
        )
    }

    /// Waits until the mail server has taken the reply.
    pub(super) async fn delivery(&mut self) -> Result<pb::Delivery, Failure> {
        self.event(|payload| match payload {
            Payload::DeliveryUpdated(updated) => updated
                .delivery
                .filter(|delivery| delivery.state() == pb::DeliveryState::Confirmed),
            _ => None,
        })
        .await
    }

    pub(super) async fn end(&mut self, it: &pb::Interaction) -> Result<pb::Presence, Failure> {
        let end = pb::EndInteractionRequest {
            name: it.name.clone(),
            ..pb::EndInteractionRequest::default()
        };
        let answer = InteractionServiceClient::new(self.channel.clone())
            .end_interaction(end)
            .await;
        present(done(answer)?.presence, "the presence")
    }

    pub(super) async fn complete_wrap_up(
        &mut self,
        it: &pb::Interaction,
        disposition: &str,
    ) -> Result<(pb::Interaction, pb::Presence), Failure> {
        let complete = pb::CompleteWrapUpRequest {
            name: it.name.clone(),
            disposition_code: Some(disposition.to_owned()),
            next_state: pb::AgentState::Available.into(),
            ..pb::CompleteWrapUpRequest::default()
        };
        let mut interactions = InteractionServiceClient::new(self.channel.clone());
        let completed = done(interactions.complete_wrap_up(complete).await)?;
        Ok((
            present(completed.interaction, "the interaction")?,
            present(completed.presence, "the presence")?,
        ))
    }

    pub(super) async fn sign_out(self) -> Result<pb::Presence, Failure> {
        let close = pb::CloseSessionRequest {
            name: "sessions/current".to_owned(),
            request_id: String::new(),
            requeue_interactions: false,
        };
        let answer = SessionServiceClient::new(self.channel)
            .close_session(close)
            .await;
        present(done(answer)?.presence, "the presence")
    }
}
