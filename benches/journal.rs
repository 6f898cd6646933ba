//! What a durable commit costs, beside the least it can cost: one write and one `fdatasync` of as
//! many bytes to a prepared file in the same folder.
//!
//! The figures to look at are ratios within one run, in elements a second: `direct` over `raw` is
//! what the store costs a caller, and `commit/1` has two hand-overs between threads on top, as a
//! caller of the engine has.

#![expect(missing_docs, reason = "criterion's macro makes a public function")]

use std::fs::OpenOptions;
use std::hint::black_box;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use postroom::content::Content;
use postroom::store::{Batch, BodyId, Local, LocalConfig, Store};

/// Size of a usual letter, in bytes.
const BODY_BYTES: usize = 8 << 10;

/// Commits a writer makes in one iteration.
const ROUNDS: u64 = 16;

/// Largest group the committing thread gathers.
const GROUP_MAX: usize = 256;

/// Size of the raw file, in bytes: that of a segment.
const RAW_BYTES: u64 = 64 << 20;

fn batch(number: u64) -> Batch {
    let mut id = [0; 16];
    if let Some(end) = id.get_mut(8..) {
        end.copy_from_slice(&number.to_be_bytes());
    }
    let mut batch = Batch::default();
    batch.put([&b"message/"[..], &id].concat(), vec![1; 200]);
    batch.put([&b"interaction/"[..], &id].concat(), vec![2; 100]);
    let body = Bytes::from_static(&[b'x'; BODY_BYTES]);
    batch.body(BodyId::from_bytes(id), Content::Memory(body));
    batch
}

/// A batch on its way to the committing thread, with the way back.
type Order = (u64, Sender<()>);

fn committer(store: &Local, orders: &Receiver<Order>) {
    while let Ok(first) = orders.recv() {
        let mut gathered = vec![first];
        gathered.extend(orders.try_iter().take(GROUP_MAX - 1));
        let group = gathered.iter().map(|(number, _)| batch(*number)).collect();
        store
            .commit(group)
            .expect("the bench has a disk to write to");
        for (_, answer) in gathered {
            let _ = answer.send(());
        }
    }
}

fn writer(orders: &Sender<Order>, begin: &Receiver<u64>, done: &Sender<()>) {
    let (answer, answered) = channel();
    while let Ok(first) = begin.recv() {
        for number in first..first + ROUNDS {
            let _ = orders.send((number, answer.clone()));
            let _ = answered.recv();
        }
        let _ = done.send(());
    }
}

fn commits(c: &mut Criterion) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder to write to");
    let mut group = c.benchmark_group("journal");
    group.sample_size(10);
    group.warm_up_time(Duration::from_millis(500));
    group.measurement_time(Duration::from_secs(2));

    group.throughput(Throughput::Elements(ROUNDS));
    raw(&mut group, folder.path());

    let config = LocalConfig::new(folder.path().join("store"));
    let (store, _) = Local::open(config).expect("an empty folder");
    let store = Arc::new(store);
    let mut number = 0;
    group.bench_function("direct", |b| {
        b.iter(|| {
            for _ in 0..ROUNDS {
                number += 1;
                store.commit(vec![batch(number)]).expect("room on the disk");
            }
        });
    });

    let (orders, incoming) = channel();
    let committing = Arc::clone(&store);
    let committer = std::thread::spawn(move || committer(&committing, &incoming));
    for writers in [1, 8, 64, 256] {
        let (done, all_done) = channel();
        let mut begins = Vec::new();
        let mut threads = Vec::new();
        for _ in 0..writers {
            let (begin, begun) = channel();
            let (orders, done) = (orders.clone(), done.clone());
            threads.push(std::thread::spawn(move || writer(&orders, &begun, &done)));
            begins.push(begin);
        }
        group.throughput(Throughput::Elements(ROUNDS * writers));
        group.bench_function(BenchmarkId::new("commit", writers), |b| {
            b.iter(|| {
                for begin in &begins {
                    number += ROUNDS;
                    let _ = begin.send(number);
                }
                for _ in &begins {
                    let _ = all_done.recv();
                }
            });
        });
        drop(begins);
        for thread in threads {
            thread.join().expect("a writer ends when told to");
        }
    }
    drop(orders);
    committer
        .join()
        .expect("the committer ends with its writers");
    group.finish();
}

fn raw(group: &mut criterion::BenchmarkGroup<'_, criterion::measurement::WallTime>, folder: &Path) {
    let file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .open(folder.join("raw"))
        .expect("a file to write to");
    let zeros = vec![0; 1 << 20];
    for offset in (0..RAW_BYTES).step_by(zeros.len()) {
        file.write_all_at(&zeros, offset).expect("room on the disk");
    }
    file.sync_all().expect("a disk that syncs");
    // A batch as above makes a frame of so many bytes.
    let frame = vec![7; BODY_BYTES + 456];
    let mut offset = 0;
    group.bench_function("raw", |b| {
        b.iter(|| {
            for _ in 0..ROUNDS {
                file.write_all_at(black_box(&frame), offset)
                    .and_then(|()| file.sync_data())
                    .expect("room on the disk");
                offset = (offset + frame.len() as u64) % (RAW_BYTES - (1 << 20));
            }
        });
    });
}

criterion_group!(benches, commits);
criterion_main!(benches);
