use std::error::Error;
use std::time::Duration;

use http::StatusCode;
use rest_transport::{ReadError, TransportError};

use crate::leader::SourceError;
use crate::sync::github::auth::AuthError;

/// Why GitHub gave no answer that could be used. Credentials appear in none of them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum GithubError {
    /// There are no credentials, or they cannot be read or renewed.
    #[error("cannot authenticate to GitHub")]
    Auth(#[from] AuthError),
    /// GitHub wants to be left alone for so long; all sources of the token wait.
    #[error("{url} is rate limited for {} s", retry_after.as_secs_f64().ceil())]
    RateLimited { url: String, retry_after: Duration },
    /// The credentials are wrong or have ended (401).
    #[error("{url} was refused: {said}: check the credentials")]
    Unauthorized { url: String, said: String },
    /// The credentials do not suffice (403).
    #[error("{url} is forbidden: {said}: check what the token may do")]
    Forbidden { url: String, said: String },
    /// Any other status that is no answer.
    #[error("{url} was answered with {status}: {said}")]
    Status {
        url: String,
        status: StatusCode,
        said: String,
    },
    /// The repository does not exist, or is not visible to these credentials (404, 451).
    #[error("{repo} cannot be seen ({status}): check its name and what the token may see")]
    NoRepository { repo: String, status: StatusCode },
    /// The repository has its issues switched off (410).
    #[error("{repo} has its issues disabled")]
    IssuesDisabled { repo: String },
    /// The server could not be reached.
    #[error("{url} failed on the way")]
    Transport { url: String, source: TransportError },
    /// The answer broke off, or is longer than is allowed.
    #[error("the answer of {url} cannot be read")]
    Body { url: String, source: ReadError },
    /// There was no whole answer in time.
    #[error("{url} had no whole answer after {limit:?}")]
    TimedOut { url: String, limit: Duration },
    /// Something else than GitHub's interface answered.
    #[error("{url} was answered with {content_type:?} that is not the JSON it should be")]
    NotJson { url: String, content_type: String },
    /// It was sent elsewhere, too often or to another server, to which no credentials go.
    #[error("{url} leads to {to}, which is not followed")]
    Redirect { url: String, to: String },
    /// There is no end of the pages.
    #[error("{url} has more than {pages} pages")]
    Endless { url: String, pages: u32 },
}

impl GithubError {
    /// Whether trying again soon may help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Auth(error) => error.is_transient(),
            Self::Status { status, .. } => is_transient(*status),
            Self::Transport { .. }
            | Self::Body { .. }
            | Self::TimedOut { .. }
            | Self::NotJson { .. }
            | Self::RateLimited { .. } => true,
            _ => false,
        }
    }
}

fn is_transient(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT
}

impl From<GithubError> for SourceError {
    fn from(error: GithubError) -> Self {
        match error {
            GithubError::RateLimited { retry_after, .. } => Self::rate_limited(error, retry_after),
            error if error.is_transient() => Self::transient(error),
            error => Self::permanent(error),
        }
    }
}

/// What a server said, fit for a log: short, in one line.
pub(super) fn said(body: &[u8]) -> String {
    let message = serde_json::from_slice::<serde_json::Value>(body).ok();
    let message = message
        .as_ref()
        .and_then(|value| value.get("message")?.as_str());
    let lossy = String::from_utf8_lossy(body);
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    message
        .unwrap_or(&lossy)
        .chars()
        .map(plain)
        .take(200)
        .collect()
}

/// `Error` as a trait object, for those who keep one.
pub(super) type BoxError = Box<dyn Error + Send + Sync>;
