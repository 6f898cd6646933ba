//! Stories of the desk, as transcripts, and the laws that hold in all of them.
//!
//! A file of `tests/desk` tells one story. Its first lines say why it is told; then come blocks of
//! commands, four dashes, and what followed. `UPDATE=1 cargo test --test desk` writes the answers
//! anew. Commit a rewritten answer only when you understand why it changed: the runner believes
//! whatever the desk says.
//!
//! The desk is told the time before each command, as the engine does it; what a deadline brought
//! about stands behind its time. Names are given in the order of appearance: interactions `i1`,
//! offers `o1`, messages `m1`, cases `c1`. Each command begins with a time of day, or stands in
//! the same second as the one before:
//!
//! | command | example |
//! |---|---|
//! | how a queue is shared out | `queue support strategy=most_skilled preferred=60 relax=60 ageing=60/5` |
//! | what an agent can do, in full | `anna can german:3 law` |
//! | a queue, with rules | `queue support offer=30 wrap-up=60 rejected=offline missed=cooldown limit=2 cooldown=5 max=100 pull=on transfers=off`, `queue support open=09:00-12:00+13:00-17:00 overflow=sales:60`, `queue support accept=60 answer=300 close=600 warn=50` |
//! | more of its rules | `queue support clock=shown codes=hold extensions=2 extension=30 rejects=3 cooldown-max=60 reject=no takes-back=yes` |
//! | rules for every agent | `house after-work=return wrap-up=slot reason=offline:lunch reason=wrap-up:sold` |
//! | an account | `agent anna serves support sales` |
//! | sign-in, stream, Available | `anna starts` |
//! | sign-in | `anna signs in`, `anna signs in as available`, `anna takes over` |
//! | stream | `anna attaches`, `anna detaches`, `anna renews` |
//! | sign-out | `anna signs out` |
//! | presence | `anna wants available`, `anna wants offline lunch` |
//! | offers | `anna sees o1`, `anna accepts o1`, `anna rejects o1 not-mine`, `anna rejects o1 then offline tea`, `anna rejects o1 then available` |
//! | answers | `anna replies i1`, `anna replies i1 from x@y.example`, `anna replies i1 having read m1` |
//! | ends | `anna ends i1` |
//! | mails of her own | `anna forwards i1`, `anna begins a mail from x@y.example`, `anna begins a mail of c1`, `anna sends i1`, `anna sends i1 having read m1`, `anna discards i1`, `anna attaches a file to i1`, `anna writes for i1` |
//! | hands on | `anna transfers i1 to sales`, `anna requeues i1`, `anna cancels i1` |
//! | helps herself | `anna pulls from support`, `anna pulls i1` |
//! | sets aside | `anna parks i1 for 600`, `anna resumes i1` |
//! | post-processing | `anna saves i1 sold`, `anna extends i1`, `anna completes i1`, `anna completes i1 as sold`, `anna completes i1 then offline tea` |
//! | an older session of hers | `anna's old session accepts o1` |
//! | an account | `anna may hold 3`, `anna is disabled`, `anna is enabled`, `anna is removed` |
//! | membership | `anna joins sales`, `anna joins sales with 20`, `anna leaves sales` |
//! | mail | `mail for support`, `mail for support sales`, `mail of c1 for support`, `mail after c1 for support` |
//! | mail that is no work yet, or none | `held mail for support`, `quiet mail of c1 for support`, `machine's mail of c1 for support` |
//! | mail with a rule's orders | `mail needing german:3 law for support`, `mail at 5 for support` |
//! | why somebody is not offered something | `why not i1 to anna` |
//! | a supervisor | `i1 is moved to 5`, `i1 is released`, `i1 is dismissed`, `c1 is merged into c2`, `tokens of c1 are revoked` |
//! | a queue is paused | `pause queue support lunch`, `resume queue support` |
//! | a supervisor of agents | `supervisor lea sets anna available`, `supervisor lea sets anna offline lunch: eat something`, `supervisor lea signs anna out`, `… out and takes all`, `supervisor lea tells anna: hello`, `… tells all of support sales: hello`, `… tells everybody: hello` |
//! | the submitter | `m2 handed over`, `m2 accepted`, `m2 deferred`, `m2 refused`, `m2 lost`, `m2 again`; a report, `m2 bounces` |
//! | a supervisor of work | `supervisor lea gives i1 to anna`, `supervisor lea moves i1 to queue sales` |
//! | a supervisor of much work, and what it would be | `supervisor lea together move all in support now queued since 09:00:10 to sales`, `supervisor lea would dismiss all from @customer.example` |
//! | alerts | `alert about m2 is cleared` |
//! | the process ends, and a new one begins | `stop`, `restart` |
//! | what follows is not durable at once; then it is, or the power fails after some of it, or the store says that nothing was written and rests | `a round begins`; `it is written`, `the power fails after 1`, `the store fails`, `the store works again` |
//! | the machine falls asleep, and wakes | `stop`, `wakes` |
//! | nothing | `time passes` |
//! | a note | `supervisor lea notes c1: calls back tomorrow` |
//! | a look | `show`, `feed of c1` |
//! | the figures of the day that are not zero, times in seconds | `figures` |
//! | the time zone of the figures | `house zone=Europe/Berlin` |

#![expect(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

#[path = "desk/deadlines.rs"]
mod deadlines;
#[path = "desk/fairness.rs"]
mod fairness;
#[path = "desk/figures.rs"]
mod figures;
#[path = "desk/laws.rs"]
mod laws;
#[path = "desk/mails.rs"]
mod mails;
#[path = "desk/names.rs"]
mod names;
#[path = "desk/pairs.rs"]
mod pairs;
#[path = "desk/policy.rs"]
mod policy;
#[path = "desk/stage.rs"]
mod stage;
#[path = "desk/table.rs"]
mod table;
#[path = "desk/words.rs"]
mod words;
#[path = "desk/world.rs"]
mod world;

use std::fmt::Write as _;
use std::path::Path;

use postroom::desk::Policy;
use stage::Stage;
use world::World;

#[test]
fn stories() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/desk");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "txt"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no stories");
    let update = std::env::var_os("UPDATE").is_some();
    let mut differ = Vec::new();
    for path in files {
        let told = std::fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let got = play(&told, &name);
        if got == told {
            continue;
        }
        if update {
            std::fs::write(&path, &got).unwrap();
        } else {
            differ.push(format!("{name}: {}", first_difference(&told, &got)));
        }
    }
    assert!(differ.is_empty(), "\n{}", differ.join("\n"));
}

fn first_difference(told: &str, got: &str) -> String {
    let lines = told.lines().chain([""]).zip(got.lines().chain([""]));
    lines
        .enumerate()
        .find(|(_, (told, got))| told != got)
        .map_or_else(
            || "one is longer".into(),
            |(number, (told, got))| {
                format!(
                    "line {}\n  in the file: {told}\n  now:         {got}",
                    number + 1
                )
            },
        )
}

/// Plays a file and answers it with what really followed.
fn play(told: &str, name: &str) -> String {
    let mut stage = Stage::new(World::new(Policy::default()));
    let mut out = String::new();
    let mut answering = false;
    let mut lines: Vec<String> = Vec::new();
    for (number, line) in told.lines().enumerate() {
        if answering && !line.is_empty() {
            continue;
        }
        if line == "----" {
            answering = true;
            out.push_str("----\n");
            if lines.is_empty() {
                lines.push("nothing".into());
            }
            for line in lines.drain(..) {
                let _ = writeln!(out, "{line}");
            }
            continue;
        }
        answering = false;
        let _ = writeln!(out, "{line}");
        if !line.is_empty() && !line.starts_with('#') {
            let at = || format!("{name}:{}: {line}", number + 1);
            lines.extend((stage.line(line)).unwrap_or_else(|why| panic!("{}: {why}", at())));
        }
    }
    out
}
