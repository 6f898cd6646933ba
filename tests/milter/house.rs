//! A server with a receiver that the test holds in its hand, and connections to it.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use postroom::content::Content;
use postroom::milter::client::{Caller, Client, Duplex, Letter, Mail, Said};
use postroom::milter::negotiation::Offer;
use postroom::milter::server::Drained;
use postroom::milter::wire::{Arguments, Command, Frame, Plain, Reply};
use postroom::milter::{
    Address, Arrival, Current, Envelope, FieldName, Listener, Options, Receiver, Recipient,
    RecipientVerdict, SmtpReply, Tag, Verdict, plan_tags, removals, serve,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) const TAG: FieldName = FieldName::new("X-Tag");

/// The largest message that the test servers take.
pub(crate) const MESSAGE_BYTES_MAX: u64 = 2_000_000;

/// A receiver that tells the test what it was shown, and answers as the subject wants.
pub(crate) struct House {
    pub(crate) shown: mpsc::UnboundedSender<(String, Vec<u8>)>,
    /// Verdicts that may be given; a test that wants to wait in between starts with none.
    pub(crate) verdicts: Semaphore,
}

impl Receiver for House {
    fn message_bytes_max(&self) -> u64 {
        MESSAGE_BYTES_MAX
    }

    fn sender(&self, envelope: &Envelope) -> Result<(), SmtpReply> {
        if envelope.sender.starts_with(b"banned@") {
            return Err(SmtpReply::new(550, 7, 1, "Not from you"));
        }
        Ok(())
    }

    fn recipient(&self, _: &Envelope, recipient: &Recipient) -> RecipientVerdict {
        match &recipient.address[..] {
            b"nobody@shop.example" => {
                RecipientVerdict::Refuse(SmtpReply::new(550, 1, 1, "100% unknown here"))
            }
            address if address.ends_with(b"@shop.example") => RecipientVerdict::Ours,
            _ => RecipientVerdict::Foreign,
        }
    }

    async fn message(&self, arrival: Arrival) -> Verdict {
        let addresses: Vec<_> = arrival
            .recipients
            .iter()
            .map(|recipient| String::from_utf8_lossy(&recipient.address).into_owned())
            .collect();
        let bytes = match &arrival.content {
            Content::Memory(bytes) => bytes.to_vec(),
            Content::File(file) => std::fs::read(file.path()).unwrap(),
        };
        assert_eq!(bytes.len() as u64, arrival.content.len());
        self.shown.send((addresses.join(","), bytes)).unwrap();
        self.verdicts.acquire().await.unwrap().forget();
        let subject = arrival
            .headers
            .iter()
            .find(|header| header.name == "Subject");
        match subject.map(|header| &header.value[..]) {
            Some(b" reject") => Verdict::Refuse(SmtpReply::new(554, 6, 0, "No")),
            Some(b" discard") => Verdict::Discard,
            subject => {
                let mut edits =
                    plan_tags(&arrival.headers, &[TAG], &[Tag::new(TAG, "t1").unwrap()]);
                if subject == Some(b" split") {
                    edits.extend(removals(&arrival.recipients));
                }
                Verdict::Accept { edits }
            }
        }
    }
}

/// A running server and what the test holds of it.
pub(crate) struct Server {
    pub(crate) address: Address,
    pub(crate) house: Arc<House>,
    pub(crate) receiver: Arc<Current<House>>,
    pub(crate) shown: mpsc::UnboundedReceiver<(String, Vec<u8>)>,
    pub(crate) stop: CancellationToken,
    pub(crate) running: JoinHandle<Drained>,
    folder: tempfile::TempDir,
}

impl Server {
    pub(crate) async fn start(tcp: bool, change: impl FnOnce(&mut Options)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = if tcp {
            "inet:127.0.0.1:0".parse().unwrap()
        } else {
            Address::Unix(folder.path().join("socket"))
        };
        let listener = Listener::bind(&address).await.unwrap();
        let address = listener.address().clone();
        let spool = folder.path().join("spool");
        std::fs::create_dir(&spool).unwrap();
        let mut options = Options::new(spool);
        change(&mut options);
        let (shown_to, shown) = mpsc::unbounded_channel();
        let house = Arc::new(House {
            shown: shown_to,
            verdicts: Semaphore::new(100_000),
        });
        let receiver = Arc::new(Current::new(Arc::clone(&house)));
        let stop = CancellationToken::new();
        let running = tokio::spawn(serve(
            vec![listener],
            Arc::clone(&receiver),
            options,
            stop.clone(),
        ));
        Self {
            address,
            house,
            receiver,
            shown,
            stop,
            running,
            folder,
        }
    }

    /// From now on each verdict waits for the test's word.
    pub(crate) fn hold(&self) {
        self.house.verdicts.forget_permits(100_000);
    }

    pub(crate) fn release(&self) {
        self.house.verdicts.add_permits(1);
    }

    pub(crate) fn spooled(&self) -> usize {
        std::fs::read_dir(self.folder.path().join("spool"))
            .unwrap()
            .count()
    }

    pub(crate) async fn raw(&self) -> Raw {
        let stream: Box<dyn Duplex> = match &self.address {
            Address::Unix(path) => Box::new(UnixStream::connect(path).await.unwrap()),
            Address::Inet { host, port } => {
                let stream = TcpStream::connect((host.as_str(), *port)).await.unwrap();
                stream.set_nodelay(true).unwrap();
                Box::new(stream)
            }
        };
        Raw {
            stream,
            arrived: BytesMut::new(),
        }
    }

    pub(crate) async fn client(&self) -> Client<Box<dyn Duplex>> {
        Client::connect(&self.address, Offer::POSTFIX)
            .await
            .unwrap()
    }

    /// The server still does its work.
    pub(crate) async fn assert_alive(&mut self) {
        let mut client = self.client().await;
        client.open(Caller::default()).await.unwrap();
        let outcome = client.send(&mail("<support@shop.example>", "alive")).await;
        assert_eq!(outcome.unwrap().verdict, Said::Accept);
        assert!(self.shown.recv().await.is_some());
        assert!(
            self.shown.try_recv().is_err(),
            "an unfinished message was shown"
        );
    }
}

/// A connection on which anything can be said.
pub(crate) struct Raw {
    pub(crate) stream: Box<dyn Duplex>,
    pub(crate) arrived: BytesMut,
}

impl Raw {
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        // A server that has already closed is the business of the next read.
        let _ = self.stream.write_all(bytes).await;
    }

    pub(crate) async fn say(&mut self, commands: &[Command]) {
        let mut bytes = BytesMut::new();
        for command in commands {
            command.encode(&mut bytes);
        }
        self.write(&bytes).await;
    }

    /// The next frame as bytes without the length; `None` at the end.
    pub(crate) async fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = Frame::take(&mut self.arrived).unwrap() {
                return Some(frame);
            }
            // What a server had not read when it closed makes TCP reset the connection.
            match self.stream.read_buf(&mut self.arrived).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    pub(crate) async fn reply(&mut self) -> Option<Reply> {
        Some(Reply::decode(self.frame().await?).unwrap())
    }

    pub(crate) async fn expect(&mut self, plains: &[Plain]) {
        for &plain in plains {
            assert_eq!(self.reply().await, Some(Reply::Plain(plain)));
        }
    }

    /// Negotiates and gets a message for a queue as far as DATA.
    pub(crate) async fn until_data(&mut self) {
        self.say(&[
            Command::Negotiate(Offer::POSTFIX),
            Command::Mail(Arguments::new([&b"<a@example.org>"[..]])),
            Command::Rcpt(Arguments::new([&b"<support@shop.example>"[..]])),
            Command::Data,
        ])
        .await;
        assert!(matches!(self.reply().await, Some(Reply::Negotiate(_))));
        self.expect(&[Plain::Continue; 3]).await;
    }

    pub(crate) async fn until_data_again(&mut self) {
        self.say(&[
            Command::Mail(Arguments::new([&b"<a@example.org>"[..]])),
            Command::Rcpt(Arguments::new([&b"<support@shop.example>"[..]])),
            Command::Data,
        ])
        .await;
        self.expect(&[Plain::Continue; 3]).await;
    }
}

pub(crate) fn mail(recipient: &str, subject: &str) -> Mail {
    let letter = format!("Subject: {subject}\r\nFrom: a@example.org\r\n\r\ntext\r\n");
    Mail {
        sender: Bytes::from_static(b"<a@example.org>"),
        parameters: Vec::new(),
        recipients: vec![Bytes::copy_from_slice(recipient.as_bytes())],
        queue_id: "4ZbC1x".into(),
        letter: Letter::parse(&Bytes::from(letter)),
    }
}

pub(crate) fn body(len: usize) -> Bytes {
    Bytes::from(vec![b'x'; len])
}
