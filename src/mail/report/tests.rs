//! Reports as they are written in the world, and what is read from them.

use proptest::prelude::*;

use super::*;

/// One line for what a report says; `-` for none.
fn outline(raw: &str) -> String {
    let Some(report) = Report::read(raw.replace('\n', "\r\n").as_bytes()) else {
        return "-".to_owned();
    };
    let whom =
        |address: &Option<Address>| address.as_ref().map_or("?".to_owned(), ToString::to_string);
    let mut lines: Vec<String> = match &report.said {
        Said::Delivery(recipients) => recipients
            .iter()
            .map(|found| {
                let severity = found.severity();
                format!(
                    "{} {:?} {severity:?} {found}",
                    whom(&found.address),
                    found.action
                )
            })
            .collect(),
        Said::Disposition {
            what,
            automatic,
            recipient,
        } => vec![format!("{} {what} automatic={automatic}", whom(recipient))],
        Said::Complaint { what, recipient } => vec![format!("{} {what}", whom(recipient))],
    };
    lines.extend(report.envelope_id.map(|id| format!("envelope {id}")));
    lines.extend(report.internet_message_id.map(|id| format!("about {id}")));
    lines.join("\n")
}

fn status(block: &str) -> String {
    format!(
        "Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n\
         --b\n\nIt failed.\n--b\nContent-Type: message/delivery-status\n\n{block}\n--b--\n"
    )
}

#[test]
fn how_final_a_failure_is() {
    let table = "
        5.1.1   | smtp; 550 5.1.1 no such user               | Hard
        5.1.2   | smtp; 550 bad host                         | Hard
        5.1.3   |                                            | Hard
        5.1.10  | smtp;550 5.1.10 RESOLVER.ADR.RecipientNotFound | Hard
        5.4.1   | smtp; 550 5.4.1 Recipient address rejected: Access denied | Hard
        5.4.1   | smtp; connection timed out                 | Soft
        5.2.2   | smtp; 552 5.2.2 mailbox full               | Soft
        4.4.7   | smtp; 451 expired                          | Soft
        5.3.4   | smtp; 552 5.3.4 too big                    | Size
        5.2.3   |                                            | Size
        5.7.1   | smtp; 550 5.7.1 blocked                    | Policy
        5.7.26  | smtp; 550 5.7.26 unauthenticated           | Policy
        5.7.129 | smtp; 550 5.7.129 restricted               | Policy
        5.7.509 | smtp; 550 5.7.509 DMARC                    | Policy
        5.0.0   | smtp; 550 5.1.1 no such user               | Hard
        5.0.0   | smtp; 550 no                               | Unknown
        5.0.0   |                                            | Unknown
        5.2.1   | smtp; 550 5.2.1 disabled                   | Unknown
                | smtp; 550 5.1.1 <a@b.example>: unknown     | Hard
                | smtp; host mx.b.example[192.0.2.1] said: 550-5.1.1 unknown | Hard
                | smtp; 450 try later                        | Soft
                | smtp; 552 no room                          | Size
                | smtp; 550 no                               | Unknown
        5.5     | smtp; no                                   | Unknown
        x.y.z   | x-unix; user unknown                       | Unknown
    ";
    for row in table.lines().filter(|row| !row.trim().is_empty()) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let raw = status(&format!(
            "Reporting-MTA: dns; mx.example\n\nFinal-Recipient: rfc822; a@b.example\n\
             Action: failed\nStatus: {}\nDiagnostic-Code: {}\n",
            cells[0], cells[1]
        ));
        let report = Report::read(raw.as_bytes()).expect(row);
        let Said::Delivery(recipients) = report.said else {
            panic!("{row}")
        };
        assert_eq!(format!("{:?}", recipients[0].severity()), cells[2], "{row}");
    }
}

#[test]
fn careless_blocks() {
    let two =
        "a@b.example Failed Hard 550 5.1.1 gone\nc@d.example Delayed Soft 4.4.1 \nenvelope E1";
    for (what, block) in [
        (
            "as the standard says",
            "Reporting-MTA: dns; mx\nOriginal-Envelope-Id: E1\n\n\
             Final-Recipient: rfc822; a@b.example\nAction: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 5.1.1 gone\n\n\
             Final-Recipient: rfc822; c@d.example\nAction: delayed\nStatus: 4.4.1\n",
        ),
        (
            "blank lines before, between and within",
            "\n\nReporting-MTA: dns; mx\n\nOriginal-Envelope-Id: E1\n\n\n\
             Final-Recipient: rfc822; a@b.example\n\nAction: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp;\n 550 5.1.1 gone\n\n\n\
             Final-Recipient: rfc822; c@d.example\nAction: delayed\n\nStatus: 4.4.1",
        ),
        (
            "no blank lines at all",
            "Reporting-MTA: dns; mx\nOriginal-Envelope-Id: E1\n\
             Final-Recipient: rfc822; a@b.example\nAction: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 5.1.1 gone\n\
             Final-Recipient: rfc822; c@d.example\nAction: delayed\nStatus: 4.4.1\n",
        ),
        (
            "another order, other letter case, comments, junk",
            "what is this\nreporting-mta: dns; mx\noriginal-envelope-id:  E1 \n\n\
             ACTION: Failed (for good)\nFINAL-RECIPIENT: RFC822;<a@b.example>\nStatus: 5.1.1 (no mailbox)\nDiagnostic-Code: 550 5.1.1 gone\n\n\
             Action: DELAYED\nStatus: 4.4.1\nFinal-Recipient: c@d.example\n",
        ),
        (
            "the recipient as it was written before it was rewritten",
            "Original-Envelope-Id: E1\n\n\
             Original-Recipient: rfc822; a@b.example\nFinal-Recipient: rfc822; inner@b.example\nAction: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 5.1.1 gone\n\n\
             Original-Recipient: rfc822; c@d.example\nFinal-Recipient: rfc822; inner@d.example\nAction: delayed\nStatus: 4.4.1\n",
        ),
    ] {
        assert_eq!(outline(&status(block)), two, "{what}");
    }
}

#[test]
fn what_is_missing() {
    for (block, expected) in [
        ("", "-"),
        ("Reporting-MTA: dns; mx\n", "-"),
        ("Final-Recipient: rfc822; a@b.example\n", "-"),
        (
            "Final-Recipient: rfc822; a@b.example\nStatus: 5.1.1",
            "a@b.example Failed Hard 5.1.1 ",
        ),
        (
            "Final-Recipient: rfc822; a@b.example\nStatus: 4.1.1",
            "a@b.example Delayed Soft 4.1.1 ",
        ),
        (
            "Final-Recipient: rfc822; a@b.example\nStatus: 2.0.0",
            "a@b.example Delivered Unknown 2.0.0 ",
        ),
        ("Action: failed", "? Failed Unknown "),
        (
            "Final-Recipient: x400; /C=DE\nAction: failed\nStatus: 5.1.1",
            "? Failed Hard 5.1.1 ",
        ),
        (
            "Final-Recipient: rfc822; a@b.example\nAction: relayed\nStatus: 2.1.9",
            "a@b.example Relayed Unknown 2.1.9 ",
        ),
        (
            "Final-Recipient: utf-8; j\\x{F6}rg@b.example\nAction: failed\nStatus: 5.6.7",
            "jörg@b.example Failed Unknown 5.6.7 ",
        ),
        (
            "Final-Recipient: utf-8; jörg@b.example\nAction: failed",
            "jörg@b.example Failed Unknown ",
        ),
        (
            "Final-Recipient: utf-8; j\\x{D800}@b.example\nAction: failed",
            "? Failed Unknown ",
        ),
    ] {
        assert_eq!(outline(&status(block)), expected, "{block}");
    }
}

#[test]
fn bounds() {
    let block = "Final-Recipient: rfc822; a@b.example\nAction: failed\nStatus: 5.1.1\n\n";
    let raw = status(&block.repeat(5000));
    let Some(Said::Delivery(recipients)) = Report::read(raw.as_bytes()).map(|report| report.said)
    else {
        panic!()
    };
    assert_eq!(recipients.len(), RECIPIENTS_MAX);
    let long = format!(
        "Action: failed\nDiagnostic-Code: smtp; 550 {}",
        "x".repeat(60_000)
    );
    let Some(Said::Delivery(recipients)) =
        Report::read(status(&long).as_bytes()).map(|report| report.said)
    else {
        panic!()
    };
    assert_eq!(
        recipients[0].diagnostic.chars().count(),
        DIAGNOSTIC_CHARS_MAX
    );
    let raw = format!("\n{}", "<a@b.example>:\ngone\n\n".repeat(5000));
    let Some(Said::Delivery(recipients)) = Report::read(raw.as_bytes()).map(|report| report.said)
    else {
        panic!()
    };
    assert_eq!(recipients.len(), RECIPIENTS_MAX);
}

proptest! {
    #[test]
    fn anything_is_a_report_or_none(block in "[ -~\\n\u{e4}]{0,300}", cut in 0..400_usize) {
        let raw = status(&format!("Final-Recipient: rfc822; a@b.example\n{block}"));
        let _ = Report::read(raw.as_bytes().get(..cut).unwrap_or(raw.as_bytes()));
        let plain = format!("X-Failed-Recipients: {block}\n\n<a@b.example>:\n{block}");
        let _ = Report::read(plain.as_bytes());
    }
}
