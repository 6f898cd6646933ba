//! The gateway: all rooms put together, started in order and stopped in order.

mod inherited;
mod reload;

use std::fmt;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Security};
use crate::engine::{self, Engine, Handle};
use crate::grpc::server;
use crate::intake::Intake;
use crate::intake::authenticate::{Authenticator, Resolver, ResolverError};
use crate::intake::routes::Routes;
use crate::milter;
use crate::outbound;
use crate::outbound::dkim;
use crate::outbound::reply::ReplySettings;
use crate::store::{Local, LocalConfig, OpenError, proof};
pub use inherited::{InheritError, Inherited, Socket};
pub use reload::ReloadError;

/// Why the gateway did not start. Nothing was left running.
#[derive(Debug)]
pub enum StartError {
    /// The store could not be opened.
    Store(OpenError),
    /// The store's records could not be read.
    Engine(engine::StartError),
    /// Letters would be with us alone, in a folder that may not keep them.
    Proof(PathBuf, proof::Doubt),
    /// A file named in the configuration could not be used.
    File(PathBuf, io::Error),
    /// The resolver could not be set up.
    Resolver(ResolverError),
    /// TLS towards the MTA could not be set up.
    Tls(outbound::TlsError),
    /// The milter's address could not be listened on.
    Milter(milter::server::BindError),
    /// The control plane's address could not be listened on.
    Control(SocketAddr, io::Error),
    /// A socket that was handed over could not be used.
    Inherited(InheritError),
    /// The configuration was not checked.
    Config(String),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::Engine(error) => error.fmt(f),
            Self::Proof(path, doubt) => write!(
                f,
                "{} is not trusted to keep letters that nobody else has, as queues with mode = \"consume\" or \"split\" need: {doubt}",
                path.display()
            ),
            Self::File(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Resolver(error) => error.fmt(f),
            Self::Tls(error) => error.fmt(f),
            Self::Milter(error) => error.fmt(f),
            Self::Control(address, error) => {
                write!(
                    f,
                    "control.listen = {address} cannot be listened on: {error}"
                )
            }
            Self::Inherited(error) => error.fmt(f),
            Self::Config(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for StartError {}

impl From<OpenError> for StartError {
    fn from(error: OpenError) -> Self {
        Self::Store(error)
    }
}

/// A running gateway. Dropping it without [`Running::stop`] is like a crash: nothing is lost, and
/// the next start takes a little longer.
#[derive(Debug)]
pub struct Running {
    /// Where Postfix finds us; one of the places if there are several.
    pub milter: milter::Address,
    /// Where agents find us.
    pub control: SocketAddr,
    /// Where the administrator finds us.
    pub socket: PathBuf,
    /// The engine.
    pub handle: Handle,
    parts: Parts,
    receiver: Arc<milter::Current<Intake>>,
    /// Whether the file of the control socket is ours to remove.
    owns_socket: bool,
    stop: CancellationToken,
    intake: JoinHandle<milter::server::Drained>,
    submitter: JoinHandle<()>,
    agents: JoinHandle<Result<(), server::ServeError>>,
    engine: JoinHandle<Result<(), String>>,
    store: Arc<Local>,
}

/// What an intake is put together from, now and at each reload.
#[derive(Debug)]
struct Parts {
    /// As it was at the start.
    config: Config,
    resolver: Option<Resolver>,
    handle: Handle,
}

impl Parts {
    /// An intake as the configuration wants it, under the name that we had at the start.
    fn intake(&self, config: &Config) -> Result<Intake, StartError> {
        let name = self.config.gateway.name.get_ref();
        let resolver = (self.resolver.clone())
            .or_else(|| config.authentication.resolver())
            .ok_or_else(|| {
                StartError::Config("authentication.resolver makes no sense".to_owned())
            })?;
        let deadline = Duration::from_secs(config.authentication.timeout_seconds);
        let authenticator =
            Authenticator::new(&resolver, name, deadline).map_err(StartError::Resolver)?;
        let authenticator = authenticator.believing(config.authentication.filters());
        Ok(Intake::new(
            name.clone(),
            self.handle.clone(),
            Routes::new(&config.queues()),
            config.policy(),
            authenticator,
            config.milter.message_bytes_max,
        ))
    }
}

/// Starts the gateway. `resolver` answers in place of the configured one, if given.
///
/// # Errors
///
/// [`StartError`].
pub async fn start(config: &Config, resolver: Option<Resolver>) -> Result<Running, StartError> {
    start_on(config, resolver, Inherited::default()).await
}

/// As [`start`], on sockets that are there already, as far as they are.
///
/// # Errors
///
/// [`StartError`].
pub async fn start_on(
    config: &Config,
    resolver: Option<Resolver>,
    inherited: Inherited,
) -> Result<Running, StartError> {
    let queues = config.queues();
    let name = config.gateway.name.get_ref().clone();
    let store = Arc::new(open(config).await?);
    let mut settings = engine::Settings::new(queues.clone());
    settings.policy.house = config.house();
    settings.figure_days = config.store.figure_days;
    settings.policy.attachment_bytes_max = config.outbound.attachment_bytes_max;
    settings.signed_addresses = config.outbound.signed_addresses;
    settings.dkim = Arc::new(dkim_keys(config)?);
    let (engine, handle, submissions) =
        Engine::start(Arc::<Local>::clone(&store), settings).map_err(StartError::Engine)?;
    let parts = Parts {
        config: config.clone(),
        resolver,
        handle: handle.clone(),
    };
    let receiver = Arc::new(milter::Current::new(Arc::new(parts.intake(config)?)));
    let outbound = Arc::new(outbound_settings(config, &name)?);

    let milters = milter_listeners(config, inherited.milter).await?;
    let address = (milters.first())
        .map(|listener| listener.address().clone())
        .ok_or_else(|| StartError::Config("nothing to listen on for Postfix".to_owned()))?;
    let places: Vec<String> = milters
        .iter()
        .map(|listener| listener.address().to_string())
        .collect();
    let mut options = milter::Options::new(handle.incoming());
    options.connections_max = config.milter.connections_max;

    let socket = config.control_socket();
    let owns_socket = inherited.administrator.is_none();
    let (listeners, control) =
        control_listeners(config, &socket, inherited.agents, inherited.administrator).await?;
    let settings = server::Settings {
        reply: ReplySettings {
            message_id_domain: name,
        },
        reflection: config.control.reflection,
        intake: Some(Arc::clone(&receiver)),
    };

    let stop = CancellationToken::new();
    let intake = tokio::spawn(milter::serve(
        milters,
        Arc::clone(&receiver),
        options,
        stop.child_token(),
    ));
    let submitter = tokio::spawn(outbound::run(
        Arc::new(submissions),
        outbound,
        stop.child_token(),
    ));
    let agents = tokio::spawn(server::serve(
        handle.clone(),
        settings,
        listeners,
        stop.child_token(),
    ));
    let engine = tokio::task::spawn_blocking(move || engine.join().map(drop));
    tracing::info!(
        "listening for Postfix on {}, for agents on {control}, for the administrator on {}",
        places.join(" and "),
        if owns_socket {
            socket.display().to_string()
        } else {
            "an inherited socket".to_owned()
        }
    );
    Ok(Running {
        milter: address,
        control,
        socket,
        handle,
        parts,
        receiver,
        owns_socket,
        stop,
        intake,
        submitter,
        agents,
        engine,
        store,
    })
}

/// Where Postfix connects: what was inherited, or else the configured address.
async fn milter_listeners(
    config: &Config,
    inherited: Vec<Socket>,
) -> Result<Vec<milter::Listener>, StartError> {
    if inherited.is_empty() {
        let address: milter::Address = (config.milter.listen.get_ref().parse())
            .map_err(|_| StartError::Config("milter.listen makes no sense".to_owned()))?;
        let listener = milter::Listener::bind(&address).await;
        return Ok(vec![listener.map_err(StartError::Milter)?]);
    }
    let adopted = inherited.into_iter().map(|socket| match socket {
        Socket::Tcp(listener, _) => milter::Listener::adopt_tcp(listener),
        Socket::Unix(listener) => milter::Listener::adopt_unix(listener),
    });
    (adopted.collect::<io::Result<_>>())
        .map_err(|error| StartError::Inherited(InheritError::Unfit("milter".to_owned(), error)))
}

/// Opens the doors of the control plane that were not inherited. The port may be 0: then the
/// machine chooses one.
async fn control_listeners(
    config: &Config,
    socket: &Path,
    agents: Option<(std::net::TcpListener, SocketAddr)>,
    administrator: Option<std::os::unix::net::UnixListener>,
) -> Result<(server::Listeners, SocketAddr), StartError> {
    let wanted = (agents.as_ref()).map_or(config.control.listen, |(_, address)| *address);
    if let Some(why) = config.control.in_clear_text(wanted) {
        return Err(StartError::Config(why));
    }
    let refused = |error| StartError::Control(wanted, error);
    let tcp = match agents {
        Some((listener, _)) => TcpListener::from_std(listener),
        None => TcpListener::bind(wanted).await,
    };
    let tcp = tcp.map_err(refused)?;
    let address = tcp.local_addr().map_err(refused)?;
    let file =
        |path: &PathBuf| fs::read(path).map_err(|error| StartError::File(path.clone(), error));
    let files = (config.control.tls_certificate.as_ref()).zip(config.control.tls_key.as_ref());
    let certificate = match files {
        Some((chain, key)) => Some(server::Certificate {
            chain: file(chain)?,
            key: file(key)?,
        }),
        None => None,
    };
    let control = match administrator {
        Some(listener) => UnixListener::from_std(listener),
        None => server::bind_control_socket(socket),
    };
    let control = control.map_err(|error| StartError::File(socket.to_owned(), error))?;
    let listeners = server::Listeners {
        tcp: Some((tcp, certificate)),
        control: Some(control),
    };
    Ok((listeners, address))
}

impl Running {
    /// Waits until the gateway can no longer run: the store failed.
    ///
    /// # Errors
    ///
    /// Why.
    pub async fn failed(&mut self) -> String {
        tokio::select! {
            ended = &mut self.engine => match ended {
                Ok(Ok(())) => "the engine stopped".to_owned(),
                Ok(Err(why)) => why,
                Err(error) => error.to_string(),
            },
            ended = &mut self.agents => match ended {
                Ok(Ok(())) => "the control plane stopped".to_owned(),
                Ok(Err(why)) => why.to_string(),
                Err(error) => error.to_string(),
            },
        }
    }

    /// Stops in order: no new mail and no new calls; messages under way get their verdict, calls
    /// their answer; then the engine ends and the store is closed.
    ///
    /// # Errors
    ///
    /// What did not end in order. Nothing is lost by that.
    pub async fn stop(self) -> Result<(), String> {
        self.stop.cancel();
        if let Ok(drained) = self.intake.await {
            tracing::info!("{drained}");
        }
        // A submitter or a control plane that ended badly has said so in the log.
        let _ = self.submitter.await;
        let _ = self.agents.await;
        if self.owns_socket {
            server::remove_control_socket(&self.socket);
        }
        let handle = self.handle.clone();
        let stopping = tokio::task::spawn_blocking(move || handle.stop());
        let _ = stopping.await;
        if !self.engine.is_finished() {
            match self.engine.await {
                Ok(ended) => ended?,
                Err(error) => return Err(error.to_string()),
            }
        }
        let store = self.store;
        match tokio::task::spawn_blocking(move || store.close()).await {
            Ok(closed) => closed.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// Makes sure, where letters will be ours alone, that the disk keeps them as far as that can be
/// asked.
async fn prove(config: &Config) -> Result<(), StartError> {
    if !config.queue.iter().any(|queue| queue.mode.takes_over()) {
        return Ok(());
    }
    let dir = config.gateway.data_dir.clone();
    let folder = dir.clone();
    match tokio::task::spawn_blocking(move || proof::of_sync(&folder)).await {
        Ok(proven) => proven.map_err(|doubt| StartError::Proof(dir, doubt)),
        Err(error) => Err(StartError::Config(error.to_string())),
    }
}

/// The kind of memory that the data folder is in, if that makes a start impossible: some queue
/// takes letters over. Nothing is said of a folder that is not there yet.
#[must_use]
pub fn in_memory(config: &Config) -> Option<&'static str> {
    if config.queue.iter().any(|queue| queue.mode.takes_over()) {
        proof::in_memory(&config.gateway.data_dir).ok().flatten()
    } else {
        None
    }
}

async fn open(config: &Config) -> Result<Local, StartError> {
    let dir = config.gateway.data_dir.clone();
    fs::create_dir_all(&dir).map_err(|error| StartError::File(dir.clone(), error))?;
    prove(config).await?;
    let mut settings = LocalConfig::new(dir.join("store"));
    settings.free_space_floor_bytes = config.store.free_space_floor_mib << 20;
    settings.segment_bytes = config.store.segment_mib << 20;
    let opened = tokio::task::spawn_blocking(move || Local::open(settings)).await;
    let (store, recovery) = match opened {
        Ok(opened) => opened?,
        Err(error) => return Err(StartError::Config(error.to_string())),
    };
    if let Some(why) = &recovery.rebuilt {
        tracing::warn!("the store's index was made afresh from the journal: {why}");
    }
    tracing::info!(
        clean = recovery.clean,
        replayed = recovery.replayed,
        torn_bytes = recovery.torn_bytes,
        orphans = recovery.orphans,
        "the store is open"
    );
    Ok(store)
}

fn outbound_settings(config: &Config, name: &str) -> Result<outbound::Settings, StartError> {
    let outbound = &config.outbound;
    let unclear = || StartError::Config("outbound.server makes no sense".to_owned());
    let (host, port) = (outbound.server.get_ref().rsplit_once(':')).ok_or_else(unclear)?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let tls = || {
        let tls = match &outbound.ca_file {
            Some(file) => outbound::Tls::with_ca_file(host, file),
            None => outbound::Tls::with_system_roots(host),
        };
        tls.map_err(StartError::Tls)
    };
    Ok(outbound::Settings {
        host: host.to_owned(),
        port: port.parse().map_err(|_| unclear())?,
        security: match outbound.security {
            Security::Plain => outbound::Security::Plain,
            Security::Starttls => outbound::Security::StartTls(tls()?),
            Security::Tls => outbound::Security::Implicit(tls()?),
        },
        login: login(config)?,
        ehlo_name: name.to_owned(),
        timeouts: outbound::Timeouts::default(),
        at_once: outbound.at_once,
    })
}

/// The keys with which messages are signed, from their files.
///
/// # Errors
///
/// [`StartError`] if a file cannot be read or holds no usable key.
pub fn dkim_keys(config: &Config) -> Result<dkim::Keys, StartError> {
    let keys = config.dkim.iter().map(|key| {
        let pem = fs::read(&key.key_file)
            .map_err(|error| StartError::File(key.key_file.clone(), error))?;
        dkim::Key::from_pem(key.domain.get_ref(), key.selector.get_ref(), &pem)
            .map_err(|error| StartError::Config(format!("{}: {error}", key.key_file.display())))
    });
    keys.collect::<Result<_, _>>().map(dkim::Keys::new)
}

fn login(config: &Config) -> Result<Option<outbound::Login>, StartError> {
    let outbound = &config.outbound;
    let Some((username, file)) = outbound
        .username
        .clone()
        .zip(outbound.password_file.as_ref())
    else {
        return Ok(None);
    };
    let password = first_line(file).map_err(|error| StartError::File(file.clone(), error))?;
    Ok(Some(outbound::Login { username, password }))
}

fn first_line(file: &Path) -> io::Result<String> {
    let text = fs::read_to_string(file)?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}
