//! The authenticator against a name server that serves what the tests write, and misbehaves.

#![expect(clippy::unwrap_used, reason = "a test's helpers are part of the test")]

mod support {
    pub(crate) mod chain;
    pub(crate) mod dns;
    pub(crate) mod signed;
}

use std::time::Duration;

use postroom::intake::authenticate::{Authenticator, DEADLINE, Resolver, Route};
use postroom::mail::address::Address;
use postroom::mail::letter::Letter;
use postroom::mail::results;
use postroom::mail::trust::{Authentication, Policy};
use postroom::outbound::dkim;
use postroom::time::Timestamp;
use support::chain::seal;
use support::dns::Dns;
use support::signed::{KEY, sign};

/// Time for a look-up in tests where every name server answers. It is reached only if one does
/// not.
const PATIENCE: Duration = Duration::from_secs(60);

/// The client that the zones below speak of.
const CLIENT: &str = "192.0.2.1";

/// One letter's way and content.
struct Case<'a> {
    client: &'a str,
    helo: &'a str,
    mail_from: &'a str,
    letter: String,
}

fn authenticator(dns: &Dns, deadline: Duration) -> Authenticator {
    let resolver = Resolver::Servers(vec![dns.addr()]);
    Authenticator::new(&resolver, "mx.shop.example", deadline).unwrap()
}

async fn ask(authenticator: &Authenticator, case: &Case<'_>) -> Authentication {
    let author = Letter::read_header(case.letter.as_bytes()).author;
    let mail_from = Address::parse(case.mail_from).ok();
    let route = Route {
        client: case.client.parse().ok(),
        helo: case.helo,
        mail_from: mail_from.as_ref(),
    };
    let letter = case.letter.as_bytes();
    authenticator
        .authenticate(route, &author, letter, None)
        .await
}

/// The results as we tell them, without our name, and what From's domain asks for.
fn told(found: &Authentication) -> String {
    let value = results::value("us", found);
    let policy = match found.policy {
        Policy::None => "",
        Policy::Quarantine => " quarantine",
        Policy::Reject => " reject",
    };
    format!("{}{policy}", value.strip_prefix("us; ").unwrap())
}

fn letter(from: &str) -> String {
    format!("From: {from}\r\nTo: support@shop.example\r\nSubject: Order\r\n\r\nWhere is it?\r\n")
}

/// Rows of client, HELO, envelope sender, From, signer, and what is found; two blanks apart.
async fn check(zone: &str, table: &str) {
    let dns = Dns::start(zone).await;
    let authenticator = authenticator(&dns, PATIENCE);
    let rows = table.lines().map(str::trim).filter(|row| !row.is_empty());
    for row in rows.skip(1) {
        let cells: Vec<&str> = (row.split("  ").map(str::trim))
            .filter(|cell| !cell.is_empty())
            .collect();
        let [client, helo, mail_from, from, signer, expected] = cells.as_slice() else {
            panic!("a row has six cells: {row}");
        };
        let plain = letter(from);
        let case = Case {
            client,
            helo,
            mail_from,
            letter: match *signer {
                "-" => plain,
                domain => sign(&plain, domain),
            },
        };
        let found = ask(&authenticator, &case).await;
        assert_eq!(told(&found), *expected, "{row}");
    }
}

#[tokio::test]
async fn spf() {
    check(
        "
        pass.example         TXT  v=spf1 ip4:192.0.2.1 -all
        fail.example         TXT  v=spf1 -all
        soft.example         TXT  v=spf1 ~all
        neutral.example      TXT  v=spf1 ?all
        silent.example       TXT  v=spf1
        text.example         TXT  some text
        text.example         TXT  v=spf1 ip4:192.0.2.0/24 -all
        six.example          TXT  v=spf1 ip6:2001:db8::/32 -all
        odd.example          TXT  v=spf1 ip4:192.0.2.300 -all
        a.example            TXT  v=spf1 a -all
        a.example            A    192.0.2.1
        mx.example           TXT  v=spf1 mx -all
        mx.example           MX   10 host.mx.example
        host.mx.example      A    192.0.2.1
        include.example      TXT  v=spf1 include:pass.example -all
        redirect.example     TXT  v=spf1 redirect=pass.example
        exists.example       TXT  v=spf1 exists:%{i}.ok.example -all
        192.0.2.1.ok.example  A   127.0.0.2
        gone.example         TXT  v=spf1 include:nowhere.example -all
        loop.example         TXT  v=spf1 include:loop.example -all
        alias.example        CNAME  pass.example
        down.example         SERVFAIL
        closed.example       REFUSED
        part.example         TXT  v=spf1 include:down.example -all
        ",
        "
        client       helo          mail_from           from  signer  found
        192.0.2.1    mx.x.example  a@pass.example      nobody  -  spf=pass smtp.mailfrom=pass.example
        192.0.2.9    mx.x.example  a@pass.example      nobody  -  spf=fail smtp.mailfrom=pass.example
        192.0.2.1    mx.x.example  a@fail.example      nobody  -  spf=fail smtp.mailfrom=fail.example
        192.0.2.1    mx.x.example  a@soft.example      nobody  -  spf=softfail smtp.mailfrom=soft.example
        192.0.2.1    mx.x.example  a@neutral.example   nobody  -  spf=neutral smtp.mailfrom=neutral.example
        192.0.2.1    mx.x.example  a@silent.example    nobody  -  spf=neutral smtp.mailfrom=silent.example
        192.0.2.1    mx.x.example  a@text.example      nobody  -  spf=pass smtp.mailfrom=text.example
        2001:db8::1  mx.x.example  a@six.example       nobody  -  spf=pass smtp.mailfrom=six.example
        192.0.2.1    mx.x.example  a@a.example         nobody  -  spf=pass smtp.mailfrom=a.example
        192.0.2.9    mx.x.example  a@a.example         nobody  -  spf=fail smtp.mailfrom=a.example
        192.0.2.1    mx.x.example  a@mx.example        nobody  -  spf=pass smtp.mailfrom=mx.example
        192.0.2.1    mx.x.example  a@include.example   nobody  -  spf=pass smtp.mailfrom=include.example
        192.0.2.1    mx.x.example  a@redirect.example  nobody  -  spf=pass smtp.mailfrom=redirect.example
        192.0.2.1    mx.x.example  a@exists.example    nobody  -  spf=pass smtp.mailfrom=exists.example
        192.0.2.9    mx.x.example  a@exists.example    nobody  -  spf=fail smtp.mailfrom=exists.example
        192.0.2.1    mx.x.example  a@gone.example      nobody  -  spf=permerror smtp.mailfrom=gone.example
        192.0.2.1    mx.x.example  a@loop.example      nobody  -  spf=permerror smtp.mailfrom=loop.example
        192.0.2.1    mx.x.example  a@alias.example     nobody  -  spf=pass smtp.mailfrom=alias.example
        192.0.2.1    mx.x.example  a@nowhere.example   nobody  -  spf=none smtp.mailfrom=nowhere.example
        192.0.2.1    mx.x.example  a@down.example      nobody  -  spf=temperror smtp.mailfrom=down.example
        192.0.2.1    mx.x.example  a@closed.example    nobody  -  spf=temperror smtp.mailfrom=closed.example
        192.0.2.1    mx.x.example  a@part.example      nobody  -  spf=temperror smtp.mailfrom=part.example
        192.0.2.1    pass.example  <>                  nobody  -  spf=pass smtp.helo=pass.example
        192.0.2.1    [192.0.2.1]   <>                  nobody  -  spf=none
        ::1          mx.x.example  a@pass.example      nobody  -  spf=fail smtp.mailfrom=pass.example
        -            mx.x.example  a@pass.example      nobody  -  none
        ",
    )
    .await;
}

#[tokio::test]
async fn dkim() {
    let zone = format!(
        "
        s._domainkey.good.example     TXT  v=DKIM1; k=ed25519; p={KEY}
        s._domainkey.bare.example     TXT  k=ed25519; p={KEY}
        s._domainkey.strict.example   TXT  v=DKIM1; k=ed25519; t=s; p={KEY}
        s._domainkey.alias.example    CNAME  s._domainkey.good.example
        s._domainkey.revoked.example  TXT  v=DKIM1; k=ed25519; p=
        s._domainkey.rsa.example      TXT  v=DKIM1; k=rsa; p={KEY}
        s._domainkey.text.example     TXT  hello
        s._domainkey.other.example    TXT  v=DKIM1; k=ed25519; p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
        down.example                  SERVFAIL
        cut.example                   TRUNCATED
        s._domainkey.cut.example      TXT  v=DKIM1; k=ed25519; p={KEY}
        "
    );
    let found = |word: &str, domain: &str| format!("dkim={word} header.d={domain} header.s=s");
    let rows = [
        ("good.example", "pass"),
        ("bare.example", "pass"),
        ("strict.example", "pass"),
        ("alias.example", "pass"),
        ("cut.example", "pass"),
        ("revoked.example", "permerror"),
        ("rsa.example", "fail"),
        ("text.example", "permerror"),
        ("other.example", "fail"),
        ("nokey.example", "permerror"),
        ("down.example", "temperror"),
    ];
    let rows = rows.map(|(domain, word)| {
        format!(
            "- - - nobody {domain} {}",
            found(word, domain).replace(' ', "\u{a0}")
        )
    });
    let table = format!(
        "client helo mail_from from signer found\n{}",
        rows.join("\n")
    );
    let table = table.replace(' ', "  ").replace('\u{a0}', " ");
    check(&zone, &table).await;
}

#[tokio::test]
async fn dmarc() {
    let zone = format!(
        "
        plain.example               TXT  v=spf1 ip4:192.0.2.1 -all
        s._domainkey.plain.example  TXT  v=DKIM1; k=ed25519; p={KEY}
        x.example                   TXT  v=spf1 ip4:192.0.2.1 -all
        _dmarc.x.example            TXT  v=DMARC1; p=reject; sp=quarantine
        s._domainkey.x.example      TXT  v=DKIM1; k=ed25519; p={KEY}
        mail.x.example              TXT  v=spf1 ip4:192.0.2.1 -all
        mail.x.example              A    192.0.2.1
        s._domainkey.mail.x.example  TXT  v=DKIM1; k=ed25519; p={KEY}
        y.example                   TXT  v=spf1 ip4:192.0.2.1 -all
        _dmarc.y.example            TXT  v=DMARC1; p=quarantine; aspf=s; adkim=s
        mail.y.example              TXT  v=spf1 ip4:192.0.2.1 -all
        s._domainkey.y.example      TXT  v=DKIM1; k=ed25519; p={KEY}
        s._domainkey.mail.y.example  TXT  v=DKIM1; k=ed25519; p={KEY}
        _dmarc.watch.example        TXT  v=DMARC1; p=none
        _dmarc.odd.example          TXT  v=DMARC1; p=whatever
        _dmarc.two.example          TXT  hello
        _dmarc.two.example          TXT  v=DMARC1; p=reject
        down.example                SERVFAIL
        slow.x.example              SERVFAIL
        "
    );
    check(
        &zone,
        "
        client     helo  mail_from         from              signer        found
        192.0.2.1  h     a@x.example       a@x.example       -             spf=pass smtp.mailfrom=x.example; dmarc=pass header.from=x.example reject
        192.0.2.9  h     a@x.example       a@x.example       -             spf=fail smtp.mailfrom=x.example; dmarc=fail header.from=x.example reject
        192.0.2.1  h     a@mail.x.example  a@x.example       -             spf=pass smtp.mailfrom=mail.x.example; dmarc=pass header.from=x.example reject
        192.0.2.9  h     a@x.example       a@mail.x.example  -             spf=fail smtp.mailfrom=x.example; dmarc=fail header.from=mail.x.example quarantine
        192.0.2.1  h     a@plain.example   a@x.example       -             spf=pass smtp.mailfrom=plain.example; dmarc=fail header.from=x.example reject
        -          h     a@x.example       a@x.example       x.example     dkim=pass header.d=x.example header.s=s; dmarc=pass header.from=x.example reject
        -          h     a@x.example       a@x.example       mail.x.example  dkim=pass header.d=mail.x.example header.s=s; dmarc=pass header.from=x.example reject
        -          h     a@x.example       a@mail.x.example  x.example     dkim=pass header.d=x.example header.s=s; dmarc=pass header.from=mail.x.example quarantine
        -          h     a@x.example       a@x.example       plain.example  dkim=pass header.d=plain.example header.s=s; dmarc=fail header.from=x.example reject
        -          h     a@x.example       a@x.example       down.example  dkim=temperror header.d=down.example header.s=s; dmarc=fail header.from=x.example reject
        -          h     a@x.example       a@x.example       slow.x.example  dkim=temperror header.d=slow.x.example header.s=s; dmarc=temperror header.from=x.example reject
        192.0.2.1  h     a@mail.y.example  a@y.example       -             spf=pass smtp.mailfrom=mail.y.example; dmarc=fail header.from=y.example quarantine
        192.0.2.1  h     a@y.example       a@y.example       -             spf=pass smtp.mailfrom=y.example; dmarc=pass header.from=y.example quarantine
        -          h     a@y.example       a@y.example       mail.y.example  dkim=pass header.d=mail.y.example header.s=s; dmarc=fail header.from=y.example quarantine
        -          h     a@y.example       a@y.example       y.example     dkim=pass header.d=y.example header.s=s; dmarc=pass header.from=y.example quarantine
        192.0.2.1  h     a@plain.example   a@plain.example   -             spf=pass smtp.mailfrom=plain.example; dmarc=none header.from=plain.example
        -          h     a@x.example       a@watch.example   -             dmarc=fail header.from=watch.example
        -          h     a@x.example       a@odd.example     -             dmarc=permerror header.from=odd.example
        -          h     a@x.example       a@two.example     -             dmarc=fail header.from=two.example reject
        -          h     a@x.example       a@down.example    -             dmarc=temperror header.from=down.example
        -          h     a@x.example       a@x.example, b@watch.example  -  none
        ",
    )
    .await;
}

#[tokio::test]
async fn servers_that_lie_are_no_answer() {
    let dns = Dns::start(
        "
        junk.example    GARBAGE
        id.example      WRONG-ID
        id.example      TXT  v=spf1 ip4:192.0.2.1 -all
        mute.example    SILENT
        circle.example  CIRCLE
        ",
    )
    .await;
    let authenticator = authenticator(&dns, Duration::from_millis(200));
    for domain in [
        "junk.example",
        "id.example",
        "mute.example",
        "circle.example",
    ] {
        let mail_from = format!("a@{domain}");
        let case = Case {
            client: CLIENT,
            helo: "h",
            mail_from: &mail_from,
            letter: letter(&mail_from),
        };
        let found = told(&ask(&authenticator, &case).await);
        // A circle is an answer, and there is no record in it.
        let word = if domain == "circle.example" {
            "none"
        } else {
            "temperror"
        };
        assert!(
            found.starts_with(&format!("spf={word} ")),
            "{domain}: {found}"
        );
        assert!(!found.contains("pass"), "{domain}: {found}");
    }
}

#[tokio::test]
async fn a_slow_key_of_a_stranger_does_not_save_a_forgery() {
    let dns = Dns::start(
        "
        _dmarc.x.example  TXT  v=DMARC1; p=reject
        mute.example      SILENT
        mute.x.example    SILENT
        ",
    )
    .await;
    let authenticator = authenticator(&dns, DEADLINE);
    let case = |signer: &str| Case {
        client: "-",
        helo: "h",
        mail_from: "a@y.example",
        letter: sign(&letter("a@x.example"), signer),
    };
    // The answers that there are, are in the cache before the clock stops.
    let plain = Case {
        letter: letter("a@x.example"),
        ..case("y.example")
    };
    ask(&authenticator, &plain).await;
    ask(
        &authenticator,
        &Case {
            letter: letter("a@mute.x.example.net"),
            ..case("y.example")
        },
    )
    .await;
    tokio::time::pause();
    let found = ask(&authenticator, &case("mute.example")).await;
    assert_eq!(
        told(&found),
        "dkim=temperror header.d=mute.example header.s=s; dmarc=fail header.from=x.example reject"
    );
}

#[tokio::test]
async fn nobody_waits_longer_than_the_deadline() {
    let dns = Dns::start("mute.example SILENT").await;
    let authenticator = authenticator(&dns, DEADLINE);
    let case = Case {
        client: CLIENT,
        helo: "h",
        mail_from: "a@mute.example",
        letter: sign(&letter("a@mute.example"), "mute.example"),
    };
    tokio::time::pause();
    let start = tokio::time::Instant::now();
    let found = ask(&authenticator, &case).await;
    // The clock is stopped and jumps to the next deadline: this is no measurement.
    assert!(start.elapsed() <= DEADLINE + Duration::from_millis(1));
    assert_eq!(
        told(&found),
        "spf=temperror smtp.mailfrom=mute.example; \
         dkim=temperror header.d=mute.example header.s=s; \
         dmarc=temperror header.from=mute.example"
    );
}

#[tokio::test]
async fn what_was_answered_is_not_asked_again() {
    let zone = format!(
        "
        x.example               TXT  v=spf1 a:mx.x.example -all
        mx.x.example            A    192.0.2.1
        _dmarc.x.example        TXT  v=DMARC1; p=reject
        s._domainkey.x.example  TXT  v=DKIM1; k=ed25519; p={KEY}
        "
    );
    let dns = Dns::start(&zone).await;
    let authenticator = authenticator(&dns, PATIENCE);
    let case = Case {
        client: CLIENT,
        helo: "h",
        mail_from: "a@x.example",
        letter: sign(&letter("a@x.example"), "x.example"),
    };
    let first = told(&ask(&authenticator, &case).await);
    let mut asked = dns.asked();
    asked.sort_unstable();
    assert_eq!(
        asked,
        [
            "A mx.x.example.",
            "TXT _dmarc.example.",
            "TXT _dmarc.x.example.",
            "TXT s._domainkey.x.example.",
            "TXT x.example."
        ]
    );
    // Not even what does not exist.
    assert_eq!(told(&ask(&authenticator, &case).await), first);
    assert_eq!(dns.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn failures_and_fleeting_answers_are_not_kept() {
    let dns = Dns::start("x.example SERVFAIL").await;
    let authenticator = authenticator(&dns, PATIENCE);
    let case = Case {
        client: CLIENT,
        helo: "h",
        mail_from: "a@x.example",
        letter: letter("nobody"),
    };
    let found = told(&ask(&authenticator, &case).await);
    assert_eq!(found, "spf=temperror smtp.mailfrom=x.example");
    dns.change("x.example TXT v=spf1 +all");
    let found = told(&ask(&authenticator, &case).await);
    assert_eq!(found, "spf=pass smtp.mailfrom=x.example");

    let dns = Dns::start("TTL 0\nx.example TXT v=spf1 +all").await;
    let authenticator = authenticator_of(&dns);
    for verdict in ["pass", "fail"] {
        let found = told(&ask(&authenticator, &case).await);
        assert_eq!(found, format!("spf={verdict} smtp.mailfrom=x.example"));
        dns.change("x.example TXT v=spf1 -all");
    }
}

fn authenticator_of(dns: &Dns) -> Authenticator {
    authenticator(dns, PATIENCE)
}

#[tokio::test]
async fn arc() {
    let zone = format!(
        "
        s._domainkey.x.example     TXT  v=DKIM1; k=ed25519; p={KEY}
        s._domainkey.list.example  TXT  v=DKIM1; k=ed25519; p={KEY}
        s._domainkey.hop.example   TXT  v=DKIM1; k=ed25519; p={KEY}
        _dmarc.x.example           TXT  v=DMARC1; p=reject
        "
    );
    let dns = Dns::start(&zone).await;
    let authenticator = authenticator(&dns, PATIENCE);
    let plain = sign(&letter("a@x.example"), "x.example");
    let on_the_list = plain.replace("Subject: ", "Subject: [list] ");
    let proved = "dkim=pass header.d=x.example; dmarc=pass header.from=x.example";
    let once = seal(&on_the_list, "list.example", proved).await;
    let twice = seal(
        &once,
        "hop.example",
        "arc=pass; dmarc=fail header.from=x.example",
    )
    .await;
    let fails = "dkim=fail header.d=x.example header.s=s; dmarc=fail header.from=x.example";
    for (name, letter, expected, seals) in [
        (
            "once",
            once.clone(),
            format!("{fails}; arc=pass reject"),
            "list.example<x.example",
        ),
        (
            "twice",
            twice.clone(),
            format!("{fails}; arc=pass reject"),
            "hop.example list.example<x.example",
        ),
        (
            "body changed",
            once.replace("Where is it?", "Send money."),
            format!("{fails}; arc=fail reject"),
            "",
        ),
        (
            "subject changed",
            once.replace("[list]", "[evil]"),
            format!("{fails}; arc=fail reject"),
            "",
        ),
        (
            "results changed",
            once.replace(
                "dmarc=pass header.from=x.example",
                "dmarc=pass header.from=z.example",
            ),
            format!("{fails}; arc=fail reject"),
            "",
        ),
        (
            "a member missing",
            twice.replacen("ARC-Seal: i=1", "X-Gone: i=1", 1),
            format!("{fails}; arc=fail reject"),
            "",
        ),
        (
            "white space at the end",
            format!("{once} \r\n\r\n"),
            format!("{fails}; arc=pass reject"),
            "list.example<x.example",
        ),
        (
            "none",
            plain,
            "dkim=pass header.d=x.example header.s=s; dmarc=pass header.from=x.example reject"
                .to_owned(),
            "",
        ),
    ] {
        let case = Case {
            client: "-",
            helo: "h",
            mail_from: "l@list.example",
            letter,
        };
        let found = ask(&authenticator, &case).await;
        assert_eq!(told(&found), expected, "{name}");
        let members: Vec<String> = (found.arc.seals.iter())
            .map(|seal| format!("{}<{}", seal.domain, seal.proved.join("<")))
            .map(|seal| seal.trim_end_matches('<').to_owned())
            .collect();
        assert_eq!(members.join(" "), seals, "{name}");
    }
}

/// What we sign ourselves passes with a verifier that is not ours, with each kind of key.
#[tokio::test]
async fn our_own_signatures() {
    for pem in [dkim::generate_rsa(), dkim::generate_ed25519()] {
        let key = dkim::Key::from_pem("shop.example", "2026a", pem.unwrap().as_bytes()).unwrap();
        let zone = format!("{}  TXT  {}", key.record_name(), key.record().unwrap());
        let algorithm = key.algorithm();
        let keys = dkim::Keys::new(vec![key]);
        let dns = Dns::start(&zone).await;
        let authenticator = authenticator(&dns, PATIENCE);
        let folded = "From: =?utf-8?Q?Caf=C3=A9?=\r\n  <help@shop.example>\r\nTo: a@x.example,\r\n\tb@x.example\r\n\
                      Subject:  Your \t order \r\n\r\n  Dear \t Ada, \r\n\r\n.\r\nbye \r\n \r\n\r\n";
        for letter in [
            letter("help@shop.example"),
            folded.to_owned(),
            letter("help@shop.example") + "no end",
        ] {
            let signatures = keys.sign(&mut letter.as_bytes(), Timestamp::ZERO).unwrap();
            let signed = String::from_utf8(signatures).unwrap() + &letter;
            for (change, result) in [
                (signed.clone(), "dkim=pass"),
                (format!("Received: by x\r\n{signed}"), "dkim=pass"),
                (signed.replace("\r\n\r\n", "\r\n\r\nNo. "), "dkim=fail"),
                (
                    signed.replace("\r\nFrom:", "\r\nFrom: eve@x.example\r\nFrom:"),
                    "dkim=fail",
                ),
                (signed.replace("Subject:", "Subject: Re:"), "dkim=fail"),
                (format!("Subject: first\r\n{signed}"), "dkim=fail"),
            ] {
                let case = Case {
                    client: CLIENT,
                    helo: "mx.shop.example",
                    mail_from: "help@shop.example",
                    letter: change,
                };
                let found = told(&ask(&authenticator, &case).await);
                assert!(
                    found.contains(result),
                    "{algorithm:?} {found}\n{}",
                    case.letter
                );
            }
        }
    }
}
