use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::body::ReplyBody;
use super::config::{CommonHeaders, Limits};
use super::life::Life;
use super::pool::{Pool, SendError};
use super::request::Call;
use super::{
    Archive, AttachError, BoxIo, BrokenReason, BuildletClient, CallError, Config, ConfigError,
    Connector, Content, ExecError, Listing, Running, TcpConnector, heartbeat,
};
use crate::types::endpoint;
use crate::types::ext::{
    ACCEPT_HEADER, ACCEPT_TRAILERS, ArchiveFormat, Extension, FORMAT_HEADER, KeptName, NAME_FIELD,
    OFFSET_FIELD, PART_FIELD, RESUME_FIELD, ResumeKey,
};
use crate::types::{ExecRequest, FileMode, Form, ListRequest, Status, WriteRequest};

/// Calls a buildlet by HTTP/1.1, as upstream's client does.
///
/// Dropping it ends its heartbeat and its idle connections, and says nothing to the buildlet; [`close`](BuildletClient::close) halts
/// that.
pub struct HttpClient {
    inner: Arc<Inner>,
    /// Runs from the first call on.
    heartbeat: OnceLock<AbortOnDropHandle<()>>,
}

/// What calls and the heartbeat share.
pub(super) struct Inner {
    pub(super) limits: Limits,
    pub(super) life: Arc<Life>,
    name: String,
    headers: CommonHeaders,
    pub(super) pool: Pool,
    /// The first status that came.
    status: OnceLock<Status>,
    closing: AtomicBool,
}

/// So much of a refusal is kept, as upstream does.
const MAX_TEXT: usize = 4 << 10;
/// No path is longer, and no status should be.
const MAX_SMALL_BODY: usize = 64 << 10;
/// A short body follows its head at once, or something is wrong.
const SMALL_BODY_TIMEOUT: Duration = Duration::from_secs(20);
/// How much later than the buildlet the client gives up on a command: the buildlet then has killed it and said so.
const TIMEOUT_GRACE: Duration = Duration::from_secs(20);
/// How long killing commands may take: what a buildlet tries for at most, and some time to say so.
const ABANDON_LIMIT: Duration = Duration::from_secs(30);

impl HttpClient {
    /// Calls the buildlet that `connector` leads to. `address` is its name in headers and logs, unless `config` has others.
    ///
    /// # Errors
    ///
    /// When the configuration cannot work.
    pub fn new(
        connector: impl Connector,
        address: &str,
        mut config: Config,
    ) -> Result<Self, ConfigError> {
        let headers = config.headers(address)?;
        let life = Arc::new(Life::new(config.on_death.take()));
        let limits = config.limits;
        let pool = Pool::new(Box::new(connector), &limits);
        let name = config.name.take().unwrap_or_else(|| address.to_owned());
        Ok(Self {
            inner: Arc::new(Inner {
                limits,
                life,
                name,
                headers,
                pool,
                status: OnceLock::new(),
                closing: false.into(),
            }),
            heartbeat: OnceLock::new(),
        })
    }

    /// Calls the buildlet at `HOST:PORT`, without TLS.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn tcp(address: &str, config: Config) -> Result<Self, ConfigError> {
        let host = address.strip_suffix(":80").unwrap_or(address);
        Self::new(TcpConnector::new(address), host, config)
    }

    /// Calls a reverse buildlet, by its registered name. The client dies when its session ends, and the session lives as long
    /// as the client.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn reverse(
        dialer: revdial::Dialer,
        host: &str,
        config: Config,
    ) -> Result<Self, ConfigError> {
        Self::new(dialer, host, config)
    }

    /// Waits until the client is dead; [`broken`](BuildletClient::broken) has the reason then. Cancel safe.
    ///
    /// A client watches its buildlet from its first call on.
    pub async fn dead(&self) {
        self.inner.life.dead().cancelled().await;
    }

    /// Makes a call, and waits `limit` at most for the head of the reply.
    async fn call(&self, call: Call, limit: Option<Duration>) -> Result<Reply, CallError> {
        self.watch();
        self.inner.call(call, limit).await
    }

    /// Starts the heartbeat, if it does not beat yet.
    fn watch(&self) {
        self.heartbeat.get_or_init(|| {
            AbortOnDropHandle::new(tokio::spawn(heartbeat::watch(self.inner.clone())))
        });
    }

    /// A call whose reply says nothing but that it worked.
    async fn done(&self, call: Call) -> Result<(), CallError> {
        let reply = self.call(call, None).await?.accepted().await?;
        // Read so that the connection can be used again. It worked in any case.
        let _ = reply.body.read_small(MAX_TEXT, SMALL_BODY_TIMEOUT).await;
        Ok(())
    }

    /// A call for which the buildlet gives its connection away.
    async fn take_over(&self, call: Call) -> Result<BoxIo, CallError> {
        self.watch();
        let inner = &self.inner;
        let limit = inner.limits.ssh_timeout;
        let work = async {
            let mut connection = inner.pool.connect().await?;
            let request = call.into_request(&inner.headers)?;
            let mut response = connection.send(request).await?;
            if response.status() != StatusCode::SWITCHING_PROTOCOLS {
                let (head, body) = response.into_parts();
                let body = ReplyBody::new(body, connection, inner.life.clone());
                return Err(refused(head.status, body).await);
            }
            // With what came behind the head.
            let upgraded = hyper::upgrade::on(&mut response).await;
            let io = upgraded.map_err(CallError::Connection)?;
            Ok(Box::new(TokioIo::new(io)) as BoxIo)
        };
        inner.unless_dead(limited(Some(limit), work)).await
    }

    /// Whether there is an extension that a command asks for.
    async fn require(&self, extension: Extension) -> Result<(), CallError> {
        if self.supports(extension).await? {
            Ok(())
        } else {
            Err(CallError::Unsupported(extension))
        }
    }
}

impl Inner {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn die(&self, reason: &BrokenReason) {
        self.life.die(reason);
        self.pool.shut();
    }

    pub(super) async fn status(&self) -> Result<Status, CallError> {
        let call = Call::get(endpoint::STATUS);
        let json = self
            .small(self.call(call, Some(self.limits.head_timeout)).await?)
            .await?;
        let status = Status::from_json(&json).map_err(|error| CallError::Reply(error.into()))?;
        let _ = self.status.set(status.clone()); // the first one stays
        Ok(status)
    }

    /// The body of a reply that must be short.
    async fn small(&self, reply: Reply) -> Result<Vec<u8>, CallError> {
        let body = reply.accepted().await?.body;
        let read = body
            .read_small(MAX_SMALL_BODY, self.limits.head_timeout)
            .await?;
        if read.len() == MAX_SMALL_BODY {
            return Err(CallError::Reply("reply over 64 KiB".into()));
        }
        Ok(read)
    }

    async fn call(&self, call: Call, limit: Option<Duration>) -> Result<Reply, CallError> {
        self.unless_dead(limited(limit, async {
            let again = call.again();
            // What heartbeats get counts by itself.
            let is_status = call.path() == endpoint::STATUS;
            let sent = self.pool.send(call.into_request(&self.headers)?).await;
            let (response, connection) = match (sent, again) {
                (Ok(answered), _) => answered,
                // An idle connection that the buildlet closed at the same moment.
                (Err(SendError { used: true, error }), Some(again)) => {
                    tracing::debug!(%error, "a kept connection failed");
                    let request = again.into_request(&self.headers)?;
                    self.pool.send_on_new(request).await?
                }
                (Err(failed), _) => return Err(failed.error),
            };
            let (head, body) = response.into_parts();
            Ok(Reply {
                status: head.status,
                headers: head.headers,
                body: ReplyBody::new(body, connection, self.life.clone())
                    .showing_life(head.status == StatusCode::OK && !is_status),
            })
        }))
        .await
    }

    /// `work`, unless the client dies first.
    async fn unless_dead<T>(
        &self,
        work: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        match self.life.dead().run_until_cancelled(work).await {
            Some(result) => result,
            None => {
                let reason = self.life.death().cloned();
                Err(CallError::Dead(reason.unwrap_or(BrokenReason::Closed)))
            }
        }
    }
}

async fn limited<T>(
    limit: Option<Duration>,
    work: impl Future<Output = Result<T, CallError>>,
) -> Result<T, CallError> {
    match limit {
        None => work.await,
        Some(limit) => match timeout(limit, work).await {
            Ok(result) => result,
            Err(_) => Err(CallError::TimedOut(limit)),
        },
    }
}

/// A reply, of which the head is there.
struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: ReplyBody,
}

impl Reply {
    /// Itself if the buildlet did what it was asked to; that is what 200 means and nothing else.
    async fn accepted(self) -> Result<Self, CallError> {
        if self.status == StatusCode::OK {
            Ok(self)
        } else {
            Err(refused(self.status, self.body).await)
        }
    }
}

async fn refused(status: StatusCode, body: ReplyBody) -> CallError {
    // A status without its text says more than an error about the text.
    let text = body
        .read_small(MAX_TEXT, SMALL_BODY_TIMEOUT)
        .await
        .unwrap_or_default();
    CallError::Refused {
        status,
        text: String::from_utf8_lossy(&text).into_owned(),
    }
}

fn dir_query(dir: &str) -> Form {
    let mut query = Form::new();
    query.add("dir", dir);
    query
}

#[async_trait]
impl BuildletClient for HttpClient {
    fn name(&self) -> &str {
        self.inner.name()
    }

    async fn start(&self, mut request: ExecRequest) -> Result<Running, ExecError> {
        let mut limit = None;
        if request.isolation_level().is_some() {
            self.require(Extension::Isolation).await?;
        }
        if request.network_access().is_some() {
            self.require(Extension::Network).await?;
        }
        if request.resume().is_some() {
            self.require(Extension::Resume).await?;
        }
        if let Some(time) = request.time_limit() {
            limit = if self.supports(Extension::Timeout).await? {
                time.checked_add(TIMEOUT_GRACE)
            } else {
                request = request.without_timeout();
                Some(time)
            };
        }
        let inner = &self.inner;
        let status = inner.status.get();
        let offers = |extension| status.is_some_and(|status| status.supports(extension));
        let mut call = Call::post(endpoint::EXEC).form(&request.to_form());
        if offers(Extension::Isolation) || offers(Extension::Usage) {
            call = call.header(ACCEPT_HEADER, ACCEPT_TRAILERS);
        }
        let reply = match self.call(call, Some(inner.limits.head_timeout)).await {
            Err(CallError::TimedOut(limit)) => {
                inner.life.mark_broken(BrokenReason::ExecHeadTimedOut);
                return Err(ExecError::HeadTimedOut(limit));
            }
            other => other?.accepted().await?,
        };
        // Ours kill all that a command started, when its connection ends, unless it is to outlive that.
        let kills_all = offers(Extension::Timeout) && request.resume().is_none();
        Ok(Running::new(
            reply.body,
            inner.life.clone(),
            kills_all,
            limit,
        ))
    }

    async fn attach(
        &self,
        key: &ResumeKey,
        part: u32,
        offset: u64,
    ) -> Result<Running, AttachError> {
        self.require(Extension::Resume)
            .await
            .map_err(AttachError::Call)?;
        let mut form = Form::new();
        form.add(RESUME_FIELD, key.to_text());
        form.add(PART_FIELD, part.to_string());
        form.add(OFFSET_FIELD, offset.to_string());
        let call = Call::post(endpoint::ATTACH)
            .form(&form)
            .header(ACCEPT_HEADER, ACCEPT_TRAILERS);
        let inner = &self.inner;
        let reply = async {
            let reply = self.call(call, Some(inner.limits.head_timeout)).await?;
            reply.accepted().await
        };
        let reply = reply.await.map_err(|error| match error.status() {
            Some(StatusCode::NOT_FOUND) => AttachError::Unknown,
            Some(StatusCode::GONE) => AttachError::OutputGone { offset },
            _ => AttachError::Call(error),
        })?;
        Ok(Running::new(reply.body, inner.life.clone(), false, None))
    }

    async fn abandon(&self, names: &[KeptName]) -> Result<(), CallError> {
        self.require(Extension::Resume).await?;
        let mut form = Form::new();
        for name in names {
            form.add(NAME_FIELD, name.to_string());
        }
        let call = Call::post(endpoint::ABANDON).form(&form);
        let reply = self.call(call, Some(ABANDON_LIMIT)).await?;
        let _ = reply
            .accepted()
            .await?
            .body
            .read_small(MAX_TEXT, SMALL_BODY_TIMEOUT)
            .await;
        Ok(())
    }

    async fn put(&self, content: Content, path: &str, mode: FileMode) -> Result<(), CallError> {
        let query = WriteRequest::new(path, mode).to_form();
        let call = Call::new(Method::PUT, endpoint::WRITE).query(&query);
        self.done(call.content(content)).await
    }

    async fn put_tar(&self, archive: Archive, dir: &str) -> Result<(), CallError> {
        let mut call = Call::new(Method::PUT, endpoint::WRITETGZ).query(&dir_query(dir));
        if archive.format() != ArchiveFormat::TarGz {
            self.require(Extension::Tar).await?;
            call = call.header(FORMAT_HEADER, archive.format().as_str());
        }
        self.done(call.content(archive.into_content())).await
    }

    async fn put_tar_from_url(&self, url: &str, dir: &str) -> Result<(), CallError> {
        let mut form = Form::new();
        form.add("url", url);
        let call = Call::post(endpoint::WRITETGZ).query(&dir_query(dir));
        self.done(call.form(&form)).await
    }

    async fn get_tar(&self, dir: &str, preferred: ArchiveFormat) -> Result<Archive, CallError> {
        // Buildlets of 2024 and later refuse an empty directory, older ones take either.
        let dir = if dir.is_empty() { "." } else { dir };
        let mut call = Call::get(endpoint::TGZ).query(&dir_query(dir));
        if preferred != ArchiveFormat::TarGz && self.supports(Extension::Tar).await? {
            call = call.header(ACCEPT_HEADER, preferred.as_str());
        }
        let reply = self.call(call, None).await?.accepted().await?;
        let header = reply.headers.get(FORMAT_HEADER).map(HeaderValue::as_bytes);
        let format = ArchiveFormat::of_body(header)
            .ok_or_else(|| CallError::Reply("archive of a format that is not known".into()))?;
        let content = Content::from_reader(reply.body.into_reader());
        Ok(Archive::new(format, content))
    }

    async fn list_dir(&self, request: ListRequest) -> Result<Listing, CallError> {
        let call = Call::get(endpoint::LS).query(&request.to_form());
        let reply = self.call(call, None).await?.accepted().await?;
        Ok(Listing::new(reply.body))
    }

    async fn remove_all(&self, paths: &[String]) -> Result<(), CallError> {
        if paths.is_empty() {
            return Ok(());
        }
        let mut form = Form::new();
        for path in paths {
            form.add("path", path);
        }
        self.done(Call::post(endpoint::REMOVEALL).form(&form)).await
    }

    async fn status(&self) -> Result<Status, CallError> {
        self.watch();
        self.inner.status().await
    }

    async fn supports(&self, extension: Extension) -> Result<bool, CallError> {
        let status = match self.inner.status.get() {
            Some(status) => status,
            None => &self.status().await?,
        };
        Ok(status.supports(extension))
    }

    async fn work_dir(&self) -> Result<String, CallError> {
        let limit = self.inner.limits.head_timeout;
        let reply = self.call(Call::get(endpoint::WORKDIR), Some(limit)).await?;
        let body = self.inner.small(reply).await?;
        String::from_utf8(body).map_err(|error| CallError::Reply(error.into()))
    }

    async fn connect_ssh(&self, user: &str, authorized_key: &str) -> Result<BoxIo, CallError> {
        let call = Call::post(endpoint::CONNECT_SSH)
            .header(endpoint::SSH_AUTHORIZED_KEY, authorized_key)
            .header(endpoint::SSH_USER, user);
        self.take_over(call).await
    }

    async fn proxy_tcp(&self, port: u16) -> Result<BoxIo, CallError> {
        if self.inner.headers.proxy_name.is_none() {
            return Err(CallError::NotProxied);
        }
        let call = Call::post(endpoint::TCPPROXY).header(endpoint::TARGET_PORT, &port.to_string());
        self.take_over(call).await
    }

    fn broken(&self) -> Option<BrokenReason> {
        self.inner.life.broken().cloned()
    }

    fn mark_broken(&self, reason: BrokenReason) {
        self.inner.life.mark_broken(reason);
    }

    async fn close(&self) {
        let inner = &self.inner;
        if inner.closing.swap(true, Ordering::Relaxed) || inner.life.death().is_some() {
            return;
        }
        let limit = inner.limits.halt_timeout;
        if let Err(error) = inner.call(Call::post(endpoint::HALT), Some(limit)).await {
            tracing::debug!(buildlet = inner.name(), %error, "could not tell a buildlet to halt");
        }
        inner.die(&BrokenReason::Closed);
    }
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient")
            .field("name", &self.inner.name)
            .field("broken", &self.inner.life.broken())
            .finish_non_exhaustive()
    }
}
