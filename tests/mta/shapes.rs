//! Envelopes and letters of odd shapes: crowds, giants, and Postfixes that speak older versions.

use crate::support::delivered::{fields, tags};
use crate::support::floor;
use crate::support::postfix;
use crate::support::smtp::Smtp;

use super::site::{ANNA, SUPPORT, Site, bytes, letter, message_id};

#[tokio::test(flavor = "multi_thread")]
async fn three_of_a_thousand() {
    if !postfix::is_here() {
        return;
    }
    let site = Site::open(|_| {}).await;
    let mut to: Vec<String> = (0..997)
        .map(|place| format!("joe{place}@shop.example"))
        .collect();
    to.insert(0, SUPPORT.to_owned());
    to.insert(500, "Sales@shop.example".to_owned());
    to.push("support+last@shop.example".to_owned());
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    let mut client = site.client().await;
    let reply = client.send(ANNA, &to, &bytes(&letter("crowd", ""))).await;
    assert_eq!(reply.code, 250, "{reply:?}");
    let mut reached = 0;
    while reached < to.len() {
        reached += site.next().await.to.len();
    }
    assert_eq!(reached, to.len());
    let filed = site.filed().await;
    let queues: Vec<_> = filed.iter().map(|filed| filed.queue.as_str()).collect();
    assert_eq!(queues, ["sales", "support"]);
    assert!(site.log().contains(" nrcpt=3/997 "), "{}", site.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn giants_are_kept_as_they_are() {
    if !postfix::is_here() {
        return;
    }
    let site = Site::open(|_| {}).await;
    let deep: String = (0..500)
        .map(|depth| format!("Content-Type: multipart/mixed; boundary=b{depth}\n\n--b{depth}\n"))
        .collect();
    let parts = "--b\n\nx\n".repeat(50_000);
    let multipart = "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n";
    let folded = "X-Long: begins\n".to_owned() + &format!(" {}\n", "y".repeat(70)).repeat(800);
    let shapes = [
        ("long-field", folded, String::new()),
        (
            "many-fields",
            "X-Many: one of them\n".repeat(1500),
            String::new(),
        ),
        // Postfix cuts lines that are longer than SMTP allows only on the way out.
        ("long-line", String::new(), "z".repeat(2_000_000) + "\n"),
        ("many-parts", multipart.to_owned(), parts),
        ("deep", "MIME-Version: 1.0\n".to_owned(), deep),
        ("large", String::new(), "0123456789abcdef\n".repeat(200_000)),
    ];
    for (id, extra, body) in &shapes {
        let mut sent = letter(id, extra);
        if *id == "deep" {
            // The parts begin in the header block.
            sent = sent.replace("\n\nWhere is it?", &format!("\n{body}Where is it?"));
        } else {
            sent.push_str(body);
        }
        let mut client = site.client().await;
        let reply = client.send(ANNA, &[SUPPORT], &bytes(&sent)).await;
        assert_eq!(reply.code, 250, "{id}: {reply:?}");
        let mail = site.next().await;
        assert_eq!(fields(&mail.bytes, "Message-ID"), [message_id(id)]);
        assert_eq!(tags(&mail).queue, "support");
        let filed = site.filed().await;
        let ours = message_id(id);
        let ours = filed.iter().find(|filed| ours.contains(&filed.id)).unwrap();
        let stored = floor::stored(&site.settings.socket(), ours).await;
        // Postfix cuts the longest lines into pieces on the way in.
        let lines = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes).into_owned();
            text.replace("\r\n", "")
        };
        assert!(
            lines(&stored) == lines(&bytes(&sent)),
            "{id} is not what was sent"
        );
    }
    site.expect_filed(&shapes.map(|(id, _, _)| id)).await;

    // More fields than anybody could want are refused, and the connection goes on.
    let mut client = site.client().await;
    let many = letter("too-many", &"X: y\n".repeat(10_000));
    let reply = client.send(ANNA, &[SUPPORT], &bytes(&many)).await;
    assert_eq!(reply.code, 552, "{reply:?}");
    let reply = client
        .send(ANNA, &[SUPPORT], &bytes(&letter("next", "")))
        .await;
    assert_eq!(reply.code, 250, "{reply:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn older_versions_of_the_protocol() {
    if !postfix::is_here() {
        return;
    }
    const VERSIONS: [&str; 5] = ["2", "3", "4", "6", "3 no_header_reply"];
    let mut doors = Vec::new();
    let site = Site::open(|plan| {
        for version in VERSIONS {
            let milter = format!("smtpd_milters = {}", plan.postroom);
            // The protocol is Postfix's as a whole, and its smtpd's and its cleanup's to know.
            let protocol = format!("milter_protocol = {version}");
            let name = format!("cleanup{}", version.replace([' ', '_'], ""));
            let cleanup = format!("{name} unix n - n - 0 cleanup");
            plan.postfix.service(&cleanup, &[&protocol]);
            let cleanup = format!("cleanup_service_name = {name}");
            doors.push(plan.postfix.door(&[&milter, &protocol, &cleanup]));
        }
    })
    .await;
    for (version, door) in VERSIONS.iter().zip(doors) {
        let mut client = Smtp::connect(door).await;
        for round in 0..2 {
            let id = format!("v{}-{round}", version.replace([' ', '_'], ""));
            let forged = letter(&id, "X-Postroom-Queue: forged\nX-Fold: one\n\ttwo\n");
            let reply = client.send(ANNA, &[SUPPORT], &bytes(&forged)).await;
            assert_eq!(reply.code, 250, "{version}: {reply:?}");
            let mail = site.next().await;
            assert_eq!(tags(&mail).queue, "support", "{version}");
            let text = String::from_utf8_lossy(&mail.bytes).into_owned();
            // One space, whichever side puts it in.
            assert!(text.contains("\r\nX-Postroom-Queue: support\r\n"), "{text}");
            let filed = site.filed().await;
            let ours = filed
                .iter()
                .find(|filed| filed.id.starts_with(&id))
                .unwrap();
            let stored = floor::stored(&site.settings.socket(), ours).await;
            assert_eq!(stored, bytes(&forged), "{version}");
            let reply = client
                .send(ANNA, &["joe@shop.example"], &bytes(&forged))
                .await;
            assert_eq!(reply.code, 250, "{version}: {reply:?}");
            site.next().await;
        }
    }
    assert_eq!(site.filed().await.len(), 2 * VERSIONS.len());
}
