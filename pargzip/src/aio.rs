//! The same writer and reader for tokio's traits. Compression runs on the threads of the pool, so that a task
//! is never held up by it, and needs no runtime of any kind.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};

use crate::buffer::Buffer;
use crate::compress::{Compressor, Wait};
use crate::config::{Config, ConfigError, ReaderConfig};
use crate::decompress::{Decompressor, Next};
use crate::error::StickyError;
use crate::format::Header;

/// [`Writer`](crate::Writer) over an [`AsyncWrite`] sink.
///
/// `poll_shutdown` (`AsyncWriteExt::shutdown`) ends the gzip file and shuts the sink down; without it the file
/// is cut short. Dropping the writer waits for nothing: threads end after the chunks that they are compressing.
///
/// # Cancel safety
///
/// What `poll_write` took is kept. So `AsyncWriteExt::write` loses nothing when it is dropped, while a dropped
/// `write_all` may have written some of its bytes, as with any writer.
pub struct AsyncWriter<W> {
    sink: W,
    core: Compressor,
    /// The block that is being written to the sink.
    block: Option<Buffer>,
    failed: Option<StickyError>,
}

impl<W: AsyncWrite + Unpin> AsyncWriter<W> {
    /// Begins a gzip file in `sink`. Nothing is written yet, and no thread started.
    ///
    /// # Errors
    ///
    /// The configuration cannot be; its error says what can.
    pub fn new(sink: W, config: Config) -> Result<Self, ConfigError> {
        Ok(Self {
            sink,
            core: Compressor::new(config)?,
            block: None,
            failed: None,
        })
    }

    /// The sink.
    pub fn get_ref(&self) -> &W {
        &self.sink
    }

    /// Writes the oldest chunk to the sink; whether there was one.
    fn poll_block(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        if self.block.is_none() {
            self.block = ready!(self.core.next_block(Wait::Task(cx)))?;
        }
        let Some(block) = &mut self.block else {
            return Poll::Ready(Ok(false));
        };
        while !block.is_empty() {
            let written = ready!(Pin::new(&mut self.sink).poll_write(cx, block.filled()))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            block.consume(written);
        }
        if let Some(block) = self.block.take() {
            self.core.recycle(block);
        }
        Poll::Ready(Ok(true))
    }

    fn poll_blocks(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while ready!(self.poll_block(cx))? {}
        Poll::Ready(Ok(()))
    }

    fn poll_write_inner(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            let chunks = self.core.chunks();
            let written = self.core.write(bytes)?;
            if written > 0 || bytes.is_empty() {
                if self.core.chunks() != chunks {
                    // What is ready goes out now; what is not is waited for when there is no room left.
                    if let Poll::Ready(Err(error)) = self.poll_blocks(cx) {
                        return Poll::Ready(Err(error));
                    }
                }
                return Poll::Ready(Ok(written));
            }
            ready!(self.poll_block(cx))?;
        }
    }

    fn poll_flush_inner(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_blocks(cx))?;
        Pin::new(&mut self.sink).poll_flush(cx)
    }

    fn poll_shutdown_inner(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.core.seal(false)?;
        ready!(self.poll_blocks(cx))?;
        Pin::new(&mut self.sink).poll_shutdown(cx)
    }

    /// Runs `poll` unless an earlier one failed, and remembers its error.
    fn poll_checked<T>(
        &mut self,
        poll: impl FnOnce(&mut Self) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if let Some(failed) = &self.failed {
            return Poll::Ready(Err(failed.again()));
        }
        poll(self).map_err(|error| {
            self.failed
                .insert(StickyError::new("cannot write compressed data", error))
                .again()
        })
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for AsyncWriter<W> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut()
            .poll_checked(|this| this.poll_write_inner(cx, bytes))
    }

    /// As [`Writer::flush`](crate::Writer#method.flush): complete chunks, not the one being filled.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut()
            .poll_checked(|this| this.poll_flush_inner(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut()
            .poll_checked(|this| this.poll_shutdown_inner(cx))
    }
}

impl<W> Drop for AsyncWriter<W> {
    fn drop(&mut self) {
        self.core.detach();
    }
}

impl<W> fmt::Debug for AsyncWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncWriter")
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

/// [`Reader`](crate::Reader) over an [`AsyncRead`] source.
///
/// It delivers what is decompressed whenever the source has nothing to give, so it fits slow sources too.
///
/// # Cancel safety
///
/// Dropping a pending read loses nothing.
pub struct AsyncReader<R> {
    source: R,
    core: Decompressor,
    block: Buffer,
    ended: bool,
}

impl<R: AsyncRead + Unpin> AsyncReader<R> {
    /// Reads `source` with the default configuration.
    pub fn new(source: R) -> Self {
        Self::with_valid_config(source, &ReaderConfig::default())
    }

    /// Reads `source`. Nothing is read yet, and no thread started.
    ///
    /// # Errors
    ///
    /// The configuration cannot be; its error says what can.
    pub fn with_config(source: R, config: ReaderConfig) -> Result<Self, ConfigError> {
        Ok(Self::with_valid_config(source, &config.validate()?))
    }

    fn with_valid_config(source: R, config: &ReaderConfig) -> Self {
        Self {
            source,
            core: Decompressor::new(config),
            block: Buffer::default(),
            ended: false,
        }
    }

    /// The source, from which some bytes were read ahead.
    pub fn get_ref(&self) -> &R {
        &self.source
    }

    /// The header of the first member, once some byte was read.
    pub fn header(&self) -> Option<&Header> {
        self.core.header()
    }

    fn poll_block(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let old = std::mem::take(&mut self.block);
        self.core.recycle(old);
        while !self.ended {
            let mut source_waits = false;
            while self.core.wants_input() {
                let mut space = ReadBuf::new(self.core.spare());
                match Pin::new(&mut self.source).poll_read(cx, &mut space) {
                    Poll::Pending => {
                        source_waits = true;
                        break;
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Ready(Ok(())) => match space.filled().len() {
                        0 => self.core.end_input()?,
                        len => self.core.filled(len)?,
                    },
                }
            }
            match ready!(self.core.next(Wait::Task(cx)))? {
                Next::Block(block) => {
                    self.block = block;
                    return Poll::Ready(Ok(()));
                }
                Next::End => self.ended = true,
                Next::NeedsInput if source_waits => return Poll::Pending,
                Next::NeedsInput => {}
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<R: AsyncRead + Unpin> AsyncBufRead for AsyncReader<R> {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        if this.block.is_empty() {
            ready!(this.poll_block(cx))?;
        }
        Poll::Ready(Ok(this.block.filled()))
    }

    fn consume(self: Pin<&mut Self>, len: usize) {
        self.get_mut().block.consume(len);
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for AsyncReader<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let available = ready!(self.as_mut().poll_fill_buf(cx))?;
        let len = available.len().min(buf.remaining());
        buf.put_slice(&available[..len]);
        self.consume(len);
        Poll::Ready(Ok(()))
    }
}

impl<R> Drop for AsyncReader<R> {
    fn drop(&mut self) {
        self.core.detach();
    }
}

impl<R> fmt::Debug for AsyncReader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncReader")
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}
