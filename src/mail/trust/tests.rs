//! Tables of what was found and how far that is believed.

use super::super::letter::Letter;
use super::*;

fn checked(text: &str) -> Checked {
    let (word, domain) = text.split_once('@').unwrap_or((text, ""));
    let verdict = if word == "-" {
        Verdict::NotChecked
    } else {
        Verdict::of_word(word)
    };
    assert_eq!(word.replace('-', "none"), verdict.word(), "no verdict");
    Checked {
        verdict,
        domain: domain.to_owned(),
    }
}

/// `pass@list.example<x.example`: a chain that holds, its last member, and what that saw proved.
fn chain(text: &str) -> Chain {
    let (word, seals) = text.split_once('@').unwrap_or((text, ""));
    Chain {
        verdict: checked(word).verdict,
        seals: seals
            .split('@')
            .filter(|seal| !seal.is_empty())
            .map(|seal| {
                let (domain, proved) = seal.split_once('<').unwrap_or((seal, ""));
                Seal {
                    domain: domain.to_owned(),
                    proved: proved.split('<').map(str::to_owned).collect(),
                }
            })
            .collect(),
    }
}

fn standing() -> Standing {
    Standing {
        ours: OurDomains::new(vec!["our.example".to_owned()]),
        forwarders: vec!["list.example".to_owned()],
    }
}

/// Rows of From, SPF, DKIM, ARC, DMARC and what follows; the cells are two blanks apart.
fn check(table: &str, then: impl Fn(&Assessment, &Authentication) -> String) {
    for row in table
        .lines()
        .map(str::trim)
        .filter(|row| !row.is_empty())
        .skip(1)
    {
        let mut cells = row
            .split("  ")
            .map(str::trim)
            .filter(|cell| !cell.is_empty());
        let mut cell = || cells.next().unwrap_or_else(|| panic!("short row: {row}"));
        let raw: String = cell()
            .split(" + ")
            .filter(|from| *from != "nothing")
            .map(|from| format!("From: {from}\r\n").replace(" | ", "\r\n"))
            .collect();
        let spf = checked(cell());
        let dkim = Some(cell()).filter(|c| *c != "-").map(checked);
        let arc = chain(cell());
        let (word, policy) = {
            let cell = cell();
            cell.split_once(' ').unwrap_or((cell, "none"))
        };
        let authentication = Authentication {
            spf,
            dkim: dkim
                .map(|Checked { verdict, domain }| Signature {
                    verdict,
                    domain,
                    selector: "s".to_owned(),
                })
                .into_iter()
                .collect(),
            arc,
            dmarc: checked(word),
            policy: match policy {
                "none" => Policy::None,
                "quarantine" => Policy::Quarantine,
                "reject" => Policy::Reject,
                other => panic!("no policy {other}"),
            },
            ..Authentication::default()
        };
        let author = Letter::read(raw.as_bytes(), true).author;
        let got = assess(&author, &authentication, &standing());
        assert_eq!(then(&got, &authentication), cell(), "{row}");
    }
}

#[test]
fn levels() {
    check(
        "
        from                        spf                  dkim                 arc  dmarc      then
        a@x.example                 pass@x.example       pass@x.example       -    pass       A Dmarc
        a@x.example                 fail@y.example       -                    -    pass       A Dmarc
        a@x.example                 pass@y.example       pass@x.example       -    none       B AlignedDkim
        a@mail.x.example            none                 pass@x.example       -    none       B AlignedDkim
        a@x.example                 pass@x.example       -                    -    none       B AlignedSpf
        a@x.example                 pass@x.example       fail@x.example       -    permerror  B AlignedSpf
        a@x.example                 pass@mail.x.example  -                    -    none       C NotAligned
        a@x.example                 pass@evilx.example   pass@y.example       -    none       C NotAligned
        a@x.example                 softfail@x.example   -                    -    none       C NotAligned
        a@x.example                 none                 -                    -    none       C NotAligned
        a@x.example                 -                    -                    -    -          C NotChecked
        a@x.example                 temperror@x.example  -                    -    none       C Unanswered
        a@x.example                 pass@x.example       -                    -    temperror  C Unanswered
        a@x.example                 none                 temperror@x.example  -    none       C Unanswered
        a@x.example                 pass@y.example       -                    -    fail       D DmarcFail
        nothing                     pass@x.example       pass@x.example       -    pass       D NoAuthor
        team:;                      pass@x.example       -                    -    none       D NoAuthor
        a@x.example + b@y.example   pass@x.example       pass@x.example       -    pass       D SeveralAuthors
        a@x.example + a@x.example   pass@x.example       pass@x.example       -    pass       D SeveralAuthors
        a@x.example | From : b@y.example  pass@x.example  -                   -    pass       D SeveralAuthors
        a@x.example, b@x.example    pass@x.example       pass@x.example       -    pass       D SeveralAuthors
        <a@x.example>(<b@y.example>)  pass@x.example     pass@x.example       -    pass       D UnclearAuthor
        =?utf-8?q?a=40x.example?=   pass@x.example       -                    -    pass       D UnclearAuthor
        \"b@our.example\" <a@x.example>  pass@x.example  -                    -    pass       A Dmarc
        a@our.example               pass@our.example     -                    -    pass       A Dmarc
        a@our.example               pass@our.example     -                    -    none       B AlignedSpf
        a@our.example               none                 -                    -    none       D PosesAsUs
        a@our.example               -                    -                    -    -          D PosesAsUs
        a@OUR.example.              none                 -                    -    fail       D PosesAsUs
        a@0ur.example               pass@0ur.example     -                    -    pass       D LooksLikeUs(\"our.example\")
        a@mail.our.example          none                 -                    -    none       C NotAligned
        a@раypal.example            pass@x.example       -                    -    pass       D MixedAlphabets
        ",
        |got, _| format!("{:?} {:?}", got.trust, got.reason),
    );
}

#[test]
fn forwarders_are_believed_if_they_are_listed() {
    check(
        "
        from         spf                dkim               arc                                      dmarc  then
        a@x.example  none               -                  pass@list.example<x.example              fail   C Vouched(\"list.example\")
        a@x.example  none               -                  pass@mx.list.example<y.example<x.example  fail  C Vouched(\"mx.list.example\")
        a@x.example  none               -                  pass@list.example<x.example              none   C Vouched(\"list.example\")
        a@x.example  none               -                  pass@list.example@list.example<x.example  fail  C Vouched(\"list.example\")
        a@x.example  none               -                  pass@list.example@other.example<x.example  fail  D DmarcFailForwarded(\"list.example\")
        a@x.example  none               -                  pass@other.example@list.example<x.example  fail  D DmarcFail
        a@x.example  none               -                  pass@list.example<y.example              fail   D DmarcFailForwarded(\"list.example\")
        a@x.example  none               -                  pass@list.example                        fail   D DmarcFailForwarded(\"list.example\")
        a@x.example  none               -                  fail@list.example<x.example              fail   D DmarcFail
        a@x.example  none               -                  pass@evil.example<x.example              fail   D DmarcFail
        a@x.example  pass@list.example  -                  -                                        fail   D DmarcFailForwarded(\"list.example\")
        a@x.example  none               pass@list.example  -                                        fail   D DmarcFailForwarded(\"list.example\")
        a@x.example  none               fail@list.example  -                                        fail   D DmarcFail
        a@x.example  softfail@list.example  -              -                                        fail   D DmarcFail
        a@our.example  none             -                  pass@list.example<our.example            fail   D PosesAsUs
        a@x.example  none               -                  pass@list.example<x.example              pass   A Dmarc
        ",
        |got, _| format!("{:?} {:?}", got.trust, got.reason),
    );
}

#[test]
fn lists_that_rewrite_from_name_somebody() {
    check(
        "
        from                                                                            spf   dkim                arc  dmarc  then
        'A' via g <g@groups.example> | X-Original-From: A <a@x.example> | Reply-To: A <a@x.example>  none  pass@groups.example  -  pass  C Rewritten(\"groups.example\")
        'A' via g <g@groups.example> | X-Original-From: A <a@x.example> | Reply-To: A <a@x.example>  none  -                    -  fail  D DmarcFail
        'A' via g <g@groups.example> | X-Original-From: A <a@our.example> | Reply-To: A <a@our.example>  none  -                -  pass  D PosesAsUs
        'A' via g <g@groups.example> | X-Original-From: A <a@0ur.example> | Reply-To: A <a@0ur.example>  none  -                -  pass  D LooksLikeUs(\"our.example\")
        ",
        |got, _| format!("{:?} {:?}", got.trust, got.reason),
    );
}

#[test]
fn rulings() {
    let both = |got: &Assessment, found: &Authentication| {
        format!(
            "{:?} {:?} {:?}",
            got.trust,
            ruling(got, found, true),
            ruling(got, found, false)
        )
    };
    check(
        "
        from           spf                dkim  arc                          dmarc            then
        a@x.example    none               -     -                            pass reject      A Take Take
        a@x.example    none               -     -                            fail reject      D Refuse Hold
        a@x.example    none               -     -                            fail quarantine  D Hold Hold
        a@x.example    none               -     -                            fail             D Take Take
        a@x.example    none               -     -                            none             C Take Take
        a@x.example    none               -     -                            temperror        C Later Later
        a@our.example  none               -     -                            fail reject      D Refuse Hold
        a@our.example  none               -     -                            temperror        D Take Take
        a@x.example    none               -     pass@list.example<x.example  fail reject      C Take Take
        a@x.example    pass@list.example  -     -                            fail reject      D Take Take
        a@x.example    pass@list.example  -     -                            fail quarantine  D Take Take
        nothing        none               -     -                            -                D Take Take
        ",
        both,
    );
}

#[test]
fn the_best_level_sorts_first() {
    assert!(Trust::A < Trust::B && Trust::B < Trust::C && Trust::C < Trust::D);
}
