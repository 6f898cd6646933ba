//! The order of things, as transcripts: commands on one line, what followed on the next.

use std::future::ready;

use proptest::prelude::*;

use super::*;
use crate::milter::arrival::Arrival;
use crate::milter::edit::Edit;
use crate::milter::negotiation::Actions;

/// Knows `support@`, refuses `nobody@`, and leaves the rest to others.
struct House;

impl Receiver for House {
    fn message_bytes_max(&self) -> u64 {
        1000
    }

    fn sender(&self, envelope: &Envelope) -> Result<(), SmtpReply> {
        if envelope.sender == "banned@x" {
            return Err(SmtpReply::new(550, 7, 1, "Go away"));
        }
        Ok(())
    }

    fn recipient(&self, _: &Envelope, recipient: &Recipient) -> RecipientVerdict {
        if recipient.address.starts_with(b"support@") {
            RecipientVerdict::Ours
        } else if recipient.address.starts_with(b"nobody@") {
            RecipientVerdict::Refuse(SmtpReply::new(550, 1, 1, "Unknown"))
        } else {
            RecipientVerdict::Foreign
        }
    }

    fn message(&self, _: Arrival) -> impl Future<Output = Verdict> + Send {
        ready(Verdict::Discard)
    }
}

fn session(offer: Offer) -> Session {
    let mut session = Session::new();
    session.handle(Command::Negotiate(offer), &House, &mut Vec::new());
    session
}

/// A command from its letter and, after a colon, its data: `R:<support@x>`, `DR:i=A1`.
fn command(word: &str) -> Command {
    let (letter, data) = word.split_once(':').unwrap_or((word, ""));
    let bytes = Bytes::copy_from_slice(data.as_bytes());
    let arguments = || Arguments::new(data.split('_').map(str::as_bytes));
    match letter {
        "O" => Command::Negotiate(Offer::POSTFIX),
        // Mail of the MTA's own machine comes over no connection.
        "C" if data == "localhost" => Command::Connect {
            host: bytes,
            family: Family::of("127.0.0.1".parse().unwrap(), 0),
        },
        "C" => Command::Connect {
            host: bytes,
            family: Family::of("192.0.2.7".parse().unwrap(), 25),
        },
        "H" => Command::Helo(bytes),
        "M" => Command::Mail(arguments()),
        "R" => Command::Rcpt(arguments()),
        "T" => Command::Data,
        "U" => Command::Unknown(bytes),
        "L" => Command::Header {
            name: bytes,
            value: Bytes::new(),
        },
        "N" => Command::EndOfHeaders,
        "B" => Command::Body(bytes),
        "E" => Command::EndOfMessage(bytes),
        "A" => Command::Abort,
        "K" => Command::QuitNewConnection,
        "Q" => Command::Quit,
        macros => Command::Macros {
            command: macros.as_bytes()[1],
            pairs: Bytes::from(format!("{}\0", data.replace('=', "\0"))),
        },
    }
}

fn show(action: &Action) -> String {
    match action {
        Action::Reply(Reply::ReplyCode(text)) => String::from_utf8_lossy(&text[..3]).into_owned(),
        Action::Reply(reply) => char::from(reply.code().byte()).to_string(),
        Action::Begin { .. } => "begin".into(),
        Action::Header { name, .. } => format!("header:{}", String::from_utf8_lossy(name)),
        Action::EndOfHeaders => "eoh".into(),
        Action::Body(piece) => format!("body:{}", String::from_utf8_lossy(piece)),
        Action::Finish(finished) => format!(
            "finish:{}+{}",
            finished.recipients.len(),
            finished.foreign_recipients
        ),
        Action::Abort => "abort".into(),
        Action::Close(_) => "close".into(),
    }
}

/// Runs transcripts against fresh sessions. A finished message is concluded with "discard".
fn check(offer: Offer, transcripts: &str) {
    let lines: Vec<&str> = transcripts
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    for pair in lines.chunks(2) {
        let [commands, expected] = pair else {
            panic!("a transcript has two lines: {pair:?}");
        };
        let mut session = session(offer);
        let mut shown = Vec::new();
        for word in commands.split_whitespace() {
            let mut actions = Vec::new();
            session.handle(command(word), &House, &mut actions);
            shown.extend(actions.iter().map(show));
            if matches!(actions.last(), Some(Action::Finish(_))) {
                let conclusion = session.conclude(Verdict::Discard);
                shown.extend(
                    conclusion
                        .replies
                        .into_iter()
                        .map(|r| show(&Action::Reply(r))),
                );
            }
        }
        assert_eq!(shown.join(" "), *expected, "{commands}");
    }
}

#[test]
fn with_all_that_postfix_offers() {
    check(
        Offer::POSTFIX,
        "
        C:mx H:mx M:<a@x> R:<support@x> T L:From N B:text E A A Q
        c c c begin header:From eoh body:text finish:1+0 d close

        M:<a@x> R:<support@x> R:<c@y> T N E
        c c c c begin eoh finish:1+1 d

        M:<a@x> R:<c@y> T A
        c c a

        M:<a@x> R:<c@y> T L:From B:x E
        c c a a

        M:<a@x> R:<nobody@x> R:<support@x> T N E
        c 550 c c begin eoh finish:1+0 d

        M:<banned@x> A M:<a@x>
        550 c

        M:<a@x>_SIZE=1001 M:<a@x>_SIZE=1000
        552 c

        A A Q
        close

        M:<a@x> R:<support@x> H:again A A M:<b@x> R:<c@y> T
        c c c c a

        M:<a@x> R:<support@x> T L:From A M:<a@x> R:<c@y> T
        c c c begin header:From abort c c a

        M:<a@x> R:<support@x> T L:From M:<a@x> R:<c@y> T
        c c c begin header:From abort c c a

        U:x M:<a@x> U:x R:<support@x>
        c c c c

        M:<a@x> R:<support@x> T L:From N L:Late
        c c c begin header:From eoh close

        M:<a@x> R:<support@x> T N N B:a B:b E:c
        c c c begin eoh body:a body:b body:c finish:1+0 d

        M:<a@x> R:<support@x> T B:a E
        c c c begin eoh body:a finish:1+0 d

        M:<a@x> R:<support@x> E A
        c c 451

        M:<a@x> R:<support@x> E:x
        c c begin eoh body:x finish:1+0 d

        M:<a@x> R:<support@x> T L:From K C:mx M:<a@x>
        c c c begin header:From abort c

        R:<support@x> T L:From N B:x E
        c c a

        O M:<a@x> O
        O c close

        M:<a@x> DR:rcpt_addr=support@x R:<alias@y> R:<alias@y> T N E
        c c c c begin eoh finish:1+1 d

        M:<a@x> DR:rcpt_mailer=error R:<support@x> T
        c c a

        C:mx DM:i=A1 M:a@x R:support@x R:nobody@x L:From N E Q
        c c c 550 close

        C:localhost H:localhost DM:i=A1 M:a@x R:nobody@x L:From N E Q
        c c 550 close

        C:localhost H:localhost M:<a@x> DR:i=A1 R:<nobody@x>
        c 550

        C:mx H:mx DM:i=A1 M:<a@x> R:<nobody@x>
        c 550

        C:localhost H:localhost K C:mx H:mx DM:i=A1 M:<a@x> R:<nobody@x>
        c 550

        C:mx M:<a@x> R:<support@x> DR:i=A1 R:<nobody@x> T N E
        c c 550 c begin eoh finish:1+0 d
        ",
    );
}

#[test]
fn where_everything_is_answered() {
    let version_2 = Offer {
        version: 2,
        actions: Actions(0x3f),
        steps: Steps(0x7f),
    };
    check(
        version_2,
        "
        C:mx H:mx M:<a@x> R:<support@x> L:From N B:text E A Q
        c c c c begin header:From c eoh c body:text c finish:1+0 d close

        M:<a@x> R:<c@y> L:From A
        c c a
        ",
    );
}

#[test]
fn each_missing_bit_makes_one_command_answered() {
    for (missing, answered) in [
        (Steps(0), ""),
        (Steps::NR_CONN, "C"),
        (Steps::NR_HELO, "H"),
        (Steps::NR_HDR, "L"),
        (Steps::NR_EOH, "N"),
        (Steps::NR_BODY, "B"),
        // These are answered in any case: there is something to decide or to release.
        (Steps::NR_MAIL, ""),
        (Steps::NR_RCPT, ""),
        (Steps::NR_DATA, ""),
        // An MTA that is not told to keep it to itself sends it, and is answered.
        (Steps::NR_UNKN, ""),
        (Steps::NOUNKNOWN, ""),
        // milter_protocol = 6 with nothing but no_header_reply.
        (Steps::POSTFIX.without(Steps::NR_HDR), "CHNB"),
    ] {
        let mut offer = Offer::POSTFIX;
        offer.steps = offer.steps.without(missing);
        let mut session = session(offer);
        for word in "C:mx H:mx U:x M:<a@x> R:<support@x> T L:From N B:x".split(' ') {
            let mut actions = Vec::new();
            session.handle(command(word), &House, &mut actions);
            let replies = actions
                .iter()
                .filter(|action| matches!(action, Action::Reply(_)));
            let letter = char::from(word.as_bytes()[0]);
            let due = "MRTU".contains(letter) || answered.contains(letter);
            assert_eq!(
                replies.count(),
                usize::from(due),
                "{word} without {missing}"
            );
        }
    }
}

#[test]
fn old_versions_know_less() {
    for version in 2..=6 {
        let offer = Offer {
            version,
            actions: Actions(0x3f),
            steps: Steps(if version < 6 { 0x7f } else { 0x77f }),
        };
        let agreed = offer.agree().unwrap();
        assert_eq!(agreed.version, version);
        let words = match version {
            2 => "M:<a@x> R:<support@x> L:From N B:x E",
            3 => "U:x M:<a@x> R:<support@x> L:From N B:x E",
            _ => "U:x M:<a@x> R:<support@x> T L:From N B:x E",
        };
        let mut session = session(offer);
        let mut finished = 0;
        for word in words.split(' ') {
            let mut actions = Vec::new();
            session.handle(command(word), &House, &mut actions);
            let replies = actions
                .iter()
                .filter(|action| matches!(action, Action::Reply(_)));
            assert_eq!(
                replies.count(),
                usize::from(word != "E"),
                "{word} in {version}"
            );
            let end = actions
                .iter()
                .filter(|last| matches!(last, Action::Finish(_)));
            finished += end.count();
        }
        assert_eq!(finished, 1, "{version}");
    }
}

#[test]
fn names_without_measure_are_refused_or_cut() {
    let mut session = session(Offer::POSTFIX);
    let long = "x".repeat(60_000);
    let shown = |session: &mut Session, word: &str| {
        let mut actions = Vec::new();
        session.handle(command(word), &House, &mut actions);
        let shown: Vec<_> = actions.iter().map(show).collect();
        shown.join(" ")
    };
    assert_eq!(shown(&mut session, &format!("C:{long}")), "");
    assert_eq!(shown(&mut session, &format!("H:{long}")), "");
    assert_eq!(session.host.len(), NAME_BYTES_MAX);
    assert_eq!(session.helo.as_ref().unwrap().len(), NAME_BYTES_MAX);
    assert_eq!(shown(&mut session, &format!("M:<{long}@x>")), "501");
    assert_eq!(shown(&mut session, "M:<a@x>"), "c");
    assert_eq!(shown(&mut session, &format!("R:<support@{long}>")), "501");
    let macros = format!("DR:rcpt_addr=support@{}", "x".repeat(5000));
    assert_eq!(shown(&mut session, &macros), "");
    assert_eq!(shown(&mut session, "R:<support@x>"), "501");
    assert_eq!(shown(&mut session, "R:<support@x>"), "c");
}

#[test]
fn nothing_goes_before_the_negotiation() {
    for word in ["C:mx", "M:<a@x>", "A", "DM:i=1", "E", "K"] {
        let mut session = Session::new();
        let mut actions = Vec::new();
        session.handle(command(word), &House, &mut actions);
        assert!(matches!(
            actions[..],
            [Action::Close(Close::NotNegotiated(_))]
        ));
    }
}

#[test]
fn when_closing_harms_no_mail() {
    for (commands, idle) in [
        ("C:x H:x", true),
        ("M:<a@x>", false),
        ("M:<a@x> R:<joe@x>", false),
        // Postfix says nothing more about this message.
        ("M:<a@x> R:<joe@x> T", true),
        ("M:<a@x> R:<support@x> T", false),
        ("M:<a@x> R:<support@x> T L:From", false),
        ("M:<a@x> R:<support@x> A", true),
        ("M:<banned@x>", true),
    ] {
        let mut session = session(Offer::POSTFIX);
        for word in commands.split_whitespace() {
            session.handle(command(word), &House, &mut Vec::new());
        }
        assert_eq!(session.is_idle(), idle, "{commands}");
    }
}

#[test]
fn what_is_known_of_the_client() {
    let mut session = session(Offer::POSTFIX);
    let mut actions = Vec::new();
    for word in "DC:j=mx.example C:client.example DH:{tls_version}=TLSv1.3 H:first H:client \
                 DM:{auth_authen}=bob M:<a@x> DR:i=A1 R:<support@x> T N DE:i=A1 E"
        .split_whitespace()
    {
        session.handle(command(word), &House, &mut actions);
    }
    let Some(Action::Finish(finished)) = actions.pop() else {
        panic!("{actions:?}");
    };
    let expected = Peer {
        host: Bytes::from_static(b"client.example"),
        ip: Some("192.0.2.7".parse().unwrap()),
        helo: Some(Bytes::from_static(b"client")),
        tls: Some("TLSv1.3".into()),
        authenticated: Some("bob".into()),
        daemon_name: None,
        mta_name: Some("mx.example".into()),
    };
    assert_eq!(finished.peer, expected);
    assert_eq!(finished.mta_queue_id.as_deref(), Some("A1"));
    session.conclude(Verdict::Discard);

    // The next message on the connection: the client is the same, the login is not repeated.
    for word in "A M:<a@x> R:<support@x> T N E".split(' ') {
        session.handle(command(word), &House, &mut actions);
    }
    let Some(Action::Finish(finished)) = actions.pop() else {
        panic!("{actions:?}");
    };
    assert_eq!(
        finished.peer,
        Peer {
            authenticated: None,
            ..expected
        }
    );
    assert_eq!(finished.mta_queue_id, None);
}

#[test]
fn edits_go_only_where_they_were_offered() {
    use crate::milter::edit::{FieldName, Tag, plan_tags};

    let name = FieldName::new("X-Tag");
    let edits = plan_tags(&[], &[name], &[Tag::new(name, "v").unwrap()]);
    for (actions, steps, value) in [
        (0x1ff, 0x1f_ffff, Some(" v")),
        (0x1ff, 0x0f_ffff, Some("v")),
        (0x001, 0x1f_ffff, None),
        (0x010, 0x1f_ffff, None),
        (0x000, 0x1f_ffff, None),
    ] {
        let mut session = session(Offer {
            version: 6,
            actions: Actions(actions),
            steps: Steps(steps),
        });
        let conclusion = session.conclude(Verdict::Accept {
            edits: edits.clone(),
        });
        let accept = Reply::Plain(Plain::Accept);
        match value {
            Some(value) => assert_eq!(
                conclusion.replies,
                [
                    Reply::InsertHeader {
                        index: 1,
                        name: Bytes::from_static(b"X-Tag"),
                        value: Bytes::from_static(value.as_bytes()),
                    },
                    accept
                ]
            ),
            None => {
                assert_eq!(conclusion.replies, [accept]);
                assert_eq!(conclusion.tags_dropped, 1);
            }
        }
    }
}

/// Recipients that RCPT named, those whose removal is asked for, what is offered, what is said.
#[test]
fn recipients_go_as_they_were_typed_and_never_all_of_them() {
    for (named, removed, offered, said) in [
        ("<support@x> <c@y>", "<support@x>", true, "-<support@x> a"),
        (
            "<support@x> <support@X> <c@y>",
            "<support@x> <support@X>",
            true,
            "-<support@x> -<support@X> a",
        ),
        // One of ours stays, so there is somebody to deliver to.
        (
            "<support@x> <support@z>",
            "<support@x>",
            true,
            "-<support@x> a",
        ),
        // Nobody would be left.
        ("<support@x>", "<support@x>", true, "d"),
        ("<support@x> <support@x>", "<support@x>", true, "d"),
        (
            "<support@x> <support@X>",
            "<support@x> <support@X>",
            true,
            "d",
        ),
        ("<support@x> <nobody@x>", "<support@x>", true, "d"),
        // The wish cannot be fulfilled: more is delivered, not less.
        ("<support@x>", "<support@x>", false, "a kept 1"),
        ("<support@x> <c@y>", "<support@x>", false, "a kept 1"),
    ] {
        let mut offer = Offer::POSTFIX;
        if !offered {
            offer.actions = offer.actions.without(Actions::DELRCPT);
        }
        let mut session = session(offer);
        let mut actions = Vec::new();
        let rcpts = named.split(' ').map(|argument| format!("R:{argument}"));
        let words = ["M:<a@x>".to_owned()].into_iter().chain(rcpts);
        for word in words.chain(["T".into(), "N".into(), "E".into()]) {
            session.handle(command(&word), &House, &mut actions);
        }
        let edits = removed.split(' ').map(|argument| Edit::RemoveRecipient {
            argument: Bytes::copy_from_slice(argument.as_bytes()),
        });
        let conclusion = session.conclude(Verdict::Accept {
            edits: edits.collect(),
        });
        let replies = conclusion.replies.iter().map(|reply| match reply {
            Reply::DelRcpt(argument) => format!("-{}", String::from_utf8_lossy(argument)),
            other => char::from(other.code().byte()).to_string(),
        });
        let mut shown = replies.collect::<Vec<_>>().join(" ");
        if conclusion.recipients_kept > 0 {
            shown += &format!(" kept {}", conclusion.recipients_kept);
        }
        assert_eq!(shown, said, "{named} without {removed}, offered: {offered}");
    }
}

/// What a whole message looks like to the server, and what is known of it at its end.
fn whole_message(session: &mut Session) -> String {
    let mut shown = Vec::new();
    for word in
        "DM:{auth_authen}=bob M:<a@x> DR:i=A7 R:<support@x> R:<c@y> T L:From N B:x E".split(' ')
    {
        let mut actions = Vec::new();
        session.handle(command(word), &House, &mut actions);
        for action in &actions {
            shown.push(match action {
                Action::Finish(finished) => format!("{finished:?}"),
                action => show(action),
            });
        }
    }
    session.conclude(Verdict::Discard);
    shown.join(" ")
}

proptest! {
    /// After an abort nothing is left of what was aborted: the next message is as on a fresh
    /// connection.
    #[test]
    fn nothing_is_left_after_an_abort(
        words in prop::collection::vec(
            prop::sample::select(vec![
                "H:mx", "M:<b@x>", "M:<banned@x>", "R:<support@x>", "R:<c@y>", "R:<nobody@x>", "T",
                "L:From", "N", "B:x", "E", "A", "U:x", "DM:{auth_authen}=eve", "DM:i=A",
                "DR:rcpt_addr=support@x", "DR:rcpt_mailer=error", "DE:i=B",
            ]),
            0..30,
        ),
    ) {
        let fresh = || {
            let mut session = session(Offer::POSTFIX);
            for word in ["DC:j=mta", "C:mx", "DH:{tls_version}=TLSv1.3", "H:mx"] {
                session.handle(command(word), &House, &mut Vec::new());
            }
            session
        };
        let mut used = fresh();
        for word in words {
            let mut actions = Vec::new();
            used.handle(command(word), &House, &mut actions);
            match actions.last() {
                Some(Action::Finish(_)) => drop(used.conclude(Verdict::Discard)),
                Some(Action::Close(_)) => return Ok(()),
                _ => {}
            }
        }
        used.handle(Command::Abort, &House, &mut Vec::new());
        prop_assert_eq!(whole_message(&mut used), whole_message(&mut fresh()));
    }

    /// Whatever the order: content is only gathered between begin and finish or abort, and what
    /// must not be answered is not.
    #[test]
    fn no_order_of_commands_confuses_it(
        words in prop::collection::vec(
            prop::sample::select(vec![
                "C:mx", "H:mx", "M:<a@x>", "M:<banned@x>", "R:<support@x>", "R:<c@y>",
                "R:<nobody@x>", "T", "L:From", "N", "B:x", "E", "E:x", "A", "K", "U:x",
                "DM:i=A", "DR:rcpt_addr=support@x", "O",
            ]),
            0..40,
        ),
        steps in prop::sample::select(vec![0x1f_ffffu32, 0, 0x80, 0xff]),
    ) {
        let mut session = session(Offer { steps: Steps(steps), ..Offer::POSTFIX });
        let mut open = false;
        for word in words {
            let mut actions = Vec::new();
            session.handle(command(word), &House, &mut actions);
            let mut replies = 0;
            for action in &actions {
                match action {
                    Action::Begin { .. } => {
                        prop_assert!(!open);
                        open = true;
                    }
                    Action::Header { .. } | Action::EndOfHeaders | Action::Body(_) => {
                        prop_assert!(open);
                    }
                    Action::Finish(finished) => {
                        prop_assert!(open);
                        prop_assert!(!finished.recipients.is_empty());
                        open = false;
                        replies += session.conclude(Verdict::Discard).replies.len();
                    }
                    Action::Abort => {
                        prop_assert!(open);
                        open = false;
                    }
                    Action::Reply(_) => replies += 1,
                    Action::Close(_) => return Ok(()),
                }
            }
            match word.as_bytes()[0] {
                b'A' | b'K' | b'D' => prop_assert_eq!(replies, 0),
                b'M' | b'R' | b'T' | b'E' | b'O' => prop_assert_eq!(replies, 1),
                _ => prop_assert!(replies <= 1),
            }
        }
    }
}
