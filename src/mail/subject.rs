//! Subjects: what a reply keeps of its parent's, what two of them have in common, and the numbers
//! that stand in them.

use super::letter::NO_SUBJECT;
use super::text::{LINE_CHARS_MAX, clean_line};
use super::token::MainNumber;

/// Most numbers that are read out of one subject.
const NUMBERS_MAX: usize = 3;

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

/// The subject of a forwarded letter: `Fwd:` once, before what stood there.
#[must_use]
pub fn forward_subject(subject: &str) -> String {
    let known = if subject == NO_SUBJECT { "" } else { subject };
    if strip_forward_mark(known.trim_start()).is_some() {
        return clean_line(known, LINE_CHARS_MAX);
    }
    clean_line(&format!("Fwd: {known}"), LINE_CHARS_MAX)
}

/// Cuts one `Re:`, `AW:`, `SV:`, `Antw:` and the like, also counted as in `Re[2]:` or `Re^2:`.
fn strip_reply_mark(subject: &str) -> Option<&str> {
    // English, German, Scandinavian, Dutch, Polish, Portuguese, Turkish, Italian, Croatian,
    // Hungarian, Indonesian, Latvian, Russian, Greek, Hebrew, Arabic, Chinese, Japanese, Korean.
    // Not the Spanish `RV` or the Finnish `VS`, which may mark a forward.
    const MARKS: [&str; 26] = [
        "re",
        "aw",
        "sv",
        "antw",
        "antwort",
        "odp",
        "res",
        "ynt",
        "ref",
        "rif",
        "r",
        "odg",
        "vá",
        "bls",
        "atb",
        "отв",
        "ответ",
        "απ",
        "השב",
        "תגובה",
        "رد",
        "回复",
        "回覆",
        "答复",
        "返信",
        "회신",
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

/// Whether a subject says that the letter forwards another: `Fwd:`, `WG:`, `TR:` and the like,
/// alone or behind marks of replies.
#[must_use]
pub fn is_forward(subject: &str) -> bool {
    let mut rest = subject.trim_start();
    while let Some(after) = strip_reply_mark(rest) {
        rest = after.trim_start();
    }
    strip_forward_mark(rest).is_some()
}

/// Cuts one `Fwd:`, `WG:`, `TR:` and the like.
fn strip_forward_mark(subject: &str) -> Option<&str> {
    // English, German, French, Spanish, Italian, Portuguese, Dutch, Scandinavian, Finnish, Polish,
    // Turkish, Chinese.
    const MARKS: [&str; 17] = [
        "fwd", "fw", "wg", "wtr", "tr", "rv", "i", "enc", "doorst", "vb", "vs", "vl", "pd", "ilt",
        "转发", "轉寄", "轉發",
    ];
    let (mark, rest) = subject.split_once([':', '：'])?;
    let known = MARKS.contains(&mark.trim_end().to_lowercase().as_str());
    known.then_some(rest)
}

/// What is left of a subject without marks of answering and forwarding, numbers of ours, letter
/// case and differences of white space: equal for letters of one topic. Empty if nothing is.
#[must_use]
pub fn topic(subject: &str) -> String {
    let mut rest = subject.trim_start();
    while let Some(after) = strip_reply_mark(rest).or_else(|| strip_forward_mark(rest)) {
        rest = after.trim_start();
    }
    if rest == NO_SUBJECT {
        return String::new();
    }
    let mut topic = String::new();
    let mut pieces = rest.split_inclusive(']');
    let words = pieces.by_ref().flat_map(|piece| {
        let kept = match piece.rsplit_once('[') {
            Some((before, _)) if !main_numbers(piece).is_empty() => before,
            _ => piece,
        };
        kept.split_whitespace()
    });
    for word in words {
        if !topic.is_empty() {
            topic.push(' ');
        }
        topic.extend(word.chars().flat_map(char::to_lowercase));
    }
    topic
}

/// The MainNumbers in brackets, alone or behind a word, at most three. Numbers that
/// their check digit gives away, and those of other trackers such as `[#4711]`, are not ours.
#[must_use]
pub fn main_numbers(subject: &str) -> Vec<MainNumber> {
    (subject.split('[').skip(1))
        .filter_map(|piece| {
            let (inside, _) = piece.split_once(']')?;
            inside.split_whitespace().next_back()?.parse().ok()
        })
        .take(NUMBERS_MAX)
        .collect()
}

/// The subject without a number that stands in brackets, alone or behind a word.
#[must_use]
pub fn without_number(subject: &str, number: &str) -> String {
    let mut kept = String::new();
    for piece in subject.split_inclusive(']') {
        match piece.rfind('[') {
            Some(at) if has_number(piece.get(at..).unwrap_or_default(), number) => {
                kept.push_str(piece.get(..at).unwrap_or_default().trim_end());
            }
            Some(_) | None => kept.push_str(piece),
        }
    }
    clean_line(&kept, LINE_CHARS_MAX)
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
    fn forwards_are_marked_once() {
        for (subject, forward) in [
            ("Broken lamp", "Fwd: Broken lamp"),
            ("Re: Broken lamp", "Fwd: Re: Broken lamp"),
            ("WG: Broken lamp", "WG: Broken lamp"),
            (NO_SUBJECT, "Fwd:"),
        ] {
            assert_eq!(forward_subject(subject), forward, "{subject:?}");
        }
    }

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
            ("R: I: Ordine", "Re: I: Ordine"),
            ("RIF: Odg: Vá: Bls: Atb: x", "Re: x"),
            ("Ответ: Заказ", "Re: Заказ"),
            ("رد: طلب", "Re: طلب"),
            ("返信： 注文", "Re: 注文"),
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
    fn topics() {
        for (subject, is) in [
            ("Order", "order"),
            ("Re: AW:  My   Order ", "my order"),
            ("Fwd: Re: WG: Order", "order"),
            ("Order [Case 5724]", "order"),
            ("[5724] Order [Ticket 7]", "order [ticket 7]"),
            ("Re: [Case 5725] Order", "[case 5725] order"),
            ("Re:", ""),
            (NO_SUBJECT, ""),
            ("Tr: ÄRGER", "ärger"),
        ] {
            assert_eq!(topic(subject), is, "{subject:?}");
        }
    }

    #[test]
    fn main_numbers_in_subjects() {
        for (subject, numbers) in [
            ("Order [Case 5724]", "5724"),
            ("[5724] Order", "5724"),
            ("[Case 5725]", ""),
            ("[#5724]", ""),
            ("Order 5724", ""),
            ("[Case 5724", ""),
            ("[5724][13][5724][13]", "5724 13 5724"),
        ] {
            let found = main_numbers(subject)
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>();
            assert_eq!(found.join(" "), numbers, "{subject:?}");
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
    fn numbers_taken_out_of_subjects() {
        for (subject, without) in [
            ("Order [Case 5724]", "Order"),
            ("[5724] Order [Ticket 7]", "Order [Ticket 7]"),
            ("Re: [Case 5724] Order [a]", "Re: Order [a]"),
            ("Order 5724", "Order 5724"),
            ("Order [Case 15724]", "Order [Case 15724]"),
            ("[a [Case 5724]", "[a"),
            ("[Case 5724]", ""),
        ] {
            assert_eq!(without_number(subject, "5724"), without, "{subject}");
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
