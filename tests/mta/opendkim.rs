//! OpenDKIM before Postroom and behind it, in a real Postfix.

use bytes::Bytes;
use mail_auth::common::headers::HeaderWriter;
use mail_auth::dkim::{Canonicalization, DkimSigner};
use postroom::intake::authenticate::{Authenticator, DEADLINE, Resolver, Route};
use postroom::mail::letter::Letter;
use postroom::mail::trust::Verdict;

use crate::support::delivered::{fields, tags};
use crate::support::dns::Dns;
use crate::support::opendkim::{self, OpenDkim};
use crate::support::postfix;
use crate::support::signed::{KEY, key, sign};
use crate::support::smtp::Smtp;

use super::site::{ANNA, SUPPORT, Site, letter};

const DOMAIN: &str = "customer.example";

fn is_here() -> bool {
    postfix::is_here() && opendkim::is_here()
}

/// Anna's letter, signed.
fn signed(id: &str) -> String {
    let letter = letter(id, "").replace('\n', "\r\n");
    sign(&letter, DOMAIN).replace("\r\n", "\n")
}

/// As [`sign`], in the form that tells every blank and every fold, over more fields.
fn sign_strictly(letter: &str) -> String {
    let signature = DkimSigner::from_key(key())
        .domain(DOMAIN)
        .selector("s")
        .headers(["From", "To", "Subject", "X-Folded", "Cc"])
        .header_canonicalization(Canonicalization::Simple)
        .body_canonicalization(Canonicalization::Simple)
        .sign(letter.as_bytes())
        .unwrap();
    format!("{}{letter}", signature.to_header())
}

/// The signatures of a letter as a verifier far from Postfix sees them.
async fn verdicts(letter: &Bytes) -> Vec<(String, Verdict)> {
    let record = |domain: &str| {
        let name = format!("s._domainkey.{domain}");
        (name, format!("v=DKIM1; k=ed25519; p={KEY}"))
    };
    let zone = vec![record(DOMAIN), record("shop.example")];
    let verifier = Authenticator::new(&Resolver::Fixed(zone), "far.example", DEADLINE).unwrap();
    let route = Route {
        client: None,
        helo: "",
        mail_from: None,
    };
    let author = Letter::read_header(letter).author;
    let found = verifier.authenticate(route, &author, letter, None).await;
    let signatures = found.dkim.into_iter();
    signatures
        .map(|signature| (signature.domain, signature.verdict))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn results_of_the_filter_before_us_count_if_it_is_named() {
    if !is_here() {
        return;
    }
    let scan = OpenDkim::checking(&[DOMAIN]).await;
    for (named, trust) in [
        ("", "C"),
        ("trusted_results = [\"scan.shop.example\"]\n", "B"),
    ] {
        let site = Site::open(|plan| {
            let filters = format!("smtpd_milters = {}, {}\n", scan.address(), plan.postroom);
            plan.postfix.main_cf.push_str(&filters);
            plan.settings.authentication.push_str(named);
        })
        .await;
        let mail = site.deliver(ANNA, &[SUPPORT], &signed("signed")).await;
        let results = fields(&mail.bytes, "Authentication-Results");
        let theirs = results.last().unwrap();
        assert!(theirs.starts_with("scan.shop.example;"), "{results:?}");
        assert!(theirs.contains("dkim=pass"), "{results:?}");
        if named.is_empty() {
            assert_eq!(results.len(), 1, "{results:?}");
        } else {
            let [ours, _] = results.as_slice() else {
                panic!("{results:?}");
            };
            let expected = "shop.example; dkim=pass header.d=customer.example header.s=s";
            assert_eq!(
                ours.split_whitespace().collect::<Vec<_>>().join(" "),
                expected
            );
        }
        assert_eq!(tags(&mail).queue, "support");
        let said = format!("trust={trust} ");
        assert!(site.log().contains(&said), "{named}: {}", site.log());

        // What claims the filter's name and comes from outside, the filter removes.
        let forged =
            "Authentication-Results: scan.shop.example; dmarc=pass header.from=customer.example\n";
        let forged = letter("forged", forged);
        let mail = site.deliver(ANNA, &[SUPPORT], &forged).await;
        let results = fields(&mail.bytes, "Authentication-Results");
        assert!(results.iter().all(|r| !r.contains("pass")), "{results:?}");
        assert!(!site.log().contains("trust=A"), "{}", site.log());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signer_behind_us_signs_our_tags() {
    if !is_here() {
        return;
    }
    let signer = OpenDkim::signing(DOMAIN, "relaxed/simple").await;
    let site = Site::open(|plan| {
        let filters = format!("smtpd_milters = {}, {}\n", plan.postroom, signer.address());
        plan.postfix.main_cf.push_str(&filters);
    })
    .await;
    let mail = site.deliver(ANNA, &[SUPPORT], &letter("1", "")).await;
    assert_eq!(tags(&mail).queue, "support");
    let held = (DOMAIN.to_owned(), Verdict::Pass);
    assert_eq!(verdicts(&mail.bytes).await, [held], "{}", signer.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_signed_stays_as_it_was() {
    if !is_here() {
        return;
    }
    let key = format!("TTL 0\ns._domainkey.{DOMAIN} TXT v=DKIM1; k=ed25519; p={KEY}");
    let dns = Dns::start(&key).await;
    let signer = OpenDkim::signing(DOMAIN, "relaxed/relaxed").await;
    let mut in_front = 0;
    let site = Site::open(|plan| {
        let filters = format!("smtpd_milters = {}, {}", signer.address(), plan.postroom);
        in_front = plan.postfix.door(&[&filters]);
        plan.settings.resolver = dns.addr().to_string();
    })
    .await;
    let odd = "X-Folded:one\n  two\n\t three   \nCC:\t Bert  <b@x.example> ,\n carl@x.example\n";
    let mut text = letter("1", odd);
    text.push_str("\n..dots\n\ttabs\t \n \n\n");
    let original = text.replace('\n', "\r\n");
    // The simple form tells every blank and every fold. OpenDKIM, which makes Ed25519 signatures
    // in this form that nobody can verify, makes the other.
    let strictly = sign_strictly(&original);
    for (port, sent) in [
        (site.postfix.smtp.number(), &strictly),
        (in_front, &original),
    ] {
        let mut client = Smtp::connect(port).await;
        let reply = client.send(ANNA, &[SUPPORT], sent.as_bytes()).await;
        assert_eq!(reply.code, 250, "{reply:?}");
        let mail = site.next().await;
        // We have verified it, and so does whoever gets it.
        let results = fields(&mail.bytes, "Authentication-Results");
        assert!(results[0].contains("dkim=pass"), "{results:?}\n{sent}");
        let held = (DOMAIN.to_owned(), Verdict::Pass);
        assert_eq!(verdicts(&mail.bytes).await, [held], "{sent}");
        assert_eq!(tags(&mail).queue, "support");
    }
    // Once nobody can be asked, the sender is told to come back.
    assert!(!dns.asked().is_empty());
    dns.change(&format!("{DOMAIN} SERVFAIL"));
    let mut client = site.client().await;
    let reply = client.send(ANNA, &[SUPPORT], strictly.as_bytes()).await;
    assert_eq!(reply.code, 451, "{reply:?}");
}
