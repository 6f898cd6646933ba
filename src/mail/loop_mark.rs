//! The loop mark: the header field by which we know a letter of ours when it comes back.
//!
//! `X-Postroom-Loop: INSTANCE.SEAL` stands in every letter that we compose. The instance says to
//! people whose letter it is; the seal is a MAC over it and the letter's Message-ID. So a mark
//! cannot be moved to another letter, and nobody can make us drop a letter by writing one.

use std::fmt;

use data_encoding::BASE32_NOPAD;

use super::address::{AddressError, normal_domain};
use super::decode;
use super::message_id::InternetMessageId;
use super::token::{Keyring, SEAL_BYTES};

/// The name of the header field.
pub const LOOP_FIELD: &str = "X-Postroom-Loop";

/// What is signed first, so that a seal made for another purpose is worthless here.
const LABEL: &[u8] = b"postroom loop";

/// The seal as text: 10 bytes in base 32.
const SEAL_CHARS: usize = 16;

/// The value of the field in one letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoopMark(String);

impl LoopMark {
    /// Makes the mark of the letter with this id. `instance` is a domain of ours.
    ///
    /// # Errors
    ///
    /// When `instance` is no domain; that is the operator's to mend.
    pub fn mint(
        keyring: &Keyring,
        instance: &str,
        id: &InternetMessageId,
    ) -> Result<Self, AddressError> {
        let instance = normal_domain(instance)?;
        let seal = keyring.seal(LABEL, &[instance.as_bytes(), id.as_str().as_bytes()]);
        let seal = BASE32_NOPAD.encode(&seal).to_ascii_lowercase();
        Ok(Self(format!("{instance}.{seal}")))
    }

    /// Whether the raw value of a field is the mark that we gave the letter with this id.
    #[must_use]
    pub fn is_ours(keyring: &Keyring, value: &[u8], id: &InternetMessageId) -> bool {
        let value = decode::unfold(value);
        let Some((instance, seal)) = value.rsplit_once('.') else {
            return false;
        };
        if seal.len() != SEAL_CHARS {
            return false;
        }
        let Ok(seal) = BASE32_NOPAD.decode(seal.to_ascii_uppercase().as_bytes()) else {
            return false;
        };
        let Ok(seal) = <[u8; SEAL_BYTES]>::try_from(seal) else {
            return false;
        };
        let parts = [instance.as_bytes(), id.as_str().as_bytes()];
        keyring.opens(&seal, LABEL, &parts)
    }
}

impl fmt::Display for LoopMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::token::KEY_BYTES;
    use super::*;

    fn ring(current: u8) -> Keyring {
        Keyring::new(current, [(0, [7; KEY_BYTES]), (3, [9; KEY_BYTES])]).unwrap()
    }

    fn id(text: &str) -> InternetMessageId {
        InternetMessageId::parse(text).unwrap()
    }

    #[test]
    fn only_the_letter_it_was_made_for() {
        let own = id("r.one@mid.shop.example");
        let mark = LoopMark::mint(&ring(3), "Mid.Shop.example", &own)
            .unwrap()
            .to_string();
        assert!(mark.starts_with("mid.shop.example."), "{mark}");
        let stranger = Keyring::new(3, [(3, [8; KEY_BYTES])]).unwrap();
        for (what, ring, value, id, ours) in [
            ("as made", ring(3), mark.clone(), own.clone(), true),
            ("folded", ring(3), format!("\r\n {mark}"), own.clone(), true),
            (
                "after a change of keys",
                ring(0),
                mark.clone(),
                own.clone(),
                true,
            ),
            (
                "another letter",
                ring(3),
                mark.clone(),
                id("r.two@mid.shop.example"),
                false,
            ),
            (
                "another instance",
                ring(3),
                mark.replacen("mid", "mad", 1),
                own.clone(),
                false,
            ),
            ("another's key", stranger, mark.clone(), own.clone(), false),
            (
                "cut",
                ring(3),
                mark[..mark.len() - 1].to_owned(),
                own.clone(),
                false,
            ),
            (
                "no seal",
                ring(3),
                "mid.shop.example.".to_owned(),
                own.clone(),
                false,
            ),
            ("no dot", ring(3), "mark".to_owned(), own.clone(), false),
            ("empty", ring(3), String::new(), own, false),
        ] {
            assert_eq!(
                LoopMark::is_ours(&ring, value.as_bytes(), &id),
                ours,
                "{what}"
            );
        }
    }

    #[test]
    fn every_bit_of_the_seal_counts() {
        let own = id("r.one@mid.shop.example");
        let seal = ring(3).seal(LABEL, &[b"mid.shop.example", own.as_str().as_bytes()]);
        for bit in 0..SEAL_BYTES * 8 {
            let mut wrong = seal;
            wrong[bit / 8] ^= 1 << (bit % 8);
            let value = format!("mid.shop.example.{}", BASE32_NOPAD.encode(&wrong));
            assert!(
                !LoopMark::is_ours(&ring(3), value.as_bytes(), &own),
                "{bit}"
            );
        }
    }
}
