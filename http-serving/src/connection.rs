use std::error::Error;
use std::pin::pin;

use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::server::Server;
use crate::write_limit::WriteLimit;

/// What answers the requests of one connection: each [`Service`] that takes a hyper [`Request`], gives a [`Response`] and can go to another
/// thread is one. An error of it closes the connection.
pub trait ConnectionService:
    Service<
        Request<Incoming>,
        Response = Response<Self::Body>,
        Error: Into<Box<dyn Error + Send + Sync>>,
        Future: Send + 'static,
    > + Send
    + 'static
{
    /// Bodies of its answers.
    type Body: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static;
}

impl<S, B> ConnectionService for S
where
    S: Service<
            Request<Incoming>,
            Response = Response<B>,
            Error: Into<Box<dyn Error + Send + Sync>>,
            Future: Send + 'static,
        > + Send
        + 'static,
    B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    type Body = B;
}

/// Why a connection did not end as both sides wanted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// The peer broke the connection or the protocol, or one of hyper's limits ended it; or the service failed.
    #[error("HTTP failed")]
    Http(#[source] Box<dyn Error + Send + Sync>),
    /// The peer does not take its answers, of HTTP/2.
    #[error("an answer was not taken within the time for that")]
    NotTaken,
    /// It was to stop, and did not in time.
    #[error("answers under way did not end within the time for that")]
    Unfinished,
}

/// Why a connection of HTTP/2 is to end.
#[cfg_attr(
    not(feature = "http2"),
    expect(dead_code, reason = "HTTP/1.1 has hyper's limits")
)]
pub(crate) enum End {
    /// Nothing was asked for a while.
    Idle,
    NotTaken,
}

impl Server {
    /// Serves one connection, however it came, until the peer or `stop` ends it. After `stop`, an answer under way has
    /// [`stop_limit`](Self::stop_limit) to end.
    ///
    /// The limits of connections and of handshakes are for the caller to keep.
    ///
    /// # Errors
    ///
    /// [`ConnectionError`], which is most often a matter of the peer. [`Http`](ConnectionError::Http) is also how a connection ends on which no
    /// further request came in time.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection, and drops what is being answered.
    pub async fn serve_connection<S: ConnectionService>(
        &self,
        io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        service: S,
        stop: &CancellationToken,
    ) -> Result<(), ConnectionError> {
        let io = WriteLimit::new(io, self.write_limit);
        #[cfg(feature = "http2")]
        if self.http2 {
            return self.serve_either(io, service, stop).await;
        }
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.head_limit)
            .max_headers(self.max_headers)
            .max_buf_size(self.max_head_bytes)
            .serve_connection(TokioIo::new(io), service);
        self.drive(connection, std::future::pending(), stop).await
    }

    /// Serves until `stop`, or until there is a reason to end.
    pub(crate) async fn drive<C>(
        &self,
        connection: C,
        end: impl Future<Output = End>,
        stop: &CancellationToken,
    ) -> Result<(), ConnectionError>
    where
        C: GracefulConnection<Error: Into<Box<dyn Error + Send + Sync>>>,
    {
        let http = |error: C::Error| ConnectionError::Http(error.into());
        let mut connection = pin!(connection);
        tokio::select! {
            ended = connection.as_mut() => return ended.map_err(http),
            () = stop.cancelled() => {}
            end = end => match end {
                End::Idle => {}
                End::NotTaken => return Err(ConnectionError::NotTaken),
            }
        }
        connection.as_mut().graceful_shutdown();
        match timeout(self.stop_limit, connection).await {
            Ok(ended) => ended.map_err(http),
            Err(_) => Err(ConnectionError::Unfinished),
        }
    }
}
