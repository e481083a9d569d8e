//! Talks to a running coordinator through its API.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use build_coordinator::api::ErrorBody;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;

use crate::args::ServerArgs;

/// How long connecting may take, TLS included.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// How long the coordinator may think about an answer.
const HEAD_LIMIT: Duration = Duration::from_secs(35);
/// How long a whole answer that is no log may take.
const BODY_LIMIT: Duration = Duration::from_secs(60);
/// The longest answer that is no log, in bytes: a thousand builds are half a megabyte.
const LONGEST_ANSWER: usize = 16 << 20;

/// A coordinator's API. Every request has a connection of its own.
#[derive(Debug)]
pub(crate) struct Client {
    uri: Uri,
    tls: Option<Arc<ClientConfig>>,
    token: Option<HeaderValue>,
}

/// An answer that is read as it comes; the connection lasts as long as it does.
pub(crate) struct Streaming {
    body: Incoming,
    _connection: AbortOnDropHandle<()>,
}

impl Client {
    pub(crate) fn new(args: &ServerArgs) -> anyhow::Result<Self> {
        let uri: Uri = args
            .server
            .parse()
            .with_context(|| format!("{} is no address", args.server))?;
        let tls = match uri.scheme_str() {
            Some("http") => None,
            Some("https") => Some(program::tls_client_config(
                args.ca.as_deref(),
                args.insecure,
            )?),
            _ => bail!("the coordinator's address begins with http:// or https://"),
        };
        let token = match &args.token_file {
            None => None,
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .with_context(|| format!("cannot read {}", path.display()))?;
                let mut value = HeaderValue::from_str(&format!("Bearer {}", text.trim()))
                    .with_context(|| format!("there is no token in {}", path.display()))?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        Ok(Self { uri, tls, token })
    }

    /// The text of an answer.
    pub(crate) async fn get_text(&self, path: &str) -> anyhow::Result<String> {
        let (response, _connection) = self.send(Method::GET, path, Bytes::new()).await?;
        read(response).await
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let text = self.get_text(path).await?;
        serde_json::from_str(&text).context("the coordinator's answer is not understood")
    }

    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> anyhow::Result<T> {
        let body = serde_json::to_vec(body).context("the request cannot be written")?;
        let (response, _connection) = self.send(Method::POST, path, body.into()).await?;
        let text = read(response).await?;
        serde_json::from_str(&text).context("the coordinator's answer is not understood")
    }

    /// An answer of any length.
    pub(crate) async fn open(&self, path: &str) -> anyhow::Result<Streaming> {
        let (response, connection) = self.send(Method::GET, path, Bytes::new()).await?;
        if !response.status().is_success() {
            return Err(refusal(response).await);
        }
        Ok(Streaming {
            body: response.into_body(),
            _connection: connection,
        })
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> anyhow::Result<(Response<Incoming>, AbortOnDropHandle<()>)> {
        let authority = self
            .uri
            .authority()
            .context("the coordinator's address names no host")?;
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let port = authority
            .port_u16()
            .unwrap_or(if self.tls.is_some() { 443 } else { 80 });
        let connecting = async {
            let tcp = TcpStream::connect((host.as_str(), port)).await?;
            tcp.set_nodelay(true)?;
            let Some(config) = &self.tls else {
                return handshake(tcp).await;
            };
            let name = ServerName::try_from(host.clone())?;
            handshake(
                TlsConnector::from(config.clone())
                    .connect(name, tcp)
                    .await?,
            )
            .await
        };
        let (mut sender, connection) = timeout(CONNECT_LIMIT, connecting)
            .await
            .unwrap_or_else(|_| Err(anyhow!("nobody answers")))
            .with_context(|| format!("no coordinator answers at {} (`coordinator` starts one; --server names another)", self.uri))?;

        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, authority.as_str())
            .header(ACCEPT, "application/json");
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token);
        }
        let request = request
            .body(Full::new(body))
            .context("the request makes no sense")?;
        let response = timeout(HEAD_LIMIT, sender.send_request(request))
            .await
            .context("the coordinator does not answer")?
            .context("the coordinator hung up")?;
        Ok((response, connection))
    }
}

impl Streaming {
    /// The next bytes; `None` at the end. Cancel safe.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Option<Bytes>> {
        while let Some(frame) = self.body.frame().await {
            let frame = frame.context("the coordinator hung up")?;
            if let Ok(bytes) = frame.into_data() {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }
}

type Sender = http1::SendRequest<Full<Bytes>>;

async fn handshake<I>(io: I) -> anyhow::Result<(Sender, AbortOnDropHandle<()>)>
where
    I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(io)).await?;
    let driving = tokio::spawn(async move {
        // Whoever waits for the answer is told.
        let _ = connection.await;
    });
    Ok((sender, AbortOnDropHandle::new(driving)))
}

async fn read(response: Response<Incoming>) -> anyhow::Result<String> {
    if !response.status().is_success() {
        return Err(refusal(response).await);
    }
    collect(response.into_body()).await
}

/// What the coordinator says about a request that it does not do.
async fn refusal(response: Response<Incoming>) -> anyhow::Error {
    let status = response.status();
    let text = match collect(response.into_body()).await {
        Ok(text) => text,
        Err(error) => return error,
    };
    let said = serde_json::from_str::<ErrorBody>(&text)
        .ok()
        .map(|body| body.error.message);
    match (status, said) {
        (StatusCode::UNAUTHORIZED, Some(said)) => anyhow!("{said} Give it with --token-file."),
        (_, Some(said)) => anyhow!("{said}"),
        (status, None) => anyhow!("the coordinator answers {status}"),
    }
}

async fn collect(body: Incoming) -> anyhow::Result<String> {
    let collecting = Limited::new(body, LONGEST_ANSWER).collect();
    let body = timeout(BODY_LIMIT, collecting)
        .await
        .context("the coordinator's answer takes too long")?
        .map_err(|error| anyhow!("the coordinator's answer: {error}"))?;
    String::from_utf8(body.to_bytes().into()).context("the coordinator's answer is no text")
}
