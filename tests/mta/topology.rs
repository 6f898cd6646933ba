//! Postroom among the other parts of a mail server: filters before and behind it, content filters
//! and proxies, mail from the machine itself, and what an operator may set.

use std::fs;

use crate::support::delivered::{fields, is_untouched, tags};
use crate::support::filter::Filter;
use crate::support::postfix;
use crate::support::smtp::Smtp;
use crate::support::tap::Side;

use super::site::{ANNA, SUPPORT, Site, bytes, letter, message_id};

/// Largest message of the gateway in the test of sizes, in bytes, header block included.
const OURS_MAX: usize = 50_000;

/// Sends Anna's letter through a door.
async fn send(port: u16, id: &str) -> u16 {
    let mut client = Smtp::connect(port).await;
    let reply = client.send(ANNA, &[SUPPORT], &bytes(&letter(id, ""))).await;
    client.say("QUIT").await;
    reply.code
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_other_filters() {
    if !postfix::is_here() {
        return;
    }
    let other = Filter::start().await;
    let [mut before, mut behind, mut nobody] = [0; 3];
    let site = Site::open(|plan| {
        let (ours, theirs) = (plan.postroom.clone(), other.address());
        let postfix = &mut plan.postfix;
        before = postfix.door(&[&format!("smtpd_milters = {theirs}, {ours}")]);
        behind = postfix.door(&[&format!("smtpd_milters = {ours}, {theirs}")]);
        nobody = postfix.door(&["smtpd_milter_maps = static:DISABLE"]);
    })
    .await;

    // In front: what it does not want, we do not see. Even what it quarantines, although the
    // client is told yes.
    for (id, says, code) in [
        ("before-rejects", &[(b'r', &b""[..])][..], 550),
        ("before-defers", &[(b't', &b""[..])][..], 451),
        ("before-discards", &[(b'd', &b""[..])][..], 250),
        (
            "before-holds",
            &[(b'q', &b"odd\0"[..]), (b'a', b"")][..],
            250,
        ),
    ] {
        other.say(says);
        assert_eq!(send(before, id).await, code, "{id}");
    }
    site.expect_filed(&[]).await;
    other.say(&[(b'a', b"")]);
    assert_eq!(send(before, "before-accepts").await, 250);
    assert_eq!(tags(&site.next().await).queue, "support");

    // Behind: a letter that it refuses is our work already, which is why we have to be the last.
    // If it is tried again it is the same work.
    other.say(&[(b't', b"")]);
    assert_eq!(send(behind, "behind").await, 451);
    assert_eq!(send(behind, "behind").await, 451);
    other.say(&[(b'a', b"")]);
    assert_eq!(send(behind, "behind").await, 250);
    assert_eq!(tags(&site.next().await).queue, "support");
    other.say(&[(b'r', b"")]);
    assert_eq!(send(behind, "behind-rejects").await, 550);

    let before = site.tap.connections();
    assert_eq!(send(nobody, "unseen").await, 250);
    assert!(is_untouched(&site.next().await));
    assert_eq!(site.tap.connections(), before);
    site.expect_filed(&["before-accepts", "behind", "behind-rejects"])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_postfix_does_after_us() {
    if !postfix::is_here() {
        return;
    }
    let [mut checked, mut tight, mut again, mut through, mut quietly] = [0; 5];
    let site = Site::open(|plan| {
        plan.settings.message_bytes_max = OURS_MAX as u64;
        let postfix = &mut plan.postfix;
        let checks = postfix.folder().join("checks");
        fs::write(&checks, "/^X-Postroom-Case:/ REJECT not with a case\n").unwrap();
        let checks = format!("milter_header_checks = regexp:{}", checks.display());
        let cleanup = "unix n - n - 0 cleanup";
        postfix.service(&format!("checking {cleanup}"), &[&checks]);
        checked = postfix.door(&["cleanup_service_name = checking"]);
        // What README asks for, to the byte.
        let room = format!("message_size_limit = {}", OURS_MAX + 8192);
        postfix.service(&format!("tight {cleanup}"), &[&room]);
        tight = postfix.door(&["cleanup_service_name = tight", &room]);

        again = postfix.door(&["content_filter ="]);
        let silent = "receive_override_options = no_milters";
        let silent = postfix.door(&["content_filter =", silent]);
        let filter = |port| format!("content_filter = smtp:[127.0.0.1]:{port}");
        through = postfix.door(&[&filter(again)]);
        quietly = postfix.door(&[&filter(silent)]);
    })
    .await;

    // A letter comes back from a content filter: the same letter, whether we are asked or not.
    for (door, id) in [(through, "through"), (quietly, "quietly")] {
        assert_eq!(send(door, id).await, 250);
        let mail = site.next().await;
        assert_eq!(fields(&mail.bytes, "Message-ID"), [message_id(id)]);
        assert_eq!(tags(&mail).queue, "support");
    }
    assert_eq!(site.log().matches(" dup=1 ").count(), 1);

    // An operator's rule against our own field: the client is refused what we have filed.
    assert_eq!(send(checked, "checked").await / 100, 5);

    // The largest letter that is ours still has room for its tags; the next is refused by us.
    let sized = |id: &str, size: usize| {
        let mut message = bytes(&letter(id, ""));
        while message.len() + 80 < size {
            message.extend_from_slice(&[b'.'; 68]);
            message.extend_from_slice(b"\r\n");
        }
        message.extend(vec![b'.'; size - message.len() - 2]);
        message.extend_from_slice(b"\r\n");
        assert_eq!(message.len(), size);
        message
    };
    let mut client = Smtp::connect(tight).await;
    for (id, size, code) in [("full", OURS_MAX, 250), ("over", OURS_MAX + 1, 552)] {
        let reply = client.send(ANNA, &[SUPPORT], &sized(id, size)).await;
        assert_eq!(reply.code, code, "{id}: {reply:?}");
    }
    assert_eq!(tags(&site.next().await).queue, "support");
    site.expect_filed(&["through", "quietly", "checked", "full"])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_the_client_is() {
    if !postfix::is_here() {
        return;
    }
    let [mut proxied, mut filtered] = [0; 2];
    let site = Site::open(|plan| {
        let postfix = &mut plan.postfix;
        proxied = postfix.door(&["smtpd_upstream_proxy_protocol = haproxy"]);
        let inner = postfix.door(&["smtpd_milters ="]);
        filtered = postfix.door(&[&format!("smtpd_proxy_filter = 127.0.0.1:{inner}")]);
        let forwards = "smtpd_authorized_xforward_hosts = 127.0.0.1\n";
        postfix.main_cf.push_str(forwards);
    })
    .await;
    // The address in what Postfix said of the client last: after the name, family and port.
    let client = || {
        let seen = site.tap.seen();
        let connect = (seen.iter().rev())
            .find(|seen| seen.side == Side::Mta && seen.frame.code == b'C')
            .unwrap();
        let data = connect.frame.data.strip_suffix(b"\0").unwrap();
        let name_len = data.iter().position(|&byte| byte == 0).unwrap();
        let family = char::from(data[name_len + 1]);
        let address = data.get(name_len + 4..).unwrap_or_default();
        format!("{family} {}", String::from_utf8_lossy(address))
    };

    // XCLIENT begins a new conversation with the filter, in mid-session.
    for (attributes, shown) in [
        ("NAME=mail.customer.example ADDR=192.0.2.9", "4 192.0.2.9"),
        ("NAME=[UNAVAILABLE] ADDR=[UNAVAILABLE]", "4 unknown"),
    ] {
        let before = site.tap.connections();
        let mut xclient = site.client().await;
        let reply = xclient.say(&format!("XCLIENT {attributes}")).await;
        assert_eq!(reply.code, 220, "{attributes}: {reply:?}");
        xclient.say("EHLO client.example").await;
        let id = shown.replace(' ', "-");
        let message = bytes(&letter(&id, ""));
        assert_eq!(xclient.send(ANNA, &[SUPPORT], &message).await.code, 250);
        assert_eq!(client(), shown);
        assert_eq!(site.tap.connections(), before + 2);
        assert_eq!(tags(&site.next().await).queue, "support");
    }

    // XFORWARD is for the log.
    let mut xforward = site.client().await;
    let reply = xforward.say("XFORWARD NAME=x.example ADDR=192.0.2.8").await;
    assert_eq!(reply.code, 250, "{reply:?}");
    let message = bytes(&letter("xforward", ""));
    assert_eq!(xforward.send(ANNA, &[SUPPORT], &message).await.code, 250);
    assert_eq!(client(), "4 127.0.0.1");

    // A proxy before Postfix tells who is before the proxy.
    let header = b"PROXY TCP4 192.0.2.10 127.0.0.1 4321 25\r\n";
    let mut behind = Smtp::connect_with(proxied, header).await;
    behind.say("EHLO client.example").await;
    let message = bytes(&letter("proxy", ""));
    assert_eq!(behind.send(ANNA, &[SUPPORT], &message).await.code, 250);
    assert_eq!(client(), "4 192.0.2.10");

    // A proxy behind Postfix, before its queue, leaves a filter with nothing to see: letters for a
    // queue would pass by.
    let mut client = Smtp::connect(filtered).await;
    let message = bytes(&letter("empty", ""));
    let reply = client.send(ANNA, &[SUPPORT], &message).await;
    assert_eq!(reply.code, 451, "{reply:?}");
    assert!(reply.text.contains("smtpd_proxy_filter"), "{reply:?}");
    let reply = client.send(ANNA, &["joe@shop.example"], &message).await;
    assert_eq!(reply.code, 250, "{reply:?}");
    let filed = site.filed().await;
    assert_eq!(filed.len(), 4, "{filed:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_from_the_machine_itself() {
    if !postfix::is_here() {
        return;
    }
    let [mut open, mut holding] = [0; 2];
    let mut site = Site::open(|plan| {
        let ours = plan.postroom.clone();
        let postfix = &mut plan.postfix;
        postfix.main_cf.push_str(&format!(
            "non_smtpd_milters = {ours}\n\
             internal_mail_filter_classes = bounce\n\
             message_size_limit = 200000\n\
             transport_maps = inline:{{ {{later@shop.example=error:5.1.1 no such person}} }}\n"
        ));
        plan.settings.message_bytes_max = 100_000;
        let action = |action| format!("smtpd_milters = {{ {ours}, default_action={action} }}");
        open = postfix.door(&[&action("accept")]);
        holding = postfix.door(&[&action("quarantine")]);
    })
    .await;
    let sendmail = |site: &Site, from: &str, to: &str, text: &str| {
        site.postfix
            .command("sendmail", &["-f", from, to], text.as_bytes());
    };

    // sendmail(1): no HELO, no brackets, a client without a port.
    sendmail(&site, ANNA, SUPPORT, &letter("sendmail", ""));
    assert_eq!(tags(&site.next().await).queue, "support");
    sendmail(&site, "", SUPPORT, &letter("null", ""));
    let mail = site.next().await;
    assert_eq!(
        (mail.from.as_str(), tags(&mail).queue.as_str()),
        ("", "support")
    );

    // A bounce of Postfix's own, to one of our addresses.
    sendmail(&site, SUPPORT, "later@shop.example", &letter("bounced", ""));
    let bounce = site.next().await;
    assert_eq!(
        (bounce.from.as_str(), bounce.to.as_slice()),
        ("", &[SUPPORT.to_owned()][..])
    );
    assert_eq!(tags(&bounce).queue, "support");

    // A letter that we refuse for good makes a bounce while our verdict is still being read: a
    // second conversation inside the first.
    let large = letter("large", "") + &"yes, no, perhaps\n".repeat(8000);
    sendmail(&site, SUPPORT, SUPPORT, &large);
    let bounce = site.next().await;
    assert_eq!(tags(&bounce).queue, "support");
    assert!(bounce.from.is_empty(), "{bounce:?}");

    // While we are away two doors let mail in: one past us, one onto a pile that nobody looks at.
    // Bounces are kept, and are nobody's work.
    let filed = site.filed().await;
    assert_eq!(filed.len(), 2, "{filed:#?}");
    site.kill();
    assert_eq!(send(open, "open").await, 250);
    assert!(is_untouched(&site.next().await));
    assert_eq!(send(holding, "held").await, 250);
    site.start().await;
    // Put into the queue anew it is delivered, and Postfix does not show it to any filter
    // (postsuper(1), -r). It waits there for the next letter to come by.
    site.postfix.command("postsuper", &["-r", "ALL"], b"");
    sendmail(&site, ANNA, SUPPORT, &letter("waker", ""));
    for _ in 0..2 {
        let mail = site.next().await;
        let held = fields(&mail.bytes, "Message-ID") == [message_id("held")];
        assert_eq!(is_untouched(&mail), held, "{mail:?}");
    }

    // Nobody answers the sender of what was put off: it stays where it is, and is tried again
    // under another queue id.
    let stopped = site.tap.hold(Side::Filter, b'i', 0);
    let nameless = format!("From: {ANNA}\nTo: {SUPPORT}\nSubject: nameless\n\nDisk is full.\n");
    sendmail(&site, ANNA, SUPPORT, &nameless);
    let held = stopped.come().await;
    site.kill();
    drop(held);
    site.start().await;
    sendmail(&site, ANNA, SUPPORT, &letter("next", ""));
    let both = [site.next().await, site.next().await];
    assert_ne!(tags(&both[0]), tags(&both[1]));

    let filed = site.filed().await;
    let count = |wanted: &str| filed.iter().filter(|filed| filed.subject == wanted).count();
    assert_eq!(count("nameless"), 1, "{filed:#?}");
    assert_eq!(filed.len(), 5, "{filed:#?}");
}
