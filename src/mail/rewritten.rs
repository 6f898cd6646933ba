//! Who wrote a letter that came by way of a list which put its own address into From.
//!
//! Lists do so because the author's domain would disown the letter that they changed (DMARC).
//! Nothing proves what they say of the author; it is good for answering, not for trusting.

use super::header::Header;
use super::mailbox::{self, Mailbox};

/// The fields in which groups keep the From that they replaced. Google's are the model.
const ORIGINAL_FIELDS: [&str; 2] = ["X-Original-From", "X-Original-Sender"];

/// What stands between an author's name and a list's in the From that a list wrote; Mailman and
/// Google Groups both do so.
const VIA: &str = " via ";

/// The author that a list names. `from` is the only mailbox of the only From field.
///
/// Two habits are known. Groups keep the old From in a field of its own, and answers go to the
/// same address. Mailman puts the author into Reply-To, or into Cc if answers go to the list, and
/// writes "Author via List" as From's name.
#[must_use]
pub fn author(header: &Header<'_>, from: &Mailbox) -> Option<Mailbox> {
    let replies = all(header, "Reply-To");
    if let Some(original) = original(header) {
        let answered = replies.len() == 1 && replies.iter().all(|m| m.address == original.address);
        return (answered && original.address != from.address).then_some(original);
    }
    let (name, _) = from.name.split_once(VIA)?;
    let name = name.trim_matches(['\'', '"', ' ']);
    let is_list = ["List-Id", "List-Post"]
        .iter()
        .any(|field| header.all(field).next().is_some());
    if !is_list || name.is_empty() {
        return None;
    }
    let mut replies: Vec<Mailbox> = (replies.into_iter())
        .filter(|mailbox| mailbox.address != from.address)
        .collect();
    let is_named = |mailbox: &Mailbox| mailbox.name.to_lowercase() == name.to_lowercase();
    if let Some(named) = replies.iter().position(is_named) {
        return Some(replies.swap_remove(named));
    }
    if replies.len() == 1 {
        return replies.pop();
    }
    all(header, "Cc")
        .into_iter()
        .find(|mailbox| mailbox.address != from.address && is_named(mailbox))
}

/// The only mailbox of the only field that keeps an old From.
fn original(header: &Header<'_>) -> Option<Mailbox> {
    ORIGINAL_FIELDS.iter().find_map(|field| {
        let mut values = header.all(field);
        let list = mailbox::parse_list(values.next()?);
        let clear = values.next().is_none() && list.count == 1 && !list.odd;
        list.mailboxes.into_iter().next().filter(|_| clear)
    })
}

/// The mailboxes of the first field of a name; a second one says nothing that could be relied on.
fn all(header: &Header<'_>, field: &str) -> Vec<Mailbox> {
    let first = header.all(field).next();
    first.map_or_else(Vec::new, |value| mailbox::parse_list(value).mailboxes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(fields: &str, expected: Option<&str>) {
        let raw = format!("{}\r\n\r\n", fields.replace(" | ", "\r\n"));
        let header = Header::parse(raw.as_bytes());
        let from = mailbox::parse_list(header.all("From").next().unwrap());
        let found = author(&header, &from.mailboxes[0]);
        let found = found.map(|mailbox| format!("{} <{}>", mailbox.name, mailbox.address));
        assert_eq!(found.as_deref(), expected, "{fields}");
    }

    #[test]
    fn groups() {
        let from = "From: 'Ada' via g <g@groups.example>";
        let original = "X-Original-From: Ada <ada@x.example>";
        check(
            &format!("{from} | {original} | Reply-To: Ada <ADA@x.example>"),
            Some("Ada <ada@x.example>"),
        );
        for doubtful in [
            format!("{from} | {original}"),
            format!("{from} | {original} | Reply-To: eve@y.example"),
            format!("{from} | {original} | Reply-To: ada@x.example, eve@y.example"),
            format!("{from} | {original} | {original} | Reply-To: ada@x.example"),
            format!("{from} | X-Original-From: a <b@x> <c@x> | Reply-To: b@x"),
            "From: g@x.example | X-Original-From: g@x.example | Reply-To: g@x.example".to_owned(),
        ] {
            check(&doubtful, None);
        }
    }

    #[test]
    fn lists() {
        let from = "From: Ada via Talk <talk@lists.example> | List-Id: <talk.lists.example>";
        for (more, found) in [
            ("Reply-To: Ada <ada@x.example>", Some("Ada <ada@x.example>")),
            ("Reply-To: ada@x.example", Some(" <ada@x.example>")),
            (
                "Reply-To: Talk <talk@lists.example>, Ada <ada@x.example>",
                Some("Ada <ada@x.example>"),
            ),
            (
                "Reply-To: talk@lists.example | Cc: Bert <b@x.example>, ADA <ada@x.example>",
                Some("ADA <ada@x.example>"),
            ),
            (
                "Reply-To: talk@lists.example | Cc: Bert <b@x.example>",
                None,
            ),
            ("Reply-To: bert@x.example, carl@x.example", None),
            ("Subject: x", None),
        ] {
            check(&format!("{from} | {more}"), found);
        }
        // Without a list's mark it is a name like any other.
        check(
            "From: Ada via Talk <talk@x.example> | Reply-To: eve@y.example",
            None,
        );
        check(
            "From: Talk <talk@x.example> | List-Id: <t> | Reply-To: eve@y.example",
            None,
        );
    }
}
