//! The judges: what decides about HTML in the end, for a screen and for what is sent.
//!
//! They are ammonia's, with the lists of `safe` once more, and trust nothing that was decided about
//! addresses before.

use std::borrow::Cow;
use std::sync::LazyLock;

use super::safe::{ATTRIBUTES, SHOWN};
use super::style;

/// Largest picture that may stand in the HTML itself (RFC 2397), in bytes.
const DATA_BYTES_MAX: usize = 256 << 10;

/// Where a link may lead.
const LINK_SCHEMES: [&str; 4] = ["http", "https", "mailto", "tel"];

/// What of HTML is shown.
pub(super) fn shown(html: &str) -> String {
    JUDGE.clean(html).to_string()
}

/// What of HTML leaves.
pub(super) fn leaving(html: &str) -> String {
    JUDGE_OF_LEAVING.clean(html).to_string()
}

static JUDGE: LazyLock<ammonia::Builder<'static>> = LazyLock::new(|| {
    let mut judge = judge_with(|address| is_part(address) || is_picture(address));
    judge
        .add_generic_attributes(["data-fold"])
        .add_tag_attributes("img", ["data-blocked-src"])
        .add_url_schemes(["attachment"])
        .link_rel(Some("noopener noreferrer nofollow"));
    judge
});

static JUDGE_OF_LEAVING: LazyLock<ammonia::Builder<'static>> = LazyLock::new(|| {
    let may_leave = |address: &str| {
        let remote = address.starts_with("http:") || address.starts_with("https:");
        remote || is_content_id(address) || is_picture(address)
    };
    let mut judge = judge_with(may_leave);
    judge
        .add_tag_attribute_values("blockquote", "type", ["cite"])
        .add_url_schemes(["cid"])
        .link_rel(None);
    judge
});

fn judge_with(picture: impl Fn(&str) -> bool + Send + Sync + 'static) -> ammonia::Builder<'static> {
    let mut judge = ammonia::Builder::empty();
    judge
        .add_tags(SHOWN)
        .add_generic_attributes(ATTRIBUTES)
        .add_generic_attributes(["style"])
        .add_tag_attributes("a", ["href"])
        .add_tag_attributes("img", ["src", "alt"])
        .add_url_schemes(LINK_SCHEMES)
        .add_url_schemes(["data"])
        .add_clean_content_tags(["script", "style", "title"])
        .url_relative(ammonia::UrlRelative::Deny)
        .attribute_filter(
            move |element, attribute, value| match (element, attribute) {
                ("a", "href") => is_link(value).then_some(Cow::Borrowed(value)),
                ("img", "src") => picture(value).then_some(Cow::Borrowed(value)),
                (_, "href" | "src") => None,
                (_, "style") => Some(style::filter(value).into()),
                _ => Some(Cow::Borrowed(value)),
            },
        );
    judge
}

/// Whether an address is one that people may follow.
pub(super) fn is_link(address: &str) -> bool {
    let scheme = address.split_once(':').map(|(scheme, _)| scheme);
    scheme.is_some_and(|scheme| {
        (LINK_SCHEMES.iter()).any(|allowed| scheme.eq_ignore_ascii_case(allowed))
    })
}

/// Whether an address is a part of the letter.
fn is_part(address: &str) -> bool {
    address
        .strip_prefix("attachment:")
        .is_some_and(|id| id.bytes().all(|b| b.is_ascii_digit() || b == b'.'))
}

/// Whether an address is a picture that travels with the letter (RFC 2392).
fn is_content_id(address: &str) -> bool {
    address.strip_prefix("cid:").is_some_and(|id| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"@.-_+=".contains(&b);
        !id.is_empty() && id.bytes().all(plain)
    })
}

/// Whether an address is itself a picture, of a kind in which nothing runs (RFC 2397).
pub(super) fn is_picture(address: &str) -> bool {
    const KINDS: [&str; 6] = ["png", "jpeg", "jpg", "gif", "webp", "bmp"];
    let Some((kind, data)) = address.split_once(',') else {
        return false;
    };
    let kind = kind.to_ascii_lowercase();
    address.len() <= DATA_BYTES_MAX
        && (kind.strip_prefix("data:image/"))
            .and_then(|kind| kind.strip_suffix(";base64"))
            .is_some_and(|kind| KINDS.contains(&kind))
        && data
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'='))
}
