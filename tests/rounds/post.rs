//! Letters on their way in: made, sent, tried again until they are answered, and remembered with
//! the answer.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use postroom::milter::Address;
use postroom::milter::client::{Caller, Client, ClientError, Duplex, Letter, Mail, Said};
use postroom::milter::negotiation::Offer;

use super::chance::Chance;
use super::moment::{Moment, To};

/// Letters that the last round sends besides those tried again.
const LAST_LETTERS: usize = 20;

/// Body of a large letter, in bytes. The store keeps it out of the index, and the milter's
/// connection carries it in several pieces.
const LARGE_BYTES: usize = 300 << 10;

/// One letter.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    /// Its `Message-ID`, without angle brackets.
    pub(crate) id: String,
    /// Queues that it goes to, as names.
    pub(crate) queues: Vec<&'static str>,
    /// All of it.
    pub(crate) bytes: Bytes,
    /// The interactions that the MTA was told of, once it was told.
    pub(crate) filed: Option<Vec<String>>,
}

/// All letters.
#[derive(Debug, Default)]
pub(crate) struct Post(Mutex<Letters>);

#[derive(Debug, Default)]
struct Letters {
    all: Vec<Sent>,
    /// Those that wait for another attempt, as places in `all`.
    unanswered: Vec<usize>,
    retried: usize,
    last: usize,
}

impl Post {
    /// Sends letters over one connection until it breaks; in the last round until none is left.
    pub(crate) async fn carry(
        &self,
        milter: &Address,
        mut chance: Chance,
        moment: &Moment,
        last: bool,
    ) {
        if let Err(error) = self.carry_on(milter, &mut chance, moment, last).await {
            moment.expect_come(&error);
        }
    }

    /// All letters, with what is known of them.
    pub(crate) fn sent(&self) -> Vec<Sent> {
        self.letters().all.clone()
    }

    /// How often a letter was sent again.
    pub(crate) fn retried(&self) -> usize {
        self.letters().retried
    }

    async fn carry_on(
        &self,
        milter: &Address,
        chance: &mut Chance,
        moment: &Moment,
        last: bool,
    ) -> Result<(), ClientError> {
        let mut mta = Client::connect(milter, Offer::POSTFIX).await?;
        mta.open(Caller::default()).await?;
        loop {
            let next = self.letters().next(chance, last);
            let Some((place, sent)) = next else { break };
            match send(&mut mta, &sent).await {
                Ok(filed) => self.letters().answered(place, filed),
                Err(error) => {
                    self.letters().unanswered.push(place);
                    return Err(error);
                }
            }
            moment.answered(To::Mta);
        }
        mta.quit().await
    }

    fn letters(&self) -> MutexGuard<'_, Letters> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Letters {
    /// One that waits to be tried again, or a new one.
    fn next(&mut self, chance: &mut Chance, last: bool) -> Option<(usize, Sent)> {
        if let Some(place) = self.unanswered.pop() {
            self.retried += 1;
            return Some((place, self.all[place].clone()));
        }
        if last {
            self.last += 1;
            if self.last > LAST_LETTERS {
                return None;
            }
        }
        let place = self.all.len();
        self.all.push(letter(place, chance));
        Some((place, self.all[place].clone()))
    }

    fn answered(&mut self, place: usize, filed: Vec<String>) {
        let known = self.all[place].filed.replace(filed);
        assert_eq!(known, None, "a letter was answered twice");
    }
}

/// Shows a letter to the gateway as Postfix does; the interactions that it is in.
async fn send(mta: &mut Client<Box<dyn Duplex>>, sent: &Sent) -> Result<Vec<String>, ClientError> {
    let letter = Letter::parse(&sent.bytes);
    let recipients = sent.queues.iter();
    let mail = Mail {
        sender: Bytes::from_static(b"<anna@customer.example>"),
        parameters: Vec::new(),
        recipients: recipients
            .map(|queue| Bytes::from(format!("<{queue}@shop.example>")))
            .collect(),
        queue_id: "4ABC".to_owned(),
        letter: letter.clone(),
    };
    let outcome = mta.send(&mail).await?;
    assert_eq!(outcome.verdict, Said::Accept, "{}", sent.id);
    let delivered = outcome.apply(&letter);
    let tag = delivered
        .headers
        .iter()
        .find(|header| &header.name[..] == b"X-Postroom-Interaction");
    let filed = String::from_utf8(tag.unwrap().value.to_vec()).unwrap();
    Ok(filed.trim().split(", ").map(str::to_owned).collect())
}

/// Letter number `place`: to one queue or to both, small or large.
fn letter(place: usize, chance: &mut Chance) -> Sent {
    let queues = match chance.up_to(5) {
        1 => vec!["sales"],
        2 => vec!["support", "sales"],
        _ => vec!["support"],
    };
    let size = match chance.up_to(8) {
        1 => LARGE_BYTES,
        _ => chance.up_to(4000) as usize,
    };
    let id = format!("letter-{place}@customer.example");
    let mut text = format!(
        "From: Anna <anna@customer.example>\r\nTo: support@shop.example\r\n\
         Subject: Letter {place}\r\nMessage-ID: <{id}>\r\n\r\n"
    );
    let end = text.len() + size;
    while text.len() < end {
        text.push_str(&format!("{:016x}\r\n", chance.up_to(u64::MAX)));
    }
    Sent {
        id,
        queues,
        bytes: text.into(),
        filed: None,
    }
}
