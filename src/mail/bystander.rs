//! Who else stands in a letter as having to do with sending it: whoever wants the answer, sent it
//! on somebody's behalf, or passed it on. None of them is an identity.

use super::address::Address;
use super::dossier::Remark;
use super::letter::Letter;
use super::trust::Trust;

/// What an agent should know of them.
///
/// An address for answers counts only if its author is proved, because whoever forges From would
/// have the answer sent to himself; and not if it is the author's own or `is_ours`: a queue that
/// wrote to itself would do so for ever.
#[must_use]
pub fn remarks(letter: &Letter, trust: Trust, is_ours: impl Fn(&Address) -> bool) -> Vec<Remark> {
    let author = letter.author.correspondent();
    let other = |address: &Address| author.is_none_or(|author| author.address != *address);
    let proved = matches!(trust, Trust::A | Trust::B);
    let mut answers = letter.reply_to.iter().map(|mailbox| &mailbox.address);
    let answers = answers
        .find(|address| other(address) && !is_ours(address))
        .filter(|_| proved)
        .cloned();
    let submitter = (letter.sender.as_ref())
        .map(|mailbox| mailbox.address.clone())
        .filter(other);
    let passed_on = (letter.resent_from.as_ref()).map(|mailbox| mailbox.address.clone());
    [
        answers.map(Remark::AnswersElsewhere),
        submitter.map(Remark::OnBehalf),
        passed_on.map(Remark::PassedOn),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(fields: &str, trust: Trust, expected: &[&str]) {
        let raw = format!(
            "From: Ada <ada@x.example>\r\n{}\r\n\r\n",
            fields.replace(" | ", "\r\n")
        );
        let letter = Letter::read_header(raw.as_bytes());
        let is_ours = |address: &Address| address.domain() == "our.example";
        let remarks = remarks(&letter, trust, is_ours);
        let words: Vec<String> = remarks.iter().map(Remark::words).collect();
        assert_eq!(words, expected, "{fields}");
    }

    #[test]
    fn answers() {
        let elsewhere = ["the sender wants answers at ada@y.example"];
        check("Reply-To: ada@y.example", Trust::A, &elsewhere);
        check(
            "Reply-To: <ada@y.example>, b@z.example",
            Trust::B,
            &elsewhere,
        );
        check(
            "Reply-To: s@our.example, ada@y.example",
            Trust::A,
            &elsewhere,
        );
        for (fields, trust) in [
            ("Reply-To: ada@y.example", Trust::C),
            ("Reply-To: ada@y.example", Trust::D),
            ("Reply-To: ADA@X.example", Trust::A),
            ("Reply-To: support+r1@our.example", Trust::A),
            ("Reply-To:", Trust::A),
            ("Reply-To:   ", Trust::A),
            ("Reply-To: ada at y", Trust::A),
            ("Reply-To: <>", Trust::A),
            ("Reply-To: ada@y.example\0", Trust::A),
        ] {
            check(fields, trust, &[]);
        }
    }

    #[test]
    fn others() {
        check(
            "Sender: Bert <b@x.example>",
            Trust::C,
            &["b@x.example sent it on the sender's behalf"],
        );
        check("Sender: ada@x.example", Trust::C, &[]);
        check(
            "Resent-From: Carl <c@y.example> | Sender: b@x.example",
            Trust::A,
            &[
                "b@x.example sent it on the sender's behalf",
                "c@y.example passed it on",
            ],
        );
    }
}
