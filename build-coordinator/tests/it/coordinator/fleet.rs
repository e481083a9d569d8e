//! Machines that register over the network and outlive coordinators.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use buildlet_pool::{HostPolicy, Reuse, ReverseConfig, ReversePool};
use buildlet_proto::key::MasterKey;
use buildlet_proto::server;
use buildlet_proto::test_support::{FakeBuildlet, FakeWorker};
use revdial::{Accepted, Arrival, FrontDoor, FrontDoorConfig, PickupRegistry, Registration};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_util::task::AbortOnDropHandle;

use super::support::{Place, System};

pub(crate) const HOST_TYPE: &str = "linux";

/// A runtime whose end is that of a process that is killed: no task gets to say anything.
pub(crate) fn process() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

/// Machines, in a runtime of their own, and where their coordinator is.
pub(crate) struct Fleet {
    workers: Vec<FakeWorker>,
    address: SocketAddr,
    /// Keeps the port when no coordinator runs.
    _port: socket::Port,
    /// After the workers, which are dropped in it.
    runtime: Runtime,
}

mod socket {
    //! A port that stays this test's between two listeners.

    use std::net::SocketAddr;

    /// Bound and not listening: connections are refused, and with `SO_REUSEPORT` others may listen.
    pub(crate) struct Port(#[expect(dead_code, reason = "held")] tokio::net::TcpSocket);

    pub(crate) fn listen(address: SocketAddr) -> tokio::net::TcpListener {
        socket(address).listen(1024).unwrap()
    }

    pub(crate) fn reserve() -> (Port, SocketAddr) {
        let socket = socket(([127, 0, 0, 1], 0).into());
        let address = socket.local_addr().unwrap();
        (Port(socket), address)
    }

    fn socket(address: SocketAddr) -> tokio::net::TcpSocket {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_reuseport(true).unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(address).unwrap();
        socket
    }
}

impl Fleet {
    pub(crate) fn new(machines: usize) -> Self {
        Self::with_config(machines, server::Config::default)
    }

    pub(crate) fn with_config(machines: usize, config: impl Fn() -> server::Config) -> Self {
        let runtime = process();
        let inside = runtime.enter();
        let (port, address) = socket::reserve();
        let mut fleet = Self {
            workers: Vec::new(),
            address,
            _port: port,
            runtime: {
                drop(inside);
                runtime
            },
        };
        for _ in 0..machines {
            fleet.add(config());
        }
        fleet
    }

    pub(crate) fn add(&mut self, config: server::Config) {
        let _inside = self.runtime.enter();
        let name = format!("m{}", self.workers.len());
        let key = MasterKey::development().key_for(HOST_TYPE);
        let registration = Registration::buildlet(HOST_TYPE, key.as_str(), &name, "29").unwrap();
        let address = self.address;
        let connect = move || TcpStream::connect(address);
        let buildlet = FakeBuildlet::with_config(config).unwrap();
        self.workers.push(buildlet.register(connect, registration));
    }

    /// Ends the session of a machine, as a network that fails.
    pub(crate) fn cut(&self, machine: usize) {
        self.workers[machine].cut();
    }

    /// Cuts the power of the machine that was added last.
    pub(crate) fn lose_last(&mut self) {
        let _inside = self.runtime.enter();
        self.workers.pop();
    }

    pub(crate) fn work_dir(&self, machine: usize) -> PathBuf {
        self.workers[machine].work_dir().to_owned()
    }

    /// A coordinator for the machines, until the runtime that this is called in ends, or what it returns is dropped.
    pub(crate) async fn coordinator(&self, place: &Place, config: ReverseConfig) -> Running {
        let config = config
            .master_key(MasterKey::development())
            .default_policy(HostPolicy::default().reuse(Reuse::Cleaned));
        let pool = ReversePool::new(config).unwrap();
        let door = FrontDoorConfig::default();
        let door = FrontDoor::new(door, PickupRegistry::new(), pool.clone()).unwrap();
        let system = place.start_pool(Arc::new(pool.clone()), None).await;
        let tcp: TcpListener = socket::listen(self.address);
        let admitting = pool.clone();
        let serving = async move {
            // No TLS on the way between two ends of one process.
            let arrive = async |tcp: TcpStream| {
                tcp.set_nodelay(true)?;
                Ok(Arrival::tls(tcp))
            };
            let handle = move |accepted| {
                let pool = admitting.clone();
                async move {
                    if let Ok(Accepted::Registered(machine)) = accepted {
                        pool.admit(machine);
                    }
                }
            };
            match door.serve(tcp, arrive, handle).await {}
        };
        Running {
            system,
            pool,
            _door: AbortOnDropHandle::new(tokio::spawn(serving)),
        }
    }
}

/// A coordinator and what belongs to it.
pub(crate) struct Running {
    pub(crate) system: System,
    pub(crate) pool: ReversePool,
    _door: AbortOnDropHandle<()>,
}

/// Kills what runs in a runtime.
pub(crate) fn kill(runtime: Runtime) {
    runtime.shutdown_timeout(Duration::from_secs(30));
}

/// A step that counts in the log and in `lines` until the file `go` is there, and notes in `runs` that it was begun. Nobody else
/// may run it at the same time: who does is noted in `twice`.
pub(crate) fn counting(dir: &Path) -> String {
    let dir = dir.display();
    format!(
        "exec 9>{dir}/lock; flock -n 9 || echo twice >> {dir}/twice; echo run >> {dir}/runs; i=0; \
         until [ -e {dir}/go ]; do echo line $i; echo line $i >> {dir}/lines; i=$((i+1)); sleep 0.01; done; \
         echo end"
    )
}

pub(crate) fn read(dir: &Path, name: &str) -> String {
    std::fs::read_to_string(dir.join(name)).unwrap_or_default()
}
