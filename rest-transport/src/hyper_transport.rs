use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use rustls_platform_verifier::BuilderVerifierExt as _;

use crate::error::TransportError;
use crate::transport::{Body, Transport};

/// How long a TCP connection may take; the limit of the whole attempt counts beside it.
const CONNECT_LIMIT: Duration = Duration::from_secs(15);
/// How long a connection that nobody uses is kept, and how many of one server.
const IDLE: Duration = Duration::from_secs(60);
const MAX_IDLE: usize = 8;

/// HTTP/1.1 by hyper, over TLS by rustls where the address says `https`. Connections are kept for the next call.
#[derive(Clone)]
pub struct HyperTransport {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

/// The system's certificates cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("TLS cannot be set up with what the system trusts")]
pub struct TlsError {
    #[from]
    source: rustls::Error,
}

impl HyperTransport {
    /// Trusts what the operating system trusts; cryptography is ring's.
    ///
    /// # Errors
    ///
    /// When the system's certificates cannot be used.
    pub fn new() -> Result<Self, TlsError> {
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_platform_verifier()?
            .with_no_client_auth();
        Ok(Self::with_tls(tls))
    }

    /// Uses the caller's rules of TLS: its own roots, a client certificate.
    #[must_use]
    pub fn with_tls(tls: ClientConfig) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_LIMIT));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(MAX_IDLE)
            .pool_timer(TokioTimer::new())
            .build(connector);
        Self { client }
    }
}

#[async_trait]
impl Transport for HyperTransport {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Body>, TransportError> {
        let answer = self.client.request(request.map(Full::new)).await;
        let answer = answer.map_err(|error| {
            if error.is_connect() {
                TransportError::unsent(error)
            } else {
                TransportError::broken(error)
            }
        })?;
        Ok(answer.map(|body| {
            let bytes = body.into_data_stream();
            Box::pin(bytes.map(|chunk| chunk.map_err(TransportError::broken))) as Body
        }))
    }
}

impl fmt::Debug for HyperTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HyperTransport").finish_non_exhaustive()
    }
}
