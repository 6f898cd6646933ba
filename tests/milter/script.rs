//! Scripts of conversations: how they are written, and how they are played.
//!
//! `> L name\0 value\0` is a frame that the MTA sends, `> RAW bytes` is not framed; `< c` is a
//! frame that must come back, `< EOF` the end of the connection; `= address bytes` is what the
//! receiver must have been shown. `O` takes version, actions and steps as hexadecimal numbers.

use bytes::{BufMut, Bytes, BytesMut};
use postroom::milter::wire::Frame;
use tokio::io::AsyncWriteExt;

use crate::house::Server;

pub(crate) enum Step {
    Send(Vec<u8>),
    Expect(Frame),
    Eof,
    Shown(String, Vec<u8>),
}

/// Text with `\0`, `\r`, `\n`, `\t` and `\xNN` as bytes.
pub(crate) fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = match (first, tail) {
            (b'\\', [b'x', high, low, tail @ ..]) => {
                let digits = [*high, *low];
                let digits = std::str::from_utf8(&digits).unwrap();
                bytes.push(u8::from_str_radix(digits, 16).unwrap());
                tail
            }
            (b'\\', [letter, tail @ ..]) => {
                bytes.push(match letter {
                    b'0' => 0,
                    b'r' => b'\r',
                    b'n' => b'\n',
                    b't' => b'\t',
                    other => panic!("unknown escape {other}"),
                });
                tail
            }
            _ => {
                bytes.push(*first);
                tail
            }
        };
    }
    bytes
}

pub(crate) fn frame(text: &str) -> Frame {
    let (code, data) = text.split_at(1);
    let data = data.strip_prefix(' ').unwrap_or(data);
    let data = if code == "O" {
        let words = data
            .split(' ')
            .map(|word| u32::from_str_radix(word, 16).unwrap());
        words.flat_map(u32::to_be_bytes).collect()
    } else {
        unescape(data)
    };
    Frame {
        code: code.as_bytes()[0],
        data: Bytes::from(data),
    }
}

pub(crate) fn parse(script: &str) -> Vec<Step> {
    let lines = script.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| match line.split_at(2) {
            ("> ", raw) if raw.starts_with("RAW ") => Step::Send(unescape(&raw[4..])),
            ("> ", text) => {
                let frame = frame(text);
                let mut bytes = BytesMut::new();
                bytes.put_u32(u32::try_from(frame.data.len() + 1).unwrap());
                bytes.put_u8(frame.code);
                bytes.put_slice(&frame.data);
                Step::Send(bytes.to_vec())
            }
            ("< ", "EOF") => Step::Eof,
            ("< ", text) => Step::Expect(frame(text)),
            ("= ", text) => {
                let (address, content) = text.split_once(' ').unwrap();
                Step::Shown(address.into(), unescape(content))
            }
            _ => panic!("what is {line:?}?"),
        })
        .collect()
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pace {
    StepByStep,
    AtOnce,
    ByteByByte,
}

pub(crate) async fn play(name: &str, steps: &[Step], tcp: bool, pace: Pace) {
    let mut server = Server::start(tcp, |_| {}).await;
    let mut raw = server.raw().await;
    let sent = steps.iter().filter_map(|step| match step {
        Step::Send(bytes) => Some(&bytes[..]),
        _ => None,
    });
    let all: Vec<u8> = sent.flatten().copied().collect();
    match pace {
        Pace::StepByStep => {}
        Pace::AtOnce => raw.write(&all).await,
        Pace::ByteByByte => {
            for byte in &all {
                raw.write(&[*byte]).await;
                tokio::task::yield_now().await;
            }
        }
    }
    for (place, step) in steps.iter().enumerate() {
        let place = format!("{name} {pace:?} tcp={tcp}, step {}", place + 1);
        match step {
            Step::Send(bytes) if pace == Pace::StepByStep => raw.write(bytes).await,
            Step::Send(_) => {}
            Step::Expect(expected) => {
                let frame = raw.frame().await.expect(&place);
                if expected.code == b'O' {
                    assert_eq!(frame.data[..12], expected.data[..], "{place}");
                    let lists = expected.data[6] & 1 == 1;
                    assert_eq!(frame.data.len() > 12, lists, "{place}");
                } else {
                    assert_eq!(frame, *expected, "{place}");
                }
            }
            Step::Eof => assert_eq!(raw.frame().await, None, "{place}"),
            Step::Shown(address, content) => {
                let shown = server.shown.recv().await.unwrap();
                assert_eq!(shown.0, *address, "{place}");
                assert_eq!(
                    shown.1.escape_ascii().to_string(),
                    content.escape_ascii().to_string(),
                    "{place}"
                );
            }
        }
    }
    // Nothing is said that was not expected: the MTA's end of the stream ends ours.
    let _ = raw.stream.shutdown().await;
    assert_eq!(
        raw.frame().await,
        None,
        "{name} {pace:?} tcp={tcp}: one reply too many"
    );
    server.assert_alive().await;
}
