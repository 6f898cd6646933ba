//! Chains of forwarders (ARC), sealed with a key that everybody knows.

use std::borrow::Borrow;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Instant;

use mail_auth::arc::ArcSealer;
use mail_auth::common::headers::HeaderWriter;
use mail_auth::common::parse::TxtRecordParser;
use mail_auth::common::verify::DomainKey;
use mail_auth::hickory_resolver::config::{ResolverConfig, ResolverOpts};
use mail_auth::{
    AuthenticatedMessage, AuthenticationResults, MessageAuthenticator, Parameters, ResolverCache,
    Txt,
};

use super::signed::{KEY, key};

/// The letter with one more member of its chain: a domain that says what it found.
pub(crate) async fn seal(letter: &str, domain: &str, found: &str) -> String {
    let config = ResolverConfig::from_name_servers(Vec::new());
    let verifier = MessageAuthenticator::new(config, ResolverOpts::default()).unwrap();
    let message = AuthenticatedMessage::parse(letter.as_bytes()).unwrap();
    let so_far = verifier
        .verify_arc(Parameters::new(&message).with_txt_cache(&EverybodysKey))
        .await;
    // What is written behind the name is up to whoever seals.
    let name = format!("{domain}; {found}");
    let results = AuthenticationResults::new(&name);
    let set = ArcSealer::from_key(key())
        .domain(domain)
        .selector("s")
        .headers(["From", "To", "Subject"])
        .seal(&message, &results, &so_far)
        .unwrap();
    format!("{}{letter}", set.to_header())
}

/// A name server's answers in which every domain has the same key.
struct EverybodysKey;

impl ResolverCache<Box<str>, Txt> for EverybodysKey {
    fn get<Q>(&self, _: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let record = format!("v=DKIM1; k=ed25519; p={KEY}");
        let key = DomainKey::parse(record.as_bytes()).unwrap();
        Some(Txt::DomainKey(Arc::new(key)))
    }

    fn remove<Q>(&self, _: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        None
    }

    fn insert(&self, _: Box<str>, _: Txt, _: Instant) {}
}
