use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::connection::Connection;
use crate::proxy::{Proxy, ProxyError};

/// How long TCP may take to connect, as upstream.
const DIAL_LIMIT: Duration = Duration::from_secs(10);
/// How long the TLS hand-shake may take, as upstream.
#[cfg(feature = "tls")]
const TLS_LIMIT: Duration = Duration::from_secs(30);
/// How often TCP asks whether an idle peer lives, as upstream, and how often in vain.
const TCP_KEEP_ALIVE: Duration = Duration::from_secs(15);
const TCP_KEEP_ALIVES: u32 = 4;
/// How long a worker may leave a keep-alive of its session unacknowledged. TCP by itself tries for a quarter of an hour.
#[cfg(any(target_os = "android", target_os = "linux"))]
const UNACKNOWLEDGED: Duration = Duration::from_secs(60);

/// Opens streams to the coordinator, one for the registration and one for each pick-up.
///
/// [`TcpConnector`] does so over TCP and TLS. A closure does as well, for other transports and for tests:
///
/// ```
/// # async fn connect() -> Result<(), Box<dyn std::error::Error>> {
/// use revdial::Connect as _;
///
/// let connector = || tokio::net::UnixStream::connect("/run/coordinator.sock");
/// let stream = connector.connect().await?;
/// # Ok(())
/// # }
/// ```
pub trait Connect: Send + Sync + 'static {
    /// Opens one stream, in a time of its own choosing; callers put another limit on top.
    fn connect(&self) -> Connecting<'_>;
}

/// A stream to be.
pub type Connecting<'a> =
    Pin<Box<dyn Future<Output = Result<Connection, ConnectError>> + Send + 'a>>;

impl<F, Opening, IO> Connect for F
where
    F: Fn() -> Opening + Send + Sync + 'static,
    Opening: Future<Output = io::Result<IO>> + Send,
    IO: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    fn connect(&self) -> Connecting<'_> {
        Box::pin(async move {
            self()
                .await
                .map(Connection::new)
                .map_err(ConnectError::Dial)
        })
    }
}

impl Connect for Arc<dyn Connect> {
    fn connect(&self) -> Connecting<'_> {
        (**self).connect()
    }
}

/// Connects over TCP, and over TLS if told so.
///
/// TCP may take 10 s to connect, and asks every 15 s whether an idle peer lives; the TLS hand-shake may take 30 s.
#[derive(Clone, Debug)]
pub struct TcpConnector {
    address: Address,
    proxy: Option<Proxy>,
    #[cfg(feature = "tls")]
    tls: Option<Tls>,
}

/// A host, without brackets if it is an IPv6 address, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// How TLS names and checks the coordinator.
#[cfg(feature = "tls")]
#[derive(Clone)]
struct Tls {
    config: Arc<tokio_rustls::rustls::ClientConfig>,
    name: tokio_rustls::rustls::pki_types::ServerName<'static>,
}

/// Why a [`TcpConnector`] could not be made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectorError {
    /// The address is not `HOST:PORT`.
    Address {
        /// The address.
        address: String,
    },
    /// The host is no name that a certificate could be for.
    ServerName {
        /// The host.
        host: String,
    },
    /// The TLS configuration offers HTTP/2, in which a connection cannot be taken over.
    Http2,
}

/// Why no stream to the coordinator could be opened.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// TCP, or whatever carries the stream, did not connect.
    Dial(io::Error),
    /// Neither did the coordinator's address answer, nor was the way through the proxy open.
    Proxy {
        /// Why the direct way failed.
        direct: io::Error,
        /// Why the other did.
        source: ProxyError,
    },
    /// The TLS hand-shake failed, as it does when the certificate is not to be believed.
    Handshake(io::Error),
}

impl TcpConnector {
    /// Connects to `address`, a host name or an IP address, a colon and a port.
    ///
    /// # Errors
    ///
    /// [`ConnectorError::Address`].
    pub fn new(address: &str) -> Result<Self, ConnectorError> {
        let address = Address::parse(address).ok_or_else(|| ConnectorError::Address {
            address: address.to_owned(),
        })?;
        Ok(Self {
            address,
            proxy: None,
            #[cfg(feature = "tls")]
            tls: None,
        })
    }

    /// Speaks TLS. The coordinator must prove to be the host of the address, which is sent to it (SNI) without the port.
    ///
    /// # Errors
    ///
    /// [`ConnectorError::ServerName`] and [`ConnectorError::Http2`].
    #[cfg(feature = "tls")]
    pub fn tls(
        mut self,
        config: Arc<tokio_rustls::rustls::ClientConfig>,
    ) -> Result<Self, ConnectorError> {
        // A coordinator that sees it offered takes it, and then has no connection to hand over.
        if config
            .alpn_protocols
            .iter()
            .any(|protocol| protocol != b"http/1.1")
        {
            return Err(ConnectorError::Http2);
        }
        let host = self.address.host.clone();
        let name = host
            .clone()
            .try_into()
            .map_err(|_| ConnectorError::ServerName { host })?;
        self.tls = Some(Tls { config, name });
        Ok(self)
    }

    /// Goes through `proxy` when the direct way fails; `None`, the default, does not.
    #[must_use]
    pub fn proxy(mut self, proxy: Option<Proxy>) -> Self {
        self.proxy = proxy;
        self
    }

    async fn connect_tcp(&self) -> Result<TcpStream, ConnectError> {
        let direct = match dial(&self.address).await {
            Ok(tcp) => return Ok(tcp),
            Err(direct) => direct,
        };
        match &self.proxy {
            None => Err(ConnectError::Dial(direct)),
            Some(proxy) => match proxy.connect(&self.address).await {
                Ok(tcp) => Ok(tcp),
                Err(source) => Err(ConnectError::Proxy { direct, source }),
            },
        }
    }
}

impl Connect for TcpConnector {
    fn connect(&self) -> Connecting<'_> {
        Box::pin(async move {
            let tcp = self.connect_tcp().await?;
            #[cfg(feature = "tls")]
            if let Some(Tls { config, name }) = &self.tls {
                let connector = tokio_rustls::TlsConnector::from(config.clone());
                let handshake = timeout(TLS_LIMIT, connector.connect(name.clone(), tcp));
                let tls = handshake
                    .await
                    .map_err(|_| ConnectError::Handshake(io::ErrorKind::TimedOut.into()))?;
                return tls.map(Connection::new).map_err(ConnectError::Handshake);
            }
            Ok(Connection::new(tcp))
        })
    }
}

impl Address {
    pub(crate) fn parse(address: &str) -> Option<Self> {
        let (host, port) = address.rsplit_once(':')?;
        let port = port.parse().ok()?;
        let host = match host.strip_prefix('[') {
            Some(host) => host.strip_suffix(']')?,
            None if host.contains(':') => return None,
            None => host,
        };
        let is_safe =
            |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':' | '%');
        (!host.is_empty() && host.chars().all(is_safe)).then(|| Self {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') {
            write!(f, "[{host}]:{port}")
        } else {
            write!(f, "{host}:{port}")
        }
    }
}

#[cfg(feature = "tls")]
impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for ConnectorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address { address } => write!(f, "address {address:?} is not HOST:PORT"),
            Self::ServerName { host } => write!(f, "{host:?} is no name of a TLS server"),
            Self::Http2 => f.write_str("TLS must offer no protocol (ALPN) but http/1.1"),
        }
    }
}

impl std::error::Error for ConnectorError {}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dial(_) => f.write_str("cannot connect to the coordinator"),
            Self::Proxy { direct, .. } => {
                write!(
                    f,
                    "cannot connect to the coordinator ({direct}), nor through the proxy"
                )
            }
            Self::Handshake(_) => f.write_str("failed to handshake with coordinator"),
        }
    }
}

impl std::error::Error for ConnectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Dial(source) | Self::Handshake(source) => Some(source),
            Self::Proxy { source, .. } => Some(source),
        }
    }
}

/// Opens a TCP connection, within a limit.
pub(crate) async fn dial(address: &Address) -> io::Result<TcpStream> {
    let Address { host, port } = address;
    let tcp = timeout(DIAL_LIMIT, TcpStream::connect((host.as_str(), *port))).await??;
    tune(&tcp)?;
    Ok(tcp)
}

/// Makes TCP notice when its peer is gone, and send small writes at once.
pub(crate) fn tune(tcp: &TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let keep_alive = TcpKeepalive::new()
        .with_time(TCP_KEEP_ALIVE)
        .with_interval(TCP_KEEP_ALIVE);
    #[cfg(not(any(target_os = "openbsd", target_os = "redox", target_os = "solaris")))]
    let keep_alive = keep_alive.with_retries(TCP_KEEP_ALIVES);
    SockRef::from(tcp).set_tcp_keepalive(&keep_alive)
}

/// A second handle of a connection that may become a session, for when it is one.
pub(crate) struct Candidate {
    #[cfg(any(target_os = "android", target_os = "linux"))]
    socket: socket2::Socket,
}

impl Candidate {
    #[cfg_attr(
        not(any(target_os = "android", target_os = "linux")),
        expect(unused_variables, reason = "the option is one of Linux")
    )]
    pub(crate) fn new(tcp: &TcpStream) -> io::Result<Self> {
        Ok(Self {
            #[cfg(any(target_os = "android", target_os = "linux"))]
            socket: SockRef::from(tcp).try_clone()?,
        })
    }

    /// Makes TCP give a session up whose peer acknowledges nothing, although keep-alives are on their way to it.
    ///
    /// Not for other connections: the same option ends those whose peer acknowledges all but has no room for more.
    pub(crate) fn is_session(&self) {
        #[cfg(any(target_os = "android", target_os = "linux"))]
        // Fails on a connection that has failed already, which is noticed otherwise.
        let _ = self.socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED));
    }
}
