//! The overlay: changes that are durable in the journal and not yet in the index, in memory. Who
//! moves them into the index is decided in `applier`.
//!
//! Two layers. Commits go into the fresh one. A turn makes it the settling one, which then does not
//! change while it is written to the index, and is dropped when it is there. So what is dropped is
//! exactly what was written, whatever was committed meanwhile; and a reader who looks at the fresh
//! layer, then at the settling one, then at the index never finds an older value than there is.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::journal::Position;

/// Most changes that may wait, give or take one group.
const ENTRIES_MAX: usize = 20_000;

/// Most bytes of changes that may wait, give or take one group.
const BYTES_MAX: usize = 4 << 20;

/// What a change takes in memory beside its key and its value, in bytes, about.
const ENTRY_BYTES: usize = 96;

/// What became of a key: its value, or `None` if it was deleted.
pub(crate) type Change<V> = Option<V>;

/// The newest change of each of some keys.
pub(crate) type Layer<V> = BTreeMap<Vec<u8>, Change<V>>;

/// Which way keys are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Forward,
    Back,
}

/// What a value takes in memory.
pub(crate) trait Weigh {
    /// In bytes, beside the value itself.
    fn bytes(&self) -> usize;
}

/// Changes on their way from the journal to the index.
#[derive(Debug)]
pub(crate) struct Overlay<V> {
    fresh: Layer<V>,
    fresh_bytes: usize,
    /// Behind the last frame of the fresh layer.
    fresh_end: Position,
    settling: Arc<Layer<V>>,
    settling_bytes: usize,
    settling_end: Position,
    applied: Position,
}

impl<V: Clone + Weigh> Overlay<V> {
    /// Nothing waits: the index has everything before `applied`.
    pub(crate) fn new(applied: Position) -> Self {
        Self {
            fresh: Layer::new(),
            fresh_bytes: 0,
            fresh_end: applied,
            settling: Arc::default(),
            settling_bytes: 0,
            settling_end: applied,
            applied,
        }
    }

    /// Adds what was just made durable, up to `end`. A later change of a key takes the place of an
    /// earlier one, which the index then never sees.
    pub(crate) fn add(
        &mut self,
        changes: impl IntoIterator<Item = (Vec<u8>, Change<V>)>,
        end: Position,
    ) {
        let bytes = |key: usize, change: &Change<V>| {
            ENTRY_BYTES + key + change.as_ref().map_or(0, Weigh::bytes)
        };
        for (key, change) in changes {
            let key_len = key.len();
            self.fresh_bytes += bytes(key_len, &change);
            if let Some(old) = self.fresh.insert(key, change) {
                self.fresh_bytes -= bytes(key_len, &old);
            }
        }
        self.fresh_end = end;
    }

    /// Whether so much waits that no more should be added.
    pub(crate) fn is_full(&self) -> bool {
        self.fresh.len() + self.settling.len() >= ENTRIES_MAX
            || self.fresh_bytes + self.settling_bytes >= BYTES_MAX
    }

    /// How many changes wait that no turn has taken yet.
    pub(crate) fn fresh(&self) -> usize {
        self.fresh.len()
    }

    /// Position before which the index has everything.
    pub(crate) fn applied(&self) -> Position {
        self.applied
    }

    /// The newest change of a key, if one waits.
    pub(crate) fn get(&self, key: &[u8]) -> Option<&Change<V>> {
        self.fresh.get(key).or_else(|| self.settling.get(key))
    }

    /// The newest changes of the keys in a range, in their order, up to the one that makes it
    /// `limit` values; deleted keys between come on top.
    pub(crate) fn page(
        &self,
        range: &Range<Vec<u8>>,
        direction: Direction,
        limit: usize,
    ) -> Vec<(Vec<u8>, Change<V>)> {
        let fresh = first(&self.fresh, range, direction, limit);
        // Each of its deleted keys hides one value of the layer below at most.
        let hidden = deleted(&fresh);
        let wanted = limit.saturating_add(hidden);
        let settling = first(&self.settling, range, direction, wanted);
        let mut both: Layer<V> = settling.into_iter().collect();
        both.extend(fresh);
        first(&both, range, direction, limit)
    }

    /// Makes the fresh layer the settling one, unless another is still settling, and answers it.
    pub(crate) fn turn(&mut self) -> Arc<Layer<V>> {
        if self.settling.is_empty() {
            self.settling = Arc::new(std::mem::take(&mut self.fresh));
            self.settling_bytes = std::mem::take(&mut self.fresh_bytes);
            self.settling_end = self.fresh_end;
        }
        Arc::clone(&self.settling)
    }

    /// The settling layer is in the index.
    pub(crate) fn settled(&mut self) {
        self.settling = Arc::default();
        self.settling_bytes = 0;
        self.applied = self.settling_end;
    }
}

/// How many of these changes delete a key.
pub(crate) fn deleted<V>(changes: &[(Vec<u8>, Change<V>)]) -> usize {
    changes
        .iter()
        .filter(|(_, change)| change.is_none())
        .count()
}

/// The changes of a layer in a range up to the one that makes it `limit` values.
fn first<V: Clone>(
    layer: &Layer<V>,
    range: &Range<Vec<u8>>,
    direction: Direction,
    limit: usize,
) -> Vec<(Vec<u8>, Change<V>)> {
    let within = layer.range::<Vec<u8>, _>(&range.start..&range.end);
    match direction {
        Direction::Forward => up_to(within, limit),
        Direction::Back => up_to(within.rev(), limit),
    }
}

fn up_to<'a, V: Clone + 'a>(
    changes: impl Iterator<Item = (&'a Vec<u8>, &'a Change<V>)>,
    limit: usize,
) -> Vec<(Vec<u8>, Change<V>)> {
    let mut values = 0;
    changes
        .take_while(|(_, change)| {
            let goes_on = values < limit;
            values += usize::from(change.is_some());
            goes_on
        })
        .map(|(key, change)| (key.clone(), change.clone()))
        .collect()
}

/// Lays changes over a page of what is below, and answers the first `limit` values.
///
/// `changes` is an [`Overlay::page`] of that limit, and `below` has as many more entries as it has
/// deleted keys, unless there are no more: each of them hides one at most.
pub(crate) fn lay_over<V>(
    changes: Vec<(Vec<u8>, Change<V>)>,
    below: Vec<(Vec<u8>, V)>,
    direction: Direction,
    limit: usize,
) -> Vec<(Vec<u8>, V)> {
    if changes.is_empty() {
        return below;
    }
    let below = below.into_iter().map(|(key, value)| (key, Some(value)));
    let mut merged: Layer<V> = below.collect();
    merged.extend(changes);
    let values = |(key, change): (Vec<u8>, Change<V>)| Some((key, change?));
    match direction {
        Direction::Forward => merged.into_iter().filter_map(values).take(limit).collect(),
        Direction::Back => merged
            .into_iter()
            .rev()
            .filter_map(values)
            .take(limit)
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    impl Weigh for u8 {
        fn bytes(&self) -> usize {
            0
        }
    }

    fn at(sequence: u64) -> Position {
        Position {
            sequence,
            ..Position::default()
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        /// A group of changes.
        Add(Vec<(u8, Change<u8>)>),
        Turn,
        /// So many changes of the settling layer are written to what is below.
        Write(usize),
        Settled,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let change = (0..24u8, prop::option::of(any::<u8>()));
        let step = prop_oneof![
            4 => prop::collection::vec(change, 0..8).prop_map(Step::Add),
            2 => Just(Step::Turn),
            1 => (0..8usize).prop_map(Step::Write),
            2 => Just(Step::Settled),
        ];
        prop::collection::vec(step, 0..24)
    }

    type Model = BTreeMap<Vec<u8>, u8>;

    fn write(below: &mut Model, changes: &[(Vec<u8>, Change<u8>)]) {
        for (key, change) in changes {
            match change {
                Some(value) => drop(below.insert(key.clone(), *value)),
                None => drop(below.remove(key)),
            }
        }
    }

    /// As a store reads a page.
    fn page(
        overlay: &Overlay<u8>,
        below: &Model,
        range: &Range<Vec<u8>>,
        direction: Direction,
        limit: usize,
    ) -> Vec<(Vec<u8>, u8)> {
        let changes = overlay.page(range, direction, limit);
        let wanted = limit + deleted(&changes);
        let found = below.range(range.clone()).map(|(k, v)| (k.clone(), *v));
        let found = match direction {
            Direction::Forward => found.take(wanted).collect(),
            Direction::Back => found.rev().take(wanted).collect(),
        };
        lay_over(changes, found, direction, limit)
    }

    proptest! {
        #[test]
        fn overlay_and_index_together_read_like_one_map(
            steps in steps(),
            ends in (0..26u8, 0..26u8),
            limit in 0..30usize,
        ) {
            let mut overlay = Overlay::new(at(1));
            let (mut model, mut below) = (Model::new(), Model::new());
            let mut end = 1;
            let mut turned = None;
            for step in steps {
                match step {
                    Step::Add(changes) => {
                        let changes: Vec<_> =
                            changes.into_iter().map(|(key, change)| (vec![key], change)).collect();
                        write(&mut model, &changes);
                        end += 1;
                        overlay.add(changes, at(end));
                    }
                    Step::Turn => {
                        let layer = overlay.turn();
                        // One that waits to be settled is not replaced.
                        let waits = |(old, _): &(Arc<Layer<u8>>, u64)| !old.is_empty();
                        if turned.as_ref().is_some_and(waits) {
                            prop_assert_eq!(turned.as_ref().map(|(old, _)| old), Some(&layer));
                        } else {
                            turned = Some((layer, end));
                        }
                    }
                    Step::Write(count) => {
                        if let Some((layer, _)) = &turned {
                            let some: Vec<_> =
                                layer.iter().take(count).map(|(k, c)| (k.clone(), *c)).collect();
                            write(&mut below, &some);
                        }
                    }
                    Step::Settled => {
                        if let Some((layer, end)) = turned.take() {
                            let all: Vec<_> = layer.iter().map(|(k, c)| (k.clone(), *c)).collect();
                            write(&mut below, &all);
                            overlay.settled();
                            prop_assert_eq!(overlay.applied(), at(end));
                        }
                    }
                }
                for key in 0..24 {
                    let key = [key];
                    let found = match overlay.get(&key) {
                        Some(change) => *change,
                        None => below.get(&key[..]).copied(),
                    };
                    prop_assert_eq!(found, model.get(&key[..]).copied());
                }
                let range = vec![ends.0.min(ends.1)]..vec![ends.0.max(ends.1)];
                let all = model.range(range.clone()).map(|(k, v)| (k.clone(), *v));
                let forward: Vec<_> = all.clone().take(limit).collect();
                prop_assert_eq!(page(&overlay, &below, &range, Direction::Forward, limit), forward);
                let back: Vec<_> = all.rev().take(limit).collect();
                prop_assert_eq!(page(&overlay, &below, &range, Direction::Back, limit), back);
                if turned.is_none() && overlay.fresh() == 0 {
                    prop_assert_eq!(&below, &model);
                }
            }
        }
    }

    #[test]
    fn what_waits_is_counted_once_and_bounded() {
        let mut overlay = Overlay::new(at(1));
        for sequence in 2..=30_000 {
            overlay.add([(vec![7], Some(1))], at(sequence));
        }
        assert!(!overlay.is_full());
        assert_eq!(overlay.fresh_bytes, ENTRY_BYTES + 1);
        let many = |from: u32, to: u32| (from..to).map(|n| (n.to_be_bytes().to_vec(), None));
        let half = ENTRIES_MAX as u32 / 2;
        overlay.add(many(0, half), at(30_001));
        overlay.turn();
        overlay.add(many(half, 2 * half - 2), at(30_002));
        assert!(!overlay.is_full());
        overlay.add(many(half, 2 * half - 1), at(30_003));
        assert!(overlay.is_full());
        overlay.settled();
        assert!(!overlay.is_full());
        assert_eq!(overlay.applied(), at(30_001));
        let long = vec![1; BYTES_MAX];
        overlay.add([(long, None)], at(30_004));
        assert!(overlay.is_full());
    }
}
