use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use std::{fmt, future, io};

use bytes::Bytes;
use futures_core::Stream;
use http::HeaderMap;
use hyper::body::{Body as _, Incoming};
use tokio::io::AsyncRead;
use tokio::time::timeout;
use tokio_util::io::StreamReader;
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::life::Life;
use super::pool::Connection;
use super::{BrokenReason, CallError};

/// The body of a reply. Read to its end, it gives its connection back; dropped before, it closes it.
pub(super) struct ReplyBody {
    body: Incoming,
    connection: Option<Connection>,
    life: Arc<Life>,
    /// Its data shows that the buildlet lives.
    shows_life: bool,
    dead: Pin<Box<WaitForCancellationFutureOwned>>,
}

/// What comes next in a body.
pub(super) enum Part {
    Data(Bytes),
    Trailers(HeaderMap),
    End,
}

/// A body ended where it should not.
#[derive(Debug)]
pub(super) enum BodyError {
    Cut(hyper::Error),
    Dead(BrokenReason),
}

impl ReplyBody {
    pub(super) fn new(body: Incoming, connection: Connection, life: Arc<Life>) -> Self {
        let dead = Box::pin(life.dead().clone().cancelled_owned());
        Self {
            body,
            connection: Some(connection),
            life,
            shows_life: false,
            dead,
        }
    }

    /// Lets every part that comes count as a sign of life.
    pub(super) fn showing_life(mut self, yes: bool) -> Self {
        self.shows_life = yes;
        self
    }

    /// Ready with the reason once the client is dead.
    pub(super) fn poll_dead(&mut self, cx: &mut Context<'_>) -> Poll<BrokenReason> {
        ready!(self.dead.as_mut().poll(cx));
        self.connection = None;
        let reason = self.life.death().cloned();
        Poll::Ready(reason.unwrap_or(BrokenReason::Closed))
    }

    pub(super) fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Result<Part, BodyError>> {
        if let Poll::Ready(reason) = self.poll_dead(cx) {
            return Poll::Ready(Err(BodyError::Dead(reason)));
        }
        let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(cx)) else {
            if let Some(connection) = self.connection.take() {
                connection.recycle();
            }
            return Poll::Ready(Ok(Part::End));
        };
        if self.shows_life && frame.is_ok() {
            self.life.heard();
        }
        Poll::Ready(match frame {
            Ok(frame) => match frame.into_data() {
                Ok(data) => Ok(Part::Data(data)),
                Err(frame) => Ok(Part::Trailers(frame.into_trailers().unwrap_or_default())),
            },
            Err(error) => {
                self.connection = None;
                Err(BodyError::Cut(error))
            }
        })
    }

    /// Cancel safe: nothing is lost when the future is dropped.
    pub(super) async fn next_part(&mut self) -> Result<Part, BodyError> {
        future::poll_fn(|cx| self.poll_part(cx)).await
    }

    /// Reads at most `limit` bytes, for at most `patience`; what is longer is cut, and its connection closed.
    pub(super) async fn read_small(
        mut self,
        limit: usize,
        patience: Duration,
    ) -> Result<Vec<u8>, CallError> {
        let mut read = Vec::new();
        let reading = async {
            while read.len() < limit {
                match self.next_part().await? {
                    Part::Data(data) => {
                        let take = data.len().min(limit - read.len());
                        read.extend_from_slice(&data[..take]);
                    }
                    Part::Trailers(_) => {}
                    Part::End => break,
                }
            }
            Ok::<(), BodyError>(())
        };
        match timeout(patience, reading).await {
            Ok(Ok(())) => Ok(read),
            Ok(Err(error)) => Err(CallError::from(error)),
            Err(_) => Err(CallError::TimedOut(patience)),
        }
    }

    pub(super) fn into_reader(self) -> impl AsyncRead + Send + Unpin + 'static {
        StreamReader::new(Chunks(self))
    }
}

struct Chunks(ReplyBody);

impl Stream for Chunks {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            return Poll::Ready(match ready!(self.0.poll_part(cx)) {
                Ok(Part::Data(data)) => Some(Ok(data)),
                Ok(Part::Trailers(_)) => continue,
                Ok(Part::End) => None,
                Err(error) => Some(Err(io::Error::other(error))),
            });
        }
    }
}

impl From<BodyError> for CallError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::Cut(error) => Self::Cut(error),
            BodyError::Dead(reason) => Self::Dead(reason),
        }
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut(_) => f.write_str("reply was cut off"),
            Self::Dead(reason) => write!(f, "buildlet is given up: {reason}"),
        }
    }
}

impl std::error::Error for BodyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Cut(error) => Some(error),
            Self::Dead(_) => None,
        }
    }
}
