use std::convert::Infallible;

use anyhow::Context as _;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_serving::Server;
use hyper::body::Incoming;
use hyper::service::service_fn;
use revdial::serve_tls::Acceptor;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Listens on `HOST:PORT`, or on `:PORT` of every address, for what is called `what`.
///
/// # Errors
///
/// When the address is none, or is taken.
pub async fn bind(address: &str, what: &str) -> anyhow::Result<TcpListener> {
    let full = if address.starts_with(':') {
        format!("[::]{address}")
    } else {
        address.to_owned()
    };
    let listener = match TcpListener::bind(&full).await {
        // There may be no IPv6.
        Err(_) if full != address => TcpListener::bind(format!("0.0.0.0{address}")).await,
        bound => bound,
    };
    let listener = listener.with_context(|| format!("cannot listen on {address} for {what}"))?;
    tracing::info!("{what} on {}", listener.local_addr()?);
    Ok(listener)
}

/// Serves HTTP/1.1 and HTTP/2, over TLS if there is an acceptor, until `stop`, with the limits that [`Server`] has by default.
///
/// # Cancel safety
///
/// Dropping the future closes all connections.
pub async fn serve_http<B, F>(
    listener: TcpListener,
    acceptor: Option<Acceptor>,
    stop: CancellationToken,
    answer: impl Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
) where
    B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
{
    let server = Server::default().http2(true);
    let service = |_| {
        let answer = answer.clone();
        service_fn(move |request| {
            let answer = answer(request);
            async { Ok::<_, Infallible>(answer.await) }
        })
    };
    match acceptor {
        None => server.serve(listener, service, &stop).await,
        Some(acceptor) => {
            let handshake = |tcp| {
                let acceptor = acceptor.clone();
                async move { acceptor.accept(tcp).await }
            };
            server.serve_over(listener, handshake, service, &stop).await;
        }
    }
}
