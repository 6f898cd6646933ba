//! The knowledge base: articles as of the last sync, for shells to read and search without waiting
//! for the engine.
//!
//! The engine writes articles and notes which of them changed; whoever searches next takes those
//! into the index first. So a search never holds up the engine, and finds what it wrote.

mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

pub use crate::store::record::Article;

use super::group::Group;
use super::{EngineError, Runner};
use crate::desk::Refusal;
use crate::id::{ArticleId, QueueId};
use crate::store::{Batch, keys, record};
use crate::time::Timestamp;
use words::Index;

/// Most articles.
pub const ARTICLES_MAX: usize = 10_000;

/// Most bytes of all articles together: they and their index are held in memory.
pub const ARTICLES_BYTES_MAX: usize = 32 << 20;

/// What changes in an article; what is `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ArticleFields {
    /// What it is about.
    pub title: Option<String>,
    /// The text.
    pub text: Option<String>,
    /// The same as HTML.
    pub html: Option<String>,
    /// Words that it is found by besides.
    pub tags: Option<BTreeSet<String>>,
    /// The queues whose agents see it.
    pub queues: Option<BTreeSet<QueueId>>,
    /// Its language.
    pub locale: Option<String>,
}

impl ArticleFields {
    fn apply(self, article: &mut Article) {
        let Self {
            title,
            text,
            html,
            tags,
            queues,
            locale,
        } = self;
        article.title = title.unwrap_or_else(|| std::mem::take(&mut article.title));
        article.text = text.unwrap_or_else(|| std::mem::take(&mut article.text));
        article.html = html.unwrap_or_else(|| std::mem::take(&mut article.html));
        article.tags = tags.unwrap_or_else(|| std::mem::take(&mut article.tags));
        article.queues = queues.unwrap_or_else(|| std::mem::take(&mut article.queues));
        article.locale = locale.unwrap_or_else(|| std::mem::take(&mut article.locale));
    }
}

/// What is done with an article. `based_on` is the version that the change was made for, if it may
/// be made for no other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArticleChange {
    /// Makes it.
    Create(Box<ArticleFields>),
    /// Changes it.
    Update {
        /// What changes.
        fields: Box<ArticleFields>,
        /// The version.
        based_on: Option<u64>,
    },
    /// Removes it.
    Delete {
        /// The version.
        based_on: Option<u64>,
    },
}

/// Why an article was not changed. Nothing was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArticleRefusal {
    /// The id is taken. The caller's move.
    Exists,
    /// There is no such article. The caller's move.
    Unknown,
    /// It has another version by now, this one. The caller's move.
    Changed(u64),
    /// It would have no title, or neither text nor HTML. The caller's move.
    Empty,
    /// There are [`ARTICLES_MAX`] of them, or they would be larger than [`ARTICLES_BYTES_MAX`]. The
    /// administrator's move.
    Full,
}

/// Articles, and what finds them.
#[derive(Debug)]
pub struct Knowledge {
    table: RwLock<Table>,
    /// Only searches lock it.
    index: Mutex<Index>,
}

#[derive(Debug, Default)]
struct Table {
    articles: BTreeMap<ArticleId, Arc<Article>>,
    /// The sum of their sizes.
    bytes: usize,
    /// What the index has not heard of.
    stale: BTreeSet<ArticleId>,
}

/// What an article takes of [`ARTICLES_BYTES_MAX`].
fn size(article: &Article) -> usize {
    let tags: usize = article.tags.iter().map(String::len).sum();
    article.title.len() + article.text.len() + article.html.len() + tags
}

/// Whether what is written in one language is of use to who asks for another: `de` and `de-AT`
/// are, each to the other, and what has none is to everybody.
#[must_use]
pub fn speaks(locale: &str, asked: &str) -> bool {
    let within = |short: &str, long: &str| {
        (long.get(..short.len())).is_some_and(|start| start.eq_ignore_ascii_case(short))
            && matches!(long.as_bytes().get(short.len()), None | Some(b'-'))
    };
    locale.is_empty() || asked.is_empty() || within(locale, asked) || within(asked, locale)
}

impl Knowledge {
    /// These articles, found at once.
    #[must_use]
    pub fn new(articles: Vec<Article>) -> Self {
        let knowledge = Self {
            table: RwLock::default(),
            index: Mutex::default(),
        };
        let changes = articles.into_iter();
        knowledge.change(changes.map(|article| (article.id.clone(), Some(article))));
        drop(knowledge.fresh_index());
        knowledge
    }

    // A panic while a lock is held leaves at worst an index that finds too much or too little: what
    // it finds is looked up in the table.
    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The index with all that changed.
    fn fresh_index(&self) -> MutexGuard<'_, Index> {
        let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        let stale: Vec<_> = {
            let mut table = self.write();
            let stale = std::mem::take(&mut table.stale).into_iter();
            stale
                .map(|id| (table.articles.get(&id).cloned(), id))
                .collect()
        };
        for (article, id) in stale {
            match article {
                Some(article) => index.put(&article),
                None => index.remove(&id),
            }
        }
        index
    }

    pub(super) fn change(&self, changes: impl IntoIterator<Item = (ArticleId, Option<Article>)>) {
        let mut changes = changes.into_iter().peekable();
        if changes.peek().is_none() {
            return;
        }
        let mut table = self.write();
        for (id, article) in changes {
            table.bytes += article.as_ref().map_or(0, size);
            let before = match article {
                Some(article) => table.articles.insert(id.clone(), Arc::new(article)),
                None => table.articles.remove(&id),
            };
            table.bytes -= before.map_or(0, |article| size(&article));
            table.stale.insert(id);
        }
    }

    /// An article.
    #[must_use]
    pub fn article(&self, id: &ArticleId) -> Option<Arc<Article>> {
        self.read().articles.get(id).cloned()
    }

    /// Articles that pass, in the order of their ids, from after one.
    #[must_use]
    pub fn articles(
        &self,
        after: Option<&ArticleId>,
        limit: usize,
        passes: impl Fn(&Article) -> bool,
    ) -> Vec<Arc<Article>> {
        let begin = after.map_or(Bound::Unbounded, Bound::Excluded);
        let table = self.read();
        let articles = table
            .articles
            .range::<ArticleId, _>((begin, Bound::Unbounded));
        let articles = articles.map(|(_, article)| article);
        let passing = articles.filter(|article| passes(article));
        passing.take(limit).cloned().collect()
    }

    /// Articles that pass and have a word of the query, best first; of equally good ones the first
    /// id comes first. May wait for another search: call it where blocking is allowed.
    #[must_use]
    pub fn search(
        &self,
        query: &str,
        skip: usize,
        limit: usize,
        passes: impl Fn(&Article) -> bool,
    ) -> Vec<Arc<Article>> {
        let found = self.fresh_index().search(query);
        let table = self.read();
        let articles = found.iter().filter_map(|id| table.articles.get(id));
        let passing = articles.filter(|article| passes(article));
        passing.skip(skip).take(limit).cloned().collect()
    }

    /// How many there are, and their size.
    fn sizes(&self) -> (usize, usize) {
        let table = self.read();
        (table.articles.len(), table.bytes)
    }
}

impl Runner {
    /// Makes, changes or removes an article.
    pub(super) fn change_article(
        &self,
        now: Timestamp,
        id: ArticleId,
        change: ArticleChange,
        group: &mut Group<'_>,
    ) -> Result<Result<Article, ArticleRefusal>, EngineError> {
        let knowledge = &self.shared.knowledge;
        // What this round changed already is not in the view yet.
        let current = match group.released.articles.get(&id) {
            Some(article) => article.clone(),
            None => knowledge.article(&id).map(|article| (*article).clone()),
        };
        let (before, fields) = match (current, change) {
            (None, ArticleChange::Create(fields)) => (None, Some(fields)),
            (Some(_), ArticleChange::Create(_)) => return Ok(Err(ArticleRefusal::Exists)),
            (None, ArticleChange::Update { .. } | ArticleChange::Delete { .. }) => {
                return Ok(Err(ArticleRefusal::Unknown));
            }
            (
                Some(article),
                ArticleChange::Update {
                    based_on: Some(version),
                    ..
                }
                | ArticleChange::Delete {
                    based_on: Some(version),
                },
            ) if version != article.version => {
                return Ok(Err(ArticleRefusal::Changed(article.version)));
            }
            (Some(article), ArticleChange::Update { fields, .. }) => (Some(article), Some(fields)),
            (Some(article), ArticleChange::Delete { .. }) => (Some(article), None),
        };
        let mut article = before.clone().unwrap_or_else(|| Article {
            id: id.clone(),
            title: String::new(),
            text: String::new(),
            html: String::new(),
            tags: BTreeSet::new(),
            queues: BTreeSet::new(),
            locale: String::new(),
            version: 0,
            changed: now,
        });
        let mut batch = Batch::default();
        batch.set_essential();
        if let Some(fields) = fields {
            let known = self.desk.queues();
            let unknown = |queues: &BTreeSet<QueueId>| {
                let unknown = queues.iter().find(|queue| !known.contains_key(*queue));
                unknown.cloned()
            };
            if let Some(queue) = fields.queues.as_ref().and_then(unknown) {
                return Err(Refusal::QueueUnknown(queue).into());
            }
            fields.apply(&mut article);
            if before.as_ref() == Some(&article) {
                return Ok(Ok(article));
            }
            if article.title.is_empty() || (article.text.is_empty() && article.html.is_empty()) {
                return Ok(Err(ArticleRefusal::Empty));
            }
            article.version += 1;
            article.changed = now;
            let (mut count, mut bytes) = knowledge.sizes();
            for (id, fresh) in &group.released.articles {
                let stored = knowledge.article(id);
                count += usize::from(fresh.is_some());
                count -= usize::from(stored.is_some());
                bytes += fresh.as_ref().map_or(0, size);
                bytes -= stored.map_or(0, |article| size(&article));
            }
            count += usize::from(before.is_none());
            bytes += size(&article);
            bytes -= before.as_ref().map_or(0, size);
            let larger = before.as_ref().map_or(0, size) < size(&article);
            if count > ARTICLES_MAX || (larger && bytes > ARTICLES_BYTES_MAX) {
                return Ok(Err(ArticleRefusal::Full));
            }
            batch.put(keys::article(&id), record::encode(&article));
            group.released.articles.insert(id, Some(article.clone()));
        } else {
            batch.delete(keys::article(&id));
            group.released.articles.insert(id, None);
        }
        group.batches.push(batch);
        Ok(Ok(article))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn article(id: &str, title: &str, text: &str) -> Article {
        Article {
            id: id.parse().unwrap(),
            title: title.to_owned(),
            text: text.to_owned(),
            html: String::new(),
            tags: BTreeSet::new(),
            queues: BTreeSet::new(),
            locale: String::new(),
            version: 1,
            changed: Timestamp::from_millis(1),
        }
    }

    fn found(knowledge: &Knowledge, query: &str) -> Vec<String> {
        let found = knowledge.search(query, 0, 9, |_| true);
        found.iter().map(|article| article.id.to_string()).collect()
    }

    #[test]
    fn the_best_comes_first() {
        let knowledge = Knowledge::new(vec![
            article(
                "refunds",
                "Refunds",
                "We pay back within 14 days of the return.",
            ),
            article(
                "returns",
                "Returning a lamp",
                "Put the lamp into its box; we refund it.",
            ),
            article(
                "hours",
                "Opening hours",
                "We are open from nine to five. No refunds by telephone.",
            ),
            article("umlaut", "Größe", "Über Größen und Längen."),
        ]);
        for (query, expected) in [
            ("refunds", &["refunds", "hours"][..]),
            ("lamp", &["returns"]),
            ("RETURNING lamp", &["returns"]),
            ("größe", &["umlaut"]),
            ("telephone refunds", &["hours", "refunds"]),
            ("nothing", &[]),
            ("", &[]),
            ("?!", &[]),
        ] {
            assert_eq!(found(&knowledge, query), expected, "{query}");
        }
        // The last word may still be in the making.
        let mut begun = found(&knowledge, "refun");
        begun.sort();
        assert_eq!(begun, ["hours", "refunds", "returns"]);
        let second = knowledge.search("refunds", 1, 1, |_| true);
        assert_eq!(second[0].id.as_str(), "hours");
        let passing = knowledge.search("refunds", 0, 9, |article| article.title != "Refunds");
        assert_eq!(passing.len(), 1);
    }

    #[test]
    fn what_changed_is_found_as_it_is() {
        let knowledge = Knowledge::new(vec![article("refunds", "Refunds", "Fourteen days.")]);
        let id: ArticleId = "refunds".parse().unwrap();
        knowledge.change([(id.clone(), Some(article("refunds", "Vouchers", "A year.")))]);
        assert_eq!(found(&knowledge, "vouchers"), ["refunds"]);
        assert_eq!(found(&knowledge, "fourteen"), [""; 0]);
        assert_eq!(knowledge.sizes(), (1, 15));
        knowledge.change([(id.clone(), None)]);
        assert_eq!(found(&knowledge, "vouchers"), [""; 0]);
        assert_eq!((knowledge.sizes(), knowledge.article(&id)), ((0, 0), None));
    }

    #[test]
    fn languages() {
        for (locale, asked, expected) in [
            ("de", "de", true),
            ("de-AT", "de", true),
            ("de", "DE-at", true),
            ("", "de", true),
            ("de", "", true),
            ("de-AT", "de-CH", false),
            ("den", "de", false),
            ("en", "de", false),
        ] {
            assert_eq!(speaks(locale, asked), expected, "{locale} {asked}");
        }
    }
}
