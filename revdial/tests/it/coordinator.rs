//! Coordinators in memory, for workers in the same test: one of this crate, and what scripted ones need.

use std::io;

use revdial::proto::{Claim, Refusal, Worker};
use revdial::{
    Accepted, Arrival, Connect, ConnectError, Connecting, Connection, DialerConfig, FrontDoor,
    FrontDoorConfig, Listener, ListenerConfig, PickupRegistry, RegisterError, Registered,
    Registration,
};
use tokio::io::{
    AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, duplex,
};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};

/// The key that [`Coordinator`]s take, as the vectors have it for the host type `test-reverse-dial`.
pub(crate) const KEY: &str = "bf016c9ac63d1fabc7a60b55728fce32";

/// A front door, and those who came in by it.
pub(crate) struct Coordinator {
    pub(crate) door: FrontDoor,
    opener: Opener,
    registered: mpsc::UnboundedReceiver<Registered>,
    _tasks: JoinSet<()>,
}

impl Coordinator {
    pub(crate) fn new(dialer: DialerConfig) -> Self {
        let config = FrontDoorConfig::default().dialer(dialer);
        let door = FrontDoor::new(config, PickupRegistry::new(), check_key).unwrap();
        let (opener, mut arriving) = opener();
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
            opener,
            registered,
            _tasks: tasks,
        }
    }

    /// Lets a worker of the usual kind register.
    pub(crate) async fn register(
        &mut self,
        config: ListenerConfig,
    ) -> Result<(Listener, Registered), RegisterError> {
        let listener = Listener::register(self.opener.clone(), registration(), config).await?;
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

/// Opens streams in memory, and gives their other ends to a test, as long as it takes them.
#[derive(Clone)]
pub(crate) struct Opener(mpsc::UnboundedSender<DuplexStream>);

/// An opener, and what takes the other ends.
pub(crate) fn opener() -> (Opener, mpsc::UnboundedReceiver<DuplexStream>) {
    let (opening, opened) = mpsc::unbounded_channel();
    (Opener(opening), opened)
}

impl Opener {
    /// Lets a worker of the usual kind register.
    pub(crate) fn register(
        &self,
        config: ListenerConfig,
    ) -> JoinHandle<Result<Listener, RegisterError>> {
        self.register_as(registration(), config)
    }

    pub(crate) fn register_as(
        &self,
        registration: Registration,
        config: ListenerConfig,
    ) -> JoinHandle<Result<Listener, RegisterError>> {
        tokio::spawn(Listener::register(self.clone(), registration, config))
    }
}

impl Connect for Opener {
    fn connect(&self) -> Connecting<'_> {
        let (worker, server) = duplex(1 << 16);
        let opened = self.0.send(server).map(|()| Connection::new(worker));
        let refused = |_| ConnectError::Dial(io::ErrorKind::ConnectionRefused.into());
        Box::pin(std::future::ready(opened.map_err(refused)))
    }
}

/// Reads a request up to its blank line.
pub(crate) async fn read_head(stream: &mut BufReader<DuplexStream>) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        let len = stream.read_line(&mut head).await.unwrap();
        assert_ne!(len, 0, "ends within {head:?}");
    }
    head
}
