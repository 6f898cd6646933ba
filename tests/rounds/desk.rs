//! An agent's desk: offers accepted, letters answered or ended, each request repeated under its
//! id until it is answered, and every answer remembered.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use postroom::grpc::pb;
use tonic::Status;

use super::moment::{Moment, To};
use crate::support::agent::Agent;

/// How many more letters an agent handles in the last round.
const LAST_LETTERS: usize = 5;

/// How an interaction was finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Finish {
    /// Without a reply.
    Ended,
    /// With the reply of this `Message-ID`.
    Replied(String),
}

/// What one agent asked for and was told.
#[derive(Debug)]
pub(crate) struct Desk {
    /// The agent's id.
    pub(crate) agent: &'static str,
    done: Mutex<Done>,
}

#[derive(Debug, Default)]
struct Done {
    accepted: BTreeSet<String>,
    finished: BTreeMap<String, Finish>,
    /// The interaction that the agent was finishing when the gateway went away.
    unanswered: Option<String>,
}

impl Desk {
    pub(crate) const fn new(agent: &'static str) -> Self {
        Self {
            agent,
            done: Mutex::new(Done {
                accepted: BTreeSet::new(),
                finished: BTreeMap::new(),
                unanswered: None,
            }),
        }
    }

    /// Works until the gateway is gone; in the last round until there was enough.
    pub(crate) async fn work(&self, control: SocketAddr, moment: &Moment, last: bool) {
        if let Err(status) = self.work_on(control, moment, last).await {
            moment.expect_come(&status);
        }
    }

    /// The interactions whose acceptance was confirmed.
    pub(crate) fn accepted(&self) -> BTreeSet<String> {
        self.done().accepted.clone()
    }

    /// The interactions whose end was confirmed, and how they ended.
    pub(crate) fn finished(&self) -> BTreeMap<String, Finish> {
        self.done().finished.clone()
    }

    async fn work_on(
        &self,
        control: SocketAddr,
        moment: &Moment,
        last: bool,
    ) -> Result<(), Status> {
        let mut agent = Agent::sign_in(control, self.agent).await?;
        let unanswered = self.done().unanswered.clone();
        let in_hand: Vec<_> = agent.in_hand.drain(..).map(|found| found.name).collect();
        let others = in_hand
            .into_iter()
            .filter(|name| Some(name) != unanswered.as_ref());
        let others: Vec<_> = others.collect();
        for name in unanswered.iter().chain(&others) {
            self.finish(&agent, name, moment).await?;
        }
        let mut handled = 0;
        while !last || handled < LAST_LETTERS {
            let name = agent.accept().await?.name;
            let new = self.done().accepted.insert(name.clone());
            assert!(new, "{name} was accepted before");
            moment.answered(To::Agent);
            self.finish(&agent, &name, moment).await?;
            handled += 1;
        }
        Ok(())
    }

    /// Answers or ends an interaction, the same way and under the same id each time it is tried.
    async fn finish(&self, agent: &Agent, name: &str, moment: &Moment) -> Result<(), Status> {
        self.done().unanswered = Some(name.to_owned());
        let request_id = request_id(name);
        let how = if name.ends_with(|last: char| last.is_ascii_digit()) {
            agent.end(name, &request_id).await?;
            Finish::Ended
        } else {
            let reply = pb::SendReplyRequest {
                name: name.to_owned(),
                text_body: format!("We saw {name}."),
                request_id,
                ..pb::SendReplyRequest::default()
            };
            let sent = agent.reply(reply).await?;
            Finish::Replied(sent.message.unwrap().internet_message_id)
        };
        let mut done = self.done();
        done.unanswered = None;
        let before = done.finished.insert(name.to_owned(), how);
        assert_eq!(before, None, "{name} was finished before");
        drop(done);
        moment.answered(To::Agent);
        Ok(())
    }

    fn done(&self) -> MutexGuard<'_, Done> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A UUID that belongs to an interaction.
fn request_id(name: &str) -> String {
    let number = name.bytes().fold(0_u128, |number, byte| {
        number.wrapping_mul(0x0100_0193).wrapping_add(byte.into())
    });
    let text = format!("{number:032x}");
    let (a, b, c, d, e) = (
        &text[..8],
        &text[8..12],
        &text[13..16],
        &text[17..20],
        &text[20..],
    );
    format!("{a}-{b}-4{c}-8{d}-{e}")
}
