use build_coordinator::coordinator::CommandError;
use build_coordinator::model::{Cause, MachineChange};
use buildlet_pool::{BuildletPool as _, ReverseConfig};
use buildlet_proto::server;

use super::fleet::{Fleet, HOST_TYPE, kill, process};
use super::support::{Place, builder};

#[test]
fn a_machine_may_be_drained_before_it_comes_and_stays_so() {
    let place = Place::new(&builder("test", "", "true"));
    let mut fleet = Fleet::new(0);
    let runtime = process();
    runtime.block_on(async {
        let running = fleet.coordinator(&place, ReverseConfig::default()).await;
        let coordinator = &running.system.coordinator;
        let is_here = coordinator.drain_machine("m0", true, "alice").await;
        assert!(!is_here.unwrap());
        let error = coordinator.drain_machine("m1", false, "alice").await;
        assert!(matches!(error, Err(CommandError::NoMachine(name)) if name == "m1"));
        coordinator.stop().await;
    });
    kill(runtime);

    fleet.add(server::Config::default());
    let runtime = process();
    runtime.block_on(async {
        let running = fleet.coordinator(&place, ReverseConfig::default()).await;
        let coordinator = &running.system.coordinator;
        crate::run::eventually(|| {
            let status = running.pool.status();
            let of_type = status.host_types.values().next()?;
            of_type.machines.iter().find(|one| one.drained).map(|_| ())
        })
        .await;
        let waiting = running.system.until(1, |_| true).await;
        assert!(waiting.iter().all(|build| build.attempts.is_empty()));
        assert_eq!(coordinator.drained_machines()[0].by, "alice");

        let is_here = coordinator.drain_machine("m0", false, "bob").await;
        assert!(is_here.unwrap());
        let done = running.system.done(1).await;
        assert_eq!(done[0].build.cause(), Some(Cause::Succeeded));
        assert!(coordinator.drained_machines().is_empty());
        let events = coordinator
            .store()
            .machine_events("m0", HOST_TYPE, 10)
            .await;
        let last = events.unwrap().remove(0).change;
        assert!(matches!(last, MachineChange::Released { reason } if reason.contains("bob")));
        coordinator.stop().await;
    });
    kill(runtime);
}
