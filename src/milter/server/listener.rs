//! Where MTAs connect: UNIX sockets and TCP.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::net::sockopt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::milter::address::Address;

/// Who may connect to a UNIX socket unless something else is said: owner and group. The group is
/// how Postfix is let in.
pub const SOCKET_MODE: u32 = 0o660;

/// How long a TCP connection is quiet before the system asks whether the peer is still there.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(300);

/// A place where MTAs connect. A UNIX socket's file is removed when the listener goes.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    address: Address,
    /// Only there to be dropped.
    _file: Option<SocketFile>,
}

#[derive(Debug)]
enum Socket {
    Unix(UnixListener),
    Tcp(TcpListener),
}

/// A connection of either kind.
pub(super) enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream, SocketAddr),
}

/// Who is at the other end, for the log.
impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(_) => f.write_str("a local process"),
            Self::Tcp(_, remote) => remote.fmt(f),
        }
    }
}

/// Why there is nothing to listen on. The operator's move.
#[derive(Debug)]
pub enum BindError {
    /// Another process answers at this address.
    InUse(Address),
    /// The path exists and is no socket: not ours to remove.
    NotASocket(PathBuf),
    /// The system refused.
    Io(Address, io::Error),
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse(address) => write!(
                f,
                "cannot listen on {address}: another process answers there; stop it or choose \
                 another address"
            ),
            Self::NotASocket(path) => write!(
                f,
                "cannot listen on unix:{0}: {0} exists and is not a socket; move it away or \
                 choose another path",
                path.display()
            ),
            Self::Io(address, error) => write!(f, "cannot listen on {address}: {error}"),
        }
    }
}

impl std::error::Error for BindError {}

impl Listener {
    /// Listens with the default [`SOCKET_MODE`].
    pub async fn bind(address: &Address) -> Result<Self, BindError> {
        Self::bind_with_mode(address, SOCKET_MODE).await
    }

    /// Listens; `mode` is that of a UNIX socket's file. A socket file that a crash left behind is
    /// replaced, one at which somebody answers is not.
    pub async fn bind_with_mode(address: &Address, mode: u32) -> Result<Self, BindError> {
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::AddrInUse => BindError::InUse(address.clone()),
            _ => BindError::Io(address.clone(), error),
        };
        match address {
            Address::Unix(path) => {
                remove_stale(path, address).await?;
                let listener = UnixListener::bind(path).map_err(failed)?;
                let file = SocketFile::adopt(path).map_err(failed)?;
                std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).map_err(failed)?;
                Ok(Self {
                    socket: Socket::Unix(listener),
                    address: address.clone(),
                    _file: Some(file),
                })
            }
            Address::Inet { host, port } => {
                let listener = TcpListener::bind((host.as_str(), *port)).await;
                listener.and_then(Self::tcp).map_err(failed)
            }
        }
    }

    /// Listens on a UNIX socket that somebody else bound; its file is theirs.
    pub fn adopt_unix(listener: std::os::unix::net::UnixListener) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let path = address.as_pathname().unwrap_or(Path::new("unnamed"));
        Ok(Self {
            address: Address::Unix(path.to_owned()),
            socket: Socket::Unix(UnixListener::from_std(listener)?),
            _file: None,
        })
    }

    /// Listens on a TCP address that somebody else bound.
    pub fn adopt_tcp(listener: std::net::TcpListener) -> io::Result<Self> {
        Self::tcp(TcpListener::from_std(listener)?)
    }

    fn tcp(listener: TcpListener) -> io::Result<Self> {
        let bound = listener.local_addr()?;
        Ok(Self {
            socket: Socket::Tcp(listener),
            address: Address::Inet {
                host: bound.ip().to_string(),
                port: bound.port(),
            },
            _file: None,
        })
    }

    /// Where it listens; the port is the real one if the system chose it.
    #[must_use]
    pub const fn address(&self) -> &Address {
        &self.address
    }

    pub(super) async fn accept(&self) -> io::Result<Stream> {
        match &self.socket {
            Socket::Unix(listener) => Ok(Stream::Unix(listener.accept().await?.0)),
            Socket::Tcp(listener) => {
                let (stream, remote) = listener.accept().await?;
                // A peer that has gone already makes these fail, and the first read says so.
                // Our answers are single writes that nothing follows: do not hold them back.
                let _ = stream.set_nodelay(true);
                // An MTA whose machine vanished would hold its place until the idle timer.
                let _ = sockopt::set_socket_keepalive(&stream, true);
                let _ = sockopt::set_tcp_keepidle(&stream, KEEPALIVE_IDLE);
                Ok(Stream::Tcp(stream, remote))
            }
        }
    }
}

/// Removes a socket file at which nobody answers.
async fn remove_stale(path: &Path, address: &Address) -> Result<(), BindError> {
    let failed = |error| BindError::Io(address.clone(), error);
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(BindError::NotASocket(path.to_owned()));
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(failed)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed(error)),
        Ok(_) => Err(BindError::InUse(address.clone())),
    }
}

/// The file of our socket. Removed at the end, unless another process has put its own there.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    fn adopt(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            identity: identity(path)?,
        })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|identity| identity == self.identity) {
            // What cannot be removed is found stale at the next start.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = std::fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

/// A stream of bytes from an MTA, with what its kind needs after each read.
pub(super) trait Transport: AsyncRead + AsyncWrite + Unpin + Send {
    /// Called after bytes were read.
    fn after_read(&self) {}
}

impl Transport for UnixStream {}

impl Transport for TcpStream {
    /// The MTA writes several small packets that we do not answer. The last waits for our
    /// acknowledgement, which the kernel delays by 40 ms unless told not to; and it forgets that
    /// with every acknowledgement.
    fn after_read(&self) {
        // Without it we are slow, not wrong.
        let _ = sockopt::set_tcp_quickack(self, true);
    }
}
