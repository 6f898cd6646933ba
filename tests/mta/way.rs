//! Letters on the whole way: in through Postfix, to an agent, and the answers out again.

use postroom::grpc::pb;
use postroom::grpc::pb::session_event::Payload;

use super::site::{ANNA, SUPPORT, Site, bytes, letter};
use crate::support::agent::{self, Agent};
use crate::support::delivered::{fields, is_untouched, tags};
use crate::support::gateway::Gateway;
use crate::support::postfix;

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_to_a_queue_carries_its_tags() {
    if !postfix::is_here() {
        return;
    }
    let site = Site::open(|_| {}).await;
    let forged = "X-Postroom-Queue: sales\nx-postroom-case: 1\nX-POSTROOM-Case: 2\n\
                  X-Postroom-Interaction: 3\nX-Postroom-Case: 4\n";
    let mail = site.deliver(ANNA, &[SUPPORT], &letter("1", forged)).await;
    let tags = tags(&mail);
    assert_eq!(tags.queue, "support");
    assert!(!["1", "2", "4"].contains(&tags.case.as_str()), "{tags:?}");
    assert_ne!(tags.interaction, "3");
    assert_eq!(mail.from, ANNA);
    assert_eq!(mail.to, [SUPPORT]);
    // Everything else is as it was sent.
    let rest = mail.bytes.windows(6).position(|bytes| bytes == b"From: ");
    let sent = bytes(&letter("1", ""));
    assert_eq!(mail.bytes.slice(rest.unwrap()..), sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_to_nobodys_queue_passes_untouched() {
    if !postfix::is_here() {
        return;
    }
    let site = Site::open(|_| {}).await;
    // What claims to be ours stays as well: nobody reads it where this letter goes.
    let sent = letter("1", "X-Postroom-Case: 1\n");
    let mail = site.deliver(ANNA, &["joe@shop.example"], &sent).await;
    assert_eq!(fields(&mail.bytes, "X-Postroom-Case"), ["1"]);
    let mail = site
        .deliver(ANNA, &["joe@shop.example"], &letter("2", ""))
        .await;
    assert!(is_untouched(&mail));
    let log = site.gateway.as_ref().unwrap().log();
    assert!(!log.contains("verdict="), "it was read: {log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_letter_to_two_queues_and_to_others() {
    if !postfix::is_here() {
        return;
    }
    let site = Site::open(|_| {}).await;
    let to = [
        "joe@shop.example",
        "Support+order-7@SHOP.example",
        "sales@shop.example",
    ];
    // Joe's copy is the same as theirs, and where a letter was filed is none of his business.
    let mail = site.deliver(ANNA, &to, &letter("1", "")).await;
    assert!(is_untouched(&mail), "{mail:?}");
    let filed = site.filed().await;
    let queues: Vec<_> = filed.iter().map(|filed| filed.queue.as_str()).collect();
    assert_eq!(queues, ["sales", "support"]);
    assert_eq!(filed[0].case, filed[1].case);
    // Nobody is left out, however Postfix groups the recipients.
    let mut reached: Vec<_> = mail.to.iter().map(|to| to.to_lowercase()).collect();
    while reached.len() < to.len() {
        let more = site.next().await;
        reached.extend(more.to.iter().map(|to| to.to_lowercase()));
    }
    reached.sort();
    let mut to = to.map(str::to_lowercase);
    to.sort();
    assert_eq!(reached, to);

    let to = ["Support+order-7@SHOP.example", "sales@shop.example"];
    let both = tags(&site.deliver(ANNA, &to, &letter("2", "")).await);
    assert_eq!(both.queue, "support, sales");
    assert_eq!(both.interaction.split(", ").count(), 2);
    assert_eq!(both.case.split(", ").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_postroom_is_gone_the_client_waits() {
    if !postfix::is_here() {
        return;
    }
    let mut site = Site::open(|_| {}).await;
    let sent = bytes(&letter("1", ""));
    let mut before = site.client().await;
    // A connection that has seen the filter, and one that has not.
    before.say("NOOP").await;
    site.gateway.take().unwrap().kill();
    let mut after = site.client().await;
    for client in [&mut before, &mut after] {
        let reply = client.send(ANNA, &[SUPPORT], &sent).await;
        assert_eq!(reply.code / 100, 4, "{reply:?}");
    }
    site.gateway = Some(Gateway::start(&site.settings).await);
    let mut client = site.client().await;
    assert_eq!(client.send(ANNA, &[SUPPORT], &sent).await.code, 250);
    assert_eq!(tags(&site.next().await).queue, "support");
    assert_eq!(site.sink.received().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_makes_no_second_interaction() {
    if !postfix::is_here() {
        return;
    }
    let mut site = Site::open(|_| {}).await;
    let sent = bytes(&letter("1", ""));
    let mut client = site.client().await;
    assert_eq!(client.offer(ANNA, &[SUPPORT]).await.code, 354);
    client.put_message(&sent).await;
    // The client is gone before it hears that its letter was taken.
    drop(client);
    let first = tags(&site.next().await);

    let mut client = site.client().await;
    assert_eq!(client.send(ANNA, &[SUPPORT], &sent).await.code, 250);
    assert_eq!(tags(&site.next().await), first);

    // The same after a crash in between.
    site.gateway.take().unwrap().kill();
    site.gateway = Some(Gateway::start(&site.settings).await);
    let mut client = site.client().await;
    assert_eq!(client.send(ANNA, &[SUPPORT], &sent).await.code, 250);
    assert_eq!(tags(&site.next().await), first);

    let other = site.deliver(ANNA, &[SUPPORT], &letter("2", "")).await;
    assert_ne!(tags(&other).interaction, first.interaction);
}

#[tokio::test(flavor = "multi_thread")]
async fn large_letters_pass_and_too_large_ones_do_not() {
    if !postfix::is_here() {
        return;
    }
    let site = Site::open(|plan| plan.settings.message_bytes_max = 4_000_000).await;
    let of_size = |id: &str, lines: usize| {
        let mut text = letter(id, "");
        let line = ".".repeat(69) + "\n";
        text.extend(std::iter::repeat_n(line.as_str(), lines));
        text
    };
    let sent = of_size("1", 50_000);
    let mail = site.deliver(ANNA, &[SUPPORT], &sent).await;
    assert_eq!(tags(&mail).queue, "support");
    assert!(mail.bytes.ends_with(&bytes(&sent)));

    let too_large = bytes(&of_size("2", 60_000));
    let mut client = site.client().await;
    let reply = client.send(ANNA, &[SUPPORT], &too_large).await;
    assert_eq!(reply.code, 552, "{reply:?}");
    // The connection goes on, and so does mail that is none of ours, of any size.
    let reply = client.send(ANNA, &["joe@shop.example"], &too_large).await;
    assert_eq!(reply.code, 250, "{reply:?}");
    assert!(is_untouched(&site.next().await));
    assert!(site.gateway.unwrap().stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_is_answered_and_the_customer_writes_back() {
    if !postfix::is_here() {
        return;
    }
    let site = Site::open(|plan| {
        let (_, addresses) = &mut plan.settings.queues[0];
        addresses.push("help@shop.example");
    })
    .await;
    agent::hire(&site.settings.socket(), "bert", &["support"]).await;
    let mut bert = Agent::sign_in(site.settings.control(), "bert")
        .await
        .unwrap();

    let first = tags(&site.deliver(ANNA, &[SUPPORT], &letter("1", "")).await);
    let interaction = bert.accept().await.unwrap();
    assert_eq!(
        interaction.name,
        format!("interactions/{}", first.interaction)
    );
    assert_eq!(interaction.main_number, first.case);
    assert_eq!(interaction.customer.unwrap().address, ANNA);

    let reply = pb::SendReplyRequest {
        name: interaction.name.clone(),
        from_address: "help@shop.example".to_owned(),
        text_body: "On its way.\n.\nYours, Bert\n".to_owned(),
        request_id: "a6d9b5ac-4f6c-4d3f-8d0e-0f9f4a1f0001".to_owned(),
        ..pb::SendReplyRequest::default()
    };
    let sent = bert.reply(reply).await.unwrap();
    let ours = sent.message.unwrap();
    let mail = site.next().await;
    assert_eq!(mail.to, [ANNA]);
    // The return path knows the letter again, should it bounce.
    let (mailbox, domain) = mail.from.split_once('@').unwrap();
    assert_eq!(domain, "shop.example");
    assert!(mailbox.starts_with("help+"), "{}", mail.from);
    let field = |name| fields(&mail.bytes, name);
    assert_eq!(field("Subject"), ["Re: My order"]);
    assert_eq!(field("In-Reply-To"), ["<1@customer.example>"]);
    assert_eq!(field("References"), ["<1@customer.example>"]);
    assert!(
        field("From")[0].contains("<help@shop.example>"),
        "{:?}",
        field("From")
    );
    let message_id = field("Message-ID").remove(0);
    assert_eq!(
        message_id.trim_matches(['<', '>']),
        ours.internet_message_id.trim_matches(['<', '>'])
    );
    let text = String::from_utf8_lossy(&mail.bytes).into_owned();
    assert!(
        text.contains("On its way.\r\n.\r\nYours, Bert\r\n"),
        "{text}"
    );
    // Postfix's word is kept.
    let queue_id = bert
        .event(|payload| match payload {
            Payload::DeliveryUpdated(updated) => {
                let delivery = updated.delivery?;
                (delivery.state() == pb::DeliveryState::Confirmed)
                    .then_some(delivery.remote_queue_id)
            }
            _ => None,
        })
        .await
        .unwrap();
    assert!(site.postfix.log().contains(&format!(" {queue_id}: ")));

    // Bert is done, and Anna is not.
    let answer = format!(
        "From: Anna <{ANNA}>\nTo: help@shop.example\nSubject: Re: My order\n\
         Message-ID: <2@customer.example>\nIn-Reply-To: {message_id}\n\
         References: <1@customer.example> {message_id}\n\nThank you!\n"
    );
    let second = tags(&site.deliver(ANNA, &["help@shop.example"], &answer).await);
    assert_eq!(second.case, first.case);
    assert_eq!(second.queue, "support");
    let interaction = bert.accept().await.unwrap();
    assert_eq!(interaction.main_number, first.case);
    let ended = bert.end(&interaction.name, "a6d9b5ac-4f6c-4d3f-8d0e-0f9f4a1f0003");
    let ended = ended.await.unwrap();
    assert_eq!(ended.state(), pb::InteractionState::Closed);
    // Somebody else with the same Message-ID in hand opens a case of their own.
    let stranger = answer
        .replace(ANNA, "eve@elsewhere.example")
        .replace("<2@", "<3@");
    let to = ["help@shop.example"];
    let third = tags(&site.deliver("eve@elsewhere.example", &to, &stranger).await);
    assert_ne!(third.case, first.case);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_waits_for_postfix() {
    if !postfix::is_here() {
        return;
    }
    let site = Site::open(|_| {}).await;
    agent::hire(&site.settings.socket(), "bert", &["support"]).await;
    let mut bert = Agent::sign_in(site.settings.control(), "bert")
        .await
        .unwrap();
    site.deliver(ANNA, &[SUPPORT], &letter("1", "")).await;
    let interaction = bert.accept().await.unwrap();

    site.postfix.stop();
    let reply = pb::SendReplyRequest {
        name: interaction.name,
        text_body: "On its way.".to_owned(),
        request_id: "a6d9b5ac-4f6c-4d3f-8d0e-0f9f4a1f0002".to_owned(),
        ..pb::SendReplyRequest::default()
    };
    bert.reply(reply).await.unwrap();
    let in_state = |wanted| {
        move |payload| match payload {
            Payload::DeliveryUpdated(updated) => {
                let state = updated.delivery.as_ref()?.state();
                (state == wanted).then_some(updated.message)
            }
            _ => None,
        }
    };
    let deferred = in_state(pb::DeliveryState::Deferred);
    let message = bert.event(deferred).await.unwrap();

    site.postfix.start();
    // The first retry is due after a quarter of a minute.
    let mail = site.next().await;
    assert_eq!(mail.to, [ANNA]);
    assert_eq!(fields(&mail.bytes, "In-Reply-To"), ["<1@customer.example>"]);
    let confirmed = in_state(pb::DeliveryState::Confirmed);
    assert_eq!(bert.event(confirmed).await.unwrap(), message);
    assert_eq!(site.sink.received().len(), 2);
}
