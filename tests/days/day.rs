//! A day: what happens when, and what those outside remember of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use postroom::desk::{Direction, Policy};
use postroom::id::MessageId;
use postroom::outbound::message::DeliveryState;
use postroom::time::Timestamp;

use crate::agents::Temper;
use crate::chance::Chance;
use crate::mta::Mta;
use crate::stage::Stage;
use crate::world::{Pace, World, law, nine};

/// Steps with mail and mischief, and the most that it may take to finish afterwards.
const STEPS: usize = 150;
const STEPS_TO_FINISH: usize = 5_000;

pub(crate) const AGENTS: [&str; 4] = ["anna", "bert", "cleo", "dora"];
pub(crate) const QUEUES: [&str; 2] = ["sales", "support"];

/// Random commands are checked more thoroughly; here it is the mass that counts.
pub(crate) const PACE: Pace = Pace {
    copies: 9,
    restores: 60,
    explains: 12,
};

pub(crate) fn policy() -> Policy {
    Policy {
        // So that there is less to compare.
        offer_memory: Duration::from_secs(60),
        ..Policy::default()
    }
}

/// What happens next, when its time comes.
#[derive(Clone)]
pub(crate) enum Event {
    Agent(usize),
    Supervisor,
    /// A letter, or several.
    Mail,
    /// A letter that was not answered, once more.
    Letter(String),
    /// The submitter goes on with a message, unless the process has died since.
    Submit(String, u64),
    /// The final dot of a message, and the answer to it.
    Dot(String),
    Answer(String, u64),
    Bounce(String),
    /// What was shut is opened again.
    Resume(&'static str),
    Enable(&'static str),
    /// The process is started, or the store works again.
    Begin(&'static str),
}

/// What somebody asked for and was not answered yet.
struct Unanswered {
    /// The letter that it was, if it was one: its sender tries again.
    letter: Option<String>,
    /// What it made, to be relied upon once it is answered.
    letters: Vec<MessageId>,
    mails: Vec<MessageId>,
    /// What the submitter is to begin with.
    begun: Vec<String>,
    /// What the submitter says next if this could not be written.
    otherwise: Option<String>,
}

pub(crate) struct Day {
    pub(crate) chance: Chance,
    pub(crate) stage: Stage,
    pub(crate) agents: Vec<(&'static str, Temper)>,
    pub(crate) mta: Mta,
    /// How many processes there were.
    pub(crate) process: u64,
    /// Whether mail comes and things go wrong.
    pub(crate) busy: bool,
    /// Every line that was said.
    pub(crate) story: Vec<String>,
    now: Timestamp,
    agenda: BTreeMap<(Timestamp, u64), Event>,
    numbers: u64,
    /// Whether there is a process.
    down: bool,
    /// Those who wait in a round that will not end well.
    round: Option<Vec<Unanswered>>,
    /// Letters that were said yes to, and mails that agents were told are on their way.
    letters: BTreeSet<MessageId>,
    mails: BTreeSet<MessageId>,
}

/// A time of day; after midnight the hours go on.
fn moment(at: Timestamp) -> String {
    let midnight = nine() - Duration::from_secs(9 * 3600);
    let since = at.since(midnight);
    let (seconds, millis) = (since.as_secs(), since.subsec_millis());
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{hour:02}:{minute:02}:{second:02}.{millis:03}")
}

/// What the submitter goes on with if this could not be written: what is not marked as handed over
/// is not sent but put off, and how it ended is not forgotten.
fn otherwise(line: &str) -> Option<String> {
    let (message, how) = line.split_once(' ')?;
    message.strip_prefix('m')?.parse::<usize>().ok()?;
    match how {
        "handed over" => Some(format!("{message} deferred")),
        "accepted" | "lost" | "refused" | "deferred" => Some(line.to_owned()),
        _ => None,
    }
}

impl Day {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            chance: Chance(seed),
            stage: Stage::new(World::new(policy()).at_pace(PACE)),
            agents: Vec::new(),
            mta: Mta::default(),
            process: 0,
            busy: true,
            story: Vec::new(),
            now: nine(),
            agenda: BTreeMap::new(),
            numbers: 0,
            down: false,
            round: None,
            letters: BTreeSet::new(),
            mails: BTreeSet::new(),
        }
    }

    pub(crate) fn begin(&mut self) {
        for queue in QUEUES {
            let rules = self.rules(queue);
            self.say(&rules);
        }
        for (number, name) in AGENTS.into_iter().enumerate() {
            let serves = self
                .chance
                .of(["sales support", "sales support", "sales", "support"]);
            self.say(&format!("agent {name} serves {serves}"));
            let temper = Temper::any(&mut self.chance);
            self.agents.push((name, temper));
            self.later(Duration::ZERO, Event::Agent(number));
        }
        self.later(Duration::ZERO, Event::Mail);
        self.later(Duration::from_secs(10), Event::Supervisor);
    }

    pub(crate) fn work(&mut self) {
        for _ in 0..STEPS {
            self.step();
        }
        while self.round.is_some() || self.down {
            self.step();
        }
    }

    /// The mail stops and everybody works.
    pub(crate) fn finish(&mut self) {
        self.busy = false;
        for queue in QUEUES {
            self.say(&format!("queue {queue} takes-back=yes"));
            self.say(&format!("resume queue {queue}"));
        }
        for (number, name) in AGENTS.into_iter().enumerate() {
            self.agents[number].1 = Temper::best();
            self.say(&format!("agent {name} serves {}", QUEUES.join(" ")));
            self.say(&format!("{name} is enabled"));
            self.say(&format!("{name} can german:5"));
            for queue in QUEUES {
                self.say(&format!("{name} joins {queue}"));
            }
        }
        for _ in 0..STEPS_TO_FINISH {
            for id in self.held() {
                let said = self.say(&format!("{id} is released"));
                if said.iter().any(|line| line.starts_with("refused: ")) {
                    self.say(&format!("{id} is dismissed"));
                }
            }
            self.rest_or_work();
            if self.is_over() {
                self.check();
                self.check_all();
                return;
            }
            self.step();
        }
        let left = self.stage.world.desk.interactions();
        law!(20, left.is_empty(), "not finished: {left:?}");
        law!(20, false, "not sent: {:?}", self.stage.world.desk.spool());
    }

    /// While nothing is open, agents need not show that they are there.
    fn rest_or_work(&mut self) {
        let open = !self.stage.world.desk.interactions().is_empty();
        let here = |event: &Event| matches!(event, Event::Agent(_));
        if !open {
            self.agenda.retain(|_, event| !here(event));
        } else if !self.agenda.values().any(here) {
            (0..AGENTS.len()).for_each(|number| self.later(Duration::ZERO, Event::Agent(number)));
        }
    }

    /// Whether nothing is left but what a person has to decide.
    fn is_over(&self) -> bool {
        let desk = &self.stage.world.desk;
        let mut spool = desk.spool().iter();
        let sent = spool.all(|outbound| outbound.state == DeliveryState::Unconfirmed);
        desk.interactions().is_empty() && sent
    }

    pub(crate) fn later(&mut self, wait: Duration, event: Event) {
        self.numbers += 1;
        self.agenda.insert((self.now + wait, self.numbers), event);
    }

    /// Whether what is said now is answered at once.
    pub(crate) const fn is_told(&self) -> bool {
        self.round.is_none()
    }

    /// Says one line, and takes note of what those outside learn from it.
    pub(crate) fn say(&mut self, line: &str) -> Vec<String> {
        let line = format!("{} {line}", moment(self.now));
        self.story.push(line.clone());
        let said = self.stage.line(&line);
        let said = said.unwrap_or_else(|why| {
            // Agents may speak of what was lost.
            let lost = why.starts_with("no such") || why.ends_with("was lost");
            assert!(lost, "{line}: {why}");
            vec![format!("refused: {why}")]
        });
        let mut made = self.made(&said);
        made.letter = (line.contains("mail ") && line.contains(" for "))
            .then(|| line.split_once(' ').unwrap().1.to_owned());
        made.otherwise = otherwise(line.split_once(' ').unwrap().1);
        match &mut self.round {
            Some(round) => round.push(made),
            None => self.rely_on(made),
        }
        said
    }

    /// What a line has made.
    fn made(&self, said: &[String]) -> Unanswered {
        let (mut letters, mut mails, mut begun) = (Vec::new(), Vec::new(), Vec::new());
        for told in said {
            if let Some(message) = told.strip_suffix(" goes to the submitter") {
                // Behind a time, if that brought it.
                begun.extend(message.rsplit(' ').next().map(str::to_owned));
                continue;
            }
            let mut words = told.split(' ');
            let (Some(name), Some(verb)) = (words.next(), words.next()) else {
                continue;
            };
            let number = name
                .strip_prefix('m')
                .and_then(|number| number.parse().ok());
            let Some(number): Option<usize> = number else {
                continue;
            };
            let message = self.stage.names.messages[number - 1];
            match (verb, words.next()) {
                ("is" | "joins", Some(of)) if of.starts_with('i') => letters.push(message),
                ("is", Some("ready")) => mails.push(message),
                _ => {}
            }
        }
        Unanswered {
            letter: None,
            otherwise: None,
            letters,
            mails,
            begun,
        }
    }

    fn rely_on(&mut self, made: Unanswered) {
        self.letters.extend(made.letters);
        self.mails.extend(made.mails);
        for message in made.begun {
            let wait = self.chance.millis(10, 3000);
            self.later(wait, Event::Submit(message, self.process));
        }
    }

    /// Does the next thing and jumps the clock to it.
    fn step(&mut self) {
        let due = self.stage.world.desk.next_deadline();
        if self.agenda.is_empty() {
            self.later(Duration::from_secs(60), Event::Mail);
        }
        let ((at, number), event) = self.agenda.pop_first().unwrap();
        if let Some(due) = due.filter(|due| *due <= at && !self.down && self.round.is_none()) {
            self.agenda.insert((at, number), event);
            self.now = self.now.max(due);
            self.say("time passes");
            return;
        }
        let fails = self.busy && self.numbers > 20 && self.round.is_none() && !self.down;
        if fails && self.chance.below(40) == 0 {
            self.now = self.now.max(at);
            self.say("time passes");
            self.round = Some(Vec::new());
            self.say("a round begins");
        }
        if self.round.is_none() {
            self.now = self.now.max(at);
        }
        self.happen(event);
        if self.round.is_some() && self.chance.percent(45) {
            self.break_off();
        }
        if self.numbers.is_multiple_of(16) && self.round.is_none() {
            self.check();
        }
    }

    fn happen(&mut self, event: Event) {
        if self.down && !matches!(event, Event::Begin(_)) {
            match event {
                // It was on its way already, and arrives.
                Event::Dot(message) => self.dot(&message),
                // Nobody is there to answer; whoever asks will ask again.
                Event::Submit(_, process) | Event::Answer(_, process)
                    if process != self.process => {}
                event => {
                    let wait = self.chance.millis(100, 3_000);
                    self.later(wait, event);
                }
            }
            return;
        }
        match event {
            Event::Agent(number) => self.agent(number),
            Event::Supervisor => self.supervisor(),
            Event::Mail => self.mail(),
            Event::Letter(line) => {
                let line = self.without_lost(line);
                self.say(&line);
            }
            Event::Submit(message, process) if process == self.process => self.submit(&message),
            // What the process had sent before it died is taken all the same.
            Event::Dot(message) => self.dot(&message),
            Event::Answer(answer, process) if process == self.process => self.answer(&answer),
            Event::Submit(..) | Event::Answer(..) => {}
            Event::Bounce(message) => {
                self.say(&format!("{message} bounces"));
            }
            Event::Resume(queue) => {
                self.say(&format!("resume queue {queue}"));
            }
            Event::Enable(agent) => {
                self.say(&format!("{agent} is enabled"));
            }
            Event::Begin(how) => {
                self.down = false;
                self.say(how);
                self.check();
            }
        }
    }

    /// The round does not end well: the power fails before it is written, the process dies when
    /// it is written and only some were answered, or nothing could be written.
    fn break_off(&mut self) {
        let mut asked = self.round.take().unwrap_or_default();
        match self.chance.below(3) {
            0 => {
                let left = self.chance.below(asked.len() as u64 + 1);
                self.say(&format!("the power fails after {left}"));
                self.lose(asked);
                self.die();
            }
            1 => {
                self.say("it is written");
                let told = self.chance.below(asked.len() as u64 + 1);
                let untold = asked.split_off(usize::try_from(told).unwrap());
                asked.into_iter().for_each(|made| self.rely_on(made));
                self.say("stop");
                self.lose(untold);
                self.die();
            }
            _ => {
                self.say("the store fails");
                for answer in asked.iter().filter_map(|made| made.otherwise.clone()) {
                    let wait = self.chance.millis(1_500, 5_000);
                    self.later(wait, Event::Answer(answer, self.process));
                }
                self.lose(asked);
                self.down = true;
                let wait = Duration::from_secs(1);
                self.later(wait, Event::Begin("the store works again"));
            }
        }
    }

    /// Those who were not answered: senders try again, and are told what is there by then.
    fn lose(&mut self, asked: Vec<Unanswered>) {
        for made in asked {
            let there = |id: &MessageId| self.stage.world.kept.messages.contains_key(id);
            if made.letters.iter().any(there) || made.letter.is_none() {
                // The same letter again is known, and answered as it would have been.
                let letters: Vec<_> = made.letters.into_iter().filter(there).collect();
                self.letters.extend(letters);
            } else if let Some(line) = made.letter {
                let wait = self.chance.millis(60_000, 120_000);
                self.later(wait, Event::Letter(line));
            }
        }
    }

    /// A letter whose case was lost with the answer finds none the next time.
    fn without_lost(&self, line: String) -> String {
        let words: Vec<&str> = line.split(' ').collect();
        let named = words.iter().position(|word| {
            let number = word
                .strip_prefix('c')
                .and_then(|number| number.parse().ok());
            number.is_some_and(|number| !self.is_case(number))
        });
        match named {
            Some(at) => [&words[..at - 1], &words[at + 1..]].concat().join(" "),
            None => line,
        }
    }

    /// Whether there is a case of this name.
    pub(crate) fn is_case(&self, name: usize) -> bool {
        let number = self.stage.names.cases.get(name - 1);
        number.is_some_and(|number| self.stage.world.kept.cases.contains_key(number))
    }

    /// The process is gone, and comes back; the clock may have been set meanwhile.
    fn die(&mut self) {
        self.down = true;
        self.process += 1;
        let mut wait = self.chance.millis(10, 90_000);
        if self.chance.percent(5) {
            wait = self.chance.millis(3_600_000, 90_000_000);
        }
        if self.chance.percent(5) && self.now > nine() + Duration::from_secs(60) {
            // Nobody notices but those whose times lie ahead now.
            let back = self.chance.millis(1_000, 8 * 3_600_000);
            let earlier = self.now - back;
            for (at, number) in self.agenda.keys().copied().collect::<Vec<_>>() {
                let event = self.agenda.remove(&(at, number)).unwrap();
                self.agenda.insert((at - back, number), event);
            }
            self.now = earlier;
        }
        self.numbers += 1;
        // First, whatever else was to happen meanwhile.
        self.agenda
            .insert((self.now + wait, self.numbers), Event::Begin("restart"));
    }

    fn mail(&mut self) {
        if !self.busy {
            return;
        }
        let burst = if self.chance.percent(15) { 6 } else { 1 };
        for _ in 0..burst {
            let to = self
                .chance
                .of(["sales", "support", "sales", "support", "sales support"]);
            let case = self.any_case().filter(|_| self.chance.percent(30));
            let line = match (self.chance.below(20), case) {
                (0, Some(case)) => format!("mail after {case} for {to}"),
                (1, Some(case)) => format!("quiet mail of {case} for {to}"),
                (2, Some(case)) => format!("machine's mail of {case} for {to}"),
                (_, Some(case)) => format!("mail of {case} for {to}"),
                (0, None) => format!("held mail for {to}"),
                (1, None) => format!("quiet mail for {to}"),
                (2 | 3, None) => format!("mail needing german:3 for {to}"),
                (4..7, None) => format!("mail at {} for {to}", self.chance.of([-1, 1, 5])),
                (_, None) => format!("mail for {to}"),
            };
            let said = self.say(&line);
            if said.iter().any(|line| line.contains("is full")) {
                break;
            }
        }
        let wait = self.chance.millis(500, 30_000);
        self.later(wait, Event::Mail);
    }

    /// Messages of which nobody knows whether they were taken.
    pub(crate) fn in_doubt(&mut self) -> Vec<String> {
        let spool = self.stage.world.desk.spool().iter();
        let doubtful: Vec<_> = spool
            .filter(|outbound| outbound.state == DeliveryState::Unconfirmed)
            .map(|outbound| outbound.id)
            .collect();
        doubtful
            .into_iter()
            .map(|id| self.stage.names.message(id))
            .collect()
    }

    /// What was answered is there.
    fn check(&self) {
        let kept = &self.stage.world.kept;
        for id in &self.letters {
            let message = kept.messages.get(id);
            law!(2, message.is_some(), "{id} was lost");
            let message = message.unwrap();
            let mut all = BTreeSet::new();
            for id in &message.interactions {
                let found = kept.interactions.get(id);
                law!(2, found.is_some(), "the work of {} was lost", message.id);
                law!(2, all.insert(id), "{} is twice in one", message.id);
            }
            let whole = all.len() == message.recipients.len();
            law!(2, whole, "{} is not in all its queues", message.id);
        }
        for id in &self.mails {
            let sent = kept.outbound.contains_key(id) && kept.messages.contains_key(id);
            law!(2, sent, "{id} was said to be on its way");
        }
    }

    /// At the end of the day everything is there once, and done.
    fn check_all(&self) {
        let kept = &self.stage.world.kept;
        for found in kept.interactions.values() {
            law!(1, found.state.is_final(), "{} was forgotten", found.id);
        }
        let came = (kept.messages.values())
            .filter(|message| message.direction == Direction::Inbound)
            .count();
        let answered = self.letters.len();
        law!(3, came == answered, "{came} letters for {answered} answers");
        for (name, taken) in &self.mta.taken {
            let number: usize = name[1..].parse().unwrap();
            let id = self.stage.names.messages[number - 1];
            let state = kept.outbound[&id].state;
            let known = matches!(state, DeliveryState::Confirmed | DeliveryState::Unconfirmed);
            let known = known || state == DeliveryState::Refused;
            law!(36, known, "{name} was taken {taken} times and is {state}");
        }
    }
}
