//! Which case a letter continues, as tables: who brings what, and what follows.

use super::super::clue::{OwnKeys, clues};
use super::super::message_id::InternetMessageId;
use super::super::token::{Audience, KEY_BYTES, NONCE_BYTES, mint, mint_address};
use super::*;

const ANNA: &str = "anna@customer.example";
const DAY: Duration = Duration::from_secs(24 * 3600);

fn ring() -> Keyring {
    Keyring::new(1, [(1, [5; KEY_BYTES])]).unwrap()
}

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

fn case(serial: u64) -> MainNumber {
    MainNumber::new(serial).unwrap()
}

fn audience(anna: &Address, serial: u64) -> Audience<'_> {
    Audience {
        case: case(serial),
        generation: 1,
        slot: 0,
        address: anna,
    }
}

/// The signed id `n` of a letter of ours to Anna, the customer of every case here.
fn ours(serial: u64, n: u8) -> InternetMessageId {
    mint(
        &ring(),
        audience(&address(ANNA), serial),
        [n; NONCE_BYTES],
        "mid.our.example",
    )
    .unwrap()
}

/// The address of `queue` with a token for Anna in a case.
fn reply_address(serial: u64, queue: &str) -> Address {
    let mailbox = address(&format!("{queue}@our.example"));
    mint_address(&ring(), audience(&address(ANNA), serial), &mailbox).unwrap()
}

/// What the store knows: case 7 is open in support, 8 too, 20 was closed 20 days ago, 95 was
/// closed 95 days ago, 30 was merged into 7. Message-IDs `known-N@x` are of case N.
fn store() -> Known {
    let mut known = Known::default();
    for (serial, into, closed_days) in [
        (7, 7, None),
        (8, 8, None),
        (20, 20, Some(20)),
        (3, 3, Some(3)),
        (95, 95, Some(95)),
        (30, 7, None),
    ] {
        let facts = CaseFacts {
            generation: 1,
            people: vec![Some(address(ANNA)), Some(address("lawyer@law.example"))],
            target: Standing {
                number: case(into),
                people: vec![address(ANNA), address("lawyer@law.example")],
                copied: BTreeSet::from(["bert@customer.example".to_owned()]),
                subject: "My order".to_owned(),
                queues: BTreeSet::from(["support".parse().unwrap()]),
                closed: closed_days.map(|days| ago(days * 24)),
                changed: ago(closed_days.unwrap_or(1) * 24),
            },
        };
        known.cases.insert(case(serial), facts);
        let id = InternetMessageId::parse(&format!("known-{serial}@x")).unwrap();
        known.keys.insert(ClueKey::id(&id), vec![case(serial)]);
    }
    known
        .keys
        .insert(ClueKey::thread_index(&[1; 22]), vec![case(7)]);
    known
}

fn now() -> Timestamp {
    Timestamp::from_millis(1_790_000_000_000)
}

fn ago(hours: u64) -> Timestamp {
    Timestamp::from_millis(now().as_millis() - hours * 3_600_000)
}

struct Arriving<'a> {
    sender: &'a str,
    trust: Trust,
    to: &'a str,
    queue: &'a str,
    fields: String,
}

impl Default for Arriving<'_> {
    fn default() -> Self {
        Self {
            sender: ANNA,
            trust: Trust::A,
            to: "support@our.example",
            queue: "support",
            fields: String::new(),
        }
    }
}

fn go(arriving: &Arriving<'_>, known: &Known) -> Threading {
    let raw = format!("From: {}\r\n{}\r\n", arriving.sender, arriving.fields);
    let letter = Letter::read_header(raw.as_bytes());
    let full = address(arriving.to);
    let (mailbox, _) = full.split_detail('+');
    let clues = clues(&letter, &[(full, mailbox)]);
    let circumstances = Circumstances {
        sender: letter.author.identity(),
        trust: arriving.trust,
        queues: &BTreeSet::from([arriving.queue.parse().unwrap()]),
        now: now(),
        windows: Windows::default(),
    };
    thread(&letter, &clues, known, &ring(), circumstances)
}

fn outline(decision: &Decision) -> String {
    match decision {
        Decision::Join {
            evidence,
            role,
            verified,
            reopens,
        } => format!(
            "join {} {role:?}{}{}",
            evidence.case.serial(),
            if *verified { "" } else { " unverified" },
            if *reopens { " reopens" } else { "" },
        ),
        Decision::Follow { evidence, apart } => {
            format!("new after {} {apart:?}", evidence.case.serial())
        }
        Decision::Hold { evidence, apart } => {
            format!("held beside {} {apart:?}", evidence.case.serial())
        }
        Decision::Hinted { evidence, apart } => {
            format!("new, perhaps {} {apart:?}", evidence.case.serial())
        }
        Decision::New => "new".to_owned(),
    }
}

/// What a letter brings, who brings it and how far that is proven, and what becomes of it.
#[test]
fn the_gate() {
    let token = format!("In-Reply-To: {}\r\n", ours(7, 1));
    let known = "In-Reply-To: <known-7@x>\r\n";
    let number = format!("Subject: Re: [Case {}]\r\n", case(7));
    let thread = "Thread-Index: AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQ==\r\n";
    let lawyer = "lawyer@law.example";
    let (bert, stranger) = ("bert@customer.example", "carl@elsewhere.example");
    let rows = [
        (token.as_str(), ANNA, "A", "join 7 Correspondent"),
        (&token, "Anna@Customer.Example", "B", "join 7 Correspondent"),
        (&token, ANNA, "C", "join 7 Correspondent unverified"),
        (&token, ANNA, "D", "held beside 7 Distrusted"),
        (&token, lawyer, "A", "join 7 Correspondent"),
        (&token, lawyer, "C", "join 7 Correspondent unverified"),
        (&token, stranger, "A", "join 7 ThirdParty"),
        (&token, bert, "B", "join 7 ThirdParty"),
        (&token, stranger, "C", "new after 7 UnknownAuthor"),
        (&token, stranger, "D", "held beside 7 Distrusted"),
        (&token, "", "D", "held beside 7 Distrusted"),
        (known, ANNA, "A", "join 7 Correspondent"),
        (known, ANNA, "C", "join 7 Correspondent unverified"),
        (known, ANNA, "D", "held beside 7 Distrusted"),
        (known, bert, "A", "join 7 Copied"),
        (known, bert, "C", "join 7 Copied unverified"),
        (known, stranger, "A", "new after 7 UnknownAuthor"),
        (known, stranger, "C", "new after 7 UnknownAuthor"),
        (known, stranger, "D", "held beside 7 Distrusted"),
        (&number, ANNA, "A", "join 7 Correspondent"),
        (&number, ANNA, "C", "new, perhaps 7 Guessed"),
        (&number, ANNA, "D", "held beside 7 Distrusted"),
        (&number, stranger, "A", "new, perhaps 7 Guessed"),
        (&number, bert, "A", "new, perhaps 7 Guessed"),
        (thread, ANNA, "A", "join 7 Correspondent"),
        (thread, ANNA, "C", "new, perhaps 7 Guessed"),
        (thread, stranger, "B", "new, perhaps 7 Guessed"),
        ("Subject: Re: my ORDER\r\n", ANNA, "A", "new"),
        ("Subject: My order\r\n", stranger, "A", "new"),
        ("Subject: Another\r\n", ANNA, "A", "new"),
        // A mistyped number, and one of another tracker's.
        ("Subject: [Case 72]\r\n", ANNA, "A", "new"),
        ("Subject: [#74]\r\n", ANNA, "A", "new"),
    ];
    for (fields, sender, trust, expected) in rows {
        let arriving = Arriving {
            sender,
            trust: match trust {
                "A" => Trust::A,
                "B" => Trust::B,
                "C" => Trust::C,
                _ => Trust::D,
            },
            fields: fields.to_owned(),
            ..Arriving::default()
        };
        let got = go(&arriving, &store()).decision;
        assert_eq!(outline(&got), expected, "{fields}{sender} {trust}");
    }
}

/// What names a case and stands in a letter together with something else.
#[test]
fn order_of_evidence() {
    let (seven, eight) = (ours(7, 1).to_string(), ours(8, 2).to_string());
    let changed = {
        let mut text = ours(8, 3).to_string();
        let last = text.find('@').unwrap() - 1;
        let other = if text.as_bytes()[last] == b'a' {
            "b"
        } else {
            "a"
        };
        text.replace_range(last..=last, other);
        text
    };
    let number = format!("[{}]", case(8));
    let rows = [
        (&*seven, "<x@y>", "", "join 7 Correspondent", 0),
        ("<x@y>", &*seven, "", "join 7 Correspondent", 0),
        (
            "",
            &format!("<a@b> {seven} <c@d>"),
            "",
            "join 7 Correspondent",
            0,
        ),
        (
            "",
            &format!("{seven} {eight}"),
            "",
            "join 8 Correspondent",
            1,
        ),
        (&seven, &eight, "", "join 7 Correspondent", 1),
        (
            &format!("{eight} {seven}"),
            "",
            "",
            "join 8 Correspondent",
            1,
        ),
        (&changed, &seven, "", "join 7 Correspondent", 0),
        (&changed, "", "", "new", 0),
        (&ours(99, 1).to_string(), "", "", "new", 0),
        // A token further back beats an id that is merely known.
        ("<known-8@x>", &seven, "", "join 7 Correspondent", 1),
        ("<known-8@x>", "<known-7@x>", "", "join 8 Correspondent", 1),
        ("", "<known-7@x> <known-8@x>", "", "join 8 Correspondent", 1),
        // What anybody can guess overrides nothing and conflicts with nothing.
        ("<known-7@x>", "", &number, "join 7 Correspondent", 0),
        ("<x@y>", "<z@y>", "", "new", 0),
        // The case was merged: its letters go where it went.
        (&ours(30, 1).to_string(), "", "", "join 7 Correspondent", 0),
        ("<known-30@x>", "", "", "join 7 Correspondent", 0),
        ("<known-30@x>", &seven, "", "join 7 Correspondent", 0),
    ];
    for (in_reply_to, references, subject, expected, conflicts) in rows {
        let fields = format!(
            "In-Reply-To: {in_reply_to}\r\nReferences: {references}\r\nSubject: {subject}\r\n"
        );
        let arriving = Arriving {
            fields: fields.clone(),
            ..Arriving::default()
        };
        let got = go(&arriving, &store());
        assert_eq!(outline(&got.decision), expected, "{fields}");
        assert_eq!(got.conflicts.len(), conflicts, "{fields}");
    }
}

#[test]
fn the_address_that_was_answered_to() {
    let token = reply_address(7, "support").to_string();
    let shouted = token.to_uppercase();
    let moved = token.replace("support+", "sales+");
    let mut changed = token.clone();
    changed.replace_range(12..13, if &token[12..13] == "a" { "b" } else { "a" });
    let detail = "support+newsletter@our.example".to_owned();
    let other_in_header = format!("In-Reply-To: {}\r\n", ours(8, 1));
    for (to, fields, expected, conflicts) in [
        (&token, "", "join 7 Correspondent", 0),
        (&shouted, "", "join 7 Correspondent", 0),
        (&token, &*other_in_header, "join 7 Correspondent", 1),
        (&moved, "", "new", 0),
        (&changed, "", "new", 0),
        (&detail, "", "new", 0),
    ] {
        let arriving = Arriving {
            to,
            fields: fields.to_owned(),
            ..Arriving::default()
        };
        let got = go(&arriving, &store());
        assert_eq!(outline(&got.decision), expected, "{to} {fields}");
        assert_eq!(got.conflicts.len(), conflicts, "{to} {fields}");
    }
}

#[test]
fn raising_the_generation_revokes_every_token() {
    let mut known = store();
    for facts in known.cases.values_mut() {
        facts.generation = 2;
    }
    let token = reply_address(7, "support").to_string();
    let arriving = Arriving {
        to: &token,
        fields: format!("In-Reply-To: {}\r\n", ours(7, 1)),
        ..Arriving::default()
    };
    assert_eq!(go(&arriving, &known).decision, Decision::New);
}

#[test]
fn ended_cases() {
    let (just_inside, just_outside) = (14 * 24 - 1, 14 * 24);
    let anna = |fields: String, trust| Arriving {
        fields,
        trust,
        ..Arriving::default()
    };
    let token = |serial| format!("In-Reply-To: {}\r\n", ours(serial, 1));
    let number = |serial| format!("Subject: [{}]\r\n", case(serial));
    for (fields, trust, expected) in [
        (token(3), Trust::A, "join 3 Correspondent reopens"),
        (
            token(3),
            Trust::C,
            "join 3 Correspondent unverified reopens",
        ),
        (token(20), Trust::A, "new after 20 Ended"),
        (token(95), Trust::A, "new, perhaps 95 LongEnded"),
        (number(3), Trust::A, "join 3 Correspondent reopens"),
        (number(20), Trust::A, "new, perhaps 20 Ended"),
        (
            "In-Reply-To: <known-3@x>\r\n".to_owned(),
            Trust::A,
            "join 3 Correspondent reopens",
        ),
        (
            "In-Reply-To: <known-3@x>\r\n".to_owned(),
            Trust::C,
            "new after 3 Silent",
        ),
    ] {
        let got = go(&anna(fields.clone(), trust), &store()).decision;
        assert_eq!(outline(&got), expected, "{fields} {trust:?}");
    }
    for (hours, expected) in [
        (just_inside, "join 3 Correspondent reopens"),
        (just_outside, "new after 3 Ended"),
    ] {
        let mut known = store();
        let facts = known.cases.get_mut(&case(3)).unwrap();
        facts.target.closed = Some(ago(hours));
        let got = go(&anna(token(3), Trust::A), &known).decision;
        assert_eq!(outline(&got), expected, "{hours}");
    }
    assert_eq!(Windows::default().reopen, 14 * DAY);
}

#[test]
fn an_unproven_sender_does_not_wake_a_silent_case() {
    let mut known = store();
    let arriving = Arriving {
        trust: Trust::C,
        fields: "In-Reply-To: <known-7@x>\r\n".to_owned(),
        ..Arriving::default()
    };
    known.cases.get_mut(&case(7)).unwrap().target.changed = ago(14 * 24);
    let got = go(&arriving, &known).decision;
    assert_eq!(outline(&got), "new after 7 Silent");
}

#[test]
fn a_forward_to_another_queue_is_a_new_matter() {
    let fields = |subject: &str| format!("In-Reply-To: {}\r\nSubject: {subject}\r\n", ours(7, 1));
    for (queue, subject, expected, changed) in [
        ("sales", "Fwd: My order", "new after 7 Forwarded", false),
        ("sales", "WG: My order", "new after 7 Forwarded", false),
        ("support", "Fwd: My order", "join 7 Correspondent", false),
        ("sales", "Re: My order", "join 7 Correspondent", false),
        ("support", "Something else", "join 7 Correspondent", true),
    ] {
        let arriving = Arriving {
            queue,
            fields: fields(subject),
            ..Arriving::default()
        };
        let got = go(&arriving, &store());
        assert_eq!(outline(&got.decision), expected, "{queue} {subject}");
        assert_eq!(got.subject_changed, changed, "{queue} {subject}");
    }
}

#[test]
fn an_outlook_conversation_counts_while_it_is_alive_and_in_its_queue() {
    let fields = "Thread-Index: AQEBAQEBAQEBAQEBAQEBAQEBAQEBAXh4eHg=\r\n";
    let mut known = store();
    let arriving = Arriving {
        fields: fields.to_owned(),
        ..Arriving::default()
    };
    assert_eq!(
        outline(&go(&arriving, &known).decision),
        "join 7 Correspondent"
    );
    let elsewhere = Arriving {
        queue: "sales",
        fields: fields.to_owned(),
        ..Arriving::default()
    };
    let hint = "new, perhaps 7 Guessed";
    assert_eq!(outline(&go(&elsewhere, &known).decision), hint);
    known.cases.get_mut(&case(7)).unwrap().target.closed = Some(ago(1));
    assert_eq!(outline(&go(&arriving, &known).decision), hint);
}

#[test]
fn a_letter_with_thousands_of_ancestors_has_few_clues() {
    let ids: String = (0..4000).map(|n| format!("<{n}@x> ")).collect();
    let letter = Letter::read_header(format!("References: {ids}\r\n\r\n").as_bytes());
    assert!(clues(&letter, &[]).len() <= 31);
}

#[test]
fn the_same_subject_is_a_hint_where_nothing_else_names_a_case() {
    let mut new = Threading::default();
    new.hint(case(8), "My order");
    assert_eq!(outline(&new.decision), "new, perhaps 8 Guessed");
    let mut joins = go(
        &Arriving {
            fields: format!("In-Reply-To: {}\r\n", ours(7, 1)),
            ..Arriving::default()
        },
        &store(),
    );
    joins.hint(case(8), "My order");
    assert_eq!(outline(&joins.decision), "join 7 Correspondent");
}

#[test]
fn a_letter_is_found_by_its_id_and_its_topic() {
    let keys = |fields: &str| {
        let raw = format!("From: {ANNA}\r\n{fields}\r\n");
        OwnKeys::of(&Letter::read_header(raw.as_bytes()))
    };
    let letter = keys("Message-ID: <1@x>\r\nSubject: Re: My  ORDER\r\n");
    let id = InternetMessageId::parse("1@x").unwrap();
    assert_eq!(letter.id, Some(ClueKey::id(&id)));
    assert_eq!(
        letter.topic,
        Some(ClueKey::topic(&address(ANNA), "my order"))
    );
    assert_eq!(letter.all().count(), 2);
    // What has no subject has nothing in common.
    assert_eq!(keys("Subject: Re:\r\n"), OwnKeys::default());
}
