use std::fmt;
use std::io;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::{Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};

/// The body of every reply. An error cuts the connection: the peer must not take what came for all there is.
pub(super) type Body = UnsyncBoxBody<Bytes, io::Error>;

pub(super) const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// A whole body.
pub(super) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// 200 with an empty body and no type.
pub(super) fn empty() -> Response<Body> {
    Response::new(full(Bytes::new()))
}

/// 200 with a text.
pub(super) fn text(body: impl Into<Bytes>) -> Response<Body> {
    typed(TEXT, full(body))
}

/// 200 with a body of this type.
pub(super) fn typed(content_type: HeaderValue, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

/// A request that is not fulfilled: a status, and a text for people.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    text: String,
    closes: bool,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, text: impl fmt::Display) -> Self {
        Self {
            status,
            text: text.to_string(),
            closes: false,
        }
    }

    pub(super) fn bad_request(text: impl fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text)
    }

    pub(super) fn internal(text: impl fmt::Display) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, text)
    }

    /// A status by its number.
    pub(super) fn with_status(status: u16, text: impl fmt::Display) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self::new(status, text)
    }

    /// Work on a thread panicked; what it said is in the log.
    pub(super) fn mistake() -> Self {
        Self::internal("the buildlet made a mistake")
    }

    pub(super) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "404 page not found")
    }

    /// A failed operation on files; a full disk gets a status of its own.
    pub(super) fn file(text: impl fmt::Display, kind: io::ErrorKind) -> Self {
        let status = match kind {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                StatusCode::INSUFFICIENT_STORAGE
            }
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, text)
    }

    /// Ends the connection with the reply.
    pub(super) fn closing(mut self) -> Self {
        self.closes = true;
        self
    }

    pub(super) fn into_response(self) -> Response<Body> {
        let mut response = text(self.text + "\n");
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if self.closes {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
