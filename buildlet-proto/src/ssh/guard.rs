use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// How long a write may make no progress: TCP itself would wait for a quarter of an hour.
const WRITE_LIMIT: Duration = Duration::from_secs(60);

/// A connection that can be taken away from russh.
///
/// russh runs a connection in a task of its own making, which nothing stops but the connection's end. So that is what happens when
/// the token is cancelled: whatever is read or written then fails. A write that gets nowhere fails too.
///
/// Both halves of it must be polled by one task, as russh does, for a cancellation wakes the last who polled.
pub(crate) struct Guard<IO> {
    io: IO,
    cancelled: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Runs while a write waits.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<IO> Guard<IO> {
    pub(crate) fn new(io: IO, token: CancellationToken) -> Self {
        Self {
            io,
            cancelled: Box::pin(token.cancelled_owned()),
            stalled: None,
        }
    }

    fn poll_allowed(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.cancelled.as_mut().poll(cx) {
            Poll::Ready(()) => Err(io::ErrorKind::ConnectionAborted.into()),
            Poll::Pending => Ok(()),
        }
    }

    /// Bounds how often in a row the answer to a write is "not yet".
    fn poll_progress<T>(
        &mut self,
        cx: &mut Context<'_>,
        result: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.stalled = None;
            return result;
        }
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(sleep(WRITE_LIMIT)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the peer takes nothing",
        )))
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Guard<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll_allowed(cx)?;
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Guard<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_allowed(cx)?;
        let result = Pin::new(&mut self.io).poll_write(cx, buf);
        self.poll_progress(cx, result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_allowed(cx)?;
        let result = Pin::new(&mut self.io).poll_flush(cx);
        self.poll_progress(cx, result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_allowed(cx)?;
        let result = Pin::new(&mut self.io).poll_shutdown(cx);
        self.poll_progress(cx, result)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::time::Instant;

    use super::*;

    #[tokio::test]
    async fn a_cancelled_connection_wakes_who_reads_it() {
        let (ours, _theirs) = tokio::io::duplex(16);
        let token = CancellationToken::new();
        let mut guard = Guard::new(ours, token.clone());
        let reading = tokio::spawn(async move { guard.read_u8().await });
        tokio::task::yield_now().await;
        token.cancel();
        assert_eq!(
            reading.await.unwrap().unwrap_err().kind(),
            io::ErrorKind::ConnectionAborted
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_is_given_up() {
        let (ours, _theirs) = tokio::io::duplex(16);
        let mut guard = Guard::new(ours, CancellationToken::new());
        let began = Instant::now();
        assert_eq!(
            guard.write_all(&[0; 32]).await.unwrap_err().kind(),
            io::ErrorKind::TimedOut
        );
        assert_eq!(began.elapsed(), WRITE_LIMIT);
    }
}
