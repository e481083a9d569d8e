use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use http::{Method, StatusCode};
use rest_transport::TransportError;

use crate::auth::AuthError;

/// How much of the body of an answer an error keeps, in bytes.
pub const MAX_EXCERPT: usize = 4096;

/// Why a call failed.
///
/// Every call of this crate can fail for each of these reasons. Programs decide by [`kind`](Self::kind) or [`is_retryable`](Self::is_retryable).
/// Credentials appear in none of them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum Error {
    /// There are no credentials, or they cannot be read. Nothing was sent.
    #[error("cannot authenticate {method} {url}")]
    Auth {
        method: Method,
        url: String,
        source: AuthError,
    },
    /// What was to be sent cannot be put into a request. Nothing was sent.
    #[error("{method} {url} cannot be sent as it is")]
    Request {
        method: Method,
        url: String,
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The client's own rate limit would have kept the call waiting for too long. Nothing was sent.
    #[error("{method} {url} would wait {wait:?} for the client's rate limit, more than {limit:?}")]
    Throttled {
        method: Method,
        url: String,
        wait: Duration,
        limit: Duration,
    },
    /// The server could not be reached, or its answer broke off.
    #[error("{method} {url} failed on the way")]
    Transport {
        method: Method,
        url: String,
        source: TransportError,
    },
    /// The answer, or a part of it, did not come in time.
    #[error("{method} {url} had no whole answer after {limit:?}")]
    TimedOut {
        method: Method,
        url: String,
        limit: Duration,
    },
    /// The server refused.
    #[error("{0}")]
    Status(Box<StatusError>),
    /// Instead of an answer came a page for people, or the way to one, as it does when credentials are missing or expired.
    #[error("{method} {url} was answered by a login page: check the credentials")]
    LoginPage { method: Method, url: String },
    /// The answer is longer than the client allows.
    #[error(
        "the answer to {method} {url} is longer than {limit} bytes: ask for less, or raise the limit"
    )]
    TooLarge {
        method: Method,
        url: String,
        limit: usize,
    },
    /// The answer is not what Gerrit's documentation says.
    #[error("the answer to {method} {url} cannot be understood")]
    Decode {
        method: Method,
        url: String,
        source: Box<dyn StdError + Send + Sync>,
    },
    /// An answer that should have been empty was not.
    #[error("the answer to {method} {url} should have been empty")]
    NotEmpty { method: Method, url: String },
    /// A list has more elements than the caller wanted to read. Those before were delivered.
    #[error("the list has more than {cap} elements: narrow the query, or raise the cap")]
    MoreThanCap { cap: usize },
}

/// What a failed call means, roughly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// What was asked for does not exist, or is not visible to this account (404).
    NotFound,
    /// The id names several changes (404 with "Multiple changes found"); the change exists.
    Ambiguous,
    /// An edit that would change nothing (409 with "no changes were made").
    NotModified,
    /// The state does not allow it: not submittable, merged already, a name that exists (409).
    Conflict,
    /// The request makes no sense to the server (400).
    BadRequest,
    /// No credentials, or wrong ones (401, or a login page).
    Unauthenticated,
    /// This account may not do it (403).
    Forbidden,
    /// The resource does not know this method (405).
    MethodNotAllowed,
    /// A precondition does not hold, such as "must not exist" (412).
    PreconditionFailed,
    /// The body names something that does not exist (422).
    Unprocessable,
    /// Too many requests (429), or the client's own limit.
    Quota,
    /// The server failed (5xx).
    Server,
    /// Any other status.
    OtherStatus,
    /// The network or the server's connection failed.
    Network,
    /// Time ran out.
    TimedOut,
    /// The answer was too large or not understood.
    Protocol,
    /// What the caller wants cannot be sent.
    Request,
}

/// An answer with a status that is not a success.
#[derive(Debug)]
pub struct StatusError {
    pub(crate) method: Method,
    pub(crate) url: String,
    pub(crate) status: StatusCode,
    pub(crate) body: String,
    pub(crate) retry_after: Option<Duration>,
}

impl Error {
    /// What the failure means.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Auth { .. } | Self::LoginPage { .. } => ErrorKind::Unauthenticated,
            Self::Request { .. } => ErrorKind::Request,
            Self::Throttled { .. } => ErrorKind::Quota,
            Self::Transport { .. } => ErrorKind::Network,
            Self::TimedOut { .. } => ErrorKind::TimedOut,
            Self::Status(status) => status.kind(),
            Self::TooLarge { .. }
            | Self::Decode { .. }
            | Self::NotEmpty { .. }
            | Self::MoreThanCap { .. } => ErrorKind::Protocol,
        }
    }

    /// Whether the same call may succeed later without anything being changed: quota, servers that fail, networks, time.
    ///
    /// It does not say that repeating is harmless: a call that changes something may have done so before it failed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Status(status) => matches!(status.status.as_u16(), 429 | 502..=504),
            Self::Transport { .. } | Self::TimedOut { .. } | Self::Throttled { .. } => true,
            _ => false,
        }
    }

    /// The status and body that the server refused with.
    #[must_use]
    pub fn status(&self) -> Option<&StatusError> {
        match self {
            Self::Status(status) => Some(status),
            _ => None,
        }
    }
}

impl StatusError {
    /// The status.
    #[must_use]
    pub fn code(&self) -> StatusCode {
        self.status
    }

    /// The first [`MAX_EXCERPT`] bytes of the body, without credentials; bytes that are no UTF-8 are replaced.
    #[must_use]
    pub fn body(&self) -> &str {
        &self.body
    }

    /// The address that was asked.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// How long the server wants to be left alone.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// What the status means. Gerrit tells some meanings apart by the text of the body only.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self.status.as_u16() {
            404 if self.body.contains("Multiple changes found") => ErrorKind::Ambiguous,
            404 => ErrorKind::NotFound,
            409 if self.body.contains("no changes were made") => ErrorKind::NotModified,
            409 => ErrorKind::Conflict,
            400 => ErrorKind::BadRequest,
            401 => ErrorKind::Unauthenticated,
            403 => ErrorKind::Forbidden,
            405 => ErrorKind::MethodNotAllowed,
            412 => ErrorKind::PreconditionFailed,
            422 => ErrorKind::Unprocessable,
            429 => ErrorKind::Quota,
            500..=599 => ErrorKind::Server,
            _ => ErrorKind::OtherStatus,
        }
    }
}

impl fmt::Display for StatusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            method,
            url,
            status,
            body,
            ..
        } = self;
        write!(f, "{method} {url} was answered with {status}")?;
        match body.trim() {
            "" => Ok(()),
            text => {
                f.write_str(": ")?;
                // One line whatever the server sent, so that no body can forge lines of a log.
                text.chars().try_for_each(|c| match c.is_control() {
                    true => write!(f, "{}", c.escape_default()),
                    false => write!(f, "{c}"),
                })
            }
        }
    }
}

impl StdError for StatusError {}
