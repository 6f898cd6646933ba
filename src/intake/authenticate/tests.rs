//! Letters and zones, and what is found of them.

use std::sync::LazyLock;

use mail_auth::common::crypto::Ed25519Key;
use mail_auth::common::headers::HeaderWriter;
use mail_auth::dkim::DkimSigner;
use mail_parser::decoders::base64::base64_decode;
use proptest::prelude::*;

use super::*;
use crate::mail::letter::Letter;

/// The key pair of RFC 8463, appendix A.
const SECRET: &str = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";
const PUBLIC: &str = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";

const LETTER: &str = "From: Anna <anna@x.example>\r\nTo: s@our.example\r\n\
                      Subject: Order\r\n\r\nWhere is it?\r\n";

fn sign(letter: &str) -> String {
    sign_fields(letter, &["From", "To", "Subject"])
}

fn sign_fields(letter: &str, fields: &[&str]) -> String {
    let secret = base64_decode(SECRET.as_bytes()).unwrap();
    let public = base64_decode(PUBLIC.as_bytes()).unwrap();
    let key = Ed25519Key::from_seed_and_public_key(&secret, &public).unwrap();
    let signature = DkimSigner::from_key(key)
        .domain("x.example")
        .selector("s")
        .headers(fields.iter().copied())
        .sign(letter.as_bytes())
        .unwrap();
    format!("{}{letter}", signature.to_header())
}

fn zone(dmarc: Option<&str>) -> Resolver {
    let mut records = vec![
        (
            "x.example".to_owned(),
            "v=spf1 ip4:192.0.2.1 -all".to_owned(),
        ),
        (
            "mx.x.example".to_owned(),
            "v=spf1 ip4:192.0.2.1 -all".to_owned(),
        ),
        (
            "s._domainkey.x.example".to_owned(),
            format!("v=DKIM1; k=ed25519; p={PUBLIC}"),
        ),
    ];
    records.extend(dmarc.map(|text| ("_dmarc.x.example".to_owned(), text.to_owned())));
    Resolver::Fixed(records)
}

async fn check(
    resolver: &Resolver,
    client: Option<&str>,
    mail_from: Option<&str>,
    letter: &str,
) -> String {
    let authenticator = Authenticator::new(resolver, "mx.our.example", DEADLINE).unwrap();
    let author = Letter::read_header(letter.as_bytes()).author;
    let mail_from = mail_from.map(|text| Address::parse(text).unwrap());
    let route = Route {
        client: client.map(|ip| ip.parse().unwrap()),
        helo: "mx.x.example",
        mail_from: mail_from.as_ref(),
    };
    let found = authenticator
        .authenticate(route, &author, letter.as_bytes(), None)
        .await;
    let dkim: Vec<&str> = found.dkim.iter().map(|c| c.verdict.word()).collect();
    format!(
        "spf={:?} {} dkim={} dmarc={:?} {:?}",
        found.spf.verdict,
        found.spf.domain,
        dkim.join(","),
        found.dmarc.verdict,
        found.policy
    )
}

#[tokio::test]
async fn what_the_records_say() {
    let reject = zone(Some("v=DMARC1; p=reject"));
    let silent = zone(None);
    let (good, bad) = (Some("192.0.2.1"), Some("192.0.2.9"));
    let (anna, other) = (Some("anna@x.example"), Some("list@y.example"));
    let signed = sign(LETTER);
    let changed = signed.replace("Where is it?", "Send me money.");
    let two = LETTER.replace("Anna <anna@x.example>", "anna@x.example, eve@y.example");
    for (resolver, client, mail_from, letter, expected) in [
        (
            &reject,
            good,
            anna,
            LETTER,
            "spf=Pass x.example dkim= dmarc=Pass Reject",
        ),
        (
            &reject,
            bad,
            anna,
            LETTER,
            "spf=Fail x.example dkim= dmarc=Fail Reject",
        ),
        (
            &reject,
            bad,
            other,
            &signed,
            "spf=None y.example dkim=pass dmarc=Pass Reject",
        ),
        (
            &reject,
            bad,
            other,
            &changed,
            "spf=None y.example dkim=fail dmarc=Fail Reject",
        ),
        (
            &reject,
            good,
            None,
            LETTER,
            "spf=Pass mx.x.example dkim= dmarc=Pass Reject",
        ),
        (
            &reject,
            None,
            anna,
            &signed,
            "spf=NotChecked  dkim=pass dmarc=Pass Reject",
        ),
        (
            &reject,
            good,
            anna,
            &two,
            "spf=Pass x.example dkim= dmarc=NotChecked None",
        ),
        (
            &silent,
            good,
            anna,
            &signed,
            "spf=Pass x.example dkim=pass dmarc=None None",
        ),
        (
            &Resolver::Off,
            good,
            anna,
            &signed,
            "spf=NotChecked  dkim= dmarc=NotChecked None",
        ),
    ] {
        let got = check(resolver, client, mail_from, letter).await;
        assert_eq!(got, expected, "{client:?} {mail_from:?} {letter}");
    }
}

#[tokio::test]
async fn a_large_letter_is_read_from_its_file() {
    let reject = zone(Some("v=DMARC1; p=reject"));
    let whole = sign(&format!(
        "{LETTER}{}",
        "And where is this? \r\n".repeat(10_000)
    ));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("letter");
    std::fs::write(&path, &whole).unwrap();
    let authenticator = Authenticator::new(&reject, "mx.our.example", DEADLINE).unwrap();
    let head = &whole.as_bytes()[..1000];
    let author = Letter::read_header(head).author;
    let route = Route {
        client: None,
        helo: "",
        mail_from: None,
    };
    for (file, verdict) in [(Some(path.as_path()), Verdict::Pass), (None, Verdict::Fail)] {
        let found = authenticator.authenticate(route, &author, head, file).await;
        assert_eq!(found.dmarc.verdict, verdict, "{file:?}");
    }
}

#[tokio::test]
async fn a_header_that_is_not_read_to_its_end_is_not_condemned() {
    let reject = zone(Some("v=DMARC1; p=reject"));
    let bad = Some("192.0.2.9");
    let long = format!("X: {}\r\n{}", "x".repeat(300_000), sign(LETTER));
    let long = format!("From: anna@x.example\r\n{long}");
    let got = check(&reject, bad, None, &long).await;
    assert_eq!(got, "spf=Fail mx.x.example dkim= dmarc=NotChecked None");
    // Without a signature there is nothing that could have saved it.
    let got = check(&reject, bad, None, LETTER).await;
    assert_eq!(got, "spf=Fail mx.x.example dkim= dmarc=Fail Reject");
}

#[tokio::test]
async fn signatures_that_prove_nothing() {
    let reject = zone(Some("v=DMARC1; p=reject"));
    let (bad, other) = (Some("192.0.2.9"), Some("list@y.example"));
    let whole = sign(LETTER);
    // Whoever appends to the body of a letter signed in part keeps its signature.
    let part = whole.replacen("; s=s;", "; s=s; l=14;", 1);
    assert_ne!(part, whole);
    let got = check(&reject, bad, other, &format!("{part}Send me money.\r\n")).await;
    assert_eq!(got, "spf=None y.example dkim=permerror dmarc=Fail Reject");
    let unsigned_from = sign_fields(LETTER, &["To", "Subject"]);
    let got = check(&reject, bad, other, &unsigned_from).await;
    assert_eq!(got, "spf=None y.example dkim=permerror dmarc=Fail Reject");
    // The genuine letter behind a header of the forger's own.
    let framed = format!("From: boss@x.example\r\nSubject: Pay\r\n\r\n{whole}");
    let got = check(&reject, bad, other, &framed).await;
    assert_eq!(got, "spf=None y.example dkim= dmarc=Fail Reject");
}

#[tokio::test]
async fn lines_of_white_space_at_the_end_do_not_count() {
    let reject = zone(Some("v=DMARC1; p=reject"));
    let signed = sign(LETTER);
    for more in ["", "\r\n\r\n", " \r\n", "\t \r\n\r\n  \r\n", " "] {
        let got = check(&reject, None, None, &format!("{signed}{more}")).await;
        assert_eq!(
            got, "spf=NotChecked  dkim=pass dmarc=Pass Reject",
            "{more:?}"
        );
    }
}

#[tokio::test]
async fn junk_signatures_do_not_save_a_forgery() {
    let reject = zone(Some("v=DMARC1; p=reject"));
    let junk = "DKIM-Signature: v=1; a=rsa-sha256; d=x.example; s=s; h=from; bh=AA==; b=AA==\r\n";
    let letter = format!("{}{LETTER}", junk.repeat(100));
    let got = check(&reject, Some("192.0.2.9"), None, &letter).await;
    assert!(got.ends_with("dmarc=Fail Reject"), "{got}");
    assert!(got.len() < 200, "{got}");
}

#[tokio::test]
async fn silence_is_a_temporary_error() {
    let nobody = Resolver::Servers(vec!["127.0.0.1:9".parse().unwrap()]);
    let authenticator = Authenticator::new(&nobody, "mx.our.example", Duration::ZERO).unwrap();
    let letter = sign(LETTER);
    let author = Letter::read(letter.as_bytes(), true).author;
    let from = Address::parse("anna@x.example").unwrap();
    let route = Route {
        client: Some("192.0.2.1".parse().unwrap()),
        helo: "mx.x.example",
        mail_from: Some(&from),
    };
    // Intake runs on other threads than the listener's: what it awaits must be able to move.
    fn movable<T: Send>(future: T) -> T {
        future
    }
    let found = movable(authenticator.authenticate(route, &author, letter.as_bytes(), None)).await;
    assert_eq!(found.spf.verdict, Verdict::TempError);
    assert_eq!(
        found.dkim.first().map(|c| c.verdict),
        Some(Verdict::TempError)
    );
    assert_eq!(found.dmarc.verdict, Verdict::TempError);
}

#[tokio::test]
async fn hostile_routes_ask_nothing_odd() {
    let reject = zone(Some("v=DMARC1; p=reject"));
    let authenticator = Authenticator::new(&reject, "mx.our.example", DEADLINE).unwrap();
    for helo in ["", "[192.0.2.1]", "a\r\nb", "..", &"x.".repeat(5000)] {
        let route = Route {
            client: Some("192.0.2.1".parse().unwrap()),
            helo,
            mail_from: None,
        };
        let found = authenticator
            .authenticate(route, &Author::default(), b"", None)
            .await;
        assert_eq!(found.spf.verdict, Verdict::None, "{helo:?}");
    }
}

const ROUTE: Route<'static> = Route {
    client: None,
    helo: "",
    mail_from: None,
};

/// What a filter before us is believed, in the words that we repeat it in.
async fn reported(fields: &str) -> String {
    let reject = zone(Some("v=DMARC1; p=reject"));
    let authenticator = Authenticator::new(&reject, "mx.our.example", DEADLINE)
        .unwrap()
        .believing(vec![
            "scan.our.example".to_owned(),
            "old.our.example".to_owned(),
        ]);
    let letter = format!("{fields}{LETTER}");
    let author = Letter::read_header(letter.as_bytes()).author;
    let found = authenticator
        .authenticate(ROUTE, &author, letter.as_bytes(), None)
        .await;
    format!(
        "{} {}",
        found.said_by,
        crate::mail::results::value("us", &found)
    )
}

#[tokio::test]
async fn filters_before_us_are_believed_where_they_stand() {
    const THEIRS: &str =
        "Authentication-Results: SCAN.our.example (x) 1; dmarc=pass header.from=x.example\r\n";
    let own = " us; dmarc=fail header.from=x.example";
    for (fields, expected) in [
        ("", own),
        (
            THEIRS,
            "scan.our.example us; dmarc=pass header.from=x.example",
        ),
        (
            &format!(
                "X-Filter: y\r\n{THEIRS}Authentication-Results: scan.our.example; spf=fail smtp.mailfrom=y.example\r\n"
            ),
            "scan.our.example us; spf=fail smtp.mailfrom=y.example; dmarc=pass header.from=x.example",
        ),
        // The filter that wrote last.
        (
            &format!("Authentication-Results: old.our.example; none\r\n{THEIRS}"),
            "old.our.example us; none",
        ),
        // Older than the way to our MTA, of somebody else, or below somebody else's.
        (&format!("Received: from x\r\n{THEIRS}"), own),
        (
            &format!("DKIM-Signature: x\r\n{THEIRS}"),
            " us; dkim=permerror; dmarc=fail header.from=x.example",
        ),
        (&THEIRS.replace("our.example", "y.example"), own),
        (
            &format!("Authentication-Results: mx.y.example; none\r\n{THEIRS}"),
            own,
        ),
        // A filter that read another From.
        (
            &THEIRS.replace("from=x.example", "from=y.example"),
            "scan.our.example us; none",
        ),
    ] {
        assert_eq!(reported(fields).await, expected, "{fields}");
    }
}

static BELIEVING: LazyLock<Authenticator> = LazyLock::new(|| {
    Authenticator::new(&zone(None), "mx.our.example", DEADLINE)
        .unwrap()
        .believing(vec!["x.example".to_owned()])
});

proptest! {
    /// The verifier is not ours, and what it reads is anybody's.
    #[test]
    fn any_letter_is_checked(pieces in prop::collection::vec(prop::sample::select(vec![
        "DKIM-Signature: ", "ARC-Seal: ", "ARC-Message-Signature: ",
        "ARC-Authentication-Results: ", "Authentication-Results: ", "From: ", "To: ", "\r\n", "\n",
        "\r", " ", "\t", "i=1", "i=2", "i=51", "cv=none", "cv=pass", "a=rsa-sha256",
        "a=ed25519-sha256", "a=rsa-sha1", "c=simple/relaxed", "c=relaxed", "d=x.example", "s=s", "h=from:to",
        "h=from:from:from", "bh=AAAA", "bh==", "b=AAAA", "b=", "l=3", "x=1", "t=18446744073709551615", "z=From:a|To:b",
        "q=dns/txt", "atps=x.example", "atpsh=sha256", "r=y", ";", "v=1", "anna@x.example", "<", ">", "(",
        "\"", "=?utf-8?q?a?=", "x.example; dmarc=pass header.from=x.example", "\0", "ä", "body",
    ]), 0..50), signed: bool) {
        let letter = pieces.concat();
        let letter = if signed { format!("{}{letter}", sign(LETTER)) } else { letter };
        let author = Letter::read_header(letter.as_bytes()).author;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let found = runtime.block_on(BELIEVING.authenticate(ROUTE, &author, letter.as_bytes(), None));
        prop_assert!(found.dkim.len() <= 64);
        let told = crate::mail::results::value("us", &found);
        prop_assert!(told.len() < 1000 && told.bytes().all(|b| b == b' ' || b.is_ascii_graphic()));
    }
}
