//! What ties a reply to its case: the MainNumber that people quote, and the signed Message-IDs
//! that mail programs quote for them.
//!
//! The number is never secret and never sufficient: anybody can guess the next one. The signed id
//! is what counts. It carries which case and which correspondent it was written for, and a MAC
//! that only we can make; a customer's program copies it into `In-Reply-To` and `References`
//! without anybody noticing.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE32_NOPAD;
use ring::hmac;
use serde::{Deserialize, Serialize};

use super::address::{Address, AddressError, normal_domain};
use super::message_id::InternetMessageId;

/// A case's number as people see it: the serial number, which is the case's identity, and one
/// check digit after Damm, which catches every single wrong digit and every swap of neighbours.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct MainNumber(u64);

impl MainNumber {
    /// Largest serial number: it travels as 48 bits in tokens. At a thousand cases a second it
    /// lasts 8,900 years.
    pub const SERIAL_MAX: u64 = (1 << 48) - 1;

    /// Digits of the longest number: 15 of the largest serial and the check digit.
    const DIGITS_MAX: usize = 16;

    /// The number of the case with this serial number, from 1 to [`Self::SERIAL_MAX`].
    #[must_use]
    pub const fn new(serial: u64) -> Option<Self> {
        if serial >= 1 && serial <= Self::SERIAL_MAX {
            Some(Self(serial))
        } else {
            None
        }
    }

    /// The serial number, without the check digit: the case's identity.
    #[must_use]
    pub const fn serial(self) -> u64 {
        self.0
    }
}

impl fmt::Display for MainNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        let check = damm(digits.bytes().map(|b| b - b'0'));
        write!(f, "{digits}{check}")
    }
}

impl fmt::Debug for MainNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for MainNumber {
    type Err = MainNumberError;

    /// Reads digits only. A leading zero is refused, because the check digit does not see it and
    /// one case must have one number.
    fn from_str(text: &str) -> Result<Self, MainNumberError> {
        let plain = (2..=Self::DIGITS_MAX).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_digit())
            && !text.starts_with('0');
        if !plain {
            return Err(MainNumberError::Malformed);
        }
        if damm(text.bytes().map(|b| b - b'0')) != 0 {
            return Err(MainNumberError::CheckDigit);
        }
        text.get(..text.len() - 1)
            .and_then(|serial| serial.parse().ok())
            .and_then(Self::new)
            .ok_or(MainNumberError::Malformed)
    }
}

impl TryFrom<u64> for MainNumber {
    type Error = MainNumberError;

    /// From the serial number.
    fn try_from(serial: u64) -> Result<Self, MainNumberError> {
        Self::new(serial).ok_or(MainNumberError::Malformed)
    }
}

impl From<MainNumber> for u64 {
    fn from(number: MainNumber) -> Self {
        number.serial()
    }
}

/// Why a text is no MainNumber. Nothing was looked up; the caller must give another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MainNumberError {
    /// Not 2 to 16 digits without a leading zero.
    Malformed,
    /// A digit is wrong or two are swapped.
    CheckDigit,
}

impl fmt::Display for MainNumberError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "not a case number (2 to 16 digits, the first not 0)",
            Self::CheckDigit => "not a case number: the check digit does not fit, look for a typo",
        })
    }
}

impl std::error::Error for MainNumberError {}

/// The interim digit after all digits: the check digit to append, and 0 for a number that ends
/// in its own. (H. M. Damm, Total anti-symmetrische Quasigruppen, Marburg 2004.)
fn damm(digits: impl Iterator<Item = u8>) -> u8 {
    const TABLE: [[u8; 10]; 10] = [
        [0, 3, 1, 7, 5, 9, 8, 6, 4, 2],
        [7, 0, 9, 2, 1, 5, 4, 8, 6, 3],
        [4, 2, 0, 6, 8, 7, 1, 3, 5, 9],
        [1, 7, 5, 0, 9, 8, 3, 4, 2, 6],
        [6, 1, 2, 3, 0, 4, 5, 9, 7, 8],
        [3, 6, 7, 4, 2, 0, 9, 5, 8, 1],
        [5, 8, 6, 9, 7, 2, 0, 1, 3, 4],
        [8, 9, 4, 5, 3, 6, 2, 0, 1, 7],
        [9, 4, 3, 8, 6, 1, 7, 2, 0, 5],
        [2, 5, 8, 1, 4, 3, 6, 7, 9, 0],
    ];
    digits.fold(0, |interim, digit| {
        TABLE
            .get(usize::from(interim))
            .and_then(|row| row.get(usize::from(digit)))
            .copied()
            .unwrap_or_default()
    })
}

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
}

impl Label {
    const fn bytes(self) -> &'static [u8] {
        match self {
            Self::Mid => b"postroom mid",
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

/// Version and key id, case, slot, MAC.
const TOKEN_BYTES: usize = 1 + 6 + 2 + MAC_BYTES;

/// Version and key id, MAC: what [`Keyring::seal`] makes.
pub(super) const SEAL_BYTES: usize = 1 + MAC_BYTES;

/// The token as text: 18 bytes in base 32 without padding.
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
    let head = VERSION << 4 | keyring.current;
    let mut token = [0; TOKEN_BYTES];
    let (clear, mac) = token.split_at_mut(TOKEN_BYTES - MAC_BYTES);
    let serial = audience.case.serial().to_be_bytes();
    let parts = [head]
        .into_iter()
        .chain(serial.into_iter().skip(2))
        .chain(audience.slot.to_be_bytes());
    for (place, byte) in clear.iter_mut().zip(parts) {
        *place = byte;
    }
    // The constructor saw to it that the current key is there.
    if let Some(key) = keyring.key(keyring.current) {
        let tag = sign(key, Label::Mid, head, audience, nonce);
        for (place, byte) in mac.iter_mut().zip(tag.as_ref()) {
            *place = *byte;
        }
    }
    let text = format!(
        "r.{}.{}@{domain}",
        BASE32_NOPAD.encode(&token).to_ascii_lowercase(),
        BASE32_NOPAD.encode(&nonce).to_ascii_lowercase()
    );
    InternetMessageId::parse(&text).map_err(|_| AddressError::TooLong)
}

/// What an id that looks like ours says of itself. Nothing of it is true until [`Claim::verify`]
/// says so; until then it only says which case and correspondent to look up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    head: u8,
    case: MainNumber,
    slot: u16,
    mac: [u8; MAC_BYTES],
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
        let mut parts = local.split('.');
        let (tag, token, nonce) = (parts.next()?, parts.next()?, parts.next()?);
        let ours = parts.next().is_none()
            && tag.eq_ignore_ascii_case("r")
            && token.len() == TOKEN_CHARS
            && nonce.len() == NONCE_CHARS;
        if !ours {
            return None;
        }
        let token = BASE32_NOPAD
            .decode(token.to_ascii_uppercase().as_bytes())
            .ok()?;
        let nonce = BASE32_NOPAD
            .decode(nonce.to_ascii_uppercase().as_bytes())
            .ok()?;
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
            nonce: nonce.try_into().ok()?,
        })
    }

    /// The case it claims to belong to.
    #[must_use]
    pub const fn case(&self) -> MainNumber {
        self.case
    }

    /// The correspondent it claims to have been written for, as numbered by the case.
    #[must_use]
    pub const fn slot(&self) -> u16 {
        self.slot
    }

    /// Whether we minted this id for `address` while the case was in `generation`. Takes the same
    /// time whichever byte is wrong.
    #[must_use]
    pub fn verify(&self, keyring: &Keyring, generation: u32, address: &Address) -> bool {
        let Some(key) = keyring.key(self.head & 0x0f) else {
            return false;
        };
        let audience = Audience {
            case: self.case,
            generation,
            slot: self.slot,
            address,
        };
        let expected = sign(key, Label::Mid, self.head, audience, self.nonce);
        is_mac(key, &self.mac, &expected)
    }
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
    nonce: [u8; NONCE_BYTES],
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
    context.update(&nonce);
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
    fn numbers() {
        // 572 → 4 is the example that every description of the algorithm gives.
        for (serial, text) in [(572, "5724"), (1, "13"), (1_000_471, "10004710")] {
            let number = MainNumber::new(serial).unwrap();
            assert_eq!(number.to_string(), text);
            assert_eq!(text.parse(), Ok(number));
        }
        for text in [
            "", "4", "572", "05724", "5725", "5274", "57 24", "+5724", "٥٧٢٤",
        ] {
            assert!(text.parse::<MainNumber>().is_err(), "{text:?}");
        }
        assert_eq!(
            "5725".parse::<MainNumber>(),
            Err(MainNumberError::CheckDigit)
        );
        assert_eq!(MainNumber::new(0), None);
        assert_eq!(MainNumber::new(1 << 48), None);
        let largest = MainNumber::new(MainNumber::SERIAL_MAX).unwrap();
        assert_eq!(largest.to_string().len(), MainNumber::DIGITS_MAX);
        assert_eq!(largest.to_string().parse(), Ok(largest));
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
        fn numbers_come_back_and_typos_do_not(serial in 1..=MainNumber::SERIAL_MAX, at in 0usize..16, digit in 0u8..10) {
            let number = MainNumber::new(serial).unwrap();
            let text = number.to_string();
            prop_assert_eq!(text.parse::<MainNumber>(), Ok(number));
            let mut typo = text.clone().into_bytes();
            let at = at % typo.len();
            typo[at] = b'0' + digit;
            let typo = String::from_utf8(typo).unwrap();
            if typo != text {
                prop_assert!(typo.parse::<MainNumber>().is_err());
            }
            let mut swapped = text.clone().into_bytes();
            swapped.swap(at, (at + 1).min(text.len() - 1));
            let swapped = String::from_utf8(swapped).unwrap();
            if swapped != text {
                prop_assert!(swapped.parse::<MainNumber>().is_err());
            }
        }

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
