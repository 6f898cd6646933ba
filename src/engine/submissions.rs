//! Submissions: outbound messages whose turn it is, from the engine to the submitter and back.

use std::io::{Cursor, Read};
use std::sync::Arc;

use bytes::Bytes;
use tokio::io::AsyncReadExt;
use tokio::sync::{Mutex, mpsc};

use super::EngineError;
use super::group::unreadable;
use super::handle::Handle;
use crate::desk::Command;
use crate::id::MessageId;
use crate::mail::address::Address;
use crate::mail::return_path::{EVERYBODY, ReturnPath};
use crate::outbound::dkim;
use crate::outbound::driver::{Job, Spooler};
use crate::outbound::message::{Diagnostic, Outbound, Outcome};
use crate::outbound::submit::NotMarked;
use crate::store::{BodyId, BodyReader, Store};
use crate::time::Timestamp;

/// How long to wait before the end of a submission is reported again that could not be written.
const FINISH_PAUSE: std::time::Duration = std::time::Duration::from_secs(1);

/// Outbound messages whose turn it is, for the submitter.
#[derive(Debug)]
pub struct Submissions {
    handle: Handle,
    dkim: Arc<dkim::Keys>,
    waiting: Mutex<mpsc::UnboundedReceiver<Outbound>>,
}

impl Submissions {
    pub(super) fn new(
        handle: Handle,
        dkim: Arc<dkim::Keys>,
        waiting: mpsc::UnboundedReceiver<Outbound>,
    ) -> Self {
        Self {
            handle,
            dkim,
            waiting: Mutex::new(waiting),
        }
    }

    /// The envelope sender under which a delivery report proves what it is about. `None` leaves
    /// the record's: for the null sender, and where the operator wants plain addresses.
    fn return_path(&self, outbound: &Outbound) -> Option<String> {
        if !self.handle.signs_addresses() {
            return None;
        }
        let mailbox = Address::parse(&outbound.mail_from).ok()?;
        let path = ReturnPath {
            message: outbound.id,
            recipient: match outbound.recipients.len() {
                1 => 0,
                _ => EVERYBODY,
            },
        };
        // A mailbox whose name leaves no room for a token is told by `postroom check`.
        let path = path.mint(&self.handle.keyring(), &mailbox).ok()?;
        Some(path.to_string())
    }
}

impl Spooler for Submissions {
    async fn next(&self) -> Option<Job> {
        loop {
            let mut outbound = self.waiting.lock().await.recv().await?;
            let id = outbound.id;
            if let Some(path) = self.return_path(&outbound) {
                outbound.mail_from = path;
            }
            let (dkim, created) = (Arc::clone(&self.dkim), outbound.created);
            let body = self
                .handle
                .read(move |store| signed(store, id, &dkim, created))
                .await;
            let outcome = match body {
                Ok(Some((signatures, body))) => {
                    outbound.size_bytes += signatures.len() as u64;
                    let body = Box::new(AsyncReadExt::chain(Cursor::new(signatures), stream(body)));
                    return Some(Job { outbound, body });
                }
                Ok(None) => Outcome::Permanent {
                    diagnostic: Diagnostic::ours("its bytes are not in the store"),
                    refused: Vec::new(),
                },
                Err(error) => Outcome::Temporary(Diagnostic::ours(&error.to_string())),
            };
            self.finished(id, outcome).await;
        }
    }

    async fn handed_over(&self, id: MessageId) -> Result<(), NotMarked> {
        let marked = self
            .handle
            .command(Command::HandOver { message: id }, None)
            .await;
        match marked {
            Ok(_) => Ok(()),
            Err(error) => {
                tracing::warn!(message_id = %id, %error, "a message was held back");
                Err(NotMarked)
            }
        }
    }

    async fn finished(&self, id: MessageId, outcome: Outcome) {
        // What the MTA said is said once: it is held until it can be written.
        loop {
            let finish = Command::FinishSubmission {
                message: id,
                outcome: outcome.clone(),
                sent_for: None,
            };
            match self.handle.command(finish, None).await {
                Ok(_) => return,
                Err(error @ (EngineError::Unavailable(_) | EngineError::Overloaded)) => {
                    tracing::warn!(message_id = %id, %error, "the end of a submission waits");
                    tokio::time::sleep(FINISH_PAUSE).await;
                }
                Err(error) => {
                    tracing::warn!(message_id = %id, %error, "the end of a submission was not stored");
                    return;
                }
            }
        }
    }
}

/// A message and the signatures that go before it. They are made of the time at which it was
/// written, so each attempt sends the same bytes.
fn signed(
    store: &dyn Store,
    id: MessageId,
    keys: &dkim::Keys,
    created: Timestamp,
) -> Result<Option<(Vec<u8>, BodyReader)>, EngineError> {
    let open = || {
        store
            .body_reader(BodyId::from_bytes(id.to_bytes()))
            .map_err(unreadable)
    };
    let signatures = match open()? {
        Some(mut body) if !keys.is_empty() => keys
            .sign(&mut body, created)
            .map_err(|error| EngineError::Unavailable(error.to_string()))?,
        _ => Vec::new(),
    };
    Ok(open()?.map(|body| (signatures, body)))
}

/// How much of a body is read at a time, in bytes.
const PIECE: usize = 64 << 10;

/// A body of the store for readers on the runtime: the disk is read on the blocking pool, at most
/// a few pieces ahead.
fn stream(mut body: BodyReader) -> impl tokio::io::AsyncRead + Send + Unpin {
    let (pieces, reader) = mpsc::channel::<std::io::Result<Bytes>>(2);
    tokio::task::spawn_blocking(move || {
        loop {
            let mut piece = vec![0; PIECE];
            let piece = body.read(&mut piece).map(|size| {
                piece.truncate(size);
                Bytes::from(piece)
            });
            let last = !matches!(&piece, Ok(piece) if !piece.is_empty());
            // A reader who went away wants no more.
            if pieces.blocking_send(piece).is_err() || last {
                return;
            }
        }
    });
    tokio_util::io::StreamReader::new(tokio_stream::wrappers::ReceiverStream::new(reader))
}
