//! Who keeps a letter: what the MTA does with its copy, mode by mode, and who is not asked in.

use std::fs;

use postroom::config::Config;
use postroom::gateway::{self, StartError};
use postroom::milter::client::{Outcome, Said};
use postroom::milter::wire::Reply;

use crate::{House, LETTER, resolver, tag, text};

const DOORS: &str = r#"
[[queue]]
id = "alone"
mode = "consume"
addresses = ["alone@shop.example"]

[[queue]]
id = "apart"
mode = "split"
addresses = ["apart@shop.example"]

[[queue]]
id = "closed"
enabled = false
addresses = ["closed@shop.example"]
"#;

/// The recipients that the MTA is asked to remove.
fn removed(outcome: &Outcome) -> Vec<String> {
    let removals = outcome.edits.iter().filter_map(|edit| match edit {
        Reply::DelRcpt(address) => Some(String::from_utf8_lossy(address).into_owned()),
        _ => None,
    });
    removals.collect()
}

#[tokio::test]
async fn the_mode_decides_about_the_copy_of_the_mta() {
    let house = House::open(DOORS).await;
    let foreign = "joe@x.example";
    // Recipients; verdict; who is removed; whether the copy tells of the case.
    let rows: [(&[&str], Said, &[&str], bool); 9] = [
        (&["support@shop.example"], Said::Accept, &[], true),
        (&["alone@shop.example"], Said::Discard, &[], false),
        (&["alone@shop.example", foreign], Said::Accept, &[], false),
        (&["apart@shop.example"], Said::Discard, &[], false),
        (
            &["Apart+x@Shop.example", foreign, "apart@shop.example"],
            Said::Accept,
            &["<Apart+x@Shop.example>", "<apart@shop.example>"],
            false,
        ),
        (
            &["alone@shop.example", "apart@shop.example"],
            Said::Discard,
            &[],
            false,
        ),
        (
            &["support@shop.example", "apart@shop.example"],
            Said::Accept,
            &["<apart@shop.example>"],
            true,
        ),
        (
            &["support@shop.example", "alone@shop.example"],
            Said::Accept,
            &[],
            true,
        ),
        (&["support@shop.example", foreign], Said::Accept, &[], false),
    ];
    for (place, (to, verdict, gone, told)) in rows.into_iter().enumerate() {
        let letter = LETTER
            .replace("1@ada", &format!("{place}@ada"))
            .replace("Subject:", "X-Postroom-Case: forged\nSubject:");
        for again in [false, true] {
            let outcome = house.send("ada@ada.example", to, &letter).await;
            assert_eq!(outcome.verdict, verdict, "{to:?} again={again}");
            assert_eq!(removed(&outcome), gone, "{to:?} again={again}");
            if verdict == Said::Discard {
                assert!(outcome.edits.is_empty(), "{to:?}: {:?}", outcome.edits);
                continue;
            }
            let cases = tag(&outcome, &letter, "X-Postroom-Case");
            assert_eq!(cases.len(), usize::from(told), "{to:?}: {cases:?}");
            assert!(!cases.contains(&"forged".to_owned()), "{to:?}");
            for field in ["X-Postroom-Queue", "X-Postroom-Interaction"] {
                assert_eq!(
                    tag(&outcome, &letter, field).len(),
                    usize::from(told),
                    "{to:?}"
                );
            }
        }
    }
    // Whatever becomes of the copy, every letter is work, once for each queue.
    assert_eq!(house.open_interactions().await.len(), 12);
    house.running.stop().await.unwrap();
}

#[tokio::test]
async fn others_are_told_where_it_is_wanted() {
    let house = House::open_all("tag_foreign = true", "", resolver()).await;
    let to = ["support@shop.example", "joe@x.example"];
    let outcome = house.send("ada@ada.example", &to, LETTER).await;
    assert_eq!(tag(&outcome, LETTER, "X-Postroom-Case").len(), 1);
}

#[tokio::test]
async fn some_addresses_are_refused_at_once_and_others_go_on() {
    let house = House::open_all("queue_domains = [\"shop.example\"]", DOORS, resolver()).await;
    let to = [
        "nobody@shop.example",
        "support@shop.example",
        "closed@shop.example",
        "postmaster@shop.example",
        "joe@x.example",
    ];
    let outcome = house.send("ada@ada.example", &to, LETTER).await;
    let said: Vec<String> = outcome.recipients.iter().map(text).collect();
    assert!(said[0].contains("550 5.1.1"), "{said:?}");
    assert!(said[2].contains("550 5.2.1"), "{said:?}");
    for place in [1, 3, 4] {
        assert!(said[place].contains("Continue"), "{said:?}");
    }
    assert_eq!(outcome.verdict, Said::Accept);
    let waiting = house.open_interactions().await;
    assert_eq!(waiting.len(), 1);
    assert_eq!(waiting[0].queue.as_str(), "support");
    // Refused all round, nothing is begun.
    let outcome = house
        .send("ada@ada.example", &["closed@shop.example"], LETTER)
        .await;
    assert!(text(&outcome.verdict).contains("550 5.2.1"), "{outcome:?}");
    assert_eq!(house.open_interactions().await.len(), 1);
}

#[tokio::test]
async fn letters_are_not_taken_over_into_memory() {
    let Ok(folder) = tempfile::tempdir_in("/dev/shm") else {
        return;
    };
    let text = format!(
        "[gateway]\ndata_dir = {:?}\nname = \"shop.example\"\n\
         [milter]\nlisten = \"inet:127.0.0.1:0\"\n[control]\nlisten = \"127.0.0.1:0\"\n{DOORS}",
        folder.path().join("data")
    );
    let config = Config::parse(&text).unwrap();
    let refused = gateway::start(&config, Some(resolver())).await.unwrap_err();
    assert!(matches!(refused, StartError::Proof(..)), "{refused}");
    assert!(
        refused.to_string().contains("in memory (tmpfs)"),
        "{refused}"
    );
    assert_eq!(gateway::in_memory(&config), Some("tmpfs"));
    // Nothing was made there.
    assert_eq!(fs::read_dir(folder.path().join("data")).unwrap().count(), 0);
    // With a second copy in Postfix's hands it may be as it is.
    let both = text
        .replace("\"consume\"", "\"tag\"")
        .replace("\"split\"", "\"tag\"");
    let running = gateway::start(&Config::parse(&both).unwrap(), Some(resolver())).await;
    running.unwrap().stop().await.unwrap();
}
