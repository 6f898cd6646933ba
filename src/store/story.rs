//! Random stories of commits, failures, kills and power cuts, and the one law of the store: what was
//! acknowledged is there.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;

use super::tests::{World, bytes};
use super::*;

/// What happens to a store in a story.
#[derive(Debug, Clone)]
enum Step {
    /// Batches, each of so many pairs and a body of this many bytes.
    Commit(Vec<(u8, usize)>),
    /// The same, with the disk failing in some way.
    Fail(Vec<(u8, usize)>, Fault),
    /// The applier runs.
    Apply,
    /// The same, and the index fails, or panics, after so many changes.
    Break(usize, bool),
    Checkpoint,
    Snapshot,
    /// The process ends without a word; the machine goes on.
    Kill,
    /// The power goes; of what was not synced, this seed tells what is there.
    Cut(u64),
    Close,
}

#[derive(Debug, Clone)]
enum Fault {
    Write,
    Sync,
    Full,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let body = prop_oneof![
        3 => 0..3000usize,
        2 => Just(15_000),
        1 => Just(300_000),
    ];
    let group = || prop::collection::vec((1..4u8, body.clone()), 1..4);
    let fault = prop_oneof![Just(Fault::Write), Just(Fault::Sync), Just(Fault::Full)];
    let step = prop_oneof![
        8 => group().prop_map(Step::Commit),
        2 => (group(), fault).prop_map(|(group, fault)| Step::Fail(group, fault)),
        3 => Just(Step::Apply),
        1 => (0..12usize, any::<bool>()).prop_map(|(after, panics)| Step::Break(after, panics)),
        1 => Just(Step::Checkpoint),
        1 => Just(Step::Snapshot),
        1 => Just(Step::Kill),
        3 => any::<u64>().prop_map(Step::Cut),
        1 => Just(Step::Close),
    ];
    prop::collection::vec(step, 1..20)
}

/// What a batch of the story with this number must have left behind.
fn expected(number: u32, pairs: u8, body: usize) -> (BTreeMap<Vec<u8>, Vec<u8>>, Bytes) {
    let pairs = (0..pairs).map(|place| {
        let key = format!("{number:06}/{place}").into_bytes();
        (
            key,
            number.to_le_bytes().repeat(1 + usize::from(place) * 1500),
        )
    });
    (pairs.collect(), bytes(body, number as u8))
}

/// The key that a batch puts and the next one deletes.
fn mark(number: u32) -> Vec<u8> {
    format!("mark/{number:06}").into_bytes()
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Acknowledged,
    Refused,
    Unknown,
}

struct Story {
    world: World,
    store: Option<Local>,
    /// All batches ever given, with what the store said.
    batches: Vec<(u8, usize, Fate)>,
}

impl Story {
    fn commit(&mut self, group: &[(u8, usize)], fault: Option<&Fault>) -> Fate {
        let first = self.batches.len() as u32;
        let mut batches = Vec::new();
        for (number, (pairs, len)) in (first..).zip(group) {
            let (pairs, body) = expected(number, *pairs, *len);
            let mut batch = Batch::default();
            for (key, value) in pairs {
                batch.put(key, value);
            }
            let content = if body.len() > crate::content::MEMORY_BYTES_MAX {
                self.world.spool(&number.to_string(), &body)
            } else {
                Content::Memory(body)
            };
            let mut body_id = [0; 16];
            body_id[..4].copy_from_slice(&number.to_be_bytes());
            batch.put(mark(number), Vec::new());
            if let Some(before) = number.checked_sub(1) {
                batch.delete(mark(before));
            }
            batch.put(b"latest".to_vec(), number.to_be_bytes().to_vec());
            batch.body(BodyId::from_bytes(body_id), content);
            batches.push(batch);
        }
        match fault {
            Some(Fault::Write) => self.world.disk.fail_writes(1),
            Some(Fault::Sync) => self.world.disk.fail_syncs(1),
            Some(Fault::Full) => self.world.disk.set_free(Some(0)),
            None => {}
        }
        let fate = match self.store.as_ref().unwrap().commit(batches) {
            Ok(()) => Fate::Acknowledged,
            Err(CommitError::Unavailable(_)) => Fate::Refused,
            Err(CommitError::Unknown(_)) => Fate::Unknown,
        };
        self.world.disk.fail_writes(0);
        self.world.disk.fail_syncs(0);
        self.world.disk.set_free(None);
        self.batches
            .extend(group.iter().map(|(p, b)| (*p, *b, fate)));
        fate
    }

    /// Every acknowledged batch is whole, every refused one absent, every other whole or absent;
    /// and of those in doubt none is there without those before it.
    fn check(&mut self) {
        let store = self.store.as_ref().unwrap();
        let mut latest = None;
        let mut marks = Vec::new();
        let mut absent_before = false;
        for (number, (pairs, body, fate)) in (0..).zip(&mut self.batches) {
            let (pairs, body) = expected(number, *pairs, *body);
            let prefix = format!("{number:06}/");
            let found: BTreeMap<_, _> = store
                .scan(prefix.as_bytes(), None, 99)
                .unwrap()
                .into_iter()
                .collect();
            let mut body_id = [0; 16];
            body_id[..4].copy_from_slice(&number.to_be_bytes());
            let found_body = store.body(BodyId::from_bytes(body_id)).unwrap();
            let there = found == pairs && found_body.as_ref() == Some(&body);
            let absent = found.is_empty() && found_body.is_none();
            assert!(there || absent, "batch {number} is there in part");
            match fate {
                Fate::Acknowledged => assert!(there, "batch {number} is lost"),
                Fate::Refused => assert!(absent, "batch {number} was refused"),
                // What was found once after a restart is a promise to whoever read it.
                Fate::Unknown => {
                    assert!(absent || !absent_before, "batch {number} is out of order");
                    absent_before |= absent;
                    *fate = if there {
                        Fate::Acknowledged
                    } else {
                        Fate::Refused
                    };
                }
            }
            if there {
                marks.retain(|key| Some(key) != number.checked_sub(1).map(mark).as_ref());
                marks.push(mark(number));
                latest = Some(number.to_be_bytes().to_vec());
                absent_before = false;
            }
        }
        assert_eq!(store.get(b"latest").unwrap(), latest);
        // Mark by mark, so that deleted ones lie between pages.
        let (mut forward, mut back) = (Vec::<Vec<u8>>::new(), Vec::<Vec<u8>>::new());
        let first = |page: Vec<Pair>| page.into_iter().map(|(key, _)| key).next();
        while let Some(key) = first(
            store
                .scan(b"mark/", forward.last().map(|key| &key[..]), 1)
                .unwrap(),
        ) {
            forward.push(key);
        }
        while let Some(key) = first(
            store
                .scan_back(b"mark/", back.last().map(|key| &key[..]), 1)
                .unwrap(),
        ) {
            back.push(key);
        }
        back.reverse();
        assert_eq!((&forward, &back), (&marks, &marks));
    }

    fn reopen(&mut self) {
        self.store = None;
        let (store, _) = self.world.try_open().expect("opens without help");
        self.store = Some(store);
        self.check();
    }

    fn take(&mut self, step: &Step) {
        let store = self.store.as_ref().unwrap();
        match step {
            Step::Commit(group) => {
                assert_eq!(self.commit(group, None), Fate::Acknowledged);
            }
            Step::Fail(group, fault) => {
                let fate = self.commit(group, Some(fault));
                if fate == Fate::Unknown {
                    self.reopen();
                }
            }
            Step::Apply => {
                store.apply().unwrap();
                self.check();
            }
            Step::Break(after, panics) => {
                store.break_index(*after, *panics);
                if store.apply().is_err() {
                    self.check();
                    assert_eq!(self.commit(&[(1, 100)], None), Fate::Refused);
                }
                self.reopen();
            }
            Step::Checkpoint => store.checkpoint().unwrap(),
            Step::Snapshot => store.snapshot().unwrap(),
            Step::Kill => self.reopen(),
            Step::Cut(seed) => {
                self.store = None;
                let mut random = *seed;
                self.world.cut(|| {
                    random = random
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1);
                    random >> 63 == 1
                });
                self.reopen();
            }
            Step::Close => {
                store.close().unwrap();
                self.world.boot += 1;
                self.reopen();
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_was_acknowledged_is_there_whatever_happens(steps in steps()) {
        let world = World::new();
        let store = Some(world.open());
        let mut story = Story { world, store, batches: Vec::new() };
        for step in &steps {
            story.take(step);
        }
        story.check();
    }
}
