//! A deadline is kept by whatever process is there when it comes.

use std::time::Duration;

use postroom::desk::{Command, Effects, Fact};
use postroom::id::SessionId;
use postroom::time::Timestamp;
use proptest::prelude::*;

use super::laws::{play, step};
use crate::world::{World, law};

/// What deadlines bring about by themselves.
fn brought(effects: &Effects) -> Vec<(Timestamp, String)> {
    let told = effects.events.iter().filter_map(|event| {
        let what = match &event.fact {
            Fact::WrapUpEnded {
                interaction,
                outcome,
            } => format!("{} is closed: {outcome:?}", interaction.id),
            Fact::InteractionUnassigned { interaction, .. } => {
                format!("{} is back", interaction.id)
            }
            Fact::InteractionOverflowed { interaction, .. } => {
                format!("{} is in {}", interaction.id, interaction.queue)
            }
            Fact::TargetNear {
                interaction,
                goal,
                missed,
                ..
            } => format!("{} {goal:?} {missed}", interaction.id),
            Fact::QueueChanged { queue, opening } => format!("{queue} is {opening:?}"),
            _ => return None,
        };
        Some((event.time, what))
    });
    told.collect()
}

/// All that comes by itself within two days.
fn left_alone(mut world: World, from: Timestamp) -> Vec<(Timestamp, String)> {
    let end = from + Duration::from_secs(2 * 86_400);
    let mut all = Vec::new();
    let mut now = from;
    while let Some(due) = world.desk.next_deadline().filter(|due| *due < end) {
        now = now.max(due);
        all.extend(brought(&world.tick(now)));
    }
    all.sort_unstable();
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// Whatever is due, is due after a restart as well, at the same time and with the same end.
    /// Everybody goes home first: who is there and what is offered is another matter.
    #[test]
    fn deadlines_survive_a_restart(steps in prop::collection::vec(step(), 1..60)) {
        let mut left = play(&steps);
        // A queue that the configuration has lost would come back with other rules.
        left.world.handle(left.now, Command::SetQueues(left.queues.clone())).unwrap();
        let sessions: Vec<SessionId> = left.world.desk.sessions().map(|it| it.id).collect();
        for session in sessions {
            left.world.handle(left.now, Command::ForceSignOut { session, requeue: false }).unwrap();
        }
        let mut again = left.world.clone();
        let mut restarted = brought(&again.restart(left.now));
        restarted.extend(left_alone(again, left.now));
        let alone = left_alone(left.world, left.now);
        law!(32, restarted == alone, "{restarted:#?}\nand without a restart {alone:#?}");
    }
}
