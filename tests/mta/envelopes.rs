//! Envelopes as Postfix makes them: recipients that it refuses or sends elsewhere, clients that it
//! knows, and messages that come in chunks.

use crate::support::delivered::{is_untouched, tags};
use crate::support::floor;
use crate::support::postfix;
use crate::support::smtp::Smtp;
use crate::support::tap::Side;

use super::site::{ANNA, SUPPORT, Site, bytes, letter, message_id};

/// What Postfix said on the newest connection, by the codes, without macros and repetitions.
fn said(site: &Site) -> String {
    let newest = site.tap.connections() - 1;
    let mut codes = String::new();
    for seen in site.tap.seen() {
        let code = char::from(seen.frame.code);
        let counts = seen.connection == newest && seen.side == Side::Mta && code != 'D';
        if counts && !codes.ends_with(code) {
            codes.push(code);
        }
    }
    codes
}

#[tokio::test(flavor = "multi_thread")]
async fn recipients_that_postfix_sees_otherwise() {
    if !postfix::is_here() {
        return;
    }
    let mut strict = 0;
    let site = Site::open(|plan| {
        let alias = ("alias", vec!["alias@shop.example"]);
        plan.settings.queues.push(alias);
        let postfix = &mut plan.postfix;
        postfix.main_cf.push_str(
            "virtual_alias_maps = inline:{ {alias@shop.example=joe@shop.example}, \
             {service@shop.example=support@shop.example} }\n",
        );
        strict = postfix.door(&["smtpd_recipient_restrictions = \
             check_recipient_access inline:{ {sales@shop.example=REJECT} }, permit_mynetworks, reject"]);
    })
    .await;

    // Whom Postfix refuses we are not shown, and the letter goes on without.
    let mut client = Smtp::connect(strict).await;
    client.say(&format!("MAIL FROM:<{ANNA}>")).await;
    assert_eq!(client.say("RCPT TO:<sales@shop.example>").await.code, 554);
    assert_eq!(client.say(&format!("RCPT TO:<{SUPPORT}>")).await.code, 250);
    assert_eq!(client.say("DATA").await.code, 354);
    client.put_message(&bytes(&letter("refused", ""))).await;
    assert_eq!(client.reply().await.code, 250);
    assert_eq!(tags(&site.next().await).queue, "support");

    // A letter is the queue's that the client wrote to, whoever gets Postfix's copy.
    let aliased = letter("alias", "");
    let mail = site.deliver(ANNA, &["alias@shop.example"], &aliased).await;
    assert_eq!(tags(&mail).queue, "alias");
    assert_eq!(mail.to, ["joe@shop.example"]);

    // Of a letter that is nobody's here we are shown no content; the next one on the connection is
    // a letter like any other.
    let mut client = site.client().await;
    let service = bytes(&letter("service", ""));
    let reply = client.send(ANNA, &["service@shop.example"], &service).await;
    assert_eq!(reply.code, 250, "{reply:?}");
    let mail = site.next().await;
    assert!(is_untouched(&mail), "{mail:?}");
    assert_eq!(mail.to, [SUPPORT]);
    assert_eq!(said(&site), "OCHMRT");
    let message = bytes(&letter("next", ""));
    let reply = client.send(ANNA, &[SUPPORT], &message).await;
    assert_eq!(reply.code, 250, "{reply:?}");
    assert_eq!(tags(&site.next().await).queue, "support");
    let heard = said(&site).replace('A', "");
    assert!(heard.starts_with("OCHMRTMRTLNBE"), "{heard}");
    site.expect_filed(&["refused", "alias", "next"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_logged_in_is_told_by_postfix_alone() {
    if !postfix::is_here() {
        return;
    }
    let site = Site::open(|_| {}).await;
    // In the name of a queue: a colleague's mail program, or a letter of ours that went in a circle.
    let own = |id: &str| letter(id, "").replace("Anna <anna@customer.example>", SUPPORT);
    for (id, login, kind) in [
        ("colleague", "XCLIENT ADDR=192.0.2.7 LOGIN=carla", "human"),
        ("circle", "XCLIENT ADDR=192.0.2.7", "own-loop"),
    ] {
        let mut client = site.client().await;
        assert_eq!(client.say(login).await.code, 220);
        client.say("EHLO client.example").await;
        for round in 0..2 {
            let forged = own(&format!("{id}{round}"));
            let forged = forged.replace("Subject", "X-Auth-Authen: carla\nSubject");
            let reply = client.send(SUPPORT, &[SUPPORT], &bytes(&forged)).await;
            assert_eq!(reply.code, 250, "{reply:?}");
            site.next().await;
            let log = site.log();
            let line = log.lines().rfind(|line| line.contains(" verdict=accept "));
            let wanted = format!(" kind={kind} ");
            assert!(line.unwrap().contains(&wanted), "{id}: {line:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_in_chunks() {
    if !postfix::is_here() {
        return;
    }
    let site = Site::open(|_| {}).await;
    let mut client = site.client().await;
    for (id, cuts) in [
        ("whole", &[][..]),
        ("header", &[3, 40, 41][..]),
        ("body", &[90, 150, 151][..]),
    ] {
        let message = bytes(&letter(id, "X-Folded: one\n two\n"));
        client.say(&format!("MAIL FROM:<{ANNA}>")).await;
        client.say(&format!("RCPT TO:<{SUPPORT}>")).await;
        let mut rest = &message[..];
        let mut sent = 0;
        for cut in cuts {
            let (chunk, tail) = rest.split_at(cut - sent);
            client
                .put(format!("BDAT {}\r\n", chunk.len()).as_bytes())
                .await;
            client.put(chunk).await;
            assert_eq!(client.reply().await.code, 250);
            (rest, sent) = (tail, *cut);
        }
        client
            .put(format!("BDAT {} LAST\r\n", rest.len()).as_bytes())
            .await;
        client.put(rest).await;
        let reply = client.reply().await;
        assert_eq!(reply.code, 250, "{reply:?}");
        assert_eq!(tags(&site.next().await).queue, "support");
        let filed = site.filed().await;
        let ours = filed
            .iter()
            .find(|filed| message_id(id).contains(&filed.id));
        let stored = floor::stored(&site.settings.socket(), ours.unwrap()).await;
        assert_eq!(stored, message, "{id}");
    }
    site.expect_filed(&["whole", "header", "body"]).await;

    // Half a message is none.
    client.say(&format!("MAIL FROM:<{ANNA}>")).await;
    client.say(&format!("RCPT TO:<{SUPPORT}>")).await;
    client.put(b"BDAT 13\r\nSubject: half").await;
    assert_eq!(client.reply().await.code, 250);
    assert_eq!(client.say("RSET").await.code, 250);
    let message = bytes(&letter("after", ""));
    let reply = client.send(ANNA, &[SUPPORT], &message).await;
    assert_eq!(reply.code, 250, "{reply:?}");
    site.next().await;
    site.expect_filed(&["whole", "header", "body", "after"])
        .await;
}
