//! The rows of the policy: each thing that can happen to an agent's status or to an offer, once,
//! with what follows. `pairs` has every cell; here each row says what it is there for.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use postroom::desk::Policy;

use crate::stage::Stage;
use crate::world::World;

/// Row, what went before, what happens, and what follows.
const TABLE: &str = include_str!("policy.table");

/// P9 and P21 are what an agent's own mail and a supervisor bring about, and told with those.
const AGENTS: [&str; 21] = [
    "P1", "P2", "P3", "P4", "P5", "P6", "P7", "P8", "P10", "P11", "P12", "P13", "P14", "P15",
    "P16", "P17", "P18", "P19", "P20", "P22", "P23",
];
const OFFERS: [&str; 10] = ["O1", "O2", "O3", "O4", "O5", "O6", "O7", "O8", "O9", "O10"];

#[test]
fn every_row_of_the_policy_holds() {
    let mut named = BTreeSet::new();
    let mut wrong = String::new();
    for line in TABLE
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [row, before, event, after] = cells.as_slice() else {
            panic!("four cells: {line}");
        };
        named.insert(*row);
        let got = follows(before, event);
        if got != *after {
            let _ = writeln!(wrong, "{row} | {before} | {event} | {got}");
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    let rows: BTreeSet<&str> = AGENTS.into_iter().chain(OFFERS).collect();
    assert_eq!(named, rows);
}

/// What followed from the last of these, and how anna stands then.
fn follows(before: &str, event: &str) -> String {
    let mut stage = Stage::new(World::new(Policy::default()));
    let scene = "09:00:00 queue support wrap-up=60 limit=2; queue sales rejected=offline limit=1; \
                 agent anna serves support sales; agent bert serves support";
    let mut told = Vec::new();
    for line in scene
        .split("; ")
        .chain(before.split("; "))
        .chain(event.split("; "))
        .filter(|line| !line.is_empty())
    {
        told = stage
            .line(line)
            .unwrap_or_else(|why| panic!("{line}: {why}"));
    }
    let anna = stage
        .show()
        .into_iter()
        .find(|line| line.starts_with("anna: "));
    // What a letter is called is of no interest here.
    told.retain(|line| !line.starts_with('m') && !line.ends_with("goes to the submitter"));
    told.extend(anna);
    told.join("; ")
}
