use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use http_body_util::Full;
use http_serving::{ConnectionService, Server};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::http::answer::{Origin, is_wait};
use crate::http::config::HttpConfig;
use crate::hub::Hub;
use crate::seen::Seen;
use crate::webhook::WebhookSecret;

/// Ids of deliveries that are remembered: GitHub repeats one within days, if at all.
const REMEMBERED: usize = 10_000;

/// Serves `/waitevent` and `/recent` to those who wait for events, and takes GitHub's `/github-webhook`.
///
/// Clones share everything.
#[derive(Clone)]
pub struct HttpServer {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) hub: Hub,
    pub(super) secret: WebhookSecret,
    pub(super) config: HttpConfig,
    pub(super) deliveries: Mutex<Seen<Vec<u8>>>,
}

impl HttpServer {
    /// A server of that stream, to which webhooks with that secret are published.
    #[must_use]
    pub fn new(hub: Hub, secret: WebhookSecret, config: HttpConfig) -> Self {
        Self {
            shared: Arc::new(Shared {
                hub,
                secret,
                config,
                deliveries: Mutex::new(Seen::new(REMEMBERED)),
            }),
        }
    }

    /// Serves plain HTTP until `stop` is cancelled; then requests that wait are dropped, and others have five seconds. Webhooks are taken
    /// from trusted proxies alone.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes all connections.
    pub async fn serve(&self, listener: TcpListener, stop: CancellationToken) {
        let service = |peer: http_serving::Peer| self.service(peer.ip(), false, &stop);
        self.limits().serve(listener, service, &stop).await;
    }

    /// As [`serve`](Self::serve), over TLS. `handshake` makes it of a TCP connection, and has ten seconds.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes all connections.
    pub async fn serve_tls<IO, F>(
        &self,
        listener: TcpListener,
        handshake: impl Fn(TcpStream) -> F,
        stop: CancellationToken,
    ) where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        F: Future<Output = io::Result<IO>> + Send + 'static,
    {
        let service = |peer: http_serving::Peer| self.service(peer.ip(), true, &stop);
        let server = self.limits();
        server.serve_over(listener, handshake, service, &stop).await;
    }

    /// Serves one connection, over anything. `is_tls` says whether webhooks may come on it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection.
    pub async fn serve_connection(
        &self,
        io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        peer: IpAddr,
        is_tls: bool,
        stop: &CancellationToken,
    ) {
        let service = self.service(peer, is_tls, stop);
        if let Err(error) = self.limits().serve_connection(io, service, stop).await {
            let error: &dyn std::error::Error = &error;
            tracing::debug!(error, "a connection of {peer} ended");
        }
    }

    fn limits(&self) -> Server {
        Server::default().max_connections(self.shared.config.max_connections)
    }

    fn service(
        &self,
        peer: IpAddr,
        is_tls: bool,
        stop: &CancellationToken,
    ) -> impl ConnectionService<Body = Full<Bytes>> + use<> {
        let (server, stop) = (self.clone(), stop.clone());
        service_fn(move |request: Request<Incoming>| {
            let (server, stop) = (server.clone(), stop.clone());
            let origin = Origin { peer, is_tls };
            async move {
                // Who waits for events asks again elsewhere or later, and loses none. A webhook comes once.
                let patience = match is_wait(&request) {
                    true => stop,
                    false => CancellationToken::new(),
                };
                let answer = patience.run_until_cancelled(server.answer(request, origin));
                let answer: Option<Response<_>> = answer.await;
                answer.ok_or_else(|| io::Error::other("the server ends"))
            }
        })
    }
}
