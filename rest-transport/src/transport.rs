use std::pin::Pin;

use async_trait::async_trait;
use bytes::Bytes;
use futures_core::Stream;
use futures_util::stream;
use http::{Request, Response};

use crate::error::TransportError;

/// The bytes of an answer, as they come.
pub type Body = Pin<Box<dyn Stream<Item = Result<Bytes, TransportError>> + Send>>;

/// Carries one request to the server and brings the answer back.
///
/// It follows no redirects, adds no credentials, decompresses nothing and tries nothing twice: whoever calls it does what is to be done. It
/// need not limit time: the caller drops what takes too long, so `send` and the body must stop their work when dropped.
#[async_trait]
pub trait Transport: Send + Sync {
    /// Sends `request`, whose address is absolute, and returns once the head of the answer is there.
    ///
    /// # Errors
    ///
    /// When there is no answer at all; a status of any kind is an answer.
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Body>, TransportError>;
}

/// A body that is there already.
pub fn body(bytes: impl Into<Bytes>) -> Body {
    let bytes = bytes.into();
    Box::pin(stream::once(async { Ok(bytes) }))
}
