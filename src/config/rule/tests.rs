//! What is wrong with rules, as a table: the keys, and the complaint with its line.

use super::*;

const BEFORE: &str = r#"[gateway]
data_dir = "/tmp/x"
name = "shop.example"
[[queue]]
id = "support"
addresses = ["support@shop.example"]
[[queue]]
id = "sales"
addresses = ["sales@shop.example"]
[[queue]]
id = "old"
enabled = false
addresses = ["old@shop.example"]
[[rule]]
name = "one"
"#;

/// What is wrong with a first rule named "one", whose keys begin in line 16.
fn problems(rule: &str) -> Vec<String> {
    match Config::parse(&format!("{BEFORE}{rule}")) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn every_problem_of_a_rule_has_its_line() {
    for (rule, complaint) in [
        ("", "15: rule one does nothing"),
        (
            "pass = true\nhold = true",
            "15: rule one contradicts itself",
        ),
        (
            "priority = 1\nrefuse = \"550 5.7.1 no\"",
            "15: rule one contradicts itself",
        ),
        ("pass = true\nfrom = \"x\"", "17: unknown field `from`"),
        (
            "pass = true\nqueue = \"nowhere\"",
            "17: queue \"nowhere\" is not defined",
        ),
        (
            "move_to = \"nowhere\"",
            "16: queue \"nowhere\" is not defined",
        ),
        ("move_to = \"old\"", "16: queue old is not enabled"),
        (
            "queue = \"sales\"\nmove_to = \"sales\"",
            "17: rule one moves letters to the queue",
        ),
        ("priority = 101", "16: priority must be"),
        ("priority = \"high\"", "16: "),
        ("skills = [\"German!\"]", "16: skill \"German!\" is not"),
        ("skills = [\"german:11\"]", "16: skill \"german:11\" is not"),
        (
            "skills = [\"s1\",\"s2\",\"s3\",\"s4\",\"s5\",\"s6\",\"s7\",\"s8\",\"s9\"]",
            "15: rule one asks for more than 8 skills",
        ),
        (
            "refuse = \"250 2.0.0 ok\"",
            "16: refuse = \"250 2.0.0 ok\" is no refusal",
        ),
        ("refuse = \"421 4.0.0 bye\"", "16: refuse"),
        ("refuse = \"550 4.7.1 no\"", "16: refuse"),
        ("refuse = \"550 5.7 no\"", "16: refuse"),
        ("refuse = \"550 5.7.1.1 no\"", "16: refuse"),
        ("refuse = \"550 5.7.1\"", "16: refuse"),
        ("refuse = \"550 no\"", "16: refuse"),
        ("refuse = \"550 5.7.1 n\u{f6}\"", "16: refuse"),
        ("refuse = \"+55 5.7.1 no\"", "16: refuse"),
        (
            "pass = true\ntrust_at_least = \"A\"\ntrust_at_most = \"B\"",
            "17: rule one can never match: nobody is believed",
        ),
        (
            "pass = true\ntrust_at_least = \"E\"",
            "17: unknown variant `E`",
        ),
        (
            "pass = true\nlarger_than = 9\nsmaller_than = 10",
            "17: rule one can never match: no size",
        ),
        (
            "pass = true\nlarger_than = 10000000",
            "17: rule one can never match: larger letters",
        ),
        (
            "pass = true\nsender = [\"a@b.example\",\n\"a b\"]",
            "18: sender = \"a b\": it is no address",
        ),
        (
            "pass = true\nheader = [\"Sub ject: x\"]",
            "17: header = \"Sub ject: x\": what stands",
        ),
        (
            "pass = true\nheader = [\"Subject\"]",
            "17: header = \"Subject\": it has to be",
        ),
        (
            "pass = true\nrecipient = [\"joe@shop.example\"]",
            "17: joe@shop.example is no address of the queue",
        ),
        (
            "pass = true\nqueue = \"sales\"\nrecipient = [\"support@shop.example\"]",
            "18: support@shop.example is no address of the queue",
        ),
        (
            "pass = true\n[[rule]]\nname = \"two\"\nsender = [\"b.example\"]\nhold = true",
            "18: rule two is never reached: whatever it matches is matched by rule one in line 15",
        ),
        (
            "sender = [\"b.example\"]\nhold = true\n[[rule]]\nname = \"one\"\npass = true",
            "19: rule one is defined twice, first in line 15",
        ),
    ] {
        let found = problems(rule);
        assert_eq!(found.len(), 1, "{rule}\n{found:?}");
        assert!(
            found[0].starts_with(complaint),
            "{}\nnot {complaint}",
            found[0]
        );
    }
}

#[test]
fn names_stand_in_log_lines() {
    for name in ["", " ", "two\\nlines", "\u{e4}rger", &"x".repeat(61)] {
        let text = BEFORE.replace("\"one\"", &format!("\"{name}\""));
        let found = Config::parse(&format!("{text}pass = true")).unwrap_err();
        assert!(found[0].what.contains("is not 1 to 60"), "{found:?}");
    }
}

#[test]
fn what_is_meant_is_taken() {
    for rule in [
        "pass = true",
        "trust_at_least = \"C\"\ntrust_at_most = \"B\"\npriority = -100",
        "larger_than = 8\nsmaller_than = 10\nhold = true",
        "recipient = [\"Support+vip@shop.example\", \"*@shop.example\"]\nqueue = \"support\"\nskills = [\"vip\"]",
        "envelope_sender = [\"<>\", \".b.example\"]\nrefuse = \"550 5.7.1 Not wanted here\"",
        "queue = \"old\"\nmove_to = \"sales\"",
        // The narrow one first: both are reached.
        "sender = [\"b.example\"]\nhold = true\n[[rule]]\nname = \"two\"\npass = true",
    ] {
        assert_eq!(problems(rule), [""; 0], "{rule}");
    }
}

#[test]
fn rules_are_read_as_they_are_written() {
    let rule = "queue = \"support\"\nheader = [\"X-Spam-Flag: yes\"]\n\
        move_to = \"sales\"\npriority = -5\nskills = [\"law\"]\nhold = true\n\
        [[rule]]\nname = \"two\"\nrefuse = \"451 4.7.1 later\"\n";
    let config = Config::parse(&format!("{BEFORE}{rule}")).unwrap();
    let mut seen = Vec::new();
    let queue: QueueId = "support".parse().unwrap();
    let facts = rules::Facts {
        queue: &queue,
        envelope_sender: "",
        recipients: &[],
        letter: Some(&rules::LetterFacts {
            sender: "",
            trust: Trust::C,
            kind: Kind::Human,
            size: 1,
            fields: &rules::Fields::new(),
        }),
    };
    config.rules().ask(&facts, |rule, outcome| {
        seen.push(format!("{} {outcome:?} {}", rule.name, rule.action));
    });
    assert_eq!(
        seen,
        [
            "one Missed(Header(0)) move to sales; priority -5; skills law; hold",
            "two Matched refuse: 451 4.7.1 later",
        ]
    );
}

#[test]
fn a_sender_that_anybody_can_claim_is_not_to_be_preferred() {
    let blind = "sender = [\"b.example\"]\npriority = 1";
    let proven = "sender = [\"b.example\"]\ntrust_at_least = \"B\"\npriority = 1";
    for (rule, names) in [(blind, vec!["one"]), (proven, vec![])] {
        let config = Config::parse(&format!("{BEFORE}{rule}")).unwrap();
        assert_eq!(config.blind_rules(), names);
    }
}

#[test]
fn every_kind_is_explained() {
    let source = include_str!("../rule.rs");
    for kind in Kind::ALL {
        assert!(source.contains(&format!("`{}`", kind.name())), "{kind:?}");
    }
}
