use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::future::ready;
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use futures_core::Stream;
use http::header::{DATE, HeaderValue};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::head::MAX_HEAD_BYTES;
use super::io::ServerIo;
use super::reply::{self, Refusal};
use super::resume::Kept;
use super::{Config, ConfigError, SshSession};
use crate::exec::Workplace;
use crate::types::endpoint;
use crate::workdir::Workdir;

/// Connections beyond the limit that are told so at the same time; those beyond this are closed without a word.
const MAX_TURNED_AWAY: usize = 16;

/// Accepting fails while the process has no descriptor left; then it waits, and gives up after a minute of nothing but
/// failures.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const MAX_ACCEPT_FAILURES: u32 = 600;

/// The HTTP service of a buildlet: one work directory, and what may be done in it.
///
/// Cheap to clone; clones share limits.
#[derive(Clone)]
pub struct Server {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) config: Config,
    pub(super) workdir: Arc<Workdir>,
    pub(super) workplace: Arc<Workplace>,
    pub(super) execs: Arc<Semaphore>,
    pub(super) kept: Arc<Kept>,
    pub(super) connections: Arc<Semaphore>,
    turned_away: Arc<Semaphore>,
    /// Threads that have files open, and what a halt still has to do.
    pub(super) tasks: TaskTracker,
}

/// Which requests a connection is for.
#[derive(Clone, Copy)]
enum Service {
    All,
    Health,
    /// None: there are too many connections.
    TurnedAway,
}

impl Server {
    /// A server for `workdir`.
    ///
    /// # Errors
    ///
    /// When a limit in `config` is zero or too large.
    pub fn new(workdir: Workdir, config: Config) -> Result<Self, ConfigError> {
        let mut config = config.validate()?;
        let environment = config
            .environment
            .take()
            .unwrap_or_else(|| std::env::vars_os().collect());
        let workplace = Workplace::new(workdir.path(), environment);
        Ok(Self {
            shared: Arc::new(Shared {
                workdir: Arc::new(workdir),
                workplace: Arc::new(workplace),
                execs: Arc::new(Semaphore::new(config.max_execs)),
                kept: Arc::new(Kept::new(config.kept)),
                connections: Arc::new(Semaphore::new(config.max_connections)),
                turned_away: Arc::new(Semaphore::new(MAX_TURNED_AWAY)),
                tasks: TaskTracker::new(),
                config,
            }),
        })
    }

    /// Kills the commands that outlived their connections, at once and without waiting. They also end with the last clone of the server.
    pub fn end_kept_commands(&self) {
        self.shared.kept.end();
    }

    /// Serves `connections` until they end or `stop` is cancelled.
    ///
    /// Then no connection is accepted any more, idle ones are closed, and running requests get the time of [`Config::grace`] to
    /// end. After that they are cut off, and their commands killed, except those that are
    /// [kept](crate::types::ext#commands-that-outlive-their-connection): they go on for their time, also if the server serves others meanwhile.
    ///
    /// # Errors
    ///
    /// [`ServeError::Accept`] when accepting has failed for a minute; [`ServeError::Grace`] when requests had to be cut off.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes all connections and kills all commands at once.
    pub async fn serve<S, T>(
        &self,
        connections: S,
        stop: CancellationToken,
    ) -> Result<(), ServeError>
    where
        S: Stream<Item = io::Result<T>>,
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let prepare = |io| ready(Ok(io));
        self.serve_all(connections, prepare, stop, Service::All)
            .await
    }

    /// As [`serve`](Self::serve), for connections that need something done before they carry requests: a TLS handshake.
    ///
    /// It is done for many at the same time, each within [`Config::head_limit`], and counts as a connection. One that fails is closed.
    ///
    /// ```no_run
    /// # async fn f(server: buildlet_proto::server::Server, tcp: tokio::net::TcpListener, tls: tokio_rustls::TlsAcceptor)
    /// # -> Result<(), buildlet_proto::server::ServeError> {
    /// use buildlet_proto::server;
    /// server.serve_with(server::tcp(tcp), |io| tls.accept(io), Default::default()).await
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`serve`](Self::serve).
    ///
    /// # Cancel safety
    ///
    /// As [`serve`](Self::serve).
    pub async fn serve_with<S, T, P, F, U>(
        &self,
        connections: S,
        prepare: P,
        stop: CancellationToken,
    ) -> Result<(), ServeError>
    where
        S: Stream<Item = io::Result<T>>,
        P: Fn(T) -> F,
        F: Future<Output = io::Result<U>> + Send + 'static,
        U: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        self.serve_all(connections, prepare, stop, Service::All)
            .await
    }

    /// Serves `/healthz` and nothing else, without password: for the health port of a reverse buildlet, whose other requests
    /// come by way of its coordinator.
    ///
    /// # Errors
    ///
    /// As [`serve`](Self::serve).
    ///
    /// # Cancel safety
    ///
    /// As [`serve`](Self::serve).
    pub async fn serve_health<S, T>(
        &self,
        connections: S,
        stop: CancellationToken,
    ) -> Result<(), ServeError>
    where
        S: Stream<Item = io::Result<T>>,
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let prepare = |io| ready(Ok(io));
        self.serve_all(connections, prepare, stop, Service::Health)
            .await
    }

    /// Serves one connection until it ends. The limit for the number of connections does not count here.
    ///
    /// # Errors
    ///
    /// When the connection fails, or the peer does not keep to HTTP/1.1 or to the limits. What there was to answer, was answered.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection, and kills the command that runs for it.
    pub async fn serve_connection<T>(&self, io: T) -> Result<(), ConnectionError>
    where
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let stop = CancellationToken::new();
        self.shared.clone().connection(io, Service::All, stop).await
    }

    async fn serve_all<S, T, P, F, U>(
        &self,
        connections: S,
        prepare: P,
        stop: CancellationToken,
        service: Service,
    ) -> Result<(), ServeError>
    where
        S: Stream<Item = io::Result<T>>,
        P: Fn(T) -> F,
        F: Future<Output = io::Result<U>> + Send + 'static,
        U: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let mut connections = pin!(connections);
        // Connections also stop when no further ones come.
        let ending = stop.child_token();
        let mut running = JoinSet::new();
        let mut failures = 0;
        let accepted = loop {
            let next = std::future::poll_fn(|cx| connections.as_mut().poll_next(cx));
            tokio::select! {
                () = stop.cancelled() => break Ok(()),
                Some(_) = running.join_next() => {}
                next = next => match next {
                    None => break Ok(()),
                    Some(Ok(io)) => {
                        failures = 0;
                        self.spawn(&mut running, prepare(io), service, &ending);
                    }
                    Some(Err(source)) => {
                        tracing::warn!(%source, "cannot accept a connection");
                        failures += 1;
                        if failures == MAX_ACCEPT_FAILURES {
                            break Err(ServeError::Accept { source });
                        }
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        };
        ending.cancel();
        accepted.and(self.drain(running).await)
    }

    /// Serves a connection as a task, within the limits.
    fn spawn<F, T>(
        &self,
        running: &mut JoinSet<()>,
        prepared: F,
        service: Service,
        stop: &CancellationToken,
    ) where
        F: Future<Output = io::Result<T>> + Send + 'static,
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let shared = self.shared.clone();
        let (permit, service) = match shared.connections.clone().try_acquire_owned() {
            Ok(permit) => (permit, service),
            Err(_) => match shared.turned_away.clone().try_acquire_owned() {
                Ok(permit) => (permit, Service::TurnedAway),
                Err(_) => {
                    tracing::warn!("too many connections: one is closed without a word");
                    return;
                }
            },
        };
        let stop = stop.clone();
        running.spawn(async move {
            let _permit: OwnedSemaphorePermit = permit;
            let served = async {
                let prepared = timeout(shared.config.head_limit, prepared);
                let late = |_| ConnectionError("no handshake in time".into());
                let io = prepared.await.map_err(late)?;
                let io = io.map_err(|error| ConnectionError(error.into()))?;
                shared.connection(io, service, stop).await
            };
            if let Err(error) = served.await {
                tracing::debug!(error = &error as &dyn Error, "a connection failed");
            }
        });
    }

    /// Waits for what runs, but not for longer than is granted.
    async fn drain(&self, mut running: JoinSet<()>) -> Result<(), ServeError> {
        let grace = self.shared.config.grace;
        let ended = timeout(grace, async {
            while running.join_next().await.is_some() {}
        });
        let ended = ended.await.map_err(|_| ServeError::Grace {
            connections: running.len(),
        });
        running.shutdown().await;
        // Threads notice that their connections have gone.
        self.shared.tasks.close();
        let _ = timeout(grace, self.shared.tasks.wait()).await;
        ended
    }
}

impl Shared {
    async fn connection<T>(
        self: Arc<Self>,
        io: T,
        service: Service,
        stop: CancellationToken,
    ) -> Result<(), ConnectionError>
    where
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let config = &self.config;
        let io = ServerIo::new(io, config.head_limit, config.stall_limit);
        let idle_limit = match service {
            Service::All | Service::Health => config.idle_limit,
            Service::TurnedAway => config.head_limit,
        };
        let tunnel = Arc::new(Mutex::new(None));
        let handler = service_fn(|request| {
            let (shared, tunnel) = (self.clone(), tunnel.clone());
            async move { Ok::<_, Infallible>(shared.respond(service, request, &tunnel).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            // From the end of a reply to that of the next head.
            .header_read_timeout(idle_limit)
            .max_header_size(MAX_HEAD_BYTES)
            .max_buf_size(2 * MAX_HEAD_BYTES)
            .title_case_headers(true)
            // The 101 of an SSH connection must not have one.
            .auto_date_header(false)
            .serve_connection(TokioIo::new(io), handler)
            .with_upgrades();
        let mut connection = pin!(connection);
        tokio::select! {
            ended = &mut connection => ended,
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
        .map_err(|error| ConnectionError(error.into()))?;
        let tunnel = tunnel.lock().unwrap_or_else(PoisonError::into_inner).take();
        match tunnel {
            // An SSH session would not end by itself.
            Some(tunnel) => stop
                .run_until_cancelled(tunnel.run())
                .await
                .unwrap_or(Ok(())),
            None => Ok(()),
        }
    }

    async fn respond(
        &self,
        service: Service,
        request: Request<Incoming>,
        tunnel: &Mutex<Option<Tunnel>>,
    ) -> Response<reply::Body> {
        let result = match service {
            Service::All => self.route(request, tunnel).await,
            Service::Health if request.uri().path() == endpoint::HEALTHZ => Ok(reply::text("ok\n")),
            Service::Health => Err(Refusal::not_found()),
            Service::TurnedAway => {
                Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "too many connections").closing())
            }
        };
        let mut response = result.unwrap_or_else(Refusal::into_response);
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            let date = httpdate::fmt_http_date(SystemTime::now());
            if let Ok(date) = HeaderValue::try_from(date) {
                response.headers_mut().insert(DATE, date);
            }
        }
        response
    }
}

impl Shared {
    /// Runs file operations on a thread that may block.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let done = self.tasks.spawn_blocking(work).await;
        done.map_err(|_| Refusal::mistake())
    }
}

/// A connection that becomes an SSH session, once hyper is done with it.
pub(super) struct Tunnel {
    pub(super) client: OnUpgrade,
    pub(super) session: SshSession,
}

impl Tunnel {
    async fn run(self) -> Result<(), ConnectionError> {
        let failed = |error: Box<dyn Error + Send + Sync>| ConnectionError(error);
        let client = self.client.await.map_err(|error| failed(error.into()))?;
        let session = (self.session)(Box::new(TokioIo::new(client)));
        session.await.map_err(|error| failed(error.into()))
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("config", &self.shared.config)
            .finish_non_exhaustive()
    }
}

/// Why a server ended otherwise than it was told to.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServeError {
    /// No connection could be accepted for a minute.
    Accept {
        /// The last failure.
        source: io::Error,
    },
    /// Requests still ran at the end of the grace, and were cut off.
    Grace {
        /// On so many connections.
        connections: usize,
    },
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accept { .. } => f.write_str("cannot accept connections"),
            Self::Grace { connections } => {
                write!(f, "{connections} connections had to be cut off")
            }
        }
    }
}

impl Error for ServeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Accept { source } => Some(source),
            Self::Grace { .. } => None,
        }
    }
}

/// Why a connection ended otherwise than by the end of it.
#[derive(Debug)]
pub struct ConnectionError(Box<dyn Error + Send + Sync>);

impl fmt::Display for ConnectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection failed")
    }
}

impl Error for ConnectionError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.0.as_ref())
    }
}
