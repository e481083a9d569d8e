//! Reverse dialing as [`Link`], and what a coordinator consists of.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use revdial::proto::Claim;
use revdial::serve_tls::{Acceptor, TolerantIo};
use revdial::trust::Trust;
use revdial::{
    Accepted, Arrival, Connection, Dialer, DialerConfig, FrontDoor, FrontDoorConfig, Listener,
    ListenerConfig, PickupRegistry, Registration, TcpConnector,
};
use rustls::ClientConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::rustls;
use tokio_rustls::server::TlsStream;

use super::link::{Configs, Link};
use super::{Cost, median, worker};

/// How many connections are kept ready where that is measured.
pub(super) const WARM: usize = 8;

/// A worker, and its coordinator.
pub struct Reverse {
    dialer: Dialer,
    _tasks: JoinSet<()>,
}

impl Reverse {
    /// Registers a worker, which runs on `worker`, at a coordinator that keeps so many connections ready.
    ///
    /// # Errors
    ///
    /// When that fails.
    pub async fn new(configs: &Configs, warm: usize, worker: &Handle) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?.to_string();
        let acceptor = configs.acceptor()?;
        let (send, mut dialers) = mpsc::channel(1);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            coordinate(listener, acceptor, DialerConfig::default().warm(warm), send).await;
        });
        let tls = Arc::clone(&configs.client);
        let registered = worker.spawn(async move { register(&addr, tls).await });
        let mut listener = registered.await??;
        let work = async move {
            let mut conns = JoinSet::new();
            while let Some(mut conn) = listener.accept().await {
                while conns.try_join_next().is_some() {}
                conns.spawn(async move { worker::serve(&mut conn).await });
            }
        };
        tasks.spawn_on(work, worker);
        let dialer = dialers.recv().await.context("the coordinator has ended")?;
        Ok(Self {
            dialer,
            _tasks: tasks,
        })
    }
}

impl Link for Reverse {
    type Conn = Connection;

    async fn dial(&self) -> anyhow::Result<Connection> {
        Ok(self.dialer.dial().await?)
    }
}

/// What a dial costs when there is one in stock: the median of what fits into `budget`. CPUs are not measured.
///
/// # Errors
///
/// When a dial fails.
pub async fn warm_dial(link: &Reverse, budget: Duration) -> anyhow::Result<Cost> {
    let mut times = Vec::new();
    let end = Instant::now() + budget;
    while times.is_empty() || Instant::now() < end {
        // Full, so that no pick-up runs beside what is measured.
        while link.dialer.stocked() < WARM {
            tokio::time::sleep(Duration::from_micros(500)).await;
        }
        let began = Instant::now();
        let conn = link.dial().await?;
        times.push(began.elapsed().as_nanos() as f64);
        drop(conn);
    }
    Ok(Cost {
        wall: median(&mut times),
        cpu: 0.0,
    })
}

/// Takes all registrations, and gives the dialers to whoever receives them.
pub(super) async fn coordinate(
    listener: TcpListener,
    acceptor: Acceptor,
    config: DialerConfig,
    dialers: mpsc::Sender<Dialer>,
) -> Infallible {
    let config = FrontDoorConfig::default().dialer(config);
    let anybody = |_: &Claim| Ok(());
    let door =
        FrontDoor::new(config, PickupRegistry::new(), anybody).expect("these limits are sound");
    let arrive = move |tcp| arrive(tcp, acceptor.clone());
    let handle = move |accepted| {
        let dialers = dialers.clone();
        async move {
            if let Ok(Accepted::Registered(worker)) = accepted {
                // Whoever measured is gone if there is nobody to receive it.
                let _ = dialers.send(worker.dialer).await;
            }
        }
    };
    door.serve(listener, arrive, handle).await
}

async fn arrive(
    tcp: TcpStream,
    acceptor: Acceptor,
) -> std::io::Result<Arrival<TlsStream<TolerantIo<TcpStream>>>> {
    tcp.set_nodelay(true)?;
    Ok(Arrival::tls(acceptor.accept(tcp).await?))
}

/// Registers a worker.
pub(super) async fn register(addr: &str, tls: Arc<ClientConfig>) -> anyhow::Result<Listener> {
    let connector = TcpConnector::new(addr)?.tls(tls)?;
    let registration = Registration::buildlet(
        "host-linux-bullseye",
        "9322a0f46b098a3218073b0711fbdccd",
        "host-a",
        "29",
    )?;
    Ok(Listener::register(connector, registration, ListenerConfig::default()).await?)
}

/// A client that believes every server, for a coordinator in another process.
pub(super) fn believing() -> anyhow::Result<Arc<ClientConfig>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(Arc::new(Trust::Anyone.client_config(provider)?))
}
