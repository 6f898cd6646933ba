//! The subject of a reply: what is kept of the parent's, and whether the number stands in it.

use super::letter::NO_SUBJECT;
use super::text::{LINE_CHARS_MAX, clean_line};

/// The subject of a reply: `Re:` once, whatever stood there before and in whichever language.
/// Marks of forwarding stay, because they say something.
#[must_use]
pub fn reply_subject(subject: &str) -> String {
    let mut rest = if subject == NO_SUBJECT {
        ""
    } else {
        subject.trim_start()
    };
    while let Some(after) = strip_reply_mark(rest) {
        rest = after.trim_start();
    }
    clean_line(&format!("Re: {rest}"), LINE_CHARS_MAX)
}

/// Cuts one `Re:`, `AW:`, `SV:`, `Antw:` and the like, also counted as in `Re[2]:` or `Re^2:`.
fn strip_reply_mark(subject: &str) -> Option<&str> {
    // English, German, Scandinavian, Dutch, Polish, Portuguese, Turkish, Greek, Chinese. Not the
    // Spanish `RV` or the Finnish `VS`, which may mark a forward.
    const MARKS: [&str; 12] = [
        "re", "aw", "sv", "antw", "antwort", "odp", "res", "ynt", "ref", "απ", "回复", "回覆",
    ];
    let colon = subject.find([':', '：'])?;
    let (mark, rest) = subject.split_at(colon);
    let mark = mark
        .trim_end()
        .trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '[' | ']' | '(' | ')' | '^'))
        .to_lowercase();
    let known = MARKS.contains(&mark.as_str());
    let after = rest.strip_prefix([':', '：'])?;
    known.then_some(after)
}

/// Whether a subject says that the letter forwards another: `Fwd:`, `WG:`, `TR:` and the like, alone or
/// behind marks of replies.
#[must_use]
pub fn is_forward(subject: &str) -> bool {
    // English, German, French, Spanish, Italian, Portuguese, Dutch, Scandinavian, Finnish, Polish,
    // Turkish, Chinese.
    const MARKS: [&str; 17] = [
        "fwd", "fw", "wg", "wtr", "tr", "rv", "i", "enc", "doorst", "vb", "vs", "vl", "pd", "ilt",
        "转发", "轉寄", "轉發",
    ];
    let mut rest = subject.trim_start();
    while let Some(after) = strip_reply_mark(rest) {
        rest = after.trim_start();
    }
    rest.split_once([':', '：']).is_some_and(|(mark, _)| {
        let mark = mark.trim_end().to_lowercase();
        MARKS.contains(&mark.as_str())
    })
}

/// Whether a number already stands in brackets, alone or behind a word.
#[must_use]
pub fn has_number(subject: &str, number: &str) -> bool {
    subject.split('[').skip(1).any(|piece| {
        piece
            .split(']')
            .next()
            .and_then(|inside| inside.split_whitespace().next_back())
            == Some(number)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_of_replies() {
        for (subject, reply) in [
            ("Order", "Re: Order"),
            ("Re: Order", "Re: Order"),
            ("RE:RE: re : Order", "Re: Order"),
            ("AW: SV: Antw: Order", "Re: Order"),
            ("Re[2]: Order", "Re: Order"),
            ("Re^3: Order", "Re: Order"),
            ("回复：Order", "Re: Order"),
            ("Fwd: Order", "Re: Fwd: Order"),
            ("RV: Order", "Re: RV: Order"),
            ("Report: x", "Re: Report: x"),
            ("", "Re:"),
            ("Re:", "Re:"),
            (NO_SUBJECT, "Re:"),
        ] {
            assert_eq!(reply_subject(subject), reply, "{subject:?}");
        }
    }

    #[test]
    fn subjects_of_forwards() {
        for (subject, forwards) in [
            ("Fwd: Order", true),
            ("WG: Bestellung", true),
            ("Re: TR: Commande", true),
            ("I: Ordine", true),
            ("转发：订单", true),
            ("Re: Order", false),
            ("I would: like", false),
            ("Forward thinking", false),
            (NO_SUBJECT, false),
        ] {
            assert_eq!(is_forward(subject), forwards, "{subject}");
        }
    }

    #[test]
    fn numbers_in_subjects() {
        for (subject, stands) in [
            ("Order [Case 5724]", true),
            ("[5724] Order", true),
            ("[a] [Fall 5724]", true),
            ("Order 5724", false),
            ("[15724]", false),
            ("[5724 Case]", false),
            ("[Case 5724", true),
        ] {
            assert_eq!(has_number(subject, "5724"), stands, "{subject}");
        }
    }
}
