//! A buildlet for the tests of programs that use one.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use revdial::{Connect, Listener, ListenerConfig, Registration};
use tempfile::TempDir;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::client::{self, BoxIo, Connector, HttpClient};
use crate::server::{self, Server};
use crate::workdir::Workdir;

/// Between two sessions of a [`FakeWorker`].
const REGISTER_PAUSE: Duration = Duration::from_millis(20);

/// So much may be on its way in each direction of a connection.
const PIPE_BYTES: usize = 64 << 10;

/// A buildlet in this process: [`Server`] itself at the end of connections in memory, with a temporary work directory.
///
/// It runs commands and unpacks archives as any other. Dropping it ends its commands and removes the directory.
///
/// ```
/// use buildlet_proto::client::{BuildletClient as _, Config};
/// use buildlet_proto::test_support::FakeBuildlet;
/// use buildlet_proto::types::ExecRequest;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let buildlet = FakeBuildlet::start()?;
/// let client = buildlet.client(Config::default())?;
/// client.put("echo hello\n".into(), "hello.sh", Default::default()).await?;
/// let command = ExecRequest::new("sh").arg("hello.sh").dir(".").system_level(true);
/// let (output, outcome) = client.start(command).await?.collect(100).await?;
/// assert_eq!((&output[..], outcome.state.is_success()), (&b"hello\n"[..], true));
/// # Ok(())
/// # }
/// ```
pub struct FakeBuildlet {
    dir: TempDir,
    machine: Arc<Machine>,
}

/// What connections and their connectors share.
struct Machine {
    server: Server,
    /// Whether the buildlet is up.
    up: watch::Sender<bool>,
    connections: Mutex<JoinSet<()>>,
}

impl FakeBuildlet {
    /// A buildlet with the default configuration.
    ///
    /// # Errors
    ///
    /// When there can be no temporary directory.
    pub fn start() -> io::Result<Self> {
        Self::with_config(server::Config::default())
    }

    /// A buildlet with this configuration, in which what `/halt` does is replaced: it [crashes](Self::crash).
    ///
    /// # Errors
    ///
    /// When there can be no temporary directory, or the configuration cannot work.
    pub fn with_config(config: server::Config) -> io::Result<Self> {
        let dir = tempfile::tempdir()?;
        let workdir = Workdir::open(dir.path()).map_err(io::Error::other)?;
        let (up, _) = watch::channel(true);
        let switch = up.clone();
        let config = config.on_halt(move || {
            switch.send_replace(false);
        });
        let server = Server::new(workdir, config).map_err(io::Error::other)?;
        Ok(Self {
            dir,
            machine: Arc::new(Machine {
                server,
                up,
                connections: Mutex::default(),
            }),
        })
    }

    /// A client of it. Its heartbeat beats as configured.
    ///
    /// # Errors
    ///
    /// When the configuration cannot work.
    pub fn client(&self, config: client::Config) -> Result<HttpClient, client::ConfigError> {
        HttpClient::new(self.connector(), "fake-buildlet", config)
    }

    /// Makes connections to it.
    #[must_use]
    pub fn connector(&self) -> FakeConnector {
        FakeConnector {
            machine: Arc::clone(&self.machine),
        }
    }

    /// Its work directory.
    #[must_use]
    pub fn work_dir(&self) -> &Path {
        self.dir.path()
    }

    /// Whether it is up: not crashed, and not halted by a client.
    #[must_use]
    pub fn is_up(&self) -> bool {
        *self.machine.up.borrow()
    }

    /// Cuts all connections, ends all commands, and takes no more connections, as a machine that crashes.
    pub fn crash(&self) {
        self.machine.crash();
    }

    /// Cuts all connections and takes new ones, as a network that fails for a moment. Commands end, except those that outlive
    /// their connection.
    pub fn disconnect(&self) {
        self.machine.lock().abort_all();
    }

    /// Takes connections again after a crash. The work directory is as it was.
    pub fn recover(&self) {
        self.machine.up.send_replace(true);
    }
}

impl Drop for FakeBuildlet {
    fn drop(&mut self) {
        self.crash();
    }
}

impl Machine {
    fn crash(&self) {
        self.up.send_replace(false);
        self.lock().abort_all();
        self.server.end_kept_commands();
    }

    fn lock(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A [`FakeBuildlet`] that works for a coordinator, in reverse mode, from [`register`](FakeBuildlet::register) on until it is
/// dropped.
pub struct FakeWorker {
    buildlet: FakeBuildlet,
    cut: Arc<Notify>,
    _task: AbortOnDropHandle<()>,
}

impl FakeBuildlet {
    /// Registers with a coordinator, and again whenever that ends, after 20 ms. Its commands outlive a session as they would in a program;
    /// when it is told to halt, they end, and it comes back.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn register<C>(self, connector: C, registration: Registration) -> FakeWorker
    where
        C: Connect + Clone,
    {
        let cut = Arc::new(Notify::new());
        let task = tokio::spawn(work(
            Arc::clone(&self.machine),
            Arc::clone(&cut),
            connector,
            registration,
        ));
        FakeWorker {
            buildlet: self,
            cut,
            _task: AbortOnDropHandle::new(task),
        }
    }
}

impl FakeWorker {
    /// Ends its session and all connections, as a network that fails. It registers again.
    pub fn cut(&self) {
        self.cut.notify_one();
    }

    /// Its work directory.
    #[must_use]
    pub fn work_dir(&self) -> &Path {
        self.buildlet.work_dir()
    }
}

/// Waits until it was told to halt. What the sender lends is given back at once.
async fn halted(up: &mut watch::Receiver<bool>) {
    drop(up.wait_for(|up| !up).await);
}

async fn work<C: Connect + Clone>(
    machine: Arc<Machine>,
    cut: Arc<Notify>,
    connector: C,
    registration: Registration,
) {
    let server = &machine.server;
    let mut up = machine.up.subscribe();
    loop {
        let config = ListenerConfig::default();
        if let Ok(mut listener) =
            Listener::register(connector.clone(), registration.clone(), config).await
        {
            tokio::select! {
                // How a session ends makes no difference here.
                _ = server.serve(server::infallible(&mut listener), CancellationToken::new()) => {}
                () = cut.notified() => {}
                () = halted(&mut up) => {
                    server.end_kept_commands();
                    machine.up.send_replace(true);
                }
            }
            listener.close().await;
        }
        tokio::time::sleep(REGISTER_PAUSE).await;
    }
}

/// Connects to a [`FakeBuildlet`]; as long as one is left, so is its server, but not its work directory.
#[derive(Clone)]
pub struct FakeConnector {
    machine: Arc<Machine>,
}

#[async_trait]
impl Connector for FakeConnector {
    async fn connect(&self) -> io::Result<BoxIo> {
        let mut connections = self.machine.lock();
        if !*self.machine.up.borrow() {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        while connections.try_join_next().is_some() {} // those that ended
        let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
        let server = self.machine.server.clone();
        let mut up = self.machine.up.subscribe();
        connections.spawn(async move {
            tokio::select! {
                // How a connection ended is its client's business.
                _ = server.serve_connection(theirs) => {}
                _ = up.wait_for(|up| !up) => {}
            }
        });
        Ok(Box::new(ours))
    }

    /// Returns when it crashes or halts, as the end of a reverse buildlet's session is noticed.
    async fn closed(&self) -> String {
        let mut up = self.machine.up.subscribe();
        let _ = up.wait_for(|up| !up).await; // the sender is as old as this
        "the fake buildlet is down".to_owned()
    }
}
