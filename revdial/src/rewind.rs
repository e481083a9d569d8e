use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream with bytes put back in front: it reads them first, then the rest.
///
/// So a server can look at the beginning of a connection and still give all of it to somebody else, such as hyper.
#[derive(Debug)]
pub struct Rewind<IO> {
    front: Bytes,
    io: IO,
}

impl<IO> Rewind<IO> {
    /// Puts `front` before what `io` has to read.
    ///
    /// The bytes are held until they are read; give a copy if they are a small part of a large buffer.
    pub fn new(io: IO, front: Bytes) -> Self {
        Self { front, io }
    }

    /// The bytes not yet read again, and the stream behind them.
    pub fn into_parts(self) -> (Bytes, IO) {
        (self.front, self.io)
    }

    /// The stream behind the bytes.
    pub fn get_ref(&self) -> &IO {
        &self.io
    }

    pub(crate) fn front(&self) -> &Bytes {
        &self.front
    }

    pub(crate) fn set_front(&mut self, front: Bytes) {
        self.front = front;
    }

    pub(crate) fn get_mut(&mut self) -> &mut IO {
        &mut self.io
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Rewind<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.front.is_empty() || buf.remaining() == 0 {
            return Pin::new(&mut self.io).poll_read(cx, buf);
        }
        let len = self.front.len().min(buf.remaining());
        buf.put_slice(&self.front[..len]);
        self.front.advance(len);
        if self.front.is_empty() {
            // An empty slice would keep its buffer alive.
            self.front = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Rewind<IO> {
    forward_writes!(io);
}

/// The methods of `AsyncWrite`, by those of a field.
macro_rules! forward_writes {
    ($field:ident) => {
        fn poll_write(
            mut self: std::pin::Pin<&mut Self>,
            cx: &mut std::task::Context<'_>,
            buf: &[u8],
        ) -> std::task::Poll<std::io::Result<usize>> {
            std::pin::Pin::new(&mut self.$field).poll_write(cx, buf)
        }

        fn poll_flush(
            mut self: std::pin::Pin<&mut Self>,
            cx: &mut std::task::Context<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            std::pin::Pin::new(&mut self.$field).poll_flush(cx)
        }

        fn poll_shutdown(
            mut self: std::pin::Pin<&mut Self>,
            cx: &mut std::task::Context<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            std::pin::Pin::new(&mut self.$field).poll_shutdown(cx)
        }

        fn poll_write_vectored(
            mut self: std::pin::Pin<&mut Self>,
            cx: &mut std::task::Context<'_>,
            bufs: &[std::io::IoSlice<'_>],
        ) -> std::task::Poll<std::io::Result<usize>> {
            std::pin::Pin::new(&mut self.$field).poll_write_vectored(cx, bufs)
        }

        fn is_write_vectored(&self) -> bool {
            self.$field.is_write_vectored()
        }
    };
}
pub(crate) use forward_writes;
