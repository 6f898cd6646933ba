//! Return paths: the envelope sender of a letter of ours, which says which letter came back when a
//! delivery report arrives there.
//!
//! Reports are written by strangers, and forged ones could make a customer's address look dead.
//! The token in the address proves that the report's author was given that very letter.

use ring::hmac;

use super::address::{Address, AddressError};
use super::token::{DELIMITER, Keyring, MAC_BYTES, VERSION, bytes_of, equal, text_of};
use crate::id::MessageId;

/// Bytes of a token: version and key id, the message's time and number, the recipient, the MAC.
const TOKEN_BYTES: usize = 1 + TIME_BYTES + SEQUENCE_BYTES + 1 + MAC_BYTES;

/// The milliseconds of a message's id are 48 bits; see [`MessageId::new`].
const TIME_BYTES: usize = 6;

/// Of a message's number. 2^40 messages are a thousand a second for 34 years.
const SEQUENCE_BYTES: usize = 5;

/// The token as text, in base 32 without padding.
pub const TOKEN_CHARS: usize = (TOKEN_BYTES * 8).div_ceil(5);

/// The recipient's place that stands for all recipients of a message.
pub const EVERYBODY: u8 = u8::MAX;

/// Whose delivery a report to a return path is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReturnPath {
    /// The outbound message.
    pub message: MessageId,
    /// The recipient's place in it; [`EVERYBODY`] if the message went to several at once.
    pub recipient: u8,
}

impl ReturnPath {
    /// The envelope sender `mailbox+bTOKEN@domain`.
    ///
    /// # Errors
    ///
    /// When the mailbox's name is too long to carry a token
    /// ([`super::token::MAILBOX_BYTES_MAX`]).
    pub fn mint(self, keyring: &Keyring, mailbox: &Address) -> Result<Address, AddressError> {
        let head = VERSION << 4 | keyring.current();
        let mut token = self.clear(head);
        // The ring has its current key: its constructor saw to that.
        if let Some(key) = keyring.key(keyring.current()) {
            let tag = sign(key, &token, mailbox);
            token.extend(tag.as_ref().iter().take(MAC_BYTES));
        }
        let local = format!("{}{DELIMITER}b{}", mailbox.local(), text_of(&token));
        Address::from_parts(&local, mailbox.domain())
    }

    /// Reads a return path that we minted, in any letter case; `None` for all other addresses.
    #[must_use]
    pub fn verify(keyring: &Keyring, address: &Address) -> Option<Self> {
        let (mailbox, detail) = address.split_detail(DELIMITER);
        let text = detail?.strip_prefix(['b', 'B'])?;
        if text.len() != TOKEN_CHARS {
            return None;
        }
        let token = bytes_of(text)?;
        let (clear, mac) = token.split_at_checked(TOKEN_BYTES - MAC_BYTES)?;
        let head = *clear.first()?;
        let key = (head >> 4 == VERSION).then(|| keyring.key(head & 0x0f))??;
        if !equal(key, sign(key, clear, &mailbox), mac) {
            return None;
        }
        let (time, rest) = clear.get(1..)?.split_at_checked(TIME_BYTES)?;
        let (sequence, recipient) = rest.split_at_checked(SEQUENCE_BYTES)?;
        let mut id = [0; 16];
        id.get_mut(..TIME_BYTES)?.copy_from_slice(time);
        id.get_mut(16 - SEQUENCE_BYTES..)?.copy_from_slice(sequence);
        Some(Self {
            message: MessageId::from_bytes(id),
            recipient: *recipient.first()?,
        })
    }

    /// What travels in clear.
    fn clear(self, head: u8) -> Vec<u8> {
        let id = self.message.to_bytes();
        let mut clear = vec![head];
        clear.extend(id.iter().take(TIME_BYTES));
        clear.extend(id.iter().skip(16 - SEQUENCE_BYTES));
        clear.push(self.recipient);
        clear
    }
}

/// The clear part has a fixed width, so the mailbox needs no length before it.
fn sign(key: &hmac::Key, clear: &[u8], mailbox: &Address) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    context.update(b"postroom bounce");
    context.update(&[0]);
    context.update(clear);
    context.update(mailbox.normalised().as_bytes());
    context.sign()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::token::{KEY_BYTES, MAILBOX_BYTES_MAX};
    use super::*;
    use crate::time::Timestamp;

    fn ring() -> Keyring {
        Keyring::new(3, [(3, [9; KEY_BYTES]), (1, [7; KEY_BYTES])]).unwrap()
    }

    fn support() -> Address {
        Address::parse("support@shop.example").unwrap()
    }

    #[test]
    fn every_changed_character_is_noticed() {
        let path = ReturnPath {
            message: MessageId::new(Timestamp::from_millis(1_790_000_000_000), 77),
            recipient: 2,
        };
        let address = path.mint(&ring(), &support()).unwrap();
        assert_eq!(ReturnPath::verify(&ring(), &address), Some(path));
        let shouted = Address::parse(&address.to_string().to_uppercase()).unwrap();
        assert_eq!(ReturnPath::verify(&ring(), &shouted), Some(path));
        let text = address.to_string();
        for at in "support+b".len()..text.find('@').unwrap() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'a' { b'b' } else { b'a' };
            let forged = Address::parse_bytes(&bytes).unwrap();
            // Four characters hold nothing but bits of the last byte's padding or more.
            let found = ReturnPath::verify(&ring(), &forged);
            assert_eq!(found, None, "{at}");
        }
        let elsewhere = text.replace("support+", "sales+");
        let elsewhere = Address::parse(&elsewhere).unwrap();
        assert_eq!(ReturnPath::verify(&ring(), &elsewhere), None);
    }

    #[test]
    fn the_longest_mailbox_carries_it() {
        let path = ReturnPath {
            message: MessageId::new(Timestamp::ZERO, 1),
            recipient: EVERYBODY,
        };
        for (more, fits) in [(0, true), (1, false)] {
            let local = "m".repeat(MAILBOX_BYTES_MAX + more);
            let mailbox = Address::from_parts(&local, "shop.example").unwrap();
            assert_eq!(path.mint(&ring(), &mailbox).is_ok(), fits);
        }
    }

    proptest! {
        #[test]
        fn what_is_minted_verifies(millis in 0u64..1 << 48, sequence in 0u64..1 << 40, recipient: u8) {
            let message = MessageId::new(Timestamp::from_millis(millis), sequence);
            let path = ReturnPath { message, recipient };
            let address = path.mint(&ring(), &support()).unwrap();
            prop_assert_eq!(ReturnPath::verify(&ring(), &address), Some(path));
        }

        #[test]
        fn any_address_is_one_or_none(detail in "[bB][a-zA-Z2-7]{35,37}") {
            let address = Address::from_parts(&format!("support+{detail}"), "shop.example").unwrap();
            prop_assert_eq!(ReturnPath::verify(&ring(), &address), None);
        }
    }
}
