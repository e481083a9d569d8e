use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

use super::fake::FakeGerrit;

/// More at once wait to be accepted.
const MAX_CONNECTIONS: usize = 256;

/// Far more than any call of a test sends.
const MAX_REQUEST: usize = 64 << 20;

/// For the head of a request.
const HEAD_LIMIT: Duration = Duration::from_secs(60);

/// A [`FakeGerrit`] on a port of loopback. It ends, connections included, when this is dropped.
#[derive(Debug)]
pub struct FakeServer {
    url: String,
    serving: JoinHandle<()>,
}

impl FakeServer {
    /// `http://127.0.0.1:PORT`
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    pub(super) async fn start(fake: FakeGerrit) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let serving = tokio::spawn(accept(listener, fake));
        Ok(Self { url, serving })
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        // The connections are in a set that ends with the task.
        self.serving.abort();
    }
}

async fn accept(listener: TcpListener, fake: FakeGerrit) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                let fake = fake.clone();
                connections.spawn(async move {
                    converse(stream, fake).await;
                    drop(place);
                });
            }
            // There are too many open files, say: what runs may end.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn converse(stream: TcpStream, fake: FakeGerrit) {
    let service = service_fn(move |request: Request<Incoming>| {
        let fake = fake.clone();
        async move { Ok::<_, Infallible>(answer(fake, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT)
        .serve_connection(TokioIo::new(stream), service);
    // Whoever goes away early has seen enough.
    let _ = connection.await;
}

async fn answer(fake: FakeGerrit, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let response = match Limited::new(body, MAX_REQUEST).collect().await {
        Ok(body) => {
            let request = Request::from_parts(head, body.to_bytes());
            // It may write files.
            tokio::task::spawn_blocking(move || fake.answer(&request))
                .await
                .ok()
        }
        Err(_) => None,
    };
    let failed = || {
        let mut response = Response::new(Bytes::from_static(b"the request could not be read"));
        *response.status_mut() = http::StatusCode::BAD_REQUEST;
        response
    };
    response.unwrap_or_else(failed).map(Full::new)
}
