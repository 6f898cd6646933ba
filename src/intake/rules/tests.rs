//! One letter, and what each condition makes of it: at RCPT, and with all of it there.

use super::*;
use bytes::Bytes;

fn conditions(change: impl FnOnce(&mut Conditions)) -> Conditions {
    let mut conditions = Conditions::default();
    change(&mut conditions);
    conditions
}

fn addresses(texts: &[&str]) -> Vec<AddressPattern> {
    let parse = |text: &&str| AddressPattern::parse(text).unwrap();
    texts.iter().map(parse).collect()
}

fn field(text: &str) -> FieldPattern {
    FieldPattern::parse(text).unwrap()
}

fn rule(name: &str, conditions: Conditions, action: Action) -> Rule {
    Rule {
        name: name.to_owned(),
        conditions,
        action,
    }
}

fn refuse() -> Action {
    Action::Refuse(SmtpReply::new(550, 7, 1, "no"))
}

fn header(name: &'static str, value: &'static str) -> Header {
    Header {
        name: Bytes::from_static(name.as_bytes()),
        value: Bytes::from_static(value.as_bytes()),
    }
}

/// Asks about a letter from Ada to support, level B, 1000 bytes.
fn outcome(conditions: &Conditions, at_rcpt: bool) -> Outcome {
    let rules = Rules::new(vec![rule("it", conditions.clone(), Action::Pass)]);
    let fields = rules.fields(&[
        header("Subject", " =?utf-8?q?Geld_zur=C3=BCck?=\r\n bitte"),
        header("X-Flag ", " no"),
        header("x-flag", "\tYES "),
    ]);
    let letter = LetterFacts {
        sender: "ada@list.ada.example",
        trust: Trust::B,
        kind: Kind::Bulk,
        size: 1000,
        fields: &fields,
    };
    let queue: QueueId = "support".parse().unwrap();
    let facts = Facts {
        queue: &queue,
        envelope_sender: "bounces@ada.example",
        recipients: &["support+vip@shop.example".to_owned()],
        letter: (!at_rcpt).then_some(&letter),
    };
    let mut seen = None;
    let found = rules.ask(&facts, |_, outcome| seen = Some(outcome));
    let seen = seen.unwrap();
    assert_eq!(found.is_some(), seen == Outcome::Matched);
    if let Outcome::Missed(condition) = seen {
        let why = conditions.why(condition, &facts);
        assert!(why.starts_with(&condition.to_string()), "{why}");
    }
    seen
}

#[test]
fn each_condition_holds_or_not() {
    use Condition as C;
    type Row = (Conditions, Option<Condition>);
    let rows: Vec<Row> = vec![
        (Conditions::default(), None),
        (
            conditions(|c| c.queue = Some("support".parse().unwrap())),
            None,
        ),
        (
            conditions(|c| c.queue = Some("sales".parse().unwrap())),
            Some(C::Queue),
        ),
        (
            conditions(|c| c.envelope_sender = addresses(&["x.example", "ada.example"])),
            None,
        ),
        (
            conditions(|c| c.envelope_sender = addresses(&["<>"])),
            Some(C::EnvelopeSender),
        ),
        (
            conditions(|c| c.recipient = addresses(&["support+vip@shop.example"])),
            None,
        ),
        (
            conditions(|c| c.recipient = addresses(&["support@*"])),
            Some(C::Recipient),
        ),
        (
            conditions(|c| c.sender = addresses(&[".ada.example"])),
            None,
        ),
        (
            conditions(|c| c.sender = addresses(&["ada.example"])),
            Some(C::Sender),
        ),
        (conditions(|c| c.trust_at_least = Some(Trust::C)), None),
        (conditions(|c| c.trust_at_least = Some(Trust::B)), None),
        (
            conditions(|c| c.trust_at_least = Some(Trust::A)),
            Some(C::TrustAtLeast),
        ),
        (conditions(|c| c.trust_at_most = Some(Trust::A)), None),
        (conditions(|c| c.trust_at_most = Some(Trust::B)), None),
        (
            conditions(|c| c.trust_at_most = Some(Trust::C)),
            Some(C::TrustAtMost),
        ),
        (conditions(|c| c.kind = vec![Kind::Human, Kind::Bulk]), None),
        (conditions(|c| c.kind = vec![Kind::Human]), Some(C::Kind)),
        (conditions(|c| c.larger_than = Some(999)), None),
        (
            conditions(|c| c.larger_than = Some(1000)),
            Some(C::LargerThan),
        ),
        (conditions(|c| c.smaller_than = Some(1001)), None),
        (
            conditions(|c| c.smaller_than = Some(1000)),
            Some(C::SmallerThan),
        ),
        (
            conditions(|c| c.header = vec![field("subject: *ZURÜCK bitte")]),
            None,
        ),
        (conditions(|c| c.header = vec![field("X-Flag: yes")]), None),
        (
            conditions(|c| c.header = vec![field("X-Flag: *"), field("X-Other: *")]),
            Some(C::Header(1)),
        ),
    ];
    for (conditions, missed) in rows {
        let expected = missed.map_or(Outcome::Matched, Outcome::Missed);
        assert_eq!(outcome(&conditions, false), expected, "{conditions:?}");
        // Before the content, what the envelope decides is decided and the rest is open.
        let envelope =
            missed.filter(|missed| matches!(missed, C::Queue | C::EnvelopeSender | C::Recipient));
        let expected = match envelope {
            Some(missed) => Outcome::Missed(missed),
            None if conditions.asks_about_letter() => Outcome::Undecided,
            None => Outcome::Matched,
        };
        assert_eq!(outcome(&conditions, true), expected, "{conditions:?}");
    }
}

#[test]
fn the_first_rule_that_matches_decides() {
    let only = |kind: Kind| conditions(|c| c.kind = vec![kind]);
    let banned = conditions(|c| c.envelope_sender = addresses(&["spam.example"]));
    let rules = Rules::new(vec![
        rule("reports", only(Kind::Human), Action::Pass),
        rule("banned", banned, refuse()),
        rule("all", Conditions::default(), Action::Pass),
    ]);
    let queue: QueueId = "support".parse().unwrap();
    let fields = Fields::new();
    let asked = |kind: Option<Kind>, from: &str| {
        let letter = kind.map(|kind| LetterFacts {
            sender: "",
            trust: Trust::C,
            kind,
            size: 1,
            fields: &fields,
        });
        let facts = Facts {
            queue: &queue,
            envelope_sender: from,
            recipients: &[],
            letter: letter.as_ref(),
        };
        let mut count = 0;
        let found = rules.ask(&facts, |_, _| count += 1);
        (found.map(|rule| rule.name.clone()), count)
    };
    let found = |name: &str, count| (Some(name.to_owned()), count);
    assert_eq!(
        asked(Some(Kind::Human), "a@spam.example"),
        found("reports", 1)
    );
    assert_eq!(
        asked(Some(Kind::Bulk), "a@spam.example"),
        found("banned", 2)
    );
    assert_eq!(asked(Some(Kind::Bulk), ""), found("all", 3));
    // At RCPT the first rule may yet match, so the second may not refuse.
    assert_eq!(asked(None, "a@spam.example"), (None, 1));
}

#[test]
fn a_wide_rule_covers_what_is_within_it() {
    let wide = conditions(|c| {
        c.sender = addresses(&["a.example", "b.example"]);
        c.trust_at_most = Some(Trust::B);
        c.larger_than = Some(10);
    });
    let narrow = conditions(|c| {
        c.queue = Some("support".parse().unwrap());
        c.sender = addresses(&["b.example"]);
        c.trust_at_most = Some(Trust::C);
        c.larger_than = Some(10);
        c.header = vec![field("Subject: *")];
    });
    assert!(wide.cover(&narrow));
    assert!(!narrow.cover(&wide));
    assert!(Conditions::default().cover(&wide));
    assert!(!wide.cover(&Conditions::default()));
    let changes: [fn(&mut Conditions); 4] = [
        |c| c.sender = addresses(&["c.example"]),
        |c| c.sender = Vec::new(),
        |c| c.trust_at_most = Some(Trust::A),
        |c| c.larger_than = Some(9),
    ];
    for change in changes {
        let mut outside = narrow.clone();
        change(&mut outside);
        assert!(!wide.cover(&outside), "{outside:?}");
    }
}

#[test]
fn fields_are_bounded() {
    let wanted = conditions(|c| c.header = vec![field("X-Many: *")]);
    let rules = Rules::new(vec![rule("it", wanted, Action::Pass)]);
    let mut headers = vec![header("Other", "x"); 10];
    let long = Header {
        name: Bytes::from_static(b"X-Many"),
        value: Bytes::from("\u{e4}".repeat(60_000)),
    };
    headers.extend(vec![long; FIELDS_MAX + 1]);
    let fields = rules.fields(&headers);
    assert_eq!(fields.len(), 1);
    assert_eq!(fields["x-many"].len(), FIELDS_MAX);
    assert!(
        fields["x-many"]
            .iter()
            .all(|value| value.len() <= VALUE_BYTES_MAX)
    );
}

#[test]
fn actions_are_told_in_words() {
    let orders = Orders {
        queue: Some("sales".parse().unwrap()),
        priority: Some(-5),
        skills: vec!["german".to_owned(), "law".to_owned()],
        hold: true,
    };
    assert_eq!(
        Action::File(orders).to_string(),
        "move to sales; priority -5; skills german, law; hold"
    );
    assert_eq!(refuse().to_string(), "refuse: 550 5.7.1 no");
}
