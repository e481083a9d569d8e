//! Leases: exclusive, got back however they end, and given out in turn.

use std::time::Duration;

use buildlet_pool::test_support::Behavior;
use buildlet_pool::{
    BuildletPool as _, GetBuildletError, HostPolicy, LeaseError, LeaseOptions, LeaseRequest,
    LostReason, MachineId, MachineState, OfferEvent, Reuse, ReverseConfig, Verdict,
};
use buildlet_proto::types::{ExecRequest, Status};

use crate::coordinator::{Coordinator, HOST_TYPE, offered, only, simulation, until, within};

fn request() -> LeaseRequest {
    LeaseRequest::new(HOST_TYPE)
}

fn options() -> LeaseOptions {
    LeaseOptions::default()
}

fn reusing() -> ReverseConfig {
    ReverseConfig::default().default_policy(HostPolicy::default().reuse(Reuse::Cleaned))
}

#[tokio::test]
async fn a_machine_that_registers_is_cleaned_offered_leased_and_runs_commands() {
    let coordinator = Coordinator::new(ReverseConfig::default());
    let mut offers = coordinator.pool.offers();
    let machine = coordinator.machine("a");
    let offer = offered(&mut offers).await;
    assert_eq!(
        (&*offer.host_name, offer.host_type.as_str()),
        ("a", HOST_TYPE)
    );
    assert_eq!(&*offer.version, "29");
    assert_eq!(machine.cleanings(), 1);

    let lease = coordinator.pool.lease(offer.id, options()).await.unwrap();
    let running = lease
        .client()
        .start(ExecRequest::new("true"))
        .await
        .unwrap();
    let (output, outcome) = running.collect(100).await.unwrap();
    assert_eq!(&output[..], b"ok\n");
    outcome.success().unwrap();
    lease.release(Verdict::Healthy);

    // It was told to halt, and comes back as another.
    let OfferEvent::Gone { machine: gone, .. } = within("it goes", offers.next()).await.unwrap()
    else {
        panic!("it goes first");
    };
    assert_eq!(gone, offer.id);
    let again = offered(&mut offers).await;
    assert_ne!(again.id, offer.id);
    assert_eq!(machine.registrations(), 2);
}

#[tokio::test]
async fn a_machine_is_leased_to_one_holder_at_a_time() {
    let coordinator = Coordinator::new(reusing());
    let _machine = coordinator.machine("a");
    let lease = within("a lease", coordinator.pool.get_buildlet(request()))
        .await
        .unwrap();
    let id = lease.machine().id;
    let refused = coordinator.pool.lease(id, options()).await.unwrap_err();
    assert_eq!(
        refused,
        LeaseError::NotOnOffer {
            machine: id,
            state: "leased"
        }
    );
    let short = request().wait_limit(Duration::from_millis(20));
    let refused = coordinator.pool.get_buildlet(short).await.unwrap_err();
    assert!(
        matches!(refused, GetBuildletError::TimedOut { .. }),
        "{refused}"
    );
    let nobody = MachineId::new(12345);
    let refused = coordinator.pool.lease(nobody, options()).await.unwrap_err();
    assert_eq!(refused, LeaseError::NoSuchMachine { machine: nobody });
    drop(lease);
}

#[tokio::test]
async fn with_reuse_a_healthy_machine_is_cleaned_and_on_offer_again() {
    let coordinator = Coordinator::new(reusing());
    let mut offers = coordinator.pool.offers();
    let machine = coordinator.machine("a");
    for round in 1..=3 {
        let offer = offered(&mut offers).await;
        let lease = coordinator.pool.lease(offer.id, options()).await.unwrap();
        lease.release(Verdict::Healthy);
        until("it is cleaned", || machine.cleanings() == 1 + round).await;
    }
    offered(&mut offers).await;
    assert_eq!(machine.registrations(), 1);
    assert_eq!(coordinator.pool.metrics().leases, 3);
}

#[tokio::test]
async fn a_buildlet_that_may_leave_processes_behind_is_not_reused() {
    let coordinator = Coordinator::new(reusing());
    let machine = coordinator.start(simulation("a").status(Status::new(29)));
    let lease = within("a lease", coordinator.pool.get_buildlet(request()))
        .await
        .unwrap();
    lease.release(Verdict::Healthy);
    until("it comes back", || machine.registrations() == 2).await;
}

#[tokio::test]
async fn a_lease_that_is_dropped_frees_the_machine_and_kills_its_commands() {
    let coordinator = Coordinator::new(reusing());
    let slow = simulation("a").command_time(Duration::from_secs(1000));
    let machine = coordinator.start(slow);
    let lease = within("a lease", coordinator.pool.get_buildlet(request()))
        .await
        .unwrap();
    let client = lease.client().clone();
    let running = client.start(ExecRequest::new("sleep")).await.unwrap();
    assert_eq!(machine.running(), 1);
    drop(lease);
    let cut = within("its output ends", running.collect(1000)).await;
    assert!(cut.is_err());
    until("the command is killed", || machine.running() == 0).await;
    // A client that somebody kept is no way to the next holder.
    let next = within("the next lease", coordinator.pool.get_buildlet(request()))
        .await
        .unwrap();
    assert!(client.status().await.is_err());
    assert!(client.start(ExecRequest::new("true")).await.is_err());
    assert_eq!(machine.commands(), 1);
    next.client().status().await.unwrap();
}

#[tokio::test]
async fn requests_are_served_in_the_order_in_which_they_came() {
    let coordinator = Coordinator::new(reusing());
    let (sender, mut served) = tokio::sync::mpsc::unbounded_channel();
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..5 {
        let (pool, sender) = (coordinator.pool.clone(), sender.clone());
        tasks.spawn(async move {
            let lease = pool.get_buildlet(request()).await.unwrap();
            sender.send(number).unwrap();
            lease.release(Verdict::Healthy);
        });
        let waiting = number + 1;
        until("it waits", || coordinator.waiting() == waiting).await;
    }
    let _machine = coordinator.machine("a");
    for number in 0..5 {
        assert_eq!(within("the next", served.recv()).await, Some(number));
    }
    let metrics = coordinator.pool.metrics();
    assert_eq!((metrics.waited, metrics.leases), (5, 5));
}

#[tokio::test]
async fn a_lease_expires_unless_it_is_renewed() {
    let coordinator = Coordinator::new(reusing());
    let _machine = coordinator.machine("a");
    let short = Duration::from_millis(50);
    let get = || {
        coordinator
            .pool
            .get_buildlet(request().options(options().time(short)))
    };
    let lease = within("a lease", get()).await.unwrap();
    assert_eq!(
        within("it expires", lease.lost()).await,
        LostReason::Expired(short)
    );
    assert_eq!(lease.renew(short), Err(LostReason::Expired(short)));
    assert!(lease.client().status().await.is_err());
    lease.release(Verdict::Healthy); // too late to count

    let lease = within("the next lease", get()).await.unwrap();
    lease.renew(Duration::from_secs(1000)).unwrap();
    let lost = tokio::time::timeout(short * 4, lease.lost()).await;
    assert!(lost.is_err(), "{lost:?}");
    let metrics = coordinator.pool.metrics();
    assert_eq!(
        (metrics.expired, metrics.lost, metrics.ended_healthy),
        (1, 1, 0)
    );
}

#[tokio::test]
async fn a_lease_is_lost_when_the_machine_dies() {
    let coordinator = Coordinator::new(reusing());
    let mut offers = coordinator.pool.offers();
    let machine = coordinator.machine("a");
    let id = offered(&mut offers).await.id;
    let lease = coordinator.pool.lease(id, options()).await.unwrap();
    drop(machine);
    let reason = within("it is lost", lease.lost()).await;
    assert!(matches!(reason, LostReason::Disconnected(_)), "{reason}");
    let event = within("an event", offers.next()).await.unwrap();
    assert!(
        matches!(event, OfferEvent::Gone { machine, .. } if machine == id),
        "{event:?}"
    );
    assert_eq!(coordinator.pool.status().machines().count(), 0);
    let absent = &coordinator.pool.status().absent[0];
    assert_eq!(&*absent.host_name, "a");
    assert!(absent.reason.contains("connection"), "{}", absent.reason);
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_lost_when_the_machine_does_not_answer() {
    let coordinator = Coordinator::new(reusing());
    let machine = coordinator.machine("a");
    // Without a call of the holder's: the pool sees to it that the machine is watched.
    let lease = coordinator.pool.get_buildlet(request()).await.unwrap();
    machine.behave(Behavior::Deaf);
    let began = tokio::time::Instant::now();
    let reason = lease.lost().await;
    assert!(matches!(reason, LostReason::Unresponsive(_)), "{reason}");
    assert!(
        began.elapsed() < Duration::from_secs(150),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn draining_waits_for_leases_and_refuses_requests() {
    let coordinator = Coordinator::new(reusing());
    let _machine = coordinator.machine("a");
    let lease = within("a lease", coordinator.pool.get_buildlet(request()))
        .await
        .unwrap();
    let waiting = tokio::spawn({
        let pool = coordinator.pool.clone();
        async move { pool.get_buildlet(request()).await.map(drop) }
    });
    until("it waits", || coordinator.waiting() == 1).await;
    let draining = tokio::spawn({
        let pool = coordinator.pool.clone();
        async move { pool.drain().await }
    });
    let refused = within("it is refused", waiting).await.unwrap();
    assert_eq!(refused, Err(GetBuildletError::Closed));
    assert!(!draining.is_finished());
    lease.client().status().await.unwrap();
    lease.release(Verdict::Healthy);
    within("it is drained", draining).await.unwrap();
    let refused = coordinator.pool.get_buildlet(request()).await.unwrap_err();
    assert_eq!(refused, GetBuildletError::Closed);
    coordinator.until(MachineState::Idle, 1).await;
    let refused = coordinator
        .pool
        .lease(only(&coordinator.pool), options())
        .await;
    assert_eq!(refused.unwrap_err(), LeaseError::Closed);
}

#[tokio::test]
async fn a_shutdown_ends_leases_and_lets_machines_go() {
    let coordinator = Coordinator::new(reusing());
    let mut offers = coordinator.pool.offers();
    let machines = ["a", "b"].map(|name| coordinator.machine(name));
    offered(&mut offers).await;
    offered(&mut offers).await;
    let lease = coordinator.pool.get_buildlet(request()).await.unwrap();
    within("it shuts down", coordinator.pool.shutdown()).await;
    assert_eq!(
        within("it is lost", lease.lost()).await,
        LostReason::Shutdown
    );
    within("offers end", async {
        while offers.next().await.is_some() {}
    })
    .await;
    assert_eq!(coordinator.pool.status().machines().count(), 0);
    assert_eq!(machines.map(|machine| machine.registrations()), [1, 1]);
}

#[tokio::test]
async fn offers_tell_what_is_taken_by_others_and_what_is_drained() {
    let coordinator = Coordinator::new(reusing());
    let mut offers = coordinator.pool.offers();
    let _machine = coordinator.machine("a");
    let id = offered(&mut offers).await.id;
    let withdrawn = |event: Option<OfferEvent>| matches!(event, Some(OfferEvent::Withdrawn(machine)) if machine == id);
    let lease = coordinator.pool.get_buildlet(request()).await.unwrap();
    assert!(withdrawn(within("it is taken", offers.next()).await));
    lease.release(Verdict::Healthy);
    offered(&mut offers).await;

    assert!(coordinator.pool.set_drained(id, true));
    assert!(withdrawn(within("it is drained", offers.next()).await));
    let refused = coordinator.pool.lease(id, options()).await.unwrap_err();
    assert!(matches!(
        refused,
        LeaseError::NotOnOffer {
            state: "drained",
            ..
        }
    ));
    assert!(coordinator.pool.set_drained(id, false));
    offered(&mut offers).await;

    // One's own lease needs no event; the next offer says that it is over.
    let lease = coordinator.pool.lease(id, options()).await.unwrap();
    lease.release(Verdict::Healthy);
    assert_eq!(offered(&mut offers).await.id, id);
    // Who comes late learns what is there.
    assert_eq!(offered(&mut coordinator.pool.offers()).await.id, id);
}
