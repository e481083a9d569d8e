use std::fmt::{self, Debug, Formatter};
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body::{Body, Frame, SizeHint};
use tokio::task::{JoinHandle, spawn_blocking};

/// Bytes that are read at once.
const PIECE: u64 = 256 << 10;

/// The body of an answer. It reads files on Tokio's threads for that.
pub struct LogBody(Kind);

enum Kind {
    Memory(Bytes),
    File(FilePart),
    Gone,
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
    gzip: Option<GzEncoder<Vec<u8>>>,
}

impl LogBody {
    pub(super) fn memory(bytes: impl Into<Bytes>) -> Self {
        Self(Kind::Memory(bytes.into()))
    }

    /// So many bytes of a file, from one on.
    pub(super) fn file(path: PathBuf, at: u64, len: u64, gzip: bool) -> Self {
        Self(Kind::File(FilePart {
            len: (!gzip).then_some(len),
            state: State::Rest(Box::new(Source {
                path,
                file: None,
                at,
                left: len,
                gzip: gzip.then(|| GzEncoder::new(Vec::new(), Compression::fast())),
            })),
        }))
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
                gzip.write_all(&piece)?;
                piece = std::mem::take(gzip.get_mut());
            }
            if self.left == 0 {
                if let Some(gzip) = self.gzip.take() {
                    piece.extend_from_slice(&gzip.finish()?);
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
            Kind::File(_) => false,
            Kind::Gone => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Memory(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::File(part) => part
                .len
                .map_or_else(SizeHint::default, SizeHint::with_exact),
            Kind::Gone => SizeHint::with_exact(0),
        }
    }
}

impl Debug for LogBody {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogBody").finish_non_exhaustive()
    }
}
