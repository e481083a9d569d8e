use std::fmt;
use std::io::{self, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::reply;

/// Parts of a body that wait between the task that has the connection and the thread that has the files. With hyper's
/// reads of up to 64 KiB: half a megabyte a request.
const QUEUE: usize = 8;

/// Bytes gathered before they are handed to the connection.
const CHUNK: usize = 64 << 10;

/// What an upload may go on with after nobody wants it any more, so that its connection can be used again. As Go's server
/// does it.
const DRAIN: u64 = 256 << 10;
const DRAIN_LIMIT: Duration = Duration::from_secs(1);

/// Why an upload did not come whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UploadError {
    /// It is longer than this.
    TooLarge(u64),
    /// Nothing came for so long.
    Stalled(Duration),
    /// The peer has gone, or what it sends is no body.
    Cut,
}

impl fmt::Display for UploadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge(max) => write!(f, "upload longer than {max} bytes"),
            Self::Stalled(limit) => write!(f, "no bytes came for {} s", limit.as_secs()),
            Self::Cut => f.write_str("unexpected EOF"),
        }
    }
}

impl std::error::Error for UploadError {}

/// Lets a thread read `body`, up to `max` bytes: [`Feed::run`] carries it over. `stall` is how long it may take until the next
/// bytes come.
pub(super) fn upload<B>(body: B, max: u64, stall: Duration) -> (BodyReader, Feed<B>) {
    let (sender, parts) = mpsc::channel(QUEUE);
    let reader = BodyReader {
        parts,
        current: Bytes::new(),
        ended: false,
    };
    let feed = Feed {
        body,
        parts: sender,
        max,
        stall,
    };
    (reader, feed)
}

/// A body to read from a thread.
pub(super) struct BodyReader {
    parts: mpsc::Receiver<Option<Bytes>>,
    current: Bytes,
    ended: bool,
}

impl Read for BodyReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() && !self.ended {
            match self.parts.blocking_recv() {
                Some(Some(bytes)) => self.current = bytes,
                Some(None) => self.ended = true,
                // Without its end: what the feed knows about it, the handler tells.
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
        let len = self.current.len().min(buf.len());
        self.current.copy_to_slice(&mut buf[..len]);
        Ok(len)
    }
}

/// The other end of a [`BodyReader`].
pub(super) struct Feed<B> {
    body: B,
    parts: mpsc::Sender<Option<Bytes>>,
    max: u64,
    stall: Duration,
}

impl<B: Body<Data = Bytes> + Unpin> Feed<B> {
    /// Hands the body over until it ends or the reader is dropped.
    pub(super) async fn run(mut self) -> Result<(), UploadError> {
        if self.body.size_hint().lower() > self.max {
            return Err(UploadError::TooLarge(self.max));
        }
        let mut left = self.max;
        loop {
            let frame = tokio::select! {
                frame = timeout(self.stall, self.body.frame()) => {
                    frame.map_err(|_| UploadError::Stalled(self.stall))?
                }
                () = self.parts.closed() => {
                    self.drain().await;
                    return Ok(());
                }
            };
            let Some(frame) = frame else {
                // A reader that has gone has had enough.
                let _ = self.parts.send(None).await;
                return Ok(());
            };
            if let Ok(data) = frame.map_err(|_| UploadError::Cut)?.into_data() {
                let rest = left.checked_sub(data.len() as u64);
                left = rest.ok_or(UploadError::TooLarge(self.max))?;
                // Else the next round finds that the reader has gone.
                let _ = self.parts.send(Some(data)).await;
            }
        }
    }

    /// Reads a rest that nobody wants, if it is short and comes soon.
    async fn drain(mut self) {
        let mut left = DRAIN;
        let _ = timeout(DRAIN_LIMIT, async {
            while let Some(Ok(frame)) = self.body.frame().await {
                let len = frame.data_ref().map_or(0, Bytes::len);
                match left.checked_sub(len as u64) {
                    Some(rest) => left = rest,
                    None => break,
                }
            }
        })
        .await;
    }
}

/// What a thread tells about the reply that it makes.
enum Part<E> {
    Data(Bytes),
    End,
    Failed(E),
}

/// What a thread writes to, for a reply.
pub(super) struct ReplyWriter<E> {
    chunk: BytesMut,
    parts: mpsc::Sender<Part<E>>,
}

impl<E> ReplyWriter<E> {
    fn send(&mut self) -> io::Result<()> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        let data = Part::Data(self.chunk.split().freeze());
        self.parts
            .blocking_send(data)
            .map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the client has gone"))
    }
}

impl<E> Write for ReplyWriter<E> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.chunk.capacity() == 0 {
            self.chunk.reserve(CHUNK);
        }
        let len = bytes.len().min(CHUNK - self.chunk.len());
        self.chunk.extend_from_slice(&bytes[..len]);
        if self.chunk.len() == CHUNK {
            self.send()?;
        }
        Ok(len)
    }

    /// Does nothing: what is written is sent when it fills a chunk, or at the end.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs `work` on a thread and makes what it writes a body.
///
/// A failure before anything is sent, that is within the first two chunks, is returned; a later one cuts the body off. `None` if `work`
/// panicked.
pub(super) async fn download<E, W>(tasks: &TaskTracker, work: W) -> Option<Result<reply::Body, E>>
where
    E: fmt::Display + Send + 'static,
    W: FnOnce(&mut ReplyWriter<E>) -> Result<(), E> + Send + 'static,
{
    let (sender, mut parts) = mpsc::channel(QUEUE);
    tasks.spawn_blocking(move || {
        let mut writer = ReplyWriter {
            chunk: BytesMut::new(),
            parts: sender,
        };
        let last = match work(&mut writer) {
            Ok(()) => Part::End,
            Err(error) => Part::Failed(error),
        };
        if matches!(last, Part::Failed(_)) || writer.send().is_ok() {
            // A client that has gone need not be told.
            let _ = writer.parts.blocking_send(last);
        }
    });
    let mut first = [None, None];
    for place in 0..first.len() {
        match parts.recv().await? {
            Part::Data(bytes) => first[place] = Some(bytes),
            Part::End => {
                let [whole, _] = first;
                return Some(Ok(reply::full(whole.unwrap_or_default())));
            }
            Part::Failed(error) => return Some(Err(error)),
        }
    }
    Some(Ok(Parts { first, parts }.boxed_unsync()))
}

/// A body that a thread makes.
struct Parts<E> {
    first: [Option<Bytes>; 2],
    parts: mpsc::Receiver<Part<E>>,
}

impl<E: fmt::Display> Body for Parts<E> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        if let Some(data) = this.first.iter_mut().find_map(Option::take) {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        Poll::Ready(match ready!(this.parts.poll_recv(cx)) {
            Some(Part::Data(data)) => Some(Ok(Frame::data(data))),
            Some(Part::End) => None,
            Some(Part::Failed(error)) => Some(Err(io::Error::other(error.to_string()))),
            None => Some(Err(io::Error::other("the reply was not finished"))),
        })
    }
}

/// Where a future puts what it makes; an error cuts the body off.
pub(super) type Frames = mpsc::Sender<io::Result<Frame<Bytes>>>;

/// A body that a future makes, which runs while the body is read, and no longer: dropping the body drops it.
pub(super) struct Produced {
    producer: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    frames: mpsc::Receiver<io::Result<Frame<Bytes>>>,
}

impl Produced {
    /// `produce` gets the sender of the frames. With one frame at a time, what is not sent waits where it is made.
    pub(super) fn new<F>(produce: impl FnOnce(Frames) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (sender, frames) = mpsc::channel(1);
        Self {
            producer: Some(Box::pin(produce(sender))),
            frames,
        }
    }
}

impl Body for Produced {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        if let Some(producer) = &mut this.producer
            && producer.as_mut().poll(cx).is_ready()
        {
            this.producer = None;
        }
        this.frames.poll_recv(cx)
    }
}
