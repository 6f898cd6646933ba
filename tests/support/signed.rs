//! Letters signed (DKIM) with a key that everybody knows.

use mail_auth::common::crypto::Ed25519Key;
use mail_auth::common::headers::HeaderWriter;
use mail_auth::dkim::DkimSigner;
use mail_parser::decoders::base64::base64_decode;

/// The key pair of RFC 8463, appendix A.
const SECRET: &str = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";

/// Its public half, as a record holds it.
pub(crate) const KEY: &str = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";

/// The pair.
pub(crate) fn key() -> Ed25519Key {
    let secret = base64_decode(SECRET.as_bytes()).unwrap();
    let public = base64_decode(KEY.as_bytes()).unwrap();
    Ed25519Key::from_seed_and_public_key(&secret, &public).unwrap()
}

/// The letter signed by a domain, under the selector `s`.
pub(crate) fn sign(letter: &str, domain: &str) -> String {
    let signature = DkimSigner::from_key(key())
        .domain(domain)
        .selector("s")
        .headers(["From", "To", "Subject"])
        .sign(letter.as_bytes())
        .unwrap();
    format!("{}{letter}", signature.to_header())
}
