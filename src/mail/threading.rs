//! Which case a letter continues, with the evidence for it.
//!
//! The only evidence that counts is a Message-ID that we signed. Subjects, numbers and unsigned
//! ids are not looked at: whoever can guess them could write into a stranger's case.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::address::Address;
use super::letter::Letter;
use super::message_id::InternetMessageId;
use super::token::{Claim, Keyring, MainNumber};
use super::trust::Trust;

/// Most different cases that one letter may make us look up. Honest letters name one; after a
/// merge, two.
pub const CASES_MAX: usize = 8;

/// Where in a letter a clue stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Place {
    /// In `In-Reply-To`: what the letter answers.
    InReplyTo,
    /// In `References`: an ancestor.
    References,
}

/// An id in a letter that looks like one of ours. Worth nothing until its MAC is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clue {
    /// What the id claims.
    pub claim: Claim,
    /// The id.
    pub id: InternetMessageId,
    /// Where it stood.
    pub place: Place,
}

/// The clues of a letter, strongest first: `In-Reply-To` in its order, then `References` from
/// right to left. Each id once; how many ids are considered is bounded where they are read.
#[must_use]
pub fn clues(letter: &Letter) -> Vec<Clue> {
    let answered = letter.in_reply_to.iter().map(|id| (id, Place::InReplyTo));
    let ancestors = letter
        .references
        .iter()
        .rev()
        .map(|id| (id, Place::References));
    let mut clues: Vec<Clue> = Vec::new();
    for (id, place) in answered.chain(ancestors) {
        if let Some(claim) = Claim::parse(id)
            && !clues.iter().any(|clue| clue.id == *id)
        {
            clues.push(Clue {
                claim,
                id: id.clone(),
                place,
            });
        }
    }
    clues
}

/// What the caller knows of a case that a clue names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseFacts {
    /// The token generation of the case; see [`super::token::Audience`].
    pub generation: u32,
    /// The correspondent with the slot that the clue names.
    pub audience: Address,
    /// The customer the case belongs to.
    pub customer: Address,
}

/// Proof that a letter continues a case; kept in the letter's record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The case.
    pub case: MainNumber,
    /// The id of ours that the letter quotes.
    pub id: InternetMessageId,
    /// Where it stood.
    pub place: Place,
    /// The correspondent's number that the id was made for.
    pub slot: u16,
}

/// As whom the author of a letter takes part in the case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Role {
    /// The customer, or the correspondent whom we wrote to.
    Correspondent,
    /// Somebody else who was given our letter: a colleague, perhaps. Gets no answers before an
    /// agent says so.
    ThirdParty,
}

/// Why a letter that continues a case does not join it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Apart {
    /// The author is unknown to the case, and nothing proves who it is.
    UnknownAuthor,
    /// Something speaks against the author. The case is not even linked.
    Distrusted,
}

/// What becomes of a letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Decision {
    /// It joins the case.
    Join {
        /// Why this case.
        evidence: Evidence,
        /// As whom its author speaks.
        role: Role,
        /// Whether the author is proved (A or B); if not, agents are told so.
        verified: bool,
    },
    /// It opens a new case, linked to the one it speaks of.
    NewLinked {
        /// Why that case.
        evidence: Evidence,
        /// Why it does not join it.
        apart: Apart,
    },
    /// It opens a new case.
    New {
        /// The case it would have continued, for the record alone, and why not.
        apart: Option<(Evidence, Apart)>,
    },
}

impl Decision {
    /// The case to append to or to link to, if any.
    #[must_use]
    pub const fn case(&self) -> Option<MainNumber> {
        match self {
            Self::Join { evidence, .. } | Self::NewLinked { evidence, .. } => Some(evidence.case),
            Self::New { .. } => None,
        }
    }
}

/// A decision and what else the letter proved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Threading {
    /// What becomes of the letter.
    pub decision: Decision,
    /// Weaker proofs that name other cases: the references conflict, which agents are told.
    pub conflicts: Vec<Evidence>,
}

/// Decides where a letter goes.
///
/// `sender` is the author's address if there is exactly one ([`super::letter::Author::identity`]).
/// `look_up` answers what is known of a case and of the correspondent in that slot; `None` for a
/// case that does not exist or was erased, which is then no evidence at all. It is asked at most
/// [`CASES_MAX`] times.
pub fn thread(
    letter: &Letter,
    sender: Option<&Address>,
    trust: Trust,
    keyring: &Keyring,
    mut look_up: impl FnMut(MainNumber, u16) -> Option<CaseFacts>,
) -> Threading {
    let mut known: BTreeMap<(MainNumber, u16), Option<CaseFacts>> = BTreeMap::new();
    let mut first: Option<(Evidence, CaseFacts)> = None;
    let mut conflicts: Vec<Evidence> = Vec::new();
    for clue in clues(letter) {
        let (case, slot) = (clue.claim.case(), clue.claim.slot());
        if known.len() >= CASES_MAX && !known.contains_key(&(case, slot)) {
            continue;
        }
        let facts = known
            .entry((case, slot))
            .or_insert_with(|| look_up(case, slot));
        let Some(facts) = facts else { continue };
        if !clue
            .claim
            .verify(keyring, facts.generation, &facts.audience)
        {
            continue;
        }
        let evidence = Evidence {
            case,
            id: clue.id,
            place: clue.place,
            slot,
        };
        match &first {
            None => first = Some((evidence, facts.clone())),
            Some((strongest, _)) => {
                let new = strongest.case != case && conflicts.iter().all(|c| c.case != case);
                if new {
                    conflicts.push(evidence);
                }
            }
        }
    }
    let decision = match first {
        Some((evidence, facts)) => decide(evidence, &facts, sender, trust),
        None => Decision::New { apart: None },
    };
    Threading {
        decision,
        conflicts,
    }
}

/// What a proof may do, depending on who brings it.
#[must_use]
pub fn decide(
    evidence: Evidence,
    facts: &CaseFacts,
    sender: Option<&Address>,
    trust: Trust,
) -> Decision {
    let known = sender.is_some_and(|s| *s == facts.customer || *s == facts.audience);
    match (trust, known) {
        (Trust::D, _) => Decision::New {
            apart: Some((evidence, Apart::Distrusted)),
        },
        (Trust::A | Trust::B, true) => Decision::Join {
            evidence,
            role: Role::Correspondent,
            verified: true,
        },
        // The token alone shows that the letter was ours; the banner says that the name is not
        // proved.
        (Trust::C, true) => Decision::Join {
            evidence,
            role: Role::Correspondent,
            verified: false,
        },
        (Trust::A | Trust::B, false) => Decision::Join {
            evidence,
            role: Role::ThirdParty,
            verified: true,
        },
        (Trust::C, false) => Decision::NewLinked {
            evidence,
            apart: Apart::UnknownAuthor,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::token::{Audience, KEY_BYTES, NONCE_BYTES, mint};
    use super::*;

    fn ring() -> Keyring {
        Keyring::new(1, [(1, [5; KEY_BYTES])]).unwrap()
    }

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    /// The signed id `n` of a letter of ours to Anna, the customer of every case here.
    fn ours(serial: u64, n: u8) -> InternetMessageId {
        let anna = address("anna@customer.example");
        let audience = Audience {
            case: MainNumber::new(serial).unwrap(),
            generation: 1,
            slot: 0,
            address: &anna,
        };
        mint(&ring(), audience, [n; NONCE_BYTES], "mid.our.example").unwrap()
    }

    fn letter(in_reply_to: &str, references: &str) -> Letter {
        let raw = format!("In-Reply-To: {in_reply_to}\r\nReferences: {references}\r\n\r\n");
        Letter::read(raw.as_bytes(), true)
    }

    fn go(letter: &Letter, sender: &str, trust: Trust) -> Threading {
        let sender = Address::parse(sender).ok();
        thread(letter, sender.as_ref(), trust, &ring(), |case, slot| {
            (slot == 0 && case.serial() < 100).then(|| CaseFacts {
                generation: 1,
                audience: address("anna@customer.example"),
                customer: address("anna@customer.example"),
            })
        })
    }

    fn outline(decision: &Decision) -> String {
        match decision {
            Decision::Join {
                evidence,
                role,
                verified,
            } => {
                format!("join {} {role:?} {verified}", evidence.case.serial())
            }
            Decision::NewLinked { evidence, apart } => {
                format!("new beside {} {apart:?}", evidence.case.serial())
            }
            Decision::New {
                apart: Some((_, apart)),
            } => format!("new {apart:?}"),
            Decision::New { apart: None } => "new".to_owned(),
        }
    }

    #[test]
    fn the_gate() {
        let reply = letter(&ours(7, 1).to_string(), "");
        for (sender, trust, expected) in [
            (
                "anna@customer.example",
                Trust::A,
                "join 7 Correspondent true",
            ),
            (
                "Anna@Customer.Example",
                Trust::B,
                "join 7 Correspondent true",
            ),
            (
                "anna@customer.example",
                Trust::C,
                "join 7 Correspondent false",
            ),
            ("anna@customer.example", Trust::D, "new Distrusted"),
            ("bert@customer.example", Trust::A, "join 7 ThirdParty true"),
            ("bert@customer.example", Trust::B, "join 7 ThirdParty true"),
            (
                "bert@customer.example",
                Trust::C,
                "new beside 7 UnknownAuthor",
            ),
            ("bert@customer.example", Trust::D, "new Distrusted"),
            ("", Trust::D, "new Distrusted"),
        ] {
            let got = go(&reply, sender, trust).decision;
            assert_eq!(outline(&got), expected, "{sender} {trust:?}");
        }
    }

    #[test]
    fn order_of_evidence() {
        let anna = "anna@customer.example";
        let (seven, eight) = (ours(7, 1).to_string(), ours(8, 2).to_string());
        let forged = seven.replace("r.", "r.a");
        let changed = {
            let mut text = ours(9, 3).to_string();
            let last = text.find("@").unwrap() - 1;
            text.replace_range(
                last..=last,
                if text.as_bytes()[last] == b'a' {
                    "b"
                } else {
                    "a"
                },
            );
            text
        };
        for (in_reply_to, references, expected, conflicts) in [
            (seven.as_str(), "<x@y>", "join 7 Correspondent true", 0),
            ("<x@y>", seven.as_str(), "join 7 Correspondent true", 0),
            (
                "",
                &format!("<a@b> {seven} <c@d>"),
                "join 7 Correspondent true",
                0,
            ),
            (
                "",
                &format!("{seven} {eight}"),
                "join 8 Correspondent true",
                1,
            ),
            (&seven, &eight, "join 7 Correspondent true", 1),
            (
                &format!("{eight} {seven}"),
                "",
                "join 8 Correspondent true",
                1,
            ),
            (&forged, &eight, "join 8 Correspondent true", 0),
            (&changed, &eight, "join 8 Correspondent true", 0),
            (&changed, "", "new", 0),
            (&ours(100, 1).to_string(), "", "new", 0),
            ("<x@y>", "<z@y>", "new", 0),
            ("", "", "new", 0),
        ] {
            let got = go(&letter(in_reply_to, references), anna, Trust::A);
            assert_eq!(
                outline(&got.decision),
                expected,
                "{in_reply_to} | {references}"
            );
            assert_eq!(
                got.conflicts.len(),
                conflicts,
                "{in_reply_to} | {references}"
            );
        }
    }

    #[test]
    fn look_ups_are_bounded() {
        let many: String = (1..=30).map(|n| ours(n, 1).to_string()).collect();
        let mut asked = 0;
        let got = thread(&letter("", &many), None, Trust::C, &ring(), |_, _| {
            asked += 1;
            None
        });
        assert_eq!(asked, CASES_MAX);
        assert_eq!(got.decision, Decision::New { apart: None });
    }
}
