//! The MTA and the submitter: what goes out, is put off, refused, or forgotten on the way.

use std::collections::BTreeMap;

use crate::day::{Day, Event};
use crate::world::law;

/// What was submitted, by the name of the message.
#[derive(Default)]
pub(crate) struct Mta {
    /// How often each was taken, and how often a person said to send it again.
    pub(crate) taken: BTreeMap<String, u32>,
    pub(crate) wanted: BTreeMap<String, u32>,
}

impl Day {
    /// A message's turn has come.
    pub(crate) fn submit(&mut self, message: &str) {
        if self.busy && self.chance.percent(15) {
            self.say(&format!("{message} deferred"));
            return;
        }
        if self.busy && self.chance.percent(4) {
            self.say(&format!("{message} refused"));
            return;
        }
        let said = self.say(&format!("{message} handed over"));
        if said.iter().any(|line| line.starts_with("refused: ")) {
            return;
        }
        // The final dot goes out when the mark is durable, and not before.
        if self.is_told() {
            let wait = self.chance.millis(5, 400);
            self.later(wait, Event::Dot(message.to_owned()));
        }
    }

    /// The final dot arrives: from here on only the answer can be lost.
    pub(crate) fn dot(&mut self, message: &str) {
        let how = match self.chance.below(100) {
            0..4 if self.busy => "refused",
            4..9 if self.busy => "deferred",
            how => {
                let taken = self.mta.taken.entry(message.to_owned()).or_default();
                *taken += 1;
                let wanted = self.mta.wanted.get(message).copied().unwrap_or(0);
                let once = *taken <= 1 + wanted;
                law!(36, once, "the MTA took {message} {taken} times");
                if self.busy && how < 16 {
                    "lost"
                } else {
                    "accepted"
                }
            }
        };
        // A stalling MTA takes minutes to say yes.
        let longest = if self.busy && self.chance.percent(10) {
            90_000
        } else {
            600
        };
        let wait = self.chance.millis(5, longest);
        let answer = format!("{message} {how}");
        self.later(wait, Event::Answer(answer, self.process));
    }

    /// The answer of the MTA, if the process still waits for it.
    pub(crate) fn answer(&mut self, answer: &str) {
        self.say(answer);
        let (message, how) = answer.split_once(' ').unwrap();
        if how == "accepted" && self.busy && self.chance.percent(6) {
            let wait = self.chance.millis(1000, 120_000);
            self.later(wait, Event::Bounce(message.to_owned()));
        }
    }
}
