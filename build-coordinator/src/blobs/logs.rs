use std::collections::VecDeque;
use std::io::{self, Write as _};
use std::ops::Range;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, ReadBuf};
use tokio::sync::{Semaphore, oneshot};

use super::{BlobError, BlobName, BlobReader, Blobs, TimeMark, times};

/// Text of one gzip member: what is decompressed at most before the first byte that is wanted.
const CHUNK: usize = 256 << 10;

/// Logs of at most so many bytes are compressed in memory, on one thread: most are short, and threads cost more than that.
const SMALL: usize = 64 << 10;

/// Compressed bytes between the compressor and the storage.
const PIPE: usize = 64 << 10;

/// Logs that are compressed at the same time: each takes about a megabyte and a half, and a disk flushes several at once. The
/// others wait; they are in files, so nothing is held up but themselves.
const MAX_STORING: usize = 4;

/// Compressed size of a log: more than a build may print.
const MAX_LOG: u64 = 16 << 30;

/// Indexes that are remembered, of at most this many members each.
const MAX_INDEXES: usize = 64;
const MAX_MEMBERS: usize = 64 << 10; // A log of 16 GiB.

/// A member's header with an index: 10 bytes, the extra field's length, `IG`, its length, and the member's size.
const HEADER: u64 = 20;

/// Logs of attempts, as gzip files that any program reads.
///
/// A log is cut into members of 256 KiB of text, each of which says how long it is compressed (`pargzip::Config::index`), and ends
/// with how long its text is. So the member with any offset is found by looking at a few bytes of those before it, once: the
/// places of the last 64 logs are remembered, at most 1 MiB each.
///
/// When what was written stands in an extra field (`TM`) of a first member that has no text: at most 64 KiB.
#[derive(Clone, Debug)]
pub struct Logs {
    blobs: Arc<dyn Blobs>,
    indexes: Arc<Mutex<Indexes>>,
    storing: Arc<Semaphore>,
}

/// What was found out about logs, the oldest first.
type Indexes = VecDeque<(BlobName, Arc<[Member]>)>;

/// Where a member begins.
#[derive(Clone, Copy, Debug)]
struct Member {
    /// Offset of its text.
    text: u64,
    /// Its offset in the blob.
    blob: u64,
}

/// A part of a log's text, as a stream of bytes. An error while it is read means that the blob was damaged or became
/// unreadable.
#[derive(Debug)]
pub struct LogText {
    text: tokio::io::Take<pargzip::AsyncReader<BlobReader>>,
    /// Bytes to be left out first.
    skip: u64,
}

const FIRST: Member = Member { text: 0, blob: 0 };

impl Logs {
    /// Logs that are kept in `blobs`.
    #[must_use]
    pub fn new(blobs: Arc<dyn Blobs>) -> Self {
        Self {
            blobs,
            indexes: Arc::default(),
            storing: Arc::new(Semaphore::new(MAX_STORING)),
        }
    }

    /// Where they are kept.
    #[must_use]
    pub fn blobs(&self) -> &Arc<dyn Blobs> {
        &self.blobs
    }

    /// Compresses what `log` gives, to its end, and stores it; how many bytes that were before. Memory is bounded by a few
    /// chunks a processor for each of four logs: further calls wait for their turn.
    ///
    /// # Cancel safety
    ///
    /// A call that is dropped stores nothing or everything.
    ///
    /// # Errors
    ///
    /// [`BlobError::Source`] if `log` fails; as [`Blobs::put`].
    pub async fn store(
        &self,
        name: &BlobName,
        log: impl AsyncRead + Send,
    ) -> Result<u64, BlobError> {
        self.store_timed(name, &[], log).await
    }

    /// [`store`](Self::store), with when what was written: marks in order. Of more than some ten thousand, some are left out.
    ///
    /// # Cancel safety
    ///
    /// A call that is dropped stores nothing or everything.
    ///
    /// # Errors
    ///
    /// [`BlobError::Source`] if `log` fails; as [`Blobs::put`].
    pub async fn store_timed(
        &self,
        name: &BlobName,
        marks: &[TimeMark],
        log: impl AsyncRead + Send,
    ) -> Result<u64, BlobError> {
        let mut log = pin!(log);
        // It is never closed.
        let _turn = self.storing.acquire().await;
        let unreadable = |source| BlobError::Source {
            name: name.clone(),
            source,
        };
        let mut text = Vec::new();
        (&mut log)
            .take(SMALL as u64 + 1)
            .read_to_end(&mut text)
            .await
            .map_err(unreadable)?;
        if text.len() <= SMALL {
            let marks = marks.to_vec();
            let (bytes, stored) = (text.len() as u64, text);
            let packed = tokio::task::spawn_blocking(move || pack(&marks, &stored)).await;
            let packed = packed
                .map_err(io::Error::other)
                .flatten()
                .map_err(unreadable)?;
            self.blobs.put(name, &mut &packed[..], MAX_LOG).await?;
            self.forget(name);
            return Ok(bytes);
        }
        let mut log = io::Cursor::new(text).chain(log);
        let (mut near, far) = tokio::io::duplex(PIPE);
        let (done, is_done) = oneshot::channel();
        let compress = async {
            if let Some(member) = times::encode(marks) {
                near.write_all(&member).await?;
            }
            let config = pargzip::Config::default().chunk_size(CHUNK).index(true);
            let mut gzip = pargzip::AsyncWriter::new(near, config)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
            let bytes = tokio::io::copy(&mut log, &mut gzip).await?;
            gzip.shutdown().await?;
            // Whether anybody still wants to know is the storage's matter.
            let _ = done.send(());
            Ok::<u64, io::Error>(bytes)
        };
        let mut source = Compressed {
            stream: far,
            is_done,
            ended: false,
        };
        let store = async {
            let stored = self.blobs.put(name, &mut source, MAX_LOG).await;
            // Lets the compressor see that nobody reads any more.
            drop(source);
            stored
        };
        let (compressed, stored) = tokio::join!(compress, store);
        self.forget(name);
        match (compressed, stored) {
            (Ok(bytes), Ok(_)) => Ok(bytes),
            // The other one's error is this one's echo.
            (Err(source), Ok(_) | Err(BlobError::Source { .. })) => Err(BlobError::Source {
                name: name.clone(),
                source,
            }),
            (_, Err(error)) => Err(error),
        }
    }

    /// Reads those bytes of `range` that the log's text has.
    ///
    /// # Errors
    ///
    /// As [`Blobs::get`]; [`BlobError::Damaged`].
    pub async fn read(&self, name: &BlobName, range: Range<u64>) -> Result<LogText, BlobError> {
        // What begins in the first member needs no index.
        let member = if range.start < CHUNK as u64 {
            FIRST
        } else {
            let members = self.index(name).await?;
            let after = members.partition_point(|member| member.text <= range.start);
            members[after.saturating_sub(1)]
        };
        let blob = self.blobs.get(name, member.blob..u64::MAX).await?;
        let config = pargzip::ReaderConfig::default().threads(1);
        let reader = pargzip::AsyncReader::with_config(blob, config)
            .map_err(|error| BlobError::storage(name, error))?;
        let skip = range.start - member.text;
        Ok(LogText {
            text: reader.take(range.end.saturating_sub(member.text).max(skip)),
            skip,
        })
    }

    /// When what of a log was written, as far as it was noted: marks in order.
    ///
    /// # Errors
    ///
    /// As [`Blobs::get`].
    pub async fn times(&self, name: &BlobName) -> Result<Vec<TimeMark>, BlobError> {
        let beginning = self.bytes(name, 0..times::LONGEST).await?;
        Ok(times::decode(&beginning.bytes))
    }

    /// The log as it is stored: gzip.
    ///
    /// # Errors
    ///
    /// As [`Blobs::get`].
    pub async fn compressed(&self, name: &BlobName) -> Result<BlobReader, BlobError> {
        self.blobs.get(name, 0..u64::MAX).await
    }

    /// Removes a log, if it is there.
    ///
    /// # Errors
    ///
    /// As [`Blobs::remove`].
    pub async fn remove(&self, name: &BlobName) -> Result<(), BlobError> {
        self.forget(name);
        self.blobs.remove(name).await
    }

    async fn index(&self, name: &BlobName) -> Result<Arc<[Member]>, BlobError> {
        let known = {
            let indexes = self.indexes.lock().unwrap_or_else(PoisonError::into_inner);
            indexes
                .iter()
                .find(|(known, _)| known == name)
                .map(|(_, index)| index.clone())
        };
        if let Some(index) = known {
            return Ok(index);
        }
        let index: Arc<[Member]> = self.make_index(name).await?.into();
        let mut indexes = self.indexes.lock().unwrap_or_else(PoisonError::into_inner);
        indexes.push_back((name.clone(), index.clone()));
        if indexes.len() > MAX_INDEXES {
            indexes.pop_front();
        }
        Ok(index)
    }

    /// Goes from member to member. Where one does not say how long it is, the index ends, and a reader decompresses from
    /// there.
    async fn make_index(&self, name: &BlobName) -> Result<Vec<Member>, BlobError> {
        let mut members = vec![FIRST];
        let mut next = FIRST;
        loop {
            let header = self.bytes(name, next.blob..next.blob + HEADER).await?;
            let Some(size) = member_size(&header.bytes) else {
                return Ok(members);
            };
            let end = next.blob + size;
            if size < HEADER + 8 || end > header.total {
                return Err(BlobError::Damaged { name: name.clone() });
            }
            let trailer = self.bytes(name, end - 4..end).await?;
            let length: [u8; 4] = trailer
                .bytes
                .try_into()
                .map_err(|_| BlobError::Damaged { name: name.clone() })?;
            next.text += u64::from(u32::from_le_bytes(length));
            next.blob = end;
            if end == header.total || members.len() == MAX_MEMBERS {
                return Ok(members);
            }
            members.push(next);
        }
    }

    async fn bytes(&self, name: &BlobName, range: Range<u64>) -> Result<Piece, BlobError> {
        let mut blob = self.blobs.get(name, range).await?;
        let mut bytes = Vec::new();
        blob.read_to_end(&mut bytes)
            .await
            .map_err(|error| BlobError::storage(name, error))?;
        Ok(Piece {
            total: blob.total(),
            bytes,
        })
    }

    fn forget(&self, name: &BlobName) {
        let mut indexes = self.indexes.lock().unwrap_or_else(PoisonError::into_inner);
        indexes.retain(|(known, _)| known != name);
    }
}

/// Some bytes of a blob.
struct Piece {
    total: u64,
    bytes: Vec<u8>,
}

impl AsyncRead for LogText {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.skip > 0 {
            let mut waste = [0; 8192];
            let wanted =
                usize::try_from(this.skip).map_or(waste.len(), |skip| skip.min(waste.len()));
            let mut waste = ReadBuf::new(&mut waste[..wanted]);
            ready!(Pin::new(&mut this.text).poll_read(cx, &mut waste))?;
            match waste.filled().len() {
                // The text ends before.
                0 => return Poll::Ready(Ok(())),
                read => this.skip -= read as u64,
            }
        }
        Pin::new(&mut this.text).poll_read(cx, buf)
    }
}

/// A short log as it is stored.
fn pack(marks: &[TimeMark], text: &[u8]) -> io::Result<Vec<u8>> {
    let packed = times::encode(marks).unwrap_or_default();
    let config = pargzip::Config::default()
        .chunk_size(SMALL)
        .threads(1)
        .index(true);
    let mut gzip = pargzip::Writer::new(packed, config)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    gzip.write_all(text)?;
    gzip.finish().map_err(|failed| failed.into_parts().0)
}

/// The compressor's end of the pipe. Its end counts only if the compressor says that it is one.
struct Compressed {
    stream: DuplexStream,
    is_done: oneshot::Receiver<()>,
    ended: bool,
}

impl AsyncRead for Compressed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ended {
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        if buf.filled().len() > before || buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        match ready!(Pin::new(&mut self.is_done).poll(cx)) {
            Ok(()) => {
                self.ended = true;
                Poll::Ready(Ok(()))
            }
            Err(_) => Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
        }
    }
}

/// The size of a member whose header has an index as its first extra field.
fn member_size(header: &[u8]) -> Option<u64> {
    let header: &[u8; HEADER as usize] = header.try_into().ok()?;
    let extra = header[..3] == [0x1f, 0x8b, 8] && header[3] & 4 != 0;
    let index = header[12..16] == *b"IG\x04\x00";
    let size: [u8; 4] = header[16..].try_into().ok()?;
    (extra && index).then(|| u64::from(u32::from_le_bytes(size)))
}
