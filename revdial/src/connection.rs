use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::rewind::{Rewind, forward_writes};

/// One byte stream between worker and coordinator: what [`Dialer::dial`](crate::Dialer::dial) and
/// [`Listener::accept`](crate::Listener::accept) give.
///
/// It is the connection that the worker made, TCP or TLS, after the hand-shake. Nothing is multiplexed, so flow control and
/// speed are the transport's. The worker must not send before the coordinator has: a Go coordinator takes it for an error.
pub struct Connection {
    io: Rewind<Box<dyn Transport>>,
}

/// What a connection runs over.
trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}

impl<IO: AsyncRead + AsyncWrite + Send + Unpin> Transport for IO {}

impl Connection {
    /// Wraps a stream.
    pub fn new(io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        Self::with_front(io, Bytes::new())
    }

    /// Wraps a stream of which `front` has been read already.
    pub(crate) fn with_front(
        io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        front: Bytes,
    ) -> Self {
        Self {
            io: Rewind::new(Box::new(io), front),
        }
    }

    /// Puts bytes back that were read.
    pub(crate) fn put_back(&mut self, front: Bytes) {
        debug_assert!(self.io.front().is_empty(), "bytes were put back twice");
        self.io.set_front(front);
    }

    /// Whether the peer has ended an idle connection, as far as this machine knows by now. Never waits.
    pub(crate) fn has_ended(&mut self) -> bool {
        if !self.io.front().is_empty() {
            return false;
        }
        let mut byte = [0];
        let mut buf = ReadBuf::new(&mut byte);
        let mut cx = Context::from_waker(Waker::noop());
        match Pin::new(self.io.get_mut()).poll_read(&mut cx, &mut buf) {
            Poll::Pending => false,
            Poll::Ready(Ok(())) if !buf.filled().is_empty() => {
                let front = Bytes::copy_from_slice(buf.filled());
                self.io.set_front(front);
                false
            }
            Poll::Ready(_) => true,
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    forward_writes!(io);
}
