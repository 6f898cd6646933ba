//! Tokens: what ties an answer to its case without anybody's having to type a number.
//!
//! A token carries which case and which correspondent it was made for, and a MAC that only we can
//! make. It travels in the Message-IDs of our letters, which a customer's program copies into
//! `In-Reply-To` and `References`, and in the address that it answers to.

use std::fmt;

use data_encoding::BASE32_NOPAD;
use ring::hmac;

use super::address::{Address, AddressError, normal_domain};
pub use super::main_number::{MainNumber, MainNumberError};
use super::message_id::InternetMessageId;

/// Most keys in a ring: a token names its key in four bits.
pub const KEYS_MAX: usize = 16;

/// Bytes of one key: as long as the hash, which is what RFC 2104 recommends.
pub const KEY_BYTES: usize = 32;

/// The keys that tokens are signed with: one for new tokens, the others for those still out in
/// people's mailboxes. Retiring a key revokes every token made with it.
#[derive(Clone)]
pub struct Keyring {
    current: u8,
    keys: [Option<hmac::Key>; KEYS_MAX],
}

impl Keyring {
    /// Puts a ring together; `current` is the id of the key that signs. The secrets come from
    /// the operator's machine, [`KEY_BYTES`] random bytes each; none are made here.
    ///
    /// # Errors
    ///
    /// When an id is not below [`KEYS_MAX`], stands twice, or the current one has no key.
    pub fn new(
        current: u8,
        keys: impl IntoIterator<Item = (u8, [u8; KEY_BYTES])>,
    ) -> Result<Self, KeyringError> {
        let mut ring = Self {
            current,
            keys: std::array::from_fn(|_| None),
        };
        for (id, secret) in keys {
            let place = ring
                .keys
                .get_mut(usize::from(id))
                .ok_or(KeyringError::Id(id))?;
            if place.is_some() {
                return Err(KeyringError::Twice(id));
            }
            *place = Some(hmac::Key::new(hmac::HMAC_SHA256, &secret));
        }
        if ring.key(current).is_none() {
            return Err(KeyringError::NoCurrent(current));
        }
        Ok(ring)
    }

    /// This ring with one more key, which signs from now on. The key that had its id is retired,
    /// and with it every token that it signed.
    #[must_use]
    pub fn rotated(&self, secret: &[u8; KEY_BYTES]) -> Self {
        let mut ring = self.clone();
        ring.current = self.next_id();
        if let Some(place) = ring.keys.get_mut(usize::from(ring.current)) {
            *place = Some(hmac::Key::new(hmac::HMAC_SHA256, secret));
        }
        ring
    }

    /// The id that the next key has: the ids go round, so the oldest key is the one that is
    /// retired.
    #[must_use]
    pub const fn next_id(&self) -> u8 {
        (self.current + 1) % KEYS_MAX as u8
    }

    /// The id of the key that signs.
    #[must_use]
    pub const fn current(&self) -> u8 {
        self.current
    }

    fn key(&self, id: u8) -> Option<&hmac::Key> {
        self.keys.get(usize::from(id)).and_then(Option::as_ref)
    }

    /// Signs `parts` under a label that no token has: version and key id, then the MAC.
    pub(super) fn seal(&self, label: &[u8], parts: &[&[u8]]) -> [u8; SEAL_BYTES] {
        let head = VERSION << 4 | self.current;
        let mut seal = [head; SEAL_BYTES];
        // The constructor saw to it that the current key is there.
        if let Some(key) = self.key(self.current) {
            let tag = sign_parts(key, label, head, parts);
            for (place, byte) in seal.iter_mut().skip(1).zip(tag.as_ref()) {
                *place = *byte;
            }
        }
        seal
    }

    /// Whether we made this seal for these parts. Takes the same time whichever byte is wrong.
    pub(super) fn opens(&self, seal: &[u8; SEAL_BYTES], label: &[u8], parts: &[&[u8]]) -> bool {
        let [head, mac @ ..] = seal;
        let key = self.key(head & 0x0f).filter(|_| head >> 4 == VERSION);
        key.is_some_and(|key| is_mac(key, mac, &sign_parts(key, label, *head, parts)))
    }
}

impl fmt::Debug for Keyring {
    /// Names the ids only; secrets do not belong in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = self.keys.iter().enumerate();
        let ids = held.filter_map(|(id, key)| key.as_ref().map(|_| id));
        f.debug_struct("Keyring")
            .field("current", &self.current)
            .field("keys", &ids.collect::<Vec<_>>())
            .finish()
    }
}

/// Why keys make no ring. The operator must mend the key file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyringError {
    /// A key id above 15.
    Id(u8),
    /// A key id that stands twice.
    Twice(u8),
    /// The current key id has no key.
    NoCurrent(u8),
}

impl fmt::Display for KeyringError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "key id {id} is above 15"),
            Self::Twice(id) => write!(f, "key id {id} stands twice"),
            Self::NoCurrent(id) => write!(f, "there is no key with the current id {id}"),
        }
    }
}

impl std::error::Error for KeyringError {}

/// What a token is for. The label is the first thing signed, so that a token made for one purpose
/// is worthless for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Label {
    /// A Message-ID of ours.
    Mid,
    /// An address to answer to.
    Reply,
}

impl Label {
    const fn bytes(self) -> &'static [u8] {
        match self {
            Self::Mid => b"postroom mid",
            Self::Reply => b"postroom reply",
        }
    }
}

/// Whom a token was written for: one correspondent of one case.
///
/// A case numbers its correspondents; that number is the slot, and it travels in clear. The
/// address itself is only inside the MAC, so nobody reads it out of an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Audience<'a> {
    /// The case.
    pub case: MainNumber,
    /// The case's token generation. Raising it revokes every token of the case.
    pub generation: u32,
    /// The correspondent's number within the case.
    pub slot: u16,
    /// The correspondent's address.
    pub address: &'a Address,
}

/// Bytes of the nonce that makes two ids of one correspondent differ.
pub const NONCE_BYTES: usize = 10;

/// Version of the token's layout, in the high four bits of its first byte.
const VERSION: u8 = 1;

/// Bytes of the MAC that travel: 72 bits. A forger who sends a thousand guesses a second needs
/// 150,000 years for one hit.
const MAC_BYTES: usize = 9;

/// Version and key id, MAC: what [`Keyring::seal`] makes.
pub(super) const SEAL_BYTES: usize = 1 + MAC_BYTES;

/// The token as text: version and key id, case, slot and MAC are 18 bytes, in base 32 without
/// padding.
const TOKEN_CHARS: usize = 29;

/// The nonce as text.
const NONCE_CHARS: usize = 16;

/// Mints the Message-ID `<r.TOKEN.NONCE@domain>` for a letter to one correspondent.
///
/// `nonce` must be random: it is what makes ids unique. `domain` is the one the operator set
/// aside for Message-IDs; it names no host.
///
/// The queue's address is not among what is signed. A token inside a recipient address must be
/// bound to its queue, or it could be moved to another queue's address; a Message-ID is no
/// address, cases move between queues, and a reply that comes in by the queue the case has left
/// must still find it.
///
/// # Errors
///
/// When `domain` is no domain; that is the operator's to mend.
pub fn mint(
    keyring: &Keyring,
    audience: Audience<'_>,
    nonce: [u8; NONCE_BYTES],
    domain: &str,
) -> Result<InternetMessageId, AddressError> {
    let domain = normal_domain(domain)?;
    let token = token(keyring, Label::Mid, audience, &nonce);
    let text = format!("r.{}.{}@{domain}", text_of(&token), text_of(&nonce));
    InternetMessageId::parse(&text).map_err(|_| AddressError::TooLong)
}

/// Mints the address `queue+rTOKEN@domain` for a correspondent to answer to; `mailbox` is the
/// queue's own address, which is among what is signed: the token is worthless in front of another
/// queue's.
///
/// # Errors
///
/// When the mailbox's name is too long to carry a token ([`MAILBOX_BYTES_MAX`]), or holds the
/// delimiter itself.
pub fn mint_address(
    keyring: &Keyring,
    audience: Audience<'_>,
    mailbox: &Address,
) -> Result<Address, AddressError> {
    // The first delimiter is where readers cut.
    if mailbox.local().contains(DELIMITER) {
        return Err(AddressError::Syntax);
    }
    let token = token(
        keyring,
        Label::Reply,
        audience,
        mailbox.normalised().as_bytes(),
    );
    let local = format!("{}{DELIMITER}r{}", mailbox.local(), text_of(&token));
    Address::from_parts(&local, mailbox.domain())
}

/// What stands between a mailbox and what it carries, as in `support+r…@`. Postfix's
/// `recipient_delimiter` has to be the same.
pub const DELIMITER: char = '+';

/// Longest local part of a mailbox that leaves room for a token, in bytes: 64 of RFC 5321
/// (4.5.3.1.1) less the delimiter, a letter and the longest token, that of a return path.
pub const MAILBOX_BYTES_MAX: usize = 64 - 2 - super::return_path::TOKEN_CHARS;

/// The case, correspondent and MAC that a token holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Parts {
    head: u8,
    case: MainNumber,
    slot: u16,
    mac: [u8; MAC_BYTES],
}

impl Parts {
    /// Reads a token's text, in any letter case; `None` for all other texts.
    fn parse(text: &str) -> Option<Self> {
        if text.len() != TOKEN_CHARS {
            return None;
        }
        let token = bytes_of(text)?;
        let (head, rest) = token.split_first_chunk::<1>()?;
        let (case, rest) = rest.split_first_chunk::<6>()?;
        let (slot, mac) = rest.split_first_chunk::<2>()?;
        let [head] = *head;
        if head >> 4 != VERSION {
            return None;
        }
        let serial = case
            .iter()
            .fold(0, |serial, byte| serial << 8 | u64::from(*byte));
        Some(Self {
            head,
            case: MainNumber::new(serial)?,
            slot: u16::from_be_bytes(*slot),
            mac: mac.try_into().ok()?,
        })
    }

    fn verify(
        &self,
        keyring: &Keyring,
        label: Label,
        generation: u32,
        address: &Address,
        extra: &[u8],
    ) -> bool {
        let Some(key) = keyring.key(self.head & 0x0f) else {
            return false;
        };
        let audience = Audience {
            case: self.case,
            generation,
            slot: self.slot,
            address,
        };
        is_mac(
            key,
            &self.mac,
            &sign(key, label, self.head, audience, extra),
        )
    }
}

/// What an id that looks like ours says of itself. Nothing of it is true until [`Claim::verify`]
/// says so; until then it only says which case and correspondent to look up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    parts: Parts,
    nonce: [u8; NONCE_BYTES],
}

impl Claim {
    /// Reads an id of the form that [`mint`] makes, in any letter case; `None` for all others.
    ///
    /// The domain is not looked at. The MAC alone says whose id it is, and ids made before the
    /// operator changed the domain keep their worth.
    #[must_use]
    pub fn parse(id: &InternetMessageId) -> Option<Self> {
        let (local, _) = id.as_str().rsplit_once('@')?;
        let mut texts = local.split('.');
        let (tag, token, nonce) = (texts.next()?, texts.next()?, texts.next()?);
        let ours =
            texts.next().is_none() && tag.eq_ignore_ascii_case("r") && nonce.len() == NONCE_CHARS;
        if !ours {
            return None;
        }
        Some(Self {
            parts: Parts::parse(token)?,
            nonce: bytes_of(nonce)?.try_into().ok()?,
        })
    }

    /// The case it claims to belong to.
    #[must_use]
    pub const fn case(&self) -> MainNumber {
        self.parts.case
    }

    /// The correspondent it claims to have been written for, as numbered by the case.
    #[must_use]
    pub const fn slot(&self) -> u16 {
        self.parts.slot
    }

    /// Whether we minted this id for `address` while the case was in `generation`. Takes the same
    /// time whichever byte is wrong.
    #[must_use]
    pub fn verify(&self, keyring: &Keyring, generation: u32, address: &Address) -> bool {
        (self.parts).verify(keyring, Label::Mid, generation, address, &self.nonce)
    }
}

/// What an address of ours with a token says of itself; nothing of it is true until
/// [`AddressClaim::verify`] says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressClaim {
    parts: Parts,
}

impl AddressClaim {
    /// Reads an address of the form that [`mint_address`] makes, in any letter case, as some
    /// programs fold it; `None` for all others.
    #[must_use]
    pub fn parse(address: &Address) -> Option<Self> {
        let (_, detail) = address.split_detail(DELIMITER);
        let text = detail?.strip_prefix(['r', 'R'])?;
        Some(Self {
            parts: Parts::parse(text)?,
        })
    }

    /// The case it claims to belong to.
    #[must_use]
    pub const fn case(&self) -> MainNumber {
        self.parts.case
    }

    /// The correspondent it claims to have been written for, as numbered by the case.
    #[must_use]
    pub const fn slot(&self) -> u16 {
        self.parts.slot
    }

    /// Whether we minted it for `address` to answer to `mailbox` while the case was in
    /// `generation`. Takes the same time whichever byte is wrong.
    #[must_use]
    pub fn verify(
        &self,
        keyring: &Keyring,
        generation: u32,
        address: &Address,
        mailbox: &Address,
    ) -> bool {
        let mailbox = mailbox.normalised();
        (self.parts).verify(
            keyring,
            Label::Reply,
            generation,
            address,
            mailbox.as_bytes(),
        )
    }
}

/// A token of the current key; `extra` is signed with it and does not travel.
fn token(keyring: &Keyring, label: Label, audience: Audience<'_>, extra: &[u8]) -> Vec<u8> {
    let head = VERSION << 4 | keyring.current;
    let serial = audience.case.serial().to_be_bytes();
    let mut token = vec![head];
    token.extend(serial.iter().skip(2));
    token.extend(audience.slot.to_be_bytes());
    // The constructor saw to it that the current key is there.
    if let Some(key) = keyring.key(keyring.current) {
        let tag = sign(key, label, head, audience, extra);
        token.extend(tag.as_ref().iter().take(MAC_BYTES));
    }
    token
}

/// A token's bytes as text: lower-case base 32 without padding, safe in a local part.
pub(super) fn text_of(token: &[u8]) -> String {
    BASE32_NOPAD.encode(token).to_ascii_lowercase()
}

/// The inverse of [`text_of`], in any letter case.
pub(super) fn bytes_of(text: &str) -> Option<Vec<u8>> {
    BASE32_NOPAD
        .decode(text.to_ascii_uppercase().as_bytes())
        .ok()
}

/// Whether a MAC that travelled is the expected one. ring compares whole tags only. Signing both
/// truncated values once more lets its constant-time comparison decide, and we need none of our
/// own.
fn is_mac(key: &hmac::Key, mac: &[u8], expected: &hmac::Tag) -> bool {
    let expected = expected.as_ref().get(..MAC_BYTES).unwrap_or_default();
    hmac::verify(key, expected, hmac::sign(key, mac).as_ref()).is_ok()
}

fn sign_parts(key: &hmac::Key, label: &[u8], head: u8, parts: &[&[u8]]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    context.update(label);
    context.update(&[0, head]);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    context.sign()
}

/// Every part has a fixed width or its length before it, so that no two audiences sign the same
/// bytes.
fn sign(
    key: &hmac::Key,
    label: Label,
    head: u8,
    audience: Audience<'_>,
    extra: &[u8],
) -> hmac::Tag {
    let address = audience.address.normalised();
    let mut context = hmac::Context::with_key(key);
    context.update(label.bytes());
    context.update(&[0, head]);
    context.update(&audience.case.serial().to_be_bytes());
    context.update(&audience.generation.to_be_bytes());
    context.update(&audience.slot.to_be_bytes());
    context.update(&(address.len() as u64).to_be_bytes());
    context.update(address.as_bytes());
    // Last, so that its length need not be told from anything.
    context.update(extra);
    context.sign()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ring(current: u8) -> Keyring {
        Keyring::new(current, [(0, [7; KEY_BYTES]), (3, [9; KEY_BYTES])]).unwrap()
    }

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    fn minted(audience: Audience<'_>) -> InternetMessageId {
        mint(&ring(3), audience, *b"0123456789", "mid.shop.example").unwrap()
    }

    #[test]
    fn an_id_is_ours_for_its_audience_alone() {
        let anna = address("Anna@customer.example");
        let case = MainNumber::new(10_004_711).unwrap();
        let audience = Audience {
            case,
            generation: 2,
            slot: 5,
            address: &anna,
        };
        let id = minted(audience);
        let text = id.as_str();
        assert_eq!(
            text.len(),
            "r.".len() + TOKEN_CHARS + 1 + NONCE_CHARS + "@mid.shop.example".len()
        );

        let claim = Claim::parse(&id).unwrap();
        assert_eq!((claim.case(), claim.slot()), (case, 5));
        assert!(claim.verify(&ring(3), 2, &anna));
        // Another key signs by now; the old one is still in the ring.
        assert!(claim.verify(&ring(0), 2, &address("anna@CUSTOMER.example")));

        assert!(!claim.verify(&ring(3), 3, &anna), "generation");
        assert!(
            !claim.verify(&ring(3), 2, &address("bert@customer.example")),
            "address"
        );
        let retired = Keyring::new(0, [(0, [7; KEY_BYTES])]).unwrap();
        assert!(!claim.verify(&retired, 2, &anna), "retired key");
        let other = Keyring::new(3, [(3, [8; KEY_BYTES])]).unwrap();
        assert!(!claim.verify(&other, 2, &anna), "other key");
    }

    #[test]
    fn letter_case_and_domain_do_not_matter() {
        let anna = address("anna@customer.example");
        let case = MainNumber::new(1).unwrap();
        let id = minted(Audience {
            case,
            generation: 0,
            slot: 0,
            address: &anna,
        });
        let shouted = id
            .as_str()
            .to_uppercase()
            .replace("MID.SHOP", "RELAY.ELSEWHERE");
        let claim = Claim::parse(&InternetMessageId::parse(&shouted).unwrap()).unwrap();
        assert!(claim.verify(&ring(0), 0, &anna));
    }

    #[test]
    fn every_changed_character_is_noticed() {
        let anna = address("anna@customer.example");
        let case = MainNumber::new(77).unwrap();
        let id = minted(Audience {
            case,
            generation: 0,
            slot: 1,
            address: &anna,
        });
        for at in 2..2 + TOKEN_CHARS + 1 + NONCE_CHARS {
            let mut bytes = id.as_str().as_bytes().to_vec();
            bytes[at] = if bytes[at] == b'a' { b'b' } else { b'a' };
            let forged = String::from_utf8(bytes).unwrap();
            let claim = Claim::parse(&InternetMessageId::parse(&forged).unwrap());
            assert!(!claim.is_some_and(|c| c.verify(&ring(3), 0, &anna)), "{at}");
        }
    }

    #[test]
    fn keys_go_round() {
        let anna = address("anna@customer.example");
        let audience = Audience {
            case: MainNumber::new(7).unwrap(),
            generation: 0,
            slot: 0,
            address: &anna,
        };
        let mut rings = vec![Keyring::new(14, [(14, [1; KEY_BYTES])]).unwrap()];
        for secret in 2..=17 {
            let newest = rings.last().unwrap();
            rings.push(newest.rotated(&[secret; KEY_BYTES]));
        }
        assert_eq!(rings[1].current(), 15);
        assert_eq!(rings[2].current(), 0);
        let holds = |minted: &Keyring, now: &Keyring| {
            let id = mint(minted, audience, *b"0123456789", "mid.shop.example").unwrap();
            Claim::parse(&id).unwrap().verify(now, 0, &anna)
        };
        // A token outlives fifteen rotations, and the sixteenth takes its key's place.
        assert!(holds(&rings[0], &rings[15]));
        assert!(!holds(&rings[0], &rings[16]));
        assert!(holds(&rings[1], &rings[16]));
    }

    #[test]
    fn an_address_is_ours_for_its_queue_alone() {
        let anna = address("anna@customer.example");
        let audience = Audience {
            case: MainNumber::new(7).unwrap(),
            generation: 2,
            slot: 1,
            address: &anna,
        };
        let (support, sales) = (
            address("support@shop.example"),
            address("sales@shop.example"),
        );
        let minted = mint_address(&ring(3), audience, &support).unwrap();
        let claim = AddressClaim::parse(&minted).unwrap();
        assert_eq!((claim.case(), claim.slot()), (audience.case, 1));
        assert!(claim.verify(&ring(0), 2, &anna, &support));
        assert!(!claim.verify(&ring(0), 2, &anna, &sales), "another queue");
        assert!(!claim.verify(&ring(0), 3, &anna, &support), "revoked");
        // It is worth nothing as a Message-ID, nor the other way round.
        let (_, token) = minted.split_detail(DELIMITER);
        let token = token.unwrap().trim_start_matches('r').to_owned();
        let id = InternetMessageId::parse(&format!("r.{token}.{}@x", "a".repeat(16))).unwrap();
        let stolen = Claim::parse(&id).is_some_and(|claim| claim.verify(&ring(3), 2, &anna));
        assert!(!stolen);
        for other in [
            "support@shop.example",
            "support+r@shop.example",
            "support+rabc@shop.example",
        ] {
            assert_eq!(AddressClaim::parse(&address(other)), None, "{other}");
        }
    }

    #[test]
    fn a_ring_needs_its_current_key() {
        assert_eq!(Keyring::new(1, []).unwrap_err(), KeyringError::NoCurrent(1));
        assert_eq!(
            Keyring::new(16, [(16, [0; 32])]).unwrap_err(),
            KeyringError::Id(16)
        );
        let twice = [(1, [0; 32]), (1, [1; 32])];
        assert_eq!(Keyring::new(1, twice).unwrap_err(), KeyringError::Twice(1));
        assert!(!format!("{:?}", ring(3)).contains("9, 9"));
    }

    proptest! {
        #[test]
        fn what_is_minted_verifies(serial in 1..=MainNumber::SERIAL_MAX, generation: u32, slot: u16, nonce: [u8; NONCE_BYTES]) {
            let anna = address("anna@customer.example");
            let case = MainNumber::new(serial).unwrap();
            let id = mint(&ring(0), Audience { case, generation, slot, address: &anna }, nonce, "x.example").unwrap();
            let claim = Claim::parse(&id).unwrap();
            prop_assert_eq!((claim.case(), claim.slot()), (case, slot));
            prop_assert!(claim.verify(&ring(3), generation, &anna));
        }

        #[test]
        fn any_id_is_a_claim_or_none(text in "r\\.[a-z2-7]{28,30}\\.[a-z2-7]{15,17}@x") {
            let _ = Claim::parse(&InternetMessageId::parse(&text).unwrap());
        }
    }
}
