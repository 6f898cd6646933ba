//! Letters of ours, read back by a parser that is not ours.

use std::sync::LazyLock;

use mail_parser::MessageParser;
use proptest::prelude::*;

use super::super::address::Address;
use super::super::letter::Letter;
use super::super::token::{KEY_BYTES, Keyring};
use super::*;

fn mailbox(name: &str, address: &str) -> Mailbox {
    Mailbox {
        name: name.to_owned(),
        address: Address::parse(address).unwrap(),
    }
}

fn id(text: &str) -> InternetMessageId {
    InternetMessageId::parse(text).unwrap()
}

/// Composes with a plain draft changed by `change`, and checks what must always hold.
fn compose<'a>(change: impl FnOnce(&mut Draft<'a>)) -> Result<Composed, ComposeError> {
    static FROM: LazyLock<Mailbox> =
        LazyLock::new(|| mailbox("Shop Support", "support@shop.example"));
    static TO: LazyLock<[Mailbox; 1]> =
        LazyLock::new(|| [mailbox("Anna", "anna@customer.example")]);
    static OWN: LazyLock<InternetMessageId> = LazyLock::new(|| id("r.x@mid.shop.example"));
    static MARK: LazyLock<LoopMark> = LazyLock::new(|| {
        let ring = Keyring::new(0, [(0, [7; KEY_BYTES])]).unwrap();
        LoopMark::mint(&ring, "mid.shop.example", &OWN).unwrap()
    });
    let mut draft = Draft {
        from: &FROM,
        to: &*TO,
        cc: &[],
        reply_to: None,
        subject: "Hello",
        tag: None,
        untag: None,
        html: None,
        pictures: &[],
        files: &[],
        text: "Hello,\nall is well.",
        parent: None,
        forwarded: None,
        date: Timestamp::from_millis(1_795_000_000_000),
        internet_message_id: &OWN,
        loop_mark: &MARK,
        automatic: false,
    };
    change(&mut draft);
    let composed = draft.compose()?;
    let text = String::from_utf8(composed.bytes.clone()).unwrap();
    assert!(text.ends_with("\r\n"));
    assert!(
        !text.replace("\r\n", "").contains(['\r', '\n', '\0']),
        "{text}"
    );
    assert!(text.split("\r\n").all(|line| line.len() <= 998), "{text}");
    Ok(composed)
}

fn bytes<'a>(change: impl FnOnce(&mut Draft<'a>)) -> String {
    String::from_utf8(compose(change).unwrap().bytes).unwrap()
}

#[test]
fn a_reply_byte_for_byte() {
    let parent = id("first@customer.example");
    let quote = Quote {
        attribution: "On Wed, 18 Nov 2026 08:20:00 +0000, Anna wrote:",
        html: None,
        text: "Where is it?\n> older\n",
    };
    let got = bytes(|draft| {
        draft.subject = "";
        draft.tag = MainNumber::new(572).map(|number| Tag {
            word: "Case",
            number,
        });
        draft.parent = Some(Parent {
            subject: "AW: Order",
            internet_message_id: Some(&parent),
            references: &[],
            quote: Some(quote),
        });
    });
    assert_eq!(
        got,
        "From: Shop Support <support@shop.example>\r\n\
         To: Anna <anna@customer.example>\r\n\
         Subject: Re: Order [Case 5724]\r\n\
         Date: Wed, 18 Nov 2026 11:06:40 +0000\r\n\
         Message-ID: <r.x@mid.shop.example>\r\n\
         In-Reply-To: <first@customer.example>\r\n\
         References: <first@customer.example>\r\n\
         X-Postroom-Loop: mid.shop.example.cdb2gziqgufhsufe\r\n\
         MIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\
         Content-Transfer-Encoding: 7bit\r\n\
         \r\n\
         Hello,\r\n\
         all is well.\r\n\
         \r\n\
         On Wed, 18 Nov 2026 08:20:00 +0000, Anna wrote:\r\n\
         > Where is it?\r\n\
         >> older\r\n"
    );
    assert_eq!(
        Letter::read(got.as_bytes(), true).body.fresh(),
        "Hello,\nall is well."
    );
}

#[test]
fn the_number_stands_once() {
    let number = MainNumber::new(572).unwrap();
    for (subject, tagged) in [
        ("Order", "Order [Case 5724]"),
        ("Order [Case 5724]", "Order [Case 5724]"),
        ("[Fall 5724] Order", "[Fall 5724] Order"),
        ("Order [5724]", "Order [5724]"),
        ("Order 5724", "Order 5724 [Case 5724]"),
        ("Order [#15724]", "Order [#15724] [Case 5724]"),
        ("", "[Case 5724]"),
    ] {
        let composed = compose(|draft| {
            draft.subject = subject;
            draft.tag = Some(Tag {
                word: "Case",
                number,
            });
        });
        assert_eq!(composed.unwrap().subject, tagged);
    }
}

#[test]
fn injection_is_refused() {
    use ComposeError::Control;
    let evil = "x\r\nBcc: victim@elsewhere.example";
    let name = mailbox(evil, "a@x.example");
    let number = MainNumber::new(572).unwrap();
    for end in ["\r\nBcc: x", "\n", "\r", "\0", "\u{85}", "\u{1b}"] {
        let subject = format!("x{end}");
        let got = compose(|draft| draft.subject = &subject);
        assert_eq!(got, Err(Control(Field::Subject)));
    }
    assert_eq!(compose(|d| d.from = &name), Err(Control(Field::Name)));
    assert_eq!(
        compose(|d| d.to = std::slice::from_ref(&name)),
        Err(Control(Field::Name))
    );
    assert_eq!(
        compose(|d| d.cc = std::slice::from_ref(&name)),
        Err(Control(Field::Name))
    );
    assert_eq!(
        compose(|d| d.tag = Some(Tag {
            word: "a\nb",
            number
        })),
        Err(Control(Field::Tag))
    );
    assert_eq!(compose(|d| d.text = "a\0b"), Err(Control(Field::Text)));
    assert_eq!(compose(|d| d.to = &[]), Err(ComposeError::NoRecipient));
    let crowd = vec![mailbox("", "a@x.example"); RECIPIENTS_MAX + 1];
    assert_eq!(
        compose(|d| d.to = &crowd),
        Err(ComposeError::TooManyRecipients)
    );
    let long = "x".repeat(LINE_CHARS_MAX + 1);
    assert_eq!(
        compose(|d| d.subject = &long),
        Err(ComposeError::TooLong(Field::Subject))
    );
}

#[test]
fn a_hostile_original_stays_quoted() {
    let quote = Quote {
        attribution: "Eve\r\nBcc: x@y wrote:",
        html: None,
        text: "a\r\n.\r\nb\u{0}\rc\n",
    };
    let got = bytes(|draft| {
        draft.parent = Some(Parent {
            subject: "x",
            internet_message_id: None,
            references: &[],
            quote: Some(quote),
        });
    });
    assert!(
        got.contains("\r\nEve Bcc: x@y wrote:\r\n> a\r\n> .\r\n> bc\r\n"),
        "{got}"
    );
    assert!(!got.contains("In-Reply-To") && !got.contains("References"));
}

#[test]
fn long_originals_are_cut() {
    let text = "line\n".repeat(QUOTE_BYTES_MAX);
    let quote = Quote {
        attribution: "A wrote:",
        html: None,
        text: &text,
    };
    let got = bytes(|draft| {
        draft.parent = Some(Parent {
            subject: "x",
            internet_message_id: None,
            references: &[],
            quote: Some(quote),
        });
    });
    let read = Letter::read(got.as_bytes(), true);
    assert!(read.body.text().ends_with("> […]"));
    assert!(read.body.text().len() < QUOTE_BYTES_MAX * 3 / 2);
}

#[test]
fn references_keep_the_first_and_the_newest() {
    let ids: Vec<_> = (0..30).map(|n| id(&format!("{n}@x"))).collect();
    let parent = id("p@x");
    let got = bytes(|draft| {
        draft.parent = Some(Parent {
            subject: "x",
            internet_message_id: Some(&parent),
            references: &ids,
            quote: None,
        });
    });
    let references = Letter::read(got.as_bytes(), true).references;
    assert_eq!(references.len(), REFERENCES_KEPT + 1);
    assert_eq!(references[0], ids[0]);
    assert_eq!(references[1], ids[11]);
    assert_eq!(references[REFERENCES_KEPT], parent);
}

#[test]
fn wrappings() {
    for (text, encoding) in [
        ("plain", "7bit"),
        (
            "Grüße an alle zusammen, und auf bald wieder",
            "quoted-printable",
        ),
        ("こんにちは", "base64"),
        ("From here on", "quoted-printable"),
        (&"x".repeat(5000), "quoted-printable"),
        ("ends in a blank \nhere", "quoted-printable"),
    ] {
        let got = bytes(|draft| draft.text = text);
        assert!(got.contains(&format!("Encoding: {encoding}\r\n")), "{got}");
        assert_eq!(Letter::read(got.as_bytes(), true).body.text(), text);
    }
}

#[test]
fn only_local_parts_need_smtputf8() {
    let joerg = [mailbox("", "j\u{f6}rg@b\u{fc}cher.example")];
    let anna = [mailbox("J\u{f6}rg", "anna@b\u{fc}cher.example")];
    assert!(compose(|draft| draft.to = &joerg).unwrap().needs_smtputf8);
    assert!(!compose(|draft| draft.to = &anna).unwrap().needs_smtputf8);
}

proptest! {
    #[test]
    fn what_is_written_reads_the_same(
        name in "[ -~\u{e4}\u{3053}\u{1f600}]{0,60}",
        subject in "[ -~\u{e4}\u{3053}\u{1f600}]{0,200}",
        text in "([ -~\u{e4}\u{3053}\u{1f600}=.]{0,120}\n){0,6}[!-~]",
    ) {
        let to = [mailbox(&name, "anna@customer.example"), mailbox("", "b@x.example")];
        let got = bytes(|draft| {
            draft.to = &to;
            draft.subject = &subject;
            draft.text = &text;
        });
        let read = Letter::read(got.as_bytes(), true);
        prop_assert_eq!(&read.to[0].name, &clean_line(&name, NAME_CHARS_MAX));
        prop_assert_eq!(read.to.len(), 2);
        prop_assert_eq!(read.body.text(), text.trim_end());

        // Another reader than ours must agree.
        let parsed = MessageParser::default().parse(got.as_bytes()).unwrap();
        let normal = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        prop_assert_eq!(normal(parsed.subject().unwrap_or_default()), normal(&subject));
        if !subject.contains("=?") {
            let expected = clean_line(&subject, LINE_CHARS_MAX);
            let expected = if expected.is_empty() { "(no subject)" } else { &expected };
            prop_assert_eq!(read.subject.as_str(), expected);
        }
        let body = parsed.body_text(0).unwrap_or_default().replace("\r\n", "\n");
        prop_assert_eq!(body.trim_end(), text.trim_end());
    }
}
