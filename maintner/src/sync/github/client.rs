use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, DATE, IF_NONE_MATCH, LOCATION, USER_AGENT,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use rest_transport::{BackOff, Body, HyperTransport, Transport, read_body, read_start};
use serde::de::IgnoredAny;

use crate::sync::github::app::App;
use crate::sync::github::auth::{AuthError, Kind};
use crate::sync::github::config::{GithubConfig, GithubConfigError};
use crate::sync::github::error::{GithubError, said};
use crate::sync::github::governor::Governor;

/// How often one request may be sent elsewhere. A renamed repository takes one, one that was renamed twice no more.
const MAX_REDIRECTS: u32 = 3;
/// How much of a refusal is read, in bytes.
const MAX_EXCERPT: usize = 4096;
const API_VERSION: HeaderValue = HeaderValue::from_static("2022-11-28");

/// Asks GitHub's interface, for all sources that use one token: they share its limits. Clones are the same one.
#[derive(Clone)]
pub struct GithubClient {
    inner: Arc<Inner>,
}

struct Inner {
    config: GithubConfig,
    /// `https://api.github.com`, or with a path, without a slash at the end.
    base: String,
    transport: Arc<dyn Transport>,
    user_agent: HeaderValue,
}

/// What is counted for one round.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) requests: u64,
}

/// What an answer's body must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    List,
    Object,
}

/// An answer that says something: 200, 304, 404, 410 or 451.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// It came from another address, as a repository or issue moved.
    pub(super) moved: bool,
}

impl Answer {
    /// Whether what was asked for does not exist, or is not to be seen.
    pub(super) fn is_gone(&self) -> bool {
        self.status.is_client_error()
    }

    /// The server's clock, in seconds since 1970.
    pub(super) fn date(&self) -> Option<u64> {
        date(&self.headers)
    }
}

pub(super) fn date(headers: &HeaderMap) -> Option<u64> {
    let date = httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()?;
    Some(date.duration_since(UNIX_EPOCH).ok()?.as_secs())
}

impl GithubClient {
    /// A client that is configured so. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// When the address or the program's name is none, or the system's certificates cannot be used.
    pub fn new(config: GithubConfig) -> Result<Self, GithubConfigError> {
        let base = config.base_url.trim_end_matches('/').to_owned();
        let uri = base.parse::<Uri>().ok();
        let is_usable = uri.is_some_and(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https"))
                && uri.query().is_none()
                && uri
                    .authority()
                    .is_some_and(|authority| !authority.as_str().contains('@'))
        });
        if !is_usable {
            return Err(GithubConfigError::BaseUrl {
                url: config.base_url,
            });
        }
        let user_agent = HeaderValue::try_from(&config.user_agent);
        let user_agent = user_agent.map_err(|_| GithubConfigError::UserAgent {
            name: config.user_agent.clone(),
        })?;
        let transport = match &config.transport {
            Some(transport) => Arc::clone(transport),
            None => Arc::new(HyperTransport::new()?),
        };
        let inner = Inner {
            config,
            base,
            transport,
            user_agent,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Who keeps to the limits, and knows of them.
    #[must_use]
    pub fn governor(&self) -> &Governor {
        &self.inner.config.governor
    }

    /// Asks for what is at a path below the interface's address.
    ///
    /// Follows redirects to the same server, waits for limits, and tries again what may pass. Cancel safe.
    pub(super) async fn get(
        &self,
        path: &str,
        want: Want,
        etag: Option<&HeaderValue>,
        tally: &mut Tally,
    ) -> Result<Answer, GithubError> {
        let mut url = format!("{}{path}", self.inner.base);
        let mut redirects = 0;
        loop {
            let answer = self.get_at(&url, want, etag, tally).await?;
            if !answer.status.is_redirection() || answer.status == StatusCode::NOT_MODIFIED {
                let moved = redirects > 0;
                return Ok(Answer { moved, ..answer });
            }
            let to = answer.headers.get(LOCATION).and_then(|to| to.to_str().ok());
            let to = to.unwrap_or_default().to_owned();
            redirects += 1;
            url = match self.at_home(&to) {
                Some(to) if redirects <= MAX_REDIRECTS => to,
                _ => {
                    return Err(GithubError::Redirect {
                        url,
                        to: said(to.as_bytes()),
                    });
                }
            };
        }
    }

    /// An address of this server, made absolute. Credentials go nowhere else.
    fn at_home(&self, to: &str) -> Option<String> {
        let base: Uri = self.inner.base.parse().ok()?;
        let (scheme, authority) = (base.scheme_str()?, base.authority()?);
        if to.starts_with('/') && !to.starts_with("//") {
            return Some(format!("{scheme}://{authority}{to}"));
        }
        let uri: Uri = to.parse().ok()?;
        let is_home = uri.scheme_str() == Some(scheme) && uri.authority() == Some(authority);
        is_home.then(|| to.to_owned())
    }

    async fn get_at(
        &self,
        url: &str,
        want: Want,
        etag: Option<&HeaderValue>,
        tally: &mut Tally,
    ) -> Result<Answer, GithubError> {
        let config = &self.inner.config;
        let mut attempt = 1;
        let mut renewed = false;
        loop {
            let credentials = self.credentials(tally).await?;
            let sent = self
                .exchange(Method::GET, url, credentials.as_ref(), etag, tally)
                .await;
            let error = match sent.and_then(|answer| check(url, want, etag.is_some(), answer)) {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if let (GithubError::Unauthorized { .. }, Kind::App(app), Some(credentials), false) =
                (&error, &config.auth.kind, &credentials, renewed)
            {
                // It may have been revoked before its end.
                app.refused(credentials);
                renewed = true;
                continue;
            }
            if attempt >= config.attempts || !error.is_transient() {
                return Err(error);
            }
            match &error {
                // The governor makes the next attempt wait.
                GithubError::RateLimited { retry_after, .. } if *retry_after <= config.patience => {
                }
                GithubError::RateLimited { .. } => return Err(error),
                _ => tokio::time::sleep(self.back_off().pause(attempt)).await,
            }
            attempt += 1;
        }
    }

    fn back_off(&self) -> BackOff {
        let config = &self.inner.config;
        BackOff {
            attempts: config.attempts,
            first: config.pauses.0,
            longest: config.pauses.1,
        }
    }

    /// One request and its answer, of whatever status.
    async fn exchange(
        &self,
        method: Method,
        url: &str,
        credentials: Option<&HeaderValue>,
        etag: Option<&HeaderValue>,
        tally: &mut Tally,
    ) -> Result<Answer, GithubError> {
        let config = &self.inner.config;
        let _turn = config
            .governor
            .admit(config.patience)
            .await
            .map_err(|retry_after| GithubError::RateLimited {
                url: url.to_owned(),
                retry_after,
            })?;
        let request = self.request(method, url, credentials, etag);
        tally.requests += 1;
        let answer = tokio::time::timeout(config.time_limit, self.send(url, request)).await;
        let answer = answer.unwrap_or_else(|_| {
            Err(GithubError::TimedOut {
                url: url.to_owned(),
                limit: config.time_limit,
            })
        })?;
        let body = if answer.status.is_success() {
            &[][..]
        } else {
            &answer.body
        };
        match config.governor.learn(answer.status, &answer.headers, body) {
            None => Ok(answer),
            Some(retry_after) => Err(GithubError::RateLimited {
                url: url.to_owned(),
                retry_after,
            }),
        }
    }

    fn request(
        &self,
        method: Method,
        url: &str,
        credentials: Option<&HeaderValue>,
        etag: Option<&HeaderValue>,
    ) -> Result<Request<Bytes>, http::Error> {
        let mut request = Request::builder()
            .method(method)
            .uri(url)
            .header(USER_AGENT, &self.inner.user_agent)
            .header(ACCEPT, "application/vnd.github+json")
            .header(ACCEPT_ENCODING, "gzip")
            .header("x-github-api-version", API_VERSION);
        if let Some(credentials) = credentials {
            request = request.header(AUTHORIZATION, credentials);
        }
        if let Some(etag) = etag {
            request = request.header(IF_NONE_MATCH, etag);
        }
        request.body(Bytes::new())
    }

    async fn send(
        &self,
        url: &str,
        request: Result<Request<Bytes>, http::Error>,
    ) -> Result<Answer, GithubError> {
        let broken = |source| GithubError::Transport {
            url: url.to_owned(),
            source,
        };
        let request =
            request.map_err(|error| broken(rest_transport::TransportError::unsent(error)))?;
        let response = self.inner.transport.send(request).await.map_err(broken)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = self
            .read(response)
            .await
            .map_err(|source| GithubError::Body {
                url: url.to_owned(),
                source,
            })?;
        Ok(Answer {
            status,
            headers,
            body,
            moved: false,
        })
    }

    async fn read(&self, response: Response<Body>) -> Result<Bytes, rest_transport::ReadError> {
        if response.status().is_success() {
            return read_body(response, self.inner.config.max_body).await;
        }
        Ok(read_start(response, MAX_EXCERPT).await.into())
    }

    async fn credentials(&self, tally: &mut Tally) -> Result<Option<HeaderValue>, GithubError> {
        match &self.inner.config.auth.kind {
            Kind::Anonymous => Ok(None),
            Kind::Token(token) => Ok(Some(token.clone())),
            Kind::App(app) => {
                if let Some(token) = app.token() {
                    return Ok(Some(token));
                }
                let _alone = app.renewing.lock().await;
                // Another may have renewed it meanwhile.
                match app.token() {
                    Some(token) => Ok(Some(token)),
                    None => self.renew(app, tally).await.map(Some),
                }
            }
        }
    }

    async fn renew(&self, app: &App, tally: &mut Tally) -> Result<HeaderValue, GithubError> {
        let url = format!("{}{}", self.inner.base, app.path());
        let mut attempt = 1;
        let mut set_clock = false;
        loop {
            let statement = app.statement()?;
            let sent = self
                .exchange(Method::POST, &url, Some(&statement), None, tally)
                .await;
            let error = match sent {
                Ok(answer) if answer.status.is_success() => return Ok(app.accept(&answer.body)?),
                Ok(answer) => {
                    let is_news = answer.date().is_some_and(|date| app.learn_clock(date));
                    if answer.status == StatusCode::UNAUTHORIZED && is_news && !set_clock {
                        // The statement has times in it; with GitHub's clock it may count.
                        set_clock = true;
                        continue;
                    }
                    refusal(&url, &answer)
                }
                Err(error @ GithubError::RateLimited { .. }) => return Err(error),
                Err(error) => error,
            };
            if attempt >= self.inner.config.attempts || !error.is_transient() {
                return Err(GithubError::Auth(AuthError::Exchange {
                    is_transient: error.is_transient(),
                    source: error.into(),
                }));
            }
            tokio::time::sleep(self.back_off().pause(attempt)).await;
            attempt += 1;
        }
    }
}

impl Debug for GithubClient {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GithubClient")
            .field(&self.inner.config)
            .finish()
    }
}

/// Whether an answer says something.
fn check(url: &str, want: Want, conditional: bool, answer: Answer) -> Result<Answer, GithubError> {
    match answer.status {
        StatusCode::OK if is_json(&answer.body, want) => Ok(answer),
        StatusCode::OK => {
            let content_type = answer.headers.get(CONTENT_TYPE);
            Err(GithubError::NotJson {
                url: url.to_owned(),
                content_type: said(content_type.map_or(b"", HeaderValue::as_bytes)),
            })
        }
        StatusCode::NOT_MODIFIED if conditional => Ok(answer),
        StatusCode::NOT_FOUND
        | StatusCode::GONE
        | StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS
        | StatusCode::MOVED_PERMANENTLY
        | StatusCode::FOUND
        | StatusCode::TEMPORARY_REDIRECT
        | StatusCode::PERMANENT_REDIRECT => Ok(answer),
        _ => Err(refusal(url, &answer)),
    }
}

fn refusal(url: &str, answer: &Answer) -> GithubError {
    let (url, said, status) = (url.to_owned(), said(&answer.body), answer.status);
    match status {
        StatusCode::UNAUTHORIZED => GithubError::Unauthorized { url, said },
        StatusCode::FORBIDDEN => GithubError::Forbidden { url, said },
        _ => GithubError::Status { url, status, said },
    }
}

/// Whether it is what was asked for, and all of it: an answer can be cut short without a sign.
fn is_json(body: &[u8], want: Want) -> bool {
    let first = match want {
        Want::List => b'[',
        Want::Object => b'{',
    };
    body.trim_ascii_start().first() == Some(&first)
        && serde_json::from_str::<IgnoredAny>(&String::from_utf8_lossy(body)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_stay_at_home() {
        let config = GithubConfig::default().base_url("https://api.example.org/api/v3/");
        let client = GithubClient::new(config.transport(Nowhere)).unwrap();
        for (to, at) in [
            (
                "/repositories/1/issues",
                Some("https://api.example.org/repositories/1/issues"),
            ),
            (
                "https://api.example.org/x?y=1",
                Some("https://api.example.org/x?y=1"),
            ),
            ("http://api.example.org/x", None),
            ("https://api.example.org:444/x", None),
            ("https://user@api.example.org/x", None),
            ("https://api.example.org.evil.example/x", None),
            ("//evil.example/x", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(client.at_home(to).as_deref(), at, "{to}");
        }
    }

    #[test]
    fn addresses_that_are_none_are_refused() {
        for url in [
            "",
            "api.github.com",
            "ftp://x",
            "https://a@b",
            "https://x?y=1",
            "https://x y",
        ] {
            let client =
                GithubClient::new(GithubConfig::default().base_url(url).transport(Nowhere));
            assert!(
                matches!(client, Err(GithubConfigError::BaseUrl { .. })),
                "{url}"
            );
        }
    }

    #[test]
    fn a_cut_answer_is_none() {
        assert!(is_json(b" [{}]", Want::List));
        assert!(is_json(b"{\"a\":\"\\ud800\xff\"}", Want::Object));
        for (body, want) in [
            (&b"[{}"[..], Want::List),
            (b"{}", Want::List),
            (b"[]", Want::Object),
            (b"", Want::List),
            (b"<html>", Want::Object),
        ] {
            assert!(!is_json(body, want), "{}", body.escape_ascii());
        }
    }

    struct Nowhere;

    #[async_trait::async_trait]
    impl Transport for Nowhere {
        async fn send(
            &self,
            _: Request<Bytes>,
        ) -> Result<Response<Body>, rest_transport::TransportError> {
            Err(rest_transport::TransportError::unsent("nowhere"))
        }
    }
}
