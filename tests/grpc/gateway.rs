//! A gateway for tests: engine, a store in memory, and the server on a free port and a socket.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use postroom::content::Content;
use postroom::desk::message::Origin;
use postroom::desk::queue::Mailbox;
use postroom::desk::{Correspondent, Handling, Ingest, QueueSettings, Target, Thread};
use postroom::engine::{self, Engine, Fingerprint, Handle};
use postroom::grpc::pb;
use postroom::grpc::pb::session_service_client::SessionServiceClient;
use postroom::grpc::server::{self, Certificate, Listeners};
use postroom::mail::clue::OwnKeys;
use postroom::mail::trust::Trust;
use postroom::outbound::reply::ReplySettings;
use postroom::store::Memory;
use tokio::net::{TcpListener, UnixStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

pub(crate) const PASSWORD: &str = "correct horse";

pub(crate) struct Gateway {
    pub(crate) handle: Handle,
    pub(crate) drain: CancellationToken,
    pub(crate) server: JoinHandle<()>,
    /// Where the control socket is.
    pub(crate) socket: PathBuf,
    /// Over the control socket: an administrator.
    pub(crate) local: Channel,
    /// Over TCP: nobody, without a credential.
    pub(crate) remote: Channel,
    letters: AtomicU64,
    _engine: Engine,
    _dir: tempfile::TempDir,
}

impl Gateway {
    /// With the queues `support`, which has post-processing, and `sales`, which has none.
    pub(crate) async fn start() -> Self {
        Self::start_with(None, remote).await
    }

    /// As [`Self::start`], with a certificate and a way to connect that trusts it.
    pub(crate) async fn start_with<C: Future<Output = Channel>>(
        certificate: Option<Certificate>,
        connect: impl FnOnce(SocketAddr) -> C,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(Memory::new(dir.path().to_owned()));
        let mut settings = engine::Settings::new(queues());
        // No test is about these waits, and the machine may be slow.
        settings.policy.offer_receipt = Duration::from_secs(600);
        settings.policy.reattach = Duration::from_secs(600);
        settings.policy.grace = Duration::from_secs(600);
        let (engine, handle, _) = Engine::start(store, settings).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let socket = dir.path().join("control.sock");
        let listeners = Listeners {
            tcp: Some((listener, certificate)),
            control: Some(server::bind_control_socket(&socket).unwrap()),
        };
        let settings = server::Settings {
            reply: ReplySettings {
                message_id_domain: "mx.shop.example".to_owned(),
            },
            reflection: true,
            intake: None,
        };
        let drain = CancellationToken::new();
        let serving = server::serve(handle.clone(), settings, listeners, drain.clone());
        let server = tokio::spawn(async { serving.await.unwrap() });
        Self {
            handle,
            drain,
            server,
            local: local(socket.clone()).await,
            socket,
            remote: connect(address).await,
            letters: AtomicU64::new(0),
            _engine: engine,
            _dir: dir,
        }
    }

    /// Makes an agent with [`PASSWORD`] who serves these queues.
    pub(crate) async fn agent(&self, id: &str, queues: &[&str]) {
        let mut agents = pb::agent_service_client::AgentServiceClient::new(self.local.clone());
        agents
            .create_agent(pb::CreateAgentRequest {
                agent_id: id.to_owned(),
                agent: Some(pb::Agent {
                    queues: queues
                        .iter()
                        .map(|queue| format!("queues/{queue}"))
                        .collect(),
                    ..pb::Agent::default()
                }),
                request_id: String::new(),
            })
            .await
            .unwrap();
        agents
            .set_agent_password(pb::SetAgentPasswordRequest {
                name: format!("agents/{id}"),
                new_password: PASSWORD.to_owned(),
                ..pb::SetAgentPasswordRequest::default()
            })
            .await
            .unwrap();
    }

    /// Signs an agent in; the token.
    pub(crate) async fn sign_in(&self, id: &str) -> String {
        let opened = SessionServiceClient::new(self.remote.clone())
            .open_session(sign_in(id))
            .await
            .unwrap();
        opened.into_inner().session_token
    }

    /// Makes a key; its secret and its name.
    pub(crate) async fn key(&self, roles: &[pb::Role], agent: &str) -> (String, String) {
        let made = pb::credential_service_client::CredentialServiceClient::new(self.local.clone())
            .create_api_key(pb::CreateApiKeyRequest {
                display_name: "test".to_owned(),
                roles: roles.iter().map(|role| (*role).into()).collect(),
                agent: agent.to_owned(),
                expire_time: None,
            })
            .await
            .unwrap()
            .into_inner();
        (made.secret, made.api_key.unwrap().name)
    }

    /// A letter arrives in a queue; its bytes.
    pub(crate) async fn letter(&self, queue: &str) -> Vec<u8> {
        let number = self.letters.load(Ordering::Relaxed);
        let raw = format!(
            "From: Carla <carla@customer.example>\r\n\
             To: {queue}@shop.example\r\n\
             Subject: Broken lamp {number}\r\n\
             Message-ID: <{number}@customer.example>\r\n\
             \r\n\
             My lamp is broken.\r\n"
        )
        .into_bytes();
        self.arrives(queue, raw.clone()).await;
        raw
    }

    /// These bytes arrive in a queue.
    pub(crate) async fn arrives(&self, queue: &str, raw: Vec<u8>) {
        self.arrives_as(queue, raw, Handling::default()).await;
    }

    /// These bytes arrive in a queue, to be worked on in some way.
    pub(crate) async fn arrives_as(&self, queue: &str, raw: Vec<u8>, handling: Handling) {
        self.arrives_judged(queue, raw, handling, Trust::A).await;
    }

    /// The same from a sender who is proven this well.
    pub(crate) async fn arrives_judged(
        &self,
        queue: &str,
        raw: Vec<u8>,
        handling: Handling,
        trust: Trust,
    ) {
        let number = self.letters.fetch_add(1, Ordering::Relaxed);
        let letter = Ingest {
            targets: vec![Target {
                queue: queue.parse().unwrap(),
                mailbox: format!("{queue}@shop.example"),
            }],
            customer: Correspondent {
                address: "carla@customer.example".to_owned(),
                display_name: "Carla".to_owned(),
            },
            envelope_sender: "carla@customer.example".to_owned(),
            internet_message_id: format!("{number}@customer.example"),
            subject: format!("Broken lamp {number}"),
            size: raw.len() as u64,
            trust,
            trust_reason: "dkim=pass".to_owned(),
            mta_queue_id: "4ABC".to_owned(),
            thread: Thread::New(Origin::SameLetter),
            handling,
            copied: BTreeSet::new(),
            keys: OwnKeys::default(),
            dossier: Box::default(),
            report: None,
            acknowledgement: None,
        };
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&number.to_be_bytes());
        let fingerprint = Fingerprint {
            digest,
            memory: Duration::from_secs(3600),
        };
        let body = Content::Memory(raw.into());
        self.handle
            .ingest(letter, body, vec![fingerprint])
            .await
            .unwrap();
    }
}

pub(crate) fn sign_in(id: &str) -> pb::OpenSessionRequest {
    pb::OpenSessionRequest {
        login: id.to_owned(),
        password: PASSWORD.to_owned(),
        ..pb::OpenSessionRequest::default()
    }
}

pub(crate) fn queues() -> Vec<QueueSettings> {
    [("support", Some(600)), ("sales", None)]
        .into_iter()
        .map(|(id, post_processing)| {
            let mut queue = QueueSettings::new(id.parse().unwrap());
            queue.display_name = format!("The {id} queue");
            queue.post_processing = post_processing.map(Duration::from_secs);
            queue.mailboxes = ["", "-eu"]
                .map(|suffix| Mailbox {
                    address: format!("{id}{suffix}@shop.example"),
                    display_name: "Shop".to_owned(),
                })
                .to_vec();
            queue
        })
        .collect()
}

async fn local(socket: PathBuf) -> Channel {
    let connector = tower::service_fn(move |_| {
        let socket = socket.clone();
        async move { UnixStream::connect(socket).await.map(TokioIo::new) }
    });
    Endpoint::from_static("http://localhost")
        .connect_with_connector(connector)
        .await
        .unwrap()
}

async fn remote(address: SocketAddr) -> Channel {
    Endpoint::try_from(format!("http://{address}"))
        .unwrap()
        .connect()
        .await
        .unwrap()
}

/// A request with a credential.
pub(crate) fn by<T>(credential: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let value = format!("Bearer {credential}").parse().unwrap();
    request.metadata_mut().insert("authorization", value);
    request
}

/// Checks code and reason of an error, in the details and in the trailer; hands out its metadata.
#[track_caller]
pub(crate) fn refused<T>(
    result: Result<T, Status>,
    code: Code,
    reason: &str,
) -> Vec<(String, String)> {
    let Err(status) = result else {
        panic!("not refused, but expected {reason}");
    };
    let Some(info) = status.get_details_error_info() else {
        panic!("no details, but expected {reason}: {status}");
    };
    let trailer = status
        .metadata()
        .get(postroom::grpc::REASON_TRAILER)
        .map(|value| value.to_str().unwrap());
    assert_eq!(
        (status.code(), info.reason.as_str(), trailer),
        (code, reason, Some(reason)),
        "{status}"
    );
    assert_eq!(info.domain, postroom::grpc::DOMAIN);
    assert!(pb::ErrorReason::from_str_name(&format!("ERROR_REASON_{reason}")).is_some());
    info.metadata.into_iter().collect()
}
