//! Phrases by which programs are known that admit nothing: how absence notes begin in many
//! languages, and how old mail servers begin what they return.
//!
//! Guesses, and used as such: a phrase forbids an answer, but never keeps a letter from an agent.

use super::text::prefix;

/// How much of a body is looked at for the beginning of a returned letter, in bytes.
const OPENING_BYTES_MAX: usize = 1024;

/// How subjects of absence notes and automatic answers begin, in lower case. What Exchange,
/// Outlook, Gmail, Zimbra and Lotus Notes write in the languages that they speak.
const ABSENCES: &[&str] = &[
    // English
    "automatic reply",
    "auto reply",
    "auto-reply",
    "autoreply",
    "auto response",
    "auto-response",
    "autoresponse",
    "automatic response",
    "out of office",
    "out of the office",
    "out of office reply",
    "out of office autoreply",
    "on vacation",
    "vacation reply",
    // German
    "automatische antwort",
    "automatische rückantwort",
    "abwesenheitsnotiz",
    "abwesenheitsmeldung",
    "abwesenheitsnachricht",
    "abwesenheitsassistent",
    "abwesenheit",
    "abwesend",
    "nicht im büro",
    "nicht im hause",
    "urlaubsvertretung",
    // French
    "réponse automatique",
    "absence du bureau",
    "absent du bureau",
    "message d'absence",
    "notification d'absence",
    // Spanish
    "respuesta automática",
    "fuera de la oficina",
    "fuera de oficina",
    // Portuguese
    "resposta automática",
    "fora do escritório",
    "ausência temporária",
    // Italian
    "risposta automatica",
    "fuori ufficio",
    "fuori sede",
    // Dutch
    "automatisch antwoord",
    "afwezigheidsbericht",
    "afwezig",
    "niet aanwezig",
    // Swedish, Danish, Norwegian, Finnish
    "autosvar",
    "automatiskt svar",
    "automatisk svar",
    "frånvaro",
    "frånvarande",
    "ikke til stede",
    "fraværsassistent",
    "fravær",
    "automaattinen vastaus",
    "poissa toimistosta",
    // Polish, Czech, Slovak, Hungarian, Romanian, Turkish, Greek
    "automatyczna odpowiedź",
    "poza biurem",
    "automatická odpověď",
    "automatická odpoveď",
    "mimo kancelář",
    "automatikus válasz",
    "házon kívül",
    "răspuns automat",
    "otomatik yanıt",
    "ofis dışında",
    "αυτόματη απάντηση",
    "εκτός γραφείου",
    // Russian, Ukrainian, Bulgarian
    "автоматический ответ",
    "автоответ",
    "нет на работе",
    "автоматична відповідь",
    "автоматичен отговор",
    // Japanese, Chinese, Korean
    "自動応答",
    "自動返信",
    "不在通知",
    "自动答复",
    "自动回复",
    "自動回覆",
    "자동 회신",
    "부재중",
    // Hebrew, Arabic
    "תשובה אוטומטית",
    "رد تلقائي",
];

/// How mail servers begin what they return without the form of RFC 3464.
const BOUNCES: &[&str] = &[
    // qmail and its descendants
    "Hi. This is the qmail-send program",
    "Hi. This is the deliver program",
    // Exim
    "This message was created automatically by mail delivery software",
    "A message that you sent could not be delivered",
    // Postfix, where the report lost its form on the way
    "This is the mail system at host",
    // Sendmail, before 8.8
    "The original message was received at",
    "----- The following addresses had permanent fatal errors",
    // Others
    "This Message was undeliverable due to the following reason",
    "Your message did not reach some or all of the intended recipients",
    "Delivery to the following recipients failed",
    "Delivery to the following recipient failed permanently",
    "I'm afraid I wasn't able to deliver your message",
    "Sorry, we were unable to deliver your message",
];

/// Whether a subject is that of an absence note. The phrase must stand at the beginning and be
/// set off from what follows: people order furniture for when they are out of office.
#[must_use]
pub(super) fn reads_as_absence(subject: &str) -> bool {
    let subject = subject.trim().to_lowercase();
    ABSENCES.iter().any(|phrase| {
        subject.strip_prefix(phrase).is_some_and(|rest| {
            let rest = rest.trim_start();
            rest.is_empty() || rest.starts_with([':', '：', '-', '–', '—', '|', '!', '.', '(', '['])
        })
    })
}

/// The phrase with which a body begins that a server returned; a line of its first
/// kilobyte must begin with it.
#[must_use]
pub(super) fn opens_bounce(body: &[u8]) -> Option<&'static str> {
    let opening = body.get(..OPENING_BYTES_MAX).unwrap_or(body);
    let opening = String::from_utf8_lossy(opening);
    prefix(&opening, OPENING_BYTES_MAX)
        .lines()
        .find_map(|line| {
            let line = line.trim_start();
            BOUNCES
                .iter()
                .find(|phrase| begins_with(line, phrase))
                .copied()
        })
}

fn begins_with(line: &str, phrase: &str) -> bool {
    line.get(..phrase.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(phrase))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects() {
        for (subject, absence) in [
            ("Abwesenheitsnotiz: Ihre Bestellung", true),
            ("Automatic reply: Order 4711", true),
            ("AUTOMATIC REPLY", true),
            ("Out of Office", true),
            ("Out of Office AutoReply: Order", true),
            ("Réponse automatique : Commande", true),
            ("自動応答：注文", true),
            ("Автоматический ответ: Заказ", true),
            ("Out of office - Anna Berg", true),
            ("Out of office furniture order", false),
            ("Abwesenheitsnotizen im Handbuch", false),
            ("Re: Automatic reply: Order", false),
            ("Autoreply-Einstellungen", true),
            ("Autosvarande system", false),
            ("Order", false),
            ("", false),
        ] {
            assert_eq!(reads_as_absence(subject), absence, "{subject}");
        }
    }

    #[test]
    fn phrases_are_in_the_case_that_they_are_compared_in() {
        for phrase in ABSENCES {
            assert_eq!(*phrase, phrase.to_lowercase());
            assert!(reads_as_absence(phrase), "{phrase}");
        }
    }

    #[test]
    fn bodies() {
        for (body, opens) in [
            (
                "Hi. This is the qmail-send program at mx.example.\r\nI'm afraid",
                true,
            ),
            (
                "\r\n  this is the mail system at host mx.example.\r\n",
                true,
            ),
            (
                "--b\r\nContent-Type: text/plain\r\n\r\nThis is the mail system at host x",
                true,
            ),
            (
                "Dear shop,\r\nI got \"This is the mail system at host\"",
                false,
            ),
            ("Hi. This", false),
            ("", false),
        ] {
            assert_eq!(opens_bounce(body.as_bytes()).is_some(), opens, "{body:?}");
        }
        let late = format!("{}\nHi. This is the qmail-send program", "x".repeat(2000));
        assert_eq!(opens_bounce(late.as_bytes()), None);
    }
}
