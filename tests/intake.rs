//! Intake, from the milter's socket to the store: what the MTA is told, and what becomes of the
//! letter.

#![expect(clippy::unwrap_used, reason = "a test's helpers are part of the test")]

#[path = "support/dns.rs"]
mod dns;
#[path = "support/gated.rs"]
mod gated;
#[path = "intake/order.rs"]
mod order;
#[path = "intake/responsibility.rs"]
mod responsibility;
#[path = "intake/rules.rs"]
mod rules;

#[path = "intake/threads.rs"]
mod threads;

use bytes::Bytes;
use dns::Dns;
use postroom::config::Config;
use postroom::desk::{Interaction, Message, State};
use postroom::gateway::{self, Running};
use postroom::id::MessageId;
use postroom::intake::authenticate::Resolver;
use postroom::mail::dossier::Remark;
use postroom::mail::trust::Trust;
use postroom::milter::client::{Caller, Client, Letter, Mail, Outcome, Said};
use postroom::milter::negotiation::Offer;

#[path = "kinds/automatic.rs"]
mod automatic;

/// A gateway in a scratch folder, and an MTA connected to it.
struct House {
    running: Running,
    folder: tempfile::TempDir,
    config: Config,
}

const QUEUES: &str = r#"
[[queue]]
id = "support"
display_name = "Support"
addresses = ["support@shop.example", "help@shop.example"]

[[queue]]
id = "sales"
addresses = ["sales@shop.example"]
"#;

impl House {
    async fn open(more: &str) -> Self {
        Self::open_with(more, resolver()).await
    }

    async fn open_with(more: &str, resolver: Resolver) -> Self {
        Self::open_all("", more, resolver).await
    }

    /// With keys of `[gateway]` as well, which come before the other sections.
    async fn open_all(gateway: &str, more: &str, resolver: Resolver) -> Self {
        // Not in memory: there letters are not taken over.
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let text = format!(
            "[gateway]\ndata_dir = {:?}\nname = \"shop.example\"\n{gateway}\n\
             [control]\nlisten = \"127.0.0.1:0\"\n{more}\n{QUEUES}",
            folder.path().join("data")
        );
        let text = if text.contains("[milter]") {
            text.replace("[milter]", "[milter]\nlisten = \"inet:127.0.0.1:0\"")
        } else {
            format!("[milter]\nlisten = \"inet:127.0.0.1:0\"\n{text}")
        };
        let config = Config::parse(&text).unwrap();
        let running = gateway::start(&config, Some(resolver)).await.unwrap();
        Self {
            running,
            folder,
            config,
        }
    }

    async fn restart(self) -> Self {
        self.running.stop().await.unwrap();
        let running = gateway::start(&self.config, Some(resolver())).await;
        Self {
            running: running.unwrap(),
            ..self
        }
    }

    async fn send(&self, from: &str, to: &[&str], letter: &str) -> Outcome {
        self.send_by("192.0.2.1", from, to, letter).await
    }

    /// As [`House::send`], by the client with this address.
    async fn send_by(&self, client: &str, from: &str, to: &[&str], letter: &str) -> Outcome {
        let mut mta = Client::connect(&self.running.milter, Offer::POSTFIX)
            .await
            .unwrap();
        let caller = Caller {
            ip: Some(client.parse().unwrap()),
            ..Caller::default()
        };
        mta.open(caller).await.unwrap();
        let bytes = Bytes::from(letter.replace('\n', "\r\n"));
        let mail = Mail {
            sender: Bytes::from(format!("<{from}>")),
            parameters: Vec::new(),
            recipients: to.iter().map(|to| Bytes::from(format!("<{to}>"))).collect(),
            queue_id: "4ABC".to_owned(),
            letter: Letter::parse(&bytes),
        };
        let outcome = mta.send(&mail).await.unwrap();
        mta.quit().await.unwrap();
        outcome
    }

    async fn message(&self, id: MessageId) -> Message {
        self.running.handle.message(id).await.unwrap().unwrap()
    }

    async fn open_interactions(&self) -> Vec<Interaction> {
        let handle = self.running.handle.clone();
        handle
            .look(|desk, _| desk.interactions().values().cloned().collect())
            .await
            .unwrap()
    }
}

/// `ada.example` sends from 192.0.2.1 and says so; nobody else says anything.
fn resolver() -> Resolver {
    Resolver::Fixed(vec![
        ("ada.example".into(), "v=spf1 ip4:192.0.2.1 -all".into()),
        ("_dmarc.ada.example".into(), "v=DMARC1; p=reject".into()),
        ("lists.example".into(), "v=spf1 ip4:192.0.2.1 -all".into()),
        ("bad.example".into(), "v=spf1 -all".into()),
        ("_dmarc.bad.example".into(), "v=DMARC1; p=none".into()),
        ("_dmarc.odd.example".into(), "v=DMARC1; p=quarantine".into()),
    ])
}

const LETTER: &str = "From: Ada <ada@ada.example>\nTo: support@shop.example\n\
    Subject: My order\nMessage-ID: <1@ada.example>\n\nWhere is it?\n";

/// The fields that the MTA is to insert, by name.
fn tag(outcome: &Outcome, letter: &str, name: &str) -> Vec<String> {
    let letter = Letter::parse(&Bytes::from(letter.replace('\n', "\r\n")));
    let delivered = outcome.apply(&letter).to_bytes();
    String::from_utf8_lossy(&delivered)
        .lines()
        .filter_map(|line| line.split_once(": "))
        .filter(|(field, _)| field.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.to_owned())
        .collect()
}

fn text(said: &Said) -> String {
    format!("{said:?}")
}

#[tokio::test]
async fn a_letter_is_tagged_and_waits_in_its_queue() {
    let house = House::open("").await;
    let forged = LETTER.replace(
        "Subject:",
        "x-postroom-case: 99\nX-Postroom-CASE: 98\nSubject:",
    );
    let outcome = house
        .send("ada@ada.example", &["Help+order@Shop.example"], &forged)
        .await;
    assert_eq!(outcome.verdict, Said::Accept);
    let waiting = house.open_interactions().await;
    let [interaction] = waiting.as_slice() else {
        panic!("{waiting:?}");
    };
    assert_eq!(interaction.queue.as_str(), "support");
    assert_eq!(interaction.mailbox, "help@shop.example");
    assert_eq!(interaction.customer.display_name, "Ada");
    assert_eq!(interaction.subject, "My order");
    assert_eq!(interaction.trust, Trust::A);
    assert_eq!(interaction.state, State::Queued);
    assert_eq!(tag(&outcome, &forged, "X-Postroom-Queue"), ["support"]);
    let case = interaction.case.to_string();
    assert_eq!(tag(&outcome, &forged, "X-Postroom-Case"), [case]);
    let id = interaction.id.to_string();
    assert_eq!(tag(&outcome, &forged, "X-Postroom-Interaction"), [id]);
    let stored = house
        .running
        .handle
        .body_head(interaction.latest_inbound, 1 << 20)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(stored, forged.replace('\n', "\r\n").as_bytes());
    house.running.stop().await.unwrap();
}

#[tokio::test]
async fn results_are_ours_or_somebody_elses_never_forged() {
    let house = House::open("").await;
    let forged = format!(
        "Authentication-Results: upstream.example; dkim=pass\n\
         authentication-results: (so) SHOP.example 1; dmarc=pass\n{LETTER}"
    );
    let to = ["support@shop.example"];
    let outcome = house.send("ada@ada.example", &to, &forged).await;
    let results = tag(&outcome, &forged, "Authentication-Results");
    let [ours, upstream] = results.as_slice() else {
        panic!("{results:?}");
    };
    assert_eq!(upstream, "upstream.example; dkim=pass");
    // What is longer than a line is folded.
    assert!(
        ours.starts_with("shop.example; spf=pass smtp.mailfrom=ada.example;"),
        "{ours}"
    );
}

#[tokio::test]
async fn what_becomes_of_mail_that_its_domain_disowns() {
    let forged = LETTER.replace("ada@ada.example>", "eve@ada.example>");
    let watched = LETTER.replace("ada@ada.example>", "ada@bad.example>");
    let suspect = LETTER.replace("ada@ada.example>", "ada@odd.example>");
    let lenient = "[authentication]\ndmarc_reject = false";
    let listed = "[authentication]\ntrusted_forwarders = [\"lists.example\"]";
    let disowned = "the sender's domain says that this is not its mail (DMARC)";
    let listed_reason = format!("{disowned}, but it came through lists.example");
    let (queued, held) = (Some((disowned, false)), Some((disowned, true)));
    let forwarded = Some((listed_reason.as_str(), false));
    for (config, from, letter, said) in [
        ("", "x@bad.example", &forged, None),
        ("", "x@lists.example", &forged, None),
        (lenient, "x@bad.example", &forged, held),
        (listed, "x@lists.example", &forged, forwarded),
        (listed, "x@bad.example", &forged, None),
        ("", "x@bad.example", &watched, queued),
        ("", "x@bad.example", &suspect, held),
        (listed, "x@lists.example", &suspect, forwarded),
    ] {
        let house = House::open(config).await;
        let outcome = house.send(from, &["support@shop.example"], letter).await;
        let waiting = house.open_interactions().await;
        match said {
            None => {
                let refused = text(&outcome.verdict);
                assert!(refused.contains("550 5.7.26"), "{config} {from}: {refused}");
                assert!(waiting.is_empty(), "{config} {from}");
            }
            Some((reason, is_held)) => {
                assert_eq!(outcome.verdict, Said::Accept, "{config} {from}");
                assert_eq!(waiting[0].trust, Trust::D, "{config} {from}");
                let held = matches!(waiting[0].state, State::Held { .. });
                assert_eq!(held, is_held, "{config} {from}");
                let message = house.message(waiting[0].latest_inbound).await;
                assert_eq!(message.trust_reason, reason, "{config} {from}");
            }
        }
    }
}

#[tokio::test]
async fn a_silent_name_server_is_waited_for() {
    let dns = Dns::start("ada.example SERVFAIL").await;
    let resolver = Resolver::Servers(vec![dns.addr()]);
    let house = House::open_with("", resolver).await;
    let queue = ["support@shop.example"];
    for _ in 0..2 {
        let outcome = house.send("ada@ada.example", &queue, LETTER).await;
        let said = text(&outcome.verdict);
        assert!(said.contains("451 4.7.0"), "{said}");
    }
    assert!(house.open_interactions().await.is_empty());
    dns.change("ada.example TXT v=spf1 ip4:192.0.2.1 -all");
    let outcome = house.send("ada@ada.example", &queue, LETTER).await;
    assert_eq!(outcome.verdict, Said::Accept);
    assert_eq!(house.open_interactions().await[0].trust, Trust::B);
    // A filter that is believed spares the question.
    assert!(!dns.asked().is_empty());
    let resolver = Resolver::Servers(vec![dns.addr()]);
    let named = "[authentication]\ntrusted_results = [\"scan.shop.example\"]";
    let house = House::open_with(named, resolver).await;
    let letter = format!("Authentication-Results: scan.shop.example; none\n{LETTER}");
    house.send("ada@ada.example", &queue, &letter).await;
    assert_eq!(house.open_interactions().await.len(), 1);
    assert_eq!(dns.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn a_reload_forgets_no_answer_of_the_same_servers() {
    let dns = Dns::start("ada.example TXT v=spf1 ip4:192.0.2.1 -all").await;
    let resolver = Resolver::Servers(vec![dns.addr()]);
    let mut house = House::open_with("", resolver).await;
    let queue = ["support@shop.example"];
    house.send("ada@ada.example", &queue, LETTER).await;
    assert!(!dns.asked().is_empty());
    // Something else changes.
    house.config.milter.message_bytes_max = 2000;
    house.running.reload(&house.config).await.unwrap();
    let second = LETTER.replace("<1@", "<2@");
    house.send("ada@ada.example", &queue, &second).await;
    assert_eq!(dns.asked(), Vec::<String>::new());
    assert_eq!(house.open_interactions().await[1].trust, Trust::B);
}

#[tokio::test]
async fn a_filter_before_us_is_believed_if_it_is_named() {
    let theirs = "Authentication-Results: scan.shop.example; dmarc=pass header.from=eve.example\n";
    let letter = format!(
        "{theirs}{}",
        LETTER.replace("ada.example>\nTo", "eve.example>\nTo")
    );
    let named = "[authentication]\ntrusted_results = [\"scan.shop.example\"]";
    for (config, trust, results) in [
        (
            "",
            Trust::C,
            "shop.example; spf=none smtp.mailfrom=eve.example;",
        ),
        (
            named,
            Trust::A,
            "shop.example; dmarc=pass header.from=eve.example",
        ),
    ] {
        let house = House::open(config).await;
        let to = ["support@shop.example"];
        let outcome = house.send("ada@eve.example", &to, &letter).await;
        assert_eq!(house.open_interactions().await[0].trust, trust);
        let said = tag(&outcome, &letter, "Authentication-Results");
        let [ours, upstream] = said.as_slice() else {
            panic!("{said:?}");
        };
        assert!(ours.starts_with(results), "{ours}");
        assert_eq!(
            upstream,
            "scan.shop.example; dmarc=pass header.from=eve.example"
        );
    }
}

#[tokio::test]
async fn answers_go_to_the_author_behind_a_list() {
    let house = House::open("").await;
    let letter = LETTER.replace(
        "From: Ada <ada@ada.example>",
        "From: 'Ada' via Talk <talk@lists.example>\nX-Original-From: Ada <ada@ada.example>\n\
         Reply-To: Ada <ada@ada.example>",
    );
    let to = ["support@shop.example"];
    house.send("talk@lists.example", &to, &letter).await;
    let waiting = house.open_interactions().await;
    assert_eq!(waiting[0].customer.address, "ada@ada.example");
    assert_eq!(waiting[0].trust, Trust::C);
    let message = house.message(waiting[0].latest_inbound).await;
    assert_eq!(
        message.trust_reason,
        "sent on by lists.example, which names the sender without proof"
    );
}

#[tokio::test]
async fn mail_for_nobody_is_released_unread() {
    let house = House::open("").await;
    let outcome = house
        .send("ada@ada.example", &["joe@shop.example"], LETTER)
        .await;
    assert!(outcome.released_at_data);
    assert!(outcome.edits.is_empty());
    assert!(house.open_interactions().await.is_empty());
}

#[tokio::test]
async fn two_queues_are_one_case() {
    let house = House::open("").await;
    let to = ["support@shop.example", "sales@shop.example"];
    let outcome = house.send("ada@ada.example", &to, LETTER).await;
    assert_eq!(
        tag(&outcome, LETTER, "X-Postroom-Queue"),
        ["support, sales"]
    );
    let waiting = house.open_interactions().await;
    assert_eq!(waiting.len(), 2);
    assert_eq!(waiting[0].case, waiting[1].case);
}

#[tokio::test]
async fn the_same_letter_again_is_the_same_work() {
    let house = House::open("").await;
    let queue = ["support@shop.example"];
    let first = house.send("ada@ada.example", &queue, LETTER).await;
    let house = house.restart().await;
    let again = house.send("ada@ada.example", &queue, LETTER).await;
    assert_eq!(first.edits, again.edits);
    assert_eq!(house.open_interactions().await.len(), 1);

    // The same letter to another queue is the same case; another letter is another.
    let sales = ["sales@shop.example"];
    house.send("ada@ada.example", &sales, LETTER).await;
    let open = house.open_interactions().await;
    let newest = open.iter().map(|found| found.latest_inbound).max().unwrap();
    let dossier = house.running.handle.dossier(newest).await.unwrap().unwrap();
    // Its Message-ID is no other letter's.
    assert_eq!(dossier.remarks, [Remark::BlindCopy]);
    let other = LETTER.replace("1@ada", "2@ada");
    house.send("ada@ada.example", &queue, &other).await;
    let cases: Vec<String> = (house.open_interactions().await.iter())
        .map(|found| format!("{} {}", found.queue, found.case.serial()))
        .collect();
    assert_eq!(cases, ["support 1", "sales 1", "support 2"]);
    drop(house.folder);
}

#[tokio::test]
async fn letters_of_every_size_are_known_again() {
    let house = House::open("").await;
    let queue = ["support@shop.example"];
    // Read on the spot, read where it holds nobody up, read back from a file.
    for (waiting, size) in [(1, 1000), (2, 100_000), (3, 600_000)] {
        let letter = LETTER.replace("<1@ada", &format!("<{size}@ada"));
        let letter = format!("{letter}{}", "All work and no play.\n".repeat(size / 22));
        let first = house.send("ada@ada.example", &queue, &letter).await;
        let again = house.send("ada@ada.example", &queue, &letter).await;
        assert_eq!(first.verdict, Said::Accept, "{size}");
        assert_eq!(first.edits, again.edits, "{size}");
        assert_eq!(house.open_interactions().await.len(), waiting, "{size}");
    }
}

#[tokio::test]
async fn refusals_keep_nothing() {
    let circles = format!("{}{LETTER}", "Received: from a\n".repeat(51));
    let large = format!("{LETTER}{}", "x".repeat(3000));
    let rows = [
        (
            "[milter]\nmessage_bytes_max = 2000",
            large.as_str(),
            "552 5.3.4",
        ),
        ("", circles.as_str(), "554 5.4.6"),
        ("", "", "451 4.3.5"),
        (
            "[store]\nfree_space_floor_mib = 99999999",
            LETTER,
            "452 4.3.1",
        ),
    ];
    for (config, letter, reply) in rows {
        let house = House::open(config).await;
        let outcome = house
            .send("ada@ada.example", &["support@shop.example"], letter)
            .await;
        assert!(
            text(&outcome.verdict).contains(reply),
            "{reply}: {outcome:?}"
        );
        assert!(house.open_interactions().await.is_empty(), "{reply}");
    }
}

#[tokio::test]
async fn a_large_letter_comes_back_whole() {
    let house = House::open("").await;
    let letter = format!("{LETTER}{}", "0123456789abcdef\n".repeat(40_000));
    let outcome = house
        .send("ada@ada.example", &["support@shop.example"], &letter)
        .await;
    assert_eq!(outcome.verdict, Said::Accept);
    let house = house.restart().await;
    let interaction = house.open_interactions().await.remove(0);
    let mut stored = Vec::new();
    loop {
        let offset = stored.len() as u64;
        let piece = (house.running.handle)
            .body_chunk(interaction.latest_inbound, offset, 100_000)
            .await
            .unwrap()
            .unwrap();
        if piece.is_empty() {
            break;
        }
        stored.extend_from_slice(&piece);
    }
    assert!(stored == letter.replace('\n', "\r\n").as_bytes());
}
