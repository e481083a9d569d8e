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
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, rustls, server};

use super::worker;

/// Dials of [`Bare`] at a time; one more waits.
const MAX_DIALS: usize = 64;

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

/// TLS without more, with the parts as in reverse dialing: the worker connects when it is told to, and the side that dials accepts.
pub struct Bare {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    /// Tells the worker to connect. Whoever dials takes the next connection that comes, as they are all alike.
    orders: mpsc::Sender<()>,
    _tasks: JoinSet<()>,
}

impl Bare {
    /// Listens on a port of the system's choice; the worker's end runs on `worker`.
    ///
    /// # Errors
    ///
    /// When it cannot.
    pub async fn new(configs: &Configs, worker: &Handle) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let connector = TlsConnector::from(Arc::clone(&configs.client));
        let (orders, mut ordered) = mpsc::channel(MAX_DIALS);
        let mut tasks = JoinSet::new();
        let work = async move {
            let mut conns = JoinSet::new();
            while ordered.recv().await == Some(()) {
                while conns.try_join_next().is_some() {}
                let connector = connector.clone();
                conns.spawn(async move {
                    let Ok(mut tls) = connect(addr, &connector).await else {
                        return; // the other end fails too, and says why
                    };
                    worker::serve(&mut tls).await;
                });
            }
        };
        tasks.spawn_on(work, worker);
        Ok(Self {
            listener,
            acceptor: TlsAcceptor::from(Arc::clone(&configs.server)),
            orders,
            _tasks: tasks,
        })
    }
}

async fn connect(
    addr: SocketAddr,
    connector: &TlsConnector,
) -> std::io::Result<client::TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(addr).await?;
    tcp.set_nodelay(true)?;
    connector.connect(addr.ip().into(), tcp).await
}

impl Link for Bare {
    type Conn = server::TlsStream<TcpStream>;

    async fn dial(&self) -> anyhow::Result<Self::Conn> {
        self.orders.send(()).await.context("the worker has ended")?;
        let (tcp, _) = self.listener.accept().await.context("cannot accept")?;
        tcp.set_nodelay(true)?;
        // A server's handshake ends behind the client's: both are done.
        Ok(self.acceptor.accept(tcp).await?)
    }
}
