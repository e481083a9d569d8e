use std::net::SocketAddr;
use std::time::Duration;
use std::vec::IntoIter;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, Iter};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::StreamBody;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rest_transport::{Body, Transport, TransportError, body};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use crate::sync::fake_github::FakeGithub;
use crate::sync::fake_github::answer::{Answer, Reply, answer};

/// How long a connection that gets no answer stays.
const STALLED: Duration = Duration::from_secs(600);

/// In the same process: whatever the address, this answers.
#[async_trait]
impl Transport for FakeGithub {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Body>, TransportError> {
        let uri = request.uri();
        let authority = uri
            .authority()
            .map_or("api.github.com", |authority| authority.as_str());
        let base = format!("{}://{authority}", uri.scheme_str().unwrap_or("https"));
        let reply = answer(&mut self.lock(), &base, &request);
        match reply {
            Reply::Answer(answer) => Ok(response(&answer, body(answer.body.clone()))),
            Reply::Broken(answer) => {
                let half = Bytes::copy_from_slice(&answer.body[..answer.body.len() / 2]);
                let broken = Err(TransportError::broken("it was ordered to break"));
                Ok(response(
                    &answer,
                    Box::pin(stream::iter([Ok(half), broken])),
                ))
            }
            Reply::Nothing => std::future::pending().await,
            Reply::Unreachable => Err(TransportError::unsent("it was ordered to be unreachable")),
        }
    }
}

fn response<B>(answer: &Answer, body: B) -> Response<B> {
    let mut response = Response::new(body);
    *response.status_mut() =
        StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in &answer.headers {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(*name, value);
        }
    }
    response
}

type Frames = StreamBody<Iter<IntoIter<Result<Frame<Bytes>, &'static str>>>>;

fn frames<const N: usize>(frames: [Result<Frame<Bytes>, &'static str>; N]) -> Frames {
    StreamBody::new(stream::iter(Vec::from(frames)))
}

/// A [`FakeGithub`] that listens. Dropping it ends it and its connections.
#[derive(Debug)]
pub struct FakeServer {
    address: SocketAddr,
    _accepting: AbortOnDropHandle<()>,
}

impl FakeServer {
    /// The address for [`GithubConfig::base_url`](crate::sync::github::GithubConfig::base_url).
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl FakeGithub {
    /// Answers over HTTP/1.1, on a port of this machine that the system chooses.
    ///
    /// # Errors
    ///
    /// When it cannot listen.
    pub async fn serve(&self) -> std::io::Result<FakeServer> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let accepting = self.clone().accept(listener, address);
        Ok(FakeServer {
            address,
            _accepting: AbortOnDropHandle::new(tokio::spawn(accepting)),
        })
    }

    async fn accept(self, listener: TcpListener, address: SocketAddr) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                Ok((stream, _)) = listener.accept() => {
                    let github = self.clone();
                    connections.spawn(async move {
                        // What the client does with its connection is its own affair.
                        let _ = github.converse(stream, address).await;
                    });
                }
                Some(_) = connections.join_next() => {}
            }
        }
    }

    async fn converse(self, stream: TcpStream, address: SocketAddr) -> Result<(), hyper::Error> {
        let base = format!("http://{address}");
        let service = service_fn(|request: Request<Incoming>| {
            let reply = answer(&mut self.lock(), &base, &request);
            async move {
                match reply {
                    Reply::Answer(answer) => {
                        let whole = Ok(Frame::data(Bytes::from(answer.body.clone())));
                        Ok(response(&answer, frames([whole])))
                    }
                    Reply::Broken(answer) => {
                        let half = Bytes::copy_from_slice(&answer.body[..answer.body.len() / 2]);
                        let broken = Err("it was ordered to break");
                        Ok(response(&answer, frames([Ok(Frame::data(half)), broken])))
                    }
                    Reply::Nothing => {
                        tokio::time::sleep(STALLED).await;
                        Err("it was ordered to stall")
                    }
                    Reply::Unreachable => Err("it was ordered to be unreachable"),
                }
            }
        });
        http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .await
    }
}
