//! Known bytes, and the laws of encoding and decoding.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::milter::negotiation::{Actions, Steps};

/// Bytes written as hexadecimal numbers with spaces between, and text in quotes.
fn hex(text: &str) -> BytesMut {
    let mut bytes = BytesMut::new();
    for word in text.split_whitespace() {
        match word
            .strip_prefix('"')
            .and_then(|word| word.strip_suffix('"'))
        {
            Some(text) => bytes.put_slice(text.as_bytes()),
            None => bytes.put_u8(u8::from_str_radix(word, 16).unwrap()),
        }
    }
    bytes
}

fn decode_command(bytes: &mut BytesMut) -> Result<Option<Command>, WireError> {
    Frame::take(bytes)?.map(Command::decode).transpose()
}

fn decode_reply(bytes: &mut BytesMut) -> Result<Option<Reply>, WireError> {
    Frame::take(bytes)?.map(Reply::decode).transpose()
}

fn text(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

#[test]
fn commands_as_postfix_writes_them() {
    let rows = [
        (
            r#" 00 00 00 0d "O" 00 00 00 06 00 00 01 ff 00 1f ff ff "#,
            Command::Negotiate(Offer::POSTFIX),
        ),
        (
            r#" 00 00 00 06 "DM" "i" 00 "A" 00 "#,
            Command::Macros {
                command: b'M',
                pairs: text("i\0A\0"),
            },
        ),
        (
            r#" 00 00 00 02 "DH" "#,
            Command::Macros {
                command: b'H',
                pairs: Bytes::new(),
            },
        ),
        (
            r#" 00 00 00 11 "C" "mx" 00 "4" 04 01 "192.0.2.7" 00 "#,
            Command::Connect {
                host: text("mx"),
                family: Family::of("192.0.2.7".parse().unwrap(), 1025),
            },
        ),
        (
            r#" 00 00 00 0a "C" "unknown" 00 "U" "#,
            Command::Connect {
                host: text("unknown"),
                family: Family::Unknown,
            },
        ),
        (r#" 00 00 00 04 "H" "mx" 00 "#, Command::Helo(text("mx"))),
        (
            r#" 00 00 00 0e "M" "<a@b>" 00 "SIZE=9" 00 "#,
            Command::Mail(Arguments::new([&b"<a@b>"[..], b"SIZE=9"])),
        ),
        (
            r#" 00 00 00 07 "R" "<c@d>" 00 "#,
            Command::Rcpt(Arguments::new([&b"<c@d>"[..]])),
        ),
        (r#" 00 00 00 01 "T" "#, Command::Data),
        (
            r#" 00 00 00 06 "U" "XYZZ" 00 "#,
            Command::Unknown(text("XYZZ")),
        ),
        (
            r#" 00 00 00 09 "L" "From" 00 20 "a" 00 "#,
            Command::Header {
                name: text("From"),
                value: text(" a"),
            },
        ),
        (r#" 00 00 00 01 "N" "#, Command::EndOfHeaders),
        (
            r#" 00 00 00 04 "B" "a" 0d 0a "#,
            Command::Body(text("a\r\n")),
        ),
        (r#" 00 00 00 01 "E" "#, Command::EndOfMessage(Bytes::new())),
        (r#" 00 00 00 01 "A" "#, Command::Abort),
        (r#" 00 00 00 01 "K" "#, Command::QuitNewConnection),
        (r#" 00 00 00 01 "Q" "#, Command::Quit),
    ];
    for (bytes, command) in rows {
        let mut encoded = BytesMut::new();
        command.encode(&mut encoded);
        assert_eq!(encoded, hex(bytes), "{command:?}");
        assert_eq!(decode_command(&mut encoded), Ok(Some(command)));
        assert!(encoded.is_empty());
    }
}

#[test]
fn replies_as_postfix_reads_them() {
    let rows = [
        (r#" 00 00 00 01 "c" "#, Reply::Plain(Plain::Continue)),
        (r#" 00 00 00 01 "a" "#, Reply::Plain(Plain::Accept)),
        (r#" 00 00 00 01 "p" "#, Reply::Plain(Plain::Progress)),
        (
            r#" 00 00 00 0f "y" "550" 20 "5.1.1" 20 "no" 25 00 "#,
            Reply::ReplyCode(text("550 5.1.1 no%")),
        ),
        (
            r#" 00 00 00 0a "i" 00 00 00 01 "X" 00 20 "v" 00 "#,
            Reply::InsertHeader {
                index: 1,
                name: text("X"),
                value: text(" v"),
            },
        ),
        (
            r#" 00 00 00 08 "m" 00 00 00 03 "X" 00 00 "#,
            Reply::ChangeHeader {
                index: 3,
                name: text("X"),
                value: Bytes::new(),
            },
        ),
        (
            r#" 00 00 00 13 "O" 00 00 00 06 00 00 01 00 00 00 00 80 00 00 00 02 "i" 00 "#,
            Reply::Negotiate(Answer {
                version: 6,
                actions: Actions::SETSYMLIST,
                steps: Steps::NR_HDR,
                symbols: vec![(2, text("i"))],
            }),
        ),
    ];
    for (bytes, reply) in rows {
        let mut encoded = BytesMut::new();
        reply.encode(&mut encoded);
        assert_eq!(encoded, hex(bytes), "{reply:?}");
        assert_eq!(decode_reply(&mut encoded), Ok(Some(reply)));
    }
}

#[test]
fn lengths_are_judged_before_the_data_is_there() {
    let rows = [
        (r#" 00 00 00 00 "#, Err(WireError::Empty)),
        (
            r#" ff ff ff ff "#,
            Err(WireError::TooLong {
                announced: u32::MAX,
            }),
        ),
        (
            r#" 00 01 00 01 "#,
            Err(WireError::TooLong { announced: 65537 }),
        ),
        (
            r#" "GET" 20 "#,
            Err(WireError::TooLong {
                announced: 0x4745_5420,
            }),
        ),
        (r#" 00 01 00 00 "#, Ok(None)),
        (r#" 00 00 00 "#, Ok(None)),
        (r#" 00 00 00 02 "H" "#, Ok(None)),
        (r#" 00 00 00 01 "?" "#, Err(WireError::UnknownCode(b'?'))),
    ];
    for (bytes, result) in rows {
        assert_eq!(decode_command(&mut hex(bytes)), result, "{bytes}");
    }
}

#[test]
fn texts_must_end_and_offers_must_be_whole() {
    for bytes in [
        r#" 00 00 00 03 "H" "mx" "#,
        r#" 00 00 00 01 "M" "#,
        r#" 00 00 00 04 "M" "a" 00 "b" "#,
        r#" 00 00 00 04 "R" "<a>" "#,
        r#" 00 00 00 03 "L" "a" 00 "#,
        r#" 00 00 00 05 "L" "a" 00 20 "b" "#,
        r#" 00 00 00 03 "C" "mx" "#,
        r#" 00 00 00 04 "C" "mx" 00 "#,
        r#" 00 00 00 06 "C" "mx" 00 "4" 00 "#,
        r#" 00 00 00 08 "C" "mx" 00 "4" 00 01 "1" "#,
        r#" 00 00 00 09 "O" 00 00 00 06 00 00 01 ff "#,
        r#" 00 00 00 0c "O" 00 00 00 06 00 00 01 ff 00 1f ff "#,
    ] {
        let result = decode_command(&mut hex(bytes));
        assert!(
            matches!(result, Err(WireError::Malformed { .. })),
            "{bytes}: {result:?}"
        );
    }
    let longer = hex(r#" 00 00 00 11 "O" 00 00 00 06 00 00 01 ff 00 1f ff ff 00 00 00 00 "#);
    assert_eq!(
        decode_command(&mut longer.clone()),
        Ok(Some(Command::Negotiate(Offer::POSTFIX)))
    );
}

#[test]
fn addresses_of_clients() {
    let rows: [(u8, &str, Option<&str>); 10] = [
        (b'4', "192.0.2.7", Some("192.0.2.7")),
        (b'6', "2001:db8::1", Some("2001:db8::1")),
        (b'6', "IPv6:2001:db8::1", Some("2001:db8::1")),
        (b'6', "ipv6:::1", Some("::1")),
        (b'6', "fe80::1%eth0", Some("fe80::1")),
        (b'6', "::ffff:192.0.2.7", Some("192.0.2.7")),
        (b'4', "unknown", None),
        (b'4', "", None),
        (b'6', "\u{e9}\u{e9}\u{e9}", None),
        (b'L', "127.0.0.1", None),
    ];
    for (letter, shown, ip) in rows {
        let family = Family::Known {
            letter,
            port: 0,
            text: Bytes::copy_from_slice(shown.as_bytes()),
        };
        assert_eq!(family.ip(), ip.map(|ip| ip.parse().unwrap()), "{shown}");
    }
    assert_eq!(Family::Unknown.ip(), None);
}

#[test]
fn codes_have_one_byte_and_one_name() {
    for &code in CommandCode::ALL {
        assert_eq!(CommandCode::from_byte(code.byte()), Some(code));
        assert!(code.name().starts_with("SMFIC_"));
    }
    for &code in ReplyCode::ALL {
        assert_eq!(ReplyCode::from_byte(code.byte()), Some(code));
    }
}

fn string() -> impl Strategy<Value = Bytes> {
    vec(1u8.., 0..40).prop_map(Bytes::from)
}

fn data() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..200).prop_map(Bytes::from)
}

fn arguments() -> impl Strategy<Value = Arguments> {
    vec(string(), 1..5).prop_map(|texts| Arguments::new(texts.iter().map(|text| &text[..])))
}

fn family() -> impl Strategy<Value = Family> {
    prop_oneof![
        Just(Family::Unknown),
        (
            prop_oneof![Just(b'4'), Just(b'6'), Just(b'L')],
            any::<u16>(),
            string()
        )
            .prop_map(|(letter, port, text)| Family::Known { letter, port, text }),
    ]
}

fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        any::<(u32, u32, u32)>().prop_map(|(version, actions, steps)| {
            Command::Negotiate(Offer {
                version,
                actions: Actions(actions),
                steps: Steps(steps),
            })
        }),
        (any::<u8>(), data()).prop_map(|(command, pairs)| Command::Macros { command, pairs }),
        (string(), family()).prop_map(|(host, family)| Command::Connect { host, family }),
        string().prop_map(Command::Helo),
        arguments().prop_map(Command::Mail),
        arguments().prop_map(Command::Rcpt),
        string().prop_map(Command::Unknown),
        (string(), string()).prop_map(|(name, value)| Command::Header { name, value }),
        data().prop_map(Command::Body),
        data().prop_map(Command::EndOfMessage),
        prop_oneof![
            Just(Command::Data),
            Just(Command::EndOfHeaders),
            Just(Command::Abort),
            Just(Command::QuitNewConnection),
            Just(Command::Quit),
        ],
    ]
}

fn reply() -> impl Strategy<Value = Reply> {
    let field = || (any::<u32>(), string(), string());
    prop_oneof![
        string().prop_map(Reply::ReplyCode),
        field().prop_map(|(_, name, value)| Reply::AddHeader { name, value }),
        field().prop_map(|(index, name, value)| Reply::InsertHeader { index, name, value }),
        field().prop_map(|(index, name, value)| Reply::ChangeHeader { index, name, value }),
        data().prop_map(Reply::ReplaceBody),
        string().prop_map(Reply::AddRcpt),
        arguments().prop_map(Reply::AddRcptPar),
        string().prop_map(Reply::DelRcpt),
        arguments().prop_map(Reply::ChangeFrom),
        string().prop_map(Reply::Quarantine),
        Just(Reply::Plain(Plain::Skip)),
    ]
}

proptest! {
    #[test]
    fn commands_come_back(commands in vec(command(), 0..8)) {
        let mut bytes = BytesMut::new();
        for command in &commands {
            command.encode(&mut bytes);
        }
        for command in commands {
            prop_assert_eq!(decode_command(&mut bytes), Ok(Some(command)));
        }
        prop_assert_eq!(decode_command(&mut bytes), Ok(None));
    }

    #[test]
    fn replies_come_back(reply in reply()) {
        let mut bytes = BytesMut::new();
        reply.encode(&mut bytes);
        prop_assert_eq!(decode_reply(&mut bytes), Ok(Some(reply)));
    }

    #[test]
    fn anything_else_is_an_error_and_no_panic(code in any::<u8>(), data in data()) {
        let frame = Frame { code, data };
        let _ = Command::decode(frame.clone());
        let _ = Reply::decode(frame);
    }

    #[test]
    fn no_prefix_of_a_frame_is_a_frame(command in command(), cut in any::<prop::sample::Index>()) {
        let mut bytes = BytesMut::new();
        command.encode(&mut bytes);
        bytes.truncate(cut.index(bytes.len()));
        prop_assert_eq!(decode_command(&mut bytes), Ok(None));
    }
}
