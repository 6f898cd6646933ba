//! Rules of the administrator, from the configuration to the interaction, and what is said of them
//! to people who try a letter.

use postroom::desk::State;
use postroom::grpc::client::{self, Place};
use postroom::grpc::pb;
use postroom::grpc::pb::system_service_client::SystemServiceClient;
use postroom::milter::client::Said;

use crate::{House, LETTER, text};

const RULES: &str = r#"
[[rule]]
name = "banned"
envelope_sender = ["banned.example"]
refuse = "550 5.7.1 Not wanted here"

[[rule]]
name = "advertisement"
header = ["Subject: *buy now*"]
refuse = "554 5.7.1 No advertisements"

[[rule]]
name = "vip"
queue = "support"
sender = ["ada.example"]
trust_at_least = "A"
header = ["X-Order: *"]
move_to = "sales"
priority = 7
skills = ["german"]

[[rule]]
name = "suspicious"
trust_at_most = "C"
header = ["Subject: *password*"]
hold = true

[[queue]]
id = "narrow"
waiting_max = 1
addresses = ["narrow@shop.example"]
"#;

#[tokio::test]
async fn rules_refuse_by_the_envelope_before_the_content() {
    let house = House::open(RULES).await;
    let to = ["support@shop.example", "joe@x.example"];
    let outcome = house.send("eve@banned.example", &to, LETTER).await;
    assert!(
        text(&outcome.recipients[0]).contains("550 5.7.1 Not wanted here"),
        "{outcome:?}"
    );
    // Others are none of our business.
    assert_eq!(outcome.recipients[1], Said::Continue);
    assert!(outcome.released_at_data);
    assert!(house.open_interactions().await.is_empty());
}

#[tokio::test]
async fn rules_move_prefer_hold_and_refuse() {
    let house = House::open(RULES).await;
    let to = ["support@shop.example"];
    let advert = LETTER.replace("My order", "BUY =?utf-8?q?N=4FW!?=");
    let outcome = house.send("ada@ada.example", &to, &advert).await;
    assert!(
        text(&outcome.verdict).contains("554 5.7.1 No advertisements"),
        "{outcome:?}"
    );
    assert!(house.open_interactions().await.is_empty());

    let vip = LETTER.replace("Subject", "X-Order: 17\nSubject");
    let outcome = house.send("ada@ada.example", &to, &vip).await;
    assert_eq!(outcome.verdict, Said::Accept);
    let forged = "From: eve@eve.example\nSubject: Your password\n\nGive it to me.\n";
    house.send("eve@eve.example", &to, forged).await;
    let mut found = house.open_interactions().await;
    found.sort_by_key(|interaction| interaction.id);
    let [moved, held] = found.as_slice() else {
        panic!("{found:?}");
    };
    assert_eq!(
        (moved.queue.as_str(), moved.mailbox.as_str()),
        ("sales", "sales@shop.example")
    );
    assert_eq!(moved.priority, 7);
    assert!(moved.skills.contains("german"), "{moved:?}");
    assert_eq!(moved.state, State::Queued);
    assert_eq!(held.queue.as_str(), "support");
    assert!(!matches!(held.state, State::Queued), "{held:?}");
    let dossier = house.running.handle.dossier(held.latest_inbound).await;
    let remarks: Vec<String> = (dossier.unwrap().unwrap().remarks.iter())
        .map(|remark| remark.words())
        .collect();
    let ruled = "rule suspicious for queue support: hold".to_owned();
    assert!(remarks.contains(&ruled), "{remarks:?}");
}

#[tokio::test]
async fn a_full_queue_refuses_before_the_content() {
    let house = House::open(RULES).await;
    let to = ["narrow@shop.example", "support@shop.example"];
    let first = house.send("ada@ada.example", &to, LETTER).await;
    assert_eq!(first.verdict, Said::Accept);
    let other = LETTER.replace("1@ada", "2@ada");
    let second = house.send("ada@ada.example", &to, &other).await;
    assert!(
        text(&second.recipients[0]).contains("452 4.3.1"),
        "{second:?}"
    );
    assert_eq!(
        (&second.recipients[1], &second.verdict),
        (&Said::Continue, &Said::Accept)
    );
    // It may be an answer that joins what waits there: only the letter can tell.
    let third = LETTER.replace("1@ada", "3@ada");
    let detail = house
        .send("ada@ada.example", &["narrow+x@shop.example"], &third)
        .await;
    assert_eq!(detail.recipients, [Said::Continue]);
    assert!(text(&detail.verdict).contains("452 4.3.1"), "{detail:?}");
    assert_eq!(house.open_interactions().await.len(), 3);
}

/// What the gateway says would become of a letter: the decisions, and the verdict.
async fn explained(house: &House, from: &str, to: &[&str], letter: &str) -> (Vec<String>, String) {
    let socket = Place::Socket(house.running.socket.clone());
    let mut system = SystemServiceClient::new(client::connect(&socket).await.unwrap());
    let request = pb::ExplainLetterRequest {
        raw_message: letter.replace('\n', "\r\n").into(),
        envelope_sender: from.to_owned(),
        recipients: to.iter().map(ToString::to_string).collect(),
        client_address: "192.0.2.1".to_owned(),
        helo: "mx.ada.example".to_owned(),
    };
    let told = system.explain_letter(request).await.unwrap().into_inner();
    let line = |said: &pb::LetterDecision| {
        format!(
            "{}: {} ({})",
            said.topic,
            said.decision,
            said.reasons.join("; ")
        )
    };
    (told.decisions.iter().map(line).collect(), told.verdict)
}

#[tokio::test]
async fn every_decision_is_explained_and_nothing_is_done() {
    let house = House::open(RULES).await;
    let vip = LETTER.replace("Subject", "X-Order: 17\nSubject");
    let to = ["support@shop.example", "joe@x.example"];
    let (said, verdict) = explained(&house, "ada@ada.example", &to, &vip).await;
    assert_eq!(verdict, "accept");
    let all = said.join("\n");
    for expected in [
        "recipient: support@shop.example: a queue's (queue support, address support@shop.example, mode tag)",
        "recipient: joe@x.example: somebody else's",
        "sender: From is ada@ada.example (shop.example; spf=pass",
        "trust: A (",
        "kind: human",
        "rule: banned does not match (queue support; envelope_sender = banned.example: the letter has ada@ada.example)",
        "rule: advertisement does not match (queue support; header = subject: *buy now*: the letter has \"my order\")",
        "rule: vip matches: move to sales; priority 7; skills german (queue support)",
        "case: a new case",
        "work: waits in sales (priority 7; skills german)",
        "copy: the MTA delivers its copy to all recipients (it goes to others than the queues as well, and tells them nothing)",
    ] {
        assert!(all.contains(expected), "{expected}\nnot in\n{all}");
    }
    assert!(
        !all.contains("rule: suspicious"),
        "asked after a match:\n{all}"
    );

    let (said, verdict) = explained(&house, "x@banned.example", &to[..1], LETTER).await;
    assert_eq!(verdict, "refuse: 550 5.7.1 Not wanted here");
    assert!(said[0].ends_with("(rule banned)"), "{said:?}");
    let (_, verdict) = explained(&house, "a@b.example", &to[1..], LETTER).await;
    assert!(verdict.starts_with("release"), "{verdict}");
    let advert = LETTER.replace("My order", "buy now");
    let (_, verdict) = explained(&house, "ada@ada.example", &to, &advert).await;
    assert_eq!(verdict, "refuse: 554 5.7.1 No advertisements");
    let circles = format!("{}{LETTER}", "Received: from a\n".repeat(51));
    let (_, verdict) = explained(&house, "ada@ada.example", &to, &circles).await;
    assert!(verdict.starts_with("refuse: 554 5.4.6"), "{verdict}");
    assert!(house.open_interactions().await.is_empty());

    // What was explained happens.
    let outcome = house.send("ada@ada.example", &to[..1], &vip).await;
    assert_eq!(outcome.verdict, Said::Accept);
    assert_eq!(house.open_interactions().await[0].queue.as_str(), "sales");
}
