//! The letter within an S/MIME signature (RFC 5652), taken out without looking at the signature.

/// `1.2.840.113549.1.7.2`, signed data.
const SIGNED_DATA: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x07, 0x02];

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const INTEGER: u8 = 0x02;
const IDENTIFIER: u8 = 0x06;
const EXPLICIT: u8 = 0xA0;
const OCTETS: u8 = 0x04;
const OCTETS_IN_PIECES: u8 = 0x24;

/// The signed content, which is an entity of MIME; `None` if these bytes are no signed data or
/// have none. Follows the one path that leads there (RFC 5652, sections 3 and 5.1); linear.
pub(super) fn content(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut input = Input(bytes);
    input.enter(SEQUENCE)?;
    if input.value(IDENTIFIER)? != SIGNED_DATA {
        return None;
    }
    input.enter(EXPLICIT)?;
    input.enter(SEQUENCE)?;
    input.value(INTEGER)?;
    input.value(SET)?;
    input.enter(SEQUENCE)?;
    input.value(IDENTIFIER)?;
    input.enter(EXPLICIT)?;
    if input.0.first() == Some(&OCTETS) {
        return Some(input.value(OCTETS)?.to_vec());
    }
    // Programs that do not know the length in advance write pieces.
    let end = input.enter(OCTETS_IN_PIECES)?;
    if let Some(len) = end {
        input.0 = input.0.get(..len).unwrap_or(input.0);
    }
    let mut content = Vec::new();
    while input.0.first() == Some(&OCTETS)
        && let Some(piece) = input.value(OCTETS)
    {
        content.extend_from_slice(piece);
    }
    Some(content)
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    /// Reads a tag and its length, and stands at the content; `None` for its length says that it
    /// ends with a mark.
    fn enter(&mut self, tag: u8) -> Option<Option<usize>> {
        let [found, first, rest @ ..] = self.0 else {
            return None;
        };
        if *found != tag {
            return None;
        }
        self.0 = rest;
        match first {
            0x80 => Some(None),
            short @ 0..0x80 => Some(Some(usize::from(*short))),
            long => {
                let count = usize::from(long & 0x7F);
                let (digits, rest) = self.0.split_at_checked(count)?;
                // Four bytes count more than any letter has.
                if count > 4 {
                    return None;
                }
                self.0 = rest;
                let len = digits
                    .iter()
                    .fold(0, |len, digit| len << 8 | usize::from(*digit));
                Some(Some(len))
            }
        }
    }

    /// Reads a whole value of known length. Of one that was cut off, what there is.
    fn value(&mut self, tag: u8) -> Option<&'a [u8]> {
        let len = self.enter(tag)??;
        let (value, rest) = self.0.split_at_checked(len).unwrap_or((self.0, &[]));
        self.0 = rest;
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn der(tag: u8, content: &[u8]) -> Vec<u8> {
        let len = u16::try_from(content.len()).unwrap().to_be_bytes();
        [&[tag, 0x82][..], &len, content].concat()
    }

    fn signed(octets: &[u8]) -> Vec<u8> {
        let data = [&[IDENTIFIER, 1, 1][..], &der(EXPLICIT, octets)].concat();
        let inner = [&[INTEGER, 1, 1, SET, 0][..], &der(SEQUENCE, &data)].concat();
        let outer = [
            &[IDENTIFIER, 9][..],
            SIGNED_DATA,
            &der(EXPLICIT, &der(SEQUENCE, &inner)),
        ]
        .concat();
        der(SEQUENCE, &outer)
    }

    #[test]
    fn contents() {
        let whole = signed(&der(OCTETS, b"hello"));
        assert_eq!(content(&whole).as_deref(), Some(&b"hello"[..]));
        let pieces = [
            &[OCTETS_IN_PIECES, 0x80][..],
            &[OCTETS, 3],
            b"hel",
            &[OCTETS, 2],
            b"lo",
            &[0, 0],
        ]
        .concat();
        assert_eq!(content(&signed(&pieces)).as_deref(), Some(&b"hello"[..]));
        assert_eq!(content(b""), None);
        assert_eq!(content(b"no signature"), None);
        for end in 0..whole.len() {
            let _ = content(&whole[..end]);
        }
        for at in 0..whole.len() {
            for value in [0, 0x80, 0x84, 0xFF] {
                let mut changed = whole.clone();
                changed[at] = value;
                let _ = content(&changed);
            }
        }
    }
}
