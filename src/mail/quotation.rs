//! Where the quoted part of a reply begins, so that an agent reads what is new first.
//!
//! Careful rather than clever: what is hidden by mistake is an answer nobody reads. Whenever new
//! text stands below or between quoted lines, nothing is hidden.

/// Most lines searched for the beginning of a quotation.
const LINES_MAX: usize = 20_000;

/// Longest line that may introduce a quotation, in bytes, after joining up to three.
const ATTRIBUTION_BYTES_MAX: usize = 400;

/// What programs put above a quoted letter, between dashes; compared in lower case.
const RULES: [&str; 16] = [
    "original message",
    "original appointment",
    "ursprüngliche nachricht",
    "originalnachricht",
    "message d'origine",
    "message original",
    "mensaje original",
    "mensagem original",
    "messaggio originale",
    "oorspronkelijk bericht",
    "originalmeddelande",
    "ursprungligt meddelande",
    "oprindelig meddelelse",
    "alkuperäinen viesti",
    "wiadomość oryginalna",
    "исходное сообщение",
];

/// The verb in "On DATE, NAME wrote:"; compared in lower case.
const WROTE: [&str; 18] = [
    "wrote",
    "schrieb",
    "a écrit",
    "escribió",
    "escreveu",
    "ha scritto",
    "schreef",
    "skrev",
    "kirjoitti",
    "napisał",
    "napsal",
    "пишет",
    "писал",
    "написал",
    "写道",
    "寫道",
    "のメール",
    "작성",
];

/// The field names of the block that Outlook puts above a quoted letter, sender first; compared
/// in lower case.
const FROM: [&str; 12] = [
    "from:",
    "von:",
    "de :",
    "de:",
    "da:",
    "van:",
    "från:",
    "fra:",
    "od:",
    "lähettäjä:",
    "от:",
    "发件人:",
];
const OTHERS: [&str; 30] = [
    "sent:",
    "date:",
    "to:",
    "subject:",
    "gesendet:",
    "datum:",
    "an:",
    "betreff:",
    "envoyé :",
    "envoyé:",
    "à :",
    "à:",
    "objet :",
    "objet:",
    "enviado:",
    "enviado el:",
    "para:",
    "asunto:",
    "assunto:",
    "inviato:",
    "a:",
    "oggetto:",
    "verzonden:",
    "aan:",
    "onderwerp:",
    "skickat:",
    "till:",
    "ämne:",
    "wysłano:",
    "temat:",
];

/// The byte at which the quoted tail of a letter begins: everything before it is new, everything
/// from it on was there before. `None` if nothing is quoted, if new text stands among the quoted
/// lines, or if nothing at all would remain.
#[must_use]
pub fn begins(text: &str) -> Option<usize> {
    let lines = lines(text);
    let at = (0..lines.len()).find(|&at| {
        is_rule(&lines, at) || is_field_block(&lines, at) || is_attribution(&lines, at)
    });
    let at = at.or_else(|| quoted_tail(&lines))?;
    let start = lines.get(at)?.start;
    let new = text.get(..start).unwrap_or_default();
    (!new.trim().is_empty()).then_some(start)
}

#[derive(Debug, Clone, Copy)]
struct Line<'a> {
    start: usize,
    text: &'a str,
}

impl Line<'_> {
    fn is_quoted(&self) -> bool {
        self.text.starts_with('>')
    }

    fn is_blank(&self) -> bool {
        self.text.is_empty()
    }
}

fn lines(text: &str) -> Vec<Line<'_>> {
    let mut start = 0;
    let mut lines = Vec::new();
    for raw in text.split_inclusive('\n').take(LINES_MAX) {
        lines.push(Line {
            start,
            text: raw.trim(),
        });
        start += raw.len();
    }
    lines
}

/// `-----Original Message-----`, and the bar of underscores that Outlook on the web draws above
/// its block of fields.
fn is_rule(lines: &[Line<'_>], at: usize) -> bool {
    let Some(line) = lines.get(at) else {
        return false;
    };
    if line.text.len() >= 20 && line.text.bytes().all(|b| b == b'_') {
        let next = (at + 1..lines.len()).find(|&n| lines.get(n).is_some_and(|l| !l.is_blank()));
        return next.is_some_and(|next| is_field_block(lines, next));
    }
    let Some(inner) = line.text.strip_prefix("--") else {
        return false;
    };
    let words = inner.trim_matches(['-', '_', ' ']).to_lowercase();
    inner.ends_with('-') && RULES.contains(&words.as_str())
}

/// `From:` and within the next lines at least two other fields of a letter.
fn is_field_block(lines: &[Line<'_>], at: usize) -> bool {
    let begins = |line: &Line<'_>, names: &[&str]| {
        let plain: String = line
            .text
            .chars()
            .take(24)
            .filter(|&c| c != '*')
            .flat_map(char::to_lowercase)
            .collect();
        let plain = plain.trim_start().replace('\u{ff1a}', ":");
        names.iter().any(|name| plain.starts_with(name))
    };
    let Some((first, rest)) = lines.get(at..).and_then(<[_]>::split_first) else {
        return false;
    };
    begins(first, &FROM)
        && rest
            .iter()
            .take_while(|line| !line.is_blank())
            .take(6)
            .filter(|line| begins(line, &OTHERS))
            .count()
            >= 2
}

/// "On DATE, NAME wrote:", perhaps over three lines, with nothing but quoted lines below. Where
/// no line below is marked as quoted, as after a conversion from HTML, the sentence must hold a
/// date, or at least a number, and end in a colon.
fn is_attribution(lines: &[Line<'_>], at: usize) -> bool {
    let Some(first) = lines.get(at).filter(|l| !l.is_blank() && !l.is_quoted()) else {
        return false;
    };
    let mut sentence = first.text.to_owned();
    let mut end = at;
    while !sentence.ends_with([':', '：']) {
        end += 1;
        let next = lines.get(end).filter(|l| !l.is_blank() && !l.is_quoted());
        match next {
            Some(line) if end - at < 3 && sentence.len() < ATTRIBUTION_BYTES_MAX => {
                sentence.push(' ');
                sentence.push_str(line.text);
            }
            _ => return false,
        }
    }
    if sentence.len() > ATTRIBUTION_BYTES_MAX || !sentence.contains(|c: char| c.is_ascii_digit()) {
        return false;
    }
    let lower = sentence.to_lowercase();
    // The verb must stand in the sentence's own words: a joined line of new text above it would
    // be hidden with it.
    if !WROTE.iter().any(|verb| lower.contains(verb)) || starts_late(lines, at, end) {
        return false;
    }
    let below = lines.get(end + 1..).unwrap_or_default();
    let quoted = below.iter().any(Line::is_quoted);
    !quoted || below.iter().all(|l| l.is_blank() || l.is_quoted())
}

/// Whether a shorter sentence further down would do as well: then this line is new text that
/// happens to stand right above it.
fn starts_late(lines: &[Line<'_>], at: usize, end: usize) -> bool {
    (at + 1..=end).any(|later| {
        let rest: Vec<&str> = lines
            .get(later..=end)
            .unwrap_or_default()
            .iter()
            .map(|l| l.text)
            .collect();
        let lower = rest.join(" ").to_lowercase();
        lower.contains(|c: char| c.is_ascii_digit())
            && WROTE.iter().any(|verb| lower.contains(verb))
    })
}

/// Where a letter ends in quoted lines without an introduction we know.
fn quoted_tail(lines: &[Line<'_>]) -> Option<usize> {
    let tail = lines
        .iter()
        .rposition(|line| !line.is_blank() && !line.is_quoted())
        .map_or(0, |last| last + 1);
    let first = (tail..lines.len()).find(|&at| lines.get(at).is_some_and(Line::is_quoted))?;
    // Quoted lines further up: the letter answers point by point.
    let above = lines.get(..tail).unwrap_or_default();
    (!above.iter().any(Line::is_quoted)).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hides_what_was_there_before() {
        for quoted in [
            "On Mon, 23 Nov 2026 at 09:00, Support <s@shop.example> wrote:\n\n> hello\n> there",
            "On Mon, 23 Nov 2026 at 09:00, Support\n<support@shop.example> wrote:\n> hello",
            "Am 23.11.2026 um 09:00 schrieb Support:\n> hallo",
            "Le 23/11/2026 à 09:00, Support a écrit :\n> bonjour",
            "El lun, 23 nov 2026 a las 9:00, Support escribió:\n> hola",
            "2026年11月23日 Support 写道：\n> 你好",
            "On 23 Nov 2026 Support wrote:\nconverted from HTML, no marks",
            "-----Original Message-----\nFrom: Support\nhello",
            "-----Ursprüngliche Nachricht-----\nhallo",
            "________________________________\nFrom: Support\nSent: Monday\nTo: Anna\nSubject: x\n\nhello",
            "From: Support\nSent: Monday\nTo: Anna\nSubject: x\n\nhello",
            "*Von:* Support\n*Gesendet:* Montag\n*An:* Anna\n*Betreff:* x\n\nhallo",
            "> just marks\n>\n> and more",
        ] {
            let text = format!("Thanks!\n\nAnna\n\n{quoted}");
            let at = begins(&text).unwrap_or_else(|| panic!("nothing found in {quoted:?}"));
            assert_eq!(&text[at..], quoted);
        }
    }

    #[test]
    fn never_hides_an_answer() {
        for text in [
            "",
            "just a letter",
            "> yes\nno\n> more\nend",
            "On 1 May you wrote:\n> a\nI disagree.\n> b\nHere too.",
            "On 1 May Support wrote:\n> the question\n\nMy answer is below.",
            "On 1 May Support wrote:\n> nothing new at all",
            "> only\n> quoted",
            "I read what your colleague wrote: it did not help.",
            "From: the bottom of my heart\nthank you",
            "-- \nAnna Berg",
            "--\nOriginal message follows",
            "__________________\nAnna Berg, Sales",
        ] {
            assert_eq!(begins(text), None, "{text:?}");
        }
    }

    #[test]
    fn new_text_right_above_the_attribution_is_kept() {
        let text = "Order 4711 has not come\nOn 1 May 2026 Support wrote:\n> hello";
        assert_eq!(&text[..begins(text).unwrap()], "Order 4711 has not come\n");
    }

    #[test]
    fn floods_end() {
        let _ = begins(&"On 1 wrote\n".repeat(100_000));
        let _ = begins(&"From:\nTo: ".repeat(100_000));
        let _ = begins(&format!("a\n{}", "_".repeat(30)).repeat(20_000));
    }
}
