use std::sync::Arc;
use std::time::Duration;

use build_coordinator::model::{BuildState, Cause};

#[cfg(target_os = "linux")]
use super::fleet::process;
use super::support::{FakePool, Place, builder, causes, gate, open_gate, pid};
#[cfg(target_os = "linux")]
use crate::run::gone;

#[cfg(target_os = "linux")]
#[test]
fn a_coordinator_that_was_killed_goes_on_where_it_was() {
    let gates = tempfile::tempdir().unwrap();
    let run = format!("echo beginning; {}", gate(gates.path()));
    let place = Arc::new(Place::new(
        &(builder("a", "", &run) + &builder("b", "", &run)),
    ));
    let killed = process();
    let place_there = place.clone();
    let pid = killed.block_on(async move {
        let pool = FakePool::new(1);
        let system = place_there.start(&pool).await;
        let pid = pid(&pool, 0).await;
        system.until(2, |_| true).await;
        // Keeps the machine, as another machine would stay too.
        std::mem::forget(pool);
        pid
    });
    killed.shutdown_timeout(Duration::from_secs(10));

    process().block_on(async {
        // The connections are closed, so what ran is killed.
        gone(pid).await;
        open_gate(gates.path());
        let pool = FakePool::new(1);
        let system = place.start(&pool).await;
        let builds = system.done(2).await;
        let mut all: Vec<_> = builds.iter().map(causes).collect();
        all.sort();
        assert_eq!(
            all,
            [
                vec![Some(Cause::Succeeded)],
                vec![Some(Cause::CoordinatorLost), Some(Cause::Succeeded)]
            ]
        );
        let lost = builds
            .iter()
            .find(|build| build.attempts.len() == 2)
            .unwrap();
        assert!(
            system.log(lost, 0).await.contains("beginning\n"),
            "what came of the log is kept"
        );
        assert_ne!(lost.attempts[0].owner, lost.attempts[1].owner);
        for build in &builds {
            let events = system
                .coordinator
                .store()
                .events(build.build.id)
                .await
                .unwrap();
            let replayed = build_coordinator::model::BuildDetail::replay(&events)
                .unwrap()
                .unwrap();
            assert_eq!(replayed.build, build.build, "the history says the same");
        }
        system.coordinator.drain().await;
    });
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_coordinator_that_stops_at_once_hands_back_what_runs() {
    let gates = tempfile::tempdir().unwrap();
    let place = Place::new(&builder("test", "", &gate(gates.path())));
    let pool = FakePool::new(1);
    let system = place.start(&pool).await;
    let pid = pid(&pool, 0).await;
    system.coordinator.stop().await;
    gone(pid).await;

    open_gate(gates.path());
    let pool = FakePool::new(1);
    let system = place.start(&pool).await;
    let build = system.done(1).await.remove(0);
    assert_eq!(
        causes(&build),
        [Some(Cause::CoordinatorLost), Some(Cause::Succeeded)]
    );
    assert_eq!(
        build.attempts[0].end.as_ref().unwrap().message,
        "the coordinator stopped"
    );
    system.coordinator.drain().await;
}

#[tokio::test]
async fn a_coordinator_that_drains_ends_what_runs_and_begins_nothing() {
    let gates = tempfile::tempdir().unwrap();
    let run = gate(gates.path());
    let place = Place::new(&(builder("a", "", &run) + &builder("b", "", &run)));
    let pool = FakePool::new(1);
    let system = place.start(&pool).await;
    pid(&pool, 0).await;
    system.until(2, |_| true).await;
    let draining = system.coordinator.drain();
    tokio::pin!(draining);
    let early = tokio::time::timeout(Duration::from_millis(100), &mut draining).await;
    assert!(early.is_err(), "it waits for what runs");
    open_gate(gates.path());
    draining.await;

    let store = place.store().await;
    let waiting = store.unfinished().await.unwrap();
    assert_eq!(waiting.len(), 1);
    assert!(matches!(waiting[0].state, BuildState::Queued { .. }));
    store.close().await.unwrap();
}

#[tokio::test]
async fn builds_whose_builder_is_gone_are_ended_with_a_reason() {
    let place = Place::new(&builder("test", "", "true"));
    let nobody = FakePool::new(0);
    let system = place.start(&nobody).await;
    system.until(1, |_| true).await;
    system.coordinator.stop().await;

    let other = builder("other", "", "true");
    let place = place.with_builders(&other);
    let pool = FakePool::new(1);
    let system = place.start(&pool).await;
    let ended = system
        .until(1, |build| {
            build.build.key.builder == "test" && build.build.cause().is_some()
        })
        .await;
    assert_eq!(ended[0].build.cause(), Some(Cause::SetupError));
    assert!(
        ended[0].build.message.contains("not configured"),
        "{}",
        ended[0].build.message
    );
    system.coordinator.stop().await;
}
