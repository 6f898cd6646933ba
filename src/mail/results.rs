//! Authentication-Results (RFC 8601): ours written, and those told apart that only claim to be.

use super::trust::{Authentication, Checked, Verdict};

/// Longest value that is written, in bytes: what the milter puts into one field. Signatures whose
/// results do not fit are left out, the last first.
const VALUE_BYTES_MAX: usize = 880;

/// Deepest comment within a comment that is followed.
const COMMENT_DEPTH_MAX: usize = 8;

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
    let mut room = VALUE_BYTES_MAX.saturating_sub(
        [authserv_id.len(), spf.len(), dmarc.len()]
            .into_iter()
            .sum(),
    );
    let mut value = format!("{authserv_id}{spf}");
    for signature in &results.dkim {
        let dkim = result("dkim", "header.d", signature);
        if dkim.len() > room {
            break;
        }
        room -= dkim.len();
        value.push_str(&dkim);
    }
    value.push_str(&dmarc);
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

/// Whether the value of a received field speaks in the name of `authserv_id`. In what comes from
/// outside such a field is forged (RFC 8601, section 5), or it was ours and has been round.
#[must_use]
pub fn speaks_for(value: &[u8], authserv_id: &str) -> bool {
    let Some(start) = skip_comments(value) else {
        return false;
    };
    let (name, quoted) = match start.strip_prefix(b"\"") {
        Some(rest) => (rest, true),
        None => (start, false),
    };
    let end = name.iter().position(|byte| match byte {
        b'"' => quoted,
        b';' | b'(' | b' ' | b'\t' | b'\r' | b'\n' => !quoted,
        _ => false,
    });
    let name = name.get(..end.unwrap_or(name.len())).unwrap_or_default();
    let name = name.strip_suffix(b".").unwrap_or(name);
    name.eq_ignore_ascii_case(authserv_id.as_bytes())
}

/// What follows white space and comments; `None` if a comment does not end or is too deep.
fn skip_comments(text: &[u8]) -> Option<&[u8]> {
    let mut depth = 0;
    let mut bytes = text.iter().enumerate();
    while let Some((place, byte)) = bytes.next() {
        match byte {
            b'(' if depth == COMMENT_DEPTH_MAX => return None,
            b'(' => depth += 1,
            b')' if depth > 0 => depth -= 1,
            b'\\' if depth > 0 => {
                bytes.next();
            }
            b' ' | b'\t' | b'\r' | b'\n' => {}
            _ if depth > 0 => {}
            _ => return text.get(place..),
        }
    }
    None
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

    #[test]
    fn values() {
        let mut results = Authentication::default();
        assert_eq!(value("mx.our.example", &results), "mx.our.example; none");
        results.spf = checked(Verdict::SoftFail, "y.example");
        results.spf_of_helo = true;
        results.dkim = vec![
            checked(Verdict::Pass, "x.example"),
            checked(Verdict::PermError, ""),
        ];
        results.dmarc = checked(Verdict::Pass, "x.example");
        assert_eq!(
            value("mx.our.example", &results),
            "mx.our.example; spf=softfail smtp.helo=y.example; dkim=pass header.d=x.example; \
             dkim=permerror; dmarc=pass header.from=x.example"
        );
    }

    #[test]
    fn many_signatures_do_not_burst_the_field() {
        let results = Authentication {
            dkim: vec![checked(Verdict::Fail, &"d".repeat(250)); 8],
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
