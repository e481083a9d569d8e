use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream as _;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderName, HeaderValue, Method, Request};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::Frame;
use tokio::io::AsyncRead;
use tokio_util::io::ReaderStream;

use super::CallError;
use super::config::CommonHeaders;
use super::content::{Content, Source};
use crate::types::Form;
use crate::types::endpoint::PROXY_NAME;

/// What a connection sends.
pub(super) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// How much of a reader's bytes is read ahead of the connection.
const READ_AHEAD: usize = 64 << 10;

const USER_AGENT_VALUE: HeaderValue =
    HeaderValue::from_static(concat!("buildlet-proto/", env!("CARGO_PKG_VERSION")));

/// A request to be.
pub(super) struct Call {
    method: Method,
    target: String,
    headers: Vec<(HeaderName, Result<HeaderValue, http::Error>)>,
    content: Option<Content>,
}

impl Call {
    pub(super) fn new(method: Method, path: &str) -> Self {
        Self {
            method,
            target: path.to_owned(),
            headers: Vec::new(),
            content: None,
        }
    }

    pub(super) fn get(path: &str) -> Self {
        Self::new(Method::GET, path)
    }

    /// A `POST`; without content it says so.
    pub(super) fn post(path: &str) -> Self {
        Self::new(Method::POST, path).content(Bytes::new())
    }

    /// Where it goes, without query.
    pub(super) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    pub(super) fn query(mut self, query: &Form) -> Self {
        self.target.push('?');
        self.target.push_str(&query.encode());
        self
    }

    pub(super) fn form(self, form: &Form) -> Self {
        self.content(form.encode())
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
    }

    pub(super) fn content(mut self, content: impl Into<Content>) -> Self {
        self.content = Some(content.into());
        self
    }

    pub(super) fn header(
        mut self,
        name: impl TryInto<HeaderName, Error: Into<http::Error>>,
        value: &str,
    ) -> Self {
        let value = HeaderValue::from_str(value).map_err(http::Error::from);
        match name.try_into() {
            Ok(name) => self.headers.push((name, value)),
            Err(error) => self.headers.push((HOST, Err(error.into()))),
        }
        self
    }

    /// A second request like this one, if it may be sent twice: it changes nothing and has no content that was used up.
    pub(super) fn again(&self) -> Option<Self> {
        (self.method == Method::GET && self.content.is_none() && self.headers.is_empty())
            .then(|| Self::new(Method::GET, &self.target))
    }

    /// The request, with its headers in the order in which Go writes them.
    pub(super) fn into_request(self, common: &CommonHeaders) -> Result<Request<Body>, CallError> {
        let mut request = Request::builder()
            .method(self.method)
            .uri(self.target)
            .header(HOST, &common.host)
            .header(USER_AGENT, USER_AGENT_VALUE);
        let body = match self.content {
            None => Empty::new().map_err(|never| match never {}).boxed_unsync(),
            Some(content) => {
                if let Some(len) = content.len() {
                    request = request.header(CONTENT_LENGTH, len);
                }
                body_of(content.into_source())
            }
        };
        if let Some(authorization) = &common.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        if let Some(name) = &common.proxy_name {
            request = request.header(PROXY_NAME, name);
        }
        for (name, value) in self.headers {
            request = request.header(name, value.map_err(CallError::Unsendable)?);
        }
        request.body(body).map_err(CallError::Unsendable)
    }
}

fn body_of(source: Source) -> Body {
    match source {
        Source::Bytes(bytes) => Full::new(bytes)
            .map_err(|never| match never {})
            .boxed_unsync(),
        Source::Reader(reader) => {
            ReaderBody(ReaderStream::with_capacity(reader, READ_AHEAD)).boxed_unsync()
        }
    }
}

/// A body that is read as it is sent.
struct ReaderBody(ReaderStream<Box<dyn AsyncRead + Send + Unpin>>);

impl hyper::body::Body for ReaderBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let next = ready!(Pin::new(&mut self.0).poll_next(cx));
        Poll::Ready(next.map(|read| read.map(Frame::data)))
    }
}
