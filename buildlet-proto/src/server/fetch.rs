use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::uri::{Authority, Uri};
use http::{Request, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;
#[cfg(feature = "tls")]
use tokio_rustls::TlsConnector;

use super::BoxIo;

/// Gets what a URL names, for `POST /writetgz`.
#[async_trait]
pub trait Fetch: Send + Sync {
    /// Gets `url`, following redirects, and returns the body of a reply with status 200.
    ///
    /// The server bounds the time of it all, and the length of the body.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future, or the body, ends the transfer.
    async fn fetch(&self, url: &str) -> Result<FetchBody, FetchError>;
}

/// The body of what was fetched.
pub type FetchBody = Pin<Box<dyn Body<Data = Bytes, Error = Box<dyn Error + Send + Sync>> + Send>>;

/// Why a URL could not be fetched.
#[derive(Debug)]
#[non_exhaustive]
pub enum FetchError {
    /// The server answered with another status than 200.
    Status(StatusCode),
    /// There was no answer.
    Failed(Box<dyn Error + Send + Sync>),
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "the server answered {status}"),
            Self::Failed(_) => f.write_str("no answer"),
        }
    }
}

impl Error for FetchError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Status(_) => None,
            Self::Failed(source) => Some(source.as_ref()),
        }
    }
}

/// How long it may take to reach a server, and then until it answers.
const CONNECT_LIMIT: Duration = Duration::from_secs(30);
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// As Go's client has it.
const MAX_REDIRECTS: usize = 10;

/// Fetches by HTTP/1.1, and with the feature `tls` by HTTPS if it is [told](Self::tls) whom to believe.
///
/// Follows up to ten redirects, between the two as well. Sends no credentials.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct HttpFetch {
    #[cfg(feature = "tls")]
    tls: Option<TlsConnector>,
}

impl HttpFetch {
    /// Fetches by HTTP alone.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Fetches by HTTPS too. The configuration must offer no protocol by ALPN, or `http/1.1` alone.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, config: std::sync::Arc<tokio_rustls::rustls::ClientConfig>) -> Self {
        self.tls = Some(config.into());
        self
    }

    /// Connects to the server that `url` names.
    async fn connect(&self, url: &Uri) -> Result<BoxIo, FetchError> {
        let scheme = url.scheme_str().unwrap_or_default();
        let port = match scheme {
            "http" => 80,
            #[cfg(feature = "tls")]
            "https" if self.tls.is_some() => 443,
            _ => return Err(failed(format!("unsupported protocol scheme {scheme:?}"))),
        };
        // An IPv6 address stands in brackets.
        let host = url.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let address = (host, url.port_u16().unwrap_or(port));
        let stream = TcpStream::connect(address).await.map_err(failed)?;
        #[cfg(feature = "tls")]
        if let ("https", Some(tls)) = (scheme, &self.tls) {
            let name = host.to_owned().try_into().map_err(failed)?;
            return Ok(Box::new(tls.connect(name, stream).await.map_err(failed)?));
        }
        Ok(Box::new(stream))
    }

    /// Asks for `url`, and returns the reply with its body to come.
    async fn get(&self, url: &Uri) -> Result<Response<Transfer>, FetchError> {
        let late = |_| failed("no answer in time");
        let stream = timeout(CONNECT_LIMIT, self.connect(url))
            .await
            .map_err(late)??;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(failed)?;
        let host = url.authority().map_or("", |authority| {
            let text = authority.as_str();
            text.rsplit_once('@').map_or(text, |(_, host)| host)
        });
        let path = url.path_and_query().map_or("/", |path| path.as_str());
        let request = Request::get(path)
            .header(header::HOST, host)
            .header(header::USER_AGENT, "buildlet-proto")
            .header(header::CONNECTION, "close")
            .body(Empty::new())
            .map_err(failed)?;
        let mut driver = Driver(Some(Box::pin(connection)));
        let mut answer = std::pin::pin!(sender.send_request(request));
        let answer = std::future::poll_fn(|cx| {
            let answered = answer.as_mut().poll(cx);
            if answered.is_ready() {
                return answered;
            }
            driver.drive(cx);
            answer.as_mut().poll(cx)
        });
        let response = timeout(ANSWER_LIMIT, answer)
            .await
            .map_err(late)?
            .map_err(failed)?;
        Ok(response.map(|body| Transfer { driver, body }))
    }
}

impl fmt::Debug for HttpFetch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpFetch").finish_non_exhaustive()
    }
}

#[async_trait]
impl Fetch for HttpFetch {
    async fn fetch(&self, url: &str) -> Result<FetchBody, FetchError> {
        let mut url: Uri = url.parse().map_err(failed)?;
        for _ in 0..=MAX_REDIRECTS {
            let response = self.get(&url).await?;
            let status = response.status();
            let location = response.headers().get(header::LOCATION);
            match location {
                Some(location) if status.is_redirection() => {
                    url = location
                        .to_str()
                        .ok()
                        .and_then(|location| resolve(&url, location))
                        .ok_or_else(|| failed("a redirect leads to no URL"))?;
                }
                _ if status == StatusCode::OK => return Ok(Box::pin(response.into_body())),
                _ => return Err(FetchError::Status(status)),
            }
        }
        Err(failed("more than 10 redirects"))
    }
}

fn failed(error: impl Into<Box<dyn Error + Send + Sync>>) -> FetchError {
    FetchError::Failed(error.into())
}

/// A connection, which does something only while it is polled.
struct Driver(Option<Pin<Box<Connection>>>);

type Connection = http1::Connection<TokioIo<BoxIo>, Empty<Bytes>>;

impl Driver {
    /// Lets the connection go on. How it ends shows in the reply.
    fn drive(&mut self, cx: &mut Context<'_>) {
        if let Some(connection) = &mut self.0
            && connection.as_mut().poll(cx).is_ready()
        {
            self.0 = None;
        }
    }
}

/// A body, with the connection that it comes on.
struct Transfer {
    driver: Driver,
    body: Incoming,
}

impl Body for Transfer {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        this.driver.drive(cx);
        Pin::new(&mut this.body).poll_frame(cx).map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The URL that `location` names, seen from `base`.
fn resolve(base: &Uri, location: &str) -> Option<Uri> {
    let location = location.split('#').next()?;
    let absolute = |authority: &Authority, path: String| {
        let mut parts = http::uri::Parts::default();
        parts.scheme = base.scheme().cloned();
        parts.authority = Some(authority.clone());
        parts.path_and_query = Some(path.parse().ok()?);
        Uri::from_parts(parts).ok()
    };
    if let Some(rest) = location.strip_prefix("//") {
        return format!("{}://{rest}", base.scheme()?).parse().ok();
    }
    if location.starts_with('/') {
        return absolute(base.authority()?, location.into());
    }
    if let Ok(url) = location.parse::<Uri>()
        && url.scheme().is_some()
    {
        return Some(url);
    }
    let path = match location.strip_prefix('?') {
        Some(_) => base.path(),
        None => &base.path()[..=base.path().rfind('/')?],
    };
    absolute(base.authority()?, format!("{path}{location}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_are_seen_from_where_they_came() {
        let base = "http://h:8/a/b?c".parse().unwrap();
        for (location, expected) in [
            ("https://x/y", Some("https://x/y")),
            ("//x/y", Some("http://x/y")),
            ("/x?y#z", Some("http://h:8/x?y")),
            ("x", Some("http://h:8/a/x")),
            ("?x", Some("http://h:8/a/b?x")),
            ("", Some("http://h:8/a/")),
            ("\u{7f}", None),
        ] {
            let url = resolve(&base, location);
            assert_eq!(
                url.map(|url| url.to_string()).as_deref(),
                expected,
                "{location}"
            );
        }
    }
}
