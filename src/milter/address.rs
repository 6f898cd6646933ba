//! Where a filter listens, in all the spellings that administrators are used to.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// A place to listen at or connect to. Printed in Postfix's spelling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// `unix:/path` (Postfix) or `local:/path` (Sendmail).
    Unix(PathBuf),
    /// `inet:host:port` (Postfix), `inet:port@host` (Sendmail) or `tcp:host:port`.
    Inet {
        /// A name or an address, without brackets.
        host: String,
        /// The port; 0 lets the system choose one.
        port: u16,
    },
}

/// A text that is no address. Whoever wrote it has to change it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressError;

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an address: write unix:/path or inet:host:port")
    }
}

impl std::error::Error for AddressError {}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (kind, place) = text.split_once(':').ok_or(AddressError)?;
        match kind {
            "unix" | "local" if !place.is_empty() => Ok(Self::Unix(place.into())),
            "inet" | "inet6" | "tcp" => {
                let (host, port) = match place.split_once('@') {
                    Some((port, host)) => (host, port),
                    None => place.rsplit_once(':').ok_or(AddressError)?,
                };
                let host = match host.strip_prefix('[') {
                    Some(host) => host.strip_suffix(']').ok_or(AddressError)?,
                    None => host,
                };
                if host.is_empty() || host.contains(['[', ']', '@']) {
                    return Err(AddressError);
                }
                Ok(Self::Inet {
                    host: host.to_owned(),
                    port: port.parse().map_err(|_| AddressError)?,
                })
            }
            _ => Err(AddressError),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Inet { host, port } if host.contains(':') => write!(f, "inet:[{host}]:{port}"),
            Self::Inet { host, port } => write!(f, "inet:{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings() {
        for (text, printed) in [
            ("unix:/run/p.sock", "unix:/run/p.sock"),
            ("local:/run/p.sock", "unix:/run/p.sock"),
            ("inet:127.0.0.1:8891", "inet:127.0.0.1:8891"),
            ("inet:8891@localhost", "inet:localhost:8891"),
            ("tcp:localhost:8891", "inet:localhost:8891"),
            ("inet:[::1]:8891", "inet:[::1]:8891"),
            ("inet6:8891@::1", "inet:[::1]:8891"),
            ("inet:8891@[::1]", "inet:[::1]:8891"),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), printed, "{text}");
            assert_eq!(printed.parse(), Ok(address), "{text}");
        }
    }

    #[test]
    fn what_is_no_address() {
        for text in [
            "",
            "/run/p.sock",
            "unix:",
            "inet:",
            "inet:8891",
            "inet::8891",
            "inet:host:",
            "inet:host:http",
            "inet:host:65536",
            "inet:8891@",
            "inet:[::1:8891",
            "http://host:80",
        ] {
            assert_eq!(text.parse::<Address>(), Err(AddressError), "{text:?}");
        }
    }
}
