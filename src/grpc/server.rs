//! The server: listeners, limits, and an orderly stop.
//!
//! One set of services behind up to two doors: a TCP address for clients, and a UNIX socket for
//! those who run the gateway.

use std::fmt;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};
use tokio_stream::wrappers::UnixListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::codec::CompressionEncoding;
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use super::access::AccessLayer;
use super::agents::Agents;
use super::attachments::Attachments;
use super::board::Board;
use super::cases::Cases;
use super::credentials::Credentials;
use super::from_addresses::FromAddresses;
use super::interactions::Interactions;
use super::knowledge::Knowledge;
use super::offers::Offers;
use super::opener::Opener;
use super::password::Passwords;
use super::presences::Presences;
use super::queues::Queues;
use super::sessions::Sessions;
use super::supervision::Supervision;
use super::system::System;
use super::watch::Streams;
use super::{REQUEST_BYTES_MAX, Shared, pb};
use crate::engine::Handle;
use crate::intake::Intake;
use crate::milter::Current;
use crate::outbound::reply::ReplySettings;

/// Calls at the same time on one connection, streams included.
const CALLS_PER_CONNECTION: u32 = 256;

/// How often a silent connection is asked whether anybody is there, and how long it may take to
/// answer. This frees the sockets of vanished peers; whether an agent is there is the lease's to
/// say.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(10));

/// Flow-control windows of one call and of one connection: downloads over long distances need
/// more than the 64 KiB of HTTP/2.
const WINDOWS: (u32, u32) = (1 << 20, 4 << 20);

/// How long calls may take to end once the gateway is stopping.
const DRAIN_PATIENCE: Duration = Duration::from_secs(10);

/// Longest header block of a request, in bytes.
const HEADER_BYTES_MAX: u32 = 16 << 10;

/// How the control plane is set up.
pub struct Settings {
    /// What every reply has in common.
    pub reply: ReplySettings,
    /// Whether clients may ask for the descriptors, which lets tools work without the protos.
    pub reflection: bool,
    /// Who would decide about a letter, for people who want to know what becomes of it. Without
    /// it, `ExplainLetter` fails.
    pub intake: Option<Arc<Current<Intake>>>,
}

/// The doors. At least one should be there, or nobody comes in.
#[derive(Default)]
pub struct Listeners {
    /// A bound TCP address with the certificate to show, if there is one. Without one, everything
    /// travels in the clear: the caller sees to it that this is on loopback only.
    pub tcp: Option<(TcpListener, Option<Certificate>)>,
    /// The control socket; see [`bind_control_socket`].
    pub control: Option<UnixListener>,
}

/// A server certificate with its key.
pub struct Certificate {
    /// The chain, the server's own first, in PEM.
    pub chain: Vec<u8>,
    /// The private key in PEM.
    pub key: Vec<u8>,
}

/// Why serving ended before it was told to.
#[derive(Debug)]
pub enum ServeError {
    /// The certificate or its key cannot be used. The operator's move.
    Certificate(tonic::transport::Error),
    /// The transport failed.
    Transport(tonic::transport::Error),
    /// The descriptors are broken: a bug of the build's.
    Descriptors(tonic_reflection::server::Error),
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate(error) => write!(f, "the certificate cannot be used: {error}"),
            Self::Transport(error) => write!(f, "the gRPC server failed: {error}"),
            Self::Descriptors(error) => write!(f, "the descriptors cannot be read: {error}"),
        }
    }
}

impl std::error::Error for ServeError {}

/// Binds the control socket and closes it to everybody but its owner. A socket left behind by a
/// gateway that is no longer there is replaced.
///
/// The mode is a second lock: whoever gets in is still asked for their uid, and only the
/// gateway's own user and root are anybody.
///
/// # Errors
///
/// Those of the file system, and `AddrInUse` if a gateway answers there.
pub fn bind_control_socket(path: &Path) -> io::Result<UnixListener> {
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => {
            let message = format!("a gateway answers on {} already", path.display());
            return Err(io::Error::new(io::ErrorKind::AddrInUse, message));
        }
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path)?;
        }
        // Nothing there, or something that binding will name.
        Err(_) => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Removes the control socket's file, once [`serve`] has ended.
pub fn remove_control_socket(path: &Path) {
    if let Err(error) = std::fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, path = %path.display(), "the control socket stays behind");
    }
}

/// Serves until `drain` is cancelled, then lets calls end: streams are told to come back, health
/// says that we are leaving, and after ten seconds it is over.
///
/// # Errors
///
/// [`ServeError`].
pub async fn serve(
    handle: Handle,
    settings: Settings,
    listeners: Listeners,
    drain: CancellationToken,
) -> Result<(), ServeError> {
    let shared = Arc::new(Shared {
        handle: handle.clone(),
        reply: settings.reply,
        passwords: Passwords::new(),
        streams: Arc::new(Streams::default()),
        board: Board::default(),
        opener: Opener::new(),
        intake: settings.intake,
        drain: drain.clone(),
    });
    let (health, routes) = routes(&shared, settings.reflection).await?;
    let access = AccessLayer::new(handle);
    let builder = || {
        Server::builder()
            .max_concurrent_streams(CALLS_PER_CONNECTION)
            .http2_keepalive_interval(Some(KEEPALIVE.0))
            .http2_keepalive_timeout(Some(KEEPALIVE.1))
            .http2_max_header_list_size(HEADER_BYTES_MAX)
            .initial_stream_window_size(WINDOWS.0)
            .initial_connection_window_size(WINDOWS.1)
    };

    let tcp = async {
        let Some((listener, certificate)) = listeners.tcp else {
            return Ok(());
        };
        let mut server = builder();
        if let Some(certificate) = certificate {
            let identity = Identity::from_pem(certificate.chain, certificate.key);
            server = server
                .tls_config(ServerTlsConfig::new().identity(identity))
                .map_err(ServeError::Certificate)?;
        }
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        server
            .layer(access.clone())
            .add_routes(routes.clone())
            .serve_with_incoming_shutdown(incoming, drain.cancelled())
            .await
            .map_err(ServeError::Transport)
    };
    let control = async {
        let Some(listener) = listeners.control else {
            return Ok(());
        };
        builder()
            .layer(access.clone())
            .add_routes(routes.clone())
            .serve_with_incoming_shutdown(UnixListenerStream::new(listener), drain.cancelled())
            .await
            .map_err(ServeError::Transport)
    };
    let patience = async {
        drain.cancelled().await;
        set_health(&health, ServingStatus::NotServing).await;
        tokio::time::sleep(DRAIN_PATIENCE).await;
    };
    tokio::select! {
        ended = async { tokio::try_join!(tcp, control) } => ended.map(|_| ()),
        () = patience => {
            tracing::warn!("calls were still running when the gateway stopped");
            Ok(())
        }
    }
}

/// The names of our services, for health.
const SERVICES: [&str; 12] = [
    pb::agent_service_server::SERVICE_NAME,
    pb::attachment_service_server::SERVICE_NAME,
    pb::case_service_server::SERVICE_NAME,
    pb::credential_service_server::SERVICE_NAME,
    pb::from_address_service_server::SERVICE_NAME,
    pb::interaction_service_server::SERVICE_NAME,
    pb::offer_service_server::SERVICE_NAME,
    pb::presence_service_server::SERVICE_NAME,
    pb::queue_service_server::SERVICE_NAME,
    pb::session_service_server::SERVICE_NAME,
    pb::supervisor_service_server::SERVICE_NAME,
    pb::system_service_server::SERVICE_NAME,
];

async fn set_health(health: &HealthReporter, status: ServingStatus) {
    for name in SERVICES.into_iter().chain([""]) {
        health.set_service_status(name, status).await;
    }
}

/// All services, with health and reflection.
async fn routes(
    shared: &Arc<Shared>,
    reflection: bool,
) -> Result<(HealthReporter, Routes), ServeError> {
    /// A service with the limits that hold for all of them.
    macro_rules! limited {
        ($module:ident :: $server:ident, $service:expr) => {
            pb::$module::$server::new($service)
                .max_decoding_message_size(REQUEST_BYTES_MAX)
                .accept_compressed(CompressionEncoding::Gzip)
                .send_compressed(CompressionEncoding::Gzip)
        };
    }
    let (health, health_service) = tonic_health::server::health_reporter();
    set_health(&health, ServingStatus::Serving).await;
    let share = || Arc::clone(shared);
    let mut routes = Routes::builder();
    routes
        .add_service(health_service)
        .add_service(limited!(
            agent_service_server::AgentServiceServer,
            Agents(share())
        ))
        .add_service(limited!(
            attachment_service_server::AttachmentServiceServer,
            Attachments(share())
        ))
        .add_service(limited!(
            case_service_server::CaseServiceServer,
            Cases(share())
        ))
        .add_service(limited!(
            credential_service_server::CredentialServiceServer,
            Credentials(share())
        ))
        .add_service(limited!(
            from_address_service_server::FromAddressServiceServer,
            FromAddresses(share())
        ))
        .add_service(limited!(
            interaction_service_server::InteractionServiceServer,
            Interactions(share())
        ))
        .add_service(limited!(
            knowledge_service_server::KnowledgeServiceServer,
            Knowledge(share())
        ))
        .add_service(limited!(
            offer_service_server::OfferServiceServer,
            Offers(share())
        ))
        .add_service(limited!(
            presence_service_server::PresenceServiceServer,
            Presences(share())
        ))
        .add_service(limited!(
            queue_service_server::QueueServiceServer,
            Queues(share())
        ))
        .add_service(limited!(
            session_service_server::SessionServiceServer,
            Sessions(share())
        ))
        .add_service(limited!(
            supervisor_service_server::SupervisorServiceServer,
            Supervision(share())
        ))
        .add_service(limited!(
            system_service_server::SystemServiceServer,
            System(share())
        ));
    if reflection {
        let descriptors = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(pb::DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
        };
        routes
            .add_service(descriptors().build_v1().map_err(ServeError::Descriptors)?)
            .add_service(
                descriptors()
                    .build_v1alpha()
                    .map_err(ServeError::Descriptors)?,
            );
    }
    Ok((health, routes.routes()))
}
