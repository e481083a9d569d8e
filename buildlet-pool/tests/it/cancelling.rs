//! Tasks that are aborted at any moment leave nothing behind.

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use buildlet_pool::{
    BuildletPool as _, HostPolicy, LeaseOptions, LeaseRequest, MachineState, Reuse, ReverseConfig,
    Verdict,
};
use buildlet_proto::types::ExecRequest;
use tokio::task::JoinSet;

use crate::coordinator::{Coordinator, HOST_TYPE, simulation, until, within};

fn reusing() -> ReverseConfig {
    ReverseConfig::default().default_policy(HostPolicy::default().reuse(Reuse::Cleaned))
}

/// A build as a coordinator runs one.
async fn build(pool: buildlet_pool::ReversePool) {
    let lease = pool
        .get_buildlet(LeaseRequest::new(HOST_TYPE))
        .await
        .unwrap();
    let client = lease.client();
    client.remove_all(&["src".to_owned()]).await.unwrap();
    client
        .put("x".into(), "src/x", Default::default())
        .await
        .unwrap();
    let running = client.start(ExecRequest::new("make")).await.unwrap();
    running.collect(1000).await.unwrap();
    lease.renew(Duration::from_secs(60)).unwrap();
    lease.release(Verdict::Healthy);
}

#[tokio::test]
async fn a_build_aborted_at_any_await_frees_its_machine() {
    let coordinator = Coordinator::new(reusing());
    let machine = coordinator.machine("a");
    coordinator.until(MachineState::Idle, 1).await;
    let mut polls = 0;
    loop {
        // Aborts the build after so many polls.
        let mut whole = false;
        {
            let mut build = pin!(build(coordinator.pool.clone()));
            let mut left = polls;
            let cut = std::future::poll_fn(|cx| {
                if left == 0 {
                    return Poll::Ready(false);
                }
                left -= 1;
                build.as_mut().poll(cx).map(|()| true)
            });
            whole |= within("it ends or is cut", cut).await;
        }
        coordinator.until(MachineState::Idle, 1).await;
        assert_eq!(coordinator.waiting(), 0, "after {polls} polls");
        if whole {
            break;
        }
        polls += 1;
        assert!(polls < 1000, "it never ends");
    }
    assert!(polls >= 4, "a build waits more often than {polls} times");
    until("nothing runs", || machine.running() == 0).await;
    let metrics = coordinator.pool.metrics();
    let ended = metrics.ended_healthy + metrics.ended_suspect + metrics.ended_unknown;
    assert_eq!(ended + metrics.lost, metrics.leases);
}

#[tokio::test]
async fn a_machine_given_to_a_request_that_gives_up_goes_to_the_next_without_being_restarted() {
    let coordinator = Coordinator::new(ReverseConfig::default());
    let pool = &coordinator.pool;
    let mut cx = Context::from_waker(Waker::noop());
    let mut first = Box::pin(pool.get_buildlet(LeaseRequest::new(HOST_TYPE)));
    assert!(first.as_mut().poll(&mut cx).is_pending());
    let second = tokio::spawn({
        let pool = pool.clone();
        async move { pool.get_buildlet(LeaseRequest::new(HOST_TYPE)).await }
    });
    until("both wait", || coordinator.waiting() == 2).await;
    let machine = coordinator.machine("a");
    // The first has it now and is not polled again.
    coordinator.until(MachineState::Busy, 1).await;
    drop(first);
    let lease = within("the second gets it", second).await.unwrap().unwrap();
    assert_eq!(machine.registrations(), 1);
    assert_eq!(pool.metrics().leases, 1, "the other was none");
    lease.release(Verdict::Healthy);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn builds_that_are_aborted_at_random_lose_no_machine() {
    const MACHINES: usize = 8;
    let coordinator = Coordinator::new(reusing());
    let machines: Vec<_> = (0..MACHINES)
        .map(|n| {
            let slow = simulation(&format!("m{n}")).command_time(Duration::from_millis(2));
            coordinator.start(slow)
        })
        .collect();
    let mut builds = JoinSet::new();
    let mut random = 1_u64;
    for _ in 0..400 {
        builds.spawn(build(coordinator.pool.clone()));
        // Some follow the offers, as a scheduler does.
        let pool = coordinator.pool.clone();
        builds.spawn(async move {
            let mut offers = pool.offers();
            while let Some(buildlet_pool::OfferEvent::Offered(machine)) = offers.next().await {
                if let Ok(lease) = pool.lease(machine.id, LeaseOptions::default()).await {
                    lease.client().status().await.unwrap();
                    return;
                }
            }
        });
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        tokio::time::sleep(Duration::from_micros(random % 3000)).await;
        if random.is_multiple_of(3) && builds.len() > 10 {
            abort(&mut builds).await;
        }
    }
    abort(&mut builds).await;
    coordinator.until(MachineState::Idle, MACHINES).await;
    assert_eq!(coordinator.waiting(), 0);
    let running = || {
        machines
            .iter()
            .map(buildlet_pool::test_support::SimulatedBuildlet::running)
    };
    until("nothing runs", || running().sum::<usize>() == 0).await;
    within("nothing is leased", coordinator.pool.drain()).await;
}

async fn abort(builds: &mut JoinSet<()>) {
    builds.abort_all();
    while let Some(ended) = builds.join_next().await {
        assert!(!ended.is_err_and(|error| error.is_panic()));
    }
}
