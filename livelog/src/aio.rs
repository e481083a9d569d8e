//! Following a log from a task.

use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::runtime::Handle;
use tokio::task::{JoinHandle, coop};

use crate::reader::{Found, Reader};
use crate::shared::Load;
use crate::spill::ReadError;

/// A part of the spill file that is being read where that blocks nobody.
#[derive(Debug)]
pub(crate) struct LoadTask {
    offset: u64,
    bytes: JoinHandle<Result<Bytes, ReadError>>,
}

impl Reader {
    /// Waits for bytes and returns a piece of at most 64 KiB, shared with the log; `None` at the end.
    ///
    /// # Errors
    ///
    /// If the log [spills](crate::Spill) and its file cannot be read.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a future that is dropped before it is ready has taken nothing.
    pub async fn next_chunk(&mut self) -> Result<Option<Bytes>, ReadError> {
        poll_fn(|cx| self.poll_chunk(cx)).await
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, ReadError>> {
        let budget = ready!(coop::poll_proceed(cx));
        let found = ready!(self.poll_find(cx))?;
        budget.made_progress();
        Poll::Ready(Ok(self.take(found)))
    }

    /// Ready with anything but [`Found::Load`] and [`Found::Wait`].
    fn poll_find(&mut self, cx: &mut Context<'_>) -> Poll<Result<Found, ReadError>> {
        loop {
            if let Some(load) = &mut self.load {
                let loaded = ready!(Pin::new(&mut load.bytes).poll(cx));
                let offset = load.offset;
                self.load = None;
                // Unless a blocking read came in between.
                if offset == self.offset() {
                    let loaded = loaded.unwrap_or_else(|error| {
                        let source = io::Error::other(error);
                        Err(ReadError::Spill { offset, source })
                    });
                    self.hold_loaded(loaded?);
                }
            }
            match self.find(Some(cx.waker())) {
                Found::Load(load) => self.start_loading(load)?,
                Found::Wait => return Poll::Pending,
                found => return Poll::Ready(Ok(found)),
            }
        }
    }

    fn start_loading(&mut self, load: Load) -> Result<(), ReadError> {
        if let Ok(runtime) = Handle::try_current() {
            self.load = Some(LoadTask {
                offset: load.offset,
                bytes: runtime.spawn_blocking(move || load.read()),
            });
        } else {
            // Another executor polls: it has no place for blocking work that we know of.
            let loaded = load.read()?;
            self.hold_loaded(loaded);
        }
        Ok(())
    }
}

/// As [`Read`](io::Read), but the task waits instead of the thread.
///
/// Spilled bytes are read on the blocking threads of the tokio runtime. Outside of one they are read at once, which
/// blocks the executor for the time of a file read of at most 64 KiB.
///
/// Cancel safe: whoever stops polling has lost nothing.
impl AsyncRead for Reader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        dst: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if dst.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let budget = ready!(coop::poll_proceed(cx));
        let mut found = ready!(self.poll_find(cx))?;
        budget.made_progress();
        loop {
            let n = self.copy(&found, dst.initialize_unfilled());
            dst.advance(n);
            if n == 0 || dst.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            found = self.find(None);
        }
    }
}

/// Pieces of at most 64 KiB, shared with the log.
///
/// The stream ends when the log does. It also ends if the log [spills](crate::Spill) and its file cannot be read:
/// [`next_chunk`](Reader::next_chunk) then tries again and returns the error. Cancel safe.
impl Stream for Reader {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.poll_chunk(cx).map(Result::unwrap_or_default)
    }
}
