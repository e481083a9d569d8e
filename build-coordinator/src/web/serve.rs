use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use hyper::service::service_fn;
use revdial::serve_tls::{Acceptor, TolerantIo};
use revdial::{AcceptError, Accepted, Arrival, FrontDoor, Registered, Rewind};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_service::Service as _;

use crate::web::access::Peer;
use crate::web::certificate::Certificate;
use crate::web::site::Site;

/// How long a connection may take to send its first byte.
const FIRST_BYTE_LIMIT: Duration = Duration::from_secs(10);
const MAX_HEAD: usize = 32 << 10;
/// How long requests may take to end once the server is to stop.
const STOP_LIMIT: Duration = Duration::from_secs(5);
/// The first byte of TLS: a handshake record.
const HANDSHAKE: u8 = 0x16;
/// The answer to somebody elsewhere who speaks no TLS.
const USE_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 43\r\nConnection: close\r\n\r\n\
    From other machines, this port speaks TLS.\n";

/// Serves a [`Site`], and takes in machines, on one port.
///
/// A connection whose first byte begins a TLS handshake speaks TLS; another one speaks plain HTTP if it comes from this machine, and is
/// turned away if not. Either may be a machine's: `/reverse` and `/revdial` go to the front door, which takes them over TLS alone.
pub struct Server {
    site: Site,
    door: FrontDoor,
    acceptor: Acceptor,
}

/// Why a server cannot be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The port's address is not to be had.
    #[error("cannot listen")]
    Listen(#[source] io::Error),
}

type Tls = TlsStream<TolerantIo<TcpStream>>;

/// A connection of either kind, and what is known of it.
struct Io {
    stream: Either<Box<Tls>, TcpStream>,
    peer: SocketAddr,
    is_tls: bool,
}

impl Server {
    /// A server of `site`, whose machines `door` lets in.
    #[must_use]
    pub fn new(site: Site, door: FrontDoor, certificate: Certificate) -> Self {
        Self {
            site,
            door,
            acceptor: certificate.into_acceptor(),
        }
    }

    /// Serves until `stop` is cancelled, and five seconds more at most for requests that are being answered. Machines that register are
    /// given to `registered`, whose future is what keeps their connection's place; it need not outlast handing them on.
    ///
    /// # Errors
    ///
    /// [`ServerError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes all connections but those of registered machines.
    pub async fn serve<F, Handling>(
        self,
        listener: TcpListener,
        registered: F,
        stop: CancellationToken,
    ) -> Result<(), ServerError>
    where
        F: Fn(Registered) -> Handling + Send + Sync + 'static,
        Handling: Future<Output = ()> + Send,
    {
        let address = listener.local_addr().map_err(ServerError::Listen)?;
        tracing::debug!("serving on {address}");
        let Self {
            site,
            door,
            acceptor,
        } = self;
        let requests = TaskTracker::new();
        let (tracker, stopping) = (requests.clone(), stop.clone());
        let acceptor = Arc::new(acceptor);
        let doors = door.serve(
            listener,
            move |tcp| {
                let acceptor = acceptor.clone();
                async move { arrive(tcp, &acceptor).await }
            },
            move |accepted| {
                let (router, tracker, stop) =
                    (site.router.clone(), tracker.clone(), stopping.clone());
                let handled = match accepted {
                    Ok(Accepted::Registered(machine)) => Arrived::Machine(registered(machine)),
                    Ok(Accepted::Other(io)) => Arrived::Http(io),
                    Ok(_) => Arrived::Done,
                    Err(error) => {
                        report(&error);
                        Arrived::Done
                    }
                };
                async move {
                    match handled {
                        Arrived::Machine(handling) => handling.await,
                        Arrived::Http(io) => {
                            tracker.track_future(speak_http(io, router, stop)).await;
                        }
                        Arrived::Done => {}
                    }
                }
            },
        );
        let mut doors = pin!(doors);
        tokio::select! {
            never = doors.as_mut() => match never {},
            () = stop.cancelled() => {}
        }
        requests.close();
        tokio::select! {
            never = doors => match never {},
            () = requests.wait() => {}
            () = sleep(STOP_LIMIT) => tracing::warn!("some requests did not end in time"),
        }
        Ok(())
    }
}

/// What is to be done with a connection.
enum Arrived<M, H> {
    Machine(M),
    Http(H),
    Done,
}

fn report(error: &AcceptError) {
    match error {
        // Strangers can cause as many of them as they like.
        AcceptError::PeerClosed
        | AcceptError::TimedOut
        | AcceptError::Io(_)
        | AcceptError::Head(_) => {
            tracing::debug!("a connection came to nothing: {error}");
        }
        _ => tracing::warn!("a connection was turned away: {error}"),
    }
}

/// Speaks TLS with whoever begins to.
async fn arrive(tcp: TcpStream, acceptor: &Acceptor) -> io::Result<Arrival<Io>> {
    let peer = tcp.peer_addr()?;
    let mut first = [0];
    if timeout(FIRST_BYTE_LIMIT, tcp.peek(&mut first)).await?? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if first[0] == HANDSHAKE {
        let tls = acceptor.accept(tcp).await?;
        return Ok(Arrival::tls(Io {
            stream: Either::Left(Box::new(tls)),
            peer,
            is_tls: true,
        }));
    }
    if !peer.ip().to_canonical().is_loopback() {
        return turn_away(tcp).await;
    }
    Ok(Arrival::plain(Io {
        stream: Either::Right(tcp),
        peer,
        is_tls: false,
    }))
}

async fn turn_away(mut tcp: TcpStream) -> io::Result<Arrival<Io>> {
    timeout(FIRST_BYTE_LIMIT, async {
        tcp.write_all(USE_TLS).await?;
        tcp.shutdown().await
    })
    .await??;
    Err(io::Error::new(
        io::ErrorKind::PermissionDenied,
        "no TLS from another machine",
    ))
}

/// Answers a connection's requests until it or the server ends.
async fn speak_http(io: Rewind<Io>, router: Router, stop: CancellationToken) {
    let Io { peer, is_tls, .. } = *io.get_ref();
    let peer = Peer {
        address: Some(peer),
        is_tls,
    };
    let service = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(peer);
        router.clone().call(request)
    });
    let server = http_serving::Server::default()
        .max_head_bytes(MAX_HEAD)
        .stop_limit(STOP_LIMIT);
    if let Err(error) = server.serve_connection(io, service, &stop).await {
        let error: &dyn std::error::Error = &error;
        tracing::debug!(error, "a connection ended");
    }
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("site", &self.site)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_without_tls_has_the_length_that_it_says() {
        let text = str::from_utf8(USE_TLS).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains(&format!("Content-Length: {}", body.len())),
            "{}",
            body.len()
        );
    }
}
