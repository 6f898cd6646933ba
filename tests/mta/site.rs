//! A site: Postroom, the Postfix in front of it with a tap between the two, and the host behind.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use postroom::outbound::sink::{Mail, Sink};

use crate::support::delivered::{Tags, fields, tags};
use crate::support::floor::{self, Filed};
use crate::support::gateway::{Gateway, Settings};
use crate::support::postfix::Postfix;
use crate::support::smtp::{Reply, Smtp};
use crate::support::tap::Tap;

/// How long a letter may take to come out. It is reached only when it never will.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const ANNA: &str = "anna@customer.example";
pub(crate) const SUPPORT: &str = "support@shop.example";

/// What a site is to be like, before it is opened.
pub(crate) struct Plan {
    pub(crate) settings: Settings,
    pub(crate) postfix: Postfix,
    /// Postroom, as `smtpd_milters` names it.
    pub(crate) postroom: String,
}

pub(crate) struct Site {
    // In the order in which they are ended.
    pub(crate) postfix: Postfix,
    pub(crate) gateway: Option<Gateway>,
    pub(crate) tap: Tap,
    pub(crate) sink: Sink,
    pub(crate) settings: Settings,
    _folder: tempfile::TempDir,
}

impl Site {
    pub(crate) async fn open(change: impl FnOnce(&mut Plan)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings::new(folder.path());
        let tap = Tap::start(&settings.milter()).await;
        let sink = Sink::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await;
        let sink = sink.unwrap();
        let mut plan = Plan {
            settings,
            postfix: Postfix::new(),
            postroom: tap.address().to_string(),
        };
        change(&mut plan);
        let Plan {
            mut settings,
            postfix,
            ..
        } = plan;
        settings.outbound = format!("127.0.0.1:{}", postfix.submission.number());
        postfix.configure(&tap.address(), sink.addr());
        let gateway = Gateway::start(&settings).await;
        postfix.start();
        Self {
            postfix,
            gateway: Some(gateway),
            tap,
            sink,
            settings,
            _folder: folder,
        }
    }

    pub(crate) async fn client(&self) -> Smtp {
        Smtp::connect(self.postfix.smtp.number()).await
    }

    /// Postroom's process is gone when this returns.
    pub(crate) fn kill(&mut self) {
        self.gateway.take().unwrap().kill();
    }

    /// Postroom runs again.
    pub(crate) async fn start(&mut self) {
        self.gateway = Some(Gateway::start(&self.settings).await);
    }

    /// The next letter that comes out.
    pub(crate) async fn next(&self) -> Mail {
        match tokio::time::timeout(PATIENCE, self.sink.next()).await {
            Ok(mail) => mail,
            Err(_) => panic!("nothing comes out:\n{}", self.postfix.log()),
        }
    }

    /// Sends a letter that must be taken, and tells how it came out.
    pub(crate) async fn deliver(&self, from: &str, to: &[&str], letter: &str) -> Mail {
        let mut client = self.client().await;
        let reply = client.send(from, to, &bytes(letter)).await;
        assert_eq!(reply.code, 250, "{reply:?}\n{}", self.postfix.log());
        self.next().await
    }

    /// Sends Anna's letter `id` to support once more; where it is.
    pub(crate) async fn again(&self, id: &str) -> Tags {
        let mail = self.deliver(ANNA, &[SUPPORT], &letter(id, "")).await;
        assert_eq!(fields(&mail.bytes, "Message-ID"), [message_id(id)]);
        tags(&mail)
    }

    /// One attempt to send Anna's letter `id` to support through the port; nothing if the server
    /// went away. It goes on while the test does something else.
    pub(crate) fn attempt(&self, port: u16, id: &str) -> tokio::task::JoinHandle<Option<Reply>> {
        let message = bytes(&letter(id, ""));
        tokio::spawn(async move { attempt(port, &message).await })
    }

    /// All letters that are filed, once for each interaction.
    pub(crate) async fn filed(&self) -> Vec<Filed> {
        floor::letters(&self.settings.socket()).await
    }

    /// Everything that Postroom has logged.
    pub(crate) fn log(&self) -> String {
        self.gateway.as_ref().unwrap().log()
    }

    /// That these letters are filed, each once, and no others.
    pub(crate) async fn expect_filed(&self, ids: &[&str]) {
        let filed = self.filed().await;
        let mut found: Vec<String> = filed.iter().map(|filed| filed.id.clone()).collect();
        let mut ids: Vec<String> = (ids.iter())
            .map(|id| message_id(id).trim_matches(['<', '>']).to_owned())
            .collect();
        found.sort();
        ids.sort();
        assert_eq!(found, ids, "{filed:#?}");
    }
}

async fn attempt(port: u16, message: &[u8]) -> Option<Reply> {
    let mut client = Smtp::connect(port).await;
    for command in [
        format!("MAIL FROM:<{ANNA}>"),
        format!("RCPT TO:<{SUPPORT}>"),
        "DATA".to_owned(),
    ] {
        client.put(format!("{command}\r\n").as_bytes()).await;
        let reply = client.heard().await?;
        if reply.code >= 400 {
            return Some(reply);
        }
    }
    client.put_message(message).await;
    client.heard().await
}

pub(crate) fn bytes(text: &str) -> Vec<u8> {
    text.replace('\n', "\r\n").into_bytes()
}

pub(crate) fn message_id(id: &str) -> String {
    format!("<{id}@customer.example>")
}

/// A letter from Anna; `extra` goes among its header fields.
pub(crate) fn letter(id: &str, extra: &str) -> String {
    format!(
        "From: Anna <{ANNA}>\nTo: {SUPPORT}\nSubject: My order\nMessage-ID: {}\n\
         Date: Mon, 5 Oct 2026 10:00:00 +0000\n{extra}\nWhere is it?\n",
        message_id(id)
    )
}
