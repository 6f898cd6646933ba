//! Figures in words, for stories: what is not zero.

use postroom::desk::{AgentFigure, Day, QueueFigure, Tally};
use postroom::time::Timestamp;

use crate::world::World;

/// The figures of all days, with what waits and what goes on.
pub(crate) fn lines(world: &World, now: Timestamp) -> Vec<String> {
    let mut figures = world.kept.figures.clone();
    let all = Day::from_number(0)..=Day::MAX;
    for (of, waits) in world.desk.untouched(&all) {
        figures.queues.entry(of).or_default().received += waits;
    }
    for (of, more) in world.desk.running(now) {
        *figures.agents.entry(of).or_default() += more;
    }
    let queues =
        (figures.queues.iter()).map(|((day, id), sum)| format!("{day} {id}: {}", queue(sum)));
    let agents =
        (figures.agents.iter()).map(|((day, id), sum)| format!("{day} {id}: {}", agent(sum)));
    queues.chain(agents).collect()
}

fn queue(sum: &QueueFigure) -> String {
    let mut words = vec![
        count("received", sum.received),
        count("accepted", sum.accepted),
        count("answered", sum.answered),
        count("closed", sum.closed),
        count("abandoned", sum.abandoned),
        count("dropped", sum.dropped),
        count("sent", sum.sent),
        count("rejected", sum.rejected),
        count("missed", sum.missed),
        count("moved in", sum.moved_in),
        count("moved out", sum.moved_out),
        time("waited", sum.waited_ms),
        time("longest", sum.wait_max_ms),
        time("handled", sum.handled_ms),
        time("wrapped", sum.wrapped_ms),
    ];
    for (name, tally) in [
        ("accept", sum.accept),
        ("answer", sum.answer),
        ("close", sum.close),
    ] {
        words.push(goal(name, tally));
    }
    words.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn agent(sum: &AgentFigure) -> String {
    let words = [
        count("accepted", sum.accepted),
        count("finished", sum.handled),
        count("answered", sum.answered),
        count("sent", sum.sent),
        count("rejected", sum.rejected),
        count("missed", sum.missed),
        time("handled", sum.handled_ms),
        time("wrapped", sum.wrapped_ms),
        time("available", sum.available_ms),
        time("busy", sum.busy_ms),
        time("post-processing", sum.wrap_up_ms),
        time("offline", sum.offline_ms),
    ];
    words.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn count(name: &str, number: u64) -> Option<String> {
    (number > 0).then(|| format!("{name} {number}"))
}

fn time(name: &str, millis: u64) -> Option<String> {
    (millis > 0).then(|| format!("{name} {} s", millis as f64 / 1000.0))
}

fn goal(name: &str, tally: Tally) -> Option<String> {
    let level = |share: Option<f64>| share.map_or("-".to_owned(), |share| format!("{share:.0} %"));
    (tally != Tally::default()).then(|| {
        let (reached, due) = (level(tally.of_reached()), level(tally.of_due()));
        format!(
            "{name} {}/{}/{} {reached} {due}",
            tally.met, tally.late, tally.lost
        )
    })
}
