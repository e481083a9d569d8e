use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, Sleep, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::serve::log::LogServer;

const HEAD_LIMIT: Duration = Duration::from_secs(20);
const MAX_HEADERS: usize = 64;
const MAX_HEAD: usize = 16 << 10;
const WRITE_LIMIT: Duration = Duration::from_secs(60);
/// How long answers may take to end once the server is to stop.
const STOP_LIMIT: Duration = Duration::from_secs(5);
/// Until there may be a file handle again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

impl LogServer {
    /// Serves those who connect until `stop` is cancelled, then ends what waits for news and gives other answers five seconds.
    ///
    /// It looks at the log now and then. When that fails, it says so in the log (`tracing`), and serves what it had.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes all connections.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken) {
        let places = Arc::new(Semaphore::new(self.shared.config.max_connections));
        let mut connections = JoinSet::new();
        let mut refreshing = pin!(self.keep_fresh());
        let mut place = None;
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = refreshing.as_mut() => break,
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
                free = Arc::clone(&places).acquire_owned(), if place.is_none() => place = free.ok(),
                accepted = listener.accept(), if place.is_some() => match accepted {
                    Ok((stream, _)) => {
                        let (server, stop, place) = (self.clone(), stop.clone(), place.take());
                        connections.spawn(async move {
                            server.speak(stream, stop).await;
                            drop(place);
                        });
                    }
                    Err(error) => {
                        tracing::warn!("cannot accept a connection: {error}");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        self.shared.closing.cancel();
        let ended = timeout(STOP_LIMIT, async {
            while connections.join_next().await.is_some() {}
        });
        if ended.await.is_err() {
            tracing::debug!("some answers did not end in time");
        }
    }

    /// Looks at the log now and then, for ever.
    async fn keep_fresh(&self) {
        let mut ticks = interval(self.shared.poll());
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut said = String::new();
        loop {
            ticks.tick().await;
            let error = match self.refresh().await {
                Ok(_) => String::new(),
                Err(error) => chain(&error),
            };
            if error != said {
                if !error.is_empty() {
                    tracing::warn!("what was appended cannot be served: {error}");
                }
                said = error;
            }
        }
    }

    async fn speak(&self, stream: TcpStream, stop: CancellationToken) {
        // Without it a small answer may wait for one that was not yet taken.
        let _ = stream.set_nodelay(true);
        let io = WriteLimit {
            stream,
            waiting: None,
        };
        let service =
            service_fn(|request| async { Ok::<_, Infallible>(self.answer(request).await) });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_LIMIT)
            .max_headers(MAX_HEADERS)
            .max_buf_size(MAX_HEAD)
            .serve_connection(TokioIo::new(io), service);
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!("a connection failed: {error}");
        }
    }
}

/// An error and its causes.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Fails when the other side takes nothing for a while.
struct WriteLimit {
    stream: TcpStream,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl WriteLimit {
    fn limited<T>(
        &mut self,
        cx: &mut Context<'_>,
        done: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if done.is_ready() {
            self.waiting = None;
            return done;
        }
        let waiting = self
            .waiting
            .get_or_insert_with(|| Box::pin(sleep(WRITE_LIMIT)));
        waiting
            .as_mut()
            .poll(cx)
            .map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for WriteLimit {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for WriteLimit {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.limited(cx, written)
    }

    // Pieces of segments are written from where they are: hyper would copy them together otherwise.
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.limited(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.limited(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.limited(cx, shut)
    }
}
