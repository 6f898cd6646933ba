//! Letters that no person wrote, reports about letters of ours, and the one letter that we write
//! without a person.

use super::*;
use postroom::desk::{Answer, Command, Correspondent, Direction, NewAgent, Outgoing, Requested};
use postroom::id::{MessageId, SessionId};
use postroom::mail::address::Address;
use postroom::mail::loop_mark::LoopMark;
use postroom::mail::message_id::InternetMessageId;
use postroom::mail::return_path::ReturnPath;
use postroom::mail::token::{self, Audience, Keyring};
use postroom::outbound::message::{Outbound, RecipientState};

/// A queue that answers at once.
const DESK: &str = r#"
[[queue]]
id = "desk"
addresses = ["desk@shop.example"]
acknowledgement_subject = "We have it [Case {number}]"
acknowledgement_text = "Your case is {number}."
allow_bulk = true
"#;

const TO_DESK: &str = "From: Ada <ada@ada.example>\nTo: desk@shop.example\n\
    Subject: My order\nMessage-ID: <1@ada.example>\n\nWhere is it?\n";

impl House {
    async fn spool(&self) -> Vec<Outbound> {
        let look = |desk: &postroom::desk::Desk, _| desk.spool().iter().cloned().collect();
        self.running.handle.look(look).await.unwrap()
    }

    async fn outbound(&self, id: MessageId) -> Outbound {
        self.running.handle.outbound(id).await.unwrap().unwrap()
    }

    async fn bytes(&self, id: MessageId) -> String {
        let head = self.running.handle.body_head(id, 1 << 20).await.unwrap();
        String::from_utf8(head.unwrap().to_vec()).unwrap()
    }

    fn keyring(&self) -> std::sync::Arc<Keyring> {
        self.running.handle.keyring()
    }

    /// An agent who waits for mail of support.
    async fn anna(&self) -> SessionId {
        let handle = &self.running.handle;
        let new = NewAgent {
            id: "anna".parse().unwrap(),
            display_name: "Anna".into(),
            password: None,
            supervisor: false,
            capacity: 1,
            queues: vec!["support".parse().unwrap()],
        };
        handle
            .command(Command::CreateAgent(new), None)
            .await
            .unwrap();
        let open = Command::OpenSession {
            agent: "anna".parse().unwrap(),
            takeover: false,
            initial: Some(Requested::Available),
            lease: None,
            client: String::new(),
        };
        match handle.command(open, None).await.unwrap().answer {
            Answer::Session(view, _) => view.session.id,
            other => panic!("{other:?}"),
        }
    }

    /// Anna answers what she is offered; gives the message and its signed id.
    async fn answer(&self, session: SessionId) -> (MessageId, InternetMessageId) {
        let handle = &self.running.handle;
        let agent = "anna".parse().unwrap();
        let pending = move |desk: &postroom::desk::Desk, _| {
            desk.presence(&agent)
                .and_then(|presence| presence.pending_offer)
        };
        let offer = handle.look(pending).await.unwrap().unwrap();
        let accept = Command::AcceptOffer { session, offer };
        let accepted = handle.command(accept, None).await.unwrap().answer;
        let Answer::Interaction { interaction, .. } = accepted else {
            panic!("{accepted:?}");
        };
        let ada = Address::parse("ada@ada.example").unwrap();
        let audience = Audience {
            case: interaction.case,
            generation: 0,
            slot: 0,
            address: &ada,
        };
        let id = token::mint(&self.keyring(), audience, *b"0123456789", "shop.example").unwrap();
        let body = Bytes::from_static(b"All is well.\r\n");
        let reply = Outgoing {
            session,
            interaction: interaction.id,
            from: Correspondent {
                address: "support@shop.example".into(),
                display_name: String::new(),
            },
            to: interaction.customer.clone(),
            slot: 0,
            others: Vec::new(),
            envelope_sender: "support@shop.example".into(),
            internet_message_id: id.as_str().to_owned(),
            subject: "Re: My order".into(),
            size: body.len() as u64,
            latest_seen: None,
        };
        let reply = Command::Reply(Box::new(reply));
        let body = postroom::content::Content::Memory(body);
        let sent = handle.command_with_body(reply, body, None).await.unwrap();
        let Answer::Interaction {
            message: Some(message),
            ..
        } = sent.answer
        else {
            panic!("{sent:?}");
        };
        (message, id)
    }

    /// Where reports about a message come to.
    fn return_path(&self, message: MessageId) -> String {
        let path = ReturnPath {
            message,
            recipient: 0,
        };
        let support = Address::parse("support@shop.example").unwrap();
        path.mint(&self.keyring(), &support).unwrap().to_string()
    }
}

/// A delivery report, which `mark` tells from others; `about` is the header that it returns.
fn report(mark: u32, action: &str, status: &str, about: &str) -> String {
    format!(
        "From: MAILER-DAEMON@mx.carrier.example\nTo: support@shop.example\nSubject: Undelivered\n\
         Message-ID: <report{mark}@mx.carrier.example>\nMIME-Version: 1.0\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n\
         --b\n\nIt failed.\n--b\nContent-Type: message/delivery-status\n\n\
         Reporting-MTA: dns; mx.carrier.example\n\n\
         Final-Recipient: rfc822; ada@ada.example\nAction: {action}\nStatus: {status}\n\
         Diagnostic-Code: smtp; 550 {status} no such user\n\n\
         --b\nContent-Type: text/rfc822-headers\n\n{about}\n--b--\n"
    )
}

#[tokio::test]
async fn who_opens_a_case_is_told_so_once() {
    let house = House::open(DESK).await;
    house
        .send("ada@ada.example", &["desk@shop.example"], TO_DESK)
        .await;
    let spool = house.spool().await;
    let [told] = spool.as_slice() else {
        panic!("{spool:?}");
    };
    let case = house.open_interactions().await[0].case;
    assert_eq!((told.mail_from.as_str(), told.agent.as_ref()), ("", None));
    assert_eq!(told.recipients[0].address, "ada@ada.example");
    let letter = house.bytes(told.id).await;
    for line in [
        "From: desk <desk@shop.example>\r\n",
        "To: Ada <ada@ada.example>\r\n",
        "In-Reply-To: <1@ada.example>\r\n",
        "Auto-Submitted: auto-replied\r\n",
        &format!("Subject: We have it [Case {case}]\r\n"),
        &format!("\r\n\r\nYour case is {case}.\r\n"),
    ] {
        assert!(letter.contains(line), "{line}\n{letter}");
    }
    assert!(
        !letter.contains("My order") && !letter.contains("Where is it"),
        "{letter}"
    );
    let thread = house
        .running
        .handle
        .message(told.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((thread.case, thread.direction), (case, Direction::Outbound));

    // A second matter on the same day, and the first letter again: no further word, not even from
    // a process that was started anew.
    let second = TO_DESK
        .replace("<1@", "<2@")
        .replace("My order", "Another matter");
    house
        .send("ada@ada.example", &["desk@shop.example"], &second)
        .await;
    let house = house.restart().await;
    let third = TO_DESK
        .replace("<1@", "<3@")
        .replace("My order", "A third matter");
    house
        .send("ada@ada.example", &["desk@shop.example"], &third)
        .await;
    house
        .send("ada@ada.example", &["desk@shop.example"], TO_DESK)
        .await;
    assert_eq!(house.open_interactions().await.len(), 3);
    assert_eq!(house.spool().await.len(), 1);

    // Whoever answers the acknowledgement is in the same case.
    let answer = format!(
        "{}In-Reply-To: <{}>\n\nThank you\n",
        TO_DESK
            .replace("<1@", "<4@")
            .split("\n\n")
            .next()
            .unwrap()
            .to_owned()
            + "\n",
        told.internet_message_id
    );
    house
        .send("ada@ada.example", &["desk@shop.example"], &answer)
        .await;
    let joined = house.open_interactions().await;
    assert_eq!(joined.len(), 3);
    assert_eq!((joined[0].case, joined[0].message_count), (case, 3));
}

#[tokio::test]
async fn who_is_told_nothing() {
    let house = House::open(DESK).await;
    let add = |field: &str| TO_DESK.replace("Subject:", &format!("{field}\nSubject:"));
    let rows = [
        ("the null sender", "", TO_DESK.replace("ada@ada", "bob@bob")),
        (
            "automatic mail",
            "ada@ada.example",
            add("Auto-Submitted: auto-generated"),
        ),
        (
            "a list",
            "ada@ada.example",
            add("List-Id: <talk.ada.example>"),
        ),
        (
            "who asks for silence",
            "ada@ada.example",
            add("X-Auto-Response-Suppress: OOF"),
        ),
        (
            "a list that denies being one",
            "ada@ada.example",
            add("List-Id: <talk.ada.example>\nAuto-Submitted: no"),
        ),
        (
            "who hides the address",
            "ada@ada.example",
            TO_DESK.replace("To: desk@", "To: joe@"),
        ),
        (
            "who is not proven",
            "bob@bob.example",
            TO_DESK.replace("ada@ada", "bob@bob"),
        ),
        (
            "a queue",
            "support@shop.example",
            TO_DESK.replace("ada@ada.example", "support@shop.example"),
        ),
        (
            "who writes to a queue without words",
            "ada@ada.example",
            TO_DESK.replace("desk@", "sales@"),
        ),
    ];
    for (number, (what, sender, letter)) in rows.into_iter().enumerate() {
        let letter = letter.replace("<1@", &format!("<{number}@"));
        let to = if letter.contains("sales@") {
            "sales@shop.example"
        } else {
            "desk@shop.example"
        };
        let outcome = house.send(sender, &[to], &letter).await;
        assert_eq!(outcome.verdict, Said::Accept, "{what}");
        assert!(house.spool().await.is_empty(), "{what}");
    }
    house
        .send(
            "ada@ada.example",
            &["desk@shop.example"],
            &TO_DESK.replace("<1@", "<99@"),
        )
        .await;
    assert_eq!(
        house.spool().await.len(),
        1,
        "all else would have been told"
    );
}

#[tokio::test]
async fn what_no_person_wrote_is_nobodys_work() {
    let house = House::open(DESK).await;
    let absence = "From: Ada <ada@ada.example>\nTo: support@shop.example\nSubject: Away\n\
        Message-ID: <2@ada.example>\nAuto-Submitted: auto-replied\n";
    let news = TO_DESK.replace("Subject", "List-Unsubscribe: <mailto:x@y.example>\nSubject");
    for (what, queue, letter, work) in [
        ("a person", "support", LETTER.to_owned(), 1),
        (
            "an absence note",
            "support",
            format!("{absence}\nback on Monday\n"),
            1,
        ),
        ("a newsletter", "support", news.replace("<1@", "<3@"), 1),
        (
            "a newsletter that is wanted",
            "desk",
            news.replace("<1@", "<4@"),
            2,
        ),
        (
            "a voicemail",
            "support",
            absence
                .replace("replied", "generated")
                .replace("<2@", "<5@")
                + "\n",
            3,
        ),
    ] {
        let to = format!("{queue}@shop.example");
        let outcome = house.send("ada@ada.example", &[&to], &letter).await;
        assert_eq!(outcome.verdict, Said::Accept, "{what}");
        assert_eq!(house.open_interactions().await.len(), work, "{what}");
    }
}

#[tokio::test]
async fn an_absence_note_leaves_an_ended_case_ended() {
    let house = House::open("").await;
    let session = house.anna().await;
    let _watch = house.running.handle.watch_session(session).await.unwrap();
    house
        .send("ada@ada.example", &["support@shop.example"], LETTER)
        .await;
    let (_, id) = house.answer(session).await;
    assert!(house.open_interactions().await.is_empty());
    let absence = format!(
        "From: Ada <ada@ada.example>\nTo: support@shop.example\nSubject: Away\n\
         Message-ID: <2@ada.example>\nAuto-Submitted: auto-replied\nIn-Reply-To: {id}\n\nAway\n"
    );
    let outcome = house
        .send("ada@ada.example", &["support@shop.example"], &absence)
        .await;
    let case = tag(&outcome, &absence, "X-Postroom-Case");
    assert_eq!(case, ["13"], "it is kept with the case");
    assert!(house.open_interactions().await.is_empty());
    // A person's answer opens it again.
    let answer = absence
        .replace("Auto-Submitted: auto-replied\n", "")
        .replace("<2@", "<3@");
    house
        .send("ada@ada.example", &["support@shop.example"], &answer)
        .await;
    assert_eq!(house.open_interactions().await.len(), 1);
}

#[tokio::test]
async fn a_proven_report_changes_what_is_known_of_a_letter() {
    let house = House::open("").await;
    let session = house.anna().await;
    let _watch = house.running.handle.watch_session(session).await.unwrap();
    house
        .send("ada@ada.example", &["support@shop.example"], LETTER)
        .await;
    let (message, id) = house.answer(session).await;
    let path = house.return_path(message);
    let forged = path.replace("+b", "+ba");
    let stranger = "Message-ID: <somebody@else.example>\n";
    let state = async || house.outbound(message).await.recipients[0].state.clone();
    let before = state().await;

    // Anybody can write a report; what is not proven changes nothing and is nobody's work.
    for (number, to) in [forged.as_str(), "support@shop.example"].iter().enumerate() {
        let letter = report(number as u32, "failed", "5.1.1", stranger);
        house.send("", &[*to], &letter).await;
        assert_eq!(state().await, before, "{to}");
        assert!(house.open_interactions().await.is_empty());
    }
    house
        .send(
            "",
            &[path.as_str()],
            &report(2, "delayed", "4.4.1", stranger),
        )
        .await;
    assert!(matches!(state().await, RecipientState::Delayed(_)));
    assert!(
        house.open_interactions().await.is_empty(),
        "nobody has to act"
    );
    // By the Message-ID that only its recipients know.
    let ours = format!("Message-ID: {id}\n");
    let failed = report(3, "failed", "5.1.1", &ours);
    house.send("", &["support@shop.example"], &failed).await;
    let RecipientState::Bounced(said) = state().await else {
        panic!("{:?}", state().await);
    };
    assert_eq!(said.to_string(), "550 5.1.1 no such user");
    let work = house.open_interactions().await;
    assert_eq!(work.len(), 1, "not delivered: somebody has to know");
    assert_eq!(work[0].customer.address, "ada@ada.example");
    assert_eq!(work[0].case.to_string(), "13");
    // Once is enough.
    house
        .send(
            "",
            &[path.as_str()],
            &report(4, "failed", "5.1.1", stranger),
        )
        .await;
    assert_eq!(house.open_interactions().await.len(), 1);

    // What a person writes to a return path is read by one.
    let word = LETTER
        .replace("<1@", "<9@")
        .replace("My order", "I have moved");
    house.send("ada@ada.example", &[path.as_str()], &word).await;
    let work = house.open_interactions().await;
    assert_eq!((work.len(), work[0].case.to_string().as_str()), (1, "13"));
    assert_eq!(work[0].message_count, 3);
}

#[tokio::test]
async fn an_address_that_is_dead_is_told_nothing() {
    let house = House::open(DESK).await;
    let session = house.anna().await;
    let _watch = house.running.handle.watch_session(session).await.unwrap();
    house
        .send("ada@ada.example", &["support@shop.example"], LETTER)
        .await;
    let (message, _) = house.answer(session).await;
    let path = house.return_path(message);
    house
        .send(
            "",
            &[path.as_str()],
            &report(1, "failed", "5.1.1", "X: y\n"),
        )
        .await;
    let letter = TO_DESK
        .replace("<1@", "<2@")
        .replace("My order", "Another matter");
    house
        .send("ada@ada.example", &["desk@shop.example"], &letter)
        .await;
    let told = house
        .spool()
        .await
        .iter()
        .filter(|found| found.agent.is_none())
        .count();
    assert_eq!(told, 0);
}

#[tokio::test]
async fn our_own_letters_come_back_to_nobody() {
    let house = House::open("").await;
    let id = InternetMessageId::parse("r.one@shop.example").unwrap();
    let mark = LoopMark::mint(&house.keyring(), "shop.example", &id).unwrap();
    let marked = |id: &str| {
        LETTER.replace(
            "Message-ID: <1@ada.example>",
            &format!("Received: by mx.ada.example; x\nX-Postroom-Loop: {mark}\nMessage-ID: {id}"),
        )
    };
    let ours = marked("<r.one@shop.example>");
    let outcome = house
        .send("ada@ada.example", &["support@shop.example"], &ours)
        .await;
    assert!(house.open_interactions().await.is_empty());
    assert_eq!(tag(&outcome, &ours, "X-Postroom-Loop"), [mark.to_string()]);
    // A mark that was made for another letter is none, and is taken out.
    let forged = marked("<r.two@ada.example>");
    let outcome = house
        .send("ada@ada.example", &["support@shop.example"], &forged)
        .await;
    assert_eq!(house.open_interactions().await.len(), 1);
    assert!(tag(&outcome, &forged, "X-Postroom-Loop").is_empty());
}
