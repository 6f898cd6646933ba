//! Letters made to be too large in one way or another. Each is still a letter, with a notice.

use std::fmt::Write as _;

use postroom::mail::header::FIELDS_MAX;
use postroom::mail::html::{HTML_BYTES_MAX, LINKS_MAX};
use postroom::mail::letter::{Notice, TEXT_BYTES_MAX, View};
use postroom::mail::mime::{DEPTH_MAX, PARTS_MAX};

const MIXED: &str = "Content-Type: multipart/mixed; boundary=b\r\n\r\n";

fn read(raw: &str) -> View {
    View::read(raw.as_bytes(), true)
}

#[test]
fn thirty_megabytes_of_html() {
    let raw = format!(
        "Content-Type: text/html\r\n\r\n{}",
        "<p>word</p>\n".repeat(30 << 16)
    );
    assert!(raw.len() > 20 << 20);
    let view = read(&raw);
    assert_eq!(view.letter.notices, [Notice::TextCut, Notice::HtmlCut]);
    assert!(view.letter.body.text().len() <= TEXT_BYTES_MAX);
    let html = view.html.expect("it is HTML");
    assert!(html.text.len() < 2 * HTML_BYTES_MAX && html.text.starts_with("<p>word</p>"));
}

#[test]
fn a_large_file_behind_a_short_text() {
    let raw = format!(
        "{MIXED}--b\r\n\r\nsee attached\r\n--b\r\nContent-Type: video/mp4; name=a.mp4\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n{}\r\n--b--\r\n",
        "QUJD\r\n".repeat(2 << 20)
    );
    let view = read(&raw);
    assert!(view.letter.notices.is_empty());
    assert_eq!(view.letter.body.text(), "see attached");
    assert_eq!(view.letter.attachments[0].size, 3 * (2 << 20));
    // Of which the gateway may have only the beginning.
    let head = View::read(&raw.as_bytes()[..1 << 20], false);
    assert_eq!(head.letter.notices, [Notice::HeadOnly]);
    assert_eq!(head.letter.attachments[0].name, "a.mp4");
}

#[test]
fn fifty_thousand_parts() {
    let raw = format!(
        "{MIXED}{}",
        "--b\r\nContent-Type: a/b\r\n\r\nx\r\n".repeat(50_000)
    );
    let view = read(&raw);
    assert_eq!(view.letter.notices, [Notice::TooManyParts]);
    assert_eq!(view.letter.attachments.len(), PARTS_MAX);
}

#[test]
fn two_hundred_deep() {
    let mut raw = String::new();
    for level in 0..200 {
        let _ = write!(
            raw,
            "Content-Type: multipart/mixed; boundary=b{level}\r\n\r\n--b{level}\r\n\r\nlevel {level}\r\n--b{level}\r\n"
        );
    }
    let view = read(&raw);
    assert_eq!(view.letter.notices, [Notice::TooDeep]);
    let shown = format!("level {}", DEPTH_MAX - 1);
    assert!(
        view.letter.body.text().ends_with(&shown),
        "{}",
        view.letter.body.text()
    );
    // What lies deeper is one file, with all of it.
    let [file] = &view.letter.attachments[..] else {
        panic!("{:?}", view.letter.attachments);
    };
    assert!(raw[file.range.clone()].contains("level 199"));
}

#[test]
fn headers() {
    let many = format!(
        "{}From: a@x.example\r\n\r\nx",
        "X-A: 1\r\n".repeat(FIELDS_MAX + 10)
    );
    assert_eq!(read(&many).letter.notices, [Notice::HeaderCut]);
    let long = format!("Subject: {}\r\n\r\nx", "word ".repeat(14_000));
    let view = read(&long);
    assert!(view.letter.notices.is_empty());
    assert!(view.letter.subject.chars().count() <= 500);
    assert_eq!(view.letter.body.text(), "x");
    let line = format!("Subject: a\r\n\r\n{}", "x".repeat(100_000));
    assert_eq!(read(&line).letter.body.text().len(), 100_000);
}

#[test]
fn five_thousand_and_one_links() {
    let raw = format!(
        "Content-Type: text/html\r\n\r\n{}",
        "<a href=https://x.example/>x</a>\n".repeat(LINKS_MAX + 1)
    );
    let view = read(&raw);
    assert_eq!(view.letter.notices, [Notice::HtmlCut]);
    let html = view.html.expect("it is HTML").text;
    assert_eq!(html.matches("href=").count(), LINKS_MAX);
}

/// Shapes on which readers are known to take the square of the time. Nothing is measured: a reader
/// that takes it does not come to an end here.
#[test]
fn shapes_that_others_do_not_survive() {
    let html = "Content-Type: text/html\r\n\r\n";
    let fonts: String = (0..2000).map(|n| format!("<font size={n}>")).collect();
    for raw in [
        format!("{html}{}", "<div>".repeat(200_000)),
        format!("{html}{}", "<b>".repeat(200_000)),
        format!("{html}<table>{fonts}{}", "<tr></tr>x".repeat(20_000)),
        format!("{html}{fonts}{}", "<p>x".repeat(20_000)),
        format!("{html}{}", "<svg>".repeat(100_000)),
        format!("{html}{}", "<table><tr><td>".repeat(50_000)),
        format!("{html}{}", "</p>".repeat(100_000)),
        format!("{html}{}", "<!--".repeat(200_000)),
        format!("{html}{}", "<a b='".repeat(100_000)),
        format!("{html}{}", "&".repeat(1 << 20)),
        format!("{html}<p style='{}'>", "color:red;".repeat(100_000)),
        format!("{html}<p {}>", "a=b ".repeat(200_000)),
        format!("{html}{}", "<blockquote type=cite>x".repeat(50_000)),
        format!("\r\n{}", "On 1 May 2026 x wrote:\n".repeat(40_000)),
        format!("\r\n{}", "> > >".repeat(100_000)),
        format!("Subject: {}\r\n\r\n", "=?utf-8?q?".repeat(20_000)),
        format!("To: {}\r\n\r\n", "\"a\" (b) <c@x.example>,".repeat(8000)),
        format!("Content-Type: a/b; {}\r\n\r\n", "name*0*=x; ".repeat(1000)),
        format!("{MIXED}{}", "--b".repeat(300_000)),
        format!("{MIXED}{}", "--bx\n".repeat(300_000)),
        format!(
            "Content-Type: text/calendar\r\n\r\n{}",
            "BEGIN:VEVENT\n ".repeat(50_000)
        ),
    ] {
        let _ = read(&raw);
    }
}
