//! `winmail.dat`: what Outlook wraps a letter in when it believes that the reader is Outlook (MS-OXTNEF).
//!
//! Read for the names and sizes of the files in it, and for the text if the letter has none. A
//! file that is cut off or broken gives what stands before the break; nothing in it is believed
//! about its own length.

use super::decode;
use super::html;
use super::text::{clean_file_name, prefix};

/// The first four bytes, as a number (MS-OXTNEF, 2.1.3.1).
const SIGNATURE: u32 = 0x223E_9F78;

/// Most files that are listed.
const FILES_MAX: usize = 100;

/// Most properties that are read of one list. Outlook writes a hundred.
const PROPERTIES_MAX: usize = 1000;

/// Longest text that is taken, in bytes.
const TEXT_BYTES_MAX: usize = 1 << 20;

/// Longest name that is decoded, in bytes.
const NAME_BYTES_MAX: usize = 4096;

// Attributes by their ids (MS-OXTNEF, 2.1.3.4).
const BODY: u32 = 0x0002_800C;
const MESSAGE_PROPERTIES: u32 = 0x0006_9003;
const CODEPAGE: u32 = 0x0006_9007;
const FILE_BEGINS: u32 = 0x0006_9002;
const FILE_TITLE: u32 = 0x0001_8010;
const FILE_DATA: u32 = 0x0006_800F;
const FILE_PROPERTIES: u32 = 0x0006_9005;

// Properties by their ids (MS-OXPROPS).
const PLAIN_BODY: u16 = 0x1000;
const HTML_BODY: u16 = 0x1013;
const DISPLAY_NAME: u16 = 0x3001;
const FILE_NAME: u16 = 0x3704;
const LONG_FILE_NAME: u16 = 0x3707;

/// What is in a `winmail.dat`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// The text, if there is some that is not only RTF.
    pub text: Option<String>,
    /// The files, by safe name and size in bytes, in their order.
    pub files: Vec<(String, u64)>,
}

/// Reads a `winmail.dat`; `None` if it is none. Linear in its size.
#[must_use]
pub fn read(bytes: &[u8]) -> Option<Contents> {
    let mut input = Input(bytes);
    if input.u32()? != SIGNATURE {
        return None;
    }
    input.u16()?;
    let mut reader = Reader::default();
    while reader.attribute(&mut input).is_some() {}
    reader.finish_file();
    let text = reader.plain.or(reader.html.as_deref().map(html::to_text));
    Some(Contents {
        text: text.filter(|text| !text.trim().is_empty()),
        files: reader.files,
    })
}

#[derive(Default)]
struct Reader {
    charset: Option<String>,
    plain: Option<String>,
    html: Option<String>,
    file: Option<File>,
    files: Vec<(String, u64)>,
}

/// A file while its attributes are read.
#[derive(Default)]
struct File {
    title: Option<String>,
    long: Option<String>,
    size: u64,
}

impl Reader {
    /// Reads one attribute: level, id, length, data and a checksum that nobody checks.
    fn attribute(&mut self, input: &mut Input<'_>) -> Option<()> {
        input.take(1)?;
        let id = input.u32()?;
        let len = usize::try_from(input.u32()?).ok()?;
        let data = input.take(len)?;
        input.u16()?;
        match id {
            CODEPAGE => {
                let number = Input(data).u32()?;
                self.charset = Some(match number {
                    65001 => "utf-8".to_owned(),
                    932 => "shift_jis".to_owned(),
                    936 => "gb18030".to_owned(),
                    949 => "euc-kr".to_owned(),
                    950 => "big5".to_owned(),
                    number => format!("windows-{number}"),
                });
            }
            BODY => self.plain = Some(self.string8(data, TEXT_BYTES_MAX)),
            MESSAGE_PROPERTIES => {
                let _ = self.properties(data, |reader, id, text| match id {
                    PLAIN_BODY => reader.plain = Some(text),
                    HTML_BODY => reader.html = Some(text),
                    _ => {}
                });
            }
            FILE_BEGINS => {
                self.finish_file();
                self.file = Some(File::default());
            }
            FILE_TITLE => {
                let title = self.string8(data, NAME_BYTES_MAX);
                self.file.get_or_insert_default().title = Some(title);
            }
            FILE_DATA => self.file.get_or_insert_default().size = data.len() as u64,
            FILE_PROPERTIES => {
                let _ = self.properties(data, |reader, id, text| {
                    let file = reader.file.get_or_insert_default();
                    match id {
                        LONG_FILE_NAME => file.long = Some(text),
                        FILE_NAME | DISPLAY_NAME if file.title.is_none() => {
                            file.title = Some(text);
                        }
                        _ => {}
                    }
                });
            }
            _ => {}
        }
        Some(())
    }

    fn finish_file(&mut self) {
        let Some(file) = self.file.take() else { return };
        if self.files.len() < FILES_MAX {
            let name = file.long.or(file.title).unwrap_or_default();
            self.files.push((clean_file_name(&name), file.size));
        }
    }

    /// Reads a list of properties (MS-OXTNEF, 2.1.3.4.1 and MS-OXCDATA), handing on those that
    /// are text or may be.
    fn properties(
        &mut self,
        data: &[u8],
        mut found: impl FnMut(&mut Self, u16, String),
    ) -> Option<()> {
        let mut input = Input(data);
        let count = usize::try_from(input.u32()?).ok()?;
        for _ in 0..count.min(PROPERTIES_MAX) {
            let kind = input.u16()?;
            let id = input.u16()?;
            if id >= 0x8000 {
                // A named property: the set it is of, and its number or name.
                input.take(16)?;
                if input.u32()? == 0 {
                    input.take(4)?;
                } else {
                    input.counted()?;
                }
            }
            let many = kind & 0x1000 != 0;
            let kind = kind & 0x0FFF;
            let size = match kind {
                0x0002 | 0x0003 | 0x0004 | 0x000A | 0x000B => Some(4),
                0x0005 | 0x0006 | 0x0007 | 0x0014 | 0x0040 => Some(8),
                0x0048 => Some(16),
                0x000D | 0x001E | 0x001F | 0x0102 => None,
                // Whose length nobody knows, nobody can step over.
                _ => return None,
            };
            let values = match (size, many) {
                (Some(_), false) => 1,
                _ => usize::try_from(input.u32()?).ok()?,
            };
            for _ in 0..values {
                match size {
                    Some(size) => {
                        input.take(size)?;
                    }
                    None => {
                        let value = input.counted()?;
                        match kind {
                            0x001F => found(self, id, utf16(value)),
                            0x001E | 0x0102 => {
                                if matches!(
                                    id,
                                    PLAIN_BODY
                                        | HTML_BODY
                                        | DISPLAY_NAME
                                        | FILE_NAME
                                        | LONG_FILE_NAME
                                ) {
                                    let text = self.string8(value, TEXT_BYTES_MAX);
                                    found(self, id, text);
                                }
                            }
                            _ => {}
                        }
                    }
                }
            }
        }
        Some(())
    }

    /// Text in the code page of the file, up to its NUL.
    fn string8(&self, bytes: &[u8], bytes_max: usize) -> String {
        let bytes = bytes.get(..bytes_max).unwrap_or(bytes);
        let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
        decode::charset(self.charset.as_deref(), bytes.get(..end).unwrap_or(bytes))
    }
}

fn utf16(bytes: &[u8]) -> String {
    let units: Vec<u16> = (bytes.chunks_exact(2))
        .take(TEXT_BYTES_MAX / 2)
        .map(|pair| match pair {
            [low, high] => u16::from_le_bytes([*low, *high]),
            _ => 0,
        })
        .take_while(|unit| *unit != 0)
        .collect();
    let text = String::from_utf16_lossy(&units);
    prefix(&text, TEXT_BYTES_MAX).to_owned()
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn u16(&mut self) -> Option<u16> {
        let bytes = self.take(2)?;
        Some(u16::from_le_bytes(bytes.try_into().ok()?))
    }

    fn u32(&mut self) -> Option<u32> {
        let bytes = self.take(4)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?))
    }

    /// A value with its length in front, padded to four bytes.
    fn counted(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.u32()?).ok()?;
        let value = self.take(len)?;
        // The last one may lack its padding.
        let _ = self.take((4 - len % 4) % 4);
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(level: u8, id: u32, data: &[u8]) -> Vec<u8> {
        let len = u32::try_from(data.len()).unwrap();
        let sum: u16 = data
            .iter()
            .fold(0, |sum, b| sum.wrapping_add(u16::from(*b)));
        [
            &[level][..],
            &id.to_le_bytes(),
            &len.to_le_bytes(),
            data,
            &sum.to_le_bytes(),
        ]
        .concat()
    }

    fn property(kind: u16, id: u16, value: &[u8]) -> Vec<u8> {
        let len = u32::try_from(value.len()).unwrap();
        let mut out = [
            &kind.to_le_bytes()[..],
            &id.to_le_bytes(),
            &1u32.to_le_bytes(),
            &len.to_le_bytes(),
            value,
        ]
        .concat();
        out.resize(out.len() + (4 - value.len() % 4) % 4, 0);
        out
    }

    fn sample() -> Vec<u8> {
        let wide: Vec<u8> = "Übersicht.pdf\0"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        let named = [
            &0x0003u16.to_le_bytes()[..],
            &0x8001u16.to_le_bytes(),
            &[7; 16],
            &0u32.to_le_bytes(),
            &1u32.to_le_bytes(),
            &5u32.to_le_bytes(),
        ]
        .concat();
        let properties = [
            &2u32.to_le_bytes()[..],
            &named,
            &property(0x001F, LONG_FILE_NAME, &wide),
        ]
        .concat();
        [
            &SIGNATURE.to_le_bytes()[..],
            &[1, 0],
            &attribute(1, CODEPAGE, &1252u32.to_le_bytes()),
            &attribute(1, BODY, b"Gr\xfc\xdfe\0"),
            &attribute(2, FILE_BEGINS, &[0; 14]),
            &attribute(2, FILE_TITLE, b"UEBERS~1.PDF\0"),
            &attribute(2, FILE_DATA, b"12345"),
            &attribute(2, FILE_PROPERTIES, &properties),
            &attribute(2, FILE_BEGINS, &[0; 14]),
            &attribute(2, FILE_TITLE, b"..\\run.exe\0"),
            &attribute(2, FILE_DATA, b""),
        ]
        .concat()
    }

    #[test]
    fn text_and_files() {
        let contents = read(&sample()).unwrap();
        assert_eq!(contents.text.as_deref(), Some("Grüße"));
        assert_eq!(
            contents.files,
            [("Übersicht.pdf".to_owned(), 5), ("run.exe".to_owned(), 0)]
        );
    }

    #[test]
    fn the_body_may_be_a_property() {
        let html = [
            &1u32.to_le_bytes()[..],
            &property(0x0102, HTML_BODY, b"<p>a<p>b"),
        ]
        .concat();
        let bytes = [
            &SIGNATURE.to_le_bytes()[..],
            &[1, 0],
            &attribute(1, MESSAGE_PROPERTIES, &html),
        ]
        .concat();
        assert_eq!(read(&bytes).unwrap().text.as_deref(), Some("a\nb"));
    }

    #[test]
    fn pieces_and_lies() {
        assert_eq!(read(b""), None);
        assert_eq!(read(b"no winmail.dat"), None);
        let whole = sample();
        for end in 0..whole.len() {
            let _ = read(&whole[..end]);
        }
        for at in 0..whole.len() {
            for value in [0, 0x7F, 0xFF] {
                let mut changed = whole.clone();
                changed[at] = value;
                let _ = read(&changed);
            }
        }
        let many = [
            &SIGNATURE.to_le_bytes()[..],
            &[1, 0],
            &attribute(2, FILE_BEGINS, b"").repeat(500),
        ]
        .concat();
        assert_eq!(read(&many).unwrap().files.len(), FILES_MAX);
        let endless = [
            &u32::MAX.to_le_bytes()[..],
            &0x1003u16.to_le_bytes(),
            &1u16.to_le_bytes(),
            &u32::MAX.to_le_bytes(),
        ]
        .concat();
        let bytes = [
            &SIGNATURE.to_le_bytes()[..],
            &[1, 0],
            &attribute(1, MESSAGE_PROPERTIES, &endless),
        ]
        .concat();
        assert_eq!(read(&bytes), Some(Contents::default()));
    }
}
