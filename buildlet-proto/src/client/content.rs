use std::pin::Pin;
use std::task::{Context, Poll};
use std::{fmt, io};

use bytes::Bytes;
use tokio::io::{AsyncRead, ReadBuf};

use crate::types::ext::ArchiveFormat;

/// Bytes to send, or that come: in memory, or from a reader that is read as the other side takes them.
pub struct Content {
    source: Source,
    /// Known in advance.
    len: Option<u64>,
}

pub(super) enum Source {
    Bytes(Bytes),
    Reader(Box<dyn AsyncRead + Send + Unpin>),
}

impl Content {
    /// What `reader` gives, of unknown length. At most 64 KiB of it are in memory.
    #[must_use]
    pub fn from_reader(reader: impl AsyncRead + Send + Unpin + 'static) -> Self {
        Self {
            source: Source::Reader(Box::new(reader)),
            len: None,
        }
    }

    /// What `reader` gives, which is exactly `len` bytes. If it gives fewer, the call fails; more are not sent.
    #[must_use]
    pub fn from_sized_reader(reader: impl AsyncRead + Send + Unpin + 'static, len: u64) -> Self {
        use tokio::io::AsyncReadExt as _;
        Self {
            source: Source::Reader(Box::new(reader.take(len))),
            len: Some(len),
        }
    }

    /// The length, if it is known in advance.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "most contents do not know")]
    pub fn len(&self) -> Option<u64> {
        self.len
    }

    pub(super) fn into_source(self) -> Source {
        self.source
    }
}

impl<T: Into<Bytes>> From<T> for Content {
    fn from(bytes: T) -> Self {
        let bytes = bytes.into();
        Self {
            len: Some(bytes.len() as u64),
            source: Source::Bytes(bytes),
        }
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Content")
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

impl AsyncRead for Content {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.source {
            Source::Bytes(bytes) => {
                let now = bytes.split_to(bytes.len().min(buf.remaining()));
                buf.put_slice(&now);
                Poll::Ready(Ok(()))
            }
            Source::Reader(reader) => Pin::new(reader).poll_read(cx, buf),
        }
    }
}

/// A directory tree, packed.
#[derive(Debug)]
pub struct Archive {
    format: ArchiveFormat,
    content: Content,
}

impl Archive {
    /// A `.tar.gz`, which every buildlet takes.
    #[must_use]
    pub fn tar_gz(content: impl Into<Content>) -> Self {
        Self::new(ArchiveFormat::TarGz, content)
    }

    /// A plain tar, for buildlets that offer [`Extension::Tar`](crate::types::ext::Extension::Tar).
    #[must_use]
    pub fn tar(content: impl Into<Content>) -> Self {
        Self::new(ArchiveFormat::Tar, content)
    }

    pub(super) fn new(format: ArchiveFormat, content: impl Into<Content>) -> Self {
        Self {
            format,
            content: content.into(),
        }
    }

    /// How it is packed.
    #[must_use]
    pub fn format(&self) -> ArchiveFormat {
        self.format
    }

    /// The packed bytes. A reader of a buildlet's reply fails with an error if the reply ends in the middle.
    #[must_use]
    pub fn into_content(self) -> Content {
        self.content
    }
}

impl AsyncRead for Archive {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.content).poll_read(cx, buf)
    }
}
