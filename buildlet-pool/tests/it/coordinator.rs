//! A coordinator without a network: a pool behind a front door, and machines that come in memory.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use buildlet_pool::test_support::{SimulatedBuildlet, Simulation};
use buildlet_pool::{
    BuildletPool as _, MachineId, MachineState, OfferEvent, Offers, ReverseConfig, ReversePool,
};
use buildlet_proto::key::MasterKey;
use revdial::{Accepted, Arrival, FrontDoor, FrontDoorConfig, PickupRegistry};
use tokio::io::DuplexStream;
use tokio::time::timeout;

pub(crate) const HOST_TYPE: &str = "host-x";

/// For whatever a test waits for: only ever waited for in full if the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct Coordinator {
    pub(crate) pool: ReversePool,
    door: FrontDoor,
}

impl Coordinator {
    pub(crate) fn new(config: ReverseConfig) -> Self {
        let config = config.master_key(MasterKey::development());
        let pool = ReversePool::new(config).unwrap();
        let door = FrontDoorConfig::default();
        let door = FrontDoor::new(door, PickupRegistry::new(), pool.clone()).unwrap();
        Self { pool, door }
    }

    /// A way in, for a machine.
    pub(crate) fn connector(
        &self,
    ) -> impl Fn() -> std::future::Ready<io::Result<DuplexStream>> + Clone + Send + Sync + 'static
    {
        let (door, pool) = (self.door.clone(), self.pool.clone());
        move || {
            let (theirs, ours) = tokio::io::duplex(16 << 10);
            let (door, pool) = (door.clone(), pool.clone());
            tokio::spawn(async move {
                if let Ok(Accepted::Registered(machine)) = door.accept(Arrival::tls(ours)).await {
                    pool.admit(machine);
                }
            });
            std::future::ready(Ok(theirs))
        }
    }

    pub(crate) fn door(&self) -> &FrontDoor {
        &self.door
    }

    pub(crate) fn machine(&self, name: &str) -> SimulatedBuildlet {
        self.start(simulation(name))
    }

    pub(crate) fn start(&self, simulation: Simulation) -> SimulatedBuildlet {
        SimulatedBuildlet::start(self.connector(), simulation)
    }

    /// How many requests wait.
    pub(crate) fn waiting(&self) -> usize {
        let status = self.pool.status();
        let host_type = status.host_types.get(HOST_TYPE);
        host_type.map_or(0, |status| status.waiting)
    }

    /// Waits until so many machines are in this state.
    pub(crate) async fn until(&self, state: MachineState, count: usize) {
        let what = format!("{count} machines {state:?}");
        until(&what, || {
            let status = self.pool.status();
            status.machines().filter(|one| one.state == state).count() == count
        })
        .await;
    }
}

pub(crate) fn simulation(name: &str) -> Simulation {
    let key = MasterKey::development().key_for(HOST_TYPE);
    Simulation::new(HOST_TYPE, name, key)
}

/// Polls until `done`, as what is waited for has no event.
pub(crate) async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let polling = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    if timeout(PATIENCE, polling).await.is_err() {
        panic!("not within {PATIENCE:?}: {what}");
    }
}

pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match timeout(PATIENCE, future).await {
        Ok(done) => done,
        Err(_) => panic!("not within {PATIENCE:?}: {what}"),
    }
}

/// The next machine on offer; other events are a mistake.
pub(crate) async fn offered(offers: &mut Offers) -> Arc<buildlet_pool::Machine> {
    match within("a machine is offered", offers.next()).await {
        Some(OfferEvent::Offered(machine)) => machine,
        other => panic!("not an offer: {other:?}"),
    }
}

/// The id of the only machine.
pub(crate) fn only(pool: &ReversePool) -> MachineId {
    let status = pool.status();
    let mut machines = status.machines();
    let machine = machines.next().expect("there is one").machine.id;
    assert!(machines.next().is_none(), "there is more than one");
    machine
}
