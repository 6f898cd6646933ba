//! A `[[dkim]]`: a key with which messages that leave are signed.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use super::check::Check;
use crate::mail::address::normal_domain;

/// A key with which messages are signed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dkim {
    /// The domain that signs: the one in From, or one above it. Of several the nearest counts, with
    /// at most four of its keys. No default.
    pub domain: Spanned<String>,
    /// The selector, which is the key's name in the DNS. No default.
    pub selector: Spanned<String>,
    /// File with the private key in PEM form, RSA or Ed25519. `postroom dkim generate` makes one and
    /// says what the DNS needs. No default.
    pub key_file: PathBuf,
}

/// Checks the names, and that none is there twice.
pub(super) fn check_all(keys: &[Dkim], check: &mut Check<'_>) {
    let mut known = BTreeSet::new();
    for key in keys {
        for name in [&key.domain, &key.selector] {
            if !normal_domain(name.get_ref()).is_ok_and(|name| !name.starts_with('[')) {
                let what = format!("{:?} is not a host name", name.get_ref());
                check.blame(name, what);
            }
        }
        let (domain, selector) = (key.domain.get_ref(), key.selector.get_ref());
        if !known.insert((domain, selector)) {
            let what = format!("selector {selector} of {domain} is there twice");
            check.blame(&key.selector, what);
        }
    }
}
