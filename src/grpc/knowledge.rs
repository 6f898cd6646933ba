//! `KnowledgeService`: articles, kept by administrators, found and filled in by agents.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tonic::{Code, Request, Response, Status};

use super::access::{Principal, caller};
use super::errors::Failure;
use super::form::Form;
use super::page::{self, Page};
use super::pb::knowledge_service_server::KnowledgeService;
use super::{Shared, convert, errors, pb};
use crate::desk::{Role, State};
use crate::engine::knowledge::{Article, ArticleChange, ArticleFields, ArticleRefusal, speaks};
use crate::id::{ArticleId, InteractionId, QueueId};
use crate::mail::html;
use crate::mail::placeholder::{self, Form as Shape, TooLong, is_name};
use crate::mail::text::clean_line;

/// Longest title, in bytes.
const TITLE_BYTES_MAX: usize = 256;

/// Longest text, and longest HTML, in bytes: a canned answer of many pages.
const BODY_BYTES_MAX: usize = 64 << 10;

/// Most tags of an article, and the longest, in bytes.
const TAGS_MAX: usize = 20;
const TAG_BYTES_MAX: usize = 64;

/// Most queues that an article is for, short of all.
const QUEUES_MAX: usize = 100;

/// Longest language tag, in bytes: what RFC 5646 section 4.4.1 asks for.
const LOCALE_BYTES_MAX: usize = 35;

/// Longest query, in bytes.
const QUERY_BYTES_MAX: usize = 1024;

/// Most articles on a page: so many fit into what clients take as one answer.
const PAGE_MAX: usize = 200;

/// Most variables of a request, and the longest value, in bytes.
const VARIABLES_MAX: usize = 50;
const VARIABLE_BYTES_MAX: usize = 4096;

/// How many characters of a text are shown in lists.
const SNIPPET_CHARS: usize = 200;

/// What an update mask may name.
const MASKED: [&str; 6] = [
    "title",
    "text_body",
    "html_body",
    "tags",
    "queues",
    "locale",
];

pub(super) struct Knowledge(pub(super) Arc<Shared>);

/// Which articles a caller sees.
enum Sees {
    All,
    Of(BTreeSet<QueueId>),
}

impl Sees {
    fn sees(&self, article: &Article) -> bool {
        match self {
            Self::All => true,
            Self::Of(queues) => article.queues.is_empty() || !article.queues.is_disjoint(queues),
        }
    }
}

impl Form {
    fn title(&mut self, title: String) -> Option<String> {
        let field = "article.title";
        let title = self.text(field, title, TITLE_BYTES_MAX)?;
        let title = clean_line(&title, TITLE_BYTES_MAX);
        if title.is_empty() {
            self.wrong(field, "is empty: say what the article is about");
            return None;
        }
        Some(title)
    }

    fn tags(&mut self, tags: &[String]) -> Option<BTreeSet<String>> {
        let fits = |tag: &String| {
            let line = clean_line(tag, TAG_BYTES_MAX);
            (!line.is_empty() && line.len() <= TAG_BYTES_MAX && line == *tag).then_some(line)
        };
        let tags: Option<BTreeSet<String>> = (tags.len() <= TAGS_MAX)
            .then(|| tags.iter().map(fits).collect())
            .flatten();
        if tags.is_none() {
            let rule = format!("at most {TAGS_MAX}, each one line of 1 to {TAG_BYTES_MAX} bytes");
            self.wrong("article.tags", rule);
        }
        tags
    }

    fn locale(&mut self, field: &str, locale: String) -> Option<String> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if locale.len() > LOCALE_BYTES_MAX || !locale.bytes().all(plain) {
            self.wrong(field, "is no language tag, such as de or de-AT");
            return None;
        }
        Some(locale)
    }

    /// The texts, safe, and the plain one made from the other if there is only that.
    fn bodies(&mut self, text: String, source: &str) -> Option<(String, String)> {
        if source.len() > BODY_BYTES_MAX {
            self.wrong(
                "article.html_body",
                format!("longer than {BODY_BYTES_MAX} bytes"),
            );
            return None;
        }
        let html = safe(source);
        let text = if text.trim().is_empty() {
            html::to_text(&html).trim_end().to_owned()
        } else {
            text
        };
        let text = self.text("article.text_body", text, BODY_BYTES_MAX);
        let html = self.text("article.html_body", html, BODY_BYTES_MAX);
        text.zip(html)
    }

    /// The fields of an article that are named.
    fn article(&mut self, article: pb::Article, named: &[&str]) -> Option<ArticleFields> {
        let named = |field: &str| named.contains(&field);
        let title = named("title").then(|| self.title(article.title));
        let bodies = self.bodies(article.text_body, &article.html_body)?;
        let (text, html) = bodies;
        let tags = named("tags").then(|| self.tags(&article.tags));
        let queues = named("queues")
            .then(|| self.names("article.queues", &article.queues, "queues", QUEUES_MAX));
        let locale = named("locale").then(|| self.locale("article.locale", article.locale));
        Some(ArticleFields {
            title: title.flatten(),
            text: named("text_body").then_some(text),
            html: named("html_body").then_some(html),
            tags: tags.flatten(),
            queues: queues.flatten(),
            locale: locale.flatten(),
        })
    }

    fn variables(&mut self, given: &[(String, String)]) {
        let fits =
            |(name, value): &(String, String)| is_name(name) && value.len() <= VARIABLE_BYTES_MAX;
        if given.len() > VARIABLES_MAX || !given.iter().all(fits) {
            let rule = "by names of a-z, 0-9, ., _ and -";
            let what = format!("at most {VARIABLES_MAX} of {VARIABLE_BYTES_MAX} bytes, {rule}");
            self.wrong("variables", what);
        }
    }
}

/// HTML as it may be sent. Whether pictures from elsewhere may be is seen when it is.
fn safe(source: &str) -> String {
    if source.trim().is_empty() {
        return String::new();
    }
    html::outgoing(source, true, &mut |_| None)
        .as_str()
        .to_owned()
}

fn name(id: &ArticleId) -> String {
    format!("articles/{id}")
}

/// An article as lists have it.
fn listed(article: &Article) -> pb::Article {
    // The rest of a long text is not gone through for the few characters.
    let begin = crate::mail::text::prefix(&article.text, SNIPPET_CHARS * 8);
    pb::Article {
        name: name(&article.id),
        title: article.title.clone(),
        text_body: String::new(),
        html_body: String::new(),
        tags: article.tags.iter().cloned().collect(),
        queues: article.queues.iter().map(convert::queue_name).collect(),
        locale: article.locale.clone(),
        variables: Vec::new(),
        etag: convert::etag(article.version),
        update_time: Some(convert::time(article.changed)),
        snippet: clean_line(begin, SNIPPET_CHARS),
    }
}

fn whole(article: &Article) -> pb::Article {
    let mut variables = placeholder::names(&article.text);
    variables.extend(placeholder::names(&article.html));
    pb::Article {
        text_body: article.text.clone(),
        html_body: article.html.clone(),
        variables: variables.into_iter().collect(),
        ..listed(article)
    }
}

fn refused(id: &ArticleId, refusal: ArticleRefusal) -> Status {
    let resource = name(id);
    match refusal {
        ArticleRefusal::Unknown => errors::not_found(resource),
        ArticleRefusal::Exists => {
            let message = format!("{resource} is there already");
            Failure::new(
                Code::AlreadyExists,
                pb::ErrorReason::ResourceExists,
                message,
            )
            .with("resource", resource)
            .into()
        }
        ArticleRefusal::Changed(version) => {
            let message = format!("{resource} has changed meanwhile; read it and decide again");
            Failure::new(Code::Aborted, pb::ErrorReason::EtagMismatch, message)
                .with("resource", resource)
                .with("etag", convert::etag(version))
                .into()
        }
        ArticleRefusal::Empty => {
            errors::field_invalid("article.text_body", "is empty, and there is no HTML")
        }
        ArticleRefusal::Full => {
            let message = "the knowledge base is full; remove articles first";
            let reason = pb::ErrorReason::KnowledgeFull;
            Failure::new(Code::ResourceExhausted, reason, message).into()
        }
    }
}

fn too_long(TooLong: TooLong) -> Status {
    let message = format!(
        "filled in, it is longer than {} bytes",
        placeholder::FILLED_BYTES_MAX
    );
    let reason = pb::ErrorReason::MessageTooLarge;
    Failure::new(Code::ResourceExhausted, reason, message).into()
}

impl Shared {
    async fn sees(&self, caller: &Principal) -> Result<Sees, Status> {
        let roles = [Role::Supervisor, Role::Admin, Role::Observer];
        if roles.into_iter().any(|role| caller.is(role)) {
            return Ok(Sees::All);
        }
        let Some(agent) = caller.agent.clone() else {
            return Ok(Sees::Of(BTreeSet::new()));
        };
        let queues = (self.handle)
            .look(move |desk, _| desk.agents().get(&agent).map(|agent| agent.queues.clone()))
            .await
            .map_err(errors::engine)?;
        Ok(Sees::Of(queues.unwrap_or_default()))
    }

    /// An article that the caller sees.
    async fn article(&self, caller: &Principal, id: &ArticleId) -> Result<Arc<Article>, Status> {
        let article = self.handle.knowledge().article(id);
        let article = article.ok_or_else(|| errors::not_found(name(id)))?;
        if self.sees(caller).await?.sees(&article) {
            return Ok(article);
        }
        let resource = name(id);
        let message = format!("you serve no queue of {resource}");
        let member = pb::ErrorReason::NotQueueMember;
        Err(Failure::new(Code::PermissionDenied, member, message)
            .with("resource", resource)
            .into())
    }

    /// What the placeholders of an answer to this interaction stand for.
    async fn values(
        &self,
        caller: &Principal,
        interaction: Option<InteractionId>,
    ) -> Result<BTreeMap<String, String>, Status> {
        let mut values = BTreeMap::new();
        if let Some(agent) = caller.agent.clone() {
            let found = (self.handle)
                .look(move |desk, _| Some(desk.agents().get(&agent)?.display_name.clone()))
                .await
                .map_err(errors::engine)?;
            values.extend(found.map(|found| ("agent.name".to_owned(), found)));
        }
        let Some(id) = interaction else {
            return Ok(values);
        };
        let resource = format!("interactions/{id}");
        let found = self.handle.interaction(id).await.map_err(errors::engine)?;
        let found = found.ok_or_else(|| errors::not_found(&resource))?;
        if matches!(found.state, State::Held { .. }) && !caller.is(Role::Supervisor) {
            return Err(errors::not_found(resource));
        }
        self.may_read_queue(caller, &found.queue, resource).await?;
        let queue = self.queue_display_name(&found.queue).await?;
        for (name, value) in [
            ("customer.name", found.customer.display_name),
            ("customer.address", found.customer.address),
            ("case.number", found.case.to_string()),
            ("interaction.subject", found.subject),
            ("queue.name", queue),
        ] {
            // A person without a name is not addressed as nobody: the agent sees what is missing.
            if !value.is_empty() {
                values.insert(name.to_owned(), value);
            }
        }
        Ok(values)
    }

    async fn change_article(
        &self,
        id: ArticleId,
        change: ArticleChange,
    ) -> Result<pb::Article, Status> {
        let changed = self.handle.change_article(id.clone(), change).await;
        let changed = changed.map_err(errors::engine)?;
        let article = changed.map_err(|refusal| refused(&id, refusal))?;
        Ok(whole(&article))
    }
}

/// Whether an article is for a queue, if there is one, and in a language.
fn fits(article: &Article, queue: Option<&QueueId>, locale: &str) -> bool {
    let serves = |queue| article.queues.is_empty() || article.queues.contains(queue);
    queue.is_none_or(serves) && speaks(&article.locale, locale)
}

#[tonic::async_trait]
impl KnowledgeService for Knowledge {
    async fn create_article(
        &self,
        request: Request<pb::CreateArticleRequest>,
    ) -> Result<Response<pb::CreateArticleResponse>, Status> {
        let asked = request.into_inner();
        let mut form = Form::new();
        let id: Result<ArticleId, _> = asked.article_id.parse();
        if let Err(error) = &id {
            form.wrong("article_id", error);
        }
        let fields = form.article(asked.article.unwrap_or_default(), &MASKED);
        let (id, fields) = form.done((id.ok(), fields))?;
        let change = ArticleChange::Create(Box::new(fields));
        Ok(Response::new(pb::CreateArticleResponse {
            article: Some(self.0.change_article(id, change).await?),
        }))
    }

    async fn get_article(
        &self,
        request: Request<pb::GetArticleRequest>,
    ) -> Result<Response<pb::GetArticleResponse>, Status> {
        let caller = caller(&request)?;
        let mut form = Form::new();
        let id = form.name::<ArticleId>("name", &request.get_ref().name, "articles");
        let id = form.done(id)?;
        let article = self.0.article(&caller, &id).await?;
        Ok(Response::new(pb::GetArticleResponse {
            article: Some(whole(&article)),
        }))
    }

    async fn list_articles(
        &self,
        request: Request<pb::ListArticlesRequest>,
    ) -> Result<Response<pb::ListArticlesResponse>, Status> {
        let caller = caller(&request)?;
        let asked = request.into_inner();
        let mut form = Form::new();
        let queue = form.maybe_name::<QueueId>("queue", &asked.queue, "queues");
        let filter = format!("{} {}", asked.queue, asked.locale);
        let locale = form.locale("locale", asked.locale);
        let (size, token) = (asked.page_size, asked.page_token.as_str());
        let mut page = Page::read(&mut form, &caller, "ListArticles", &filter, size, token)?;
        page.size = page.size.min(PAGE_MAX);
        let (queue, locale) = form.done((queue, locale))?;
        let after = page.after(page::text::<ArticleId>)?;
        let sees = self.0.sees(&caller).await?;
        let knowledge = self.0.handle.knowledge();
        let mut articles = knowledge.articles(after.as_ref(), page.size + 1, |article| {
            sees.sees(article) && fits(article, queue.as_ref(), &locale)
        });
        let next_page_token = page.cut(&mut articles, |article| {
            article.id.as_str().as_bytes().to_vec()
        });
        Ok(Response::new(pb::ListArticlesResponse {
            articles: articles.iter().map(|article| listed(article)).collect(),
            next_page_token,
        }))
    }

    async fn update_article(
        &self,
        request: Request<pb::UpdateArticleRequest>,
    ) -> Result<Response<pb::UpdateArticleResponse>, Status> {
        let asked = request.into_inner();
        let article = asked.article.unwrap_or_default();
        let mut form = Form::new();
        let id = form.name::<ArticleId>("article.name", &article.name, "articles");
        let based_on = form.etag(&article.etag);
        let mask = form.mask(asked.update_mask, &MASKED);
        let fields = form.article(article, &mask);
        let (id, based_on, fields) = form.done((id, based_on, fields))?;
        let fields = Box::new(fields);
        let change = ArticleChange::Update { fields, based_on };
        Ok(Response::new(pb::UpdateArticleResponse {
            article: Some(self.0.change_article(id, change).await?),
        }))
    }

    async fn delete_article(
        &self,
        request: Request<pb::DeleteArticleRequest>,
    ) -> Result<Response<pb::DeleteArticleResponse>, Status> {
        let asked = request.into_inner();
        let mut form = Form::new();
        let id = form.name::<ArticleId>("name", &asked.name, "articles");
        let based_on = form.etag(&asked.etag);
        let (id, based_on) = form.done((id, based_on))?;
        (self.0)
            .change_article(id, ArticleChange::Delete { based_on })
            .await?;
        Ok(Response::new(pb::DeleteArticleResponse {}))
    }

    async fn search_articles(
        &self,
        request: Request<pb::SearchArticlesRequest>,
    ) -> Result<Response<pb::SearchArticlesResponse>, Status> {
        let caller = caller(&request)?;
        let asked = request.into_inner();
        let mut form = Form::new();
        let queue = form.maybe_name::<QueueId>("queue", &asked.queue, "queues");
        let filter = format!("{} {} {}", asked.queue, asked.locale, asked.query);
        let query = form.text("query", asked.query, QUERY_BYTES_MAX);
        let locale = form.locale("locale", asked.locale);
        let (size, token) = (asked.page_size, asked.page_token.as_str());
        let mut page = Page::read(&mut form, &caller, "SearchArticles", &filter, size, token)?;
        page.size = page.size.min(PAGE_MAX);
        let (queue, query, locale) = form.done((queue, query, locale))?;
        // The order is that of the words, so a page begins by number.
        let begin = page.after(page::text::<usize>)?.unwrap_or(0);
        let size = page.size;
        let sees = self.0.sees(&caller).await?;
        let knowledge = self.0.handle.knowledge();
        let found = tokio::task::spawn_blocking(move || {
            knowledge.search(&query, begin, size + 1, |article| {
                sees.sees(article) && fits(article, queue.as_ref(), &locale)
            })
        });
        let found = found
            .await
            .map_err(|_| errors::internal("a search did not end"))?;
        let mut found: Vec<_> = found.into_iter().zip(begin + 1..).collect();
        let next_page_token = page.cut(&mut found, |(_, shown)| shown.to_string().into_bytes());
        Ok(Response::new(pb::SearchArticlesResponse {
            articles: found.iter().map(|(article, _)| listed(article)).collect(),
            next_page_token,
        }))
    }

    async fn render_article(
        &self,
        request: Request<pb::RenderArticleRequest>,
    ) -> Result<Response<pb::RenderArticleResponse>, Status> {
        let caller = caller(&request)?;
        let asked = request.into_inner();
        let mut form = Form::new();
        let id = form.name::<ArticleId>("name", &asked.name, "articles");
        let interaction =
            form.maybe_name::<InteractionId>("interaction", &asked.interaction, "interactions");
        let given: Vec<_> = asked.variables.into_iter().collect();
        form.variables(&given);
        let (id, interaction) = form.done((id, interaction))?;
        let article = self.0.article(&caller, &id).await?;
        let mut values = self.0.values(&caller, interaction).await?;
        values.extend(given);
        let mut missing = BTreeSet::new();
        let text = placeholder::fill(&article.text, Shape::Text, &values, &mut missing)
            .map_err(too_long)?;
        let html = placeholder::fill(&article.html, Shape::Html, &values, &mut missing)
            .map_err(too_long)?;
        Ok(Response::new(pb::RenderArticleResponse {
            text_body: text,
            // Once more: a value may have made a link of what was none.
            html_body: safe(&html),
            missing_variables: missing.into_iter().collect(),
        }))
    }
}
