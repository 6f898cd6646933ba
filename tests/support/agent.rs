//! An agent at their client: signed in over gRPC, told of offers by the stream, answering them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use postroom::grpc::pb;
use postroom::grpc::pb::agent_service_client::AgentServiceClient;
use postroom::grpc::pb::interaction_service_client::InteractionServiceClient;
use postroom::grpc::pb::offer_service_client::OfferServiceClient;
use postroom::grpc::pb::session_event::Payload;
use postroom::grpc::pb::session_service_client::SessionServiceClient;
use postroom::grpc::pb::watch_session_response::Frame;
use tokio::net::UnixStream;
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status, Streaming};

const PASSWORD: &str = "correct horse battery";

/// How long an event may take. It is reached only when it never comes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection to the administrator's socket, where everything is allowed.
pub(crate) async fn administrator(socket: &Path) -> Channel {
    let socket: PathBuf = socket.to_owned();
    let connector = tower::service_fn(move |_| {
        let socket = socket.clone();
        async move { UnixStream::connect(socket).await.map(TokioIo::new) }
    });
    let endpoint = Endpoint::from_static("http://localhost");
    endpoint.connect_with_connector(connector).await.unwrap()
}

/// Makes an agent who serves these queues, as the administrator does.
pub(crate) async fn hire(socket: &Path, id: &str, queues: &[&str]) {
    let mut agents = AgentServiceClient::new(administrator(socket).await);
    let queues = queues.iter().map(|queue| format!("queues/{queue}"));
    let create = pb::CreateAgentRequest {
        agent_id: id.to_owned(),
        agent: Some(pb::Agent {
            queues: queues.collect(),
            ..pb::Agent::default()
        }),
        request_id: String::new(),
    };
    agents.create_agent(create).await.unwrap();
    let password = pb::SetAgentPasswordRequest {
        name: format!("agents/{id}"),
        new_password: PASSWORD.to_owned(),
        ..pb::SetAgentPasswordRequest::default()
    };
    agents.set_agent_password(password).await.unwrap();
}

/// A signed-in agent who is Available.
pub(crate) struct Agent {
    pub(crate) channel: Channel,
    token: String,
    stream: Streaming<pb::WatchSessionResponse>,
    /// Offers of the snapshot that were not answered yet.
    offered: Vec<pb::Offer>,
    /// Interactions that were in hand when the stream began.
    pub(crate) in_hand: Vec<pb::Interaction>,
}

impl Agent {
    /// Signs in, in place of whoever is signed in, and asks to be Available.
    pub(crate) async fn sign_in(control: SocketAddr, id: &str) -> Result<Self, Status> {
        let endpoint = Endpoint::try_from(format!("http://{control}")).unwrap();
        let channel = endpoint.connect().await;
        let channel = channel.map_err(|error| Status::unavailable(error.to_string()))?;
        let mut sessions = SessionServiceClient::new(channel.clone());
        let open = pb::OpenSessionRequest {
            login: id.to_owned(),
            password: PASSWORD.to_owned(),
            initial_state: pb::AgentState::Available.into(),
            takeover: true,
            lease_duration: Some(prost_types::Duration {
                seconds: 300,
                nanos: 0,
            }),
            ..pb::OpenSessionRequest::default()
        };
        let token = sessions
            .open_session(open)
            .await?
            .into_inner()
            .session_token;
        let watch = pb::WatchSessionRequest {
            name: "sessions/current".to_owned(),
            ..pb::WatchSessionRequest::default()
        };
        let stream = sessions.watch_session(by(&token, watch)).await?;
        let mut agent = Self {
            channel,
            token,
            stream: stream.into_inner(),
            offered: Vec::new(),
            in_hand: Vec::new(),
        };
        loop {
            if let Frame::Snapshot(snapshot) = agent.frame().await? {
                agent.offered = snapshot.offers;
                agent.in_hand = snapshot.interactions;
                return Ok(agent);
            }
        }
    }

    /// Waits for an offer, and takes it. One that is over before it was answered is passed over.
    pub(crate) async fn accept(&mut self) -> Result<pb::Interaction, Status> {
        loop {
            let offer = match self.offered.pop() {
                Some(offer) => offer,
                None => {
                    let created = |payload| match payload {
                        Payload::OfferCreated(created) => created.offer,
                        _ => None,
                    };
                    self.event(created).await?
                }
            };
            match self.take(offer.name).await {
                Err(status) if status.code() == Code::FailedPrecondition => {}
                taken => return taken,
            }
        }
    }

    async fn take(&self, name: String) -> Result<pb::Interaction, Status> {
        let mut offers = OfferServiceClient::new(self.channel.clone());
        let shown = pb::AcknowledgeOfferRequest { name: name.clone() };
        offers.acknowledge_offer(self.by(shown)).await?;
        let accept = pb::AcceptOfferRequest {
            name,
            request_id: String::new(),
        };
        let accepted = offers.accept_offer(self.by(accept)).await?.into_inner();
        Ok(accepted.interaction.unwrap())
    }

    /// Answers the customer.
    pub(crate) async fn reply(
        &self,
        reply: pb::SendReplyRequest,
    ) -> Result<pb::SendReplyResponse, Status> {
        let sent = self.interactions().send_reply(self.by(reply)).await?;
        Ok(sent.into_inner())
    }

    /// Ends an interaction without a reply.
    pub(crate) async fn end(
        &self,
        name: &str,
        request_id: &str,
    ) -> Result<pb::Interaction, Status> {
        let end = pb::EndInteractionRequest {
            name: name.to_owned(),
            note: String::new(),
            request_id: request_id.to_owned(),
            ..pb::EndInteractionRequest::default()
        };
        let ended = self.interactions().end_interaction(self.by(end)).await?;
        Ok(ended.into_inner().interaction.unwrap())
    }

    /// The next event that is wanted; others before it are passed over.
    pub(crate) async fn event<T>(
        &mut self,
        wanted: impl Fn(Payload) -> Option<T>,
    ) -> Result<T, Status> {
        loop {
            if let Frame::Event(event) = self.frame().await?
                && let Some(found) = event.payload.and_then(&wanted)
            {
                return Ok(found);
            }
        }
    }

    fn interactions(&self) -> InteractionServiceClient<Channel> {
        InteractionServiceClient::new(self.channel.clone())
    }

    async fn frame(&mut self) -> Result<Frame, Status> {
        let ended = || Status::unavailable("the stream ended");
        let read = timeout(PATIENCE, self.stream.message()).await;
        let frame = read.map_err(|_| Status::deadline_exceeded("no event"))??;
        frame.and_then(|frame| frame.frame).ok_or_else(ended)
    }

    pub(crate) fn by<T>(&self, request: T) -> Request<T> {
        by(&self.token, request)
    }
}

/// A request with a credential.
fn by<T>(token: &str, request: T) -> Request<T> {
    let mut request = Request::new(request);
    let bearer = format!("Bearer {token}").parse().unwrap();
    request.metadata_mut().insert("authorization", bearer);
    request
}
