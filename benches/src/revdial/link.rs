//! The two things compared, which look alike from outside: bare TLS, and reverse dialing over the same TLS.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use revdial::serve_tls::{self, Acceptor};
use revdial::trust::Trust;
use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::{ClientConfig, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::{TlsConnector, client, rustls};

use super::worker;

/// Opens connections on whose other end `worker::serve` runs.
pub trait Link: Send + Sync + 'static {
    /// What it opens.
    type Conn: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// Opens one.
    fn dial(&self) -> impl Future<Output = anyhow::Result<Self::Conn>> + Send;
}

/// Both ends of TLS: a P-256 certificate that the client verifies.
#[derive(Clone, Debug)]
pub struct Configs {
    /// Of the coordinator.
    pub server: Arc<ServerConfig>,
    /// Of the worker.
    pub client: Arc<ClientConfig>,
}

impl Configs {
    /// New ones. Either way the server offers to resume sessions, as Go's does; `resume` tells whether the client takes that up.
    ///
    /// # Errors
    ///
    /// When no certificate can be made.
    pub fn new(resume: bool) -> anyhow::Result<Self> {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
        let key = made
            .signing_key
            .serialize_der()
            .try_into()
            .map_err(anyhow::Error::msg)?;
        let provider = serve_tls::tolerant(ring::default_provider());
        let mut server = serve_tls::server_config(provider, vec![made.cert.der().clone()], key)?;
        server.ticketer = ring::Ticketer::new()?;
        let trust = Trust::from_pem(made.cert.pem().as_bytes())?;
        let mut client = trust.client_config(Arc::new(ring::default_provider()))?;
        if !resume {
            client.resumption = Resumption::disabled();
        }
        Ok(Self {
            server: Arc::new(server),
            client: Arc::new(client),
        })
    }

    pub(super) fn acceptor(&self) -> anyhow::Result<Acceptor> {
        Ok(Acceptor::new(Arc::clone(&self.server))?)
    }
}

/// TLS without more: the worker's end accepts.
///
/// It sends one byte first, so that a dial is over when both ends have finished their handshake, as with a pick-up.
pub struct Bare {
    addr: SocketAddr,
    connector: TlsConnector,
    _tasks: JoinSet<()>,
}

impl Bare {
    /// Listens on a port of the system's choice.
    ///
    /// # Errors
    ///
    /// When it cannot.
    pub async fn new(configs: &Configs) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::clone(&configs.server));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut conns = JoinSet::new();
            while let Ok((tcp, _)) = listener.accept().await {
                while conns.try_join_next().is_some() {}
                let acceptor = acceptor.clone();
                conns.spawn(async move {
                    let Ok(mut tls) = accept(tcp, &acceptor).await else {
                        return; // the other end fails too, and says why
                    };
                    worker::serve(&mut tls).await;
                });
            }
        });
        Ok(Self {
            addr,
            connector: Arc::clone(&configs.client).into(),
            _tasks: tasks,
        })
    }
}

async fn accept(
    tcp: TcpStream,
    acceptor: &tokio_rustls::TlsAcceptor,
) -> std::io::Result<tokio_rustls::server::TlsStream<TcpStream>> {
    tcp.set_nodelay(true)?;
    let mut tls = acceptor.accept(tcp).await?;
    tls.write_all(&[0]).await?;
    tls.flush().await?;
    Ok(tls)
}

impl Link for Bare {
    type Conn = client::TlsStream<TcpStream>;

    async fn dial(&self) -> anyhow::Result<Self::Conn> {
        let tcp = TcpStream::connect(self.addr)
            .await
            .context("cannot connect")?;
        tcp.set_nodelay(true)?;
        let mut tls = self.connector.connect(self.addr.ip().into(), tcp).await?;
        tls.read_u8().await?;
        Ok(tls)
    }
}
