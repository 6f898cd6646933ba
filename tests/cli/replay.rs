//! `postroom replay`: a recorded morning under other policies, and what is refused.

use serde_json::Value;

use super::{LETTER, Served, in_repository, run};

fn fixture(name: &str) -> String {
    let path = in_repository("tests/replay").join(name);
    path.to_str().unwrap().to_owned()
}

/// Replays the morning of the repository, or another recording.
fn replay(recording: &str, before: &str, policy: &str, more: &[&str]) -> (i32, String, String) {
    let mut arguments = vec!["replay", "--recording", recording];
    arguments.extend(["--before", before, "--policy", policy]);
    arguments.extend(more);
    run(&arguments)
}

/// What the table says, rewritten by `UPDATE=1`; commit that only when it is understood. What was
/// recorded and what is replayed under the same policy agree to the second.
#[test]
fn a_morning_with_and_without_overflow() {
    let morning = fixture("morning.recording");
    let (before, after) = (fixture("before.toml"), fixture("after.toml"));
    let (code, table, error) = replay(&morning, &before, &after, &[]);
    assert_eq!((code, error.as_str()), (0, ""), "{table}");
    let golden = fixture("morning.table");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&golden, &table).unwrap();
    }
    assert_eq!(table, std::fs::read_to_string(&golden).unwrap());

    let (code, json, _) = replay(&morning, &before, &after, &["--json"]);
    assert_eq!(code, 0);
    let json: Value = serde_json::from_str(&json).unwrap();
    let support = &json["queues"]["support"];
    assert_eq!(support["recorded"], support["before"]);
    assert_eq!(support["before"]["waitMedian"], 258.0);
    assert_eq!(support["after"]["waitMedian"], 108.0);
    assert_eq!(support["after"]["levels"]["answered"]["ofReached"], 1.0);
}

#[test]
fn the_same_policy_makes_no_difference() {
    let morning = fixture("morning.recording");
    for policy in ["before.toml", "after.toml"] {
        let policy = fixture(policy);
        let (code, json, error) = replay(&morning, &policy, &policy, &["--json"]);
        assert_eq!((code, error.as_str()), (0, ""));
        let json: Value = serde_json::from_str(&json).unwrap();
        for found in json["queues"]
            .as_object()
            .unwrap()
            .values()
            .chain([&json["all"]])
        {
            assert_eq!(found["before"], found["after"]);
        }
    }
}

#[test]
fn what_cannot_be_replayed_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let morning = std::fs::read_to_string(fixture("morning.recording")).unwrap();
    let head = morning.lines().next().unwrap();
    let before = fixture("before.toml");
    let policy = std::fs::read_to_string(&before).unwrap();
    let narrow = write(
        "narrow.toml",
        policy.split_once("[[queue]]\nid = \"sales\"").unwrap().0,
    );
    let wrong = write(
        "wrong.toml",
        &policy.replace("accept_within", "accepted_within"),
    );
    for (recording, policy, code, said) in [
        (
            morning.as_str(),
            &narrow,
            78,
            "has no queue sales, where work was recorded",
        ),
        (&morning, &wrong, 78, ""),
        (
            &format!("{head}\n"),
            &before,
            65,
            "nothing arrived between 2026-11-16T08:00:00.000Z",
        ),
        ("", &before, 65, "there is nothing in it"),
        ("{}\n", &before, 65, "there is nothing in it"),
        ("letters\n", &before, 65, ":1: expected"),
        (&morning[..morning.len() - 3], &before, 65, "cut off"),
        (
            &format!("{head}\n{head}\n"),
            &before,
            65,
            ":2: a second range",
        ),
        (
            &morning.replacen("anna", "nobody", 1),
            &before,
            65,
            ":3: it speaks of agent anna",
        ),
        (
            &morning.replacen("T12:00:00Z", "T07:00:00Z", 1),
            &before,
            65,
            ":1: it ends before",
        ),
        (
            &morning.replacen("08:10:04Z", "8:10", 1),
            &before,
            65,
            ":5: ",
        ),
        (
            morning.split_once('\n').unwrap().1,
            &before,
            65,
            ":1: the range is missing",
        ),
    ] {
        let recording = write("some.recording", recording);
        let (found, out, error) = replay(&recording, &before, policy, &[]);
        assert_eq!(found, code, "{said}: {out}{error}");
        assert!(error.contains(said), "{said}: {out}{error}");
    }
    let nowhere = folder.path().join("nowhere");
    let (code, _, error) = replay(nowhere.to_str().unwrap(), &before, &before, &[]);
    assert_eq!(
        (code, error.contains("nowhere: No such file")),
        (74, true),
        "{error}"
    );
    for (arguments, said) in [
        (&["--from", "yesterday"][..], "write a day as"),
        (&[], "--from"),
        (&["--from", "2026-11-16"], "which policy runs now?"),
        (
            &["--from", "2026-11-16", "--before", &before],
            "where is the gateway?",
        ),
        (
            &[
                "--from",
                "2026-11-16",
                "--recording",
                "x",
                "--before",
                &before,
            ],
            "cannot be used with",
        ),
    ] {
        let arguments = [&["replay", "--policy", &before], arguments].concat();
        let (code, _, error) = run(&arguments);
        assert_eq!(
            (code, error.contains(said)),
            (64, true),
            "{arguments:?}: {error}"
        );
    }
}

#[test]
fn a_gateway_is_asked_and_its_recording_kept() {
    let served = Served::start();
    let path = |name: &str| served.folder.path().join(name).to_str().unwrap().to_owned();
    let (letter, kept) = (path("letter.eml"), path("kept.recording"));
    std::fs::write(&letter, LETTER).unwrap();
    let config = served.config.as_str();
    let ask = [
        "replay",
        "--from",
        "2020-01-01",
        "--config",
        config,
        "--policy",
        config,
        "--save",
        &kept,
    ];
    let (code, _, error) = run(&ask);
    assert_eq!(
        (code, error.contains("nothing arrived between 2020")),
        (65, true),
        "{error}"
    );
    let (code, out, error) = run(&[
        "inject",
        "--milter",
        &served.milter,
        "--from",
        "ada@example.org",
        "--rcpt",
        "support@shop.example",
        &letter,
    ]);
    assert_eq!(code, 0, "{out}{error}");
    let (code, asked, error) = run(&ask);
    assert_eq!((code, error.as_str()), (0, ""), "{asked}");
    let received = asked
        .lines()
        .find(|line| line.contains("received"))
        .unwrap();
    let received: Vec<&str> = received.split_whitespace().collect();
    assert_eq!(received, ["received", "1", "1", "1"]);
    let (code, replayed, error) = replay(&kept, config, config, &[]);
    assert_eq!((code, error.as_str()), (0, ""));
    assert_eq!(replayed, asked);
    // No customer is in it.
    let kept = std::fs::read_to_string(&kept).unwrap();
    assert!(
        kept.contains("queues/support") && !kept.contains("example.org"),
        "{kept}"
    );
}
