//! Which case a letter continues, with the evidence for it, and what that evidence may do.
//!
//! Three kinds of clues count, strongest first: tokens that only we can make, Message-IDs that the
//! store knows, and what anybody can guess. What a clue may do depends on who brings it and how
//! far that is proven; the table is in [`decide`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::address::Address;
pub use super::clue::{Clue, ClueKey, Hint, Place};
use super::letter::Letter;
use super::subject;
use super::token::{Keyring, MainNumber};
use super::trust::Trust;
use crate::id::QueueId;
use crate::time::Timestamp;

/// Most different cases that one letter may make us look up. Honest letters name one; after a
/// merge, two.
pub const CASES_MAX: usize = 8;

/// Most cases that one key of the index is followed to: several letters may claim one Message-ID.
pub const CASES_PER_KEY_MAX: usize = 4;

/// How long a case that is open may have been silent for an unproven letter to join it on the
/// strength of a Message-ID alone.
pub const UNPROVEN_SILENCE_MAX: Duration = Duration::from_secs(14 * 24 * 3600);

/// What a piece of evidence is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Proof {
    /// A token of ours: whoever brings it was given it, by us or by somebody to whom we wrote.
    Token {
        /// The correspondent's number that the token was made for.
        slot: u16,
    },
    /// A Message-ID of the case: whoever brings it has seen one of its letters, or a copy.
    Known,
    /// Anybody could have guessed it.
    Guess,
}

/// What the caller knows of the cases that clues name.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Cases by the number that a clue or the index names. A case that does not exist or was
    /// erased is not here, and is then no evidence at all.
    pub cases: BTreeMap<MainNumber, CaseFacts>,
    /// What the index has under a key, at most [`CASES_PER_KEY_MAX`].
    pub keys: BTreeMap<ClueKey, Vec<MainNumber>>,
}

/// What is known of a case that a clue names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseFacts {
    /// Its token generation; see [`super::token::Audience`].
    pub generation: u32,
    /// The customer (slot 0) and the other correspondents, by slot. `None` where there is no
    /// usable address.
    pub people: Vec<Option<Address>>,
    /// The case that letters join: itself, or the one it was merged into.
    pub target: Standing,
}

/// The case that a letter would join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Its number.
    pub number: MainNumber,
    /// Its customer and other correspondents.
    pub people: Vec<Address>,
    /// Normalised addresses that were given its Message-IDs in To or Cc.
    pub copied: BTreeSet<String>,
    /// Its subject.
    pub subject: String,
    /// The queue that opened it, and those where it has open work.
    pub queues: BTreeSet<QueueId>,
    /// When it was closed; `None` while it is open.
    pub closed: Option<Timestamp>,
    /// When something last happened in it.
    pub changed: Timestamp,
}

/// How long after its end a case can be continued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Windows {
    /// For so long a letter opens the same case again.
    pub reopen: Duration,
    /// For so long it opens a new case that is linked to the old one; after that the agent is
    /// given a hint at most.
    pub follow_up: Duration,
}

impl Default for Windows {
    fn default() -> Self {
        Self {
            reopen: Duration::from_secs(14 * 24 * 3600),
            follow_up: Duration::from_secs(90 * 24 * 3600),
        }
    }
}

/// What speaks for a letter's belonging to a case; kept in the letter's dossier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The case, as the letter names it.
    pub named: MainNumber,
    /// The case that it means: another one if the named one was merged.
    pub case: MainNumber,
    /// Where it stood.
    pub place: Place,
    /// What it is worth.
    pub proof: Proof,
    /// As it stood there.
    pub text: String,
}

/// As whom the author of a letter takes part in the case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Role {
    /// The customer, or somebody to whom we wrote.
    Correspondent,
    /// Somebody whom the customer copied in. Gets no answers before an agent says so.
    Copied,
    /// Somebody else who was given our letter: a colleague, perhaps. Gets no answers before an
    /// agent says so.
    ThirdParty,
}

/// Why a letter that speaks of a case does not join it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Apart {
    /// The author is unknown to the case.
    UnknownAuthor,
    /// Something speaks against the author.
    Distrusted,
    /// The case ended too long ago to be opened again.
    Ended,
    /// The case ended so long ago that nothing is linked to it.
    LongEnded,
    /// The author is not proven, and the case has been silent for long.
    Silent,
    /// Anybody could have guessed what names the case.
    Guessed,
    /// The letter is forwarded to another queue: a new matter that goes on from the old one.
    Forwarded,
}

/// What becomes of a letter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Decision {
    /// It joins the case.
    Join {
        /// Why this case.
        evidence: Evidence,
        /// As whom its author speaks.
        role: Role,
        /// Whether the author is proven (A or B); if not, agents are told so.
        verified: bool,
        /// Whether that opens a closed case again.
        reopens: bool,
    },
    /// It opens a new case, linked to the one it speaks of.
    Follow {
        /// Why that case.
        evidence: Evidence,
        /// Why it does not join it.
        apart: Apart,
    },
    /// It is held, in a case of its own, and the case it speaks of is not touched.
    Hold {
        /// Why that case.
        evidence: Evidence,
        /// Why it does not join it.
        apart: Apart,
    },
    /// It opens a new case; agents are told which one it may belong to.
    Hinted {
        /// Why that case.
        evidence: Evidence,
        /// Why it does not join it.
        apart: Apart,
    },
    /// It opens a new case.
    #[default]
    New,
}

/// A decision and what else was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Threading {
    /// What becomes of the letter.
    pub decision: Decision,
    /// Other evidence that names other cases: the references conflict, which agents are told.
    pub conflicts: Vec<Evidence>,
    /// Whether the letter joins a case under another subject than the case's.
    pub subject_changed: bool,
}

impl Threading {
    /// Notes of which case the same author wrote under the same subject, if nothing else names one.
    pub fn hint(&mut self, case: MainNumber, subject: &str) {
        if self.decision == Decision::New {
            self.decision = Decision::Hinted {
                evidence: Evidence {
                    named: case,
                    case,
                    place: Place::Topic,
                    proof: Proof::Guess,
                    text: subject.to_owned(),
                },
                apart: Apart::Guessed,
            };
        }
    }
}

/// Who wrote a letter, to whom and when, as far as it matters for where it belongs.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances<'a> {
    /// The author's address if there is exactly one ([`super::letter::Author::identity`]).
    pub sender: Option<&'a Address>,
    /// How far that is proven.
    pub trust: Trust,
    /// The queues that it was sent to.
    pub queues: &'a BTreeSet<QueueId>,
    /// When it came.
    pub now: Timestamp,
    /// How long ended cases can be continued.
    pub windows: Windows,
}

/// Decides where a letter goes. The strongest evidence decides; weaker evidence for other cases
/// is a conflict, which changes nothing.
#[must_use]
pub fn thread(
    letter: &Letter,
    clues: &[Clue],
    known: &Known,
    keyring: &Keyring,
    circumstances: Circumstances<'_>,
) -> Threading {
    let mut first: Option<(Evidence, &CaseFacts)> = None;
    let mut conflicts: Vec<Evidence> = Vec::new();
    for (evidence, facts) in proven(clues, known, keyring) {
        match &first {
            None => first = Some((evidence, facts)),
            Some((strongest, _)) => {
                let new = strongest.case != evidence.case
                    && conflicts.iter().all(|other| other.case != evidence.case)
                    && evidence.proof != Proof::Guess;
                if new && conflicts.len() < CASES_MAX {
                    conflicts.push(evidence);
                }
            }
        }
    }
    let Some((evidence, facts)) = first else {
        return Threading::default();
    };
    let forwarded = subject::is_forward(&letter.subject);
    let decision = decide(evidence, facts, forwarded, circumstances);
    let subject_changed = matches!(decision, Decision::Join { .. })
        && subject::topic(&letter.subject) != subject::topic(&facts.target.subject);
    Threading {
        decision,
        conflicts,
        subject_changed,
    }
}

/// The clues that hold, in their order, with what is known of their cases.
fn proven<'a>(
    clues: &'a [Clue],
    known: &'a Known,
    keyring: &'a Keyring,
) -> impl Iterator<Item = (Evidence, &'a CaseFacts)> {
    let person = |facts: &'a CaseFacts, slot: u16| {
        (facts.people.get(usize::from(slot))).and_then(Option::as_ref)
    };
    clues.iter().flat_map(move |clue| {
        let (cases, proof) = match &clue.hint {
            Hint::Address(claim, mailbox) => {
                let holds = known.cases.get(&claim.case()).is_some_and(|facts| {
                    person(facts, claim.slot()).is_some_and(|person| {
                        claim.verify(keyring, facts.generation, person, mailbox)
                    })
                });
                let slot = claim.slot();
                (list(holds, claim.case()), Proof::Token { slot })
            }
            Hint::Signed(claim) => {
                let holds = known.cases.get(&claim.case()).is_some_and(|facts| {
                    person(facts, claim.slot())
                        .is_some_and(|person| claim.verify(keyring, facts.generation, person))
                });
                let slot = claim.slot();
                (list(holds, claim.case()), Proof::Token { slot })
            }
            Hint::Number(number) => (vec![*number], Proof::Guess),
            Hint::Key(key) => {
                let cases = known.keys.get(key).cloned().unwrap_or_default();
                let proof = match clue.place {
                    Place::ThreadIndex | Place::Topic => Proof::Guess,
                    Place::Recipient | Place::InReplyTo | Place::References | Place::Subject => {
                        Proof::Known
                    }
                };
                (cases, proof)
            }
        };
        cases.into_iter().filter_map(move |named| {
            let facts = known.cases.get(&named)?;
            let evidence = Evidence {
                named,
                case: facts.target.number,
                place: clue.place,
                proof,
                text: clue.text.clone(),
            };
            Some((evidence, facts))
        })
    })
}

/// Whether what a clue claims is so: its token is ours, or the case is there.
#[must_use]
pub fn holds(clue: &Clue, known: &Known, keyring: &Keyring) -> bool {
    proven(std::slice::from_ref(clue), known, keyring)
        .next()
        .is_some()
}

fn list(holds: bool, case: MainNumber) -> Vec<MainNumber> {
    if holds { vec![case] } else { Vec::new() }
}

/// How the author is known to a case.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Acquaintance {
    Correspondent,
    Copied,
    Unknown,
}

/// What evidence may do, depending on who brings it, how far that is proven, and when.
#[must_use]
pub fn decide(
    evidence: Evidence,
    facts: &CaseFacts,
    forwarded: bool,
    circumstances: Circumstances<'_>,
) -> Decision {
    let Circumstances { trust, now, .. } = circumstances;
    let target = &facts.target;
    let author = acquaintance(facts, circumstances.sender);
    let verified = matches!(trust, Trust::A | Trust::B);
    if trust == Trust::D {
        let apart = Apart::Distrusted;
        return Decision::Hold { evidence, apart };
    }
    let role = match (evidence.proof, author, verified) {
        (_, Acquaintance::Correspondent, true)
        | (Proof::Token { .. }, Acquaintance::Correspondent, false) => Ok(Role::Correspondent),
        (Proof::Known, Acquaintance::Copied, true) => Ok(Role::Copied),
        (Proof::Token { .. }, Acquaintance::Copied | Acquaintance::Unknown, true) => {
            Ok(Role::ThirdParty)
        }
        (Proof::Known, Acquaintance::Correspondent, false) => Ok(Role::Correspondent),
        (Proof::Known, Acquaintance::Copied, false) => Ok(Role::Copied),
        (Proof::Token { .. } | Proof::Known, _, _) => Err(Apart::UnknownAuthor),
        (Proof::Guess, _, _) => Err(Apart::Guessed),
    };
    let role = match role {
        Ok(role) => role,
        Err(apart @ Apart::Guessed) => return Decision::Hinted { evidence, apart },
        Err(apart) => return Decision::Follow { evidence, apart },
    };
    let here = target
        .queues
        .iter()
        .any(|queue| circumstances.queues.contains(queue));
    // Outlook keeps one index over years and topics: it counts while the matter is alive.
    if evidence.place == Place::ThreadIndex && (target.closed.is_some() || !here) {
        let apart = Apart::Guessed;
        return Decision::Hinted { evidence, apart };
    }
    if forwarded && !here {
        let apart = Apart::Forwarded;
        return Decision::Follow { evidence, apart };
    }
    let age = target.closed.map(|closed| now.since(closed));
    if evidence.proof == Proof::Known && !verified {
        let silent = age.is_some() || now.since(target.changed) >= UNPROVEN_SILENCE_MAX;
        if silent {
            let apart = Apart::Silent;
            return Decision::Follow { evidence, apart };
        }
    }
    match age {
        Some(age) if age >= circumstances.windows.follow_up => Decision::Hinted {
            evidence,
            apart: Apart::LongEnded,
        },
        Some(age) if age >= circumstances.windows.reopen => match evidence.proof {
            Proof::Guess => Decision::Hinted {
                evidence,
                apart: Apart::Ended,
            },
            Proof::Token { .. } | Proof::Known => Decision::Follow {
                evidence,
                apart: Apart::Ended,
            },
        },
        age => Decision::Join {
            evidence,
            role,
            verified,
            reopens: age.is_some(),
        },
    }
}

fn acquaintance(facts: &CaseFacts, sender: Option<&Address>) -> Acquaintance {
    let Some(sender) = sender else {
        return Acquaintance::Unknown;
    };
    let named = facts.people.iter().flatten();
    if named
        .chain(&facts.target.people)
        .any(|person| person == sender)
    {
        Acquaintance::Correspondent
    } else if facts.target.copied.contains(&sender.normalised()) {
        Acquaintance::Copied
    } else {
        Acquaintance::Unknown
    }
}

#[cfg(test)]
mod tests;
