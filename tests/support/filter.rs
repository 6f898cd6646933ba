//! Another filter beside Postroom, which lets all pass until the end of a message and then says
//! what its test wants.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{BufMut, BytesMut};
use postroom::milter::wire::Frame;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Version 6, may quarantine (0x20), and hears of everything.
const ANSWER: [u8; 12] = [0, 0, 0, 6, 0, 0, 0, 0x20, 0, 0, 0, 0];

/// A filter. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Filter {
    address: SocketAddr,
    says: Arc<Mutex<Vec<u8>>>,
    running: JoinHandle<()>,
}

impl Filter {
    /// One that accepts.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let says = Arc::new(Mutex::new(frame(b'a', b"")));
        let words = Arc::clone(&says);
        let running = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(converse(stream, Arc::clone(&words)));
            }
        });
        Self {
            address,
            says,
            running,
        }
    }

    /// As `smtpd_milters` names it.
    pub(crate) fn address(&self) -> String {
        format!("inet:127.0.0.1:{}", self.address.port())
    }

    /// What it says at the end of each message from now on: replies with their data.
    pub(crate) fn say(&self, replies: &[(u8, &[u8])]) {
        let bytes = replies.iter().flat_map(|(code, data)| frame(*code, data));
        *self.says.lock().unwrap_or_else(PoisonError::into_inner) = bytes.collect();
    }
}

impl Drop for Filter {
    fn drop(&mut self) {
        self.running.abort();
    }
}

fn frame(code: u8, data: &[u8]) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    bytes.put_u32(u32::try_from(data.len() + 1).unwrap());
    bytes.put_u8(code);
    bytes.put_slice(data);
    bytes.to_vec()
}

async fn converse(mut stream: TcpStream, says: Arc<Mutex<Vec<u8>>>) {
    let mut arrived = BytesMut::new();
    loop {
        while let Some(Frame { code, .. }) = Frame::take(&mut arrived).unwrap() {
            let answer = match code {
                b'O' => frame(b'O', &ANSWER),
                b'E' => says.lock().unwrap_or_else(PoisonError::into_inner).clone(),
                b'D' | b'A' | b'K' => Vec::new(),
                b'Q' => return,
                _ => frame(b'c', b""),
            };
            if stream.write_all(&answer).await.is_err() {
                return;
            }
        }
        match stream.read_buf(&mut arrived).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
}
