//! How fast frames become commands, and commands become an open message.

#![expect(missing_docs, reason = "criterion's macro writes a public function")]

use std::future::{Future, ready};
use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use postroom::milter::negotiation::Offer;
use postroom::milter::session::Session;
use postroom::milter::wire::{Arguments, Command, DATA_BYTES_MAX, Frame};
use postroom::milter::{
    Arrival, Envelope, Receiver, Recipient, RecipientVerdict, SmtpReply, Verdict,
};

/// Takes everything, so that all content passes through the session.
struct Taker;

impl Receiver for Taker {
    fn message_bytes_max(&self) -> u64 {
        u64::MAX
    }

    fn sender(&self, _: &Envelope) -> Result<(), SmtpReply> {
        Ok(())
    }

    fn recipient(&self, _: &Envelope, _: &Recipient) -> RecipientVerdict {
        RecipientVerdict::Ours
    }

    fn message(&self, _: Arrival) -> impl Future<Output = Verdict> + Send {
        ready(Verdict::Discard)
    }
}

/// One message as Postfix sends it: macros before each of forty header fields, then the body.
fn message(body_bytes: usize) -> BytesMut {
    let mut bytes = BytesMut::new();
    Command::Negotiate(Offer::POSTFIX).encode(&mut bytes);
    Command::Mail(Arguments::new([&b"<anna@example.org>"[..]])).encode(&mut bytes);
    Command::Rcpt(Arguments::new([&b"<support@shop.example>"[..]])).encode(&mut bytes);
    Command::Data.encode(&mut bytes);
    for _ in 0..40 {
        Command::Macros {
            command: b'L',
            pairs: Bytes::from_static(b"i\x004ZbC1x0Xyz1\0"),
        }
        .encode(&mut bytes);
        Command::Header {
            name: Bytes::from_static(b"Received"),
            value: Bytes::from_static(
                b" from mx.example.org (mx.example.org [192.0.2.7])\n\tby us",
            ),
        }
        .encode(&mut bytes);
    }
    Command::EndOfHeaders.encode(&mut bytes);
    let body = vec![b'x'; body_bytes];
    for piece in body.chunks(DATA_BYTES_MAX) {
        Command::Body(Bytes::copy_from_slice(piece)).encode(&mut bytes);
    }
    Command::EndOfMessage(Bytes::new()).encode(&mut bytes);
    bytes
}

fn frames(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("frames");
    for (name, body_bytes) in [("small message", 2_000), ("5 MB message", 5_000_000)] {
        let bytes = message(body_bytes);
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || bytes.clone(),
                |mut arrived| {
                    let mut session = Session::new();
                    let mut actions = Vec::new();
                    while let Ok(Some(frame)) = Frame::take(&mut arrived) {
                        if let Ok(command) = Command::decode(frame) {
                            session.handle(command, &Taker, &mut actions);
                        }
                        black_box(&actions);
                        actions.clear();
                    }
                },
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, frames);
criterion_main!(benches);
