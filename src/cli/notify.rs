//! Words to the service manager: systemd's sd_notify protocol, a datagram a word. Without a service
//! manager that listens, nothing is said.

use std::env;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Who is told how it goes.
#[derive(Debug)]
pub(super) struct Notify(Option<UnixDatagram>);

impl Notify {
    /// The service manager that the environment names. One that cannot be reached is not spoken to:
    /// it will say itself that it heard nothing.
    pub(super) fn from_env() -> Self {
        let Some(name) = env::var_os("NOTIFY_SOCKET") else {
            return Self(None);
        };
        match connect(name.as_encoded_bytes()) {
            Ok(socket) => Self(Some(socket)),
            Err(error) => {
                tracing::warn!("NOTIFY_SOCKET cannot be reached: {error}");
                Self(None)
            }
        }
    }

    /// Mail and agents are served, with what was configured last.
    pub(super) fn ready(&self) {
        self.say("READY=1");
    }

    /// The configuration is read again.
    pub(super) fn reloading(&self) {
        self.say("RELOADING=1");
    }

    /// Nothing new is begun.
    pub(super) fn stopping(&self) {
        self.say("STOPPING=1");
    }

    fn say(&self, word: &str) {
        if let Some(socket) = &self.0
            && let Err(error) = socket.send(word.as_bytes())
        {
            tracing::warn!("the service manager was not told {word}: {error}");
        }
    }
}

/// Connects to a path, or to a name without a file, which begins with `@`.
fn connect(name: &[u8]) -> io::Result<UnixDatagram> {
    use std::os::unix::ffi::OsStrExt as _;

    let address = match name.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(name))?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    Ok(socket)
}
