//! Which elements hold what was there before, or a signature: the marks of mail programs.

use super::token::Tag;

/// What a part of a letter is, beside what its author wrote now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fold {
    /// The element is quoted history.
    Quote,
    /// Quoted history begins with the element and goes on behind it.
    QuoteFromHere,
    /// The element is a signature.
    Signature,
}

/// Classes of quotations: Gmail, Yahoo, Proton, Thunderbird, Zimbra, QQ, GMX, Freshdesk.
const QUOTE_CLASSES: [&str; 9] = [
    "gmail_quote",
    "gmail_extra",
    "yahoo_quoted",
    "protonmail_quote",
    "moz-cite-prefix",
    "zmail_extra",
    "qm_quote",
    "gmx_quote",
    "freshdesk_quote",
];

/// Ids of what begins a quotation in Outlook on the web and in telephones. Each may come back
/// with `x_` in front, when the letter was quoted once more.
const QUOTE_IDS: [&str; 3] = [
    "divRplyFwdMsg",
    "appendonsend",
    "mail-editor-reference-message-container",
];

/// Classes and ids of signatures: Gmail, Thunderbird, Proton, Apple Mail, Outlook.
const SIGNATURES: [&str; 7] = [
    "gmail_signature",
    "moz-signature",
    "protonmail_signature_block",
    "AppleMailSignature",
    "ms-outlook-mobile-signature",
    "Signature",
    "x_Signature",
];

/// What an element is, by its tag.
pub(super) fn of(tag: Tag<'_>) -> Option<Fold> {
    let is = |name: &str| tag.name.eq_ignore_ascii_case(name);
    if !is("div") && !is("blockquote") && !is("pre") && !is("hr") && !is("span") {
        return None;
    }
    if is("blockquote") && is_cited(tag) {
        return Some(Fold::Quote);
    }
    for (name, value) in tag.attributes() {
        match name.to_ascii_lowercase().as_str() {
            "class" if has_any(&value, &QUOTE_CLASSES) => return Some(Fold::Quote),
            "id" if QUOTE_IDS.contains(&value.trim_start_matches("x_")) => {
                return Some(Fold::QuoteFromHere);
            }
            "id" if value.starts_with("yahoo_quoted") => return Some(Fold::Quote),
            // Zimbra's rule above the original.
            "data-marker" if value == "__DIVIDER__" => return Some(Fold::QuoteFromHere),
            "data-marker" if value == "__QUOTED_TEXT__" => return Some(Fold::Quote),
            "data-marker" if value.starts_with("__SIG_") => return Some(Fold::Signature),
            "class" | "id" if has_any(&value, &SIGNATURES) => return Some(Fold::Signature),
            // Outlook for Windows draws this line above its block of fields, and no other.
            "style" if is("div") && is_outlook_line(&value) => return Some(Fold::QuoteFromHere),
            _ => {}
        }
    }
    None
}

/// Whether a `blockquote` quotes a letter. Without such a mark it may be nothing but indented.
pub(super) fn is_cited(tag: Tag<'_>) -> bool {
    (tag.attributes()).any(|(name, value)| match name.to_ascii_lowercase().as_str() {
        "type" => value.eq_ignore_ascii_case("cite"),
        "class" => has_any(&value, &QUOTE_CLASSES),
        "data-marker" => value == "__QUOTED_TEXT__",
        _ => false,
    })
}

fn has_any(value: &str, wanted: &[&str]) -> bool {
    value
        .split_ascii_whitespace()
        .any(|word| wanted.contains(&word))
}

fn is_outlook_line(style: &str) -> bool {
    let style = style.to_ascii_lowercase().replace(' ', "");
    style.contains("border:none;border-top:solid#e1e1e11.0pt")
        || style.contains("border:none;border-top:solid#b5c4df1.0pt")
}
