//! The submitter: takes due messages from the engine and hands them to the MTA, several at once.
//! A stalled MTA holds up these tasks and nothing else.

use std::future::Future;
use std::io::Cursor;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::id::MessageId;
use crate::outbound::message::{Outbound, Outcome};
use crate::outbound::settings::Settings;
use crate::outbound::submit::{Body, NotMarked, submit};

/// Most submissions at once, whatever is configured: each is a process of Postfix's, which has 100
/// (`default_process_limit`) for everybody.
pub const AT_ONCE_MAX: usize = 50;

/// How long submissions under way may take when the program stops. After that they are cut off,
/// which is safe at every point: what was marked as handed over comes back as unconfirmed.
pub const STOP_WAIT: Duration = Duration::from_secs(10);

/// One message to be submitted now.
pub struct Job {
    /// The record, with the attempt that now begins counted.
    pub outbound: Outbound,
    /// The bytes of the message.
    pub body: Body,
}

impl Job {
    /// A job whose message is in memory.
    #[must_use]
    pub fn new(outbound: Outbound, bytes: Bytes) -> Self {
        Self {
            outbound,
            body: Box::new(Cursor::new(bytes)),
        }
    }
}

/// Where jobs come from and results go to: the engine, or a test.
pub trait Spooler: Send + Sync + 'static {
    /// Waits for the next message that is due; `None` when there will be no more. The future may be
    /// dropped while it waits, and must not lose a job then.
    fn next(&self) -> impl Future<Output = Option<Job>> + Send;

    /// The final dot of a message is about to be sent; returns when that is durable.
    fn handed_over(&self, id: MessageId) -> impl Future<Output = Result<(), NotMarked>> + Send;

    /// An attempt has ended.
    fn finished(&self, id: MessageId, outcome: Outcome) -> impl Future<Output = ()> + Send;
}

/// Submits what `spooler` gives, until `stop` is cancelled or nothing more comes.
pub async fn run<S: Spooler>(spooler: Arc<S>, settings: Arc<Settings>, stop: CancellationToken) {
    let mut workers = JoinSet::new();
    for _ in 0..settings.at_once.clamp(1, AT_ONCE_MAX) {
        workers.spawn(work(
            Arc::clone(&spooler),
            Arc::clone(&settings),
            stop.clone(),
        ));
    }
    let all = async {
        while let Some(ended) = workers.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a submitter ended, which is a bug");
            }
        }
    };
    tokio::pin!(all);
    tokio::select! {
        () = &mut all => return,
        () = stop.cancelled() => {}
    }
    if timeout(STOP_WAIT, all).await.is_err() {
        tracing::warn!("stopped while the MTA had not answered; the next start will sort it out");
    }
}

/// One submission after the other.
async fn work<S: Spooler>(spooler: Arc<S>, settings: Arc<Settings>, stop: CancellationToken) {
    loop {
        let job = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            job = spooler.next() => job,
        };
        let Some(Job { outbound, body }) = job else {
            return;
        };
        let id = outbound.id;
        let outcome = submit(&settings, &outbound, body, || spooler.handed_over(id)).await;
        match &outcome {
            Outcome::Accepted {
                queue_id, refused, ..
            } => tracing::info!(
                message_id = %id,
                mta_queue_id = queue_id.as_deref(),
                refused = refused.len(),
                "the MTA took a message"
            ),
            Outcome::Temporary(diagnostic) => {
                tracing::info!(message_id = %id, %diagnostic, "the MTA did not take a message yet");
            }
            Outcome::Permanent { diagnostic, .. } => {
                tracing::warn!(message_id = %id, %diagnostic, "the MTA refused a message");
            }
            Outcome::Lost(diagnostic) => {
                tracing::warn!(message_id = %id, %diagnostic, "the MTA's answer was lost");
            }
        }
        spooler.finished(id, outcome).await;
    }
}

#[cfg(test)]
mod tests;
