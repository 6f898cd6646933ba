//! Tests of the keys that sign: which of them sign what, and what is refused.

use super::*;

fn key(domain: &str, pem: &str) -> Key {
    Key::from_pem(domain, "2026a", pem.as_bytes()).unwrap()
}

/// Reads one byte at a time, as a slow disk might.
struct Slow<'a>(&'a [u8]);

impl Read for Slow<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let (Some((first, rest)), Some(place)) = (self.0.split_first(), out.first_mut()) else {
            return Ok(0);
        };
        *place = *first;
        self.0 = rest;
        Ok(1)
    }
}

const LETTER: &str = "From: Shop <help@mail.shop.example>\r\nTo: ada@lovelace.example\r\nSubject: Order\r\n\r\nIt is on its way.\r\n";

fn signers(keys: &Keys, letter: &str) -> Vec<String> {
    let fields = keys.sign(&mut letter.as_bytes(), Timestamp::ZERO).unwrap();
    let fields = String::from_utf8(fields).unwrap();
    fields
        .split("DKIM-Signature:")
        .filter_map(|field| field.split_once("d=")?.1.split_once(';'))
        .map(|(domain, _)| domain.to_owned())
        .collect()
}

#[test]
fn the_nearest_domain_signs() {
    let pem = generate_ed25519().unwrap();
    let keys = |domains: &[&str]| Keys::new(domains.iter().map(|name| key(name, &pem)).collect());
    let from = |address: &str| LETTER.replace("help@mail.shop.example", address);
    let both = keys(&["shop.example", "mail.shop.example", "Other.Example."]);
    for (address, expected) in [
        ("help@mail.shop.example", vec!["mail.shop.example"]),
        ("help@x.mail.shop.example", vec!["mail.shop.example"]),
        ("help@shop.example", vec!["shop.example"]),
        ("help@SHOP.example", vec!["shop.example"]),
        ("help@workshop.example", vec![]),
        ("help@other.example", vec!["other.example"]),
        ("nobody", vec![]),
    ] {
        assert_eq!(signers(&both, &from(address)), expected, "{address}");
    }
    let many = keys(&["shop.example"; 9]);
    assert_eq!(signers(&many, LETTER).len(), KEYS_MAX);
    assert!(signers(&both, "From: help@shop.example").is_empty());
}

#[test]
fn the_same_letter_gets_the_same_signature_however_it_is_read() {
    let keys = Keys::new(vec![key("shop.example", &generate_ed25519().unwrap())]);
    let at = Timestamp::from_millis(1_700_000_000_000);
    let whole = keys.sign(&mut LETTER.as_bytes(), at).unwrap();
    let slow = keys.sign(&mut Slow(LETTER.as_bytes()), at).unwrap();
    assert!(!whole.is_empty());
    assert_eq!(whole, slow);
}

#[test]
fn what_is_no_key_is_refused() {
    let good = generate_ed25519().unwrap();
    for (domain, selector, pem) in [
        ("shop.example; x=1", "a", good.as_str()),
        ("shop.example", "a b", &good),
        ("shop.example", "", &good),
        ("[192.0.2.1]", "a", &good),
        ("shop.example", "a", ""),
        (
            "shop.example",
            "a",
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        ),
        (
            "shop.example",
            "a",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ),
    ] {
        let made = Key::from_pem(domain, selector, pem.as_bytes());
        assert!(made.is_err(), "{domain:?} {selector:?} {pem:?}");
    }
}

/// The key of RFC 8463, appendix A, whose public half stands there.
#[test]
fn the_record_of_a_known_key() {
    let pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n";
    let key = key("football.example.com", pem);
    assert_eq!(key.record_name(), "2026a._domainkey.football.example.com");
    assert_eq!(
        key.record().unwrap(),
        "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
    );
}

#[test]
fn rsa_keys_are_made_and_read() {
    let key = key("shop.example", &generate_rsa().unwrap());
    assert_eq!(key.algorithm(), Algorithm::Rsa);
    // A SubjectPublicKeyInfo of 2048 bits begins like this.
    let record = key.record().unwrap();
    assert!(
        record.starts_with("v=DKIM1; k=rsa; p=MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A"),
        "{record}"
    );
}
