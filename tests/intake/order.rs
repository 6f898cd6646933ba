//! What comes mta at the end of a message: the disk, then the answer. Until a letter is handed over
//! to the store its sender may be told to come back; from then on nobody may.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use postroom::desk::{Mailbox, QueueSettings};
use postroom::engine::{Engine, Handle, Settings};
use postroom::intake::authenticate::{Authenticator, Resolver};
use postroom::intake::policy::Policy;
use postroom::intake::routes::Routes;
use postroom::intake::{BUDGET, Intake};
use postroom::milter::negotiation::Offer;
use postroom::milter::wire::{Arguments, Command, Frame, Plain, Reply};
use postroom::milter::{Address, Current, Listener, Options, serve};
use postroom::store::{Store, keys};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::gated::Gated;

/// An intake over a store that can be kept waiting.
struct Slow {
    store: Arc<Gated>,
    engine: Engine,
    handle: Handle,
    socket: PathBuf,
    _folder: tempfile::TempDir,
}

impl Slow {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut queue = QueueSettings::new("support".parse().unwrap());
        queue.mailboxes.push(Mailbox {
            address: "support@shop.example".into(),
            display_name: String::new(),
        });
        let routes = Routes::new(std::slice::from_ref(&queue));
        let store = Arc::new(Gated::default());
        let settings = Settings::new(vec![queue]);
        let (engine, handle, _) = Engine::start(store.clone(), settings).unwrap();
        let authenticator = Authenticator::new(&Resolver::Off, "mx.shop.example", BUDGET);
        let intake = Intake::new(
            "shop.example".into(),
            handle.clone(),
            routes,
            Policy::default(),
            authenticator.unwrap(),
            1 << 20,
        );
        let socket = folder.path().join("socket");
        let address = Address::Unix(socket.clone());
        let listener = Listener::bind(&address).await.unwrap();
        tokio::spawn(serve(
            vec![listener],
            Arc::new(Current::new(Arc::new(intake))),
            Options::new(folder.path()),
            CancellationToken::new(),
        ));
        Self {
            store,
            engine,
            handle,
            socket,
            _folder: folder,
        }
    }

    fn filed(&self) -> usize {
        self.store.scan(keys::OPEN, None, 9).unwrap().len()
    }

    /// A letter to its end.
    async fn letter(&self) -> Mta {
        let mut mta = Mta {
            stream: UnixStream::connect(&self.socket).await.unwrap(),
            arrived: BytesMut::new(),
        };
        mta.say().await;
        mta
    }

    fn end(self) {
        self.handle.stop();
        self.engine.join().unwrap();
    }
}

/// An MTA that has said all it has to say.
struct Mta {
    stream: UnixStream,
    arrived: BytesMut,
}

impl Mta {
    async fn say(&mut self) {
        let field = |name: &'static str, value: &'static str| Command::Header {
            name: Bytes::from_static(name.as_bytes()),
            value: Bytes::from_static(value.as_bytes()),
        };
        let mut bytes = BytesMut::new();
        for command in [
            Command::Negotiate(Offer::POSTFIX),
            Command::Mail(Arguments::new([&b"<ada@ada.example>"[..]])),
            Command::Rcpt(Arguments::new([&b"<support@shop.example>"[..]])),
            Command::Data,
            field("From", " ada@ada.example"),
            field("Message-ID", " <1@ada.example>"),
            Command::EndOfHeaders,
            Command::Body(Bytes::from_static(b"Where is it?\r\n")),
            Command::EndOfMessage(Bytes::new()),
        ] {
            command.encode(&mut bytes);
        }
        self.stream.write_all(&bytes).await.unwrap();
        assert!(matches!(self.reply().await, Reply::Negotiate(_)));
        for _ in 0..3 {
            assert_eq!(self.reply().await, Reply::Plain(Plain::Continue));
        }
    }

    async fn reply(&mut self) -> Reply {
        loop {
            if let Some(frame) = Frame::take(&mut self.arrived).unwrap() {
                return Reply::decode(frame).unwrap();
            }
            let size = self.stream.read_buf(&mut self.arrived).await.unwrap();
            assert_ne!(size, 0, "the filter is gone");
        }
    }

    /// The next reply but signs of life.
    async fn verdict(&mut self) -> Reply {
        loop {
            match self.reply().await {
                Reply::Plain(Plain::Progress) => {}
                reply => return reply,
            }
        }
    }
}

#[tokio::test]
async fn the_answer_waits_for_the_disk_however_long() {
    let slow = Slow::start().await;
    let (arrival, opener) = slow.store.close();
    let mut mta = slow.letter().await;
    let arrived = tokio::task::spawn_blocking(move || arrival.recv());
    arrived.await.unwrap().unwrap();
    // Now the clock jumps from one sign of life to the next.
    tokio::time::pause();
    let began = Instant::now();
    for _ in 0..10 {
        assert_eq!(mta.reply().await, Reply::Plain(Plain::Progress));
    }
    assert!(began.elapsed() > BUDGET);
    assert_eq!(slow.filed(), 0);

    opener.send(()).unwrap();
    let reply = mta.verdict().await;
    assert!(matches!(reply, Reply::InsertHeader { .. }), "{reply:?}");
    assert_eq!(slow.filed(), 1);
    slow.end();
}
