//! Golden letters of ours: what is composed, byte for byte, and what a reader that is not ours makes
//! of it.
//!
//! A case is two files in `tests/compose`: `NN-name.eml`, the letter, and `NN-name.expect`, what
//! Python's `email` package reads in it (`read.py`). `UPDATE=1 cargo test --test compose` writes
//! them anew: commit the change only when you understand it. Without python3 the letters are
//! compared and not read, and that is said; `POSTROOM_REQUIRE_POSTFIX=1` makes it a failure.

#![expect(clippy::unwrap_used, reason = "a test's helpers are part of the test")]

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use postroom::mail::attribution;
use postroom::mail::compose::{Draft, File, Forwarded, Parent, Quote, Tag};
use postroom::mail::letter::{Picture, Quotable, View};
use postroom::mail::loop_mark::LoopMark;
use postroom::mail::mailbox::Mailbox;
use postroom::mail::message_id::InternetMessageId;
use postroom::mail::token::{KEY_BYTES, Keyring, MainNumber};
use postroom::time::Timestamp;

/// A moment that does not pass.
const NOW: Timestamp = Timestamp::from_millis(1_795_000_000_000);

/// A customer's letter as Outlook and its kin write them: both renditions, a picture in the HTML, a
/// file with a name that is not ASCII.
const ORIGINAL: &str = "X-Postroom-Case: 5724\r\n\
    From: =?iso-8859-1?Q?J=F6rg_M=FCller?= <joerg@customer.example>\r\n\
    To: Support <support@shop.example>\r\n\
    Cc: \"Berg, Anna\" <anna@customer.example>\r\n\
    Subject: =?utf-8?Q?AW:_Die_Lampe_f=C3=BCr_den_Flur_[Case_5724]?=\r\n\
    Date: Mon, 16 Nov 2026 09:15:00 +0100\r\n\
    Message-ID: <b2@customer.example>\r\n\
    References: <a1@x.example> <b1@customer.example>\r\n\
    MIME-Version: 1.0\r\n\
    Content-Type: multipart/mixed; boundary=\"m\"\r\n\r\n\
    --m\r\nContent-Type: multipart/related; boundary=\"r\"\r\n\r\n\
    --r\r\nContent-Type: multipart/alternative; boundary=\"a\"\r\n\r\n\
    --a\r\nContent-Type: text/plain; charset=iso-8859-1\r\n\
    Content-Transfer-Encoding: quoted-printable\r\n\r\n\
    Sie flackert, gr=FC=DFt J=F6rg\r\n\r\n\
    > Brennt sie wieder?\r\n\r\n\
    --a\r\nContent-Type: text/html; charset=utf-8\r\n\r\n\
    <html><head><style>p{color:red}</style></head><body onload=\"x()\">\
    <p>Sie <b>flackert</b>: <img src=\"cid:image001.png@01D\" alt=\"Bild\"></p>\
    <img src=\"https://t.example/pixel.gif\"><script>alert(1)</script>\
    <blockquote type=\"cite\">Brennt sie wieder?</blockquote></body></html>\r\n\
    --a--\r\n\
    --r\r\nContent-Type: image/png; name=\"image001.png\"\r\n\
    Content-ID: <image001.png@01D>\r\nContent-Transfer-Encoding: base64\r\n\r\n\
    iVBORw0KGgo=\r\n\
    --r--\r\n\
    --m\r\nContent-Type: application/pdf\r\n\
    Content-Disposition: attachment; filename*=utf-8''Rechnung%20f%C3%BCr%20M%C3%A4rz.pdf\r\n\
    Content-Transfer-Encoding: base64\r\n\r\n\
    JVBERi0xLjQ=\r\n\
    --m--\r\n";

fn mailbox(name: &str, address: &str) -> Mailbox {
    Mailbox {
        name: name.to_owned(),
        address: address.parse().unwrap(),
    }
}

fn file(picture: &Picture) -> File<'_> {
    File {
        name: &picture.name,
        media_type: &picture.media_type,
        content_id: Some(&picture.content_id),
        bytes: &picture.bytes,
    }
}

/// Everything that the drafts below borrow from.
struct Desk {
    from: Mailbox,
    to: Vec<Mailbox>,
    reply_to: Mailbox,
    id: InternetMessageId,
    mark: LoopMark,
    original: Quotable,
    attribution: String,
    names: Vec<Mailbox>,
    ancestors: Vec<InternetMessageId>,
}

impl Desk {
    fn new() -> Self {
        let id = InternetMessageId::parse("r.token.nonce@mid.shop.example").unwrap();
        let ring = Keyring::new(0, [(0, [7; KEY_BYTES])]).unwrap();
        let original = Quotable::read(ORIGINAL.as_bytes(), true, id.as_str());
        let author = original.letter.author.mailbox.clone().unwrap();
        let date = original.letter.date.unwrap();
        Self {
            from: mailbox("Anna Schöne, Lampen & mehr", "support@shop.example"),
            to: vec![mailbox("Jörg Müller", "joerg@customer.example")],
            reply_to: mailbox("Lampen", "support+rtoken@shop.example"),
            mark: LoopMark::mint(&ring, "mid.shop.example", &id).unwrap(),
            id,
            attribution: attribution::line(
                "Am {day}.{month}.{year} um {time} schrieb {name}:",
                &author,
                date,
                3600,
            ),
            original,
            names: vec![
                mailbox("Berg, Anna \"Ann\" (Einkauf)", "anna@customer.example"),
                mailbox("山田 太郎", "taro@customer.example"),
                mailbox(
                    "Ακρόπολη και μερικές ακόμη λέξεις για να γίνει το όνομα μακρύ",
                    "a@customer.example",
                ),
                mailbox("=?utf-8?q?Eve?= <eve@evil.example>", "b@customer.example"),
                mailbox("👩‍💻 Dev", "c@b\u{fc}cher.example"),
                mailbox("", "d@customer.example"),
            ],
            ancestors: (0..40)
                .map(|n| InternetMessageId::parse(&format!("{n}@x.example")).unwrap())
                .collect(),
        }
    }

    fn plain(&self) -> Draft<'_> {
        Draft {
            from: &self.from,
            to: &self.to,
            cc: &[],
            reply_to: Some(&self.reply_to),
            subject: "",
            tag: None,
            untag: None,
            text: "Guten Tag,\n\nsie ist unterwegs.\n",
            html: None,
            pictures: &[],
            files: &[],
            parent: None,
            forwarded: None,
            date: NOW,
            internet_message_id: &self.id,
            loop_mark: &self.mark,
            automatic: false,
        }
    }

    fn answering(&self, whole: bool) -> Parent<'_> {
        let letter = &self.original.letter;
        Parent {
            subject: &letter.subject,
            internet_message_id: letter.internet_message_id.as_ref(),
            references: &letter.references,
            quote: Some(Quote {
                attribution: &self.attribution,
                text: if whole {
                    letter.body.text()
                } else {
                    letter.body.fresh()
                },
                html: self.original.html.as_ref().filter(|_| whole),
            }),
        }
    }

    fn forwarding(&self) -> Forwarded<'_> {
        let letter = &self.original.letter;
        Forwarded {
            author: "Jörg Müller <joerg@customer.example>",
            date: letter.date.unwrap(),
            ahead_seconds: 3600,
            to: "Support <support@shop.example>",
            cc: "Berg, Anna <anna@customer.example>",
            subject: &letter.subject,
            text: letter.body.text(),
            html: self.original.html.as_ref(),
            whole: None,
        }
    }
}

const HTML: &str = "<p style=\"color:red;position:fixed\">Guten <b onclick=\"x()\">Tag</b>,</p>\
    <p>siehe <a href=\"https://shop.example/?a=1&amp;b=2\">hier</a> oder \
    <a href=\"javascript:alert(1)\">dort</a>.</p><script>alert(1)</script>\
    <img src=\"https://shop.example/logo.png\" alt=\"Logo\"><img src=\"cid:nobody\">";

/// Each kind of letter.
fn letters(desk: &Desk) -> Vec<(&'static str, Vec<u8>)> {
    let number = MainNumber::new(572);
    let pictures: Vec<File<'_>> = desk.original.pictures.iter().map(file).collect();
    let pdf = [File {
        name: "Rechnung für März.pdf",
        media_type: "application/pdf",
        content_id: None,
        bytes: b"%PDF-1.4",
    }];
    let odd = [
        File {
            name: "a very long name that goes on and on, with commas; and semicolons; and more.txt",
            media_type: "text/plain\r\nBcc: eve@evil.example",
            content_id: None,
            bytes: b"From here\r\n.\r\n",
        },
        File {
            name: "letter.eml",
            media_type: "message/rfc822",
            content_id: None,
            bytes: b"From: a@x.example\r\nSubject: inner\r\n\r\nhello\r\n",
        },
    ];
    let plain = || desk.plain();
    let drafts = [
        (
            "01-reply-whole",
            Draft {
                parent: Some(desk.answering(true)),
                ..plain()
            },
        ),
        (
            "02-reply-latest-tagged",
            Draft {
                cc: &desk.names[..1],
                tag: number.map(|number| Tag {
                    word: "Case",
                    number,
                }),
                parent: Some(desk.answering(false)),
                ..plain()
            },
        ),
        (
            "03-reply-html",
            Draft {
                html: Some(HTML),
                pictures: &pictures,
                parent: Some(desk.answering(true)),
                ..plain()
            },
        ),
        (
            "04-html-alone",
            Draft {
                subject: "Ihre Lampe",
                text: "",
                html: Some(HTML),
                ..plain()
            },
        ),
        (
            "05-forward-quoted-with-file",
            Draft {
                untag: number,
                files: &pdf,
                forwarded: Some(desk.forwarding()),
                ..plain()
            },
        ),
        (
            "06-forward-enclosed",
            Draft {
                untag: number,
                text: "",
                forwarded: Some(Forwarded {
                    whole: Some(ORIGINAL.as_bytes()),
                    ..desk.forwarding()
                }),
                ..plain()
            },
        ),
        (
            "07-forward-html",
            Draft {
                untag: number,
                html: Some("<p>Können Sie helfen?</p>"),
                text: "Können Sie helfen?",
                pictures: &pictures,
                files: &pdf,
                forwarded: Some(desk.forwarding()),
                ..plain()
            },
        ),
        (
            "08-names",
            Draft {
                to: &desk.names,
                subject: "山田さんの注文について、もう一度お知らせします。よろしくお願いいたします 🎉 \
                    =?utf-8?q?x?=",
                text: "こんにちは",
                ..plain()
            },
        ),
        (
            "09-long-thread",
            Draft {
                text: "From here\n.\n  two blanks \nand a line: "
                    .to_owned()
                    .leak(),
                parent: Some(Parent {
                    subject: "R: RIF: Antw: Re[2]: Order",
                    internet_message_id: Some(&desk.id),
                    references: &desk.ancestors,
                    quote: None,
                }),
                ..plain()
            },
        ),
        (
            "10-odd-files",
            Draft {
                subject: "Files",
                files: &odd,
                ..plain()
            },
        ),
        (
            "11-automatic",
            Draft {
                subject: "Received",
                automatic: true,
                ..plain()
            },
        ),
    ];
    let composed = drafts
        .into_iter()
        .map(|(name, draft)| (name, draft.compose().unwrap().bytes));
    composed.collect()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compose")
}

/// What Python reads in each of these files; `None` if it is not here.
fn read_elsewhere(files: &[PathBuf]) -> Option<Vec<String>> {
    let ran = Command::new("python3")
        .arg(folder().join("read.py"))
        .args(files)
        .output();
    let Ok(ran) = ran else {
        let required = std::env::var_os("POSTROOM_REQUIRE_POSTFIX").is_some_and(|set| set == "1");
        assert!(!required, "python3 is not here");
        let _ = writeln!(io::stderr(), "skipped: python3 is not here");
        return None;
    };
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{said}");
    let text = String::from_utf8(ran.stdout).unwrap();
    Some(text.split_terminator('\0').map(str::to_owned).collect())
}

#[test]
fn letters_are_written_as_expected() {
    let update = std::env::var_os("UPDATE").is_some();
    let desk = Desk::new();
    for (name, bytes) in letters(&desk) {
        let path = folder().join(name).with_extension("eml");
        if update {
            fs::write(&path, &bytes).unwrap();
        }
        let expected = fs::read(&path).unwrap_or_default();
        assert_eq!(
            String::from_utf8_lossy(&bytes),
            String::from_utf8_lossy(&expected),
            "{name}"
        );
    }
}

#[test]
fn a_reader_that_is_not_ours_agrees() {
    let update = std::env::var_os("UPDATE").is_some();
    let desk = Desk::new();
    let letters = letters(&desk);
    let scratch = tempfile::tempdir().unwrap();
    let files: Vec<PathBuf> = (letters.iter())
        .map(|(name, bytes)| {
            let path = scratch.path().join(name);
            fs::write(&path, bytes).unwrap();
            path
        })
        .collect();
    let Some(read) = read_elsewhere(&files) else {
        return;
    };
    assert_eq!(read.len(), letters.len());
    for ((name, _), read) in letters.iter().zip(read) {
        assert!(!read.contains("DEFECT"), "{name}\n{read}");
        assert!(!read.contains("Bcc:"), "{name}\n{read}");
        let path = folder().join(name).with_extension("expect");
        if update {
            fs::write(&path, &read).unwrap();
        }
        let expected = fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(read, expected, "{name}");
    }
}

#[test]
fn our_own_reader_agrees_too() {
    let desk = Desk::new();
    for (name, bytes) in letters(&desk) {
        let view = View::read(&bytes, true);
        assert!(view.letter.notices.is_empty(), "{name}");
        if name.starts_with("01") || name.starts_with("03") {
            // What was quoted is known to be so when it comes back.
            assert_eq!(
                view.letter.body.fresh(),
                "Guten Tag,\n\nsie ist unterwegs.",
                "{name}"
            );
        }
        let Some(html) = view.html else { continue };
        assert!(!html.text.contains("script"), "{name}\n{}", html.text);
        assert_eq!(html.missing_images, 0, "{name}");
        assert_eq!(
            html.text.contains("data-fold=\"quote\""),
            name.starts_with("03") || name.starts_with("07")
        );
    }
}

#[test]
fn nothing_ends_a_field_or_a_line() {
    let desk = Desk::new();
    for (name, bytes) in letters(&desk) {
        let text = String::from_utf8(bytes).unwrap();
        let bare = text.replace("\r\n", "");
        assert!(!bare.contains(['\r', '\n', '\0']), "{name}");
        assert!(text.split("\r\n").all(|line| line.len() <= 998), "{name}");
        assert!(!text.contains("\r\nBcc:"), "{name}");
        let (head, _) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.is_ascii(), "{name}");
    }
}
