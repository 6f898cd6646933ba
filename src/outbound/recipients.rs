//! To whom a mail goes: what its agent chose, and whom an answer to all is for.

use std::collections::BTreeSet;

use super::reply::ReplyError;
use crate::engine::Handle;
use crate::mail::address::Address;
use crate::mail::compose::{ComposeError, RECIPIENTS_MAX};
use crate::mail::letter::Letter;
use crate::mail::mailbox::Mailbox;
use crate::mail::token::DELIMITER;
use crate::mail::trust::Trust;

/// To whom a mail goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recipients {
    /// At least one.
    pub to: Vec<Mailbox>,
    /// The visible copies.
    pub cc: Vec<Mailbox>,
    /// The copies that nobody sees.
    pub bcc: Vec<Mailbox>,
}

impl Recipients {
    /// Everybody, in the order of the envelope.
    pub(super) fn everybody(&self) -> impl Iterator<Item = &Mailbox> {
        self.to.iter().chain(&self.cc).chain(&self.bcc)
    }

    /// Refuses addresses of ours that an agent named: mail to them would come back as a
    /// customer's.
    pub(super) async fn check_outside(&self, handle: &Handle) -> Result<(), ReplyError> {
        if self.everybody().count() > RECIPIENTS_MAX {
            return Err(ReplyError::Compose(ComposeError::TooManyRecipients));
        }
        let own = own(handle, self.everybody()).await?;
        match own.into_iter().next() {
            Some(own) => Err(ReplyError::OwnAddress(own)),
            None => Ok(()),
        }
    }

    /// Adds a copy for everybody else who had a letter, and for its author, without ourselves.
    ///
    /// Only a letter whose sender is proven says who takes part: anybody can put strangers into
    /// the Cc of a letter in somebody else's name.
    pub(super) async fn add_all_of(
        &mut self,
        handle: &Handle,
        letter: &Letter,
        trust: Trust,
    ) -> Result<(), ReplyError> {
        let author = letter.author.correspondent().into_iter();
        let all: Vec<&Mailbox> = author.chain(&letter.to).chain(&letter.cc).collect();
        let own = own(handle, all.iter().copied()).await?;
        let known: BTreeSet<String> = self.everybody().map(key).collect();
        let missing = |mailbox: &&Mailbox| {
            let key = key(mailbox);
            !own.contains(&key) && !known.contains(&key)
        };
        let missing: Vec<Mailbox> = all.into_iter().filter(missing).cloned().collect();
        if !missing.is_empty() && !matches!(trust, Trust::A | Trust::B) {
            return Err(ReplyError::Unproven);
        }
        self.cc.extend(missing);
        Ok(())
    }

    /// Leaves everybody once, at the place where they are seen by most; then there must be one,
    /// and not too many.
    pub(super) fn settle(&mut self) -> Result<(), ReplyError> {
        let mut seen = BTreeSet::new();
        for list in [&mut self.to, &mut self.cc, &mut self.bcc] {
            list.retain(|mailbox| seen.insert(key(mailbox)));
        }
        if seen.len() > RECIPIENTS_MAX {
            return Err(ReplyError::Compose(ComposeError::TooManyRecipients));
        }
        if self.to.is_empty() {
            return Err(ReplyError::NoRecipient);
        }
        Ok(())
    }

    /// Whether somebody here had no part in a letter: neither its author nor in its To or Cc.
    pub(super) fn has_stranger_to(&self, letter: &Letter) -> bool {
        let author = letter.author.correspondent().into_iter();
        let had: BTreeSet<String> = author
            .chain(&letter.to)
            .chain(&letter.cc)
            .map(key)
            .collect();
        self.everybody().any(|mailbox| !had.contains(&key(mailbox)))
    }
}

/// By what two mailboxes are the same.
fn key(mailbox: &Mailbox) -> String {
    mailbox.address.normalised()
}

/// Which of these are addresses of queues, with whatever detail.
async fn own<'a>(
    handle: &Handle,
    mailboxes: impl Iterator<Item = &'a Mailbox>,
) -> Result<BTreeSet<String>, ReplyError> {
    let addresses: Vec<(String, String)> = mailboxes
        .map(|mailbox| (key(mailbox), bare(&mailbox.address)))
        .collect();
    let own = handle
        .look(move |desk, _| {
            let ours = |bare: &str| {
                (desk.queues().values()).any(|queue| queue.settings.mailbox(bare).is_some())
            };
            (addresses.into_iter())
                .filter(|(full, bare)| ours(full) || ours(bare))
                .map(|(full, _)| full)
                .collect()
        })
        .await?;
    Ok(own)
}

/// An address without its detail.
fn bare(address: &Address) -> String {
    address.split_detail(DELIMITER).0.normalised()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mailbox(address: &str) -> Mailbox {
        Mailbox::from(address.parse::<Address>().unwrap())
    }

    fn mailboxes(addresses: &[&str]) -> Vec<Mailbox> {
        addresses.iter().map(|address| mailbox(address)).collect()
    }

    #[test]
    fn everybody_gets_it_once() {
        let mut recipients = Recipients {
            to: mailboxes(&["a@x.example", "A@X.example"]),
            cc: mailboxes(&["a@x.example", "b@x.example"]),
            bcc: mailboxes(&["b@x.example", "c@x.example"]),
        };
        recipients.settle().unwrap();
        let expected = Recipients {
            to: mailboxes(&["a@x.example"]),
            cc: mailboxes(&["b@x.example"]),
            bcc: mailboxes(&["c@x.example"]),
        };
        assert_eq!(recipients, expected);
        let nobody = Recipients {
            cc: mailboxes(&["b@x.example"]),
            ..Recipients::default()
        };
        assert!(matches!(
            nobody.clone().settle(),
            Err(ReplyError::NoRecipient)
        ));
        let many = (0..=RECIPIENTS_MAX).map(|n| mailbox(&format!("{n}@x.example")));
        let mut many = Recipients {
            to: many.collect(),
            ..nobody
        };
        assert!(matches!(
            many.settle(),
            Err(ReplyError::Compose(ComposeError::TooManyRecipients))
        ));
    }

    #[test]
    fn who_had_a_letter() {
        let raw = b"From: a@x.example\r\nTo: b@x.example\r\nCc: C@x.example\r\n\r\n";
        let letter = Letter::read(raw, true);
        for (to, stranger) in [
            (&["a@x.example", "c@x.example"][..], false),
            (&["a@x.example", "d@x.example"], true),
        ] {
            let recipients = Recipients {
                to: mailboxes(to),
                ..Recipients::default()
            };
            assert_eq!(recipients.has_stranger_to(&letter), stranger);
        }
    }
}
