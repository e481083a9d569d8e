use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use futures_util::StreamExt as _;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, HeaderName, IF_NONE_MATCH, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use rest_transport::{Body, ReadError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::{sleep, timeout};

use crate::answer;
use crate::client::Inner;
use crate::error::{Error, MAX_EXCERPT, StatusError};
use crate::escape;
use crate::updated_ref::UpdatedRef;

/// One call, being put together; sent by one of the methods that return a future.
///
/// The named calls of this crate are made of these. Use it for what they do not cover:
///
/// ```no_run
/// # async fn example(client: gerrit::Client) -> Result<(), gerrit::Error> {
/// use http::Method;
///
/// let plugins: serde_json::Value = client.call(Method::GET, "/plugins/").query("all", "").fetch().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "nothing is sent before a future of it is awaited"]
pub struct Call<'a> {
    client: &'a Inner,
    method: Method,
    path: String,
    query: Vec<(String, String)>,
    headers: HeaderMap,
    body: Result<Bytes, Box<dyn std::error::Error + Send + Sync>>,
}

impl<'a> Call<'a> {
    pub(crate) fn new(client: &'a Inner, method: Method, path: String, headers: HeaderMap) -> Self {
        Self {
            client,
            method,
            path,
            query: Vec::new(),
            headers,
            body: Ok(Bytes::new()),
        }
    }

    /// Adds a parameter, escaping it. Parameters are sent sorted by key; those of one key keep their order.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "numbers and texts are given as they are"
    )]
    pub fn query(mut self, key: &str, value: impl ToString) -> Self {
        self.query.push((key.to_owned(), value.to_string()));
        self
    }

    /// Adds a parameter if there is a value.
    pub(crate) fn query_opt(self, key: &str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.query(key, value),
            None => self,
        }
    }

    /// Adds a parameter for each value.
    pub(crate) fn query_all<T: ToString>(
        mut self,
        key: &str,
        values: impl IntoIterator<Item = T>,
    ) -> Self {
        for value in values {
            self = self.query(key, value);
        }
        self
    }

    /// Sets the body to `value` as JSON.
    pub fn json(mut self, value: &(impl Serialize + ?Sized)) -> Self {
        self.body = serde_json::to_vec(value)
            .map(Bytes::from)
            .map_err(Into::into);
        self.header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
    }

    /// Sets the body to `bytes`.
    pub fn bytes(mut self, bytes: impl Into<Bytes>) -> Self {
        self.body = Ok(bytes.into());
        let kind = HeaderValue::from_static("application/octet-stream");
        self.header(CONTENT_TYPE, kind)
    }

    /// Sets a header.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Lets a PUT only create: what exists already is refused ([`PreconditionFailed`](crate::ErrorKind::PreconditionFailed)).
    pub fn only_create(self) -> Self {
        self.header(IF_NONE_MATCH, HeaderValue::from_static("*"))
    }

    /// Sends the call and decodes the JSON of the answer.
    ///
    /// What follows the JSON value is ignored, and so are fields that `T` does not know; for those, ask for a `serde_json::Value`.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn fetch<T: DeserializeOwned>(self) -> Result<T, Error> {
        let answer = self.read(true).await?;
        answer::json(&answer.body).map_err(|source| answer.undecodable(source))
    }

    /// As [`fetch`](Self::fetch), and says which refs the call has changed, as far as the server tells it.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn fetch_with_refs<T: DeserializeOwned>(self) -> Result<(T, Vec<UpdatedRef>), Error> {
        let wanted = HeaderName::from_static("x-gerrit-updatedref-enabled");
        let call = self.header(wanted, HeaderValue::from_static("true"));
        let answer = call.read(true).await?;
        let refs = UpdatedRef::all(&answer.headers);
        let value = answer::json(&answer.body).map_err(|source| answer.undecodable(source))?;
        Ok((value, refs))
    }

    /// Sends the call and expects an empty answer.
    ///
    /// # Errors
    ///
    /// See [`Error`]; [`Error::NotEmpty`] if there is an answer all the same.
    pub async fn finish(self) -> Result<(), Error> {
        let answer = self.read(false).await?;
        if answer.body.is_empty() {
            return Ok(());
        }
        let (method, url) = (answer.method, answer.url);
        Err(Error::NotEmpty { method, url })
    }

    /// Sends the call and does not look at the answer's body.
    pub(crate) async fn ignore(self) -> Result<(), Error> {
        self.read(false).await.map(drop)
    }

    /// Sends the call and returns the answer's body, within the client's limit.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn fetch_bytes(self) -> Result<Bytes, Error> {
        Ok(self.read(false).await?.body)
    }

    /// Sends the call and returns the answer's body as it comes: not limited in length, and nothing of it is tried again.
    ///
    /// # Errors
    ///
    /// See [`Error`]; also as an item of the stream.
    pub async fn fetch_stream(
        self,
    ) -> Result<impl Stream<Item = Result<Bytes, Error>> + Send + Unpin + use<>, Error> {
        let limit = self.client.config.attempt_timeout;
        let prepared = self.prepare()?;
        let response = prepared.head_after_tries(limit).await?;
        let (method, url) = (prepared.method, prepared.url);
        let pieces = futures_util::stream::unfold(Some(response.into_body()), move |body| {
            let (method, url) = (method.clone(), url.clone());
            async move {
                let mut body = body?;
                match timeout(limit, body.next()).await {
                    Ok(None) => None,
                    Ok(Some(Ok(piece))) => Some((Ok(piece), Some(body))),
                    Ok(Some(Err(source))) => Some((
                        Err(Error::Transport {
                            method,
                            url,
                            source,
                        }),
                        None,
                    )),
                    Err(_) => Some((Err(Error::TimedOut { method, url, limit }), None)),
                }
            }
        });
        Ok(Box::pin(pieces))
    }

    async fn read(mut self, is_json: bool) -> Result<Answer, Error> {
        let limit = self.client.config.attempt_timeout;
        if is_json {
            let kind = HeaderValue::from_static("application/json");
            self.headers.entry(ACCEPT).or_insert(kind);
        }
        let gzip = HeaderValue::from_static("gzip");
        self.headers.entry(ACCEPT_ENCODING).or_insert(gzip);
        let prepared = self.prepare()?;
        let (headers, body) = prepared.whole_after_tries(limit, is_json).await?;
        let (method, url) = (prepared.method, prepared.url);
        Ok(Answer {
            headers,
            body,
            method,
            url,
        })
    }

    fn prepare(self) -> Result<Prepared<'a>, Error> {
        let mut url = self.client.url(&self.path);
        let mut query = self.query;
        // Stable: parameters of one key keep their order.
        query.sort_by(|(a, _), (b, _)| a.cmp(b));
        for (at, (key, value)) in query.iter().enumerate() {
            url.push(if at == 0 { '?' } else { '&' });
            url.push_str(&escape::query(key));
            url.push('=');
            url.push_str(&escape::query(value));
        }
        let method = self.method;
        let refused = |source| Error::Request {
            method: method.clone(),
            url: url.clone(),
            source,
        };
        if !self.path.starts_with('/') {
            return Err(refused("its path does not begin with a slash".into()));
        }
        let uri: Uri = url.parse().map_err(|error| refused(Box::new(error)))?;
        let body = self.body.map_err(refused)?;
        Ok(Prepared {
            client: self.client,
            uri,
            body,
            headers: self.headers,
            method,
            url,
        })
    }
}

/// Whether trying again can do no harm.
fn may_repeat(error: &Error, method: &Method) -> bool {
    let is_reading = method == Method::GET || method == Method::HEAD;
    match error {
        Error::Status(status) if status.status == StatusCode::TOO_MANY_REQUESTS => true,
        Error::Transport { source, .. } if source.is_unsent() => true,
        Error::Throttled { .. } => false,
        _ => is_reading && error.is_retryable(),
    }
}

/// A whole answer.
struct Answer {
    headers: HeaderMap,
    body: Bytes,
    method: Method,
    url: String,
}

impl Answer {
    fn undecodable(self, source: serde_json::Error) -> Error {
        Error::Decode {
            method: self.method,
            url: self.url,
            source: Box::new(source),
        }
    }
}

/// A call that can be sent any number of times.
struct Prepared<'a> {
    client: &'a Inner,
    method: Method,
    url: String,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
}

impl Prepared<'_> {
    /// Sends as often as is allowed and needed, and returns a successful head.
    async fn head_after_tries(&self, limit: Duration) -> Result<Response<Body>, Error> {
        let mut number = 1;
        loop {
            self.turn().await?;
            match self.head(limit).await {
                Ok(response) => return Ok(response),
                Err(error) => self.pause(number, error).await?,
            }
            number += 1;
        }
    }

    /// Sends as often as is allowed and needed, and returns a successful answer's headers and body.
    async fn whole_after_tries(
        &self,
        limit: Duration,
        is_json: bool,
    ) -> Result<(HeaderMap, Bytes), Error> {
        let mut number = 1;
        loop {
            self.turn().await?;
            let whole = timeout(limit, self.whole(limit, is_json)).await;
            match whole.unwrap_or_else(|_| Err(self.timed_out(limit))) {
                Ok(whole) => return Ok(whole),
                Err(error) => self.pause(number, error).await?,
            }
            number += 1;
        }
    }

    /// Waits for the rate limit.
    async fn turn(&self) -> Result<(), Error> {
        let limit = self.client.config.max_wait;
        let turn = self.client.pace.turn(limit).await;
        turn.map_err(|wait| Error::Throttled {
            method: self.method.clone(),
            url: self.url.clone(),
            wait,
            limit,
        })
    }

    /// Waits until the attempt after the one numbered `number`, which failed, or returns the error if there is to be none.
    async fn pause(&self, number: u32, error: Error) -> Result<(), Error> {
        let back_off = self.client.config.back_off;
        if number >= back_off.attempts || !may_repeat(&error, &self.method) {
            return Err(error);
        }
        match error.status().and_then(StatusError::retry_after) {
            Some(pause) if pause > back_off.longest => return Err(error),
            Some(pause) => self.client.pace.hold(pause),
            None => sleep(back_off.pause(number)).await,
        }
        Ok(())
    }

    fn timed_out(&self, limit: Duration) -> Error {
        Error::TimedOut {
            method: self.method.clone(),
            url: self.url.clone(),
            limit,
        }
    }

    fn transport(&self, source: rest_transport::TransportError) -> Error {
        Error::Transport {
            method: self.method.clone(),
            url: self.url.clone(),
            source,
        }
    }

    fn login_page(&self) -> Error {
        Error::LoginPage {
            method: self.method.clone(),
            url: self.url.clone(),
        }
    }

    /// The head of a successful answer, or the error that the answer is.
    async fn head(&self, limit: Duration) -> Result<Response<Body>, Error> {
        let head = timeout(limit, self.checked_head()).await;
        head.unwrap_or_else(|_| Err(self.timed_out(limit)))
    }

    async fn checked_head(&self) -> Result<Response<Body>, Error> {
        let auth = &self.client.config.auth;
        let secrets = auth.headers(&self.uri).await;
        let secrets = secrets.map_err(|source| Error::Auth {
            method: self.method.clone(),
            url: self.url.clone(),
            source,
        })?;
        let mut request = Request::new(self.body.clone());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        let headers = request.headers_mut();
        *headers = self.headers.clone();
        let agent = HeaderValue::from_str(&self.client.config.user_agent);
        headers.insert(USER_AGENT, agent.expect("`validate` has tried it"));
        headers.extend(secrets.clone());
        let sent = self.client.transport().send(request).await;
        let response = sent.map_err(|source| self.transport(source))?;
        if response.status().is_success() {
            return Ok(response);
        }
        if answer::leads_to_login(&self.uri, &response) {
            return Err(self.login_page());
        }
        Err(self.refusal(response, &secrets).await)
    }

    /// A successful answer's whole body.
    async fn whole(&self, limit: Duration, is_json: bool) -> Result<(HeaderMap, Bytes), Error> {
        let response = self.head(limit).await?;
        if is_json && answer::is_page(&response) {
            return Err(self.login_page());
        }
        let limit = self.client.config.max_answer;
        let headers = response.headers().clone();
        let body = rest_transport::read_body(response, limit).await;
        let body = body.map_err(|read| match read {
            ReadError::Broken(source) => self.transport(source),
            _ => Error::TooLarge {
                method: self.method.clone(),
                url: self.url.clone(),
                limit,
            },
        })?;
        Ok((headers, body))
    }

    async fn refusal(&self, response: Response<Body>, secrets: &HeaderMap) -> Error {
        let status = response.status();
        let retry_after = rest_transport::retry_after(response.headers());
        // What can be read of it; a body that breaks off does not hide the status.
        let body = rest_transport::read_start(response, MAX_EXCERPT).await;
        let mut body = String::from_utf8_lossy(&body).into_owned();
        for secret in secrets.values().filter_map(|value| value.to_str().ok()) {
            // Both the header's value and, of `Bearer SECRET` or `o=SECRET`, the secret.
            let part = secret
                .split_once([' ', '='])
                .map_or(secret, |(_, part)| part);
            for text in [secret, part] {
                if text.len() >= 6 {
                    body = body.replace(text, "[redacted]");
                }
            }
        }
        Error::Status(Box::new(StatusError {
            method: self.method.clone(),
            url: self.url.clone(),
            status,
            body,
            retry_after,
        }))
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").finish_non_exhaustive()
    }
}
