//! A day that failed, told again: cut down as far as it still breaks the same law, and kept as a
//! story.

use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::path::Path;

use crate::day::{PACE, policy};
use crate::stage::Stage;
use crate::world::{Pace, World};

/// How often a story is told again to make it shorter.
const TRIES: usize = 600;

/// Every story is checked the same way as it was when it failed.
fn stage() -> Stage {
    Stage::new(World::new(policy()).at_pace(PACE))
}

/// What a story fails with; `None` if all goes well. Lines that speak of what is no longer there
/// are passed over.
fn failing(story: &[String]) -> Option<String> {
    let told = catch_unwind(AssertUnwindSafe(|| {
        let mut stage = stage();
        for line in story {
            let _ = stage.line(line);
        }
    }));
    let why = told.err()?;
    let text = (why.downcast_ref::<String>().cloned())
        .or_else(|| why.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    text.or(Some(String::new()))
}

/// The law that was broken, or the beginning of whatever else was said.
fn law(why: &str) -> &str {
    why.split(':').next().unwrap_or(why)
}

/// Leaves out what the failure does not need: halves first, single lines last.
fn shorter(story: &[String]) -> Vec<String> {
    let Some(why) = failing(story) else {
        return story.to_vec();
    };
    let same = |story: &[String]| failing(story).is_some_and(|other| law(&other) == law(&why));
    let (mut story, mut tries) = (story.to_vec(), 0);
    let mut size = story.len() / 2;
    while size > 0 && tries < TRIES {
        let mut at = story.len();
        while at > 0 && tries < TRIES {
            let from = at.saturating_sub(size);
            let mut without = story.clone();
            without.drain(from..at);
            tries += 1;
            if same(&without) {
                story = without;
            }
            at = from;
        }
        size /= 2;
    }
    story
}

/// What is said of a day that failed.
pub(crate) fn report(seed: u64, story: &[String]) -> String {
    let hook = take_hook();
    // Each try fails, and says so.
    set_hook(Box::new(|_| {}));
    let short = shorter(story);
    let why = failing(&short);
    set_hook(hook);
    let path = std::env::temp_dir().join(format!("postroom-day-{seed}.txt"));
    let mut text = format!("# Day {seed}, which broke a law.\n\n");
    for line in &short {
        let _ = writeln!(text, "{line}");
    }
    text.push_str("----\n");
    let kept = std::fs::write(&path, &text);
    let mut said = format!("seed={seed}; again: SEED={seed} cargo test --test sim\n");
    match why {
        Some(why) => {
            let _ = writeln!(said, "{why}");
        }
        // It needs those outside, whom the story does not have.
        None => said.push_str("the desk by itself does not fail on it\n"),
    }
    let (all, left) = (story.len(), short.len());
    if kept.is_ok() {
        let path = path.display();
        let _ = writeln!(
            said,
            "{left} of {all} lines; told again: STORY={path} cargo test --test sim"
        );
    }
    let from = short.len().saturating_sub(60);
    for line in &short[from..] {
        let _ = writeln!(said, "{line}");
    }
    said
}

/// Tells a story that was kept, with what follows from each line.
pub(crate) fn tell(path: &Path) {
    let text = std::fs::read_to_string(path).unwrap();
    let mut stage = Stage::new(World::new(policy()).at_pace(Pace::THOROUGH));
    let mut answering = false;
    for line in text.lines() {
        // The answers of the file are passed over: what follows is said anew.
        answering = line == "----" || answering && !line.is_empty();
        if answering || line.is_empty() || line.starts_with('#') {
            continue;
        }
        say(line);
        match stage.line(line) {
            Ok(followed) => followed.iter().for_each(|line| say(&format!("    {line}"))),
            Err(why) => say(&format!("    passed over: {why}")),
        }
    }
    for line in stage.show() {
        say(&line);
    }
}

/// Past the runner, which would keep it to itself.
fn say(line: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "{line}");
}
