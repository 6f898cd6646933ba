//! A message as an MTA sees it: header fields that can be edited, and a body.

use bytes::{BufMut, Bytes, BytesMut};

use crate::milter::arrival::Header;
use crate::milter::wire::Reply;

/// A message taken apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Letter {
    /// The header fields; values with everything after the colon, folds as CR LF.
    pub headers: Vec<Header>,
    /// Everything after the empty line.
    pub body: Bytes,
}

impl Letter {
    /// Takes a message apart. The header block ends at the empty line, or before the first line
    /// that is no header field, where Postfix puts an empty line in.
    #[must_use]
    pub fn parse(message: &Bytes) -> Self {
        let mut headers: Vec<Header> = Vec::new();
        let mut start = 0;
        while let Some(rest) = message.get(start..).filter(|rest| !rest.is_empty()) {
            let end = field_end(rest);
            let field = rest.get(..end).unwrap_or_default();
            if matches!(field, b"\r\n" | b"\n") {
                start += end;
                break;
            }
            let Some(colon) = name_len(field) else { break };
            let field = message.slice(start..start + end);
            let value = field.slice(colon + 1..);
            let value_len = without_line_end(&value).len();
            headers.push(Header {
                name: field.slice(..colon),
                value: value.slice(..value_len),
            });
            start += end;
        }
        Self {
            headers,
            body: message.slice(start..),
        }
    }

    /// Puts it together again.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut message = BytesMut::new();
        for Header { name, value } in &self.headers {
            message.put_slice(name);
            message.put_u8(b':');
            message.put_slice(value);
            message.put_slice(b"\r\n");
        }
        message.put_slice(b"\r\n");
        message.put_slice(&self.body);
        message.freeze()
    }

    /// Names and values as SMFIC_HEADER carries them: folds as LF, and without `leading_space` one
    /// space less, though never a tab.
    pub(super) fn on_the_wire(&self, leading_space: bool) -> impl Iterator<Item = (Bytes, Bytes)> {
        self.headers.iter().map(move |header| {
            let value = match header.value.strip_prefix(b" ") {
                Some(value) if !leading_space => value,
                _ => &header.value[..],
            };
            let mut wire = BytesMut::with_capacity(value.len());
            for (place, &byte) in value.iter().enumerate() {
                if byte != b'\r' || value.get(place + 1) != Some(&b'\n') {
                    wire.put_u8(byte);
                }
            }
            (header.name.clone(), wire.freeze())
        })
    }

    /// The message after the filter's edits, with Postfix's rules of counting: its own Received
    /// field, which the filter does not see, stands at 0 for inserts and is not counted for
    /// changes; and each edit finds the result of those before it.
    pub(super) fn edited(&self, edits: &[Reply], leading_space: bool) -> Self {
        let field = |name: &Bytes, value: &Bytes| {
            Some(Header {
                name: name.clone(),
                value: received_value(value, leading_space),
            })
        };
        // The empty place is the MTA's own Received field.
        let mut fields: Vec<Option<Header>> = vec![None];
        fields.extend(self.headers.iter().cloned().map(Some));
        let mut body: Option<BytesMut> = None;
        for edit in edits {
            match edit {
                Reply::AddHeader { name, value } => fields.push(field(name, value)),
                Reply::InsertHeader { index, name, value } => {
                    let place = fields.len().min(*index as usize);
                    fields.insert(place, field(name, value));
                }
                Reply::ChangeHeader { index, name, value } => {
                    let nth = (*index).max(1) as usize - 1;
                    let place = fields
                        .iter()
                        .enumerate()
                        .filter_map(|(place, field)| Some((place, field.as_ref()?)))
                        .filter(|(_, field)| field.name.eq_ignore_ascii_case(name))
                        .map(|(place, _)| place)
                        .nth(nth);
                    match (place, value.is_empty()) {
                        (Some(place), true) => drop(fields.remove(place)),
                        (Some(place), false) => {
                            if let Some(old) = fields.get_mut(place) {
                                *old = field(name, value);
                            }
                        }
                        (None, false) => fields.push(field(name, value)),
                        (None, true) => {}
                    }
                }
                Reply::ReplaceBody(piece) => {
                    body.get_or_insert_default().put_slice(piece);
                }
                Reply::Negotiate(_)
                | Reply::Plain(_)
                | Reply::ReplyCode(_)
                | Reply::AddRcpt(_)
                | Reply::AddRcptPar(_)
                | Reply::DelRcpt(_)
                | Reply::ChangeFrom(_)
                | Reply::Quarantine(_) => {}
            }
        }
        Self {
            headers: fields.into_iter().flatten().collect(),
            body: body.map_or_else(|| self.body.clone(), BytesMut::freeze),
        }
    }
}

/// A value from an edit, as it stands in the delivered message.
fn received_value(value: &[u8], leading_space: bool) -> Bytes {
    let mut out = BytesMut::with_capacity(value.len() + 1);
    if !leading_space {
        out.put_u8(b' ');
    }
    for &byte in value {
        if byte == b'\n' {
            out.put_u8(b'\r');
        }
        out.put_u8(byte);
    }
    out.freeze()
}

/// Where a header field with its folds ends.
fn field_end(rest: &[u8]) -> usize {
    let mut end = 0;
    loop {
        let line = rest.get(end..).unwrap_or_default();
        let Some(len) = line.iter().position(|&byte| byte == b'\n') else {
            return rest.len();
        };
        end += len + 1;
        let empty = matches!(line.get(..=len), Some(b"\r\n" | b"\n"));
        if empty || !matches!(rest.get(end), Some(b' ' | b'\t')) {
            return end;
        }
    }
}

/// Length of a field's name, if the line has one.
fn name_len(field: &[u8]) -> Option<usize> {
    let colon = field.iter().position(|&byte| byte == b':')?;
    let name = field.get(..colon)?;
    let good = !name.is_empty() && name.iter().all(|byte| matches!(byte, b'!'..=b'~'));
    good.then_some(colon)
}

fn without_line_end(value: &[u8]) -> &[u8] {
    let value = value.strip_suffix(b"\n").unwrap_or(value);
    value.strip_suffix(b"\r").unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(text: &'static str) -> Letter {
        Letter::parse(&Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn messages_come_back() {
        for text in [
            "A: b\r\n\r\nbody\r\n",
            "A: b\r\n\tc\r\nB:\r\n\r\n",
            "A: b\r\nA:c\r\n\r\n\r\n\r\n",
            "\r\nonly a body",
        ] {
            assert_eq!(letter(text).to_bytes(), text, "{text:?}");
        }
        let mended = letter("A: b\r\nno field\r\n").to_bytes();
        assert_eq!(mended, "A: b\r\n\r\nno field\r\n");
        assert_eq!(letter("A: b").to_bytes(), "A: b\r\n\r\n");
        assert_eq!(letter("").to_bytes(), "\r\n");
    }

    #[test]
    fn edits_count_as_postfix_counts() {
        let insert = |index, name: &'static str| Reply::InsertHeader {
            index,
            name: Bytes::from_static(name.as_bytes()),
            value: Bytes::from_static(b" new"),
        };
        let delete = |index| Reply::ChangeHeader {
            index,
            name: Bytes::from_static(b"a"),
            value: Bytes::new(),
        };
        let rows = [
            (vec![insert(1, "X"), insert(1, "Y")], "Y X A B A A"),
            (vec![insert(0, "X"), insert(1, "Y")], "X Y A B A A"),
            (vec![insert(99, "X")], "A B A A X"),
            (vec![delete(3), delete(2), delete(1)], "B"),
            (vec![delete(1), delete(2), delete(3)], "B A"),
            (vec![delete(4)], "A B A A"),
        ];
        let letter = letter("A: 1\r\nB: 2\r\nA: 3\r\nA: 4\r\n\r\n");
        for (edits, names) in rows {
            let edited = letter.edited(&edits, true);
            let shown: Vec<_> = edited
                .headers
                .iter()
                .map(|header| String::from_utf8_lossy(&header.name).into_owned())
                .collect();
            assert_eq!(shown.join(" "), names, "{edits:?}");
        }
    }
}
