//! Acknowledgements: the one letter that nobody writes. It tells a person that theirs has arrived,
//! under which number.
//!
//! RFC 3834 says what such a letter must look like and whom it must never reach. Nothing of the
//! letter that it answers is repeated in it, or strangers could have us send their words to
//! anybody; how often one may be sent is decided by who sends it.

use std::sync::Arc;

use super::address::Address;
use super::automatic::{Classification, Kind};
use super::compose::{Composed, Draft, Parent};
use super::loop_mark::LoopMark;
use super::mailbox::Mailbox;
use super::message_id::InternetMessageId;
use super::token::{self, Audience, Keyring, MainNumber, NONCE_BYTES};
use super::trust::Trust;
use crate::id::QueueId;
use crate::time::Timestamp;

/// Longest subject of a template, in characters.
pub const SUBJECT_CHARS_MAX: usize = 200;

/// Longest text of a template, in bytes: two pages.
pub const TEXT_BYTES_MAX: usize = 8 << 10;

/// What stands in a template for the number of the case.
pub const NUMBER: &str = "{number}";

/// What a queue says to people whose letter has arrived. [`NUMBER`] stands for the case's number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// The subject.
    pub subject: String,
    /// The text.
    pub text: String,
}

/// What keys and names letters of ours are signed with.
#[derive(Debug, Clone)]
pub struct Signer {
    /// The keys.
    pub keyring: Arc<Keyring>,
    /// The domain on the right of the Message-IDs that we make.
    pub domain: String,
}

impl PartialEq for Signer {
    /// Whether it is the same ring; keys are not compared.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.keyring, &other.keyring) && self.domain == other.domain
    }
}

impl Eq for Signer {}

/// What is known about a letter that may deserve an acknowledgement.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances<'a> {
    /// What kind of letter it is.
    pub classification: &'a Classification,
    /// How well it is proven who wrote.
    pub trust: Trust,
    /// The envelope sender as it came; empty for the null sender.
    pub envelope_sender: &'a [u8],
    /// Who wrote, if that is one clear address.
    pub author: Option<&'a Address>,
    /// Whether the author's address is one of a queue.
    pub from_queue: bool,
    /// Whether the queue's address stands in To or Cc. Whoever is reached in secret stays silent.
    pub visible: bool,
}

impl Circumstances<'_> {
    /// The address that an acknowledgement may go to; `None` if there must be none.
    #[must_use]
    pub fn recipient(&self) -> Option<&Address> {
        let human = self.classification.kind == Kind::Human && !self.classification.do_not_answer;
        let proven = matches!(self.trust, Trust::A | Trust::B);
        let returns = !self.envelope_sender.is_empty();
        let allowed = human && proven && returns && !self.from_queue && self.visible;
        self.author.filter(|_| allowed)
    }
}

/// An acknowledgement that waits for the number of its case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledgement {
    /// The queue that sends it.
    pub queue: QueueId,
    /// From whom: an address of the queue.
    pub from: Mailbox,
    /// To whom.
    pub to: Mailbox,
    /// What it says.
    pub template: Template,
    /// The letter that it answers.
    pub in_reply_to: Option<InternetMessageId>,
    /// That letter's ancestors, oldest first.
    pub references: Vec<InternetMessageId>,
    /// What makes its Message-ID differ from all others; random.
    pub nonce: [u8; NONCE_BYTES],
    /// What it is signed with.
    pub signer: Signer,
}

impl Acknowledgement {
    /// Writes it for a new case, whose first correspondent its recipient is; `None` if template or
    /// domain are not what the configuration's check allows.
    #[must_use]
    pub fn write(&self, case: MainNumber, now: Timestamp) -> Option<(InternetMessageId, Composed)> {
        let audience = Audience {
            case,
            generation: 0,
            slot: 0,
            address: &self.to.address,
        };
        let Signer { keyring, domain } = &self.signer;
        let id = token::mint(keyring, audience, self.nonce, domain).ok()?;
        let loop_mark = LoopMark::mint(keyring, domain, &id).ok()?;
        let number = case.to_string();
        let composed = Draft {
            from: &self.from,
            to: std::slice::from_ref(&self.to),
            cc: &[],
            reply_to: None,
            subject: &self.template.subject.replace(NUMBER, &number),
            tag: None,
            untag: None,
            html: None,
            pictures: &[],
            files: &[],
            text: &self.template.text.replace(NUMBER, &number),
            parent: Some(Parent {
                subject: "",
                internet_message_id: self.in_reply_to.as_ref(),
                references: &self.references,
                quote: None,
            }),
            forwarded: None,
            date: now,
            internet_message_id: &id,
            loop_mark: &loop_mark,
            automatic: true,
        }
        .compose()
        .ok()?;
        Some((id, composed))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::automatic::{Facts, Match, classify};
    use super::super::header::Header;
    use super::super::letter::Letter;
    use super::super::token::KEY_BYTES;
    use super::*;

    fn ring() -> Arc<Keyring> {
        Arc::new(Keyring::new(0, [(0, [7; KEY_BYTES])]).unwrap())
    }

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    fn acknowledgement() -> Acknowledgement {
        Acknowledgement {
            queue: "support".parse().unwrap(),
            from: Mailbox {
                name: "Shop".to_owned(),
                address: address("support@shop.example"),
            },
            to: Mailbox {
                name: "Anna".to_owned(),
                address: address("anna@customer.example"),
            },
            template: Template {
                subject: "We have your letter [Case {number}]".to_owned(),
                text: "Thank you.\n\nYour case is {number}.\n".to_owned(),
            },
            in_reply_to: InternetMessageId::parse("one@customer.example").ok(),
            references: Vec::new(),
            nonce: *b"0123456789",
            signer: Signer {
                keyring: ring(),
                domain: "shop.example".to_owned(),
            },
        }
    }

    #[test]
    fn byte_for_byte() {
        let number = MainNumber::new(572).unwrap();
        let (id, composed) = acknowledgement()
            .write(number, Timestamp::from_millis(1_795_000_000_000))
            .unwrap();
        let mark = LoopMark::mint(&ring(), "shop.example", &id).unwrap();
        assert_eq!(
            String::from_utf8(composed.bytes).unwrap(),
            format!(
                "From: Shop <support@shop.example>\r\n\
                 To: Anna <anna@customer.example>\r\n\
                 Subject: We have your letter [Case 5724]\r\n\
                 Date: Wed, 18 Nov 2026 11:06:40 +0000\r\n\
                 Message-ID: {id}\r\n\
                 In-Reply-To: <one@customer.example>\r\n\
                 References: <one@customer.example>\r\n\
                 X-Postroom-Loop: {mark}\r\n\
                 Auto-Submitted: auto-replied\r\n\
                 X-Auto-Response-Suppress: All\r\n\
                 MIME-Version: 1.0\r\n\
                 Content-Type: text/plain; charset=utf-8\r\n\
                 Content-Transfer-Encoding: 7bit\r\n\
                 \r\n\
                 Thank you.\r\n\
                 \r\n\
                 Your case is 5724.\r\n"
            )
        );
    }

    #[test]
    fn another_desk_would_not_answer_it() {
        let number = MainNumber::new(572).unwrap();
        let (_, composed) = acknowledgement().write(number, Timestamp::ZERO).unwrap();
        let other = Keyring::new(0, [(0, [8; KEY_BYTES])]).unwrap();
        let header = Header::parse(&composed.bytes);
        let found = classify(
            &Letter::read_header(&composed.bytes),
            &header,
            b"",
            &Facts {
                keyring: &other,
                host: "",
                envelope_sender: b"",
                to_return_path: false,
                from_queue: false,
                own_message_id: false,
            },
        );
        assert_eq!(found.kind, Kind::AutoReply);
        assert!(found.do_not_answer && found.no_receipts);
    }

    fn classification() -> impl Strategy<Value = Classification> {
        let kinds = prop::sample::select(Kind::ALL.to_vec());
        (kinds, any::<bool>(), any::<bool>()).prop_map(|(kind, do_not_answer, no_receipts)| {
            Classification {
                kind,
                do_not_answer: do_not_answer || kind != Kind::Human,
                no_receipts,
                matches: Vec::<Match>::new(),
            }
        })
    }

    proptest! {
        #[test]
        fn only_a_proven_person_who_wrote_to_us_openly(
            classification in classification(),
            trust in prop::sample::select(vec![Trust::A, Trust::B, Trust::C, Trust::D]),
            null_sender: bool,
            named: bool,
            from_queue: bool,
            visible: bool,
        ) {
            let anna = address("anna@customer.example");
            let circumstances = Circumstances {
                classification: &classification,
                trust,
                envelope_sender: if null_sender { b"" } else { b"anna@customer.example" },
                author: named.then_some(&anna),
                from_queue,
                visible,
            };
            let against = classification.kind != Kind::Human
                || classification.do_not_answer
                || trust > Trust::B
                || null_sender
                || !named
                || from_queue
                || !visible;
            prop_assert_eq!(circumstances.recipient().is_some(), !against);
        }
    }
}
