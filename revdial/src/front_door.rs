use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::config::{ConfigError, DialerConfig, check_count, check_time};
use crate::connect::{Candidate, tune};
use crate::connection::Connection;
use crate::dialer::{Dialer, NewDialerError};
use crate::proto::{Claim, DialerId, HeadError, Refusal, Routed, Routes, SamePath, behind_head};
use crate::registry::PickupRegistry;
use crate::rewind::Rewind;

/// What a switch of protocols is answered with. Sent and flushed alone: on TLS it must end a record, because a Go listener throws
/// away what it read of the same record behind it.
const SWITCHING: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\n\r\n";
/// How long the peer may take to accept a reply.
const REPLY_LIMIT: Duration = Duration::from_secs(10);
/// How long to wait before accepting again when the system has no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Looks at the first request of a connection: takes registrations and pick-ups over, and hands everything else on.
///
/// HTTP libraries give a connection away only if the request asks for an upgrade, which those of buildlets do not. So the
/// front door stands before the HTTP server, and the server gets its connections from it, with the bytes put back.
///
/// ```
/// use revdial::{Accepted, Arrival, FrontDoor, FrontDoorConfig, PickupRegistry};
/// use revdial::proto::{Claim, Refusal};
/// use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let nobody = |_: &Claim| Err(Refusal::INVALID_KEY);
/// let door = FrontDoor::new(FrontDoorConfig::default(), PickupRegistry::new(), nobody)?;
///
/// let (mut browser, server) = tokio::io::duplex(1024);
/// browser.write_all(b"GET / HTTP/1.1\r\n").await?;
/// let Accepted::Other(mut stream) = door.accept(Arrival::tls(server)).await? else { panic!("no worker asks for that") };
/// let mut start = [0; 5];
/// stream.read_exact(&mut start).await?; // what the front door read is there again
/// assert_eq!(&start, b"GET /");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct FrontDoor {
    inner: Arc<Inner>,
}

/// Paths and limits of a [`FrontDoor`].
#[derive(Clone, Debug)]
pub struct FrontDoorConfig {
    routes: Routes,
    dialer: DialerConfig,
    head_limit: Duration,
    max_heads: usize,
    max_sessions: usize,
    max_connections: usize,
}

/// A connection that has been accepted, and what is known of it.
#[derive(Debug)]
pub struct Arrival<IO> {
    io: IO,
    is_tls: bool,
    peer: Option<SocketAddr>,
}

/// What a connection turned out to be.
#[derive(Debug)]
#[non_exhaustive]
pub enum Accepted<IO> {
    /// A worker's control connection. The session ends with the dialer.
    Registered(Registered),
    /// A pick-up; its dialer has it.
    PickedUp,
    /// Anything else, from its first byte on, for another server.
    Other(Rewind<IO>),
}

/// A worker that has registered.
#[derive(Debug)]
#[non_exhaustive]
pub struct Registered {
    /// Dials it.
    pub dialer: Dialer,
    /// Who it is.
    pub claim: Claim,
    /// Where it connected from, if the [`Arrival`] said.
    pub peer: Option<SocketAddr>,
}

/// Why a connection came to nothing.
#[derive(Debug)]
#[non_exhaustive]
pub enum AcceptError {
    /// The request was refused; the peer has been told.
    Refused(Refusal),
    /// The peer closed the connection before its request was whole.
    PeerClosed,
    /// The request was not whole in time.
    TimedOut,
    /// The request's head is not HTTP, or too large; the peer has been told.
    Head(HeadError),
    /// [`FrontDoorConfig::max_heads`] other requests are being read.
    Busy,
    /// Reading or writing failed.
    Io(io::Error),
}

/// Why there can be no such front door.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrontDoorError {
    /// A limit cannot work.
    Config(ConfigError),
    /// Two rules are for one path.
    Routes(SamePath),
}

/// Says whether a worker is who it claims to be.
///
/// A closure from `&Claim` to `Result<(), Refusal>` is one; implement the trait where the answer takes time, such as for
/// a token that must be checked with its issuer.
pub trait Authorize: Send + Sync + 'static {
    /// Judges a claim. Compare keys in constant time. The front door waits [`FrontDoorConfig::head_limit`] at most.
    fn authorize<'a>(&'a self, claim: &'a Claim) -> Authorizing<'a>;
}

/// A judgement to be.
pub type Authorizing<'a> = Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send + 'a>>;

impl<F> Authorize for F
where
    F: Fn(&Claim) -> Result<(), Refusal> + Send + Sync + 'static,
{
    fn authorize<'a>(&'a self, claim: &'a Claim) -> Authorizing<'a> {
        let judgement = self(claim);
        Box::pin(async move { judgement })
    }
}

struct Inner {
    config: FrontDoorConfig,
    registry: PickupRegistry,
    authorize: Box<dyn Authorize>,
    heads: Semaphore,
    connections: Arc<Semaphore>,
}

impl FrontDoor {
    /// A front door that asks `authorize` about every registration, and makes dialers that `registry` knows.
    ///
    /// # Errors
    ///
    /// [`FrontDoorError`].
    pub fn new(
        config: FrontDoorConfig,
        registry: PickupRegistry,
        authorize: impl Authorize,
    ) -> Result<Self, FrontDoorError> {
        let config = config.validate()?;
        Ok(Self {
            inner: Arc::new(Inner {
                heads: Semaphore::new(config.max_heads),
                connections: Arc::new(Semaphore::new(config.max_connections)),
                config,
                registry,
                authorize: Box::new(authorize),
            }),
        })
    }

    /// The registry that this front door delivers pick-ups to.
    #[must_use]
    pub fn registry(&self) -> &PickupRegistry {
        &self.inner.registry
    }

    /// Looks at a connection's first request, and does what it asks for.
    ///
    /// A request for a path that is not the front door's is handed on as soon as its first line is there, and so is what is no HTTP/1
    /// at all: another server may know what to do.
    ///
    /// # Errors
    ///
    /// [`AcceptError`]; the connection is closed then.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: dropping the future closes the connection.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub async fn accept<IO>(&self, arrival: Arrival<IO>) -> Result<Accepted<IO>, AcceptError>
    where
        IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let Arrival {
            mut io,
            is_tls,
            peer,
        } = arrival;
        let slot = self
            .inner
            .heads
            .try_acquire()
            .map_err(|_| AcceptError::Busy)?;
        let looked = timeout(self.inner.config.head_limit, self.look(&mut io, is_tls)).await;
        let outcome = match looked {
            Ok(outcome) => outcome,
            Err(_) => Err(AcceptError::TimedOut),
        };
        drop(slot);
        match outcome {
            Ok(Outcome::Other(front)) => Ok(Accepted::Other(Rewind::new(io, front))),
            Ok(Outcome::Claim(claim, front)) => {
                let dialer = self.switch_to_control(io, front).await?;
                Ok(Accepted::Registered(Registered {
                    dialer,
                    claim: *claim,
                    peer,
                }))
            }
            Ok(Outcome::PickUp(id, front)) => {
                reply(&mut io, SWITCHING).await?;
                let conn = Connection::with_front(io, front);
                match self.inner.registry.deliver(&id, conn) {
                    Ok(()) => Ok(Accepted::PickedUp),
                    // Its session ended within the last round trip. The connection's end tells the worker.
                    Err(_) => Err(AcceptError::Refused(Refusal::UNKNOWN_DIALER)),
                }
            }
            Err(error) => {
                let refusal = match &error {
                    AcceptError::Refused(refusal) => Some(refusal),
                    AcceptError::Head(_) => Some(&Refusal::MALFORMED),
                    _ => None,
                };
                if let Some(refusal) = refusal {
                    reply(&mut io, &refusal.encode()).await?;
                    // A peer that is gone cannot be told, which is no loss.
                    let _ = timeout(REPLY_LIMIT, io.shutdown()).await;
                }
                Err(error)
            }
        }
    }

    /// Accepts connections for ever: makes each an [`Arrival`] (this is where TLS is spoken), lets it [in](Self::accept), and has it handled.
    ///
    /// TCP is set to send small writes at once and to ask every 15 s whether an idle peer lives.
    ///
    /// Every connection has a task, at most [`FrontDoorConfig::max_connections`] of them; more wait in the system's queue. They end
    /// when the future is dropped. What fails before it is handled is given to `handle`, too. `arrive` must limit its own time.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub async fn serve<IO, A, Arriving, H, Handling>(
        self,
        listener: TcpListener,
        arrive: A,
        handle: H,
    ) -> std::convert::Infallible
    where
        IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
        A: Fn(TcpStream) -> Arriving + Send + Sync + 'static,
        Arriving: Future<Output = io::Result<Arrival<IO>>> + Send,
        H: Fn(Result<Accepted<IO>, AcceptError>) -> Handling + Send + Sync + 'static,
        Handling: Future<Output = ()> + Send,
    {
        let both = Arc::new((arrive, handle));
        let mut tasks = JoinSet::new();
        loop {
            let permit = self
                .inner
                .connections
                .clone()
                .acquire_owned()
                .await
                .expect("it is never closed");
            // Tasks that are over are let go of; one that panicked harmed nobody else.
            while tasks.try_join_next().is_some() {}
            let Ok((tcp, peer)) = listener.accept().await else {
                sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let (door, both) = (self.clone(), both.clone());
            tasks.spawn(async move {
                let (arrive, handle) = &*both;
                let arrival = async {
                    tune(&tcp)?;
                    let candidate = Candidate::new(&tcp)?;
                    Ok((arrive(tcp).await?, candidate))
                };
                let accepted = match arrival.await {
                    Ok((arrival, candidate)) => {
                        let accepted = door.accept(arrival.from_peer(peer)).await;
                        if let Ok(Accepted::Registered(_)) = accepted {
                            candidate.is_session();
                        }
                        accepted
                    }
                    Err(error) => Err(AcceptError::Io(error)),
                };
                handle(accepted).await;
                drop(permit);
            });
        }
    }

    /// Reads up to where it is clear what is to be done; answers redirects itself.
    async fn look<IO>(&self, io: &mut IO, is_tls: bool) -> Result<Outcome, AcceptError>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let Inner {
            config,
            registry,
            authorize,
            ..
        } = &*self.inner;
        let mut received = BytesMut::with_capacity(1024);
        loop {
            match config
                .routes
                .route(&received, is_tls)
                .map_err(AcceptError::Head)?
            {
                Routed::Other => return Ok(Outcome::Other(received.freeze())),
                Routed::Refused(refusal) => return Err(AcceptError::Refused(refusal)),
                Routed::Redirected {
                    reply: redirect,
                    len,
                } => {
                    reply(io, &redirect).await?;
                    received = behind_head(received, len).into();
                    continue;
                }
                Routed::PickUp { dialer, len } if registry.contains(&dialer) => {
                    return Ok(Outcome::PickUp(dialer, behind_head(received, len)));
                }
                Routed::PickUp { .. } => return Err(AcceptError::Refused(Refusal::UNKNOWN_DIALER)),
                Routed::Register { claim, len } => {
                    authorize
                        .authorize(&claim)
                        .await
                        .map_err(AcceptError::Refused)?;
                    if registry.len() >= config.max_sessions {
                        return Err(AcceptError::Refused(Refusal::TOO_MANY));
                    }
                    return Ok(Outcome::Claim(claim, behind_head(received, len)));
                }
                Routed::Unfinished => {}
            }
            received.reserve(512);
            if io.read_buf(&mut received).await.map_err(AcceptError::Io)? == 0 {
                return Err(AcceptError::PeerClosed);
            }
        }
    }

    async fn switch_to_control<IO>(
        &self,
        mut io: IO,
        front: bytes::Bytes,
    ) -> Result<Dialer, AcceptError>
    where
        IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let FrontDoorConfig { routes, dialer, .. } = &self.inner.config;
        let id = DialerId::random().map_err(AcceptError::Io)?;
        reply(&mut io, SWITCHING).await?;
        match Dialer::new(
            Rewind::new(io, front),
            routes.pickup_path(),
            id,
            &self.inner.registry,
            *dialer,
        ) {
            Ok(dialer) => Ok(dialer),
            // The configuration was checked when the front door was made, and an id of 128 random bits does not come twice.
            Err(error @ (NewDialerError::Config(_) | NewDialerError::IdInUse)) => {
                Err(AcceptError::Io(io::Error::other(error)))
            }
        }
    }
}

/// What is to be done with a connection.
enum Outcome {
    Other(bytes::Bytes),
    Claim(Box<Claim>, bytes::Bytes),
    PickUp(DialerId, bytes::Bytes),
}

impl FrontDoorConfig {
    /// Which paths are whose; upstream's by default.
    #[must_use]
    pub fn routes(mut self, routes: Routes) -> Self {
        self.routes = routes;
        self
    }

    /// How the dialers of registered workers behave.
    #[must_use]
    pub fn dialer(mut self, config: DialerConfig) -> Self {
        self.dialer = config;
        self
    }

    /// How long a connection may take to say what it wants, an authoriser's time included; 10 s by default.
    #[must_use]
    pub fn head_limit(mut self, limit: Duration) -> Self {
        self.head_limit = limit;
        self
    }

    /// How many connections may be saying so at once; 1,024 by default, with up to 16 KiB each. More are closed.
    #[must_use]
    pub fn max_heads(mut self, connections: usize) -> Self {
        self.max_heads = connections;
        self
    }

    /// How many workers may be registered at once; 65,536 by default. More are told 503 and come again.
    #[must_use]
    pub fn max_sessions(mut self, workers: usize) -> Self {
        self.max_sessions = workers;
        self
    }

    /// How many connections [`FrontDoor::serve`] has at once; 65,536 by default.
    #[must_use]
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = connections;
        self
    }

    fn validate(self) -> Result<Self, FrontDoorError> {
        self.dialer.validate().map_err(FrontDoorError::Config)?;
        check_time("head_limit", Some(self.head_limit)).map_err(FrontDoorError::Config)?;
        for (setting, count) in [
            ("max_heads", self.max_heads),
            ("max_sessions", self.max_sessions),
            ("max_connections", self.max_connections),
        ] {
            // A semaphore counts no further.
            check_count(setting, count.min(Semaphore::MAX_PERMITS))
                .map_err(FrontDoorError::Config)?;
        }
        self.routes.check().map_err(FrontDoorError::Routes)?;
        Ok(self)
    }
}

impl Default for FrontDoorConfig {
    fn default() -> Self {
        Self {
            routes: Routes::default(),
            dialer: DialerConfig::default(),
            head_limit: Duration::from_secs(10),
            max_heads: 1024,
            max_sessions: 1 << 16,
            max_connections: 1 << 16,
        }
    }
}

impl<IO> Arrival<IO> {
    /// A connection after its TLS hand-shake.
    pub fn tls(io: IO) -> Self {
        Self {
            io,
            is_tls: true,
            peer: None,
        }
    }

    /// A connection without TLS, over which workers are refused unless [allowed](Routes::allow_plain).
    pub fn plain(io: IO) -> Self {
        Self {
            io,
            is_tls: false,
            peer: None,
        }
    }

    /// Where it comes from.
    #[must_use]
    pub fn from_peer(mut self, peer: SocketAddr) -> Self {
        self.peer = Some(peer);
        self
    }
}

impl fmt::Debug for FrontDoor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrontDoor")
            .field("config", &self.inner.config)
            .field("registry", &self.inner.registry)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for AcceptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => write!(f, "refused: {refusal}"),
            Self::PeerClosed => f.write_str("connection ended before its first request"),
            Self::TimedOut => f.write_str("first request did not come in time"),
            Self::Head(error) => write!(f, "bad request: {error}"),
            Self::Busy => f.write_str("too many first requests at once"),
            Self::Io(_) => f.write_str("connection failed"),
        }
    }
}

impl Error for AcceptError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl fmt::Display for FrontDoorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Routes(error) => error.fmt(f),
        }
    }
}

impl Error for FrontDoorError {}

/// Writes and flushes one reply, by itself.
async fn reply<IO: AsyncWrite + Unpin>(io: &mut IO, bytes: &[u8]) -> Result<(), AcceptError> {
    let written = timeout(REPLY_LIMIT, async {
        io.write_all(bytes).await?;
        io.flush().await
    });
    match written.await {
        Ok(written) => written.map_err(AcceptError::Io),
        Err(_) => Err(AcceptError::TimedOut),
    }
}
