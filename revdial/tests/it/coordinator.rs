//! A coordinator in memory, for workers in the same test.

use std::io;

use revdial::proto::{Claim, Refusal, Worker};
use revdial::{
    Accepted, Arrival, DialerConfig, FrontDoor, FrontDoorConfig, Listener, ListenerConfig,
    PickupRegistry, RegisterError, Registered, Registration,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// The key that [`Coordinator`]s take, as the vectors have it for the host type `test-reverse-dial`.
pub(crate) const KEY: &str = "bf016c9ac63d1fabc7a60b55728fce32";

/// A front door, and those who came in by it.
pub(crate) struct Coordinator {
    pub(crate) door: FrontDoor,
    arrivals: mpsc::UnboundedSender<DuplexStream>,
    registered: mpsc::UnboundedReceiver<Registered>,
    _tasks: JoinSet<()>,
}

impl Coordinator {
    pub(crate) fn new(dialer: DialerConfig) -> Self {
        let config = FrontDoorConfig::default().dialer(dialer);
        let door = FrontDoor::new(config, PickupRegistry::new(), check_key).unwrap();
        let (arrivals, mut arriving) = mpsc::unbounded_channel();
        let (registering, registered) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        let serving = door.clone();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Some(io) = arriving.recv().await {
                while connections.try_join_next().is_some() {}
                let (door, registering) = (serving.clone(), registering.clone());
                connections.spawn(async move {
                    if let Ok(Accepted::Registered(worker)) = door.accept(Arrival::tls(io)).await {
                        let _ = registering.send(worker);
                    }
                });
            }
        });
        Self {
            door,
            arrivals,
            registered,
            _tasks: tasks,
        }
    }

    /// Connects to the coordinator.
    pub(crate) fn connector(
        &self,
    ) -> impl Fn() -> std::future::Ready<io::Result<DuplexStream>> + Send + Sync + use<> {
        let arrivals = self.arrivals.clone();
        move || {
            let (worker, server) = duplex(1 << 16);
            let sent = arrivals.send(server);
            std::future::ready(
                sent.map(|()| worker)
                    .map_err(|_| io::ErrorKind::ConnectionRefused.into()),
            )
        }
    }

    /// Lets a worker of the usual kind register.
    pub(crate) async fn register(
        &mut self,
        config: ListenerConfig,
    ) -> Result<(Listener, Registered), RegisterError> {
        let listener = Listener::register(self.connector(), registration(), config).await?;
        Ok((listener, self.next().await))
    }

    /// The next worker that registers.
    pub(crate) async fn next(&mut self) -> Registered {
        self.registered.recv().await.unwrap()
    }
}

pub(crate) fn registration() -> Registration {
    Registration::buildlet("test-reverse-dial", KEY, "host-a", "29").unwrap()
}

pub(crate) fn check_key(claim: &Claim) -> Result<(), Refusal> {
    match claim.worker() {
        Worker::Buildlet { key, .. } if key == KEY => Ok(()),
        _ => Err(Refusal::INVALID_KEY),
    }
}

/// Sends every byte of every connection back.
pub(crate) fn echo(mut listener: Listener) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Some(conn) = listener.accept().await {
            while connections.try_join_next().is_some() {}
            connections.spawn(async move {
                let (mut read, mut write) = tokio::io::split(conn);
                let _ = tokio::io::copy(&mut read, &mut write).await;
                let _ = write.shutdown().await;
            });
        }
    });
    tasks
}

/// Sends `bytes` through a connection that is echoed.
pub(crate) async fn round_trip(
    conn: &mut (impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin),
    bytes: &[u8],
) {
    conn.write_all(bytes).await.unwrap();
    conn.flush().await.unwrap();
    let mut back = vec![0; bytes.len()];
    conn.read_exact(&mut back).await.unwrap();
    assert_eq!(back, bytes);
}
