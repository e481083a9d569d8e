//! Machines that come back with commands that outlived their last stay.

use std::path::Path;
use std::time::Duration;

use buildlet_pool::{
    BuildletPool as _, HostPolicy, Lease, LeaseRequest, LostReason, MachineState, ReclaimError,
    ReclaimRequest, Reuse, ReverseConfig, Verdict,
};
use buildlet_proto::client::Running;
use buildlet_proto::key::MasterKey;
use buildlet_proto::test_support::{FakeBuildlet, FakeWorker};
use buildlet_proto::types::ExecRequest;
use buildlet_proto::types::ext::{Resume, ResumeKey};
use revdial::Registration;

use crate::coordinator::{Coordinator, HOST_TYPE, PATIENCE, until, within};

fn config() -> ReverseConfig {
    ReverseConfig::default().default_policy(HostPolicy::default().reuse(Reuse::Cleaned))
}

fn worker(coordinator: &Coordinator) -> FakeWorker {
    let key = MasterKey::development().key_for(HOST_TYPE);
    let registration = Registration::buildlet(HOST_TYPE, key.as_str(), "m1", "29").unwrap();
    let buildlet = FakeBuildlet::start().unwrap();
    buildlet.register(coordinator.connector(), registration)
}

fn key() -> ResumeKey {
    ResumeKey::from_bytes([7; 24])
}

async fn lease(coordinator: &Coordinator) -> Lease {
    let request = LeaseRequest::new(HOST_TYPE);
    let lease = within("a lease", coordinator.pool.get_buildlet(request)).await;
    lease.unwrap()
}

fn claim() -> ReclaimRequest {
    ReclaimRequest::new(key().name(), PATIENCE)
}

async fn start(lease: &Lease, script: &str) -> Running {
    let command = ExecRequest::new("sh")
        .args(["-c", script])
        .dir(".")
        .system_level(true)
        .resumable(Resume::new(key(), 0).grace(Duration::from_secs(3600)));
    lease.client().start(command).await.unwrap()
}

async fn output(running: Running) -> String {
    let (output, outcome) = within("it ends", running.collect(1000)).await.unwrap();
    outcome.success().unwrap();
    String::from_utf8(output.to_vec()).unwrap()
}

/// The id of the command's process, which it has written to `pid`.
async fn pid(dir: &Path) -> u32 {
    let file = dir.join("pid");
    let read = || std::fs::read_to_string(&file).ok()?.trim().parse().ok();
    until("it runs", || read().is_some()).await;
    read().unwrap()
}

fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| !stat.rsplit(") ").next().unwrap().starts_with('Z'))
}

const HANG: &str = "echo $$ > pid.new; mv pid.new pid; exec sleep 1000";
const GO: &str = "printf a; until [ -e go ]; do sleep 0.01; done; printf b";

#[tokio::test]
async fn a_machine_that_comes_back_goes_as_it_is_to_who_claims_what_it_runs() {
    let coordinator = Coordinator::new(config());
    let worker = worker(&coordinator);
    let first = lease(&coordinator).await;
    assert!(first.machine().keeps_commands);
    let mut running = start(&first, GO).await;
    let piece = within("output", running.next_output()).await.unwrap();
    assert_eq!(piece.unwrap(), "a");
    worker.cut();
    let lost = within("it is noticed", first.lost()).await;
    assert!(matches!(lost, LostReason::Disconnected(_)), "{lost}");
    drop((running, first));

    let back = within("it comes back", coordinator.pool.reclaim(claim())).await;
    let back = back.unwrap();
    std::fs::write(worker.work_dir().join("go"), "").unwrap();
    let running = back.client().attach(&key(), 0, 1).await.unwrap();
    assert_eq!(output(running).await, "b");
    assert_eq!(coordinator.pool.metrics().reclaimed, 1);
    back.release(Verdict::Healthy);

    // The next holder finds nothing of it.
    let next = lease(&coordinator).await;
    assert!(next.client().status().await.unwrap().kept().is_empty());
    assert!(!worker.work_dir().join("go").exists());
}

#[tokio::test]
async fn what_nobody_claims_is_killed_before_the_machine_is_on_offer() {
    let coordinator = Coordinator::new(config().claim_limit(Duration::from_millis(50)));
    let worker = worker(&coordinator);
    let first = lease(&coordinator).await;
    let running = start(&first, HANG).await;
    let pid = pid(worker.work_dir()).await;
    worker.cut();
    within("it is noticed", first.lost()).await;
    drop((running, first));
    let next = lease(&coordinator).await;
    assert!(!is_alive(pid), "it runs beside the next holder's");
    assert!(!worker.work_dir().join("pid").exists());
    assert!(next.client().status().await.unwrap().kept().is_empty());
}

#[tokio::test]
async fn a_machine_waits_a_while_for_its_claim_and_a_claim_for_its_machine() {
    let coordinator = Coordinator::new(config().claim_limit(Duration::from_secs(3600)));
    let worker = worker(&coordinator);
    let first = lease(&coordinator).await;
    let running = start(&first, GO).await;
    worker.cut();
    within("it is noticed", first.lost()).await;
    drop((running, first));
    coordinator.until(MachineState::Held, 1).await;
    let other = ReclaimRequest::new(
        "00000000000000aa".parse().unwrap(),
        Duration::from_millis(20),
    );
    let late = coordinator.pool.reclaim(other).await;
    assert!(matches!(late, Err(ReclaimError::TimedOut { .. })));
    let back = within("the claim", coordinator.pool.reclaim(claim())).await;
    let back = back.unwrap();

    // Its holder leaves it to another, as a coordinator that stops.
    let waiting = coordinator.pool.reclaim(claim());
    tokio::pin!(waiting);
    let early = tokio::time::timeout(Duration::from_millis(20), &mut waiting).await;
    assert!(early.is_err(), "it is in use");
    back.release(Verdict::Unfinished);
    let back = within("the claim", waiting).await.unwrap();
    std::fs::write(worker.work_dir().join("go"), "").unwrap();
    let running = back.client().attach(&key(), 0, 0).await.unwrap();
    assert_eq!(output(running).await, "ab");
}

#[tokio::test]
async fn a_claim_that_is_given_up_leaves_a_clean_machine() {
    let coordinator = Coordinator::new(config().claim_limit(Duration::from_secs(3600)));
    let worker = worker(&coordinator);
    let first = lease(&coordinator).await;
    let running = start(&first, HANG).await;
    let pid = pid(worker.work_dir()).await;
    worker.cut();
    within("it is noticed", first.lost()).await;
    drop((running, first));
    coordinator.until(MachineState::Held, 1).await;
    // Whoever claimed it has gone in the moment in which it came: it was told to halt.
    drop(
        within("the claim", coordinator.pool.reclaim(claim()))
            .await
            .unwrap(),
    );
    let _next = lease(&coordinator).await;
    // A machine that halts takes all its processes along; this one only tells them to end.
    until("it is killed", || !is_alive(pid)).await;
}

#[tokio::test]
async fn a_pool_that_ends_gives_no_machine_back() {
    let coordinator = Coordinator::new(config());
    let waiting = coordinator.pool.reclaim(claim());
    tokio::pin!(waiting);
    let early = tokio::time::timeout(Duration::from_millis(20), &mut waiting).await;
    assert!(early.is_err());
    coordinator.pool.shutdown().await;
    let refused = within("it is told", waiting).await;
    assert!(matches!(refused, Err(ReclaimError::Closed)));
    let refused = coordinator.pool.reclaim(claim()).await;
    assert!(matches!(refused, Err(ReclaimError::Closed)));
}
