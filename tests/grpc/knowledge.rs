//! The knowledge base over the wire: kept by administrators, found and filled in by agents.

use std::collections::BTreeMap;
use std::sync::Arc;

use postroom::engine::knowledge::{ArticleChange, ArticleFields, ArticleRefusal};
use postroom::engine::{Engine, Settings};
use postroom::grpc::pb;
use postroom::grpc::pb::knowledge_service_client::KnowledgeServiceClient;
use postroom::id::ArticleId;
use postroom::store::{Memory, Store};
use prost_types::FieldMask;
use tonic::Code;
use tonic::transport::Channel;

use super::gateway::{Gateway, by, refused};

fn article(title: &str, text: &str, queues: &[&str], locale: &str) -> pb::Article {
    pb::Article {
        title: title.to_owned(),
        text_body: text.to_owned(),
        queues: queues.iter().map(|queue| (*queue).to_owned()).collect(),
        locale: locale.to_owned(),
        ..pb::Article::default()
    }
}

fn create(id: &str, article: pb::Article) -> pb::CreateArticleRequest {
    pb::CreateArticleRequest {
        article_id: id.to_owned(),
        article: Some(article),
    }
}

fn get(id: &str) -> pb::GetArticleRequest {
    pb::GetArticleRequest {
        name: format!("articles/{id}"),
    }
}

fn update(article: pb::Article, paths: &[&str]) -> pb::UpdateArticleRequest {
    pb::UpdateArticleRequest {
        article: Some(article),
        update_mask: Some(FieldMask {
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        }),
    }
}

/// An administrator's client of a gateway that has three articles.
async fn stocked(gateway: &Gateway) -> KnowledgeServiceClient<Channel> {
    let mut admin = KnowledgeServiceClient::new(gateway.local.clone());
    for (id, article) in [
        (
            "refunds",
            article("Refunds", "We pay back within 14 days.", &[], "en"),
        ),
        (
            "refunds-de",
            article("Erstattung", "Refunds heißen so.", &[], "de-AT"),
        ),
        (
            "quotes",
            article("Quotes", "No refunds.", &["queues/sales"], ""),
        ),
    ] {
        admin.create_article(create(id, article)).await.unwrap();
    }
    admin
}

#[tokio::test]
async fn articles_are_made_changed_and_removed() {
    let gateway = Gateway::start().await;
    let mut admin = KnowledgeServiceClient::new(gateway.local.clone());
    let mut refunds = article("Refunds ", "", &["queues/support"], "en");
    refunds.html_body =
        "<p onclick=\"x()\">Dear {{customer.name}}</p><script>x()</script>".to_owned();
    let made = admin
        .create_article(create("refunds", refunds.clone()))
        .await;
    let made = made.unwrap().into_inner().article.unwrap();
    assert_eq!(
        (made.name.as_str(), made.title.as_str(), made.etag.as_str()),
        ("articles/refunds", "Refunds", "\"1\"")
    );
    assert_eq!(made.text_body, "Dear {{customer.name}}");
    assert_eq!(made.html_body, "<p>Dear {{customer.name}}</p>");
    assert_eq!(made.variables, ["customer.name"]);
    let again = admin
        .create_article(create("refunds", refunds.clone()))
        .await;
    refused(again, Code::AlreadyExists, "RESOURCE_EXISTS");

    let with = |change: &dyn Fn(&mut pb::Article)| {
        let mut changed = refunds.clone();
        change(&mut changed);
        create("another", changed)
    };
    for asked in [
        create("Another", refunds.clone()),
        with(&|article| article.title = "\n".to_owned()),
        with(&|article| article.title = "x".repeat(257)),
        with(&|article| article.html_body = "<script>x()</script>".to_owned()),
        with(&|article| article.text_body = "x".repeat((64 << 10) + 1)),
        with(&|article| article.html_body = "x".repeat((64 << 10) + 1)),
        with(&|article| article.tags = vec!["two\nlines".to_owned()]),
        with(&|article| article.tags = vec!["x".to_owned(); 21]),
        with(&|article| article.locale = "de_AT".to_owned()),
        with(&|article| article.queues = vec!["support".to_owned()]),
    ] {
        let made = admin.create_article(asked).await;
        refused(made, Code::InvalidArgument, "FIELD_INVALID");
    }
    let nowhere = with(&|article| article.queues = vec!["queues/none".to_owned()]);
    let nowhere = admin.create_article(nowhere).await;
    refused(nowhere, Code::NotFound, "RESOURCE_NOT_FOUND");
    let another = admin.get_article(get("another")).await;
    refused(another, Code::NotFound, "RESOURCE_NOT_FOUND");

    let mut change = pb::Article {
        name: made.name.clone(),
        title: "Money back".to_owned(),
        etag: made.etag.clone(),
        ..pb::Article::default()
    };
    let changed = admin
        .update_article(update(change.clone(), &["title"]))
        .await;
    let changed = changed.unwrap().into_inner().article.unwrap();
    let seen = (changed.title.as_str(), changed.etag.as_str());
    assert_eq!(seen, ("Money back", "\"2\""));
    assert_eq!(changed.html_body, made.html_body);
    let stale = admin
        .update_article(update(change.clone(), &["title"]))
        .await;
    let metadata = refused(stale, Code::Aborted, "ETAG_MISMATCH");
    assert!(metadata.contains(&("etag".to_owned(), "\"2\"".to_owned())));
    // What changes nothing is no new version.
    change.etag = String::new();
    let same = admin
        .update_article(update(change.clone(), &["title"]))
        .await;
    assert_eq!(same.unwrap().into_inner().article.unwrap(), changed);
    let unknown = admin
        .update_article(update(change.clone(), &["name"]))
        .await;
    refused(unknown, Code::InvalidArgument, "FIELD_INVALID");
    // Neither text nor HTML is left.
    let emptied = update(change, &["text_body", "html_body"]);
    let emptied = admin.update_article(emptied).await;
    refused(emptied, Code::InvalidArgument, "FIELD_INVALID");
    let kept = admin.get_article(get("refunds")).await.unwrap();
    assert_eq!(kept.into_inner().article.unwrap(), changed);

    let delete = |etag: &str| pb::DeleteArticleRequest {
        name: made.name.clone(),
        etag: etag.to_owned(),
    };
    let stale = admin.delete_article(delete("\"1\"")).await;
    refused(stale, Code::Aborted, "ETAG_MISMATCH");
    admin.delete_article(delete("\"2\"")).await.unwrap();
    let again = admin.delete_article(delete("")).await;
    refused(again, Code::NotFound, "RESOURCE_NOT_FOUND");
}

#[tokio::test]
async fn agents_see_what_is_for_their_queues() {
    let gateway = Gateway::start().await;
    gateway.agent("anna", &["support"]).await;
    gateway.agent("bert", &["sales"]).await;
    let mut admin = stocked(&gateway).await;
    let mut articles = KnowledgeServiceClient::new(gateway.remote.clone());
    let (anna, bert) = (gateway.sign_in("anna").await, gateway.sign_in("bert").await);
    let create = by(&anna, create("mine", article("Mine", "Mine.", &[], "")));
    let made = articles.create_article(create).await;
    refused(made, Code::PermissionDenied, "ROLE_REQUIRED");
    let quotes = articles.get_article(by(&anna, get("quotes"))).await;
    refused(quotes, Code::PermissionDenied, "NOT_QUEUE_MEMBER");
    articles
        .get_article(by(&bert, get("quotes")))
        .await
        .unwrap();
    let list = |queue: &str, locale: &str| pb::ListArticlesRequest {
        queue: queue.to_owned(),
        locale: locale.to_owned(),
        ..pb::ListArticlesRequest::default()
    };
    let names = |articles: &[pb::Article]| {
        let names = articles.iter().map(|article| article.name.clone());
        names.collect::<Vec<_>>()
    };
    for (agent, queue, locale, expected) in [
        (
            &anna,
            "",
            "",
            &["articles/refunds", "articles/refunds-de"][..],
        ),
        (
            &bert,
            "",
            "",
            &["articles/quotes", "articles/refunds", "articles/refunds-de"],
        ),
        (
            &bert,
            "queues/support",
            "",
            &["articles/refunds", "articles/refunds-de"],
        ),
        (&bert, "", "de", &["articles/quotes", "articles/refunds-de"]),
    ] {
        let listed = articles.list_articles(by(agent, list(queue, locale))).await;
        let listed = listed.unwrap().into_inner().articles;
        assert_eq!(names(&listed), expected, "{queue} {locale}");
        assert!(listed.iter().all(|article| article.text_body.is_empty()));
        assert!(listed.iter().all(|article| !article.snippet.is_empty()));
    }

    // The title counts for more than the text, and pages hold everything once.
    let mut search = pb::SearchArticlesRequest {
        query: "refund".to_owned(),
        page_size: 1,
        ..pb::SearchArticlesRequest::default()
    };
    let mut found = Vec::new();
    loop {
        let page = admin.search_articles(search.clone()).await.unwrap();
        let page = page.into_inner();
        found.extend(names(&page.articles));
        search.page_token = page.next_page_token;
        if search.page_token.is_empty() {
            break;
        }
    }
    assert_eq!((found.len(), found[0].as_str()), (3, "articles/refunds"));
    search.page_size = 0;
    let for_anna = articles.search_articles(by(&anna, search.clone())).await;
    let for_anna = names(&for_anna.unwrap().into_inner().articles);
    assert_eq!(for_anna, ["articles/refunds", "articles/refunds-de"]);
    let list = pb::ListArticlesRequest {
        page_size: 1,
        ..pb::ListArticlesRequest::default()
    };
    let first = admin.list_articles(list).await.unwrap().into_inner();
    search.page_token = first.next_page_token;
    let crossed = admin.search_articles(search.clone()).await;
    refused(crossed, Code::InvalidArgument, "PAGE_TOKEN_INVALID");
    search.page_token = String::new();
    search.query = "x".repeat(1025);
    let long = admin.search_articles(search).await;
    refused(long, Code::InvalidArgument, "FIELD_INVALID");
}

#[tokio::test]
async fn an_article_is_filled_in_for_who_wrote() {
    let gateway = Gateway::start().await;
    gateway.agent("anna", &["support"]).await;
    gateway.agent("bert", &["sales"]).await;
    let mut admin = stocked(&gateway).await;
    let (anna, bert) = (gateway.sign_in("anna").await, gateway.sign_in("bert").await);
    let text = "{{customer.address}} {{queue.name}} {{agent.name}} {{order}} {{when}}";
    let mut greeting = article("Greeting", text, &[], "");
    greeting.html_body = "<p>{{order}} {{when}}</p>".to_owned();
    admin
        .create_article(create("greeting", greeting))
        .await
        .unwrap();
    gateway.letter("support").await;
    let mut interactions =
        pb::interaction_service_client::InteractionServiceClient::new(gateway.local.clone());
    let listed = interactions
        .list_interactions(pb::ListInteractionsRequest::default())
        .await;
    let interaction = listed.unwrap().into_inner().interactions.remove(0);
    let render = |variables: &[(&str, &str)]| pb::RenderArticleRequest {
        name: "articles/greeting".to_owned(),
        interaction: interaction.name.clone(),
        variables: variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect::<BTreeMap<_, _>>(),
    };
    let mut articles = KnowledgeServiceClient::new(gateway.remote.clone());
    let asked = render(&[("order", "<b>7</b>")]);
    let filled = articles.render_article(by(&anna, asked.clone())).await;
    let filled = filled.unwrap().into_inner();
    assert_eq!(
        filled.text_body,
        "carla@customer.example The support queue anna <b>7</b> {{when}}"
    );
    assert_eq!(filled.html_body, "<p>&lt;b&gt;7&lt;/b&gt; {{when}}</p>");
    assert_eq!(filled.missing_variables, ["when"]);

    let foreign = articles.render_article(by(&bert, asked)).await;
    refused(foreign, Code::PermissionDenied, "NOT_QUEUE_MEMBER");
    for variables in [&[("Order", "7")][..], &[("order", &"x".repeat(4097))]] {
        let wrong = articles.render_article(by(&anna, render(variables))).await;
        refused(wrong, Code::InvalidArgument, "FIELD_INVALID");
    }
    let long = article("Long", &"{{x}}".repeat(1000), &[], "");
    admin.create_article(create("long", long)).await.unwrap();
    let mut asked = render(&[("x", &"x".repeat(1024))]);
    asked.name = "articles/long".to_owned();
    let long = articles.render_article(by(&anna, asked)).await;
    refused(long, Code::ResourceExhausted, "MESSAGE_TOO_LARGE");
}

#[tokio::test]
async fn articles_outlive_the_engine() {
    let queues = || Settings::new(super::gateway::queues());
    let store: Arc<dyn Store> = Arc::new(Memory::default());
    let (engine, handle, _submissions) = Engine::start(store, queues()).unwrap();
    let made = |text: &str| {
        let fields = ArticleFields {
            title: Some("Refunds".to_owned()),
            text: Some(text.to_owned()),
            ..ArticleFields::default()
        };
        ArticleChange::Create(Box::new(fields))
    };
    let (kept, gone): (ArticleId, ArticleId) = ("kept".parse().unwrap(), "gone".parse().unwrap());
    let (first, second, third) = tokio::join!(
        handle.change_article(kept.clone(), made("one")),
        handle.change_article(kept.clone(), made("two")),
        handle.change_article(gone.clone(), made("three")),
    );
    // Be they of one round or not, one of them is too late.
    let first = first.unwrap().unwrap();
    assert_eq!(second.unwrap(), Err(ArticleRefusal::Exists));
    third.unwrap().unwrap();
    let delete = ArticleChange::Delete { based_on: None };
    let deleted = handle.change_article(gone.clone(), delete).await;
    deleted.unwrap().unwrap();
    handle.stop();
    let store = engine.join().unwrap();
    let (engine, handle, _submissions) = Engine::start(store, queues()).unwrap();
    let knowledge = handle.knowledge();
    assert_eq!(knowledge.article(&kept).as_deref(), Some(&first));
    let found = knowledge.search("refunds", 0, 9, |_| true);
    assert_eq!(found.len(), 1);
    handle.stop();
    engine.join().unwrap();
}
