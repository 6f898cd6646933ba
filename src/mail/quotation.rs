//! Where the quoted part of a reply begins, so that an agent reads what is new first.
//!
//! Careful rather than clever: what is hidden by mistake is an answer nobody reads. Whenever new
//! text stands below or between quoted lines, nothing is hidden; nor is what a letter forwards,
//! because that is what it is about.

/// Longest text in which a quotation is looked for, in lines. Longer ones are shown whole.
const LINES_MAX: usize = 50_000;

/// Longest line that may introduce a quotation, in bytes, after joining up to three.
const ATTRIBUTION_BYTES_MAX: usize = 400;

/// What programs put above a quoted letter, between dashes; compared in lower case.
const RULES: [&str; 30] = [
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
    "пересылаемое исходное сообщение",
    "original-nachricht",
    "originalmelding",
    "původní zpráva",
    "pôvodná správa",
    "eredeti üzenet",
    "mesaj original",
    "orijinal mesaj",
    "αρχικό μήνυμα",
    "початкове повідомлення",
    "原始邮件",
    "原始郵件",
    "元のメッセージ",
    "원본 메일",
];

/// What programs put above a forwarded letter, between dashes or before a colon; compared in
/// lower case.
const FORWARDS: [&str; 26] = [
    "forwarded message",
    "begin forwarded message",
    "weitergeleitete nachricht",
    "anfang der weitergeleiteten nachricht",
    "message transféré",
    "début du message transféré",
    "début du message réexpédié",
    "mensaje reenviado",
    "inicio del mensaje reenviado",
    "mensagem encaminhada",
    "início da mensagem encaminhada",
    "messaggio inoltrato",
    "inizio messaggio inoltrato",
    "doorgestuurd bericht",
    "begin doorgestuurd bericht",
    "vidarebefordrat meddelande",
    "vidarebefordrat brev",
    "videresendt meddelelse",
    "videresendt melding",
    "välitetty viesti",
    "przekazana wiadomość",
    "přeposlaná zpráva",
    "пересылаемое сообщение",
    "転送されたメッセージ",
    "转发的邮件",
    "轉寄的郵件",
];

/// The verb in "On DATE, NAME wrote:"; compared in lower case.
const WROTE: [&str; 33] = [
    "wrote",
    "schrieb",
    "a écrit",
    "escribió",
    "va escriure",
    "escreveu",
    "ha scritto",
    "schreef",
    "skrev",
    "kirjoitti",
    "napisał",
    "pisze",
    "napsal",
    "napísal",
    "napisao",
    "írta",
    "a scris",
    "yazdı",
    "έγραψε",
    "пишет",
    "писал",
    "написал",
    "написав",
    "пише",
    "menulis",
    "đã viết",
    "כתב",
    "كتب",
    "写道",
    "寫道",
    "のメール",
    "書きました",
    "작성",
];

/// The field names of the block that Outlook puts above a quoted letter, sender first; compared
/// in lower case.
const FROM: [&str; 22] = [
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
    "отправитель:",
    "feladó:",
    "odesílatel:",
    "odosielateľ:",
    "de la:",
    "kimden:",
    "από:",
    "від:",
    "发件人:",
    "寄件者:",
    "差出人:",
];
const OTHERS: [&str; 66] = [
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
    "cc:",
    "kopie:",
    "dato:",
    "sendt:",
    "til:",
    "emne:",
    "data:",
    "enviada em:",
    "lähetetty:",
    "vastaanottaja:",
    "aihe:",
    "do:",
    "odesláno:",
    "komu:",
    "předmět:",
    "predmet:",
    "elküldve:",
    "címzett:",
    "tárgy:",
    "trimis:",
    "către:",
    "subiect:",
    "gönderildi:",
    "kime:",
    "konu:",
    "отправлено:",
    "дата:",
    "кому:",
    "тема:",
    "发送时间:",
    "收件人:",
    "主题:",
    "收件者:",
    "主旨:",
    "宛先:",
    "件名:",
];

/// What is known of a letter beside its text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hints {
    /// It says that it answers something. In a letter that does not, marked lines without an
    /// introduction are how its author indents.
    pub answer: bool,
    /// Its subject says that it forwards something.
    pub forward: bool,
}

/// What was found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quotation {
    /// The byte at which the quoted tail begins: everything before it is new, everything from it
    /// on was there before. `None` if nothing is quoted, if new text stands among the quoted
    /// lines, if the letter forwards, or if nothing at all would remain.
    pub begins: Option<usize>,
    /// The letter forwards another.
    pub forwards: bool,
}

/// Looks for quoted and forwarded text. Linear in the text.
#[must_use]
pub fn find(text: &str, hints: Hints) -> Quotation {
    let Some(lines) = lines(text) else {
        return Quotation::default();
    };
    let below = Below::of(&lines);
    let mut forwards = false;
    let at = (0..lines.len()).find(|&at| {
        forwards = is_forward(&lines, at);
        let block = is_rule(&lines, at) || is_field_block(&lines, at);
        forwards |= block && hints.forward;
        forwards || block || is_attribution(&lines, at, &below)
    });
    if forwards {
        return Quotation {
            begins: None,
            forwards,
        };
    }
    let at = at.or_else(|| quoted_tail(&lines).filter(|_| hints.answer));
    let begins = at
        .and_then(|at| lines.get(at))
        .map(|line| line.start)
        .filter(|start| {
            let new = text.get(..*start).unwrap_or_default();
            !new.trim().is_empty()
        });
    Quotation { begins, forwards }
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

/// The lines, unless there are too many.
fn lines(text: &str) -> Option<Vec<Line<'_>>> {
    let mut start = 0;
    let mut lines = Vec::new();
    for raw in text.split_inclusive('\n') {
        if lines.len() == LINES_MAX {
            return None;
        }
        lines.push(Line {
            start,
            text: raw.trim(),
        });
        start += raw.len();
    }
    Some(lines)
}

/// For each line, what stands below it; found once, so that asking costs nothing.
struct Below {
    /// The last quoted line.
    last_quoted: Option<usize>,
    /// The last line that is neither quoted nor blank.
    last_new: Option<usize>,
}

impl Below {
    fn of(lines: &[Line<'_>]) -> Self {
        Self {
            last_quoted: lines.iter().rposition(Line::is_quoted),
            last_new: (lines.iter()).rposition(|line| !line.is_blank() && !line.is_quoted()),
        }
    }
}

/// `---------- Forwarded message ---------`, or `Begin forwarded message:`.
fn is_forward(lines: &[Line<'_>], at: usize) -> bool {
    let Some(line) = lines.get(at).filter(|line| line.text.len() <= 200) else {
        return false;
    };
    let framed = line.text.starts_with("--") && line.text.ends_with('-');
    let titled = line.text.ends_with([':', '：']);
    if !framed && !titled {
        return false;
    }
    let words = line
        .text
        .trim_matches(['-', '_', ' ', ':', '：'])
        .to_lowercase();
    FORWARDS.contains(&words.as_str()) && (framed || words.contains(' ') || !words.is_ascii())
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
/// they are, an address in brackets does instead of a verb we know. Where no line below is marked
/// as quoted, as after a conversion from HTML, the sentence must hold a year, a time or an
/// address: people quote one another in running text too.
fn is_attribution(lines: &[Line<'_>], at: usize, below: &Below) -> bool {
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
    let quoted = below.last_quoted.is_some_and(|last| last > end);
    let new = below.last_new.is_some_and(|last| last > end);
    if quoted && new {
        return false;
    }
    // The verb must stand in the sentence's own words: a joined line of new text above it would
    // be hidden with it.
    introduces(&sentence, quoted) && !starts_late(lines, at, end, quoted)
}

fn introduces(sentence: &str, quoted: bool) -> bool {
    let lower = sentence.to_lowercase();
    let verb = WROTE.iter().any(|verb| lower.contains(verb));
    let address = lower.contains('<') && lower.contains('@');
    let number = lower.contains(|c: char| c.is_ascii_digit());
    if quoted {
        number && (verb || address)
    } else {
        verb && number && (lower.contains('@') || has_date(&lower))
    }
}

/// Whether a year or a time of day stands in it.
fn has_date(sentence: &str) -> bool {
    let digits =
        |text: &str, count: usize| text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
    let year = |word: &str| digits(word, 4) && (word.starts_with("19") || word.starts_with("20"));
    let words = sentence.split(|c: char| !c.is_ascii_digit() && c != ':');
    words
        .map(|word| word.trim_end_matches(':'))
        .any(|word| match word.split_once(':') {
            Some((hour, rest)) => {
                let minute = rest.split(':').next().unwrap_or_default();
                (digits(hour, 1) || digits(hour, 2)) && digits(minute, 2)
            }
            None => year(word),
        })
}

/// Whether a shorter sentence further down would do as well: then this line is new text that
/// happens to stand right above it.
fn starts_late(lines: &[Line<'_>], at: usize, end: usize, quoted: bool) -> bool {
    (at + 1..=end).any(|later| {
        let rest: Vec<&str> = lines
            .get(later..=end)
            .unwrap_or_default()
            .iter()
            .map(|l| l.text)
            .collect();
        introduces(&rest.join(" "), quoted)
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

    const ANSWER: Hints = Hints {
        answer: true,
        forward: false,
    };

    fn begins(text: &str) -> Option<usize> {
        find(text, ANSWER).begins
    }

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
            "W dniu 23.11.2026 o 09:00 Support pisze:\n> <s@shop.example> x",
            "Il giorno lun 23 nov 2026 alle ore 09:00 Support <s@shop.example> ha scritto:\n> ciao",
            "Op ma 23 nov. 2026 om 09:00 schreef Support <s@shop.example>:\n> hallo",
            "Den mån 23 nov. 2026 kl 09:00 skrev Support <s@shop.example>:\n> hej",
            "Em seg., 23 de nov. de 2026 às 09:00, Support <s@shop.example> escreveu:\n> olá",
            "pon., 23 lis 2026 o 09:00 Support <s@shop.example> napisał(a):\n> dzień dobry",
            "пн, 23 нояб. 2026 г. в 09:00, Support <s@shop.example>:\n> здравствуйте",
            "2026年11月23日(月) 9:00 Support <s@shop.example>:\n> こんにちは",
            "23 Kas 2026 Pzt, 09:00 tarihinde Support <s@shop.example> şunu yazdı:\n> merhaba",
            "On Monday, November 23rd, 2026 at 9:00 AM, Support <s@shop.example> wrote:\n\n> hello",
            "------------------ 原始邮件 ------------------\n发件人: \"Support\"\nhello",
            "----- Original Message -----\nFrom: \"Support\" <s@shop.example>\nhello",
            "От: Support\nОтправлено: понедельник\nКому: Anna\nТема: x\n\nпривет",
            "差出人: Support\n宛先: Anna\n件名: x\n\nこんにちは",
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
            "Item 3 of the terms, as you wrote:\nno returns after use",
            "The two of you wrote:\nBe patient.\nI was.",
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
    fn a_first_letter_may_indent() {
        let text = "My terms:\n> one\n> two";
        assert_eq!(find(text, Hints::default()).begins, None);
        assert!(begins(text).is_some());
        let text = "See\n\nOn 1 May 2026 Support wrote:\n> hello";
        assert!(find(text, Hints::default()).begins.is_some());
    }

    #[test]
    fn what_is_forwarded_is_shown() {
        for text in [
            "FYI\n\n---------- Forwarded message ---------\nFrom: Anna\nDate: x\nSubject: y\n\nhi",
            "-------- Weitergeleitete Nachricht --------\nBetreff: x\nVon: Anna\n\nhi",
            "FYI\n\nBegin forwarded message:\n\n> From: Anna\n> Subject: x\n>\n> hi",
            "Bonjour\n\nDébut du message réexpédié :\n\nDe: Anna",
            "Siehe unten\n\n---------- 转发的邮件 ---------\nhi",
        ] {
            let found = find(text, Hints::default());
            assert_eq!((found.begins, found.forwards), (None, true), "{text:?}");
        }
        let block = "FYI\n\nFrom: Anna\nSent: Monday\nTo: Bert\nSubject: x\n\nhi";
        let forward = Hints {
            answer: false,
            forward: true,
        };
        assert!(find(block, forward).forwards);
        assert!(!find(block, ANSWER).forwards);
        // A forward that was quoted is no forward.
        let old =
            "Thanks\n\nOn 1 May 2026 Support wrote:\n> ---------- Forwarded message ---------";
        assert!(!find(old, ANSWER).forwards && begins(old).is_some());
    }

    #[test]
    fn floods_end() {
        let late = format!(
            "a\n{}> b\nc",
            "On 1 May 2026 x wrote:\n".repeat(LINES_MAX - 3)
        );
        assert_eq!(begins(&late), None);
        assert_eq!(begins(&"a\n> b\n".repeat(LINES_MAX)), None);
        let _ = begins(&"On 1 wrote\n".repeat(100_000));
        let _ = begins(&"From:\nTo: ".repeat(100_000));
        let _ = begins(&format!("a\n{}", "_".repeat(30)).repeat(20_000));
    }
}
