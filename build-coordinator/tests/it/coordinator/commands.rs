use build_coordinator::coordinator::{CommandError, EnqueueError};
use build_coordinator::model::{BuildId, BuildState, Cause, Purpose};

use super::support::{FakePool, Place, builder, causes, gate, id, open_gate, pid};
#[cfg(target_os = "linux")]
use crate::run::gone;

#[tokio::test]
async fn commits_are_found_built_and_remembered() {
    let place = Place::new(&builder("test", "", "echo version; cat version"));
    let pool = FakePool::new(1);
    let system = place.start(&pool).await;
    let first = system.done(1).await.remove(0);
    assert_eq!(
        (first.build.cause(), first.build.purpose),
        (Some(Cause::Succeeded), Purpose::Head)
    );
    assert!(system.log(&first, 0).await.ends_with("version\n1"));
    let attempt = &first.attempts[0];
    assert_eq!((attempt.machine.as_str(), attempt.steps.len()), ("m1", 1));
    let spans = system.coordinator.store().spans(attempt.id).await.unwrap();
    assert!(
        spans.iter().any(|span| span.name == "write_source"),
        "{spans:?}"
    );

    let revision = place.commit("2");
    system.coordinator.look_now();
    let second = system.done(2).await.remove(1);
    assert_eq!(second.build.key.revision.as_str(), revision);
    assert!(system.log(&second, 0).await.ends_with("version\n2"));
    assert_eq!(
        std::fs::read_dir(place.path("live")).unwrap().count(),
        0,
        "stored logs are nowhere else"
    );
    let machines = system.coordinator.store().machines().await.unwrap();
    assert_eq!(machines.len(), 1);
    system.coordinator.drain().await;
}

#[tokio::test]
async fn a_failure_is_not_repeated_until_somebody_asks() {
    let place = Place::new(&builder("test", "", "exit 3"));
    let pool = FakePool::new(1);
    let system = place.start(&pool).await;
    let build = system.done(1).await.remove(0);
    assert_eq!(causes(&build), [Some(Cause::Failed)]);
    let done = system.coordinator.cancel(id(&build), "alice").await;
    assert!(matches!(done, Err(CommandError::Done(_))), "{done:?}");

    system.coordinator.retry(id(&build), "alice").await.unwrap();
    let again = system
        .until(1, |build| {
            build.attempts.len() == 2 && build.build.cause().is_some()
        })
        .await;
    assert_eq!(causes(&again[0]), [Some(Cause::Failed); 2]);
    let none = system.coordinator.retry(BuildId(99), "alice").await;
    assert!(matches!(none, Err(CommandError::NoBuild(_))), "{none:?}");
    system.coordinator.stop().await;
    assert!(matches!(
        system.coordinator.retry(id(&build), "alice").await,
        Err(CommandError::Stopping)
    ));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn builds_are_cancelled_while_they_run_and_while_they_wait() {
    let gates = tempfile::tempdir().unwrap();
    let run = gate(gates.path());
    let place = Place::new(&(builder("a", "", &run) + &builder("b", "", &run)));
    let pool = FakePool::new(1);
    let system = place.start(&pool).await;
    let pid = pid(&pool, 0).await;
    let builds = system.until(2, |_| true).await;
    let (running, waiting): (Vec<_>, Vec<_>) = builds
        .iter()
        .partition(|build| matches!(build.build.state, BuildState::Running { .. }));
    let explained = system.coordinator.queue(10).await.unwrap();
    assert_eq!(
        explained
            .iter()
            .map(|waiting| waiting.build)
            .collect::<Vec<_>>(),
        [id(waiting[0])]
    );

    system
        .coordinator
        .cancel(id(waiting[0]), "alice")
        .await
        .unwrap();
    system
        .coordinator
        .cancel(id(running[0]), "bob")
        .await
        .unwrap();
    let done = system.done(2).await;
    gone(pid).await;
    for build in &done {
        assert_eq!(build.build.cause(), Some(Cause::Cancelled));
    }
    assert_eq!(
        done.iter().map(|build| build.attempts.len()).sum::<usize>(),
        1
    );
    assert_eq!(
        system.coordinator.explain(id(&done[0])).await.unwrap(),
        None
    );
    system.coordinator.drain().await;
}

#[tokio::test]
async fn a_build_whose_machine_dies_is_tried_again_elsewhere() {
    let gates = tempfile::tempdir().unwrap();
    let place = Place::new(&builder("test", "", &gate(gates.path())));
    let pool = FakePool::new(2);
    let system = place.start(&pool).await;
    pid(&pool, 0).await;
    pool.crash(0);
    pid(&pool, 1).await;
    open_gate(gates.path());
    let build = system.done(1).await.remove(0);
    assert_eq!(
        causes(&build),
        [Some(Cause::LostBuildlet), Some(Cause::Succeeded)]
    );
    assert_eq!(build.attempts[1].machine, "m2");
    assert!(
        system
            .log(&build, 0)
            .await
            .contains("Error: lost buildlet: connection to the buildlet ended: power")
    );
    system.coordinator.drain().await;
}

#[tokio::test]
async fn a_newer_commit_takes_the_place_of_those_that_wait_and_run_where_that_is_said() {
    let gates = tempfile::tempdir().unwrap();
    let place = Place::new(&builder(
        "test",
        "supersede = 'running'",
        &gate(gates.path()),
    ));
    let pool = FakePool::new(1);
    let system = place.start(&pool).await;
    pid(&pool, 0).await;
    place.commit("2");
    system.coordinator.look_now();
    let first = system.done(1).await.remove(0);
    assert_eq!(first.build.cause(), Some(Cause::Superseded));
    open_gate(gates.path());
    let second = system.done(2).await.remove(1);
    assert_eq!(second.build.cause(), Some(Cause::Succeeded));
    system.coordinator.drain().await;
}

#[tokio::test]
async fn builds_are_asked_for_by_branch_and_builder() {
    let place =
        Place::new(&(builder("a", "", "true") + &builder("rare", "branches = ['never']", "true")));
    let pool = FakePool::new(1);
    let system = place.start(&pool).await;
    system.done(1).await;
    let asked = system
        .coordinator
        .enqueue("site", "main", Some("rare"), "alice")
        .await
        .unwrap();
    assert_eq!((asked.len(), asked[0].purpose), (1, Purpose::Request));
    assert_eq!(
        system.done(2).await[1].build.cause(),
        Some(Cause::Succeeded)
    );
    let same = system
        .coordinator
        .enqueue("site", "main", None, "alice")
        .await
        .unwrap();
    assert_eq!(
        same[0].cause(),
        Some(Cause::Succeeded),
        "what was built is not built again"
    );

    let wrong = system
        .coordinator
        .enqueue("nope", "main", None, "alice")
        .await;
    assert!(
        matches!(wrong, Err(EnqueueError::NoRepository(_))),
        "{wrong:?}"
    );
    let wrong = system
        .coordinator
        .enqueue("site", "--upload-pack=x", None, "alice")
        .await;
    assert!(wrong.is_err(), "{wrong:?}");
    let wrong = system
        .coordinator
        .enqueue("site", "main", Some("nope"), "alice")
        .await;
    assert!(
        matches!(wrong, Err(EnqueueError::NoBuilder(_))),
        "{wrong:?}"
    );
    system.coordinator.drain().await;
}
