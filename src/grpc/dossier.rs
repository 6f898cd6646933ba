//! Dossiers as protobuf messages.

use super::convert::{message_name, sender_trust};
use super::pb;
use crate::desk::Message;
use crate::id::InteractionId;
use crate::mail::dossier::{Dossier, Remark};
use crate::mail::threading::{Apart, Decision, Evidence, Place, Proof, Role, Threading};
use crate::mail::token::MainNumber;
use crate::mail::trust::{Authentication, Verdict};

pub(super) fn dossier(
    message: &Message,
    interaction: InteractionId,
    dossier: &Dossier,
) -> pb::Dossier {
    pb::Dossier {
        message: message_name(interaction, message.id),
        sender_trust: sender_trust(message.trust).into(),
        sender_trust_reason: message.trust_reason.clone(),
        checks: checks(&dossier.authentication),
        checked_by: dossier.authentication.said_by.clone(),
        threading: Some(threading(&dossier.threading)),
        remarks: dossier.remarks.iter().map(Remark::words).collect(),
    }
}

/// The checks that were made, in the order in which mail programs list them.
fn checks(authentication: &Authentication) -> Vec<pb::SenderCheck> {
    let check = |method: &str, verdict: Verdict, domain: &str| pb::SenderCheck {
        method: method.to_owned(),
        result: verdict.word().to_owned(),
        domain: domain.to_owned(),
    };
    let Authentication {
        spf,
        dkim,
        arc,
        dmarc,
        ..
    } = authentication;
    let mut checks = vec![check("spf", spf.verdict, &spf.domain)];
    checks.extend(
        dkim.iter()
            .map(|signature| check("dkim", signature.verdict, &signature.domain)),
    );
    let sealer = arc.seals.first().map_or("", |seal| &seal.domain);
    checks.push(check("arc", arc.verdict, sealer));
    checks.push(check("dmarc", dmarc.verdict, &dmarc.domain));
    checks
}

fn threading(found: &Threading) -> pb::Threading {
    use pb::ThreadingDecision as D;
    let base = |decision: D, evidence: Option<&Evidence>| pb::Threading {
        decision: decision.into(),
        evidence: evidence.map(case_evidence),
        subject_changed: found.subject_changed,
        conflicts: found.conflicts.iter().map(case_evidence).collect(),
        ..pb::Threading::default()
    };
    let beside = |decision: D, evidence: &Evidence, apart: Apart| pb::Threading {
        apart_reason: apart_words(apart).to_owned(),
        ..base(decision, Some(evidence))
    };
    match &found.decision {
        Decision::New => base(D::New, None),
        Decision::Join {
            evidence,
            role,
            reopens,
            ..
        } => pb::Threading {
            role: role_words(*role).to_owned(),
            reopened: *reopens,
            ..base(D::Joined, Some(evidence))
        },
        Decision::Follow { evidence, apart } => beside(D::Followed, evidence, *apart),
        Decision::Hold { evidence, apart } => beside(D::Held, evidence, *apart),
        Decision::Hinted { evidence, apart } => beside(D::Hinted, evidence, *apart),
    }
}

fn case_evidence(evidence: &Evidence) -> pb::CaseEvidence {
    let name = |number: MainNumber| format!("cases/{number}");
    let place = match evidence.place {
        Place::Recipient => pb::EvidencePlace::Recipient,
        Place::InReplyTo => pb::EvidencePlace::InReplyTo,
        Place::References => pb::EvidencePlace::References,
        Place::ThreadIndex => pb::EvidencePlace::ThreadIndex,
        Place::Subject => pb::EvidencePlace::Subject,
        Place::Topic => pb::EvidencePlace::Topic,
    };
    let proof = match evidence.proof {
        Proof::Token { .. } => pb::EvidenceProof::Token,
        Proof::Known => pb::EvidenceProof::Known,
        Proof::Guess => pb::EvidenceProof::Guess,
    };
    pb::CaseEvidence {
        case: name(evidence.case),
        named_case: name(evidence.named),
        place: place.into(),
        proof: proof.into(),
        text: evidence.text.clone(),
    }
}

const fn role_words(role: Role) -> &'static str {
    match role {
        Role::Correspondent => "the customer, or somebody to whom we wrote",
        Role::Copied => "somebody whom the customer copied in",
        Role::ThirdParty => "somebody else who was given our letter",
    }
}

const fn apart_words(apart: Apart) -> &'static str {
    match apart {
        Apart::UnknownAuthor => "its sender is unknown to the case",
        Apart::Distrusted => "something speaks against its sender",
        Apart::Ended => "the case ended too long ago to be opened again",
        Apart::LongEnded => "the case ended so long ago that nothing is linked to it",
        Apart::Silent => "its sender is not proven, and the case has been silent for long",
        Apart::Guessed => "anybody could have guessed what names the case",
        Apart::Forwarded => "it was forwarded to another queue",
    }
}
