//! The client's side, for our own commands: a channel to a gateway, and the credential on every
//! call.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How often a silent stream is asked whether the gateway is still there.
const KEEPALIVE: Duration = Duration::from_secs(20);

/// Where a gateway's control plane is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The control socket, on the same machine.
    Socket(PathBuf),
    /// A host and a port, in clear text.
    Host(String),
}

/// A text that is no place. Whoever wrote it has to change it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlaceError;

impl fmt::Display for PlaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a gateway's address: write unix:/path/control.sock or host:port")
    }
}

impl std::error::Error for PlaceError {}

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        if let Some(path) = text.strip_prefix("unix:") {
            return match path {
                "" => Err(PlaceError),
                path => Ok(Self::Socket(path.into())),
            };
        }
        let (host, port) = text.rsplit_once(':').ok_or(PlaceError)?;
        let clear = !host.is_empty() && !host.contains(['/', '@', '?', '#']);
        if clear && port.parse::<u16>().is_ok() {
            Ok(Self::Host(text.to_owned()))
        } else {
            Err(PlaceError)
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => write!(f, "unix:{}", path.display()),
            Self::Host(host) => f.write_str(host),
        }
    }
}

/// A channel that sends a credential with every call.
pub type Credited = InterceptedService<Channel, Credential>;

/// What a caller proves themselves with, if they have it: a session token or the secret of an API
/// key.
#[derive(Clone, Default)]
pub struct Credential(Option<MetadataValue<Ascii>>);

impl Credential {
    /// No credential: enough on the control socket, and for signing in.
    #[must_use]
    pub const fn none() -> Self {
        Self(None)
    }

    /// This token or secret; `None` if it has characters that a header cannot carry.
    #[must_use]
    pub fn bearer(secret: &str) -> Option<Self> {
        let mut value: MetadataValue<Ascii> = format!("Bearer {secret}").parse().ok()?;
        value.set_sensitive(true);
        Some(Self(Some(value)))
    }
}

impl Interceptor for Credential {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request
                .metadata_mut()
                .insert("authorization", value.clone());
        }
        Ok(request)
    }
}

/// Connects to a gateway.
///
/// # Errors
///
/// The transport's, when nobody answers there.
pub async fn connect(place: &Place) -> Result<Channel, tonic::transport::Error> {
    let tuned = |endpoint: Endpoint| {
        endpoint
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEPALIVE)
    };
    match place {
        Place::Socket(path) => {
            let path = path.clone();
            let connector = tower::service_fn(move |_| {
                let path = path.clone();
                async move { UnixStream::connect(path).await.map(TokioIo::new) }
            });
            // The URI is for the `authority` header only; the connector knows the way.
            tuned(Endpoint::from_static("http://localhost"))
                .connect_with_connector(connector)
                .await
        }
        Place::Host(host) => {
            let endpoint = Endpoint::try_from(format!("http://{host}"))?;
            tuned(endpoint).connect().await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        for text in [
            "unix:/run/postroom/control.sock",
            "127.0.0.1:8892",
            "[::1]:8892",
            "mx:1",
        ] {
            assert_eq!(text.parse::<Place>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "unix:",
            "/run/control.sock",
            "mx",
            ":1",
            "mx:http",
            "http://mx:1",
            "a@b:1",
        ] {
            assert_eq!(text.parse::<Place>(), Err(PlaceError), "{text:?}");
        }
    }

    #[test]
    fn credentials_fit_into_a_header() {
        assert!(Credential::bearer("prk_abc").is_some());
        assert!(Credential::bearer("a\nb").is_none());
    }
}
