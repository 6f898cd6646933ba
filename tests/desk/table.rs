//! The table of the laws: each has its number where it is checked, and nobody can lose one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Number, what it says, and where it is held.
const TABLE: &str = include_str!("laws.table");

/// How many there are.
const LAWS: u32 = 45;

/// Where laws are named by their number.
const CHECKERS: [&str; 10] = [
    "tests/days/day.rs",
    "tests/days/mta.rs",
    "tests/desk/check.rs",
    "tests/desk/deadlines.rs",
    "tests/desk/fairness.rs",
    "tests/desk/kept.rs",
    "tests/desk/recount.rs",
    "tests/desk/step.rs",
    "tests/desk/told.rs",
    "tests/desk/world.rs",
];

fn text(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The laws that a file names.
fn named(path: &str) -> BTreeSet<u32> {
    let text: String = text(path).split_whitespace().collect();
    let numbers = text.split("law!(").skip(1);
    let numbers = numbers.filter_map(|rest| rest.split(',').next()?.parse().ok());
    numbers.collect()
}

/// Whether a file has a test of this name.
fn has_test(path: &str, name: &str) -> bool {
    let text = text(path);
    let Some(at) = text.find(&format!("fn {name}(")) else {
        return false;
    };
    let before = text[..at].trim_end();
    let before = before.strip_suffix("async").unwrap_or(before).trim_end();
    let attribute = before.rsplit("#[").next().unwrap_or_default();
    // Documented between the two, in a proptest.
    let attribute = attribute.lines().next().unwrap_or_default();
    attribute.starts_with("test]") || attribute.starts_with("tokio::test")
}

#[test]
fn every_law_is_held_somewhere() {
    let mut rows: BTreeMap<u32, Vec<&str>> = BTreeMap::new();
    for line in (TABLE.lines()).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [number, says, places] = cells.as_slice() else {
            panic!("three cells: {line}");
        };
        assert!(!says.is_empty(), "{line}");
        let places = places.split(", ").collect();
        let before = rows.insert(number.parse().unwrap(), places);
        assert!(before.is_none(), "law {number} has two rows");
    }
    assert!(rows.keys().copied().eq(1..=LAWS), "{:?}", rows.keys());
    let mut wrong = Vec::new();
    for (number, places) in &rows {
        for place in places {
            let held = match place.split_once("::") {
                Some((path, name)) => has_test(path, name),
                None if place.ends_with(".rs") => named(place).contains(number),
                None => !text(place).is_empty(),
            };
            if !held {
                wrong.push(format!("law {number} is not held by {place}"));
            }
        }
    }
    for path in CHECKERS {
        for number in named(path) {
            let said = rows
                .get(&number)
                .is_some_and(|places| places.contains(&path));
            if !said {
                wrong.push(format!("law {number} is also held by {path}"));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
