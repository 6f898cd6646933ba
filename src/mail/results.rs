//! Authentication-Results (RFC 8601): ours written, and those told apart that only claim to be.

use super::findings::Tokens;
use super::trust::{Authentication, Checked, Signature, Verdict};

/// Longest value that is written, in bytes: what the milter puts into one field. Signatures whose
/// results do not fit are left out, the last first.
const VALUE_BYTES_MAX: usize = 880;

/// The value of the field in the name of `authserv_id`, a domain, on one line. Printable ASCII:
/// domains are in normal form, and nothing else of the letter is repeated.
#[must_use]
pub fn value(authserv_id: &str, results: &Authentication) -> String {
    let property = if results.spf_of_helo {
        "smtp.helo"
    } else {
        "smtp.mailfrom"
    };
    let spf = result("spf", property, &results.spf);
    let dmarc = result("dmarc", "header.from", &results.dmarc);
    let arc = match results.arc.verdict {
        // Most letters have no chain, and that is nothing to tell.
        Verdict::NotChecked | Verdict::None => String::new(),
        verdict => format!("; arc={}", verdict.word()),
    };
    let mut room = VALUE_BYTES_MAX.saturating_sub(
        [authserv_id.len(), spf.len(), dmarc.len(), arc.len()]
            .into_iter()
            .sum(),
    );
    let mut value = format!("{authserv_id}{spf}");
    for signature in &results.dkim {
        let dkim = signed(signature);
        if dkim.len() > room {
            break;
        }
        room -= dkim.len();
        value.push_str(&dkim);
    }
    value.push_str(&dmarc);
    value.push_str(&arc);
    if value.len() == authserv_id.len() {
        value.push_str("; none");
    }
    value
}

/// One result with the semicolon before it; empty if nobody looked.
fn result(method: &str, property: &str, checked: &Checked) -> String {
    match checked.verdict {
        Verdict::NotChecked => String::new(),
        verdict if checked.domain.is_empty() => format!("; {method}={}", verdict.word()),
        verdict => format!(
            "; {method}={} {property}={}",
            verdict.word(),
            checked.domain
        ),
    }
}

/// The result of one signature, with the semicolon before it.
fn signed(signature: &Signature) -> String {
    let verdict = signature.verdict.word();
    match (signature.domain.as_str(), signature.selector.as_str()) {
        ("", _) => format!("; dkim={verdict}"),
        (domain, "") => format!("; dkim={verdict} header.d={domain}"),
        (domain, selector) => format!("; dkim={verdict} header.d={domain} header.s={selector}"),
    }
}

/// Whether the value of a received field speaks in the name of `authserv_id`. In what comes from
/// outside such a field is forged (RFC 8601, section 5), or it was ours and has been round.
#[must_use]
pub fn speaks_for(value: &[u8], authserv_id: &str) -> bool {
    let mut tokens = Tokens::new(value);
    tokens.authserv_id().is_some_and(|id| {
        let id = id.strip_suffix('.').unwrap_or(&id);
        id.eq_ignore_ascii_case(authserv_id)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(verdict: Verdict, domain: &str) -> Checked {
        Checked {
            verdict,
            domain: domain.to_owned(),
        }
    }

    fn signature(verdict: Verdict, domain: &str, selector: &str) -> Signature {
        Signature {
            verdict,
            domain: domain.to_owned(),
            selector: selector.to_owned(),
        }
    }

    #[test]
    fn values() {
        let mut results = Authentication::default();
        assert_eq!(value("mx.our.example", &results), "mx.our.example; none");
        results.spf = checked(Verdict::SoftFail, "y.example");
        results.spf_of_helo = true;
        results.dkim = vec![
            signature(Verdict::Pass, "x.example", "s1"),
            signature(Verdict::Fail, "x.example", ""),
            signature(Verdict::PermError, "", ""),
        ];
        results.dmarc = checked(Verdict::Pass, "x.example");
        results.arc.verdict = Verdict::Fail;
        assert_eq!(
            value("mx.our.example", &results),
            "mx.our.example; spf=softfail smtp.helo=y.example; \
             dkim=pass header.d=x.example header.s=s1; dkim=fail header.d=x.example; \
             dkim=permerror; dmarc=pass header.from=x.example; arc=fail"
        );
    }

    #[test]
    fn many_signatures_do_not_burst_the_field() {
        let results = Authentication {
            dkim: vec![signature(Verdict::Fail, &"d".repeat(250), ""); 8],
            dmarc: checked(Verdict::Pass, "x.example"),
            ..Authentication::default()
        };
        let value = value("mx.our.example", &results);
        assert!(value.len() <= VALUE_BYTES_MAX);
        assert!(value.ends_with("; dmarc=pass header.from=x.example"));
        assert_eq!(value.matches("dkim=fail").count(), 3);
    }

    #[test]
    fn who_speaks() {
        for (field, ours) in [
            (" mx.our.example; dmarc=pass", true),
            ("mx.our.example", true),
            (" MX.Our.Example.;none", true),
            ("\r\n\t(a (nested \\) one)) mx.our.example 1; none", true),
            (" \"mx.our.example\"; none", true),
            (" mx.our.example(x); none", true),
            (" mx.our.example.org; none", false),
            (" our.example; mx.our.example", false),
            (" (mx.our.example", false),
            (" ((((((((( mx.our.example", false),
            ("", false),
            (" ; mx.our.example", false),
        ] {
            assert_eq!(
                speaks_for(field.as_bytes(), "mx.our.example"),
                ours,
                "{field:?}"
            );
        }
    }
}
