//! Ports of this machine that nobody else is given for as long as a test runs.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpSocket;

/// A port at 127.0.0.1. It is bound and not listened at: Linux then lets a server that sets
/// SO_REUSEADDR, as all of ours do, listen there, and hands it out to nobody else.
#[derive(Debug)]
pub(crate) struct Port(TcpSocket);

impl Port {
    /// Takes one that is free.
    pub(crate) fn take() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        socket.bind(any).unwrap();
        Self(socket)
    }

    /// Its number.
    pub(crate) fn number(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }
}
