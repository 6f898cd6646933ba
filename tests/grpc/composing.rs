//! What agents write, over the wire: to whom, from whom, in which form, and what is refused.

use postroom::content::Content;
use postroom::desk::{
    Command, Correspondent, FromAddress, Handling, HouseRules, Mailbox, Outgoing, Refusal,
};
use postroom::engine::EngineError;
use postroom::grpc::pb;
use postroom::grpc::pb::from_address_service_client::FromAddressServiceClient;
use postroom::grpc::pb::interaction_service_client::InteractionServiceClient;
use postroom::mail::trust::Trust;
use tonic::Code;
use tonic::transport::Channel;

use super::gateway::{Gateway, by, queues, refused};
use super::mails::{address, bytes};
use super::refusals::at_work;
use super::verbs::accept;

/// A letter to several, some of whom are us, with a picture and two files.
const LETTER: &str = "From: Carla <carla@customer.example>\r\n\
    To: Support <support@shop.example>, support+r123@shop.example, otto@customer.example\r\n\
    Cc: OTTO@customer.example, Pia <pia@partner.example>, sales-eu@shop.example,\r\n\
    \x20Carla <carla@customer.example>\r\n\
    Subject: Re: Lamp [Case 5724]\r\n\
    Message-ID: <l1@customer.example>\r\nIn-Reply-To: <l0@shop.example>\r\n\
    MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=m\r\n\r\n\
    --m\r\nContent-Type: multipart/alternative; boundary=a\r\n\r\n\
    --a\r\nContent-Type: text/plain\r\n\r\nIt flickers.\r\n\r\n> Does it work?\r\n\r\n\
    --a\r\nContent-Type: text/html\r\n\r\n<p onclick=x>It <b>flickers</b>.</p>\
    <blockquote type=cite>Does it work?</blockquote><script>x()</script>\r\n\
    --a--\r\n\
    --m\r\nContent-Type: application/pdf; name=one.pdf\r\n\r\nfirst file\r\n\
    --m\r\nContent-Type: text/csv; name=two.csv\r\n\
    Content-Disposition: attachment\r\n\r\nsecond;file\r\n\
    --m--\r\n";

/// A gateway where Anna has taken the letter up.
struct Desk {
    gateway: Gateway,
    anna: String,
    name: String,
    interactions: InteractionServiceClient<Channel>,
    _stream: tonic::Streaming<pb::WatchSessionResponse>,
}

impl Desk {
    async fn with(raw: &str, trust: Trust) -> Self {
        let gateway = Gateway::start().await;
        gateway.agent("anna", &["support"]).await;
        let (anna, stream) = at_work(&gateway, "anna").await;
        let raw = raw.as_bytes().to_vec();
        gateway
            .arrives_judged("support", raw, Handling::default(), trust)
            .await;
        let name = accept(&gateway, &anna).await;
        let interactions = InteractionServiceClient::new(gateway.remote.clone());
        Self {
            gateway,
            anna,
            name,
            interactions,
            _stream: stream,
        }
    }

    fn reply(&self) -> pb::SendReplyRequest {
        pb::SendReplyRequest {
            name: self.name.clone(),
            text_body: "We will look.".to_owned(),
            request_id: "r".to_owned(),
            ..pb::SendReplyRequest::default()
        }
    }

    fn forward(&self) -> pb::ForwardInteractionRequest {
        pb::ForwardInteractionRequest {
            name: self.name.clone(),
            to: vec![address("expert@elsewhere.example")],
            text_body: "Can you help?".to_owned(),
            request_id: "f".to_owned(),
            ..pb::ForwardInteractionRequest::default()
        }
    }

    /// Sends a reply; to whom it went, and its bytes.
    async fn replied(&mut self, reply: pb::SendReplyRequest) -> (Vec<String>, String) {
        let sent = self.interactions.send_reply(by(&self.anna, reply)).await;
        let message = sent.unwrap().into_inner().message.unwrap();
        let written = bytes(&self.gateway, &self.anna, &message.name).await;
        (message.recipients, written)
    }

    async fn forwarded(&mut self, forward: pb::ForwardInteractionRequest) -> String {
        let sent = (self.interactions)
            .forward_interaction(by(&self.anna, forward))
            .await;
        let message = sent.unwrap().into_inner().message.unwrap();
        bytes(&self.gateway, &self.anna, &message.name).await
    }
}

#[tokio::test]
async fn an_answer_to_all_goes_to_each_once_and_never_to_us() {
    let mut desk = Desk::with(LETTER, Trust::A).await;
    let reply = pb::SendReplyRequest {
        reply_all: true,
        bcc: vec![address("boss@shop.test"), address("pia@partner.example")],
        cc: vec![address("new@partner.example")],
        include_original: true,
        ..desk.reply()
    };
    let (recipients, written) = desk.replied(reply).await;
    assert_eq!(
        recipients,
        [
            "carla@customer.example",
            "new@partner.example",
            "otto@customer.example",
            "boss@shop.test",
            "pia@partner.example",
        ]
    );
    // Whom the agent copies in secret is not named because the letter named them.
    let visible = "\r\nTo: Carla <carla@customer.example>\r\n\
                   Cc: new@partner.example,\r\n otto@customer.example\r\nReply-To: ";
    assert!(written.contains(visible), "{written}");
    assert!(!written.contains("pia@partner.example"), "{written}");
    assert!(!written.contains("boss@shop.test"), "{written}");
    assert!(!written.to_lowercase().contains("bcc"), "{written}");
    assert!(written.contains("\r\nSubject: Re: Lamp [Case 5724]\r\n"));
    // Somebody is new to the conversation, and sees the last letter only.
    assert!(written.contains("> It flickers."), "{written}");
    assert!(!written.contains("Does it work?"), "{written}");
}

#[tokio::test]
async fn whom_an_unproven_letter_names_is_not_written_to_unasked() {
    let mut desk = Desk::with(LETTER, Trust::C).await;
    let all = pb::SendReplyRequest {
        reply_all: true,
        ..desk.reply()
    };
    let refusal = desk
        .interactions
        .send_reply(by(&desk.anna, all.clone()))
        .await;
    refused(refusal, Code::InvalidArgument, "RECIPIENT_INVALID");
    // Those whom the agent names get it, and then nobody else is meant.
    let named = pb::SendReplyRequest {
        cc: vec![
            address("otto@customer.example"),
            address("pia@partner.example"),
        ],
        ..all
    };
    let (recipients, _) = desk.replied(named).await;
    assert_eq!(recipients.len(), 3);
}

#[tokio::test]
async fn an_answer_in_html_has_both_renditions_and_nothing_that_runs() {
    let mut desk = Desk::with(LETTER, Trust::A).await;
    let empty = pb::SendReplyRequest {
        text_body: " \n".to_owned(),
        ..desk.reply()
    };
    let refusal = desk.interactions.send_reply(by(&desk.anna, empty)).await;
    refused(refusal, Code::InvalidArgument, "FIELD_INVALID");
    let reply = pb::SendReplyRequest {
        text_body: String::new(),
        html_body: "<p onclick=x>We will <b>look</b>.</p><script>y()</script>\
                    <img src=\"https://shop.example/logo.png\">"
            .to_owned(),
        include_original: true,
        ..desk.reply()
    };
    let (_, written) = desk.replied(reply).await;
    assert!(written.contains("Content-Type: multipart/alternative"));
    assert!(written.contains("\r\nWe will look.\r\n"), "{written}");
    assert!(written.contains("<b>look</b>"), "{written}");
    assert!(written.contains("<b>flickers</b>"), "{written}");
    assert!(written.contains("Does it work?"), "{written}");
    assert!(written.contains("logo.png"), "{written}");
    for bad in ["script", "onclick", "x()", "y()"] {
        assert!(!written.contains(bad), "{bad}: {written}");
    }
}

#[tokio::test]
async fn files_of_a_forwarded_letter_are_chosen() {
    let mut desk = Desk::with(LETTER, Trust::A).await;
    for (forward, field) in [
        (
            pb::ForwardInteractionRequest {
                part_ids: vec!["9.9".to_owned()],
                ..desk.forward()
            },
            "part_ids",
        ),
        (
            pb::ForwardInteractionRequest {
                part_ids: vec!["2".to_owned()],
                form: pb::ForwardForm::Enclosed.into(),
                ..desk.forward()
            },
            "part_ids",
        ),
        (
            pb::ForwardInteractionRequest {
                part_ids: vec!["2".to_owned()],
                include_attachments: true,
                ..desk.forward()
            },
            "part_ids",
        ),
        (
            pb::ForwardInteractionRequest {
                form: 7,
                ..desk.forward()
            },
            "form",
        ),
    ] {
        let refusal = (desk.interactions)
            .forward_interaction(by(&desk.anna, forward))
            .await;
        let message = refusal.as_ref().unwrap_err().message().to_owned();
        assert!(message.contains(field), "{message}");
        refused(refusal, Code::InvalidArgument, "FIELD_INVALID");
    }
    let forward = pb::ForwardInteractionRequest {
        part_ids: vec!["3".to_owned()],
        bcc: vec![address("boss@shop.test")],
        ..desk.forward()
    };
    let written = desk.forwarded(forward).await;
    assert!(written.contains("filename=\"two.csv\""), "{written}");
    assert!(!written.contains("one.pdf"), "{written}");
    assert!(written.contains("\r\nSubject: Fwd: Re: Lamp"), "{written}");
    assert!(written.contains("\r\nIt flickers.\r\n"), "{written}");
    assert!(!written.contains("boss@shop.test"), "{written}");
    // The third party's letters find the case by their own thread, not by the customer's.
    assert!(!written.contains("\r\nReferences:"), "{written}");
}

#[tokio::test]
async fn all_files_of_a_forwarded_letter() {
    let mut desk = Desk::with(LETTER, Trust::A).await;
    let forward = pb::ForwardInteractionRequest {
        include_attachments: true,
        html_body: "<p>Can you help?</p>".to_owned(),
        ..desk.forward()
    };
    let written = desk.forwarded(forward).await.replace("=\r\n", "");
    for part in ["one.pdf", "two.csv", "<b>flickers</b>"] {
        assert!(written.contains(part), "{part}: {written}");
    }
    assert!(!written.contains("script"), "{written}");
}

/// Rules under which Anna has an address of her own, and the queue's names show who writes.
fn house() -> HouseRules {
    let from = |address: &str, name: &str, agents: &[&str]| FromAddress {
        mailbox: Mailbox {
            address: address.to_owned(),
            display_name: name.to_owned(),
        },
        queues: vec!["support".parse().unwrap()],
        agents: agents.iter().map(|agent| agent.parse().unwrap()).collect(),
    };
    HouseRules {
        from_addresses: vec![
            from("anna@people.example", "{agent}", &["anna"]),
            from("bert@people.example", "Bert", &["bert"]),
            from("press@shop.example", "", &[]),
        ],
        ..HouseRules::default()
    }
}

#[tokio::test]
async fn what_an_agent_may_send_from_is_listed_and_kept_to() {
    let mut desk = Desk::with(LETTER, Trust::A).await;
    let mut named = queues();
    named[0].from_name = Some("{agent} at Shop".to_owned());
    named[0].tag = Some("Ticket".to_owned());
    let handle = desk.gateway.handle.clone();
    handle.reconfigure(named.clone(), house()).await.unwrap();
    let mut addresses = FromAddressServiceClient::new(desk.gateway.remote.clone());
    let list = |agent: &str| pb::ListFromAddressesRequest {
        queue: "queues/support".to_owned(),
        agent: agent.to_owned(),
        ..pb::ListFromAddressesRequest::default()
    };
    let listed = addresses
        .list_from_addresses(by(&desk.anna, list("")))
        .await;
    let listed = listed.unwrap().into_inner().from_addresses;
    let seen: Vec<(&str, &str, usize)> = (listed.iter())
        .map(|from| {
            let name = from.display_name.as_str();
            (from.address.as_str(), name, from.agents.len())
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("support@shop.example", "anna at Shop", 0),
            ("support-eu@shop.example", "anna at Shop", 0),
            ("anna@people.example", "anna", 1),
            ("press@shop.example", "anna at Shop", 0),
        ]
    );
    let others = addresses
        .list_from_addresses(by(&desk.anna, list("agents/bert")))
        .await;
    refused(others, Code::InvalidArgument, "FIELD_INVALID");
    let mut local = FromAddressServiceClient::new(desk.gateway.local.clone());
    let all = local.list_from_addresses(list("")).await.unwrap();
    assert_eq!(all.into_inner().from_addresses.len(), 5);

    let from = |address: &str| pb::SendReplyRequest {
        from_address: address.to_owned(),
        ..desk.reply()
    };
    for address in [
        "bert@people.example",
        "boss@shop.example",
        "sales@shop.example",
    ] {
        let refusal = (desk.interactions.clone())
            .send_reply(by(&desk.anna, from(address)))
            .await;
        refused(refusal, Code::PermissionDenied, "FROM_ADDRESS_NOT_ALLOWED");
    }
    // What was allowed a moment ago is not any more.
    let own = from("anna@people.example");
    handle
        .reconfigure(named.clone(), HouseRules::default())
        .await
        .unwrap();
    let refusal = (desk.interactions.clone())
        .send_reply(by(&desk.anna, own.clone()))
        .await;
    refused(refusal, Code::PermissionDenied, "FROM_ADDRESS_NOT_ALLOWED");
    handle.reconfigure(named, house()).await.unwrap();
    let (_, written) = desk.replied(own).await;
    assert!(
        written.starts_with("From: anna <anna@people.example>\r\n"),
        "{written}"
    );
    // Answers come back to the queue, and so do reports.
    assert!(
        written.contains("\r\nReply-To: anna <support+r"),
        "{written}"
    );
    assert!(
        written.contains("\r\nSubject: Re: Lamp [Case 5724] [Ticket "),
        "{written}"
    );
    let spooled = handle
        .look(|desk, _| desk.spool().iter().next().cloned())
        .await;
    assert_eq!(spooled.unwrap().unwrap().mail_from, "support@shop.example");
}

#[tokio::test]
async fn what_may_be_sent_from_is_asked_again_at_the_commit() {
    let desk = Desk::with(LETTER, Trust::A).await;
    let handle = &desk.gateway.handle;
    handle.reconfigure(queues(), house()).await.unwrap();
    let found = handle
        .look(|desk, _| {
            let session = desk.sessions().next().map(|session| session.id);
            session.zip(desk.interactions().keys().next().copied())
        })
        .await;
    let (session, interaction) = found.unwrap().unwrap();
    // Composed while it was allowed.
    let mail = |from: &str, id: &str| {
        Command::Reply(Box::new(Outgoing {
            session,
            interaction,
            from: Correspondent {
                address: from.to_owned(),
                display_name: String::new(),
            },
            to: Correspondent {
                address: "carla@customer.example".to_owned(),
                display_name: String::new(),
            },
            slot: 0,
            others: Vec::new(),
            envelope_sender: "support@shop.example".to_owned(),
            internet_message_id: id.to_owned(),
            subject: "Re: Lamp".to_owned(),
            size: 1,
            latest_seen: None,
        }))
    };
    let body = || Content::Memory(b"x".to_vec().into());
    let refusal = handle
        .command_with_body(mail("bert@people.example", "1@x"), body(), None)
        .await;
    let expected = Refusal::FromNotAllowed("bert@people.example".to_owned());
    assert!(
        matches!(&refusal, Err(EngineError::Refused(found)) if *found == expected),
        "{refusal:?}"
    );
    let sent = handle
        .command_with_body(mail("anna@people.example", "2@x"), body(), None)
        .await;
    assert!(sent.is_ok(), "{sent:?}");
}

#[tokio::test]
async fn a_mail_is_begun_from_an_address_of_the_agents_own() {
    let gateway = Gateway::start().await;
    gateway.agent("anna", &["support"]).await;
    gateway.handle.reconfigure(queues(), house()).await.unwrap();
    let (anna, _stream) = at_work(&gateway, "anna").await;
    let mut interactions = InteractionServiceClient::new(gateway.remote.clone());
    let start = |from: &str| pb::StartEmailRequest {
        from_address: from.to_owned(),
        to: Some(address("carla@customer.example")),
        subject: "Your lamp".to_owned(),
        ..pb::StartEmailRequest::default()
    };
    let refusal = interactions
        .start_email(by(&anna, start("bert@people.example")))
        .await;
    refused(refusal, Code::PermissionDenied, "FROM_ADDRESS_NOT_ALLOWED");
    let started = interactions
        .start_email(by(&anna, start("Anna@people.example")))
        .await;
    let started = started.unwrap().into_inner().interaction.unwrap();
    assert_eq!(started.queue, "queues/support");
    let send = pb::SendEmailRequest {
        name: started.name,
        html_body: "<p>It is <i>ready</i>.</p>".to_owned(),
        request_id: "s".to_owned(),
        ..pb::SendEmailRequest::default()
    };
    let sent = interactions.send_email(by(&anna, send)).await.unwrap();
    let message = sent.into_inner().message.unwrap();
    let written = bytes(&gateway, &anna, &message.name).await;
    assert!(
        written.starts_with("From: anna <anna@people.example>\r\n"),
        "{written}"
    );
    assert!(written.contains("\r\nIt is ready.\r\n"), "{written}");
}

#[tokio::test]
async fn an_address_that_is_gone_gives_way_to_the_queues_first() {
    let mut desk = Desk::with(LETTER, Trust::A).await;
    let mut moved = queues();
    moved[0].mailboxes.remove(0);
    let handle = desk.gateway.handle.clone();
    handle
        .reconfigure(moved, HouseRules::default())
        .await
        .unwrap();
    let reply = desk.reply();
    let (_, written) = desk.replied(reply).await;
    assert!(
        written.starts_with("From: Shop <support-eu@shop.example>"),
        "{written}"
    );
}

/// What must not reach a field, a command or a store.
#[tokio::test]
async fn hostile_fields_are_refused_and_change_nothing() {
    let desk = Desk::with(LETTER, Trust::A).await;
    let crowd: Vec<_> = (0..51)
        .map(|n| address(&format!("{n}@x.example")))
        .collect();
    let half = |from: usize| crowd[from..from + 26].to_vec();
    let named = |name: &str| pb::EmailAddress {
        address: "a@x.example".to_owned(),
        display_name: name.to_owned(),
    };
    let plain = || desk.reply();
    let mut replies = vec![
        (
            pb::SendReplyRequest {
                to: crowd.clone(),
                ..plain()
            },
            "FIELD_INVALID",
        ),
        (
            pb::SendReplyRequest {
                to: half(0),
                bcc: half(25),
                ..plain()
            },
            "RECIPIENT_INVALID",
        ),
        (
            pb::SendReplyRequest {
                subject: "x".repeat(1 << 20),
                ..plain()
            },
            "FIELD_INVALID",
        ),
        (
            pb::SendReplyRequest {
                cc: vec![address("support+x@shop.example")],
                ..plain()
            },
            "RECIPIENT_INVALID",
        ),
        (
            pb::SendReplyRequest {
                quoted_part: 9,
                include_original: true,
                ..plain()
            },
            "FIELD_INVALID",
        ),
        (
            pb::SendReplyRequest {
                cc: vec![named(&"x".repeat(100_000))],
                ..plain()
            },
            "FIELD_INVALID",
        ),
    ];
    for end in ["\r\n", "\n", "\r", "\0", "\u{85}", "\u{1b}", "\u{7f}"] {
        let evil = format!("x{end}Bcc: victim@x.example");
        let mailbox = address(&format!("a{end}b@x.example"));
        replies.extend([
            (
                pb::SendReplyRequest {
                    subject: evil.clone(),
                    ..plain()
                },
                "FIELD_INVALID",
            ),
            (
                pb::SendReplyRequest {
                    to: vec![mailbox.clone()],
                    ..plain()
                },
                "FIELD_INVALID",
            ),
            (
                pb::SendReplyRequest {
                    cc: vec![mailbox.clone()],
                    ..plain()
                },
                "FIELD_INVALID",
            ),
            (
                pb::SendReplyRequest {
                    bcc: vec![mailbox],
                    ..plain()
                },
                "FIELD_INVALID",
            ),
            (
                pb::SendReplyRequest {
                    to: vec![named(&evil)],
                    ..plain()
                },
                "FIELD_INVALID",
            ),
            (
                pb::SendReplyRequest {
                    bcc: vec![named(&evil)],
                    ..plain()
                },
                "FIELD_INVALID",
            ),
            (
                pb::SendReplyRequest {
                    from_address: evil,
                    ..plain()
                },
                "FROM_ADDRESS_NOT_ALLOWED",
            ),
        ]);
    }
    replies.push((
        pb::SendReplyRequest {
            text_body: "a\0b".to_owned(),
            ..plain()
        },
        "FIELD_INVALID",
    ));
    for (reply, reason) in replies {
        let answer = (desk.interactions.clone())
            .send_reply(by(&desk.anna, reply.clone()))
            .await;
        let status = answer.unwrap_err();
        let found = status.metadata().get(postroom::grpc::REASON_TRAILER);
        let found = found.map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(found.as_deref(), Some(reason), "{status}");
        assert!(status.message().len() < 2000, "{status}");
    }
    let waiting = (desk.gateway.handle)
        .look(|desk, _| desk.spool().len())
        .await;
    assert_eq!(waiting.unwrap(), 0);
}
