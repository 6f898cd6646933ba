//! What is done with fuzzed bytes, and what must hold whatever they are. Used by the fuzz targets,
//! and by `tests/fuzz.rs`, which replays the corpus with seeded mutations in every test run.

use std::future::{Future, ready};

use bytes::{Bytes, BytesMut};
use postroom::mail::letter::Letter;
use postroom::mail::report::Report;
use postroom::mail::{html, mailbox, results};
use postroom::milter::negotiation::{Actions, Offer, Steps};
use postroom::milter::session::{Action, Session};
use postroom::milter::wire::{Command, Frame, Reply};
use postroom::milter::{
    Arrival, Envelope, FieldName, Receiver, Recipient, RecipientVerdict, SmtpReply, Tag, Verdict,
    plan_tags, removals,
};

/// What was read is written as something that is read as the same.
pub(crate) fn frames(data: &[u8]) {
    let mut arrived = BytesMut::from(data);
    while let Ok(Some(frame)) = Frame::take(&mut arrived) {
        if let Ok(command) = Command::decode(frame.clone()) {
            let mut written = BytesMut::new();
            command.encode(&mut written);
            let again = Frame::take(&mut written).unwrap().unwrap();
            assert_eq!(Command::decode(again), Ok(command));
        }
        if let Ok(reply) = Reply::decode(frame) {
            let mut written = BytesMut::new();
            reply.encode(&mut written);
            let again = Frame::take(&mut written).unwrap().unwrap();
            assert_eq!(Reply::decode(again), Ok(reply));
        }
    }
}

/// Who decides by the first letter of an address.
struct Puppet;

const TAG: FieldName = FieldName::new("X-Tag");

impl Receiver for Puppet {
    fn message_bytes_max(&self) -> u64 {
        1000
    }

    fn sender(&self, envelope: &Envelope) -> Result<(), SmtpReply> {
        match envelope.sender.first() {
            Some(b'!') => Err(SmtpReply::new(550, 7, 1, "100% no\nreally")),
            _ => Ok(()),
        }
    }

    fn recipient(&self, _: &Envelope, recipient: &Recipient) -> RecipientVerdict {
        match recipient.address.first() {
            Some(b'!') => RecipientVerdict::Refuse(SmtpReply::new(450, 2, 0, "later")),
            Some(b'.') => RecipientVerdict::Foreign,
            _ => RecipientVerdict::Ours,
        }
    }

    fn message(&self, _: Arrival) -> impl Future<Output = Verdict> + Send {
        ready(Verdict::Discard)
    }
}

/// The codes of commands, and one that is none.
const CODES: &[u8; 16] = b"OCHMRTULNBEADKQ?";

/// The first three bytes choose what is offered; then each command is a code, a length and data.
/// Content is gathered only between its beginning and its end, everything that is asked is answered
/// once, and nothing else is.
pub(crate) fn session(data: &[u8]) {
    let [version, actions, steps, rest @ ..] = data else {
        return;
    };
    let offer = Offer {
        version: u32::from(version % 8),
        actions: if actions % 2 == 0 {
            Actions::POSTFIX
        } else {
            Actions(u32::from(*actions))
        },
        steps: if steps % 2 == 0 {
            Steps::POSTFIX
        } else {
            Steps(u32::from(*steps))
        },
    };
    let mut session = Session::new();
    let mut happened = Vec::new();
    session.handle(Command::Negotiate(offer), &Puppet, &mut happened);
    let mut open = false;
    let mut rest = rest;
    while let [code, len, after @ ..] = rest {
        let code = CODES[usize::from(code % 16)];
        let (data, after) = after.split_at(after.len().min(usize::from(*len)));
        rest = after;
        let data = Bytes::copy_from_slice(data);
        let Ok(command) = Command::decode(Frame { code, data }) else {
            continue;
        };
        happened.clear();
        session.handle(command, &Puppet, &mut happened);
        let mut replies = Vec::new();
        for action in happened.drain(..) {
            match action {
                Action::Begin { .. } => assert!(!std::mem::replace(&mut open, true)),
                Action::Header { .. } | Action::EndOfHeaders | Action::Body(_) => assert!(open),
                Action::Abort => assert!(std::mem::replace(&mut open, false)),
                Action::Finish(finished) => {
                    assert!(std::mem::replace(&mut open, false));
                    assert!(!finished.recipients.is_empty());
                    replies.extend(session.conclude(verdict(&finished.recipients)).replies);
                }
                Action::Reply(reply) => replies.push(reply),
                Action::Close(_) => return,
            }
        }
        check(code, replies);
    }
}

fn verdict(recipients: &[Recipient]) -> Verdict {
    let mut edits = plan_tags(&[], &[TAG], &[Tag::new(TAG, "tag").unwrap()]);
    match recipients.len() % 3 {
        0 => return Verdict::Refuse(SmtpReply::new(554, 6, 0, "no")),
        1 => edits.extend(removals(recipients)),
        _ => {}
    }
    Verdict::Accept { edits }
}

/// Edits come before the last word, there is one last word where one is due, and all of it can be
/// read by the pickiest MTA.
fn check(code: u8, replies: Vec<Reply>) {
    let is_edit = |reply: &Reply| {
        !matches!(
            reply,
            Reply::Negotiate(_) | Reply::Plain(_) | Reply::ReplyCode(_)
        )
    };
    let edits = replies.iter().take_while(|reply| is_edit(reply)).count();
    let last_words = replies.len() - edits;
    match code {
        b'A' | b'D' | b'K' | b'Q' => assert!(replies.is_empty()),
        b'E' => assert_eq!(last_words, 1),
        b'M' | b'R' | b'T' | b'O' => assert_eq!((edits, last_words), (0, 1)),
        _ => assert!(edits == 0 && last_words <= 1),
    }
    for reply in replies {
        let mut written = BytesMut::new();
        reply.encode(&mut written);
        let again = Frame::take(&mut written).unwrap().unwrap();
        assert_eq!(Reply::decode(again), Ok(reply));
    }
}

/// Whatever arrives is a letter that can be shown.
pub(crate) fn letters(data: &[u8]) {
    for whole in [true, false] {
        let letter = Letter::read(data, whole);
        let body = &letter.body;
        assert!(body.fresh().len() <= body.text().len());
        assert!(body.quoted().len() <= body.text().len());
    }
    let _ = Letter::read_header(data);
    let _ = Report::read(data);
    let _ = mailbox::parse_list(data);
    let _ = results::speaks_for(data, "shop.example");
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = html::to_text(text);
    }
}
