//! A letter with regard to its signatures.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use mail_auth::AuthenticatedMessage;
use mail_auth::common::crypto::HashAlgorithm;
use mail_auth::dkim::Canonicalization;
use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256};

use crate::mail::canonical::Canonical;
use crate::mail::header::Header;

/// Most signatures that are checked. Mailing lists and relays add one each; RFC 6376, section
/// 6.1, lets verifiers stop somewhere.
const SIGNATURES_MAX: usize = 8;

/// Most members of a chain of forwarders that is checked. RFC 8617 allows fifty, each of which
/// costs us a question and a signature; honest chains have one to three.
const SEALS_MAX: usize = 10;

/// Longest signature field that is looked at, in bytes. Two kilobytes are long; the work grows with
/// the number of names that it lists times the number of fields.
const FIELD_BYTES_MAX: usize = 8 << 10;

/// The fields of which the verifier makes more than a line.
const SIGNING_FIELDS: [&str; 4] = [
    "DKIM-Signature",
    "ARC-Seal",
    "ARC-Message-Signature",
    "ARC-Authentication-Results",
];

/// A letter with regard to its signatures.
pub(super) enum Signed<'a> {
    /// It has none.
    Not,
    /// It may have some that we cannot check.
    Unchecked,
    /// As the verifier reads it.
    Letter {
        /// One copy a signature, so that a slow key holds up nobody else's.
        each: Vec<AuthenticatedMessage<'a>>,
        /// Signatures that nobody can read or that cover a part of the body (`l=`): what was
        /// appended behind that would pass for the signer's.
        unreadable: usize,
        /// The chain of forwarders.
        chain: Sealed<'a>,
    },
}

/// A letter with regard to a chain of forwarders.
pub(super) enum Sealed<'a> {
    /// There is none.
    Not,
    /// There is one, and it is not fit to be checked.
    Unfit,
    /// As the verifier reads it.
    Letter(Box<AuthenticatedMessage<'a>>),
}

impl<'a> Signed<'a> {
    /// Reads the header block in `head`; the body follows there, or in `file` if that is where
    /// the whole letter is.
    ///
    /// The verifier is shown the header block as we cut it, and our digests of the body: where
    /// header and body part is not read twice.
    pub(super) async fn read(head: &'a [u8], file: Option<&Path>) -> Self {
        let fields = Header::parse(head);
        let mut signing = SIGNING_FIELDS.iter();
        if !fields.is_cut() && signing.all(|name| fields.all(name).next().is_none()) {
            return Self::Not;
        }
        let start = fields.body_start();
        let (block, body) = head.split_at_checked(start).unwrap_or((head, &[]));
        let long = |name: &&str| fields.all(name).any(|value| value.len() > FIELD_BYTES_MAX);
        if fields.is_cut() || SIGNING_FIELDS.iter().any(long) {
            return Self::Unchecked;
        }
        let Some(mut letter) = AuthenticatedMessage::parse(block) else {
            return Self::Not;
        };
        let wanted: Vec<Form> = (letter.body_hashes.iter())
            .map(|(canonical, hash, _, _)| Form::new(*canonical, *hash))
            .collect();
        let digests = match file {
            None => Ok(digest(&wanted, body)),
            Some(path) => digest_file(wanted, path.to_owned(), start as u64).await,
        };
        let Ok(digests) = digests else {
            return Self::Unchecked;
        };
        for ((_, _, _, known), digest) in letter.body_hashes.iter_mut().zip(digests) {
            *known = digest;
        }
        Self::split(letter)
    }

    fn split(mut letter: AuthenticatedMessage<'a>) -> Self {
        let unreadable = letter
            .errors
            .iter()
            .filter(|error| error.name.eq_ignore_ascii_case(b"DKIM-Signature"))
            .count();
        let signatures = std::mem::take(&mut letter.dkim_headers);
        let each = signatures
            .into_iter()
            .take(SIGNATURES_MAX)
            .map(|signature| AuthenticatedMessage {
                headers: letter.headers.clone(),
                body_hashes: letter.body_hashes.clone(),
                from: letter.from.clone(),
                dkim_headers: vec![signature],
                ..AuthenticatedMessage::default()
            })
            .collect();
        let seals = letter.ams_headers.len();
        let chain = if seals == 0 && !letter.has_arc_errors {
            Sealed::Not
        } else if seals > SEALS_MAX || letter.has_arc_errors {
            Sealed::Unfit
        } else {
            Sealed::Letter(Box::new(letter))
        };
        Self::Letter {
            each,
            unreadable: unreadable.min(SIGNATURES_MAX),
            chain,
        }
    }
}

/// A canonical form and a digest of it.
#[derive(Clone, Copy)]
struct Form {
    relaxed: bool,
    legacy: bool,
}

impl Form {
    const fn new(canonical: Canonicalization, hash: HashAlgorithm) -> Self {
        Self {
            relaxed: matches!(canonical, Canonicalization::Relaxed),
            legacy: matches!(hash, HashAlgorithm::Sha1),
        }
    }

    fn begin(self) -> (Canonical, Context) {
        let algorithm = if self.legacy {
            &SHA1_FOR_LEGACY_USE_ONLY
        } else {
            &SHA256
        };
        (Canonical::new(self.relaxed), Context::new(algorithm))
    }
}

fn feed(running: &mut [(Canonical, Context)], piece: &[u8]) {
    for (canonical, context) in running {
        canonical.feed(piece, &mut |bytes| context.update(bytes));
    }
}

fn finish(running: Vec<(Canonical, Context)>) -> Vec<Vec<u8>> {
    let running = running.into_iter();
    running
        .map(|(canonical, mut context)| {
            canonical.finish(&mut |bytes| context.update(bytes));
            context.finish().as_ref().to_vec()
        })
        .collect()
}

fn digest(wanted: &[Form], body: &[u8]) -> Vec<Vec<u8>> {
    let mut running: Vec<_> = wanted.iter().map(|form| form.begin()).collect();
    feed(&mut running, body);
    finish(running)
}

/// Where blocking is allowed: a large letter is read back from its file.
async fn digest_file(wanted: Vec<Form>, path: PathBuf, start: u64) -> io::Result<Vec<Vec<u8>>> {
    let read = tokio::task::spawn_blocking(move || {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(start))?;
        let mut running: Vec<_> = wanted.iter().map(|form| form.begin()).collect();
        let mut piece = vec![0; 64 << 10];
        loop {
            match file.read(&mut piece)? {
                0 => return Ok(finish(running)),
                size => feed(&mut running, piece.get(..size).unwrap_or_default()),
            }
        }
    });
    read.await
        .unwrap_or_else(|error| Err(io::Error::other(error)))
}
