//! A server of ours, in a runtime of its own.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use maintner::serve::{LogBlobs, LogServer, ServeConfig, ServeError};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    pub(crate) log: LogServer,
    stop: CancellationToken,
    runtime: Runtime,
    task: Option<JoinHandle<()>>,
}

impl Served {
    pub(crate) fn new(dir: &Path) -> Self {
        Self::at(dir, "127.0.0.1:0".parse().unwrap(), ServeConfig::default())
    }

    pub(crate) fn at(dir: &Path, address: SocketAddr, config: ServeConfig) -> Self {
        let log = LogServer::open(dir, config.poll(Duration::from_millis(5))).unwrap();
        Self::start(log, Runtime::new().unwrap(), address)
    }

    /// Of a log that is kept as blobs.
    pub(crate) fn blobs(blobs: impl LogBlobs) -> Self {
        let runtime = Runtime::new().unwrap();
        let config = ServeConfig::default().poll(Duration::from_millis(5));
        let log = runtime
            .block_on(LogServer::open_blobs(blobs, config))
            .unwrap();
        Self::start(log, runtime, "127.0.0.1:0".parse().unwrap())
    }

    fn start(log: LogServer, runtime: Runtime, address: SocketAddr) -> Self {
        let listener = runtime.block_on(bind(address));
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let task = runtime.spawn(log.clone().serve(listener, stop.clone()));
        Self {
            address,
            log,
            stop,
            runtime,
            task: Some(task),
        }
    }

    pub(crate) fn refresh(&self) -> Result<bool, ServeError> {
        self.runtime.block_on(self.log.refresh())
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/logs", self.address)
    }
}

/// Somebody's connection may have the port for a moment that a server just gave back.
async fn bind(address: SocketAddr) -> TcpListener {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return listener,
            Err(error) if Instant::now() > deadline => panic!("{address}: {error}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(task) = self.task.take() {
            self.runtime.block_on(task).unwrap();
        }
    }
}
