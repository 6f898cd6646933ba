//! A byte stream that measures how long the peer takes to answer.
//!
//! The MTA's last write before a verdict ends the body, and the last read brings the verdict: the
//! time between the two is what a sender waits for the filter.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// The stream.
#[derive(Debug)]
pub(super) struct Stopwatch<S> {
    inner: S,
    written: Instant,
    reading: Reading,
}

/// What the stopwatch shows.
#[derive(Debug, Clone, Default)]
pub(super) struct Reading(Arc<AtomicU64>);

impl Reading {
    /// From the last write before the last read to that read.
    pub(super) fn last(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }
}

impl<S> Stopwatch<S> {
    pub(super) fn around(inner: S) -> (Self, Reading) {
        let reading = Reading::default();
        let stopwatch = Self {
            inner,
            written: Instant::now(),
            reading: reading.clone(),
        };
        (stopwatch, reading)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stopwatch<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let done = ready!(Pin::new(&mut self.inner).poll_read(context, buffer));
        let micros = self.written.elapsed().as_micros();
        let micros = u64::try_from(micros).unwrap_or(u64::MAX);
        self.reading.0.store(micros, Ordering::Relaxed);
        Poll::Ready(done)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stopwatch<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let done = ready!(Pin::new(&mut self.inner).poll_write(context, bytes));
        self.written = Instant::now();
        Poll::Ready(done)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn measures_from_the_last_write_to_the_last_read() {
        let (ours, mut peer) = tokio::io::duplex(64);
        let (mut ours, reading) = Stopwatch::around(ours);
        ours.write_all(b"body").await.unwrap();
        tokio::time::advance(Duration::from_secs(1)).await;
        ours.write_all(b"end").await.unwrap();
        tokio::time::advance(Duration::from_millis(20)).await;
        peer.write_all(b"progress").await.unwrap();
        ours.read_exact(&mut [0; 8]).await.unwrap();
        tokio::time::advance(Duration::from_millis(30)).await;
        peer.write_all(b"yes").await.unwrap();
        ours.read_exact(&mut [0; 3]).await.unwrap();
        tokio::time::advance(Duration::from_secs(1)).await;
        ours.write_all(b"abort").await.unwrap();
        assert_eq!(reading.last(), Duration::from_millis(50));
    }
}
