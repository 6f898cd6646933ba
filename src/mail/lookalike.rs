//! Addresses that are made to look like others, by the measures of Unicode (UTS 39).

use unicode_security::RestrictionLevelDetection;
use unicode_security::confusable_detection::skeleton;
use unicode_security::restriction_level::RestrictionLevel;

use super::address::{Address, is_within};

/// The domains that queues and agents have addresses in, and what they look like.
#[derive(Debug, Clone, Default)]
pub struct OurDomains {
    /// Each in normal form, with its shape.
    domains: Vec<(String, String)>,
}

impl OurDomains {
    /// Takes domains in normal form.
    #[must_use]
    pub fn new(domains: Vec<String>) -> Self {
        let domains = domains.into_iter();
        Self {
            domains: domains
                .map(|domain| {
                    let shape = shape(&domain);
                    (domain, shape)
                })
                .collect(),
        }
    }

    /// Whether a domain in normal form is one of ours.
    #[must_use]
    pub fn contain(&self, domain: &str) -> bool {
        self.domains.iter().any(|(ours, _)| ours == domain)
    }

    /// The one of ours that a domain is made to look like. Neither ours nor what lies below them
    /// does; what lies below a look-alike does.
    #[must_use]
    pub fn resembled_by(&self, domain: &str) -> Option<&str> {
        if (self.domains.iter()).any(|(ours, _)| is_within(domain, ours)) {
            return None;
        }
        let shape = shape(domain);
        (self.domains.iter())
            .find(|(_, ours)| is_within(&shape, ours))
            .map(|(ours, _)| ours.as_str())
    }
}

/// What a domain looks like: equal for domains that a reader takes for each other. Letter case is
/// folded after the look-alikes, because the zero is one of the capital O only.
fn shape(domain: &str) -> String {
    let (shown, _) = idna::domain_to_unicode(domain);
    let once: String = skeleton(&shown).collect();
    skeleton(&once.to_lowercase()).collect()
}

/// Whether an address mixes alphabets that have letters of the same looks, as Latin, Greek and
/// Cyrillic have. Languages that are written in several scripts are not meant, nor is Latin beside
/// a script that looks different.
#[must_use]
pub fn mixes_alphabets(address: &Address) -> bool {
    if address.local().is_ascii() && !address.domain().contains("xn--") {
        return false;
    }
    let (domain, _) = idna::domain_to_unicode(address.domain());
    (domain.split('.').chain([address.local()])).any(|part| {
        let letters: String = part.chars().filter(|c| c.is_alphabetic()).collect();
        letters.detect_restriction_level() > RestrictionLevel::ModeratelyRestrictive
    })
}

#[cfg(test)]
mod tests {
    use super::super::address::normal_domain;
    use super::*;

    #[test]
    fn resemblances() {
        let ours = OurDomains::new(
            ["shop.example", "modern.example", "xn--bcher-kva.example"]
                .map(str::to_owned)
                .to_vec(),
        );
        for (domain, like) in [
            ("shop.example", None),
            ("mail.shop.example", None),
            ("sh0p.example", Some("shop.example")),
            ("mail.sh0p.example", Some("shop.example")),
            // Cyrillic о and р.
            ("sh\u{43e}\u{440}.example", Some("shop.example")),
            ("modem.example", Some("modern.example")),
            ("xn--bcher-kva.example", None),
            ("shops.example", None),
            ("shop.example.org", None),
            ("shop-example", None),
        ] {
            let normal = normal_domain(domain).unwrap();
            assert_eq!(ours.resembled_by(&normal), like, "{domain}");
        }
        assert!(ours.contain("shop.example"));
        assert!(!ours.contain("mail.shop.example"));
    }

    #[test]
    fn alphabets() {
        for (address, mixed) in [
            ("anna@x.example", false),
            ("jörg@bücher.example", false),
            ("анна@пример.example", false),
            ("анна@x.example", false),
            ("例え@テスト漢字abc.example", false),
            ("раypal@x.example", true),
            ("info@раypal.example", true),
            ("αlpha@x.example", true),
            ("j.ö-r+g_1@x.example", false),
        ] {
            let parsed = Address::parse(address).unwrap();
            assert_eq!(mixes_alphabets(&parsed), mixed, "{address}");
        }
    }
}
