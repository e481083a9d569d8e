use std::fmt::{self, Debug, Formatter};
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::io::poll_read_buf;

use crate::serve::blobs::BlobStream;
use crate::serve::bucket::{self, READ_LIMIT};

/// Bytes that are read at once.
const PIECE: u64 = 128 << 10;

/// The body of an answer. It reads files on Tokio's threads for what blocks, and blobs as they come.
pub struct LogBody(Kind);

enum Kind {
    Memory(Bytes),
    File(FilePart),
    Stream(BlobPart),
    /// What a question about so many bytes is answered with.
    Withheld(u64),
    Gone,
}

/// What is yet to come of a blob.
struct BlobPart {
    left: u64,
    stream: BlobStream,
    silence: Pin<Box<Sleep>>,
}

struct FilePart {
    /// What is yet to come, when it is known.
    len: Option<u64>,
    state: State,
}

enum State {
    /// Between two pieces.
    Rest(Box<Source>),
    Reading(JoinHandle<io::Result<(Bytes, Option<Box<Source>>)>>),
}

/// What is left of a file's part.
struct Source {
    path: PathBuf,
    file: Option<File>,
    at: u64,
    left: u64,
    gzip: Option<Gzip>,
}

struct Gzip {
    encoder: GzEncoder<Vec<u8>>,
    /// Held, not used.
    _place: OwnedSemaphorePermit,
}

impl LogBody {
    pub(super) fn memory(bytes: impl Into<Bytes>) -> Self {
        Self(Kind::Memory(bytes.into()))
    }

    /// A stream of so many bytes.
    pub(super) fn stream(stream: BlobStream, len: u64) -> Self {
        Self(Kind::Stream(BlobPart {
            left: len,
            stream,
            silence: Box::pin(sleep(READ_LIMIT)),
        }))
    }

    /// Nothing in place of so many bytes.
    pub(super) fn withheld(len: u64) -> Self {
        Self(Kind::Withheld(len))
    }

    /// So many bytes of a file, from one on; compressed with a place among those that are.
    pub(super) fn file(
        path: PathBuf,
        at: u64,
        len: u64,
        gzip: Option<OwnedSemaphorePermit>,
    ) -> Self {
        Self(Kind::File(FilePart {
            len: gzip.is_none().then_some(len),
            state: State::Rest(Box::new(Source {
                path,
                file: None,
                at,
                left: len,
                gzip: gzip.map(|place| Gzip {
                    encoder: GzEncoder::new(Vec::new(), Compression::fast()),
                    _place: place,
                }),
            })),
        }))
    }
}

impl BlobPart {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        let mut piece = BytesMut::with_capacity(self.left.min(bucket::PIECE as u64) as usize);
        match poll_read_buf(self.stream.as_mut(), cx, &mut piece) {
            Poll::Ready(Ok(0)) => Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            Poll::Ready(Ok(_)) => {
                self.silence.as_mut().reset(Instant::now() + READ_LIMIT);
                // A stream that gives more than it was asked for is cut.
                piece.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
                self.left -= piece.len() as u64;
                Poll::Ready(Ok(piece.freeze()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => self
                .silence
                .as_mut()
                .poll(cx)
                .map(|()| Err(io::ErrorKind::TimedOut.into())),
        }
    }
}

impl Source {
    /// The next piece, and itself if there is more.
    fn next(mut self: Box<Self>) -> io::Result<(Bytes, Option<Box<Self>>)> {
        let mut file = match self.file.take() {
            Some(file) => file,
            None => {
                let mut file = File::open(&self.path)?;
                file.seek(SeekFrom::Start(self.at))?;
                file
            }
        };
        loop {
            let want = self.left.min(PIECE);
            let mut piece = Vec::with_capacity(want as usize);
            (&mut file).take(want).read_to_end(&mut piece)?;
            if (piece.len() as u64) < want {
                return Err(io::ErrorKind::UnexpectedEof.into()); // somebody cut the file
            }
            self.left -= want;
            if let Some(gzip) = &mut self.gzip {
                gzip.encoder.write_all(&piece)?;
                piece = std::mem::take(gzip.encoder.get_mut());
            }
            if self.left == 0 {
                if let Some(gzip) = self.gzip.take() {
                    piece.extend_from_slice(&gzip.encoder.finish()?);
                }
                return Ok((piece.into(), None));
            }
            // The compressor may keep a piece to itself.
            if !piece.is_empty() {
                self.file = Some(file);
                return Ok((piece.into(), Some(self)));
            }
        }
    }
}

impl Body for LogBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        loop {
            match std::mem::replace(&mut self.0, Kind::Gone) {
                Kind::Gone => return Poll::Ready(None),
                Kind::Withheld(_) => return Poll::Ready(None),
                Kind::Stream(mut part) => {
                    if part.left == 0 {
                        return Poll::Ready(None);
                    }
                    let piece = part.poll_piece(cx);
                    if !matches!(piece, Poll::Ready(Err(_))) {
                        self.0 = Kind::Stream(part);
                    }
                    return piece.map(|piece| Some(piece.map(Frame::data)));
                }
                Kind::Memory(bytes) => {
                    return Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))));
                }
                Kind::File(FilePart {
                    len,
                    state: State::Rest(source),
                }) => {
                    let reading = spawn_blocking(move || source.next());
                    let state = State::Reading(reading);
                    self.0 = Kind::File(FilePart { len, state });
                }
                Kind::File(FilePart {
                    len,
                    state: State::Reading(mut reading),
                }) => {
                    let Poll::Ready(read) = Pin::new(&mut reading).poll(cx) else {
                        let state = State::Reading(reading);
                        self.0 = Kind::File(FilePart { len, state });
                        return Poll::Pending;
                    };
                    let (piece, rest) =
                        match read.unwrap_or_else(|error| Err(io::Error::other(error))) {
                            Ok(read) => read,
                            Err(error) => return Poll::Ready(Some(Err(error))),
                        };
                    if let Some(source) = rest {
                        self.0 = Kind::File(FilePart {
                            len: len.map(|len| len - piece.len() as u64),
                            state: State::Rest(source),
                        });
                    }
                    return Poll::Ready(Some(Ok(Frame::data(piece))));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Memory(bytes) => bytes.is_empty(),
            Kind::Stream(part) => part.left == 0,
            Kind::File(_) => false,
            Kind::Withheld(_) | Kind::Gone => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Memory(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::File(part) => part
                .len
                .map_or_else(SizeHint::default, SizeHint::with_exact),
            Kind::Stream(BlobPart { left: len, .. }) | Kind::Withheld(len) => {
                SizeHint::with_exact(*len)
            }
            Kind::Gone => SizeHint::with_exact(0),
        }
    }
}

impl Debug for LogBody {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogBody").finish_non_exhaustive()
    }
}
