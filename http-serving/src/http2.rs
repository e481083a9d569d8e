//! What HTTP/2 needs beside hyper's limits: an end for connections that say nothing at the beginning, that ask for nothing later, and that
//! do not take what they asked for.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::rt::Executor;
use hyper::service::Service;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, MissedTickBehavior, Sleep, interval, sleep};
use tokio_util::sync::CancellationToken;

use crate::connection::{ConnectionError, ConnectionService, End};
use crate::server::Server;

const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Until a connection on which nothing comes is asked whether it lives, and until it is given up then.
const PING: Duration = Duration::from_secs(30);
const PONG: Duration = Duration::from_secs(20);
/// How often a connection is looked at.
const LEAST_TICK: Duration = Duration::from_millis(10);
const MOST_TICK: Duration = Duration::from_secs(5);

impl Server {
    /// Serves HTTP/2 or HTTP/1.1, as the peer begins.
    pub(crate) async fn serve_either<S: ConnectionService>(
        &self,
        io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        service: S,
        stop: &CancellationToken,
    ) -> Result<(), ConnectionError> {
        let tasks = CancellationToken::new();
        let _ends_with_the_connection = tasks.clone().drop_guard();
        let mut builder = Builder::new(Tasks(tasks));
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(self.head_limit)
            .max_headers(self.max_headers)
            .max_buf_size(self.max_head_bytes);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(PING)
            .keep_alive_timeout(PONG)
            .max_concurrent_streams(self.max_streams)
            .max_header_list_size(u32::try_from(self.max_head_bytes).unwrap_or(u32::MAX));
        let activity = Arc::new(Activity::new());
        let service = Watched {
            service,
            activity: Arc::clone(&activity),
        };
        let io = TokioIo::new(Opening::new(io, self.head_limit));
        let connection = builder.serve_connection(io, service);
        let end = activity.end(self.idle_limit, self.write_limit);
        self.drive(connection, end, stop).await
    }
}

/// Runs what answers the requests of one connection, no longer than the connection.
#[derive(Clone)]
struct Tasks(CancellationToken);

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, answering: F) {
        let ended = self.0.clone();
        tokio::spawn(async move {
            ended.run_until_cancelled(answering).await;
        });
    }
}

/// A stream whose first bytes have a limit of time: until it is clear which protocol is spoken, no other limit is there.
struct Opening<IO> {
    io: IO,
    /// Bytes that came so far, all as the preface has them.
    seen: usize,
    /// `None` once it is clear.
    limit: Option<Pin<Box<Sleep>>>,
}

impl<IO> Opening<IO> {
    fn new(io: IO, limit: Duration) -> Self {
        Self {
            io,
            seen: 0,
            limit: Some(Box::pin(sleep(limit))),
        }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Opening<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        let read = Pin::new(&mut this.io).poll_read(cx, buf);
        if let Some(limit) = &mut this.limit {
            if read.is_pending() {
                ready!(limit.as_mut().poll(cx));
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            let new = &buf.filled()[before..];
            this.seen += new.len();
            let is_begun = !new.is_empty() && PREFACE[this.seen - new.len()..].starts_with(new);
            if !is_begun || this.seen == PREFACE.len() {
                this.limit = None;
            }
        }
        read
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Opening<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// What a connection's requests are doing.
struct Activity(Mutex<Requests>);

struct Requests {
    under_way: usize,
    /// Since when there is this number of them.
    changed: Instant,
    next_id: u64,
    /// Answers of which the peer has something to take, and since when. With HTTP/2 they are as many as there are streams.
    to_take: BTreeMap<u64, Instant>,
}

impl Activity {
    fn new() -> Self {
        Self(Mutex::new(Requests {
            under_way: 0,
            changed: Instant::now(),
            next_id: 0,
            to_take: BTreeMap::new(),
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Requests> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(self: &Arc<Self>) -> UnderWay {
        let mut requests = self.lock();
        requests.under_way += 1;
        requests.changed = Instant::now();
        requests.next_id += 1;
        UnderWay {
            id: requests.next_id,
            activity: Arc::clone(self),
        }
    }

    /// Waits until the connection is to end.
    async fn end(&self, idle_limit: Duration, take_limit: Duration) -> End {
        let tick = (idle_limit.min(take_limit) / 8).clamp(LEAST_TICK, MOST_TICK);
        let mut ticks = interval(tick);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let now = ticks.tick().await;
            let requests = self.lock();
            let since = |then: Instant| now.saturating_duration_since(then);
            if requests.under_way == 0 && since(requests.changed) >= idle_limit {
                return End::Idle;
            }
            let mut to_take = requests.to_take.values();
            if to_take.any(|then| since(*then) >= take_limit) {
                return End::NotTaken;
            }
        }
    }
}

/// A request from its head to the end of its answer.
struct UnderWay {
    id: u64,
    activity: Arc<Activity>,
}

impl UnderWay {
    /// Says whether the peer has something to take.
    fn is_to_take(&self, is: bool) {
        let mut requests = self.activity.lock();
        if is {
            requests.to_take.insert(self.id, Instant::now());
        } else {
            requests.to_take.remove(&self.id);
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut requests = self.activity.lock();
        requests.to_take.remove(&self.id);
        requests.under_way -= 1;
        requests.changed = Instant::now();
    }
}

/// A service whose requests are watched.
struct Watched<S> {
    service: S,
    activity: Arc<Activity>,
}

impl<S: ConnectionService> Service<Request<Incoming>> for Watched<S> {
    type Response = Response<WatchedBody<S::Body>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let under_way = self.activity.begin();
        let answering = self.service.call(request);
        Box::pin(async move {
            let answer = answering.await?;
            // It is asked for its first piece when the peer is ready to take one.
            under_way.is_to_take(true);
            Ok(answer.map(|body| WatchedBody {
                body: Box::pin(body),
                under_way,
            }))
        })
    }
}

struct WatchedBody<B> {
    body: Pin<Box<B>>,
    under_way: UnderWay,
}

impl<B: Body> Body for WatchedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let piece = self.body.as_mut().poll_frame(cx);
        // What is not there yet cannot be taken. Of what is there, hyper wants more once it is.
        self.under_way.is_to_take(piece.is_ready());
        piece
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    #[tokio::test(start_paused = true)]
    async fn what_may_become_a_preface_has_a_limit_and_nothing_else_has() {
        for (begins, has_limit) in [
            (&b""[..], true),
            (b"P", true),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r", true),
            (PREFACE, false),
            (b"PUT", false),
            (b"GET / HTTP/1.1", false),
        ] {
            let (ours, mut theirs) = tokio::io::duplex(64);
            let mut io = Opening::new(ours, LIMIT);
            // However it is cut.
            let mut read = vec![0; begins.len()];
            for (byte, into) in begins.iter().zip(&mut read) {
                theirs.write_all(&[*byte]).await.unwrap();
                *into = io.read_u8().await.unwrap();
            }
            assert_eq!(read, begins);
            let more = tokio::time::timeout(2 * LIMIT, io.read_u8()).await;
            let text = String::from_utf8_lossy(begins);
            match has_limit {
                true => assert_eq!(
                    more.unwrap().unwrap_err().kind(),
                    io::ErrorKind::TimedOut,
                    "{text}"
                ),
                false => assert!(more.is_err(), "{text}"),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_waits_for_news_is_not_to_be_taken() {
        let activity = Arc::new(Activity::new());
        let request = activity.begin();
        let end = activity.end(LIMIT, LIMIT);
        assert!(tokio::time::timeout(10 * LIMIT, end).await.is_err());
        request.is_to_take(true);
        assert!(matches!(activity.end(LIMIT, LIMIT).await, End::NotTaken));
        request.is_to_take(false);
        drop(request);
        assert!(matches!(activity.end(LIMIT, LIMIT).await, End::Idle));
    }
}
