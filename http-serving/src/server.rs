use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::accept::accept_each;
use crate::connection::ConnectionService;

/// hyper's smallest buffer.
const LEAST_HEAD_BYTES: usize = 8 << 10;

/// How connections are served: the limits. Cloning it is cheap.
#[derive(Clone, Debug)]
#[must_use]
pub struct Server {
    max_connections: usize,
    handshake_limit: Duration,
    pub(crate) head_limit: Duration,
    pub(crate) max_head_bytes: usize,
    pub(crate) max_headers: usize,
    pub(crate) write_limit: Duration,
    pub(crate) stop_limit: Duration,
    #[cfg(feature = "http2")]
    pub(crate) http2: bool,
    #[cfg(feature = "http2")]
    pub(crate) max_streams: u32,
    #[cfg(feature = "http2")]
    pub(crate) idle_limit: Duration,
}

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Peer {
    /// The address that the connection comes from: a proxy's, if there is one.
    pub address: SocketAddr,
    /// Whether there was a handshake: false for [`Server::serve`], true for [`Server::serve_over`] and `serve_tls`.
    pub is_secured: bool,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            max_connections: 1024,
            handshake_limit: Duration::from_secs(10),
            head_limit: Duration::from_secs(20),
            max_head_bytes: 16 << 10,
            max_headers: 64,
            write_limit: Duration::from_secs(60),
            stop_limit: Duration::from_secs(5),
            #[cfg(feature = "http2")]
            http2: false,
            #[cfg(feature = "http2")]
            max_streams: 100,
            #[cfg(feature = "http2")]
            idle_limit: Duration::from_secs(300),
        }
    }
}

impl Server {
    /// Connections at once, at least one, those in their handshake included; 1024 by default. More wait in the system's queue.
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = connections;
        self
    }

    /// How long a handshake may take; 10 s by default.
    pub fn handshake_limit(mut self, limit: Duration) -> Self {
        self.handshake_limit = limit;
        self
    }

    /// How long a request's head may take to come, from the end of the answer before it; 20 s by default. So it is how long a
    /// connection of HTTP/1.1 may be idle, too. Where HTTP/2 is spoken as well, the first head may take twice as long.
    pub fn head_limit(mut self, limit: Duration) -> Self {
        self.head_limit = limit;
        self
    }

    /// Bytes of a request's head; 16 KiB by default, 8 KiB at least. It is the size of the buffer for what is read, too, which one for
    /// what is written has beside it.
    pub fn max_head_bytes(mut self, bytes: usize) -> Self {
        self.max_head_bytes = bytes.max(LEAST_HEAD_BYTES);
        self
    }

    /// Fields in a request's head, with HTTP/1.1; 64 by default.
    pub fn max_headers(mut self, headers: usize) -> Self {
        self.max_headers = headers;
        self
    }

    /// How long a peer may take nothing of what is written for it; 60 s by default. With HTTP/2, where a peer may read and yet not take an
    /// answer, it is also how long each piece of a body may wait to be taken.
    pub fn write_limit(mut self, limit: Duration) -> Self {
        self.write_limit = limit;
        self
    }

    /// How long answers may take to end once the server is to stop; 5 s by default. Connections without a request are closed at once; with
    /// zero, all are.
    pub fn stop_limit(mut self, limit: Duration) -> Self {
        self.stop_limit = limit;
        self
    }

    /// Whether HTTP/2 is spoken to peers that begin with its preface; false by default. Over TLS, they only do if the configuration's
    /// `alpn_protocols` has `h2`.
    #[cfg(feature = "http2")]
    pub fn http2(mut self, http2: bool) -> Self {
        self.http2 = http2;
        self
    }

    /// Requests under way on one connection of HTTP/2; 100 by default.
    #[cfg(feature = "http2")]
    pub fn max_streams(mut self, streams: u32) -> Self {
        self.max_streams = streams;
        self
    }

    /// How long a connection of HTTP/2 may be without a request; five minutes by default. It is looked at in intervals of up to five
    /// seconds.
    #[cfg(feature = "http2")]
    pub fn idle_limit(mut self, limit: Duration) -> Self {
        self.idle_limit = limit;
        self
    }

    /// Serves plain HTTP until `stop` is cancelled; then the port is closed, and answers have [`stop_limit`](Self::stop_limit) to end.
    ///
    /// `service` makes what answers the requests of a connection: usually a [`service_fn`](hyper::service::service_fn). How a connection
    /// ended is logged (`tracing`, debug).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the port and all connections, and drops what is being answered.
    pub async fn serve<S: ConnectionService>(
        &self,
        listener: TcpListener,
        service: impl Fn(Peer) -> S,
        stop: &CancellationToken,
    ) {
        accept_each(
            listener,
            self.max_connections,
            self.stop_limit,
            stop,
            |stream, address| {
                let peer = Peer {
                    address,
                    is_secured: false,
                };
                // Without it a small answer may wait for one that was not yet taken.
                let _ = stream.set_nodelay(true);
                let (server, stop, service) = (self.clone(), stop.clone(), service(peer));
                async move { server.speak(stream, peer, service, &stop).await }
            },
        )
        .await;
    }

    /// As [`serve`](Self::serve), over what `handshake` makes of a TCP connection, within [`handshake_limit`](Self::handshake_limit).
    ///
    /// # Cancel safety
    ///
    /// As [`serve`](Self::serve).
    pub async fn serve_over<IO, F, S: ConnectionService>(
        &self,
        listener: TcpListener,
        handshake: impl Fn(TcpStream) -> F,
        service: impl Fn(Peer) -> S,
        stop: &CancellationToken,
    ) where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        F: Future<Output = io::Result<IO>> + Send + 'static,
    {
        accept_each(
            listener,
            self.max_connections,
            self.stop_limit,
            stop,
            |stream, address| {
                let peer = Peer {
                    address,
                    is_secured: true,
                };
                let _ = stream.set_nodelay(true);
                let (server, stop, service) = (self.clone(), stop.clone(), service(peer));
                let secured = timeout(self.handshake_limit, handshake(stream));
                async move {
                    match stop.run_until_cancelled(secured).await {
                        Some(Ok(Ok(io))) => server.speak(io, peer, service, &stop).await,
                        Some(Ok(Err(error))) => {
                            tracing::debug!("the handshake with {address} failed: {error}");
                        }
                        Some(Err(_)) => {
                            tracing::debug!("the handshake with {address} took too long");
                        }
                        None => {}
                    }
                }
            },
        )
        .await;
    }

    /// As [`serve`](Self::serve), over TLS.
    ///
    /// # Cancel safety
    ///
    /// As [`serve`](Self::serve).
    #[cfg(feature = "tls")]
    pub async fn serve_tls<S: ConnectionService>(
        &self,
        listener: TcpListener,
        config: std::sync::Arc<tokio_rustls::rustls::ServerConfig>,
        service: impl Fn(Peer) -> S,
        stop: &CancellationToken,
    ) {
        let acceptor = tokio_rustls::TlsAcceptor::from(config);
        let handshake = |stream| acceptor.accept(stream);
        self.serve_over(listener, handshake, service, stop).await;
    }

    async fn speak<S: ConnectionService>(
        &self,
        io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        peer: Peer,
        service: S,
        stop: &CancellationToken,
    ) {
        if let Err(error) = self.serve_connection(io, service, stop).await {
            let error: &dyn std::error::Error = &error;
            tracing::debug!(error, "a connection with {} ended", peer.address);
        }
    }
}

impl Peer {
    /// The address without the port; one of IPv4 in its own form, even where the socket is one of IPv6.
    #[must_use]
    pub fn ip(&self) -> IpAddr {
        self.address.ip().to_canonical()
    }
}
