//! Authentication-Results read (RFC 8601, section 2.2): what a filter before us found, or a
//! forwarder says that it found.
//!
//! Reading is lenient where nothing hangs on it, and gives up where two readers might disagree.

use super::address::normal_domain;
use super::decode;
use super::trust::{Authentication, Checked, Policy, Signature, Verdict};

/// Most results that are read of one letter. Filters add a handful.
const RESULTS_MAX: usize = 32;

/// Deepest comment within a comment that is followed.
const COMMENT_DEPTH_MAX: usize = 8;

/// Longest selector that is kept, in bytes: a domain name's.
const SELECTOR_BYTES_MAX: usize = 253;

/// What the filter called `authserv_id` says in these field values, first to last: the values of
/// one run of fields. `None` if none of them is its.
#[must_use]
pub fn read<'a>(
    values: impl IntoIterator<Item = &'a [u8]>,
    authserv_id: &str,
) -> Option<Authentication> {
    let mut found = None;
    let mut count = 0;
    for value in values {
        let mut tokens = Tokens::new(value);
        let id = tokens.authserv_id();
        let is_theirs = id.is_some_and(|id| {
            let id = id.strip_suffix('.').unwrap_or(&id);
            id.eq_ignore_ascii_case(authserv_id)
        });
        if !is_theirs {
            continue;
        }
        let said = found.get_or_insert_with(|| Authentication {
            said_by: authserv_id.to_owned(),
            ..Authentication::default()
        });
        while count < RESULTS_MAX {
            let Some(result) = tokens.result() else { break };
            count += 1;
            take(said, &result);
        }
    }
    found
}

/// The domains that a forwarder says were proved, from the value of its
/// ARC-Authentication-Results (RFC 8617, section 4.1.1): DMARC's of From, and those of signatures.
#[must_use]
pub fn proved(value: &[u8]) -> Vec<String> {
    let mut tokens = Tokens::new(value);
    let mut domains: Vec<String> = Vec::new();
    // The instance comes first, `i=1;`, then the name and the results.
    let instance = tokens.instance().is_some() && tokens.authserv_id().is_some();
    let mut results = (0..RESULTS_MAX).map_while(|_| tokens.result().filter(|_| instance));
    let mut said = Authentication::default();
    results.by_ref().for_each(|result| take(&mut said, &result));
    let signed = said.dkim.into_iter().map(|s| (s.verdict, s.domain));
    for (verdict, domain) in [(said.dmarc.verdict, said.dmarc.domain)]
        .into_iter()
        .chain(signed)
    {
        if verdict == Verdict::Pass && !domain.is_empty() && !domains.contains(&domain) {
            domains.push(domain);
        }
    }
    domains
}

/// Puts one result where it belongs. A second one of a method that gives one is not believed to be
/// the better: the worse of the two counts.
fn take(said: &mut Authentication, result: &MethodResult) {
    let verdict = Verdict::of_word(&result.word);
    let domain = |property: &str| {
        let value = result.property(property)?;
        let domain = value.rsplit_once('@').map_or(value, |(_, domain)| domain);
        normal_domain(domain).ok()
    };
    // The first result of a method, or one after a pass.
    let counts = |so_far: Verdict| matches!(so_far, Verdict::NotChecked | Verdict::Pass);
    match result.method.as_str() {
        "spf" if counts(said.spf.verdict) => {
            let mail_from = domain("smtp.mailfrom");
            said.spf_of_helo = mail_from.is_none();
            let domain = mail_from.or_else(|| domain("smtp.helo"));
            said.spf = Checked {
                verdict,
                domain: domain.unwrap_or_default(),
            };
        }
        "dkim" => said.dkim.push(Signature {
            verdict,
            domain: (domain("header.d").or_else(|| domain("header.i"))).unwrap_or_default(),
            selector: (result.property("header.s").and_then(selector)).unwrap_or_default(),
        }),
        "dmarc" if counts(said.dmarc.verdict) => {
            said.dmarc = Checked {
                verdict,
                domain: domain("header.from").unwrap_or_default(),
            };
            said.policy = policy(result);
        }
        "arc" if counts(said.arc.verdict) => said.arc.verdict = verdict,
        _ => {}
    }
}

/// A selector, if it is one that may be repeated in a header field of ours.
#[must_use]
pub fn selector(text: &str) -> Option<String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    let fits = !text.is_empty() && text.len() <= SELECTOR_BYTES_MAX && text.bytes().all(plain);
    fits.then(|| text.to_ascii_lowercase())
}

/// What the author's domain asks for. No property is registered for it; `policy.dmarc` is used,
/// and OpenDMARC, Gmail and rspamd write `p=reject` or `policy=reject` into a comment.
fn policy(result: &MethodResult) -> Policy {
    let remarks = result.comments.to_ascii_lowercase();
    let words = remarks.split(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | '(' | ')'));
    let remarked =
        words.filter_map(|word| word.strip_prefix("p=").or(word.strip_prefix("policy=")));
    let property = result.property("policy.dmarc").into_iter();
    match property.chain(remarked).next() {
        Some(word) if word.eq_ignore_ascii_case("reject") => Policy::Reject,
        Some(word) if word.eq_ignore_ascii_case("quarantine") => Policy::Quarantine,
        _ => Policy::None,
    }
}

/// One result: `method=word reason="…" ptype.property=value …`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct MethodResult {
    method: String,
    word: String,
    properties: Vec<(String, String)>,
    comments: String,
}

impl MethodResult {
    fn property(&self, name: &str) -> Option<&str> {
        let mut properties = self.properties.iter();
        properties
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }
}

/// The value of a field, word by word.
pub(super) struct Tokens {
    text: Vec<char>,
    at: usize,
    /// The comments passed since somebody last asked.
    comments: String,
    /// A quotation or a comment does not end, or is too deep: the rest says nothing.
    broken: bool,
}

impl Tokens {
    /// At the beginning of a raw field value, whose length `decode::unfold` bounds.
    pub(super) fn new(value: &[u8]) -> Self {
        Self {
            text: decode::unfold(value).chars().collect(),
            at: 0,
            comments: String::new(),
            broken: false,
        }
    }

    /// The authserv-id and the version behind it, up to the first semicolon or the end.
    pub(super) fn authserv_id(&mut self) -> Option<String> {
        let id = self.word(&[';'])?;
        if let Some(version) = self.word(&[';'])
            && !version.chars().all(|c| c.is_ascii_digit())
        {
            return None;
        }
        (!self.broken).then_some(id)
    }

    /// `i=1;`, which only sealed results begin with.
    fn instance(&mut self) -> Option<String> {
        let tag = self.word(&['=', ';'])?;
        self.take('=')?;
        let number = self.word(&[';'])?;
        (tag.eq_ignore_ascii_case("i") && self.peek() == Some(';')).then(|| {
            self.at += 1;
            number
        })
    }

    /// The next result; `None` at the end or where the value cannot be followed.
    pub(super) fn result(&mut self) -> Option<MethodResult> {
        self.take(';')?;
        self.comments.clear();
        let method = self.key()?;
        let mut result = MethodResult {
            // `dkim/1` is version 1 of `dkim`.
            method: method.split('/').next().unwrap_or_default().to_owned(),
            word: self.word(&[';'])?,
            ..MethodResult::default()
        };
        while self.peek().is_some_and(|c| c != ';') {
            let name = self.key()?;
            let value = self.word(&[';'])?;
            result.properties.push((name, value));
        }
        result.comments = std::mem::take(&mut self.comments);
        (!self.broken).then_some(result)
    }

    /// What stands before an equals sign, in lower case; white space around dots and slashes goes.
    fn key(&mut self) -> Option<String> {
        let mut key = String::new();
        while self.peek()? != '=' {
            key.push_str(&self.word(&['=', ';'])?);
        }
        self.take('=')?;
        Some(key.to_ascii_lowercase())
    }

    /// A word: up to white space, a comment or one of the `ends`; quoted parts keep theirs. Empty
    /// only if it is quoted.
    fn word(&mut self, ends: &[char]) -> Option<String> {
        self.peek().filter(|c| !ends.contains(c))?;
        let mut word = String::new();
        while let Some(&c) = self.text.get(self.at) {
            if c == '"' {
                self.at += 1;
                self.quoted(&mut word);
            } else if c.is_whitespace() || c == '(' || ends.contains(&c) {
                break;
            } else {
                word.push(c);
                self.at += 1;
            }
        }
        (!self.broken).then_some(word)
    }

    fn quoted(&mut self, word: &mut String) {
        while let Some(&c) = self.text.get(self.at) {
            self.at += 1;
            match c {
                '"' => return,
                '\\' => {
                    word.extend(self.text.get(self.at));
                    self.at += 1;
                }
                c => word.push(c),
            }
        }
        self.broken = true;
    }

    fn take(&mut self, wanted: char) -> Option<()> {
        self.peek().filter(|c| *c == wanted)?;
        self.at += 1;
        Some(())
    }

    /// The next character that counts, behind white space and comments.
    fn peek(&mut self) -> Option<char> {
        loop {
            match self.text.get(self.at) {
                Some(c) if c.is_whitespace() => self.at += 1,
                Some('(') => self.comment()?,
                other => return other.copied().filter(|_| !self.broken),
            }
        }
    }

    fn comment(&mut self) -> Option<()> {
        let mut depth = 0;
        while let Some(&c) = self.text.get(self.at) {
            self.at += 1;
            match c {
                '(' if depth == COMMENT_DEPTH_MAX => break,
                '(' => depth += 1,
                ')' if depth == 1 => {
                    self.comments.push(' ');
                    return Some(());
                }
                ')' => depth -= 1,
                '\\' => self.at += 1,
                c => self.comments.push(c),
            }
        }
        self.broken = true;
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::results;
    use super::*;

    fn said(values: &[&str]) -> Option<Authentication> {
        read(
            values.iter().map(|value| value.as_bytes()),
            "mx.shop.example",
        )
    }

    /// What we would repeat of it, and the policy.
    fn check(values: &[&str], expected: &str) {
        let said = said(values).unwrap_or_else(|| panic!("{values:?} says nothing"));
        assert_eq!(said.said_by, "mx.shop.example");
        let policy = match said.policy {
            Policy::None => "",
            Policy::Quarantine => " quarantine",
            Policy::Reject => " reject",
        };
        let repeated = results::value("us", &said);
        assert_eq!(format!("{repeated}{policy}"), expected, "{values:?}");
    }

    #[test]
    fn what_filters_write() {
        // OpenDKIM.
        check(
            &[
                " mx.shop.example;\r\n\tdkim=pass (2048-bit key) header.d=x.example header.i=@x.example header.b=\"AbC/+1=\"",
            ],
            "us; dkim=pass header.d=x.example",
        );
        // OpenDMARC, two fields.
        check(
            &[
                "mx.shop.example; dmarc=fail (p=reject dis=none) header.from=x.example",
                "mx.shop.example; spf=pass smtp.mailfrom=bounce@y.example",
            ],
            "us; spf=pass smtp.mailfrom=y.example; dmarc=fail header.from=x.example reject",
        );
        // rspamd.
        check(
            &[
                "mx.shop.example; dkim=pass header.d=x.example header.s=s1 header.b=Zm9v=; \
               dmarc=pass (policy=quarantine) header.from=x.example; \
               spf=softfail (mx: 192.0.2.1 is neither permitted nor denied) smtp.mailfrom=a@x.example",
            ],
            "us; spf=softfail smtp.mailfrom=x.example; dkim=pass header.d=x.example header.s=s1; \
             dmarc=pass header.from=x.example quarantine",
        );
        // Gmail.
        check(
            &[
                "mx.shop.example; dkim=pass header.i=@x.example header.s=20230601 header.b=abc; \
               arc=pass (i=1); spf=none smtp.helo=mx.x.example; \
               dmarc=fail (p=REJECT sp=REJECT dis=NONE) header.from=X.Example",
            ],
            "us; spf=none smtp.helo=mx.x.example; dkim=pass header.d=x.example header.s=20230601; \
             dmarc=fail header.from=x.example; arc=pass reject",
        );
    }

    #[test]
    fn syntax() {
        for (value, expected) in [
            ("MX.Shop.Example. 1; none", "us; none"),
            ("mx.shop.example", "us; none"),
            (
                "(a (b)) mx.shop.example (c) 1 (d) ; (e) spf (f) = (g) pass (h)",
                "us; spf=pass",
            ),
            (
                "mx.shop.example; dkim / 1 = pass reason = \"a; b\" header . d = \"x.example\"",
                "us; dkim=pass header.d=x.example",
            ),
            (
                "mx.shop.example; DKIM=PASS HEADER.D=X.EXAMPLE",
                "us; dkim=pass header.d=x.example",
            ),
            (
                "mx.shop.example; dkim=policy header.d=x.example",
                "us; dkim=fail header.d=x.example",
            ),
            (
                "mx.shop.example; dkim=discard header.d=x.example",
                "us; dkim=neutral header.d=x.example",
            ),
            (
                "mx.shop.example; iprev=pass; x-odd=1; spf=pass smtp.mailfrom=x.example",
                "us; spf=pass smtp.mailfrom=x.example",
            ),
            (
                "mx.shop.example; spf=pass smtp.mailfrom=\"a b\"@x.example",
                "us; spf=pass smtp.mailfrom=x.example",
            ),
            // What cannot be read says nothing, and nothing after it counts.
            ("mx.shop.example; spf=pass smtp.mailfrom", "us; none"),
            (
                "mx.shop.example; spf; dmarc=pass header.from=x.example",
                "us; none",
            ),
            ("mx.shop.example; (never closed dmarc=pass", "us; none"),
            (
                "mx.shop.example; reason=\"never closed; dmarc=pass",
                "us; none",
            ),
            (
                "mx.shop.example; dkim=pass header.d=b\u{fc}cher.example header.s=a\"b",
                "us; none",
            ),
            ("mx.shop.example; dkim=pass header.d=in(valid", "us; none"),
            // The worse of two counts.
            (
                "mx.shop.example; dmarc=pass header.from=x.example; dmarc=fail header.from=x.example",
                "us; dmarc=fail header.from=x.example",
            ),
            (
                "mx.shop.example; dmarc=fail header.from=x.example; dmarc=pass header.from=x.example",
                "us; dmarc=fail header.from=x.example",
            ),
        ] {
            check(&[value], expected);
        }
    }

    #[test]
    fn who_is_not_meant() {
        for value in [
            "",
            "mx.shop.example.org; spf=pass",
            "shop.example; spf=pass mx.shop.example",
            "(mx.shop.example",
            "mx.shop.example two; spf=pass",
            "; mx.shop.example",
        ] {
            assert_eq!(said(&[value]), None, "{value}");
        }
    }

    #[test]
    fn sealed_results() {
        for (value, domains) in [
            (
                " i=1; lists.example; dkim=pass header.d=x.example; spf=pass smtp.mailfrom=y.example;\r\n\
                 \tdmarc=pass header.from=a.x.example",
                "a.x.example x.example",
            ),
            (
                "i=2; lists.example; arc=pass; dmarc=fail header.from=x.example",
                "",
            ),
            ("i=1; lists.example 1; none", ""),
            ("lists.example; dmarc=pass header.from=x.example", ""),
            ("i=1", ""),
            ("", ""),
        ] {
            assert_eq!(proved(value.as_bytes()).join(" "), domains, "{value}");
        }
    }

    #[test]
    fn bounds() {
        let many = format!(
            "mx.shop.example{}",
            "; dkim=pass header.d=x.example".repeat(1000)
        );
        assert_eq!(said(&[&many, &many]).unwrap().dkim.len(), RESULTS_MAX);
        let deep = format!("mx.shop.example {}", "(".repeat(100_000));
        assert_eq!(said(&[&deep]), None);
    }

    proptest! {
        #[test]
        fn any_value_is_read_or_not(pieces in prop::collection::vec(prop::sample::select(vec![
            "mx.shop.example", ";", "=", " ", "(", ")", "\"", "\\", "dkim", "dmarc", "spf", "pass",
            "header.d", "header.from", "x.example", ".", "/", "1", "i", "ä", "\0", "\r\n ", "@",
        ]), 0..40)) {
            let value = pieces.concat();
            if let Some(said) = said(&[&value]) {
                let repeated = results::value("us", &said);
                prop_assert!(repeated.bytes().all(|b| b == b' ' || b.is_ascii_graphic()));
            }
            prop_assert!(proved(value.as_bytes()).len() <= RESULTS_MAX + 1);
        }
    }
}
