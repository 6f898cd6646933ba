//! The header block of a letter or part, cut into fields.
//!
//! Ours rather than the MIME library's, because trust hangs on it: how many From fields there
//! are must be counted the same way as every reader of the letter might count them.

use super::decode;

/// Most fields that are kept of one block. Long delivery paths have a hundred.
pub const FIELDS_MAX: usize = 1000;

/// Largest header block that is read, in bytes. Postfix gives up at 102,400 by default
/// (`header_size_limit`), a field; this is for a block.
pub const BLOCK_BYTES_MAX: usize = 256 << 10;

/// One field: its name as written and its value as it came, folds and all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// The name, without the white space that some put before the colon.
    pub name: &'a str,
    /// The raw value: everything between the colon and the end of the last folded line.
    pub value: &'a [u8],
}

/// The fields of a block in their order, and where the body begins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Header<'a> {
    fields: Vec<Field<'a>>,
    body_start: usize,
    cut: bool,
}

impl<'a> Header<'a> {
    /// Cuts an entity (a letter, or a part of one) at the end of its header block.
    ///
    /// As Postfix does (cleanup), a line that is neither a field nor a continuation ends the
    /// block and is the first of the body. An mbox `From ` line before the first field is
    /// skipped.
    #[must_use]
    pub fn parse(entity: &'a [u8]) -> Self {
        let mut header = Self::default();
        let mut offset = 0;
        let mut open: Option<(&'a str, usize)> = None;
        for line in entity.split_inclusive(|&b| b == b'\n') {
            let end = offset + line.len();
            if end > BLOCK_BYTES_MAX {
                header.cut = true;
                break;
            }
            let folded = matches!(line.first(), Some(b' ' | b'\t'));
            if folded && open.is_some() {
                offset = end;
                continue;
            }
            let content = trim_line(line);
            if let Some((name, colon)) = field_name(content) {
                header.close(entity, open, offset);
                open = Some((name, offset + colon + 1));
            } else if content.is_empty() {
                header.close(entity, open, offset);
                header.body_start = end;
                return header;
            } else if !(offset == 0 && content.starts_with(b"From ")) {
                break;
            }
            offset = end;
        }
        header.close(entity, open, offset);
        header.body_start = offset;
        header
    }

    fn close(&mut self, entity: &'a [u8], open: Option<(&'a str, usize)>, end: usize) {
        let Some((name, start)) = open else { return };
        if self.fields.len() >= FIELDS_MAX {
            self.cut = true;
            return;
        }
        self.fields.push(Field {
            name,
            value: entity.get(start..end).unwrap_or_default(),
        });
    }

    /// Offset of the first byte of the body within the entity.
    #[must_use]
    pub const fn body_start(&self) -> usize {
        self.body_start
    }

    /// Whether the block was larger than what is read.
    #[must_use]
    pub const fn is_cut(&self) -> bool {
        self.cut
    }

    /// All fields, in their order.
    #[must_use]
    pub fn fields(&self) -> &[Field<'a>] {
        &self.fields
    }

    /// The raw values of every field of a name, in any letter case.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.fields
            .iter()
            .filter(move |field| field.name.eq_ignore_ascii_case(name))
            .map(|field| field.value)
    }

    /// The first field of a name as unfolded text, its encoded words still encoded.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        self.all(name).next().map(decode::unfold)
    }
}

/// A line without its ending.
fn trim_line(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// The name a line begins with and where its colon is. Names are printable ASCII (RFC 5322,
/// section 2.2); white space before the colon is obsolete but read (section 4.5), because other
/// readers read it.
fn field_name(line: &[u8]) -> Option<(&str, usize)> {
    let colon = line.iter().position(|&b| b == b':')?;
    let name = line.get(..colon)?.trim_ascii_end();
    let plain = !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
    let name = std::str::from_utf8(name).ok()?;
    plain.then_some((name, colon))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(entity: &str) -> (Vec<&str>, &str) {
        let header = Header::parse(entity.as_bytes());
        let names = header.fields().iter().map(|field| field.name).collect();
        (names, &entity[header.body_start()..])
    }

    #[test]
    fn blocks() {
        for (entity, fields, body) in [
            ("", vec![], ""),
            ("\r\nbody", vec![], "body"),
            ("A: 1\r\nB: 2\r\n\r\nbody", vec!["A", "B"], "body"),
            ("A: 1\nB: 2\n\nbody", vec!["A", "B"], "body"),
            (
                "A: 1\r\n folded\r\n\t: more\r\nB:\r\n\r\n",
                vec!["A", "B"],
                "",
            ),
            ("From : x\r\nfrom: y\r\n\r\n", vec!["From", "from"], ""),
            ("From anna Mon Nov 23\r\nA: 1\r\n\r\nb", vec!["A"], "b"),
            ("A: 1\r\nno field\r\nB: 2", vec!["A"], "no field\r\nB: 2"),
            (
                " leading\r\nA: 1\r\n\r\n",
                vec![],
                " leading\r\nA: 1\r\n\r\n",
            ),
            ("A: 1\r\n \r\nB: 2\r\n\r\n", vec!["A", "B"], ""),
            ("A b: 1\r\n\r\n", vec![], "A b: 1\r\n\r\n"),
            ("A: 1", vec!["A"], ""),
            (": x\r\n", vec![], ": x\r\n"),
        ] {
            assert_eq!(names(entity), (fields, body), "{entity:?}");
        }
    }

    #[test]
    fn values() {
        let header = Header::parse(b"Subject: a\r\n b\r\nsubject:c\r\n\r\n");
        assert_eq!(header.text("SUBJECT").as_deref(), Some("a b"));
        assert_eq!(header.all("subject").count(), 2);
        assert_eq!(header.text("to"), None);
    }

    #[test]
    fn bounds() {
        let many = "A: 1\r\n".repeat(FIELDS_MAX + 1);
        let header = Header::parse(many.as_bytes());
        assert_eq!((header.fields().len(), header.is_cut()), (FIELDS_MAX, true));
        let long = format!("A: {}\r\nB: 1\r\n\r\n", "x".repeat(BLOCK_BYTES_MAX));
        let header = Header::parse(long.as_bytes());
        assert!(header.is_cut());
    }
}
