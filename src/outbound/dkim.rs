//! The keys with which what we send is signed (DKIM), and which of them signs what.

use std::fmt;
use std::io::Read;

use ring::digest;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use rsa::pkcs1::DecodeRsaPublicKey as _;
use rsa::pkcs8::{EncodePrivateKey as _, EncodePublicKey as _};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;

use crate::mail::address;
use crate::mail::canonical::Canonical;
use crate::mail::dkim::{Algorithm, Unsigned};
use crate::mail::header::{BLOCK_BYTES_MAX, Header};
use crate::mail::mailbox;
use crate::time::Timestamp;

/// Shortest RSA key that verifiers must believe, in bits (RFC 8301, section 3.2).
pub const RSA_BITS_MIN: usize = 1024;

/// Most keys that sign one message: one of each algorithm, and as many again while keys change.
pub const KEYS_MAX: usize = 4;

/// Why a key cannot be used. The operator's move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyError(String);

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for KeyError {}

/// A key of one domain.
pub struct Key {
    domain: String,
    selector: String,
    pair: Pair,
}

enum Pair {
    Rsa(Box<RsaKeyPair>),
    Ed25519(Ed25519KeyPair),
}

impl fmt::Debug for Key {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("domain", &self.domain)
            .field("selector", &self.selector)
            .field("algorithm", &self.algorithm())
            .finish()
    }
}

impl Key {
    /// A key from a PEM file's text: PKCS #8 for RSA and Ed25519, or PKCS #1 for RSA.
    ///
    /// # Errors
    ///
    /// [`KeyError`] if the text holds no such key, or a weak one, or domain or selector are not
    /// host names.
    pub fn from_pem(domain: &str, selector: &str, pem: &[u8]) -> Result<Self, KeyError> {
        let name = |what: &str, text: &str| {
            let name = address::normal_domain(text).ok();
            name.filter(|name| !name.starts_with('['))
                .ok_or_else(|| KeyError(format!("{what} {text:?} is not a host name")))
        };
        let (domain, selector) = (name("domain", domain)?, name("selector", selector)?);
        let unusable = |why: &dyn fmt::Display| KeyError(format!("no usable private key: {why}"));
        let der = PrivateKeyDer::from_pem_slice(pem).map_err(|error| unusable(&error))?;
        let pair = match &der {
            PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()).map(rsa_pair),
            PrivateKeyDer::Pkcs8(der) => {
                let der = der.secret_pkcs8_der();
                // Of both kinds in the same wrapping, one can be read.
                Ed25519KeyPair::from_pkcs8_maybe_unchecked(der)
                    .map(Pair::Ed25519)
                    .or_else(|_| RsaKeyPair::from_pkcs8(der).map(rsa_pair))
            }
            _ => return Err(unusable(&"it is neither RSA nor Ed25519")),
        };
        Ok(Self {
            domain,
            selector,
            pair: pair.map_err(|error| unusable(&error))?,
        })
    }

    /// The domain that signs.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The key's name in the DNS.
    #[must_use]
    pub fn selector(&self) -> &str {
        &self.selector
    }

    /// With what it signs.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        match self.pair {
            Pair::Rsa(_) => Algorithm::Rsa,
            Pair::Ed25519(_) => Algorithm::Ed25519,
        }
    }

    /// Where the DNS has the public half: a name below the domain.
    #[must_use]
    pub fn record_name(&self) -> String {
        format!("{}._domainkey.{}", self.selector, self.domain)
    }

    /// What the DNS says there (RFC 6376, section 3.6.1; RFC 8463, section 4).
    ///
    /// # Errors
    ///
    /// [`KeyError`] if the public half cannot be written down, which would be a fault of the key.
    pub fn record(&self) -> Result<String, KeyError> {
        let (kind, public) = match &self.pair {
            Pair::Ed25519(pair) => ("ed25519", pair.public_key().as_ref().to_vec()),
            Pair::Rsa(pair) => {
                let broken =
                    |error: &dyn fmt::Display| KeyError(format!("no public half: {error}"));
                let key = rsa::PublicKey::from_pkcs1_der(pair.public_key().as_ref())
                    .map_err(|error| broken(&error))?;
                let der = key.to_public_key_der().map_err(|error| broken(&error))?;
                ("rsa", der.as_bytes().to_vec())
            }
        };
        let public = data_encoding::BASE64.encode(&public);
        Ok(format!("v=DKIM1; k={kind}; p={public}"))
    }

    fn sign(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        match &self.pair {
            Pair::Ed25519(pair) => {
                let digest = digest::digest(&digest::SHA256, bytes);
                Some(pair.sign(digest.as_ref()).as_ref().to_vec())
            }
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                let random = SystemRandom::new();
                pair.sign(&RSA_PKCS1_SHA256, &random, bytes, &mut signature)
                    .ok()?;
                Some(signature)
            }
        }
    }
}

fn rsa_pair(pair: RsaKeyPair) -> Pair {
    Pair::Rsa(Box::new(pair))
}

/// All keys.
#[derive(Debug, Default)]
pub struct Keys(Vec<Key>);

impl Keys {
    /// All keys of the configuration.
    #[must_use]
    pub const fn new(keys: Vec<Key>) -> Self {
        Self(keys)
    }

    /// Whether nothing is signed here.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The keys that sign for the domain of a From address: its own, or those of the nearest
    /// domain above it; what they sign is aligned for DMARC (RFC 7489, section 3.1.1).
    fn of<'a>(&'a self, domain: &'a str) -> impl Iterator<Item = &'a Key> {
        let keys =
            move || (self.0.iter()).filter(move |key| address::is_within(domain, &key.domain));
        let nearest = keys().map(|key| key.domain.len()).max();
        keys()
            .filter(move |key| Some(key.domain.len()) == nearest)
            .take(KEYS_MAX)
    }

    /// The signature fields of a letter, to stand before it; empty if no key is for its author.
    /// The letter is read once and never held whole.
    ///
    /// # Errors
    ///
    /// What reading gives.
    pub fn sign(&self, letter: &mut impl Read, at: Timestamp) -> std::io::Result<Vec<u8>> {
        let mut piece = vec![0; PIECE_BYTES];
        let mut head = Vec::new();
        while !head.windows(4).any(|window| window == b"\r\n\r\n") {
            let count = letter.read(&mut piece)?;
            if count == 0 || head.len() > BLOCK_BYTES_MAX {
                // Nothing that we compose.
                return Ok(Vec::new());
            }
            head.extend_from_slice(piece.get(..count).unwrap_or_default());
        }
        let header = Header::parse(&head);
        let start = header.body_start();
        let Some(domain) = author_domain(&header) else {
            return Ok(Vec::new());
        };
        let keys: Vec<&Key> = self.of(&domain).collect();
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let mut digest = digest::Context::new(&digest::SHA256);
        let mut sink = |bytes: &[u8]| digest.update(bytes);
        let mut body = Canonical::new(true);
        body.feed(head.get(start..).unwrap_or_default(), &mut sink);
        loop {
            let count = letter.read(&mut piece)?;
            if count == 0 {
                break;
            }
            body.feed(piece.get(..count).unwrap_or_default(), &mut sink);
        }
        body.finish(&mut sink);
        let mut digested = [0; 32];
        digested.copy_from_slice(digest.finish().as_ref());
        let mut fields = Vec::new();
        for key in keys {
            let names = (key.domain.as_str(), key.selector.as_str());
            let unsigned = Unsigned::new(&header, &digested, names, key.algorithm(), at);
            if let Some(signature) = key.sign(unsigned.bytes()) {
                fields.extend_from_slice(unsigned.signed(&signature).as_bytes());
            }
        }
        Ok(fields)
    }
}

/// How much of a letter is read at a time, in bytes.
const PIECE_BYTES: usize = 64 << 10;

/// The domain of the first address in From.
fn author_domain(header: &Header<'_>) -> Option<String> {
    let list = mailbox::parse_list(header.all("From").next()?);
    Some(list.mailboxes.first()?.address.domain().to_owned())
}

/// Bits of the RSA keys that are made here: what verifiers must take (RFC 8301, section 3.2), and
/// whose record the DNS still carries in one answer.
const RSA_BITS: usize = 2048;

/// A new RSA key, in PEM form (PKCS #8).
///
/// # Errors
///
/// [`KeyError`] if the machine has no randomness.
pub fn generate_rsa() -> Result<String, KeyError> {
    let failed = |error: &dyn fmt::Display| KeyError(format!("no key could be made: {error}"));
    let key = rsa::PrivateKey::new(&mut getrandom::SysRng, RSA_BITS);
    let key = key.map_err(|error| failed(&error))?;
    let pem = key.to_pkcs8_pem(rsa::pkcs8::LineEnding::LF);
    Ok(pem.map_err(|error| failed(&error))?.to_string())
}

/// A new Ed25519 key, in PEM form (PKCS #8).
///
/// # Errors
///
/// [`KeyError`] if the machine has no randomness.
pub fn generate_ed25519() -> Result<String, KeyError> {
    let der = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
        .map_err(|error| KeyError(format!("no key could be made: {error}")))?;
    let text = data_encoding::BASE64.encode(der.as_ref());
    let mut pem = "-----BEGIN PRIVATE KEY-----\n".to_owned();
    for line in text.as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem.push_str("-----END PRIVATE KEY-----\n");
    Ok(pem)
}

#[cfg(test)]
mod tests;
