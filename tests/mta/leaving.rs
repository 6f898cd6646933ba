//! Answers on their way out, judged by others: the signatures by dkimpy, the letter by Python's
//! `email`, and we ourselves by a Postfix that wants TLS and a password.

use std::fs;

use postroom::grpc::pb;
use postroom::grpc::pb::session_event::Payload;
use postroom::outbound::dkim::{Key, generate_ed25519, generate_rsa};

use super::site::{ANNA, SUPPORT, Site, letter};
use crate::support::agent::{self, Agent};
use crate::support::delivered::fields;
use crate::support::dns::Dns;
use crate::support::postfix;
use crate::support::python;
use crate::support::submission::{self, Certificate, PASSWORD, Submission, USER};

async fn bert(site: &Site) -> Agent {
    let signed_in = Agent::sign_in(site.settings.control(), "bert");
    signed_in.await.unwrap()
}

fn answer(interaction: pb::Interaction, text: &str, place: usize) -> pb::SendReplyRequest {
    pb::SendReplyRequest {
        name: interaction.name,
        text_body: text.to_owned(),
        request_id: format!("a6d9b5ac-4f6c-4d3f-8d0e-0f9f4a1f01{place:02}"),
        ..pb::SendReplyRequest::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn others_verify_and_read_what_we_sign() {
    if !postfix::is_here() || !python::has("dkim, dns.resolver, nacl") {
        return;
    }
    let keys = [
        ("r2026", generate_rsa().unwrap()),
        ("e2026", generate_ed25519().unwrap()),
    ];
    let mut zone = String::new();
    let site = Site::open(|plan| {
        let mut more = String::new();
        for (selector, pem) in &keys {
            let file = plan.postfix.folder().join(selector);
            fs::write(&file, pem).unwrap();
            more.push_str(&format!(
                "[[dkim]]\ndomain = \"shop.example\"\nselector = \"{selector}\"\n\
                 key_file = {file:?}\n"
            ));
            let key = Key::from_pem("shop.example", selector, pem.as_bytes()).unwrap();
            let record = key.record().unwrap();
            zone.push_str(&format!("{} TXT {record}\n", key.record_name()));
        }
        plan.settings.more = more.leak();
    })
    .await;
    let dns = Dns::start(&zone).await;
    agent::hire(&site.settings.socket(), "bert", &["support"]).await;
    let mut bert = bert(&site).await;
    let asked = letter("1", "")
        .replace(
            "From: Anna",
            "From: =?iso-8859-1?Q?J=F6rg_M=FCller=2C_Einkauf?=",
        )
        .replace("My order", "=?utf-8?Q?Lampe_f=C3=BCr_den_Flur?=");
    site.deliver(ANNA, &[SUPPORT], &asked).await;
    let interaction = bert.accept().await.unwrap();
    // Dots, blanks at ends, empty lines at the end: what ways and canonical forms stumble over.
    let text = "Schöne Grüße,  \n.\n..\nFrom here\n\ttabs\t \n\u{5c71}\u{7530} \n\n\n";
    bert.reply(answer(interaction, text, 1)).await.unwrap();
    let mail = site.next().await;

    let folder = tempfile::tempdir().unwrap();
    let verify = |name: &str, bytes: &[u8]| {
        let file = folder.path().join(name);
        fs::write(&file, bytes).unwrap();
        let (host, port) = (dns.addr().ip().to_string(), dns.addr().port().to_string());
        let file = file.to_str().unwrap();
        let said =
            tokio::task::block_in_place(|| python::run("mta/verify.py", &[&host, &port, file]));
        let mut lines: Vec<String> = said.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let both = |verdict: &str| {
        [
            format!("shop.example e2026 ed25519-sha256 {verdict}"),
            format!("shop.example r2026 rsa-sha256 {verdict}"),
        ]
    };
    assert_eq!(verify("letter", &mail.bytes), both("pass"));
    // The verifier is one: whatever people see cannot be changed.
    let whole = String::from_utf8(mail.bytes.to_vec()).unwrap();
    let changed = [
        whole.replace("\r\nSubject: ", "\r\nSubject: Not "),
        whole.replace("\r\nTo: ", "\r\nTo: eve@x.example, "),
        whole.replace("\r\nFrom: ", "\r\nFrom: eve@x.example\r\nFrom: "),
        format!("{whole}P.S.\r\n"),
    ];
    for changed in changed {
        assert_ne!(changed, whole);
        assert_eq!(
            verify("changed", changed.as_bytes()),
            both("fail"),
            "{changed}"
        );
    }

    let file = folder.path().join("letter");
    let read = python::run("compose/read.py", &[file.to_str().unwrap()]);
    assert!(!read.contains("DEFECT"), "{read}");
    for line in [
        "To: 'Jörg Müller, Einkauf' anna@customer.example\n",
        "Subject: Re: Lampe für den Flur\n",
        "In-Reply-To: <1@customer.example>\n",
        "text/plain",
        "  > Schöne Grüße,\n",
        "  > .\n  > ..\n  > From here\n",
        "  > \u{5c71}\u{7530}\n",
    ] {
        assert!(read.contains(line), "{line}\n{read}");
    }
    assert!(read.contains(&format!(" {SUPPORT}\n")), "{read}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postfix_that_wants_tls_and_a_password() {
    if !postfix::is_here() || !submission::is_here() {
        return;
    }
    let mut made = None;
    let mut site = Site::open(|plan| {
        let postfix = &mut plan.postfix;
        let submission = Submission::new(postfix);
        let starttls = submission.door(postfix, false, Certificate::Good);
        let implicit = submission.door(postfix, true, Certificate::Good);
        let expired = submission.door(postfix, false, Certificate::Expired);
        let misnamed = submission.door(postfix, true, Certificate::Misnamed);
        let foreign = submission.door(postfix, false, Certificate::Foreign);
        made = Some((submission, starttls, implicit, expired, misnamed, foreign));
    })
    .await;
    let (submission, starttls, implicit, expired, misnamed, foreign) = made.unwrap();
    agent::hire(&site.settings.socket(), "bert", &["support"]).await;

    // What must not be: each answer waits, and the reason says what the operator has to look at.
    let mut sent = Vec::new();
    for (port, is_implicit, password, reason) in [
        (expired, false, PASSWORD, "certificate expired"),
        (misnamed, true, PASSWORD, "certificate not valid for name"),
        (foreign, false, PASSWORD, "UnknownIssuer"),
        (starttls, false, "open barley", "authentication failed"),
        (implicit, true, "open barley", "authentication failed"),
    ] {
        reach(&mut site, port, submission.settings(is_implicit, password)).await;
        let mut bert = bert(&site).await;
        let place = sent.len();
        let id = place.to_string();
        site.deliver(ANNA, &[SUPPORT], &letter(&id, "")).await;
        let interaction = bert.accept().await.unwrap();
        let reply = answer(interaction, "On its way.", place);
        let name = bert.reply(reply).await.unwrap().message.unwrap().name;
        let tried = |payload| match payload {
            Payload::DeliveryUpdated(updated) if updated.message == name => {
                let delivery = updated.delivery?;
                (delivery.state() != pb::DeliveryState::Ready).then_some(delivery)
            }
            _ => None,
        };
        let delivery = bert.event(tried).await.unwrap();
        assert_eq!(
            delivery.state(),
            pb::DeliveryState::Deferred,
            "{delivery:?}"
        );
        let said = &delivery.diagnostic;
        assert!(said.contains(reason), "{said}\n{}", site.postfix.log());
        assert!(!said.contains("barley"), "{said}");
        sent.push(id);
    }
    // The customer's letters went on, and no answer.
    assert_eq!(site.sink.received().len(), sent.len());
    let login = format!("sasl_method=PLAIN, sasl_username={USER}");
    assert!(!site.postfix.log().contains(&login));

    // What must be: all of them go out, each once, and so does one over TLS from the first byte.
    reach(&mut site, starttls, submission.settings(false, PASSWORD)).await;
    let mut answered = Vec::new();
    for _ in &sent {
        answered.push(in_reply_to(&site).await);
    }
    reach(&mut site, implicit, submission.settings(true, PASSWORD)).await;
    let mut bert = bert(&site).await;
    site.deliver(ANNA, &[SUPPORT], &letter("last", "")).await;
    let interaction = bert.accept().await.unwrap();
    let reply = answer(interaction, "On its way.", sent.len());
    bert.reply(reply).await.unwrap();
    answered.push(in_reply_to(&site).await);
    sent.push("last".to_owned());
    answered.sort();
    let ids: Vec<_> = (sent.iter())
        .map(|id| format!("<{id}@customer.example>"))
        .collect();
    assert_eq!(answered, ids);
    assert_eq!(site.sink.received().len(), 2 * sent.len());
    let log = site.postfix.log();
    assert_eq!(log.matches(&login).count(), sent.len(), "{log}");
    assert!(!site.log().contains(PASSWORD));
}

/// From now on Postroom hands in its mail at this port, and in this way.
async fn reach(site: &mut Site, port: u16, how: String) {
    site.kill();
    site.settings.outbound = format!("127.0.0.1:{port}");
    site.settings.outbound_more = how;
    site.start().await;
}

/// What the next letter that comes out answers.
async fn in_reply_to(site: &Site) -> String {
    let mail = site.next().await;
    let mut ids = fields(&mail.bytes, "In-Reply-To");
    assert_eq!(ids.len(), 1, "{mail:?}");
    ids.remove(0)
}
