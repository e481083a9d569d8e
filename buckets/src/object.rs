use std::fmt;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::SystemTime;

use object_store::UpdateVersion;
use tokio::io::{AsyncRead, ReadBuf};

/// An object as a list has it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listed {
    /// Without the bucket's prefix.
    pub name: String,
    /// In bytes.
    pub size: u64,
    /// When it was stored.
    pub modified: SystemTime,
}

/// Which one of the objects that had a name, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version(pub(crate) UpdateVersion);

impl Version {
    pub(crate) fn new(e_tag: Option<String>, version: Option<String>) -> Self {
        Self(UpdateVersion { e_tag, version })
    }
}

/// A part of an object, as a stream of bytes.
pub struct Object {
    total: u64,
    range: Range<u64>,
    stream: Pin<Box<dyn AsyncRead + Send>>,
}

impl Object {
    pub(crate) fn new(
        total: u64,
        range: Range<u64>,
        stream: impl AsyncRead + Send + 'static,
    ) -> Self {
        Self {
            total,
            range,
            stream: Box::pin(stream),
        }
    }

    /// Size of the whole object.
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

impl AsyncRead for Object {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_read(cx, buf)
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Object")
            .field("total", &self.total)
            .field("range", &self.range)
            .finish_non_exhaustive()
    }
}
