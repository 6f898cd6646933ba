//! Answers that came out, as the MTA behind the gateway counts them.

use std::collections::BTreeMap;
use std::time::Duration;

use postroom::milter::client::Letter;
use postroom::outbound::sink::{Mail, Sink};
use tokio::time::timeout;

/// How often each came, by `Message-ID` without angle brackets.
#[derive(Debug, Default)]
pub(crate) struct Arrived(BTreeMap<String, usize>);

impl Arrived {
    /// Counts what the MTA has taken since the last time. It keeps a bounded number for us.
    pub(crate) async fn count(&mut self, mta: &Sink) {
        while let Ok(mail) = timeout(Duration::ZERO, mta.next()).await {
            *self.0.entry(internet_message_id(&mail)).or_default() += 1;
        }
    }

    /// How often this one came.
    pub(crate) fn copies(&self, internet_message_id: &str) -> usize {
        let copies = self.0.get(internet_message_id);
        copies.copied().unwrap_or_default()
    }
}

fn internet_message_id(mail: &Mail) -> String {
    let letter = Letter::parse(&mail.bytes);
    let mut headers = letter.headers.iter();
    let id = headers.find(|header| header.name.eq_ignore_ascii_case(b"Message-ID"));
    let id = String::from_utf8(id.unwrap().value.to_vec()).unwrap();
    id.trim().trim_matches(['<', '>']).to_owned()
}
