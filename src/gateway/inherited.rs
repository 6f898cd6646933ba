//! Inherited sockets: those that a service manager bound for us and hands over by number and name
//! (systemd's `LISTEN_FDS` and `LISTEN_FDNAMES`). They outlive us, so a restart turns no MTA away.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;

use listenfd::ListenFd;

/// A socket that somebody else bound, and whose file is not ours to remove.
#[derive(Debug)]
pub enum Socket {
    /// A TCP address.
    Tcp(TcpListener, SocketAddr),
    /// A path.
    Unix(UnixListener),
}

/// What was handed over, by what it is for. Which is which is told by the names, not by the order.
#[derive(Debug, Default)]
pub struct Inherited {
    /// Where Postfix connects, in place of `milter.listen`; there may be several.
    pub milter: Vec<Socket>,
    /// Where agents connect, in place of `control.listen`.
    pub agents: Option<(TcpListener, SocketAddr)>,
    /// Where the administrator connects, in place of `control.socket`.
    pub administrator: Option<UnixListener>,
}

/// What was handed over cannot be used. The operator's move.
#[derive(Debug)]
pub enum InheritError {
    /// A name that says nothing to us.
    Unknown(String),
    /// A second one where there can be one.
    Twice(&'static str),
    /// Not a socket that listens for connections.
    Unfit(String, io::Error),
}

impl fmt::Display for InheritError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name) => write!(
                f,
                "the service manager hands over a socket named {name:?}: write \
                 FileDescriptorName=milter or FileDescriptorName=control in its unit"
            ),
            Self::Twice(what) => write!(f, "the service manager hands over {what} twice"),
            Self::Unfit(name, error) => write!(
                f,
                "the socket {name:?} from the service manager cannot be used: {error}"
            ),
        }
    }
}

impl std::error::Error for InheritError {}

impl Inherited {
    /// Takes what the environment tells of, and takes the telling out of it: so once, and before
    /// there are threads.
    ///
    /// # Errors
    ///
    /// [`InheritError`].
    pub fn from_env() -> Result<Self, InheritError> {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':');
        let mut handed = ListenFd::from_env();
        let mut inherited = Self::default();
        for place in 0..handed.len() {
            let name = names.next().unwrap_or_default();
            let socket = take(&mut handed, place)
                .map_err(|error| InheritError::Unfit(name.to_owned(), error))?;
            match (name, socket) {
                ("milter", socket) => inherited.milter.push(socket),
                ("control", Socket::Tcp(listener, address)) => {
                    if inherited.agents.replace((listener, address)).is_some() {
                        return Err(InheritError::Twice("a TCP socket named control"));
                    }
                }
                ("control", Socket::Unix(listener)) => {
                    if inherited.administrator.replace(listener).is_some() {
                        return Err(InheritError::Twice("a UNIX socket named control"));
                    }
                }
                (name, _) => return Err(InheritError::Unknown(name.to_owned())),
            }
        }
        Ok(inherited)
    }
}

/// Takes the socket at one place, of whichever kind it is.
fn take(handed: &mut ListenFd, place: usize) -> io::Result<Socket> {
    let missing = || io::Error::from(io::ErrorKind::NotFound);
    if let Ok(listener) = handed.take_unix_listener(place) {
        let listener = listener.ok_or_else(missing)?;
        listener.set_nonblocking(true)?;
        return Ok(Socket::Unix(listener));
    }
    let listener = handed.take_tcp_listener(place)?.ok_or_else(missing)?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    Ok(Socket::Tcp(listener, address))
}
