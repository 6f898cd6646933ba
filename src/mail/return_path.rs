//! Return paths: the envelope sender of a letter of ours, which says which letter came back when a
//! delivery report arrives there.
//!
//! Reports are written by strangers, and forged ones could make a customer's address look dead.
//! The token in the address proves that the report's author was given that very letter.

use super::address::{Address, AddressError};
use super::token::{DELIMITER, Keyring, SEAL_BYTES, bytes_of, text_of};
use crate::id::MessageId;

/// What only return paths are sealed with.
const LABEL: &[u8] = b"postroom bounce";

/// The milliseconds of a message's id are 48 bits; see [`MessageId::new`].
const TIME_BYTES: usize = 6;

/// Of a message's number. 2^40 messages are a thousand a second for 34 years.
const SEQUENCE_BYTES: usize = 5;

/// The seal, the message's time and number, the recipient.
const TOKEN_BYTES: usize = SEAL_BYTES + TIME_BYTES + SEQUENCE_BYTES + 1;

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
    /// ([`super::token::MAILBOX_BYTES_MAX`]), or holds the delimiter itself.
    pub fn mint(self, keyring: &Keyring, mailbox: &Address) -> Result<Address, AddressError> {
        // The first delimiter is where readers cut.
        if mailbox.local().contains(DELIMITER) {
            return Err(AddressError::Syntax);
        }
        let clear = self.clear();
        let seal = keyring.seal(LABEL, &[&clear, mailbox.normalised().as_bytes()]);
        let token = [&seal[..], &clear].concat();
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
        let (seal, clear) = token.split_first_chunk::<SEAL_BYTES>()?;
        let mailbox = mailbox.normalised();
        if !keyring.opens(seal, LABEL, &[clear, mailbox.as_bytes()]) {
            return None;
        }
        let (time, rest) = clear.split_at_checked(TIME_BYTES)?;
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
    fn clear(self) -> Vec<u8> {
        let id = self.message.to_bytes();
        let time = id.iter().take(TIME_BYTES);
        let sequence = id.iter().skip(16 - SEQUENCE_BYTES);
        (time.chain(sequence))
            .chain([&self.recipient])
            .copied()
            .collect()
    }
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
