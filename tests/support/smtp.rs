//! An SMTP client that says what it is told to say, so that a test can misbehave.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long one reply may take. It is reached only when none will come.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    /// The code.
    pub(crate) code: u16,
    /// All lines without their codes.
    pub(crate) text: String,
}

/// A connection to a server.
#[derive(Debug)]
pub(crate) struct Smtp {
    stream: BufReader<TcpStream>,
}

impl Smtp {
    /// Connects to a port of this machine, and greets.
    pub(crate) async fn connect(port: u16) -> Self {
        let mut smtp = Self::connect_with(port, b"").await;
        smtp.say("EHLO client.example").await;
        smtp
    }

    /// Connects, says `first` before anything else, as a proxy in front does, and reads the
    /// server's greeting.
    pub(crate) async fn connect_with(port: u16, first: &[u8]) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let stream = TcpStream::connect(address).await.unwrap();
        let mut smtp = Self {
            stream: BufReader::new(stream),
        };
        smtp.put(first).await;
        assert_eq!(smtp.reply().await.code, 220);
        smtp
    }

    /// One command, and what was answered.
    pub(crate) async fn say(&mut self, command: &str) -> Reply {
        self.put(format!("{command}\r\n").as_bytes()).await;
        self.reply().await
    }

    /// One message up to the verdict on it, or the first refusal before.
    pub(crate) async fn send(&mut self, from: &str, to: &[&str], message: &[u8]) -> Reply {
        let reply = self.offer(from, to).await;
        if reply.code != 354 {
            self.say("RSET").await;
            return reply;
        }
        self.put_message(message).await;
        self.reply().await
    }

    /// The commands before a message: 354, or the first refusal.
    pub(crate) async fn offer(&mut self, from: &str, to: &[&str]) -> Reply {
        let reply = self.say(&format!("MAIL FROM:<{from}>")).await;
        if reply.code != 250 {
            return reply;
        }
        for to in to {
            let reply = self.say(&format!("RCPT TO:<{to}>")).await;
            if reply.code != 250 {
                return reply;
            }
        }
        self.say("DATA").await
    }

    /// A message with its final dot; no reply is read.
    pub(crate) async fn put_message(&mut self, message: &[u8]) {
        assert!(message.ends_with(b"\r\n"), "the last line has no end");
        let mut stuffed = Vec::with_capacity(message.len() + 5);
        for line in message.split_inclusive(|&byte| byte == b'\n') {
            if line.starts_with(b".") {
                stuffed.push(b'.');
            }
            stuffed.extend_from_slice(line);
        }
        stuffed.extend_from_slice(b".\r\n");
        self.put(&stuffed).await;
    }

    /// The next reply, all lines of it.
    pub(crate) async fn reply(&mut self) -> Reply {
        self.heard().await.expect("a reply, not the end")
    }

    /// The next reply, or nothing if the server is gone.
    pub(crate) async fn heard(&mut self) -> Option<Reply> {
        let mut text = String::new();
        loop {
            let mut line = String::new();
            let read = timeout(PATIENCE, self.stream.read_line(&mut line)).await;
            if read.unwrap().unwrap_or(0) == 0 {
                return None;
            }
            let line = line.trim_end();
            let (code, rest) = line.split_at(3);
            text.push_str(rest.get(1..).unwrap_or_default());
            if !rest.starts_with('-') {
                let code = code.parse().unwrap();
                return Some(Reply { code, text });
            }
            text.push('\n');
        }
    }

    /// Bytes as they are.
    pub(crate) async fn put(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).await.unwrap();
    }
}
