//! HTTP as `gorevlistener` serves it and `gorevdialer` asks for it: our worker, and our client.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::SendRequest;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use rustls::crypto::hash::Context as Hash;
use rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::rustls;

/// Serves what the coordinator asks for on one connection, until that ends.
pub(super) async fn serve(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
    let connection = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(io), service_fn(answer));
    // How it ends is what the tests look at from the other side.
    let _ = connection.await;
}

async fn answer(
    request: Request<Incoming>,
) -> Result<Response<BoxBody<Bytes, hyper::Error>>, Infallible> {
    let body = match (request.method(), request.uri().path()) {
        (&Method::GET, "/status") => full(r#"{"Version":29}"#),
        (&Method::POST, "/echo") => request.into_body().boxed(),
        (&Method::POST, "/hash") => match sha256(request.into_body()).await {
            Ok(hash) => full(hash),
            Err(error) => full(error.to_string()), // to nobody: the connection is gone
        },
        (&Method::GET, "/stream") => {
            let len = request
                .uri()
                .query()
                .and_then(|query| query.strip_prefix("n=")?.parse().ok());
            Counting::new(len.expect("the coordinator says how much"))
                .map_err(|never| match never {})
                .boxed()
        }
        (method, path) => panic!("no test asks for {method} {path}"),
    };
    Ok(Response::new(body))
}

fn full(text: impl Into<Bytes>) -> BoxBody<Bytes, hyper::Error> {
    Full::new(text.into())
        .map_err(|never| match never {})
        .boxed()
}

/// Makes requests on a connection that was dialed, whose task is dropped with this.
pub(super) struct Client {
    requests: SendRequest<BoxBody<Bytes, hyper::Error>>,
    _connection: tokio::task::JoinSet<()>,
}

impl Client {
    pub(super) async fn new(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let (requests, connection) = hyper::client::conn::http1::handshake(TokioIo::new(io))
            .await
            .unwrap();
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(async move {
            let _ = connection.await; // the request's result says it
        });
        Self {
            requests,
            _connection: tasks,
        }
    }

    pub(super) async fn get(&mut self, path: &str) -> hyper::Result<Incoming> {
        self.call(Method::GET, path, full("")).await
    }

    pub(super) async fn post(
        &mut self,
        path: &str,
        body: impl Body<Data = Bytes, Error = Infallible> + Send + Sync + 'static,
    ) -> hyper::Result<Incoming> {
        self.call(
            Method::POST,
            path,
            body.map_err(|never| match never {}).boxed(),
        )
        .await
    }

    async fn call(
        &mut self,
        method: Method,
        path: &str,
        body: BoxBody<Bytes, hyper::Error>,
    ) -> hyper::Result<Incoming> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "worker")
            .body(body)
            .unwrap();
        let response = self.requests.send_request(request).await?;
        assert_eq!(response.status(), 200);
        Ok(response.into_body())
    }
}

/// The whole body.
pub(super) async fn text(body: Incoming) -> hyper::Result<String> {
    Ok(String::from_utf8(body.collect().await?.to_bytes().to_vec()).unwrap())
}

/// The body's SHA-256 in hexadecimal digits.
pub(super) async fn sha256<B: Body<Data = Bytes> + Unpin>(mut body: B) -> Result<String, B::Error> {
    let mut hash = new_sha256();
    while let Some(frame) = body.frame().await {
        if let Some(data) = frame?.data_ref() {
            hash.update(data);
        }
    }
    Ok(hash
        .finish()
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

/// The one that is in the graph anyway, and fast without optimisation.
fn new_sha256() -> Box<dyn Hash> {
    TLS13_AES_128_GCM_SHA256
        .tls13()
        .expect("it is of TLS 1.3")
        .common
        .hash_provider
        .start()
}

/// Bytes of which each is one more than the one before; 256 of them begin anew.
pub(super) struct Counting {
    block: Bytes,
    left: u64,
}

impl Counting {
    pub(super) fn new(len: u64) -> Self {
        Self {
            block: (0..64 << 10).map(|at: u32| at as u8).collect(),
            left: len,
        }
    }
}

impl Body for Counting {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let len = self.left.min(self.block.len() as u64);
        self.left -= len;
        let block = self.block.slice(..len as usize);
        Poll::Ready((len > 0).then(|| Ok(Frame::data(block))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
