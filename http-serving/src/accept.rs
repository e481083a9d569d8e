use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Until there may be a file handle again. Accepting would fail at once as long as there is none, and use up a processor.
const PAUSE: Duration = Duration::from_millis(100);

/// Accepts connections until `stop` is cancelled, and runs what `handle` makes of each in a task of its own.
///
/// At most `max_connections` (at least one) run at once; more wait in the system's queue. Once it is to stop, the port is closed, and those
/// that run have `stop_limit` to end; those that have not are dropped. They are not told: give `stop` to what `handle` makes.
///
/// An error of accepting never ends it. The first in a row is logged as a warning; unless it is of one connection alone, the next attempt
/// is a tenth of a second later.
///
/// # Cancel safety
///
/// Dropping the future drops what `handle` made, with the connections, and closes the port.
pub async fn accept_each<F>(
    listener: TcpListener,
    max_connections: usize,
    stop_limit: Duration,
    stop: &CancellationToken,
    handle: impl Fn(TcpStream, SocketAddr) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    accept_from(listener, max_connections, stop_limit, stop, handle).await;
}

/// Where connections come from.
trait Listen {
    type Stream;

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Self::Stream, SocketAddr)>>;
}

impl Listen for TcpListener {
    type Stream = TcpStream;

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        Self::poll_accept(self, cx)
    }
}

async fn accept_from<L: Listen, F>(
    listener: L,
    max_connections: usize,
    stop_limit: Duration,
    stop: &CancellationToken,
    handle: impl Fn(L::Stream, SocketAddr) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(
        max_connections.clamp(1, Semaphore::MAX_PERMITS),
    ));
    let mut connections = JoinSet::new();
    let mut place = None;
    let mut is_failing = false;
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            // One that panicked has said so.
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            free = Arc::clone(&places).acquire_owned(), if place.is_none() => place = free.ok(),
            accepted = poll_fn(|cx| listener.poll_accept(cx)), if place.is_some() => match accepted {
                Ok((stream, peer)) => {
                    is_failing = false;
                    let (handling, place) = (handle(stream, peer), place.take());
                    connections.spawn(async move {
                        handling.await;
                        drop(place);
                    });
                }
                Err(error) if is_of_one(&error) => {
                    tracing::debug!("a connection ended before it was accepted: {error}");
                }
                Err(error) => {
                    if !is_failing {
                        tracing::warn!("cannot accept connections: {error}");
                    }
                    is_failing = true;
                    stop.run_until_cancelled(sleep(PAUSE)).await;
                }
            },
        }
    }
    drop(listener);
    let ended = timeout(stop_limit, async {
        while connections.join_next().await.is_some() {}
    });
    if ended.await.is_err() {
        tracing::debug!("{} connections did not end in time", connections.len());
    }
}

/// Whether the next connection may be well.
fn is_of_one(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Mutex;

    use tokio::sync::mpsc;
    use tokio::time::Instant;

    use super::*;

    /// Gives what it was told to, and then nothing.
    struct Script(Mutex<VecDeque<io::Result<u32>>>);

    impl Listen for Script {
        type Stream = u32;

        fn poll_accept(&self, _: &mut Context<'_>) -> Poll<io::Result<(u32, SocketAddr)>> {
            match self.0.lock().unwrap().pop_front() {
                Some(next) => Poll::Ready(next.map(|stream| (stream, ([127, 0, 0, 1], 1).into()))),
                None => Poll::Pending,
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn without_handles_it_pauses_and_goes_on() {
        let exhausted = || io::Error::other("too many open files");
        let script = [
            Err(exhausted()),
            Err(exhausted()),
            Ok(1),
            Err(io::ErrorKind::ConnectionAborted.into()),
            Ok(2),
        ];
        let (send, mut received) = mpsc::unbounded_channel();
        let (stop, began) = (CancellationToken::new(), Instant::now());
        let stopping = stop.clone();
        let serving = tokio::spawn(async move {
            let listener = Script(Mutex::new(script.into()));
            accept_from(listener, 10, PAUSE, &stopping, |stream, _| {
                let send = send.clone();
                async move { send.send((stream, began.elapsed())).unwrap() }
            })
            .await;
        });
        let (first, after) = received.recv().await.unwrap();
        assert_eq!(
            (first, after.as_millis()),
            (1, 200),
            "a pause for each failure"
        );
        let (second, after) = received.recv().await.unwrap();
        assert_eq!(
            (second, after.as_millis()),
            (2, 200),
            "one that went away costs nothing"
        );
        stop.cancel();
        serving.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_panics_gives_its_place_back() {
        let (send, mut received) = mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        let stopping = stop.clone();
        let serving = tokio::spawn(async move {
            let listener = Script(Mutex::new([Ok(1), Ok(2)].into()));
            accept_from(listener, 1, PAUSE, &stopping, |stream, _| {
                let send = send.clone();
                async move {
                    assert_ne!(stream, 1, "on purpose");
                    send.send(stream).unwrap();
                }
            })
            .await;
        });
        assert_eq!(received.recv().await, Some(2));
        stop.cancel();
        serving.await.unwrap();
    }
}
