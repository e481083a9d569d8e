//! Who is let in, who is watched and who is sent away.

use std::time::Duration;

use buildlet_pool::test_support::{Behavior, Simulation};
use buildlet_pool::{
    BuildletPool as _, HostPolicy, LeaseOptions, LeaseRequest, LostReason, MachineState, Reuse,
    ReverseConfig, Verdict,
};
use buildlet_proto::key::{BuilderKey, MasterKey};
use buildlet_proto::types::Status;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::coordinator::{Coordinator, HOST_TYPE, offered, only, simulation, until, within};

/// Sends a request to the door, and returns status and body of what comes back.
async fn answer(coordinator: &Coordinator, headers: &[(&str, &str)]) -> (String, String) {
    let mut io = coordinator.connector()().await.unwrap();
    let mut request = "GET /reverse HTTP/1.1\r\nHost: \r\n".to_owned();
    for (name, value) in headers {
        request += &format!("{name}: {value}\r\n");
    }
    io.write_all(format!("{request}\r\n").as_bytes())
        .await
        .unwrap();
    let mut reply = String::new();
    within("a reply", io.read_to_string(&mut reply))
        .await
        .unwrap();
    let (head, body) = reply.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().to_owned();
    (status, body.to_owned())
}

#[tokio::test]
async fn registrations_are_refused_in_upstreams_order_and_words() {
    let coordinator = Coordinator::new(ReverseConfig::default());
    let mut headers = Vec::new();
    let steps = [
        (None, "400", "buildlet binary is too old\n"),
        (
            Some(("X-Revdial-Version", "1")),
            "400",
            "unknown revdial version\n",
        ),
        (
            Some(("X-Revdial-Version", "2")),
            "400",
            "missing X-Go-Builder-Hostname header\n",
        ),
        (
            Some(("X-Go-Builder-Hostname", "a")),
            "400",
            "missing X-Go-Host-Type; old buildlet binary?\n",
        ),
        (
            Some(("X-Go-Host-Type", HOST_TYPE)),
            "412",
            "invalid build key\n",
        ),
        (
            Some(("X-Go-Builder-Key", "0123456789abcdef0123456789abcdef")),
            "412",
            "invalid build key\n",
        ),
    ];
    for (header, status, body) in steps {
        if let Some(header) = header {
            headers.retain(|(name, _)| *name != header.0);
            headers.push(header);
        }
        let want = (status.to_owned(), body.to_owned());
        assert_eq!(answer(&coordinator, &headers).await, want, "{headers:?}");
    }
    // A key is one of its host type.
    let other = MasterKey::development().key_for("host-y");
    headers.pop();
    headers.push(("X-Go-Builder-Key", other.as_str()));
    assert_eq!(answer(&coordinator, &headers).await.0, "412");
    let metrics = coordinator.pool.metrics();
    assert_eq!((metrics.refused, metrics.refused_key), (3, 3));
}

#[tokio::test]
async fn a_second_machine_of_a_name_is_turned_away_while_the_first_lives() {
    let config = ReverseConfig::default().duplicate_limit(Duration::from_millis(200));
    let coordinator = Coordinator::new(config);
    let mut offers = coordinator.pool.offers();
    let first = coordinator.machine("a");
    let id = offered(&mut offers).await.id;
    let key = MasterKey::development().key_for(HOST_TYPE);
    let headers = [
        ("X-Revdial-Version", "2"),
        ("X-Go-Builder-Hostname", "a"),
        ("X-Go-Host-Type", HOST_TYPE),
        ("X-Go-Builder-Key", key.as_str()),
    ];
    let (status, _) = answer(&coordinator, &headers).await;
    assert_eq!(
        status, "503",
        "which buildlets take for a reason to try again"
    );
    assert_eq!(coordinator.pool.metrics().refused_duplicate, 1);
    assert_eq!(only(&coordinator.pool), id);

    // One that does not answer is replaced, and whoever has it learns so.
    let lease = coordinator
        .pool
        .lease(id, LeaseOptions::default())
        .await
        .unwrap();
    first.behave(Behavior::Deaf);
    let _second = coordinator.machine("a");
    let reason = within("it is lost", lease.lost()).await;
    assert!(matches!(reason, LostReason::Unresponsive(_)), "{reason}");
    until("the second is there alone", || {
        let status = coordinator.pool.status();
        let mut machines = status.machines();
        machines
            .next()
            .is_some_and(buildlet_pool::MachineStatus::is_idle)
            && machines.next().is_none()
    })
    .await;
    assert_ne!(only(&coordinator.pool), id);
}

#[tokio::test]
async fn a_buildlet_that_is_too_old_or_does_not_work_is_sent_away() {
    let coordinator = Coordinator::new(ReverseConfig::default());
    let _old = coordinator.start(simulation("old").status(Status::new(22)));
    until("it is rejected", || {
        coordinator.pool.metrics().rejected == 1
    })
    .await;
    let new = coordinator.start(simulation("new").status(Status::new(23)));
    coordinator.until(MachineState::Idle, 1).await;
    until("it is all there is", || {
        coordinator.pool.status().machines().count() == 1
    })
    .await;
    assert_eq!(&*coordinator.pool.status().absent[0].host_name, "old");
    drop(new);
}

#[tokio::test(start_paused = true)]
async fn an_idle_machine_that_does_not_answer_is_let_go() {
    let coordinator = Coordinator::new(ReverseConfig::default());
    let mut offers = coordinator.pool.offers();
    let machine = coordinator.machine("a");
    offered(&mut offers).await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(coordinator.pool.metrics().unhealthy, 0);
    let seen = coordinator.pool.status();
    let seen = seen.machines().next().unwrap();
    assert!(seen.seen_before <= Duration::from_secs(15), "{seen:?}");
    machine.behave(Behavior::Deaf);
    let began = tokio::time::Instant::now();
    while coordinator.pool.status().machines().count() > 0 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(began.elapsed() < Duration::from_secs(40));
    assert_eq!(coordinator.pool.metrics().unhealthy, 1);
}

#[tokio::test]
async fn an_invitation_lets_one_machine_in_once() {
    let coordinator = Coordinator::new(ReverseConfig::default());
    let invitation = coordinator.pool.invite(HOST_TYPE, "local-1").unwrap();
    assert!(coordinator.pool.invite(HOST_TYPE, "local-1").is_err());
    // Not even the key of the host type will do.
    let _other = coordinator.machine("local-1");
    until("it is refused", || {
        coordinator.pool.metrics().refused_key == 1
    })
    .await;

    let key = invitation.key().clone();
    let invited = |key: BuilderKey| Simulation::new(HOST_TYPE, "local-1", key);
    let first = coordinator.start(invited(key.clone()));
    let id = within("it arrives", invitation.arrived()).await;
    coordinator.until(MachineState::Idle, 1).await;
    assert_eq!(only(&coordinator.pool), id);
    assert_eq!(first.cleanings(), 0, "its work directory is its own");
    let _again = coordinator.start(invited(key.clone()));
    until("it is refused", || {
        coordinator.pool.metrics().refused_key == 2
    })
    .await;
    drop((first, invitation));
    let _late = coordinator.start(invited(key));
    until("it is refused", || {
        coordinator.pool.metrics().refused_key == 3
    })
    .await;
}

#[tokio::test]
async fn without_a_master_key_nobody_has_the_right_key() {
    let pool = buildlet_pool::ReversePool::new(ReverseConfig::default()).unwrap();
    let door = revdial::FrontDoor::new(
        revdial::FrontDoorConfig::default(),
        revdial::PickupRegistry::new(),
        pool.clone(),
    )
    .unwrap();
    let (mut theirs, ours) = tokio::io::duplex(4096);
    let request = "GET /reverse HTTP/1.1\r\nHost: \r\nX-Revdial-Version: 2\r\nX-Go-Builder-Hostname: a\r\nX-Go-Host-Type: t\r\n\r\n";
    theirs.write_all(request.as_bytes()).await.unwrap();
    assert!(door.accept(revdial::Arrival::tls(ours)).await.is_err());
    assert_eq!(pool.metrics().refused_key, 1);
}

#[tokio::test]
async fn a_machine_that_keeps_failing_is_put_in_quarantine_and_tried_again() {
    let config = ReverseConfig::default()
        .quarantine_after(2)
        .quarantine_time(Duration::from_millis(300), Duration::from_secs(1000))
        .default_policy(HostPolicy::default().reuse(Reuse::Cleaned));
    let coordinator = Coordinator::new(config);
    let machine = coordinator.machine("a");
    let pool = &coordinator.pool;
    let get = || async {
        let lease = pool.get_buildlet(LeaseRequest::new(HOST_TYPE));
        within("a lease", lease).await.unwrap()
    };
    for registrations in [2, 3] {
        get().await.release(Verdict::Suspect("no disk".to_owned()));
        until("it comes back", || machine.registrations() == registrations).await;
    }
    coordinator.until(MachineState::Quarantined, 1).await;
    let status = pool.status();
    let one = status.machines().next().unwrap();
    assert_eq!((one.failures, &*one.last_failure), (2, "no disk"));
    let refused = pool.lease(one.machine.id, LeaseOptions::default()).await;
    assert!(refused.unwrap_err().to_string().contains("in quarantine"));

    // The trial fails: this time it is for longer.
    let trial = get().await;
    assert_eq!(pool.metrics().trials, 1);
    trial.release(Verdict::Suspect("still no disk".to_owned()));
    coordinator.until(MachineState::Quarantined, 1).await;
    // And the next one does not.
    get().await.release(Verdict::Healthy);
    coordinator.until(MachineState::Idle, 1).await;
    assert_eq!(pool.status().machines().next().unwrap().failures, 0);
    let metrics = pool.metrics();
    assert_eq!((metrics.quarantined, metrics.trials), (2, 2));
}

#[tokio::test]
async fn an_operator_can_put_a_machine_in_quarantine_drain_it_and_send_it_away() {
    let coordinator = Coordinator::new(ReverseConfig::default());
    let pool = &coordinator.pool;
    let machine = coordinator.machine("a");
    coordinator.until(MachineState::Idle, 1).await;
    let id = only(pool);
    assert!(pool.quarantine(id, Duration::from_secs(1000), "noisy fan"));
    coordinator.until(MachineState::Quarantined, 1).await;
    assert!(pool.end_quarantine(id));
    coordinator.until(MachineState::Idle, 1).await;

    // Drained, it stays so when it comes back.
    let lease = pool.lease(id, LeaseOptions::default()).await.unwrap();
    assert!(pool.set_drained(id, true));
    lease.release(Verdict::Healthy);
    until("it comes back", || machine.registrations() == 2).await;
    coordinator.until(MachineState::Idle, 1).await;
    let again = only(pool);
    let refused = pool.lease(again, LeaseOptions::default()).await;
    assert!(refused.unwrap_err().to_string().contains("drained"));
    assert!(pool.status().machines().all(|one| one.drained));

    assert!(pool.disconnect(again, "moved"));
    until("it goes", || pool.status().machines().count() == 0).await;
    assert_eq!(
        pool.status().absent[0].reason,
        "machine was taken away: moved"
    );
    assert!(
        !pool.set_drained(again, false),
        "there is no such machine any more"
    );
}

#[tokio::test]
async fn the_status_for_monitoring_has_what_is_expected_and_what_is_there() {
    let config = ReverseConfig::default()
        .policy(HOST_TYPE, HostPolicy::default().expected(2))
        .policy("host-missing", HostPolicy::default().expected(1));
    let coordinator = Coordinator::new(config);
    let _machine = coordinator.machine("a");
    coordinator.until(MachineState::Idle, 1).await;
    let json = coordinator.pool.status().reverse_json();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let x = &json["HostTypes"][HOST_TYPE];
    let counts = ["Connected", "Expect", "Idle", "Busy", "Waiters"].map(|key| x[key].as_u64());
    assert_eq!(counts, [1, 2, 1, 0, 0].map(Some));
    assert_eq!(x["Machines"]["a"]["Version"], "29");
    assert_eq!(x["Machines"]["a"]["Busy"], false);
    let missing = &json["HostTypes"]["host-missing"];
    assert_eq!(
        (&missing["Expect"], &missing["Machines"]),
        (&1.into(), &serde_json::Value::Null)
    );
}
