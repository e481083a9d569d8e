//! A coordinator in this process: it accepts registrations, and drives what registers.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use buildlet_proto::client::{Config, HttpClient};
use buildlet_proto::key::MasterKey;
use revdial::proto::{Claim, Flavor, Refusal, Routes, Worker};
use revdial::{Accepted, Arrival, FrontDoor, FrontDoorConfig, PickupRegistry, Registered};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use crate::process::{PATIENCE, buildlet};

/// The one gomote that is waited for, and its token.
pub(crate) const GOMOTE: (&str, &str) = ("user-linux-amd64-1", "s3kret-token");

pub(crate) struct Coordinator {
    pub(crate) address: SocketAddr,
    state: TempDir,
    flavor: Flavor,
    machines: mpsc::Receiver<Registered>,
    task: AbortOnDropHandle<()>,
}

impl Coordinator {
    pub(crate) async fn start() -> Self {
        Self::start_for(Flavor::Buildlet).await
    }

    /// A coordinator, or a gomote server that waits for [`GOMOTE`].
    pub(crate) async fn start_for(flavor: Flavor) -> Self {
        let state = tempfile::tempdir().unwrap();
        Self::start_at("127.0.0.1:0".parse().unwrap(), state, flavor)
    }

    /// Ends, and begins anew with the same address and certificate.
    pub(crate) async fn restart(self) -> Self {
        let Self {
            address,
            state,
            flavor,
            task,
            ..
        } = self;
        task.abort();
        // Until then it holds the port.
        let _ = task.await;
        Self::start_at(address, state, flavor)
    }

    fn start_at(address: SocketAddr, state: TempDir, flavor: Flavor) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(address).unwrap();
        let listener: TcpListener = socket.listen(128).unwrap();
        let address = listener.local_addr().unwrap();
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let acceptor = program::self_signed_acceptor(state.path(), &names).unwrap();
        let has_key = |claim: &Claim| match claim.worker() {
            Worker::Buildlet { host_type, key, .. }
                if MasterKey::development().verify(host_type, key) =>
            {
                Ok(())
            }
            Worker::Gomote { id, token } if (id.as_str(), token.as_str()) == GOMOTE => Ok(()),
            _ => Err(Refusal::INVALID_KEY),
        };
        let routes = Routes::default().registration("/reverse", flavor).unwrap();
        let config = FrontDoorConfig::default().routes(routes);
        let door = FrontDoor::new(config, PickupRegistry::new(), has_key).unwrap();
        let (arrived, machines) = mpsc::channel(16);
        let task = tokio::spawn(async move {
            let arrive = move |tcp| {
                let acceptor = acceptor.clone();
                async move { Ok(Arrival::tls(acceptor.accept(tcp).await?)) }
            };
            let handle = move |accepted| {
                let arrived = arrived.clone();
                async move {
                    if let Ok(Accepted::Registered(machine)) = accepted {
                        let _ = arrived.send(machine).await;
                    }
                }
            };
            match door.serve(listener, arrive, handle).await {}
        });
        Self {
            address,
            state,
            flavor,
            machines,
            task: AbortOnDropHandle::new(task),
        }
    }

    /// A buildlet that is to work for this coordinator.
    pub(crate) fn worker(&self, args: &[&str]) -> Command {
        let mut command = buildlet();
        command
            .arg("-reverse-type=host-test")
            .arg(format!("-coordinator={}", self.address))
            .arg("--ca")
            .arg(self.certificate())
            .args(["--health-addr=none", "-hostname=worker-1"])
            .args(args);
        command
    }

    pub(crate) fn certificate(&self) -> PathBuf {
        self.state.path().join("cert.pem")
    }

    /// The next machine that registers.
    pub(crate) async fn machine(&mut self) -> Registered {
        timeout(PATIENCE, self.machines.recv())
            .await
            .expect("a machine registers in time")
            .expect("the front door is open")
    }

    /// A client of the next machine that registers.
    pub(crate) async fn client(&mut self) -> HttpClient {
        client_of(self.machine().await)
    }
}

pub(crate) fn client_of(machine: Registered) -> HttpClient {
    HttpClient::new(machine.dialer, "worker-1", Config::default()).unwrap()
}
