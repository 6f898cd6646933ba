//! Where the signature of a text begins: behind `-- `, or the line that telephones add.
//!
//! Found so that it can be folded, never cut. A line too many is an answer nobody reads, so what
//! is not certain is no signature.

/// Most lines a signature has. Company footers are long; letters below a line of dashes are
/// longer.
const LINES_MAX: usize = 25;

/// What programs write under a letter; compared in lower case with the beginning of the last
/// paragraph and of the last line.
const FOOTERS: [&str; 34] = [
    "sent from my ",
    "sent from mail for windows",
    "sent from outlook",
    "sent from yahoo mail",
    "sent from proton mail",
    "sent with proton mail",
    "sent from protonmail",
    "sent using zoho mail",
    "sent with spark",
    "sent via ",
    "get outlook for ",
    "von meinem iphone gesendet",
    "von meinem ipad gesendet",
    "von meinem samsung",
    "von meinem mobiltelefon gesendet",
    "gesendet von ",
    "gesendet mit ",
    "outlook für ",
    "holen sie sich outlook für ",
    "diese nachricht wurde von meinem android",
    "envoyé de mon ",
    "envoyé depuis ",
    "téléchargez outlook pour ",
    "obtenez outlook pour ",
    "enviado desde mi ",
    "enviado do meu ",
    "obtener outlook para ",
    "inviato da ",
    "scarica outlook per ",
    "verzonden vanaf mijn ",
    "skickat från min ",
    "wysłane z ",
    "отправлено с ",
    "发自我的",
];

/// The byte at which the signature of a text begins; `None` if it has none, or is nothing else.
#[must_use]
pub fn begins(text: &str) -> Option<usize> {
    let mut separator = None;
    let mut paragraph = None;
    let mut last = None;
    let mut lines_below = 0;
    let mut end = text.trim_end().len();
    let mut walking_up = true;
    // From the last line up: only the tail of a letter can be its signature.
    for line in text.get(..end)?.rsplit('\n').take(LINES_MAX + 1) {
        let start = end.saturating_sub(line.len());
        let bare = line.trim_end_matches('\r');
        if bare.trim().is_empty() {
            walking_up = false;
        } else if walking_up {
            last = last.or(Some((start, bare)));
            paragraph = Some((start, bare));
        }
        // RFC 3676, section 4.3, wants a blank behind the dashes; many programs trim it.
        if matches!(bare, "-- " | "--") {
            separator = Some(start);
            break;
        }
        lines_below += 1;
        end = start.saturating_sub(1);
        if start == 0 {
            break;
        }
    }
    let footer = [paragraph, last]
        .into_iter()
        .flatten()
        .find(|(_, line)| is_footer(line))
        .map(|(start, _)| start);
    let start = separator.filter(|_| lines_below > 0).or(footer)?;
    let before = text.get(..start)?;
    (!before.trim().is_empty()).then_some(start)
}

fn is_footer(line: &str) -> bool {
    let line = line
        .trim()
        .trim_start_matches(['<', '[', '*', '_'])
        .to_lowercase();
    line.chars().count() <= 120 && FOOTERS.iter().any(|footer| line.starts_with(footer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures() {
        for (text, signature) in [
            ("Hello\n\n-- \nAnna Berg\nSales", "-- \nAnna Berg\nSales"),
            ("Hello\n--\nAnna", "--\nAnna"),
            ("Hello\n-- \nAnna\n\n-- \nList footer", "-- \nList footer"),
            ("Hello\n\nSent from my iPhone", "Sent from my iPhone"),
            (
                "Hallo\n\nVon meinem iPhone gesendet\n",
                "Von meinem iPhone gesendet",
            ),
            (
                "Hi\n\nGet Outlook for iOS<https://aka.ms/o0ukef>",
                "Get Outlook for iOS<https://aka.ms/o0ukef>",
            ),
            (
                "Danke\nGesendet mit der GMX Mail App",
                "Gesendet mit der GMX Mail App",
            ),
            ("Salut\n\nEnvoyé de mon iPhone", "Envoyé de mon iPhone"),
            ("你好\n\n发自我的iPhone", "发自我的iPhone"),
        ] {
            let at = begins(text).unwrap_or_else(|| panic!("nothing found in {text:?}"));
            assert_eq!(text[at..].trim_end(), signature);
        }
    }

    #[test]
    fn no_signatures() {
        for text in [
            "",
            "Hello",
            "-- \nonly this",
            "Sent from my iPhone",
            "I have Sent from my iPhone twice",
            "Prices --\n10 -- 20\n---\ntext",
            "Hello\n--",
            "It was sent from my office\non Monday",
        ] {
            assert_eq!(begins(text), None, "{text:?}");
        }
        let long = format!("a\n-- \n{}", "line\n".repeat(100));
        assert_eq!(begins(&long), None);
    }
}
