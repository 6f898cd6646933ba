//! What stands below the text of a letter: the original that it answers or passes on, as text and
//! as HTML.

use super::{Forwarded, QUOTE_BYTES_MAX, Quote};
use crate::mail::attribution::rfc5322_date;
use crate::mail::html::{self, Outgoing};
use crate::mail::text::{LINE_CHARS_MAX, clean_line, prefix};

/// What says that the quotation goes on in the original.
const CUT: &str = "[…]";

/// The element that holds a quotation. The type is how programs know it, the style how people do.
const OPEN_QUOTE: &str = "<blockquote type=\"cite\" style=\"margin:0 0 0 0.8ex;\
    border-left:1px solid #ccc;padding-left:1ex\">";

/// Appends a quoted original.
pub(super) fn quote_text(out: &mut String, quote: &Quote<'_>) {
    out.push_str(&clean_line(quote.attribution, LINE_CHARS_MAX));
    out.push('\n');
    let kept = prefix(quote.text, QUOTE_BYTES_MAX);
    for line in kept.lines() {
        out.push('>');
        let line = visible(line);
        if !line.is_empty() && !line.starts_with('>') {
            out.push(' ');
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    if kept.len() < quote.text.len() {
        out.push_str("> ");
        out.push_str(CUT);
        out.push('\n');
    }
}

/// Appends a quoted original as HTML.
pub(super) fn quote_html(out: &mut String, quote: &Quote<'_>) {
    out.push_str("<br><div>");
    html::escape(&clean_line(quote.attribution, LINE_CHARS_MAX), out);
    out.push_str("</div>");
    out.push_str(OPEN_QUOTE);
    original_html(out, quote.html, quote.text);
    out.push_str("</blockquote>");
}

/// Appends a forwarded letter's text, with what its header said, as most mail programs show it. Its
/// subject is as the reader may see it.
pub(super) fn forward_text(out: &mut String, letter: &Forwarded<'_>, subject: &str) {
    for line in heading(letter, subject) {
        out.push_str(&line);
        out.push('\n');
    }
    out.push('\n');
    let kept = prefix(letter.text, QUOTE_BYTES_MAX);
    for line in kept.lines() {
        out.push_str(&visible(line));
        out.push('\n');
    }
    if kept.len() < letter.text.len() {
        out.push_str(CUT);
        out.push('\n');
    }
}

/// Appends a forwarded letter as HTML.
pub(super) fn forward_html(out: &mut String, letter: &Forwarded<'_>, subject: &str) {
    out.push_str("<br><div>");
    for line in heading(letter, subject) {
        html::escape(&line, out);
        out.push_str("<br>");
    }
    out.push_str("</div><br>");
    original_html(out, letter.html, letter.text);
}

/// Who wrote what when to whom.
fn heading(letter: &Forwarded<'_>, subject: &str) -> Vec<String> {
    let mut lines = vec!["---------- Forwarded message ----------".to_owned()];
    let date = rfc5322_date(letter.date, letter.ahead_seconds);
    for (name, value) in [
        ("From", letter.author),
        ("Date", &date),
        ("Subject", subject),
        ("To", letter.to),
        ("Cc", letter.cc),
    ] {
        let value = clean_line(value, LINE_CHARS_MAX);
        if !value.is_empty() {
            lines.push(format!("{name}: {value}"));
        }
    }
    lines
}

fn original_html(out: &mut String, html: Option<&Outgoing>, text: &str) {
    match html {
        Some(html) => out.push_str(html.as_str()),
        None => {
            let kept = prefix(text, QUOTE_BYTES_MAX);
            text_html(out, kept);
            if kept.len() < text.len() {
                out.push_str(CUT);
            }
        }
    }
}

/// Appends text as HTML that looks the same: its lines, and what blanks stand at their beginning.
pub(super) fn text_html(out: &mut String, text: &str) {
    for line in text.lines() {
        let line = visible(line);
        let bare = line.trim_start_matches([' ', '\t']);
        for blank in line.chars().take(line.len() - bare.len()) {
            out.push_str(if blank == '\t' {
                "&nbsp;&nbsp;&nbsp; "
            } else {
                "&nbsp;"
            });
        }
        html::escape(bare.trim_end(), out);
        out.push_str("<br>\n");
    }
}

/// A line of somebody else's without what could end it or command a terminal.
fn visible(line: &str) -> String {
    (line.chars())
        .filter(|c| !c.is_control() || *c == '\t')
        .collect()
}
