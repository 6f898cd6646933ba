//! Supervisors and administrators: everything that is done to others' work and others' status.

use postroom::desk::State;

use crate::day::{AGENTS, Day, Event, QUEUES};

impl Day {
    /// A supervisor meddles, for a while.
    pub(crate) fn supervisor(&mut self) {
        if !self.busy {
            return;
        }
        let wait = self.chance.millis(2_000, 40_000);
        self.later(wait, Event::Supervisor);
        let line = self.meddling();
        if let Some(line) = line {
            self.say(&line);
        }
    }

    fn meddling(&mut self) -> Option<String> {
        let agent = self.chance.of(AGENTS);
        let queue = self.chance.of(QUEUES);
        let work = self.open_work();
        let work = self.chance.pick(&work);
        let case = self.any_case();
        Some(match self.chance.below(30) {
            0..3 => format!("supervisor lea gives {} to {agent}", work?),
            3..6 => format!("supervisor lea moves {} to queue {queue}", work?),
            6 | 7 => {
                let wish = self.chance.of(["available", "offline lunch"]);
                format!("supervisor lea sets {agent} {wish}: please")
            }
            8 => format!("supervisor lea signs {agent} out"),
            9 => format!("supervisor lea tells {agent}: hello"),
            10 | 11 => {
                let wait = self.chance.millis(5_000, 60_000);
                self.later(wait, Event::Resume(queue));
                format!("pause queue {queue} lunch")
            }
            12..15 => format!("{} is moved to {}", work?, self.chance.of([-1, 0, 1, 5])),
            15 | 16 => format!("{} is dismissed", work?),
            17 => {
                let other = self.any_case();
                format!("{} is merged into {}", case?, other?)
            }
            18 => format!("tokens of {} are revoked", case?),
            19 => {
                // Whoever is removed is hired again by their clerk.
                format!("{agent} is removed")
            }
            20 => {
                let wait = self.chance.millis(5_000, 60_000);
                self.later(wait, Event::Enable(agent));
                format!("{agent} is disabled")
            }
            21 => format!("{agent} leaves {queue}"),
            22 | 23 => format!("{agent} joins {queue} with {}", self.chance.of([1, 10, 30])),
            24 => format!("{agent} may hold {}", self.chance.of([1, 2, 3])),
            25 => format!("{agent} can german:{}", self.chance.of([1, 3, 5])),
            26 => self.rules(queue),
            27 => {
                let house = self.chance.of([
                    "house after-work=return",
                    "house wrap-up=slot",
                    "house after-work=return wrap-up=slot",
                    "house",
                ]);
                house.to_owned()
            }
            28 => {
                let act = self
                    .chance
                    .of(["requeue all", "dismiss all now held", "release all"]);
                format!("supervisor lea together {act}")
            }
            _ => {
                let doubtful = self.in_doubt();
                let message = self.chance.pick(&doubtful)?;
                self.send_again(&message)
            }
        })
    }

    /// A person says that a message is to be sent again.
    pub(crate) fn send_again(&mut self, message: &str) -> String {
        *self.mta.wanted.entry(message.to_owned()).or_default() += 1;
        format!("{message} again")
    }

    /// A queue gets rules, its first or others.
    pub(crate) fn rules(&mut self, queue: &str) -> String {
        let mut rules = vec![format!("queue {queue}")];
        let other = if queue == "sales" { "support" } else { "sales" };
        let any: [(u64, &str); 18] = [
            (50, "wrap-up=20"),
            (30, "rejected=offline limit=2"),
            (30, "ageing=20/3"),
            (20, "strategy=round_robin"),
            (20, "strategy=least_loaded"),
            (15, "strategy=most_skilled"),
            (30, "preferred=45"),
            (40, "relax=30"),
            (50, "pull=on"),
            (15, "transfers=off"),
            (20, "codes=required"),
            (10, "codes=hold"),
            (30, "takes-back=yes"),
            (30, "clock=shown"),
            (30, "cooldown-max=60"),
            (30, "accept=30 answer=120 close=300"),
            (20, "max=6"),
            (15, "offer=10"),
        ];
        for (percent, rule) in any {
            if self.chance.percent(percent) {
                rules.push(rule.to_owned());
            }
        }
        if self.chance.percent(25) {
            rules.push(format!("overflow={other}:45"));
        }
        if self.chance.percent(10) {
            rules.push("open=08:00-09:05+09:10-24:00".to_owned());
        }
        rules.join(" ")
    }

    /// What is open, by name.
    pub(crate) fn open_work(&mut self) -> Vec<String> {
        let open: Vec<_> = self
            .stage
            .world
            .desk
            .interactions()
            .keys()
            .copied()
            .collect();
        open.into_iter()
            .map(|id| self.stage.names.interaction(id))
            .collect()
    }

    /// What is kept back, by name.
    pub(crate) fn held(&mut self) -> Vec<String> {
        let open = self.stage.world.desk.interactions().values();
        let held: Vec<_> = open
            .filter(|found| matches!(found.state, State::Held { .. }))
            .map(|found| found.id)
            .collect();
        held.into_iter()
            .map(|id| self.stage.names.interaction(id))
            .collect()
    }

    /// Any case there ever was.
    pub(crate) fn any_case(&mut self) -> Option<String> {
        let count = self.stage.names.cases.len() as u64;
        let name = usize::try_from(1 + self.chance.below(count)).ok()?;
        self.is_case(name).then(|| format!("c{name}"))
    }
}
