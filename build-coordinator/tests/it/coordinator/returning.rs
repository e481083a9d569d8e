//! Builds whose machine goes on while their coordinator, or the network, does not.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use build_coordinator::model::{BuildDetail, Cause, Change, StepOutcome};
use buildlet_pool::{BuildletPool as _, ReverseConfig};
use buildlet_proto::server;

use super::fleet::{Fleet, counting, kill, process, read};
use super::support::{Place, System, causes, id, open_gate};

/// A build of a step that [counts](counting), and another behind it.
fn place(dir: &Path) -> Place {
    Place::new(&format!(
        "[builder.test]\nhost_type = 'linux'\nisolation = 'none'\nretry = {{ delay = '10ms' }}\n\
         [[builder.test.step]]\nname = 'count'\nrun = '{}'\n\
         [[builder.test.step]]\nname = 'after'\nrun = 'echo after; cat version'\n",
        counting(dir)
    ))
}

/// Waits until the step has begun and its output arrives.
async fn until_it_counts(system: &System, dir: &Path) {
    let begun = |build: &BuildDetail| build.build.running_attempt().is_some();
    let builds = system.until(1, begun).await;
    let attempt = builds[0].build.running_attempt().unwrap();
    crate::run::eventually(|| {
        let log = system.coordinator.live_log(attempt)?;
        (log.end() > 100 && read(dir, "lines").lines().count() > 3).then_some(())
    })
    .await;
}

/// The whole log of a build that ran undisturbed.
fn expected(build: &BuildDetail, dir: &Path) -> String {
    let revision = &build.build.key.revision;
    let lines = read(dir, "lines");
    format!("test at {revision}\n\n##### count\n{lines}end\n##### after\nafter\n1")
}

async fn check_undisturbed(system: &System, build: &BuildDetail, dir: &Path) {
    assert_eq!(causes(build), [Some(Cause::Succeeded)], "{build:#?}");
    let outcomes: Vec<_> = build.attempts[0]
        .steps
        .iter()
        .map(|step| step.outcome)
        .collect();
    assert_eq!(outcomes, [Some(StepOutcome::Succeeded); 2]);
    assert_eq!(read(dir, "runs"), "run\n");
    assert_eq!(read(dir, "twice"), "");
    let log = system.log(build, 0).await;
    assert!(log == expected(build, dir), "{log}");
    assert_eq!(build.attempts[0].awaited, None);
}

async fn kinds(system: &System, build: &BuildDetail) -> Vec<Change> {
    let events = system.coordinator.store().events(id(build)).await.unwrap();
    let replayed = BuildDetail::replay(&events).unwrap().unwrap();
    assert_eq!(replayed.build, build.build, "the history says the same");
    events.into_iter().map(|event| event.change).collect()
}

#[test]
fn a_build_goes_on_where_it_was_when_its_coordinator_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let place = Arc::new(place(dir.path()));
    let fleet = Arc::new(Fleet::new(1));
    for _ in 0..2 {
        let killed = process();
        let (place, fleet, dir) = (place.clone(), fleet.clone(), dir.path().to_owned());
        killed.block_on(async {
            let running = fleet.coordinator(&place, ReverseConfig::default()).await;
            until_it_counts(&running.system, &dir).await;
            std::mem::forget(running);
        });
        kill(killed);
    }
    process().block_on(async {
        let running = fleet.coordinator(&place, ReverseConfig::default()).await;
        let system = &running.system;
        // The log is live again.
        until_it_counts(system, dir.path()).await;
        open_gate(dir.path());
        let build = system.done(1).await.remove(0);
        check_undisturbed(system, &build, dir.path()).await;
        let changes = kinds(system, &build).await;
        let adopted = changes
            .iter()
            .filter(|change| matches!(change, Change::AttemptAdopted { .. }));
        let awaited = changes
            .iter()
            .filter(|change| matches!(change, Change::MachineAwaited { .. }));
        assert!((1..=2).contains(&adopted.count()) && awaited.count() >= 1);
        assert_eq!(
            build.attempts[0].owner,
            system.coordinator.store().instance()
        );
        system.coordinator.drain().await;
    });
}

#[test]
fn a_coordinator_that_stops_leaves_what_runs_to_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let place = place(dir.path());
    let fleet = Fleet::new(1);
    process().block_on(async {
        let running = fleet.coordinator(&place, ReverseConfig::default()).await;
        until_it_counts(&running.system, dir.path()).await;
        running.system.coordinator.stop().await;
        running.pool.shutdown().await;
        drop(running);
        let running = fleet.coordinator(&place, ReverseConfig::default()).await;
        open_gate(dir.path());
        let build = running.system.done(1).await.remove(0);
        check_undisturbed(&running.system, &build, dir.path()).await;
        running.system.coordinator.drain().await;
    });
}

#[test]
fn a_network_that_fails_for_a_moment_disturbs_no_build() {
    let dir = tempfile::tempdir().unwrap();
    let place = place(dir.path());
    let fleet = Fleet::new(1);
    process().block_on(async {
        let running = fleet.coordinator(&place, ReverseConfig::default()).await;
        let system = &running.system;
        for round in 1..=3 {
            until_it_counts(system, dir.path()).await;
            fleet.cut(0);
            let again = async {
                loop {
                    let builds = system.builds().await;
                    let changes = kinds(system, &builds[0]).await;
                    let adopted = changes
                        .iter()
                        .filter(|one| matches!(one, Change::AttemptAdopted { .. }));
                    if adopted.count() == round {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            tokio::time::timeout(super::support::DEADLINE, again)
                .await
                .expect("it is taken up");
        }
        open_gate(dir.path());
        let build = system.done(1).await.remove(0);
        check_undisturbed(system, &build, dir.path()).await;
        system.coordinator.drain().await;
    });
}

#[test]
fn a_machine_that_does_not_come_back_is_waited_for_and_then_the_build_is_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let place = place(dir.path()).machine_return("1s");
    let mut fleet = Fleet::new(1);
    let killed = process();
    killed.block_on(async {
        let running = fleet.coordinator(&place, ReverseConfig::default()).await;
        until_it_counts(&running.system, dir.path()).await;
        std::mem::forget(running);
    });
    kill(killed);
    fleet.lose_last();
    process().block_on(async {
        let running = fleet.coordinator(&place, ReverseConfig::default()).await;
        let system = &running.system;
        let waits = |build: &BuildDetail| build.attempts[0].awaited.is_some();
        system.until(1, waits).await;
        fleet.add(server::Config::default());
        open_gate(dir.path());
        let build = system.done(1).await.remove(0);
        let expected = [Some(Cause::CoordinatorLost), Some(Cause::Succeeded)];
        assert_eq!(causes(&build), expected, "{build:#?}");
        assert_eq!(read(dir.path(), "twice"), "");
        let lost = system.log(&build, 0).await;
        assert!(
            lost.contains("line 3\n") && lost.contains("coordinator"),
            "{lost}"
        );
        system.coordinator.drain().await;
    });
}

#[test]
fn what_a_machine_runs_that_comes_back_too_late_is_killed_before_it_is_used() {
    let dir = tempfile::tempdir().unwrap();
    let place_before = place(dir.path());
    let fleet = Fleet::new(1);
    let killed = process();
    killed.block_on(async {
        let running = fleet
            .coordinator(&place_before, ReverseConfig::default())
            .await;
        until_it_counts(&running.system, dir.path()).await;
        std::mem::forget(running);
    });
    kill(killed);
    // Nobody waits any more.
    let place = place_before.machine_return("0s");
    process().block_on(async {
        let config = ReverseConfig::default().claim_limit(Duration::from_millis(50));
        let running = fleet.coordinator(&place, config).await;
        let again = |build: &BuildDetail| build.attempts.len() == 2;
        running.system.until(1, again).await;
        open_gate(dir.path());
        let build = running.system.done(1).await.remove(0);
        let expected = [Some(Cause::CoordinatorLost), Some(Cause::Succeeded)];
        assert_eq!(causes(&build), expected);
        assert_eq!(read(dir.path(), "runs"), "run\nrun\n");
        assert_eq!(read(dir.path(), "twice"), "", "the first was dead");
        running.system.coordinator.drain().await;
    });
}

#[test]
fn a_build_that_waits_for_its_machine_can_be_cancelled() {
    let dir = tempfile::tempdir().unwrap();
    let place = place(dir.path());
    let mut fleet = Fleet::new(1);
    process().block_on(async {
        let running = fleet.coordinator(&place, ReverseConfig::default()).await;
        let system = &running.system;
        until_it_counts(system, dir.path()).await;
        fleet.lose_last();
        let waits = |build: &BuildDetail| build.attempts[0].awaited.is_some();
        let build = system.until(1, waits).await.remove(0);
        system.coordinator.cancel(id(&build), "me").await.unwrap();
        let build = system.done(1).await.remove(0);
        assert_eq!(build.build.cause(), Some(Cause::Cancelled));
        system.coordinator.drain().await;
    });
}

#[test]
fn a_cancelled_command_is_killed_though_it_could_outlive_its_connection() {
    let dir = tempfile::tempdir().unwrap();
    let place = place(dir.path());
    let fleet = Fleet::new(1);
    process().block_on(async {
        let running = fleet.coordinator(&place, ReverseConfig::default()).await;
        let system = &running.system;
        until_it_counts(system, dir.path()).await;
        let build = system.builds().await.remove(0);
        system.coordinator.cancel(id(&build), "me").await.unwrap();
        let build = system.done(1).await.remove(0);
        assert_eq!(causes(&build), [Some(Cause::Cancelled)]);
        // Its lock is free once all of it is dead.
        let free = || {
            let lock = std::process::Command::new("flock")
                .arg("-n")
                .arg(dir.path().join("lock"))
                .arg("true")
                .status();
            lock.unwrap().success().then_some(())
        };
        crate::run::eventually(free).await;
        assert!(!fleet.work_dir(0).join("src/never").exists());
        system.coordinator.drain().await;
    });
}

#[test]
fn attempts_on_machines_that_keep_nothing_are_closed_at_once_and_tried_again() {
    // As Go's.
    let dir = tempfile::tempdir().unwrap();
    let place = place(dir.path());
    let fleet = Fleet::with_config(1, || server::Config::default().max_kept(0));
    let killed = process();
    killed.block_on(async {
        let running = fleet.coordinator(&place, ReverseConfig::default()).await;
        until_it_counts(&running.system, dir.path()).await;
        std::mem::forget(running);
    });
    kill(killed);
    process().block_on(async {
        let running = fleet.coordinator(&place, ReverseConfig::default()).await;
        let build = running.system.builds().await.remove(0);
        assert_eq!(
            build.attempts[0].cause(),
            Some(Cause::CoordinatorLost),
            "at the start"
        );
        open_gate(dir.path());
        let build = running.system.done(1).await.remove(0);
        assert_eq!(
            causes(&build),
            [Some(Cause::CoordinatorLost), Some(Cause::Succeeded)]
        );
        assert_eq!(read(dir.path(), "twice"), "");
        running.system.coordinator.drain().await;
    });
}
