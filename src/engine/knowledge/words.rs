//! Full-text search: which words are in which article, and how well an article fits some of them.
//!
//! The ranking is BM25, which a library does. Words are runs of letters and digits in lower case,
//! so languages that write without spaces are found by the beginnings of their runs only.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Bound;

use bm25::{Embedder, EmbedderBuilder, Embedding, Scorer, Tokenizer};

use super::Article;
use crate::id::ArticleId;
use crate::mail::html;

/// Longest word, in characters; of a longer one the beginning counts.
const WORD_CHARS_MAX: usize = 32;

/// Most words of a query that count: more than a sentence has.
const QUERY_WORDS_MAX: usize = 16;

/// Most words that the last one of a query is completed to: those that most articles have.
const COMPLETIONS_MAX: usize = 8;

/// Most words that are looked at for that.
const COMPLETIONS_SEEN_MAX: usize = 4096;

/// A word that more than one article in so many has says little and costs most, so it is left out
/// beside rarer ones.
const COMMON_ONE_IN: usize = 4;

/// With fewer articles than these no word is common.
const COMMON_MIN: usize = 100;

/// As how many words of the text one in the title or a tag counts.
const TITLE_WEIGHT: usize = 3;

/// How many words an article has, more or less: longer ones must have a word more often.
const USUAL_WORDS: f32 = 100.0;

/// Cuts text into words.
#[derive(Debug, Default)]
struct Words;

impl Tokenizer for Words {
    fn tokenize(&self, text: &str) -> Vec<String> {
        words(text).collect()
    }
}

fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|char: char| !char.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(|word| {
            let chars = word.chars().flat_map(char::to_lowercase);
            chars.take(WORD_CHARS_MAX).collect()
        })
}

/// The words of all articles.
pub(super) struct Index {
    embedder: Embedder<u64, Words>,
    scorer: Scorer<ArticleId, u64>,
    /// Which words each article has.
    articles: BTreeMap<ArticleId, BTreeSet<String>>,
    /// In how many articles each word is.
    words: BTreeMap<String, usize>,
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Index")
            .field("articles", &self.articles.len())
            .field("words", &self.words.len())
            .finish_non_exhaustive()
    }
}

impl Default for Index {
    fn default() -> Self {
        Self {
            embedder: EmbedderBuilder::with_avgdl(USUAL_WORDS).build(),
            scorer: Scorer::new(),
            articles: BTreeMap::new(),
            words: BTreeMap::new(),
        }
    }
}

impl Index {
    /// Takes an article in, in place of what it was before.
    pub(super) fn put(&mut self, article: &Article) {
        self.remove(&article.id);
        let mut all = String::new();
        for _ in 0..TITLE_WEIGHT {
            for part in [&article.title].into_iter().chain(&article.tags) {
                all.push_str(part);
                all.push(' ');
            }
        }
        if article.text.is_empty() {
            all.push_str(&html::to_text(&article.html));
        } else {
            all.push_str(&article.text);
        }
        let embedding = self.embed(&all);
        self.scorer.upsert(&article.id, embedding);
        let has: BTreeSet<String> = words(&all).collect();
        for word in &has {
            *self.words.entry(word.clone()).or_default() += 1;
        }
        self.articles.insert(article.id.clone(), has);
    }

    /// Forgets an article, if it knows it.
    pub(super) fn remove(&mut self, id: &ArticleId) {
        self.scorer.remove(id);
        for word in self.articles.remove(id).into_iter().flatten() {
            if let Some(count) = self.words.get_mut(&word) {
                *count -= 1;
                if *count == 0 {
                    self.words.remove(&word);
                }
            }
        }
    }

    /// Each word once: the library counts them, and goes through all of an article's for each that
    /// is searched for.
    fn embed(&self, text: &str) -> Embedding<u64> {
        let mut embedding = self.embedder.embed(text);
        embedding.0.sort_unstable_by_key(|word| word.index);
        embedding.0.dedup_by_key(|word| word.index);
        embedding
    }

    /// The articles that have one of the words, best first, equally good ones in the order of ids.
    pub(super) fn search(&self, query: &str) -> Vec<ArticleId> {
        let wanted = self.wanted(query).join(" ");
        let mut found = self.scorer.matches(&self.embed(&wanted));
        found.sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.id.cmp(&b.id)));
        found.into_iter().map(|found| found.id).collect()
    }

    /// The words that are searched for: those of the query, and what its last one may become.
    fn wanted(&self, query: &str) -> Vec<&str> {
        let asked: Vec<String> = words(query).take(QUERY_WORDS_MAX).collect();
        let mut wanted: BTreeMap<&str, usize> = BTreeMap::new();
        for word in &asked {
            wanted.extend(
                self.words
                    .get_key_value(word)
                    .map(|(word, count)| (word.as_str(), *count)),
            );
        }
        if let Some(last) = asked.last() {
            let begin = self
                .words
                .range::<str, _>((Bound::Included(last.as_str()), Bound::Unbounded));
            let mut longer: Vec<(&str, usize)> = begin
                .take(COMPLETIONS_SEEN_MAX)
                .map(|(word, count)| (word.as_str(), *count))
                .take_while(|(word, _)| word.starts_with(last.as_str()))
                .collect();
            longer.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
            wanted.extend(longer.into_iter().take(COMPLETIONS_MAX));
        }
        let rare = (self.articles.len() / COMMON_ONE_IN).max(COMMON_MIN);
        let rarest = wanted.values().min().copied().unwrap_or_default();
        wanted.retain(|_, count| *count <= rare.max(rarest));
        wanted.into_keys().collect()
    }
}
