//! How fast articles are found among as many as there may be.

#![expect(missing_docs, reason = "criterion's macro writes a public function")]

use std::collections::BTreeSet;
use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use postroom::engine::knowledge::{ARTICLES_MAX, Article, Knowledge};
use postroom::time::Timestamp;

/// A text of so many words, common ones and rare ones as prose has them: the word of rank n is
/// about n times as rare as the first.
fn text(mut seed: u64, words: usize) -> String {
    let mut text = String::new();
    for _ in 0..words {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let rank = 20_000_f64.powf((seed >> 11) as f64 / (1_u64 << 53) as f64);
        text.push_str(&format!("w{:x} ", rank as u32));
    }
    text
}

fn search(criterion: &mut Criterion) {
    let articles = (0..ARTICLES_MAX).map(|number| Article {
        id: format!("article-{number}").parse().expect("a slug"),
        title: text(number as u64, 6),
        text: text(number as u64 + 1_000_000, 120),
        html: String::new(),
        tags: BTreeSet::new(),
        queues: BTreeSet::new(),
        locale: String::new(),
        version: 1,
        changed: Timestamp::from_millis(1),
    });
    let knowledge = Knowledge::new(articles.collect());
    let mut group = criterion.benchmark_group("search articles");
    for (name, query) in [
        ("one rare word", "w1f4a"),
        ("a beginning", "w1"),
        ("a sentence", "w1 w2 w5 w1c w3e8 w7d0 w2"),
    ] {
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter(|| knowledge.search(black_box(query), 0, 50, |_| true));
        });
    }
    group.finish();
}

criterion_group!(benches, search);
criterion_main!(benches);
