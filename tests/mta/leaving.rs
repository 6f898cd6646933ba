//! Answers on their way out, judged by others: the signatures by dkimpy, the letter by Python's
//! `email`.

use std::fs;

use postroom::grpc::pb;
use postroom::outbound::dkim::{Key, generate_ed25519, generate_rsa};

use super::site::{ANNA, SUPPORT, Site, letter};
use crate::support::agent::{self, Agent};
use crate::support::dns::Dns;
use crate::support::postfix;
use crate::support::python;

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
