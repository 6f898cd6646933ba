//! Agents and their clients, each with a temper.

use postroom::desk::{OfferState, Requested, State};
use postroom::id::{AgentId, InteractionId};

use crate::chance::Chance;
use crate::day::{Day, Event, QUEUES};

/// In how many cases of a hundred an agent does what is not expected.
#[derive(Clone, Copy)]
pub(crate) struct Temper {
    lets_lapse: u64,
    rejects: u64,
    disconnects: u64,
    goes_offline: u64,
    clicks_twice: u64,
    /// Answers late, with what is long over, and from sessions that are.
    lives_in_the_past: u64,
    /// Hands work on, or sets it aside, instead of doing it.
    hands_on: u64,
    /// Begins mails and helps herself.
    acts_alone: u64,
    forgets: u64,
    /// Longest time between two acts, in milliseconds.
    dawdles: u64,
}

const DILIGENT: Temper = Temper {
    lets_lapse: 0,
    rejects: 0,
    disconnects: 0,
    goes_offline: 2,
    clicks_twice: 5,
    lives_in_the_past: 1,
    hands_on: 10,
    acts_alone: 5,
    forgets: 5,
    dawdles: 9_000,
};

const TEMPERS: [Temper; 7] = [
    DILIGENT,
    // Eager.
    Temper {
        acts_alone: 60,
        dawdles: 2_000,
        ..DILIGENT
    },
    // Absent-minded.
    Temper {
        lets_lapse: 80,
        goes_offline: 5,
        clicks_twice: 20,
        forgets: 70,
        dawdles: 30_000,
        ..DILIGENT
    },
    // Choosy.
    Temper {
        rejects: 60,
        goes_offline: 10,
        hands_on: 30,
        ..DILIGENT
    },
    // On a train.
    Temper {
        lets_lapse: 10,
        disconnects: 25,
        clicks_twice: 30,
        lives_in_the_past: 10,
        ..DILIGENT
    },
    // With two computers.
    Temper {
        clicks_twice: 60,
        lives_in_the_past: 40,
        disconnects: 10,
        ..DILIGENT
    },
    // Not responsible.
    Temper {
        hands_on: 80,
        rejects: 20,
        ..DILIGENT
    },
];

impl Temper {
    pub(crate) fn any(chance: &mut Chance) -> Self {
        chance.of(TEMPERS)
    }

    /// Everybody works.
    pub(crate) const fn best() -> Self {
        Self {
            goes_offline: 0,
            hands_on: 0,
            acts_alone: 0,
            forgets: 0,
            dawdles: 4_000,
            ..DILIGENT
        }
    }
}

impl Day {
    /// One act of an agent's.
    pub(crate) fn agent(&mut self, number: usize) {
        let (name, temper) = self.agents[number];
        let wait = self.chance.millis(200, temper.dawdles);
        self.later(wait, Event::Agent(number));
        let agent: AgentId = name.parse().unwrap();
        if !self.stage.world.desk.agents().contains_key(&agent) {
            self.say(&format!("agent {name} serves {}", QUEUES.join(" ")));
            return;
        }
        if self.chance.percent(temper.lives_in_the_past) && self.belated(name, &agent) {
            return;
        }
        let Some(session) = self.stage.world.session(&agent) else {
            let how = self
                .chance
                .of(["signs in as available", "signs in", "takes over"]);
            self.say(&format!("{name} {how}"));
            return;
        };
        if !self.stage.attached.contains_key(&session) {
            if self.chance.percent(50) {
                self.say(&format!("{name} attaches"));
            }
            return;
        }
        if self.chance.percent(temper.disconnects) {
            self.say(&format!("{name} detaches"));
            self.stage.attached.remove(&session);
            return;
        }
        if self.chance.percent(temper.disconnects / 4) {
            let how = self.chance.of(["takes over", "signs out"]);
            self.say(&format!("{name} {how}"));
            return;
        }
        if self.chance.percent(temper.goes_offline) {
            self.say(&format!("{name} wants offline tea"));
            return;
        }
        self.work_on(name, temper, &agent);
    }

    /// Something that would have been right a while ago.
    fn belated(&mut self, name: &str, agent: &AgentId) -> bool {
        let sessions = self.stage.sessions.get(agent).map_or(0, Vec::len);
        let old = sessions > 1 && self.chance.percent(50);
        let who = if old {
            format!("{name}'s old session")
        } else {
            name.to_owned()
        };
        let (offers, work) = (
            self.stage.names.offers.len() as u64,
            self.stage.names.interactions.len() as u64,
        );
        if sessions == 0 || offers == 0 || work == 0 {
            return false;
        }
        let offer = 1 + self.chance.below(offers);
        let work = 1 + self.chance.below(work);
        let act = match self.chance.below(10) {
            0 | 1 => format!("accepts o{offer}"),
            2 => format!("rejects o{offer}"),
            3 => format!("sees o{offer}"),
            4 => format!("ends i{work}"),
            5 => format!("replies i{work}"),
            6 => format!("completes i{work}"),
            7 => format!("resumes i{work}"),
            8 => format!("discards i{work}"),
            _ => "wants available".to_owned(),
        };
        self.say(&format!("{who} {act}"));
        true
    }

    fn work_on(&mut self, name: &str, temper: Temper, agent: &AgentId) {
        let presence = self.stage.world.desk.presence(agent).unwrap();
        if let Some(offer) = presence.pending_offer {
            let shown = self.stage.world.desk.offers()[&offer].state == OfferState::Shown;
            let offer = self.stage.names.offer(offer);
            if !shown {
                self.say(&format!("{name} sees {offer}"));
            }
            // A person takes a moment; the offer may be over by then.
            if self.chance.percent(temper.lets_lapse) {
                return;
            }
            if self.chance.percent(temper.rejects) {
                let then = self.chance.of(["", " then offline tea", " then available"]);
                self.say(&format!("{name} rejects {offer}{then}"));
                return;
            }
            let clicks = 1 + u64::from(self.chance.percent(temper.clicks_twice));
            for _ in 0..clicks {
                self.say(&format!("{name} accepts {offer}"));
            }
            return;
        }
        if self.chance.percent(temper.acts_alone) && self.alone(name) {
            return;
        }
        if let Some(id) = self.chance.pick(&presence.interactions) {
            self.handle(name, temper, id);
            return;
        }
        if let Some(id) = self.chance.pick(&presence.parked)
            && (!self.busy || self.chance.percent(20))
        {
            let id = self.stage.names.interaction(id);
            self.say(&format!("{name} resumes {id}"));
            return;
        }
        let ready = presence.requested == Requested::Available;
        if ready || self.chance.percent(50) {
            self.say(&format!("{name} renews"));
        } else {
            self.say(&format!("{name} wants available"));
        }
    }

    /// What nobody asked for.
    fn alone(&mut self, name: &str) -> bool {
        let queue = self.chance.of(QUEUES);
        match self.chance.below(5) {
            0 | 1 => self.say(&format!("{name} pulls from {queue}")),
            2 | 3 => self.say(&format!("{name} begins a mail from {queue}@shop.example")),
            _ => {
                let Some(case) = self.any_case() else {
                    return false;
                };
                self.say(&format!("{name} begins a mail of {case}"))
            }
        };
        true
    }

    fn handle(&mut self, name: &str, temper: Temper, id: InteractionId) {
        let state = self.stage.world.desk.interactions()[&id].state.clone();
        let latest = self.stage.world.desk.interactions()[&id].latest_inbound;
        let latest = (self.stage.world.kept.messages.contains_key(&latest))
            .then(|| self.stage.names.message(latest));
        let id = self.stage.names.interaction(id);
        let read = latest.map_or_else(String::new, |latest| format!(" having read {latest}"));
        let read = if self.busy && self.chance.percent(50) {
            String::new()
        } else {
            read
        };
        let line = match state {
            State::Active { .. } if self.chance.percent(temper.hands_on) => {
                let queue = self.chance.of(QUEUES);
                match self.chance.below(6) {
                    0 | 1 => format!("{name} transfers {id} to {queue}"),
                    2 => format!("{name} requeues {id}"),
                    3 => format!("{name} cancels {id}"),
                    4 => format!("{name} forwards {id}{read}"),
                    _ => format!("{name} parks {id} for {}", self.chance.of([60, 90, 600])),
                }
            }
            State::Active { .. } if self.chance.percent(3) => {
                format!("{name} replies {id} from somebody@elsewhere.example")
            }
            State::Active { .. } if self.chance.percent(60) => {
                if read.is_empty() {
                    format!("{name} replies {id}")
                } else {
                    format!("{name} replies {id}{read}")
                }
            }
            State::Active { .. } => format!("{name} ends {id}"),
            State::Drafting { .. } if self.chance.percent(25) => format!("{name} discards {id}"),
            State::Drafting { .. } => format!("{name} sends {id}{read}"),
            _ if self.chance.percent(temper.forgets) => return,
            _ => match self.chance.below(if self.busy { 6 } else { 1 }) {
                0 | 1 => format!("{name} completes {id} as sold"),
                2 => format!("{name} completes {id}"),
                3 => format!("{name} completes {id} then offline tea"),
                4 => format!("{name} extends {id}"),
                _ => format!("{name} saves {id} sold"),
            },
        };
        self.say(&line);
    }
}
