//! The way to a running gateway's control plane, as the arguments name it.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use postroom::grpc::client::{self, Credential, Credited, Place};
use postroom::grpc::{REASON_TRAILER, json};
use prost::Message;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::check;
use super::failure::{Exit, Failure};
use super::page::{Page, plain};

/// Longest line that is read as a key or a password, in bytes; the gateway takes no longer ones.
const SECRET_BYTES_MAX: u64 = 1024;

/// Where the gateway is. Whoever is root or the gateway's own user needs no key on its socket.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub(super) struct Door {
    /// The gateway: unix:PATH of its control socket, or HOST:PORT of its gRPC server.
    #[arg(long, value_name = "ADDR", required_unless_present_any = ["socket", "config"])]
    server: Option<Place>,
    /// The gateway's control socket.
    #[arg(long, value_name = "PATH", conflicts_with = "server")]
    socket: Option<PathBuf>,
    /// The gateway's configuration file, which names its control socket.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["server", "socket"])]
    config: Option<PathBuf>,
    /// File whose first line is an API key. It travels in clear text to HOST:PORT.
    #[arg(long, value_name = "F")]
    key_file: Option<PathBuf>,
}

/// The same, for a command that needs it for one of its uses only.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub(super) struct OptionalDoor {
    /// The gateway: unix:PATH of its control socket, or HOST:PORT of its gRPC server.
    #[arg(long, value_name = "ADDR")]
    server: Option<Place>,
    /// The gateway's control socket.
    #[arg(long, value_name = "PATH", conflicts_with = "server")]
    socket: Option<PathBuf>,
    /// The gateway's configuration file, which names its control socket.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["server", "socket"])]
    config: Option<PathBuf>,
    /// File whose first line is an API key. It travels in clear text to HOST:PORT.
    #[arg(long, value_name = "F")]
    key_file: Option<PathBuf>,
}

impl OptionalDoor {
    /// The gateway's configuration file, if it was named.
    pub(super) fn config(&self) -> Option<&Path> {
        self.config.as_deref()
    }

    /// The way to the gateway, as far as it was named.
    pub(super) fn door(&self) -> Door {
        let Self {
            server,
            socket,
            config,
            key_file,
        } = self.clone();
        Door {
            server,
            socket,
            config,
            key_file,
        }
    }
}

impl Door {
    /// Connects, with the key if there is one.
    pub(super) async fn open(&self, page: Page) -> Result<Credited, Failure> {
        let credential = match &self.key_file {
            Some(file) => key(file)?,
            None => Credential::none(),
        };
        let place = self.place(page)?;
        let channel = connect(&place).await?;
        Ok(InterceptedService::new(channel, credential))
    }

    fn place(&self, page: Page) -> Result<Place, Failure> {
        if let Some(file) = &self.config {
            return Ok(Place::Socket(check::load(file, page)?.control_socket()));
        }
        let socket = self.socket.clone().map(Place::Socket);
        socket.or_else(|| self.server.clone()).ok_or_else(|| {
            Failure::new(Exit::Usage, "where is the gateway?")
                .advise("Name it with --config FILE, --socket PATH or --server ADDR.")
        })
    }
}

/// Connects to a gateway.
pub(super) async fn connect(place: &Place) -> Result<Channel, Failure> {
    client::connect(place).await.map_err(|error| {
        let mut why = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(error) = source {
            why = error.to_string();
            source = error.source();
        }
        let advice = match place {
            Place::Socket(_) => {
                "Is the gateway running, and is this its user's or root's shell? `control.socket` \
                 in its configuration names the socket."
            }
            Place::Host(_) => {
                "Is the gateway running, and without TLS at this address? `control.listen` in its \
                 configuration names it; on the same machine --config FILE is the safer way."
            }
        };
        Failure::new(Exit::Unavailable, format!("{place}: {why}")).advise(advice)
    })
}

/// What the gateway answered instead of doing what it was asked.
pub(super) fn refused(status: &Status) -> Failure {
    // A status with a cause was made on this side: the gateway's own come without one.
    if let Some(cause) = std::error::Error::source(status) {
        let what = format!("the connection to the gateway was lost: {cause}");
        return Failure::new(Exit::Unavailable, what)
            .advise("Is the gateway still running? Its log says why it stopped.");
    }
    let reason = status.metadata().get(REASON_TRAILER);
    let reason = reason.and_then(|reason| reason.to_str().ok());
    let exit = match status.code() {
        Code::InvalidArgument => Exit::Usage,
        Code::Internal | Code::Unknown | Code::Unimplemented | Code::DataLoss => Exit::Software,
        _ => Exit::Unavailable,
    };
    let code = format!("{:?}", status.code());
    let what = format!("{} ({})", plain(status.message()), reason.unwrap_or(&code));
    let failure = Failure::new(exit, what);
    match status.code() {
        Code::Unauthenticated => failure.advise(
            "Use the control socket as root or the gateway's own user, or a key with --key-file.",
        ),
        Code::PermissionDenied => failure.advise(
            "`postroom key create` on the control socket makes a key with the role that is needed.",
        ),
        _ => failure,
    }
}

/// A part of an answer that is always there.
pub(super) fn present<T>(part: Option<T>, what: &str) -> Result<T, Failure> {
    part.ok_or_else(|| {
        Failure::new(
            Exit::Software,
            format!("the gateway answered without {what}"),
        )
    })
}

/// A message in JSON on the page.
pub(super) fn print(page: Page, name: &str, message: &impl Message) -> Result<(), Failure> {
    match json::line(name, message) {
        Ok(line) => page.line(line),
        Err(error) => Err(Failure::new(Exit::Software, error.to_string())),
    }
}

fn key(file: &Path) -> Result<Credential, Failure> {
    let opened = std::fs::File::open(file);
    let key = opened
        .and_then(first_line)
        .map_err(|error| Failure::file(file.display(), &error))?;
    Credential::bearer(&key)
        .filter(|_| !key.is_empty())
        .ok_or_else(|| Failure::new(Exit::Usage, format!("{}: no key in it", file.display())))
}

/// The first line of a source, without its end.
pub(super) fn first_line(source: impl Read) -> io::Result<String> {
    let mut text = String::new();
    source
        .take(SECRET_BYTES_MAX + 2)
        .read_to_string(&mut text)?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}
