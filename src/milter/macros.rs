//! Macros: what the MTA knows beside the commands, such as the queue id and who is logged in.
//!
//! Postfix sends a set before every command, empty ones included. A set is bound to the command it
//! names and not to its place in the stream: test drivers send it before the preceding command is
//! answered. Each new set replaces the one before it.

use bytes::Bytes;

use super::wire::CommandCode;

/// The commands that have macros, in the order of a message; the place in this list is the slot.
const STAGES: [CommandCode; 10] = [
    CommandCode::Connect,
    CommandCode::Helo,
    CommandCode::Unknown,
    CommandCode::Mail,
    CommandCode::Rcpt,
    CommandCode::Data,
    CommandCode::Header,
    CommandCode::EndOfHeaders,
    CommandCode::Body,
    CommandCode::EndOfMessage,
];

/// The first slot that belongs to a message and not to the client.
const MESSAGE_STAGE: usize = 3;

/// Most bytes of one set that are kept. Real ones have a few hundred; with certificates' subjects a
/// few thousand.
const SET_BYTES_MAX: usize = 16 << 10;

/// The sets of one connection. Each is bounded, and copied, so that it does not keep the read
/// buffer alive.
#[derive(Debug, Default)]
pub struct Macros {
    slots: [Slot; STAGES.len()],
}

#[derive(Debug, Default)]
struct Slot {
    /// Texts that end in NUL: name, value, name, value.
    pairs: Bytes,
    /// The command that the set was for has come.
    used: bool,
}

impl Macros {
    /// Keeps a set for the command with this byte, as far as its bound goes. Sets for
    /// commands that have none are ignored.
    pub fn store(&mut self, command: u8, pairs: &[u8]) {
        let pairs = pairs.get(..SET_BYTES_MAX).unwrap_or(pairs);
        if let Some(slot) = self.slot_mut(CommandCode::from_byte(command)) {
            if slot.pairs != pairs {
                slot.pairs = Bytes::copy_from_slice(pairs);
            }
            slot.used = false;
        }
    }

    /// Notes that the command itself has come: what was said for it is not said of the next one.
    pub fn consume(&mut self, command: CommandCode) {
        if let Some(slot) = self.slot_mut(Some(command)) {
            slot.used = true;
        }
    }

    /// Forgets what belonged to a message that ends here. What was said of the client stays.
    pub fn end_message(&mut self) {
        for slot in self.slots.iter_mut().skip(MESSAGE_STAGE) {
            *slot = Slot::default();
        }
    }

    /// Forgets what belonged to a message that ended without a word, at the MAIL of the next one:
    /// sets not yet used are already about the new one.
    pub fn begin_message(&mut self) {
        for slot in self.slots.iter_mut().skip(MESSAGE_STAGE) {
            if slot.used {
                *slot = Slot::default();
            }
        }
    }

    /// Forgets everything: another client follows.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// The newest value of a macro, whichever command it came with. The name may be given with or
    /// without braces, and the MTA may have sent it either way.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.slots.iter().rev().find_map(|slot| slot.get(name))
    }

    /// A macro that came with this very command; `None` if the set was for an earlier one of its
    /// kind.
    #[must_use]
    pub fn get_fresh(&self, command: CommandCode, name: &str) -> Option<&[u8]> {
        let place = STAGES.iter().position(|&stage| stage == command)?;
        let slot = self.slots.get(place)?;
        if slot.used { None } else { slot.get(name) }
    }

    fn slot_mut(&mut self, command: Option<CommandCode>) -> Option<&mut Slot> {
        let command = command?;
        let place = STAGES.iter().position(|&stage| stage == command)?;
        self.slots.get_mut(place)
    }
}

impl Slot {
    /// Looks through complete pairs; a name without a value at the end is ignored, and so is a
    /// text without its NUL. The last of several values counts.
    fn get(&self, wanted: &str) -> Option<&[u8]> {
        let complete = self.pairs.iter().rposition(|&byte| byte == 0)?;
        let mut texts = self.pairs.get(..complete)?.split(|&byte| byte == 0);
        let mut found = None;
        while let (Some(name), Some(value)) = (texts.next(), texts.next()) {
            if bare(name) == bare(wanted.as_bytes()) {
                found = Some(value);
            }
        }
        found
    }
}

/// A name without its braces.
fn bare(name: &[u8]) -> &[u8] {
    name.strip_prefix(b"{")
        .and_then(|name| name.strip_suffix(b"}"))
        .unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_read_as_far_as_they_are_complete() {
        type Row = (&'static [u8], &'static str, Option<&'static [u8]>);
        let rows: [Row; 9] = [
            (b"", "i", None),
            (b"i\0A1\0", "i", Some(b"A1")),
            (b"i\0A1\0", "{i}", Some(b"A1")),
            (b"{rcpt_addr}\0a@b\0i\0A1\0", "rcpt_addr", Some(b"a@b")),
            (b"i\0A1\0i\0A2\0", "i", Some(b"A2")),
            (b"i\0\0", "i", Some(b"")),
            (b"i\0A1\0j\0", "j", None),
            (b"i\0A1\0j\0mx", "j", None),
            (b"i\0A", "i", None),
        ];
        for (pairs, name, value) in rows {
            let mut macros = Macros::default();
            macros.store(b'R', pairs);
            assert_eq!(macros.get(name), value, "{name} in {pairs:?}");
        }
    }

    #[test]
    fn a_set_without_measure_is_cut() {
        let mut macros = Macros::default();
        let mut pairs = b"i\0A1\0".to_vec();
        for number in 0..10_000 {
            pairs.extend(format!("m{number}\0v\0").into_bytes());
        }
        pairs.extend(b"i\0A2\0");
        macros.store(b'M', &pairs);
        assert_eq!(macros.get("i"), Some(&b"A1"[..]));
        assert_eq!(macros.get("m1"), Some(&b"v"[..]));
        assert_eq!(macros.get("m9999"), None);
        // One value that does not fit is not there in half.
        let huge = [&b"i\0"[..], &vec![b'x'; 64 << 10], b"\0"].concat();
        macros.store(b'M', &huge);
        assert_eq!(macros.get("i"), None);
    }

    #[test]
    fn sets_live_as_long_as_what_they_are_about() {
        let mut macros = Macros::default();
        macros.store(b'C', b"j\0mx\0");
        macros.store(b'H', b"{tls_version}\0TLSv1.3\0");
        macros.store(b'M', b"{auth_authen}\0bob\0");
        macros.store(b'R', b"{rcpt_addr}\0a@b\0");
        macros.store(b'?', b"x\0y\0");
        assert_eq!(
            macros.get_fresh(CommandCode::Rcpt, "rcpt_addr"),
            Some(&b"a@b"[..])
        );
        macros.consume(CommandCode::Rcpt);
        assert_eq!(macros.get_fresh(CommandCode::Rcpt, "rcpt_addr"), None);
        macros.consume(CommandCode::Mail);

        // Another MAIL without an abort: its own macros came just before it.
        macros.store(b'M', b"{mail_addr}\0c@d\0");
        macros.begin_message();
        assert_eq!(macros.get("mail_addr"), Some(&b"c@d"[..]));
        assert_eq!(macros.get("auth_authen"), None);
        assert_eq!(macros.get("rcpt_addr"), None);

        macros.end_message();
        assert_eq!(macros.get("mail_addr"), None);
        assert_eq!(macros.get("j"), Some(&b"mx"[..]));
        assert_eq!(macros.get("tls_version"), Some(&b"TLSv1.3"[..]));
        macros.clear();
        assert_eq!(macros.get("j"), None);
    }
}
