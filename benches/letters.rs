//! What a letter costs, step by step: a short one, a typical one, a large one, and letters made to
//! take long. Time a byte must not grow with size.
//!
//! `signed/letter.eml` carries an RSA and an Ed25519 signature of keys that were thrown away;
//! `signed/zone.txt` has their public halves.

#![expect(clippy::unwrap_used, reason = "a bench that cannot begin is to stop")]
#![expect(missing_docs, reason = "criterion's macro writes a public function")]

#[expect(dead_code, reason = "the tests ask more of it")]
#[path = "../tests/support/dns.rs"]
mod dns;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use dns::Dns;
use postroom::content::Content;
use postroom::intake::authenticate::{Authenticator, DEADLINE, Resolver, Route};
use postroom::intake::fingerprint::Unfinished;
use postroom::mail::address::Address;
use postroom::mail::automatic::{Facts, classify};
use postroom::mail::clue;
use postroom::mail::compose::{Draft, Parent, Quote};
use postroom::mail::header::Header;
use postroom::mail::html;
use postroom::mail::letter::{Letter, Quotable, View};
use postroom::mail::loop_mark::LoopMark;
use postroom::mail::mailbox::Mailbox;
use postroom::mail::message_id::InternetMessageId;
use postroom::mail::quotation::{self, Hints};
use postroom::mail::threading::{self, Circumstances, Known, Windows};
use postroom::mail::token::{KEY_BYTES, Keyring};
use postroom::mail::trust::{self, Authentication, Standing, Trust, Verdict};
use postroom::milter::{self, Arrival};
use postroom::time::Timestamp;

/// A moment that does not pass.
const NOW: Timestamp = Timestamp::from_millis(1_795_000_000_000);

const ANSWER: Hints = Hints {
    answer: true,
    forward: false,
};

/// An answer with text, HTML and history, of about so many bytes.
fn letter(bytes: usize) -> Vec<u8> {
    let mut raw = String::from(
        "Received: from out.customer.example (out.customer.example [192.0.2.7])\r\n\
         \tby mx.shop.example (Postfix) with ESMTPS id 4ABC for <support@shop.example>;\r\n\
         \tMon, 23 Nov 2026 09:15:02 +0100 (CET)\r\n\
         DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=customer.example; s=a;\r\n\
         \tbh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=dGhpcyBpcyBub3QgYSBzaWduYXR1cmU\r\n\
         From: =?utf-8?q?J=C3=B6rg_Berg?= <joerg@customer.example>\r\n\
         To: Support <support@shop.example>\r\nCc: Anna <anna@customer.example>\r\n\
         Subject: =?utf-8?b?UmU6IEdyw7bDn2UgZGVyIExhbXBl?= [Case 5724]\r\n\
         Date: Mon, 23 Nov 2026 09:15:00 +0100\r\nMessage-ID: <b2@customer.example>\r\n\
         In-Reply-To: <b1@mx.shop.example>\r\nReferences: <a@x.example> <b1@mx.shop.example>\r\n\
         MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=\"b\"\r\n\r\n\
         --b\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Transfer-Encoding: quoted-printable\r\n\r\n\
         Gr=C3=BC=C3=9Fe, die Lampe ist da.\r\n\r\nOn Mon, 23 Nov 2026, Support wrote:\r\n",
    );
    while raw.len() < bytes * 2 / 5 {
        raw.push_str("> Ihre Bestellung ist unterwegs und kommt am Dienstag.\r\n");
    }
    raw.push_str("--b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<html><body>");
    while raw.len() + 20 < bytes {
        raw.push_str(
            "<p style=\"color:red;margin:0\">Ihre <b>Bestellung</b> ist \
             <a href=\"https://shop.example/?a=1&amp;b=2\">unterwegs</a>.</p>\r\n",
        );
    }
    raw.push_str("\r\n--b--\r\n");
    raw.into_bytes()
}

/// A letter whose bytes are mostly a file.
fn with_file(bytes: usize) -> Vec<u8> {
    let mut raw = String::from(
        "From: Anna <anna@customer.example>\r\nTo: support@shop.example\r\nSubject: Photo\r\n\
         Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nsee attached\r\n--b\r\n\
         Content-Type: image/jpeg; name=a.jpg\r\nContent-Transfer-Encoding: base64\r\n\r\n",
    );
    while raw.len() < bytes {
        raw.push_str(
            "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAgGBgcGBQgHBwcJCQgKDBQNDAsLDBkSEw8UHRof\r\n",
        );
    }
    raw.push_str("--b--\r\n");
    raw.into_bytes()
}

fn html_of(piece: &str, bytes: usize) -> Vec<u8> {
    let pieces = piece.repeat(bytes / piece.len());
    format!("From: a@x.example\r\nContent-Type: text/html\r\n\r\n{pieces}").into_bytes()
}

/// The plain text and the HTML of a letter, to be measured alone.
fn texts(raw: &[u8]) -> (String, String) {
    let text = Letter::read(raw, true).body.text().to_owned();
    let source = String::from_utf8_lossy(raw);
    let html = source.split_once("<html>").unwrap_or_default().1;
    (text, html.to_owned())
}

fn arrival(raw: &[u8]) -> Arrival {
    let header = Header::parse(raw);
    let headers = (header.fields().iter())
        .map(|field| milter::Header {
            name: Bytes::copy_from_slice(field.name.as_bytes()),
            value: Bytes::copy_from_slice(field.value.trim_ascii()),
        })
        .collect();
    Arrival {
        peer: milter::Peer::default(),
        mta_queue_id: None,
        envelope: milter::Envelope::default(),
        recipients: Vec::new(),
        foreign_recipients: 0,
        headers,
        content: Content::Memory(raw.to_vec().into()),
    }
}

/// Every step on its own, and what happens before the answer to the MTA together.
fn steps(c: &mut Criterion) {
    let keyring = Keyring::new(1, [(1, [7; 32])]).unwrap();
    let standing = Standing::default();
    let authentication = Authentication::default();
    let (known, queues) = (
        Known::default(),
        BTreeSet::from(["support".parse().unwrap()]),
    );
    let ours: Address = "support@shop.example".parse().unwrap();
    let recipients = [(ours.clone(), ours)];
    for (size, bytes) in [("2KiB", 2 << 10), ("8KiB", 8 << 10), ("2MiB", 2 << 20)] {
        let raw = letter(bytes);
        let arrival = arrival(&raw);
        let read = Letter::read_header(&raw);
        let (text, source) = texts(&raw);
        let facts = Facts {
            keyring: &keyring,
            host: "mx.shop.example",
            envelope_sender: b"joerg@customer.example",
            to_return_path: false,
            from_queue: false,
            own_message_id: false,
        };
        let classified = |letter: &Letter| {
            let header = Header::parse(&raw);
            let body = raw.get(header.body_start()..).unwrap_or_default();
            classify(letter, &header, body, &facts)
        };
        let threaded = |letter: &Letter| {
            let circumstances = Circumstances {
                sender: letter.author.identity(),
                trust: trust::assess(&letter.author, &authentication, &standing).trust,
                queues: &queues,
                now: NOW,
                windows: Windows::default(),
            };
            let clues = clue::clues(letter, &recipients);
            threading::thread(letter, &clues, &known, &keyring, circumstances)
        };
        let mut group = c.benchmark_group(format!("letter_{size}"));
        group.throughput(Throughput::Bytes(raw.len() as u64));
        group.bench_function("header", |b| {
            b.iter(|| Letter::read_header(black_box(&raw)))
        });
        group.bench_function("fingerprint", |b| {
            b.iter(|| Unfinished::new(black_box(&arrival)).finish(&raw));
        });
        group.bench_function("trust_and_thread", |b| {
            b.iter(|| threaded(black_box(&read)))
        });
        group.bench_function("classify", |b| b.iter(|| classified(black_box(&read))));
        group.bench_function("before_the_answer", |b| {
            b.iter(|| {
                let letter = Letter::read_header(black_box(&raw));
                let prints = Unfinished::new(&arrival).finish(&raw);
                (threaded(&letter), classified(&letter), prints)
            });
        });
        group.bench_function("read", |b| b.iter(|| Letter::read(black_box(&raw), true)));
        group.bench_function("quotation", |b| {
            b.iter(|| quotation::find(black_box(&text), ANSWER));
        });
        group.bench_function("html_to_text", |b| {
            b.iter(|| html::to_text(black_box(&source)))
        });
        group.bench_function("html_clean", |b| {
            b.iter(|| html::clean(black_box(&source), &mut |_| None));
        });
        group.bench_function("view", |b| b.iter(|| View::read(black_box(&raw), true)));
        group.finish();
    }
}

/// The processor time of this thread: a busy machine makes a letter wait, but not cost more.
fn processor_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    let nanoseconds = text.split_whitespace().next().unwrap().parse();
    Duration::from_nanos(nanoseconds.unwrap())
}

/// How much processor time some rounds of `work` take.
fn costs<T>(rounds: u64, mut work: impl FnMut() -> T) -> Duration {
    let start = processor_time();
    for _ in 0..rounds {
        black_box(work());
    }
    processor_time() - start
}

/// What a signed letter of 8 KiB costs whose sender's records are known: SPF, DKIM, DMARC, and then
/// all that is decided about it before the answer. In processor time.
fn signed(c: &mut Criterion) {
    let both = include_str!("signed/letter.eml");
    let signature = |selector: &str| {
        let mut fields = both.match_indices("DKIM-Signature:").map(|(start, _)| {
            let field = both.get(start..).unwrap();
            let end = field.match_indices("\r\n").find(|(at, _)| {
                let next = field.as_bytes().get(at + 2);
                !matches!(next, Some(b'\t' | b' '))
            });
            field.get(..end.unwrap().0 + 2).unwrap()
        });
        let name = format!(" s={selector};");
        fields.find(|field| field.contains(&name)).unwrap()
    };
    let with_rsa = both.replace(signature("ed"), "");
    let with_ed25519 = both.replace(signature("rsa"), "");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let dns = runtime.block_on(Dns::start(include_str!("signed/zone.txt")));
    let resolver = Resolver::Servers(vec![dns.addr()]);
    let authenticator = Authenticator::new(&resolver, "mx.shop.example", DEADLINE).unwrap();
    let joerg: Address = "joerg@customer.example".parse().unwrap();
    let route = Route {
        client: "192.0.2.7".parse().ok(),
        helo: "out.customer.example",
        mail_from: Some(&joerg),
    };
    let authenticated = |letter: &Letter, raw: &[u8]| {
        let asked = authenticator.authenticate(route, &letter.author, raw, None);
        runtime.block_on(asked)
    };
    let (keyring, standing) = (
        Keyring::new(1, [(1, [7; 32])]).unwrap(),
        Standing::default(),
    );
    let queues = BTreeSet::from(["support".parse().unwrap()]);
    let ours: Address = "support@shop.example".parse().unwrap();
    let recipients = [(ours.clone(), ours)];
    let known = Known::default();
    let mut group = c.benchmark_group("letter_signed_8KiB");
    group.measurement_time(Duration::from_secs(3));
    for (name, raw, signatures) in [
        ("rsa", with_rsa.as_str(), 1),
        ("ed25519", &with_ed25519, 1),
        ("both", both, 2),
    ] {
        let raw = raw.as_bytes();
        let arrival = arrival(raw);
        let facts = Facts {
            keyring: &keyring,
            host: "mx.shop.example",
            envelope_sender: b"joerg@customer.example",
            to_return_path: false,
            from_queue: false,
            own_message_id: false,
        };
        let judged = || {
            let letter = Letter::read_header(black_box(raw));
            let prints = Unfinished::new(&arrival).finish(raw);
            let authentication = authenticated(&letter, raw);
            let assessment = trust::assess(&letter.author, &authentication, &standing);
            let circumstances = Circumstances {
                sender: letter.author.identity(),
                trust: assessment.trust,
                queues: &queues,
                now: NOW,
                windows: Windows::default(),
            };
            let clues = clue::clues(&letter, &recipients);
            let place = threading::thread(&letter, &clues, &known, &keyring, circumstances);
            let header = Header::parse(raw);
            let body = raw.get(header.body_start()..).unwrap();
            let kind = classify(&letter, &header, body, &facts);
            (assessment.trust, prints, place, kind)
        };
        // What is measured is a proven letter, and nobody is asked about it any more.
        let letter = Letter::read_header(raw);
        let first = authenticated(&letter, raw);
        let proved = (first.dkim.iter()).filter(|found| found.verdict == Verdict::Pass);
        assert_eq!(proved.count(), signatures, "{name}: {first:?}");
        assert_eq!(first.spf.verdict, Verdict::Pass);
        assert_eq!(judged().0, Trust::A);
        dns.asked();
        group.bench_function(BenchmarkId::new("trust", name), |b| {
            b.iter_custom(|rounds| costs(rounds, || authenticated(&letter, raw)));
        });
        group.bench_function(BenchmarkId::new("before_the_answer", name), |b| {
            b.iter_custom(|rounds| costs(rounds, judged));
        });
        assert_eq!(dns.asked(), Vec::<String>::new(), "{name}");
    }
    group.finish();
}

/// An answer that quotes a letter of 20 KiB: read to be quoted, written as text, and with HTML.
fn composing(c: &mut Criterion) {
    // Two renditions: the text has 20 KiB, the HTML more.
    let raw = letter(56 << 10);
    let ring = Keyring::new(0, [(0, [7; KEY_BYTES])]).unwrap();
    let id = InternetMessageId::parse("r.token.nonce@mid.shop.example").unwrap();
    let mark = LoopMark::mint(&ring, "mid.shop.example", &id).unwrap();
    let mailbox = |name: &str, address: &str| Mailbox {
        name: name.to_owned(),
        address: address.parse().unwrap(),
    };
    let from = mailbox("Shop Support", "support@shop.example");
    let to = [mailbox("Jörg Berg", "joerg@customer.example")];
    let original = Quotable::read(&raw, true, id.as_str());
    let text = original.letter.body.text();
    assert!(text.len() >= 20 << 10, "{}", text.len());
    let attribution = "On Mon, 23 Nov 2026 09:15:00 +0100, Jörg Berg wrote:";
    let draft = |html: Option<&'static str>| Draft {
        from: &from,
        to: &to,
        cc: &[],
        reply_to: None,
        subject: "",
        tag: None,
        untag: None,
        text: "Guten Tag,\n\nsie ist unterwegs.\n\nMit freundlichen Grüßen\nAnna",
        html,
        pictures: &[],
        files: &[],
        shown: &[],
        parent: Some(Parent {
            subject: &original.letter.subject,
            internet_message_id: original.letter.internet_message_id.as_ref(),
            references: &original.letter.references,
            quote: Some(Quote {
                attribution,
                text,
                html: original.html.as_ref(),
            }),
        }),
        forwarded: None,
        date: NOW,
        internet_message_id: &id,
        loop_mark: &mark,
        automatic: false,
    };
    let html =
        "<p>Guten Tag,</p><p>sie ist <b>unterwegs</b>.</p><p>Mit freundlichen Grüßen<br>Anna</p>";
    let plain = draft(None);
    let both = draft(Some(html));
    assert!(both.compose().unwrap().bytes.len() > 40 << 10);
    let mut group = c.benchmark_group("compose_reply_quoting_20KiB");
    group.bench_function("read_original_text", |b| {
        b.iter(|| Quotable::text(black_box(&raw), true));
    });
    group.bench_function("read_original_html", |b| {
        b.iter(|| Quotable::read(black_box(&raw), true, id.as_str()));
    });
    group.bench_function("text", |b| b.iter(|| black_box(&plain).compose().unwrap()));
    group.bench_function("html", |b| b.iter(|| black_box(&both).compose().unwrap()));
    group.finish();
}

/// Letters made to take long, at two sizes: the throughput of the two has to be alike.
fn shapes(c: &mut Criterion) {
    let mut parts = String::from("Content-Type: multipart/mixed; boundary=b\r\n\r\n");
    for n in 0..20_000 {
        let _ = write!(parts, "--b\r\nA: {n}\r\n\r\nx\r\n");
    }
    type Make = fn(usize) -> Vec<u8>;
    let makes: [(&str, Make); 6] = [
        ("file", with_file),
        ("deep_html", |bytes| html_of("<div>", bytes)),
        ("open_paragraphs", |bytes| html_of("<p>x", bytes)),
        ("open_bold", |bytes| html_of("<b>x", bytes)),
        ("cited", |bytes| html_of("<blockquote type=cite>x", bytes)),
        ("attributions", |bytes| {
            format!("\r\n{}", "On 1 May 2026 x wrote:\n".repeat(bytes / 23)).into_bytes()
        }),
    ];
    let mut group = c.benchmark_group("shape");
    for (name, make) in makes {
        for kib in [64, 512] {
            let raw = make(kib << 10);
            group.throughput(Throughput::Bytes(raw.len() as u64));
            group.bench_with_input(
                BenchmarkId::new(name, format!("{kib}KiB")),
                &raw,
                |b, raw| {
                    b.iter(|| View::read(black_box(raw), true));
                },
            );
        }
    }
    group.throughput(Throughput::Bytes(parts.len() as u64));
    group.bench_function("many_parts", |b| {
        b.iter(|| View::read(black_box(parts.as_bytes()), true));
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800));
    targets = steps, signed, composing, shapes
}
criterion_main!(benches);
