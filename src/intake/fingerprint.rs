//! The fingerprint of a letter: the same whenever its sender tries again, and of no other letter.
//!
//! Made of the envelope sender, of header fields that a sender does not rewrite between attempts,
//! and of the body. Trace fields, signatures and the MTA's queue id change from attempt to attempt
//! and are left out. Recipients are left out too: a sender may split them over transactions.
//!
//! What the MTA puts in for its own machine's mail, a `Message-ID` with the queue id in it and a
//! `Date`, is another at each attempt. Such a letter has a second fingerprint without the two. That
//! tells little: a monitor may well send the same words every hour. So it is good for a short time
//! and for one client only, as is the fingerprint of a letter that has neither field.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::time::Duration;

use ring::digest::{Context, SHA256};

use crate::engine::Fingerprint;
use crate::milter::{Arrival, Header};

/// How long a letter is remembered that may be sent again. Senders give up after four to seven
/// days; some are set to more.
const MEMORY: Duration = Duration::from_secs(14 * 24 * 3600);

/// The same where nothing in the letter says that it is this one and no other: long enough for a
/// retry that follows a lost answer, too short for the next report of a monitor.
const SHORT_MEMORY: Duration = Duration::from_secs(15 * 60);

/// The header fields that are looked at, in lower case.
const FIELDS: [&str; 10] = [
    "from",
    "to",
    "cc",
    DATE,
    "subject",
    MESSAGE_ID,
    "in-reply-to",
    "references",
    "reply-to",
    "content-type",
];

const DATE: &str = "date";
const MESSAGE_ID: &str = "message-id";

/// The fingerprints of a letter, of which the body is still to come.
pub struct Unfinished {
    prints: Vec<(Context, Duration)>,
    body_at: usize,
}

impl Unfinished {
    /// Begins with all but the body.
    #[must_use]
    pub fn new(arrival: &Arrival) -> Self {
        let dated = fields(&arrival.headers, DATE).next().is_some();
        let (named, generated) = match names(arrival) {
            Named::No => (false, false),
            Named::BySender => (true, false),
            Named::ByMta => (true, true),
        };
        let mut prints = Vec::new();
        if named || dated {
            prints.push((context(arrival, &FIELDS), MEMORY));
        }
        if generated || !(named || dated) {
            let constant = FIELDS.map(|field| match field {
                DATE | MESSAGE_ID => "",
                field => field,
            });
            let mut context = context(arrival, &constant);
            if let Some(client) = arrival.peer.ip {
                add(&mut context, client.to_string().as_bytes());
            }
            prints.push((context, SHORT_MEMORY));
        }
        Self {
            prints,
            body_at: body_offset(arrival.content.head()),
        }
    }

    /// Finishes with a letter that is in memory.
    #[must_use]
    pub fn finish(mut self, whole: &[u8]) -> Vec<Fingerprint> {
        self.update(whole.get(self.body_at..).unwrap_or_default());
        self.end()
    }

    /// Finishes with a letter that is in a file.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub fn finish_file(mut self, path: &Path) -> io::Result<Vec<Fingerprint>> {
        let mut reader = BufReader::new(File::open(path)?);
        io::copy(
            &mut reader.by_ref().take(self.body_at as u64),
            &mut io::sink(),
        )?;
        let mut piece = vec![0; 64 << 10];
        loop {
            match reader.read(&mut piece)? {
                0 => return Ok(self.end()),
                size => self.update(piece.get(..size).unwrap_or_default()),
            }
        }
    }

    fn update(&mut self, body: &[u8]) {
        for (context, _) in &mut self.prints {
            context.update(body);
        }
    }

    fn end(self) -> Vec<Fingerprint> {
        let end = |(context, memory): (Context, Duration)| {
            let mut digest = [0; 32];
            digest.copy_from_slice(context.finish().as_ref());
            Fingerprint { digest, memory }
        };
        self.prints.into_iter().map(end).collect()
    }
}

/// Who gave a letter its `Message-ID`.
enum Named {
    No,
    BySender,
    ByMta,
}

/// The MTA names what it is handed without a name after the queue id of the moment, on the left,
/// and itself, on the right (Postfix, `cleanup_message.c`).
fn names(arrival: &Arrival) -> Named {
    let mut ids = fields(&arrival.headers, MESSAGE_ID);
    let (Some(id), None) = (ids.next(), ids.next()) else {
        // Several are a sender's doing.
        return match fields(&arrival.headers, MESSAGE_ID).next() {
            None => Named::No,
            Some(_) => Named::BySender,
        };
    };
    let id = String::from_utf8_lossy(id);
    let id = id.trim().trim_start_matches('<').trim_end_matches('>');
    let of_the_mta = id.rsplit_once('@').is_some_and(|(left, right)| {
        let is = |text: &Option<String>, wanted: fn(&str, &str) -> bool, part: &str| {
            (text.as_deref()).is_some_and(|text| !text.is_empty() && wanted(part, text))
        };
        is(&arrival.mta_queue_id, |left, id| left.contains(id), left)
            && is(
                &arrival.peer.mta_name,
                |right, name| right.eq_ignore_ascii_case(name),
                right,
            )
    });
    if of_the_mta {
        Named::ByMta
    } else {
        Named::BySender
    }
}

/// The values of all fields of this name.
fn fields<'a>(headers: &'a [Header], name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    (headers.iter())
        .filter(|header| header.name.eq_ignore_ascii_case(name.as_bytes()))
        .map(|header| &header.value[..])
}

fn context(arrival: &Arrival, names: &[&str]) -> Context {
    let mut context = Context::new(&SHA256);
    add(&mut context, &sender(&arrival.envelope.sender));
    for name in names.iter().filter(|name| !name.is_empty()) {
        for value in fields(&arrival.headers, name) {
            add(&mut context, name.as_bytes());
            add(&mut context, &unfolded(value));
        }
    }
    context
}

/// The envelope sender. Letter case has no meaning in a domain; in what stands before it, it may.
fn sender(address: &[u8]) -> Vec<u8> {
    let mut address = address.to_vec();
    let domain_at = address.iter().rposition(|&byte| byte == b'@');
    if let Some(domain) = domain_at.and_then(|at| address.get_mut(at..)) {
        domain.make_ascii_lowercase();
    }
    address
}

/// Adds a text with its length, so that two texts never run together.
fn add(context: &mut Context, text: &[u8]) {
    context.update(&(text.len() as u64).to_be_bytes());
    context.update(text);
}

/// Relays fold where they like: runs of white space count as one space.
fn unfolded(value: &[u8]) -> Vec<u8> {
    let words = value
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty());
    let mut line = Vec::with_capacity(value.len());
    for word in words {
        if !line.is_empty() {
            line.push(b' ');
        }
        line.extend_from_slice(word);
    }
    line
}

/// Where the body begins: after the first empty line.
fn body_offset(head: &[u8]) -> usize {
    if head.starts_with(b"\r\n") {
        return 2;
    }
    head.windows(4)
        .position(|four| four == b"\r\n\r\n")
        .map_or(head.len(), |place| place + 4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::Content;
    use crate::milter::{Envelope, Peer};
    use bytes::Bytes;

    /// A letter as it comes in.
    #[derive(Clone)]
    struct Case {
        sender: &'static str,
        client: &'static str,
        queue_id: &'static str,
        fields: &'static str,
        body: &'static str,
    }

    impl Case {
        fn arrival(&self) -> Arrival {
            let headers = (self.fields.lines())
                .filter_map(|line| line.split_once(':'))
                .map(|(name, value)| Header {
                    name: Bytes::copy_from_slice(name.as_bytes()),
                    value: Bytes::from(value.replace("\\n", "\n")),
                })
                .collect();
            let whole = format!("{}\r\n{}", self.fields.replace('\n', "\r\n"), self.body);
            Arrival {
                peer: Peer {
                    ip: self.client.parse().ok(),
                    mta_name: Some("mx.shop.example".to_owned()),
                    ..Peer::default()
                },
                mta_queue_id: Some(self.queue_id.to_owned()),
                envelope: Envelope {
                    sender: Bytes::from_static(self.sender.as_bytes()),
                    ..Envelope::default()
                },
                recipients: Vec::new(),
                foreign_recipients: 0,
                headers,
                content: Content::Memory(whole.into()),
            }
        }

        fn prints(&self) -> Vec<Fingerprint> {
            let arrival = self.arrival();
            Unfinished::new(&arrival).finish(arrival.content.head())
        }

        /// Whether one is known when the other was here before, and for how long.
        fn same(&self, other: &Self) -> Option<Duration> {
            let others = other.prints();
            (self.prints().iter())
                .find(|print| others.contains(print))
                .map(|print| print.memory)
        }
    }

    const SIGNED: Case = Case {
        sender: "a@b",
        client: "192.0.2.1",
        queue_id: "4A",
        fields: "Received: from a\nSubject: one two\nMessage-ID: <1@x>\n",
        body: "hello",
    };

    const NAMELESS: Case = Case {
        fields: "Subject: disk is full\n",
        ..SIGNED
    };

    const GENERATED: Case = Case {
        fields: "Subject: disk is full\nMessage-Id: <4A@mx.shop.example>\nDate: today\n",
        ..SIGNED
    };

    #[test]
    fn a_second_attempt_has_the_same() {
        let again = Case {
            client: "192.0.2.2",
            queue_id: "4B",
            sender: "a@B",
            fields: "DKIM-Signature: t=2\nARC-Seal: i=1\nReceived: from b\nmessage-id:<1@x>\nSUBJECT: one\\n\ttwo\n",
            ..SIGNED
        };
        assert_eq!(again.same(&SIGNED), Some(MEMORY));
        let dated = Case {
            fields: "Date: today\n",
            ..SIGNED
        };
        assert_eq!(dated.same(&dated), Some(MEMORY));
    }

    #[test]
    fn another_letter_has_another() {
        let others = [
            Case {
                body: "hello!",
                ..SIGNED
            },
            Case {
                fields: "Subject: one  three\nMessage-ID: <1@x>\n",
                ..SIGNED
            },
            Case {
                sender: "c@b",
                ..SIGNED
            },
            // Two people may share a letter, if their server says so.
            Case {
                sender: "A@b",
                ..SIGNED
            },
            Case {
                sender: "",
                ..SIGNED
            },
        ];
        for other in others {
            assert_eq!(other.same(&SIGNED), None, "{}", other.fields);
        }
    }

    #[test]
    fn what_has_no_name_of_its_own_is_known_for_a_short_time_and_from_one_client() {
        let later = Case {
            queue_id: "4B",
            ..NAMELESS
        };
        assert_eq!(later.same(&NAMELESS), Some(SHORT_MEMORY));
        let elsewhere = Case {
            client: "192.0.2.2",
            ..NAMELESS
        };
        assert_eq!(elsewhere.same(&NAMELESS), None);
        let without_client = Case {
            client: "",
            ..NAMELESS
        };
        assert_eq!(without_client.same(&NAMELESS), None);
        assert_eq!(without_client.same(&without_client), Some(SHORT_MEMORY));
    }

    #[test]
    fn what_the_mta_put_in_does_not_count() {
        let again = Case {
            queue_id: "4B",
            fields: "Subject: disk is full\nMessage-Id: <4B@mx.shop.example>\nDate: tomorrow\n",
            ..GENERATED
        };
        assert_eq!(again.same(&GENERATED), Some(SHORT_MEMORY));
        // With short queue ids there is a time before the id.
        let short = Case {
            queue_id: "4C",
            fields: "Subject: disk is full\nMessage-Id: <20261125.4C@MX.shop.example>\n",
            ..GENERATED
        };
        assert_eq!(short.same(&GENERATED), Some(SHORT_MEMORY));
        // It comes by again under another queue id, with the name it was given the first time.
        let requeued = Case {
            client: "127.0.0.1",
            queue_id: "4D",
            ..GENERATED
        };
        assert_eq!(requeued.same(&GENERATED), Some(MEMORY));
    }

    #[test]
    fn only_the_mta_names_letters_so() {
        for fields in [
            "Subject: disk is full\nMessage-Id: <4A@elsewhere.example>\nDate: today\n",
            "Subject: disk is full\nMessage-Id: <4B@mx.shop.example>\nDate: today\n",
            "Subject: disk is full\nMessage-Id: <4A@mx.shop.example>\nMessage-Id: <1@x>\n",
        ] {
            let other = Case {
                fields,
                ..GENERATED
            };
            assert_eq!(other.prints().len(), 1, "{fields}");
            assert_eq!(other.prints()[0].memory, MEMORY, "{fields}");
        }
        let mut without_queue_id = GENERATED.arrival();
        without_queue_id.mta_queue_id = Some(String::new());
        assert_eq!(Unfinished::new(&without_queue_id).finish(b"").len(), 1);
    }

    #[test]
    fn a_large_letter_has_the_same_from_its_file() {
        let arrival = SIGNED.arrival();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("letter");
        std::fs::write(&path, arrival.content.head()).unwrap();
        let from_file = Unfinished::new(&arrival).finish_file(&path).unwrap();
        assert_eq!(from_file, SIGNED.prints());
    }
}
