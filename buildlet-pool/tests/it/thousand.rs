//! Many machines in one process.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use buildlet_pool::test_support::SimulatedBuildlet;
use buildlet_pool::{
    BuildletPool as _, HostPolicy, LeaseOptions, LeaseRequest, MachineState, OfferEvent, Reuse,
    ReverseConfig, Verdict,
};
use buildlet_proto::types::ExecRequest;
use tokio::task::JoinSet;

use crate::coordinator::{Coordinator, HOST_TYPE, simulation, until, within};

const MACHINES: usize = 1000;
const BUILDS: usize = 2000;
/// At once: each is a hand-shake, and two slow processors must manage within the limits of a connection.
const AT_ONCE: usize = 100;

fn config() -> ReverseConfig {
    ReverseConfig::default().default_policy(HostPolicy::default().reuse(Reuse::Cleaned))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_machines_serve_those_who_wait_and_those_who_follow() {
    let coordinator = Coordinator::new(config());
    let mut offers = coordinator.pool.offers();
    let machines: Vec<_> = (0..MACHINES)
        .map(|n| coordinator.start(simulation(&format!("m{n}"))))
        .collect();
    coordinator.until(MachineState::Idle, MACHINES).await;

    // A scheduler: takes what is offered, as long as there is work.
    let done = Arc::new(AtomicUsize::new(0));
    let places = Arc::new(tokio::sync::Semaphore::new(AT_ONCE));
    let scheduler = tokio::spawn({
        let (pool, done) = (coordinator.pool.clone(), done.clone());
        async move {
            let mut builds = JoinSet::new();
            while builds.len() < BUILDS {
                let Some(OfferEvent::Offered(machine)) = offers.next().await else {
                    continue;
                };
                let options = LeaseOptions::default().holder("a scheduler");
                let Ok(lease) = pool.lease(machine.id, options).await else {
                    continue;
                };
                let (done, place) = (done.clone(), places.clone().acquire_owned().await);
                builds.spawn(async move {
                    let _place = place;
                    let running = lease
                        .client()
                        .start(ExecRequest::new("true"))
                        .await
                        .unwrap();
                    running.collect(100).await.unwrap();
                    lease.release(Verdict::Healthy);
                    done.fetch_add(1, Ordering::Relaxed);
                });
            }
            builds.join_all().await;
        }
    });
    let mut waiting = JoinSet::new();
    for _ in 0..AT_ONCE {
        let pool = coordinator.pool.clone();
        waiting.spawn(async move {
            let lease = pool
                .get_buildlet(LeaseRequest::new(HOST_TYPE))
                .await
                .unwrap();
            lease.client().status().await.unwrap();
            lease.release(Verdict::Healthy);
        });
    }
    within("the scheduler", scheduler).await.unwrap();
    within("those who wait", waiting.join_all()).await;
    assert_eq!(done.load(Ordering::Relaxed), BUILDS);
    let commands: u64 = machines.iter().map(SimulatedBuildlet::commands).sum();
    assert_eq!(
        commands, BUILDS as u64,
        "no machine was asked twice or for nothing"
    );
    coordinator.until(MachineState::Idle, MACHINES).await;
    let metrics = coordinator.pool.metrics();
    assert_eq!(metrics.leases, (BUILDS + AT_ONCE) as u64);
    assert_eq!(metrics.ended_healthy, metrics.leases);
    within("it shuts down", coordinator.pool.shutdown()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_machines_that_go_at_once_are_missed_at_once() {
    // Nobody asks them how they are: that they have gone is seen.
    let coordinator = Coordinator::new(config().health_interval(Duration::from_secs(3600)));
    let machines: Vec<_> = (0..MACHINES)
        .map(|n| coordinator.start(simulation(&format!("m{n}"))))
        .collect();
    coordinator.until(MachineState::Idle, MACHINES).await;
    let leases: Vec<_> = {
        let mut leases = Vec::new();
        for _ in 0..MACHINES / 2 {
            let request = LeaseRequest::new(HOST_TYPE);
            leases.push(coordinator.pool.get_buildlet(request).await.unwrap());
        }
        leases
    };
    drop(machines);
    until("all are gone", || {
        coordinator.pool.status().machines().count() == 0
    })
    .await;
    for lease in &leases {
        within("it is lost", lease.lost()).await;
    }
    assert_eq!(coordinator.pool.metrics().lost, leases.len() as u64);
}
