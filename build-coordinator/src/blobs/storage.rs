use std::fmt;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};

use async_trait::async_trait;
use tokio::io::{AsyncRead, ReadBuf};

use super::{BlobError, BlobName};

/// A place for blobs.
#[async_trait]
pub trait Blobs: fmt::Debug + Send + Sync {
    /// Stores what `source` gives, to its end, as `name`; how many bytes that were. A blob of that name is replaced, in one
    /// step: a reader sees one or the other, whole. When it returns, it survives a crash.
    ///
    /// # Cancel safety
    ///
    /// A call that is dropped stores nothing, or everything that `source` had.
    ///
    /// # Errors
    ///
    /// [`BlobError::TooLarge`] for more than `limit` bytes, [`BlobError::Source`], [`BlobError::Storage`]; then nothing was
    /// stored.
    async fn put(
        &self,
        name: &BlobName,
        source: &mut (dyn AsyncRead + Send + Unpin),
        limit: u64,
    ) -> Result<u64, BlobError>;

    /// Reads a blob, or those bytes of `range` that it has.
    ///
    /// # Errors
    ///
    /// [`BlobError::NotFound`], [`BlobError::Storage`].
    async fn get(&self, name: &BlobName, range: Range<u64>) -> Result<BlobReader, BlobError>;

    /// Removes a blob, if it is there.
    ///
    /// # Errors
    ///
    /// [`BlobError::Storage`].
    async fn remove(&self, name: &BlobName) -> Result<(), BlobError>;
}

/// A part of a blob, as a stream of bytes.
pub struct BlobReader {
    total: u64,
    range: Range<u64>,
    stream: Pin<Box<dyn AsyncRead + Send>>,
}

impl BlobReader {
    /// The bytes `range` of a blob that has `total`; `stream` gives exactly those.
    #[must_use]
    pub fn new(total: u64, range: Range<u64>, stream: Pin<Box<dyn AsyncRead + Send>>) -> Self {
        Self {
            total,
            range,
            stream,
        }
    }

    /// Size of the whole blob.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Which bytes of it this gives.
    #[must_use]
    pub fn range(&self) -> Range<u64> {
        self.range.clone()
    }
}

impl AsyncRead for BlobReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_read(cx, buf)
    }
}

impl fmt::Debug for BlobReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobReader")
            .field("total", &self.total)
            .field("range", &self.range)
            .finish_non_exhaustive()
    }
}
