//! Many machines in this process.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use buildlet_pool::test_support::{SimulatedBuildlet, Simulation};
use buildlet_proto::key::MasterKey;
use revdial::TcpConnector;
use tokio::runtime::Runtime;

use super::project::SIMULATED;

/// Machines that speak the whole protocol on real connections, TLS over TCP on loopback, and do nothing behind it.
pub(super) struct Simulated {
    machines: Vec<SimulatedBuildlet>,
    // Dropped after them.
    _runtime: Runtime,
}

impl Simulated {
    /// Starts them; they register with the coordinator at this port whose state is in `state`.
    pub(super) fn start(count: u32, port: u16, state: &Path) -> anyhow::Result<Self> {
        let key = std::fs::read(state.join("master-key")).context("cannot read the master key")?;
        let key = MasterKey::from_file_content(&key)?.key_for(SIMULATED);
        let tls = program::tls_client_config(Some(&state.join("tls/cert.pem")), false)?;
        let connector = TcpConnector::new(&format!("localhost:{port}"))?.tls(tls)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?;
        let machines = {
            let _in = runtime.enter();
            (1..=count)
                .map(|number| {
                    let name = format!("m{number}");
                    let simulation =
                        Simulation::new(SIMULATED, &name, key.clone()).reconnects(true);
                    SimulatedBuildlet::start(connector.clone(), simulation)
                })
                .collect()
        };
        Ok(Self {
            machines,
            _runtime: runtime,
        })
    }

    /// How many commands they ran, and how often they registered.
    pub(super) fn counts(&self) -> (u64, u64) {
        let sum = |of: fn(&SimulatedBuildlet) -> u64| self.machines.iter().map(of).sum();
        (
            sum(SimulatedBuildlet::commands),
            sum(SimulatedBuildlet::registrations),
        )
    }

    /// How long they may take to register.
    pub(super) fn patience(&self) -> Duration {
        Duration::from_secs(30) + Duration::from_millis(50) * self.machines.len() as u32
    }
}
