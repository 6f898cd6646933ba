//! API keys as text: `prk_<key id>_<secret>_<checksum>`.
//!
//! The secret is 256 random bits, of which the store keeps the SHA-256: a fast hash is right for a
//! secret that cannot be guessed. The checksum tells a mistyped key from a wrong one without a
//! look-up, and lets scanners for leaked secrets recognise a key with certainty.

use data_encoding::HEXLOWER;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::id::KeyId;

/// Text that every API key begins with.
pub(super) const API_KEY_PREFIX: &str = "prk_";

const SECRET_BYTES: usize = 32;

/// The secret of a new key. Its id is known once the key is stored.
pub(super) struct Secret([u8; SECRET_BYTES]);

impl Secret {
    /// A fresh one; none if the machine gives no randomness.
    pub(super) fn generate() -> Option<Self> {
        let mut bytes = [0; SECRET_BYTES];
        SystemRandom::new().fill(&mut bytes).ok()?;
        Some(Self(bytes))
    }

    /// What is stored of it.
    pub(super) fn digest(&self) -> [u8; 32] {
        let mut stored = [0; 32];
        stored.copy_from_slice(digest(&SHA256, &self.0).as_ref());
        stored
    }

    /// Whether it is the one of which this is stored. Takes the same time for every answer.
    pub(super) fn matches(&self, stored: &[u8; 32]) -> bool {
        let difference = (self.digest().iter().zip(stored))
            .fold(0, |difference, (ours, theirs)| difference | (ours ^ theirs));
        std::hint::black_box(difference) == 0
    }

    /// The whole key as its holder keeps it.
    pub(super) fn to_key(&self, id: KeyId) -> String {
        let begin = format!("{API_KEY_PREFIX}{id}_{}", HEXLOWER.encode(&self.0));
        let checksum = crc32fast::hash(begin.as_bytes());
        format!("{begin}_{checksum:08x}")
    }
}

/// Takes a key apart; none if it is none, or was mistyped.
pub(super) fn parse(key: &str) -> Option<(KeyId, Secret)> {
    let (begin, checksum) = key.rsplit_once('_')?;
    if checksum.len() != 8
        || u32::from_str_radix(checksum, 16).ok()? != crc32fast::hash(begin.as_bytes())
    {
        return None;
    }
    let (id, secret) = begin.strip_prefix(API_KEY_PREFIX)?.split_once('_')?;
    let secret = HEXLOWER.decode(secret.as_bytes()).ok()?;
    Some((id.parse().ok()?, Secret(secret.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    #[test]
    fn a_key_comes_back_and_a_mistyped_one_does_not() {
        let id = KeyId::new(Timestamp::from_millis(1_700_000_000_000), 3);
        let secret = Secret::generate().unwrap();
        let key = secret.to_key(id);
        let (known, same) = parse(&key).unwrap();
        assert_eq!(known, id);
        assert!(same.matches(&secret.digest()));
        assert!(!Secret::generate().unwrap().matches(&secret.digest()));
        for place in 0..key.len() {
            let mut typo = key.clone().into_bytes();
            typo[place] = if typo[place] == b'7' { b'5' } else { b'7' };
            assert!(
                parse(&String::from_utf8(typo).unwrap()).is_none(),
                "{place}"
            );
        }
        for broken in ["", "_", "prk_", "prk___", "prk_x_y_00000000"] {
            assert!(parse(broken).is_none(), "{broken}");
        }
    }
}
