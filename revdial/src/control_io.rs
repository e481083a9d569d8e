use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::time::{Instant, timeout};

/// How long a peer may take to see the end of a connection that is closed in good order.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(1);

/// A control connection that writes what is queued and reads at the same time, so that a peer who does not read is noticed, and
/// one who speaks is heard meanwhile.
pub(crate) struct ControlIo<IO> {
    io: IO,
    unsent: BytesMut,
    unflushed: bool,
    write_limit: Option<Duration>,
    /// When what is queued must have been written.
    due: Option<Instant>,
}

/// What a [`ControlIo`] did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Read so many bytes; none at the end of the connection.
    Read(usize),
    /// Everything queued was written and flushed.
    Written,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> ControlIo<IO> {
    pub(crate) fn new(io: IO, write_limit: Option<Duration>) -> Self {
        Self {
            io,
            unsent: BytesMut::new(),
            unflushed: false,
            write_limit,
            due: None,
        }
    }

    /// Whether more may be queued: lines wait in the core while others are being written.
    pub(crate) fn has_room(&self) -> bool {
        self.unsent.is_empty() && !self.unflushed
    }

    /// Queues lines, and begins the time in which they must be written.
    pub(crate) fn queue(&mut self, mut next: impl FnMut() -> Option<bytes::Bytes>) {
        while self.unsent.len() < crate::proto::MAX_LINE_BYTES
            && let Some(line) = next()
        {
            self.unsent.extend_from_slice(&line);
            self.unflushed = true;
        }
        if self.unflushed {
            self.due = self.write_limit.map(|limit| Instant::now() + limit);
        }
    }

    /// When the peer has taken too long to accept what was queued.
    pub(crate) fn write_due(&self) -> Option<Instant> {
        self.due
    }

    /// Writes and reads until either has come to something. Cancel safe.
    pub(crate) async fn turn(&mut self, buf: &mut [u8]) -> io::Result<Turn> {
        poll_fn(|cx| {
            if let Poll::Ready(written) = self.poll_write(cx) {
                return Poll::Ready(written.map(|()| Turn::Written));
            }
            let mut buf = ReadBuf::new(buf);
            let read = Pin::new(&mut self.io).poll_read(cx, &mut buf);
            read.map_ok(|()| Turn::Read(buf.filled().len()))
        })
        .await
    }

    /// Closes in good order, as far as the peer lets it within a second.
    pub(crate) async fn shutdown(mut self) {
        // A peer that is gone cannot be told, which is no loss.
        let _ = timeout(SHUTDOWN_LIMIT, self.io.shutdown()).await;
    }

    /// Ready once something that was queued is all written; pending while nothing is queued.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.unsent.is_empty() {
            match Pin::new(&mut self.io).poll_write(cx, &self.unsent)? {
                Poll::Ready(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(len) => self.unsent.advance(len),
                Poll::Pending => return Poll::Pending,
            }
        }
        if !self.unflushed || Pin::new(&mut self.io).poll_flush(cx)?.is_pending() {
            return Poll::Pending;
        }
        // Thousands of these are idle at a time: no buffer is kept for the next line.
        self.unsent = BytesMut::new();
        self.unflushed = false;
        self.due = None;
        Poll::Ready(Ok(()))
    }
}
